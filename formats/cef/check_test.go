package cef_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/cef"
	"daybook/formats/formatstest"
)

func open(r io.Reader) formats.Checker { return cef.NewChecker(r) }

var checkedOptions = []*cef.Options{
	nil, {InfoLimit: -1}, {InfoLimit: 1}, {InfoLimit: 5}, {InfoLimit: 3999}, {Vendor: "Acme & Söhne", Product: strings.Repeat("p", 63), Version: "2 = 3"},
}

func TestCheckerTakesWhatWasWritten(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, o := range checkedOptions {
		for _, events := range [][]event.Event{nil, formatstest.Corpus(t), formatstest.Odd(), formatstest.Typical(300), formatstest.Random(r, 300)} {
			if err := formatstest.Check(open, render(t, events, o), events); err != nil {
				t.Errorf("%+v: %v", o, err)
			}
		}
	}
	broken := event.Event{}
	broken.Set(event.ObjectName, "a\xff\xe2\x80b\ufffd")
	broken.Set(event.Action, "=\xff")
	if err := formatstest.Check(open, render(t, []event.Event{broken}, nil), []event.Event{broken}); err != nil {
		t.Errorf("a text that is not UTF-8: %v", err)
	}
}

func TestCheckerFindsEveryAlteration(t *testing.T) {
	for _, o := range []*cef.Options{nil, checkedOptions[3], checkedOptions[5]} {
		events := formatstest.Odd()
		formatstest.Tamper(t, open, formatstest.File{Data: render(t, events, o), Events: events})
	}
}

func TestCheckerFindsEveryField(t *testing.T) {
	held := []event.Field{event.ID, event.Source, event.Org, event.Type, event.Action, event.Outcome, event.ErrorCode, event.ErrorMessage, event.Severity, event.ActorID,
		event.ActorName, event.ActorRole, event.IP, event.UserAgent, event.TokenLabel, event.TokenLast4, event.ObjectID, event.ObjectName, event.ProjectID,
		event.ProjectName, event.Info}
	events := formatstest.Odd()
	formatstest.Altered(t, open, formatstest.File{Data: render(t, events, nil), Events: events}, func(e *event.Event, f event.Field) bool {
		was := events[slices.IndexFunc(events, func(was event.Event) bool { return was.Time.Equal(e.Time) })]
		line := func(e *event.Event) string { return string(render(t, []event.Event{*e}, nil)) }
		switch f {
		case event.Reason, event.ObjectType, event.Severity: // held where there is no error code; as being a file; as a number
			return line(e) != line(&was)
		}
		return slices.Contains(held, f)
	})
}

// Each line that is altered is refused for its own reason.
func TestCheckerErrors(t *testing.T) {
	var e event.Event
	for f, text := range map[event.Field]string{
		event.ID: "e1", event.Type: "api.read", event.Action: "get", event.Outcome: event.Success, event.IP: "192.0.2.1", event.ActorID: "u=1", event.ActorRole: "a\r\nb", event.Info: `{"a":"bcdef"}`,
	} {
		e.Set(f, text)
	}
	line := string(render(t, []event.Event{e}, nil))
	for _, tt := range []struct{ old, with, want string }{
		{"CEF:0", "CEF:1", `row 1: header is "CEF:1", the evidence says "CEF:0"`},
		{"Daybook", "", "row 1: no vendor in the header"},
		{"Daybook", `D\ybook`, `row 1: cef: vendor "D\\ybook": must be printable, without | and \`},
		{"Daybook", strings.Repeat("x", 64), "longer than 63 bytes"},
		{"|get|get|", "|got|get|", `row 1: class id is "got", the evidence says "get"`},
		{"|get|get|", "|get|got|", `row 1: name is "got", the evidence says "get"`},
		{"|3|", "|03|", `row 1: severity is "03", the evidence says "3"`},
		{" cat=", " category=", `row 1: key is "category", the evidence says "cat"`},
		{" outcome=success", " outcome=failure", `row 1: outcome is "failure", the evidence says "success"`},
		{" outcome=success", "", `row 1: key is "src", the evidence says "outcome"`},
		{" outcome=success", " outcome=success outcome=success", `row 1: key is "outcome", the evidence says "src"`},
		{" outcome=success", " outcome=", `row 1: outcome is "", the evidence says "success"`},
		{" src=", " c6a2=", `row 1: key is "c6a2", the evidence says "src"`},
		{" src=192.0.2.1", " suid=u\\=1 src=192.0.2.1", `row 1: key is "suid", the evidence says "src"`},
		{`a\nb`, `a\r\nb`, `row 1: spriv is "a\r\nb", the evidence says "a\r\nb"`}, // both line ends are one \n
		{`suid=u\=1`, `suid=u=1`, "row 1: an equals sign without a backslash in suid"},
		{`suid=u\=1`, `suid=u\-1`, `row 1: unknown escape \- in suid`},
		{`{"a":"bcdef"}`, `{"a":"bcdef"}\`, "row 1: cs3 ends in a backslash"},
		{`{"a":"bcdef"}`, `{"a":"bcde`, `row 1: cs3 is "{\"a\":\"bcde", the evidence says "{\"a\":\"bcdef\"}"`},
		{`{"a":"bcdef"}`, `{"a":"bcdef"} more=1`, `row 1: key is "more=1", the evidence says ""`},
		{`{"a":"bcdef"}`, `{"a":"bcdef"} `, `row 1: cs3 is "{\"a\":\"bcdef\"} ", the evidence says "{\"a\":\"bcdef\"}"`},
		{"cs3Label=info cs3=", "cn1Label=infoBytes cn1=13 cs3Label=info cs3=", `row 1: cs3 is "{\"a\":\"bcdef\"}", the evidence says "{\"a\":\"bcdef\"}"`},
		{`cs3Label=info cs3={"a":"bcdef"}`, `cn1Label=infoBytes cn1=14 cs3Label=info cs3={"a"`, `row 1: cn1 is "14", the evidence says "13"`},
		{`cs3Label=info cs3={"a":"bcdef"}`, `cn1Label=infoBytes cn1=13 cs3Label=info cs3={"a"`, "cut alike, the next row whole: row 2: cs3"},
		{"Daybook", "Acme", "row 2: header is"},
		{"\n", "", "row 1: the file ends within the row"},
		{"get|get", "get\x00|get", `row 1: a control character or broken UTF-8 at byte 25: "\x00|ge"`},
		{"{", strings.Repeat("{", 9000), "row 1: longer than the evidence's event can be"},
	} {
		altered := strings.Replace(line, tt.old, tt.with, 1)
		if altered == line {
			t.Fatalf("%q is not in the line", tt.old)
		}
		if tt.with != "" {
			altered += line
		}
		_, want, found := strings.Cut(tt.want, "cut alike, the next row whole: ")
		if !found {
			want = tt.want
		}
		err := formatstest.Check(open, []byte(altered), []event.Event{e, e})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q for %q: %v, want %s", tt.with, tt.old, err, want)
		}
		if !errors.As(err, new(*formats.Mismatch)) && !errors.As(err, new(*formats.Malformed)) {
			t.Errorf("%q for %q: the error is a %T", tt.with, tt.old, err)
		}
	}
}

// No row tells InfoLimit, but a file has only one.
func TestCheckerHoldsTheLimit(t *testing.T) {
	events := make([]event.Event, 3)
	for i, n := range []int{10, 20, 30} {
		events[i].Set(event.Info, `"`+strings.Repeat("é", n)+`"`)
	}
	file := func(limits ...int) []byte {
		var all []byte
		for i, limit := range limits {
			all = append(all, render(t, events[i:i+1], &cef.Options{InfoLimit: limit})...)
		}
		return all
	}
	for _, tt := range []struct {
		limits []int
		ok     bool
	}{
		{[]int{-1, -1, -1}, true},
		{[]int{22, 41, 41}, true},
		{[]int{22, 42, 39}, false}, // the last was cut by 39 or 40, and all of the second has 42
		{[]int{22, 42, 43}, true},
		{[]int{22, -1, 41}, true}, // é is not cut: by 42
		{[]int{22, -1, 39}, false},
		{[]int{15, 16, 16}, true}, // é is not cut
		{[]int{15, 17, 17}, false},
		{[]int{10, -1, -1}, false},
		{[]int{-1, -1, 43}, true},
		{[]int{-1, 20, 20}, false},
		{[]int{-1, 22, 22}, true},
	} {
		if err := formatstest.Check(open, file(tt.limits...), events); (err == nil) != tt.ok {
			t.Errorf("limits %d: %v", tt.limits, err)
		}
	}
}

// rendered reports whether file, which a Checker takes, is what an Encoder makes of events under some options.
func rendered(t *testing.T, file []byte, events []event.Event) bool {
	head := strings.SplitN(string(file), "|", 5)
	if len(head) < 5 {
		return len(file) == 0 && len(events) == 0
	}
	c := cef.NewChecker(bytes.NewReader(file))
	for i := range events {
		if err := c.Check(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	// The file is the same under every limit that the Checker takes for possible.
	for _, limit := range []int{c.Limit().Low, c.Limit().Low + (c.Limit().High-c.Limit().Low)/2, c.Limit().High} {
		o := &cef.Options{Vendor: head[1], Product: head[2], Version: head[3], InfoLimit: limit}
		if o.Validate() != nil || !bytes.Equal(render(t, events, o), file) {
			return false
		}
	}
	return true
}

// FuzzChecker: what a Checker takes is what an Encoder writes.
func FuzzChecker(f *testing.F) {
	for _, e := range append(formatstest.Corpus(f), formatstest.Odd()...) {
		var b bytes.Buffer
		f.Add(formatstest.Encode(f, cef.NewEncoder(&b, &cef.Options{InfoLimit: 30}), &b, []event.Event{e}), e.Get(event.ID), e.Get(event.Action), e.Get(event.ObjectName), e.Get(event.IP), e.Get(event.Info))
	}
	f.Fuzz(func(t *testing.T, file []byte, id, action, name, ip, info string) {
		var e event.Event
		for field, text := range map[event.Field]string{event.ID: id, event.Action: action, event.ObjectName: name, event.IP: ip, event.Info: info} {
			e.Set(field, strings.ToValidUTF8(text, "\ufffd")) // as all evidence
		}
		events := []event.Event{e}
		for _, o := range []*cef.Options{nil, {InfoLimit: -1}, {InfoLimit: 10}} {
			w := render(t, events, o)
			if err := formatstest.Check(open, w, events); err != nil {
				t.Errorf("%q is refused: %v", w, err)
			} else if !rendered(t, w, events) {
				t.Errorf("the limits that are taken for possible do not all give %q", w)
			}
		}
		if formatstest.Check(open, file, events) == nil && !rendered(t, file, events) {
			t.Errorf("%q is taken of %q", file, e.AppendJSON(nil))
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
