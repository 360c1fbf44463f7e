package batch

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A set of keys and an unfinished one of its name go together.
func TestDropKeysOfOneName(t *testing.T) {
	s := &state{dir: t.TempDir()}
	long := time.Now().AddDate(0, 0, -9)
	for _, name := range []string{"0000", "0000" + unfinished, "0001" + unfinished} {
		dir := filepath.Join(s.dir, "keys", "audit", "2026-03-09", name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.dropKeys(time.Now().AddDate(0, 0, -1)); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, "keys", "audit", "2026-03-09")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
