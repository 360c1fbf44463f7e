package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
)

// Retry is how failures are met that may pass: no connection, no answer, 500, 503, 429 and their like. Each is tried again after a wait
// that doubles, of which a random half is left out. Zero fields have defaults.
type Retry struct {
	Attempts int           // in all; default 8
	Base     time.Duration // the first wait; default 250 ms
	Max      time.Duration // the longest wait; default 30 s
}

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 8
	}
	if r.Base <= 0 {
		r.Base = 250 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 30 * time.Second
	}
	return r
}

// wait is how long to wait after the n-th attempt, counted from 1.
func (r Retry) wait(n int) time.Duration {
	d := r.Max
	if n < 32 && r.Base<<(n-1) < r.Max {
		d = r.Base << (n - 1)
	}
	return d/2 + rand.N(d/2+1)
}

// errStalled says that a request went without a byte of progress for too long.
var errStalled = errors.New("no progress")

// retry calls f until it succeeds, fails for good, or has failed too often. The context of a call ends when its watch does.
func (s *Store) retry(ctx context.Context, what string, f func(context.Context, *watch) error) error {
	refreshed := false
	for n := 1; ; n++ {
		attempt, w := newWatch(ctx, s.timeout)
		err := f(attempt, w)
		if err != nil && errors.Is(context.Cause(attempt), errStalled) {
			err = fmt.Errorf("%w for %s", errStalled, s.timeout)
		}
		if err != nil || !w.kept {
			w.stop()
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		if expired(err) && !refreshed {
			refreshed = true
			s.creds.Expire()
			s.log.InfoContext(ctx, "credentials have expired: reading them again", "request", what)
			continue
		}
		if !retryable(err) {
			return fmt.Errorf("%s: %w", what, detail(err))
		}
		if n >= s.retries.Attempts {
			return fmt.Errorf("%s: %w (tried %d times)", what, detail(err), n)
		}
		wait := s.retries.wait(n)
		s.log.WarnContext(ctx, "request failed, trying again", "request", what, "attempt", n, "wait", wait, "error", detail(err))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w (last: %w)", what, context.Cause(ctx), detail(err))
		}
	}
}

// watch ends a request that makes no progress.
type watch struct {
	timeout time.Duration
	timer   *time.Timer
	cancel  context.CancelCauseFunc
	kept    bool // set where the request goes on after retry: who set it calls stop
}

func newWatch(ctx context.Context, timeout time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{timeout: timeout, timer: time.AfterFunc(timeout, func() { cancel(errStalled) }), cancel: cancel}
}

// progress puts the end off. It does not bring back a request that was ended.
func (w *watch) progress() { w.timer.Reset(w.timeout) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// response returns what the server answered, if it was the server that refused.
func response(err error) (minio.ErrorResponse, bool) {
	var r minio.ErrorResponse
	return r, errors.As(err, &r) && r.StatusCode != 0
}

// said reports whether the server answered with the code. minio-go makes codes up for answers that have none, such as a proxy's; those
// do not count. Nor does a status alone: versitygw answers 404 to an access key that it does not know.
func said(err error, code string) bool {
	r, ok := response(err)
	return ok && r.Code == code && r.XMLName.Local == "Error"
}

// detail puts status and code before the message of a server's answer, which is all that minio-go prints.
func detail(err error) error {
	r, ok := response(err)
	if !ok {
		return err
	}
	code := r.Code
	if code == "" {
		code = http.StatusText(r.StatusCode)
	}
	if r.RequestID == "" {
		return fmt.Errorf("%d %s: %w", r.StatusCode, code, err)
	}
	return fmt.Errorf("%d %s: %w (request %s)", r.StatusCode, code, err, r.RequestID)
}

// expired reports whether new credentials may help.
func expired(err error) bool {
	r, ok := response(err)
	return ok && (r.Code == "ExpiredToken" || r.Code == "ExpiredTokenException" || r.Code == "TokenRefreshRequired")
}

// retryable reports whether a failure may pass by itself.
func retryable(err error) bool {
	if r, ok := response(err); ok {
		switch r.Code {
		case "SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "InternalError", "Throttling", "RequestLimitExceeded",
			"OperationAborted", "ConditionalRequestConflict": // the last two: another request on the same key is under way
			return true
		case "GlacierExpeditedRetrievalNotAvailable": // 503, for hours
			return false
		}
		switch r.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var (
		bodyErr   *bodyError
		record    tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		dns       *net.DNSError
		urlErr    *url.Error
		netErr    net.Error
	)
	switch {
	case errors.Is(err, errNoCredentials), errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &bodyErr), errors.As(err, &record), errors.As(err, &authority),
		errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &dns) && dns.IsNotFound:
		return false
	}
	return errors.Is(err, errStalled) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &urlErr) || errors.As(err, &netErr)
}
