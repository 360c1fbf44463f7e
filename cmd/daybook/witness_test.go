package main_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"daybook/internal/effort"
)

// witnessProcess is a witness that runs as a process of its own.
type witnessProcess struct {
	cmd       *exec.Cmd
	key, host string
}

func startWitness(t *testing.T, dir, listen string, logs ...string) *witnessProcess {
	t.Helper()
	args := []string{"witness", "serve", "--name", "witness.example.org", "--data", filepath.Join(dir, "witness"), "--listen", listen}
	for _, l := range logs {
		args = append(args, "--log", l)
	}
	w := &witnessProcess{cmd: exec.Command("daybook", args...)}
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill() }) // it has ended, as a rule
	lines := bufio.NewReader(out)
	for _, field := range []struct {
		prefix string
		value  *string
	}{{"witness ", &w.key}, {"listening at ", &w.host}} {
		line, err := lines.ReadString('\n')
		value, ok := strings.CutPrefix(strings.TrimSpace(line), field.prefix)
		if err != nil || !ok {
			t.Fatalf("it printed %q (%v), want %q", line, err, field.prefix)
		}
		*field.value = value
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return w
}

// stop stops it as a service manager does, and waits for it.
func (w *witnessProcess) stop(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("the witness ended with %v", err)
	}
}

// TestWitness runs a witness beside an export, stops it and starts it again, and has verify ask for its signature.
func TestWitness(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	dir := t.TempDir()
	quickstart := filepath.Join(root(t), "testdata", "quickstart")
	daybook := func(code int, args ...string) string {
		t.Helper()
		cmd := exec.Command("daybook", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("daybook %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	daybook(0, "export", filepath.Join(quickstart, "day"))
	logKey := regexp.MustCompile(`(?m)^log (\S+)$`).FindStringSubmatch(daybook(0, "key", "list"))[1]
	w := startWitness(t, dir, "127.0.0.1:0", logKey)
	config := filepath.Join(dir, "daybook.yaml")
	writeFile(t, config, fmt.Sprintf("store: {url: ./audit}\nanchors: [{name: security, witness: 'http://%s', key: '%s'}]\ntrails: [{name: audit, org: acme}]\n", w.host, w.key))
	policy := filepath.Join(dir, "policy")
	writeFile(t, policy, fmt.Sprintf("log %s\nwitness security %s\nquorum security\n", logKey, w.key))

	daybook(2, "verify", "--policy", policy) // nobody has asked the witness yet
	if out := daybook(0, "export", "--config", config, filepath.Join(quickstart, "late")); !strings.Contains(out, "anchor security (witness): has 3 leaves, taken by witness.example.org") && !strings.Contains(out, "anchor security (witness): has 4 leaves, taken by witness.example.org") {
		t.Errorf("export says\n%s", out)
	}
	if out := daybook(0, "verify", "--policy", policy); !strings.Contains(out, "head   anchored") || !strings.Contains(out, "witness.example.org") {
		t.Errorf("verify says\n%s", out)
	}

	// While it is away, sealing goes on, and status says so.
	w.stop(t)
	writeFile(t, filepath.Join(dir, "more.jsonl"), `{"id":"more","time":"2026-03-08T10:00:00Z","org":"acme","action":"file-read"}`+"\n")
	if out := daybook(0, "export", "--config", config, "more.jsonl"); !strings.Contains(out, "not the newest") {
		t.Errorf("export says\n%s", out)
	}
	if out := daybook(0, "status", "--config", config); !strings.Contains(out, "not the newest") {
		t.Errorf("status says\n%s", out)
	}
	daybook(2, "verify", "--policy", policy)

	// It remembers what it signed, and signs what follows.
	w = startWitness(t, dir, w.host, logKey)
	daybook(0, "export", "--config", config, "more.jsonl")
	daybook(0, "verify", "--policy", policy)
	w.stop(t)
}
