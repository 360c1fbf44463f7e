package parquet

import (
	"hash/crc32"
	"slices"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// endRowGroup writes the row group under construction: for each column its dictionary page and its data pages, then the bloom filters.
func (e *Encoder) endRowGroup() error {
	if e.groupRows == 0 {
		return nil
	}
	group := format.RowGroup{
		NumRows:    e.groupRows,
		FileOffset: e.out.offset,
		Ordinal:    int16(len(e.groups)),
		SortingColumns: thrift.Slice[format.SortingColumn]{
			{ColumnIdx: leafTime},
			{ColumnIdx: leafID},
		},
	}
	var indexes []format.ColumnIndex
	var offsets []format.OffsetIndex
	for _, c := range e.columns {
		if err := c.endPage(); err != nil {
			return e.columnError(c, err)
		}
		meta, err := e.writeChunk(c)
		if err != nil {
			return e.columnError(c, err)
		}
		group.TotalByteSize += meta.TotalUncompressedSize
		group.TotalCompressedSize += meta.TotalCompressedSize
		group.Columns = append(group.Columns, format.ColumnChunk{MetaData: meta})
		if c.bounds {
			c.chunk.index.BoundaryOrder = c.chunk.boundaryOrder(c.spec)
		}
		indexes = append(indexes, c.chunk.index)
		offsets = append(offsets, c.chunk.offsets)
	}
	for i, c := range e.columns {
		if c.bloom {
			if err := e.writeFilter(c, &group.Columns[i].MetaData); err != nil {
				return e.columnError(c, err)
			}
		}
		c.resetChunk()
	}
	e.groups = append(e.groups, group)
	e.indexes = append(e.indexes, indexes)
	e.offsets = append(e.offsets, offsets)
	e.groupRows, e.stepRows, e.stepBytes = 0, 0, 0
	return nil
}

func (c *column) resetChunk() {
	c.chunk.reset()
	c.hashes = c.hashes[:0]
	c.lastID = -1
	c.indexing, c.indexed = c.dict != nil, false
	if c.dict != nil {
		c.dict.reset()
	}
}

// writeChunk writes the pages of a column, and returns what the footer says of them.
func (e *Encoder) writeChunk(c *column) (format.ColumnMetaData, error) {
	k := &c.chunk
	meta := format.ColumnMetaData{
		Type:         c.physical(),
		PathInSchema: c.path(),
		Codec:        format.Zstd,
		NumValues:    k.entries,
		Statistics:   k.statistics(),
	}
	start := e.out.offset
	meta.TotalUncompressedSize = k.plainSize
	if c.indexed {
		meta.DictionaryPageOffset = start
		size, err := e.writeDictionary(c.dict)
		if err != nil {
			return meta, err
		}
		meta.TotalUncompressedSize += size
		meta.EncodingStats = append(meta.EncodingStats, format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
	}
	meta.DataPageOffset = e.out.offset
	for i := range k.offsets.PageLocations {
		k.offsets.PageLocations[i].Offset += meta.DataPageOffset
	}
	if err := k.data.writeTo(&e.out, &e.shared.blocks); err != nil {
		return meta, err
	}
	meta.TotalCompressedSize = e.out.offset - start
	for i, encoding := range [...]format.Encoding{format.Plain, format.RLEDictionary} {
		if k.encodings[i] > 0 {
			meta.EncodingStats = append(meta.EncodingStats, format.PageEncodingStats{PageType: format.DataPage, Encoding: encoding, Count: k.encodings[i]})
			meta.Encoding = append(meta.Encoding, encoding)
		}
	}
	if c.indexed && k.encodings[0] == 0 {
		meta.Encoding = append(meta.Encoding, format.Plain) // of the dictionary
	}
	if !c.required {
		meta.Encoding = append(meta.Encoding, format.RLE) // of the levels
	}
	slices.Sort(meta.Encoding)
	return meta, nil
}

// writeDictionary writes a dictionary page, and returns its size before compression.
func (e *Encoder) writeDictionary(d *dictionary) (int64, error) {
	sh := &e.shared
	sh.zipped = sh.zip(sh.zipped[:0], d.page)
	head, err := sh.headers.encode(&format.PageHeader{
		Type:                 format.DictionaryPage,
		UncompressedPageSize: int32(len(d.page)),
		CompressedPageSize:   int32(len(sh.zipped)),
		CRC:                  int32(crc32.ChecksumIEEE(sh.zipped)),
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(d.len()), Encoding: format.Plain}),
	})
	if err != nil {
		return 0, err
	}
	size := int64(len(head) + len(d.page))
	if _, err := e.out.Write(head); err != nil {
		return 0, err
	}
	_, err = e.out.Write(sh.zipped)
	return size, err
}

func (e *Encoder) writeFilter(c *column, meta *format.ColumnMetaData) error {
	filter := c.filter()
	if filter == nil {
		return nil
	}
	head, err := e.shared.headers.encode(&format.BloomFilterHeader{
		NumBytes:    int32(len(filter.Bytes())),
		Algorithm:   format.BloomFilterAlgorithm{Value: new(format.SplitBlockAlgorithm)},
		Hash:        format.BloomFilterHash{Value: new(format.XxHash)},
		Compression: format.BloomFilterCompression{Value: new(format.BloomFilterUncompressed)},
	})
	if err != nil {
		return err
	}
	meta.BloomFilterOffset = e.out.offset
	if _, err := e.out.Write(head); err != nil {
		return err
	}
	if _, err := e.out.Write(filter.Bytes()); err != nil {
		return err
	}
	meta.BloomFilterLength = int32(e.out.offset - meta.BloomFilterOffset)
	return nil
}
