package csv_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gocarina/gocsv"
	"github.com/google/go-cmp/cmp"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/csv"
	"daybook/formats/formatstest"
	"daybook/formats/lines"
)

func open(r io.Reader) formats.Checker { return csv.NewChecker(r) }

var bothOptions = []*csv.Options{nil, {SpreadsheetUnsafe: true}}

func TestCheckerTakesWhatWasWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, o := range bothOptions {
		for _, events := range [][]event.Event{nil, formatstest.Corpus(t), formatstest.Odd(), formatstest.Typical(300), formatstest.Random(r, 300)} {
			if err := formatstest.Check(open, render(t, events, o), events); err != nil {
				t.Errorf("%+v: %v", o, err)
			}
		}
	}
	broken := event.Event{}
	broken.Set(event.ObjectName, "a\xff\xe2\x80b\ufffd")
	broken.Set(event.ActorID, "=\xff")
	if err := formatstest.Check(open, render(t, []event.Event{broken}, nil), []event.Event{broken}); err != nil {
		t.Errorf("a text that is not UTF-8: %v", err)
	}
}

func TestCheckerFindsEveryAlteration(t *testing.T) {
	for _, o := range bothOptions {
		events := formatstest.Odd()
		formatstest.Tamper(t, open, formatstest.File{Data: render(t, events, o), Events: events})
	}
	formatstest.Tamper(t, open, formatstest.File{Name: "no rows but one", Data: render(t, formatstest.Typical(1), nil), Events: formatstest.Typical(1)})
}

func TestCheckerFindsEveryField(t *testing.T) {
	held := []event.Field{event.IP, event.UserAgent, event.ActorID, event.Action, event.ObjectID, event.ObjectName, event.ProjectID, event.ProjectName, event.Info,
		event.TokenLabel, event.TokenLast4}
	events := formatstest.Odd()
	formatstest.Altered(t, open, formatstest.File{Data: render(t, events, nil), Events: events}, func(e *event.Event, f event.Field) bool {
		if f == event.Outcome { // Yes or No
			return slices.ContainsFunc(events, func(was event.Event) bool { return was.Time.Equal(e.Time) && was.Get(f) == event.Success })
		}
		return slices.Contains(held, f)
	})
}

func TestCheckerErrors(t *testing.T) {
	head := strings.Join(csv.Header(), ",") + "\n"
	e := event.Event{}
	e.Set(event.ObjectName, "=x")
	row := strings.TrimPrefix(string(render(t, []event.Event{e}, nil)), head)
	if row != "0001-01-01T00:00:00.000Z,,,,,,'=x,,,No,,,\n" {
		t.Fatalf("the row is %q", row)
	}
	mismatch := func(row int64, field, want, got string) error {
		return &formats.Mismatch{Row: row, Field: field, Want: want, Got: got}
	}
	malformed := func(row int64, reason string) error { return &formats.Malformed{Row: row, Reason: reason} }
	const notHeader = "the first line is not the header of a Daybook CSV file"
	replaced := func(old, with string) string { return head + strings.Replace(row, old, with, 1) }
	for _, tt := range []struct {
		file string
		want error
	}{
		{head + row, nil},
		{"", malformed(0, notHeader)},
		{head[:20], malformed(0, notHeader)},
		{"\ufeff" + head, malformed(0, notHeader)},
		{row, malformed(0, notHeader)},
		{head, io.ErrUnexpectedEOF},
		{head + row + row, mismatch(2, "row", "no more rows", strings.TrimSuffix(row, "\n"))},
		{head + row[:20], malformed(1, "the file ends within the row")},
		{head + row + "x", malformed(2, "the file ends within the row")},
		{replaced("'=x", "=y"), mismatch(1, "Object Name", "=x", "=y")},
		{replaced("'=x", "\"'=x\""), malformed(1, "Object Name: quoted without need")},
		{replaced("No", "Yes"), mismatch(1, "Success Status", "", "Yes")},
		{replaced("No", "no"), mismatch(1, "Success Status", "", "no")},
		{replaced("0001", "0002"), mismatch(1, "Timestamp", "0001-01-01T00:00:00Z", "0002-01-01T00:00:00.000Z")},
		{replaced("0001-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z"), malformed(1, `Timestamp "0001-01-01T00:00:00Z": must be 0000-00-00T00:00:00.000Z`)},
		{replaced(",,,No", ",,,No,"), malformed(1, "more than 13 cells")},
		{replaced("No,,,", "No,,"), malformed(1, "12 cells, must be 13")},
		{replaced("'=x", "\x00"), malformed(1, `a control character or broken UTF-8 at byte 30: "\x00,,,"`)},
		{replaced("\n", "\r\n"), malformed(1, `a control character or broken UTF-8 at byte 41: "\r"`)},
		{replaced("'=x", strings.Repeat("x", 9000)), malformed(1, "longer than the evidence's event can be")},
		{replaced("'=x", strings.Repeat("x", 200)), mismatch(1, "Object Name", "=x", strings.Repeat("x", 80))},
		{replaced("'=x", `\u000a`), malformed(1, `Object Name: \u000a is no escape of a control character`)},
		{replaced("'=x", `"a`), malformed(1, "Object Name: a quote is not closed")},
		{replaced("'=x", `","a`), malformed(1, "Object Name: text after the closing quote")},
		{replaced("'=x", "\u3000"), malformed(1, "Object Name: a space at the beginning must be quoted")},
	} {
		if diff := cmp.Diff(tt.want, formatstest.Check(open, []byte(tt.file), []event.Event{e}), cmp.Comparer(func(a, b error) bool {
			return errors.Is(a, b) || a != nil && b != nil && a.Error() == b.Error()
		})); diff != "" {
			t.Errorf("%.300q:\n%s", tt.file, diff)
		}
	}

	// A file is written for spreadsheets or not.
	if err := formatstest.Check(open, []byte(head+row+strings.Replace(row, "'=", "=", 1)), []event.Event{e, e}); !errors.As(err, new(*formats.Mismatch)) {
		t.Errorf("one row safe and one not: %v", err)
	}
	// What is wrong with one row says nothing of the next.
	c := csv.NewChecker(strings.NewReader(replaced("'=x", strings.Repeat("x", 1<<20)) + row))
	if err := c.Check(&e); err == nil {
		t.Error("a long row is no error")
	}
	if err := errors.Join(c.Check(&e), c.Close()); err != nil {
		t.Errorf("after a long row: %v", err)
	}
	failed := errors.New("read error")
	if err := formatstest.Check(func(io.Reader) formats.Checker {
		return csv.NewChecker(io.MultiReader(strings.NewReader(head), failingReader{failed}))
	}, nil, []event.Event{e}); !errors.Is(err, failed) {
		t.Errorf("a read error is %v", err)
	}
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// gocsvReads returns the cells of a row by gocsv, if it would write them just so.
func gocsvReads(t *testing.T, line string) ([]string, bool) {
	rows, err := gocsv.NewUnmarshaller(stdcsv.NewReader(strings.NewReader(strings.Join(csv.Header(), ",")+"\n"+line+"\n")), csv.Row{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := rows.Read()
	if err != nil {
		return nil, false
	}
	if _, err := rows.Read(); err != io.EOF {
		return nil, false
	}
	row := v.(csv.Row)
	var b bytes.Buffer
	if err := gocsv.MarshalCSV([]csv.Row{row}, stdcsv.NewWriter(&b)); err != nil {
		t.Fatal(err)
	}
	_, written, _ := strings.Cut(b.String(), "\n")
	return []string{row.Timestamp, row.IP, row.UserAgent, row.ActorID, row.Action, row.ObjectID, row.ObjectName, row.ProjectID, row.ProjectName, row.Success, row.Info,
		row.TokenLabel, row.TokenLast4}, written == line+"\n"
}

func FuzzCellsAreThoseOfGocsv(f *testing.F) {
	for _, events := range [][]event.Event{formatstest.Odd(), formatstest.Corpus(f)} {
		for line := range strings.Lines(string(render(f, events, nil))) {
			f.Add(strings.TrimSuffix(line, "\n"))
		}
	}
	for _, s := range []string{"", `"",,,,,,,,,,,,`, `"a""",b,,,,,,,,,,,`, `" a",,,,,,,,,,,,`, ` a,,,,,,,,,,,,`, `"a"b,,,,,,,,,,,,`, `a"b,,,,,,,,,,,,`, `"a,,,,,,,,,,,,`,
		"\u3000,,,,,,,,,,,,", ",,,,,,,,,,,", ",,,,,,,,,,,,,", `,,,,,,,,,,,,"`, `,,,,,,,,,,,,""""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if lines.Unclean([]byte(line)) >= 0 || slices.ContainsFunc(strings.Split(line, ","), func(s string) bool { return strings.Trim(s, `"`) == `\.` }) {
			return // gocsv quotes the cell \. which no escaped text is
		}
		want, is := gocsvReads(t, line)
		got, ok := csv.Cells(line)
		if ok != is {
			t.Fatalf("%q: gocsv reads and writes it: %t; ours reads it: %t", line, is, ok)
		}
		if diff := cmp.Diff(want, got); ok && diff != "" {
			t.Errorf("%q (-gocsv +ours):\n%s", line, diff)
		}
	})
}

// FuzzChecker: what a Checker takes is what an Encoder writes.
func FuzzChecker(f *testing.F) {
	for _, e := range append(formatstest.Corpus(f), formatstest.Odd()...) {
		f.Add(render(f, []event.Event{e}, nil), e.Get(event.ObjectName), e.Get(event.UserAgent), e.Get(event.Info))
	}
	f.Fuzz(func(t *testing.T, file []byte, name, agent, info string) {
		e := event.Event{}
		e.Set(event.ObjectName, name)
		e.Set(event.UserAgent, agent)
		e.Set(event.Info, info)
		events := []event.Event{e}
		wrote := [][]byte{render(t, events, nil), render(t, events, &csv.Options{SpreadsheetUnsafe: true})}
		for _, w := range wrote {
			if err := formatstest.Check(open, w, events); err != nil {
				t.Errorf("%q is refused: %v", w, err)
			}
		}
		if formatstest.Check(open, file, events) == nil && !bytes.Equal(file, wrote[0]) && !bytes.Equal(file, wrote[1]) {
			t.Errorf("%q is taken, would be %q", file, wrote)
		}
	})
}

// What a Checker allocates does not depend on how many rows there are.
func TestCheckerAllocatesNothingPerRow(t *testing.T) {
	few := append(formatstest.Typical(50), formatstest.Odd()...)
	many := slices.Concat(few, few, few, few)
	allocations := func(events []event.Event) float64 {
		file := render(t, events, nil)
		return testing.AllocsPerRun(10, func() {
			if err := formatstest.Check(open, file, events); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := allocations(few), allocations(many); b > a+2 {
		t.Errorf("%v allocations for %d rows, %v for %d", a, len(few), b, len(many))
	}
}

func BenchmarkChecker(b *testing.B) {
	events := formatstest.Typical(1000)
	file := render(b, events, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := formatstest.Check(open, file, events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/row")
}

func BenchmarkReader(b *testing.B) {
	events := formatstest.Typical(1000)
	file := render(b, events, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := csv.ReadAll(bytes.NewReader(file), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/row")
}
