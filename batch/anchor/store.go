package anchor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/sink"
)

type storeAnchor struct {
	base
	store sink.Store
	lock  func() sink.Lock
}

// NewStore returns an anchor that puts copies of checkpoints into another store, best one of another account:
//
//	checkpoints/<origin, encoded>/<size, 12 digits>
//
// The store must be a sink.Lister. lock says how each copy is locked; nil, or a zero Lock, leaves it unlocked.
//
// Copies are listed at each Submit, since nothing is remembered: of a log with a checkpoint a day, a page of a bucket's listing for every three years. A copy of a later
// checkpoint is ErrAhead. Another checkpoint of the same size, or one of the next smaller size there that the log does not go on from, is ErrForked.
func NewStore(name string, s sink.Store, lock func() sink.Lock, o *Options) Anchor {
	return &storeAnchor{base{name, KindStore, o.orDefault()}, s, lock}
}

// StoreKey returns the key of a checkpoint's copy in another store.
func StoreKey(origin string, size int64) string {
	return fmt.Sprintf("%s%012d", copiesOf(origin), size)
}

// copiesOf is where the copies of a log's checkpoints lie.
func copiesOf(origin string) string { return "checkpoints/" + seal.EncodeName(origin) + "/" }

func (a *storeAnchor) Submit(ctx context.Context, s Submission) (Receipt, error) {
	ctx, cancel, c, err := a.begin(ctx, s)
	if err != nil {
		return Receipt{}, err
	}
	defer cancel()
	object := sink.Object{
		Key: StoreKey(s.Origin, s.Size), ContentType: "text/plain; charset=utf-8", Size: int64(len(s.Checkpoint)), SHA256: sha256.Sum256(s.Checkpoint),
		Body: bytes.NewReader(s.Checkpoint),
	}
	if a.lock != nil {
		object.Lock = a.lock()
	}
	// It makes a folder that is not there, and refuses a bucket that cannot lock.
	if err = a.store.Preflight(ctx); err == nil {
		err = a.goesOn(ctx, s, c)
	}
	if err == nil {
		_, err = a.store.Put(ctx, object)
		if errors.Is(err, sink.ErrConflict) {
			err = a.forked(ctx, object.Key, s)
		}
	}
	if err != nil {
		return Receipt{}, a.wrap(err)
	}
	return Receipt{By: a.name, At: a.opts.Now().UTC()}, nil
}

// goesOn checks that the checkpoint goes on from the copies that are there: none is later, and the one before it, which went on from all before, is its log's beginning.
func (a *storeAnchor) goesOn(ctx context.Context, s Submission, c torchwood.Checkpoint) error {
	before, last, err := a.around(ctx, s)
	if err != nil {
		return err
	}
	if last > s.Size {
		return &sink.HintError{
			Err: fmt.Errorf("%s: %w: it holds size %d of %s, and was given size %d", StoreKey(s.Origin, last), ErrAhead, last, s.Origin, s.Size),
			Hint: "if the store's log has that size by now, the next checkpoint will be taken; if it has not, the log was cut off or rolled back: `daybook verify --checkpoint` " +
				"with that copy tells",
		}
	}
	if before == 0 {
		return nil
	}
	key := StoreKey(s.Origin, before)
	there, err := a.read(ctx, key)
	if errors.Is(err, ErrCheckpoint) {
		return copiesHint(fmt.Errorf("%s: %w: what it holds is %w", key, ErrForked, err))
	}
	if err != nil {
		return fmt.Errorf("read the checkpoint before: %w", err)
	}
	proof, err := s.Prove(ctx, before)
	if err != nil {
		return fmt.Errorf("prove that the log of %d entries begins with that of %d: %w", s.Size, before, err)
	}
	if there.Origin != s.Origin || there.N != before || tlog.CheckTree(proof, c.N, c.Hash, before, there.Hash) != nil {
		return copiesHint(fmt.Errorf("%s: %w: it holds one of %s, size %d, root %s, which the log of %d entries with root %s does not begin with",
			key, ErrForked, there.Origin, there.N, there.Hash, c.N, c.Hash))
	}
	return nil
}

// around returns the largest size of a copy below the submitted one, and the largest of all; 0 where there is none. What else lies there is passed over.
func (a *storeAnchor) around(ctx context.Context, s Submission) (before, last int64, err error) {
	lister, ok := a.store.(sink.Lister)
	if !ok {
		return 0, 0, fmt.Errorf("the store cannot list which checkpoints it holds: %w", sink.ErrUnfit)
	}
	for e, err := range lister.List(ctx, copiesOf(s.Origin)) {
		if err != nil {
			return 0, 0, err
		}
		size, err := strconv.ParseInt(strings.TrimPrefix(e.Key, copiesOf(s.Origin)), 10, 64)
		if err != nil || e.Key != StoreKey(s.Origin, size) {
			continue
		}
		if last = max(last, size); size < s.Size {
			before = max(before, size)
		}
	}
	return before, last, nil
}

// read returns the checkpoint that lies under a key; ErrCheckpoint if it is none.
func (a *storeAnchor) read(ctx context.Context, key string) (torchwood.Checkpoint, error) {
	body, err := a.store.Get(ctx, key, "")
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	data, err := io.ReadAll(io.LimitReader(body, MaxCheckpoint+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return torchwood.Checkpoint{}, err
	}
	c, _, err := splitCheckpoint(data)
	return c, err
}

// forked says what lies where the copy was to go.
func (a *storeAnchor) forked(ctx context.Context, key string, s Submission) error {
	there, err := a.read(ctx, key)
	found := fmt.Sprintf("it holds one of %s, size %d, root %s", there.Origin, there.N, there.Hash)
	switch {
	case errors.Is(err, ErrCheckpoint):
		found = "what it holds is " + err.Error()
	case err != nil:
		found = "it cannot be read: " + err.Error()
	}
	return copiesHint(fmt.Errorf("%s: %w: another checkpoint of %s of size %d is there; %s", key, ErrForked, s.Origin, s.Size, found))
}

func copiesHint(err error) error {
	return &sink.HintError{Err: err, Hint: "keep both, compare them with the store's log, and find out who else holds the log's key, or which of the two was restored from a copy"}
}
