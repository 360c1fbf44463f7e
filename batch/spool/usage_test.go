package spool_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"daybook/batch/spool"
	"daybook/event"
)

func TestOldest(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := prepared(t, mem, "spool")
	for _, name := range []string{"a", "b", "c"} {
		if _, err := s.ClassID(name); err != nil {
			t.Fatal(err)
		}
	}
	now := tenth.Start()
	filed := func(day event.Day, class uint8, at time.Time) spool.Item {
		a := made(at, "id", "x")
		item := a.item()
		item.Group.Day, item.Group.Class = day, class
		return item
	}
	check := func(want time.Time, ok bool) {
		t.Helper()
		crashed := openStore(t, mem.CrashClone(vfs.CrashCloneCfg{}), "spool")
		for _, s := range []*spool.Store{s, crashed, crashed} {
			if got, found := s.Oldest(0); !got.Equal(want) || found != ok {
				t.Errorf("Oldest = %v, %v, want %v, %v", got, found, want, ok)
			}
		}
		must(t, crashed.Close())
	}
	check(time.Time{}, false)
	appendAll(t, s, filed(tenth, 3, now.Add(5*time.Hour)))
	check(now.Add(5*time.Hour), true)
	appendAll(t, s, filed(tenth+1, 0, now.Add(25*time.Hour)), filed(tenth, 1, now.Add(6*time.Hour)))
	check(now.Add(5*time.Hour), true)
	number, err := s.Freeze(0, tenth)
	must(t, err)
	check(now.Add(5*time.Hour), true)
	appendAll(t, s, filed(tenth, 2, now.Add(4*time.Hour)), filed(tenth, 2, now.Add(4500*time.Minute)))
	check(now.Add(4*time.Hour), true)
	appendAll(t, s, filed(tenth+1, 1, now.Add(-1000*time.Hour))) // of suspect time
	check(now.Add(-1000*time.Hour), true)
	must(t, s.MarkSealed(0, tenth, number, sealed(2, now)))
	next, err := s.Freeze(0, tenth+1)
	must(t, err)
	must(t, s.MarkSealed(0, tenth+1, next, sealed(2, now)))
	check(now.Add(4*time.Hour), true)
	must(t, s.Close())
	if _, ok := s.Oldest(1); ok {
		t.Error("a trail without events has one that is pending")
	}
}

func TestUsage(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 2 << 30})
	s := prepared(t, mem, "spool")
	before, err := s.Usage()
	must(t, err)
	if before.Free != 1<<30 || before.MinFree != 256<<20 {
		t.Errorf("usage: %+v", before)
	}
	for n := range 100 {
		a := made(tenth.Start(), "id", randomText(10_000+n))
		appendAll(t, s, a.item())
	}
	after, err := s.Usage()
	must(t, err)
	if syncs := after.Syncs - before.Syncs; syncs < 100 || syncs > 110 {
		t.Errorf("to append a hundred times synced the log %d times", syncs)
	}
	if grown := after.Bytes - before.Bytes; grown < 500_000 || grown > 5_000_000 {
		t.Errorf("a megabyte of events takes %d bytes", grown)
	}
	must(t, s.Ready())
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 255 << 20, TotalBytes: 2 << 30})
	if err := s.Ready(); !errors.Is(err, spool.ErrFull) {
		t.Errorf("on a full disk, Ready gives %v", err)
	}
	must(t, s.Close())
	if err := s.Ready(); !errors.Is(err, spool.ErrStopped) {
		t.Errorf("once closed, Ready gives %v", err)
	}
	if _, err := s.Usage(); !errors.Is(err, spool.ErrStopped) {
		t.Errorf("once closed, Usage gives %v", err)
	}
}

func TestStopped(t *testing.T) {
	var toggle errorfs.Toggle
	toggle.Injector = errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			return errorfs.ErrInjected
		}
		return nil
	})
	s := prepared(t, errorfs.Wrap(vfs.NewMem(), &toggle), "spool")
	select {
	case <-s.Done():
		t.Error("it is done")
	default:
	}
	if err := s.Stopped(); err != nil {
		t.Error(err)
	}
	toggle.On()
	if _, err := s.Append([]spool.Item{numbered(1, 10)}); err == nil {
		t.Error("the disk does not fail")
	}
	toggle.Off()
	<-s.Done()
	if err := s.Stopped(); !errors.Is(err, spool.ErrStopped) || !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("Stopped gives %v", err)
	}
	if _, err := s.Usage(); err != nil {
		t.Errorf("once stopped, Usage gives %v", err)
	}
	_ = s.Close() // which fails as well
	closed := prepared(t, vfs.NewMem(), "spool")
	must(t, closed.Close())
	<-closed.Done()
	if err := closed.Stopped(); !errors.Is(err, spool.ErrStopped) {
		t.Errorf("once closed, Stopped gives %v", err)
	}
}
