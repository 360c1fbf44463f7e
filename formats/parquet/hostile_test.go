package parquet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/parquet"
	"daybook/internal/effort"
)

// small is a file in which everything stands that one can hold: dictionaries, bloom filters, lists, several pages and row groups.
func small(t testing.TB, groupRows int) ([]byte, []event.Event) {
	events := newGenerator().events(6)
	for i := range events {
		events[i].Set(event.ActorID, "same")
		events[i].Set(event.ObjectName, strings.Repeat("long ", 20)+fmt.Sprint(i))
		if i%2 == 0 {
			events[i].Tags = []string{"a", fmt.Sprint(i)}
			events[i].Received = events[i].Time
			events[i].SetSourceSeq(uint64(i))
		}
	}
	return encode(t, acme, &parquet.Options{RowGroupRows: groupRows}, events, 10), events
}

// stride is how far apart the places are that are tried, one after the other: make test looks at all, plain go test at some.
func stride(t *testing.T) int {
	t.Helper()
	if effort.Thorough() {
		return 1
	}
	t.Log("one place in 13 is tried: make test tries all")
	return 13
}

// TestEveryFlippedByteIsFound: there is no byte that may be another.
func TestEveryFlippedByteIsFound(t *testing.T) {
	data, events := small(t, 10)
	if err := verify(data, acme, events); err != nil {
		t.Fatal(err)
	}
	const shares = 4
	for share := range shares {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			t.Parallel()
			data := bytes.Clone(data)
			for i, step := share, shares*stride(t); i < len(data); i += step {
				for _, mask := range []byte{1 << (i / shares % 8), 0xff} {
					data[i] ^= mask
					if err := verify(data, acme, events); err == nil {
						t.Errorf("byte %d of %d, %#02x: %#02x is taken for %#02x", i, len(data), mask, data[i], data[i]^mask)
					}
					data[i] ^= mask
				}
			}
		})
	}
}

func TestEveryMissingAndEveryAddedPartIsFound(t *testing.T) {
	data, events := small(t, 5)
	step := stride(t)
	for n := range data {
		if n%step > 0 && n < len(data)-100 {
			continue
		}
		if err := verify(data[:n], acme, events); !isMalformed(err) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	size := int64(len(data))
	// The file is shorter than it was said to be.
	c := parquet.NewChecker(bytes.NewReader(data[:len(data)-1]), size, acme)
	if err := c.Check(&events[0]); !isMalformed(err) {
		t.Errorf("shorter than said: %v", err)
	}
	for _, more := range [][]byte{{0}, []byte("PAR1"), data, data[len(data)-2000:]} {
		if err := verify(slices.Concat(data, more), acme, events); err == nil {
			t.Errorf("%d bytes behind the footer are not found", len(more))
		}
		if err := verify(slices.Concat(data[:4], more, data[4:]), acme, events); err == nil {
			t.Errorf("%d bytes behind the first magic are not found", len(more))
		}
	}
	// A second footer, which is the one that is read, with the first left before it.
	_, footer := split(data)
	if err := verify(slices.Concat(data, footer, data[len(data)-8:]), acme, events); !isMalformed(err) {
		t.Errorf("a second footer: %v", err)
	}
	for _, at := range partsOf(t, data) {
		if err := verify(insert(t, data, at, []byte("hidden")), acme, events); !isMalformed(err) {
			t.Errorf("bytes put between parts at %d: %v", at, err)
		}
	}
}

// split returns what stands before the footer, and the footer as Thrift.
func split(data []byte) (parts, footer []byte) {
	n := int(binary.LittleEndian.Uint32(data[len(data)-8:]))
	at := len(data) - 8 - n
	return data[:at:at], data[at : at+n]
}

func footerOf(t testing.TB, data []byte) *format.FileMetaData {
	t.Helper()
	_, footer := split(data)
	m := new(format.FileMetaData)
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), footer, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// withFooter returns the file with another footer.
func withFooter(t testing.TB, data []byte, m *format.FileMetaData) []byte {
	t.Helper()
	parts, _ := split(data)
	return join(t, parts, m)
}

// join puts a footer behind the parts of a file.
func join(t testing.TB, parts []byte, m *format.FileMetaData) []byte {
	t.Helper()
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), m)
	if err != nil {
		t.Fatal(err)
	}
	out := slices.Concat(parts, footer)
	return append(binary.LittleEndian.AppendUint32(out, uint32(len(footer))), "PAR1"...)
}

// partsOf returns where the parts of a file begin.
func partsOf(t testing.TB, data []byte) (list []int64) {
	for _, g := range footerOf(t, data).RowGroups {
		for i := range g.Columns {
			k := &g.Columns[i]
			for _, at := range []int64{k.MetaData.DataPageOffset, k.MetaData.DictionaryPageOffset, k.MetaData.BloomFilterOffset, k.ColumnIndexOffset, k.OffsetIndexOffset} {
				if at > 0 {
					list = append(list, at)
				}
			}
		}
	}
	return list
}

// insert puts bytes at a place, and corrects everything that the footer and the offset indexes say of places, so that all other readers read on.
func insert(t testing.TB, data []byte, at int64, more []byte) []byte {
	m := footerOf(t, data)
	parts, _ := split(data)
	move := func(p *int64) {
		if *p >= at {
			*p += int64(len(more))
		}
	}
	shifted := slices.Concat(parts[:at], more, parts[at:])
	for g := range m.RowGroups {
		move(&m.RowGroups[g].FileOffset)
		for i := range m.RowGroups[g].Columns {
			k := &m.RowGroups[g].Columns[i]
			move(&k.MetaData.DataPageOffset)
			if k.MetaData.DictionaryPageOffset > 0 {
				move(&k.MetaData.DictionaryPageOffset)
			}
			if k.MetaData.BloomFilterOffset > 0 {
				move(&k.MetaData.BloomFilterOffset)
			}
			if k.ColumnIndexOffset > 0 {
				move(&k.ColumnIndexOffset)
			}
			move(&k.OffsetIndexOffset)
		}
	}
	return join(t, shifted, m)
}

// TestLyingFooters edits what the footer says, and writes it out again as it must be written.
func TestLyingFooters(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	data, events := small(t, 5)
	for name, lie := range map[string]func(m *format.FileMetaData){
		"version":          func(m *format.FileMetaData) { m.Version = 2 },
		"rows: none":       func(m *format.FileMetaData) { m.NumRows = 0 },
		"rows: one more":   func(m *format.FileMetaData) { m.NumRows++ },
		"rows: negative":   func(m *format.FileMetaData) { m.NumRows = -6 },
		"rows: very many":  func(m *format.FileMetaData) { m.NumRows = math.MaxInt64 },
		"writer":           func(m *format.FileMetaData) { m.CreatedBy = "another" },
		"no orders":        func(m *format.FileMetaData) { m.ColumnOrders = nil },
		"one order less":   func(m *format.FileMetaData) { m.ColumnOrders = m.ColumnOrders[1:] },
		"signing key":      func(m *format.FileMetaData) { m.FooterSigningKeyMetadata = []byte("hidden") },
		"metadata twice":   func(m *format.FileMetaData) { m.KeyValueMetadata = append(m.KeyValueMetadata, m.KeyValueMetadata[4]) },
		"metadata missing": func(m *format.FileMetaData) { m.KeyValueMetadata = m.KeyValueMetadata[:4] },
		"metadata of others": func(m *format.FileMetaData) {
			m.KeyValueMetadata = append(m.KeyValueMetadata, format.KeyValue{Key: "x"})
		},
		"schema version":       func(m *format.FileMetaData) { m.KeyValueMetadata[0].Value = "2" },
		"schema: root":         func(m *format.FileMetaData) { m.Schema[0].Name = "other" },
		"schema: name":         func(m *format.FileMetaData) { m.Schema[6].Name = "ip" },
		"schema: order":        func(m *format.FileMetaData) { m.Schema[6], m.Schema[7] = m.Schema[7], m.Schema[6] },
		"schema: type":         func(m *format.FileMetaData) { m.Schema[1].Type.Set(format.Int96) },
		"schema: length":       func(m *format.FileMetaData) { m.Schema[1].TypeLength.Set(8) },
		"schema: repetition":   func(m *format.FileMetaData) { m.Schema[3].RepetitionType.Set(format.Optional) },
		"schema: logical type": func(m *format.FileMetaData) { m.Schema[3].LogicalType.Value = new(format.JsonType) },
		"schema: field id":     func(m *format.FileMetaData) { m.Schema[3].FieldID = 3 },
		"schema: children":     func(m *format.FileMetaData) { m.Schema[0].NumChildren.Set(math.MaxInt32) },
		"schema: cut":          func(m *format.FileMetaData) { m.Schema = m.Schema[:20] },
		"schema: none":         func(m *format.FileMetaData) { m.Schema = nil },
		"no row groups":        func(m *format.FileMetaData) { m.RowGroups = m.RowGroups[:0] },
		"row group missing":    func(m *format.FileMetaData) { m.RowGroups, m.NumRows = m.RowGroups[:1], 6 },
		"row group first":      func(m *format.FileMetaData) { m.RowGroups, m.NumRows = m.RowGroups[1:], 1 },
		"row groups swapped":   func(m *format.FileMetaData) { m.RowGroups[0], m.RowGroups[1] = m.RowGroups[1], m.RowGroups[0] },
		"row group twice":      func(m *format.FileMetaData) { m.RowGroups = append(m.RowGroups, m.RowGroups[1]) },
	} {
		m := footerOf(t, data)
		lie(m)
		if err := verify(withFooter(t, data, m), acme, events); !isMalformed(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	numbers := map[string]func(g *format.RowGroup, k *format.ColumnChunk) *int64{
		"rows of the group":  func(g *format.RowGroup, _ *format.ColumnChunk) *int64 { return &g.NumRows },
		"size of the group":  func(g *format.RowGroup, _ *format.ColumnChunk) *int64 { return &g.TotalByteSize },
		"bytes of the group": func(g *format.RowGroup, _ *format.ColumnChunk) *int64 { return &g.TotalCompressedSize },
		"group offset":       func(g *format.RowGroup, _ *format.ColumnChunk) *int64 { return &g.FileOffset },
		"values":             func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.NumValues },
		"size":               func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.TotalUncompressedSize },
		"bytes":              func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.TotalCompressedSize },
		"data offset":        func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.DataPageOffset },
		"dictionary offset":  func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.DictionaryPageOffset },
		"index page offset":  func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.IndexPageOffset },
		"bloom offset":       func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.BloomFilterOffset },
		"nulls":              func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.Statistics.NullCount },
		"distinct":           func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.MetaData.Statistics.DistinctCount },
		"chunk offset":       func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.FileOffset },
		"offset index":       func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.OffsetIndexOffset },
		"column index":       func(_ *format.RowGroup, k *format.ColumnChunk) *int64 { return &k.ColumnIndexOffset },
	}
	if !effort.Thorough() {
		t.Log("of each column a third of the numbers is tried: make test tries all")
	}
	for name, number := range numbers {
		for i, column := range []int{0, 2, 5, 13, 32, 38} {
			for k, n := range []int64{math.MinInt64, -1, 0, 1, 3, 1 << 31, 1 << 40, math.MaxInt64, math.MaxInt64 - 8} {
				if !effort.Thorough() && (i+k)%3 > 0 {
					continue
				}
				for _, relative := range []bool{false, true} {
					m := footerOf(t, data)
					p := number(&m.RowGroups[0], &m.RowGroups[0].Columns[column])
					was := *p
					if *p = n; relative {
						*p += was
					}
					if *p == was {
						continue
					}
					if err := verify(withFooter(t, data, m), acme, events); !isMalformed(err) {
						t.Errorf("%s of column %d is %d, not %d: %v", name, column, *p, was, err)
					}
				}
			}
		}
	}
	for name, lie := range map[string]func(g *format.RowGroup, k *format.ColumnChunk){
		"type":  func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.Type = format.Double },
		"codec": func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.Codec = format.Uncompressed },
		"path":  func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.PathInSchema[0] = "x" },
		"deeper path": func(_ *format.RowGroup, k *format.ColumnChunk) {
			k.MetaData.PathInSchema = append(k.MetaData.PathInSchema, "x")
		},
		"encodings":      func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.Encoding[0] = format.DeltaBinaryPacked },
		"encoding stats": func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.EncodingStats[0].Count++ },
		"metadata": func(_ *format.RowGroup, k *format.ColumnChunk) {
			k.MetaData.KeyValueMetadata = []format.KeyValue{{Key: "x"}}
		},
		"other file":     func(_ *format.RowGroup, k *format.ColumnChunk) { k.FilePath = "other.parquet" },
		"bloom length":   func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.BloomFilterLength = math.MaxInt32 },
		"bloom shorter":  func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.BloomFilterLength = -1 },
		"old statistics": func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.Statistics.Min = []byte("a") },
		"least":          func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.Statistics.MinValue = []byte{} },
		"greatest":       func(_ *format.RowGroup, k *format.ColumnChunk) { k.MetaData.Statistics.MaxValue = []byte("\U0010ffff") },
		"wide numbers": func(_ *format.RowGroup, k *format.ColumnChunk) {
			k.MetaData.Statistics.MaxValue = bytes.Repeat([]byte{0x7f}, 8)
		},
		"offset index":    func(_ *format.RowGroup, k *format.ColumnChunk) { k.OffsetIndexLength = math.MaxInt32 },
		"column index":    func(_ *format.RowGroup, k *format.ColumnChunk) { k.ColumnIndexLength = math.MaxInt32 },
		"no offset index": func(_ *format.RowGroup, k *format.ColumnChunk) { k.OffsetIndexOffset, k.OffsetIndexLength = 0, 0 },
		"no column index": func(_ *format.RowGroup, k *format.ColumnChunk) { k.ColumnIndexOffset, k.ColumnIndexLength = 0, 0 },
		"histogram": func(_ *format.RowGroup, k *format.ColumnChunk) {
			k.MetaData.SizeStatistics.UnencodedByteArrayDataBytes = 3
		},
		"encrypted":      func(_ *format.RowGroup, k *format.ColumnChunk) { k.EncryptedColumnMetadata = []byte("x") },
		"column missing": func(g *format.RowGroup, _ *format.ColumnChunk) { g.Columns = g.Columns[:38] },
		"column more":    func(g *format.RowGroup, k *format.ColumnChunk) { g.Columns = append(g.Columns, *k) },
		"columns swapped": func(g *format.RowGroup, _ *format.ColumnChunk) {
			g.Columns[3], g.Columns[4] = g.Columns[4], g.Columns[3]
		},
		"ordinal":          func(g *format.RowGroup, _ *format.ColumnChunk) { g.Ordinal = 7 },
		"not sorted":       func(g *format.RowGroup, _ *format.ColumnChunk) { g.SortingColumns = nil },
		"sorted by others": func(g *format.RowGroup, _ *format.ColumnChunk) { g.SortingColumns[1].ColumnIdx = 4 },
		"sorted by more": func(g *format.RowGroup, _ *format.ColumnChunk) {
			g.SortingColumns = append(g.SortingColumns, format.SortingColumn{ColumnIdx: 5})
		},
		"descending":  func(g *format.RowGroup, _ *format.ColumnChunk) { g.SortingColumns[0].Descending = true },
		"nulls first": func(g *format.RowGroup, _ *format.ColumnChunk) { g.SortingColumns[0].NullsFirst = true },
	} {
		for _, column := range []int{0, 5, 10, 32, 37} {
			m := footerOf(t, data)
			if name == "no column index" && m.RowGroups[0].Columns[column].ColumnIndexLength == 0 {
				continue
			}
			lie(&m.RowGroups[0], &m.RowGroups[0].Columns[column])
			if err := verify(withFooter(t, data, m), acme, events); !isMalformed(err) {
				t.Errorf("%s of column %d: %v", name, column, err)
			}
		}
	}
}

// TestHostileThrift puts structures in the footer's place that cost far more memory than they have bytes, or that do not end.
func TestHostileThrift(t *testing.T) {
	effort.NeedsLong(t)
	deep := bytes.Repeat([]byte{0x1c}, 1<<20)                                                                           // a structure in a structure in …
	wide := slices.Concat([]byte{0x15, 2, 0x19, 0xfc, 0x80, 0x80, 0x80, 2}, make([]byte, 4<<20), []byte{0x29, 0x0c, 0}) // 4 Mi elements of the schema, a byte each
	groups := slices.Concat([]byte{0x49, 0xfc, 0x80, 0x80, 0x80, 2}, make([]byte, 4<<20), []byte{0})                    // as many row groups
	columns := slices.Concat([]byte{0x49, 0x1c, 0x19, 0xfc, 0x80, 0x80, 0x80, 2}, make([]byte, 4<<20), []byte{0, 0})
	lists := bytes.Repeat([]byte{0x19, 0x19}, 1<<20)
	for name, footer := range map[string][]byte{
		"deep": deep, "wide": wide, "row groups": groups, "columns": columns, "lists in lists": lists, "empty": nil, "stop": {0},
		"huge list":   {0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
		"huge binary": {0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
		"map":         {0x1b, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x88, 0},
		"long varint": slices.Concat([]byte{0x15}, bytes.Repeat([]byte{0x80}, 100)),
	} {
		data := slices.Concat([]byte("PAR1"), footer, binary.LittleEndian.AppendUint32(nil, uint32(len(footer))), []byte("PAR1"))
		if allocated := allocations(func() {
			if err := verify(data, acme, nil); !isMalformed(err) {
				t.Errorf("%s: %v", name, err)
			}
		}); allocated > 40<<20 {
			t.Errorf("%s: %d MB were allocated", name, allocated>>20)
		}
	}
}

// allocations returns how many bytes f allocates.
func allocations(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBombs replaces the page of a column by one that says that it is of 2 GiB, and is.
func TestBombs(t *testing.T) {
	e := event.Event{Time: at(1)}
	e.Set(event.Raw, `""`)
	data := encode(t, acme, nil, []event.Event{e}, 1)
	const column = 38
	size := int64(1 << 30)
	if !effort.Long() {
		size = 1 << 26
	}
	zeros := io.LimitReader(zeroReader{}, size)
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(z, zeros); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, claimed := range []int32{int32(size), 10, math.MaxInt32, -1} {
		bomb := replacePage(t, data, column, packed.Bytes(), claimed)
		if allocated := allocations(func() {
			if err := verify(bomb, acme, []event.Event{e}); err == nil {
				t.Errorf("a page of %d bytes that says it has %d is taken", size, claimed)
			}
		}); allocated > 60<<20 {
			t.Errorf("claiming %d: %d MB were allocated", claimed, allocated>>20)
		}
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// replacePage gives a column of a file of one row group, which has one data page, another one, and corrects all that is said of places and sizes.
func replacePage(t testing.TB, data []byte, column int, packed []byte, claimed int32) []byte {
	t.Helper()
	m := footerOf(t, data)
	parts, _ := split(data)
	g := &m.RowGroups[0]
	k := &g.Columns[column]
	h, was, end := pageOf(t, data, column)
	start := k.MetaData.DataPageOffset
	grown := int64(claimed) - int64(h.UncompressedPageSize)
	h.CompressedPageSize, h.UncompressedPageSize, h.CRC = int32(len(packed)), claimed, int32(crc32.ChecksumIEEE(packed))
	protocol := new(thrift.CompactProtocol)
	head, err := thrift.Marshal(protocol, h)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(head) + len(packed))
	grown += int64(len(head)) - was
	delta := size - (end - start)
	out := slices.Concat(parts[:start], head, packed, parts[end:g.Columns[0].OffsetIndexOffset])
	for i := range g.Columns {
		c := &g.Columns[i]
		index := new(format.OffsetIndex)
		if err := thrift.Unmarshal(protocol, parts[c.OffsetIndexOffset:c.OffsetIndexOffset+int64(c.OffsetIndexLength)], index); err != nil {
			t.Fatal(err)
		}
		if i == column {
			index.PageLocations[0].CompressedPageSize = int32(size)
		}
		for _, p := range []*int64{&c.MetaData.DataPageOffset, &c.MetaData.DictionaryPageOffset, &c.MetaData.BloomFilterOffset, &c.ColumnIndexOffset, &index.PageLocations[0].Offset} {
			if *p >= end {
				*p += delta
			}
		}
		b, err := thrift.Marshal(protocol, index)
		if err != nil {
			t.Fatal(err)
		}
		c.OffsetIndexOffset, c.OffsetIndexLength = int64(len(out)), int32(len(b))
		out = append(out, b...)
	}
	k.MetaData.TotalCompressedSize += delta
	k.MetaData.TotalUncompressedSize += grown
	g.TotalCompressedSize += delta
	g.TotalByteSize += grown
	return join(t, out, m)
}

// pageOf returns the header of a column's data page, the length of that header, and where the page ends.
func pageOf(t testing.TB, data []byte, column int) (h *format.PageHeader, headSize, end int64) {
	t.Helper()
	k := &footerOf(t, data).RowGroups[0].Columns[column].MetaData
	end = k.DataPageOffset + k.TotalCompressedSize
	if k.DictionaryPageOffset > 0 {
		end = k.DictionaryPageOffset + k.TotalCompressedSize
	}
	h = new(format.PageHeader)
	if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(bytes.NewReader(data[k.DataPageOffset:end]))).Decode(h); err != nil {
		t.Fatal(err)
	}
	return h, end - k.DataPageOffset - int64(h.CompressedPageSize), end
}

// TestCraftedPages changes each byte of a page before it is compressed and given its checksum, so that nothing but what is in it can be wrong.
func TestCraftedPages(t *testing.T) {
	effort.NeedsThorough(t)
	data, events := small(t, 10)
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer zip.Close()
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer unzip.Close()
	same := 0                                                      // changes of the level encoding, of a run of one into a packed run that begins with it
	for _, column := range []int{0, 2, 7, 8, 13, 14, 32, 35, 37} { // of every kind, plain and by dictionary
		h, _, end := pageOf(t, data, column)
		body, err := unzip.DecodeAll(data[end-int64(h.CompressedPageSize):end], nil)
		if err != nil {
			t.Fatal(err)
		}
		crafted := func(body []byte) error {
			file := replacePage(t, data, column, zip.EncodeAll(body, nil), int32(len(body)))
			err := verify(file, acme, events)
			if err == nil {
				check(t, file, acme, events)
			}
			return err
		}
		if err := crafted(body); err != nil {
			t.Fatalf("column %d as it was: %v", column, err)
		}
		for i := 0; i < len(body); i += stride(t) {
			for _, mask := range []byte{1 << (i % 8), 0x01, 0x80, 0xff} {
				body[i] ^= mask
				switch err := crafted(body); {
				case err == nil: // what parquet-go reads is the same
					same++
				case strings.Contains(err.Error(), "cannot be read"):
					t.Errorf("column %d, byte %d of %d, %#02x: %v", column, i, len(body), mask, err)
				}
				body[i] ^= mask
			}
		}
		for _, n := range []int{0, 1, len(body) / 2, len(body) - 1} {
			if err := crafted(body[:n]); !isMalformed(err) {
				t.Errorf("column %d, cut to %d of %d bytes: %v", column, n, len(body), err)
			}
		}
		if err := crafted(append(bytes.Clone(body), 0)); !isMalformed(err) {
			t.Errorf("column %d, a byte more: %v", column, err)
		}
		// A frame that decompressors pass over.
		hidden := append(zip.EncodeAll(body, nil), 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z')
		if err := verify(replacePage(t, data, column, hidden, int32(len(body))), acme, events); !isMalformed(err) {
			t.Errorf("column %d, a hidden frame: %v", column, err)
		}
	}
	if same > 4 {
		t.Errorf("%d changes are taken", same)
	}
}

// TestGiantsAreReadInPieces looks at the memory that values of 30 MB take.
func TestGiantsAreReadInPieces(t *testing.T) {
	effort.NeedsThorough(t)
	events := make([]event.Event, 2)
	for i := range events {
		e := &events[i]
		e.Time = at(int64(i))
		e.Set(event.Raw, `"`+strings.Repeat("x", 30<<20)+`"`)
		e.Set(event.UserAgent, incompressible(30<<20))
	}
	for range 2_000_000 {
		events[0].Tags = append(events[0].Tags, "")
		events[1].Tags = append(events[1].Tags, "tag")
	}
	data := encode(t, acme, nil, events, 1)
	if allocated := allocations(func() {
		if err := verify(data, acme, events); err != nil {
			t.Error(err)
		}
	}); allocated > 40<<20 {
		t.Errorf("%d MB were allocated", allocated>>20)
	}
	for i, change := range []func(e *event.Event){
		func(e *event.Event) { e.Set(event.Raw, e.Get(event.Raw)[:20<<20]+"y"+e.Get(event.Raw)[20<<20+1:]) },
		func(e *event.Event) { e.Tags = append(slices.Clone(e.Tags[:1_999_999]), "x") },
		func(e *event.Event) { e.Tags = e.Tags[:1_999_999] },
	} {
		changed := slices.Clone(events)
		change(&changed[1])
		var m *formats.Mismatch
		if err := verify(data, acme, changed); !errors.As(err, &m) || m.Row != 2 {
			t.Errorf("change %d: %v", i, err)
		}
	}
}
