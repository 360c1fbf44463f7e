// Package anchor takes checkpoints of a store's log to places that whoever holds the store cannot reach: another store, a syslog collector, an
// RFC 3161 time-stamping authority, a C2SP witness. What has been there can't be cut off or rewritten unnoticed.
//
// What it guarantees: Submit returns a receipt only for what the place vouched for and what was checked here: a copy read back from the other store, a
// token that is over these bytes, answers our nonce and is signed, a cosignature by the witness's key. Each Submit ends by its context or by Options.Timeout;
// what a server answers is read up to a bound; no redirect is followed, no proxy is taken from the environment, and no address of the
// link-local network, where clouds keep their credentials, is dialled. Nothing is tried again: the next roll does that. It keeps no state, neither in
// memory nor on disk, so that a crash loses nothing; to submit a checkpoint again is harmless.
//
// What it does not: a syslog line is not acknowledged by its receiver, and its receipt says no more than that it was sent.
package anchor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// Kinds of an anchor.
const (
	KindStore     = "store"
	KindSyslog    = "syslog"
	KindTimestamp = "timestamp"
	KindWitness   = "witness"
)

// Extensions of what is kept in the store beside its checkpoint.
const (
	// ExtCosignature is that of a witness's signature lines, as C2SP signed notes have them.
	ExtCosignature = ".cosig"
	// ExtTimestamp is that of an RFC 3161 TimeStampResp in DER, as openssl ts -verify reads it.
	ExtTimestamp = ".tsr"
)

// MaxCheckpoint is how many bytes a signed checkpoint may have.
const MaxCheckpoint = 16 << 10

var (
	// ErrForked says that the place holds another history of the log than ours: one of the two is forged, or the log's key is in two hands.
	ErrForked = errors.New("it knows another history of this log")
	// ErrAhead says that the place knows a later checkpoint of the log than the one it was given, which it therefore does not vouch for.
	ErrAhead = errors.New("it knows a later checkpoint of this log")
	// ErrRefused says that the place answered that it does not take the checkpoint.
	ErrRefused = errors.New("it refused the checkpoint")
	// ErrAnswer says that the place answered what its protocol does not allow.
	ErrAnswer = errors.New("its answer is not what it must be")
	// ErrCheckpoint says that what was to be anchored is not a checkpoint, or not the one that it was said to be.
	ErrCheckpoint = errors.New("not a checkpoint")
)

// Submission is a checkpoint on its way to an anchor.
type Submission struct {
	Origin string
	Size   int64
	// Checkpoint is the signed note, as it lies in the store.
	Checkpoint []byte
	// Prove returns the proof that the log of Size entries begins with that of old entries, 0 < old < Size.
	Prove func(ctx context.Context, old int64) (tlog.TreeProof, error)
}

// Receipt is what an anchor gave for a checkpoint.
type Receipt struct {
	// Ext is ExtCosignature, ExtTimestamp, or blank when nothing is to be kept in the store.
	Ext string
	// Data is what is to be kept.
	Data []byte
	// By is who vouches for the checkpoint: the witness's name, the authority's subject, or where it was put or sent.
	By string
	// At is when, by the clock of who vouches for it; by ours for a store and for syslog.
	At time.Time
}

// Anchor is a place that checkpoints go to. Its methods are safe for concurrent use.
//
// Submit MUST return an error unless the place has the checkpoint. The caller MUST have the checkpoint and all that it stands for in the store before. ErrForked is
// a finding, and not a fault of the network: it MUST NOT be passed over.
type Anchor interface {
	Name() string
	// Kind is one of KindStore, KindSyslog, KindTimestamp and KindWitness.
	Kind() string
	Submit(ctx context.Context, s Submission) (Receipt, error)
}

// Options of an anchor. The zero value is the default.
type Options struct {
	// Timeout is how long one Submit may take; 0 means 30 seconds.
	Timeout time.Duration
	// RootCAs vouch for servers that are reached by TLS; nil stands for the system's.
	RootCAs *x509.CertPool
	// Enterprise is the IANA private enterprise number in the name of a syslog line's structured data; 0 means 32473, the number for examples.
	Enterprise uint32
	// Hostname stands in the header of a syslog line: at most 255 characters of visible ASCII; "-" if empty.
	Hostname string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const defaultTimeout = 30 * time.Second

func (o *Options) orDefault() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Timeout <= 0 {
		d.Timeout = defaultTimeout
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// base is what all anchors share.
type base struct {
	name, kind string
	opts       Options
}

func (b *base) Name() string { return b.name }
func (b *base) Kind() string { return b.kind }

// wrap says which anchor an error is of.
func (b *base) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("anchor %s (%s): %w", b.name, b.kind, err)
}

// begin checks a submission and gives it its deadline.
func (b *base) begin(ctx context.Context, s Submission) (context.Context, context.CancelFunc, torchwood.Checkpoint, error) {
	c, err := s.open()
	if err != nil {
		return nil, nil, torchwood.Checkpoint{}, b.wrap(err)
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Timeout)
	return ctx, cancel, c, nil
}

// open checks that the submission is of the checkpoint that it says it is. That the signature is right is for the one who made it to know.
func (s *Submission) open() (torchwood.Checkpoint, error) {
	c, _, err := splitCheckpoint(s.Checkpoint)
	if err != nil {
		return c, err
	}
	if c.Origin != s.Origin || c.N != s.Size {
		return c, fmt.Errorf("%w of %s of size %d: it is of %s, size %d", ErrCheckpoint, s.Origin, s.Size, c.Origin, c.N)
	}
	return c, nil
}

// splitCheckpoint parses a signed checkpoint, and returns its text as well, which ends in a line feed. Its signatures are not checked.
func splitCheckpoint(data []byte) (torchwood.Checkpoint, string, error) {
	if len(data) > MaxCheckpoint {
		return torchwood.Checkpoint{}, "", fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrCheckpoint, len(data), MaxCheckpoint)
	}
	text, signatures, ok := strings.Cut(string(data), "\n\n")
	text += "\n"
	if !ok || !strings.HasPrefix(signatures, "\u2014 ") || !strings.HasSuffix(signatures, "\n") {
		return torchwood.Checkpoint{}, "", fmt.Errorf("%w: no text, blank line and signatures", ErrCheckpoint)
	}
	c, err := torchwood.ParseCheckpoint(text)
	if err != nil || c.Origin == "" || c.String() != text {
		return torchwood.Checkpoint{}, "", fmt.Errorf("%w: not an origin, a size and a root", ErrCheckpoint)
	}
	return c, text, nil
}
