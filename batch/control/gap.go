package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"daybook/batch/seal"
)

// declared is a gap that a record tells of.
type declared struct {
	seal.Gap
	trail, source string // blank: all
}

func (s *state) declare(r *record) {
	if r.Gap != nil {
		s.gaps = append(s.gaps, declared{*r.Gap, r.Trail, r.Source})
	}
}

// Gap declares that events of [g.From, g.To) may be missing: of a trail, or of all where it is blank; of a source, or of all where that is.
func (c *Control) Gap(g seal.Gap, trail, source string) error {
	return c.change(func(now time.Time) error {
		g.From, g.To = stamp(g.From), stamp(g.To)
		switch {
		case !g.From.Before(g.To):
			return fmt.Errorf("%w: a gap from %v to %v", ErrInvalid, g.From, g.To)
		case strings.TrimSpace(g.Reason) == "":
			return fmt.Errorf("%w: a gap needs a reason", ErrInvalid)
		}
		if err := checkReason(g.Reason); err != nil {
			return err
		}
		if source != "" {
			if err := checkName("the source", source); err != nil {
				return err
			}
		}
		r := &record{Action: ActionGap, By: System, Org: AllOrgs, Trail: trail, Reason: g.Reason, Source: source, Gap: &g}
		if trail != "" {
			t := c.state.trails[trail]
			if t == nil {
				return noTrail(trail)
			}
			r.Org = t.spec.Org
		}
		return c.append(now, r)
	})
}

// Gaps returns when, within [from, to), nothing was taken in for a trail, whatever the source: Daybook was down, the trail was off, or it was declared. As a manifest's gaps
// they are in order and do not overlap; where two did, the part in which they did has both reasons.
func (c *Control) Gaps(trail string, from, to time.Time) []seal.Gap {
	c.mu.RLock()
	defer c.mu.RUnlock()
	gaps := clipper{from: stamp(from), to: stamp(to)}
	for _, d := range c.state.gaps {
		if d.source == "" && (d.trail == "" || d.trail == trail) {
			gaps.add(d.Gap)
		}
	}
	if t := c.state.trails[trail]; t != nil {
		for i, turn := range t.plan {
			if turn.off == nil {
				continue
			}
			end := gaps.to
			if i+1 < len(t.plan) {
				end = t.plan[i+1].at
			}
			gaps.add(seal.Gap{From: turn.at, To: end, Reason: turn.off.reason()})
		}
	}
	return gaps.merged()
}

// SourceGaps is Gaps, of what was declared of that source alone.
func (c *Control) SourceGaps(trail, source string, from, to time.Time) []seal.Gap {
	c.mu.RLock()
	defer c.mu.RUnlock()
	gaps := clipper{from: stamp(from), to: stamp(to)}
	for _, d := range c.state.gaps {
		if source != "" && d.source == source && (d.trail == "" || d.trail == trail) {
			gaps.add(d.Gap)
		}
	}
	return gaps.merged()
}

// clipper collects gaps, each clipped to [from, to).
type clipper struct {
	from, to time.Time
	gaps     []seal.Gap
}

func (c *clipper) add(g seal.Gap) {
	if g.From.Before(c.from) {
		g.From = c.from
	}
	if g.To.After(c.to) {
		g.To = c.to
	}
	if g.From.Before(g.To) {
		c.gaps = append(c.gaps, g)
	}
}

// merged returns what was added, in order, without overlap.
func (c *clipper) merged() []seal.Gap {
	// Between two neighbouring edges the same gaps hold all the time.
	var edges []time.Time
	for _, g := range c.gaps {
		edges = append(edges, g.From, g.To)
	}
	slices.SortFunc(edges, time.Time.Compare)
	edges = slices.CompactFunc(edges, time.Time.Equal)
	slices.SortStableFunc(c.gaps, func(a, b seal.Gap) int {
		return cmp.Or(a.From.Compare(b.From), strings.Compare(a.Reason, b.Reason))
	})
	var merged []seal.Gap
	var open []seal.Gap // those that hold, in order of their beginning
	next := 0
	for i := 0; i+1 < len(edges); i++ {
		at := edges[i]
		open = slices.DeleteFunc(open, func(g seal.Gap) bool { return !g.To.After(at) })
		for ; next < len(c.gaps) && !c.gaps[next].From.After(at); next++ {
			open = append(open, c.gaps[next])
		}
		if len(open) == 0 {
			continue
		}
		reason := reasons(open)
		if n := len(merged) - 1; n >= 0 && merged[n].To.Equal(at) && merged[n].Reason == reason {
			merged[n].To = edges[i+1]
			continue
		}
		merged = append(merged, seal.Gap{From: at, To: edges[i+1], Reason: reason})
	}
	return merged
}

// reasons joins the reasons of gaps, each told once.
func reasons(gaps []seal.Gap) string {
	var list []string
	for _, g := range gaps {
		if !slices.Contains(list, g.Reason) {
			list = append(list, g.Reason)
		}
	}
	return strings.Join(list, "; ")
}
