// Package csv writes a day's events as CSV for analysts, and reads such files back.
//
// What it guarantees: RFC 4180 with LF, no BOM, one header, thirteen columns (Row), and one physical line per row whatever the events hold,
// so that sort, grep and readers that know nothing of quoted line ends can be used. Every byte is what gocsv and encoding/csv would write for the
// same cells, and what is written can be undone (Reader):
//
//   - A control character (C0, DEL, C1) or a Unicode line end (U+2028, U+2029) is written as \n, \r, \t or \u001b, and a backslash as \\. The Info
//     column is JSON whose backslashes are doubled by this: turn \\ into \ before parsing it as JSON.
//   - Unless Options say otherwise, a cell that starts with one of = + - @, tab, CR or ' gets a ' in front, or a spreadsheet would run it as a
//     formula. To undo it take the first ' away. Stats.CellsChanged counts these cells.
//
// What it does not: it holds 13 of an event's fields, times to the millisecond, and does not tell an absent text from an empty one. The
// evidence has all of it.
package csv

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/lines"
)

// Options of an Encoder and a Reader. The zero value is the default.
type Options struct {
	// SpreadsheetUnsafe leaves cells that look like formulas as they are.
	SpreadsheetUnsafe bool
}

// Encoder writes events as CSV. It implements formats.Encoder.
type Encoder struct {
	out    *lines.Writer
	escape *lines.Escaper
	safe   bool
	stats  formats.Stats
}

// NewEncoder returns an Encoder to w. The header is written whether or not events follow. o may be nil.
func NewEncoder(w io.Writer, o *Options) *Encoder {
	if o == nil {
		o = &Options{}
	}
	e := &Encoder{out: lines.NewWriter(w, nil), escape: lines.NewEscaper(style()), safe: !o.SpreadsheetUnsafe}
	_ = e.out.Commit(append(e.out.Buffer(), header()...)) // too short to be written yet
	return e
}

func style() lines.Style {
	return lines.Style{Escapes: map[byte]string{'"': `""`, '\\': `\\`}, Backslash: `\`}
}

// Encode writes a row for each event.
func (e *Encoder) Encode(batch []event.Event) error {
	for i := range batch {
		if err := e.out.Commit(e.appendRow(e.out.Buffer(), &batch[i])); err != nil {
			return err
		}
		e.stats.Rows++
	}
	return nil
}

// Close writes out what is left. It leaves the writer open.
func (e *Encoder) Close() error { return e.out.Flush() }

// Stats returns the counts so far.
func (e *Encoder) Stats() formats.Stats { return e.stats }

func (e *Encoder) appendRow(dst []byte, ev *event.Event) []byte {
	dst = appendMillis(dst, ev)
	for _, f := range [...]event.Field{
		event.IP, event.UserAgent, event.ActorID, event.Action, event.ObjectID, event.ObjectName, event.ProjectID, event.ProjectName,
	} {
		dst = e.appendCell(append(dst, ','), ev.Get(f))
	}
	if ev.Get(event.Outcome) == event.Success {
		dst = append(dst, ",Yes,"...)
	} else {
		dst = append(dst, ",No,"...)
	}
	dst = e.appendCell(dst, ev.Get(event.Info))
	dst = e.appendCell(append(dst, ','), ev.Get(event.TokenLabel))
	dst = e.appendCell(append(dst, ','), ev.Get(event.TokenLast4))
	return append(dst, '\n')
}

func appendMillis(dst []byte, ev *event.Event) []byte {
	ms := ev.Time.Nanosecond() / 1e6
	return append(event.AppendSeconds(dst, ev.Time), '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// appendCell quotes exactly where encoding/csv would: a cell with a comma or a quote, or that starts with a space. Its other reasons, CR and
// LF and the cell \., are gone once a cell is escaped.
func (e *Encoder) appendCell(dst []byte, s string) []byte {
	if s == "" {
		return dst
	}
	mark := e.safe && startsFormula(s[0])
	quoted := strings.IndexByte(s, ',') >= 0 || strings.IndexByte(s, '"') >= 0 || !mark && startsWithSpace(s)
	if quoted {
		dst = append(dst, '"')
	}
	if mark {
		dst = append(dst, '\'')
		e.stats.CellsChanged++
	}
	dst, _ = e.escape.Append(dst, s)
	if quoted {
		dst = append(dst, '"')
	}
	return dst
}

func startsFormula(c byte) bool {
	switch c {
	case '=', '+', '-', '@', '\t', '\r', '\'':
		return true
	}
	return false
}

// startsWithSpace reports whether s starts with a space that is still one when escaped.
func startsWithSpace(s string) bool {
	if s[0] < utf8.RuneSelf {
		return s[0] == ' '
	}
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsSpace(r) && r != '\u0085' && r != '\u2028' && r != '\u2029'
}
