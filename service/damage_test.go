package service_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch/seal"
	"daybook/service"
)

// rot turns over bytes in the middle of the largest table of the spool, whose service is closed.
func (w *world) rot() {
	w.t.Helper()
	tables, err := filepath.Glob(filepath.Join(w.config.Batch.Data, "spool", "*.sst"))
	if err != nil {
		w.t.Fatal(err)
	}
	var largest string
	var content []byte
	for _, path := range tables {
		data, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(data) > len(content) {
			largest, content = path, data
		}
	}
	if len(content) < 20_000 {
		w.t.Fatalf("the largest table of %v has %d bytes", tables, len(content))
	}
	for i := range 64 {
		content[len(content)/2+i] ^= 0xff
	}
	if err := os.WriteFile(largest, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// Bit rot in events that were acknowledged: what can be read is sealed, what can't is declared, counted and told, and the damaged files are kept.
func TestBitRotInTheSpool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	const sent = 800
	var lines []string
	for n := range sent {
		lines = append(lines, event(fmt.Sprintf("e%d-%x", n, seal.Sum(fmt.Append(nil, n))), begun.Add(-time.Duration(n)*time.Second)))
	}
	w.send(lines...)
	w.restart() // a table is made of the log
	w.shut()
	w.rot()
	w.open()
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	// The store is away first: what is declared is declared once.
	w.store.FailStep(1, fault503)
	if err := w.Roll(t.Context(), false); err == nil {
		t.Fatal("sealed without a store")
	}
	w.store.Heal()
	w.store.FailKey("put", "jsonl/", fault503)
	if err := w.Roll(t.Context(), false); err == nil {
		t.Fatal("sealed without a store")
	}
	w.store.Heal()
	w.roll()

	list := w.manifests("audit")
	if len(list) != 1 || len(list[0].Gaps) != 1 {
		t.Fatalf("seals are %v", briefs(list))
	}
	m, gap := list[0], list[0].Gaps[0]
	reconciled, err := w.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	damaged := reconciled[0].Damaged
	if own := int64(4); damaged == 0 || damaged > sent/2 || m.Counts.Written+damaged != sent+own {
		t.Errorf("%d events are written and %d are damaged, of %d", m.Counts.Written, damaged, sent+own)
	}
	rows := w.evidence(m)
	lost := int64(0)
	for n := range sent {
		if strings.Contains(rows, fmt.Sprintf(`"id":"e%d-`, n)) {
			continue
		}
		lost++
		if at := begun.Add(-time.Duration(n) * time.Second); at.Before(gap.From) || !at.Before(gap.To) {
			t.Fatalf("the event of %v is lost, and the gap is %+v", at, gap)
		}
	}
	if lost != damaged || !strings.Contains(gap.Reason, fmt.Sprintf("%d events (generation 1) could not be read", damaged)) {
		t.Errorf("%d events are lost, %d are said to be damaged, and the gap is %+v", lost, damaged, gap)
	}
	if st := w.status(); st.Level != service.LevelAlert || w.problems() != "spool-damaged" {
		t.Errorf("level %s, problems %+v", st.Level, st.Problems)
	}
	if copies, _ := filepath.Glob(filepath.Join(w.config.Batch.Data, "quarantine", "spool", "*.sst")); len(copies) != 1 {
		t.Errorf("copies of damaged files: %v", copies)
	}
	// What is sent again fills the hole: nobody can say which events are in it, so that all are taken, and those that the seal holds are left out of the next.
	var again struct{ Accepted, Duplicate int64 }
	w.call(w.sender, http.MethodPost, "/v1/events", strings.Join(lines, "\n"), http.StatusOK, &again)
	if again.Accepted != sent {
		t.Errorf("taken %+v", again)
	}
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.roll()
	list = w.manifests("audit")
	if len(list) != 3 || list[1].Addendum != 1 || list[1].Counts.Written != damaged {
		t.Errorf("seals are %v, %+v", briefs(list), list[1].Counts)
	}
	if strings.Count(w.evidence(list[2]), "daybook.gap") != 1 {
		t.Errorf("the gap is not an event of its day, once")
	}
	if err := os.RemoveAll(filepath.Join(w.config.Batch.Data, "quarantine", "spool")); err != nil {
		t.Fatal(err)
	}
	if st := w.status(); st.Level != service.LevelOK {
		t.Errorf("after it was looked after: %+v", st.Problems)
	}
}
