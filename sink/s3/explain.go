package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"syscall"

	"daybook/sink"
)

// wrap puts text before err, and keeps the hint outermost, where callers look for it.
func wrap(text string, err error) error {
	var h *sink.HintError
	if errors.As(err, &h) {
		return &sink.HintError{Err: fmt.Errorf("%s: %w", text, err), Hint: h.Hint}
	}
	return fmt.Errorf("%s: %w", text, err)
}

// explain adds a way out to the failures that people can do something about. permission is what the request takes, on name or, where
// that is blank, on the bucket.
func (s *Store) explain(err error, permission, name string) error {
	if err == nil {
		return nil
	}
	if hint := s.hint(err, permission, name); hint != "" {
		return &sink.HintError{Err: err, Hint: hint}
	}
	return err
}

func (s *Store) hint(err error, permission, name string) string {
	var (
		record    tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		dns       *net.DNSError
	)
	r, ok := response(err)
	switch {
	case !ok:
	case r.StatusCode == http.StatusNotFound && r.XMLName.Local != "Error":
		return fmt.Sprintf("what answers at %s is no S3 server: check the endpoint", s.client.EndpointURL().Host)
	case said(err, "NoSuchBucket"):
		return s.createHint()
	case r.Code == "RequestTimeTooSkewed":
		return "the clocks of this machine and of the store differ by more than 15 minutes: set this machine's clock, by NTP best of all"
	case r.Code == "InvalidAccessKeyId" || r.Code == "SignatureDoesNotMatch" || r.Code == "InvalidToken" || r.Code == "XAdminUserNotFound":
		return "the store does not know these credentials: check the access key, the secret key and the endpoint"
	case expired(err):
		return "the credentials have expired: renew them"
	case r.Code == "AuthorizationHeaderMalformed" || r.Code == "InvalidRegion" || r.Code == "PermanentRedirect" || r.StatusCode == http.StatusMovedPermanently:
		if r.Region != "" && r.Region != s.region {
			return fmt.Sprintf("the bucket is in region %s: set the store's region to it", r.Region)
		}
		return "set the store's region and endpoint to those of the bucket"
	case r.Code == "XMinioStorageFull" || r.Code == "QuotaExceeded" || r.Code == "XMinioAdminBucketQuotaExceeded" || r.StatusCode == http.StatusInsufficientStorage:
		return "the store is full: make room there and run again"
	case errors.Is(err, sink.ErrCold):
		return "have it brought back with daybook thaw, which takes hours, and try again then"
	case r.StatusCode == http.StatusForbidden && strings.Contains(permission, "LegalHold"):
		return fmt.Sprintf("let the credential do %s on %s: `daybook bucket policy --role writer --holds` prints a policy that does", permission, s.arn(name))
	case r.StatusCode == http.StatusForbidden && permission == retentionPermission:
		return fmt.Sprintf("let the credential do %s on %s, for as long as was asked for: `daybook bucket policy --role writer --max-days DAYS` prints a policy that does", permission, s.arn(name))
	case r.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("let the credential do %s on %s", permission, s.arn(name))
	case r.StatusCode == http.StatusNotImplemented:
		return "this server lacks something that Daybook relies on (conditional PUT, versioning or Object Lock): use another, or a newer one"
	case retryable(err):
		return "the store is overloaded or down: run again later, what was stored is kept"
	}
	switch {
	case ok:
	case errors.Is(err, errNoCredentials):
		return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the key files of the store"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the endpoint does not speak TLS: write it with http:// if that is meant"
	case errors.As(err, &authority):
		return "the endpoint's certificate is from an authority that this machine does not know: set the store's CA file"
	case errors.As(err, &hostname):
		return "the endpoint's certificate is for another name: write the endpoint with a name that is in it"
	case errors.As(err, &dns):
		return "the endpoint's name cannot be found: check the endpoint and the region"
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing answers at %s: check the endpoint, and that the server runs", s.client.EndpointURL().Host)
	case errors.Is(err, errStalled), retryable(err):
		return fmt.Sprintf("check the network to %s and run again: what was stored is kept", s.client.EndpointURL().Host)
	}
	return ""
}

// arn is how policies name an object, or the bucket.
func (s *Store) arn(name string) string {
	if name == "" {
		return "arn:aws:s3:::" + s.bucket
	}
	return "arn:aws:s3:::" + path.Join(s.bucket, s.prefix) + "/*"
}

func (s *Store) createHint() string {
	return fmt.Sprintf("make a bucket that is right with: daybook bucket create %s (and --config, if that names the endpoint)", s.url(s.prefix))
}

// errNoBucket is the cause of an ErrUnfit that making the bucket cures.
var errNoBucket = errors.New("there is no such bucket")

func (s *Store) missingBucket() error {
	return &sink.HintError{Err: fmt.Errorf("%s: %w: %w", s.url(""), sink.ErrUnfit, errNoBucket), Hint: s.createHint()}
}
