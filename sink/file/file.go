// Package file lays sealed files down in a folder.
//
// It guarantees that a file appears under its key only whole, with the bytes that were asked for, read-only, and on stable storage
// when Put returns; that no file is ever replaced; and that no key, and no symbolic link in the folder, leads out of it. A crash at
// any point leaves either the whole file or none of it under the key.
//
// It does not lock: whoever may write to the folder can delete from it. A key that asks for a lock is refused.
//
// Files are written under .daybook-tmp/ in the folder, which readers of data prefixes skip, and linked from there to their key. What
// a crash leaves there is removed by the next Preflight, once no living process holds it.
package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"daybook/sink"
)

// tempDir holds files that are not whole yet. Engines that read partitioned folders skip names with a leading dot.
const tempDir = ".daybook-tmp"

// Options are the settings of a Store. The zero value is usable.
type Options struct {
	// Log is told what was cleaned up. Default: nothing is logged.
	Log *slog.Logger
	// Progress is told, as a file is written, how many of its bytes are. It is called from the goroutine that called Put.
	Progress func(key string, written, size int64)
}

// Store is a folder. It implements sink.Store.
type Store struct {
	dir      string
	log      *slog.Logger
	progress func(key string, written, size int64)
	// before is called ahead of each operation on the file system, and fails it by returning an error.
	before func(op, name string) error

	mu      sync.Mutex          // guards what follows
	root    *os.Root            // nil until the folder was opened
	durable map[string]struct{} // folders whose entry in their parent is known to be on stable storage
}

var _ sink.Store = (*Store)(nil)

// New returns the store in the folder dir, which Preflight makes if it is not there.
func New(dir string, opts *Options) (*Store, error) {
	if dir == "" {
		return nil, errors.New("no folder given")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &Options{}
	}
	s := &Store{dir: abs, log: opts.Log, progress: opts.Progress}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.progress == nil {
		s.progress = func(string, int64, int64) {}
	}
	s.before = func(string, string) error { return nil }
	return s, nil
}

// Close releases the folder. The store opens it again when it is used again.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil {
		return nil
	}
	_ = s.root.Remove(tempDir) // it stays where a file is still in it
	err := s.root.Close()
	s.root, s.durable = nil, nil
	return err
}

// Preflight makes the folder if it is not there, proves that a file can be written in it, and removes what a crash left behind.
func (s *Store) Preflight(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.makeRoot(); err != nil {
		return s.explain(fmt.Errorf("%w: %w", sink.ErrUnfit, err), 0)
	}
	root, err := s.open()
	if err != nil {
		return err
	}
	if err := s.removeStale(root); err != nil {
		return s.explain(fmt.Errorf("%w: %w", sink.ErrUnfit, err), 0)
	}
	f, name, err := s.createTemp(root)
	if err != nil {
		return s.explain(fmt.Errorf("%w: %w", sink.ErrUnfit, err), 0)
	}
	return errors.Join(f.Close(), root.Remove(name))
}

// makeRoot makes the folder and the folders above it, each synced into its parent.
func (s *Store) makeRoot() error {
	var missing []string
	for dir := s.dir; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil {
			if !info.IsDir() {
				return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
			}
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		missing = append(missing, dir)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		parent, err := os.Open(filepath.Dir(missing[i]))
		if err != nil {
			return err
		}
		if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", filepath.Dir(missing[i]), err)
		}
	}
	return nil
}

// open opens the folder, once. A folder that is not there is never made here: it may be a disk that is not mounted.
func (s *Store) open() (*os.Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		return s.root, nil
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, s.explain(fmt.Errorf("%w: %w", sink.ErrUnfit, err), 0)
	}
	s.root, s.durable = root, make(map[string]struct{})
	return root, nil
}

// Put implements sink.Store.
func (s *Store) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	if err := checkKey(o.Key); err != nil {
		return sink.Info{}, err
	}
	if o.Lock.Mode != sink.None {
		return sink.Info{}, &sink.HintError{
			Err:  fmt.Errorf("%s: %w: a folder cannot hold a lock of mode %s", o.Key, sink.ErrUnfit, o.Lock.Mode),
			Hint: "use an s3:// destination for retention, or set the lock mode to none",
		}
	}
	if o.Hold {
		return sink.Info{}, &sink.HintError{
			Err: fmt.Errorf("%s: %w: a folder cannot keep a legal hold", o.Key, sink.ErrUnfit), Hint: "use an s3:// destination for holds",
		}
	}
	if o.Size < 0 {
		return sink.Info{}, fmt.Errorf("%s: size %d", o.Key, o.Size)
	}
	root, err := s.open()
	if err != nil {
		return sink.Info{}, err
	}
	if info, err := s.existing(ctx, root, o); !errors.Is(err, sink.ErrNotExist) {
		return info, s.explain(err, o.Size)
	}

	temp, err := s.stage(ctx, root, o)
	if err != nil {
		return sink.Info{}, s.explain(fmt.Errorf("%s: %w", o.Key, err), o.Size)
	}
	defer func() {
		if err := s.remove(root, temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("temporary file stays until the next start", "file", filepath.Join(s.dir, temp), "error", err)
		}
	}()
	// From here on the context is not asked: a commit half done is finished.
	name := path.Clean(o.Key)
	if err := s.makeDirs(root, path.Dir(name)); err != nil {
		return sink.Info{}, s.explain(fmt.Errorf("%s: %w", o.Key, err), o.Size)
	}
	switch err := s.linkExclusive(root, temp, name); {
	case errors.Is(err, fs.ErrExist):
		info, err := s.existing(context.WithoutCancel(ctx), root, o)
		return info, s.explain(err, o.Size)
	case err != nil:
		s.forget()
		return sink.Info{}, s.explain(fmt.Errorf("%s: %w", o.Key, err), o.Size)
	}
	// The commit point is the sync: before it a crash of the machine may lose the name, never a part of the file.
	if err := s.syncDir(root, path.Dir(name)); err != nil {
		return sink.Info{}, s.explain(fmt.Errorf("%s: %w", o.Key, err), o.Size)
	}
	return sink.Info{Key: o.Key, Size: o.Size, SHA256: o.SHA256}, nil
}

// existing reports what is under o's key: o's bytes, which it makes durable, since who wrote them may have crashed before doing so;
// other bytes (ErrConflict); or nothing (ErrNotExist).
func (s *Store) existing(ctx context.Context, root *os.Root, o sink.Object) (sink.Info, error) {
	f, size, err := s.openFile(root, o.Key)
	if err != nil {
		return sink.Info{}, err
	}
	defer f.Close()
	if size != o.Size {
		return sink.Info{}, fmt.Errorf("%s: %w: %d bytes are there, %d were to be put", o.Key, sink.ErrConflict, size, o.Size)
	}
	sum, err := hashFile(ctx, f)
	if err != nil {
		return sink.Info{}, fmt.Errorf("%s: %w", o.Key, err)
	}
	if sum != o.SHA256 {
		return sink.Info{}, fmt.Errorf("%s: %w: SHA-256 %x is there, %x was to be put", o.Key, sink.ErrConflict, sum, o.SHA256)
	}
	dir := path.Dir(o.Key)
	err = errors.Join(s.before("sync", o.Key), f.Sync(), s.makeDirs(root, dir), s.syncDir(root, dir))
	if err != nil {
		return sink.Info{}, fmt.Errorf("%s: %w", o.Key, err)
	}
	return sink.Info{Key: o.Key, Size: size, SHA256: sum, Existed: true}, nil
}

// Head implements sink.Store. It reads the whole file for its SHA-256.
func (s *Store) Head(ctx context.Context, key, version string) (sink.Info, error) {
	f, size, err := s.openKey(key, version)
	if err != nil {
		return sink.Info{}, s.explain(err, toRead)
	}
	defer f.Close()
	sum, err := hashFile(ctx, f)
	if err != nil {
		return sink.Info{}, s.explain(fmt.Errorf("%s: %w", key, err), toRead)
	}
	return sink.Info{Key: key, Size: size, SHA256: sum}, nil
}

// Get implements sink.Store.
func (s *Store) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, _, err := s.openKey(key, version)
	if err != nil {
		return nil, s.explain(err, toRead)
	}
	return f, nil
}

var _ sink.Ranger = (*Store)(nil)

// GetFrom implements sink.Ranger.
func (s *Store) GetFrom(ctx context.Context, key, version string, offset int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, size, err := s.openKey(key, version)
	if err != nil {
		return nil, s.explain(err, toRead)
	}
	if offset < 0 || offset > 0 && offset >= size {
		return nil, errors.Join(fmt.Errorf("%s: offset %d is not within its %d bytes", key, offset, size), f.Close())
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", key, err), f.Close())
	}
	return f, nil
}

func (s *Store) openKey(key, version string) (*os.File, int64, error) {
	if err := checkKey(key); err != nil {
		return nil, 0, err
	}
	if version != "" {
		return nil, 0, fmt.Errorf("%s: version %q: %w: a folder keeps no versions", key, version, sink.ErrNotExist)
	}
	root, err := s.open()
	if err != nil {
		return nil, 0, err
	}
	return s.openFile(root, key)
}

// openFile opens the regular file under key. A link is refused, wherever it leads: Put makes none, so somebody else did. A folder
// where the file should be, or a file where a folder should be, is ErrConflict.
func (s *Store) openFile(root *os.Root, key string) (*os.File, int64, error) {
	if err := s.before("open", key); err != nil {
		return nil, 0, err
	}
	seen, err := root.Lstat(key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("%s: %w", key, sink.ErrNotExist)
	case errors.Is(err, syscall.ENOTDIR):
		return nil, 0, fmt.Errorf("%s: %w: a file stands where a folder should be", key, sink.ErrConflict)
	case err != nil:
		return nil, 0, fmt.Errorf("%s: %w", key, err)
	case seen.IsDir():
		return nil, 0, fmt.Errorf("%s: %w: a folder stands where the file should be", key, sink.ErrConflict)
	case !seen.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s: %w: not a regular file (%s)", key, sink.ErrConflict, seen.Mode().Type())
	}
	f, err := root.Open(key)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", key, err)
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(seen, opened) {
		err = errors.New("replaced while it was opened")
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("%s: %w", key, err), f.Close())
	}
	return f, opened.Size(), nil
}

// hashFile reads f from its beginning.
func hashFile(ctx context.Context, f *os.File) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	buf := make([]byte, 256<<10)
	for offset := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		n, err := f.ReadAt(buf, offset)
		h.Write(buf[:n])
		offset += int64(n)
		if err == io.EOF {
			h.Sum(sum[:0])
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
	}
}

// checkKey keeps keys out of the folder of temporary files too.
func checkKey(key string) error {
	if err := sink.CheckKey(key); err != nil {
		return err
	}
	if first, _, _ := strings.Cut(key, "/"); first == tempDir {
		return fmt.Errorf("key %q: %s is kept for temporary files", key, tempDir)
	}
	return nil
}

// toRead is given for a size where something is read.
const toRead = -1

// explain adds a way out to the failures that people can do something about. size is how much was to be written.
func (s *Store) explain(err error, size int64) error {
	var hint string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		hint = fmt.Sprintf("make room in %s (%d bytes for this file) and run again: nothing of it was left behind", s.dir, size)
	case errors.Is(err, syscall.EROFS):
		hint = fmt.Sprintf("%s is on a file system that is mounted read-only", s.dir)
	case errors.Is(err, fs.ErrPermission):
		do := "write to"
		if size == toRead {
			do = "read"
		}
		hint = fmt.Sprintf("let the user that runs daybook %s %s and the folders in it", do, s.dir)
	case errors.Is(err, fs.ErrNotExist) && errors.Is(err, sink.ErrUnfit):
		hint = fmt.Sprintf("make the folder %s, or mount the disk that it is on", s.dir)
	case errors.Is(err, syscall.ENOTDIR) && errors.Is(err, sink.ErrUnfit):
		hint = fmt.Sprintf("%s must be a folder", s.dir)
	default:
		return err
	}
	return &sink.HintError{Err: err, Hint: hint}
}
