package s3_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"daybook/internal/effort"
	"daybook/sink"
)

// What fails about a setting is logged and told, and with it neither signature nor session token.
func TestSettingKeepsSecrets(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	var log bytes.Buffer
	opts := f.options(t, sink.Compliance)
	opts.AccessKeyFile, opts.SecretKeyFile = "", ""
	opts.AccessKey, opts.SecretKey, opts.SessionToken = "AKIAEXAMPLE", "secret", "token-of-a-session"
	opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	s := open(t, "s3://bucket/audit", opts)
	f.fail(fault{method: http.MethodGet, query: "versioning", times: -1}) // the connection is closed
	_, err := s.Inspect(t.Context())
	if err == nil || !strings.Contains(err.Error(), "s3://bucket") || !strings.Contains(log.String(), "trying again") {
		t.Fatalf("error %v, log:\n%s", err, &log)
	}
	for _, text := range []string{err.Error(), log.String()} {
		if strings.Contains(text, "X-Amz-") || strings.Contains(text, "token-of-a-session") {
			t.Errorf("it tells what is secret: %s", text)
		}
	}
	sent := 0
	for _, r := range f.took() {
		q, err := url.ParseQuery(r.query)
		if err != nil {
			t.Fatal(err)
		}
		if !q.Has("X-Amz-Signature") {
			continue
		}
		sent++
		if n, err := strconv.Atoi(q.Get("X-Amz-Expires")); err != nil || time.Duration(n)*time.Second > 2*time.Minute {
			t.Errorf("signed for %q s, which is longer than a request takes", q.Get("X-Amz-Expires"))
		}
	}
	if sent == 0 {
		t.Error("no signed request arrived")
	}
}

// A setting that the server fails at is unknown, and the others are told; where it fails at all of them nothing could be asked.
func TestInspectOdd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   string
	}{{http.StatusInternalServerError, "InternalError"}, {http.StatusBadRequest, "InvalidRequest"}, {http.StatusNotFound, "NoSuchKey"}} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
			for _, name := range []string{"policy", "lifecycle", "encryption"} {
				f.fail(fault{method: http.MethodGet, query: name, times: -1, status: c.status, code: c.code})
			}
			list, err := s.Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, setting := range list {
				failed := slices.Contains([]string{"policy", "lifecycle", "encryption"}, setting.Name)
				if failed != (setting.Unknown != "") || failed && !strings.Contains(setting.Unknown, c.code) {
					t.Errorf("%+v", setting)
				}
			}
			for _, name := range []string{"versioning", "object-lock"} {
				f.fail(fault{method: http.MethodGet, query: name, times: -1, status: c.status, code: c.code})
			}
			if list, err := s.Inspect(t.Context()); err == nil {
				t.Errorf("nothing could be asked, and it tells %+v", list)
			}
		})
	}
}

// A tier of which the server tells nothing is away; an answer about the bucket is one, though it be that nothing may be read.
func TestInspectTierAway(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	for _, c := range []struct {
		status int
		code   string
		want   sink.Setting
	}{
		{0, "", sink.Setting{Unknown: "its server does not answer", Away: true}},
		{http.StatusServiceUnavailable, "SlowDown", sink.Setting{Unknown: "503 SlowDown", Away: true}},
		{http.StatusForbidden, "InvalidAccessKeyId", sink.Setting{Unknown: "403 InvalidAccessKeyId", Away: true}},
		{http.StatusForbidden, "AccessDenied", sink.Setting{Unknown: "403 AccessDenied"}},
		{http.StatusNotFound, "NoSuchBucket", sink.Setting{Value: "no such bucket"}},
		{http.StatusNotFound, "ObjectLockConfigurationNotFoundError", sink.Setting{Value: "no Object Lock, or no such bucket"}},
	} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
			f.fail(fault{method: http.MethodGet, query: "object-lock", times: -1, status: c.status, code: c.code})
			c.want.Name = "tier WARM"
			if got := s.InspectTier(t.Context(), "WARM"); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
