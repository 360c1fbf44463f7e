package batch_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"daybook/retention"
	"daybook/sink"
)

// Keys whose removal came to a stop are none, and not fewer than there were: what they knew would be sealed once more.
func TestKeysAreRemovedAsAWhole(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Policies = append(retention.Policies{{Class: "reads", EventTypes: []string{"file-*"}, Mode: sink.Compliance, Retain: 24 * time.Hour}}, s.Policies...)
	path := writeLines(t, records("x", 9, 3)...)
	mustExport(t, i, s, path)
	keys := filepath.Join(s.Data, "keys", "audit", "2026-03-09", "0000")
	busy := filepath.Join(keys, "zzz") // what can't be removed
	if err := os.Mkdir(busy, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", busy, "tmpfs", 0, ""); err != nil {
		t.Skipf("cannot mount a disk for this test, which takes root: %v", err)
	}
	if err := os.Chtimes(keys, now, now.Add(-2*s.DedupeWindow)); err != nil {
		t.Fatal(err)
	}
	_, err := i.export(t, s, path)
	for _, at := range []string{busy, filepath.Join(keys+".new", "zzz")} { // it is one of them
		if syscall.Unmount(at, syscall.MNT_DETACH) == nil {
			if err := os.Remove(at); err != nil {
				t.Error(err)
			}
		}
	}
	if err == nil {
		t.Fatal("the keys could be removed")
	}
	if r := mustExport(t, i, s, path); r.Written != 0 || r.Duplicates != 3 {
		t.Errorf("%d events were written again, %d are duplicates", r.Written, r.Duplicates)
	}
}
