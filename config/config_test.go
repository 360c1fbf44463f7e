package config_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"daybook/config"
)

var update = flag.Bool("update", false, "rewrite docs/CONFIG.md")

func TestDefaultIsValid(t *testing.T) {
	c := config.Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	// The numbers that the design names.
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"trail", c.Trails[0].Name, "audit"},
		{"org", c.Trails[0].Org, config.AllOrgs},
		{"own org", c.OwnOrg(), "default"},
		{"formats", fmt.Sprint(c.Trails[0].Formats), "[jsonl csv parquet cef syslog]"},
		{"max_split", c.Trails[0].MaxSplit, 10000},
		{"close_after", c.CloseAfter.Std(), time.Hour},
		{"plausible_after", c.PlausibleAfter.Time(), time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"as_of", c.AsOf.Time.IsZero(), true},
		{"keep", c.Spool.Keep.Std(), 7 * 24 * time.Hour},
		{"dedupe_window", c.Spool.DedupeWindow.Std(), 30 * 24 * time.Hour},
		{"memory", c.Spool.Memory, config.Size(64 << 20)},
		{"part.bytes", c.Part.Bytes, config.Size(1 << 30)},
		{"url", c.Store.URL, "./audit"},
		{"mode", c.Store.Mode, ""},
		{"class", fmt.Sprintf("%+v", c.Store.RetentionPolicies), "[{Class:standard EventTypes:[] Default:true Preset: HotDays:0 WarmDays:0 ColdYears:0 Mode: WarmStorage: ColdStorage: Retain:0s}]"},
		{"spreadsheet_safe", c.Formats.CSV.SpreadsheetSafe, true},
		{"hostname", c.Formats.Syslog.Hostname, "-"},
		{"enterprise", c.Formats.Syslog.Enterprise, uint32(32473)},
	} {
		if !cmp.Equal(check.got, check.want) {
			t.Errorf("%s: %v, want %v", check.what, check.got, check.want)
		}
	}
	// Two calls share nothing: what is laid over one is not in the next.
	c.Trails[0].Formats[0], c.Store.RetentionPolicies[0].Class = "spoilt", ""
	if err := config.Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestSampleMeansTheDefault(t *testing.T) {
	c, err := config.Parse("sample.yaml", config.Sample())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Default(), c); diff != "" {
		t.Errorf("the sample is not what runs without a file (-default +sample):\n%s", diff)
	}
}

// commented is a key that the sample shows behind a # of its own.
var commented = regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`)

func TestSampleShowsEveryKey(t *testing.T) {
	var tree any
	if err := yaml.Unmarshal(commented.ReplaceAll(config.Sample(), []byte("$1$2")), &tree); err != nil {
		t.Fatal(err)
	}
	got, want := map[string]bool{}, map[string]bool{}
	treeKeys("", tree, got)
	structKeys("", reflect.TypeFor[config.Config](), want)
	// Lists that are empty unless somebody fills them are shown by a longer example.
	for key := range want {
		list, name, ok := strings.Cut(key, "[].")
		if ok && !got[key] && (list == "anchors" || list == "store.retention_policies" || list == "store.tiers" || strings.HasPrefix(list, "service.")) && regexp.MustCompile(`(?m)^ *#  .*\b`+name+`:`).Match(config.Sample()) {
			delete(want, key)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-structs +sample):\n%s", diff)
	}
}

// A commented key shows its default, or an example where a default would say nothing.
func TestSampleCommentsAreTrue(t *testing.T) {
	text := regexp.MustCompile(`(?m)^ *#(profile|[a-z_]+_file): .*$`).ReplaceAll(config.Sample(), nil)
	c, err := config.Parse("sample.yaml", commented.ReplaceAll(text, []byte("$1$2")))
	if err != nil {
		t.Fatal(err)
	}
	c.Service.CertFile, c.Service.KeyFile, c.Service.ClientCAFile = "", "", ""
	s := &c.Store
	if s.Mode != "none" || !s.PathStyle || s.RetentionPolicies[0].HotDays == 0 || s.Endpoint == "" || s.Region == "" || s.SecretKeyEnv == "" {
		t.Errorf("the examples are not in the sample: %+v", *s)
	}
	s.Mode, s.PathStyle, s.RetentionPolicies[0].HotDays, s.Endpoint, s.Region = "", false, 0, "", ""
	s.AccessKeyEnv, s.SecretKeyEnv, s.SessionTokenEnv, s.Encryption = "", "", "", ""
	if diff := cmp.Diff(config.Default(), c); diff != "" {
		t.Errorf("(-default +sample, all keys in use):\n%s", diff)
	}
}

func treeKeys(path string, node any, into map[string]bool) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			into[strings.TrimPrefix(path+"."+key, ".")] = true
			treeKeys(path+"."+key, value, into)
		}
	case []any:
		for _, value := range node {
			treeKeys(path+"[]", value, into)
		}
	}
}

func structKeys(path string, typ reflect.Type, into map[string]bool) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		at := path + "." + f.Tag.Get("yaml")
		into[strings.TrimPrefix(at, ".")] = true
		switch {
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			structKeys(at+"[]", f.Type.Elem(), into)
		case f.Type.Kind() == reflect.Struct && f.Type.Field(0).Tag.Get("yaml") != "":
			structKeys(at, f.Type, into)
		}
	}
}

// Every tag is well-formed: what the package reads at run time without looking is looked at here.
func TestTags(t *testing.T) {
	known := []string{"yaml", "default", "doc", "flag", "enum", "min", "max", "required", "form"}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		keys := map[string]bool{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			key := f.Tag.Get("yaml")
			if !regexp.MustCompile(`^[a-z][a-z_]*$`).MatchString(key) || keys[key] {
				t.Errorf("%s.%s: key %q", typ, f.Name, key)
			}
			keys[key] = true
			if doc := f.Tag.Get("doc"); !strings.HasSuffix(doc, ".") {
				t.Errorf("%s.%s: doc %q is no sentence", typ, f.Name, doc)
			}
			for _, m := range regexp.MustCompile(`([a-z]+):"(?:[^"\\]|\\.)*"`).FindAllStringSubmatch(string(f.Tag), -1) {
				if !slices.Contains(known, m[1]) {
					t.Errorf("%s.%s: tag %s", typ, f.Name, m[1])
				}
			}
			for _, end := range []string{"min", "max"} {
				text, ok := f.Tag.Lookup(end)
				if !ok {
					continue
				}
				v := reflect.New(f.Type)
				if u, ok := v.Interface().(interface{ UnmarshalText([]byte) error }); ok {
					if err := u.UnmarshalText([]byte(text)); err != nil {
						t.Errorf("%s.%s: %s: %v", typ, f.Name, end, err)
					}
				} else if !regexp.MustCompile(`^[0-9]+$`).MatchString(text) {
					t.Errorf("%s.%s: %s %q is no number", typ, f.Name, end, text)
				}
			}
			switch {
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
				walk(f.Type.Elem())
			case f.Type.Kind() == reflect.Struct && f.Type.Field(0).Tag.Get("yaml") != "":
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[config.Config]())
}

func TestParseReadsEveryKind(t *testing.T) {
	c, err := config.Parse("", []byte(`
trails:
  - name: 2026
    projects: [811596193553, 012345678901, "x y", true]
    formats: []
  - {name: b/ü, org: acme, split: project, max_split: 5}
as_of: 2026-03-10T09:00:00+01:00
plausible_after: "1999-12-31"
include_open: true
part: {rows: 500, bytes: 1048576}
spool: {keep: 1d12h}
redact: {patterns: ['acme_[a-z]{8}', 'db://[a-z]+:[^@]+@']}
store:
  url: s3://bucket/a/b/
  mode: governance
  endpoint: http://localhost:9000
  retention_policies: [{class: all, event_types: ["iam:*", "*"], cold_years: 7}]
formats:
  csv: {compression: none, level: 1, spreadsheet_safe: false}
  cef:
  jsonl: {level: 19}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Trails = []config.Trail{
		{Name: "2026", Org: config.AllOrgs, Projects: []string{"811596193553", "012345678901", "x y", "true"}, Formats: []string{}, Split: "org", MaxSplit: 10000},
		{Name: "b/ü", Org: "acme", Projects: []string{}, Formats: []string{"jsonl", "csv", "parquet", "cef", "syslog"}, Split: "project", MaxSplit: 5},
	}
	want.AsOf.Time = time.Date(2026, 3, 10, 8, 0, 0, 0, time.UTC)
	want.PlausibleAfter = config.Date{Year: 1999, Month: 12, Day: 31}
	want.IncludeOpen = true
	want.Part = config.Part{Rows: 500, Bytes: 1 << 20}
	want.Spool.Keep = config.Duration(36 * time.Hour)
	want.Redact.Patterns = []string{"acme_[a-z]{8}", "db://[a-z]+:[^@]+@"}
	want.Store.URL, want.Store.Mode, want.Store.Endpoint = "s3://bucket/a/b/", "governance", "http://localhost:9000"
	want.Store.RetentionPolicies = []config.RetentionPolicy{{Class: "all", EventTypes: []string{"iam:*", "*"}, ColdYears: 7}}
	want.Formats.CSV = config.CSV{Compression: "none", Level: 1}
	want.Formats.JSONL.Level = 19
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseNothing(t *testing.T) {
	for _, text := range []string{"", "\n", "# a comment\n", "---\n", "\ufeff", "{}", "spool:\nformats:\n", "spool:\r\n  #keep: 1d\r\n"} {
		c, err := config.Parse("", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(config.Default(), c); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := config.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.yaml") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := config.Load(dir); err == nil {
		t.Error("a folder was read as a file")
	}
	name := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(name, []byte("spool:\n  keep: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(name)
	if want := name + `:2:9: spool.keep: "5" has no unit: write e.g. 5s, 5h or 5d` + "\n    the default is 7d"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := os.WriteFile(name, []byte("source: ok\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(name); err != nil || c.Source != "ok" {
		t.Errorf("%v, %v", c, err)
	}
}

// Flags are laid over a loaded file: what is then wrong has a path and no line.
func TestValidateAfterFlags(t *testing.T) {
	c, err := config.Parse("d.yaml", []byte("store: {mode: compliance}\n"))
	if err != nil {
		t.Fatalf("a file may leave the store's url to --to: %v", err)
	}
	want := []string{"store.mode: a folder cannot lock files: compliance is not to be had"}
	if diff := cmp.Diff(want, faultsOf(t, c.Validate())); diff != "" {
		t.Errorf("without --to (-want +got):\n%s", diff)
	}
	c.Store.URL = "s3://bucket/prefix"
	want = []string{"store.retention_policies[0].hot_days: an age must be written for an S3 store: there is no default"}
	if diff := cmp.Diff(want, faultsOf(t, c.Validate())); diff != "" {
		t.Errorf("with --to s3:// (-want +got):\n%s", diff)
	}
	c.Store.RetentionPolicies[0].Retain = config.Duration(time.Hour)
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.From, c.Source, c.Trails[0].Name, c.Part.Rows = "xml", " x", "", 0
	c.Trails = append(c.Trails, c.Trails...)
	c.Trails[1].Formats = []string{"csv", "csv", ""}
	want = []string{
		"trails[0].name: must be written",
		"trails[1].name: must be written",
		"trails[1].formats[1]: the same as trails[1].formats[0]",
		"trails[1].formats[2]: is empty",
		`source: " x" begins or ends with a space`,
		`from: "xml" is not known`,
		"part.rows: 0 is less than 1",
	}
	if diff := cmp.Diff(want, faultsOf(t, c.Validate())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// faultsOf returns the faults without their hints, and checks that each has one.
func faultsOf(t *testing.T, err error) []string {
	t.Helper()
	var faults *config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("not faults: %v", err)
	}
	var list []string
	for _, f := range faults.Faults {
		list = append(list, f.String())
		if f.Hint == "" {
			t.Errorf("no way out: %s", f)
		}
		if !strings.Contains(err.Error(), f.String()) || !strings.Contains(err.Error(), f.Hint) {
			t.Errorf("not in the error: %s", f)
		}
	}
	return list
}

// TestFoldersBesideEachOther reads layouts that are right, those of the documents among them.
func TestFoldersBesideEachOther(t *testing.T) {
	for _, text := range []string{
		"data: data\nstore: {url: data-of-the-store}\n",
		"data: /var/lib/daybook\nkey: /var/lib/daybook/signing.key\nstore: {url: /srv/audit}\nservice: {drop: [{path: /var/spool/audit, org: o, source: s}], follow: [{url: /var/log/trail, org: o, source: t}]}\n",
		"data: /data/state\nkey: /data/keys/signing.key\nstore: {url: file:///audit}\n",
		"data: ./audit\n", // store.url may be another's, from the command line
		"data: b\nkey: signing.key\nstore: {url: 's3://bucket/b', mode: none, retention_policies: [{class: a, default: true, hot_days: 1}]}\n",
	} {
		if _, err := config.Parse("f.yaml", []byte(text)); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"default", "", []string{"formats.syslog.enterprise: 32473 is for documentation only (RFC 5612)"}},
		{"nothing to warn of", "trails: [{name: a, formats: [csv]}]", nil},
		{"own number", "formats: {syslog: {enterprise: 4711}}", nil},
		{"rows", "trails: [{name: a, formats: [csv]}]\npart: {rows: 1048576}", []string{"part.rows: a spreadsheet does not open a file of so many rows"}},
		{"rows for engines", "trails: [{name: a, formats: [parquet]}]\npart: {rows: 1048576}", nil},
		{"folder", "trails: [{name: a, formats: []}]\nstore: {region: x, path_style: true, retention_policies: [{class: a, default: true, hot_days: 1, warm_days: 2, warm_storage: W}, {class: b, event_types: [x], retain: 1h}]}", []string{
			"store.region: has no effect: the store is a folder",
			"store.path_style: has no effect: the store is a folder",
			"store.retention_policies[0].hot_days: has no effect: a folder cannot lock files",
			"store.retention_policies[0].warm_storage: has no effect: the store is a folder",
			"store.retention_policies[1].retain: has no effect: a folder cannot lock files",
		}},
		{"no lock", "trails: [{name: a, formats: []}]\nstore: {url: s3://bucket, mode: none, endpoint: 'http://10.0.0.1:9000'}", []string{
			"store.mode: no file is locked: whoever can write can also delete",
			"store.endpoint: http: events cross the network in the clear",
		}},
		{"loopback", "trails: [{name: a, formats: []}]\nstore: {url: s3://bucket, mode: governance, endpoint: 'http://127.0.0.1:9000', retention_policies: [{class: a, default: true, hot_days: 1}]}", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := config.Parse("", []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range cfg.Warnings() {
				got = append(got, w.String())
				if w.Hint == "" {
					t.Errorf("no way out: %s", w)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReference(t *testing.T) {
	name := filepath.Join("..", "docs", "CONFIG.md")
	if *update {
		if err := os.WriteFile(name, config.Reference(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(config.Reference()), string(got)); diff != "" {
		t.Errorf("docs/CONFIG.md is not what the structs say: run go test ./config -run Reference -update\n%s", diff)
	}
}
