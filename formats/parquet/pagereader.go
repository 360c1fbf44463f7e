package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	// The bounds of what a file may make a reader keep, besides a page of each column.
	maxLevels  = 4 << 20  // bytes of the levels of a page
	maxIndexes = 32 << 20 // bytes of the page indexes of a row group
	maxFilters = 64 << 20 // bytes of the bloom filters of a row group
	maxPages   = 1 << 20  // pages of a row group
)

// reading is the memory that the columns of a checker use in turn.
type reading struct {
	file    io.ReaderAt
	zip     *zstd.Decoder
	headers headerWriter
	raw     []byte // a page as it stands in the file
}

// readAt reads n bytes. That the file ends before is no fault of the reader: the caller has checked that they are within its size.
func (sh *reading) readAt(dst []byte, n, offset int64) ([]byte, error) {
	if int64(cap(dst)) < n {
		dst = make([]byte, n)
	}
	dst = dst[:n]
	if got, err := sh.file.ReadAt(dst, offset); got < len(dst) {
		if err == io.EOF {
			return nil, errors.New("the file is shorter than it was said to be")
		}
		return nil, &readError{err}
	}
	return dst, nil
}

// columnReader reads a column, row by row, and keeps count of what the file says of its values.
type columnReader struct {
	*spec
	shared *reading

	// The chunk.
	meta     format.ColumnMetaData
	pos, end int64 // where the next page begins, and where the chunk ends
	offsets  []format.PageLocation
	index    *format.ColumnIndex // nil if there is none
	claim    claim
	filter   bloom.SplitBlockFilter // as it stands in the file
	values   bloom.SplitBlockFilter // as the values make it
	pages    int
	rows     int64
	nulls    int64
	entries  int64
	plain    int64 // size before compression
	kinds    [2]int32
	dict     dictPages

	// The page.
	size      int // entries
	left      int // entries to be read
	wantNulls int64
	pageNulls int64
	src       source
	body      []byte
	stream    *pageStream
	levelRoom []byte
	defSrc    source
	repSrc    source
	defs      runs
	reps      runs
	ids       runs
	indexed   bool // values are numbers of dict
	packed    bool // ids was begun
	page      claim
	bit       uint // of booleans
	bits      byte
}

// dictPages is the dictionary of a chunk, and which of its texts were met.
type dictPages struct {
	body  []byte
	start []uint32       // where the length of each text stands
	seen  []int32        // the last page that had the text, counted from 1; -1: in a plain page; 0: in none
	rest  map[string]int // those met nowhere when the first plain page began
}

func (d *dictPages) text(id uint32) []byte {
	p := d.body[d.start[id]:]
	n := binary.LittleEndian.Uint32(p)
	return p[4 : 4+n : 4+n]
}

// beginRest remembers the texts that no page has referred to: a dictionary given up while it was built has such, which then stand in plain pages.
func (d *dictPages) beginRest() {
	if d.rest != nil || len(d.start) == 0 {
		return
	}
	d.rest = make(map[string]int)
	for id, seen := range d.seen {
		if seen == 0 {
			d.rest[string(d.text(uint32(id)))] = id
		}
	}
}

func (d *dictPages) reset() {
	d.start, d.seen, d.rest = d.start[:0], d.seen[:0], nil
}

// beginPage reads the page that follows.
func (c *columnReader) beginPage() error {
	if c.pages == len(c.offsets) {
		return errors.New("there are fewer values than rows")
	}
	at := c.offsets[c.pages]
	if at.Offset != c.pos || at.CompressedPageSize <= 0 || int64(at.CompressedPageSize) > c.end-c.pos || at.FirstRowIndex != c.rows {
		return fmt.Errorf("the offset index has page %d elsewhere", c.pages+1)
	}
	c.pages++
	size := int64(at.CompressedPageSize)
	c.pos += size
	h, head, err := c.header(at.Offset, size)
	if err != nil {
		return err
	}
	data := h.DataPageHeader.V
	clean := format.PageHeader{
		Type: format.DataPage, UncompressedPageSize: h.UncompressedPageSize, CompressedPageSize: h.CompressedPageSize, CRC: h.CRC,
		DataPageHeader: thrift.New(format.DataPageHeader{
			NumValues: data.NumValues, Encoding: data.Encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
			Statistics: format.Statistics{NullCount: data.Statistics.NullCount},
		}),
	}
	if ok, err := c.shared.headers.isEncodingOf(head, &clean); err != nil || !ok {
		return errPageHeader
	}
	if data.NumValues <= 0 || int64(data.NumValues) > c.meta.NumValues-c.entries || data.Encoding != format.Plain && data.Encoding != format.RLEDictionary {
		return errPageHeader
	}
	c.size, c.left, c.wantNulls, c.pageNulls = int(data.NumValues), int(data.NumValues), data.Statistics.NullCount, 0
	c.entries += int64(data.NumValues)
	c.plain += int64(len(head)) + int64(h.UncompressedPageSize)
	c.indexed, c.packed, c.bit = data.Encoding == format.RLEDictionary, false, 0
	if c.indexed {
		c.kinds[1]++
	} else {
		c.kinds[0]++
	}
	if c.indexed && (len(c.dict.start) == 0 || c.valueSize() > 0) {
		return errors.New("a page refers to a dictionary, but there is none")
	}
	if !c.indexed {
		c.dict.beginRest()
	}
	if err := c.beginClaim(); err != nil {
		return err
	}
	if err := c.unpack(h, at.Offset+int64(len(head))); err != nil {
		return err
	}
	return c.beginLevels()
}

var errPageHeader = errors.New("a page header that is not written by us")

// header reads the header of the page that has so many bytes, and the page itself unless it is long.
func (c *columnReader) header(offset, size int64) (h *format.PageHeader, head []byte, err error) {
	const most = 128
	n := size
	if n > wholePage+most {
		n = most
	}
	raw, err := c.shared.readAt(c.shared.raw, n, offset)
	if err != nil {
		return nil, nil, err
	}
	c.shared.raw = raw
	h = new(format.PageHeader)
	got, err := decodeThrift(raw[:min(len(raw), most)], h, 0)
	if err != nil || h.UncompressedPageSize < 0 || int64(got)+int64(h.CompressedPageSize) != size {
		return nil, nil, errPageHeader
	}
	return h, raw[:got], nil
}

// unpack decompresses the page whose compressed bytes begin at offset, or begins to.
func (c *columnReader) unpack(h *format.PageHeader, offset int64) error {
	zipped, size := int64(h.CompressedPageSize), int64(h.UncompressedPageSize)
	c.src = source{}
	if size > wholePage || zipped > wholePage {
		packed := io.NewSectionReader(c.shared.file, offset, zipped)
		if err := checkFrame(packed, zipped, size); err != nil {
			return err
		}
		if c.stream == nil {
			var err error
			if c.stream, err = newPageStream(); err != nil {
				return err
			}
		}
		c.src.more = c.stream
		return c.stream.start(packed, size, uint32(h.CRC))
	}
	raw := c.shared.raw
	raw = raw[int64(len(raw))-zipped:]
	if crc32.ChecksumIEEE(raw) != uint32(h.CRC) {
		return errChecksum
	}
	if err := checkFrame(bytes.NewReader(raw), zipped, size); err != nil {
		return err
	}
	var err error
	if c.body, err = c.unzip(c.body, raw, size); err != nil {
		return err
	}
	c.src.buf = c.body
	return nil
}

// unzip decompresses raw into room, which it makes larger if need be.
func (c *columnReader) unzip(room, raw []byte, size int64) ([]byte, error) {
	if int64(cap(room)) < size {
		room = make([]byte, size)
	}
	out, err := c.shared.zip.DecodeAll(raw, room[:0:size])
	switch {
	case err != nil:
		return room, fmt.Errorf("the page cannot be decompressed: %w", err)
	case int64(len(out)) != size:
		return room, errors.New("the page is not as long as its header says")
	}
	return room[:size], nil
}

func (c *columnReader) beginLevels() error {
	if c.required {
		return nil
	}
	if c.kind == list {
		if err := c.levels(&c.reps, &c.repSrc, 1); err != nil {
			return err
		}
		if err := c.levels(&c.defs, &c.defSrc, 2); err != nil {
			return err
		}
		first, err := c.reps.next()
		if err == nil && first != 0 {
			err = errors.New("a row goes on in the next page")
		}
		return err
	}
	return c.levels(&c.defs, &c.defSrc, 1)
}

func (c *columnReader) levels(r *runs, from *source, width uint) error {
	b, err := c.src.take(4)
	if err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(b)
	if n > maxLevels {
		return fmt.Errorf("levels of %d bytes", n)
	}
	room := &c.levelRoom
	if c.kind == list && r == &c.defs {
		room = new([]byte) // the repetition levels are in the other
	}
	section, err := c.src.section(int(n), room)
	if err != nil {
		return err
	}
	*from = source{buf: section}
	r.reset(from, width)
	return nil
}

// beginClaim takes what the column index says of the page.
func (c *columnReader) beginClaim() error {
	c.page = claim{spec: c.spec, metLeast: true, metMost: true}
	if c.index == nil || c.index.NullPages[c.pages-1] {
		return nil
	}
	var ok bool
	i := c.pages - 1
	if c.page, ok = newClaim(c.spec, orEmpty(c.index.MinValues[i]), orEmpty(c.index.MaxValues[i]), true); !ok {
		return errColumnIndex
	}
	return nil
}

func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

var errColumnIndex = errors.New("the column index is not true to the values")

// endPage checks what was said of the page, once all entries are read.
func (c *columnReader) endPage() error {
	if c.packed {
		if err := c.ids.end(); err != nil {
			return err
		}
	} else if c.indexed {
		if b, err := c.src.take(1); err != nil || b[0] != 0 {
			return errRuns
		}
	}
	if c.kind == success && c.bit > 0 && c.bits>>c.bit != 0 {
		return errors.New("bits behind the page's last value")
	}
	if err := c.src.end(); err != nil {
		return err
	}
	if !c.required {
		if err := errors.Join(c.defs.end(), c.defSrc.end()); err != nil {
			return err
		}
	}
	if c.kind == list {
		if err := errors.Join(c.reps.end(), c.repSrc.end()); err != nil {
			return err
		}
	}
	if c.pageNulls != c.wantNulls {
		return fmt.Errorf("a page has %d nulls, its header says %d", c.pageNulls, c.wantNulls)
	}
	c.nulls += c.pageNulls
	if c.index == nil {
		return nil
	}
	i := c.pages - 1
	if null := c.index.NullPages[i]; null != (c.pageNulls == int64(c.size)) || c.index.NullCounts[i] != c.pageNulls || !c.page.met() {
		return errColumnIndex
	}
	return nil
}
