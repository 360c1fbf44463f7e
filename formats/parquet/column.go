package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"math"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"

	"daybook/event"
)

const (
	// A page is cut when it holds so many rows, or so many bytes of plain values. A row is never split.
	pageRows  = 32 << 10
	pageBytes = 1 << 20

	// levelRoom is left free in front of plain values, so that the levels can be put there without moving what follows: the length, one run's
	// header and a bit per row.
	levelRoom = 4 + binary.MaxVarintLen32 + pageRows/8

	// trialValues is after how many values a dictionary that found hardly any repeated one is given up.
	trialValues = 8 << 10
)

var errPageSize = errors.New("value too long for a Parquet page")

// column collects one column of the row group being written: finished pages, compressed, and the page under construction.
//
// What it does with a row depends on the rows of the row group before it alone, and not on how they were cut into batches: that is what makes
// the bytes of the file reproducible.
type column struct {
	*spec
	shared *shared

	// The page under construction.
	rows    int     // rows in it
	count   int     // values in it that are not null
	valid   []byte  // a bit per row of a flat optional column: not null
	reps    []byte  // the repetition level of each entry of a list column
	defs    []byte  // the definition level of each entry of a list column
	plain   []byte  // levelRoom, then plain values
	ids     []int32 // numbers in dict, while the column keeps one
	bits    []byte  // booleans, a bit each
	lastID  int32   // the number of the value before, -1 if there is none
	least   bound
	most    bound
	leastN  int64
	mostN   int64
	changed int64 // values not written as they are, see Stats.ValuesCut

	dict     *dictionary // nil for columns without
	indexing bool        // values still go to dict
	indexed  bool        // a page of the chunk refers to dict
	hashes   []uint64    // for the bloom filter, of the values that are not in dict

	chunk chunk
}

// bound is where a text stands that is the least or the greatest of its page: in the plain values, or in the dictionary.
type bound struct{ start, end int }

// shared is the memory that the columns of an encoder use in turn.
type shared struct {
	blocks  blocks
	body    []byte
	levels  []byte
	packed  []byte
	zipped  []byte
	ahead   [measureRows]ahead
	zip     func(dst, src []byte) []byte
	headers headerWriter
}

func newColumn(s *spec, sh *shared, seed maphash.Seed) *column {
	c := &column{spec: s, shared: sh, lastID: -1}
	if s.dict {
		c.dict = &dictionary{seed: seed}
	}
	if !s.required && s.kind != list {
		c.valid = make([]byte, pageRows/8)
	}
	c.indexing = s.dict
	return c
}

// buffered returns how many bytes of memory the column takes up.
func (c *column) buffered() int64 {
	n := c.chunk.data.size + int64(len(c.plain)) + int64(4*len(c.ids)) + int64(8*len(c.hashes)+len(c.defs)+len(c.reps))
	if c.dict != nil {
		n += int64(len(c.dict.page) + 12*len(c.dict.table))
	}
	return n
}

// appendRows adds the column's value of each event.
func (c *column) appendRows(events []event.Event, day event.Day) error {
	switch c.kind {
	case text:
		return c.appendTexts(events)
	case list:
		return c.appendLists(events)
	}
	for i := range events {
		e := &events[i]
		switch c.kind {
		case time:
			c.putInt64(e.Time.UnixMicro())
		case date:
			c.putInt32(int32(day))
		case received:
			if !e.Received.IsZero() {
				c.putInt64(e.Received.UnixMicro())
			}
		case sequence:
			if n, ok := e.SourceSeq(); ok && n <= math.MaxInt64 {
				c.putInt64(int64(n))
			} else if ok {
				c.changed++
			}
		case success:
			switch e.Get(event.Outcome) {
			case event.Success:
				c.putBool(true)
			case event.Failure:
				c.putBool(false)
			}
		}
		if err := c.endRow(); err != nil {
			return err
		}
	}
	return nil
}

func (c *column) appendTexts(events []event.Event) error {
	f := c.field
	looked := c.lookAhead(events)
	for i := range events {
		e := &events[i]
		if e.Has(f) || c.required {
			s := e.Get(f)
			if looked && c.indexing && c.dict.is(c.shared.ahead[i].dictEntry, s, c.shared.ahead[i].want) {
				c.putIndexed(c.shared.ahead[i].id - 1)
			} else if err := c.putText(s); err != nil {
				return err
			}
		}
		if err := c.endRow(); err != nil {
			return err
		}
	}
	return nil
}

// ahead is what was found for a text before it is put.
type ahead struct {
	dictEntry
	want uint32
}

// lookAhead looks up the texts of all events before the first is put, so that the processor waits for many places of the table at once
// rather than for one after the other. What it finds stays true: an entry never changes.
func (c *column) lookAhead(events []event.Event) bool {
	if !c.indexing || c.dict.len() < 256 {
		return false
	}
	f, d := c.field, c.dict
	list := c.shared.ahead[:len(events)]
	for i := range list {
		list[i].want = d.hash(events[i].Get(f))
	}
	for i := range list {
		list[i].dictEntry = d.guess(list[i].want)
	}
	return true
}

func (c *column) appendLists(events []event.Event) error {
	for i := range events {
		values := c.list(&events[i])
		if len(values) == 0 {
			c.reps, c.defs = append(c.reps, 0), append(c.defs, 0)
		}
		for j, s := range values {
			if err := c.putText(s); err != nil {
				return err
			}
			c.reps, c.defs = append(c.reps, byte(min(j, 1))), append(c.defs, 2)
		}
		if err := c.endRow(); err != nil {
			return err
		}
	}
	return nil
}

// endRow counts the row, and ends the page where it is full.
func (c *column) endRow() error {
	c.rows++
	if c.rows < pageRows && len(c.plain) < pageBytes && len(c.ids) < 2*pageRows {
		return nil
	}
	return c.endPage()
}

func (c *column) present() {
	if c.valid != nil {
		c.valid[c.rows>>3] |= 1 << (c.rows & 7)
	}
	c.count++
}

func (c *column) putInt64(n int64) {
	c.room()
	c.plain = binary.LittleEndian.AppendUint64(c.plain, uint64(n))
	c.boundInt(n)
}

func (c *column) putInt32(n int32) {
	c.room()
	c.plain = binary.LittleEndian.AppendUint32(c.plain, uint32(n))
	c.boundInt(int64(n))
}

func (c *column) putBool(b bool) {
	if c.count&7 == 0 {
		c.bits = append(c.bits, 0)
	}
	n := int64(0)
	if b {
		n = 1
		c.bits[c.count>>3] |= 1 << (c.count & 7)
	}
	c.boundInt(n)
}

func (c *column) boundInt(n int64) {
	if c.count == 0 {
		c.leastN, c.mostN = n, n
	} else {
		c.leastN, c.mostN = min(c.leastN, n), max(c.mostN, n)
	}
	c.present()
}

func (c *column) room() {
	if len(c.plain) == 0 {
		if cap(c.plain) < levelRoom {
			c.plain = make([]byte, levelRoom, 4*levelRoom)
		}
		c.plain = c.plain[:levelRoom]
	}
}

// putText adds a text. What is not UTF-8 is written as in the evidence row: a U+FFFD for each broken byte.
func (c *column) putText(s string) error {
	if c.indexing {
		if full := c.index(s); !full {
			return nil
		}
		// The values up to here stay on a page of their own that refers to the dictionary; but a list is not split between pages.
		if c.rows == 0 || c.kind == list {
			c.unindexPage()
		} else if err := c.endPage(); err != nil {
			return err
		}
		c.indexing = false
	}
	c.putPlain(validText(s))
	return nil
}

// index adds s by its number in the dictionary. It reports whether the dictionary has no room for it: then it has added nothing.
func (c *column) index(s string) (full bool) {
	d := c.dict
	id := c.lastID
	if id < 0 || string(d.text(id)) != s {
		hash := d.hash(s)
		if id = d.find(s, hash); id < 0 && !utf8.ValidString(s) {
			s = validText(s)
			hash = d.hash(s)
			id = d.find(s, hash)
		}
		if id < 0 {
			if id = d.insert(s, hash); id < 0 {
				return true
			}
		}
		c.lastID = id
	}
	c.putIndexed(id)
	return false
}

func (c *column) putIndexed(id int32) {
	if c.dict.see(id) {
		c.boundIndexed(id)
	}
	c.ids = append(c.ids, id)
	c.present()
	if !c.indexed && len(c.ids) == trialValues && c.dict.len() > trialValues*7/8 {
		c.unindexPage()
		c.indexing = false
	}
}

// boundIndexed takes a text of the dictionary into the page's bounds, which are kept as numbers of texts.
func (c *column) boundIndexed(id int32) {
	if !c.bounds {
		return
	}
	if c.count == 0 {
		c.leastN, c.mostN = int64(id), int64(id)
		return
	}
	s := c.dict.text(id)
	if bytes.Compare(s, c.dict.text(int32(c.leastN))) < 0 {
		c.leastN = int64(id)
	}
	if bytes.Compare(s, c.dict.text(int32(c.mostN))) > 0 {
		c.mostN = int64(id)
	}
}

func (c *column) putPlain(s string) {
	c.room()
	c.plain = binary.LittleEndian.AppendUint32(c.plain, uint32(len(s)))
	start := len(c.plain)
	c.plain = append(c.plain, s...)
	if c.bounds {
		here := bound{start, len(c.plain)}
		switch {
		case c.count == 0:
			c.least, c.most = here, here
		case s < string(c.plain[c.least.start:c.least.end]):
			c.least = here
		case s > string(c.plain[c.most.start:c.most.end]):
			c.most = here
		}
	}
	if c.bloom {
		c.hashes = append(c.hashes, xxhash.Sum64(unsafe.Slice(unsafe.StringData(s), len(s))))
	}
	c.present()
}

// unindexPage turns the page under construction into one of plain values.
func (c *column) unindexPage() {
	ids, d, valid := c.ids, c.dict, c.valid
	c.ids, c.valid, c.count = c.ids[:0], nil, 0
	for _, id := range ids {
		s := d.text(id)
		c.putPlain(unsafe.String(unsafe.SliceData(s), len(s)))
	}
	c.valid = valid
}

// validText returns s with U+FFFD for every byte that is not part of valid UTF-8.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

// endPage compresses the page under construction and begins the next.
func (c *column) endPage() error {
	if c.rows == 0 {
		return nil
	}
	// A dictionary in which hardly anything comes twice is no use: the first page decides.
	if c.indexing && !c.indexed && 3*c.dict.len() > 2*len(c.ids) && len(c.ids) > 0 {
		c.unindexPage()
		c.indexing = false
	}
	encoding := format.Plain
	if len(c.ids) > 0 {
		encoding = format.RLEDictionary
		c.indexed = true
	}
	p := page{rows: c.rows, entries: c.rows, nulls: c.rows - c.count, encoding: encoding}
	if c.kind == list {
		p.entries = len(c.defs)
		p.nulls = p.entries - c.count
	}
	if c.count > 0 && c.bounds {
		p.least, p.most = c.pageBounds()
	}
	body := c.body()
	if len(body) > math.MaxInt32 {
		return errPageSize
	}
	sh := c.shared
	sh.zipped = sh.zip(sh.zipped[:0], body)
	if len(sh.zipped) > math.MaxInt32 {
		return errPageSize
	}
	if err := c.chunk.addPage(sh, c.spec, p, len(body), sh.zipped); err != nil {
		return err
	}
	c.resetPage()
	return nil
}

func (c *column) resetPage() {
	c.rows, c.count = 0, 0
	clear(c.valid)
	c.reps, c.defs, c.bits, c.ids = c.reps[:0], c.defs[:0], c.bits[:0], c.ids[:0]
	if c.dict != nil {
		c.dict.unsee()
	}
	c.plain = trim(c.plain)
	c.shared.zipped, c.shared.body = trim(c.shared.zipped), trim(c.shared.body)
}

// trim empties b, and lets its memory go if a giant value has made it far larger than a page.
func trim(b []byte) []byte {
	if cap(b) > 4*pageBytes {
		return nil
	}
	return b[:0]
}

// pageBounds returns the least and greatest value of the page, as the footer has them. They hold until the page is reset.
func (c *column) pageBounds() (least, most []byte) {
	switch {
	case c.kind == success:
		return []byte{byte(c.leastN)}, []byte{byte(c.mostN)}
	case c.kind == date:
		return binary.LittleEndian.AppendUint32(nil, uint32(c.leastN)), binary.LittleEndian.AppendUint32(nil, uint32(c.mostN))
	case c.kind != text && c.kind != list:
		return binary.LittleEndian.AppendUint64(nil, uint64(c.leastN)), binary.LittleEndian.AppendUint64(nil, uint64(c.mostN))
	case len(c.ids) > 0:
		return c.dict.text(int32(c.leastN)), c.dict.text(int32(c.mostN))
	}
	return c.plain[c.least.start:c.least.end], c.plain[c.most.start:c.most.end]
}

var (
	repetitionLevels = rle.Encoding{BitWidth: 1}
	listLevels       = rle.Encoding{BitWidth: 2}
)

// body returns the page before compression: the levels, then the values.
func (c *column) body() []byte {
	sh := c.shared
	sh.levels = c.appendLevels(sh.levels[:0])
	if c.kind != success && len(c.ids) == 0 && len(c.plain) > 0 && len(sh.levels) <= levelRoom {
		start := levelRoom - len(sh.levels)
		copy(c.plain[start:], sh.levels)
		return c.plain[start:]
	}
	sh.body = append(sh.body[:0], sh.levels...)
	switch {
	case c.kind == success:
		sh.body = append(sh.body, c.bits...)
	case len(c.ids) > 0:
		width := max(1, bitsFor(c.dict.len()-1))
		packed := rle.Encoding{BitWidth: width}
		sh.packed, _ = packed.EncodeInt32(sh.packed, c.ids) // fails for widths over 32 only
		sh.body = append(append(sh.body, byte(width)), sh.packed...)
	case len(c.plain) > 0:
		sh.body = append(sh.body, c.plain[levelRoom:]...)
	}
	return sh.body
}

func (c *column) appendLevels(dst []byte) []byte {
	switch {
	case c.kind == list:
		sh := c.shared
		sh.packed, _ = repetitionLevels.EncodeLevels(sh.packed, c.reps)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(sh.packed)))
		dst = append(dst, sh.packed...)
		sh.packed, _ = listLevels.EncodeLevels(sh.packed, c.defs)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(sh.packed)))
		return append(dst, sh.packed...)
	case c.required:
		return dst
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	switch c.count {
	case 0:
		dst = append(binary.AppendUvarint(dst, uint64(c.rows)<<1), 0)
	case c.rows:
		dst = append(binary.AppendUvarint(dst, uint64(c.rows)<<1), 1)
	default:
		groups := (c.rows + 7) / 8
		dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
		dst = append(dst, c.valid[:groups]...)
	}
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
