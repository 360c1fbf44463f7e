package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/anchor"
	"daybook/batch/seal"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/service"
	"daybook/sink"
	"daybook/sink/sinktest"
)

var fault503 = sinktest.Fault{Err: sinktest.ErrUnavailable}

// held is how often each event whose id begins with e is in a trail's evidence, by id.
func (w *world) held(trail string) map[string]int {
	w.t.Helper()
	times := map[string]int{}
	for _, m := range w.manifests(trail) {
		for line := range strings.Lines(w.evidence(m)) {
			id, _, _ := strings.Cut(strings.TrimPrefix(line, `{"id":"`), `"`)
			if strings.HasPrefix(id, "e") {
				times[id]++
			}
		}
	}
	return times
}

// once fails the test unless each of the events e0 to e(n-1) is in the trail's evidence once, and no other.
func (w *world) once(trail string, n int) {
	w.t.Helper()
	times := w.held(trail)
	for i := range n {
		if id := fmt.Sprint("e", i); times[id] != 1 {
			w.t.Errorf("%s is in the evidence of %s %d times", id, trail, times[id])
		}
	}
	if len(times) != n {
		w.t.Errorf("%d events are in the evidence of %s, want %d: %v", len(times), trail, n, times)
	}
}

// Whatever is wrong with the store: events are taken in, the status says why sealing waits, and all is sealed once it is well.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	persisted := func(err error) sinktest.Fault { return sinktest.Fault{Err: err, Persisted: true} }
	for _, c := range []struct {
		name, operation, key string
		fault                sinktest.Fault
	}{
		{"503 Slow Down", "put", "", fault503},
		{"no permission any more", "", "", sinktest.Fault{Err: sinktest.ErrForbidden}},
		{"credentials that expire in the middle", "put", "seals/", sinktest.Fault{Err: sinktest.ErrForbidden}},
		{"no answer in time", "put", "jsonl/", sinktest.Fault{Err: sinktest.ErrTimeout}},
		{"a PUT that timed out and was stored", "put", "jsonl/", persisted(sinktest.ErrTimeout)},
		{"a manifest that timed out and was stored", "put", "manifest.json", persisted(sinktest.ErrTimeout)},
		{"a note that timed out and was stored", "put", "SHA256SUMS.note", persisted(sinktest.ErrTimeout)},
		{"half an upload", "put", "csv/", sinktest.Fault{Err: errors.New("the connection was reset in the middle of the body")}},
		{"a lock that is weaker than asked for", "put", "jsonl/", persisted(sink.ErrLock)},
		{"no lock to be had any more", "put", "csv/", sinktest.Fault{Err: sink.ErrUnfit}},
		{"a bucket that lost its default lock", "preflight", "", sinktest.Fault{Err: sink.ErrUnfit}},
		{"a log that can't be put", "put", "log/", fault503},
		{"a log that can't be read", "get", "log/", fault503},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.people()
			w.send(event("e0", begun))
			w.clock.move(14 * time.Hour)
			w.heartbeat()
			w.store.FailKey(c.operation, c.key, c.fault)
			if err := w.Roll(t.Context(), false); !errors.Is(err, c.fault.Err) {
				t.Fatalf("sealing gives %v", err)
			}
			if got := w.send(event("e1", w.clock.now())); got.Accepted != 1 {
				t.Errorf("taken %+v", got)
			}
			if st := w.status(); w.problems() != "sealing-fails" || !strings.Contains(st.Sealing.Error, c.fault.Err.Error()) {
				t.Errorf("problems %+v", st.Problems)
			}
			w.store.Heal()
			w.roll()
			w.clock.move(24 * time.Hour)
			w.heartbeat()
			w.roll()
			if n := len(w.manifests("audit")); n != 2 || w.problems() != "" {
				t.Errorf("%d seals, problems %q", n, w.problems())
			}
			w.once("audit", 2)
		})
	}
}

// Other bytes under a key of ours are an alarm, and never overwritten.
func TestForeignBytesInOurPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e0", begun))
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	key := "csv/class=standard/trail=audit/dt=2026-03-10/audit-2026-03-10.0001.csv.gz"
	w.store.Overwrite(key, []byte("not ours"), sink.Lock{})
	for range 2 {
		if err := w.Roll(t.Context(), false); !errors.Is(err, sink.ErrConflict) {
			t.Fatalf("sealing gives %v", err)
		}
	}
	if st := w.status(); st.Level != service.LevelAlert || st.Sealing.Hint == "" || string(w.store.Bytes(key)) != "not ours" {
		t.Errorf("level %s, %+v", st.Level, st.Sealing)
	}
	w.store.Erase(key)
	w.roll()
	w.once("audit", 1)
}

// A store that can't do what is asked of it keeps the service from starting; one that is away does not.
func TestStoreAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.store.FailKey("preflight", "", sinktest.Fault{Err: fmt.Errorf("the bucket has no Object Lock: %w", sink.ErrUnfit)})
	if err := w.Run(t.Context(), nil); !errors.Is(err, sink.ErrUnfit) {
		t.Fatalf("with a store that is not fit: %v", err)
	}
	w.store.Heal()
	w.store.FailKey("", "", fault503)
	_, stop := w.serve()
	if got := w.send(event("e0", begun)); got.Accepted != 1 {
		t.Errorf("taken %+v", got)
	}
	if w.problems() != "sealing-fails" {
		t.Errorf("problems %q", w.problems())
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.store.Heal()
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	w.once("audit", 1)
}

// lazyAnchor is away until it is not.
type lazyAnchor struct {
	away atomic.Bool
	size atomic.Int64
}

func (*lazyAnchor) Name() string { return "lazy" }
func (*lazyAnchor) Kind() string { return anchor.KindWitness }

func (a *lazyAnchor) Submit(_ context.Context, s anchor.Submission) (anchor.Receipt, error) {
	if a.away.Load() {
		return anchor.Receipt{}, errors.New("no route to it")
	}
	a.size.Store(s.Size)
	return anchor.Receipt{By: "lazy"}, nil
}

// An anchor that is away keeps no day from being sealed. It is told, as an alert once it has been away for long, and given the newest head when it is back.
func TestAnchorAway(t *testing.T) {
	t.Parallel()
	a := &lazyAnchor{}
	w := newWorld(t, func(c *service.Config) { c.Batch.Anchors = []anchor.Anchor{a} })
	w.people()
	a.away.Store(true)
	for n, level := range []string{service.LevelWarning, service.LevelWarning, service.LevelAlert} {
		w.clock.move(25 * time.Hour)
		w.heartbeat()
		w.roll()
		if st := w.status(); st.Level != level || w.problems() != "anchor-behind" || len(w.manifests("audit")) != n+1 {
			t.Errorf("after %d days: level %s, problems %+v, %d seals", n+1, st.Level, st.Problems, len(w.manifests("audit")))
		}
	}
	w.tellsOneOrg("no route to it")
	a.away.Store(false)
	w.roll() // nothing is due but this
	if st := w.status(); st.Level != service.LevelOK || a.size.Load() != st.Head.Size {
		t.Errorf("level %s; the anchor has %d of %d", st.Level, a.size.Load(), st.Head.Size)
	}
}

// awayKey is a key in another place, which may not be reached.
type awayKey struct {
	seal.Signer
	away atomic.Bool
}

func (k *awayKey) Sign(msg []byte) ([]byte, error) {
	if k.away.Load() {
		return nil, errors.New("the key is away")
	}
	return k.Signer.Sign(msg)
}

// Without the signing key nothing is sealed, and nothing unsigned is put; the next look goes on where this one ended.
func TestSigningKeyAway(t *testing.T) {
	t.Parallel()
	var key *awayKey
	w := newWorld(t, func(c *service.Config) {
		key = &awayKey{Signer: c.Batch.Key}
		c.Batch.Key = key
	})
	w.people()
	w.send(event("e0", begun))
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	key.away.Store(true)
	if err := w.Roll(t.Context(), false); err == nil || !strings.Contains(err.Error(), "the key is away") {
		t.Fatalf("sealing gives %v", err)
	}
	for _, k := range w.store.Keys() {
		if strings.HasPrefix(k, "seals/") || strings.HasPrefix(k, "log/") {
			t.Errorf("%s was put without a signature", k)
		}
	}
	if got := w.send(event("e1", begun)); got.Accepted != 1 || w.problems() != "sealing-fails" {
		t.Errorf("taken %+v, problems %q", got, w.problems())
	}
	key.away.Store(false)
	w.roll()
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.roll()
	w.once("audit", 2)
}

// twoTrails makes a world of two trails of two orgs; the second's sender is returned.
func twoTrails(t *testing.T) (w *world, second string) {
	t.Helper()
	w = newWorld(t, func(c *service.Config) {
		c.Batch.Trails = append(c.Batch.Trails, batch.Trail{Name: "beta", Org: "globex", Formats: formats.All()[:1], MaxSplit: 10})
	})
	w.people()
	w.call(w.alice, http.MethodPost, "/v1/trails/beta/enable", nil, http.StatusOK, nil)
	var made service.Made
	w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "globex", Source: "api"}, http.StatusOK, &made)
	return w, made.Secret
}

// as has somebody else send for a while.
func (w *world) as(sender string, send func()) {
	before := w.sender
	w.sender = sender
	send()
	w.sender = before
}

// A trail whose files can't be put keeps no other from being sealed.
func TestOneTrailFails(t *testing.T) {
	t.Parallel()
	for _, failing := range []string{"audit", "beta"} {
		w, second := twoTrails(t)
		w.send(event("e0", begun))
		w.as(second, func() { w.send(event("e0", begun)) })
		w.clock.move(14 * time.Hour)
		w.heartbeat()
		w.as(second, w.heartbeat)
		w.store.FailKey("put", "trail="+failing, fault503)
		if err := w.Roll(t.Context(), false); !errors.Is(err, sinktest.ErrUnavailable) {
			t.Fatalf("sealing gives %v", err)
		}
		w.check()
		for _, trail := range []string{"audit", "beta"} {
			if n := len(w.manifests(trail)); (n == 0) != (trail == failing) {
				t.Errorf("while %s fails, %s has %d seals", failing, trail, n)
			}
		}
		w.store.Heal()
		w.roll()
		w.once("audit", 1)
		w.once("beta", 1)
	}
}

// TestEveryStepOfARollMayFail fails each operation of the store in turn, having taken effect or not. It is tried again by the same process or by another one, and what was taken
// in meanwhile is in a seal as well: every event is, once.
func TestEveryStepOfARollMayFail(t *testing.T) {
	t.Parallel()
	effort.NeedsThorough(t)
	for turn := range 4 {
		persisted, restart := turn&1 != 0, turn&2 != 0
		for n := 1; ; n++ {
			w, second := twoTrails(t)
			w.send(event("e0", begun), event("e1", begun))
			w.as(second, func() { w.send(event("e0", begun)) })
			w.clock.move(14 * time.Hour)
			w.heartbeat()
			w.as(second, w.heartbeat)
			w.store.TakeLog()
			w.store.FailStep(n, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: persisted})
			err := w.Roll(t.Context(), false)
			if err != nil && !errors.Is(err, sinktest.ErrUnavailable) {
				t.Fatalf("step %d: %v", n, err)
			}
			steps := len(w.store.TakeLog())
			w.store.Heal()
			w.send(event("e2", begun))
			if restart {
				w.restart()
			}
			w.roll()
			w.clock.move(24 * time.Hour)
			w.heartbeat()
			w.as(second, w.heartbeat)
			w.roll()
			w.once("audit", 3)
			w.once("beta", 1)
			w.shut()
			if t.Failed() {
				t.Fatalf("step %d, persisted %v, restart %v", n, persisted, restart)
			}
			if steps < n { // a step that fails to find what is not there fails nothing
				t.Logf("there are %d steps", steps)
				break
			}
		}
	}
}

// A log that can't be published when all before it was is published at the next look, though no day is due then. Until then the status says that something is wrong.
func TestALogIsPublishedAtTheNextLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.store.FailKey("put", "log/", fault503)
	for range 2 {
		if err := w.Roll(t.Context(), false); !errors.Is(err, sinktest.ErrUnavailable) {
			t.Fatalf("sealing gives %v", err)
		}
	}
	if got := w.problems(); got != "sealing-fails" {
		t.Errorf("problems %q", got)
	}
	w.store.Heal()
	w.roll() // which verifies that each seal is in the log
	if got := w.problems(); got != "" {
		t.Errorf("problems %q", got)
	}
}
