package control_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/event"
	"daybook/internal/effort"
	"daybook/sink/sinktest"
)

const hour = time.Hour

var (
	morning = time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)
	alice   = control.Actor{Name: "alice", Role: control.RoleAdmin, Org: "*", Via: control.ViaCertificate}
	bob     = control.Actor{Name: "bob", Role: control.RoleAdmin, Org: "acme", Via: control.ViaCertificate}
	carol   = control.Actor{Name: "carol", Role: control.RoleAdmin, Org: "beta", Via: control.ViaCertificate}
	dora    = control.Actor{Name: "dora", Role: control.RoleAdmin, Org: "*", Via: control.ViaCertificate}
	viewer  = control.Actor{Name: "vera", Role: control.RoleViewer, Org: "*", Via: control.ViaCertificate}
	acme    = control.TrailSpec{Name: "acme", Org: "acme"}
	beta    = control.TrailSpec{Name: "beta", Org: "beta"}
	config1 = seal.Sum([]byte("1"))
	config2 = seal.Sum([]byte("2"))
)

// A world is a data folder and a clock.
type world struct {
	*control.Control
	t      *testing.T
	dir    string
	before func(op string) error // ahead of each operation on the file system

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: sinktest.Folder(t), now: morning}
	w.open()
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) options() *control.Options {
	return &control.Options{Now: w.clock, CoolOff: hour}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
}

func (w *world) open() {
	w.t.Helper()
	c, err := control.OpenWith(w.dir, w.options(), func(op string) error {
		if w.before == nil {
			return nil
		}
		return w.before(op)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Control = c
}

func (w *world) reopen() {
	w.t.Helper()
	must(w.t, w.Close())
	w.open()
}

func (w *world) journal() string { return filepath.Join(w.dir, "control", "journal.jsonl") }

func (w *world) today() event.Day { return event.DayOf(w.clock()) }

// stride is how far apart the bytes lie that a test damages: make test tries each.
func stride() int {
	if effort.Thorough() {
		return 1
	}
	return 5
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(err, want error) bool {
	return err == nil && want == nil || want != nil && errors.Is(err, want)
}

// refused checks that err is of a kind.
func refused(t *testing.T, err, want error) {
	t.Helper()
	if !is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}
