package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

const readPermission = "s3:GetObject and s3:GetObjectVersion"

// Head implements sink.Store. Where the store shows no SHA-256, the object is read for it.
func (s *Store) Head(ctx context.Context, key, version string) (sink.Info, error) {
	name, err := s.name(key)
	if err != nil {
		return sink.Info{}, err
	}
	return s.head(ctx, name, version)
}

func (s *Store) head(ctx context.Context, name, version string) (sink.Info, error) {
	info, _, err := s.look(ctx, name, version)
	return info, err
}

// look is head, and returns the headers of the answer as well.
func (s *Store) look(ctx context.Context, name, version string) (sink.Info, http.Header, error) {
	stat, err := s.stat(ctx, name, version)
	if err != nil {
		return sink.Info{}, nil, err
	}
	info := sink.Info{
		Key:         strings.TrimPrefix(name, s.prefix),
		Version:     stat.VersionID,
		Size:        stat.Size,
		ContentType: stat.ContentType,
	}
	if info.Version == "" {
		info.Version = version
	}
	info.Held = heldOf(stat.Metadata)
	if info.Lock, err = lockOf(stat.Metadata); err != nil {
		return sink.Info{}, nil, fmt.Errorf("%s: %w", s.url(name), err)
	}
	if info.Lock.Mode == sink.None && info.Version != "" && (s.mode != sink.None || version != "") { // a verifier names versions, whatever the store's mode
		if info.Lock, err = s.retention(ctx, name, info.Version); err != nil {
			return sink.Info{}, nil, err
		}
	}
	sum, err := base64.StdEncoding.DecodeString(stat.ChecksumSHA256)
	if err == nil && len(sum) == sha256.Size && stat.ChecksumMode != "COMPOSITE" {
		info.SHA256 = [sha256.Size]byte(sum)
		return info, stat.Metadata, nil
	}
	// Somebody else put it, or the server keeps no checksums. A checksum of checksums, as multipart uploads have, says nothing.
	info.SHA256, err = s.hash(ctx, name, info.Version, info.Size)
	return info, stat.Metadata, err
}

// stat asks for one object. Absent (ErrNotExist) and hidden (ErrHidden) are told from every other failure.
func (s *Store) stat(ctx context.Context, name, version string) (stat minio.ObjectInfo, err error) {
	for range 3 {
		err = s.retry(ctx, "HEAD "+s.url(name), func(ctx context.Context, _ *watch) error {
			var err error
			stat, err = s.client.StatObject(ctx, s.bucket, name, minio.StatObjectOptions{VersionID: version, Checksum: true})
			return err
		})
		if err == nil {
			return stat, nil
		}
		if r, ok := response(err); !ok || r.StatusCode < 400 || r.StatusCode > 499 {
			break
		}
		// The answer to a HEAD has no body, and so gives no reason: a missing bucket looks like a missing object. And versitygw says
		// only to a GET that it met a delete marker.
		hidden, why := s.reason(ctx, name, version)
		switch {
		case hidden:
			return stat, fmt.Errorf("%s: %w", s.url(name), sink.ErrHidden)
		case why == nil:
			continue // it has come meanwhile
		case said(why, "NoSuchBucket"):
			return stat, s.missingBucket()
		case said(why, "NoSuchKey"), said(why, "NoSuchVersion"):
			return stat, fmt.Errorf("%s: %w", s.url(name), sink.ErrNotExist)
		}
		err = why
		break
	}
	return stat, s.explain(err, readPermission, name)
}

// reason asks for one byte of an object that a HEAD was refused for, and returns why, and whether a delete marker hides it.
func (s *Store) reason(ctx context.Context, name, version string) (hidden bool, err error) {
	opts := minio.GetObjectOptions{VersionID: version}
	if err := opts.SetRange(0, 0); err != nil {
		return false, err
	}
	err = s.retry(ctx, "GET "+s.url(name), func(ctx context.Context, _ *watch) error {
		ctx, met := withMarker(ctx)
		r, _, _, err := s.client.GetObject(ctx, s.bucket, name, opts)
		if hidden = met.Load(); err == nil {
			err = r.Close()
		}
		return err
	})
	return hidden && err != nil, err
}

// retention asks for the lock of a version by the call that is for it, which not every credential may use: a refusal means that no
// lock is shown. versitygw leaves the lock of a version that is not the newest out of its HEAD.
func (s *Store) retention(ctx context.Context, name, version string) (sink.Lock, error) {
	lock, err := s.askRetention(ctx, name, version)
	if r, ok := response(err); ok && (r.StatusCode >= 400 && r.StatusCode <= 499 || r.StatusCode == http.StatusNotImplemented) {
		return sink.Lock{}, nil // an object without a lock is answered with 400 or 404, by server, and a server without locks answers what it likes
	}
	return lock, err
}

func (s *Store) askRetention(ctx context.Context, name, version string) (lock sink.Lock, err error) {
	err = s.retry(ctx, "GET retention of "+s.url(name), func(ctx context.Context, _ *watch) error {
		mode, until, err := s.client.GetObjectRetention(ctx, s.bucket, name, version)
		if err == nil && mode != nil && *mode != "" && until != nil {
			lock = sink.Lock{Mode: sink.Mode(*mode), RetainUntil: until.UTC()}
		}
		return err
	})
	return lock, err
}

// lockOf reads an object's lock from the headers of a HEAD.
func lockOf(h http.Header) (sink.Lock, error) {
	lock := sink.Lock{Mode: sink.Mode(strings.ToUpper(h.Get("X-Amz-Object-Lock-Mode")))}
	if lock.Mode == sink.None {
		return sink.Lock{}, nil
	}
	until, err := time.Parse(time.RFC3339Nano, h.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if err != nil {
		return sink.Lock{}, fmt.Errorf("lock read back: %w", err)
	}
	lock.RetainUntil = until.UTC()
	return lock, nil
}

// Get implements sink.Store. The reader fails where the object ends before its length.
func (s *Store) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	name, err := s.name(key)
	if err != nil {
		return nil, err
	}
	return s.get(ctx, name, version, 0)
}

var _ sink.Ranger = (*Store)(nil)

// GetFrom implements sink.Ranger.
func (s *Store) GetFrom(ctx context.Context, key, version string, offset int64) (io.ReadCloser, error) {
	name, err := s.name(key)
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("%s: offset %d is before its beginning", s.url(name), offset)
	}
	return s.get(ctx, name, version, offset)
}

// errRange says that a server gave another part of an object than was asked for.
var errRange = errors.New("the server gave another range than was asked for")

func (s *Store) get(ctx context.Context, name, version string, offset int64) (*reader, error) {
	opts := minio.GetObjectOptions{VersionID: version}
	if offset > 0 {
		if err := opts.SetRange(offset, 0); err != nil {
			return nil, err
		}
	}
	var opened *reader
	err := s.retry(ctx, "GET "+s.url(name), func(ctx context.Context, w *watch) error {
		r, stat, header, err := s.client.GetObject(ctx, s.bucket, name, opts)
		if err != nil {
			return err
		}
		if got := header.Get("Content-Range"); offset > 0 && !strings.HasPrefix(got, fmt.Sprintf("bytes %d-", offset)) {
			return errors.Join(fmt.Errorf("%w: bytes from %d on, and got %q", errRange, offset, got), r.Close())
		}
		w.kept = true
		opened = &reader{body: r, watch: w, ctx: ctx, name: s.url(name), left: stat.Size}
		return nil
	})
	if err == nil {
		return opened, nil
	}
	if said(err, "InvalidObjectState") {
		err = fmt.Errorf("%w: %w", sink.ErrCold, err)
	}
	if r, ok := response(err); ok && (r.StatusCode == http.StatusNotFound || r.StatusCode == http.StatusMethodNotAllowed) {
		// minio-go does not pass on whether a GET met a delete marker.
		if _, statErr := s.stat(ctx, name, version); statErr != nil {
			return nil, statErr
		}
	}
	return nil, s.explain(err, readPermission, name)
}

// reader reads an object as it arrives.
type reader struct {
	body  io.ReadCloser
	watch *watch
	ctx   context.Context // of the request, for why it ended
	name  string
	left  int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.left -= int64(n)
	switch {
	case err == io.EOF && r.left > 0:
		err = fmt.Errorf("%s: %w: %d bytes are missing", r.name, io.ErrUnexpectedEOF, r.left)
	case err != nil && err != io.EOF:
		if cause := context.Cause(r.ctx); cause != nil {
			err = cause
		}
		err = fmt.Errorf("%s: %w", r.name, err)
	default:
		r.watch.progress()
	}
	return n, err
}

func (r *reader) Close() error {
	err := r.body.Close()
	r.watch.stop()
	return err
}

// hash reads a version for its SHA-256.
func (s *Store) hash(ctx context.Context, name, version string, size int64) (sum [sha256.Size]byte, err error) {
	s.log.InfoContext(ctx, "the store shows no SHA-256, reading the object for it", "object", s.url(name), "bytes", size)
	r, err := s.get(ctx, name, version, 0)
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return sum, err
	}
	if n != size {
		return sum, fmt.Errorf("%s: %d bytes where HEAD says %d", s.url(name), n, size)
	}
	h.Sum(sum[:0])
	return sum, nil
}
