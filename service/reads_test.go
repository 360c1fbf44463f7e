package service_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"daybook/batch/control"
)

// TestReadsAreRecorded has a viewer say what it is about to read, and finds that in the trail.
func TestReadsAreRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	viewer := w.of("acme", "vera", "viewer")
	reading := control.Reading{How: control.ReadGet, Files: 1, Bytes: 10, FirstSeal: 1, LastSeal: 1, Keys: []string{"csv/a"}}
	w.call(viewer, http.MethodPost, "/v1/trails/audit/reads", reading, http.StatusOK, nil)
	w.call(w.of("globex", "mallory", "admin"), http.MethodPost, "/v1/trails/audit/reads", reading, http.StatusNotFound, nil)
	w.call(w.sender, http.MethodPost, "/v1/trails/audit/reads", reading, http.StatusForbidden, nil)
	w.call(viewer, http.MethodPost, "/v1/trails/nothere/reads", reading, http.StatusNotFound, nil)
	w.call(viewer, http.MethodPost, "/v1/trails/audit/reads", `{"how":"get","who":"me"}`, http.StatusBadRequest, nil)
	w.call(viewer, http.MethodPost, "/v1/trails/audit/reads", control.Reading{How: "look"}, http.StatusBadRequest, nil)
	w.clock.move(30 * time.Hour)
	w.heartbeat()
	w.roll()
	rows := ""
	for _, m := range w.manifests("audit") {
		rows += w.evidence(m)
	}
	if n := strings.Count(rows, `"action":"daybook.read.get"`); n != 1 || !strings.Contains(rows, `"type":"daybook.read"`) || !strings.Contains(rows, `"actor_id":"vera"`) {
		t.Errorf("%d readings in the trail:\n%s", n, rows)
	}
	w.check()
}
