package tlog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/sink"
)

// Options say which log, and who extends it.
type Options struct {
	// Store must be a sink.Lister.
	Store sink.Store
	// Dir is the log's memory on this machine: a folder of its own, which one process uses at a time.
	Dir string
	// Signer is the key in force or, for a store that has no log, its first.
	Signer seal.Signer
	// Origin names a new log; blank: "daybook/" and 16 random hex digits. It must be that of a log that is there.
	Origin string
	// Lock gives the lock of what is put now; nil: none.
	Lock func() sink.Lock
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log is told when memory is rebuilt and when another machine's leaves are taken over; nil: slog.Default.
	Log *slog.Logger
	// Found is asked where nothing of a log is remembered here, before anything of what the store has is taken for it: found is its head, prove is for that
	// what Log.Prove is. An error leaves everything as it was. Nil: the store's word is taken.
	Found func(ctx context.Context, found Head, prove Prove) error
	// TakeOver goes on from where another machine left the log, if what is remembered here is proven to be the beginning of that.
	TakeOver bool
}

// Prove gives the proof that a log begins with the one of a size. See Log.Prove.
type Prove func(ctx context.Context, old int64) (tlog.TreeProof, error)

// Head is a checkpoint and its file.
type Head struct {
	Checkpoint
	Signed []byte
}

// Log is a log that can be extended. Its methods are not safe for concurrent use. After an error of the memory's disk, drop it and open it again.
type Log struct {
	opts   Options
	memory memory
	// signers are the keys that we have, by ID: the one in force and, in a rotation, the one that follows.
	signers map[string]seal.Signer

	published Head   // the newest checkpoint that is known to be in the store; zero if there is none
	settled   *state // what its leaves say
	step      *step  // the next, remembered and perhaps in the store; nil if there is none
	pending   [][]byte
	tip       *state // what all leaves say, those of step and pending included
}

// Open opens the store's log, or begins one in a store that has none. What an earlier run did not finish to publish is published now.
//
// Where memory is missing or damaged it is rebuilt from the store; see Options.Found. Where the log in the store goes on beyond it, the error is ErrAhead, unless TakeOver is
// set; where that contradicts it, ErrForked. Where another key is in force, ErrUnknownKey or ErrKeyRange. All come as a sink.HintError.
func Open(ctx context.Context, o Options) (*Log, error) {
	if _, ok := o.Store.(sink.Lister); !ok {
		return nil, errNoLister()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	l := &Log{
		opts: o, memory: memory{o.Dir}, signers: map[string]seal.Signer{o.Signer.Public().ID(): o.Signer}, settled: newState(), tip: newState(),
	}
	if err := l.open(ctx); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return l, nil
}

func (l *Log) open(ctx context.Context) error {
	there, err := newest(ctx, l.opts.Store)
	if err != nil {
		return err
	}
	damage, err := l.recall(ctx)
	switch {
	case err != nil:
		return err
	case damage != nil:
		l.opts.Log.Warn("what this machine remembers of the log is damaged, and is rebuilt from the store", "folder", l.opts.Dir, "damage", damage.err)
		err = l.rebuild(ctx, there, damage.pin, nil)
	case l.published.Size == 0 && l.step == nil:
		if there.Size > 0 {
			l.opts.Log.Warn("this machine remembers nothing of the log, and takes the store's word for it: compare it with an anchor",
				"folder", l.opts.Dir, "size", there.Size, "root", there.Root.String())
		}
		err = l.rebuild(ctx, there, func(*Keyring) (Head, error) { return Head{}, nil }, nil)
	default:
		err = l.resume(ctx, there)
	}
	if err != nil {
		return err
	}
	return l.checkOurs()
}

// newest returns the newest checkpoint in the store, unchecked; the zero Head if there is none.
func newest(ctx context.Context, store sink.Store) (Head, error) {
	key, data, err := Newest(ctx, store)
	if errors.Is(err, sink.ErrNotExist) && key == "" {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	c, err := ParseCheckpoint(data)
	if err == nil && CheckpointKey(c.Size) != key {
		err = fmt.Errorf("%w: it is of size %d", ErrCheckpoint, c.Size)
	}
	if err != nil {
		return Head{}, forked(fmt.Errorf("%s: %w", key, err))
	}
	return Head{c, data}, nil
}

// damaged says what is wrong with a memory, and what it still vouches for.
type damaged struct {
	err error
	// pin returns the checkpoint that the store must have, the zero Head if nothing was published, given the keys that there are.
	pin func(*Keyring) (Head, error)
}

// recall reads the memory, every entry of it, and checks it against its checkpoints.
func (l *Log) recall(ctx context.Context) (*damaged, error) {
	published, publishedErr := l.memory.readHead(publishedName)
	head, headErr := l.memory.readHead(headName)
	if err := errors.Join(publishedErr, headErr); err == nil {
		settled, step, err := l.replay(ctx, published, head)
		if err == nil {
			l.published, l.settled, l.step, l.tip = published, settled, step, settled.clone()
			if step != nil {
				l.tip = step.after.clone()
			}
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		headErr = err
	}
	pin := func(keys *Keyring) (Head, error) {
		if publishedErr == nil && published.Size == 0 {
			return Head{}, nil
		}
		// The second may be one that was never published. Then the store is behind it, and that is refused.
		for _, h := range []Head{published, head} {
			if h.Size > 0 && l.authentic(h, keys) {
				return h, nil
			}
		}
		return Head{}, &sink.HintError{
			Err:  fmt.Errorf("both checkpoints that this machine remembers are damaged: %w", ErrCheckpoint),
			Hint: "run `daybook verify` with the newest checkpoint that an anchor has, then remove the folder " + l.opts.Dir + ", and it is rebuilt",
		}
	}
	return &damaged{errors.Join(publishedErr, headErr), pin}, nil
}

// authentic reports whether one of the keys, or ours, signed a checkpoint.
func (l *Log) authentic(h Head, keys *Keyring) bool {
	candidates := []seal.PublicKey{l.opts.Signer.Public()}
	for _, r := range keys.keys {
		candidates = append(candidates, r.Key)
	}
	return slices.ContainsFunc(candidates, func(k seal.PublicKey) bool {
		_, err := OpenCheckpoint(h.Signed, k)
		return err == nil
	})
}

// replay goes through what is remembered: the leaves under published, and those that head adds.
func (l *Log) replay(ctx context.Context, published, head Head) (*state, *step, error) {
	before := newReader(l.memory.fetch, published.Checkpoint)
	st, err := readState(ctx, before, nil)
	if err == nil && published.Size > 0 {
		err = signedHead(published, st.keys)
	}
	if err != nil {
		return nil, nil, err
	}
	if string(head.Signed) == string(published.Signed) {
		return st, nil, nil
	}
	if head.Size <= published.Size {
		return nil, nil, fmt.Errorf("%w: the checkpoint of size %d was published, and the newest is said to be another, of size %d", ErrCheckpoint, published.Size, head.Size)
	}
	var entries [][]byte
	for e, err := range newReader(l.memory.fetch, head.Checkpoint).Entries(ctx, published.Size) {
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, e.Data)
	}
	s, root, err := follow(ctx, before, st, entries)
	if err == nil {
		err = signedHead(head, s.after.keys)
	}
	if err == nil && root != head.Root {
		err = fmt.Errorf("%s: %w", headName, ErrLog)
	}
	if err != nil {
		return nil, nil, err
	}
	s.head = head
	return st, s, nil
}

// readState applies all leaves under a checkpoint. each, if it is not nil, gets them too.
func readState(ctx context.Context, r *Reader, each func(Entry)) (*state, error) {
	st := newState()
	for e, err := range r.Entries(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if err := st.apply(e.Data); err != nil {
			return nil, err
		}
		if each != nil {
			each(e)
		}
	}
	return st, nil
}

// resume goes on from a memory that is sound.
func (l *Log) resume(ctx context.Context, there Head) error {
	switch ours := l.step != nil && string(there.Signed) == string(l.step.head.Signed); {
	case there.Size < l.published.Size:
		return forked(fmt.Errorf("its newest checkpoint is of size %d, but that of size %d was published", there.Size, l.published.Size))
	case there.Size == l.published.Size && string(there.Signed) != string(l.published.Signed):
		return forked(fmt.Errorf("its checkpoint of size %d is another", there.Size))
	case there.Size > l.published.Size && !ours:
		return l.takeOver(ctx, there)
	}
	if l.step != nil {
		err := l.push(ctx)
		if errors.Is(err, errOvertaken) {
			return l.takeOver(ctx, there)
		}
		if err != nil {
			return err
		}
		l.opts.Log.Info("a checkpoint was published that an earlier run had left", "size", l.published.Size)
	}
	s, err := l.next(ctx)
	if err == nil && s != nil {
		err = l.takeOver(ctx, there)
	}
	return err
}

// takeOver goes on from what the store has beyond our memory, if it was asked to, and there begins with what was published here.
func (l *Log) takeOver(ctx context.Context, there Head) error {
	ahead := there.Size > l.published.Size
	if ahead && l.published.Size > 0 {
		root, err := NewReader(l.opts.Store, there.Checkpoint).RootAt(ctx, l.published.Size)
		if err == nil && root != l.published.Root {
			err = forked(fmt.Errorf("its checkpoint of size %d does not go on from ours of size %d", there.Size, l.published.Size))
		}
		if err != nil {
			return err
		}
	}
	if !l.opts.TakeOver {
		return &sink.HintError{
			Err:  fmt.Errorf("%w, whose newest checkpoint is of size %d: another machine, or a stolen key, has extended it", ErrAhead, l.published.Size),
			Hint: "if another machine of yours did, or the data folder was restored from a backup, look with `daybook verify` and run this again with --take-over (of a service: `daybook roll --take-over`); if none did, revoke the key",
		}
	}
	l.opts.Log.Warn("the log goes on from where another machine left it", "from", l.published.Size)
	if !ahead {
		return l.yield(ctx)
	}
	pin := l.published
	var ours [][]byte
	if l.step != nil {
		ours = l.step.entries
	}
	return l.rebuild(ctx, there, func(*Keyring) (Head, error) { return pin, nil }, ours)
}

// rebuild makes the memory anew from the store, where all must lie under the checkpoint there, and that must go on from the one that pinned tells. What of ours
// is not in it is added again.
func (l *Log) rebuild(ctx context.Context, there Head, pinned func(*Keyring) (Head, error), ours [][]byte) error {
	r := NewReader(l.opts.Store, there.Checkpoint)
	t := newTaken()
	st, err := readState(ctx, r, func(e Entry) {
		if len(ours) > 0 {
			t.note(e.Data)
		}
	})
	if err != nil {
		return err
	}
	pin, err := pinned(st.keys)
	if err != nil {
		return err
	}
	if there.Size < pin.Size {
		return forked(fmt.Errorf("its newest checkpoint is of size %d, but there was one of size %d", there.Size, pin.Size))
	}
	if there.Size > 0 {
		if err := signedHead(there, st.keys); err != nil {
			return forked(fmt.Errorf("%s: %w", CheckpointKey(there.Size), err))
		}
	}
	if pin.Size > 0 {
		root, err := r.RootAt(ctx, pin.Size)
		if err != nil {
			return err
		}
		if root != pin.Root || pin.Origin != there.Origin {
			return forked(fmt.Errorf("its checkpoint of size %d does not go on from that of size %d", there.Size, pin.Size))
		}
	}
	if err := l.checkFound(ctx, there, st); err != nil {
		return err
	}
	if l.opts.Found != nil && pin.Size == 0 && there.Size > 0 {
		if err := l.opts.Found(ctx, there, r.Consistency); err != nil {
			return err
		}
	}
	if err := l.copyTiles(ctx, r); err != nil {
		return err
	}
	l.published, l.settled, l.step, l.pending, l.tip = there, st, nil, nil, st.clone()
	if there.Size > 0 {
		if err := l.memory.write(publishedName, there.Signed); err != nil {
			return err
		}
		if err := l.memory.write(headName, there.Signed); err != nil {
			return err
		}
	}
	more, err := l.catchUp(ctx)
	if err != nil {
		return err
	}
	for e := range more.entries {
		t.note([]byte(e))
	}
	if l.published.Size == 0 {
		return l.begin()
	}
	return l.readd(ours, t)
}

// checkFound checks, before anything of it is remembered, that a log which was found in the store is one of our key: another's would stand in the way of ours.
func (l *Log) checkFound(ctx context.Context, there Head, st *state) error {
	s, err := readStep(ctx, l.opts.Store, there.Size)
	if err != nil {
		return err
	}
	st = st.clone()
	if s != nil {
		for _, e := range s.entries { // they may be those that bring our key
			if err := st.apply(e); err != nil {
				return forked(fmt.Errorf("%s: %w", NextKey(there.Size), err))
			}
		}
	}
	if _, known := st.keys.Find(l.opts.Signer.Public().ID()); !known && st.keys.Size() > 0 {
		return l.wrongKey(st.keys)
	}
	return nil
}

// copyTiles writes all tiles under the reader's checkpoint into memory.
func (l *Log) copyTiles(ctx context.Context, r *Reader) error {
	for _, t := range tlog.NewTiles(torchwood.TileHeight, 0, r.head.Size) {
		data, err := tlog.ReadTileData(t, r.hashes(ctx))
		if err != nil {
			return err
		}
		if err := l.memory.write(TileKey(t), data); err != nil {
			return err
		}
		if t.L != 0 {
			continue
		}
		if data, err = bundle(ctx, r, entryTile(t), nil); err != nil {
			return err
		}
		if err := l.memory.write(TileKey(entryTile(t)), data); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the first leaf of a new log.
func (l *Log) begin() error {
	origin := l.opts.Origin
	if origin == "" {
		// Two logs of one name would look like one that is forked, whatever their keys.
		var id [8]byte
		_, _ = rand.Read(id[:]) // it never fails
		origin = "daybook/" + hex.EncodeToString(id[:])
	}
	return l.addKey(&KeyLeaf{Action: Genesis, Origin: origin, Key: l.opts.Signer.Public().VerifierKey()}, l.opts.Signer)
}

// checkOurs checks that the log is the one that was meant, and that our key is in force.
func (l *Log) checkOurs() error {
	keys := l.tip.keys
	if o := l.opts.Origin; o != "" && o != keys.Origin() {
		return &sink.HintError{
			Err:  fmt.Errorf("the store's log is %q, not %q: %w", keys.Origin(), o, sink.ErrConflict),
			Hint: "a log keeps its name: use that one, or another prefix for a log of another name",
		}
	}
	if keys.Current() != l.opts.Signer.Public() {
		return l.wrongKey(keys)
	}
	return nil
}

func (l *Log) wrongKey(keys *Keyring) error {
	key, current := l.opts.Signer.Public(), keys.Current()
	reason := ErrUnknownKey
	if _, known := keys.Find(key.ID()); known {
		reason = ErrKeyRange
	}
	return &sink.HintError{
		Err:  fmt.Errorf("key %s: %w: the key in force is %s", key, reason, current),
		Hint: "run this with the --key of that fingerprint; if it is lost, begin a new log under another prefix",
	}
}

// Add adds a leaf, which Publish publishes. A seal must be the next of its trail, and its note signed by the key in force. For changes of keys see Rotate and Revoke.
func (l *Log) Add(leaf *Leaf, signers ...seal.Signer) error {
	if leaf.Type == TypeKey {
		return fmt.Errorf("%w: keys are changed by Rotate and Revoke", ErrLeaf)
	}
	entry, err := leaf.Encode(signers...)
	if err != nil {
		return err
	}
	if leaf.Type == TypeSeal {
		if err := l.tip.keys.Check(leaf.Seal.Key, l.tip.keys.Size()); err != nil {
			return fmt.Errorf("seal %d of %s: %w", leaf.Seal.Seal, leaf.Seal.Trail, err)
		}
	}
	return l.add(entry)
}

func (l *Log) add(entry []byte) error {
	if err := l.tip.apply(entry); err != nil {
		return err
	}
	l.pending = append(l.pending, entry)
	return nil
}

func (l *Log) addKey(k *KeyLeaf, signers ...seal.Signer) error {
	leaf := &Leaf{Schema: Schema, Type: TypeKey, Time: l.opts.Now().UTC().Truncate(time.Second), Key: k}
	entry, err := leaf.Encode(signers...)
	if err != nil {
		return err
	}
	return l.add(entry)
}

// maxRaces is how often in a row another machine may extend the log before us until we give up.
const maxRaces = 100

// Publish publishes all that was added, under one checkpoint unless it is more than fits into a step, and returns the newest head. After an error it can be called
// again: what was signed is then put as it was signed. If another machine was first, its leaves are taken over, and ours come after them.
func (l *Log) Publish(ctx context.Context) (Head, error) {
	for range maxRaces {
		err := l.publish(ctx)
		if err == nil {
			return l.published, nil
		}
		if !errors.Is(err, errOvertaken) {
			return Head{}, fmt.Errorf("log: %w", err)
		}
		if err := l.yield(ctx); err != nil {
			return Head{}, fmt.Errorf("log: %w", err)
		}
	}
	return Head{}, fmt.Errorf("log: %w, %d times in a row", errOvertaken, maxRaces)
}

func (l *Log) publish(ctx context.Context) error {
	for l.step != nil || len(l.pending) > 0 {
		if l.step == nil {
			if err := l.stage(ctx); err != nil {
				return err
			}
		}
		if err := l.push(ctx); err != nil {
			return err
		}
	}
	return nil
}

// yield lets the leaves that another machine has put after the newest checkpoint come before ours. Ours were signed over at another place, but nothing of that
// is in the store.
func (l *Log) yield(ctx context.Context) error {
	before := l.published.Size
	var ours [][]byte
	if l.step != nil {
		ours = append(ours, l.step.entries...)
	}
	ours = append(ours, l.pending...)
	l.step, l.pending, l.tip = nil, nil, l.settled.clone()
	t, err := l.catchUp(ctx)
	if err != nil {
		return err
	}
	if l.published.Size == before {
		return forked(fmt.Errorf("%s was there, and is gone", NextKey(before)))
	}
	l.opts.Log.Warn("another machine's leaves were taken over", "from", before, "to", l.published.Size)
	if _, err := l.signer(); err != nil {
		return err
	}
	return l.readd(ours, t)
}

// Rotate has next sign from the next leaf on, and publishes that. All seals signed by the key before must be in the log by then. If that key follows already, or
// a rotation to it was begun, it is only published.
func (l *Log) Rotate(ctx context.Context, next seal.Signer) error {
	key := next.Public()
	if l.tip.keys.Current() != key {
		signer, err := l.signer()
		if err != nil {
			return err
		}
		if err := l.putKey(ctx, key); err != nil {
			return err
		}
		if err := l.addKey(&KeyLeaf{Action: Rotate, Key: key.VerifierKey(), Previous: signer.Public().VerifierKey()}, signer, next); err != nil {
			return err
		}
	}
	l.signers[key.ID()], l.opts.Signer = next, next
	_, err := l.Publish(ctx)
	return err
}

// Revoke says that the signatures of the key with that ID, which another has followed, count no more from that leaf on, and publishes that.
func (l *Log) Revoke(ctx context.Context, id string, from int64, reason string) error {
	r, ok := l.tip.keys.Find(id)
	if !ok {
		return fmt.Errorf("key %.80s: %w", id, ErrUnknownKey)
	}
	if r.RevokedFrom != from {
		signer, err := l.signer()
		if err != nil {
			return err
		}
		if err := l.addKey(&KeyLeaf{Action: Revoke, Key: r.Key.VerifierKey(), From: from, Reason: reason}, signer); err != nil {
			return err
		}
	}
	_, err := l.Publish(ctx)
	return err
}

// signer returns that of the key in force.
func (l *Log) signer() (seal.Signer, error) {
	s := l.signers[l.tip.keys.Current().ID()]
	if s == nil {
		return nil, l.wrongKey(l.tip.keys)
	}
	return s, nil
}

// Logged returns the highest seal of a trail that is in the log, or was added; 0 if there is none. All below it are there, too.
func (l *Log) Logged(trail string) uint64 { return l.tip.logged[trail] }

// Head returns the newest checkpoint that is published; the zero Head if there is none.
func (l *Log) Head() Head { return l.published }

// Keyring returns the log's keys, what was added included.
func (l *Log) Keyring() *Keyring { return l.tip.keys.Clone() }

// Prove returns the proof that the published log begins with the one of that size. See tlog.CheckTree.
func (l *Log) Prove(ctx context.Context, old int64) (tlog.TreeProof, error) {
	return newReader(l.memory.fetch, l.published.Checkpoint).Consistency(ctx, old)
}
