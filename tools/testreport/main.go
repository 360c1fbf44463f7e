// Command testreport reads what `go test -json` prints and says what a person wants to know of it: the result line of each package,
// the output of each test that failed, and at the end the tests that were skipped, each with its reason, and the counts.
//
// It exits with 1 when anything failed, or when no test ran. Nothing that explains a failure is lost: the output of a build, of a
// panic, and of whatever is no test event at all is printed as it came. With -slow it lists the tests that took so long, the slowest first.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	r := report{out: os.Stdout, running: make(map[test][]string)}
	flag.DurationVar(&r.slow, "slow", 0, "list the tests that took so long; 0 lists none")
	flag.Parse()
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testreport: error:", err)
		os.Exit(1)
	}
	r.summarise()
	if r.broken || r.failed > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

// An event is a line of `go test -json`; see `go doc cmd/test2json` and `go help buildjson`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// A test is one test or subtest of a package; with a blank name it is the package itself.
type test struct{ pkg, name string }

type skip struct {
	test
	reason string
}

// took is how long a test took that is no subtest.
type took struct {
	test
	time.Duration
}

type report struct {
	out     io.Writer
	slow    time.Duration
	times   []took            // of tests that took as long as slow
	running map[test][]string // the output so far of each test that has not ended
	skips   []skip
	passed  int
	failed  int
	broken  bool // a package failed, perhaps outside of any test
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if !bytes.HasPrefix(line, []byte("{")) || json.Unmarshal(line, &e) != nil {
				e = event{Action: "build-output", Output: string(line)}
			}
			r.add(e)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) add(e event) {
	t := test{e.Package, e.Test}
	elapsed := time.Duration(e.Elapsed * float64(time.Second))
	if r.slow > 0 && elapsed >= r.slow && t.name != "" && !strings.Contains(t.name, "/") {
		r.times = append(r.times, took{t, elapsed})
	}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.broken = true
	case "output":
		if t.name != "" {
			r.running[t] = append(r.running[t], e.Output)
		} else if e.Output != "PASS\n" {
			fmt.Fprint(r.out, e.Output)
		}
	case "pass":
		if t.name != "" {
			r.passed++
		}
		delete(r.running, t)
	case "skip":
		if t.name != "" { // a package is skipped when it has no test files
			r.skips = append(r.skips, skip{t, reason(r.running[t])})
		}
		delete(r.running, t)
	case "fail":
		if t.name != "" {
			r.failed++
			r.print(t)
			return
		}
		r.broken = true
		// What still runs when the package fails was cut short, by a panic or a time-out.
		for _, t := range slices.SortedFunc(maps.Keys(r.running), func(a, b test) int { return strings.Compare(a.name, b.name) }) {
			if t.pkg == e.Package {
				r.print(t)
			}
		}
	}
}

// print shows what a failed test said, less the lines that only tell that it runs.
func (r *report) print(t test) {
	for _, line := range r.running[t] {
		if !strings.HasPrefix(line, "=== ") {
			fmt.Fprint(r.out, line)
		}
	}
	delete(r.running, t)
}

// reason is what a skipped test said: its last line that names a place in the source, less that place.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		line = strings.TrimSpace(line)
		if _, reason, found := strings.Cut(line, ".go:"); found {
			if _, reason, found = strings.Cut(reason, ": "); found {
				return reason
			}
		}
	}
	return "no reason given"
}

func (r *report) summarise() {
	slices.SortStableFunc(r.times, func(a, b took) int { return cmp.Compare(b.Duration, a.Duration) })
	for _, t := range r.times {
		fmt.Fprintf(r.out, "SLOW: %s %s: %v\n", t.pkg, t.name, t.Round(time.Second/10))
	}
	for _, s := range r.skips {
		fmt.Fprintf(r.out, "SKIPPED: %s %s: %s\n", s.pkg, s.name, s.reason)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skips))
}
