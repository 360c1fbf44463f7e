package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"daybook/event"
	"daybook/formats"
)

// Checker reads a Parquet file back, row by row, and holds it against the evidence; and it holds against the rows whatever the file says of them: a
// reader answers from statistics, indexes and bloom filters without looking at the rows.
//
// It takes files of this package's layout only, in which every byte is accounted for: the row groups, each with its column chunks and its bloom
// filters, then the column indexes, the offset indexes and the footer, with nothing between them. The Thrift structures are read by parquet-go, after
// they were gone over, and must be just what parquet-go writes for what it read. Pages are read here: parquet-go reads a page into memory whatever its
// size, and so does not bound what a hostile file costs.
//
// It keeps a page of each column and the dictionaries, and of a page longer than 2 MiB a part. It is not safe for concurrent use.
type Checker struct {
	size    int64
	file    formats.File
	shared  reading
	columns []*columnReader

	footer   []byte // as Thrift
	groupAt  int    // where in the footer the next row group is described
	groups   int    // how many there are
	group    int    // how many were begun
	numRows  int64
	end      int64 // where the footer begins
	data     int64 // how far row groups have been accounted for
	columnIx span
	offsetIx span

	open      bool // the footer was read
	rows      int64
	groupLeft int64 // rows of the row group
	lastTime  int64
	lastID    []byte
	err       error
}

var _ formats.Checker = (*Checker)(nil)

// span is a part of the file that is found to follow on itself. It is empty while next is 0.
type span struct{ start, next int64 }

// follows reports whether n bytes at offset are the next of the span, which they become part of.
func (s *span) follows(offset, n, end int64) bool {
	if s.next == 0 {
		s.start, s.next = offset, offset
	}
	if offset != s.next || n <= 0 || n > end-offset {
		return false
	}
	s.next += n
	return true
}

// NewChecker returns a checker of the file r, of that many bytes, which must be the one that an encoder writes for file.
func NewChecker(r io.ReaderAt, size int64, file formats.File) *Checker {
	c := &Checker{size: size, file: file, data: int64(len(magic))}
	c.shared.file = r
	for i := range columns {
		c.columns = append(c.columns, &columnReader{spec: &columns[i], shared: &c.shared})
	}
	return c
}

// Check reads the next row, which must be e. After an error it returns the same again.
func (c *Checker) Check(e *event.Event) error {
	if c.err == nil {
		c.err = c.check(e)
	}
	return c.err
}

func (c *Checker) check(e *event.Event) (err error) {
	defer c.recovered(&err)
	if err := c.begin(); err != nil {
		return err
	}
	if c.groupLeft == 0 {
		if c.group == c.groups {
			return io.ErrUnexpectedEOF
		}
		if err := c.beginRowGroup(); err != nil {
			return err
		}
	}
	for _, r := range c.columns {
		if err := r.check(e, c.file.Day); err != nil {
			return c.fault(r, err)
		}
	}
	if err := c.checkOrder(e); err != nil {
		return err
	}
	c.rows++
	if c.groupLeft--; c.groupLeft > 0 {
		return nil
	}
	for _, r := range c.columns {
		if err := r.endChunk(); err != nil {
			return c.fault(r, err)
		}
	}
	return nil
}

// checkOrder checks that the row, which is e, does not sort before the last one, as every row group declares.
func (c *Checker) checkOrder(e *event.Event) error {
	now, id := e.Time.UnixMicro(), e.Get(event.ID)
	if c.rows > 0 && (now < c.lastTime || now == c.lastTime && validText(id) < validText(string(c.lastID))) {
		return &formats.Malformed{Row: c.rows + 1, Reason: "the row sorts before the one that precedes it"}
	}
	c.lastTime, c.lastID = now, append(c.lastID[:0], id...)
	return nil
}

// recovered is the last line: a fault of a library must not end the check of all other files.
func (c *Checker) recovered(err *error) {
	if r := recover(); r != nil { //nolint:revive // it is deferred, by name
		*err = &formats.Malformed{Row: c.rows + 1, Reason: fmt.Sprintf("the file cannot be read: %v", r)}
	}
}

// fault says of an error where it is: a fault of the reader as it is, a mismatch with its row, and anything else as malformed.
func (c *Checker) fault(r *columnReader, err error) error {
	if read := (*readError)(nil); errors.As(err, &read) {
		return fmt.Errorf("parquet: %w", read.error)
	}
	if m := (*formats.Mismatch)(nil); errors.As(err, &m) {
		m.Row = c.rows + 1
		return m
	}
	return &formats.Malformed{Row: c.rows + 1, Reason: fmt.Sprintf("column %s: %v", r.name, err)}
}

func malformed(text string, args ...any) error {
	return &formats.Malformed{Reason: fmt.Sprintf(text, args...)}
}

// Close checks that all rows were read, and that every byte of the file is accounted for.
func (c *Checker) Close() error {
	if c.err == nil {
		c.err = c.finish()
	}
	if c.shared.zip != nil {
		c.shared.zip.Close()
		c.shared.zip = nil
	}
	for _, r := range c.columns {
		if r.stream != nil {
			r.stream.zip.Close()
		}
	}
	if errors.Is(c.err, errChecked) {
		return nil
	}
	err := c.err
	if err == nil {
		c.err = errChecked
	}
	return err
}

var errChecked = errors.New("parquet: checker is closed")

func (c *Checker) finish() (err error) {
	defer c.recovered(&err)
	if err := c.begin(); err != nil {
		return err
	}
	if c.groupLeft > 0 || c.group < c.groups {
		return &formats.Mismatch{Row: c.rows + 1, Field: "row", Want: "(no more rows)", Got: "(a row)"}
	}
	if c.rows != c.numRows {
		return malformed("there are %d rows, the footer says %d", c.rows, c.numRows)
	}
	at := c.data
	for _, s := range []span{c.columnIx, c.offsetIx} {
		if s.next == 0 {
			continue
		}
		if s.start != at {
			return malformed("bytes %d to %d belong to no part of the file", at, s.start)
		}
		at = s.next
	}
	if at != c.end {
		return malformed("bytes %d to %d belong to no part of the file", at, c.end)
	}
	return nil
}

// begin reads the footer.
func (c *Checker) begin() error {
	if c.open {
		return nil
	}
	var err error
	c.shared.zip, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(pageBytes), zstd.WithDecoderMaxMemory(wholePage))
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	if err := c.readFooter(); err != nil {
		if read := (*readError)(nil); errors.As(err, &read) {
			return fmt.Errorf("parquet: %w", read.error)
		}
		if m := (*formats.Malformed)(nil); errors.As(err, &m) {
			return err
		}
		return malformed("the footer: %v", err)
	}
	c.open = true
	return nil
}

// beginRowGroup reads what the footer says of the next row group, and prepares to read its columns.
func (c *Checker) beginRowGroup() error {
	g := new(format.RowGroup)
	n, err := decodeThrift(c.footer[c.groupAt:], g, 64*len(columns))
	if err != nil {
		return malformed("row group %d: %v", c.group, err)
	}
	raw := c.footer[c.groupAt : c.groupAt+n]
	c.groupAt += n
	clean := format.RowGroup{
		TotalByteSize: g.TotalByteSize, NumRows: g.NumRows, SortingColumns: g.SortingColumns, FileOffset: g.FileOffset,
		TotalCompressedSize: g.TotalCompressedSize, Ordinal: g.Ordinal,
	}
	for i := range g.Columns {
		clean.Columns = append(clean.Columns, cleanChunk(&g.Columns[i]))
	}
	if ok, err := c.shared.headers.isEncodingOf(raw, &clean); err != nil || !ok {
		return malformed("row group %d: the footer has more of it than is written by us", c.group)
	}
	sorting := []format.SortingColumn{{ColumnIdx: leafTime}, {ColumnIdx: leafID}}
	switch {
	case len(g.Columns) != len(columns):
		return malformed("row group %d has %d columns", c.group, len(g.Columns))
	case g.NumRows <= 0 || g.NumRows > c.numRows-c.rows-int64(c.groups-1-c.group) || c.group == c.groups-1 && g.NumRows != c.numRows-c.rows:
		return malformed("row group %d has %d rows; the footer says that the file has %d, %d of them before", c.group, g.NumRows, c.numRows, c.rows)
	case g.Ordinal != int16(c.group):
		return malformed("row group %d says that it is number %d", c.group, g.Ordinal)
	case len(g.SortingColumns) != 2 || g.SortingColumns[0] != sorting[0] || g.SortingColumns[1] != sorting[1]:
		return malformed("row group %d does not declare to be sorted by event_time and event_id", c.group)
	case g.FileOffset != c.data:
		return malformed("row group %d begins at byte %d, the footer says %d", c.group, c.data, g.FileOffset)
	}
	if err := c.placeChunks(g); err != nil {
		return err
	}
	for i, r := range c.columns {
		if err := r.beginChunk(g.Columns[i].MetaData); err != nil {
			return c.fault(r, err)
		}
	}
	if err := c.readParts(g); err != nil {
		return err
	}
	c.groupLeft = g.NumRows
	c.group++
	return nil
}

// cleanChunk returns what is written of a chunk.
func cleanChunk(k *format.ColumnChunk) format.ColumnChunk {
	m := &k.MetaData
	return format.ColumnChunk{
		MetaData: format.ColumnMetaData{
			Type: m.Type, Encoding: m.Encoding, PathInSchema: m.PathInSchema, Codec: m.Codec, NumValues: m.NumValues, TotalUncompressedSize: m.TotalUncompressedSize,
			TotalCompressedSize: m.TotalCompressedSize, DataPageOffset: m.DataPageOffset, DictionaryPageOffset: m.DictionaryPageOffset,
			Statistics:    format.Statistics{NullCount: m.Statistics.NullCount, MinValue: m.Statistics.MinValue, MaxValue: m.Statistics.MaxValue},
			EncodingStats: m.EncodingStats, BloomFilterOffset: m.BloomFilterOffset, BloomFilterLength: m.BloomFilterLength,
		},
		OffsetIndexOffset: k.OffsetIndexOffset, OffsetIndexLength: k.OffsetIndexLength, ColumnIndexOffset: k.ColumnIndexOffset, ColumnIndexLength: k.ColumnIndexLength,
	}
}

// placeChunks checks that the chunks of a row group follow each other, and that the footer's sums are right.
func (c *Checker) placeChunks(g *format.RowGroup) error {
	plain, zipped := int64(0), int64(0)
	for i := range g.Columns {
		m, s := &g.Columns[i].MetaData, &columns[i]
		start := m.DataPageOffset
		if m.DictionaryPageOffset != 0 {
			start = m.DictionaryPageOffset
		}
		switch {
		case m.Type != s.physical() || m.Codec != format.Zstd || len(m.PathInSchema) != len(s.path()):
			return malformed("row group %d: column %s is described otherwise than in the schema", c.group, s.name)
		case start != c.data || m.TotalCompressedSize <= 0 || m.TotalCompressedSize > c.end-c.data || m.DataPageOffset < start || m.DataPageOffset >= start+m.TotalCompressedSize:
			return malformed("row group %d: column %s does not begin at byte %d and end before the footer", c.group, s.name, c.data)
		case m.NumValues < g.NumRows || s.kind != list && m.NumValues != g.NumRows || m.TotalUncompressedSize < 0:
			return malformed("row group %d: column %s has %d values for %d rows", c.group, s.name, m.NumValues, g.NumRows)
		}
		for j, name := range s.path() {
			if m.PathInSchema[j] != name {
				return malformed("row group %d: column %s is described otherwise than in the schema", c.group, s.name)
			}
		}
		c.data += m.TotalCompressedSize
		zipped += m.TotalCompressedSize
		plain += m.TotalUncompressedSize
	}
	if g.TotalCompressedSize != zipped || g.TotalByteSize != plain {
		return malformed("row group %d: the footer says that it has %d bytes, %d before compression, but its columns have %d and %d", c.group, g.TotalCompressedSize, g.TotalByteSize, zipped, plain)
	}
	return nil
}

// readParts reads the bloom filters and page indexes of a row group, and checks that they follow each other.
func (c *Checker) readParts(g *format.RowGroup) error {
	filters, indexes, pages := int64(maxFilters), int64(maxIndexes), maxPages
	for i, r := range c.columns {
		k := &g.Columns[i]
		if at, n := k.MetaData.BloomFilterOffset, int64(k.MetaData.BloomFilterLength); at != 0 || n != 0 {
			filters -= max(n, 0)
			if at != c.data || n <= 0 || n > c.end-at || filters < 0 {
				return malformed("row group %d: the bloom filter of column %s is not where it must be", c.group, r.name)
			}
			c.data += n
			if err := r.readFilter(at, n); err != nil {
				return c.fault(r, err)
			}
		}
		if at, n := k.ColumnIndexOffset, int64(k.ColumnIndexLength); at != 0 || n != 0 {
			indexes -= max(n, 0)
			if at < int64(len(magic)) || !c.columnIx.follows(at, n, c.end) || indexes < 0 {
				return malformed("row group %d: the column index of %s is not where it must be", c.group, r.name)
			}
		}
		at, n := k.OffsetIndexOffset, int64(k.OffsetIndexLength)
		indexes -= max(n, 0)
		if at < int64(len(magic)) || !c.offsetIx.follows(at, n, c.end) || indexes < 0 {
			return malformed("row group %d: the offset index of %s is not where it must be", c.group, r.name)
		}
		if err := r.readIndexes(k, &pages); err != nil {
			return c.fault(r, err)
		}
	}
	return nil
}

// maxFooter is the longest footer that is read: that of ten thousand row groups.
const maxFooter = 64 << 20

// readFooter checks all of the footer but for the row groups.
func (c *Checker) readFooter() error {
	if c.size < int64(2*len(magic)+4) {
		return malformed("a file of %d bytes is too short", c.size)
	}
	head, err := c.shared.readAt(nil, int64(len(magic)), 0)
	if err != nil {
		return err
	}
	tail, err := c.shared.readAt(nil, 8, c.size-8)
	if err != nil {
		return err
	}
	if string(head) != magic || string(tail[4:]) != magic {
		return malformed("the file does not begin and end with %s", magic)
	}
	n := int64(tail[0]) | int64(tail[1])<<8 | int64(tail[2])<<16 | int64(tail[3])<<24
	if c.end = c.size - 8 - n; c.end < int64(len(magic)) || n > maxFooter {
		return malformed("a footer of %d bytes in a file of %d", n, c.size)
	}
	if c.footer, err = c.shared.readAt(nil, n, c.end); err != nil {
		return err
	}
	return c.checkFooter()
}

// checkFooter takes the row groups out of the footer, to be looked at one by one, and compares the rest with what an encoder writes.
func (c *Checker) checkFooter() error {
	s := thriftScan{b: c.footer, elements: 1 << 20}
	var rest []byte
	for id := 0; ; {
		var kind byte
		var err error
		if id, kind, err = s.field(id); err != nil {
			return err
		}
		if kind == thriftStop {
			break
		}
		if id != 4 {
			if err := s.value(kind, thriftDepth); err != nil {
				return err
			}
			continue
		}
		rest = append(rest, c.footer[:s.pos]...)
		if kind != thriftList {
			return errThrift
		}
		from := s.pos
		if c.groups, kind, err = s.list(); err != nil || kind != thriftStruct {
			return errThrift
		}
		short := []byte{byte(c.groups)<<4 | thriftStruct}
		if c.groups >= 15 {
			short = binary.AppendUvarint([]byte{15<<4 | thriftStruct}, uint64(c.groups))
		}
		if !bytes.Equal(c.footer[from:s.pos], short) {
			return errThrift
		}
		rest = append(rest, thriftStruct) // a list of none
		c.groupAt = s.pos
		for range c.groups {
			s.elements = 64 * len(columns)
			if err := s.structure(thriftDepth); err != nil {
				return err
			}
		}
		rest = append(rest, c.footer[s.pos:]...)
		s.elements = 1 << 20
	}
	if s.pos != len(c.footer) || rest == nil {
		return errThrift
	}
	return c.checkDescription(rest)
}

// checkDescription checks the footer without its row groups.
func (c *Checker) checkDescription(b []byte) error {
	m := new(format.FileMetaData)
	n, err := decodeThrift(b, m, 4*len(columns)+64)
	if err != nil || n != len(b) {
		return errThrift
	}
	want := (&Encoder{file: c.file}).metadata()
	for i, kv := range m.KeyValueMetadata {
		switch {
		case i >= len(want) || kv.Key != want[i].Key:
			return malformed("the footer has metadata %q", cut(kv.Key))
		case kv.Value != want[i].Value:
			return malformed("the footer's %s is %q, must be %q", kv.Key, cut(kv.Value), want[i].Value)
		}
	}
	if len(m.KeyValueMetadata) != len(want) {
		return malformed("the footer lacks the metadata %s", want[len(m.KeyValueMetadata)].Key)
	}
	if err := c.checkSchema(m.Schema); err != nil {
		return err
	}
	if c.numRows = m.NumRows; m.NumRows < 0 || m.NumRows < int64(c.groups) || c.groups == 0 && m.NumRows > 0 {
		return malformed("the footer says that %d row groups have %d rows", c.groups, m.NumRows)
	}
	clean := format.FileMetaData{
		Version: 1, Schema: schemaElements(), NumRows: m.NumRows, RowGroups: thrift.Slice[format.RowGroup]{}, KeyValueMetadata: want, CreatedBy: createdBy, ColumnOrders: columnOrders(),
	}
	if ok, err := c.shared.headers.isEncodingOf(b, &clean); err != nil || !ok {
		return malformed("the footer's version, writer or column orders are not ours, or it has more than is written by us")
	}
	return nil
}

// checkSchema compares the schema with ours, element by element.
func (c *Checker) checkSchema(got []format.SchemaElement) error {
	want := schemaElements()
	if len(got) != len(want) {
		return malformed("the schema has %d elements, must have %d", len(got), len(want))
	}
	for i := range want {
		b, err := c.shared.headers.encode(&want[i])
		if err != nil {
			return err
		}
		b = bytes.Clone(b)
		if ok, err := c.shared.headers.isEncodingOf(b, &got[i]); err != nil || !ok {
			return malformed("element %d of the schema, %q, is not that of column %q: names, types, order and repetition are fixed", i, cut(got[i].Name), want[i].Name)
		}
	}
	return nil
}
