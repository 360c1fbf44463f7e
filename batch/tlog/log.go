package tlog

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/sink"
)

// Options say which log, and who extends it.
type Options struct {
	// Store must be a sink.Lister.
	Store sink.Store
	// Dir is the log's memory on this machine: a folder of its own.
	Dir string
	// Signer is the key in force or, for a store that has no log, its first.
	Signer seal.Signer
	// Origin names a new log; blank: "daybook/" and 16 hex digits. It must be that of a log that is there.
	Origin string
	// Lock gives the lock of what is put now; nil: none.
	Lock func() sink.Lock
	Now  func() time.Time
	Log  *slog.Logger
	// TakeOver goes on from where another machine left the log, if what is remembered here is the beginning of that.
	TakeOver bool
}

// Head is a checkpoint and its file.
type Head struct {
	Checkpoint
	Signed []byte
}

// Log is a log that can be extended. Its methods are not safe for concurrent use.
type Log struct {
	head Head
	tip  *state
}

// Open opens the log.
func Open(ctx context.Context, o Options) (*Log, error) { return nil, errNoLister() }

// Add adds a leaf.
func (l *Log) Add(leaf *Leaf, signers ...seal.Signer) error { return nil }

// Publish publishes.
func (l *Log) Publish(ctx context.Context) (Head, error) { return l.head, nil }

// Rotate rotates.
func (l *Log) Rotate(ctx context.Context, next seal.Signer) error { return nil }

// Revoke revokes.
func (l *Log) Revoke(ctx context.Context, id string, from int64, reason string) error { return nil }

// Logged is the highest seal number.
func (l *Log) Logged(trail string) uint64 { return l.tip.logged[trail] }

// Head is the newest checkpoint.
func (l *Log) Head() Head { return l.head }

// Keyring is the log's.
func (l *Log) Keyring() *Keyring { return l.tip.keys.clone() }

// Prove proves.
func (l *Log) Prove(ctx context.Context, old int64) (tlog.TreeProof, error) { return nil, nil }
