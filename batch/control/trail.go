package control

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"daybook/event"
)

// TrailSpec says what a trail is. Of one that the configuration file declares the journal has what was declared last (Declare); in a journal of before there was that, only the name and
// the org.
type TrailSpec struct {
	Name string `json:"name"`
	Org  string `json:"org"`
	// Projects are the ids of the projects that it covers; none: every project of the org.
	Projects []string `json:"projects,omitempty"`
	Formats  []string `json:"formats,omitempty"`
	Split    string   `json:"split,omitempty"`
	MaxSplit int      `json:"max_split,omitempty"`
}

// normal returns the spec with its lists in order, so that equal specs are equal.
func (s TrailSpec) normal() TrailSpec {
	s.Projects, s.Formats = sortedSet(s.Projects), sortedSet(s.Formats)
	return s
}

func sortedSet(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

func (s TrailSpec) equal(o TrailSpec) bool {
	return s.Name == o.Name && s.Org == o.Org && s.Split == o.Split && s.MaxSplit == o.MaxSplit && slices.Equal(s.Projects, o.Projects) && slices.Equal(s.Formats, o.Formats)
}

func (s TrailSpec) clone() TrailSpec {
	s.Projects, s.Formats = slices.Clone(s.Projects), slices.Clone(s.Formats)
	return s
}

// bare reports whether nothing but the name and the org is given.
func (s TrailSpec) bare() bool {
	return len(s.Projects) == 0 && len(s.Formats) == 0 && s.Split == "" && s.MaxSplit == 0
}

func (s TrailSpec) check() error {
	if err := checkName("the trail", s.Name); err != nil {
		return err
	}
	if err := checkOrg(s.Org); err != nil {
		return err
	}
	for _, p := range s.Projects {
		if err := checkName("a project", p); err != nil {
			return err
		}
	}
	for _, f := range s.Formats {
		if err := checkName("a format", f); err != nil {
			return err
		}
	}
	switch {
	case s.Split != "" && s.Split != "org" && s.Split != "project":
		return fmt.Errorf("%w: split is %q, must be org or project", ErrInvalid, s.Split)
	case s.MaxSplit < 0:
		return fmt.Errorf("%w: max_split is %d", ErrInvalid, s.MaxSplit)
	}
	return nil
}

// State says where a trail stands.
type State string

const (
	// On takes events.
	On State = "on"
	// DisableRequested is on; an admin has asked to disable it.
	DisableRequested State = "disable-requested"
	// CoolingOff is on; the disabling is approved and takes effect soon.
	CoolingOff State = "cooling-off"
	// Off takes no events.
	Off State = "off"
)

// TrailState is what is known of a trail.
type TrailState struct {
	Spec  TrailSpec
	State State
	// Since is the first day that is kept; Backfill says whether events that happened before the trail was enabled are, too.
	Since    event.Day
	Backfill bool
	// Enabled is when it was first, and Extended what was added to it later.
	Enabled  time.Time
	Extended []Extension
	// Request is there while the trail is in DisableRequested or CoolingOff, Approval in CoolingOff, Off in Off.
	Request  *Request
	Approval *Approval
	Off      *OffState
}

// Extension is an earlier first day of a trail that was on already: it admits a backfill of the days from From on, before To.
type Extension struct {
	At       time.Time
	From, To event.Day
}

// Admitted is when a day was let in: when the trail was enabled, or extended to it.
func (s *TrailState) Admitted(day event.Day) time.Time {
	for _, x := range s.Extended {
		if x.From <= day && day < x.To {
			return x.At
		}
	}
	return s.Enabled
}

// Request asks for a disabling.
type Request struct {
	By     Actor     `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Until is when the trail is to come back; zero: never.
	Until time.Time `json:"until,omitzero"`
	// Lapses is until when it can be approved.
	Lapses time.Time `json:"lapses"`
}

// Approval is the second admin's.
type Approval struct {
	By Actor     `json:"by"`
	At time.Time `json:"at"`
	// Effective is when the trail goes off.
	Effective time.Time `json:"effective"`
}

// OffState is of a trail that is off.
type OffState struct {
	Since time.Time `json:"since"`
	// Until is when it comes back by itself; zero: never.
	Until      time.Time `json:"until,omitzero"`
	Reason     string    `json:"reason"`
	By         Actor     `json:"by"`
	ApprovedBy Actor     `json:"approved_by"`
}

// reason is that of the gap in the trail.
func (o *OffState) reason() string {
	return fmt.Sprintf("trail off: %s, by %s, approved by %s", o.Reason, o.By.Name, o.ApprovedBy.Name)
}

// lapseAfter is how long a request waits for its approval.
const lapseAfter = 7 * 24 * time.Hour

// trail is a trail as its records leave it.
type trail struct {
	name     string
	spec     TrailSpec
	since    event.Day
	backfill bool
	enabled  time.Time
	extended []Extension
	request  *Request
	people   lineage // who could have made the request
	approval *Approval
	off      *OffState
	turns    []turn // what was, in order of time
	plan     []turn // turns, and what will be
}

// turn is the time from which on a trail is on, or off.
type turn struct {
	at  time.Time
	off *OffState // nil: on
}

// turnAt adds a turn. Later records prevail over earlier ones: where the clock was set back, what was to hold from a later time does not.
func turnAt(turns []turn, at time.Time, off *OffState) []turn {
	n := sort.Search(len(turns), func(i int) bool { return !turns[i].at.Before(at) })
	return append(slices.Clone(turns[:n]), turn{at, off})
}

// on tells whether the trail is then, by what is planned.
func (t *trail) on(at time.Time) bool {
	// Nearly always the last turn decides.
	for i := len(t.plan) - 1; i >= max(0, len(t.plan)-4); i-- {
		if !at.Before(t.plan[i].at) {
			return t.plan[i].off == nil
		}
	}
	n := sort.Search(len(t.plan), func(i int) bool { return at.Before(t.plan[i].at) })
	return n > 0 && t.plan[n-1].off == nil
}

// due returns the record that time alone brings next, and when; a zero time if there is none.
func (t *trail) due() (action string, at time.Time) {
	switch {
	case t.approval != nil:
		return ActionOff, t.approval.Effective
	case t.request != nil:
		return ActionDisableLapse, t.request.Lapses
	case t.off != nil && !t.off.Until.IsZero():
		return ActionOn, t.off.Until
	}
	return "", time.Time{}
}

// dueRecord is the record that time alone brings next.
func (t *trail) dueRecord() *record {
	action, at := t.due()
	r := &record{Action: action, By: System, Org: t.spec.Org, Trail: t.name, Effective: at}
	switch action {
	case ActionOff:
		r.Reason, r.Until, r.RequestedBy, r.ApprovedBy = t.request.Reason, t.request.Until, t.request.By.Name, t.approval.By.Name
	case ActionDisableLapse:
		r.Reason, r.RequestedBy = "no second admin approved it in time", t.request.By.Name
	case ActionOn:
		r.Reason = "its time off is over"
	}
	return r
}

// state tells where the trail stands by its records.
func (t *trail) state() State {
	switch {
	case t.off != nil:
		return Off
	case t.approval != nil:
		return CoolingOff
	case t.request != nil:
		return DisableRequested
	}
	return On
}

// apply takes a record of the trail; people are those who could have made it.
func (t *trail) apply(r *record, people lineage) error {
	switch r.Action {
	case ActionEnable:
		if err := t.enable(r); err != nil {
			return err
		}
	case ActionDisableRequest:
		if t.state() != On {
			return errContradiction
		}
		t.request, t.people = &Request{By: r.By, Reason: r.Reason, At: r.Time, Until: r.Until, Lapses: lapses(r.Time, r.Until)}, people
	case ActionDisableApprove:
		if t.state() != DisableRequested {
			return errContradiction
		}
		t.approval = &Approval{By: r.By, At: r.Time, Effective: r.Effective}
	case ActionDisableLapse, ActionKeep:
		if t.request == nil {
			return errContradiction
		}
		t.forget()
	case ActionOff:
		if t.state() != CoolingOff {
			return errContradiction
		}
		t.off = t.willBeOff()
		t.turns = turnAt(t.turns, t.off.Since, t.off)
		t.forget()
	case ActionDeclare:
		if r.Spec == nil {
			return errContradiction
		}
		t.spec = *r.Spec
	case ActionOn:
		if t.state() != Off {
			return errContradiction
		}
		t.off = nil
		t.turns = turnAt(t.turns, r.Effective, nil)
	}
	t.planAhead()
	return nil
}

func lapses(at, until time.Time) time.Time {
	end := at.Add(lapseAfter)
	if !until.IsZero() && until.Before(end) {
		return until
	}
	return end
}

func (t *trail) enable(r *record) error {
	if r.Spec == nil || r.Since == nil {
		return errContradiction
	}
	if t.request != nil {
		return errContradiction // a keep comes first
	}
	first := len(t.turns) == 0
	if !first && t.extends(r.Since.Day, r.Backfill) {
		t.extended = append(t.extended, Extension{At: r.Time, From: r.Since.Day, To: max(t.since, r.Since.Day+1)})
	}
	if first || r.Time.Before(t.enabled) {
		t.enabled = r.Time
	}
	if first || r.Since.Day < t.since {
		t.since = r.Since.Day
	}
	t.spec = *r.Spec
	t.backfill = t.backfill || r.Backfill
	if !t.on(r.Time) || t.off != nil {
		t.off = nil
		t.turns = turnAt(t.turns, r.Time, nil)
	}
	return nil
}

func (t *trail) forget() { t.request, t.people, t.approval = nil, nil, nil }

func (t *trail) willBeOff() *OffState {
	return &OffState{Since: t.approval.Effective, Until: t.request.Until, Reason: t.request.Reason, By: t.request.By, ApprovedBy: t.approval.By}
}

// planAhead adds to the turns those that time alone will bring.
func (t *trail) planAhead() {
	t.plan = t.turns
	off := t.off
	if t.approval != nil {
		off = t.willBeOff()
		t.plan = turnAt(t.plan, off.Since, off)
	}
	if off != nil && !off.Until.IsZero() {
		t.plan = turnAt(t.plan, off.Until, nil)
	}
}

// view is the trail as it is now, be it recorded or only due.
func (t *trail) view(now time.Time) TrailState {
	v := *t
	for {
		if _, due := v.due(); due.IsZero() || due.After(now) {
			break
		}
		if err := v.apply(v.dueRecord(), nil); err != nil {
			break // it is due because it can be applied
		}
	}
	return TrailState{
		Spec: v.spec.clone(), State: v.state(), Since: v.since, Backfill: v.backfill, Enabled: v.enabled, Extended: slices.Clone(v.extended),
		Request: clone(v.request), Approval: clone(v.approval), Off: clone(v.off),
	}
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
