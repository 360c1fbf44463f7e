package s3test_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/minio/minio-go/v7"

	"daybook/internal/effort"
	"daybook/sink/s3test"
)

var servers = []struct {
	name  string
	start func(testing.TB) *s3test.Server
}{
	{"MinIO", s3test.MinIO},
	{"MinIOTLS", s3test.MinIOTLS},
	{"VersityGW", s3test.VersityGW},
	{"VersityGWTLS", s3test.VersityGWTLS},
}

func TestServer(t *testing.T) {
	effort.NeedsLong(t)
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.CreateBucket(t, "locked", true)
			s.CreateBucket(t, "plain", false)

			client := s.Client(t)
			if state, _, _, _, err := client.GetObjectLockConfig(t.Context(), "locked"); err != nil || state != "Enabled" {
				t.Errorf("object lock of the locked bucket: %q, %v; want Enabled", state, err)
			}
			if state, _, _, _, err := client.GetObjectLockConfig(t.Context(), "plain"); err == nil {
				t.Errorf("object lock of the plain bucket: %q, want an error", state)
			}

			for _, object := range []struct{ key, body string }{{"a/one", "first"}, {"a/one", "second"}, {"b/two", "other"}} {
				if err := put(t.Context(), client, object.key, object.body); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.RemoveObject(t.Context(), "locked", "a/one", minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			want := []s3test.Version{
				{Key: "a/one", Latest: true, DeleteMarker: true},
				{Key: "a/one", Size: int64(len("second"))},
				{Key: "a/one", Size: int64(len("first"))},
			}
			ignoreIDs := cmpopts.IgnoreFields(s3test.Version{}, "ID", "ETag", "Class", "Modified")
			before := s.Versions(t, "locked", "a/")
			if diff := cmp.Diff(want, before, ignoreIDs); diff != "" {
				t.Errorf("versions (-want +got):\n%s", diff)
			}
			for _, v := range before {
				if v.ID == "" || (v.ETag == "") != v.DeleteMarker {
					t.Errorf("version without an id, or without an ETag of its own: %+v", v)
				}
			}

			s.Kill()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := client.StatObject(ctx, "locked", "b/two", minio.StatObjectOptions{}); err == nil {
				t.Error("a killed server answers")
			}
			s.Restart()
			if diff := cmp.Diff(before, s.Versions(t, "locked", "a/")); diff != "" {
				t.Errorf("versions after a kill (-before +after):\n%s", diff)
			}
			s.Restart()
			if got := s.Versions(t, "locked", ""); len(got) != 4 {
				t.Errorf("%d versions after a stop and a start, want 4: %+v", len(got), got)
			}
		})
	}
}

// TestVersionsOverManyPages holds the listing to one entry a version: versitygw repeats one at each page of a thousand.
func TestVersionsOverManyPages(t *testing.T) {
	effort.NeedsLong(t)
	s := s3test.VersityGWTLS(t)
	s.CreateBucket(t, "locked", true)
	client := s.Client(t)
	const n = 1001
	var writers sync.WaitGroup
	for first := range 8 {
		writers.Go(func() {
			for i := first; i < n; i += 8 {
				if err := put(t.Context(), client, fmt.Sprintf("key-%04d", i), "x"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	versions := s.Versions(t, "locked", "")
	if len(versions) != n {
		t.Errorf("%d versions, want %d", len(versions), n)
	}
	keys := make(map[string]bool)
	for _, v := range versions {
		keys[v.Key] = true
	}
	if len(keys) != n {
		t.Errorf("%d keys, want %d", len(keys), n)
	}
}

func TestTLSTrustsItsAuthorityAlone(t *testing.T) {
	s := s3test.MinIOTLS(t)
	get := func(roots *x509.CertPool) error {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/minio/health/live", http.NoBody)
		if err != nil {
			return err
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	authority, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		t.Fatal("CAFile holds no certificate")
	}
	if err := get(pool); err != nil {
		t.Errorf("with CAFile: %v", err)
	}
	if err := get(x509.NewCertPool()); err == nil {
		t.Error("without CAFile: trusted")
	}
}

func TestSkipsWithoutServers(t *testing.T) {
	t.Setenv(s3test.EnvMinIO, "")
	t.Setenv(s3test.EnvVersityGW, "")
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			probe := &skipProbe{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				server.start(probe)
			}()
			<-done
			if probe.reason == "" {
				t.Error("no reason for the skip")
			}
		})
	}
}

// A skipProbe keeps the reason of a skip and leaves the test that it probes for running.
type skipProbe struct {
	testing.TB
	reason string
}

func (p *skipProbe) Skipf(format string, args ...any) {
	p.reason = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func put(ctx context.Context, client *minio.Client, key, body string) error {
	options := minio.PutObjectOptions{DisableContentSha256: true, SendContentMd5: true}
	_, err := client.PutObject(ctx, "locked", key, bytes.NewReader([]byte(body)), int64(len(body)), options)
	return err
}
