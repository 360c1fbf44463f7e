// Package formats says what a decoder and an encoder of audit events are, and names the formats. One package per format stands below it.
package formats

import (
	"fmt"
	"io"
	"iter"

	"daybook/event"
)

// Record is one source record, as it stands in its file.
type Record struct {
	// Data is the record's text. It holds until the next record is asked for.
	Data []byte
	// Line is the line on which it begins, counted from 1.
	Line int
	// Rest is set when the record is longer than the limit: Data has its beginning, Rest all that follows, which may be read until the next record
	// is asked for, and need not be.
	Rest io.Reader
}

// Decoder reads the files of one kind of source.
//
// Splitting and decoding are two steps, so that records can be decoded in parallel. A Decoder has no state: its methods are safe for
// concurrent use.
type Decoder interface {
	// Records splits a file into its records, in constant memory: a record of more than limit bytes is handed on by its Rest. An error ends
	// the file; what came before it stands.
	Records(r io.Reader, limit int) iter.Seq2[Record, error]
	// Decode maps one record to e, which is empty. Its texts may share memory with record. Any error means that the record can't be read, and
	// says why. Decode does not redact, and leaves ID, Source and Org absent where the record has none.
	Decode(record []byte, e *event.Event) error
}

// Stats is what an encoder counted.
type Stats struct {
	// Rows is how many events it wrote.
	Rows int64
	// CellsChanged is how many values were changed so that a spreadsheet does not take them for formulas.
	CellsChanged int64
	// ValuesCut is how many values were cut to the limits of the format.
	ValuesCut int64
}

// Encoder writes events as one file of its format, uncompressed unless the format has a compression of its own.
//
// Events come in order. An encoder keeps nothing of a batch after Encode returns. After an error the output must be discarded. Close flushes and
// leaves the writer open. Equal events and options give equal bytes.
type Encoder interface {
	Encode(batch []event.Event) error
	Close() error
	Stats() Stats
}

// File says which file an encoder writes, for formats that hold that inside.
type File struct {
	Trail, Class string
	Day          event.Day
	// Addendum is 0 for the day's own seal, n for its n-th addendum. (Not the seal's number: equal events give equal files, whatever was sealed before.)
	Addendum int
}

// Format describes an output format to those who name files and label objects.
type Format struct {
	Name string
	// Ext is the extension of the uncompressed file, with its dot.
	Ext         string
	ContentType string
}

// The output formats, in the order in which they are written and listed. JSONL is the evidence, the rest are rendered from it.
var (
	JSONL   = Format{"jsonl", ".jsonl", "application/x-ndjson"}
	CSV     = Format{"csv", ".csv", "text/csv; charset=utf-8"}
	Parquet = Format{"parquet", ".parquet", "application/vnd.apache.parquet"}
	CEF     = Format{"cef", ".cef", "text/plain; charset=utf-8"}
	Syslog  = Format{"syslog", ".log", "text/plain; charset=utf-8"}
)

// All returns the output formats.
func All() []Format { return []Format{JSONL, CSV, Parquet, CEF, Syslog} }

// Named returns the output format of that name.
func Named(name string) (Format, error) {
	for _, f := range All() {
		if f.Name == name {
			return f, nil
		}
	}
	return Format{}, fmt.Errorf("unknown format %q: must be jsonl, csv, parquet, cef or syslog", name)
}
