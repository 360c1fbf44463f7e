// Package s3test starts real S3-compatible servers for tests.
//
// It guarantees that a server answers S3 requests when MinIO or VersityGW returns, that it listens on the loopback address alone,
// that nothing of it outlives the test (nor, on Linux, a test binary that is killed), and that its log is printed when the test
// fails. What a server stored survives Kill and Restart, and is removed at the end of the test.
//
// It does not build the servers. It finds them through the environment, as `make test` sets it up, and skips the test where the
// variable is not set; a variable that names no server fails the test, so that a broken set-up does not pass as a skip.
//
// The two servers differ, and the difference is why there are two: over plain http versitygw refuses a single PUT that carries a
// checksum in a signed trailer. Use VersityGWTLS for it, or minio-go's DisableContentSha256.
package s3test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// The environment variables that hold the path of each server's binary.
const (
	EnvMinIO     = "DAYBOOK_TEST_MINIO"
	EnvVersityGW = "DAYBOOK_TEST_VERSITYGW"
)

const (
	// startDeadline is long because a busy machine starts two servers and the race detector at once; a start takes about a second.
	startDeadline = 60 * time.Second
	stopDeadline  = 10 * time.Second
	// portTries bounds the search for a port that no other process takes between our look and the server's own bind.
	portTries = 8
)

// A Server is a running S3 server. Its fields do not change while it lives, restarts included.
type Server struct {
	Endpoint  string // host:port
	URL       string // http or https, and Endpoint
	AccessKey string // of the server's root user
	SecretKey string
	Region    string
	CAFile    string // PEM file of the authority behind the server's certificate; empty without TLS

	t       testing.TB
	kind    kind
	folder  string
	env     []string
	tls     *tls.Config // what a client needs to trust the server; nil without TLS
	process *process    // nil while the server is down
}

// A kind is what differs between the servers.
type kind struct {
	name   string
	env    string // the variable that holds the binary's path
	health string // answers 200 once S3 requests are served
	// environ is kept for the life of the server: what is stored may be encrypted with it.
	environ func(s *Server) []string
	args    func(s *Server) []string
}

// MinIO starts a MinIO server for the duration of the test, or skips the test where EnvMinIO is not set.
func MinIO(t testing.TB) *Server {
	t.Helper()
	return start(t, minioKind, false)
}

// MinIOScanning is MinIO that goes through its objects anew each second, for what its lifecycle rules have to do.
func MinIOScanning(t testing.TB) *Server {
	t.Helper()
	k := minioKind
	k.environ = func(s *Server) []string { return append(minioKind.environ(s), "MINIO_SCANNER_SPEED=fastest") }
	return start(t, k, false)
}

// MinIOTLS is MinIO behind a certificate that CAFile vouches for.
func MinIOTLS(t testing.TB) *Server {
	t.Helper()
	return start(t, minioKind, true)
}

// VersityGW starts a versitygw server that keeps versions for the duration of the test, or skips the test where EnvVersityGW is
// not set.
func VersityGW(t testing.TB) *Server {
	t.Helper()
	return start(t, versitygwKind, false)
}

// VersityGWTLS is VersityGW behind a certificate that CAFile vouches for.
func VersityGWTLS(t testing.TB) *Server {
	t.Helper()
	return start(t, versitygwKind, true)
}

var minioKind = kind{
	name: "minio",
	env:  EnvMinIO,
	// Not /minio/health/ready, which says 200 while S3 requests are still answered with 503.
	health: "/minio/health/cluster",
	environ: func(s *Server) []string {
		return []string{
			"MINIO_ROOT_USER=" + s.AccessKey,
			"MINIO_ROOT_PASSWORD=" + s.SecretKey,
			"MINIO_BROWSER=off", // or a console binds an address that is not loopback
			"MINIO_UPDATE=off",
			"MINIO_CI_CD=1", // or drives that share a disk never come up
			"MINIO_KMS_SECRET_KEY=test-key:" + base64.StdEncoding.EncodeToString(randomBytes(32)),
		}
	},
	args: func(s *Server) []string {
		args := []string{"server", "--quiet", "--address", s.Endpoint}
		if s.tls != nil {
			args = append(args, "--certs-dir", s.path("certs"))
		}
		return append(args, s.path("data"))
	},
}

var versitygwKind = kind{
	name:   "versitygw",
	env:    EnvVersityGW,
	health: "/health",
	environ: func(s *Server) []string {
		return []string{
			"ROOT_ACCESS_KEY_ID=" + s.AccessKey,
			"ROOT_SECRET_ACCESS_KEY=" + s.SecretKey,
		}
	},
	args: func(s *Server) []string {
		args := []string{"--port", s.Endpoint, "--region", s.Region, "--health", "/health", "--iam-dir", s.path("users")}
		if s.tls != nil {
			args = append(args, "--cert", s.path("certs/public.crt"), "--key", s.path("certs/private.key"))
		}
		// Without a folder for versions it refuses to write over a locked key, which no other server does.
		return append(args, "posix", "--versioning-dir", s.path("versions"), s.path("data"))
	},
}

func start(t testing.TB, k kind, withTLS bool) *Server {
	t.Helper()
	binary := os.Getenv(k.env)
	if binary == "" {
		t.Skipf("%s is not set: no %s to test against (make test builds one)", k.env, k.name)
	}
	if _, err := exec.LookPath(binary); err != nil {
		t.Fatalf("%s: %v", k.env, err)
	}

	s := &Server{
		AccessKey: "test-access-key",
		SecretKey: base64.RawURLEncoding.EncodeToString(randomBytes(24)),
		Region:    "us-east-1",
		t:         t,
		kind:      k,
		folder:    t.TempDir(),
	}
	for _, folder := range []string{"data", "versions", "certs", "home", "users"} {
		if err := os.Mkdir(s.path(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if withTLS {
		config, err := writeCertificates(s.path("certs"))
		if err != nil {
			t.Fatalf("make a certificate for %s: %v", k.name, err)
		}
		s.tls, s.CAFile = config, s.path("certs/authority.pem")
	}
	s.env = append(k.environ(s), "HOME="+s.path("home"), "PATH="+os.Getenv("PATH"))
	// Registered after TempDir's own clean-up, and so run before it: the server is gone when its folder is removed.
	t.Cleanup(s.cleanup)

	var err error
	for range portTries {
		if err = s.findPort(); err != nil {
			t.Fatal(err)
		}
		// A server that ends by itself before it was ready has most likely lost its port to another process.
		if err = s.run(); !errors.Is(err, errEnded) {
			break
		}
	}
	if err != nil {
		t.Fatalf("start %s: %v", k.name, err)
	}
	return s
}

// findPort gives the server a free port. The port lies below the range from which systems take the ports of outgoing connections:
// it must still be free at Restart.
func (s *Server) findPort() error {
	const low, high = 20000, 32000
	var err error
	for range 100 {
		n, _ := rand.Int(rand.Reader, big.NewInt(high-low)) // crypto/rand.Reader returns no error
		endpoint := net.JoinHostPort("127.0.0.1", strconv.FormatInt(low+n.Int64(), 10))
		var l net.Listener
		if l, err = net.Listen("tcp", endpoint); err != nil {
			continue
		}
		if err = l.Close(); err != nil {
			return err
		}
		s.Endpoint, s.URL = endpoint, "http://"+endpoint
		if s.tls != nil {
			s.URL = "https://" + endpoint
		}
		return nil
	}
	return fmt.Errorf("no free port between %d and %d: %w", low, high, err)
}

// Name is what the server is called: minio or versitygw.
func (s *Server) Name() string { return s.kind.name }

// Kill ends the server at once, as a crash would. What it had acknowledged is there again after Restart.
func (s *Server) Kill() {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatalf("kill %s: it does not run", s.kind.name)
	}
	s.process.signal(syscall.SIGKILL)
	<-s.process.ended
	s.process = nil
}

// Restart starts a killed server again, at the same endpoint and over the same data. A server that still runs is stopped first.
func (s *Server) Restart() {
	s.t.Helper()
	s.stop()
	if err := s.run(); err != nil {
		s.t.Fatalf("restart %s: %v", s.kind.name, err)
	}
}

// stop ends a running server in its own time, and kills one that does not end.
func (s *Server) stop() {
	if s.process == nil {
		return
	}
	s.process.signal(syscall.SIGTERM)
	select {
	case <-s.process.ended:
	case <-time.After(stopDeadline):
		s.process.signal(syscall.SIGKILL)
		<-s.process.ended
	}
	s.process = nil
}

func (s *Server) cleanup() {
	s.stop()
	if !s.t.Failed() {
		return
	}
	log, err := os.ReadFile(s.path("log"))
	if err != nil {
		s.t.Logf("log of %s: %v", s.kind.name, err)
		return
	}
	const most = 16 << 10
	if len(log) > most {
		log = log[len(log)-most:]
	}
	s.t.Logf("end of the log of %s at %s:\n%s", s.kind.name, s.Endpoint, log)
}

// errEnded says that a server ended by itself before it was ready.
var errEnded = errors.New("ended before it was ready")

// run starts the process and waits until it serves S3 requests.
func (s *Server) run() error {
	p, err := startProcess(os.Getenv(s.kind.env), s.kind.args(s), s.env, s.path("log"))
	if err != nil {
		return err
	}
	s.process = p

	ctx, cancel := context.WithTimeout(context.Background(), startDeadline)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: s.tls, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	// Neither server tells when it is ready, so it is asked.
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for {
		err := healthy(ctx, client, s.URL+s.kind.health)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			s.process = nil
			return fmt.Errorf("%w (%w); %w", errEnded, p.err, err)
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startDeadline, err)
		case <-ask.C:
		}
	}
}

func healthy(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}

func (s *Server) path(name string) string { return filepath.Join(s.folder, name) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}

// A process is a started server binary.
type process struct {
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended and err is set
	err     error
}

// startProcess runs a binary, its output appended to the log file.
func startProcess(binary string, args, env []string, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{command: exec.Command(binary, args...), ended: make(chan struct{})}
	p.command.Env = env
	p.command.Stdout, p.command.Stderr = out, out
	dieWithParent(p.command)

	started := make(chan error)
	go func() {
		// On Linux the kernel ends the process when the thread that started it ends, so this goroutine keeps its thread for as
		// long as the process lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.command.Start()
		started <- err
		if err == nil {
			p.err = p.command.Wait()
		}
		_ = out.Close() // the process wrote to a descriptor of its own
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal reaches a process that has already ended as well: there is nothing to do then.
func (p *process) signal(sig os.Signal) { _ = p.command.Process.Signal(sig) }
