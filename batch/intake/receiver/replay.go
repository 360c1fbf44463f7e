package receiver

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// replays remembers answers by sender and Idempotency-Key: the last ones, up to a number, a size and an age.
type replays struct {
	keep     time.Duration
	maxKeys  int
	maxBytes int64

	mu     sync.Mutex
	atWork map[replayKey]struct{}      // mu's
	known  map[replayKey]*list.Element // mu's; of *replay
	order  *list.List                  // mu's; the one that was used last is in front
	bytes  int64                       // mu's; of the answers
}

type replayKey struct{ sender, key string }

// replay is an answer and what it answered.
type replay struct {
	key  replayKey
	at   time.Time
	sum  [sha256.Size]byte // of the body as it was sent
	how  string            // the parameters of the request
	code int
	body []byte
}

// size is what a replay takes, roughly.
func (r *replay) size() int64 {
	return int64(len(r.body)+len(r.key.sender)+len(r.key.key)+len(r.how)) + 512
}

func newReplays(keep time.Duration, keys int, bytes int64) *replays {
	return &replays{keep: keep, maxKeys: keys, maxBytes: bytes, atWork: map[replayKey]struct{}{}, known: map[replayKey]*list.Element{}, order: list.New()}
}

// begin says what is known of a key: that a request with it is at work, or its answer. If neither, end has to be called once the request is done.
func (s *replays) begin(key replayKey, now time.Time) (known *replay, atWork bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, atWork = s.atWork[key]; atWork {
		return nil, true
	}
	if e := s.known[key]; e != nil {
		r := e.Value.(*replay)
		if now.Sub(r.at) < s.keep {
			s.order.MoveToFront(e)
			return r, false
		}
		s.drop(e)
	}
	s.atWork[key] = struct{}{}
	return nil, false
}

// end says that a request is done; answer is nil where it is not to be remembered.
func (s *replays) end(key replayKey, answer *replay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.atWork, key)
	if answer == nil || answer.size() > s.maxBytes {
		return
	}
	s.known[key] = s.order.PushFront(answer)
	s.bytes += answer.size()
	for s.order.Len() > s.maxKeys || s.bytes > s.maxBytes {
		s.drop(s.order.Back())
	}
}

func (s *replays) drop(e *list.Element) {
	r := e.Value.(*replay)
	s.order.Remove(e)
	delete(s.known, r.key)
	s.bytes -= r.size()
}
