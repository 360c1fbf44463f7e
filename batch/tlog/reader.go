package tlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/sink"
)

// Entry is a leaf's bytes, and its index in the log.
type Entry struct {
	Index int64
	Data  []byte
}

// Reader reads the log that lies under a checkpoint. Whatever it hands out is proven to lie there, or the error is ErrLog; whether the checkpoint is to be
// trusted is the caller's affair. It keeps in memory one bundle of entries (at most 16 MiB, by their format) and a few tiles. Its methods are not safe for
// concurrent use.
type Reader struct {
	fetch func(ctx context.Context, key string, limit int64) ([]byte, error)
	head  Checkpoint
	// proven are tiles of hashes that were read and found good: those at the log's right edge are needed for each proof.
	proven map[tlog.Tile][]byte
}

// maxProven is how many tiles of hashes, of at most 8 KiB, a Reader keeps.
const maxProven = 64

// NewReader returns a reader of the log in store, under checkpoint c.
func NewReader(store sink.Store, c Checkpoint) *Reader {
	return newReader(fetcher(store), c)
}

func newReader(fetch func(context.Context, string, int64) ([]byte, error), c Checkpoint) *Reader {
	return &Reader{fetch: fetch, head: c, proven: map[tlog.Tile][]byte{}}
}

func fetcher(store sink.Store) func(context.Context, string, int64) ([]byte, error) {
	return func(ctx context.Context, key string, limit int64) ([]byte, error) {
		return fetch(ctx, store, key, limit)
	}
}

// fetch reads an object of at most limit bytes; a larger one is ErrLog.
func fetch(ctx context.Context, store sink.Store, key string, limit int64) ([]byte, error) {
	r, err := store.Get(ctx, key, "")
	if err != nil {
		return nil, err
	}
	data, err := readAtMost(r, key, limit)
	if closeErr := r.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("%s: %w", key, closeErr)
	}
	return data, err
}

func readAtMost(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: it has more than the %d bytes that it can have", name, ErrLog, limit)
	}
	return data, nil
}

// Checkpoint is what everything is checked against.
func (r *Reader) Checkpoint() Checkpoint { return r.head }

// Entries yields the entries from an index to the end. An error ends the sequence.
func (r *Reader) Entries(ctx context.Context, from int64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if from < 0 || from > r.head.Size {
			yield(Entry{}, fmt.Errorf("leaf %d of %d", from, r.head.Size))
			return
		}
		for from < r.head.Size {
			t := r.bundleOf(from)
			entries, err := r.bundle(ctx, t)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			start := t.N * torchwood.TileWidth
			for i, data := range entries {
				if index := start + int64(i); index >= from && !yield(Entry{index, data}, nil) {
					return
				}
			}
			from = start + int64(t.W)
		}
	}
}

// bundleOf is the tile of entries that has the one of that index.
func (r *Reader) bundleOf(index int64) tlog.Tile {
	n := index / torchwood.TileWidth
	return tlog.Tile{H: torchwood.TileHeight, L: -1, N: n, W: int(min(torchwood.TileWidth, r.head.Size-n*torchwood.TileWidth))}
}

// bundle reads the entries of a tile, and checks each against its hash.
func (r *Reader) bundle(ctx context.Context, t tlog.Tile) ([][]byte, error) {
	key := TileKey(t)
	data, err := r.fetch(ctx, key, int64(t.W)*(2+MaxEntry))
	if err != nil {
		return nil, err
	}
	indexes := make([]int64, t.W)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, t.N*torchwood.TileWidth+int64(i))
	}
	hashes, err := r.hashes(ctx).ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	entries := make([][]byte, t.W)
	for i := range entries {
		if entries[i], data, err = torchwood.ReadTileEntry(data); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", key, ErrLog, err)
		}
		if tlog.RecordHash(entries[i]) != hashes[i] {
			return nil, fmt.Errorf("%s: %w: leaf %d has another hash", key, ErrLog, t.N*torchwood.TileWidth+int64(i))
		}
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%s: %w: there are %d bytes behind its entries", key, ErrLog, len(data))
	}
	return entries, nil
}

// hashes reads hashes of the tree, proven to be under the checkpoint.
func (r *Reader) hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		tiles := &tileReader{Reader: r}
		hashes, err := torchwood.TileHashReaderWithContext(ctx, r.head.Tree(), tiles).ReadHashes(indexes)
		switch {
		case tiles.err != nil:
			return nil, tiles.err
		case err != nil:
			return nil, fmt.Errorf("%s of size %d: %w: %w", r.head.Origin, r.head.Size, ErrLog, err)
		}
		return hashes, nil
	})
}

// tileReader is the Reader as torchwood takes it.
type tileReader struct {
	*Reader
	err error // why a tile could not be read
}

func (r *tileReader) ReadTiles(ctx context.Context, tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, ok := r.proven[t]
		if !ok {
			if data, r.err = r.fetch(ctx, TileKey(t), int64(t.W)*tlog.HashSize); r.err != nil {
				return nil, r.err
			}
		}
		all[i] = data
	}
	return all, nil
}

func (r *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		if len(r.proven) >= maxProven {
			clear(r.proven)
		}
		r.proven[t] = data[i]
	}
}

var errEndpoint = errors.New("a log has tiles only")

// ReadEndpoint is part of the interface, and asked for by nobody.
func (r *tileReader) ReadEndpoint(context.Context, string) ([]byte, error) { return nil, errEndpoint }

// Inclusion returns the entry of an index, and the proof that it lies under the checkpoint. See tlog.CheckRecord.
func (r *Reader) Inclusion(ctx context.Context, index int64) (entry []byte, proof tlog.RecordProof, err error) {
	if index < 0 || index >= r.head.Size {
		return nil, nil, fmt.Errorf("leaf %d of %d: %w", index, r.head.Size, sink.ErrNotExist)
	}
	t := r.bundleOf(index)
	entries, err := r.bundle(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	proof, err = tlog.ProveRecord(r.head.Size, index, r.hashes(ctx))
	if err != nil {
		return nil, nil, err
	}
	return entries[index-t.N*torchwood.TileWidth], proof, nil
}

// Consistency returns the proof that the checkpoint's log begins with the one of that size. See tlog.CheckTree. It is empty if the sizes are equal.
func (r *Reader) Consistency(ctx context.Context, old int64) (tlog.TreeProof, error) {
	if old < 1 || old > r.head.Size {
		return nil, fmt.Errorf("a log of %d leaves cannot be proven to begin with one of %d", r.head.Size, old)
	}
	return tlog.ProveTree(r.head.Size, old, r.hashes(ctx))
}

// RootAt returns the root that the log had at that size.
func (r *Reader) RootAt(ctx context.Context, size int64) (seal.Hash, error) {
	if size < 0 || size > r.head.Size {
		return seal.Hash{}, fmt.Errorf("a log of %d leaves never had %d", r.head.Size, size)
	}
	if size == 0 {
		return seal.Sum(nil), nil
	}
	h, err := tlog.TreeHash(size, r.hashes(ctx))
	return seal.Hash(h), err
}

// Newest returns the newest checkpoint in the store, unchecked, and its key. If there is none, the error is sink.ErrNotExist.
func Newest(ctx context.Context, store sink.Store) (key string, data []byte, err error) {
	for size, err := range Checkpoints(ctx, store) {
		if err != nil {
			return "", nil, err
		}
		key = CheckpointKey(size)
	}
	if key == "" {
		return "", nil, fmt.Errorf("%s: no checkpoint: %w", CheckpointsPrefix, sink.ErrNotExist)
	}
	data, err = fetch(ctx, store, key, MaxCheckpoint)
	return key, data, err
}

// Checkpoints yields the sizes of all checkpoints in the store, in order. An error ends the sequence.
func Checkpoints(ctx context.Context, store sink.Store) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		lister, ok := store.(sink.Lister)
		if !ok {
			yield(0, errNoLister())
			return
		}
		for e, err := range lister.List(ctx, CheckpointsPrefix) {
			if err != nil {
				yield(0, err)
				return
			}
			if size, ok := ParseCheckpointKey(e.Key); ok && !yield(size, nil) {
				return
			}
		}
	}
}

// ReadCheckpoint returns the checkpoint of that size in the store, unchecked.
func ReadCheckpoint(ctx context.Context, store sink.Store, size int64) ([]byte, error) {
	return fetch(ctx, store, CheckpointKey(size), MaxCheckpoint)
}

func errNoLister() error {
	return &sink.HintError{
		Err:  fmt.Errorf("the store cannot list what it holds, and so cannot keep a log: %w", sink.ErrUnfit),
		Hint: "use a folder or an S3 bucket, and let the credential list it (s3:ListBucket)",
	}
}
