package service_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/service"
)

// problems are the codes of what is wrong.
func (w *world) problems() string {
	w.t.Helper()
	var codes []string
	for _, p := range w.status().Problems {
		codes = append(codes, p.Code)
	}
	return strings.Join(codes, " ")
}

// A disk that is nearly full takes nothing in, and says so; sealing, which makes room, goes on. What was done meanwhile is an event once there is room.
func TestNearlyFullDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	w.shut()
	w.clock.move(14 * time.Hour)
	room := w.config.MinFree
	w.config.MinFree = 1 << 60
	w.open()
	_, stop := w.serve() // the start is an event, for which there is no room
	for range 2 {
		if data, code := w.try(w.sender, http.MethodPost, "/v1/events", event("e2", begun)); code != http.StatusInsufficientStorage {
			t.Errorf("answered with %d %s", code, data)
		}
	}
	if _, code := w.try("", http.MethodGet, "/readyz", nil); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz says %d", code)
	}
	if st := w.status(); st.Level != service.LevelAlert || !strings.Contains(w.problems(), "disk-full") {
		t.Errorf("level %s, problems %+v", st.Level, st.Problems)
	}
	w.clock.move(6 * time.Hour)
	w.roll()
	if list := w.manifests("audit"); len(list) != 1 || list[0].Counts.Written != 5 {
		t.Fatalf("seals are %v", briefs(list))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.shut()
	w.config.MinFree = room
	w.open()
	if got := w.send(event("e2", begun)); got.Accepted != 1 {
		t.Errorf("with room: taken %+v", got)
	}
	// Since the seal: e2, and that the service was started and stopped.
	if st := w.trail(); st.Waiting != 3 {
		t.Errorf("%d events wait, want 3: %+v", st.Waiting, st.Pending)
	}
	w.check()
}

// A quarantine that can't be written to: a sender is told that his record could not be kept, other events are taken, and days are sealed.
func TestQuarantineDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	path := filepath.Join(w.config.Batch.Data, "quarantine")
	write(t, path, "where the folder should be")
	if data, code := w.try(w.sender, http.MethodPost, "/v1/events", event("e1", begun)+"\nno JSON"); code != http.StatusServiceUnavailable {
		t.Errorf("answered with %d %s", code, data)
	}
	if got := w.send(event("e1", begun), event("e2", begun)); got.Accepted+got.Duplicate != 2 {
		t.Errorf("taken %+v", got)
	}
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := w.send(event("e3", begun), "no JSON"); got.Accepted != 1 || got.Rejected != 1 {
		t.Errorf("taken %+v", got)
	}
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.roll()
	list := w.manifests("audit")
	if len(list) != 3 || list[0].Counts.Quarantined != 0 || list[1].Counts.Quarantined != 1 || len(list[1].QuarantinedSHA256) != 1 {
		t.Errorf("seals are %v", briefs(list))
	}
}

// A disk that is nearly full keeps no records that can't be read either.
func TestNoRoomForRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.shut()
	w.config.MinFree = 1 << 60
	w.open()
	if data, code := w.try(w.sender, http.MethodPost, "/v1/events", "no JSON"); code != http.StatusInsufficientStorage {
		t.Errorf("answered with %d %s", code, data)
	}
	if st := w.status(); *st.Quarantined != 0 {
		t.Errorf("%d records were put away", *st.Quarantined)
	}
}
