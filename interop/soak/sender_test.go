package soak_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/klauspost/compress/zstd"
)

// sender sends what it makes up, until it is told to stop, and each batch until it is acknowledged.
type sender struct {
	w           *world
	org, source string
	random      *rand.Rand
	client      *http.Client
	n           int
	batches     []*batch // some that were acknowledged
	facts       []*fact  // some of theirs, with ids
}

// remembered is how many batches and events a sender can send again.
const remembered = 100

func (w *world) sender(org, source string, stream uint64) *sender {
	return &sender{w: w, org: org, source: source, random: rand.New(rand.NewPCG(w.seed, stream)), client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{}}}
}

// run sends until stop is closed. What is on its way then is sent to its end.
func (s *sender) run(stop <-chan struct{}) {
	defer s.client.CloseIdleConnections()
	for {
		pause := time.NewTimer(time.Duration(20+s.random.IntN(300)) * time.Millisecond) // what a sender has to send comes when it does
		select {
		case <-stop:
			pause.Stop()
			return
		case <-pause.C:
		}
		b, err := s.next()
		if err == nil && b != nil {
			err = s.deliver(b)
		}
		if err != nil {
			s.w.book.fail("sender %s: %w", s.source, err)
			return
		}
	}
}

// next is what is sent now: a heartbeat, something that was sent before, or something new.
func (s *sender) next() (*batch, error) {
	switch n := s.random.IntN(100); {
	case n < 4:
		return nil, s.heartbeat()
	case n < 14 && len(s.batches) > 0:
		return s.batches[s.random.IntN(len(s.batches))], nil
	}
	b, err := s.invent()
	if err != nil {
		return nil, err
	}
	s.remember(b)
	return b, nil
}

func (s *sender) remember(b *batch) {
	if len(s.batches) < remembered {
		s.batches = append(s.batches, b)
	} else {
		s.batches[s.random.IntN(remembered)] = b
	}
	for _, f := range b.facts {
		switch {
		case f.id == "": // its name depends on what is beside it
		case len(s.facts) < remembered:
			s.facts = append(s.facts, f)
		default:
			s.facts[s.random.IntN(remembered)] = f
		}
	}
}

// invent makes up a batch: new events, some that were sent before, some twice, and lines that are none.
func (s *sender) invent() (*batch, error) {
	var lines [][]byte
	b := &batch{}
	for range 1 + s.random.IntN(40) {
		f, err := s.event()
		if err != nil {
			return nil, err
		}
		s.w.book.add(f)
		b.facts = append(b.facts, f)
		lines = append(lines, f.line)
		if f.id != "" && s.random.IntN(30) == 0 {
			b.facts = append(b.facts, f)
			lines = append(lines, f.line)
		}
	}
	if len(s.facts) > 0 && s.random.IntN(4) == 0 {
		for range 1 + s.random.IntN(10) {
			f := s.facts[s.random.IntN(len(s.facts))]
			b.facts = append(b.facts, f)
			lines = append(lines, f.line)
		}
	}
	if s.random.IntN(8) == 0 {
		b.bad = 1 + s.random.IntN(3)
		for range b.bad {
			lines = append(lines, []byte(badLines[s.random.IntN(len(badLines))]))
		}
	}
	s.random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	b.body = append(bytes.Join(lines, []byte("\n")), '\n')
	if b.bad == 0 && s.random.IntN(5) == 0 {
		b.body = append(append([]byte("["), bytes.Join(lines, []byte(",\n"))...), ']')
	}
	if s.random.IntN(2) == 0 {
		b.key = fmt.Sprintf("%s-%d", s.source, s.random.Uint64())
	}
	if s.random.IntN(6) == 0 {
		b.query = "?receipt=true"
	}
	b.watermark = s.random.IntN(3) == 0
	return b, s.compress(b)
}

var badLines = []string{
	`this is no event`, `{"id":"half`, `{"id":"no-time","action":"file-read"}`, `{"id":"bad-time","time":"yesterday","action":"file-read"}`, `{"time":17}`,
}

func (s *sender) compress(b *batch) error {
	var out bytes.Buffer
	var w io.WriteCloser
	switch s.random.IntN(4) {
	case 0:
		b.encoding, w = "gzip", gzip.NewWriter(&out)
	case 1:
		z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return err
		}
		b.encoding, w = "zstd", z
	default:
		return nil
	}
	if _, err := w.Write(b.body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	b.body = out.Bytes()
	return nil
}

// event makes up an event.
func (s *sender) event() (*fact, error) {
	s.n++
	now := time.Now().UTC()
	f := &fact{
		nonce: fmt.Sprintf("%016x", s.random.Uint64()), id: fmt.Sprintf("%s-%d", s.source, s.n), org: s.org, source: s.source, kind: "api.read", action: "file-read",
		project: fmt.Sprintf("project-%d", s.random.IntN(4)),
	}
	switch n := s.random.IntN(100); {
	case n < 70:
		f.at = now.Add(-time.Duration(s.random.Int64N(int64(backDays * 24 * time.Hour))))
	case n < 95:
		f.at = now
	case n < 97:
		f.at = now.Add(-time.Duration(10+s.random.IntN(30)) * 24 * time.Hour)
	case n < 98:
		f.at, f.elsewhere = now.Add(time.Duration(3+s.random.IntN(100))*time.Hour), true
	default:
		f.at, f.elsewhere = time.Date(1990+s.random.IntN(9), 5, 1, 0, 0, s.n%60, 0, time.UTC), true
	}
	switch n := s.random.IntN(100); {
	case n < 5:
		f.id = ""
	case n < 8 && len(s.facts) > 0: // the same id with another content
		old := s.facts[s.random.IntN(len(s.facts))]
		f.id, f.at, f.elsewhere = old.id, old.at, old.elsewhere
	}
	if s.random.IntN(5) == 0 {
		f.kind, f.action = "authentication.login", "login"
	}
	var err error
	f.line, err = json.Marshal(map[string]any{
		"id": f.id, "time": f.at.Format(time.RFC3339Nano), "type": f.kind, "action": f.action, "outcome": "success", "actor_id": fmt.Sprintf("user-%d", s.random.IntN(9)),
		"project_id": f.project, "object_name": text(f.nonce), "info": map[string]string{"nonce": f.nonce, "note": text(f.nonce)},
	})
	if f.id == "" {
		f.line = bytes.Replace(f.line, []byte(`"id":"",`), nil, 1)
	}
	return f, err
}

// backDays is how many days before today most events are of.
const backDays = 5

// answer is what a request is answered with.
type answer struct {
	Error      string   `json:"error"`
	Accepted   int64    `json:"accepted"`
	Duplicate  int64    `json:"duplicate"`
	NotTracked int64    `json:"not_tracked"`
	Rejected   int64    `json:"rejected_total"`
	Receipts   []string `json:"receipts"`
	Omitted    int64    `json:"receipts_omitted"`
}

// patience is how long a batch is sent again and again.
const patience = 5 * time.Minute

// deliver sends a batch until it is acknowledged.
func (s *sender) deliver(b *batch) error {
	deadline := time.Now().Add(patience)
	for {
		code, a, replayed, err := s.send(b)
		switch {
		case err != nil:
		case code == http.StatusOK:
			if err := s.w.book.acknowledged(b, a, replayed); err != nil {
				return fmt.Errorf("batch with key %q: %w", b.key, err)
			}
			return nil
		case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable, code == http.StatusConflict, code == http.StatusRequestTimeout:
		default:
			return fmt.Errorf("batch: %d %s", code, a.Error)
		}
		s.w.book.unknown(b, err == nil)
		if time.Now().After(deadline) {
			return fmt.Errorf("batch: not acknowledged within %v: %d, %w", patience, code, err)
		}
		again := time.NewTimer(time.Duration(50+s.random.IntN(300)) * time.Millisecond)
		select {
		case <-again.C:
		case <-s.w.t.Context().Done():
			again.Stop()
			return s.w.t.Context().Err()
		}
	}
}

func (s *sender) send(b *batch) (code int, a *answer, replayed bool, err error) {
	header := http.Header{}
	if b.encoding != "" {
		header.Set("Content-Encoding", b.encoding)
	}
	if b.key != "" {
		header.Set("Idempotency-Key", b.key)
	}
	if b.watermark && b.key == "" { // with a key it would be another request each time
		header.Set("Daybook-Watermark", time.Now().UTC().Format(time.RFC3339))
	}
	r, err := s.w.post(s.client, s.w.tokens[s.source], "/v1/events"+b.query, b.body, header)
	if err != nil {
		return 0, nil, false, err
	}
	a = &answer{}
	if err := json.Unmarshal(r.body, a); err != nil {
		return 0, nil, false, fmt.Errorf("answer %d %q: %w", r.code, r.body, err)
	}
	return r.code, a, r.replayed, nil
}

// heartbeat tells that all was sent.
func (s *sender) heartbeat() error {
	r, err := s.w.post(s.client, s.w.tokens[s.source], "/v1/events", nil, http.Header{"Daybook-Watermark": {time.Now().UTC().Format(time.RFC3339)}})
	if err == nil && r.code != http.StatusOK && r.code != http.StatusServiceUnavailable {
		return fmt.Errorf("heartbeat: %d %s", r.code, r.body)
	}
	return nil // the next will come through
}

// reply is what came back, as it came.
type reply struct {
	code     int
	body     []byte
	replayed bool
}

// post sends a request, and reads the whole answer. It may be called by any goroutine.
func (w *world) post(client *http.Client, token, path string, body []byte, header http.Header) (r reply, err error) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+w.listen+path, bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r.code, r.replayed = resp.StatusCode, resp.Header.Get("Idempotency-Replayed") == "true"
	r.body, err = io.ReadAll(resp.Body)
	return r, err
}
