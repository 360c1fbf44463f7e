package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/config"
	"daybook/retention"
	"daybook/sink"
)

func (a *app) retentionCommand() *cobra.Command {
	return group("retention", "Tell, check, project and lengthen how long what is kept", a.explainCommand(), a.lintCommand(), a.simulateCommand(), a.retentionExtendCommand())
}

func (a *app) explainCommand() *cobra.Command {
	var at config.Time
	cmd := &cobra.Command{
		Use: "explain [flags]", Short: "Tell what the policies come to for a seal of today",
		Long: `Explain tells of each retention class which events belong to it, until when a seal of today locks
its files, when they move to another storage and from when they may be removed, and by which rule of
the configuration. Nothing is asked of the store: what moves and what is removed is the work of the
bucket's lifecycle rules.

Exit codes: 0 done, 2 usage.`,
		Example: "  daybook retention explain --config daybook.yaml\n  daybook retention explain --config daybook.yaml --at 2028-02-29 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, list, err := a.loadPolicies(cmd)
			if err != nil {
				return err
			}
			x := list.Explain(orNow(at))
			if a.flags.json {
				return a.printJSON(x)
			}
			return writeExplanation(a.stdout, &x)
		},
	}
	a.flags.addTo(cmd, "config", "to", "json")
	addAt(cmd, &at, "the `TIME` of the seal, RFC 3339 or a day (default: now)")
	return cmd
}

func addAt(cmd *cobra.Command, at *config.Time, usage string) {
	cmd.Flags().TextVar(at, "at", config.Time{}, usage)
}

func orNow(at config.Time) time.Time {
	if at.Time.IsZero() {
		return time.Now()
	}
	return at.Time
}

// loadPolicies reads the configuration and its retention policies.
func (a *app) loadPolicies(cmd *cobra.Command) (*config.Config, retention.Policies, error) {
	c, err := a.load(cmd)
	if err != nil {
		return nil, nil, err
	}
	list, err := policies(c)
	return c, list, err
}

func writeExplanation(w io.Writer, x *retention.Explanation) error {
	_, _ = fmt.Fprintf(w, "a seal of %s\n", x.At.Format(time.RFC3339))
	for _, c := range x.Classes {
		what := c.EventTypes
		if c.Default {
			what = append(slices.Clone(what), "what no pattern matches", "days without events")
		}
		preset := ""
		if c.Preset != "" {
			preset = fmt.Sprintf(" (preset %s)", c.Preset)
		}
		_, _ = fmt.Fprintf(w, "\nclass %s%s: %s\n", c.Class, preset, strings.Join(what, ", "))
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		row := func(what string, d *retention.Date, more string) {
			if d != nil {
				_, _ = fmt.Fprintf(t, "  %s\t%s\t%s%s\n", what, d.At.Format(time.RFC3339), d.By, more)
			}
		}
		row("moves to "+c.WarmStorage, c.Warm, "")
		row("moves to "+c.ColdStorage, c.Cold, "")
		switch {
		case c.Until == nil:
			_, _ = fmt.Fprintf(t, "  kept without an end, and not locked: no age is written\n")
		case c.Mode == sink.None:
			row("kept until", c.Until, ", not locked")
		default:
			row("locked until", c.Until, ", "+strings.ToLower(string(c.Mode)))
		}
		row("deletable from", c.Deletable, fmt.Sprintf("; a lifecycle rule may remove it at the age of %d days", c.ExpireAfterDays))
		if err := t.Flush(); err != nil {
			return err
		}
	}
	if x.Control.Until == nil {
		_, err := fmt.Fprint(w, "\nmanifests, notes, keys and the log are not locked, and never removed\n")
		return err
	}
	_, err := fmt.Fprintf(w, "\nmanifests, notes, keys and the log, which are never removed\n  locked until  %s  as long as the longest class, %s\n", x.Control.Until.Format(time.RFC3339), strings.ToLower(string(x.Control.Mode)))
	return err
}

// lintReport is what `retention lint --json` prints.
type lintReport struct {
	Findings []retention.Finding `json:"findings"`
	Faults   int                 `json:"faults"`
	Warnings int                 `json:"warnings"`
	Notes    int                 `json:"notes"`
}

func (a *app) lintCommand() *cobra.Command {
	var (
		names         []string
		ceiling, days int
		known         []string
	)
	for _, f := range retention.Frameworks() {
		known = append(known, f.Name)
	}
	cmd := &cobra.Command{
		Use: "lint [flags]", Short: "Check the policies against frameworks and against what was sealed",
		Long: `Lint looks for retention classes that are too short or too long for a framework, or cold too early;
for compliance locks, which nobody can undo, beyond a ceiling; for patterns that can match nothing,
since one that is asked first matches it all, or that matched nothing in the newest days that are
sealed; and for events that another class would keep longer. Each class is held to the frameworks
given and to its preset. What was sealed is read from the evidence in the store (--history 0: not).

A framework is more than dates, and this is no legal advice; see docs/RETENTION.md for what is held
against, and where it was read.

Exit codes: 0 no finding but notes, 1 a fault, or failed, 2 usage, 3 a warning.`,
		Example: "  daybook retention lint --config daybook.yaml --framework pci\n  daybook retention lint --config daybook.yaml --framework hipaa,gdpr-min --ceiling 7 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := retention.LintOptions{Ceiling: ceiling, Now: time.Now()}
			for _, name := range names {
				f, ok := retention.FrameworkNamed(name)
				if !ok {
					return usage(fmt.Errorf("--framework %q is not known", name), "one of "+strings.Join(known, ", "))
				}
				o.Frameworks = append(o.Frameworks, f)
			}
			if ceiling < 0 || days < 0 {
				return usage(errors.New("--ceiling and --history are no negative numbers"), "0 sets no ceiling, and looks at no history")
			}
			return a.lint(cmd, &o, days)
		},
	}
	a.flags.addTo(cmd, "config", "to", "data", "json")
	set := cmd.Flags()
	set.StringSliceVar(&names, "framework", nil, "hold every class to this framework: "+strings.Join(known, ", ")+" (`NAME`; may be given again)")
	_ = cmd.RegisterFlagCompletionFunc("framework", cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	set.IntVar(&ceiling, "ceiling", 10, "how many `YEARS` a compliance lock may last; 0: any")
	set.IntVar(&days, "history", 7, "look at the events of the newest so many `DAYS` that are sealed; 0: at none, nor into the store")
	return cmd
}

func (a *app) lint(cmd *cobra.Command, o *retention.LintOptions, days int) error {
	c, list, err := a.loadPolicies(cmd)
	if err != nil {
		return err
	}
	if days > 0 {
		history, _, err := a.history(cmd.Context(), c)
		if err != nil {
			return err
		}
		if history != nil {
			store, err := a.openToRead(c)
			if err != nil {
				return err
			}
			o.History, err = batch.Types(cmd.Context(), store, history, days)
			if errors.Is(err, batch.ErrManyTypes) {
				return &sink.HintError{Err: err, Hint: "look at fewer days with --history, or at none"}
			}
			if err != nil {
				return err
			}
		}
	}
	r := lintReport{Findings: append([]retention.Finding{}, list.Lint(*o)...)}
	for _, f := range r.Findings {
		switch f.Level {
		case retention.Fault:
			r.Faults++
		case retention.Warning:
			r.Warnings++
		default:
			r.Notes++
		}
	}
	if a.flags.json {
		err = a.printJSON(r)
	} else {
		err = writeLint(a.stdout, &r, o.History)
	}
	switch {
	case err != nil:
		return err
	case r.Faults > 0:
		return verdict{exitFailed}
	case r.Warnings > 0:
		return verdict{exitWarning}
	}
	return nil
}

func writeLint(w io.Writer, r *lintReport, history []retention.Seen) error {
	for _, f := range r.Findings {
		about := ""
		if f.Class != "" {
			about += " class " + f.Class + ":"
		}
		if f.Pattern != "" {
			about += fmt.Sprintf(" %q:", f.Pattern)
		}
		_, _ = fmt.Fprintf(w, "%s:%s %s (%s)\n", f.Level, about, f.Message, f.Code)
		if f.Hint != "" {
			_, _ = fmt.Fprintf(w, "  hint: %s\n", f.Hint)
		}
	}
	looked := "no history was looked at"
	if history != nil {
		events := int64(0)
		for _, s := range history {
			events += s.Events
		}
		looked = fmt.Sprintf("%s events were looked at", humanize.Comma(events))
	}
	_, err := fmt.Fprintf(w, "faults: %d, warnings: %d, notes: %d; %s\n", r.Faults, r.Warnings, r.Notes, looked)
	return err
}

// history is that of all trails of the configuration: of each from the data folder, or else from the store. It is nil where there is none, and says where it is from.
func (a *app) history(ctx context.Context, c *config.Config) (seals iter.Seq2[batch.Recorded, error], from string, err error) {
	data, err := dataFolder(c)
	if err != nil {
		return nil, "", err
	}
	var all []iter.Seq2[batch.Recorded, error]
	for _, t := range c.Trails {
		if seals := batch.LedgerHistory(data, t.Name); !isEmpty(seals) {
			all, from = append(all, seals), cmp.Or(from, "the data folder")
			continue
		}
		store, err := a.openToRead(c)
		if errors.Is(err, fs.ErrNotExist) { // a folder that nothing was exported to yet
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if seals := batch.StoreHistory(ctx, store, t.Name); !isEmpty(seals) {
			all, from = append(all, seals), "the store"
		}
	}
	if len(all) == 0 {
		return nil, "", nil
	}
	return func(yield func(batch.Recorded, error) bool) {
		for _, seals := range all {
			for r, err := range seals {
				if !yield(r, err) {
					return
				}
			}
		}
	}, from, nil
}

// isEmpty reports whether there is nothing, not even an error.
func isEmpty(seals iter.Seq2[batch.Recorded, error]) bool {
	for range seals {
		return false
	}
	return true
}

// simulation is what `retention simulate --json` prints.
type simulation struct {
	Source string            `json:"source"`
	Prices *retention.Prices `json:"prices,omitempty"`
	*retention.Projection
}

func (a *app) simulateCommand() *cobra.Command {
	var (
		at     config.Time
		o      retention.SimulateOptions
		growth float64
		prices map[string]string
	)
	cmd := &cobra.Command{
		Use: "simulate [flags]", Short: "Project objects, bytes and cost of each tier over years",
		Long: `Simulate projects what the store will hold at the end of each year, in which tier, and what that
costs: what is sealed already, and as much a day as the newest days laid down, put through the tiers
of the policies, and removed when the lock ends. It takes the history from the data folder, or else
from the store's manifests. The objects of the log, a few small ones for each run, are not counted.

Daybook knows no prices: without --price there is no cost. Prices are of any currency: hot, warm and
cold for a GiB and month, put and move for a thousand objects put, or moved to another tier.

Exit codes: 0 done, 1 failed, or there is no history, 2 usage.`,
		Example: "  daybook retention simulate --config daybook.yaml --years 7\n  daybook retention simulate --config daybook.yaml --price hot=0.023,cold=0.004 --growth 20",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Years < 1 || o.Years > 100 || o.Window < 1 || growth <= -100 || growth > 1000 {
				return usage(errors.New("--years, --window or --growth is out of range"), "--years is 1 to 100, --window at least 1, --growth more than -100 and at most 1000")
			}
			var err error
			if o.Prices, err = parsePrices(prices); err != nil {
				return err
			}
			o.Now, o.Growth = orNow(at), growth/100
			return a.simulate(cmd, o)
		},
	}
	a.flags.addTo(cmd, "config", "trail", "to", "data", "json")
	set := cmd.Flags()
	set.IntVar(&o.Years, "years", 10, "how many `YEARS` to look ahead")
	set.IntVar(&o.Window, "window", 90, "take what a day lays down from the newest so many `DAYS`")
	set.Float64Var(&growth, "growth", 0, "by how much what a day lays down grows in a year, in `PERCENT`")
	set.BoolVar(&o.Keep, "keep", false, "remove nothing: the bucket has no rules that expire")
	set.StringToStringVar(&prices, "price", nil, "what it costs, `TIER=AMOUNT`: hot, warm, cold, put, move; may be given again")
	addAt(cmd, &at, "the `TIME` to begin at (default: now)")
	return cmd
}

func parsePrices(texts map[string]string) (p retention.Prices, err error) {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		to, ok := map[string]*float64{"hot": &p.Hot, "warm": &p.Warm, "cold": &p.Cold, "put": &p.Put, "move": &p.Move}[name]
		if !ok {
			return p, usage(fmt.Errorf("--price %q is not known", name), "one of hot, warm, cold, put, move")
		}
		if *to, err = strconv.ParseFloat(texts[name], 64); err != nil || !(*to >= 0 && *to < 1e9) {
			return p, usage(fmt.Errorf("--price %s: %q is no price", name, texts[name]), "write a number, e.g. hot=0.023")
		}
	}
	return p, nil
}

func (a *app) simulate(cmd *cobra.Command, o retention.SimulateOptions) error {
	c, list, err := a.loadPolicies(cmd)
	if err != nil {
		return err
	}
	history, from, err := a.history(cmd.Context(), c)
	if err != nil {
		return err
	}
	if history == nil {
		return &sink.HintError{Err: errors.New("there is no history to project from"), Hint: "it is taken from what is sealed: export or roll a few days first, or name the store and trail that have some"}
	}
	out := simulation{Source: from}
	if out.Projection, err = batch.Project(list, history, o); err != nil {
		return err
	}
	if o.Prices != (retention.Prices{}) {
		out.Prices = &o.Prices
	}
	if a.flags.json {
		return a.printJSON(out)
	}
	return writeSimulation(a.stdout, &out)
}

func writeSimulation(w io.Writer, s *simulation) error {
	_, _ = fmt.Fprintf(w, "from %s: %d days, %s to %s\n\n", s.Source, s.Days, s.From.Format(time.DateOnly), s.To.Format(time.DateOnly))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(t, "objects a day\tbytes a day\t  class\n")
	for _, r := range s.Rates {
		_, _ = fmt.Fprintf(t, "%.1f\t%s\t  %s\n", r.Objects, humanize.IBytes(uint64(r.Bytes)), cmp.Or(r.Class, "manifests and notes"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(w)
	_, _ = fmt.Fprint(t, "end of year\thot\t\twarm\t\tcold\t\tremoved\t\t")
	if s.Prices != nil {
		_, _ = fmt.Fprint(t, "cost\t")
	}
	_, _ = fmt.Fprintln(t)
	for _, y := range s.Years {
		_, _ = fmt.Fprintf(t, "%s\t", y.End.Format(time.DateOnly))
		for _, amount := range []retention.Amount{y.Hot, y.Warm, y.Cold, y.Removed} {
			_, _ = fmt.Fprintf(t, "%s\t%s\t", humanize.Comma(amount.Objects), humanize.IBytes(uint64(amount.Bytes)))
		}
		if s.Prices != nil {
			_, _ = fmt.Fprintf(t, "%.2f\t", y.Cost)
		}
		_, _ = fmt.Fprintln(t)
	}
	return t.Flush()
}
