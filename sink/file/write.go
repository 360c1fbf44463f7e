package file

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"daybook/sink"
)

// stage writes o into a temporary file, syncs it, reads it back, and returns its name. After an error no temporary file is left.
func (s *Store) stage(ctx context.Context, root *os.Root, o sink.Object) (staged string, err error) {
	f, name, taken := s.takeBody(root, o)
	if !taken {
		if f, name, err = s.createTemp(root); err != nil {
			return "", err
		}
	}
	defer func() {
		// Closing gives up the hold on the file as well, so it comes last.
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = closeErr
		}
		if err != nil {
			if rmErr := s.remove(root, name); rmErr != nil {
				err = fmt.Errorf("%w (and its temporary file stays: %w)", err, rmErr)
			}
		}
	}()
	if taken {
		s.progress(o.Key, o.Size, o.Size)
	} else if err := s.copyBody(ctx, f, name, o); err != nil {
		return "", err
	}
	if err := s.before("sync", name); err != nil {
		return "", err
	}
	// After a failed sync the system may have dropped what it could not write: the file is given up, never synced again.
	if err := f.Sync(); err != nil {
		return "", err
	}
	if err := s.before("read", name); err != nil {
		return "", err
	}
	back, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer back.Close()
	sum, err := hashFile(ctx, back)
	if err != nil {
		return "", err
	}
	if sum != o.SHA256 {
		return "", fmt.Errorf("SHA-256 of what was written is %x, %x was to be put", sum, o.SHA256)
	}
	return name, nil
}

// takeBody makes o's own file the temporary one, where o allows it and both are on one file system that has hard links. Where that can't be done for
// whatever reason nothing is left, and the caller makes a copy.
func (s *Store) takeBody(root *os.Root, o sink.Object) (*os.File, string, bool) {
	body, ok := o.Body.(*os.File)
	if !o.Final || !ok {
		return nil, "", false
	}
	if info, err := body.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != o.Size {
		return nil, "", false
	}
	if err := root.Mkdir(tempDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, "", false
	}
	name := path.Join(tempDir, rand.Text()+".part")
	if s.before("take", name) != nil || linkFile(root, body, name) != nil {
		return nil, "", false
	}
	f, err := root.Open(name)
	if err == nil {
		if err = errors.Join(hold(f), f.Chmod(0o444)); err == nil {
			return f, name, true
		}
		_ = f.Close() // it was not written to
	}
	_ = root.Remove(name) // the next Preflight does it else
	return nil, "", false
}

func (s *Store) copyBody(ctx context.Context, f *os.File, name string, o sink.Object) error {
	buf := make([]byte, min(o.Size, 1<<20))
	for offset := int64(0); offset < o.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := o.Body.ReadAt(buf[:min(o.Size-offset, int64(len(buf)))], offset)
		if n == 0 && err == nil {
			err = io.ErrNoProgress
		}
		if n == 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read the file to put at byte %d of %d: %w", offset, o.Size, err)
		}
		if err := s.before("write", name); err != nil {
			return err
		}
		if _, err := f.Write(buf[:n]); err != nil {
			return err
		}
		offset += int64(n)
		s.progress(o.Key, offset, o.Size)
	}
	return nil
}

// createTemp creates a temporary file that this process holds. Its mode is that of the finished file: what holds it may write, and
// nobody can open it for writing any more.
func (s *Store) createTemp(root *os.Root) (*os.File, string, error) {
	for range 100 {
		name := path.Join(tempDir, rand.Text()+".part")
		if err := s.before("create", name); err != nil {
			return nil, "", err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
		if errors.Is(err, fs.ErrNotExist) {
			if err := root.Mkdir(tempDir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, "", err
			}
			continue
		}
		if err != nil {
			return nil, "", err
		}
		// Another process that cleans up may have taken the file for stale between its creation and this hold.
		err = hold(f)
		if err == nil {
			var seen, held fs.FileInfo
			if held, err = f.Stat(); err == nil {
				if seen, err = root.Lstat(name); err == nil && os.SameFile(seen, held) {
					return f, name, nil
				}
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, "", errors.Join(err, f.Close(), root.Remove(name))
		}
		_ = f.Close()
	}
	return nil, "", fmt.Errorf("%s: other processes keep removing the temporary file", tempDir)
}

// removeStale removes the temporary files that no living process holds.
func (s *Store) removeStale(root *os.Root) error {
	dir, err := root.Open(tempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		if err := s.removeUnheld(root, path.Join(tempDir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// removeUnheld removes a temporary file unless a living process holds it, or it is another user's.
func (s *Store) removeUnheld(root *os.Root, name string) error {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if isHeld(f) {
		return nil
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.log.Info("removed what a crash left behind", "file", name)
	return nil
}

// makeDirs makes dir and the folders above it, each synced into its parent. A folder that is there is synced as well, once: who made
// it may have crashed before doing so.
func (s *Store) makeDirs(root *os.Root, dir string) error {
	if dir == "." || s.isDurable(dir) {
		return nil
	}
	if err := s.makeDirs(root, path.Dir(dir)); err != nil {
		return err
	}
	if err := s.before("mkdir", dir); err != nil {
		return err
	}
	if err := root.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		// Stat follows a link within the folder and refuses one that leads out of it.
		info, err := root.Stat(dir)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%w: %s is a file where a folder should be", sink.ErrConflict, dir)
		}
	} else if err != nil {
		return err
	}
	if err := s.syncDir(root, path.Dir(dir)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == root {
		s.durable[dir] = struct{}{}
	}
	return nil
}

func (s *Store) isDurable(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.durable[dir]
	return ok
}

// forget drops what is known of folders, after a failure that may mean that somebody removed one.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.durable)
}

func (s *Store) syncDir(root *os.Root, dir string) error {
	if err := s.before("syncdir", dir); err != nil {
		return err
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// linkExclusive gives the file temp its final name, unless something has that name already (fs.ErrExist).
func (s *Store) linkExclusive(root *os.Root, temp, name string) error {
	if err := s.before("link", name); err != nil {
		return err
	}
	err := root.Link(temp, name)
	for _, unable := range []error{syscall.EPERM, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EMLINK} {
		// FAT and some network file systems have no hard links.
		if errors.Is(err, unable) {
			return renameExclusive(root, temp, name)
		}
	}
	return err
}

func (s *Store) remove(root *os.Root, name string) error {
	if err := s.before("remove", name); err != nil {
		return err
	}
	return root.Remove(name)
}
