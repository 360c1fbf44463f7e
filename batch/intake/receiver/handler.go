package receiver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"daybook/batch/intake"
)

// exchange is one request and what becomes of it.
type exchange struct {
	h        *Handler
	r        *http.Request
	conn     *http.ResponseController
	started  time.Time
	sender   Sender
	body     *body // nil: not read
	share    share
	taking   *taking
	replayed bool
}

// ServeHTTP answers POST /v1/events, under whatever path it is put.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := exchange{h: h, r: r, conn: http.NewResponseController(w), started: h.o.Clock()}
	answer := x.answer()
	// A server's write deadline counts from the beginning of a request, which may have been long ago. Where there is none to be set there is none.
	_ = x.conn.SetWriteDeadline(time.Now().Add(h.o.BodyTimeout))
	answer.write(w)
	x.tell(answer)
}

func (x *exchange) answer() *reply {
	h, r := x.h, x.r
	if r.Method != http.MethodPost {
		refused := refuse(http.StatusMethodNotAllowed, "events are sent with POST", "")
		refused.header = [2]string{"Allow", http.MethodPost}
		return refused
	}
	sender, refused := h.authenticate(r)
	if refused != nil {
		return refused
	}
	x.sender = sender
	p, refused := readParameters(r, x.started)
	switch {
	case refused != nil:
		return refused
	case p.receipt && h.o.Signer == nil:
		return refuse(http.StatusBadRequest, "this Daybook signs no receipts", "ask for none")
	case r.ContentLength > h.o.MaxBody:
		return faulty(&intake.Fault{Err: fmt.Errorf("the body has more than %d bytes: %w", h.o.MaxBody, intake.ErrTooLarge)})
	}
	if wait := h.rates.wait(sender.ID, x.started); wait > 0 {
		return refuse(http.StatusTooManyRequests, "this sender has sent too many events", hintAgain).after(wait)
	}
	x.share = share{work: &h.work, base: overhead, held: overhead + step}
	if err := h.work.begin(x.share.held); err != nil {
		return h.busy(err)
	}
	defer func() { h.work.end(x.share.held) }()

	x.body = &body{r: r.Body, conn: x.conn, timeout: h.o.BodyTimeout, limit: h.o.MaxBody}
	if p.key == "" {
		return x.take(&p)
	}
	return x.takeOnce(&p)
}

// busy is the reply to what there is no room for.
func (h *Handler) busy(err error) *reply {
	hint := fmt.Sprintf("%d are served at a time: %s", h.o.MaxInFlight, hintAgain)
	if errors.Is(err, errMemory) {
		hint = fmt.Sprintf("there are %d MiB for what they send, unpacked: send it again, in smaller pieces if need be; what is counted here is kept", h.o.MaxInFlightBytes>>20)
	}
	return refuse(http.StatusTooManyRequests, err.Error(), hint).after(retrySoon)
}

// takeOnce is take, unless the request's key is known.
func (x *exchange) takeOnce(p *parameters) *reply {
	key := replayKey{x.sender.ID, p.key}
	known, atWork := x.h.replays.begin(key, x.started)
	if atWork {
		return refuse(http.StatusConflict, "a request with this Idempotency-Key is being processed", "wait for its answer, or "+hintAgain).after(retrySoon)
	}
	x.body.sum = sha256.New()
	if known != nil {
		if !x.body.whole() {
			return faulty(&intake.Fault{Err: x.body.err})
		}
		if x.body.hashed() != known.sum || p.String() != known.how {
			return refuse(http.StatusUnprocessableEntity, "this Idempotency-Key was used with another request", "another body, or other parameters, take another key")
		}
		x.replayed = true
		return &reply{code: known.code, body: known.body, header: [2]string{"Idempotency-Replayed", "true"}}
	}
	var remembered *replay
	defer func() { x.h.replays.end(key, remembered) }()
	answer := x.take(p)
	if answer.final() && x.body.whole() {
		remembered = &replay{key, x.started, x.body.hashed(), p.String(), answer.code, answer.encode()}
	}
	return answer
}

// take reads the body and hands on what is in it.
func (x *exchange) take(p *parameters) *reply {
	in := bufio.NewReaderSize(x.body, 512)
	head, err := in.Peek(4)
	magic := compression(head)
	switch {
	case len(head) == 0 && err == io.EOF && !p.watermark.IsZero():
		return x.finish(p, &Answer{})
	case len(head) == 0 && err == io.EOF:
		return empty()
	case p.encoding != "" && p.encoding != magic && (err == nil || err == io.EOF):
		return refuse(http.StatusBadRequest, fmt.Sprintf("Content-Encoding is %s, but the body is not", p.encoding), "")
	}
	if err := x.share.unpacking(magic); err != nil {
		return x.h.busy(err)
	}
	settings := x.h.settings
	if p.format != "" {
		settings.From = p.format
	}
	settings.BindOrg, settings.BindSource = x.sender.Org, x.sender.Source
	settings.Received = x.started

	x.taking = &taking{h: x.h, sender: x.sender, received: x.started, receipts: p.receipt, body: x.body, share: &x.share, ctx: x.r.Context()}
	defer x.taking.discard()
	settings.Reading = func(n int64) error {
		x.taking.read = n
		return x.taking.hold()
	}
	// The context does not end with the client: what was read from it before is taken.
	report, err := intake.ReadStream(context.WithoutCancel(x.r.Context()), in, settings, x.taking)
	if err == nil {
		err = x.taking.commit()
	}
	x.h.rates.charge(x.sender.ID, report.Read, x.started)
	counts := &x.taking.answer
	switch {
	case errors.Is(err, errMemory), report.Fault != nil && errors.Is(report.Fault, errMemory):
		return x.h.busy(errMemory).with(counts)
	case err != nil:
		return failed(err).with(counts)
	case report.Fault != nil:
		return faulty(report.Fault).with(counts)
	case report.Read > 0 && report.Read == counts.RejectedTotal:
		return unread(x.taking).with(counts)
	case report.Skipped && p.watermark.IsZero():
		return empty()
	}
	return x.finish(p, counts)
}

// finish is the reply to a request of which all went well.
func (x *exchange) finish(p *parameters, counts *Answer) *reply {
	if !p.watermark.IsZero() {
		if err := x.h.backend.Watermark(x.sender, p.watermark); err != nil {
			return failed(err).with(counts)
		}
	}
	return (&reply{code: http.StatusOK}).with(counts)
}

func empty() *reply {
	return refuse(http.StatusBadRequest, "the body holds no events", "a heartbeat is an empty body with the header Daybook-Watermark")
}

// with adds what was taken all the same.
func (r *reply) with(counts *Answer) *reply {
	err, hint, line := r.answer.Error, r.answer.Hint, r.answer.Line
	r.answer = *counts
	r.answer.Error, r.answer.Hint, r.answer.Line = err, hint, line
	return r
}

// compression tells how a body is compressed by how it begins.
func compression(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "gzip"
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	}
	return ""
}

// tell tells the log and whoever observes.
func (x *exchange) tell(r *reply) {
	o := Observation{Sender: x.sender, Code: r.code, Replayed: x.replayed, Elapsed: x.h.o.Clock().Sub(x.started)}
	if x.body != nil {
		o.Bytes = x.body.n
	}
	if x.taking != nil {
		counts := &x.taking.answer
		o.Accepted, o.Duplicate, o.NotTracked, o.Rejected = counts.Accepted, counts.Duplicate, counts.NotTracked, counts.RejectedTotal
	}
	x.h.o.Observe(o)
	level := slog.LevelDebug
	switch {
	case r.code >= 500:
		level = slog.LevelError
	case r.code != http.StatusOK || o.Rejected > 0:
		level = slog.LevelInfo
	}
	ctx := context.WithoutCancel(x.r.Context())
	if !x.h.o.Log.Enabled(ctx, level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("sender", o.Sender.ID), slog.String("org", o.Sender.Org), slog.String("source", o.Sender.Source), slog.Int("code", o.Code),
		slog.Int64("accepted", o.Accepted), slog.Int64("duplicate", o.Duplicate), slog.Int64("not_tracked", o.NotTracked), slog.Int64("rejected", o.Rejected),
		slog.Int64("bytes", o.Bytes), slog.Duration("elapsed", o.Elapsed), slog.Bool("replayed", o.Replayed),
	}
	if r.code != http.StatusOK {
		attributes = append(attributes, slog.String("remote", x.r.RemoteAddr))
	}
	switch {
	case r.cause != nil:
		attributes = append(attributes, slog.String("error", r.cause.Error()))
	case r.reason != "":
		attributes = append(attributes, slog.String("error", r.reason))
	case r.answer.Error != "":
		attributes = append(attributes, slog.String("error", r.answer.Error))
	}
	x.h.o.Log.LogAttrs(ctx, level, "events received", attributes...)
}
