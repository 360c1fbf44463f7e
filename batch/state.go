package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"daybook/batch/seal"
	"daybook/sink"
)

// ErrBusy says that another process holds the data folder.
var ErrBusy = errors.New("another daybook is at work with this data folder")

// state is the data folder: what Daybook remembers between two runs. All of it but the quarantine and a standing spool can be rebuilt from the
// store.
//
//	lock                      held while a process is at work
//	ledger/TRAIL/00000001/    manifest.json and SHA256SUMS.note of each seal, as they are in the store
//	keys/TRAIL/DAY/           the keys of sealed events, to recognise what is sent again
//	journal/TRAIL.json        the seal that is being made, if one is
//	staging/TRAIL/            its files
//	carry.json                counts that no seal has told yet
//	log/                      the store's log as far as it is known here
//	anchors.json              which anchor has which head of it
//	locks.json                until when objects of it are locked that all later seals need
//	runs/                     the sorter's, removed at each start
//	quarantine/
//	spool.id, spool.lost      which spool is this folder's, and which were given up
//	spool/                    events taken in by `import` that are not sealed yet
type state struct {
	dir    string
	lock   *os.File
	carry  sync.Mutex // held while carry.json is read and written again
	handed int64      // under carry: up to which run a seal that is being made, or was, tells what was counted
}

func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unwritable(dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	if err := tryLock(lock); err != nil {
		_ = lock.Close() // nothing was written
		return nil, fmt.Errorf("%s: %w", dir, ErrBusy)
	}
	s := &state{dir: dir, lock: lock}
	if err := os.RemoveAll(s.path("runs")); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(s.path("runs"), 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return s, nil
}

// HasSealed reports whether a data folder remembers seals, of which the keys were made before.
func HasSealed(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "ledger"))
	return err == nil
}

// unwritable is why a data folder can't be used.
func unwritable(dir string, err error) error {
	err = fmt.Errorf("data folder: %w", err)
	if !errors.Is(err, syscall.EROFS) {
		return err
	}
	return &sink.HintError{Err: err, Hint: fmt.Sprintf("%s is on a file system that is mounted read-only, as one is that found errors on its disk: mount it for writing and start again; what was acknowledged is there", dir)}
}

func (s *state) close() error { return s.lock.Close() }

func (s *state) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *state) ledgerDir(trail string) string  { return s.path("ledger", seal.EncodeName(trail)) }
func (s *state) stagingDir(trail string) string { return s.path("staging", seal.EncodeName(trail)) }
func (s *state) journalPath(trail string) string {
	return s.path("journal", seal.EncodeName(trail)+".json")
}
func (s *state) keysDir(trail string) string { return s.path("keys", seal.EncodeName(trail)) }

// FolderFor names the data folder of an export to where, below base: a readable end and a hash, so that no two destinations share one.
func FolderFor(base, where string) string {
	sum := sha256.Sum256([]byte(where))
	return filepath.Join(base, seal.EncodeName(filepath.Base(where))+"-"+hex.EncodeToString(sum[:6]))
}

// WriteFile puts data under path so that after a crash either the old content is there or all of the new.
func WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
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

// syncDir makes the names in dir durable, and the name of dir itself.
func syncDir(dir string) error {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		f, err := os.Open(d)
		if err != nil {
			return err
		}
		err = f.Sync()
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncTree makes the names of all files below dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncDir(path)
	})
}
