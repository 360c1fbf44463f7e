package spool_test

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"daybook/batch/spool"
	"daybook/event"
	"daybook/internal/effort"
)

// added is an event as it was given to a sorter.
type added struct {
	group            spool.Group
	event            event.Event
	row              []byte
	ordinal, suspect bool
}

func add(tb testing.TB, w *spool.Writer, list ...added) {
	tb.Helper()
	for i := range list {
		a := &list[i]
		if err := w.Add(a.group, &a.event, a.row, a.ordinal, a.suspect); err != nil {
			tb.Fatal(err)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// made returns an event with that id.
func made(at time.Time, id, action string) added {
	var e event.Event
	e.Time = at
	e.Set(event.ID, id)
	e.Set(event.Source, "test")
	e.Set(event.Org, "acme")
	e.Set(event.Action, action)
	return added{group: spool.Group{Day: event.DayOf(at)}, event: e, row: e.AppendJSON(nil)}
}

// unnamed returns an event as intake makes it of one that has no id.
func unnamed(at time.Time, action string, extra string) added {
	a := made(at, "", action)
	a.event.Unset(event.ID)
	if extra != "" {
		a.event.Set(event.Info, extra)
	}
	hash := a.event.ContentHash(a.event.AppendJSON(nil))
	a.event.Set(event.ID, hex.EncodeToString(hash[:12])+"00000000")
	a.row = a.event.AppendJSON(nil)
	a.ordinal = true
	return a
}

// named is a, as if its source had given it that id.
func (a added) named(id string) added {
	a.event = a.event.Clone()
	a.event.Set(event.ID, id)
	a.row = a.event.AppendJSON(nil)
	a.ordinal = false
	return a
}

// out is an event as a scan hands it out.
type out struct {
	Class   uint8
	Micros  int64
	ID      string
	Hash    string
	Row     string
	Suspect bool
}

func (a *added) out() out {
	hash := a.event.ContentHash(a.row)
	return out{a.group.Class, a.event.Time.UnixMicro(), a.event.Get(event.ID), string(hash[:]), string(a.row), a.suspect}
}

func compareOut(a, b out) int {
	return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Micros, b.Micros), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Hash, b.Hash))
}

// model is what a scan must hand out, worked out in memory.
func model(list []added, trail uint16, day event.Day) (events []out, duplicates int64) {
	equal := map[out][]added{}
	for _, a := range list {
		if a.group.Trail != trail || a.group.Day != day {
			continue
		}
		key := a.out()
		key.Row, key.Suspect = "", false
		equal[key] = append(equal[key], a)
		duplicates++
	}
	found := map[out]out{}
	for key, same := range equal {
		slices.SortFunc(same, func(a, b added) int { return cmp.Or(bytes.Compare(a.row, b.row)) })
		if _, ok := found[key]; !ok || same[0].row != nil && string(same[0].row) < found[key].Row {
			found[key] = same[0].out()
		}
		ordinals := 0
		for i, a := range same {
			if !a.ordinal {
				continue
			}
			if i > 0 && ordinals > 0 {
				id := a.event.Get(event.ID)
				n := a.named(id[:len(id)-spool.OrdinalDigits] + fmt.Sprintf("%08x", ordinals))
				key := n.out()
				key.Row, key.Suspect = "", false
				found[key] = n.out()
			}
			ordinals++
		}
	}
	for _, o := range found {
		events = append(events, o)
	}
	slices.SortFunc(events, compareOut)
	return events, duplicates - int64(len(events))
}

// scanOf goes through a trail's day.
func scanOf(tb testing.TB, s *spool.Sorter, trail uint16, day event.Day) ([]out, int64) {
	tb.Helper()
	var stats spool.ScanStats
	var list []out
	for item, err := range s.Scan(trail, day, &stats) {
		if err != nil {
			tb.Fatal(err)
		}
		if item.Group.Trail != trail || item.Group.Day != day {
			tb.Fatalf("an event of %+v is among those of trail %d, %v", item.Group, trail, day)
		}
		list = append(list, outOf(tb, item))
	}
	return list, stats.Duplicates
}

// outOf reads an item, and checks that its tail is that of its row.
func outOf(tb testing.TB, item spool.Item) out {
	tb.Helper()
	var e event.Event
	tail, err := spool.TailOf(nil, &e, item.Row)
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(tail, item.Tail) {
		tb.Fatalf("the tail %x is not that of the row, %x: %s", item.Tail, tail, item.Row)
	}
	if !spool.MicrosOf(tail).Equal(e.Time.Truncate(time.Microsecond)) {
		tb.Errorf("MicrosOf gives %v for an event of %v", spool.MicrosOf(tail), e.Time)
	}
	e = e.Clone()
	a := added{group: item.Group, event: e, row: slices.Clone(item.Row), suspect: item.Suspect}
	return a.out()
}

// randomEvents returns events that collide in every way there is.
func randomEvents(rng *rand.Rand, n int) []added {
	days := []time.Time{
		time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC), time.Date(2099, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	ids := []string{"", "a", "a\x00", "a\x00\x00", "a\x00\x01", "a\x00ÿ", "a\x01", "ab", "b", "\x00", strings.Repeat("\x00", 300),
		strings.Repeat("x", 10_000), strings.Repeat("x", 10_000) + "y", "00000000-0000-4000-8000-00000000000", "ÿ"}
	var list []added
	for range n {
		at := days[rng.IntN(len(days))].Add(time.Duration(rng.IntN(4)) * time.Microsecond / 2)
		var a added
		switch rng.IntN(8) {
		case 0, 1:
			a = unnamed(at, fmt.Sprint("act", rng.IntN(3)), "")
		case 2:
			a = unnamed(at, "act", fmt.Sprintf(`{"secret":"%s"}`, event.Redacted(fmt.Sprintf("%08x", rng.IntN(4)))))
		case 3: // an export that is read in again
			a = unnamed(at, fmt.Sprint("act", rng.IntN(3)), "")
			id := a.event.Get(event.ID)
			a = a.named(id[:len(id)-8] + []string{"00000000", "00000001", "00000001z", "00000000z", "00000002"}[rng.IntN(5)])
		case 4:
			a = made(at, ids[rng.IntN(len(ids))], fmt.Sprint("act", rng.IntN(3)))
		case 5:
			a = made(at, fmt.Sprintf("%08x-%d", rng.Uint32(), rng.IntN(10)), "act")
		default:
			if len(list) == 0 {
				continue
			}
			a = list[rng.IntN(len(list))] // again
		}
		if a.group.Class == 0 {
			a.group.Class = uint8(rng.IntN(2) * 254)
		}
		a.group.Trail = []uint16{0, 1, 65535}[rng.IntN(3)]
		a.suspect = a.event.Time.Year() == 2099
		list = append(list, a)
	}
	return list
}

func TestScanEqualsASortInMemory(t *testing.T) {
	seeds := uint64(20)
	if !effort.Thorough() {
		t.Log("6 inputs are tried: make test tries 20")
		seeds = 6
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 1))
		list := randomEvents(rng, 300+rng.IntN(2500))
		s := spool.NewSorter(t.TempDir(), 0)
		writers := make([]*spool.Writer, 1+rng.IntN(4))
		for i := range writers {
			writers[i] = s.Writer()
		}
		want := map[spool.TrailDay]bool{}
		counts := map[spool.Group]int64{}
		for i, a := range list {
			add(t, writers[rng.IntN(len(writers))], a)
			counts[spool.Group{Trail: a.group.Trail, Day: a.group.Day}]++
			if i%100 == 99 { // some have only part of the events
				k := rng.IntN(len(writers))
				must(t, writers[k].Close())
				writers[k] = s.Writer()
			}
		}
		for _, w := range writers {
			must(t, w.Close())
		}
		for g, n := range counts {
			want[spool.TrailDay{Trail: g.Trail, Day: g.Day, Events: n}] = true
		}
		days := s.Days()
		got := map[spool.TrailDay]bool{}
		for _, d := range days {
			got[d] = true
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: days (-want +got):\n%s", seed, diff)
		}
		if !slices.IsSortedFunc(days, func(a, b spool.TrailDay) int {
			return cmp.Or(cmp.Compare(a.Trail, b.Trail), cmp.Compare(a.Day, b.Day))
		}) {
			t.Errorf("seed %d: the days are out of order: %v", seed, days)
		}
		for range 2 { // a scan may be repeated
			for _, d := range days {
				wantEvents, wantDuplicates := model(list, d.Trail, d.Day)
				gotEvents, gotDuplicates := scanOf(t, s, d.Trail, d.Day)
				if diff := gocmp.Diff(wantEvents, gotEvents); diff != "" {
					t.Fatalf("seed %d: trail %d, %v (-want +got):\n%s", seed, d.Trail, d.Day, diff)
				}
				if gotDuplicates != wantDuplicates {
					t.Errorf("seed %d: %d duplicates, want %d", seed, gotDuplicates, wantDuplicates)
				}
			}
		}
		if got, n := scanOf(t, s, 7, 0); got != nil || n != 0 {
			t.Errorf("a trail without events has %d", len(got))
		}
		must(t, s.Close())
	}
}

func TestEventsWithoutIDsAreNumbered(t *testing.T) {
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	a := unnamed(at, "act", "")
	prefix := strings.TrimSuffix(a.event.Get(event.ID), "00000000")
	s := spool.NewSorter(t.TempDir(), 0)
	defer s.Close()
	for range 3 {
		w := s.Writer()
		add(t, w, a, a.named(prefix+"00000001"), a, a.named(prefix+"00000000z"))
		must(t, w.Close())
	}
	got, duplicates := scanOf(t, s, 0, a.group.Day)
	var ids []string
	for _, o := range got {
		ids = append(ids, strings.TrimPrefix(o.ID, prefix))
	}
	want := []string{"00000000", "00000000z", "00000001", "00000002", "00000003", "00000004", "00000005"}
	if diff := gocmp.Diff(want, ids); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if duplicates != 5 {
		t.Errorf("%d duplicates, want 5", duplicates)
	}
}

// TestManyDifferentCopies has more copies than are held. They are handed out early, before an event whose id was made up to stand in between.
func TestManyDifferentCopies(t *testing.T) {
	effort.NeedsLong(t)
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	pad := strings.Repeat("x", 8<<10)
	n := spool.MaxCopies/(8<<10) + 500
	s := spool.NewSorter(t.TempDir(), 0)
	defer s.Close()
	w := s.Writer()
	for i := range n {
		a := unnamed(at, "act", fmt.Sprintf(`{"secret":"%s","pad":"%s"}`, event.Redacted(fmt.Sprintf("%08x", i)), pad))
		add(t, w, a)
		if i == 0 {
			add(t, w, a.named(a.event.Get(event.ID)+"z"))
		}
	}
	must(t, w.Close())
	got, duplicates := scanOf(t, s, 0, event.DayOf(at))
	if len(got) != n+1 || duplicates != 0 {
		t.Fatalf("%d events and %d duplicates, want %d and none", len(got), duplicates, n+1)
	}
	if i := slices.IndexFunc(got, func(o out) bool { return strings.HasSuffix(o.ID, "z") }); i < 100 {
		t.Errorf("the event in between is number %d: all copies were held", i)
	} else {
		got = slices.Delete(got, i, i+1)
	}
	for i, o := range got {
		if !strings.HasSuffix(o.ID, fmt.Sprintf("%08x", i)) || !strings.Contains(o.Row, event.Redacted(fmt.Sprintf("%08x", i))) {
			t.Fatalf("event %d is %s: %.200s", i, o.ID, o.Row)
		}
	}
}

func TestARowThatDoesNotBeginWithItsID(t *testing.T) {
	a := unnamed(time.Unix(1, 0).UTC(), "act", "")
	s := spool.NewSorter(t.TempDir(), 0)
	defer s.Close()
	w := s.Writer()
	a.row = []byte(`{"time":"1970-01-01T00:00:01Z"}`)
	add(t, w, a, a)
	must(t, w.Close())
	var stats spool.ScanStats
	var failed error
	for _, err := range s.Scan(0, 0, &stats) {
		failed = err
	}
	if failed == nil || !strings.Contains(failed.Error(), "does not begin") {
		t.Errorf("the scan ended with %v", failed)
	}
}

func TestManyRuns(t *testing.T) {
	effort.NeedsThorough(t)
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	pad := strings.Repeat("x", 150<<10) // one to a run
	for _, runs := range []int{spool.MaxFanIn + 40, 2*spool.MaxFanIn + 20} {
		s := spool.NewSorter(t.TempDir(), 0)
		w := s.Writer()
		for i := range runs {
			a := made(at.Add(time.Duration(i*7919%runs)*time.Second), fmt.Sprint(i), pad)
			a.group.Day += event.Day(i % 3)
			add(t, w, a)
			if s.Runs() > 2*spool.MaxFanIn {
				t.Fatalf("%d runs are open", s.Runs())
			}
		}
		must(t, w.Close())
		// Scans of several days at once must not merge each other's runs away.
		var group sync.WaitGroup
		counts := make([]int, 3)
		for d := range counts {
			group.Go(func() {
				var stats spool.ScanStats
				last := time.Time{}
				for item, err := range s.Scan(0, event.DayOf(at)+event.Day(d), &stats) {
					if err != nil {
						t.Error(err)
						return
					}
					if at := spool.MicrosOf(item.Tail); at.Before(last) {
						t.Error("out of order")
					} else {
						last = at
					}
					counts[d]++
				}
			})
		}
		group.Wait()
		if n := counts[0] + counts[1] + counts[2]; n != runs {
			t.Errorf("%d of %d events came out", n, runs)
		}
		if s.Runs() > spool.MaxFanIn {
			t.Errorf("%d runs are left", s.Runs())
		}
		must(t, s.Close())
	}
}

// TestLongRows has rows that neither the arena nor a reader's buffer holds, some of them equal but for a tag.
func TestLongRows(t *testing.T) {
	effort.NeedsLong(t)
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	var list []added
	for i := range 24 {
		size := []int{100, 30 << 10, 33 << 10, 64 << 10, 100 << 10, 5 << 20}[i%6]
		a := made(at, fmt.Sprint(i%4), "")
		a.event.Set(event.Info, fmt.Sprintf(`{"pad":"%s","secret":"%s"}`, strings.Repeat("y", size), event.Redacted(fmt.Sprintf("%08d", i))))
		a.row = a.event.AppendJSON(nil)
		list = append(list, a, a)
	}
	s := spool.NewSorter(t.TempDir(), 0)
	defer s.Close()
	for i := range list {
		w := s.Writer()
		add(t, w, list[i], list[(i*5+1)%len(list)])
		if w.Arena() > 1<<20 {
			t.Fatalf("a writer holds %d bytes", w.Arena())
		}
		must(t, w.Close())
	}
	want, _ := model(list, 0, event.DayOf(at))
	got, _ := scanOf(t, s, 0, event.DayOf(at))
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("event %d is %.200v, want %.200v", i, got[i], want[i])
		}
	}
}

func TestTheOutputDoesNotDependOnTheWriters(t *testing.T) {
	effort.NeedsLong(t)
	list := randomEvents(rand.New(rand.NewPCG(3, 3)), 3000)
	digest := func(seed uint64, memory, writers int) string {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := spool.NewSorter(t.TempDir(), memory)
		defer s.Close()
		shuffled := slices.Clone(list)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		var group sync.WaitGroup
		for k := range writers {
			group.Go(func() {
				w := s.Writer()
				for i := k; i < len(shuffled); i += writers {
					a := shuffled[i]
					if err := w.Add(a.group, &a.event, a.row, a.ordinal, a.suspect); err != nil {
						t.Error(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		var b strings.Builder
		for _, d := range s.Days() {
			events, duplicates := scanOf(t, s, d.Trail, d.Day)
			fmt.Fprintln(&b, d, duplicates, events)
		}
		return b.String()
	}
	want := digest(0, 64<<20, 1)
	for i, writers := range []int{1, 2, 3, 7} {
		if digest(uint64(i+1), i<<19, writers) != want {
			t.Errorf("%d writers: other output", writers)
		}
	}
}

func TestConflicts(t *testing.T) {
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	const n = 5000
	for _, limit := range []int{0, 1000} {
		dir := t.TempDir()
		s := spool.NewSorter(dir, 0)
		if limit > 0 {
			s.LimitIDs(limit, 10)
		}
		w := s.Writer()
		var list []added
		for i := range n {
			a := made(at, fmt.Sprint("id", i), "act")
			list = append(list, a, a)
			if i%100 == 0 { // on another day, with other content
				list = append(list, made(at.AddDate(0, 0, 1), fmt.Sprint("id", i), "other"))
			}
			if i%100 == 1 { // of another source: another event
				b := made(at, fmt.Sprint("id", i), "other")
				b.event.Set(event.Source, "elsewhere")
				b.row = b.event.AppendJSON(nil)
				list = append(list, b)
			}
		}
		list = append(list, unnamed(at, "act", ""), unnamed(at, "act", ""))
		for i := range list {
			if i%500 == 499 {
				must(t, w.Close())
				w = s.Writer()
			}
			add(t, w, list[i])
		}
		must(t, w.Close())
		check := func(c *spool.Conflicts) {
			t.Helper()
			for i := range list {
				e := &list[i].event
				var k int
				fmt.Sscanf(e.Get(event.ID), "id%d", &k) //nolint:errcheck // then it is 0, and below as well
				want := strings.HasPrefix(e.Get(event.ID), "id") && k%100 == 0
				if c.Has(e) != want {
					t.Fatalf("Has(%s) = %v", list[i].row, !want)
				}
			}
		}
		for range 2 {
			c, err := s.Conflicts()
			must(t, err)
			check(c)
		}
		c, err := spool.FindConflicts(func(yield func(spool.Item, error) bool) {
			for day := range event.Day(2) {
				var stats spool.ScanStats
				for item, err := range s.Scan(0, event.DayOf(at)+day, &stats) {
					if !yield(item, err) {
						return
					}
				}
			}
		}, dir)
		must(t, err)
		check(c)
		must(t, s.Close())
		check(c) // it outlives the sorter
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("Close left %v, %v", left, err)
		}
	}
}

func TestNoConflicts(t *testing.T) {
	s := spool.NewSorter(t.TempDir(), 0)
	defer s.Close()
	a := made(time.Unix(1, 0), "a", "act")
	c, err := s.Conflicts()
	must(t, err)
	if c.Has(&a.event) || (&spool.Conflicts{}).Has(&a.event) {
		t.Error("an event is in conflict with nothing")
	}
	if len(s.Days()) != 0 {
		t.Errorf("days: %v", s.Days())
	}
	must(t, s.Writer().Close())
}

// TestMemory counts all that is ever allocated, which is more than is held at once.
func TestMemory(t *testing.T) {
	allocated := func(n int) uint64 {
		list := make([]added, 1000)
		for i := range list {
			list[i] = made(time.Time{}, "", strings.Repeat("x", 600))
		}
		s := spool.NewSorter(t.TempDir(), 1<<20)
		s.LimitIDs(10_000, 1000)
		defer s.Close()
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprint(i)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := s.Writer()
		for i := range n {
			a := &list[i%len(list)]
			a.event.Time = time.Unix(int64(i), 0)
			a.event.Set(event.ID, ids[i])
			if err := w.Add(spool.Group{}, &a.event, a.row, false, false); err != nil {
				t.Fatal(err)
			}
		}
		must(t, w.Close())
		_, err := s.Conflicts()
		must(t, err)
		var stats spool.ScanStats
		count := 0
		for _, err := range s.Scan(0, 0, &stats) {
			if err != nil {
				t.Fatal(err)
			}
			count++
		}
		runtime.ReadMemStats(&after)
		if count != n {
			t.Fatalf("%d of %d events came out", count, n)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := allocated(10_000), allocated(100_000)
	// Nine times as many runs, each with a file and a buffer to read it.
	if limit := few + 90*(80<<10); many > limit {
		t.Errorf("%d bytes were allocated for 10,000 events, %d for 100,000: want at most %d", few, many, limit)
	}
	t.Logf("%d bytes were allocated for 10,000 events, %d for 100,000", few, many)
}

func TestTheTailIsFrozen(t *testing.T) {
	got := spool.AppendTail(nil, time.UnixMicro(1), "a\x00b", [32]byte{1, 2, 31: 16})
	want := "8000000000000001" + "6100ff62" + "0001" + "0102" + "0000000000000000000000000000000000000000000000000000000000" + "10"
	if hex.EncodeToString(got) != want {
		t.Errorf("the tail is %x, want %s", got, want)
	}
}

func FuzzKeyOrder(f *testing.F) {
	f.Add(int64(0), "a", []byte("h"), int64(0), "a\x00", []byte("g"))
	f.Add(int64(-1), "a\x00\x01", []byte{}, int64(1), "a\x00\xff", []byte{})
	f.Add(int64(-1), "", []byte{1}, int64(-1), "", []byte{2})
	f.Add(int64(5), "x\x00", []byte{1}, int64(5), "x", []byte{0xff})
	f.Fuzz(func(t *testing.T, at1 int64, id1 string, hash1 []byte, at2 int64, id2 string, hash2 []byte) {
		var h1, h2 [32]byte
		copy(h1[:], hash1)
		copy(h2[:], hash2)
		a := spool.AppendTail(nil, time.UnixMicro(at1), id1, h1)
		b := spool.AppendTail(nil, time.UnixMicro(at2), id2, h2)
		want := cmp.Or(cmp.Compare(at1, at2), cmp.Compare(id1, id2), bytes.Compare(h1[:], h2[:]))
		if got := bytes.Compare(a, b); got != want {
			t.Errorf("(%d, %q, %x) and (%d, %q, %x) compare as %d, their tails %x and %x as %d", at1, id1, h1, at2, id2, h2, want, a, b, got)
		}
		if spool.SameEvent(a, b) != (at1 == at2 && id1 == id2) {
			t.Errorf("SameEvent(%x, %x) = %v", a, b, spool.SameEvent(a, b))
		}
	})
}
