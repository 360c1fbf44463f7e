package service_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch/control"
	"daybook/service"
	"daybook/sink"
)

// A file of the data folder that can't be read is told, with what to do about it, and nothing is changed.
func TestNewTellsOfFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	w.heartbeat()
	_, stop := w.serve()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.shut()
	garbage := func([]byte) []byte { return []byte("{garbage\n") }
	empty := func([]byte) []byte { return nil }
	cut := func(data []byte) []byte { return data[:len(data)/2] }
	for _, file := range []string{"sources.json", "control/journal.jsonl", "control/recorded", "control/alive.json"} {
		path := filepath.Join(w.config.Batch.Data, filepath.FromSlash(file))
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, damage := range map[string]func([]byte) []byte{"garbage": garbage, "empty": empty, "cut": cut, "null": func([]byte) []byte { return []byte("[null]") }} {
			write(t, path, string(damage(good)))
			tellsOf(t, &w.config, file+", "+what, path)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil { // it can't be read, whatever it holds
			t.Fatal(err)
		}
		tellsOf(t, &w.config, file+", a folder", path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		write(t, path, string(good))
	}
	w.open()
	w.check()
}

// tellsOf fails the test unless New names the file and says what to do.
func tellsOf(t *testing.T, c *service.Config, what, path string) {
	t.Helper()
	s, err := service.New(*c)
	if err == nil {
		t.Errorf("%s: New takes it", what)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		return
	}
	if s != nil {
		t.Errorf("%s: a service beside the error", what)
	}
	var hint *sink.HintError
	if !errors.As(err, &hint) || hint.Hint == "" {
		t.Errorf("%s: no hint: %v", what, err)
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("%s: it does not name %s: %v", what, path, err)
	}
}

// What the hints say of files that can be removed holds: without them every event is there once.
func TestFilesThatCanBeRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	w.send(event("e1", begun))
	w.heartbeat()
	_, stop := w.serve()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.clock.move(48 * time.Hour)
	w.restart()
	w.heartbeat()
	w.roll()
	before := w.manifests("audit")
	if len(before) == 0 {
		t.Fatal("nothing is sealed")
	}
	w.shut()
	for _, file := range []string{"sources.json", "control/recorded", "control/alive.json"} {
		if err := os.Remove(filepath.Join(w.config.Batch.Data, filepath.FromSlash(file))); err != nil {
			t.Fatal(err)
		}
	}
	w.open()
	w.roll()
	if after := w.manifests("audit"); len(after) != len(before) {
		t.Errorf("%d seals, and %d once the files were removed", len(before), len(after))
	}
}

// Files that the status alone needs, as the one of counts, are told by it, and the service can be closed.
func TestStatusTellsOfFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.people()
	for _, file := range []string{"carry.json", "verified.json", "bucket.json"} {
		w.shut()
		path := filepath.Join(w.config.Batch.Data, file)
		write(t, path, "")
		w.open()
		_, err := w.Status(control.System, "", 0)
		var hint *sink.HintError
		if !errors.As(err, &hint) || !strings.Contains(err.Error(), path) {
			t.Errorf("it tells %v, want a hint, and %s", err, path)
		}
		w.shut()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		w.open()
		w.status()
	}
}
