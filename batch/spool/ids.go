package spool

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"os"
	"slices"
	"sync"

	"daybook/event"
	"daybook/formats/jsonl"
)

// idIndex finds the ids that were given to events of different content. It keeps 16 bytes an event: in memory while they are few, else in files
// by the first bits of the id's hash.
type idIndex struct {
	dir    string
	seed   maphash.Seed // not to be guessed, so that nobody can make ids collide
	memory int          // idMemory
	pass   int          // idPass

	mu    sync.Mutex
	mem   []idEntry
	files [idPartitions]*os.File // nil before the first spill
	sizes [idPartitions]int      // entries in files
}

const (
	idEntrySize  = 16
	idBuffer     = 8 << 10   // entries that a Writer gathers
	idMemory     = 512 << 10 // entries that the index holds in memory
	idPartitions = 64
	// idPass is how many entries are looked through at once. A larger partition is read more than once, each time for another share of its ids.
	idPass = 1 << 20
)

type idEntry struct{ id, content uint64 }

func (x idEntry) partition() int { return int(x.id >> 58) }

func newIDIndex(dir string) *idIndex {
	return &idIndex{dir: dir, seed: maphash.MakeSeed(), memory: idMemory, pass: idPass}
}

// entry also returns scratch, which it may have replaced.
func (x *idIndex) entry(scratch []byte, e *event.Event, content [hashLen]byte) (idEntry, []byte) {
	id, scratch := identity(scratch, x.seed, e)
	return idEntry{id, binary.BigEndian.Uint64(content[:])}, scratch
}

// identity is a hash of what makes an event the same event: org, source and id.
func identity(scratch []byte, seed maphash.Seed, e *event.Event) (uint64, []byte) {
	scratch = scratch[:0]
	for _, f := range []event.Field{event.Org, event.Source} {
		text := e.Get(f)
		scratch = binary.AppendUvarint(scratch, uint64(len(text)))
		scratch = append(scratch, text...)
	}
	scratch = append(scratch, e.Get(event.ID)...)
	return maphash.Bytes(seed, scratch), scratch
}

func (x *idIndex) add(entries []idEntry) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.mem)+len(entries) > x.memory {
		if err := x.spill(); err != nil {
			return fmt.Errorf("sort: %w", err)
		}
	}
	x.mem = append(x.mem, entries...)
	return nil
}

func (x *idIndex) spill() error {
	slices.SortFunc(x.mem, func(a, b idEntry) int { return a.partition() - b.partition() })
	var buf []byte
	for from := 0; from < len(x.mem); {
		p, to := x.mem[from].partition(), from
		buf = buf[:0]
		for ; to < len(x.mem) && x.mem[to].partition() == p; to++ {
			buf = binary.BigEndian.AppendUint64(buf, x.mem[to].id)
			buf = binary.BigEndian.AppendUint64(buf, x.mem[to].content)
		}
		if x.files[p] == nil {
			file, err := os.CreateTemp(x.dir, "ids-*")
			if err != nil {
				return err
			}
			x.files[p] = file
		}
		if _, err := x.files[p].Write(buf); err != nil {
			return err
		}
		x.sizes[p] += to - from
		from = to
	}
	x.mem = x.mem[:0]
	return nil
}

// load appends to entries those of a partition that keep says are to be kept.
func (x *idIndex) load(in *bufio.Reader, entries []idEntry, p int, keep func(idEntry) bool) ([]idEntry, error) {
	in.Reset(io.NewSectionReader(x.files[p], 0, int64(x.sizes[p])*idEntrySize))
	var buf [idEntrySize]byte
	for range x.sizes[p] {
		if _, err := io.ReadFull(in, buf[:]); err != nil {
			return nil, err
		}
		if e := (idEntry{binary.BigEndian.Uint64(buf[:]), binary.BigEndian.Uint64(buf[8:])}); keep(e) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// conflicts goes through what was added.
func (x *idIndex) conflicts() (*Conflicts, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := &Conflicts{seed: x.seed, ids: map[uint64]struct{}{}}
	if x.files == [idPartitions]*os.File{} {
		c.addFrom(x.mem)
		return c, nil
	}
	if err := x.spill(); err != nil {
		return nil, fmt.Errorf("sort: %w", err)
	}
	in := bufio.NewReaderSize(nil, readBuffer)
	var entries []idEntry
	var err error
	for p := range idPartitions {
		passes := uint64(x.sizes[p]/x.pass + 1)
		for pass := range passes {
			entries, err = x.load(in, entries[:0], p, func(e idEntry) bool { return e.id%passes == pass })
			if err != nil {
				return nil, fmt.Errorf("sort: %w", err)
			}
			c.addFrom(entries)
		}
	}
	return c, nil
}

func (x *idIndex) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for p, f := range x.files {
		if f != nil {
			errs = append(errs, f.Close(), os.Remove(f.Name()))
			x.files[p] = nil
		}
	}
	x.mem = nil
	return errors.Join(errs...)
}

// Conflicts knows which events share their identity with one of other content. The zero of it knows of none.
type Conflicts struct {
	seed maphash.Seed
	ids  map[uint64]struct{}
}

// maxConflicts bounds the memory of Conflicts. Input with more ids in conflict than that has no usable ids: the rest go untold.
const maxConflicts = 100_000

// addFrom adds the ids that have more than one content among entries, which it sorts.
func (c *Conflicts) addFrom(entries []idEntry) {
	slices.SortFunc(entries, func(a, b idEntry) int { return cmp.Compare(a.id, b.id) })
	first := 0 // of those with the same id
	for i := range entries {
		if entries[i].id != entries[first].id {
			first = i
		}
		if entries[i].content != entries[first].content && len(c.ids) < maxConflicts {
			c.ids[entries[i].id] = struct{}{}
		}
	}
}

// Has reports whether another event with the identity of e and other content was added. (Two identities that share a 64-bit hash would be told so
// as well: among a billion events, one pair in forty.)
func (c *Conflicts) Has(e *event.Event) bool {
	if len(c.ids) == 0 {
		return false
	}
	id, _ := identity(nil, c.seed, e)
	_, ok := c.ids[id]
	return ok
}

// Conflicts goes through the ids of all events, once every Writer is closed.
func (s *Sorter) Conflicts() (*Conflicts, error) { return s.ids.conflicts() }

// FindConflicts goes through the ids of the events of a scan. It keeps files in dir, which exists, and removes them before it returns.
func FindConflicts(scan iter.Seq2[Item, error], dir string) (*Conflicts, error) {
	x := newIDIndex(dir)
	c, err := x.conflictsOf(scan)
	if closeErr := x.close(); err == nil && closeErr != nil {
		err = fmt.Errorf("find conflicts: %w", closeErr)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (x *idIndex) conflictsOf(scan iter.Seq2[Item, error]) (*Conflicts, error) {
	var e event.Event
	var buf []idEntry
	var scratch []byte
	for item, err := range scan {
		if err != nil {
			return nil, err
		}
		if err := jsonl.ParseRow(item.Row, &e); err != nil {
			return nil, fmt.Errorf("find conflicts: %w", err)
		}
		var entry idEntry
		entry, scratch = x.entry(scratch, &e, [hashLen]byte(item.Tail[len(item.Tail)-hashLen:]))
		if buf = append(buf, entry); len(buf) == idBuffer {
			if err := x.add(buf); err != nil {
				return nil, err
			}
			buf = buf[:0]
		}
	}
	if err := x.add(buf); err != nil {
		return nil, err
	}
	return x.conflicts()
}
