package batch

import (
	"maps"
	"slices"

	"daybook/batch/seal"
	"daybook/event"
)

// States of a day in a trail's calendar.
const (
	// DaySealed is a day that is sealed and holds events, and DayEmpty one that is sealed and holds none.
	DaySealed = "sealed"
	DayEmpty  = "empty"
	// DayLate is a sealed day to which events came later: it has addenda, or will have.
	DayLate = "late"
	// DayAwaiting is a day that is over and closed, and waits for its sources or, of a backfill, for its time; DayDue one that the next look seals.
	DayAwaiting = "awaiting"
	DayDue      = "due"
	// DayMissing is one that is over and closed, and not sealed though it could have been.
	DayMissing = "missing"
	// DayOpen is a day that is not closed yet.
	DayOpen = "open"
	// DayNotEnabled is a day before the trail was enabled, and DayOff one on which it was off from its beginning to its end.
	DayNotEnabled = "not enabled"
	DayOff        = "off"
)

// CalendarDay is a day of a trail.
type CalendarDay struct {
	Day   seal.Date `json:"day"`
	State string    `json:"state"`
	// Events are sealed, in the day's seal and its addenda; Pending wait.
	Events  int64 `json:"events"`
	Pending int64 `json:"pending,omitempty"`
	Addenda int   `json:"addenda,omitempty"`
	// Gaps are what the day's seal declares that may be missing, of the trail or of a source.
	Gaps int `json:"gaps,omitempty"`
}

// Calendar tells of each day of a trail from one to another, both included, what became of it. It knows nothing of when a trail is on, nor of what days wait for: whatever is closed and not sealed is
// missing.
func (s *Standing) Calendar(trail string, from, to event.Day) ([]CalendarDay, error) {
	l, err := s.ledger(trail)
	if err != nil {
		return nil, err
	}
	var pending map[event.Day]int64
	routes := s.routes.Load()
	if i, ok := routes.byName[trail]; ok {
		pending = s.pending()[routes.ids[i]]
	}
	days := make([]CalendarDay, 0, max(to-from+1, 0))
	for d := from; d <= to; d++ {
		c := CalendarDay{Day: seal.Date{Day: d}, State: DayMissing, Pending: pending[d]}
		if !s.closed(d) {
			c.State = DayOpen
		}
		days = append(days, c)
	}
	for _, b := range l.briefs() {
		if b.day < from || b.day > to {
			continue
		}
		c := &days[b.day-from]
		c.Events += b.events
		c.Addenda += min(b.addendum, 1)
		if b.addendum == 0 {
			c.Gaps = b.gaps
		}
		switch {
		case c.Addenda > 0 || c.Pending > 0:
			c.State = DayLate
		case c.Events > 0:
			c.State = DaySealed
		default:
			c.State = DayEmpty
		}
	}
	return days, nil
}

func (s *Standing) closed(d event.Day) bool {
	c := s.settings.Load()
	return !c.Now().Before(d.End().Add(c.CloseAfter))
}

// Stranded returns how many events wait for trails that nothing is filed into now, by the name of the trail: they are sealed once it is.
func (s *Standing) Stranded() map[string]int64 {
	routes := s.routes.Load()
	stranded := map[string]int64{}
	for id, days := range s.pending() {
		name, ok := s.spool.TrailName(id)
		if _, filed := routes.byName[name]; filed || !ok {
			continue
		}
		for _, n := range days {
			stranded[name] += n
		}
	}
	return stranded
}

// pending returns how many events wait, by the spool's number of the trail and by day.
func (s *Standing) pending() map[uint16]map[event.Day]int64 {
	trails := map[uint16]map[event.Day]int64{}
	for _, d := range s.spool.Days() {
		if trails[d.Trail] == nil {
			trails[d.Trail] = map[event.Day]int64{}
		}
		trails[d.Trail][d.Day] = d.Events
	}
	return trails
}

// trailStatus tells what is known of a trail. Since is left to who knows it.
func (s *Standing) trailStatus(l *ledger, id uint16, pending map[event.Day]int64) (*TrailStatus, error) {
	seals := l.briefs()
	t := &TrailStatus{Trail: l.trail, Seals: uint64(len(seals)), Pending: []PendingDay{}}
	if n := len(seals); n > 0 {
		b := seals[n-1]
		t.Last = &LastSeal{Seal: uint64(n), Day: seal.Date{Day: b.day}, Addendum: b.addendum, SealedAt: b.at, Events: b.events, Note: seal.NoteKey(l.trail, uint64(n))}
		if !b.locked.IsZero() {
			t.Last.LockedUntil = &b.locked
		}
	}
	j, err := s.state.readJournal(l.trail)
	if err != nil {
		return nil, err
	}
	if j != nil {
		t.Unfinished = &j.Draft.Day
	}
	for _, d := range slices.Sorted(maps.Keys(pending)) {
		t.Pending = append(t.Pending, PendingDay{Day: seal.Date{Day: d}, Events: pending[d], Due: s.closed(d)})
		t.Waiting += pending[d]
		if l.isSealed(d) {
			t.Late += pending[d]
		}
	}
	if oldest, ok := s.spool.Oldest(id); ok {
		oldest = oldest.UTC()
		t.Oldest = &oldest
	}
	totals := s.spool.Totals(id)
	t.Accepted, t.Duplicates = totals.Accepted, totals.Duplicates
	return t, nil
}
