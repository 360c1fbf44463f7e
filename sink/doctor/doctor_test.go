package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/doctor"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

func hint(err error) string {
	var h *sink.HintError
	if !errors.As(err, &h) {
		return ""
	}
	return h.Hint
}

func readCloser(body string) io.ReadCloser { return io.NopCloser(strings.NewReader(body)) }

// servers are those that a bucket is tried on.
func servers(t *testing.T, test func(t *testing.T, server *s3test.Server)) {
	t.Helper()
	effort.NeedsLong(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"minio": s3test.MinIO, "versitygw": s3test.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

func open(t *testing.T, server *s3test.Server, u s3test.User, mode sink.Mode, wrap func(http.RoundTripper) http.RoundTripper) *s3.Store {
	t.Helper()
	s, err := s3.New("s3://audit/prod", &s3.Options{
		Mode: mode, Unlocked: mode == sink.None, Endpoint: server.URL, Region: server.Region, CAFile: server.CAFile, AccessKey: u.AccessKey, SecretKey: u.SecretKey, Transport: wrap,
		Retry: s3.Retry{Attempts: 2, Base: time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func root(server *s3test.Server) s3test.User {
	return s3test.User{AccessKey: server.AccessKey, SecretKey: server.SecretKey}
}

// writer is a user with the policy that is printed for it.
func writer(t *testing.T, server *s3test.Server, mode sink.Mode) s3test.User {
	t.Helper()
	u := server.AddUser(t, "writer")
	opts := &s3.PolicyOptions{Server: s3.Server(server.Name()), Modes: []sink.Mode{mode}}
	if opts.Server == s3.VersityGW {
		opts.Principal = u.AccessKey
	}
	policy, err := s3.Policy("s3://audit/prod", s3.Writer, opts)
	if err != nil {
		t.Fatal(err)
	}
	server.Grant(t, u, "audit", policy)
	return u
}

// lock is how long throw-away objects are locked where their end is awaited.
const lock = 4 * time.Second

// tryOne makes the checks up to one, and returns what that found.
func tryOne(t *testing.T, s *s3.Store, mode sink.Mode, check string, opts doctor.Options) doctor.Finding {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := false
	opts.Modes, opts.Lock = []sink.Mode{mode}, time.Minute
	opts.Progress = func(name string) {
		if seen {
			cancel()
		}
		seen = seen || name == check
	}
	r, err := doctor.Run(ctx, s, "", opts)
	if r == nil || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	f := r.Findings[len(r.Findings)-1]
	if f.Check != check {
		t.Fatalf("the last check was %s", f.Check)
	}
	return f
}

func try(t *testing.T, s *s3.Store, mode sink.Mode, opts doctor.Options) *doctor.Report {
	t.Helper()
	opts.Modes, opts.Lock = []sink.Mode{mode}, lock
	r, err := doctor.Run(t.Context(), s, "s3://audit/prod", opts)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + text.String())
	return r
}

// others are the checks that do not have the status.
func others(r *doctor.Report, status doctor.Status) map[string]doctor.Status {
	m := map[string]doctor.Status{}
	for _, f := range r.Findings {
		if f.Status != status {
			m[f.Check] = f.Status
		}
	}
	return m
}

// TestWriter tries a bucket with the writer's own credentials: what is not as it should be is the server's.
func TestWriter(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		u := writer(t, server, sink.Compliance)
		r := try(t, open(t, server, u, sink.Compliance, nil), sink.Compliance, doctor.Options{})
		want := map[string]doctor.Status{"checksum-required": doctor.Warn, "encryption": doctor.Warn}
		if server.Name() == "versitygw" {
			want["lifecycle"], want["floor"] = doctor.Warn, doctor.Warn
		}
		if diff := cmp.Diff(want, others(r, doctor.Pass)); diff != "" || r.ExitCode != 0 {
			t.Errorf("exit code %d; what did not pass (-want +got):\n%s", r.ExitCode, diff)
		}
		if len(r.Remains) < 15 {
			t.Errorf("%d objects remain", len(r.Remains))
		}
		// An administrator removes what remains, and what is below the prefix stays.
		kept := server.Overwrite(t, "audit", "prod/seals/x", []byte("x"), sink.Lock{})
		removed, left, err := doctor.Sweep(t.Context(), open(t, server, root(server), sink.Compliance, nil))
		if err != nil || removed != len(r.Remains) || len(left) != 0 {
			t.Errorf("swept %d of %d, left %v, %v", removed, len(r.Remains), left, err)
		}
		if all := server.Versions(t, "audit", ""); len(all) != 1 || all[0].ID != kept {
			t.Errorf("after it there are %v", all)
		}
	})
}

// TestRoot tries with a credential that may do everything, and cleans up behind itself.
func TestRoot(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		r := try(t, open(t, server, root(server), sink.Governance, nil), sink.Governance, doctor.Options{Thorough: true})
		got := others(r, doctor.Pass)
		want := map[string]doctor.Status{
			"checksum-required": doctor.Warn, "encryption": doctor.Warn, "hide": doctor.Fail, "delete-bypass": doctor.Fail, "shorten-bypass": doctor.Fail, "floor": doctor.Warn,
			"change-policy": doctor.Fail, "change-lifecycle": doctor.Fail, "change-versioning": doctor.Fail, "change-object-lock": doctor.Fail, "change-encryption": doctor.Fail,
			"delete-unlocked": doctor.Fail,
		}
		if server.Name() == "versitygw" {
			want["lifecycle"] = doctor.Warn
			delete(want, "change-lifecycle")
			delete(want, "change-encryption")
		}
		if diff := cmp.Diff(want, got); diff != "" || r.ExitCode != 1 {
			t.Errorf("exit code %d; what did not pass (-want +got):\n%s", r.ExitCode, diff)
		}
		if all := server.Versions(t, "audit", ""); len(all) != 0 || len(r.Remains) != 0 {
			t.Errorf("there remain %v, it says %v", all, r.Remains)
		}
	})
}

// TestLies has a server that breaks its word: each lie is noticed.
func TestLies(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		server.Client(t)
		u := writer(t, server, sink.Compliance)
		for _, c := range []struct {
			check string
			want  doctor.Status
			lie   func(next http.RoundTripper, r *http.Request) (*http.Response, error)
		}{
			{"lock-kept", doctor.Fail, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && r.Method == http.MethodHead {
					resp.Header.Del("X-Amz-Object-Lock-Mode")
				}
				if r.URL.Query().Has("retention") && r.Method == http.MethodGet {
					return answer(resp, r, http.StatusNotFound), err
				}
				return resp, err
			}},
			{"checksum-verified", doctor.Fail, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && strings.HasSuffix(r.URL.Path, "/checksum-verified") {
					return answer(resp, r, http.StatusOK), nil
				}
				return resp, err
			}},
			{"conditional-put", doctor.Fail, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && resp.StatusCode == http.StatusPreconditionFailed {
					return answer(resp, r, http.StatusOK), nil
				}
				return resp, err
			}},
			{"delete", doctor.Fail, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && r.Method != http.MethodPut && strings.HasSuffix(r.URL.Path, "/delete") {
					return answer(resp, r, http.StatusNotFound), nil
				}
				return resp, err
			}},
			{"lifecycle", doctor.Unknown, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && r.URL.Query().Has("lifecycle") {
					return answer(resp, r, http.StatusForbidden), nil
				}
				return resp, err
			}},
			{"change-policy", doctor.Fail, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && r.Method == http.MethodPut && r.URL.Query().Has("policy") {
					return answer(resp, r, http.StatusOK), nil
				}
				return resp, err
			}},
			{"list-versions", doctor.Fail, func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				if q := r.URL.Query(); q.Has("versions") {
					return answer(&http.Response{Body: http.NoBody, Header: http.Header{}}, r, http.StatusOK), nil
				}
				return next.RoundTrip(r)
			}},
		} {
			t.Run(c.check, func(t *testing.T) {
				t.Parallel()
				s := open(t, server, u, sink.Compliance, func(next http.RoundTripper) http.RoundTripper {
					return roundTripper(func(r *http.Request) (*http.Response, error) { return c.lie(next, r) })
				})
				if f := tryOne(t, s, sink.Compliance, c.check, doctor.Options{}); f.Status != c.want {
					t.Errorf("%+v, want %s", f, c.want)
				}
			})
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer puts another answer in the place of a server's.
func answer(resp *http.Response, r *http.Request, status int) *http.Response {
	_ = resp.Body.Close() // it is not read
	body := ""
	switch {
	case status == http.StatusForbidden:
		body = "<Error><Code>AccessDenied</Code></Error>"
	case status == http.StatusNotFound:
		body = "<Error><Code>NoSuchVersion</Code></Error>"
	case r.URL.Query().Has("versions"):
		body = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>"
	}
	header := http.Header{"Content-Type": {"application/xml"}, "Date": resp.Header["Date"], "X-Amz-Version-Id": {"made-up"}}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// TestEncryption asks for encryption that the server can or can't give.
func TestEncryption(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		for _, c := range []struct {
			encryption s3.Encryption
			key        string
			want       doctor.Status
		}{{s3.SSES3, "", doctor.Pass}, {s3.SSEKMS, "test-key", doctor.Pass}, {s3.SSEKMS, "unknown-key", doctor.Fail}} {
			if server.Name() == "versitygw" {
				c.want = doctor.Fail
			}
			t.Run(string(c.encryption)+c.key, func(t *testing.T) {
				t.Parallel()
				s := open(t, server, root(server), sink.Governance, nil)
				if f := tryOne(t, s, sink.Governance, "encryption", doctor.Options{Encryption: c.encryption, KMSKey: c.key}); f.Status != c.want {
					t.Errorf("%+v, want %s", f, c.want)
				}
			})
		}
	})
}

// TestUnfit tells of a bucket that can't be tried, and returns an error where there is nothing to tell.
func TestUnfit(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server := s3test.MinIO(t)
	server.CreateBucket(t, "audit", false)
	r := try(t, open(t, server, root(server), sink.Compliance, nil), sink.Compliance, doctor.Options{})
	if len(r.Findings) != 1 || r.Findings[0].Check != "fit" || r.Findings[0].Status != doctor.Fail || r.Findings[0].Remedy == "" || r.ExitCode != 1 {
		t.Errorf("of a bucket without locks: %+v", r)
	}
	if n := len(server.Versions(t, "audit", "")); n != 0 {
		t.Errorf("%d objects were put", n)
	}
	nobody := open(t, server, s3test.User{AccessKey: "nobody", SecretKey: "nothing-at-all"}, sink.Compliance, nil)
	if r, err := doctor.Run(t.Context(), nobody, "", doctor.Options{}); err != nil || r.ExitCode != 1 || !strings.Contains(r.Findings[0].Remedy, "does not know these credentials") {
		t.Errorf("to nobody: %+v, %v", r, err)
	}
}

// A store whose classes have different modes has its locks tried in each: at MinIO governance holds nobody who may set locks.
func TestModes(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server := s3test.MinIO(t)
	server.CreateBucket(t, "audit", true)
	s := open(t, server, root(server), sink.Governance, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := doctor.Run(ctx, s, "", doctor.Options{
		Modes: []sink.Mode{sink.Governance, sink.Compliance}, Lock: time.Minute,
		Progress: func(check string) {
			if check == "floor" { // which comes after those of locks
				cancel()
			}
		},
	})
	if r == nil || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, f := range r.Findings {
		got[f.Check] = append(got[f.Check], strings.TrimSpace(string(f.Status)+" "+string(f.Mode)))
	}
	for check, want := range map[string][]string{
		"lock-kept": {"pass COMPLIANCE", "pass GOVERNANCE"}, "delete": {"pass COMPLIANCE", "pass GOVERNANCE"}, "shorten-bypass": {"pass COMPLIANCE", "fail GOVERNANCE"},
		"weaken": {"pass"}, "lengthen": {"pass COMPLIANCE", "pass GOVERNANCE"},
	} {
		if diff := cmp.Diff(want, got[check]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", check, diff)
		}
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "shorten-bypass (governance)") {
		t.Errorf("%v\n%s", err, &text)
	}
}
