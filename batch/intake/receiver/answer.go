package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"daybook/batch/intake"
)

// Answer is what a request is answered with, as JSON.
type Answer struct {
	// Error says what went wrong, Hint what to do about it, Line where in the body. All are absent if nothing did.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Line  int    `json:"line,omitempty"`
	// Accepted events are new to a trail, Duplicate ones were there, NotTracked ones are for no trail. They stand whatever went wrong.
	Accepted   int64 `json:"accepted"`
	Duplicate  int64 `json:"duplicate"`
	NotTracked int64 `json:"not_tracked"`
	// Rejected are the first 100 of the RejectedTotal records that can't be read. They lie in quarantine.
	Rejected      []Rejected `json:"rejected"`
	RejectedTotal int64      `json:"rejected_total"`
	// Receipts are signed notes (package batch/receipt), in the order of the events, one for each trail that has it. ReceiptsOmitted is how many there are not,
	// because an answer holds no more, or because an id is too long: for the former, send the events again, fewer at a time.
	Receipts        []string `json:"receipts,omitempty"`
	ReceiptsOmitted int64    `json:"receipts_omitted,omitempty"`
}

// Rejected is a record that can't be read: the line on which it begins, and which of the body's records it is, both counted from 1. Those of an array may all be on one line.
type Rejected struct {
	Line   int    `json:"line"`
	Record int64  `json:"record"`
	Reason string `json:"reason"`
	SHA256 string `json:"sha256"`
}

// reply is an answer with its code.
type reply struct {
	code   int
	answer Answer
	// body is the answer as it was given before; nil: answer is to be written.
	body  []byte
	retry time.Duration // Retry-After, if not 0
	// header is a field more, and its value.
	header [2]string
	// cause is what the log is told of a failure of ours. It holds nothing of an event.
	cause error
	// reason is what the log is told of a refusal where the answer's error may hold something of what was sent; blank: it does not.
	reason string
}

func refuse(code int, err, hint string) *reply {
	return &reply{code: code, answer: Answer{Error: err, Hint: hint}}
}

// because is why the log is told that it was refused.
func (r *reply) because(reason string) *reply {
	r.reason = reason
	return r
}

func (r *reply) after(d time.Duration) *reply {
	r.retry = d
	return r
}

// How long a sender is asked to wait.
const (
	retrySoon = time.Second
	retryDown = 5 * time.Second
	retryFull = time.Minute
)

const (
	hintSafe  = "what is counted here is kept; send all of it again, and that will be counted as duplicates"
	hintAgain = "send it again as it is"
)

// failed is the reply to what the backend could not do.
func failed(err error) *reply {
	r := &reply{cause: err}
	hint := hintSafe
	switch {
	case errors.Is(err, ErrFull):
		r.code, r.answer.Error, r.retry = http.StatusInsufficientStorage, "the disk is full", retryFull
	case errors.Is(err, errReceipt):
		r.code, r.answer.Error, r.retry = http.StatusServiceUnavailable, "the receipts could not be signed", retryDown
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		r.code, r.answer.Error, r.retry = http.StatusServiceUnavailable, "no events can be taken in for the time being", retryDown
	default:
		r.code, r.answer.Error, hint = http.StatusInternalServerError, "internal error", hintSafe+"; the log says what went wrong"
	}
	r.answer.Hint = hint
	return r
}

// faulty is the reply to a body that could not be read to its end.
func faulty(f *intake.Fault) *reply {
	r := refuse(http.StatusBadRequest, f.Error(), hintSafe)
	switch {
	case errors.Is(f, intake.ErrTooLarge):
		r.code, r.answer.Hint = http.StatusRequestEntityTooLarge, "send it in smaller pieces; what is counted here is kept"
	case errors.Is(f, errSlow):
		r.code = http.StatusRequestTimeout
	case errors.Is(f, intake.ErrForeign):
		r.code, r.answer.Hint = http.StatusUnsupportedMediaType, ""
	case errors.Is(f, intake.ErrUnrecognised):
		r.code, r.answer.Hint = http.StatusUnsupportedMediaType, "if it is one of them, say which with ?format="
	case f.Line > 0: // what is wrong with a record, or between two of them, may quote it
		r.reason = "the body can't be read to its end"
	}
	r.answer.Line = f.Line
	return r
}

// unread is the reply to a body of which no record could be read.
func unread(t *taking) *reply {
	first := t.answer.Rejected[0]
	r := refuse(http.StatusBadRequest, fmt.Sprintf("no record can be read; the first: %s", first.Reason), "rejected tells what is wrong with each").because("no record can be read")
	if t.tooLong == t.answer.RejectedTotal {
		r.code, r.answer.Error = http.StatusRequestEntityTooLarge, first.Reason
		r.reason = "" // that is ours
	}
	r.answer.Line = first.Line
	return r
}

// final reports whether the same request would get the same answer again.
func (r *reply) final() bool {
	switch r.code {
	case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return true
	}
	return false
}

// encode makes the bytes of the answer.
func (r *reply) encode() []byte {
	if r.body != nil {
		return r.body
	}
	if r.answer.Rejected == nil {
		r.answer.Rejected = []Rejected{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(r.answer) // texts and numbers always encode
	r.body = b.Bytes()
	return r.body
}

func (r *reply) write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if r.retry > 0 {
		seconds := int64((r.retry + time.Second - 1) / time.Second)
		header.Set("Retry-After", strconv.FormatInt(max(seconds, 1), 10))
	}
	if r.header[0] != "" {
		header.Set(r.header[0], r.header[1])
	}
	if r.code == http.StatusRequestTimeout || r.code == http.StatusRequestEntityTooLarge {
		header.Set("Connection", "close") // what else is sent is of no use
	}
	data := r.encode()
	header.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(r.code)
	_, _ = w.Write(data) // whoever does not listen does not hear
}
