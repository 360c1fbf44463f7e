package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"slices"

	"daybook/formats"
)

// JSON splits r into its JSON records. At any point the stream may go on with
//
//   - an object with a member that is named in arrays and holds an array: the elements of that array are the records. What else is in the object
//     is skipped, but must not take more than limit bytes before the array;
//   - an array: its elements are the records;
//   - any other object: it is a record itself.
//
// So delivered files, bare arrays, one record a line, and pretty-printed records one after the other are all read, one after the other too.
//
// Once an object has been found to fill its line, the stream is taken for one record a line: a line that is no JSON is a record of its own, and
// its neighbours are not hurt. The same holds for a first line that is broken: where an object goes on with an object at the start of a line and
// has no place for it, or a string goes past the end of its line, the line ends the record. Within an array a broken element is kept apart as
// long as its brackets balance. An array without an end gives what was complete, then its broken last element, then an error that is
// [io.ErrUnexpectedEOF].
func JSON(r io.Reader, limit int, arrays ...string) iter.Seq2[formats.Record, error] {
	var quoted [][]byte
	for _, name := range arrays {
		quoted = append(quoted, []byte(`"`+name+`"`))
	}
	return func(yield func(formats.Record, error) bool) {
		s := newScanner(r, limit, yield)
		s.arrays = quoted
		for s.toValue() {
			ok := false
			switch s.buf[s.pos] {
			case '{':
				ok = s.yieldObject()
			case '[':
				s.drop(s.pos + 1)
				ok = s.yieldElements()
			default:
				ok = s.yieldLine()
			}
			if !ok {
				break
			}
		}
		s.yieldReadError()
	}
}

// state is what the steps remember from one buffer to the next.
type state struct {
	// arrays are the names of members that hold the records, in quotes.
	arrays [][]byte
	// lines is set once the stream was seen to have one record a line.
	lines bool

	// long is set while a record is handed on that is longer than the limit.
	long bool
	// depth is how many brackets are open. The lowest bit of inner is set where the innermost is an array's, the next one for the one around that.
	depth int
	inner uint64
	// quote is set within a string, escape after its backslash.
	quote, escape bool

	// What follows is used for objects at the top, which may hold an array of records.

	// last is the last byte that was no white space. lineStart is set at the first byte of a line, manyLines if there was one.
	last                 byte
	lineStart, manyLines bool
	// name is where, from keep, the last string at depth 1 begins; negative if that is gone.
	name int
	// matched is set behind a member's name that is in arrays, and behind its colon.
	matched bool
	// wrapper is set when a step stopped past the opening bracket of an array of records, broken when it stopped where a line was cut off.
	wrapper, broken bool
	// tail is set behind an array of records, where lines mean nothing.
	tail bool
}

func (st *state) reset() { *st = state{arrays: st.arrays, lines: st.lines} }

// toValue goes to the next byte that is neither white space nor a comma; false at the end of the stream.
func (s *scanner) toValue() bool {
	for {
		for s.pos < s.end {
			if c := s.buf[s.pos]; !isSpace(c) && c != ',' {
				return true
			}
			s.pos++
		}
		s.drop(s.pos)
		if !s.fill() {
			return false
		}
	}
}

// yieldElements hands on the elements of the array whose opening bracket is behind, up to its closing one, and reports whether to go on.
func (s *scanner) yieldElements() bool {
	for s.toValue() {
		s.reset()
		next := (*scanner).stepScalar
		switch s.buf[s.pos] {
		case ']':
			s.drop(s.pos + 1)
			return true
		case '{', '[', '"':
			next = (*scanner).stepValue
		}
		if !s.yieldRecord(next) {
			return false
		}
	}
	return s.yieldTruncated("the array of records has no end")
}

// yieldTruncated ends the stream with an error, that of reading if there was one.
func (s *scanner) yieldTruncated(what string) bool {
	if errors.Is(s.err, io.EOF) {
		s.err = fmt.Errorf("%s: %w", what, io.ErrUnexpectedEOF)
	}
	return false
}

// yieldObject hands on the object at pos, or what an array in it holds, and reports whether to go on.
func (s *scanner) yieldObject() bool {
	s.reset()
	if s.lines && !s.lineMayWrap() {
		return s.yieldLine()
	}
	if !s.yieldRecord((*scanner).stepObject) {
		return false
	}
	switch {
	case s.wrapper:
		return s.yieldElements() && s.yieldTail()
	case s.broken:
		s.lines = true
	case !s.lines && !s.manyLines:
		for s.more() && (s.buf[s.pos] == ' ' || s.buf[s.pos] == '\t' || s.buf[s.pos] == '\r') {
			s.drop(s.pos + 1)
		}
		s.lines = s.more() && s.buf[s.pos] == '\n'
	}
	return true
}

// lineMayWrap reports whether the line at pos may be an object that holds an array of records: where it can't be seen as a whole, it may.
func (s *scanner) lineMayWrap() bool {
	s.drop(s.pos)
	for seen := 0; ; {
		i := bytes.IndexByte(s.buf[s.keep+seen:s.end], '\n')
		if i < 0 && s.end-s.keep <= s.limit {
			seen = s.end - s.keep
			if s.fill() {
				continue
			}
		}
		line := s.buf[s.keep:s.end]
		if i >= 0 {
			line = line[:seen+i]
		} else if len(line) > s.limit {
			return true
		}
		for _, name := range s.arrays {
			if bytes.Contains(line, name[1:]) { // the opening quote is too common a byte to look for first
				return true
			}
		}
		return false
	}
}

// yieldTail goes to the end of the object that the array of records before pos stands in, and reports whether to go on.
func (s *scanner) yieldTail() bool {
	for {
		s.reset()
		s.depth, s.last, s.tail = 1, ']', true
		for !s.stepObject() {
			if s.quote && s.depth == 1 && s.name >= 0 && s.pos-s.keep-s.name <= block {
				s.count(s.keep + s.name) // the name that has begun is needed
				s.keep += s.name
				s.name = 0
			} else {
				s.drop(s.pos)
				s.name = -1
			}
			if !s.fill() {
				return s.yieldTruncated("the object around the records has no end")
			}
		}
		s.drop(s.pos)
		if !s.wrapper {
			return true
		}
		if !s.yieldElements() {
			return false
		}
	}
}

// stepObject looks for the end of an object at the top, or for an array of records in it.
func (s *scanner) stepObject() bool {
	if s.lines && !s.tail && s.depth == 0 && s.last != 0 {
		return s.stepLine()
	}
	for i := s.pos; i < s.end; i++ {
		c := s.buf[i]
		if c == '\n' && !s.tail {
			s.manyLines, s.lineStart = true, true
			if s.quote || s.lines {
				s.broken = s.quote
				s.pos = i + 1
				return true
			}
			continue
		}
		if s.quote {
			switch {
			case s.escape:
				s.escape = false
			case c == '\\':
				s.escape = true
			case c == '"':
				s.quote = false
				s.matched = s.depth == 1 && s.mayWrap(i+1) && s.matches(i+1)
			}
			continue
		}
		if isSpace(c) {
			s.lineStart = false
			continue
		}
		if s.lineStart && c == '{' && (s.inner&1 == 0 || s.last != ',' && s.last != '[') {
			s.broken = true
			s.pos = i
			return true
		}
		s.lineStart = false
		switch c {
		case '"':
			s.quote = true
			s.name = i - s.keep
		case '{':
			s.depth++
			s.inner <<= 1
		case '[':
			if s.matched && s.last == ':' && s.mayWrap(i+1) {
				s.wrapper = true
				s.pos = i + 1
				return true
			}
			s.depth++
			s.inner = s.inner<<1 | 1
		case '}', ']':
			s.depth--
			s.inner >>= 1
		}
		s.matched = s.matched && c == ':' && s.last == '"'
		s.last = c
		if s.depth == 0 {
			s.pos = i + 1
			if s.lines && !s.tail {
				return s.stepLine()
			}
			return true
		}
	}
	s.pos = s.end
	return false
}

// mayWrap reports whether an array of records may begin at buf[i]. Beyond the limit it may not: by then the object has to be handed on.
func (s *scanner) mayWrap(i int) bool { return s.tail || !s.long && i-s.keep <= s.limit }

// matches reports whether the string that ends at buf[end] is in arrays.
func (s *scanner) matches(end int) bool {
	if s.name < 0 {
		return false
	}
	text := s.buf[s.keep+s.name : end]
	return slices.ContainsFunc(s.arrays, func(name []byte) bool { return bytes.Equal(name, text) })
}

// stepScalar looks for the end of what is no object, array or string: at least one byte, up to white space or a bracket, comma or quote.
func (s *scanner) stepScalar() bool {
	for i := s.pos; i < s.end; i++ {
		if s.depth > 0 && (isSpace(s.buf[i]) || bracket[s.buf[i]] != 0 || s.buf[i] == ',') {
			s.pos = i
			return true
		}
		s.depth = 1
	}
	s.pos = s.end
	return false
}

// bracket says what a byte means to stepValue.
var bracket = [256]int8{'{': 1, '[': 1, '}': -1, ']': -1, '"': 2}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stepValue looks for the end of an object, an array or a string.
func (s *scanner) stepValue() bool {
	b, i := s.buf[:s.end], s.pos
	depth, quote := s.depth, s.quote
	if s.escape && i < len(b) {
		s.escape = false
		i++
	}
	for {
		if quote {
			// Eight bytes at a time: x-ones&^x&highs marks the bytes of x that are zero; a mark may be wrong only above one that is right.
			for i+8 <= len(b) {
				w := binary.LittleEndian.Uint64(b[i:])
				q, e := w^(ones*'"'), w^(ones*'\\')
				mark := ((q-ones)&^q | (e-ones)&^e) & highs
				if mark != 0 {
					i += bits.TrailingZeros64(mark) / 8
					break
				}
				i += 8
			}
			for i < len(b) && b[i] != '"' && b[i] != '\\' {
				i++
			}
			if i == len(b) {
				break
			}
			if b[i] == '\\' {
				if i += 2; i > len(b) {
					i, s.escape = len(b), true
				}
				continue
			}
			i++
			quote = false
			if depth == 0 {
				s.pos = i
				return true
			}
		}
		for i < len(b) && bracket[b[i]] == 0 {
			i++
		}
		if i == len(b) {
			break
		}
		step := int(bracket[b[i]])
		i++
		if step == 2 {
			quote = true
			continue
		}
		depth += step
		if depth <= 0 {
			s.pos = i
			return true
		}
	}
	s.pos, s.depth, s.quote = len(b), depth, quote
	return false
}
