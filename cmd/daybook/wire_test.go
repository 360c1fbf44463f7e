package main_test

import (
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"daybook/internal/effort"
	"daybook/sink/s3test"
)

// TestEveryPutOnTheWire looks at all that an export sends: these servers take what AWS refuses.
func TestEveryPutOnTheWire(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"MinIO": s3test.MinIO, "versitygw": s3test.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everyPutOnTheWire(t, start(t))
		})
	}
}

func everyPutOnTheWire(t *testing.T, server *s3test.Server) {
	r := server.Record(t)
	s := newRoleStation(t, server, "writer")
	mode, encryption := "mode: compliance", ""
	if server.Name() == "minio" { // which alone encrypts
		mode, encryption = "mode: compliance\n  encryption: sse-s3", "AES256"
	}
	s.configure(strings.ReplaceAll(strings.ReplaceAll(bucketConfig, "endpoint: %s", "endpoint: "+r.URL+" # %s"), "mode: compliance", mode))
	for _, input := range []string{"day", "late"} {
		s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(root(t), "testdata", "quickstart", input))
	}
	objects := 0
	for _, p := range r.Took(http.MethodPut) {
		want := map[string]string{
			"If-None-Match": `\*`, "X-Amz-Checksum-Sha256": `[A-Za-z0-9+/]{43}=`, "X-Amz-Content-Sha256": `[0-9a-f]{64}`, "X-Amz-Object-Lock-Mode": "COMPLIANCE",
			"X-Amz-Object-Lock-Retain-Until-Date": `[0-9-]{10}T[0-9:]{8}Z`, "X-Amz-Server-Side-Encryption": encryption,
			"X-Amz-Tagging": "", "X-Amz-Storage-Class": "", "Content-Encoding": "", "X-Amz-Bypass-Governance-Retention": "",
		}
		if p.URL.Query().Has("retention") { // a lock is lengthened
			want = map[string]string{"Content-Md5": `[A-Za-z0-9+/]{22}==`, "X-Amz-Bypass-Governance-Retention": ""}
		} else if objects++; p.URL.RawQuery != "" || !strings.HasPrefix(p.URL.Path, "/audit/prod/") {
			t.Errorf("PUT %s", p.URL)
		}
		for name, pattern := range want {
			if got := p.Header.Get(name); !regexp.MustCompile("^" + pattern + "$").MatchString(got) {
				t.Errorf("PUT %s: %s is %q, want %s", p.URL, name, got, pattern)
			}
		}
		signed := p.Header.Get("Authorization")
		for name, pattern := range want {
			if pattern != "" && !strings.Contains(signed, strings.ToLower(name)) {
				t.Errorf("PUT %s: %s is not signed", p.URL, name)
			}
		}
	}
	if n := len(server.Versions(t, "audit", "prod/")); objects != n || n < 20 {
		t.Errorf("%d objects were put, and there are %d versions", objects, n)
	}
}
