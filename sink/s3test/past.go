package s3test

import (
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Past starts a proxy in front of a MinIO for whose clients the server's clock is another, and returns its URL: what they put, and the delete markers that they set, are of that time for the
// server, and so is the age by which its lifecycle rules go; a lock may have ended. It is what one MinIO tells another when it replicates, which the other believes
// of everybody. The server itself goes on by the true time.
func (s *Server) Past(t testing.TB, now func() time.Time) (proxyURL string) {
	t.Helper()
	if s.kind.name != "minio" {
		t.Fatal("only MinIO takes an object's time from its client")
	}
	return listen(t, s.pass(t, func(r *httputil.ProxyRequest) {
		if (r.In.Method == http.MethodPut || r.In.Method == http.MethodDelete) && r.In.URL.RawQuery == "" {
			r.Out.Header.Set("X-Minio-Source-Mtime", now().UTC().Format(time.RFC3339Nano))
			r.Out.Header.Set("X-Minio-Source-Replication-Request", "true")
		}
	}, func(r *http.Response) error {
		r.Header.Set("Date", now().UTC().Format(http.TimeFormat))
		return nil
	}))
}

// HideAt sets a delete marker through a proxy of Past.
func (s *Server) HideAt(t testing.TB, proxyURL, bucket, key string) {
	t.Helper()
	client, err := minio.New(strings.TrimPrefix(proxyURL, "http://"), &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Region: s.Region})
	if err == nil {
		err = client.RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{})
	}
	if err != nil {
		t.Fatalf("hide %s/%s on %s: %v", bucket, key, s.kind.name, err)
	}
}
