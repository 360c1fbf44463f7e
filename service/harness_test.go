package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/formats"
	"daybook/retention"
	"daybook/service"
	"daybook/sink/sinktest"
)

// begun is when the clock of a test starts.
var begun = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// clock is the clock of a test: it stands until it is moved. Steady follows it, unless it is set.
type clock struct {
	mu     sync.Mutex
	at     time.Time
	steady time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) passed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steady
}

// move lets time pass.
func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.steady += d
}

// set moves the hands.
func (c *clock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a service in a data folder of its own, on a store in memory, under a clock that stands.
type world struct {
	t      testing.TB
	clock  *clock
	store  *sinktest.Memory
	key    seal.Signer
	config service.Config
	*service.Service
	client *http.Client
	alice  string // tokens
	bob    string
	sender string
}

func newWorld(t testing.TB, edit func(*service.Config)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{at: begun}}
	w.store = sinktest.NewMemory(t, &sinktest.Options{Now: w.clock.now})
	key, _, err := seal.LoadOrCreateKey(filepath.Join(t.TempDir(), "signing.key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	w.key = key
	w.config = w.settings(filepath.Join(sinktest.Folder(t), "data"))
	if edit != nil {
		edit(&w.config)
	}
	w.open()
	t.Cleanup(w.shut)
	return w
}

func (w *world) settings(data string) service.Config {
	redactor, err := intake.NewRedactor(bytes.Repeat([]byte{7}, 32), intake.Rules{})
	if err != nil {
		w.t.Fatal(err)
	}
	all := formats.All()
	return service.Config{
		Batch: batch.Settings{
			Store: w.store, Data: data, Key: w.key, Now: w.clock.now, CloseAfter: time.Hour, DedupeWindow: 30 * 24 * time.Hour, Build: "daybook test", Config: seal.Sum([]byte("config")),
			Workers: 1, Log: slog.New(slog.DiscardHandler), Policies: retention.Policies{{Class: "standard", EventTypes: []string{"*"}}},
			Trails: []batch.Trail{{Name: "audit", Org: "acme", Formats: all[:2], MaxSplit: 10}},
			Rendering: batch.Rendering{
				PartRows: 1_000_000, PartBytes: 1 << 30, JSONL: batch.Compression{Kind: seal.Zstd, Level: 1}, CSV: batch.Compression{Kind: seal.Gzip, Level: 2},
				SortMemory: 24 << 20,
			},
		},
		Where: "memory", Reading: intake.Settings{From: "auto", RecordLimit: 1 << 20, Ratio: 250, Redactor: redactor, PlausibleAfter: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)},
		MinFree: 1 << 20, Keep: 7 * 24 * time.Hour, KeepQuarantine: 30 * 24 * time.Hour, MaxWait: 6 * time.Hour, CoolOff: time.Hour,
		Schedule: "0 0 1 1 *", Zone: time.UTC, Listen: "127.0.0.1:0", MaxBody: 16 << 20, MaxRequests: 100, BodyTimeout: 10 * time.Second, Drain: 10 * time.Second,
		Steady: w.clock.passed, Effective: []string{"a: 1"}, Log: slog.New(slog.DiscardHandler),
	}
}

func (w *world) open() {
	w.t.Helper()
	s, err := service.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service, w.client = s, s.InProcess()
	w.Begin()
}

func (w *world) shut() {
	if w.Service != nil {
		if err := w.Service.Close(); err != nil {
			w.t.Error(err)
		}
		w.Service = nil
	}
}

// restart closes the service and opens it again.
func (w *world) restart() {
	w.t.Helper()
	w.shut()
	w.open()
}

// call sends a request as who holds the token, and fails the test unless the answer has that code. What it says goes into out.
func (w *world) call(token, method, path string, in any, code int, out any) {
	w.t.Helper()
	data, got := w.try(token, method, path, in)
	if got != code {
		w.t.Fatalf("%s %s: %d %s, want %d", method, path, got, data, code)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, data)
		}
	}
}

func (w *world) try(token, method, path string, in any) ([]byte, int) {
	w.t.Helper()
	var body io.Reader = http.NoBody
	switch in := in.(type) {
	case nil:
	case string:
		body = strings.NewReader(in)
	default:
		data, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://daybook"+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return data, resp.StatusCode
}

// people makes two admins, a sender and the trail.
func (w *world) people() {
	w.t.Helper()
	var made service.Made
	for name, token := range map[string]*string{"alice": &w.alice, "bob": &w.bob} {
		w.call("", http.MethodPost, "/v1/admins", service.AdminRequest{Name: name, Role: "admin", Org: "*"}, http.StatusOK, &made)
		*token = made.Secret
	}
	w.call(w.alice, http.MethodPost, "/v1/trails/audit/enable", nil, http.StatusOK, nil)
	w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "acme", Source: "api"}, http.StatusOK, &made)
	w.sender = made.Secret
}

// taken is the answer of POST /v1/events.
type taken struct {
	Accepted   int64 `json:"accepted"`
	Duplicate  int64 `json:"duplicate"`
	NotTracked int64 `json:"not_tracked"`
	Rejected   int64 `json:"rejected_total"`
}

// send sends events.
func (w *world) send(events ...string) taken {
	w.t.Helper()
	var t taken
	w.call(w.sender, http.MethodPost, "/v1/events", strings.Join(events, "\n"), http.StatusOK, &t)
	return t
}

// event is an event of that id and time.
func event(id string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"time":%q,"type":"api.read","action":"project-describe","outcome":"success","actor_id":"user-1"}`, id, at.UTC().Format(time.RFC3339Nano))
}

// heartbeat says that the sender has sent all up to now.
func (w *world) heartbeat() {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://daybook/v1/events", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.sender)
	req.Header.Set("Daybook-Watermark", w.clock.now().Format(time.RFC3339))
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(resp.Body)
		w.t.Fatalf("heartbeat: %s %s", resp.Status, data)
	}
}

func (w *world) status() *service.Status {
	w.t.Helper()
	var st service.Status
	w.call("", http.MethodGet, "/v1/status?days=10", nil, http.StatusOK, &st)
	return &st
}

// trail is the status of the trail audit.
func (w *world) trail() service.TrailStatus {
	w.t.Helper()
	for _, t := range w.status().Trails {
		if t.Trail == "audit" {
			return t
		}
	}
	w.t.Fatal("no trail audit")
	return service.TrailStatus{}
}

// roll seals what is due.
func (w *world) roll() {
	w.t.Helper()
	if err := w.Roll(w.t.Context(), false); err != nil {
		w.t.Fatal(err)
	}
	w.check()
}

// check is the oracle: the store verifies, and every event that was accepted is somewhere.
func (w *world) check() {
	w.t.Helper()
	if len(w.store.Keys()) > 0 {
		report, err := verify.Run(w.t.Context(), w.store, &verify.Options{Keys: []seal.PublicKey{w.key.Public()}, Deep: true, Now: w.clock.now})
		if err != nil {
			w.t.Fatal(err)
		}
		if report.ExitCode() != 0 {
			w.t.Fatalf("verify ends with %d: %+v", report.ExitCode(), report.Findings)
		}
	}
	list, err := w.Reconcile(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range list {
		if r.Fault != "" || r.Accepted != r.Sealed+r.Pending+r.Duplicates+r.Damaged {
			w.t.Fatalf("events do not add up: %+v", r)
		}
	}
}

// manifests are those of a trail, in order.
func (w *world) manifests(trail string) []*seal.Manifest {
	w.t.Helper()
	var list []*seal.Manifest
	for n := uint64(1); ; n++ {
		r, err := w.store.Get(w.t.Context(), seal.ManifestKey(trail, n), "")
		if err != nil {
			return list
		}
		data, err := io.ReadAll(r)
		if err != nil {
			w.t.Fatal(err)
		}
		m, err := seal.ParseManifest(data)
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, m)
	}
}

// serve runs the service until the test ends or stop is called, and returns its address.
func (w *world) serve() (address string, stop func() error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	ready := make(chan net.Addr, 1)
	go func() { done <- w.Run(ctx, func(a net.Addr) { ready <- a }) }()
	var once sync.Once
	var result error
	stop = func() error {
		once.Do(func() {
			cancel()
			result = <-done
		})
		return result
	}
	w.t.Cleanup(func() { _ = stop() })
	select {
	case a := <-ready:
		return a.String(), stop
	case err := <-done:
		w.t.Fatal(err)
		return "", nil
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// evidence is all rows of a seal.
func (w *world) evidence(m *seal.Manifest) string {
	w.t.Helper()
	var all strings.Builder
	for _, f := range m.Files {
		if f.Format != formats.JSONL.Name {
			continue
		}
		z, err := zstd.NewReader(bytes.NewReader(w.store.Bytes(f.Key)))
		if err != nil {
			w.t.Fatal(err)
		}
		if _, err := io.Copy(&all, z); err != nil {
			w.t.Fatal(err)
		}
		z.Close()
	}
	return all.String()
}
