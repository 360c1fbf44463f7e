package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake"
	"daybook/event"
)

// streamed is what came of a stream.
type streamed struct {
	intake.StreamReport
	rows   []string
	unread []unread
	fail   error // what each call returns
}

type unread struct {
	Line         int
	Record, Part string // Part is of the reason
	TooLong      bool
}

func (s *streamed) Take(in intake.Taken) error {
	if in.Ordinal {
		return errors.New("an ordinal is left to be given")
	}
	s.rows = append(s.rows, string(in.Row))
	return s.fail
}

func (s *streamed) Reject(u intake.Unread) error {
	record := bytes.Clone(u.Data)
	if u.Rest != nil {
		rest, _ := io.ReadAll(u.Rest) // it may break off
		record = append(record, rest...)
	}
	s.unread = append(s.unread, unread{u.Line, string(record), u.Reason, u.TooLong})
	return s.fail
}

func stream(t testing.TB, how intake.Settings, body io.Reader) *streamed {
	t.Helper()
	var s streamed
	var err error
	if s.StreamReport, err = intake.ReadStream(context.Background(), body, how, &s); err != nil {
		t.Fatal(err)
	}
	if s.Read != s.Taken+s.Rejected || int(s.Taken) != len(s.rows) || int(s.Rejected) != len(s.unread) {
		t.Errorf("%+v, %d rows and %d records", s.StreamReport, len(s.rows), len(s.unread))
	}
	return &s
}

func live(t testing.TB) intake.Settings {
	how := settings(t)
	how.From, how.Received, how.AsOf = "jsonl", now, time.Time{}
	return how
}

func TestAStreamIsReadInOrder(t *testing.T) {
	long := `{"time":"2026-03-10T09:30:00Z","action":"` + strings.Repeat("x", 3000) + `"}`
	how := live(t)
	how.RecordLimit = 2000
	body := line("a") + "\nnonsense\n" + line("b") + "\n" + long + "\n{}\n" + line("c")
	for name, body := range map[string]string{"plain": body, "gzip": gz(t, body), "zstd": zst(t, body)} {
		t.Run(name, func(t *testing.T) {
			got := stream(t, how, strings.NewReader(body))
			var ids []string
			for _, row := range got.rows {
				e := parse(t, row)
				ids = append(ids, e.Get(event.ID))
				if !e.Received.Equal(now) {
					t.Errorf("received %v", e.Received)
				}
			}
			if diff := cmp.Diff([]string{"a", "b", "c"}, ids); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]unread{
				{2, "nonsense", "not JSON: not an object at byte 1", false},
				{4, long, "record is longer than 2000 bytes: raise limits.record to have it read", true},
				{5, "{}", "record has no time", false},
			}, got.unread); diff != "" {
				t.Error(diff)
			}
			if got.Fault != nil {
				t.Errorf("fault %v", got.Fault)
			}
		})
	}
}

func TestEqualEventsOfAStreamAreNumbered(t *testing.T) {
	const a, b = `{"time":"2026-03-10T09:30:00Z","action":"a"}`, `{"time":"2026-03-10T09:30:00Z","action":"b"}`
	body := a + "\n" + b + "\n" + a + "\n" + line("named") + "\n" + line("named") + "\n" + a
	first := stream(t, live(t), strings.NewReader(body))
	var ids []string
	for _, row := range first.rows {
		ids = append(ids, parse(t, row).Get(event.ID))
	}
	nameA, nameB := ids[0][:24], ids[1][:24]
	if diff := cmp.Diff([]string{nameA + "00000000", nameB + "00000000", nameA + "00000001", "named", "named", nameA + "00000002"}, ids); diff != "" || nameA == nameB {
		t.Error(diff)
	}
	later := live(t)
	later.Received = now.Add(time.Hour)
	second := stream(t, later, strings.NewReader(body))
	for i, row := range second.rows {
		e, was := parse(t, row), parse(t, first.rows[i])
		if e.Get(event.ID) != was.Get(event.ID) || e.ContentHash([]byte(row)) != was.ContentHash([]byte(first.rows[i])) {
			t.Errorf("sent again, %s became %s", first.rows[i], row)
		}
	}
	// A file gives the first of equals the same name.
	if got := importText(t, body).ids(t); !strings.Contains(strings.Join(got, " "), ids[0]) {
		t.Errorf("imported: %q, streamed: %q", got, ids)
	}
}

func TestACredentialBindsOrgAndSource(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	how := live(t)
	how.BindOrg, how.BindSource = "acme", "billing"
	for name, test := range map[string]struct{ members, flags, raw string }{
		"neither named": {``, "", ""},
		"both the same": {`,"org":"acme","source":"billing"`, "", ""},
		"both blank":    {`,"org":"","source":""`, "", ""},
		"another org": {`,"org":"umbrella", "info":{"secretAccessKey":"` + secret + `"},"token_last4":"token-7890"`, "org_replaced",
			`{"time":"2026-03-10T09:30:00Z","action":"x","org":"umbrella","info":{"secretAccessKey":"[redacted]"},"token_last4":"7890"}`},
		"another source": {`,"source":"crm"`, "source_replaced", `{"time":"2026-03-10T09:30:00Z","action":"x","source":"crm"}`},
		"another source, and more than fields hold": {`,"source":"crm","more":1`, "source_replaced", `{"time":"2026-03-10T09:30:00Z","action":"x","source":"crm","more":1}`},
		"both others": {`,"org":"u","source":"s"`, "org_replaced source_replaced", `{"time":"2026-03-10T09:30:00Z","action":"x","org":"u","source":"s"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := stream(t, how, strings.NewReader(`{"time":"2026-03-10T09:30:00Z","action":"x"`+test.members+`}`))
			if got.Taken != 1 {
				t.Fatalf("%+v", got)
			}
			e := parse(t, got.rows[0])
			raw := e.Get(event.Raw)
			if i := strings.Index(raw, "[redacted:"); i >= 0 {
				raw = raw[:i+len("[redacted")] + raw[i+len("[redacted:12345678"):]
			}
			if e.Get(event.Org) != "acme" || e.Get(event.Source) != "billing" || strings.Join(e.Flags, " ") != test.flags || raw != test.raw {
				t.Errorf("%s", got.rows[0])
			}
			if strings.Contains(got.rows[0], secret) {
				t.Errorf("a secret in %s", got.rows[0])
			}
		})
	}
	got := stream(t, how, strings.NewReader("{\"time\":\"2026-03-10T09:30:00Z\",\"action\":\"\xff\",\"org\":\"u\"}"))
	if e := parse(t, got.rows[0]); e.Get(event.Org) != "acme" || strings.Join(e.Flags, " ") != "invalid_utf8 org_replaced" || !strings.Contains(rawBytes(t, e), `"org":"u"`) {
		t.Errorf("invalid UTF-8: %s", got.rows[0])
	}
}

func TestATimeIsSuspectByReceipt(t *testing.T) {
	body := func(at time.Time) io.Reader {
		return strings.NewReader(`{"action":"x","time":"` + at.Format(time.RFC3339Nano) + `"}`)
	}
	limit := now.Add(intake.FutureTolerance)
	if got := stream(t, live(t), body(limit)); parse(t, got.rows[0]).HasFlag(event.FlagTimeSuspect) {
		t.Errorf("suspect: %s", got.rows[0])
	}
	if got := stream(t, live(t), body(limit.Add(1))); !parse(t, got.rows[0]).HasFlag(event.FlagTimeSuspect) {
		t.Errorf("not suspect: %s", got.rows[0])
	}
}

func TestLayoutsOfAStream(t *testing.T) {
	pretty := "{\n  \"id\": \"%s\",\n  \"time\": \"2026-03-10T09:30:00Z\",\n  \"action\": \"x\",\n  \"info\": [\n    {\n      \"a\": 1\n    }\n  ]\n}\n"
	a, b := fmt.Sprintf(pretty, "a"), fmt.Sprintf(pretty, "b")
	for name, test := range map[string]struct {
		body string
		ids  string
		bad  int
	}{
		"nothing":               {"", "", 0},
		"one object":            {line("a"), "a", 0},
		"an object on lines":    {a, "a", 0},
		"objects on lines":      {"\ufeff\n" + a + b, "a b", 0},
		"a list":                {"[" + line("a") + "," + line("b") + "]", "a b", 0},
		"a list on lines":       {" [\n" + a + ",\n" + b + "]\n", "a b", 0},
		"a list of nothing":     {"[ ]", "", 0},
		"a list with bad ones":  {"[" + line("a") + ",1,{\"x\" 2},{\"kind\":0}," + line("b") + "]", "a b", 3},
		"lines":                 {line("a") + "\n" + line("b"), "a b", 0},
		"a bad first line":      {"{\"tags\":[1,\n" + line("a") + "\n" + line("b"), "a b", 1},
		"a bad line":            {line("a") + "\n[1,\n" + line("b"), "a b", 1},
		"a bad line in objects": {a + "x\n" + b, "a b", 1},
	} {
		for _, from := range []string{"jsonl", intake.Auto} {
			t.Run(from+" "+name, func(t *testing.T) {
				how := live(t)
				how.From = from
				got := stream(t, how, strings.NewReader(test.body))
				var ids []string
				for _, row := range got.rows {
					ids = append(ids, parse(t, row).Get(event.ID))
				}
				if strings.Join(ids, " ") != test.ids || len(got.unread) != test.bad || got.Fault != nil {
					t.Errorf("%q and %+v, %v", ids, got.unread, got.Fault)
				}
			})
		}
	}
}

func TestAStreamThatBreaksOff(t *testing.T) {
	gone := errors.New("connection reset")
	half := line("b")[:20]
	many := strings.Repeat(line("a")+"\n", 20_000)
	for name, test := range map[string]struct {
		body            io.Reader
		limit           int64
		taken, rejected int64
		line            int
		is              error
	}{
		"between lines":               {broken{strings.NewReader(line("a") + "\n"), gone}, 0, 1, 0, 2, gone},
		"within a line":               {broken{strings.NewReader(line("a") + "\n" + half), gone}, 0, 1, 0, 2, gone},
		"within a line, bad ones":     {broken{strings.NewReader("{}\n" + line("a") + "\n{}\n" + half), gone}, 0, 1, 2, 4, gone},
		"within a list":               {broken{strings.NewReader("[" + line("a") + "," + half), gone}, 0, 1, 0, 1, gone},
		"at once":                     {broken{strings.NewReader(""), gone}, 0, 0, 0, 0, gone},
		"a list without an end":       {strings.NewReader("[" + line("a") + ",\n" + half), 0, 1, 1, 2, io.ErrUnexpectedEOF},
		"a line without an end":       {strings.NewReader(line("a") + "\n" + half), 0, 1, 1, 0, nil},
		"gzip":                        {strings.NewReader(gz(t, many)[:400]), 0, -1, 0, -1, io.ErrUnexpectedEOF},
		"more than it may hold":       {strings.NewReader(many), int64(len(line("a"))+1)*10 + 5, 10, 0, 11, intake.ErrTooLarge},
		"more than it may hold, gzip": {strings.NewReader(gz(t, many)), int64(len(line("a"))+1)*10 + 5, 10, 0, 11, intake.ErrTooLarge},
		"some more than it may hold":  {strings.NewReader(many[:1000]), int64(len(line("a"))+1)*10 + 5, 10, 0, 11, intake.ErrTooLarge},
		"a long record":               {broken{strings.NewReader(line("a") + "\n" + strings.Repeat("x", 5000)), gone}, 0, 1, 1, 2, gone},
		"foreign":                     {strings.NewReader("PK\x03\x04"), 0, 0, 0, 0, intake.ErrForeign},
		"compressed twice":            {strings.NewReader(gz(t, gz(t, "x"))), 0, 0, 0, 0, intake.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			how := live(t)
			how.RecordLimit, how.ContentLimit = 2000, test.limit
			got := stream(t, how, test.body)
			if test.taken < 0 && got.Taken > 0 {
				test.taken, test.line = got.Taken, int(got.Taken)+1
			}
			if got.Taken != test.taken || got.Rejected != test.rejected {
				t.Errorf("%+v", got.StreamReport)
			}
			switch {
			case test.is == nil && got.Fault != nil:
				t.Errorf("fault %v", got.Fault)
			case test.is != nil && (got.Fault == nil || !errors.Is(got.Fault, test.is) || got.Fault.Line != test.line || got.Fault.Error() == ""):
				t.Errorf("fault %+v", got.Fault)
			}
		})
	}
	how := live(t)
	how.From = intake.Auto
	if got := stream(t, how, strings.NewReader("Dear diary")); got.Fault == nil || !errors.Is(got.Fault, intake.ErrUnrecognised) {
		t.Errorf("fault %v", got.Fault)
	}
	how.Window = 1 << 20
	if got := stream(t, how, strings.NewReader("\x28\xb5\x2f\xfd\x00\x58\x00\x00\x00")); got.Fault == nil || !strings.Contains(got.Fault.Error(), "a window of more than 1048576 bytes") {
		t.Errorf("fault %v", got.Fault)
	}
}

func TestWhatEndsAStream(t *testing.T) {
	full := errors.New("no room")
	for _, body := range []string{line("a"), "{}", strings.Repeat("x", 3<<20)} {
		if _, err := intake.ReadStream(context.Background(), strings.NewReader(body), live(t), &streamed{fail: full}); !errors.Is(err, full) {
			t.Errorf("%.20s: %v", body, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	body := &endless{text: line("a") + "\n", step: later(cancel)}
	if _, err := intake.ReadStream(ctx, body, live(t), &streamed{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	how := live(t)
	how.From = "xml"
	if _, err := intake.ReadStream(context.Background(), strings.NewReader(""), how, &streamed{}); err == nil {
		t.Error("an unknown format was read")
	}
}

// FuzzReadStream holds that each record ends in one place, and that a stream gives the events that a file gives.
func FuzzReadStream(f *testing.F) {
	for _, s := range []string{"", line("a") + "\n{}\n" + line("\xff"), "[" + line("a") + ",1,", "{\n\"time\":\"2026-03-10T09:30:00Z\",\n\"action\":\"x\"}{", "{\"tags\":[1,\n" + line("a"), gz(f, line("a"))[:30],
		line("a") + strings.Repeat(" ", 3000) + "x", `{"Records":[` + cloudtrailRecord + "]}"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, breaks bool) {
		for _, from := range append(intake.Names(), intake.Auto) {
			how := live(t)
			how.From, how.RecordLimit = from, 2000
			var body io.Reader = bytes.NewReader(data)
			if breaks {
				body = broken{body, errors.New("connection reset")}
			}
			got := stream(t, how, body)
			if breaks {
				if got.Fault == nil && from != intake.Auto {
					t.Errorf("--from %s: it broke off, and that is not told", from)
				}
				continue
			}
			file := settings(t)
			file.From, file.RecordLimit = from, 2000
			want, err := importAll(t, file, bytes.NewReader(data), hooks{}, intake.Stdin)
			cut := want.Quarantined - got.Rejected // a record that broke off
			if err != nil || want.Taken != got.Taken || cut < 0 || cut > 1 || cut == 1 && got.Fault == nil || (len(want.Faults) == 0) != (got.Fault == nil) {
				t.Errorf("--from %s: a file gives %+v, %v, a stream %+v", from, want.Report, err, got.StreamReport)
			}
		}
	})
}
