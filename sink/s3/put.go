package s3

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

// errExists says that a conditional PUT found something under its key.
var errExists = errors.New("something is there")

// Put implements sink.Store. Existed is also set where an earlier attempt of the same call stored the object and its answer was lost.
func (s *Store) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	name, err := s.name(o.Key)
	if err != nil {
		return sink.Info{}, err
	}
	if err := s.checkLock(o.Lock); err != nil {
		return sink.Info{}, wrap(s.url(name), err)
	}
	if o.Hold {
		if _, err := s.lockable(o.Key); err != nil {
			return sink.Info{}, err
		}
	}
	if o.Size < 0 || o.Size > MaxSize {
		return sink.Info{}, fmt.Errorf("%s: %d bytes: an object may have %d at most", s.url(name), o.Size, int64(MaxSize))
	}
	o.Lock.RetainUntil = wholeSeconds(o.Lock.RetainUntil)
	// A condition alone does not do: on some servers it holds over a delete marker, and the PUT would bury what was hidden.
	info, header, err := s.look(ctx, name, "")
	if err == nil {
		return s.settleEncrypted(ctx, name, o, info, header)
	}
	if !errors.Is(err, sink.ErrNotExist) {
		return sink.Info{}, err
	}
	version, err := s.upload(ctx, name, o)
	if errors.Is(err, errExists) {
		// It may be ours, of an attempt whose answer was lost.
		if info, header, err = s.look(ctx, name, ""); err == nil {
			return s.settleEncrypted(ctx, name, o, info, header)
		}
		if errors.Is(err, sink.ErrNotExist) {
			err = fmt.Errorf("%s: it was there for the PUT, and gone for the HEAD after it", s.url(name))
		}
		return sink.Info{}, err
	}
	if err != nil {
		return sink.Info{}, err
	}
	if info, header, err = s.look(ctx, name, version); err != nil {
		return sink.Info{}, wrap("read back what was put", err)
	}
	info.Key = o.Key
	if info.Size != o.Size || info.SHA256 != o.SHA256 {
		return sink.Info{}, fmt.Errorf("%s: version %q reads back as %d bytes, SHA-256 %x: %d bytes, %x were put",
			s.url(name), info.Version, info.Size, info.SHA256, o.Size, o.SHA256)
	}
	if err := s.checkEncryption(name, header); err != nil {
		return sink.Info{}, err
	}
	if err := s.checkReadBack(name, o.Lock, info); err != nil || !o.Hold {
		return info, err
	}
	if err := s.learnHold(ctx, name, &info); err != nil {
		return sink.Info{}, err
	}
	return info, s.checkHold(name, true, info)
}

// upload sends o in one PUT that never overwrites, and returns the version that it made. After a failure the object may be there.
func (s *Store) upload(ctx context.Context, name string, o sink.Object) (version string, err error) {
	opts := minio.PutObjectOptions{
		ContentType: o.ContentType,
		// The value, not the name of an algorithm: minio-go passes it as it is, the server compares, keeps it, and shows it in HEAD.
		UserMetadata: map[string]string{"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(o.SHA256[:])},
		// Sign the whole body instead of its chunks. A chunked body is stored with a Content-Encoding by some servers.
		DisableContentSha256: true,
		Mode:                 minio.RetentionMode(o.Lock.Mode),
		ServerSideEncryption: s.sse.ask,
	}
	if o.Lock.Mode != sink.None {
		opts.RetainUntilDate = o.Lock.RetainUntil
	}
	if o.Hold {
		opts.LegalHold = minio.LegalHoldEnabled
	}
	opts.SetMatchETagExcept("*")
	err = s.retry(ctx, "PUT "+s.url(name), func(ctx context.Context, w *watch) error {
		b := &body{from: o, watch: w, progress: s.progress}
		info, err := s.client.PutObject(ctx, s.bucket, name, b, o.Size, "", hex.EncodeToString(o.SHA256[:]), opts)
		if err := b.end(); err != nil {
			return err
		}
		version = info.VersionID
		return err
	})
	if r, ok := response(err); ok && r.StatusCode == http.StatusPreconditionFailed {
		return "", errExists
	}
	permission := "s3:PutObject and s3:PutObjectRetention"
	if o.Hold {
		permission = "s3:PutObject, s3:PutObjectRetention and s3:PutObjectLegalHold"
	}
	return version, s.explain(err, permission, name)
}

// settleEncrypted is settle, and holds the object against how it was to be encrypted. Keys and the log are put again and again, and may be older than that wish.
func (s *Store) settleEncrypted(ctx context.Context, name string, o sink.Object, info sink.Info, h http.Header) (sink.Info, error) {
	info, err := s.settle(ctx, name, o, info)
	if err == nil && !strings.HasPrefix(o.Key, "keys/") && !strings.HasPrefix(o.Key, "log/") {
		err = s.checkEncryption(name, h)
	}
	return info, err
}

// settle answers a Put over an object that is there: the same bytes are as good as put, and get the longer lock.
func (s *Store) settle(ctx context.Context, name string, o sink.Object, info sink.Info) (sink.Info, error) {
	if info.Size != o.Size || info.SHA256 != o.SHA256 {
		return sink.Info{}, fmt.Errorf("%s: %w: version %q has %d bytes, SHA-256 %x; %d bytes, %x were to be put",
			s.url(name), sink.ErrConflict, info.Version, info.Size, info.SHA256, o.Size, o.SHA256)
	}
	if !info.Lock.Covers(o.Lock) {
		if err := s.extend(ctx, name, info, o.Lock); err != nil {
			return sink.Info{}, err
		}
		var err error
		if info, err = s.head(ctx, name, info.Version); err != nil {
			return sink.Info{}, wrap("read back the longer lock", err)
		}
	}
	info.Key, info.Existed = o.Key, true
	if err := s.checkReadBack(name, o.Lock, info); err != nil || !o.Hold {
		return info, err
	}
	if err := s.learnHold(ctx, name, &info); err != nil {
		return sink.Info{}, err
	}
	if !info.Held {
		var err error
		if info, err = s.setHold(ctx, name, info, true); err != nil {
			return sink.Info{}, err
		}
		info.Key, info.Existed = o.Key, true
	}
	return info, nil
}

// extend lengthens the lock of a version, and never shortens or bypasses it.
func (s *Store) extend(ctx context.Context, name string, info sink.Info, want sink.Lock) error {
	mode, until := minio.RetentionMode(want.Mode), want.RetainUntil
	if info.Lock.Mode == sink.Compliance {
		mode = minio.Compliance
	}
	if info.Lock.RetainUntil.After(until) {
		until = info.Lock.RetainUntil
	}
	err := s.retry(ctx, "PUT retention of "+s.url(name), func(ctx context.Context, _ *watch) error {
		return s.client.PutObjectRetention(ctx, s.bucket, name, minio.PutObjectRetentionOptions{
			Mode:            &mode,
			RetainUntilDate: &until,
			VersionID:       info.Version,
		})
	})
	if _, answered := response(err); err == nil || !answered || retryable(err) {
		return s.explain(err, retentionPermission, name)
	}
	return fmt.Errorf("%w: %w", sink.ErrLock, s.explain(err, retentionPermission, name))
}

// checkReadBack holds the lock of a version, as the store tells it, against the one that was asked for.
func (s *Store) checkReadBack(name string, want sink.Lock, info sink.Info) error {
	if want.Mode == sink.None {
		return nil
	}
	if info.Version == "" || info.Version == "null" {
		return &sink.HintError{
			Err:  fmt.Errorf("%s: %w: the store names no version, so versioning is off", s.url(name), sink.ErrUnfit),
			Hint: s.createHint(),
		}
	}
	if info.Lock.Covers(want) {
		return nil
	}
	if info.Lock.Mode == sink.None {
		return &sink.HintError{
			Err:  fmt.Errorf("%s: version %s: %w: the store shows no lock", s.url(name), info.Version, sink.ErrLock),
			Hint: "let the credential do s3:GetObjectRetention on " + s.arn(name) + ": without it S3 does not show locks",
		}
	}
	return fmt.Errorf("%s: version %s: %w: %s until %s, asked for was %s until %s", s.url(name), info.Version, sink.ErrLock,
		info.Lock.Mode, info.Lock.RetainUntil.UTC().Format(time.RFC3339), want.Mode, want.RetainUntil.UTC().Format(time.RFC3339))
}

// body reads an object's bytes for one attempt. The HTTP transport may still read when the attempt is over.
type body struct {
	from     sink.Object
	watch    *watch
	progress func(key string, sent, size int64)

	mu     sync.Mutex // guards what follows, and is held while progress is told
	offset int64
	over   bool
	err    error // why it could not be read
}

// end stops reading, and returns why the file could not be read, if it could not.
func (b *body) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return b.err
}

// bodyError says that it was the file, not the store, that failed.
type bodyError struct {
	offset, size int64
	err          error
}

func (e *bodyError) Error() string {
	return fmt.Sprintf("read the file to put at byte %d of %d: %v", e.offset, e.size, e.err)
}
func (e *bodyError) Unwrap() error { return e.err }

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, errors.New("the attempt is over")
	}
	if b.offset >= b.from.Size {
		return 0, io.EOF
	}
	n, err := b.from.Body.ReadAt(p[:min(int64(len(p)), b.from.Size-b.offset)], b.offset)
	b.offset += int64(n)
	if n > 0 {
		b.watch.progress()
		b.progress(b.from.Key, b.offset, b.from.Size)
		return n, nil
	}
	if err == nil && len(p) == 0 {
		return 0, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	b.err = &bodyError{b.offset, b.from.Size, err}
	return 0, b.err
}
