package main_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"daybook/sink/s3test"
)

// TestDoctor tries a bucket with the writer's credentials and root's, and has verify pass over what is left.
func TestDoctor(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, server *s3test.Server) {
		s := newRoleStation(t, server, "writer")
		s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(root(t), "testdata", "quickstart", "day"))
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
		if report.Schema != 1 || report.ExitCode != 1 || len(report.Findings) != 25 || len(report.Remains) != 0 {
			t.Errorf("the report is %+v", report)
		}
		if out := s.run("root", 0, "doctor", "--sweep", "--config", "daybook.yaml"); !strings.Contains(out, " 0 are still locked") || strings.HasPrefix(out, "0 ") {
			t.Errorf("sweep:\n%s", out)
		}
		if out := s.run("writer", 0, "verify", "--config", "daybook.yaml"); strings.Contains(out, "throw-away") {
			t.Errorf("verify after the sweep:\n%s", out)
		}
	})
}
