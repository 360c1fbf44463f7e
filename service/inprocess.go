package service

import (
	"errors"
	"io"
	"net/http"
)

// inProcess serves requests by a handler of this process.
type inProcess struct{ handler http.Handler }

// RoundTrip hands the request to the handler, and its answer on as it comes.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	body, writer := io.Pipe()
	w := &pipeWriter{header: http.Header{}, body: writer, begun: make(chan struct{})}
	go func() {
		defer func() {
			e := recover()
			err, _ := e.(error)
			switch {
			case e == nil:
				w.WriteHeader(http.StatusOK) // unless it wrote one
				_ = writer.Close()           // never fails
			case errors.Is(err, http.ErrAbortHandler):
				_ = writer.CloseWithError(io.ErrUnexpectedEOF) // never fails
			default:
				panic(e)
			}
		}()
		t.handler.ServeHTTP(w, r)
	}()
	select {
	case <-w.begun:
	case <-r.Context().Done():
		_ = body.Close() // ends the handler's writes
		return nil, r.Context().Err()
	}
	return &http.Response{
		Status: http.StatusText(w.code), StatusCode: w.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, Body: body, ContentLength: -1, Request: r,
	}, nil
}

type pipeWriter struct {
	header, sent http.Header
	code         int
	body         *io.PipeWriter
	begun        chan struct{}
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(code int) {
	if w.code != 0 {
		return
	}
	w.code, w.sent = code, w.header.Clone()
	close(w.begun)
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
