package formats

import (
	"fmt"

	"daybook/event"
)

// Checker compares a file of a format with the evidence, row by row. It parses the file and never renders, so that an encoder's fault is found
// and not repeated. Memory is bounded whatever the file holds.
//
// It does not know the options of the encoder: it accepts what some allowed option gives, and nothing else.
type Checker interface {
	// Check reads the next row, which must be e as far as the format holds it. The errors are *Mismatch, *Malformed, io.ErrUnexpectedEOF if there are no
	// more rows, and those of reading.
	Check(e *event.Event) error
	// Close checks that nothing follows the last row, and that the file ends as it must.
	Close() error
}

// Mismatch says that a row is not that of the evidence.
type Mismatch struct {
	// Row counts from 1.
	Row   int64
	Field string
	// Want and Got are cut to 80 bytes.
	Want, Got string
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("row %d: %s is %q, the evidence says %q", m.Row, m.Field, m.Got, m.Want)
}

// Malformed says that a row cannot be read.
type Malformed struct {
	// Row counts from 1; 0 is the file as a whole.
	Row    int64
	Reason string
}

func (m *Malformed) Error() string {
	if m.Row == 0 {
		return m.Reason
	}
	return fmt.Sprintf("row %d: %s", m.Row, m.Reason)
}
