// Package witness is a C2SP tlog-witness (add-checkpoint): it remembers the newest checkpoint of each log that it is told to watch, and cosigns a newer one only if
// the log has grown from there. Run by others on another machine it keeps whoever holds a log and its key from cutting it off or rewriting it.
//
// What it guarantees: of one log it never cosigns two checkpoints that contradict each other, nor a smaller one after a larger one, however many requests come at a
// time and wherever it crashes: what it knows is compared, replaced and on stable storage in one step, before the answer is sent. Where a write failed so that what the
// disk holds is unknown, it cosigns nothing more of that log until it is started again. It refuses to start with a state folder that is damaged,
// incomplete, another key's, or held by another process.
//
// What it does not: a state folder that was removed as a whole, or set back as a whole to an earlier state, is not noticed; it must never be restored from a
// copy. A witness whose folder is lost needs a new key.
package witness

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/sink"
)

var (
	// ErrState says that the state folder cannot be used: it is damaged, incomplete, or of another key.
	ErrState = errors.New("the witness's state cannot be used")
	// ErrBusy says that another process holds the state folder.
	ErrBusy = errors.New("another witness is at work with this state folder")
	// ErrOptions says what is wrong with Options, every fault at once.
	ErrOptions = errors.New("bad options of a witness")
)

// Log is a log to watch.
type Log struct {
	// Origin is the first line of its checkpoints.
	Origin string
	// Keys are the C2SP verifier keys that may have signed them. A log whose key was rotated has the old one and the new one until no more old checkpoints come.
	Keys []string
}

// Options of a Witness.
type Options struct {
	// Dir is the state folder. It is made if it is not there.
	Dir string
	// Signer is the witness's own Ed25519 key; its name is the witness's.
	Signer seal.Signer
	Logs   []Log
	// PerMinute is how many checkpoints of one log, rightly signed, are looked at in a minute; 0 means 60.
	PerMinute int
	// Now is the clock of that limit; nil means time.Now. The time in a cosignature is the system's.
	Now func() time.Time
	// Log is told of every checkpoint; nil is told nothing. What is logged as an error is evidence of a log that contradicts itself.
	Log *slog.Logger
}

const (
	defaultPerMinute = 60
	maxOrigin        = 1024
)

// Validate reports every fault of the options at once.
func (o *Options) Validate() error {
	var bad []error
	fault := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	if o.Dir == "" {
		fault("no state folder")
	}
	if o.Signer == nil {
		fault("no key")
	}
	if o.PerMinute < 0 {
		fault("%d checkpoints a minute", o.PerMinute)
	}
	if len(o.Logs) == 0 {
		fault("no logs to watch")
	}
	seen := map[string]bool{}
	for _, l := range o.Logs {
		if l.Origin == "" || len(l.Origin) > maxOrigin || strings.ToValidUTF8(l.Origin, "") != l.Origin ||
			strings.ContainsFunc(l.Origin, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			fault("log %.100q: its origin must be one line of at most %d bytes", l.Origin, maxOrigin)
		}
		if seen[l.Origin] {
			fault("log %s is listed twice", l.Origin)
		}
		seen[l.Origin] = true
		if len(l.Keys) == 0 {
			fault("log %s has no key", l.Origin)
		}
		for _, k := range l.Keys {
			if _, err := note.NewVerifier(strings.TrimSpace(k)); err != nil {
				fault("log %s: key %.100q: %w", l.Origin, k, err)
			}
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrOptions, errors.Join(bad...))
}

// Witness is an http.Handler:
//
//	POST /add-checkpoint   c2sp.org/tlog-witness
//	GET  /                 name, verifier key, and the logs with their sizes, as plain text
//
// It must be closed.
type Witness struct {
	mux      *http.ServeMux
	signer   *torchwood.CosignatureSigner
	state    *state
	logs     map[string]*watched // not changed after New
	origins  []string            // its keys, in order
	log      *slog.Logger
	inFlight chan struct{} // as many requests are looked at at a time as it has room
}

// watched is what is known of one log.
type watched struct {
	origin string
	keys   note.Verifiers
	limit  limiter // has its own mutex

	mu     sync.Mutex           // held from the comparison of sizes until the new checkpoint is on stable storage
	newest torchwood.Checkpoint // guarded by mu
	broken error                // guarded by mu; why nothing more of this log is cosigned
}

// New opens the state folder, checks all that is in it, and returns a Witness that knows the newest checkpoint of each log. ErrOptions, ErrBusy, ErrState with a hint.
func New(o Options) (w *Witness, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.PerMinute == 0 {
		o.PerMinute = defaultPerMinute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	signer, err := newCosigner(o.Signer)
	if err != nil {
		return nil, err
	}
	w = &Witness{mux: http.NewServeMux(), signer: signer, logs: map[string]*watched{}, log: o.Log, inFlight: make(chan struct{}, maxInFlight)}
	if w.state, err = openState(o.Dir, o.Signer, signer, o.Log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	for _, l := range o.Logs {
		var keys []note.Verifier
		for _, k := range l.Keys {
			v, err := note.NewVerifier(strings.TrimSpace(k))
			if err != nil {
				return nil, err // Validate has looked
			}
			keys = append(keys, v)
		}
		newest, err := w.state.adopt(l.Origin)
		if err != nil {
			return nil, err
		}
		w.logs[l.Origin] = &watched{
			origin: l.Origin, keys: note.VerifierList(keys...), newest: newest, limit: limiter{every: time.Minute / time.Duration(o.PerMinute), burst: o.PerMinute, now: o.Now},
		}
		w.origins = append(w.origins, l.Origin)
	}
	slices.Sort(w.origins)
	w.mux.HandleFunc("POST /add-checkpoint", w.addCheckpoint)
	w.mux.HandleFunc("GET /{$}", w.index)
	return w, nil
}

// Close gives up the state folder. The caller MUST have waited for the requests that are being served.
func (w *Witness) Close() error { return w.state.close() }

// VerifierKey is the key that checks the witness's cosignatures, as VerifierKey gives it.
func (w *Witness) VerifierKey() string { return w.signer.Verifier().String() }

func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) { w.mux.ServeHTTP(rw, r) }

// GenerateKey makes a witness's key in a file like those of seals (see seal.GenerateKey), and returns its verifier key as well. The name should be a URL without scheme, such
// as witness.example.org/audit; it is part of every cosignature.
func GenerateKey(path, name string) (seal.Key, string, error) {
	k, err := seal.GenerateKey(path, name)
	if err != nil {
		return seal.Key{}, "", err
	}
	vkey, err := VerifierKey(k)
	return k, vkey, err
}

// VerifierKey returns the C2SP verifier key that checks cosignatures made with a key. It differs from the one that checks notes signed with the same key, so that
// neither can be taken for the other.
func VerifierKey(s seal.Signer) (string, error) {
	c, err := newCosigner(s)
	if err != nil {
		return "", err
	}
	return c.Verifier().String(), nil
}

func newCosigner(s seal.Signer) (*torchwood.CosignatureSigner, error) {
	c, err := torchwood.NewCosignatureSigner(s.Name(), rawSigner{s})
	if err != nil {
		return nil, &sink.HintError{Err: fmt.Errorf("key of a witness: %w", err), Hint: "a witness needs an Ed25519 key"}
	}
	return c, nil
}

// rawSigner signs what it is given with a note's Ed25519 key, whose signatures are over just the text.
type rawSigner struct{ seal.Signer }

func (s rawSigner) Public() crypto.PublicKey {
	vkey := strings.SplitN(s.Signer.Public().VerifierKey(), "+", 3)
	raw, err := base64.StdEncoding.DecodeString(vkey[len(vkey)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil // NewCosignatureSigner refuses it
	}
	return ed25519.PublicKey(raw[1:])
}

func (s rawSigner) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.Signer.Sign(message)
}
