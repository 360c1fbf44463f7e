package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Every change of a Store has a number, its revision, which is written together with it. Close, and the Open that makes a
// store, write the last one into a file beside the engine's. A
// store that knows only earlier changes when it is opened has lost some: the engine takes a damaged end of its manifest for one that was being written
// in a crash, and a lost manifest for a new store, and would go on from there and remove what it does not know.
const revisionFile = "REVISION"

// checkRevision compares, without changing anything, and returns the revision that was written last, 0 if none was.
func (s *Store) checkRevision() (uint64, error) {
	want, found, err := s.readRevision()
	if err != nil || !found {
		return 0, err
	}
	have, err := s.revisionOfEngine()
	if err != nil {
		return 0, err
	}
	if have < want {
		return 0, fmt.Errorf("%w: %d changes were written, %d are there", ErrCorrupt, want, have)
	}
	return want, nil
}

func (s *Store) revisionOfEngine() (revision uint64, err error) {
	o := engineOptions(newGuardedFS(s.fs, s.dir, s.fuse), uint64(s.memTable))
	o.ReadOnly, o.ErrorIfNotExists = true, true
	db, err := pebble.Open(s.dir, o)
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		if closeErr := db.Close(); err == nil {
			err = closeErr
		}
	}()
	value, closer, err := db.Get([]byte{tableRevision})
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	revision, ok := parseRevision(value)
	if !ok {
		err = fmt.Errorf("%w: revision %x", ErrCorrupt, value)
	}
	return revision, errors.Join(err, closer.Close())
}

func parseRevision(value []byte) (uint64, bool) {
	if len(value) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(value), true
}

func (s *Store) readRevision() (revision uint64, found bool, err error) {
	name := s.fs.PathJoin(s.dir, revisionFile)
	if _, err := s.fs.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	file, err := s.fs.Open(name)
	if err != nil {
		return 0, false, err
	}
	text, err := io.ReadAll(io.LimitReader(file, 100))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return 0, false, err
	}
	if revision, err = strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 64); err != nil {
		return 0, false, fmt.Errorf("%w: %s: %w", ErrCorrupt, revisionFile, err)
	}
	return revision, true, nil
}

// writeRevision is called when all changes are on stable storage.
func (s *Store) writeRevision() error {
	name := s.fs.PathJoin(s.dir, revisionFile)
	file, err := s.fs.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(strconv.AppendUint(nil, s.revision, 10))
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = s.fs.Rename(name+".new", name)
	}
	if err != nil {
		return err
	}
	return syncDir(s.fs, s.dir)
}
