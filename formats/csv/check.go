package csv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/lines"
)

// Checker compares a CSV file with the evidence: every cell of every row, undone. It implements formats.Checker.
//
// It reads a row if and only if gocsv would write just that row for the cells that gocsv reads in it, in a fraction of the time. Besides, a row is one line of clean
// text, and each escape the one that Encoder writes. The first cell that looks like a formula tells whether the file was written for spreadsheets; all others
// must agree with it.
type Checker struct {
	rows   *lines.Rows
	names  []string
	begun  bool
	err    error // of the header
	safety safety
	text   []byte
}

// safety is what the cells so far say of Options.SpreadsheetUnsafe.
type safety uint8

const (
	unknown safety = iota
	quoted
	plain
)

// NewChecker returns a Checker of the uncompressed file r.
func NewChecker(r io.Reader) *Checker { return &Checker{rows: lines.NewRows(r), names: Header()} }

// Check compares the next row with e.
func (c *Checker) Check(e *event.Event) error {
	if err := c.header(); err != nil {
		return err
	}
	row, err := c.rows.Next(e)
	if err != nil {
		return err
	}
	texts := [...]event.Field{
		event.ID, // in the place of the time
		event.IP, event.UserAgent, event.ActorID, event.Action, event.ObjectID, event.ObjectName, event.ProjectID, event.ProjectName,
		event.Outcome, event.Info, event.TokenLabel, event.TokenLast4,
	}
	more := true
	for i, f := range texts {
		if !more {
			return c.rows.Malformed(fmt.Sprintf("%d cells, must be %d", i, len(texts)))
		}
		var raw cell
		var reason string
		if raw, row, more, reason = nextCell(row); reason != "" {
			return c.rows.Malformed(c.names[i] + ": " + reason)
		}
		text := raw.text
		if raw.quoted || bytes.IndexByte(text, '\\') >= 0 {
			if c.text, reason = undo(c.text[:0], raw); reason != "" {
				return c.rows.Malformed(c.names[i] + ": " + reason)
			}
			text = c.text
		}
		switch want := e.Get(f); {
		case i == 0:
			err = c.checkTime(text, e)
		case f == event.Outcome:
			err = c.checkOutcome(text, want)
		case want != "" && startsFormula(want[0]):
			err = c.checkFormula(i, text, want)
		case !lines.Same(text, want):
			err = c.rows.Mismatch(c.names[i], want, text)
		}
		if err != nil {
			return err
		}
	}
	if more {
		return c.rows.Malformed(fmt.Sprintf("more than %d cells", len(texts)))
	}
	return nil
}

// Close checks that the file ends here.
func (c *Checker) Close() error {
	if err := c.header(); err != nil {
		return err
	}
	return c.rows.End()
}

func (c *Checker) header() error {
	if c.begun {
		return c.err
	}
	c.begun = true
	want := string(header())
	got, err := c.rows.Header(len(want))
	switch {
	case err == nil && got+"\n" == want:
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, lines.ErrTooLong) || errors.Is(err, lines.ErrNoEnd):
		c.err = &formats.Malformed{Reason: "the first line is not the header of a Daybook CSV file"}
	default:
		c.err = err
	}
	return c.err
}

func (c *Checker) checkTime(got []byte, e *event.Event) error {
	const form = "0000-00-00T00:00:00.000Z"
	if !lines.HasForm(got, form) {
		return c.rows.Malformed(fmt.Sprintf("%s %.80q: must be %s", c.names[0], got, form))
	}
	if t, ok := lines.ParseTime(got); !ok || t.UnixMilli() != e.Time.UnixMilli() {
		return c.rows.Mismatch(c.names[0], string(event.AppendTime(nil, e.Time)), got)
	}
	return nil
}

func (c *Checker) checkOutcome(got []byte, outcome string) error {
	if outcome == event.Success != (string(got) == "Yes") || outcome != event.Success != (string(got) == "No") {
		return c.rows.Mismatch("Success Status", outcome, got)
	}
	return nil
}

// checkFormula compares a cell whose text looks like a formula. Of the two forms one is longer by the quote, so that no cell is both.
func (c *Checker) checkFormula(i int, got []byte, want string) error {
	found := unknown
	if lines.Same(got, want) {
		found = plain
	} else if len(got) > 0 && got[0] == '\'' && lines.Same(got[1:], want) {
		found = quoted
	}
	if found == unknown || c.safety != unknown && c.safety != found {
		if c.safety == quoted {
			want = "'" + want
		}
		return c.rows.Mismatch(c.names[i], want, got)
	}
	c.safety = found
	return nil
}

// cell is a cell as it stands in the row, without the quotes around it: those in it are doubled.
type cell struct {
	text   []byte
	quoted bool
}

// nextCell takes the first cell off row, and reports whether a comma follows.
func nextCell(row []byte) (_ cell, rest []byte, more bool, reason string) {
	if len(row) == 0 || row[0] != '"' {
		text, rest, more := bytes.Cut(row, []byte{','})
		if bytes.IndexByte(text, '"') >= 0 {
			return cell{}, nil, false, `a bare "`
		}
		if startsWithSpaceRaw(text) {
			return cell{}, nil, false, "a space at the beginning must be quoted"
		}
		return cell{text, false}, rest, more, ""
	}
	end := 1
	for {
		i := bytes.IndexByte(row[end:], '"')
		if i < 0 {
			return cell{}, nil, false, "a quote is not closed"
		}
		end += i
		if end+1 == len(row) || row[end+1] != '"' {
			break
		}
		end += 2
	}
	text := row[1:end]
	if bytes.IndexByte(text, ',') < 0 && bytes.IndexByte(text, '"') < 0 && !startsWithSpaceRaw(text) {
		return cell{}, nil, false, "quoted without need"
	}
	rest = row[end+1:]
	if len(rest) == 0 {
		return cell{text, true}, nil, false, ""
	}
	if rest[0] != ',' {
		return cell{}, nil, false, "text after the closing quote"
	}
	return cell{text, true}, rest[1:], true, ""
}

func startsWithSpaceRaw(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	if text[0] < utf8.RuneSelf {
		return text[0] == ' ' // no other ASCII space is clean
	}
	r, _ := utf8.DecodeRune(text)
	return unicode.IsSpace(r)
}

// undo appends the text of a cell: quotes single, escapes undone. Only what Encoder escapes may be escaped, and only as it does.
func undo(dst []byte, c cell) (_ []byte, reason string) {
	for s := c.text; len(s) > 0; {
		ch := s[0]
		s = s[1:]
		switch {
		case ch == '"': // nextCell has seen to it that there are two
			s = s[1:]
		case ch == '\\':
			if len(s) == 0 {
				return dst, "a backslash at the end"
			}
			switch ch, s = s[0], s[1:]; ch {
			case '\\':
			case 'n':
				ch = '\n'
			case 'r':
				ch = '\r'
			case 't':
				ch = '\t'
			case 'u':
				r, ok := controlOf(s)
				if !ok {
					return dst, fmt.Sprintf(`\u%.4s is no escape of a control character`, s)
				}
				dst = utf8.AppendRune(dst, r)
				s = s[4:]
				continue
			default:
				return dst, fmt.Sprintf(`unknown escape \%c`, ch)
			}
		}
		dst = append(dst, ch)
	}
	return dst, ""
}

// controlOf reads four small hex digits that stand for a control character without an escape of its own.
func controlOf(s []byte) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	r := rune(0)
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		default:
			return 0, false
		}
	}
	return r, lines.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
}
