package spool

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"daybook/event"
)

// Days lists the days that have events which are not sealed, by trail and day. Each event is counted once.
func (s *Store) Days() []TrailDay {
	s.view.RLock()
	defer s.view.RUnlock()
	var days []TrailDay
	for trail, state := range s.states {
		for day, list := range state.days {
			if n := pendingOf(list); n > 0 {
				days = append(days, TrailDay{Trail: trail, Day: day, Events: n})
			}
		}
	}
	slices.SortFunc(days, compareTrailDays)
	return days
}

// Pending returns how many events of a trail's day are not sealed, as Days has it.
func (s *Store) Pending(trail uint16, day event.Day) int64 {
	return pendingOf(s.generations(dayKey{trail, day}))
}

// Freeze makes what is spooled for a trail's day a generation and returns its number, once that is on stable storage; 0 if there is nothing. What is
// appended from now on belongs to the next. A generation that is frozen and neither sealed nor dropped is returned again, as it is.
func (s *Store) Freeze(trail uint16, day event.Day) (uint32, error) {
	number, err := s.freeze(dayKey{trail, day})
	return number, s.wrap("freeze", err)
}

func (s *Store) freeze(k dayKey) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fuse.failure(); err != nil {
		return 0, err
	}
	list := s.generations(k)
	for _, g := range list {
		if g.state == stateFrozen {
			return g.number, nil
		}
	}
	n := len(list)
	if n == 0 || list[n-1].state != stateOpen {
		return 0, nil
	}
	list[n-1].state = stateFrozen
	return list[n-1].number, s.update(s.db.NewBatch(), k, list, s.totalsOf(k.trail))
}

// update writes the generations of a day, and publishes them with the totals, which are in the batch if they change. It is called under mu.
func (s *Store) update(b *pebble.Batch, k dayKey, list []generation, totals Totals) error {
	key := k.append(nil, tableDay)
	if len(list) == 0 {
		op := b.DeleteDeferred(len(key))
		copy(op.Key, key)
		_ = op.Finish() // fails on indexed batches only
	} else {
		put(b, key, appendGenerations(nil, list))
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.view.Lock()
	defer s.view.Unlock()
	s.setGenerations(k, list)
	s.setTotals(k.trail, totals)
	return nil
}

// Scan hands out the events of the generation of a trail's day that is frozen and not sealed, in order. An Item holds until the next is asked for. It may
// be called again, and gives the same.
func (s *Store) Scan(trail uint16, day event.Day, _ *ScanStats) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if err := s.scan(dayKey{trail, day}, func(i Item) bool { return yield(i, nil) }); err != nil {
			yield(Item{}, s.wrap("scan", err))
		}
	}
}

func (s *Store) scan(k dayKey, yield func(Item) bool) (err error) {
	g, ok, err := s.frozen(k)
	if err != nil || !ok {
		return err
	}
	prefix := k.appendPrefix(nil, g.number)
	events := int64(0)
	for from := prefix; from != nil; {
		ended := false
		from, err = s.scanSome(from, k.appendPrefix(nil, g.number+1), func(key, value []byte) error {
			item, ok := itemOf(k, prefix, key, value)
			if !ok {
				return fmt.Errorf("%w: record %x is no event", ErrCorrupt, key)
			}
			events++
			if ended = !yield(item); ended {
				return errEnded
			}
			return nil
		})
		if ended {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if events != g.events {
		return fmt.Errorf("%w: %d events were spooled for %v in generation %d, and %d are there", ErrCorrupt, g.events, k.day, g.number, events)
	}
	return nil
}

// errEnded says that no more is asked for.
var errEnded = errors.New("ended")

// scanSize is how many records are read by one iterator. One that stays open keeps the memtables that it has found, which count against the engine's cache: with
// hardly any cache left, to look for a key costs reads from the disk, and who appends waits.
const scanSize = 20_000

// scanSome hands out records from one key on and before another, and returns where to go on; nil if that was all.
func (s *Store) scanSome(from, to []byte, yield func(key, value []byte) error) (next []byte, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	n := 0
	for valid := it.First(); valid; valid = it.Next() {
		if n++; n > scanSize {
			return slices.Clone(it.Key()), nil
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if err := yield(it.Key(), value); err != nil {
			return nil, err
		}
	}
	return nil, it.Error()
}

// Drop removes a sealed generation, and forgets which events it had. It returns once that is on stable storage. A generation that was dropped already is no
// error; one that is not sealed is, for nothing accounts for its events yet.
func (s *Store) Drop(trail uint16, day event.Day, number uint32) error {
	return s.wrap("drop", s.drop(dayKey{trail, day}, number))
}

func (s *Store) drop(k dayKey, number uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, i, err := s.find(k, number)
	if err != nil || i < 0 {
		return err
	}
	if list[i].state != stateSealed {
		return fmt.Errorf("generation %d of %v is not sealed", number, k.day)
	}
	b := s.db.NewBatch()
	if err := b.DeleteRange(k.appendPrefix(nil, number), k.appendPrefix(nil, number+1), nil); err != nil {
		return errors.Join(err, b.Close())
	}
	return s.update(b, k, slices.Delete(list, i, i+1), s.totalsOf(k.trail))
}

// find returns a copy of the generations of a trail's day, and where one is among them; -1 if it was dropped. It is called under mu.
func (s *Store) find(k dayKey, number uint32) (list []generation, i int, err error) {
	if err := s.fuse.failure(); err != nil {
		return nil, -1, err
	}
	list = s.generations(k)
	i = slices.IndexFunc(list, func(g generation) bool { return g.number == number })
	if i >= 0 && list[i].state == stateOpen {
		return nil, -1, fmt.Errorf("generation %d of %v is not frozen", number, k.day)
	}
	return list, i, nil
}

// Expire drops the generations that were sealed before that time, and returns how many events they held.
func (s *Store) Expire(before time.Time) (int64, error) {
	type expired struct {
		dayKey
		number uint32
		events int64
	}
	var found []expired
	s.view.RLock()
	for trail, state := range s.states {
		for day, list := range state.days {
			for _, g := range list {
				if g.state == stateSealed && g.sealed.Before(before) {
					found = append(found, expired{dayKey{trail, day}, g.number, g.events})
				}
			}
		}
	}
	s.view.RUnlock()
	events := int64(0)
	for _, x := range found {
		if err := s.Drop(x.trail, x.day, x.number); err != nil {
			return events, err
		}
		events += x.events
	}
	return events, nil
}
