package batch

import (
	"context"
	"time"
)

// pace has sealing give way to intake: while events come in, it rests for four fifths of the time, and a day takes five times as long to seal at most. It works
// for a while at a time, and not a little: what encoders and compressors have at hand they go on with while no more comes, so that they work for longer than a fifth.
type pace struct {
	ctx   context.Context
	taken func() int64 // how many events were taken in until now
	seen  int64        // as of since
	since time.Time    // when it went on working; zero: it did not begin
}

const (
	// paceEvery is after how many events of a day it may rest.
	paceEvery = 1000
	// workFor is how long it works before it rests for restFor times as long as it worked, and no longer than maxRest.
	workFor = 500 * time.Millisecond
	restFor = 4
	maxRest = 4 * time.Second
)

// rest is called every now and then by who works.
func (p *pace) rest() {
	taken := p.taken()
	if p.since.IsZero() {
		p.seen, p.since = taken, time.Now()
		return
	}
	worked := time.Since(p.since)
	if worked < workFor {
		return
	}
	if taken != p.seen {
		t := time.NewTimer(min(restFor*worked, maxRest))
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.ctx.Done(): // who works will see
		}
	}
	p.seen, p.since = taken, time.Now()
}
