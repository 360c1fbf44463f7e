package s3

import (
	"context"
	"fmt"
	"mime"
	"net/url"
	"time"

	"daybook/sink"
)

// MaxLink is how long a link may hold, and MinLink how short: what the signature of a URL allows.
const (
	MaxLink = 7 * 24 * time.Hour
	MinLink = time.Second
)

var _ sink.Linker = (*Store)(nil)

// Link implements sink.Linker. The link can do what the credential can, and holds no longer than it does: one whose credential is revoked ends at once. Nothing is sent but, where the region
// is not set, a question for it.
func (s *Store) Link(ctx context.Context, key, version, name string, expires time.Duration) (sink.Link, error) {
	object, err := s.name(key)
	if err != nil {
		return sink.Link{}, err
	}
	if expires < MinLink || expires > MaxLink {
		return sink.Link{}, fmt.Errorf("%s: a link for %s: must be one for %s to %s", s.url(object), expires, MinLink, MaxLink)
	}
	value, err := s.client.GetCreds()
	if err != nil {
		return sink.Link{}, s.explain(err, "", "")
	}
	link := sink.Link{Until: s.now().Add(expires).UTC().Truncate(time.Second)}
	if end := value.Expiration; !end.IsZero() && end.Before(link.Until) {
		link.Until = end.UTC()
	}
	query := url.Values{"response-content-disposition": {mime.FormatMediaType("attachment", map[string]string{"filename": name})}}
	if version != "" {
		query.Set("versionId", version)
	}
	err = s.retry(ctx, "link to "+s.url(object), func(ctx context.Context, _ *watch) error {
		u, err := s.client.PresignedGetObject(ctx, s.bucket, object, expires, query)
		if err == nil {
			link.URL = u.String()
		}
		return err
	})
	return link, s.explain(err, "s3:GetBucketLocation", "")
}
