package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is a server that serves until it is stopped: `daybook serve`, or JetStream in a child of this program.
type process struct {
	cmd     *exec.Cmd
	log     string // file
	address string
	took    time.Duration // from its start until it served
}

// startServer starts a command that prints a line which ends with its address, once it serves.
func (o *options) startServer(ctx context.Context, dir, name string, args ...string) (*process, error) {
	s := &process{cmd: exec.CommandContext(ctx, name, args...), log: filepath.Join(dir, "log")}
	home := filepath.Join(dir, "home")
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home)
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has it
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	s.took = time.Since(began)
	fields := strings.Fields(line)
	if err != nil || len(fields) == 0 {
		_ = s.cmd.Wait() // it told the log why
		told, _ := os.ReadFile(s.log)
		return nil, fmt.Errorf("%s %s did not serve: %s", filepath.Base(name), strings.Join(args, " "), told)
	}
	s.address = fields[len(fields)-1]
	return s, nil
}

// because adds to an error of a request what the server told its log, and how it ended if it did not last.
func (s *process) because(err error) error {
	if err == nil {
		return nil
	}
	told, _ := os.ReadFile(s.log)
	state := "it is at work"
	if s.cmd.Process.Signal(syscall.Signal(0)) != nil || !s.alive() {
		_ = s.cmd.Wait() // tells how it ended
		state = s.cmd.ProcessState.String()
	}
	return fmt.Errorf("%w\nthe server (%s) told: %s", err, state, told[max(0, len(told)-4000):])
}

// alive reports whether it is more than a process that nobody waited for.
func (s *process) alive() bool {
	return lineOf(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid), "State") != "Z (zombie)"
}

// stop ends the server by that signal. It is to be asked for once, or after it failed.
func (s *process) stop(signal syscall.Signal) error {
	if s.cmd.ProcessState != nil {
		return nil
	}
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := s.cmd.Wait(); err != nil && signal != syscall.SIGKILL {
		told, _ := os.ReadFile(s.log)
		return fmt.Errorf("%s: %w\n%s", filepath.Base(s.cmd.Path), err, told)
	}
	return nil
}

// cpu is what the server has taken until now, in user and system time.
func (s *process) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("what a server takes is read from /proc, which Linux has: %w", err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0, err
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	return time.Duration(user+system) * tick, nil
}

// memory is the resident set of now, and the largest that it had.
func (s *process) memory() (now, peak int64) {
	path := fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid)
	_, _ = fmt.Sscan(lineOf(path, "VmRSS"), &now)
	_, _ = fmt.Sscan(lineOf(path, "VmHWM"), &peak)
	return now << 10, peak << 10
}

// daybookServer is a service with one trail and one sender.
type daybookServer struct {
	*process
	o            *options
	dir, bin     string
	token, admin string
	client       *http.Client
}

const serveConfig = `trails: [{name: audit, org: acme}]
data: data
store: {url: ./store}
service: {listen: "127.0.0.1:0", schedule: "@yearly", cert_file: cert.pem, key_file: key.pem, log_level: warn}
`

// newDaybook starts a service in a folder that is new.
func (o *options) newDaybook(ctx context.Context, dir string, connections int) (d *daybookServer, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	settings, err := makeCertificate(dir)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "daybook.yaml"), []byte(serveConfig), 0o644); err != nil {
		return nil, err
	}
	d = &daybookServer{o: o, dir: dir, bin: o.bin, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: settings, MaxConnsPerHost: connections + 1, MaxIdleConnsPerHost: connections + 1, DisableCompression: true,
	}}}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.admin, err = d.run(ctx, "admin", "create", "bench"); err != nil {
		return nil, err
	}
	if _, err = d.run(ctx, "trail", "enable", "audit"); err != nil {
		return nil, err
	}
	d.token, err = d.run(ctx, "token", "create", "--org", "acme", "--source", "bench")
	return d, err
}

func (d *daybookServer) start(ctx context.Context) (err error) {
	d.process, err = d.o.startServer(ctx, d.dir, d.bin, "serve", "--config", "daybook.yaml")
	return err
}

func (d *daybookServer) close() error {
	d.client.CloseIdleConnections()
	return d.stop(syscall.SIGTERM)
}

// run has the service's own command do something, and returns what it prints.
func (d *daybookServer) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.bin, append(args, "--config", "daybook.yaml")...)
	cmd.Dir, cmd.Env = d.dir, d.cmd.Env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("daybook %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// ask sends a request and returns what is answered, which must be 200.
func (d *daybookServer) ask(ctx context.Context, method, path, token string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+d.address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer, err
}

// send sends a body of so many events, all of which are new.
func (d *daybookServer) send(ctx context.Context, body []byte, events int) error {
	answer, err := d.ask(ctx, http.MethodPost, "/v1/events", d.token, body)
	if err == nil && !bytes.Contains(answer, fmt.Appendf(nil, `"accepted":%d,`, events)) {
		err = fmt.Errorf("%d events were sent: %s", events, answer)
	}
	return err
}

// metric reads the sum of a metric over its labels.
func (d *daybookServer) metric(ctx context.Context, name string) (sum float64, err error) {
	data, err := d.ask(ctx, http.MethodGet, "/metrics", d.admin, nil)
	if err != nil {
		return 0, err
	}
	found := false
	for line := range strings.Lines(string(data)) {
		var value float64
		if rest, ok := strings.CutPrefix(line, name); ok && (rest[0] == ' ' || rest[0] == '{') {
			if _, err := fmt.Sscan(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' ')+1:], &value); err != nil {
				return 0, fmt.Errorf("/metrics: %q: %w", line, err)
			}
			sum, found = sum+value, true
		}
	}
	if !found {
		return 0, fmt.Errorf("/metrics has no %s", name)
	}
	return sum, nil
}

// makeCertificate writes cert.pem and key.pem of a server on loopback, and returns how a client trusts it.
func makeCertificate(dir string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
