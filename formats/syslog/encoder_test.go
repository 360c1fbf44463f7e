package syslog_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/formatstest"
	"daybook/formats/syslog"
)

var _ formats.Encoder = (*syslog.Encoder)(nil)

func render(t testing.TB, events []event.Event, o *syslog.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	return formatstest.Encode(t, syslog.NewEncoder(&b, o), &b, events)
}

func TestGolden(t *testing.T) {
	formatstest.Golden(t, "events.log", render(t, formatstest.Corpus(t), nil))
	formatstest.Golden(t, "events-options.log", render(t, formatstest.Corpus(t), &syslog.Options{
		Facility: 4, Enterprise: 64512, Hostname: "audit.example.org", AppName: "trail", Version: `2"]\`, InfoLimit: -1,
	}))
}

// header is that of RFC 5424, section 6, as far as we use it.
var header = regexp.MustCompile(`^<(0|[1-9][0-9]?|1[0-8][0-9]|19[01])>1 ` +
	`(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) ([!-~]{1,48}) - ([!-~]{1,32}) `)

// message is a line taken apart.
type message struct {
	pri           int
	time          string
	host, app, id string
	audit, origin map[string]string
	auditID, text string
}

// parse takes a line apart by the letter of the RFC.
func parse(line string) (message, error) {
	var m message
	if !utf8.ValidString(line) {
		return m, errors.New("not valid UTF-8")
	}
	if i := strings.IndexFunc(line, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 }); i >= 0 {
		return m, fmt.Errorf("control character at byte %d", i)
	}
	h := header.FindStringSubmatch(line)
	if h == nil {
		return m, errors.New("no header")
	}
	m.pri, _ = strconv.Atoi(h[1])
	m.time, m.host, m.app, m.id = h[2], h[3], h[4], h[5]
	rest := line[len(h[0]):]
	for rest != "" && rest[0] == '[' {
		id, params, after, err := element(rest)
		if err != nil {
			return m, err
		}
		switch {
		case strings.HasPrefix(id, "audit@") && m.audit == nil:
			m.auditID, m.audit = id, params
		case id == "origin" && m.origin == nil:
			m.origin = params
		default:
			return m, fmt.Errorf("element %q", id)
		}
		rest = after
	}
	text, found := strings.CutPrefix(rest, " ")
	if !found || text == "" || strings.ContainsFunc(text, func(r rune) bool { return r > '~' }) {
		return m, fmt.Errorf("MSG %q", rest)
	}
	m.text = text
	return m, nil
}

var (
	elementID = regexp.MustCompile(`^\[([!#-<>-\\^-~]{1,32})`)
	paramName = regexp.MustCompile(`^ ([!#-<>-\\^-~]{1,32})="`)
)

func element(s string) (id string, params map[string]string, rest string, err error) {
	begin := elementID.FindStringSubmatch(s)
	if begin == nil {
		return "", nil, "", fmt.Errorf("structured data %.50q", s)
	}
	params, lower := map[string]string{}, map[string]bool{}
	s = s[len(begin[0]):]
	for {
		name := paramName.FindStringSubmatch(s)
		if name == nil {
			break
		}
		if lower[strings.ToLower(name[1])] {
			return "", nil, "", fmt.Errorf("parameter %s twice", name[1])
		}
		lower[strings.ToLower(name[1])] = true
		s = s[len(name[0]):]
		var value []byte
		for s != "" && s[0] != '"' {
			switch {
			case s[0] == ']':
				return "", nil, "", fmt.Errorf("bare ] in %s", name[1])
			case s[0] == '\\' && len(s) > 1 && strings.IndexByte(`"\]`, s[1]) >= 0:
				s = s[1:]
			case s[0] == '\\':
				return "", nil, "", fmt.Errorf("escape %.2s in %s", s, name[1])
			}
			value = append(value, s[0])
			s = s[1:]
		}
		if s == "" || len(value) == 0 {
			return "", nil, "", fmt.Errorf("value of %s", name[1])
		}
		params[name[1]] = string(value)
		s = s[1:]
	}
	s, found := strings.CutPrefix(s, "]")
	if !found {
		return "", nil, "", fmt.Errorf("end of %s at %.50q", begin[1], s)
	}
	return begin[1], params, s, nil
}

func parseFile(t testing.TB, file []byte) []message {
	t.Helper()
	var all []message
	for line := range strings.Lines(string(file)) {
		text, ended := strings.CutSuffix(line, "\n")
		if !ended {
			t.Errorf("line %d does not end", len(all)+1)
		}
		m, err := parse(text)
		if err != nil {
			t.Fatalf("line %d: %v: %s", len(all)+1, err, line)
		}
		all = append(all, m)
	}
	return all
}

// asWritten is a value before the escapes of RFC 5424: cut to limit bytes, controls written out.
func asWritten(s string, limit int) (_ string, controls bool) {
	for len(s) > limit {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			b.WriteString(map[rune]string{'\n': `\n`, '\r': `\r`, '\t': `\t`}[r])
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
			continue
		}
		controls = true
	}
	return b.String(), controls
}

// expected says what the parameters are, as plainly as possible, for a line that is not too long.
func expected(e *event.Event) map[string]string {
	m := map[string]string{"successStatus": "No"}
	if e.Get(event.Outcome) == "success" {
		m["successStatus"] = "Yes"
	}
	for name, f := range map[string]event.Field{
		"eventId": event.ID, "org": event.Org, "source": event.Source, "type": event.Type, "actor": event.ActorID, "action": event.Action,
		"outcome": event.Outcome, "ip": event.IP, "objectId": event.ObjectID, "projectId": event.ProjectID, "tokenLast4": event.TokenLast4,
		"tokenLabel": event.TokenLabel, "errorCode": event.ErrorCode, "objectName": event.ObjectName, "projectName": event.ProjectName,
		"userAgent": event.UserAgent, "errorMessage": event.ErrorMessage, "info": event.Info,
	} {
		if e.Get(f) == "" {
			continue
		}
		limit := 1023
		if f == event.Info {
			limit = 4096
		}
		text, controls := asWritten(e.Get(f), limit)
		m[name] = text
		if controls {
			m["ctl"] = "1"
		}
	}
	if n := len(e.Get(event.Info)); n > 4096 {
		m["infoBytes"] = strconv.Itoa(n)
	}
	return m
}

func TestReadBack(t *testing.T) {
	events := formatstest.Corpus(t)
	file := render(t, events, nil)
	messages := parseFile(t, file)
	if len(messages) != len(events) {
		t.Fatalf("%d lines for %d events", len(messages), len(events))
	}
	rows := bytes.SplitAfter(file, []byte("\n"))
	for i, m := range messages {
		e := &events[i]
		want := expected(e)
		if len(rows[i]) > 7500 { // cut to the line's limit: TestLineLimit
			delete(want, "info")
			delete(m.audit, "info")
			delete(want, "infoBytes")
			delete(m.audit, "infoBytes")
		}
		if diff := cmp.Diff(want, m.audit); diff != "" {
			t.Errorf("event %s (-event +line):\n%.2000s", e.Get(event.ID), diff)
		}
		if want := e.Time.Truncate(time.Microsecond).Format("2006-01-02T15:04:05.000000Z"); m.time != want {
			t.Errorf("time %s, want %s", m.time, want)
		}
		if diff := cmp.Diff(map[string]string{"enterpriseId": "32473", "software": "Daybook", "swVersion": "1"}, m.origin); diff != "" {
			t.Errorf("origin (-want +got):\n%s", diff)
		}
		if m.auditID != "audit@32473" || m.host != "-" || m.app != "daybook" {
			t.Errorf("%s %s %s", m.auditID, m.host, m.app)
		}
	}
}

func one(t testing.TB, o *syslog.Options, fields map[event.Field]string) (message, string, formats.Stats) {
	t.Helper()
	e := event.Event{Time: time.UnixMilli(1773153045123)}
	for f, text := range fields {
		e.Set(f, text)
	}
	var b bytes.Buffer
	enc := syslog.NewEncoder(&b, o)
	return parseFile(t, formatstest.Encode(t, enc, &b, []event.Event{e}))[0], b.String(), enc.Stats()
}

func TestPriority(t *testing.T) {
	for _, tt := range []struct {
		severity, outcome string
		facility, want    int
	}{
		{"", "success", 0, 13*8 + 6},
		{"", "failure", 0, 13*8 + 4},
		{"", "unknown", 0, 13*8 + 6},
		{"info", "failure", 10, 10*8 + 4},
		{"low", "success", 0, 13*8 + 5},
		{"medium", "success", 0, 13*8 + 4},
		{"high", "failure", 0, 13*8 + 3},
		{"critical", "success", 23, 23*8 + 2},
		{"strange", "success", 1, 8 + 6},
	} {
		m, _, _ := one(t, &syslog.Options{Facility: tt.facility}, map[event.Field]string{event.Severity: tt.severity, event.Outcome: tt.outcome})
		if m.pri != tt.want {
			t.Errorf("%+v: priority %d", tt, m.pri)
		}
	}
}

func TestMsgID(t *testing.T) {
	for action, want := range map[string]string{
		"":                                      "-",
		"project-describe":                      "project-describe",
		"oauth.token.issued.authorization_code": "oauth.token.issued.authorization",
		"a b\té\n🧬]\"":                          "a_b____]\"",
	} {
		if m, _, _ := one(t, nil, map[event.Field]string{event.Action: action}); m.id != want {
			t.Errorf("action %q: MSGID %q, want %q", action, m.id, want)
		}
	}
	if m, _, _ := one(t, nil, map[event.Field]string{event.Type: "api.read"}); m.id != "api.read" {
		t.Errorf("MSGID %q of an event without action", m.id)
	}
}

func TestSentence(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, tt := range []struct {
		fields map[event.Field]string
		want   string
	}{
		{nil, "unknown actor called unknown action: unknown"},
		{map[event.Field]string{event.ActorID: "user-alice", event.Action: "project-describe", event.ObjectID: "project-xxxx", event.Outcome: "success"},
			"user-alice called project-describe on project-xxxx: success"},
		{map[event.Field]string{event.ActorID: "zoë\n\x7f", event.Action: "a", event.ObjectName: "日本", event.Outcome: "failure", event.ErrorCode: "Denied"},
			"zo??? called a on ??: failure (Denied)"},
		{map[event.Field]string{event.ActorID: long, event.Action: long, event.ObjectID: long, event.Outcome: long, event.ErrorCode: long},
			strings.Replace("X called X on X: X (X)", "X", long[1:]+"...", -1)},
	} {
		if m, _, _ := one(t, nil, tt.fields); m.text != tt.want {
			t.Errorf("MSG %q, want %q", m.text, tt.want)
		}
	}
}

func TestLineLimit(t *testing.T) {
	escaped := strings.Repeat("\x01", 3000) // seven bytes each
	huge := map[event.Field]string{}
	for _, f := range event.Fields() {
		huge[f] = escaped
	}
	host := strings.Repeat("h", 255)
	for _, tt := range []struct {
		name    string
		fields  map[event.Field]string
		limit   int
		longest int
	}{
		{"plain info", map[event.Field]string{event.Info: strings.Repeat("é", 3000)}, 0, 8000},
		{"escaped info", map[event.Field]string{event.Info: escaped}, 0, 8000},
		{"everything", huge, 0, 8000},
		{"small limit", huge, 1, 3905},
		{"large limit", huge, 60_000, 63_904},
	} {
		m, line, stats := one(t, &syslog.Options{InfoLimit: tt.limit, Hostname: host, AppName: host[:48], Version: host[:32]}, tt.fields)
		if len(line) > tt.longest {
			t.Errorf("%s: the line has %d bytes, want at most %d", tt.name, len(line), tt.longest)
		}
		if stats.ValuesCut == 0 {
			t.Errorf("%s: nothing was counted as cut", tt.name)
		}
		info, whole := m.audit["info"], tt.fields[event.Info]
		if want, _ := asWritten(whole, len(whole)); info != "" && (!strings.HasPrefix(want, info) || m.audit["infoBytes"] != strconv.Itoa(len(whole))) {
			t.Errorf("%s: infoBytes=%s, info is %.100q", tt.name, m.audit["infoBytes"], info)
		}
	}

	// What is cut by the line's limit is cut as late as can be.
	m, line, _ := one(t, nil, map[event.Field]string{event.Info: escaped})
	if len(line) < 7500 || m.audit["ctl"] != "1" {
		t.Errorf("a line of %d bytes, ctl=%q", len(line), m.audit["ctl"])
	}
	m, line, stats := one(t, &syslog.Options{InfoLimit: -1}, map[event.Field]string{event.Info: escaped})
	if len(line) < 7*3000-3000 || stats.ValuesCut != 0 || m.audit["infoBytes"] != "" {
		t.Errorf("without a limit: a line of %d bytes, %d cut", len(line), stats.ValuesCut)
	}
	// The limit is of each line, wherever it lies in the buffer.
	var b bytes.Buffer
	events := make([]event.Event, 20)
	for i := range events {
		events[i].Set(event.Info, escaped)
	}
	for row := range bytes.Lines(formatstest.Encode(t, syslog.NewEncoder(&b, nil), &b, events)) {
		if len(row) < 7500 || len(row) > 8000 {
			t.Errorf("a line of %d bytes among others", len(row))
		}
	}
}

func TestOptions(t *testing.T) {
	m, _, _ := one(t, &syslog.Options{Enterprise: 4294967295, Hostname: "h", AppName: "a", Version: `"]\`}, nil)
	if m.auditID != "audit@4294967295" || m.host != "h" || m.app != "a" || m.origin["enterpriseId"] != "4294967295" || m.origin["swVersion"] != `"]\` {
		t.Errorf("%+v", m)
	}
	long := strings.Repeat("x", 256)
	bad := &syslog.Options{Facility: 24, Hostname: "a b", AppName: long[:49], Version: "é"}
	err := bad.Validate()
	for _, want := range []string{"facility 24", `hostname "a b"`, "app name", "version"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate says %v, not %s", err, want)
		}
	}
	for _, o := range []syslog.Options{{Facility: -1}, {Hostname: long}, {Version: long[:33]}, {AppName: "a\n"}} {
		if o.Validate() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	var out bytes.Buffer
	enc := syslog.NewEncoder(&out, bad)
	if err := errors.Join(enc.Encode(formatstest.Corpus(t)), enc.Close()); err == nil || out.Len() > 0 {
		t.Errorf("bad options: %v, %d bytes", err, out.Len())
	}
}

type discard struct{ err error }

func (d discard) Write(p []byte) (int, error) { return len(p), d.err }

func TestWriteError(t *testing.T) {
	full := errors.New("no space left")
	enc := syslog.NewEncoder(discard{full}, nil)
	if err := enc.Encode(formatstest.Corpus(t)); err != nil && !errors.Is(err, full) {
		t.Errorf("Encode says %v", err)
	}
	if err := enc.Close(); !errors.Is(err, full) {
		t.Errorf("Close says %v", err)
	}
}

func TestNoAllocation(t *testing.T) {
	events := formatstest.Corpus(t)
	enc := syslog.NewEncoder(discard{}, nil)
	if n := testing.AllocsPerRun(20, func() {
		if err := enc.Encode(events); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}

func TestParametersAreDocumented(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "COLUMNS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "\n## Syslog\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var documented []string
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.HasPrefix(cells[1], " `") {
			documented = append(documented, strings.Trim(cells[1], " `"))
		}
	}
	var e event.Event
	for _, f := range event.Fields() {
		e.Set(f, "text\n")
	}
	e.Set(event.Info, strings.Repeat("x", 5000))
	line := string(render(t, []event.Event{e}, nil))
	line, _, _ = strings.Cut(line, "][origin ")
	var written []string
	for _, name := range regexp.MustCompile(` (\w+)="`).FindAllStringSubmatch(line, -1) {
		written = append(written, name[1])
	}
	if diff := cmp.Diff(written, documented); diff != "" {
		t.Errorf("docs/COLUMNS.md, section Syslog (-written +documented):\n%s", diff)
	}
}

func FuzzEncoder(f *testing.F) {
	for _, e := range formatstest.Corpus(f) {
		f.Add(e.Get(event.ID), e.Get(event.Action), e.Get(event.IP), e.Get(event.UserAgent), e.Get(event.ObjectName), e.Get(event.Info), e.Time.UnixNano())
	}
	f.Add("\xff", "\\", "1.2.3.4", `"] [x@1 a="b"`, " ", "\r\r\n\n", int64(-1))
	f.Fuzz(func(t *testing.T, id, action, ip, agent, name, info string, nanos int64) {
		e := event.Event{Time: time.Unix(0, nanos)}
		for field, text := range map[event.Field]string{
			event.ID: id, event.Action: action, event.IP: ip, event.UserAgent: agent, event.ObjectName: name, event.Info: info,
		} {
			e.Set(field, text)
		}
		file := render(t, []event.Event{e}, nil)
		messages := parseFile(t, file)
		if len(messages) != 1 {
			t.Fatalf("%d lines", len(messages))
		}
		if len(file) > 8000 {
			t.Errorf("a line of %d bytes", len(file))
		}
		if len(file) > 7500 || !utf8.ValidString(id+action+ip+agent+name+info) {
			return // cut to the line's limit, or inside a broken character
		}
		if diff := cmp.Diff(expected(&e), messages[0].audit); diff != "" {
			t.Errorf("(-event +line):\n%s", diff)
		}
	})
}

func BenchmarkEncoder(b *testing.B) {
	events := formatstest.Typical(1000)
	enc := syslog.NewEncoder(discard{}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := enc.Encode(events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}
