package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"daybook/batch/seal"
	"daybook/sink"
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
		return u, &sink.HintError{
			Err: fmt.Errorf("%s: %w", s.path("carry.json"), err),
			Hint: "if the disk is well and the file may be read, remove it, with the service stopped: it holds how much was quarantined, not tracked or duplicate and no seal has told yet, and no event. " +
				"No seal tells of that then; what is in quarantine stays there",
		}
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

// pledged returns up to which run seals that were begun tell what was counted; that of a trail is left out, whose seal is to be made anew.
func (s *state) pledged(but string) (int64, error) {
	begun, err := filepath.Glob(filepath.Join(s.path("journal"), "*.json"))
	if err != nil {
		return 0, err
	}
	newest := int64(0)
	for _, path := range begun {
		if but != "" && path == s.journalPath(but) {
			continue
		}
		var j struct {
			Told int64 `json:"told"`
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is done
		}
		if err == nil {
			err = json.Unmarshal(data, &j)
		}
		if err != nil {
			return 0, fmt.Errorf("journal: %s: %w", path, err)
		}
		newest = max(newest, j.Told)
	}
	return newest, nil
}

// tell returns the sum of what a seal of the trail that is made now is to tell: what no other seal that was begun tells. Run is 0 if there is nothing. What is
// counted from now on is kept apart from it.
func (s *state) tell(trail string) (carry, error) {
	s.carry.Lock()
	defer s.carry.Unlock()
	var sum carry
	after, err := s.pledged(trail)
	if err != nil {
		return sum, err
	}
	u, err := s.readUntold()
	for _, c := range u.Runs {
		if c.Run > after {
			sum = sum.plus(c)
		}
	}
	s.handed = max(s.handed, sum.Run)
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
	pledged, err := s.pledged("")
	if err != nil {
		return err
	}
	u.Newest++
	c.Run = u.Newest
	if n := len(u.Runs); n > 0 && u.Runs[n-1].Run > max(pledged, s.handed) { // no seal tells the run before without this one
		u.Runs[n-1] = u.Runs[n-1].plus(c)
	} else {
		u.Runs = append(u.Runs, c)
	}
	return s.writeUntold(u)
}

// told forgets what was counted up to a run, and was told by a seal of the trail; but for what another that was begun before tells. It may be called again.
func (s *state) told(trail string, run int64) error {
	s.carry.Lock()
	defer s.carry.Unlock()
	u, err := s.readUntold()
	if err != nil {
		return err
	}
	after, err := s.pledged(trail)
	if err != nil {
		return err
	}
	if after >= run { // that was begun later
		after = 0
	}
	left := slices.DeleteFunc(slices.Clone(u.Runs), func(c carry) bool { return c.Run > after && c.Run <= run })
	if len(left) == len(u.Runs) {
		return nil
	}
	u.Runs = left
	return s.writeUntold(u)
}
