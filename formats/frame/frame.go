// Package frame splits a stream of JSON into its records, in constant memory.
//
// It looks at brackets, strings and line ends only: a record that is no JSON is handed on like any other, and the decoder says what is wrong
// with it. Nothing is dropped but white space and commas between records, and what stands around an array of records.
//
// A record is handed on as a view of a buffer that is used again for the next one. The buffer begins small, for streams that are, holds a block of
// 256 KiB from then on, and grows as far as the limit on the length of a record where a record needs it. A longer record is handed on as its first bytes and a reader of what follows.
//
// A read error comes after everything that was read before it; a record that it cut off is handed on as far as it goes.
package frame

import (
	"bytes"
	"errors"
	"io"
	"iter"

	"daybook/formats"
)

const (
	// block is how much is asked of a reader at a time.
	block = 256 << 10
	// small is how much is asked of it first: of a stream that ends within, no more is ever needed.
	small = 8 << 10
	// maxEmptyReads is how often in a row a reader may return nothing before it counts as broken.
	maxEmptyReads = 100
)

// Lines splits r into its lines. Lines of white space alone are counted and skipped. White space around a line is no part of the record, nor is
// a byte order mark at the start; the last line needs no line feed.
func Lines(r io.Reader, limit int) iter.Seq2[formats.Record, error] {
	return func(yield func(formats.Record, error) bool) {
		s := newScanner(r, limit, yield)
		for s.more() && s.yieldLine() {
		}
		s.yieldReadError()
	}
}

// scanner is a window on a stream: buf[keep:end] is at hand, buf[keep:pos] has been looked at.
type scanner struct {
	r     io.Reader
	limit int
	yield func(formats.Record, error) bool
	// stopped is set once yield said so.
	stopped bool

	buf            []byte
	keep, pos, end int
	// held is the end of what was handed on of an oversized record, and must stay where it is; 0 otherwise.
	held int
	// err is what ended the stream.
	err error
	// line is the line that buf[counted] stands on. counted is never above keep.
	line, counted int

	state
}

// step looks at the bytes from pos on for the end of a record, and moves pos. It reports whether pos is that end; if not, pos is end.
type step func(*scanner) bool

func newScanner(r io.Reader, limit int, yield func(formats.Record, error) bool) *scanner {
	s := &scanner{r: r, limit: max(limit, 0), yield: yield, buf: make([]byte, small), line: 1}
	for s.end < 3 && s.fill() {
	}
	if bytes.HasPrefix(s.buf[:s.end], []byte("\ufeff")) {
		s.drop(3)
	}
	return s
}

// fill reads on, and reports whether there is more than there was. What is before keep may move or go.
func (s *scanner) fill() bool {
	if s.err != nil {
		return false
	}
	if s.end == len(s.buf) && len(s.buf) < block {
		s.grow(block)
	}
	if s.keep > s.held && (s.keep == s.end || s.end == len(s.buf)) {
		s.count(s.keep)
		moved := s.keep - s.held
		copy(s.buf[s.held:], s.buf[s.keep:s.end])
		s.keep, s.counted = s.held, s.held
		s.pos -= moved
		s.end -= moved
	}
	if s.end == len(s.buf) {
		s.grow(max(len(s.buf)+block, min(2*len(s.buf), s.limit+2*block)))
	}
	for range maxEmptyReads {
		n, err := s.r.Read(s.buf[s.end:min(len(s.buf), s.end+block)])
		s.end += n
		s.err = err
		if n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

func (s *scanner) grow(size int) {
	grown := make([]byte, size)
	copy(grown, s.buf[:s.end])
	s.buf = grown
}

// more reports whether there is a byte at pos, reading on if need be.
func (s *scanner) more() bool { return s.pos < s.end || s.fill() }

// count counts lines up to buf[to].
func (s *scanner) count(to int) {
	if to > s.counted {
		s.line += bytes.Count(s.buf[s.counted:to], []byte{'\n'})
		s.counted = to
	}
}

// drop goes past everything up to buf[to].
func (s *scanner) drop(to int) {
	s.count(to)
	s.keep, s.pos = to, to
}

// put hands on a record that begins at buf[counted], or an error.
func (s *scanner) put(rec formats.Record, err error) { s.putAt(s.line, rec, err) }

func (s *scanner) putAt(line int, rec formats.Record, err error) {
	rec.Line = line
	s.stopped = s.stopped || !s.yield(rec, err)
}

func (s *scanner) yieldReadError() {
	if !s.stopped && s.err != nil && !errors.Is(s.err, io.EOF) {
		s.put(formats.Record{}, s.err)
	}
}

// yieldRecord hands on the record that begins at pos and ends where next says, or with the stream, and reports whether to go on. White space
// around the record is no part of it, and a record of nothing else is skipped. Where next found an array of records instead, nothing is handed on.
//
// What counts as long does not depend on how the reader cuts the stream: a record goes by its length, white space at its end (but for a line's
// end) by having been seen.
func (s *scanner) yieldRecord(next step) bool {
	s.drop(s.pos)
	for {
		found := next(s)
		if s.wrapper {
			s.drop(s.pos)
			return true
		}
		from, to := s.trimmed(found)
		if found && to-from > s.limit || s.pos-from > s.limit+len("\r\n") {
			return s.yieldLong(from, found, next)
		}
		if !found {
			s.count(from)
			s.keep = from
			if s.fill() {
				continue
			}
			from, to = s.trimmed(true)
			if to-from > s.limit {
				return s.yieldLong(from, true, next)
			}
		}
		after := s.pos
		if from < to {
			s.count(from)
			s.put(formats.Record{Data: s.buf[from:to:to]}, nil)
		}
		s.drop(after)
		return !s.stopped
	}
}

// trimmed returns what buf[keep:pos] is without white space at its start and, if it is whole, at its end.
func (s *scanner) trimmed(whole bool) (from, to int) {
	from, to = s.keep, s.pos
	for whole && to > from && isSpace(s.buf[to-1]) {
		to--
	}
	for from < to && isSpace(s.buf[from]) {
		from++
	}
	return from, to
}

// yieldLong hands on the record that begins at buf[from] and is longer than the limit: its first bytes, and a reader of the rest. The record
// ends at pos if found, else next goes on looking there.
func (s *scanner) yieldLong(from int, found bool, next step) bool {
	s.count(from)
	cut := from + s.limit
	r := &rest{s: s, next: next, done: found}
	s.long = true
	line := s.line
	s.count(cut)
	s.held, s.keep = cut, cut
	s.putAt(line, formats.Record{Data: s.buf[from:cut:cut], Rest: r}, nil)
	if !s.stopped {
		_, _ = io.Copy(io.Discard, r) // a read error stays in s.err
	}
	r.s = nil
	s.held = 0
	s.drop(s.pos)
	return !s.stopped
}

// rest reads what follows the first bytes of a long record: buf[keep:pos], then as far as next finds its end.
type rest struct {
	s    *scanner // nil once the next record was asked for
	next step
	done bool
}

func (r *rest) Read(p []byte) (int, error) {
	if r.s == nil {
		return 0, io.EOF
	}
	s := r.s
	for {
		// A line's end is no part of the record; it is held back for as long as it may be one.
		upto := s.pos
		if upto > s.keep && s.buf[upto-1] == '\n' {
			upto--
		}
		if upto > s.keep && s.buf[upto-1] == '\r' {
			upto--
		}
		if upto > s.keep {
			n := copy(p, s.buf[s.keep:upto])
			s.count(s.keep + n)
			s.keep += n
			return n, nil
		}
		if r.done {
			if s.err != nil && !errors.Is(s.err, io.EOF) && s.pos == s.end {
				return 0, s.err
			}
			return 0, io.EOF
		}
		r.done = !s.fill() || r.next(s)
	}
}

// yieldLine hands on the rest of the line at pos and reports whether to go on.
func (s *scanner) yieldLine() bool { return s.yieldRecord((*scanner).stepLine) }

// stepLine looks for the end of the line, past its line feed.
func (s *scanner) stepLine() bool {
	if i := bytes.IndexByte(s.buf[s.pos:s.end], '\n'); i >= 0 {
		s.pos += i + 1
		return true
	}
	s.pos = s.end
	return false
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
