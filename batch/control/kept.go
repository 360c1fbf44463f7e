package control

import (
	"fmt"
	"time"

	"daybook/batch/seal"
)

// Kept says which files of a trail an admin has had kept for longer, or let go. The store's log is what holds: the record is for the trail's readers.
type Kept struct {
	// From and To are days, both included; zero for an extension of seals by number.
	From seal.Date `json:"from,omitzero"`
	To   seal.Date `json:"to,omitzero"`
	// Project limits a hold; blank: all.
	Project string `json:"project,omitempty"`
	// FirstSeal and LastSeal are of an extension, and Until is until when it locks them.
	FirstSeal uint64    `json:"first_seal,omitempty"`
	LastSeal  uint64    `json:"last_seal,omitempty"`
	Until     time.Time `json:"until,omitzero"`
	// Leaf is the index of the log's leaf that says so.
	Leaf int64 `json:"leaf"`
}

// Keeps tells why an actor may not have files of a trail held or locked for longer; nil if he may.
func (c *Control) Keeps(by Actor, trail string) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.keeps(by, trail)
}

func (c *Control) keeps(by Actor, trail string) error {
	t := c.state.trails[trail]
	if t == nil || by.stranger(t.spec.Org) {
		return noTrail(trail)
	}
	return by.may(t.spec.Org)
}

// Keep records what was done to files of a trail: ActionHoldPut, ActionHoldRelease or ActionExtend. wantedBy is who is said to want it, where that is not who did it.
func (c *Control) Keep(by Actor, action, trail, reason, wantedBy string, k Kept) error {
	return c.change(func(now time.Time) error {
		if err := c.keeps(by, trail); err != nil {
			return err
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		if action != ActionHoldPut && action != ActionHoldRelease && action != ActionExtend {
			return fmt.Errorf("%w: %s keeps no files", ErrInvalid, action)
		}
		k.Until = stamp(k.Until)
		return c.append(now, &record{Action: action, By: by, Org: c.state.trails[trail].spec.Org, Trail: trail, Reason: reason, RequestedBy: wantedBy, Kept: &k})
	})
}
