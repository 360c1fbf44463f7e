package s3_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

var governance = trap{
	title:  "Governance does not hold the uploader",
	does:   "MinIO: who may set locks shortens one with the bypass header, whatever rights to bypass he has. versitygw: refused. Compliance holds on both",
	answer: "`mode` has no default; `daybook doctor` tries it as the writer, and `shorten-bypass` fails",
	test: func(w *trapWorld) {
		for _, mode := range []sink.Mode{sink.Governance, sink.Compliance} {
			s := w.as(w.user("writer-"+strings.ToLower(string(mode)), w.role(s3.Writer, s3.PolicyOptions{Modes: []sink.Mode{mode}})), mode)
			lab := s.Lab()
			key := s3.LabPrefix + string(mode)
			version, err := lab.Put(w.Context(), key, []byte("x"), s3.Attempt{Lock: sink.Lock{Mode: mode, RetainUntil: time.Now().Add(time.Hour)}})
			w.must(err)
			err = lab.Retain(w.Context(), key, version, sink.Lock{Mode: mode, RetainUntil: time.Now().Add(time.Minute)}, true)
			// It is what doctor does, whose own tests hold it to what it says then.
			w.want(string(mode)+" was shortened", err == nil, w.minio && mode == sink.Governance)
		}
	},
}

var unstamped = trap{
	title:  "The bucket's default retention is not put on objects",
	does:   "versitygw takes the setting, and locks nothing by it. MinIO does",
	answer: "Each object is put with a lock of its own, which is read back",
	test: func(w *trapWorld) {
		w.defaults(minio.Governance, 30)
		w.want("without a lock", w.mode("loose", w.lies("loose", "x", sink.None, 0)), pick(w, sink.Governance, sink.None))
		info := w.put("sealed", "x")
		w.want("what Daybook put", w.mode("sealed", info.Version), sink.Compliance)
	},
}

// defaults gives the bucket a default retention.
func (w *trapWorld) defaults(mode minio.RetentionMode, days uint) {
	w.Helper()
	unit := minio.Days
	w.must(w.raw.SetBucketObjectLockConfig(w.Context(), w.bucket, &mode, &days, &unit))
}

var weaker = trap{
	title:  "A weaker lock beats the bucket's default",
	does:   "Both take an object with a lock that is weaker and shorter than the default",
	answer: "It asks for the lock that the policy says, whatever the default, and lengthens that of an object that is there already",
	test: func(w *trapWorld) {
		w.defaults(minio.Compliance, 100)
		version := w.lies("weak", "x", sink.Governance, time.Hour)
		w.want("the weaker lock", w.mode("weak", version), sink.Governance)
		short := w.lies("short", "x", sink.Compliance, time.Minute)
		o := object("short", "x", sink.Compliance)
		info, err := w.store.Put(w.Context(), o)
		if err != nil || !info.Existed || info.Version != short || !info.Lock.Covers(o.Lock) {
			w.Errorf("put over a shorter lock: %+v, %v", info, err)
		}
		_, err = w.store.Put(w.Context(), object("weak", "other", sink.Compliance))
		wantError(w.T, err, sink.ErrConflict, "weak", "")
	},
}

var denied = trap{
	title: "A policy says less than it seems",
	does: "MinIO: a Deny of the bucket's policy does not bind a user with `s3:*` (versitygw: it does), and `s3:DeleteObject` alone deletes versions, too. " +
		"Both: `s3:PutObject` alone is refused once a lock is asked for",
	answer: "The policies of `daybook bucket policy` are the user's at MinIO, name each right, and deny deleting of versions in so many words; a right that is missing is named in the hint",
	test: func(w *trapWorld) {
		all := w.allow("s3:*")
		free := w.user("free", all)
		if w.minio {
			w.must(w.raw.SetBucketPolicy(w.Context(), w.bucket, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":["*"]},"Action":["s3:PutObject"],"Resource":["arn:aws:s3:::`+w.bucket+`/*"]}]}`))
		} else {
			w.server.Grant(w.T, free, w.bucket, []byte(strings.Replace(string(w.allow("s3:PutObject")(free.AccessKey)), "Allow", "Deny", 1)))
		}
		_, err := w.as(free, sink.Compliance).Put(w.Context(), object("denied", "x", sink.Compliance))
		w.want("put past the bucket's Deny", err == nil, w.minio)
		if w.minio {
			w.must(w.raw.SetBucketPolicy(w.Context(), w.bucket, ""))
		}

		version := w.lies("plain", "x", sink.None, 0)
		deleter := w.client(w.user("deleter", w.allow("s3:DeleteObject")))
		err = deleter.RemoveObject(w.Context(), w.bucket, "audit/plain", minio.RemoveObjectOptions{VersionID: version})
		w.want("delete a version by s3:DeleteObject alone", err == nil, w.minio)
		version = w.lies("plain2", "x", sink.None, 0)
		err = w.client(w.user("both", all, w.role(s3.Writer, s3.PolicyOptions{}))).RemoveObject(w.Context(), w.bucket, "audit/plain2", minio.RemoveObjectOptions{VersionID: version})
		w.want("a writer who may do everything, by another policy, deletes a version", err == nil, false)

		putter := w.user("putter", w.allow("s3:PutObject s3:GetObject s3:ListBucket"))
		_, err = w.as(putter, sink.Compliance).Put(w.Context(), object("put", "x", sink.Compliance))
		wantError(w.T, err, nil, "403", "s3:PutObjectRetention")
	},
}

var fractions = trap{
	title:  "Fractions of a second are cut off a lock",
	does:   "minio-go sends whole seconds, and both keep whole seconds: the lock ends earlier",
	answer: "Rounds up",
	test: func(w *trapWorld) {
		o := object("fraction", "x", sink.Compliance)
		o.Lock.RetainUntil = time.Date(2099, 3, 10, 0, 0, 0, 1, time.UTC)
		info, err := w.store.Put(w.Context(), o)
		w.must(err)
		w.want("the lock", info.Lock.RetainUntil, time.Date(2099, 3, 10, 0, 0, 1, 0, time.UTC))
		w.want("on the wire", w.puts()[0].Header.Get("X-Amz-Object-Lock-Retain-Until-Date"), "2099-03-10T00:00:01Z")
	},
}

var looseTier = trap{
	title:  "What is moved to a tier loses its lock",
	does:   "MinIO moves the data to a bucket of its own, without a lock: once it was deleted there, a COMPLIANCE object can't be read, though HEAD still shows it. versitygw has no tiers, and as one of MinIO's locks nothing",
	answer: "`bucket plan` and `apply` refuse a tier whose bucket has no default retention, or was tried and locks nothing; reading such a file fails, and `daybook verify` says so",
	test: func(w *trapWorld) {
		ages := []s3.Ages{{Prefix: "csv/class=standard/", Warm: "WARM-" + strings.ToUpper(w.server.Name()), WarmAfter: 0, ExpireAfter: 100, Mode: sink.Compliance}}
		tier := s3test.MinIO
		if !w.minio {
			tier = s3test.VersityGW
		}
		second := tier(w.T)
		second.CreateBucket(w.T, "tier", true)
		check := func(why string) {
			w.Helper()
			states := w.store.CheckTiers(w.Context(), ages, map[string]*s3.Store{ages[0].Warm: open(w.T, "s3://tier", options(w.T, second, sink.None))}, nil)
			if len(states) != 1 || states[0].Holds || !strings.Contains(states[0].Why, why) {
				w.Errorf("the tier is told as %+v, want %q", states, why)
			}
		}
		check("COMPLIANCE for 100 days is needed")
		if !w.minio {
			mode, days, unit := minio.Compliance, uint(100), minio.Days
			w.must(second.Client(w.T).SetBucketObjectLockConfig(w.Context(), "tier", &mode, &days, &unit))
			check("puts no lock on")
			return
		}
		w.server.MinIOTier(w.T, ages[0].Warm, second, "tier")
		w.must(w.store.ApplyLifecycle(w.Context(), planOf(w.T, w.store, ages...), ages)) // which the command would not
		info := w.put("csv/class=standard/a", strings.Repeat("x", 4096))
		w.await("the object to be moved", func() bool {
			return w.server.Versions(w.T, w.bucket, "audit/csv/")[0].Class == ages[0].Warm
		})
		for _, v := range second.Versions(w.T, "tier", "") {
			w.must(second.DeleteVersion(w.T, "tier", v.Key, v.ID))
		}
		if back, err := w.store.Head(w.Context(), info.Key, info.Version); err != nil || back.Lock != info.Lock {
			w.Errorf("HEAD of what was moved: %+v, %v", back, err)
		}
		r, err := w.store.Get(w.Context(), info.Key, info.Version)
		if err == nil {
			_, err = io.ReadAll(r)
			err = errors.Join(err, r.Close())
		}
		wantError(w.T, err, nil, info.Key, "")
	},
}

var expiry = trap{
	title:  "A lifecycle rule hides what is locked",
	does:   "MinIO sets a delete marker in front of a locked object whose age has come: it is gone from listings, and its version stays. versitygw has no lifecycle rules",
	answer: "Rules of `bucket apply` come after the longest lock. A marker is `ErrHidden`, and never a reason to put again; readers go by version; `daybook verify` tells the marker and the rule, `bucket plan` what a server without rules will not do",
	test: func(w *trapWorld) {
		if !w.minio {
			if _, err := w.store.Expiry(w.Context()); !errors.Is(err, sink.ErrUnknown) {
				w.Errorf("the rules of a server without: %v", err)
			}
			p := planOf(w.T, w.store, s3.Ages{Prefix: "csv/class=a/", ExpireAfter: 9})
			w.want("what will not happen", strings.Join(p.Undone, "\n"), "s3://"+w.bucket+"/audit/csv/class=a: not removed after 9 days")
			return
		}
		info := w.put("csv/day", "x")
		config := lifecycle.NewConfiguration()
		config.Rules = []lifecycle.Rule{{
			ID: "early", Status: "Enabled", RuleFilter: lifecycle.Filter{Prefix: "audit/csv/"},
			Expiration: lifecycle.Expiration{Date: lifecycle.ExpirationDate{Time: time.Now().UTC().Truncate(24 * time.Hour)}},
		}}
		w.must(w.raw.SetBucketLifecycle(w.Context(), w.bucket, config))
		w.await("the rule to hide it", func() bool { return w.count("csv/day") == 2 })
		for range 2 {
			_, err := w.store.Put(w.Context(), object("csv/day", "x", sink.Compliance))
			wantError(w.T, err, sink.ErrHidden, "csv/day", "")
		}
		if _, err := w.store.Head(w.Context(), "csv/day", ""); !errors.Is(err, sink.ErrHidden) {
			w.Errorf("HEAD of what is hidden: %v", err)
		}
		if back, err := w.store.Head(w.Context(), "csv/day", info.Version); err != nil || back.Lock != info.Lock {
			w.Errorf("by version: %+v, %v", back, err)
		}
		w.want("versions and markers", w.count("csv/day"), 2)
		rules, err := w.store.Expiry(w.Context())
		if err != nil || len(rules) != 1 || rules[0].ID != "early" || rules[0].Date.IsZero() {
			w.Errorf("the rule is told as %+v, %v", rules, err)
		}
	},
}

var copies = trap{
	title:  "A copy has no lock",
	does:   "Both: the copy of a locked object can be deleted",
	answer: "Copies nothing, and locks what it finds in the place of what it puts",
	test: func(w *trapWorld) {
		w.put("a", "x")
		info, err := w.raw.Client.CopyObject(w.Context(), minio.CopyDestOptions{Bucket: w.bucket, Object: "audit/b"}, minio.CopySrcOptions{Bucket: w.bucket, Object: "audit/a"})
		w.must(err)
		w.want("the lock of the copy", w.mode("b", info.VersionID), sink.None)
		w.wire.Took("")
		back := w.put("b", "x")
		w.want("the lock once it was put again", w.mode("b", info.VersionID), sink.Compliance)
		w.want("it was there", back.Existed && back.Version == info.VersionID, true)
		for _, r := range w.wire.Took("") {
			w.want(r.Method+" "+r.URL.String()+" copies", r.Header.Get("X-Amz-Copy-Source"), "")
		}
	},
}

var olderVersions = trap{
	title:  "The lock of an older version is not shown",
	does:   "versitygw leaves it out of the HEAD once something lies in front, and answers the call that asks for it by a name that minio-go can't read. MinIO shows it",
	answer: "Asks by that call, and reads either name: what lies in front of a file does not make it look unlocked",
	test: func(w *trapWorld) {
		info := w.put("a", "x")
		w.server.Hide(w.T, w.bucket, "audit/a")
		w.want("the lock in the HEAD", w.mode("a", info.Version), pick(w, sink.Compliance, sink.None))
		_, _, err := w.raw.GetObjectRetention(w.Context(), w.bucket, "audit/a", info.Version)
		w.want("minio-go reads the answer", err == nil, w.minio)
		verifier := w.as(w.user("verifier", w.role(s3.Verifier, s3.PolicyOptions{})), sink.None) // which `daybook verify` opens it as
		for _, s := range []*s3.Store{w.store, verifier} {
			back, err := s.Head(w.Context(), "a", info.Version)
			w.must(err)
			w.want("the lock", back.Lock, info.Lock)
		}
	},
}

// puts are the heads of what was put since the last look.
func (w *trapWorld) puts() []*http.Request {
	w.Helper()
	list := w.wire.Took(http.MethodPut)
	if len(list) == 0 {
		w.Fatal("nothing was put")
	}
	return list
}
