package s3_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"daybook/sink"
	"daybook/sink/s3"
)

func TestHeadOfMissingBucket(t *testing.T) {
	f := newFake(t)
	f.change(func(b *fakeBucket) { b.missing = true })
	s := open(t, "s3://bucket/audit", f.options(t, sink.Compliance))
	_, err := s.Head(t.Context(), "a", "")
	wantError(t, err, sink.ErrUnfit, "no such bucket", "daybook bucket create s3://bucket/audit")
	_, err = s.Get(t.Context(), "a", "")
	wantError(t, err, sink.ErrUnfit, "no such bucket", "bucket create")
	_, err = s.Put(t.Context(), object("a", "x", sink.Compliance))
	wantError(t, err, sink.ErrUnfit, "no such bucket", "bucket create")
}

func TestForbiddenDoesNotReadAsAbsent(t *testing.T) {
	f := newFake(t)
	f.change(func(b *fakeBucket) { b.mayNotList = true })
	s := open(t, "s3://bucket", f.options(t, sink.Compliance))
	_, err := s.Put(t.Context(), object("a", "x", sink.Compliance))
	wantError(t, err, nil, "403 AccessDenied", "s3:GetObject")
	_, err = s.Head(t.Context(), "a", "")
	wantError(t, err, nil, "403 AccessDenied", "s3:GetObject")
	_, err = s.Get(t.Context(), "a", "")
	wantError(t, err, nil, "403 AccessDenied", "s3:GetObject")
	if n := f.versions("a"); n != 0 {
		t.Errorf("%d versions were put", n)
	}
}

// TestNotFoundIsNotAlwaysAbsent answers 404 for other reasons than that the object is not there.
func TestNotFoundIsNotAlwaysAbsent(t *testing.T) {
	proxy := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(proxy.Close)
	f := newFake(t)
	f.fail(fault{method: "HEAD", times: -1, status: 404})
	f.fail(fault{method: "GET", times: -1, status: 404, code: "XAdminUserNotFound"})
	toProxy := f.options(t, sink.Compliance)
	toProxy.Endpoint = proxy.URL
	for _, c := range []struct {
		s    *s3.Store
		hint string
	}{
		{open(t, "s3://bucket", f.options(t, sink.Compliance)), "credentials"},
		{open(t, "s3://bucket", toProxy), "no S3 server"},
	} {
		_, err := c.s.Head(t.Context(), "a", "")
		wantError(t, err, nil, "404", c.hint)
		_, err = c.s.Get(t.Context(), "a", "")
		wantError(t, err, nil, "404", c.hint)
		_, err = c.s.Put(t.Context(), object("a", "x", sink.Compliance))
		wantError(t, err, nil, "404", c.hint)
	}
	if n := f.versions("a"); n != 0 {
		t.Errorf("%d versions were put", n)
	}
}

func TestDeleteMarkerByVersion(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.Compliance))
	f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{marker: true}) })
	if _, err := s.Head(t.Context(), "a", "v1"); !errors.Is(err, sink.ErrHidden) {
		t.Errorf("Head = %v", err)
	}
	if _, err := s.Get(t.Context(), "a", "v1"); !errors.Is(err, sink.ErrHidden) {
		t.Errorf("Get = %v", err)
	}
	if _, err := s.Head(t.Context(), "a", "v2"); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Head of another version = %v", err)
	}
}

func TestLockOfOlderVersion(t *testing.T) {
	for _, byCall := range []bool{false, true} {
		f := newFake(t)
		f.change(func(b *fakeBucket) { b.oldLockByCall = byCall })
		s := open(t, "s3://bucket", f.options(t, sink.Compliance))
		o := object("a", "sealed", sink.Compliance)
		put, err := s.Put(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: []byte("forged")}) })
		if info, err := s.Head(t.Context(), "a", put.Version); err != nil || info.Lock != o.Lock {
			t.Errorf("by call %v: Head of the older = %+v, %v", byCall, info, err)
		}
		if info, err := s.Head(t.Context(), "a", ""); err != nil || info.Lock != (sink.Lock{}) {
			t.Errorf("by call %v: Head of the newest = %+v, %v", byCall, info, err)
		}
	}
}

// TestNoLocksAtAll reads a version from a server that has versions and knows no locks.
func TestNoLocksAtAll(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.None))
	put, err := s.Put(t.Context(), object("a", "sealed", sink.None))
	if err != nil {
		t.Fatal(err)
	}
	f.fail(fault{method: "GET", query: "retention", times: -1, status: 501, code: "NotImplemented"})
	if info, err := s.Head(t.Context(), "a", put.Version); err != nil || info.Lock != (sink.Lock{}) {
		t.Errorf("Head = %+v, %v", info, err)
	}
}

// TestGetDoesNotUnpack reads what is stored, whatever its content encoding makes of it.
func TestGetDoesNotUnpack(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("the bytes")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: packed.Bytes(), encoding: "gzip"}) })
	s := open(t, "s3://bucket", f.options(t, sink.None))
	r, err := s.Get(t.Context(), "a", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, packed.Bytes()) {
		t.Errorf("got %q, %v; want %q", got, err, packed.Bytes())
	}
	if info, err := s.Head(t.Context(), "a", ""); err != nil || info.SHA256 != sha256.Sum256(packed.Bytes()) {
		t.Errorf("Head = %+v, %v", info, err)
	}
}

// TestGetEndsEarly cuts the answer short, which a reader of gzip might take for the end.
func TestGetEndsEarly(t *testing.T) {
	f := newFake(t)
	opts := f.options(t, sink.None)
	opts.Transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && r.Method == http.MethodGet {
				resp.Body = io.NopCloser(io.LimitReader(resp.Body, 4))
			}
			return resp, err
		})
	}
	s := open(t, "s3://bucket", opts)
	f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: []byte("the bytes")}) })
	r, err := s.Get(t.Context(), "a", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if string(got) != "the " || !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "5 bytes are missing") {
		t.Errorf("read %q, %v", got, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// stalled is a body that gives a few bytes and then nothing.
type stalled struct {
	io.ReadCloser
	gave bool
	end  <-chan struct{}
}

func (s *stalled) Read(p []byte) (int, error) {
	if !s.gave {
		s.gave = true
		return s.ReadCloser.Read(p[:1])
	}
	<-s.end
	return 0, errors.New("request ended")
}

func TestGetStalls(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newDirectFake()
		opts := f.options(t, sink.None)
		opts.Transport = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := f.direct(next).RoundTrip(r)
				if err == nil && r.Method == http.MethodGet {
					resp.Body = &stalled{ReadCloser: resp.Body, end: r.Context().Done()}
				}
				return resp, err
			})
		}
		s := open(t, "s3://bucket", opts)
		f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: []byte("the bytes")}) })
		r, err := s.Get(t.Context(), "a", "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wantError(t, err, nil, "no progress", "")
	})
}

// TestGetFromWithoutRanges asks a server that does not know what a range is, as some proxies.
func TestGetFromWithoutRanges(t *testing.T) {
	f := newFake(t)
	opts := f.options(t, sink.None)
	opts.Transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Del("Range")
			return next.RoundTrip(r)
		})
	}
	f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: []byte("the bytes")}) })
	if r, err := open(t, "s3://bucket", opts).GetFrom(t.Context(), "a", "", 4); err == nil || !strings.Contains(err.Error(), "another range") {
		t.Errorf("GetFrom = %v, %v", r, err)
	}
}

func TestGetOfAnArchivedObject(t *testing.T) {
	f := newFake(t)
	s := open(t, "s3://bucket", f.options(t, sink.None))
	f.change(func(b *fakeBucket) { b.add("a", &fakeVersion{body: []byte("the bytes"), class: "GLACIER"}) })
	_, err := s.Get(t.Context(), "a", "")
	wantError(t, err, sink.ErrCold, "403 InvalidObjectState", "daybook thaw")
	_, err = s.GetFrom(t.Context(), "a", "", 4)
	wantError(t, err, sink.ErrCold, "403 InvalidObjectState", "daybook thaw")
}
