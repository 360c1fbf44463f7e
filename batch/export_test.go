package batch_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/sinktest"
)

func outcomes(r *batch.Report) []string {
	var list []string
	for _, d := range r.Days {
		list = append(list, fmt.Sprintf("%v %s %d", d.Day, d.Outcome, d.Events))
	}
	return list
}

func TestExportSealsEachDayOnce(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	first, second := records("x", 9, 40), records("x", 10, 60)
	all := slices.Concat(first, second)
	path := writeLines(t, slices.Concat(all, first[:5])...)
	r := mustExport(t, i, i.settings(store), path)
	want := []string{"2026-03-09 sealed 40", "2026-03-10 sealed 60"}
	if diff := cmp.Diff(want, outcomes(r)); diff != "" {
		t.Error(diff)
	}
	if r.Read != 105 || r.Written != 100 || r.Duplicates != 5 || !r.Whole() {
		t.Errorf("counts: %+v", r)
	}
	mustHold(t, store, i, ids(all...))

	store.TakeLog()
	r = mustExport(t, i, i.settings(store), path)
	if diff := cmp.Diff([]string{"2026-03-09 unchanged 0", "2026-03-10 unchanged 0"}, outcomes(r)); diff != "" {
		t.Error(diff)
	}
	for _, op := range store.TakeLog() {
		if op.Name == "put" {
			t.Errorf("a run with nothing new put something: %v", op)
		}
	}
}

func TestLateEventsBecomeAnAddendum(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	all := records("x", 10, 50)
	mustExport(t, i, i.settings(store), writeLines(t, all[:30]...))
	before := dataFiles(store)
	for _, lost := range []bool{false, true} {
		if lost {
			i.loseData(t) // a second machine, or one that was rebuilt
		}
		n := 40
		if lost {
			n = 50
		}
		r := mustExport(t, i, i.settings(store), writeLines(t, all[:n]...))
		if diff := cmp.Diff([]string{"2026-03-10 addendum 10"}, outcomes(r)); diff != "" {
			t.Errorf("data lost %v: %s", lost, diff)
		}
		if r.Duplicates != int64(n-10) {
			t.Errorf("data lost %v: %d duplicates, want %d", lost, r.Duplicates, n-10)
		}
		mustHold(t, store, i, ids(all[:n]...))
	}
	for key, hash := range before {
		if dataFiles(store)[key] != hash {
			t.Errorf("%s changed", key)
		}
	}
	m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 2)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Addendum != 1 || m.Counts.Late != 10 {
		t.Errorf("addendum %d, late %d", m.Addendum, m.Counts.Late)
	}
}

func TestOpenDaysAreLeftToALaterRun(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	today := record("a-today", now.Add(-time.Hour), "")
	path := writeLines(t, append(records("x", 10, 5), today)...)
	s := i.settings(store)
	r := mustExport(t, i, s, path)
	if diff := cmp.Diff([]string{"2026-03-20 open 0", "2026-03-10 sealed 5"}, outcomes(r)); diff != "" || r.Pending != 1 {
		t.Errorf("pending %d: %s", r.Pending, diff)
	}
	s.Now = func() time.Time { return day(21).Add(59 * time.Minute) }
	if r = mustExport(t, i, s, path); r.Pending != 1 {
		t.Errorf("a minute before it closes the day is sealed: %v", outcomes(r))
	}
	s.IncludeOpen, s.Now = true, func() time.Time { return now }
	if r = mustExport(t, i, s, path); r.Written != 1 || r.Pending != 0 {
		t.Errorf("--include-open: %v", outcomes(r))
	}
	mustHold(t, store, i, append(ids(records("x", 10, 5)...), "a-today"))
}

func TestEqualEventsGiveEqualFiles(t *testing.T) {
	effort.NeedsLong(t)
	lines := slices.Concat(records("x", 9, 300), records("y", 10, 400), records("x", 9, 20))
	for n := range 5 { // no id of their own, and equal
		lines = append(lines, fmt.Sprintf(`{"time":"2026-03-10T09:30:00Z","action":"anonymous-%d"}`, n/3))
	}
	var want map[string]seal.Hash
	for name, arrange := range map[string]func(t *testing.T, s *batch.Settings) []string{
		"one file": func(t *testing.T, _ *batch.Settings) []string { return []string{writeLines(t, lines...)} },
		"backwards, one worker, tiny memory": func(t *testing.T, s *batch.Settings) []string {
			back := slices.Clone(lines)
			slices.Reverse(back)
			s.Workers, s.SortMemory = 1, 1
			return []string{writeLines(t, back...)}
		},
		"many files in a folder": func(t *testing.T, s *batch.Settings) []string {
			dir := t.TempDir()
			for n := range 7 {
				var part []string
				for k := n; k < len(lines); k += 7 {
					part = append(part, lines[k])
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.jsonl", 9-n)), []byte(strings.Join(part, "\n")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s.Workers = 5
			return []string{dir}
		},
		"one processor": func(t *testing.T, _ *batch.Settings) []string {
			old := runtime.GOMAXPROCS(1)
			t.Cleanup(func() { runtime.GOMAXPROCS(old) })
			return []string{writeLines(t, lines...)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			i, store := newInstallation(t), memory(t)
			s := i.settings(store)
			s.PartRows = 150
			r := mustExport(t, i, s, arrange(t, &s)...)
			if r.Written != 705 || r.Duplicates != 20 {
				t.Errorf("%d written, %d duplicates", r.Written, r.Duplicates)
			}
			got := dataFiles(store)
			if want == nil {
				want = got
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("files differ: %s", diff)
			}
		})
	}
}

func TestPartsAreCutAtTheSameEvent(t *testing.T) {
	i := newInstallation(t)
	lines := records("x", 10, 100)
	for name, change := range map[string]func(*batch.Settings){
		"rows":  func(s *batch.Settings) { s.PartRows = 30 },
		"bytes": func(s *batch.Settings) { s.PartBytes = int64(len(lines[0])+40) * 30 },
	} {
		store := memory(t)
		i.loseData(t)
		s := i.settings(store)
		change(&s)
		mustExport(t, i, s, writeLines(t, lines...))
		mustHold(t, store, i, ids(lines...))
		m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 1)))
		if err != nil {
			t.Fatal(err)
		}
		parts := map[int]int{}
		for _, f := range m.Files {
			parts[f.Part]++
			if f.Rows > 35 {
				t.Errorf("%s: %s has %d rows", name, f.Key, f.Rows)
			}
		}
		if len(parts) < 4 || parts[1] != 5 {
			t.Errorf("%s: parts and their files: %v", name, parts)
		}
	}
}

func TestClassesHaveFilesOfTheirOwn(t *testing.T) {
	i, store := newInstallation(t), sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Governance, Now: func() time.Time { return now }})
	s := i.settings(store)
	s.Policies = retention.Policies{
		{Class: "access", EventTypes: []string{"authentication.*", "iam:*"}, Mode: sink.Compliance, Retain: 72 * time.Hour},
		{Class: "standard", EventTypes: []string{"*"}, Mode: sink.Governance, Retain: 24 * time.Hour},
	}
	lines := append(records("x", 10, 10),
		`{"id":"a-login","time":"2026-03-10T23:00:00Z","type":"authentication.login","action":"login"}`,
		`{"id":"a-iam","time":"2026-03-10T22:00:00Z","type":"api.write","action":"iam:CreateUser"}`)
	for _, lost := range []bool{false, true} {
		if lost {
			i.loseData(t)
		}
		mustExport(t, i, s, writeLines(t, lines...))
		mustHold(t, store, i, ids(lines...))
	}
	rows := map[string]int64{}
	m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		rows[f.Class] += f.Rows
		mode, until := sink.Compliance, now.Add(72*time.Hour)
		if f.Class == "standard" {
			mode, until = sink.Governance, now.Add(24*time.Hour)
		}
		if f.LockMode != mode || !f.RetainUntil.Equal(until) {
			t.Errorf("%s is locked %s until %v", f.Key, f.LockMode, f.RetainUntil)
		}
	}
	if rows["access"] != 2*5 || rows["standard"] != 10*5 {
		t.Errorf("rows: %v", rows)
	}
	for _, key := range []string{seal.NoteKey("audit", 1), seal.ManifestKey("audit", 1), seal.KeyKey(i.key.ID())} {
		if lock := store.History(key)[0].Lock; lock.Mode != sink.Compliance || !lock.RetainUntil.Equal(now.Add(72*time.Hour)) {
			t.Errorf("%s is locked %v, must be as long as the longest class", key, lock)
		}
	}
}

func TestProjectsHaveFilesOfTheirOwn(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Trails[0].SplitProjects, s.Trails[0].MaxSplit, s.PartRows = true, 2, 5
	lines := append(records("x", 10, 30), // projects a, b and c
		`{"id":"z","time":"2026-03-10T23:00:00Z","action":"login"}`,
		`{"id":"y","time":"2026-03-10T23:00:00Z","action":"login","project_id":"../../etc/passwd"}`)
	mustExport(t, i, s, writeLines(t, lines...))
	mustHold(t, store, i, ids(lines...))
	projects := map[string]int64{}
	m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		if f.Format == "csv" {
			projects[string(f.Split)+" "+f.Project] += f.Rows
		}
		if (f.Format == "jsonl" || f.Format == "parquet") != (f.Split == seal.Whole) {
			t.Errorf("%s: split %q", f.Key, f.Split)
		}
	}
	want := map[string]int64{"project ": 1, "project ../../etc/passwd": 1, "rest ": 30}
	if diff := cmp.Diff(want, projects); diff != "" {
		t.Error(diff)
	}
	for _, key := range store.Keys() {
		if slices.Contains(strings.Split(key, "/"), "..") || strings.Contains(key, "/etc/") {
			t.Errorf("key %s", key)
		}
	}
}

func TestOddTimesAreFiledUnderTheDayOfReceipt(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.IncludeOpen = true
	lines := append(records("x", 10, 3), record("a1970", time.Unix(0, 0).UTC(), ""), record("b2099", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), ""))
	r := mustExport(t, i, s, writeLines(t, lines...))
	if diff := cmp.Diff([]string{"2026-03-10 sealed 3", "2026-03-20 sealed 2"}, outcomes(r)); diff != "" {
		t.Error(diff)
	}
	mustHold(t, store, i, ids(lines...))
	// The next day the same events come again: they are known, though they would now be filed under another day.
	later := now.Add(24 * time.Hour)
	for _, lost := range []bool{false, true} {
		if lost {
			i.loseData(t)
		}
		s.Now = func() time.Time { return later }
		how := i.reading(t)
		how.AsOf = later
		r, err := i.exportAs(t, s, how, writeLines(t, lines...))
		if err != nil {
			t.Fatal(err)
		}
		if r.Written != 0 || r.Duplicates != 5 {
			t.Errorf("data lost %v: %d written, %d duplicates", lost, r.Written, r.Duplicates)
		}
	}
}

func TestOneIdOfTwoContentsIsKeptTwiceAndTold(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	lines := []string{
		record("a", day(9).Add(23*time.Hour), ""), record("a", day(10).Add(time.Hour), ""), // over midnight
		record("b", day(10), ""), record("b", day(10), `,"reason":"other"`), // at one time
		record("c", day(10), ""), record("c", day(10), ""), // a duplicate
	}
	r := mustExport(t, i, i.settings(store), writeLines(t, lines...))
	if r.Written != 5 || r.Duplicates != 1 {
		t.Errorf("%d written, %d duplicates", r.Written, r.Duplicates)
	}
	for n, want := range map[uint64][]string{1: {"a"}, 2: {"a", "b"}} {
		m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", n)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, m.Conflicts.IDs); diff != "" {
			t.Errorf("seal %d: %s", n, diff)
		}
	}
	// And against what is sealed.
	mustExport(t, i, i.settings(store), writeLines(t, record("c", day(10), `,"reason":"late"`)))
	m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 3)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c"}, m.Conflicts.IDs); diff != "" {
		t.Error(diff)
	}
}

func TestTrailsTakeTheirOrgAndProjects(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Trails = []batch.Trail{{Name: "all", Org: "acme"}, {Name: "one", Org: "acme", Projects: []string{"project-a"}}}
	lines := []string{
		record("a1", day(10), `,"org":"acme"`), record("b1", day(10), `,"org":"acme"`), record("c1", day(10), `,"org":"other"`), record("a2", day(10), ""),
	}
	how := i.reading(t)
	how.Org = "acme"
	r, err := i.exportAs(t, s, how, writeLines(t, lines...))
	if err != nil {
		t.Fatal(err)
	}
	if r.Read != 4 || r.Copies != 2 || r.NotTracked != 1 || r.Written != 5 {
		t.Errorf("read %d, copies %d, not tracked %d, written %d", r.Read, r.Copies, r.NotTracked, r.Written)
	}
	if got := audit(t, store, "one", i.key.Public()); len(got) != 2 {
		t.Errorf("trail one has %v", got)
	}
}

// TestEveryStepOfASealMayFail is the failure table: each operation of the store fails, having taken effect or not, and the run is repeated with
// its data folder or without it.
func TestEveryStepOfASealMayFail(t *testing.T) {
	lines := slices.Concat(records("x", 9, 10), records("x", 10, 10))
	path := writeLines(t, lines...)
	settings := func(i *installation, store *sinktest.Memory) batch.Settings {
		s := i.settings(store)
		s.Trails[0].Formats = []formats.Format{formats.CSV} // two formats have all the steps that five have
		return s
	}
	var want map[string]seal.Hash
	for turn, persisted := range []bool{false, true} {
		for other, lost := range []bool{false, true} {
			for n := 1; ; n++ {
				if !effort.Thorough() && n < 40 && n%4 != 2*turn+other {
					continue // each step fails in one of the four ways; make test tries all
				}
				i, store := newInstallation(t), memory(t)
				store.FailStep(n, sinktest.Fault{Err: sinktest.ErrTimeout, Persisted: persisted})
				_, err := i.export(t, settings(i, store), path)
				steps := len(store.TakeLog())
				store.Heal()
				if err != nil && !errors.Is(err, sinktest.ErrTimeout) {
					t.Fatalf("step %d: %v", n, err)
				}
				if lost {
					i.loseData(t)
				}
				mustExport(t, i, settings(i, store), path)
				mustHold(t, store, i, ids(lines...))
				got := dataFiles(store)
				if want == nil {
					want = got
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("step %d, persisted %v, lost %v: data files differ: %s", n, persisted, lost, diff)
				}
				if steps < n {
					break // no step n: all steps have failed once
				}
			}
		}
	}
}

func TestTwoMachinesSealOneTrail(t *testing.T) {
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return now }, AllowConflict: true})
	a := newInstallation(t)
	b := a.twin(t)
	onA, onB := records("x", 9, 10), slices.Concat(records("y", 9, 12), records("x", 9, 4), records("y", 10, 5))
	mustExport(t, a, a.settings(store), writeLines(t, onA...))
	mustExport(t, b, b.settings(store), writeLines(t, onB...))
	// The log went on without A, which a thief of the key could have done: somebody has to look at it.
	s, path := a.settings(store), writeLines(t, records("x", 10, 7)...)
	var hint *sink.HintError
	if _, err := a.export(t, s, path); !errors.Is(err, tlog.ErrAhead) || !errors.As(err, &hint) {
		t.Fatalf("got %v, want ErrAhead with a hint", err)
	}
	s.TakeOver = true
	mustExport(t, a, s, path)
	found := audit(t, store, "audit", a.key.Public())
	want := ids(slices.Concat(onA, onB, records("x", 10, 7))...)
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), slices.Sorted(maps.Keys(found))); diff != "" {
		t.Error(diff)
	}
}

func TestAMachineThatIsOvertakenSealsAnew(t *testing.T) {
	for name, theirs := range map[string][]string{
		"another day":              records("y", 9, 12),
		"the same day":             records("y", 10, 12),
		"the same day and events":  records("x", 10, 10),
		"the same day, and others": slices.Concat(records("y", 9, 12), records("y", 10, 12)),
	} {
		t.Run(name, func(t *testing.T) {
			mem := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return now }, AllowConflict: true})
			a := newInstallation(t)
			b := a.twin(t)
			ours := records("x", 10, 10)
			// B seals while A is about to put its first file.
			between := &interrupt{Memory: mem, on: "/dt=2026-03-10/", do: func() {
				mustExport(t, b, b.settings(mem), writeLines(t, theirs...))
			}}
			mustExport(t, a, a.settings(between), writeLines(t, ours...))
			found := audit(t, mem, "audit", a.key.Public())
			want := ids(slices.Concat(ours, theirs)...)
			slices.Sort(want)
			if diff := cmp.Diff(slices.Compact(want), slices.Sorted(maps.Keys(found))); diff != "" {
				t.Error(diff)
			}
			for id, n := range found {
				if n != 1 {
					t.Errorf("event %s is there %d times", id, n)
				}
			}
		})
	}
}

func TestForeignFilesInOurPlaceAreAConflict(t *testing.T) {
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return now }, AllowConflict: true})
	i := newInstallation(t)
	lines := records("x", 10, 5)
	store.Overwrite(seal.FileKey(seal.FileName{Format: formats.CSV, Class: "standard", Trail: "audit", Day: event.DayOf(day(10)), Part: 1, Compression: seal.Gzip}), []byte("theirs"), sink.Lock{})
	_, err := i.export(t, i.settings(store), writeLines(t, lines...))
	var hint *sink.HintError
	if !errors.Is(err, sink.ErrConflict) || !errors.As(err, &hint) {
		t.Errorf("got %v, want a conflict with a hint", err)
	}
}

func TestADataFolderServesOneProcess(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	r, err := batch.Open(t.Context(), i.settings(store))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := batch.Open(t.Context(), i.settings(store)); !errors.Is(err, batch.ErrBusy) {
		t.Errorf("got %v, want ErrBusy", err)
	}
}

func TestKeysAreKeptForTheirWindow(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	path := writeLines(t, records("x", 10, 5)...)
	mustExport(t, i, s, path)
	keys := filepath.Join(s.Data, "keys", "audit", "2026-03-10", "0000")
	old := now.Add(-s.DedupeWindow - time.Hour)
	if err := os.Chtimes(keys, old, old); err != nil {
		t.Fatal(err)
	}
	r, err := batch.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(keys); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the keys are still there: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r := mustExport(t, i, s, path); r.Duplicates != 5 || r.Written != 0 {
		t.Errorf("%d duplicates, %d written", r.Duplicates, r.Written)
	}
}

func TestSealsOfOthersAreCheckedBeforeTheyAreTakenOver(t *testing.T) {
	for name, damage := range map[string]func(*sinktest.Memory){
		"note":     func(m *sinktest.Memory) { m.FlipBit(seal.NoteKey("audit", 1), 800) },
		"manifest": func(m *sinktest.Memory) { m.FlipBit(seal.ManifestKey("audit", 1), 8*100) },
		"evidence": func(m *sinktest.Memory) {
			m.FlipBit("jsonl/class=standard/trail=audit/dt=2026-03-10/audit-2026-03-10.0001.jsonl.zst", 800)
		},
	} {
		a, store := newInstallation(t), memory(t)
		b := a.twin(t)
		path := writeLines(t, records("x", 10, 5)...)
		mustExport(t, a, a.settings(store), path)
		damage(store)
		if _, err := b.export(t, b.settings(store), path); err == nil {
			t.Errorf("a damaged %s was taken over", name)
		}
	}
}

func TestSuspectEventsAreSealedThoughTheirDayIsOpen(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	old := record("a1970", time.Unix(0, 0).UTC(), "")
	lines := []string{old, old, record("b-today", now.Add(-time.Hour), ""), record("c2099", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), "")}
	r := mustExport(t, i, s, writeLines(t, lines...))
	if diff := cmp.Diff([]string{"2026-03-20 open 0", "2026-03-20 sealed 2"}, outcomes(r)); diff != "" || r.Pending != 1 || r.Duplicates != 1 {
		t.Errorf("%d pending, %d duplicates: %s", r.Pending, r.Duplicates, diff)
	}
	// A day later the rest of that day is sealed beside them, and they are known.
	s.AsOf = now.Add(24 * time.Hour)
	how := i.reading(t)
	how.AsOf = s.AsOf
	r, err := i.exportAs(t, s, how, writeLines(t, lines...))
	if err != nil {
		t.Fatal(err)
	}
	if r.Written != 1 || r.Duplicates != 3 || r.Pending != 0 {
		t.Errorf("%v: %+v", outcomes(r), r)
	}
	mustHold(t, store, i, []string{"a1970", "b-today", "c2099"})
}
