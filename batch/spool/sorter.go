package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"

	"daybook/event"
)

// Item is one event as the spool holds it.
type Item struct {
	Group Group
	// Tail is the event's key from its time on; see AppendTail.
	Tail []byte
	// Row is the evidence row, without a line feed.
	Row []byte
	// Suspect says that the event is filed under the day it was received, not the day of its time.
	Suspect bool
}

// TrailDay is a trail's day and how many events there are for it.
type TrailDay struct {
	Trail  uint16
	Day    event.Day
	Events int64
}

func compareTrailDays(a, b TrailDay) int {
	return cmp.Or(cmp.Compare(a.Trail, b.Trail), cmp.Compare(a.Day, b.Day))
}

// Sorter sorts any number of events within bounded memory. Workers each take a Writer; when all are closed, Scan hands out a trail's day.
//
// It holds about the memory of one Writer for each of them while they are open, and 64 KiB for each run (at most maxFanIn) and the longest row during a
// scan. Its files are removed by Close; what a crash leaves in its folder is of no use and can be removed.
type Sorter struct {
	dir     string
	memory  int
	ids     *idIndex
	readers *readerPool

	mu     sync.Mutex
	runs   []*run
	counts map[Group]int64 // Class is zero here
}

// Limits of the memory of a Writer: below the one runs are too short, above the other 32 bits can't address it.
const (
	minMemory = 256 << 10
	maxMemory = 1 << 31
)

// NewSorter returns a sorter that keeps its runs in dir, which exists and is its own, and uses about memory bytes for each Writer (at least 256 KiB, at
// most 2 GiB).
func NewSorter(dir string, memory int) *Sorter {
	return &Sorter{
		dir: dir, memory: min(max(memory, minMemory), maxMemory),
		counts: map[Group]int64{}, ids: newIDIndex(dir), readers: newReaderPool(),
	}
}

// Days lists the days that have events, by trail and day. Duplicates are counted in.
func (s *Sorter) Days() []TrailDay {
	s.mu.Lock()
	defer s.mu.Unlock()
	var days []TrailDay
	for g, n := range s.counts {
		days = append(days, TrailDay{g.Trail, g.Day, n})
	}
	slices.SortFunc(days, compareTrailDays)
	return days
}

// Close removes the sorter's files.
func (s *Sorter) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, r := range s.runs {
		errs = append(errs, r.remove())
	}
	s.runs = nil
	return errors.Join(append(errs, s.ids.close())...)
}

// addRun takes a run over, with the counts of its events.
func (s *Sorter) addRun(r *run, counts map[Group]int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, r)
	for g, n := range counts {
		s.counts[g] += n
	}
	if len(s.runs) < 2*maxFanIn {
		return nil
	}
	return s.reduceRuns(maxFanIn) // each run is an open file
}

// Writer adds events to a Sorter. It is owned by one goroutine. After an error the Sorter can only be closed.
type Writer struct {
	s       *Sorter
	arena   []byte // records as they stand in a run; it never grows beyond what it was made with
	entries []entry
	compare func(a, b entry) int
	ids     []idEntry
	counts  map[Group]int64
	out     []byte
	scratch []byte
}

// entry is one record in the arena.
type entry struct {
	sortKey
	off, size uint32
}

const (
	entrySize = 32
	// entryShare is the part of a Writer's memory that entries get: enough for the arena to be filled by records of entrySize*(entryShare-1) bytes.
	entryShare = 8
)

// Writer returns a new writer.
func (s *Sorter) Writer() *Writer {
	w := &Writer{s: s, counts: map[Group]int64{}}
	w.compare = w.order // once, since it is an allocation
	return w
}

// OrdinalDigits is how many digits at the end of an id are the event's ordinal among equals, for events whose source gives no id.
const OrdinalDigits = 8

// Add adds an event by its evidence row, which is copied. With ordinal set the event's id was made from its content, ends in OrdinalDigits zeros,
// and the row begins with it (`{"id":"…`): equal events are then told apart by their ordinal instead of being taken for duplicates.
func (w *Writer) Add(g Group, e *event.Event, row []byte, ordinal, suspect bool) error {
	id := e.Get(event.ID)
	keyLen := groupLen + TailLen(id)
	size := maxHead + keyLen + len(row)
	if w.arena == nil {
		w.entries = make([]entry, 0, w.s.memory/entryShare/entrySize)
		w.arena = make([]byte, 0, w.s.memory-w.s.memory/entryShare)
	}
	if len(w.entries) == cap(w.entries) || size > cap(w.arena)-len(w.arena) {
		if err := w.spill(); err != nil {
			return err
		}
	}
	hash := e.ContentHash(row)
	var flags byte
	if ordinal {
		flags |= flagOrdinal
	}
	if suspect {
		flags |= flagSuspect
	}
	w.counts[Group{Trail: g.Trail, Day: g.Day}]++
	if size > cap(w.arena) {
		head := appendHead(nil, keyLen, len(row), flags)
		key := AppendTail(appendGroup(nil, g), e.Time, id, hash)
		if err := w.writeRun(func(out *runWriter) error { return out.add(g.Trail, g.Day, head, key, row) }); err != nil {
			return err
		}
	} else {
		off := len(w.arena)
		a := appendHead(w.arena, keyLen, len(row), flags)
		keyOff := len(a)
		a = AppendTail(appendGroup(a, g), e.Time, id, hash)
		w.entries = append(w.entries, entry{sortKey: sortKeyOf(a[keyOff:]), off: uint32(off)})
		w.arena = append(a, row...)
		w.entries[len(w.entries)-1].size = uint32(len(w.arena) - off)
	}
	if ordinal {
		return nil // its id says what it holds: there is no other content to be in conflict with
	}
	var entry idEntry
	entry, w.scratch = w.s.ids.entry(w.scratch, e, hash)
	if w.ids = append(w.ids, entry); len(w.ids) < idBuffer {
		return nil
	}
	return w.flushIDs()
}

func (w *Writer) flushIDs() error {
	err := w.s.ids.add(w.ids)
	w.ids = w.ids[:0]
	return err
}

// Close hands what is left to the sorter.
func (w *Writer) Close() error {
	err := w.spill()
	if idErr := w.flushIDs(); err == nil {
		err = idErr
	}
	w.arena, w.entries, w.ids, w.out, w.scratch = nil, nil, nil, nil, nil
	return err
}

// spill writes what is in the arena as a run.
func (w *Writer) spill() error {
	if len(w.entries) == 0 {
		return nil
	}
	w.sort(w.entries)
	err := w.writeRun(func(out *runWriter) error {
		for i := range w.entries {
			x := &w.entries[i]
			trail, day := x.trailDay()
			if err := out.add(trail, day, w.arena[x.off:x.off+x.size]); err != nil {
				return err
			}
		}
		return nil
	})
	w.entries, w.arena = w.entries[:0], w.arena[:0]
	return err
}

// writeRun makes a run of what write writes.
func (w *Writer) writeRun(write func(*runWriter) error) error {
	out, err := newRunWriter(w.s.dir, w.out)
	if err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	w.out = out.buf
	err = write(out)
	var r *run
	if err == nil {
		r, err = out.finish()
	}
	if err != nil {
		out.abandon()
		return fmt.Errorf("sort: %w", err)
	}
	err = w.s.addRun(r, w.counts)
	clear(w.counts)
	if err != nil {
		return fmt.Errorf("sort: %w", err)
	}
	return nil
}

// sortSmall is the number of entries below which comparing is faster than counting.
const sortSmall = 64

// sort sorts entries in place: by counting, on the highest byte of the sort key in which they differ, then each of the groups that makes.
func (w *Writer) sort(x []entry) {
	word, shift, ok := 0, 0, false
	if len(x) > sortSmall {
		word, shift, ok = highestDifference(x)
	}
	if !ok {
		slices.SortFunc(x, w.compare)
		return
	}
	digit := func(e *entry) uint64 { return e.sortKey[word] >> shift & 0xff }
	var next, end [256]int
	for i := range x {
		end[digit(&x[i])]++
	}
	at := 0
	for d := range end {
		next[d] = at
		at += end[d]
		end[d] = at
	}
	for d := range next {
		for next[d] < end[d] {
			e := x[next[d]]
			for to := digit(&e); to != uint64(d); to = digit(&e) {
				x[next[to]], e = e, x[next[to]]
				next[to]++
			}
			x[next[d]] = e
			next[d]++
		}
	}
	from := 0
	for _, to := range end {
		if to-from > 1 {
			w.sort(x[from:to])
		}
		from = to
	}
}

// highestDifference returns where the highest byte is in which sort keys differ; false if they don't.
func highestDifference(x []entry) (word, shift int, ok bool) {
	var diff sortKey
	first := x[0].sortKey
	for i := range x {
		for k := range diff {
			diff[k] |= x[i].sortKey[k] ^ first[k]
		}
	}
	for k, d := range diff {
		if d != 0 {
			return k, max(bits.Len64(d)-8, 0), true
		}
	}
	return 0, 0, false
}

// order is compareReaders for entries.
func (w *Writer) order(a, b entry) int {
	if c := a.compare(&b.sortKey); c != 0 {
		return c
	}
	flagsA, keyA, rowA := splitRecord(w.arena[a.off : a.off+a.size])
	flagsB, keyB, rowB := splitRecord(w.arena[b.off : b.off+b.size])
	return cmp.Or(bytes.Compare(keyA, keyB), bytes.Compare(rowA, rowB), cmp.Compare(flagsA, flagsB))
}
