package tlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	modtlog "golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
	"daybook/sink/sinktest"
)

func newKey(t testing.TB) seal.Key {
	t.Helper()
	k, err := seal.GenerateKey(filepath.Join(t.TempDir(), "k"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// day0 is when the tests take place.
var day0 = time.Date(2026, 3, 11, 1, 0, 0, 0, time.UTC)

func sealLeaf(trail string, n uint64, k seal.Signer) *tlog.Leaf {
	return &tlog.Leaf{
		Schema: tlog.Schema, Type: tlog.TypeSeal, Time: day0,
		Seal: &tlog.SealLeaf{
			Trail: trail, Seal: n, Day: seal.Date{Day: event.Day(20522 + int64(n))}, Manifest: seal.Sum(fmt.Appendf(nil, "%s %d", trail, n)), Key: k.Public().ID(),
		},
	}
}

// machine is one that extends a log: its folder, its key, its clock.
type machine struct {
	t     testing.TB
	store sink.Store
	dir   string
	key   seal.Signer
	opts  tlog.Options
	said  bytes.Buffer // what it logged
}

func newMachine(t testing.TB, store sink.Store, key seal.Signer) *machine {
	m := &machine{t: t, store: store, dir: sinktest.Folder(t), key: key}
	m.opts.Now = func() time.Time { return day0 }
	return m
}

func (m *machine) open() (*tlog.Log, error) {
	o := m.opts
	o.Store, o.Dir, o.Signer = m.store, m.dir, m.key
	o.Log = slog.New(slog.NewTextHandler(&m.said, nil))
	return tlog.Open(context.Background(), o)
}

func (m *machine) mustOpen() *tlog.Log {
	m.t.Helper()
	l, err := m.open()
	if err != nil {
		m.t.Fatal(err)
	}
	return l
}

// addSeals adds the trail's seals up to one, as the roll derives them from its ledger.
func addSeals(l *tlog.Log, trail string, upTo uint64, k seal.Signer) error {
	for n := l.Logged(trail) + 1; n <= upTo; n++ {
		if err := l.Add(sealLeaf(trail, n, k)); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) publish(l *tlog.Log, trail string, upTo uint64) tlog.Head {
	m.t.Helper()
	if err := addSeals(l, trail, upTo, m.key); err != nil {
		m.t.Fatal(err)
	}
	h, err := l.Publish(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	return h
}

// checkStore is the oracle: all that a store's log must be, whatever happened to those who wrote it. It returns the leaves under its newest checkpoint.
func checkStore(t testing.TB, store *sinktest.Memory) []*tlog.Leaf {
	t.Helper()
	ctx := context.Background()
	store.Heal()
	var sizes []int64
	for size, err := range tlog.Checkpoints(ctx, store) {
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, size)
	}
	if len(sizes) == 0 {
		return nil
	}
	_, data, err := tlog.Newest(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	head, err := tlog.ParseCheckpoint(data)
	if err != nil {
		t.Fatal(err)
	}
	var keys tlog.Keyring
	var leaves []*tlog.Leaf
	var entries [][]byte
	logged := map[string]uint64{}
	newest := tlog.NewReader(store, head)
	for e, err := range newest.Entries(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := keys.Apply(e.Index, e.Data)
		if err != nil {
			t.Fatal(err)
		}
		if leaf.Type == tlog.TypeSeal {
			if logged[leaf.Seal.Trail]++; logged[leaf.Seal.Trail] != leaf.Seal.Seal {
				t.Fatalf("leaf %d: seal %d of %s after %d", e.Index, leaf.Seal.Seal, leaf.Seal.Trail, logged[leaf.Seal.Trail]-1)
			}
			if err := keys.Check(leaf.Seal.Key, e.Index); err != nil {
				t.Fatal(err)
			}
		}
		leaves, entries = append(leaves, leaf), append(entries, bytes.Clone(e.Data))
	}
	before := int64(0)
	for _, size := range sizes {
		data, err := tlog.ReadCheckpoint(ctx, store, size)
		if err != nil {
			t.Fatal(err)
		}
		key, err := keys.Signer(size)
		if err != nil && !errors.Is(err, tlog.ErrRevoked) {
			t.Fatal(err)
		}
		c, err := tlog.OpenCheckpoint(data, key)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := newest.Consistency(ctx, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := modtlog.CheckTree(proof, head.Size, modtlog.Hash(head.Root), size, modtlog.Hash(c.Root)); err != nil {
			t.Fatalf("checkpoints of %d and %d: %v", size, head.Size, err)
		}
		// Each can be read by itself: all its tiles are there.
		n := 0
		for e, err := range tlog.NewReader(store, c).Entries(ctx, 0) {
			if err != nil {
				t.Fatalf("checkpoint of %d: %v", size, err)
			}
			if !bytes.Equal(e.Data, entries[e.Index]) {
				t.Fatalf("checkpoint of %d: leaf %d is another", size, e.Index)
			}
			n++
		}
		if int64(n) != size {
			t.Fatalf("checkpoint of %d: %d leaves", size, n)
		}
		if store.Bytes(tlog.NextKey(before)) == nil {
			t.Fatalf("%s is not there", tlog.NextKey(before))
		}
		before = size
	}
	if next := store.Bytes(tlog.NextKey(before)); next != nil {
		t.Fatalf("%s is there, but was not completed", tlog.NextKey(before))
	}
	for _, k := range keys.Keys() {
		if !bytes.Equal(store.Bytes(seal.KeyKey(k.Key.ID())), k.Key.PEM()) {
			t.Fatalf("key %s is not in the store", k.Key.ID())
		}
	}
	for _, key := range store.Keys() {
		if h := store.History(key); len(h) != 1 {
			t.Fatalf("%s has %d versions", key, len(h))
		}
	}
	return leaves
}

// files are those in a folder, by their names in it.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func copyDir(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(sinktest.Folder(t), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// wantHint fails unless err is of that kind and comes with a way out.
func wantHint(t testing.TB, what string, err, want error) {
	t.Helper()
	var hint *sink.HintError
	if !errors.Is(err, want) || !errors.As(err, &hint) || hint.Hint == "" {
		t.Errorf("%s: error %v, want %v with a hint", what, err, want)
	}
}

// watched is a store that tells of each Put before it takes place.
type watched struct {
	*sinktest.Memory
	before func(o sink.Object)
}

func (w *watched) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	w.before(o)
	return w.Memory.Put(ctx, o)
}

func body(t testing.TB, o sink.Object) []byte {
	t.Helper()
	data, err := io.ReadAll(io.NewSectionReader(o.Body, 0, o.Size))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
