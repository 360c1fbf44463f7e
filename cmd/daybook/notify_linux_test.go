package main_test

import (
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestNotifiesSystemd listens where systemd does.
func TestNotifiesSystemd(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// next is the next message but for those of the watchdog, or the next of all.
	next := func(all bool) string {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("no message: %v", err)
			}
			if text := strings.TrimSpace(string(buf[:n])); all || text != "WATCHDOG=1" {
				return text
			}
		}
	}
	p := startProcess(t, dir, []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=50000"}, "daybook", "serve", "--config", serviceFile(t, dir, ""))
	if got := next(false); got != "READY=1" {
		t.Errorf("it says %q, want READY=1", got)
	}
	if got := next(true); got != "WATCHDOG=1" {
		t.Errorf("it says %q, want WATCHDOG=1", got)
	}
	// A configuration that can't be taken up ends a reload, too.
	for _, more := range []string{"close_after: 2h\n", "close_after: never\n"} {
		serviceFile(t, dir, more)
		p.signal(t, syscall.SIGHUP)
		got := next(false)
		if !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*$`).MatchString(got) {
			t.Errorf("it says %q, want RELOADING=1 and the time", got)
		}
		if got := next(false); got != "READY=1" {
			t.Errorf("after a reload it says %q, want READY=1", got)
		}
	}
	p.stop(t)
	if got := next(false); got != "STOPPING=1" {
		t.Errorf("it says %q, want STOPPING=1", got)
	}
}
