package control

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"daybook/batch/seal"
)

// maxLine is longer than any line: a configuration's diff, which may be long, is cut far below it.
const maxLine = 4 << 20

// journal is the file of records, one a line, each synced before the next is written.
type journal struct {
	path   string
	file   *os.File
	before func(op string) error
	last   seal.Hash // guarded by Control.writing: of the newest line
	newest []byte    // until secure: the newest line
	torn   int64     // until secure: how many bytes after it a crash left

	mu      sync.RWMutex
	offsets []int64 // guarded by mu: where the line of record i+1 begins; the last is where the next will
}

// openJournal reads the journal and hands each record to apply. It changes nothing: secure does, and comes next.
func openJournal(path string, before func(op string) error, apply func(*record) error) (j *journal, err error) {
	if err := before("open"); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// Not O_APPEND: the last line is written again in its place.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, hint(fmt.Errorf("control: %w", err), hintAccess)
	}
	j = &journal{path: path, file: f, before: before, offsets: []int64{0}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	j.newest, j.torn, err = j.replay(apply)
	return j, err
}

// replay reads all lines, and returns the last, and how many bytes after it a crash left.
func (j *journal) replay(apply func(*record) error) (last []byte, torn int64, err error) {
	r := bufio.NewReaderSize(j.file, 64<<10)
	var line []byte
	for seq := int64(1); ; seq++ {
		line, err = readLine(r, line[:0])
		switch {
		case errors.Is(err, io.EOF):
			return last, int64(len(line)), nil // no line feed: it was never acknowledged
		case errors.Is(err, errLong):
			return nil, 0, j.damaged(seq, err)
		case err != nil:
			return nil, 0, hint(fmt.Errorf("%s: line %d: %w", j.path, seq, err), hintAccess)
		}
		rec, err := j.parse(line, seq)
		if err != nil {
			// Pages of a line that never reached the disk read as zeros, which no line holds.
			if _, end := r.Peek(1); errors.Is(end, io.EOF) && bytes.IndexByte(line, 0) >= 0 {
				return last, int64(len(line)), nil
			}
			return nil, 0, err
		}
		if err := apply(rec); err != nil {
			return nil, 0, j.damaged(seq, err)
		}
		j.grow(line)
		last = append(last[:0], line...)
	}
}

// secure cuts what a crash left behind the newest line, and makes sure of that line: what was read may be in memory only, after a sync that failed.
func (j *journal) secure(log *slog.Logger) error {
	end := j.offsets[len(j.offsets)-1]
	steps := []struct {
		op string
		do func() error
	}{
		{"truncate", func() error { return j.file.Truncate(end) }},
		{"write", func() error { _, err := j.file.WriteAt(j.newest, end-int64(len(j.newest))); return err }},
		{"sync", j.file.Sync},
		{"sync folder", func() error { return syncDir(filepath.Dir(j.path)) }},
	}
	if j.torn == 0 {
		steps = steps[1:]
	} else {
		log.Warn("control: a record that a crash left half written, and that nobody was told of, is cut", "file", j.path, "line", len(j.offsets), "bytes", j.torn)
	}
	for _, step := range steps {
		err := j.before(step.op)
		if err == nil {
			err = step.do()
		}
		if err != nil {
			return fmt.Errorf("control: %s %s: %w", step.op, j.path, err)
		}
	}
	j.newest, j.torn = nil, 0
	return nil
}

var errLong = errors.New("it is longer than any that is written")

// readLine appends the next line to buf, its line feed included.
func readLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		buf = append(buf, part...)
		switch {
		case !errors.Is(err, bufio.ErrBufferFull):
			return buf, err
		case len(buf) > maxLine:
			return buf, errLong
		}
	}
}

// parse reads the line of record seq, which follows the newest.
func (j *journal) parse(line []byte, seq int64) (*record, error) {
	r, err := parseRecord(line)
	switch {
	case err != nil:
		return nil, j.damaged(seq, err)
	case r.Seq != seq:
		return nil, j.damaged(seq, fmt.Errorf("it is record %d: lines are missing, doubled or out of order", r.Seq))
	case r.Previous != j.last:
		return nil, j.damaged(seq, errors.New("it follows another line than the one before it, which was altered or replaced"))
	}
	return r, nil
}

func parseRecord(line []byte) (*record, error) {
	r := new(record)
	if err := json.Unmarshal(line, r); err != nil {
		return nil, err
	}
	// encoding/json passes over unknown members and takes any case of a name: a comparison shows that.
	again, err := marshal(r)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(line, again) {
		return nil, errors.New("it is not as this version of Daybook writes it")
	}
	return r, nil
}

func (j *journal) damaged(line int64, err error) error {
	return hint(fmt.Errorf("%s: line %d: %w: %w", j.path, line, ErrDamaged, err),
		"nothing was changed. If a newer Daybook wrote it, use that one; else "+hintBackup+": what a damaged journal meant is not guessed")
}

const (
	hintAccess = "see to the disk, and to the owner and the rights of the file: what it holds is not known"
	hintBackup = "put the folder control/ of the last backup in the place of this one, with the service stopped (`daybook restore` into another folder has it)"
)

func (j *journal) grow(line []byte) {
	j.last = seal.Sum(line)
	j.mu.Lock()
	j.offsets = append(j.offsets, j.offsets[len(j.offsets)-1]+int64(len(line)))
	j.mu.Unlock()
}

// append writes r behind the newest line. An error that is ErrStopped leaves open what the disk holds; another has written nothing.
func (j *journal) append(r *record) error {
	r.Previous = j.last
	line, err := marshal(r)
	if err != nil {
		return fmt.Errorf("%w: record %d cannot be written: %w", ErrInvalid, r.Seq, err)
	}
	if len(line) > maxLine {
		return fmt.Errorf("%w: the record has %d bytes, at most %d are allowed", ErrInvalid, len(line), maxLine)
	}
	// Read back before it is written: what Open would refuse must not get there.
	if _, err := parseRecord(line); err != nil {
		return fmt.Errorf("%w: record %d cannot be read back: %w", ErrInvalid, r.Seq, err)
	}
	end := j.offsets[len(j.offsets)-1]
	for _, step := range []struct {
		op string
		do func() error
	}{
		{"write", func() error { _, err := j.file.WriteAt(line, end); return err }},
		{"sync", j.file.Sync},
	} {
		err := j.before(step.op)
		if err == nil {
			err = step.do()
		}
		if err != nil {
			return hint(fmt.Errorf("%w: %s %s: %w", ErrStopped, step.op, j.path, err),
				"see to the disk, then start Daybook again: it finds out whether the record was kept")
		}
	}
	j.grow(line)
	return nil
}

// read returns record seq, which was written.
func (j *journal) read(seq int64) (*record, error) {
	j.mu.RLock()
	from, to := j.offsets[seq-1], j.offsets[seq]
	j.mu.RUnlock()
	line := make([]byte, to-from)
	if _, err := j.file.ReadAt(line, from); err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", j.path, seq, err)
	}
	r, err := parseRecord(line)
	if err == nil && r.Seq != seq {
		err = fmt.Errorf("it is record %d", r.Seq)
	}
	if err != nil {
		return nil, j.damaged(seq, err)
	}
	return r, nil
}

// hash returns the SHA-256 of the line of record seq.
func (j *journal) hash(seq int64) (seal.Hash, error) {
	j.mu.RLock()
	from, to := j.offsets[seq-1], j.offsets[seq]
	j.mu.RUnlock()
	line := make([]byte, to-from)
	if _, err := j.file.ReadAt(line, from); err != nil {
		return seal.Hash{}, fmt.Errorf("%s: line %d: %w", j.path, seq, err)
	}
	return seal.Sum(line), nil
}

// records is how many there are.
func (j *journal) records() int64 { return int64(len(j.offsets)) - 1 }

func (j *journal) close() error { return j.file.Close() }

// syncDir makes the names in dir durable, and the name of dir itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be synced there
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		f, err := os.Open(d)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}
