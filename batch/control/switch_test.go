package control_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/control"
	"daybook/event"
	"daybook/sink"
)

func (w *world) wantState(trail string, want control.State) {
	w.t.Helper()
	s, ok := w.Trail(trail)
	if !ok {
		w.t.Fatalf("trail %s is not known", trail)
	}
	if s.State != want {
		w.t.Errorf("trail %s is %s, want %s", trail, s.State, want)
	}
	if got := w.On(trail, w.clock()); got != (want != control.Off) {
		w.t.Errorf("trail %s, which is %s: On is %t", trail, want, got)
	}
}

// disable takes a trail off at once, all but the cool-off of an hour.
func (w *world) disable(trail string, until time.Time) {
	w.t.Helper()
	must(w.t, w.RequestDisable(alice, trail, "migration", until))
	must(w.t, w.Approve(dora, trail))
	w.wait(hour)
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
	refused(t, w.Approve(bob, "acme"), control.ErrUnchanged)
	w.wantState("acme", control.CoolingOff)
	off := morning.Add(3 * hour)
	want := control.TrailState{
		Spec: acme, State: control.CoolingOff, Since: w.today(), Enabled: morning,
		Request:  &control.Request{By: alice, Reason: "migration", At: morning, Until: until, Lapses: until},
		Approval: &control.Approval{By: bob, At: morning.Add(2 * hour), Effective: off},
	}
	got, _ := w.Trail("acme")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cooling off (-want +got):\n%s", diff)
	}
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
	before := w.Version()
	must(t, w.Tick())
	if w.Version() != before+1 {
		t.Errorf("a tick when one change is due makes %d records", w.Version()-before)
	}
	w.wantState("acme", control.Off)
	want = control.TrailState{
		Spec: acme, State: control.Off, Since: w.today(), Enabled: morning,
		Off: &control.OffState{Since: off, Until: until, Reason: "migration", By: alice, ApprovedBy: bob},
	}
	got, _ = w.Trail("acme")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("off, recorded an hour late (-want +got):\n%s", diff)
	}
	refused(t, w.RequestDisable(alice, "acme", "more", time.Time{}), control.ErrUnchanged)
	w.wait(6 * hour)
	w.wantState("acme", control.On)
	must(t, w.Tick())
	w.wantState("acme", control.On)
	before = w.Version()
	must(t, w.Tick())
	if w.Version() != before {
		t.Error("a tick makes a record when none is due")
	}
	w.reopen()
	w.wantState("acme", control.On)
}

// What fell due while no process ran is recorded with the time when it was due, and in that order.
func TestDueWhileDown(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	must(t, w.Enable(alice, beta, w.today(), false))
	must(t, w.RequestDisable(alice, "acme", "a", morning.Add(5*hour)))
	must(t, w.RequestDisable(alice, "beta", "b", time.Time{}))
	must(t, w.Approve(dora, "acme"))
	w.wait(hour / 2)
	must(t, w.Approve(dora, "beta"))
	n := w.Version()
	must(t, w.Close())
	w.wait(48 * hour)
	w.open()
	must(t, w.Tick())
	var got []string
	for own, err := range w.Events(int64(n)) {
		must(t, err)
		got = append(got, own.Event.Get(event.Action)+" "+own.Event.Get(event.ObjectID)+" "+own.Event.Time.Format(time.TimeOnly))
	}
	want := []string{
		"daybook.trail.off acme 09:00:00",
		"daybook.trail.off beta 09:30:00",
		"daybook.trail.on acme 13:00:00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	w.wantState("acme", control.On)
	w.wantState("beta", control.Off)
	if w.On("acme", morning.Add(2*hour)) || !w.On("acme", morning.Add(5*hour)) {
		t.Error("the interval was not off from its due time to its end")
	}
}

func TestRequestLapses(t *testing.T) {
	for _, test := range []struct {
		name  string
		until time.Time
		after time.Duration
	}{
		{"after seven days", time.Time{}, control.LapseAfter},
		{"when it would end", morning.Add(5 * hour), 5 * hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			must(t, w.Enable(alice, acme, w.today(), false))
			must(t, w.RequestDisable(alice, "acme", "migration", test.until))
			w.wait(test.after - 1)
			must(t, w.Tick())
			w.wantState("acme", control.DisableRequested)
			w.wait(1)
			w.wantState("acme", control.On)
			refused(t, w.Approve(bob, "acme"), control.ErrNotFound)
			w.wantState("acme", control.On)
			must(t, w.RequestDisable(alice, "acme", "again", time.Time{}))
		})
	}
}

func TestEnableWithdrawsADisabling(t *testing.T) {
	for _, approved := range []bool{false, true} {
		w := newWorld(t)
		must(t, w.Enable(alice, acme, w.today(), false))
		must(t, w.RequestDisable(alice, "acme", "migration", time.Time{}))
		if approved {
			must(t, w.Approve(bob, "acme"))
		}
		n := w.Version()
		must(t, w.Enable(bob, acme, w.today(), false))
		if w.Version() != n+1 {
			t.Errorf("approved %t: %d records, want a keep alone", approved, w.Version()-n)
		}
		w.wantState("acme", control.On)
		w.wait(1000 * hour)
		must(t, w.Tick())
		w.wantState("acme", control.On)

		// With an earlier first day it extends the backfill as well.
		must(t, w.RequestDisable(alice, "acme", "migration", time.Time{}))
		must(t, w.Enable(bob, acme, event.DayOf(morning)-3, true))
		s, _ := w.Trail("acme")
		if s.State != control.On || s.Since != event.DayOf(morning)-3 || !s.Backfill {
			t.Errorf("approved %t: %+v", approved, s)
		}
	}
}

func TestEnable(t *testing.T) {
	w := newWorld(t)
	today := w.today()
	full := control.TrailSpec{Name: "acme", Org: "acme", Projects: []string{"p2", "p1", "p2"}, Formats: []string{"csv"}, Split: "project", MaxSplit: 3}
	refused(t, w.Enable(alice, full, today+1, true), control.ErrInvalid)
	refused(t, w.Enable(alice, full, today+1, false), control.ErrInvalid)
	refused(t, w.Enable(alice, full, -1<<31, true), control.ErrInvalid)
	for _, bad := range []control.TrailSpec{
		{Org: "acme"}, {Name: "acme"}, {Name: "acme", Org: "*"}, {Name: " acme", Org: "acme"}, {Name: "a\nb", Org: "acme"}, {Name: "a\xff", Org: "acme"},
		{Name: "acme", Org: "acme", Split: "day"}, {Name: "acme", Org: "acme", MaxSplit: -1}, {Name: "acme", Org: "acme", Projects: []string{""}},
		{Name: "acme", Org: "acme", Formats: []string{""}},
	} {
		refused(t, w.Enable(alice, bad, today, false), control.ErrInvalid)
	}
	if len(w.Trails()) != 0 || w.Version() != 0 {
		t.Fatal("what was refused left something")
	}

	must(t, w.Enable(alice, full, 0, false)) // without a backfill the day is not looked at
	s, _ := w.Trail("acme")
	want := control.TrailState{
		Spec:  control.TrailSpec{Name: "acme", Org: "acme", Projects: []string{"p1", "p2"}, Formats: []string{"csv"}, Split: "project", MaxSplit: 3},
		State: control.On, Since: today, Enabled: morning,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("enabled (-want +got):\n%s", diff)
	}
	w.wait(24 * hour)
	refused(t, w.Enable(alice, full, 0, false), control.ErrUnchanged)
	refused(t, w.Enable(alice, acme, 0, false), control.ErrUnchanged)
	refused(t, w.Enable(alice, control.TrailSpec{Name: "acme"}, 0, false), control.ErrUnchanged)
	refused(t, w.Enable(alice, acme, today+1, true), control.ErrUnchanged)
	must(t, w.Enable(alice, acme, today, true)) // the hours before it was enabled
	refused(t, w.Enable(alice, acme, today, true), control.ErrUnchanged)
	must(t, w.Enable(alice, acme, today-9, true))
	refused(t, w.Enable(alice, acme, today-8, true), control.ErrUnchanged)
	refused(t, w.Enable(alice, control.TrailSpec{Name: "acme", Org: "beta"}, today, false), control.ErrExists)
	// To narrow a trail would be to disable a part of it.
	narrow := full
	narrow.Projects = []string{"p1"}
	refused(t, w.Enable(alice, narrow, today, false), control.ErrExists)
	want.Since, want.Backfill = today-9, true
	want.Extended = []control.Extension{{At: w.clock(), From: today, To: today + 1}, {At: w.clock(), From: today - 9, To: today}}
	s, _ = w.Trail("acme")
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("extended (-want +got):\n%s", diff)
	}

	w.disable("acme", time.Time{})
	w.wantState("acme", control.Off)
	back := w.clock().Add(hour)
	w.wait(hour)
	must(t, w.Enable(bob, narrow, 0, false))
	w.wantState("acme", control.On)
	if w.On("acme", back.Add(-1)) || !w.On("acme", back) {
		t.Error("it is not on from the moment it was enabled again")
	}
	want.Spec.Projects = []string{"p1"}
	s, _ = w.Trail("acme")
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("enabled again (-want +got):\n%s", diff)
	}

	must(t, w.Enable(alice, beta, 0, false))
	var names []string
	for _, s := range w.Trails() {
		names = append(names, s.Spec.Name)
	}
	if diff := cmp.Diff([]string{"acme", "beta"}, names); diff != "" {
		t.Errorf("trails (-want +got):\n%s", diff)
	}
	if _, ok := w.Trail("gamma"); ok || w.On("gamma", morning) {
		t.Error("a trail that was never enabled is known")
	}
}

// What the configuration declares of a trail is recorded where it is another than it was, be it that nothing was known but the name, as in a journal of before.
func TestDeclare(t *testing.T) {
	w := newWorld(t)
	bare := control.TrailSpec{Name: acme.Name, Org: acme.Org}
	declared := control.TrailSpec{Name: acme.Name, Org: acme.Org, Projects: []string{"b", "a"}, Formats: []string{"jsonl", "csv"}, Split: "org", MaxSplit: 10}
	must(t, w.Declare(declared)) // it was never enabled
	if _, known := w.Trail(acme.Name); known {
		t.Error("a declaration makes a trail")
	}
	must(t, w.Enable(alice, bare, w.today(), false))
	before, _ := w.Trail(acme.Name)
	must(t, w.Declare(declared))
	version := w.Version()
	must(t, w.Declare(declared))
	if w.Version() != version {
		t.Error("what is as it was is recorded again")
	}
	other := declared
	other.Org = "globex"
	refused(t, w.Declare(other), control.ErrExists)
	w.reopen()
	got, _ := w.Trail(acme.Name)
	before.Spec = control.TrailSpec{Name: acme.Name, Org: acme.Org, Projects: []string{"a", "b"}, Formats: []string{"csv", "jsonl"}, Split: "org", MaxSplit: 10}
	if diff := cmp.Diff(before, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Enabling by the name keeps it.
	w.disable(acme.Name, time.Time{})
	must(t, w.Enable(alice, bare, w.today(), false))
	if got, _ := w.Trail(acme.Name); !cmp.Equal(got.Spec, before.Spec) {
		t.Errorf("it is %+v", got.Spec)
	}
}

func TestRequestDisableRefuses(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	refused(t, w.RequestDisable(alice, "gamma", "migration", time.Time{}), control.ErrNotFound)
	refused(t, w.RequestDisable(alice, "acme", " ", time.Time{}), control.ErrInvalid)
	refused(t, w.RequestDisable(alice, "acme", "\xff", time.Time{}), control.ErrInvalid)
	refused(t, w.RequestDisable(alice, "acme", strings.Repeat("x", 1<<20), time.Time{}), control.ErrInvalid)
	refused(t, w.RequestDisable(alice, "acme", "migration", morning), control.ErrInvalid)
	refused(t, w.RequestDisable(alice, "acme", "migration", morning.Add(hour)), control.ErrInvalid) // no time is left after the cool-off
	refused(t, w.RequestDisable(alice, "acme", "migration", time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)), control.ErrInvalid)
	refused(t, w.Approve(alice, "acme"), control.ErrNotFound)
	refused(t, w.Approve(alice, "gamma"), control.ErrNotFound)
	must(t, w.RequestDisable(alice, "acme", "migration", morning.Add(3*hour)))
	refused(t, w.RequestDisable(dora, "acme", "migration", time.Time{}), control.ErrExists)
	w.wait(2 * hour)
	refused(t, w.Approve(dora, "acme"), control.ErrInvalid) // it would come back before it is off
	w.SetCoolOff(hour / 2)
	must(t, w.Approve(dora, "acme"))
	w.SetCoolOff(10 * hour) // what is approved keeps its time
	w.wait(hour / 2)
	w.wantState("acme", control.Off)
}

// A clock that was set back may not leave a trail off that an admin enables now.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t)
	w.wait(1000 * hour)
	must(t, w.Enable(alice, acme, w.today(), false))
	w.wait(-1000 * hour)
	must(t, w.Enable(alice, acme, w.today(), false))
	w.wantState("acme", control.On)
	s, _ := w.Trail("acme")
	if s.Enabled != morning || s.Since != event.DayOf(morning) {
		t.Errorf("enabled %v, since %v", s.Enabled, s.Since)
	}
	w.disable("acme", time.Time{})
	must(t, w.Tick())
	w.wait(-hour / 2)
	must(t, w.Enable(alice, acme, w.today(), false))
	w.wantState("acme", control.On)
	w.wait(2000 * hour)
	w.wantState("acme", control.On)
	w.reopen()
	w.wantState("acme", control.On)
}

// Who makes an admin's token has seen it. So one admin could be two.
func TestNobodyIsTwoAdmins(t *testing.T) {
	w := newWorld(t)
	made := func(by control.Actor, name string) control.Actor {
		t.Helper()
		secret, err := w.CreateAdmin(by, name, control.RoleAdmin, "*", time.Time{})
		must(t, err)
		a, err := w.Admin(secret.Reveal())
		must(t, err)
		return a
	}
	root, other := made(control.Local, "root"), made(control.Local, "other")
	child, sibling := made(root, "child"), made(root, "sibling")
	grandchild := made(child, "grandchild")
	fromCertificate := made(alice, "from-certificate")
	aliceToken := made(control.Local, "alice")
	must(t, w.Enable(root, acme, w.today(), false))
	for _, test := range []struct {
		requests, approves control.Actor
		allowed            bool
	}{
		{root, other, true}, {other, root, true}, {other, grandchild, true}, {grandchild, alice, true}, {fromCertificate, child, true},
		{root, root, false}, {root, child, false}, {child, root, false}, {child, sibling, false}, {grandchild, root, false}, {sibling, grandchild, false},
		{alice, fromCertificate, false}, {alice, aliceToken, false}, {aliceToken, fromCertificate, false},
	} {
		must(t, w.RequestDisable(test.requests, "acme", "migration", time.Time{}))
		err := w.Approve(test.approves, "acme")
		if (err == nil) != test.allowed {
			t.Errorf("%s requests, %s approves: %v", test.requests.Name, test.approves.Name, err)
		}
		if !test.allowed {
			refused(t, err, control.ErrSelfApproval)
		}
		must(t, w.Enable(root, acme, w.today(), false))
	}

	// Nor once the token that it made is revoked, as one request may be on its way.
	must(t, w.RequestDisable(root, "acme", "migration", time.Time{}))
	must(t, w.RevokeAdmin(root, "child", ""))
	refused(t, w.Approve(child, "acme"), control.ErrSelfApproval)
	// A name that was made anew by somebody else is another person's.
	refused(t, w.Approve(made(root, "child"), "acme"), control.ErrSelfApproval)
	must(t, w.RevokeAdmin(root, "child", ""))
	must(t, w.Approve(made(control.Local, "child"), "acme"))
}

func TestDenied(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	must(t, w.Enable(alice, beta, w.today(), false))
	must(t, w.RequestDisable(alice, "beta", "migration", time.Time{}))
	_, err := w.CreateAdmin(alice, "eve", control.RoleAdmin, "acme", time.Time{})
	must(t, err)
	_, err = w.CreateAdmin(alice, "zoe", control.RoleAdmin, "*", time.Time{})
	must(t, err)
	token, _, err := w.CreateToken(alice, "acme", "app", time.Time{})
	must(t, err)
	must(t, w.Started("v1", config1, nil))
	n := w.Version()

	nobody := control.Actor{}
	forged := control.Actor{Name: "x", Role: control.RoleAdmin, Org: "*", Via: "header"}
	all := []control.Actor{viewer, carol, nobody, forged}
	for _, test := range []struct {
		name string
		do   func(by control.Actor) error
		who  []control.Actor
	}{
		{"enable", func(by control.Actor) error { return w.Enable(by, acme, w.today()-1, true) }, all},
		{"enable as another org's", func(by control.Actor) error {
			return w.Enable(by, control.TrailSpec{Name: "acme", Org: "beta"}, w.today()-1, true)
		}, all},
		{"enable a new one", func(by control.Actor) error {
			return w.Enable(by, control.TrailSpec{Name: "new", Org: "acme"}, w.today(), false)
		}, all},
		{"request", func(by control.Actor) error { return w.RequestDisable(by, "acme", "x", time.Time{}) }, append(all, control.Local, control.System)},
		{"approve", func(by control.Actor) error { return w.Approve(by, "beta") }, []control.Actor{viewer, bob, nobody, forged, control.Local, control.System}},
		{"create an admin", func(by control.Actor) error {
			_, err := w.CreateAdmin(by, "n", control.RoleViewer, "acme", time.Time{})
			return err
		}, all},
		{"create an admin of all", func(by control.Actor) error {
			_, err := w.CreateAdmin(by, "n", control.RoleViewer, "*", time.Time{})
			return err
		}, append(all, bob)},
		{"revoke an admin", func(by control.Actor) error { return w.RevokeAdmin(by, "eve", "x") }, all},
		{"revoke an admin of all", func(by control.Actor) error { return w.RevokeAdmin(by, "zoe", "x") }, append(all, bob)},
		{"create a token", func(by control.Actor) error {
			_, _, err := w.CreateToken(by, "acme", "n", time.Time{})
			return err
		}, all},
		{"revoke a token", func(by control.Actor) error { return w.RevokeToken(by, token.ID, "x") }, all},
		{"change the configuration", func(by control.Actor) error { return w.ConfigChanged(by, config2, nil) }, append(all, bob)},
	} {
		for _, by := range test.who {
			err := test.do(by)
			// Of another org's matter an admin is not told that it is there; but for a name that is taken.
			hidden := (by == bob || by == carol) && (errors.Is(err, control.ErrNotFound) || errors.Is(err, control.ErrExists) && !strings.Contains(err.Error(), "the org"))
			if !errors.Is(err, control.ErrDenied) && !hidden {
				t.Errorf("%s by %+v: %v", test.name, by, err)
			}
			var h *sink.HintError
			if !errors.As(err, &h) || h.Hint == "" {
				t.Errorf("%s by %+v: no hint", test.name, by)
			}
		}
	}
	if w.Version() != n {
		t.Errorf("%d records of what was denied", w.Version()-n)
	}
	// Who has the data folder may do the rest.
	must(t, w.Enable(control.Local, acme, w.today()-1, true))
	must(t, w.RevokeToken(control.Local, token.ID, "x"))
	must(t, w.RevokeAdmin(control.Local, "zoe", "x"))
	must(t, w.ConfigChanged(control.Local, config2, nil))
	// An admin of an org rules there.
	must(t, w.Enable(bob, control.TrailSpec{Name: "new", Org: "acme"}, w.today(), false))
	must(t, w.RevokeAdmin(bob, "eve", "x"))
}

func TestOnCostsTheSameForEveryTrail(t *testing.T) {
	w := newWorld(t)
	w.SetCoolOff(0)
	must(t, w.Enable(alice, acme, w.today(), false))
	for range 20 {
		must(t, w.RequestDisable(alice, "acme", "migration", w.clock().Add(hour)))
		must(t, w.Approve(bob, "acme"))
		w.wait(2 * hour)
	}
	now := w.clock()
	for _, at := range []time.Time{now, morning, morning.Add(3 * hour), morning.Add(-hour)} {
		if n := testing.AllocsPerRun(100, func() { w.On("acme", at) }); n != 0 {
			t.Errorf("On(%v) allocates %v times", at, n)
		}
	}
	for i := range 20 {
		off := morning.Add(time.Duration(2*i) * hour)
		if w.On("acme", off) || !w.On("acme", off.Add(hour)) || i > 0 && !w.On("acme", off.Add(-1)) {
			t.Errorf("it was not off for the hour from %v", off)
		}
	}
}

func BenchmarkOn(b *testing.B) {
	c, err := control.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Enable(alice, acme, 0, false); err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.On("acme", now)
		}
	})
}

// Each day tells when it was admitted: with the enabling, or with the backfill that it belongs to.
func TestAdmitted(t *testing.T) {
	w := newWorld(t)
	today := w.today()
	must(t, w.Enable(alice, acme, today, false))
	w.wait(24 * hour)
	must(t, w.Enable(alice, acme, today, true)) // what came before the enabling
	w.wait(24 * hour)
	must(t, w.Enable(alice, acme, today-5, true))
	w.wait(24 * hour)
	must(t, w.Enable(alice, acme, today-7, true))
	w.reopen()
	s, _ := w.Trail("acme")
	for day, days := range map[event.Day]int{today + 1: 0, today: 1, today - 1: 2, today - 5: 2, today - 6: 3, today - 7: 3} {
		if got, want := s.Admitted(day), morning.AddDate(0, 0, days); !got.Equal(want) {
			t.Errorf("%v was admitted at %v, want %v", day, got, want)
		}
	}
}
