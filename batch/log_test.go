package batch_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/anchor"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/witness"
	"daybook/event"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// mustVerify holds the store against what an auditor with that key sees, and returns the report.
func mustVerify(t *testing.T, store sink.Store, keys ...seal.PublicKey) *verify.Report {
	t.Helper()
	report, err := verify.Run(t.Context(), store, &verify.Options{Keys: keys, Deep: true, Now: func() time.Time { return now.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if report.ExitCode() != 0 {
		var text strings.Builder
		_ = report.WriteText(&text) // a Builder never fails
		t.Errorf("verify ends with %d:\n%s", report.ExitCode(), text.String())
	}
	return report
}

// leaves reads the store's log, as "seal audit 1" or "key rotate".
func leaves(t *testing.T, store sink.Store) []string {
	t.Helper()
	_, data, err := tlog.Newest(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tlog.ParseCheckpoint(data)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for entry, err := range tlog.NewReader(store, c).Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := tlog.ParseLeaf(entry.Data)
		switch {
		case err != nil:
			t.Fatal(err)
		case l.Seal != nil:
			list = append(list, fmt.Sprintf("seal %s %d", l.Seal.Trail, l.Seal.Seal))
		case l.Key != nil:
			list = append(list, "key "+l.Key.Action)
		default:
			list = append(list, string(l.Type))
		}
	}
	return list
}

func checkpoints(store *sinktest.Memory) (sizes []int64) {
	for _, key := range store.Keys() {
		if size, ok := tlog.ParseCheckpointKey(key); ok {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

func TestEachSealIsInTheLog(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	report := mustExport(t, i, s, writeLines(t, append(records("x", 9, 5), records("x", 10, 5)...)...))
	mustExport(t, i, s, writeLines(t, records("y", 10, 5)...))
	mustExport(t, i, s, writeLines(t, records("y", 10, 5)...)) // nothing new: no checkpoint
	if diff := cmp.Diff([]string{"key genesis", "seal audit 1", "seal audit 2", "seal audit 3"}, leaves(t, store)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{3, 4}, checkpoints(store)); diff != "" {
		t.Errorf("one checkpoint a run: %s", diff)
	}
	if report.Head == nil || report.Head.Size != 3 || report.Head.Checkpoint != tlog.CheckpointKey(3) || report.Head.Origin != s.Origin {
		t.Errorf("the report has head %+v", report.Head)
	}
	mustVerify(t, store, i.key.Public())
}

// A seal whose run ended before its leaf is in the log after the next run.
func TestALeafThatIsMissingIsAdded(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	path := writeLines(t, records("x", 9, 5)...)
	store.FailKey("put", "log/next/", sinktest.Fault{Err: sinktest.ErrUnavailable})
	if _, err := i.export(t, s, path); !errors.Is(err, sinktest.ErrUnavailable) || !strings.Contains(err.Error(), "sealed, but not in the store's log") {
		t.Fatalf("got %v", err)
	}
	store.Heal()
	mustExport(t, i, s, path)
	if diff := cmp.Diff([]string{"key genesis", "seal audit 1"}, leaves(t, store)); diff != "" {
		t.Error(diff)
	}
	mustVerify(t, store, i.key.Public())
}

func TestALogThatKnowsMoreThanTheStoreIsRefused(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	mustExport(t, i, i.settings(store), writeLines(t, append(records("x", 9, 5), records("x", 10, 5)...)...))
	for _, key := range store.Keys() {
		if strings.HasPrefix(key, "seals/audit/00000002/") {
			store.Erase(key)
		}
	}
	i.loseData(t) // with it the ledger sees that its newest seal is gone
	var hint *sink.HintError
	_, err := i.export(t, i.settings(store), writeLines(t, records("y", 11, 5)...))
	if !errors.Is(err, sink.ErrConflict) || !errors.As(err, &hint) {
		t.Errorf("got %v, want a conflict with a hint", err)
	}
}

func TestUnsignedSeals(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Key = nil
	report := mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	if report.Head != nil {
		t.Errorf("an unsigned store has a log: %+v", report.Head)
	}
	note := store.Bytes(seal.NoteKey("audit", 1))
	if _, err := seal.OpenUnsigned(note); err != nil {
		t.Error(err)
	}
	// Another machine takes over what is there.
	i.loseData(t)
	mustExport(t, i, s, writeLines(t, records("y", 9, 5)...))
	for _, key := range store.Keys() {
		if strings.HasPrefix(key, tlog.Prefix) || strings.HasPrefix(key, "keys/") {
			t.Errorf("an unsigned store has %s", key)
		}
	}
	first, _, _ := strings.Cut(textOf(t, mustVerify(t, store)), "\n")
	if !strings.Contains(first, "UNSIGNED") {
		t.Errorf("verify begins with %q", first)
	}
}

func textOf(t *testing.T, r *verify.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestASignedStoreTakesNoUnsignedSeals(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 9, 5)...))
	s := i.settings(store)
	s.Key = nil
	var hint *sink.HintError
	if _, err := i.export(t, s, writeLines(t, records("x", 10, 5)...)); !errors.Is(err, sink.ErrConflict) || !errors.As(err, &hint) {
		t.Errorf("got %v, want a conflict with a hint", err)
	}
}

func TestAnotherKeyIsRefused(t *testing.T) {
	i, other, store := newInstallation(t), newInstallation(t), memory(t)
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 9, 5)...))
	before := len(store.Keys())
	if _, err := other.export(t, other.settings(store), writeLines(t, records("x", 10, 5)...)); !errors.Is(err, tlog.ErrUnknownKey) {
		t.Errorf("got %v, want ErrUnknownKey", err)
	}
	if after := len(store.Keys()); after != before {
		t.Errorf("%d objects were put", after-before)
	}
}

func newKey(t *testing.T) seal.Key {
	t.Helper()
	key, err := seal.GenerateKey(filepath.Join(t.TempDir(), "next.key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func change(t *testing.T, s batch.Settings, do func(*batch.Roller) error) error {
	t.Helper()
	r, err := batch.Open(t.Context(), s)
	if err != nil {
		return err
	}
	return errors.Join(do(r), r.Close())
}

func TestAKeyIsReplacedAndRevoked(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	first, next := i.key, newKey(t)
	s := i.settings(store)
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	if err := change(t, s, func(r *batch.Roller) error { _, _, err := r.RotateKey(t.Context(), next); return err }); err != nil {
		t.Fatal(err)
	}
	if _, err := i.export(t, s, writeLines(t, records("x", 10, 5)...)); !errors.Is(err, tlog.ErrKeyRange) {
		t.Errorf("the key that was replaced: got %v, want ErrKeyRange", err)
	}
	s.Key = next
	mustExport(t, i, s, writeLines(t, records("x", 10, 5)...))
	mustVerify(t, store, first.Public())
	mustVerify(t, store, next.Public())
	if diff := cmp.Diff([]string{"key genesis", "seal audit 1", "key rotate", "seal audit 2"}, leaves(t, store)); diff != "" {
		t.Error(diff)
	}

	if err := change(t, s, func(r *batch.Roller) error {
		_, _, err := r.RevokeKey(t.Context(), first.Public().ID(), 1, "the laptop was stolen")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	report, err := verify.Run(t.Context(), store, &verify.Options{Keys: []seal.PublicKey{next.Public()}, Now: func() time.Time { return now.Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if report.ExitCode() == 0 {
		t.Errorf("a seal that a revoked key signed passes:\n%s", textOf(t, report))
	}
	// The log goes on all the same.
	mustExport(t, i, s, writeLines(t, records("x", 11, 5)...))
}

// place is an anchor that fails on demand.
type place struct {
	kind  string // blank: a witness
	err   error
	after int64 // up to that size it does not fail
	sizes []int64
}

func (p *place) Name() string { return "elsewhere" + p.kind }
func (p *place) Kind() string {
	if p.kind != "" {
		return p.kind
	}
	return anchor.KindWitness
}
func (p *place) Submit(ctx context.Context, s anchor.Submission) (anchor.Receipt, error) {
	if p.err != nil && s.Size > p.after {
		return anchor.Receipt{}, p.err
	}
	old := int64(0)
	if len(p.sizes) > 0 {
		old = p.sizes[len(p.sizes)-1]
	}
	if _, err := s.Prove(ctx, old); old > 0 && err != nil {
		return anchor.Receipt{}, err
	}
	p.sizes = append(p.sizes, s.Size)
	return anchor.Receipt{Ext: anchor.ExtCosignature, Data: []byte("— elsewhere AAAA\n"), By: "elsewhere", At: now}, nil
}

func TestAnAnchorThatIsAwayIsFilledInLater(t *testing.T) {
	i, store, p := newInstallation(t), memory(t), &place{}
	s := i.settings(store)
	s.Anchors = []anchor.Anchor{p}
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	p.err = errors.New("connection refused")
	report := mustExport(t, i, s, writeLines(t, records("x", 10, 5)...))
	want := []batch.AnchorState{{Name: "elsewhere", Kind: "witness", Size: 2, By: "elsewhere", At: now, Error: "connection refused", Since: now}}
	if diff := cmp.Diff(want, report.Anchors); diff != "" {
		t.Errorf("while it is away: %s", diff)
	}
	status, err := batch.ReadStatus(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, status.Anchors); diff != "" || status.Head == nil || status.Head.Size != 3 {
		t.Errorf("status: head %+v, %s", status.Head, diff)
	}
	p.err = nil
	report = mustExport(t, i, s, writeLines(t, records("x", 10, 5)...)) // nothing new, but the anchor
	want = []batch.AnchorState{{Name: "elsewhere", Kind: "witness", Size: 3, By: "elsewhere", At: now}}
	if diff := cmp.Diff(want, report.Anchors); diff != "" {
		t.Errorf("when it is back: %s", diff)
	}
	if diff := cmp.Diff([]int64{2, 3, 3}, p.sizes); diff != "" { // asked of it, and given it
		t.Error(diff)
	}
	for _, size := range p.sizes {
		if store.Bytes(tlog.AnchorKey(size, "elsewhere", anchor.ExtCosignature)) == nil {
			t.Errorf("the receipt for size %d is not in the store", size)
		}
	}
}

// An anchor that knows another history is what anchors are for: it must not look like one that is away.
func TestAnAnchorThatKnowsAnotherHistoryEndsTheRun(t *testing.T) {
	for name, fault := range map[string]error{"forked": anchor.ErrForked, "ahead": anchor.ErrAhead} {
		i, store, p := newInstallation(t), memory(t), &place{}
		s := i.settings(store)
		s.Anchors = []anchor.Anchor{p}
		mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
		p.after, p.err = 2, &sink.HintError{Err: fmt.Errorf("elsewhere: %w", fault), Hint: "find out who"} // what it knows was added while the run was at work
		var hint *sink.HintError
		if _, err := i.export(t, s, writeLines(t, records("x", 10, 5)...)); !errors.Is(err, fault) || !errors.As(err, &hint) {
			t.Errorf("%s: got %v", name, err)
		}
		// What came is sealed, and the log has it; status tells what is wrong.
		if diff := cmp.Diff([]int64{2, 3}, checkpoints(store)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		status, err := batch.ReadStatus(s)
		if err != nil || len(status.Anchors) != 1 || !strings.Contains(status.Anchors[0].Error, fault.Error()) {
			t.Errorf("%s: status %+v, %v", name, status, err)
		}
	}
}

// Where nothing is remembered, an anchor knows whether the store was rolled back. The log must not be parted by finding out too late.
func TestAStoreThatWasRolledBackIsNotTakenForTheLog(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Anchors = []anchor.Anchor{anchor.NewStore("elsewhere", sinktest.NewMemory(t, &sinktest.Options{AllowConflict: true}), nil, nil)}
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	rolledBack := store.Clone(t)
	before := rolledBack.Keys()
	mustExport(t, i, s, writeLines(t, records("x", 10, 5)...))
	s.Store = rolledBack
	i.loseData(t)
	path := writeLines(t, records("x", 11, 5)...)
	for range 2 { // nothing was remembered meanwhile
		var hint *sink.HintError
		_, err := i.export(t, s, path)
		if !errors.Is(err, anchor.ErrAhead) || !errors.As(err, &hint) || !strings.Contains(hint.Hint, "--take-over") {
			t.Fatalf("got %v, want ErrAhead with a hint", err)
		}
		if diff := cmp.Diff(before, rolledBack.Keys()); diff != "" {
			t.Fatalf("objects were put: %s", diff)
		}
	}
	// Who knows what he does goes on, and is told again: the anchor has another checkpoint of that size.
	s.TakeOver = true
	if _, err := i.export(t, s, path); !errors.Is(err, anchor.ErrForked) {
		t.Errorf("taken over: got %v, want ErrForked", err)
	}
	if diff := cmp.Diff([]int64{2, 3}, checkpoints(rolledBack)); diff != "" {
		t.Error(diff)
	}
}

// snapshot is a data folder and its store as they were, as those of a machine are that is set back to a copy of its disk.
type snapshot struct {
	i     *installation
	store *sinktest.Memory
}

func (i *installation) snapshot(t *testing.T, store *sinktest.Memory) snapshot {
	t.Helper()
	old := snapshot{i.twin(t), store.Clone(t)}
	if err := os.CopyFS(old.i.dir, os.DirFS(i.dir)); err != nil {
		t.Fatal(err)
	}
	return old
}

// witnessOf returns a witness of the installation's log, and an anchor that asks it.
func (i *installation) witnessOf(t *testing.T) anchor.Anchor {
	t.Helper()
	key, _, err := witness.GenerateKey(filepath.Join(t.TempDir(), "key"), "witness.example.org/w")
	if err != nil {
		t.Fatal(err)
	}
	origin := i.settings(nil).Origin
	named, err := i.key.Public().Named(origin)
	if err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(witness.Options{Dir: t.TempDir(), Signer: key, Logs: []witness.Log{{Origin: origin, Keys: []string{named.VerifierKey()}}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w)
	t.Cleanup(func() {
		server.Close()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := anchor.NewWitness("w", server.URL, w.VerifierKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A machine that was set back remembers no more than its store has: an anchor knows better, and is asked before the log is parted.
func TestAMachineThatWasSetBackSealsNothing(t *testing.T) {
	for _, kind := range []string{anchor.KindStore, anchor.KindWitness} {
		t.Run(kind, func(t *testing.T) {
			i, store := newInstallation(t), memory(t)
			s := i.settings(store)
			a := anchor.NewStore("elsewhere", sinktest.NewMemory(t, nil), nil, nil)
			if kind == anchor.KindWitness {
				a = i.witnessOf(t)
			}
			s.Anchors = []anchor.Anchor{a}
			ninth, tenth := writeLines(t, records("x", 9, 5)...), writeLines(t, records("x", 10, 5)...)
			if report := mustExport(t, i, s, ninth); report.Anchors[0].Size != 2 {
				t.Fatalf("the first run: %+v", report.Anchors)
			}
			old := i.snapshot(t, store)
			if report := mustExport(t, i, s, tenth); report.Anchors[0].Size != 3 {
				t.Fatalf("the second: %+v", report.Anchors)
			}
			s.Store, s.Data = old.store, old.i.settings(nil).Data
			before := old.store.Keys()
			for _, path := range []string{ninth, tenth, ninth} { // be there something to seal or not
				var hint *sink.HintError
				_, err := old.i.export(t, s, path)
				if !errors.Is(err, anchor.ErrAhead) || !errors.As(err, &hint) || !strings.Contains(hint.Hint, "--take-over") {
					t.Fatalf("got %v, want ErrAhead with a hint", err)
				}
				if diff := cmp.Diff(before, old.store.Keys()); diff != "" {
					t.Fatalf("objects were put: %s", diff)
				}
			}
			// Brought back to what the anchor knows, it goes on.
			s.Store, s.Data = store, i.settings(nil).Data
			mustExport(t, i, s, writeLines(t, records("x", 11, 5)...))
			// Who knows what he does parts the log, and is told.
			s.Store, s.Data, s.TakeOver = old.store, old.i.settings(nil).Data, true
			if _, err := old.i.export(t, s, tenth); !errors.Is(err, anchor.ErrForked) && !errors.Is(err, anchor.ErrAhead) {
				t.Errorf("taken over: %v", err)
			}
			if diff := cmp.Diff([]int64{2, 3}, checkpoints(old.store)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A service asks an anchor once, or until it has answered: one that was away when it began is asked before the next seal.
func TestAStandingMachineThatWasSetBackSealsNothing(t *testing.T) {
	i, w := newInstallation(t), &place{}
	clock := day(10).Add(12 * time.Hour)
	store := sinktest.NewMemory(t, &sinktest.Options{Now: func() time.Time { return clock }})
	s := i.settings(store)
	s.Now, s.Anchors = func() time.Time { return clock }, []anchor.Anchor{w}
	s.Policies = retention.Policies{{Class: "standard", EventTypes: []string{"*"}}}
	s.Trails[0].Org = "acme"
	var standing *batch.Standing
	start := func() {
		t.Helper()
		var err error
		if standing, err = batch.OpenStanding(s, 1<<20, batch.Admission{}); err != nil {
			t.Fatal(err)
		}
	}
	stop := func() {
		t.Helper()
		if err := standing.Close(); err != nil {
			t.Error(err)
		}
	}
	roll := func(takeOver bool) error {
		clock = clock.Add(24 * time.Hour)
		_, err := standing.Roll(t.Context(), batch.Plan{Since: func(string) (event.Day, bool) { return event.DayOf(day(10)), true }, TakeOver: takeOver})
		return err
	}
	given := func(what string, err error, want, sealed []int64) {
		t.Helper()
		if diff := cmp.Diff(want, w.sizes) + cmp.Diff(sealed, checkpoints(store)); diff != "" || err != nil {
			t.Errorf("%s: %v, %s", what, err, diff)
		}
		w.sizes = nil
	}
	start()
	given("a new log", roll(false), []int64{2}, []int64{2})
	given("the next day", roll(false), []int64{2, 3}, []int64{2, 3})
	given("once it has answered", roll(false), []int64{4}, []int64{2, 3, 4})
	stop()
	start()
	given("after a restart", roll(false), []int64{4, 5}, []int64{2, 3, 4, 5})
	stop()
	start()
	w.err = errors.New("connection refused")
	given("one that is away", roll(false), nil, []int64{2, 3, 4, 5, 6})
	w.err = fmt.Errorf("elsewhere: %w", anchor.ErrAhead)
	for range 2 {
		if err := roll(false); !errors.Is(err, anchor.ErrAhead) {
			t.Errorf("got %v, want ErrAhead", err)
		}
		given("one that knows a later log", nil, nil, []int64{2, 3, 4, 5, 6})
	}
	status, err := standing.Status()
	if err != nil || !strings.Contains(status.Anchors[0].Error, anchor.ErrAhead.Error()) {
		t.Errorf("status %+v, %v", status.Anchors, err)
	}
	for _, takeOver := range []bool{true, false} { // it is said once
		if err := roll(takeOver); !errors.Is(err, anchor.ErrAhead) {
			t.Errorf("taken over: %v, want to be told", err)
		}
	}
	if sizes := checkpoints(store); len(sizes) != 7 {
		t.Errorf("taken over: checkpoints %v", sizes)
	}
	w.err = nil
	if err := roll(false); err != nil {
		t.Error(err)
	}
	if status, err = standing.Status(); err != nil || status.Anchors[0].Error != "" {
		t.Errorf("status %+v, %v", status.Anchors, err)
	}
	stop()
}

// Only those that remember are asked of the log as it is, be it remembered here or not; none of them is waited for.
func TestAnchorsAreAskedOfALogThatIsFound(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	w, stamps := &place{}, &place{kind: anchor.KindTimestamp}
	s := i.settings(store)
	s.Anchors = []anchor.Anchor{w, stamps}
	sizes := func(what string, want, wantStamps []int64) {
		t.Helper()
		if diff := cmp.Diff(want, w.sizes) + cmp.Diff(wantStamps, stamps.sizes); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	w.err = fmt.Errorf("%w: it does not know the log", anchor.ErrRefused)
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	w.err = nil
	mustExport(t, i, s, writeLines(t, records("x", 10, 5)...))
	sizes("a log that is remembered", []int64{2, 3}, []int64{2, 3})
	i.loseData(t)
	mustExport(t, i, s, writeLines(t, records("x", 11, 5)...))
	sizes("one that was found", []int64{2, 3, 3, 4}, []int64{2, 3, 4})
	for what, err := range map[string]error{"away": errors.New("connection refused"), "refused": anchor.ErrRefused} {
		i.loseData(t)
		w.err = err
		if report := mustExport(t, i, s, writeLines(t, records(what, 12, 5)...)); report.Anchors[0].Error == "" || report.Anchors[0].Size != 0 {
			t.Errorf("%s: %+v", what, report.Anchors[0])
		}
	}
	if diff := cmp.Diff([]int64{2, 3, 4, 5, 6}, checkpoints(store)); diff != "" {
		t.Error(diff)
	}
}

func TestAnUnsignedStoreTakesNoSignedSeals(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Key = nil
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	var hint *sink.HintError
	if _, err := i.export(t, i.settings(store), writeLines(t, records("x", 10, 5)...)); !errors.Is(err, sink.ErrConflict) || !errors.As(err, &hint) {
		t.Errorf("got %v, want a conflict with a hint", err)
	}
	for _, key := range store.Keys() {
		if strings.HasPrefix(key, tlog.Prefix) {
			t.Errorf("%s was put", key)
		}
	}
}

func TestDeclaredGapsStandInTheManifest(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	at := func(hour int) time.Time { return day(9).Add(time.Duration(hour) * time.Hour) }
	s.Gaps = []seal.Gap{
		{From: at(20), To: at(28), Reason: "the feed was down"}, {From: at(3), To: at(4), Reason: "the disk was full"}, {From: at(100), To: at(101), Reason: "told of no day"},
	}
	report := mustExport(t, i, s, writeLines(t, append(records("x", 9, 5), records("x", 10, 5)...)...))
	if diff := cmp.Diff([]seal.Gap{{From: at(3), To: at(4), Reason: "the disk was full"}, {From: at(20), To: at(24), Reason: "the feed was down"}}, manifestOf(t, store, 1).Gaps); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]seal.Gap{{From: at(24), To: at(28), Reason: "the feed was down"}}, manifestOf(t, store, 2).Gaps); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(s.Gaps[2:], report.UntoldGaps); diff != "" {
		t.Error(diff)
	}
	if note := string(store.Bytes(seal.NoteKey("audit", 1))); !strings.Contains(note, "the feed was down") {
		t.Error("the note does not tell of the gap")
	}
	mustVerify(t, store, i.key.Public())
}

// A seal that is older than the one before it looks back-dated for good: none is made.
func TestAClockThatIsBehindSealsNothing(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	mustExport(t, i, s, writeLines(t, records("x", 9, 5)...))
	s.Now = func() time.Time { return now.Add(-time.Hour) }
	var hint *sink.HintError
	if _, err := i.export(t, s, writeLines(t, records("x", 10, 5)...)); !errors.Is(err, batch.ErrClock) || !errors.As(err, &hint) {
		t.Fatalf("an hour behind: %v", err)
	}
	s.Now = func() time.Time { return now.Add(-10 * time.Minute) } // clocks differ
	mustExport(t, i, s, writeLines(t, records("x", 10, 5)...))
	mustVerify(t, store, i.key.Public())
}

func TestTheStoresClockIsTold(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 9, 5)...))
	store.SetOffset(-1500 * time.Millisecond)
	mustExport(t, i, i.settings(store), writeLines(t, records("x", 10, 5)...))
	if ms := manifestOf(t, store, 2).ClockOffset; ms == nil || *ms != -1500 {
		t.Errorf("the manifest has clock offset %v", ms)
	}
	if ms := manifestOf(t, store, 1).ClockOffset; ms != nil {
		t.Errorf("a clock that is not known is told as %d", *ms)
	}
}

// Gaps that overlap are one in a manifest, which has none that do.
func TestDeclaredGapsThatOverlap(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	at := func(hour int) time.Time { return day(9).Add(time.Duration(hour) * time.Hour) }
	s.Gaps = []seal.Gap{
		{From: at(5), To: at(9), Reason: "the feed was down"}, {From: at(3), To: at(6), Reason: "the disk was full"}, {From: at(4), To: at(5), Reason: "the disk was full"}, {From: at(6), To: at(8), Reason: "the disk was full"},
		{From: at(9), To: at(10), Reason: "the feed was down"},
	}
	mustExport(t, i, s, writeLines(t, records("x", 9, 3)...))
	want := []seal.Gap{{From: at(3), To: at(9), Reason: "the disk was full; the feed was down"}, {From: at(9), To: at(10), Reason: "the feed was down"}}
	if diff := cmp.Diff(want, manifestOf(t, store, 1).Gaps); diff != "" {
		t.Error(diff)
	}
}
