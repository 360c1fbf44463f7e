package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// pendingReport is how a service does that has many events which wait.
type pendingReport struct {
	Events int64 `json:"events"`
	// Spool is the size of the data folder's spool.
	Spool int64 `json:"spool_bytes"`
	// Filled is the resident set of the service that took them in, Restarted that of one that was started with them; Peak is the largest that any had.
	Filled    int64 `json:"filled_rss_bytes"`
	Restarted int64 `json:"restarted_rss_bytes"`
	Peak      int64 `json:"peak_rss_bytes"`
	// Stopped is how long it takes to start after it was stopped, Killed after kill -9, until it serves.
	Stopped float64 `json:"start_seconds"`
	Killed  float64 `json:"start_after_kill_seconds"`
	// Sealed is how many events the day has that is sealed while others come in, and Sealing how long that takes. Before, During and After are how many come in a
	// second: a spool that fills takes less in by itself, as the engine has more to merge, so that During stands between two others.
	Sealed  int64   `json:"sealed_events"`
	Sealing float64 `json:"sealing_seconds"`
	Before  float64 `json:"intake_before"`
	During  float64 `json:"intake_during"`
	After   float64 `json:"intake_after"`
	// Status and Metrics are how long nearly all answers took meanwhile.
	Status  float64 `json:"status_p99_seconds"`
	Metrics float64 `json:"metrics_p99_seconds"`
}

// sealedDate is the day that is sealed: all others of the events are of today, which is not over.
const sealedDate = "2026-03-10"

func (o *options) measurePending(ctx context.Context, r *report, f *feed) (err error) {
	dir := filepath.Join(o.work, "pending")
	d, err := o.newDaybook(ctx, dir, intakeConnections)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, d.close(), os.RemoveAll(dir)) }()
	p := &pendingReport{Events: int64(o.pending * 1e6)}
	p.Sealed = min(p.Events/2, 1_500_000) / intakeBatch * intakeBatch
	var next atomic.Int64
	l := load{feed: f, connections: intakeConnections, batch: intakeBatch, next: &next, send: func(ctx context.Context, _ int, body []byte, events int) error {
		return d.send(ctx, body, events)
	}}
	for _, part := range []struct {
		date   string
		events int64
	}{{sealedDate, p.Sealed}, {today(), p.Events - p.Sealed}} {
		l.date, l.first, l.day = part.date, next.Load(), part.events
		if err := l.run(ctx, part.events, nil); err != nil {
			return err
		}
		o.log("%d events wait\n", next.Load())
	}
	p.Events = next.Load()
	if p.Spool, err = sizeBelow(filepath.Join(dir, "data", "spool")); err != nil {
		return err
	}
	p.Filled, p.Peak = d.memory()
	if err := o.measureStarts(ctx, d, p); err != nil {
		return err
	}
	if err := o.measureSealing(ctx, d, &l, p); err != nil {
		return d.because(err)
	}
	_, peak := d.memory()
	p.Peak = max(p.Peak, peak)
	r.Pending = p
	return nil
}

func (o *options) measureStarts(ctx context.Context, d *daybookServer, p *pendingReport) error {
	for _, how := range []struct {
		signal syscall.Signal
		took   *float64
	}{{syscall.SIGTERM, &p.Stopped}, {syscall.SIGKILL, &p.Killed}} {
		_, peak := d.memory()
		p.Peak = max(p.Peak, peak)
		if err := d.stop(how.signal); err != nil {
			return err
		}
		d.client.CloseIdleConnections()
		began := time.Now()
		if err := d.start(ctx); err != nil {
			return err
		}
		if _, err := d.ask(ctx, http.MethodGet, "/readyz", d.admin, nil); err != nil {
			return err
		}
		*how.took = time.Since(began).Seconds()
		o.log("started after %v in %.2f s\n", how.signal, *how.took)
	}
	p.Restarted, _ = d.memory()
	return nil
}

// measureSealing has a day sealed while events of another come in, and asks meanwhile how it stands.
func (o *options) measureSealing(ctx context.Context, d *daybookServer, l *load, p *pendingReport) error {
	var came atomic.Int64
	l.date, l.sent = today(), func(events int, _ time.Duration) { came.Add(int64(events)) }
	group, ctx := errgroup.WithContext(ctx)
	over := make(chan struct{})
	group.Go(func() error { return l.run(ctx, 1<<62, over) })
	group.Go(func() error {
		defer close(over)
		alone := func() float64 {
			began, from := time.Now(), came.Load()
			select {
			case <-time.After(min(max(time.Duration(o.pending*float64(20*time.Second)), time.Second), 30*time.Second)):
			case <-ctx.Done():
			}
			return float64(came.Load()-from) / time.Since(began).Seconds()
		}
		alone() // it was just started, and has nothing to merge yet
		p.Before = alone()
		status, err := d.probe(ctx, "/v1/status")
		if err != nil {
			return err
		}
		metrics, err := d.probe(ctx, "/metrics")
		if err != nil {
			return err
		}
		began, from := time.Now(), came.Load()
		answer, err := d.ask(ctx, http.MethodPost, "/v1/roll?all=true", d.admin, nil)
		p.Sealing = time.Since(began).Seconds()
		p.During = float64(came.Load()-from) / p.Sealing
		var failed [2]error
		p.Status, failed[0] = status.stop()
		p.Metrics, failed[1] = metrics.stop()
		p.After = alone()
		o.log("sealed %d events in %.1f s: intake %.0f events/s before, %.0f meanwhile, %.0f after\n", p.Sealed, p.Sealing, p.Before, p.During, p.After)
		return firstError(err, failed[0], failed[1], isSealed(answer, p.Sealed))
	})
	return group.Wait()
}

// isSealed makes sure that there is a seal with that many events.
func isSealed(status []byte, events int64) error {
	var st struct {
		Trails []struct {
			Last struct {
				Events int64 `json:"events"`
			} `json:"last"`
			Accepted   int64 `json:"accepted"`
			Waiting    int64 `json:"waiting"`
			Duplicates int64 `json:"duplicates"`
		} `json:"trails"`
	}
	if err := json.Unmarshal(status, &st); err != nil {
		return err
	}
	if len(st.Trails) != 1 {
		return errors.New("there is not one trail")
	}
	if t := &st.Trails[0]; t.Accepted-t.Waiting-t.Duplicates != events || t.Last.Events != events {
		return fmt.Errorf("%d events were to be sealed: %s", events, status)
	}
	return nil
}

func (p *pendingReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d events wait to be sealed, %d MB on disk\n\n", p.Events, p.Spool/1e6)
	fmt.Fprintf(&b, "resident set: %d MB with them all taken in, %d MB started with them, %d MB at most\n", p.Filled>>20, p.Restarted>>20, p.Peak>>20)
	fmt.Fprintf(&b, "start: %.2f s after it was stopped, %.2f s after kill -9\n", p.Stopped, p.Killed)
	fmt.Fprintf(&b, "a day of %d events sealed in %.1f s; intake: %.0f events/s before, %.0f meanwhile, %.0f after\n", p.Sealed, p.Sealing, p.Before, p.During, p.After)
	fmt.Fprintf(&b, "answers meanwhile, p99: status %.0f ms, metrics %.0f ms\n", p.Status*1000, p.Metrics*1000)
	return b.String()
}
