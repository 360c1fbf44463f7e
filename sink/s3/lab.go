package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

// LabPrefix is where, below a store's root, throw-away objects lie.
const LabPrefix = "doctor/"

// Lab tries on a store what Daybook never does: put without a condition, overwrite, delete, shorten, bypass. It touches nothing but objects below LabPrefix, and changes no
// setting of the bucket. It never tries again: an attempt's first answer is what is looked for.
type Lab struct {
	s *Store
}

// Lab returns the store's.
func (s *Store) Lab() *Lab { return &Lab{s.once()} }

// once is the store, and tries nothing again.
func (s *Store) once() *Store {
	once := *s
	once.retries = Retry{Attempts: 1}
	return &once
}

// Refused says that the server refused an attempt because the credential may not do it, and not for another reason.
func Refused(err error) bool {
	r, ok := response(err)
	return ok && r.StatusCode == http.StatusForbidden && !credentialFault(r.Code)
}

// credentialFault reports whether it was the credential that was refused, and not what it asked for.
func credentialFault(code string) bool {
	switch code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "RequestTimeTooSkewed", "ExpiredToken":
		return true
	}
	return false
}

// Answered says with which status the server refused an attempt; 0 if there was no answer, or no refusal.
func Answered(err error) int {
	r, _ := response(err)
	return r.StatusCode
}

// Checksum is what an attempt sends of an object's SHA-256.
type Checksum int

// RightSum is the object's, WrongSum another, and NoSum none, nor any other checksum.
const (
	RightSum Checksum = iota
	WrongSum
	NoSum
)

// Attempt is how an object is put.
type Attempt struct {
	Lock      sink.Lock
	Sum       Checksum
	OnlyIfNew bool // If-None-Match: *
	Encrypt   Encryption
	KMSKey    string
}

// name is the whole key of one below LabPrefix.
func (l *Lab) name(key string) (string, error) {
	if !strings.HasPrefix(key, LabPrefix) {
		return "", fmt.Errorf("key %q does not lie below %s", key, LabPrefix)
	}
	return l.s.name(key)
}

// Put puts an object, and returns its version.
func (l *Lab) Put(ctx context.Context, key string, body []byte, a Attempt) (version string, err error) {
	name, err := l.name(key)
	if err != nil {
		return "", err
	}
	sse, err := newEncryption(a.Encrypt, a.KMSKey)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	opts := minio.PutObjectOptions{ContentType: "text/plain", DisableContentSha256: true, Mode: minio.RetentionMode(a.Lock.Mode), ServerSideEncryption: sse.ask}
	if a.Lock.Mode != sink.None {
		opts.RetainUntilDate = a.Lock.RetainUntil
	}
	if a.OnlyIfNew {
		opts.SetMatchETagExcept("*")
	}
	told := sum
	if a.Sum == WrongSum {
		told[0] ^= 0xff
	}
	if a.Sum != NoSum {
		opts.UserMetadata = map[string]string{"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(told[:])}
	}
	err = l.s.retry(ctx, "PUT "+l.s.url(name), func(ctx context.Context, _ *watch) error {
		info, err := l.s.client.PutObject(ctx, l.s.bucket, name, bytes.NewReader(body), int64(len(body)), "", hex.EncodeToString(sum[:]), opts)
		version = info.VersionID
		return err
	})
	return version, err
}

// Delete deletes a version, or with a blank one sets a delete marker, and returns the marker's version.
func (l *Lab) Delete(ctx context.Context, key, version string, bypass bool) (marker string, err error) {
	name, err := l.name(key)
	if err != nil {
		return "", err
	}
	if version == "" {
		// minio-go does not tell the marker's version.
		_, header, err := l.s.raw(ctx, http.MethodDelete, name, nil, nil)
		if err != nil {
			return "", err
		}
		return header.Get("X-Amz-Version-Id"), nil
	}
	return "", l.s.retry(ctx, "DELETE "+l.s.url(name), func(ctx context.Context, _ *watch) error {
		return l.s.client.RemoveObject(ctx, l.s.bucket, name, minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: bypass})
	})
}

// Retain sets another lock on a version.
func (l *Lab) Retain(ctx context.Context, key, version string, lock sink.Lock, bypass bool) error {
	name, err := l.name(key)
	if err != nil {
		return err
	}
	mode := minio.RetentionMode(lock.Mode)
	return l.s.retry(ctx, "PUT retention of "+l.s.url(name), func(ctx context.Context, _ *watch) error {
		return l.s.client.PutObjectRetention(ctx, l.s.bucket, name, minio.PutObjectRetentionOptions{
			VersionID: version, Mode: &mode, RetainUntilDate: &lock.RetainUntil, GovernanceBypass: bypass,
		})
	})
}

// Head describes a version, and by which algorithm and key it is encrypted, if it is.
func (l *Lab) Head(ctx context.Context, key, version string) (info sink.Info, encrypted string, err error) {
	name, err := l.name(key)
	if err != nil {
		return sink.Info{}, "", err
	}
	info, h, err := l.s.look(ctx, name, version)
	return info, encryptedBy(h), err
}

// Versions lists the versions and markers below a prefix, which is LabPrefix or lies below it, in pages of so many; 0: of the server's choice.
func (l *Lab) Versions(ctx context.Context, prefix string, page int) (list []sink.Entry, err error) {
	if !strings.HasPrefix(prefix, LabPrefix) {
		return nil, fmt.Errorf("prefix %q does not lie below %s", prefix, LabPrefix)
	}
	name := l.s.prefix + prefix
	err = l.s.retry(ctx, "GET versions of "+l.s.url(name), func(ctx context.Context, w *watch) error {
		listing := &listing{store: l.s, prefix: name, versions: true, maxKeys: page, yield: func(e sink.Entry, err error) bool {
			list = append(list, e)
			return err == nil
		}}
		return listing.run(ctx, w)
	})
	return list, err
}

// Settings of a bucket that a writer must not be able to change.
var guarded = []string{"policy", "lifecycle", "versioning", "object-lock", "encryption"}

// Guarded returns their names.
func Guarded() []string { return guarded }

// ErrChanged says that the server took what was no setting.
var ErrChanged = errors.New("the server took nonsense for a setting")

// MayChange reports whether the credential may change a setting of the bucket, by a request that is not well formed: servers look at the credential first, and at the body
// then. Nothing is changed.
func (l *Lab) MayChange(ctx context.Context, setting string) (bool, error) {
	_, err := l.s.setting(ctx, http.MethodPut, setting, []byte("<daybook-doctor-looks-whether-it-may"))
	switch r, ok := response(err); {
	case err == nil:
		return true, fmt.Errorf("%s: %w", setting, ErrChanged)
	case Refused(err):
		return false, nil
	case ok && r.StatusCode == http.StatusBadRequest:
		return true, nil
	}
	return false, err
}

// Wait returns once the server's clock is past a time, and ours as well.
func (l *Lab) Wait(ctx context.Context, until time.Time) error {
	d := until.Sub(l.s.now())
	if ahead, ok := l.s.Offset(); ok && ahead < 0 {
		d -= ahead
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
