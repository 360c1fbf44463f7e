package doctor_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/doctor"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

// counting counts the requests that pass, and lets none pass that could change something.
func counting(t *testing.T, n *atomic.Int64) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if n.Add(1); r.Method != http.MethodGet && r.Method != http.MethodHead {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			return next.RoundTrip(r)
		})
	}
}

// put puts an object as a seal does.
func put(t *testing.T, s *s3.Store, key string, lock sink.Lock) {
	t.Helper()
	body := []byte(key)
	if _, err := s.Put(t.Context(), sink.Object{Key: key, Size: int64(len(body)), SHA256: sha256.Sum256(body), Lock: lock, Body: bytes.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
}

func compliance() sink.Lock {
	return sink.Lock{Mode: sink.Compliance, RetainUntil: time.Now().Add(time.Hour)}
}

// short makes the checks in short, and returns what each found.
func short(t *testing.T, s *s3.Store, opts doctor.Options) map[string]doctor.Finding {
	t.Helper()
	opts.Modes, opts.Short = []sink.Mode{sink.Compliance}, true
	r, err := doctor.Run(t.Context(), s, "", opts)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]doctor.Finding{}
	for _, f := range r.Findings {
		found[f.Check] = f
	}
	if len(r.Remains) != 0 {
		t.Errorf("there remain %v", r.Remains)
	}
	return found
}

// TestShort has the writer look at a bucket: it costs so many requests, however much is sealed there, and nothing is put.
func TestShort(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		u := writer(t, server, sink.Compliance)
		var n atomic.Int64
		s := open(t, server, u, sink.Compliance, counting(t, &n))
		plain := open(t, server, u, sink.Compliance, nil)
		look := func(want int64) map[string]doctor.Finding {
			t.Helper()
			before := len(server.Versions(t, "audit", ""))
			n.Store(0)
			found := short(t, s, doctor.Options{Encryption: s3.SSES3})
			if n.Load() != want {
				t.Errorf("%d requests, not %d", n.Load(), want)
			}
			if after := len(server.Versions(t, "audit", "")); after != before {
				t.Errorf("%d objects before it, %d after", before, after)
			}
			return found
		}
		if f := look(8)["sealed-lock"]; f.Status != doctor.Pass || f.Text != "nothing is sealed here yet" {
			t.Errorf("of an empty bucket: %+v", f)
		}
		for i := range 30 {
			put(t, plain, fmt.Sprintf("seals/acme/%08d/manifest.json", i), compliance())
		}
		if f := look(10)["sealed-lock"]; f.Status != doctor.Pass || !strings.Contains(f.Text, "seals/acme/00000000/manifest.json is locked, COMPLIANCE until ") {
			t.Errorf("without keys: %+v", f)
		}
		put(t, plain, "keys/0001.pem", compliance())
		found := look(8)
		got := map[string]doctor.Status{}
		for check, f := range found {
			got[check] = f.Status
		}
		want := map[string]doctor.Status{
			"fit": doctor.Pass, "clock": doctor.Pass, "sealed-lock": doctor.Pass, "sealed-encryption": doctor.Warn, "floor": doctor.Warn, "list-versions": doctor.Pass,
			"lifecycle": doctor.Pass, "tiers": doctor.Pass,
		}
		if server.Name() == "versitygw" {
			want["lifecycle"] = doctor.Warn
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("found (-want +got):\n%s", diff)
		}
		if !strings.Contains(found["sealed-encryption"].Text, "keys/0001.pem: not encrypted") || !strings.Contains(found["sealed-lock"].Text, "keys/0001.pem is locked") {
			t.Errorf("%+v", found)
		}
	})
}

// What a credential may not ask is unknown, and no failure.
func TestShortWithoutRights(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		put(t, open(t, server, root(server), sink.Compliance, nil), "keys/0001.pem", compliance())
		u := server.AddUser(t, "poor")
		principal := ""
		if server.Name() == "versitygw" {
			principal = `"Principal": {"AWS": "poor"},`
		}
		server.Grant(t, u, "audit", []byte(`{"Version": "2012-10-17", "Statement": [{`+principal+`"Effect": "Allow", "Resource": ["arn:aws:s3:::audit", "arn:aws:s3:::audit/*"],
			"Action": ["s3:ListBucket", "s3:GetObject", "s3:GetObjectVersion", "s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration"]}]}`))
		var n atomic.Int64
		found := short(t, open(t, server, u, sink.Compliance, counting(t, &n)), doctor.Options{})
		for check, f := range found {
			if f.Status == doctor.Fail || f.Status == doctor.Unknown && f.Remedy == "" {
				t.Errorf("%s: %+v", check, f)
			}
		}
		if found["lifecycle"].Status != doctor.Unknown && server.Name() == "minio" {
			t.Errorf("lifecycle: %+v", found["lifecycle"])
		}
		if found["list-versions"].Status != doctor.Unknown && server.Name() == "versitygw" { // MinIO lets it
			t.Errorf("list-versions: %+v", found["list-versions"])
		}
		if n.Load() > 12 {
			t.Errorf("%d requests", n.Load())
		}
	})
}

// TestShortLifecycle tells the rules that remove or move what must stay.
func TestShortLifecycle(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server := s3test.MinIO(t)
	server.CreateBucket(t, "audit", true)
	s := open(t, server, root(server), sink.Compliance, nil)
	locked := []s3.Ages{{Prefix: "csv/class=standard/", Warm: "WARM", WarmAfter: 30, ExpireAfter: 91, Mode: sink.Compliance}}
	unlocked := []s3.Ages{{Prefix: "csv/class=standard/", ExpireAfter: 91}}
	for name, c := range map[string]struct {
		rule sink.ExpiryRule
		ages []s3.Ages
		want doctor.Status
		text string
	}{
		"ours":            {sink.ExpiryRule{Prefix: "prod/csv/class=standard/", Days: 91, NoncurrentDays: 1}, locked, doctor.Pass, ""},
		"theirs, as long": {sink.ExpiryRule{Prefix: "prod/csv/", Days: 90}, locked, doctor.Pass, ""},
		"too early":       {sink.ExpiryRule{Prefix: "prod/csv/", Days: 89}, locked, doctor.Fail, `"evil" removes what lies below csv/class=standard/ after 89 days; files there are kept for 90 days`},
		"a date":          {sink.ExpiryRule{Prefix: "prod/csv/", Date: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)}, locked, doctor.Fail, "on 2040-01-01"},
		"of others":       {sink.ExpiryRule{Prefix: "other/", Days: 1}, locked, doctor.Pass, ""},
		"all":             {sink.ExpiryRule{Prefix: "", Days: 4000}, locked, doctor.Fail, "below seals/"},
		"older versions":  {sink.ExpiryRule{Prefix: "prod/csv/class=standard/", NoncurrentDays: 1}, unlocked, doctor.Fail, "1 days after a newer version came"},
		"no age":          {sink.ExpiryRule{Prefix: "prod/csv/", Days: 1}, []s3.Ages{{Prefix: "csv/class=standard/"}}, doctor.Pass, ""},
	} {
		c.rule.ID = "evil"
		server.SetLifecycle(t, "audit", c.rule)
		if f := short(t, s, doctor.Options{Ages: c.ages})["lifecycle"]; f.Status != c.want || !strings.Contains(f.Text, c.text) || (f.Remedy == "") != (c.want == doctor.Pass) {
			t.Errorf("%s: %+v, want %s: %s", name, f, c.want, c.text)
		}
	}
}

// TestShortMoves tells the rules that move what must stay, or to where nothing is known to hold it. MinIO takes none without such tiers, so the answer is made up.
func TestShortMoves(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server := s3test.MinIO(t)
	server.CreateBucket(t, "audit", true)
	ages := []s3.Ages{{Prefix: "csv/class=standard/", Warm: "WARM", WarmAfter: 30, Cold: "COLD", ColdAfter: 60, ExpireAfter: 91, Mode: sink.Compliance}}
	for name, c := range map[string]struct {
		rule string
		want doctor.Status
		text string
	}{
		"ours":      {"<Filter><Prefix>prod/csv/class=standard/</Prefix></Filter><Transition><Days>30</Days><StorageClass>WARM</StorageClass></Transition>", doctor.Pass, ""},
		"elsewhere": {"<Filter><And><Prefix>prod/csv/</Prefix></And></Filter><Transition><Days>30</Days><StorageClass>OTHER</StorageClass></Transition>", doctor.Warn, "to OTHER, which no retention policy names"},
		"second": {"<Prefix>prod/csv/</Prefix><Transition><Days>3</Days><StorageClass>OTHER</StorageClass></Transition><Transition><Days>30</Days><StorageClass>COLD</StorageClass></Transition>",
			doctor.Warn, "to OTHER"},
		"the log":  {"<Filter><Prefix></Prefix></Filter><Transition><Days>30</Days><StorageClass>WARM</StorageClass></Transition>", doctor.Fail, "moves what lies below seals/ to WARM"},
		"disabled": {"<Status>Disabled</Status><Prefix></Prefix><Transition><Days>30</Days><StorageClass>WARM</StorageClass></Transition>", doctor.Pass, ""},
	} {
		if !strings.Contains(c.rule, "<Status>") {
			c.rule += "<Status>Enabled</Status>"
		}
		s := open(t, server, root(server), sink.Compliance, func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && r.URL.Query().Has("lifecycle") {
					made := answer(resp, r, http.StatusOK)
					body := "<LifecycleConfiguration><Rule><ID>rule</ID>" + c.rule + "</Rule></LifecycleConfiguration>"
					made.Body, made.ContentLength = readCloser(body), int64(len(body))
					return made, nil
				}
				return resp, err
			})
		})
		if f := short(t, s, doctor.Options{Ages: ages})["lifecycle"]; f.Status != c.want || !strings.Contains(f.Text, c.text) {
			t.Errorf("%s: %+v, want %s: %s", name, f, c.want, c.text)
		}
	}
}

// TestShortTiers looks at the bucket of a tier, and puts nothing there.
func TestShortTiers(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		server.CreateBucket(t, "warm", true)
		server.CreateBucket(t, "plain", false)
		s := open(t, server, root(server), sink.Compliance, nil)
		ages := []s3.Ages{{Prefix: "csv/class=standard/", Warm: "WARM", WarmAfter: 30, ExpireAfter: 60, Mode: sink.Compliance}}
		var n atomic.Int64
		tier := func(bucket string) map[string]*s3.Store {
			t.Helper()
			warm, err := s3.New("s3://"+bucket, &s3.Options{
				Unlocked: true, Endpoint: server.URL, Region: server.Region, CAFile: server.CAFile, AccessKey: server.AccessKey, SecretKey: server.SecretKey, Transport: counting(t, &n),
			})
			if err != nil {
				t.Fatal(err)
			}
			return map[string]*s3.Store{"WARM": warm}
		}
		floor := func(days int) {
			t.Helper()
			opts := &s3.Options{Endpoint: server.URL, Region: server.Region, CAFile: server.CAFile, AccessKey: server.AccessKey, SecretKey: server.SecretKey}
			if _, err := s3.CreateBucket(t.Context(), "s3://warm", s3.Bucket{Mode: sink.Compliance, Days: days}, opts); err != nil {
				t.Fatal(err)
			}
		}
		look := func(tiers map[string]*s3.Store, want doctor.Status, text string) {
			t.Helper()
			n.Store(0)
			f := short(t, s, doctor.Options{Ages: ages, Tiers: tiers})["tiers"]
			if f.Status != want || !strings.Contains(f.Text, text) || (f.Remedy == "") != (want == doctor.Pass) {
				t.Errorf("%+v, want %s: %s", f, want, text)
			}
			if n.Load() > 3 {
				t.Errorf("%d requests to the tier", n.Load())
			}
		}
		look(nil, doctor.Unknown, "is not known")
		look(tier("plain"), doctor.Fail, "no Object Lock")
		look(tier("warm"), doctor.Fail, "COMPLIANCE for 30 days is needed")
		floor(30)
		look(tier("warm"), doctor.Unknown, "was not tried yet")
		if server.Name() == "versitygw" {
			return // it puts no lock on what comes
		}
		if states := s.CheckTiers(t.Context(), ages, tierWithoutCount(t, server), nil); !states[0].Holds {
			t.Fatalf("%+v", states)
		}
		look(tier("warm"), doctor.Pass, "WARM")
	})
}

func tierWithoutCount(t *testing.T, server *s3test.Server) map[string]*s3.Store {
	t.Helper()
	warm, err := s3.New("s3://warm", &s3.Options{Unlocked: true, Endpoint: server.URL, Region: server.Region, CAFile: server.CAFile, AccessKey: server.AccessKey, SecretKey: server.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*s3.Store{"WARM": warm}
}

// TestChecked has a store looked at when it is opened: what keeps files from being sealed stops it, what others may do to them is told, and once.
func TestChecked(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, server *s3test.Server) {
		server.CreateBucket(t, "audit", true)
		var n atomic.Int64
		s := open(t, server, root(server), sink.Compliance, counting(t, &n))
		server.Overwrite(t, "audit", "prod/keys/0001.pem", []byte("of whom?"), sink.Lock{})
		var log bytes.Buffer
		c := doctor.Check(s, doctor.Options{Modes: []sink.Mode{sink.Compliance}}, slog.New(slog.NewTextHandler(&log, nil)))
		if err := c.Preflight(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), `level=WARN msg="keys/0001.pem was sealed, and has no lock" check=sealed-lock status=fail hint="`) || strings.Count(log.String(), "level=WARN") != 1 {
			t.Errorf("the log:\n%s", &log)
		}
		log.Reset()
		n.Store(0)
		if err := c.Preflight(t.Context()); err != nil || log.Len() != 0 || n.Load() != 4 {
			t.Errorf("again: %v, %d requests, the log:\n%s", err, n.Load(), &log)
		}

		server.CreateBucket(t, "plain", false)
		plain, err := s3.New("s3://plain", &s3.Options{
			Mode: sink.Compliance, Endpoint: server.URL, Region: server.Region, CAFile: server.CAFile, AccessKey: server.AccessKey, SecretKey: server.SecretKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := doctor.Check(plain, doctor.Options{}, slog.New(slog.DiscardHandler)).Preflight(t.Context()); hint(err) == "" {
			t.Errorf("of a bucket without locks: %v", err)
		}

		// How it is set up tells the tiers as well.
		server.CreateBucket(t, "warm", true)
		c = doctor.Check(s, doctor.Options{Tiers: tierWithoutCount(t, server)}, slog.New(slog.DiscardHandler))
		tier := func() sink.Setting {
			t.Helper()
			list, err := c.Inspect(t.Context())
			if err != nil || len(list) != 7 {
				t.Fatal(list, err)
			}
			return list[slices.IndexFunc(list, func(s sink.Setting) bool { return s.Name == "tier WARM" })]
		}
		if got := tier(); got.Value != "Object Lock, no default retention" {
			t.Errorf("%+v", got)
		}
		if err := server.Client(t).RemoveBucket(t.Context(), "warm"); err != nil {
			t.Fatal(err)
		}
		if got := tier(); !strings.Contains(got.Value, "no such bucket") {
			t.Errorf("once it is removed: %+v", got)
		}
	})
}
