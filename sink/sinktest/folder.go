package sinktest

import (
	"os"
	"testing"
)

// Folder returns a folder that goes with the test, in memory where the system has that. It is for tests that sync thousands of files and cut no power: half of
// their time would be the disk's.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "daybook-") //nolint:usetesting // TempDir cannot say where
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
