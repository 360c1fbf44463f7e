package spool

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"daybook/event"
)

// Damage is what Salvage could not hand out.
type Damage struct {
	// Events is how many there were, which the store knows from when they were appended.
	Events int64
	// Ranges are where they lay, in order. There is none where events are missing though nothing that is left is damaged.
	Ranges []DamagedRange
}

// DamagedRange is a range of a generation of which nothing can be read. An event beyond either end that can be read is named by its class and time.
type DamagedRange struct {
	// After is the time of the event before, of class AfterClass; the zero time if the range begins with the generation.
	After      time.Time
	AfterClass uint8
	// Before is the time of the event after, of class BeforeClass; the zero time if the range ends with the generation.
	Before      time.Time
	BeforeClass uint8
}

// Salvage is Scan for a generation that is damaged: it leaves out what can't be read any more. When everything else was handed out, it tells damaged of it,
// if anything is missing: what was handed out and what is missing are together what was appended. It gives the same each time it is called, as long as
// the damage does not grow.
//
// Nothing is read of a block whose checksum does not agree, nor of what lies in its range but in another file. What lies between two damaged blocks that are
// close together may be left out as well. QuarantineDamage keeps it all.
func (s *Store) Salvage(trail uint16, day event.Day, damaged func(Damage)) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if err := s.salvage(dayKey{trail, day}, damaged, func(i Item) bool { return yield(i, nil) }); err != nil {
			yield(Item{}, s.wrap("salvage", err))
		}
	}
}

// salvaging is a way through a damaged generation.
type salvaging struct {
	db     *pebble.DB
	bounds pebble.IterOptions
	last   []byte // key that was handed out last; the generation's prefix before the first
	ranges []DamagedRange
	// from is the beginning of the day as a key has it, and classes the highest number of a class.
	from    uint64
	classes int
	open    bool // the last of ranges has no end yet
}

func (s *Store) salvage(k dayKey, damaged func(Damage), yield func(Item) bool) (err error) {
	g, ok, err := s.frozen(k)
	if err != nil || !ok {
		return err
	}
	prefix := k.appendPrefix(nil, g.number)
	v := &salvaging{
		db: s.db, bounds: pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)}, last: slices.Clone(prefix),
		from: uint64(k.day.Start().UnixMicro()) ^ 1<<63 - 1, classes: s.highestClass(),
	}
	events := int64(0)
	for from := prefix; from != nil; {
		ended := false
		from, err = v.run(from, func(key, value []byte) bool {
			item, ok := itemOf(k, prefix, key, value)
			if !ok {
				v.skip()
				return true
			}
			v.reach(key)
			events++
			ended = !yield(item)
			return !ended
		})
		if err != nil || ended {
			return err
		}
	}
	switch missing := g.events - events; {
	case missing < 0:
		return fmt.Errorf("%w: %d events were spooled for %v in generation %d, and %d are there", ErrCorrupt, g.events, k.day, g.number, events)
	case missing > 0:
		damaged(Damage{Events: missing, Ranges: v.ranges})
	}
	return nil
}

// run hands out records from a key on, up to the first damage, and returns the first key after it that can be read; nil if there is none.
func (v *salvaging) run(from []byte, yield func(key, value []byte) bool) (next []byte, err error) {
	it, err := v.db.NewIter(&v.bounds)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil && !pebble.IsCorruptionError(closeErr) { // which was seen before
			err = closeErr
		}
	}()
	at := from
	for valid := it.SeekGE(from); valid; valid = it.Next() {
		at = append(at[:0:0], it.Key()...)
		value, err := it.ValueAndErr()
		if pebble.IsCorruptionError(err) {
			v.skip()
			continue
		}
		if err != nil || !yield(at, value) {
			return nil, err
		}
	}
	if err := it.Error(); !pebble.IsCorruptionError(err) {
		return nil, err
	}
	v.skip()
	return v.beyond(at)
}

// skip begins a range, unless it goes on.
func (v *salvaging) skip() {
	if v.open {
		return
	}
	v.open = true
	r := DamagedRange{}
	if len(v.last) > eventPrefix {
		r.After, r.AfterClass = time.UnixMicro(microsOf(v.last[eventHead:])).UTC(), v.last[eventPrefix]
	}
	v.ranges = append(v.ranges, r)
}

// reach takes note of a key that is handed out, and ends the range before it.
func (v *salvaging) reach(key []byte) {
	v.last = append(v.last[:0], key...)
	if v.open {
		r := &v.ranges[len(v.ranges)-1]
		r.Before, r.BeforeClass, v.open = time.UnixMicro(microsOf(key[eventHead:])).UTC(), key[eventPrefix], false
	}
}

// beyond looks for the first key after one that can be read; nil if there is none. It looks four times as far on in time each time, class by class, until
// something can be read, and goes back from there as far as it can. Each look at a damaged block is slow, as the engine tries to find out which bit it is.
func (v *salvaging) beyond(key []byte) ([]byte, error) {
	class, from := 0, v.from
	if len(key) >= eventHead+timeLen {
		class, from = int(key[eventPrefix]), binary.BigEndian.Uint64(key[eventHead:])
	}
	for ; class <= v.classes; class, from = class+1, v.from {
		for step := uint64(1); from+step > from; step *= 4 {
			probe := binary.BigEndian.AppendUint64(append(slices.Clone(v.bounds.LowerBound), byte(class)), from+step)
			found, ok, err := v.first(probe)
			if err != nil {
				return nil, err
			}
			if ok {
				return v.back(found, key)
			}
		}
	}
	return v.back(nil, key)
}

// first returns the first key from one on, nil if there is none; not ok if it can't be read.
func (v *salvaging) first(from []byte) (found []byte, ok bool, err error) {
	it, err := v.db.NewIter(&v.bounds)
	if err != nil {
		return nil, false, err
	}
	if it.SeekGE(from) {
		found = slices.Clone(it.Key())
	}
	err = it.Error()
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if pebble.IsCorruptionError(err) {
		return nil, false, nil
	}
	return found, err == nil, err
}

// back goes back from a key, or from the end, as far as can be read, but not to one that was seen already.
func (v *salvaging) back(from, seen []byte) (first []byte, err error) {
	it, err := v.db.NewIter(&v.bounds)
	if err != nil {
		return nil, err
	}
	upper := from
	if from == nil {
		upper = v.bounds.UpperBound
	}
	first = from
	for valid := it.SeekLT(upper); valid && bytes.Compare(it.Key(), seen) > 0; valid = it.Prev() {
		first = append(first[:0:0], it.Key()...)
	}
	err = it.Error()
	if closeErr := it.Close(); err == nil {
		err = closeErr
	}
	if err != nil && !pebble.IsCorruptionError(err) {
		return nil, err
	}
	return first, nil
}

// frozen returns the generation of a trail's day that is frozen and not sealed, if there is one.
func (s *Store) frozen(k dayKey) (g generation, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fuse.failure(); err != nil {
		return g, false, err
	}
	list := s.generations(k)
	i := slices.IndexFunc(list, func(g generation) bool { return g.state == stateFrozen })
	if i < 0 {
		return g, false, nil
	}
	return list[i], true, nil
}

func (s *Store) highestClass() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.classes.byID) - 1 // they are given in order
}

// itemOf makes an Item of a record of a generation.
func itemOf(k dayKey, prefix, key, value []byte) (Item, bool) {
	if len(key) < eventHead+minTailLen || !bytes.HasPrefix(key, prefix) || len(value) < 2 || value[0]&^storedSuspect != 0 {
		return Item{}, false
	}
	return Item{
		Group: Group{Trail: k.trail, Day: k.day, Class: key[eventPrefix]}, Tail: key[eventHead:], Row: value[1:], Suspect: value[0]&storedSuspect != 0,
	}, true
}
