package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"daybook/internal/effort"
	"daybook/service"
)

// deploy is where the files lie that are deployed beside the binary.
var deploy = filepath.Join("..", "deploy")

// metric is the name of a metric in a query.
var metric = regexp.MustCompile(`\b(daybook|process|go)_[a-z_]+\b`)

// known reports whether a service has a metric that a query names.
func known(all map[string]service.MetricDoc, name string) bool {
	if _, ok := all[name]; ok {
		return true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && all[base].Help != "" {
			return true
		}
	}
	return false
}

// alertRules are those of deploy/alerts.yaml.
func alertRules(t *testing.T) (rules []alertRule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []alertRule }
	}
	data, err := os.ReadFile(filepath.Join(deploy, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

type alertRule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

// TestAlerts holds the alert rules to what the service tells.
func TestAlerts(t *testing.T) {
	t.Parallel()
	help := newWorld(t, nil).Metrics()
	tests, err := os.ReadFile(filepath.Join(deploy, "alerts_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range alertRules(t) {
		names := metric.FindAllString(r.Expr, -1)
		if len(names) == 0 {
			t.Errorf("%s asks for no metric: %s", r.Alert, r.Expr)
		}
		for _, name := range names {
			if !known(help, name) {
				t.Errorf("%s asks for %s, which is no metric", r.Alert, name)
			}
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s has severity %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description", "action"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if !strings.Contains(string(tests), "- name: "+r.Alert+"\n") {
			t.Errorf("alerts_test.yaml does not test %s", r.Alert)
		}
	}
}

// promtool runs Prometheus's own checks. No test that calls it runs beside others: a process that is being started holds the locks of all data folders that are open, until it is another program.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool: make test installs it, with Debian's package prometheus")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

func TestAlertsWithPromtool(t *testing.T) {
	promtool(t, "", "check", "rules", "--lint-fatal", filepath.Join(deploy, "alerts.yaml"))
	effort.NeedsThorough(t)
	promtool(t, "", "test", "rules", filepath.Join(deploy, "alerts_test.yaml"))
}

// TestDashboard holds the dashboard to what the service tells: it asks for nothing else, and leaves nothing of Daybook's own out.
func TestDashboard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(deploy, "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	help := newWorld(t, nil).Metrics()
	shown := map[string]bool{}
	for _, p := range dashboard.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %q shows nothing", p.Title)
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("the panel %q stands out", p.Title)
		}
		for _, target := range p.Targets {
			for _, name := range metric.FindAllString(target.Expr, -1) {
				if !known(help, name) {
					t.Errorf("the panel %q asks for %s, which is no metric", p.Title, name)
				}
				shown[strings.TrimSuffix(name, "_bucket")] = true
			}
		}
	}
	for name := range help {
		if strings.HasPrefix(name, "daybook_") && !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// scrape returns what /metrics says.
func (w *world) scrape() string {
	w.t.Helper()
	data, code := w.try("", http.MethodGet, "/metrics", nil)
	if code != http.StatusOK {
		w.t.Fatalf("GET /metrics: %d %s", code, data)
	}
	return string(data)
}

// TestMetrics takes a service through a day, and reads what it tells.
func TestMetrics(t *testing.T) {
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: t.TempDir(), Org: "acme", Source: "batch", From: "auto"}}
	})
	w.people()
	w.send(event("e1", begun), event("e2", begun), event("e1", begun))
	w.call(w.sender, http.MethodPost, "/v1/events", "no JSON", http.StatusBadRequest, nil)
	w.clock.move(24 * time.Hour)
	w.heartbeat()
	w.roll()
	w.send(event("late", begun))
	text := w.scrape()
	for _, line := range []string{
		`daybook_events_total{org="acme",result="accepted",source="api"} 3`,
		`daybook_events_total{org="acme",result="duplicate",source="api"} 1`,
		`daybook_events_total{org="acme",result="rejected",source="api"} 1`,
		`daybook_intake_requests_total{code="200"} 3`,
		`daybook_intake_requests_total{code="400"} 1`,
		`daybook_seals_total{outcome="sealed",trail="audit"} 1`,
		`daybook_pending_events{trail="audit"} 1`,
		`daybook_late_events{trail="audit"} 1`,
		`daybook_overdue_seals{trail="audit"} 0`,
		`daybook_seal_number{trail="audit"} 1`,
		`daybook_trail_on{org="acme",trail="audit"} 1`,
		`daybook_conservation_difference{trail="audit"} 0`,
		`daybook_spool_stopped 0`,
		`daybook_sealing_error 0`,
		`daybook_build_info{version="daybook test"} 1`,
		fmt.Sprintf(`daybook_source_watermark_timestamp_seconds{org="acme",source="api"} %s`, float(w.clock.now())),
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	promtool(t, text, "check", "metrics")
}

// What alerts go by begins with 0, in all its series: else Prometheus would see no increase when the first one fails.
func TestCountersBeginWithNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.Expect()
	text := w.scrape()
	want := []string{
		`daybook_files_total{kind="drop",result="failed"}`, `daybook_files_total{kind="follow",result="failed"}`, `daybook_files_total{kind="file",result="failed"}`,
		`daybook_events_total{org="acme",result="rejected",source="api"}`, `daybook_events_total{org="acme",result="not_tracked",source="api"}`,
	}
	for _, operation := range []string{"preflight", "put", "head", "get", "list", "lengthen", "hold"} {
		want = append(want, fmt.Sprintf("daybook_store_errors_total{operation=%q}", operation))
	}
	codes := rows(page(t, "INTAKE.md"), `\d{3}`)
	for _, row := range codes {
		want = append(want, fmt.Sprintf("daybook_intake_requests_total{code=%q}", row[2:5]))
	}
	for _, series := range want {
		if !strings.Contains(text, "\n"+series+" 0\n") {
			t.Errorf("/metrics lacks %s 0", series)
		}
	}
	if len(codes) == 0 {
		t.Error("docs/INTAKE.md has no codes")
	}
}

// A day that could have been sealed is overdue, whatever else waits: an addendum before it, or the day after it for its source. What is sealed is not, though events came late.
func TestOverdue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.clock.move(14 * time.Hour) // the 11th, 02:00
	w.heartbeat()
	w.roll()
	w.send(event("late", begun))
	expect := func(metric int, days ...string) {
		t.Helper()
		w.heartbeat()
		var told []string
		for _, d := range w.trail().Overdue {
			told = append(told, d.String())
		}
		if diff := cmp.Diff(days, told); diff != "" {
			t.Errorf("at %s these days are overdue (-want +got):\n%s", w.clock.now(), diff)
		}
		if found := len(w.problemsOf("overdue")); found != min(metric, 1) {
			t.Errorf("at %s status tells %d times of overdue days", w.clock.now(), found)
		}
		if line := fmt.Sprintf("\ndaybook_overdue_seals{trail=\"audit\"} %d\n", metric); !strings.Contains(w.scrape(), line) {
			t.Errorf("at %s /metrics lacks %s", w.clock.now(), line)
		}
	}
	w.clock.move(24 * time.Hour) // the 12th, 02:00: the 11th is due, and late events of the 10th go with it
	expect(0)
	w.clock.move(8 * time.Hour)
	expect(1, "2026-03-11")
	w.clock.move(40 * time.Hour) // the 14th, 02:00
	if st := w.trail(); len(st.Awaiting) != 1 {
		t.Fatalf("%v wait for their source, want the 13th", st.Awaiting)
	}
	if n := len(w.trail().Overdue); n != 2 || len(w.problemsOf("overdue")) != 1 {
		t.Errorf("%d days are overdue while another waits for its source, want 2; status says %s", n, w.problems())
	}
	expect(2, "2026-03-11", "2026-03-12")
	w.roll()
	expect(0)
}

// float is a time as Prometheus writes it.
func float(at time.Time) string {
	data, err := json.Marshal(float64(at.Unix()))
	if err != nil {
		panic(err)
	}
	return regexp.MustCompile(`^(\d)(\d+?)0*$`).ReplaceAllStringFunc(string(data), func(s string) string {
		digits := strings.TrimRight(s[1:], "0")
		return fmt.Sprintf("%s.%se+%02d", s[:1], digits, len(s)-1)
	})
}

// A source whose token was revoked is waited for no more, and no alert says that it is silent.
func TestARevokedSourceIsNotSilent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	if !strings.Contains(w.scrape(), `daybook_source_watermark_timestamp_seconds{org="acme",source="api"}`) {
		t.Error("no watermark of a source that sends")
	}
	var tokens []struct{ ID string }
	w.call(w.alice, http.MethodGet, "/v1/tokens", nil, http.StatusOK, &tokens)
	w.call(w.alice, http.MethodDelete, "/v1/tokens/"+tokens[0].ID+"?reason=gone", nil, http.StatusOK, nil)
	if text := w.scrape(); strings.Contains(text, "daybook_source_watermark_timestamp_seconds{") {
		t.Error("there is a watermark of a source that may not send any more")
	}
}

// The expiry of the certificate that is served is told, and that of the one that takes its place.
func TestCertificateExpiry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	w := newWorld(t, func(c *service.Config) { c.Certificate, c.Key = cert, key })
	expires := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	certify(t, cert, key, expires)
	if strings.Contains(w.scrape(), "daybook_certificate_expiry") {
		t.Error("a certificate expires before one is served")
	}
	_, stop := w.serve()
	if line := "\ndaybook_certificate_expiry_timestamp_seconds " + float(expires) + "\n"; !strings.Contains(w.scrape(), line) {
		t.Errorf("/metrics lacks %s", line)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// certify makes a certificate that vouches for itself.
func certify(t *testing.T, certPath, keyPath string, expires time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "daybook"}, NotAfter: expires, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certPath, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, keyPath, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}
