package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// AppendEach adds events, of any trails and days, and returns once they are on stable storage. It tells in fresh, unless that is nil, which of them were
// new: an event whose key is, but for the class, that of one before it, or of one that the trail's day holds in any generation that was not dropped, is that event; of those of
// one call the one of the lowest class is before the others. Trail and Class of an Item's Group are numbers of this store.
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
	a := appending{s: s, batch: s.db.NewBatchWithSize(batchSize(items)), days: map[dayKey][]generation{}, totals: map[uint16]Totals{}, next: s.next}
	if err := a.add(items, fresh); err != nil {
		return nil, errors.Join(err, a.batch.Close())
	}
	a.finish()
	if err := s.apply(a.batch); err != nil {
		return nil, err
	}
	s.view.Lock()
	defer s.view.Unlock()
	s.next = a.next
	for k, list := range a.days {
		s.setGenerations(k, list)
	}
	for trail, totals := range a.totals {
		s.setTotals(trail, totals)
	}
	return a.batch, nil
}

// batchSize is how many bytes a batch of events takes, with the counts that go with it.
func batchSize(items []Item) int {
	const each, counts = eventHead + 1 + 1 + 2*binary.MaxVarintLen32, 1 << 10
	size := counts
	for i := range items {
		size += each + len(items[i].Tail) + len(items[i].Row)
	}
	return size
}

// Ready reports why nothing can be appended: ErrStopped, or ErrFull for the time being. It does not wait for who appends.
func (s *Store) Ready() error { return s.wrap("append", s.usable()) }

// usable reports why nothing can be taken in.
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
	known  []bool
	key    []byte
}

// add adds events in the order of their keys, since the engine finds and puts keys faster that are near the one before.
func (a *appending) add(items []Item, fresh []bool) error {
	order := make([]int, len(items))
	for i := range items {
		if err := a.s.check(&items[i]); err != nil {
			return err
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return compareItems(&items[x], &items[y]) })
	for len(order) > 0 {
		k, n := dayOf(&items[order[0]]), 1
		for n < len(order) && dayOf(&items[order[n]]) == k {
			n++
		}
		if err := a.addDay(k, items, order[:n], fresh); err != nil {
			return err
		}
		order = order[n:]
	}
	return nil
}

// check reports what could not be handed out again. It is called under mu.
func (s *Store) check(item *Item) error {
	if len(item.Tail) < minTailLen || len(item.Row) == 0 {
		return fmt.Errorf("an event has a key tail of %d bytes and a row of %d", len(item.Tail), len(item.Row))
	}
	if _, ok := s.trails.byID[int(item.Group.Trail)]; !ok {
		return fmt.Errorf("there is no trail of number %d", item.Group.Trail)
	}
	if _, ok := s.classes.byID[int(item.Group.Class)]; !ok {
		return fmt.Errorf("there is no class of number %d", item.Group.Class)
	}
	return nil
}

func dayOf(item *Item) dayKey { return dayKey{item.Group.Trail, item.Group.Day} }

func compareItems(a, b *Item) int {
	if a.Group != b.Group {
		return cmp.Or(cmp.Compare(a.Group.Trail, b.Group.Trail), cmp.Compare(a.Group.Day, b.Group.Day), cmp.Compare(a.Group.Class, b.Group.Class))
	}
	return bytes.Compare(a.Tail, b.Tail)
}

// addDay adds those of items that order tells, which are a trail's day's. Where some are equal, the first is new.
func (a *appending) addDay(k dayKey, items []Item, order []int, fresh []bool) error {
	list := a.s.generations(k)
	if err := a.lookUp(k, list, items, order); err != nil {
		return err
	}
	if items[order[0]].Group.Class != items[order[len(order)-1]].Group.Class {
		a.lookBeside(items, order)
	}
	totals, ok := a.totals[k.trail]
	if !ok {
		totals = a.s.totalsOf(k.trail)
	}
	for n, i := range order {
		item := &items[i]
		added := !a.known[n] && (n == 0 || compareItems(&items[order[n-1]], item) != 0)
		if fresh != nil {
			fresh[i] = added
		}
		totals.Accepted++
		if !added {
			totals.Duplicates++
			continue
		}
		if last := len(list) - 1; last < 0 || list[last].state != stateOpen {
			list = append(list, generation{number: a.next, oldest: math.MaxInt64, oldestKnown: true})
			a.next++
		}
		open := &list[len(list)-1]
		open.events++
		open.oldest = min(open.oldest, microsOf(item.Tail))
		a.days[k] = list
		a.put(k, open.number, item)
	}
	a.totals[k.trail] = totals
	return nil
}

// lookUp finds out which of the events are in one of the generations, and leaves it in known.
func (a *appending) lookUp(k dayKey, list []generation, items []Item, order []int) (err error) {
	a.known = slices.Grow(a.known[:0], len(order))[:len(order)]
	clear(a.known)
	if len(list) == 0 {
		return nil
	}
	it, err := a.s.db.NewIter(&pebble.IterOptions{LowerBound: k.append(nil, tableEvent), UpperBound: after(k.append(nil, tableEvent)), UseL6Filters: true})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := it.Close(); err == nil && !pebble.IsCorruptionError(closeErr) {
			err = closeErr
		}
	}()
	for _, g := range list {
		for n, i := range order {
			if err := a.lookFor(it, k, g.number, items[i].Group.Class, &items[i], n); err != nil {
				return err
			}
		}
	}
	if len(a.s.classes.byID) < 2 {
		return nil
	}
	// An event that came before may have been of another class, by policies that were others.
	for _, g := range list {
		for class := range a.s.classes.next {
			prefix := append(k.appendPrefix(nil, g.number), byte(class))
			if found := it.SeekGE(prefix); it.Error() == nil && !(found && bytes.HasPrefix(it.Key(), prefix)) {
				continue
			}
			for n, i := range order {
				if items[i].Group.Class == byte(class) {
					continue
				}
				if err := a.lookFor(it, k, g.number, byte(class), &items[i], n); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lookBeside finds out which of the events, of several classes, come twice among themselves: requests from before and after a reload may be committed together.
func (a *appending) lookBeside(items []Item, order []int) {
	byTail := make([]int, len(order))
	for n := range order {
		byTail[n] = n
	}
	tail := func(n int) []byte { return items[order[n]].Tail }
	slices.SortStableFunc(byTail, func(x, y int) int { return bytes.Compare(tail(x), tail(y)) })
	for i := 1; i < len(byTail); i++ {
		if bytes.Equal(tail(byTail[i-1]), tail(byTail[i])) {
			a.known[byTail[i]] = true
		}
	}
}

// lookFor finds out whether an event is in a generation under a class, unless number n of known says already that it is known.
func (a *appending) lookFor(it *pebble.Iterator, k dayKey, generation uint32, class uint8, item *Item, n int) error {
	if a.known[n] {
		return nil
	}
	a.setKey(k, generation, class, item.Tail)
	a.known[n] = it.SeekPrefixGE(a.key)
	// What can't be read any more is taken again. If it was sealed, the seal's keys tell that it is known.
	if err := it.Error(); err != nil && !pebble.IsCorruptionError(err) {
		return err
	}
	return nil
}

func (a *appending) setKey(k dayKey, generation uint32, class uint8, tail []byte) {
	a.key = append(append(k.appendPrefix(a.key[:0], generation), class), tail...)
}

func (a *appending) put(k dayKey, generation uint32, item *Item) {
	a.setKey(k, generation, item.Group.Class, item.Tail)
	op := a.batch.SetDeferred(len(a.key), 1+len(item.Row))
	copy(op.Key, a.key)
	op.Value[0] = 0
	if item.Suspect {
		op.Value[0] = storedSuspect
	}
	copy(op.Value[1:], item.Row)
	_ = op.Finish() // fails on indexed batches only
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
