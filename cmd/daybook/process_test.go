//go:build unix

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a daybook serve that runs beside a test, in a folder that is its home, too.
type process struct {
	dir     string
	cmd     *exec.Cmd
	address string
	stderr  bytes.Buffer
	read    chan struct{}
}

// serviceFile writes daybook.yaml into a folder: a service with the trail audit of acme, and what else is given of it.
func serviceFile(t *testing.T, dir, more string) string {
	t.Helper()
	path := filepath.Join(dir, "daybook.yaml")
	writeFile(t, path, "trails: [{name: audit, org: acme, formats: [csv]}]\ndata: data\nstore: {url: ./audit}\nservice: {listen: '127.0.0.1:0', schedule: '@yearly'}\n"+more)
	return path
}

// environment is the test's, with a folder as the home.
func environment(dir string) []string {
	return append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "DAYBOOK_TOKEN=")
}

// startProcess starts a command that is a daybook serve, or leads to one, and waits until it serves.
func startProcess(t *testing.T, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{dir: dir, cmd: exec.Command(name, args...), read: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, append(environment(dir), env...), &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.kill(t)
		}
	})
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	go func() {
		defer close(p.read)
		_, _ = io.Copy(io.Discard, lines)
	}()
	var ok bool
	if p.address, ok = strings.CutPrefix(strings.TrimSpace(line), "serving at "); err != nil || !ok {
		p.kill(t)
		t.Fatalf("%s %v printed %q (%v), and ended with %v:\n%s", name, args, line, err, p.cmd.ProcessState, p.stderr.String())
	}
	return p
}

// signal sends a signal to the process and those that it started.
func (p *process) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		t.Fatal(err)
	}
}

// stop stops it as a service manager does. It must end well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	<-p.read
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("daybook serve ended with %v:\n%s", err, p.stderr.String())
	}
}

// kill ends it at once.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.read
	_ = p.cmd.Wait() // it was killed
}

// run runs another command beside it, which must end well, and returns what it prints.
func (p *process) run(t *testing.T, args ...string) string {
	t.Helper()
	return runIn(t, p.dir, 0, args...)
}

// runIn runs a command in a folder, which must end with that exit code, and returns what it prints: to standard output, or, of one that fails, all.
func runIn(t *testing.T, dir string, code int, args ...string) string {
	t.Helper()
	// One that must refuse to serve, and serves, would never end.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "daybook", args...)
	cmd.Dir, cmd.Env = dir, environment(dir)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("daybook %v: %v, want exit code %d\n%s%s", args, err, code, stdout.String(), stderr.String())
	}
	if code != 0 {
		return stdout.String() + stderr.String()
	}
	return stdout.String()
}
