package receiver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake"
	"daybook/batch/intake/receiver"
)

type counted struct{ n int }

func (c *counted) Add(intake.Taken) error { c.n++; return nil }
func (c *counted) Discard()               {}
func (c *counted) Commit(context.Context) ([]receiver.Outcome, error) {
	return make([]receiver.Outcome, c.n), nil
}

// held is a world whose commits wait.
func held(t *testing.T, o receiver.Options) (w *world, begun chan struct{}, release chan struct{}) {
	t.Helper()
	w = newWorld(t, o)
	begun, release = make(chan struct{}, 100), make(chan struct{})
	w.onCommit = func(context.Context) {
		begun <- struct{}{}
		<-release
	}
	return w, begun, release
}

// aside sends in a goroutine of its own.
func (w *world) aside(body string, headers ...string) <-chan *answered {
	done := make(chan *answered, 1)
	go func() {
		got, err := w.trySend(strings.NewReader(body), headers...)
		if err != nil {
			w.t.Error(err)
			got = &answered{}
		}
		done <- got
	}()
	return done
}

func TestTooManyRequests(t *testing.T) {
	const number, memory = "too many requests are at work", "take all the memory"
	for name, test := range map[string]struct {
		o     receiver.Options
		first string
		body  string
		n     int64 // events of the body
		why   string
		hint  string
	}{
		"by number":                 {receiver.Options{MaxInFlight: 1}, line("a"), line("b"), 1, number, "1 are served at a time"},
		"by bytes":                  {receiver.Options{MaxInFlightBytes: 300 << 10}, line("a"), line("b"), 1, memory, "there are 0 MiB"},
		"by bytes that it holds":    {receiver.Options{MaxInFlightBytes: 580 << 10, ChunkEvents: 5000}, line("a"), gz(t, lines(3000)), 3000, memory, "in smaller pieces"},
		"by what unpacking takes":   {receiver.Options{MaxInFlightBytes: 8 << 20}, line("a"), zst(t, line("b")), 1, memory, "there are 8 MiB"},
		"the first holds it all":    {receiver.Options{MaxInFlightBytes: 580 << 10, ChunkEvents: 5000}, gz(t, lines(3000)), line("b"), 1, memory, "there are 0 MiB"},
		"the first is over it even": {receiver.Options{MaxInFlightBytes: 1}, zst(t, line("a")), line("b"), 1, memory, "there are 0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w, begun, release := held(t, test.o)
			first := w.aside(test.first)
			<-begun
			got := w.sendText(test.body)
			got.is(t, 429, [4]int64{}, test.why)
			if !strings.Contains(got.Hint, test.hint) || got.header.Get("Retry-After") == "" {
				t.Errorf("hint %q, want %q; %v", got.Hint, test.hint, got.header)
			}
			close(release)
			if (<-first).code != 200 {
				t.Error("the first was refused")
			}
			// The place is free again.
			w.sendText(test.body).is(t, 200, [4]int64{test.n, 0, 0, 0}, "")
		})
	}
}

// Small bodies need little, however they come: by no head that tells their length, or compressed.
func TestManySmallRequests(t *testing.T) {
	const n = 50
	for name, send := range map[string]func(w *world, body string) (*answered, error){
		"in chunks": func(w *world, body string) (*answered, error) {
			return w.trySend(struct{ io.Reader }{strings.NewReader(body)}) // of which no length is known
		},
		"gzip": func(w *world, body string) (*answered, error) { return w.trySend(strings.NewReader(gz(w.t, body))) },
		"gzip, as its head says": func(w *world, body string) (*answered, error) {
			return w.trySend(strings.NewReader(gz(w.t, body)), "Content-Encoding: gzip")
		},
		"zstd": func(w *world, body string) (*answered, error) { return w.trySend(strings.NewReader(zst(w.t, body))) },
		"zstd, as its head says": func(w *world, body string) (*answered, error) {
			return w.trySend(strings.NewReader(zst(w.t, body)), "Content-Encoding: zstd")
		},
		"zstd in chunks": func(w *world, body string) (*answered, error) {
			return w.trySend(struct{ io.Reader }{strings.NewReader(zst(w.t, body))})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			how := settings(t)
			how.RecordLimit = 16 << 20 // the default of the configuration
			w := newWorldOf(t, how, receiver.Options{})
			begun, release := make(chan struct{}, n), make(chan struct{})
			let := sync.OnceFunc(func() { close(release) })
			defer let()
			w.onCommit = func(context.Context) {
				begun <- struct{}{}
				<-release
			}
			codes := make(chan int, n)
			for i := range n {
				go func() {
					got, err := send(w, line(fmt.Sprint("e", i)))
					if err != nil {
						t.Error(err)
						got = &answered{}
					}
					codes <- got.code
				}()
			}
			for range n { // all are at work at a time
				select {
				case <-begun:
				case code := <-codes:
					t.Fatalf("one was answered with %d while others were at work", code)
				}
			}
			let()
			for range n {
				if code := <-codes; code != http.StatusOK {
					t.Errorf("answered with %d", code)
				}
			}
		})
	}
}

// A long body of short records holds no more than a chunk of them.
func TestALongBodyHoldsAChunk(t *testing.T) {
	w := newWorld(t, receiver.Options{MaxInFlightBytes: 1 << 20})
	begun, release := make(chan struct{}), make(chan struct{})
	var later atomic.Bool
	w.onCommit = func(context.Context) {
		if !later.Swap(true) {
			close(begun)
			<-release
		}
	}
	short := w.aside(line("short"))
	<-begun                                                                    // and holds its share from now on
	w.sendText(gz(t, lines(20_000))).is(t, 200, [4]int64{20_000, 0, 0, 0}, "") // 1.5 MB, and as much again as rows
	close(release)
	(<-short).is(t, 200, [4]int64{1, 0, 0, 0}, "")
}

func TestMemoryIsGivenBack(t *testing.T) {
	w, begun, release := held(t, receiver.Options{MaxInFlightBytes: 580 << 10, ChunkEvents: 5000}) // room for two small requests
	for i := range 3 {
		first := w.aside(gz(t, lines(3000)))
		<-begun
		second := w.aside("[" + line(fmt.Sprint("second ", i)) + "]") // which is let in only if the first holds no more than it needs
		select {
		case <-begun:
			t.Fatal("there is no room for two of which one is large")
		case got := <-second:
			got.is(t, 429, [4]int64{}, "take all the memory")
		}
		release <- struct{}{}
		if got := <-first; got.code != http.StatusOK {
			t.Errorf("answered with %d", got.code)
		}

		first, second = w.aside(line(fmt.Sprint("third ", i))), w.aside(gz(t, line(fmt.Sprint("fourth ", i))))
		<-begun
		<-begun
		release <- struct{}{}
		release <- struct{}{}
		(<-first).is(t, 200, [4]int64{1, 0, 0, 0}, "")
		(<-second).is(t, 200, [4]int64{1, 0, 0, 0}, "")
	}
}

func TestARateIsUsedUp(t *testing.T) {
	var mu sync.Mutex
	at := now
	w := newWorld(t, receiver.Options{Rate: 10, Burst: 20, Clock: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return at
	}})
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(d)
	}
	w.sendText(lines(10)).is(t, 200, [4]int64{10, 0, 0, 0}, "")
	w.sendText(lines(60)).is(t, 200, [4]int64{50, 10, 0, 0}, "") // it may owe 50
	got := w.sendText(line("x"))
	got.is(t, 429, [4]int64{}, "too many events")
	if after := got.header.Get("Retry-After"); after != "6" { // 5.1 s
		t.Errorf("Retry-After %s", after)
	}
	w.sendText(line("x"), "Authorization: Bearer other").is(t, 200, [4]int64{1, 0, 0, 0}, "")
	pass(5 * time.Second)
	w.sendText(line("x")).is(t, 429, [4]int64{}, "too many events")
	pass(100 * time.Millisecond)
	w.sendText("{}").is(t, 400, [4]int64{0, 0, 0, 1}, "") // which counts, too
	w.sendText(line("x")).is(t, 429, [4]int64{}, "too many events")
	pass(time.Hour)
	w.sendText(lines(20)).is(t, 200, [4]int64{0, 20, 0, 0}, "")
	w.sendText(line("x")).is(t, 429, [4]int64{}, "too many events")
}

func TestWhatTheBackendCannotDo(t *testing.T) {
	inside := errors.New("panic at the disk") // which nobody outside is told
	for _, test := range []struct {
		err  error
		code int
		part string
	}{
		{fmt.Errorf("spool: %w", receiver.ErrFull), 507, "the disk is full"},
		{fmt.Errorf("spool: %w", receiver.ErrUnavailable), 503, "no events can be taken in"},
		{context.DeadlineExceeded, 503, "no events can be taken in"},
		{inside, 500, "internal error"},
	} {
		for step, counts := range map[string][4]int64{
			"begin": {2, 0, 0, 1}, "add": {2, 0, 0, 1}, "commit": {2, 0, 0, 1}, "reject": {2, 0, 0, 0}, "watermark": {4, 0, 0, 1},
		} {
			t.Run(fmt.Sprint(step, " ", test.code), func(t *testing.T) {
				w := newWorld(t, receiver.Options{ChunkEvents: 2})
				broken := true
				w.fail = func(at string) error {
					if broken && at == step && (w.commits == 1 || step == "reject" || step == "watermark") {
						return test.err
					}
					return nil
				}
				body := []string{line("a") + "\n" + line("b") + "\n{}\n" + line("c") + "\n" + line("d"), "Daybook-Watermark: 2026-03-20T12:00:00Z", "Idempotency-Key: k"}
				got := w.sendText(body[0], body[1:]...)
				got.is(t, test.code, counts, test.part)
				if strings.Contains(got.text, inside.Error()) || got.Hint == "" {
					t.Errorf("answer %s", got.text)
				}
				if int64(len(w.ids())) != got.Accepted {
					t.Errorf("%d events are kept", len(w.ids()))
				}
				if len(w.watermarks) != 0 {
					t.Errorf("watermarks %v", w.watermarks)
				}
				// Sent again, with the same key, all of it is there.
				broken = false
				w.sendText(body[0], body[1:]...).is(t, 200, [4]int64{4 - got.Accepted, got.Accepted, 0, 1}, "")
				if diff := cmp.Diff([]string{"a", "b", "c", "d"}, w.ids()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// odd is a batch that tells of what was not added.
type odd struct {
	counted
	outcomes []receiver.Outcome
}

func (o *odd) Commit(context.Context) ([]receiver.Outcome, error) { return o.outcomes, nil }

type oddBackend struct {
	counting
	outcomes []receiver.Outcome
}

func (o *oddBackend) Begin(receiver.Sender, time.Time) (receiver.Batch, error) {
	return &odd{outcomes: o.outcomes}, nil
}

func TestABackendThatMiscounts(t *testing.T) {
	for _, outcomes := range [][]receiver.Outcome{nil, make([]receiver.Outcome, 2), {{State: 7}}} {
		got := direct(t, &oddBackend{outcomes: outcomes}, receiver.Options{}, 2000, strings.NewReader(line("a")))
		if got.Code != http.StatusInternalServerError {
			t.Errorf("%v: %d %s", outcomes, got.Code, got.Body)
		}
	}
}
