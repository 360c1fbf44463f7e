package retention_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/retention"
	"daybook/sink"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	tm, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

func TestDates(t *testing.T) {
	tiers := retention.Policy{HotDays: 90, WarmDays: 365, ColdYears: 7, WarmStorage: "W", ColdStorage: "C"}
	for _, c := range []struct {
		name   string
		policy retention.Policy
		sealed string
		want   map[string]string
	}{
		{"three tiers", tiers, "2026-03-10T01:00:00Z", map[string]string{
			"warm": "2026-06-08T01:00:00Z hot_days: 90", "cold": "2027-03-10T01:00:00Z warm_days: 365", "until": "2033-03-10T01:00:00Z cold_years: 7", "deletable": "2033-03-11T00:00:00Z cold_years: 7",
		}},
		{"a leap day", tiers, "2028-02-29T00:00:00Z", map[string]string{
			"warm": "2028-05-29T00:00:00Z hot_days: 90", "cold": "2029-02-28T00:00:00Z warm_days: 365", "until": "2035-03-01T00:00:00Z cold_years: 7", "deletable": "2035-03-01T00:00:00Z cold_years: 7",
		}},
		{"a fraction of a second", retention.Policy{HotDays: 1}, "2026-03-10T23:59:59.000000001Z", map[string]string{
			"until": "2026-03-12T00:00:00Z hot_days: 1", "deletable": "2026-03-12T00:00:00Z hot_days: 1",
		}},
		{"another zone's summer time", retention.Policy{HotDays: 1}, "2026-03-29T01:59:59+01:00", map[string]string{
			"until": "2026-03-30T00:59:59Z hot_days: 1", "deletable": "2026-03-31T00:00:00Z hot_days: 1",
		}},
		{"no warm tier", retention.Policy{HotDays: 30, ColdYears: 1, ColdStorage: "C"}, "2026-03-10T00:00:00Z", map[string]string{
			"cold": "2026-04-09T00:00:00Z hot_days: 30", "until": "2027-03-10T00:00:00Z cold_years: 1", "deletable": "2027-03-10T00:00:00Z cold_years: 1",
		}},
		{"no hot tier", retention.Policy{WarmDays: 30, WarmStorage: "W"}, "2026-03-10T00:00:00Z", map[string]string{
			"warm": "2026-03-10T00:00:00Z hot_days: 0", "until": "2026-04-09T00:00:00Z warm_days: 30", "deletable": "2026-04-09T00:00:00Z warm_days: 30",
		}},
		{"no storages", retention.Policy{HotDays: 90, WarmDays: 365}, "2026-03-10T00:00:00Z", map[string]string{
			"until": "2027-03-10T00:00:00Z warm_days: 365", "deletable": "2027-03-10T00:00:00Z warm_days: 365",
		}},
		{"a try", retention.Policy{Retain: 90 * time.Second}, "2026-03-10T00:00:00.5Z", map[string]string{
			"until": "2026-03-10T00:01:31Z retain: 1m30s", "deletable": "2026-03-11T00:00:00Z retain: 1m30s",
		}},
		{"no ages", retention.Policy{}, "2026-03-10T00:00:00Z", map[string]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.policy.Dates(at(t, c.sealed))
			got := map[string]string{}
			for name, date := range map[string]*retention.Date{"warm": d.Warm, "cold": d.Cold, "until": d.Until, "deletable": d.Deletable} {
				if date != nil {
					got[name] = date.At.Format(time.RFC3339Nano) + " " + date.By
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLocks(t *testing.T) {
	sealed := at(t, "2026-03-10T01:00:00Z")
	day := func(n int) time.Time { return sealed.AddDate(0, 0, n) }
	short := retention.Policy{Class: "short", Mode: sink.Compliance, HotDays: 1}
	long := retention.Policy{Class: "long", Mode: sink.Governance, HotDays: 3}
	open := retention.Policy{Class: "open", HotDays: 9}
	for _, c := range []struct {
		name     string
		policies retention.Policies
		want     sink.Lock // of the control objects
		weakest  sink.Mode
	}{
		{"one", retention.Policies{short}, sink.Lock{Mode: sink.Compliance, RetainUntil: day(1)}, sink.Compliance},
		{"the longest and the strongest", retention.Policies{short, long}, sink.Lock{Mode: sink.Compliance, RetainUntil: day(3)}, sink.Governance},
		{"in another order", retention.Policies{long, short}, sink.Lock{Mode: sink.Compliance, RetainUntil: day(3)}, sink.Governance},
		{"one without a lock", retention.Policies{open, long}, sink.Lock{Mode: sink.Governance, RetainUntil: day(3)}, sink.None},
		{"no lock", retention.Policies{open}, sink.Lock{}, sink.None},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.policies.ControlLock(sealed); got != c.want {
				t.Errorf("control objects: %v, want %v", got, c.want)
			}
			for _, p := range c.policies {
				if !slices.Contains(c.policies.Modes(), p.Mode) {
					t.Errorf("the modes %v lack %s's", c.policies.Modes(), p.Class)
				}
			}
			if got := c.policies.Weakest(); got != c.weakest {
				t.Errorf("weakest %q, want %q", got, c.weakest)
			}
			for i := range c.policies {
				if lock := c.policies[i].Lock(sealed); !c.want.Covers(lock) {
					t.Errorf("%s: %v is not covered by %v", c.policies[i].Class, lock, c.want)
				}
			}
		})
	}
}

// Whatever the day of the seal, no object expires, by its age in whole days, before its lock ends; and not more than two days after it.
func TestLifecycleIsNeverEarlierThanTheLock(t *testing.T) {
	first := at(t, "2080-01-01T13:14:15.5Z") // 2100 has no leap day
	for years := range 12 {
		p := retention.Policy{Mode: sink.Compliance, HotDays: 3, ColdYears: years}
		days := p.Lifecycle().ExpireAfter
		if l := (retention.Policies{{}, p}).LongestDays(); l != days-1 {
			t.Errorf("%d years: the longest is %d days, and expires after %d", years, l, days)
		}
		latest := time.Duration(0)
		for n := range 366 * 24 {
			sealed := first.AddDate(0, 0, n)
			until := p.Lock(sealed).RetainUntil
			expires := sealed.AddDate(0, 0, days)
			if expires.Before(until) {
				t.Fatalf("%d years: what is sealed at %v is locked until %v, and expires at %v", years, sealed, until, expires)
			}
			latest = max(latest, until.Sub(sealed))
		}
		if slack := time.Duration(days)*24*time.Hour - latest; slack > 24*time.Hour {
			t.Errorf("%d years: the longest lock ends %v before the expiry", years, slack)
		}
	}
}

func TestLifecycle(t *testing.T) {
	for _, c := range []struct {
		policy retention.Policy
		want   retention.Lifecycle
	}{
		{retention.Policy{HotDays: 90, WarmDays: 365, ColdYears: 7, WarmStorage: "W", ColdStorage: "C"}, retention.Lifecycle{Warm: "W", WarmAfter: 90, Cold: "C", ColdAfter: 365, ExpireAfter: 2558}},
		{retention.Policy{HotDays: 90, WarmDays: 365, ColdYears: 7}, retention.Lifecycle{ExpireAfter: 2558}},
		{retention.Policy{HotDays: 90, ColdYears: 1, ColdStorage: "C"}, retention.Lifecycle{Cold: "C", ColdAfter: 90, ExpireAfter: 367}},
		{retention.Policy{WarmDays: 1, WarmStorage: "W"}, retention.Lifecycle{Warm: "W", ExpireAfter: 2}},
		{retention.Policy{Retain: time.Second}, retention.Lifecycle{ExpireAfter: 2}},
		{retention.Policy{}, retention.Lifecycle{}},
	} {
		if got := c.policy.Lifecycle(); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.policy, got, c.want)
		}
	}
}

func TestOf(t *testing.T) {
	access := retention.Policy{Class: "access", EventTypes: []string{"authentication.*", "iam:*"}}
	for _, c := range []struct {
		name        string
		policies    retention.Policies
		typ, action string
		want        string
	}{
		{"by type", retention.Policies{access, {Class: "rest", Default: true}}, "authentication.login", "login", "access"},
		{"by action", retention.Policies{access, {Class: "rest", Default: true}}, "api.write", "iam:CreateUser", "access"},
		{"the default", retention.Policies{access, {Class: "rest", Default: true}}, "api.write", "s3:GetObject", "rest"},
		{"the default comes first", retention.Policies{{Class: "rest", Default: true}, access}, "api.write", "iam:CreateUser", "access"},
		{"the default comes first, and is meant", retention.Policies{{Class: "rest", Default: true}, access}, "", "", "rest"},
		{"first match wins", retention.Policies{{Class: "all", EventTypes: []string{"*"}}, access}, "authentication.login", "login", "all"},
		{"everything, and no default", retention.Policies{access, {Class: "all", EventTypes: []string{"*"}}, {Class: "never", EventTypes: []string{"x"}}}, "", "y", "all"},
		{"nothing matches", retention.Policies{access, {Class: "last", EventTypes: []string{"x"}}}, "y", "z", "last"},
	} {
		if got := c.policies[c.policies.Of(c.typ, c.action)].Class; got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "anything", true}, {"", "", true}, {"", "a", false}, {"iam:*", "iam:", true}, {"iam:*", "iam", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*b*d", "abcd", true}, {"*b*d", "abdc", false}, {"**a", "a", true}, {"a*b*c", "aXbXbXc", true}, {"iam:*", "IAM:x", false},
	} {
		if got := retention.Match(c.pattern, c.s); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.s, got)
		}
	}
}
