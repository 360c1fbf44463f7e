package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"daybook/sink"
)

// Glance looks at a store by requests that change nothing and leave nothing, each of which is sent once: what it costs is known, and what fails is told as it is.
type Glance struct {
	s *Store
}

// Glance returns the store's.
func (s *Store) Glance() *Glance { return &Glance{s.once()} }

// Floor tells the bucket's default retention; days are 0 where it has none.
func (g *Glance) Floor(ctx context.Context) (mode sink.Mode, days int, err error) {
	_, f, err := g.s.lockConfig(ctx)
	return f.mode, int(f.days), err
}

// Rules is Store.Rules.
func (g *Glance) Rules(ctx context.Context) ([]sink.ExpiryRule, []MoveRule, error) {
	return g.s.Rules(ctx)
}

// Tiers is CheckTiers without trying: nothing is put, so that a tier of which nobody has seen yet that it locks what comes there is Unknown.
func (g *Glance) Tiers(ctx context.Context, ages []Ages, tiers map[string]*Store) []TierState {
	once := make(map[string]*Store, len(tiers))
	for name, t := range tiers {
		once[name] = t.once()
	}
	return g.s.tierStates(ctx, ages, once, nil, false)
}

// Versions lists the first versions and markers below a prefix, at most so many. It takes a request, and one more where there are more of them.
func (g *Glance) Versions(ctx context.Context, prefix string, most int) (list []sink.Entry, err error) {
	name := g.s.prefix + prefix
	err = g.s.retry(ctx, "GET versions of "+g.s.url(name), func(ctx context.Context, w *watch) error {
		l := &listing{store: g.s, prefix: name, versions: true, maxKeys: most, yield: func(e sink.Entry, _ error) bool {
			list = append(list, e)
			return len(list) < most
		}}
		return l.run(ctx, w)
	})
	return list, g.s.explain(err, "s3:ListBucketVersions", "")
}

// Shown is what a server shows of an object.
type Shown struct {
	Lock sink.Lock
	// LockRefused says that no lock is shown since the credential may not see it.
	LockRefused bool
	// Encrypted is by which algorithm and key it is encrypted; blank if it is not.
	Encrypted string
}

// Show describes a version, without reading it.
func (g *Glance) Show(ctx context.Context, key, version string) (Shown, error) {
	name, err := g.s.name(key)
	if err != nil {
		return Shown{}, err
	}
	stat, err := g.s.stat(ctx, name, version)
	if err != nil {
		return Shown{}, err
	}
	shown := Shown{Encrypted: encryptedBy(stat.Metadata)}
	if shown.Lock, err = lockOf(stat.Metadata); err != nil || shown.Lock.Mode != sink.None {
		return shown, err
	}
	shown.Lock, err = g.s.askRetention(ctx, name, version)
	if r, ok := response(err); ok && r.StatusCode >= 400 && r.StatusCode <= 499 {
		shown.LockRefused, err = Refused(err), nil // an object without a lock is answered with 400 or 404, by server
	}
	return shown, err
}

// encryptedBy reads from the headers of a HEAD by which algorithm and key an object is encrypted.
func encryptedBy(h http.Header) string {
	return strings.TrimSpace(h.Get("X-Amz-Server-Side-Encryption") + " " + h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"))
}

// InspectTier tells, of the bucket of a tier, what keeps files that move there: it is there, locks, and with what default.
func (s *Store) InspectTier(ctx context.Context, tier string) sink.Setting {
	setting := sink.Setting{Name: "tier " + tier}
	locked, has, err := s.lockConfig(ctx)
	switch r, ok := response(err); {
	case errors.Is(err, errNoBucket):
		setting.Value = "no such bucket"
	case err == nil && !locked:
		setting.Value = "no Object Lock, or no such bucket" // MinIO answers the same to both
	case err == nil && has.days == 0:
		setting.Value = "Object Lock, no default retention"
	case err == nil:
		setting.Value = fmt.Sprintf("Object Lock, default retention %s, %d days", has.mode, has.days)
	case ok:
		setting.Unknown, setting.Away = fmt.Sprintf("%d %s", r.StatusCode, r.Code), retryable(err) || credentialFault(r.Code)
	default:
		setting.Unknown, setting.Away = "its server does not answer", true // not the error: it would be another one at each look
	}
	return setting
}
