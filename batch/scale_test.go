package batch_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/event"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink/sinktest"
)

// TestTenThousandTrails seals a day of very many trails, of one event each, and then looks again: nothing may take a step for each pair of them.
func TestTenThousandTrails(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	trails := 10_000
	if !effort.Thorough() {
		trails = 100
	}
	i := newInstallation(t)
	clock := day(10).Add(12 * time.Hour)
	store := sinktest.NewMemory(t, &sinktest.Options{Now: func() time.Time { return clock }})
	s := i.settings(store)
	s.Now = func() time.Time { return clock }
	s.Policies = retention.Policies{{Class: "standard", EventTypes: []string{"*"}}}
	s.Trails = nil
	for n := range trails {
		name := fmt.Sprintf("trail-%05d", n)
		s.Trails = append(s.Trails, batch.Trail{Name: name, Org: name, Formats: formats.All()[:1], MaxSplit: 10})
	}
	standing, err := batch.OpenStanding(s, 1<<20, batch.Admission{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := standing.Close(); err != nil {
			t.Error(err)
		}
	}()
	g := standing.Begin(clock)
	for n := range s.Trails {
		var e event.Event
		e.Time = clock
		e.Set(event.ID, fmt.Sprint("e", n))
		e.Set(event.Source, "api")
		e.Set(event.Org, s.Trails[n].Org)
		e.Set(event.Action, "read")
		g.AddTo([]string{s.Trails[n].Name}, &e)
	}
	if err := g.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	plan := batch.Plan{Since: func(string) (event.Day, bool) { return event.DayOf(clock), true }}
	clock = day(11).Add(2 * time.Hour)
	if due, err := standing.Due(plan); err != nil || len(due) != trails {
		t.Fatalf("%d trails are due, %v", len(due), err)
	}
	report, err := standing.Roll(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Days) != trails || report.Written != int64(trails) {
		t.Errorf("%d days were sealed, with %d events", len(report.Days), report.Written)
	}
	status, err := standing.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, trail := range status.Trails {
		if trail.Seals != 1 || trail.Waiting != 0 || trail.Accepted != 1 {
			t.Errorf("%+v", trail)
		}
	}
	if again, err := standing.Roll(t.Context(), plan); err != nil || len(again.Days) != 0 {
		t.Errorf("a second roll: %+v, %v", again, err)
	}
	list, err := standing.Reconcile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Fault != "" || r.Sealed != 1 {
			t.Errorf("%+v", r)
		}
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if memory.HeapInuse > 1<<30 {
		t.Errorf("%d bytes are in use", memory.HeapInuse)
	}
}

// TestManyProjects seals days of very many projects, and one of a project with everything: no memory, files or handles for each project beyond what MaxSplit allows.
func TestManyProjects(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	for _, c := range []struct {
		name             string
		projects, events int
		split            bool
		files            int // of CSV
	}{
		{"split by project", 12_000, 12_000, true, 10_001},
		{"a million projects in one set", 1_000_000, 1_000_000, false, 1},
		{"one project with everything", 1, 100_000, true, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !effort.Thorough() {
				c.projects, c.events = (c.projects+99)/100, c.events/100
				c.files = min(c.files, c.projects)
			}
			i := newInstallation(t)
			clock := day(10).Add(12 * time.Hour)
			store := sinktest.NewMemory(t, &sinktest.Options{Now: func() time.Time { return clock }})
			s := i.settings(store)
			s.Now = func() time.Time { return clock }
			s.Policies = retention.Policies{{Class: "standard", EventTypes: []string{"*"}}}
			s.Trails = []batch.Trail{{Name: "audit", Org: "acme", Formats: formats.All()[:2], SplitProjects: c.split, MaxSplit: 10_000}}
			standing, err := batch.OpenStanding(s, 1<<20, batch.Admission{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := standing.Close(); err != nil {
					t.Error(err)
				}
			}()
			const each = 5000
			for from := 0; from < c.events; from += each {
				g := standing.Begin(clock)
				for n := from; n < min(from+each, c.events); n++ {
					var e event.Event
					e.Time = clock
					e.Set(event.ID, fmt.Sprint("e", n))
					e.Set(event.Source, "api")
					e.Set(event.Org, "acme")
					e.Set(event.Action, "read")
					e.Set(event.ProjectID, fmt.Sprintf("project-%07d", n%c.projects))
					g.AddTo([]string{"audit"}, &e)
				}
				if err := g.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			clock = day(11).Add(2 * time.Hour)
			report, err := standing.Roll(t.Context(), batch.Plan{Since: func(string) (event.Day, bool) { return event.DayOf(clock) - 1, true }})
			if err != nil {
				t.Fatal(err)
			}
			if report.Written != int64(c.events) || len(report.Days) != 1 {
				t.Errorf("%d events in %d days", report.Written, len(report.Days))
			}
			files := 0
			for _, key := range store.Keys() {
				if strings.HasPrefix(key, "csv/") {
					files++
				}
			}
			if files != c.files {
				t.Errorf("%d files of CSV, want %d", files, c.files)
			}
		})
	}
}
