package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/control"
	"daybook/batch/fetch"
	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
)

// queryFlags say which sealed files are meant.
type queryFlags struct {
	trail, from, to, day, project, configFile string
	formats, classes, keys                    []string
	since                                     uint64
}

func (f *queryFlags) addTo(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&f.trail, "trail", "", "files of this `TRAIL` alone")
	set.StringVar(&f.day, "day", "", "files of this `DAY` alone, e.g. 2026-03-10")
	set.StringVar(&f.from, "from", "", "files of this `DAY` on")
	set.StringVar(&f.to, "to", "", "files up to this `DAY`")
	set.StringVar(&f.project, "project", "", "files of this `PROJECT` alone, by its id, where a trail has files for each project")
	set.StringSliceVar(&f.formats, "format", nil, "files of these `FORMATS` alone")
	set.StringSliceVar(&f.classes, "class", nil, "files of these retention `CLASSES` alone")
	set.Uint64Var(&f.since, "since-seal", 0, "files of the seals after number `N` alone, addenda to earlier days among them; takes --trail")
	set.StringArrayVar(&f.keys, "key", nil, "a public key `FILE` that you trust: go by what its owner signed alone; may be given again")
	set.StringVar(&f.configFile, "config", "", "the configuration `FILE`, for the store and its credentials")
	cmd.MarkFlagsMutuallyExclusive("day", "from")
	cmd.MarkFlagsMutuallyExclusive("day", "to")
	var known []string
	for _, format := range formats.All() {
		known = append(known, format.Name)
	}
	_ = cmd.MarkFlagFilename("key") // this and the next two fail only for a flag that is not there
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp))
}

// wanted are the files that a command was asked for.
type wanted struct {
	store  sink.Store
	query  *fetch.Query
	shared map[string]int // by format: files that were left out since they hold several projects
}

// find opens the store, which is the first argument or the configuration's, and makes the query; other arguments are keys.
func (a *app) find(cmd *cobra.Command, f *queryFlags, args []string) (*wanted, error) {
	w := &wanted{query: &fetch.Query{Trail: f.trail, Classes: f.classes, Since: f.since}, shared: map[string]int{}}
	q := w.query
	if f.since > 0 && f.trail == "" {
		return nil, usage(errors.New("--since-seal counts the seals of one trail"), "say with --trail which")
	}
	if cmd.Flags().Changed("project") {
		q.Project = &f.project
		q.Shared = func(f fetch.File) { w.shared[f.Format]++ }
	}
	for _, name := range f.formats {
		format, err := formats.Named(name)
		if err != nil {
			return nil, usageError{err}
		}
		q.Formats = append(q.Formats, format.Name)
	}
	if len(args) > 1 {
		q.Keys = args[1:]
	}
	var err error
	if f.day != "" {
		if q.From, err = event.ParseDay(f.day); err != nil {
			return nil, usageError{err}
		}
		q.To = q.From
	} else if q.From, q.To, err = parseDays(f.from, f.to); err != nil {
		return nil, err
	}
	for _, path := range f.keys {
		key, err := seal.LoadPublicKey(path)
		if err != nil {
			return nil, usageOf(err)
		}
		q.Trusted = append(q.Trusted, key)
	}
	if w.store, err = a.readStore(f.configFile, args[:min(len(args), 1)]); err != nil {
		return nil, err
	}
	if len(f.keys) == 0 {
		_, _ = fmt.Fprintln(a.stderr, "daybook: without --key the store's own word is taken for what was sealed")
	}
	return w, nil
}

func (w *wanted) files(ctx context.Context) iter.Seq2[fetch.File, error] {
	return fetch.Files(ctx, w.store, w.query)
}

// tellShared tells of files that may hold some of a project's events.
func (a *app) tellShared(w *wanted) {
	var parts []string
	n := 0
	for _, format := range formats.All() {
		if w.shared[format.Name] > 0 {
			parts = append(parts, format.Name)
			n += w.shared[format.Name]
		}
	}
	if n > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: left out %d files (%s) that hold the events of several projects, this one's perhaps among them\n", n, strings.Join(parts, ", "))
	}
}

const fetchCodes = "Exit codes: 0 done, 1 failed, 2 usage, 3 the store could not be read."

func (a *app) lsCommand() *cobra.Command {
	var f queryFlags
	var rec recordFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [flags] [URL|DIR]",
		Short: "List sealed files",
		Long: `Ls lists the files of a store as its seals have them, by trail, seal and key: the number of the
seal, the addendum's, rows, bytes, key, SHA-256 and, in a bucket, the version that was sealed. It
takes a credential that may list and read, and nothing else.

A day has one seal, and an addendum for what came after it was sealed. Whoever loads files remembers
the number of the last seal that was loaded, and asks for what came since with --since-seal.

With --key it lists what that key's owner signed, and fails where a seal is of another key.
With --json it prints one JSON object a line.

` + fetchCodes,
		Example: `  daybook ls --trail audit --day 2026-03-10 ./audit
  daybook ls --trail audit --format parquet --since-seal 41 --json s3://audit-logs/prod`,
		Args: takes(0, 1, "at most one store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.find(cmd, &f, args)
			if err != nil {
				return err
			}
			if err := a.record(cmd, w, &rec, control.ReadList, f.configFile, args, time.Time{}); err != nil {
				return err
			}
			return a.list(cmd.Context(), w, asJSON)
		},
	}
	f.addTo(cmd)
	rec.addTo(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "list as JSON, one object a line")
	return cmd
}

func (a *app) list(ctx context.Context, w *wanted, asJSON bool) error {
	out := bufio.NewWriter(a.stdout)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	n := 0
	for f, err := range w.files(ctx) {
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if n++; asJSON {
			err = enc.Encode(f)
		} else {
			if n == 1 {
				_, _ = fmt.Fprintf(out, "%8s %9s %9s %12s  KEY  SHA256  VERSION\n", "SEAL", "ADDENDUM", "ROWS", "BYTES") // its error is that of Flush
			}
			_, err = fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%8d %9d %9d %12d  %s  %s  %s", f.Seal, f.Addendum, f.Rows, f.Size, f.Key, f.SHA256, f.Version), " "))
		}
		if err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	a.tellNone(w, n)
	return nil
}

func (a *app) tellNone(w *wanted, n int) {
	if n == 0 {
		_, _ = fmt.Fprintln(a.stderr, "daybook: no sealed file is like that")
		if hint := w.query.Since == 0; hint {
			_, _ = fmt.Fprintln(a.stderr, "daybook: hint: `daybook ls` with the store alone lists all; a store has its seals below seals/")
		}
	}
	a.tellShared(w)
}

func (a *app) getCommand() *cobra.Command {
	var f queryFlags
	var rec recordFlags
	var o fetch.Options
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get [flags] [URL|DIR [KEY…]]",
		Short: "Fetch sealed files",
		Long: `Get fetches files as the seals of a store have them: those of the flags, or those whose keys are
given, as daybook ls tells them. In a bucket it reads the version that was sealed, whatever stands
in front of it. It takes a credential that may list and read, and nothing else. It prints the path
of each file.

Each file is hashed as it comes, and gets its name only if it is the one that was sealed. What is
there already is hashed and left as it is; nothing is written over. A download that broke off lies
there as .part, and the next get goes on with it.

Files lie below the folder as they lie in the store, so that programs that read partitions find
them; with --flat all lie side by side, and their names begin with the class.

` + fetchCodes,
		Example: `  daybook get --trail audit --day 2026-03-10 --format csv --excel --flat s3://audit-logs/prod
  daybook get --format parquet --from 2026-03-01 --to 2026-03-31 -o lake --key signing.pub ./audit
  daybook get ./audit csv/class=standard/trail=audit/dt=2026-03-10/audit-2026-03-10.0001.csv.gz`,
		Args: takes(0, math.MaxInt, "a store, and keys of files in it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Workers < 1 {
				return usage(fmt.Errorf("--workers %d is no number of files", o.Workers), "leave it out: then it is 4")
			}
			w, err := a.find(cmd, &f, args)
			if err != nil {
				return err
			}
			if err := a.record(cmd, w, &rec, control.ReadGet, f.configFile, args, time.Time{}); err != nil {
				return err
			}
			return a.get(cmd.Context(), w, &o, asJSON)
		},
	}
	f.addTo(cmd)
	rec.addTo(cmd)
	set := cmd.Flags()
	set.StringVarP(&o.Dir, "out", "o", ".", "the `FOLDER` that the files go to, which is made")
	set.BoolVar(&o.Flat, "flat", false, "put the files side by side, instead of in the store's folders")
	set.BoolVar(&o.Unpack, "decompress", false, "write what is in the files instead of the files (.gz, .zst)")
	set.BoolVar(&o.BOM, "excel", false, "write CSV for spreadsheets, with a byte order mark; decompresses")
	set.IntVar(&o.Workers, "workers", 4, "how many files are fetched at a time: `N`")
	set.BoolVar(&asJSON, "json", false, "report as JSON instead of telling paths")
	_ = cmd.MarkFlagDirname("out") // fails only for a flag that is not there
	return cmd
}

// fetched is what get reports as JSON.
type fetched struct {
	Out     string        `json:"out"`
	Trusted []string      `json:"trusted"` // fingerprints of the keys that were given
	Files   int           `json:"files"`
	Fetched int           `json:"fetched"`
	Kept    int           `json:"kept"`
	Bytes   int64         `json:"bytes"`
	Resumed int64         `json:"resumed"`
	Failed  int           `json:"failed"`
	Faults  []fetchFault  `json:"faults"`
	Last    []sealOfTrail `json:"last"`

	reached []reached
}

type fetchFault struct {
	Key   string `json:"key"`
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// sealOfTrail is the last seal of a trail of which all files that were asked for are there.
type sealOfTrail struct {
	Trail string `json:"trail"`
	Seal  uint64 `json:"seal"`
}

// maxFaults is how many faults a report lists; the rest are counted.
const maxFaults = 1000

// reached is how far the files of a trail got: those of seals up to before are all there.
type reached struct {
	trail      string
	before, at uint64
	failed     bool
}

// reach takes note of a file. They come by trail and seal.
func (r *fetched) reach(g *fetch.Got) {
	at := slices.IndexFunc(r.reached, func(t reached) bool { return t.trail == g.Trail })
	if at < 0 {
		at = len(r.reached)
		r.reached = append(r.reached, reached{trail: g.Trail})
	}
	if t := &r.reached[at]; !t.failed {
		if g.Seal != t.at {
			t.before, t.at = t.at, g.Seal
		}
		t.failed = g.Err != nil
	}
}

// last is what a loader goes on from: of a trail of which a file failed it is the seal before that file's, so that it is asked for again.
func (r *fetched) last() []sealOfTrail {
	list := []sealOfTrail{}
	for _, t := range r.reached {
		if t.failed {
			t.at = t.before
		}
		if t.at > 0 {
			list = append(list, sealOfTrail{t.trail, t.at})
		}
	}
	return list
}

func (r *fetched) add(g *fetch.Got) {
	r.Files++
	r.reach(g)
	switch {
	case g.Err != nil:
		r.Failed++
		return
	case g.Kept:
		r.Kept++
	default:
		r.Fetched++
		r.Bytes += g.Size - g.Resumed
		r.Resumed += g.Resumed
	}
}

func (a *app) get(ctx context.Context, w *wanted, o *fetch.Options, asJSON bool) error {
	report := &fetched{Out: o.Dir, Trusted: []string{}, Faults: []fetchFault{}}
	for _, key := range w.query.Trusted {
		report.Trusted = append(report.Trusted, key.Fingerprint())
	}
	ui := a.newCheckDisplay(asJSON)
	defer ui.close()
	o.Progress = ui.fetched
	for g, err := range fetch.Get(ctx, w.store, w.files(ctx), o) {
		if err != nil {
			return err
		}
		report.add(&g)
		ui.aside(func() {
			switch {
			case g.Err != nil:
				fault := fetchFault{Key: g.Key, Error: g.Err.Error()}
				if hint, ok := errors.AsType[*sink.HintError](g.Err); ok {
					fault.Hint = hint.Hint
				}
				if report.Failed <= maxFaults {
					report.Faults = append(report.Faults, fault)
				}
				if !asJSON {
					a.exit(g.Err) // tells it
				}
			case !asJSON:
				_, err = fmt.Fprintln(a.stdout, g.Path)
			}
		})
		if err != nil {
			return err
		}
	}
	ui.close()
	return a.conclude(w, report, asJSON)
}

func (a *app) conclude(w *wanted, r *fetched, asJSON bool) error {
	a.tellNone(w, r.Files)
	r.Last = r.last()
	if asJSON {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else if r.Files > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: %d files: %d fetched (%d bytes), %d there already, %d failed\n", r.Files, r.Fetched, r.Bytes, r.Kept, r.Failed)
	}
	return failedIf(r.Failed > 0)
}
