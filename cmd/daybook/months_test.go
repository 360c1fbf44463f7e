package main_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/fetch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

// months are how many days back the seals go: nine months. One of every so many days is sealed, each at its end.
const months, every = 274, 4

// monthsConfig is bucketConfig with two classes, of which one moves to a tier on a second server.
const monthsConfig = "  retention_policies:\n    - {class: payments, event_types: [\"payment.*\"], hot_days: 400}\n" +
	"    - {class: standard, default: true, hot_days: 60, warm_days: %d, warm_storage: WARM}\n" +
	"  tiers: [{name: WARM, url: s3://warm, endpoint: %q, region: us-east-1, path_style: true, profile: tier}]\n"

// past is an installation that has sealed for nine months, by a clock of its own.
type past struct {
	*roleStation
	policies retention.Policies
	from, to time.Time // midnights: the first day, and the one after the last
	clock    time.Time
	files    map[string]fetch.File // by key
}

func newPast(t *testing.T, server *s3test.Server, warmDays int, tier string) *past {
	t.Helper()
	s := newRoleStation(t, server, "writer", "reader", "verifier")
	text := strings.Replace(bucketConfig, "trails: [{name: acme, org: acme}]", "trails: [{name: acme, org: acme, formats: [csv]}]", 1)
	text, rest, _ := strings.Cut(text, "  retention_policies:")
	_, rest, _ = strings.Cut(rest, "\n")
	s.configure(text + fmt.Sprintf(monthsConfig, warmDays, tier) + rest)
	if server.Name() == "minio" { // which alone holds a writer to a number of days
		s.grant("writer")
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	return &past{roleStation: s, from: today.AddDate(0, 0, -months), to: today, files: map[string]fetch.File{}, policies: retention.Policies{
		{Class: "payments", EventTypes: []string{"payment.*"}, Mode: sink.Compliance, HotDays: 400},
		{Class: "standard", Default: true, Mode: sink.Compliance, HotDays: 60, WarmDays: warmDays, WarmStorage: "WARM"},
	}}
}

// lay seals the months as the writer, each day by what the clock says then.
func (p *past) lay(endpoint string) {
	t := p.t
	t.Helper()
	now := func() time.Time { return p.clock }
	store, err := s3.New("s3://audit/prod", &s3.Options{
		Mode: sink.Compliance, Endpoint: endpoint, Region: p.server.Region, CAFile: p.server.CAFile, PathStyle: true,
		AccessKey: p.users["writer"].AccessKey, SecretKey: p.users["writer"].SecretKey, Now: now,
	})
	ensure(t, err)
	keyPath := filepath.Join(p.dir, "keys", "signing.key")
	key, _, err := seal.LoadOrCreateKey(keyPath, "daybook")
	ensure(t, err)
	hmac, err := intake.LoadOrCreateHMACKey(filepath.Join(p.dir, "keys", "redaction.key"))
	ensure(t, err)
	redactor, err := intake.NewRedactor(hmac, intake.Rules{})
	ensure(t, err)
	gz := batch.Compression{Kind: seal.Gzip, Level: 1}
	settings := batch.Settings{
		Store: store, Data: filepath.Join(p.dir, "data"), Key: key, Origin: "log.example/months", Policies: p.policies,
		Trails:     []batch.Trail{{Name: "acme", Org: "acme", Formats: []formats.Format{formats.CSV}, MaxSplit: 10_000}},
		Rendering:  batch.Rendering{PartRows: 1_000_000, PartBytes: 1 << 30, JSONL: batch.Compression{Kind: seal.Zstd, Level: 1}, CSV: gz, CEF: gz, Syslog: gz, SortMemory: 8 << 20},
		CloseAfter: time.Hour, DedupeWindow: 30 * 24 * time.Hour, Now: now, Build: "daybook test", Config: sha256.Sum256([]byte("test")), Workers: 1, Log: slog.New(slog.DiscardHandler),
	}
	p.clock = p.from
	r, err := batch.Open(t.Context(), settings)
	ensure(t, err)
	for day := p.from; day.Before(p.to); day = day.AddDate(0, 0, every) {
		n := int(day.Sub(p.from) / (24 * time.Hour))
		var lines strings.Builder
		for _, kind := range []string{"login.done", "payment.made"}[:2-n/every%2] {
			fmt.Fprintf(&lines, `{"id":"%s-%d","time":%q,"org":"acme","type":%q,"action":"do","actor_id":"u%d"}`+"\n", kind, n, day.Add(9*time.Hour).Format(time.RFC3339), kind, n)
		}
		p.clock = day.AddDate(0, 0, 1).Add(90 * time.Minute)
		input := filepath.Join(p.dir, "input.jsonl")
		writeFile(t, input, lines.String())
		report, err := r.Export(t.Context(), []string{input}, nil, intake.Settings{
			From: intake.Auto, Org: "acme", AsOf: p.clock, PlausibleAfter: p.from, RecordLimit: 1 << 20, Ratio: 250, Workers: 1, Redactor: redactor,
		}, intake.NewQuarantine(filepath.Join(p.dir, "data", "quarantine"), p.clock))
		ensure(t, err)
		if len(report.Days) != 1 || !report.Whole() {
			t.Fatalf("on %s: %+v", p.clock, report)
		}
	}
	ensure(t, r.Close())
	for line := range strings.Lines(p.run("reader", 0, "ls", "--json", "--config", "daybook.yaml", "--key", p.key())) {
		if line[0] != '{' {
			continue // what is said on standard error
		}
		var f fetch.File
		ensure(t, json.Unmarshal([]byte(line), &f))
		p.files[f.Key] = f
	}
	days := (months + every - 1) / every
	if want := 2*days + 2*((days+1)/2); len(p.files) != want { // evidence and CSV of each day, and of each second one's payments
		t.Fatalf("%d files, want %d", len(p.files), want)
	}
}

func (p *past) key() string { return filepath.Join("keys", "signing.key.pub") }

func ensure(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// versions are all versions and markers of the store's data files, from the newest on, by key.
func (p *past) versions() map[string][]s3test.Version {
	all := map[string][]s3test.Version{}
	for _, v := range p.server.Versions(p.t, "audit", "prod/") {
		key := strings.TrimPrefix(v.Key, "prod/")
		all[key] = append(all[key], v)
	}
	return all
}

// age is how many midnights a file's seal has seen.
func (p *past) age(f fetch.File) int {
	return int(time.Now().UTC().Truncate(24*time.Hour).Sub(f.SealedAt.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
}

// await looks at the bucket until a test finds nothing left to wait for. At each look every version is counted: those that are locked must be there, and nothing but data
// files may go.
func (p *past) await(what string, control int, left func(all map[string][]s3test.Version) string) map[string][]s3test.Version {
	p.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		all := p.versions()
		n := 0
		for key, versions := range all {
			if _, data := p.files[key]; !data {
				n += len(versions)
			}
		}
		if n != control {
			p.t.Fatalf("%s: %d seals, keys and objects of the log are left of %d", what, n, control)
		}
		for key, f := range p.files {
			if f.RetainUntil.After(time.Now()) && !slices.ContainsFunc(all[key], func(v s3test.Version) bool { return v.ID == f.Version }) {
				p.t.Fatalf("%s: %s is locked until %s, and its version is gone", what, key, f.RetainUntil)
			}
		}
		rest := left(all)
		if rest == "" {
			return all
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: still waiting for %s", what, rest)
		}
		time.Sleep(100 * time.Millisecond) // the server tells nobody what its rules have done
	}
}

// verify returns the report of a verifier, and holds it to its exit code.
func (p *past) verify(code int, args ...string) (findings map[string][]string) {
	p.t.Helper()
	var report struct {
		Findings []struct{ Code, Object string }
		Levels   struct{ Files struct{ Intact, Locks bool } }
	}
	out := p.run("verifier", code, append([]string{"verify", "--json", "--config", "daybook.yaml", "--key", p.key()}, args...)...)
	ensure(p.t, json.NewDecoder(strings.NewReader(out)).Decode(&report))
	if report.Levels.Files.Intact != (code == 0) || !report.Levels.Files.Locks {
		p.t.Errorf("verify says of the files: %+v", report)
	}
	findings = map[string][]string{}
	for _, f := range report.Findings {
		findings[f.Code] = append(findings[f.Code], f.Object)
	}
	return findings
}

// TestNineMonths lays nine months down on real servers, by users with the policies that are printed for them, and sees what becomes of them: on MinIO, which believes a proxy what
// time it is for what is put, by the rules of bucket apply; on versitygw, which has none, by nothing.
func TestNineMonths(t *testing.T) {
	effort.NeedsThorough(t)
	t.Parallel()
	t.Run("MinIO", testMonthsOnMinIO)
	t.Run("versitygw", testMonthsOnVersityGW)
}

func testMonthsOnMinIO(t *testing.T) {
	t.Parallel()
	server, second := s3test.MinIOScanning(t), s3test.MinIO(t)
	p := newPast(t, server, 150, second.URL)
	ensure(t, os.Mkdir(filepath.Join(p.dir, ".aws"), 0o700))
	writeFile(t, filepath.Join(p.dir, ".aws", "credentials"), "[tier]\naws_access_key_id="+second.AccessKey+"\naws_secret_access_key="+second.SecretKey+"\n")
	tier := []string{"bucket", "create", "--tier", "WARM", "--config", "daybook.yaml"}
	p.run("root", 0, tier...)
	server.MinIOTier(t, "WARM", second, "warm")
	p.run("root", 0, append(tier, "--mode", "compliance", "--days", "91")...)

	proxy := server.Past(t, func() time.Time { return p.clock })
	begun := time.Now()
	p.lay(proxy)
	t.Logf("laid down in %s", time.Since(begun))
	all := p.versions()
	control := 0
	for key, versions := range all {
		f, data := p.files[key]
		if !data {
			control += len(versions)
		} else if len(versions) != 1 || versions[0].ID != f.Version || versions[0].Class != "STANDARD" || versions[0].Modified.Sub(f.SealedAt).Abs() > time.Minute {
			t.Fatalf("%s, sealed at %s: %+v", key, f.SealedAt, versions)
		}
	}
	if findings := p.verify(0); len(findings) != 2 || findings["head-unanchored"] == nil || findings["day-unsealed"] == nil {
		t.Errorf("before there are rules: %v", findings)
	}

	// Of what is long past its lock, each second file has the marker that the rule would have set when it was time.
	ended := func(f fetch.File) bool { return f.RetainUntil.Before(time.Now()) }
	var hidden []string
	for key, f := range p.files {
		if ended(f) && p.age(f) > 160 && f.Seal%2 == 0 {
			p.clock = f.RetainUntil.AddDate(0, 0, 2)
			server.HideAt(t, proxy, "audit", "prod/"+key)
			hidden = append(hidden, key)
		}
	}
	p.run("root", 0, "bucket", "apply", "--yes", "--config", "daybook.yaml")
	begun = time.Now()
	moved := func(f fetch.File) bool {
		return strings.Contains(f.Key, "class=standard") && p.age(f) > 61 && !ended(f)
	}
	all = p.await("the policy's rules", control, func(all map[string][]s3test.Version) string {
		for key, f := range p.files {
			versions := all[key]
			switch {
			case slices.Contains(hidden, key):
				if len(versions) > 0 {
					return key + " to be removed"
				}
			case ended(f) && p.age(f) > 152:
				if !versions[0].DeleteMarker {
					return key + " to be hidden"
				}
			case ended(f): // any day now
			case len(versions) != 1:
				t.Fatalf("%s is locked until %s, and is hidden: %+v", key, f.RetainUntil, versions)
			case moved(f) && versions[0].Class != "WARM":
				return key + " to be moved"
			case versions[0].Class != "STANDARD" && (p.age(f) < 60 || strings.Contains(key, "class=payments")):
				t.Fatalf("%s is %d days old, and in %s", key, p.age(f), versions[0].Class)
			}
		}
		return ""
	})
	t.Logf("rules did their work in %s", time.Since(begun))
	left, warm := 0, 0
	for key, f := range p.files {
		if len(all[key]) > 0 {
			left++
		}
		if moved(f) {
			warm++
		}
	}
	if len(hidden) < 15 || warm < 40 || left != len(p.files)-len(hidden) {
		t.Errorf("%d of %d files are left, %d were to be removed, %d to be moved", left, len(p.files), len(hidden), warm)
	}
	data := second.Versions(t, "warm", "")
	if len(data) < warm {
		t.Errorf("in the tier there are %d objects for %d files", len(data), warm)
	}
	for _, v := range data {
		mode, until := second.Lock(t, "warm", v)
		if mode != "COMPLIANCE" || until.Before(time.Now().AddDate(0, 0, 90)) {
			t.Fatalf("in the tier %s is locked %q until %s", v.Key, mode, until)
		}
	}

	// What ended by right is told as that, and nothing else is at fault.
	p.ends(t)
	p.fetches(t, moved)
	p.fetches(t, func(f fetch.File) bool { return p.age(f) < 60 })
	f := p.files[hidden[0]]
	out := p.run("reader", 1, "get", "--config", "daybook.yaml", "--key", p.key(), "--day", f.Day.Start().Format(time.DateOnly), "--class", "standard", "-o", "gone")
	if want := "it was to be kept until " + f.RetainUntil.Format(time.DateOnly); !strings.Contains(out, want) {
		t.Errorf("of a file that is gone the reader is told\n%s\nwant %q", out, want)
	}
	p.expiresEarly(t, control)
}

// ends holds the verifier to telling what is past its lock, hidden or gone, and to nothing else.
func (p *past) ends(t *testing.T) {
	t.Helper()
	all := p.versions()
	want := map[string]bool{}
	for key, f := range p.files {
		if len(all[key]) == 0 || all[key][0].DeleteMarker {
			if want[key] = true; f.RetainUntil.After(time.Now()) {
				t.Errorf("%s is hidden, and locked until %s", key, f.RetainUntil)
			}
		}
	}
	findings := p.verify(0)
	for _, key := range findings["file-expired"] {
		if !want[key] {
			t.Errorf("verify says that %s has expired", key)
		}
		delete(want, key)
	}
	if len(want) > 0 || len(findings) != 3 {
		t.Errorf("verify does not tell that %v expired; other findings: %v", want, findings)
	}
}

// fetches has the reader get files, and compares each byte with what was sealed.
func (p *past) fetches(t *testing.T, which func(f fetch.File) bool) {
	t.Helper()
	var days []time.Time
	want := map[string]fetch.File{}
	for key, f := range p.files {
		if which(f) {
			days = append(days, f.Day.Start())
			want[key] = f
		}
	}
	slices.SortFunc(days, time.Time.Compare)
	first, last := days[0].Format(time.DateOnly), days[len(days)-1].Format(time.DateOnly)
	dir := "from-" + first
	out := p.run("reader", 0, "get", "--config", "daybook.yaml", "--key", p.key(), "--from", first, "--to", last, "-o", dir)
	for key, f := range want {
		body, err := os.ReadFile(filepath.Join(p.dir, dir, filepath.FromSlash(key)))
		if err != nil || int64(len(body)) != f.Size || sha256.Sum256(body) != f.SHA256 {
			t.Fatalf("%s as the reader got it: %d bytes, %v\n%s", key, len(body), err, out)
		}
	}
}

// expiresEarly has an operator set a rule of his own, which hides what is locked and removes nothing, and has Daybook tell.
func (p *past) expiresEarly(t *testing.T, control int) {
	t.Helper()
	writer, err := s3.New("s3://audit/prod", &s3.Options{
		Mode: sink.Compliance, Endpoint: p.server.URL, Region: p.server.Region, PathStyle: true, AccessKey: p.users["writer"].AccessKey, SecretKey: p.users["writer"].SecretKey,
	})
	ensure(t, err)
	lifecycle := func() string {
		t.Helper()
		settings, err := writer.Inspect(t.Context())
		ensure(t, err)
		return settings[slices.IndexFunc(settings, func(s sink.Setting) bool { return s.Name == "lifecycle" })].Value
	}
	before := lifecycle()
	const prefix = "csv/class=payments/"
	p.server.SetLifecycle(t, "audit", sink.ExpiryRule{ID: "tidy", Prefix: "prod/" + prefix, Days: 7, NoncurrentDays: 1})
	if after := lifecycle(); after == before || !strings.Contains(after, "tidy") {
		t.Errorf("a look at how the bucket is set up tells %q", after)
	}
	if out := p.run("verifier", 3, "bucket", "plan", "--config", "daybook.yaml"); !strings.Contains(out, "tidy") || !strings.Contains(out, "1 of others stay") {
		t.Errorf("the plan is\n%s", out)
	}
	var hidden []string
	all := p.await("a rule that expires early", control, func(all map[string][]s3test.Version) string {
		hidden = nil
		for key, f := range p.files {
			if strings.HasPrefix(key, prefix) && p.age(f) > 8 {
				if !all[key][0].DeleteMarker {
					return key + " to be hidden"
				}
				hidden = append(hidden, key)
			}
		}
		return ""
	})
	findings := p.verify(1)
	got := slices.Sorted(slices.Values(findings["delete-marker"]))
	slices.Sort(hidden)
	if !slices.Equal(got, hidden) || len(findings["expiry-rule"]) == 0 || findings["file-missing"] != nil || findings["file-altered"] != nil {
		t.Errorf("verify says %v; %d files are hidden", findings, len(hidden))
	}
	// Nothing of it is lost: readers go by version, and without the marker it is as it was.
	p.fetches(t, func(f fetch.File) bool { return slices.Contains(hidden, f.Key) && p.age(f) < 60 })
	p.server.SetLifecycle(t, "audit")
	p.run("root", 0, "bucket", "apply", "--yes", "--config", "daybook.yaml")
	for _, key := range hidden {
		ensure(t, p.server.DeleteVersion(t, "audit", "prod/"+key, all[key][0].ID))
	}
	p.ends(t)
}

func testMonthsOnVersityGW(t *testing.T) {
	t.Parallel()
	server := s3test.VersityGWTLS(t)
	// It takes no lock that has ended already, and knows no other clock than its own: here the months are locked for longer than they are old.
	p := newPast(t, server, months+30, "http://127.0.0.1:1")
	p.lay(server.URL)
	for _, command := range []string{"plan", "apply"} {
		out := p.run("writer", 0, "bucket", command, "--config", "daybook.yaml")
		for _, text := range []string{
			"this server has no lifecycle rules", fmt.Sprintf("csv/class=standard: not to WARM after 60 days, not removed after %d days", months+31), "jsonl/class=payments: not removed after 401 days",
		} {
			if !strings.Contains(out, text) {
				t.Errorf("%s:\n%s\nwant %q", command, out, text)
			}
		}
	}
	findings := p.verify(0, "--deep")
	if len(findings["file-expired"]) > 0 {
		t.Errorf("verify says %v", findings)
	}
	p.fetches(t, func(fetch.File) bool { return true })
	victim := p.files[slices.Min(slices.Collect(maps.Keys(p.files)))]
	if err := server.DeleteVersion(t, "audit", "prod/"+victim.Key, victim.Version); err == nil {
		t.Error("the root user deleted what is locked")
	}
	server.Hide(t, "audit", "prod/"+victim.Key)
	findings = p.verify(1)
	if len(findings["delete-marker"]) != 1 || len(findings["lock-weak"]) > 0 {
		t.Errorf("with a marker verify says %v", findings)
	}
}
