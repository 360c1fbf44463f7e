package service_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/intake"
	"daybook/batch/proof"
	"daybook/batch/seal"
	daybook "daybook/event"
	"daybook/retention"
	"daybook/service"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// A day in the life of an event: sent, pending, sealed, and known when it is sent again.
func TestDayInTheLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	if got, want := w.send(event("e1", begun), event("e2", begun.Add(time.Second)), event("e1", begun)), (taken{Accepted: 2, Duplicate: 1}); got != want {
		t.Errorf("taken %+v, want %+v", got, want)
	}
	w.roll()
	if got := len(w.manifests("audit")); got != 0 {
		t.Fatalf("%d seals before the day is over", got)
	}
	w.clock.move(14 * time.Hour) // 02:00 of the next day
	w.heartbeat()
	w.roll()
	list := w.manifests("audit")
	if len(list) != 1 {
		t.Fatalf("%d seals, want 1", len(list))
	}
	m := list[0]
	// Two events, and those of Daybook's own: two admins, the trail, the token.
	if m.Counts.Written != 6 || m.Counts.Duplicates != 1 {
		t.Errorf("counts are %+v", m.Counts)
	}
	if len(m.Sources) != 2 || m.Sources[0].Name != "api" || !m.Sources[0].Watermark.Equal(w.clock.now()) || len(m.Sources[0].Gaps) != 0 {
		t.Errorf("sources are %+v", m.Sources)
	}
	if got, want := w.send(event("e1", begun)), (taken{Duplicate: 1}); got != want {
		t.Errorf("after the seal: taken %+v, want %+v", got, want)
	}
	w.roll()
	if n := len(w.manifests("audit")); n != 1 {
		t.Errorf("%d seals after another look, want 1", n)
	}
	st := w.trail()
	if st.Seals != 1 || st.Waiting != 0 || st.Switch.State != "on" || st.Accepted != 8 || st.Duplicates != 2 {
		t.Errorf("status is %+v", st)
	}
}

// A source that is silent keeps its day waiting, for so long; then the gap is declared, and what comes later is an addendum with the next day's seal.
func TestSilentSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	w.clock.move(15 * time.Hour) // 03:00
	w.roll()
	if n := len(w.manifests("audit")); n != 0 {
		t.Fatalf("%d seals while the source is silent, want none", n)
	}
	st := w.trail()
	if len(st.Awaiting) != 1 || st.Awaiting[0].String() != "2026-03-10" {
		t.Errorf("days that wait for sources: %v", st.Awaiting)
	}
	w.clock.move(5 * time.Hour) // 08:00: an hour to close, six to wait
	w.roll()
	list := w.manifests("audit")
	if len(list) != 1 {
		t.Fatalf("%d seals, want 1", len(list))
	}
	want := []seal.Gap{{From: begun, To: list[0].End, Reason: "the source was silent or behind"}}
	if diff := cmp.Diff(want, list[0].Sources[0].Gaps); diff != "" {
		t.Errorf("gaps of the source (-want +got):\n%s", diff)
	}
	if got := w.send(event("late", begun.Add(11*time.Hour))); got.Accepted != 1 {
		t.Errorf("taken %+v", got)
	}
	w.roll()
	if n := len(w.manifests("audit")); n != 1 {
		t.Fatalf("%d seals: a late event waits for the next day's seal", n)
	}
	if st := w.trail(); st.Late != 1 {
		t.Errorf("late is %d, want 1", st.Late)
	}
	w.clock.move(18 * time.Hour) // 02:00 of the 12th
	w.heartbeat()
	w.roll()
	list = w.manifests("audit")
	if len(list) != 3 || list[1].Addendum != 1 || list[1].Day.String() != "2026-03-10" || list[1].Counts.Late != 1 || list[2].Day.String() != "2026-03-11" {
		t.Fatalf("seals are %v", briefs(list))
	}
	days := map[string]string{}
	for _, d := range w.trail().Calendar {
		days[d.Day.String()] = d.State
	}
	for day, state := range map[string]string{
		"2026-03-09": batch.DayNotEnabled, "2026-03-10": batch.DayLate, "2026-03-11": batch.DayEmpty, "2026-03-12": batch.DayOpen,
	} {
		if days[day] != state {
			t.Errorf("calendar of %s: %q, want %q", day, days[day], state)
		}
	}
}

func briefs(list []*seal.Manifest) []string {
	var texts []string
	for _, m := range list {
		texts = append(texts, strings.Join([]string{m.Day.String(), "addendum", string(rune('0' + m.Addendum))}, " "))
	}
	return texts
}

// Down for five days: five seals in order, and the time declared.
func TestDownForFiveDays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	_, stop := w.serve()
	w.send(event("e1", begun))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.shut()
	w.clock.move(5 * 24 * time.Hour)
	w.open()
	_, stop = w.serve()
	w.heartbeat()
	w.roll()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	list := w.manifests("audit")
	if len(list) != 5 {
		t.Fatalf("seals are %v, want 5", briefs(list))
	}
	for i, m := range list {
		if day := 10 + i; m.Day.Day.Start().Day() != day {
			t.Errorf("seal %d is of %v", i+1, m.Day)
		}
		if len(m.Gaps) != 1 || !strings.Contains(m.Gaps[0].Reason, "down") {
			t.Errorf("gaps of %v: %+v", m.Day, m.Gaps)
		}
	}
}

// The store is away: events are taken in, and status says why sealing waits. It comes back, and all days are sealed.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	w.store.FailKey("preflight", "", sinktest.Fault{Err: errors.New("503 slow down")})
	w.clock.move(3 * 24 * time.Hour)
	w.heartbeat()
	if err := w.Roll(t.Context(), false); err == nil {
		t.Fatal("sealing succeeded without a store")
	}
	if got := w.send(event("e2", w.clock.now())); got.Accepted != 1 {
		t.Errorf("taken %+v while the store is away", got)
	}
	st := w.status()
	if st.Level != service.LevelAlert || st.Sealing.Error == "" || len(w.trail().Due) != 3 {
		t.Errorf("level %s, error %q, due %v", st.Level, st.Sealing.Error, w.trail().Due)
	}
	w.store.Heal()
	w.roll()
	if n := len(w.manifests("audit")); n != 3 {
		t.Errorf("%d seals, want 3", n)
	}
	if st := w.status(); st.Level != service.LevelOK || st.Sealing.Error != "" {
		t.Errorf("level %s, problems %+v", st.Level, st.Problems)
	}
}

// It takes two admins to switch a trail off; its days are sealed all the same and tell the gap, and it comes back by itself.
func TestSwitchOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	until := begun.Add(36 * time.Hour)
	w.call("", http.MethodPost, "/v1/trails/audit/disable", service.DisableRequest{Reason: "x"}, http.StatusForbidden, nil)
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/disable", service.DisableRequest{}, http.StatusBadRequest, nil)
	w.call(w.sender, http.MethodPost, "/v1/trails/audit/disable", service.DisableRequest{Reason: "x"}, http.StatusForbidden, nil)
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/disable", service.DisableRequest{Reason: "load test", Until: &until}, http.StatusOK, nil)
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/approve", nil, http.StatusForbidden, nil)
	w.call(w.bob, http.MethodPost, "/v1/trails/audit/approve", nil, http.StatusOK, nil)
	w.clock.move(30 * time.Minute)
	if got := w.send(event("cooling", w.clock.now())); got.Accepted != 1 {
		t.Errorf("while it cools off: taken %+v", got)
	}
	w.clock.move(time.Hour)
	if got := w.send(event("off", w.clock.now())); got.NotTracked != 1 {
		t.Errorf("while it is off: taken %+v", got)
	}
	if st := w.trail(); st.Switch.State != "off" {
		t.Errorf("state is %s", st.Switch.State)
	}
	w.clock.move(12*time.Hour + 30*time.Minute) // 02:00
	w.roll()
	list := w.manifests("audit")
	if len(list) != 1 || len(list[0].Gaps) != 1 || !strings.Contains(list[0].Gaps[0].Reason, "load test") || list[0].Gaps[0].From.Equal(list[0].Start) {
		t.Fatalf("seals %v, gaps %+v", briefs(list), list[0].Gaps)
	}
	w.clock.move(24 * time.Hour)
	if got := w.send(event("back", w.clock.now())); got.Accepted != 1 {
		t.Errorf("after its time: taken %+v", got)
	}
}

// A clock that jumps forward seals nothing early; one that jumps back seals nothing twice.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	w.clock.set(36 * time.Hour)
	w.heartbeat()
	if err := w.Roll(t.Context(), false); err == nil || !strings.Contains(err.Error(), "set forward") {
		t.Fatalf("after a jump forward: %v", err)
	}
	if n := len(w.manifests("audit")); n != 0 {
		t.Fatalf("%d seals of a day that is not over", n)
	}
	w.clock.set(-36 * time.Hour)
	w.roll()
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	w.clock.set(-24 * time.Hour)
	if got := w.send(event("e2", w.clock.now())); got.Accepted != 1 {
		t.Errorf("taken %+v", got)
	}
	if err := w.Roll(t.Context(), false); err != nil { // nothing is due
		t.Error(err)
	}
	w.clock.set(24 * time.Hour)
	if err := w.Roll(t.Context(), false); err == nil {
		t.Error("set forward again, and nothing is held")
	}
	w.restart() // by which somebody says that the clock is right
	w.roll()
	if n := len(w.manifests("audit")); n != 1 {
		t.Errorf("%d seals, want 1", n)
	}
	w.store.SetOffset(20 * time.Minute)
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	if err := w.Roll(t.Context(), false); err == nil || !strings.Contains(err.Error(), "store's clock differs") {
		t.Errorf("with the store's clock 20 minutes off: %v", err)
	}
}

// What was sealed lately is read back: damage in the store is an alert, whoever did it.
func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	if v, err := w.Verify(t.Context()); err != nil || v.ExitCode != 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if st := w.status(); st.Verified == nil || st.Level != service.LevelOK {
		t.Errorf("status: %+v, %s", st.Verified, st.Level)
	}
	// A file of the last hour is of no seal that is being made: the service would know.
	const stray = "csv/class=standard/trail=audit/dt=2026-01-01/audit-2026-01-01.0001.csv.gz"
	w.store.Overwrite(stray, []byte("x"), sink.Lock{})
	if v, err := w.Verify(t.Context()); err != nil || v.ExitCode != 1 || len(v.Findings) != 1 || v.Findings[0].Key != stray {
		t.Fatalf("with a file that is not sealed: %+v, %v", v, err)
	}
	w.store.Erase(stray)
	for _, key := range w.store.Keys() {
		if strings.HasSuffix(key, ".csv.gz") {
			w.store.FlipBit(key, 200)
		}
	}
	if v, err := w.Verify(t.Context()); err != nil || v.ExitCode != 1 || len(v.Findings) == 0 {
		t.Fatalf("after a bit was flipped: %+v, %v", v, err)
	}
	if st := w.status(); st.Level != service.LevelAlert || st.Problems[0].Code != "store-altered" {
		t.Errorf("status: %s %+v", st.Level, st.Problems)
	}
}

// Events that do not add up, as where the folder's own copy of a manifest was altered: nothing more is sealed, status and metrics say why, and events are taken in.
func TestEventsDoNotAddUp(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func(w *world) bool{
		"at a seal": func(w *world) bool { return errors.Is(w.Roll(w.t.Context(), false), batch.ErrConservation) },
		"at a count": func(w *world) bool {
			list, err := w.Reconcile(w.t.Context())
			return err == nil && len(list) == 1 && list[0].Fault != ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.people()
			w.send(event("e1", begun))
			w.clock.move(14 * time.Hour)
			for range 2 { // the newest would be found to be another than the store's
				w.heartbeat()
				w.roll()
				w.clock.move(24 * time.Hour)
			}
			w.shut()
			copied := filepath.Join(w.config.Batch.Data, "ledger", "audit", "00000001", "manifest.json")
			data, err := os.ReadFile(copied)
			if err != nil {
				t.Fatal(err)
			}
			altered := strings.NewReplacer(`"written": 5`, `"written": 6`, `"read": 5`, `"read": 6`, `"rows": 5`, `"rows": 6`).Replace(string(data))
			if altered == string(data) {
				t.Fatalf("the manifest is not as the test expects:\n%s", data)
			}
			write(t, copied, altered)
			w.open()
			if !strings.Contains(w.scrape(), "\ndaybook_conservation_fault 0\n") {
				t.Error("a fault is told before it was found")
			}
			w.heartbeat()
			if !find(w) {
				t.Fatal("nobody finds that events do not add up")
			}
			for range 2 { // it stands, whatever is tried
				if held := w.problemsOf("sealing-held"); len(held) != 1 || !strings.Contains(held[0].Text, "seal 1 holds 6 events by its manifest, but 5 were written to it") {
					t.Errorf("status says %+v", w.status().Problems)
				}
				if !strings.Contains(w.scrape(), "\ndaybook_conservation_fault 1\n") {
					t.Error("no metric tells of it")
				}
				if err := w.Roll(t.Context(), true); !errors.Is(err, batch.ErrConservation) {
					t.Errorf("another look ends with %v", err)
				}
			}
			if n := len(w.manifests("audit")); n != 2 {
				t.Errorf("%d seals, want those that were there", n)
			}
			if got := w.send(event("e2", w.clock.now())); got.Accepted != 1 {
				t.Errorf("taken %+v while sealing is held", got)
			}
		})
	}
}

// A source that is silent for as long as days wait for it is told; so is one that never worked, from its own beginning on. What it could not do does not count.
func TestSilentSourceIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.Expect()
	expect := func(texts ...string) {
		t.Helper()
		var told []string
		for _, p := range w.problemsOf("source-silent") {
			told = append(told, p.Text)
		}
		if diff := cmp.Diff(texts, told); diff != "" {
			t.Errorf("at %s status tells of silent sources (-want +got):\n%s", w.clock.now(), diff)
		}
	}
	never := "nothing was ever heard of the source %s, which is awaited since 2026-03-%sZ"
	w.clock.move(7 * time.Hour) // an hour to close, six to wait
	expect()
	if line := fmt.Sprintf("\ndaybook_source_watermark_timestamp_seconds{org=\"acme\",source=\"api\"} %s\n", float(begun)); !strings.Contains(w.scrape(), line) {
		t.Errorf("/metrics lacks %s", line)
	}
	w.clock.move(time.Second)
	expect(fmt.Sprintf(never, "api", "10T12:00:00"))
	var made service.Made
	w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "acme", Source: "new"}, http.StatusOK, &made)
	w.Expect()
	w.heartbeat()
	expect()
	w.clock.move(7*time.Hour + time.Second)
	expect("the source api has come no further than 2026-03-10T19:00:01Z", fmt.Sprintf(never, "new", "10T19:00:01"))
	w.heartbeat()
	w.call(w.alice, http.MethodDelete, "/v1/tokens/"+made.ID+"?reason=gone", nil, http.StatusOK, nil)
	w.Expect()
	expect()
	// Who comes back has its time again, and so have all after an outage.
	w.clock.move(24 * time.Hour)
	w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "acme", Source: "new"}, http.StatusOK, &made)
	w.Expect()
	expect("the source api has come no further than 2026-03-11T02:00:02Z")
	w.restart()
	expect()
	w.clock.move(7*time.Hour + time.Second)
	expect("the source api has come no further than 2026-03-11T02:00:02Z", fmt.Sprintf(never, "new", "12T02:00:02"))
	w.roll()
	for _, d := range w.trail().Calendar {
		if want := map[string]int{"2026-03-10": 1, "2026-03-11": 2}[d.Day.String()]; d.Gaps != want {
			t.Errorf("the calendar tells of %d gaps on %v, want %d", d.Gaps, d.Day, want)
		}
	}
}

// What comes by files, a file a day perhaps, is silent once a day has waited for it for long. Who leaves the files can declare that a day is whole.
func TestFilesAreSilentByTheDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: t.TempDir(), Org: "acme", Source: "batch", From: "auto"}}
	})
	w.people()
	w.Expect()
	var made service.Made
	w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "acme", Source: "batch"}, http.StatusOK, &made)
	w.sender = made.Secret
	silent := func(want bool) {
		t.Helper()
		told := slices.ContainsFunc(w.problemsOf("source-silent"), func(p service.Problem) bool {
			return strings.Contains(p.Text, "source batch") && strings.Contains(p.Hint, "see whether its files come")
		})
		metric := w.metric(`daybook_source_silent{org="acme",source="batch"}`) == 1
		if told != want || metric != want {
			t.Errorf("at %s the source is silent by its status: %t, by the metric: %t, want %t", w.clock.now(), told, metric, want)
		}
	}
	w.clock.move(19*time.Hour - time.Second) // the day has had an hour to close, and nearly six to wait
	silent(false)
	w.clock.move(time.Second)
	silent(true)
	w.heartbeat()
	silent(false)
	w.clock.move(24*time.Hour - time.Second)
	silent(false)
	w.clock.move(time.Second)
	silent(true)
}

// A configuration that is read again changes what it may, is recorded with what has changed, and changes nothing where it can't be taken up.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	_, stop := w.serve()
	c := w.config
	c.MaxWait, c.Effective = 0, []string{"a: 2", "b: 1"}
	c.Batch.Config = seal.Sum([]byte("another"))
	if err := w.Reload(c, control.System); err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*service.Config){
		"the data folder":      func(c *service.Config) { c.Batch.Data += "2" },
		"the address":          func(c *service.Config) { c.Listen = "127.0.0.1:1" },
		"the store":            func(c *service.Config) { c.Where = "another" },
		"the org of the trail": func(c *service.Config) { c.Batch.Trails = []batch.Trail{{Name: "audit", Org: "other"}} },
	} {
		bad := c
		edit(&bad)
		err := w.Reload(bad, control.System)
		if err == nil {
			t.Errorf("%s was changed", name)
			continue
		}
		w.ReloadRefused(err)
		if p := w.problemsOf("reload-refused"); len(p) != 1 || p[0].Level != service.LevelWarning || !strings.HasSuffix(p[0].Text, ": "+err.Error()) || p[0].Hint == "" || w.metric("daybook_reload_refused") != 1 {
			t.Errorf("%s: the status tells %+v", name, p)
		}
	}
	// So it is if the change can't be recorded: here since who makes it may not.
	bad := c
	bad.MaxBody, bad.Effective = 10, []string{"a: 3", "b: 1"}
	bad.Batch.Config = seal.Sum([]byte("a third"))
	if err := w.Reload(bad, control.Actor{Name: "carol", Role: control.RoleAdmin, Org: "acme"}); err == nil {
		t.Error("an admin of one org has changed it")
	}
	w.send(event("after", begun))
	// Of the faults of a file the first is told. What can be taken up ends it.
	w.ReloadRefused(errors.New("the configuration has 2 faults:\nfile:1:2: one\n    hint\nfile:2:2: two"))
	want := "the configuration that was read at 2026-03-10T12:00:00Z is not taken up, and the service goes on as it was: the configuration has 2 faults: file:1:2: one"
	if p := w.problemsOf("reload-refused"); len(p) != 1 || p[0].Text != want || !strings.Contains(p[0].Hint, "daybook config check") {
		t.Errorf("the status tells %+v", p)
	}
	if err := w.Reload(c, control.System); err != nil {
		t.Fatal(err)
	}
	if p := w.problemsOf("reload-refused"); len(p) != 0 || w.metric("daybook_reload_refused") != 0 {
		t.Errorf("after a reload that was not refused the status tells %+v", p)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.clock.move(14 * time.Hour)
	w.roll() // without waiting, as the new configuration says
	list := w.manifests("audit")
	if len(list) != 1 || list[0].Config != c.Batch.Config {
		t.Fatalf("seals %v", briefs(list))
	}
	rows := w.evidence(list[0])
	if !strings.Contains(rows, `"action":"daybook.config.change"`) || !strings.Contains(rows, "- a: 1") || !strings.Contains(rows, "+ b: 1") {
		t.Errorf("the change is not in the trail: %s", rows)
	}
}

// A trail is told what has changed in the configuration as far as that is its org's or every org's; of the rest it has the digest alone. A trail whose declaration leaves its
// org open is that of the org for which it was enabled.
func TestChangesByOrg(t *testing.T) {
	t.Parallel()
	lines := func(what string) []string {
		return []string{
			`service.drop[0].org: "acme"`, fmt.Sprintf(`service.drop[0].path: "acme-%s"`, what), `service.drop[1].org: "globex"`, fmt.Sprintf(`service.drop[1].path: "globex-%s"`, what),
			`service.admins[0].name: "operator"`, `service.admins[0].org: "*"`, fmt.Sprintf(`service.admins[0].role: "every-%s"`, what), fmt.Sprintf("max_wait: %q", "every-"+what),
			`trails[0].name: "audit"`, `trails[0].org: "acme"`, fmt.Sprintf(`trails[0].projects[0]: "acme-%s"`, what),
			`trails[1].name: "globex"`, `trails[1].org: "*"`, fmt.Sprintf(`trails[1].projects[0]: "globex-%s"`, what),
		}
	}
	w := newWorld(t, func(c *service.Config) { c.Effective = lines("before") })
	w.people()
	w.call(w.alice, http.MethodPost, "/v1/trails/globex/enable", service.EnableRequest{Org: "globex", Formats: []string{"jsonl", "csv"}}, http.StatusOK, nil)
	_, stop := w.serve()
	c := w.config
	c.Effective, c.Batch.Config = lines("after"), seal.Sum([]byte("after"))
	if err := w.Reload(c, control.System); err != nil {
		t.Fatal(err)
	}
	// What alone is another's leaves the digest.
	kept := slices.DeleteFunc(lines("after"), func(line string) bool { return strings.Contains(line, "globex-after") })
	c.Effective, c.Batch.Config = append(kept, `trails[1].projects[0]: "globex-later"`), seal.Sum([]byte("later"))
	if err := w.Reload(c, control.System); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.clock.move(20 * time.Hour)
	w.roll()
	every := func(own ...string) string {
		diff := []string{`- service.admins[0].role: "every-before"`, `- max_wait: "every-before"`, `+ service.admins[0].role: "every-after"`, `+ max_wait: "every-after"`}
		return strings.Join(append(diff, own...), "\n")
	}
	for trail, want := range map[string][]string{
		"audit": {every(`- service.drop[0].path: "acme-before"`, `- trails[0].projects[0]: "acme-before"`, `+ service.drop[0].path: "acme-after"`, `+ trails[0].projects[0]: "acme-after"`), ""},
		"globex": {
			every(`- service.drop[1].path: "globex-before"`, `- trails[1].projects[0]: "globex-before"`, `+ service.drop[1].path: "globex-after"`, `+ trails[1].projects[0]: "globex-after"`),
			"- service.drop[1].path: \"globex-after\"\n- trails[1].projects[0]: \"globex-after\"\n+ trails[1].projects[0]: \"globex-later\"",
		},
	} {
		var got []string
		last := ""
		for row := range strings.Lines(w.evidence(w.manifests(trail)[0])) {
			var e struct {
				Action  string
				Changes struct {
					After string
					Diff  []string
				}
			}
			if err := json.Unmarshal([]byte(row), &e); err != nil {
				t.Fatal(err)
			}
			if e.Action == control.ActionConfigChange {
				got, last = append(got, strings.Join(e.Changes.Diff, "\n")), e.Changes.After
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || last != c.Batch.Config.String() {
			t.Errorf("the trail %s is told of %s and (-want +got):\n%s", trail, last, diff)
		}
	}
}

// What a trail covers stays what it was when its declaration is taken out of the configuration, and what the configuration makes of it is told.
func TestDeclarationTakenOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *service.Config) { c.Batch.Trails[0].Projects = []string{"p1"} })
	w.people()
	of := func(id, project string) string {
		return fmt.Sprintf(`{"id":%q,"time":"2026-03-10T12:00:00Z","action":"file-read","project_id":%q}`, id, project)
	}
	_, stop := w.serve()
	c := w.config
	declaredTrail := c.Batch.Trails[0]
	c.Batch.Trails, c.Batch.Config, c.Effective = nil, seal.Sum([]byte("without")), []string{"a: 2"}
	if err := w.Reload(c, control.System); err != nil {
		t.Fatal(err)
	}
	if got := w.send(of("e1", "p1"), of("e2", "p2")); got.Accepted != 1 || got.NotTracked != 1 {
		t.Errorf("taken %+v, want what was declared", got)
	}
	if spec := w.trail().Switch.Spec; !slices.Equal(spec.Projects, []string{"p1"}) || len(spec.Formats) != len(declaredTrail.Formats) {
		t.Errorf("it covers %+v", spec)
	}
	// The other way: declared otherwise.
	declaredTrail.Projects = []string{"p3"}
	c.Batch.Trails, c.Batch.Config, c.Effective = []batch.Trail{declaredTrail}, seal.Sum([]byte("other")), []string{"a: 3"}
	if err := w.Reload(c, control.System); err != nil {
		t.Fatal(err)
	}
	if spec := w.trail().Switch.Spec; !slices.Equal(spec.Projects, []string{"p3"}) {
		t.Errorf("it covers %+v", spec)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	if rows := w.evidence(w.manifests("audit")[0]); !strings.Contains(rows, `"action":"daybook.trail.declare"`) {
		t.Errorf("the change is not in the trail: %s", rows)
	}
}

// A reload takes effect while a day is being sealed: who was struck from the configuration sends nothing more.
func TestReloadWhileSealing(t *testing.T) {
	t.Parallel()
	slow := &slowStore{begun: make(chan struct{}, 1), release: make(chan struct{})}
	w := newWorld(t, func(c *service.Config) {
		slow.Memory = c.Batch.Store.(*sinktest.Memory)
		c.Batch.Store = slow
	})
	w.people()
	w.send(event("e1", begun))
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	_, stop := w.serve() // it looks as it starts
	<-slow.begun
	c := w.config
	c.MaxBody, c.Effective = 10, []string{"a: 2"}
	c.Batch.Config = seal.Sum([]byte("another"))
	reloaded := make(chan error, 1)
	go func() { reloaded <- w.Reload(c, control.System) }()
	select {
	case err := <-reloaded:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the reload waits for the seal")
	}
	if data, code := w.try(w.sender, http.MethodPost, "/v1/events", event("e2", begun)); code != http.StatusRequestEntityTooLarge {
		t.Errorf("by the new limit: answered with %d %s", code, data)
	}
	close(slow.release)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if list := w.manifests("audit"); len(list) != 1 || list[0].Config != w.config.Batch.Config {
		t.Errorf("the seal under way is not by what it began with: %v", briefs(list))
	}
	w.check()
}

// Events that import left for a trail that nobody has switched on are told, and sealed once it is on.
func TestStrandedEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.shut()
	file := filepath.Join(t.TempDir(), "in.jsonl")
	write(t, file, event("old", begun))
	how := w.config.Reading
	how.Source, how.Org, how.AsOf, how.Workers = "jsonl", "acme", begun, 1
	q := intake.NewQuarantine(filepath.Join(w.config.Batch.Data, "quarantine"), begun)
	if _, err := batch.Import(t.Context(), w.config.Batch, []string{file}, nil, how, q); err != nil {
		t.Fatal(err)
	}
	w.open()
	if st := w.status(); st.Level != service.LevelWarning || st.Problems[0].Code != "events-stranded" || st.Problems[0].Trail != "audit" {
		t.Errorf("status: %s %+v", st.Level, st.Problems)
	}
	w.people()
	if st := w.status(); st.Level != service.LevelOK {
		t.Errorf("status: %s %+v", st.Level, st.Problems)
	}
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	if rows := w.evidence(w.manifests("audit")[0]); !strings.Contains(rows, `"id":"old"`) {
		t.Errorf("it is not sealed: %s", rows)
	}
}

// What is asked in the wrong way is told as what it is.
func TestWrongRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	for _, c := range []struct {
		token, method, path string
		code                int
		says                string
	}{
		{w.alice, http.MethodGet, "/v2/nothing", http.StatusNotFound, "there is nothing at /v2/nothing"},
		{w.alice, http.MethodDelete, "/v1/trails", http.StatusMethodNotAllowed, "it takes GET, HEAD"},
		{w.alice, http.MethodPost, "/v1/trails/audit/enable?x=1", http.StatusOK, `"already": true`},
		{"dba_no", http.MethodGet, "/v1/status", http.StatusUnauthorized, "unknown secret"},
		{w.sender, http.MethodGet, "/v1/status", http.StatusForbidden, "wrong kind of secret"},
		{w.alice, http.MethodGet, "/v1/status?days=x", http.StatusBadRequest, "days is a number"},
	} {
		data, code := w.try(c.token, c.method, c.path, nil)
		if code != c.code || !strings.Contains(string(data), c.says) {
			t.Errorf("%s %s: %d %s, want %d and %q", c.method, c.path, code, data, c.code, c.says)
		}
	}
	data, _ := w.try(w.alice, http.MethodGet, "/v1/tokens", nil)
	if !strings.Contains(string(data), `"source": "api"`) || strings.Contains(string(data), "0001-01-01") || strings.Contains(string(data), w.sender) {
		t.Errorf("the tokens are told as %s", data)
	}
}

// A receipt promises no more than the schedule can keep, and its event is found whatever became of it.
func TestReceiptIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *service.Config) { c.Schedule = "0 3 * * 1" }) // Mondays
	w.people()
	var got struct {
		Receipts []string `json:"receipts"`
	}
	for range 2 { // the second time it is a duplicate, whose row is the first's
		w.call(w.sender, http.MethodPost, "/v1/events?receipt=true", event("e1", begun), http.StatusOK, &got)
		w.clock.move(time.Minute)
	}
	promise := func() *proof.Promise {
		t.Helper()
		p, err := proof.CheckPromise(t.Context(), w.store, []byte(got.Receipts[0]), []seal.PublicKey{w.key.Public()}, w.clock.now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := promise()
	if want := time.Date(2026, 3, 17, 3, 0, 0, 0, time.UTC); p.State != proof.Pending || !p.Receipt.SealedBy.Equal(want) {
		t.Errorf("%s, sealed by %v, want %v", p.State, p.Receipt.SealedBy, want)
	}
	w.clock.move(7 * 24 * time.Hour)
	if p := promise(); p.State != proof.Broken || p.ExitCode() != 1 {
		t.Errorf("after its time: %s", p.State)
	}
	w.heartbeat()
	w.roll()
	if p := promise(); p.State != proof.Kept || p.Found.Seal != 1 || p.ExitCode() != 0 {
		t.Errorf("once it is sealed: %+v", p)
	}
	w.clock.move(365 * 24 * time.Hour)
	if _, err := proof.CheckPromise(t.Context(), w.store, []byte(strings.Replace(got.Receipts[0], "e1", "e2", 1)), nil, w.clock.now(), nil); err == nil {
		t.Error("a receipt that was altered is taken for one")
	}
}

// An event of suspect time that comes again is filed under another day, and sealed once: the receipt that it got the second time is kept by the seal of the first.
func TestReceiptOfASuspectEventThatComesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	var got struct {
		Receipts []string `json:"receipts"`
	}
	for range 2 {
		w.call(w.sender, http.MethodPost, "/v1/events?receipt=true", event("e0", time.Unix(0, 0)), http.StatusOK, &got)
		w.clock.move(24 * time.Hour)
		w.heartbeat()
		w.roll()
	}
	w.once("audit", 1)
	w.clock.move(30 * 24 * time.Hour)
	p, err := proof.CheckPromise(t.Context(), w.store, []byte(got.Receipts[0]), []seal.PublicKey{w.key.Public()}, w.clock.now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.State != proof.Kept || p.Found.Seal != 1 {
		t.Errorf("%s: %+v", p.State, p)
	}
}

// A request that is under way when the service is asked to stop is taken to its end.
func TestStopWhileABodyComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	address, stop := w.serve()
	body, sent := io.Pipe()
	underWay := make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(underWay) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/events", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.sender)
	req.Header.Set("Expect", "100-continue")
	answered := make(chan error, 1)
	var got taken
	go func() {
		resp, err := (&http.Transport{ExpectContinueTimeout: time.Minute}).RoundTrip(req)
		if err != nil {
			answered <- err
			return
		}
		defer resp.Body.Close()
		err = json.NewDecoder(resp.Body).Decode(&got)
		if resp.StatusCode != http.StatusOK {
			err = errors.Join(err, fmt.Errorf("answered with %s", resp.Status))
		}
		answered <- err
	}()
	<-underWay // the handler reads the body
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	eventually(t, "the service stops", func() bool {
		_, code := w.try("", http.MethodGet, "/readyz", nil)
		return code == http.StatusServiceUnavailable
	})
	for _, line := range []string{event("e1", begun) + "\n", "no JSON\n", event("e2", begun) + "\n"} {
		if _, err := io.WriteString(sent, line); err != nil {
			t.Error(err)
		}
	}
	if err := sent.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil || got.Accepted != 2 || got.Rejected != 1 {
		t.Errorf("taken %+v: %v", got, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	w.check()
}

// A backfill that is admitted to a trail that is on already has its time, from then on; and nothing is claimed of its days, which the trail did not keep when they passed.
func TestLaterBackfillHasItsTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.clock.move(14 * time.Hour) // 02:00 of the next day
	w.heartbeat()
	w.roll()
	since := seal.Date{Day: daybook.DayOf(begun) - 2}
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/enable", service.EnableRequest{Since: &since}, http.StatusOK, nil)
	w.clock.move(6*time.Hour + 59*time.Minute) // an hour to close, six to wait
	w.heartbeat()
	w.roll()
	if list := w.manifests("audit"); len(list) != 1 {
		t.Fatalf("seals are %v: the days of the backfill were not waited for", briefs(list))
	}
	calendar := func(want string) {
		t.Helper()
		var got []string
		for _, d := range w.trail().Calendar {
			if d.Day.Day >= since.Day-1 && d.Day.Day <= since.Day+3 {
				got = append(got, d.State)
			}
		}
		if all := strings.Join(got, ", "); all != want {
			t.Errorf("the calendar says %s, want %s", all, want)
		}
	}
	calendar("not enabled, awaiting, awaiting, sealed, open")
	if got := w.send(event("old", begun.Add(-24*time.Hour))); got.Accepted != 1 {
		t.Errorf("taken %+v", got)
	}
	calendar("not enabled, awaiting, awaiting, sealed, open") // the one with the event, too
	w.clock.move(time.Minute)
	calendar("not enabled, due, due, sealed, open")
	w.clock.move(2*time.Hour + time.Second) // and nobody has sealed them
	calendar("not enabled, missing, missing, sealed, open")
	w.roll()
	list := w.manifests("audit")
	if diff := cmp.Diff([]string{"2026-03-10 addendum 0", "2026-03-08 addendum 0", "2026-03-09 addendum 0"}, briefs(list)); diff != "" {
		t.Fatalf("seals (-want +got):\n%s", diff)
	}
	if n := list[2].Counts.Written; n != 1 {
		t.Errorf("the seal of the 9th holds %d events, want the one that was sent", n)
	}
	for _, m := range list[1:] {
		for _, s := range m.Sources {
			if !s.Watermark.IsZero() || len(s.Gaps) > 0 {
				t.Errorf("the seal of %v claims of its source %+v", m.Day, s)
			}
		}
	}
}

// TestBackfillKeepsNoDayWaiting extends a trail again and again: whoever may do that must not keep the days of live events from being sealed.
func TestBackfillKeepsNoDayWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	for n := range 8 {
		w.clock.move(6 * time.Hour)
		since := seal.Date{Day: daybook.DayOf(begun) - 1 - daybook.Day(n)}
		w.call(w.alice, http.MethodPost, "/v1/trails/audit/enable", service.EnableRequest{Since: &since}, http.StatusOK, nil)
		w.heartbeat()
		w.roll()
	}
	got := briefs(w.manifests("audit"))
	for _, day := range []string{"2026-03-10", "2026-03-11"} {
		if !slices.Contains(got, day+" addendum 0") {
			t.Errorf("at noon of the 12th the %s is not sealed: %v", day, got)
		}
	}
	if slices.Contains(got, "2026-03-02 addendum 0") {
		t.Errorf("the day of the last backfill is sealed at once: %v", got)
	}
}

// A trail is not enabled from a day on under which no event can be filed: each day since then would be sealed empty, which nobody could undo.
func TestEnableSinceLongAgo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	for text, code := range map[string]int{"0026-01-01": http.StatusBadRequest, "1999-12-31": http.StatusBadRequest, "2000-01-01": http.StatusOK} {
		day, err := daybook.ParseDay(text)
		if err != nil {
			t.Fatal(err)
		}
		w.call(w.alice, http.MethodPost, "/v1/trails/t"+text+"/enable", service.EnableRequest{Org: "acme", Since: &seal.Date{Day: day}}, code, nil)
	}
}

// A project that is named twice is one.
func TestProjectNamedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *service.Config) { c.Batch.Trails[0].Projects = []string{"p1", "p2", "p1"} })
	w.people()
	before := w.trail().Accepted
	w.send(`{"id":"e0","time":"2026-03-10T12:00:00Z","action":"file-read","project_id":"p1"}`)
	if st := w.trail(); st.Accepted != before+1 || st.Duplicates != 0 {
		t.Errorf("accepted %d, duplicates %d", st.Accepted-before, st.Duplicates)
	}
}

// An event that comes again before its day is sealed is known, though it would be of another retention class now.
func TestAnEventIsKnownInAnotherClass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e0", begun), event("e1", begun))
	c := w.config
	c.Batch.Policies = append(retention.Policies{{Class: "access", EventTypes: []string{"api.*"}}}, c.Batch.Policies...)
	if err := w.Reload(c, control.System); err != nil {
		t.Fatal(err)
	}
	if got := w.send(event("e0", begun), event("e2", begun)); got.Accepted != 1 || got.Duplicate != 1 {
		t.Errorf("taken %+v", got)
	}
	w.restart() // with the classes of before
	if got := w.send(event("e1", begun), event("e2", begun)); got.Duplicate != 2 {
		t.Errorf("taken %+v", got)
	}
	w.config = c
	w.restart()
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	w.once("audit", 3)
}
