package sinktest

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"daybook/sink"
)

// lister is what Caps.Lists promises.
type lister interface {
	sink.Store
	sink.Lister
	sink.Versioner
}

func (s *suite) openLister(t *testing.T) lister {
	t.Helper()
	if !s.caps.Lists {
		t.Skip("the store does not list")
	}
	store, ok := s.open(t).(lister)
	if !ok {
		t.Fatal("the store is no sink.Lister and sink.Versioner")
	}
	return store
}

// Collect returns all of a listing, and fails the test where it ends with an error.
func Collect(t testing.TB, listing iter.Seq2[sink.Entry, error]) []sink.Entry {
	t.Helper()
	var all []sink.Entry
	for e, err := range listing {
		if err != nil {
			t.Fatalf("listing after %d entries: %v", len(all), err)
		}
		all = append(all, e)
	}
	return all
}

// notTime leaves out of a comparison when objects were put: a folder says when the bytes were written.
var notTime = cmpopts.IgnoreFields(sink.Entry{}, "Modified")

// withoutETags takes the ETags out of a listing once it has looked at them: a store tells all of them or none, and one for each content of a key.
func withoutETags(t *testing.T, listed []sink.Entry) []sink.Entry {
	t.Helper()
	told := slices.ContainsFunc(listed, func(e sink.Entry) bool { return e.ETag != "" })
	bare := slices.Clone(listed)
	for i, e := range listed {
		if (e.ETag != "") != (told && !e.Marker) {
			t.Errorf("%s, version %q: its ETag is %q, and others of the listing are told: %t", e.Key, e.Version, e.ETag, told)
		}
		if i > 0 && e.ETag != "" && e.Key == listed[i-1].Key && e.ETag == listed[i-1].ETag {
			t.Errorf("%s: versions %q and %q are of different bytes and have one ETag, %q", e.Key, listed[i-1].Version, e.Version, e.ETag)
		}
		bare[i].ETag = ""
	}
	return bare
}

// list puts objects whose order by whole keys is not that of a walk from folder to folder.
func (s *suite) list(t *testing.T) {
	store := s.openLister(t)
	if all := Collect(t, store.List(t.Context(), "")); len(all) != 0 {
		t.Errorf("an empty store lists %+v", all)
	}
	want := make(map[string]sink.Entry)
	for _, key := range []string{
		"a/b", "a.b", "a-b/x", "a0", "a/b.c/d", "a/b!", "a/b0/c", "A/z", "a/c/d/e", "b", "a%2Fb", "a/ß", "a/z", "größe/日本", "log/tile/0/000", "log/tile/0/x001/000",
	} {
		info := s.put(t, store, s.object(key, strings.Repeat("x", len(key))), false)
		want[key] = sink.Entry{Key: key, Version: info.Version, Size: int64(len(key)), Latest: true}
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "a/b.c/d", "a/b.c/d/", "log/tile/0/", "log/tile/0/x", "nothing", "a/nothing/", "größe/日", "b"} {
		var expected []sink.Entry
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if strings.HasPrefix(key, prefix) {
				expected = append(expected, want[key])
			}
		}
		listed := Collect(t, store.List(t.Context(), prefix))
		for i, e := range listed {
			if e.Version == "" { // List need not tell it
				listed[i].Version = want[e.Key].Version
			}
		}
		versions := Collect(t, store.Versions(t.Context(), prefix))
		if diff := cmp.Diff(listed, versions, notTime); diff != "" {
			t.Errorf("List(%q) and Versions of the same objects differ (-List +Versions):\n%s", prefix, diff)
		}
		if diff := cmp.Diff(expected, withoutETags(t, versions), notTime); diff != "" {
			t.Errorf("Versions(%q) (-want +got):\n%s", prefix, diff)
		}
	}
	for e, err := range store.List(t.Context(), "a") {
		if err != nil || e.Key != "a%2Fb" {
			t.Errorf("first of a listing: %+v, %v", e, err)
		}
		if age := s.caps.Now().Sub(e.Modified); age < -time.Hour || age > time.Hour {
			t.Errorf("%s: modified at %s, which is not now", e.Key, e.Modified)
		}
		break // who has had enough is not called again
	}
	// A listing can be gone through again, and what it tells can be asked about meanwhile.
	listing := store.List(t.Context(), "log/")
	for range 2 {
		n := 0
		for e, err := range listing {
			if err != nil {
				t.Fatal(err)
			}
			if info, err := store.Head(t.Context(), e.Key, e.Version); err != nil || info.Size != e.Size {
				t.Errorf("Head(%q, %q) = %+v, %v", e.Key, e.Version, info, err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("%d entries, want 2", n)
		}
	}
}

func (s *suite) listVersions(t *testing.T) {
	store := s.openLister(t)
	if s.caps.Hide == nil || s.caps.Overwrite == nil {
		t.Skip("the store has one version of each key")
	}
	versions := make(map[string]string)
	for _, key := range []string{"a/1", "a/2", "a/3", "a/4", "b"} {
		versions[key] = s.put(t, store, s.object(key, "sealed"), false).Version
	}
	s.caps.Overwrite(t, store, "a/1", []byte("forged once"))
	s.caps.Overwrite(t, store, "a/1", []byte("forged twice"))
	s.caps.Hide(t, store, "a/2")
	s.caps.Overwrite(t, store, "a/3", []byte("forged"))
	s.caps.Hide(t, store, "a/3")
	s.caps.Hide(t, store, "a/4")
	s.caps.Overwrite(t, store, "a/4", []byte("over the marker"))
	s.caps.Overwrite(t, store, "a/5", []byte("unlisted"))

	want := []sink.Entry{
		{Key: "a/1", Size: 12, Latest: true}, {Key: "a/1", Size: 11}, {Key: "a/1", Version: versions["a/1"], Size: 6},
		{Key: "a/2", Latest: true, Marker: true}, {Key: "a/2", Version: versions["a/2"], Size: 6},
		{Key: "a/3", Latest: true, Marker: true}, {Key: "a/3", Size: 6}, {Key: "a/3", Version: versions["a/3"], Size: 6},
		{Key: "a/4", Size: 15, Latest: true}, {Key: "a/4", Marker: true}, {Key: "a/4", Version: versions["a/4"], Size: 6},
		{Key: "a/5", Size: 8, Latest: true},
	}
	got := Collect(t, store.Versions(t.Context(), "a/"))
	seen := make(map[string]bool)
	for i, e := range got {
		if e.Version == "" || seen[e.Key+" "+e.Version] {
			t.Errorf("%s: version %q is blank, or told twice", e.Key, e.Version)
		}
		seen[e.Key+" "+e.Version] = true
		if i < len(want) && want[i].Version == "" {
			got[i].Version = "" // that of an alteration, which nobody told us
		}
	}
	if diff := cmp.Diff(want, withoutETags(t, got), notTime); diff != "" {
		t.Errorf("Versions (-want +got):\n%s", diff)
	}

	var latest []sink.Entry
	for _, e := range want {
		if e.Latest && !e.Marker {
			latest = append(latest, e)
		}
	}
	got = Collect(t, store.List(t.Context(), "a/"))
	for i, e := range got {
		head, err := store.Head(t.Context(), e.Key, "")
		if err != nil || e.Version != "" && head.Version != e.Version {
			t.Errorf("%s: listed in version %q, and Head says %q, %v", e.Key, e.Version, head.Version, err)
		}
		got[i].Version = ""
	}
	if diff := cmp.Diff(latest, withoutETags(t, got), notTime); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func (s *suite) listCancelled(t *testing.T) {
	store := s.openLister(t)
	for _, key := range []string{"a", "b", "c"} {
		s.put(t, store, s.object(key, "x"), false)
	}
	cancelListing(t, "List", store.List)
	cancelListing(t, "Versions", store.Versions)
}

func cancelListing(t *testing.T, name string, list func(context.Context, string) iter.Seq2[sink.Entry, error]) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var entries int
	var last error
	for _, err := range list(ctx, "") {
		if last = err; err == nil {
			entries++
			cancel()
		}
	}
	if entries != 1 || !errors.Is(last, context.Canceled) {
		t.Errorf("%s, cancelled at its first entry: %d entries, %v", name, entries, last)
	}
	last = nil
	for e, err := range list(ctx, "") {
		if last = err; !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled before: %+v, %v", name, e, err)
		}
	}
	if last == nil {
		t.Errorf("%s, cancelled before, ended without an error", name)
	}
}

func (s *suite) expiry(t *testing.T) {
	store := s.open(t)
	expirer, ok := store.(sink.Expirer)
	if !ok && s.caps.SetExpiry == nil && !s.caps.CannotTell {
		t.Skip("the store removes nothing of its own accord")
	}
	if !ok {
		t.Fatal("the store is no sink.Expirer")
	}
	if s.caps.CannotTell {
		if rules, err := expirer.Expiry(t.Context()); !errors.Is(err, sink.ErrUnknown) {
			t.Errorf("Expiry = %+v, %v, want ErrUnknown", rules, err)
		}
		return
	}
	if rules, err := expirer.Expiry(t.Context()); err != nil || len(rules) != 0 {
		t.Errorf("Expiry of a store without rules = %+v, %v", rules, err)
	}
	if s.caps.SetExpiry == nil {
		return
	}
	want := []sink.ExpiryRule{
		{ID: "all", Days: 400},
		{ID: "date", Prefix: "csv/", Date: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)},
		{ID: "old", Prefix: "seals/", NoncurrentDays: 30},
		{ID: "markers", Prefix: "a/b", Markers: true},
		{ID: "filtered", Prefix: "cef/", Filtered: true, Days: 7},
	}
	s.caps.SetExpiry(t, store, want)
	got, err := expirer.Expiry(t.Context())
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(func(a, b sink.ExpiryRule) bool { return a.ID < b.ID })); err != nil || diff != "" {
		t.Errorf("Expiry: %v (-want +got):\n%s", err, diff)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := expirer.Expiry(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Expiry, cancelled = %v", err)
	}
}

// ranges reads an object from offsets on, also where another version stands in front of it.
func (s *suite) ranges(t *testing.T) {
	store := s.open(t)
	ranger, ok := store.(sink.Ranger)
	if !ok {
		t.Skip("the store gives whole objects only")
	}
	const body = "0123456789"
	info := s.put(t, store, s.object("a/b", body), false)
	from := func(key, version string, offset int64) (string, error) {
		r, err := ranger.GetFrom(t.Context(), key, version, offset)
		if err != nil {
			return "", err
		}
		got, err := io.ReadAll(r)
		return string(got), errors.Join(err, r.Close())
	}
	for _, offset := range []int64{0, 1, 9} {
		for _, version := range []string{"", info.Version} {
			if got, err := from("a/b", version, offset); err != nil || got != body[offset:] {
				t.Errorf("GetFrom(%q, %d) = %q, %v; want %q", version, offset, got, err, body[offset:])
			}
		}
	}
	for _, offset := range []int64{-1, 10, 11, 1 << 40} {
		if got, err := from("a/b", "", offset); err == nil || errors.Is(err, sink.ErrNotExist) {
			t.Errorf("GetFrom(%d) of %d bytes = %q, %v; want an error other than ErrNotExist", offset, len(body), got, err)
		}
	}
	s.put(t, store, s.object("empty", ""), false)
	if got, err := from("empty", "", 0); err != nil || got != "" {
		t.Errorf("GetFrom(0) of an empty object = %q, %v", got, err)
	}
	for _, offset := range []int64{0, 3} {
		if got, err := from("nothing", "", offset); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("GetFrom(%d) of what is not there = %q, %v; want ErrNotExist", offset, got, err)
		}
	}
	if s.caps.Overwrite == nil || s.caps.Hide == nil {
		return
	}
	s.caps.Overwrite(t, store, "a/b", []byte("forged bytes"))
	if got, err := from("a/b", info.Version, 4); err != nil || got != body[4:] {
		t.Errorf("GetFrom the version that was put, with another over it = %q, %v", got, err)
	}
	s.caps.Hide(t, store, "a/b")
	if got, err := from("a/b", info.Version, 4); err != nil || got != body[4:] {
		t.Errorf("GetFrom the version that was put, with a delete marker over it = %q, %v", got, err)
	}
	if got, err := from("a/b", "", 4); !errors.Is(err, sink.ErrHidden) {
		t.Errorf("GetFrom behind a delete marker = %q, %v; want ErrHidden", got, err)
	}
}

// links follows links as who has nothing but them.
func (s *suite) links(t *testing.T) {
	store := s.open(t)
	linker, ok := store.(sink.Linker)
	client := s.caps.Client
	if !ok || client == nil {
		t.Skip("the store gives no links, or nobody follows them")
	}
	follow := func(link sink.Link) (status int, body, name string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		_, params, _ := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
		return resp.StatusCode, string(got), params["filename"]
	}
	const key, name = "csv/class=a b/größe%2F.csv", `größe "1".csv`
	info := s.put(t, store, s.object(key, "what was put"), false)
	if s.caps.Overwrite != nil && s.caps.Hide != nil {
		s.caps.Overwrite(t, store, key, []byte("forged"))
		s.caps.Hide(t, store, key)
	}
	link, err := linker.Link(t.Context(), key, info.Version, name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if status, body, saved := follow(link); status != http.StatusOK || body != "what was put" || saved != name {
		t.Errorf("%s gives %d, %q, saved as %q", link.URL, status, body, saved)
	}
	if d := time.Until(link.Until); d < 50*time.Minute || d > 61*time.Minute {
		t.Errorf("a link for an hour holds until %v", link.Until)
	}
	altered := link
	altered.URL = strings.Replace(link.URL, "X-Amz-Expires=3600", "X-Amz-Expires=36000", 1)
	if status, _, _ := follow(altered); status != http.StatusForbidden {
		t.Errorf("a link that was altered gives %d", status)
	}
	nothing, err := linker.Link(t.Context(), "nothing", "", "nothing", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := follow(nothing); status != http.StatusNotFound {
		t.Errorf("a link to nothing gives %d", status)
	}
}

// frost asks about objects that lie in no archive: all that a new store holds.
func (s *suite) frost(t *testing.T) {
	store := s.open(t)
	thawer, ok := store.(sink.Thawer)
	if !ok {
		t.Skip("the store has no archives")
	}
	info := s.put(t, store, s.object("a", "x"), false)
	for _, version := range []string{"", info.Version} {
		if f, err := thawer.Frost(t.Context(), "a", version); err != nil || f.Cold || f.Thawing || !f.Until.IsZero() {
			t.Errorf("Frost(%q) = %+v, %v", version, f, err)
		}
		if f, err := thawer.Thaw(t.Context(), "a", version, 1, sink.TierStandard); err != nil || f.Cold || f.Thawing || !f.Until.IsZero() {
			t.Errorf("Thaw(%q) = %+v, %v", version, f, err)
		}
	}
	if _, err := thawer.Frost(t.Context(), "nothing", ""); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Frost of what is not there = %v", err)
	}
	if _, err := thawer.Thaw(t.Context(), "nothing", "", 1, sink.TierStandard); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Thaw of what is not there = %v", err)
	}
	if s.caps.Hide == nil {
		return
	}
	s.caps.Hide(t, store, "a")
	if _, err := thawer.Frost(t.Context(), "a", ""); !errors.Is(err, sink.ErrHidden) {
		t.Errorf("Frost behind a delete marker = %v", err)
	}
	if f, err := thawer.Frost(t.Context(), "a", info.Version); err != nil || f.Cold {
		t.Errorf("Frost of the version behind a delete marker = %+v, %v", f, err)
	}
}
