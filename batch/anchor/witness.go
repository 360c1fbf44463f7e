package anchor

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"daybook/sink"
)

// ErrCosignature says that what should be a witness's cosignature of a checkpoint is none.
var ErrCosignature = errors.New("not the witness's cosignature of this checkpoint")

const (
	// MaxCosignature is how many bytes of signature lines are read.
	MaxCosignature = 64 << 10

	// maxProof is how many hashes a consistency proof may have (tlog-witness).
	maxProof = 63
	// maxRounds is how often a witness may tell that it knows another size than we took it to know. The first time we don't know it; after that
	// only another submission of the same log can have come between.
	maxRounds = 4

	sizeType = "text/x.tlog.size"
)

type witnessAnchor struct {
	base
	client   *client
	verifier *torchwood.CosignatureVerifier
}

// NewWitness returns an anchor that asks a witness at the submission prefix where (https:// or http://; its answers are signed) for cosignatures, and takes those
// of the key vkey alone: a C2SP verifier key for cosignatures, as the witness publishes it.
//
// The size that the witness knows is asked for and not remembered. A witness with another history is ErrForked, one that knows a later checkpoint is ErrAhead.
func NewWitness(name, where, vkey string, o *Options) (Anchor, error) {
	a := &witnessAnchor{base: base{name, KindWitness, o.orDefault()}}
	var err error
	if a.verifier, err = parseVerifier(vkey); err != nil {
		return nil, a.wrap(err)
	}
	if a.client, err = newClient(where, "add-checkpoint", a.opts); err != nil {
		return nil, a.wrap(err)
	}
	return a, nil
}

func parseVerifier(vkey string) (*torchwood.CosignatureVerifier, error) {
	v, err := torchwood.NewCosignatureVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return nil, &sink.HintError{
			Err:  fmt.Errorf("key %.100q: not a verifier key for cosignatures: %w", vkey, err),
			Hint: "a witness prints it at its start, as name+8 hex digits+base64 that begins with B; the key of a log is of another kind",
		}
	}
	return v, nil
}

func (a *witnessAnchor) Submit(ctx context.Context, s Submission) (Receipt, error) {
	ctx, cancel, c, err := a.begin(ctx, s)
	if err != nil {
		return Receipt{}, err
	}
	defer cancel()
	receipt, err := a.submit(ctx, s, c)
	return receipt, a.wrap(err)
}

func (a *witnessAnchor) submit(ctx context.Context, s Submission, c torchwood.Checkpoint) (Receipt, error) {
	old := int64(0)
	for range maxRounds {
		body, err := request(ctx, s, old)
		if err != nil {
			return Receipt{}, err
		}
		got, err := a.client.post(ctx, "text/plain; charset=utf-8", body, MaxCosignature)
		if err != nil {
			return Receipt{}, err
		}
		if got.status == http.StatusOK {
			return a.receipt(got.body, s)
		}
		if got.status != http.StatusConflict {
			return Receipt{}, a.refused(got, s, old)
		}
		known, err := a.known(got, s, c, old)
		if err != nil {
			return Receipt{}, err
		}
		old = known
	}
	return Receipt{}, fmt.Errorf("%s: %w: the size that it knows changed %d times, %d at last: others submit checkpoints of this log at the same time",
		a.client.url, ErrAnswer, maxRounds, old)
}

// request renders an add-checkpoint request: the size that the witness is taken to know, the proof from there, a blank line, and the checkpoint.
func request(ctx context.Context, s Submission, old int64) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	if 0 < old && old < s.Size {
		proof, err := s.Prove(ctx, old)
		if err != nil {
			return nil, fmt.Errorf("prove that the log of %d entries begins with that of %d: %w", s.Size, old, err)
		}
		if len(proof) > maxProof {
			return nil, fmt.Errorf("proof from %d to %d: %d hashes, at most %d are allowed", old, s.Size, len(proof), maxProof)
		}
		for _, h := range proof {
			fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(h[:]))
		}
	}
	b.WriteByte('\n')
	b.Write(s.Checkpoint)
	return b.Bytes(), nil
}

// known reads from a conflict which size the witness knows, to be asked from next.
func (a *witnessAnchor) known(got answer, s Submission, c torchwood.Checkpoint, old int64) (int64, error) {
	fork := fmt.Errorf("%s: %w: it cosigned another root than %s at size %d of %s", a.client.url, ErrForked, c.Hash, s.Size, s.Origin)
	if got.contentType != sizeType {
		if old == s.Size {
			return 0, forkHint(fork) // some witnesses tell no size for a root that is not theirs
		}
		return 0, fmt.Errorf("%s: %w: a conflict without the size that it knows (%s)", a.client.url, ErrAnswer, got.said())
	}
	text, ok := strings.CutSuffix(string(got.body), "\n")
	known, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || known < 0 || strconv.FormatInt(known, 10) != text {
		return 0, fmt.Errorf("%s: %w: %.40q is no size", a.client.url, ErrAnswer, got.body)
	}
	switch {
	case known == old && old == s.Size:
		return 0, forkHint(fork)
	case known == old:
		return 0, fmt.Errorf("%s: %w: it knows size %d, and refuses a proof from there as one from another size", a.client.url, ErrAnswer, known)
	case known < old:
		return 0, forkHint(fmt.Errorf("%s: %w: it knew size %d of %s, and now says %d: it was set back", a.client.url, ErrAnswer, old, s.Origin, known))
	case known > s.Size:
		return 0, &sink.HintError{
			Err: fmt.Errorf("%s: %w: it knows size %d of %s, and was given size %d", a.client.url, ErrAhead, known, s.Origin, s.Size),
			Hint: "if the store's log has that size by now, the next checkpoint will be taken; if it has not, the log was cut off, or another machine or a stolen key has " +
				"extended it",
		}
	}
	return known, nil
}

func forkHint(err error) error {
	return &sink.HintError{Err: err, Hint: "ask whoever runs the witness for its checkpoint, keep both, and find out who else holds the log's key, or which of the two was restored from a copy"}
}

func (a *witnessAnchor) refused(got answer, s Submission, old int64) error {
	refusal := func(hint, format string, args ...any) error {
		err := fmt.Errorf("%s: %w: %s (%s)", a.client.url, ErrRefused, fmt.Sprintf(format, args...), got.said())
		if hint == "" {
			return err
		}
		return &sink.HintError{Err: err, Hint: hint}
	}
	switch got.status {
	case http.StatusNotFound:
		return refusal("give whoever runs the witness the log's origin and its verifier key; and check the address", "it does not know the log %s", s.Origin)
	case http.StatusForbidden:
		return refusal("give whoever runs the witness the verifier key of the log's key in force", "it trusts no key that signed the checkpoint of %s", s.Origin)
	case http.StatusUnprocessableEntity:
		return forkHint(fmt.Errorf("%s: %w: it does not take the proof that the log of %s of %d entries begins with the %d that it knows (%s)", a.client.url, ErrForked,
			s.Origin, s.Size, old, got.said()))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return refusal("", "it is too busy")
	}
	return refusal("", "it takes no checkpoint of %s", s.Origin)
}

func (a *witnessAnchor) receipt(lines []byte, s Submission) (Receipt, error) {
	n, at, err := checkCosignature(lines, s.Checkpoint, a.verifier)
	if err != nil {
		return Receipt{}, fmt.Errorf("%s: %w", a.client.url, err)
	}
	// Only what was checked is kept: an answer may hold signatures of keys that we don't know.
	line := fmt.Sprintf("\u2014 %s %s\n", n.Sigs[0].Name, n.Sigs[0].Base64)
	return Receipt{ExtCosignature, []byte(line), n.Sigs[0].Name, at}, nil
}

// CheckCosignature checks that cosig, one or more signature lines, holds a cosignature of the checkpoint by the key vkey, and says by whom and when. Signatures of
// other keys are passed over. What is not the witness's cosignature of this checkpoint is ErrCosignature.
func CheckCosignature(cosig, checkpoint []byte, vkey string) (by string, at time.Time, err error) {
	v, err := parseVerifier(vkey)
	if err != nil {
		return "", time.Time{}, err
	}
	n, at, err := checkCosignature(cosig, checkpoint, v)
	if err != nil {
		return "", time.Time{}, err
	}
	return n.Sigs[0].Name, at, nil
}

func checkCosignature(cosig, checkpoint []byte, v *torchwood.CosignatureVerifier) (*note.Note, time.Time, error) {
	_, text, err := splitCheckpoint(checkpoint)
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(cosig) > MaxCosignature {
		return nil, time.Time{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrCosignature, len(cosig), MaxCosignature)
	}
	for line := range bytes.Lines(cosig) {
		if !bytes.HasPrefix(line, []byte("\u2014 ")) || !bytes.HasSuffix(line, []byte("\n")) {
			return nil, time.Time{}, fmt.Errorf("%w: %.60q is no signature line", ErrCosignature, line)
		}
	}
	n, err := note.Open(append([]byte(text+"\n"), cosig...), note.VerifierList(v))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w by %s: %w", ErrCosignature, v.Name(), err)
	}
	seconds, err := torchwood.CosignatureTimestamp(n.Sigs[0])
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w by %s: %w", ErrCosignature, v.Name(), err)
	}
	return n, time.Unix(seconds, 0).UTC(), nil
}
