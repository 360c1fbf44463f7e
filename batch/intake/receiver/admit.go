package receiver

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// work counts the requests that are at work, and the memory they need.
type work struct {
	maxRequests int
	maxBytes    int64

	mu       sync.Mutex
	requests int   // mu's
	bytes    int64 // mu's
}

// begin lets in a request that needs so many bytes, if there is room. If so, end has to be called with the same number.
func (w *work) begin(bytes int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.requests > 0 && (w.requests >= w.maxRequests || w.bytes+bytes > w.maxBytes) {
		return false
	}
	w.requests++
	w.bytes += bytes
	return true
}

// grow lets a request that is at work have so many bytes more, if there is room, or if no other is at work.
func (w *work) grow(bytes int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.requests > 1 && w.bytes+bytes > w.maxBytes {
		return false
	}
	w.bytes += bytes
	return true
}

func (w *work) end(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests--
	w.bytes -= bytes
}

// rates hold how much each sender has left.
type rates struct {
	limit rate.Limit // 0: there is none
	burst int

	mu      *sync.Mutex
	senders map[string]*rate.Limiter // mu's; those that are not there have all
}

func newRates(limit float64, burst int) rates {
	return rates{rate.Limit(limit), burst, &sync.Mutex{}, map[string]*rate.Limiter{}}
}

// maxSenders is how many senders are held before those are forgotten that have all they can have.
const maxSenders = 4096

// wait says how long a sender has to wait; 0 if it has some left.
func (r *rates) wait(sender string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.senders[sender]
	if l == nil {
		return 0
	}
	missing := 1 - l.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(r.limit) * float64(time.Second))
}

// charge takes n records off what a sender has. It may owe some afterwards.
func (r *rates) charge(sender string, n int64, now time.Time) {
	if r.limit == 0 || n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.senders[sender]
	if l == nil {
		if len(r.senders) >= maxSenders {
			for id, l := range r.senders {
				if l.TokensAt(now) >= float64(r.burst) {
					delete(r.senders, id)
				}
			}
		}
		l = rate.NewLimiter(r.limit, r.burst)
		r.senders[sender] = l
	}
	for n > 0 {
		part := min(n, int64(r.burst))
		l.ReserveN(now, int(part))
		n -= part
	}
}
