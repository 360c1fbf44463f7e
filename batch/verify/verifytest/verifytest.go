// Package verifytest makes stores for tests of verification: good ones, and ones that only a forger with the key could make. It writes what the exporter
// writes, to the byte, but does so itself, since the exporter refuses to make what is wrong.
package verifytest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/cef"
	"daybook/formats/csv"
	"daybook/formats/jsonl"
	"daybook/formats/parquet"
	"daybook/formats/syslog"
	"daybook/sink"
)

// Now is the time at which stores are verified.
var Now = time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)

// Origin is the log's name.
const Origin = "daybook.test/store"

// Retain is how long the files of the classes are kept.
var Retain = map[string]time.Duration{"security": 400 * 24 * time.Hour, "standard": 30 * 24 * time.Hour}

// Builder makes a store.
type Builder struct {
	Store sink.Store
	// Mode is the lock of every object; None for a folder.
	Mode sink.Mode
	// Key signs; the zero Key makes unsigned seals.
	Key     seal.Key
	Formats []formats.Format
	// PartRows cuts parts. Split makes a set of CSV, CEF and syslog files for each project.
	PartRows int
	Split    bool

	t      testing.TB
	trails map[string]*trail
	// Leaves are the entries of the log; Published of them are under a checkpoint.
	Leaves    [][]byte
	Published int64
	hashes    []tlog.Hash
	// Clock is the time of the newest seal or leaf.
	Clock time.Time
}

type trail struct {
	seals    uint64
	previous seal.Hash
	days     map[event.Day]int
}

// New returns a builder with a new key, whose log has its first leaf.
func New(t testing.TB, store sink.Store, mode sink.Mode) *Builder {
	t.Helper()
	b := NewUnsigned(t, store, mode)
	b.Key = b.NewKey("first")
	b.PutKey(b.Key)
	b.Leaf(&logs.Leaf{Type: logs.TypeKey, Key: &logs.KeyLeaf{Action: logs.Genesis, Origin: Origin, Key: b.Key.Public().VerifierKey()}}, b.Key)
	return b
}

// NewUnsigned returns a builder of a store without keys and log.
func NewUnsigned(t testing.TB, store sink.Store, mode sink.Mode) *Builder {
	return &Builder{Store: store, Mode: mode, Formats: formats.All(), PartRows: 4, t: t, trails: map[string]*trail{}, Clock: Day(1).Start()}
}

// Day is a day of March 2026.
func Day(n int) event.Day { return event.DayOf(time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC)) }

// NewKey makes a signing key.
func (b *Builder) NewKey(name string) seal.Key {
	b.t.Helper()
	key, err := seal.GenerateKey(filepath.Join(b.t.TempDir(), name), name)
	b.must(err)
	return key
}

func (b *Builder) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// lock is that of an object that is kept for so long from the builder's clock.
func (b *Builder) lock(keep time.Duration) sink.Lock {
	if b.Mode == sink.None {
		return sink.Lock{}
	}
	return sink.Lock{Mode: b.Mode, RetainUntil: b.Clock.Add(keep).Truncate(time.Second)}
}

func (b *Builder) controlLock() sink.Lock {
	return b.lock(slices.Max(slices.Collect(maps.Values(Retain))))
}

// Put puts an object.
func (b *Builder) Put(key string, data []byte, lock sink.Lock) sink.Info {
	b.t.Helper()
	info, err := b.Store.Put(context.Background(), sink.Object{
		Key: key, ContentType: "application/octet-stream", Size: int64(len(data)), SHA256: sha256.Sum256(data), Lock: lock, Body: bytes.NewReader(data),
	})
	b.must(err)
	return info
}

// PutKey puts a public key.
func (b *Builder) PutKey(k seal.Key) { b.Put(seal.KeyKey(k.ID()), k.PublicPEM(), b.controlLock()) }

// Leaf adds a leaf to the log.
func (b *Builder) Leaf(l *logs.Leaf, signers ...seal.Signer) {
	b.t.Helper()
	l.Schema, l.Time = logs.Schema, b.Clock
	entry, err := l.Encode(signers...)
	b.must(err)
	b.Entry(entry)
}

// Entry adds an entry to the log, whatever it is.
func (b *Builder) Entry(entry []byte) {
	b.t.Helper()
	all, err := tlog.StoredHashes(int64(len(b.Leaves)), entry, b)
	b.must(err)
	b.hashes = append(b.hashes, all...)
	b.Leaves = append(b.Leaves, entry)
}

// ReadHashes implements tlog.HashReader.
func (b *Builder) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var list []tlog.Hash
	for _, i := range indexes {
		list = append(list, b.hashes[i])
	}
	return list, nil
}

// Root is the log's root at a size.
func (b *Builder) Root(size int64) seal.Hash {
	b.t.Helper()
	h, err := tlog.TreeHash(size, b)
	b.must(err)
	return seal.Hash(h)
}

// Checkpoint returns the signed checkpoint of a size.
func (b *Builder) Checkpoint(size int64) []byte {
	b.t.Helper()
	data, err := logs.SignCheckpoint(logs.Checkpoint{Origin: Origin, Size: size, Root: b.Root(size)}, b.Key)
	b.must(err)
	return data
}

// Publish puts the tiles, entries and checkpoint of what was added. It returns the checkpoint.
func (b *Builder) Publish() []byte {
	b.t.Helper()
	size := int64(len(b.Leaves))
	if size == b.Published {
		return b.Checkpoint(size)
	}
	lock := b.controlLock()
	checkpoint := b.Checkpoint(size)
	next, err := torchwood.AppendTileEntry(nil, checkpoint)
	b.must(err)
	for _, entry := range b.Leaves[b.Published:] {
		next, err = torchwood.AppendTileEntry(next, entry)
		b.must(err)
	}
	b.Put(logs.NextKey(b.Published), next, lock)
	for _, t := range tlog.NewTiles(torchwood.TileHeight, b.Published, size) {
		data, err := tlog.ReadTileData(t, b)
		b.must(err)
		b.Put(logs.TileKey(t), data, lock)
		if t.L > 0 {
			continue
		}
		var bundle []byte
		for _, entry := range b.Leaves[t.N*torchwood.TileWidth:][:t.W] {
			bundle, err = torchwood.AppendTileEntry(bundle, entry)
			b.must(err)
		}
		t.L = -1
		b.Put(logs.TileKey(t), bundle, lock)
	}
	b.Put(logs.CheckpointKey(size), checkpoint, lock)
	b.Published = size
	return checkpoint
}

// Rotate puts another key in the place of the key in force.
func (b *Builder) Rotate(next seal.Key) {
	b.t.Helper()
	b.PutKey(next)
	b.Leaf(&logs.Leaf{Type: logs.TypeKey, Key: &logs.KeyLeaf{Action: logs.Rotate, Key: next.Public().VerifierKey(), Previous: b.Key.Public().VerifierKey()}}, b.Key, next)
	b.Key = next
}

// Seal is what is to be sealed, and what is to be wrong with it.
type Seal struct {
	Trail string
	Day   event.Day
	// Rows are the events of each class, in order.
	Rows map[string][]event.Event
	// Counts, Conflicts and what else the manifest holds may be changed in Manifest before it is encoded.
	Manifest func(*seal.Manifest)
	// File may change what a file holds, uncompressed, before it is hashed; blank is to leave it as it is.
	File func(f *seal.File, content []byte) []byte
	// Bytes may change the encoded manifest before it is hashed and signed.
	Bytes func([]byte) []byte
	// Note may change the signed note.
	Note func([]byte) []byte
	// Addendum is taken in place of the number that is due, if it is not nil; so is Leaf in place of the seal's leaf.
	Addendum *int
	Leaf     func(*logs.SealLeaf)
	// Unlogged leaves the seal out of the log.
	Unlogged bool
	// NoFiles, NoManifest and NoNote leave them out of the store.
	NoFiles, NoManifest, NoNote bool
}

// Seal seals a day, or an addendum to it, and adds it to the log. It returns the manifest.
func (b *Builder) Seal(s Seal) *seal.Manifest {
	b.t.Helper()
	tr := b.trails[s.Trail]
	if tr == nil {
		tr = &trail{days: map[event.Day]int{}}
		b.trails[s.Trail] = tr
	}
	if at := s.Day.End().Add(time.Hour); at.After(b.Clock) {
		b.Clock = at
	}
	m := &seal.Manifest{
		Schema: seal.Schema, Trail: s.Trail, Org: "default", Day: seal.Date{Day: s.Day}, Start: s.Day.Start(), End: s.Day.End(), Addendum: tr.days[s.Day],
		Seal: tr.seals + 1, Previous: tr.previous, SealedAt: b.Clock, Build: "daybook test", Config: seal.Sum([]byte("config")), Key: "none",
		Sources: []seal.Source{{Name: "test"}},
	}
	if b.signed() {
		m.Key = b.Key.ID()
	}
	if s.Addendum != nil {
		m.Addendum = *s.Addendum
	}
	b.files(m, s)
	if s.Manifest != nil {
		s.Manifest(m)
	}
	data, err := m.Encode()
	b.must(err)
	if s.Bytes != nil {
		data = s.Bytes(data)
	}
	tr.seals, tr.previous = m.Seal, seal.Sum(data)
	tr.days[s.Day]++
	lock := b.controlLock()
	if !s.NoManifest {
		b.Put(seal.ManifestKey(m.Trail, m.Seal), data, lock)
	}
	if !s.NoNote {
		signed := []byte(seal.NoteText(m, data))
		if b.signed() {
			signed, err = SignNote(m, data, b.Key)
			b.must(err)
			b.PutKey(b.Key)
		}
		if s.Note != nil {
			signed = s.Note(signed)
		}
		b.Put(seal.NoteKey(m.Trail, m.Seal), signed, lock)
	}
	if b.signed() && !s.Unlogged {
		leaf := SealLeaf(m, data)
		if s.Leaf != nil {
			s.Leaf(leaf.Seal)
		}
		b.Leaf(leaf)
	}
	return m
}

func (b *Builder) signed() bool { return b.Key != seal.Key{} }

// SealLeaf is the leaf of a seal.
func SealLeaf(m *seal.Manifest, data []byte) *logs.Leaf {
	return &logs.Leaf{Type: logs.TypeSeal, Seal: &logs.SealLeaf{Trail: m.Trail, Seal: m.Seal, Day: m.Day, Addendum: m.Addendum, Manifest: seal.Sum(data), Key: m.Key}}
}

// files makes and puts the files of a seal.
func (b *Builder) files(m *seal.Manifest, s Seal) {
	b.t.Helper()
	classes := slices.Sorted(maps.Keys(s.Rows))
	if len(classes) == 0 {
		classes = []string{"standard"} // an empty day has one set of files
	}
	for _, class := range classes {
		rows := s.Rows[class]
		slices.SortStableFunc(rows, func(a, b event.Event) int {
			return cmp.Or(a.Time.Truncate(time.Microsecond).Compare(b.Time.Truncate(time.Microsecond)), strings.Compare(a.Get(event.ID), b.Get(event.ID)))
		})
		m.Counts.Read += int64(len(rows))
		m.Counts.Written += int64(len(rows))
		if m.Addendum > 0 {
			m.Counts.Late += int64(len(rows))
		}
		for _, e := range rows {
			if e.HasFlag(event.FlagTimeSuspect) {
				m.Counts.TimeSuspect++
			}
		}
		for _, format := range b.Formats {
			if b.Split && format != formats.JSONL && format != formats.Parquet {
				byProject := map[string][]event.Event{}
				for _, e := range rows {
					byProject[e.Get(event.ProjectID)] = append(byProject[e.Get(event.ProjectID)], e)
				}
				for project, rows := range byProject {
					b.parts(m, s, format, class, seal.ByProject, project, rows)
				}
				if len(rows) == 0 {
					b.parts(m, s, format, class, seal.Rest, "", nil)
				}
				continue
			}
			b.parts(m, s, format, class, seal.Whole, "", rows)
		}
	}
	slices.SortFunc(m.Files, func(a, b seal.File) int { return strings.Compare(a.Key, b.Key) })
}

func (b *Builder) parts(m *seal.Manifest, s Seal, format formats.Format, class string, split seal.Split, project string, rows []event.Event) {
	b.t.Helper()
	for part := 1; part == 1 || len(rows) > 0; part++ {
		n := min(len(rows), b.PartRows)
		b.file(m, s, format, class, split, project, part, rows[:n])
		rows = rows[n:]
	}
}

var compressions = map[formats.Format]string{
	formats.JSONL: seal.Zstd, formats.CSV: seal.Gzip, formats.CEF: seal.Gzip, formats.Syslog: seal.Gzip, formats.Parquet: seal.Uncompressed,
}

func (b *Builder) file(m *seal.Manifest, s Seal, format formats.Format, class string, split seal.Split, project string, part int, rows []event.Event) {
	b.t.Helper()
	name := seal.FileName{
		Format: format, Class: class, Trail: m.Trail, Day: m.Day.Day, Addendum: m.Addendum, Split: split, Project: project, Part: part, Compression: compressions[format],
	}
	lock := b.lock(cmp.Or(Retain[class], Retain["standard"]))
	f := seal.File{
		Key: seal.FileKey(name), Format: format.Name, Class: class, Split: split, Project: project, Part: part, ContentType: format.ContentType,
		Compression: compressions[format], Rows: int64(len(rows)), LockMode: lock.Mode, RetainUntil: lock.RetainUntil,
	}
	for i, e := range rows {
		if i == 0 || e.Time.Before(f.First) {
			f.First = e.Time
		}
		if e.Time.After(f.Last) {
			f.Last = e.Time
		}
	}
	content := b.Render(format, formats.File{Trail: m.Trail, Class: class, Day: m.Day.Day, Addendum: m.Addendum}, rows)
	if format == formats.JSONL {
		var tree seal.Tree
		for line := range bytes.Lines(content) {
			tree.Append(bytes.TrimSuffix(line, []byte("\n")))
		}
		f.MerkleRoot = tree.Root()
	}
	if s.File != nil {
		if changed := s.File(&f, content); changed != nil {
			content = changed
		}
	}
	data := Compress(b.t, f.Compression, content)
	f.Size, f.SHA256 = int64(len(data)), seal.Sum(data)
	if !s.NoFiles {
		f.Version = b.Put(f.Key, data, lock).Version
	}
	m.Files = append(m.Files, f)
}

// Render encodes rows, uncompressed.
func (b *Builder) Render(format formats.Format, file formats.File, rows []event.Event) []byte {
	b.t.Helper()
	var out bytes.Buffer
	var enc formats.Encoder
	var err error
	switch format {
	case formats.JSONL:
		enc = jsonl.NewEncoder(&out)
	case formats.CSV:
		enc = csv.NewEncoder(&out, nil)
	case formats.CEF:
		enc = cef.NewEncoder(&out, nil)
	case formats.Syslog:
		enc = syslog.NewEncoder(&out, nil)
	case formats.Parquet:
		enc, err = parquet.NewEncoder(&out, file, nil)
	}
	b.must(err)
	b.must(enc.Encode(rows))
	b.must(enc.Close())
	return out.Bytes()
}

// Packers are used again: what they allocate is worth far more than the small files of tests.
var (
	gzips = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	zstds = sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		return w
	}}
)

// Compress packs a file.
func Compress(t testing.TB, kind string, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w interface {
		io.WriteCloser
		Reset(w io.Writer)
	}
	switch kind {
	case seal.Gzip:
		w = gzips.Get().(*gzip.Writer)
		defer gzips.Put(w)
	case seal.Zstd:
		w = zstds.Get().(*zstd.Encoder)
		defer zstds.Put(w)
	default:
		return content
	}
	w.Reset(&out)
	_, err := w.Write(content)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Rows makes n events of a day in a class, of three projects.
func Rows(class string, day event.Day, n int) []event.Event {
	var rows []event.Event
	for i := range n {
		var e event.Event
		e.Time = day.Start().Add(time.Duration((i*7919)%86400)*time.Second + time.Duration(i)*time.Millisecond)
		e.Set(event.ID, fmt.Sprintf("%s-%v-%04d", class, day, i))
		e.Set(event.Source, "test")
		e.Set(event.Org, "default")
		e.Set(event.Type, "file."+class)
		e.Set(event.Action, "file-read")
		e.Set(event.Outcome, event.Success)
		e.Set(event.ActorID, "user-1")
		e.Set(event.ObjectName, `a "name", = with; odd|characters`)
		e.Set(event.ProjectID, fmt.Sprintf("project-%d", i%3))
		e.Set(event.Info, fmt.Sprintf(`{"n":%d,"path":"/a\\b"}`, i))
		rows = append(rows, e)
	}
	return rows
}

// Good is what GoodStore made.
type Good struct {
	*Builder
	// First and Second are the keys before and after the rotation.
	First, Second seal.Key
	// Head is the newest checkpoint, Earlier the one of the fourth day.
	Head, Earlier []byte
}

// The trails of GoodStore.
const (
	Acme = "acme"
	Beta = "beta"
)

// GoodStore fills an empty store: two trails of ten days from 1 March 2026, the fifth of them empty, two classes, a rotation of the key after the sixth, one
// checkpoint a day, and an addendum to the third day of Acme, which is its last seal.
func GoodStore(t testing.TB, store sink.Store, mode sink.Mode) *Good {
	t.Helper()
	g := &Good{Builder: New(t, store, mode)}
	g.First = g.Key
	g.Second = g.NewKey("second")
	for n := 1; n <= 10; n++ {
		for _, trail := range []string{Acme, Beta} {
			s := Seal{Trail: trail, Day: Day(n)}
			if n != 5 {
				s.Rows = map[string][]event.Event{"standard": Rows("standard", Day(n), 6), "security": Rows("security", Day(n), 3)}
			}
			g.Seal(s)
		}
		if n == 6 {
			g.Rotate(g.Second)
		}
		g.Head = g.Publish()
		if n == 4 {
			g.Earlier = g.Head
		}
	}
	g.Clock = g.Clock.Add(time.Hour)
	g.Seal(Seal{Trail: Acme, Day: Day(3), Rows: map[string][]event.Event{"standard": Rows("late", Day(3), 2)}})
	g.Head = g.Publish()
	return g
}

// SignNote signs the note of a manifest, be that valid or not.
func SignNote(m *seal.Manifest, data []byte, key seal.Key) ([]byte, error) {
	return signText(seal.NoteText(m, data), key)
}
