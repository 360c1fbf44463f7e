package spool

import (
	"errors"
	"io/fs"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
)

// Checkpoint makes a copy of the store in the folder dir, which must not exist, while others go on: one moment of it, with all that was acknowledged before
// the call. The copy is on stable storage when it returns, and opens like the store itself. Files that don't change any more are linked into it where they
// are on one file system, and take room of their own only once the store needs them no more.
//
// After an error dir is removed again, and the store goes on.
func (s *Store) Checkpoint(dir string) error {
	return s.wrap("copy to "+dir, s.checkpoint(dir))
}

func (s *Store) checkpoint(dir string) error {
	s.copying.Lock()
	defer s.copying.Unlock()
	if err := s.fuse.failure(); err != nil {
		return err
	}
	if s.guard.isOurs(dir) {
		return errors.New("a copy can't be in the store's own folder")
	}
	if _, err := s.fs.Stat(dir); err == nil {
		return fs.ErrExist
	}
	// The engine panics where it can't sync the copy's folder; that is told to a fuse instead, which is the copy's own.
	f := newFuse(slog.New(slog.DiscardHandler))
	s.guard.copy.Store(f)
	err := s.db.Checkpoint(dir, pebble.WithFlushedWAL())
	s.guard.copy.Store(s.fuse)
	if failed := f.why(); failed != nil {
		err = failed
	}
	if failed := s.fuse.failure(); failed != nil { // the log is flushed first, and of what then fails the engine is not told
		err = failed
	}
	if err == nil {
		err = s.finishCopy(dir, f)
	}
	if err != nil {
		return errors.Join(err, s.fs.RemoveAll(dir))
	}
	return nil
}

// finishCopy opens a copy, and says in it which revision it has.
func (s *Store) finishCopy(dir string, f *fuse) (err error) {
	c := &Store{dir: dir, fs: s.fs, memTable: s.memTable, fuse: f}
	c.revision, err = c.revisionOfEngine()
	if failed := f.why(); failed != nil {
		err = failed
	}
	if err != nil {
		return err
	}
	return c.writeRevision()
}
