package batch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/event"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

func (i *installation) extend(s batch.Settings, o batch.ExtendOrder) (*batch.ExtendReport, error) {
	r, err := batch.Open(context.Background(), s)
	if err != nil {
		return nil, err
	}
	report, err := r.Extend(context.Background(), o)
	return report, errors.Join(err, r.Close())
}

func extension(from, to int, until time.Time) batch.ExtendOrder {
	return batch.ExtendOrder{Trail: "audit", From: event.DayOf(day(from)), To: event.DayOf(day(to)), Until: until, Reason: "case 7", By: "counsel"}
}

// checkExtended looks at the lock of each object of seals, and of what they are checked by.
func checkExtended(t *testing.T, store *sinktest.Memory, i *installation, until time.Time, seals ...uint64) {
	t.Helper()
	keys := []string{seal.KeyKey(i.key.ID())}
	for _, n := range seals {
		m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", n)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			keys = append(keys, f.Key)
		}
		keys = append(keys, seal.ManifestKey("audit", n), seal.NoteKey("audit", n))
	}
	size := logSize(t, store)
	for _, key := range store.Keys() {
		if strings.HasPrefix(key, "log/tile/") && strings.HasSuffix(key, fmt.Sprintf(".p/%d", size)) || key == tlog.CheckpointKey(size) {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		if lock := store.History(key)[0].Lock; lock.RetainUntil.Before(until) || lock.Mode != sink.Compliance {
			t.Errorf("%s is locked with %v, want until %v", key, lock, until)
		}
	}
	checkHolds(t, store, i, false) // verifies
}

func TestExtend(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	mustExport(t, i, s, writeLines(t, slices.Concat(records("x", 8, 5), records("x", 9, 5), records("x", 10, 5))...))
	mustExport(t, i, s, writeLines(t, records("late", 9, 5)...))
	until := now.Add(72 * time.Hour)
	short := store.History(seal.NoteKey("audit", 1))[0].Lock

	r, err := i.extend(s, extension(9, 9, until.Add(-time.Second/2)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Seals) != 2 || r.Seals[0].First != 2 || r.Seals[0].Last != 2 || r.Seals[1].First != 4 || r.Seals[1].Leaf != r.Seals[0].Leaf+1 || !r.Until.Equal(until) || r.Objects != 2*7+1 || r.Changed != r.Objects {
		t.Errorf("extended: %+v", r)
	}
	checkExtended(t, store, i, until, 2, 4)
	if lock := store.History(seal.NoteKey("audit", 1))[0].Lock; lock != short {
		t.Errorf("the day before is locked with %v, and was with %v", lock, short)
	}
	size := logSize(t, store)
	if r, err = i.extend(s, extension(9, 9, until)); err != nil || !r.Seals[0].Already || !r.Seals[1].Already || r.Changed != 0 || logSize(t, store) != size {
		t.Errorf("extended again: %+v, %v, %d leaves", r, err, logSize(t, store))
	}
	// By numbers; what is locked for longer stays so.
	o := batch.ExtendOrder{Trail: "audit", First: 1, Last: 3, Until: now.Add(48 * time.Hour), Reason: "case 7", By: "counsel"}
	if r, err = i.extend(s, o); err != nil || len(r.Seals) != 1 || r.Seals[0].Last != 3 || r.Objects != 3*7+1 || r.Changed != 2*7 {
		t.Errorf("extended by number: %+v, %v", r, err)
	}
	checkExtended(t, store, i, now.Add(48*time.Hour), 1, 3)
	checkExtended(t, store, i, until, 2, 4)
	for name, c := range map[string]struct {
		o    batch.ExtendOrder
		want error
	}{
		"shorter":       {extension(8, 10, now.Add(time.Hour)), batch.ErrNotLonger},
		"for ever":      {extension(8, 10, now.AddDate(0, 0, batch.MaxExtension+2)), batch.ErrTooLong},
		"year 9999":     {extension(8, 10, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)), batch.ErrTooLong},
		"past":          {extension(8, 10, now.Add(-time.Hour)), batch.ErrNotLonger},
		"nothing there": {extension(11, 12, until), batch.ErrNotLonger},
		"no reason":     {batch.ExtendOrder{Trail: "audit", First: 1, Last: 3, Until: until, By: "x"}, tlog.ErrLeaf},
		"no trail":      {batch.ExtendOrder{Trail: "other", First: 1, Last: 3, Until: until, Reason: "x", By: "x"}, batch.ErrNoTrail},
	} {
		if _, err := i.extend(s, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// The log must be locked as long, at later rolls too, for which a writer's policy may have no room.
	o = batch.ExtendOrder{Trail: "audit", First: 2, Last: 2, Until: now.AddDate(0, 0, 10), Reason: "case 7", By: "counsel"}
	if r, err = i.extend(s, o); err != nil || r.MaxDays != 11 {
		t.Errorf("extended past the policy of a writer: %+v, %v", r, err)
	}
	size = logSize(t, store)
	store.Erase(seal.NoteKey("audit", 3))
	if _, err := i.extend(s, extension(10, 10, until)); !errors.Is(err, sink.ErrNotExist) || logSize(t, store) != size {
		t.Errorf("a note is gone: %v, %d leaves", err, logSize(t, store))
	}
}

// A command that stops anywhere is given again, and ends as if it had not.
func TestExtendStopsAnywhere(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	i, origin := newInstallation(t), memory(t)
	mustExport(t, i, i.settings(origin), writeLines(t, records("x", 9, 5)...))
	size, until := logSize(t, origin), now.Add(72*time.Hour)
	step := 1
	if !effort.Thorough() {
		step = 4
	}
	for n := 1; ; n += step {
		at := &installation{t.TempDir(), i.key, i.hmac}
		if err := os.CopyFS(at.dir, os.DirFS(i.dir)); err != nil {
			t.Fatal(err)
		}
		store := origin.Clone(t)
		s := at.settings(store)
		store.FailStep(n, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: n%2 == 0})
		_, err := at.extend(s, extension(9, 9, until))
		done := len(store.TakeLog()) < n
		store.Heal()
		checkHolds(t, store, at, true) // whatever the log says by now is true
		if _, err := at.extend(s, extension(9, 9, until)); err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		checkExtended(t, store, at, until, 1)
		if logSize(t, store) != size+1 {
			t.Fatalf("step %d: %d leaves", n, logSize(t, store))
		}
		if done {
			if n < 15 || err != nil {
				t.Errorf("%d operations, %v", n, err)
			}
			return
		}
	}
}

// What had gone by right before its seal was extended is no loss; what goes after that is.
func TestExtendWhatIsGone(t *testing.T) {
	i := newInstallation(t)
	clock := now
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return clock }})
	s := i.settings(store)
	s.Now = func() time.Time { return clock }
	mustExport(t, i, s, writeLines(t, slices.Concat(records("x", 9, 5), records("x", 10, 5))...))
	o := extension(10, 10, now.Add(96*time.Hour))
	if _, err := i.extend(s, o); err != nil {
		t.Fatal(err)
	}
	eraseFirst := func(n uint64) {
		m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", n)))
		if err != nil {
			t.Fatal(err)
		}
		store.Erase(m.Files[0].Key)
	}
	eraseFirst(1)
	o = extension(9, 9, o.Until)
	if _, err := i.extend(s, o); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("a file is gone before its time: %v", err)
	}
	clock = now.Add(48 * time.Hour)
	for _, again := range []bool{false, true} {
		r, err := i.extend(s, o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Gone != 1 || r.Objects != 8 || r.Seals[0].Already != again {
			t.Errorf("extended: %+v", r)
		}
	}
	report, err := verify.Run(t.Context(), store, &verify.Options{Keys: []seal.PublicKey{i.key.Public()}, Now: s.Now})
	if err != nil || report.ExitCode() != 0 {
		t.Errorf("verify: %+v, %v", report, err)
	}
	eraseFirst(2)
	if _, err := i.extend(s, extension(10, 10, now.Add(120*time.Hour))); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("a file is gone in its longer time: %v", err)
	}
}
