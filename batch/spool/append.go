package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Append adds events and returns once they are on stable storage. It returns how many of them were new: an event whose key is that of one that the
// trail's day holds, in any generation that was not dropped, is that event. Trail and Class of an Item's Group are numbers of this store.
//
// After an error any of the events may be there, and all may be appended again. ErrFull is for the time being, ErrStopped for good.
func (s *Store) Append(items []Item) (int64, error) {
	added := int64(0)
	for from := 0; from < len(items); {
		to, size := from, 0
		for to < len(items) && (to == from || size+len(items[to].Row) <= s.memTable/8) {
			size += len(items[to].Row)
			to++
		}
		n, err := s.appendChunk(items[from:to])
		added += n
		if err != nil {
			return added, s.wrap("append", err)
		}
		from = to
	}
	return added, nil
}

func (s *Store) appendChunk(items []Item) (int64, error) {
	b, n, err := s.applyChunk(items)
	if err != nil {
		return 0, err
	}
	// Others may append meanwhile: the log is synced for all of them at once.
	return n, s.wait(b)
}

func (s *Store) applyChunk(items []Item) (*pebble.Batch, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return nil, 0, err
	}
	a := appending{s: s, batch: s.db.NewBatch(), days: map[dayKey][]generation{}, next: s.next, seen: map[string]struct{}{}}
	for i := range items {
		if err := a.add(&items[i]); err != nil {
			return nil, 0, errors.Join(err, a.batch.Close())
		}
	}
	a.finish()
	if err := s.catchUp(a.batch.Len()); err != nil {
		return nil, 0, err
	}
	if err := s.apply(a.batch); err != nil {
		return nil, 0, err
	}
	s.next = a.next
	for k, list := range a.days {
		s.days[k] = list
	}
	return a.batch, a.added, nil
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
	s     *Store
	batch *pebble.Batch
	days  map[dayKey][]generation // those that change
	next  uint32
	added int64
	seen  map[string]struct{} // keys in batch
	key   []byte
}

func (a *appending) add(item *Item) error {
	s := a.s
	if len(item.Tail) < minTailLen || len(item.Row) == 0 {
		return fmt.Errorf("an event has a key tail of %d bytes and a row of %d", len(item.Tail), len(item.Row))
	}
	if _, ok := s.trails.byID[int(item.Group.Trail)]; !ok {
		return fmt.Errorf("there is no trail of number %d", item.Group.Trail)
	}
	if _, ok := s.classes.byID[int(item.Group.Class)]; !ok {
		return fmt.Errorf("there is no class of number %d", item.Group.Class)
	}
	k := dayKey{item.Group.Trail, item.Group.Day}
	a.key = k.appendPrefix(a.key[:0], 0)
	a.key = append(append(a.key, item.Group.Class), item.Tail...)
	for _, g := range s.days[k] { // as they were: what is in the batch is in seen
		binary.BigEndian.PutUint32(a.key[dayKeyLen:], g.number)
		_, closer, err := s.db.Get(a.key)
		if err == nil {
			return closer.Close()
		}
		if !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
	}
	list, ok := a.days[k]
	if !ok {
		list = slices.Clone(s.days[k])
	}
	if n := len(list); n == 0 || list[n-1].state != stateOpen {
		list = append(list, generation{number: a.next})
		a.next++
	}
	open := &list[len(list)-1]
	binary.BigEndian.PutUint32(a.key[dayKeyLen:], open.number)
	if _, ok := a.seen[string(a.key)]; ok {
		return nil
	}
	a.seen[string(a.key)] = struct{}{}
	open.events++
	a.added++
	a.days[k] = list
	op := a.batch.SetDeferred(len(a.key), 1+len(item.Row))
	copy(op.Key, a.key)
	op.Value[0] = 0
	if item.Suspect {
		op.Value[0] = storedSuspect
	}
	copy(op.Value[1:], item.Row)
	return op.Finish()
}

// finish adds the counts.
//
// A batch without any event is written as well: the events that they are equal to may not be durable yet. The log is in order: once this is, they are.
func (a *appending) finish() {
	for k, list := range a.days {
		put(a.batch, k.append(nil, tableDay), appendGenerations(nil, list))
	}
	if a.next != a.s.next {
		put(a.batch, []byte{tableNext}, binary.BigEndian.AppendUint32(nil, a.next))
	}
}
