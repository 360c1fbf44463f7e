package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrFull says that so little of the disk is free that nothing more is taken. Nothing is lost; it passes when there is space again.
	ErrFull = errors.New("the disk is nearly full")
	// ErrCorrupt says that what the spool reads is not what was written.
	ErrCorrupt = errors.New("the spool is damaged")
	// ErrStopped says that the spool can't be used any more: it is closed, or an operation on the disk failed and it is not known what is there. Opening it
	// again finds out.
	ErrStopped = errors.New("the spool has stopped")
	// ErrAbsent says that there is no store where one must be.
	ErrAbsent = errors.New("there is no spool")
	// ErrOther says that a store is another one than is meant.
	ErrOther = errors.New("it is another spool")
)

// Options of a Store.
type Options struct {
	// FS is the file system; nil is that of the operating system.
	FS vfs.FS
	// MemTable is how many bytes of events are gathered in memory before they are written in order. Up to three times as many are held while that is done.
	// Zero means 64 MiB.
	MemTable int
	// MinFree is how many bytes must be free on the disk for Append to take anything. Zero means 256 MiB.
	MinFree uint64
	// MustExist has Open make no store: where there is none it fails with ErrAbsent and changes nothing.
	MustExist bool
	// ID, unless it is blank, is that of the store that is meant: Open fails with ErrOther where it is another, or one of before there were IDs.
	ID string
	// Logger is told what the storage engine does and what goes wrong in the background; nil tells nobody.
	Logger *slog.Logger
}

const (
	defaultMemTable = 64 << 20
	defaultMinFree  = 256 << 20
)

// Store holds events durably, in order and each once, until their day is sealed. Its methods may be called from several goroutines; the folder is one
// process's.
type Store struct {
	dir      string
	fs       vfs.FS
	db       *pebble.DB
	fuse     *fuse
	guard    *guardedFS
	memTable int
	minFree  uint64
	must     bool
	id       string // in Open that which is meant, if one is

	copying   sync.Mutex // held while a copy is made
	gate      sync.Mutex // taken before mu by who appends
	unchecked int        // bytes written since catchUp looked; gate's

	// mu is held by who changes the store, from when it looks until the change is applied: with a batch of events that takes a while. So what is changed is published
	// under view, which is taken after mu and held for a moment, and who only looks takes view alone: it does not wait for who appends.
	mu   sync.Mutex
	view sync.RWMutex

	// What follows is changed under mu and view, and read under either; but for revision, which is mu's, and for the oldest time of a generation, which is view's.
	trails   names
	classes  names
	states   map[uint16]*trailState
	next     uint32 // generation
	revision uint64
}

// Open opens the store in the folder dir, which it makes if need be. A nil o means zero Options.
func Open(dir string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Store{
		dir: dir, fs: o.FS, memTable: o.MemTable, minFree: o.MinFree, must: o.MustExist, id: o.ID,
		trails: names{kind: "trail", table: tableTrail, limit: math.MaxUint16}, classes: names{kind: "class", table: tableClass, limit: math.MaxUint8},
		states: map[uint16]*trailState{}, next: 1,
	}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	if s.minFree == 0 {
		s.minFree = defaultMinFree
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if s.memTable == 0 {
		s.memTable = defaultMemTable
	}
	s.fuse = newFuse(log)
	if err := s.open(); err != nil {
		return nil, s.wrap("open", err)
	}
	return s, nil
}

func (s *Store) open() error {
	if s.must {
		if err := s.checkThere(); err != nil {
			return err
		}
	}
	if err := makeDir(s.fs, s.dir); err != nil {
		return err
	}
	written, err := s.checkRevision()
	if err != nil {
		return missing(err)
	}
	s.fuse.opening.Store(true)
	s.guard = newGuardedFS(s.fs, s.dir, s.fuse)
	db, err := pebble.Open(s.dir, engineOptions(s.guard, uint64(s.memTable)))
	s.fuse.opening.Store(false)
	if failed := s.fuse.failure(); failed != nil { // which the engine may not know, or tell by what came of it
		if db != nil {
			_ = db.Close() // the failure is what matters
		}
		return failed
	}
	if err != nil {
		return missing(err)
	}
	s.db = db
	err = s.load()
	if err == nil && written == 0 {
		err = s.writeRevision()
	}
	if err != nil {
		_ = s.closeDB() // the first error is what matters
	}
	return err
}

// missing says that a file which the engine can't find is damage.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// makeDir makes dir and what is missing above it, for this user only, so that it is there after a crash.
func makeDir(disk vfs.FS, dir string) error {
	parents := []string{disk.PathDir(dir)}
	for {
		last := parents[len(parents)-1]
		if _, err := disk.Stat(last); err == nil || disk.PathDir(last) == last {
			break
		}
		parents = append(parents, disk.PathDir(last))
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncDir(disk, parent); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(disk vfs.FS, dir string) error {
	d, err := disk.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// load reads all but the events and the sealings.
func (s *Store) load() error {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableVersion}, UpperBound: []byte{tableEvent}})
	if err != nil {
		return err
	}
	version := uint32(0)
	for valid := iter.First(); valid && err == nil; valid = iter.Next() {
		var value []byte
		if value, err = iter.ValueAndErr(); err != nil {
			break
		}
		key := iter.Key()
		var ok bool
		switch key[0] {
		case tableVersion:
			if version, ok = number(value); version > formatVersion { // which may have records that this one does not know
				return errors.Join(fmt.Errorf("it was written by a newer version of Daybook, in format %d: this one reads format %d", version, formatVersion), iter.Close())
			}
		case tableNext:
			s.next, ok = number(value)
		case tableRevision:
			s.revision, ok = parseRevision(value)
		case tableTrail:
			ok = s.trails.load(key[1:], value)
		case tableClass:
			ok = s.classes.load(key[1:], value)
		case tableDay:
			var k dayKey
			var list []generation
			if k, list, ok = parseDay(key, value); ok {
				s.setGenerations(k, list)
			}
		case tableTotals:
			var trail uint16
			var totals Totals
			if trail, totals, ok = parseTotals(key, value); ok {
				s.setTotals(trail, totals)
			}
		}
		if !ok {
			err = fmt.Errorf("%w: record %x has the value %x", ErrCorrupt, key, value)
		}
	}
	if err = errors.Join(err, iter.Error(), iter.Close()); err != nil {
		return err
	}
	identified, err := s.checkID()
	if err != nil {
		return err
	}
	if version == 1 {
		if err := s.upgrade(); err != nil {
			return err
		}
	} else if version == formatVersion && identified {
		return nil
	}
	b := s.db.NewBatch()
	put(b, []byte{tableVersion}, binary.BigEndian.AppendUint32(nil, formatVersion))
	if !identified {
		s.id = rand.Text()
		put(b, []byte{tableID}, []byte(s.id))
	}
	return s.commit(b)
}

// Close closes the store, when all scans and counts have ended. What was appended stays.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.fuse.failure(), errClosed) {
		return nil
	}
	err := s.fuse.failure()
	if err == nil {
		err = s.writeRevision()
	}
	s.view.Lock()
	defer s.view.Unlock()
	if closeErr := s.closeDB(); err == nil {
		err = closeErr
	}
	s.fuse.blow(errClosed)
	return s.wrap("close", err)
}

// closeDB returns why the store has stopped, if it has: that is why it can't be closed well.
func (s *Store) closeDB() error {
	err := s.db.Close()
	if failed := s.fuse.failure(); failed != nil {
		return failed
	}
	return err
}

// commit writes a change and returns once it is on stable storage. It is called under mu.
func (s *Store) commit(b *pebble.Batch) error {
	if err := s.apply(b); err != nil {
		return err
	}
	return s.wait(b)
}

// apply writes a batch, so that it is seen from now on. It is durable when wait returns. It is called under mu.
func (s *Store) apply(b *pebble.Batch) error {
	if err := s.fuse.failure(); err != nil {
		return err
	}
	s.revision++
	put(b, []byte{tableRevision}, binary.BigEndian.AppendUint64(nil, s.revision))
	if err := s.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		s.fuse.blow(err)
	}
	return s.fuse.failure() // of a failure the engine tells its logger and file system only
}

// wait returns once a batch is on stable storage.
func (s *Store) wait(b *pebble.Batch) error {
	if err := errors.Join(b.SyncWait(), b.Close()); err != nil {
		s.fuse.blow(err)
	}
	return s.fuse.failure()
}

// put adds a record to a batch, which fails only where a batch is too large: the store keeps them small.
func put(b *pebble.Batch, key, value []byte) {
	op := b.SetDeferred(len(key), len(value))
	copy(op.Key, key)
	copy(op.Value, value)
	_ = op.Finish() // fails on indexed batches only
}

// wrap says which spool it was, and what can be done.
func (s *Store) wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFull), errors.Is(err, ErrStopped), errors.Is(err, ErrAbsent), errors.Is(err, ErrOther):
		return fmt.Errorf("spool %s: %s: %w", s.dir, what, err)
	case errors.Is(err, ErrCorrupt) || pebble.IsCorruptionError(err):
		detail, _, _ := strings.Cut(err.Error(), "\n") // what follows is for those who work on the engine
		err = fmt.Errorf("%w: %s", ErrCorrupt, strings.TrimPrefix(detail, ErrCorrupt.Error()+": "))
		return fmt.Errorf("spool %s: %s: %w; nothing was left out or changed: put the folder back from a copy, or move it away, give it up (`daybook give-up-spool`) and take in again "+
			"what was not sealed yet", s.dir, what, err)
	}
	return fmt.Errorf("spool %s: %s: %w", s.dir, what, err)
}

// names gives numbers to names, which stay whatever becomes of the configuration.
type names struct {
	kind   string
	table  byte
	limit  int
	byID   map[int]string
	byText map[string]int
	next   int // more than any number that was given
}

// load takes in a record.
func (n *names) load(key, value []byte) bool {
	id := 0
	for _, c := range key {
		id = id<<8 | int(c)
	}
	if len(key) == 0 || len(key) > 2 || len(value) == 0 {
		return false
	}
	n.set(id, string(value))
	return true
}

func (n *names) set(id int, name string) {
	if n.byID == nil {
		n.byID, n.byText = map[int]string{}, map[string]int{}
	}
	n.byID[id], n.byText[name] = name, id
	n.next = max(n.next, id+1)
}

// free returns the next number.
func (n *names) free() (int, error) {
	if n.next > n.limit {
		return 0, fmt.Errorf("there have been %d names of a %s: no number is left", n.next, n.kind)
	}
	return n.next, nil
}

func (s *Store) number(n *names, name string, key func(id int) []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := n.byText[name]; ok {
		return id, s.fuse.failure()
	}
	if name == "" {
		return 0, fmt.Errorf("a %s has no name", n.kind)
	}
	id, err := n.free()
	if err != nil {
		return 0, err
	}
	b := s.db.NewBatch()
	put(b, key(id), []byte(name))
	if err := s.commit(b); err != nil {
		return 0, err
	}
	s.view.Lock()
	defer s.view.Unlock()
	n.set(id, strings.Clone(name))
	return id, nil
}

// TrailID returns the number of a trail in this store, which it gives it if it has none. Numbers stay.
func (s *Store) TrailID(name string) (uint16, error) {
	id, err := s.number(&s.trails, name, func(id int) []byte { return binary.BigEndian.AppendUint16([]byte{tableTrail}, uint16(id)) })
	return uint16(id), s.wrap("trail "+name, err)
}

// ClassID returns the number of a class in this store, which it gives it if it has none. Numbers stay.
func (s *Store) ClassID(name string) (uint8, error) {
	id, err := s.number(&s.classes, name, func(id int) []byte { return []byte{tableClass, byte(id)} })
	return uint8(id), s.wrap("class "+name, err)
}

// TrailName returns the name of the trail with that number.
func (s *Store) TrailName(id uint16) (string, bool) {
	s.view.RLock()
	defer s.view.RUnlock()
	name, ok := s.trails.byID[int(id)]
	return name, ok
}

// ClassName returns the name of the class with that number.
func (s *Store) ClassName(id uint8) (string, bool) {
	s.view.RLock()
	defer s.view.RUnlock()
	name, ok := s.classes.byID[int(id)]
	return name, ok
}
