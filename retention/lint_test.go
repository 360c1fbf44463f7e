package retention_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/retention"
	"daybook/sink"
)

func lint(t *testing.T, policies retention.Policies, o retention.LintOptions, frameworks ...string) []string {
	t.Helper()
	for _, name := range frameworks {
		f, ok := retention.FrameworkNamed(name)
		if !ok {
			t.Fatalf("no framework %s", name)
		}
		o.Frameworks = append(o.Frameworks, f)
	}
	o.Now = at(t, "2026-11-29T12:00:00Z")
	var got []string
	for _, f := range policies.Lint(o) {
		got = append(got, fmt.Sprintf("%s %s %s%s%s", f.Level, f.Code, f.Class, f.Framework, f.Pattern))
		if f.Level != retention.Note && f.Hint == "" || f.Message == "" {
			t.Errorf("no way out: %+v", f)
		}
	}
	return got
}

func TestLint(t *testing.T) {
	kept := func(p retention.Policy) retention.Policies {
		p.Class, p.Default = "a", true
		if p.Mode == "" {
			p.Mode = sink.Governance
		}
		return retention.Policies{p}
	}
	types := func(lists ...[]string) (policies retention.Policies) {
		for i, list := range lists {
			policies = append(policies, retention.Policy{Class: string(rune('a' + i)), EventTypes: list, Mode: sink.Governance, HotDays: 10 * (len(lists) - i)})
		}
		policies[len(policies)-1].Default = true
		return policies
	}
	for _, c := range []struct {
		name       string
		policies   retention.Policies
		o          retention.LintOptions
		frameworks []string
		want       []string
	}{
		{"twelve months are 366 days", kept(retention.Policy{HotDays: 366}), retention.LintOptions{}, []string{"pci"}, nil},
		{"365 days are too few, in a leap year", kept(retention.Policy{HotDays: 365}), retention.LintOptions{}, []string{"pci"}, []string{"fault too-short apci"}},
		{"a year is enough", kept(retention.Policy{HotDays: 92, ColdYears: 1, ColdStorage: "C"}), retention.LintOptions{}, []string{"pci"}, nil},
		{"cold too early", kept(retention.Policy{HotDays: 91, ColdYears: 1, ColdStorage: "C"}), retention.LintOptions{}, []string{"pci"}, []string{"fault not-at-hand apci"}},
		{"cold in name alone", kept(retention.Policy{HotDays: 1, ColdYears: 1}), retention.LintOptions{}, []string{"pci"}, []string{"note no-move a"}},
		{"warm is at hand", kept(retention.Policy{HotDays: 1, WarmDays: 92, WarmStorage: "W", ColdYears: 1, ColdStorage: "C"}), retention.LintOptions{}, []string{"pci"}, nil},
		{"too long", kept(retention.Policy{HotDays: 367}), retention.LintOptions{}, []string{"gdpr-min"}, []string{"fault too-long agdpr-min"}},
		{"a year is not too long, whatever the day", kept(retention.Policy{HotDays: 1, ColdYears: 1, ColdStorage: "C"}), retention.LintOptions{}, []string{"gdpr-min"}, nil},
		{"six months are 184 days", kept(retention.Policy{HotDays: 183}), retention.LintOptions{}, []string{"gdpr-min"}, []string{"fault too-short agdpr-min"}},
		{"a preset is a framework", kept(retention.Policy{Preset: "hipaa", HotDays: 90, ColdYears: 5, ColdStorage: "C"}), retention.LintOptions{}, nil, []string{"fault too-short ahipaa"}},
		{"once", kept(retention.Policy{Preset: "hipaa", HotDays: 90}), retention.LintOptions{}, []string{"hipaa"}, []string{"fault too-short ahipaa"}},
		{"the record's own period", kept(retention.Policy{HotDays: 90}), retention.LintOptions{}, []string{"gxp"}, []string{"note no-period agxp"}},
		{"no lock", retention.Policies{{Class: "a", Default: true, HotDays: 4000}}, retention.LintOptions{}, []string{"pci"}, []string{"fault not-locked apci"}},
		{"no ages", kept(retention.Policy{}), retention.LintOptions{}, []string{"gxp"}, []string{"note no-period agxp", "fault not-locked agxp"}},
		{"frameworks that exclude each other", kept(retention.Policy{HotDays: 2200}), retention.LintOptions{}, []string{"gdpr-min", "hipaa"}, []string{"fault too-long agdpr-min", "warning conflict hipaa"}},
		{"the ceiling", kept(retention.Policy{Mode: sink.Compliance, HotDays: 1, ColdYears: 10, ColdStorage: "C"}), retention.LintOptions{Ceiling: 10}, nil, nil},
		{"beyond the ceiling", kept(retention.Policy{Mode: sink.Compliance, HotDays: 1, ColdYears: 11, ColdStorage: "C"}), retention.LintOptions{Ceiling: 10}, nil, []string{"fault compliance-ceiling a"}},
		{"governance has no ceiling", kept(retention.Policy{HotDays: 1, ColdYears: 11, ColdStorage: "C"}), retention.LintOptions{Ceiling: 10}, nil, nil},

		{"shadowed", types([]string{"iam:*", "x"}, []string{"iam:Create*", "y", "x"}), retention.LintOptions{}, nil, []string{"warning shadowed biam:Create*", "warning shadowed bx"}},
		{"everything first", types([]string{"*"}, []string{"y"}), retention.LintOptions{}, nil, []string{"warning shadowed by"}},
		{"not shadowed", types([]string{"iam:?*", "a*b"}, []string{"iam:*", "a*", "*b"}), retention.LintOptions{}, nil, nil},
		{"redundant", types([]string{"iam:Create*", "iam:*", "?*", "*?"}), retention.LintOptions{}, nil, []string{"note redundant aiam:Create*", "note redundant aiam:*", "note redundant a*?"}},
		{"history", types([]string{"iam:*", "IAM:*"}, []string{"auth.*"}), retention.LintOptions{History: []retention.Seen{{"auth.login", "Login", 3}, {"api", "iam:x", 2}}}, nil, []string{"warning no-match aIAM:*"}},
		{"no history", types([]string{"iam:*"}), retention.LintOptions{History: []retention.Seen{}}, nil, []string{"warning no-match aiam:*"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, lint(t, c.policies, c.o, c.frameworks...)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLintShorterWins(t *testing.T) {
	policies := retention.Policies{
		{Class: "api", EventTypes: []string{"api.*"}, Mode: sink.Governance, HotDays: 90},
		{Class: "iam", EventTypes: []string{"iam:*"}, Mode: sink.Governance, HotDays: 400},
		{Class: "rest", Default: true, Mode: sink.Governance, HotDays: 4000},
	}
	seen := []retention.Seen{{"api.write", "iam:CreateUser", 2}, {"api.write", "s3:PutObject", 7}, {"api.read", "iam:GetUser", 3}, {"x", "iam:y", 1}}
	want := []string{"warning shorter-wins api"}
	if diff := cmp.Diff(want, lint(t, policies, retention.LintOptions{History: seen})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	findings := policies.Lint(retention.LintOptions{History: seen, Now: at(t, "2026-11-29T12:00:00Z")})
	if want := "5 events such as api.write iam:CreateUser match class iam as well, which is kept longer"; findings[0].Message != want {
		t.Errorf("%q, want %q", findings[0].Message, want)
	}
	policies[0], policies[1] = policies[1], policies[0]
	if got := lint(t, policies, retention.LintOptions{History: seen}); got != nil {
		t.Errorf("the longer first: %v", got)
	}
}

// What a preset fills in meets its own framework.
func TestPresetsMeetTheirFrameworks(t *testing.T) {
	for _, f := range retention.Frameworks() {
		p := retention.Policy{
			Class: "a", Default: true, Mode: sink.Compliance, Preset: f.Name, HotDays: f.Ages.HotDays, WarmDays: f.Ages.WarmDays, ColdYears: f.Ages.ColdYears, ColdStorage: "C", WarmStorage: "W",
		}
		var want []string
		if f.NoPeriod {
			want = []string{"note no-period a" + f.Name}
		}
		if diff := cmp.Diff(want, lint(t, retention.Policies{p}, retention.LintOptions{Ceiling: 10})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}
}

// Where lint says that one pattern matches all that another does, it does.
func FuzzShadow(f *testing.F) {
	f.Add("iam:*", "iam:Create*", "iam:CreateUser")
	f.Add("?*", "*", "")
	f.Add("*a?b*", "*?ab*", "xab")
	f.Fuzz(func(t *testing.T, wide, narrow, s string) {
		policies := retention.Policies{{Class: "w", EventTypes: []string{wide}}, {Class: "n", EventTypes: []string{narrow}}, {Class: "d", Default: true}}
		for _, finding := range policies.Lint(retention.LintOptions{Now: at(t, "2026-11-29T12:00:00Z")}) {
			if finding.Code == retention.Shadowed && retention.Match(narrow, s) && !retention.Match(wide, s) {
				t.Errorf("%q is said to match all that %q does, but not %q", wide, narrow, s)
			}
		}
	})
}
