package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"daybook/batch/seal"
)

// carry is what was counted and no seal has told yet: it belongs to no day, and so the next seal of any trail tells it.
type carry struct {
	Quarantined int64       `json:"quarantined"`
	Hashes      []seal.Hash `json:"hashes"`
	NotTracked  int64       `json:"not_tracked"`
	Pending     int64       `json:"pending"`
	// Duplicates are those that an import found in the spool.
	Duplicates int64 `json:"duplicates"`
}

func (c carry) isZero() bool {
	return c.Quarantined == 0 && c.NotTracked == 0 && c.Pending == 0 && c.Duplicates == 0
}

// plus adds what another run counted. Pending events are read again by later runs, and so do not add up.
func (c carry) plus(d carry) carry {
	c.Quarantined += d.Quarantined
	c.NotTracked += d.NotTracked
	c.Duplicates += d.Duplicates
	c.Pending = d.Pending
	c.Hashes = append(c.Hashes[:len(c.Hashes):len(c.Hashes)], d.Hashes...)
	c.Hashes = c.Hashes[:min(len(c.Hashes), seal.MaxListed)]
	return c
}

func (s *state) readCarry() (carry, error) {
	var c carry
	data, err := os.ReadFile(s.path("carry.json"))
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return c, fmt.Errorf("carry: %w", err)
	}
	return c, nil
}

func (s *state) writeCarry(c carry) error {
	data, err := json.Marshal(c)
	if err == nil {
		err = writeFile(s.path("carry.json"), data)
	}
	if err != nil {
		return fmt.Errorf("carry: %w", err)
	}
	return nil
}
