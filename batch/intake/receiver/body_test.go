package receiver_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake/receiver"
)

func TestALargeBodyIsCommittedInChunks(t *testing.T) {
	for name, o := range map[string]receiver.Options{
		"by events": {ChunkEvents: 100},
		"by bytes":  {ChunkBytes: 100 * len(`{"id":"e00000","source":"billing","time":"2026-03-10T09:30:00Z","received":"2026-03-20T12:00:00Z","org":"acme","action":"file-read"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, o)
			w.sendText(lines(950)).is(t, 200, [4]int64{950, 0, 0, 0}, "")
			if w.commits != 10 {
				t.Errorf("%d commits", w.commits)
			}
		})
	}
}

// repeated reads as head, then text over and over up to n bytes, then tail; each is called before every read.
type repeated struct {
	text string
	n    int64
	each func()
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	r.each()
	if r.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.n)]
	for n := 0; n < len(p); {
		c := copy(p[n:], r.text[r.at:])
		n += c
		r.at = (r.at + c) % len(r.text)
	}
	r.n -= int64(len(p))
	return len(p), nil
}

// heap is the most that was seen on the heap since the test began.
type heap struct{ start, most uint64 }

func watchHeap() *heap {
	h := &heap{}
	runtime.GC()
	h.look()
	h.start, h.most = h.most, 0
	return h
}

func (h *heap) look() {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	h.most = max(h.most, sample[0].Value.Uint64())
}

// counting is a backend that keeps nothing but the first record.
type counting struct {
	first receiver.Rejection
}

func (c *counting) Begin(receiver.Sender, time.Time) (receiver.Batch, error) { return &counted{}, nil }
func (c *counting) Watermark(receiver.Sender, time.Time) error               { return nil }
func (c *counting) Reject(_ receiver.Sender, r receiver.Rejection) error {
	if c.first.Line == 0 {
		c.first = r
		c.first.Data = bytes.Clone(r.Data)
	}
	return nil
}

// direct hands a body to a handler without a server between them.
func direct(t *testing.T, backend receiver.Backend, o receiver.Options, limit int, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	how := settings(t)
	how.RecordLimit = limit
	h, err := receiver.New(backend, credentials{}, how, &o)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/events", body)
	r.ContentLength = -1
	r.Header.Set("Authorization", "Bearer good")
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	return recorder
}

func TestMemoryIsBounded(t *testing.T) {
	const size = 8 << 20
	row := line("a") + ",\n"
	bomb := gz(t, strings.Repeat("a", 1<<20))
	for name, test := range map[string]struct {
		head, text, tail string
		n                int64
		code             int
		part             string
	}{
		"a giant list":   {"[", row, line("z") + "]", size / int64(len(row)) * int64(len(row)), 200, `"rejected_total":0`},
		"giant lines":    {"", line("a") + "\n", "", size / int64(len(row)-1) * int64(len(row)-1), 200, `"rejected_total":0`},
		"bad lines":      {"", "{}\n", "", 3 * 50_000, 400, `"rejected_total":50000`},
		"a giant record": {line("a") + "\n{\"time\":\"", "long ", "\"}\n" + line("z"), size, 200, `"accepted":2,`},
		"a bomb":         {gz(t, line("a")+"\n"), bomb, "", int64(len(bomb)) * 50, 413, `"accepted":1,`},
	} {
		t.Run(name, func(t *testing.T) {
			h := watchHeap()
			body := io.MultiReader(strings.NewReader(test.head), &repeated{text: test.text, n: test.n, each: h.look}, strings.NewReader(test.tail))
			got := direct(t, &counting{}, receiver.Options{MaxBody: 1 << 30, MaxContent: size + 1<<20, Rate: 1e9, ChunkBytes: 256 << 10}, 256<<10, body)
			if got.Code != test.code || !strings.Contains(got.Body.String(), test.part) {
				t.Errorf("%d %.300s", got.Code, got.Body)
			}
			if h.most > h.start+10<<20 {
				t.Errorf("the heap grew by %d bytes", h.most-h.start)
			}
		})
	}
}

func TestAnEventOf100MB(t *testing.T) {
	const size = 100 << 20
	h := watchHeap()
	sum, length := sha256.New(), int64(0)
	record := func(each func()) io.Reader {
		return io.MultiReader(strings.NewReader(`{"time":"2026-03-10T09:30:00Z","action":"`), &repeated{text: strings.Repeat("x", 1<<10), n: size, each: each}, strings.NewReader(`"}`))
	}
	length, err := io.Copy(sum, record(func() {}))
	if err != nil {
		t.Fatal(err)
	}
	var kept counting
	got := direct(t, &kept, receiver.Options{MaxBody: 200 << 20}, 1<<20, record(h.look))
	if got.Code != 413 || !strings.Contains(got.Body.String(), "longer than 1048576 bytes") || !strings.Contains(got.Body.String(), fmt.Sprintf("%x", sum.Sum(nil))) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if r := kept.first; r.Size != length || len(r.Data) != 1<<20 || fmt.Sprintf("%x", r.SHA256) != fmt.Sprintf("%x", sum.Sum(nil)) {
		t.Errorf("kept %d bytes of %d", len(r.Data), r.Size)
	}
	if h.most > h.start+16<<20 {
		t.Errorf("the heap grew by %d bytes", h.most-h.start)
	}
}

func TestABrokenConnectionTakesNothingBack(t *testing.T) {
	for name, length := range map[string]string{"of a length": "Content-Length: 100000", "in chunks": "Transfer-Encoding: chunked"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, receiver.Options{ChunkEvents: 2})
			conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			gone := make(chan struct{})
			var commits atomic.Int64
			w.onCommit = func(ctx context.Context) {
				if commits.Add(1) == 2 { // the last one, which is made when nobody is there
					<-gone
				}
				if ctx.Err() != nil {
					t.Errorf("the commit ends with the client: %v", ctx.Err())
				}
			}
			body := line("a") + "\n" + line("b") + "\n" + line("c") + "\n" + line("d")[:20]
			if length == "Transfer-Encoding: chunked" {
				body = fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
			}
			_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n%s\r\n\r\n%s", length, body)
			if err = errors.Join(err, conn.Close()); err != nil {
				t.Fatal(err)
			}
			close(gone)
			seen := w.seen()
			if seen.Code != 400 || seen.Accepted != 3 || seen.Rejected != 0 {
				t.Errorf("observed %+v", seen)
			}
			if diff := cmp.Diff([]string{"a", "b", "c"}, w.ids()); diff != "" {
				t.Error(diff)
			}
			w.sendText(line("a")+"\n"+line("b")+"\n"+line("c")+"\n"+line("d")).is(t, 200, [4]int64{1, 3, 0, 0}, "")
		})
	}
}

func TestABodyThatStopsComing(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for name, text := range map[string]string{"at once": "", "behind events": line("a") + "\n" + line("b")[:20]} {
			t.Run(version+" "+name, func(t *testing.T) {
				w := newWorld(t, receiver.Options{BodyTimeout: 20 * time.Millisecond})
				server := httptest.NewUnstartedServer(w.handler)
				server.EnableHTTP2 = version == "HTTP/2.0"
				server.StartTLS()
				defer server.Close()
				w.server = server
				r, stop := io.Pipe()
				go func() { _, _ = io.WriteString(stop, text) }() // the test waits for what the server says
				got := w.send(r)
				want := [4]int64{}
				if text != "" {
					want[0] = 1
				}
				got.is(t, 408, want, "the body stopped coming for 20ms")
				_ = stop.Close() // never fails
			})
		}
	}
}

// deadlines is a ResponseWriter that knows its read deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	mu   sync.Mutex
	read time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.read = t
	return nil
}

func (d *deadlines) deadline() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read
}

// slow gives a line at a time, and takes some time for each.
type slow struct {
	lines []string
	each  func()
}

func (s *slow) Read(p []byte) (int, error) {
	s.each()
	if len(s.lines) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.lines[0])
	s.lines = s.lines[1:]
	return n, nil
}

func TestABodyThatComesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Second
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		var body slow
		for i := range 3000 {
			body.lines = append(body.lines, line(fmt.Sprint(i))+"\n")
		}
		body.each = func() {
			left := time.Until(w.deadline())
			if left < timeout*7/8 || left > timeout {
				t.Errorf("a read has %v", left)
			}
			time.Sleep(timeout / 2)
		}
		b := &backend{t: t, onCommit: func(context.Context) {
			if d := w.deadline(); !d.IsZero() {
				t.Errorf("while events are committed, the deadline is %v", d)
			}
			time.Sleep(timeout * 2)
		}}
		h, err := receiver.New(b, credentials{}, settings(t), &receiver.Options{BodyTimeout: timeout, ChunkEvents: 10})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/", &body)
		r.Header.Set("Authorization", "Bearer good")
		h.ServeHTTP(w, r)
		if w.Code != 200 || len(b.rows) != 3000 || b.commits != 300 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		for _, last := range [][]string{nil, {"[", "]"}} {
			r := httptest.NewRequest(http.MethodPost, "/", &slow{last, body.each})
			r.Header.Set("Authorization", "Bearer good")
			h.ServeHTTP(w, r)
			if d := w.deadline(); !d.IsZero() {
				t.Errorf("left behind: %v", d)
			}
		}
	})
}
