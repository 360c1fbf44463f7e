package spool

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Records counts the events on the disk, be they of a generation that is known or not.
func (s *Store) Records() (n int, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableEvent}})
	if err != nil {
		return 0, err
	}
	for valid := it.First(); valid; valid = it.Next() {
		n++
	}
	return n, it.Close()
}

// LimitIDs makes the index of ids hold no more than memory entries in memory and look through no more than pass at once.
func (s *Sorter) LimitIDs(memory, pass int) { s.ids.memory, s.ids.pass = memory, pass }

// Runs is how many files hold sorted events.
func (s *Sorter) Runs() int { return len(s.runs) }

// Arena is how many bytes a Writer holds for records.
func (w *Writer) Arena() int { return cap(w.arena) }

// What the tests go beyond.
const (
	MaxFanIn  = maxFanIn
	MaxCopies = maxCopies
)

// MicrosOf returns the time of a tail.
func MicrosOf(tail []byte) time.Time {
	return time.UnixMicro(int64(binary.BigEndian.Uint64(tail) ^ 1<<63)).UTC()
}

// Compact has the engine write all that there is into its lowest level.
func (s *Store) Compact() error {
	return s.db.Compact(context.Background(), []byte{tableVersion}, []byte{tableEvent + 1}, false)
}

// FilterHits is how often a filter told that a key is not in its table.
func (s *Store) FilterHits() int64 { return s.db.Metrics().Filter.Hits }
