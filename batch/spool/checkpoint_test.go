package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"daybook/batch/spool"
)

// frozenIDs are the ids of what a store holds for the tenth.
func frozenIDs(t *testing.T, s *spool.Store) map[string]bool {
	t.Helper()
	_, err := s.Freeze(0, tenth)
	must(t, err)
	ids := map[string]bool{}
	for _, o := range scanStore(t, s, 0, tenth) {
		ids[o.ID] = true
	}
	return ids
}

// TestCheckpointWhileOthersAppend copies again and again, and looks in each copy, as a crash leaves it, for what was acknowledged before.
func TestCheckpointWhileOthersAppend(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := prepared(t, mem, "data/spool")
	var mu sync.Mutex
	acknowledged := 0
	var group sync.WaitGroup
	const events = 150
	tenMore := make(chan struct{}, events)
	group.Go(func() {
		defer close(tenMore)
		for n := range events {
			if _, err := s.Append([]spool.Item{numbered(n, 10_000)}); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			acknowledged = n + 1
			mu.Unlock()
			if acknowledged%10 == 0 {
				tenMore <- struct{}{}
			}
		}
	})
	copies := 0
	for range tenMore {
		mu.Lock()
		before := acknowledged
		mu.Unlock()
		dir := fmt.Sprintf("backup/%d/spool", copies)
		copies++
		must(t, s.Checkpoint(dir))
		left := mem.CrashClone(vfs.CrashCloneCfg{})
		c := openStore(t, left, dir)
		checkTotals(t, c, 0, dir)
		ids := frozenIDs(t, c)
		for n := range before {
			if !ids[fmt.Sprintf("id-%06d", n)] {
				t.Errorf("%s: event %d was acknowledged before", dir, n)
			}
		}
		if _, err := left.Stat(dir + "/REVISION"); err != nil {
			t.Error(err)
		}
		appendAll(t, c, numbered(events, 10))
		must(t, c.Close())
	}
	group.Wait()
	if copies != events/10 {
		t.Errorf("there are %d copies", copies)
	}
	if err := s.Checkpoint("backup/0/spool"); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second copy in one folder gives %v", err)
	}
	for _, dir := range []string{"data/spool", "data/spool/", "data/spool/copy"} {
		if err := s.Checkpoint(dir); err == nil {
			t.Errorf("it is copied into itself, to %s", dir)
		}
	}
	must(t, s.Close())
	if err := s.Checkpoint("backup/closed"); !errors.Is(err, spool.ErrStopped) {
		t.Errorf("once closed, Checkpoint gives %v", err)
	}
	// A copy whose manifest was lost or is of before is found out like the store itself.
	manifest := ""
	names, err := mem.List("backup/3/spool")
	must(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest") {
			manifest = name
		}
	}
	must(t, mem.Remove("backup/3/spool/"+manifest))
	if _, err := spool.Open("backup/3/spool", &spool.Options{FS: mem}); !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("a copy without a manifest opens: %v", err)
	}
}

// TestACopyThatFails fails each operation on the copy: the store goes on, and nothing is left of the copy.
func TestACopyThatFails(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var mu sync.Mutex
	fail, seen := 0, 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(op.Path, "backup/copy") || op.Kind == errorfs.OpRemoveAll || op.Kind == errorfs.OpFileClose {
			return nil
		}
		if seen++; seen == fail {
			return errorfs.ErrInjected
		}
		return nil
	}))
	s := prepared(t, fs, "data/spool")
	for n := range 60 {
		appendAll(t, s, numbered(n, 10_000))
	}
	for {
		mu.Lock()
		fail, seen = fail+1, 0
		mu.Unlock()
		err := s.Checkpoint("backup/copy")
		mu.Lock()
		done := seen < fail
		mu.Unlock()
		if done {
			must(t, err)
			break
		}
		if stopped := s.Stopped(); stopped != nil {
			t.Fatalf("operation %d: %v", fail, stopped)
		}
		if _, statErr := mem.Stat("backup/copy"); err != nil && statErr == nil {
			t.Errorf("operation %d failed with %v and left the copy", fail, err)
		}
		if err == nil { // it did not matter
			c := openStore(t, mem, "backup/copy")
			if n := len(frozenIDs(t, c)); n != 60 {
				t.Errorf("operation %d: %d events are in the copy", fail, n)
			}
			must(t, errors.Join(c.Close(), mem.RemoveAll("backup/copy")))
		}
	}
	t.Logf("there are %d operations", fail)
	appendAll(t, s, numbered(60, 10))
	must(t, s.Close())
}

func TestACopyIsForThisUserOnly(t *testing.T) {
	dir := t.TempDir()
	s := prepared(t, nil, filepath.Join(dir, "spool"))
	appendAll(t, s, numbered(1, 10))
	must(t, s.Checkpoint(filepath.Join(dir, "backup", "spool")))
	for _, name := range []string{"backup", "backup/spool"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	must(t, s.Close())
}
