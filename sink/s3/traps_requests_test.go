package s3_test

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"

	"daybook/sink"
	"daybook/sink/s3"
	"daybook/sink/s3test"
)

var multipart = trap{
	title:  "An upload in parts writes over what is there",
	does:   "minio-go leaves `If-None-Match` out of the request that completes an upload. MinIO looks at it when the upload begins, versitygw never",
	answer: "Each object is one PUT of at most 5 GB, with the condition on it",
	test: func(w *trapWorld) {
		w.lies("parts", "sealed", sink.Compliance, time.Hour)
		opts := minio.PutObjectOptions{PartSize: 5 << 20, SendContentMd5: true}
		opts.SetMatchETagExcept("*")
		big := bytes.Repeat([]byte("x"), 6<<20)
		_, err := w.raw.Client.PutObject(w.Context(), w.bucket, "audit/parts", bytes.NewReader(big), -1, opts)
		w.want("an upload in parts, on condition that nothing is there, was taken", err == nil, !w.minio)
		w.wire.Took("")
		w.put("whole", string(big))
		w.want("uploads in parts", len(w.wire.Took(http.MethodPost)), 0)
		list := w.puts()
		w.want("PUTs", len(list), 1)
		w.want("their condition", list[0].Header.Get("If-None-Match"), "*")
		_, err = w.store.Put(w.Context(), object("whole", "other", sink.Compliance))
		wantError(w.T, err, sink.ErrConflict, "whole", "")
		w.want("versions", w.count("whole"), 1)
	},
}

var droppedTags = trap{
	title:  "Tags are dropped silently, and can be changed",
	does:   "minio-go sends none of 11 tags, and says nothing. Both let the tags of a locked version be changed",
	answer: "Sends no tags; lifecycle rules go by prefix alone",
	test: func(w *trapWorld) {
		many := map[string]string{}
		for i := range 11 {
			many[fmt.Sprint("tag", i)] = "x"
		}
		_, err := w.raw.Client.PutObject(w.Context(), w.bucket, "audit/tagged", strings.NewReader("x"), 1, minio.PutObjectOptions{UserTags: many})
		w.must(err)
		w.want("tags on the wire", w.puts()[0].Header.Get("X-Amz-Tagging"), "")
		info := w.put("csv/a", "x")
		w.want("Daybook's tags", w.puts()[0].Header.Get("X-Amz-Tagging"), "")
		set, err := tags.NewTags(map[string]string{"a": "b"}, true)
		w.must(err)
		w.must(w.raw.PutObjectTagging(w.Context(), w.bucket, "audit/csv/a", set, minio.PutObjectTaggingOptions{VersionID: info.Version}))
		if w.minio {
			ages := []s3.Ages{{Prefix: "csv/", ExpireAfter: 9, Mode: sink.Compliance}}
			w.must(w.store.ApplyLifecycle(w.Context(), planOf(w.T, w.store, ages...), ages))
			config, err := w.raw.GetBucketLifecycle(w.Context(), w.bucket)
			w.must(err)
			for _, r := range config.Rules {
				if !r.RuleFilter.Tag.IsEmpty() || len(r.RuleFilter.And.Tags) > 0 || r.RuleFilter.Prefix == "" {
					w.Errorf("rule %+v", r)
				}
			}
		}
	},
}

var unchecked = trap{
	title:  "A locked PUT without a checksum is taken",
	does:   "minio-go sends neither `Content-MD5` nor a checksum by default, and both take it; AWS refuses it",
	answer: "Sends the SHA-256, signed, of the whole body; holds the server to it by reading it back; and sends no content encoding, since servers store what a signature in chunks adds to it",
	test: func(w *trapWorld) {
		_, err := w.raw.Client.PutObject(w.Context(), w.bucket, "audit/unchecked", strings.NewReader("x"), 1, minio.PutObjectOptions{
			Mode: minio.Compliance, RetainUntilDate: time.Now().Add(time.Minute),
		})
		w.must(err)
		for name := range w.puts()[0].Header {
			if name == "Content-Md5" || regexp.MustCompile("^X-Amz-(Sdk-)?Checksum|^X-Amz-Trailer").MatchString(name) {
				w.Errorf("minio-go sends %s now: the trap is no more", name)
			}
		}
		o := object("checked.gz", "\x1f\x8bx", sink.Compliance)
		o.ContentType = "application/gzip"
		info, err := w.store.Put(w.Context(), o)
		w.must(err)
		put := w.puts()[0]
		for name, want := range map[string]string{
			"If-None-Match": "*", "X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(o.SHA256[:]), "X-Amz-Content-Sha256": fmt.Sprintf("%x", o.SHA256),
			"X-Amz-Object-Lock-Mode": "COMPLIANCE", "X-Amz-Object-Lock-Retain-Until-Date": info.Lock.RetainUntil.Format(time.RFC3339),
			"Content-Encoding": "", "X-Amz-Trailer": "", "X-Amz-Storage-Class": "", "X-Amz-Bypass-Governance-Retention": "",
		} {
			w.want("header "+name, put.Header.Get(name), want)
			if want != "" && !slices.Contains(strings.FieldsFunc(put.Header.Get("Authorization"), func(r rune) bool { return strings.ContainsRune(";=, ", r) }), strings.ToLower(name)) {
				w.Errorf("header %s is not signed", name)
			}
		}
		stat, err := w.raw.Client.StatObject(w.Context(), w.bucket, "audit/checked.gz", minio.StatObjectOptions{Checksum: true})
		w.must(err)
		w.want("the server's checksum", stat.ChecksumSHA256, base64.StdEncoding.EncodeToString(o.SHA256[:]))
		w.want("the server's content encoding", stat.Metadata.Get("Content-Encoding"), "")
		_, err = w.store.Lab().Put(w.Context(), s3.LabPrefix+"wrong", []byte("x"), s3.Attempt{Sum: s3.WrongSum})
		w.want("a wrong checksum is answered with", s3.Answered(err), http.StatusBadRequest)
	},
}

var codes = trap{
	title:  "One refusal, several codes",
	does:   "Deleting a locked version: MinIO 400, versitygw 403. A hold that never was: both 400, and not 404",
	answer: "Goes by no single code: what is not there, hidden, refused or in conflict is told apart by asking again where a code does not say it",
	test: func(w *trapWorld) {
		lab := w.store.Lab()
		key := s3.LabPrefix + "locked"
		version, err := lab.Put(w.Context(), key, []byte("x"), s3.Attempt{Lock: sink.Lock{Mode: sink.Compliance, RetainUntil: time.Now().Add(time.Minute)}})
		w.must(err)
		_, err = lab.Delete(w.Context(), key, version, false)
		w.want("deleting is answered with", s3.Answered(err), pick(w, 400, 403))
		_, err = w.raw.GetObjectLegalHold(w.Context(), w.bucket, "audit/"+key, minio.GetObjectLegalHoldOptions{VersionID: version})
		w.want("the hold is answered with", minio.ToErrorResponse(err).StatusCode, 400)

		info, err := w.store.Hold(w.Context(), key, version, false)
		w.want("to lift a hold that never was", err == nil && info.Existed && !info.Held, true)
		_, err = w.store.Head(w.Context(), "nothing", "")
		w.want("absent", errors.Is(err, sink.ErrNotExist), true)
		w.server.Hide(w.T, w.bucket, "audit/"+key)
		_, err = w.store.Head(w.Context(), key, "")
		w.want("hidden", errors.Is(err, sink.ErrHidden), true)
		_, err = w.as(w.user("nobody"), sink.Compliance).Head(w.Context(), key, "")
		wantError(w.T, err, nil, "403", "s3:GetObject")
		stranger := w.as(s3test.User{AccessKey: "stranger", SecretKey: "stranger-secret"}, sink.Compliance)
		_, err = stranger.Head(w.Context(), "nothing", "")
		wantError(w.T, err, nil, "403", "credentials")
	},
}

var leastRights = trap{
	title:  "A writer needs more rights to read than it seems, and may still put what is not locked",
	does:   "What was put is read back with `s3:GetObject`, and its lock with `s3:GetObjectRetention`. versitygw knows no condition that demands a lock; MinIO does",
	answer: "`daybook bucket policy` gives those, and no more; a bucket made by `bucket create --mode --days` has a floor under what is put without a lock; `daybook verify` runs with other credentials, and tells what no seal explains",
	test: func(w *trapWorld) {
		u := w.user("writer", w.role(s3.Writer, s3.PolicyOptions{Modes: []sink.Mode{sink.Compliance}}))
		writer := w.as(u, sink.Compliance)
		w.must(writer.Preflight(w.Context()))
		info, err := writer.Put(w.Context(), object("a", "x", sink.Compliance))
		w.must(err)
		_, err = writer.Lab().Put(w.Context(), s3.LabPrefix+"unlocked", []byte("x"), s3.Attempt{})
		w.want("put without a lock", err == nil, !w.minio)
		client := w.client(u)
		refused := map[string]error{
			"hide":             client.RemoveObject(w.Context(), w.bucket, "audit/a", minio.RemoveObjectOptions{}),
			"delete":           client.RemoveObject(w.Context(), w.bucket, "audit/a", minio.RemoveObjectOptions{VersionID: info.Version}),
			"suspend versions": client.SuspendVersioning(w.Context(), w.bucket),
			"set a policy":     client.SetBucketPolicy(w.Context(), w.bucket, string(w.allow("s3:*")(u.AccessKey))),
		}
		for what, err := range refused {
			if err == nil {
				w.Errorf("the writer can %s", what)
			}
		}
		verifier := w.as(w.user("verifier", w.role(s3.Verifier, s3.PolicyOptions{})), sink.Compliance)
		if back, err := verifier.Head(w.Context(), "a", info.Version); err != nil || back.Lock != info.Lock {
			w.Errorf("as the verifier sees it: %+v, %v", back, err)
		}
		if _, err := verifier.Put(w.Context(), object("b", "x", sink.Compliance)); err == nil {
			w.Error("the verifier can put")
		}
	},
}

var overMarker = trap{
	title:  "`If-None-Match: *` over a delete marker",
	does:   "MinIO takes the PUT, and buries what was hidden; versitygw refuses it",
	answer: "Looks first: a marker is `ErrHidden`, and nothing is sent",
	test: func(w *trapWorld) {
		lab := w.store.Lab()
		key := s3.LabPrefix + "hidden"
		_, err := lab.Put(w.Context(), key, []byte("x"), s3.Attempt{})
		w.must(err)
		w.server.Hide(w.T, w.bucket, "audit/"+key)
		_, err = lab.Put(w.Context(), key, []byte("y"), s3.Attempt{OnlyIfNew: true})
		w.want("a PUT over the marker was taken", err == nil, w.minio)
		w.put("day", "x")
		w.server.Hide(w.T, w.bucket, "audit/day")
		w.wire.Took("")
		_, err = w.store.Put(w.Context(), object("day", "x", sink.Compliance))
		wantError(w.T, err, sink.ErrHidden, "day", "")
		w.want("PUTs", len(w.wire.Took(http.MethodPut)), 0)
	},
}

var oddKeys = trap{
	title:  "Keys that a server makes others of",
	does:   "`a/../b`: versitygw stores `b`, MinIO refuses it. `clash` and then `clash/b`: versitygw refuses the second",
	answer: "Refuses keys with `.`, `..`, empty elements or control characters before anything is sent, percent-encodes what names hold of these, and makes no key that is the folder of another",
	test: func(w *trapWorld) {
		_, err := w.raw.Client.PutObject(w.Context(), w.bucket, "audit/a/../b", strings.NewReader("x"), 1, minio.PutObjectOptions{})
		w.want("audit/a/../b was stored as another", err == nil && w.count("b") == 1, !w.minio)
		w.wire.Took("")
		for _, key := range []string{"a/../b", "a//b", "/a", "a/", "a/./b", "a\x00b"} {
			if _, err := w.store.Put(w.Context(), object(key, "x", sink.Compliance)); err == nil {
				w.Errorf("the key %q was taken", key)
			}
		}
		w.want("requests", len(w.wire.Took("")), 0)
		w.put("clash", "x")
		_, err = w.store.Put(w.Context(), object("clash/b", "x", sink.Compliance))
		w.want("clash/b beside clash", err == nil, w.minio)
		if errors.Is(err, sink.ErrConflict) || errors.Is(err, sink.ErrNotExist) {
			w.Errorf("clash/b: %v", err)
		}
	},
}

var storageClass = trap{
	title:  "A storage class that the server does not have",
	does:   "MinIO refuses the PUT; versitygw takes it, and stores it as STANDARD",
	answer: "Names no class when it puts: files are moved by lifecycle rules, and where there are none the plan says that they will not be",
	test: func(w *trapWorld) {
		_, err := w.raw.Client.PutObject(w.Context(), w.bucket, "audit/cold", strings.NewReader("x"), 1, minio.PutObjectOptions{StorageClass: "GLACIER"})
		w.want("a PUT into GLACIER was taken", err == nil, !w.minio)
		if err == nil {
			w.want("its class", w.server.Versions(w.T, w.bucket, "audit/cold")[0].Class, "STANDARD")
		}
		w.wire.Took("")
		w.put("day", "x")
		w.want("Daybook's class", w.puts()[0].Header.Get("X-Amz-Storage-Class"), "")
		ages := []s3.Ages{{Prefix: "csv/class=a/", Cold: "GLACIER", ColdAfter: 9}}
		p := planOf(w.T, w.store, ages...)
		if !w.minio {
			w.want("what will not happen", strings.Join(p.Undone, "\n"), "s3://"+w.bucket+"/audit/csv/class=a: not to GLACIER after 9 days")
			return
		}
		wantError(w.T, w.store.ApplyLifecycle(w.Context(), p, ages), nil, "40", "make the tier first")
	},
}

var unencrypted = trap{
	title:  "A wish to encrypt that is not heeded",
	does:   "versitygw takes `sse-s3` and `sse-kms`, and stores what was put in the clear",
	answer: "What `store.encryption` asks for is read back: a file that is not encrypted ends the run",
	test: func(w *trapWorld) {
		for _, c := range []struct {
			encryption s3.Encryption
			key        string
		}{{s3.SSES3, ""}, {s3.SSEKMS, ""}, {s3.SSEKMS, "test-key"}} {
			opts := options(w.T, w.server, sink.Compliance)
			opts.Encryption, opts.KMSKey = c.encryption, c.key
			o := object(string(c.encryption)+c.key, "x", sink.Compliance)
			info, err := open(w.T, "s3://"+w.bucket, opts).Put(w.Context(), o)
			if !w.minio {
				wantError(w.T, err, sink.ErrUnfit, "not encrypted", "take store.encryption out")
			} else if err != nil || info.SHA256 != o.SHA256 || !info.Lock.Covers(o.Lock) {
				w.Errorf("%s: %+v, %v", c.encryption, info, err)
			}
		}
	},
}

var repeated = trap{
	title:  "A listing of versions repeats entries",
	does:   "versitygw gives the last entry of a page again at the head of the next. MinIO does not",
	answer: "Lists each version once, over pages of any size; `daybook doctor` tries it (`list-versions`)",
	test: func(w *trapWorld) {
		for i := range 7 {
			w.lies(fmt.Sprint(s3.LabPrefix, i), "x", sink.None, 0)
		}
		seen, n, marker, version := map[string]bool{}, 0, "", ""
		for range 9 {
			page := w.page(marker, version)
			for _, v := range page.Version {
				n++
				seen[v.Key] = true
			}
			if !page.IsTruncated {
				break
			}
			marker, version = page.NextKeyMarker, page.NextVersionIDMarker
		}
		w.want("keys", len(seen), 7)
		w.want("entries were repeated", n > 7, !w.minio)
		list, err := w.store.Lab().Versions(w.Context(), s3.LabPrefix, 3)
		w.must(err)
		w.want("entries of Daybook's listing", len(list), 7)
	},
}

// versionsPage is a page of a listing, as the server gives it.
type versionsPage struct {
	IsTruncated         bool
	NextKeyMarker       string
	NextVersionIDMarker string `xml:"NextVersionIdMarker"`
	Version             []struct{ Key string }
}

// page lists three versions.
func (w *trapWorld) page(marker, version string) (p versionsPage) {
	w.Helper()
	query := url.Values{"versions": {""}, "prefix": {"audit/"}, "max-keys": {"3"}, "key-marker": {marker}, "version-id-marker": {version}}
	u, err := w.raw.Presign(w.Context(), http.MethodGet, w.bucket, "", time.Minute, query)
	w.must(err)
	resp, err := w.server.HTTPClient(w.T).Get(u.String())
	w.must(err)
	w.must(errors.Join(xml.NewDecoder(resp.Body).Decode(&p), resp.Body.Close()))
	return p
}

var backdated = trap{
	title:  "An object's time is what its writer says",
	does:   "MinIO believes what another MinIO says when it replicates, of whoever may put: an object can be of last year, and so its lifecycle rules come early, and have a lock that has ended",
	answer: "Goes by the times of manifests and log, never by the store's, and lengthens the lock of what lies there already; rules get past no lock",
	test: func(w *trapWorld) {
		if !w.minio {
			w.Skip("versitygw has no such thing")
		}
		u := w.user("writer", w.role(s3.Writer, s3.PolicyOptions{Modes: []sink.Mode{sink.Compliance}}))
		then := time.Now().AddDate(-1, 0, 0)
		s := open(w.T, "s3://"+w.bucket+"/audit", &s3.Options{
			Mode: sink.Compliance, Endpoint: w.server.Past(w.T, func() time.Time { return then }), Region: w.server.Region, PathStyle: true, AccessKey: u.AccessKey, SecretKey: u.SecretKey,
			Now: func() time.Time { return then },
		})
		o := object("old", "x", sink.Compliance)
		o.Lock.RetainUntil = then.Add(time.Hour)
		_, err := s.Put(w.Context(), o)
		w.must(err)
		v := w.server.Versions(w.T, w.bucket, "audit/old")
		w.want("versions", len(v), 1)
		w.want("it is of last year", v[0].Modified.Before(time.Now().AddDate(0, -11, 0)), true)
		_, err = w.store.Put(w.Context(), o)
		wantError(w.T, err, nil, "is not ahead of now", "")
		o.Lock.RetainUntil = time.Now().Add(time.Hour)
		if info, err := w.store.Put(w.Context(), o); err != nil || !info.Existed || !info.Lock.Covers(o.Lock) {
			w.Errorf("put over it: %+v, %v", info, err)
		}
	},
}
