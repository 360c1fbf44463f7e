package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/receipt"
	"daybook/batch/seal"
	"daybook/event"
	"daybook/sink"
)

// States of a promise.
const (
	// Kept is a promise whose event is in a seal.
	Kept = "kept"
	// Pending is one whose event is in no seal, and whose deadline is still to come.
	Pending = "open"
	// Broken is one whose event is in no seal though its deadline is over.
	Broken = "broken"
)

// Promise is what became of the promise that a receipt makes.
type Promise struct {
	Receipt receipt.Receipt
	State   string
	// Found is where the event is sealed.
	Found *Found
	// Vouched says that a key that the auditor trusts has signed the receipt; else it was one that the store itself names.
	Vouched bool
	// Incomplete says that evidence is missing in which the event may be.
	Incomplete string
}

// CheckPromise looks for the event of a receipt in the seals of its trail and day, and among the events of suspect time of the trail's other days, by what it holds and not by its id alone. keys are those that the auditor trusts. The
// errors are receipt.ErrReceipt, and those of Open and of the store.
func CheckPromise(ctx context.Context, store sink.Store, data []byte, keys []seal.PublicKey, now time.Time, progress func(Progress)) (*Promise, error) {
	p, err := Open(ctx, store)
	unsealed := errors.Is(err, ErrUnsigned)
	if err != nil && !unsealed {
		return nil, err
	}
	result := &Promise{Vouched: len(keys) > 0}
	if len(keys) == 0 && p != nil {
		keys = p.Keys()
	}
	if result.Receipt, _, err = receipt.Verify(data, verifiers(keys)); err != nil {
		return nil, err
	}
	r := &result.Receipt
	if !unsealed {
		found, absent, err := p.promised(ctx, r, progress)
		if err != nil {
			return nil, err
		}
		if found != nil {
			result.State, result.Found = Kept, found
			return result, nil
		}
		if absent > 0 {
			result.Incomplete = fmt.Sprintf("%d evidence files are not there, and may hold it", absent)
		}
	}
	result.State = Pending
	if now.After(r.SealedBy) {
		result.State = Broken
	}
	return result, nil
}

// promised looks for the event of a receipt under its day, and then among the events of suspect time of the trail's other days: one that comes again is filed under another day than before, and
// sealed once. absent is how many files that may hold it are not there.
func (p *Prover) promised(ctx context.Context, r *receipt.Receipt, progress func(Progress)) (found *Found, absent int, err error) {
	s := search{
		Prover: p, id: r.ID, needle: event.AppendQuoted([]byte(`{"id":`), r.ID), content: &r.Content,
		options: &Options{Trail: r.Trail, From: r.Day, To: r.Day, Progress: progress},
	}
	elsewhere := s
	elsewhere.options, elsewhere.suspects = &Options{Trail: r.Trail, Progress: progress}, true
	for _, s := range []*search{&s, &elsewhere} {
		if err := s.run(ctx); err != nil {
			return nil, 0, err
		}
		if len(s.hits) > 0 {
			return &s.hits[0].Found, 0, nil
		}
		absent = max(absent, len(s.absent)+len(s.erased))
	}
	return nil, absent, nil
}

func verifiers(keys []seal.PublicKey) note.Verifiers { return seal.Verifiers(keys...) }

// ExitCode is 0 for a promise that was kept, 1 for one that was broken, 2 where it can't be told yet.
func (p *Promise) ExitCode() int {
	switch {
	case p.State == Kept:
		return 0
	case p.State == Broken && p.Incomplete == "":
		return 1
	}
	return 2
}

// WriteText tells it to people.
func (p *Promise) WriteText(w io.Writer) error {
	r := &p.Receipt
	what := fmt.Sprintf("event %q of trail %q, received %s", r.ID, r.Trail, r.Received.Format(time.RFC3339))
	var err error
	switch {
	case p.State == Kept:
		_, err = fmt.Fprintf(w, "kept: %s,\n  is in seal %d of %v: row %d of %s\n", what, p.Found.Seal, p.Found.Day, p.Found.Row+1, p.Found.File)
	case p.Incomplete != "":
		_, err = fmt.Fprintf(w, "cannot be told: %s,\n  is not in what is here, but %s\n", what, p.Incomplete)
	case p.State == Broken:
		_, err = fmt.Fprintf(w, "BROKEN: %s,\n  was to be sealed by %s, and is in no seal of the trail\n", what, r.SealedBy.Format(time.RFC3339))
	default:
		_, err = fmt.Fprintf(w, "not sealed yet: %s,\n  is to be sealed by %s\n", what, r.SealedBy.Format(time.RFC3339))
	}
	if err == nil && !p.Vouched {
		_, err = fmt.Fprintln(w, "  no key of yours vouches for the receipt: it was checked by the store's own")
	}
	return err
}

// WriteJSON tells it to machines.
func (p *Promise) WriteJSON(w io.Writer) error {
	r := &p.Receipt
	out := struct {
		State      string    `json:"state"`
		Trail      string    `json:"trail"`
		Day        seal.Date `json:"day"`
		Event      string    `json:"event"`
		Received   time.Time `json:"received"`
		SealedBy   time.Time `json:"sealed_by"`
		Seal       uint64    `json:"seal,omitempty"`
		File       string    `json:"file,omitempty"`
		Row        int64     `json:"row,omitempty"` // from 1
		Vouched    bool      `json:"vouched"`
		Incomplete string    `json:"incomplete,omitempty"`
	}{State: p.State, Trail: r.Trail, Day: seal.Date{Day: r.Day}, Event: r.ID, Received: r.Received, SealedBy: r.SealedBy, Vouched: p.Vouched, Incomplete: p.Incomplete}
	if f := p.Found; f != nil {
		out.Seal, out.File, out.Row = f.Seal, f.File, f.Row+1
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
