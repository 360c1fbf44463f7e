package spool

import (
	"encoding/binary"
	"maps"
	"slices"
)

// upgrade makes a store of format 1, whose records are loaded, one of the current format. It is one batch: a crash leaves the one or the other.
//
// Format 1 had no totals and no sealings. The totals start from the generations that are there: nothing is known of duplicates, nor of what was dropped.
func (s *Store) upgrade() error {
	b := s.db.NewBatch()
	totals := map[uint16]Totals{}
	for _, id := range slices.Sorted(maps.Keys(s.states)) {
		state := s.states[id]
		t := state.totals
		for _, day := range slices.Sorted(maps.Keys(state.days)) {
			for _, g := range state.days[day] {
				t.Accepted += g.events
				if g.state == stateSealed {
					t.Sealed += g.events
					x := Sealing{Day: day, At: g.sealed, Written: g.events}
					put(b, sealingKey(id, g.number), x.append(nil))
				}
			}
		}
		put(b, totalsKey(id), t.append(nil))
		totals[id] = t
	}
	put(b, []byte{tableVersion}, binary.BigEndian.AppendUint32(nil, formatVersion))
	if err := s.commit(b); err != nil {
		return err
	}
	for id, t := range totals {
		s.setTotals(id, t)
	}
	return nil
}
