package control

import (
	"errors"
	"fmt"
	"math"
	"time"

	"daybook/batch/seal"
)

// state is what the records come to. It depends on nothing else, so that a replay gives the same.
type state struct {
	seq     int64
	newest  time.Time // of any record
	admins  []*admin  // in the order of their records
	byAdmin map[string]*admin
	tokens  []*token
	byToken map[string]*token
	byOrg   map[string][]*token // the tokens of each org

	trails  map[string]*trail
	pending map[string]*trail // those that change with time alone
	readers readers

	config seal.Hash
	run    run
	gaps   []declared
}

func newState() *state {
	return &state{
		byAdmin: map[string]*admin{}, byToken: map[string]*token{}, byOrg: map[string][]*token{},
		trails: map[string]*trail{}, pending: map[string]*trail{},
		readers: newReaders(),
	}
}

var errContradiction = errors.New("it contradicts the lines before it")

// apply takes the next record. Where it returns an error the state is of no use any more.
func (s *state) apply(r *record) error {
	if r.Time.After(s.newest) {
		s.newest = r.Time
	}
	var err error
	switch r.Action {
	case ActionEnable, ActionDisableRequest, ActionDisableApprove, ActionDisableLapse, ActionKeep, ActionOff, ActionOn, ActionDeclare:
		err = s.applyTrail(r)
	case ActionAdminCreate:
		err = s.createAdmin(r)
	case ActionAdminRevoke:
		err = s.revokeAdmin(r)
	case ActionTokenCreate:
		err = s.createToken(r)
	case ActionTokenRevoke:
		err = s.revokeToken(r)
	case ActionConfigChange:
		s.config = r.Config
	case ActionServiceStart:
		s.config = r.Config
		s.run = run{seq: r.Seq, start: r.Time}
		s.declare(r)
	case ActionStoreChange, ActionStoreAccept: // they are told, and change nothing here
	case ActionServiceStop:
		s.run.stop, s.run.reason = r.Time, r.Reason
	case ActionGap:
		s.declare(r)
	case ActionReadList, ActionReadGet, ActionReadLink, ActionReadThaw: // told, and nothing comes of it
	case ActionHoldPut, ActionHoldRelease, ActionExtend: // what holds stands in the store's log
	default:
		err = fmt.Errorf("the action %q is not known", r.Action)
	}
	if err != nil {
		return err
	}
	s.seq = r.Seq
	s.readers.take(r)
	return nil
}

func (s *state) applyTrail(r *record) error {
	t := s.trails[r.Trail]
	if t == nil {
		if r.Action != ActionEnable || r.Spec == nil || r.Since == nil {
			return errContradiction
		}
		t = &trail{name: r.Trail}
		s.trails[r.Trail] = t
		s.readers.add(r)
	}
	if err := t.apply(r, s.lineage(r.By)); err != nil {
		return err
	}
	if _, due := t.due(); due.IsZero() {
		delete(s.pending, t.name)
	} else {
		s.pending[t.name] = t
	}
	return nil
}

// nextDue is when the next record falls due, in nanoseconds since 1970.
func (s *state) nextDue() int64 {
	next := int64(math.MaxInt64)
	for _, t := range s.pending {
		_, due := t.due()
		next = min(next, nanoseconds(due))
	}
	return next
}

// farAway is a time whose nanoseconds do not fit any more: of the year 2262.
var farAway = time.Unix(0, math.MaxInt64)

func nanoseconds(t time.Time) int64 {
	switch {
	case t.After(farAway):
		return math.MaxInt64
	case t.Unix() < 0:
		return 0
	}
	return t.UnixNano()
}
