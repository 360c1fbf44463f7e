package fetch_test

import (
	"context"
	"errors"
	"path"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/fetch"
	"daybook/batch/seal"
	"daybook/batch/verify/verifytest"
	"daybook/sink"
	"daybook/sink/sinktest"
)

func TestExtents(t *testing.T) {
	store, _ := good(t)
	q := &fetch.Query{From: verifytest.Day(3), Formats: []string{"csv"}, Shared: func(fetch.File) { t.Error("told of what is only counted") }}
	project := "nobody"
	got, err := q.Extents(t.Context(), store, 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	day := func(n int) seal.Date { return seal.Date{Day: verifytest.Day(n)} }
	want := fetch.Extent{Trail: "acme", Files: 23, FirstSeal: 3, LastSeal: 11, FirstDay: day(3), LastDay: day(10), Keys: got[0].Keys}
	want.Bytes = got[0].Bytes
	if diff := cmp.Diff(want, got[0]); diff != "" || len(got[0].Keys) != 2 || got[0].Bytes == 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// What is sealed afterwards does not count.
	q.Through["acme"]--
	if files := must(t, store, q); slices.Contains(seals(files), "acme 11") || !slices.Contains(seals(files), "beta 10") {
		t.Errorf("seals %v", seals(files))
	}
	q = &fetch.Query{Project: &project}
	if got, err := q.Extents(t.Context(), store, 2); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	if files := must(t, store, q); len(files) != 0 {
		t.Errorf("after nothing: %v", files)
	}
}

// linking is a store that gives links.
type linking struct{ *sinktest.Memory }

func (linking) Link(_ context.Context, key, version, name string, expires time.Duration) (sink.Link, error) {
	return sink.Link{URL: "https://store/" + key + "?" + version + "&" + name, Until: time.Unix(0, 0).Add(expires)}, nil
}

func TestLinks(t *testing.T) {
	store, _ := good(t)
	q := &fetch.Query{Trail: "acme", From: verifytest.Day(3), To: verifytest.Day(3), Formats: []string{"csv"}}
	n := 0
	for l, err := range fetch.Links(t.Context(), linking{store}, fetch.Files(t.Context(), store, q), time.Hour) {
		if err != nil {
			t.Fatal(err)
		}
		if want := "https://store/" + l.Key + "?" + l.Version + "&" + path.Base(l.Key); l.URL != want || l.Version == "" || l.Until != time.Unix(3600, 0) {
			t.Errorf("%+v, want %s", l, want)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d links", n)
	}
	first := func(store sink.Store, f fetch.File) error {
		for _, err := range fetch.Links(t.Context(), store, of(f), time.Hour) {
			return err
		}
		return nil
	}
	f := must(t, store, q)[0]
	if err := first(store, f); !errors.Is(err, fetch.ErrNoLinks) {
		t.Errorf("of a store without links: %v", err)
	}
	f.SHA256[0] ^= 1
	if err := first(linking{store}, f); !errors.Is(err, fetch.ErrAltered) {
		t.Errorf("to what is not as it was sealed: %v", err)
	}
	f.Version = "none"
	if err := first(linking{store}, f); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("to what is not there: %v", err)
	}
}

// archive is a store whose Parquet files lie in an archive. What is brought back can be read an hour after it was asked for.
type archive struct {
	*sinktest.Memory
	mu    sync.Mutex
	asked map[string]time.Time
	gone  string // a key that is not there
}

func (a *archive) Frost(context.Context, string, string) (sink.Frost, error) {
	return sink.Frost{}, errors.New("not asked")
}

func (a *archive) Thaw(_ context.Context, key, version string, days int, tier string) (sink.Frost, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case version == "" || days != 3 || tier != sink.TierBulk:
		return sink.Frost{}, errors.New("asked for another thing")
	case key == a.gone:
		return sink.Frost{}, sink.ErrNotExist
	case path.Ext(key) != ".parquet":
		return sink.Frost{}, nil
	}
	at, ok := a.asked[key]
	if !ok {
		a.asked[key] = time.Now()
		return sink.Frost{Class: "GLACIER", Cold: true, Thawing: true}, nil
	}
	if time.Since(at) < time.Hour {
		return sink.Frost{Class: "GLACIER", Cold: true, Thawing: true}, nil
	}
	return sink.Frost{Class: "GLACIER", Until: at.Add(time.Hour + 72*time.Hour)}, nil
}

func TestThaw(t *testing.T) {
	original, _ := good(t)
	synctest.Test(t, func(t *testing.T) {
		store := &archive{Memory: original, asked: map[string]time.Time{}}
		q := &fetch.Query{Trail: "acme", From: verifytest.Day(2), To: verifytest.Day(2)}
		o := &fetch.ThawOptions{Days: 3, Tier: sink.TierBulk}
		begun := time.Now()
		got, err := fetch.Thaw(t.Context(), store, q, o)
		if want := (fetch.Thaws{Files: 15, Readable: 12, Thawing: 3}); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		looks := 0
		o.Wait, o.Every, o.Progress = true, 10*time.Minute, func(fetch.Thaws) { looks++ }
		got, err = fetch.Thaw(t.Context(), store, q, o)
		if want := (fetch.Thaws{Files: 15, Readable: 15, Thawed: 3, Until: begun.Add(73 * time.Hour)}); err != nil || got != want || looks != 7 {
			t.Errorf("%+v after %d looks, %v; want %+v after 7", got, looks, err, want)
		}
		if d := time.Since(begun); d != time.Hour {
			t.Errorf("waited %v", d)
		}

		store = &archive{Memory: original, asked: map[string]time.Time{}, gone: must(t, original, q)[0].Key}
		var told []string
		o.Wait, o.Told = false, func(f fetch.File, err error) {
			if errors.Is(err, sink.ErrNotExist) {
				told = append(told, f.Key)
			}
		}
		got, err = fetch.Thaw(t.Context(), store, q, o)
		if err != nil || got.Failed != 1 || !slices.Equal(told, []string{store.gone}) {
			t.Errorf("with one that is gone: %+v, %v; told %v", got, err, told)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		o.Wait = true
		if got, err = fetch.Thaw(ctx, store, q, o); !errors.Is(err, context.DeadlineExceeded) || got.Thawing == 0 {
			t.Errorf("given up: %+v, %v", got, err)
		}

		got, err = fetch.Thaw(t.Context(), original, q, o)
		if want := (fetch.Thaws{Files: 15, Readable: 15}); err != nil || got != want {
			t.Errorf("of a store without archives: %+v, %v", got, err)
		}
	})
}
