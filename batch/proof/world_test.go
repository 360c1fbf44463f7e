package proof_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/klauspost/compress/zstd"
	xtlog "golang.org/x/mod/sumdb/tlog"

	"daybook/batch/proof"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// world is a store that is made by hand, so that a test can forge every part of it with the right key.
type world struct {
	t       testing.TB
	store   *sinktest.Memory
	origin  string
	signer  seal.Key // in force
	entries [][]byte
	last    map[string]seal.Hash // of each trail
	next    map[string]uint64
}

func newKey(t testing.TB, name string) seal.Key {
	t.Helper()
	k, err := seal.GenerateKey(filepath.Join(t.TempDir(), "key"), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newWorld begins a log.
func newWorld(t testing.TB, origin string) *world {
	w := &world{t: t, store: sinktest.NewMemory(t, nil), origin: origin, signer: newKey(t, "one"), last: map[string]seal.Hash{}, next: map[string]uint64{}}
	w.leaf(&tlog.Leaf{Type: tlog.TypeKey, Key: &tlog.KeyLeaf{Action: tlog.Genesis, Origin: origin, Key: w.signer.Public().VerifierKey()}}, w.signer)
	return w
}

func at(day event.Day, hour int) time.Time { return day.Start().Add(time.Duration(hour) * time.Hour) }

func (w *world) put(key string, data []byte) {
	w.t.Helper()
	o := sink.Object{Key: key, ContentType: "x/x", Size: int64(len(data)), SHA256: seal.Sum(data), Body: bytes.NewReader(data)}
	if _, err := w.store.Put(context.Background(), o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) leaf(l *tlog.Leaf, signers ...seal.Signer) {
	w.t.Helper()
	l.Schema, l.Time = tlog.Schema, at(20_600, len(w.entries))
	entry, err := l.Encode(signers...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.entries = append(w.entries, entry)
}

// rotate has another key take over.
func (w *world) rotate(name string) {
	w.t.Helper()
	next := newKey(w.t, name)
	w.leaf(&tlog.Leaf{Type: tlog.TypeKey, Key: &tlog.KeyLeaf{
		Action: tlog.Rotate, Key: next.Public().VerifierKey(), Previous: w.signer.Public().VerifierKey(),
	}}, w.signer, next)
	w.signer = next
}

func (w *world) revoke(key seal.Key, from int64) {
	w.t.Helper()
	w.leaf(&tlog.Leaf{Type: tlog.TypeKey, Key: &tlog.KeyLeaf{Action: tlog.Revoke, Key: key.Public().VerifierKey(), From: from, Reason: "stolen"}}, w.signer)
}

// row is an evidence row.
func row(id, source string, t time.Time) string {
	var e event.Event
	e.Time = t
	e.Set(event.ID, id)
	e.Set(event.Source, source)
	e.Set(event.Org, "default")
	e.Set(event.Action, "project-describe")
	e.Set(event.ActorID, "user-1")
	return string(e.AppendJSON(nil))
}

// rows makes that many of a day.
func rows(prefix string, day event.Day, n int) []string {
	var list []string
	for i := range n {
		list = append(list, row(fmt.Sprintf("%s-%d", prefix, i), "import", day.Start().Add(time.Duration(i)*time.Millisecond)))
	}
	return list
}

func (w *world) evidence(m *seal.Manifest, rows []string) seal.File {
	w.t.Helper()
	var b bytes.Buffer
	// Without a checksum of its own a flipped bit is for us to find.
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		w.t.Fatal(err)
	}
	var tree seal.Tree
	f := seal.File{Format: formats.JSONL.Name, Class: "standard", Part: 1, ContentType: formats.JSONL.ContentType, Compression: seal.Zstd, Rows: int64(len(rows))}
	for _, r := range rows {
		tree.Append([]byte(r))
		if _, err := z.Write([]byte(r + "\n")); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		w.t.Fatal(err)
	}
	if len(rows) > 0 {
		f.First, f.Last = m.Start, m.End.Add(-1)
	}
	f.Size, f.SHA256, f.MerkleRoot = int64(b.Len()), seal.Sum(b.Bytes()), tree.Root()
	name, err := f.Name(m)
	if err != nil {
		w.t.Fatal(err)
	}
	f.Key = seal.FileKey(name)
	w.put(f.Key, b.Bytes())
	return f
}

// seal closes a day.
func (w *world) seal(trail string, day event.Day, addendum int, rows ...string) {
	w.t.Helper()
	w.next[trail]++
	m := &seal.Manifest{
		Schema: seal.Schema, Trail: trail, Org: "default", Day: seal.Date{Day: day}, Start: day.Start(), End: day.End(),
		Seal: w.next[trail], Addendum: addendum, Previous: w.last[trail], SealedAt: day.End().Add(time.Hour), Build: "test",
		Config: seal.Sum([]byte("config")), Key: w.signer.Public().ID(),
		Counts: seal.Counts{Read: int64(len(rows)), Written: int64(len(rows))},
	}
	m.Files = []seal.File{w.evidence(m, rows)}
	manifest, err := m.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	note, err := seal.Note(manifest, w.signer)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(seal.ManifestKey(trail, m.Seal), manifest)
	w.put(seal.NoteKey(trail, m.Seal), note)
	w.last[trail] = seal.Sum(manifest)
	w.leaf(&tlog.Leaf{Type: tlog.TypeSeal, Seal: &tlog.SealLeaf{
		Trail: trail, Seal: m.Seal, Day: m.Day, Addendum: addendum, Manifest: seal.Sum(manifest), Key: m.Key,
	}})
}

// tree returns the log's hashes, and its checkpoint.
func (w *world) tree() (reader xtlog.HashReader, signed []byte) {
	w.t.Helper()
	var stored []xtlog.Hash
	reader = xtlog.HashReaderFunc(func(indexes []int64) ([]xtlog.Hash, error) {
		var list []xtlog.Hash
		for _, i := range indexes {
			list = append(list, stored[i])
		}
		return list, nil
	})
	for i, entry := range w.entries {
		more, err := xtlog.StoredHashes(int64(i), entry, reader)
		if err != nil {
			w.t.Fatal(err)
		}
		stored = append(stored, more...)
	}
	n := int64(len(w.entries))
	root, err := xtlog.TreeHash(n, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	signed, err = tlog.SignCheckpoint(tlog.Checkpoint{Origin: w.origin, Size: n, Root: seal.Hash(root)}, w.signer)
	if err != nil {
		w.t.Fatal(err)
	}
	return reader, signed
}

// publish puts the log, and returns its checkpoint.
func (w *world) publish() []byte {
	w.t.Helper()
	n := len(w.entries)
	if n > torchwood.TileWidth {
		w.t.Fatal("the log of a test has one tile")
	}
	var bundle, hashes []byte
	for _, entry := range w.entries {
		var err error
		if bundle, err = torchwood.AppendTileEntry(bundle, entry); err != nil {
			w.t.Fatal(err)
		}
		leaf := xtlog.RecordHash(entry)
		hashes = append(hashes, leaf[:]...)
	}
	tile := xtlog.Tile{H: torchwood.TileHeight, L: 0, N: 0, W: n}
	w.put(tlog.TileKey(tile), hashes)
	tile.L = -1
	w.put(tlog.TileKey(tile), bundle)
	_, signed := w.tree()
	w.put(tlog.CheckpointKey(int64(n)), signed)
	return signed
}

// forged publishes the log as it is, and returns what a proof would have of it for that leaf, whatever its keys say.
func (w *world) forged(index int64) proof.Log {
	w.t.Helper()
	reader, _ := w.tree()
	log := proof.Log{Checkpoint: string(w.publish())}
	known := map[string]bool{}
	for i, entry := range w.entries {
		path, err := xtlog.ProveRecord(int64(len(w.entries)), int64(i), reader)
		if err != nil {
			w.t.Fatal(err)
		}
		l := proof.Leaf{Index: int64(i), Entry: string(entry)}
		for _, h := range path {
			l.Path = append(l.Path, seal.Hash(h))
		}
		leaf, _, err := tlog.ParseLeaf(entry)
		if err != nil {
			w.t.Fatal(err)
		}
		if leaf.Type == tlog.TypeKey {
			key, err := seal.ParseVerifierKey(leaf.Key.Key)
			if err != nil {
				w.t.Fatal(err)
			}
			log.Keys = append(log.Keys, l)
			if !known[key.ID()] {
				log.PublicKeys = append(log.PublicKeys, string(key.PEM()))
			}
			known[key.ID()] = true
		}
		if l.Index == index {
			log.Seal = l
		}
	}
	return log
}

const firstDay event.Day = 20_500

// rotated is a store of two trails, whose key was followed by two others; the first was revoked from after its time.
func rotated(t testing.TB) (w *world, keys []seal.Key) {
	w = newWorld(t, "daybook/test")
	keys = append(keys, w.signer)
	w.seal("audit", firstDay, 0, rows("a", firstDay, 7)...)
	w.seal("other", firstDay, 0, rows("o", firstDay, 3)...)
	w.rotate("two")
	keys = append(keys, w.signer)
	w.seal("audit", firstDay+1, 0, rows("b", firstDay+1, 1000)...)
	w.seal("audit", firstDay, 1, rows("c", firstDay, 1)...)
	w.rotate("three")
	keys = append(keys, w.signer)
	w.seal("audit", firstDay+2, 0)
	w.revoke(keys[0], 4)
	w.seal("other", firstDay+1, 0, rows("b", firstDay+1, 5)...)
	w.publish()
	return w, keys
}

func publicKeys(keys ...seal.Key) []seal.PublicKey {
	var list []seal.PublicKey
	for _, k := range keys {
		list = append(list, k.Public())
	}
	return list
}

func mustMake(t testing.TB, w *world, id string, o *proof.Options) *proof.Proof {
	t.Helper()
	p, err := proof.Make(context.Background(), w.store, id, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reparsed is a copy of p.
func reparsed(t testing.TB, p *proof.Proof) *proof.Proof {
	t.Helper()
	again, err := proof.Parse(p.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func mustRefuse(t testing.TB, name string, p *proof.Proof, want error, keys ...seal.PublicKey) {
	t.Helper()
	r, err := p.Check(keys, nil, nil)
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v (%+v)", name, err, want, r)
	}
}

func fingerprints(list []proof.KeyResult) []string {
	var out []string
	for _, k := range list {
		out = append(out, k.Fingerprint)
	}
	return slices.Clip(out)
}
