package spool

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ID tells this store from every other. It is random, stays as long as the store does, and is in its copies.
func (s *Store) ID() string { return s.id }

// Look reports whether there is a store in the folder dir, be it damaged: with ErrAbsent if there is none. It changes nothing.
func Look(dir string) error {
	s := &Store{dir: dir, fs: vfs.Default}
	return s.wrap("look", s.checkThere())
}

// checkThere fails with ErrAbsent where the folder holds no store, without changing anything. One of which something is left is not absent: it is damaged.
func (s *Store) checkThere() error {
	if _, err := s.fs.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the folder is not there", ErrAbsent)
	} else if err != nil {
		return err
	}
	if _, found, err := s.readRevision(); err != nil || found {
		return err
	}
	engine, err := pebble.Peek(s.dir, s.fs)
	if err == nil && !engine.Exists {
		err = fmt.Errorf("%w: the folder is empty", ErrAbsent)
	}
	return err
}

// checkID reads the store's ID, if it has one, and compares it with that which is meant.
func (s *Store) checkID() (found bool, err error) {
	have := ""
	value, closer, err := s.db.Get([]byte{tableID})
	if err == nil {
		have = string(value)
		err = closer.Close()
	} else if errors.Is(err, pebble.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return false, err
	}
	if s.id != "" && have != s.id {
		return false, fmt.Errorf("%w: its ID is %q, and that of the one which was here is %q", ErrOther, have, s.id)
	}
	s.id = have
	return have != "", nil
}
