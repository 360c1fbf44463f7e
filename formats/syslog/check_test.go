package syslog_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/formatstest"
	"daybook/formats/syslog"
)

func open(r io.Reader) formats.Checker { return syslog.NewChecker(r) }

var checkedOptions = []*syslog.Options{
	nil, {InfoLimit: -1}, {InfoLimit: 1}, {InfoLimit: 9}, {InfoLimit: 4095}, {InfoLimit: 60_000},
	{Facility: 1, Enterprise: 4294967295, Hostname: strings.Repeat("h", 255), AppName: strings.Repeat("a", 48), Version: `2"]\` + strings.Repeat("]", 28)},
	{Facility: 23, Enterprise: 1, Hostname: "<1>]", AppName: `"][origin`, Version: `"] a="`[:2], InfoLimit: 2000},
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
	for _, o := range []*syslog.Options{nil, {InfoLimit: 9}, {Facility: 23, Enterprise: 10, Hostname: "h", AppName: "a]", Version: `"]\`}} {
		events := formatstest.Odd()
		formatstest.Tamper(t, open, formatstest.File{Data: render(t, events, o), Events: events})
	}
}

func TestCheckerFindsEveryField(t *testing.T) {
	held := []event.Field{event.ID, event.Org, event.Source, event.Type, event.ActorID, event.Action, event.Outcome, event.IP, event.ObjectID, event.ProjectID,
		event.TokenLast4, event.TokenLabel, event.ErrorCode, event.ObjectName, event.ProjectName, event.UserAgent, event.ErrorMessage, event.Info}
	events := formatstest.Odd()
	formatstest.Altered(t, open, formatstest.File{Data: render(t, events, nil), Events: events}, func(e *event.Event, f event.Field) bool {
		if f == event.Severity { // as a number
			was := events[slices.IndexFunc(events, func(was event.Event) bool { return was.Time.Equal(e.Time) })]
			return !bytes.Equal(render(t, []event.Event{*e}, nil), render(t, []event.Event{was}, nil))
		}
		return slices.Contains(held, f)
	})
}

func TestCheckerErrors(t *testing.T) {
	var e event.Event
	for f, text := range map[event.Field]string{
		event.ID: "e1", event.Type: "api.read", event.Action: "get", event.Outcome: event.Success, event.ActorID: `u"1`, event.ObjectName: "a\nb", event.Info: `{"a":"bcdef"}`,
	} {
		e.Set(f, text)
	}
	line := string(render(t, []event.Event{e}, nil))
	for _, tt := range []struct{ old, with, want string }{
		{"<110>", "<0>", "row 1: no header of RFC 5424"},
		{"<110>", "<192>", "row 1: no header of RFC 5424"},
		{"<110>", "<0110>", "row 1: no header of RFC 5424"},
		{"<110>", "<109>", `row 1: PRI is "109", the evidence says "110"`},
		{"<110>", "<102>", `row 2: PRI is "110", the evidence says "102"`},
		{">1 0001-01-01T", ">2 0001-01-01T", "row 1: header is"},
		{" 0001-01-01T", " 0002-01-01T", `row 1: TIMESTAMP is "0002-01-01T00:00:00.000000Z", the evidence says "0001-01-01T00:00:00Z"`},
		{" 0001-01-01T", " 0001-01-32T", `row 1: TIMESTAMP is "0001-01-32T00:00:00.000000Z"`},
		{".000000Z", ".000Z", "row 1: time"},
		{" - daybook ", " h daybook ", "row 2: header is"},
		{" daybook ", " dayböok ", "row 1: host or app name"},
		{" daybook - ", " daybook 1 ", "row 1: header is"},
		{" get [", " got [", `row 1: MSGID is "got", the evidence says "get"`},
		{"audit@32473", "audit@032473", "row 1: no element audit@ and an enterprise number"},
		{"audit@32473", "audit@4294967296", "row 1: no element audit@ and an enterprise number"},
		{"audit@32473", "audit@1", "row 1: origin is"},
		{`"][origin `, `" ][origin `, "row 1: no element origin"},
		{`swVersion="1"`, `swVersion="2"`, "row 2: structured data is"},
		{`swVersion="1"`, `swVersion="\2"`, "row 1: no swVersion"},
		{`swVersion="1"`, `swVersion=""`, "row 1: no swVersion"},
		{`eventId="e1"`, `eventId="e2"`, `row 1: eventId is "e2", the evidence says "e1"`},
		{`eventId="e1"`, `eventId="e1" eventId="e1"`, `row 1: parameter is "eventId=\"e1\" type=`},
		{`eventId="e1" `, ``, `row 1: parameter is "type=\"api.read\"`},
		{`eventId="e1"`, `eventId=""`, `row 1: eventId is "", the evidence says "e1"`},
		{`eventId="e1"`, `eventId="e"`, `row 1: eventId is "e", the evidence says "e1"`},
		{`type="api.read"`, `Type="api.read"`, `row 1: parameter is "Type=`},
		{`type="api.read"`, `more="1" type="api.read"`, `row 1: parameter is "more=`},
		{`u\"1`, `u"1`, `row 1: actor is "u", the evidence says "u\"1"`},
		{`u\"1`, `u\"]1`, "row 1: actor has a ] without a backslash"},
		{`u\"1`, `u\"\1`, "row 1: actor has a ] without a backslash, or a backslash before what needs none"},
		{`successStatus="Yes"`, `successStatus="No"`, `row 1: successStatus is "No", the evidence says "Yes"`},
		{`a\\nb`, `a\\rb`, "row 1: objectName is"},
		{` ctl="1"`, ``, "row 1: parameter is"},
		{` ctl="1"`, ` ctl="2"`, `row 1: ctl is "2", the evidence says "1"`},
		{` ctl="1"`, ` infoBytes="13" ctl="1"`, "row 1: parameter is"},
		{`bcdef\"}"`, `b"`, "row 1: parameter is"},
		{`bcdef\"}"`, `b" infoBytes="12"`, `row 1: infoBytes is "12", the evidence says "13"`},
		{`bcdef\"}"`, `b" infoBytes="13"`, "row 2: info is"}, // the second row is whole
		{` info="{\"a\":\"bcdef\"}"`, ` infoBytes="13"`, "row 1: parameter is"},
		{"called get", "called got", `row 1: MSG is "got on a?b: success", the evidence says "get"`},
		{" on a?b: success", ": success", "row 1: MSG is"},
		{": success", ": success.", `row 1: MSG is ".", the evidence says ""`},
		{"\n", "", "row 1: the file ends within the row"},
		{" get [", " get\u0085 [", "row 1: a control character or broken UTF-8"},
		{"bcdef", strings.Repeat("{", 9000), "row 1: longer than the evidence's event can be"},
	} {
		altered := strings.Replace(line, tt.old, tt.with, 1)
		if altered == line {
			t.Fatalf("%q is not in the line", tt.old)
		}
		if tt.old != "\n" {
			altered += line
		}
		err := formatstest.Check(open, []byte(altered), []event.Event{e, e})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q for %q: %v, want %s", tt.with, tt.old, err, tt.want)
		}
		if !errors.As(err, new(*formats.Mismatch)) && !errors.As(err, new(*formats.Malformed)) {
			t.Errorf("%q for %q: the error is a %T", tt.with, tt.old, err)
		}
	}
}

func TestCheckerFindsAMarkWithoutCause(t *testing.T) {
	for _, mark := range []string{` ctl="1"`, ` infoBytes="160"`, ` infoBytes="160" ctl="1"`} {
		events := formatstest.Typical(1)
		altered := bytes.Replace(render(t, events, nil), []byte("][origin "), []byte(mark+"][origin "), 1)
		if err := formatstest.Check(open, altered, events); !errors.As(err, new(*formats.Mismatch)) {
			t.Errorf("%s: %v", mark, err)
		}
	}
}

var parameter = regexp.MustCompile(` \w+="((?:[^"\\]|\\.)*)"`)

// What is cut or left out where the line is full is so to the character.
func TestCheckerFindsOtherCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	found := 0
	for range 4 {
		all := formatstest.Random(r, 30)
		for _, o := range checkedOptions[:5] {
			for i := range all {
				events := slices.Concat(all[i:i+1], formatstest.Typical(1))
				file := string(render(t, events, o))
				if len(file) < 5000 {
					continue
				}
				found++
				if !rendered(t, []byte(file), events) {
					t.Errorf("%+v: the limits that are taken for possible do not all give %.3000s", o, file)
				}
				for _, at := range parameter.FindAllStringSubmatchIndex(file[:strings.Index(file, "][origin ")], -1) {
					// The last character of the value taken away, one more put there, the parameter taken away.
					for _, other := range []string{file[:max(at[2], at[3]-1)] + file[at[3]:], file[:at[3]] + "v" + file[at[3]:], file[:at[0]] + file[at[1]:]} {
						if other != file && formatstest.Check(open, []byte(other), events) == nil && !rendered(t, []byte(other), events) {
							t.Errorf("%+v: found no fault at %d of %.3000s", o, at[0], other)
						}
					}
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d long lines were tried", found)
	}
}

// rendered reports whether file, which a Checker takes, is what an Encoder makes of events under some options.
func rendered(t *testing.T, file []byte, events []event.Event) bool {
	m := regexp.MustCompile(`^<(\d+)>1 \S+ (\S+) (\S+) - \S+ \[audit@(\d+) .*"\]\[origin enterpriseId="\d+" software="Daybook" swVersion="((?:[^"\\]|\\.)*)"\] `).FindSubmatch(file)
	if m == nil {
		return len(file) == 0 && len(events) == 0
	}
	pri, _ := strconv.Atoi(string(m[1]))
	enterprise, _ := strconv.ParseUint(string(m[4]), 10, 32)
	o := &syslog.Options{
		Facility: pri / 8, Enterprise: uint32(enterprise), Hostname: string(m[2]), AppName: string(m[3]),
		Version: regexp.MustCompile(`\\(.)`).ReplaceAllString(string(m[5]), "$1"),
	}
	if o.Validate() != nil {
		return false
	}
	c := syslog.NewChecker(bytes.NewReader(file))
	for i := range events {
		if err := c.Check(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	// The file is the same under every limit that the Checker takes for possible.
	low, high := c.Limit().Low, min(c.Limit().High, 1<<40)
	for _, o.InfoLimit = range []int{low, low + (high-low)/2, high} {
		if !bytes.Equal(render(t, events, o), file) {
			return false
		}
	}
	return true
}

// FuzzChecker: what a Checker takes is what an Encoder writes.
func FuzzChecker(f *testing.F) {
	for _, e := range append(formatstest.Corpus(f), formatstest.Odd()...) {
		var b bytes.Buffer
		f.Add(formatstest.Encode(f, syslog.NewEncoder(&b, &syslog.Options{InfoLimit: 30}), &b, []event.Event{e}), e.Get(event.ID), e.Get(event.Action), e.Get(event.ObjectName), e.Get(event.IP), e.Get(event.Info))
	}
	f.Fuzz(func(t *testing.T, file []byte, id, action, name, ip, info string) {
		var e event.Event
		for field, text := range map[event.Field]string{event.ID: id, event.Action: action, event.ObjectName: name, event.IP: ip, event.Info: info} {
			e.Set(field, strings.ToValidUTF8(text, "\ufffd")) // as all evidence
		}
		events := []event.Event{e}
		for _, o := range []*syslog.Options{nil, {InfoLimit: -1}, {InfoLimit: 10}} {
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
