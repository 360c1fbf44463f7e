package s3_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

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
