package tamper_test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/file"
)

// testCase is one case of the suite.
type testCase struct {
	// number is that of docs/TAMPER.md; 0 for a negative vector beyond the numbered cases.
	number   int
	title    string
	variants []variant
}

// group is a chapter of the document.
type group struct {
	title string
	cases []testCase
}

// variant is one way to do the damage, and all that the report must say of it.
type variant struct {
	// does is for the document: what is done, in one sentence.
	does string
	// with is what the auditor gives the verifier: deep, partial, key, policy, checkpoint and tsa-ca.
	with []string
	// says are the codes of status altered, incomplete and unreadable: these, and no others. notes are codes of other statuses that must be there too.
	says, notes []string
	exit        int
	// unseen says that nothing in the store can tell of the damage, and what an auditor needs who is to see it: the report must not claim then that the head is
	// anchored, unless anchored says up to which day it is.
	unseen   string
	anchored int
	// names is the object that a finding must name, if do does not say.
	names func(w *world) string
	// folder repeats it in a plain folder.
	folder bool
	// do does the damage; or both, which can do it on a real server too; or the lock is weak, from the first there, and afterwards in memory.
	do   func(f *forger)
	both func(h hands, w *world)
	weak *weak
}

// real reports whether a real server can be damaged in this way.
func (v variant) real() bool { return v.both != nil || v.weak != nil }

// suite are all cases, in the order of the document.
func suite() []group {
	groups := []group{
		{"Files", append(fileCases(), rowCases()...)},
		{"Seals", sealCases()},
		{"Keys and signatures", keyCases()},
		{"The log and its end", logCases()},
		{"Anchors", anchorCases()},
		{"Versions, markers, locks and rules of the store", storeCases()},
		{"Hostile input", hostileCases()},
		{"Notes", noteVectors()},
	}
	for _, g := range groups {
		slices.SortFunc(g.cases, func(a, b testCase) int { return cmp.Compare(a.number, b.number) })
	}
	return groups
}

func TestTamper(t *testing.T) {
	effort.NeedsThorough(t)
	w := newWorld(t)
	m := &mirror{dir: t.TempDir()}
	t.Run("the good store", func(t *testing.T) { testGood(t, w) })
	t.Run("proofs", func(t *testing.T) { testProofs(t, w) })
	for _, g := range suite() {
		for _, c := range g.cases {
			for i, v := range c.variants {
				t.Run(fmt.Sprintf("%02d %s/%d %s", c.number, c.title, i+1, v.does), func(t *testing.T) {
					t.Parallel()
					testVariant(t, w, m, v)
				})
			}
		}
	}
}

// testGood makes sure that what the cases find is not there before.
func testGood(t *testing.T, w *world) {
	for _, v := range []variant{{}, {with: []string{"deep"}}, {with: []string{"key", "policy", "checkpoint", "tsa-ca", "deep"}}, {with: []string{"policy"}}, {with: []string{"tsa-ca"}}} {
		f := &forger{Memory: w.memory, t: t, w: w}
		r := f.verify(w.memory, v.with)
		if r.ExitCode() != 0 || !r.Levels.Files.Intact || !r.Levels.Chain.Intact || !r.Levels.Chain.Logged || !r.Levels.Files.Locks {
			t.Errorf("with %q: exit code %d, levels %+v\n%s", v.with, r.ExitCode(), r.Levels, text(t, r))
		}
		if anchored := len(v.with) > 0 && v.with[0] != "deep"; r.Levels.Head.Anchored != anchored {
			t.Errorf("with %q: anchored %v\n%s", v.with, r.Levels.Head.Anchored, text(t, r))
		}
	}
}

func testVariant(t *testing.T, w *world, m *mirror, v variant) {
	f := &forger{Memory: w.memory.Clone(t), t: t, w: w, o: &verify.Options{}}
	if v.names != nil {
		f.at = v.names(w)
	}
	switch {
	case v.do != nil:
		v.do(f)
	case v.both != nil:
		v.both(f, w)
	default:
		key := v.weak.key(w)
		f.SetLock(key, v.weak.lock(f.History(key)[0].Lock))
	}
	v.check(t, f, f.verify(f.Memory, v.with))
	checkReads(f)
	if v.folder {
		t.Run("in a folder", func(t *testing.T) {
			f.t = t
			v.check(t, f, m.verify(f, v.with))
		})
	}
}

// verify runs the verifier with what the auditor has.
func (f *forger) verify(store sink.Store, with []string) *verify.Report {
	f.t.Helper()
	o := verify.Options{}
	if f.o != nil {
		o = *f.o
	}
	for _, has := range with {
		switch has {
		case "deep":
			o.Deep = true
		case "partial":
			o.Partial = true
		case "key":
			if o.Keys == nil {
				o.Keys = []seal.PublicKey{f.w.second.Public()}
			}
		case "policy":
			if o.Policy == nil {
				o.Policy = f.w.policy
			}
		case "checkpoint":
			if o.Checkpoints == nil {
				o.Checkpoints = [][]byte{f.w.head()}
			}
		case "tsa-ca":
			if o.TimestampRoots == nil {
				o.TimestampRoots = f.w.roots
			}
		default:
			f.t.Fatalf("nobody can give %q", has)
		}
	}
	if o.Now == nil {
		o.Now = func() time.Time { return f.w.now }
	}
	o.TempDir = f.t.TempDir()
	r, err := verify.Run(f.t.Context(), store, &o)
	f.must(err)
	return r
}

// check compares a report with what it must say.
func (v variant) check(t *testing.T, f *forger, r *verify.Report) {
	t.Helper()
	found, notes := map[string]bool{}, map[string]bool{}
	named := false
	for _, finding := range r.Findings {
		switch finding.Status {
		case verify.Altered, verify.Incomplete, verify.Unreadable:
			found[finding.Code] = true
		default:
			notes[finding.Code] = true
		}
		named = named || finding.Key == f.at
	}
	if diff := gocmp.Diff(slices.Sorted(slices.Values(v.says)), slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	for _, code := range v.notes {
		if !notes[code] {
			t.Errorf("no note %s", code)
		}
	}
	if r.ExitCode() != v.exit {
		t.Errorf("exit code %d, want %d", r.ExitCode(), v.exit)
	}
	if f.at != "" && !named {
		t.Errorf("no finding is about %s", f.at)
	}
	if v.unseen != "" {
		v.checkUnseen(t, f, r)
	}
	if r.ExitCode() == 0 && v.unseen == "" && len(v.notes) == 0 {
		t.Error("the damage passed unseen")
	}
	if t.Failed() {
		t.Log(text(t, r))
	}
}

// checkUnseen makes sure that a report which cannot tell of the damage does not claim more than it can.
func (v variant) checkUnseen(t *testing.T, f *forger, r *verify.Report) {
	t.Helper()
	head := r.Levels.Head
	if v.anchored == 0 {
		if head.Anchored || !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Code == "head-unanchored" }) {
			t.Errorf("the report claims that the head is anchored: %+v", head)
		}
		return
	}
	if want := f.w.sizes[v.anchored-1]; head.Size != want || !head.Anchored || len(head.Anchors) == 0 || head.Anchors[0].At.IsZero() {
		t.Errorf("the report does not say that the head of %d leaves is the one that is anchored, and when: %+v", want, head)
	}
}

func text(t *testing.T, r *verify.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// mirror is a plain folder with a copy of a store, such as an auditor takes home. Only what differs from the copy before is written.
type mirror struct {
	mu   sync.Mutex // guards the folder and what follows
	dir  string
	held map[string][]byte
}

// verify copies the newest versions of the forger's store into the folder, and verifies it there.
func (m *mirror) verify(f *forger, with []string) *verify.Report {
	f.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	now := map[string][]byte{}
	for _, key := range f.Keys() {
		if data := f.Bytes(key); data != nil {
			now[key] = data
		}
	}
	for key := range m.held {
		if _, kept := now[key]; !kept {
			f.must(os.Remove(filepath.Join(m.dir, filepath.FromSlash(key))))
		}
	}
	for key, data := range now {
		if was, there := m.held[key]; there && bytes.Equal(was, data) {
			continue
		}
		path := filepath.Join(m.dir, filepath.FromSlash(key))
		f.must(os.MkdirAll(filepath.Dir(path), 0o700))
		f.must(os.WriteFile(path, data, 0o600))
	}
	m.held = now
	store, err := file.New(m.dir, nil)
	f.must(err)
	return f.verify(store, with)
}

// lines cuts a text into its lines, with their line feeds.
func lines(content []byte) [][]byte { return slices.Collect(bytes.Lines(content)) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
