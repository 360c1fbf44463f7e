package cef_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/cef"
	"daybook/formats/formatstest"
)

var _ formats.Encoder = (*cef.Encoder)(nil)

func render(t testing.TB, events []event.Event, o *cef.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	return formatstest.Encode(t, cef.NewEncoder(&b, o), &b, events)
}

func TestGolden(t *testing.T) {
	formatstest.Golden(t, "events.cef", render(t, formatstest.Corpus(t), nil))
	formatstest.Golden(t, "events-options.cef", render(t, formatstest.Corpus(t), &cef.Options{Vendor: "Acme", Product: "Audit Trail", Version: "2.1", InfoLimit: -1}))
}

// message is a CEF line taken apart.
type message struct {
	header []string
	values map[string]string
	last   string // the key that stands last
}

// parse takes a line apart by the letter of the standard, and refuses what any of the usual consumers would stumble over.
func parse(line string) (message, error) {
	m := message{values: map[string]string{}}
	if !utf8.ValidString(line) {
		return m, errors.New("not valid UTF-8")
	}
	if i := strings.IndexFunc(line, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 }); i >= 0 {
		return m, fmt.Errorf("control character at byte %d", i)
	}
	// Split at every pipe, as those do that know no escapes.
	m.header = strings.SplitN(line, "|", 8)
	if len(m.header) != 8 {
		return m, errors.New("fewer than seven pipes")
	}
	extension := m.header[7]
	m.header = m.header[:7]
	if m.header[0] != "CEF:0" {
		return m, errors.New("no CEF:0")
	}
	for i, text := range m.header {
		if strings.Contains(text, `\`) || text == "" || len(text) > []int{5, 63, 63, 31, 1023, 512, 2}[i] {
			return m, fmt.Errorf("header text %q", text)
		}
	}
	for extension != "" {
		key, rest, found := strings.Cut(extension, "=")
		if !found || key == "" || strings.ContainsFunc(key, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
		}) {
			return m, fmt.Errorf("key %q", key)
		}
		if _, twice := m.values[key]; twice {
			return m, fmt.Errorf("key %q twice", key)
		}
		// The value goes up to the space before the next unescaped equals sign's key.
		var value strings.Builder
		i, end := 0, len(rest)
		for ; i < len(rest); i++ {
			if rest[i] == '=' {
				end = strings.LastIndexByte(rest[:i], ' ')
				break
			}
			if rest[i] == '\\' {
				i++
			}
		}
		for raw := rest[:end]; raw != ""; raw = raw[1:] {
			c := raw[0]
			if c == '\\' {
				if raw = raw[1:]; raw == "" {
					return m, fmt.Errorf("%s ends in a backslash", key)
				}
				switch raw[0] {
				case '\\', '=':
					c = raw[0]
				case 'n':
					c = '\n'
				case 'r':
					c = '\r'
				default:
					return m, fmt.Errorf(`%s has \%c`, key, raw[0])
				}
			}
			value.WriteByte(c)
		}
		if value.Len() == 0 {
			return m, fmt.Errorf("%s is empty", key)
		}
		m.values[key] = value.String()
		m.last = key
		extension = rest[min(end+1, len(rest)):]
	}
	for key := range m.values {
		if label, found := strings.CutSuffix(key, "Label"); found && m.values[label] == "" {
			return m, fmt.Errorf("%s without its value", key)
		}
		if strings.HasPrefix(key, "cs") || strings.HasPrefix(key, "cn") || strings.HasPrefix(key, "flex") || strings.HasPrefix(key, "c6a") {
			if !strings.HasSuffix(key, "Label") && m.values[key+"Label"] == "" {
				return m, fmt.Errorf("%s without its label", key)
			}
		}
	}
	return m, nil
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

// asWritten is what comes back of a text: line ends in two forms, all else that controls as a space, cut to limit bytes.
func asWritten(s string, limit int) string {
	for len(s) > limit {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	s = strings.ReplaceAll(string([]rune(s)), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\r' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029) {
			return ' '
		}
		return r
	}, s)
}

// expected says what the keys are, as plainly as possible.
func expected(e *event.Event) map[string]string {
	m := map[string]string{}
	put := func(key string, f event.Field, limit int) {
		if s := e.Get(f); s != "" {
			m[key] = asWritten(s, limit)
		}
	}
	labelled := func(key, label string, f event.Field, limit int) {
		put(key, f, limit)
		if m[key] != "" {
			m[key+"Label"] = label
		}
	}
	m["rt"] = strconv.FormatInt(e.Time.UnixMilli(), 10)
	m["end"] = m["rt"]
	put("externalId", event.ID, 1<<30)
	if id := e.Get(event.ID); len(id) > 40 {
		m["externalId"] = fmt.Sprintf("sha256:%.16x", sha256.Sum256([]byte(id)))
	}
	put("cat", event.Type, 1023)
	put("act", event.Action, 63)
	put("outcome", event.Outcome, 63)
	put("reason", event.Reason, 1023)
	put("reason", event.ErrorCode, 1023)
	put("msg", event.ErrorMessage, 1023)
	if a, err := netip.ParseAddr(e.Get(event.IP)); err != nil || a.Zone() != "" {
		put("shost", event.IP, 1023)
	} else if a.Is4() {
		put("src", event.IP, 1023)
	} else {
		labelled("c6a2", "Source IPv6 Address", event.IP, 1023)
	}
	put("requestClientApplication", event.UserAgent, 1023)
	put("suid", event.ActorID, 1023)
	put("suser", event.ActorID, 1023)
	put("suser", event.ActorName, 1023)
	put("spriv", event.ActorRole, 1023)
	put("deviceExternalId", event.Source, 255)
	kind := e.Get(event.ObjectType)
	if kind == "file" || kind == "AWS::S3::Object" || kind == "" && strings.HasPrefix(e.Get(event.ObjectID), "file-") {
		put("fileId", event.ObjectID, 1023)
		put("fname", event.ObjectName, 1023)
	}
	labelled("flexString1", "objectId", event.ObjectID, 1023)
	labelled("flexString2", "objectName", event.ObjectName, 1023)
	labelled("cs1", "projectId", event.ProjectID, 4000)
	labelled("cs2", "projectName", event.ProjectName, 4000)
	labelled("cs3", "info", event.Info, 4000)
	labelled("cs4", "tokenLabel", event.TokenLabel, 4000)
	labelled("cs5", "tokenLast4", event.TokenLast4, 4000)
	labelled("cs6", "org", event.Org, 4000)
	if n := len(e.Get(event.Info)); n > 4000 {
		m["cn1"], m["cn1Label"] = strconv.Itoa(n), "infoBytes"
	}
	return m
}

func TestReadBack(t *testing.T) {
	events := formatstest.Corpus(t)
	messages := parseFile(t, render(t, events, nil))
	if len(messages) != len(events) {
		t.Fatalf("%d lines for %d events", len(messages), len(events))
	}
	for i, m := range messages {
		if diff := cmp.Diff(expected(&events[i]), m.values); diff != "" {
			t.Errorf("event %s (-event +line):\n%.2000s", events[i].Get(event.ID), diff)
		}
		if events[i].Get(event.Info) != "" && m.last != "cs3" {
			t.Errorf("event %s: %s comes after info", events[i].Get(event.ID), m.last)
		}
	}
}

func one(t *testing.T, o *cef.Options, fields map[event.Field]string) (message, formats.Stats) {
	t.Helper()
	e := event.Event{Time: time.UnixMilli(1773153045123)}
	for f, text := range fields {
		e.Set(f, text)
	}
	var b bytes.Buffer
	enc := cef.NewEncoder(&b, o)
	return parseFile(t, formatstest.Encode(t, enc, &b, []event.Event{e}))[0], enc.Stats()
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields map[event.Field]string
		want   string
	}{
		{"bare", nil, "unknown|unknown|3"},
		{"type only", map[event.Field]string{event.Type: "api.read"}, "api.read|unknown|3"},
		{"named type", map[event.Field]string{event.Type: "authentication.login", event.Action: "user-login"}, "user-login|Sign in|3"},
		{"unsafe", map[event.Field]string{event.Action: "a|b\\c\nd\te\x7ff\u2028g"}, "a_b/c d e f g|a_b/c d e f g|3"},
		{"too long", map[event.Field]string{event.Action: strings.Repeat("é", 600)}, strings.Repeat("é", 511) + "|" + strings.Repeat("é", 256) + "|3"},
	} {
		m, _ := one(t, nil, tt.fields)
		if got := strings.Join(m.header[4:], "|"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if got := strings.Join(m.header[:4], "|"); got != "CEF:0|Daybook|Audit|1" {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

func TestSeverity(t *testing.T) {
	for _, tt := range []struct {
		action, typ, severity, outcome string
		want                           string
	}{
		{"project-describe", "", "", "success", "3"},
		{"project-describe", "", "", "failure", "5"},
		{"project-describe", "", "", "unknown", "3"},
		{"project-remove", "", "", "success", "5"},
		{"project-remove", "", "", "failure", "7"},
		{"s3:DeleteBucket", "", "", "success", "5"},
		{"iam:PutUserPolicy", "", "", "failure", "7"},
		{"iam:GetUserPolicy", "", "", "success", "3"},
		{"sts:AssumeRole", "", "", "success", "3"},
		{"iam:CreateRole", "", "", "success", "5"},
		{"accesses.delete", "", "", "success", "5"},
		{"kms:ScheduleKeyDeletion", "", "", "success", "5"},
		{"s3:PutBucketACL", "", "", "success", "5"},
		{"undeletable", "", "", "success", "3"},
		{"averyveryverylongdeletewordthatisnone", "", "", "success", "3"},
		{"x", "permission.change", "", "success", "5"},
		{"x", "resource.delete", "", "failure", "7"},
		{"x", "iam.permission.grant", "", "success", "5"},
		{"x", "audit.disable", "", "success", "5"},
		{"x", "authentication.role_assumed", "", "success", "3"},
		{"project-remove", "", "info", "success", "1"},
		{"project-remove", "", "info", "failure", "5"},
		{"x", "", "low", "success", "3"},
		{"x", "", "medium", "success", "5"},
		{"x", "", "high", "failure", "8"},
		{"x", "", "critical", "success", "10"},
		{"x", "", "strange", "failure", "5"},
	} {
		m, _ := one(t, nil, map[event.Field]string{
			event.Action: tt.action, event.Type: tt.typ, event.Severity: tt.severity, event.Outcome: tt.outcome,
		})
		if got := m.header[6]; got != tt.want {
			t.Errorf("%+v: severity %s", tt, got)
		}
	}
}

func TestAddress(t *testing.T) {
	for ip, want := range map[string]string{
		"0.0.0.0": "src", "255.255.255.255": "src", "203.0.113.45": "src",
		"256.0.0.1": "shost", "1.2.3": "shost", "1.2.3.4.5": "shost", "01.2.3.4": "shost", "1..2.3": "shost", "1.2.3.": "shost", "1.2.3.4 ": "shost",
		"::1": "c6a2", "2001:db8::1": "c6a2", "::ffff:1.2.3.4": "c6a2", "fe80::1%eth0": "shost", "1:2": "shost",
		"0000:0000:0000:0000:0000:ffff:192.168.100.228": "c6a2",
		"config.amazonaws.com":                          "shost", "AWS Internal": "shost",
	} {
		m, _ := one(t, nil, map[event.Field]string{event.IP: ip})
		if m.values[want] != ip {
			t.Errorf("%s: no %s in %v", ip, want, m.values)
		}
	}
	m, _ := one(t, nil, nil)
	if want := []string{"end", "rt"}; !slices.Equal(slices.Sorted(maps.Keys(m.values)), want) {
		t.Errorf("a bare event has %v", m.values)
	}
}

func TestLimits(t *testing.T) {
	id := strings.Repeat("x", 40)
	if m, s := one(t, nil, map[event.Field]string{event.ID: id}); m.values["externalId"] != id || s.ValuesCut != 0 {
		t.Errorf("an id of 40 characters becomes %q, %d cut", m.values["externalId"], s.ValuesCut)
	}
	if m, s := one(t, nil, map[event.Field]string{event.ID: id + "x"}); len(m.values["externalId"]) != 39 || s.ValuesCut != 1 {
		t.Errorf("an id of 41 characters becomes %q, %d cut", m.values["externalId"], s.ValuesCut)
	}

	// Cut before escaping, at the end of a character.
	agent := strings.Repeat("=", 1022) + "é"
	m, s := one(t, nil, map[event.Field]string{event.UserAgent: agent, event.Action: strings.Repeat("a", 64)})
	if m.values["requestClientApplication"] != agent[:1022] || len(m.values["act"]) != 63 || s.ValuesCut != 2 {
		t.Errorf("cut to %d and %d, %d cut", len(m.values["requestClientApplication"]), len(m.values["act"]), s.ValuesCut)
	}

	info := `{"a":"` + strings.Repeat("é", 5000) + `"}`
	for _, tt := range []struct {
		limit, bytes int
		cn1          string
	}{{0, 4000, "10008"}, {101, 100, "10008"}, {10007, 10007, "10008"}, {10008, 10008, ""}, {-1, 10008, ""}} {
		m, s := one(t, &cef.Options{InfoLimit: tt.limit}, map[event.Field]string{event.Info: info})
		if got := m.values["cs3"]; len(got) != tt.bytes || !strings.HasPrefix(info, got) || m.values["cn1"] != tt.cn1 || (s.ValuesCut == 1) != (tt.cn1 != "") {
			t.Errorf("limit %d: %d bytes, cn1=%s, %d cut", tt.limit, len(got), m.values["cn1"], s.ValuesCut)
		}
	}
}

func TestOptions(t *testing.T) {
	m, _ := one(t, &cef.Options{Vendor: "Acme", Product: "Trail X", Version: "9"}, nil)
	if got := strings.Join(m.header[:4], "|"); got != "CEF:0|Acme|Trail X|9" {
		t.Errorf("header %q", got)
	}
	bad := &cef.Options{Vendor: "a|b", Product: "a\\b", Version: strings.Repeat("1", 32)}
	err := bad.Validate()
	for _, want := range []string{`vendor "a|b"`, `product "a\\b"`, "version"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate says %v, not %s", err, want)
		}
	}
	for _, o := range []cef.Options{{Vendor: "a\nb"}, {Product: "\xff"}, {Version: "\u2028"}, {Vendor: strings.Repeat("v", 64)}} {
		if o.Validate() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	var out bytes.Buffer
	enc := cef.NewEncoder(&out, bad)
	if err := enc.Encode(formatstest.Corpus(t)); err == nil || out.Len() > 0 {
		t.Errorf("Encode with bad options: %v, %d bytes", err, out.Len())
	}
	if err := enc.Close(); err == nil || out.Len() > 0 {
		t.Errorf("Close with bad options: %v, %d bytes", err, out.Len())
	}
}

type discard struct{ err error }

func (d discard) Write(p []byte) (int, error) { return len(p), d.err }

func TestWriteError(t *testing.T) {
	full := errors.New("no space left")
	enc := cef.NewEncoder(discard{full}, nil)
	if err := enc.Encode(formatstest.Corpus(t)); err != nil && !errors.Is(err, full) {
		t.Errorf("Encode says %v", err)
	}
	if err := enc.Close(); !errors.Is(err, full) {
		t.Errorf("Close says %v", err)
	}
}

func TestNoAllocation(t *testing.T) {
	events := formatstest.Typical(100)
	enc := cef.NewEncoder(discard{}, nil)
	if n := testing.AllocsPerRun(20, func() {
		if err := enc.Encode(events); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}

func TestKeysAreDocumented(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "COLUMNS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "\n## CEF\n")
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 3 && strings.HasPrefix(cells[1], " `") {
			documented[strings.Trim(cells[1], " `")] = true
		}
	}
	written := map[string]bool{}
	for _, m := range parseFile(t, render(t, formatstest.Corpus(t), nil)) {
		for key, value := range m.values {
			label, is := strings.CutSuffix(key, "Label")
			if !is {
				written[key] = true
			} else if !strings.Contains(section, "`"+key+"` is `"+value+"`") {
				t.Errorf("docs/COLUMNS.md does not say that the label of %s is %s", label, value)
			}
		}
	}
	if diff := cmp.Diff(written, documented); diff != "" {
		t.Errorf("docs/COLUMNS.md, section CEF (-written +documented):\n%s", diff)
	}
}

func FuzzEncoder(f *testing.F) {
	for _, e := range formatstest.Corpus(f) {
		f.Add(e.Get(event.ID), e.Get(event.Action), e.Get(event.IP), e.Get(event.UserAgent), e.Get(event.ObjectName), e.Get(event.Info), e.Time.UnixNano())
	}
	f.Add("\xff", "\\", "1.2.3.4", "a=b c=d \\=", " ", "\r\r\n\n", int64(-1))
	f.Fuzz(func(t *testing.T, id, action, ip, agent, name, info string, nanos int64) {
		e := event.Event{Time: time.Unix(0, nanos)}
		for field, text := range map[event.Field]string{
			event.ID: id, event.Action: action, event.IP: ip, event.UserAgent: agent, event.ObjectName: name, event.Info: info,
		} {
			e.Set(field, text)
		}
		messages := parseFile(t, render(t, []event.Event{e}, nil))
		if len(messages) != 1 {
			t.Fatalf("%d lines", len(messages))
		}
		if !utf8.ValidString(id + action + ip + agent + name + info) {
			return // what a broken character is cut to is not promised
		}
		if diff := cmp.Diff(expected(&e), messages[0].values); diff != "" {
			t.Errorf("(-event +line):\n%s", diff)
		}
	})
}

func BenchmarkEncoder(b *testing.B) {
	events := formatstest.Typical(1000)
	enc := cef.NewEncoder(discard{}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if err := enc.Encode(events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}
