package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serviceProcess is a daybook serve that runs behind a script.
type serviceProcess struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	read   chan struct{}
}

// startServe starts daybook serve in the background and waits until it serves. Its address is in $ADDRESS then. What it logs is in the file serve.log once it has stopped.
func startServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serve ARG…")
	}
	cmd := exec.Command("daybook", append([]string{"serve"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "PATH", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	p := &serviceProcess{cmd: cmd, stderr: &bytes.Buffer{}, read: make(chan struct{})}
	cmd.Stderr = p.stderr
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			<-p.read
			_ = cmd.Wait()
		}
	})
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		close(p.read)
		_ = cmd.Wait()
		ts.Fatalf("daybook serve ended with %v:\n%s", cmd.ProcessState, p.stderr)
	}
	address, ok := strings.CutPrefix(lines.Text(), "serving at ")
	if !ok {
		ts.Fatalf("daybook serve said %q", lines.Text())
	}
	go func() {
		defer close(p.read)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	ts.Setenv("ADDRESS", address)
	services[ts.Getenv("WORK")] = p
}

// services are those that scripts have started, by their work folder. Scripts run in parallel only where they say so, and none of these does.
var services = map[string]*serviceProcess{}

// stopServe stops the service that serve has started, which is to end well; its log is in serve.log. With an argument that signal is sent: KILL, or HUP, which does
// not stop it.
func stopServe(ts *testscript.TestScript, neg bool, args []string) {
	p := services[ts.Getenv("WORK")]
	if neg || p == nil || len(args) > 1 {
		ts.Fatalf("usage: stop [HUP|KILL], after serve")
	}
	sig := syscall.SIGTERM
	if len(args) == 1 {
		sig = map[string]syscall.Signal{"HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[0]]
	}
	ts.Check(p.cmd.Process.Signal(sig))
	if sig == syscall.SIGHUP {
		return
	}
	<-p.read
	err := p.cmd.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("serve.log"), p.stderr.Bytes(), 0o600))
	if sig == syscall.SIGTERM {
		if err != nil {
			ts.Fatalf("daybook serve: %v:\n%s", err, p.stderr)
		}
		if left, _ := filepath.Glob(ts.MkAbs("*/daybook.sock")); len(left) > 0 {
			ts.Fatalf("left behind: %v", left)
		}
	}
}

// ago sets variables to days before today: ago NAME=DAYS…
func ago(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: ago NAME=DAYS…")
	}
	for _, arg := range args {
		name, text, _ := strings.Cut(arg, "=")
		n, err := strconv.Atoi(text)
		ts.Check(err)
		ts.Setenv(name, time.Now().UTC().AddDate(0, 0, -n).Format(time.DateOnly))
	}
}

// expand writes a file with its variables replaced: expand FROM TO.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expand FROM TO")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// request sends a request to the service: request CODE METHOD PATH [TOKEN-FILE [BODY-FILE]]. The answer is in stdout.
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 5 {
		ts.Fatalf("usage: request CODE METHOD PATH [TOKEN-FILE [BODY-FILE]]")
	}
	var body io.Reader = http.NoBody
	if len(args) == 5 {
		body = strings.NewReader(ts.ReadFile(args[4]))
	}
	req, err := http.NewRequest(args[1], "http://"+ts.Getenv("ADDRESS")+args[2], body)
	ts.Check(err)
	if len(args) > 3 {
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(ts.ReadFile(args[3])))
	}
	client := &http.Client{Timeout: time.Minute}
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(data)
	ts.Check(err)
	if got := fmt.Sprint(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s %s: %s, want %s\n%s", args[1], args[2], got, args[0], data)
	}
}
