package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"daybook/batch"
	"daybook/service"
)

// station is a machine on which daybook serve runs, and what was sent to it.
type station struct {
	*machine
	t      *testing.T
	token  string // of the sender
	days   []string
	made   int
	due    []string        // events that were sent and not acknowledged, or not sent yet
	known  map[string]bool // ids of those that were acknowledged
	client *http.Client
}

// newStation makes a service with a trail that is on and takes a backfill of three days that are over.
func newStation(t *testing.T) *station {
	t.Helper()
	s := &station{machine: newMachine(t, command(t)), t: t, known: map[string]bool{}, client: &http.Client{Timeout: time.Minute}}
	for n := 2; n <= 4; n++ {
		s.days = append(s.days, time.Now().UTC().AddDate(0, 0, -n).Format(time.DateOnly))
	}
	writeFile(t, s.path("daybook.yaml"), fmt.Sprintf(`
trails: [{name: audit, org: acme, formats: [csv]}]
data: %q
key: %q
store: {url: %q}
service: {listen: "127.0.0.1:0", schedule: "@yearly"}
`, s.path("data"), s.path("keys", "signing.key"), s.path("out")))
	p := s.serve()
	if p == nil {
		t.Fatal("the service does not start")
	}
	s.local("/v1/trails/audit/enable", fmt.Sprintf(`{"since":%q}`, s.days[2]), nil)
	var made service.Made
	s.local("/v1/tokens", `{"org":"acme","source":"api"}`, &made)
	s.token = made.Secret
	p.stop(t)
	return s
}

// serving is a daybook serve, which may be under strace, and may die.
type serving struct {
	cmd     *exec.Cmd
	address string
	stderr  bytes.Buffer // read it once ended is closed
	ended   chan struct{}
}

// serve starts the service, under strace if it is told what to do to system calls; nil if it ended before it served.
func (s *station) serve(inject ...string) *serving {
	s.t.Helper()
	args := append(inject, s.binary, "serve", "--config", s.path("daybook.yaml"))
	if len(inject) > 0 {
		// The tracer is a grandchild: what we start, and wait for, is daybook itself.
		args = append([]string{"strace", "-D", "-f", "-qq", "-o", "/dev/null"}, args...)
	}
	p := &serving{cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = s.dir, append(os.Environ(), "HOME="+s.dir), &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	serves := lines.Scan()
	p.address = "http://" + strings.TrimPrefix(lines.Text(), "serving at ")
	go func() {
		defer close(p.ended)
		_, _ = io.Copy(io.Discard, stdout)
		_ = p.cmd.Wait() // its state is looked at
	}()
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	if !serves {
		<-p.ended
		return nil
	}
	return p
}

// stop stops the service as systemd does, and returns its exit code.
func (p *serving) stop(t *testing.T) int {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("it does not stop:\n%s", &p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *serving) killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// local sends a request over the socket in the data folder, which is to be answered with 200.
func (s *station) local(path, body string, out any) {
	s.t.Helper()
	code, data, err := s.ask(path, body)
	if err != nil || code != http.StatusOK {
		s.t.Fatalf("%s: %d %s %v", path, code, data, err)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *station) ask(path, body string) (code int, data []byte, err error) {
	client, err := service.DialLocal(s.path("data"))
	if err != nil {
		return 0, nil, err
	}
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://daybook"+path, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(resp.Body)
	return resp.StatusCode, data, err
}

// roll has all sealed that is closed.
func (s *station) roll() (code int, err error) {
	code, _, err = s.ask("/v1/roll?all=true", "")
	return code, err
}

// make makes events of the days that are over.
func (s *station) make(n int) {
	for range n {
		s.due = append(s.due, fmt.Sprintf(`{"id":"event-%d","time":"%sT%02d:%02d:00Z","action":"file-read","outcome":"success","info":{"n":%d}}`,
			s.made, s.days[s.made%3], s.made%24, s.made%60, s.made))
		s.made++
	}
}

// send sends up to n of the events that are due. Those that the service acknowledges are due no longer; the answer's code is 0 if there was none.
func (s *station) send(p *serving, n int) (code int) {
	s.t.Helper()
	batch := s.due[:min(n, len(s.due))]
	req, err := http.NewRequest(http.MethodPost, p.address+"/v1/events", strings.NewReader(strings.Join(batch, "\n")))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var answer struct{ Accepted, Duplicate int }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return resp.StatusCode
	}
	if answer.Accepted+answer.Duplicate != len(batch) {
		s.t.Fatalf("of %d events %+v", len(batch), answer)
	}
	for _, line := range batch {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			s.t.Fatal(err)
		}
		s.known[e.ID] = true
	}
	s.due = s.due[len(batch):]
	return resp.StatusCode
}

// converge starts the service on a sound disk, sends what was not acknowledged, has it sealed, and is the oracle: events add up, the store verifies, and each event that
// was acknowledged is in the evidence once.
func (s *station) converge() {
	s.t.Helper()
	p := s.serve()
	if p == nil {
		s.t.Fatal("the service does not start again")
	}
	for len(s.due) > 0 {
		if code := s.send(p, 100); code != http.StatusOK {
			s.t.Fatalf("on a sound disk events are answered with %d", code)
		}
	}
	// A seal that was begun is finished as it was, and a day gets one seal in a roll: what came after it goes into an addendum of the next.
	for n := 0; ; n++ {
		var st service.Status
		s.local("/v1/roll?all=true", "", &st)
		if st.Trails[0].Late == 0 {
			break
		}
		if n == 2 {
			s.t.Fatalf("%d events are still late", st.Trails[0].Late)
		}
	}
	var list []batch.Reconciled
	s.local("/v1/reconcile", "", &list)
	if len(list) != 1 || list[0].Fault != "" {
		s.t.Errorf("events do not add up: %+v", list)
	}
	if code := p.stop(s.t); code != 0 {
		s.t.Errorf("it ends with %d:\n%s", code, &p.stderr)
	}
	out, err := exec.Command(s.binary, "verify", "--deep", "--key", s.path("keys", "signing.key.pub"), s.path("out")).CombinedOutput()
	if err != nil {
		s.t.Errorf("verify: %v\n%s", err, out)
	}
	times := map[string]int{}
	for _, row := range s.evidence(s.t) {
		times[row["id"].(string)]++
	}
	var wrong []string
	for id := range s.known {
		if times[id] != 1 {
			wrong = append(wrong, fmt.Sprintf("%s %d times", id, times[id]))
		}
	}
	if slices.Sort(wrong); len(wrong) > 0 {
		s.t.Errorf("of %d events that were acknowledged %d are not in the evidence once: %.300v", len(s.known), len(wrong), wrong)
	}
	if len(s.known) != s.made {
		s.t.Errorf("%d of %d events were acknowledged", len(s.known), s.made)
	}
	if left, _ := filepath.Glob(s.path("data", "journal", "*.json")); len(left) > 0 {
		s.t.Errorf("left behind: %v", left)
	}
}

// needStrace skips the test where there is no strace that can trace.
func needStrace(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true").CombinedOutput(); err != nil {
		t.Skipf("skipped: this takes strace, which tools/deps installs, and the right to use it: %v %s", err, out)
	}
}
