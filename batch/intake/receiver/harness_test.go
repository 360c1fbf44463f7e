package receiver_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/intake"
	"daybook/batch/intake/receiver"
	"daybook/event"
)

var now = time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)

// backend keeps events in memory, and polices who uses it.
type backend struct {
	t testing.TB
	// fail, where it is set, fails a step: begin, add, commit, reject, watermark.
	fail func(step string) error
	// onCommit is called within each commit that does not fail.
	onCommit func(ctx context.Context)

	mu         sync.Mutex
	rows       []string // committed and new
	known      map[[32]byte][32]byte
	commits    int
	open       int // batches
	rejections []receiver.Rejection
	watermarks []time.Time
	senders    map[string]bool
}

func (b *backend) failure(step string) error {
	if b.fail != nil {
		return b.fail(step)
	}
	return nil
}

func (b *backend) Begin(s receiver.Sender, received time.Time) (receiver.Batch, error) {
	if err := b.failure("begin"); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	if b.senders == nil {
		b.senders = map[string]bool{}
	}
	b.senders[s.ID] = true
	return &gathering{b: b, sender: s, received: received}, nil
}

func (b *backend) Reject(_ receiver.Sender, r receiver.Rejection) error {
	if err := b.failure("reject"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if sum := sha256.Sum256(r.Data); int64(len(r.Data)) == r.Size && sum != r.SHA256 {
		b.t.Errorf("the hash of %q is wrong", r.Data)
	}
	r.Data = bytes.Clone(r.Data)
	b.rejections = append(b.rejections, r)
	return nil
}

func (b *backend) Watermark(_ receiver.Sender, t time.Time) error {
	if err := b.failure("watermark"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != 0 {
		b.t.Errorf("a watermark while %d batches are open", b.open)
	}
	b.watermarks = append(b.watermarks, t)
	return nil
}

// gathering is a batch. Events of the action "ignored" are not tracked, those of "both" have two trails.
type gathering struct {
	b        *backend
	sender   receiver.Sender
	received time.Time
	events   []event.Event
	rows     []string
	over     bool
}

func (g *gathering) Add(in intake.Taken) error {
	if g.over || in.Ordinal || in.Event.Get(event.Org) != g.sender.Org || in.Event.Get(event.Source) != g.sender.Source || !in.Event.Received.Equal(g.received) {
		g.b.t.Errorf("added after the end, or not the sender's: %s", in.Row)
	}
	if err := g.b.failure("add"); err != nil {
		return err
	}
	g.events, g.rows = append(g.events, in.Event.Clone()), append(g.rows, string(in.Row))
	return nil
}

func (g *gathering) end() {
	if g.over {
		g.b.t.Error("a batch ended twice")
	}
	g.over = true
	g.b.open--
}

func (g *gathering) Commit(ctx context.Context) ([]receiver.Outcome, error) {
	if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
		g.b.t.Errorf("a commit that may take for ever, or is over: %v", ctx.Err())
	}
	if err := g.b.failure("commit"); err != nil {
		g.Discard()
		return nil, err
	}
	if g.b.onCommit != nil {
		g.b.onCommit(ctx)
	}
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	g.end()
	g.b.commits++
	if g.b.known == nil {
		g.b.known = map[[32]byte][32]byte{}
	}
	var outcomes []receiver.Outcome
	for i := range g.events {
		e, row := &g.events[i], g.rows[i]
		action := e.Get(event.Action)
		if action == "ignored" {
			outcomes = append(outcomes, receiver.Outcome{State: receiver.NotTracked})
			continue
		}
		o := receiver.Outcome{State: receiver.Duplicate}
		key := sha256.Sum256(append([]byte(e.Get(event.ID)+"\x00"), fmt.Sprint(e.ContentHash([]byte(row)))...))
		leaf, known := g.b.known[key]
		if !known {
			leaf = sha256.Sum256([]byte("\x00" + row))
			o.State, g.b.known[key] = receiver.Accepted, leaf
			g.b.rows = append(g.b.rows, row)
		}
		trails := []string{"acme"}
		if action == "both" {
			trails = append(trails, "acme copy")
		}
		for _, trail := range trails {
			o.Placed = append(o.Placed, receiver.Place{Trail: trail, Day: event.DayOf(e.Time), Content: leaf, SealedBy: event.DayOf(now).End().Add(time.Hour)})
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

func (g *gathering) Discard() {
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	g.end()
}

func (b *backend) ids() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var ids []string
	for _, row := range b.rows {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(row), &e); err != nil {
			b.t.Error(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// credentials are the tokens and certificates that there are.
type credentials struct{}

var errLedger = errors.New("disk on fire")

func (credentials) Token(secret string) (receiver.Sender, error) {
	switch secret {
	case "good", "other":
		return receiver.Sender{ID: secret, Org: "acme", Source: "billing"}, nil
	case "expired":
		return receiver.Sender{}, receiver.ErrExpired
	case "revoked":
		return receiver.Sender{}, fmt.Errorf("token 7: %w", receiver.ErrRevoked)
	case "admin":
		return receiver.Sender{}, receiver.ErrDenied
	case "ledger":
		return receiver.Sender{}, errLedger
	}
	return receiver.Sender{}, receiver.ErrUnknown
}

func (credentials) Certificate(leaf *x509.Certificate) (receiver.Sender, error) {
	if leaf.Subject.CommonName != "billing.example" {
		return receiver.Sender{}, receiver.ErrUnknown
	}
	return receiver.Sender{ID: leaf.Subject.CommonName, Org: "acme", Source: "billing"}, nil
}

func newRedactor(t testing.TB) *intake.Redactor {
	t.Helper()
	r, err := intake.NewRedactor(bytes.Repeat([]byte{7}, 32), intake.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func settings(t testing.TB) intake.Settings {
	return intake.Settings{PlausibleAfter: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), RecordLimit: 2000, Ratio: 250, Redactor: newRedactor(t)}
}

// world is a server and what is behind it.
type world struct {
	*backend
	t        testing.TB
	server   *httptest.Server
	handler  *receiver.Handler
	observed chan receiver.Observation
}

func newWorld(t testing.TB, o receiver.Options) *world {
	t.Helper()
	return newWorldOf(t, settings(t), o)
}

func newWorldOf(t testing.TB, how intake.Settings, o receiver.Options) *world {
	t.Helper()
	w := &world{backend: &backend{t: t}, t: t, observed: make(chan receiver.Observation, 1000)}
	if o.Clock == nil {
		o.Clock = func() time.Time { return now }
	}
	o.Observe = func(seen receiver.Observation) { w.observed <- seen }
	var err error
	if w.handler, err = receiver.New(w.backend, credentials{}, how, &o); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.handler)
	t.Cleanup(w.server.Close)
	t.Cleanup(func() {
		if w.open != 0 {
			t.Errorf("%d batches were left open", w.open)
		}
	})
	return w
}

// answered is what a request was answered with.
type answered struct {
	receiver.Answer
	code   int
	header http.Header
	text   string
}

// send posts a body; headers are "Name: value", and "?query".
func (w *world) send(body io.Reader, headers ...string) *answered {
	w.t.Helper()
	got, err := w.trySend(body, headers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) trySend(body io.Reader, headers ...string) (*answered, error) {
	r, err := http.NewRequest(http.MethodPost, w.server.URL, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer good")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if query, ok := strings.CutPrefix(h, "?"); ok {
			r.URL.RawQuery = query
		} else {
			r.Header.Add(name, value)
			if name == "Authorization" {
				r.Header[name] = []string{value}
			}
		}
	}
	return do(w.server.Client(), r)
}

func do(c *http.Client, r *http.Request) (*answered, error) {
	response, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	got := &answered{code: response.StatusCode, header: response.Header, text: string(text)}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&got.Answer); err != nil {
		return nil, fmt.Errorf("answer %q: %w", text, err)
	}
	if got.Rejected == nil || (got.code == http.StatusOK) != (got.Error == "") {
		return nil, fmt.Errorf("answer %d %s", got.code, text)
	}
	return got, nil
}

func (w *world) sendText(body string, headers ...string) *answered {
	w.t.Helper()
	return w.send(strings.NewReader(body), headers...)
}

// counts are accepted, duplicate, not tracked, rejected.
func (a *answered) counts() [4]int64 {
	return [4]int64{a.Accepted, a.Duplicate, a.NotTracked, a.RejectedTotal}
}

// is checks code, counts and a part of the error.
func (a *answered) is(t testing.TB, code int, counts [4]int64, part string) {
	t.Helper()
	if a.code != code || a.counts() != counts || !strings.Contains(a.Error, part) {
		t.Errorf("%d %s, want %d %v with %q", a.code, a.text, code, counts, part)
	}
	retry := slices.Contains([]int{409, 429, 503, 507}, code)
	if got := a.header.Get("Retry-After"); (got != "") != retry {
		t.Errorf("%d with Retry-After %q", code, got)
	}
	if a.header.Get("Content-Type") != "application/json" {
		t.Errorf("header %v", a.header)
	}
}

// seen waits for what was observed of the next request.
func (w *world) seen() receiver.Observation {
	return <-w.observed
}

func line(id string) string {
	return fmt.Sprintf(`{"id":%q,"time":"2026-03-10T09:30:00Z","action":"file-read"}`, id)
}

func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(fmt.Sprintf("e%05d", i)) + "\n")
	}
	return b.String()
}

func gz(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zst(t testing.TB, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return string(z.EncodeAll([]byte(text), nil))
}
