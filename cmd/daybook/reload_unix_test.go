//go:build unix

package main_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A reload makes no key: a configuration that names none that is there is refused, and the service goes on as it was.
func TestReloadMakesNoKey(t *testing.T) {
	dir := t.TempDir()
	config := serviceFile(t, dir, "key: "+filepath.Join(dir, "keys", "signing.key")+"\n")
	p := startProcess(t, dir, nil, "sh", "-c", "exec daybook serve --config daybook.yaml 2> serve.log")
	refused := 0
	reload := func(what, missing string) {
		t.Helper()
		p.signal(t, syscall.SIGHUP)
		var log string
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			data, err := os.ReadFile(filepath.Join(dir, "serve.log"))
			if err != nil {
				t.Fatal(err)
			}
			log = string(data)
			if strings.Count(log, "is not taken up") > refused {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("%s: it is not refused:\n%s", what, log)
			}
		}
		refused++
		if _, err := os.Lstat(missing); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s is there (%v)", what, missing, err)
		}
		lines := strings.Split(strings.TrimSpace(log), "\n")
		if last := lines[len(lines)-1]; !strings.Contains(last, missing) || !strings.Contains(last, "hint=") {
			t.Errorf("%s: it says %s, want %s and a hint", what, last, missing)
		}
	}
	writeFile(t, config, "")
	reload("an emptied configuration", filepath.Join(dir, ".config", "daybook", "signing.key"))
	serviceFile(t, dir, "key: "+filepath.Join(dir, "keys", "signing.key")+"\n")
	redaction := filepath.Join(dir, "keys", "redaction.key")
	if err := os.Remove(redaction); err != nil {
		t.Fatal(err)
	}
	reload("no redaction key", redaction)
	if out := runIn(t, dir, 3, "status", "--config", "daybook.yaml"); !strings.Contains(out, "\n  warning (reload-refused): the configuration that was read at ") || !strings.Contains(out, redaction) {
		t.Errorf("the status tells nothing of it:\n%s", out)
	}
	p.stop(t)
}
