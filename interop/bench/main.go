// Command bench measures `daybook export` on a day of generated events, and beside it DuckDB doing its part of the same job; and `daybook serve`, beside
// JetStream.
//
//	go run ./bench [-events N] [-runs N] [-triple] [-verify GB] [-skip-duckdb] [-skip-export] [-json] [-dir DIR] [-keep] [-daybook BINARY]
//	go run ./bench -intake [-intake-events N] [-pending MILLIONS] [-runs N] [-json] [-dir DIR] [-daybook BINARY]
//
// Daybook reads the files, redacts, sorts, removes redeliveries, and writes five formats and a signed seal. DuckDB reads the same files, sorts, removes
// redeliveries by id, and writes two of the formats: CSV.gz and Parquet (one after the other, both at once, and with CSV.zst, at which it is faster). Each
// runs as a process of its own, in turns, so many times; what is reported are medians. Nothing here fails for being slow: it prints what was measured
// beside the targets.
//
// The service takes events in over TLS on loopback, in batches of 1,000 and one by one, and answers once they are on stable storage. JetStream takes the same
// batches as messages, each of which it syncs. Then a service that has many events waiting is started anew, and seals a day while more come in.
//
// The events are made once, and kept in DIR (by default a folder in the user's cache).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"daybook/interop/generate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "bench: error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	// The work is done by children of this very program, so that the memory and CPU of each is its own.
	if len(args) > 0 {
		switch args[0] {
		case "child-generate":
			return generateChild(args[1:])
		case "child-duckdb":
			return duckChild(args[1:])
		case "child-jetstream":
			return jetStreamChild(ctx, args[1])
		case "child-probe":
			return probeChild(ctx, args[1], args[2])
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var o options
	flags.IntVar(&o.events, "events", 2_000_000, "events of the day")
	flags.IntVar(&o.runs, "runs", 3, "runs of each, in turns")
	flags.StringVar(&o.dir, "dir", "", "folder for the generated events and the output (default: in the user's cache)")
	flags.StringVar(&o.bin, "daybook", "", "the daybook binary to measure (default: built from this repository)")
	flags.BoolVar(&o.keep, "keep", false, "keep the output of the last runs")
	flags.BoolVar(&o.skipDuckDB, "skip-duckdb", false, "measure Daybook alone")
	flags.BoolVar(&o.skipExport, "skip-export", false, "measure nothing but -verify")
	flags.BoolVar(&o.triple, "triple", false, "measure the memory of a day three times as large, too")
	flags.Float64Var(&o.verifyGB, "verify", 1, "measure verify, too, on a store of at least so many `GB`, beside sha256sum; 0 leaves it out")
	flags.BoolVar(&o.intake, "intake", false, "measure `daybook serve` alone")
	flags.BoolVar(&o.skipIntake, "skip-intake", false, "do not measure `daybook serve`")
	flags.IntVar(&o.intakeEvents, "intake-events", 500_000, "events that are sent in batches in each run")
	flags.Float64Var(&o.pending, "pending", 5, "measure a service with so many `millions` of events waiting; 0 leaves it out")
	asJSON := flags.Bool("json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.events < 1 || o.runs < 1 || o.verifyGB < 0:
		return errors.New("-events and -runs must be 1 at least, -verify not negative")
	case o.intakeEvents < intakeBatch || o.pending < 0 || o.pending > 0 && o.pending*1e6 < 2*intakeBatch:
		return fmt.Errorf("-intake-events must be %d at least, and so must half of -pending, unless it is 0", intakeBatch)
	case o.intake && (o.skipIntake || o.skipExport || o.triple):
		return errors.New("-intake measures nothing else")
	case o.skipExport && (o.verifyGB == 0 || o.triple):
		return errors.New("-skip-export leaves -verify alone to be measured")
	}
	if o.intake {
		o.skipExport, o.skipDuckDB, o.verifyGB = true, true, 0
	}
	report, err := o.measure(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return report.writeJSON(os.Stdout)
	}
	return report.writeText(os.Stdout)
}

type options struct {
	events, runs     int
	dir              string
	keep             bool
	skipDuckDB       bool
	skipExport       bool
	intake           bool
	skipIntake       bool
	intakeEvents     int
	pending          float64
	triple           bool
	verifyGB         float64
	self, bin, work  string
	inputs, inputs3x []string
}

// measure makes what is missing, then lets the contestants take turns.
func (o *options) measure(ctx context.Context) (_ *report, err error) {
	if err := o.makeFolders(); err != nil {
		return nil, err
	}
	defer func() {
		if o.keep {
			o.log("output kept in %s\n", o.work)
			return
		}
		err = errors.Join(err, os.RemoveAll(o.work))
	}()
	if err := o.prepare(ctx); err != nil {
		return nil, err
	}
	r := &report{Machine: machine(), Events: o.events, Files: len(o.inputs), InputBytes: sizeOf(o.inputs)}
	var contestants []*contestant
	if !o.skipExport {
		contestants = append(contestants, &contestant{Name: daybookName, run: o.daybook})
	}
	if !o.skipDuckDB && !o.skipExport {
		for _, v := range duckVariants {
			contestants = append(contestants, &contestant{Name: v.name, run: func(ctx context.Context, dir string) (usage, error) { return o.duckDB(ctx, v, dir) }})
		}
	}
	for n := range o.runs {
		for _, c := range contestants {
			dir := filepath.Join(o.work, c.Name)
			if err := os.RemoveAll(dir); err != nil {
				return nil, err
			}
			u, err := c.run(ctx, dir)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.Name, err)
			}
			if u.Sizes, err = sizesIn(dir); err != nil {
				return nil, err
			}
			c.Runs = append(c.Runs, u)
			o.log("run %d of %d: %s: %.2f s, CPU %.2f s, %d MB\n", n+1, o.runs, c.Name, u.Wall, u.CPU, u.PeakRSS>>20)
		}
	}
	for _, c := range contestants {
		c.Median = medianOf(c.Runs)
		r.Contestants = append(r.Contestants, *c)
	}
	if !o.skipDuckDB && !o.skipExport {
		if r.Counts, err = o.counts(ctx); err != nil {
			return nil, err
		}
	}
	if o.triple {
		dir := filepath.Join(o.work, "triple")
		u, err := o.exportTo(ctx, o.inputs3x, dir)
		if err != nil {
			return nil, err
		}
		if u.Sizes, err = sizesIn(dir); err != nil {
			return nil, err
		}
		o.log("three times as many events: %.2f s, %d MB\n", u.Wall, u.PeakRSS>>20)
		r.Triple = &u
	}
	if o.verifyGB > 0 {
		if err := o.measureVerify(ctx, r); err != nil {
			return nil, err
		}
	}
	if !o.skipIntake {
		if err := o.measureService(ctx, r); err != nil {
			return nil, err
		}
	}
	r.judge()
	return r, nil
}

// measureService measures `daybook serve`.
func (o *options) measureService(ctx context.Context, r *report) error {
	f, err := o.day(ctx)
	if err == nil {
		err = o.measureIntake(ctx, r, f)
	}
	if err == nil && o.pending > 0 {
		err = o.measurePending(ctx, r, f)
	}
	return err
}

// log tells on standard error how far it is, so that standard output has the report alone.
func (o *options) log(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format, args...) }

func (o *options) makeFolders() (err error) {
	if o.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("no cache folder, name one by -dir: %w", err)
		}
		o.dir = filepath.Join(cache, "daybook-bench")
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	o.work, err = os.MkdirTemp(o.dir, "run-")
	return err
}

// prepare builds Daybook and makes the events.
func (o *options) prepare(ctx context.Context) (err error) {
	if o.self, err = os.Executable(); err != nil {
		return err
	}
	if o.bin == "" {
		err = o.build(ctx)
	} else {
		o.bin, err = filepath.Abs(o.bin)
	}
	if err != nil {
		return err
	}
	if o.intake {
		return nil
	}
	if o.inputs, err = o.generated(ctx, generate.Options{Events: o.events}); err != nil || !o.triple {
		return err
	}
	o.inputs3x, err = o.generated(ctx, generate.Options{Events: 3 * o.events})
	return err
}

func (o *options) build(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	o.bin = filepath.Join(o.work, "daybook")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", o.bin, "./cmd/daybook")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build ./cmd/daybook: %w", err)
	}
	return nil
}

// moduleRoot finds Daybook's own module, above the folder that we were started in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "daybook")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no cmd/daybook above the current folder")
		}
		dir = parent
	}
}

// generated returns the files of a day, and has them made where they are not there. A day that is half made has another name.
func (o *options) generated(ctx context.Context, day generate.Options) ([]string, error) {
	dir := filepath.Join(o.dir, day.Name())
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		part := dir + ".part"
		if err := os.RemoveAll(part); err != nil {
			return nil, err
		}
		if err := os.Mkdir(part, 0o755); err != nil {
			return nil, err
		}
		o.log("making %d events\n", day.Events)
		if _, err := o.child(ctx, o.self, "child-generate", part, fmt.Sprint(day.Events), fmt.Sprint(day.RepeatEvery)); err != nil {
			return nil, err
		}
		if err := os.Rename(part, dir); err != nil {
			return nil, err
		}
	}
	return filepath.Glob(filepath.Join(dir, "*.jsonl"))
}

// generateChild makes a day: in a child, since what a process holds at its fork counts as its child's memory.
func generateChild(args []string) error {
	var o generate.Options
	if _, err := fmt.Sscan(args[1]+" "+args[2], &o.Events, &o.RepeatEvery); err != nil {
		return err
	}
	_, err := generate.Day(args[0], o)
	return err
}
