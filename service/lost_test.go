package service_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/service"
)

// The spool is gone, with events that were acknowledged: the service does not start, and once the spool was given up it is an alert, and a gap of all days that were not sealed.
func TestSpoolLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("sealed", begun))
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	w.send(event("late", begun), event("lost", w.clock.now()))
	w.clock.move(24 * time.Hour)
	data := w.config.Batch.Data
	backup := w.backup()
	w.shut()
	if err := os.Rename(filepath.Join(data, "spool"), data+".away"); err != nil {
		t.Fatal(err)
	}
	if s, err := service.New(w.config); !errors.Is(err, batch.ErrSpoolLost) {
		if err == nil {
			w.Service = s
		}
		t.Fatalf("it starts without its spool: %v", err)
	}
	if _, err := os.Stat(filepath.Join(data, "spool")); err == nil {
		t.Error("a spool was made")
	}
	// A backup has what it needs, its own spool's ID among it.
	restored := filepath.Join(t.TempDir(), "restored")
	if _, err := batch.Restore(t.Context(), bytes.NewReader(backup), restored); err != nil {
		t.Fatal(err)
	}
	config := w.config
	config.Batch.Data = restored
	s, err := service.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(restored, "spool")); err != nil {
		t.Fatal(err)
	}
	if _, err := service.New(config); !errors.Is(err, batch.ErrSpoolLost) {
		t.Errorf("what was restored starts without its spool: %v", err)
	}

	loss, err := batch.GiveUpSpool(data, w.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	w.open()
	w.restart() // it is declared once
	if st := w.status(); st.Level != service.LevelAlert || w.problems() != "spool-lost" {
		t.Errorf("level %s, problems %+v", st.Level, st.Problems)
	}
	if n := w.metric("daybook_spools_lost"); n != 1 {
		t.Errorf("%v spools were lost", n)
	}
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.roll()
	list := w.manifests("audit")
	if len(list) != 3 {
		t.Fatalf("seals are %v", briefs(list))
	}
	if len(list[0].Gaps) != 0 {
		t.Errorf("gaps of the day that was sealed: %+v", list[0].Gaps)
	}
	for i, to := range map[int]time.Time{1: list[1].End, 2: loss.At} {
		m := list[i]
		want := seal.Gap{From: m.Start, To: to}
		if len(m.Gaps) != 1 || !m.Gaps[0].From.Equal(want.From) || !m.Gaps[0].To.Equal(want.To) || !strings.Contains(m.Gaps[0].Reason, "the spool was given up as lost") {
			t.Errorf("gaps of %v: %+v, want %+v", m.Day, m.Gaps, want)
		}
	}
	if n := strings.Count(w.evidence(list[2]), "daybook.gap"); n != 1 {
		t.Errorf("the gap is an event of its day %d times, want once", n)
	}
	if err := os.Remove(filepath.Join(data, "spool.lost")); err != nil {
		t.Fatal(err)
	}
	if st := w.status(); st.Level != service.LevelOK || w.metric("daybook_spools_lost") != 0 {
		t.Errorf("after it was looked after: %+v", st.Problems)
	}
}
