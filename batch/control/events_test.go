package control_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/control"
	"daybook/event"
	"daybook/formats/jsonl"
)

// handed lists the events after a record: with which one, to whom, id, action.
func (w *world) handed(after int64) []string {
	w.t.Helper()
	var list []string
	for own, err := range w.Events(after) {
		must(w.t, err)
		list = append(list, fmt.Sprintf("%d %s %s %s %s", own.Seq, strings.Join(own.Trails, ","), own.Event.Get(event.Org), own.Event.Get(event.ID), strings.TrimPrefix(own.Event.Get(event.Action), "daybook.")))
	}
	return list
}

func TestEventsReachTheTrailsTheyConcern(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.CreateToken(alice, "beta", "app", time.Time{}) // 1: waits for a trail of beta
	must(t, err)
	must(t, w.Started("v1", config1, nil))                       // 2: waits for any trail
	_, _, err = w.CreateToken(alice, "acme", "app", time.Time{}) // 3: waits for one of acme
	must(t, err)
	if got := w.handed(0); got != nil {
		t.Errorf("without a trail: %v", got)
	}
	must(t, w.Enable(alice, acme, w.today(), false))                                             // 4
	must(t, w.Enable(alice, control.TrailSpec{Name: "acme-2", Org: "acme"}, w.today(), false))   // 5
	must(t, w.Gap(gap(0, hour, "x"), "", ""))                                                    // 6: all, of one org still
	_, err = w.CreateAdmin(alice, "eve", control.RoleAdmin, "gamma", time.Time{})                // 7: waits for one of gamma
	must(t, err)                                                                                 //
	must(t, w.Enable(alice, beta, w.today(), false))                                             // 8
	must(t, w.Stopped(""))                                                                       // 9: all, of two orgs
	must(t, w.Gap(gap(0, hour, "x"), "beta", ""))                                                // 10
	must(t, w.Enable(alice, acme, w.today()-1, true))                                            // 11
	must(t, w.Enable(alice, control.TrailSpec{Name: "gamma", Org: "gamma"}, w.today(), false))   // 12
	must(t, w.Enable(alice, control.TrailSpec{Name: "gamma-2", Org: "gamma"}, w.today(), false)) // 13
	want := []string{
		"4 acme acme daybook-2 service.start",
		"4 acme acme daybook-3 token.create",
		"4 acme acme daybook-4 trail.enable",
		"5 acme,acme-2 acme daybook-5 trail.enable",
		"6 acme,acme-2 acme daybook-6 gap",
		"8 beta beta daybook-1 token.create",
		"8 beta beta daybook-8 trail.enable",
		"9 acme acme daybook-9-acme service.stop",
		"9 acme-2 acme daybook-9-acme-2 service.stop",
		"9 beta beta daybook-9-beta service.stop",
		"10 beta beta daybook-10 gap",
		"11 acme,acme-2 acme daybook-11 trail.enable",
		"12 gamma gamma daybook-7 admin.create",
		"12 gamma gamma daybook-12 trail.enable",
		"13 gamma,gamma-2 gamma daybook-13 trail.enable",
	}
	if diff := cmp.Diff(want, w.handed(0)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// A cursor cuts the list by the first number, and nothing else.
	for after := int64(-1); after <= 14; after++ {
		var rest []string
		for _, e := range want {
			var seq int64
			if _, err := fmt.Sscan(e, &seq); err != nil {
				t.Fatal(err)
			}
			if seq > after {
				rest = append(rest, e)
			}
		}
		if diff := cmp.Diff(rest, w.handed(after)); diff != "" {
			t.Errorf("after %d (-want +got):\n%s", after, diff)
		}
	}
	w.reopen()
	if diff := cmp.Diff(want, w.handed(0)); diff != "" {
		t.Errorf("opened again (-want +got):\n%s", diff)
	}
	for range w.Events(0) {
		break // a reader may stop
	}
}

func TestEventsAreWhatHappened(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(control.Local, control.TrailSpec{Name: "acme", Org: "acme", Projects: []string{"p1"}, Formats: []string{"csv"}, Split: "project", MaxSplit: 7}, w.today()-3, true))
	must(t, w.Started("v1", config1, nil))
	w.wait(hour)
	must(t, w.RequestDisable(alice, "acme", "say \"why\"\nin two lines", morning.Add(24*hour)))
	must(t, w.Approve(bob, "acme"))
	w.wait(100 * hour)
	must(t, w.Tick())
	must(t, w.RequestDisable(alice, "acme", "again", time.Time{}))
	w.wait(control.LapseAfter + hour)
	must(t, w.Tick())
	must(t, w.RequestDisable(alice, "acme", "once more", time.Time{}))
	must(t, w.Enable(bob, acme, w.today(), false))
	token, _, err := w.CreateToken(bob, "acme", "app", w.clock().Add(hour))
	must(t, err)
	must(t, w.RevokeToken(bob, token.ID, "leaked"))
	_, err = w.CreateAdmin(control.Local, "eve", control.RoleViewer, "*", time.Time{})
	must(t, err)
	eve := w.Admins()[0].ID
	must(t, w.RevokeAdmin(control.Local, "eve", "left"))
	must(t, w.Gap(gap(hour, 2*hour, "damage"), "acme", "app"))
	w.reopen()
	w.wait(hour)
	must(t, w.Started("v2", config2, every("- a: 1")))
	must(t, w.Stopped("SIGTERM"))

	var got []string
	for own, err := range w.Events(0) {
		must(t, err)
		row := own.Event.AppendJSON(nil)
		if !json.Valid(row) {
			t.Errorf("no JSON: %s", row)
		}
		var e event.Event
		must(t, jsonl.ParseRow(row, &e)) // what the spool takes
		text := string(row)
		for secret, name := range map[string]string{token.ID: "TOKEN", eve: "EVE", config1.String(): "CONFIG1", config2.String(): "CONFIG2"} {
			text = strings.ReplaceAll(text, secret, name)
		}
		prefix := fmt.Sprintf(`{"id":"daybook-%d","source":"daybook",`, own.Seq)
		text, ok := strings.CutPrefix(text, prefix)
		if !ok {
			t.Errorf("begins otherwise: %s", text)
		}
		text = strings.Replace(text, `"org":"acme","type":"daybook.control","action":"daybook.`, "", 1)
		got = append(got, strings.Replace(text, `"outcome":"success",`, "", 1))
	}
	wantRows(t, got)
	for own, err := range w.Events(0) {
		must(t, err)
		if own.Event.Get(event.Action) == control.ActionOff && own.Event.Time != morning.Add(2*hour) {
			t.Errorf("it went off at %v", own.Event.Time)
		}
	}
}

// wantRows compares events, but for what all of them have, with those that were read and found good.
func wantRows(t *testing.T, got []string) {
	t.Helper()
	local := `"actor_type":"local","actor_id":"local","actor_name":"local","actor_role":"admin",`
	system := `"actor_type":"system","actor_id":"daybook","actor_name":"daybook","actor_role":"admin",`
	admin := func(name string) string {
		return fmt.Sprintf(`"actor_type":"admin","actor_id":"%s","actor_name":"%s","actor_role":"admin",`, name, name)
	}
	trail := `"object_type":"trail","object_id":"acme","object_name":"acme",`
	service := `"object_type":"service","object_id":"daybook","object_name":"daybook",`
	at := func(d time.Duration) string {
		return string(event.AppendTime(nil, morning.Add(d)))
	}
	row := func(happened, recorded time.Duration, rest ...string) string {
		return fmt.Sprintf(`"time":"%s","received":"%s",%s`, at(happened), at(recorded), strings.Join(rest, ""))
	}
	late := 101*hour + control.LapseAfter + hour
	want := []string{
		row(0, 0, `trail.enable",`, local, trail, `"info":{"trail":"acme","projects":["p1"],"formats":["csv"],"split":"project","max_split":7,"since":"2026-11-26","backfill":true,"org":"acme"}}`),
		row(0, 0, `service.start",`, system, service, `"info":{"org":"*","build":"v1","config":"CONFIG1"}}`),
		row(hour, hour, `trail.disable.request",`, `"reason":"say \"why\"\nin two lines",`, admin("alice"), trail, `"info":{"trail":"acme","org":"acme","until":"2026-11-30T08:00:00Z"}}`),
		row(hour, hour, `trail.disable.approve",`, `"reason":"say \"why\"\nin two lines",`, admin("bob"), trail,
			`"info":{"trail":"acme","org":"acme","effective":"2026-11-29T10:00:00Z","until":"2026-11-30T08:00:00Z","requested_by":"alice"}}`),
		row(2*hour, 101*hour, `trail.off",`, `"reason":"say \"why\"\nin two lines",`, system, trail,
			`"info":{"trail":"acme","org":"acme","effective":"2026-11-29T10:00:00Z","until":"2026-11-30T08:00:00Z","requested_by":"alice","approved_by":"bob"}}`),
		row(24*hour, 101*hour, `trail.on",`, `"reason":"its time off is over",`, system, trail, `"info":{"trail":"acme","org":"acme","effective":"2026-11-30T08:00:00Z"}}`),
		row(101*hour, 101*hour, `trail.disable.request",`, `"reason":"again",`, admin("alice"), trail, `"info":{"trail":"acme","org":"acme"}}`),
		row(late-hour, late, `trail.disable.lapse",`, `"reason":"no second admin approved it in time",`, system, trail,
			`"info":{"trail":"acme","org":"acme","effective":"`, at(late-hour), `","requested_by":"alice"}}`),
		row(late, late, `trail.disable.request",`, `"reason":"once more",`, admin("alice"), trail, `"info":{"trail":"acme","org":"acme"}}`),
		row(late, late, `trail.keep",`, `"reason":"the disabling is withdrawn",`, admin("bob"), trail, `"info":{"trail":"acme","org":"acme","requested_by":"alice"}}`),
		row(late, late, `token.create",`, admin("bob"), `"object_type":"token","object_id":"TOKEN","object_name":"app",`,
			`"info":{"id":"TOKEN","org":"acme","source":"app","expires":"`, at(late+hour), `"}}`),
		row(late, late, `token.revoke",`, `"reason":"leaked",`, admin("bob"), `"object_type":"token","object_id":"TOKEN","object_name":"app",`, `"info":{"id":"TOKEN","org":"acme","source":"app"}}`),
		row(late, late, `admin.create",`, local, `"object_type":"admin","object_id":"EVE","object_name":"eve",`, `"info":{"id":"EVE","name":"eve","role":"viewer","org":"*"}}`),
		row(late, late, `admin.revoke",`, `"reason":"left",`, local, `"object_type":"admin","object_id":"EVE","object_name":"eve",`, `"info":{"id":"EVE","name":"eve","role":"viewer","org":"*"}}`),
		row(late, late, `gap",`, `"reason":"damage",`, system, trail, `"info":{"trail":"acme","org":"acme","source":"app","from":"2026-11-29T09:00:00Z","to":"2026-11-29T10:00:00Z"}}`),
		row(late+hour, late+hour, `config.change",`, system, `"object_type":"config","object_id":"CONFIG2",`, `"info":{"org":"*","config":"CONFIG2"},"changes":{"before":"CONFIG1","after":"CONFIG2","diff":["- a: 1"]}}`),
		row(late+hour, late+hour, `service.start",`, `"reason":"daybook was down: it died",`, system, service,
			`"info":{"org":"*","build":"v2","config":"CONFIG2","from":"2026-11-29T08:00:00Z","to":"`, at(late+hour), `"}}`),
		row(late+hour, late+hour, `service.stop",`, `"reason":"SIGTERM",`, system, service, `"info":{"org":"*"}}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// An event can be read only from a journal that is whole: damage that came since it was opened is an error, and nothing is left out.
func TestEventsOfADamagedJournal(t *testing.T) {
	w := filled(t)
	data := read(t, w.journal())
	data[len(data)/2] ^= 1
	write(t, w.journal(), data)
	var failed error
	n := 0
	for own, err := range w.Events(0) {
		if failed != nil {
			t.Fatal("it goes on after an error")
		}
		if failed = err; err == nil {
			n++
		} else if own.Event != nil {
			t.Error("an error has an event")
		}
	}
	refused(t, failed, control.ErrDamaged)
	if n == 0 {
		t.Error("what is before the damage was not handed out")
	}
	data[len(data)/2] ^= 1
	write(t, w.journal(), data)
}

// Each record reaches each trail that it concerns once, whatever way it came.
func TestEachEventOfATrailOnce(t *testing.T) {
	w := newWorld(t)
	for i := range 60 {
		org := fmt.Sprint("org", i%7)
		switch i % 5 {
		case 0, 1:
			_, _, err := w.CreateToken(alice, org, "app", time.Time{})
			must(t, err)
		case 2:
			must(t, w.Gap(gap(0, hour, "x"), "", ""))
		default:
			if i > 8 {
				must(t, w.Enable(alice, control.TrailSpec{Name: fmt.Sprint(org, "-", i%3), Org: org}, w.today()-event.Day(i), true))
			}
		}
	}
	type pair struct{ id, trail string }
	seen := map[pair]int{}
	records := map[string]bool{}
	for after := int64(0); after < int64(w.Version()); after++ {
		for own, err := range w.Events(after) {
			must(t, err)
			if own.Seq != after+1 {
				break // another batch: the cursor is moved one by one
			}
			for _, trail := range own.Trails {
				seen[pair{strings.TrimSuffix(own.Event.Get(event.ID), "-"+trail), trail}]++
			}
			records[strings.SplitN(own.Event.Get(event.ID), "-", 3)[1]] = true
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(seen), func(a, b pair) int { return strings.Compare(a.id+a.trail, b.id+b.trail) }) {
		if seen[p] != 1 {
			t.Errorf("%v came %d times", p, seen[p])
		}
	}
	waiting := 0
	for _, token := range w.Tokens() {
		if !slices.ContainsFunc(w.Trails(), func(s control.TrailState) bool { return s.Spec.Org == token.Org }) {
			waiting++
		}
	}
	if want := int(w.Version()) - waiting; len(records) != want {
		t.Errorf("%d records became events, want %d", len(records), want)
	}
}
