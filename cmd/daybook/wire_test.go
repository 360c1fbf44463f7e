package main_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"daybook/sink/s3test"
)

// recorder is a proxy in front of a server that remembers the heads of PUTs.
type recorder struct {
	*httptest.Server
	mu      sync.Mutex // guards puts
	puts    []*http.Request
	refuses func(put *http.Request) bool // nil: none. Set before it is used.
}

func newRecorder(t *testing.T, server *s3test.Server) *recorder {
	t.Helper()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Host = p.In.Host // it is signed
	}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodPut {
			r.mu.Lock()
			r.puts = append(r.puts, request.Clone(request.Context()))
			r.mu.Unlock()
			if r.refuses != nil && r.refuses(request) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
		}
		proxy.ServeHTTP(w, request)
	}))
	t.Cleanup(r.Close)
	return r
}

// TestEveryPutOnTheWire looks at all that an export sends: these servers take what AWS refuses.
func TestEveryPutOnTheWire(t *testing.T) {
	t.Parallel()
	server := s3test.MinIO(t)
	r := newRecorder(t, server)
	s := newRoleStation(t, server, "writer")
	s.configure(strings.ReplaceAll(strings.ReplaceAll(bucketConfig, "endpoint: %s", "endpoint: "+r.URL+" # %s"), "mode: compliance", "mode: compliance\n  encryption: sse-s3"))
	for _, input := range []string{"day", "late"} {
		s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(root(t), "testdata", "quickstart", input))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	objects := 0
	for _, p := range r.puts {
		want := map[string]string{
			"If-None-Match": `\*`, "X-Amz-Checksum-Sha256": `[A-Za-z0-9+/]{43}=`, "X-Amz-Content-Sha256": `[0-9a-f]{64}`, "X-Amz-Object-Lock-Mode": "COMPLIANCE",
			"X-Amz-Object-Lock-Retain-Until-Date": `[0-9-]{10}T[0-9:]{8}Z`, "X-Amz-Server-Side-Encryption": "AES256",
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
