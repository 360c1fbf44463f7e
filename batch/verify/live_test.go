package verify_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
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

// live is a store to which something happens while it is listed: at is called before each entry and after the last, yielded after one. What they put is listed where its name comes later.
type live struct {
	*sinktest.Memory
	at      func(prefix string)
	yielded func(key string)
}

func (l *live) Versions(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		last := ""
		for {
			if l.at != nil {
				l.at(prefix)
			}
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
			if l.yielded != nil {
				l.yielded(last)
			}
		}
	}
}

// history is what the exporter does to a store, in order, after what it did before.
func history(t *testing.T) (r *roll, before *sinktest.Memory, puts *recorder, key seal.PublicKey) {
	t.Helper()
	r = newRoll(t)
	key = r.key.Public()
	before = sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return r.now }})
	r.export(t, r.settings(before, sink.Compliance), nil, append(records("a", 1, 60), records("a", 2, 10)...))
	r.now = verifytest.Now.Add(-10 * time.Minute)
	puts = &recorder{Memory: before.Clone(t)}
	next, err := seal.GenerateKey(filepath.Join(r.dir, "next.key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	// A day, an addendum, and a new key, by which another day is sealed.
	r.export(t, r.settings(puts, sink.Compliance), next, append(records("a", 3, 60), records("b", 1, 5)...))
	r.export(t, r.settings(puts, sink.Compliance), nil, records("a", 4, 10))
	return r, before, puts, key
}

// verifyLive verifies a store that is being written to: what is found of it is not tampering.
func verifyLive(t *testing.T, what string, store sink.Store, o verify.Options) *verify.Report {
	t.Helper()
	o.Now = now
	report, err := verify.Run(t.Context(), store, &o)
	if err != nil {
		t.Fatal(err)
	}
	if code := report.ExitCode(); code != 0 && code != 2 {
		var text strings.Builder
		if err := report.WriteText(&text); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s: exit code %d\n%s", what, code, &text)
	}
	return report
}

// A service seals at any time, and so while a store is verified. Whatever is there of a seal by then, and whatever comes while the store is listed: nothing of it is tampering.
func TestVerifiedWhileSealsAreMade(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	_, before, puts, key := history(t)
	mine := verify.Options{Keys: []seal.PublicKey{key}}
	n, entries := len(puts.steps), len(puts.Keys())
	t.Logf("%d steps, of %d objects in the end", n, entries)
	runs, stride := 60, 9
	if effort.Thorough() {
		runs, stride = 800, 1
	}
	exits := map[int]int{}
	for i := 0; i <= n; i += stride {
		store := before.Clone(t)
		puts.replay(t, store, 0, i)
		exits[verifyLive(t, fmt.Sprintf("after %d steps", i), store, mine).ExitCode()]++
	}
	for what, steps := range map[string]int{"before": 0, "after all": n} {
		store := before.Clone(t)
		puts.replay(t, store, 0, steps)
		if report := verifyLive(t, what, store, mine); report.ExitCode() != 0 {
			t.Errorf("%s: exit code %d", what, report.ExitCode())
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	since := 0
	for range runs {
		// Some steps were done before, others are at some places of the listing, the first or the second one.
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
		report := verifyLive(t, fmt.Sprintf("%d steps before, then %v", began, places), store, mine)
		exits[report.ExitCode()]++
		if has(report, "sealed-since") {
			since++
		}
	}
	t.Logf("exit codes: %v; sealed since: %d", exits, since)
	if since < 5 || exits[2] < 5 {
		t.Error("hardly anything came while the store was listed")
	}
}

// those returns the numbers of the steps that put an object whose key ends so.
func (r *recorder) those(end string) (list []int) {
	for i, s := range r.steps {
		if strings.HasSuffix(s.object.Key, end) && !s.lengthen {
			list = append(list, i)
		}
	}
	return list
}

// A note that comes after its manifest was listed, and before the next seal is: of that trail it is not the newest then.
func TestNoteComesWhileSealsAreListed(t *testing.T) {
	effort.NeedsLong(t)
	_, before, puts, _ := history(t)
	manifests := puts.those("/manifest.json")
	at := manifests[0] // of trail all, as is the next
	store := &live{Memory: before.Clone(t)}
	puts.replay(t, store.Memory, 0, at+1)
	after, listed := "seals/all/00000003/manifest.json", false
	if puts.steps[at].object.Key != after {
		t.Fatalf("the first manifest is %s", puts.steps[at].object.Key)
	}
	store.yielded = func(key string) {
		if key == after && !listed {
			listed = true
			puts.replay(t, store.Memory, at+1, manifests[2])
		}
	}
	if report := verifyLive(t, "note after manifest", store, verify.Options{}); !listed || has(report, "note-missing") {
		t.Errorf("found %q", codes(report))
	}
	store.Erase("seals/all/00000003/SHA256SUMS.note")
	if report := run(t, store, nil); !has(report, "note-missing") {
		t.Errorf("without the note found %q", codes(report))
	}
}

// A seal by a key that was taken into use after the log was listed.
func TestKeyComesWhileSealsAreListed(t *testing.T) {
	effort.NeedsLong(t)
	_, before, puts, key := history(t)
	notes := puts.those(".note")
	done := false
	store := &live{Memory: before.Clone(t), at: func(string) {}}
	store.at = func(prefix string) {
		if prefix == "seals/" && !done {
			done = true
			puts.replay(t, store.Memory, 0, notes[len(notes)-1]+1)
		}
	}
	report := verifyLive(t, "a seal by the next key", store, verify.Options{Keys: []seal.PublicKey{key}})
	if !done || report.ExitCode() != 2 || !has(report, "seal-not-logged") {
		t.Errorf("exit code %d, found %q", report.ExitCode(), codes(report))
	}
}

// What comes while the store is listed explains nothing unless the store's key has signed it.
func TestForgedWhileVerified(t *testing.T) {
	effort.NeedsLong(t)
	r, before, puts, _ := history(t)
	manifest := puts.those("/manifest.json")[0]
	note := puts.steps[manifest+1]
	if !strings.HasSuffix(note.object.Key, ".note") {
		t.Fatalf("after the manifest comes %s", note.object.Key)
	}
	file := puts.those(".csv.gz")[0]
	for name, c := range map[string]struct {
		note []byte
		// early is done before the store is listed, late before it is listed again.
		early, late func(s *sinktest.Memory, key string)
		want        string
	}{
		"good note":    {note: note.body, want: "sealed-since"},
		"another note": {note: before.Bytes(noteOf(t, before)), want: "unlisted-object"},
		"no note":      {want: "unlisted-object"},
		"no good note": {note: append(bytes.Clone(note.body[:len(note.body)-9]), "AAAAAAA=\n"...), want: "unlisted-object"},
		"a file that was written over": {note: note.body, early: func(s *sinktest.Memory, key string) {
			s.Overwrite(key, []byte("forged"), sink.Lock{})
		}, want: "unlisted-object"},
		"a file that is another": {note: note.body, early: func(s *sinktest.Memory, key string) {
			s.Erase(key)
			s.Overwrite(key, puts.steps[file].body, sink.Lock{}) // its bytes, but not the version that was sealed
		}, want: "unlisted-object"},
		"a file that is put again to look young": {late: func(s *sinktest.Memory, key string) {
			r.now = verifytest.Now.Add(-time.Minute)
			s.Overwrite(key, puts.steps[file].body, sink.Lock{})
		}, want: "unlisted-object"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &live{Memory: before.Clone(t)}
			r.now = verifytest.Now.Add(-2 * time.Hour) // when files are put
			puts.replay(t, s.Memory, 0, manifest)
			key := puts.steps[file].object.Key
			if c.early != nil {
				c.early(s.Memory, key)
			}
			seen := 0
			s.at = func(prefix string) {
				if prefix != logs.AnchorsPrefix { // there are none, so that this is asked for once in a listing
					return
				}
				if seen++; seen != 2 {
					return
				}
				if c.late != nil {
					c.late(s.Memory, key)
				}
				puts.replay(t, s.Memory, manifest, manifest+1)
				if c.note != nil {
					s.Overwrite(note.object.Key, c.note, sink.Lock{})
				}
			}
			report := run(t, s, nil)
			unlisted := slices.ContainsFunc(report.Findings, func(f verify.Finding) bool { return f.Code == "unlisted-object" && f.Key == key })
			if want := c.want == "unlisted-object"; unlisted != want || !want && (!has(report, c.want) || report.ExitCode() != 0) {
				t.Errorf("exit code %d, found %q", report.ExitCode(), codes(report))
			}
		})
	}
}

// What no seal explains is not of one that is being made where nobody makes any.
func TestUnsealedWhereNothingIsSealed(t *testing.T) {
	effort.NeedsLong(t)
	_, before, puts, _ := history(t)
	store := before.Clone(t)
	puts.replay(t, store, 0, 1)
	if report := run(t, store, nil); report.ExitCode() != 2 || !has(report, "unsealed-object") {
		t.Errorf("exit code %d, found %q", report.ExitCode(), codes(report))
	}
	if report := run(t, store, &verify.Options{Alone: func() bool { return true }}); report.ExitCode() != 1 || !has(report, "unlisted-object") {
		t.Errorf("alone: exit code %d, found %q", report.ExitCode(), codes(report))
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
