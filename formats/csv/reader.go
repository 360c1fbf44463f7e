package csv

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/gocarina/gocsv"
)

// ErrHeader says that a file does not begin with our header.
var ErrHeader = errors.New("not the header of a Daybook CSV file")

// Reader reads a file that an Encoder wrote: the columns by gocsv, the escapes and the spreadsheet's quote undone.
type Reader struct {
	rows *gocsv.Unmarshaller
	safe bool
	line int // of the row read last
}

// NewReader reads the header from r. o must be what the file was written with, or nil. A file with other columns is ErrHeader.
func NewReader(r io.Reader, o *Options) (*Reader, error) {
	cells := csv.NewReader(r)
	rows, err := gocsv.NewUnmarshaller(cells, Row{})
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("csv: empty file: %w", ErrHeader)
	}
	if err != nil {
		return nil, fmt.Errorf("csv: %w", err)
	}
	if !sameColumns(rows.Headers) {
		return nil, fmt.Errorf("csv: columns %q: %w", rows.Headers, ErrHeader)
	}
	return &Reader{rows: rows, safe: o == nil || !o.SpreadsheetUnsafe, line: 1}, nil
}

// Read returns the next row, and io.EOF after the last.
func (r *Reader) Read() (Row, error) {
	v, err := r.rows.Read()
	if errors.Is(err, io.EOF) {
		return Row{}, io.EOF
	}
	if err != nil {
		return Row{}, fmt.Errorf("csv: %w", err)
	}
	r.line++
	row := v.(Row)
	for _, cell := range row.texts() {
		if r.safe {
			*cell = unquote(*cell)
		}
		if *cell, err = unescape(*cell); err != nil {
			return Row{}, fmt.Errorf("csv: row %d: %w", r.line, err)
		}
	}
	return row, nil
}

// ReadAll returns the rows of a whole file.
func ReadAll(r io.Reader, o *Options) ([]Row, error) {
	in, err := NewReader(r, o)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for {
		row, err := in.Read()
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

// unescape undoes what Encoder does to a text: \\ \n \r \t \u0000.
func unescape(cell string) (string, error) {
	before, rest, found := strings.Cut(cell, `\`)
	if !found {
		return cell, nil
	}
	var b strings.Builder
	for found {
		b.WriteString(before)
		if rest == "" {
			return "", errors.New(`a backslash at the end of a cell`)
		}
		switch c := rest[0]; c {
		case '\\':
			b.WriteByte('\\')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			if len(rest) < 5 {
				return "", fmt.Errorf(`escape \%s is cut short`, rest)
			}
			r, err := strconv.ParseUint(rest[1:5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`escape \%s: four hex digits must follow`, rest[:5])
			}
			b.WriteRune(rune(r))
			rest = rest[4:]
		default:
			return "", fmt.Errorf(`unknown escape \%c`, c)
		}
		before, rest, found = strings.Cut(rest[1:], `\`)
	}
	b.WriteString(before)
	return b.String(), nil
}
