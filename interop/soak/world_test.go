package soak_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"daybook/sink/s3test"
)

// world is a service, its senders, and a server behind a proxy. Its methods belong to the test's goroutine but where they say otherwise.
type world struct {
	t        *testing.T
	seed     uint64
	binary   string
	dir      string
	server   *s3test.Server
	proxy    *proxy
	listen   string
	env      []string
	tokens   map[string]string // of senders by source, and of the admins by name
	client   *http.Client
	book     *book
	service  *process
	log      string
	folder   int // the data folder of now, by number
	settings settings
	deeds    map[string]int
	began    time.Time
	asides   sync.WaitGroup // requests that nobody waits for yet
}

// settings are what a reload changes.
type settings struct {
	every, closeAfter, level, drain int
	broken                          bool
}

// How many seconds a seal has to end when the service is stopped: so few that it often does not, and as many as it needs.
const (
	shortDrain = 5
	longDrain  = 90
)

// bucket is where the store is, and prefix below what.
const (
	bucket = "audit"
	prefix = "prod"
)

func newWorld(t *testing.T, binary string, server *s3test.Server, seed uint64) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "daybook-soak-") //nolint:usetesting // it stays where the test fails, to be looked at
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the data folder, the configuration and the log of the service are left in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	w := &world{
		t: t, seed: seed, binary: binary, dir: dir, server: server, proxy: startProxy(t, server.Endpoint, seed), listen: freePort(t), tokens: map[string]string{},
		client: &http.Client{Timeout: 3 * time.Minute, Transport: &http.Transport{}}, book: newBook(rand.New(rand.NewPCG(seed, 1))), log: filepath.Join(dir, "serve.log"),
		settings: settings{every: 7, closeAfter: 1, level: 2, drain: shortDrain}, deeds: map[string]int{}, began: time.Now(),
	}
	w.env = append(os.Environ(), "TEST_ACCESS_KEY="+server.AccessKey, "TEST_SECRET_KEY="+server.SecretKey, "HOME="+dir, "DAYBOOK_TOKEN=", "GORACE=halt_on_error=0 exitcode=0")
	server.CreateBucket(t, bucket, true)
	w.writeConfigs()
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		if w.service != nil {
			w.service.kill()
		}
	})
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) data() string { return w.path(fmt.Sprintf("data-%d", w.folder)) }

// The configurations: that of the service, whose store is behind the proxy, and that of the auditor.
const (
	configFile  = "daybook.yaml"
	auditorFile = "auditor.yaml"
)

func (w *world) writeConfigs() {
	w.t.Helper()
	for name, endpoint := range map[string]string{configFile: w.proxy.endpoint, auditorFile: w.server.Endpoint} {
		scheme, _, _ := strings.Cut(w.server.URL, "://")
		s := w.settings
		config := fmt.Sprintf(`
trails:
  - {name: main, org: acme}
  - {name: pay, org: acme, projects: [%s], formats: [csv, parquet], split: project}
  - {name: %s, org: initech, formats: [csv]}
store:
  url: s3://%s/%s
  endpoint: %s://%s
  region: %s
  ca_file: %q
  path_style: true
  mode: compliance
  access_key_env: TEST_ACCESS_KEY
  secret_key_env: TEST_SECRET_KEY
  retention_policies:
    - {class: short, event_types: ["authentication.*"], retain: 10m}
    - {class: standard, default: true, retain: 3h}
data: %s
key: %s
close_after: %ds
max_wait: 0s
spool: {min_free: 1MiB}
formats: {csv: {level: %d}}
service: {listen: %q, schedule: "@every %ds", cool_off: 1s, drain: %ds}
`, payProject, flaky, bucket, prefix, scheme, endpoint, w.server.Region, w.server.CAFile, w.data(), w.path("keys/signing.key"), s.closeAfter, s.level, w.listen, s.every, s.drain)
		if s.broken && name == configFile {
			config += "close_after: again\n"
		}
		if err := os.WriteFile(w.path(name), []byte(config), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// daybook runs a command that is to succeed.
func (w *world) daybook(args ...string) string {
	w.t.Helper()
	stdout, stderr, code, err := run(w.binary, w.env, args...)
	if err != nil || code != 0 {
		w.t.Fatalf("daybook %s: exit code %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	return stdout
}

// found sets up two admins, the trails, of which one stands in no configuration, and the tokens of the senders.
func (w *world) found() {
	w.t.Helper()
	config := []string{"--config", w.path(configFile)}
	for _, name := range []string{"alice", "bob"} {
		w.tokens[name] = strings.TrimSpace(w.daybook(append([]string{"admin", "create", name}, config...)...))
	}
	w.start()
	since := time.Now().UTC().AddDate(0, 0, -backDays).Format(time.DateOnly)
	alice := w.path("alice.token")
	if err := os.WriteFile(alice, []byte(w.tokens["alice"]), 0o600); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range trails {
		args := append([]string{"trail", "enable", name, "--since", since, "--token-file", alice}, config...)
		if name == "globex" {
			args = append(args, "--org", name)
		}
		w.daybook(args...)
	}
	for _, s := range senders {
		w.tokens[s.source] = strings.TrimSpace(w.daybook(append([]string{"token", "create", "--org", s.org, "--source", s.source}, config...)...))
	}
}

// senders are who sends.
var senders = []struct{ org, source string }{{"acme", "api"}, {"acme", "console"}, {"globex", "api-g"}, {"initech", "api-i"}}

// launch starts the service without waiting for it to serve.
func (w *world) launch() {
	w.t.Helper()
	p, err := startProcess(w.binary, w.log, w.env, "--config", w.path(configFile))
	if err != nil {
		w.t.Fatal(err)
	}
	w.service = p
}

// start starts the service and waits until it serves.
func (w *world) start() {
	w.t.Helper()
	w.launch()
	if err := w.service.wait(); err != nil {
		w.t.Fatal(err)
	}
}

// do makes a step happen.
func (w *world) do(s step) {
	w.t.Helper()
	w.disturb(s)
	w.deeds[s.deed]++
	switch s.deed {
	case "kill":
		w.service.kill()
		if s.n%3 == 0 { // once more, while it starts
			w.launch()
			w.await(s.early)
			w.service.kill()
		}
		w.start()
	case "stop":
		w.stop()
		w.start()
	case "reload", "misconfigure":
		w.settings = settings{every: 3 + s.n%7, closeAfter: 1 + s.n%3, level: 1 + s.n%4, drain: shortDrain, broken: s.deed == "misconfigure"}
		w.writeConfigs()
		if err := w.service.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			w.t.Fatal(err)
		}
		if s.deed == "misconfigure" {
			w.await(200 * time.Millisecond)
			w.settings.broken = false
			w.writeConfigs() // or it could not start again
		}
	case "roll":
		w.aside(func() { _ = w.roll() }) // with the store disturbed it may fail
	case "disable":
		w.disable(s.n)
	case "enable":
		w.admin("alice", "/v1/trails/"+flaky+"/enable", nil)
	case "backup":
		w.backup("backup")
	case "restore":
		w.restore(s)
	case "move":
		w.move()
	}
	w.await(s.pause)
}

func (w *world) disturb(s step) {
	w.t.Helper()
	var err error
	switch s.network {
	case keep:
		return
	case cut:
		err = w.proxy.cut()
	case heal, taint:
		err = w.proxy.set(s.toxics...)
	}
	if err != nil {
		w.t.Fatalf("toxiproxy: %v", err)
	}
	w.deeds["network "+s.network]++
	for _, x := range s.toxics {
		w.deeds[x.Type]++
	}
}

// await lets time pass, while the service is to live.
func (w *world) await(d time.Duration) {
	w.t.Helper()
	select {
	case <-time.After(d):
	case <-w.service.ended:
		w.t.Fatal(w.service.fault())
	}
	w.check()
}

// check ends the test where something has gone wrong.
func (w *world) check() {
	w.t.Helper()
	if err := w.book.failed(); err != nil {
		w.t.Fatalf("%v\n%s", err, w.service.tail())
	}
	if text := raced(w.log); text != "" {
		w.t.Fatalf("daybook serve has a data race:\n%s", text)
	}
}

func (w *world) stop() {
	w.t.Helper()
	if err := w.service.stop(); err != nil {
		w.t.Fatal(err)
	}
}

// aside does something while all else goes on.
func (w *world) aside(f func()) { w.asides.Go(f) }

// roll asks for all that is closed to be sealed. It may be called by any goroutine.
func (w *world) roll() error {
	r, err := w.post(w.client, w.tokens["alice"], "/v1/roll?all=true", nil, nil)
	if err == nil && r.code != http.StatusOK {
		err = fmt.Errorf("roll: %d %s", r.code, r.body)
	}
	return err
}

// admin asks something of the service as an admin. That it is down, or that the trail stands otherwise, is no fault.
func (w *world) admin(name, path string, in any) {
	w.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	if in == nil {
		body = nil
	}
	r, err := w.post(w.client, w.tokens[name], path, body, nil)
	if err != nil {
		return
	}
	switch r.code {
	case http.StatusOK, http.StatusConflict, http.StatusNotFound, http.StatusBadRequest, http.StatusServiceUnavailable:
	default:
		w.t.Fatalf("%s: %d %s", path, r.code, r.body)
	}
}

// disable has a trail switched off by two, for a while or for good.
func (w *world) disable(n int) {
	w.t.Helper()
	in := map[string]any{"reason": fmt.Sprintf("reason %d", n)}
	if n%3 > 0 {
		in["until"] = time.Now().Add(time.Duration(3+n%10) * time.Second).UTC().Format(time.RFC3339)
	}
	w.admin("alice", "/v1/trails/"+flaky+"/disable", in)
	w.admin("bob", "/v1/trails/"+flaky+"/approve", nil)
}

// backup makes a backup, and returns where. It waits for a seal that is under way, and that for the store: so the store is there.
func (w *world) backup(name string) string {
	w.t.Helper()
	if err := w.proxy.set(); err != nil {
		w.t.Fatal(err)
	}
	path := w.path(fmt.Sprintf("%s-%d.tar.zst", name, w.deeds["backup"]+w.deeds["restore"]+w.deeds["move"]))
	w.daybook("backup", "--config", w.path(configFile), "--out", path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		w.t.Fatalf("backup: %v, %v", info, err)
	}
	return path
}

// restore loses the data folder, some time after a backup was made. What was acknowledged since is sent again, as a sender does that is told so. No seal is half made when the
// folder is lost: files of one that nothing explains any more would be in the way of the day's next for good (batch.Restore).
func (w *world) restore(s step) {
	w.t.Helper()
	w.book.record()
	path := w.backup("before")
	w.await(time.Duration(s.n) * 4 * time.Millisecond)
	w.quiet()
	w.takeFolder(path)
	w.start()
	w.daybook("roll", "--take-over", "--config", w.path(configFile)) // the store's log is ahead of what the folder remembers
	for _, b := range w.book.forget(true) {
		again := w.sender(b.facts[0].org, b.facts[0].source, w.seed+uint64(s.n))
		if err := again.deliver(b); err != nil {
			w.t.Fatal(err)
		}
		again.client.CloseIdleConnections()
	}
}

// quiet stops the service at a moment when no seal is half made. The store is to be there.
func (w *world) quiet() {
	w.t.Helper()
	w.stop()
	w.settings.drain = longDrain
	w.writeConfigs()
	for n := 0; w.unfinished(); n++ {
		if n == 10 {
			w.t.Fatalf("a seal does not get finished, though the store is there\n%s", w.service.tail())
		}
		w.start()
		_ = w.roll() // else the next will do
		w.stop()
	}
	w.settings.drain = shortDrain
	w.writeConfigs()
}

// unfinished reports whether a seal is half made in the data folder, which nobody holds now.
func (w *world) unfinished() bool {
	w.t.Helper()
	stdout, stderr, code, err := run(w.binary, w.env, "status", "--json", "--config", w.path(configFile))
	var status struct {
		Trails []struct{ Unfinished *string }
	}
	if err == nil {
		err = json.Unmarshal([]byte(stdout), &status)
	}
	if err != nil {
		w.t.Fatalf("daybook status: exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	for _, t := range status.Trails {
		if t.Unfinished != nil {
			return true
		}
	}
	return false
}

// move moves the data folder to another machine: nothing is lost.
func (w *world) move() {
	w.t.Helper()
	w.stop()
	w.takeFolder(w.backup("move"))
	w.start()
}

// takeFolder makes another data folder of a backup, and lets go of the one that was.
func (w *world) takeFolder(path string) {
	w.t.Helper()
	old := w.data()
	w.folder++
	w.daybook("restore", path, "--data", w.data())
	w.writeConfigs()
	if err := os.RemoveAll(old); err != nil {
		w.t.Fatal(err)
	}
}
