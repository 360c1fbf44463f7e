package receiver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake"
	"daybook/batch/intake/receiver"
)

func TestEventsAreTaken(t *testing.T) {
	body := line("a") + "\n" + line("b") + "\n" + `{"time":"2026-03-10T09:30:00Z","action":"ignored"}` + "\n" + line("a")
	list := "[" + strings.ReplaceAll(body, "\n", ",") + "]"
	for name, test := range map[string]struct {
		body    string
		headers []string
	}{
		"lines":              {body, nil},
		"a list":             {list, nil},
		"gzip":               {gz(t, body), []string{"Content-Encoding: gzip"}},
		"gzip, by old name":  {gz(t, body), []string{"Content-Encoding: X-GZip"}},
		"gzip, not told":     {gz(t, body), nil},
		"gzip of a list":     {gz(t, list), []string{"Content-Encoding: gzip"}},
		"zstd":               {zst(t, body), []string{"Content-Encoding: zstd"}},
		"zstd, not told":     {zst(t, body), []string{"Content-Encoding: identity"}},
		"told by itself":     {body, []string{"?format=auto"}},
		"of a named format":  {body, []string{"?format=jsonl&receipt=false"}},
		"of any type":        {body, []string{"Content-Type: application/x-www-form-urlencoded"}},
		"with a mark":        {"\ufeff" + body, nil},
		"scheme in any case": {body, []string{"Authorization: bearer  good"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, receiver.Options{})
			w.sendText(test.body, test.headers...).is(t, 200, [4]int64{2, 1, 1, 0}, "")
			if diff := cmp.Diff([]string{"a", "b"}, w.ids()); diff != "" {
				t.Error(diff)
			}
			got := w.seen()
			want := receiver.Observation{Sender: receiver.Sender{ID: "good", Org: "acme", Source: "billing"}, Code: 200, Accepted: 2, Duplicate: 1, NotTracked: 1, Bytes: int64(len(test.body))}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			w.sendText(test.body, test.headers...).is(t, 200, [4]int64{0, 3, 1, 0}, "")
		})
	}
}

func TestOneObject(t *testing.T) {
	for _, body := range []string{line("a"), "{\n  \"id\": \"a\",\n  \"time\": \"2026-03-10T09:30:00Z\",\n  \"action\": \"x\"\n}\n"} {
		w := newWorld(t, receiver.Options{})
		w.sendText(body).is(t, 200, [4]int64{1, 0, 0, 0}, "")
	}
}

func TestCloudTrail(t *testing.T) {
	const record = `{"eventVersion":"1.08","eventID":"a","eventTime":"2026-03-10T09:30:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1"}`
	for _, format := range []string{"cloudtrail", "auto"} {
		w := newWorld(t, receiver.Options{})
		w.sendText(`{"Records":[`+record+`]}`, "?format="+format).is(t, 200, [4]int64{1, 0, 0, 0}, "")
		if rows := strings.Join(w.rows, ""); !strings.Contains(rows, `"org":"acme"`) || !strings.Contains(rows, `"source":"billing"`) {
			t.Errorf("rows %s", rows)
		}
	}
}

func TestTheBodysOrgIsNotBelieved(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	w.sendText(`{"id":"a","time":"2026-03-10T09:30:00Z","action":"x","org":"umbrella","source":"crm"}`).is(t, 200, [4]int64{1, 0, 0, 0}, "")
	want := `{"id":"a","source":"billing","time":"2026-03-10T09:30:00Z","received":"2026-03-20T12:00:00Z","org":"acme","action":"x","flags":["org_replaced","source_replaced"],` +
		`"raw":{"id":"a","time":"2026-03-10T09:30:00Z","action":"x","org":"umbrella","source":"crm"}}`
	if diff := cmp.Diff([]string{want}, w.rows); diff != "" {
		t.Error(diff)
	}
}

func TestSomeRecordsCannotBeRead(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	long := `{"time":"2026-03-10T09:30:00Z","action":"` + strings.Repeat("x", 5000) + `"}`
	got := w.sendText(line("a") + "\nnonsense\n" + long + "\n{\"action\":\"\x00\"}\n" + strings.Replace(line("x"), "x", "\xff", 1) + "\n")
	got.is(t, 200, [4]int64{2, 0, 0, 3}, "")
	var told []string
	for _, r := range got.Rejected {
		told = append(told, fmt.Sprintf("%d %s", r.Line, r.Reason))
	}
	if diff := cmp.Diff([]string{
		"2 not JSON: not an object at byte 1",
		"3 record is longer than 2000 bytes: raise limits.record to have it read",
		"4 not JSON: control character 0x00 in a string at byte 12",
	}, told); diff != "" {
		t.Error(diff)
	}
	for i, r := range w.rejections {
		if fmt.Sprintf("%x", r.SHA256) != got.Rejected[i].SHA256 || r.Line != got.Rejected[i].Line || !r.Received.Equal(now) {
			t.Errorf("kept %+v, told %+v", r, got.Rejected[i])
		}
	}
	if r := w.rejections[1]; !r.TooLong || r.Size != int64(len(long)) || string(r.Data) != long[:2000] {
		t.Errorf("a long record: %+v", r)
	}
	if seen := w.seen(); seen.Rejected != 3 || seen.Accepted != 2 {
		t.Errorf("observed %+v", seen)
	}

	// Which record it is counts blank lines as none, and is all that tells the records of an array on one line apart.
	for body, want := range map[string]string{
		line("c") + "\n\n{}\n" + line("d") + "\n{}\n":   "3/2 5/4",
		"[" + line("e") + ",{}," + line("f") + ",{},7]": "1/2 1/4 1/5",
		"[\n" + line("g") + ",\n {}, {}\n]":             "3/2 3/3",
		`{"time":7}`:                                    "1/1",
	} {
		var at []string
		for _, r := range w.sendText(body).Rejected {
			at = append(at, fmt.Sprintf("%d/%d", r.Line, r.Record))
		}
		if all := strings.Join(at, " "); all != want {
			t.Errorf("%s: rejected are %s, want %s", body, all, want)
		}
	}

	got = w.sendText(strings.Repeat("{}\n", 1234) + line("b"))
	got.is(t, 200, [4]int64{1, 0, 0, 1234}, "")
	if len(got.Rejected) != 100 || got.Rejected[99].Line != 100 {
		t.Errorf("%d are told", len(got.Rejected))
	}
}

func TestWhatIsRefused(t *testing.T) {
	long := line(strings.Repeat("x", 3000))
	for name, test := range map[string]struct {
		body    string
		headers []string
		code    int
		counts  [4]int64
		part    string
		line    int
	}{
		"nothing":                     {"", nil, 400, [4]int64{}, "the body holds no events", 0},
		"white space":                 {" \n", nil, 400, [4]int64{}, "the body holds no events", 0},
		"an empty list":               {"[]", nil, 200, [4]int64{}, "", 0},
		"no JSON":                     {"\nDear diary", nil, 400, [4]int64{0, 0, 0, 1}, "no record can be read; the first: not JSON: not an object at byte 1", 2},
		"no event":                    {"{}\n{}", nil, 400, [4]int64{0, 0, 0, 2}, "record has no time", 1},
		"NUL bytes":                   {"\x00\x00\x00\x00", nil, 400, [4]int64{0, 0, 0, 1}, "not JSON", 1},
		"a list that ends too early":  {"[" + line("a") + ",\n{", nil, 400, [4]int64{1, 0, 0, 1}, "the array of records has no end", 2},
		"gzip that ends too early":    {gz(t, lines(200))[:500], nil, 400, [4]int64{-1}, "the file is cut short", -1},
		"one long event":              {long, nil, 413, [4]int64{0, 0, 0, 1}, "longer than 2000 bytes", 1},
		"a long event and a bad one":  {long + "\n{}", nil, 400, [4]int64{0, 0, 0, 2}, "longer than 2000 bytes", 1},
		"a large body":                {lines(200), nil, 413, [4]int64{}, "the body has more than 10000 bytes", 0},
		"large content":               {gz(t, lines(500)), nil, 413, [4]int64{-1}, "it holds more than 20000 bytes", -1},
		"an encoding":                 {"x", []string{"Content-Encoding: br"}, 415, [4]int64{}, "this Content-Encoding", 0},
		"two encodings":               {"x", []string{"Content-Encoding: gzip, gzip"}, 415, [4]int64{}, "this Content-Encoding", 0},
		"two encodings, one by one":   {"x", []string{"Content-Encoding: gzip", "Content-Encoding: gzip"}, 415, [4]int64{}, "this Content-Encoding", 0},
		"no gzip":                     {line("a"), []string{"Content-Encoding: gzip"}, 400, [4]int64{}, "the body is not", 0},
		"zstd for gzip":               {zst(t, line("a")), []string{"Content-Encoding: gzip"}, 400, [4]int64{}, "the body is not", 0},
		"a wide zstd window":          {"\x28\xb5\x2f\xfd\x00\x70\x00\x00\x00", nil, 400, [4]int64{}, "a window of more than 8388608 bytes", 0},
		"compressed twice":            {gz(t, gz(t, line("a"))), nil, 415, [4]int64{}, "compressed twice", 0},
		"an archive":                  {"PK\x03\x04", nil, 415, [4]int64{}, "a zip archive", 0},
		"a format":                    {line("a"), []string{"?format=xml"}, 415, [4]int64{}, `the format "xml" is not read`, 0},
		"no format told":              {"Dear diary", []string{"?format=auto"}, 415, [4]int64{}, "not recognised", 0},
		"a parameter":                 {line("a"), []string{"?recipt=true"}, 400, [4]int64{}, "there is no parameter", 0},
		"a parameter twice":           {line("a"), []string{"?format=jsonl&format=auto"}, 400, [4]int64{}, "given twice", 0},
		"a parameter that is none":    {line("a"), []string{"?receipt=maybe"}, 400, [4]int64{}, "must be true or false", 0},
		"a query":                     {line("a"), []string{"?%zz"}, 400, [4]int64{}, "the query can't be read", 0},
		"a receipt that nobody signs": {line("a"), []string{"Daybook-Receipt: true"}, 400, [4]int64{}, "signs no receipts", 0},
		"a receipt, or not":           {line("a"), []string{"Daybook-Receipt: yes"}, 400, [4]int64{}, "Daybook-Receipt", 0},
		"a long key":                  {line("a"), []string{"Idempotency-Key: " + strings.Repeat("x", 256)}, 400, [4]int64{}, "Idempotency-Key", 0},
		"a blank key":                 {line("a"), []string{"Idempotency-Key: "}, 400, [4]int64{}, "Idempotency-Key", 0},
		"a key of two words":          {line("a"), []string{"Idempotency-Key: a b"}, 400, [4]int64{}, "Idempotency-Key", 0},
		"two keys":                    {line("a"), []string{"Idempotency-Key: a", "Idempotency-Key: b"}, 400, [4]int64{}, "Idempotency-Key", 0},
		"a watermark that is none":    {line("a"), []string{"Daybook-Watermark: yesterday"}, 400, [4]int64{}, "Daybook-Watermark", 0},
		"a watermark of the future":   {line("a"), []string{"Daybook-Watermark: 2026-03-20T12:15:00.1Z"}, 400, [4]int64{}, "Daybook-Watermark", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, receiver.Options{MaxBody: 10_000, MaxContent: 20_000})
			got := w.sendText(test.body, test.headers...)
			if test.counts[0] < 0 && got.Accepted > 0 {
				test.counts, test.line = got.counts(), int(got.Accepted)+1
			}
			got.is(t, test.code, test.counts, test.part)
			if got.Line != test.line {
				t.Errorf("line %d, want %d", got.Line, test.line)
			}
			if int64(len(w.rows)) != got.Accepted || int64(len(w.rejections)) != got.RejectedTotal {
				t.Errorf("%d events and %d records were kept, told %s", len(w.rows), len(w.rejections), got.text)
			}
			if (got.header.Get("Accept-Encoding") != "") != strings.Contains(got.Error, "Content-Encoding is not read") && got.code == 415 && strings.Contains(got.Error, "Content-Encoding") {
				t.Errorf("header %v", got.header)
			}
		})
	}
}

func TestOnlyPOST(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		r, err := http.NewRequest(method, w.server.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		got, err := do(w.server.Client(), r)
		if err != nil {
			t.Fatal(err)
		}
		got.is(t, 405, [4]int64{}, "POST")
		if got.header.Get("Allow") != "POST" {
			t.Errorf("%s: header %v", method, got.header)
		}
	}
}

func TestWatermarks(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	at := now.Add(-time.Minute)
	header := "Daybook-Watermark: " + at.Format(time.RFC3339)
	w.sendText("", header).is(t, 200, [4]int64{}, "")
	w.sendText(" \n", header).is(t, 200, [4]int64{}, "")
	w.sendText(line("a")+"\n{}", header).is(t, 200, [4]int64{1, 0, 0, 1}, "")
	w.sendText("{}", header).is(t, 400, [4]int64{0, 0, 0, 1}, "") // not all have come
	w.sendText("["+line("b"), header).is(t, 400, [4]int64{1, 0, 0, 0}, "")
	if diff := cmp.Diff([]time.Time{at, at, at}, w.watermarks); diff != "" {
		t.Error(diff)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*intake.Settings, *receiver.Options){
		"unknown input format": func(s *intake.Settings, _ *receiver.Options) { s.From = "xml" },
		"no redactor":          func(s *intake.Settings, _ *receiver.Options) { s.Redactor = nil },
		"record limit":         func(s *intake.Settings, _ *receiver.Options) { s.RecordLimit = 0 },
		"ratio":                func(s *intake.Settings, _ *receiver.Options) { s.Ratio = 0 },
		"negative":             func(_ *intake.Settings, o *receiver.Options) { o.MaxBody = -1 },
		"rate":                 func(_ *intake.Settings, o *receiver.Options) { o.Rate = -1 },
	} {
		s, o := settings(t), receiver.Options{}
		change(&s, &o)
		if _, err := receiver.New(&backend{}, credentials{}, s, &o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := receiver.New(&backend{}, credentials{}, settings(t), nil); err != nil {
		t.Error(err)
	}
}

func TestTheLogHoldsNoSecret(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, receiver.Options{Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	w.sendText(line("needle") + "\n{\"time\":\"needle\",\"action\":\"x\"}")
	w.sendText("needle")
	w.sendText(line("x"), "Authorization: Bearer needle")
	w.sendText(line("x"), "Idempotency-Key: needle")
	w.server.Close() // and so all is logged
	if strings.Contains(log.String(), "needle") || strings.Contains(log.String(), "good\",\"token") {
		t.Errorf("log:\n%s", &log)
	}
	var levels []string
	for l := range strings.Lines(log.String()) {
		var entry struct {
			Level, Msg string
			Code       int
		}
		if err := json.Unmarshal([]byte(l), &entry); err != nil {
			t.Fatal(err)
		}
		levels = append(levels, fmt.Sprint(entry.Level, " ", entry.Code))
	}
	if diff := cmp.Diff([]string{"INFO 200", "INFO 400", "INFO 401", "DEBUG 200"}, levels); diff != "" {
		t.Error(diff)
	}
}

// What is refused is logged with who sent it and why, and without what was sent.
func TestTheLogTellsWhyAndWhom(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, receiver.Options{MaxBody: 1 << 10, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	w.sendText(line("needle"), "Authorization: Bearer needle")
	w.sendText(line("needle"), "Authorization: Bearer expired")
	w.sendText(line("x"), "?needle=1")
	w.sendText(line("x"), "?receipt=true&receipt=needle")
	w.sendText(line("x"), "?format=needle")
	w.sendText(line("needle")[1:])
	w.sendText(strings.Repeat("needle", 1<<10))
	w.sendText(line("x"), "Content-Encoding: gzip")
	w.sendText(`{"Records":[{"needle"]}`, "?format=cloudtrail")
	w.sendText(line("x"), "Idempotency-Key: needle")
	w.sendText(line("y"), "Idempotency-Key: needle")
	w.sendText(line("z"))
	w.server.Close() // and so all is logged
	if strings.Contains(log.String(), "needle") {
		t.Errorf("it tells what was sent:\n%s", &log)
	}
	var got []string
	for l := range strings.Lines(log.String()) {
		var entry struct {
			Code          int
			Remote, Error string
		}
		if err := json.Unmarshal([]byte(l), &entry); err != nil {
			t.Fatal(err)
		}
		if host, _, err := net.SplitHostPort(entry.Remote); err != nil || host != "127.0.0.1" {
			t.Errorf("remote %q", entry.Remote)
		}
		got = append(got, fmt.Sprint(entry.Code, " ", entry.Error))
	}
	want := []string{
		"401 the credential is not known",
		"403 the credential has expired",
		"400 there is no such parameter",
		"400 a parameter is given twice",
		"415 the format is not read",
		"400 no record can be read",
		"413 the body has more than 1024 bytes: too large",
		"400 Content-Encoding is gzip, but the body is not",
		"400 the body can't be read to its end",
		"422 this Idempotency-Key was used with another request",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
