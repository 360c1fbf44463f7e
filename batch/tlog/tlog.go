// Package tlog keeps the log of a store: one RFC 6962 tree whose leaves are its seals, its keys, and what was decided about them, and whose signed head is
// the checkpoint.
//
// What it guarantees: no two checkpoints of one log contradict each other, however often it is stopped and however many machines write to it; what was
// signed is on stable storage here before it is in the store, and is put as it was signed, to the byte; a log that is ahead of, or
// contradicts, what is remembered here is never extended in silence; everything that a Reader hands out is proven to lie under its checkpoint.
//
// What it does not: it does not see that a store's tail was cut off where its own memory was lost, too (anchors do), and does not know whether what a leaf
// says is true (verify does).
//
// A log in the store, all keys below log/, none ever overwritten:
//
//	log/tile/0/000.p/5              hashes, as in c2sp.org/tlog-tiles
//	log/tile/entries/000.p/5        entries, as in c2sp.org/tlog-tiles
//	log/checkpoints/000000000005    the checkpoint of that size, as in c2sp.org/tlog-checkpoint
//	log/next/000000000003           what follows the checkpoint of size 3: the next checkpoint and its new entries
//	log/anchors/000000000005/…      receipts for that checkpoint
//
// log/next is put first, and is the commit point: since there can be one successor of a size only, two machines cannot part the log; and
// since it holds all that is new, whoever finds it can complete it.
package tlog

import "errors"

var (
	// ErrLeaf says that an entry is not a leaf that Daybook wrote, or stands where it may not.
	ErrLeaf = errors.New("not a valid leaf")
	// ErrCheckpoint says that a checkpoint is not one that Daybook wrote, or is not signed by the key that it must be.
	ErrCheckpoint = errors.New("not a valid checkpoint")
	// ErrLog says that tiles or entries do not lie under the checkpoint that they are read for.
	ErrLog = errors.New("does not match the checkpoint of the log")
	// ErrUnknownKey says that a key never was one of the log's.
	ErrUnknownKey = errors.New("the log does not know this key")
	// ErrKeyRange says that a key was not in force.
	ErrKeyRange = errors.New("the key was not in force")
	// ErrRevoked says that a key was in force, but was revoked from then on.
	ErrRevoked = errors.New("the key is revoked")
	// ErrAhead says that the log in the store goes on beyond what is remembered here.
	ErrAhead = errors.New("the log in the store is ahead of what this machine remembers")
	// ErrForked says that the log in the store contradicts what is remembered here. Nothing overrides it.
	ErrForked = errors.New("the log in the store contradicts what this machine remembers")
)
