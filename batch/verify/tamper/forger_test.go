package tamper_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/jsonl"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// forger has a copy of the good store in his hands, behind the store's back, and both signing keys. What he does not change keeps its version and its lock.
type forger struct {
	*sinktest.Memory
	t testing.TB
	w *world
	// o is what the auditor holds.
	o *verify.Options
	// at is the object that a finding must name, if it is set.
	at string
}

func (f *forger) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// put puts an object in the place of another, if there is one, and locks it like the other, or like the control objects.
func (f *forger) put(key string, data []byte) {
	f.t.Helper()
	if len(f.History(key)) > 0 {
		f.Replace(key, data)
		return
	}
	f.Overwrite(key, data, f.controlLock())
}

func (f *forger) controlLock() sink.Lock {
	return f.History(tlog.CheckpointKey(f.w.size()))[0].Lock
}

// move gives an object another name.
func (f *forger) move(from, to string) {
	f.t.Helper()
	data, lock := f.Bytes(from), f.History(from)[0].Lock
	f.Erase(from)
	if len(f.History(to)) > 0 {
		f.Erase(to)
	}
	f.Overwrite(to, data, lock)
}

// rekey gives the files of a manifest the names that its trail, day and addendum make.
func (f *forger) rekey(m *seal.Manifest) {
	f.t.Helper()
	for i := range m.Files {
		name, err := m.Files[i].Name(m)
		f.must(err)
		if to := seal.FileKey(name); to != m.Files[i].Key {
			f.move(m.Files[i].Key, to)
			m.Files[i].Key, m.Files[i].Version = to, f.History(to)[0].ID
		}
	}
}

// eraseAll removes every object whose key has the prefix.
func (f *forger) eraseAll(prefix string) {
	for _, key := range f.Keys() {
		if strings.HasPrefix(key, prefix) {
			f.Erase(key)
		}
	}
}

// eraseSeal removes a seal with its files.
func (f *forger) eraseSeal(trail string, n uint64) {
	for _, file := range f.manifest(trail, n).Files {
		f.Erase(file.Key)
	}
	f.Erase(seal.ManifestKey(trail, n))
	f.Erase(seal.NoteKey(trail, n))
}

func (f *forger) manifest(trail string, n uint64) *seal.Manifest {
	f.t.Helper()
	m, err := seal.ParseManifest(f.Bytes(seal.ManifestKey(trail, n)))
	f.must(err)
	return m
}

// encode writes a manifest that Encode would refuse.
func (f *forger) encode(m *seal.Manifest) []byte {
	f.t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	f.must(enc.Encode(m))
	return b.Bytes()
}

// sign signs the note of a manifest.
func (f *forger) sign(m *seal.Manifest, data []byte, keys ...seal.Key) []byte {
	f.t.Helper()
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k)
	}
	signed, err := note.Sign(&note.Note{Text: seal.NoteText(m, data)}, signers...)
	f.must(err)
	return signed
}

// key is the one that was in force at a leaf of the good log.
func (f *forger) key(index int64) seal.Key {
	if index < f.rotation()+1 {
		return f.w.first
	}
	return f.w.second
}

// rotation is the leaf by which the second key took over.
func (f *forger) rotation() int64 { return f.w.sizes[rotatedAfter-1] - 1 }

// index is the leaf of a seal of acme in the good log.
func (f *forger) index(n uint64) int {
	f.t.Helper()
	i := slices.IndexFunc(f.leaves(), func(l *tlog.Leaf) bool { return l.Seal != nil && l.Seal.Trail == acme && l.Seal.Seal == n })
	if i < 0 {
		f.t.Fatalf("seal %d is not in the log", n)
	}
	return i
}

func (f *forger) leaves() []*tlog.Leaf {
	f.t.Helper()
	var list []*tlog.Leaf
	for _, entry := range f.w.Leaves {
		l, _, err := tlog.ParseLeaf(entry)
		f.must(err)
		list = append(list, l)
	}
	return list
}

// forgery is what a holder of the signing keys changes before he signs everything anew.
type forgery struct {
	// manifest changes a seal's manifest; nil or no change leaves it.
	manifest func(m *seal.Manifest)
	// bytes changes the encoded manifest.
	bytes func(m *seal.Manifest, data []byte) []byte
	// signer is the key that signs a seal's note, if it is not the one that is due.
	signer func(m *seal.Manifest) (seal.Key, bool)
	// drop leaves seals out; those after them move up.
	drop func(m *seal.Manifest) bool
	// entries changes the leaves of the log before they are put under checkpoints.
	entries func(entries [][]byte) [][]byte
	// noLog leaves the log as it is, keepAnchors the receipts of the checkpoints that were.
	noLog, keepAnchors bool
}

// forge rewrites history from the first seal that changes: manifests are chained, notes signed and the log made anew, all with the right keys. What witnesses
// and time-stamping authorities said of the log as it was is removed.
func (f *forger) forge(by forgery) {
	f.t.Helper()
	type trail struct {
		seals    uint64
		previous seal.Hash
	}
	trails := map[string]*trail{acme: {}, beta: {}}
	var entries [][]byte
	var sizes []int64 // the new size for each old one
	for i, leaf := range f.leaves() {
		if leaf.Seal == nil {
			entries = append(entries, f.w.Leaves[i])
		} else if entry := f.reseal(by, leaf, int64(i), &trails[leaf.Seal.Trail].seals, &trails[leaf.Seal.Trail].previous); entry != nil {
			entries = append(entries, entry)
		}
		if slices.Contains(f.w.sizes, int64(i)+1) {
			sizes = append(sizes, int64(len(entries)))
		}
	}
	if by.noLog {
		return
	}
	if by.entries != nil {
		entries = by.entries(entries)
		sizes[len(sizes)-1] = int64(len(entries))
	}
	f.relog(entries, slices.Compact(sizes))
	if !by.keepAnchors {
		f.noAnchors()
	}
}

// reseal forges one seal, and returns its leaf; nil if it is left out.
func (f *forger) reseal(by forgery, leaf *tlog.Leaf, index int64, seals *uint64, previous *seal.Hash) []byte {
	f.t.Helper()
	was := *leaf.Seal
	m := f.manifest(was.Trail, was.Seal)
	if by.drop != nil && by.drop(m) {
		f.eraseSeal(was.Trail, was.Seal)
		return nil
	}
	m.Seal, m.Previous = *seals+1, *previous
	if by.manifest != nil {
		by.manifest(m)
	}
	slices.SortFunc(m.Files, func(a, b seal.File) int { return strings.Compare(a.Key, b.Key) })
	data := f.encode(m)
	if by.bytes != nil {
		data = by.bytes(m, data)
	}
	*seals, *previous = m.Seal, seal.Sum(data)
	if m.Seal != was.Seal {
		f.move(seal.ManifestKey(was.Trail, was.Seal), seal.ManifestKey(was.Trail, m.Seal))
		f.move(seal.NoteKey(was.Trail, was.Seal), seal.NoteKey(was.Trail, m.Seal))
	}
	if key := seal.ManifestKey(was.Trail, m.Seal); !bytes.Equal(data, f.Bytes(key)) {
		signer := f.key(index)
		if by.signer != nil {
			if k, ok := by.signer(m); ok {
				signer = k
			}
		}
		f.put(key, data)
		f.put(seal.NoteKey(was.Trail, m.Seal), f.sign(m, data, signer))
	}
	s := verifytest.SealLeaf(m, data)
	s.Schema, s.Time = tlog.Schema, leaf.Time
	entry, err := s.Encode()
	f.must(err)
	return entry
}

// relog makes the log anew, of these leaves, with checkpoints of these sizes, each signed by the key that the leaves say. Anchors stay.
func (f *forger) relog(entries [][]byte, sizes []int64) *verifytest.Builder {
	f.t.Helper()
	for _, key := range f.Keys() {
		if _, _, _, anchor := tlog.ParseAnchorKey(key); strings.HasPrefix(key, tlog.Prefix) && !anchor {
			f.Erase(key)
		}
	}
	b := f.builder()
	b.Key, b.Clock = f.w.first, f.w.base.Start()
	for i, entry := range entries {
		b.Entry(entry)
		if l, _, err := tlog.ParseLeaf(entry); err == nil {
			b.Clock = l.Time
			if l.Key != nil && l.Key.Action == tlog.Rotate && l.Key.Key == f.w.second.Public().VerifierKey() {
				b.Key = f.w.second
			}
		}
		if slices.Contains(sizes, int64(i)+1) {
			b.Publish()
		}
	}
	return b
}

// builder writes into the copy, past all that the store would refuse.
func (f *forger) builder() *verifytest.Builder {
	return verifytest.NewUnsigned(f.t, &behind{f}, sink.Compliance)
}

// noAnchors removes what would give him away to an auditor who holds nothing.
func (f *forger) noAnchors() { f.eraseAll(tlog.Prefix + "anchors/") }

// behind is a store that takes everything.
type behind struct{ *forger }

func (b *behind) Put(_ context.Context, o sink.Object) (sink.Info, error) {
	data, err := io.ReadAll(io.NewSectionReader(o.Body, 0, o.Size))
	if err != nil {
		return sink.Info{}, err
	}
	if len(b.History(o.Key)) > 0 {
		b.Replace(o.Key, data)
		if versions := b.History(o.Key); o.Lock.Covers(versions[len(versions)-1].Lock) {
			b.SetLock(o.Key, o.Lock)
		}
	} else {
		b.Overwrite(o.Key, data, o.Lock)
	}
	return b.Head(context.Background(), o.Key, "")
}

// unpack returns what a file holds.
func (f *forger) unpack(key string) []byte {
	f.t.Helper()
	data := f.Bytes(key)
	switch {
	case strings.HasSuffix(key, ".gz"):
		r, err := gzip.NewReader(bytes.NewReader(data))
		f.must(err)
		data, err = io.ReadAll(r)
		f.must(err)
	case strings.HasSuffix(key, ".zst"):
		r, err := zstd.NewReader(nil)
		f.must(err)
		defer r.Close()
		data, err = r.DecodeAll(data, nil)
		f.must(err)
	}
	return data
}

// pack is the reverse of unpack.
func (f *forger) pack(key string, content []byte) []byte {
	f.t.Helper()
	switch {
	case strings.HasSuffix(key, ".gz"):
		return verifytest.Compress(f.t, seal.Gzip, content)
	case strings.HasSuffix(key, ".zst"):
		return verifytest.Compress(f.t, seal.Zstd, content)
	}
	return content
}

// edit changes what a file holds, and nothing else. The file gets another size, as it nearly always would, so that what is found does not hang on luck.
func (f *forger) edit(key string, change func(content []byte) []byte) {
	f.t.Helper()
	content := change(f.unpack(key))
	data := f.pack(key, content)
	if half := len(content) / 2; len(data) == len(f.Bytes(key)) { // frames and members that follow each other are one file
		data = append(f.pack(key, content[:half]), f.pack(key, content[half:])...)
	}
	f.Replace(key, data)
}

// claim makes a file's entry in a manifest say what the file is now. rows also counts the rows of evidence and takes their root.
func (f *forger) claim(file *seal.File, rows bool) {
	f.t.Helper()
	data := f.Bytes(file.Key)
	file.Size, file.SHA256 = int64(len(data)), seal.Sum(data)
	if !rows || file.Format != formats.JSONL.Name {
		return
	}
	var tree seal.Tree
	for line := range bytes.Lines(f.unpack(file.Key)) {
		tree.Append(bytes.TrimSuffix(line, []byte("\n")))
	}
	file.Rows, file.MerkleRoot = int64(tree.Rows()), tree.Root()
}

// events reads the rows of an evidence file.
func (f *forger) events(key string) []event.Event {
	f.t.Helper()
	var list []event.Event
	for line := range bytes.Lines(f.unpack(key)) {
		var e event.Event
		f.must(jsonl.ParseRow(bytes.TrimSuffix(line, []byte("\n")), &e))
		list = append(list, e.Clone())
	}
	return list
}

// claims returns a change of manifests that makes the one of a seal of acme say what its files are now.
func (f *forger) claims(n uint64, rows bool) func(m *seal.Manifest) {
	return func(m *seal.Manifest) {
		if m.Trail != acme || m.Seal != n {
			return
		}
		for i := range m.Files {
			if !bytes.Equal(f.Bytes(m.Files[i].Key), f.w.memory.Bytes(m.Files[i].Key)) {
				f.claim(&m.Files[i], rows)
			}
		}
	}
}

// render writes the first part of the standard class of a seal anew in all formats, or in those given, from other events, so that all of them agree, and makes the manifest agree as well.
func (f *forger) render(m *seal.Manifest, events []event.Event, only ...formats.Format) {
	f.t.Helper()
	for i := range m.Files {
		file := &m.Files[i]
		format, err := formats.Named(file.Format)
		f.must(err)
		if file.Class != standard || file.Part != 1 {
			continue
		}
		if format == formats.JSONL {
			more := int64(len(events)) - file.Rows
			m.Counts.Written, m.Counts.Read = m.Counts.Written+more, m.Counts.Read+more
		}
		file.Rows = int64(len(events))
		file.First, file.Last = span(events)
		if len(only) == 0 || slices.Contains(only, format) {
			content := f.builder().Render(format, formats.File{Trail: m.Trail, Class: standard, Day: m.Day.Day, Addendum: m.Addendum}, events)
			f.Replace(file.Key, f.pack(file.Key, content))
			f.claim(file, true)
		}
	}
}

// span returns the first and the last time of events.
func span(events []event.Event) (first, last time.Time) {
	for i, e := range events {
		if i == 0 || e.Time.Before(first) {
			first = e.Time
		}
		if e.Time.After(last) {
			last = e.Time
		}
	}
	return first, last
}
