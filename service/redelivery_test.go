package service_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/formats"
	"daybook/service"
)

// Everything is sent again: while it is pending, when its day is sealed, and when the spool has forgotten it. It is one event each time, and in one seal.
func TestRedeliveryOfEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	var all []string
	for n := range 20 {
		all = append(all, event(fmt.Sprint("e", n), begun.Add(-time.Duration(n)*time.Minute)))
	}
	if got := w.send(all...); got.Accepted != 20 {
		t.Fatalf("taken %+v", got)
	}
	again := func(want taken) {
		t.Helper()
		if got := w.send(all...); got != want {
			t.Errorf("taken %+v, want %+v", got, want)
		}
	}
	again(taken{Duplicate: 20})
	w.restart()
	again(taken{Duplicate: 20})
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	again(taken{Duplicate: 20})
	w.clock.move(w.config.Keep + 24*time.Hour)
	w.heartbeat()
	w.roll() // the spool drops what was sealed a week ago
	w.restart()
	again(taken{Accepted: 20}) // nobody knows better before the day is looked at
	if st := w.trail(); st.Late != 20 {
		t.Errorf("%d events are late", st.Late)
	}
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.roll()
	for _, m := range w.manifests("audit") {
		if m.Addendum != 0 {
			t.Errorf("seal %d is an addendum with %d events", m.Seal, m.Counts.Written)
		}
	}
	w.once("audit", 20)
	if st := w.trail(); st.Late != 0 || st.Duplicates != 60 {
		t.Errorf("%d events are late, and %d are duplicates", st.Late, st.Duplicates)
	}
}

// The same id with another body is another event: both are kept, and told.
func TestRedeliveryWithAnotherBody(t *testing.T) {
	t.Parallel()
	other := func(id string, at time.Time) string { return strings.Replace(event(id, at), "user-1", "user-2", 1) }
	for _, forgotten := range []bool{false, true} {
		w := newWorld(t, nil)
		w.people()
		w.send(event("e0", begun), other("e0", begun), event("e1", begun))
		w.clock.move(14 * time.Hour)
		w.heartbeat()
		w.roll()
		if forgotten {
			w.clock.move(w.config.Keep)
			w.heartbeat()
			w.roll()
		}
		if got := w.send(other("e1", begun)); got.Accepted != 1 {
			t.Errorf("taken %+v", got)
		}
		w.clock.move(24 * time.Hour)
		w.heartbeat()
		w.roll()
		conflicts := map[string]int{}
		for _, m := range w.manifests("audit") {
			for _, id := range m.Conflicts.IDs {
				conflicts[fmt.Sprintf("%s in addendum %d", id, m.Addendum)]++
			}
		}
		if len(conflicts) != 2 || conflicts["e0 in addendum 0"] != 1 || conflicts["e1 in addendum 1"] != 1 {
			t.Errorf("conflicts are %v", conflicts)
		}
		if held := w.held("audit"); held["e0"] != 2 || held["e1"] != 2 {
			t.Errorf("the evidence holds %v", held)
		}
	}
}

// Late events of ten days are ten addenda, with the next day's seal and not before.
func TestLateEventsOfTenDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.clock.move(10*24*time.Hour + 14*time.Hour)
	w.heartbeat()
	w.roll()
	if n := len(w.manifests("audit")); n != 11 {
		t.Fatalf("%d seals, want 11", n)
	}
	for n := range 10 {
		w.send(event(fmt.Sprint("e", 2*n), begun.AddDate(0, 0, n)))
		w.roll()
		w.send(event(fmt.Sprint("e", 2*n+1), begun.AddDate(0, 0, n)))
	}
	if n, late := len(w.manifests("audit")), w.trail().Late; n != 11 || late != 20 {
		t.Errorf("%d seals, %d events are late", n, late)
	}
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.roll()
	list := w.manifests("audit")
	if len(list) != 22 {
		t.Fatalf("seals are %v", briefs(list))
	}
	for n, m := range list[11:21] {
		if m.Addendum != 1 || m.Counts.Late != 2 || !m.Start.Equal(begun.AddDate(0, 0, n).Truncate(24*time.Hour)) {
			t.Errorf("seal %d is addendum %d of %v with %d late events", m.Seal, m.Addendum, m.Day, m.Counts.Late)
		}
	}
	w.once("audit", 20)
}

// An event of the future, or of 1970, is kept, flagged, and filed under the day on which it came.
func TestEventsOfOtherTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e0", time.Unix(0, 0)), event("e1", begun.AddDate(30, 0, 0)), event("e2", begun.Add(16*time.Minute)), event("e3", begun.Add(14*time.Minute)))
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	list := w.manifests("audit")
	if len(list) != 1 || list[0].Counts.TimeSuspect != 3 {
		t.Fatalf("seals are %v, %+v", briefs(list), list[0].Counts)
	}
	w.once("audit", 4)
	for line := range strings.Lines(w.evidence(list[0])) {
		id := strings.TrimPrefix(line, `{"id":"`)
		if suspect := strings.Contains(line, `"time_suspect"`); suspect != (id[0] == 'e' && id[1] < '3') {
			t.Errorf("suspect %v: %s", suspect, line)
		}
	}
	if names := w.trail().Pending; len(names) > 1 {
		t.Errorf("pending are %+v", names)
	}
}

// An id may be as long as it likes.
func TestLongIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *service.Config) {
		c.Batch.Trails[0].Formats = formats.All()
		c.Batch.Rendering.CEF, c.Batch.Rendering.Syslog = c.Batch.Rendering.CSV, c.Batch.Rendering.CSV
	})
	w.people()
	long := strings.Repeat("x", 10_000)
	w.send(event("e0"+long, begun), event("e1"+long, begun), event("e0"+long, begun))
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	if held := w.held("audit"); len(held) != 2 || held["e0"+long] != 1 || held["e1"+long] != 1 {
		t.Errorf("%d events are in the evidence", len(held))
	}
	if got := w.send(event("e1"+long, begun)); got.Duplicate != 1 {
		t.Errorf("taken %+v", got)
	}
}

// An event that two trails take is in both, and in each once.
func TestEventOfTwoTrails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *service.Config) {
		c.Batch.Trails = append(c.Batch.Trails, batch.Trail{Name: "second", Org: "acme", Formats: formats.All()[:1], MaxSplit: 10})
	})
	w.people()
	w.send(event("e0", begun)) // before the second is on
	w.call(w.alice, http.MethodPost, "/v1/trails/second/enable", nil, http.StatusOK, nil)
	if got := w.send(event("e0", begun), event("e1", begun)); got.Accepted != 2 {
		t.Errorf("taken %+v", got)
	}
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	w.once("audit", 2)
	w.once("second", 2)
	if got := w.send(event("e0", begun), event("e1", begun)); got.Duplicate != 2 {
		t.Errorf("taken %+v", got)
	}
}

// Events without an id that are alike are told apart within a body, and not between bodies: the second might be the first sent again. docs/INTAKE.md says so to senders.
func TestEventsWithoutAnID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	const alike = `{"time":"2026-03-10T12:00:00Z","action":"file-read"}`
	for _, body := range []struct {
		events int
		want   taken
	}{{2, taken{Accepted: 2}}, {1, taken{Duplicate: 1}}, {3, taken{Accepted: 1, Duplicate: 2}}} {
		if got := w.send(slices.Repeat([]string{alike}, body.events)...); got != body.want {
			t.Errorf("a body of %d: taken %+v, want %+v", body.events, got, body.want)
		}
	}
	w.check()
	if text := strings.Join(strings.Fields(page(t, "INTAKE.md")), " "); !strings.Contains(text, "Events without one that are alike in everything are told apart within one body only") {
		t.Error("docs/INTAKE.md does not say so")
	}
}
