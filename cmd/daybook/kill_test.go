package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
	"daybook/internal/effort"
	"daybook/sink/s3test"
)

// build builds the command as it is delivered, and returns its path.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "daybook")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// delivered returns the path of the command as it is delivered, for tests that have it work with servers for long. The race detector sees nothing of it,
// and so they are left out where that runs, and make thorough runs them.
func delivered(t *testing.T) string {
	t.Helper()
	effort.NeedsThorough(t)
	return build(t)
}

// command returns the path of the command: as it is delivered in make test, while plain go test spares the time to link it and takes the test's own
// binary, which is the command where it is called so (TestMain). TestBinaryIsStatic builds it all the same.
func command(t *testing.T) string {
	t.Helper()
	if effort.Thorough() || raced() {
		return build(t)
	}
	t.Log("the test's own binary stands for the command: make test builds it")
	path, err := exec.LookPath("daybook")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// raced reports whether the tests are built with the race detector. What it sees costs more memory than tests allow the command.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// kills is how often an export is killed.
const kills = 200

// TestKilledExportsConverge kills an export at random moments, starts it again until it gets through, with its data folder or without it, and looks at
// what then is in the bucket.
func TestKilledExportsConverge(t *testing.T) {
	t.Parallel()
	binary, dir := delivered(t), t.TempDir()
	server := s3test.MinIO(t)
	server.CreateBucket(t, "audit", true)
	input := filepath.Join(dir, "events.jsonl")
	want := map[string]bool{}
	var lines []string
	for n := range 6000 {
		id := fmt.Sprintf("event-%d", n)
		want[id] = true
		at := time.Date(2026, 3, 1+n%4, n%24, n%60, n%59, n, time.UTC)
		lines = append(lines, fmt.Sprintf(`{"id":%q,"time":%q,"action":"file-read","actor_id":"user-%d","info":{"n":%d}}`, id, at.Format(time.RFC3339Nano), n%17, n))
	}
	rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	lines = append(lines, lines[:100]...) // duplicates
	writeFile(t, input, strings.Join(lines, "\n"))

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	killed, longest := 0, time.Duration(0)
	for round := 0; killed < kills; round++ {
		prefix := fmt.Sprintf("round-%d", round)
		config := filepath.Join(dir, prefix+".yaml")
		writeFile(t, config, fmt.Sprintf(`
store:
  url: s3://audit/%s
  endpoint: %s
  region: %s
  mode: compliance
  access_key_env: TEST_ACCESS_KEY
  secret_key_env: TEST_SECRET_KEY
  retention_policies: [{class: standard, default: true, hot_days: 1}]
as_of: 2026-03-20
data: %s
key: %s
`, prefix, server.URL, server.Region, filepath.Join(dir, prefix), filepath.Join(dir, "keys", "signing.key")))
		var started time.Time
		for attempt := 0; ; attempt++ {
			cmd := exec.Command(binary, "export", "--json", "--config", config, input)
			cmd.Env = append(os.Environ(), "TEST_ACCESS_KEY="+server.AccessKey, "TEST_SECRET_KEY="+server.SecretKey)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			started = time.Now()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stop := func() bool { return false }
			// The first run of all goes through, to learn how long one takes. Later ones live long enough, in the end, to get through.
			if longest > 0 && attempt < 12 && killed < kills {
				timer := time.AfterFunc(time.Duration(random.Int64N(int64(longest))), func() { _ = cmd.Process.Kill() })
				stop = timer.Stop
			}
			err := cmd.Wait()
			if stop(); err == nil {
				checkCounts(t, stdout.Bytes(), len(lines))
				break
			}
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Exited() {
				t.Fatalf("round %d: %v\n%s", round, err, stderr.String())
			}
			killed++
			if random.IntN(4) == 0 {
				if err := os.RemoveAll(filepath.Join(dir, prefix)); err != nil {
					t.Fatal(err)
				}
			}
		}
		longest = max(longest, time.Since(started))
		checkBucket(t, server, prefix, want)
		verify := exec.Command(binary, "verify", "--deep", "--config", config, "--key", filepath.Join(dir, "keys", "signing.key.pub"))
		verify.Env = append(os.Environ(), "TEST_ACCESS_KEY="+server.AccessKey, "TEST_SECRET_KEY="+server.SecretKey)
		if out, err := verify.CombinedOutput(); err != nil {
			t.Errorf("verify: %v\n%s", err, out)
		}
		if t.Failed() {
			t.Fatalf("after %d kills", killed)
		}
	}
	t.Logf("killed %d times", killed)
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkCounts(t *testing.T, report []byte, read int) {
	t.Helper()
	var r struct{ Read, Written, Duplicates, Pending int }
	if err := json.Unmarshal(report, &r); err != nil {
		t.Fatal(err)
	}
	if r.Read != read || r.Written+r.Duplicates != read || r.Pending != 0 {
		t.Errorf("counts: %+v, want %d read", r, read)
	}
}

// checkBucket checks that no object has two versions, that every seal holds, and that each event is in the evidence once.
func checkBucket(t *testing.T, server *s3test.Server, prefix string, want map[string]bool) {
	t.Helper()
	for _, v := range server.Versions(t, "audit", prefix+"/") {
		if !v.Latest || v.DeleteMarker {
			t.Errorf("%s has more than one version", v.Key)
		}
	}
	read := func(key string) []byte { return server.Read(t, "audit", prefix+"/"+key) }
	found := map[string]int{}
	days := 0
	for n := uint64(1); ; n++ {
		data := read(seal.ManifestKey("audit", n))
		if data == nil {
			break
		}
		days++
		m, err := seal.ParseManifest(data)
		if err != nil {
			t.Fatal(err)
		}
		if read(seal.NoteKey("audit", n)) == nil {
			t.Errorf("seal %d has no note", n)
		}
		for _, f := range m.Files {
			content := read(f.Key)
			if seal.Sum(content) != f.SHA256 {
				t.Errorf("%s has another SHA-256 than its manifest says", f.Key)
			}
			if f.Format == "jsonl" {
				countIDs(t, content, found)
			}
		}
	}
	var wrong []string
	for id := range want {
		if found[id] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s %d times", id, found[id]))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 || len(found) != len(want) || days != 4 {
		t.Errorf("%s: %d seals, %d of %d events; wrong: %.300v", prefix, days, len(found), len(want), wrong)
	}
}

func countIDs(t *testing.T, content []byte, found map[string]int) {
	t.Helper()
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	rows, err := z.DecodeAll(content, nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(rows) {
		var e struct{ ID string }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		found[e.ID]++
	}
}
