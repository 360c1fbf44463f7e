package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/internal/effort"
	"daybook/sink/s3test"
)

// An administrator extends a lock past what the writer's policy allows. The writer may not lock the log for as long, and seals all the same. MinIO holds to the policy who lengthens a lock;
// the proxy holds those to it who put an object, as AWS does.
func TestLogLockPastThePolicy(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server := s3test.MinIO(t)
	s := newRoleStation(t, server, "writer")
	export := func(input string) (report struct {
		Days    []struct{ Outcome string }
		LogLock *struct {
			Wanted time.Time
			Days   int
		} `json:"log_lock"`
	}, text string) {
		t.Helper()
		text = s.run("writer", 0, "export", "--json", "--config", "daybook.yaml", filepath.Join(root(t), "testdata", "quickstart", input))
		if err := json.Unmarshal([]byte(text[strings.Index(text, "{\n"):strings.LastIndex(text, "}\n")+1]), &report); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		return report, text
	}
	export("day")

	s.run("root", 0, "retention", "extend", "acme", "--seals", "1", "--days", "30", "--by", "Ann", "--reason", "case 17", "--yes", "--config", "daybook.yaml")
	proxy := server.Record(t)
	proxy.Refuses = func(put *http.Request) bool { // nothing else has the header
		until, err := time.Parse(time.RFC3339, put.Header.Get("X-Amz-Object-Lock-Retain-Until-Date"))
		return err == nil && time.Until(until) > 3*24*time.Hour
	}
	s.configure(strings.ReplaceAll(bucketConfig, "endpoint: %s", "endpoint: "+proxy.URL+" # %s"))
	verify := func() string {
		return s.run("root", 0, "verify", "--config", "daybook.yaml", "--key", filepath.Join("keys", "signing.key.pub"))
	}
	r, text := export("late")
	if len(r.Days) == 0 || r.LogLock == nil || time.Until(r.LogLock.Wanted) < 29*24*time.Hour {
		t.Fatalf("%+v in\n%s", r, text)
	}
	hint := fmt.Sprintf("daybook bucket policy --role writer --max-days %d", r.LogLock.Days)
	if !strings.Contains(text, "daybook: warning: the log can't be locked as long as what it vouches for") || !strings.Contains(text, hint) {
		t.Errorf("the warning:\n%s", text)
	}
	if out := s.run("root", 0, "status", "--config", "daybook.yaml"); !strings.Contains(out, hint) {
		t.Errorf("the status:\n%s", out)
	}
	if out := verify(); !strings.Contains(out, "log-lock-short") {
		t.Errorf("verify:\n%s", out)
	}

	server.Grant(t, s.users["writer"], "audit", []byte(s.run("root", 0, "bucket", "policy", "--role", "writer", "--config", "daybook.yaml", "--server", "minio", "--max-days", fmt.Sprint(r.LogLock.Days))))
	s.configure(bucketConfig)
	if r, text := export("day"); r.LogLock != nil {
		t.Errorf("with a policy that was made anew: %+v in\n%s", r, text)
	}
	if out := verify(); strings.Contains(out, "log-lock-short") {
		t.Errorf("verify, then:\n%s", out)
	}
}
