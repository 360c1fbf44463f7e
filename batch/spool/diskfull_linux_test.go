package spool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"daybook/batch/spool"
	"daybook/internal/effort"
)

// smallDisk mounts a file system in memory at a new folder, or skips the test where the user may not.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("cannot mount a disk of its own for this test, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestSorterOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 1<<20)
	s := spool.NewSorter(dir, 0)
	w := s.Writer()
	var failed error
	for i := 0; failed == nil && i < 10_000; i++ {
		a := made(time.Unix(int64(i), 0), fmt.Sprint(i), strings.Repeat("x", 1000))
		failed = w.Add(a.group, &a.event, a.row, false, false)
	}
	if !errors.Is(failed, syscall.ENOSPC) || !strings.Contains(failed.Error(), dir) {
		t.Errorf("Add ended with %v", failed)
	}
	_ = w.Close() // what was to be written is lost, and said so
	must(t, s.Close())
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("Close left %v, %v", left, err)
	}
}

func TestMergeOnAFullDisk(t *testing.T) {
	effort.NeedsLong(t)
	dir := smallDisk(t, 80<<20) // enough for the runs, not for merging them
	s := spool.NewSorter(dir, 0)
	w := s.Writer()
	pad := strings.Repeat("x", 130<<10)
	for i := range 2*spool.MaxFanIn - 10 {
		add(t, w, made(time.Unix(int64(i), 0).UTC(), fmt.Sprint(i), pad))
	}
	must(t, w.Close())
	var stats spool.ScanStats
	var failed error
	for _, err := range s.Scan(0, 0, &stats) {
		failed = err
	}
	if !errors.Is(failed, syscall.ENOSPC) {
		t.Errorf("the scan ended with %v", failed)
	}
	must(t, s.Close())
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("Close left %v, %v", left, err)
	}
}

func TestStoreOnAFullDisk(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	store := filepath.Join(dir, "spool")
	o := &spool.Options{FS: unmeasured{vfs.Default}, MemTable: smallMemTable}
	s, err := spool.Open(store, o)
	must(t, err)
	_, err = s.TrailID("audit")
	must(t, err)
	_, err = s.ClassID("standard")
	must(t, err)
	n := 0
	for ; n < 10_000; n++ {
		a := made(tenth.Start(), fmt.Sprint(n), randomText(10_000))
		item := a.item()
		if _, err = s.Append([]spool.Item{item}); err != nil {
			break
		}
	}
	if !errors.Is(err, spool.ErrStopped) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("after %d events Append gives %v", n, err)
	}
	if err := s.Close(); !errors.Is(err, spool.ErrStopped) {
		t.Errorf("Close gives %v", err)
	}
	must(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=64m"))
	if s, err = spool.Open(store, o); err != nil {
		t.Fatal(err)
	}
	if days := s.Days(); len(days) != 1 || days[0].Events < int64(n) {
		t.Errorf("%d events were acknowledged, and %v are there", n, days)
	}
	must(t, s.Close())
	if s, err = spool.Open(store, &spool.Options{MinFree: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append([]spool.Item{numbered(1, 10)}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Append gives %v", err)
	}
	must(t, s.Close())
}

// unmeasured is a file system that can't tell how full it is.
type unmeasured struct{ vfs.FS }

func (unmeasured) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{}, vfs.ErrUnsupported
}
