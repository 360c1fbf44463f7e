package receiver

import (
	"errors"
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

// Why a request is told to come again.
var (
	errRequests = errors.New("too many requests are at work")
	errMemory   = errors.New("the requests at work take all the memory that there is for them")
)

// begin lets in a request that needs so many bytes, if there is room. If so, end has to be called with what it holds in the end.
func (w *work) begin(bytes int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.requests > 0 && w.requests >= w.maxRequests:
		return errRequests
	case w.requests > 0 && w.bytes+bytes > w.maxBytes:
		return errMemory
	}
	w.requests++
	w.bytes += bytes
	return nil
}

// grow lets a request that is at work have so many bytes more, if there is room, or if no other is at work.
func (w *work) grow(bytes int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.requests > 1 && w.bytes+bytes > w.maxBytes {
		return errMemory
	}
	w.bytes += bytes
	return nil
}

func (w *work) end(bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests--
	w.bytes -= bytes
}

// share is what a request holds of the memory that there is for all.
type share struct {
	work *work
	base int64 // whatever its content is
	held int64
}

// A request needs overhead whatever its body is, roughly, and more as it is read, a step at a time.
const (
	overhead = 256 << 10
	step     = 16 << 10
)

// content has the request hold as much as so many bytes of content need.
func (s *share) content(bytes int64) error {
	missing := s.base + bytes - s.held
	if missing <= 0 {
		return nil
	}
	missing = (missing + step - 1) / step * step
	if err := s.work.grow(missing); err != nil {
		return err
	}
	s.held += missing
	return nil
}

// unpacking has it hold what decompressing needs, whatever the content is: of gzip that is nothing to speak of.
func (s *share) unpacking(encoding string) error {
	if encoding == "zstd" {
		s.base = overhead + maxWindow
	}
	return s.content(0)
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
