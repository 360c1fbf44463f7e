package lines

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"
	"unsafe"

	"daybook/event"
	"daybook/formats"
)

// Rows reads the rows of a file for a formats.Checker, each against an event, and makes its errors.
type Rows struct {
	in  *Reader
	row int64 // counts from 1
}

// NewRows returns the Rows of a file.
func NewRows(r io.Reader) *Rows { return &Rows{in: NewReader(r)} }

// Header returns the line before the first row. Its errors are those of Reader.
func (r *Rows) Header(limit int) (string, error) {
	line, err := r.in.Next(limit)
	return string(line), err
}

// Next returns the row that must be e: clean text, and not longer than any format makes of e. After the last row it is io.ErrUnexpectedEOF.
func (r *Rows) Next(e *event.Event) ([]byte, error) {
	line, err := r.in.Next(longest(e))
	if err == io.EOF {
		return nil, io.ErrUnexpectedEOF
	}
	r.row++
	if err != nil {
		return nil, r.told(err)
	}
	if i := Unclean(line); i >= 0 {
		return nil, r.Malformed(fmt.Sprintf("a control character or broken UTF-8 at byte %d: %q", i, line[i:min(len(line), i+4)]))
	}
	return line, nil
}

// End returns nil if there are no more rows.
func (r *Rows) End() error {
	line, err := r.in.Next(readSize)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil, errors.Is(err, ErrTooLong):
		r.row++
		return r.Mismatch("row", "no more rows", line)
	}
	r.row++
	return r.told(err)
}

func (r *Rows) told(err error) error {
	if errors.Is(err, ErrTooLong) {
		return r.Malformed("longer than the evidence's event can be")
	}
	if errors.Is(err, ErrNoEnd) {
		return r.Malformed("the file ends within the row")
	}
	return err
}

// Mismatch says that the row at hand has got where the evidence has want.
func (r *Rows) Mismatch(field, want string, got []byte) error {
	want, _ = Cut(want, shown)
	short, _ := Cut(string(got[:min(len(got), shown+utf8.UTFMax)]), shown)
	return &formats.Mismatch{Row: r.row, Field: field, Want: want, Got: short}
}

const shown = 80

// Malformed says why the row at hand cannot be read.
func (r *Rows) Malformed(reason string) error { return &formats.Malformed{Row: r.row, Reason: reason} }

// longest is a bound for the line of any format: no byte becomes more than seven, and a few texts stand in a line up to three times, shorter.
func longest(e *event.Event) int {
	n := 0
	for f := range event.Raw {
		n += len(e.Get(f))
	}
	return 4<<10 + 9*n
}

// Span is what a number can be: an option of the encoder that no row tells, but every row narrows. Span{1, math.MaxInt} is any limit, or none.
type Span struct{ Low, High int }

// AnyLimit is the Span of a limit before the first row.
func AnyLimit() Span { return Span{1, math.MaxInt} }

// Narrow takes the numbers below low and above high out of s, and reports whether one is left.
func (s *Span) Narrow(low, high int) bool {
	s.Low, s.High = max(s.Low, low), min(s.High, high)
	return s.Low <= s.High
}

// Same reports whether got is want, as far as a text without controls can be: what is not UTF-8 in want is U+FFFD in got.
func Same(got []byte, want string) bool {
	if string(got) == want {
		return true
	}
	if utf8.ValidString(want) {
		return false
	}
	for _, r := range want { // U+FFFD for a byte that is not UTF-8
		c, size := utf8.DecodeRune(got)
		if size == 0 || c != r {
			return false
		}
		got = got[size:]
	}
	return len(got) == 0
}

// HasForm reports whether s looks like form, in which 0 stands for any digit.
func HasForm(s []byte, form string) bool {
	if len(s) != len(form) {
		return false
	}
	for i, c := range s {
		if form[i] == '0' && c >= '0' && c <= '9' {
			continue
		}
		if form[i] == '0' || c != form[i] {
			return false
		}
	}
	return true
}

// ParseTime reads an RFC 3339 time.
func ParseTime(s []byte) (time.Time, bool) {
	return event.ParseTime(unsafe.String(unsafe.SliceData(s), len(s))) // which keeps nothing of it
}

// ParseInt reads a decimal number as it is usually written: no sign but -, no zero in front.
func ParseInt(s []byte) (int64, bool) {
	n, neg := int64(0), len(s) > 1 && s[0] == '-'
	if neg {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 18 || s[0] == '0' && (len(s) > 1 || neg) {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}
