package control_test

import (
	"testing"
	"time"

	"daybook/batch/control"
)

func (w *world) state(trail string) control.State {
	w.t.Helper()
	s, ok := w.Trail(trail)
	if !ok {
		w.t.Fatalf("trail %s is not known", trail)
	}
	return s.State
}

func (w *world) wantState(trail string, want control.State) {
	w.t.Helper()
	if got := w.state(trail); got != want {
		w.t.Errorf("trail %s is %s, want %s", trail, got, want)
	}
	if got := w.On(trail, w.clock()); got != (want != control.Off) {
		w.t.Errorf("trail %s, which is %s: On is %t", trail, want, got)
	}
}

func TestDisableTakesTwoAdminsAndTime(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	w.wantState("acme", control.On)
	until := morning.Add(10 * hour)
	must(t, w.RequestDisable(alice, "acme", "migration", until))
	w.wantState("acme", control.DisableRequested)
	refused(t, w.Approve(alice, "acme"), control.ErrSelfApproval)
	refused(t, w.Approve(alice, "acme"), control.ErrDenied)
	w.wait(2 * hour)
	must(t, w.Approve(bob, "acme"))
	w.wantState("acme", control.CoolingOff)
	off := morning.Add(3 * hour)
	for _, test := range []struct {
		at time.Time
		on bool
	}{{morning.Add(-1), false}, {morning, true}, {off.Add(-1), true}, {off, false}, {until.Add(-1), false}, {until, true}} {
		if got := w.On("acme", test.at); got != test.on {
			t.Errorf("On(%v) = %t", test.at, got)
		}
	}
	w.wait(hour)
	w.wantState("acme", control.Off)
	w.wait(hour)
	must(t, w.Tick())
	w.wantState("acme", control.Off)
	w.wait(6 * hour)
	w.wantState("acme", control.On)
	must(t, w.Tick())
	w.wantState("acme", control.On)
	w.reopen()
	w.wantState("acme", control.On)
}
