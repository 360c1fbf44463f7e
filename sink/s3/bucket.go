package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

// probe is a key that is never put. To ask for it shows whether an absent object is told from a refusal.
const probe = ".daybook-preflight"

// Preflight implements sink.Store: the bucket is there, keeps versions and locks, and can be asked about objects.
func (s *Store) Preflight(ctx context.Context) error {
	if err := s.checkFit(ctx); err != nil {
		return err
	}
	_, err := s.stat(ctx, s.prefix+probe, "")
	switch r, _ := response(err); {
	case err == nil, errors.Is(err, sink.ErrNotExist), errors.Is(err, sink.ErrHidden):
		return nil
	case r.StatusCode == http.StatusForbidden:
		return &sink.HintError{
			Err: fmt.Errorf("%w: %w", sink.ErrUnfit, err),
			Hint: fmt.Sprintf("let the credential do s3:ListBucket on %s and s3:GetObject on %s: without both an object that is absent cannot be "+
				"told from one that is hidden", s.arn(""), s.arn(probe)),
		}
	default:
		return err
	}
}

// checkFit asks what the bucket can do. It begins with a GET: unlike a HEAD, that is answered with a reason.
func (s *Store) checkFit(ctx context.Context) error {
	var versioning minio.BucketVersioningConfiguration
	err := s.retry(ctx, "GET versioning of "+s.url(""), func(ctx context.Context, _ *watch) error {
		var err error
		versioning, err = s.client.GetBucketVersioning(ctx, s.bucket)
		return err
	})
	if err := s.unfit(err, "s3:GetBucketVersioning"); err != nil {
		return err
	}
	if s.mode == sink.None {
		return nil
	}
	if !versioning.Enabled() {
		return &sink.HintError{Err: fmt.Errorf("%s: %w: versioning is not enabled", s.url(""), sink.ErrUnfit), Hint: s.createHint()}
	}
	locked, _, err := s.lockConfig(ctx)
	if err != nil {
		return err
	}
	if !locked {
		return &sink.HintError{Err: fmt.Errorf("%s: %w: Object Lock is not enabled", s.url(""), sink.ErrUnfit), Hint: s.createHint()}
	}
	return nil
}

// floor is a bucket's default retention: what an object gets that is put without a lock of its own, on servers that stamp it.
type floor struct {
	mode sink.Mode
	days uint
}

func (f floor) covers(want floor) bool {
	return want.days == 0 || f.days >= want.days && (f.mode == sink.Compliance || f.mode == want.mode)
}

// lockConfig asks whether the bucket can lock, and with what default.
func (s *Store) lockConfig(ctx context.Context) (locked bool, f floor, err error) {
	err = s.retry(ctx, "GET object lock of "+s.url(""), func(ctx context.Context, _ *watch) error {
		enabled, mode, validity, unit, err := s.client.GetObjectLockConfig(ctx, s.bucket)
		if err != nil {
			return err
		}
		locked = enabled == "Enabled"
		if mode != nil && validity != nil && unit != nil {
			f = floor{sink.Mode(*mode), *validity}
			if *unit == minio.Years {
				f.days *= 365
			}
		}
		return nil
	})
	if said(err, "ObjectLockConfigurationNotFoundError") {
		return false, floor{}, nil
	}
	return locked, f, s.unfit(err, "s3:GetBucketObjectLockConfiguration")
}

// unfit turns what the server said of the bucket into ErrUnfit, with a hint. What says nothing of the bucket stays what it is.
func (s *Store) unfit(err error, permission string) error {
	if said(err, "NoSuchBucket") {
		return s.missingBucket()
	}
	if _, ok := response(err); ok && !retryable(err) {
		err = fmt.Errorf("%w: %w", sink.ErrUnfit, err)
	}
	return s.explain(err, permission, "")
}

// Bucket is what CreateBucket is to make.
type Bucket struct {
	// Mode and Days are the default retention: a floor under objects that others put. Days 0: no default.
	Mode sink.Mode
	Days int
}

// CreateBucket makes the bucket of a URL, with Object Lock and versioning, and reports whether it was made. A bucket that is there and right
// is left as it is, but for a default retention that is raised to the one asked for. One that is there and cannot lock is ErrUnfit.
func CreateBucket(ctx context.Context, rawURL string, want Bucket, opts *Options) (created bool, err error) {
	switch {
	case want.Days < 0 || want.Days > 36500:
		return false, fmt.Errorf("%s: default retention of %d days: must be 0 to 36500", rawURL, want.Days)
	case want.Days > 0 && want.Mode != sink.Governance && want.Mode != sink.Compliance:
		return false, fmt.Errorf("%s: a default retention of %d days needs a mode", rawURL, want.Days)
	}
	if opts == nil {
		opts = &Options{}
	}
	// To find out whether the bucket can lock, the store must be one that locks, whatever the options say.
	locking := *opts
	locking.Unlocked = false
	locking.Mode = want.Mode
	if locking.Mode == sink.None {
		locking.Mode = sink.Compliance
	}
	s, err := open(rawURL, &locking)
	if err != nil {
		return false, err
	}
	if err = s.checkFit(ctx); errors.Is(err, errNoBucket) {
		if created, err = s.makeBucket(ctx); err != nil {
			return false, err
		}
		err = s.checkFit(ctx)
	}
	if err != nil {
		if errors.Is(err, sink.ErrUnfit) && !created {
			err = &sink.HintError{
				Err:  fmt.Errorf("the bucket is there already: %w", err),
				Hint: "choose another name: a bucket that was made without Object Lock is not turned into one that has it here",
			}
		}
		return created, err
	}
	_, has, err := s.lockConfig(ctx)
	if err != nil || has.covers(floor{want.Mode, uint(want.Days)}) {
		return created, err
	}
	mode, days, unit := minio.RetentionMode(want.Mode), max(uint(want.Days), has.days), minio.Days
	if has.mode == sink.Compliance {
		mode = minio.Compliance
	}
	err = s.retry(ctx, "PUT object lock of "+s.url(""), func(ctx context.Context, _ *watch) error {
		return s.client.SetObjectLockConfig(ctx, s.bucket, &mode, &days, &unit)
	})
	return created, s.explain(err, "s3:PutBucketObjectLockConfiguration", "")
}

// makeBucket reports false where somebody else made the bucket first.
func (s *Store) makeBucket(ctx context.Context) (made bool, err error) {
	err = s.retry(ctx, "PUT "+s.url(""), func(ctx context.Context, _ *watch) error {
		return s.client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.region, ObjectLocking: true})
	})
	if r, ok := response(err); ok && (r.Code == "BucketAlreadyOwnedByYou" || r.Code == "BucketAlreadyExists") {
		return false, nil
	}
	return err == nil, s.explain(err, "s3:CreateBucket, s3:PutBucketVersioning and s3:PutBucketObjectLockConfiguration", "")
}
