package s3test_test

import (
	"testing"
	"time"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3test"
	"daybook/sink/sinktest"
)

// TestTampering does to real servers what an attacker with the root user's credentials does, and finds what holds against him.
func TestTampering(t *testing.T) {
	effort.NeedsLong(t)
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			if s.CAFile == "" && s.Name() == "versitygw" {
				t.Skip("it takes no checksum over plain http")
			}
			s.CreateBucket(t, "locked", true)
			now := time.Now().UTC().Truncate(time.Second)
			long, short := now.Add(48*time.Hour), now.Add(time.Hour)
			from := sinktest.NewMemory(t, nil)
			for _, key := range []string{"gov", "comp", "none"} {
				from.Overwrite(key, []byte("sealed "+key), sink.Lock{})
			}
			modes := map[string]sink.Mode{"gov": sink.Governance, "comp": sink.Compliance}
			s.Fill(t, "locked", "audit/", from, func(info sink.Info) sink.Lock {
				if modes[info.Key] == sink.None {
					return sink.Lock{}
				}
				return sink.Lock{Mode: modes[info.Key], RetainUntil: long}
			})
			id := make(map[string]string)
			for _, v := range s.Versions(t, "locked", "") {
				id[v.Key] = v.ID
				if got := s.Read(t, "locked", v.Key); string(got) != "sealed "+v.Key[len("audit/"):] {
					t.Errorf("%s holds %q", v.Key, got)
				}
			}
			if len(id) != 3 {
				t.Fatalf("versions %v", id)
			}
			lock := func(key string) sink.Lock {
				mode, until := s.Lock(t, "locked", s3test.Version{Key: key, ID: id[key]})
				return sink.Lock{Mode: sink.Mode(mode), RetainUntil: until}
			}
			wantLock := func(key string, want sink.Lock) {
				t.Helper()
				if got := lock(key); got.Mode != want.Mode || !got.RetainUntil.Equal(want.RetainUntil) {
					t.Errorf("lock of %s: %v, want %v", key, got, want)
				}
			}
			wantLock("audit/gov", sink.Lock{Mode: sink.Governance, RetainUntil: long})
			wantLock("audit/comp", sink.Lock{Mode: sink.Compliance, RetainUntil: long})
			wantLock("audit/none", sink.Lock{})

			if err := s.SetLock(t, "locked", "audit/gov", id["audit/gov"], sink.Lock{Mode: sink.Governance, RetainUntil: short}); err != nil {
				t.Errorf("shorten a Governance lock: %v", err)
			}
			wantLock("audit/gov", sink.Lock{Mode: sink.Governance, RetainUntil: short})
			for _, weaker := range []sink.Lock{{Mode: sink.Compliance, RetainUntil: short}, {Mode: sink.Governance, RetainUntil: long}, {}} {
				if err := s.SetLock(t, "locked", "audit/comp", id["audit/comp"], weaker); err == nil {
					t.Errorf("a Compliance lock was made %v", weaker)
				}
			}
			wantLock("audit/comp", sink.Lock{Mode: sink.Compliance, RetainUntil: long})
			if err := s.DeleteVersion(t, "locked", "audit/comp", id["audit/comp"]); err == nil {
				t.Error("a version under Compliance was deleted")
			}

			if newer := s.Overwrite(t, "locked", "audit/comp", []byte("forged"), sink.Lock{Mode: sink.Governance, RetainUntil: short}); newer == id["audit/comp"] {
				t.Errorf("no new version: %s", newer)
			}
			if got := s.Read(t, "locked", "audit/comp"); string(got) != "forged" {
				t.Errorf("newest version holds %q", got)
			}
			s.Hide(t, "locked", "audit/gov")
			if got := s.Read(t, "locked", "audit/gov"); got != nil {
				t.Errorf("a hidden object holds %q", got)
			}
			if err := s.DeleteVersion(t, "locked", "audit/gov", id["audit/gov"]); err != nil {
				t.Errorf("delete past Governance: %v", err)
			}
			if all := s.Versions(t, "locked", "audit/gov"); len(all) != 1 || !all[0].DeleteMarker {
				t.Errorf("versions left: %+v", all)
			}
			if s.Name() == "minio" {
				if err := s.SetLock(t, "locked", "audit/comp", s.Versions(t, "locked", "audit/comp")[0].ID, sink.Lock{}); err != nil {
					t.Errorf("take a Governance lock away: %v", err)
				}
				s.SetLifecycle(t, "locked", sink.ExpiryRule{ID: "r", Prefix: "audit/", Days: 1})
				s.SetLifecycle(t, "locked")
				if _, err := s.Client(t).GetBucketLifecycle(t.Context(), "locked"); err == nil {
					t.Error("no lifecycle rule, and yet a configuration")
				}
			}
		})
	}
}
