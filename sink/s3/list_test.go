package s3_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3test"
	"daybook/sink/sinktest"
)

// names are a listing's entries on a line each, for comparison.
func names(entries []sink.Entry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, name(e))
	}
	return all
}

func name(e sink.Entry) string {
	text := strings.TrimSpace(e.Key + " " + e.Version)
	if e.Latest {
		text += " latest"
	}
	if e.Marker {
		text += " marker"
	}
	return text
}

// untilError reads a listing that fails.
func untilError(listing iter.Seq2[sink.Entry, error]) (entries []sink.Entry, err error) {
	for e, last := range listing {
		if err = last; err == nil {
			entries = append(entries, e)
		}
	}
	return entries, err
}

// fillFake gives the fake keys of one, two, … versions, every third with a delete marker in front, and returns what List and Versions are to tell. Other
// things than the store's are there too.
func fillFake(f *fake) (list, versions []string) {
	f.change(func(b *fakeBucket) {
		b.add("audi", &fakeVersion{})
		b.add("audit", &fakeVersion{})
		b.add("auditor/a", &fakeVersion{})
		for i := range 12 {
			key := fmt.Sprintf("key-%02d", i)
			for range i%8 + 1 {
				b.add("audit/"+key, &fakeVersion{body: []byte("x")})
			}
			if i%3 == 0 {
				b.add("audit/"+key, &fakeVersion{marker: true})
			} else {
				list = append(list, key+" latest")
			}
			for j, v := range slices.Backward(b.objects["audit/"+key]) {
				e := sink.Entry{Key: key, Version: v.id, Latest: j == len(b.objects["audit/"+key])-1, Marker: v.marker}
				versions = append(versions, name(e))
			}
		}
	})
	return list, versions
}

func TestListPages(t *testing.T) {
	effort.NeedsThorough(t)
	for name, change := range map[string]func(b *fakeBucket){
		"strict":             func(*fakeBucket) {},
		"repeating":          func(b *fakeBucket) { b.repeats = true },
		"markers first":      func(b *fakeBucket) { b.markersFirst = true },
		"both":               func(b *fakeBucket) { b.markersFirst, b.repeats = true, true },
		"two to a page":      func(b *fakeBucket) { b.page, b.repeats = 2, true },
		"all in one":         func(b *fakeBucket) { b.page, b.markersFirst = 1000, true },
		"pages end with key": func(b *fakeBucket) { b.page = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			list, versions := fillFake(f)
			f.change(change)
			s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
			for range 2 { // the second time every page fails once
				if diff := cmp.Diff(list, names(sinktest.Collect(t, s.List(t.Context(), "")))); diff != "" {
					t.Errorf("List (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(versions, names(sinktest.Collect(t, s.Versions(t.Context(), "")))); diff != "" {
					t.Errorf("Versions (-want +got):\n%s", diff)
				}
			}
			var got []sink.Entry
			for e, err := range s.Versions(t.Context(), "key-") {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
				if f.heal(); len(got)%7 == 0 {
					f.fail(fault{method: "GET", query: "versions", times: 2, status: 503, code: "SlowDown"})
				}
			}
			if diff := cmp.Diff(versions, names(got)); diff != "" {
				t.Errorf("Versions with failures (-want +got):\n%s", diff)
			}
			got = nil
			for e, err := range s.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
				f.heal()
				f.fail(fault{method: "GET", query: "list-type", times: 3}) // fails four times in a row: too often, did one page's count for the next
			}
			if diff := cmp.Diff(list, names(got)); diff != "" {
				t.Errorf("List with failures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListRefused(t *testing.T) {
	effort.NeedsLong(t)
	f := newFake(t)
	fillFake(f)
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	for _, c := range []struct {
		name, query, hint string
		list              func(context.Context, string) iter.Seq2[sink.Entry, error]
	}{
		{"List", "list-type", "s3:ListBucket on arn:aws:s3:::bucket", s.List},
		{"Versions", "versions", "s3:ListBucketVersions on arn:aws:s3:::bucket", s.Versions},
	} {
		f.fail(fault{method: "GET", query: c.query, times: 1, status: 403, code: "AccessDenied"})
		entries, err := untilError(c.list(t.Context(), "x"))
		if len(entries) > 0 {
			t.Errorf("%s refused: %d entries", c.name, len(entries))
		}
		wantError(t, err, nil, "s3://bucket/audit/x: 403 AccessDenied", c.hint)
		f.fail(fault{method: "GET", query: c.query, times: -1, status: 503, code: "SlowDown"})
		_, err = untilError(c.list(t.Context(), ""))
		wantError(t, err, nil, "tried 4 times", "run again")
		f.heal()

		f.change(func(b *fakeBucket) { b.missing = true })
		_, err = untilError(c.list(t.Context(), ""))
		wantError(t, err, sink.ErrUnfit, "no such bucket", "bucket create")
		f.change(func(b *fakeBucket) { b.missing = false })

		f.change(func(b *fakeBucket) { b.disorderly = true })
		_, err = untilError(c.list(t.Context(), ""))
		wantError(t, err, nil, "out of their order", "")
		f.change(func(b *fakeBucket) { b.disorderly = false })
	}
	f.change(func(b *fakeBucket) { b.stuck = true })
	f.change(func(b *fakeBucket) { b.page = 1 })
	_, err := untilError(s.Versions(t.Context(), ""))
	wantError(t, err, nil, "does not advance", "")
}

// TestSlowReader takes long over each entry, which is no reason to call the server slow.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newDirectFake()
		list, _ := fillFake(f)
		opts := f.options(t, sink.Compliance)
		opts.Timeout = time.Minute
		s := open(t, "s3://bucket/audit", opts)
		var got []sink.Entry
		for e, err := range s.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
			time.Sleep(time.Hour)
		}
		if diff := cmp.Diff(list, names(got)); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
		for _, r := range f.took() {
			if !strings.Contains(r.query, "list-type") {
				t.Errorf("sent %s", r)
			}
		}
		f.fail(fault{method: "GET", query: "list-type", times: -1, hang: true})
		_, err := untilError(s.List(t.Context(), ""))
		wantError(t, err, nil, "no progress for 1m0s", "network")
	})
}

func TestExpiryRules(t *testing.T) {
	const (
		enabled = "<Status>Enabled</Status>"
		days    = "<Expiration><Days>7</Days></Expiration>"
	)
	week := func(prefix string) []sink.ExpiryRule { return []sink.ExpiryRule{{ID: "r", Prefix: prefix, Days: 7}} }
	for _, c := range []struct {
		name, rule string
		want       []sink.ExpiryRule
	}{
		{"whole bucket", enabled + "<Filter/>" + days, week("")},
		{"whole bucket, empty prefix", enabled + "<Filter><Prefix></Prefix></Filter>" + days, week("")},
		{"old prefix", "<Prefix>audit/logs/csv/</Prefix>" + enabled + days, week("csv/")},
		{"the root", enabled + "<Filter><Prefix>audit/logs/</Prefix></Filter>" + days, week("")},
		{"above the root", enabled + "<Filter><Prefix>aud</Prefix></Filter>" + days, week("")},
		{"below the root", enabled + "<Filter><Prefix>audit/logs/c</Prefix></Filter>" + days, week("c")},
		{"beside the root", enabled + "<Filter><Prefix>audit/logs.old/</Prefix></Filter>" + days, nil},
		{"beside the root, longer", enabled + "<Filter><Prefix>audit/logsmith</Prefix></Filter>" + days, nil},
		{"disabled", "<Status>Disabled</Status><Filter/>" + days, nil},
		{"uploads", enabled + "<Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>", nil},
		{"transition", enabled + "<Filter/><Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition>", nil},
		{
			"date", enabled + "<Filter/><Expiration><Date>2030-01-02T00:00:00Z</Date></Expiration>",
			[]sink.ExpiryRule{{ID: "r", Date: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)}},
		},
		{"markers", enabled + "<Filter/><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>", []sink.ExpiryRule{{ID: "r", Markers: true}}},
		{
			"noncurrent", enabled + "<Filter/><NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays></NoncurrentVersionExpiration>",
			[]sink.ExpiryRule{{ID: "r", NoncurrentDays: 3}},
		},
		{
			"newer versions", enabled + "<Filter/><NoncurrentVersionExpiration><NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>",
			[]sink.ExpiryRule{{ID: "r", NoncurrentDays: 1, Filtered: true}},
		},
		{"tag", enabled + "<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>" + days, []sink.ExpiryRule{{ID: "r", Filtered: true, Days: 7}}},
		{
			"tags", enabled + "<Filter><And><Prefix>audit/logs/x/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag></And></Filter>" + days,
			[]sink.ExpiryRule{{ID: "r", Prefix: "x/", Filtered: true, Days: 7}},
		},
		{"tags elsewhere", enabled + "<Filter><And><Prefix>other/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag></And></Filter>" + days, nil},
		{"size", enabled + "<Filter><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan></Filter>" + days, []sink.ExpiryRule{{ID: "r", Filtered: true, Days: 7}}},
		{
			"all versions, by MinIO", enabled + "<Filter/><Expiration><Days>7</Days><ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration>",
			[]sink.ExpiryRule{{ID: "r", Days: 7, NoncurrentDays: 7}},
		},
		{
			"all versions, by MinIO's successor", enabled + "<Filter/><AllVersionsExpiration><Days>9</Days></AllVersionsExpiration>",
			[]sink.ExpiryRule{{ID: "r", Days: 9, NoncurrentDays: 9}},
		},
		{
			"all behind a marker, by MinIO", enabled + "<Filter/><DelMarkerExpiration><Days>9</Days></DelMarkerExpiration>",
			[]sink.ExpiryRule{{ID: "r", NoncurrentDays: 9, Markers: true}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			f.change(func(b *fakeBucket) {
				b.rules = "<LifecycleConfiguration><Rule><ID>r</ID>" + c.rule + "</Rule></LifecycleConfiguration>"
			})
			got, err := open(t, "s3://bucket/audit/logs", f.options(t, sink.Compliance)).Expiry(t.Context())
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("Expiry: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestExpiryRefused(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.Compliance))
	for _, c := range []struct {
		status     int
		code, hint string
		unknown    bool
	}{
		{501, "NotImplemented", "", true},
		{405, "MethodNotAllowed", "", true},
		{403, "AccessDenied", "s3:GetLifecycleConfiguration", true},
		{404, "NoSuchKey", "", false},
		{503, "SlowDown", "run again", false},
	} {
		f.heal()
		f.fail(fault{method: "GET", query: "lifecycle", times: -1, status: c.status, code: c.code})
		rules, err := s.Expiry(t.Context())
		wantError(t, err, nil, c.code, c.hint)
		if errors.Is(err, sink.ErrUnknown) != c.unknown || rules != nil {
			t.Errorf("%d %s: %+v, %v", c.status, c.code, rules, err)
		}
	}
	f.heal()
	f.change(func(b *fakeBucket) { b.missing = true })
	_, err := s.Expiry(t.Context())
	wantError(t, err, sink.ErrUnfit, "no such bucket", "bucket create")
}

// TestOffset reads the server's clock from its answers.
func TestOffset(t *testing.T) {
	start := time.Date(2026, 3, 11, 1, 0, 0, int(400*time.Millisecond), time.UTC)
	for _, c := range []struct {
		name  string
		date  string
		took  time.Duration
		want  time.Duration
		known bool
	}{
		{name: "the same second", date: "Wed, 11 Mar 2026 01:00:00 GMT", known: true},
		{name: "cut to the second before", date: "Wed, 11 Mar 2026 00:59:59 GMT", want: -900 * time.Millisecond, known: true},
		{name: "answered late", date: "Wed, 11 Mar 2026 01:00:01 GMT", took: time.Second, known: true},
		{name: "ahead", date: "Wed, 11 Mar 2026 01:10:00 GMT", want: 10*time.Minute + 100*time.Millisecond, known: true},
		{name: "behind", date: "Wed, 11 Mar 2026 00:50:00 GMT", want: -10*time.Minute + 100*time.Millisecond, known: true},
		{name: "too slow to tell", date: "Wed, 11 Mar 2026 01:10:00 GMT", took: time.Minute},
		{name: "no date", date: ""},
		{name: "no date that can be read", date: "now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newDirectFake()
			now := start
			opts := f.options(t, sink.Compliance)
			opts.Now = func() time.Time { return now }
			opts.Transport = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					resp, err := f.direct(next).RoundTrip(r)
					now = now.Add(c.took)
					if err == nil && c.date != "" {
						resp.Header.Set("Date", c.date)
					}
					return resp, err
				})
			}
			s := open(t, "s3://bucket", opts)
			if d, ok := s.Offset(); ok {
				t.Errorf("offset %s before any answer", d)
			}
			if _, err := s.Expiry(t.Context()); err != nil {
				t.Fatal(err)
			}
			if d, ok := s.Offset(); ok != c.known || d != c.want {
				t.Errorf("offset %s, %v; want %s, %v", d, ok, c.want, c.known)
			}
		})
	}
}

// TestListManyKeys goes over pages of real servers: their order, and what they repeat, and a key whose versions lie on two pages.
func TestListManyKeys(t *testing.T) {
	servers(t, func(t *testing.T, server *s3test.Server) {
		if server.CAFile == "" && server.Name() == "versitygw" {
			t.Skip("TLS changes nothing here") // and the upload below does
		}
		server.CreateBucket(t, "locked", true)
		from := sinktest.NewMemory(t, &sinktest.Options{AllowAnyKey: true})
		var want []string
		for i := range 1103 {
			key := fmt.Sprintf("log/tile%c%d/%04d", "/.-"[i%3], i%2, i)
			from.Overwrite(key, []byte("x"), sink.Lock{})
			want = append(want, key)
		}
		slices.Sort(want)
		until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
		server.Fill(t, "locked", "audit/", from, func(sink.Info) sink.Lock { return sink.Lock{Mode: sink.Governance, RetainUntil: until} })
		server.Overwrite(t, "locked", "auditor", []byte("x"), sink.Lock{})
		// The pages of versions end amid these.
		for i := 994; i < 1003; i++ {
			for range 2 {
				server.Overwrite(t, "locked", "audit/"+want[i], []byte("newer"), sink.Lock{})
			}
			if i%2 == 0 {
				server.Hide(t, "locked", "audit/"+want[i])
			}
		}
		s := open(t, "s3://locked/audit", options(t, server, sink.Compliance))

		var got []string
		for _, e := range sinktest.Collect(t, s.List(t.Context(), "")) {
			got = append(got, e.Key)
		}
		var visible, all []string
		for i, key := range want {
			hidden, changed := i >= 994 && i < 1003 && i%2 == 0, i >= 994 && i < 1003
			if !hidden {
				visible = append(visible, key)
			}
			if hidden {
				all = append(all, key+" latest marker 0")
			}
			if changed {
				all = append(all, key+map[bool]string{true: "", false: " latest"}[hidden]+" 5", key+" 5", key+" 1")
			} else {
				all = append(all, key+" latest 1")
			}
		}
		if diff := cmp.Diff(visible, got); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
		got = nil
		for _, e := range sinktest.Collect(t, s.Versions(t.Context(), "")) {
			e.Version = ""
			got = append(got, fmt.Sprint(name(e), " ", e.Size))
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("Versions (-want +got):\n%s", diff)
		}
		if d, ok := s.Offset(); !ok || d < -2*time.Second || d > 2*time.Second {
			t.Errorf("offset of a server on this machine: %s, %v", d, ok)
		}
		if info, err := s.Head(t.Context(), want[0], ""); err != nil || info.Lock != (sink.Lock{Mode: sink.Governance, RetainUntil: until}) {
			t.Errorf("Head of what was copied: %+v, %v", info, err)
		}
	})
}
