package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/config"
	"daybook/retention"
)

// A preset stands for the ages that are not written, and for nothing else.
func TestPresets(t *testing.T) {
	c, err := config.Parse("f.yaml", []byte(`
store:
  url: s3://bucket
  mode: governance
  retention_policies:
    - {class: hipaa, event_types: [a], preset: hipaa}
    - {class: longer, event_types: [b], preset: hipaa, cold_years: 10}
    - {class: flat, event_types: [c], preset: hipaa, hot_days: 0, warm_days: 0}
    - {class: record, event_types: [d], preset: gxp, cold_years: 15, mode: compliance}
    - {class: rest, default: true, preset: gdpr-min}
`))
	if err != nil {
		t.Fatal(err)
	}
	type ages struct {
		Hot, Warm, Cold int
		Mode            string
	}
	got := map[string]ages{}
	for _, p := range c.Store.RetentionPolicies {
		got[p.Class] = ages{p.HotDays, p.WarmDays, p.ColdYears, p.Mode}
	}
	hipaa, _ := retention.FrameworkNamed("hipaa")
	gxp, _ := retention.FrameworkNamed("gxp")
	gdpr, _ := retention.FrameworkNamed("gdpr-min")
	want := map[string]ages{
		"hipaa":  {hipaa.Ages.HotDays, hipaa.Ages.WarmDays, hipaa.Ages.ColdYears, ""},
		"longer": {hipaa.Ages.HotDays, hipaa.Ages.WarmDays, 10, ""},
		"flat":   {0, 0, hipaa.Ages.ColdYears, ""},
		"record": {gxp.Ages.HotDays, gxp.Ages.WarmDays, 15, "compliance"},
		"rest":   {gdpr.Ages.HotDays, 0, 0, ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.Validate(); err != nil {
		t.Errorf("what a preset fills in is at fault: %v", err)
	}
}

// Every framework is a preset, and the other way round; and its ages are right by themselves, but for those that it leaves to the reader.
func TestEveryFrameworkIsAPreset(t *testing.T) {
	var names []string
	for _, f := range retention.Frameworks() {
		names = append(names, f.Name)
		_, err := config.Parse("", []byte("store: {url: 's3://bucket', mode: compliance, retention_policies: [{class: a, default: true, preset: "+f.Name+"}]}"))
		if f.NoPeriod != (err != nil) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if _, err := config.Parse("", []byte("store: {retention_policies: [{class: a, default: true, preset: none}]}")); err == nil || !strings.Contains(err.Error(), "one of "+strings.Join(names, ", ")) {
		t.Errorf("the presets are not %v: %v", names, err)
	}
}
