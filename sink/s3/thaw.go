package s3

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

var _ sink.Thawer = (*Store)(nil)

// archives are the storage classes that an object must be brought back from. (GLACIER_IR can be read at once.)
var archives = []string{"GLACIER", "DEEP_ARCHIVE"}

// Frost implements sink.Thawer. It takes s3:GetObject and s3:GetObjectVersion.
func (s *Store) Frost(ctx context.Context, key, version string) (sink.Frost, error) {
	name, err := s.name(key)
	if err != nil {
		return sink.Frost{}, err
	}
	f, _, err := s.frost(ctx, name, version)
	return f, err
}

// frost tells as well whether an archive is one of S3 Intelligent-Tiering, from which an object moves back for good.
func (s *Store) frost(ctx context.Context, name, version string) (f sink.Frost, moves bool, err error) {
	stat, err := s.stat(ctx, name, version)
	if err != nil {
		return f, false, err
	}
	f.Class = stat.Headers.Get("X-Amz-Storage-Class")
	moves = stat.Headers.Get("X-Amz-Archive-Status") != ""
	f.Cold = moves || slices.Contains(archives, f.Class)
	switch {
	case !f.Cold || stat.Restore == nil:
	case stat.Restore.OngoingRestore:
		f.Thawing = true
	default:
		f.Cold, f.Until = false, stat.Restore.ExpiryTime.UTC()
	}
	return f, moves, nil
}

// Thaw implements sink.Thawer by RestoreObject. It takes s3:RestoreObject too.
func (s *Store) Thaw(ctx context.Context, key, version string, days int, tier string) (sink.Frost, error) {
	name, err := s.name(key)
	if err != nil {
		return sink.Frost{}, err
	}
	tiers := map[string]minio.TierType{sink.TierExpedited: minio.TierExpedited, sink.TierStandard: minio.TierStandard, sink.TierBulk: minio.TierBulk}
	if days < 1 || tiers[tier] == "" {
		return sink.Frost{}, fmt.Errorf("%s: to be brought back for %d days, tier %q", s.url(name), days, tier)
	}
	f, moves, err := s.frost(ctx, name, version)
	enough := !f.Until.IsZero() && !f.Until.Before(s.now().Add(time.Duration(days)*24*time.Hour))
	if err != nil || f.Thawing || !f.Cold && (f.Until.IsZero() || enough) {
		return f, err
	}
	var request minio.RestoreRequest
	request.SetGlacierJobParameters(minio.GlacierJobParameters{Tier: tiers[tier]})
	if !moves {
		request.SetDays(days)
	}
	err = s.retry(ctx, "POST restore of "+s.url(name), func(ctx context.Context, _ *watch) error {
		return s.client.RestoreObject(ctx, s.bucket, name, version, request)
	})
	switch r, _ := response(err); {
	case said(err, "RestoreAlreadyInProgress"):
		f.Cold, f.Thawing = true, true
		return f, nil
	case said(err, "InvalidObjectState"): // it was moved out of the archive meanwhile
		f, _, err = s.frost(ctx, name, version)
		return f, err
	case r.Code == "GlacierExpeditedRetrievalNotAvailable":
		return f, &sink.HintError{Err: err, Hint: "the store has no capacity for the expedited tier now: take standard or bulk"}
	case r.StatusCode == http.StatusNotImplemented:
		return f, &sink.HintError{Err: err, Hint: "this server can't bring objects back: ask whoever runs it"}
	case err != nil:
		return f, s.explain(err, "s3:RestoreObject", name)
	}
	if f.Cold {
		f.Thawing = true
		return f, nil
	}
	f, _, err = s.frost(ctx, name, version) // kept longer: until when?
	return f, err
}
