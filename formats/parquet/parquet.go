// Package parquet writes events as one Apache Parquet file, for the data team's engines.
//
// What it guarantees: the columns of design.md §8 in their order; a column is null only where the event lacks the field, and a required text
// that is absent is empty; rows in the order (event_time, event_id), which every row group declares as its sorting columns, and which is checked
// with each row; equal events, file and options give equal bytes, however the events are cut into batches. Memory is bounded: a row group
// ends at RowGroupRows rows or RowGroupBytes of buffers, whichever comes first, and no row needs more than a few times its own size.
//
// Strings, JSON among them, are STRING, which every engine reads; what is not valid UTF-8 is written as in the evidence. Pages are of version 1, plain
// or dictionary encoded, compressed with zstd and checksummed; a dictionary is kept only where values repeat, and never grows beyond 1 MiB.
//
// The file is laid out by this package rather than by parquet-go's Writer, on parquet-go's Thrift structures, encodings and bloom filters: that Writer
// takes twice the CPU for forty columns of which half are null, puts whole values into the footer as bounds however long they are, and
// cuts pages where the caller's batches end.
//
// What it does not do: sort, deduplicate, sync.
package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strconv"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

	"daybook/event"
	"daybook/formats"
)

// SchemaVersion is raised whenever columns are added. It stands in the file as daybook.schema.
const SchemaVersion = 1

// createdBy is fixed, so that a new release does not write other bytes for a day already sealed. Its form is the one that readers parse.
const createdBy = "daybook version 1.0.0 (build 0)"

// ErrOrder is returned for an event that sorts before the one that preceded it: the file would claim an order that it does not have.
var ErrOrder = errors.New("events out of order")

// Options are those of an encoder. The zero value is what a file should have.
type Options struct {
	// Level is the zstd level, 1 to 22; 0 means 1. Few levels differ: 1-2, 3-5, 6-9, 10 and more.
	Level int
	// RowGroupRows is how many rows a row group has; 0 means 128 Ki.
	RowGroupRows int
	// RowGroupBytes ends a row group early, when its pages, compressed, and its buffers take up more; 0 means 64 MiB.
	RowGroupBytes int64
}

// Row groups are measured every so many rows, or bytes of text where rows are long.
const (
	measureRows  = 256
	measureBytes = 1 << 20
)

// Encoder writes one Parquet file. It is not safe for concurrent use.
type Encoder struct {
	out       counter
	file      formats.File
	columns   []*column
	shared    shared
	zip       *zstd.Encoder
	rows      int64
	maxRows   int64
	maxBytes  int64
	groupRows int64 // rows of the row group under construction
	stepRows  int   // rows since it was measured
	stepBytes int   // text since it was measured

	lastTime int64  // microseconds
	lastID   []byte // of the last row of the batch before
	groups   []format.RowGroup
	indexes  [][]format.ColumnIndex
	offsets  [][]format.OffsetIndex
	err      error
}

var _ formats.Encoder = (*Encoder)(nil)

// NewEncoder returns an encoder that writes file f to w. The caller buffers and syncs w.
func NewEncoder(w io.Writer, f formats.File, o *Options) (*Encoder, error) {
	if o == nil {
		o = &Options{}
	}
	e := &Encoder{out: counter{w: w}, file: f, maxRows: int64(o.RowGroupRows), maxBytes: o.RowGroupBytes}
	if e.maxRows == 0 {
		e.maxRows = 128 << 10
	}
	if e.maxBytes == 0 {
		e.maxBytes = 64 << 20
	}
	if e.maxRows < 0 || e.maxBytes < 0 || o.Level < 0 || o.Level > 22 {
		return nil, fmt.Errorf("parquet: level %d, row groups of %d rows and %d bytes: must not be negative, the level at most 22", o.Level, e.maxRows, e.maxBytes)
	}
	var err error
	// Nothing refers back over more than a page, and pages are not compressed in parallel.
	e.zip, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(max(1, o.Level))), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(pageBytes), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	e.shared.zip = func(dst, src []byte) []byte { return e.zip.EncodeAll(src, dst) }
	seed := maphash.MakeSeed()
	for i := range columns {
		e.columns = append(e.columns, newColumn(&columns[i], &e.shared, seed))
	}
	if _, err := e.out.Write([]byte(magic)); err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	return e, nil
}

const magic = "PAR1"

// Encode adds events. An event that sorts before its predecessor is ErrOrder.
func (e *Encoder) Encode(batch []event.Event) error {
	if e.err == nil {
		e.err = e.encode(batch)
	}
	return e.err
}

func (e *Encoder) encode(batch []event.Event) error {
	if err := e.checkOrder(batch); err != nil {
		return err
	}
	for len(batch) > 0 {
		n := e.step(batch)
		for _, c := range e.columns {
			if err := c.appendRows(batch[:n], e.file.Day); err != nil {
				return e.columnError(c, err)
			}
		}
		batch = batch[n:]
		e.rows += int64(n)
		e.groupRows += int64(n)
		full := e.groupRows == e.maxRows
		if e.stepRows == measureRows || e.stepBytes >= measureBytes {
			e.stepRows, e.stepBytes = 0, 0
			full = full || e.buffered() >= e.maxBytes
		}
		if full {
			if err := e.endRowGroup(); err != nil {
				return err
			}
		}
	}
	return nil
}

// step returns how many rows of batch come before the row group is to be measured next. Where that is depends on the rows alone, and not on batches.
func (e *Encoder) step(batch []event.Event) int {
	most := min(len(batch), measureRows-e.stepRows, int(e.maxRows-e.groupRows))
	for n := range most {
		e.stepRows++
		e.stepBytes += textSize(&batch[n])
		if e.stepBytes >= measureBytes {
			return n + 1
		}
	}
	return most
}

func textSize(e *event.Event) int {
	n := 0
	for f := event.ID; f <= event.Raw; f++ {
		n += len(e.Get(f))
	}
	return n
}

func (e *Encoder) buffered() int64 {
	n := int64(0)
	for _, c := range e.columns {
		n += c.buffered()
	}
	return n
}

func (e *Encoder) checkOrder(batch []event.Event) error {
	if len(batch) == 0 {
		return nil
	}
	lastID := string(e.lastID)
	for i := range batch {
		micros, id := batch[i].Time.UnixMicro(), validText(batch[i].Get(event.ID)) // as written
		if (e.rows > 0 || i > 0) && (micros < e.lastTime || micros == e.lastTime && id < lastID) {
			return fmt.Errorf("parquet: row %d, event %q: %w", e.rows+int64(i), id, ErrOrder)
		}
		e.lastTime, lastID = micros, id
	}
	e.lastID = append(e.lastID[:0], lastID...)
	return nil
}

// Close writes what is left and the footer. It leaves the writer open.
func (e *Encoder) Close() error {
	if e.err == nil {
		e.err = e.close()
	}
	if e.err != nil {
		return e.err
	}
	e.err = errClosed
	return nil
}

var errClosed = errors.New("parquet: encoder is closed")

func (e *Encoder) close() error {
	if err := e.endRowGroup(); err != nil {
		return err
	}
	if err := e.writeFooter(); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return e.zip.Close()
}

// writeFooter writes the page indexes, the footer, its length and the closing magic.
func (e *Encoder) writeFooter() error {
	h := &e.shared.headers
	for i := range e.groups {
		for j := range e.indexes[i] {
			if len(e.indexes[i][j].NullPages) == 0 {
				continue
			}
			chunk := &e.groups[i].Columns[j]
			chunk.ColumnIndexOffset = e.out.offset
			if err := e.writeThrift(&e.indexes[i][j]); err != nil {
				return err
			}
			chunk.ColumnIndexLength = int32(e.out.offset - chunk.ColumnIndexOffset)
		}
	}
	for i := range e.groups {
		for j := range e.offsets[i] {
			chunk := &e.groups[i].Columns[j]
			chunk.OffsetIndexOffset = e.out.offset
			if err := e.writeThrift(&e.offsets[i][j]); err != nil {
				return err
			}
			chunk.OffsetIndexLength = int32(e.out.offset - chunk.OffsetIndexOffset)
		}
	}
	footer, err := h.encode(&format.FileMetaData{
		Version:          1,
		Schema:           schemaElements(),
		NumRows:          e.rows,
		RowGroups:        e.groups,
		KeyValueMetadata: e.metadata(),
		CreatedBy:        createdBy,
		ColumnOrders:     columnOrders(),
	})
	if err != nil {
		return err
	}
	tail := bytes.Clone(footer)
	size := len(footer)
	tail = append(tail, byte(size), byte(size>>8), byte(size>>16), byte(size>>24))
	_, err = e.out.Write(append(tail, magic...))
	return err
}

func (e *Encoder) writeThrift(v any) error {
	b, err := e.shared.headers.encode(v)
	if err != nil {
		return err
	}
	_, err = e.out.Write(b)
	return err
}

// metadata says which file this is. The seal is named by what it adds to its day, as in the file's name: its number would make the bytes depend on what
// was sealed before.
func (e *Encoder) metadata() []format.KeyValue {
	seal := "day"
	if e.file.Addendum > 0 {
		seal = fmt.Sprintf("addendum-%04d", e.file.Addendum)
	}
	return []format.KeyValue{
		{Key: "daybook.schema", Value: strconv.Itoa(SchemaVersion)},
		{Key: "daybook.trail", Value: e.file.Trail},
		{Key: "daybook.class", Value: e.file.Class},
		{Key: "daybook.day", Value: e.file.Day.String()},
		{Key: "daybook.seal", Value: seal},
	}
}

// Stats returns what was counted so far. ValuesCut counts sequence numbers of 2^63 and more, which INT64 does not hold: they are null.
func (e *Encoder) Stats() formats.Stats {
	s := formats.Stats{Rows: e.rows}
	for _, c := range e.columns {
		s.ValuesCut += c.changed
	}
	return s
}

func (e *Encoder) columnError(c *column, err error) error {
	return fmt.Errorf("parquet: column %s: %w", c.name, err)
}

// counter counts what goes to w.
type counter struct {
	w      io.Writer
	offset int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.offset += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}
