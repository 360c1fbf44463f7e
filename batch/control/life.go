package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"daybook/batch/seal"
)

// run is the last run of the service.
type run struct {
	seq   int64 // of its start; 0: there was none
	start time.Time
	// stop is zero if it was not stopped.
	stop   time.Time
	reason string
}

// errRunning is for a caller that mixes up its calls.
var errRunning = errors.New("the service was started already")

// errNotRunning is, too.
var errNotRunning = errors.New("the service was not started")

// Started records that the service runs, with its build and the digest of its configuration. From the last run's end, or from its last sign of life if it died, until now
// nothing was taken in: that is a gap of every trail. If the configuration is another than the last one recorded, that change is recorded first, with diff.
func (c *Control) Started(build string, config seal.Hash, diff Diff) error {
	return c.change(func(now time.Time) error {
		if c.running {
			return errRunning
		}
		if err := checkName("the build", build); err != nil {
			return err
		}
		if config.IsZero() {
			return fmt.Errorf("%w: the configuration has no digest", ErrInvalid)
		}
		if err := c.configChanged(System, now, config, diff); err != nil {
			return err
		}
		r := &record{Action: ActionServiceStart, By: System, Org: AllOrgs, Build: build, Config: config, Gap: c.down(now)}
		if r.Gap != nil {
			r.Reason = r.Gap.Reason
		}
		if err := c.append(now, r); err != nil {
			return err
		}
		c.running = true
		c.trySign(now)
		return nil
	})
}

// down is the time since the last run; nil if there was none.
func (c *Control) down(now time.Time) *seal.Gap {
	last := c.state.run
	if last.seq == 0 {
		return nil
	}
	g := &seal.Gap{From: last.stop, To: now, Reason: "daybook was down: it was stopped"}
	switch {
	case last.stop.IsZero():
		g.From, g.Reason = last.start, "daybook was down: it died"
		if s := c.alive.sign; s.Run == last.seq && s.Time.After(g.From) {
			g.From = s.Time
		}
	case last.reason != "":
		g.Reason += " (" + last.reason + ")"
	}
	if !g.From.Before(now) {
		c.log.Warn("control: the clock is behind the end of the last run, so it is not known for how long nothing was taken in", "now", now, "end", g.From)
		return nil
	}
	return g
}

// Diff is how a configuration differs from the one before: lines that begin with "-" or "+", by the org that they concern alone; those of AllOrgs concern every org. A trail is
// told those of its org and those of every org. The lines hold no secrets, and each is under the right org: that is the caller's care.
type Diff map[string][]string

// ConfigChanged records that another configuration is in force, if it is another.
func (c *Control) ConfigChanged(by Actor, config seal.Hash, diff Diff) error {
	return c.change(func(now time.Time) error {
		if err := by.may(AllOrgs); err != nil {
			return err
		}
		if config.IsZero() {
			return fmt.Errorf("%w: the configuration has no digest", ErrInvalid)
		}
		return c.configChanged(by, now, config, diff)
	})
}

func (c *Control) configChanged(by Actor, now time.Time, config seal.Hash, diff Diff) error {
	if c.state.config.IsZero() || c.state.config == config {
		return nil
	}
	r := &record{Action: ActionConfigChange, By: by, Org: AllOrgs, Config: config, Was: c.state.config}
	room := new(maxDiff)
	r.Diff = cutDiff(diff[AllOrgs], room)
	for _, org := range slices.Sorted(maps.Keys(diff)) {
		if org != AllOrgs {
			if r.Diffs == nil {
				r.Diffs = Diff{}
			}
			r.Diffs[strings.ToValidUTF8(org, "\ufffd")] = cutDiff(diff[org], room)
		}
	}
	return c.append(now, r)
}

// StoreChanged records that a store is set up otherwise than it was, by whomever.
func (c *Control) StoreChanged(store string, diff []string) error {
	return c.change(func(now time.Time) error {
		return c.append(now, &record{Action: ActionStoreChange, By: System, Org: AllOrgs, Name: strings.ToValidUTF8(store, "\ufffd"), Diff: cutDiff(diff, new(maxDiff))})
	})
}

// StoreAccepted records that somebody takes for right how a store is set up now.
func (c *Control) StoreAccepted(by Actor, store string, diff []string) error {
	return c.change(func(now time.Time) error {
		if err := by.may(AllOrgs); err != nil {
			return err
		}
		return c.append(now, &record{Action: ActionStoreAccept, By: by, Org: AllOrgs, Name: strings.ToValidUTF8(store, "\ufffd"), Diff: cutDiff(diff, new(maxDiff))})
	})
}

// maxDiff is how many bytes of a diff are kept.
const maxDiff = 64 << 10

// cutDiff returns what is kept of a diff, in valid UTF-8: as much as there is room for, which it takes. The last line says what was left out.
func cutDiff(diff []string, room *int) []string {
	for i, line := range diff {
		if *room -= len(line) + 1; *room < 0 {
			return append(validLines(diff[:i]), fmt.Sprintf("… %d more lines", len(diff)-i))
		}
	}
	return validLines(diff)
}

func validLines(lines []string) []string {
	lines = slices.Clone(lines)
	for i := range lines {
		lines[i] = strings.ToValidUTF8(lines[i], "\ufffd")
	}
	return lines
}

// Alive leaves a sign of life, which is no record: where the service dies, the time from its last one on is a gap. It is to be called every half minute or so. Where it
// returns an error the sign before may still stand, and nothing else is changed.
func (c *Control) Alive() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.err(); err != nil {
		return err
	}
	if !c.running {
		return errNotRunning
	}
	return c.sign(c.clock())
}

func (c *Control) sign(now time.Time) error {
	return c.alive.replace(sign{Run: c.state.run.seq, Time: now, Seq: c.state.seq, Hash: c.journal.last})
}

// trySign is sign where a record was made that tells more.
func (c *Control) trySign(now time.Time) {
	if err := c.sign(now); err != nil {
		c.log.Warn("control: no sign of life could be left", "err", err)
	}
}

// Stopped records that the service ends, and why. It is the last call before Close.
func (c *Control) Stopped(reason string) error {
	return c.change(func(now time.Time) error {
		if !c.running {
			return errNotRunning
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		if err := c.append(now, &record{Action: ActionServiceStop, By: System, Org: AllOrgs, Reason: reason}); err != nil {
			return err
		}
		c.trySign(now)
		c.running = false
		return nil
	})
}
