package s3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/sinktest"
)

func hint(err error) string {
	var h *sink.HintError
	if errors.As(err, &h) {
		return h.Hint
	}
	return ""
}

// wantError holds err to a sentinel (or nil) and to words of its text and of its hint.
func wantError(t *testing.T, err, sentinel error, text, hintText string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("no error, want one with %q", text)
	case sentinel != nil && !errors.Is(err, sentinel):
		t.Errorf("error %q is not %q", err, sentinel)
	case errors.Is(err, sink.ErrNotExist) && !errors.Is(sentinel, sink.ErrNotExist):
		t.Errorf("error %q reads as absent", err)
	case !strings.Contains(err.Error(), text):
		t.Errorf("error %q, want %q in it", err, text)
	case !strings.Contains(hint(err), hintText):
		t.Errorf("hint %q of %q, want %q in it", hint(err), err, hintText)
	}
}

func TestConformanceOfFake(t *testing.T) {
	for _, mode := range []sink.Mode{sink.Compliance, sink.Governance, sink.None} {
		if mode != sink.Compliance && !effort.Long() {
			t.Logf("mode %q is left to make unit", mode)
			continue
		}
		t.Run("mode="+string(mode), func(t *testing.T) {
			fakes := make(map[sink.Store]*fake)
			sinktest.Run(t, func(t *testing.T) sink.Store {
				f := newFake(t)
				s := open(t, "s3://bucket/audit", f.options(t, mode))
				fakes[s] = f
				return s
			}, sinktest.Caps{
				Mode:        mode,
				Versions:    true,
				ContentType: true,
				Hide: func(_ *testing.T, s sink.Store, key string) {
					fakes[s].change(func(b *fakeBucket) { b.add("audit/"+key, &fakeVersion{marker: true}) })
				},
				Overwrite: func(_ *testing.T, s sink.Store, key string, body []byte) {
					fakes[s].change(func(b *fakeBucket) { b.add("audit/"+key, &fakeVersion{body: body}) })
				},
				Lists: true,
			})
		})
	}
}

// TestWire holds what a PUT carries. MinIO and versitygw take a locked PUT without any checksum, AWS does not.
func TestWire(t *testing.T) {
	effort.NeedsLong(t)
	f := newFake(t)
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	for _, size := range []int{0, 9, 20 << 20} {
		o := object("day.csv.gz", strings.Repeat("x", size), sink.Compliance)
		o.ContentType = "application/gzip"
		o.Lock.RetainUntil = time.Date(2099, 3, 10, 0, 0, 0, 1, time.UTC) // S3 would cut the fraction off
		if _, err := s.Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		requests := f.took()
		got := fmt.Sprint(requests)
		if want := "[HEAD /bucket/audit/day.csv.gz GET /bucket/audit/day.csv.gz PUT /bucket/audit/day.csv.gz HEAD /bucket/audit/day.csv.gz?versionId=v1]"; got != want {
			t.Errorf("%d bytes: requests %s, want %s", size, got, want)
		}
		put := requests[2]
		want := map[string]string{
			"If-None-Match":                       "*",
			"X-Amz-Content-Sha256":                hex.EncodeToString(o.SHA256[:]),
			"X-Amz-Checksum-Sha256":               base64.StdEncoding.EncodeToString(o.SHA256[:]),
			"X-Amz-Object-Lock-Mode":              "COMPLIANCE",
			"X-Amz-Object-Lock-Retain-Until-Date": "2099-03-10T00:00:01Z",
			"Content-Type":                        "application/gzip",
			"Content-Encoding":                    "",
			"X-Amz-Trailer":                       "",
			"X-Amz-Decoded-Content-Length":        "",
			"Expect":                              "",
		}
		if size > 2<<20 {
			want["Expect"] = "100-continue"
		}
		for name, value := range want {
			if got := put.header.Get(name); got != value {
				t.Errorf("%d bytes: header %s is %q, want %q", size, name, got, value)
			}
		}
		if put.length != int64(size) || put.chunked {
			t.Errorf("%d bytes: length %d, chunked %v", size, put.length, put.chunked)
		}
		_, signed, _ := strings.Cut(put.header.Get("Authorization"), "SignedHeaders=")
		signed, _, _ = strings.Cut(signed, ",")
		for _, name := range []string{"if-none-match", "x-amz-checksum-sha256", "x-amz-content-sha256", "x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"} {
			if !slices.Contains(strings.Split(signed, ";"), name) {
				t.Errorf("header %s is not signed, only %s", name, signed)
			}
		}
		f.change(func(b *fakeBucket) { b.objects, b.serial = make(map[string][]*fakeVersion), 0 })
	}
}

// TestEncryptionOnWire holds what is asked of the server, and what is made of its answer.
func TestEncryptionOnWire(t *testing.T) {
	const arn = "arn:aws:kms:eu-west-1:111122223333:key/1234"
	for _, c := range []struct {
		name       string
		encryption s3.Encryption
		key        string
		sent       [2]string // algorithm and key
		told       [2]string
		err        string
	}{
		{name: "nothing asked", told: [2]string{"AES256"}},
		{name: "sse-s3", encryption: s3.SSES3, sent: [2]string{"AES256"}, told: [2]string{"AES256"}},
		{name: "sse-s3 not done", encryption: s3.SSES3, sent: [2]string{"AES256"}, err: "AES256 was asked for, and the store says that the object is not encrypted"},
		{name: "sse-s3 done otherwise", encryption: s3.SSES3, sent: [2]string{"AES256"}, told: [2]string{"aws:kms", arn}, err: "encrypted by aws:kms " + arn},
		{name: "sse-kms", encryption: s3.SSEKMS, sent: [2]string{"aws:kms"}, told: [2]string{"aws:kms", arn}},
		{name: "a key by its id", encryption: s3.SSEKMS, key: "1234", sent: [2]string{"aws:kms", "1234"}, told: [2]string{"aws:kms", arn}},
		{name: "a key by its ARN", encryption: s3.SSEKMS, key: arn, sent: [2]string{"aws:kms", arn}, told: [2]string{"aws:kms", arn}},
		{name: "a key by an alias", encryption: s3.SSEKMS, key: "alias/audit", sent: [2]string{"aws:kms", "alias/audit"}, told: [2]string{"aws:kms", arn}},
		{name: "another key", encryption: s3.SSEKMS, key: "12345", sent: [2]string{"aws:kms", "12345"}, told: [2]string{"aws:kms", arn}, err: "aws:kms 12345 was asked for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.change(func(b *fakeBucket) { b.encryption, b.kmsKey = c.told[0], c.told[1] })
			opts := f.options(t, sink.Compliance)
			opts.Encryption, opts.KMSKey = c.encryption, c.key
			s := open(t, "s3://bucket/audit", opts)
			_, err := s.Put(t.Context(), object("a", "x", sink.Compliance))
			if c.err == "" && err != nil {
				t.Fatal(err)
			}
			if c.err != "" {
				wantError(t, err, sink.ErrUnfit, c.err, "daybook doctor")
			}
			for _, r := range f.took() {
				if r.method != http.MethodPut {
					continue
				}
				got := [2]string{r.header.Get("X-Amz-Server-Side-Encryption"), r.header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")}
				if got != c.sent {
					t.Errorf("sent %q, want %q", got, c.sent)
				}
			}
			// What lies there in the clear is no better the second time, or a run that is tried again would end well.
			_, err = s.Put(t.Context(), object("a", "x", sink.Compliance))
			if c.err == "" && err != nil {
				t.Errorf("again: %v", err)
			}
			if c.err != "" {
				wantError(t, err, sink.ErrUnfit, c.err, "older than the setting")
			}
			// Keys and the log are put again and again, and may be older than the setting.
			for _, key := range []string{"keys/0123.pem", "log/tile/0/000"} {
				_, _ = s.Put(t.Context(), object(key, "x", sink.Compliance))
				if _, err := s.Put(t.Context(), object(key, "x", sink.Compliance)); err != nil {
					t.Errorf("%s again: %v", key, err)
				}
			}
		})
	}
	for _, opts := range []s3.Options{{Encryption: "rot13"}, {KMSKey: "k"}, {Encryption: s3.SSES3, KMSKey: "k"}} {
		opts.Mode = sink.Compliance
		if _, err := s3.New("s3://bucket", &opts); err == nil {
			t.Errorf("New with %+v succeeded", opts)
		}
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault
	}{
		{"503 SlowDown", fault{method: "PUT", times: 3, status: 503, code: "SlowDown"}},
		{"503 of HEAD", fault{method: "HEAD", times: 3, status: 503}},
		{"503 of GET", fault{method: "GET", times: 3, status: 503, code: "ServiceUnavailable"}},
		{"500", fault{method: "PUT", times: 1, status: 500, code: "InternalError"}},
		{"502 without a code", fault{method: "PUT", times: 1, status: 502}},
		{"429", fault{method: "PUT", times: 1, status: 429, code: "TooManyRequests"}},
		{"400 RequestTimeout", fault{method: "PUT", times: 1, status: 400, code: "RequestTimeout"}},
		{"409 of a racing request", fault{method: "PUT", times: 1, status: 409, code: "ConditionalRequestConflict"}},
		{"connection closed before", fault{method: "PUT", times: 2}},
		{"connection closed after", fault{method: "PUT", times: 1, persisted: true}},
		{"503 after", fault{method: "PUT", times: 1, persisted: true, status: 503, code: "SlowDown"}},
		{"no answer", fault{method: "PUT", times: 1, hang: true}},
		{"no answer, but stored", fault{method: "PUT", times: 1, hang: true, persisted: true}},
		{"no answer to HEAD", fault{method: "HEAD", times: 1, hang: true}},
		{"expired token", fault{method: "PUT", times: 1, status: 400, code: "ExpiredToken"}},
	} {
		bubble(t, c.name, func(t *testing.T) {
			f := newDirectFake()
			opts := f.options(t, sink.Compliance)
			opts.Retry = s3.Retry{} // the defaults
			s := open(t, "s3://bucket", opts)
			f.fail(c.fault)
			start := time.Now()
			o := object("a/b", "the bytes", sink.Compliance)
			info, err := s.Put(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if info.SHA256 != o.SHA256 || !info.Lock.Covers(o.Lock) || info.Version != "v1" || info.Existed != c.fault.persisted {
				t.Errorf("Put = %+v", info)
			}
			if n := f.versions("a/b"); n != 1 {
				t.Errorf("%d versions", n)
			}
			least, most := time.Duration(0), 3*time.Second
			if c.fault.hang {
				least, most = 2*time.Minute, 2*time.Minute+time.Second
			}
			if took := time.Since(start); took < least || took > most {
				t.Errorf("took %s, want %s to %s", took, least, most)
			}
		})
	}
}

// bubble runs a test in which time passes when nothing else does.
func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// TestClosedConnection loses the connection before a PUT was looked at, and after it was done.
func TestClosedConnection(t *testing.T) {
	effort.NeedsLong(t)
	for _, persisted := range []bool{false, true} {
		f := newFake(t)
		s := open(t, "s3://bucket", f.options(t, sink.Compliance))
		f.fail(fault{method: "PUT", times: 1, persisted: persisted})
		info, err := s.Put(t.Context(), object("a", strings.Repeat("x", 3<<20), sink.Compliance))
		if err != nil || info.Existed != persisted || f.versions("a") != 1 {
			t.Errorf("Put = %+v, %v; %d versions", info, err, f.versions("a"))
		}
	}
}

func TestGivesUp(t *testing.T) {
	for _, c := range []struct {
		name     string
		fault    fault
		requests int // of the method
		text     string
		hint     string
	}{
		{"503", fault{method: "PUT", status: 503, code: "SlowDown"}, 4, "503 SlowDown", "run again later"},
		{"503 of HEAD", fault{method: "HEAD", status: 503}, 4, "503", "run again later"},
		{"no connection", fault{method: "PUT"}, 4, "tried 4 times", "check the network"},
		{"no answer", fault{method: "PUT", hang: true}, 4, "no progress for", "check the network"},
		{"403", fault{method: "PUT", status: 403, code: "AccessDenied"}, 1, "403 AccessDenied", "s3:PutObject and s3:PutObjectRetention on arn:aws:s3:::bucket/audit/*"},
		{"403 of HEAD and GET", fault{method: "GET", status: 403, code: "AccessDenied"}, 1, "403 AccessDenied", "s3:GetObject"},
		{"bad keys", fault{method: "PUT", status: 403, code: "SignatureDoesNotMatch"}, 1, "403 SignatureDoesNotMatch", "secret key"},
		{"skew", fault{method: "PUT", status: 403, code: "RequestTimeTooSkewed"}, 1, "403 RequestTimeTooSkewed", "clock"},
		{"expired for good", fault{method: "PUT", status: 400, code: "ExpiredToken"}, 2, "400 ExpiredToken", "renew"},
		{"region", fault{method: "PUT", status: 400, code: "AuthorizationHeaderMalformed", region: "eu-west-1"}, 1, "AuthorizationHeaderMalformed", "region eu-west-1"},
		{"no condition", fault{method: "PUT", status: 501, code: "NotImplemented"}, 1, "501 NotImplemented", "lacks"},
		{"full", fault{method: "PUT", status: 507, code: "XMinioStorageFull"}, 1, "507 XMinioStorageFull", "make room"},
		{"digest", fault{method: "PUT", status: 400, code: "BadDigest"}, 1, "400 BadDigest", ""},
	} {
		bubble(t, c.name, func(t *testing.T) {
			f := newDirectFake()
			s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
			c.fault.times = -1
			f.fail(c.fault)
			if c.fault.method == "GET" {
				f.fail(fault{method: "HEAD", status: 403, times: -1})
			}
			_, err := s.Put(t.Context(), object("a", "x", sink.Compliance))
			wantError(t, err, nil, c.text, c.hint)
			for _, sentinel := range []error{sink.ErrConflict, sink.ErrHidden, sink.ErrLock, sink.ErrUnfit} {
				if errors.Is(err, sentinel) {
					t.Errorf("error %q is %q", err, sentinel)
				}
			}
			n := 0
			for _, r := range f.took() {
				if r.method == c.fault.method {
					n++
				}
			}
			if n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
			f.heal()
			if _, err := s.Put(t.Context(), object("a", "x", sink.Compliance)); err != nil {
				t.Errorf("after it passed: %v", err)
			}
		})
	}
}

func TestLargeRefusedPutIsReadAsRefusal(t *testing.T) {
	effort.NeedsLong(t)
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.Compliance))
	f.fail(fault{method: "PUT", times: -1, status: 403, code: "AccessDenied"})
	_, err := s.Put(t.Context(), object("a", strings.Repeat("x", 64<<20), sink.Compliance))
	wantError(t, err, nil, "403 AccessDenied", "s3:PutObject")
}

func TestCancelWhileWaiting(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newDirectFake()
		opts := f.options(t, sink.Compliance)
		opts.Retry = s3.Retry{Attempts: 3, Base: time.Hour, Max: time.Hour}
		ctx, cancel := context.WithCancel(t.Context())
		opts.Log = slog.New(slog.NewTextHandler(writer(func(p []byte) {
			if !bytes.Contains(p, []byte("trying again")) || !bytes.Contains(p, []byte("attempt=1")) {
				t.Errorf("log %s", p)
			}
			time.AfterFunc(time.Minute, cancel)
		}), nil))
		s := open(t, "s3://bucket", opts)
		f.fail(fault{method: "PUT", times: -1, status: 503, code: "SlowDown"})
		start := time.Now()
		_, err := s.Put(ctx, object("a", "x", sink.Compliance))
		wantError(t, err, context.Canceled, "503 SlowDown", "")
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

type writer func([]byte)

func (f writer) Write(p []byte) (int, error) { f(p); return len(p), nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestExpiredKeysAreReadAgain(t *testing.T) {
	f := newFake(t)
	opts := f.options(t, sink.Compliance)
	s := open(t, "s3://bucket", opts)
	if _, err := s.Put(t.Context(), object("a", "x", sink.Compliance)); err != nil {
		t.Fatal(err)
	}
	access, _ := keyFiles(t, "AKIARENEWED", "")
	rename(t, access, opts.AccessKeyFile)
	f.fail(fault{method: "PUT", times: 1, status: 400, code: "ExpiredToken"})
	f.took()
	if _, err := s.Put(t.Context(), object("b", "x", sink.Compliance)); err != nil {
		t.Fatal(err)
	}
	all := f.took()
	if last := all[len(all)-1].header.Get("Authorization"); !strings.Contains(last, "AKIARENEWED") {
		t.Errorf("signed by %q", last)
	}
}

// brokenFile fails to be read.
type brokenFile struct{}

var errBroken = errors.New("input/output error")

func (brokenFile) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

func TestUnreadableBodyIsNotRetried(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.Compliance))
	o := object("a", "the bytes", sink.Compliance)
	o.Body = brokenFile{}
	_, err := s.Put(t.Context(), o)
	wantError(t, err, errBroken, "read the file to put at byte 0 of 9", "")
	o.Body = strings.NewReader("the")
	_, err = s.Put(t.Context(), o)
	wantError(t, err, io.ErrUnexpectedEOF, "read the file to put at byte 3 of 9", "")
	if n := f.versions("a"); n != 0 {
		t.Errorf("%d versions", n)
	}
	if strings.Contains(err.Error(), "tried") {
		t.Errorf("tried again: %v", err)
	}
}

func TestHopelessIsNotRetried(t *testing.T) {
	effort.NeedsLong(t)
	for _, hopeless := range []error{
		&net.DNSError{Err: "no such host", Name: "s3.example", IsNotFound: true},
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "s3.example"}},
		&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}},
		tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
		http.ErrSchemeMismatch,
	} {
		f := newDirectFake()
		opts := f.options(t, sink.Compliance)
		n := 0
		opts.Transport = func(http.RoundTripper) http.RoundTripper {
			return roundTripper(func(*http.Request) (*http.Response, error) { n++; return nil, hopeless })
		}
		err := open(t, "s3://bucket", opts).Preflight(t.Context())
		if n != 1 || err == nil || !strings.Contains(err.Error(), hopeless.Error()) {
			t.Errorf("%d requests, %v", n, err)
		}
	}
}

// TestLateReader gives a request up while the transport still holds its body, as net/http may.
func TestLateReader(t *testing.T) {
	f := newDirectFake()
	opts := f.options(t, sink.Compliance)
	told := 0
	opts.Progress = func(string, int64, int64) { told++ }
	var late io.Reader
	opts.Transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut && late == nil {
				late = r.Body
				return nil, io.EOF
			}
			return f.direct(next).RoundTrip(r)
		})
	}
	if _, err := open(t, "s3://bucket", opts).Put(t.Context(), object("a", "x", sink.Compliance)); err != nil {
		t.Fatal(err)
	}
	before := told
	if n, err := late.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read after the end: %d bytes, %v", n, err)
	}
	if before == 0 || told != before {
		t.Errorf("progress told %d times, then %d", before, told)
	}
}

func TestSlowUpload(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay time.Duration // of each read, of about 32 KiB
		ok    bool
	}{
		{"slow", time.Minute, true}, // all in all far more than the time-out
		{"stalled", 3 * time.Minute, false},
	} {
		bubble(t, c.name, func(t *testing.T) {
			f := newDirectFake()
			s := open(t, "s3://bucket", f.options(t, sink.Compliance))
			body := bytes.Repeat([]byte("x"), 1<<20)
			o := object("a", string(body), sink.Compliance)
			o.Lock.RetainUntil = o.Lock.RetainUntil.AddDate(1, 0, 0)
			o.Body = slowFile{bytes.NewReader(body), c.delay}
			_, err := s.Put(t.Context(), o)
			if c.ok && err != nil {
				t.Error(err)
			}
			if !c.ok {
				wantError(t, err, nil, "no progress for 2m0s (tried 4 times)", "network")
			}
		})
	}
}

// slowFile takes its time with each read.
type slowFile struct {
	io.ReaderAt
	delay time.Duration
}

func (f slowFile) ReadAt(p []byte, offset int64) (int, error) {
	time.Sleep(f.delay)
	return f.ReaderAt.ReadAt(p, offset)
}

func TestLockReadBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *fakeBucket)
		want   error
		hint   string
	}{
		{"lock ignored", func(b *fakeBucket) { b.ignoresLock = true }, sink.ErrLock, "s3:GetObjectRetention on arn:aws:s3:::bucket/audit/*"},
		{"lock not shown", func(b *fakeBucket) { b.mayNotReadLoc = true }, sink.ErrLock, "s3:GetObjectRetention"},
		{"lock a second short", func(b *fakeBucket) { b.cutsLock = time.Second }, sink.ErrLock, ""},
		{"versioning suspended meanwhile", func(b *fakeBucket) { b.versioning = "Suspended" }, sink.ErrUnfit, "bucket create"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
			f.change(c.change)
			_, err := s.Put(t.Context(), object("a", "x", sink.Compliance))
			wantError(t, err, c.want, "", c.hint)
		})
	}
}

func TestShorterLockIsLengthened(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name            string
		hasMode         string
		has             time.Duration
		wantMode        sink.Mode
		want            time.Duration
		mode            sink.Mode // after
		until           time.Duration
		lengthens, fail bool
	}{
		{name: "longer there", hasMode: "COMPLIANCE", has: 48 * time.Hour, wantMode: sink.Compliance, want: time.Hour, mode: sink.Compliance, until: 48 * time.Hour},
		{name: "shorter there", hasMode: "COMPLIANCE", has: time.Hour, wantMode: sink.Compliance, want: 48 * time.Hour, mode: sink.Compliance, until: 48 * time.Hour, lengthens: true},
		{name: "none there", wantMode: sink.Governance, want: time.Hour, mode: sink.Governance, until: time.Hour, lengthens: true},
		{name: "governance there", hasMode: "GOVERNANCE", has: 48 * time.Hour, wantMode: sink.Compliance, want: time.Hour, mode: sink.Compliance, until: 48 * time.Hour, lengthens: true},
		{name: "compliance there for governance", hasMode: "COMPLIANCE", has: time.Hour, wantMode: sink.Governance, want: 48 * time.Hour, mode: sink.Compliance, until: 48 * time.Hour, lengthens: true},
		{name: "refused", hasMode: "COMPLIANCE", has: time.Hour, wantMode: sink.Compliance, want: 48 * time.Hour, lengthens: true, fail: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			s := open(t, "s3://bucket", f.options(t, sink.Governance))
			date := func(d time.Duration) time.Time {
				return sinktest.NewObject("a", nil, sink.Compliance, now, d).Lock.RetainUntil
			}
			f.change(func(b *fakeBucket) {
				v := b.add("a", &fakeVersion{body: []byte("x"), mode: c.hasMode})
				if c.hasMode != "" {
					v.until = date(c.has).Format(time.RFC3339)
				}
			})
			if c.fail {
				f.fail(fault{method: "PUT", query: "retention", times: -1, status: 403, code: "AccessDenied"})
			}
			info, err := s.Put(t.Context(), sinktest.NewObject("a", []byte("x"), c.wantMode, now, c.want))
			lengthened := slices.ContainsFunc(f.took(), func(r request) bool { return r.method == "PUT" && strings.Contains(r.query, "retention") })
			if lengthened != c.lengthens {
				t.Errorf("lengthened %v, want %v", lengthened, c.lengthens)
			}
			if c.fail {
				wantError(t, err, sink.ErrLock, "403", "s3:PutObjectRetention")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := (sink.Lock{Mode: c.mode, RetainUntil: date(c.until)}); !info.Existed || info.Lock != want || info.Version != "v1" {
				t.Errorf("Put = %+v, want lock %v", info, want)
			}
		})
	}
}

func TestChecksumNotShown(t *testing.T) {
	for _, c := range []struct {
		name string
		sum  string // what the server shows
		kind string
	}{
		{"none", "", ""},
		{"of parts", base64.StdEncoding.EncodeToString(make([]byte, sha256.Size)) + "-2", "COMPOSITE"},
		{"of parts, uncounted", base64.StdEncoding.EncodeToString(make([]byte, sha256.Size)), "COMPOSITE"},
		{"nonsense", "%%%", "FULL_OBJECT"},
		{"too short", base64.StdEncoding.EncodeToString(make([]byte, 4)), "FULL_OBJECT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			s := open(t, "s3://bucket", f.options(t, sink.None))
			f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: []byte("the bytes"), sum: c.sum, sumType: c.kind}) })
			info, err := s.Head(t.Context(), "a", "")
			if err != nil || info.SHA256 != sha256.Sum256([]byte("the bytes")) {
				t.Errorf("Head = %+v, %v", info, err)
			}
			if info, err = s.Put(t.Context(), object("a", "the bytes", sink.None)); err != nil || !info.Existed {
				t.Errorf("Put of the same = %+v, %v", info, err)
			}
			if _, err = s.Put(t.Context(), object("a", "the bites", sink.None)); !errors.Is(err, sink.ErrConflict) {
				t.Errorf("Put of others = %v", err)
			}
		})
	}
}

func TestStoredOtherwiseIsNoticed(t *testing.T) {
	f := newFake(t)
	opts := f.options(t, sink.Compliance)
	f.change(func(b *fakeBucket) { b.showsNoSum = true })
	opts.Transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if r.Method == http.MethodPut {
				f.change(func(b *fakeBucket) { b.find("a", "").body[0] ^= 1 })
			}
			return resp, err
		})
	}
	_, err := open(t, "s3://bucket", opts).Put(t.Context(), object("a", "the bytes", sink.Compliance))
	wantError(t, err, nil, "reads back as", "")
}

func TestRefusedBeforeAnythingIsSent(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket/"+strings.Repeat("p", 200), f.options(t, sink.Compliance))
	put := func(s *s3.Store, change func(o *sink.Object)) error {
		o := object("a", "x", sink.Compliance)
		change(&o)
		_, err := s.Put(t.Context(), o)
		return err
	}
	wantError(t, put(s, func(o *sink.Object) { o.Size = s3.MaxSize + 1 }), nil, "at most", "")
	wantError(t, put(s, func(o *sink.Object) { o.Size = -1 }), nil, "-1 bytes", "")
	wantError(t, put(s, func(o *sink.Object) { o.Key = "../a" }), nil, "..", "")
	wantError(t, put(s, func(o *sink.Object) { o.Key = strings.Repeat("k/", 412) + "k" }), nil, "1026 bytes", "")
	wantError(t, put(s, func(o *sink.Object) { o.Lock.RetainUntil = time.Now().Add(-time.Second) }), nil, "not ahead of now", "")
	wantError(t, put(s, func(o *sink.Object) { o.Lock.Mode = sink.Governance }), nil, "weaker", "")
	wantError(t, put(s, func(o *sink.Object) { o.Lock = sink.Lock{} }), nil, "weaker", "")
	wantError(t, put(open(t, "s3://bucket", f.options(t, sink.None)), func(*sink.Object) {}), sink.ErrUnfit, "configured without", "lock mode")
	if all := f.took(); len(all) != 0 {
		t.Errorf("sent %v", all)
	}
}

func TestProgress(t *testing.T) {
	f := newFake(t)
	opts := f.options(t, sink.None)
	var sent []int64
	opts.Progress = func(key string, n, size int64) {
		if key != "a" || size != 1<<20 {
			t.Errorf("progress of %q, %d bytes", key, size)
		}
		sent = append(sent, n)
	}
	if _, err := open(t, "s3://bucket", opts).Put(t.Context(), object("a", strings.Repeat("x", 1<<20), sink.None)); err != nil {
		t.Fatal(err)
	}
	if len(sent) == 0 || !slices.IsSorted(sent) || sent[len(sent)-1] != 1<<20 {
		t.Errorf("progress %d", sent)
	}
}
