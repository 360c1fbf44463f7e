package verify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/event"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/sinktest"
)

func memory(t *testing.T) *sinktest.Memory {
	return sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return verifytest.Day(1).Start() }})
}

func now() time.Time { return verifytest.Now }

// run verifies a store, and prints the report if the test fails.
func run(t *testing.T, store sink.Store, o *verify.Options) *verify.Report {
	t.Helper()
	if o == nil {
		o = &verify.Options{}
	}
	if o.Now == nil {
		o.Now = now
	}
	r, err := verify.Run(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil {
				t.Error(err)
			}
			t.Log(b.String())
		}
	})
	return r
}

func TestGoodStoreInMemory(t *testing.T) {
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	for name, o := range map[string]*verify.Options{
		"nothing in hand": {},
		"first key":       {Keys: []seal.PublicKey{good.First.Public()}},
		"second key":      {Keys: []seal.PublicKey{good.Second.Public()}},
		"head":            {Checkpoints: [][]byte{good.Head}},
		"earlier":         {Checkpoints: [][]byte{good.Earlier}},
		"deep":            {Deep: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, store, o)
			if r.ExitCode() != 0 || !r.Levels.Files.Intact || !r.Levels.Chain.Intact || !r.Levels.Chain.Logged || !r.Levels.Files.Locks {
				t.Errorf("exit code %d, levels %+v", r.ExitCode(), r.Levels)
			}
			if (len(r.Levels.Chain.VouchedBy) > 0) != (len(o.Keys) > 0) {
				t.Errorf("vouched for by %q", r.Levels.Chain.VouchedBy)
			}
			if anchored := name == "head"; r.Levels.Head.Anchored != anchored {
				t.Errorf("anchored: %v", r.Levels.Head.Anchored)
			}
		})
	}
}

func folder(t *testing.T) *file.Store {
	t.Helper()
	store, err := file.New(sinktest.Folder(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestGoodStoreInAFolder(t *testing.T) {
	store := folder(t)
	verifytest.GoodStore(t, store, sink.None)
	r := run(t, store, nil)
	if r.ExitCode() != 0 || !r.Levels.Files.Intact || !r.Levels.Chain.Intact {
		t.Errorf("exit code %d, levels %+v", r.ExitCode(), r.Levels)
	}
}

func TestUnsignedStore(t *testing.T) {
	store := memory(t)
	b := verifytest.NewUnsigned(t, store, sink.Compliance)
	b.Seal(oneDay(1))
	b.Seal(oneDay(2))
	r := run(t, store, nil)
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if r.ExitCode() != 0 || r.Levels.Chain.Signed || !strings.HasPrefix(text.String(), "UNSIGNED") {
		t.Errorf("exit code %d, %+v, text %.80q", r.ExitCode(), r.Levels.Chain, &text)
	}
	r = run(t, store, &verify.Options{Keys: []seal.PublicKey{b.NewKey("mine").Public()}})
	if diff := cmp.Diff([]string{"unsigned-key-given"}, codes(r)); diff != "" {
		t.Errorf("findings with a key (-want +got):\n%s", diff)
	}
	if r.ExitCode() != 2 || !has(r, "unsigned") {
		t.Errorf("exit code %d", r.ExitCode())
	}
	s := store.Clone(t)
	s.Replace(noteKey(1), s.Bytes(noteKey(2)))
	if diff := cmp.Diff([]string{"note-text"}, codes(run(t, s, nil))); diff != "" {
		t.Errorf("findings with another note (-want +got):\n%s", diff)
	}
}

// copyTo copies the newest versions of a store into a folder.
func copyTo(t *testing.T, from *sinktest.Memory) string {
	t.Helper()
	dir := sinktest.Folder(t)
	copyInto(t, from, dir)
	return dir
}

func copyInto(t *testing.T, from *sinktest.Memory, dir string) {
	t.Helper()
	for _, key := range from.Keys() {
		path := filepath.Join(dir, filepath.FromSlash(key))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, from.Bytes(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func openFolder(t *testing.T, dir string) *file.Store {
	t.Helper()
	store, err := file.New(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestCopiedFolder(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	dir := copyTo(t, store)
	o := &verify.Options{Keys: []seal.PublicKey{good.First.Public()}, Checkpoints: [][]byte{good.Head}, Deep: true}
	r := run(t, openFolder(t, dir), o)
	if r.ExitCode() != 0 || r.Levels.Files.Locks || !has(r, "locks-not-checked") || !r.Levels.Head.Anchored || r.Counts.Compared != 4*r.Counts.Rows {
		t.Errorf("exit code %d, levels %+v, counts %+v", r.ExitCode(), r.Levels, r.Counts)
	}

	// A link where a file should be, one that leads out, and one that nothing asks for.
	path := filepath.Join(dir, filepath.FromSlash(firstCSV))
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink(path+".moved", path), os.Symlink("/etc/passwd", filepath.Join(dir, "csv", "passwd"))); err != nil {
		t.Fatal(err)
	}
	r = run(t, openFolder(t, dir), nil)
	if diff := cmp.Diff([]string{"not-a-file", "unlisted-object"}, codes(r)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if r.Tally[verify.Altered] != 3 {
		t.Errorf("%d findings", r.Tally[verify.Altered])
	}
}

// What a folder's listing leaves out is told as well.
func TestTemporaryFiles(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	verifytest.GoodStore(t, store, sink.Compliance)
	dir := copyTo(t, store)
	put := func(name string) {
		path := filepath.Join(dir, ".daybook-tmp", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("ABCDEFGHIJKLMNOPQRSTUVWXYZ.part")
	mustFind(t, run(t, openFolder(t, dir), nil), 0, "temporary-file")
	put("deep/hidden.csv")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, ".daybook-tmp", "ABCDEFGHIJKLMNOPQRSTUVWXY2.part")); err != nil {
		t.Fatal(err)
	}
	r := run(t, openFolder(t, dir), nil)
	if mustFind(t, r, 1, "temporary-file", "unlisted-object"); r.Tally[verify.Altered] != 2 || r.Levels.Files.Intact {
		t.Errorf("%d findings, levels %+v", r.Tally[verify.Altered], r.Levels)
	}
}

func TestAnchoredHead(t *testing.T) {
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	a, b := verifytest.NewWitness(t, "a.example"), verifytest.NewWitness(t, "b.example")
	tsa := verifytest.NewAuthority(t)
	s := store.Clone(t)
	lock := s.History(logs.CheckpointKey(23))[0].Lock
	s.Overwrite(logs.AnchorKey(23, "a", ".cosig"), a.Cosign(good.Head, verifytest.Now.Add(-time.Hour)), lock)
	s.Overwrite(logs.AnchorKey(23, "b", ".cosig"), b.Cosign(good.Head, verifytest.Now.Add(-time.Hour)), lock)
	s.Overwrite(logs.AnchorKey(23, "tsa", ".tsr"), tsa.Stamp(good.Head, verifytest.Now.Add(-time.Hour)), lock)
	key := good.Second.Public()
	for name, c := range map[string]struct {
		o        verify.Options
		anchored bool
		exit     int
	}{
		"nothing asked": {},
		"both":          {verify.Options{Policy: verifytest.Policy(key, a, b)}, true, 0},
		"one":           {verify.Options{Policy: verifytest.Policy(key, b)}, true, 0},
		"a third":       {verify.Options{Policy: verifytest.Policy(key, a, verifytest.NewWitness(t, "c.example"))}, false, 2},
		"retired key":   {verify.Options{Policy: verifytest.Policy(good.First.Public(), a)}, false, 2},
		"time stamp":    {verify.Options{TimestampRoots: tsa.Roots()}, true, 0},
		"other CA":      {verify.Options{TimestampRoots: verifytest.NewAuthority(t).Roots(), Policy: verifytest.Policy(key, a)}, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, s, &c.o)
			if r.Levels.Head.Anchored != c.anchored || r.ExitCode() != c.exit || len(r.Levels.Head.Anchors) != 3 {
				t.Errorf("anchored %v, exit code %d, %d anchors", r.Levels.Head.Anchored, r.ExitCode(), len(r.Levels.Head.Anchors))
			}
		})
	}
	t.Run("up to an earlier checkpoint", func(t *testing.T) {
		s := store.Clone(t)
		s.Overwrite(logs.AnchorKey(21, "a", ".cosig"), a.Cosign(s.Bytes(logs.CheckpointKey(22)), verifytest.Now), lock)
		s.Overwrite(logs.AnchorKey(22, "a", ".cosig"), a.Cosign(s.Bytes(logs.CheckpointKey(22)), verifytest.Now), lock)
		r := run(t, s, &verify.Options{Policy: verifytest.Policy(key, a)})
		if diff := cmp.Diff([]string{"anchor-stray", "quorum-missing"}, codes(r)); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
	})
}

func TestNarrowed(t *testing.T) {
	store := memory(t)
	verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	s.FlipBit(firstCSV, 100)
	for name, c := range map[string]struct {
		o    verify.Options
		exit int
	}{
		"its day":       {verify.Options{From: verifytest.Day(1), To: verifytest.Day(1)}, 1},
		"other days":    {verify.Options{From: verifytest.Day(2)}, 0},
		"another trail": {verify.Options{Trail: verifytest.Beta}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, s, &c.o)
			if r.ExitCode() != c.exit || r.Counts.Skipped == 0 || r.Counts.Seals != 21 {
				t.Errorf("exit code %d, counts %+v", r.ExitCode(), r.Counts)
			}
		})
	}
}

func TestSplitByProject(t *testing.T) {
	for _, projects := range []int{3, 100} { // one group, and several
		t.Run(fmt.Sprint(projects), func(t *testing.T) {
			store := memory(t)
			b := verifytest.New(t, store, sink.Compliance)
			b.Split, b.PartRows = true, 40
			rows := verifytest.Rows("standard", verifytest.Day(1), 300)
			for i := range rows {
				rows[i].Set(event.ProjectID, fmt.Sprintf("p%d", i%projects))
			}
			b.Seal(verifytest.Seal{Trail: verifytest.Acme, Day: verifytest.Day(1), Rows: map[string][]event.Event{"standard": rows}})
			b.Seal(verifytest.Seal{Trail: verifytest.Acme, Day: verifytest.Day(2)})
			b.Publish()
			temp := t.TempDir()
			r := run(t, store, &verify.Options{Deep: true, TempDir: temp})
			if r.ExitCode() != 0 || r.Counts.Compared != 4*300 {
				t.Errorf("exit code %d, %d rows compared", r.ExitCode(), r.Counts.Compared)
			}
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	for name, c := range map[string]struct {
		change func(content []byte) []byte
		want   string
	}{
		"another row":  {func(c []byte) []byte { return bytes.Replace(c, []byte("user-1"), []byte("user-2"), 1) }, "format-mismatch"},
		"a row less":   {func(c []byte) []byte { return bytes.Join(lines(c)[:len(lines(c))-1], nil) }, "format-rows"},
		"a row more":   {func(c []byte) []byte { return append(c, lines(c)[1]...) }, "format-rows"},
		"another file": {func([]byte) []byte { return []byte("x\n") }, "format-malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			store := memory(t)
			b := verifytest.New(t, store, sink.Compliance)
			b.Split, b.PartRows = true, 4
			s := oneDay(1)
			s.File = func(f *seal.File, content []byte) []byte {
				if f.Format == "csv" && f.Project == "project-1" {
					return c.change(content)
				}
				return nil
			}
			b.Seal(s)
			b.Publish()
			if diff := cmp.Diff([]string{c.want}, codes(run(t, store, &verify.Options{Deep: true}))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLogOfManyTiles(t *testing.T) {
	store := memory(t)
	b := verifytest.New(t, store, sink.Compliance)
	day := seal.Date{Day: verifytest.Day(1)}
	b.Seal(oneDay(1))
	for range 3 {
		for range 233 {
			b.Leaf(&logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{Action: logs.HoldPut, Trail: "x", From: day, To: day, Reason: "r", By: "b"}})
		}
		b.Publish()
	}
	if r := run(t, store, nil); r.ExitCode() != 0 || r.Counts.Leaves != 2+3*233 {
		t.Errorf("exit code %d, %d leaves", r.ExitCode(), r.Counts.Leaves)
	}
	for _, key := range []string{"log/tile/entries/000", "log/tile/0/001", "log/tile/1/000.p/2", "log/tile/0/001.p/212"} {
		s := store.Clone(t)
		s.FlipBit(key, 77)
		r := run(t, s, nil)
		got := codes(r)
		if !slices.Contains(got, "log-altered") || r.Findings[0].Key != key && key != "log/tile/entries/000" {
			t.Errorf("%s: found %q, first %v", key, got, r.Findings[0])
		}
	}
}

// A store that is hostile from beginning to end: what it says must not be believed before it is looked at.
func TestHostileSizes(t *testing.T) {
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	huge, err := logs.SignCheckpoint(logs.Checkpoint{Origin: verifytest.Origin, Size: logs.MaxSize, Root: seal.Sum([]byte("x"))}, good.Second)
	if err != nil {
		t.Fatal(err)
	}
	s.Overwrite(logs.CheckpointKey(logs.MaxSize), huge, sink.Lock{})
	s.Overwrite("seals/acme/18446744073709551615/manifest.json", []byte("{}"), sink.Lock{})
	s.Overwrite("seals/acme/281474976710656/manifest.json", []byte("{}"), sink.Lock{})
	s.Overwrite("seals/acme/99999999999999999999/manifest.json", []byte("{}"), sink.Lock{})
	s.Overwrite("log/tile/0/x999/x999/999.p/7", []byte("{}"), sink.Lock{})
	s.Overwrite("log/tile/4/x008/x388/608", []byte("{}"), sink.Lock{}) // its last leaf is beyond 2^63
	s.Overwrite("log/tile/4/x036/x028/x797/x018/963/000", []byte("{}"), sink.Lock{})
	s.Overwrite("log/next/999999999999", []byte("{}"), sink.Lock{})
	r := run(t, s, nil)
	for _, want := range []string{"log-object-missing", "unlisted-object", "manifest-invalid", "seal-missing"} {
		if !has(r, want) {
			t.Errorf("no finding %s", want)
		}
	}
	if r.Levels.Head.Size != 23 || len(r.Findings) > 20 {
		t.Errorf("head of %d leaves, %d findings", r.Levels.Head.Size, len(r.Findings))
	}
}

func TestAskedWrongly(t *testing.T) {
	for name, o := range map[string]*verify.Options{
		"policy":     {Policy: []byte("nonsense")},
		"checkpoint": {Checkpoints: [][]byte{[]byte("nonsense")}},
		"range":      {From: verifytest.Day(2), To: verifytest.Day(1)},
	} {
		if _, err := verify.Run(t.Context(), memory(t), o); !errors.Is(err, verify.ErrAsked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify.Run(cancelled, memory(t), nil); err == nil {
		t.Error("a cancelled verification has a report")
	}
}
