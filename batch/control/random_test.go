package control_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/event"
)

// known are the errors by which something is refused.
var known = []error{control.ErrInvalid, control.ErrDenied, control.ErrUnchanged, control.ErrNotFound, control.ErrExists}

// act does something at random, and returns whether it was done.
func act(t *testing.T, w *world, rng *rand.Rand) bool {
	t.Helper()
	one := func(list ...string) string { return list[rng.IntN(len(list))] }
	actors := []control.Actor{alice, bob, carol, dora, viewer, control.Local, control.System, {Name: "n1", Role: control.RoleAdmin, Org: "*", Via: control.ViaToken}}
	by := actors[rng.IntN(len(actors))]
	trail := one("acme", "beta", "acme-2")
	org := map[string]string{"acme": "acme", "beta": "beta", "acme-2": "acme"}[trail]
	now := w.clock()
	later := now.Add(time.Duration(rng.IntN(100)) * hour)
	if rng.IntN(2) == 0 {
		later = time.Time{}
	}
	var err error
	switch rng.IntN(15) {
	case 0, 1:
		err = w.Enable(by, control.TrailSpec{Name: trail, Org: org}, w.today()-event.Day(rng.IntN(5)), rng.IntN(2) == 0)
	case 2, 3:
		err = w.RequestDisable(by, trail, one("a", "b"), later)
	case 4, 5:
		err = w.Approve(by, trail)
	case 6:
		_, err = w.CreateAdmin(by, one("n1", "n2", "n3"), one(control.RoleAdmin, control.RoleViewer), one("*", org), later)
	case 7:
		err = w.RevokeAdmin(by, one("n1", "n2", "n3"), one("", "x"))
	case 8:
		_, _, err = w.CreateToken(by, org, one("app", "cron"), later)
	case 9:
		if tokens := w.Tokens(); len(tokens) > 0 {
			err = w.RevokeToken(by, tokens[rng.IntN(len(tokens))].ID, "")
		}
	case 10:
		err = w.Gap(seal.Gap{From: now, To: now.Add(time.Duration(rng.IntN(3)) * hour), Reason: one("a", "b")}, one("", trail), one("", "app"))
	case 11:
		err = w.ConfigChanged(by, seal.Sum([]byte(one("1", "2"))), every("x"))
	case 12, 13, 14:
		w.wait(time.Duration(rng.IntN(200)) * hour / 4)
		err = w.Tick()
	}
	for _, k := range known {
		if errors.Is(err, k) {
			return false
		}
	}
	must(t, err)
	return true
}

// What the records come to is the same whether they were just made or are read again.
func TestReplayEqualsLive(t *testing.T) {
	for seed := range uint64(10) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t)
		must(t, w.Started("v1", config1, nil))
		done := 0
		for range 150 {
			if act(t, w, rng) {
				done++
			}
		}
		if rng.IntN(2) == 0 {
			must(t, w.Stopped("end"))
		}
		w.wait(time.Duration(rng.IntN(100)) * hour) // some is due, and not recorded
		live := snap(t, w.Control, w.clock())
		w.reopen()
		if diff := cmp.Diff(live, snap(t, w.Control, w.clock())); diff != "" {
			t.Fatalf("seed %d (-live +replayed):\n%s", seed, diff)
		}
		// To record what is due changes nothing but that there is a record.
		must(t, w.Tick())
		ticked := snap(t, w.Control, w.clock())
		live.Version, live.Events = ticked.Version, ticked.Events
		if diff := cmp.Diff(live, ticked); diff != "" {
			t.Fatalf("seed %d (-due +recorded):\n%s", seed, diff)
		}
		if len(live.Trails) < 2 || done < 40 {
			t.Errorf("seed %d did too little: %d", seed, done)
		}
	}
}

func TestConcurrency(t *testing.T) {
	w := newWorld(t)
	must(t, w.Started("v1", config1, nil))
	must(t, w.Enable(alice, acme, w.today(), false))
	_, secret, err := w.CreateToken(alice, "acme", "app", time.Time{})
	must(t, err)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for i := range 3 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 4))
			for range 30 {
				switch rng.IntN(6) {
				case 0:
					if _, _, err := w.CreateToken(alice, "acme", fmt.Sprint("s", i), time.Time{}); err != nil {
						t.Error(err)
					}
				case 1:
					if err := w.Alive(); err != nil {
						t.Error(err)
					}
				case 2:
					w.SetCoolOff(time.Duration(rng.IntN(2)) * hour)
				case 3:
					w.wait(hour)
					if err := w.Tick(); err != nil {
						t.Error(err)
					}
				default:
					act(t, w, rng)
				}
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				now := w.clock()
				if s, err := w.Sender(secret.Reveal()); err != nil && !errors.Is(err, control.ErrRevoked) || err == nil && s.Org != "acme" {
					t.Errorf("sender %v, %v", s, err)
				}
				w.On("acme", now)
				w.Trails()
				w.Tokens()
				w.Admins()
				w.Sources("acme", now)
				w.Gaps("acme", morning, now)
				last := int64(w.Version()) - 2
				for own, err := range w.Events(last) {
					if err != nil || own.Seq <= last {
						t.Errorf("event %d after %d: %v", own.Seq, last, err)
					}
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	live := snap(t, w.Control, w.clock())
	w.reopen()
	if diff := cmp.Diff(live, snap(t, w.Control, w.clock())); diff != "" {
		t.Errorf("after all that (-live +replayed):\n%s", diff)
	}
}
