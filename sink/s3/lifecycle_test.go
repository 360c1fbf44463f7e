package s3_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

// actions counts what a plan does.
func actions(p *s3.LifecyclePlan) string {
	n := map[string]int{}
	for _, c := range p.Changes {
		n[c.Action]++
	}
	return fmt.Sprintf("add %d, change %d, remove %d, keep %d, other %d", n["add"], n["change"], n["remove"], n["keep"], n["other"])
}

func planOf(t *testing.T, s *s3.Store, ages ...s3.Ages) *s3.LifecyclePlan {
	t.Helper()
	p, err := s.PlanLifecycle(t.Context(), ages, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLifecyclePlans holds what is put for what is there, to the byte for what is not ours.
func TestLifecyclePlans(t *testing.T) {
	const theirs = `<Rule><ID>theirs &amp; old</ID><Status>Enabled</Status>
  <Filter><Prefix>tmp/</Prefix></Filter><Expiration><Days>7</Days></Expiration><SomethingNew weight="3">of 2031</SomethingNew></Rule>`
	f := newFake(t)
	f.change(func(b *fakeBucket) {
		b.rules = `<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + theirs + `</LifecycleConfiguration>`
	})
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	csv := s3.Ages{Prefix: "csv/class=standard/", Warm: "WARM", WarmAfter: 90, Cold: "COLD", ColdAfter: 365, ExpireAfter: 2557, Mode: sink.Compliance}
	evidence := s3.Ages{Prefix: "jsonl/class=standard/", ExpireAfter: 91}
	apply := func(want string, ages ...s3.Ages) {
		t.Helper()
		p := planOf(t, s, ages...)
		if got := actions(p); got != want {
			t.Fatalf("plan: %s, want %s", got, want)
		}
		if err := s.ApplyLifecycle(t.Context(), p, ages); err != nil {
			t.Fatal(err)
		}
		if again := planOf(t, s, ages...); again.Differs() {
			t.Errorf("once applied: %+v", again)
		}
		f.change(func(b *fakeBucket) {
			if !strings.Contains(b.rules, theirs) {
				t.Errorf("the rule of others is not what it was:\n%s", b.rules)
			}
		})
	}
	apply("add 8, change 0, remove 0, keep 0, other 1", csv, evidence) // warm, cold, expire and markers; expire and markers; two of doctor
	f.change(func(b *fakeBucket) {
		for _, part := range []string{
			"<Prefix>audit/csv/class=standard/</Prefix></Filter><Transition><Days>90</Days><StorageClass>WARM</StorageClass></Transition></Rule>",
			"<Transition><Days>365</Days><StorageClass>COLD</StorageClass></Transition></Rule>",
			"<Expiration><Days>2557</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>",
			"<Expiration><Days>91</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>91</NoncurrentDays></NoncurrentVersionExpiration></Rule>",
			"<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>",
			"<Prefix>audit/doctor/</Prefix>",
		} {
			if !strings.Contains(b.rules, part) {
				t.Errorf("%s is not in\n%s", part, b.rules)
			}
		}
		for _, part := range []string{"audit/seals", "audit/log", "audit/keys", "<Tag>"} {
			if strings.Contains(b.rules, part) {
				t.Errorf("%s is in\n%s", part, b.rules)
			}
		}
	})
	csv.ExpireAfter, csv.Cold = 3000, ""
	apply("add 0, change 1, remove 1, keep 6, other 1", csv, evidence)
	apply("add 0, change 0, remove 3, keep 4, other 1", evidence)

	// Another store in the bucket is somebody else's.
	if got := actions(planOf(t, open(t, "s3://bucket/other", f.options(t, sink.Compliance)), evidence)); got != "add 4, change 0, remove 0, keep 0, other 5" {
		t.Errorf("of another store: %s", got)
	}
	// Somebody is faster.
	p := planOf(t, s, csv)
	f.change(func(b *fakeBucket) { b.rules = strings.Replace(b.rules, "<Days>7<", "<Days>8<", 1) })
	if err := s.ApplyLifecycle(t.Context(), p, []s3.Ages{csv}); !errors.Is(err, s3.ErrChangedMeanwhile) {
		t.Errorf("over a change by somebody else: %v", err)
	}
}

// TestLifecycleShortened keeps a rule as long as it was, since what was sealed under longer ages is locked still, unless it is told otherwise.
func TestLifecycleShortened(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	const days, noncurrent = "<Expiration><Days>%d</Days></Expiration>", "<NoncurrentVersionExpiration><NoncurrentDays>%d</NoncurrentDays></NoncurrentVersionExpiration>"
	for _, c := range []struct {
		name          string
		before, after s3.Ages
		kept          [2]int // days, and those of older versions
		shorter       string
	}{
		{"seven years become one", s3.Ages{ExpireAfter: 2558, Mode: sink.Compliance}, s3.Ages{ExpireAfter: 367, Mode: sink.Compliance}, [2]int{2558, 1}, "Expiration.Days=367"},
		{"none becomes a mode", s3.Ages{ExpireAfter: 91}, s3.Ages{ExpireAfter: 367, Mode: sink.Compliance}, [2]int{367, 91}, "NoncurrentVersionExpiration.NoncurrentDays=1"},
		{"longer", s3.Ages{ExpireAfter: 91}, s3.Ages{ExpireAfter: 92}, [2]int{92, 92}, ""},
	} {
		c.before.Prefix, c.after.Prefix = "csv/class=standard/", "csv/class=standard/"
		f.change(func(b *fakeBucket) { b.rules = "" })
		before, after := []s3.Ages{c.before}, []s3.Ages{c.after}
		apply := func(p *s3.LifecyclePlan, ages []s3.Ages, want [2]int) {
			t.Helper()
			if err := s.ApplyLifecycle(t.Context(), p, ages); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			f.change(func(b *fakeBucket) {
				if rule := fmt.Sprintf(days+noncurrent, want[0], want[1]); !strings.Contains(b.rules, rule) {
					t.Errorf("%s: %s is not in\n%s", c.name, rule, b.rules)
				}
			})
		}
		shorter := func(p *s3.LifecyclePlan) (list string) {
			for _, change := range p.Changes {
				list += change.Shorter
			}
			return list
		}
		apply(planOf(t, s, before...), before, [2]int{c.before.ExpireAfter, map[bool]int{true: c.before.ExpireAfter, false: 1}[c.before.Mode == sink.None]})
		p := planOf(t, s, after...)
		if got := shorter(p); !strings.Contains(got, c.shorter) || (got == "") != (c.shorter == "") {
			t.Errorf("%s: told of %q, want %q", c.name, got, c.shorter)
		}
		apply(p, after, c.kept)
		if again := planOf(t, s, after...); again.Differs() {
			t.Errorf("%s: once applied: %+v", c.name, again)
		}
		p, err := s.PlanLifecycle(t.Context(), after, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := shorter(p); got != "" || p.Differs() != (c.shorter != "") {
			t.Errorf("%s: to be shortened: %+v", c.name, p.Changes)
		}
		apply(p, after, [2]int{c.after.ExpireAfter, map[bool]int{true: c.after.ExpireAfter, false: 1}[c.after.Mode == sink.None]})
	}
}

func TestLifecycleRefused(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	for _, a := range []s3.Ages{{Prefix: "", ExpireAfter: 1}, {Prefix: "seals/", ExpireAfter: 1}, {Prefix: "log/tile/", ExpireAfter: 1}, {Prefix: "keys/", Warm: "X", WarmAfter: 1}, {Prefix: "k", ExpireAfter: 1}} {
		if _, err := s.PlanLifecycle(t.Context(), []s3.Ages{a}, false); err == nil || !strings.Contains(err.Error(), "must stay") {
			t.Errorf("%q: %v", a.Prefix, err)
		}
	}
	if _, err := s.PlanLifecycle(t.Context(), []s3.Ages{{Prefix: "csv/", Warm: "A", WarmAfter: 9, Cold: "B", ColdAfter: 9}}, false); err == nil {
		t.Error("cold no later than warm was taken")
	}
	var many strings.Builder
	for i := range s3.MaxRules - 3 {
		fmt.Fprintf(&many, "<Rule><ID>r%d</ID><Status>Enabled</Status></Rule>", i)
	}
	f.change(func(b *fakeBucket) {
		b.rules = "<LifecycleConfiguration>" + many.String() + "</LifecycleConfiguration>"
	})
	_, err := s.PlanLifecycle(t.Context(), []s3.Ages{{Prefix: "csv/", ExpireAfter: 1}}, false)
	wantError(t, err, nil, "1001 lifecycle rules, of which 997 are not this store's", "fewer retention classes")
	f.change(func(b *fakeBucket) {
		b.rules = "<LifecycleConfiguration><Default>new</Default></LifecycleConfiguration>"
	})
	_, err = s.PlanLifecycle(t.Context(), []s3.Ages{{Prefix: "csv/", ExpireAfter: 1}}, false)
	wantError(t, err, nil, "Default is not known here", "could be lost")
	f.fail(fault{method: "GET", query: "lifecycle", times: -1, status: 403, code: "AccessDenied"})
	_, err = s.PlanLifecycle(t.Context(), nil, false)
	wantError(t, err, nil, "403", "s3:GetLifecycleConfiguration")
}

// TestTiers has MinIO move files to another MinIO whose bucket is locked, and read them back.
func TestTiers(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server, second := s3test.MinIO(t), s3test.MinIO(t)
	server.CreateBucket(t, "locked", true)
	second.CreateBucket(t, "warm", true)
	server.MinIOTier(t, "WARM", second, "warm") // which tries to delete there: the default retention can come only then
	if _, err := s3.CreateBucket(t.Context(), "s3://warm", s3.Bucket{Mode: sink.Compliance, Days: 100}, options(t, second, sink.Compliance)); err != nil {
		t.Fatal(err)
	}
	second.CreateBucket(t, "loose", true)
	second.CreateBucket(t, "plain", false)
	at := func(bucket string) *s3.Store { return open(t, "s3://"+bucket, options(t, second, sink.Compliance)) }
	store := open(t, "s3://locked", options(t, server, sink.Compliance))
	tiers := map[string]*s3.Store{"WARM": at("warm"), "LOOSE": at("loose"), "PLAIN": at("plain"), "GONE": at("gone")}
	for _, c := range []struct {
		ages  s3.Ages
		trust []string
		why   string
		hint  string
	}{
		{ages: s3.Ages{Warm: "WARM", WarmAfter: 20, ExpireAfter: 120, Mode: sink.Compliance}},
		{ages: s3.Ages{Warm: "WARM", WarmAfter: 20, ExpireAfter: 30, Mode: sink.Governance}},
		{ages: s3.Ages{Warm: "WARM", WarmAfter: 20, ExpireAfter: 121, Mode: sink.Governance}, why: `"COMPLIANCE", 100 days, and GOVERNANCE for 101 days is needed`, hint: "daybook bucket create --tier WARM --mode governance --days 101 --config"},
		{ages: s3.Ages{Cold: "LOOSE", ColdAfter: 1, ExpireAfter: 2, Mode: sink.Governance}, why: `"", 0 days, and GOVERNANCE for 1 days is needed`, hint: "--tier LOOSE --mode governance --days 1"},
		{ages: s3.Ages{Cold: "PLAIN", ColdAfter: 1, ExpireAfter: 2, Mode: sink.Governance}, why: "it has no Object Lock", hint: "daybook bucket create --tier PLAIN --config"},
		{ages: s3.Ages{Cold: "PLAIN", ColdAfter: 1, ExpireAfter: 2}},
		{ages: s3.Ages{Cold: "GONE", ColdAfter: 1, ExpireAfter: 2, Mode: sink.Governance}, why: "or there is no such bucket", hint: "daybook bucket create --tier GONE --config"},
		{ages: s3.Ages{Warm: "OTHER", WarmAfter: 1, ExpireAfter: 2, Mode: sink.Governance}, why: "is not known", hint: "--trust-tier OTHER"},
		{ages: s3.Ages{Warm: "OTHER", WarmAfter: 1, ExpireAfter: 2, Mode: sink.Governance}, trust: []string{"OTHER"}},
		{ages: s3.Ages{Warm: "GLACIER", WarmAfter: 1, ExpireAfter: 2, Mode: sink.Compliance}, why: "is not known", hint: "--trust-tier GLACIER"},
	} {
		states := store.CheckTiers(t.Context(), []s3.Ages{c.ages}, tiers, c.trust)
		if len(states) != 1 || states[0].Holds != (c.why == "") || !strings.Contains(states[0].Why, c.why) || !strings.Contains(states[0].Hint, c.hint) {
			t.Errorf("%+v: %+v, want %q", c.ages, states, c.why)
		}
	}

	tried := second.Versions(t, "warm", "")
	if len(tried) != 1 || !strings.HasPrefix(tried[0].Key, s3.LabPrefix) {
		t.Errorf("in the tier's bucket there are %v: one object is enough to see that it is locked there", tried)
	}

	// A rule of somebody else, in all that minio-go can say.
	config := lifecycle.NewConfiguration()
	config.Rules = []lifecycle.Rule{{ID: "theirs", Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: "tmp/"}, Expiration: lifecycle.Expiration{Days: 3}}}
	client := server.Client(t)
	if err := client.SetBucketLifecycle(t.Context(), "locked", config); err != nil {
		t.Fatal(err)
	}

	s := open(t, "s3://locked/audit", options(t, server, sink.Compliance))
	nowhere := []s3.Ages{{Prefix: "csv/class=standard/", Warm: "NOWHERE", ExpireAfter: 2557, Mode: sink.Compliance}}
	wantError(t, s.ApplyLifecycle(t.Context(), planOf(t, s, nowhere...), nowhere), nil, "40", "make the tier first")
	ages := []s3.Ages{{Prefix: "csv/class=standard/", Warm: "WARM", ExpireAfter: 2557, Mode: sink.Compliance}}
	p := planOf(t, s, ages...)
	if err := s.ApplyLifecycle(t.Context(), p, ages); err != nil {
		t.Fatal(err)
	}
	if again := planOf(t, s, ages...); again.Differs() || actions(again) != "add 0, change 0, remove 0, keep 5, other 1" {
		t.Errorf("once applied: %s %+v", actions(again), again.Changes)
	}
	o := object("csv/class=standard/a", strings.Repeat("x", 4096), sink.Compliance)
	o.Lock.RetainUntil = time.Now().Add(48 * time.Hour)
	info, err := s.Put(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	seal, err := s.Put(t.Context(), object("seals/a", "x", sink.Compliance))
	if err != nil {
		t.Fatal(err)
	}
	class := func(key, version string) string {
		stat, err := client.StatObject(t.Context(), "locked", "audit/"+key, minio.StatObjectOptions{VersionID: version})
		if err != nil {
			t.Fatal(err)
		}
		return stat.Metadata.Get("X-Amz-Storage-Class")
	}
	deadline := time.Now().Add(30 * time.Second)
	for class(o.Key, info.Version) != "WARM" {
		if time.Now().After(deadline) {
			t.Fatalf("it is in %q still", class(o.Key, info.Version))
		}
		time.Sleep(20 * time.Millisecond) // the server tells nobody when it has moved an object
	}
	after, err := s.Head(t.Context(), o.Key, info.Version)
	if err != nil || after.SHA256 != o.SHA256 || !after.Lock.Covers(o.Lock) {
		t.Errorf("after the move: %+v, %v", after, err)
	}
	if moved := slices.DeleteFunc(second.Versions(t, "warm", ""), func(v s3test.Version) bool { return slices.Contains(tried, v) }); len(moved) != 1 {
		t.Errorf("in the tier's bucket there are %v", moved)
	} else if mode, until := second.Lock(t, "warm", moved[0]); mode != "COMPLIANCE" || until.Before(o.Lock.RetainUntil) {
		t.Errorf("there it is locked %q until %s", mode, until)
	}
	if got := class("seals/a", seal.Version); got != "" {
		t.Errorf("a seal was moved to %s", got)
	}
	if err := server.DeleteVersion(t, "locked", "audit/"+o.Key, info.Version); err == nil {
		t.Error("after the move it can be deleted")
	}
}

// TestNoLifecycle tells what a server without lifecycle rules will not do.
func TestNoLifecycle(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	server := s3test.VersityGW(t)
	server.CreateBucket(t, "locked", true)
	s := open(t, "s3://locked/audit", options(t, server, sink.Compliance))
	p := planOf(t, s, s3.Ages{Prefix: "csv/class=a/", Warm: "W", WarmAfter: 3, ExpireAfter: 9}, s3.Ages{Prefix: "csv/class=b/"})
	want := "s3://locked/audit/csv/class=a: not to W after 3 days, not removed after 9 days"
	if p.Supported || p.Differs() || len(p.Undone) != 1 || p.Undone[0] != want {
		t.Errorf("plan %+v", p)
	}
	if err := s.ApplyLifecycle(t.Context(), p, nil); err != nil {
		t.Error(err)
	}
}

// TestInspect sees what others change in a bucket.
func TestInspect(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"minio": s3test.MinIO, "versitygw": s3test.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			server.CreateBucket(t, "locked", true)
			s := open(t, "s3://locked/audit", options(t, server, sink.Compliance))
			look := func() map[string]sink.Setting {
				t.Helper()
				list, err := s.Inspect(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				m := map[string]sink.Setting{}
				for _, setting := range list {
					m[setting.Name] = setting
				}
				return m
			}
			before := look()
			for setting, want := range map[string]string{"versioning": "Enabled", "object-lock": "Enabled", "default-retention": "none", "policy": "none"} {
				if before[setting].Value != want {
					t.Errorf("%s is %+v, want %s", setting, before[setting], want)
				}
			}
			if gw := name == "versitygw"; (before["lifecycle"].Unknown != "") != gw || (before["encryption"].Unknown != "") != gw {
				t.Errorf("lifecycle %+v, encryption %+v", before["lifecycle"], before["encryption"])
			}
			mode, days, unit := minio.Governance, uint(3), minio.Days
			if err := server.Client(t).SetBucketObjectLockConfig(t.Context(), "locked", &mode, &days, &unit); err != nil {
				t.Fatal(err)
			}
			if name == "minio" {
				server.SetLifecycle(t, "locked", sink.ExpiryRule{ID: "evil", Days: 1})
			}
			policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::locked/*"]}]}`
			if err := server.Client(t).SetBucketPolicy(t.Context(), "locked", policy); err != nil {
				t.Fatal(err)
			}
			after := look()
			if after["default-retention"].Value != "GOVERNANCE, 3 days" || !strings.Contains(after["policy"].Value, "s3:GetObject") {
				t.Errorf("after the changes: %+v", after)
			}
			if name == "minio" && !strings.Contains(after["lifecycle"].Value, "Expiration.Days=1") {
				t.Errorf("lifecycle %+v", after["lifecycle"])
			}
			if again := look(); again["policy"] != after["policy"] || again["lifecycle"] != after["lifecycle"] {
				t.Errorf("without a change %+v became %+v", after, again)
			}
		})
	}
}
