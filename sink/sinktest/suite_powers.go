package sinktest

import (
	"context"
	"errors"
	"iter"
	"maps"
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
