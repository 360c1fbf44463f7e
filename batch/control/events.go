package control

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"daybook/batch/seal"
	"daybook/event"
)

// OwnEvent is a record as an event of the trails that it concerns, all of one org.
type OwnEvent struct {
	// Seq is the record with which the event is handed out: its own, or that of the enabling which brought it along.
	Seq    int64
	Trails []string
	Event  *event.Event
}

// readers tells to which trails a record goes. A record goes to those trails of its org, or of every org, that were enabled before it or by it. One that goes to none waits, and is
// brought along by the first enabling of a trail that it concerns: so each goes once to each of its trails.
type readers struct {
	all     []reader // in the order in which they were enabled
	byOrg   map[string][]reader
	waiting map[string][]int64 // by org: records that went nowhere
	brought map[int64][]int64  // by the record that enabled a trail: those that it brings along
}

type reader struct {
	name, org string
	since     int64 // the record that enabled it first
}

func newReaders() readers {
	return readers{byOrg: map[string][]reader{}, waiting: map[string][]int64{}, brought: map[int64][]int64{}}
}

// add takes a trail that was enabled for the first time.
func (s *readers) add(r *record) {
	t := reader{r.Trail, r.Org, r.Seq}
	s.all = append(s.all, t)
	s.byOrg[t.org] = append(s.byOrg[t.org], t)
	if waited := slices.Concat(s.waiting[t.org], s.waiting[AllOrgs]); len(waited) > 0 {
		slices.Sort(waited)
		s.brought[r.Seq] = waited
		delete(s.waiting, t.org)
		delete(s.waiting, AllOrgs)
	}
}

// take notes a record that goes nowhere yet.
func (s *readers) take(r *record) {
	if len(s.of(r.Org)) == 0 {
		s.waiting[r.Org] = append(s.waiting[r.Org], r.Seq)
	}
}

// of returns the trails that a record of that org concerns now.
func (s *readers) of(org string) []reader {
	if org == AllOrgs {
		return s.all
	}
	return s.byOrg[org]
}

// upTo returns those of them that record seq concerned.
func upTo(list []reader, seq int64) []reader {
	n, _ := slices.BinarySearchFunc(list, seq+1, func(t reader, seq int64) int {
		if t.since < seq {
			return -1
		}
		return 1
	})
	return list[:n]
}

// Events returns the events of the records after one, in order, up to the newest when the iteration begins. A record gives an event where it concerns the trails of one org, and one for each
// trail where it concerns several orgs. What was recorded before there was a trail that it concerns comes with the record that enabled the first. Which events come with which record depends
// on the journal alone. So a reader that remembers Seq once it has all events of it, and begins after that, gets each event of each trail; and after a crash some twice, with the same id.
//
// They are events of a trail whether it is on or off.
func (c *Control) Events(after int64) iter.Seq2[OwnEvent, error] {
	return func(yield func(OwnEvent, error) bool) {
		c.mu.RLock()
		last := c.state.seq
		c.mu.RUnlock()
		for seq := max(after, 0) + 1; seq <= last; seq++ {
			if !c.hand(seq, yield) {
				return
			}
		}
	}
}

// hand hands out what comes with a record.
func (c *Control) hand(seq int64, yield func(OwnEvent, error) bool) bool {
	c.mu.RLock()
	brought := c.state.readers.brought[seq]
	c.mu.RUnlock()
	for _, early := range brought {
		if !c.handTo(early, seq, yield) {
			return false
		}
	}
	return c.handTo(seq, seq, yield)
}

// handTo hands out record seq to the trails that it concerned when record with was made.
func (c *Control) handTo(seq, with int64, yield func(OwnEvent, error) bool) bool {
	r, err := c.journal.read(seq)
	if err != nil {
		yield(OwnEvent{}, err)
		return false
	}
	c.mu.RLock()
	trails := upTo(c.state.readers.of(r.Org), with) // only ever appended to
	c.mu.RUnlock()
	if len(trails) == 0 {
		return true
	}
	id := "daybook-" + strconv.FormatInt(seq, 10)
	one := !slices.ContainsFunc(trails, func(t reader) bool { return t.org != trails[0].org })
	if one {
		names := make([]string, len(trails))
		for i, t := range trails {
			names[i] = t.name
		}
		return handOut(r, OwnEvent{Seq: with, Trails: names}, id, trails[0].org, yield)
	}
	for _, t := range trails {
		if !handOut(r, OwnEvent{Seq: with, Trails: []string{t.name}}, id+"-"+t.name, t.org, yield) {
			return false
		}
	}
	return true
}

func handOut(r *record, own OwnEvent, id, org string, yield func(OwnEvent, error) bool) bool {
	e, err := r.event(id, org)
	if err != nil {
		yield(OwnEvent{}, fmt.Errorf("control: event of record %d: %w", r.Seq, err))
		return false
	}
	own.Event = e
	return yield(own, nil)
}

// Types of Daybook's own events: EventTypeRead is that of reading sealed files, EventType that of all others.
const (
	EventType     = "daybook.control"
	EventTypeRead = "daybook.read"
)

// input is the info of an event: what was asked for, and never a secret.
type input struct {
	Trail       string   `json:"trail,omitempty"`
	Projects    []string `json:"projects,omitempty"`
	Formats     []string `json:"formats,omitempty"`
	Split       string   `json:"split,omitempty"`
	MaxSplit    int      `json:"max_split,omitempty"`
	Since       string   `json:"since,omitempty"`
	Backfill    bool     `json:"backfill,omitempty"`
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name,omitempty"`
	Role        string   `json:"role,omitempty"`
	Org         string   `json:"org,omitempty"`
	Source      string   `json:"source,omitempty"`
	Expires     string   `json:"expires,omitempty"`
	Effective   string   `json:"effective,omitempty"`
	Until       string   `json:"until,omitempty"`
	Build       string   `json:"build,omitempty"`
	Config      string   `json:"config,omitempty"`
	From        string   `json:"from,omitempty"`
	To          string   `json:"to,omitempty"`
	RequestedBy string   `json:"requested_by,omitempty"`
	ApprovedBy  string   `json:"approved_by,omitempty"`
	Read        *Reading `json:"read,omitempty"`
	Seals       []uint64 `json:"seals,omitempty"`
	Leaf        int64    `json:"leaf,omitempty"`
}

// event returns the record as an event.
func (r *record) event(id, org string) (*event.Event, error) {
	e := &event.Event{Time: r.Time, Received: r.Time}
	// What came with time alone happened when it was due.
	if r.Action == ActionOff || r.Action == ActionOn || r.Action == ActionDisableLapse {
		e.Time = r.Effective
	}
	e.Set(event.ID, id)
	e.Set(event.Source, OwnSource)
	e.Set(event.Org, org)
	e.Set(event.Type, EventType)
	if r.Read != nil {
		e.Set(event.Type, EventTypeRead)
	}
	e.Set(event.Action, r.Action)
	e.Set(event.Outcome, event.Success)
	e.SetNonEmpty(event.Reason, r.Reason)
	r.actor(e)
	r.object(e)
	in := input{
		Trail: r.Trail, Backfill: r.Backfill, ID: r.ID, Name: r.Name, Role: r.Role, Org: r.Org, Source: r.Source, Expires: timeText(r.Expires),
		Effective: timeText(r.Effective), Until: timeText(r.Until), Build: r.Build,
		RequestedBy: r.RequestedBy, ApprovedBy: r.ApprovedBy, Read: r.Read,
	}
	if r.Spec != nil {
		in.Projects, in.Formats, in.Split, in.MaxSplit = r.Spec.Projects, r.Spec.Formats, r.Spec.Split, r.Spec.MaxSplit
	}
	if r.Since != nil {
		in.Since = r.Since.String()
	}
	if !r.Config.IsZero() {
		in.Config = r.Config.String()
	}
	if r.Gap != nil {
		in.From, in.To = timeText(r.Gap.From), timeText(r.Gap.To)
	}
	if k := r.Kept; k != nil {
		in.Until, in.Leaf = timeText(k.Until), k.Leaf
		if k.From != (seal.Date{}) {
			in.From, in.To = k.From.String(), k.To.String()
		}
		if k.Project != "" {
			in.Projects = []string{k.Project}
		}
		if k.FirstSeal > 0 {
			in.Seals = []uint64{k.FirstSeal, k.LastSeal}
		}
	}
	if err := setJSON(e, event.Info, in); err != nil {
		return nil, err
	}
	switch r.Action {
	case ActionStoreChange, ActionStoreAccept:
		return e, setJSON(e, event.Changes, struct {
			Diff []string `json:"diff"`
		}{r.Diff})
	case ActionConfigChange:
	default:
		return e, nil
	}
	return e, setJSON(e, event.Changes, struct {
		Before string   `json:"before"`
		After  string   `json:"after"`
		Diff   []string `json:"diff,omitempty"`
	}{r.Was.String(), r.Config.String(), slices.Concat(r.Diff, r.Diffs[org])})
}

func (r *record) actor(e *event.Event) {
	kind := "admin"
	if !r.By.person() {
		kind = r.By.Via
	}
	e.Set(event.ActorType, kind)
	e.Set(event.ActorID, r.By.Name)
	e.Set(event.ActorName, r.By.Name)
	e.Set(event.ActorRole, r.By.Role)
}

func (r *record) object(e *event.Event) {
	kind, id, name := "service", OwnSource, OwnSource
	switch {
	case r.Action == ActionAdminCreate || r.Action == ActionAdminRevoke:
		kind, id, name = "admin", r.ID, r.Name
	case r.Action == ActionTokenCreate || r.Action == ActionTokenRevoke:
		kind, id, name = "token", r.ID, r.Source
	case r.Action == ActionConfigChange:
		kind, id, name = "config", r.Config.String(), ""
	case r.Action == ActionStoreChange || r.Action == ActionStoreAccept:
		kind, id, name = "store", r.Name, r.Name
	case r.Trail != "":
		kind, id, name = "trail", r.Trail, r.Trail
	}
	e.Set(event.ObjectType, kind)
	e.Set(event.ObjectID, id)
	e.SetNonEmpty(event.ObjectName, name)
}

func setJSON(e *event.Event, f event.Field, v any) error {
	line, err := marshal(v)
	if err != nil {
		return err
	}
	e.Set(f, string(bytes.TrimSuffix(line, []byte("\n"))))
	return nil
}
