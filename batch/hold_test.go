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

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/event"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/sinktest"
)

func order(from, to int, project string) batch.HoldOrder {
	return batch.HoldOrder{Trail: "audit", From: event.DayOf(day(from)), To: event.DayOf(day(to)), Project: project, Reason: "case 7", By: "counsel"}
}

// held does what a command does to the holds of a store.
func (i *installation) held(s batch.Settings, o batch.HoldOrder, put bool) (*batch.HoldReport, error) {
	r, err := batch.Open(context.Background(), s)
	if err != nil {
		return nil, err
	}
	do := r.ReleaseHold
	if put {
		do = r.PutHold
	}
	report, err := do(context.Background(), o)
	return report, errors.Join(err, r.Close())
}

func mustHoldDays(t *testing.T, i *installation, s batch.Settings, o batch.HoldOrder, put bool) *batch.HoldReport {
	t.Helper()
	report, err := i.held(s, o, put)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// checkHolds is the oracle: what is held in the store is what the log says, to the object, unless more is allowed, since a command was stopped; and the store verifies.
func checkHolds(t *testing.T, store *sinktest.Memory, i *installation, moreAllowed bool) (heldKeys []string) {
	t.Helper()
	holds, _, _, err := tlog.ReadHolds(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for n := uint64(1); ; n++ {
		data := store.Bytes(seal.ManifestKey("audit", n))
		if data == nil {
			break
		}
		m, err := seal.ParseManifest(data)
		if err != nil {
			t.Fatal(err)
		}
		standing := holds.On("audit", m.Day.Day)
		for _, f := range m.Files {
			for _, h := range standing {
				own := f.Split == seal.ByProject && h.Project != "" && f.Project != h.Project
				want[f.Key] = want[f.Key] || !own
			}
		}
		want[seal.ManifestKey("audit", n)], want[seal.NoteKey("audit", n)] = len(standing) > 0, len(standing) > 0
	}
	for _, key := range store.Keys() {
		all := store.History(key)
		is := all[len(all)-1].Held
		if is {
			heldKeys = append(heldKeys, key)
		}
		if is != want[key] && !(is && moreAllowed) {
			t.Errorf("%s: held %v, want %v", key, is, want[key])
		}
	}
	report, err := verify.Run(t.Context(), store, &verify.Options{Keys: []seal.PublicKey{i.key.Public()}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if code := report.ExitCode(); code != 0 && !(moreAllowed && code == 2) { // 2: a checkpoint is being published
		t.Errorf("verify ends with %d: %+v", report.ExitCode(), report.Findings)
	}
	return heldKeys
}

func logSize(t *testing.T, store sink.Store) int64 {
	t.Helper()
	_, head, _, err := tlog.ReadHolds(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return head.Size
}

func TestHold(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Trails[0].SplitProjects = true
	mustExport(t, i, s, writeLines(t, slices.Concat(records("x", 9, 9), records("x", 10, 9))...))
	if held := checkHolds(t, store, i, false); len(held) > 0 {
		t.Errorf("%q are held, and nobody asked for it", held)
	}
	before := logSize(t, store)

	put := mustHoldDays(t, i, s, order(9, 9, ""), true)
	objects := len(checkHolds(t, store, i, false))
	if put.Already || put.Leaf != before || put.Seals != 1 || put.Objects != objects || put.Changed != objects || put.Head.Size != before+1 || objects != 2+3*3+2 {
		t.Errorf("put: %+v, %d objects are held", put, objects)
	}
	again := mustHoldDays(t, i, s, order(9, 9, ""), true)
	if !again.Already || again.Leaf != put.Leaf || again.Changed != 0 || again.Objects != objects || logSize(t, store) != put.Head.Size {
		t.Errorf("put again: %+v", again)
	}
	// What is sealed for the day later is held as well; of it and of another day, what is of one project.
	mustExport(t, i, s, writeLines(t, records("late", 9, 9)...))
	if more := len(checkHolds(t, store, i, false)); more != 2*objects {
		t.Errorf("%d objects are held once there is an addendum, want %d", more, 2*objects)
	}
	if o := mustHoldDays(t, i, s, order(9, 10, "project-a"), true); o.Seals != 3 || o.Objects != 3*(2+3+2) || o.Changed != 2+3+2 {
		t.Errorf("put on a project: %+v", o)
	}
	checkHolds(t, store, i, false)

	released := mustHoldDays(t, i, s, order(9, 9, ""), false)
	if released.Already || released.Seals != 2 || released.Objects != 2*objects || released.Kept != 2*(2+3+2) || released.Changed != 2*objects-released.Kept {
		t.Errorf("released: %+v", released)
	}
	checkHolds(t, store, i, false)
	if o := mustHoldDays(t, i, s, order(9, 9, ""), false); !o.Already || o.Changed != 0 || o.Leaf != released.Leaf {
		t.Errorf("released again: %+v", o)
	}
	mustHoldDays(t, i, s, order(9, 10, "project-a"), false)
	if held := checkHolds(t, store, i, false); len(held) > 0 {
		t.Errorf("%q are held, and all holds were released", held)
	}
	if o := mustHoldDays(t, i, s, order(9, 9, ""), true); o.Already || o.Changed != 2*objects {
		t.Errorf("put once more: %+v", o)
	}
	checkHolds(t, store, i, false)
}

// A day that is not sealed yet is held from its first object on, also where all that is known of holds is what the store has.
func TestHoldBeforeTheSeal(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	mustExport(t, i, s, writeLines(t, records("x", 8, 5)...))
	if o := mustHoldDays(t, i, s, order(9, 12, ""), true); o.Seals != 0 || o.Objects != 0 {
		t.Errorf("put: %+v", o)
	}
	store.TakeLog()
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	for _, op := range store.TakeLog() {
		if op.Name == "hold" {
			t.Errorf("%v: it is held when it is put, and not later", op)
		}
	}
	held := len(checkHolds(t, store, i, false))
	i.loseData(t)
	mustExport(t, i, s, writeLines(t, slices.Concat(records("late", 9, 5), records("x", 12, 5))...))
	if got := len(checkHolds(t, store, i, false)); got != 3*held {
		t.Errorf("%d objects are held, want %d", got, 3*held)
	}
	// A hold that another machine put, on what it did not know of, comes with its leaf.
	store.SetHeld(seal.ManifestKey("audit", 2), false)
	i.loseData(t)
	mustExport(t, i, s, writeLines(t, records("x", 8, 5)...))
	checkHolds(t, store, i, false)
}

// A seal was stopped after its files were put, and another machine put a hold on its day before it went on.
func TestHoldOnASealHalfMade(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	mustExport(t, i, s, writeLines(t, records("x", 8, 5)...))
	store.FailKey("put", "00000002/manifest.json", sinktest.Fault{Err: sinktest.ErrUnavailable})
	if _, err := i.export(t, s, writeLines(t, records("x", 9, 5)...)); err == nil {
		t.Fatal("the run was not stopped")
	}
	store.Heal()
	other := i.twin(t)
	mustHoldDays(t, other, other.settings(store), order(9, 9, ""), true)
	s.TakeOver = true
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	if held := checkHolds(t, store, i, false); len(held) != 7 {
		t.Errorf("%q are held", held)
	}
}

// A command that stops anywhere, or whose answer is lost anywhere, is given again, and ends as if it had not.
func TestHoldStopsAnywhere(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	for _, put := range []bool{true, false} {
		for _, persisted := range []bool{false, true} {
			t.Run(fmt.Sprintf("put=%v,persisted=%v", put, persisted), func(t *testing.T) {
				t.Parallel()
				i, origin := newInstallation(t), memory(t)
				s := i.settings(origin)
				mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
				if !put {
					mustHoldDays(t, i, s, order(9, 9, ""), true)
				}
				size := logSize(t, origin)
				step := 1
				if !effort.Thorough() {
					step = 5
				}
				for n := 1; ; n += step {
					at := &installation{t.TempDir(), i.key, i.hmac}
					if err := os.CopyFS(at.dir, os.DirFS(i.dir)); err != nil {
						t.Fatal(err)
					}
					store := origin.Clone(t)
					s := at.settings(store)
					store.FailStep(n, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: persisted})
					_, err := at.held(s, order(9, 9, ""), put)
					done := len(store.TakeLog()) < n
					store.Heal()
					checkHolds(t, store, at, true)
					report := mustHoldDays(t, at, s, order(9, 9, ""), put)
					if held := checkHolds(t, store, at, false); (len(held) > 0) != put || logSize(t, store) != size+1 {
						t.Fatalf("step %d: %q are held, %d leaves, %+v", n, held, logSize(t, store), report)
					}
					if done {
						if n < 20 || err != nil {
							t.Errorf("%d operations, %v", n, err)
						}
						break
					}
				}
			})
		}
	}
}

// Retention ends, and files go; a hold on what is left is no lie, and what it holds stays.
func TestHoldAfterRetention(t *testing.T) {
	i := newInstallation(t)
	clock := now
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return clock }})
	s := i.settings(store)
	s.Now = func() time.Time { return clock }
	s.Policies = retention.Policies{
		{Class: "short", EventTypes: []string{"file-read"}, Mode: sink.Compliance, Retain: time.Hour},
		{Class: "standard", EventTypes: []string{"*"}, Mode: sink.Compliance, Retain: 24 * time.Hour},
	}
	mustExport(t, i, s, writeLines(t, append(records("x", 9, 5), `{"id":"other","time":"2026-03-09T01:00:00Z","action":"other","project_id":"p","outcome":"success"}`)...))
	clock = clock.Add(2 * time.Hour)
	gone := 0
	for _, key := range store.Keys() {
		if strings.Contains(key, "class=short") {
			if err := store.DeleteVersion(key, store.History(key)[0].ID); err != nil {
				t.Fatal(err)
			}
			gone++
		}
	}
	if o := mustHoldDays(t, i, s, order(9, 9, ""), true); o.Gone != gone || gone != 5 || o.Changed != o.Objects-gone {
		t.Errorf("put: %+v, %d files are gone", o, gone)
	}
	clock = clock.Add(48 * time.Hour)
	key := ""
	for _, k := range store.Keys() {
		if strings.Contains(k, "csv/class=standard") {
			key = k
		}
	}
	version := store.History(key)[0].ID
	if err := store.DeleteVersion(key, version); !errors.Is(err, sinktest.ErrLocked) {
		t.Fatalf("%s, which is held, can be deleted: %v", key, err)
	}
	findings := func(store sink.Store) []string {
		report, err := verify.Run(t.Context(), store, &verify.Options{Keys: []seal.PublicKey{i.key.Public()}, Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, f := range report.Findings {
			if f.Code != "file-expired" && f.Code != "head-unanchored" && !strings.HasPrefix(f.Code, "control-lock") {
				list = append(list, f.Code+" "+f.Key)
			}
		}
		return list
	}
	if diff := cmp.Diff([]string(nil), findings(store)); diff != "" {
		t.Errorf("verify: %s", diff)
	}
	// What is gone although it was held before its retention ended is missed, and so is a hold that was lifted behind the log's back.
	damaged := store.Clone(t)
	damaged.Erase(key)
	if got := findings(damaged); !slices.Contains(got, "file-missing "+key) {
		t.Errorf("verify of what lost a held file: %q", got)
	}
	damaged = store.Clone(t)
	damaged.SetHeld(key, false)
	damaged.SetHeld(seal.NoteKey("audit", 1), false)
	if diff := cmp.Diff([]string{"hold-missing " + key, "hold-missing " + seal.NoteKey("audit", 1)}, findings(damaged)); diff != "" {
		t.Errorf("verify of what lost a hold: %s", diff)
	}
	mustHoldDays(t, i, s, order(9, 9, ""), false)
	if err := store.DeleteVersion(key, version); err != nil {
		t.Errorf("released, and past its retention: %v", err)
	}
	if diff := cmp.Diff([]string(nil), findings(store)); diff != "" {
		t.Errorf("verify after the release: %s", diff)
	}
}

func TestHoldRefused(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	size := logSize(t, store)
	folder, err := file.New(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := i.twin(t)
	inFolder := other.settings(folder)
	inFolder.Policies = retention.Policies{{Class: "standard", EventTypes: []string{"*"}}}
	unsigned := i.twin(t)
	without := unsigned.settings(memory(t))
	without.Key = nil
	another := order(9, 9, "")
	another.Trail = "another"
	blank := order(9, 9, "")
	blank.Reason = " "
	for name, c := range map[string]struct {
		i    *installation
		s    batch.Settings
		o    batch.HoldOrder
		put  bool
		want error
	}{
		"a folder":          {other, inFolder, order(9, 9, ""), true, sink.ErrUnfit},
		"unsigned":          {unsigned, without, order(9, 9, ""), true, sink.ErrUnfit},
		"another trail":     {i, s, another, true, batch.ErrNoTrail},
		"no reason":         {i, s, blank, true, tlog.ErrLeaf},
		"backwards":         {i, s, order(10, 9, ""), true, tlog.ErrLeaf},
		"nothing to lift":   {i, s, order(9, 10, ""), false, batch.ErrNoHold},
		"lift without name": {i, s, blank, false, tlog.ErrLeaf},
	} {
		if _, err := c.i.held(c.s, c.o, c.put); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if held := checkHolds(t, store, i, false); len(held) > 0 || logSize(t, store) != size {
		t.Errorf("%q are held, %d leaves instead of %d", held, logSize(t, store), size)
	}
	// Days that are not sealed yet are held if the right to hold is there: without it none of them could be sealed.
	store.FailKey("", "doctor/", sinktest.Fault{Err: sinktest.ErrForbidden})
	if _, err := i.held(s, order(10, 12, ""), true); !errors.Is(err, sinktest.ErrForbidden) || logSize(t, store) != size {
		t.Errorf("no right to hold: %v, %d leaves", err, logSize(t, store))
	}
	store.Heal()
	// A file that is gone too early keeps the log from saying that it is held.
	m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 1)))
	if err != nil {
		t.Fatal(err)
	}
	store.Hide(m.Files[0].Key)
	store.Erase(m.Files[1].Key)
	var hint *sink.HintError
	if _, err := i.held(s, order(9, 9, ""), true); !errors.Is(err, sink.ErrNotExist) || !errors.As(err, &hint) || logSize(t, store) != size {
		t.Errorf("a file is gone: %v, %d leaves", err, logSize(t, store))
	}
}
