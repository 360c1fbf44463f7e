package parquet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	gotime "time"

	"github.com/parquet-go/parquet-go/format"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/parquet"
	"daybook/internal/effort"
)

// updating reports whether golden files are to be written anew: the flag is that of package formatstest.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// nasty are events of the kinds that break renderings.
func nasty() []event.Event {
	var list []event.Event
	add := func(set func(e *event.Event)) {
		var e event.Event
		e.Time = at(1_773_100_800_000_000 + int64(len(list)))
		e.Set(event.ID, fmt.Sprint(len(list)))
		e.Set(event.Org, "org")
		e.Set(event.Source, "test")
		e.Set(event.Action, "act")
		set(&e)
		list = append(list, e)
	}
	add(func(*event.Event) {})
	add(func(e *event.Event) {
		for _, f := range event.Fields() {
			if f != event.ID {
				e.Set(f, "")
			}
		}
	})
	add(func(e *event.Event) {
		for _, f := range event.Fields() {
			if f != event.ID {
				e.Set(f, "value of "+f.String())
			}
		}
		e.Set(event.Info, `{"a":1.0,"a":2}`)
		e.SetSourceSeq(0)
		e.Received = at(-1)
		e.Tags = []string{"b", "a", ""}
		e.Flag(event.FlagTimeSuspect)
	})
	add(func(e *event.Event) {
		e.Set(event.ActorName, "a\x00b\r\n\t\u2028é\U0001f600\U0010ffff")
		e.Set(event.UserAgent, "broken \xff\xfe\xc3 utf-8")
		e.Set(event.Info, "\"broken \xff\"")
		e.Set(event.Corrects, "\xed\xa0\x80")
		e.Tags = []string{"\xff", "\xff"}
	})
	add(func(e *event.Event) { e.Set(event.UserAgent, "broken \ufffd\ufffd\ufffd utf-8") }) // equal to the one above once mended
	add(func(e *event.Event) {
		e.Set(event.ID, strings.Repeat("i", 10_000))
		e.Set(event.ObjectID, strings.Repeat("é", 5000))
		e.Set(event.ObjectName, strings.Repeat("\U0010ffff", 2000))
		e.Set(event.SessionID, strings.Repeat("\ud7ff", 2000))
		e.Set(event.Raw, `"`+strings.Repeat("x", 3<<20)+`"`)
		e.Set(event.UserAgent, strings.Repeat("agent", 400_000)) // more than a dictionary holds
		e.SetSourceSeq(math.MaxInt64)
	})
	add(func(e *event.Event) { e.Set(event.Outcome, event.Success) })
	add(func(e *event.Event) { e.Set(event.Outcome, event.Failure) })
	add(func(e *event.Event) { e.Set(event.Outcome, event.Unknown) })
	add(func(e *event.Event) { e.SetSourceSeq(math.MaxUint64) })
	add(func(e *event.Event) { e.Time = gotime.Date(9999, 12, 31, 23, 59, 59, 999_999_999, gotime.UTC) })
	return list
}

func TestEveryValueOfEveryColumn(t *testing.T) {
	events := nasty()
	for _, file := range []formats.File{{Day: 20522}, {Day: 0}, {Day: -1, Trail: "ä/b", Class: ""}} {
		data := encode(t, file, nil, events, len(events))
		check(t, data, file, events)
	}
}

func TestTimesBefore1970(t *testing.T) {
	var events []event.Event
	for i, when := range []gotime.Time{gotime.Date(1, 1, 1, 0, 0, 0, 1, gotime.UTC), gotime.Unix(-1, 999_999_999), gotime.Unix(0, 0), gotime.Unix(0, 1999)} {
		e := event.Event{Time: when}
		e.Set(event.ID, fmt.Sprint(i))
		events = append(events, e)
	}
	check(t, encode(t, acme, nil, events, 1), acme, events)
}

// TestManyPages has enough rows for several pages and row groups, with nulls that come and go, and a column that outgrows its dictionary.
func TestManyPages(t *testing.T) {
	effort.NeedsThorough(t)
	events := newGenerator().events(40_000)
	for i := range events {
		e := &events[i]
		e.Set(event.Corrects, fmt.Sprintf("%06d", 500_000-i)) // falls from page to page
		switch {
		case i < 34_000:
			e.Unset(event.ProjectID) // a page of nulls before the first value
			e.Set(event.Reason, "same")
		case i%3 == 0:
			e.Unset(event.ProjectID)
			e.Set(event.Reason, fmt.Sprintf("%0800d", i))
		}
		if i%5 == 0 {
			e.Tags = []string{"t" + fmt.Sprint(i%7), "u", fmt.Sprint(i)}
			e.SetSourceSeq(uint64(i))
			e.Received = e.Time.Add(gotime.Second)
		}
	}
	data := encode(t, acme, nil, events, 1000)
	check(t, data, acme, events)
	reason := open(t, data).Metadata().RowGroups[0].Columns[21].MetaData
	if got := fmt.Sprint(reason.PathInSchema, reason.Encoding); got != "[reason] [PLAIN RLE RLE_DICTIONARY]" || reason.EncodingStats[1].Count == 0 {
		t.Errorf("%s, encodings %v: want both plain and dictionary pages", got, reason.EncodingStats)
	}
	check(t, encode(t, acme, &parquet.Options{RowGroupRows: 33_333}, events[:36_000], 777), acme, events[:36_000])
}

func TestBatchesDoNotShowInTheBytes(t *testing.T) {
	events := newGenerator().events(1500)
	events[750].Set(event.Raw, `"`+strings.Repeat("y", 2<<20)+`"`)
	for _, o := range []*parquet.Options{nil, {RowGroupRows: 500}, {RowGroupBytes: 200_000}, {Level: 3}} {
		whole := encode(t, acme, o, events, len(events))
		for _, batch := range []int{1, 7, 256, 1001} {
			if !bytes.Equal(whole, encode(t, acme, o, events, batch)) {
				t.Errorf("options %+v: batches of %d give other bytes than one batch", o, batch)
			}
		}
	}
}

func TestRowGroups(t *testing.T) {
	effort.NeedsLong(t)
	rowsOf := func(o *parquet.Options, events []event.Event) (rows []int64) {
		t.Helper()
		data := encode(t, acme, o, events, 500)
		check(t, data, acme, events)
		for _, g := range open(t, data).RowGroups() {
			rows = append(rows, g.NumRows())
		}
		return rows
	}
	events := newGenerator().events(1000)
	if got := fmt.Sprint(rowsOf(nil, events)); got != "[1000]" {
		t.Errorf("default: row groups of %s", got)
	}
	if got := fmt.Sprint(rowsOf(&parquet.Options{RowGroupRows: 400}, events)); got != "[400 400 200]" {
		t.Errorf("by rows: row groups of %s", got)
	}
	if got := rowsOf(&parquet.Options{RowGroupBytes: 100_000}, events); len(got) < 3 {
		t.Errorf("by bytes: row groups of %v", got)
	}
	// A row far longer than the limit has a row group of its own.
	events = events[:3]
	for i := range events {
		events[i].Set(event.Raw, incompressible(2<<20))
	}
	if got := fmt.Sprint(rowsOf(&parquet.Options{RowGroupBytes: 500_000}, events)); got != "[1 1 1]" {
		t.Errorf("long rows: row groups of %s", got)
	}
}

func incompressible(n int) string {
	g := newGenerator()
	var b strings.Builder
	b.WriteByte('"')
	for b.Len() < n {
		b.WriteString(g.uuid())
	}
	b.WriteByte('"')
	return b.String()
}

// TestLongRowsAreBounded writes events of 2 MB each, and looks at the memory that it takes.
func TestLongRowsAreBounded(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	rows, size := 300, 100<<20
	if !effort.Thorough() {
		t.Log("240 MB are written: make test writes 600 MB, and then a giant of 100 MB")
		rows, size = 120, 40<<20
	}
	out := &countingWriter{}
	e, err := parquet.NewEncoder(out, acme, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := incompressible(1 << 20)
	runtime.GC()
	before, peak := heapInUse(), uint64(0)
	for i := range rows {
		ev := event.Event{Time: at(int64(i))}
		ev.Set(event.ID, "x")
		ev.Set(event.Raw, raw)
		ev.Set(event.UserAgent, raw)
		if err := e.Encode([]event.Event{ev}); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			runtime.GC()
			peak = max(peak, heapInUse())
		}
	}
	if grown := peak - before; grown > 100<<20 {
		t.Errorf("heap grew by %d MB", grown>>20)
	}
	// What a giant takes is given back.
	giant := event.Event{Time: at(1000)}
	giant.Set(event.Raw, `"`+strings.Repeat("g", size)+`"`)
	if err := e.Encode([]event.Event{giant}); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	if now := heapInUse(); now > peak+uint64(size)+20<<20 {
		t.Errorf("heap is %d MB higher after a giant of %d MB", (now-peak)>>20, size>>20)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(giant)
}

// TestDictionaries looks at which columns keep a dictionary, and how large one grows.
func TestDictionaries(t *testing.T) {
	effort.NeedsLong(t)
	const rows = 140_000
	events := make([]event.Event, rows)
	for i := range events {
		e := &events[i]
		e.Time = at(int64(i))
		e.Set(event.ProjectID, fmt.Sprint(i%50))
		e.Set(event.SessionID, fmt.Sprint(i/2))           // 70,000 short texts, each twice
		e.Set(event.UserAgent, fmt.Sprintf("%080d", i/2)) // 2 MB of them
		e.Set(event.ActorID, fmt.Sprint(i))               // none twice
		if i%5 == 0 {
			e.Set(event.ObjectID, fmt.Sprint(i)) // none twice, but too few to see that before the page is full
		}
		if e.Set(event.Severity, "info"); i < 9000 {
			e.Set(event.Severity, fmt.Sprint(i)) // none twice for so long that the dictionary is given up
		}
	}
	data := encode(t, acme, &parquet.Options{RowGroupRows: rows}, events, 1000)
	f := open(t, data)
	for _, test := range []struct {
		name       string
		dictionary bool
		values     int
	}{
		{"project_id", true, 50}, {"session_id", true, 1 << 16}, {"user_agent", true, (1 << 20) / 84}, {"actor_id", false, 0}, {"object_id", false, 0}, {"severity", false, 0},
		{"event_id", false, 0}, {"reason", false, 0},
	} {
		leaf, _ := f.Schema().Lookup(test.name)
		chunk := f.RowGroups()[0].ColumnChunks()[leaf.ColumnIndex]
		meta := f.Metadata().RowGroups[0].Columns[leaf.ColumnIndex].MetaData
		if got := meta.DictionaryPageOffset > 0; got != test.dictionary {
			t.Errorf("%s: a dictionary: %v, want %v", test.name, got, test.dictionary)
		}
		pages := chunk.Pages()
		page, err := pages.ReadPage()
		if err != nil {
			t.Fatal(err)
		}
		if d := page.Dictionary(); test.dictionary && d.Len() != test.values {
			t.Errorf("%s: a dictionary of %d texts, want %d", test.name, d.Len(), test.values)
		}
		if err := pages.Close(); err != nil {
			t.Error(err)
		}
		if offsets, err := chunk.OffsetIndex(); test.name == "project_id" && (err != nil || offsets.NumPages() != 5) {
			t.Errorf("%s: %d pages, %v: want one for 32 Ki rows", test.name, offsets.NumPages(), err)
		}
	}
}

// TestUniqueValuesAreNotHeld writes values that never repeat into every column that tries a dictionary.
func TestUniqueValuesAreNotHeld(t *testing.T) {
	out := &countingWriter{}
	e, err := parquet.NewEncoder(out, acme, nil)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	before, peak := heapInUse(), uint64(0)
	batch := make([]event.Event, 500)
	for done := 0; done < 120_000; done += len(batch) {
		for i := range batch {
			batch[i] = event.Event{Time: at(int64(done + i))}
			unique := fmt.Sprintf("a value that is not seen again, number %d", done+i)
			for _, f := range []event.Field{event.ID, event.IP, event.UserAgent, event.ActorID, event.ObjectID, event.ObjectName, event.SessionID, event.CredentialID} {
				batch[i].Set(f, unique)
			}
		}
		if err := e.Encode(batch); err != nil {
			t.Fatal(err)
		}
		if done%20_000 == 0 {
			runtime.GC()
			peak = max(peak, heapInUse())
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if grown := peak - before; grown > 60<<20 {
		t.Errorf("heap grew by %d MB", grown>>20)
	}
}

func TestOrderIsEnforced(t *testing.T) {
	named := func(micros int64, id string) event.Event {
		e := event.Event{Time: at(micros).Add(999)}
		e.Set(event.ID, id)
		return e
	}
	for _, test := range []struct {
		name   string
		events []event.Event
		fine   bool
	}{
		{"rising", []event.Event{named(1, "b"), named(2, "a")}, true},
		{"same time, ids rising", []event.Event{named(1, "a"), named(1, "b")}, true},
		{"a conflict: same time and id", []event.Event{named(1, "a"), named(1, "a")}, true},
		{"time falls", []event.Event{named(2, "a"), named(1, "b")}, false},
		{"id falls", []event.Event{named(1, "b"), named(1, "a")}, false},
		{"ids rise, but not as they are written", []event.Event{named(1, "\U0001f600"), named(1, "\xff")}, false},
		{"below zero", []event.Event{named(-5, "a"), named(-6, "b")}, false},
	} {
		for _, batch := range []int{1, 2} {
			e, err := parquet.NewEncoder(io.Discard, acme, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = nil
			for i := 0; i < 2 && err == nil; i += batch {
				err = e.Encode(test.events[i : i+batch])
			}
			if test.fine != (err == nil) || err != nil && !errors.Is(err, parquet.ErrOrder) {
				t.Errorf("%s, batches of %d: error %v", test.name, batch, err)
			}
			if closed := e.Close(); (closed == nil) != test.fine {
				t.Errorf("%s: Close after the error: %v", test.name, closed)
			}
		}
	}
}

func TestNoEvents(t *testing.T) {
	data := encode(t, acme, nil, nil, 1)
	f := open(t, data)
	if f.NumRows() != 0 || len(f.RowGroups()) != 0 {
		t.Errorf("%d rows in %d row groups", f.NumRows(), len(f.RowGroups()))
	}
	if rows := readRows(t, data); len(rows) != 0 {
		t.Errorf("read %d rows", len(rows))
	}
}

func TestSchema(t *testing.T) {
	golden := filepath.Join("testdata", "schema.txt")
	got := open(t, encode(t, acme, nil, nasty(), 3)).Schema().String() + "\n"
	if updating() {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("schema differs from %s:\n%s", golden, got)
	}
}

func TestMetadata(t *testing.T) {
	data := encode(t, formats.File{Trail: "acme", Class: "security", Day: 20522, Addendum: 3}, nil, nasty(), 100)
	f := open(t, data)
	for key, want := range map[string]string{
		"daybook.schema": "1", "daybook.trail": "acme", "daybook.class": "security", "daybook.day": "2026-03-10", "daybook.seal": "addendum-0003",
	} {
		if got, _ := f.Lookup(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if seal, _ := open(t, encode(t, acme, nil, nil, 1)).Lookup("daybook.seal"); seal != "day" {
		t.Errorf("daybook.seal of a day's own file = %q", seal)
	}
	m := f.Metadata()
	if m.CreatedBy != "daybook version 1.0.0 (build 0)" || m.Version != 1 {
		t.Errorf("created by %q, version %d", m.CreatedBy, m.Version)
	}
	if n := len(m.ColumnOrders); n != 39 {
		t.Errorf("%d column orders", n)
	}
	filters := map[string]bool{}
	for i := range m.RowGroups[0].Columns {
		c := &m.RowGroups[0].Columns[i]
		if c.MetaData.Codec != format.Zstd {
			t.Errorf("%v: codec %v", c.MetaData.PathInSchema, c.MetaData.Codec)
		}
		for _, encoding := range c.MetaData.Encoding {
			if encoding != format.Plain && encoding != format.RLE && encoding != format.RLEDictionary {
				t.Errorf("%v: encoding %v", c.MetaData.PathInSchema, encoding)
			}
		}
		if c.MetaData.BloomFilterOffset > 0 {
			filters[c.MetaData.PathInSchema[0]] = true
		}
		for _, stats := range [][]byte{c.MetaData.Statistics.MinValue, c.MetaData.Statistics.MaxValue} {
			if len(stats) > 1024 {
				t.Errorf("%v: a bound of %d bytes in the footer", c.MetaData.PathInSchema, len(stats))
			}
		}
	}
	for _, name := range []string{"event_id", "ip_address", "actor_id", "object_id", "credential_id"} {
		if !filters[name] {
			t.Errorf("%s has no bloom filter", name)
		}
	}
	if size := binary.LittleEndian.Uint32(data[len(data)-8:]); size > 20_000 {
		t.Errorf("footer of %d bytes for a few rows", size)
	}
}

func TestSequenceBeyondInt64IsNullAndCounted(t *testing.T) {
	var e event.Event
	e.SetSourceSeq(1 << 63)
	enc, err := parquet.NewEncoder(io.Discard, acme, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := enc.Encode([]event.Event{e}); err != nil {
		t.Fatal(err)
	}
	if got := enc.Stats(); got != (formats.Stats{Rows: 1, ValuesCut: 1}) {
		t.Errorf("Stats() = %+v", got)
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, o := range []parquet.Options{{Level: -1}, {Level: 23}, {RowGroupRows: -1}, {RowGroupBytes: -1}} {
		if _, err := parquet.NewEncoder(io.Discard, acme, &o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

// failingWriter fails once it has taken n bytes.
type failingWriter struct{ n int }

var errFull = errors.New("no space left")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	events := newGenerator().events(300)
	size := len(encode(t, acme, &parquet.Options{RowGroupRows: 100}, events, 50))
	for n, step := 0, 997*stride(t); n < size; n += step {
		e, err := parquet.NewEncoder(&failingWriter{n}, acme, &parquet.Options{RowGroupRows: 100})
		if err == nil {
			for i := 0; i < len(events) && err == nil; i += 50 {
				err = e.Encode(events[i : i+50])
			}
			if closed := e.Close(); err == nil {
				err = closed
			} else if closed == nil {
				t.Fatalf("after %d bytes: Close forgets the error", n)
			}
		}
		if !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: error %v", n, err)
		}
	}
}
