package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"daybook/sink"
)

var (
	_ sink.Lister    = (*Store)(nil)
	_ sink.Versioner = (*Store)(nil)
)

// List implements sink.Lister. It takes s3:ListBucket, and keeps one page of the server's answer in memory. A page that fails is asked for again.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return s.entries(ctx, prefix, false)
}

// Versions implements sink.Versioner. It takes s3:ListBucketVersions. It goes on after a failure like List, from the key before the one that it came to.
func (s *Store) Versions(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return s.entries(ctx, prefix, true)
}

var (
	// errDisorder says that a listing cannot be relied on: what is compared with it would be taken for missing.
	errDisorder = errors.New("the server lists keys out of their order")
	// errNoAdvance says that a server repeats what it listed.
	errNoAdvance = errors.New("the server's listing does not advance")
)

func (s *Store) entries(ctx context.Context, prefix string, versions bool) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		what, permission := "GET listing of "+s.url(s.prefix+prefix), "s3:ListBucket"
		if versions {
			what, permission = "GET versions of "+s.url(s.prefix+prefix), "s3:ListBucketVersions"
		}
		l := &listing{store: s, prefix: s.prefix + prefix, versions: versions, yield: yield}
		for {
			l.advanced = false
			var failed error
			err := s.retry(ctx, what, func(ctx context.Context, w *watch) error {
				failed = nil
				err := l.run(ctx, w)
				if err != nil && l.advanced && retryable(err) && ctx.Err() == nil {
					// The failure of a later page does not count as another attempt of an earlier one.
					failed = err
					return nil
				}
				return err
			})
			switch {
			case l.stopped:
				return
			case err != nil:
				if said(err, "NoSuchBucket") {
					err = s.missingBucket()
				}
				yield(sink.Entry{}, s.explain(err, permission, ""))
				return
			case failed == nil:
				return
			}
			s.log.WarnContext(ctx, "listing broke off, going on", "request", what, "after", l.last, "error", detail(failed))
		}
	}
}

// listing is how far a listing has come.
type listing struct {
	store    *Store
	prefix   string // in the bucket
	versions bool
	maxKeys  int // of a page; 0: the server's choice
	yield    func(sink.Entry, error) bool

	page     []sink.Entry        // of the page that is being read, keys those of the bucket
	ends     [2]sink.Entry       // first and last of the page before, as they came
	last     string              // the key that was yielded last
	before   string              // the key before that one
	seen     map[string]struct{} // the versions of last that were yielded
	advanced bool                // since the last failure
	stopped  bool                // who reads has had enough
}

// run lists from where the last run ended, and returns nil at the end of the listing or when the reader has had enough.
func (l *listing) run(ctx context.Context, w *watch) error {
	opts := minio.ListObjectsOptions{Prefix: l.prefix, Recursive: true, WithVersions: l.versions, MaxKeys: l.maxKeys, StartAfter: l.last}
	if l.versions {
		// A key may have more versions than were yielded: it is listed again, and what was seen of it is left out.
		opts.StartAfter = l.before
	}
	l.page = l.page[:0]
	l.ends = [2]sink.Entry{}
	ctx, pages := withPages(ctx)
	page := int64(0)
	for o := range l.store.client.ListObjectsIter(ctx, l.store.bucket, opts) {
		if o.Err != nil {
			if err := l.flush(ctx, w); err != nil || l.stopped {
				return err
			}
			return o.Err
		}
		if n := pages.Load(); n != page {
			if err := l.flush(ctx, w); err != nil || l.stopped {
				return err
			}
			page = n
		}
		w.progress()
		if !strings.HasPrefix(o.Key, l.prefix) {
			return fmt.Errorf("the server lists %q, which does not begin with %q", o.Key, l.prefix)
		}
		l.page = append(l.page, sink.Entry{
			Key:      o.Key,
			Version:  o.VersionID,
			Size:     o.Size,
			Modified: o.LastModified.UTC(),
			ETag:     o.ETag,
			Latest:   o.IsLatest || !l.versions,
			Marker:   o.IsDeleteMarker,
		})
	}
	// minio-go ends a listing without a word when its context does.
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return l.flush(ctx, w)
}

// flush yields a page. versitygw tells all delete markers of a page before its versions, and the last entry of a page again on the next.
func (l *listing) flush(ctx context.Context, w *watch) error {
	if len(l.page) == 0 {
		return nil
	}
	ends := [2]sink.Entry{l.page[0], l.page[len(l.page)-1]}
	if ends == l.ends {
		return errNoAdvance
	}
	l.ends = ends
	byKey := func(a, b sink.Entry) int { return cmp.Compare(a.Key, b.Key) }
	if !slices.IsSortedFunc(l.page, byKey) && l.versions {
		slices.SortStableFunc(l.page, func(a, b sink.Entry) int {
			return cmp.Or(byKey(a, b), latestFirst(a, b), b.Modified.Compare(a.Modified))
		})
	}
	w.timer.Stop() // who reads may take its time
	defer w.progress()
	for _, e := range l.page {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if _, again := l.seen[e.Version]; e.Key == l.last && (again || !l.versions) {
			continue
		}
		if e.Key < l.last {
			return fmt.Errorf("%w: %q after %q", errDisorder, e.Key, l.last)
		}
		if e.Key != l.last {
			l.before, l.last = l.last, e.Key
			l.seen = make(map[string]struct{})
		}
		l.seen[e.Version] = struct{}{}
		l.advanced = true
		e.Key = strings.TrimPrefix(e.Key, l.store.prefix)
		if !l.yield(e, nil) {
			l.stopped = true
			return nil
		}
	}
	l.page = l.page[:0]
	return nil
}

func latestFirst(a, b sink.Entry) int {
	switch {
	case a.Latest == b.Latest:
		return 0
	case a.Latest:
		return -1
	}
	return 1
}

type pagesKey struct{}

// withPages returns a context for a listing, and how many pages of it were answered: minio-go does not tell where one ends.
func withPages(ctx context.Context) (context.Context, *atomic.Int64) {
	pages := new(atomic.Int64)
	return context.WithValue(ctx, pagesKey{}, pages), pages
}
