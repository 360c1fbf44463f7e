package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"daybook/interop/generate"
)

const (
	intakeBatch        = 1000 // events of a request
	intakeConnections  = 4
	singlesConnections = 200
)

// taken is what a server took to take events in.
type taken struct {
	Events int64   `json:"events"`
	Wall   float64 `json:"wall_seconds"`
	CPU    float64 `json:"cpu_seconds"` // the server's, user and system
	P50    float64 `json:"p50_seconds"` // of a request
	P99    float64 `json:"p99_seconds"`
	// Syncs is how often the log was synced; 0 where that is not known.
	Syncs int64 `json:"syncs,omitempty"`
}

func (t *taken) perSecond() float64 { return float64(t.Events) / t.Wall }
func (t *taken) perEvent() float64  { return t.CPU / float64(t.Events) * 1e6 } // µs

// intakeReport is what taking events in took, with TLS on loopback.
type intakeReport struct {
	Batch       int `json:"batch"`
	Connections int `json:"connections"`
	// Daybook and JetStream took the same batches in turns, each as a process of its own that has every batch on stable storage before it answers. To JetStream
	// they are one message each. Medians.
	Daybook   taken `json:"daybook"`
	JetStream taken `json:"jetstream"`
	// Singles are requests of one event over many connections.
	SinglesConnections int   `json:"singles_connections"`
	Singles            taken `json:"singles"`
}

// day is the feed of events for intake.
func (o *options) day(ctx context.Context) (*feed, error) {
	paths, err := o.generated(ctx, generate.Options{Events: o.intakeEvents, RepeatEvery: -1})
	if err != nil {
		return nil, err
	}
	return readFeed(paths)
}

func (o *options) measureIntake(ctx context.Context, r *report, f *feed) error {
	in := &intakeReport{Batch: intakeBatch, Connections: intakeConnections, SinglesConnections: singlesConnections}
	var ours, theirs, singles []taken
	for n := range o.runs {
		batches, single, err := o.intakeRun(ctx, f)
		if err != nil {
			return err
		}
		ours, singles = append(ours, batches), append(singles, single)
		peer, err := o.jetStreamRun(ctx, f)
		if err != nil {
			return err
		}
		theirs = append(theirs, peer)
		o.log("intake, run %d of %d: Daybook %.0f events/s, %.1f µs of CPU each; JetStream %.0f and %.1f; single events %.0f/s, %.1f a sync, p99 %.0f ms\n", n+1, o.runs,
			batches.perSecond(), batches.perEvent(), peer.perSecond(), peer.perEvent(), single.perSecond(), float64(single.Events)/float64(single.Syncs), single.P99*1000)
	}
	in.Daybook, in.JetStream, in.Singles = medianTaken(ours), medianTaken(theirs), medianTaken(singles)
	r.Intake = in
	return nil
}

// medianTaken takes the median of each measure on its own.
func medianTaken(runs []taken) taken {
	return taken{
		Events: runs[0].Events,
		Wall:   median(runs, func(t taken) float64 { return t.Wall }), CPU: median(runs, func(t taken) float64 { return t.CPU }),
		P50: median(runs, func(t taken) float64 { return t.P50 }), P99: median(runs, func(t taken) float64 { return t.P99 }),
		Syncs: int64(median(runs, func(t taken) float64 { return float64(t.Syncs) })),
	}
}

// intakeRun has a service that is new take a day of batches in, and then single events.
func (o *options) intakeRun(ctx context.Context, f *feed) (batches, singles taken, err error) {
	dir := filepath.Join(o.work, "intake")
	d, err := o.newDaybook(ctx, dir, singlesConnections)
	if err != nil {
		return batches, singles, err
	}
	defer func() { err = firstError(err, d.close(), os.RemoveAll(dir)) }()
	var next atomic.Int64
	l := load{feed: f, date: today(), connections: intakeConnections, batch: intakeBatch, next: &next, send: func(ctx context.Context, _ int, body []byte, events int) error {
		return d.send(ctx, body, events)
	}}
	syncs := func() (float64, error) { return d.metric(ctx, "daybook_spool_syncs_total") }
	if batches, err = l.measure(ctx, d.process, int64(o.intakeEvents), syncs); err != nil {
		return batches, singles, err
	}
	l.connections, l.batch = singlesConnections, 1
	singles, err = l.measure(ctx, d.process, int64(max(o.intakeEvents/20, singlesConnections)), syncs)
	return batches, singles, err
}

func (o *options) jetStreamRun(ctx context.Context, f *feed) (batches taken, err error) {
	dir := filepath.Join(o.work, "jetstream")
	j, err := o.newJetStream(ctx, dir, intakeConnections)
	if err != nil {
		return batches, err
	}
	defer func() { err = firstError(err, j.close(), os.RemoveAll(dir)) }()
	var next atomic.Int64
	l := load{feed: f, date: today(), connections: intakeConnections, batch: intakeBatch, next: &next, send: func(ctx context.Context, connection int, body []byte, _ int) error {
		return j.publish(ctx, connection, body)
	}}
	return l.measure(ctx, j.process, int64(o.intakeEvents), nil)
}

// measure sends events and says what that took the server.
func (l *load) measure(ctx context.Context, server *process, events int64, syncs func() (float64, error)) (t taken, err error) {
	var mu sync.Mutex
	var times []float64
	l.sent = func(n int, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		t.Events += int64(n)
		times = append(times, took.Seconds())
	}
	var synced float64
	if syncs != nil {
		if synced, err = syncs(); err != nil {
			return t, err
		}
	}
	before, err := server.cpu()
	if err != nil {
		return t, err
	}
	began := time.Now()
	if err := l.run(ctx, events, nil); err != nil {
		return t, err
	}
	t.Wall = time.Since(began).Seconds()
	after, err := server.cpu()
	if err != nil {
		return t, err
	}
	t.CPU = (after - before).Seconds()
	if syncs != nil {
		now, err := syncs()
		if err != nil {
			return t, err
		}
		t.Syncs = int64(now - synced)
	}
	t.P50, t.P99 = percentile(times, 50), percentile(times, 99)
	if t.Events == 0 {
		return t, fmt.Errorf("%d events are less than a request of %d", events, l.batch)
	}
	return t, nil
}

// percentile returns the least of the values that so many in a hundred are not above. It sorts them.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(int(math.Ceil(p/100*float64(len(values))))-1, 0)]
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (in *intakeReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nintake with TLS on loopback, every answer after a sync; batches of %d over %d connections, single events over %d\n\n", in.Batch, in.Connections, in.SinglesConnections)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "\tevents/s\tserver's CPU µs/event\trequests/sync\tp50 ms\tp99 ms\t")
	row := func(name string, x *taken, batch int) {
		shared := "-"
		if x.Syncs > 0 {
			shared = fmt.Sprintf("%.1f", float64(x.Events)/float64(batch)/float64(x.Syncs))
		}
		_, _ = fmt.Fprintf(t, "%s\t%.0f\t%.1f\t%s\t%.1f\t%.1f\t\n", name, x.perSecond(), x.perEvent(), shared, x.P50*1000, x.P99*1000)
	}
	row("Daybook, batches", &in.Daybook, in.Batch)
	row("JetStream, batches as opaque messages", &in.JetStream, in.Batch)
	row("Daybook, single events", &in.Singles, 1)
	_ = t.Flush() // a Builder never fails
	return b.String()
}
