package spool

import (
	"bytes"
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
	s.mu.Lock()
	defer s.mu.Unlock()
	var days []TrailDay
	for k, list := range s.days {
		d := TrailDay{Trail: k.trail, Day: k.day}
		for _, g := range list {
			if g.state != stateSealed {
				d.Events += g.events
			}
		}
		if d.Events > 0 {
			days = append(days, d)
		}
	}
	slices.SortFunc(days, compareTrailDays)
	return days
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
	list := slices.Clone(s.days[k])
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
	return list[n-1].number, s.update(s.db.NewBatch(), k, list)
}

// update writes the generations of a day.
func (s *Store) update(b *pebble.Batch, k dayKey, list []generation) error {
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
	if len(list) == 0 {
		delete(s.days, k)
	} else {
		s.days[k] = list
	}
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
	s.mu.Lock()
	failed, list := s.fuse.failure(), s.days[k]
	s.mu.Unlock()
	if failed != nil {
		return failed
	}
	i := slices.IndexFunc(list, func(g generation) bool { return g.state == stateFrozen })
	if i < 0 {
		return nil
	}
	g := list[i]
	prefix := k.appendPrefix(nil, g.number)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: k.appendPrefix(nil, g.number+1)})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	events := int64(0)
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		key := it.Key()
		if len(key) < eventHead+minTailLen || !bytes.HasPrefix(key, prefix) || len(value) < 2 || value[0]&^storedSuspect != 0 {
			return fmt.Errorf("%w: record %x is no event", ErrCorrupt, key)
		}
		events++
		item := Item{
			Group: Group{Trail: k.trail, Day: k.day, Class: key[eventPrefix]}, Tail: key[eventHead:], Row: value[1:],
			Suspect: value[0]&storedSuspect != 0,
		}
		if !yield(item) {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	if events != g.events {
		return fmt.Errorf("%w: %d events were spooled for %v in generation %d, and %d are there", ErrCorrupt, g.events, k.day, g.number, events)
	}
	return nil
}

// MarkSealed remembers that a frozen generation was sealed at that time: it is kept until Expire drops it, but not scanned any more. It returns once that is on
// stable storage. A generation that was dropped already is no error.
func (s *Store) MarkSealed(trail uint16, day event.Day, number uint32, at time.Time) error {
	return s.wrap("seal", s.change(dayKey{trail, day}, number, func(list []generation, i int) []generation {
		if list[i].state == stateFrozen {
			list[i].state, list[i].sealed = stateSealed, at
		}
		return list
	}, false))
}

// Drop removes a frozen or sealed generation. It returns once that is on stable storage. A generation that was dropped already is no error.
func (s *Store) Drop(trail uint16, day event.Day, number uint32) error {
	return s.wrap("drop", s.change(dayKey{trail, day}, number, func(list []generation, i int) []generation {
		return slices.Delete(list, i, i+1)
	}, true))
}

// change changes a generation, and removes its events if need be.
func (s *Store) change(k dayKey, number uint32, edit func([]generation, int) []generation, remove bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fuse.failure(); err != nil {
		return err
	}
	list := slices.Clone(s.days[k])
	i := slices.IndexFunc(list, func(g generation) bool { return g.number == number })
	if i < 0 {
		return nil
	}
	if list[i].state == stateOpen {
		return fmt.Errorf("generation %d of %v is not frozen", number, k.day)
	}
	b := s.db.NewBatch()
	if remove {
		if err := b.DeleteRange(k.appendPrefix(nil, number), k.appendPrefix(nil, number+1), nil); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return s.update(b, k, edit(list, i))
}

// Expire drops the generations that were sealed before that time, and returns how many events they held.
func (s *Store) Expire(before time.Time) (int64, error) {
	type expired struct {
		dayKey
		number uint32
		events int64
	}
	var found []expired
	s.mu.Lock()
	for k, list := range s.days {
		for _, g := range list {
			if g.state == stateSealed && g.sealed.Before(before) {
				found = append(found, expired{k, g.number, g.events})
			}
		}
	}
	s.mu.Unlock()
	events := int64(0)
	for _, x := range found {
		if err := s.Drop(x.trail, x.day, x.number); err != nil {
			return events, err
		}
		events += x.events
	}
	return events, nil
}
