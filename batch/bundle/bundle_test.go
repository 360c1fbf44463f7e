package bundle_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/bundle"
	"daybook/batch/proof"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/event"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/sinktest"
)

func now() time.Time { return verifytest.Now }

// good is a store with two trails, ten days, two classes, an addendum and a rotation.
func good(t testing.TB) (*sinktest.Memory, *verifytest.Good) {
	t.Helper()
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Governance, Now: now})
	return store, verifytest.GoodStore(t, store, sink.Governance)
}

func options(g *verifytest.Good) *bundle.Options {
	return &bundle.Options{Verify: verify.Options{Now: now, Keys: []seal.PublicKey{g.Key.Public()}, Workers: 2}}
}

func write(t testing.TB, store sink.Store, o *bundle.Options) ([]byte, *bundle.Summary) {
	t.Helper()
	var b bytes.Buffer
	s, err := bundle.Write(context.Background(), store, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), s
}

// names returns the names in a zip, in its order.
func names(t testing.TB, data []byte) []string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range z.File {
		list = append(list, f.Name)
	}
	return list
}

// unpack unpacks a zip into an empty folder, with archive/zip or the unzip of the system.
func unpack(t testing.TB, data []byte, tool string) string {
	t.Helper()
	dir := sinktest.Folder(t)
	if tool != "" {
		need(t, tool)
		path := filepath.Join(t.TempDir(), "b.zip")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(tool, "-q", path, "-d", dir).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", tool, err, out)
		}
		return dir
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	return dir
}

func need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed here", tool)
		}
	}
}

// verified verifies what was unpacked, as a folder.
func verified(t testing.TB, dir string, o verify.Options) *verify.Report {
	t.Helper()
	store, err := file.New(filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Now, o.Partial = now, true
	r, err := verify.Run(context.Background(), store, &o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t testing.TB, r *verify.Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A bundle, unpacked in an empty folder, verifies with nothing but the key.
func TestBundleVerifies(t *testing.T) {
	store, g := good(t)
	for name, c := range map[string]struct {
		change func(*bundle.Options)
		tool   string
	}{
		"all":              {func(*bundle.Options) {}, "unzip"},
		"some days":        {func(o *bundle.Options) { o.From, o.To = verifytest.Day(3), verifytest.Day(4) }, ""},
		"a trail":          {func(o *bundle.Options) { o.Trail = verifytest.Acme }, ""},
		"a format":         {func(o *bundle.Options) { o.Formats = []string{"csv"} }, ""},
		"evidence of days": {func(o *bundle.Options) { o.Formats, o.From = []string{"jsonl"}, verifytest.Day(5) }, "unzip"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(g)
			c.change(o)
			data, summary := write(t, store, o)
			if code := summary.Report.ExitCode(); code != 0 {
				t.Errorf("the report in it: exit code %d\n%s", code, text(t, summary.Report))
			}
			dir := unpack(t, data, c.tool)
			r := verified(t, dir, verify.Options{Keys: o.Verify.Keys, Trail: o.Trail, From: o.From, To: o.To, Deep: name == "all"})
			if r.ExitCode() != 0 {
				t.Errorf("exit code %d\n%s", r.ExitCode(), text(t, r))
			}
			if r.Counts.Files != int64(summary.Files) || r.Counts.Bytes < summary.Bytes || summary.Files == 0 {
				t.Errorf("%d files were verified, %d bundled", r.Counts.Files, summary.Files)
			}
			checkProofs(t, dir, summary.Seals, g)
			written, err := os.ReadFile(filepath.Join(dir, "report.txt"))
			if err != nil || string(written) != text(t, summary.Report) {
				t.Errorf("report.txt (%v): %s", err, written)
			}
		})
	}
}

func checkProofs(t *testing.T, dir string, want int, g *verifytest.Good) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "proofs", "*", "*.json"))
	if err != nil || len(paths) != want {
		t.Errorf("%d proofs (%v), want %d", len(paths), err, want)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := proof.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := p.Check([]seal.PublicKey{g.Key.Public()}, nil, nil); err != nil || r.ExitCode() != 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Equal stores give equal bundles, in which names are sorted, safe, and of one time.
func TestBundleIsStable(t *testing.T) {
	effort.NeedsLong(t)
	store, g := good(t)
	a, _ := write(t, store, options(g))
	b, _ := write(t, store, options(g))
	if !bytes.Equal(a, b) {
		t.Error("two bundles differ")
	}
	list := names(t, a)
	if !slices.IsSorted(list) {
		t.Errorf("names are not sorted: %q", list)
	}
	z, err := zip.NewReader(bytes.NewReader(a), int64(len(a)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if !f.Modified.Equal(z.File[0].Modified) || f.Modified.Year() != 2026 || f.Mode() != 0o644 {
			t.Errorf("%s is of %v, mode %v", f.Name, f.Modified, f.Mode())
		}
		packed := strings.HasSuffix(f.Name, ".gz") || strings.HasSuffix(f.Name, ".zst") || strings.HasSuffix(f.Name, ".parquet")
		if (f.Method == zip.Store) != packed {
			t.Errorf("%s: method %d", f.Name, f.Method)
		}
		if f.Name != "README.txt" && !strings.HasPrefix(f.Name, "report.") && !strings.HasPrefix(f.Name, "proofs/") && !strings.HasPrefix(f.Name, "store/") {
			t.Errorf("%s is not where files of a bundle are", f.Name)
		}
	}
}

// What does not belong to the store stays out.
func TestBundleLeavesOut(t *testing.T) {
	store, g := good(t)
	for _, key := range []string{"log/junk", "log/next/999999999999", "log/tile/0/999", "log/anchors/999999999999/x.tsr", "seals/stray/00000002/manifest.json", "keys/junk.pem", "csv/junk", "secret"} {
		store.Overwrite(key, []byte("junk"), sink.Lock{})
	}
	data, _ := write(t, store, options(g))
	for _, name := range names(t, data) {
		if strings.Contains(name, "junk") || strings.Contains(name, "999999999999") || strings.Contains(name, "stray") || strings.Contains(name, "secret") {
			t.Errorf("%s is in the bundle", name)
		}
	}
	o := options(g)
	o.From, o.To, o.Formats, o.Trail = verifytest.Day(3), verifytest.Day(3), []string{"csv", "jsonl"}, verifytest.Acme
	data, _ = write(t, store, o)
	for _, name := range names(t, data) {
		if strings.HasPrefix(name, "store/parquet/") || strings.Contains(name, "dt=") && !strings.Contains(name, "dt=2026-03-03/") ||
			strings.Contains(name, verifytest.Beta) {
			t.Errorf("%s is in the bundle", name)
		}
	}
}

// What is not as it was sealed does not get into a bundle, and is named.
func TestBundleOfDamagedStore(t *testing.T) {
	effort.NeedsThorough(t)
	store, g := good(t)
	var data, evidence string
	for _, key := range store.Keys() {
		if strings.HasPrefix(key, "csv/") {
			data = key
		}
		if strings.HasPrefix(key, "jsonl/") {
			evidence = key
		}
	}
	for _, key := range []string{data, evidence, seal.ManifestKey(verifytest.Acme, 2), "keys/" + g.Key.ID() + ".pem"} {
		for name, damage := range map[string]func(*sinktest.Memory){
			"flipped": func(m *sinktest.Memory) { m.FlipBit(key, 77) },
			"longer":  func(m *sinktest.Memory) { m.Replace(key, append(m.Bytes(key), 'x')) },
			"shorter": func(m *sinktest.Memory) { m.Replace(key, m.Bytes(key)[1:]) },
			"gone":    func(m *sinktest.Memory) { m.Erase(key) },
			"hidden":  func(m *sinktest.Memory) { m.Hide(key) },
		} {
			damaged := store.Clone(t)
			damage(damaged)
			_, err := bundle.Write(context.Background(), damaged, io.Discard, options(g))
			versioned := name == "hidden" && (key == data || key == evidence) // the version that was sealed is still there
			if versioned && err != nil || !versioned && (err == nil || !strings.Contains(err.Error(), key)) {
				t.Errorf("%s %s: %v", key, name, err)
			}
		}
	}
	// The log is what the prover reads; a part that it does not need is told by the report.
	damaged := store.Clone(t)
	for size, err := range tlog.Checkpoints(context.Background(), store) {
		if err != nil {
			t.Fatal(err)
		}
		damaged.FlipBit(tlog.CheckpointKey(size), 77)
		break
	}
	if _, s := write(t, damaged, options(g)); s.Report.ExitCode() != 1 {
		t.Errorf("an old checkpoint that was altered: exit code %d", s.Report.ExitCode())
	}
	// A manifest of other days, made anew by somebody with the key.
	last := seal.ManifestKey(verifytest.Acme, 11)
	m, err := seal.ParseManifest(store.Bytes(last))
	if err != nil {
		t.Fatal(err)
	}
	m.Build = "another"
	forged, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	damaged = store.Clone(t)
	damaged.Replace(last, forged)
	o := options(g)
	o.From, o.To = verifytest.Day(8), verifytest.Day(8)
	if _, err := bundle.Write(context.Background(), damaged, io.Discard, o); !errors.Is(err, bundle.ErrAltered) || !strings.Contains(err.Error(), last) {
		t.Errorf("a manifest that was made anew: %v", err)
	}
	// Part of the log that is not as it was listed.
	for key := range store.List(context.Background(), tlog.Prefix) {
		if _, err := bundle.Write(context.Background(), growing{store, key.Key}, io.Discard, o); err == nil || !strings.Contains(err.Error(), key.Key) {
			t.Errorf("%s grew: %v", key.Key, err)
		}
		break
	}
	if _, err := bundle.Write(context.Background(), failing{store}, io.Discard, options(g)); !errors.Is(err, errBroken) {
		t.Errorf("a store that fails: %v", err)
	}
	for name, change := range map[string]func(*bundle.Options){
		"no such day":    func(o *bundle.Options) { o.From = verifytest.Day(30) },
		"no such trail":  func(o *bundle.Options) { o.Trail = "nobody" },
		"no such format": func(o *bundle.Options) { o.Formats = []string{"pdf"} },
	} {
		o := options(g)
		change(o)
		if _, err := bundle.Write(context.Background(), store, io.Discard, o); err == nil || name != "no such format" && !errors.Is(err, bundle.ErrNothing) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var errBroken = errors.New("broken")

// failing is a store whose listing of seals breaks.
type failing struct{ *sinktest.Memory }

func (failing) Head(context.Context, string, string) (sink.Info, error) {
	return sink.Info{}, errBroken
}

// growing is a store one object of which is longer than it says.
type growing struct {
	*sinktest.Memory
	key string
}

func (s growing) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	body, err := s.Memory.Get(ctx, key, version)
	if err != nil || key != s.key {
		return body, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(body, strings.NewReader("more")), body}, nil
}

// What a revoked key signed has no proof; the bundle has all else, and says so.
func TestBundleAfterARevocation(t *testing.T) {
	s := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: now, AllowConflict: true})
	b := verifytest.New(t, s, sink.Compliance)
	first := b.Key
	b.Seal(verifytest.Seal{Trail: "acme", Day: verifytest.Day(1), Rows: map[string][]event.Event{"standard": verifytest.Rows("standard", verifytest.Day(1), 3)}})
	b.Publish()
	b.Rotate(b.NewKey("daybook"))
	b.Seal(verifytest.Seal{Trail: "acme", Day: verifytest.Day(2), Rows: map[string][]event.Event{"standard": verifytest.Rows("standard", verifytest.Day(2), 3)}})
	b.Leaf(&tlog.Leaf{Schema: tlog.Schema, Type: tlog.TypeKey, Time: now(), Key: &tlog.KeyLeaf{Action: tlog.Revoke, Key: first.Public().VerifierKey(), From: 1, Reason: "stolen"}}, b.Key)
	b.Publish()
	data, summary := write(t, s, &bundle.Options{Verify: verify.Options{Now: now}})
	if diff := cmp.Diff([]string{"acme 1"}, summary.Unproven); diff != "" {
		t.Error(diff)
	}
	got := names(t, data)
	if slices.Contains(got, "proofs/acme/00000001.json") || !slices.Contains(got, "proofs/acme/00000002.json") {
		t.Errorf("the bundle has %q", got)
	}
	readme, err := os.ReadFile(filepath.Join(unpack(t, data, ""), "README.txt"))
	if err != nil || !bytes.Contains(readme, []byte("acme 1")) || !bytes.Contains(readme, []byte("'proofs/acme/00000002.json'")) {
		t.Errorf("README.txt: %v\n%s", err, readme)
	}
	if !bytes.Contains(readme, []byte("their key was revoked")) {
		t.Error("README.txt does not say why")
	}
}

// A file whose retention has ended may be gone; the bundle says so.
func TestBundleOfExpired(t *testing.T) {
	store, g := good(t)
	var gone string
	for _, key := range store.Keys() {
		if strings.HasPrefix(key, "csv/class=standard/") {
			gone = key
		}
	}
	store.Erase(gone)
	o := options(g)
	o.Verify.Now = func() time.Time { return now().AddDate(0, 2, 0) }
	data, s := write(t, store, o)
	if len(s.Gone) != 1 || s.Gone[0] != gone {
		t.Errorf("gone: %q", s.Gone)
	}
	readme, err := os.ReadFile(filepath.Join(unpack(t, data, ""), "README.txt"))
	if err != nil || !bytes.Contains(readme, []byte(gone)) {
		t.Errorf("README.txt (%v):\n%s", err, readme)
	}
}

// A file that is gone though the log holds it, or has its lock lengthened, or tells of the erasure of another, is not passed over as one whose time was over.
func TestBundleOfWhatMustBeThere(t *testing.T) {
	day := seal.Date{Day: verifytest.Day(1)}
	hold := func(action string) *tlog.Leaf {
		return &tlog.Leaf{Type: tlog.TypeHold, Hold: &tlog.HoldLeaf{Action: action, Trail: "acme", From: day, To: day, Reason: "case 7", By: "counsel"}}
	}
	longer := &tlog.Leaf{Type: tlog.TypeExtension, Extension: &tlog.ExtensionLeaf{
		Trail: "acme", FirstSeal: 1, LastSeal: 1, RetainUntil: now().AddDate(1, 0, 0), Reason: "case 7", By: "counsel",
	}}
	erased := func(number uint64, sum seal.Hash) func(*seal.File) *tlog.Leaf {
		return func(f *seal.File) *tlog.Leaf {
			if sum.IsZero() {
				sum = f.SHA256
			}
			return &tlog.Leaf{Type: tlog.TypeErasure, Erasure: &tlog.ErasureLeaf{Trail: "acme", Seal: number, Key: f.Key, SHA256: sum, Reason: "asked for", By: "counsel"}}
		}
	}
	said := func(list ...*tlog.Leaf) []func(*seal.File) *tlog.Leaf {
		var all []func(*seal.File) *tlog.Leaf
		for _, l := range list {
			all = append(all, func(*seal.File) *tlog.Leaf { return l })
		}
		return all
	}
	for name, test := range map[string]struct {
		after  int // months from the seal to the leaves
		leaves []func(*seal.File) *tlog.Leaf
		now    int // and to the bundle
		gone   bool
	}{
		"nothing":                  {now: 2, gone: true},
		"in its time":              {},
		"held":                     {leaves: said(hold(tlog.HoldPut)), now: 2},
		"released":                 {leaves: said(hold(tlog.HoldPut), hold(tlog.HoldRelease)), now: 2, gone: true},
		"held afterwards":          {after: 2, leaves: said(hold(tlog.HoldPut)), now: 3, gone: true},
		"extended":                 {leaves: said(longer), now: 2},
		"extended afterwards":      {after: 2, leaves: said(longer), now: 3, gone: true},
		"extended, and that ended": {leaves: said(longer), now: 14, gone: true},
		"erased":                   {leaves: []func(*seal.File) *tlog.Leaf{erased(1, seal.Hash{})}, gone: true},
		"another's erasure":        {leaves: []func(*seal.File) *tlog.Leaf{erased(1, seal.Sum(nil))}},
		"another seal's erasure":   {leaves: []func(*seal.File) *tlog.Leaf{erased(2, seal.Hash{})}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: now, AllowConflict: true})
			b := verifytest.New(t, s, sink.Compliance)
			m := b.Seal(verifytest.Seal{Trail: "acme", Day: verifytest.Day(1), Rows: map[string][]event.Event{"standard": verifytest.Rows("standard", verifytest.Day(1), 3)}})
			file := &m.Files[slices.IndexFunc(m.Files, func(f seal.File) bool { return f.Format == "csv" })]
			b.Clock = b.Clock.AddDate(0, test.after, 0)
			for _, leaf := range test.leaves {
				b.Leaf(leaf(file))
			}
			b.Publish()
			s.Erase(file.Key)
			o := &bundle.Options{Verify: verify.Options{Now: func() time.Time { return now().AddDate(0, test.now, 0) }}}
			summary, err := bundle.Write(t.Context(), s, io.Discard, o)
			switch {
			case test.gone && (err != nil || !slices.Equal(summary.Gone, []string{file.Key})):
				t.Errorf("it may be gone: %v", err)
			case !test.gone && (!errors.Is(err, sink.ErrNotExist) || !strings.Contains(err.Error(), file.Key)):
				t.Errorf("it must be there: %v", err)
			}
		})
	}
}

// scripts returns the steps of README.txt, as somebody would paste them.
func scripts(t *testing.T, dir string) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	inside := false
	for line := range strings.Lines(string(readme)) {
		code, ok := strings.CutPrefix(line, "    ")
		switch {
		case ok && inside:
			list[len(list)-1] += code
		case ok:
			list = append(list, code)
		}
		inside = ok
	}
	return list
}

// The steps of README.txt work with stock tools alone, and find what was altered after the bundle was made.
func TestReadme(t *testing.T) {
	effort.NeedsLong(t)
	need(t, "sh", "sha256sum", "openssl", "awk", "sed", "base64", "unzip", "cut", "tail", "tr", "mktemp", "find", "grep", "sort", "uniq")
	store, g := good(t)
	o := options(g)
	o.From, o.To = verifytest.Day(2), verifytest.Day(6)
	data, summary := write(t, store, o)
	dir := unpack(t, data, "unzip")
	run := func(script string) string { return shell(t, dir, script) }
	sums, signatures, keys := steps(t, dir)
	notes, err := filepath.Glob(filepath.Join(dir, "store", "seals", "*", "*", "SHA256SUMS.note"))
	if err != nil || len(notes) == 0 {
		t.Fatalf("%d notes (%v)", len(notes), err)
	}
	if out := run(sums); strings.Contains(out, "FAILED") || strings.Count(out, ": OK\n") != len(notes)+summary.Files {
		t.Errorf("sums of %d notes and %d files:\n%s", len(notes), summary.Files, out)
	}
	if out := run(signatures); strings.Contains(out, "FAILED") || strings.Count(out, "Signature Verified Successfully\n") != len(notes) {
		t.Errorf("signatures of %d notes:\n%s", len(notes), out)
	}
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if out := run(keys); err != nil || strings.Count(out, "\n") != 2 || !strings.Contains(out, g.Key.Fingerprint()) || !strings.Contains(string(readme), g.Key.Fingerprint()) {
		t.Errorf("the keys are not named (%v):\n%s\n%s", err, out, readme)
	}

	// Now somebody alters what was unpacked.
	flip := func(path string) {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content[len(content)/3] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flip(notes[0])
	if out := run(signatures); strings.Count(out, "FAILED") != 1 {
		t.Errorf("an altered note:\n%s", out)
	}
	var file string
	for _, name := range names(t, data) {
		if strings.HasPrefix(name, "store/parquet/") {
			file = name
		}
	}
	flip(filepath.Join(dir, file))
	if out := run(sums); !strings.Contains(out, strings.TrimPrefix(file, "store/")+": FAILED\n") {
		t.Errorf("an altered file:\n%s", out)
	}
	if r := verified(t, dir, verify.Options{Keys: o.Verify.Keys}); r.ExitCode() != 1 {
		t.Errorf("an altered bundle: exit code %d\n%s", r.ExitCode(), text(t, r))
	}
}

// shell runs a step of README.txt in the folder of the bundle.
func shell(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}

// steps returns those steps of README.txt that need stock tools alone.
func steps(t *testing.T, dir string) (sums, signatures, keys string) {
	t.Helper()
	for _, s := range scripts(t, dir) {
		switch {
		case strings.Contains(s, "sha256sum -c"):
			sums = s
		case strings.Contains(s, "pkeyutl"):
			signatures = s
		case strings.Contains(s, "# key:"):
			keys = s
		}
	}
	return sums, signatures, keys
}

// Whoever has no key can alter a file, fit its manifest, and do with the notes what he likes: the stock tools find it.
func TestReadmeAgainstForgers(t *testing.T) {
	effort.NeedsLong(t)
	need(t, "sh", "sha256sum", "openssl", "awk", "sed", "base64", "cut", "tail", "tr", "mktemp", "find", "grep", "sort", "uniq")
	store, g := good(t)
	o := options(g)
	o.Trail, o.From, o.To, o.Formats = "acme", verifytest.Day(1), verifytest.Day(2), []string{"csv"}
	data, _ := write(t, store, o)
	evil, err := seal.GenerateKey(filepath.Join(t.TempDir(), "evil.key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	signed := func(text, key string) []byte {
		t.Helper()
		text = regexp.MustCompile(`(?m)^# key: .*$`).ReplaceAllString(text, "# key: "+key)
		out, err := note.Sign(&note.Note{Text: text}, evil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, forge := range map[string]func(f *forged) (sums, signatures bool){ // where it is found
		"nothing":             func(*forged) (bool, bool) { return false, false },
		"a note that is gone": func(f *forged) (bool, bool) { f.alter(); f.remove(f.note); return true, false },
		"another seal's note": func(f *forged) (bool, bool) { f.alter(); f.put(f.note, f.other); return true, false },
		"lines below a note": func(f *forged) (bool, bool) {
			f.alter()
			f.put(f.note, append(bytes.Clone(f.other), f.text[strings.Index(f.text, "# key: "):]...))
			return true, true
		},
		"a seal more": func(f *forged) (bool, bool) {
			f.put("seals/evil/00000001/manifest.json", f.read(f.manifest))
			f.put("seals/evil/00000001/SHA256SUMS.note", f.other)
			return true, false
		},
		"a key elsewhere": func(f *forged) (bool, bool) {
			f.alter()
			f.put("csv/evil.pem", evil.Public().PEM())
			f.put(f.note, signed(f.text, "../csv/evil"))
			return true, true
		},
		"a key under another's name": func(f *forged) (bool, bool) {
			f.alter()
			f.put("keys/0123456789abcdef01234567.pem", evil.Public().PEM())
			f.put(f.note, signed(f.text, "0123-4567-89ab-cdef-0123-4567"))
			return false, true
		},
		"a file more":          func(f *forged) (bool, bool) { f.put("csv/more.csv", []byte("x\n")); return true, false },
		"a file that is above": func(f *forged) (bool, bool) { f.put("more.csv", []byte("x\n")); return true, false },
		"a name of two lines": func(f *forged) (bool, bool) {
			f.put(f.file+"\n"+f.file, []byte("x\n"))
			return true, false
		},
		"a link": func(f *forged) (bool, bool) {
			if err := os.Symlink("a", f.path("csv/link")); err != nil {
				f.t.Fatal(err)
			}
			return true, false
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := unpack(t, data, "")
			sums, signatures, _ := steps(t, dir)
			f := newForged(t, filepath.Join(dir, "store"))
			inSums, inSignatures := forge(f)
			if out := shell(t, dir, sums); strings.Contains(out, "FAILED") != inSums {
				t.Errorf("sums: want it found %v\n%s", inSums, out)
			}
			if out := shell(t, dir, signatures); strings.Contains(out, "FAILED") != inSignatures {
				t.Errorf("signatures: want it found %v\n%s", inSignatures, out)
			}
		})
	}
	// A key of the forger's own, under its name, is for the person to see.
	dir := unpack(t, data, "")
	_, _, keys := steps(t, dir)
	f := newForged(t, filepath.Join(dir, "store"))
	f.alter()
	f.put(seal.KeyKey(evil.Public().ID()), evil.Public().PEM())
	f.put(f.note, signed(f.text, evil.Public().Fingerprint()))
	if out := shell(t, dir, keys); !strings.Contains(out, evil.Public().Fingerprint()) {
		t.Errorf("the forger's key is not told:\n%s", out)
	}
}

// forged is an unpacked bundle that somebody forges who has no key.
type forged struct {
	t              *testing.T
	store          string // its folder
	file           string // a CSV file
	manifest, note string // of its seal
	text           string // what that note says above its blank line
	other          []byte // the note of another seal
}

func newForged(t *testing.T, store string) *forged {
	t.Helper()
	f := &forged{t: t, store: store}
	notes, err := filepath.Glob(filepath.Join(store, "seals", "*", "*", "SHA256SUMS.note"))
	if err != nil || len(notes) < 3 {
		t.Fatalf("%d notes (%v)", len(notes), err)
	}
	f.note, err = filepath.Rel(store, notes[1])
	if err != nil {
		t.Fatal(err)
	}
	f.note = filepath.ToSlash(f.note)
	f.manifest = strings.TrimSuffix(f.note, "SHA256SUMS.note") + "manifest.json"
	f.text, _, _ = strings.Cut(string(f.read(f.note)), "\n\n")
	f.text += "\n"
	for line := range strings.Lines(f.text) {
		if _, key, _ := strings.Cut(strings.TrimSpace(line), "  "); strings.HasPrefix(key, "csv/") {
			f.file = key
		}
	}
	if f.other, err = os.ReadFile(notes[0]); err != nil {
		t.Fatal(err)
	}
	for _, path := range notes[3:] { // a few say as much as all, and sooner
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// alter changes the file, and fits to that its manifest, and what the note would have to say.
func (f *forged) alter() {
	f.t.Helper()
	content, manifest := f.read(f.file), f.read(f.manifest)
	was, manifestWas := seal.Sum(content).String(), seal.Sum(manifest).String()
	content[len(content)/3] ^= 1
	f.put(f.file, content)
	is := seal.Sum(content).String()
	manifest = bytes.Replace(manifest, []byte(was), []byte(is), 1)
	f.put(f.manifest, manifest)
	f.text = strings.NewReplacer(was, is, manifestWas, seal.Sum(manifest).String()).Replace(f.text)
}

func (f *forged) path(key string) string { return filepath.Join(f.store, filepath.FromSlash(key)) }

func (f *forged) read(key string) []byte {
	f.t.Helper()
	data, err := os.ReadFile(f.path(key))
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

func (f *forged) put(key string, data []byte) {
	f.t.Helper()
	err := os.MkdirAll(filepath.Dir(f.path(key)), 0o700)
	if err == nil {
		err = os.WriteFile(f.path(key), data, 0o600)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *forged) remove(key string) {
	f.t.Helper()
	if err := os.Remove(f.path(key)); err != nil {
		f.t.Fatal(err)
	}
}
