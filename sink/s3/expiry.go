package s3

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"daybook/sink"
)

var _ sink.Expirer = (*Store)(nil)

// Expiry implements sink.Expirer: it tells the enabled rules of the bucket's lifecycle configuration that remove something below the prefix. It takes
// s3:GetLifecycleConfiguration; without, and where the server knows no lifecycles, it is ErrUnknown.
//
// MinIO's own rules are told by the nearest that ExpiryRule has: what removes all versions of an object as NoncurrentDays too, what keeps a number of newer
// versions as Filtered.
func (s *Store) Expiry(ctx context.Context) ([]sink.ExpiryRule, error) {
	var config *lifecycle.Configuration
	err := s.retry(ctx, "GET lifecycle of "+s.url(""), func(ctx context.Context, _ *watch) error {
		var err error
		config, err = s.client.GetBucketLifecycle(ctx, s.bucket)
		return err
	})
	switch r, _ := response(err); {
	case said(err, "NoSuchLifecycleConfiguration"):
		return nil, nil
	case said(err, "NoSuchBucket"):
		return nil, s.missingBucket()
	case r.StatusCode == http.StatusNotImplemented || r.StatusCode == http.StatusMethodNotAllowed:
		return nil, fmt.Errorf("%w: %w", sink.ErrUnknown, err)
	case r.StatusCode == http.StatusForbidden:
		err = fmt.Errorf("%w: %w", sink.ErrUnknown, err)
	}
	if err != nil {
		return nil, s.explain(err, "s3:GetLifecycleConfiguration", "")
	}
	var rules []sink.ExpiryRule
	for i := range config.Rules {
		if rule, ok := s.expiryRule(&config.Rules[i]); ok {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// expiryRule reports false for a rule that removes nothing below the store's root.
func (s *Store) expiryRule(r *lifecycle.Rule) (sink.ExpiryRule, bool) {
	f := r.RuleFilter
	rule := sink.ExpiryRule{
		ID: r.ID,
		Filtered: !f.Tag.IsEmpty() || f.ObjectSizeLessThan != 0 || f.ObjectSizeGreaterThan != 0 ||
			len(f.And.Tags) > 0 || f.And.ObjectSizeLessThan != 0 || f.And.ObjectSizeGreaterThan != 0,
		Days:           int(r.Expiration.Days),
		Date:           r.Expiration.Date.UTC(),
		NoncurrentDays: int(r.NoncurrentVersionExpiration.NoncurrentDays),
		Markers:        r.Expiration.DeleteMarker.IsEnabled(),
	}
	if r.NoncurrentVersionExpiration.NewerNoncurrentVersions > 0 {
		// Without days the rule acts as soon as there are newer versions enough.
		rule.NoncurrentDays, rule.Filtered = max(rule.NoncurrentDays, 1), true
	}
	all := func(days int) { // removes older versions days after the newest came
		if rule.NoncurrentDays == 0 || days < rule.NoncurrentDays {
			rule.NoncurrentDays = max(days, 1)
		}
	}
	if r.Expiration.DeleteAll.IsEnabled() && rule.Days > 0 {
		all(rule.Days)
	}
	if days := r.AllVersionsExpiration.Days; days > 0 {
		if rule.Days == 0 || days < rule.Days {
			rule.Days = days
		}
		all(days)
		rule.Markers = rule.Markers || r.AllVersionsExpiration.DeleteMarker.IsEnabled()
	}
	if days := r.DelMarkerExpiration.Days; days > 0 {
		all(days)
		rule.Markers = true
	}
	if r.Status != "Enabled" || rule.Days == 0 && rule.Date.IsZero() && rule.NoncurrentDays == 0 && !rule.Markers {
		return rule, false
	}
	// A rule has its prefix in one of three places.
	prefix := r.Prefix + f.Prefix + f.And.Prefix
	below, ok := strings.CutPrefix(prefix, s.prefix)
	if strings.HasPrefix(s.prefix, prefix) {
		below, ok = "", true
	}
	rule.Prefix = below
	return rule, ok
}
