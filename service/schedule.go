package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
	"golang.org/x/sync/errgroup"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/intake"
	"daybook/event"
	"daybook/sink"
)

// tickEvery is how often what is due by the clock alone is done: switching trails, writing down counts, saying that we are alive.
const tickEvery = time.Second

const (
	aliveEvery = 30 * time.Second
	flushEvery = 10 * time.Second
	// expireEvery is how often records in quarantine are looked through.
	expireEvery = time.Hour
)

// schedule looks for days that are due when cron says so, and at once when it is woken. Which days are due the ledger says, and never cron: looking twice, or not at
// all for days, changes nothing of what is sealed.
func (s *Service) schedule(ctx context.Context) error {
	for {
		if err := s.keepSchedule(ctx); !errors.Is(err, errReloaded) {
			return err
		}
	}
}

// errReloaded says that the schedule was changed, or the clock set back: cron would wait until it shows the time again that was to be the next.
var errReloaded = errors.New("the schedule was changed")

func (s *Service) keepSchedule(ctx context.Context) error {
	c := s.config.Load()
	clock := cron.New(cron.WithLocation(c.Zone), cron.WithLogger(cron.DiscardLogger))
	if _, err := clock.AddFunc(c.Schedule, s.wake); err != nil {
		return fmt.Errorf("schedule %q: %w", c.Schedule, err)
	}
	verifying := make(chan struct{}, 1)
	if c.VerifySchedule != "" {
		_, err := clock.AddFunc(c.VerifySchedule, func() {
			select {
			case verifying <- struct{}{}:
			default: // it is at it
			}
		})
		if err != nil {
			return fmt.Errorf("schedule %q: %w", c.VerifySchedule, err)
		}
	}
	clock.Start()
	defer clock.Stop()
	s.wake()
	// It reads for long, and keeps no day from being sealed.
	verifier, ctx := errgroup.WithContext(ctx)
	inner, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		_ = verifier.Wait() // it has no errors of its own
	}()
	verifier.Go(func() error {
		s.lookAtBucket(inner)
		return nil
	})
	verifier.Go(func() error {
		for {
			select {
			case <-inner.Done():
				return nil
			case <-verifying:
				if _, err := s.Verify(inner); err != nil && inner.Err() == nil {
					s.log.Error("the store can't be verified", "error", err)
				}
			}
		}
	})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.look:
		}
		if err := s.Roll(ctx, false); err != nil && ctx.Err() == nil {
			s.log.Error("nothing more is sealed for now; the next look tries again", "error", err)
		}
		now := s.config.Load()
		if s.setBack.Swap(false) || now.Schedule != c.Schedule || now.VerifySchedule != c.VerifySchedule || now.Zone.String() != c.Zone.String() {
			return errReloaded
		}
	}
}

// lookAgainAfter is how old a look at the bucket becomes before the next hour's one: looks are less than a day apart.
const lookAgainAfter = 23 * time.Hour

// lookAtBucket looks at the bucket now, daily, and an hour after a look that failed. The first look ever says what is compared from then on; that of a start whether something was changed
// while we were down.
func (s *Service) lookAtBucket(ctx context.Context) {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for due := true; ; {
		var err error
		if due {
			if _, err = s.Inspect(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("how the bucket is set up can't be compared", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		d, unread := s.drift()
		due = err != nil || unread != nil || d == nil || d.missed() || s.now().Sub(d.At).Abs() >= lookAgainAfter
	}
}

// tick does what is due by the clock.
func (s *Service) tick(ctx context.Context) error {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	var alive, flushed, expired time.Duration
	last := s.now().Round(0) // of the clock on the wall alone
	for passed := time.Duration(0); ; passed += tickEvery {
		now := s.now().Round(0)
		if last.Sub(now) > maxJump {
			s.setBack.Store(true)
			s.wake()
		}
		last = now
		if err := s.refresh(); err != nil {
			return err
		}
		if err := s.settleRejects(); err != nil {
			s.log.Error("records that were refused can't be written down", "error", err)
		}
		if passed >= alive {
			// Without a new sign the one before stands: should we die now, a longer gap is declared than there was.
			if err := s.control.Alive(); errors.Is(err, control.ErrStopped) {
				return err
			} else if err != nil {
				s.log.Error("no sign of life can be left", "error", err)
			}
			alive = passed + aliveEvery
		}
		if passed >= flushed {
			s.expect()
			if err := errors.Join(s.sources.flush(), s.standing.Flush(0, nil)); err != nil {
				s.log.Error("counts can't be written down", "error", err)
			}
			flushed = passed + flushEvery
		}
		if passed >= expired {
			if err := intake.Expire(s.rejects.dir, s.now(), s.config.Load().KeepQuarantine); err != nil {
				s.log.Error("the quarantine can't be cleared of what has lain there long enough", "error", err)
			}
			expired = passed + expireEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// plan says what is to be sealed; with all set, whatever is closed: days that would wait for their sources, and addenda.
func (s *Service) plan(all bool) batch.Plan {
	plan := batch.Plan{
		Since: func(trail string) (event.Day, bool) {
			t, ok := s.control.Trail(trail)
			return t.Since, ok
		},
		Ready: s.ready, Aside: s.aside, Late: all, Keep: s.config.Load().Keep,
	}
	if all {
		plan.Ready = nil
	}
	return plan
}

// ErrHeld says that sealing is held, and not only the store away.
var ErrHeld = errors.New("sealing is held")

// Roll seals what is due; with all set whatever is closed, without waiting for sources, and events that came after their day was sealed. Only one roll is under way at a
// time.
func (s *Service) Roll(ctx context.Context, all bool) error {
	return s.roll(ctx, s.plan(all))
}

// TakeOver is Roll of whatever is closed, and accepts what another machine has added to the store's log, or this one before its data folder was restored. Somebody has
// looked at it.
func (s *Service) TakeOver(ctx context.Context) error {
	plan := s.plan(true)
	plan.TakeOver = true
	return s.roll(ctx, plan)
}

func (s *Service) roll(ctx context.Context, plan batch.Plan) error {
	if err := s.refresh(); err != nil {
		return s.failed(err)
	}
	if err := s.settleRejects(); err != nil { // the seal tells them all the same
		s.log.Error("records that were refused can't be written down", "error", err)
	}
	if err := s.held(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return s.failed(err)
	}
	s.writes.begin()
	defer s.writes.end()
	s.mu.Lock()
	if s.sealing.rolls++; s.sealing.rolls == 1 {
		s.sealing.Running = s.now()
	}
	s.mu.Unlock()
	began := time.Now()
	report, err := s.standing.Roll(ctx, plan)
	s.mu.Lock()
	if s.sealing.rolls--; s.sealing.rolls == 0 {
		s.sealing.Running = time.Time{}
	}
	s.mu.Unlock()
	if report != nil {
		s.metrics.rolled(report, time.Since(began))
		for _, d := range report.Days {
			s.log.Info("sealed", "trail", d.Trail, "day", d.Day.String(), "outcome", d.Outcome, "seal", d.Seal, "events", d.Events, "duplicates", d.Duplicates,
				"files", d.Files, "bytes", d.Bytes)
		}
		if len(report.Days) > 0 {
			if err := s.sources.flush(); err != nil {
				s.log.Error("counts can't be written down", "error", err)
			}
		}
	}
	if ctx.Err() != nil { // whoever asked for it went away, or the service stops: nothing is wrong
		return err
	}
	if err != nil {
		return s.failed(err)
	}
	// The store's clock is known once it has answered; what it says holds for the next look.
	s.mu.Lock()
	s.sealing.Last, s.sealing.Error, s.sealing.Hint = s.now(), "", ""
	s.mu.Unlock()
	return nil
}

// held reports why nothing may be sealed.
func (s *Service) held(ctx context.Context) error {
	s.mu.Lock()
	moved := s.jumps.moved()
	s.mu.Unlock()
	var offset time.Duration
	known := false
	store := s.config.Load().Batch.Store
	if clock, ok := store.(sink.Clock); ok {
		// What it told last was compared with our clock as it was then: where that was set, and where the two did not agree, it is asked again.
		if offset, known = clock.Offset(); known && (moved || offset.Abs() > maxOffset) {
			if s.asked(ctx, store) {
				offset, known = clock.Offset()
			} else {
				known = false
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.jumps.check(offset, known); err != nil {
		s.sealing.Held = err.Error()
		return fmt.Errorf("%w: %w", ErrHeld, err)
	}
	s.sealing.Held = ""
	return nil
}

// asked reports whether the store answers.
func (s *Service) asked(ctx context.Context, store sink.Store) bool {
	ctx, cancel := context.WithTimeout(ctx, preflightTime)
	defer cancel()
	return store.Preflight(ctx) == nil
}

func (s *Service) failed(err error) error {
	s.metrics.failures.Inc()
	return s.waits(err)
}

// waits notes why sealing waits, and returns it.
func (s *Service) waits(err error) error {
	var hint *sink.HintError
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealing.Failed, s.sealing.Error, s.sealing.Hint = s.now(), err.Error(), ""
	if errors.As(err, &hint) {
		s.sealing.Hint = hint.Hint
	}
	s.sealing.Unbalanced = s.sealing.Unbalanced || errors.Is(err, batch.ErrConservation)
	return err
}
