package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/sink/s3test"
)

// bucketConfig is an installation whose store is a bucket. fillConfig fills in the server, and the folder that data and keys are in.
const bucketConfig = `
trails: [{name: acme, org: acme}]
store:
  url: s3://audit/prod
  endpoint: %s
  region: %s
  ca_file: %q
  path_style: true
  mode: compliance
  access_key_env: TEST_ACCESS_KEY
  secret_key_env: TEST_SECRET_KEY
  retention_policies: [{class: standard, default: true, hot_days: 1}]
data: %s
key: %s
`

func fillConfig(text string, server *s3test.Server, dir string) string {
	return fmt.Sprintf(text, server.URL, server.Region, server.CAFile, filepath.Join(dir, "data"), filepath.Join(dir, "keys", "signing.key"))
}

// realDay is a day of real CloudTrail files, 2,122 events.
func realDay(t *testing.T) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "data", "cloudtrail", "invictus-20230710")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("skipped: the real audit data is not at ../shared: %v", err)
	}
	return path
}

// TestExportIntoLockedBuckets makes a bucket with the command and exports a day into it, on both servers.
func TestExportIntoLockedBuckets(t *testing.T) {
	t.Parallel()
	day := realDay(t)
	binary := delivered(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"MinIO": s3test.MinIO, "versitygw": s3test.VersityGWTLS} {
		t.Run(name, func(t *testing.T) {
			server, dir := start(t), t.TempDir()
			config := filepath.Join(dir, "daybook.yaml")
			writeFile(t, config, fillConfig(strings.Replace(bucketConfig, "trails: [{name: acme, org: acme}]\n", "", 1), server, dir))
			daybook := func(args ...string) []byte {
				t.Helper()
				cmd := exec.Command(binary, args...)
				cmd.Env = append(os.Environ(), "TEST_ACCESS_KEY="+server.AccessKey, "TEST_SECRET_KEY="+server.SecretKey)
				out, err := cmd.Output()
				if exit, ok := errors.AsType[*exec.ExitError](err); ok {
					t.Fatalf("daybook %v: %v\n%s", args, err, exit.Stderr)
				} else if err != nil {
					t.Fatal(err)
				}
				return out
			}
			daybook("bucket", "create", "--config", config)
			before := time.Now()
			for run, written := range []int64{2122, 0} {
				var r struct{ Written, Duplicates int64 }
				if err := json.Unmarshal(daybook("export", "--json", "--config", config, day), &r); err != nil {
					t.Fatal(err)
				}
				if r.Written != written || r.Written+r.Duplicates != 2122 {
					t.Errorf("run %d: %+v", run, r)
				}
			}
			versions := server.Versions(t, "audit", "prod/")
			if len(versions) != 12 { // five formats, manifest, note and key; the log's step, entries, tile and checkpoint
				t.Errorf("%d objects: %v", len(versions), versions)
			}
			for _, v := range versions {
				if mode, until := server.Lock(t, "audit", v); mode != "COMPLIANCE" || until.Before(before.Add(24*time.Hour-time.Second)) {
					t.Errorf("%s is locked %q until %v", v.Key, mode, until)
				}
			}
			var report struct {
				ExitCode int `json:"exit_code"`
				Levels   struct {
					Files struct{ Intact, Deep, Locks bool }
					Chain struct{ Intact, Signed, Logged bool }
				}
				Counts struct{ Compared int64 }
			}
			if err := json.Unmarshal(daybook("verify", "--json", "--deep", "--config", config, "--key", filepath.Join(dir, "keys", "signing.key.pub")), &report); err != nil {
				t.Fatal(err)
			}
			if l := report.Levels; report.ExitCode != 0 || !l.Files.Intact || !l.Files.Deep || !l.Files.Locks || !l.Chain.Intact || !l.Chain.Signed || !l.Chain.Logged || report.Counts.Compared != 4*2122 {
				t.Errorf("verify says %+v", report)
			}
			// What is in front of a sealed file shows, though nothing of it was lost.
			server.Hide(t, "audit", versions[0].Key)
			cmd := exec.Command(binary, "verify", "--config", config)
			cmd.Env = append(os.Environ(), "TEST_ACCESS_KEY="+server.AccessKey, "TEST_SECRET_KEY="+server.SecretKey)
			if out, _ := cmd.Output(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "delete-marker") {
				t.Errorf("with a delete marker in front of %s verify ends with %d:\n%s", versions[0].Key, cmd.ProcessState.ExitCode(), out)
			}
		})
	}
}
