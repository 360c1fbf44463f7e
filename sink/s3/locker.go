package s3

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

var _ sink.Locker = (*Store)(nil)

const (
	holdPermission      = "s3:PutObjectLegalHold and s3:GetObjectLegalHold"
	retentionPermission = "s3:PutObjectRetention"
)

// Lengthen implements sink.Locker. Where nothing is sent the lock is still one that was read from the store.
func (s *Store) Lengthen(ctx context.Context, key, version string, want sink.Lock) (sink.Info, error) {
	name, err := s.lockable(key)
	if err != nil {
		return sink.Info{}, err
	}
	info, err := s.head(ctx, name, version)
	if err != nil {
		return sink.Info{}, err
	}
	want.RetainUntil = wholeSeconds(want.RetainUntil)
	covered := info.Lock.Covers(want)
	if !covered {
		if err := s.extend(ctx, name, info, want); err != nil {
			return sink.Info{}, err
		}
		if info, err = s.head(ctx, name, info.Version); err != nil {
			return sink.Info{}, wrap("read back the longer lock", err)
		}
	}
	info.Key, info.Existed = key, covered
	return info, s.checkReadBack(name, want, info)
}

// Hold implements sink.Locker.
func (s *Store) Hold(ctx context.Context, key, version string, on bool) (sink.Info, error) {
	name, err := s.lockable(key)
	if err != nil {
		return sink.Info{}, err
	}
	info, err := s.head(ctx, name, version)
	if err != nil {
		return sink.Info{}, err
	}
	if err := s.learnHold(ctx, name, &info); err != nil {
		return sink.Info{}, err
	}
	held := info.Held
	if held != on {
		if info, err = s.setHold(ctx, name, info, on); err != nil {
			return sink.Info{}, err
		}
	}
	info.Key, info.Existed = key, held == on
	return info, nil
}

// setHold puts or lifts the hold of a version, and reads it back.
func (s *Store) setHold(ctx context.Context, name string, info sink.Info, on bool) (sink.Info, error) {
	status := minio.LegalHoldDisabled
	if on {
		status = minio.LegalHoldEnabled
	}
	err := s.retry(ctx, "PUT legal hold of "+s.url(name), func(ctx context.Context, _ *watch) error {
		return s.client.PutObjectLegalHold(ctx, s.bucket, name, minio.PutObjectLegalHoldOptions{Status: &status, VersionID: info.Version})
	})
	if err != nil {
		return info, wrap(sink.ErrHold.Error(), s.explain(err, holdPermission, name))
	}
	back, err := s.head(ctx, name, info.Version)
	if err != nil {
		return info, wrap("read back the legal hold", err)
	}
	if err := s.learnHold(ctx, name, &back); err != nil {
		return info, err
	}
	return back, s.checkHold(name, on, back)
}

// learnHold asks for a hold that a HEAD did not show by the call that is for it: S3 leaves the header out where there is no hold, and where the credential may
// not see it, and versitygw leaves it out of the HEAD of a version that is not the newest.
func (s *Store) learnHold(ctx context.Context, name string, info *sink.Info) error {
	if info.Held {
		return nil
	}
	var status *minio.LegalHoldStatus
	err := s.retry(ctx, "GET legal hold of "+s.url(name), func(ctx context.Context, _ *watch) error {
		var err error
		status, err = s.client.GetObjectLegalHold(ctx, s.bucket, name, minio.GetObjectLegalHoldOptions{VersionID: info.Version})
		return err
	})
	// What was never held has no hold to tell of: 400 or 404, by server. A refusal is for who reads back to find.
	if r, ok := response(err); ok && (r.StatusCode == http.StatusBadRequest || r.StatusCode == http.StatusNotFound || r.StatusCode == http.StatusForbidden) {
		return nil
	}
	if err != nil {
		return s.explain(err, holdPermission, name)
	}
	info.Held = status != nil && *status == minio.LegalHoldEnabled
	return nil
}

// checkHold holds a hold that was read back against the one that was asked for.
func (s *Store) checkHold(name string, on bool, info sink.Info) error {
	if info.Held == on {
		return nil
	}
	if on {
		return &sink.HintError{
			Err:  fmt.Errorf("%s: version %s: %w: the store shows none", s.url(name), info.Version, sink.ErrHold),
			Hint: "let the credential do s3:GetObjectLegalHold on " + s.arn(name) + ": without it S3 does not show holds",
		}
	}
	return fmt.Errorf("%s: version %s: %w: the store shows one still", s.url(name), info.Version, sink.ErrHold)
}

// lockable returns the name of an object of a bucket that locks.
func (s *Store) lockable(key string) (string, error) {
	name, err := s.name(key)
	if err != nil {
		return "", err
	}
	if s.mode == sink.None {
		return "", &sink.HintError{
			Err:  fmt.Errorf("%s: %w: the store's lock mode is none", s.url(name), sink.ErrUnfit),
			Hint: "holds and longer locks need a bucket with Object Lock, and mode: compliance or governance in the configuration",
		}
	}
	return name, nil
}

// heldOf reads an object's hold from the headers of a HEAD.
func heldOf(h http.Header) bool {
	return strings.EqualFold(h.Get("X-Amz-Object-Lock-Legal-Hold"), string(minio.LegalHoldEnabled))
}

// wholeSeconds rounds up: S3 keeps whole seconds, and cuts off the rest.
func wholeSeconds(t time.Time) time.Time {
	if cut := t.Truncate(time.Second); cut.Before(t) {
		return cut.Add(time.Second)
	}
	return t
}
