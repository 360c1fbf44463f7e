package main_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3test"
)

// TestDoctor tries a bucket with the writer's credentials and root's, and has verify pass over what is left.
func TestDoctor(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	both(t, func(t *testing.T, server *s3test.Server) {
		s := newRoleStation(t, server, "writer")
		s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(root(t), "testdata", "quickstart", "day"))
		before := len(server.Versions(t, "audit", ""))
		if out := s.run("writer", 0, "doctor", "--short", "--config", "daybook.yaml"); !strings.Contains(out, ".pem is locked, COMPLIANCE until ") || strings.Contains(out, "lock-kept") {
			t.Errorf("doctor in short:\n%s", out)
		}
		if after := len(server.Versions(t, "audit", "")); after != before {
			t.Errorf("doctor in short left %d objects", after-before)
		}
		out := s.run("writer", 0, "doctor", "--config", "daybook.yaml", "--lock", "3s")
		if !strings.Contains(out, "throw-away objects remain below doctor/") || strings.Contains(out, "fail ") {
			t.Errorf("doctor as the writer:\n%s", out)
		}
		if out := s.run("writer", 0, "verify", "--config", "daybook.yaml"); !strings.Contains(out, "throw-away") {
			t.Errorf("verify after it:\n%s", out)
		}
		var report struct {
			Schema   int
			ExitCode int `json:"exit_code"`
			Findings []struct{ Check, Status, Text string }
			Remains  []struct{ Key string }
		}
		if err := json.Unmarshal([]byte(s.run("root", 1, "doctor", "--json", "--lock", "3s", "--config", "daybook.yaml")), &report); err != nil {
			t.Fatal(err)
		}
		if report.Schema != 1 || report.ExitCode != 1 || len(report.Findings) != 28 || len(report.Remains) != 0 {
			t.Errorf("the report is %+v", report)
		}
		if out := s.run("root", 0, "doctor", "--sweep", "--config", "daybook.yaml"); !strings.Contains(out, " 0 are still locked") || strings.HasPrefix(out, "0 ") {
			t.Errorf("sweep:\n%s", out)
		}
		if out := s.run("writer", 0, "verify", "--config", "daybook.yaml"); strings.Contains(out, "throw-away") {
			t.Errorf("verify after the sweep:\n%s", out)
		}
		if server.Name() != "minio" { // the other has no lifecycle
			return
		}
		// A start tells what is wrong, and seals.
		server.SetLifecycle(t, "audit", sink.ExpiryRule{ID: "evil", Prefix: "prod/", Days: 1})
		out = s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(root(t), "testdata", "quickstart", "late"))
		if strings.Count(out, "daybook: warning: the ") != 1 || !strings.Contains(out, `daybook: warning: the lifecycle rule "evil" removes what lies below seals/, which must stay (check lifecycle, status fail, hint `) {
			t.Errorf("a start with a rule that comes too early:\n%s", out)
		}
	})
}

// TestDoctorModes tries each mode that a class has; --mode is the only one, whatever the classes say.
func TestDoctorModes(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newRoleStation(t, s3test.MinIO(t))
	s.configure(strings.Replace(bucketConfig, "hot_days: 1}]", "hot_days: 1}, {class: short, event_types: ['x:*'], hot_days: 1, mode: governance}]", 1))
	modes := func(args ...string) (got []string) {
		var report struct {
			Findings []struct{ Check, Mode, Status string }
		}
		out := s.run("root", 1, append([]string{"doctor", "--json", "--lock", "2s", "--config", "daybook.yaml"}, args...)...)
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Findings {
			if f.Check == "shorten-bypass" {
				got = append(got, strings.TrimSpace(f.Status+" "+f.Mode))
			}
		}
		return got
	}
	if diff := cmp.Diff([]string{"pass COMPLIANCE", "fail GOVERNANCE"}, modes()); diff != "" {
		t.Errorf("without --mode (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"pass"}, modes("--mode", "compliance")); diff != "" {
		t.Errorf("with --mode compliance (-want +got):\n%s", diff)
	}
}
