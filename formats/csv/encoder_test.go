package csv_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gocarina/gocsv"
	"github.com/google/go-cmp/cmp"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/csv"
	"daybook/formats/formatstest"
)

var _ formats.Encoder = (*csv.Encoder)(nil)

func render(t testing.TB, events []event.Event, o *csv.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	return formatstest.Encode(t, csv.NewEncoder(&b, o), &b, events)
}

// rowOf says what the columns are, as plainly as possible: nothing escaped yet.
func rowOf(e *event.Event) csv.Row {
	row := csv.Row{
		Timestamp: e.Time.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z"),
		IP:        e.Get(event.IP), UserAgent: e.Get(event.UserAgent), ActorID: e.Get(event.ActorID), Action: e.Get(event.Action),
		ObjectID: e.Get(event.ObjectID), ObjectName: e.Get(event.ObjectName), ProjectID: e.Get(event.ProjectID), ProjectName: e.Get(event.ProjectName),
		Success: "No", Info: e.Get(event.Info), TokenLabel: e.Get(event.TokenLabel), TokenLast4: e.Get(event.TokenLast4),
	}
	if e.Get(event.Outcome) == "success" {
		row.Success = "Yes"
	}
	return row
}

func cells(r *csv.Row) []*string {
	return []*string{&r.IP, &r.UserAgent, &r.ActorID, &r.Action, &r.ObjectID, &r.ObjectName, &r.ProjectID, &r.ProjectName, &r.Info, &r.TokenLabel, &r.TokenLast4}
}

// plainly escapes a cell the slow way.
func plainly(s string, safe bool) string {
	var b strings.Builder
	if safe && s != "" && strings.Contains("=+-@\t\r'", s[:1]) {
		b.WriteByte('\'')
	}
	for _, r := range s { // what is not UTF-8 comes as U+FFFD
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// byGocsv is the file as gocsv writes it.
func byGocsv(t testing.TB, events []event.Event, safe bool) []byte {
	t.Helper()
	rows := make([]csv.Row, len(events))
	for i := range events {
		rows[i] = rowOf(&events[i])
		for _, cell := range cells(&rows[i]) {
			*cell = plainly(*cell, safe)
		}
	}
	var b bytes.Buffer
	if err := gocsv.MarshalCSV(rows, stdcsv.NewWriter(&b)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCorpusIsEvidence(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(formatstest.Testdata, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var again []byte
	for _, e := range formatstest.Corpus(t) {
		e.SetRow(nil)
		again = append(e.AppendJSON(again), '\n')
	}
	if diff := cmp.Diff(strings.SplitAfter(string(data), "\n"), strings.SplitAfter(string(again), "\n")); diff != "" {
		t.Errorf("testdata/events.jsonl is not as AppendJSON writes it (-is +should be):\n%s", diff)
	}
}

func TestGolden(t *testing.T) {
	events := formatstest.Corpus(t)
	formatstest.Golden(t, "events.csv", render(t, events, nil))
	formatstest.Golden(t, "events-unsafe.csv", render(t, events, &csv.Options{SpreadsheetUnsafe: true}))
}

func TestBytesAreThoseOfGocsv(t *testing.T) {
	events := formatstest.Corpus(t)
	for _, safe := range []bool{true, false} {
		got := render(t, events, &csv.Options{SpreadsheetUnsafe: !safe})
		if diff := cmp.Diff(string(byGocsv(t, events, safe)), string(got)); diff != "" {
			t.Errorf("safe=%t: gocsv (-), ours (+):\n%s", safe, diff)
		}
	}
}

// oneLinePerRow fails unless no reader of lines, however generous, sees more lines than rows.
func oneLinePerRow(t testing.TB, file []byte, rows int) {
	t.Helper()
	if !utf8.Valid(file) {
		t.Error("not valid UTF-8")
	}
	ends := strings.Count(string(file), "\n")
	if ends != rows+1 || !bytes.HasSuffix(file, []byte("\n")) {
		t.Errorf("%d lines, want %d", ends, rows+1)
	}
	if i := strings.IndexFunc(string(file), func(r rune) bool {
		return r != '\n' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029)
	}); i >= 0 {
		t.Errorf("control character at byte %d: %q", i, file[i:min(len(file), i+4)])
	}
}

func TestReadBack(t *testing.T) {
	events := formatstest.Corpus(t)
	for _, o := range []*csv.Options{nil, {SpreadsheetUnsafe: true}} {
		file := render(t, events, o)
		oneLinePerRow(t, file, len(events))
		rows, err := csv.ReadAll(bytes.NewReader(file), o)
		if err != nil {
			t.Fatal(err)
		}
		var want []csv.Row
		for i := range events {
			want = append(want, rowOf(&events[i]))
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("read back (-written +read):\n%s", diff)
		}
	}
}

func TestHeader(t *testing.T) {
	const want = "Timestamp,IP Address,User Agent,Acting User ID,Action,Object ID,Object Name,Project ID,Project Name,Success Status,Info,Label,Auth Token\n"
	if got := render(t, nil, nil); string(got) != want {
		t.Errorf("a file without events is %q, want %q", got, want)
	}
	if got := strings.Join(csv.Header(), ",") + "\n"; got != want {
		t.Errorf("Header is %q", got)
	}
}

func TestSpreadsheetSafe(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		changed    int64
	}{
		{"=1+1", "'=1+1", 1},
		{"+1", "'+1", 1},
		{"-1", "'-1", 1},
		{"@SUM(A1)", "'@SUM(A1)", 1},
		{"\tx", `'\tx`, 1},
		{"\rx", `'\rx`, 1},
		{"'x", "''x", 1},
		{"=A,B", `"'=A,B"`, 1},
		{"\nx", `\nx`, 0},
		{" =x", `" =x"`, 0},
		{"\u00a0=x", "\"\u00a0=x\"", 0},
		{"\u0085x", `\u0085x`, 0},
		{"x=1", "x=1", 0},
		{"", "", 0},
	} {
		var e event.Event
		e.Time = time.Unix(0, 0)
		e.Set(event.ObjectName, tt.name)
		var b bytes.Buffer
		enc := csv.NewEncoder(&b, nil)
		formatstest.Encode(t, enc, &b, []event.Event{e})
		if enc.Stats().CellsChanged != tt.changed {
			t.Errorf("%q: %d cells changed, want %d", tt.name, enc.Stats().CellsChanged, tt.changed)
		}
		if want := "1970-01-01T00:00:00.000Z,,,,,," + tt.want + ",,,No,,,\n"; !strings.HasSuffix(b.String(), "\n"+want) {
			t.Errorf("%q: got %q, want %q", tt.name, b.String(), want)
		}

		b.Reset()
		enc = csv.NewEncoder(&b, &csv.Options{SpreadsheetUnsafe: true})
		formatstest.Encode(t, enc, &b, []event.Event{e})
		if enc.Stats().CellsChanged != 0 || strings.Contains(b.String(), "'") != strings.Contains(tt.name, "'") {
			t.Errorf("%q: changed although unsafe: %q", tt.name, b.String())
		}
	}
}

func TestTimestamp(t *testing.T) {
	for _, tt := range []struct{ time, want string }{
		{"2026-03-10T23:59:59.999999999Z", "2026-03-10T23:59:59.999Z"},
		{"2026-03-10T01:02:03.000999Z", "2026-03-10T01:02:03.000Z"},
		{"2024-02-29T13:02:03.45+13:00", "2024-02-29T00:02:03.450Z"},
		{"1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"},
	} {
		at, err := time.Parse(time.RFC3339Nano, tt.time)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.ReadAll(bytes.NewReader(render(t, []event.Event{{Time: at}}, nil)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if rows[0].Timestamp != tt.want {
			t.Errorf("%s is written as %s, want %s", tt.time, rows[0].Timestamp, tt.want)
		}
	}
}

type failing struct{ after int }

var errDisk = errors.New("no space left")

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	events := formatstest.Corpus(t)
	for _, after := range []int{0, 100_000} {
		enc := csv.NewEncoder(&failing{after}, nil)
		var err error
		for range 5 {
			err = errors.Join(err, enc.Encode(events))
		}
		if !errors.Is(err, errDisk) {
			t.Errorf("after %d bytes: Encode says %v", after, err)
		}
		if err := enc.Close(); !errors.Is(err, errDisk) {
			t.Errorf("after %d bytes: Close says %v", after, err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	head := strings.Join(csv.Header(), ",") + "\n"
	for name, tt := range map[string]struct{ file, want string }{
		"empty":         {"", "empty file"},
		"other header":  {"a,b\n", "not the header"},
		"columns moved": {strings.Replace(head, "Action,Object ID", "Object ID,Action", 1), "not the header"},
		"BOM":           {"\ufeff" + head, "not the header"},
		"short row":     {head + "a,b\n", "wrong number of fields"},
		"bad escape":    {head + "t,,,,,,\\x,,,No,,,\n", `row 2: unknown escape \x`},
		"lone escape":   {head + "t,,,,,,,,,No,,,\n" + "t,,,,,,x\\,,,No,,,\n", `row 3: a backslash at the end`},
		"short unicode": {head + "t,,,,,,\\u12,,,No,,,\n", "cut short"},
		"no hex":        {head + "t,,,,,,\\u12g4,,,No,,,\n", "four hex digits"},
		"quote":         {head + "t,,,,,,a\"b,,,No,,,\n", `bare "`},
	} {
		_, err := csv.ReadAll(strings.NewReader(tt.file), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want %q", name, err, tt.want)
		}
		if tt.want == "not the header" && !errors.Is(err, csv.ErrHeader) {
			t.Errorf("%s: not ErrHeader: %v", name, err)
		}
	}
}

func TestColumnsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "COLUMNS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "\n## CSV\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.HasPrefix(strings.TrimSpace(cells[2]), "`") {
			got = append(got, strings.Trim(cells[2], " `"))
		}
	}
	if diff := cmp.Diff(csv.Header(), got); diff != "" {
		t.Errorf("docs/COLUMNS.md, section CSV (-header +doc):\n%s", diff)
	}
}

func TestNoAllocation(t *testing.T) {
	events := formatstest.Corpus(t)
	enc := csv.NewEncoder(&failing{1 << 40}, nil)
	if n := testing.AllocsPerRun(20, func() {
		if err := enc.Encode(events); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}

func FuzzEncoder(f *testing.F) {
	for _, e := range formatstest.Corpus(f) {
		f.Add(e.Get(event.ObjectName), e.Get(event.UserAgent), e.Get(event.Info), e.Get(event.ActorID), e.Time.UnixNano(), true)
	}
	f.Add("'\xff", "\xc2", "a\xe2\x80", "\u2028", int64(-1), false)
	f.Fuzz(func(t *testing.T, name, agent, info, actor string, nanos int64, safe bool) {
		var e event.Event
		e.Time = time.Unix(0, nanos)
		e.Set(event.ObjectName, name)
		e.Set(event.UserAgent, agent)
		e.Set(event.Info, info)
		e.Set(event.ActorID, actor)
		events, o := []event.Event{e}, &csv.Options{SpreadsheetUnsafe: !safe}
		file := render(t, events, o)
		if want := byGocsv(t, events, safe); !bytes.Equal(file, want) {
			t.Errorf("gocsv writes %q, we write %q", want, file)
		}
		oneLinePerRow(t, file, 1)
		rows, err := csv.ReadAll(bytes.NewReader(file), o)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, error %v from %q", len(rows), err, file)
		}
		want := rowOf(&e)
		for _, cell := range cells(&want) {
			*cell = string([]rune(*cell)) // U+FFFD for what is not UTF-8
		}
		if diff := cmp.Diff(want, rows[0]); diff != "" {
			t.Errorf("read back (-written +read):\n%s", diff)
		}
	})
}

func BenchmarkEncoder(b *testing.B) {
	events := formatstest.Typical(1000)
	enc := csv.NewEncoder(&failing{1 << 60}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := enc.Encode(events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}
