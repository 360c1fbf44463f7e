package parquet_test

import (
	"bytes"
	"io"
	"reflect"
	"testing"
	gotime "time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	pq "github.com/parquet-go/parquet-go"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/parquet"
)

// row is a file's row as parquet-go reads it, with nothing of this package's making: its tags are the schema that readers are promised.
type row struct {
	EventTime    int64    `parquet:"event_time,timestamp(microsecond)"`
	EventDate    int32    `parquet:"event_date,date"`
	EventID      string   `parquet:"event_id"`
	Org          string   `parquet:"org"`
	Source       string   `parquet:"source"`
	IPAddress    *string  `parquet:"ip_address,optional"`
	UserAgent    *string  `parquet:"user_agent,optional"`
	ActorID      *string  `parquet:"actor_id,optional"`
	Action       string   `parquet:"action"`
	ObjectID     *string  `parquet:"object_id,optional"`
	ObjectName   *string  `parquet:"object_name,optional"`
	ProjectID    *string  `parquet:"project_id,optional"`
	ProjectName  *string  `parquet:"project_name,optional"`
	Success      *bool    `parquet:"success,optional"`
	Info         *string  `parquet:"info,optional"`
	TokenLabel   *string  `parquet:"token_label,optional"`
	TokenLast4   *string  `parquet:"token_last4,optional"`
	EventType    *string  `parquet:"event_type,optional"`
	Severity     *string  `parquet:"severity,optional"`
	ErrorCode    *string  `parquet:"error_code,optional"`
	ErrorMessage *string  `parquet:"error_message,optional"`
	Reason       *string  `parquet:"reason,optional"`
	ActorType    *string  `parquet:"actor_type,optional"`
	ActorName    *string  `parquet:"actor_name,optional"`
	ActorEmail   *string  `parquet:"actor_email,optional"`
	ActorRole    *string  `parquet:"actor_role,optional"`
	SessionID    *string  `parquet:"session_id,optional"`
	RequestID    *string  `parquet:"request_id,optional"`
	CredentialID *string  `parquet:"credential_id,optional"`
	ObjectType   *string  `parquet:"object_type,optional"`
	Provider     *string  `parquet:"provider,optional"`
	Region       *string  `parquet:"region,optional"`
	Tags         []string `parquet:"tags,optional,list"`
	Changes      *string  `parquet:"changes,optional"`
	Corrects     *string  `parquet:"corrects,optional"`
	SourceSeq    *int64   `parquet:"source_seq,optional"`
	ReceivedTime *int64   `parquet:"received_time,optional,timestamp(microsecond)"`
	Flags        []string `parquet:"flags,optional,list"`
	Raw          *string  `parquet:"raw,optional"`
}

// want is the row that an event must become.
func want(e *event.Event, day event.Day) row {
	text := func(f event.Field) *string {
		if !e.Has(f) {
			return nil
		}
		s := mended(e.Get(f))
		return &s
	}
	plain := func(f event.Field) string { return mended(e.Get(f)) }
	list := func(in []string) (out []string) {
		for _, s := range in {
			out = append(out, mended(s))
		}
		return out
	}
	w := row{
		EventTime: e.Time.UnixMicro(), EventDate: int32(day), EventID: plain(event.ID), Org: plain(event.Org), Source: plain(event.Source),
		IPAddress: text(event.IP), UserAgent: text(event.UserAgent), ActorID: text(event.ActorID), Action: plain(event.Action),
		ObjectID: text(event.ObjectID), ObjectName: text(event.ObjectName), ProjectID: text(event.ProjectID), ProjectName: text(event.ProjectName),
		Info: text(event.Info), TokenLabel: text(event.TokenLabel), TokenLast4: text(event.TokenLast4), EventType: text(event.Type),
		Severity: text(event.Severity), ErrorCode: text(event.ErrorCode), ErrorMessage: text(event.ErrorMessage), Reason: text(event.Reason),
		ActorType: text(event.ActorType), ActorName: text(event.ActorName), ActorEmail: text(event.ActorEmail), ActorRole: text(event.ActorRole),
		SessionID: text(event.SessionID), RequestID: text(event.RequestID), CredentialID: text(event.CredentialID),
		ObjectType: text(event.ObjectType), Provider: text(event.Provider), Region: text(event.Region), Tags: list(e.Tags),
		Changes: text(event.Changes), Corrects: text(event.Corrects), Flags: list(e.Flags), Raw: text(event.Raw),
	}
	if outcome := e.Get(event.Outcome); outcome == event.Success || outcome == event.Failure {
		ok := outcome == event.Success
		w.Success = &ok
	}
	if n, ok := e.SourceSeq(); ok && int64(n) >= 0 {
		seq := int64(n)
		w.SourceSeq = &seq
	}
	if !e.Received.IsZero() {
		micros := e.Received.UnixMicro()
		w.ReceivedTime = &micros
	}
	return w
}

// mended has U+FFFD for each broken byte of s.
func mended(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func encode(t testing.TB, f formats.File, o *parquet.Options, events []event.Event, batch int) []byte {
	t.Helper()
	var out bytes.Buffer
	e, err := parquet.NewEncoder(&out, f, o)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(events); i += batch {
		if err := e.Encode(events[i:min(i+batch, len(events))]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if got := e.Stats().Rows; got != int64(len(events)) {
		t.Errorf("Stats().Rows = %d, want %d", got, len(events))
	}
	return out.Bytes()
}

func open(t testing.TB, data []byte) *pq.File {
	t.Helper()
	f, err := pq.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readRows(t testing.TB, data []byte) []row {
	t.Helper()
	r := pq.NewGenericReader[row](bytes.NewReader(data))
	defer r.Close()
	rows := make([]row, r.NumRows())
	n := 0
	for n < len(rows) {
		m, err := r.Read(rows[n:])
		n += m
		if err == io.EOF || m == 0 {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows[:n]
}

// check reads data back and compares every value of every row with its event, and everything that the file claims with what is in it.
func check(t testing.TB, data []byte, f formats.File, events []event.Event) {
	t.Helper()
	got := readRows(t, data)
	wanted := make([]row, len(events))
	for i := range events {
		wanted[i] = want(&events[i], f.Day)
	}
	if len(got) != len(wanted) {
		t.Fatalf("%d rows, want %d", len(got), len(wanted))
	}
	for i := range got {
		// The reader gives an empty list for null.
		if len(got[i].Tags) == 0 {
			got[i].Tags = nil
		}
		if len(got[i].Flags) == 0 {
			got[i].Flags = nil
		}
	}
	for i := range got {
		if !reflect.DeepEqual(wanted[i], got[i]) { // cmp.Diff takes 20 s for 90,000 rows
			t.Fatalf("row %d differs (-want +got):\n%.4000s", i, cmp.Diff(wanted[i], got[i]))
		}
	}
	checkClaims(t, open(t, data))
}

// checkClaims holds everything that readers prune by against the values themselves: chunk and page bounds, null counts, bloom filters, sorting.
func checkClaims(t testing.TB, f *pq.File) {
	t.Helper()
	sorting := f.Metadata().RowGroups
	var times []int64
	var ids []string
	for g, group := range f.RowGroups() {
		if n := len(sorting[g].SortingColumns); n != 2 {
			t.Fatalf("row group %d declares %d sorting columns", g, n)
		}
		for c, chunk := range group.ColumnChunks() {
			meta := sorting[g].Columns[c].MetaData
			where := meta.PathInSchema
			filter := chunk.BloomFilter()
			index, _ := chunk.(*pq.FileColumnChunk).ColumnIndex()
			offsets, err := chunk.OffsetIndex()
			if err != nil {
				t.Fatalf("%v: %v", where, err)
			}
			kind := chunk.Type().Kind()
			var nulls, values, rows int64
			var least pq.Value
			pages := chunk.Pages()
			for p := 0; ; p++ {
				page, err := pages.ReadPage()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatalf("%v: %v", where, err)
				}
				if got := offsets.FirstRowIndex(p); got != rows {
					t.Errorf("%v: page %d begins at row %d, the index says %d", where, p, rows, got)
				}
				list := make([]pq.Value, page.NumValues())
				n, err := page.Values().ReadValues(list)
				if err != nil && err != io.EOF || n != len(list) {
					t.Fatalf("%v: read %d of %d values: %v", where, n, len(list), err)
				}
				pageNulls := int64(0)
				before, most := least, pq.Value{}
				if index != nil {
					least, most = index.MinValue(p), index.MaxValue(p)
					if index.IsAscending() && !before.IsNull() && !least.IsNull() && chunk.Type().Compare(before, least) > 0 {
						t.Errorf("%v: the index claims to rise, but page %d does not", where, p)
					}
				}
				for _, v := range list {
					if v.IsNull() {
						pageNulls++
						continue
					}
					if index != nil && (chunk.Type().Compare(v, least) < 0 || chunk.Type().Compare(v, most) > 0) {
						t.Fatalf("%v: page %d: %v is outside of %v..%v", where, p, v, least, most)
					}
					for _, limit := range []struct {
						bytes []byte
						sign  int
					}{{meta.Statistics.MinValue, 1}, {meta.Statistics.MaxValue, -1}} {
						if limit.bytes != nil && chunk.Type().Compare(v, kind.Value(limit.bytes))*limit.sign < 0 {
							t.Fatalf("%v: %v is outside of the chunk's bounds", where, v)
						}
					}
					if filter != nil {
						if ok, err := filter.Check(v); !ok || err != nil {
							t.Fatalf("%v: %v is not in the bloom filter: %v", where, v, err)
						}
					}
					switch where[0] {
					case "event_time":
						times = append(times, v.Int64())
					case "event_id":
						ids = append(ids, string(v.ByteArray()))
					}
				}
				if index != nil && (index.NullCount(p) != pageNulls || index.NullPage(p) != (pageNulls == int64(len(list)))) {
					t.Errorf("%v: page %d: null count %d, null page %v, want %d nulls of %d", where, p, index.NullCount(p), index.NullPage(p), pageNulls, len(list))
				}
				nulls += pageNulls
				values += int64(len(list))
				rows += page.NumRows()
				pq.Release(page)
			}
			if err := pages.Close(); err != nil {
				t.Error(err)
			}
			if meta.Statistics.NullCount != nulls || meta.NumValues != values || rows != group.NumRows() {
				t.Errorf("%v: %d nulls of %d values in %d rows, the footer says %d of %d in %d", where, nulls, values, rows, meta.Statistics.NullCount, meta.NumValues, group.NumRows())
			}
		}
	}
	for i := 1; i < len(times); i++ {
		if times[i] < times[i-1] || times[i] == times[i-1] && ids[i] < ids[i-1] {
			t.Fatalf("row %d, (%d, %q), comes before row %d", i, times[i], ids[i], i-1)
		}
	}
}

func at(micros int64) gotime.Time { return gotime.UnixMicro(micros).UTC() }
