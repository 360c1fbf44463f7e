package intake

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Quarantine is where records lie that could not be read, just as they came: it may hold secrets, and so it is local, its files are for their
// owner only, and they expire.
//
// Each run that meets such records writes two files: NAME.records has their bytes one after the other, NAME.jsonl a line for each:
//
//	{"file":"in.jsonl","line":7,"reason":"…","sha256":"…","offset":0,"size":120}
//
// Both are synced by Close, and by Settle, after which more may be added for FileSpan.
type Quarantine struct {
	dir  string
	name string

	mu      sync.Mutex
	records *quarantineFile // nil before the first record
	index   *quarantineFile
	made    bool // its files were
	named   bool // and their names are durable
	offset  int64
	entries []QuarantineEntry // at most maxTold
	count   int64
	hashes  []string // at most maxHashes
	err     error
}

// QuarantineEntry is a record in quarantine.
type QuarantineEntry struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Reason string `json:"reason"`
	SHA256 string `json:"sha256"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size"`
}

// FileSpan is for how long a quarantine may be added to: its files expire by when they were begun.
const FileSpan = time.Hour

const (
	maxTold   = 20   // entries kept to be told on the screen
	maxHashes = 1000 // hashes kept to be told in the manifest
)

// NewQuarantine returns a quarantine below dir, whose files bear the time now. Nothing is written before the first record.
func NewQuarantine(dir string, now time.Time) *Quarantine {
	return &Quarantine{dir: dir, name: now.UTC().Format("20060102T150405.000000000Z")}
}

// Add puts a record away. data and then rest (which may be nil) are its bytes.
func (q *Quarantine) Add(file string, line int, reason string, data []byte, rest io.Reader) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = q.add(file, line, reason, data, rest)
	}
	return q.err
}

func (q *Quarantine) add(file string, line int, reason string, data []byte, rest io.Reader) error {
	if q.records == nil {
		if err := q.create(); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	hash := sha256.New()
	hash.Write(data) // never fails
	if _, err := q.records.Write(data); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	size := int64(len(data))
	if rest != nil {
		in := &readErrors{r: rest}
		n, err := io.Copy(io.MultiWriter(q.records, hash), in)
		if err != nil && in.err == nil { // ours to write: disk full and the like
			return fmt.Errorf("quarantine: %w", err)
		}
		if in.err != nil {
			reason += fmt.Sprintf(" (and the rest of it can't be read: %v)", in.err)
		}
		size += n
	}
	return q.enter(QuarantineEntry{file, line, reason, hex.EncodeToString(hash.Sum(nil)), q.offset, size})
}

// AddPart puts the beginning of a record away; sum and size are those of the whole of it.
func (q *Quarantine) AddPart(file string, line int, reason string, data []byte, sum [sha256.Size]byte, size int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = q.addPart(file, line, reason, data, sum, size)
	}
	return q.err
}

func (q *Quarantine) addPart(file string, line int, reason string, data []byte, sum [sha256.Size]byte, size int64) error {
	if q.records == nil {
		if err := q.create(); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	if _, err := q.records.Write(data); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if n := int64(len(data)); n < size {
		reason += fmt.Sprintf(" (%d of its %d bytes are kept)", n, size)
	}
	return q.enter(QuarantineEntry{file, line, reason, hex.EncodeToString(sum[:]), q.offset, int64(len(data))})
}

// enter adds an entry to the index, and to what is told.
func (q *Quarantine) enter(entry QuarantineEntry) error {
	q.offset += entry.Size
	row, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if _, err := q.index.Write(append(row, '\n')); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	q.count++
	if len(q.entries) < maxTold {
		q.entries = append(q.entries, entry)
	}
	if len(q.hashes) < maxHashes {
		q.hashes = append(q.hashes, entry.SHA256)
	}
	return nil
}

// readErrors keeps the error of reading, to tell it from one of writing.
type readErrors struct {
	r   io.Reader
	err error
}

func (r *readErrors) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (q *Quarantine) create() error {
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return err
	}
	records, err := createQuarantineFile(q.RecordsPath())
	if err != nil {
		return err
	}
	index, err := createQuarantineFile(q.Path())
	if err != nil {
		_ = records.file.Close() // nothing was written
		_ = os.Remove(q.RecordsPath())
		return err
	}
	q.records, q.index, q.made = records, index, true
	return nil
}

// quarantineFile is a file for its owner only.
type quarantineFile struct {
	*bufio.Writer
	file *os.File
}

func createQuarantineFile(path string) (*quarantineFile, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return &quarantineFile{bufio.NewWriterSize(file, 64<<10), file}, nil
}

func (f *quarantineFile) sync() error { return errors.Join(f.Flush(), f.file.Sync()) }

func (f *quarantineFile) close() error { return errors.Join(f.sync(), f.file.Close()) }

// Close puts what was added on stable storage.
func (q *Quarantine) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.records == nil {
		return q.err
	}
	err := errors.Join(q.records.close(), q.index.close(), q.syncNames())
	q.records, q.index = nil, nil
	if q.err == nil && err != nil {
		q.err = fmt.Errorf("quarantine: %w", err)
	}
	return q.err
}

// Settle puts what was added on stable storage, and returns how many records came since it was last called, and the SHA-256 of the first of these, sorted; they are counted
// from anew. After an error nothing more can be added.
func (q *Quarantine) Settle() (n int64, hashes []string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, hashes = q.count, q.hashes
	slices.Sort(hashes)
	q.count, q.hashes = 0, nil
	if q.records == nil || q.err != nil || n == 0 {
		return n, hashes, q.err
	}
	if err := errors.Join(q.records.sync(), q.index.sync(), q.syncNames()); err != nil {
		q.err = fmt.Errorf("quarantine: %w", err)
	}
	return n, hashes, q.err
}

// syncNames makes the files' names durable.
func (q *Quarantine) syncNames() error {
	if q.named {
		return nil
	}
	err := errors.Join(syncDir(q.dir), syncDir(filepath.Dir(q.dir)))
	q.named = err == nil
	return err
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Discard removes what was added, also after Close: it will come again.
func (q *Quarantine) Discard() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.records != nil {
		_ = q.records.file.Close() // it goes
		_ = q.index.file.Close()
		q.records, q.index = nil, nil
	}
	if !q.made {
		return nil
	}
	var errs []error
	for _, path := range []string{q.RecordsPath(), q.Path()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("quarantine: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Count is how many records were added, since Settle was last called.
func (q *Quarantine) Count() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// First returns the first entries, by file and line, to be told to the user.
func (q *Quarantine) First() []QuarantineEntry {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := slices.Clone(q.entries)
	slices.SortFunc(list, func(a, b QuarantineEntry) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	return list
}

// Hashes returns the SHA-256 of the first records, sorted.
func (q *Quarantine) Hashes() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := slices.Clone(q.hashes)
	slices.Sort(list)
	return list
}

// Path is the index file of this run's records.
func (q *Quarantine) Path() string { return filepath.Join(q.dir, q.name+".jsonl") }

// RecordsPath is the file that holds them.
func (q *Quarantine) RecordsPath() string { return filepath.Join(q.dir, q.name+".records") }

// Expire removes the files of runs in which no record can be younger than keep.
func Expire(dir string, now time.Time, keep time.Duration) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	for _, e := range entries {
		stamp, _, _ := strings.Cut(e.Name(), "Z.")
		made, err := time.Parse("20060102T150405.000000000", stamp)
		if err != nil || now.Sub(made) < keep+FileSpan {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}
