package s3test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// A Recorder is a proxy in front of a server that remembers the heads of all requests, as they came over the wire.
type Recorder struct {
	// URL is where it listens.
	URL string
	// Refuses says which requests are answered with 403 instead of passed on; nil: none. It is set before there are any.
	Refuses func(*http.Request) bool

	mu       sync.Mutex // guards requests
	requests []*http.Request
}

// Record starts a recorder for the duration of the test.
func (s *Server) Record(t testing.TB) *Recorder {
	t.Helper()
	r := &Recorder{}
	pass := s.pass(t, func(*httputil.ProxyRequest) {}, nil)
	r.URL = listen(t, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, request.Clone(request.Context()))
		r.mu.Unlock()
		if r.Refuses != nil && r.Refuses(request) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		pass.ServeHTTP(w, request)
	}))
	return r
}

// Took returns the requests of a method since it was called last for it; blank: of all methods.
func (r *Recorder) Took(method string) (list []*http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rest []*http.Request
	for _, request := range r.requests {
		if method == "" || request.Method == method {
			list = append(list, request)
		} else {
			rest = append(rest, request)
		}
	}
	r.requests = rest
	return list
}

// pass passes requests on to the server. rewrite sees each, and may add to what is not signed; answer may change answers.
func (s *Server) pass(t testing.TB, rewrite func(*httputil.ProxyRequest), answer func(*http.Response) error) http.Handler {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: s.tls, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Transport:      transport,
		ModifyResponse: answer,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
			rewrite(r)
		},
	}
}

// listen has a handler answer for the duration of the test, and returns where.
func listen(t testing.TB, h http.Handler) (listensAt string) {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}
