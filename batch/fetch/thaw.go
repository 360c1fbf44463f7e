package fetch

import (
	"context"
	"errors"
	"time"

	"daybook/sink"
)

// thawWorkers is how many small questions are put to a store at a time.
const thawWorkers = 8

// ThawOptions say how files are brought back from an archive.
type ThawOptions struct {
	// Days is for how long, Tier how fast: one of sink's.
	Days int
	Tier string
	// Wait goes on until every file can be read, and looks at all of them Every so often. Default: a minute.
	Wait  bool
	Every time.Duration
	// Told is told of each file that can't be brought back, each time that it was tried; ErrNotExist, ErrHidden. Progress is told after each look at all of them.
	Told     func(File, error)
	Progress func(Thaws)
}

// Thaws is how it stands with files.
type Thaws struct {
	Files int64 `json:"files"`
	// Readable can be read now; Thawed of them lie in an archive, and can be read until Until at least.
	Readable int64     `json:"readable"`
	Thawed   int64     `json:"thawed"`
	Until    time.Time `json:"until,omitzero"`
	// Thawing are being brought back.
	Thawing int64 `json:"thawing"`
	Failed  int64 `json:"failed"`
}

func (t *Thaws) add(frost sink.Frost) {
	switch {
	case frost.Cold:
		t.Thawing++
		return
	case !frost.Until.IsZero():
		t.Thawed++
		if t.Until.IsZero() || frost.Until.Before(t.Until) {
			t.Until = frost.Until
		}
	}
	t.Readable++
}

// Thaw has files brought back from an archive that lie in one. A store without archives needs none of it: there all files can be read. Thaw may be called again for the same files, to see how
// far it is, or to have them kept for longer.
func Thaw(ctx context.Context, store sink.Store, q *Query, o *ThawOptions) (Thaws, error) {
	every := o.Every
	if every <= 0 {
		every = time.Minute
	}
	for {
		t, err := thaw(ctx, store, q, o)
		if err != nil {
			return t, err
		}
		if o.Progress != nil {
			o.Progress(t)
		}
		if !o.Wait || t.Thawing == 0 {
			return t, nil
		}
		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return t, ctx.Err()
		}
	}
}

// thaw looks at each file once.
func thaw(ctx context.Context, store sink.Store, q *Query, o *ThawOptions) (t Thaws, err error) {
	type result struct {
		file  File
		frost sink.Frost
		err   error // of this file alone
	}
	thawer, archives := store.(sink.Thawer)
	begin := func(f File) func(context.Context) (result, error) {
		return func(ctx context.Context) (r result, err error) {
			r.file = f
			if !archives {
				return r, nil
			}
			r.frost, err = thawer.Thaw(ctx, f.Key, f.Version, o.Days, o.Tier)
			if errors.Is(err, sink.ErrNotExist) || errors.Is(err, sink.ErrHidden) {
				r.err, err = err, nil
			}
			return r, err
		}
	}
	err = each(ctx, Files(ctx, store, q), thawWorkers, begin, func(r result) bool {
		t.Files++
		if r.err == nil {
			t.add(r.frost)
			return true
		}
		t.Failed++
		if o.Told != nil {
			o.Told(r.file, r.err)
		}
		return true
	})
	return t, err
}
