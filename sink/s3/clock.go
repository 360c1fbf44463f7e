package s3

import (
	"net/http"
	"sync"
	"time"

	"daybook/sink"
)

var _ sink.Clock = (*Store)(nil)

// Offset implements sink.Clock, from the Date of what the server answered last. That has whole seconds, and was written somewhere between request and
// answer: a difference which that explains is told as none.
func (s *Store) Offset() (time.Duration, bool) { return s.clock.offset() }

// clock compares the server's with ours.
type clock struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	ahead time.Duration
	known bool
}

// slow is how long an answer may take of which the time is used: beyond, it says too little.
const slow = 5 * time.Second

// read takes the time from an answer to a request that was sent at the time given.
func (c *clock) read(sent time.Time, h http.Header) {
	received := c.now()
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil || received.Sub(sent) > slow || received.Before(sent) {
		return
	}
	least, most := date.Sub(received), date.Add(time.Second).Sub(sent)
	ahead := time.Duration(0)
	if least > 0 || most < 0 {
		ahead = (least + most) / 2
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead, c.known = ahead, true
}

func (c *clock) offset() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead, c.known
}
