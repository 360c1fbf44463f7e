package s3_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
	"daybook/sink/sinktest"
)

// servers are the real servers that a test runs against, each in a subtest.
func servers(t *testing.T, test func(t *testing.T, server *s3test.Server)) {
	t.Helper()
	effort.NeedsLong(t)
	for _, c := range []struct {
		name  string
		start func(testing.TB) *s3test.Server
	}{
		{"minio", s3test.MinIO},
		{"minio-tls", s3test.MinIOTLS},
		{"versitygw", s3test.VersityGW},
		{"versitygw-tls", s3test.VersityGWTLS},
	} {
		t.Run(c.name, func(t *testing.T) { test(t, c.start(t)) })
	}
}

// options points at a server with the credentials of its root user.
func options(t *testing.T, server *s3test.Server, mode sink.Mode) *s3.Options {
	t.Helper()
	access, secret := keyFiles(t, server.AccessKey, server.SecretKey)
	return &s3.Options{
		Mode:          mode,
		Unlocked:      mode == sink.None,
		Endpoint:      server.URL,
		Region:        server.Region,
		CAFile:        server.CAFile,
		AccessKeyFile: access,
		SecretKeyFile: secret,
		Retry:         fast,
	}
}

// fast retries without making a test wait.
var fast = s3.Retry{Attempts: 4, Base: time.Millisecond, Max: 5 * time.Millisecond}

func keyFiles(t *testing.T, access, secret string) (accessFile, secretFile string) {
	t.Helper()
	dir := t.TempDir()
	accessFile, secretFile = filepath.Join(dir, "access"), filepath.Join(dir, "secret")
	for file, content := range map[string]string{accessFile: access, secretFile: secret} {
		if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return accessFile, secretFile
}

func open(t *testing.T, url string, opts *s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.New(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// buckets numbers the buckets of a server, which tests share.
type buckets struct{ n atomic.Int64 }

func (b *buckets) next() string { return fmt.Sprintf("bucket-%d", b.n.Add(1)) }

func TestConformance(t *testing.T) {
	servers(t, func(t *testing.T, server *s3test.Server) {
		modes := []sink.Mode{sink.Compliance, sink.Governance, sink.None}
		if server.CAFile != "" {
			modes = modes[:1] // TLS changes how a request is signed, not how it is locked
		}
		for _, mode := range modes {
			t.Run("mode="+string(mode), func(t *testing.T) {
				var names buckets
				bucketOf := make(map[sink.Store]string)
				sinktest.Run(t, func(t *testing.T) sink.Store {
					name := strings.ToLower(string(mode)) + names.next()
					server.CreateBucket(t, name, true)
					s := open(t, "s3://"+name+"/audit/logs", options(t, server, mode))
					bucketOf[s] = name
					return s
				}, sinktest.Caps{
					Mode:        mode,
					Versions:    true,
					ContentType: true,
					Hide:        func(t *testing.T, s sink.Store, key string) { server.Hide(t, bucketOf[s], "audit/logs/"+key) },
					Overwrite: func(t *testing.T, s sink.Store, key string, body []byte) {
						server.Overwrite(t, bucketOf[s], "audit/logs/"+key, body, sink.Lock{})
					},
					Delete: func(t *testing.T, s sink.Store, key, version string) error {
						return server.DeleteVersion(t, bucketOf[s], "audit/logs/"+key, version)
					},
					Lists:      true,
					Client:     server.HTTPClient(t),
					CannotTell: server.Name() == "versitygw",
					SetExpiry: func(t *testing.T, s sink.Store, rules []sink.ExpiryRule) {
						rules = slices.Clone(rules)
						for i := range rules {
							if rules[i].Prefix = "audit/logs/" + rules[i].Prefix; rules[i].ID == "all" {
								rules[i].Prefix = "audit/"
							}
						}
						server.SetLifecycle(t, bucketOf[s], append(rules, sink.ExpiryRule{ID: "outside", Prefix: "audit/other/", Days: 1})...)
					},
				})
			})
		}
	})
}

func object(key, body string, mode sink.Mode) sink.Object {
	return sinktest.NewObject(key, []byte(body), mode, time.Now(), time.Hour)
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
