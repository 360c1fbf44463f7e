package service_test

import (
	"fmt"
	"sync"
	"testing"

	"daybook/batch/control"
)

// A reload while events come: every one of them is kept.
func TestReloadDropsNoEvent(t *testing.T) {
	w := newWorld(t, nil)
	w.people()
	_, stop := w.serve()
	done := make(chan struct{})
	var reloads sync.WaitGroup
	reloads.Go(func() {
		defer close(done)
		for i := range 20 {
			c := w.config
			c.Effective = []string{fmt.Sprintf("a: %d", i)}
			c.Batch.Config[0] = byte(i)
			if err := w.Reload(c, control.System); err != nil {
				t.Error(err)
			}
		}
	})
	n := 0
	for reloading := true; reloading; n++ {
		select {
		case <-done:
			reloading = false
		default:
		}
		if got, want := w.send(event(fmt.Sprint("e", n), begun)), (taken{Accepted: 1}); got != want {
			t.Errorf("event %d: taken %+v, want %+v", n, got, want)
		}
	}
	reloads.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.check()
}
