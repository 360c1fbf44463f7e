package doctor

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"daybook/sink"
	"daybook/sink/s3"
)

// Checked is a bucket whose Preflight is a doctor in short, and whose Inspect looks at its tiers as well.
type Checked struct {
	*s3.Store
	opts Options
	log  *slog.Logger

	mu     sync.Mutex
	looked bool // guarded by mu
}

var (
	_ sink.Store     = (*Checked)(nil)
	_ sink.Inspector = (*Checked)(nil)
)

// Check returns a store that is checked as the options say; what of them tries something is not looked at. The log is told what was found.
func Check(store *s3.Store, opts Options, log *slog.Logger) *Checked {
	opts.Short = true
	return &Checked{Store: store, opts: opts, log: log}
}

// shortTime is how long the checks may take that keep nobody from sealing. A tier's server may be away.
const shortTime = 5 * time.Second

// Preflight implements sink.Store. Only what keeps files from being sealed at all is an error, as s3.Store has it; what others could do to them later, or did, is told in the log,
// once for each store: as a warning if it is not as it must be. It makes s3.Store's Preflight alone once the other checks were made.
func (c *Checked) Preflight(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Store.Preflight(ctx); err != nil || c.looked {
		return err
	}
	short, cancel := context.WithTimeout(ctx, shortTime)
	defer cancel()
	r := &Report{}
	newExam(c.Store, c.opts).tryAll(short, r)
	c.looked = ctx.Err() == nil
	for _, f := range r.Findings {
		level := slog.LevelInfo
		switch f.Status {
		case Pass:
			level = slog.LevelDebug
		case Fail:
			level = slog.LevelWarn
		case Warn, Unknown:
		}
		c.log.Log(ctx, level, f.Text, "check", f.Check, "status", f.Status, "hint", f.Remedy)
	}
	return nil
}

// Inspect implements sink.Inspector.
func (c *Checked) Inspect(ctx context.Context) ([]sink.Setting, error) {
	list, err := c.Store.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(c.opts.Tiers))
	for name := range c.opts.Tiers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		list = append(list, c.opts.Tiers[name].InspectTier(ctx, name))
	}
	return list, nil
}
