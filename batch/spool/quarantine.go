package spool

import (
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// damagedFiles are those that a read since the store was opened found damaged.
type damagedFiles struct {
	mu    sync.Mutex
	paths map[string]struct{}
}

func (d *damagedFiles) add(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paths == nil {
		d.paths = map[string]struct{}{}
	}
	d.paths[path] = struct{}{}
}

func (d *damagedFiles) list() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.paths))
}

// QuarantineDamage copies the files of the store that were found damaged since it was opened, as they are, into the folder dir, which it makes for this user
// only if need be, and returns their names in it. They hold events as they are stored, damaged ones and others, for people to look at. A file that is in
// dir already stays; one that the store has no use for any more is left out.
//
// Salvage and Scan find damage; what they leave out is to be copied before the generation is marked sealed.
func (s *Store) QuarantineDamage(dir string) ([]string, error) {
	names, err := s.quarantine(dir)
	return names, s.wrap("copy what is damaged to "+dir, err)
}

func (s *Store) quarantine(dir string) (names []string, err error) {
	paths := s.guard.damaged.list()
	if len(paths) == 0 {
		return nil, nil
	}
	if err := makeDir(s.fs, dir); err != nil {
		return nil, err
	}
	for _, path := range paths {
		name := s.fs.PathBase(path)
		to := s.fs.PathJoin(dir, name)
		if _, err := s.fs.Stat(to); err == nil {
			names = append(names, name)
			continue
		}
		err := copyPrivate(s.fs, path, to)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, syncDir(s.fs, dir)
}

// copyPrivate copies a file for this user only. What is at to is a whole copy.
func copyPrivate(disk vfs.FS, from, to string) error {
	in, err := disk.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := disk.Create(to+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	if disk == vfs.Default {
		err = os.Chmod(to+".new", 0o600)
	}
	if err == nil {
		_, err = io.Copy(out, in)
	}
	if err == nil {
		err = out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = disk.Rename(to+".new", to)
	}
	return err
}
