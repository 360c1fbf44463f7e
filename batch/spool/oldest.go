package spool

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Oldest returns the earliest time of the events of a trail that are pending; false if none is. Where it can't be read, the beginning of the day that the
// events are filed under stands in for it.
func (s *Store) Oldest(trail uint16) (time.Time, bool) {
	s.view.Lock() // it remembers what it finds
	defer s.view.Unlock()
	state := s.states[trail]
	if state == nil || state.totals.Pending == 0 {
		return time.Time{}, false
	}
	oldest := int64(math.MaxInt64)
	for day, list := range state.days {
		for i := range list {
			g := &list[i]
			if g.state == stateSealed || g.events == 0 {
				continue
			}
			if !g.oldestKnown {
				micros, err := s.oldestOf(dayKey{trail, day}, g.number)
				if err != nil {
					oldest = min(oldest, day.Start().UnixMicro())
					continue
				}
				g.oldest, g.oldestKnown = micros, true
			}
			oldest = min(oldest, g.oldest)
		}
	}
	return time.UnixMicro(oldest).UTC(), true
}

// oldestOf looks for the earliest time of a generation's events, which is that of the first of some class. It is called under view.
func (s *Store) oldestOf(k dayKey, number uint32) (oldest int64, err error) {
	if err := s.fuse.failure(); errors.Is(err, errClosed) {
		return 0, err
	}
	prefix := k.appendPrefix(nil, number)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	oldest = math.MaxInt64
	for valid := it.First(); valid; {
		key := it.Key()
		if len(key) < eventHead+minTailLen {
			return 0, ErrCorrupt
		}
		oldest = min(oldest, microsOf(key[eventHead:]))
		next := after(key[:eventHead]) // the next class, or what follows the generation
		valid = it.SeekGE(next)
	}
	return oldest, it.Error()
}

// microsOf returns the time of a tail in µs since 1970.
func microsOf(tail []byte) int64 { return int64(binary.BigEndian.Uint64(tail) ^ 1<<63) }
