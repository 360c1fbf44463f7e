// Package jsontext reads JSON text strictly and without copying it.
//
// Every value keeps its text as it came: numbers are not rounded, members keep their order, and duplicate names are handed on one by one, for
// the caller to judge. What it accepts is RFC 8259 and nothing more: valid UTF-8 (ErrUTF8), no raw control characters in strings, no trailing
// commas, nesting up to MaxDepth. Memory use does not depend on the input: nothing is allocated but the text of strings that hold escapes.
package jsontext

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 512

// ErrUTF8 says that a string is not valid UTF-8.
var ErrUTF8 = errors.New("invalid UTF-8")

// SyntaxError says where, in bytes from the start of the text, it is no JSON, and why.
type SyntaxError struct {
	Offset int
	Reason string
	err    error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON: %s at byte %d", e.Reason, e.Offset+1)
}
func (e *SyntaxError) Unwrap() error { return e.err }

// Kind is the kind of a JSON value: its first character, with '0' for every number and 't' and 'f' for the booleans.
type Kind byte

// The kinds. The zero Kind is that of no value.
const (
	Null   Kind = 'n'
	True   Kind = 't'
	False  Kind = 'f'
	Number Kind = '0'
	String Kind = '"'
	Object Kind = '{'
	Array  Kind = '['
)

// Value is one JSON value: a view of the text it was read from.
type Value struct {
	text    []byte
	kind    Kind
	escaped bool
}

// Kind returns the value's kind; zero for the zero Value.
func (v Value) Kind() Kind { return v.kind }

// Text returns the value's JSON text as it came, quotes and all. It shares memory with the input.
func (v Value) Text() []byte { return v.text }

// TextString is Text as a string. It shares memory with the input.
func (v Value) TextString() string { return alias(v.text) }

// Str returns the content of a string value, "" for any other kind. Without escapes it shares memory with the input.
func (v Value) Str() string {
	if v.kind != String {
		return ""
	}
	inner := v.text[1 : len(v.text)-1]
	if !v.escaped {
		return alias(inner)
	}
	return alias(AppendUnescaped(make([]byte, 0, len(inner)), alias(inner)))
}

// Uint64 returns the value of a number that is a whole one and not negative.
func (v Value) Uint64() (uint64, bool) {
	if v.kind != Number {
		return 0, false
	}
	n, err := strconv.ParseUint(alias(v.text), 10, 64)
	return n, err == nil
}

func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Parse reads data as one JSON value with nothing but white space around it.
func Parse(data []byte) (Value, error) {
	v, end, err := Next(data, 0)
	if err != nil {
		return Value{}, err
	}
	if end = skipSpace(data, end); end != len(data) {
		return Value{}, &SyntaxError{Offset: end, Reason: "text after the value"}
	}
	return v, nil
}

// Next reads the value that begins at data[pos:], after white space, and returns it and where it ends.
func Next(data []byte, pos int) (Value, int, error) {
	pos = skipSpace(data, pos)
	if pos < len(data) && data[pos] == '"' {
		end, escaped, err := scanString(data, pos)
		if err != nil {
			return Value{}, pos, err
		}
		return Value{data[pos:end], String, escaped}, end, nil
	}
	end, err := skip(data, pos, 0)
	if err != nil {
		return Value{}, pos, err
	}
	kind := Kind(data[pos])
	if kind == '-' || kind >= '0' && kind <= '9' {
		kind = Number
	}
	return Value{data[pos:end], kind, false}, end, nil
}

// Members goes through the members of an object in their order.
type Members struct {
	data  []byte
	pos   int
	state byte // what is due: '{' a first member or the end, ',' a comma or the end, 0 nothing
	err   error

	// Name and Value are those of the member that Next found. Name shares memory with the input unless it holds escapes.
	Name  string
	Value Value
}

// MembersOf begins to go through the members of the object that data holds. Text after the object is an error.
func MembersOf(data []byte) Members {
	pos := skipSpace(data, 0)
	if pos >= len(data) || data[pos] != '{' {
		return Members{err: &SyntaxError{Offset: pos, Reason: "not an object"}}
	}
	return Members{data: data, pos: pos + 1, state: '{'}
}

// Members goes through the members of an object value; through none if v is of another kind.
func (v Value) Members() Members {
	if v.kind != Object {
		return Members{}
	}
	return MembersOf(v.text)
}

// Next moves to the next member. After false, Err says whether that was the end or an error.
func (m *Members) Next() bool {
	if m.state == 0 || m.err != nil {
		return false
	}
	m.pos = skipSpace(m.data, m.pos)
	c := byteAt(m.data, m.pos)
	if c == '}' {
		m.finish()
		return false
	}
	if m.state == ',' {
		if c != ',' {
			return m.fail("expected a comma or the end of the object")
		}
		m.pos = skipSpace(m.data, m.pos+1)
		c = byteAt(m.data, m.pos)
	}
	if c != '"' {
		return m.fail("expected a member's name")
	}
	end, escaped, err := scanString(m.data, m.pos)
	if err != nil {
		m.err = err
		return false
	}
	m.Name = Value{m.data[m.pos:end], String, escaped}.Str()
	m.pos = skipSpace(m.data, end)
	if byteAt(m.data, m.pos) != ':' {
		return m.fail("expected a colon")
	}
	m.Value, m.pos, m.err = Next(m.data, m.pos+1)
	m.state = ','
	return m.err == nil
}

func (m *Members) fail(reason string) bool {
	m.err = &SyntaxError{Offset: m.pos, Reason: reason}
	return false
}

func (m *Members) finish() {
	m.state = 0
	if end := skipSpace(m.data, m.pos+1); end != len(m.data) {
		m.pos = end
		m.fail("text after the object")
	}
}

// Err returns the first error met.
func (m *Members) Err() error { return m.err }

// Elements goes through the elements of an array in their order.
type Elements struct {
	data  []byte
	pos   int
	first bool
	done  bool
	err   error

	// Value is the element that Next found.
	Value Value
}

// Elements goes through the elements of an array value; through none if v is of another kind.
func (v Value) Elements() Elements {
	if v.kind != Array {
		return Elements{done: true}
	}
	return Elements{data: v.text, pos: 1, first: true}
}

// Next moves to the next element. After false, Err says whether that was the end or an error.
func (e *Elements) Next() bool {
	if e.done || e.err != nil {
		return false
	}
	e.pos = skipSpace(e.data, e.pos)
	c := byteAt(e.data, e.pos)
	if c == ']' {
		e.done = true
		return false
	}
	if !e.first {
		if c != ',' {
			e.err = &SyntaxError{Offset: e.pos, Reason: "expected a comma or the end of the array"}
			return false
		}
		e.pos++
	}
	e.first = false
	e.Value, e.pos, e.err = Next(e.data, e.pos)
	return e.err == nil
}

// Err returns the first error met.
func (e *Elements) Err() error { return e.err }

// AppendCompact appends valid JSON text to dst without the white space between its tokens. All else stays as it is.
func AppendCompact(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			dst = append(dst, text[i:end+1]...)
			i = end + 1
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst
}

// HasLoneSurrogate reports whether valid JSON text has an escape of a surrogate that is no half of a pair: no character stands for it, so that the
// content of its string can't be told from another's.
func HasLoneSurrogate(text []byte) bool {
	i := bytes.IndexByte(text, '\\')
	if i < 0 || !bytes.Contains(text[i:], []byte(`\ud`)) && !bytes.Contains(text[i:], []byte(`\uD`)) {
		return false // as good as always
	}
	return loneSurrogate(text, i) < len(text)
}

// ReplaceLoneSurrogates returns valid JSON text with the escape of U+FFFD in place of those that HasLoneSurrogate looks for. text is left alone.
func ReplaceLoneSurrogates(text []byte) []byte {
	out := text
	for i := loneSurrogate(text, 0); i < len(text); i = loneSurrogate(text, i+len(replacement)) {
		if len(out) > 0 && &out[0] == &text[0] {
			out = bytes.Clone(text)
		}
		copy(out[i:], replacement)
	}
	return out
}

const replacement = `\ufffd`

// loneSurrogate returns where the first lone surrogate's escape begins at or behind text[i], which is not within an escape; len(text) if there is none.
func loneSurrogate(text []byte, i int) int {
	for i+1 < len(text) {
		switch {
		case text[i] != '\\':
			i++
			continue
		case text[i+1] != 'u':
			i += 2
			continue
		}
		high, _ := hex4(alias(text[i+2:]))
		if !utf16.IsSurrogate(high) {
			i += 2
			continue
		}
		low := rune(0)
		if rest := text[i+len(replacement):]; bytes.HasPrefix(rest, []byte(`\u`)) {
			low, _ = hex4(alias(rest[2:]))
		}
		if utf16.DecodeRune(high, low) == utf8.RuneError {
			return i
		}
		i += 2 * len(replacement)
	}
	return len(text)
}

func byteAt(data []byte, i int) byte {
	if i < len(data) {
		return data[i]
	}
	return 0
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// skip checks the value at data[i:] and returns where it ends.
func skip(data []byte, i, depth int) (int, error) {
	switch c := byteAt(data, i); {
	case c == '"':
		end, _, err := scanString(data, i)
		return end, err
	case c == '{' || c == '[':
		if depth >= MaxDepth {
			return i, &SyntaxError{Offset: i, Reason: fmt.Sprintf("nested deeper than %d", MaxDepth)}
		}
		return skipNested(data, i, depth+1, c+2) // '}' is '{'+2, ']' is '['+2
	case c == '-' || c >= '0' && c <= '9':
		return scanNumber(data, i)
	case c == 't':
		return scanLiteral(data, i, "true")
	case c == 'f':
		return scanLiteral(data, i, "false")
	case c == 'n':
		return scanLiteral(data, i, "null")
	case i >= len(data):
		return i, &SyntaxError{Offset: i, Reason: "unexpected end"}
	}
	return i, &SyntaxError{Offset: i, Reason: fmt.Sprintf("unexpected %q", data[i])}
}

func skipNested(data []byte, i, depth int, closing byte) (int, error) {
	i = skipSpace(data, i+1)
	if byteAt(data, i) == closing {
		return i + 1, nil
	}
	for {
		var err error
		if closing == '}' {
			if byteAt(data, i) != '"' {
				return i, &SyntaxError{Offset: i, Reason: "expected a member's name"}
			}
			if i, _, err = scanString(data, i); err != nil {
				return i, err
			}
			i = skipSpace(data, i)
			if byteAt(data, i) != ':' {
				return i, &SyntaxError{Offset: i, Reason: "expected a colon"}
			}
			i = skipSpace(data, i+1)
		}
		if i, err = skip(data, i, depth); err != nil {
			return i, err
		}
		i = skipSpace(data, i)
		switch byteAt(data, i) {
		case closing:
			return i + 1, nil
		case ',':
			i = skipSpace(data, i+1)
		default:
			return i, &SyntaxError{Offset: i, Reason: fmt.Sprintf("expected a comma or %q", closing)}
		}
	}
}

func scanLiteral(data []byte, i int, want string) (int, error) {
	if len(data)-i < len(want) || string(data[i:i+len(want)]) != want {
		return i, &SyntaxError{Offset: i, Reason: "expected " + want}
	}
	return i + len(want), nil
}

func scanNumber(data []byte, i int) (int, error) {
	start := i
	if byteAt(data, i) == '-' {
		i++
	}
	digits := func() bool {
		from := i
		for i < len(data) && data[i] >= '0' && data[i] <= '9' {
			i++
		}
		return i > from
	}
	leadingZero := byteAt(data, i) == '0'
	from := i
	if !digits() || leadingZero && i > from+1 {
		return start, &SyntaxError{Offset: start, Reason: "malformed number"}
	}
	if byteAt(data, i) == '.' {
		i++
		if !digits() {
			return start, &SyntaxError{Offset: start, Reason: "malformed number"}
		}
	}
	if c := byteAt(data, i); c == 'e' || c == 'E' {
		i++
		if c := byteAt(data, i); c == '+' || c == '-' {
			i++
		}
		if !digits() {
			return start, &SyntaxError{Offset: start, Reason: "malformed number"}
		}
	}
	return i, nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// scanString checks the string whose opening quote is data[i] and returns where it ends, past its closing quote.
//
// It looks at eight bytes at a time for one that is a quote, a backslash, a control character or not ASCII: x-ones&^x&highs marks the bytes
// of x that are zero (or follow such a byte: the lowest mark is always right).
func scanString(data []byte, i int) (end int, escaped bool, err error) {
	start := i
	i++
	ascii := true
	for {
		for i+8 <= len(data) {
			w := binary.LittleEndian.Uint64(data[i:])
			q, b := w^(ones*'"'), w^(ones*'\\')
			mark := (w - ones*0x20) | (q - ones) | (b - ones)
			mark = (mark&^w | w) & highs
			// A byte above 0x7f marks itself (w); the borrow of a mark may spoil bytes above it, never below.
			if mark == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(mark) / 8
			break
		}
		if i >= len(data) {
			return start, escaped, &SyntaxError{Offset: start, Reason: "string without an end"}
		}
		switch c := data[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(data[start+1:i]) {
				return start, escaped, &SyntaxError{Offset: start, Reason: ErrUTF8.Error(), err: ErrUTF8}
			}
			return i + 1, escaped, nil
		case c == '\\':
			escaped = true
			n, reason := checkEscape(data[i:])
			if reason != "" {
				return start, escaped, &SyntaxError{Offset: i, Reason: reason}
			}
			i += n
		case c < 0x20:
			return start, escaped, &SyntaxError{Offset: i, Reason: fmt.Sprintf("control character 0x%02x in a string", c)}
		case c >= utf8.RuneSelf:
			ascii = false
			i++
			for i < len(data) && data[i] >= utf8.RuneSelf {
				i++
			}
		default:
			i++
		}
	}
}

// checkEscape returns the length of the escape that s begins with, or why it is none.
func checkEscape(s []byte) (n int, reason string) {
	if len(s) < 2 {
		return 0, "string without an end"
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
		if _, ok := hex4(alias(s[2:])); ok {
			return 6, ""
		}
		return 0, "malformed \\u escape"
	}
	return 0, fmt.Sprintf("unknown escape %q", s[:2])
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[:4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// AppendUnescaped appends the content of a string, what stands between its quotes, with its escapes undone. A lone surrogate becomes U+FFFD. Text that
// was not checked is taken as far as it goes: the backslash of an escape that is none is left out, but for that of a \u without its digits.
func AppendUnescaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		i++
		if c != '\\' || i == len(s) {
			dst = append(dst, c)
			continue
		}
		c = s[i]
		i++
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := hex4(s[i:])
			if !ok {
				dst = append(dst, '\\', 'u')
				continue
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if strings.HasPrefix(s[i:], `\u`) {
					low, ok = hex4(s[i+2:])
				}
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default: // '"', '\\', '/'
			dst = append(dst, c)
		}
	}
	return dst
}
