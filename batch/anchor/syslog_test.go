package anchor_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"daybook/batch/anchor"
	"daybook/sink"
)

func object(key string, body []byte) sink.Object {
	return sink.Object{Key: key, Size: int64(len(body)), SHA256: sha256.Sum256(body), Body: bytes.NewReader(body)}
}

// message is an RFC 5424 message with one element of structured data.
type message struct {
	priority, time, host, app, proc, id, element, text string
	params                                             map[string]string
}

var (
	messageShape = regexp.MustCompile(`^<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) \[([^ =\]"]+)((?: [^ =\]"]+="(?:[^"\\\]]|\\["\\\]])*")*)\] (.*)$`)
	paramShape   = regexp.MustCompile(` ([^ =\]"]+)="((?:[^"\\\]]|\\["\\\]])*)"`)
)

func parseMessage(t *testing.T, line string) message {
	t.Helper()
	m := messageShape.FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("not an RFC 5424 message: %q", line)
	}
	params := map[string]string{}
	for _, p := range paramShape.FindAllStringSubmatch(m[8], -1) {
		params[p[1]] = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\]`, `]`).Replace(p[2])
	}
	return message{m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[9], params}
}

func checkLine(t *testing.T, line string, s anchor.Submission, l *testLog) {
	t.Helper()
	m := parseMessage(t, line)
	if m.priority != "109" || m.time != "2026-03-11T12:00:00.000000Z" || m.host != "-" || m.app != "daybook" || m.proc != "-" || m.id != "checkpoint" ||
		m.element != "checkpoint@32473" {
		t.Errorf("header %+v", m)
	}
	root := l.root(s.Size).String()
	if m.params["origin"] != s.Origin || m.params["size"] != strconv.FormatInt(s.Size, 10) || m.params["root"] != root {
		t.Errorf("parameters %v", m.params)
	}
	whole, err := base64.StdEncoding.DecodeString(m.params["note"])
	if err != nil || string(whole) != string(s.Checkpoint) {
		t.Errorf("note %q, %v", whole, err)
	}
	if !strings.Contains(m.text, root) || !strings.Contains(m.text, origin) {
		t.Errorf("text %q", m.text)
	}
}

// readCounted reads one octet-counted message and the end of the stream (RFC 6587, 3.4.1).
func readCounted(r io.Reader) (string, error) {
	in := bufio.NewReader(r)
	count, err := in.ReadString(' ')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(count, " "))
	if err != nil {
		return "", err
	}
	line := make([]byte, n)
	if _, err := io.ReadFull(in, line); err != nil {
		return "", err
	}
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		return "", errors.Join(err, errors.New("more behind it"))
	}
	return string(line), nil
}

type received struct {
	line string
	err  error
}

// serve takes one connection and reads one message from it.
func serve(t *testing.T, ln net.Listener) <-chan received {
	t.Helper()
	t.Cleanup(func() { _ = ln.Close() })
	out := make(chan received, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			out <- received{"", err}
			return
		}
		line, err := readCounted(conn)
		out <- received{line, errors.Join(err, conn.Close())}
	}()
	return out
}

// servePacket reads one datagram.
func servePacket(t *testing.T, network, address string) (net.PacketConn, <-chan received) {
	t.Helper()
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		t.Skipf("no datagrams on %s sockets: %v", network, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	out := make(chan received, 1)
	go func() {
		buf := make([]byte, 1<<16)
		n, _, err := conn.ReadFrom(buf)
		out <- received{string(buf[:n]), err}
	}()
	return conn, out
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// testTLS returns a certificate for 127.0.0.1 and who vouches for it.
func testTLS(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return &tls.Config{Certificates: server.TLS.Certificates}, pool
}

func TestSyslog(t *testing.T) {
	config, pool := testTLS(t)
	for name, begin := range map[string]func(t *testing.T) (string, <-chan received){
		"udp": func(t *testing.T) (string, <-chan received) {
			conn, got := servePacket(t, "udp", "127.0.0.1:0")
			return "udp://" + conn.LocalAddr().String(), got
		},
		"tcp": func(t *testing.T) (string, <-chan received) {
			ln := listen(t, "tcp", "127.0.0.1:0")
			return "tcp://" + ln.Addr().String(), serve(t, ln)
		},
		"tls": func(t *testing.T) (string, <-chan received) {
			ln := listen(t, "tcp", "127.0.0.1:0")
			return "tls://" + ln.Addr().String(), serve(t, tls.NewListener(ln, config))
		},
		"unix datagram": func(t *testing.T) (string, <-chan received) {
			path := filepath.Join(t.TempDir(), "log")
			_, got := servePacket(t, "unixgram", path)
			return "unix://" + path, got
		},
		"unix stream": func(t *testing.T) (string, <-chan received) {
			path := filepath.Join(t.TempDir(), "log")
			return "unix://" + path, serve(t, listen(t, "unix", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, 9)
			where, got := begin(t)
			a, err := anchor.NewSyslog("siem", where, &anchor.Options{Now: atNoon, RootCAs: pool})
			if err != nil {
				t.Fatal(err)
			}
			r, err := a.Submit(t.Context(), l.at(5))
			if err != nil {
				t.Fatal(err)
			}
			if r.Ext != "" || r.Data != nil || r.By != where || !r.At.Equal(noon) || a.Kind() != anchor.KindSyslog {
				t.Errorf("receipt %+v", r)
			}
			line := <-got
			if line.err != nil {
				t.Fatal(line.err)
			}
			checkLine(t, line.line, l.at(5), l)
		})
	}
}

func TestSyslogOptions(t *testing.T) {
	l := newLog(t, 9)
	conn, got := servePacket(t, "udp", "127.0.0.1:0")
	a, err := anchor.NewSyslog("siem", "udp://"+conn.LocalAddr().String(), &anchor.Options{Enterprise: 4711, Hostname: "exporter-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Submit(t.Context(), l.at(5)); err != nil {
		t.Fatal(err)
	}
	if m := parseMessage(t, (<-got).line); m.host != "exporter-1" || m.element != "checkpoint@4711" {
		t.Errorf("header %+v", m)
	}
	for where, want := range map[string]string{
		"udp://host":               "udp://host:port",
		"tcp://:514":               "tcp://host:port",
		"tcp://host:514/path":      "tcp://host:port",
		"tls://u:secret@host:6514": "neither a user",
		"udp://host:514?x=1":       "neither a user",
		"unix://dev/log":           "unix:///path",
		"unix://":                  "unix:///path",
		"http://host:514":          "must begin with",
		"siem.example.org":         "must begin with",
		"tcp://host:514\x00":       "not a URL",
		"tcp://u:secret@host:51x":  "not a URL",
	} {
		_, err := anchor.NewSyslog("siem", where, nil)
		says(t, err, nil, "anchor siem (syslog): ", want)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("it tells a secret: %v", err)
		}
	}
	if _, err := anchor.NewSyslog("siem", "udp://host:1", &anchor.Options{Hostname: "a b"}); err == nil {
		t.Error("a host name with a space was taken")
	}
}

// Names that would break a line or its structured data do neither.
func TestSyslogEscapes(t *testing.T) {
	l := newLog(t, 9)
	conn, got := servePacket(t, "udp", "127.0.0.1:0")
	a, err := anchor.NewSyslog("siem", "udp://"+conn.LocalAddr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const odd = `a"b]c\d` + "\u0085\u2028e"
	s := anchor.Submission{Origin: odd, Size: 5, Checkpoint: bytes.Replace(l.checkpoint(5), []byte(origin), []byte(odd), 1)}
	if _, err := a.Submit(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	line := (<-got).line
	if m := parseMessage(t, line); m.params["origin"] != `a"b]c\d`+"\ufffd\ufffde" || m.params["size"] != "5" {
		t.Errorf("parameters %v", m.params)
	}
	if strings.ContainsAny(line, "\n\r\u0085\u2028") {
		t.Errorf("a broken line: %q", line)
	}
}

func TestSyslogFaults(t *testing.T) {
	l := newLog(t, 9)
	config, pool := testTLS(t)
	submit := func(ctx context.Context, where string, o *anchor.Options) error {
		t.Helper()
		a, err := anchor.NewSyslog("siem", where, o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Submit(ctx, l.at(5))
		return err
	}
	t.Run("nobody there", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		says(t, submit(t.Context(), "tcp://"+ln.Addr().String(), nil), nil, "siem", ln.Addr().String())
		says(t, submit(t.Context(), "unix://"+filepath.Join(t.TempDir(), "none"), nil), nil, "siem", "none")
	})
	t.Run("broken off", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0")
		defer ln.Close()
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, conn)     // until we say that there is no more
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset instead of a farewell
			_ = conn.Close()
		}()
		says(t, submit(t.Context(), "tcp://"+ln.Addr().String(), nil), syscall.ECONNRESET, "siem")
	})
	t.Run("not whom we trust", func(t *testing.T) {
		ln := tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), config)
		got := serve(t, ln)
		var unknown x509.UnknownAuthorityError
		if err := submit(t.Context(), "tls://"+ln.Addr().String(), nil); !errors.As(err, &unknown) {
			t.Errorf("error %v, want one about the authority", err)
		}
		if r := <-got; r.err == nil {
			t.Errorf("it was sent %q", r.line)
		}
	})
	t.Run("another host", func(t *testing.T) {
		ln := tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), config)
		got := serve(t, ln)
		_, port, err := net.SplitHostPort(ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		var other x509.HostnameError
		if err := submit(t.Context(), "tls://localhost:"+port, &anchor.Options{RootCAs: pool}); !errors.As(err, &other) {
			t.Errorf("error %v, want one about the host", err)
		}
		<-got
	})
	t.Run("in no time", func(t *testing.T) {
		ln := listen(t, "tcp", "127.0.0.1:0") // never answers a handshake
		defer ln.Close()
		err := submit(t.Context(), "tls://"+ln.Addr().String(), &anchor.Options{Timeout: 50 * time.Millisecond})
		says(t, err, context.DeadlineExceeded, "siem")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		says(t, submit(ctx, "tcp://"+ln.Addr().String(), nil), context.Canceled, "siem")
	})
	t.Run("link-local", func(t *testing.T) {
		for _, where := range []string{"tcp://169.254.169.254:80", "udp://[fe80::1]:514", "udp://224.0.0.1:514", "tcp://[fd00:ec2::254]:80", "udp://[::ffff:169.254.169.254]:1"} {
			says(t, submit(t.Context(), where, nil), nil, "no anchor can have this address")
		}
	})
}

// A collector that keeps its end open does not hold us up for long, and is no fault.
func TestSyslogOpenEnd(t *testing.T) {
	l := newLog(t, 9)
	ln := listen(t, "tcp", "127.0.0.1:0")
	defer ln.Close()
	done := make(chan struct{})
	defer close(done)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			<-done
			_ = conn.Close()
		}
	}()
	a, err := anchor.NewSyslog("siem", "tcp://"+ln.Addr().String(), &anchor.Options{Timeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Submit(t.Context(), l.at(5)); err != nil {
		t.Error(err)
	}
}
