package tlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	modtlog "golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// published returns a store with a log of so many leaves, and its head.
func published(t testing.TB, seals uint64) (*sinktest.Memory, tlog.Head) {
	t.Helper()
	store := sinktest.NewMemory(t, nil)
	m := newMachine(t, store, newKey(t))
	return store, m.publish(m.mustOpen(), "acme", seals)
}

func TestReader(t *testing.T) {
	ctx := context.Background()
	store, head := published(t, 599)
	r := tlog.NewReader(store, head.Checkpoint)
	next := int64(300)
	for e, err := range r.Entries(ctx, 300) {
		if err != nil {
			t.Fatal(err)
		}
		if l, _, err := tlog.ParseLeaf(e.Data); err != nil || e.Index != next || int64(l.Seal.Seal) != next {
			t.Fatalf("leaf %d: %+v, %v", e.Index, l, err)
		}
		if next++; next == 590 {
			break
		}
	}
	for range r.Entries(ctx, 600) {
		t.Error("there is something at the end")
	}
	var previous []byte
	for _, index := range []int64{0, 255, 256, 599} {
		entry, proof, err := r.Inclusion(ctx, index)
		if err != nil {
			t.Fatal(err)
		}
		check := func(p modtlog.RecordProof, size int64, root seal.Hash, i int64, e []byte) error {
			return modtlog.CheckRecord(p, size, modtlog.Hash(root), i, modtlog.RecordHash(e))
		}
		if err := check(proof, 600, head.Root, index, entry); err != nil {
			t.Error(err)
		}
		// Forged: another leaf, another place, another tree, another size, a hash changed, left out, added.
		changed := append(modtlog.RecordProof(nil), proof...)
		changed[0][5] ^= 1
		for what, err := range map[string]error{
			"leaf":  check(proof, 600, head.Root, index, append(bytes.Clone(entry), ' ')),
			"old":   check(proof, 600, head.Root, index, previous),
			"index": check(proof, 600, head.Root, (index+1)%600, entry),
			"root":  check(proof, 600, seal.Sum(nil), index, entry),
			"size":  check(proof, 1200, head.Root, index, entry), // one of the same shape is told by the checkpoint's signature alone
			"hash":  check(changed, 600, head.Root, index, entry),
			"short": check(proof[1:], 600, head.Root, index, entry),
			"long":  check(append(proof, modtlog.Hash{}), 600, head.Root, index, entry),
		} {
			if err == nil {
				t.Errorf("leaf %d: a proof with another %s passes", index, what)
			}
		}
		previous = entry
	}
	for _, index := range []int64{-1, 600, 1 << 62} {
		if _, _, err := r.Inclusion(ctx, index); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("leaf %d: %v", index, err)
		}
	}
	for _, old := range []int64{1, 255, 256, 257, 600} {
		root, err := r.RootAt(ctx, old)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := r.Consistency(ctx, old)
		if err != nil {
			t.Fatal(err)
		}
		check := func(p modtlog.TreeProof, size int64, old int64, root seal.Hash) error {
			return modtlog.CheckTree(p, size, modtlog.Hash(head.Root), old, modtlog.Hash(root))
		}
		if err := check(proof, 600, old, root); err != nil {
			t.Errorf("from %d: %v", old, err)
		}
		if old == 600 {
			continue
		}
		for what, err := range map[string]error{
			"old size": check(proof, 600, old+1, root),
			"new size": check(proof, 1200, old, root),
			"old root": check(proof, 600, old, seal.Sum(nil)),
			"short":    check(proof[1:], 600, old, root),
			"long":     check(append(proof, modtlog.Hash{}), 600, old, root),
		} {
			if err == nil {
				t.Errorf("from %d: a proof with another %s passes", old, what)
			}
		}
	}
	for _, old := range []int64{-1, 0, 601} {
		if _, err := r.Consistency(ctx, old); err == nil {
			t.Errorf("a proof from %d", old)
		}
	}
	if root, err := r.RootAt(ctx, 0); err != nil || root != seal.Sum(nil) {
		t.Errorf("the empty tree: %v, %v", root, err)
	}
	for _, size := range []int64{-1, 601} {
		if _, err := r.RootAt(ctx, size); err == nil {
			t.Errorf("a root of size %d", size)
		}
	}
	if _, _, err := tlog.Newest(ctx, sinktest.NewMemory(t, nil)); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("the newest of none: %v", err)
	}
}

// Whatever is done to a tile, the reader says so, and hands out nothing that is not under the checkpoint.
func TestReaderOfDamagedTiles(t *testing.T) {
	effort.NeedsLong(t)
	ctx := context.Background()
	store, head := published(t, 299)
	read := func(s *sinktest.Memory, c tlog.Checkpoint) (n int, err error) {
		for _, err := range tlog.NewReader(s, c).Entries(ctx, 0) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}
	for _, key := range []string{"tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"} {
		key = tlog.Prefix + key
		good := store.Bytes(key)
		for what, bad := range map[string][]byte{
			"empty":    {},
			"cut":      good[:len(good)-1],
			"longer":   append(bytes.Clone(good), 0),
			"huge":     make([]byte, 20<<20),
			"zeroes":   make([]byte, len(good)),
			"last bit": append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1),
			"swapped":  append(bytes.Clone(good[len(good)/2:]), good[:len(good)/2]...),
		} {
			s := store.Clone(t)
			s.Replace(key, bad)
			if what == "swapped" && bytes.Equal(bad, good) {
				continue
			}
			if n, err := read(s, head.Checkpoint); !errors.Is(err, tlog.ErrLog) || n > 256 {
				t.Errorf("%s %s: %d entries, %v, want ErrLog", key, what, n, err)
			}
		}
		s := store.Clone(t)
		s.Erase(key)
		if _, err := read(s, head.Checkpoint); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("%s removed: %v", key, err)
		}
		s = store.Clone(t)
		s.Hide(key)
		if _, err := read(s, head.Checkpoint); !errors.Is(err, sink.ErrHidden) {
			t.Errorf("%s hidden: %v", key, err)
		}
	}
	for what, c := range map[string]tlog.Checkpoint{
		"another root":   {Origin: head.Origin, Size: 300, Root: seal.Sum(nil)},
		"a size too few": {Origin: head.Origin, Size: 299, Root: head.Root},
		"far too large":  {Origin: head.Origin, Size: tlog.MaxSize, Root: head.Root},
	} {
		if n, err := read(store, c); err == nil || n > 0 {
			t.Errorf("%s: %d entries, %v", what, n, err)
		}
		if _, _, err := tlog.NewReader(store, c).Inclusion(ctx, 5); err == nil {
			t.Errorf("%s: a leaf is proven", what)
		}
	}
}

// A log of hostile size costs nothing but the reading.
func TestOpenHugeCheckpoint(t *testing.T) {
	key := newKey(t)
	store := sinktest.NewMemory(t, nil)
	data, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: "x", Size: tlog.MaxSize, Root: seal.Sum(nil)}, key)
	if err != nil {
		t.Fatal(err)
	}
	store.Overwrite(tlog.CheckpointKey(tlog.MaxSize), data, sink.Lock{})
	if _, err := newMachine(t, store, key).open(); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("a checkpoint without tiles: %v", err)
	}
	blank := sinktest.NewMemory(t, nil)
	blank.Overwrite(tlog.NextKey(0), append(fmt.Appendf(nil, "%c%c%s", len(data)>>8, len(data), data), make([]byte, 16<<20)...), sink.Lock{})
	if _, err := newMachine(t, blank, key).open(); !errors.Is(err, tlog.ErrForked) {
		t.Errorf("a step of blank entries: %v", err)
	}
}
