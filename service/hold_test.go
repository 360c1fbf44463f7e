package service_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/retention"
	"daybook/service"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// lockedWorld is a world whose store locks.
func lockedWorld(t *testing.T) *world {
	t.Helper()
	var store *sinktest.Memory
	w := newWorld(t, func(c *service.Config) {
		store = sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Governance, Now: c.Batch.Now})
		c.Batch.Store, c.Batch.Policies = store, retention.Policies{{Class: "standard", Default: true, Mode: sink.Governance, HotDays: 30}}
	})
	w.store = store
	w.people()
	return w
}

func dayOf(t time.Time) seal.Date {
	var d seal.Date
	if err := d.UnmarshalText([]byte(t.Format(time.DateOnly))); err != nil {
		panic(err)
	}
	return d
}

// A hold is an admin's to put, is put while the service works, is an event of the trail, and holds what is sealed later.
func TestHold(t *testing.T) {
	t.Parallel()
	w := lockedWorld(t)
	w.send(event("e1", w.clock.now()))
	ask := service.HoldRequest{From: dayOf(begun), To: dayOf(begun.AddDate(0, 0, 7)), Reason: "case 7"}
	for _, c := range []struct {
		name, token, path string
		in                service.HoldRequest
		code              int
		says              string
	}{
		{"a viewer", w.of("acme", "victor", "viewer"), "audit/hold", ask, http.StatusForbidden, "an admin"},
		{"another org's admin", w.of("globex", "mallory", "admin"), "audit/hold", ask, http.StatusNotFound, "audit"},
		{"no such trail", w.alice, "nothere/hold", ask, http.StatusNotFound, "nothere"},
		{"nobody in particular", "", "audit/hold", ask, http.StatusBadRequest, "--by"},
		{"by somebody else", w.alice, "audit/hold", service.HoldRequest{From: ask.From, To: ask.To, Reason: "x", By: "bob"}, http.StatusBadRequest, "alice"},
		{"no reason", w.alice, "audit/hold", service.HoldRequest{From: ask.From, To: ask.To}, http.StatusBadRequest, "reason"},
		{"no such hold", w.alice, "audit/release", ask, http.StatusNotFound, "daybook hold list"},
	} {
		if data, code := w.try(c.token, http.MethodPost, "/v1/trails/"+c.path, c.in); code != c.code || !strings.Contains(string(data), c.says) {
			t.Errorf("%s: %d %s, want %d with %q", c.name, code, data, c.code, c.says)
		}
	}
	var put batch.HoldReport
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/hold", ask, http.StatusOK, &put)
	if put.Already || put.Seals != 0 || put.Head == nil {
		t.Errorf("put: %+v", put)
	}
	w.clock.move(26 * time.Hour)
	w.roll()
	m := w.manifests("audit")[0]
	heldNow := func() (n int) {
		for _, key := range w.store.Keys() {
			if all := w.store.History(key); all[len(all)-1].Held {
				n++
			}
		}
		return n
	}
	if n := heldNow(); n != len(m.Files)+2 {
		t.Errorf("%d objects are held, want %d", n, len(m.Files)+2)
	}
	if rows := w.evidence(m); strings.Count(rows, `"daybook.hold.put"`) != 1 || !strings.Contains(rows, `"actor_name":"alice"`) || !strings.Contains(rows, "case 7") {
		t.Errorf("the trail does not tell of it: %s", rows)
	}
	w.restart()
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/hold", ask, http.StatusOK, &put)
	if !put.Already || put.Changed != 0 || put.Seals != 1 {
		t.Errorf("put again: %+v", put)
	}
	// Who has the folder in hand says who wants it.
	ask.By, ask.Reason = "counsel", "case closed"
	w.call("", http.MethodPost, "/v1/trails/audit/release", ask, http.StatusOK, &put)
	if put.Changed != len(m.Files)+2 || heldNow() != 0 {
		t.Errorf("released: %+v, %d are held", put, heldNow())
	}
	w.clock.move(24 * time.Hour)
	w.roll()
	if rows := w.evidence(w.manifests("audit")[1]); !strings.Contains(rows, `"daybook.hold.release"`) || !strings.Contains(rows, "counsel") {
		t.Errorf("the trail does not tell of the release: %s", rows)
	}
}

// A folder holds nothing, and says so, through the service as well.
func TestHoldInAFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	data, code := w.try(w.alice, http.MethodPost, "/v1/trails/audit/hold", service.HoldRequest{From: dayOf(begun), To: dayOf(begun), Reason: "case 7"})
	if code < 400 || !strings.Contains(string(data), "Object Lock") {
		t.Errorf("%d %s", code, data)
	}
}

// An extension is an admin's as well, and an event of the trail.
func TestExtend(t *testing.T) {
	t.Parallel()
	w := lockedWorld(t)
	w.send(event("e1", w.clock.now()))
	w.clock.move(26 * time.Hour)
	w.roll()
	from := dayOf(begun)
	ask := service.ExtendRequest{From: &from, To: &from, Until: w.clock.now().AddDate(1, 0, 0), Reason: "case 7"}
	for _, c := range []struct {
		name, token string
		in          service.ExtendRequest
		code        int
	}{
		{"a viewer", w.of("acme", "victor", "viewer"), ask, http.StatusForbidden},
		{"another org's admin", w.of("globex", "mallory", "admin"), ask, http.StatusNotFound},
		{"nobody in particular", "", ask, http.StatusBadRequest},
		{"neither days nor seals", w.alice, service.ExtendRequest{Until: ask.Until, Reason: "x"}, http.StatusBadRequest},
		{"both", w.alice, service.ExtendRequest{From: &from, To: &from, FirstSeal: 1, LastSeal: 1, Until: ask.Until, Reason: "x"}, http.StatusBadRequest},
		{"an org's admin, past the longest class", w.of("acme", "olga", "admin"), ask, http.StatusForbidden},
		{"for ever", w.alice, service.ExtendRequest{FirstSeal: 1, LastSeal: 1, Until: w.clock.now().AddDate(101, 0, 0), Reason: "x"}, http.StatusBadRequest},
		{"shorter", w.alice, service.ExtendRequest{FirstSeal: 1, LastSeal: 1, Until: w.clock.now().AddDate(0, 0, 1), Reason: "x"}, http.StatusBadRequest},
	} {
		if data, code := w.try(c.token, http.MethodPost, "/v1/trails/audit/extend", c.in); code != c.code {
			t.Errorf("%s: %d %s, want %d", c.name, code, data, c.code)
		}
	}
	var report batch.ExtendReport
	w.clock.move(time.Hour)
	within := service.ExtendRequest{FirstSeal: 1, LastSeal: 1, Until: w.clock.now().AddDate(0, 0, 30), Reason: "case 6"}
	w.call(w.of("acme", "oscar", "admin"), http.MethodPost, "/v1/trails/audit/extend", within, http.StatusOK, &report)
	if report.MaxDays != 0 {
		t.Errorf("extended no longer than the class: %+v", report)
	}
	report = batch.ExtendReport{}
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/extend", ask, http.StatusOK, &report)
	if len(report.Seals) != 1 || report.Changed == 0 || report.Changed != report.Objects {
		t.Errorf("extended: %+v", report)
	}
	w.check()
	w.clock.move(24 * time.Hour)
	w.roll()
	if rows := w.evidence(w.manifests("audit")[1]); !strings.Contains(rows, `"daybook.retention.extend"`) || !strings.Contains(rows, "case 7") {
		t.Errorf("the trail does not tell of it: %s", rows)
	}
}

// narrow is a store whose writer may not lock for longer than a time from now.
type narrow struct {
	*sinktest.Memory
	now func() time.Time
	max time.Duration // 0: no limit
}

func (n *narrow) refuses(lock sink.Lock) bool {
	return n.max > 0 && lock.RetainUntil.After(n.now().Add(n.max))
}

func (n *narrow) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	if n.refuses(o.Lock) {
		return sink.Info{}, sinktest.ErrForbidden
	}
	return n.Memory.Put(ctx, o)
}

func (n *narrow) Lengthen(ctx context.Context, key, version string, want sink.Lock) (sink.Info, error) {
	if n.refuses(want) {
		return sink.Info{}, fmt.Errorf("%w: %w", sink.ErrLock, sinktest.ErrForbidden)
	}
	return n.Memory.Lengthen(ctx, key, version, want)
}

// A writer who may not lock the log as long as an extension asks seals, and the status and a metric tell of it.
func TestLogLockShort(t *testing.T) {
	t.Parallel()
	w := lockedWorld(t)
	store := &narrow{Memory: w.store, now: w.clock.now}
	w.shut()
	w.config.Batch.Store = store
	w.open()
	roll := func(id string) {
		t.Helper()
		w.send(event(id, w.clock.now()))
		w.clock.move(26 * time.Hour)
		w.roll()
	}
	roll("e1")
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/extend", service.ExtendRequest{FirstSeal: 1, LastSeal: 1, Until: w.clock.now().AddDate(1, 0, 0), Reason: "case 7"}, http.StatusOK, nil)
	store.max = 31 * 24 * time.Hour
	roll("e2")
	p := w.problemsOf("log-lock-short")
	if len(w.manifests("audit")) < 2 || len(p) != 1 || p[0].Level != service.LevelWarning || !strings.Contains(p[0].Hint, "--max-days") || !strings.Contains(w.scrape(), "\ndaybook_log_lock_short 1\n") {
		t.Errorf("%d seals, problems %+v", len(w.manifests("audit")), w.status().Problems)
	}
	w.tellsOneOrg(sinktest.ErrForbidden.Error())
	w.check()
	store.max = 0
	roll("e3")
	if p := w.problemsOf("log-lock-short"); len(p) != 0 || !strings.Contains(w.scrape(), "\ndaybook_log_lock_short 0\n") {
		t.Errorf("once it may: %+v", p)
	}
	w.check()
}
