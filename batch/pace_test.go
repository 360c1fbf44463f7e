package batch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"daybook/batch"
)

// Sealing rests four times as long as it worked while events come in, and not at all while none do.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		taken := int64(0)
		rest := batch.NewPace(ctx, func() int64 { return taken })
		took := func(worked time.Duration, came int64) time.Duration {
			time.Sleep(worked)
			taken += came
			began := time.Now()
			rest()
			return time.Since(began)
		}
		for n, c := range []struct {
			worked time.Duration
			came   int64
			want   time.Duration
		}{
			{time.Minute, 5, 0}, // it begins
			{600 * time.Millisecond, 0, 0},
			{300 * time.Millisecond, 1, 0},
			{300 * time.Millisecond, 0, 2400 * time.Millisecond}, // for both
			{400 * time.Millisecond, 0, 0},
			{400 * time.Millisecond, 0, 0},
			{time.Minute, 1, 4 * time.Second},
		} {
			if got := took(c.worked, c.came); got != c.want {
				t.Errorf("step %d: it rests for %v, want %v", n, got, c.want)
			}
		}
		cancel()
		if got := took(time.Second, 1); got != 0 {
			t.Errorf("it rests for %v when it is to end", got)
		}
	})
}
