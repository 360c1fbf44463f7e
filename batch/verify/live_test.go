package verify_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// recorder remembers what is done to a store, in its order.
type recorder struct {
	*sinktest.Memory
	mu    sync.Mutex // a step is remembered before the next begins
	steps []step
}

// step is an object that was put, or the lock of one that was lengthened.
type step struct {
	object   sink.Object
	body     []byte
	lengthen bool
}

func (r *recorder) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	body, err := io.ReadAll(io.NewSectionReader(o.Body, 0, o.Size))
	if err != nil {
		return sink.Info{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := r.Memory.Put(ctx, o)
	if err == nil {
		r.steps = append(r.steps, step{object: o, body: body})
	}
	return info, err
}

func (r *recorder) Lengthen(ctx context.Context, key, version string, want sink.Lock) (sink.Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := r.Memory.Lengthen(ctx, key, version, want)
	if err == nil {
		r.steps = append(r.steps, step{object: sink.Object{Key: key, Lock: want}, lengthen: true})
	}
	return info, err
}

// replay does what was recorded to another store, one step after another.
func (r *recorder) replay(t *testing.T, store *sinktest.Memory, from, to int) {
	t.Helper()
	for _, s := range r.steps[from:to] {
		o := s.object
		var err error
		if s.lengthen {
			_, err = store.Lengthen(t.Context(), o.Key, "", o.Lock)
		} else {
			o.Body = bytes.NewReader(s.body)
			_, err = store.Put(t.Context(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// live is a store to which something happens while it is listed: at is called before each entry and after the last, and what it puts is listed where its name comes later.
type live struct {
	*sinktest.Memory
	at func(prefix string)
}

func (l *live) Versions(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		last := ""
		for {
			l.at(prefix)
			var group []sink.Entry // the next key's versions
			for e, err := range l.Memory.Versions(ctx, prefix) {
				switch {
				case err != nil:
					yield(sink.Entry{}, err)
					return
				case e.Key > last && (len(group) == 0 || e.Key == group[0].Key):
					group = append(group, e)
				}
			}
			if len(group) == 0 {
				return
			}
			last = group[0].Key
			for _, e := range group {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// A service seals at any time, and so while a store is verified. Whatever of a seal is there when, and whatever comes while the store is listed: nothing of it is tampering.
func TestVerifiedWhileSealsAreMade(t *testing.T) {
	effort.NeedsLong(t)
	r := newRoll(t)
	clock := func() time.Time { return r.now }
	before := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: clock})
	first := r.key.Public()
	r.export(t, r.settings(before, sink.Compliance), nil, append(records("a", 1, 60), records("a", 2, 10)...))
	r.now = verifytest.Now.Add(-10 * time.Minute)
	puts := &recorder{Memory: before.Clone(t)}
	next, err := seal.GenerateKey(r.dir+"/next.key", "daybook")
	if err != nil {
		t.Fatal(err)
	}
	// A day, an addendum, and a new key.
	r.export(t, r.settings(puts, sink.Compliance), next, append(records("a", 3, 60), records("b", 1, 5)...))
	n, entries := len(puts.steps), len(puts.Keys())
	t.Logf("%d steps, of %d objects in the end", n, entries)

	exits := map[int]int{}
	check := func(what string, store sink.Store) *verify.Report {
		t.Helper()
		report, err := verify.Run(t.Context(), store, &verify.Options{Keys: []seal.PublicKey{first}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		exits[report.ExitCode()]++
		if code := report.ExitCode(); code != 0 && code != 2 {
			var text strings.Builder
			if err := report.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			t.Errorf("%s: exit code %d\n%s", what, code, &text)
		}
		return report
	}
	runs, stride := 60, 5
	if effort.Thorough() {
		runs, stride = 600, 1
	}
	for i := 0; i <= n; i += stride {
		store := before.Clone(t)
		puts.replay(t, store, 0, i)
		report := check(fmt.Sprintf("after %d puts", i), store)
		if i == 0 && report.ExitCode() != 0 {
			t.Errorf("before: exit code %d", report.ExitCode())
		}
	}
	whole := before.Clone(t)
	puts.replay(t, whole, 0, n)
	if report := check("after all", whole); report.ExitCode() != 0 {
		t.Errorf("after all: exit code %d", report.ExitCode())
	}
	random := rand.New(rand.NewPCG(1, 2))
	since := 0
	for range runs {
		// Some puts were made before, others are made at some places of the listing, the first or the second one.
		store := &live{Memory: before.Clone(t)}
		done := random.IntN(n + 1)
		puts.replay(t, store.Memory, 0, done)
		began := done
		seen, places := 0, map[int]int{}
		for range 1 + random.IntN(4) {
			places[random.IntN(2*entries)] = random.IntN(n + 1)
		}
		store.at = func(string) {
			seen++
			if to := places[seen]; to > done {
				puts.replay(t, store.Memory, done, to)
				done = to
			}
		}
		if report := check(fmt.Sprintf("%d puts before, then %v", began, places), store); has(report, "sealed-since") {
			since++
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("exit codes: %v; sealed since: %d", exits, since)
	if since < 5 || exits[0] < 3 || exits[2] < 5 {
		t.Error("hardly anything came while the store was listed")
	}
}

// What comes while the store is listed explains nothing unless the store's key has signed it.
func TestForgedWhileVerified(t *testing.T) {
	r := newRoll(t)
	store := &live{Memory: sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return r.now }}), at: func(string) {}}
	r.export(t, r.settings(store.Memory, sink.Compliance), nil, records("a", 1, 20))
	r.now = r.now.Add(time.Minute)
	puts := &recorder{Memory: store.Memory.Clone(t)}
	r.export(t, r.settings(puts, sink.Compliance), nil, records("a", 2, 20))
	r.now = verifytest.Now.Add(-2 * time.Hour) // when files are put
	manifest := 0
	for i, s := range puts.steps {
		if strings.HasSuffix(s.object.Key, "/manifest.json") {
			manifest = i
			break
		}
	}
	if !strings.HasSuffix(puts.steps[manifest+1].object.Key, ".note") {
		t.Fatalf("after the manifest comes %s", puts.steps[manifest+1].object.Key)
	}
	for name, c := range map[string]struct {
		note []byte
		want string
	}{
		"good note":    {puts.steps[manifest+1].body, "sealed-since"},
		"another note": {store.Bytes(noteOf(t, store.Memory)), "unlisted-object"},
		"no note":      {nil, "unlisted-object"},
		"no good note": {append(bytes.Clone(puts.steps[manifest+1].body[:len(puts.steps[manifest+1].body)-9]), "AAAAAAA=\n"...), "unlisted-object"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &live{Memory: store.Clone(t)}
			puts.replay(t, s.Memory, 0, manifest)
			seen := 0
			s.at = func(prefix string) {
				if prefix != logs.AnchorsPrefix { // there are none, so that this is asked for once in a listing
					return
				}
				if seen++; seen == 2 {
					puts.replay(t, s.Memory, manifest, manifest+1)
					if c.note != nil {
						s.Overwrite(puts.steps[manifest+1].object.Key, c.note, sink.Lock{})
					}
				}
			}
			report := run(t, s, nil)
			if !has(report, c.want) || has(report, "sealed-since") != (c.want == "sealed-since") {
				t.Errorf("found %q", codes(report))
			}
		})
	}
}

// noteOf returns the key of some note of the store.
func noteOf(t *testing.T, m *sinktest.Memory) string {
	t.Helper()
	for _, key := range m.Keys() {
		if strings.HasSuffix(key, ".note") {
			return key
		}
	}
	t.Fatal("the store has no note")
	return ""
}
