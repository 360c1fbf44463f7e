package receiver

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"daybook/batch/intake"
	"daybook/event"
)

// What a Backend's errors may be, for the sender to be told what to do. Any other error is answered with 500.
var (
	// ErrUnavailable says that nothing can be taken in for the time being: 503.
	ErrUnavailable = errors.New("not available")
	// ErrFull says that the disk is full: 507.
	ErrFull = errors.New("disk full")
)

// What an Authenticator's errors may be. Any other error is answered with 503.
var (
	// ErrUnknown says that there is no such credential: 401.
	ErrUnknown = errors.New("unknown credential")
	// ErrDenied says that the credential may not send events: 403.
	ErrDenied = errors.New("not allowed")
	// ErrExpired says that its time is over: 403.
	ErrExpired = errors.New("expired")
	// ErrRevoked says that it was taken back: 403.
	ErrRevoked = errors.New("revoked")
)

// Sender is who sends events: a credential, and the org and source that it is bound to.
type Sender struct {
	// ID is the token's id, or the certificate's name. It stands in logs.
	ID string
	// Org and Source are what every event of this sender gets.
	Org, Source string
}

// Authenticator tells who sends.
type Authenticator interface {
	// Token returns the sender of a bearer token. It MUST take the same time for every token that is not known.
	Token(secret string) (Sender, error)
	// Certificate returns the sender of a client certificate whose chain the TLS server has verified.
	Certificate(leaf *x509.Certificate) (Sender, error)
}

// Backend is where events go. Its methods are called by many requests at the same time.
type Backend interface {
	// Begin returns a Batch for events that sender sent, and that came at received.
	Begin(sender Sender, received time.Time) (Batch, error)
	// Reject keeps a record that can't be read, for people to look at. The sender is told of it, and has it.
	Reject(sender Sender, r Rejection) error
	// Watermark is told that the sender says that it has sent all of its events up to t. All of this request were committed before.
	Watermark(sender Sender, t time.Time) error
}

// Batch gathers events of one request. It is used by one goroutine. Either Commit or Discard is called once, after which it is not used again.
type Batch interface {
	// Add takes an event, and copies what it keeps. Its id is final: Ordinal is not set.
	Add(intake.Taken) error
	// Commit MUST NOT return without an error before every event is on stable storage. It says how each ended, in the order of Add. After an error each of
	// them may be there, or not. ctx has a deadline and does not end with the client.
	Commit(ctx context.Context) ([]Outcome, error)
	Discard()
}

// State is how an event ended.
type State int

// How an event ended.
const (
	// Accepted is an event that at least one trail did not have.
	Accepted State = iota
	// Duplicate is an event that every trail had that is to have it.
	Duplicate
	// NotTracked is an event that no trail is to have.
	NotTracked
)

// Outcome says how an event ended.
type Outcome struct {
	State State
	// Placed are its rows, one for each trail that has it; of a Duplicate those that were there.
	Placed []Place
}

// Place says where an event is.
type Place struct {
	Trail string
	// Day is the day that it is filed under.
	Day event.Day
	// Content is the hash of what it holds (event.Event.ContentHash).
	Content [32]byte
	// SealedBy is when a seal will hold it at the latest.
	SealedBy time.Time
}

// Rejection is a record that can't be read.
type Rejection struct {
	Received time.Time
	// Line is the line of the body on which it begins, counted from 1.
	Line int
	// Reason may quote the record.
	Reason string
	// TooLong says that the reason is its length.
	TooLong bool
	// SHA256 and Size are those of the whole record, as far as it came.
	SHA256 [32]byte
	Size   int64
	// Data is the record, up to the limit on a record's length. It holds until Reject returns.
	Data []byte
}

// Signer signs receipts. A batch/seal.Signer is one.
type Signer interface {
	Name() string
	KeyHash() uint32
	Sign(text []byte) ([]byte, error)
}
