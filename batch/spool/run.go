package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"os"
	"slices"

	"daybook/event"
)

// run is a file of sorted records, with the place of each trail's day in it. A record is
//
//	key length uvarint | row length uvarint | flags 1 | key | row
type run struct {
	file     *os.File
	size     int64
	segments []segment // by trail and day
}

type segment struct {
	trail    uint16
	day      event.Day
	off, end int64
}

// flag bits of a record.
const (
	flagOrdinal = 1 << iota // the id ends in OrdinalDigits zeros, to be replaced by the event's ordinal among equals
	flagSuspect
)

const (
	runBuffer  = 256 << 10
	readBuffer = 64 << 10
	// smallRow is the longest row that a reader keeps in its buffer. Longer ones are read when they are handed out, since many runs may have theirs in
	// the same place.
	smallRow = readBuffer / 2
	maxHead  = 2*binary.MaxVarintLen32 + 1
)

func appendHead(dst []byte, keyLen, rowLen int, flags byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(keyLen))
	dst = binary.AppendUvarint(dst, uint64(rowLen))
	return append(dst, flags)
}

// splitRecord takes a whole record apart.
func splitRecord(record []byte) (flags byte, key, row []byte) {
	keyLen, n := binary.Uvarint(record)
	_, m := binary.Uvarint(record[n:])
	head := n + m + 1
	return record[head-1], record[head : head+int(keyLen)], record[head+int(keyLen):]
}

func (r *run) remove() error {
	err := r.file.Close()
	if rmErr := os.Remove(r.file.Name()); err == nil {
		err = rmErr
	}
	return err
}

// find returns the segment of a trail's day.
func (r *run) find(trail uint16, day event.Day) (segment, bool) {
	i, found := slices.BinarySearchFunc(r.segments, segment{trail: trail, day: day}, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.trail, b.trail), cmp.Compare(a.day, b.day))
	})
	if !found {
		return segment{}, false
	}
	return r.segments[i], true
}

// runWriter writes the records of a run.
type runWriter struct {
	file     *os.File
	buf      []byte
	off      int64
	segments []segment
}

func newRunWriter(dir string, buf []byte) (*runWriter, error) {
	file, err := os.CreateTemp(dir, "run-*")
	if err != nil {
		return nil, err
	}
	if buf == nil {
		buf = make([]byte, 0, runBuffer)
	}
	return &runWriter{file: file, buf: buf[:0]}, nil
}

// add writes a record of that trail's day, which comes in one or more parts.
func (o *runWriter) add(trail uint16, day event.Day, parts ...[]byte) error {
	if n := len(o.segments); n == 0 || o.segments[n-1].trail != trail || o.segments[n-1].day != day {
		here := o.off + int64(len(o.buf))
		if n > 0 {
			o.segments[n-1].end = here
		}
		o.segments = append(o.segments, segment{trail: trail, day: day, off: here})
	}
	for _, part := range parts {
		if len(part) > cap(o.buf)-len(o.buf) {
			if err := o.flush(); err != nil {
				return err
			}
		}
		if len(part) > cap(o.buf) {
			n, err := o.file.Write(part)
			o.off += int64(n)
			if err != nil {
				return err
			}
			continue
		}
		o.buf = append(o.buf, part...)
	}
	return nil
}

func (o *runWriter) flush() error {
	n, err := o.file.Write(o.buf)
	o.off += int64(n)
	o.buf = o.buf[:0]
	return err
}

// finish returns the run.
func (o *runWriter) finish() (*run, error) {
	if err := o.flush(); err != nil {
		return nil, err
	}
	if n := len(o.segments); n > 0 {
		o.segments[n-1].end = o.off
	}
	return &run{file: o.file, size: o.off, segments: o.segments}, nil
}

// abandon removes what was written, after an error.
func (o *runWriter) abandon() {
	_ = (&run{file: o.file}).remove() // the first error is what matters
}

// reader goes through a segment of a run.
type reader struct {
	file     io.ReaderAt
	off, end int64 // what of the segment is not in buf yet
	buf      []byte
	pos      int

	flags  byte
	sort   sortKey
	key    []byte
	row    []byte // nil if the row is not in buf
	rowLen int
	rowOff int64 // of a row that is not in buf
}

func (r *reader) reset(file io.ReaderAt, off, end int64) {
	*r = reader{file: file, off: off, end: end, buf: r.buf[:0]}
	if size := int(min(readBuffer, end-off)); cap(r.buf) < size {
		r.buf = make([]byte, 0, size)
	}
}

// next reads the next record; false at the end.
func (r *reader) next() (bool, error) {
	if r.pos == len(r.buf) && r.off == r.end {
		return false, nil
	}
	for !r.parse() {
		if r.off == r.end {
			return false, io.ErrUnexpectedEOF
		}
		if err := r.fill(); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r *reader) parse() bool {
	buf := r.buf[r.pos:]
	keyLen, n := binary.Uvarint(buf)
	if n <= 0 {
		return false
	}
	rowLen, m := binary.Uvarint(buf[n:])
	if m <= 0 {
		return false
	}
	head := n + m + 1
	rowAt := head + int(keyLen)
	have := len(buf)
	r.rowLen = int(rowLen)
	if rowLen > smallRow {
		if have < rowAt {
			return false
		}
		r.row = nil
		r.rowOff = r.off - int64(have-rowAt)
		if skipped := r.rowLen - (have - rowAt); skipped > 0 { // it ends beyond the buffer
			r.off += int64(skipped)
			r.pos = len(r.buf)
		} else {
			r.pos += rowAt + r.rowLen
		}
	} else {
		if have < rowAt+r.rowLen {
			return false
		}
		r.row = buf[rowAt : rowAt+r.rowLen]
		r.pos += rowAt + r.rowLen
	}
	r.flags = buf[head-1]
	r.key = buf[head:rowAt]
	r.sort = sortKeyOf(r.key)
	return true
}

// fill reads on, keeping what is not parsed yet.
func (r *reader) fill() error {
	kept := len(r.buf) - r.pos
	size := int(min(int64(max(readBuffer, 2*kept)), int64(kept)+r.end-r.off))
	if cap(r.buf) < size {
		grown := make([]byte, kept, size)
		copy(grown, r.buf[r.pos:])
		r.buf = grown
	} else {
		copy(r.buf[:kept], r.buf[r.pos:])
		r.buf = r.buf[:kept]
	}
	r.pos = 0
	n := int(min(int64(cap(r.buf)-kept), r.end-r.off))
	got, err := r.file.ReadAt(r.buf[kept:kept+n], r.off)
	r.off += int64(got)
	r.buf = r.buf[:kept+got]
	if err == io.EOF && got == n {
		err = nil
	}
	return err
}

// loadRow returns the row of the record, read into scratch if need be.
func (r *reader) loadRow(scratch *[]byte) ([]byte, error) {
	if r.row != nil || r.rowLen == 0 {
		return r.row, nil
	}
	if cap(*scratch) < r.rowLen {
		*scratch = make([]byte, r.rowLen)
	}
	row := (*scratch)[:r.rowLen]
	_, err := io.ReadFull(io.NewSectionReader(r.file, r.rowOff, int64(r.rowLen)), row)
	return row, err
}

// rowReader reads the row of the record piece by piece.
func (r *reader) rowReader() io.Reader {
	if r.row != nil {
		return bytes.NewReader(r.row)
	}
	return io.NewSectionReader(r.file, r.rowOff, int64(r.rowLen))
}

// compareReaders orders records by key. Those of one event are ordered by the rest, so that which of them is handed out does not depend on the run
// that it is in.
func compareReaders(a, b *reader) (int, error) {
	if c := a.sort.compare(&b.sort); c != 0 {
		return c, nil
	}
	if c := bytes.Compare(a.key[groupLen:], b.key[groupLen:]); c != 0 {
		return c, nil
	}
	if a.row != nil && b.row != nil {
		return cmp.Or(bytes.Compare(a.row, b.row), cmp.Compare(a.flags, b.flags)), nil
	}
	c, err := compareStreams(a.rowReader(), b.rowReader())
	return cmp.Or(c, cmp.Compare(a.flags, b.flags)), err
}

func compareStreams(a, b io.Reader) (int, error) {
	bufA, bufB := make([]byte, readBuffer), make([]byte, readBuffer)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if c := bytes.Compare(bufA[:n], bufB[:m]); c != 0 {
			return c, nil
		}
		for _, err := range []error{errA, errB} {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return 0, nil // equal so far means that both end here
			}
			if err != nil {
				return 0, err
			}
		}
	}
}
