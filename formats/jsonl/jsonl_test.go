package jsonl_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"daybook/event"
	"daybook/formats/jsonl"
	"daybook/formats/jsontext"
)

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{
			"all that is ours stays a field, in the order of the row",
			`{ "action" : "project-describe", "time":"2026-03-10T10:30:00.5+01:00", "id":"e1", "info": { "a" : 1.0, "a":2 }, "tags":["x"], "source_seq":7 }`,
			`{"id":"e1","time":"2026-03-10T09:30:00.5Z","action":"project-describe","tags":["x"],"info":{"a":1.0,"a":2},"source_seq":7}`,
		},
		{
			"an unknown member ends in raw, with the whole record",
			`{"time":"2026-03-10T09:30:00Z","action":"a","shoe_size":44, "id":"é"}`,
			`{"id":"é","time":"2026-03-10T09:30:00Z","action":"a","raw":{"time":"2026-03-10T09:30:00Z","action":"a","shoe_size":44,"id":"é"}}`,
		},
		{
			"received and flags are not the source's to set",
			`{"time":"2026-03-10T09:30:00Z","action":"a","received":"2026-03-10T09:30:01Z","flags":["time_suspect"]}`,
			`{"time":"2026-03-10T09:30:00Z","action":"a","raw":{"time":"2026-03-10T09:30:00Z","action":"a","received":"2026-03-10T09:30:01Z","flags":["time_suspect"]}}`,
		},
		{
			"a number is taken as its text",
			`{"time":"2026-03-10T09:30:00Z","action":"a","actor_id":12345678901234567890}`,
			`{"time":"2026-03-10T09:30:00Z","action":"a","actor_id":"12345678901234567890","raw":{"time":"2026-03-10T09:30:00Z","action":"a","actor_id":12345678901234567890}}`,
		},
		{
			"a whole token is cut, in raw too",
			`{"time":"2026-03-10T09:30:00Z","action":"a","token_last4":"sk-verysecret","x":0}`,
			`{"time":"2026-03-10T09:30:00Z","action":"a","token_last4":"cret","raw":{"time":"2026-03-10T09:30:00Z","action":"a","token_last4":"cret","x":0}}`,
		},
		{
			"an outcome of its own is unknown, raw keeps it",
			`{"time":"2026-03-10T09:30:00Z","action":"a","outcome":"maybe"}`,
			`{"time":"2026-03-10T09:30:00Z","action":"a","outcome":"unknown","raw":{"time":"2026-03-10T09:30:00Z","action":"a","outcome":"maybe"}}`,
		},
		{
			"digits of the time beyond the ninth are cut, raw keeps them",
			`{"time":"2026-03-10T09:30:00.1234567891Z","action":"a"}`,
			`{"time":"2026-03-10T09:30:00.123456789Z","action":"a","raw":{"time":"2026-03-10T09:30:00.1234567891Z","action":"a"}}`,
		},
		{
			"so at any offset",
			`{"time":"2026-03-10T10:30:00.000000000001+01:00","action":"a"}`,
			`{"time":"2026-03-10T09:30:00Z","action":"a","raw":{"time":"2026-03-10T10:30:00.000000000001+01:00","action":"a"}}`,
		},
		{
			"nor does an hour of one digit, or a comma, hide them",
			`{"time":"2026-03-10T9:30:00,1234567891Z","action":"a"}`,
			`{"time":"2026-03-10T09:30:00.123456789Z","action":"a","raw":{"time":"2026-03-10T9:30:00,1234567891Z","action":"a"}}`,
		},
		{
			"a time without a fraction has none",
			`{"time":"2026-03-15T10:30:00+01:00","action":"a"}`,
			`{"time":"2026-03-15T09:30:00Z","action":"a"}`,
		},
		{
			"zeros at the end of the time are nothing to keep",
			`{"time":"2026-03-10T09:30:00.12345678900000-00:30","action":"a"}`,
			`{"time":"2026-03-10T10:00:00.123456789Z","action":"a"}`,
		},
		{
			"null is absent, an empty text is not",
			`{"time":"2026-03-10T09:30:00Z","action":"a","ip":null,"user_agent":"","info":null}`,
			`{"time":"2026-03-10T09:30:00Z","action":"a","user_agent":""}`,
		},
		{
			"escapes are undone and made again",
			`{"time":"2026-03-10T09:30:00Z","action":"\u0061\/b\n\u0000","id":""}`,
			`{"time":"2026-03-10T09:30:00Z","action":"a/b\n\u0000"}`,
		},
	} {
		var e event.Event
		if err := (jsonl.Decoder{}).Decode([]byte(c.in), &e); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := string(e.AppendJSON(nil)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for in, want := range map[string]string{
		`not json`:                                     "not an object",
		`{"time":"2026-03-10T09:30:00Z"`:               "comma or the end",
		`{"kind": 0}`:                                  "no time",
		`{"action":"a"}`:                               "no time",
		`{"time":"2026-03-10T09:30:00Z"}`:              "no action",
		`{"time":1773135000,"action":"a"}`:             "RFC 3339",
		`{"time":"2026-02-30T09:30:00Z","action":"a"}`: "RFC 3339",
		`{"time":"2026-03-10T09:30:00Z","action":"a","action":"b"}`:       "action is given twice",
		`{"time":"2026-03-10T09:30:00Z","action":"a","Action":"b"}`:       "action is given twice",
		`{"time":"2026-03-10T09:30:00Z","action":"a","actor_id":{"x":1}}`: "must be a string",
		`{"time":"2026-03-10T09:30:00Z","action":"a","tags":"x"}`:         "list of strings",
		`{"time":"2026-03-10T09:30:00Z","action":"a"} {}`:                 "text after",
		"{\"time\":\"2026-03-10T09:30:00Z\",\"action\":\"a\x00\"}":        "control character",
		`[]`: "not an object",
	} {
		var e event.Event
		err := jsonl.Decoder{}.Decode([]byte(in), &e)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
	var e event.Event
	if err := (jsonl.Decoder{}).Decode([]byte("{\"action\":\"\xff\"}"), &e); !errors.Is(err, jsontext.ErrUTF8) {
		t.Errorf("invalid UTF-8: got %v", err)
	}
}

func TestParseRowRefusesWhatWasNotWrittenByUs(t *testing.T) {
	good := `{"id":"e","time":"2026-03-10T09:30:00Z","action":"a"}`
	var e event.Event
	if err := jsonl.ParseRow([]byte(good), &e); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		``, `{}`, `[]`, `{"id":"e","action":"a"}`, `{"time":"2026-03-10T09:30:00Z","action":"a","id":"e"}`, `{"time":"x","action":"a"}`,
		`{"id":"e","id":"e","time":"2026-03-10T09:30:00Z"}`, `{"id":1,"time":"2026-03-10T09:30:00Z"}`, `{"time":"2026-03-10T09:30:00Z","more":1}`,
	} {
		if err := jsonl.ParseRow([]byte(row), &e); err == nil {
			t.Errorf("%s: no error", row)
		}
	}
}

// FuzzDecode feeds any text to the decoder: what it takes must come back from its evidence row as it was.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"e1","time":"2026-03-10T09:30:00.5Z","action":"a","info":{"x":[1,2]},"tags":["t"],"source_seq":1,"zzz":{"a":"\ud83d\ude00"}}`))
	f.Add([]byte(`{"time":"2026-03-10T09:30:00Z","action":"a\u2028\u0000\\"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var e, back event.Event
		if (jsonl.Decoder{}).Decode(in, &e) != nil {
			return
		}
		row := e.AppendJSON(nil)
		if !json.Valid(row) || bytes.ContainsAny(row, "\n\r") {
			t.Fatalf("row is not one line of JSON: %q", row)
		}
		if err := jsonl.ParseRow(row, &back); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		back.SetSourceSeq(1) // forgets the row
		e.SetSourceSeq(1)
		if again := back.AppendJSON(nil); !bytes.Equal(again, e.AppendJSON(nil)) {
			t.Fatalf("row %q came back as %q", row, again)
		}
	})
}

var benchRecord = []byte(`{"id":"0d5f2f4e-63a2-4c55-9b54-0b4f1a7a2a11","source":"platform","time":"2026-03-10T09:30:00.123456Z","org":"acme","type":"api.read","action":"project-describe","outcome":"success","actor_type":"user","actor_id":"user-000123","actor_name":"Ada Lovelace","ip":"192.0.2.17","user_agent":"dx-toolkit/0.389.0 (Linux-5.15; Python/3.11)","session_id":"sess-8f1c","request_id":"1741599000123-4567","token_label":"ci","token_last4":"9f3a","object_type":"file","object_id":"file-GqK1pZ00bX4","object_name":"sample.bam","project_id":"project-0042","project_name":"Trial 42","region":"aws:us-east-1","info":{"id":"file-GqK1pZ00bX4","describe":{"fields":{"name":true,"size":true,"state":true}},"nonce":"5b1c9a40e7"}}`)

func BenchmarkDecode(b *testing.B) {
	b.SetBytes(int64(len(benchRecord)))
	b.ReportAllocs()
	var e event.Event
	for b.Loop() {
		e.Reset()
		if err := (jsonl.Decoder{}).Decode(benchRecord, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRow(b *testing.B) {
	var e event.Event
	if err := (jsonl.Decoder{}).Decode(benchRecord, &e); err != nil {
		b.Fatal(err)
	}
	row := e.AppendJSON(nil)
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if err := jsonl.ParseRow(row, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	var e event.Event
	if err := (jsonl.Decoder{}).Decode(benchRecord, &e); err != nil {
		b.Fatal(err)
	}
	var row []byte
	b.ReportAllocs()
	for b.Loop() {
		row = e.AppendJSON(row[:0])
	}
	b.SetBytes(int64(len(row)))
}

func TestOutcomeAndSeverityKeepToTheirLists(t *testing.T) {
	for _, c := range []struct{ in, outcome, severity, notKnown string }{
		{`"outcome":"success","severity":"high"`, "success", "high", ""},
		{`"outcome":"unknown"`, "unknown", "-", ""},
		{`"outcome":null,"severity":null`, "-", "-", ""},
		{`"outcome":"Success","severity":"HIGH"`, "success", "high", ""},
		{`"outcome":"FAILURE","severity":"Info"`, "failure", "info", ""},
		{`"outcome":"Unknown"`, "unknown", "-", ""},
		{`"outcome":true,"severity":true`, "success", "-", ""},
		{`"outcome":false,"severity":false`, "failure", "-", ""},
		{`"outcome":1,"severity":7`, "unknown", "-", "1"},
		{`"outcome":"ok","severity":"odd"`, "unknown", "-", `"ok"`},
		{`"outcome":"true","severity":""`, "unknown", "-", `"true"`},
		{`"outcome":"","severity":" high"`, "unknown", "-", `""`},
		{`"outcome":"\u017fuccess"`, "unknown", "-", `"ſuccess"`},
		{`"outcome":"o\u009b\u202ek"`, "unknown", "-", `"o\u009b\u202ek"`},
		{`"outcome":"` + strings.Repeat("é", 50) + `"`, "unknown", "-", `"` + strings.Repeat("é", 20) + `…"`},
	} {
		record := []byte(`{"time":"2026-03-10T09:30:00Z","action":"a",` + c.in + `}`)
		var e event.Event
		if err := (jsonl.Decoder{}).Decode(record, &e); err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		text := func(f event.Field) string {
			if !e.Has(f) {
				return "-"
			}
			return e.Get(f)
		}
		if text(event.Outcome) != c.outcome || text(event.Severity) != c.severity {
			t.Errorf("%s: outcome is %s, severity %s", c.in, text(event.Outcome), text(event.Severity))
		}
		as := `"outcome":"` + c.outcome + `"`
		if c.severity != "-" {
			as += `,"severity":"` + c.severity + `"`
		}
		if changed := as != c.in && !strings.Contains(c.in, "null"); changed != (e.Get(event.Raw) == string(record)) {
			t.Errorf("%s: raw is %s", c.in, e.Get(event.Raw))
		}
		if got := jsonl.OutcomeNotKnown(record); got != c.notKnown {
			t.Errorf("%s: the outcome that is not known is %s, want %s", c.in, got, c.notKnown)
		}
	}
}
