package s3_test

import (
	"strings"
	"testing"

	"daybook/sink"
	"daybook/sink/s3"
)

// TestTierNamedAsClass asks the bucket of a tier of MinIO that bears the name of a class of AWS, and takes such a name for a class at AWS alone.
func TestTierNamedAsClass(t *testing.T) {
	t.Parallel()
	loose := newFake(t)
	elsewhere := open(t, "s3://bucket", loose.options(t, sink.Compliance))
	aws := open(t, "s3://bucket", &s3.Options{Mode: sink.Compliance, Endpoint: "https://s3.eu-west-1.amazonaws.com", Region: "eu-west-1"})
	china := open(t, "s3://bucket", &s3.Options{Mode: sink.Compliance, Endpoint: "https://s3.cn-north-1.amazonaws.com.cn", Region: "cn-north-1"})
	known := map[string]*s3.Store{"GLACIER": open(t, "s3://bucket", loose.options(t, sink.None))}
	for _, c := range []struct {
		name  string
		store *s3.Store
		tiers map[string]*s3.Store
		trust []string
		why   string
	}{
		{name: "a class of AWS", store: aws},
		{name: "a class of AWS in China", store: china},
		{name: "a tier that is named, and loose", store: elsewhere, tiers: known, why: "0 days, and COMPLIANCE for 8 days is needed"},
		{name: "the same at AWS", store: aws, tiers: known, why: "0 days, and COMPLIANCE for 8 days is needed"},
		{name: "a tier that is not named", store: elsewhere, why: "is not known"},
		{name: "one that is vouched for", store: elsewhere, trust: []string{"GLACIER"}},
	} {
		states := c.store.CheckTiers(t.Context(), []s3.Ages{{Cold: "GLACIER", ColdAfter: 1, ExpireAfter: 9, Mode: sink.Compliance}}, c.tiers, c.trust)
		if len(states) != 1 || states[0].Holds != (c.why == "") || !strings.Contains(states[0].Why, c.why) {
			t.Errorf("%s: %+v, want %q", c.name, states, c.why)
		}
	}
}
