package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/control"
	"daybook/event"
)

func TestReadsAreEvents(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false)) // 1
	must(t, w.Enable(alice, beta, w.today(), false)) // 2
	reading := control.Reading{How: control.ReadGet, Files: 2, Bytes: 300, FirstSeal: 4, LastSeal: 5, Keys: []string{"csv/a", "csv/b"}}
	must(t, w.Read(viewer, "acme", reading))                                                                                              // 3
	must(t, w.Read(control.Local, "beta", control.Reading{How: control.ReadLink, Files: 1, Bytes: 1, Expires: w.clock().Add(time.Hour)})) // 4
	w.reopen()
	want := []string{"3 acme acme daybook-3 read.get", "4 beta beta daybook-4 read.link"}
	if diff := cmp.Diff(want, w.handed(2)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for own, err := range w.Events(2) {
		must(t, err)
		if e := own.Event; e.Get(event.Type) != control.EventTypeRead {
			t.Errorf("type %q", e.Get(event.Type))
		}
		if e := own.Event; own.Seq == 3 && (e.Get(event.ActorID) != "vera" || e.Get(event.ObjectID) != "acme" ||
			!strings.Contains(e.Get(event.Info), `"read":{"how":"get","files":2,"bytes":300,"first_seal":4,"last_seal":5,"keys":["csv/a","csv/b"]}`)) {
			t.Errorf("by %q of %q: %s", e.Get(event.ActorID), e.Get(event.ObjectID), e.Get(event.Info))
		}
	}

	version := w.Version()
	refused(t, w.Read(viewer, "nothing", reading), control.ErrNotFound)
	refused(t, w.Read(carol, "acme", reading), control.ErrNotFound) // of another org: as if it were not there
	refused(t, w.Read(control.Actor{}, "acme", reading), control.ErrDenied)
	for _, bad := range []control.Reading{
		{}, {How: "look"}, {How: control.ReadGet, Files: -1}, {How: control.ReadGet, Bytes: -1}, {How: control.ReadGet, FirstSeal: 2, LastSeal: 1},
		{How: control.ReadGet, Files: 0, Keys: []string{"a"}}, {How: control.ReadGet, Files: 1, Keys: []string{"../a"}},
		{How: control.ReadGet, Files: 1000, Keys: slices.Repeat([]string{"a"}, control.MaxReadKeys+1)},
	} {
		refused(t, w.Read(viewer, "acme", bad), control.ErrInvalid)
	}
	if w.Version() != version {
		t.Error("what was refused was recorded")
	}
}
