// Package sink says what Daybook asks of a place where sealed files go.
//
// A Store is write-once: Put never overwrites. Putting the same bytes under a key again succeeds and changes nothing; other bytes are
// ErrConflict. What a Put reports was read back from the store, not believed. After a crash in the middle of a Put either the whole
// object is there or none of it.
//
// A Store does not list, delete, or shorten a lock: a writer needs none of these, and a credential without them is safer. What an auditor needs, and a
// store may be able to tell, are powers of their own: Lister, Versioner, Expirer, Inspector and Clock; so is what a reader may want beyond Get: Ranger, Linker and Thawer. None of them
// changes an object. Locker, the power to lengthen locks and to put and lift legal holds, changes nothing of an object but for how long it stays.
package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

var (
	// ErrNotExist says that the store holds no such object. No other failure reads as absent.
	ErrNotExist = errors.New("does not exist")
	// ErrHidden says that a delete marker stands in front of the object: its versions may still be there, and it is never a reason to
	// Put again.
	ErrHidden = errors.New("hidden by a delete marker")
	// ErrConflict says that the store holds other bytes under the key.
	ErrConflict = errors.New("the store holds other bytes under this key")
	// ErrLock says that an object's lock, read back, is weaker than the one asked for.
	ErrLock = errors.New("lock is weaker than asked for")
	// ErrCold says that an object lies in an archive, and must be brought back before it can be read.
	ErrCold = errors.New("lies in an archive")
	// ErrHold says that an object's legal hold, read back, is not as asked for.
	ErrHold = errors.New("legal hold is not as asked for")
	// ErrUnfit says that the store cannot give what the configuration demands of it (no bucket, no Object Lock, no versioning, no permission).
	ErrUnfit = errors.New("store is not fit for sealed files")
)

// HintError is an error with a way out, which the command prints on a line of its own.
type HintError struct {
	Err  error
	Hint string
}

func (e *HintError) Error() string { return e.Err.Error() }
func (e *HintError) Unwrap() error { return e.Err }

// Mode is an Object Lock retention mode, spelled as S3 spells it.
type Mode string

const (
	// None means no lock: the only mode of a store that has none.
	None Mode = ""
	// Governance can be lifted by a user with the bypass right.
	Governance Mode = "GOVERNANCE"
	// Compliance can be lifted or shortened by nobody.
	Compliance Mode = "COMPLIANCE"
)

// ParseMode reads a mode as people write it: none, governance, compliance, in any case.
func ParseMode(s string) (Mode, error) {
	switch {
	case s == "", strings.EqualFold(s, "none"):
		return None, nil
	case strings.EqualFold(s, "governance"):
		return Governance, nil
	case strings.EqualFold(s, "compliance"):
		return Compliance, nil
	}
	return None, fmt.Errorf("lock mode %q: must be compliance, governance or none", s)
}

// Lock is the retention of one object.
type Lock struct {
	Mode Mode
	// RetainUntil is when the lock ends, UTC, whole seconds (S3 keeps no more; round up before setting it). Zero when Mode is None.
	RetainUntil time.Time
}

// Covers reports whether l is at least as strong as want.
func (l Lock) Covers(want Lock) bool {
	switch want.Mode {
	case None:
		return true
	case Compliance:
		return l.Mode == Compliance && !l.RetainUntil.Before(want.RetainUntil)
	}
	return l.Mode != None && !l.RetainUntil.Before(want.RetainUntil)
}

// Object is one file to put.
type Object struct {
	// Key is the object's name below the store's root, as CheckKey allows it.
	Key         string
	ContentType string
	Size        int64
	SHA256      [32]byte
	Lock        Lock
	// Hold asks for a legal hold, which needs a store that is a Locker.
	Hold bool
	// Body holds the Size bytes; it is read from offset 0 for each attempt.
	Body io.ReaderAt
	// Final says that Body is an *os.File that nobody will write to any more: a store on the same file system may take the file itself, instead
	// of a copy of it. The file loses its write permission then.
	Final bool
}

// Info is what a store says of an object.
type Info struct {
	Key string
	// Version is the store's version id; blank in a store without versions.
	Version string
	Size    int64
	SHA256  [32]byte
	// ContentType is blank in a store that keeps none.
	ContentType string
	Lock        Lock
	// Held says that a legal hold is on the object: nobody can delete it, whatever its lock. A store shows it only to who may see holds.
	Held bool
	// Existed says, after a Put, that the same bytes were there before, be it from an earlier attempt of this Put whose answer was lost.
	Existed bool
}

// Store is where sealed files go. Its methods are safe for concurrent use.
//
// A caller MUST have the whole of Object.Body on stable storage before Put and MUST put the same bytes when it tries again. A store MUST make
// an object visible only whole, MUST have it on stable storage when Put returns, and MUST read back size, SHA-256 and lock before it says so.
type Store interface {
	// Preflight checks that the store is there and fit (ErrUnfit with a hint). It writes nothing.
	Preflight(ctx context.Context) error
	// Put stores o under o.Key unless it is there: the same bytes succeed with Existed set (a shorter lock is lengthened, a hold is put), other bytes are
	// ErrConflict, a delete marker is ErrHidden, a lock that reads back weaker is ErrLock, a hold that does not read back is ErrHold, and what of the two
	// the store cannot give is ErrUnfit.
	Put(ctx context.Context, o Object) (Info, error)
	// Head describes an object. A blank version means the newest. ErrNotExist, ErrHidden.
	Head(ctx context.Context, key, version string) (Info, error)
	// Get opens an object for reading. A blank version means the newest. ErrNotExist, ErrHidden, ErrCold.
	Get(ctx context.Context, key, version string) (io.ReadCloser, error)
}
