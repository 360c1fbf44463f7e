package sinktest

import (
	"os"
	"testing"
)

// Folder returns a folder that goes with the test, in memory where the system has enough of that. It is for tests that sync thousands of files and cut no power:
// half of their time would be the disk's.
func Folder(t testing.TB) string {
	t.Helper()
	if !roomy(shared) {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shared, "daybook-") //nolint:usetesting // TempDir cannot say where
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

// shared is a file system in memory. A container's has 64 MB often, which all the tests of a package that run at once can fill.
const shared = "/dev/shm"
