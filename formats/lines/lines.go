// Package lines is what the formats of one line per event share: a buffered writer, and the escaping that keeps a text on its line.
//
// What it guarantees: whatever the text, what an Escaper appends holds nothing that any reader of lines takes for the end of one - no control
// character (C0, DEL, C1 with U+0085) and neither of U+2028 and U+2029 - and is valid UTF-8. Nothing is allocated per text.
package lines

import (
	"encoding/binary"
	"io"
	"math/bits"
	"slices"
	"unicode/utf8"
	"unsafe"
)

// flushAt is the size at which a Writer hands its buffer on, keepBelow the capacity up to which it keeps the buffer after that.
const (
	flushAt   = 64 << 10
	keepBelow = 1 << 20
)

// Writer collects lines and hands them on in pieces of about 64 KiB. The first error stays: nothing is written after it.
type Writer struct {
	w   io.Writer
	buf []byte
	err error
}

// NewWriter returns a Writer to w whose first error is err, if there is one.
func NewWriter(w io.Writer, err error) *Writer {
	return &Writer{w: w, buf: make([]byte, 0, flushAt+8<<10), err: err}
}

// Buffer returns what has been collected, to be appended to and given back by Commit.
func (w *Writer) Buffer() []byte { return w.buf }

// Commit takes the grown buffer back and writes it out if it is large enough.
func (w *Writer) Commit(buf []byte) error {
	w.buf = buf
	if len(buf) < flushAt {
		return w.err
	}
	return w.Flush()
}

// Err returns the first error.
func (w *Writer) Err() error { return w.err }

// Flush writes out what has been collected.
func (w *Writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.w.Write(w.buf)
	}
	if cap(w.buf) > keepBelow {
		w.buf = make([]byte, 0, flushAt+8<<10)
	}
	w.buf = w.buf[:0]
	return w.err
}

// Style says what an Escaper writes in place of a control character.
type Style struct {
	// Escapes are what stands for the ASCII characters that mean something in the format: one to three that are printable, and control
	// characters that differ from the rule below. Each text has at most seven bytes.
	Escapes map[byte]string
	// Backslash is how the format writes a backslash, for the escapes \n, \r, \t and \u0000. Where it is empty, LF and CR become \n and \r,
	// CRLF becomes \n, and every other control character becomes a space.
	Backslash string
}

// Escaper appends texts in one Style.
type Escaper struct {
	repl     [utf8.RuneSelf]uint64 // 0, or the replacement in the low seven bytes and its length in the highest
	a, b, c  uint64                // the characters of Style.Escapes, each in all eight bytes
	unicode  string                // what stands before the four hex digits; "" for a space
	joinCRLF bool
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	// widest is the longest replacement of one byte, chunk how much of a text is written between two looks at the room that is left.
	widest = 7
	chunk  = 1 << 10
)

// NewEscaper returns the Escaper of a style.
func NewEscaper(s Style) *Escaper {
	e := &Escaper{joinCRLF: s.Backslash == ""}
	backslash := s.Backslash
	if backslash == "" {
		backslash = `\`
	} else {
		e.unicode = backslash + "u"
	}
	for c := range byte(0x20) {
		e.setControl(c)
	}
	e.setControl(0x7f)
	e.set('\n', backslash+"n")
	e.set('\r', backslash+"r")
	if e.unicode != "" {
		e.set('\t', backslash+"t")
	}
	marks := make([]byte, 0, 3)
	for c, text := range s.Escapes {
		e.set(c, text)
		if c >= 0x20 {
			marks = append(marks, c)
		}
	}
	for len(marks) < 3 {
		marks = append(marks, marks[0])
	}
	e.a, e.b, e.c = ones*uint64(marks[0]), ones*uint64(marks[1]), ones*uint64(marks[2])
	return e
}

func (e *Escaper) setControl(c byte) {
	if e.unicode == "" {
		e.set(c, " ")
		return
	}
	e.set(c, string(appendHex([]byte(e.unicode), rune(c))))
}

func (e *Escaper) set(c byte, text string) {
	var b [8]byte
	copy(b[:], text)
	b[7] = byte(len(text))
	e.repl[c] = binary.LittleEndian.Uint64(b[:])
}

// Append appends s and reports whether it held control characters. What is not UTF-8 becomes U+FFFD.
func (e *Escaper) Append(dst []byte, s string) (_ []byte, controls bool) {
	for len(s) > chunk {
		n := chunk
		for n > chunk-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		if s[n] == '\n' && s[n-1] == '\r' {
			n-- // CRLF stays together
		}
		var found bool
		dst, found = e.appendChunk(dst, s[:n])
		controls = controls || found
		s = s[n:]
	}
	dst, found := e.appendChunk(dst, s)
	return dst, controls || found
}

// appendChunk goes eight bytes at a time: they are copied as they are, and the copy counts up to the first byte that is special.
func (e *Escaper) appendChunk(dst []byte, s string) (_ []byte, controls bool) {
	n := len(dst)
	dst = slices.Grow(dst, widest*len(s)+8)
	dst = dst[:cap(dst)]
	src := unsafe.Slice(unsafe.StringData(s), len(s))
	i := 0
	for i < len(src) {
		if len(src)-i >= 8 {
			x := binary.LittleEndian.Uint64(src[i:])
			binary.LittleEndian.PutUint64(dst[n:], x)
			// A byte is special when it is below 0x20, above 0x7e, or one of three. A borrow or carry can mark only bytes above one
			// that is special itself, and the lowest mark is what counts.
			special := (x | (x + ones) | (x - 0x20*ones) | ((x ^ e.a) - ones) | ((x ^ e.b) - ones) | ((x ^ e.c) - ones)) & highs
			k := bits.TrailingZeros64(special) / 8
			i += k
			n += k
			if special == 0 {
				continue
			}
		}
		c := src[i]
		if c < utf8.RuneSelf {
			r := e.repl[c]
			if r == 0 {
				dst[n] = c
				i++
				n++
				continue
			}
			binary.LittleEndian.PutUint64(dst[n:], r)
			n += int(r >> 56)
			i++
			if c < 0x20 || c == 0x7f {
				controls = true
				if c == '\r' && e.joinCRLF && i < len(src) && src[i] == '\n' {
					n -= int(r >> 56)
				}
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r < 0xa0 || r == '\u2028' || r == '\u2029':
			controls = true
			if e.unicode == "" {
				dst[n] = ' '
				n++
			} else {
				n = len(appendHex(append(dst[:n], e.unicode...), r))
			}
		case r == utf8.RuneError:
			n += copy(dst[n:], "\ufffd")
		default:
			n += copy(dst[n:], src[i:i+size])
		}
		i += size
	}
	return dst[:n], controls
}

// AppendWithin is Append, but stops before dst would grow by more than room bytes. It returns how many bytes of s were written.
func (e *Escaper) AppendWithin(dst []byte, s string, room int) (_ []byte, taken int, controls bool) {
	limit := len(dst) + room
	for taken < len(s) {
		_, size := utf8.DecodeRuneInString(s[taken:])
		if e.joinCRLF && s[taken] == '\r' && taken+1 < len(s) && s[taken+1] == '\n' {
			size = 2
		}
		before := len(dst)
		var found bool
		dst, found = e.appendChunk(dst, s[taken:taken+size])
		if len(dst) > limit {
			return dst[:before], taken, controls
		}
		controls = controls || found
		taken += size
	}
	return dst, taken, controls
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, r rune) []byte {
	return append(dst, hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// Cut returns the longest beginning of s that has at most limit bytes and ends at the end of a character, and whether that is less than s.
func Cut(s string, limit int) (string, bool) {
	if len(s) <= limit {
		return s, false
	}
	n := limit
	for n > 0 && n > limit-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n], true
}

// Printable reports whether s is not empty and wholly of visible ASCII characters, as RFC 5424 wants of its header.
func Printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
