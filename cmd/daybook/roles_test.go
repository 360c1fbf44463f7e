package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"daybook/internal/effort"
	"daybook/sink/s3test"
)

// roleStation is a folder with a configuration for each role at one bucket, and users with the policies that `daybook bucket policy` prints.
type roleStation struct {
	t      *testing.T
	server *s3test.Server
	dir    string
	users  map[string]s3test.User
	env    []string // beside what every command has
}

// newRoleStation makes the bucket as the root user, and a user for each role.
func newRoleStation(t *testing.T, server *s3test.Server, roles ...string) *roleStation {
	t.Helper()
	s := &roleStation{t: t, server: server, dir: t.TempDir(), users: map[string]s3test.User{"root": {AccessKey: server.AccessKey, SecretKey: server.SecretKey}}}
	s.configure(bucketConfig)
	s.run("root", 0, "bucket", "create", "--config", "daybook.yaml")
	for _, role := range roles {
		s.users[role] = server.AddUser(t, role)
		s.grant(role)
	}
	return s
}

// grant gives a role the policy that is printed for it under the configuration as it is.
func (s *roleStation) grant(role string) {
	s.t.Helper()
	args := []string{"bucket", "policy", "--role", role, "--config", "daybook.yaml", "--server", s.server.Name()}
	if s.server.Name() == "versitygw" {
		args = append(args, "--principal", role)
	}
	s.server.Grant(s.t, s.users[role], "audit", []byte(s.run("root", 0, args...)))
}

func (s *roleStation) configure(text string) {
	s.t.Helper()
	writeFile(s.t, filepath.Join(s.dir, "daybook.yaml"), fillConfig(text, s.server, s.dir))
}

// run runs a command as a user, holds it to its exit code, and returns what it printed.
func (s *roleStation) run(as string, code int, args ...string) string {
	s.t.Helper()
	cmd := exec.Command("daybook", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "AWS_EC2_METADATA_DISABLED=true",
		"TEST_ACCESS_KEY="+s.users[as].AccessKey, "TEST_SECRET_KEY="+s.users[as].SecretKey)
	cmd.Env = append(cmd.Env, s.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		s.t.Fatalf("daybook %s as %s: %v, want exit code %d\n%s%s", strings.Join(args, " "), as, err, code, stdout.String(), stderr.String())
	}
	return stdout.String() + stderr.String()
}

// both runs a test on both servers.
func both(t *testing.T, test func(t *testing.T, server *s3test.Server)) {
	for name, start := range map[string]func(testing.TB) *s3test.Server{"MinIO": s3test.MinIO, "versitygw": s3test.VersityGWTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// TestRoles has a writer seal and a verifier verify, each with the policy that is printed for it and no other right.
func TestRoles(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	quickstart := filepath.Join(root(t), "testdata", "quickstart")
	both(t, func(t *testing.T, server *s3test.Server) {
		s := newRoleStation(t, server, "writer", "reader", "verifier")
		s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(quickstart, "day"))
		s.run("writer", 0, "import", "--config", "daybook.yaml", filepath.Join(quickstart, "late"))
		s.run("writer", 0, "roll", "--config", "daybook.yaml")
		key := filepath.Join("keys", "signing.key.pub")
		for _, as := range []string{"verifier", "writer"} { // the service verifies daily, with the writer's rights
			out := s.run(as, 0, "verify", "--deep", "--config", "daybook.yaml", "--key", key)
			if !strings.Contains(out, "locks") {
				t.Errorf("verify as %s:\n%s", as, out)
			}
		}
		writeFile(t, filepath.Join(s.dir, "new.jsonl"), `{"id":"n1","time":"2026-03-12T08:00:00Z","org":"acme","action":"login"}`+"\n")
		for _, as := range []string{"reader", "verifier"} { // neither can seal
			if out := s.run(as, 1, "export", "--config", "daybook.yaml", "--data", as, "new.jsonl"); !strings.Contains(out, "403") {
				t.Errorf("export as %s:\n%s", as, out)
			}
		}
		if n := len(server.Versions(t, "audit", "prod/")); n < 20 {
			t.Errorf("%d versions", n)
		}
	})
}

// A bucket that was tried in governance mode is raised to compliance mode, as is the usual way, by a writer who may not bypass.
func TestModeIsRaised(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	quickstart := filepath.Join(root(t), "testdata", "quickstart")
	both(t, func(t *testing.T, server *s3test.Server) {
		s := newRoleStation(t, server, "verifier")
		for _, step := range []struct{ mode, input string }{{"governance", "day"}, {"compliance", "late"}} {
			s.configure(strings.Replace(bucketConfig, "mode: compliance", "mode: "+step.mode, 1))
			if s.users["writer"].AccessKey == "" {
				s.users["writer"] = server.AddUser(t, "writer")
			}
			s.grant("writer")
			s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(quickstart, step.input))
		}
		verified := s.run("verifier", 0, "verify", "--config", "daybook.yaml", "--key", filepath.Join("keys", "signing.key.pub"))
		if !strings.Contains(verified, "locks in force") {
			t.Errorf("verify:\n%s", verified)
		}
	})
}
