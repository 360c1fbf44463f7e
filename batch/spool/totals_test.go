package spool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	gocmp "github.com/google/go-cmp/cmp"

	"daybook/batch/spool"
	"daybook/internal/effort"
)

func TestASealingAccountsForEveryEvent(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := prepared(t, mem, "spool")
	appendAll(t, s, numbered(1, 10), numbered(2, 10), numbered(3, 10), numbered(1, 10))
	number, err := s.Freeze(0, tenth)
	must(t, err)
	at := time.Date(2026, 3, 11, 1, 2, 3, 4, time.UTC)
	for name, x := range map[string]spool.Sealing{
		"too few":        {Seal: 1, At: at, Written: 2},
		"too many":       {Seal: 1, At: at, Written: 2, Duplicates: 1, Damaged: 1},
		"negative":       {Seal: 1, At: at, Written: 4, Duplicates: -1},
		"in no seal":     {At: at, Written: 3},
		"partly in none": {At: at, Written: 1, Duplicates: 2},
	} {
		if err := s.MarkSealed(0, tenth, number, x); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if got, want := s.Totals(0), (spool.Totals{Accepted: 4, Duplicates: 1, Pending: 3}); got != want {
		t.Errorf("totals are %+v", got)
	}
	want := spool.Sealing{Seal: 7, At: at, Written: 1, Duplicates: 1, Damaged: 1}
	must(t, s.MarkSealed(0, tenth, number, want))
	appendAll(t, s, numbered(3, 10), numbered(4, 10))
	_, err = s.Expire(at.Add(time.Second))
	must(t, err)
	want.Day, want.Generation = tenth, number
	crashed := openStore(t, mem.CrashClone(vfs.CrashCloneCfg{}), "spool")
	for _, s := range []*spool.Store{s, crashed} {
		if diff := gocmp.Diff([]spool.Sealing{want}, sealingsOf(t, s, 0)); diff != "" {
			t.Errorf("sealings (-want +got):\n%s", diff)
		}
		if got, want := checkTotals(t, s, 0, ""), (spool.Totals{Accepted: 6, Duplicates: 2, Sealed: 3, Damaged: 1, Pending: 1}); got != want {
			t.Errorf("totals are %+v", got)
		}
		if got := s.Totals(9); got != (spool.Totals{}) {
			t.Errorf("those of a trail that is not known are %+v", got)
		}
		must(t, s.Close())
	}
}

func TestCountWhileOthersAppend(t *testing.T) {
	s := prepared(t, vfs.NewMem(), "spool")
	other, err := s.TrailID("other")
	must(t, err)
	for n := range 3 * 1024 {
		item := numbered(n, 10)
		item.Group.Trail = other
		appendAll(t, s, numbered(n, 10), item)
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		for n := 3 * 1024; n < 4*1024; n++ {
			if _, err := s.Append([]spool.Item{numbered(n, 10), numbered(0, 10)}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for counting := true; counting; {
		checkTotals(t, s, 0, "while others append")
		select {
		case <-done:
			counting = false
		default:
		}
	}
	group.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Count(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Count gives %v", err)
	}
	must(t, s.Close())
}

// TestCountBelievesNoCount changes the records of a store behind its back.
func TestCountBelievesNoCount(t *testing.T) {
	for name, change := range map[string]func(*pebble.DB) error{
		"an event is gone": func(db *pebble.DB) error {
			it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{'z'}})
			must(t, err)
			it.Last() // those of a sealed generation are not counted any more
			return errors.Join(db.Delete(it.Key(), pebble.Sync), it.Close())
		},
		"an event is in a generation that is not known": func(db *pebble.DB) error {
			key := append(binary.BigEndian.AppendUint32(dayRecordKey('z'), 77), make([]byte, 50)...)
			return db.Set(key, []byte("\x00{}"), pebble.Sync)
		},
		"a sealing is gone": func(db *pebble.DB) error {
			return db.DeleteRange([]byte{'S'}, []byte{'T'}, pebble.Sync)
		},
		"the totals are gone": func(db *pebble.DB) error {
			return db.Delete([]byte("u\x00\x00"), pebble.Sync)
		},
		"a generation is gone": func(db *pebble.DB) error {
			return db.Delete(dayRecordKey('d'), pebble.Sync)
		},
	} {
		mem := vfs.NewMem()
		s := prepared(t, mem, "spool")
		appendAll(t, s, numbered(1, 10), numbered(2, 10))
		number, err := s.Freeze(0, tenth)
		must(t, err)
		must(t, s.MarkSealed(0, tenth, number, sealed(2, time.Unix(1, 0))))
		appendAll(t, s, numbered(3, 10))
		checkTotals(t, s, 0, name)
		must(t, s.Close())
		db, err := pebble.Open("spool", &pebble.Options{FS: mem, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: quiet{t}})
		must(t, err)
		must(t, errors.Join(change(db), db.Close()))
		s = openStore(t, mem, "spool")
		c, err := s.Count(t.Context(), 0)
		must(t, err)
		if err := c.Check(); err == nil {
			t.Errorf("%s: %+v is well", name, c)
		}
		must(t, s.Close())
	}
}

// quiet is the log of an engine that has nothing to say.
type quiet struct{ testing.TB }

func (quiet) Infof(string, ...any)        {}
func (q quiet) Errorf(f string, a ...any) { q.TB.Errorf(f, a...) }

func dayRecordKey(table byte) []byte {
	key := []byte{table, 0, 0}
	return binary.BigEndian.AppendUint32(key, uint32(tenth)^1<<31)
}

// firstFormat writes a folder as format 1 had it: generation 1 of trail 0 is sealed and has 3 events, 2 is frozen and has 2, 3 is open and has 1;
// trail 1 has none.
func firstFormat(t *testing.T, fs vfs.FS) {
	t.Helper()
	must(t, fs.MkdirAll("data/spool", 0o700))
	db, err := pebble.Open("data/spool", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: quiet{t}})
	must(t, err)
	set := func(key []byte, value ...byte) { must(t, db.Set(key, value, pebble.Sync)) }
	u32, u64 := binary.BigEndian.AppendUint32, binary.BigEndian.AppendUint64
	set([]byte{'a'}, 0, 0, 0, 1)
	set([]byte{'b'}, 0, 0, 0, 4)
	set([]byte{'c', 0}, []byte("standard")...)
	set([]byte{'t', 0, 0}, []byte("audit")...)
	set([]byte{'t', 0, 1}, []byte("other")...)
	set([]byte{'r'}, 0, 0, 0, 0, 0, 0, 0, 9)
	var list []byte
	n := 0
	for i, g := range []struct {
		state    byte
		events   int
		sealedAt uint64
	}{{2, 3, 1000}, {1, 2, 0}, {0, 1, 0}} {
		list = u64(u64(append(u32(list, uint32(i+1)), g.state), uint64(g.events)), g.sealedAt)
		for range g.events {
			item := numbered(n, 10)
			n++
			set(append(append(u32(dayRecordKey('z'), uint32(i+1)), 0), item.Tail...), append([]byte{0}, item.Row...)...)
		}
	}
	set(dayRecordKey('d'), list...)
	must(t, db.Close())
	file, err := fs.Create("data/spool/REVISION", vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = file.Write([]byte("9"))
	must(t, errors.Join(err, file.Sync(), file.Close()))
	dir, err := fs.OpenDir("data/spool")
	must(t, err)
	must(t, errors.Join(dir.Sync(), dir.Close()))
}

func checkUpgraded(t *testing.T, fs vfs.FS, when string) {
	t.Helper()
	s := openStore(t, fs, "data/spool")
	if got, want := checkTotals(t, s, 0, when), (spool.Totals{Accepted: 6, Sealed: 3, Pending: 3}); got != want {
		t.Fatalf("%s: totals are %+v, want %+v", when, got, want)
	}
	want := []spool.Sealing{{Day: tenth, Generation: 1, At: time.Unix(1000, 0).UTC(), Written: 3}}
	if diff := gocmp.Diff(want, sealingsOf(t, s, 0)); diff != "" {
		t.Fatalf("%s: sealings (-want +got):\n%s", when, diff)
	}
	if got := scanStore(t, s, 0, tenth); len(got) != 2 {
		t.Fatalf("%s: %d events are frozen", when, len(got))
	}
	must(t, s.Close())
}

func TestAFolderOfFormat1(t *testing.T) {
	mem := vfs.NewCrashableMem()
	firstFormat(t, mem)
	checkUpgraded(t, mem, "at first")
	checkUpgraded(t, mem, "then")
	s := openStore(t, mem, "data/spool")
	appendAll(t, s, numbered(0, 10), numbered(6, 10))
	must(t, s.MarkSealed(0, tenth, 2, sealed(2, time.Unix(2000, 0))))
	if _, err := s.Expire(time.Unix(3000, 0)); err != nil {
		t.Fatal(err)
	}
	if got, want := checkTotals(t, s, 0, ""), (spool.Totals{Accepted: 8, Duplicates: 1, Sealed: 5, Pending: 2}); got != want {
		t.Errorf("totals are %+v, want %+v", got, want)
	}
	must(t, s.Close())
}

// TestAnUpgradeThatFails fails operation n of opening a folder of format 1, and opens what a crash then leaves.
func TestAnUpgradeThatFails(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	first := vfs.NewCrashableMem()
	firstFormat(t, first)
	step := int32(1)
	if !effort.Thorough() {
		step = 7
	}
	for n := int32(0); ; n += step {
		mem := first.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
		index := errorfs.OnIndex(n)
		failed := false
		var mu sync.Mutex
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if index.MaybeError(op) != nil {
				failed = true
			}
			if failed {
				return errorfs.ErrInjected
			}
			return nil
		}))
		s, err := spool.Open("data/spool", &spool.Options{FS: fs, MemTable: smallMemTable})
		if err == nil {
			_ = s.Close() // it may fail
		}
		mu.Lock()
		done := !failed
		mu.Unlock()
		for _, kept := range []int{0, 30, 70, 100} {
			left := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rng})
			checkUpgraded(t, left, fmt.Sprintf("operation %d failed with %v, %d %% of what was not synced is kept", n, err, kept))
		}
		if done {
			t.Logf("there are %d operations", n)
			return
		}
	}
}

func TestAFolderOfANewerFormat(t *testing.T) {
	mem := vfs.NewMem()
	must(t, prepared(t, mem, "spool").Close())
	db, err := pebble.Open("spool", &pebble.Options{FS: mem, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: quiet{t}})
	must(t, err)
	must(t, errors.Join(db.Set([]byte{'a'}, []byte{0, 0, 0, 3}, pebble.Sync), db.Set([]byte{'v'}, []byte("new"), pebble.Sync), db.Close()))
	if _, err := spool.Open("spool", &spool.Options{FS: mem}); err == nil || !strings.Contains(err.Error(), "newer version of Daybook, in format 3") {
		t.Errorf("Open gives %v", err)
	}
}
