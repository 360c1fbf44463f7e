package service

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/event"
)

// declareLost declares what may be missing of each trail because a spool was given up, once.
func (s *Service) declareLost() error {
	losses, err := s.standing.Losses()
	if err != nil {
		return err
	}
	for _, l := range losses {
		s.log.Error("a spool was given up as lost: events that were acknowledged and not sealed are gone", "at", l.At, "spool", l.Spool)
		for _, t := range s.control.Trails() {
			if err := s.declareLoss(l, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// declareLoss declares the days of a trail that were not sealed. What had come late for days that were is gone as well, which no seal to come can tell: the record of the gap,
// an event of the trail, does.
func (s *Service) declareLoss(l batch.Loss, t control.TrailState) error {
	if t.Enabled.After(l.At) {
		return nil
	}
	day, last := t.Since, event.DayOf(l.At)
	for day < last && !s.standing.Unsealed(t.Spec.Name, day) {
		day++
	}
	gap := l.Gap(day.Start())
	if !gap.From.Before(gap.To) { // it was lost at midnight, or is said to have been before the trail began
		gap.From = gap.To.Add(-time.Second)
	}
	for _, g := range s.control.Gaps(t.Spec.Name, gap.From, gap.To) {
		if strings.Contains(g.Reason, gap.Reason) {
			return nil
		}
	}
	return s.control.Gap(gap, t.Spec.Name, "")
}

// tellLost tells of spools that were given up, until somebody has removed the file that says so.
func (s *Service) tellLost(st *Status) error {
	losses, err := s.standing.Losses()
	if err != nil {
		return err
	}
	for _, l := range losses {
		st.problem(LevelAlert, "spool-lost", "", fmt.Sprintf("have senders send again what no seal holds; once that is done remove %s", filepath.Join(st.Data, "spool.lost")), "%s", l.Gap(l.At).Reason)
	}
	return nil
}
