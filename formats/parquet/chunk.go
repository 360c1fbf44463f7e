package parquet

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

func bitsFor(n int) int { return bits.Len(uint(n)) }

// page is what the footer and the page index say of a data page.
type page struct {
	rows, entries, nulls int
	encoding             format.Encoding
	least, most          []byte // nil without bounds
}

// chunk is the finished part of a column in a row group: its pages, and what the footer will say of them.
type chunk struct {
	data      chain
	plainSize int64 // of pages and headers before compression
	rows      int64
	entries   int64
	nulls     int64
	encodings [2]int32 // data pages that are plain, by dictionary

	least, most []byte
	bounded     bool // least and most are set
	unbounded   bool // a bound was too long to keep

	index   format.ColumnIndex
	offsets format.OffsetIndex // relative to the first data page
}

func (k *chunk) addPage(sh *shared, s *spec, p page, plainSize int, zipped []byte) error {
	header := format.PageHeader{
		Type:                 format.DataPage,
		UncompressedPageSize: int32(plainSize),
		CompressedPageSize:   int32(len(zipped)),
		CRC:                  int32(crc32.ChecksumIEEE(zipped)),
		DataPageHeader: thrift.New(format.DataPageHeader{
			NumValues:               int32(p.entries),
			Encoding:                p.encoding,
			DefinitionLevelEncoding: format.RLE,
			RepetitionLevelEncoding: format.RLE,
			Statistics:              format.Statistics{NullCount: int64(p.nulls)},
		}),
	}
	head, err := sh.headers.encode(&header)
	if err != nil {
		return err
	}
	k.offsets.PageLocations = append(k.offsets.PageLocations, format.PageLocation{
		Offset:             k.data.size,
		CompressedPageSize: int32(len(head) + len(zipped)),
		FirstRowIndex:      k.rows,
	})
	k.data.write(&sh.blocks, head)
	k.data.write(&sh.blocks, zipped)
	k.plainSize += int64(len(head) + plainSize)
	k.rows += int64(p.rows)
	k.entries += int64(p.entries)
	k.nulls += int64(p.nulls)
	if p.encoding == format.Plain {
		k.encodings[0]++
	} else {
		k.encodings[1]++
	}
	if s.bounds {
		k.addBounds(s, p)
	}
	return nil
}

func (k *chunk) addBounds(s *spec, p page) {
	x := &k.index
	x.NullPages = append(x.NullPages, p.least == nil)
	x.NullCounts = append(x.NullCounts, int64(p.nulls))
	if p.least == nil {
		x.MinValues = append(x.MinValues, []byte{})
		x.MaxValues = append(x.MaxValues, []byte{})
		return
	}
	x.MinValues = append(x.MinValues, bytes.Clone(lowerBound(p.least)))
	x.MaxValues = append(x.MaxValues, bytes.Clone(upperBound(p.most)))
	if len(p.least) > statsBound || len(p.most) > statsBound {
		k.unbounded = true
	}
	if k.unbounded {
		return
	}
	if !k.bounded || s.compare(p.least, k.least) < 0 {
		k.least = append(k.least[:0], p.least...)
	}
	if !k.bounded || s.compare(p.most, k.most) > 0 {
		k.most = append(k.most[:0], p.most...)
	}
	k.bounded = true
}

// compare orders two values as the column's type does.
func (s *spec) compare(a, b []byte) int {
	switch s.physical() {
	case format.Int64:
		return compareInts(int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
	case format.Int32:
		return compareInts(int64(int32(binary.LittleEndian.Uint32(a))), int64(int32(binary.LittleEndian.Uint32(b))))
	}
	return bytes.Compare(a, b)
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// boundaryOrder says whether the pages' bounds rise. Readers may then search them by halves, so it must be true.
func (k *chunk) boundaryOrder(s *spec) format.BoundaryOrder {
	before := -1
	for i, null := range k.index.NullPages {
		if null {
			continue
		}
		if before >= 0 && (s.compare(k.index.MinValues[before], k.index.MinValues[i]) > 0 || s.compare(k.index.MaxValues[before], k.index.MaxValues[i]) > 0) {
			return format.Unordered
		}
		before = i
	}
	return format.Ascending
}

// statistics returns what the footer says of the chunk's values.
func (k *chunk) statistics() format.Statistics {
	stats := format.Statistics{NullCount: k.nulls}
	if k.bounded && !k.unbounded {
		stats.MinValue = slices.Concat([]byte{}, k.least)
		stats.MaxValue = slices.Concat([]byte{}, k.most)
	}
	return stats
}

func (k *chunk) reset() { *k = chunk{data: k.data, least: k.least[:0], most: k.most[:0]} }

// bloomBits is how many bits of the filter each value has: one look-up in forty for a value that is not there finds the filter saying it may be.
const bloomBits = 8

// filter returns the bloom filter over all values of the chunk, nil if it has none. Its size is a power of two, which some readers insist on.
func (c *column) filter() bloom.SplitBlockFilter {
	values := len(c.hashes)
	if c.indexed {
		values += c.dict.len()
	}
	if values == 0 {
		return nil
	}
	size := bloom.NumSplitBlocksOf(int64(values), bloomBits)
	f := make(bloom.SplitBlockFilter, 1<<bitsFor(size-1))
	f.InsertBulk(c.hashes)
	if c.indexed {
		for id := range c.dict.len() {
			f.Insert(xxhash.Sum64(c.dict.text(int32(id))))
		}
	}
	return f
}

// headerWriter encodes the structures that stand between pages.
type headerWriter struct {
	buf      bytes.Buffer
	protocol thrift.CompactProtocol
	encoder  *thrift.Encoder
}

// encode returns v in Thrift's compact protocol. The bytes hold until the next call.
func (h *headerWriter) encode(v any) ([]byte, error) {
	if h.encoder == nil {
		h.encoder = thrift.NewEncoder(h.protocol.NewWriter(&h.buf))
	}
	h.buf.Reset()
	if err := h.encoder.Encode(v); err != nil {
		return nil, err
	}
	return h.buf.Bytes(), nil
}
