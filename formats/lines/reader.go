package lines

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf8"
)

// What may be wrong with a line as such.
var (
	ErrTooLong = errors.New("the line is too long")
	ErrNoEnd   = errors.New("the file ends within a line")
)

// readSize is a Reader's buffer once a file turns out to be longer than firstRead.
const (
	firstRead = 8 << 10
	readSize  = 128 << 10
)

// Reader reads lines that end in LF, one at a time, into one buffer that is used again. The buffer never holds more than twice the longest line that
// was allowed, beside readSize.
type Reader struct {
	r          io.Reader
	buf        []byte
	start, end int // what is read and not yet handed out
	seen       int // how much of it is known to hold no LF
	err        error
}

// NewReader returns a Reader from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next line without its LF. It holds until the next call. A line of more than limit bytes is ErrTooLong, and the next call goes on behind it;
// text after the last LF is ErrNoEnd. io.EOF follows the last line.
func (r *Reader) Next(limit int) ([]byte, error) {
	if i := bytes.IndexByte(r.buf[r.start+r.seen:r.end], '\n'); i >= 0 && r.seen+i <= limit {
		return r.take(r.seen + i), nil
	}
	return r.fillTo(limit)
}

func (r *Reader) take(n int) []byte {
	line := r.buf[r.start : r.start+n : r.start+n]
	r.start += n + 1
	r.seen = 0
	return line
}

// fillTo is Next where the buffer does not hold the line, or it is too long.
func (r *Reader) fillTo(limit int) ([]byte, error) {
	tooLong := false
	for {
		i := bytes.IndexByte(r.buf[r.start+r.seen:r.end], '\n')
		switch {
		case i >= 0 && (tooLong || r.seen+i > limit):
			r.take(r.seen + i)
			return nil, ErrTooLong
		case i >= 0:
			return r.take(r.seen + i), nil
		}
		if r.seen = r.end - r.start; tooLong || r.seen > limit {
			tooLong = true
			r.start, r.seen = r.end, 0 // none of it is wanted
		}
		switch {
		case r.err == nil:
			r.fill()
		case r.err != io.EOF:
			return nil, r.err
		case tooLong:
			return nil, ErrTooLong
		case r.seen > 0:
			r.start, r.seen = r.end, 0
			return nil, ErrNoEnd
		default:
			return nil, io.EOF
		}
	}
}

func (r *Reader) fill() {
	held, size := r.end-r.start, len(r.buf)
	switch {
	case r.buf == nil:
		size = firstRead
	case held == size:
		size = max(2*held, readSize)
	case r.end == size:
		size = max(size, readSize)
	}
	switch {
	case size > len(r.buf):
		grown := make([]byte, size)
		copy(grown, r.buf[r.start:r.end])
		r.buf, r.start, r.end = grown, 0, held
	case r.end == size || held == 0:
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, held
	}
	for range 100 {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		if r.err = err; n > 0 || err != nil {
			return
		}
	}
	r.err = io.ErrNoProgress
}

// Unclean returns where b has its first control character (those of the package's guarantee) or byte that is not UTF-8, -1 if it has none.
func Unclean(b []byte) int {
	for i := 0; i < len(b); {
		if i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			if (x|(x+ones)|(x-0x20*ones))&highs == 0 { // as in Append
				i += 8
				continue
			}
		}
		c := b[i]
		if c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if size == 1 || IsControl(r) {
			return i
		}
		i += size
	}
	return -1
}

// IsControl reports whether r is a character that no line holds: C0, DEL, C1, U+2028 or U+2029.
func IsControl(r rune) bool {
	return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}
