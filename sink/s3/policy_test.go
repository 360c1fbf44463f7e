package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/lifecycle"
	"github.com/minio/minio-go/v7/pkg/tags"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

// deed is what somebody may try in a bucket.
type deed func(t *testing.T, c *minio.Core, s *s3.Store) error

// rawPut puts an object as no Daybook would: without a condition, and with whatever lock.
func rawPut(t *testing.T, c *minio.Core, key string, mode minio.RetentionMode, retain time.Duration) error {
	t.Helper()
	body := []byte("x")
	sum := sha256.Sum256(body)
	opts := minio.PutObjectOptions{
		Mode: mode, DisableContentSha256: true, UserMetadata: map[string]string{"x-amz-checksum-sha256": base64.StdEncoding.EncodeToString(sum[:])},
	}
	if mode != "" {
		opts.RetainUntilDate = time.Now().Add(retain).UTC().Truncate(time.Second)
	}
	_, err := c.PutObject(t.Context(), "locked", key, bytes.NewReader(body), 1, "", hex.EncodeToString(sum[:]), opts)
	return err
}

// deeds are tried in a bucket in which the root user has put audit/sealed (COMPLIANCE) and audit/weak (GOVERNANCE), and other/secret.
func deeds(sealed, weak string) map[string]deed {
	governance := minio.Governance
	return map[string]deed{
		"preflight": func(t *testing.T, _ *minio.Core, s *s3.Store) error { return s.Preflight(t.Context()) },
		"seal": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			_, err := s.Put(t.Context(), object("day", "x", sink.Compliance))
			return err
		},
		"lengthen a lock": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			o := object("sealed", "x", sink.Compliance)
			o.Lock.RetainUntil = time.Now().Add(3 * time.Hour)
			_, err := s.Put(t.Context(), o)
			return err
		},
		"put without a lock": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return rawPut(t, c, "audit/unlocked", "", 0)
		},
		"put in another mode": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return rawPut(t, c, "audit/governed", minio.Governance, time.Minute)
		},
		"lock for years": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return rawPut(t, c, "audit/years", minio.Compliance, 400*24*time.Hour)
		},
		"put elsewhere": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return rawPut(t, c, "other/mine", minio.Compliance, time.Minute)
		},
		"read": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			r, err := s.Get(t.Context(), "sealed", "")
			if err == nil {
				err = r.Close()
			}
			return err
		},
		"read a version": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			r, err := s.Get(t.Context(), "sealed", sealed)
			if err == nil {
				err = r.Close()
			}
			return err
		},
		"read elsewhere": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			_, err := c.StatObject(t.Context(), "locked", "other/secret", minio.StatObjectOptions{})
			return err
		},
		"see a lock": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			_, _, err := c.GetObjectRetention(t.Context(), "locked", "audit/sealed", sealed)
			if err != nil && strings.Contains(err.Error(), "ObjectLockRetention") {
				return nil // it was answered, in versitygw's own words
			}
			return err
		},
		"list": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			_, err := untilError(s.List(t.Context(), ""))
			return err
		},
		"list elsewhere": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			_, err := c.ListObjectsV2("locked", "other/", "", "", "", 10)
			return err
		},
		"list versions": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			_, err := untilError(s.Versions(t.Context(), ""))
			return err
		},
		"hide": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return c.RemoveObject(t.Context(), "locked", "audit/weak", minio.RemoveObjectOptions{})
		},
		"delete a version": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return c.RemoveObject(t.Context(), "locked", "audit/weak", minio.RemoveObjectOptions{VersionID: weak})
		},
		"delete a version past its lock": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return c.RemoveObject(t.Context(), "locked", "audit/weak", minio.RemoveObjectOptions{VersionID: weak, GovernanceBypass: true})
		},
		"shorten a lock past it": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			until := time.Now().Add(time.Minute)
			return c.PutObjectRetention(t.Context(), "locked", "audit/weak", minio.PutObjectRetentionOptions{
				VersionID: weak, GovernanceBypass: true, Mode: &governance, RetainUntilDate: &until,
			})
		},
		"hold": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			on := minio.LegalHoldEnabled
			return c.PutObjectLegalHold(t.Context(), "locked", "audit/weak", minio.PutObjectLegalHoldOptions{VersionID: weak, Status: &on})
		},
		"put with a hold": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			o := object("held", "x", sink.Compliance)
			o.Hold = true
			_, err := s.Put(t.Context(), o)
			return err
		},
		"tag": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			set, err := tags.NewTags(map[string]string{"a": "b"}, true)
			if err != nil {
				t.Fatal(err)
			}
			return c.PutObjectTagging(t.Context(), "locked", "audit/weak", set, minio.PutObjectTaggingOptions{VersionID: weak})
		},
		"read the lifecycle": func(t *testing.T, _ *minio.Core, s *s3.Store) error {
			_, err := s.Expiry(t.Context())
			return err
		},
		"set a lifecycle": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			config := lifecycle.NewConfiguration()
			config.Rules = []lifecycle.Rule{{ID: "mine", Status: "Enabled", Expiration: lifecycle.Expiration{Days: 1}}}
			return c.SetBucketLifecycle(t.Context(), "locked", config)
		},
		"suspend versions": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return c.SuspendVersioning(t.Context(), "locked")
		},
		"set a default": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			mode, days, unit := minio.Governance, uint(1), minio.Days
			return c.SetBucketObjectLockConfig(t.Context(), "locked", &mode, &days, &unit)
		},
		"set a policy": func(t *testing.T, c *minio.Core, _ *s3.Store) error {
			return c.SetBucketPolicy(t.Context(), "locked", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::locked/*"]}]}`)
		},
		"remove the bucket": func(t *testing.T, c *minio.Core, _ *s3.Store) error { return c.RemoveBucket(t.Context(), "locked") },
	}
}

// TestPolicies has users of each role try everything, and holds what they can do to what the role is for.
func TestPolicies(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	writer := []string{"preflight", "seal", "lengthen a lock", "read", "read a version", "see a lock", "list", "list versions", "read the lifecycle"}
	for _, c := range []struct {
		name string
		role s3.Role
		opts s3.PolicyOptions
		can  []string
		// too is what a server allows beside it: versitygw knows no conditions of locks; MinIO does not hold a bypass to a right of its own, nor a PUT to a
		// number of days, and takes the right to list for that to list versions.
		too map[s3.Server][]string
	}{
		{
			name: "writer", role: s3.Writer, opts: s3.PolicyOptions{Modes: []sink.Mode{sink.Compliance}, MaxDays: 366},
			can: writer, too: map[s3.Server][]string{s3.VersityGW: {"put without a lock", "put in another mode", "lock for years"}, s3.MinIO: {"lock for years"}},
		},
		{
			name: "holder", role: s3.Writer, opts: s3.PolicyOptions{Holds: true}, can: append([]string{"hold", "put with a hold", "put in another mode", "lock for years"}, writer...),
			too: map[s3.Server][]string{s3.VersityGW: {"put without a lock"}, s3.MinIO: {"shorten a lock past it"}},
		},
		{
			name: "unlocked", role: s3.Writer, opts: s3.PolicyOptions{Modes: []sink.Mode{sink.None}},
			can: append([]string{"put without a lock", "put in another mode", "lock for years"}, writer...), too: map[s3.Server][]string{s3.MinIO: {"shorten a lock past it"}},
		},
		{name: "reader", role: s3.Reader, can: []string{"read", "read a version", "list"}, too: map[s3.Server][]string{s3.MinIO: {"list versions"}}},
		{name: "verifier", role: s3.Verifier, can: []string{"preflight", "read", "read a version", "see a lock", "list", "list versions", "read the lifecycle"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for name, start := range map[string]func(testing.TB) *s3test.Server{"minio": s3test.MinIO, "versitygw": s3test.VersityGW} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					server := start(t)
					server.CreateBucket(t, "locked", true)
					lock := func(mode sink.Mode) sink.Lock {
						return sink.Lock{Mode: mode, RetainUntil: time.Now().Add(2 * time.Hour)}
					}
					sealed := server.Overwrite(t, "locked", "audit/sealed", []byte("x"), lock(sink.Compliance))
					weak := server.Overwrite(t, "locked", "audit/weak", []byte("x"), lock(sink.Governance))
					server.Overwrite(t, "locked", "other/secret", []byte("x"), sink.Lock{})

					user := server.AddUser(t, c.name)
					opts := c.opts
					opts.Server = s3.Server(name)
					if opts.Server == s3.VersityGW {
						opts.Principal = user.AccessKey
					}
					policy, err := s3.Policy("s3://locked/audit", c.role, &opts)
					if err != nil {
						t.Fatal(err)
					}
					server.Grant(t, user, "locked", policy)

					as := options(t, server, sink.Compliance)
					as.AccessKeyFile, as.SecretKeyFile = keyFiles(t, user.AccessKey, user.SecretKey)
					store := open(t, "s3://locked/audit", as)
					client, err := minio.NewCore(server.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(user.AccessKey, user.SecretKey, ""), Region: server.Region, MaxRetries: 1})
					if err != nil {
						t.Fatal(err)
					}
					want := append(slices.Clone(c.can), c.too[opts.Server]...)
					if opts.Server == s3.VersityGW {
						want = slices.DeleteFunc(want, func(s string) bool { return s == "read the lifecycle" }) // it has none
					}
					slices.Sort(want)
					var can []string
					all := deeds(sealed, weak)
					for _, name := range slices.Sorted(maps.Keys(all)) {
						if err := all[name](t, client, store); err == nil {
							can = append(can, name)
						} else {
							t.Logf("%s: %v", name, err)
						}
					}
					if diff := cmp.Diff(want, can); diff != "" {
						t.Errorf("what the %s can do (-want +got):\n%s", c.name, diff)
					}
				})
			}
		})
	}
}

func TestPolicyText(t *testing.T) {
	text, err := s3.Policy("s3://audit-logs/prod/", s3.Writer, &s3.PolicyOptions{MaxDays: 2556, KMSKey: "arn:aws:kms:eu-west-1:111122223333:key/k", Principal: "arn:aws:iam::111122223333:user/daybook"})
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Version   string
		Statement []struct {
			Sid, Effect      string
			Principal        map[string]string
			Action, Resource []string
			Condition        map[string]map[string]any
		}
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	conditions := map[string]map[string]map[string]any{}
	for _, s := range p.Statement {
		if s.Principal["AWS"] == "" || len(s.Action) == 0 || len(s.Resource) != 1 {
			t.Errorf("statement %+v", s)
		}
		if r := s.Resource[0]; s.Sid != "Key" && r != "arn:aws:s3:::audit-logs" && r != "arn:aws:s3:::audit-logs/prod/*" {
			t.Errorf("%s is for %s", s.Sid, r)
		}
		if s.Condition != nil {
			conditions[s.Sid] = s.Condition
		}
	}
	want := map[string]map[string]map[string]any{
		"List":             {"StringLikeIfExists": {"s3:prefix": []any{"prod/*"}}},
		"OverwriteNothing": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
		"LockEverything":   {"StringNotEquals": {"s3:object-lock-mode": []any{"COMPLIANCE", "GOVERNANCE"}}},
		"Lock":             {"StringEquals": {"s3:object-lock-mode": []any{"COMPLIANCE", "GOVERNANCE"}}},
		"UnlockNothing":    {"StringNotEquals": {"s3:object-lock-mode": []any{"COMPLIANCE", "GOVERNANCE"}}},
		"LockNotForEver":   {"NumericGreaterThan": {"s3:object-lock-remaining-retention-days": "2556"}},
	}
	if diff := cmp.Diff(want, conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestPolicyRefused(t *testing.T) {
	for _, c := range []struct {
		url  string
		role s3.Role
		opts s3.PolicyOptions
		text string
	}{
		{"file:///a", s3.Reader, s3.PolicyOptions{}, "s3://bucket/prefix"},
		{"s3://locked", "owner", s3.PolicyOptions{}, "role"},
		{"s3://locked", s3.Reader, s3.PolicyOptions{Server: "ceph"}, "server"},
		{"s3://locked/a*", s3.Reader, s3.PolicyOptions{}, "wildcard"},
		{"s3://locked", s3.Reader, s3.PolicyOptions{Server: s3.VersityGW}, "only of buckets"},
		{"s3://locked", s3.Reader, s3.PolicyOptions{Server: s3.MinIO, KMSKey: "k"}, "KMS"},
		{"s3://locked", s3.Writer, s3.PolicyOptions{MaxDays: -1}, "days"},
		{"s3://locked", s3.Reader, s3.PolicyOptions{Holds: true}, "holds"},
		{"s3://locked", s3.Writer, s3.PolicyOptions{Restore: true}, "restoring"},
	} {
		if _, err := s3.Policy(c.url, c.role, &c.opts); err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s %s %+v: %v, want %q", c.url, c.role, c.opts, err, c.text)
		}
	}
}
