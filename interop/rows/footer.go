package rows

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// MinRows is the least number of rows that a row group of ours has which is not the last, unless it is large for other reasons.
const MinRows = 128 << 10

const large = 32 << 20

// bloomed are the columns that have a bloom filter.
var bloomed = []string{"event_id", "ip_address", "actor_id", "object_id", "credential_id"}

// CheckParquet looks with arrow-go at all of a file that a reader may lean on instead of the values: compression, encodings and page versions,
// sorting columns, statistics, page indexes and bloom filters. It reports whatever the values do not bear out, and returns the file's key-value
// metadata. minRows is the least that a row group but the last may have.
func CheckParquet(path string, minRows int64) (map[string]string, error) {
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	meta := map[string]string{}
	for _, kv := range r.MetaData().KeyValueMetadata() {
		meta[kv.Key] = kv.GetValue()
	}
	var errs []error
	for i := range r.NumRowGroups() {
		g := &rowGroup{file: r, n: i, rg: r.RowGroup(i), minRows: minRows}
		if err := g.check(); err != nil {
			errs = append(errs, fmt.Errorf("row group %d: %w", i, err))
		}
	}
	return meta, errors.Join(errs...)
}

type rowGroup struct {
	file    *file.Reader
	n       int
	rg      *file.RowGroupReader
	minRows int64
}

// value is one value of a column: bytes for texts, a number for all else, nothing for null.
type value struct {
	null  bool
	bytes []byte
	num   int64
}

func (v value) compare(o value) int {
	if v.bytes != nil || o.bytes != nil {
		return bytes.Compare(v.bytes, o.bytes)
	}
	return cmp.Compare(v.num, o.num)
}

func (g *rowGroup) check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	rows := g.rg.NumRows()
	if last := g.n == g.file.NumRowGroups()-1; !last && rows < g.minRows && g.rg.ByteSize() < large {
		add("%d rows in %d bytes, want %d at least", rows, g.rg.ByteSize(), g.minRows)
	}
	sorting := g.rg.MetaData().SortingColumns()
	if len(sorting) != 2 || sorting[0].ColumnIdx != 0 || sorting[1].ColumnIdx != 2 || sorting[0].Descending || sorting[1].Descending {
		add("sorting columns %v, want event_time, event_id", sorting)
	}
	columns := make([][]value, g.rg.NumColumns())
	for i := range columns {
		name := g.file.MetaData().Schema.Column(i).Path()
		values, err := g.values(i)
		if err != nil {
			add("%s: %w", name, err)
			continue
		}
		columns[i] = values
		for _, check := range []func(int, []value) error{g.checkPages, g.checkStatistics, g.checkIndex, g.checkBloom} {
			if err := check(i, values); err != nil {
				add("%s: %w", name, err)
			}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for i := 1; i < len(columns[0]); i++ {
		if order := cmp.Or(columns[0][i-1].compare(columns[0][i]), columns[2][i-1].compare(columns[2][i])); order > 0 {
			add("rows %d and %d are not in the order of event_time and event_id", i-1, i)
			break
		}
	}
	return errors.Join(errs...)
}

// values reads a column. Of a list it gives the elements, a list without any as null.
func (g *rowGroup) values(i int) ([]value, error) {
	column, err := g.rg.Column(i)
	if err != nil {
		return nil, err
	}
	maxDef := column.Descriptor().MaxDefinitionLevel()
	n := g.rg.MetaData()
	chunk, err := n.ColumnChunk(i)
	if err != nil {
		return nil, err
	}
	total := chunk.NumValues()
	def, rep := make([]int16, total), make([]int16, total)
	var all []value
	read := func(batch func(done int64) (int64, int, error), at func(j int) value) error {
		for done := int64(0); done < total; {
			levels, _, err := batch(done)
			if err != nil {
				return err
			}
			if levels == 0 {
				return fmt.Errorf("%d values, %d announced", done, total)
			}
			k := 0
			for j := done; j < done+levels; j++ {
				if maxDef > 0 && def[j] < maxDef {
					all = append(all, value{null: true})
					continue
				}
				all = append(all, at(k))
				k++
			}
			done += levels
		}
		return nil
	}
	switch c := column.(type) {
	case *file.ByteArrayColumnChunkReader:
		buf := make([]parquet.ByteArray, total)
		err = read(func(done int64) (int64, int, error) { return c.ReadBatch(total-done, buf, def[done:], rep[done:]) },
			func(k int) value { return value{bytes: append([]byte{}, buf[k]...)} })
	case *file.Int64ColumnChunkReader:
		buf := make([]int64, total)
		err = read(func(done int64) (int64, int, error) { return c.ReadBatch(total-done, buf, def[done:], rep[done:]) },
			func(k int) value { return value{num: buf[k]} })
	case *file.Int32ColumnChunkReader:
		buf := make([]int32, total)
		err = read(func(done int64) (int64, int, error) { return c.ReadBatch(total-done, buf, def[done:], rep[done:]) },
			func(k int) value { return value{num: int64(buf[k])} })
	case *file.BooleanColumnChunkReader:
		buf := make([]bool, total)
		err = read(func(done int64) (int64, int, error) { return c.ReadBatch(total-done, buf, def[done:], rep[done:]) },
			func(k int) value {
				if buf[k] {
					return value{num: 1}
				}
				return value{}
			})
	default:
		return nil, fmt.Errorf("unexpected type %v", column.Type())
	}
	return all, err
}

// checkPages wants zstd, data pages of version 1, plain or dictionary encoding, and no dictionary that a reader would choke on.
func (g *rowGroup) checkPages(i int, _ []value) error {
	chunk, err := g.rg.MetaData().ColumnChunk(i)
	if err != nil {
		return err
	}
	if chunk.Compression() != compress.Codecs.Zstd {
		return fmt.Errorf("compressed with %v", chunk.Compression())
	}
	for _, e := range chunk.Encodings() {
		if e != parquet.Encodings.Plain && e != parquet.Encodings.RLE && e != parquet.Encodings.RLEDict && e != parquet.Encodings.PlainDict {
			return fmt.Errorf("encoding %v", e)
		}
	}
	pages, err := g.rg.GetColumnPageReader(i)
	if err != nil {
		return err
	}
	defer pages.Close()
	const maxDictionary = 4 << 20
	for pages.Next() {
		switch p := pages.Page(); p.Type() {
		case metadataPageDictionary:
			if n := len(p.Data()); n > maxDictionary {
				return fmt.Errorf("a dictionary of %d bytes", n)
			}
		case metadataPageData:
		default:
			return fmt.Errorf("a page of type %v", p.Type())
		}
	}
	return pages.Err()
}

const (
	metadataPageData       = file.PageType(0)
	metadataPageDictionary = file.PageType(2)
)

func (g *rowGroup) checkStatistics(i int, values []value) error {
	chunk, err := g.rg.MetaData().ColumnChunk(i)
	if err != nil {
		return err
	}
	stats, err := chunk.Statistics()
	if err != nil || stats == nil {
		return err
	}
	nulls := int64(0)
	for _, v := range values {
		if v.null {
			nulls++
		}
	}
	if stats.HasNullCount() && stats.NullCount() != nulls {
		return fmt.Errorf("statistics say %d nulls, there are %d", stats.NullCount(), nulls)
	}
	if !stats.HasMinMax() {
		return nil
	}
	return within(values, decode(chunk.Type(), stats.EncodeMin()), decode(chunk.Type(), stats.EncodeMax()))
}

func decode(t parquet.Type, b []byte) value {
	switch {
	case t == parquet.Types.ByteArray:
		return value{bytes: append([]byte{}, b...)}
	case t == parquet.Types.Int64 && len(b) == 8:
		return value{num: int64(binary.LittleEndian.Uint64(b))}
	case t == parquet.Types.Int32 && len(b) == 4:
		return value{num: int64(int32(binary.LittleEndian.Uint32(b)))}
	case t == parquet.Types.Boolean && len(b) == 1:
		return value{num: int64(b[0])}
	}
	return value{num: math.MinInt64}
}

func within(values []value, low, high value) error {
	for _, v := range values {
		if !v.null && (v.compare(low) < 0 || v.compare(high) > 0) {
			return fmt.Errorf("%v lies outside of [%v, %v]", v, low, high)
		}
	}
	return nil
}

func (v value) String() string {
	if v.bytes != nil {
		return fmt.Sprintf("%q", v.bytes)
	}
	return fmt.Sprint(v.num)
}

// checkIndex wants an offset index, and a column index whose bounds hold for each page. A list's pages are not looked into.
func (g *rowGroup) checkIndex(i int, values []value) error {
	reader, err := g.file.GetPageIndexReader().RowGroup(g.n)
	if err != nil {
		return err
	}
	if reader == nil {
		return errors.New("no page index")
	}
	offsets, err := reader.GetOffsetIndex(i)
	if err != nil {
		return err
	}
	if offsets == nil {
		return errors.New("no offset index")
	}
	pages := offsets.GetPageLocations()
	index, err := reader.GetColumnIndex(i)
	if err != nil || index == nil {
		return err
	}
	nulls := index.GetNullPages()
	if len(nulls) != len(pages) {
		return fmt.Errorf("column index of %d pages, offset index of %d", len(nulls), len(pages))
	}
	descr := g.file.MetaData().Schema.Column(i)
	if descr.MaxRepetitionLevel() > 0 {
		return nil
	}
	for p := range pages {
		to := int64(len(values))
		if p+1 < len(pages) {
			to = pages[p+1].FirstRowIndex
		}
		page := values[pages[p].FirstRowIndex:to]
		count := int64(0)
		for _, v := range page {
			if v.null {
				count++
			}
		}
		if nulls[p] != (count == int64(len(page))) {
			return fmt.Errorf("page %d: said to be all null: %v", p, nulls[p])
		}
		if index.IsSetNullCounts() && index.GetNullCounts()[p] != count {
			return fmt.Errorf("page %d: %d nulls, said to be %d", p, count, index.GetNullCounts()[p])
		}
		if nulls[p] {
			continue
		}
		t := descr.PhysicalType()
		if err := within(page, decode(t, index.GetMinValues()[p]), decode(t, index.GetMaxValues()[p])); err != nil {
			return fmt.Errorf("page %d: %w", p, err)
		}
	}
	return checkOrder(index, descr.PhysicalType())
}

// checkOrder holds the index to what it says of the order of its bounds: readers search by it.
func checkOrder(index metadata.ColumnIndex, t parquet.Type) error {
	if index.GetBoundaryOrder() == metadata.Unordered {
		return nil
	}
	var previous []value
	for p, null := range index.GetNullPages() {
		if null {
			continue
		}
		bounds := []value{decode(t, index.GetMinValues()[p]), decode(t, index.GetMaxValues()[p])}
		for k := range previous {
			order := previous[k].compare(bounds[k])
			if index.GetBoundaryOrder() == metadata.Descending {
				order = -order
			}
			if order > 0 {
				return fmt.Errorf("page %d: bounds are not in the order that is said", p)
			}
		}
		previous = bounds
	}
	return nil
}

// checkBloom wants a filter that knows every value and few others, where there is to be one.
func (g *rowGroup) checkBloom(i int, values []value) error {
	name := g.file.MetaData().Schema.Column(i).Path()
	reader, err := g.file.GetBloomFilterReader().RowGroup(g.n)
	if err != nil {
		return err
	}
	var filter metadata.BloomFilter
	if reader != nil {
		if filter, err = reader.GetColumnBloomFilter(i); err != nil {
			return err
		}
	}
	if !slices.Contains(bloomed, name) || !slices.ContainsFunc(values, func(v value) bool { return !v.null }) {
		return nil
	}
	if filter == nil {
		return errors.New("no bloom filter")
	}
	for _, v := range values {
		if !v.null && !filter.CheckHash(metadata.GetHash(filter.Hasher(), parquet.ByteArray(v.bytes))) {
			return fmt.Errorf("the bloom filter does not know %v", v)
		}
	}
	const strangers = 2000
	known := 0
	for n := range strangers {
		if filter.CheckHash(metadata.GetHash(filter.Hasher(), parquet.ByteArray(fmt.Sprintf("nobody-%d", n)))) {
			known++
		}
	}
	if known > strangers/10 {
		return fmt.Errorf("the bloom filter claims to know %d of %d values that are not there", known, strangers)
	}
	return nil
}
