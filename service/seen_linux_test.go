package service_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"daybook/service"
)

// What is known of a place's files can be read again after the disk was full in the middle of a line.
func TestSeenFilesOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16384"); err != nil {
		t.Skipf("cannot mount a disk of its own for this test, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	open := func() service.Seen {
		t.Helper()
		s, err := service.OpenSeen(filepath.Join(dir, "follow"), "place")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	const page, line = 4096, 33
	for n := range page / line { // the next line is of two pages
		if err := s.Add(byte(n)); err != nil {
			t.Fatal(err)
		}
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := s.Add(200); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for _, n := range []byte{200, 201} {
		if err := s.Add(n); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	s = open()
	defer s.Close()
	if n := s.Known(); n != page/line+2 {
		t.Errorf("%d files are known, want %d", n, page/line+2)
	}
}
