package cefparse_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/interop/cefparse"
)

// corpus reads a file of ../shared/data/cef-corpus, and skips the test where it is absent.
func corpus[T any](t *testing.T, name string) []T {
	t.Helper()
	path := filepath.Join("../../../shared/data/cef-corpus", name)
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("SKIPPED: the corpus is not here: %v", err)
	}
	defer f.Close()
	var all []T
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		t.Fatalf("%s: empty", path)
	}
	return all
}

// fields gives a message the shape that VRL has: one flat object.
func fields(m cefparse.Message, translate bool) (map[string]string, error) {
	all := map[string]string{
		"cefVersion": m.Version, "deviceVendor": m.Vendor, "deviceProduct": m.Product, "deviceVersion": m.DeviceVersion,
		"deviceEventClassId": m.ClassID, "name": m.Name, "severity": m.Severity,
	}
	for _, p := range m.Extension {
		all[p.Key] = p.Value
	}
	if !translate {
		return all, nil
	}
	custom, err := m.Custom()
	for label, value := range custom {
		for _, p := range m.Extension {
			if key, ok := strings.CutSuffix(p.Key, "Label"); ok && p.Value == label {
				delete(all, key)
				delete(all, p.Key)
			}
		}
		all[label] = value
	}
	return all, err
}

// deviations from VRL are deliberate, each for a rule of the standard: fields as we read them where they differ, and faults where VRL has none.
var deviations = map[string]struct {
	reason string
	fields map[string]string
	faults []string
}{
	"test_strip_quotes": {
		reason: "the standard has no quoting: a quote is a character like any other",
		fields: map[string]string{"deviceVendor": `"Security"`, "name": `"worm successfully stopped"`, "src": `"10.0.0.1"`, "spt": `"1232"`},
	},
	"test_extension_newline": {
		reason: `\r is a carriage return, \n a line feed; VRL makes a line feed of both`,
		fields: map[string]string{"msg": "Detected a threat.\r No action needed"},
	},
	"test_extension_trailing_whitespace": {
		reason: "of several spaces before a key all but the last belong to the value",
		fields: map[string]string{"msg": "Detected a threat. No action needed  "},
	},
	"utf8_escape": {
		reason: "a backslash may stand before a backslash, =, n and r only; the text is kept all the same",
		faults: []string{`TestField: a backslash before 'x'`, `TestField: a backslash before 'x'`},
	},
}

func TestVRLPairs(t *testing.T) {
	type pair struct {
		Name      string            `json:"name"`
		Strict    bool              `json:"strict"`
		Translate bool              `json:"translate_custom_fields"`
		Line      string            `json:"line"`
		Fields    map[string]string `json:"fields"`
		Error     bool              `json:"error"`
	}
	used := map[string]bool{}
	for _, p := range corpus[pair](t, "vrl-parse_cef-pairs.jsonl") {
		t.Run(p.Name, func(t *testing.T) {
			m, err := cefparse.Parse(p.Line)
			if err != nil {
				t.Fatal(err)
			}
			got, err := fields(m, p.Translate)
			if p.Error {
				if err == nil && len(m.Faults) == 0 {
					t.Fatalf("VRL refuses %s; read as %v", p.Line, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := p.Fields
			deviation := deviations[p.Name]
			used[p.Name] = true
			for key, value := range deviation.fields {
				if want[key] == value {
					t.Errorf("%s: the deviation is none", key)
				}
				want[key] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-VRL +ours):\n%s", diff)
			}
			if p.Strict {
				if diff := cmp.Diff(deviation.faults, m.Faults); diff != "" {
					t.Errorf("faults (-VRL +ours):\n%s", diff)
				}
			} else if len(m.Faults) == 0 {
				t.Errorf("VRL reads this only when it is not strict; no fault found")
			}
		})
	}
	for name := range deviations {
		if !used[name] {
			t.Errorf("no case %s in the corpus", name)
		}
	}
}

// logstashExpect says how the lines that Logstash's codec is tested with are read. Lines of equal name stand in the corpus' order.
var logstashExpect = []struct {
	name   string
	header string // "" if it is `security|threatmanager|1.0|100|trojan successfully stopped|10`
	pairs  []cefparse.Pair
	faults []string
}{
	{name: "message", pairs: []cefparse.Pair{{"src", "10.0.0.192"}, {"dst", "12.121.122.82"}, {"spt", "1232"}}},
	{name: "message_two", header: "fun|whimsy|1.0|100|trojan successfully stopped|10", pairs: []cefparse.Pair{{"src", "10.0.0.192"}, {"dst", "12.121.122.82"}, {"spt", "1232"}}},
	{name: "message", faults: []string{"no key in the extension"}},
	{name: "missing_headers", header: "||1.0|100|trojan successfully stopped|10", pairs: []cefparse.Pair{{"src", "10.0.0.192"}, {"dst", "12.121.122.82"}, {"spt", "1232"}}},
	{name: "leading_whitespace", pairs: []cefparse.Pair{{"src", "10.0.0.192"}, {"dst", "12.121.122.82"}, {"spt", "1232"}}},
	{name: "escaped_pipes", pairs: []cefparse.Pair{{"moo", `this\|has an escaped pipe`}}, faults: []string{`moo: a backslash before '|'`}},
	{name: "pipes_in_message", pairs: []cefparse.Pair{{"moo", "this|has an pipe"}}},
	{name: "equal_in_message", pairs: []cefparse.Pair{{"moo", "this =has = equals="}}, faults: []string{"moo: an equals sign without a backslash"}},
	{name: "message_with_empty_start", header: "Security|threatmanager|1.0|100|worm successfully stopped|Very-High", pairs: []cefparse.Pair{{"eventId", "1"}, {"msg", "Worm successfully stopped"}, {"start", ""}}},
	{
		name: "malformed_unescaped_equals_in_extension_value", header: "FooBar|Web Gateway|1.2.3.45.67|200|Success|2",
		pairs: []cefparse.Pair{
			{"rt", "Sep 07 2018 14:50:39"}, {"cat", "Access Log"}, {"dst", "1.1.1.1"}, {"dhost", "foo.example.com"}, {"suser", "redacted"},
			{"src", "2.2.2.2"}, {"requestMethod", "POST"}, {"request", "'https://foo.example.com/bar/bingo/1'"},
			{"requestClientApplication", "'Foo-Bar/2018.1.7; Email:user@example.com; Guid:test='"}, {"cs1", ""}, {"cs1Label", "Foo Bar"},
		},
		faults: []string{"requestClientApplication: an equals sign without a backslash"},
	},
	{name: "escaped_backslash_in_header", header: `secu\rity|threat\manager|1.\0|10\0|tro\jan successfully stopped|\10`},
	{name: "escaped_backslash_in_header_edge_case", header: `security\||threatmanager\|1.0|100|trojan successfully stopped|10`},
	{name: "escaped_pipes_in_header", header: `secu|rity|threatmanager||1.|0|10|0|tro|jan successfully stopped||10`},
	{
		name: "backslash_in_message", pairs: []cefparse.Pair{{"moo", `this \has \ backslashs\`}},
		faults: []string{`moo: a backslash before 'h'`, `moo: a backslash before ' '`, `moo: a backslash at the end`},
	},
	{name: "equal_in_header", header: "security|threatmanager=equal|1.0|100|trojan successfully stopped|10"},
	{name: "spaces_in_between_keys", pairs: []cefparse.Pair{{"src", "10.0.0.192 "}, {"dst", "12.121.122.82 "}, {"spt", "1232"}}},
	{
		name: "dots_in_keys", header: "Vendor|Device|Version|13|my message|5",
		pairs: []cefparse.Pair{{"dvchost", "loghost"}, {"cat", "traffic"}, {"deviceSeverity", "notice"}, {"ad.nn", "TEST"}, {"src", "192.168.0.1"}, {"destinationPort", "53"}},
	},
	{name: "allow_spaces_in_values", pairs: []cefparse.Pair{{"src", "10.0.0.192"}, {"dst", "12.121.122.82 "}, {"spt", "1232"}, {"dproc", "InternetExplorer x.x.x.x"}}},
	{
		name: "preserve_additional_fields_with_dot_notations",
		pairs: []cefparse.Pair{
			{"src", "10.0.0.192"}, {"additional.dotfieldName", "new_value"}, {"ad.Authentification", "MICROSOFT_AUTHENTICATION_PACKAGE_V1_0"},
			{"ad.Error_,Code", "3221225578"}, {"dst", "12.121.122.82"}, {"ad.field[0]", "field0"}, {"ad.name[1]", "new_name"},
		},
	},
	{
		name: "preserve_complex_multiple_dot_notation_in_extension_fields",
		pairs: []cefparse.Pair{
			{"src", "10.0.0.192"}, {"additional.dotfieldName", "new_value"}, {"ad.Authentification", "MICROSOFT_AUTHENTICATION_PACKAGE_V1_0"},
			{"ad.Error_,Code", "3221225578"}, {"dst", "12.121.122.82"}, {"ad.field[0]", "field0"}, {"ad.foo.name[1]", "new_name"},
		},
	},
	{
		name: "preserve_random_values_key_value_pairs_alongside_with_additional_fields",
		pairs: []cefparse.Pair{
			{"src", "10.0.0.192"},
			{"cs4", "401 random.user Admin 0 23041A10181C0000  23041810181C0000  /CN=random.user/OU=User Login End-Entity  /CN=TEST/OU=Login CA TEST 34"},
			{"additional.dotfieldName", "new_value"}, {"ad.Authentification", "MICROSOFT_AUTHENTICATION_PACKAGE_V1_0"},
			{"ad.Error_,Code", "3221225578"}, {"dst", "12.121.122.82"}, {"ad.field[0]", "field0"}, {"ad.name[1]", "new_name"},
		},
	},
	{name: "preserve_unmatched_key_mappings", pairs: []cefparse.Pair{{"src", "10.0.0.192"}, {"dst", "12.121.122.82"}, {"new_key_by_device", "new_values here"}}},
	{
		name: "translate_abbreviated_cef_fields",
		pairs: []cefparse.Pair{
			{"src", "10.0.0.192"}, {"dst", "12.121.122.82"}, {"proto", "TCP"}, {"shost", "source.host.name"}, {"dhost", "destination.host.name"},
			{"spt", "11024"}, {"dpt", "9200"}, {"outcome", "Success"}, {"amac", "00:80:48:1c:24:91"},
		},
	},
	{name: "syslog", pairs: []cefparse.Pair{{"src", "10.0.0.192"}, {"dst", "12.121.122.82"}, {"spt", "1232"}}},
	{name: "log_with_fileHash", pairs: []cefparse.Pair{{"fileHash", "1bad1dea"}}},
	{
		name: "log_with_custom_typed_fields",
		pairs: []cefparse.Pair{
			{"cfp15", "3.1415926"}, {"cfp15Label", "pi"}, {"c6a12", "::1"}, {"c6a12Label", "localhost"}, {"cn7", "8191"}, {"cn7Label", "mersenne"},
			{"cs4", "silly"}, {"cs4Label", "theory"},
		},
	},
	{name: "message", pairs: []cefparse.Pair{{"src", "192.168.1.11"}, {"target", "aaaaaああああaaaa"}, {"msg", "Description Omitted"}}},
	{name: "message", pairs: []cefparse.Pair{{"src", "192.168.1.11"}, {"target", "aaaaa\x82\xa0\x82\xa0\x82\xa0\x82\xa0aaaa"}, {"msg", "Description Omitted"}}, faults: []string{"not UTF-8"}},
	{
		name: "cef_line", header: "security|threatmanager|1.0|100|target acquired|10",
		pairs: []cefparse.Pair{
			{"destinationLongitude", "-73.614830"}, {"destinationLatitude", "45.505918"}, {"sourceLongitude", "45.4628328"}, {"sourceLatitude", "9.1076927"},
		},
	},
}

func TestLogstashInputs(t *testing.T) {
	type input struct {
		Name     string `json:"name"`
		Line     string `json:"line"`
		Encoding string `json:"encoding_on_wire"`
	}
	inputs := corpus[input](t, "logstash-codec-cef-inputs.jsonl")
	if len(inputs) != len(logstashExpect) {
		t.Fatalf("%d lines in the corpus, %d expectations", len(inputs), len(logstashExpect))
	}
	for i, in := range inputs {
		want := logstashExpect[i]
		if in.Name != want.name {
			t.Fatalf("line %d is %s, the expectation is for %s", i+1, in.Name, want.name)
		}
		line := in.Line
		if in.Encoding == "SHIFT_JIS" {
			line = strings.ReplaceAll(line, "あ", "\x82\xa0")
		}
		m, err := cefparse.Parse(line)
		if err != nil {
			t.Errorf("%s: %v", in.Name, err)
			continue
		}
		if want.header == "" {
			want.header = "security|threatmanager|1.0|100|trojan successfully stopped|10"
		}
		header := strings.Join([]string{m.Vendor, m.Product, m.DeviceVersion, m.ClassID, m.Name, m.Severity}, "|")
		if header != want.header {
			t.Errorf("%s: header %q, want %q", in.Name, header, want.header)
		}
		if diff := cmp.Diff(want.pairs, m.Extension); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in.Name, diff)
		}
		if diff := cmp.Diff(want.faults, m.Faults); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", in.Name, diff)
		}
	}
}

// sc4sPairs is the way in which Splunk Connect for Syslog takes an extension apart.
var sc4sPairs = regexp.MustCompile(`([^=\s]+)=((?:\\=|[^=])+)(?:\s|$)`)

// vendorFaults are the breaches of the standard in the vendors' own lines, by the line of the corpus, counted from 1.
var vendorFaults = map[int][]string{
	2: {"ESAMARAction: an equals sign without a backslash"},
	20: {
		"filePath: a backslash before 'U'", "filePath: a backslash before 't'", "filePath: a backslash before 'D'", "filePath: a backslash before 'e'",
		"TrendMicroDsMalwareTargetType: an equals sign without a backslash",
	},
	22: {"filePath: a backslash before 'w'", "filePath: a backslash before 'm'"},
	27: {"account: an equals sign without a backslash"},
	28: {
		"externalId: an equals sign without a backslash", "cs1: an equals sign without a backslash", "cs2: an equals sign without a backslash",
		"cs4: an equals sign without a backslash",
	},
}

// TestVendorLines reads what devices really send, and compares each line without a fault and without empty values with what another parser's
// regular expression makes of it.
func TestVendorLines(t *testing.T) {
	type vendor struct {
		Test string `json:"test"`
		Line string `json:"line"`
	}
	compared := 0
	for i, v := range corpus[vendor](t, "sc4s-cef-messages.jsonl") {
		m, err := cefparse.Parse(v.Line)
		if err != nil {
			t.Errorf("%d %s: %v", i+1, v.Test, err)
			continue
		}
		if m.Version != "0" || m.Vendor == "" || m.Product == "" || len(m.Extension) == 0 {
			t.Errorf("%d %s: read as %+v", i+1, v.Test, m)
		}
		if diff := cmp.Diff(vendorFaults[i+1], m.Faults); diff != "" {
			t.Errorf("%d %s: faults (-want +got):\n%s\n%s", i+1, v.Test, diff, v.Line)
		}
		if len(m.Faults) > 0 || emptyValue(m) {
			continue
		}
		compared++
		_, extension, _ := strings.Cut(v.Line, "|"+m.Severity+"|")
		theirs := map[string]string{}
		for _, kv := range sc4sPairs.FindAllStringSubmatch(extension, -1) {
			theirs[kv[1]] = strings.TrimSpace(strings.ReplaceAll(kv[2], `\=`, "="))
		}
		ours := map[string]string{}
		for _, p := range m.Extension {
			ours[p.Key] = strings.TrimSpace(p.Value)
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("%d %s (-SC4S +ours):\n%s", i+1, v.Test, diff)
		}
	}
	if compared < 15 {
		t.Errorf("only %d lines were compared", compared)
	}
}

func emptyValue(m cefparse.Message) bool {
	for _, p := range m.Extension {
		if p.Value == "" {
			return true
		}
	}
	return false
}
