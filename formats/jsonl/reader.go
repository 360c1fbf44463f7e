package jsonl

import (
	"errors"
	"fmt"
	"io"

	"daybook/formats"
	"daybook/formats/lines"
)

// Reader reads the rows of an evidence file, in memory of at most twice maxRow beside its first buffer. It does not look into them: ParseRow does.
type Reader struct {
	in     *lines.Reader
	maxRow int
	row    int64
	err    error
}

// NewReader returns a Reader of rows of at most maxRow bytes.
func NewReader(r io.Reader, maxRow int) *Reader {
	return &Reader{in: lines.NewReader(r), maxRow: max(maxRow, 0)}
}

// Next returns the next row without its LF. It holds until the next call. io.EOF follows the last row. A row that is too long, or a last one without LF, is
// a *formats.Malformed; every error is final.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	row, err := r.in.Next(r.maxRow)
	if err != nil {
		return nil, r.end(err)
	}
	r.row++
	return row, nil
}

func (r *Reader) end(err error) error {
	switch {
	case errors.Is(err, lines.ErrTooLong):
		err = &formats.Malformed{Row: r.row + 1, Reason: fmt.Sprintf("longer than %d bytes", r.maxRow)}
	case errors.Is(err, lines.ErrNoEnd):
		err = &formats.Malformed{Row: r.row + 1, Reason: "the file ends within the row"}
	}
	r.err = err
	return err
}
