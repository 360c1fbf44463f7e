package s3_test

import (
	"strings"
	"testing"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
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

// TestTierTried believes no default retention before an object was locked by it.
func TestTierTried(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"minio": s3test.MinIO, "versitygw": s3test.VersityGW} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			server.CreateBucket(t, "locked", true)
			store := open(t, "s3://locked", options(t, server, sink.Compliance))
			ages := []s3.Ages{{Warm: "WARM", WarmAfter: 20, ExpireAfter: 120, Mode: sink.Compliance}}
			check := func(opts *s3.Options, why, hint string) {
				t.Helper()
				states := store.CheckTiers(t.Context(), ages, map[string]*s3.Store{"WARM": open(t, "s3://warm/moved", opts)}, nil)
				if len(states) != 1 || states[0].Holds != (why == "") || !strings.Contains(states[0].Why, why) || !strings.Contains(states[0].Hint, hint) {
					t.Errorf("%+v, want %q and %q", states, why, hint)
				}
			}
			if _, err := s3.CreateBucket(t.Context(), "s3://warm", s3.Bucket{Mode: sink.Compliance, Days: 100}, options(t, server, sink.Compliance)); err != nil {
				t.Fatal(err)
			}
			user := server.AddUser(t, "looker")
			server.Grant(t, user, "warm", lookerPolicy(name))
			looker := options(t, server, sink.None)
			looker.AccessKeyFile, looker.SecretKeyFile = keyFiles(t, user.AccessKey, user.SecretKey)
			check(looker, "can't be tried", "s3:PutObject")
			if name == "versitygw" {
				check(options(t, server, sink.None), "puts no lock on", "--trust-tier WARM")
				return
			}
			check(options(t, server, sink.None), "", "")
			check(options(t, server, sink.None), "", "")
			if tried := server.Versions(t, "warm", "moved/"+s3.LabPrefix); len(tried) != 1 {
				t.Errorf("there are %v: what was locked once is enough", tried)
			}
		})
	}
}

// lookerPolicy lets the user looker read how the bucket warm is set up, and put nothing there.
func lookerPolicy(server string) []byte {
	principal := ""
	if server == "versitygw" {
		principal = `"Principal":{"AWS":["looker"]},`
	}
	return []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + principal + `
		"Action":["s3:GetBucketObjectLockConfiguration","s3:ListBucket"],"Resource":["arn:aws:s3:::warm"]}]}`)
}
