package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"daybook/event"
)

func TestTokensAreCut(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*event.Event)
		want string
		has  bool
	}{
		{"a token", func(e *event.Event) { e.SetToken("s3cret-9f3a") }, "9f3a", true},
		{"a token of four", func(e *event.Event) { e.SetToken("9f3a") }, "", false},
		{"a token of three", func(e *event.Event) { e.SetToken("9f3") }, "", false},
		{"a token of runes", func(e *event.Event) { e.SetToken("pässwörd✓") }, "örd✓", true},
		{"a field with a whole token", func(e *event.Event) { e.Set(event.TokenLast4, "s3cret-9f3a") }, "9f3a", true},
		{"a field cut before", func(e *event.Event) { e.Set(event.TokenLast4, "9f3a") }, "9f3a", true},
		{"a field too short", func(e *event.Event) { e.Set(event.TokenLast4, "9f") }, "", false},
	} {
		var e event.Event
		c.set(&e)
		if got := e.Get(event.TokenLast4); got != c.want || e.Has(event.TokenLast4) != c.has {
			t.Errorf("%s: got %q, has %v; want %q, %v", c.name, got, e.Has(event.TokenLast4), c.want, c.has)
		}
	}
}

func TestRowHasEveryFieldInItsPlace(t *testing.T) {
	var e event.Event
	e.Time = time.Date(2026, 3, 10, 9, 30, 0, 120_000_000, time.UTC)
	e.Received = e.Time.Add(time.Second)
	for _, f := range event.Fields() {
		switch {
		case f.JSON():
			e.Set(f, `{"n":1.50,"n":2}`)
		case f == event.TokenLast4:
			e.SetToken("abcdefgh")
		default:
			e.Set(f, f.String()+" \"\\\n\x00é\u2028")
		}
	}
	e.Tags = []string{"b", "a"}
	e.Flag("z")
	e.Flag("a")
	e.Flag("z")
	e.SetSourceSeq(1<<64 - 1)
	row := string(e.AppendJSON(nil))
	if !json.Valid([]byte(row)) || strings.ContainsAny(row, "\n\x00") {
		t.Fatalf("row is not one line of JSON: %s", row)
	}
	at := -1
	for _, name := range []string{
		"id", "source", "time", "received", "org", "type", "action", "outcome", "error_code", "error_message", "reason", "severity",
		"actor_type", "actor_id", "actor_name", "actor_email", "actor_role", "ip", "user_agent", "session_id", "request_id",
		"credential_id", "token_label", "token_last4", "object_type", "object_id", "object_name", "project_id", "project_name",
		"provider", "region", "tags", "flags", "info", "changes", "corrects", "source_seq", "raw",
	} {
		i := strings.Index(row, `"`+name+`":`)
		if i <= at {
			t.Errorf("%s stands at %d, after %d", name, i, at)
		}
		at = i
	}
	for _, want := range []string{`"time":"2026-03-10T09:30:00.12Z"`, `"tags":["b","a"]`, `"flags":["a","z"]`, `"source_seq":18446744073709551615`, `"raw":{"n":1.50,"n":2}`} {
		if !strings.Contains(row, want) {
			t.Errorf("row lacks %s: %s", want, row)
		}
	}
}

func TestAbsentAndEmptyDiffer(t *testing.T) {
	var e event.Event
	e.Time = time.Unix(0, 0)
	e.Set(event.Action, "")
	if row := string(e.AppendJSON(nil)); row != `{"time":"1970-01-01T00:00:00Z","action":""}` {
		t.Errorf("got %s", row)
	}
}

func TestTimesAgreeWithTheStandardLibrary(t *testing.T) {
	for sec := int64(-62135596800); sec < 253402300800; sec += 86399*1021 + 7 {
		at := time.Unix(sec, sec&0x3fffffff%1_000_000_000).UTC()
		want := at.Format(time.RFC3339Nano)
		if got := string(event.AppendTime(nil, at)); got != want {
			t.Fatalf("AppendTime = %s, want %s", got, want)
		}
		if got, ok := event.ParseTime(want); !ok || !got.Equal(at) {
			t.Fatalf("ParseTime(%s) = %v, %v", want, got, ok)
		}
		if got := event.DayOf(at).String(); got != want[:10] {
			t.Fatalf("DayOf(%s) = %s", want, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-02-29T00:00:00Z", "2024-02-29T23:59:59.999999999Z", "2026-03-10T09:30:00+02:00", "2026-13-01T00:00:00Z", "2026-03-10T24:00:00Z", "0001-01-01T00:00:00Z", "2026-03-10t00:00:00z", "2026-03-10T09:30:00.Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := event.ParseTime(s)
		want, err := time.Parse(time.RFC3339Nano, s)
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Errorf("ParseTime(%q) = %v, %v; the standard library says %v, %v", s, got, ok, want, err)
		}
	})
}

func TestContentHashLeavesOutWhatDiffersBetweenDeliveries(t *testing.T) {
	make := func(received time.Time, raw string) [32]byte {
		e := event.Event{Time: time.Unix(1, 0), Received: received}
		e.Set(event.Raw, raw)
		return e.ContentHash(e.AppendJSON(nil))
	}
	base := make(time.Time{}, `{"p":"`+event.Redacted("0a1b2c3d")+`","q":1}`)
	if make(time.Unix(9, 0), `{"p":"`+event.Redacted("ffffffff")+`","q":1}`) != base {
		t.Error("received or a redaction tag changes the content hash")
	}
	if make(time.Time{}, `{"p":"`+event.Redacted("0a1b2c3d")+`","q":2}`) == base {
		t.Error("another content has the same hash")
	}
}

func TestContentHashIsTheLeafOfARowThatHasOnlyContent(t *testing.T) {
	for _, raw := range []string{`{"p":1}`, `"` + strings.Repeat("x", 5000) + `"`, `"` + event.Redacted("0a1b2c3d") + `"`} {
		for _, received := range []time.Time{{}, time.Unix(9, 0)} {
			e := event.Event{Time: time.Unix(1, 0), Received: received}
			e.Set(event.Raw, raw)
			row := e.AppendJSON(nil)
			if same := e.ContentHash(row) == tlog.RecordHash(row); same != e.HasOnlyContent(row) {
				t.Errorf("%.60s: the hash is the leaf: %v, HasOnlyContent: %v", row, same, e.HasOnlyContent(row))
			}
		}
	}
}

func TestPlausibleIP(t *testing.T) {
	for s, want := range map[string]bool{
		"": true, "192.0.2.1": true, "2001:db8::1": true, "cloudtrail.amazonaws.com": true, "AWS Internal": true, "::ffff:192.0.2.1": true,
		"702.21.198.166": false, "1.2.3": false, "1.2.3.4:80": false, "dead:beef": false, "%": false,
	} {
		if event.PlausibleIP(s) != want {
			t.Errorf("PlausibleIP(%q) = %v", s, !want)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	memory := []byte("abc")
	e := event.Event{Tags: []string{"x"}}
	e.Set(event.Action, string(memory))
	c := e.Clone()
	e.Tags[0] = "y"
	e.Set(event.Action, "z")
	if c.Get(event.Action) != "abc" || c.Tags[0] != "x" {
		t.Errorf("the clone changed: %q %q", c.Get(event.Action), c.Tags)
	}
}
