package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// memory is a log as this machine remembers it: a folder with the tiles of log/ and the newest checkpoint, which may be ahead of the store's for as long as
// it is being published.
//
//	checkpoint    the newest that was signed here or taken over
//	published     the newest that is known to be in the store; absent until the first is
//	tile/…        as in the store
//
// What a checkpoint covers is on stable storage before the checkpoint is, and a checkpoint before anything of it is put.
type memory struct{ dir string }

const (
	headName      = "checkpoint"
	publishedName = "published"
)

func (m memory) path(key string) string {
	return filepath.Join(m.dir, filepath.FromSlash(strings.TrimPrefix(key, Prefix)))
}

// fetch reads what lies under a key of the store.
func (m memory) fetch(ctx context.Context, key string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(m.path(key))
	if err != nil {
		return nil, err
	}
	data, err := readAtMost(f, f.Name(), limit)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return data, err
}

// readHead returns the checkpoint in a file, unchecked, and the zero Head if there is no such file.
func (m memory) readHead(name string) (Head, error) {
	data, err := os.ReadFile(filepath.Join(m.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	c, err := ParseCheckpoint(data)
	if err != nil {
		return Head{}, fmt.Errorf("%s: %w", filepath.Join(m.dir, name), err)
	}
	return Head{c, data}, nil
}

// write puts data under a name so that after a crash either the old content is there or all of the new.
func (m memory) write(name string, data []byte) error {
	path := m.path(name)
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, data) {
		return syncDir(filepath.Dir(path)) // the run that wrote it may have been stopped before this
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // the first error is what matters
		return err
	}
	return syncDir(filepath.Dir(path))
}

// makeDir makes a folder and those above it, and makes their names durable.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}
