package batch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/retention"
	"daybook/sink"
)

// What files are checked by must stay as long as they do. Most of it is locked for long enough when it is put:
//
//   - A manifest and its note are needed for the files of their seal, and are put after them, with a lock as long as the longest class's.
//   - A key is needed for the seals that it signed, and each of them lengthens its lock.
//   - The log's right edge (the newest checkpoint, its partial bundle of entries and its partial tile of level 0) is put anew with each seal. What was there before is
//     needed no more, since the new objects hold all that it held: a partial tile is the beginning of the next of its place.
//
// What is left are the log's full tiles and bundles, and the partial ones of higher levels, which change once in 256 leaves: all later leaves are proven by them. Each roll
// lengthens the locks of those that end before the files of the newest seals do. They are lengthened by a bit more than is needed, so that each comes up a few times in the life
// of a file only; and a roll does at most so many of them, those that end first, so that a store that was never looked after catches up over some rolls.

// lengthenMost is how many locks a roll lengthens.
const lengthenMost = 256

// ahead is by how much more than it must a lock is lengthened: a sixteenth of the longest retention.
const ahead = 16

// MaxDays is for how many days a writer must be able to lock objects, where no lock was lengthened for longer (ExtendReport.MaxDays); 0 if no class has an age.
func MaxDays(policies retention.Policies) int {
	days := policies.LongestDays()
	if days == 0 {
		return 0
	}
	return days + (days+ahead-1)/ahead + 1 // a server counts days that have begun
}

func (s *state) locksPath() string { return s.path("locks.json") }

// readLocks returns until when objects of the log are locked, by key, as they were read back. What is not known is looked at.
func (s *state) readLocks() (map[string]time.Time, error) {
	known := map[string]time.Time{}
	data, err := os.ReadFile(s.locksPath())
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil {
		return nil, forgettable(s.locksPath(), err)
	}
	return known, nil
}

// forgettable is a file of the data folder that can't be read, and that the next roll makes anew.
func forgettable(path string, err error) error {
	return &sink.HintError{Err: fmt.Errorf("data folder: %s: %w", path, err), Hint: "if the disk is well and the file may be read, remove it, with the service stopped: the next roll asks the store for what it holds"}
}

// logLock is the lock of what is put into the log: as long as the longest class, and as the longest extension that the log tells of.
func (r *Roller) logLock() sink.Lock {
	lock := r.controlLock()
	if lock.Mode != sink.None && r.log != nil {
		if extended := r.log.ExtendedTo(); extended.After(lock.RetainUntil) {
			lock.RetainUntil = extended
		}
	}
	return lock
}

// lockDays is for how many days, those that have begun included, what is put into the log is locked now, MaxExtension at most.
func (r *Roller) lockDays() int {
	const day = 24 * time.Hour
	left := r.logLock().RetainUntil.Sub(r.Now()) - time.Second // which it was rounded up by, at most
	return min(int((left+day-1)/day)+1, MaxExtension)
}

// ShortLock tells that the log is locked for less long than files are whose locks were lengthened, or the files of the longest class: the writer may not lock it for so long.
type ShortLock struct {
	// Until is when the first lock of what later leaves need ends, as far as that is known, and Wanted when it should.
	Until  time.Time `json:"until"`
	Wanted time.Time `json:"wanted"`
	// Days is for how many days a writer must be able to lock objects, so that the log can be locked for as long.
	Days  int    `json:"days"`
	Error string `json:"error"`
}

// Hint says what to do about it.
func (s *ShortLock) Hint() string {
	return fmt.Sprintf("make the writer's policy anew, with `daybook bucket policy --role writer --max-days %d`: the next roll lengthens the log's locks", s.Days)
}

func (s *state) shortPath() string { return s.path("log-lock.json") }

// shortLock returns what the last roll left too short; nil if nothing.
func (s *state) shortLock() (*ShortLock, error) {
	data, err := os.ReadFile(s.shortPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	short := &ShortLock{}
	if err == nil {
		err = json.Unmarshal(data, short)
	}
	if err != nil {
		return nil, forgettable(s.shortPath(), err)
	}
	return short, nil
}

func (s *state) keepShortLock(short *ShortLock) error {
	if short == nil {
		if err := os.Remove(s.shortPath()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(short)
	if err != nil {
		return err
	}
	return WriteFile(s.shortPath(), data)
}

// logStore is the store as the log puts into it. What can't be locked as long as the longest extension is locked as long as the longest class, since a seal that is not in the log
// helps nobody; lengthenLog finds that it is too short.
type logStore struct {
	sink.Store
	sink.Lister
	r *Roller
}

// logStore returns the store as it is, if that can't list.
func (r *Roller) logStore() sink.Store {
	if lister, ok := r.Store.(sink.Lister); ok {
		return &logStore{r.Store, lister, r}
	}
	return r.Store
}

// Put is a sink.Store's.
func (s *logStore) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	base := s.r.controlLock()
	longer := o.Lock.RetainUntil.After(base.RetainUntil)
	if longer && s.r.refused {
		o.Lock, longer = base, false
	}
	info, err := s.Store.Put(ctx, o)
	if err == nil || !longer || ctx.Err() != nil || errors.Is(err, sink.ErrConflict) || errors.Is(err, sink.ErrHidden) {
		return info, err
	}
	o.Lock = base
	if info, again := s.Store.Put(ctx, o); again == nil {
		s.r.refused = true
		return info, nil
	}
	return info, err
}

// lengthenLog lengthens the locks of the log's objects that files will be checked by which are locked for longer. That the writer may not lock them for so long stops nobody from sealing:
// they are locked for as long as it may, and that is told.
func (r *Roller) lengthenLog(ctx context.Context) (*ShortLock, error) {
	locker, ok := r.Store.(sink.Locker)
	want := r.logLock()
	if !ok || want.Mode == sink.None {
		return nil, nil
	}
	known, err := r.state.readLocks()
	if err != nil {
		return nil, err
	}
	l := &lengthening{locker: locker, want: want, base: r.controlLock().RetainUntil, known: known}
	l.longer = l.base.Add(l.base.Sub(r.Now()) / ahead).UTC().Truncate(time.Second)
	// The right edge was put with a lock that long, but where an earlier run had signed it and this one only finished it, without the extensions that it tells of; or where that was refused.
	needed := r.log.Lasting(want.RetainUntil.After(l.base))
	due := slices.DeleteFunc(slices.Clone(needed), func(key string) bool { return !known[key].Before(want.RetainUntil) })
	slices.SortStableFunc(due, func(a, b string) int { return cmp.Compare(known[a].Unix(), known[b].Unix()) })
	due = due[:min(len(due), lengthenMost)]
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(holders)
	for _, key := range due {
		group.Go(func() error { return l.lengthen(inner, key) })
	}
	err = group.Wait()
	maps.DeleteFunc(known, func(key string, _ time.Time) bool { return !slices.Contains(needed, key) })
	if len(due) > 0 {
		data, jsonErr := json.Marshal(known)
		if jsonErr == nil {
			jsonErr = WriteFile(r.state.locksPath(), data)
		}
		err = errors.Join(err, jsonErr)
	}
	if err != nil {
		return nil, fmt.Errorf("locks of the log could not be lengthened: %w", err)
	}
	short := l.short(r)
	return short, r.state.keepShortLock(short)
}

// lengthening is the work of one roll.
type lengthening struct {
	locker       sink.Locker
	want         sink.Lock
	base, longer time.Time // as long as the longest class, and a bit more

	mu      sync.Mutex           // guards what follows
	known   map[string]time.Time // until when objects are locked
	refused error                // why one could not be locked for as long as it must
}

// lengthen lengthens the lock of one object; that it is refused is remembered.
func (l *lengthening) lengthen(ctx context.Context, key string) error {
	l.mu.Lock()
	until, before := l.want.RetainUntil, l.known[key]
	if l.refused != nil {
		until = l.base // it would be refused again
	}
	l.mu.Unlock()
	if !before.Before(until) {
		return nil
	}
	info, err := l.to(ctx, key, until)
	if errors.Is(err, sink.ErrLock) {
		l.mu.Lock()
		l.refused = err
		l.mu.Unlock()
		if until.After(l.base) && before.Before(l.base) {
			info, err = l.to(ctx, key, l.base)
		}
	}
	if errors.Is(err, sink.ErrLock) {
		return nil // it is told
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[key] = info.Lock.RetainUntil
	return nil
}

// to locks an object at least until a time. A writer that may not lock for longer than it must does that.
func (l *lengthening) to(ctx context.Context, key string, until time.Time) (info sink.Info, err error) {
	dates := []time.Time{until}
	if l.longer.After(until) {
		dates = []time.Time{l.longer, until}
	}
	for _, date := range dates {
		info, err = l.locker.Lengthen(ctx, key, "", sink.Lock{Mode: l.want.Mode, RetainUntil: date})
		if errors.Is(err, sink.ErrLock) && l.want.Mode == sink.Compliance {
			// It is locked in governance mode, of a time when the classes were, and servers do not take a stricter one from us.
			info, err = l.locker.Lengthen(ctx, key, "", sink.Lock{Mode: sink.Governance, RetainUntil: date})
		}
		if !errors.Is(err, sink.ErrLock) {
			break
		}
	}
	return info, err
}

// short says what was refused; nil if nothing was.
func (l *lengthening) short(r *Roller) *ShortLock {
	if l.refused == nil {
		return nil
	}
	s := &ShortLock{Until: l.want.RetainUntil, Wanted: l.want.RetainUntil, Days: r.lockDays(), Error: l.refused.Error()}
	for _, until := range l.known {
		if until.Before(s.Until) {
			s.Until = until.UTC()
		}
	}
	r.Log.Warn("the log can't be locked as long as what it vouches for: the writer may not lock for so long", "until", s.Until.Format(time.RFC3339), "wanted", s.Wanted.Format(time.RFC3339),
		"error", s.Error, "hint", s.Hint())
	return s
}
