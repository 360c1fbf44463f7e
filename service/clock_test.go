package service_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"daybook/service"
	"daybook/sink/sinktest"
)

// dated is a store that tells its time with each answer to Preflight, as S3 does: what it told last stands until then.
type dated struct {
	*sinktest.Memory
	now   func() time.Time // the store's clock
	ours  func() time.Time
	away  bool
	ahead time.Duration
}

func (d *dated) Preflight(ctx context.Context) error {
	if d.away {
		return errors.New("no route to host")
	}
	d.ahead = d.now().Sub(d.ours())
	return d.Memory.Preflight(ctx)
}

func (d *dated) Offset() (time.Duration, bool) { return d.ahead, true }

// What the store's clock told before ours was set forward vouches for nothing: it is asked again, and where it is away nothing is sealed.
func TestClockJumpsAfterStoreTold(t *testing.T) {
	t.Parallel()
	store := &dated{}
	w := newWorld(t, func(c *service.Config) { c.Batch.Store = store })
	store.Memory, store.ours = w.store, w.clock.now
	store.now = func() time.Time { return begun.Add(w.clock.passed()) }
	w.people()
	w.send(event("e1", begun))
	w.roll() // nothing is due, and the store has told its time
	for _, away := range []bool{false, true} {
		store.away = away
		w.clock.set(36 * time.Hour)
		if err := w.Roll(t.Context(), true); !errors.Is(err, service.ErrHeld) {
			t.Errorf("set forward, with the store away: %t: %v", away, err)
		}
		w.clock.set(-36 * time.Hour)
	}
	if n := len(w.manifests("audit")); n != 0 {
		t.Fatalf("%d seals of a day that is not over", n)
	}
	store.away = false
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	if n := len(w.manifests("audit")); n != 1 {
		t.Errorf("%d seals, want 1", n)
	}
}

// Whoever asks for a roll and goes away leaves no alert behind.
func TestRollCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.clock.move(20 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Roll(ctx, false); err == nil {
		t.Error("it was sealed all the same")
	}
	if st := w.status(); st.Sealing.Error != "" {
		t.Errorf("sealing is said to fail: %s", st.Sealing.Error)
	}
	w.roll()
}

// A clock that is set back while the service is at work has it look at once, and go by the schedule from then on: the time that was to be the next look's may be a year away.
func TestClockSetBackWhileServing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	_, stop := w.serve()
	looked := func(before time.Time) bool {
		last := w.status().Sealing.Last
		return last != nil && last.Before(before)
	}
	eventually(t, "it looks as it starts", func() bool { return looked(begun.Add(time.Second)) })
	w.clock.set(-48 * time.Hour)
	eventually(t, "it looks again", func() bool { return looked(begun) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
