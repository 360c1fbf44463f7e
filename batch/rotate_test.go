package batch_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// A trail is taken out of the configuration after a run that was stopped, and comes back after a rotation: what was sealed with the old key must be in the log by
// then, since it cannot come there later.
func TestRotationSettlesTrailsThatAreNotExported(t *testing.T) {
	for name, c := range map[string]struct {
		fails   string
		refused bool
	}{
		"before the note": {"SHA256SUMS.note", true},
		"before the log":  {"log/next", false},
	} {
		t.Run(name, func(t *testing.T) {
			i, store := newInstallation(t), memory(t)
			s := i.settings(store)
			mustExport(t, i, s, writeLines(t, records("x", 9, 10)...))
			store.FailKey("put", c.fails, sinktest.Fault{Err: context.DeadlineExceeded})
			if _, err := i.export(t, s, writeLines(t, records("y", 10, 10)...)); err == nil {
				t.Fatal("the run was not stopped")
			}
			store.Heal()
			if !c.refused { // so that the step, which would be published as it is, is not there
				if err := os.RemoveAll(filepath.Join(s.Data, "log")); err != nil {
					t.Fatal(err)
				}
				s.Store = store.Clone(t) // which does not hold us to the bytes of the step that is forgotten
			}
			next, err := seal.GenerateKey(filepath.Join(t.TempDir(), "key"), "next")
			if err != nil {
				t.Fatal(err)
			}
			off := s
			off.Trails = []batch.Trail{s.Trails[0]}
			off.Trails[0].Name = "another"
			rotate := func() error {
				r, err := batch.Open(t.Context(), off)
				if err != nil {
					t.Fatal(err)
				}
				_, _, err = r.RotateKey(t.Context(), next)
				return errors.Join(err, r.Close())
			}
			if err := rotate(); errors.Is(err, sink.ErrConflict) != c.refused || err != nil && !c.refused {
				t.Fatalf("error %v", err)
			}
			if c.refused {
				mustExport(t, i, s, writeLines(t, records("y", 10, 10)...))
				if err := rotate(); err != nil {
					t.Fatal(err)
				}
			}
			s.Key = next
			mustExport(t, i, s, writeLines(t, records("z", 11, 10)...))
		})
	}
}
