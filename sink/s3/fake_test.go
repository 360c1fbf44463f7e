package s3_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/sink"
	"daybook/sink/s3"
)

// fake is an S3 server in memory that is as strict as AWS is documented to be, where the servers at hand are not: it refuses a locked
// PUT without a checksum, answers 403 for an absent object to who may not list, and leaves the lock out of its answers to who may not
// read it. It holds one bucket, and does as it is told when it is told to fail.
type fake struct {
	*httptest.Server

	mu       sync.Mutex // guards what follows
	bucket   fakeBucket
	requests []request
	faults   []*fault
	gone     chan struct{} // closed when the test ends: lets go of requests that hang
}

type fakeBucket struct {
	missing       bool
	versioning    string // Enabled, Suspended or blank
	locking       bool
	floorMode     string
	floorDays     int
	mayNotList    bool
	mayNotReadLoc bool // the lock of objects
	mayNotSeeHold bool
	showsNoSum    bool
	oldLockByCall bool // as versitygw: the lock of an older version is not in its HEAD, and the call for it has a root of its own
	ignoresLock   bool // takes lock headers and does not keep them
	cutsLock      time.Duration
	page          int    // how many entries a page of a listing has
	repeats       bool   // as versitygw: the last version of a page is the first of the next
	markersFirst  bool   // as versitygw: within a page
	disorderly    bool   // lists keys in another order
	stuck         bool   // gives the same page again and again
	rules         string // lifecycle configuration
	encryption    string // what it says of every object, whatever was asked
	kmsKey        string
	serial        int
	restores      []string // requests to bring objects back
	objects       map[string][]*fakeVersion
}

type fakeVersion struct {
	id          string
	marker      bool
	body        []byte
	contentType string
	sum         string
	sumType     string
	encoding    string
	mode        string
	until       string
	hold        string // ON, OFF or, where none was ever put, blank
	modified    time.Time
	class       string // of storage
	archived    string // by Intelligent-Tiering
	restored    string // what the header about it says
}

// request is what arrived, its body left out.
type request struct {
	method, path, query string
	header              http.Header
	length              int64
	chunked             bool
}

func (r request) String() string { return strings.TrimSuffix(r.method+" "+r.path+"?"+r.query, "?") }

// fault makes requests fail.
type fault struct {
	method, query string // of the requests it is for; a query is a key that must be in it, "-" none at all, blank any
	times         int    // how many; negative: all
	status        int    // what to answer, with code; 0: nothing
	code          string
	region        string // to name in the answer
	persisted     bool   // do what is asked for, and then fail
	hang          bool   // answer nothing and keep the connection; otherwise it is closed
}

// newDirectFake returns a fake that is called without a network, for tests of time in a synctest bubble.
func newDirectFake() *fake {
	return &fake{
		bucket: fakeBucket{versioning: "Enabled", locking: true, page: 3, objects: make(map[string][]*fakeVersion)},
		gone:   make(chan struct{}),
	}
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := newDirectFake()
	f.Server = httptest.NewServer(f)
	t.Cleanup(func() {
		close(f.gone)
		f.CloseClientConnections()
		f.Close()
	})
	return f
}

// options points at the fake.
func (f *fake) options(t *testing.T, mode sink.Mode) *s3.Options {
	t.Helper()
	access, secret := keyFiles(t, "AKIAEXAMPLE", "secret")
	opts := &s3.Options{
		Mode:          mode,
		Unlocked:      mode == sink.None,
		Region:        "us-east-1",
		AccessKeyFile: access,
		SecretKeyFile: secret,
		Retry:         fast,
	}
	if f.Server == nil {
		opts.Endpoint, opts.Transport = "http://fake.example", f.direct
	} else {
		opts.Endpoint = f.URL
	}
	return opts
}

// direct is a transport that calls the fake.
func (f *fake) direct(http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (resp *http.Response, err error) {
		answer := httptest.NewRecorder()
		request := r.Clone(r.Context())
		if request.Body == nil {
			request.Body = http.NoBody
		}
		defer func() {
			reason := recover()
			if reason == nil {
				return
			}
			if aborted, ok := reason.(error); !ok || !errors.Is(aborted, http.ErrAbortHandler) {
				panic(reason)
			}
			if resp, err = nil, r.Context().Err(); err == nil {
				err = io.EOF
			}
		}()
		f.ServeHTTP(answer, request)
		return answer.Result(), nil
	})
}

// change alters the bucket behind the store's back.
func (f *fake) change(change func(b *fakeBucket)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.bucket)
}

func (f *fake) fail(ft fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, &ft)
}

func (f *fake) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// took returns the requests since the last call.
func (f *fake) took() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.requests
	f.requests = nil
	return all
}

// versions counts the versions of a key, delete markers included.
func (f *fake) versions(key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.bucket.objects[key])
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, request{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), r.ContentLength, len(r.TransferEncoding) > 0})
	var strikes *fault
	for _, ft := range f.faults {
		if ft.times != 0 && ft.method == r.Method && (ft.query == "" || ft.query == "-" && r.URL.RawQuery == "" || r.URL.Query().Has(ft.query)) {
			ft.times--
			strikes = ft
			break
		}
	}
	f.mu.Unlock()
	if strikes == nil {
		f.answer(w, r)
		return
	}
	if strikes.persisted {
		f.answer(httptest.NewRecorder(), r)
	}
	switch {
	case strikes.status != 0:
		if r.Method == http.MethodHead {
			w.WriteHeader(strikes.status)
			return
		}
		refuse(w, strikes.status, strikes.code, strikes.region)
	case strikes.hang:
		select {
		case <-f.gone:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	default:
		panic(http.ErrAbortHandler) // the server closes the connection without an answer
	}
}

func refuse(w http.ResponseWriter, status int, code, region string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>message of %s</Message><RequestId>REQ1</RequestId><Region>%s</Region></Error>", code, code, region)
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Context().Err() != nil { // the client has gone
		panic(http.ErrAbortHandler)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b := &f.bucket
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	switch {
	case b.missing && r.Method == http.MethodPut && key == "" && r.URL.RawQuery == "":
		*b = fakeBucket{objects: make(map[string][]*fakeVersion)}
		if r.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" {
			b.versioning, b.locking = "Enabled", true
		}
	case b.missing:
		refuse(w, 404, "NoSuchBucket", "")
	case key == "" && (q.Has("versions") || q.Has("list-type")):
		b.list(w, q)
	case key == "" && q.Has("lifecycle"):
		b.lifecycle(w, r.Method, body)
	case key == "" && q.Has("versioning"):
		fmt.Fprintf(w, "<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>", b.versioning)
	case key == "" && q.Has("object-lock") && r.Method == http.MethodPut:
		var config struct {
			Rule struct{ DefaultRetention struct{ Mode, Days string } }
		}
		if err := xml.Unmarshal(body, &config); err != nil {
			refuse(w, 400, "MalformedXML", "")
			return
		}
		b.floorMode = config.Rule.DefaultRetention.Mode
		b.floorDays, _ = strconv.Atoi(config.Rule.DefaultRetention.Days)
	case key == "" && q.Has("object-lock"):
		switch {
		case !b.locking:
			refuse(w, 404, "ObjectLockConfigurationNotFoundError", "")
		case b.floorDays == 0:
			fmt.Fprint(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>")
		default:
			fmt.Fprintf(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>%s</Mode><Days>%d</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
				b.floorMode, b.floorDays)
		}
	case key == "":
		refuse(w, 409, "BucketAlreadyOwnedByYou", "")
	case r.Method == http.MethodPut && q.Has("retention"):
		b.putRetention(w, key, q.Get("versionId"), body)
	case r.Method == http.MethodPut && q.Has("legal-hold"):
		b.putHold(w, key, q.Get("versionId"), body)
	case r.Method == http.MethodPut:
		b.put(w, r, key, body)
	case r.Method == http.MethodPost && q.Has("restore"):
		b.restore(w, key, q.Get("versionId"), body)
	default:
		b.get(w, r, key)
	}
}

func (b *fakeBucket) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	h, sum := r.Header, sha256.Sum256(body)
	all := b.objects[key]
	switch {
	case int64(len(body)) != r.ContentLength:
		refuse(w, 400, "IncompleteBody", "")
		return
	case h.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]):
		refuse(w, 400, "XAmzContentSHA256Mismatch", "")
		return
	case h.Get("X-Amz-Checksum-Sha256") != "" && h.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]):
		refuse(w, 400, "BadDigest", "")
		return
	case h.Get("X-Amz-Object-Lock-Mode") != "" && h.Get("X-Amz-Checksum-Sha256") == "" && h.Get("Content-Md5") == "":
		refuse(w, 400, "InvalidRequest", "")
		return
	case h.Get("If-None-Match") == "*" && len(all) > 0 && !all[len(all)-1].marker:
		refuse(w, 412, "PreconditionFailed", "")
		return
	}
	v := b.add(key, &fakeVersion{body: body, contentType: h.Get("Content-Type"), sum: h.Get("X-Amz-Checksum-Sha256")})
	if !b.ignoresLock {
		v.mode, v.until = h.Get("X-Amz-Object-Lock-Mode"), h.Get("X-Amz-Object-Lock-Retain-Until-Date")
		v.hold = h.Get("X-Amz-Object-Lock-Legal-Hold")
		if b.cutsLock > 0 {
			until, _ := time.Parse(time.RFC3339, v.until)
			v.until = until.Add(-b.cutsLock).Format(time.RFC3339)
		}
	}
	if b.versioning != "" {
		w.Header().Set("X-Amz-Version-Id", v.id)
	}
}

func (b *fakeBucket) add(key string, v *fakeVersion) *fakeVersion {
	b.serial++
	v.id, v.modified = fmt.Sprint("v", b.serial), time.Now().UTC()
	if b.versioning != "Enabled" {
		v.id, b.objects[key] = "null", nil
	}
	b.objects[key] = append(b.objects[key], v)
	return v
}

func (b *fakeBucket) find(key, id string) *fakeVersion {
	for i := len(b.objects[key]) - 1; i >= 0; i-- {
		if v := b.objects[key][i]; id == "" || v.id == id {
			return v
		}
	}
	return nil
}

func (b *fakeBucket) putRetention(w http.ResponseWriter, key, id string, body []byte) {
	var want struct{ Mode, RetainUntilDate string }
	v := b.find(key, id)
	if err := xml.Unmarshal(body, &want); err != nil || v == nil {
		refuse(w, 400, "MalformedXML", "")
		return
	}
	old, _ := time.Parse(time.RFC3339, v.until)
	until, _ := time.Parse(time.RFC3339, want.RetainUntilDate)
	if v.mode == "COMPLIANCE" && want.Mode != "COMPLIANCE" || until.Before(old) {
		refuse(w, 403, "AccessDenied", "")
		return
	}
	v.mode, v.until = want.Mode, want.RetainUntilDate
}

func (b *fakeBucket) putHold(w http.ResponseWriter, key, id string, body []byte) {
	var want struct{ Status string }
	v := b.find(key, id)
	if err := xml.Unmarshal(body, &want); err != nil || v == nil {
		refuse(w, 400, "MalformedXML", "")
		return
	}
	if !b.ignoresLock {
		v.hold = want.Status
	}
}

func (b *fakeBucket) get(w http.ResponseWriter, r *http.Request, key string) {
	id := r.URL.Query().Get("versionId")
	v := b.find(key, id)
	switch {
	case v == nil && b.mayNotList:
		refuse(w, 403, "AccessDenied", "")
		return
	case v == nil && id != "":
		refuse(w, 404, "NoSuchVersion", "")
		return
	case v == nil:
		refuse(w, 404, "NoSuchKey", "")
		return
	case v.marker:
		w.Header().Set("X-Amz-Delete-Marker", "true")
		w.Header().Set("X-Amz-Version-Id", v.id)
		if id != "" {
			refuse(w, 405, "MethodNotAllowed", "")
		} else {
			refuse(w, 404, "NoSuchKey", "")
		}
		return
	}
	if r.URL.Query().Has("retention") {
		switch {
		case b.mayNotReadLoc:
			refuse(w, 403, "AccessDenied", "")
		case v.mode == "":
			refuse(w, 400, "NoSuchObjectLockConfiguration", "")
		default:
			if b.oldLockByCall {
				fmt.Fprintf(w, "<ObjectLockRetention><Mode>%s</Mode><RetainUntilDate>%s</RetainUntilDate></ObjectLockRetention>", v.mode, v.until)
				return
			}
			fmt.Fprintf(w, "<Retention><Mode>%s</Mode><RetainUntilDate>%s</RetainUntilDate></Retention>", v.mode, v.until)
		}
		return
	}
	if v.cold() && !strings.Contains(v.restored, "expiry-date") && r.Method == http.MethodGet {
		refuse(w, 403, "InvalidObjectState", "")
		return
	}
	if r.URL.Query().Has("legal-hold") {
		switch {
		case b.mayNotSeeHold:
			refuse(w, 403, "AccessDenied", "")
		case v.hold == "":
			refuse(w, 400, "NoSuchObjectLockConfiguration", "")
		default:
			fmt.Fprintf(w, "<LegalHold><Status>%s</Status></LegalHold>", v.hold)
		}
		return
	}
	h := w.Header()
	for name, value := range map[string]string{"X-Amz-Storage-Class": v.class, "X-Amz-Archive-Status": v.archived, "X-Amz-Restore": v.restored} {
		if value != "" {
			h.Set(name, value)
		}
	}
	h.Set("Content-Type", v.contentType)
	h.Set("ETag", `"etag"`)
	if v.encoding != "" {
		h.Set("Content-Encoding", v.encoding)
		h.Set("Content-Length", strconv.Itoa(len(v.body))) // which ServeContent leaves out then
	}
	if b.versioning != "" {
		h.Set("X-Amz-Version-Id", v.id)
	}
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && !b.showsNoSum && v.sum != "" {
		h.Set("X-Amz-Checksum-Sha256", v.sum)
		h.Set("X-Amz-Checksum-Type", v.sumType)
	}
	if b.encryption != "" {
		h.Set("X-Amz-Server-Side-Encryption", b.encryption)
	}
	if b.kmsKey != "" {
		h.Set("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", b.kmsKey)
	}
	if v.mode != "" && !b.mayNotReadLoc && (!b.oldLockByCall || v == b.find(key, "")) {
		h.Set("X-Amz-Object-Lock-Mode", v.mode)
		h.Set("X-Amz-Object-Lock-Retain-Until-Date", v.until)
	}
	if v.hold != "" && !b.mayNotSeeHold && (!b.oldLockByCall || v == b.find(key, "")) {
		h.Set("X-Amz-Object-Lock-Legal-Hold", v.hold)
	}
	http.ServeContent(w, r, "", time.Date(2026, 3, 11, 1, 0, 0, 0, time.UTC), bytes.NewReader(v.body))
}

func (v *fakeVersion) cold() bool {
	return v.class == "GLACIER" || v.class == "DEEP_ARCHIVE" || v.archived != ""
}

// restore begins to bring a version back, as AWS documents it.
func (b *fakeBucket) restore(w http.ResponseWriter, key, id string, body []byte) {
	b.restores = append(b.restores, key+"?"+id+" "+string(body))
	var want struct {
		Days                 int
		GlacierJobParameters struct{ Tier string }
	}
	v := b.find(key, id)
	err := xml.Unmarshal(body, &want)
	switch {
	case v == nil || v.marker:
		refuse(w, 404, "NoSuchKey", "")
	case !v.cold():
		refuse(w, 403, "InvalidObjectState", "")
	case err != nil || want.Days < 1 != (v.archived != "") || want.GlacierJobParameters.Tier == "":
		refuse(w, 400, "MalformedXML", "")
	case strings.Contains(v.restored, `"true"`):
		refuse(w, 409, "RestoreAlreadyInProgress", "")
	case v.restored != "":
		v.restored = restoredFor(want.Days) // 200
	default:
		v.restored = `ongoing-request="true"`
		w.WriteHeader(http.StatusAccepted)
	}
}

func restoredFor(days int) string {
	end := time.Now().UTC().Add(time.Duration(days+1) * 24 * time.Hour).Truncate(24 * time.Hour)
	return fmt.Sprintf(`ongoing-request="false", expiry-date="%s"`, end.Format(http.TimeFormat))
}
