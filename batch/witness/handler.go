package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxBody is how many bytes a request may have: 63 hashes take less than 3,000, a checkpoint a few hundred.
	MaxBody = 64 << 10
	// maxProof is how many hashes a proof may have.
	maxProof = 63

	maxInFlight = 32
	bodyTimeout = 30 * time.Second

	sizeType = "text/x.tlog.size"
	textType = "text/plain; charset=utf-8"
)

// refusal is an answer other than a cosignature.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// conflict says which size the witness knows.
type conflict struct{ known int64 }

func (c *conflict) Error() string { return fmt.Sprintf("the witness knows size %d", c.known) }

func (w *Witness) addCheckpoint(rw http.ResponseWriter, r *http.Request) {
	// A server that cannot set a deadline has its own.
	if err := http.NewResponseController(rw).SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		w.log.WarnContext(r.Context(), "cannot limit the time of a request", "error", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, MaxBody))
	// Only whole requests are counted, so that slow senders do not keep others out.
	select {
	case w.inFlight <- struct{}{}:
		defer func() { <-w.inFlight }()
	default:
		rw.Header().Set("Retry-After", "1")
		http.Error(rw, "too many requests at a time", http.StatusServiceUnavailable)
		return
	}
	var lines []byte
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		err = refuse(http.StatusRequestEntityTooLarge, "at most %d bytes are allowed", MaxBody)
	case err != nil:
		err = refuse(http.StatusBadRequest, "the request broke off")
	default:
		lines, err = w.cosign(r.Context(), body)
	}
	w.answer(rw, r, lines, err)
}

func (w *Witness) answer(rw http.ResponseWriter, r *http.Request, lines []byte, err error) {
	var no *refusal
	var other *conflict
	switch {
	case err == nil:
		rw.Header().Set("Content-Type", textType)
		if _, err := rw.Write(lines); err != nil {
			w.log.InfoContext(r.Context(), "the answer was not taken; it can be asked for again", "from", r.RemoteAddr, "error", err)
		}
	case errors.As(err, &other):
		rw.Header().Set("Content-Type", sizeType)
		rw.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprintf(rw, "%d\n", other.known) // as above
	case errors.As(err, &no):
		if no.status == http.StatusTooManyRequests {
			rw.Header().Set("Retry-After", "60")
		}
		http.Error(rw, no.reason, no.status)
	default:
		http.Error(rw, "the witness cannot cosign now", http.StatusInternalServerError)
	}
}

// request is the body of an add-checkpoint request.
type request struct {
	old    int64
	proof  tlog.TreeProof
	note   []byte
	origin string // the note's first line, not verified
}

// parseRequest parses, and fails closed:
//
//	old <size>
//	<base64 hash>     up to 63 lines
//	<blank line>
//	<checkpoint>
func parseRequest(body []byte) (*request, error) {
	head, signed, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		return nil, refuse(http.StatusBadRequest, "no blank line before the checkpoint")
	}
	first, rest, more := strings.Cut(string(head), "\n")
	text, ok := strings.CutPrefix(first, "old ")
	old, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || old < 0 || strconv.FormatInt(old, 10) != text {
		return nil, refuse(http.StatusBadRequest, "the first line must be the old size")
	}
	r := &request{old: old, note: signed}
	if more {
		lines := strings.Split(rest, "\n")
		if len(lines) > maxProof {
			return nil, refuse(http.StatusBadRequest, "a proof of %d hashes, at most %d are allowed", len(lines), maxProof)
		}
		for _, line := range lines {
			hash, err := tlog.ParseHash(line)
			if err != nil || hash.String() != line {
				return nil, refuse(http.StatusBadRequest, "a line of the proof is no hash")
			}
			r.proof = append(r.proof, hash)
		}
	}
	r.origin, _, ok = strings.Cut(string(signed), "\n")
	if !ok || r.origin == "" {
		return nil, refuse(http.StatusBadRequest, "no checkpoint")
	}
	return r, nil
}

// cosign does all that a request asks for, and returns the signature line.
func (w *Witness) cosign(ctx context.Context, body []byte) ([]byte, error) {
	r, err := parseRequest(body)
	if err != nil {
		return nil, err
	}
	l := w.logs[r.origin]
	if l == nil {
		return nil, refuse(http.StatusNotFound, "this witness does not watch that log")
	}
	n, err := note.Open(r.note, l.keys)
	if err != nil {
		var unverified *note.UnverifiedNoteError
		var invalid *note.InvalidSignatureError
		if errors.As(err, &unverified) || errors.As(err, &invalid) {
			return nil, refuse(http.StatusForbidden, "no right signature by a key that this witness trusts for that log")
		}
		return nil, refuse(http.StatusBadRequest, "not a signed note")
	}
	c, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil || c.Origin != r.origin || c.String() != n.Text {
		return nil, refuse(http.StatusBadRequest, "not a checkpoint")
	}
	// From here on the log itself is speaking, so that only the log can use up its share.
	if !l.limit.take() {
		return nil, refuse(http.StatusTooManyRequests, "too many checkpoints of this log")
	}
	log := w.log.With("origin", c.Origin, "size", c.N, "old", r.old)
	line, err := w.advance(l, c, r, n)
	switch known := (*conflict)(nil); {
	case err == nil:
		log.InfoContext(ctx, "cosigned", "root", c.Hash.String())
	case errors.As(err, &known):
		log.InfoContext(ctx, "asked from another size than the newest", "known", known.known)
	default:
		w.logRefusal(ctx, log, err, r)
	}
	return line, err
}

// logRefusal keeps, in the log, the checkpoint of a log that contradicts what was cosigned before: it is signed by the log, and so is evidence against it.
func (w *Witness) logRefusal(ctx context.Context, log *slog.Logger, err error, r *request) {
	var no *refusal
	if errors.As(err, &no) && no.status == http.StatusBadRequest {
		log.InfoContext(ctx, "refused", "error", err)
		return
	}
	log.ErrorContext(ctx, "refused", "error", err, "checkpoint", string(r.note))
}

// advance compares a checkpoint with the newest one that is known, makes it the newest, and cosigns it.
func (w *Witness) advance(l *watched, c torchwood.Checkpoint, r *request, n *note.Note) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return nil, l.broken
	}
	switch {
	case r.old > c.N:
		return nil, refuse(http.StatusBadRequest, "the old size %d is over the checkpoint's, %d", r.old, c.N)
	case r.old != l.newest.N:
		return nil, &conflict{l.newest.N}
	case c.N == l.newest.N && c.Hash != l.newest.Hash:
		// Size 0 is known from the start: its root is that of no entries.
		return nil, refuse(http.StatusConflict, "another root was cosigned for size %d", c.N)
	}
	if err := checkProof(r.proof, c, l.newest); err != nil {
		return nil, err
	}
	// Signatures that were not checked are left out: anybody can put any number of them on a checkpoint.
	signed, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs}, w.signer)
	if err != nil {
		return nil, err
	}
	if c.N > l.newest.N {
		// The commit point. A crash before it leaves the old checkpoint, and nothing was answered; after it the new one, and the log, which did
		// not get its answer, is told the new size and asks again from there.
		if err := w.state.put(c.Origin, signed); errors.Is(err, errUnknown) {
			l.broken = fmt.Errorf("%s: nothing more is cosigned until the witness is started again: %w", c.Origin, err)
			return nil, l.broken
		} else if err != nil {
			return nil, err
		}
		l.newest = c
	}
	return lastLine(signed), nil
}

func checkProof(proof tlog.TreeProof, c, newest torchwood.Checkpoint) error {
	if newest.N == 0 || c.N == newest.N {
		if len(proof) > 0 {
			return refuse(http.StatusUnprocessableEntity, "a proof where none can be")
		}
		return nil
	}
	if err := tlog.CheckTree(proof, c.N, c.Hash, newest.N, newest.Hash); err != nil {
		return refuse(http.StatusUnprocessableEntity, "the proof from size %d to %d is not right", newest.N, c.N)
	}
	return nil
}

// lastLine returns the last line of a note: note.Sign puts new signatures behind those that are there.
func lastLine(signed []byte) []byte {
	return signed[bytes.LastIndexByte(signed[:len(signed)-1], '\n')+1:]
}

func (w *Witness) index(rw http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "This is a witness of transparency logs (c2sp.org/tlog-witness).\n\nname: %s\nvkey: %s\n\nsize log\n", w.signer.Name(), w.VerifierKey())
	for _, origin := range w.origins {
		l := w.logs[origin]
		l.mu.Lock()
		size := l.newest.N
		l.mu.Unlock()
		fmt.Fprintf(&b, "%d %s\n", size, origin)
	}
	rw.Header().Set("Content-Type", textType)
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	if _, err := rw.Write(b.Bytes()); err != nil {
		w.log.DebugContext(r.Context(), "the answer was not taken", "from", r.RemoteAddr, "error", err)
	}
}

// limiter lets burst through at once, and then one in each interval.
type limiter struct {
	every time.Duration
	burst int
	now   func() time.Time

	mu   sync.Mutex
	free time.Time // guarded by mu: when all of burst is free again
}

func (l *limiter) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.free.Before(now) {
		l.free = now
	}
	if l.free.Sub(now) > l.every*time.Duration(l.burst-1) {
		return false
	}
	l.free = l.free.Add(l.every)
	return true
}
