package receiver_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/batch/intake/receiver"
)

func TestAKeyGivesTheSameAnswerAgain(t *testing.T) {
	signer := newKey(t)
	var mu sync.Mutex
	at := now
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
	w := newWorld(t, receiver.Options{Signer: signer, Clock: clock, MaxBody: 10_000, Rate: 1e6})
	const key = "Idempotency-Key: 7b3a-!~"
	for name, test := range map[string]struct {
		body    string
		headers []string
		code    int
	}{
		"events":           {line("a") + "\n{}", nil, 200},
		"with receipts":    {line("b"), []string{"?receipt=true"}, 200},
		"gzip":             {gz(t, line("c")), nil, 200},
		"nothing readable": {"{}", nil, 400},
		"cut JSON":         {"[" + line("d"), nil, 400},
		"a long one":       {line(strings.Repeat("x", 3000)), nil, 413},
		"foreign":          {"PK\x03\x04" + strings.Repeat("more", 100), nil, 415},
		"a heartbeat":      {"", []string{"Daybook-Watermark: 2026-03-20T12:00:00Z"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			headers := append([]string{key + strings.ReplaceAll(name, " ", "-")}, test.headers...)
			first := w.sendText(test.body, headers...)
			if first.code != test.code || first.header.Get("Idempotency-Replayed") != "" {
				t.Fatalf("%d %s", first.code, first.text)
			}
			w.seen()
			commits, rejections := w.commits, len(w.rejections)
			again := w.sendText(test.body, headers...)
			if again.code != first.code || again.text != first.text || again.header.Get("Idempotency-Replayed") != "true" {
				t.Errorf("again: %d %s, at first %d %s", again.code, again.text, first.code, first.text)
			}
			if seen := w.seen(); !seen.Replayed || seen.Accepted != 0 || seen.Code != first.code || seen.Bytes != int64(len(test.body)) {
				t.Errorf("observed %+v", seen)
			}
			if w.commits != commits || len(w.rejections) != rejections {
				t.Error("it was done again")
			}
			w.sendText(test.body+" ", headers...).is(t, 422, [4]int64{}, "used with another request")
			w.sendText(test.body, append([]string{"Daybook-Receipt: true", "Daybook-Watermark: 2026-03-20T11:00:00Z"}, headers[:1]...)...).is(t, 422, [4]int64{}, "used with another request")
			w.sendText(strings.Repeat(" ", 20_000), headers...).is(t, 413, [4]int64{}, "more than 10000 bytes")
			// It is the sender's own key.
			if other := w.sendText(test.body, append(headers, "Authorization: Bearer other")...); other.header.Get("Idempotency-Replayed") != "" || other.code != test.code {
				t.Errorf("another sender: %d %s", other.code, other.text)
			}
			if again := w.sendText(test.body, headers...); again.text != first.text {
				t.Errorf("after all that: %d %s", again.code, again.text)
			}
			for range 5 {
				w.seen()
			}
		})
	}
	mu.Lock()
	at = at.Add(24 * time.Hour)
	mu.Unlock()
	if got := w.sendText(line("a")+"\n{}", key+"events"); got.header.Get("Idempotency-Replayed") != "" || got.Duplicate != 1 {
		t.Errorf("a day later: %s", got.text)
	}
}

func TestAKeyThatIsAtWork(t *testing.T) {
	w, begun, release := held(t, receiver.Options{})
	const key = "Idempotency-Key: k"
	first := w.aside(line("a"), key)
	<-begun
	w.sendText(line("a"), key).is(t, 409, [4]int64{}, "is being processed")
	other := w.aside(line("b"), key, "Authorization: Bearer other")
	<-begun
	close(release)
	(<-first).is(t, 200, [4]int64{1, 0, 0, 0}, "")
	(<-other).is(t, 200, [4]int64{1, 0, 0, 0}, "")
	if got := w.sendText(line("a"), key); got.code != 200 || got.Accepted != 1 || got.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %s", got.code, got.text)
	}
}

func TestManyWithOneKey(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	var answers []<-chan *answered
	for range 20 {
		answers = append(answers, w.aside(line("a"), "Idempotency-Key: k"))
	}
	accepted := int64(0)
	for _, a := range answers {
		got := <-a
		switch {
		case got.code == 409:
		case got.code != 200 || got.Accepted != 1:
			t.Errorf("%d %s", got.code, got.text)
		case got.header.Get("Idempotency-Replayed") == "":
			accepted++
		}
	}
	if accepted != 1 || w.commits != 1 {
		t.Errorf("it was done %d times", w.commits)
	}
}

func TestAnswersThatAskToTryAgainAreNotRemembered(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	const key = "Idempotency-Key: k"
	body := "[" + line("a") + "]"
	r := strings.NewReader(body[:10])
	if _, err := w.trySend(struct{ *cut }{&cut{r}}, key); err == nil {
		t.Error("a body that breaks off was answered")
	}
	if seen := w.seen(); seen.Code != 400 {
		t.Errorf("observed %+v", seen)
	}
	w.sendText(body, key).is(t, 200, [4]int64{1, 0, 0, 0}, "")
}

// cut reads as r, and breaks then.
type cut struct{ r *strings.Reader }

func (c *cut) Read(p []byte) (int, error) {
	if c.r.Len() == 0 {
		return 0, errLedger
	}
	return c.r.Read(p)
}

func TestKeysAreForgotten(t *testing.T) {
	for name, o := range map[string]receiver.Options{"by number": {ReplayKeys: 3}, "by size": {ReplayBytes: 3 * 700}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, o)
			replayed := func(i int) bool {
				got := w.sendText(line(fmt.Sprint(i)), fmt.Sprint("Idempotency-Key: ", i))
				return got.header.Get("Idempotency-Replayed") == "true"
			}
			for i := range 3 {
				replayed(i)
			}
			if !replayed(0) || !replayed(1) || !replayed(2) || !replayed(0) {
				t.Error("forgotten too early")
			}
			replayed(3) // and 1 goes
			if !replayed(0) || !replayed(2) || !replayed(3) || replayed(1) {
				t.Error("what was used last goes first")
			}
		})
	}
	w := newWorld(t, receiver.Options{ReplayBytes: 100})
	for range 2 {
		if got := w.sendText(line("a"), "Idempotency-Key: k"); got.header.Get("Idempotency-Replayed") != "" {
			t.Error("an answer that is too large was remembered")
		}
	}
}
