package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

const daybookName = "Daybook, five formats"

// contestant is one program and what its runs took.
type contestant struct {
	Name   string  `json:"name"`
	Runs   []usage `json:"runs"`
	Median usage   `json:"median"`

	run func(ctx context.Context, dir string) (usage, error)
}

// report is what was measured.
type report struct {
	Machine     machineInfo         `json:"machine"`
	Events      int                 `json:"events"` // lines of the input, redeliveries among them
	Files       int                 `json:"files"`
	InputBytes  int64               `json:"input_bytes"`
	Contestants []contestant        `json:"contestants"`
	Counts      map[string][2]int64 `json:"counts,omitempty"` // events and different ids that each wrote
	Triple      *usage              `json:"triple,omitempty"` // Daybook with three times as many events
	// Verification is absent unless it was asked for.
	Verification *verification `json:"verification,omitempty"`
	// Intake and Pending are absent where the service was not measured.
	Intake  *intakeReport  `json:"intake,omitempty"`
	Pending *pendingReport `json:"pending,omitempty"`
	Targets []target       `json:"targets"`
}

// target is a measure beside what it should be at most.
type target struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	AtMost float64 `json:"at_most"`
	Met    bool    `json:"met"`
}

type machineInfo struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	OS     string `json:"os"`
	Go     string `json:"go"`
	Load   string `json:"load"` // of the last minutes, when the bench began: what was measured on a busy machine is worth little
}

func machine() machineInfo {
	m := machineInfo{Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), CPU: "unknown", Load: "unknown"}
	m.CPU = lineOf("/proc/cpuinfo", "model name")
	if _, err := fmt.Sscan(lineOf("/proc/meminfo", "MemTotal"), &m.Memory); err == nil {
		m.Memory <<= 10
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	return m
}

// lineOf returns what follows the colon on the line of a file that begins with name.
func lineOf(path, name string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// medianOf takes the median of each measure on its own.
func medianOf(runs []usage) usage {
	m := usage{
		Wall:    median(runs, func(u usage) float64 { return u.Wall }),
		CPU:     median(runs, func(u usage) float64 { return u.CPU }),
		PeakRSS: int64(median(runs, func(u usage) float64 { return float64(u.PeakRSS) })),
		Sizes:   map[string]int64{},
	}
	for format := range runs[0].Sizes {
		m.Sizes[format] = int64(median(runs, func(u usage) float64 { return float64(u.Sizes[format]) }))
	}
	return m
}

func median[T any](runs []T, measure func(T) float64) float64 {
	var values []float64
	for _, u := range runs {
		values = append(values, measure(u))
	}
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// judge puts the targets beside what was measured.
func (r *report) judge() {
	add := func(name string, value, atMost float64) {
		r.Targets = append(r.Targets, target{name, value, atMost, value <= atMost})
	}
	if v := r.Verification; v != nil {
		add("wall time of verify, of sha256sum with two processes", v.Verify.Wall/v.SHA256Sum.Wall, 1/0.8)
		add("peak RSS of verify, MB", float64(v.Verify.PeakRSS)/(1<<20), 128)
	}
	if in := r.Intake; in != nil {
		add("syncs for a request of one event", float64(in.Singles.Syncs)/float64(in.Singles.Events), 1.0/20)
	}
	if p := r.Pending; p != nil {
		add("resident set of the service with events waiting, MB", float64(max(p.Filled, p.Restarted))/(1<<20), 512)
		add("start with events waiting, s", max(p.Stopped, p.Killed), 10)
		add("intake before and after a day is sealed, of that meanwhile", (p.Before+p.After)/2/p.During, 1/0.7)
		add("p99 of status while a day is sealed, ms", p.Status*1000, 100)
		add("p99 of metrics while a day is sealed, ms", p.Metrics*1000, 100)
	}
	if len(r.Contestants) == 0 {
		return
	}
	ours := r.Contestants[0].Median
	if len(r.Contestants) > 1 {
		peer := r.Contestants[1]
		add("wall time, of "+peer.Name, ours.Wall/peer.Median.Wall, 0.6)
		add("CPU time, of "+peer.Name, ours.CPU/peer.Median.CPU, 1)
		add("size of CSV.gz, of DuckDB's", ratio(ours.Sizes["csv"], peer.Median.Sizes["csv"]), 1.2)
		add("size of Parquet, of DuckDB's", ratio(ours.Sizes["parquet"], peer.Median.Sizes["parquet"]), 1.2)
	}
	add("peak RSS, MB", float64(ours.PeakRSS)/(1<<20), 512)
	if r.Triple != nil {
		add("peak RSS of three times as many events, of that of one", ratio(r.Triple.PeakRSS, ours.PeakRSS), 1.15)
	}
}

func ratio(a, b int64) float64 { return float64(a) / float64(b) }

func (r *report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *report) writeText(w io.Writer) error {
	var cells strings.Builder
	cells.WriteString("\twall s\tCPU s\tevents/s\tevents/CPU s\tpeak RSS MB")
	for _, format := range formatNames {
		fmt.Fprintf(&cells, "\t%s MB", format.name)
	}
	cells.WriteString("\t\n")
	row := func(name string, events int, u usage) {
		fmt.Fprintf(&cells, "%s\t%.2f\t%.2f\t%.0f\t%.0f\t%d", name, u.Wall, u.CPU, float64(events)/u.Wall, float64(events)/u.CPU, u.PeakRSS>>20)
		for _, format := range formatNames {
			if size, ok := u.Sizes[format.name]; ok {
				fmt.Fprintf(&cells, "\t%.1f", float64(size)/1e6)
			} else {
				cells.WriteString("\t-")
			}
		}
		cells.WriteString("\t\n")
	}
	for _, c := range r.Contestants {
		row(c.Name, r.Events, c.Median)
	}
	if r.Triple != nil {
		row("Daybook, three times as many", 3*r.Events, *r.Triple)
	}

	var text strings.Builder
	fmt.Fprintf(&text, "%s, %d cores, %d GB, %s, %s, load %s\n", r.Machine.CPU, r.Machine.Cores, r.Machine.Memory>>30, r.Machine.OS, r.Machine.Go, r.Machine.Load)
	if len(r.Contestants) > 0 {
		fmt.Fprintf(&text, "%d events in %d files, %d MB; medians\n\n", r.Events, r.Files, r.InputBytes/1e6)
		table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
		if _, err := io.WriteString(table, cells.String()); err != nil {
			return err
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if r.Verification != nil {
		text.WriteString(r.Verification.text())
	}
	if r.Intake != nil {
		text.WriteString(r.Intake.text())
	}
	if r.Pending != nil {
		text.WriteString(r.Pending.text())
	}
	text.WriteByte('\n')
	for _, goal := range r.Targets {
		verdict := "met"
		if !goal.Met {
			verdict = "MISSED"
		}
		fmt.Fprintf(&text, "%-6s  %8.2f (at most %.2f)  %s\n", verdict, goal.Value, goal.AtMost, goal.Name)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
