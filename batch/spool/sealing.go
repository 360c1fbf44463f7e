package spool

import (
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"daybook/event"
)

// Sealing says what became of a generation. Every event of it is in one of the counts.
type Sealing struct {
	// Day and Generation are filled in by the store.
	Day        event.Day
	Generation uint32
	// Seal is the number of the seal that the events were written to; 0 if nothing of the generation was new. Of what a store of format 1 had sealed it is
	// not known: there Seal is 0, and all is taken for written.
	Seal uint64
	// At is when it was sealed. Expire goes by it.
	At time.Time
	// Written are the events in the seal; Duplicates those that earlier seals hold, as was found when they were rendered; Damaged those that could not be
	// read any more.
	Written, Duplicates, Damaged int64
}

// A Sealing is kept when its generation is dropped. Its record, frozen:
//
//	'S' | trail 2 | generation 4 → day 4 | seal 8 | at, in ns since 1970, 8 | written 8 | duplicates 8 | damaged 8
const sealingLen = 4 + 5*8

// MarkSealed remembers what became of a frozen generation: it is kept until Expire drops it, but not scanned any more. It returns once that is on stable
// storage. A generation that was sealed or dropped already is no error, and stays as it is.
func (s *Store) MarkSealed(trail uint16, day event.Day, number uint32, x Sealing) error {
	return s.wrap("seal", s.markSealed(dayKey{trail, day}, number, x))
}

func (s *Store) markSealed(k dayKey, number uint32, x Sealing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, i, err := s.find(k, number)
	if err != nil || i < 0 || list[i].state == stateSealed {
		return err
	}
	x.Day, x.Generation = k.day, number
	if err := x.check(list[i].events); err != nil {
		return err
	}
	list[i].state, list[i].sealed = stateSealed, x.At
	totals := s.totalsOf(k.trail)
	totals.Sealed += list[i].events
	totals.Damaged += x.Damaged
	b := s.db.NewBatch()
	put(b, sealingKey(k.trail, number), x.append(nil))
	put(b, totalsKey(k.trail), totals.append(nil))
	return s.update(b, k, list, totals)
}

// check holds the counts against how many events there are.
func (x *Sealing) check(events int64) error {
	if x.Written < 0 || x.Duplicates < 0 || x.Damaged < 0 || x.Written+x.Duplicates+x.Damaged != events {
		return fmt.Errorf("generation %d of %v has %d events, but %d are said to be written, %d to be duplicates and %d to be damaged",
			x.Generation, x.Day, events, x.Written, x.Duplicates, x.Damaged)
	}
	if x.Seal == 0 && x.Written > 0 {
		return fmt.Errorf("%d events of generation %d of %v are said to be written, but to no seal", x.Written, x.Generation, x.Day)
	}
	return nil
}

func sealingKey(trail uint16, generation uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{tableSealing}, trail), generation)
}

func (x *Sealing) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(x.Day)^1<<31)
	dst = binary.BigEndian.AppendUint64(dst, x.Seal)
	dst = binary.BigEndian.AppendUint64(dst, uint64(x.At.UnixNano()))
	for _, n := range []int64{x.Written, x.Duplicates, x.Damaged} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return dst
}

func parseSealing(key, value []byte) (x Sealing, ok bool) {
	if len(key) != 1+2+4 || len(value) != sealingLen {
		return x, false
	}
	x = Sealing{
		Day: event.Day(binary.BigEndian.Uint32(value) ^ 1<<31), Generation: binary.BigEndian.Uint32(key[3:]), Seal: binary.BigEndian.Uint64(value[4:]),
		At: time.Unix(0, int64(binary.BigEndian.Uint64(value[12:]))).UTC(),
	}
	for i, n := range []*int64{&x.Written, &x.Duplicates, &x.Damaged} {
		*n = int64(binary.BigEndian.Uint64(value[20+8*i:]))
	}
	return x, true
}

// Sealings hands out what became of each generation of a trail that was sealed, in the order in which they were begun.
func (s *Store) Sealings(trail uint16) iter.Seq2[Sealing, error] {
	return func(yield func(Sealing, error) bool) {
		snapshot, err := s.snapshot()
		if err == nil {
			err = eachSealing(snapshot, trail, func(x Sealing) bool { return yield(x, nil) })
			if closeErr := snapshot.Close(); err == nil {
				err = closeErr
			}
		}
		if err != nil {
			yield(Sealing{}, s.wrap("read sealings", err))
		}
	}
}

// snapshot is the store as it is now.
func (s *Store) snapshot() (*pebble.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fuse.failure(); err != nil {
		return nil, err
	}
	return s.db.NewSnapshot(), nil
}

func eachSealing(from pebble.Reader, trail uint16, yield func(Sealing) bool) (err error) {
	prefix := sealingKey(trail, 0)[:3]
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		x, ok := parseSealing(it.Key(), value)
		if !ok {
			return fmt.Errorf("%w: record %x has the value %x", ErrCorrupt, it.Key(), value)
		}
		if !yield(x) {
			return nil
		}
	}
	return it.Error()
}

// after returns the first key that follows all that begin with a prefix.
func after(prefix []byte) []byte {
	next := append([]byte(nil), prefix...)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next[:i+1]
		}
	}
	return nil
}
