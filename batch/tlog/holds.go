package tlog

import (
	"context"
	"maps"
	"slices"
	"time"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/sink"
)

// Hold is a legal hold: a leaf puts it on days of a trail, and it stands until another leaf lets go of just these days and this project.
type Hold struct {
	Trail string    `json:"trail"`
	From  seal.Date `json:"from"`
	To    seal.Date `json:"to"`
	// Project is blank for all of them.
	Project string `json:"project,omitempty"`
	Reason  string `json:"reason"`
	By      string `json:"by"`
	// At is when it was put, Leaf the index of the leaf that says so.
	At   time.Time `json:"at"`
	Leaf int64     `json:"leaf"`
	// Released is nil as long as the hold stands.
	Released *Release `json:"released,omitempty"`
}

// Release is how a hold ended.
type Release struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Leaf   int64     `json:"leaf"`
}

// Covers reports whether a file of the hold's days must stay. A hold on a project is on every file that may have events of it: all but those that other projects
// have for their own.
func (h *Hold) Covers(f *seal.File) bool {
	return h.Project == "" || f.Split != seal.ByProject || f.Project == h.Project
}

// holdName is what a release must name to let go of a hold.
type holdName struct {
	trail    string
	from, to event.Day
	project  string
}

// Holds are all holds of a log, standing and released. The zero Holds has none.
type Holds struct {
	all []Hold // in the order of their leaves
	// standing are, by name, those that were not released; the same may have been put more than once, by two machines.
	standing map[holdName][]int
}

// Apply takes the leaf of that index, made at a time. Leaves come in their order. A release lets go of the hold of its name that was put first; one of a name that does not stand changes nothing.
func (h *Holds) Apply(index int64, at time.Time, l *HoldLeaf) {
	name := holdName{l.Trail, l.From.Day, l.To.Day, l.Project}
	if l.Action == HoldPut {
		if h.standing == nil {
			h.standing = map[holdName][]int{}
		}
		h.standing[name] = append(h.standing[name], len(h.all))
		h.all = append(h.all, Hold{Trail: l.Trail, From: l.From, To: l.To, Project: l.Project, Reason: l.Reason, By: l.By, At: at, Leaf: index})
		return
	}
	list := h.standing[name]
	if len(list) == 0 {
		return
	}
	h.all[list[0]].Released = &Release{Reason: l.Reason, By: l.By, At: at, Leaf: index}
	if list = list[1:]; len(list) == 0 {
		delete(h.standing, name)
	} else {
		h.standing[name] = list
	}
}

func (h *Holds) clone() *Holds {
	c := &Holds{all: slices.Clone(h.all), standing: maps.Clone(h.standing)}
	for name, list := range c.standing {
		c.standing[name] = slices.Clone(list)
	}
	return c
}

// All returns all holds, in the order of their leaves.
func (h *Holds) All() []Hold { return slices.Clone(h.all) }

// On returns the holds that stand on a day of a trail.
func (h *Holds) On(trail string, day event.Day) []Hold {
	var list []Hold
	for name, standing := range h.standing {
		if name.trail == trail && name.from <= day && day <= name.to {
			list = append(list, h.all[standing[0]])
		}
	}
	return list
}

// Find returns the hold with just these days and this project: one that stands, or else the one that was released last.
func (h *Holds) Find(trail string, from, to event.Day, project string) (Hold, bool) {
	name := holdName{trail, from, to, project}
	if standing := h.standing[name]; len(standing) > 0 {
		return h.all[standing[0]], true
	}
	var last *Hold
	for i := range h.all {
		x := &h.all[i]
		if (holdName{x.Trail, x.From.Day, x.To.Day, x.Project}) == name && (last == nil || last.Released.Leaf < x.Released.Leaf) {
			last = x
		}
	}
	if last == nil {
		return Hold{}, false
	}
	return *last, true
}

// Holds returns the holds of the log, those that were added included. They are valid until the log is changed.
func (l *Log) Holds() *Holds { return l.tip.holds }

// ReadHolds reads the holds of the log in a store, which it only reads. All leaves are proven to lie under the newest checkpoint, and that is signed by the key which
// the log itself says is in force: whether this is the right key is the caller's affair. Head and Keyring are zero where there is no log.
func ReadHolds(ctx context.Context, store sink.Store) (*Holds, Head, *Keyring, error) {
	head, err := newest(ctx, store)
	if err != nil || head.Size == 0 {
		return &Holds{}, Head{}, &Keyring{}, err
	}
	st, err := readState(ctx, NewReader(store, head.Checkpoint), nil)
	if err == nil {
		err = signedHead(head, st.keys)
	}
	if err != nil {
		return nil, Head{}, nil, err
	}
	return st.holds, head, st.keys, nil
}
