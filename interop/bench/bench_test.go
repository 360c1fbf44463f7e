package main_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"daybook/interop/duck"
)

func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// TestBench runs the whole of it on a small day, and looks at what is reported, not at how quick it was.
func TestBench(t *testing.T) {
	const events = 4000
	args := []string{"-events", "4000", "-runs", "2", "-triple", "-verify", "0.003", "-intake-events", "3000", "-pending", "0.004", "-json", "-dir", t.TempDir()}
	contestants := 4
	if db, err := duck.Open(); errors.Is(err, duck.ErrUnavailable) {
		t.Logf("SKIPPED: DuckDB's part: %v", err)
		args, contestants = append(args, "-skip-duckdb"), 1
	} else if err != nil {
		t.Fatal(err)
	} else if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(build(t), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	type usage struct {
		Wall  float64          `json:"wall_seconds"`
		CPU   float64          `json:"cpu_seconds"`
		RSS   int64            `json:"peak_rss_bytes"`
		Sizes map[string]int64 `json:"output_bytes"`
	}
	var report struct {
		InputBytes  int64 `json:"input_bytes"`
		Contestants []struct {
			Name   string  `json:"name"`
			Runs   []usage `json:"runs"`
			Median usage   `json:"median"`
		} `json:"contestants"`
		Counts       map[string][2]int64 `json:"counts"`
		Triple       *usage              `json:"triple"`
		Verification struct {
			Bytes     int64
			Events    int64
			SHA256Sum usage `json:"sha256sum"`
			Verify    usage
			Deep      usage
		} `json:"verification"`
		Intake struct {
			Daybook, JetStream, Singles struct {
				Events int64
				Wall   float64 `json:"wall_seconds"`
				P99    float64 `json:"p99_seconds"`
				Syncs  int64
			}
		}
		Pending struct {
			Events  int64
			Spool   int64   `json:"spool_bytes"`
			Filled  int64   `json:"filled_rss_bytes"`
			Stopped float64 `json:"start_seconds"`
			Sealed  int64   `json:"sealed_events"`
			During  float64 `json:"intake_during"`
		}
		Targets []struct {
			Name  string  `json:"name"`
			Value float64 `json:"value"`
		} `json:"targets"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if report.InputBytes < 600*events || len(report.Contestants) != contestants || report.Triple == nil {
		t.Fatalf("report %s", out)
	}
	for i, c := range report.Contestants {
		want := []string{"csv", "parquet"}
		if i == 0 {
			want = []string{"jsonl", "csv", "parquet", "cef", "syslog"}
		}
		if len(c.Runs) != 2 || c.Median.Wall <= 0 || c.Median.CPU <= 0 || c.Median.RSS < 1<<20 || len(c.Median.Sizes) != len(want) {
			t.Errorf("%s: %+v", c.Name, c)
		}
		for _, format := range want {
			if c.Median.Sizes[format] < events {
				t.Errorf("%s: %s has %d bytes", c.Name, format, c.Median.Sizes[format])
			}
		}
		if n := report.Counts[c.Name]; contestants > 1 && (n[0] >= events || n[0] < events*97/100) {
			t.Errorf("%s wrote %d of %d events, of which 1 %% come twice", c.Name, n[0], events)
		}
	}
	if small, large := report.Contestants[0].Median.Sizes["csv"], report.Triple.Sizes["csv"]; large < 2*small {
		t.Errorf("three times as many events make %d bytes of CSV, one makes %d", large, small)
	}
	v := report.Verification
	if v.Bytes < 3e6 || v.Events < 2*events || v.SHA256Sum.Wall <= 0 || v.Verify.Wall <= 0 || v.Deep.Wall <= 0 || v.Verify.RSS < 1<<20 {
		t.Errorf("verification: %+v", v)
	}
	in := report.Intake
	if in.Daybook.Events != 3000 || in.JetStream.Events != 3000 || in.Singles.Events != 200 || in.Daybook.Syncs < 1 || in.Daybook.Syncs > 10 || in.Singles.P99 <= 0 {
		t.Errorf("intake: %+v", in)
	}
	if p := report.Pending; p.Events != 4000 || p.Sealed != 2000 || p.Filled < 1<<20 || p.Spool < 1<<20 || p.Stopped <= 0 || p.During <= 0 {
		t.Errorf("pending: %+v", p)
	}
	for _, target := range report.Targets {
		if target.Value <= 0 {
			t.Errorf("%s: %v", target.Name, target.Value)
		}
	}
}

func TestBenchLeavesNothingBehindAFailure(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command(build(t), "-events", "10", "-skip-duckdb", "-skip-intake", "-dir", dir, "-daybook", "absent").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "absent") {
		t.Errorf("error %v: %s", err, out)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if !strings.HasPrefix(e.Name(), "day-") {
			t.Errorf("%s was left", e.Name())
		}
	}
}
