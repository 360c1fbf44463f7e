package batch

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"daybook/batch/tlog"
	"daybook/sink"
)

// A backup is a copy of a data folder as it was at one moment: a tar in zstd. The signing key is not in it. Frozen for Schema 1:
//
//	backup.json    Backup; always the first
//	…              the files of the data folder but for the lock, the sorter's runs and the local socket; those of the spool come last
//	complete       empty: what ends before it is no whole backup
const (
	backupInfo     = "backup.json"
	backupComplete = "complete"
	backupSchema   = 1
)

// Backup says what a backup is of.
type Backup struct {
	Schema int       `json:"schema"`
	Build  string    `json:"build"`
	Taken  time.Time `json:"taken"`
	// Key is the ID of the signing key, which is kept apart.
	Key string `json:"key"`
	// Log is the store's log as far as it was known.
	Origin string `json:"origin,omitempty"`
	Size   int64  `json:"size"`
}

// ErrBackup says that a file is no whole backup.
var ErrBackup = errors.New("not a whole backup")

// Backup writes a backup to w. Events are taken in meanwhile; a seal waits for most of it.
func (s *Standing) Backup(ctx context.Context, w io.Writer) error {
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	if err := s.backup(ctx, t); err != nil {
		_ = z.Close() // the first error is what matters
		return fmt.Errorf("backup: %w", err)
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

func (s *Standing) backup(ctx context.Context, t *tar.Writer) error {
	copied := s.state.path(backupDir)
	if err := os.RemoveAll(copied); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(copied) }() // links to what the spool has; what is left is removed by the next
	if err := s.backupState(ctx, t, copied); err != nil {
		return err
	}
	if err := addTree(ctx, t, copied, "spool", nil); err != nil {
		return err
	}
	return addFile(t, backupComplete, nil)
}

// backupDir is where the spool's files lie while they are copied.
const backupDir = "backup"

// backupState copies all but the spool, and then makes a copy of that: so that the spool has every event that the rest says is there.
func (s *Standing) backupState(ctx context.Context, t *tar.Writer, copied string) error {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	settings := s.settings.Load()
	info := Backup{Schema: backupSchema, Build: settings.Build, Taken: settings.Now().UTC(), Key: (&Roller{Settings: *settings}).keyID()}
	head, err := tlog.Remembered(s.state.logDir())
	if err != nil {
		return err
	}
	info.Origin, info.Size = head.Origin, head.Size
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	if err := addFile(t, backupInfo, data); err != nil {
		return err
	}
	skip := map[string]bool{"lock": true, "runs": true, "spool": true, backupDir: true}
	if err := addTree(ctx, t, s.state.dir, "", skip); err != nil {
		return err
	}
	return s.spool.Checkpoint(copied)
}

// addTree adds the regular files below dir, in the order of their names, but for those that are being written and those that skip names.
func addTree(ctx context.Context, t *tar.Writer, dir, as string, skip map[string]bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case skip[name] && d.IsDir():
			return filepath.SkipDir
		case skip[name] || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".new-"):
			return nil
		}
		if as != "" {
			name = as + "/" + name
		}
		return addPath(t, path, name)
	})
}

func addPath(t *tar.Writer, path, name string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was temporary
	}
	if err != nil {
		return err
	}
	defer file.Close() // it is only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}); err != nil {
		return err
	}
	// What is appended meanwhile is not of this moment.
	_, err = io.Copy(t, io.LimitReader(file, info.Size()))
	return err
}

func addFile(t *tar.Writer, name string, data []byte) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := t.Write(data)
	return err
}

// Restore makes the data folder dir, which must not be there or be empty, from a backup. It is there as a whole, or not at all.
//
// BUG(restore): Where the folder that was lost had put some files of a seal, and not its manifest, and the same events do not come again, nothing explains these files any more: no
// other bytes can be put under their keys, so that the day, and with it the trail, is not sealed again under this prefix.
func Restore(ctx context.Context, r io.Reader, dir string) (*Backup, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, &sink.HintError{Err: fmt.Errorf("restore: %s is not empty", dir), Hint: "restore into a new folder; move away what is there"}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("restore: %w", err)
	}
	temp := filepath.Clean(dir) + ".restoring"
	if err := errors.Join(os.RemoveAll(temp), os.MkdirAll(temp, 0o700)); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	info, err := unpack(ctx, r, temp)
	if err == nil {
		err = syncTree(temp)
	}
	if err == nil {
		_ = os.Remove(dir) // empty, or not there: else the next fails
		err = os.Rename(temp, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", errors.Join(err, os.RemoveAll(temp)))
	}
	return info, syncDir(filepath.Dir(dir))
}

func unpack(ctx context.Context, r io.Reader, dir string) (*Backup, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // only a handle
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	t := tar.NewReader(z)
	var info *Backup
	for {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBackup, err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switch {
		case info == nil:
			info = &Backup{}
			if h.Name != backupInfo {
				return nil, fmt.Errorf("%w: it begins with %q", ErrBackup, h.Name)
			}
			if err := json.NewDecoder(io.LimitReader(t, 1<<20)).Decode(info); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrBackup, err)
			}
			if info.Schema != backupSchema {
				return nil, fmt.Errorf("%w: its schema is %d, and this version reads %d", ErrBackup, info.Schema, backupSchema)
			}
		case h.Name == backupComplete:
			// A bit that was flipped in a file shows at the end of all, by a checksum.
			if _, err := io.Copy(io.Discard, z); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrBackup, err)
			}
			return info, nil
		default:
			if err := unpackFile(root, t, h); err != nil {
				return nil, err
			}
		}
	}
}

func unpackFile(root *os.Root, t *tar.Reader, h *tar.Header) error {
	if h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) {
		return fmt.Errorf("%w: it holds %q", ErrBackup, h.Name)
	}
	if dir := filepath.Dir(h.Name); dir != "." {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	file, err := root.OpenFile(h.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode).Perm())
	if err != nil {
		return err
	}
	in := &backupReader{r: t}
	_, err = io.Copy(file, in)
	if in.err != nil {
		err = fmt.Errorf("%w: %w", ErrBackup, in.err)
	}
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = root.Chtimes(h.Name, h.ModTime, h.ModTime) // keys are dropped by the time they were made
	}
	return err
}

// backupReader keeps the error of reading, to tell it from one of writing.
type backupReader struct {
	r   io.Reader
	err error
}

func (b *backupReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}
