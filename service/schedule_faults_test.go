package service_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"daybook/batch"
	"daybook/batch/tlog"
	"daybook/internal/effort"
	"daybook/service"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// However often cron fires, and however many ask for a roll at once, a day is sealed once.
func TestManyRollsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e0", begun), event("e1", begun))
	w.clock.move(3*24*time.Hour + 14*time.Hour)
	w.heartbeat()
	var rolls sync.WaitGroup
	for n := range 8 {
		rolls.Go(func() {
			if err := w.Roll(t.Context(), n%2 == 0); err != nil {
				t.Error(err)
			}
		})
	}
	rolls.Wait()
	w.check()
	if list := w.manifests("audit"); len(list) != 4 {
		t.Errorf("seals are %v", briefs(list))
	}
	w.once("audit", 2)
}

// Fifty starts within a day are one seal, which tells when the service was down; they are all events.
func TestRestartLoop(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	w := newWorld(t, nil)
	w.people()
	const starts = 50
	for n := range starts {
		_, stop := w.serve()
		w.send(event(fmt.Sprint("e", n), w.clock.now()))
		w.clock.move(5 * time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		w.shut()
		w.clock.move(time.Minute)
		w.open()
	}
	w.clock.move(14 * time.Hour)
	w.heartbeat()
	w.roll()
	list := w.manifests("audit")
	if len(list) != 1 {
		t.Fatalf("seals are %v", briefs(list))
	}
	w.once("audit", starts)
	rows := w.evidence(list[0])
	for _, action := range []string{"daybook.service.start", "daybook.service.stop"} {
		if n := strings.Count(rows, fmt.Sprintf(`"action":%q`, action)); n != starts {
			t.Errorf("%s is an event %d times, want %d", action, n, starts)
		}
	}
	if n := len(list[0].Gaps); n != starts-1 {
		t.Errorf("%d gaps, want %d", n, starts-1)
	}
}

// slowStore takes no file until it is let, or its caller gives up.
type slowStore struct {
	*sinktest.Memory
	begun   chan struct{} // told of each Put
	release chan struct{}
}

func (s *slowStore) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	select {
	case <-s.release:
		return s.Memory.Put(ctx, o)
	case <-ctx.Done():
		return sink.Info{}, ctx.Err()
	}
}

// A service that is told to stop in the middle of an upload lets it end. If that takes too long it is cut off, and the next start finishes it.
func TestStopInTheMiddleOfAnUpload(t *testing.T) {
	t.Parallel()
	for _, patient := range []bool{true, false} {
		slow := &slowStore{begun: make(chan struct{}, 1), release: make(chan struct{})}
		w := newWorld(t, func(c *service.Config) {
			slow.Memory = c.Batch.Store.(*sinktest.Memory)
			c.Batch.Store = slow
			if !patient {
				c.Drain = 50 * time.Millisecond
			}
		})
		w.people()
		w.send(event("e0", begun))
		w.clock.move(14 * time.Hour)
		w.heartbeat()
		_, stop := w.serve() // it looks as it starts
		<-slow.begun
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		if patient {
			// Once it is stopping it takes nothing more in.
			for {
				if _, code := w.try("", http.MethodGet, "/readyz", nil); code == http.StatusServiceUnavailable {
					break
				}
			}
			select {
			case err := <-stopped:
				t.Fatalf("it stopped in the middle of an upload: %v", err)
			default:
			}
			close(slow.release)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if n := len(w.manifests("audit")); (n == 1) != patient {
			t.Errorf("patient %v: %d seals", patient, n)
		}
		if !patient {
			close(slow.release)
		}
		w.restart()
		w.roll()
		if list := w.manifests("audit"); len(list) != 1 {
			t.Errorf("seals are %v", briefs(list))
		}
		w.once("audit", 1)
	}
}

// Days are UTC days wherever the schedule's clock hangs: over both changes of the hour each is sealed once, is 24 hours long, and follows the one before.
func TestDaylightSavingTime(t *testing.T) {
	effort.NeedsThorough(t)
	vienna, err := time.LoadLocation("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []time.Time{time.Date(2000, 3, 26, 1, 0, 0, 0, time.UTC), time.Date(2000, 10, 29, 1, 0, 0, 0, time.UTC)} {
		synctest.Test(t, func(t *testing.T) { // it is 2000-01-01
			time.Sleep(time.Until(change.AddDate(0, 0, -1)))
			w := newWorld(t, func(c *service.Config) {
				// Half past two is a time that there is not on the one day, and twice on the other.
				c.Schedule, c.Zone, c.Batch.Now = "30 2 * * *", vienna, time.Now
				c.MaxWait, c.Steady = 0, nil
			})
			w.people()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- w.Schedule(ctx) }()
			for n := range 3 {
				w.send(event(fmt.Sprint("e", n), time.Now()))
				time.Sleep(24 * time.Hour)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			list := w.manifests("audit")
			for i, m := range list {
				if m.End.Sub(m.Start) != 24*time.Hour || i > 0 && !m.Start.Equal(list[i-1].End) || m.Addendum != 0 {
					t.Errorf("seal %d is of %v to %v", m.Seal, m.Start, m.End)
				}
			}
			if n := len(list); n < 2 {
				t.Errorf("%d days were sealed in three days", n)
			}
			w.shut()
		})
	}
}

// Two machines keep one trail in one store, each with what was sent to it. A new one takes over what is sealed; the first then finds that another extends the log, seals nothing and
// says so, and goes on taking events in. Told to take over, it learns the other's seals, and what is new of its own events becomes addenda. None is lost or doubled.
func TestTwoServicesOfOneTrail(t *testing.T) {
	t.Parallel()
	a := newWorld(t, nil)
	b := newWorld(t, nil)
	b.shut()
	b.store, b.key, b.clock = a.store, a.key, a.clock
	b.config = b.settings(filepath.Join(sinktest.Folder(t), "data"))
	b.open()
	for _, w := range []*world{a, b} {
		w.people()
	}
	for day := range 3 {
		n := 3 * day
		a.send(event(fmt.Sprint("e", n), a.clock.now()), event(fmt.Sprint("e", n+1), a.clock.now()))
		b.send(event(fmt.Sprint("e", n+1), a.clock.now()), event(fmt.Sprint("e", n+2), a.clock.now()))
		a.clock.move(24 * time.Hour)
		a.heartbeat()
		b.heartbeat()
		if day == 0 {
			a.roll()
		}
		b.roll()
		if err := a.Roll(t.Context(), false); day > 0 && (!errors.Is(err, tlog.ErrAhead) || a.status().Sealing.Hint == "") {
			t.Errorf("day %d: the first one's sealing gives %v, and the hint %q", day, err, a.status().Sealing.Hint)
		}
	}
	b.shut()
	a.config.Batch.TakeOver = true
	a.restart()
	for range 2 { // a day gets one seal in a roll
		if err := a.Roll(t.Context(), true); err != nil {
			t.Fatal(err)
		}
	}
	a.check()
	a.once("audit", 9)
}

// A data folder is one process's.
func TestSecondServiceOnTheSameFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if s, err := service.New(w.config); !errors.Is(err, batch.ErrBusy) {
		t.Errorf("a second one: %v, %v", s, err)
	}
	w.people()
	w.send(event("e0", begun))
	w.check()
}
