package service

import (
	"context"
	"fmt"
	"net/http"
	"strings"

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
