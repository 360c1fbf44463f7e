package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"daybook/sink"
)

var (
	_ sink.Lister    = (*Store)(nil)
	_ sink.Versioner = (*Store)(nil)
)

// List implements sink.Lister. It yields what stands in the folder, be it put by Put or not: a name that is no valid key as it is, and what is no regular
// file (a symbolic link, a pipe) with Size -1. Head and Get refuse both. No link is followed. Folders are not yielded, nor is the one of temporary files.
//
// It keeps the names of one folder, and of those above it, in memory. What comes or goes meanwhile may be told or not.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return s.list(ctx, prefix, "")
}

// Temporary yields what lies in the folder of temporary files, which List leaves out, in the way of List: what is being written, what a crash has left, and
// whatever somebody else has put there.
func (s *Store) Temporary(ctx context.Context) iter.Seq2[sink.Entry, error] {
	return s.list(ctx, tempDir+"/", tempDir+"/")
}

// list yields what is below the folder dir and has the prefix.
func (s *Store) list(ctx context.Context, prefix, dir string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		root, err := s.open()
		if err == nil {
			w := &walk{store: s, root: root, prefix: prefix, yield: yield}
			err = w.folder(ctx, dir)
		}
		if err != nil && !errors.Is(err, errStopped) {
			yield(sink.Entry{}, s.explain(err, toRead))
		}
	}
}

// Versions implements sink.Versioner: a folder has one version of each key, without a name.
func (s *Store) Versions(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return s.List(ctx, prefix)
}

// errStopped says that who reads the listing has had enough.
var errStopped = errors.New("stopped")

type walk struct {
	store  *Store
	root   *os.Root
	prefix string
	yield  func(sink.Entry, error) bool
}

// folder yields what is below the folder dir, which is blank or ends with a slash.
func (w *walk) folder(ctx context.Context, dir string) error {
	names, err := w.names(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if key := dir + name; strings.HasSuffix(name, "/") {
			err = w.folder(ctx, key)
		} else {
			err = w.file(key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) file(key string) error {
	info, err := w.root.Lstat(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed since its folder was read
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	e := sink.Entry{Key: key, Size: -1, Modified: info.ModTime().UTC(), Latest: true}
	if info.Mode().IsRegular() {
		e.Size = info.Size()
	}
	if !w.yield(e, nil) {
		return errStopped
	}
	return nil
}

// names returns the names in dir that are on the way to keys with the prefix, folders with a slash at their end: so sorted, a folder's keys come where
// the order of whole keys has them, a.b before a/b.
func (w *walk) names(ctx context.Context, dir string) (names []string, err error) {
	if err := w.store.before("readdir", dir); err != nil {
		return nil, err
	}
	f, err := w.openDir(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != "" {
		return nil, nil // removed since the folder above it was read
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := f.ReadDir(1024)
		for _, entry := range entries {
			name := entry.Name()
			if entry.IsDir() {
				name += "/"
			}
			key := dir + name
			onWay := strings.HasPrefix(key, w.prefix) || entry.IsDir() && strings.HasPrefix(w.prefix, key)
			if onWay && key != tempDir+"/" {
				names = append(names, name)
			}
		}
		if err == io.EOF {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", cmp.Or(dir, "."), err)
		}
	}
}

// openDir opens a folder, and no link that was put in its place since the folder above it was read.
func (w *walk) openDir(dir string) (*os.File, error) {
	name := path.Clean(dir) // blank becomes "."
	seen, err := w.root.Lstat(name)
	if err == nil && !seen.IsDir() {
		err = fmt.Errorf("%s: no folder any more", name)
	}
	if err != nil {
		return nil, err
	}
	f, err := w.root.Open(name)
	if err != nil {
		return nil, err
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(seen, opened) {
		err = errors.New("replaced while it was opened")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return f, nil
}
