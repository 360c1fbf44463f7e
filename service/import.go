package service

import (
	"fmt"
	"io"
	"net/http"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/sink"
)

// Imported says what became of a file that was imported.
type Imported struct {
	Read       int64 `json:"read"`
	Accepted   int64 `json:"accepted"`
	Duplicate  int64 `json:"duplicate"`
	NotTracked int64 `json:"not_tracked"`
	// Untracked tells whose the events are that were not tracked.
	Untracked batch.Untracked `json:"untracked,omitempty"`
	Rejected  int64           `json:"rejected"`
	Bytes     int64           `json:"bytes"`
	Skipped   bool            `json:"skipped,omitempty"`
	// Fault is why the file was not read to its end; blank if it was.
	Fault string `json:"fault,omitempty"`
}

// postImport takes in a file of events of any org and source, as a command on this machine reads it. ?org= and ?source= are those of events that name none, ?from= is the
// format, ?name= what the file is called.
func (s *Service) postImport(r *http.Request, _ control.Actor) (any, error) {
	if !isLocal(r) {
		return nil, &sink.HintError{Err: fmt.Errorf("a file may hold events of every org: %w", control.ErrDenied), Hint: "send events with a token (POST /v1/events), or run `daybook import` on the machine of the service"}
	}
	q := r.URL.Query()
	took, err := s.takeFile(r.Context(), q.Get("name"), fileFeed{q.Get("org"), q.Get("source"), q.Get("from"), false, false, nil}, func() (io.ReadCloser, error) { return r.Body, nil })
	if err != nil {
		return nil, err
	}
	out := Imported{
		Read: took.Read, Accepted: took.accepted, Duplicate: took.duplicate, NotTracked: took.notTracked, Rejected: took.Rejected, Bytes: took.Bytes, Skipped: took.Skipped,
		Untracked: took.untracked,
	}
	if took.Fault != nil {
		out.Fault = took.Fault.Error()
	}
	return out, nil
}
