package service

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/sink"
)

// HoldRequest puts a legal hold on what is sealed of a trail's days, or releases it.
type HoldRequest struct {
	From seal.Date `json:"from"`
	To   seal.Date `json:"to"`
	// Project limits it to files that may have events of that project; absent: all.
	Project string `json:"project,omitempty"`
	Reason  string `json:"reason"`
	// By is who wants it, told by who has the data folder in hand. An admin who shows a token or certificate is who wants it.
	By string `json:"by,omitempty"`
}

func (s *Service) putHold(r *http.Request, by control.Actor) (any, error) {
	return s.hold(r, by, control.ActionHoldPut, s.standing.PutHold)
}

func (s *Service) releaseHold(r *http.Request, by control.Actor) (any, error) {
	return s.hold(r, by, control.ActionHoldRelease, s.standing.ReleaseHold)
}

func (s *Service) hold(r *http.Request, by control.Actor, action string, do func(context.Context, batch.HoldOrder) (*batch.HoldReport, error)) (any, error) {
	var in HoldRequest
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	trail := r.PathValue("trail")
	if err := s.control.Keeps(by, trail); err != nil {
		return nil, err
	}
	who, err := wants(by, in.By)
	if err != nil {
		return nil, err
	}
	if err := s.held(r.Context()); err != nil { // a leaf bears the time
		return nil, err
	}
	s.writes.begin()
	defer s.writes.end()
	report, err := do(r.Context(), batch.HoldOrder{Trail: trail, From: in.From.Day, To: in.To.Day, Project: in.Project, Reason: in.Reason, By: who})
	if err != nil {
		return nil, err
	}
	kept := control.Kept{From: in.From, To: in.To, Project: in.Project, Leaf: report.Leaf}
	if err := s.control.Keep(by, action, trail, in.Reason, in.By, kept); err != nil {
		return nil, err
	}
	return report, s.refresh()
}

// ExtendRequest locks what is sealed of a trail's days, or seals by their numbers, for longer.
type ExtendRequest struct {
	// From and To are days, both included; or FirstSeal and LastSeal numbers.
	From      *seal.Date `json:"from,omitempty"`
	To        *seal.Date `json:"to,omitempty"`
	FirstSeal uint64     `json:"first_seal,omitempty"`
	LastSeal  uint64     `json:"last_seal,omitempty"`
	Until     time.Time  `json:"until"`
	Reason    string     `json:"reason"`
	// By is as in a HoldRequest.
	By string `json:"by,omitempty"`
}

func (s *Service) extend(r *http.Request, by control.Actor) (any, error) {
	var in ExtendRequest
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	trail := r.PathValue("trail")
	if err := s.control.Keeps(by, trail); err != nil {
		return nil, err
	}
	who, err := wants(by, in.By)
	if err != nil {
		return nil, err
	}
	// The log is locked as long as the longest extension, and is that of every org.
	if by.Org != control.AllOrgs && in.Until.After(s.standing.LongestLock().RetainUntil) {
		return nil, &sink.HintError{
			Err:  fmt.Errorf("locks past those of the longest class lengthen those of the whole store's log: %w", control.ErrDenied),
			Hint: "an admin of org * may, or give an earlier date",
		}
	}
	order := batch.ExtendOrder{Trail: trail, First: in.FirstSeal, Last: in.LastSeal, Until: in.Until, Reason: in.Reason, By: who}
	switch {
	case in.From != nil && in.To != nil && in.FirstSeal == 0 && in.LastSeal == 0:
		order.From, order.To = in.From.Day, in.To.Day
	case in.From != nil || in.To != nil || in.FirstSeal == 0 || in.LastSeal < in.FirstSeal:
		return nil, &sink.HintError{Err: fmt.Errorf("%w: it is about days, or about seals", errRequest), Hint: "give from and to, or first_seal and last_seal"}
	}
	if err := s.held(r.Context()); err != nil { // a leaf bears the time
		return nil, err
	}
	s.writes.begin()
	defer s.writes.end()
	report, err := s.standing.Extend(r.Context(), order)
	if err != nil {
		return nil, err
	}
	for _, x := range report.Seals {
		kept := control.Kept{FirstSeal: x.First, LastSeal: x.Last, Until: report.Until, Leaf: x.Leaf}
		if in.From != nil {
			kept.From, kept.To = *in.From, *in.To
		}
		if err := s.control.Keep(by, control.ActionExtend, trail, in.Reason, in.By, kept); err != nil {
			return nil, err
		}
	}
	return report, s.refresh()
}

// wants names who it is for the store's log.
func wants(by control.Actor, named string) (string, error) {
	local := by == control.Local
	switch {
	case local && strings.TrimSpace(named) == "":
		return "", &sink.HintError{Err: fmt.Errorf("%w: nobody in particular asks for it", errRequest), Hint: "say with --by who wants it, or show an admin's token: it stands in the log for good"}
	case local:
		return named, nil
	case named != "" && named != by.Name:
		return "", &sink.HintError{Err: fmt.Errorf("%w: it is said to be wanted by %q, and the token is that of %s", errRequest, named, by.Name), Hint: "leave --by out: the token tells who you are"}
	}
	return by.Name, nil
}
