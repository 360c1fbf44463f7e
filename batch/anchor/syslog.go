package anchor

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"filippo.io/torchwood"
)

const (
	// priority is facility 13, log audit, and severity 5, notice: 13*8+5.
	priority          = "109"
	exampleEnterprise = 32473
	maxHostname       = 255

	// farewell is how long the end of a connection is awaited after the line was sent, to see whether the peer broke it off.
	farewell = 2 * time.Second
)

type syslogAnchor struct {
	base
	network string // udp, tcp, tls or unix
	address string
	where   string // for people
}

// NewSyslog returns an anchor that sends each checkpoint as an RFC 5424 message to where: udp://host:port (one message a datagram, RFC 5426), tcp://host:port or
// tls://host:port (octet-counted, RFC 6587 and 5425), or unix:///path (a datagram or, if that is what the socket is, an octet-counted stream).
//
//	<109>1 2026-03-11T01:00:00.000000Z - daybook - checkpoint [checkpoint@32473 origin="…" size="42" root="<base64>" note="<base64 of the checkpoint file>"] checkpoint 42 of …, root …
//
// The note is the whole file, so that a checkpoint to verify against can be had from the collector: base64 -d gives it.
func NewSyslog(name, where string, o *Options) (Anchor, error) {
	a := &syslogAnchor{base: base{name, KindSyslog, o.orDefault()}, where: where}
	if a.opts.Enterprise == 0 {
		a.opts.Enterprise = exampleEnterprise
	}
	if a.opts.Hostname == "" {
		a.opts.Hostname = "-"
	}
	if h := a.opts.Hostname; len(h) > maxHostname || strings.ContainsFunc(h, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, a.wrap(fmt.Errorf("host name %q: must be at most %d characters of visible ASCII", h, maxHostname))
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, a.wrap(fmt.Errorf("not a URL: %w", errors.Unwrap(err)))
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, a.wrap(errors.New("its URL must hold neither a user nor a query nor a fragment"))
	}
	a.network = u.Scheme
	switch u.Scheme {
	case "udp", "tcp", "tls":
		if u.Hostname() == "" || u.Port() == "" || u.Path != "" {
			return nil, a.wrap(fmt.Errorf("%q: must be %s://host:port", where, u.Scheme))
		}
		a.address = u.Host
	case "unix":
		if u.Host != "" || u.Path == "" {
			return nil, a.wrap(fmt.Errorf("%q: must be unix:///path", where))
		}
		a.address = u.Path
	default:
		return nil, a.wrap(fmt.Errorf("%q: must begin with udp://, tcp://, tls:// or unix://", where))
	}
	return a, nil
}

func (a *syslogAnchor) Submit(ctx context.Context, s Submission) (Receipt, error) {
	ctx, cancel, c, err := a.begin(ctx, s)
	if err != nil {
		return Receipt{}, err
	}
	defer cancel()
	now := a.opts.Now().UTC()
	if err := a.send(ctx, a.line(c, s.Checkpoint, now)); err != nil {
		return Receipt{}, a.wrap(fmt.Errorf("%s: %w", a.where, err))
	}
	return Receipt{By: a.where, At: now}, nil
}

func (a *syslogAnchor) line(c torchwood.Checkpoint, checkpoint []byte, now time.Time) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%s>1 %s %s daybook - checkpoint ", priority, now.Format("2006-01-02T15:04:05.000000Z"), a.opts.Hostname)
	fmt.Fprintf(&b, `[checkpoint@%d origin="%s" size="%d" root="%s" note="%s"]`, a.opts.Enterprise, escape(c.Origin), c.N, c.Hash,
		base64.StdEncoding.EncodeToString(checkpoint))
	fmt.Fprintf(&b, " checkpoint %d of %s, root %s", c.N, printable(c.Origin), c.Hash)
	return b.Bytes()
}

// escape writes the value of a parameter of structured data (RFC 5424, 6.3.3).
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`).Replace(printable(s))
}

// printable keeps control characters, which a signed note can't hold but for line feeds, from ever ending a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// send writes one message. On a stream it then says that it has no more, and looks whether the peer broke off: what was written to a connection that a peer has
// reset is lost, though the write succeeded.
func (a *syslogAnchor) send(ctx context.Context, line []byte) (err error) {
	conn, datagram, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := conn.Close(); err == nil {
			err = closeErr
		}
	}()
	deadline, _ := ctx.Deadline() // begin has set one
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if !datagram {
		line = append(append([]byte(strconv.Itoa(len(line))), ' '), line...)
	}
	if _, err := conn.Write(line); err != nil {
		return cause(ctx, err)
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && !datagram {
		if err := half.CloseWrite(); err != nil {
			return cause(ctx, err)
		}
		return cause(ctx, a.awaitEnd(conn, deadline))
	}
	return nil
}

func (a *syslogAnchor) awaitEnd(conn net.Conn, deadline time.Time) error {
	if soon := time.Now().Add(farewell); soon.Before(deadline) {
		if err := conn.SetReadDeadline(soon); err != nil {
			return err
		}
	}
	// A collector has nothing to say. Whatever it does say, and that it keeps its end open, is no fault.
	_, err := conn.Read(make([]byte, 1))
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return err
	}
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return err
	}
	return nil
}

// cause prefers the context's reason over that of the call that it interrupted.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (a *syslogAnchor) dial(ctx context.Context) (conn net.Conn, datagram bool, err error) {
	dialer := newDialer()
	switch a.network {
	case "udp":
		conn, err = dialer.DialContext(ctx, "udp", a.address)
		return conn, true, err
	case "tls":
		secure := tls.Dialer{NetDialer: dialer, Config: &tls.Config{RootCAs: a.opts.RootCAs, MinVersion: tls.VersionTLS12}}
		conn, err = secure.DialContext(ctx, "tcp", a.address)
		return conn, false, err
	case "unix":
		conn, err = dialer.DialContext(ctx, "unixgram", a.address)
		if errors.Is(err, syscall.EPROTOTYPE) || isSocketTypeError(err) {
			conn, err = dialer.DialContext(ctx, "unix", a.address)
			return conn, false, err
		}
		return conn, true, err
	}
	conn, err = dialer.DialContext(ctx, "tcp", a.address)
	return conn, false, err
}

// isSocketTypeError reports whether a system that has no datagrams on such sockets said so.
func isSocketTypeError(err error) bool {
	var unknown net.UnknownNetworkError
	var syscallErr *os.SyscallError
	return errors.As(err, &unknown) || errors.As(err, &syscallErr) && errors.Is(syscallErr.Err, errors.ErrUnsupported)
}
