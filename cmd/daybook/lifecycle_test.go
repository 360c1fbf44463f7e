package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daybook/internal/effort"
	"daybook/sink/s3test"
)

// lifecycleConfig is bucketConfig with a tier. Its bucket is on a second server.
var lifecycleConfig = strings.Replace(bucketConfig, "hot_days: 1}]", "hot_days: 1, warm_days: 30, warm_storage: WARM}]\n"+
	"  tiers: [{name: WARM, url: s3://warm, endpoint: TIER, region: us-east-1, path_style: true, profile: tier}]", 1)

// TestLifecycle gives a bucket its rules, and refuses a tier that would not hold what moves there.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server, second := s3test.MinIO(t), s3test.MinIO(t)
	s := newRoleStation(t, server, "writer")
	s.configure(strings.ReplaceAll(lifecycleConfig, "TIER", second.URL))
	s.grant("writer") // which may lock for longer now
	if err := os.Mkdir(filepath.Join(s.dir, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.dir, ".aws", "credentials"), "[tier]\naws_access_key_id="+second.AccessKey+"\naws_secret_access_key="+second.SecretKey+"\n")
	fails := func(as, text, hint string, args ...string) {
		t.Helper()
		if out := s.run(as, 1, args...); !strings.Contains(out, text) || !strings.Contains(out, "daybook: hint: ") || !strings.Contains(out, hint) {
			t.Errorf("%v as %s:\n%s\nwant %q and %q", args, as, out, text, hint)
		}
	}
	plan := []string{"bucket", "plan", "--config", "daybook.yaml"}
	apply := []string{"bucket", "apply", "--yes", "--config", "daybook.yaml"}
	fails("root", "tier WARM: s3://warm", "bucket create --tier WARM --config", plan...)
	create := []string{"bucket", "create", "--tier", "WARM", "--config", "daybook.yaml"}
	if out := s.run("root", 0, create...); !strings.Contains(out, "s3://warm was made") || len(second.Versions(t, "warm", "")) != 0 {
		t.Errorf("the tier's bucket:\n%s", out)
	}
	fails("root", "0 days, and COMPLIANCE for 30 days is needed", "bucket create --tier WARM --mode compliance --days 30 --config", apply...)
	server.MinIOTier(t, "WARM", second, "warm")
	s.run("root", 0, append(create, "--mode", "compliance", "--days", "30")...)
	for text, args := range map[string][]string{
		"store.tiers has no COLD": {"--tier", "COLD", "--config", "daybook.yaml"}, "is in the configuration": {"--tier", "WARM"}, "not both": {"--tier", "WARM", "--config", "daybook.yaml", "s3://warm"},
	} {
		if out := s.run("root", 2, append([]string{"bucket", "create"}, args...)...); !strings.Contains(out, text) || !strings.Contains(out, "daybook: hint: ") {
			t.Errorf("%v:\n%s\nwant %q", args, out, text)
		}
	}

	if out := s.run("writer", 3, plan...); !strings.Contains(out, "17 rules to add, 0 to change, 0 to remove; 0 are right, 0 of others stay") {
		t.Errorf("the plan is\n%s", out)
	}
	fails("writer", "403", "s3:PutLifecycleConfiguration", apply...)
	fails("root", "nothing was done", "--yes", "bucket", "apply", "--config", "daybook.yaml") // nobody answers
	if out := s.run("root", 0, apply...); !strings.HasSuffix(out, "done\n") {
		t.Errorf("apply:\n%s", out)
	}
	var p struct {
		Differs, Supported bool
		Rules              []struct{ Action, ID, After string }
		Tiers              []struct {
			Name  string
			Days  int
			Holds bool
		}
	}
	if err := json.Unmarshal([]byte(s.run("writer", 0, append(plan, "--json")...)), &p); err != nil {
		t.Fatal(err)
	}
	if p.Differs || !p.Supported || len(p.Rules) != 17 || len(p.Tiers) != 1 || !p.Tiers[0].Holds || p.Tiers[0].Days != 30 {
		t.Errorf("once applied: %+v", p)
	}
	s.run("root", 0, apply...) // there is nothing to do
	s.configure(strings.ReplaceAll(strings.Replace(lifecycleConfig, "warm_days: 30", "warm_days: 20", 1), "TIER", second.URL))
	if out := s.run("root", 0, apply...); !strings.Contains(out, "0 rules to add, 0 to change") || !strings.Contains(out, "5 rules remove files later than the policies say") {
		t.Errorf("with a shorter policy:\n%s", out)
	}
	if out := s.run("root", 0, append(apply, "--shorten")...); !strings.Contains(out, "5 to change") || strings.Contains(out, "longer") {
		t.Errorf("with --shorten:\n%s", out)
	}
	s.configure(strings.ReplaceAll(lifecycleConfig, "TIER", second.URL))
	s.run("root", 0, apply...)
	s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(root(t), "testdata", "quickstart", "day"))
	s.run("writer", 0, "verify", "--deep", "--config", "daybook.yaml", "--key", filepath.Join("keys", "signing.key.pub"))
}

// TestNoLifecycle tells what a server without lifecycle rules will not do.
func TestNoLifecycle(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	s := newRoleStation(t, s3test.VersityGW(t), "writer")
	s.configure(strings.ReplaceAll(lifecycleConfig, "TIER", "http://127.0.0.1:1"))
	for _, command := range []string{"plan", "apply"} {
		out := s.run("writer", 0, "bucket", command, "--config", "daybook.yaml")
		if !strings.Contains(out, "this server has no lifecycle rules") || !strings.Contains(out, "s3://audit/prod/csv/class=standard: not to WARM after 1 days, not removed after 31 days") {
			t.Errorf("%s:\n%s", command, out)
		}
	}
}
