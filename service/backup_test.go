package service_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch"
)

// backup returns a backup.
func (w *world) backup() []byte {
	w.t.Helper()
	data, code := w.try("", http.MethodGet, "/v1/backup", nil)
	if code != http.StatusOK {
		w.t.Fatalf("backup: %d %s", code, data)
	}
	return data
}

// A backup in which a bit was flipped, or that was cut short, is refused, and nothing of it is left.
func TestRestoreDamaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	noise := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // never fails
	write(t, filepath.Join(w.config.Batch.Data, "quarantine-like"), string(noise))
	whole := w.backup()
	dir := filepath.Join(t.TempDir(), "restored")
	for n := range 12 {
		at := (2*n + 1) * len(whole) / 24
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1
		for what, data := range map[string][]byte{"a flipped bit": damaged, "the end": whole[:at]} {
			if _, err := batch.Restore(t.Context(), bytes.NewReader(data), dir); !errors.Is(err, batch.ErrBackup) {
				t.Errorf("%s at byte %d of %d: %v", what, at, len(whole), err)
			}
			left, err := os.ReadDir(filepath.Dir(dir))
			if err != nil || len(left) > 0 {
				t.Fatalf("%v, and left is %v", err, left)
			}
		}
	}
	if _, err := batch.Restore(t.Context(), bytes.NewReader(whole), dir); err != nil {
		t.Fatal(err)
	}
}

// In a backup the cursor of what became an event may be ahead of the journal: what is recorded after it was restored is an event all the same.
func TestRestoreCursorAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.shut()
	cursor := filepath.Join(w.config.Batch.Data, "control", "recorded")
	write(t, cursor, "9\n")
	w.open()
	_, stop := w.serve()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.clock.move(20 * time.Hour)
	w.roll()
	if rows := w.evidence(w.manifests("audit")[0]); !strings.Contains(rows, `"action":"daybook.service.start"`) {
		t.Errorf("the start is no event: %s", rows)
	}
}
