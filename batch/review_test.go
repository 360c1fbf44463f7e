package batch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/sinktest"
)

func manifestOf(t *testing.T, store *sinktest.Memory, n uint64) *seal.Manifest {
	t.Helper()
	m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", n)))
	if err != nil {
		t.Fatalf("seal %d: %v", n, err)
	}
	return m
}

// Rows are in order of microseconds and id, so that the first row need not be the earliest.
func TestEventsOfOneMicrosecond(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	lines := []string{record("a", day(10).Add(999), ""), record("b", day(10).Add(1), "")}
	mustExport(t, i, i.settings(store), writeLines(t, lines...))
	mustHold(t, store, i, ids(lines...))
	if f := manifestOf(t, store, 1).Files[0]; !f.First.Equal(day(10).Add(1)) || !f.Last.Equal(day(10).Add(999)) {
		t.Errorf("from %v to %v", f.First, f.Last)
	}
}

// An event of suspect time is filed under the day that it came, and comes again on another.
func TestSuspectEventsThatComeAgainAreKnownToARoll(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	odd := record("a1970", time.Unix(0, 0).UTC(), "")
	for n := 10; n <= 14; n += 2 {
		then := day(n).Add(12 * time.Hour)
		how := i.reading(t)
		how.AsOf = then
		i.takeAs(t, at(s, then), how, odd, record(fmt.Sprintf("b%d", n), day(n), ""))
		mustRoll(t, i, at(s, day(n+1).Add(12*time.Hour)))
	}
	for id, n := range audit(t, store, "audit", i.key.Public()) {
		if n != 1 {
			t.Errorf("event %s is in the evidence %d times", id, n)
		}
	}
}

// Another machine takes our seal's number, and we are stopped before we have put our files again.
func TestAStaleManifestInTheJournalIsMadeAnew(t *testing.T) {
	mem := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return now }, AllowConflict: true})
	a := newInstallation(t)
	b := a.twin(t)
	between := &interrupt{Memory: mem, on: "seals/", do: func() {
		mustExport(t, b, b.settings(mem), writeLines(t, records("y", 9, 5)...))
		mem.FailKey("get", "seals/audit/00000002", sinktest.Fault{Err: sinktest.ErrUnavailable})
	}}
	path := writeLines(t, records("x", 10, 5)...)
	if _, err := a.export(t, a.settings(between), path); !errors.Is(err, sinktest.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	mem.Heal()
	mustExport(t, a, a.settings(mem), path)
	if found := audit(t, mem, "audit", a.key.Public()); len(found) != 10 {
		t.Errorf("the evidence has %d events", len(found))
	}
}

// A seal that was begun is finished when the locks that it was to have are over: a store would refuse them.
func TestASealIsFinishedAfterItsRetention(t *testing.T) {
	effort.NeedsThorough(t)
	for n := 1; ; n++ {
		clock := now
		i := newInstallation(t)
		store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return clock }})
		s := i.settings(store)
		s.Now = func() time.Time { return clock }
		lines := records("x", 10, 5)
		path := writeLines(t, lines...)
		store.FailStep(n, sinktest.Fault{Err: sinktest.ErrTimeout})
		_, err := i.export(t, s, path)
		store.Heal()
		if err == nil {
			return
		}
		clock = now.Add(72 * time.Hour)
		mustExport(t, i, s, path)
		mustHold(t, store, i, ids(lines...))
		least := manifestOf(t, store, 1).SealedAt.Add(24 * time.Hour)
		for _, key := range store.Keys() {
			if lock := store.History(key)[0].Lock; lock.RetainUntil.Before(least) {
				t.Errorf("step %d: %s is locked %v, but the seal's retention ends %v", n, key, lock, least)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func TestAnAdoptedNoteIsLockedAsLongAsTheLongestClass(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Policies = retention.Policies{
		{Class: "access", EventTypes: []string{"authentication.*"}, Mode: sink.Compliance, Retain: 72 * time.Hour},
		{Class: "standard", EventTypes: []string{"*"}, Mode: sink.Compliance, Retain: 24 * time.Hour},
	}
	store.FailKey("put", "SHA256SUMS.note", sinktest.Fault{Err: sinktest.ErrTimeout})
	path := writeLines(t, records("x", 10, 5)...)
	if _, err := i.export(t, s, path); !errors.Is(err, sinktest.ErrTimeout) {
		t.Fatal(err)
	}
	store.Heal()
	i.loseData(t)
	mustExport(t, i, s, path)
	if lock := store.History(seal.NoteKey("audit", 1))[0].Lock; !lock.RetainUntil.Equal(now.Add(72 * time.Hour)) {
		t.Errorf("the note is locked %v", lock)
	}
}

// What was quarantined is told by one seal, wherever the roll is stopped, and whatever is imported before it goes on.
func TestWhatIsCarriedIsToldOnce(t *testing.T) {
	effort.NeedsThorough(t)
	for _, persisted := range []bool{false, true} {
		for n := 1; ; n++ {
			i, store := newInstallation(t), memory(t)
			s := at(i.settings(store), day(11).Add(2*time.Hour))
			s.Trails[0].Formats = nil
			i.take(t, s, append(records("x", 10, 5), "no JSON", "nor this")...)
			store.FailStep(n, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: persisted})
			_, err := i.roll(t, s, nil)
			store.Heal()
			i.take(t, s, append(records("y", 9, 5), "no JSON either")...)
			mustRoll(t, i, s)
			i.take(t, s, records("z", 8, 5)...)
			mustRoll(t, i, s)
			quarantined := int64(0)
			for k := uint64(1); store.Bytes(seal.ManifestKey("audit", k)) != nil; k++ {
				quarantined += manifestOf(t, store, k).Counts.Quarantined
			}
			if quarantined != 3 {
				t.Errorf("step %d, persisted %v: 3 were quarantined, the manifests tell %d", n, persisted, quarantined)
			}
			if err == nil {
				break
			}
		}
	}
}

// A data folder that is used with another store must not take what it knows of the first for sealed there.
func TestADataFolderServesOneStore(t *testing.T) {
	i, first, second := newInstallation(t), memory(t), memory(t)
	path := writeLines(t, records("x", 10, 5)...)
	mustExport(t, i, i.settings(first), path)
	_, err := i.export(t, i.settings(second), path)
	var hint *sink.HintError
	if !errors.Is(err, batch.ErrBehind) || !errors.As(err, &hint) {
		t.Errorf("got %v", err)
	}
}

// A store whose tail was cut off is a contradiction, and what this machine remembers is the evidence of it.
func TestAStoreWhoseTailWasCutOffIsAConflict(t *testing.T) {
	for name, cut := range map[string]func(*sinktest.Memory, string){"removed": func(m *sinktest.Memory, key string) { m.Erase(key) }, "hidden": (*sinktest.Memory).Hide} {
		t.Run(name, func(t *testing.T) { cutOffIsAConflict(t, cut) })
	}
}

func cutOffIsAConflict(t *testing.T, cut func(*sinktest.Memory, string)) {
	i, store := newInstallation(t), memory(t)
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 9, 5)...))
	before := store.Keys()
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 10, 5)...))
	for _, key := range store.Keys() {
		if !slices.Contains(before, key) {
			cut(store, key)
		}
	}
	before = store.Keys()
	var hint *sink.HintError
	_, err := i.export(t, i.settings(store), writeLines(t, records("x", 11, 5)...))
	if !errors.Is(err, batch.ErrBehind) || !strings.Contains(err.Error(), seal.ManifestKey("audit", 2)) || !errors.As(err, &hint) {
		t.Fatalf("got %v, want ErrBehind with a hint", err)
	}
	if !strings.Contains(hint.Hint, "daybook verify") || strings.Contains(hint.Hint, "remove") {
		t.Errorf("the hint is %q", hint.Hint)
	}
	if diff := cmp.Diff(before, store.Keys()); diff != "" {
		t.Errorf("objects were put: %s", diff)
	}
}

// A manifest has a largest size, so that what comes from outside must not make it grow without bound.
func TestLongNamesAreShortInAManifest(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Trails[0].SplitProjects = true
	long := strings.Repeat("<", 100_000)
	var lines []string
	for n := range 3 {
		for _, action := range []string{"x", "y"} {
			lines = append(lines, fmt.Sprintf(`{"time":"2026-03-10T10:00:00Z","action":%q,"id":"%d%s","source":"%d%s","project_id":"%d%s"}`, action, n, long, n, long, n, long))
		}
	}
	mustExport(t, i, s, writeLines(t, lines...))
	audit(t, store, "audit", i.key.Public())
	m := manifestOf(t, store, 1)
	if m.Conflicts.Total != 3 || len(m.Sources) != 3 || m.Counts.Written != 6 {
		t.Errorf("%d ids in conflict, %d sources, %d written", m.Conflicts.Total, len(m.Sources), m.Counts.Written)
	}
	if size := len(store.Bytes(seal.ManifestKey("audit", 1))); size > 10_000 {
		t.Errorf("the manifest has %d bytes", size)
	}
}

// A cancelled context ends a run that finds nothing new.
func TestACancelledRunEnds(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	path := writeLines(t, slices.Concat(records("x", 9, 50), records("x", 10, 50))...)
	mustExport(t, i, s, path)
	ctx, cancel := context.WithCancel(t.Context())
	s.Progress = func(p batch.Progress) {
		if p.Begun != nil {
			cancel()
		}
	}
	r, err := batch.Open(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Export(ctx, []string{path}, nil, i.reading(t), newQuarantine(s)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A day that has many key files, for its many addenda and classes, is read with few of them open.
func TestManyKeyFilesOfADay(t *testing.T) {
	effort.NeedsThorough(t)
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Trails[0].Formats = nil
	standard := s.Policies[0]
	s.Policies = nil
	const classes, seals = 15, 10
	for n := range classes {
		c := standard
		c.Class = fmt.Sprintf("class-%02d", n)
		c.EventTypes = []string{"type-" + c.Class}
		s.Policies = append(s.Policies, c)
	}
	s.Policies = append(s.Policies, standard)
	var all []string
	add := func(id string, at time.Duration) {
		for _, c := range s.Policies {
			all = append(all, record("a"+id+c.Class, day(10).Add(at), fmt.Sprintf(`,"type":"type-%s"`, c.Class)))
		}
	}
	for n := range seals {
		add(fmt.Sprint(n), time.Duration(n+1)*time.Hour)
		mustExport(t, i, s, writeLines(t, all...))
	}
	most := 0
	var mu sync.Mutex
	s.PartRows = 1 // so that there is progress before all keys are read
	s.Progress = func(batch.Progress) {
		open, err := os.ReadDir("/proc/self/fd")
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			most = max(most, len(open))
		}
	}
	add("x", time.Minute)
	add("y", 2*time.Minute)
	mustExport(t, i, s, writeLines(t, all...))
	mustHold(t, store, i, ids(all...))
	if most > 100 {
		t.Errorf("%d files were open", most)
	}
}

// What is put under a lock stays: a seal whose manifest would be refused must put nothing.
func TestNothingIsPutForAManifestThatWouldBeRefused(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Build = "" // which a manifest must tell
	if _, err := i.export(t, s, writeLines(t, records("x", 10, 5)...)); !errors.Is(err, seal.ErrManifest) {
		t.Errorf("got %v", err)
	}
	if keys := store.Keys(); len(keys) > 0 {
		t.Errorf("the store has %q", keys)
	}
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 10, 5)...))
}

// What an event costs on its way through an export must not be allocations.
func TestNoAllocationForEachEvent(t *testing.T) {
	effort.NeedsLong(t)
	allocations := func(n int, split bool) uint64 {
		i, store := newInstallation(t), memory(t)
		s := i.settings(store)
		s.Trails[0].SplitProjects = split
		path := writeLines(t, records("x", 10, n)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		mustExport(t, i, s, path)
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	const few, many = 5_000, 25_000
	for _, split := range []bool{false, true} {
		a, b := allocations(few, split), allocations(many, split)
		if each := (float64(b) - float64(a)) / (many - few); each > 0.5 {
			t.Errorf("split %v: %.2f allocations for each event", split, each)
		}
	}
}
func TestYearsAtTheEdge(t *testing.T) {
	for _, at := range []string{
		"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-12:00", "1677-01-01T00:00:00Z", "2300-01-01T00:00:00Z",
	} {
		t.Run(at, func(t *testing.T) {
			i, store := newInstallation(t), memory(t)
			s := i.settings(store)
			s.IncludeOpen = true
			r := mustExport(t, i, s, writeLines(t, fmt.Sprintf(`{"id":"a","time":%q,"action":"x"}`, at)))
			if r.Written+r.Quarantined != 1 {
				t.Errorf("%+v", r)
			}
			audit(t, store, "audit", i.key.Public())
		})
	}
}

// Late events of a day are sealed though its evidence is gone, which its retention is over for: what it held is not known any more. Without that they would keep all that comes after them from being
// sealed. Evidence that is gone before its time is another thing.
func TestLateEventsOfADayThatHasExpired(t *testing.T) {
	for _, mode := range []sink.Mode{sink.Compliance, sink.None} {
		t.Run("mode="+string(mode), func(t *testing.T) { lateEventsOfADayThatHasExpired(t, mode) })
	}
}

func lateEventsOfADayThatHasExpired(t *testing.T, mode sink.Mode) {
	t.Helper()
	clock := now
	i := newInstallation(t)
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: mode, Now: func() time.Time { return clock }})
	s := i.settings(store)
	s.Now = func() time.Time { return clock }
	if mode == sink.None {
		s.Policies = retention.Policies{{Class: "standard", EventTypes: []string{"*"}}}
	}
	mustExport(t, i, s, writeLines(t, append(records("x", 9, 3), record("a1970", time.Unix(0, 0).UTC(), ""))...))
	for _, n := range []uint64{1, 2} { // of the 9th, and of the day that the other is filed under
		for _, f := range manifestOf(t, store, n).Files {
			store.Erase(f.Key)
		}
	}
	if err := os.RemoveAll(filepath.Join(s.Data, "keys")); err != nil {
		t.Fatal(err)
	}
	late := []string{writeLines(t, record("late", day(9), "")), writeLines(t, record("b1971", time.Unix(1e8, 0).UTC(), ""))}
	for _, path := range late {
		if _, err := i.export(t, s, path); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("before the retention is over: %v", err)
		}
	}
	clock = now.Add(48 * time.Hour)
	for _, path := range late {
		if mode == sink.None { // nothing says that it may be gone, ever
			if _, err := i.export(t, s, path); !errors.Is(err, sink.ErrNotExist) {
				t.Errorf("later: %v", err)
			}
			continue
		}
		if r := mustExport(t, i, s, path); r.Written != 1 {
			t.Errorf("%d events were written", r.Written)
		}
	}
}
