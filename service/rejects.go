package service

import (
	"errors"
	"os"
	"sync"
	"time"

	"daybook/batch/intake"
	"daybook/batch/seal"
)

// rejects keeps records that senders were told can't be read. They are written down within a second, and before a seal: the sender has them, too. A pair of files has those of
// an hour, or one sender that goes wrong for a day would leave a hundred thousand.
type rejects struct {
	dir string
	now func() time.Time

	mu    sync.Mutex
	q     *intake.Quarantine // nil while there is none to add to
	begun time.Time          // it was
	last  time.Time          // of the newest
}

func newRejects(dir string, now func() time.Time) *rejects { return &rejects{dir: dir, now: now} }

// use calls f with the quarantine of now.
func (r *rejects) use(f func(q *intake.Quarantine) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.q == nil {
		r.q, r.begun = r.fresh(), r.now()
	}
	return f(r.q)
}

// ofFile returns a quarantine for what a file holds, which its reader closes or discards.
func (r *rejects) ofFile() *intake.Quarantine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fresh()
}

// fresh returns a quarantine of a name of its own; under mu.
func (r *rejects) fresh() *intake.Quarantine {
	at := r.now()
	if !at.After(r.last) { // files bear it as their name
		at = r.last.Add(1)
	}
	r.last = at
	return intake.NewQuarantine(r.dir, at)
}

// settle writes down what came since it was last called, and returns how many records that are and their hashes: also where they can't be written down, for senders were told that
// they were refused.
func (r *rejects) settle() (int64, []seal.Hash, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.q == nil {
		return 0, nil, nil
	}
	n, texts, err := r.q.Settle()
	if _, gone := os.Lstat(r.q.Path()); err != nil || gone != nil || r.now().Sub(r.begun).Abs() >= intake.FileSpan {
		err = errors.Join(err, r.end())
	}
	hashes, parsed := parseHashes(texts)
	return n, hashes, errors.Join(err, parsed)
}

// end has the next record begin new files; under mu.
func (r *rejects) end() error {
	err := r.q.Close()
	r.q = nil
	return err
}

// close writes down what came, and lets go of the files.
func (r *rejects) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.q == nil {
		return nil
	}
	return r.end()
}

func parseHashes(texts []string) ([]seal.Hash, error) {
	var hashes []seal.Hash
	for _, text := range texts {
		var h seal.Hash
		if err := h.UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}

// settleRejects writes down what was refused, for the next seal to tell.
func (s *Service) settleRejects() error {
	n, hashes, err := s.rejects.settle()
	if n > 0 {
		err = errors.Join(err, s.standing.Flush(n, hashes))
	}
	return err
}

// tell has the next seal tell of what was put away with a file.
func (s *Service) tell(q *intake.Quarantine) error {
	if q.Count() == 0 {
		return nil
	}
	hashes, err := parseHashes(q.Hashes())
	if err != nil {
		return err
	}
	return s.standing.Flush(q.Count(), hashes)
}

// waiting is how many records were refused and are not written down yet.
func (r *rejects) waiting() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.q == nil {
		return 0
	}
	return r.q.Count()
}
