package spool

import (
	"encoding/binary"
	"slices"

	"daybook/event"
)

// Totals count the events of a trail since its first. Accepted = Duplicates + Sealed + Pending, at any moment and after any crash.
type Totals struct {
	// Accepted is every event that was appended, duplicates included.
	Accepted int64
	// Duplicates were not new when they were appended.
	Duplicates int64
	// Sealed are the events of generations that were marked sealed, be they kept or dropped since.
	Sealed int64
	// Damaged are those of Sealed that could not be read any more.
	Damaged int64
	// Pending are the events of open and frozen generations.
	Pending int64
}

// Totals returns the running totals of a trail. They are written in one go with what they count.
func (s *Store) Totals(trail uint16) Totals {
	s.view.RLock()
	defer s.view.RUnlock()
	return s.totalsOf(trail)
}

// totalsOf is called under mu or view.
func (s *Store) totalsOf(trail uint16) Totals {
	if t := s.states[trail]; t != nil {
		return t.totals
	}
	return Totals{}
}

// totalsLen is the length of their record, which Pending has no part in: it is worked out from the generations.
const totalsLen = 4 * 8

func totalsKey(trail uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{tableTotals}, trail)
}

func (t *Totals) append(dst []byte) []byte {
	for _, n := range []int64{t.Accepted, t.Duplicates, t.Sealed, t.Damaged} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return dst
}

// parseTotals reads the record of a trail's totals.
func parseTotals(key, value []byte) (trail uint16, t Totals, ok bool) {
	if len(key) != 3 || len(value) != totalsLen {
		return 0, t, false
	}
	for i, n := range []*int64{&t.Accepted, &t.Duplicates, &t.Sealed, &t.Damaged} {
		*n = int64(binary.BigEndian.Uint64(value[8*i:]))
	}
	return binary.BigEndian.Uint16(key[1:]), t, true
}

// trailState is what is known of a trail.
type trailState struct {
	days   map[event.Day][]generation // ascending; none is empty
	totals Totals
}

// trail returns the state of a trail. It is called under mu and view.
func (s *Store) trail(id uint16) *trailState {
	t := s.states[id]
	if t == nil {
		t = &trailState{days: map[event.Day][]generation{}}
		s.states[id] = t
	}
	return t
}

// generations returns a copy of those of a trail's day.
func (s *Store) generations(k dayKey) []generation {
	s.view.RLock()
	defer s.view.RUnlock()
	if t := s.states[k.trail]; t != nil {
		return slices.Clone(t.days[k.day])
	}
	return nil
}

// setGenerations is called under mu and view, when they are written.
func (s *Store) setGenerations(k dayKey, list []generation) {
	t := s.trail(k.trail)
	t.totals.Pending += pendingOf(list) - pendingOf(t.days[k.day])
	if len(list) == 0 {
		delete(t.days, k.day)
	} else {
		t.days[k.day] = list
	}
}

// setTotals is called under mu and view, when they are written.
func (s *Store) setTotals(trail uint16, totals Totals) {
	t := s.trail(trail)
	totals.Pending = t.totals.Pending
	t.totals = totals
}

func pendingOf(list []generation) (n int64) {
	for _, g := range list {
		if g.state != stateSealed {
			n += g.events
		}
	}
	return n
}
