package formatstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"daybook/event"
	"daybook/formats"
	"daybook/internal/effort"
)

// A File is a file of a format, and what it was written from.
type File struct {
	Name   string
	Data   []byte
	Events []event.Event
	// Header is how many lines stand before the first row.
	Header int
}

// Check returns the first error of a Checker made by open for data.
func Check(open func(io.Reader) formats.Checker, data []byte, events []event.Event) error {
	c := open(bytes.NewReader(data))
	for i := range events {
		if err := c.Check(&events[i]); err != nil {
			return err
		}
	}
	return c.Close()
}

// Tamper fails the test unless the file passes the check, and no file does that differs from it by a byte, a row or its end. More than one row must tell each
// option that the file was written with.
func Tamper(t *testing.T, open func(io.Reader) formats.Checker, f File) {
	t.Helper()
	if err := Check(open, f.Data, f.Events); err != nil {
		t.Fatalf("%s: as written: %v", f.Name, err)
	}
	tampered := func(data []byte, what string, at int) {
		if bytes.Equal(data, f.Data) {
			return
		}
		if Check(open, data, f.Events) == nil {
			t.Errorf("%s: %s at %d is not found: %q", f.Name, what, at, data[max(at-30, 0):min(at+30, len(data))])
		}
	}
	every := 1
	if !effort.Thorough() {
		t.Log("at each byte a quarter of the alterations is tried: make test tries all")
		every = 4
	}
	data := slices.Clone(f.Data)
	for i := range data {
		for bit := range 8 {
			if (i+bit)%every > 0 {
				continue
			}
			data[i] ^= 1 << bit
			tampered(data, "flip", i)
			data[i] ^= 1 << bit
		}
	}
	shorter := slices.Clone(data[1:])
	longer := append([]byte{0}, data...)
	for i := range data { // shorter lacks byte i, longer has one more before it
		tampered(shorter, "delete", i)
		if i < len(shorter) {
			shorter[i] = data[i]
		}
		for k, c := range []byte("\x00 0a,\"\\=|]'\n\r") {
			if (i+k)%every > 0 {
				continue
			}
			longer[i] = c
			tampered(longer, fmt.Sprintf("insert %q", c), i)
		}
		longer[i] = data[i]
		tampered(data[:i], "truncate", i)
	}
	for _, more := range []string{"\n", " ", "x", "x\n", "\x00", "\ufeff", "\x1f\x8b"} {
		tampered(append(slices.Clone(data), more...), "append "+more, len(data))
		tampered(append([]byte(more), data...), "begin with "+more, 0)
	}
	rows := bytes.SplitAfter(data, []byte("\n"))
	rows = rows[:len(rows)-1]
	for i := range rows {
		tampered(bytes.Join(slices.Delete(slices.Clone(rows), i, i+1), nil), "drop row", i)
		for j := range rows {
			swapped := slices.Clone(rows)
			swapped[i], swapped[j] = rows[j], rows[i]
			tampered(bytes.Join(swapped, nil), fmt.Sprintf("swap row %d with", i), j)
			tampered(bytes.Join(slices.Insert(slices.Clone(rows), j, rows[i]), nil), fmt.Sprintf("insert row %d", i), j)
		}
	}
	for i := range f.Events { // one more event than rows
		if err := Check(open, data, slices.Insert(slices.Clone(f.Events), i, f.Events[i])); err == nil {
			t.Errorf("%s: a row that is missing at %d is not found", f.Name, i)
		}
	}
	if err := Check(open, data, slices.Concat(f.Events, f.Events[:1])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s: an event too many is %v, want %v", f.Name, err, io.ErrUnexpectedEOF)
	}
}

// Altered checks the file against events of which one differs in a field, for every field and event: that must be found if the format holds the field.
func Altered(t *testing.T, open func(io.Reader) formats.Checker, f File, held func(*event.Event, event.Field) bool) {
	t.Helper()
	for i := range f.Events {
		for _, field := range event.Fields() {
			texts := []string{"x" + f.Events[i].Get(field), f.Events[i].Get(field) + "x", "", " ", f.Events[i].Get(field) + "\n"}
			for _, text := range texts {
				if field == event.TokenLast4 && text != "" {
					text = "wxyz"
				}
				events := slices.Clone(f.Events)
				e := &events[i]
				if *e = e.Clone(); text == "" {
					e.Unset(field)
				} else {
					e.Set(field, text)
				}
				same := e.Get(field) == f.Events[i].Get(field)
				if err := Check(open, f.Data, events); (err == nil) != (same || !held(e, field)) {
					t.Errorf("%s, row %d: with %s %q instead of %q: %v", f.Name, i+1, field, text, f.Events[i].Get(field), err)
				}
			}
		}
		events := slices.Clone(f.Events)
		events[i].Time = events[i].Time.Add(time.Millisecond)
		if Check(open, f.Data, events) == nil {
			t.Errorf("%s, row %d: another time is not found", f.Name, i+1)
		}
	}
}

// Odd returns short events that make encoders do what they seldom do.
func Odd() []event.Event {
	all := []map[event.Field]string{
		{
			event.ID: "e-1", event.Source: "a|b=c", event.Org: "acme", event.Type: "iam.permission.grant", event.Action: "project|invite\\x",
			event.Outcome: event.Success, event.ActorID: "=1+1", event.ActorName: "Zoë", event.IP: "192.0.2.1", event.UserAgent: `x "y" [z]\`,
			event.TokenLabel: "ci", event.TokenLast4: "9f3a", event.ObjectType: "file", event.ObjectID: "file-1", event.ObjectName: " a, b=c \r\nd\re\tf\u0085\u2028",
			event.ProjectID: "'p", event.ProjectName: "日本 🧬", event.Info: `{"a":"b\"c\\d","e":[1,2,"k=v"]}`,
		},
		{},
		{
			event.ID: strings.Repeat("0123456789", 5), event.Action: "oauth.token.issued.authorization_code", event.Outcome: event.Failure, event.IP: "2001:db8::1",
			event.ErrorCode: "Denied", event.ErrorMessage: "not allowed\n", event.ActorID: "@x", event.ObjectName: "\u00a0x\\n", event.Info: `{"q":"` + strings.Repeat("é", 9) + `"}`,
			event.Severity: "low", event.Reason: "why", event.ActorRole: "admin",
		},
		{
			event.ID: "e-3", event.Type: "x.delete", event.IP: "host.example", event.Outcome: event.Unknown, event.ObjectName: "\tx", event.Reason: "because",
			event.ObjectID: strings.Repeat("o", 70), event.Info: `"\u0000"`, event.UserAgent: "\x1b[0m",
		},
	}
	events := make([]event.Event, len(all))
	for i, texts := range all {
		events[i].Time = time.Date(2026, 3, 10, 23, 59, 57+i, 123_456_789, time.UTC)
		for f, text := range texts {
			events[i].Set(f, text)
		}
	}
	return events
}

// Random returns n events whose texts are made to hit limits, escapes and cuts.
func Random(r *rand.Rand, n int) []event.Event {
	alphabet := []string{"a", "b", "x", "0", " ", " ", ",", `"`, `\`, "=", "|", "]", "'", "\n", "\r", "\r\n", "\t", "\x00", "\x7f", "\u0085", "\u2028", "é", "日", "🧬", "\ufffd"}
	lengths := []int{0, 1, 3, 20, 38, 62, 64, 70, 254, 508, 1020, 1024, 2000, 3998, 5000}
	events := make([]event.Event, n)
	for i := range events {
		e := &events[i]
		e.Time = time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC()
		longest := 1 + r.IntN(len(lengths))
		plain := r.IntN(2) == 0
		for _, f := range event.Fields() {
			if r.IntN(8) == 0 {
				continue
			}
			var b strings.Builder
			for size := lengths[r.IntN(longest)] + r.IntN(6); b.Len() < size; {
				if c := alphabet[r.IntN(len(alphabet))]; !plain || r.IntN(40) == 0 {
					b.WriteString(c)
				} else {
					b.WriteString("v")
				}
			}
			text := b.String()
			if f == event.Info && text != "" {
				text = "{" + text
			}
			e.Set(f, text)
		}
		if r.IntN(2) == 0 {
			e.Set(event.Outcome, []string{event.Success, event.Failure, event.Unknown}[r.IntN(3)])
		}
	}
	return events
}
