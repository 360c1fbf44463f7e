// Package control keeps who may do what, and which trails are on: admins and the tokens of senders, the two-person switch of each trail, the times when nothing was
// taken in, and the life of the process. All of it is one append-only journal, and what holds now is what its records come to.
//
// What it guarantees: a method that returns without an error has its record on stable storage; one that returns an error other than ErrStopped has
// changed nothing. A record's line tells the hash of the line before: a line that was altered, removed or put in between shows at Open, and so does a journal that ends
// before the record that it ended with at the last sign of life. Nobody can disable a trail alone: it takes two admins, none of whom can have seen the other's secret,
// and a time to cool off. Secrets are not in the journal, only their SHA-256. Each record becomes an event of the org's own trail, handed out once to each trail that it
// concerns, whatever the reader's cursor. Lookups wait for no disk.
//
// What it does not: it takes no lock on the data folder, whose owner does; it does not hide from who can write to the folder, who can write a whole new journal. The last
// record can be altered without it being noticed until a record or a sign of life follows.
//
// A crash leaves the journal with all records that were acknowledged, and maybe one more; a line half written is cut at the next Open. Where a write or a sync failed
// it is not known what the disk holds: nothing more is written (ErrStopped) until the journal is opened again, which finds out. What fell due while no process ran, such
// as the end of a cool-off, is recorded later with the time when it was due. A copy of a journal that is in use is good if control/alive.json is copied first.
package control

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"daybook/sink"
)

var (
	// ErrStopped says that a write failed, or Close was called: nothing more is written until the journal is opened again.
	ErrStopped = errors.New("control is stopped")
	// ErrDamaged says that the journal, or the sign of life beside it, is not what was written there.
	ErrDamaged = errors.New("is damaged")
	// ErrInvalid says that an argument cannot be meant.
	ErrInvalid = errors.New("not valid")
	// ErrDenied says that the actor may not do that.
	ErrDenied = errors.New("not allowed")
	// ErrSelfApproval is ErrDenied, too: one person could have both requested the disabling and approved it.
	ErrSelfApproval = errors.New("a disabling needs a second admin")
	// ErrUnchanged says that things are already as asked.
	ErrUnchanged = errors.New("nothing to change")
	// ErrNotFound says that there is no such admin, token, trail, or request.
	ErrNotFound = errors.New("not found")
	// ErrExists says that the name is taken, or that another request is waiting.
	ErrExists = errors.New("exists already")

	// ErrUnknown says that the secret is nobody's.
	ErrUnknown = errors.New("unknown secret")
	// ErrExpired says that the secret's time is over.
	ErrExpired = errors.New("expired")
	// ErrRevoked says that the secret was revoked.
	ErrRevoked = errors.New("revoked")
	// ErrWrongKind says that an admin's secret was used to send, or a sender's to administer.
	ErrWrongKind = errors.New("wrong kind of secret")
)

// Options of a Control.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// CoolOff is how long after its approval a disabling takes effect.
	CoolOff time.Duration
	// Log is told what was cut or cannot be right; nil discards it.
	Log *slog.Logger
}

// Control is the journal and what it comes to. Its methods may be called by any number of goroutines.
type Control struct {
	now     func() time.Time
	log     *slog.Logger
	coolOff atomic.Int64 // nanoseconds
	version atomic.Uint64
	nextDue atomic.Int64 // when the next record falls due, in nanoseconds since 1970; math.MaxInt64: none waits

	// writing is held by who appends, from the look at the state to its change; so its holder may read the state without mu.
	writing sync.Mutex
	journal *journal
	alive   aliveFile
	running bool // guarded by writing: between Started and Stopped

	mu      sync.RWMutex // held for a change of state, never for the disk
	state   *state       // guarded by mu
	stopped atomic.Pointer[error]
}

// Open replays the journal of the data folder dir, and makes one where there is none. The caller holds the folder's lock.
func Open(dir string, o *Options) (*Control, error) { return open(dir, o, nil) }

// open is Open; before, where it is not nil, is called ahead of each operation on the file system, and its error is taken for that operation's.
func open(dir string, o *Options, before func(op string) error) (*Control, error) {
	if o == nil {
		o = &Options{}
	}
	c := &Control{now: o.Now, log: o.Log, state: newState()}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if before == nil {
		before = func(string) error { return nil }
	}
	c.SetCoolOff(o.CoolOff)
	dir = filepath.Join(dir, "control")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	c.alive = aliveFile{path: filepath.Join(dir, "alive.json"), before: before}
	j, err := openJournal(filepath.Join(dir, "journal.jsonl"), before, c.state.apply)
	if err != nil {
		return nil, err
	}
	c.journal = j
	err = c.alive.load(j)
	if err == nil {
		err = j.secure(c.log)
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	c.version.Store(uint64(c.state.seq))
	c.nextDue.Store(c.state.nextDue())
	return c, nil
}

// Close closes the journal. It records nothing: see Stopped.
func (c *Control) Close() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.stopped.Load(); err != nil && errors.Is(*err, os.ErrClosed) {
		return nil
	}
	c.stop(fmt.Errorf("%w: %w", ErrStopped, os.ErrClosed))
	return c.journal.close()
}

// SetCoolOff sets how long after its approval a disabling takes effect. What is approved already keeps its time.
func (c *Control) SetCoolOff(d time.Duration) { c.coolOff.Store(int64(max(d, 0))) }

// Version changes with every record.
func (c *Control) Version() uint64 { return c.version.Load() }

// Newest is the time of the newest record; zero if there is none. A clock that was set back is earlier.
func (c *Control) Newest() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.newest
}

func (c *Control) clock() time.Time { return c.now().UTC().Round(0) }

func (c *Control) stop(err error) { c.stopped.Store(&err) }

// err tells why nothing can be written.
func (c *Control) err() error {
	if err := c.stopped.Load(); err != nil {
		return *err
	}
	return nil
}

// change writes what is due, and calls f with the time as it is. f looks at the state, and appends; nothing else changes the state meanwhile.
func (c *Control) change(f func(now time.Time) error) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.err(); err != nil {
		return err
	}
	now := c.clock()
	if err := c.settle(now); err != nil {
		return err
	}
	return f(now)
}

// append makes r the newest record. The sync of its line is the commit point: a crash before it may leave the record or not, and then its method has not returned.
func (c *Control) append(now time.Time, r *record) error {
	r.Seq, r.Time = c.state.seq+1, now
	err := c.journal.append(r)
	switch {
	case errors.Is(err, ErrStopped):
		c.stop(err)
		c.log.Error("control: the journal could not be written; nothing is recorded until it is opened again", "err", err)
		return err
	case err != nil:
		return err
	}
	c.mu.Lock()
	err = c.state.apply(r)
	c.nextDue.Store(c.state.nextDue())
	c.mu.Unlock()
	if err != nil {
		// It is on the disk, and Open would not take it: our fault, and no reason to go on.
		err = fmt.Errorf("%w: record %d: %w", ErrStopped, r.Seq, err)
		c.stop(err)
		return err
	}
	c.version.Store(uint64(r.Seq))
	return nil
}

func hint(err error, format string, args ...any) error {
	return &sink.HintError{Err: err, Hint: fmt.Sprintf(format, args...)}
}
