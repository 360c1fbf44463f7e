package s3

import (
	"context"
	"encoding/xml"
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
	rules, _, err := s.Rules(ctx)
	return rules, err
}

// MoveRule is an enabled lifecycle rule that moves objects to another storage class, or to a tier.
type MoveRule struct {
	ID string
	// Prefix is what the rule covers, relative to the store's root; blank is all of it.
	Prefix string
	// To is the storage class or tier, and Days the age of objects that move there; 0 where the rule has a date.
	To   string
	Days int
}

// Rules tells in one request what Expiry does, and by which rules objects below the prefix move.
func (s *Store) Rules(ctx context.Context) (expiry []sink.ExpiryRule, moves []MoveRule, err error) {
	answer, err := s.setting(ctx, http.MethodGet, "lifecycle", nil)
	switch r, _ := response(err); {
	case said(err, "NoSuchLifecycleConfiguration"):
		return nil, nil, nil
	case said(err, "NoSuchBucket"):
		return nil, nil, s.missingBucket()
	case r.StatusCode == http.StatusNotImplemented || r.StatusCode == http.StatusMethodNotAllowed:
		return nil, nil, fmt.Errorf("%w: %w", sink.ErrUnknown, err)
	case r.StatusCode == http.StatusForbidden:
		err = fmt.Errorf("%w: %w", sink.ErrUnknown, err)
	}
	if err != nil {
		return nil, nil, s.explain(err, "s3:GetLifecycleConfiguration", "")
	}
	var config lifecycle.Configuration
	if err := xml.Unmarshal(answer, &config); err != nil {
		return nil, nil, fmt.Errorf("lifecycle of %s: %w", s.url(""), err)
	}
	for i := range config.Rules {
		if rule, ok := s.expiryRule(&config.Rules[i]); ok {
			expiry = append(expiry, rule)
		}
	}
	moves, err = s.moveRules(answer)
	return expiry, moves, err
}

// moveRules reads the moves of a configuration. A rule may have several, of which minio-go reads one.
func (s *Store) moveRules(answer []byte) (moves []MoveRule, err error) {
	var config struct {
		Rules []struct {
			ID, Status, Prefix string
			Filter             string `xml:"Filter>Prefix"`
			And                string `xml:"Filter>And>Prefix"`
			Transitions        []struct {
				Days         int
				StorageClass string
			} `xml:"Transition"`
		} `xml:"Rule"`
	}
	if err := xml.Unmarshal(answer, &config); err != nil {
		return nil, fmt.Errorf("lifecycle of %s: %w", s.url(""), err)
	}
	for _, r := range config.Rules {
		prefix, ok := s.below(r.Prefix + r.Filter + r.And)
		if !ok || r.Status != "Enabled" {
			continue
		}
		for _, t := range r.Transitions {
			if t.StorageClass != "" {
				moves = append(moves, MoveRule{ID: r.ID, Prefix: prefix, To: t.StorageClass, Days: t.Days})
			}
		}
	}
	return moves, nil
}

// below returns a rule's prefix relative to the store's root, and whether the rule covers something there.
func (s *Store) below(prefix string) (string, bool) {
	if strings.HasPrefix(s.prefix, prefix) {
		return "", true
	}
	return strings.CutPrefix(prefix, s.prefix)
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
	var ok bool
	rule.Prefix, ok = s.below(r.Prefix + f.Prefix + f.And.Prefix)
	return rule, ok
}
