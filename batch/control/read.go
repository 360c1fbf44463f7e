package control

import (
	"fmt"
	"time"

	"daybook/batch/seal"
	"daybook/sink"
)

// Ways in which sealed files are read.
const (
	ReadList = "ls"
	ReadGet  = "get"
	ReadLink = "link"
	ReadThaw = "thaw"
)

var readActions = map[string]string{ReadList: ActionReadList, ReadGet: ActionReadGet, ReadLink: ActionReadLink, ReadThaw: ActionReadThaw}

// MaxReadKeys is how many keys a Reading names; of more files it tells how many there are.
const MaxReadKeys = 100

// Reading is what somebody is about to read of a trail's sealed files, as he says himself.
type Reading struct {
	// How is ReadList, ReadGet, ReadLink or ReadThaw.
	How string `json:"how"`
	// Files and Bytes are how much it is, in the seals from FirstSeal to LastSeal, of the days from FirstDay to LastDay. Without a file the rest is zero.
	Files     int64      `json:"files"`
	Bytes     int64      `json:"bytes"`
	FirstSeal uint64     `json:"first_seal,omitempty"`
	LastSeal  uint64     `json:"last_seal,omitempty"`
	FirstDay  *seal.Date `json:"first_day,omitempty"`
	LastDay   *seal.Date `json:"last_day,omitempty"`
	// Keys are those of the files, or of the first MaxReadKeys.
	Keys []string `json:"keys,omitempty"`
	// Expires is when the links end that are given.
	Expires time.Time `json:"expires,omitzero"`
}

func (r *Reading) check() error {
	switch {
	case readActions[r.How] == "":
		return fmt.Errorf("%w: how is %q, must be ls, get, link or thaw", ErrInvalid, r.How)
	case r.Files < 0 || r.Bytes < 0 || r.FirstSeal > r.LastSeal || int64(len(r.Keys)) > r.Files:
		return fmt.Errorf("%w: the reading contradicts itself", ErrInvalid)
	case len(r.Keys) > MaxReadKeys:
		return fmt.Errorf("%w: %d keys, at most %d are told", ErrInvalid, len(r.Keys), MaxReadKeys)
	}
	for _, key := range r.Keys {
		if err := sink.CheckKey(key); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}

// Read records that somebody is about to read files of a trail. A viewer may say so, too.
func (c *Control) Read(by Actor, trail string, r Reading) error {
	return c.change(func(now time.Time) error {
		t := c.state.trails[trail]
		if t == nil || by.stranger(t.spec.Org) {
			return noTrail(trail)
		}
		if !by.known() || by.Name == "" {
			return by.may(t.spec.Org) // which tells why not
		}
		if err := r.check(); err != nil {
			return err
		}
		r.Expires = stamp(r.Expires)
		return c.append(now, &record{Action: readActions[r.How], By: by, Org: t.spec.Org, Trail: trail, Read: &r})
	})
}
