package interop_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leodido/go-syslog/v4/rfc5424"
)

// received is a message as rsyslog understood it.
type received struct {
	Raw      string `json:"rawmsg"`
	Pri      string `json:"pri"`
	Facility string `json:"syslogfacility-text"`
	Version  string `json:"protocol-version"`
	Time     string `json:"timereported"`
	Host     string `json:"hostname"`
	App      string `json:"app-name"`
	MsgID    string `json:"msgid"`
	Data     string `json:"structured-data"`
	Message  string `json:"msg"`
}

// collector is a running rsyslog with its own defaults: 8 KiB a message, control characters escaped.
type collector struct {
	address string
	out     *bufio.Reader
}

// startRsyslog starts rsyslog in the foreground. It takes syslog by TCP, and writes what it understood through tee into a pipe that we read: its own TCP
// output would cut, and a file would give us nothing to wait for.
func startRsyslog(t *testing.T) *collector {
	t.Helper()
	path, err := exec.LookPath("rsyslogd")
	if err != nil {
		if path = "/usr/sbin/rsyslogd"; exec.Command(path, "-v").Run() != nil {
			t.Skip("SKIPPED: rsyslogd is not installed (Debian package rsyslog)")
		}
	}
	tee, err := exec.LookPath("tee")
	if err != nil {
		t.Skip("SKIPPED: there is no tee")
	}
	dir := t.TempDir()
	pipe := filepath.Join(dir, "understood")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened for both, since to open one end alone would wait for the other.
	out, err := os.OpenFile(pipe, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := out.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	port := filepath.Join(dir, "port")
	var properties []string
	for _, name := range []string{"rawmsg", "pri", "syslogfacility-text", "protocol-version", "hostname", "app-name", "msgid", "structured-data", "msg"} {
		properties = append(properties, fmt.Sprintf(`property(outname=%q name=%q format="jsonf")`, name, name))
	}
	properties = append(properties, `property(outname="timereported" name="timereported" dateFormat="rfc3339" format="jsonf")`)
	config := fmt.Sprintf(`
global(workDirectory=%q)
main_queue(queue.workerThreads="1")
module(load="imptcp")
module(load="omprog")
template(name="understood" type="list") { constant(value="{") %s constant(value="}\n") }
ruleset(name="out") { action(type="omprog" binary=%q template="understood") }
input(type="imptcp" address="127.0.0.1" port="0" listenPortFileName=%q ruleset="out")
`, dir, strings.Join(properties, ` constant(value=",") `), tee+" "+pipe, port)
	conf := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-n", "-f", conf, "-i", filepath.Join(dir, "pid"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait() // ended by us
		if t.Failed() {
			t.Logf("rsyslogd: %s", output.String())
		}
	})
	c := &collector{address: "127.0.0.1:" + waitForPort(t, port)}
	c.out = bufio.NewReaderSize(out, 1<<20)
	c.send(t, "<110>1 - - - - - - hello\n")
	if m := c.next(t); m.Message != "hello" {
		t.Fatalf("rsyslog understood %+v", m)
	}
	return c
}

// waitForPort waits until rsyslog listens, and returns the port. It writes the port once that is bound, and listens a moment later: a connection tells.
func waitForPort(t *testing.T, path string) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		port := strings.TrimSpace(string(b))
		if port == "" {
			continue
		}
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
	}
	t.Fatal("rsyslog does not listen")
	return ""
}

// send delivers a stream on a connection of its own.
func (c *collector) send(t *testing.T, stream string) {
	t.Helper()
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(stream)); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

func (c *collector) next(t *testing.T) received {
	t.Helper()
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("waiting for rsyslog: %v", err)
	}
	var m received
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return m
}

// compare replays a file into rsyslog, as it stands and with octet counts, and wants every message whole and rightly understood.
func (c *collector) compare(t *testing.T, path string) {
	t.Helper()
	lines := linesOf(t, path)
	var counted strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&counted, "%d %s", len(line), line)
	}
	for framing, stream := range map[string]string{"lines": string(contents(t, path)), "octet counts": counted.String()} {
		c.send(t, stream)
		for i, line := range lines {
			if diff := cmp.Diff(understood(t, line), c.next(t)); diff != "" {
				t.Fatalf("%s: message %d (-want +understood):\n%s", framing, i+1, diff)
			}
		}
	}
}

// understood is a line taken apart by go-syslog, as rsyslog should.
func understood(t *testing.T, line string) received {
	t.Helper()
	parsed, err := rfc5424.NewParser().Parse([]byte(line))
	if err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	m := parsed.(*rfc5424.SyslogMessage)
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	header := strings.SplitN(line, " ", 7)
	data := strings.TrimSuffix(header[6], " "+text(m.Message))
	return received{
		Raw: line, Pri: fmt.Sprint(*m.Priority), Facility: "audit", Version: fmt.Sprint(m.Version), Time: header[1], Host: text(m.Hostname),
		App: text(m.Appname), MsgID: text(m.MsgID), Data: data, Message: text(m.Message),
	}
}
