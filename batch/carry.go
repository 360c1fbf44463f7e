package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"daybook/batch/seal"
)

// carry is what was counted and no seal has told yet: it belongs to no day, and so the next seal of any trail tells it.
type carry struct {
	// Run numbers the runs that left something, from 1; a sum has the number of the newest.
	Run         int64       `json:"run"`
	Quarantined int64       `json:"quarantined"`
	Hashes      []seal.Hash `json:"hashes"`
	NotTracked  int64       `json:"not_tracked"`
	// Duplicates are those that an import found in the spool.
	Duplicates int64 `json:"duplicates"`
	// Pending events are read again by later runs, and so are not carried beyond theirs.
	Pending int64 `json:"-"`
}

func (c carry) isZero() bool { return c.Quarantined == 0 && c.NotTracked == 0 && c.Duplicates == 0 }

// plus adds what a later run counted.
func (c carry) plus(d carry) carry {
	c.Run = max(c.Run, d.Run)
	c.Quarantined += d.Quarantined
	c.NotTracked += d.NotTracked
	c.Duplicates += d.Duplicates
	c.Pending += d.Pending
	c.Hashes = append(c.Hashes[:len(c.Hashes):len(c.Hashes)], d.Hashes...)
	c.Hashes = c.Hashes[:min(len(c.Hashes), seal.MaxListed)]
	return c
}

// untold is the file carry.json. It holds runs apart, since a seal that was begun tells those that there were then, and no others.
type untold struct {
	Newest int64   `json:"newest"` // the number given last
	Runs   []carry `json:"runs"`   // oldest first
}

func (s *state) readUntold() (untold, error) {
	var u untold
	data, err := os.ReadFile(s.path("carry.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &u)
	}
	if err != nil {
		return u, fmt.Errorf("carry: %w", err)
	}
	return u, nil
}

func (s *state) writeUntold(u untold) error {
	data, err := json.Marshal(u)
	if err == nil {
		err = WriteFile(s.path("carry.json"), data)
	}
	if err != nil {
		return fmt.Errorf("carry: %w", err)
	}
	return nil
}

// carried returns the sum of what is not told.
func (s *state) carried() (carry, error) {
	s.carry.Lock()
	defer s.carry.Unlock()
	var sum carry
	u, err := s.readUntold()
	for _, c := range u.Runs {
		sum = sum.plus(c)
	}
	return sum, err
}

// keep keeps what a run counted.
func (s *state) keep(c carry) error {
	if c.isZero() {
		return nil
	}
	s.carry.Lock()
	defer s.carry.Unlock()
	u, err := s.readUntold()
	if err != nil {
		return err
	}
	begun, err := fs.Glob(os.DirFS(s.dir), "journal/*.json")
	if err != nil {
		return err
	}
	u.Newest++
	c.Run = u.Newest
	if n := len(u.Runs); n > 0 && len(begun) == 0 { // no seal is about to tell the runs before without this one
		u.Runs[n-1] = u.Runs[n-1].plus(c)
	} else {
		u.Runs = append(u.Runs, c)
	}
	return s.writeUntold(u)
}

// told forgets what was counted up to a run. It may be called again.
func (s *state) told(run int64) error {
	s.carry.Lock()
	defer s.carry.Unlock()
	u, err := s.readUntold()
	if err != nil || len(u.Runs) == 0 || u.Runs[0].Run > run {
		return err
	}
	for len(u.Runs) > 0 && u.Runs[0].Run <= run {
		u.Runs = u.Runs[1:]
	}
	return s.writeUntold(u)
}
