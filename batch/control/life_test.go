package control_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/event"
)

func (w *world) wantGaps(trail string, want ...seal.Gap) {
	w.t.Helper()
	got := w.Gaps(trail, morning.Add(-1000*hour), w.clock().Add(1000*hour))
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("gaps of %s (-want +got):\n%s", trail, diff)
	}
}

func gap(from, to time.Duration, reason string) seal.Gap {
	return seal.Gap{From: morning.Add(from), To: morning.Add(to), Reason: reason}
}

func TestDownTime(t *testing.T) {
	w := newWorld(t)
	refused(t, w.Started("", config1, nil), control.ErrInvalid)
	refused(t, w.Started("v1", seal.Hash{}, nil), control.ErrInvalid)
	if w.Alive() == nil || w.Stopped("") == nil {
		t.Error("the service is alive or stopped before it was started")
	}
	must(t, w.Started("v1", config1, nil))
	w.wantGaps("acme") // nothing was before
	if w.Started("v1", config1, nil) == nil {
		t.Error("the service was started twice")
	}

	// It dies without a sign of life.
	w.wait(hour)
	w.reopen()
	must(t, w.Started("v1", config1, nil))
	died := "daybook was down: it died"
	first := gap(0, hour, died)
	w.wantGaps("acme", first)

	// It dies after two signs of life.
	w.wait(hour)
	must(t, w.Alive())
	w.wait(hour)
	n := w.Version()
	must(t, w.Alive())
	if w.Version() != n {
		t.Error("a sign of life is a record")
	}
	w.wait(hour)
	w.reopen()
	must(t, w.Started("v1", config1, nil))
	second := gap(3*hour, 4*hour, died)
	w.wantGaps("acme", first, second)

	// It dies: the signs of life of the run before do not count.
	w.wait(hour)
	w.reopen()
	w.wait(hour)
	must(t, w.Started("v1", config1, nil))
	third := gap(4*hour, 6*hour, died)
	w.wantGaps("acme", first, seal.Gap{From: second.From, To: third.To, Reason: died})

	// It is stopped, and someone works with the data folder meanwhile.
	w.wait(hour)
	must(t, w.Stopped("SIGTERM"))
	if w.Alive() == nil {
		t.Error("the service is alive though it was stopped")
	}
	w.reopen()
	w.wait(hour)
	must(t, w.Enable(control.Local, acme, w.today(), false))
	w.reopen()
	w.wait(hour)
	must(t, w.Started("v1", config1, nil))
	w.wantGaps("acme", first, seal.Gap{From: second.From, To: third.To, Reason: died}, gap(7*hour, 9*hour, "daybook was down: it was stopped (SIGTERM)"))

	// The clock was set back: for how long it was down nobody knows.
	must(t, w.Stopped(""))
	w.reopen()
	w.wait(-100 * hour)
	must(t, w.Started("v1", config1, nil))
	for own, err := range w.Events(int64(w.Version()) - 1) {
		must(t, err)
		if e := own.Event; e.Has(event.Reason) || strings.Contains(e.Get(event.Info), "from") {
			t.Errorf("the start tells of a gap: %s", e.AppendJSON(nil))
		}
	}
	w.wait(100 * hour)
	w.wantGaps("acme", first, seal.Gap{From: second.From, To: third.To, Reason: died}, gap(7*hour, 9*hour, "daybook was down: it was stopped (SIGTERM)"))
}

// The sign of life of another run counts for nothing, be it later than the start of this one by a clock that was set back.
func TestSignOfLifeOfAnotherRun(t *testing.T) {
	w := newWorld(t)
	must(t, w.Started("v1", config1, nil))
	w.wait(5 * hour)
	must(t, w.Alive())
	w.reopen()
	w.wait(-3 * hour)
	w.before = func(op string) error {
		if op == "write alive" {
			return errors.New("broken")
		}
		return nil
	}
	must(t, w.Started("v1", config1, nil))
	w.wait(hour)
	w.reopen()
	must(t, w.Started("v1", config1, nil))
	w.wantGaps("acme", gap(2*hour, 3*hour, "daybook was down: it died"))
}

func TestSignOfLifeThatFails(t *testing.T) {
	broken := errors.New("broken")
	for _, op := range []string{"write alive", "rename alive", "sync folder"} {
		w := newWorld(t)
		w.before = func(o string) error {
			if o == op {
				return broken
			}
			return nil
		}
		must(t, w.Started("v1", config1, nil)) // the record tells enough
		w.wait(hour)
		refused(t, w.Alive(), broken)
		must(t, w.Enable(alice, acme, w.today(), false)) // nothing is stopped
		w.before = nil
		must(t, w.Alive())
		w.reopen()
		w.wait(hour)
		must(t, w.Started("v1", config1, nil))
		w.wantGaps("acme", gap(hour, 2*hour, "daybook was down: it died"))
	}
}

func TestConfigChange(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	must(t, w.Started("v1", config1, every("- a: 1")))
	must(t, w.ConfigChanged(alice, config1, nil)) // the same
	refused(t, w.ConfigChanged(alice, seal.Hash{}, nil), control.ErrInvalid)
	must(t, w.ConfigChanged(alice, config2, every("- a: 1", "+ a: <2>\xff")))
	w.reopen()
	w.wait(hour)
	must(t, w.Started("v2", config1, every("+ a: 1")))
	must(t, w.ConfigChanged(control.System, config2, control.Diff{"acme": {"cut, too"}, control.AllOrgs: slice(strings.Repeat("x", 1<<10), 100)}))
	w.reopen()
	var got []string
	for own, err := range w.Events(0) {
		must(t, err)
		e := own.Event
		if e.Get(event.ObjectType) == "trail" {
			continue
		}
		got = append(got, fmt.Sprintf("%.230s", e.Get(event.Action)+" "+e.Get(event.ActorType)+" "+e.Get(event.Changes)))
	}
	change := func(from, to seal.Hash, diff string) string {
		return fmt.Sprintf(`{"before":"%v","after":"%v","diff":[%s`, from, to, diff)
	}
	want := []string{
		"daybook.service.start system ",
		"daybook.config.change admin " + change(config1, config2, `"- a: 1","+ a: <2>�"]}`),
		"daybook.config.change system " + change(config2, config1, `"+ a: 1"]}`),
		"daybook.service.start system ",
		fmt.Sprintf("%.230s", "daybook.config.change system "+change(config1, config2, `"`+strings.Repeat("x", 100))),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, cut := range []string{`"… 37 more lines"`, `"acme":["… 1 more lines"]`} {
		if !bytes.Contains(read(t, w.journal()), []byte(cut)) {
			t.Errorf("a diff that was cut does not say %s", cut)
		}
	}
}

// every is a diff of what concerns every org.
func every(lines ...string) control.Diff { return control.Diff{control.AllOrgs: lines} }

// An org is told what concerns it, and the digests in any case.
func TestConfigChangeByOrg(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	must(t, w.Enable(alice, beta, w.today(), false))
	must(t, w.Started("v1", config1, nil))
	must(t, w.ConfigChanged(alice, config2, control.Diff{"acme": {"+ of: acme"}, control.AllOrgs: {"+ of: all"}, "other": {"+ of: other"}}))
	w.reopen()
	got := map[string]string{}
	for own, err := range w.Events(0) {
		must(t, err)
		if e := own.Event; e.Get(event.Action) == control.ActionConfigChange {
			got[e.Get(event.Org)] = e.Get(event.Changes)
		}
	}
	head := fmt.Sprintf(`{"before":"%v","after":"%v","diff":`, config1, config2)
	want := map[string]string{"acme": head + `["+ of: all","+ of: acme"]}`, "beta": head + `["+ of: all"]}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func slice(s string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

func TestGaps(t *testing.T) {
	w := newWorld(t)
	w.SetCoolOff(0)
	must(t, w.Enable(alice, acme, w.today(), false))
	must(t, w.Enable(alice, beta, w.today(), false))
	for _, bad := range []seal.Gap{{}, gap(hour, hour, "x"), gap(hour, 0, "x"), gap(0, hour, " "), gap(0, hour, "\xff")} {
		refused(t, w.Gap(bad, "", ""), control.ErrInvalid)
	}
	refused(t, w.Gap(gap(0, hour, "x"), "", "\n"), control.ErrInvalid)
	refused(t, w.Gap(gap(0, hour, "x"), "gamma", ""), control.ErrNotFound)

	must(t, w.Gap(gap(0, 4*hour, "spool damaged"), "", ""))
	must(t, w.Gap(gap(2*hour, 6*hour, "acme only"), "acme", ""))
	must(t, w.Gap(gap(3*hour, 3*hour+1, "spool damaged"), "acme", ""))
	must(t, w.Gap(gap(5*hour, 9*hour, "app silent"), "acme", "app"))
	must(t, w.Gap(gap(9*hour, 10*hour, "app gone"), "", "app"))
	w.wantGaps("beta", gap(0, 4*hour, "spool damaged"))
	w.wantGaps("acme", gap(0, 2*hour, "spool damaged"), gap(2*hour, 4*hour, "spool damaged; acme only"), gap(4*hour, 6*hour, "acme only"))
	sources := func(trail, source string, want ...seal.Gap) {
		t.Helper()
		if diff := cmp.Diff(want, w.SourceGaps(trail, source, morning.Add(-hour), morning.Add(100*hour))); diff != "" {
			t.Errorf("gaps of %s in %s (-want +got):\n%s", source, trail, diff)
		}
	}
	sources("acme", "app", gap(5*hour, 9*hour, "app silent"), gap(9*hour, 10*hour, "app gone"))
	sources("beta", "app", gap(9*hour, 10*hour, "app gone"))
	sources("acme", "")
	sources("acme", "cron")
	if diff := cmp.Diff([]seal.Gap{gap(hour, 2*hour, "spool damaged"), gap(2*hour, 3*hour, "spool damaged; acme only")},
		w.Gaps("acme", morning.Add(hour), morning.Add(3*hour))); diff != "" {
		t.Errorf("clipped (-want +got):\n%s", diff)
	}

	// The times when it was off, by receipt.
	w.wait(20 * hour)
	must(t, w.RequestDisable(alice, "acme", "migration", morning.Add(22*hour)))
	must(t, w.Approve(bob, "acme"))
	w.wait(10 * hour)
	must(t, w.RequestDisable(bob, "acme", "for good", time.Time{}))
	must(t, w.Approve(dora, "acme"))
	from := morning.Add(19 * hour)
	want := []seal.Gap{
		gap(20*hour, 22*hour, "trail off: migration, by alice, approved by bob"),
		gap(30*hour, 50*hour, "trail off: for good, by bob, approved by dora"),
	}
	if diff := cmp.Diff(want, w.Gaps("acme", from, morning.Add(50*hour))); diff != "" {
		t.Errorf("off (-want +got):\n%s", diff)
	}
	if got := w.Gaps("beta", from, morning.Add(50*hour)); got != nil {
		t.Errorf("another trail has %v", got)
	}
}

// Gaps tells for each minute the reasons of just those gaps that hold then, and is what a manifest may have.
func TestGapsAgainstEachMinute(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		w := newWorld(t)
		var declared []seal.Gap
		for range 1 + rng.IntN(8) {
			from := time.Duration(rng.IntN(100)) * time.Minute
			g := gap(from, from+time.Duration(1+rng.IntN(40))*time.Minute, string(rune('a'+rng.IntN(4))))
			declared = append(declared, g)
			must(t, w.Gap(g, "", ""))
		}
		from, to := morning.Add(time.Duration(rng.IntN(50))*time.Minute), morning.Add(time.Duration(60+rng.IntN(90))*time.Minute)
		got := w.Gaps("acme", from, to)
		for i, g := range got {
			if !g.From.Before(g.To) || g.From.Before(from) || g.To.After(to) || i > 0 && g.From.Before(got[i-1].To) {
				t.Fatalf("gaps are not in order, or not clipped: %v", got)
			}
			if i > 0 && g.From.Equal(got[i-1].To) && g.Reason == got[i-1].Reason {
				t.Fatalf("two gaps are one: %v", got)
			}
		}
		for at := from; at.Before(to); at = at.Add(time.Minute) {
			reasons := func(gaps []seal.Gap) string {
				var set [256]bool
				for _, g := range gaps {
					if !at.Before(g.From) && at.Before(g.To) {
						for _, r := range strings.Split(g.Reason, "; ") {
							set[r[0]] = true
						}
					}
				}
				return fmt.Sprint(set)
			}
			if reasons(got) != reasons(declared) {
				t.Fatalf("at %v: declared %v, told %v", at, declared, got)
			}
		}
	}
}

func TestCutTailIsLogged(t *testing.T) {
	w := newWorld(t)
	must(t, w.Enable(alice, acme, w.today(), false))
	must(t, w.Close())
	whole := read(t, w.journal())
	write(t, w.journal(), append(whole, `{"seq":2`...))
	var log bytes.Buffer
	o := w.options()
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c, err := control.Open(w.dir, o)
	must(t, err)
	must(t, c.Close())
	if !strings.Contains(log.String(), "line=2 bytes=8") {
		t.Errorf("log is %s", &log)
	}
	w.open()
}
