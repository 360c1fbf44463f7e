package spool

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"daybook/event"
)

// ScanStats counts what a scan left out.
type ScanStats struct {
	// Duplicates is how many events were left out because an equal one was handed out.
	Duplicates int64
}

// Scan hands out the events of one trail's day in order, each once. An Item holds until the next is asked for. It may be called again, for days in
// any order and for several at once, when every Writer is closed.
func (s *Sorter) Scan(trail uint16, day event.Day, stats *ScanStats) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		err := s.scan(trail, day, stats, func(i Item) bool { return yield(i, nil) })
		if err != nil {
			yield(Item{}, fmt.Errorf("sort: %w", err))
		}
	}
}

func (s *Sorter) scan(trail uint16, day event.Day, stats *ScanStats, yield func(Item) bool) error {
	heap, err := s.open(trail, day)
	if err != nil {
		return err
	}
	defer heap.close()
	var (
		last   []byte // key of the event handed out last that was no copy
		equals int    // events of that key that take ordinals
		copies copies
	)
	for {
		r, err := heap.min()
		if err != nil {
			return err
		}
		if copies.due(r) {
			item, err := copies.pop()
			if err != nil {
				return err
			}
			if !yield(item) {
				return nil
			}
			continue
		}
		if r == nil {
			return nil
		}
		ordinal := r.flags&flagOrdinal != 0
		switch {
		case bytes.Equal(r.key, last):
			if ordinal && equals > 0 {
				row, err := r.loadRow(&heap.large)
				if err != nil {
					return err
				}
				if err := copies.push(r, row, equals); err != nil {
					return err
				}
			} else {
				stats.Duplicates++
			}
			if ordinal {
				equals++
			}
		case bytes.Equal(r.key, copies.last):
			stats.Duplicates++
		default:
			last, equals = append(last[:0], r.key...), 0
			if ordinal {
				equals++
			}
			row, err := r.loadRow(&heap.large)
			if err != nil {
				return err
			}
			if !yield(Item{Group: groupOf(r.key), Tail: r.key[groupLen:], Row: row, Suspect: r.flags&flagSuspect != 0}) {
				return nil
			}
		}
		heap.advance()
	}
}

// copies holds the second and further of equal events without ids, which take ordinals, until their turn comes. In the merge they stand where the first
// of them does; by their own ids they come later, maybe after events that were given such an id by their source, as when an export is read in again.
//
// Those that are equal to the byte are held once. Those that differ, in what was redacted, are held up to maxCopies bytes. Beyond, they are handed out
// early, which is in order unless somebody made up ids to stand in between.
type copies struct {
	queue []copied
	bytes int
	event event.Event
	item  copied // handed out last
	last  []byte // and its key
}

// copied is count events that differ in their ordinals only.
type copied struct {
	group   Group
	suspect bool
	row     []byte
	tail    []byte // of the first of them
	ordinal int
	count   int
}

const maxCopies = 16 << 20

// push adds the event that r is at, which comes after all that were pushed before.
func (c *copies) push(r *reader, row []byte, ordinal int) error {
	suspect := r.flags&flagSuspect != 0
	if n := len(c.queue); n > 0 {
		x := &c.queue[n-1]
		if x.suspect == suspect && x.group == groupOf(r.key) && sameButOrdinal(x.row, row) {
			x.count++
			return nil
		}
	}
	x := copied{group: groupOf(r.key), suspect: suspect, row: slices.Clone(row), ordinal: ordinal, count: 1}
	if err := x.number(&c.event); err != nil {
		return err
	}
	i, _ := slices.BinarySearchFunc(c.queue, x, func(a, b copied) int { return bytes.Compare(a.tail, b.tail) })
	c.queue = slices.Insert(c.queue, i, x)
	c.bytes += len(row)
	return nil
}

var idPrefix = []byte(`{"id":"`)

// ordinalAt returns where in a row its ordinal is.
func ordinalAt(row []byte) (from, to int, ok bool) {
	if !bytes.HasPrefix(row, idPrefix) {
		return 0, 0, false
	}
	to = len(idPrefix) + bytes.IndexByte(row[len(idPrefix):], '"')
	from = to - OrdinalDigits
	return from, to, from >= len(idPrefix)
}

func sameButOrdinal(numbered, row []byte) bool {
	from, to, ok := ordinalAt(row)
	return ok && len(numbered) == len(row) && bytes.Equal(numbered[:from], row[:from]) && bytes.Equal(numbered[to:], row[to:])
}

// number writes the ordinal into the row and makes the tail.
func (x *copied) number(e *event.Event) error {
	from, to, ok := ordinalAt(x.row)
	if !ok {
		return fmt.Errorf("evidence row of an event without an id does not begin with one made from its content: %.80q", x.row)
	}
	copy(x.row[from:to], fmt.Sprintf("%0*x", OrdinalDigits, x.ordinal))
	var err error
	x.tail, err = TailOf(x.tail[:0], e, x.row)
	return err
}

// due reports whether the first copy comes before the record that r is at; nil is the end.
func (c *copies) due(r *reader) bool {
	if len(c.queue) == 0 {
		return false
	}
	if r == nil || c.bytes > maxCopies {
		return true
	}
	x := &c.queue[0]
	return x.group != groupOf(r.key) || bytes.Compare(x.tail, r.key[groupLen:]) <= 0
}

// pop returns the first copy.
func (c *copies) pop() (Item, error) {
	x := &c.queue[0]
	c.last = append(appendGroup(c.last[:0], x.group), x.tail...)
	// What is handed out holds until the next is asked for, the queue's may change before.
	c.item.row = append(c.item.row[:0], x.row...)
	item := Item{Group: x.group, Tail: c.last[groupLen:], Row: c.item.row, Suspect: x.suspect}
	x.count--
	if x.count == 0 {
		c.bytes -= len(x.row)
		c.queue = slices.Delete(c.queue, 0, 1)
		return item, nil
	}
	x.ordinal++
	return item, x.number(&c.event)
}
