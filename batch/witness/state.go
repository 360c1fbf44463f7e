package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/sink"
)

// state is the state folder. Frozen:
//
//	lock                    held while a process is at work
//	index                   which logs there are files of: a signed note by the witness's key of
//	                          daybook witness state 1
//	                          <origin>              one a line, in order
//	logs/<origin>.<hash>    the newest checkpoint of a log: a signed note by the log and, last, the cosignature of the witness. The origin is encoded as in keys
//	                        of a store, the hash is 16 hex digits of its SHA-256. A log that has sent none yet is of size 0.
//
// All of it is signed by the witness, so that damage shows; a file that the index tells of and that is missing shows, too. A file is written under another
// name, synced, and renamed; the folder is synced after. A log's file is made before the index tells of it.
type state struct {
	dir    string
	lock   *os.File
	signer seal.Signer                  // of the index
	cosign *torchwood.CosignatureSigner // of checkpoints
	before func(op, name string) error  // ahead of each operation on the file system; tests make it fail
	mu     sync.Mutex                   // guards origins
	known  map[string]bool              // guarded by mu: what the index tells of
	log    *slog.Logger
}

const (
	indexTitle = "daybook witness state 1"
	maxIndex   = 1_000_000 // what a signed note may have
	logsDir    = "logs"
	tempPrefix = ".new-"
	dirMode    = 0o700
)

// openState takes the folder and checks every file that it must have.
func openState(dir string, signer seal.Signer, cosign *torchwood.CosignatureSigner, log *slog.Logger) (s *state, err error) {
	s = &state{dir: dir, signer: signer, cosign: cosign, known: map[string]bool{}, log: log, before: func(string, string) error { return nil }}
	if err := os.MkdirAll(filepath.Join(dir, logsDir), dirMode); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if s.lock, err = takeLock(filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *state) close() error { return s.lock.Close() }

func (s *state) load() error {
	if err := s.clean(); err != nil {
		return err
	}
	text, err := s.readIndex()
	if errors.Is(err, fs.ErrNotExist) {
		return s.begin()
	}
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != indexTitle {
		return s.unfit("index", fmt.Errorf("it begins with %.60q: another version wrote it", lines[0]))
	}
	for _, origin := range lines[1:] {
		if _, err := s.read(origin); err != nil {
			return err
		}
		s.known[origin] = true
	}
	return nil
}

// begin makes the index of a folder that has none: only a new one may be so.
func (s *state) begin() error {
	files, err := os.ReadDir(filepath.Join(s.dir, logsDir))
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	for _, f := range files {
		// A crash can come between a log's first file and the index, but then the index of no logs is there.
		return s.unfit("index", fmt.Errorf("it is missing, but there is %s/%s", logsDir, f.Name()))
	}
	s.log.Warn("new state folder: this witness has seen no checkpoint yet", "dir", s.dir, "key", s.cosign.Verifier().String())
	return s.writeIndex()
}

// clean removes what a crash left half written.
func (s *state) clean() error {
	for _, dir := range []string{s.dir, filepath.Join(s.dir, logsDir)} {
		left, err := filepath.Glob(filepath.Join(escapeGlob(dir), tempPrefix+"*"))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("state folder: %w", err)
			}
		}
	}
	return nil
}

func escapeGlob(dir string) string {
	if runtime.GOOS == "windows" {
		return dir // the backslash is no escape there
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// unfit says that a file is not what the witness left there. One that only cannot be read is another matter.
func (s *state) unfit(name string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state folder: %w", err)
	}
	return &sink.HintError{
		Err: fmt.Errorf("%s: %w: %w", filepath.Join(s.dir, name), ErrState, err),
		Hint: "what this witness cosigned is not known any more, and it must not cosign with this key again: an earlier copy of the folder would make it contradict itself. " +
			"Make a new key and a new folder, and tell those who trust the old key why",
	}
}

func (s *state) readIndex() (string, error) {
	data, err := readFile(filepath.Join(s.dir, "index"), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err != nil {
		return "", s.unfit("index", err)
	}
	n, err := note.Open(data, seal.Verifiers(s.signer.Public()))
	if err != nil {
		return "", s.unfit("index", fmt.Errorf("not signed by %s: %w", s.signer.Public(), err))
	}
	return n.Text, nil
}

func (s *state) writeIndex() error {
	origins := make([]string, 0, len(s.known))
	for origin := range s.known {
		origins = append(origins, origin)
	}
	slices.Sort(origins)
	text := strings.Join(append([]string{indexTitle}, origins...), "\n") + "\n"
	data, err := note.Sign(&note.Note{Text: text}, s.signer)
	if err != nil {
		return fmt.Errorf("sign the index of the state folder: %w", err)
	}
	return s.write("index", data)
}

// adopt returns the newest checkpoint of a log; one that was never heard of has size 0 from now on.
func (s *state) adopt(origin string) (torchwood.Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[origin] {
		return s.read(origin)
	}
	c, err := s.read(origin)
	if errors.Is(err, fs.ErrNotExist) {
		empty := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: 0, Hash: sha256.Sum256(nil)}}
		var signed []byte
		if signed, err = note.Sign(&note.Note{Text: empty.String()}, s.cosign); err != nil {
			return empty, fmt.Errorf("sign the state of %s: %w", origin, err)
		}
		c, err = empty, s.put(origin, signed)
	}
	if err != nil {
		return c, err
	}
	s.known[origin] = true
	return c, s.writeIndex()
}

func logName(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(logsDir, seal.EncodeName(origin)+"."+hex.EncodeToString(sum[:8]))
}

// read returns the newest checkpoint of a log. One without a file is fs.ErrNotExist as well as ErrState.
func (s *state) read(origin string) (torchwood.Checkpoint, error) {
	name := logName(origin)
	data, err := readFile(filepath.Join(s.dir, name), 2*MaxBody)
	if err != nil {
		return torchwood.Checkpoint{}, s.unfit(name, err)
	}
	n, err := note.Open(data, note.VerifierList(s.cosign.Verifier()))
	if err != nil {
		return torchwood.Checkpoint{}, s.unfit(name, fmt.Errorf("not cosigned by this witness: %w", err))
	}
	c, err := torchwood.ParseCheckpoint(n.Text)
	if err == nil && c.Origin != origin {
		err = fmt.Errorf("it is of the log %s", c.Origin)
	}
	if err != nil {
		return torchwood.Checkpoint{}, s.unfit(name, err)
	}
	return c, nil
}

// put makes a cosigned checkpoint the newest of its log, on stable storage.
func (s *state) put(origin string, signed []byte) error { return s.write(logName(origin), signed) }

// errUnknown says that either the old content of a file is on the disk or the new.
var errUnknown = errors.New("what is on the disk is unknown")

// write replaces a file, so that after a crash either its old content is there or all of the new, and the new when it returns. After errUnknown either may be, after
// another error the old is.
func (s *state) write(name string, data []byte) (err error) {
	path := filepath.Join(s.dir, name)
	if err := s.before("create", name); err != nil {
		return fmt.Errorf("state folder: create %s: %w", name, err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	steps := []struct {
		op      string
		do      func() error
		unknown bool
	}{
		{"write", func() error { _, err := temp.Write(data); return err }, false},
		{"sync", temp.Sync, false},
		{"close", temp.Close, false},
		{"rename", func() error { return os.Rename(temp.Name(), path) }, true},
		{"sync folder", func() error { return syncDir(filepath.Dir(path)) }, true},
	}
	for _, step := range steps {
		err := s.before(step.op, name)
		if err == nil {
			err = step.do()
		}
		if err != nil {
			_ = temp.Close()           // it may be closed, and the first error is what matters
			_ = os.Remove(temp.Name()) // likewise; it is removed at the next start
			if step.unknown {
				err = fmt.Errorf("%w: %w", errUnknown, err)
			}
			return fmt.Errorf("state folder: %s %s: %w", step.op, name, err)
		}
	}
	return nil
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
	return errors.Join(err, d.Close())
}

// errSize says that a file is larger than any that the witness writes.
var errSize = errors.New("larger than it can be")

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was read from
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: over %d bytes", errSize, limit)
	}
	return data, err
}
