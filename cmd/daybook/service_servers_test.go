package main_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"daybook/sink"
	"daybook/sink/s3test"
)

// installation is a configuration, and the command that works with it.
type installation struct {
	t      *testing.T
	binary string
	dir    string
	env    []string
}

// newInstallation makes one whose store is a bucket of a server. more is what else stands in the configuration; DIR in it is its folder.
func newInstallation(t *testing.T, binary string, server *s3test.Server, more string) *installation {
	t.Helper()
	i := &installation{t: t, binary: binary, dir: t.TempDir()}
	i.env = append(os.Environ(), "TEST_ACCESS_KEY="+server.AccessKey, "TEST_SECRET_KEY="+server.SecretKey, "AWS_ACCESS_KEY_ID="+server.AccessKey, "AWS_SECRET_ACCESS_KEY="+server.SecretKey,
		"DAYBOOK_TOKEN=", "HOME="+i.dir)
	writeFile(t, i.path("daybook.yaml"), fillConfig(strings.Replace(bucketConfig, "name: acme", "name: audit", 1), server, i.dir)+strings.ReplaceAll(more, "DIR", i.dir))
	return i
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

// run runs a command to its end.
func (i *installation) run(args ...string) (stdout, stderr string, code int) {
	i.t.Helper()
	cmd := exec.Command(i.binary, append(args, "--config", i.path("daybook.yaml"))...)
	cmd.Env = i.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || !exit.Exited() {
			i.t.Fatalf("daybook %v: %v", args, err)
		}
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that is to succeed.
func (i *installation) must(args ...string) string {
	i.t.Helper()
	stdout, stderr, code := i.run(args...)
	if code != 0 {
		i.t.Fatalf("daybook %v: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// served is a daybook serve.
type served struct {
	cmd     *exec.Cmd
	address string
	stderr  *bytes.Buffer
	ended   chan struct{}
}

// serve starts the service, and waits until it serves. It is stopped when the test ends, if it was not before.
func (i *installation) serve() *served {
	i.t.Helper()
	s := &served{cmd: exec.Command(i.binary, "serve", "--config", i.path("daybook.yaml")), stderr: &bytes.Buffer{}, ended: make(chan struct{})}
	s.cmd.Env, s.cmd.Stderr = i.env, s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.ended
	})
	first := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(stdout)
		line, _ := lines.ReadString('\n')
		first <- line
		_, _ = io.Copy(io.Discard, lines)
		_ = s.cmd.Wait() // stop looks at how it ended
		close(s.ended)
	}()
	select {
	case line := <-first:
		address, ok := strings.CutPrefix(strings.TrimSpace(line), "serving at ")
		if !ok {
			<-s.ended
			i.t.Fatalf("daybook serve said %q and ended with %v:\n%s", line, s.cmd.ProcessState, s.stderr)
		}
		s.address = address
	case <-time.After(time.Minute):
		i.t.Fatal("daybook serve does not serve")
	}
	return s
}

// stop stops the service, which is to end well.
func (i *installation) stop(s *served) {
	i.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		i.t.Fatal(err)
	}
	<-s.ended
	if !s.cmd.ProcessState.Success() {
		i.t.Fatalf("daybook serve: %v:\n%s", s.cmd.ProcessState, s.stderr)
	}
}

// trailCounts is what is looked at of the status of a trail.
type trailCounts struct{ Accepted, Duplicates int64 }

func (i *installation) counts() (c trailCounts) {
	i.t.Helper()
	stdout, stderr, _ := i.run("status", "--json")
	var st struct{ Trails []trailCounts }
	if err := json.Unmarshal([]byte(stdout), &st); err != nil || len(st.Trails) != 1 {
		i.t.Fatalf("status: %v\n%s%s", err, stdout, stderr)
	}
	return st.Trails[0]
}

// until waits until the counts of the trail are such, for which nobody tells when they are.
func (i *installation) until(what string, ok func(trailCounts) bool) trailCounts {
	i.t.Helper()
	ask := time.NewTicker(200 * time.Millisecond)
	defer ask.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-ask.C {
		c := i.counts()
		if ok(c) {
			return c
		}
		if time.Now().After(deadline) {
			i.t.Fatalf("%s did not come true: %+v", what, c)
		}
	}
}

// check rolls, and has the auditor look.
func (i *installation) check() {
	i.t.Helper()
	i.must("roll")
	i.must("status", "--reconcile")
	i.must("verify", "--deep", "--key", i.path("keys/signing.key.pub"))
}

// send sends an event of two days ago, which is closed at whatever hour this runs, and returns the code of the answer and what it says.
func send(t *testing.T, client *http.Client, url, token, id string, trace *httptrace.ClientTrace) (code int, body string, err error) {
	t.Helper()
	event := fmt.Sprintf(`{"id":%q,"time":%q,"action":"login"}`, id, time.Now().UTC().AddDate(0, 0, -2).Format(time.RFC3339))
	ctx := t.Context()
	if trace != nil {
		ctx = httptrace.WithClientTrace(ctx, trace)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data), nil
}

func mustSend(t *testing.T, client *http.Client, url, token, id string, want int) {
	t.Helper()
	code, body, err := send(t, client, url, token, id, nil)
	if err != nil || code != want || want == http.StatusOK && !strings.Contains(body, `"accepted":1`) {
		t.Fatalf("%s: %d %s, %v, want %d", id, code, body, err, want)
	}
}

// authority is a certificate authority of a test.
type authority struct {
	t      *testing.T
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, serial: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// pem returns the authority's own certificate.
func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// issue writes a certificate for the loopback address, and for a client of that name, and its key. It returns its serial number.
func (a *authority) issue(name, certFile, keyFile string) int64 {
	a.t.Helper()
	a.serial++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: name}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writeFile(a.t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	writeFile(a.t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return a.serial
}

// client is one that trusts the authority, and shows the certificate of those files, where there are any.
func (a *authority) client(certFile, keyFile string) *http.Client {
	a.t.Helper()
	settings := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	settings.RootCAs.AddCert(a.cert)
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			a.t.Fatal(err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: true}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// TestServiceOverTLS has senders and admins come with certificates and with tokens, and the server's certificate replaced under a connection that stays.
func TestServiceOverTLS(t *testing.T) {
	t.Parallel()
	binary := delivered(t)
	server := s3test.MinIOTLS(t)
	server.CreateBucket(t, "audit", true)
	ours, others := newAuthority(t), newAuthority(t)
	i := newInstallation(t, binary, server, `
service:
  listen: 127.0.0.1:0
  schedule: "@yearly"
  cert_file: DIR/server.crt
  key_file: DIR/server.key
  client_ca_file: DIR/clients.pem
  senders: [{certificate: api.example.org, org: acme, source: api}]
  admins: [{certificate: alice.example.org, name: alice}]
`)
	writeFile(t, i.path("clients.pem"), ours.pem())
	first := ours.issue("audit.example.org", i.path("server.crt"), i.path("server.key"))
	for _, name := range []string{"api", "alice", "mallory"} {
		ours.issue(name+".example.org", i.path(name+".crt"), i.path(name+".key"))
	}
	others.issue("api.example.org", i.path("forged.crt"), i.path("forged.key"))
	s := i.serve()
	url := "https://" + s.address

	remote := []string{"--server", url, "--server-ca", i.path("clients.pem"), "--cert", i.path("alice.crt"), "--cert-key", i.path("alice.key")}
	i.must(append([]string{"trail", "enable", "audit", "--since", time.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly)}, remote...)...)
	token := strings.TrimSpace(i.must(append([]string{"token", "create", "--org", "acme", "--source", "app"}, remote...)...))

	api, plain := ours.client(i.path("api.crt"), i.path("api.key")), ours.client("", "")
	mustSend(t, api, url, "", "by-certificate", http.StatusOK)
	mustSend(t, plain, url, token, "by-token", http.StatusOK)
	mustSend(t, plain, url, "", "by-nobody", http.StatusUnauthorized)
	mustSend(t, ours.client(i.path("mallory.crt"), i.path("mallory.key")), url, "", "by-mallory", http.StatusForbidden)
	mustSend(t, ours.client(i.path("alice.crt"), i.path("alice.key")), url, "", "by-an-admin", http.StatusForbidden)
	forger := ours.client(i.path("forged.crt"), i.path("forged.key"))
	if code, body, err := send(t, forger, url, "", "by-a-forger", nil); err == nil {
		t.Errorf("with a certificate of another authority: %d %s", code, body)
	}

	// The certificate is replaced. New connections get the new one; the one that is open goes on.
	second := ours.issue("audit.example.org", i.path("server.crt"), i.path("server.key"))
	later := time.Now().Add(2 * time.Second) // whatever the file system thinks of times
	if err := os.Chtimes(i.path("server.crt"), later, later); err != nil {
		t.Fatal(err)
	}
	ask := time.NewTicker(100 * time.Millisecond)
	defer ask.Stop()
	for deadline := time.Now().Add(time.Minute); serial(t, ours, s.address) != second; <-ask.C {
		if time.Now().After(deadline) {
			t.Fatal("the certificate is not read again")
		}
	}
	reused := false
	code, body, err := send(t, api, url, "", "after-the-change", &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		reused = c.Reused
		if state := c.Conn.(*tls.Conn).ConnectionState(); state.PeerCertificates[0].SerialNumber.Int64() != first {
			t.Errorf("the connection is not the one that was")
		}
	}})
	if err != nil || code != http.StatusOK || !reused {
		t.Errorf("after the change: %d %s, %v, the connection that was: %t", code, body, err, reused)
	}
	i.check()
	i.stop(s)
}

// serial is the serial number of the certificate that a new connection is shown.
func serial(t *testing.T, a *authority, address string) int64 {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestServiceFollowsBucket follows a bucket of real CloudTrail files: each file is taken once, also after a restart; one that was replaced is read again.
func TestServiceFollowsBucket(t *testing.T) {
	t.Parallel()
	binary := delivered(t)
	day := realDay(t)
	server := s3test.MinIO(t)
	server.CreateBucket(t, "audit", true)
	server.CreateBucket(t, "cloudtrail", false)
	put := func(key, path string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		server.Overwrite(t, "cloudtrail", key, data, sink.Lock{})
	}
	var last string
	err := filepath.WalkDir(day, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(day, path)
		if err == nil {
			last = "AWSLogs/" + filepath.ToSlash(name)
			put(last, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	i := newInstallation(t, binary, server, fmt.Sprintf(`
max_wait: 0s
service:
  listen: 127.0.0.1:0
  schedule: "@yearly"
  follow: [{url: s3://cloudtrail/AWSLogs, org: acme, source: cloudtrail, every: 1s, endpoint: %s, region: %s, path_style: true}]
`, server.URL, server.Region))
	s := i.serve()
	i.must("trail", "enable", "audit", "--since", "2023-07-10")
	const events = 2122
	before := i.until("every file was taken", func(c trailCounts) bool { return c.Accepted >= events })
	if before.Duplicates != 0 {
		t.Errorf("%d duplicates", before.Duplicates)
	}
	i.stop(s)
	s = i.serve()
	stopped := i.counts() // with the events of the stop and the start

	// A new file shows that the bucket was looked through again.
	record := `{"eventVersion":"1.08","eventTime":"2023-07-10T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventID":%q,"awsRegion":"us-east-1","recipientAccountId":"1"}`
	writeFile(t, i.path("new.json"), `{"Records":[`+fmt.Sprintf(record, "new-1")+`]}`)
	put("AWSLogs/new.json", i.path("new.json"))
	after := i.until("the new file was taken", func(c trailCounts) bool { return c.Accepted > stopped.Accepted })
	if after.Accepted != stopped.Accepted+1 || after.Duplicates != 0 {
		t.Errorf("after a restart and a new file of one event: %+v, and before %+v", after, stopped)
	}
	writeFile(t, i.path("new.json"), `{"Records":[`+fmt.Sprintf(record, "new-1")+","+fmt.Sprintf(record, "new-2")+`]}`)
	put("AWSLogs/new.json", i.path("new.json"))
	again := i.until("the replaced file was taken", func(c trailCounts) bool { return c.Accepted-c.Duplicates > after.Accepted })
	if again.Duplicates != 1 || again.Accepted != after.Accepted+2 {
		t.Errorf("of the replaced file, with an event that was there: %+v, and before %+v", again, after)
	}
	i.check()
	i.stop(s)
	if log := s.stderr.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log has errors:\n%s", log)
	}
}

// TestServiceNeedsObjectLock starts with a bucket that can lock nothing: it refuses, and says what to do.
func TestServiceNeedsObjectLock(t *testing.T) {
	t.Parallel()
	binary := delivered(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"MinIO": s3test.MinIO, "versitygw": s3test.VersityGWTLS} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			server.CreateBucket(t, "audit", false)
			i := newInstallation(t, binary, server, "service: {listen: \"127.0.0.1:0\"}\n")
			stdout, stderr, code := i.run("serve")
			if code != 1 || !strings.Contains(stderr, "store is not fit for sealed files") || !strings.Contains(stderr, "daybook: hint: make a bucket that is right") || stdout != "" {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestServiceStartsWithoutStore starts while the bucket is away: events are taken in, and sealed once it is back.
func TestServiceStartsWithoutStore(t *testing.T) {
	t.Parallel()
	binary := delivered(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"MinIO": s3test.MinIO, "versitygw": s3test.VersityGWTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting for the next attempt
			server := start(t)
			server.CreateBucket(t, "audit", true)
			server.Kill()
			i := newInstallation(t, binary, server, "max_wait: 0s\nservice: {listen: \"127.0.0.1:0\", schedule: \"@yearly\"}\n")
			s := i.serve()
			i.must("trail", "enable", "audit", "--since", time.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly))
			token := strings.TrimSpace(i.must("token", "create", "--org", "acme", "--source", "api"))
			mustSend(t, http.DefaultClient, "http://"+s.address, token, "while-away", http.StatusOK)
			if stdout, _, code := i.run("status"); code != 1 || !strings.Contains(stdout, "sealing-fails") {
				t.Errorf("status while the bucket is away: exit code %d\n%s", code, stdout)
			}
			server.Restart()
			i.check()
			if stdout, _, code := i.run("status", "--calendar", "4"); code != 0 || !strings.Contains(stdout, "sealed  1") {
				t.Errorf("status once it is back: exit code %d\n%s", code, stdout)
			}
			i.stop(s)
		})
	}
}
