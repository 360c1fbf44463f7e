package s3test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A Version is one version of an object, or one delete marker.
type Version struct {
	Key          string
	ID           string // the version id
	Latest       bool
	DeleteMarker bool
	Size         int64
	ETag         string // without quotes; empty for a delete marker
	Class        string // the storage class, or the tier of MinIO
	Modified     time.Time
}

// CreateBucket makes a bucket: with Object Lock, which brings versioning with it, or plain.
func (s *Server) CreateBucket(t testing.TB, name string, lock bool) {
	t.Helper()
	options := minio.MakeBucketOptions{Region: s.Region, ObjectLocking: lock}
	if err := s.Client(t).MakeBucket(t.Context(), name, options); err != nil {
		t.Fatalf("create bucket %s on %s: %v", name, s.kind.name, err)
	}
}

// Versions lists every version and every delete marker under a prefix, by key and from the newest to the oldest.
func (s *Server) Versions(t testing.TB, bucket, prefix string) []Version {
	t.Helper()
	type identity struct{ key, id string }
	seen := make(map[identity]bool)
	var versions []Version
	options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true}
	for object := range s.Client(t).ListObjectsIter(t.Context(), bucket, options) {
		if object.Err != nil {
			t.Fatalf("list versions of %s/%s on %s: %v", bucket, prefix, s.kind.name, object.Err)
		}
		// versitygw repeats the last entry of a page at the head of the next one.
		id := identity{object.Key, object.VersionID}
		if seen[id] {
			continue
		}
		seen[id] = true
		versions = append(versions, Version{
			Key:          object.Key,
			ID:           object.VersionID,
			Latest:       object.IsLatest,
			DeleteMarker: object.IsDeleteMarker,
			Size:         object.Size,
			ETag:         object.ETag,
			Class:        object.StorageClass,
			Modified:     object.LastModified,
		})
	}
	return versions
}

// Client returns a client of the server's root user, which may do everything: for arranging what a test needs and for looking at
// the outcome, behind the back of the store under test.
func (s *Server) Client(t testing.TB) *minio.Client {
	t.Helper()
	transport, err := minio.DefaultTransport(s.tls != nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.tls != nil {
		transport.TLSClientConfig = s.tls.Clone()
	}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds:     credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Secure:    s.tls != nil,
		Region:    s.Region,
		Transport: transport,
	})
	if err != nil {
		t.Fatalf("client of %s: %v", s.kind.name, err)
	}
	return client
}

// HTTPClient returns a client that trusts the server, and has no credentials.
func (s *Server) HTTPClient(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	if s.tls != nil {
		transport.TLSClientConfig = s.tls.Clone()
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Read returns what the newest version of an object holds, nil where there is none.
func (s *Server) Read(t testing.TB, bucket, key string) []byte {
	t.Helper()
	object, err := s.Client(t).GetObject(t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatalf("read %s/%s on %s: %v", bucket, key, s.kind.name, err)
	}
	defer object.Close()
	content, err := io.ReadAll(object)
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		return nil
	}
	if err != nil {
		t.Fatalf("read %s/%s on %s: %v", bucket, key, s.kind.name, err)
	}
	return content
}

// Lock returns the retention of a version, as HEAD shows it.
func (s *Server) Lock(t testing.TB, bucket string, v Version) (mode string, until time.Time) {
	t.Helper()
	info, err := s.Client(t).StatObject(t.Context(), bucket, v.Key, minio.StatObjectOptions{VersionID: v.ID})
	if err != nil {
		t.Fatalf("look at %s/%s on %s: %v", bucket, v.Key, s.kind.name, err)
	}
	mode = info.Metadata.Get("X-Amz-Object-Lock-Mode")
	if mode == "" {
		return "", time.Time{}
	}
	until, err = time.Parse(time.RFC3339, info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil {
		t.Fatalf("the lock of %s/%s on %s: %v", bucket, v.Key, s.kind.name, err)
	}
	return mode, until
}
