package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// beginChunk prepares to read the chunk that the footer describes so. Its place was checked.
func (c *columnReader) beginChunk(meta format.ColumnMetaData) error {
	c.meta = meta
	c.pages, c.rows, c.nulls, c.entries, c.plain, c.left = 0, 0, 0, 0, 0, 0
	c.kinds = [2]int32{}
	c.filter, c.values = nil, nil
	c.dict.reset()
	c.pos = meta.DataPageOffset
	c.end = c.pos + meta.TotalCompressedSize
	var ok bool
	if c.claim, ok = newClaim(c.spec, meta.Statistics.MinValue, meta.Statistics.MaxValue, false); !ok {
		return errStatistics
	}
	if meta.DictionaryPageOffset == 0 {
		return nil
	}
	c.end = meta.DictionaryPageOffset + meta.TotalCompressedSize
	return c.readDictionary(meta.DictionaryPageOffset, meta.DataPageOffset-meta.DictionaryPageOffset)
}

var errDictionary = errors.New("a dictionary that is not written by us")

func (c *columnReader) readDictionary(offset, size int64) error {
	if size <= 0 || size > wholePage || c.valueSize() > 0 {
		return errDictionary
	}
	h, head, err := c.header(offset, size)
	if err != nil {
		return err
	}
	clean := format.PageHeader{
		Type: format.DictionaryPage, UncompressedPageSize: h.UncompressedPageSize, CompressedPageSize: h.CompressedPageSize, CRC: h.CRC,
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: h.DictionaryPageHeader.V.NumValues, Encoding: format.Plain}),
	}
	if ok, err := c.shared.headers.isEncodingOf(head, &clean); err != nil || !ok {
		return errPageHeader
	}
	values := int(h.DictionaryPageHeader.V.NumValues)
	if values <= 0 || values > dictValues || h.UncompressedPageSize > dictBytes {
		return errDictionary
	}
	raw := c.shared.raw[len(head):]
	if crc32.ChecksumIEEE(raw) != uint32(h.CRC) {
		return errChecksum
	}
	if err := checkFrame(bytes.NewReader(raw), int64(len(raw)), int64(h.UncompressedPageSize)); err != nil {
		return err
	}
	if c.dict.body, err = c.unzip(c.dict.body, raw, int64(h.UncompressedPageSize)); err != nil {
		return err
	}
	c.plain = int64(len(head)) + int64(h.UncompressedPageSize)
	d := &c.dict
	for at := 0; at < len(d.body); {
		if len(d.body)-at < 4 || len(d.start) == values {
			return errDictionary
		}
		n := int64(binary.LittleEndian.Uint32(d.body[at:]))
		if n > int64(len(d.body)-at-4) {
			return errDictionary
		}
		end := at + 4 + int(n)
		if !utf8.Valid(d.body[at+4 : end]) {
			return errUTF8
		}
		d.start = append(d.start, uint32(at))
		at = end
	}
	if len(d.start) != values {
		return errDictionary
	}
	d.seen = slices.Grow(d.seen, values)[:values]
	clear(d.seen)
	return nil
}

// endChunk checks what was said of the chunk, once all its rows are read.
func (c *columnReader) endChunk() error {
	switch {
	case c.pos != c.end || c.pages != len(c.offsets):
		return errors.New("there are more values than rows")
	case c.entries != c.meta.NumValues:
		return fmt.Errorf("there are %d values, the footer says %d", c.entries, c.meta.NumValues)
	case c.nulls != c.meta.Statistics.NullCount:
		return fmt.Errorf("there are %d nulls, the footer says %d", c.nulls, c.meta.Statistics.NullCount)
	case c.plain != c.meta.TotalUncompressedSize:
		return fmt.Errorf("the pages have %d bytes before compression, the footer says %d", c.plain, c.meta.TotalUncompressedSize)
	case !c.claim.met():
		return errStatistics
	case slices.Contains(c.dict.seen, 0):
		return errors.New("the dictionary has a text that no row has")
	case c.filter != nil && string(c.filter.Bytes()) != string(c.values.Bytes()):
		return errors.New("the bloom filter has more than the values")
	}
	encodings, stats := c.encodings()
	if !slices.Equal(c.meta.Encoding, encodings) || !slices.Equal(c.meta.EncodingStats, stats) {
		return errors.New("the pages' encodings are not those that the footer says")
	}
	if c.index != nil {
		return c.checkBoundaryOrder()
	}
	return nil
}

// encodings returns the encodings of the pages that were read, in order, and how many pages have which.
func (c *columnReader) encodings() (list []format.Encoding, stats []format.PageEncodingStats) {
	if len(c.dict.start) > 0 {
		stats = append(stats, format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
	}
	for i, e := range [...]format.Encoding{format.Plain, format.RLEDictionary} {
		if c.kinds[i] > 0 {
			stats = append(stats, format.PageEncodingStats{PageType: format.DataPage, Encoding: e, Count: c.kinds[i]})
		}
	}
	if c.kinds[0] > 0 || len(c.dict.start) > 0 {
		list = append(list, format.Plain)
	}
	if !c.required {
		list = append(list, format.RLE)
	}
	if c.kinds[1] > 0 {
		list = append(list, format.RLEDictionary)
	}
	return list, stats
}

// checkBoundaryOrder checks that the index says of its bounds that they rise just if they do: readers then search it by halves.
func (c *columnReader) checkBoundaryOrder() error {
	x, before, rise := c.index, -1, true
	for i, null := range x.NullPages {
		if null {
			if len(x.MinValues[i]) > 0 || len(x.MaxValues[i]) > 0 {
				return errColumnIndex
			}
			continue
		}
		if before >= 0 && !(c.rises(x.MinValues[before], x.MinValues[i]) && c.rises(x.MaxValues[before], x.MaxValues[i])) {
			rise = false
		}
		before = i
	}
	if rise != (x.BoundaryOrder == format.Ascending) {
		return errColumnIndex
	}
	return nil
}

// readFilter reads a bloom filter, whose place was checked.
func (c *columnReader) readFilter(offset, size int64) error {
	if c.valueSize() > 0 || size > 4*c.meta.NumValues+256 {
		return errFilter
	}
	b, err := c.shared.readAt(nil, size, offset)
	if err != nil {
		return err
	}
	h := new(format.BloomFilterHeader)
	n, err := decodeThrift(b, h, 0)
	if err != nil {
		return errFilter
	}
	clean := format.BloomFilterHeader{
		NumBytes:    h.NumBytes,
		Algorithm:   format.BloomFilterAlgorithm{Value: new(format.SplitBlockAlgorithm)},
		Hash:        format.BloomFilterHash{Value: new(format.XxHash)},
		Compression: format.BloomFilterCompression{Value: new(format.BloomFilterUncompressed)},
	}
	if ok, err := c.shared.headers.isEncodingOf(b[:n], &clean); err != nil || !ok {
		return errFilter
	}
	b = b[n:]
	if int64(h.NumBytes) != int64(len(b)) || len(b) == 0 || len(b)%bloom.BlockSize != 0 {
		return errFilter
	}
	c.filter = make(bloom.SplitBlockFilter, len(b)/bloom.BlockSize)
	copy(c.filter.Bytes(), b)
	c.values = make(bloom.SplitBlockFilter, len(c.filter))
	return nil
}

var errFilter = errors.New("a bloom filter that is not written by us")

// readIndexes reads what the page indexes say of the chunk. Their places were checked.
func (c *columnReader) readIndexes(k *format.ColumnChunk, pages *int) error {
	b, err := c.shared.readAt(nil, int64(k.OffsetIndexLength), k.OffsetIndexOffset)
	if err != nil {
		return err
	}
	offsets := new(format.OffsetIndex)
	n, err := decodeThrift(b, offsets, *pages)
	if err != nil || n != len(b) {
		return errOffsetIndex
	}
	c.offsets = offsets.PageLocations
	if *pages -= len(c.offsets); *pages < 0 {
		return errOffsetIndex
	}
	if ok, err := c.shared.headers.isEncodingOf(b, &format.OffsetIndex{PageLocations: c.offsets}); err != nil || !ok {
		return errOffsetIndex
	}
	if c.index = nil; k.ColumnIndexOffset == 0 {
		return nil
	}
	if b, err = c.shared.readAt(nil, int64(k.ColumnIndexLength), k.ColumnIndexOffset); err != nil {
		return err
	}
	x := new(format.ColumnIndex)
	count := len(c.offsets)
	n, err = decodeThrift(b, x, 4*count)
	if err != nil || n != len(b) || len(x.NullPages) != count || len(x.MinValues) != count || len(x.MaxValues) != count || len(x.NullCounts) != count {
		return errColumnIndex
	}
	clean := format.ColumnIndex{NullPages: x.NullPages, MinValues: x.MinValues, MaxValues: x.MaxValues, BoundaryOrder: x.BoundaryOrder, NullCounts: x.NullCounts}
	if ok, err := c.shared.headers.isEncodingOf(b, &clean); err != nil || !ok {
		return errColumnIndex
	}
	c.index = x
	return nil
}

var errOffsetIndex = errors.New("an offset index that is not written by us")
