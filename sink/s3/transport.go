package s3

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// newTransport returns a transport of our own. It never unpacks: an object's bytes are what was put.
func newTransport(caFile string) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authority: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authority: %s: no certificate in PEM in it", caFile)
		}
		config.RootCAs = pool
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
	}, nil
}

// expectContinue asks the server before it sends a large body, so that a refusal costs no upload, and is read as what it is and not
// as a broken connection.
type expectContinue struct{ next http.RoundTripper }

func (t expectContinue) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && r.ContentLength >= 2<<20 {
		r = r.Clone(r.Context())
		r.Header.Set("Expect", "100-continue")
	}
	return t.next.RoundTrip(r)
}

// maxPage is how large a page of a listing may be, of which minio-go keeps all in memory: 1,000 entries with the longest keys have some 4 MB.
const maxPage = 32 << 20

// answers reads in answers what minio-go leaves out of them, or cannot read.
type answers struct {
	next  http.RoundTripper
	clock *clock
}

func (t answers) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := t.clock.now()
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.clock.read(sent, resp.Header)
	if pages, ok := r.Context().Value(pagesKey{}).(*atomic.Int64); ok {
		pages.Add(1)
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxPage)
	}
	if met, ok := r.Context().Value(markerKey{}).(*atomic.Bool); ok && resp.Header.Get("X-Amz-Delete-Marker") == "true" {
		met.Store(true)
	}
	if r.Method == http.MethodGet && r.URL.Query().Has("retention") && resp.StatusCode == http.StatusOK {
		if err := renameRetention(resp); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// renameRetention gives the root of versitygw's answer the name that S3's documentation gives it.
func renameRetention(resp *http.Response) error {
	content, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	content = bytes.ReplaceAll(content, []byte("ObjectLockRetention>"), []byte("Retention>"))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(content)), int64(len(content))
	return nil
}

type markerKey struct{}

// withMarker returns a context for requests, and whether one of them met a delete marker.
func withMarker(ctx context.Context) (context.Context, *atomic.Bool) {
	met := new(atomic.Bool)
	return context.WithValue(ctx, markerKey{}, met), met
}
