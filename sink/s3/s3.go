// Package s3 lays sealed files down in a bucket of an S3-compatible store, under Object Lock.
//
// It guarantees that an object appears only whole and never replaces another (one PUT with If-None-Match: *); that the store checked
// its SHA-256 on arrival; that every object carries the lock that was asked for, whatever the bucket's default; and that what Put
// reports was read back from the version that it made. A PUT whose answer was lost is settled by what the store then holds. A crash
// at any point leaves the whole object or none.
//
// It does not overwrite, delete, shorten a lock or bypass one, and needs no permission to. It needs, on the bucket,
// s3:ListBucket (without it S3 answers 403 for an object that is absent), s3:GetBucketVersioning and
// s3:GetBucketObjectLockConfiguration; and on the prefix s3:PutObject, s3:PutObjectRetention, s3:GetObject, s3:GetObjectVersion and
// s3:GetObjectRetention (without it S3 leaves the lock out of its answers). What only an auditor asks for takes more on the bucket: Versions takes
// s3:ListBucketVersions, Expiry s3:GetLifecycleConfiguration.
//
// What servers do not agree on, and what follows for this package: the lock is read from HEAD, and where that shows none by the call for
// it; a HEAD that fails is followed by a GET, which gives the reason, and on one server alone tells of a delete marker; a failure is told
// by its status and code together, never by one code; and the SHA-256 of the whole body is signed, since a signature per chunk ends up
// as a content encoding on one server. AWS itself refuses a locked PUT without a checksum header,
// which MinIO and versitygw let pass: a test holds the header to the wire.
package s3

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"daybook/sink"
)

// MaxSize is how large an object may be: S3's limit of a single PUT.
const MaxSize = 5 << 30

// Options are the settings of a Store. Those that are blank come from the standard AWS environment variables, and then from the
// shared configuration and credentials files. There is no default for Mode: it must be set, or Unlocked.
type Options struct {
	// Mode is the weakest lock that an object may have in this store.
	Mode sink.Mode
	// Unlocked says that this store holds objects without a lock. An object that asks for one is then refused.
	Unlocked bool

	// Endpoint is the server's URL. A host without a scheme means https. Blank: AWS.
	Endpoint string
	// Region is the bucket's region. Blank: found out from AWS, us-east-1 at another endpoint.
	Region string
	// PathStyle puts the bucket into the path of URLs at AWS too. Other endpoints get it anyway.
	PathStyle bool
	// CAFile is a PEM file of authorities that are trusted beside the system's.
	CAFile string

	// Profile is the section of the shared files to use. A profile set here goes before the environment.
	Profile string
	// AccessKeyFile, SecretKeyFile and SessionTokenFile hold one value each, and are read again when it has expired. Where the first
	// is set, credentials come from nowhere else.
	AccessKeyFile, SecretKeyFile, SessionTokenFile string
	// AccessKey, SecretKey and SessionToken are the values themselves, for keys that were read from elsewhere. They go before all others.
	AccessKey, SecretKey, SessionToken string

	// Encryption is what the server is asked to encrypt objects with, and held to: what it puts back otherwise is refused. Blank: nothing is asked, and the
	// bucket's default applies. KMSKey names the key of SSEKMS; blank: the server's default one.
	Encryption Encryption
	KMSKey     string

	// Retry is how failures are met that may pass.
	Retry Retry
	// Timeout is how long a request may go without a byte of progress. Default: 2 minutes.
	Timeout time.Duration
	// Progress is told, as an object is sent, how many of its bytes were. It starts anew with each attempt. The calls of one Put do not
	// overlap, and end before it does; those of several Puts may overlap.
	Progress func(key string, sent, size int64)
	// Log is told of retries. Default: nothing is logged.
	Log *slog.Logger
	// Now is the clock that a retain-until date must be ahead of. Default: time.Now. (Requests are signed by the machine's clock.)
	Now func() time.Time
	// Transport wraps the HTTP transport, for tests and tracing.
	Transport func(http.RoundTripper) http.RoundTripper
}

// Store is a prefix of a bucket. It implements sink.Store.
type Store struct {
	client   minio.Core
	creds    *credentials.Credentials
	bucket   string
	prefix   string // blank, or with a slash at its end
	region   string
	mode     sink.Mode
	sse      encryption
	http     *http.Client // for what minio-go does not pass on as it is
	retries  Retry
	timeout  time.Duration
	progress func(key string, sent, size int64)
	log      *slog.Logger
	now      func() time.Time
	clock    *clock
}

var _ sink.Store = (*Store)(nil)

// New returns the store at a URL of the form s3://bucket/prefix, and sends nothing. The prefix may be blank.
func New(rawURL string, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	switch {
	case opts.Mode == sink.None && !opts.Unlocked:
		return nil, &sink.HintError{
			Err:  fmt.Errorf("%s: no lock mode is set, and an S3 store has no default for it", rawURL),
			Hint: "set the mode to compliance, which nobody can lift before its time, or to governance; or set it to none to go without",
		}
	case opts.Mode != sink.None && opts.Unlocked:
		return nil, fmt.Errorf("%s: lock mode %s for a store that is to be unlocked", rawURL, opts.Mode)
	case opts.Mode != sink.None && opts.Mode != sink.Governance && opts.Mode != sink.Compliance:
		return nil, fmt.Errorf("%s: lock mode %q", rawURL, opts.Mode)
	}
	return open(rawURL, opts)
}

func open(rawURL string, opts *Options) (*Store, error) {
	bucket, prefix, err := splitURL(rawURL)
	if err != nil {
		return nil, err
	}
	set, err := resolve(opts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rawURL, err)
	}
	sse, err := newEncryption(opts.Encryption, opts.KMSKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rawURL, err)
	}
	s := &Store{
		creds:    set.creds,
		bucket:   bucket,
		prefix:   prefix,
		region:   set.region,
		mode:     opts.Mode,
		sse:      sse,
		http:     &http.Client{Transport: set.transport},
		retries:  opts.Retry.withDefaults(),
		timeout:  opts.Timeout,
		progress: opts.Progress,
		log:      opts.Log,
		now:      set.clock.now,
		clock:    set.clock,
	}
	if s.timeout <= 0 {
		s.timeout = 2 * time.Minute
	}
	if s.progress == nil {
		s.progress = func(string, int64, int64) {}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	lookup := minio.BucketLookupAuto
	if opts.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.NewCore(set.host, &minio.Options{
		Creds:        set.creds,
		Secure:       set.secure,
		Transport:    set.transport,
		Region:       set.region,
		BucketLookup: lookup,
		MaxRetries:   1, // there is one retry layer, and it is ours
	})
	if err != nil {
		return nil, fmt.Errorf("%s: endpoint %q: %w", rawURL, set.host, err)
	}
	// AWS's own tools use the names without dual stack, and firewalls are set up for those.
	client.SetS3EnableDualstack(false)
	s.client = *client
	return s, nil
}

// splitURL takes s3://bucket/prefix apart, without unescaping: a key may hold a percent sign.
func splitURL(rawURL string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(rawURL, "s3://")
	if !ok || strings.ContainsAny(rest, "?#") {
		return "", "", fmt.Errorf("%q: must have the form s3://bucket/prefix", rawURL)
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	if err := s3utils.CheckValidBucketName(bucket); err != nil {
		return "", "", fmt.Errorf("%q: %w", rawURL, err)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return bucket, "", nil
	}
	if err := sink.CheckKey(prefix); err != nil {
		return "", "", fmt.Errorf("%q: %w", rawURL, err)
	}
	return bucket, prefix + "/", nil
}

// name is the whole key in the bucket of a key in the store.
func (s *Store) name(key string) (string, error) {
	if err := sink.CheckKey(key); err != nil {
		return "", err
	}
	name := s.prefix + key
	if err := sink.CheckKey(name); err != nil {
		return "", err
	}
	return name, nil
}

// url is how people write the object name, or the bucket where it is blank.
func (s *Store) url(name string) string { return "s3://" + path.Join(s.bucket, name) }

// checkLock reports why an object with the lock cannot be put, before anything is sent.
func (s *Store) checkLock(l sink.Lock) error {
	switch {
	case s.mode == sink.None && l.Mode != sink.None:
		return &sink.HintError{
			Err:  fmt.Errorf("%w: a lock of mode %s was asked for in a store that is configured without", sink.ErrUnfit, l.Mode),
			Hint: "set the lock mode of the store",
		}
	case s.mode == sink.None:
		return nil
	case l.Mode != sink.Compliance && l.Mode != s.mode:
		return fmt.Errorf("lock mode %q is weaker than the store's, %s", l.Mode, s.mode)
	case !l.RetainUntil.After(s.now()):
		return fmt.Errorf("retain-until %s is not ahead of now", l.RetainUntil.UTC().Format(time.RFC3339))
	}
	return nil
}

// errNoCredentials is the cause where no request could be signed.
var errNoCredentials = errors.New("no credentials")
