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
		return nil, fmt.Errorf("data folder: %s: %w", s.locksPath(), err)
	}
	return known, nil
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

// lengthenLog lengthens the locks of the log's objects that files will be checked by which are locked for longer.
func (r *Roller) lengthenLog(ctx context.Context) error {
	locker, ok := r.Store.(sink.Locker)
	want := r.logLock()
	if !ok || want.Mode == sink.None {
		return nil
	}
	known, err := r.state.readLocks()
	if err != nil {
		return err
	}
	base := r.controlLock().RetainUntil
	// The right edge was put with a lock that long, but where an earlier run had signed it and this one only finished it, without the extensions that it tells of.
	needed := r.log.Lasting(want.RetainUntil.After(base))
	due := slices.DeleteFunc(slices.Clone(needed), func(key string) bool { return !known[key].Before(want.RetainUntil) })
	slices.SortStableFunc(due, func(a, b string) int { return cmp.Compare(known[a].Unix(), known[b].Unix()) })
	due = due[:min(len(due), lengthenMost)]
	if len(due) == 0 {
		return nil
	}
	dates := []time.Time{want.RetainUntil}
	if longer := base.Add(base.Sub(r.Now()) / ahead).UTC().Truncate(time.Second); longer.After(want.RetainUntil) {
		dates = []time.Time{longer, want.RetainUntil} // a writer that may not lock for longer than it must does that
	}
	var mu sync.Mutex
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(holders)
	for _, key := range due {
		group.Go(func() error {
			var info sink.Info
			var err error
			for _, until := range dates {
				info, err = locker.Lengthen(inner, key, "", sink.Lock{Mode: want.Mode, RetainUntil: until})
				if errors.Is(err, sink.ErrLock) && want.Mode == sink.Compliance {
					// It is locked in governance mode, of a time when the classes were, and servers do not take a stricter one from us.
					info, err = locker.Lengthen(inner, key, "", sink.Lock{Mode: sink.Governance, RetainUntil: until})
				}
				if !errors.Is(err, sink.ErrLock) {
					break
				}
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			known[key] = info.Lock.RetainUntil
			return nil
		})
	}
	err = group.Wait()
	maps.DeleteFunc(known, func(key string, _ time.Time) bool { return !slices.Contains(needed, key) })
	data, jsonErr := json.Marshal(known)
	if jsonErr == nil {
		jsonErr = WriteFile(r.state.locksPath(), data)
	}
	if err := errors.Join(err, jsonErr); err != nil {
		return fmt.Errorf("locks of the log could not be lengthened: %w", err)
	}
	return nil
}
