package s3test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"daybook/sink"
)

// What follows damages a bucket behind the back of the store under test, as somebody with the root user's credentials can.

// Overwrite puts a version over key, or the first of a key that was not there, without a condition and with the lock, or without one, and returns its id.
func (s *Server) Overwrite(t testing.TB, bucket, key string, body []byte, lock sink.Lock) (version string) {
	t.Helper()
	o := object{key: key, size: int64(len(body)), sum: sha256.Sum256(body), lock: lock}
	version, err := put(t.Context(), s.Client(t), bucket, o, bytes.NewReader(body))
	if err != nil {
		t.Fatalf("put %s/%s on %s: %v", bucket, key, s.kind.name, err)
	}
	return version
}

// Hide sets a delete marker in front of key, locked or not.
func (s *Server) Hide(t testing.TB, bucket, key string) {
	t.Helper()
	if err := s.Client(t).RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatalf("hide %s/%s on %s: %v", bucket, key, s.kind.name, err)
	}
}

// DeleteVersion deletes a version or a delete marker, past a Governance lock. The error is the server's, which nobody gets past where the lock is Compliance.
func (s *Server) DeleteVersion(t testing.TB, bucket, key, version string) error {
	t.Helper()
	return s.Client(t).RemoveObject(t.Context(), bucket, key, minio.RemoveObjectOptions{VersionID: version, GovernanceBypass: true})
}

// SetLock changes the lock of a version, or takes it away where lock is zero, past a Governance lock. The error is the server's, as in DeleteVersion.
func (s *Server) SetLock(t testing.TB, bucket, key, version string, lock sink.Lock) error {
	t.Helper()
	opts := minio.PutObjectRetentionOptions{GovernanceBypass: true, VersionID: version}
	if lock.Mode != sink.None {
		mode := minio.RetentionMode(lock.Mode)
		opts.Mode, opts.RetainUntilDate = &mode, &lock.RetainUntil
	}
	return s.Client(t).PutObjectRetention(t.Context(), bucket, key, opts)
}

// SetLifecycle sets lifecycle rules in place of those that were there; none removes them all. A rule's prefix is that of whole keys. One that is Filtered
// asks for a tag.
func (s *Server) SetLifecycle(t testing.TB, bucket string, rules ...sink.ExpiryRule) {
	t.Helper()
	config := lifecycle.NewConfiguration()
	for _, r := range rules {
		rule := lifecycle.Rule{ID: r.ID, Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: r.Prefix}}
		if r.Filtered {
			rule.RuleFilter = lifecycle.Filter{And: lifecycle.And{Prefix: r.Prefix, Tags: []lifecycle.Tag{{Key: "temporary", Value: "yes"}}}}
		}
		rule.Expiration.Days = lifecycle.ExpirationDays(r.Days)
		rule.Expiration.Date.Time = r.Date
		rule.Expiration.DeleteMarker = lifecycle.ExpireDeleteMarker(r.Markers)
		rule.NoncurrentVersionExpiration.NoncurrentDays = lifecycle.ExpirationDays(r.NoncurrentDays)
		config.Rules = append(config.Rules, rule)
	}
	if err := s.Client(t).SetBucketLifecycle(t.Context(), bucket, config); err != nil {
		t.Fatalf("set the lifecycle of %s on %s: %v", bucket, s.kind.name, err)
	}
}

// source is a store that can be copied.
type source interface {
	sink.Store
	sink.Lister
}

// Fill copies what a store holds, the newest versions alone, into a bucket below prefix, which is blank or ends with a slash. Each object gets the lock that
// lock returns for what the store says of it; where lock is nil, the one that it has there.
func (s *Server) Fill(t testing.TB, bucket, prefix string, from source, lock func(sink.Info) sink.Lock) {
	t.Helper()
	if lock == nil {
		lock = func(info sink.Info) sink.Lock { return info.Lock }
	}
	client := s.Client(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	keys := make(chan string)
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() {
			for key := range keys {
				if err := fill(ctx, client, bucket, prefix, from, key, lock); err != nil {
					cancel(fmt.Errorf("%s: %w", key, err))
				}
			}
		})
	}
	for e, err := range from.List(ctx, "") {
		if err != nil {
			cancel(err)
			break
		}
		keys <- e.Key
	}
	close(keys)
	writers.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("fill %s on %s: %v", bucket, s.kind.name, err)
	}
}

func fill(ctx context.Context, client *minio.Client, bucket, prefix string, from source, key string, lock func(sink.Info) sink.Lock) error {
	info, err := from.Head(ctx, key, "")
	if err != nil {
		return err
	}
	body, err := from.Get(ctx, key, info.Version)
	if err != nil {
		return err
	}
	o := object{key: prefix + key, size: info.Size, sum: info.SHA256, contentType: info.ContentType, lock: lock(info)}
	_, err = put(ctx, client, bucket, o, body)
	return errors.Join(err, body.Close())
}

// object is what put sends.
type object struct {
	key, contentType string
	size             int64
	sum              [sha256.Size]byte
	lock             sink.Lock
}

// put sends an object as the store does, but without a condition.
func put(ctx context.Context, client *minio.Client, bucket string, o object, body io.Reader) (version string, err error) {
	opts := minio.PutObjectOptions{
		ContentType:          o.contentType,
		UserMetadata:         map[string]string{"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(o.sum[:])},
		DisableContentSha256: true,
		Mode:                 minio.RetentionMode(o.lock.Mode),
	}
	if o.lock.Mode != sink.None {
		opts.RetainUntilDate = o.lock.RetainUntil.UTC().Truncate(time.Second)
	}
	info, err := minio.Core{Client: client}.PutObject(ctx, bucket, o.key, body, o.size, "", hex.EncodeToString(o.sum[:]), opts)
	return info.VersionID, err
}
