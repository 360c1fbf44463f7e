package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"daybook/batch/spool"
	"daybook/event"
	"daybook/internal/effort"
)

// smallMemTable makes the engine write tables after a few events.
const smallMemTable = 256 << 10

func openStore(tb testing.TB, fs vfs.FS, dir string) *spool.Store {
	tb.Helper()
	s, err := spool.Open(dir, &spool.Options{FS: fs, MemTable: smallMemTable})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// item is the event as it is appended.
func (a *added) item() spool.Item {
	return spool.Item{
		Group: a.group, Row: a.row, Suspect: a.suspect,
		Tail: spool.AppendTail(nil, a.event.Time, a.event.Get(event.ID), a.event.ContentHash(a.row)),
	}
}

var tenth = event.DayOf(time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC))

// numbered is event n of the tenth, with padding of that size.
func numbered(n, pad int) spool.Item {
	a := made(tenth.Start().Add(time.Duration(n*7919%86400)*time.Second), fmt.Sprintf("id-%06d", n), strings.Repeat("x", pad))
	return a.item()
}

// prepared opens a store that knows the trail and class 0.
func prepared(tb testing.TB, fs vfs.FS, dir string) *spool.Store {
	tb.Helper()
	s := openStore(tb, fs, dir)
	for _, name := range []string{"audit"} {
		if _, err := s.TrailID(name); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := s.ClassID("standard"); err != nil {
		tb.Fatal(err)
	}
	return s
}

func appendAll(tb testing.TB, s *spool.Store, items ...spool.Item) int64 {
	tb.Helper()
	n, err := s.Append(items)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func scanStore(tb testing.TB, s *spool.Store, trail uint16, day event.Day) []out {
	tb.Helper()
	var stats spool.ScanStats
	var list []out
	for item, err := range s.Scan(trail, day, &stats) {
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, outOf(tb, item))
	}
	if stats.Duplicates != 0 {
		tb.Errorf("the scan found %d duplicates", stats.Duplicates)
	}
	return list
}

// sealed is the Sealing of a generation of that many events that were all written to a seal.
func sealed(events int, at time.Time) spool.Sealing {
	return spool.Sealing{Seal: 1, At: at, Written: int64(events)}
}

// checkTotals counts a trail's events anew, and compares.
func checkTotals(tb testing.TB, s *spool.Store, trail uint16, when string) spool.Totals {
	tb.Helper()
	c, err := s.Count(tb.Context(), trail)
	if err != nil {
		tb.Fatalf("%s: %v", when, err)
	}
	if err := c.Check(); err != nil {
		tb.Fatalf("%s: trail %d: %v", when, trail, err)
	}
	return c.Totals
}

// modelStore is what a Store must do, worked out in memory.
type modelStore struct {
	days     map[[2]int]*modelDay
	totals   [3]spool.Totals
	sealings [3][]spool.Sealing
}

type modelDay struct {
	open   map[string]out
	frozen map[string]out // nil if none is
	number uint32
	sealed map[uint32]modelSealed
}

type modelSealed struct {
	events map[string]out
	at     time.Time
}

func (m *modelStore) day(trail uint16, day event.Day) *modelDay {
	k := [2]int{int(trail), int(day)}
	if m.days[k] == nil {
		m.days[k] = &modelDay{open: map[string]out{}, sealed: map[uint32]modelSealed{}}
	}
	return m.days[k]
}

func (m *modelStore) append(list []added) int64 {
	n := int64(0)
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b added) int { return int(a.group.Class) - int(b.group.Class) })
	for i := range list {
		a := &list[i]
		d := m.day(a.group.Trail, a.group.Day)
		o := a.out()
		key := fmt.Sprintf("%d %q %x", o.Micros, o.ID, o.Hash) // of whatever class
		_, known := d.open[key]
		_, frozen := d.frozen[key]
		for _, s := range d.sealed {
			_, inSealed := s.events[key]
			known = known || inSealed
		}
		totals := &m.totals[a.group.Trail]
		totals.Accepted++
		if known || frozen {
			totals.Duplicates++
			continue
		}
		totals.Pending++
		d.open[key] = o
		n++
	}
	return n
}

func (m *modelStore) check(t *testing.T, s *spool.Store) {
	t.Helper()
	want := map[[2]int]int64{}
	records := 0
	for k, d := range m.days {
		if n := int64(len(d.open) + len(d.frozen)); n > 0 {
			want[k] = n
		}
		records += len(d.open) + len(d.frozen)
		for _, x := range d.sealed {
			records += len(x.events)
		}
	}
	if n, err := s.Records(); err != nil || n != records {
		t.Fatalf("%d events are kept, %v, want %d", n, err, records)
	}
	got := map[[2]int]int64{}
	for _, d := range s.Days() {
		got[[2]int{int(d.Trail), int(d.Day)}] = d.Events
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Fatalf("days (-want +got):\n%s", diff)
	}
	for i, want := range m.totals {
		if diff := gocmp.Diff(want, checkTotals(t, s, uint16(i), "")); diff != "" || want != s.Totals(uint16(i)) {
			t.Fatalf("totals of trail %d (-want +got):\n%s", i, diff)
		}
		if diff := gocmp.Diff(m.sealings[i], sealingsOf(t, s, uint16(i))); diff != "" {
			t.Fatalf("sealings of trail %d (-want +got):\n%s", i, diff)
		}
	}
	for k, d := range m.days {
		var want []out
		for _, o := range d.frozen {
			want = append(want, o)
		}
		slices.SortFunc(want, compareOut)
		if diff := gocmp.Diff(want, scanStore(t, s, uint16(k[0]), event.Day(k[1]))); diff != "" {
			t.Fatalf("trail %d, day %d (-want +got):\n%s", k[0], k[1], diff)
		}
	}
}

func sealingsOf(tb testing.TB, s *spool.Store, trail uint16) (list []spool.Sealing) {
	tb.Helper()
	for x, err := range s.Sealings(trail) {
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, x)
	}
	return list
}

// TestStoreEqualsAModel does whatever can be done, with restarts and crashes in between, and compares with what is worked out in memory.
func TestStoreEqualsAModel(t *testing.T) {
	effort.NeedsThorough(t)
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 9))
		mem := vfs.NewCrashableMem()
		s := openStore(t, mem, "spool")
		for i := range 3 {
			if id, err := s.TrailID(fmt.Sprint("trail", i)); err != nil || int(id) != i {
				t.Fatal(id, err)
			}
			if id, err := s.ClassID(fmt.Sprint("class", i)); err != nil || int(id) != i {
				t.Fatal(id, err)
			}
		}
		events := randomEvents(rng, 1500)
		for i := range events {
			events[i].group.Trail %= 3
			events[i].group.Class %= 3
		}
		m := &modelStore{days: map[[2]int]*modelDay{}}
		now := time.Unix(1_000_000, 0).UTC()
		for step := range 150 {
			now = now.Add(time.Minute)
			trail := uint16(rng.IntN(3))
			day := events[rng.IntN(len(events))].group.Day
			d := m.day(trail, day)
			switch rng.IntN(10) {
			case 0, 1, 2, 3:
				var list []added
				var items []spool.Item
				for range rng.IntN(60) {
					list = append(list, events[rng.IntN(len(events))])
					items = append(items, list[len(list)-1].item())
				}
				if got, want := appendAll(t, s, items...), m.append(list); got != want {
					t.Fatalf("seed %d, step %d: %d events were new, want %d", seed, step, got, want)
				}
			case 4, 5:
				number, err := s.Freeze(trail, day)
				must(t, err)
				switch {
				case d.frozen != nil:
					if number != d.number {
						t.Fatalf("Freeze = %d, but %d is frozen", number, d.number)
					}
				case len(d.open) == 0:
					if number != 0 {
						t.Fatalf("Freeze = %d, but there is nothing", number)
					}
				default:
					d.frozen, d.number, d.open = d.open, number, map[string]out{}
				}
			case 6:
				if d.frozen != nil {
					n := int64(len(d.frozen))
					x := spool.Sealing{Seal: uint64(step + 1), At: now, Written: n / 3, Damaged: n / 4}
					x.Duplicates = n - x.Written - x.Damaged
					must(t, s.MarkSealed(trail, day, d.number, x))
					x.Day, x.Generation = day, d.number
					i, _ := slices.BinarySearchFunc(m.sealings[trail], x, func(a, b spool.Sealing) int { return int(a.Generation) - int(b.Generation) })
					m.sealings[trail] = slices.Insert(m.sealings[trail], i, x)
					m.totals[trail].Pending -= n
					m.totals[trail].Sealed += n
					m.totals[trail].Damaged += x.Damaged
					d.sealed[d.number] = modelSealed{d.frozen, now}
					d.frozen = nil
				}
			case 7:
				for number := range d.sealed {
					must(t, s.Drop(trail, day, number))
					must(t, s.Drop(trail, day, number))
					delete(d.sealed, number)
					break
				}
				if d.frozen != nil && s.Drop(trail, day, d.number) == nil {
					t.Fatal("a generation is dropped that is not sealed")
				}
			case 8:
				before := now.Add(-time.Duration(rng.IntN(60)) * time.Minute)
				want := int64(0)
				for _, d := range m.days {
					for number, x := range d.sealed {
						if x.at.Before(before) {
							want += int64(len(x.events))
							delete(d.sealed, number)
						}
					}
				}
				got, err := s.Expire(before)
				must(t, err)
				if got != want {
					t.Fatalf("Expire dropped %d events, want %d", got, want)
				}
			case 9:
				if rng.IntN(2) == 0 {
					must(t, s.Close())
				} else {
					mem = mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(3) * 50, RNG: rng})
					t.Cleanup(func(s *spool.Store) func() { return func() { must(t, s.Close()) } }(s))
				}
				s = openStore(t, mem, "spool")
			}
			m.check(t, s)
		}
		for i := range 3 {
			name, ok := s.TrailName(uint16(i))
			class, classOK := s.ClassName(uint8(i))
			if !ok || !classOK || name != fmt.Sprint("trail", i) || class != fmt.Sprint("class", i) {
				t.Errorf("trail and class %d are %q and %q", i, name, class)
			}
		}
		must(t, s.Close())
	}
}

func TestNumbersStay(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := openStore(t, mem, "spool")
	for i, name := range []string{"b", "a", "c"} {
		id, err := s.TrailID(name)
		if err != nil || int(id) != i {
			t.Errorf("TrailID(%q) = %d, %v", name, id, err)
		}
		class, err := s.ClassID(name + name)
		if err != nil || int(class) != i {
			t.Errorf("ClassID(%q) = %d, %v", name+name, class, err)
		}
	}
	crashed := openStore(t, mem.CrashClone(vfs.CrashCloneCfg{}), "spool")
	for i, name := range []string{"b", "a", "c", "d"} {
		if id, err := crashed.TrailID(name); err != nil || int(id) != i {
			t.Errorf("after a crash TrailID(%q) = %d, %v", name, id, err)
		}
	}
	if name, ok := crashed.TrailName(9); ok {
		t.Errorf("trail 9 is %q", name)
	}
	if name, ok := crashed.ClassName(9); ok {
		t.Errorf("class 9 is %q", name)
	}
	if _, err := crashed.TrailID(""); err == nil {
		t.Error("a trail without a name has a number")
	}
	for i := 3; i < 256; i++ {
		if _, err := crashed.ClassID(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if id, err := crashed.ClassID("one more"); err == nil {
		t.Errorf("class 257 has the number %d", id)
	}
	must(t, s.Close())
	must(t, crashed.Close())
}

func TestAppendRefusesWhatItCouldNotHandOut(t *testing.T) {
	s := prepared(t, vfs.NewMem(), "spool")
	defer s.Close()
	good := numbered(1, 10)
	for name, spoil := range map[string]func(*spool.Item){
		"trail": func(i *spool.Item) { i.Group.Trail = 1 },
		"class": func(i *spool.Item) { i.Group.Class = 1 },
		"tail":  func(i *spool.Item) { i.Tail = i.Tail[:20] },
		"row":   func(i *spool.Item) { i.Row = nil },
	} {
		bad := good
		spoil(&bad)
		if n, err := s.Append([]spool.Item{good, bad}); err == nil || n != 0 {
			t.Errorf("%s: Append = %d, %v", name, n, err)
		}
	}
	if days := s.Days(); days != nil {
		t.Errorf("days: %v", days)
	}
	if n := appendAll(t, s, good); n != 1 {
		t.Errorf("%d events were new", n)
	}
	if n := appendAll(t, s); n != 0 {
		t.Errorf("of none, %d events were new", n)
	}
}

func TestWhatComesAfterAFreeze(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := prepared(t, mem, "spool")
	if number, err := s.Freeze(0, tenth); number != 0 || err != nil {
		t.Fatalf("Freeze of nothing = %d, %v", number, err)
	}
	appendAll(t, s, numbered(1, 10), numbered(2, 10))
	number, err := s.Freeze(0, tenth)
	must(t, err)
	if n := appendAll(t, s, numbered(2, 10), numbered(3, 10)); n != 1 {
		t.Errorf("%d events were new, want the one that is not in the frozen generation", n)
	}
	s = openStore(t, mem.CrashClone(vfs.CrashCloneCfg{}), "spool") // the roll died here
	defer s.Close()
	again, err := s.Freeze(0, tenth)
	must(t, err)
	if again != number {
		t.Errorf("Freeze = %d, then %d", number, again)
	}
	if got := scanStore(t, s, 0, tenth); len(got) != 2 {
		t.Errorf("%d events are frozen, want 2", len(got))
	}
	if days := s.Days(); len(days) != 1 || days[0].Events != 3 {
		t.Errorf("days: %v", days)
	}
	must(t, s.MarkSealed(0, tenth, number, sealed(2, time.Unix(1000, 0))))
	must(t, s.MarkSealed(0, tenth, number, sealed(2, time.Unix(2000, 0)))) // the time is that of the first
	if got := scanStore(t, s, 0, tenth); len(got) != 0 {
		t.Errorf("%d events are scanned that are sealed", len(got))
	}
	if n := appendAll(t, s, numbered(1, 10)); n != 0 {
		t.Error("a sealed event that is still held is new")
	}
	next, err := s.Freeze(0, tenth)
	must(t, err)
	if next == number || next == 0 {
		t.Errorf("the next generation is %d as well", next)
	}
	if n, err := s.Expire(time.Unix(1000, 0)); n != 0 || err != nil {
		t.Errorf("Expire dropped %d events, %v", n, err)
	}
	if n, err := s.Expire(time.Unix(1001, 0)); n != 2 || err != nil {
		t.Errorf("Expire dropped %d events, %v, want 2", n, err)
	}
	if got := scanStore(t, s, 0, tenth); len(got) != 1 {
		t.Errorf("%d events are left, want 1", len(got))
	}
	must(t, s.MarkSealed(0, tenth, next, sealed(1, time.Unix(1000, 0))))
	must(t, s.Drop(0, tenth, next))
	if days := s.Days(); len(days) != 0 {
		t.Errorf("days: %v", days)
	}
	if n := appendAll(t, s, numbered(1, 10)); n != 1 {
		t.Error("an event that was dropped is not new")
	}
	last, err := s.Freeze(0, tenth)
	must(t, err)
	if last == number || last == next {
		t.Errorf("generation %d is given a second time", last)
	}
}

func TestAnOpenGenerationIsNotDropped(t *testing.T) {
	s := prepared(t, vfs.NewMem(), "spool")
	defer s.Close()
	appendAll(t, s, numbered(1, 10))
	for number := range uint32(3) {
		errs := errors.Join(s.Drop(0, tenth, number), s.MarkSealed(0, tenth, number, sealed(1, time.Unix(1, 0))))
		if open := number == 1; (errs != nil) != open {
			t.Errorf("generation %d: %v", number, errs)
		}
	}
	if days := s.Days(); len(days) != 1 || days[0].Events != 1 {
		t.Errorf("days: %v", days)
	}
}

// TestConcurrentAppends crashes while several append: all that was acknowledged is there, once, and the counts agree.
func TestConcurrentAppends(t *testing.T) {
	const workers, each = 8, 40
	mem := vfs.NewCrashableMem()
	s := prepared(t, mem, "spool")
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var added int64
	var clones []*vfs.MemFS
	var known []int // acknowledged when the clone was made
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				n := (w/2)*each + i // two send the same
				one, two := numbered(n, 2000), numbered(n+10_000, 2000)
				got, err := s.Append([]spool.Item{one, two, one})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				added += got
				acknowledged[string(one.Tail)], acknowledged[string(two.Tail)] = true, true
				if len(acknowledged)%50 == 0 {
					known = append(known, len(acknowledged))
					clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	must(t, s.Close())
	if want := int64(workers / 2 * each * 2); added != want || int64(len(acknowledged)) != want {
		t.Errorf("%d events were new, want %d", added, want)
	}
	for i, clone := range append(clones, mem) {
		s := openStore(t, clone, "spool")
		_, err := s.Freeze(0, tenth)
		must(t, err)
		var stats spool.ScanStats
		found := 0
		var last []byte
		for item, err := range s.Scan(0, tenth, &stats) {
			must(t, err)
			if bytes.Compare(last, item.Tail) >= 0 || !acknowledged[string(item.Tail)] {
				t.Fatalf("clone %d: event %q after %q", i, item.Tail, last)
			}
			last = append(last[:0], item.Tail...)
			found++
		}
		if i < len(known) && found < known[i] {
			t.Errorf("clone %d: %d events, but %d were acknowledged", i, found, known[i])
		}
		if days := s.Days(); len(days) != 1 || days[0].Events != int64(found) {
			t.Errorf("clone %d: days are %v, but there are %d events", i, days, found)
		}
		must(t, s.Close())
	}
	if len(clones) == 0 {
		t.Error("there was no crash")
	}
}

func TestLargeEvents(t *testing.T) {
	effort.NeedsLong(t)
	s := prepared(t, vfs.NewMem(), "spool")
	defer s.Close()
	a := made(tenth.Start(), strings.Repeat("\x00", 10_000), strings.Repeat("x", 5<<20))
	b := made(tenth.Start(), strings.Repeat("x", 10_000), strings.Repeat("y", 5<<20))
	if n := appendAll(t, s, b.item(), a.item(), b.item()); n != 2 {
		t.Errorf("%d events were new", n)
	}
	_, err := s.Freeze(0, tenth)
	must(t, err)
	got := scanStore(t, s, 0, tenth)
	if len(got) != 2 || got[0] != a.out() || got[1] != b.out() {
		t.Errorf("%d events came out", len(got))
	}
}

func TestAScanThatEndsEarlyMayBeRepeated(t *testing.T) {
	s := prepared(t, vfs.NewMem(), "spool")
	for n := range 10 {
		appendAll(t, s, numbered(n, 10))
	}
	_, err := s.Freeze(0, tenth)
	must(t, err)
	for want := 1; want <= 10; want++ {
		n := 0
		for _, err := range s.Scan(0, tenth, &spool.ScanStats{}) {
			must(t, err)
			if n++; n == want {
				break
			}
		}
		if n != want {
			t.Errorf("%d events, want %d", n, want)
		}
	}
	must(t, s.Close()) // which fails where a scan was not ended
}

// TestAppendEachTellsWhatIsNew appends events of several trails and days in one call of several batches.
func TestAppendEachTellsWhatIsNew(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := prepared(t, mem, "spool")
	other, err := s.TrailID("other")
	must(t, err)
	const pad = smallMemTable / 10 // one event a batch
	one, two, three := numbered(1, pad), numbered(2, pad), numbered(3, pad)
	elsewhere, nextDay := one, one
	elsewhere.Group.Trail = other
	nextDay.Group.Day++
	for _, step := range []struct {
		items []spool.Item
		fresh []bool
	}{
		{[]spool.Item{one, one, elsewhere, two, nextDay, one, elsewhere}, []bool{true, false, true, true, true, false, false}},
		{[]spool.Item{nextDay, three, two}, []bool{false, true, false}},
		{[]spool.Item{nextDay, two}, []bool{false, false}},
	} {
		fresh := make([]bool, len(step.items))
		must(t, s.AppendEach(step.items, fresh))
		if diff := gocmp.Diff(step.fresh, fresh); diff != "" {
			t.Errorf("fresh (-want +got):\n%s", diff)
		}
		must(t, s.AppendEach(step.items, nil))
		_, err := s.Freeze(0, tenth) // what is frozen is known as well
		must(t, err)
	}
	if err := s.AppendEach([]spool.Item{one}, make([]bool, 2)); err == nil {
		t.Error("two answers fit one event")
	}
	must(t, s.AppendEach(nil, nil))
	crashed := openStore(t, mem.CrashClone(vfs.CrashCloneCfg{}), "spool")
	want := []spool.TrailDay{{Day: tenth, Events: 3}, {Day: tenth + 1, Events: 1}, {Trail: other, Day: tenth, Events: 1}}
	if diff := gocmp.Diff(want, crashed.Days()); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	must(t, errors.Join(s.Close(), crashed.Close()))
}

// randomText is text that can't be compressed much.
func randomText(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + rand.IntN(26))
	}
	return string(b)
}
