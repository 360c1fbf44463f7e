package cefparse_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/interop/cefparse"
)

func TestNotCEF(t *testing.T) {
	for _, line := range []string{
		"", "CEF:", "CEF:|a|b|c|d|e|5|", "CEF:x|a|b|c|d|e|5|", "CEF:0|a|b|c|d|e|5", `CEF:0|a|b|c|d|e|5\|`, "LEEF:2.0|a|b|c|d|", "cef:0|a|b|c|d|e|5|",
	} {
		if m, err := cefparse.Parse(line); !errors.Is(err, cefparse.ErrNotCEF) {
			t.Errorf("%q: read as %+v, error %v", line, m, err)
		}
	}
}

func TestPrefixThatSaysCEF(t *testing.T) {
	m, err := cefparse.Parse("Mar 19 15:19:15 CEF: CEF:relay CEF:0|a|b|c|d|e|5|act=x\r\n")
	if err != nil || m.Vendor != "a" || len(m.Faults) > 0 {
		t.Errorf("read as %+v, error %v", m, err)
	}
}

func TestFaults(t *testing.T) {
	for line, want := range map[string][]string{
		`act=a act=b`:     {"act: twice"},
		"act=a\nb":        {"a line break within the line"},
		"act=a\xff":       {"not UTF-8"},
		`act=a=b`:         {"act: an equals sign without a backslash"},
		`act=a\\=b`:       {"act: an equals sign without a backslash"},
		`act=a\\\=b`:      nil,
		`act=a\|b`:        {`act: a backslash before '|'`},
		`act=a\`:          {"act: a backslash at the end"},
		`act=a\tb`:        {`act: a backslash before 't'`},
		`some text act=a`: {"text before the first key"},
		`=a`:              {"no key in the extension"},
	} {
		m, err := cefparse.Parse("CEF:0|v|p|1|id|name|5|" + line)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		if diff := cmp.Diff(want, m.Faults); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
}

func TestCheck(t *testing.T) {
	const good = "CEF:0|v|p|1|id|name|5|"
	for line, want := range map[string][]string{
		good + "rt=1678406400000 src=192.0.2.1 cs1Label=info cs1={}": nil,
		"CEF:2|v|p|1|id|name|5|":                                     {"version 2"},
		"CEF:0||p|1|id|name|5|":                                      {"vendor: empty"},
		"CEF:0|v|p|1|id|" + strings.Repeat("é", 513) + "|5|":         {"name: 513 characters"},
		"CEF:0|v|p|1|id|na\tme|5|":                                   {"name: a control character"},
		"CEF:0|v|p|1|id|name|11|":                                    {`severity "11"`},
		"CEF:0|v|p|1|id|name|05|":                                    {`severity "05"`},
		"CEF:0|v|p|1|id|name|Very-High|":                             nil,
		good + "externalId=" + strings.Repeat("0", 41):               {"externalId: 41 characters, 40 at most"},
		good + "act=":                    {"act: empty"},
		good + "act=a\tb":                {"act: a control character"},
		good + `msg=a\nb\rc`:             nil,
		good + "rt=2023-03-10T00:00:00Z": {"rt: not milliseconds since 1970"},
		good + "src=::1":                 {"src: not an IPv4 address"},
		good + "c6a2=192.0.2.1 c6a2Label=Source IPv6 Address": {"c6a2: not an IPv6 address"},
		good + "cn1=010 cn1Label=infoBytes":                   {"cn1: not an integer"},
		good + "cs1=a":                                        {"cs1 without its label"},
		good + "cs1Label=a":                                   {"cs1Label without cs1"},
		good + "cs1Label=a cs1=x cs2Label=a cs2=y":            {`label "a" used twice`},
		good + "rawEvent=x":                                   {"rawEvent: only a consumer sets this key"},
		good + "ad.name=x":                                    {"ad.name: a key is letters and digits"},
		good + "cs1=" + strings.Repeat("x", 4001) + " cs1Label=projectId": {"cs1: 4001 characters, 4000 at most"},
	} {
		m, err := cefparse.Parse(line)
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if diff := cmp.Diff(want, m.Check()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
}

// FuzzRoundTrip escapes by the standard's table and expects to read what went in, whatever the texts hold.
func FuzzRoundTrip(f *testing.F) {
	f.Add("acme|co", `Day\book`, "get {\"a\":\"b=c\"}", `C:\x key=val`)
	f.Add(`\`, "|", "\r\n \\", "  two spaces  then=")
	f.Add(" lead", "n", "x act=y", "{\"a\":\"\\n cs1=b\"}")
	header := strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\r", " ", "\n", " ")
	extension := strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
	f.Fuzz(func(t *testing.T, vendor, name, msg, last string) {
		for _, s := range []*string{&vendor, &name, &msg, &last} {
			*s = strings.ToValidUTF8(*s, "\ufffd")
		}
		line := "CEF:0|" + header.Replace(vendor) + "|p|1|id|" + header.Replace(name) + "|5|msg=" + extension.Replace(msg) + " act=" + extension.Replace(last)
		m, err := cefparse.Parse(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(m.Faults) > 0 {
			t.Errorf("%q: faults %v", line, m.Faults)
		}
		oneLine := strings.NewReplacer("\r", " ", "\n", " ")
		if m.Vendor != oneLine.Replace(vendor) || m.Name != oneLine.Replace(name) {
			t.Errorf("%q: vendor %q, name %q", line, m.Vendor, m.Name)
		}
		want := []cefparse.Pair{{Key: "msg", Value: msg}, {Key: "act", Value: strings.TrimRight(last, " ")}}
		if diff := cmp.Diff(want, m.Extension); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	})
}

// FuzzParse reads anything without a panic, and finds no key or value that the line does not hold.
func FuzzParse(f *testing.F) {
	f.Add("CEF:0|v|p|1|id|name|5|a.b[1]=c  d=e\\")
	f.Add("CEF:0|v|p|1|id|name|5| a. =b .c=d [1]=e")
	f.Fuzz(func(t *testing.T, line string) {
		m, err := cefparse.Parse(line)
		if err != nil {
			return
		}
		for _, p := range m.Extension {
			if !strings.Contains(line, p.Key+"=") {
				t.Errorf("%q: key %q", line, p.Key)
			}
			if len(p.Value) > len(line) {
				t.Errorf("%q: value %q", line, p.Value)
			}
		}
		m.Check()
		_, _ = m.Custom()
	})
}
