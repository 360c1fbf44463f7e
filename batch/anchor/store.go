package anchor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

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
// lock says how each copy is locked; nil, or a zero Lock, leaves it unlocked. A store that holds another checkpoint of the same size is ErrForked.
func NewStore(name string, s sink.Store, lock func() sink.Lock, o *Options) Anchor {
	return &storeAnchor{base{name, KindStore, o.orDefault()}, s, lock}
}

// StoreKey returns the key of a checkpoint's copy in another store.
func StoreKey(origin string, size int64) string {
	return fmt.Sprintf("checkpoints/%s/%012d", seal.EncodeName(origin), size)
}

func (a *storeAnchor) Submit(ctx context.Context, s Submission) (Receipt, error) {
	ctx, cancel, _, err := a.begin(ctx, s)
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
		_, err = a.store.Put(ctx, object)
	}
	if errors.Is(err, sink.ErrConflict) {
		err = a.forked(ctx, object.Key, s)
	}
	if err != nil {
		return Receipt{}, a.wrap(err)
	}
	return Receipt{By: a.name, At: a.opts.Now().UTC()}, nil
}

// forked says what lies where the copy was to go.
func (a *storeAnchor) forked(ctx context.Context, key string, s Submission) error {
	found := "it cannot be read: "
	body, err := a.store.Get(ctx, key, "")
	if err == nil {
		var data []byte
		data, err = io.ReadAll(io.LimitReader(body, MaxCheckpoint+1))
		err = errors.Join(err, body.Close())
		if err == nil {
			if there, _, parseErr := splitCheckpoint(data); parseErr != nil {
				found, err = "what it holds is ", parseErr
			} else {
				found = fmt.Sprintf("it holds one of %s, size %d, root %s", there.Origin, there.N, there.Hash)
			}
		}
	}
	if err != nil {
		found += err.Error()
	}
	return &sink.HintError{
		Err:  fmt.Errorf("%s: %w: another checkpoint of %s of size %d is there; %s", key, ErrForked, s.Origin, s.Size, found),
		Hint: "keep both, compare them with the store's log, and find out who else holds the log's key",
	}
}
