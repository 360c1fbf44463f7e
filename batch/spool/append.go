package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// AppendEach adds events, of any trails and days, and returns once they are on stable storage. It tells in fresh, unless that is nil, which of them were
// new: an event whose key is that of one before it, or of one that the trail's day holds in any generation that was not dropped, is that event. Trail and
// Class of an Item's Group are numbers of this store.
//
// After an error any of the events may be there, and all may be appended again; fresh says nothing. ErrFull is for the time being, ErrStopped for good.
func (s *Store) AppendEach(items []Item, fresh []bool) error {
	if fresh != nil && len(fresh) != len(items) {
		return s.wrap("append", fmt.Errorf("%d events have room for %d answers", len(items), len(fresh)))
	}
	return s.wrap("append", s.appendEach(items, fresh))
}

// Append is AppendEach that returns how many events were new.
func (s *Store) Append(items []Item) (int64, error) {
	fresh := make([]bool, len(items))
	if err := s.AppendEach(items, fresh); err != nil {
		return 0, err
	}
	added := int64(0)
	for _, f := range fresh {
		if f {
			added++
		}
	}
	return added, nil
}

func (s *Store) appendEach(items []Item, fresh []bool) (err error) {
	var batches []*pebble.Batch
	// Others may append meanwhile: the log is synced for all of them at once, and for all batches of this call.
	defer func() {
		for _, b := range batches {
			if waitErr := s.wait(b); err == nil {
				err = waitErr
			}
		}
	}()
	for from := 0; from < len(items); {
		to, size := from, 0
		for to < len(items) && (to == from || size+len(items[to].Row) <= s.memTable/8) {
			size += len(items[to].Row)
			to++
		}
		if err := s.catchUp(size); err != nil {
			return err
		}
		var told []bool
		if fresh != nil {
			told = fresh[from:to]
		}
		b, err := s.applyChunk(items[from:to], told)
		if err != nil {
			return err
		}
		batches = append(batches, b)
		from = to
	}
	return nil
}

// applyChunk writes events in one batch, so that they are seen from now on. They are durable when wait returns.
func (s *Store) applyChunk(items []Item, fresh []bool) (*pebble.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, err
	}
	a := appending{s: s, batch: s.db.NewBatch(), days: map[dayKey][]generation{}, totals: map[uint16]Totals{}, next: s.next, seen: map[string]struct{}{}}
	for i := range items {
		added, err := a.add(&items[i])
		if err != nil {
			return nil, errors.Join(err, a.batch.Close())
		}
		a.count(items[i].Group.Trail, added)
		if fresh != nil {
			fresh[i] = added
		}
	}
	a.finish()
	if err := s.apply(a.batch); err != nil {
		return nil, err
	}
	s.next = a.next
	for k, list := range a.days {
		s.setGenerations(k, list)
	}
	for trail, totals := range a.totals {
		s.setTotals(trail, totals)
	}
	return a.batch, nil
}

// usable reports why nothing can be taken in. It is called under mu.
func (s *Store) usable() error {
	if err := s.fuse.failure(); err != nil {
		return err
	}
	usage, err := s.fs.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	if usage.AvailBytes < s.minFree {
		return fmt.Errorf("%w: %d bytes are free, %d must be", ErrFull, usage.AvailBytes, s.minFree)
	}
	return nil
}

// appending is a batch in the making. What it changes is not seen by others before it is applied.
type appending struct {
	s      *Store
	batch  *pebble.Batch
	days   map[dayKey][]generation // those that change
	totals map[uint16]Totals       // of the trails that events are of
	next   uint32
	seen   map[string]struct{} // keys in batch
	key    []byte
}

// add reports whether the event is new.
func (a *appending) add(item *Item) (fresh bool, err error) {
	s := a.s
	if len(item.Tail) < minTailLen || len(item.Row) == 0 {
		return false, fmt.Errorf("an event has a key tail of %d bytes and a row of %d", len(item.Tail), len(item.Row))
	}
	if _, ok := s.trails.byID[int(item.Group.Trail)]; !ok {
		return false, fmt.Errorf("there is no trail of number %d", item.Group.Trail)
	}
	if _, ok := s.classes.byID[int(item.Group.Class)]; !ok {
		return false, fmt.Errorf("there is no class of number %d", item.Group.Class)
	}
	k := dayKey{item.Group.Trail, item.Group.Day}
	a.key = k.appendPrefix(a.key[:0], 0)
	a.key = append(append(a.key, item.Group.Class), item.Tail...)
	for _, g := range s.generations(k) { // as they were: what is in the batch is in seen
		binary.BigEndian.PutUint32(a.key[dayKeyLen:], g.number)
		_, closer, err := s.db.Get(a.key)
		if err == nil {
			return false, closer.Close()
		}
		// What can't be read any more is taken again. If it was sealed, the seal's keys tell that it is known.
		if !errors.Is(err, pebble.ErrNotFound) && !pebble.IsCorruptionError(err) {
			return false, err
		}
	}
	list, ok := a.days[k]
	if !ok {
		list = slices.Clone(s.generations(k))
	}
	if n := len(list); n == 0 || list[n-1].state != stateOpen {
		list = append(list, generation{number: a.next, oldest: math.MaxInt64, oldestKnown: true})
		a.next++
	}
	open := &list[len(list)-1]
	binary.BigEndian.PutUint32(a.key[dayKeyLen:], open.number)
	if _, ok := a.seen[string(a.key)]; ok {
		return false, nil
	}
	a.seen[string(a.key)] = struct{}{}
	open.events++
	open.oldest = min(open.oldest, microsOf(item.Tail))
	a.days[k] = list
	op := a.batch.SetDeferred(len(a.key), 1+len(item.Row))
	copy(op.Key, a.key)
	op.Value[0] = 0
	if item.Suspect {
		op.Value[0] = storedSuspect
	}
	copy(op.Value[1:], item.Row)
	return true, op.Finish()
}

// count adds an event to the totals.
func (a *appending) count(trail uint16, fresh bool) {
	t, ok := a.totals[trail]
	if !ok {
		t = a.s.totalsOf(trail)
	}
	t.Accepted++
	if !fresh {
		t.Duplicates++
	}
	a.totals[trail] = t
}

// finish adds the counts.
//
// A batch without any new event is written as well, and not for the totals alone: the events that they are equal to may not be durable yet. The log is in
// order: once this is, they are.
func (a *appending) finish() {
	for k, list := range a.days {
		put(a.batch, k.append(nil, tableDay), appendGenerations(nil, list))
	}
	for trail, totals := range a.totals {
		put(a.batch, totalsKey(trail), totals.append(nil))
	}
	if a.next != a.s.next {
		put(a.batch, []byte{tableNext}, binary.BigEndian.AppendUint32(nil, a.next))
	}
}
