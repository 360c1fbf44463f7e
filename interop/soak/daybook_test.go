package soak_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build builds the command, with the race detector if that is asked for.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "daybook")
	args, cgo := []string{"build", "-o", path}, "CGO_ENABLED=0"
	if os.Getenv(envRace) != "" {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	cmd := exec.Command("go", append(args, "./cmd/daybook")...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// process is a daybook serve.
type process struct {
	cmd     *exec.Cmd
	serving chan struct{} // closed once it serves
	ended   chan struct{} // closed when it has ended, and err is set
	err     error
	log     string // the file that it logs to
}

const (
	// startTime is long: a store that is stalled holds the start up, and so does a busy machine.
	startTime = 2 * time.Minute
	stopTime  = 2 * time.Minute
)

// startProcess starts daybook serve.
func startProcess(binary, log string, env []string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	p := &process{cmd: exec.Command(binary, append([]string{"serve"}, args...)...), serving: make(chan struct{}), ended: make(chan struct{}), log: log}
	p.cmd.Env, p.cmd.Stderr = env, out
	dieWithParent(p.cmd)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		lines := bufio.NewReader(stdout)
		if line, _ := lines.ReadString('\n'); strings.HasPrefix(line, "serving at ") {
			close(p.serving)
		}
		_, _ = io.Copy(io.Discard, lines) // until it has ended
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// wait waits until it serves.
func (p *process) wait() error {
	select {
	case <-p.serving:
		return nil
	case <-p.ended:
		return fmt.Errorf("daybook serve ended before it served: %w\n%s", p.err, p.tail())
	case <-time.After(startTime):
		return fmt.Errorf("daybook serve does not serve after %v\n%s", startTime, p.tail())
	}
}

// kill ends it at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// stop asks it to stop, which it is to do well.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("daybook serve was asked to stop: %w\n%s", p.err, p.tail())
		}
		return nil
	case <-time.After(stopTime):
		p.stacks()
		return fmt.Errorf("daybook serve does not stop within %v\n%s", stopTime, p.tail())
	}
}

// stacks has it say in its log what it is doing, and ends it.
func (p *process) stacks() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended
	<-p.ended
}

// fault tells what went wrong though nobody asked for it: that it ended, or that it has raced.
func (p *process) fault() error {
	select {
	case <-p.ended:
		return fmt.Errorf("daybook serve ended: %w\n%s", p.err, p.tail())
	default:
		return nil
	}
}

// tail is the end of its log.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-8<<10):])
}

// raced returns what the race detector has said; blank if nothing.
func raced(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	if i := bytes.Index(data, []byte("WARNING: DATA RACE")); i >= 0 {
		return string(data[i:min(len(data), i+16<<10)])
	}
	return ""
}

// run runs the command to its end, and returns what it said and its exit code.
func run(binary string, env []string, args ...string) (stdout, stderr string, code int, err error) {
	cmd := exec.Command(binary, args...)
	cmd.Env = env
	dieWithParent(cmd)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return out.String(), errs.String(), exit.ExitCode(), nil
	}
	return out.String(), errs.String(), 0, err
}
