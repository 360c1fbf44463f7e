package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"daybook/batch/seal"
	"daybook/event"
)

// Enable switches a trail on at once, by the time of receipt; it may be new, or off. With backfill it keeps events that happened earlier, from the day since on; without,
// what happened before today is none of its business, and since is not looked at but for being no day after today.
//
// Where a disabling waits, Enable withdraws it. Of a trail that is on only an earlier backfill changes anything: else it is ErrUnchanged. Nor can its spec
// be changed while it is on or will be by itself, since to narrow it would be to disable a part of it.
func (c *Control) Enable(by Actor, spec TrailSpec, since event.Day, backfill bool) error {
	return c.change(func(now time.Time) error {
		today := event.DayOf(now)
		t := c.state.trails[spec.Name]
		foreign := t != nil && by.stranger(t.spec.Org)
		if t != nil && spec.Org == "" && !foreign {
			spec.Org = t.spec.Org
		}
		spec = spec.normal()
		if err := spec.check(); err != nil {
			return err
		}
		org := spec.Org
		if t != nil && !foreign {
			org = t.spec.Org
		}
		if err := by.may(org); err != nil {
			return err
		}
		switch {
		case foreign: // whose it is is none of his business
			return hint(fmt.Errorf("%w: the name %s is taken", ErrExists, spec.Name), "choose another name")
		case t != nil && spec.Org != org:
			return fmt.Errorf("%w: the trail %s is of the org %s", ErrExists, spec.Name, org)
		case since > today:
			return hint(fmt.Errorf("%w: %v is after today, %v", ErrInvalid, since, today), "a trail is enabled for now, and a backfill is of the past")
		case !backfill:
			since = today
		case since.Start().Year() < 1:
			return fmt.Errorf("%w: %v is no day of our calendar", ErrInvalid, since)
		}
		if t == nil {
			return c.enable(by, now, spec, since, backfill)
		}
		if spec.bare() {
			spec = t.spec
		}
		if !spec.equal(t.spec) && (t.state() != Off || !t.off.Until.IsZero()) {
			return hint(fmt.Errorf("%w: the trail %s is on, or comes back by itself, and is another than this one", ErrExists, spec.Name),
				"give its name and org only; a trail of other projects, formats or split is one of another name")
		}
		if t.request == nil && t.state() == On && t.on(now) && !t.extends(since, backfill) {
			return hint(fmt.Errorf("%w: the trail %s is on", ErrUnchanged, spec.Name), "an earlier first day extends it")
		}
		if t.request != nil {
			if err := c.append(now, &record{Action: ActionKeep, By: by, Org: org, Trail: spec.Name, Reason: "the disabling is withdrawn", RequestedBy: t.request.By.Name}); err != nil {
				return err
			}
			if t.on(now) && !t.extends(since, backfill) {
				return nil
			}
		}
		return c.enable(by, now, spec, since, backfill)
	})
}

// Declare records what the configuration declares a trail to be that was enabled, if that is another than it was: it stays so when the configuration declares it no more. A trail that
// was never enabled is passed over.
func (c *Control) Declare(spec TrailSpec) error {
	return c.change(func(now time.Time) error {
		t := c.state.trails[spec.Name]
		if spec = spec.normal(); t == nil || spec.equal(t.spec) {
			return nil
		}
		if err := spec.check(); err != nil {
			return err
		}
		if spec.Org != t.spec.Org {
			return fmt.Errorf("%w: the trail %s is of the org %s", ErrExists, spec.Name, t.spec.Org)
		}
		return c.append(now, &record{Action: ActionDeclare, By: System, Org: spec.Org, Trail: spec.Name, Reason: "so the configuration declares it", Spec: &spec})
	})
}

func (c *Control) enable(by Actor, now time.Time, spec TrailSpec, since event.Day, backfill bool) error {
	return c.append(now, &record{Action: ActionEnable, By: by, Org: spec.Org, Trail: spec.Name, Spec: &spec, Since: &seal.Date{Day: since}, Backfill: backfill})
}

// extends reports whether a backfill from that day on keeps more than the trail does.
func (t *trail) extends(since event.Day, backfill bool) bool {
	return backfill && (since < t.since || since == t.since && !t.backfill)
}

// RequestDisable asks for a trail to be disabled, until a time after which it comes back by itself, or for good where until is zero. Nothing changes before another
// admin approves it; without approval the request lapses after 7 days, or when until has come. Local and System may not.
func (c *Control) RequestDisable(by Actor, trail, reason string, until time.Time) error {
	return c.change(func(now time.Time) error {
		t, err := c.disabling(by, trail)
		if err != nil {
			return err
		}
		if strings.TrimSpace(reason) == "" {
			return hint(fmt.Errorf("%w: a disabling needs a reason", ErrInvalid), "it will stand in the trail, and in each day that the trail is off")
		}
		if err := checkReason(reason); err != nil {
			return err
		}
		until = stamp(until)
		coolOff := time.Duration(c.coolOff.Load())
		switch {
		case !until.IsZero() && !until.After(now.Add(coolOff)):
			return hint(fmt.Errorf("%w: the trail would come back at %s, before it is off", ErrInvalid, until.Format(time.RFC3339)),
				"a disabling takes effect %v after its approval at the earliest: give a later time, or none", coolOff)
		case t.state() == Off:
			return hint(fmt.Errorf("%w: the trail %s is off", ErrUnchanged, trail), "to change until when, enable it and request the disabling again")
		case t.request != nil:
			return hint(fmt.Errorf("%w: %s has requested the disabling of %s", ErrExists, t.request.By.Name, trail), "approve it, or enable the trail to withdraw it")
		}
		return c.append(now, &record{Action: ActionDisableRequest, By: by, Org: t.spec.Org, Trail: trail, Reason: reason, Until: until})
	})
}

// disabling finds a trail that the actor may disable with another's help.
func (c *Control) disabling(by Actor, trail string) (*trail, error) {
	t := c.state.trails[trail]
	if t == nil || by.stranger(t.spec.Org) {
		return nil, noTrail(trail)
	}
	if err := by.may(t.spec.Org); err != nil {
		return nil, err
	}
	if !by.person() {
		return nil, hint(fmt.Errorf("%w: a disabling takes two admins, each with a token or a certificate", ErrDenied), "make a token with daybook admin create, and use it")
	}
	return t, nil
}

func noTrail(name string) error {
	return hint(fmt.Errorf("the trail %q: %w", name, ErrNotFound), "daybook trail list tells which there are; one that was never enabled is not among them")
}

// Approve is the second admin's word for a disabling, which takes effect after the cool-off. It is ErrSelfApproval where one person could have requested it and approved it:
// if it is the same admin, or one who saw the other's secret by making it, or if a third saw both.
func (c *Control) Approve(by Actor, trail string) error {
	return c.change(func(now time.Time) error {
		t, err := c.disabling(by, trail)
		if err != nil {
			return err
		}
		if t.request == nil {
			return hint(fmt.Errorf("a request to disable %s: %w", trail, ErrNotFound), "it was withdrawn, or has lapsed: request it again")
		}
		if t.approval != nil {
			return fmt.Errorf("%w: %s has approved it", ErrUnchanged, t.approval.By.Name)
		}
		if who := t.people.common(c.state.lineage(by)); who != "" {
			return hint(fmt.Errorf("%w: %w: %s could have requested it, too", ErrDenied, ErrSelfApproval, who),
				"who makes an admin's token has seen it: let another admin approve, whose token was made by who has the data folder, or who has a certificate")
		}
		effective := now.Add(time.Duration(c.coolOff.Load()))
		if !t.request.Until.IsZero() && !effective.Before(t.request.Until) {
			return hint(fmt.Errorf("%w: the trail would come back at %s, before it is off", ErrInvalid, t.request.Until.Format(time.RFC3339)), "enable it, which withdraws the request, and request a later end")
		}
		return c.append(now, &record{Action: ActionDisableApprove, By: by, Org: t.spec.Org, Trail: trail, Reason: t.request.Reason, Effective: effective, Until: t.request.Until, RequestedBy: t.request.By.Name})
	})
}

// Tick records what has fallen due: trails that go off or come back, and requests that lapse. Where nothing has it costs next to nothing. ErrStopped where nothing can be recorded.
func (c *Control) Tick() error {
	if err := c.err(); err != nil {
		return err
	}
	if c.clock().UnixNano() < c.nextDue.Load() {
		return nil
	}
	return c.change(func(time.Time) error { return nil })
}

// settle records what is due, in the order in which it fell due.
func (c *Control) settle(now time.Time) error {
	for {
		var next *trail
		var at time.Time
		for _, t := range c.state.pending {
			_, due := t.due()
			if due.After(now) {
				continue
			}
			if next == nil || cmp.Or(due.Compare(at), strings.Compare(t.name, next.name)) < 0 {
				next, at = t, due
			}
		}
		if next == nil {
			return nil
		}
		if err := c.append(now, next.dueRecord()); err != nil {
			return err
		}
	}
}

// Trails returns all trails that were ever enabled, by name, as they are now.
func (c *Control) Trails() []TrailState {
	now := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]TrailState, 0, len(c.state.trails))
	for _, t := range c.state.trails {
		all = append(all, t.view(now))
	}
	slices.SortFunc(all, func(a, b TrailState) int { return strings.Compare(a.Spec.Name, b.Spec.Name) })
	return all
}

// Trail returns a trail as it is now; false if it was never enabled.
func (c *Control) Trail(name string) (TrailState, bool) {
	now := c.clock()
	c.mu.RLock()
	defer c.mu.RUnlock()
	t := c.state.trails[name]
	if t == nil {
		return TrailState{}, false
	}
	return t.view(now), true
}

// On reports whether the trail takes what is received then. It counts what falls due by that time, whether it is recorded yet or not. It allocates nothing.
func (c *Control) On(trail string, at time.Time) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	t := c.state.trails[trail]
	return t != nil && t.on(at)
}

// stamp is t as the journal keeps it.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}
