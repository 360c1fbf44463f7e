//go:build unix

package service_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// BenchmarkIntake is the cost of an event from its request to the answer, over plain HTTP on loopback, with the client's own. It reports CPU time, since the machine
// may be shared.
func BenchmarkIntake(b *testing.B) {
	for _, c := range []struct {
		name               string
		batch, connections int
	}{{"batches of 1000", 1000, 4}, {"single events", 1, 200}} {
		b.Run(c.name, func(b *testing.B) { benchIntake(b, c.batch, c.connections) })
	}
}

func benchIntake(b *testing.B, batch, connections int) {
	w := newWorld(b, nil)
	w.config.MaxRequests = 1000
	w.restart()
	w.people()
	address, stop := w.serve()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	send := func(body []byte) error {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+address+"/v1/events", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+w.sender)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if want := fmt.Sprintf(`"accepted":%d,`, batch); err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(want))) {
			err = fmt.Errorf("%s: %s", resp.Status, answer)
		}
		return err
	}
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	synced := w.status().Spool.Syncs
	var before, after syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	b.ReportAllocs()
	b.ResetTimer()
	var group errgroup.Group
	for c := range connections {
		group.Go(func() error {
			rng := rand.New(rand.NewPCG(uint64(c), uint64(b.N)))
			var body []byte
			for n := c; n < b.N; n += connections {
				body = body[:0]
				for range batch {
					body = appendBenchEvent(body, rng)
				}
				if err := send(body); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(group.Wait())
	b.StopTimer()
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	events := float64(b.N * batch)
	used := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.N)/float64(w.status().Spool.Syncs-synced), "requests/sync")
	b.ReportMetric(float64(used.Microseconds())/events, "cpu-µs/event")
	must(stop())
}

// appendBenchEvent appends a line of about 700 bytes.
func appendBenchEvent(dst []byte, rng *rand.Rand) []byte {
	at := begun.Add(-time.Duration(rng.Int64N(int64(6 * time.Hour)))).Truncate(time.Microsecond)
	return fmt.Appendf(dst, `{"id":"%08x-%04x-4000-8000-%012x","time":%q,"type":"api.read","action":"project-describe","outcome":"success","severity":"info",`+
		`"actor_id":"user-ada.lovelace%d","ip":"192.0.2.%d","user_agent":"platform-sdk/1.2.3 Python/3.11 Linux/6.1.0","session_id":"%020d","request_id":"%d",`+
		`"credential_id":"AKBFGJKPQVXYZ0123456","token_label":"pipeline token %d","token_last4":"Bf3x","object_type":"project","object_id":"project-%024x",`+
		`"object_name":"Study %d","project_id":"project-%024x","project_name":"Study %d","region":"eu-central-1","info":{"describe":{"size":%d},"folder":"/runs/%s","limit":%d}}`+"\n",
		rng.Uint32(), rng.Uint32N(1<<16), rng.Uint64N(1<<48), at.Format(time.RFC3339Nano), rng.IntN(5000), rng.IntN(256), rng.Uint64(), rng.Uint64(), rng.IntN(40), rng.Uint64(),
		rng.IntN(200), rng.Uint64(), rng.IntN(200), rng.Uint32(), strings.Repeat("r", 20), rng.IntN(1000))
}
