package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/config"
	"daybook/event"
	"daybook/service"
)

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import [flags] PATH…",
		Short: "Take events into the data folder, to be sealed by `daybook roll`",
		Long: `Import reads files as export does and keeps their events in the data folder, on stable storage,
until roll seals their day. The store is not needed. What is imported twice is taken once.

Where the data folder is that of daybook serve, at work or not, each trail that is on takes the
events that are its own, from its first day on.

Exit codes: 0 done, 1 failed, 2 usage, 3 done but something was quarantined or unreadable.`,
		Example: "  daybook import --config daybook.yaml /var/spool/audit/*.jsonl\n  daybook roll --config daybook.yaml",
		Args:    takes(1, math.MaxInt, "at least one file or folder, or - for standard input"),
		RunE:    a.importPaths,
	}
	a.flags.addTo(cmd, "config", "from", "source", "trail", "org", "key", "data", "to", "as-of", "json")
	return cmd
}

func (a *app) importPaths(cmd *cobra.Command, paths []string) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	if data, err := dataFolder(c); err != nil {
		return err
	} else if service.Used(data) {
		return a.importThere(cmd, c, paths)
	}
	return a.read(c, paths, func(settings batch.Settings, reading intake.Settings, q *intake.Quarantine) (*batch.Report, error) {
		return batch.Import(cmd.Context(), settings, paths, a.stdin, reading, q)
	})
}

// importThere has the service take the files in.
func (a *app) importThere(cmd *cobra.Command, c *config.Config, paths []string) (err error) {
	for _, name := range []string{"trail", "as-of"} {
		if cmd.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s: the data folder is a service's, whose trails take the events that are theirs, as they come", name), "leave it out")
		}
	}
	if err := checkPaths(paths); err != nil {
		return err
	}
	started := time.Now()
	report := &batch.Report{}
	files, hidden, err := intake.Files(paths, ownFolders(c), a.stdin, func(file, reason string) {
		report.Faults = append(report.Faults, intake.FileFault{File: file, Reason: reason})
	})
	if err != nil {
		return err
	}
	report.Hide(hidden)
	r, err := a.dialAs(cmd, a.serviceConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	r.token = "" // it is done by having the data folder
	ui := a.newDisplay(intake.Sizes(paths, ownFolders(c)))
	defer ui.close()
	for _, f := range files {
		if err := a.importFile(cmd, r, c, f, report, ui); err != nil {
			return err
		}
	}
	ui.close()
	report.Elapsed = time.Since(started)
	a.tellInput(report)
	return a.tell(report, c, batch.Settings{Data: c.Data})
}

func (a *app) importFile(cmd *cobra.Command, r *remote, c *config.Config, f intake.File, report *batch.Report, ui *display) error {
	file, err := f.Open()
	if err != nil {
		report.Faults = append(report.Faults, intake.FileFault{File: f.Name, Reason: err.Error()})
		return nil
	}
	defer file.Close() // it is only read
	q := url.Values{"org": {c.OwnOrg()}, "source": {c.Source}, "from": {c.From}, "name": {f.Name}}
	resp, err := r.send(cmd, http.MethodPost, "/v1/import?"+q.Encode(), &progressReader{file, ui})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var took service.Imported
	if err := readAnswer(resp, &took); err != nil {
		return err
	}
	report.Read += took.Read
	report.Pending += took.Accepted
	report.Duplicates += took.Duplicate
	report.NotTracked += took.NotTracked
	report.Untracked = report.Untracked.With(took.Untracked)
	report.Quarantined += took.Rejected
	report.InputBytes += took.Bytes
	if took.Skipped {
		report.SkippedFiles++
		return nil
	}
	if took.Fault != "" {
		report.Faults = append(report.Faults, intake.FileFault{File: f.Name, Reason: took.Fault})
	}
	report.InputFiles++
	return nil
}

// progressReader tells how much was read.
type progressReader struct {
	r  io.Reader
	ui *display
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.ui.progress(batch.Progress{Read: int64(n)})
	return n, err
}

func checkPaths(paths []string) error {
	var errs []error
	for _, p := range paths {
		if p == intake.Stdin {
			continue
		}
		if _, err := os.Stat(p); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return usageError{err: errors.Join(errs...)}
	}
	return nil
}

func (a *app) rollCommand() *cobra.Command {
	var day string
	cmd := &cobra.Command{
		Use:   "roll [flags]",
		Short: "Seal every day that is due",
		Long: `Roll seals the days that are due, in order: closed days with events from import, and closed days
without any since the first import or roll. A day that was sealed before gets an addendum with what
came since. Of a data folder that is daybook serve's, the days of every trail that was switched
on are sealed, without waiting for sources.

Exit codes: 0 done, 1 failed, 2 usage, 4 conflict with what the store holds.`,
		Example: "  daybook roll --config daybook.yaml\n  daybook roll --config daybook.yaml --day 2026-03-10",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.roll(cmd, day) },
	}
	a.flags.addTo(cmd, "config", "trail", "org", "key", "data", "to", "as-of", "include-open", "gap", "take-over", "json")
	cmd.Flags().StringVar(&day, "day", "", "seal this `DAY` alone, as YYYY-MM-DD")
	return cmd
}

func (a *app) roll(cmd *cobra.Command, only string) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	if data, err := dataFolder(c); err != nil {
		return err
	} else if service.Used(data) {
		return a.rollThere(cmd)
	}
	var day *event.Day
	if only != "" {
		d, err := event.ParseDay(only)
		if err != nil {
			return usageError{err: err}
		}
		day = &d
	}
	a.warn(c)
	ui := a.newDisplay(0)
	defer ui.close()
	settings, _, err := a.settings(c, ui)
	if err != nil {
		return err
	}
	roller, err := batch.Open(cmd.Context(), settings)
	if err != nil {
		return err
	}
	report, err := roller.Roll(cmd.Context(), day, c.Spool.Keep.Std())
	ui.close()
	if closeErr := roller.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return a.tell(report, c, settings)
}

// rollThere has the service seal what is due, addenda among it.
func (a *app) rollThere(cmd *cobra.Command) (err error) {
	for _, name := range []string{"day", "as-of", "include-open", "gap", "trail", "org"} {
		if cmd.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s: the data folder is a service's, which seals the days of its trails in order, as they are over", name), "leave it out: everything that is due is sealed")
		}
	}
	r, err := a.dialAs(cmd, a.serviceConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	r.token = "" // it is done by having the data folder
	path := "/v1/roll?all=true"
	if a.flags.takeOver {
		path = "/v1/roll?take_over=true"
	}
	resp, err := r.request(cmd, http.MethodPost, path, nil)
	if e, ok := errors.AsType[*apiError](err); ok && e.Code == http.StatusConflict {
		return conflictError{err}
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var st service.Status
	if err := readAnswer(resp, &st); err != nil {
		return err
	}
	if a.flags.json {
		return a.printJSON(st)
	}
	return writeStatus(a.stdout, &st)
}

// folderStatus tells what the data folder knows of trails that are kept by import and roll alone.
func (a *app) folderStatus(c *config.Config) error {
	var err error
	s := batch.Settings{Now: time.Now, AsOf: c.AsOf.Time, CloseAfter: c.CloseAfter.Std(), Rendering: rendering(c)}
	if s.Data, err = dataFolder(c); err != nil {
		return err
	}
	if s.Trails, err = trails(c); err != nil {
		return err
	}
	if s.Policies, err = policies(c); err != nil {
		return err
	}
	if s.Anchors, err = openAnchors(c, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	status, err := batch.ReadStatus(s)
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.printJSON(status)
	}
	return a.writeFolderStatus(status)
}

func (a *app) writeFolderStatus(s *batch.Status) error {
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, trail := range s.Trails {
		_, _ = fmt.Fprintf(t, "trail\t%s\n", trail.Trail)
		if trail.Since != nil {
			_, _ = fmt.Fprintf(t, "sealed daily since\t%v\n", trail.Since)
		}
		if l := trail.Last; l != nil {
			_, _ = fmt.Fprintf(t, "last seal\tnumber %d, of %v, %d events, made %s\n", l.Seal, l.Day, l.Events, l.SealedAt.Format(time.RFC3339))
		} else {
			_, _ = fmt.Fprintf(t, "last seal\tnone yet\n")
		}
		if trail.Unfinished != nil {
			_, _ = fmt.Fprintf(t, "unfinished\t%v: the next export or roll finishes its seal\n", trail.Unfinished)
		}
		for i := 0; i < len(trail.Pending); {
			n := emptyRun(trail.Pending[i:])
			writePending(t, trail.Pending[i:i+n])
			i += n
		}
	}
	if h := s.Head; h != nil {
		_, _ = fmt.Fprintf(t, "log\t%s, %d leaves\n", h.Origin, h.Size)
		for _, anchor := range s.Anchors {
			_, _ = fmt.Fprintf(t, "anchor\t%s (%s): %s\n", anchor.Name, anchor.Kind, anchorText(anchor, h.Size))
		}
		if len(s.Anchors) == 0 {
			_, _ = fmt.Fprintln(t, "anchor\tnone: nobody outside the store would notice if the log's end were cut off")
		}
	}
	if l := s.LogLock; l != nil {
		_, _ = fmt.Fprintf(t, "log's lock\tuntil %s, and must be until %s: %s\n\t→ %s\n", l.Until.Format(time.RFC3339), l.Wanted.Format(time.RFC3339), l.Error, l.Hint())
	}
	for _, l := range s.Lost {
		_, _ = fmt.Fprintf(t, "lost\ta spool was given up at %s: events that were taken in and not sealed are gone\n\t→ take them in again and seal them, then remove spool.lost in the data folder\n", l.At.Format(time.RFC3339))
	}
	_, _ = fmt.Fprintf(t, "since the last seal\t%d quarantined, %d not tracked\n", s.Quarantined, s.NotTracked)
	_, _ = fmt.Fprintf(t, "data folder\t%s\n", s.Data)
	return t.Flush()
}
