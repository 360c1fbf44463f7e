package receiver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"daybook/batch/intake"
	"daybook/batch/receipt"
	"daybook/event"
)

// maxTold is how many rejected records an answer tells.
const maxTold = 100

// errReceipt says that events are kept, but receipts for them could not be signed.
var errReceipt = errors.New("can't sign receipts")

// taking hands the records of one request on to the backend, in chunks.
type taking struct {
	h        *Handler
	sender   Sender
	received time.Time
	receipts bool // asked for
	body     *body
	share    *share
	ctx      context.Context // of the request; commits do not end with it

	batch  Batch // nil: nothing is to be committed
	events int
	bytes  int
	ids    []string // of the batch's events, where receipts are asked for

	read    int64 // how many bytes of content were, and settled those of which nothing is held any more
	settled int64

	answer  Answer // but for what went wrong
	tooLong int64  // how many of the rejected are that
}

// Take implements intake.StreamHandler.
func (t *taking) Take(taken intake.Taken) error {
	if t.batch == nil {
		b, err := t.h.backend.Begin(t.sender, t.received)
		if err != nil {
			return err
		}
		t.batch = b
	}
	if err := t.batch.Add(taken); err != nil {
		return err
	}
	t.events++
	t.bytes += len(taken.Row)
	if t.receipts {
		t.ids = append(t.ids, string([]byte(taken.Event.Get(event.ID))))
	}
	if t.events < t.h.o.ChunkEvents && t.bytes < t.h.o.ChunkBytes {
		return t.hold()
	}
	return t.commit()
}

// hold has the request hold what is in memory: content that was read, and rows that were made of it. It is a chunk and the record that fills it, and that which is being read, twice, at
// most: what is longer is not kept.
func (t *taking) hold() error {
	most := int64(t.h.o.ChunkBytes) + 3*int64(t.h.settings.RecordLimit)
	return t.share.content(min(t.read-t.settled+int64(t.bytes), most))
}

// commit puts what was gathered on stable storage, whether the client is still there or not.
func (t *taking) commit() error {
	if t.batch == nil {
		return nil
	}
	t.body.rest()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), t.h.o.CommitTimeout)
	defer cancel()
	batch, events, ids := t.batch, t.events, t.ids
	t.batch, t.events, t.bytes, t.ids = nil, 0, 0, t.ids[:0]
	t.settled = t.read
	outcomes, err := batch.Commit(ctx)
	if err != nil {
		return err
	}
	if len(outcomes) != events {
		return fmt.Errorf("counts disagree: %d events were committed, and %d are told of", events, len(outcomes))
	}
	for _, o := range outcomes {
		switch o.State {
		case Accepted:
			t.answer.Accepted++
		case Duplicate:
			t.answer.Duplicate++
		case NotTracked:
			t.answer.NotTracked++
		default:
			return fmt.Errorf("an event ended in the unknown state %d", o.State)
		}
	}
	if !t.receipts {
		return nil
	}
	for i, o := range outcomes {
		if o.State == NotTracked {
			continue
		}
		for _, place := range o.Placed {
			if err := t.sign(ids[i], place); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *taking) sign(id string, p Place) error {
	if len(t.answer.Receipts) >= t.h.o.MaxReceipts {
		t.answer.ReceiptsOmitted++
		return nil
	}
	data, err := receipt.Encode(receipt.Receipt{Trail: p.Trail, Day: p.Day, ID: id, Content: p.Content, Received: t.received, SealedBy: p.SealedBy}, t.h.o.Signer)
	switch {
	case errors.Is(err, receipt.ErrReceipt):
		t.answer.ReceiptsOmitted++
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", errReceipt, err)
	}
	t.answer.Receipts = append(t.answer.Receipts, string(data))
	return nil
}

// Reject implements intake.StreamHandler.
func (t *taking) Reject(u intake.Unread) error {
	if t.batch == nil {
		defer func() { t.settled = t.read }()
	}
	hash := sha256.New()
	hash.Write(u.Data) // never fails
	size := int64(len(u.Data))
	if u.Rest != nil {
		n, err := io.Copy(hash, u.Rest)
		if err != nil {
			u.Reason += fmt.Sprintf(" (and the rest of it can't be read: %v)", err)
		}
		size += n
	}
	r := Rejection{Received: t.received, Line: u.Line, Reason: u.Reason, TooLong: u.TooLong, Size: size, Data: u.Data}
	hash.Sum(r.SHA256[:0])
	t.body.rest()
	if err := t.h.backend.Reject(t.sender, r); err != nil {
		return err
	}
	if u.TooLong {
		t.tooLong++
	}
	t.answer.RejectedTotal++
	if len(t.answer.Rejected) < maxTold {
		t.answer.Rejected = append(t.answer.Rejected, Rejected{u.Line, u.Record, u.Reason, hex.EncodeToString(r.SHA256[:])})
	}
	return nil
}

// discard lets go of what was not committed.
func (t *taking) discard() {
	if t.batch != nil {
		t.batch.Discard()
		t.batch = nil
	}
}
