package interop_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/cef"
	"daybook/formats/csv"
	"daybook/formats/jsonl"
	"daybook/formats/parquet"
	"daybook/formats/syslog"
	"daybook/interop/generate"
	"daybook/interop/rows"
)

// write renders events in every format, as the export does.
func write(t *testing.T, date event.Day, events []event.Event, o *parquet.Options) day {
	t.Helper()
	dir := t.TempDir()
	d := day{
		date:  date.String(),
		jsonl: filepath.Join(dir, "day.jsonl.zst"), csv: filepath.Join(dir, "day.csv.gz"), parquet: filepath.Join(dir, "day.parquet"),
		cef: filepath.Join(dir, "day.cef.gz"), syslog: filepath.Join(dir, "day.log.gz"),
	}
	render := func(path string, encoder func(io.Writer) (formats.Encoder, error)) {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		var w io.WriteCloser = f
		switch filepath.Ext(path) {
		case ".gz":
			if w, err = gzip.NewWriterLevel(f, gzip.BestSpeed); err != nil {
				t.Fatal(err)
			}
		case ".zst":
			if w, err = zstd.NewWriter(f); err != nil {
				t.Fatal(err)
			}
		}
		e, err := encoder(w)
		if err != nil {
			t.Fatal(err)
		}
		for batch := range slices.Chunk(events, 1000) {
			if err := e.Encode(batch); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if w != f {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	render(d.jsonl, func(w io.Writer) (formats.Encoder, error) { return jsonl.NewEncoder(w), nil })
	render(d.csv, func(w io.Writer) (formats.Encoder, error) { return csv.NewEncoder(w, nil), nil })
	render(d.cef, func(w io.Writer) (formats.Encoder, error) { return cef.NewEncoder(w, nil), nil })
	render(d.syslog, func(w io.Writer) (formats.Encoder, error) { return syslog.NewEncoder(w, nil), nil })
	render(d.parquet, func(w io.Writer) (formats.Encoder, error) {
		return parquet.NewEncoder(w, formats.File{Trail: "audit", Class: "standard", Day: date}, o)
	})
	return d
}

// TestAwkwardEvents holds every format to values that real systems and attackers write.
func TestAwkwardEvents(t *testing.T) {
	date, err := event.ParseDay("2026-03-10")
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{
		"plain", "", " leading and trailing ", "comma, quote \" and ' apostrophe", `back\slash \n \" \u0041 C:\x`, "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'",
		"'=quoted", "\t=tab", "\rcr", "line\nfeed", "carriage\rreturn", "both\r\nof them", "nul\x00 bell\x07 escape\x1b del\x7f", "C1 \u0085 \u009b", "\u2028 and \u2029",
		"a=b c=d cs1=e cs1Label=f", "pipe | pipe || \\| \\", `]["]\]`, "ends in backslash\\", "[audit@32473 eventId=\"forged\"]", "<110>1 - - - - - -",
		"naïve 日本語 \U0001F512 e\u0301", "\ufeffBOM", "\ufffd", "NULL", "null", "true", "1e5", "0123", "2026-03-10T00:00:00Z", "{\"a\":1}", `\N`, `\.`, "nan",
		strings.Repeat("long ", 300), strings.Repeat("é", 2100), strings.Repeat("x", 62) + "é", strings.Repeat("\n", 1500), strings.Repeat(`"\]`, 400),
	}
	infos := []string{
		"", "{}", "[]", "0", `""`, `{"a":1.0,"b":1e400,"c":12345678901234567890}`, `{"a":"\u0000\ud83d\ude00\/","a":"twice"}`, `{"a=b c=d":"x | y \\ \" ]"}`,
		`{ "spaces" : [ 1 , 2 ] }`, `{"long":"` + strings.Repeat("0123456789", 390) + `"}`, `{"long":"` + strings.Repeat("é", 3000) + `"}`,
		`{"long":"` + strings.Repeat(`\"`, 2000) + `"}`, `{"long":"` + strings.Repeat(`]`, 10_000) + `"}`,
	}
	var events []event.Event
	for i := range 4 * len(texts) {
		var e event.Event
		e.Time = date.Start().Add(time.Duration(i)*time.Second + []time.Duration{0, 1, 999, 123_456_789, 999_999_999}[i%5])
		for _, f := range event.Fields() {
			switch {
			case f == event.Info:
				e.SetNonEmpty(f, infos[i%len(infos)])
			case f == event.Changes || f == event.Raw:
				if i%3 == 0 {
					e.SetNonEmpty(f, infos[(i+int(f))%len(infos)])
				}
			case (i+int(f))%7 != 0:
				e.Set(f, texts[(i+11*int(f))%len(texts)])
			}
		}
		e.Set(event.ID, fmt.Sprintf("%04d%s", i, texts[i%len(texts)]))
		e.Set(event.Source, "test")
		e.Set(event.Org, "default")
		e.SetNonEmpty(event.Action, "a"+texts[(i+3)%len(texts)])
		e.Set(event.Outcome, []string{event.Success, event.Failure, event.Unknown}[i%3])
		e.Set(event.Severity, []string{"info", "low", "medium", "high", "critical"}[i%5])
		e.Set(event.IP, []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0", "cloudtrail.amazonaws.com", "702.21.198.166", "192.0.2.01", "::ffff:192.0.2.1", "AWS Internal"}[i%8])
		if i%4 == 0 {
			e.Tags = []string{"", "b,c", "é\n", `"`}
			e.Flag(event.FlagIPInvalid)
			e.SetSourceSeq(math.MaxInt64 - uint64(i))
			e.Received = e.Time.Add(time.Hour)
		}
		events = append(events, e)
	}
	d := write(t, date, events, nil)
	evidence := d.compare(t)
	t.Run("syslog by rsyslog", func(t *testing.T) { startRsyslog(t).compare(t, d.syslog) })
	if len(evidence) != len(events) {
		t.Errorf("%d events in the evidence, want %d", len(evidence), len(events))
	}
	for i, row := range evidence {
		for _, f := range event.Fields() {
			if got, there := row[f.String()]; there != events[i].Has(f) || got != events[i].Get(f) {
				t.Errorf("event %d, %s: %q in the evidence, %q in the event", i, f, got, events[i].Get(f))
			}
		}
	}
}

// TestEmptyDay holds every format to what a day without events has: its header, its schema and no rows.
func TestEmptyDay(t *testing.T) {
	if evidence := write(t, 20_000, nil, nil).compare(t); len(evidence) > 0 {
		t.Errorf("%d events", len(evidence))
	}
}

// TestCheckParquetFindsFaults gives the check a file of another writer, with all the faults that ours must not have.
func TestCheckParquetFindsFaults(t *testing.T) {
	db := openDuck(t)
	path := filepath.Join(t.TempDir(), "other.parquet")
	err := db.Exec(fmt.Sprintf(`COPY (SELECT (10 - i) AS event_time, 1 AS event_date, 'id' || i AS event_id, 'ip' || i AS ip_address FROM range(20) AS r(i))
		TO %s (FORMAT parquet, COMPRESSION snappy)`, quote(path)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = rows.CheckParquet(path, 0)
	for _, want := range []string{"compressed with SNAPPY", "sorting columns", "no page index", "no bloom filter"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among the faults: %v", want, err)
		}
	}
}

// TestBusyDay holds every format to a day with several row groups, and Parquet's indexes to what they say.
func TestBusyDay(t *testing.T) {
	o := generate.Options{Events: 30_000, Files: 1, RepeatEvery: -1}
	paths, err := generate.Day(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	var events []event.Event
	f, err := os.Open(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var decoder jsonl.Decoder
	for record, err := range decoder.Records(f, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		var e event.Event
		if err := decoder.Decode(append([]byte(nil), record.Data...), &e); err != nil {
			t.Fatal(err)
		}
		e.Set(event.Org, "default")
		e.Set(event.Source, "jsonl")
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b event.Event) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Get(event.ID), b.Get(event.ID))
	})
	const groupRows = 8 << 10
	d := write(t, event.DayOf(events[0].Time), events, &parquet.Options{RowGroupRows: groupRows})
	if n := len(linesOf(t, d.cef)); n != o.Events {
		t.Errorf("%d lines of CEF, want %d", n, o.Events)
	}
	if n := len(linesOf(t, d.syslog)); n != o.Events {
		t.Errorf("%d lines of syslog, want %d", n, o.Events)
	}
	if _, err := rows.CheckParquet(d.parquet, groupRows); err != nil {
		t.Error(err)
	}
	db := openDuck(t)
	if n := one(t, db, "SELECT count(DISTINCT row_group_id)::VARCHAR FROM parquet_metadata(%s)", quote(d.parquet)); n != "4" {
		t.Errorf("%s row groups, want 4", n)
	}
	for _, view := range []string{
		fmt.Sprintf("j AS SELECT * FROM read_json(%s, format = 'newline_delimited', columns = %s)", quote(d.jsonl), evidenceColumns),
		fmt.Sprintf("p AS SELECT * FROM read_parquet(%s, hive_partitioning = false)", quote(d.parquet)),
		fmt.Sprintf("c AS SELECT * FROM read_csv(%s, header = true, all_varchar = true)", quote(d.csv)),
	} {
		if err := db.Exec("CREATE VIEW " + view); err != nil {
			t.Fatal(err)
		}
	}
	same := func(name, a, b string) {
		t.Helper()
		n := one(t, db, "SELECT count(*)::VARCHAR FROM ((SELECT %[1]s EXCEPT ALL SELECT %[2]s) UNION ALL (SELECT %[2]s EXCEPT ALL SELECT %[1]s))", a, b)
		if n != "0" {
			t.Errorf("%s: %s rows differ", name, n)
		}
	}
	const texts = "action, user_agent, actor_id, object_id, object_name, project_id, project_name, info::VARCHAR, token_label, token_last4, error_message, session_id"
	same("JSONL and Parquet", "time::TIMESTAMPTZ, id, ip, type, outcome = 'success', "+texts+" FROM j", "event_time, event_id, ip_address, event_type, success, "+texts+" FROM p")
	same("CSV and Parquet", "* REPLACE (trunc(epoch_ms(\"Timestamp\"::TIMESTAMPTZ)) AS \"Timestamp\") FROM c",
		"epoch_ms(event_time), ip_address, user_agent, actor_id, action, object_id, object_name, project_id, project_name, CASE WHEN success THEN 'Yes' ELSE 'No' END, info, token_label, token_last4 FROM p")
	// Readers leave out what bounds and filters rule out: no row may be lost by that.
	for column, field := range map[string]string{"event_id": "id", "ip_address": "ip", "actor_id": "actor_id", "object_id": "object_id", "credential_id": "credential_id"} {
		for _, e := range []event.Event{events[0], events[o.Events/2], events[o.Events-1]} {
			f, _ := event.FieldNamed(field)
			value := quote(e.Get(f))
			found := one(t, db, "SELECT count(*)::VARCHAR FROM p WHERE %s = %s", column, value)
			if want := one(t, db, "SELECT count(*)::VARCHAR FROM j WHERE %s = %s", field, value); found != want || want == "0" {
				t.Errorf("%s = %s: %s rows found in Parquet, %s in the evidence", column, value, found, want)
			}
		}
	}
}
