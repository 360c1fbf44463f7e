package service_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/batch/control"
	"daybook/service"
)

// A reload while events come: every one of them is kept.
func TestReloadDropsNoEvent(t *testing.T) {
	t.Parallel()
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

// A sender who did not get the answer gets it after a reload.
func TestAnswersOutliveAReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	send := func(body string) (answer string, replayed bool) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://daybook/v1/events", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+w.sender)
		req.Header.Set("Idempotency-Key", "batch-1")
		resp, err := w.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(data), resp.Header.Get("Idempotency-Replayed") == "true"
	}
	body := event("e1", w.clock.now())
	first, replayed := send(body)
	if replayed || !strings.Contains(first, `"accepted":1`) {
		t.Fatalf("first answer: %s, replayed: %v", first, replayed)
	}
	if err := w.Reload(w.config, control.System); err != nil {
		t.Fatal(err)
	}
	if again, replayed := send(body); again != first || !replayed {
		t.Errorf("after the reload: %s, replayed: %v, want %s", again, replayed, first)
	}
}

// Trails that are enabled at the same moment: each has the event that says so.
func TestEnableAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	const trails = 24
	var group sync.WaitGroup
	for i := range trails {
		group.Go(func() {
			path := fmt.Sprintf("/v1/trails/t%d/enable", i)
			if data, code := w.try(w.alice, http.MethodPost, path, service.EnableRequest{Org: fmt.Sprint("org", i), Formats: []string{"csv"}}); code != http.StatusOK {
				t.Errorf("%s: %d %s", path, code, data)
			}
		})
	}
	group.Wait()
	w.clock.move(20 * time.Hour)
	w.roll()
	for i := range trails {
		name := fmt.Sprint("t", i)
		list := w.manifests(name)
		if len(list) != 1 {
			t.Errorf("%s has %d seals, want 1", name, len(list))
			continue
		}
		if n := strings.Count(w.evidence(list[0]), `"action":"daybook.trail.enable"`); n != 1 {
			t.Errorf("%s: %d events say that it was enabled, want 1", name, n)
		}
	}
}
