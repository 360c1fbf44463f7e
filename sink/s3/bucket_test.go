package s3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

func TestPreflight(t *testing.T) {
	const create = "daybook bucket create s3://bucket/audit"
	for _, c := range []struct {
		name   string
		change func(b *fakeBucket)
		fault  fault
		want   error
		text   string
		hint   string
	}{
		{name: "missing", change: func(b *fakeBucket) { b.missing = true }, want: sink.ErrUnfit, text: "no such bucket", hint: create},
		{name: "unlocked", change: func(b *fakeBucket) { b.locking = false }, want: sink.ErrUnfit, text: "Object Lock is not enabled", hint: create},
		{name: "unversioned", change: func(b *fakeBucket) { b.versioning = "" }, want: sink.ErrUnfit, text: "versioning is not enabled", hint: create},
		{name: "suspended", change: func(b *fakeBucket) { b.versioning = "Suspended" }, want: sink.ErrUnfit, text: "versioning is not enabled", hint: create},
		{name: "may not list", change: func(b *fakeBucket) { b.mayNotList = true }, want: sink.ErrUnfit, text: "403", hint: "s3:ListBucket on arn:aws:s3:::bucket and s3:GetObject on arn:aws:s3:::bucket/audit/*"},
		{name: "may not see versioning", fault: fault{method: "GET", query: "versioning", status: 403, code: "AccessDenied"}, want: sink.ErrUnfit, text: "403 AccessDenied", hint: "s3:GetBucketVersioning on arn:aws:s3:::bucket"},
		{name: "may not see lock", fault: fault{method: "GET", query: "object-lock", status: 403, code: "AccessDenied"}, want: sink.ErrUnfit, text: "403 AccessDenied", hint: "s3:GetBucketObjectLockConfiguration"},
		{name: "no versioning at all", fault: fault{method: "GET", query: "versioning", status: 501, code: "NotImplemented"}, want: sink.ErrUnfit, text: "501", hint: "use another"},
		{name: "skew", fault: fault{method: "GET", query: "versioning", status: 403, code: "RequestTimeTooSkewed"}, want: sink.ErrUnfit, text: "RequestTimeTooSkewed", hint: "15 minutes"},
		{name: "unknown key", fault: fault{method: "GET", query: "versioning", status: 403, code: "InvalidAccessKeyId"}, text: "InvalidAccessKeyId", hint: "credentials"},
		{name: "region", fault: fault{method: "GET", query: "versioning", status: 301, code: "PermanentRedirect", region: "eu-north-1"}, text: "PermanentRedirect", hint: "eu-north-1"},
		{name: "503", fault: fault{method: "GET", query: "versioning", status: 503, code: "SlowDown"}, text: "503 SlowDown", hint: "later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			s := open(t, "s3://bucket/audit/", f.options(t, sink.Compliance))
			if err := s.Preflight(t.Context()); err != nil {
				t.Fatalf("of a bucket that is right: %v", err)
			}
			if c.change != nil {
				f.change(c.change)
			}
			c.fault.times = -1
			f.fail(c.fault)
			f.took()
			err := s.Preflight(t.Context())
			wantError(t, err, c.want, c.text, c.hint)
			if c.fault.status == 503 && errors.Is(err, sink.ErrUnfit) {
				t.Errorf("an overloaded store is called unfit: %v", err)
			}
			for _, r := range f.took() {
				if r.method != http.MethodGet && r.method != http.MethodHead {
					t.Errorf("Preflight sent %s", r)
				}
			}
		})
	}
}

func TestPreflightOfUnlockedStore(t *testing.T) {
	f := newFake(t)
	f.change(func(b *fakeBucket) { b.versioning, b.locking = "", false })
	s := open(t, "s3://bucket", f.options(t, sink.None))
	if err := s.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := s.Put(t.Context(), object("a", "x", sink.None))
	if err != nil || info.Version != "" || info.Lock != (sink.Lock{}) {
		t.Errorf("Put = %+v, %v", info, err)
	}
	f.change(func(b *fakeBucket) { b.missing = true })
	wantError(t, s.Preflight(t.Context()), sink.ErrUnfit, "no such bucket", "bucket create")
}

func TestUnreachable(t *testing.T) {
	effort.NeedsLong(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	withTLS := httptest.NewUnstartedServer(http.NotFoundHandler())
	withTLS.Config.ErrorLog = log.New(io.Discard, "", 0)
	withTLS.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	withTLS.StartTLS()
	t.Cleanup(withTLS.Close)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	f := newFake(t)
	for _, c := range []struct {
		name, endpoint, text, hint string
	}{
		{"another server", other.URL, "404", "no S3 server"},
		{"refused", "http://" + refusing, "refused (tried 4 times)", "nothing answers at " + refusing},
		{"TLS to a plain server", "https://" + f.Listener.Addr().String(), "HTTP response to HTTPS client", "http://"},
		{"unknown authority", withTLS.URL, "certificate", "CA file"},
		{"no such host", "https://daybook.invalid", "daybook.invalid", "cannot be found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := f.options(t, sink.Compliance)
			opts.Endpoint = c.endpoint
			err := open(t, "s3://bucket", opts).Preflight(t.Context())
			wantError(t, err, nil, c.text, c.hint)
			if errors.Is(err, sink.ErrUnfit) && c.name != "another server" {
				t.Errorf("a store that cannot be reached is called unfit: %v", err)
			}
		})
	}
}

func TestCreateBucket(t *testing.T) {
	week := s3.Bucket{Mode: sink.Compliance, Days: 7}
	for _, c := range []struct {
		name    string
		change  func(b *fakeBucket)
		want    s3.Bucket
		created bool
		mode    string // default retention after
		days    int
		err     string
	}{
		{name: "new", change: func(b *fakeBucket) { b.missing = true }, created: true},
		{name: "new with a floor", change: func(b *fakeBucket) { b.missing = true }, want: week, created: true, mode: "COMPLIANCE", days: 7},
		{name: "there", change: func(*fakeBucket) {}},
		{name: "there without a floor", change: func(*fakeBucket) {}, want: week, mode: "COMPLIANCE", days: 7},
		{name: "there with a lower floor", change: func(b *fakeBucket) { b.floorMode, b.floorDays = "GOVERNANCE", 3 }, want: week, mode: "COMPLIANCE", days: 7},
		{name: "there with a higher floor", change: func(b *fakeBucket) { b.floorMode, b.floorDays = "COMPLIANCE", 30 }, want: week, mode: "COMPLIANCE", days: 30},
		{name: "there with a longer, weaker floor", change: func(b *fakeBucket) { b.floorMode, b.floorDays = "GOVERNANCE", 30 }, want: week, mode: "COMPLIANCE", days: 30},
		{name: "there with a shorter, stronger floor", change: func(b *fakeBucket) { b.floorMode, b.floorDays = "COMPLIANCE", 3 }, want: s3.Bucket{Mode: sink.Governance, Days: 7}, mode: "COMPLIANCE", days: 7},
		{name: "unlocked", change: func(b *fakeBucket) { b.locking = false }, want: week, err: "Object Lock is not enabled"},
		{name: "unversioned", change: func(b *fakeBucket) { b.versioning = "" }, err: "versioning is not enabled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			f.change(c.change)
			for i := range 2 { // the second time nothing is left to do
				created, err := s3.CreateBucket(t.Context(), "s3://bucket/audit", c.want, f.options(t, sink.None))
				if c.err != "" {
					wantError(t, err, sink.ErrUnfit, c.err, "another name")
					wantError(t, err, nil, "there already", "")
					continue
				}
				if err != nil || created != (c.created && i == 0) {
					t.Errorf("created %v, %v", created, err)
				}
				f.change(func(b *fakeBucket) {
					if b.floorMode != c.mode || b.floorDays != c.days {
						t.Errorf("default retention %s, %d days; want %s, %d", b.floorMode, b.floorDays, c.mode, c.days)
					}
				})
				for _, r := range f.took() {
					if i == 1 && r.method == http.MethodPut {
						t.Errorf("sent again: %s", r)
					}
				}
			}
		})
	}
}

func TestCreateBucketRefused(t *testing.T) {
	f := newFake(t)
	for _, want := range []s3.Bucket{{Days: 7}, {Mode: sink.Compliance, Days: -1}, {Mode: sink.Compliance, Days: 36501}, {Mode: "FOREVER", Days: 1}} {
		if _, err := s3.CreateBucket(t.Context(), "s3://bucket", want, f.options(t, sink.None)); err == nil {
			t.Errorf("CreateBucket with %+v succeeded", want)
		}
	}
	if _, err := s3.CreateBucket(t.Context(), "bucket", s3.Bucket{}, nil); err == nil {
		t.Error("CreateBucket of no URL succeeded")
	}
	if all := f.took(); len(all) != 0 {
		t.Errorf("sent %v", all)
	}
	f.change(func(b *fakeBucket) { b.missing = true })
	f.fail(fault{method: "PUT", times: -1, status: 403, code: "AccessDenied"})
	_, err := s3.CreateBucket(t.Context(), "s3://bucket", s3.Bucket{}, f.options(t, sink.None))
	wantError(t, err, nil, "403", "s3:CreateBucket")
	f.heal()
	f.fail(fault{method: "PUT", times: -1, status: 409, code: "BucketAlreadyExists"})
	_, err = s3.CreateBucket(t.Context(), "s3://bucket", s3.Bucket{}, f.options(t, sink.None))
	wantError(t, err, sink.ErrUnfit, "no such bucket", "")
}

// TestBadBuckets meets the buckets that people really have on real servers.
func TestBadBuckets(t *testing.T) {
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "plain", false)
		server.CreateBucket(t, "locked", true)
		client := server.Client(t)
		server.CreateBucket(t, "versioned", false)
		if err := client.EnableVersioning(t.Context(), "versioned"); err != nil {
			t.Fatal(err)
		}
		for bucket, text := range map[string]string{
			"missing":   "no such bucket",
			"plain":     "versioning is not enabled",
			"versioned": "Object Lock is not enabled",
		} {
			s := open(t, "s3://"+bucket+"/audit", options(t, server, sink.Compliance))
			wantError(t, s.Preflight(t.Context()), sink.ErrUnfit, text, "daybook bucket create s3://"+bucket+"/audit")
			if _, err := s.Put(t.Context(), object("a", "x", sink.Compliance)); err == nil || errors.Is(err, sink.ErrNotExist) {
				t.Errorf("Put into bucket %s = %v", bucket, err)
			}
			if bucket == "missing" {
				continue
			}
			_, err := s3.CreateBucket(t.Context(), "s3://"+bucket, s3.Bucket{}, options(t, server, sink.None))
			wantError(t, err, sink.ErrUnfit, text, "another name")
		}

		wrong := options(t, server, sink.Compliance)
		wrong.AccessKeyFile, _ = keyFiles(t, "someone", "")
		err := open(t, "s3://locked", wrong).Preflight(t.Context())
		wantError(t, err, nil, "s3://locked: 40", "credentials") // 403 here, 404 there
		_, err = open(t, "s3://locked", wrong).Head(t.Context(), "a", "")
		wantError(t, err, nil, "s3://locked/a: 40", "credentials")
		wrong = options(t, server, sink.Compliance)
		_, wrong.SecretKeyFile = keyFiles(t, "", "not the secret key")
		err = open(t, "s3://locked", wrong).Preflight(t.Context())
		wantError(t, err, nil, "403 SignatureDoesNotMatch", "credentials")

		for i, want := range []bool{true, false} {
			created, err := s3.CreateBucket(t.Context(), "s3://new/audit", s3.Bucket{Mode: sink.Compliance, Days: 2}, options(t, server, sink.None))
			if err != nil || created != want {
				t.Errorf("CreateBucket, time %d: created %v, %v", i+1, created, err)
			}
		}
		s := open(t, "s3://new/audit", options(t, server, sink.Compliance))
		if err := s.Preflight(t.Context()); err != nil {
			t.Errorf("Preflight of a bucket just made: %v", err)
		}
		mode, days, unit, err := client.GetBucketObjectLockConfig(t.Context(), "new")
		if err != nil || mode == nil || *mode != "COMPLIANCE" || *days != 2 || *unit != "DAYS" {
			t.Errorf("default retention %v %v %v, %v", mode, days, unit, err)
		}
	})
}

// TestServerDies kills a server while it is written to and starts it again: one version, whichever PUT it was that arrived.
func TestServerDies(t *testing.T) {
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "locked", true)
		opts := options(t, server, sink.Compliance)
		body := strings.Repeat("0123456789abcdef", 1<<18)
		killed := false
		opts.Progress = func(_ string, sent, size int64) {
			if !killed && sent > size/2 {
				killed = true
				server.Kill()
				server.Restart()
			}
		}
		s := open(t, "s3://locked", opts)
		o := object("a", body, sink.Compliance)
		info, err := s.Put(t.Context(), o)
		if err != nil || !killed {
			t.Fatalf("killed %v, %v", killed, err)
		}
		if all := server.Versions(t, "locked", ""); len(all) != 1 || all[0].ID != info.Version {
			t.Errorf("versions %+v, want one, %s", all, info.Version)
		}
		if got, err := s.Head(context.Background(), "a", info.Version); err != nil || got.SHA256 != o.SHA256 || !got.Lock.Covers(o.Lock) {
			t.Errorf("Head = %+v, %v", got, err)
		}
	})
}
