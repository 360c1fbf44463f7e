package fetch_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/fetch"
	"daybook/batch/seal"
	"daybook/batch/verify/verifytest"
	"daybook/event"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/sinktest"
)

// A world is a store of two trails of ten days (see verifytest.GoodStore). It is made once, and each test has a copy.
var world struct {
	sync.Once
	store *sinktest.Memory
	good  *verifytest.Good
}

func good(t *testing.T) (*sinktest.Memory, *verifytest.Good) {
	t.Helper()
	world.Do(func() {
		store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return verifytest.Day(1).Start() }})
		world.store, world.good = store, verifytest.GoodStore(t, store, sink.Compliance)
	})
	return world.store.Clone(t), world.good
}

// all collects a search, and its error.
func all(t *testing.T, store sink.Store, q *fetch.Query) ([]fetch.File, error) {
	t.Helper()
	var list []fetch.File
	for f, err := range fetch.Files(t.Context(), store, q) {
		if err != nil {
			return list, err
		}
		list = append(list, f)
	}
	return list, nil
}

func must(t *testing.T, store sink.Store, q *fetch.Query) []fetch.File {
	t.Helper()
	list, err := all(t, store, q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// seals tells which seals files are of, each once.
func seals(list []fetch.File) []string {
	var names []string
	for _, f := range list {
		names = append(names, fmt.Sprintf("%s %d", f.Trail, f.Seal))
	}
	return slices.Compact(names)
}

func TestFilesAreThoseOfTheManifests(t *testing.T) {
	store, _ := good(t)
	list := must(t, store, &fetch.Query{})
	// Each trail has ten days; the fifth is empty, with one set of files; the others have two classes, of 6 rows in two parts and of 3 rows in one.
	if want := 2*(9*5*3+5) + 5; len(list) != want {
		t.Errorf("%d files, want %d", len(list), want)
	}
	var want []string
	for _, trail := range []string{verifytest.Acme, verifytest.Beta} {
		for n := range 10 {
			want = append(want, fmt.Sprintf("%s %d", trail, n+1))
		}
		if trail == verifytest.Acme {
			want = append(want, "acme 11")
		}
	}
	if diff := cmp.Diff(want, seals(list)); diff != "" {
		t.Errorf("seals (-want +got):\n%s", diff)
	}
	for i, f := range list {
		info, err := store.Head(t.Context(), f.Key, f.Version)
		if err != nil || info.SHA256 != f.SHA256 || info.Size != f.Size {
			t.Errorf("%s: the store has %+v, %v", f.Key, info, err)
		}
		if i > 0 && f.Trail == list[i-1].Trail && f.Seal == list[i-1].Seal && f.Key <= list[i-1].Key {
			t.Errorf("%s comes after %s", f.Key, list[i-1].Key)
		}
	}
	last := list[len(list)-1]
	if last.Trail != "beta" || last.Org == "" || last.SealedAt.IsZero() || last.Day.Day != verifytest.Day(10) {
		t.Errorf("last: %+v", last)
	}
}

func TestFilters(t *testing.T) {
	store, _ := good(t)
	day := func(n int) event.Day { return verifytest.Day(n) }
	for _, test := range []struct {
		name  string
		query fetch.Query
		seals []string
		files int
	}{
		{"trail", fetch.Query{Trail: "beta", From: day(9)}, []string{"beta 9", "beta 10"}, 30},
		{"day with an addendum", fetch.Query{From: day(3), To: day(3)}, []string{"acme 3", "acme 11", "beta 3"}, 35},
		{"format", fetch.Query{Trail: "acme", Formats: []string{"csv"}, From: day(3), To: day(3)}, []string{"acme 3", "acme 11"}, 4},
		{"class", fetch.Query{Trail: "acme", Classes: []string{"security"}, From: day(3), To: day(3)}, []string{"acme 3"}, 5},
		{"since", fetch.Query{Trail: "acme", Since: 9}, []string{"acme 10", "acme 11"}, 20},
		{"since the last", fetch.Query{Trail: "acme", Since: 11}, nil, 0},
		{"through", fetch.Query{Since: 9, Through: map[string]uint64{"acme": 10}}, []string{"acme 10"}, 15},
		{"no such trail", fetch.Query{Trail: "gamma"}, nil, 0},
		{"no such day", fetch.Query{From: day(20)}, nil, 0},
		{"key", fetch.Query{Keys: []string{"csv/class=standard/trail=acme/dt=2026-03-03/acme-2026-03-03.addendum-0001.0001.csv.gz"}}, []string{"acme 11"}, 1},
		{"keys of two trails", fetch.Query{Keys: []string{
			"csv/class=standard/trail=beta/dt=2026-03-01/beta-2026-03-01.0001.csv.gz", "jsonl/class=security/trail=acme/dt=2026-03-02/acme-2026-03-02.0001.jsonl.zst",
		}}, []string{"acme 2", "beta 1"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := must(t, store, &test.query)
			if diff := cmp.Diff(test.seals, seals(list)); diff != "" || len(list) != test.files {
				t.Errorf("%d files, want %d; seals (-want +got):\n%s", len(list), test.files, diff)
			}
		})
	}
	for _, key := range []string{"csv/class=standard/trail=acme/dt=2026-03-03/acme-2026-03-03.0009.csv.gz", "csv", "../csv/trail=acme", "", "seals/acme/00000001/manifest.json"} {
		if list, err := all(t, store, &fetch.Query{Keys: []string{key}}); !errors.Is(err, fetch.ErrUnlisted) {
			t.Errorf("%q: %v, %v", key, list, err)
		}
	}
}

// TestKeysNeedNotAllBeRead looks for one file, and counts what was read for it.
func TestKeysNeedNotAllBeRead(t *testing.T) {
	store, _ := good(t)
	store.TakeLog()
	must(t, store, &fetch.Query{Keys: []string{"csv/class=standard/trail=acme/dt=2026-03-01/acme-2026-03-01.0001.csv.gz"}})
	gets := 0
	for _, op := range store.TakeLog() {
		if strings.Contains(op.Key, "beta") {
			t.Errorf("%v for a file of acme", op)
		}
		if op.Name == "get" {
			gets++
		}
	}
	if gets > 7 { // the one that lists it, and what is read ahead
		t.Errorf("%d manifests were read for a file of the first seal", gets)
	}
}

func TestProjects(t *testing.T) {
	store := sinktest.NewMemory(t, nil)
	b := verifytest.New(t, store, sink.None)
	b.Split = true
	b.Seal(verifytest.Seal{Trail: "acme", Day: verifytest.Day(1), Rows: map[string][]event.Event{"standard": verifytest.Rows("standard", verifytest.Day(1), 6)}})
	b.Split = false
	b.Seal(verifytest.Seal{Trail: "acme", Day: verifytest.Day(2), Rows: map[string][]event.Event{"standard": verifytest.Rows("standard", verifytest.Day(2), 3)}})
	project := "project-1"
	var shared []string
	q := &fetch.Query{Project: &project, Shared: func(f fetch.File) { shared = append(shared, fmt.Sprint(f.Seal, " ", f.Format)) }}
	var got []string
	for _, f := range must(t, store, q) {
		if f.Project != project {
			t.Errorf("%s is of project %q", f.Key, f.Project)
		}
		got = append(got, fmt.Sprint(f.Seal, " ", f.Format))
	}
	if diff := cmp.Diff([]string{"1 cef", "1 csv", "1 syslog"}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	want := []string{"1 jsonl", "1 jsonl", "1 parquet", "1 parquet", "2 cef", "2 csv", "2 jsonl", "2 parquet", "2 syslog"}
	if diff := cmp.Diff(want, shared); diff != "" {
		t.Errorf("left out since they hold several projects (-want +got):\n%s", diff)
	}
	q.Formats, shared = []string{"csv"}, nil
	must(t, store, q)
	if diff := cmp.Diff([]string{"2 csv"}, shared); diff != "" {
		t.Errorf("left out of the CSV (-want +got):\n%s", diff)
	}
}

func TestTrust(t *testing.T) {
	store, g := good(t)
	both := []seal.PublicKey{g.First.Public(), g.Second.Public()}
	if list := must(t, store, &fetch.Query{Trusted: both}); len(list) != 285 {
		t.Errorf("%d files", len(list))
	}
	list, err := all(t, store, &fetch.Query{Trail: "acme", Trusted: both[:1]})
	var hint *sink.HintError
	if !errors.Is(err, fetch.ErrUntrusted) || !errors.As(err, &hint) || !strings.Contains(err.Error(), g.Second.ID()) || len(seals(list)) != 6 {
		t.Errorf("with the first key alone: %v, %v", seals(list), err)
	}
	if _, err := all(t, store, &fetch.Query{Trail: "acme", Trusted: both[1:], Since: 6}); err != nil {
		t.Errorf("what the second key signed, with that key: %v", err)
	}
	if _, err := all(t, store, &fetch.Query{Trusted: []seal.PublicKey{g.NewKey("third").Public()}}); !errors.Is(err, fetch.ErrUntrusted) {
		t.Errorf("with another key: %v", err)
	}
	bare := sinktest.NewMemory(t, nil)
	verifytest.NewUnsigned(t, bare, sink.None).Seal(verifytest.Seal{Trail: "acme", Day: verifytest.Day(1)})
	if list := must(t, bare, &fetch.Query{}); len(list) != 5 {
		t.Errorf("an unsigned store has %d files", len(list))
	}
	if _, err := all(t, bare, &fetch.Query{Trusted: both}); !errors.Is(err, fetch.ErrUntrusted) {
		t.Errorf("an unsigned store, with a key: %v", err)
	}
}

// TestDamage has what somebody may do to the seals of a store.
func TestDamage(t *testing.T) {
	original, g := good(t)
	key := seal.ManifestKey("acme", 4)
	manifest := read(t, original, key)
	forged := bytes.Replace(manifest, []byte(`"build": "`), []byte(`"build": "x`), 1)
	for _, test := range []struct {
		name   string
		damage func(s *sinktest.Memory)
		want   error
		seals  int // of acme that are told before
		keys   bool
	}{
		{"a manifest is hidden", func(s *sinktest.Memory) { s.Hide(key) }, fetch.ErrAltered, 3, false},
		{"a note is hidden", func(s *sinktest.Memory) { s.Hide(seal.NoteKey("acme", 4)) }, fetch.ErrAltered, 3, false},
		{"a seal is hidden", func(s *sinktest.Memory) { s.Hide(key); s.Hide(seal.NoteKey("acme", 4)) }, fetch.ErrAltered, 3, false},
		{"another manifest", func(s *sinktest.Memory) { s.Overwrite(key, forged, sink.Lock{}) }, fetch.ErrAltered, 4, false},
		{"another manifest, with keys", func(s *sinktest.Memory) { s.Overwrite(key, forged, sink.Lock{}) }, fetch.ErrAltered, 3, true},
		{"that of another seal", func(s *sinktest.Memory) {
			s.Overwrite(key, read(t, original, seal.ManifestKey("acme", 5)), sink.Lock{})
		}, fetch.ErrAltered, 3, false},
		{"that of another trail", func(s *sinktest.Memory) {
			s.Overwrite(key, read(t, original, seal.ManifestKey("beta", 4)), sink.Lock{})
		}, fetch.ErrAltered, 3, false},
		{"no manifest", func(s *sinktest.Memory) { s.Overwrite(key, []byte("{}"), sink.Lock{}) }, seal.ErrManifest, 3, false},
		{"a note of no use", func(s *sinktest.Memory) { s.Overwrite(seal.NoteKey("acme", 4), []byte("x\n\n— x x\n"), sink.Lock{}) }, fetch.ErrAltered, 3, true},
		{"the store is down", func(s *sinktest.Memory) { s.FailKey("get", key, sinktest.Fault{Err: sinktest.ErrUnavailable}) }, sinktest.ErrUnavailable, 3, false},
		{"the listing breaks off", func(s *sinktest.Memory) {
			s.FailKey("list", "seals", sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: true})
		}, sinktest.ErrUnavailable, 10, false},
		{"the last note is missing", func(s *sinktest.Memory) { s.Hide(seal.NoteKey("acme", 11)) }, nil, 10, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := original.Clone(t)
			test.damage(store)
			q := &fetch.Query{Trail: "acme"}
			if test.keys {
				q.Trusted = []seal.PublicKey{g.First.Public(), g.Second.Public()}
			}
			list, err := all(t, store, q)
			if !errors.Is(err, test.want) || len(seals(list)) != test.seals {
				t.Errorf("%d seals, then %v; want %d, then %v", len(seals(list)), err, test.seals, test.want)
			}
		})
	}
}

// TestHoleAfterWhatWasLoaded hides the first seal that a loader has not had yet: no manifest tells of it that the loader reads.
func TestHoleAfterWhatWasLoaded(t *testing.T) {
	store, _ := good(t)
	store.Hide(seal.ManifestKey("acme", 4))
	store.Hide(seal.NoteKey("acme", 4))
	if list, err := all(t, store, &fetch.Query{Trail: "acme", Since: 3}); !errors.Is(err, fetch.ErrAltered) || len(list) > 0 {
		t.Errorf("%v, %v", seals(list), err)
	}
}

func TestStopping(t *testing.T) {
	store, _ := good(t)
	for f, err := range fetch.Files(t.Context(), store, &fetch.Query{}) {
		if err != nil || f.Seal != 1 {
			t.Errorf("%+v, %v", f, err)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range fetch.Files(ctx, store, &fetch.Query{}) {
		if last = err; n == 20 {
			cancel()
		}
		n++
	}
	if !errors.Is(last, context.Canceled) || n > 100 {
		t.Errorf("cancelled: %d files, then %v", n, last)
	}
}

func read(t *testing.T, store sink.Store, key string) []byte {
	t.Helper()
	r, err := store.Get(t.Context(), key, "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return data
}

// got collects what Get did.
func got(t *testing.T, store sink.Store, files iter.Seq2[fetch.File, error], o *fetch.Options) ([]fetch.Got, error) {
	t.Helper()
	var list []fetch.Got
	for g, err := range fetch.Get(t.Context(), store, files, o) {
		if err != nil {
			return list, err
		}
		list = append(list, g)
	}
	return list, nil
}

func mustGet(t *testing.T, store sink.Store, files iter.Seq2[fetch.File, error], o *fetch.Options) []fetch.Got {
	t.Helper()
	list, err := got(t, store, files, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		if g.Err != nil {
			t.Fatal(g.Err)
		}
	}
	return list
}

func of(list ...fetch.File) iter.Seq2[fetch.File, error] {
	return func(yield func(fetch.File, error) bool) {
		for _, f := range list {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// tree is what lies below a folder: the SHA-256 of each file.
func tree(t *testing.T, dir string) map[string]seal.Hash {
	t.Helper()
	files := map[string]seal.Hash{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestGetKeepsTheLayout(t *testing.T) {
	store, _ := good(t)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	q := &fetch.Query{Trail: "acme"}
	files := must(t, store, q)
	var last fetch.Progress
	list := mustGet(t, store, fetch.Files(t.Context(), store, q), &fetch.Options{Dir: dir, Progress: func(p fetch.Progress) { last = p }})
	want := map[string]seal.Hash{}
	var bytes int64
	for i, f := range files {
		want[f.Key] = f.SHA256
		bytes += f.Size
		if list[i].Key != f.Key || list[i].Kept || list[i].Path != filepath.Join(dir, filepath.FromSlash(f.Key)) {
			t.Errorf("%s: %+v", f.Key, list[i])
		}
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if last != (fetch.Progress{Bytes: bytes, Total: bytes}) {
		t.Errorf("progress ends with %+v, want %d bytes", last, bytes)
	}
	store.TakeLog()
	for _, g := range mustGet(t, store, of(files...), &fetch.Options{Dir: dir}) {
		if !g.Kept {
			t.Errorf("%s was fetched again", g.Key)
		}
	}
	if log := store.TakeLog(); len(log) > 0 {
		t.Errorf("for files that are there: %v", log)
	}
}

// TestGetByVersion fetches what was sealed, whatever stands in front of it.
func TestGetByVersion(t *testing.T) {
	store, _ := good(t)
	files := must(t, store, &fetch.Query{Trail: "acme", From: verifytest.Day(2), To: verifytest.Day(2), Formats: []string{"csv"}})
	store.Overwrite(files[0].Key, []byte("forged"), sink.Lock{})
	store.Hide(files[1].Key)
	dir := t.TempDir()
	mustGet(t, store, of(files...), &fetch.Options{Dir: dir})
	if n := len(tree(t, dir)); n != 3 {
		t.Errorf("%d files", n)
	}
}

// TestGetFromACopy fetches from a folder that a bucket was copied to: its manifests have versions, and the folder has none.
func TestGetFromACopy(t *testing.T) {
	store, _ := good(t)
	dir := t.TempDir()
	copied, err := file.New(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = copied.Close() })
	for e := range store.List(t.Context(), "") {
		path := filepath.Join(dir, filepath.FromSlash(e.Key))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, read(t, store, e.Key), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := t.TempDir()
	list := mustGet(t, copied, fetch.Files(t.Context(), copied, &fetch.Query{Trail: "beta"}), &fetch.Options{Dir: out})
	if len(list) != 140 || list[0].Version == "" {
		t.Errorf("%d files, the first %+v", len(list), list[0])
	}
	bad := filepath.Join(dir, filepath.FromSlash(list[0].Key))
	if err := os.WriteFile(bad, []byte("forged"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err = got(t, copied, of(list[0].File), &fetch.Options{Dir: t.TempDir()})
	if err != nil || !errors.Is(list[0].Err, fetch.ErrAltered) {
		t.Errorf("a forged copy: %+v, %v", list, err)
	}
}

func TestGetRefusesWhatDiffers(t *testing.T) {
	store, _ := good(t)
	files := must(t, store, &fetch.Query{Trail: "acme", From: verifytest.Day(2), To: verifytest.Day(2), Formats: []string{"csv"}})
	for name, change := range map[string]func(data []byte) []byte{
		"another byte": func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"shorter":      func(data []byte) []byte { return data[:len(data)-1] },
		"longer":       func(data []byte) []byte { return append(data, 0) },
		"nothing":      func([]byte) []byte { return nil },
	} {
		for _, o := range []fetch.Options{{}, {Unpack: true}, {BOM: true, Flat: true}} {
			bad := altering{store, files[1].Key, change}
			o.Dir = t.TempDir()
			list, err := got(t, bad, of(files...), &o)
			if err != nil || len(list) != 3 {
				t.Fatalf("%s: %v, %v", name, list, err)
			}
			for i, g := range list {
				if errors.Is(g.Err, fetch.ErrAltered) != (i == 1) {
					t.Errorf("%s: %s: %v", name, g.Key, g.Err)
				}
			}
			if left := tree(t, o.Dir); len(left) != 2 {
				t.Errorf("%s: left behind: %v", name, left)
			}
		}
	}
}

// altering is a store that hands out other bytes of one key.
type altering struct {
	*sinktest.Memory
	key    string
	change func([]byte) []byte
}

func (s altering) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	r, err := s.Memory.Get(ctx, key, version)
	if err != nil || key != s.key {
		return r, err
	}
	data, err := io.ReadAll(r)
	return io.NopCloser(bytes.NewReader(s.change(data))), err
}

func TestGetTellsWhatIsGone(t *testing.T) {
	store, _ := good(t)
	files := must(t, store, &fetch.Query{Trail: "acme", From: verifytest.Day(2), To: verifytest.Day(2), Formats: []string{"csv"}})
	store.FailKey("get", files[0].Key, sinktest.Fault{Err: sink.ErrNotExist})
	store.FailKey("get", files[1].Key, sinktest.Fault{Err: sink.ErrCold})
	dir := t.TempDir()
	list, err := got(t, store, of(files...), &fetch.Options{Dir: dir})
	if err != nil || !errors.Is(list[0].Err, sink.ErrNotExist) || !errors.Is(list[1].Err, sink.ErrCold) || list[2].Err != nil {
		t.Errorf("%v, %v, %v; %v", list[0].Err, list[1].Err, list[2].Err, err)
	}
	if !strings.Contains(list[0].Err.Error(), files[0].RetainUntil.Format("2006-01-02")) {
		t.Errorf("does not tell until when it was to be kept: %v", list[0].Err)
	}
	if left := tree(t, dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	// What concerns the whole store ends it all, and leaves nothing where nothing came.
	store.Heal()
	store.FailKey("get", "csv/", sinktest.Fault{Err: sinktest.ErrUnavailable})
	dir = t.TempDir()
	if list, err := got(t, store, of(files...), &fetch.Options{Dir: dir}); !errors.Is(err, sinktest.ErrUnavailable) || len(list) != 0 {
		t.Errorf("of a store that is down: %v, %v", list, err)
	}
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// breaking is a store whose bodies break off: each after some bytes, and counts from where it was asked.
type breaking struct {
	*sinktest.Memory
	after   int64
	offsets []int64
}

var errBroken = errors.New("connection reset")

func (s *breaking) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	return s.GetFrom(ctx, key, version, 0)
}

func (s *breaking) GetFrom(ctx context.Context, key, version string, offset int64) (io.ReadCloser, error) {
	s.offsets = append(s.offsets, offset)
	r, err := s.Memory.GetFrom(ctx, key, version, offset)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, s.after), failing{}), r}, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// whole hides that a store can give a part.
type whole struct{ sink.Store }

func TestGetGoesOn(t *testing.T) {
	store, _ := good(t)
	f := must(t, store, &fetch.Query{Trail: "acme", Formats: []string{"parquet"}})[0]
	content := read(t, store, f.Key)
	dir := t.TempDir()

	// Within one call: as long as each attempt brings something.
	broken := &breaking{Memory: store, after: f.Size/3 + 1}
	mustGet(t, broken, of(f), &fetch.Options{Dir: dir})
	third := f.Size/3 + 1
	if diff := cmp.Diff([]int64{0, third, 2 * third}, broken.offsets); diff != "" {
		t.Errorf("asked for offsets (-want +got):\n%s", diff)
	}

	// What is there when a call fails, the next goes on with.
	dir = t.TempDir()
	broken = &breaking{Memory: store, after: 1}
	if _, err := got(t, broken, of(f), &fetch.Options{Dir: dir}); !errors.Is(err, errBroken) {
		t.Errorf("a store that breaks off all the time: %v", err)
	}
	left := tree(t, dir)
	if len(left) != 1 || len(broken.offsets) < 2 {
		t.Fatalf("left: %v, after %d attempts", left, len(broken.offsets))
	}
	was := int64(len(broken.offsets))
	steady := &breaking{Memory: store, after: f.Size}
	if list := mustGet(t, steady, of(f), &fetch.Options{Dir: dir}); list[0].Resumed != was || !slices.Equal(steady.offsets, []int64{was}) {
		t.Errorf("resumed %d of %d, asked for %v", list[0].Resumed, was, steady.offsets)
	}
	if diff := cmp.Diff(map[string]seal.Hash{f.Key: f.SHA256}, tree(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	for name, test := range map[string]struct {
		there   []byte
		store   sink.Store
		resumed int64
	}{
		"something else":          {bytes.Repeat([]byte("x"), 100), store, 0},
		"more than there is":      {append(slices.Clone(content), "more"...), store, 0},
		"all of it":               {content, store, f.Size},
		"all of something else":   {bytes.Repeat([]byte("x"), len(content)), store, 0},
		"a store without ranges":  {content[:100], whole{store}, 0},
		"all, of a simple store":  {content, whole{store}, f.Size},
		"its beginning, unpacked": {content[:100], store, 100},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			part := filepath.Join(dir, filepath.FromSlash(f.Key)+".part")
			if err := os.MkdirAll(filepath.Dir(part), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part, test.there, 0o644); err != nil {
				t.Fatal(err)
			}
			list := mustGet(t, test.store, of(f), &fetch.Options{Dir: dir, Unpack: true})
			if list[0].Resumed != test.resumed {
				t.Errorf("resumed %d, want %d", list[0].Resumed, test.resumed)
			}
			if diff := cmp.Diff(map[string]seal.Hash{f.Key: f.SHA256}, tree(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGetUnpacks(t *testing.T) {
	store, _ := good(t)
	q := &fetch.Query{Trail: "acme", From: verifytest.Day(3), To: verifytest.Day(3), Classes: []string{"standard"}}
	for _, bom := range []bool{false, true} {
		dir := t.TempDir()
		o := &fetch.Options{Dir: dir, Unpack: !bom, BOM: bom, Flat: true}
		list := mustGet(t, store, fetch.Files(t.Context(), store, q), o)
		want := map[string]seal.Hash{}
		for _, g := range list {
			data := unpacked(t, g.Compression, read(t, store, g.Key))
			if bom && g.Format == "csv" {
				data = append([]byte("\xef\xbb\xbf"), data...)
			}
			want[filepath.Base(g.Path)] = sha256.Sum256(data)
		}
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" || len(want) != 15 {
			t.Errorf("bom %v: %d files (-want +got):\n%s", bom, len(want), diff)
		}
		if want["standard-acme-2026-03-03.0001.csv"].IsZero() || want["standard-acme-2026-03-03.addendum-0001.0001.jsonl"].IsZero() {
			t.Errorf("names: %v", want)
		}
		for _, g := range mustGet(t, store, fetch.Files(t.Context(), store, q), o) {
			if !g.Kept {
				t.Errorf("%s was written again", g.Path)
			}
		}
		csv := filepath.Join(dir, "standard-acme-2026-03-03.0001.csv")
		for _, other := range []string{"other", ""} {
			if err := os.WriteFile(csv, []byte(other), 0o644); err != nil {
				t.Fatal(err)
			}
			there := 0
			list, err := got(t, store, fetch.Files(t.Context(), store, q), o)
			for _, g := range list {
				if errors.Is(g.Err, fetch.ErrThere) {
					there++
				}
			}
			if data, _ := os.ReadFile(csv); err != nil || there != 1 || string(data) != other || len(tree(t, dir)) != 15 {
				t.Errorf("over what is there: %d refused, %v; now %q, %d files", there, err, data, len(tree(t, dir)))
			}
		}
	}
}

func unpacked(t *testing.T, compression string, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch compression {
	case seal.Gzip:
		r, err = gzip.NewReader(r)
	case seal.Zstd:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(r); err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err = io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGetWritesNothingOver(t *testing.T) {
	store, _ := good(t)
	f := must(t, store, &fetch.Query{Trail: "acme", Formats: []string{"csv"}})[0]
	for name, put := range map[string]func(path string) error{
		"another file":  func(path string) error { return os.WriteFile(path, []byte("mine"), 0o644) },
		"an empty file": func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"a folder":      func(path string) error { return os.Mkdir(path, 0o755) },
		"a link":        func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, f.Class+"-"+filepath.Base(f.Key))
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		list, err := got(t, store, of(f), &fetch.Options{Dir: dir, Flat: true})
		if err != nil || !errors.Is(list[0].Err, fetch.ErrThere) {
			t.Errorf("%s: %v, %v", name, list, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Size() != before.Size() {
			t.Errorf("%s was changed", name)
		}
	}
	// Two keys that come to one name.
	one, two := f, f
	one.Class, one.Key = "a", "csv/class=a/trail=b-c/dt=2026-03-01/b-c-2026-03-01.0001.csv.gz"
	two.Class, two.Key = "a-b", "csv/class=a-b/trail=c/dt=2026-03-01/c-2026-03-01.0001.csv.gz"
	dir := t.TempDir()
	list, err := got(t, store, of(f, one, two), &fetch.Options{Dir: dir, Flat: true})
	if err != nil || list[0].Err != nil || !errors.Is(list[1].Err, sink.ErrNotExist) || !errors.Is(list[2].Err, fetch.ErrThere) {
		t.Errorf("%v, %v", list, err)
	}
}

// TestGetLeavesTheFolderOnNoWay fetches through a link that leads out of the folder.
func TestGetLeavesTheFolderOnNoWay(t *testing.T) {
	store, _ := good(t)
	f := must(t, store, &fetch.Query{Trail: "acme", Formats: []string{"csv"}})[0]
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "csv")); err != nil {
		t.Fatal(err)
	}
	if list, err := got(t, store, of(f), &fetch.Options{Dir: dir}); err == nil {
		t.Errorf("%+v", list)
	}
	if left := tree(t, outside); len(left) > 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestGetCancelled(t *testing.T) {
	store, _ := good(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range fetch.Get(ctx, store, fetch.Files(ctx, store, &fetch.Query{}), &fetch.Options{Dir: t.TempDir(), Workers: 2}) {
		if last = err; n == 3 {
			cancel()
		}
		n++
	}
	if !errors.Is(last, context.Canceled) || n > 30 {
		t.Errorf("%d files, then %v", n, last)
	}
	for range fetch.Get(t.Context(), store, fetch.Files(t.Context(), store, &fetch.Query{}), &fetch.Options{Dir: t.TempDir()}) {
		break // whoever has had enough is not called again
	}
	want := errors.New("no more")
	broken := func(yield func(fetch.File, error) bool) { yield(fetch.File{}, want) }
	if _, err := got(t, store, broken, &fetch.Options{Dir: t.TempDir()}); !errors.Is(err, want) {
		t.Errorf("with a search that fails: %v", err)
	}
}
