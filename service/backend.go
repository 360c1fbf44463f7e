package service

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/robfig/cron/v3"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/intake"
	"daybook/batch/intake/receiver"
	"daybook/batch/spool"
	"daybook/event"
)

// makeReceiver makes the handler of POST /v1/events, and the schedule that tells senders when to come again. Where nothing says how to read, as for a command that only
// administers, there is no handler.
func (s *Service) makeReceiver(c *Config) (cron.Schedule, *receiver.Handler, error) {
	looks, err := cron.ParseStandard(c.Schedule)
	if err != nil {
		return nil, nil, fmt.Errorf("schedule %q: %w", c.Schedule, err)
	}
	if c.Reading.Redactor == nil {
		return looks, nil, nil
	}
	o := &receiver.Options{
		MaxBody: c.MaxBody, MaxContent: contentRatio * c.MaxBody, MaxInFlight: c.MaxRequests, Rate: float64(c.Rate), BodyTimeout: c.BodyTimeout,
		After: s.receiver.Load(), Clock: s.now, Log: s.log, Observe: s.metrics.observed,
	}
	if c.Batch.Key != nil {
		o.Signer = c.Batch.Key
	}
	reading := c.Reading
	reading.From = "" // a request says what it is, or is of our own events
	h, err := receiver.New(backend{s}, authenticator{s}, reading, o)
	return looks, h, err
}

// setReceiver has requests received, and answers told when to come again, by what makeReceiver made.
func (s *Service) setReceiver(looks cron.Schedule, h *receiver.Handler) {
	s.looks.Store(&looks)
	if h != nil {
		s.receiver.Store(h)
	}
}

// contentRatio is how many times as long as it was sent a body may be when it is uncompressed.
const contentRatio = 16

// receive hands a request to the receiver of now: a reload makes another, which remembers the answers of the one before.
func (s *Service) receive(w http.ResponseWriter, r *http.Request) {
	if h := s.receiver.Load(); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	answer(w, http.StatusServiceUnavailable, problem{Error: "no service is at work", Hint: "`daybook serve` starts it"})
}

// authenticator tells senders by what the control journal and the configuration know of them.
type authenticator struct{ s *Service }

func (a authenticator) Token(secret string) (receiver.Sender, error) {
	sender, err := a.s.control.Sender(secret)
	if err == nil {
		return receiver.Sender{ID: sender.TokenID, Org: sender.Org, Source: sender.Source}, nil
	}
	for _, of := range []struct{ ours, theirs error }{
		{control.ErrUnknown, receiver.ErrUnknown}, {control.ErrExpired, receiver.ErrExpired}, {control.ErrRevoked, receiver.ErrRevoked}, {control.ErrWrongKind, receiver.ErrDenied},
	} {
		if errors.Is(err, of.ours) {
			return receiver.Sender{}, fmt.Errorf("%w: %w", of.theirs, err)
		}
	}
	return receiver.Sender{}, err
}

func (a authenticator) Certificate(leaf *x509.Certificate) (receiver.Sender, error) {
	mine := names(leaf)
	for _, c := range a.s.config.Load().Senders {
		for _, name := range mine {
			if name != "" && c.Certificate == name {
				return receiver.Sender{ID: name, Org: c.Org, Source: c.Source}, nil
			}
		}
	}
	return receiver.Sender{}, fmt.Errorf("%w: the certificate of %s is not named in service.senders", receiver.ErrDenied, mine[0])
}

// backend takes events in from the receiver.
type backend struct{ s *Service }

// Begin is asked for each part of a request. One that was under way when the service began to stop is taken to its end: the server takes no new ones then.
func (b backend) Begin(sender receiver.Sender, received time.Time) (receiver.Batch, error) {
	if err := b.s.standing.Spool().Ready(); err != nil {
		return nil, refusal(err)
	}
	return &gathering{s: b.s, sender: sender, g: b.s.standing.Begin(received), received: received}, nil
}

// refusal is what the receiver calls an error of ours.
func refusal(err error) error {
	if errors.Is(err, spool.ErrFull) || errors.Is(err, syscall.ENOSPC) && !errors.Is(err, spool.ErrStopped) {
		return fmt.Errorf("%w: %w", receiver.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", receiver.ErrUnavailable, err)
}

func (b backend) Reject(sender receiver.Sender, r receiver.Rejection) error {
	// Quarantine is on the same disk: what there is to be free of it is for sealing.
	if err := b.s.standing.Spool().Ready(); err != nil {
		return refusal(err)
	}
	err := b.s.rejects.use(func(q *intake.Quarantine) error {
		return q.AddPart(fmt.Sprintf("%s/%s (%s)", sender.Org, sender.Source, sender.ID), r.Line, r.Reason, r.Data, r.SHA256, r.Size)
	})
	if err != nil {
		return refusal(err)
	}
	return nil
}

func (b backend) Watermark(sender receiver.Sender, t time.Time) error {
	b.s.sources.advance(sender.Org, sender.Source, t, b.s.now())
	return nil
}

// gathering is the events of a request.
type gathering struct {
	s        *Service
	sender   receiver.Sender
	g        *batch.Gathering
	received time.Time
	newest   time.Time // of the events whose time is believed
}

func (g *gathering) Add(t intake.Taken) error {
	if !t.Suspect && t.Event.Time.After(g.newest) {
		g.newest = t.Event.Time
	}
	places := g.g.Places()
	if err := g.g.Add(t); err != nil {
		return err
	}
	if t.Outcome != "" && g.g.Places() > places { // a trail takes it
		g.s.outcomeNotKnown(g.sender.Org, g.sender.Source)
	}
	return nil
}

func (g *gathering) Discard() {}

func (g *gathering) Commit(ctx context.Context) ([]receiver.Outcome, error) {
	if err := g.g.Commit(ctx); err != nil {
		return nil, refusal(err)
	}
	g.s.sources.advance(g.sender.Org, g.sender.Source, g.newest, g.received)
	list := make([]receiver.Outcome, g.g.Len())
	places := make([]receiver.Place, 0, g.g.Places()) // of all
	var placed []batch.Placed
	for i := range list {
		var fate batch.Fate
		fate, placed = g.g.Fate(i, placed[:0])
		switch fate {
		case batch.Accepted:
			list[i].State = receiver.Accepted
		case batch.Duplicate:
			list[i].State = receiver.Duplicate
		case batch.NotTracked:
			list[i].State = receiver.NotTracked
		}
		from := len(places)
		for _, p := range placed {
			places = append(places, receiver.Place{Trail: p.Trail, Day: p.Day, Content: p.Content, SealedBy: g.s.sealedBy(p.Day, g.received)})
		}
		list[i].Placed = places[from:len(places):len(places)]
	}
	return list, nil
}

// lookTime is how long sealing may take, with a store that is away for a while.
const lookTime = 24 * time.Hour

// sealedBy is when an event of a day that came at a time is sealed at the latest: with its day, or with the day on which it came, if that is later, at the first look
// after that is due.
func (s *Service) sealedBy(day event.Day, received time.Time) time.Time {
	c := s.config.Load()
	due := max(day, event.DayOf(received)).End().Add(c.Batch.CloseAfter + c.MaxWait)
	if look := (*s.looks.Load()).Next(due.In(c.Zone)); !look.IsZero() {
		due = look
	}
	return due.Add(lookTime).UTC()
}
