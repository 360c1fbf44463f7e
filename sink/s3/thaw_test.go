package s3_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"daybook/internal/effort"
	"daybook/sink"
)

func TestThaw(t *testing.T) {
	const week = "<Days>7</Days>"
	for _, c := range []struct {
		name    string
		version fakeVersion
		before  sink.Frost // Until left out
		after   sink.Frost
		sent    []string // of the request
		until   bool
	}{
		{"in no archive", fakeVersion{}, sink.Frost{}, sink.Frost{}, nil, false},
		{"infrequent access", fakeVersion{class: "STANDARD_IA"}, sink.Frost{Class: "STANDARD_IA"}, sink.Frost{Class: "STANDARD_IA"}, nil, false},
		{"instant retrieval", fakeVersion{class: "GLACIER_IR"}, sink.Frost{Class: "GLACIER_IR"}, sink.Frost{Class: "GLACIER_IR"}, nil, false},
		{"archived", fakeVersion{class: "GLACIER"}, sink.Frost{Class: "GLACIER", Cold: true}, sink.Frost{Class: "GLACIER", Cold: true, Thawing: true}, []string{week, "<Tier>Bulk</Tier>"}, false},
		{"deep", fakeVersion{class: "DEEP_ARCHIVE"}, sink.Frost{Class: "DEEP_ARCHIVE", Cold: true}, sink.Frost{Class: "DEEP_ARCHIVE", Cold: true, Thawing: true}, []string{week, "<Tier>Bulk</Tier>"}, false},
		{
			"under way", fakeVersion{class: "GLACIER", restored: `ongoing-request="true"`},
			sink.Frost{Class: "GLACIER", Cold: true, Thawing: true}, sink.Frost{Class: "GLACIER", Cold: true, Thawing: true}, nil, false,
		},
		{"brought back for longer", fakeVersion{class: "GLACIER", restored: restoredFor(8)}, sink.Frost{Class: "GLACIER"}, sink.Frost{Class: "GLACIER"}, nil, true},
		{"brought back for less", fakeVersion{class: "GLACIER", restored: restoredFor(2)}, sink.Frost{Class: "GLACIER"}, sink.Frost{Class: "GLACIER"}, []string{week}, true},
		{
			"intelligent tiering", fakeVersion{class: "INTELLIGENT_TIERING", archived: "ARCHIVE_ACCESS"},
			sink.Frost{Class: "INTELLIGENT_TIERING", Cold: true}, sink.Frost{Class: "INTELLIGENT_TIERING", Cold: true, Thawing: true}, []string{"<Tier>Bulk</Tier>"}, false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			s := open(t, "s3://bucket/audit", f.options(t, sink.None))
			version := c.version
			version.body = []byte("the bytes")
			f.change(func(b *fakeBucket) {
				b.add("audit/a", &version)
				b.add("audit/a", &fakeVersion{body: []byte("forged")})
			})
			got, err := s.Frost(t.Context(), "a", "v1")
			until := got.Until
			if got.Until = (time.Time{}); err != nil || got != c.before || until.IsZero() == c.until {
				t.Errorf("Frost = %+v, until %v, %v; want %+v", got, until, err, c.before)
			}
			for range 2 { // again is no other request
				got, err = s.Thaw(t.Context(), "a", "v1", 7, sink.TierBulk)
				until = got.Until
				if got.Until = (time.Time{}); err != nil || got != c.after || until.IsZero() == c.until || c.until && until.Before(time.Now().Add(7*24*time.Hour)) {
					t.Errorf("Thaw = %+v, until %v, %v; want %+v", got, until, err, c.after)
				}
			}
			f.change(func(b *fakeBucket) {
				if len(b.restores) != min(len(c.sent), 1) {
					t.Fatalf("requests: %q", b.restores)
				}
				for _, part := range c.sent {
					if !strings.HasPrefix(b.restores[0], "audit/a?v1 ") || !strings.Contains(b.restores[0], part) {
						t.Errorf("request %q has no %s", b.restores[0], part)
					}
				}
				if c.version.archived != "" && strings.Contains(b.restores[0], "Days") {
					t.Errorf("days for what moves back for good: %q", b.restores[0])
				}
			})
		})
	}
}

// TestThawedIsRead reads an object once it was brought back.
func TestThawedIsRead(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.None))
	f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: []byte("the bytes"), class: "GLACIER"}) })
	if _, err := s.Thaw(t.Context(), "a", "", 1, sink.TierStandard); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "a", ""); !errors.Is(err, sink.ErrCold) {
		t.Errorf("Get, while it is brought back = %v", err)
	}
	f.change(func(b *fakeBucket) { b.find("a", "").restored = restoredFor(1) })
	r, err := s.Get(t.Context(), "a", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(got) != "the bytes" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestThawRefused(t *testing.T) {
	effort.NeedsLong(t)
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.None))
	if _, err := s.Thaw(t.Context(), "a", "", 1, sink.TierStandard); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
	f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{class: "GLACIER"}) })
	for _, c := range []struct {
		status     int
		code, hint string
	}{
		{403, "AccessDenied", "s3:RestoreObject on arn:aws:s3:::bucket/*"},
		{501, "NotImplemented", "can't bring objects back"},
		{503, "GlacierExpeditedRetrievalNotAvailable", "standard or bulk"},
		{503, "SlowDown", "later"},
	} {
		f.took()
		f.fail(fault{method: "POST", times: -1, status: c.status, code: c.code})
		_, err := s.Thaw(t.Context(), "a", "", 1, sink.TierExpedited)
		wantError(t, err, nil, c.code, c.hint)
		posts := slices.DeleteFunc(f.took(), func(r request) bool { return r.method != "POST" })
		if tried := len(posts); tried != 1 && c.code != "SlowDown" {
			t.Errorf("%s: tried %d times", c.code, tried)
		}
		f.heal()
	}
	f.fail(fault{method: "POST", times: 1, status: 409, code: "RestoreAlreadyInProgress"})
	if got, err := s.Thaw(t.Context(), "a", "", 1, sink.TierStandard); err != nil || !got.Thawing {
		t.Errorf("under way since we looked: %+v, %v", got, err)
	}
	f.fail(fault{method: "POST", times: 1, status: 403, code: "InvalidObjectState"})
	if got, err := s.Thaw(t.Context(), "a", "", 1, sink.TierStandard); err != nil || !got.Cold {
		t.Errorf("moved since we looked: %+v, %v", got, err)
	}
	for _, c := range []struct {
		days int
		tier string
	}{{0, sink.TierBulk}, {-1, sink.TierBulk}, {1, ""}, {1, "fast"}} {
		if _, err := s.Thaw(t.Context(), "a", "", c.days, c.tier); err == nil {
			t.Errorf("Thaw for %d days, tier %q succeeded", c.days, c.tier)
		}
	}
}
