package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/config"
)

func (a *app) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [flags] PATH…",
		Short: "Read events from files and seal the days they hold",
		Long: `Export reads audit events from files, folders (all files below, in name order, but for names that
begin with a dot, which are counted and told) or standard input (-), plain, gzip or zstd, and seals
each day they hold: JSON Lines as the evidence; CSV, Parquet, CEF and syslog rendered from it; a
manifest; and a signed note of SHA-256 sums.

Days that are not closed yet (close_after, 1h past their midnight UTC) are counted and left to a
later run. A day that was sealed before gets an addendum with only what is new. To run it again is
harmless: what is sealed already is known, here or on another machine.

The report is a table, or JSON with --json, on standard output; all else is on standard error.

Exit codes: 0 done, 1 failed, 2 usage, 3 done but something was quarantined or unreadable,
4 conflict with what the store holds.`,
		Example: `  daybook export testdata/quickstart/day
  daybook export --to /srv/audit --trail acme --org acme events-*.jsonl.gz
  zcat events.gz | daybook export --from jsonl --source billing -
  daybook export --config daybook.yaml --to s3://audit-logs/prod /var/log/cloudtrail`,
		Args: takes(1, math.MaxInt, "at least one file or folder, or - for standard input"),
		RunE: a.export,
	}
	a.flags.addTo(cmd, "config", "from", "source", "trail", "org", "key", "data", "to", "as-of", "include-open", "gap", "take-over", "json")
	return cmd
}

func (a *app) export(cmd *cobra.Command, paths []string) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	a.warn(c)
	return a.read(c, paths, func(settings batch.Settings, reading intake.Settings, q *intake.Quarantine) (*batch.Report, error) {
		roller, err := batch.Open(cmd.Context(), settings)
		if err != nil {
			return nil, err
		}
		report, err := roller.Export(cmd.Context(), paths, a.stdin, reading, q)
		if closeErr := roller.Close(); err == nil {
			err = closeErr
		}
		return report, err
	})
}

// read sets up what reads the paths, has do read them, and tells its report.
func (a *app) read(c *config.Config, paths []string, do func(batch.Settings, intake.Settings, *intake.Quarantine) (*batch.Report, error)) error {
	if err := checkPaths(paths); err != nil {
		return err
	}
	ui := a.newDisplay(intake.Sizes(paths, ownFolders(c)))
	defer ui.close()
	settings, reading, err := a.settings(c, ui)
	if err != nil {
		return err
	}
	quarantine, err := openQuarantine(c, settings)
	if err != nil {
		return err
	}
	report, err := do(settings, reading, quarantine)
	ui.close()
	if err != nil {
		return err
	}
	a.tellInput(report)
	return a.tell(report, c, settings)
}

// tellInput tells what was passed over, and that there was no event, which the report has as numbers alone.
func (a *app) tellInput(r *batch.Report) {
	if n := r.HiddenFiles; n > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: passed over in folders, since the name begins with a dot: %s\n", hiddenText(n, r.HiddenFile))
		_, _ = fmt.Fprintln(a.stderr, "daybook: hint: such files are not whole yet, most often; to have one read, name it itself")
	}
	if r.Read > 0 || !r.Whole() { // what could not be read is told
		return
	}
	if r.InputFiles+r.SkippedFiles == r.HiddenFiles {
		_, _ = fmt.Fprintln(a.stderr, "daybook: warning: there is no file to read")
	} else {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: there is no event in %s\n", english.Plural(int(r.InputFiles+r.SkippedFiles-r.HiddenFiles), "file", ""))
	}
	_, _ = fmt.Fprintln(a.stderr, "daybook: hint: name files of events, or a folder that has some below it")
}

func hiddenText(n int64, first string) string {
	if n == 1 {
		return first
	}
	return fmt.Sprintf("%s and %s more", first, humanize.Comma(n-1))
}

func openQuarantine(c *config.Config, s batch.Settings) (*intake.Quarantine, error) {
	dir := filepath.Join(s.Data, "quarantine")
	if err := intake.Expire(dir, time.Now(), c.Quarantine.Keep.Std()); err != nil {
		return nil, err
	}
	return intake.NewQuarantine(dir, time.Now()), nil
}

// jsonReport is what --json prints. Lists are never null.
type jsonReport struct {
	*batch.Report
	// Store is where the seals are, Data the data folder.
	Store string `json:"store"`
	Data  string `json:"data"`
	// Key is the id of the key that signs, and the name of its file below keys/ in the store; both are absent if seals are not signed.
	Key         string `json:"key,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// tell prints the report, and returns errQuarantined if not all of the input could be read.
func (a *app) tell(r *batch.Report, c *config.Config, s batch.Settings) error {
	var err error
	slices.SortStableFunc(r.Days, func(a, b batch.DayResult) int {
		return cmp.Or(strings.Compare(a.Day.String(), b.Day.String()), strings.Compare(a.Trail, b.Trail), cmp.Compare(a.Seal, b.Seal))
	})
	if a.flags.json {
		r.Days, r.Faults, r.Examples = append([]batch.DayResult{}, r.Days...), append([]intake.FileFault{}, r.Faults...), append([]intake.QuarantineEntry{}, r.Examples...)
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		out := jsonReport{Report: r, Store: c.Store.URL, Data: s.Data}
		if s.Key != nil {
			out.Key, out.Fingerprint = s.Key.Public().ID(), s.Key.Public().Fingerprint()
		}
		err = enc.Encode(out)
	} else {
		err = writeReport(a.stdout, r, c.Store.URL)
	}
	if err != nil {
		return err
	}
	if r.NotTracked > 0 {
		a.tellUntracked(r)
	}
	for _, g := range r.UntoldGaps {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: no seal tells of the gap from %s to %s: no day of it was sealed now\n", g.From.Format(time.RFC3339), g.To.Format(time.RFC3339))
	}
	if n := r.OutcomesNotKnown; n > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: %s %s an outcome that is not known, such as %s: it is taken for unknown, which CSV writes as No\n",
			humanize.Comma(n), english.PluralWord(int(n), "event has", "events have"), r.OutcomeNotKnown)
	}
	if r.Whole() {
		return nil
	}
	if !a.flags.json {
		a.tellFaults(r)
	}
	return errQuarantined
}

func writeReport(w io.Writer, r *batch.Report, store string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(t, "day\tevents\tduplicates\tquarantined\tfiles\tbytes\t  where")
	for _, d := range r.Days {
		_, _ = fmt.Fprintf(t, "%v\t%s\t%s\t-\t%d\t%s\t  %s\n",
			d.Day, humanize.Comma(d.Events), humanize.Comma(d.Duplicates), d.Files, humanize.IBytes(uint64(d.Bytes)), where(d, store))
	}
	if r.Quarantined > 0 { // what can't be read has no day
		_, _ = fmt.Fprintf(t, "-\t-\t-\t%s\t-\t-\t  %s\n", humanize.Comma(r.Quarantined), r.QuarantineIndex)
	}
	if err := t.Flush(); err != nil { // it keeps the first error
		return err
	}
	rate := ""
	if sec := r.Elapsed.Seconds(); sec > 0 {
		rate = fmt.Sprintf(" (%s events/s)", humanize.Comma(int64(float64(r.Read)/sec)))
	}
	for _, s := range r.Anchors {
		_, _ = fmt.Fprintf(w, "anchor %s (%s): %s\n", s.Name, s.Kind, anchorText(s, r.Head.Size))
	}
	_, err := fmt.Fprintf(w, "total: %s read = %s; %s in, %s out, %.1fs%s\n", humanize.Comma(r.Read), sum(r),
		humanize.IBytes(uint64(r.InputBytes)), humanize.IBytes(uint64(r.OutputBytes)), r.Elapsed.Seconds(), rate)
	return err
}

// sum says what became of the records that were read. What there was none of is left out, but for what was written.
func sum(r *batch.Report) string {
	text := humanize.Comma(r.Written) + " written"
	for _, part := range []struct {
		n    int64
		what string
	}{{r.Duplicates, english.PluralWord(int(r.Duplicates), "duplicate", "")}, {r.Quarantined, "quarantined"}, {r.NotTracked, "not tracked"}, {r.Pending, "pending"}} {
		if part.n > 0 {
			text += fmt.Sprintf(" + %s %s", humanize.Comma(part.n), part.what)
		}
	}
	if r.Copies > 0 { // more than one trail took them
		text += fmt.Sprintf(" - %s copies", humanize.Comma(r.Copies))
	}
	return text
}

// where says where a day's files are, as a pattern that a shell understands, or why there are none.
func where(d batch.DayResult, store string) string {
	switch d.Outcome {
	case batch.Imported:
		return fmt.Sprintf("trail %s: %s taken in, to be sealed by `daybook roll`", d.Trail, humanize.Comma(d.Pending))
	case batch.StillOpen:
		return fmt.Sprintf("trail %s: not closed yet, %s left to a later run (or --include-open)", d.Trail, humanize.Comma(d.Pending))
	case batch.Unchanged:
		return fmt.Sprintf("trail %s: sealed before, nothing new", d.Trail)
	}
	note := fmt.Sprintf("seal %d", d.Seal)
	switch {
	case d.Outcome == batch.Resumed:
		note += ", begun by an earlier run"
	case d.Addendum > 0:
		note += fmt.Sprintf(", addendum %d", d.Addendum)
	}
	return fmt.Sprintf("%s/*/class=*/trail=%s/dt=%v (%s)", strings.TrimSuffix(store, "/"), seal.EncodeName(d.Trail), d.Day, note)
}

// tellUntracked tells how many events no trail took, whose they are, and what can be done about it.
func (a *app) tellUntracked(r *batch.Report) {
	var whose []string
	rest := r.NotTracked
	for _, u := range r.Untracked[:min(len(r.Untracked), 3)] {
		name := fmt.Sprintf("org %q", u.Org)
		if u.Project != "" {
			name += fmt.Sprintf(" project %q", u.Project)
		}
		whose = append(whose, fmt.Sprintf("%s: %s", name, humanize.Comma(u.Events)))
		rest -= u.Events
	}
	if rest > 0 && len(whose) > 0 {
		whose = append(whose, fmt.Sprintf("others: %s", humanize.Comma(rest)))
	}
	text := ""
	if len(whose) > 0 {
		text = " (" + strings.Join(whose, "; ") + ")"
	}
	_, _ = fmt.Fprintf(a.stderr, "daybook: warning: %s not tracked, and so not written: no trail takes %s%s\n",
		english.Plural(int(r.NotTracked), "event was", "events were"), english.PluralWord(int(r.NotTracked), "it", "them"), text)
	_, _ = fmt.Fprintln(a.stderr, `daybook: hint: if they are to be kept, have a trail cover their org and project (trails in the configuration, or --org; "*" is every org); of a service, enable one and import them again`)
}

func (a *app) tellFaults(r *batch.Report) {
	for _, f := range r.Faults {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: %s: %s\n", f.File, f.Reason)
	}
	for _, q := range r.Examples {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: %s:%d: %s\n", q.File, q.Line, q.Reason)
	}
	if more := r.Quarantined - int64(len(r.Examples)); more > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: … and %s more\n", humanize.Comma(more))
	}
	if r.Quarantined > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: hint: what is in quarantine lies there as it came; mend it at its source and export it again\n")
	}
}
