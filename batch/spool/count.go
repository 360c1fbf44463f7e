package spool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Counted is what was found of a trail when everything was counted anew.
type Counted struct {
	// Pending are the events that are stored in open and frozen generations, and in such as the store knows nothing of, which there must not be.
	Pending int64
	// Seals are how many generations were sealed, Written, Duplicates and Damaged the sums over their Sealings.
	Seals                        int64
	Written, Duplicates, Damaged int64
	// Totals are the running totals at the moment that was counted.
	Totals Totals
}

// Check returns an error that says what does not agree: the events that are stored, what became of those that were sealed, and the running totals.
func (c *Counted) Check() error {
	var errs []error
	t := &c.Totals
	if c.Pending != t.Pending {
		errs = append(errs, fmt.Errorf("%d events are pending, but %d are stored", t.Pending, c.Pending))
	}
	if sealed := c.Written + c.Duplicates + c.Damaged; sealed != t.Sealed {
		errs = append(errs, fmt.Errorf("%d events were sealed, but the seals account for %d", t.Sealed, sealed))
	}
	if c.Damaged != t.Damaged {
		errs = append(errs, fmt.Errorf("%d events were damaged, but the seals account for %d", t.Damaged, c.Damaged))
	}
	if t.Accepted != t.Duplicates+t.Sealed+t.Pending {
		errs = append(errs, fmt.Errorf("%d events were accepted, but %d duplicates, %d sealed and %d pending account for %d",
			t.Accepted, t.Duplicates, t.Sealed, t.Pending, t.Duplicates+t.Sealed+t.Pending))
	}
	return errors.Join(errs...)
}

// Count counts the events of a trail one by one, as they were at one moment, and adds up its Sealings. It believes neither the running totals nor the counts
// of the generations. Others may append meanwhile.
func (s *Store) Count(ctx context.Context, trail uint16) (Counted, error) {
	c, err := s.count(ctx, trail)
	return c, s.wrap("count", err)
}

func (s *Store) count(ctx context.Context, trail uint16) (c Counted, err error) {
	s.mu.Lock()
	if err := s.fuse.failure(); err != nil {
		s.mu.Unlock()
		return c, err
	}
	snapshot := s.db.NewSnapshot() // all that was applied, which under mu is what is known
	c.Totals = s.totalsOf(trail)
	s.mu.Unlock()
	defer func() {
		if closeErr := snapshot.Close(); err == nil {
			err = closeErr
		}
	}()
	err = eachSealing(snapshot, trail, func(x Sealing) bool {
		c.Seals++
		c.Written += x.Written
		c.Duplicates += x.Duplicates
		c.Damaged += x.Damaged
		return ctx.Err() == nil
	})
	if err != nil {
		return c, err
	}
	sealed, err := sealedOf(snapshot, trail)
	if err != nil {
		return c, err
	}
	c.Pending, err = countEvents(ctx, snapshot, trail, sealed)
	return c, err
}

// sealedOf returns what the keys of the sealed generations that a trail keeps begin with, in order.
func sealedOf(from pebble.Reader, trail uint16) (sealed [][]byte, err error) {
	prefix := binary.BigEndian.AppendUint16([]byte{tableDay}, trail)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	for valid := it.First(); valid; valid = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		k, list, ok := parseDay(it.Key(), value)
		if !ok {
			return nil, fmt.Errorf("%w: record %x has the value %x", ErrCorrupt, it.Key(), value)
		}
		for _, g := range list {
			if g.state == stateSealed {
				sealed = append(sealed, k.appendPrefix(nil, g.number))
			}
		}
	}
	return sealed, it.Error()
}

// countStep is how many events are counted between two looks at the context.
const countStep = 1024

// countEvents counts a trail's events that are in no sealed generation. It goes around those that are, as they may be damaged.
func countEvents(ctx context.Context, from pebble.Reader, trail uint16, sealed [][]byte) (n int64, err error) {
	prefix := binary.BigEndian.AppendUint16([]byte{tableEvent}, trail)
	lower := prefix
	for _, generation := range append(sealed, after(prefix)) {
		m, err := countRange(ctx, from, lower, generation)
		if n += m; err != nil {
			return n, err
		}
		lower = after(generation)
	}
	return n, nil
}

func countRange(ctx context.Context, from pebble.Reader, lower, upper []byte) (n int64, err error) {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	for valid := it.First(); valid; valid = it.Next() {
		if key := it.Key(); len(key) < eventHead+minTailLen {
			return n, fmt.Errorf("%w: record %x is no event", ErrCorrupt, key)
		}
		if n++; n%countStep == 0 && ctx.Err() != nil {
			break
		}
	}
	return n, errors.Join(it.Error(), ctx.Err())
}
