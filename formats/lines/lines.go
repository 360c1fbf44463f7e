// Package lines is what the formats of one line per event share: a buffered writer, and the escaping that keeps a text on its line.
//
// What it guarantees: whatever the text, what an Escaper appends holds nothing that any reader of lines takes for the end of one - no control
// character (C0, DEL, C1 with U+0085) and neither of U+2028 and U+2029 - and is valid UTF-8. Nothing is allocated per text.
package lines

import (
	"encoding/binary"
	"io"
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
	// repl is what to write for a byte: in the low seven bytes the text, in the highest its length and the marks below.
	repl     [256]uint64
	a, b, c  uint64 // the characters of Style.Escapes, each in all eight bytes
	unicode  string // what stands before the four hex digits; "" for a space
	joinCRLF bool
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080

	length  = 7 << 56  // how many bytes of the text count
	control = 8 << 56  // a control character
	look    = 16 << 56 // more than this byte must be looked at: not ASCII, or a CR that an LF may follow

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
	for c := range 256 {
		switch {
		case c >= utf8.RuneSelf:
			e.repl[c] = look
		case c >= 0x20 && c != 0x7f:
			e.set(byte(c), string(rune(c)))
		case e.unicode == "":
			e.set(byte(c), " ")
		default:
			e.set(byte(c), string(appendHex([]byte(e.unicode), rune(c))))
		}
	}
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

func (e *Escaper) set(c byte, text string) {
	var b [8]byte
	copy(b[:], text)
	r := binary.LittleEndian.Uint64(b[:]) | uint64(len(text))<<56
	if c < 0x20 || c == 0x7f {
		r |= control
	}
	if c == '\r' && e.joinCRLF {
		r |= look
	}
	e.repl[c] = r
}

// Append appends s and reports whether it held control characters. What is not UTF-8 becomes U+FFFD.
//
// It looks at eight bytes at a time. Where none of them is special they are copied as they are, else one by one by the table, without a branch:
// eight bytes are written for each, and the next goes where its text ends.
func (e *Escaper) Append(dst []byte, s string) (_ []byte, controls bool) {
	if len(s) > chunk {
		return e.appendLong(dst, s)
	}
	n := len(dst)
	dst = slices.Grow(dst, widest*len(s)+8)
	dst = dst[:cap(dst)]
	// There are widest*len(s)+8 bytes behind n, and a byte of s takes at most widest of them: eight bytes can be written at every n below.
	// To check that again at every byte costs a third of the time.
	in, out := unsafe.Pointer(unsafe.StringData(s)), unsafe.Pointer(unsafe.SliceData(dst))
	seen := uint64(0)
	for i := 0; i < len(s); {
		stop, x := i+8, uint64(0)
		switch {
		case stop <= len(s):
			x = binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(in, i))[:])
		case len(s) >= 8: // the last eight, those that are done shifted out and spaces shifted in
			left := uint(len(s)-i) * 8 & 63
			x = binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(in, len(s)-8))[:])>>(-left&63) | 0x20*ones<<left
			stop = len(s)
		default: // zero is special
			stop = len(s)
		}
		// A byte is special when it is below 0x20, above 0x7e, or one of three. A borrow or carry can mark only bytes above one that is
		// special itself.
		if (x|(x+ones)|(x-0x20*ones)|((x^e.a)-ones)|((x^e.b)-ones)|((x^e.c)-ones))&highs == 0 {
			binary.LittleEndian.PutUint64((*[8]byte)(unsafe.Add(out, n))[:], x)
			n += stop - i
			i = stop
			continue
		}
		for i < stop {
			r := e.repl[*(*byte)(unsafe.Add(in, i))]
			binary.LittleEndian.PutUint64((*[8]byte)(unsafe.Add(out, n))[:], r)
			n += int(r & length >> 56)
			seen |= r
			i++
			if r&look != 0 {
				var found bool
				i, n, found = e.appendLook(dst, n, s, i-1)
				if found {
					seen |= control
				}
			}
		}
	}
	return dst[:n], seen&control != 0
}

// appendLong is Append in pieces, so that the room for the longest replacements is not made for all of a long text.
func (e *Escaper) appendLong(dst []byte, s string) (_ []byte, controls bool) {
	for len(s) > chunk {
		n := chunk
		for n > chunk-utf8.UTFMax && !utf8.RuneStart(s[n]) {
			n--
		}
		if s[n] == '\n' && s[n-1] == '\r' {
			n-- // CRLF stays together
		}
		var found bool
		dst, found = e.Append(dst, s[:n])
		controls = controls || found
		s = s[n:]
	}
	dst, found := e.Append(dst, s)
	return dst, controls || found
}

// appendLook writes the character at s[i], for which the table has no answer, and returns where both texts go on.
func (e *Escaper) appendLook(dst []byte, n int, s string, i int) (next, end int, controls bool) {
	if s[i] == '\r' { // \r is written already
		if i+1 < len(s) && s[i+1] == '\n' {
			n -= int(e.repl['\r'] & length >> 56)
		}
		return i + 1, n, true
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
		n += copy(dst[n:], s[i:i+size])
	}
	return i + size, n, controls
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
		dst, found = e.Append(dst, s[taken:taken+size])
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
func Printable(s string) bool { return s != "" && InRange(s, '!') }

// InRange reports whether every byte of s is ASCII, not below lowest and not above ~.
func InRange(s string, lowest byte) bool {
	src := unsafe.Slice(unsafe.StringData(s), len(s))
	low, marks := ones*uint64(lowest), uint64(0)
	for ; len(src) >= 8; src = src[8:] {
		x := binary.LittleEndian.Uint64(src)
		marks |= x | (x + ones) | (x - low)
	}
	if marks&highs != 0 {
		return false
	}
	for _, c := range src {
		if c < lowest || c > '~' {
			return false
		}
	}
	return true
}
