package service_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/service"
)

// refuse has a record refused, which is written down at once.
func (w *world) refuse() {
	w.t.Helper()
	w.call("", http.MethodPost, "/v1/import?name=in&org=acme&source=in&from=jsonl", "not json\n", http.StatusOK, nil)
}

// quarantined sums up what seals tell of refused records.
func quarantined(lists ...[]*seal.Manifest) (n int64) {
	for _, list := range lists {
		for _, m := range list {
			n += m.Counts.Quarantined
		}
	}
	return n
}

// What is counted while a day is rendered is told by the next seal, and what was counted before by this one alone.
func TestCountedWhileRendering(t *testing.T) {
	t.Parallel()
	var w *world
	w = newWorld(t, func(c *service.Config) {
		c.Batch.Progress = func(p batch.Progress) {
			if p.Begun != nil {
				w.refuse()
			}
		}
	})
	w.people()
	w.refuse()
	for day := range int64(3) {
		w.clock.move(24 * time.Hour)
		w.heartbeat()
		w.roll()
		if got := quarantined(w.manifests("audit")); got != day+1 {
			t.Errorf("after %d days %d refused records are told", day+1, got)
		}
	}
}

// While one trail's seal is begun and can't be finished, another's does not tell what it will tell, and what is counted meanwhile takes no more room.
func TestCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.call(w.alice, http.MethodPost, "/v1/trails/other/enable", service.EnableRequest{Org: "globex", Formats: []string{"csv"}}, http.StatusOK, nil)
	w.refuse()
	w.clock.move(20 * time.Hour)
	w.store.FailKey("put", "seals/audit/", fault503)
	for range 10 {
		if err := w.Roll(t.Context(), false); err == nil {
			t.Fatal("nothing failed")
		}
		w.refuse()
	}
	if got := len(w.manifests("other")); got != 1 {
		t.Fatalf("%d seals of the other trail, want 1", got)
	}
	carried, err := os.ReadFile(filepath.Join(w.config.Batch.Data, "carry.json"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(carried), `"run"`); n > 2 {
		t.Errorf("counts are kept in %d parts: %s", n, carried)
	}
	w.store.Heal()
	w.restart()
	w.roll()
	w.clock.move(24 * time.Hour)
	w.roll()
	if got := quarantined(w.manifests("audit"), w.manifests("other")); got != 11 {
		t.Errorf("%d refused records are told, want 11", got)
	}
}
