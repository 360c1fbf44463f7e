package s3

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // S3 asks for it as a checksum
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
)

// maxSetting is how large a setting of a bucket may be: 1,000 lifecycle rules with long prefixes have some 2 MB.
const maxSetting = 8 << 20

// setting sends a request about a setting of the bucket (its subresource, such as lifecycle), and returns the answer's body as it came: minio-go reads and writes
// them by structs of its own, in which what they do not know is lost. An error may hold a minio.ErrorResponse, as those of minio-go do.
func (s *Store) setting(ctx context.Context, method, name string, body []byte) (answer []byte, err error) {
	answer, _, err = s.raw(ctx, method, "", url.Values{name: {""}}, body)
	return answer, err
}

// raw sends a request about an object, or the bucket where name is blank.
func (s *Store) raw(ctx context.Context, method, name string, query url.Values, body []byte) (answer []byte, header http.Header, err error) {
	what := method + " " + s.url(name)
	for key := range query {
		what = method + " " + key + " of " + s.url(name)
	}
	err = s.retry(ctx, what, func(ctx context.Context, w *watch) error {
		u, err := s.client.Presign(ctx, method, s.bucket, name, s.signedFor(), query)
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		if method == http.MethodPut {
			sum := md5.Sum(body) //nolint:gosec // likewise
			request.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum[:]))
		}
		response, err := s.http.Do(request)
		var failed *url.Error
		if errors.As(err, &failed) {
			// Its URL holds our signature and session token, and errors are logged, kept and told.
			return &url.Error{Op: failed.Op, URL: s.url(name), Err: failed.Err}
		}
		if err != nil {
			return err
		}
		w.progress()
		answer, err = io.ReadAll(http.MaxBytesReader(nil, response.Body, maxSetting))
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return err
		}
		if header = response.Header; response.StatusCode < 300 {
			return nil
		}
		refused := minio.ErrorResponse{}
		if xml.Unmarshal(answer, &refused) != nil || refused.Code == "" {
			refused = minio.ErrorResponse{Code: http.StatusText(response.StatusCode), Message: fmt.Sprintf("%.200q", answer)}
		}
		refused.StatusCode = response.StatusCode
		return refused
	})
	return answer, header, err
}

// signedFor is for how long a request is signed: long enough to arrive, by the server's clock where that is ahead of ours.
func (s *Store) signedFor() time.Duration {
	ahead, _ := s.Offset()
	return time.Minute + min(max(ahead, 0), maxAhead)
}

// maxAhead is how far ahead of ours a server's clock is followed: beyond that AWS takes no request at all.
const maxAhead = 15 * time.Minute
