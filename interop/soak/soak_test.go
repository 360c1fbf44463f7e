package soak_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/sink/s3test"
)

// The environment of a run; make soak sets it.
const (
	envToxiproxy = "DAYBOOK_TEST_TOXIPROXY" // the binary
	envTime      = "DAYBOOK_SOAK_TIME"      // how long things happen, e.g. 5m
	envSeed      = "DAYBOOK_SOAK_SEED"
	envRace      = "DAYBOOK_SOAK_RACE" // not blank: the command is built with the race detector
)

const (
	shortTime   = 20 * time.Second
	settleEvery = 45 * time.Second
	tellEvery   = 15 * time.Second
	// slow is when it is told how long a step took.
	slow = 20 * time.Second
)

func TestSoak(t *testing.T) {
	for _, name := range []string{s3test.EnvMinIO, s3test.EnvVersityGW, envToxiproxy} {
		if os.Getenv(name) == "" {
			t.Skipf("SKIPPED: %s is not set: make test and make soak build what it names", name)
		}
	}
	length, seed := shortTime, uint64(time.Now().UnixNano())
	var err error
	if text := os.Getenv(envTime); text != "" {
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", envTime, err)
		}
	}
	if text := os.Getenv(envSeed); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", envSeed, err)
		}
	}
	t.Logf("seed %d: make soak SEED=%d has the same happen again", seed, seed)
	binary := build(t)
	for name, start := range map[string]func(testing.TB) *s3test.Server{"MinIO": s3test.MinIO, "versitygw": s3test.VersityGWTLS} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			soak(newWorld(t, binary, start(t), seed), length)
		})
	}
}

func soak(w *world, length time.Duration) {
	t := w.t
	w.found()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	for i, s := range senders {
		sender := w.sender(s.org, s.source, uint64(10+i))
		sending.Go(func() { sender.run(stop) })
	}
	var once sync.Once
	end := func() {
		once.Do(func() { close(stop) })
		sending.Wait()
	}
	t.Cleanup(end)
	events := schedule{rand.New(rand.NewPCG(w.seed, 0))}
	begun := time.Now()
	settled, told := begun, begun
	for time.Since(begun) < length {
		x, at := events.next(), time.Now()
		w.do(x)
		if took := time.Since(at); took > slow {
			t.Logf("%v took %v", x, took.Round(time.Second))
		}
		if time.Since(told) > tellEvery {
			w.tell(begun)
			told = time.Now()
		}
		if time.Since(settled) > settleEvery {
			w.settle()
			settled = time.Now()
		}
	}
	if err := w.proxy.set(); err != nil {
		t.Fatal(err)
	}
	end()
	w.settle() // and what its start finds changes nothing
	w.quiet()
	w.tell(begun)
	w.audit()
}

// tell tells how far it is.
func (w *world) tell(begun time.Time) {
	w.book.mu.Lock()
	c := w.book.counts
	w.book.mu.Unlock()
	var deeds []string
	for _, name := range slices.Sorted(maps.Keys(w.deeds)) {
		deeds = append(deeds, fmt.Sprintf("%s %d", name, w.deeds[name]))
	}
	w.t.Logf("%v: %d requests (%d acknowledged, %d of them replayed, %d refused, %d unanswered); events: %d accepted, %d duplicates, %d not tracked, %d rejected, %d receipts; %s",
		time.Since(begun).Round(time.Second), c.requests, c.acknowledged, c.replayed, c.refused, c.unanswered, c.events, c.duplicates, c.notTracked, c.rejected, c.receipts, strings.Join(deeds, ", "))
}
