package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/sink"
)

// step takes a log from one checkpoint to the next.
//
// Its object, log/next/<size>, is a sequence of records, each of them two bytes of length, big-endian, and that many bytes, as in a tile of entries: the
// signed checkpoint that is next, then the entries between. Frozen.
type step struct {
	from    int64
	head    Head
	entries [][]byte
	// objects are the tiles that are new under head: entries, then hashes.
	objects []object
	after   *state
}

type object struct {
	key  string
	data []byte
}

// maxStep bounds the entries of one step, in bytes. More become several.
const maxStep = 16 << 20

// maxStepObject bounds the object of a step: one that ends in the largest of entries, and its checkpoint.
const maxStepObject = maxStep + 2*(2+MaxEntry)

func (s *step) encode() ([]byte, error) {
	data, err := torchwood.AppendTileEntry(nil, s.head.Signed)
	for _, e := range s.entries {
		if err != nil {
			break
		}
		data, err = torchwood.AppendTileEntry(data, e)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", NextKey(s.from), err)
	}
	return data, nil
}

// decodeStep reads the object of a step, of which no hash and no signature is checked.
func decodeStep(from int64, data []byte) (*step, error) {
	if len(data) > maxStepObject {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrLog, len(data), maxStepObject)
	}
	signed, data, err := torchwood.ReadTileEntry(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLog, err)
	}
	c, err := ParseCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	s := &step{from: from, head: Head{c, signed}}
	for len(data) > 0 {
		var e []byte
		if e, data, err = torchwood.ReadTileEntry(data); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLog, err)
		}
		// Millions of blank entries must not become millions of slices.
		if _, _, err := ParseLeaf(e); err != nil {
			return nil, err
		}
		s.entries = append(s.entries, e)
	}
	if c.Size != from+int64(len(s.entries)) || len(s.entries) == 0 {
		return nil, fmt.Errorf("%w: its checkpoint is of size %d, but %d entries follow size %d", ErrLog, c.Size, len(s.entries), from)
	}
	return s, nil
}

// follow makes of entries what is new under the next checkpoint: root, objects and what the leaves say. before is the log as this machine remembers it, proven
// as it is read, so that what has rotted here is never built upon.
func follow(ctx context.Context, before *Reader, was *state, entries [][]byte) (*step, seal.Hash, error) {
	from := before.head.Size
	s := &step{from: from, entries: entries, after: was.clone()}
	g := &growth{before: before.hashes(ctx), count: tlog.StoredHashCount(from), fresh: map[int64]tlog.Hash{}}
	for i, e := range entries {
		if err := s.after.apply(e); err != nil {
			return nil, seal.Hash{}, err
		}
		index := from + int64(i)
		hashes, err := tlog.StoredHashes(index, e, g)
		if err != nil {
			return nil, seal.Hash{}, err
		}
		for j, h := range hashes {
			g.fresh[tlog.StoredHashIndex(0, index)+int64(j)] = h
		}
	}
	to := from + int64(len(entries))
	root, err := tlog.TreeHash(to, g)
	if err != nil {
		return nil, seal.Hash{}, err
	}
	var hashes []object
	for _, t := range tlog.NewTiles(torchwood.TileHeight, from, to) {
		data, err := tlog.ReadTileData(t, g)
		if err != nil {
			return nil, seal.Hash{}, err
		}
		hashes = append(hashes, object{TileKey(t), data})
		if t.L != 0 {
			continue
		}
		if data, err = bundle(ctx, before, entryTile(t), entries); err != nil {
			return nil, seal.Hash{}, err
		}
		s.objects = append(s.objects, object{TileKey(entryTile(t)), data})
	}
	s.objects = append(s.objects, hashes...)
	return s, seal.Hash(root), nil
}

// bundle makes a tile of entries of those before and those that follow.
func bundle(ctx context.Context, before *Reader, t tlog.Tile, entries [][]byte) ([]byte, error) {
	start := t.N * torchwood.TileWidth
	var all [][]byte
	if start < before.head.Size {
		old, err := before.bundle(ctx, before.bundleOf(start))
		if err != nil {
			return nil, err
		}
		all = old
	}
	if need := t.W - len(all); need > 0 {
		first := start + int64(len(all)) - before.head.Size
		all = append(all, entries[first:first+int64(need)]...)
	}
	var data []byte
	for _, e := range all {
		var err error
		if data, err = torchwood.AppendTileEntry(data, e); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// growth reads hashes of a tree that grows: those of the tree before, and those that were added since.
type growth struct {
	before tlog.HashReader
	count  int64 // how many hashes the tree before has
	fresh  map[int64]tlog.Hash
}

func (g *growth) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	var old []int64
	var at []int
	for i, x := range indexes {
		if x < g.count {
			old, at = append(old, x), append(at, i)
			continue
		}
		h, ok := g.fresh[x]
		if !ok {
			return nil, fmt.Errorf("%w: hash %d is not known", ErrLog, x)
		}
		hashes[i] = h
	}
	if len(old) == 0 {
		return hashes, nil
	}
	read, err := g.before.ReadHashes(old)
	if err != nil {
		return nil, err
	}
	for i, h := range read {
		hashes[at[i]] = h
	}
	return hashes, nil
}

// stage signs a checkpoint over what is pending, or as much of it as fits into one step, and remembers it: from now on it will be published just so.
func (l *Log) stage(ctx context.Context) error {
	n, size := 0, 0
	for n < len(l.pending) && (n == 0 || size+2+len(l.pending[n]) <= maxStep) {
		size += 2 + len(l.pending[n])
		n++
	}
	s, root, err := follow(ctx, newReader(l.memory.fetch, l.published.Checkpoint), l.settled, l.pending[:n:n])
	if err != nil {
		return err
	}
	keys := s.after.keys
	signer := l.signers[keys.Current().ID()]
	if signer == nil {
		return l.wrongKey(keys)
	}
	s.head.Checkpoint = Checkpoint{keys.Origin(), keys.Size(), root}
	if s.head.Signed, err = SignCheckpoint(s.head.Checkpoint, signer); err != nil {
		return err
	}
	if err := l.remember(s); err != nil {
		return err
	}
	l.step, l.pending = s, l.pending[n:]
	return nil
}

// remember writes a step into memory. The checkpoint comes last: without it the tiles do not count.
func (l *Log) remember(s *step) error {
	for _, o := range s.objects {
		if err := l.memory.write(o.key, o.data); err != nil {
			return fmt.Errorf("log: %w", err)
		}
	}
	if err := l.memory.write(headName, s.head.Signed); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}

// errOvertaken says that another machine's step follows our checkpoint.
var errOvertaken = errors.New("another machine extended the log first")

// push publishes the step that is remembered. log/next is the commit point: before it nothing is in the store, after it whoever finds it can put the rest.
func (l *Log) push(ctx context.Context) error {
	s := l.step
	if s.from == 0 { // the others are put when they take over, see Rotate
		if err := l.putKey(ctx, s.after.keys.keys[0].Key); err != nil {
			return err
		}
	}
	data, err := s.encode()
	if err != nil {
		return err
	}
	if err := l.put(ctx, NextKey(s.from), "application/octet-stream", data); errors.Is(err, sink.ErrConflict) {
		return fmt.Errorf("%w: %w", errOvertaken, err)
	} else if err != nil {
		return err
	}
	for _, o := range s.objects {
		if err := l.putOurs(ctx, o.key, "application/octet-stream", o.data); err != nil {
			return err
		}
	}
	if err := l.putOurs(ctx, CheckpointKey(s.head.Size), "text/plain; charset=utf-8", s.head.Signed); err != nil {
		return err
	}
	if err := l.memory.write(publishedName, s.head.Signed); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	l.published, l.settled, l.step = s.head, s.after, nil
	return nil
}

// putOurs puts what no other machine may put, since the step is ours.
func (l *Log) putOurs(ctx context.Context, key, contentType string, data []byte) error {
	err := l.put(ctx, key, contentType, data)
	if errors.Is(err, sink.ErrConflict) {
		return forked(err)
	}
	return err
}

func (l *Log) put(ctx context.Context, key, contentType string, data []byte) error {
	var lock sink.Lock
	if l.opts.Lock != nil {
		lock = l.opts.Lock()
	}
	_, err := l.opts.Store.Put(ctx, sink.Object{
		Key: key, ContentType: contentType, Size: int64(len(data)), SHA256: seal.Sum(data), Lock: lock, Body: bytes.NewReader(data),
	})
	return err // it names the key
}

func (l *Log) putKey(ctx context.Context, key seal.PublicKey) error {
	return l.put(ctx, seal.KeyKey(key.ID()), "application/x-pem-file", key.PEM())
}

// next reads what follows the newest checkpoint that is known; nil if there is nothing. It is checked to the last hash and signature.
func (l *Log) next(ctx context.Context) (*step, error) {
	from := l.published.Size
	key := NextKey(from)
	found, err := readStep(ctx, l.opts.Store, from)
	if err != nil || found == nil {
		return nil, err
	}
	s, root, err := follow(ctx, newReader(l.memory.fetch, l.published.Checkpoint), l.settled, found.entries)
	if errors.Is(err, ErrLeaf) {
		err = forked(err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	s.head = found.head
	if err := signedHead(s.head, s.after.keys); err != nil {
		return nil, forked(fmt.Errorf("%s: %w", key, err))
	}
	if s.head.Root != root {
		return nil, forked(fmt.Errorf("%s: %w: its entries make another root", key, ErrLog))
	}
	return s, nil
}

// readStep reads the step that follows a size, as decodeStep does; nil if there is none.
func readStep(ctx context.Context, store sink.Store, from int64) (*step, error) {
	key := NextKey(from)
	data, err := fetch(ctx, store, key, maxStepObject)
	if errors.Is(err, sink.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := decodeStep(from, data)
	if err != nil {
		return nil, forked(fmt.Errorf("%s: %w", key, err))
	}
	return s, nil
}

// signedHead checks a checkpoint against the keys of all its leaves.
func signedHead(h Head, keys *Keyring) error {
	key, err := keys.Signer(h.Size)
	if err != nil {
		return err
	}
	if h.Origin != keys.Origin() {
		return fmt.Errorf("%w: it is of %.80q, but the log of %.80q", ErrCheckpoint, h.Origin, keys.Origin())
	}
	_, err = OpenCheckpoint(h.Signed, key)
	return err
}

// catchUp takes over, and completes, what follows in the store, step by step. It returns the leaves that came with it.
func (l *Log) catchUp(ctx context.Context) (*taken, error) {
	t := newTaken()
	for range math.MaxInt {
		s, err := l.next(ctx)
		if err != nil || s == nil {
			return t, err
		}
		for _, e := range s.entries {
			t.note(e)
		}
		if err := l.remember(s); err != nil {
			return t, err
		}
		l.step, l.pending, l.tip = s, nil, s.after.clone()
		if err := l.push(ctx); err != nil {
			return t, err
		}
	}
	return t, nil
}

// taken are leaves that another machine added.
type taken struct {
	entries map[string]bool
	seals   map[sealName]seal.Hash
}

type sealName struct {
	trail string
	seal  uint64
}

func newTaken() *taken { return &taken{map[string]bool{}, map[sealName]seal.Hash{}} }

// note notes an entry that was parsed before.
func (t *taken) note(entry []byte) {
	t.entries[string(entry)] = true
	if l, _, err := ParseLeaf(entry); err == nil && l.Type == TypeSeal {
		t.seals[sealName{l.Seal.Trail, l.Seal.Seal}] = l.Seal.Manifest
	}
}

// readd adds those of our entries that the log does not have by now.
func (l *Log) readd(ours [][]byte, t *taken) error {
	for _, e := range ours {
		leaf, _, err := ParseLeaf(e)
		if err != nil {
			return err
		}
		switch {
		case t.entries[string(e)] || leaf.Type == TypeKey && leaf.Key.Action == Genesis:
			continue
		case leaf.Type == TypeSeal:
			manifest, there := t.seals[sealName{leaf.Seal.Trail, leaf.Seal.Seal}]
			if there && manifest != leaf.Seal.Manifest {
				return forked(fmt.Errorf("the log has another seal %d of %s", leaf.Seal.Seal, leaf.Seal.Trail))
			}
			if there {
				continue
			}
		}
		if err := l.tip.apply(e); err != nil {
			return fmt.Errorf("after another machine's leaves: %w", err)
		}
		l.pending = append(l.pending, e)
	}
	return nil
}

func forked(err error) error {
	return &sink.HintError{
		Err:  fmt.Errorf("%w: %w", ErrForked, err),
		Hint: "somebody altered the store or signed another log with this key: keep this data folder as it is, it is the evidence, and run `daybook verify`",
	}
}
