package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestThreads asks a service how many threads run its Go code.
func TestThreads(t *testing.T) {
	if os.Getenv("GOMAXPROCS") != "" {
		t.Skip("GOMAXPROCS says how many threads run Go code")
	}
	s := newSite(t)
	secret := strings.TrimSpace(s.daybook(0, "admin", "create", "bob"))
	req, err := http.NewRequest(http.MethodGet, "http://"+s.address+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	told, err := io.ReadAll(resp.Body)
	if want := fmt.Sprintf("\ngo_sched_gomaxprocs_threads %d\n", 2*runtime.GOMAXPROCS(0)); err != nil || !strings.Contains(string(told), want) {
		t.Errorf("%s, %v, no %q in\n%s", resp.Status, err, want, told)
	}
	s.stop(t)
}
