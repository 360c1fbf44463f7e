package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/service"
)

func (a *app) statusCommand() *cobra.Command {
	var days int
	var reconcile bool
	cmd := a.administers(&cobra.Command{
		Use:   "status [flags]",
		Short: "Tell whether all is well: what is sealed, what waits, and what is due",
		Long: `Status tells how every trail stands: whether it is on, what was sealed last and where, which days
wait or are due, how far each source has come, and what is wrong. It asks the service, if one is at
work, else the data folder; never the store.

With --reconcile every event that was ever accepted is counted anew: it must be sealed, pending or a
duplicate.

Exit codes: 0 all is well, 1 an alert, or failed, 2 usage or not allowed, 3 a warning.`,
		Example: "  daybook status\n  daybook status --trail audit --calendar 30\n  daybook status --json --server https://audit.example.org:8470",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reconcile {
				return a.reconcile(cmd)
			}
			return a.status(cmd, days)
		},
	})
	a.flags.addTo(cmd, "trail", "as-of")
	cmd.Flags().IntVar(&days, "calendar", 0, "show what became of each of the last `DAYS`")
	cmd.Flags().BoolVar(&reconcile, "reconcile", false, "count every event anew, and compare")
	return cmd
}

// What monitoring sees of the status.
const exitWarning = 3

func (a *app) status(cmd *cobra.Command, days int) error {
	if a.server.server == "" {
		c, err := a.load(cmd)
		if err != nil {
			return err
		}
		if data, err := dataFolder(c); err != nil {
			return err
		} else if !service.Used(data) {
			return a.folderStatus(c)
		}
	}
	if cmd.Flags().Changed("as-of") {
		return asOfService()
	}
	path := fmt.Sprintf("/v1/status?days=%d", days)
	if cmd.Flags().Changed("trail") {
		path += "&trail=" + url.QueryEscape(a.flags.trail)
	}
	var st service.Status
	if err := a.call(cmd, http.MethodGet, path, nil, &st); err != nil {
		return err
	}
	var err error
	if a.flags.json {
		err = a.printJSON(st)
	} else {
		err = writeStatus(a.stdout, &st)
	}
	if err != nil {
		return err
	}
	switch st.Level {
	case service.LevelAlert:
		return verdict{exitFailed}
	case service.LevelWarning:
		return verdict{exitWarning}
	}
	return nil
}

// asOfService refuses --as-of where it would say nothing.
func asOfService() error {
	return usage(errors.New("--as-of: the status is a service's, which goes by its own clock"), "leave it out")
}

func (a *app) reconcile(cmd *cobra.Command) error {
	if cmd.Flags().Changed("as-of") {
		return asOfService()
	}
	var list []batch.Reconciled
	if err := a.call(cmd, http.MethodPost, "/v1/reconcile", nil, &list); err != nil {
		return err
	}
	faults := 0
	if a.flags.json {
		if err := a.printJSON(list); err != nil {
			return err
		}
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	if !a.flags.json {
		_, _ = fmt.Fprintln(t, "TRAIL\tACCEPTED\tSEALED\tPENDING\tDUPLICATES\tDAMAGED\t")
	}
	for _, r := range list {
		verdict := "agrees"
		if r.Fault != "" {
			verdict = r.Fault
			faults++
		}
		if !a.flags.json {
			_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", r.Trail, r.Accepted, r.Sealed, r.Pending, r.Duplicates, r.Damaged, verdict)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if faults > 0 {
		return fmt.Errorf("%w: of %d trails", batch.ErrConservation, faults)
	}
	return nil
}

func writeStatus(w io.Writer, s *service.Status) error {
	head := "all is well"
	if s.Level != service.LevelOK {
		head = strings.ToUpper(s.Level)
	}
	_, _ = fmt.Fprintln(w, head)
	for _, p := range s.Problems {
		where := ""
		if p.Trail != "" {
			where = p.Trail + ": "
		}
		_, _ = fmt.Fprintf(w, "  %s (%s): %s%s\n", p.Level, p.Code, where, p.Text)
		if p.Hint != "" {
			_, _ = fmt.Fprintf(w, "    hint: %s\n", p.Hint)
		}
	}
	for i := range s.Trails {
		_, _ = fmt.Fprintln(w)
		if err := writeTrail(w, &s.Trails[i]); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	running := "no service is at work; this is what the data folder says"
	if s.Started != nil {
		running = "at work since " + s.Started.Format(time.RFC3339)
	}
	_, _ = fmt.Fprintf(t, "service\t%s\n", running)
	switch {
	case s.Sealing.Running != nil:
		_, _ = fmt.Fprintf(t, "sealing\tsince %s\n", s.Sealing.Running.Format(time.RFC3339))
	case s.Sealing.Error != "":
		_, _ = fmt.Fprintf(t, "sealing\twaits since %s: %s\n", s.Sealing.Failed.Format(time.RFC3339), s.Sealing.Error)
	case s.Sealing.Last != nil:
		_, _ = fmt.Fprintf(t, "sealing\tall that was due at %s is sealed\n", s.Sealing.Last.Format(time.RFC3339))
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
	if v := s.Verified; v != nil {
		told := map[int]string{0: "as it was sealed", 1: "ALTERED"}[v.ExitCode]
		if told == "" {
			told = "could not all be read"
		}
		_, _ = fmt.Fprintf(t, "read back\t%s, at %s, from %v on\n", told, v.At.Format(time.RFC3339), v.From)
	}
	_, _ = fmt.Fprintf(t, "spool\t%s on disk, %s free\n", humanize.IBytes(s.Spool.Bytes), humanize.IBytes(s.Spool.Free))
	if s.Quarantined != nil && s.NotTracked != nil {
		_, _ = fmt.Fprintf(t, "since the last seal\t%d quarantined, %d not tracked\n", *s.Quarantined, *s.NotTracked)
	}
	_, _ = fmt.Fprintf(t, "store\t%s\n", s.Store)
	if s.Data != "" {
		_, _ = fmt.Fprintf(t, "data folder\t%s\n", s.Data)
	}
	return t.Flush()
}

// writeTrail tells how a trail stands.
func writeTrail(w io.Writer, s *service.TrailStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "trail\t%s: %s\n", s.Trail, s.Switch.State)
	if p := s.Switch.Spec.Projects; len(p) > 0 {
		_, _ = fmt.Fprintf(t, "projects\t%s\n", covered(p))
	}
	if s.Since != nil {
		_, _ = fmt.Fprintf(t, "sealed daily since\t%v\n", s.Since)
	}
	if l := s.Last; l != nil {
		_, _ = fmt.Fprintf(t, "last seal\tnumber %d, of %v, %d events, made %s\n", l.Seal, l.Day, l.Events, l.SealedAt.Format(time.RFC3339))
		_, _ = fmt.Fprintf(t, "\t%s\n", l.Note)
		if l.LockedUntil != nil {
			_, _ = fmt.Fprintf(t, "locked until\t%s\n", l.LockedUntil.Format(time.RFC3339))
		}
	} else {
		_, _ = fmt.Fprintf(t, "last seal\tnone yet\n")
	}
	if s.Unfinished != nil {
		_, _ = fmt.Fprintf(t, "unfinished\t%v: the next roll finishes its seal\n", s.Unfinished)
	}
	for i := 0; i < len(s.Pending); {
		n := emptyRun(s.Pending[i:])
		writePending(t, s.Pending[i:i+n])
		i += n
	}
	writeDays(t, "due", "", s.Due)
	writeDays(t, "awaiting sources", "", s.Awaiting)
	if s.Oldest != nil {
		_, _ = fmt.Fprintf(t, "oldest waiting\t%s\n", s.Oldest.Format(time.RFC3339))
	}
	if s.Late > 0 {
		_, _ = fmt.Fprintf(t, "late\t%d events wait for an addendum\n", s.Late)
	}
	_, _ = fmt.Fprintf(t, "accepted\t%d, %d of them duplicates\n", s.Accepted, s.Duplicates)
	for _, source := range s.Sources {
		told := "never heard of"
		if source.Awaited != nil && source.Watermark == nil {
			told += ", awaited since " + source.Awaited.Format(time.RFC3339)
		}
		if source.Watermark != nil {
			told = "complete up to " + source.Watermark.Format(time.RFC3339)
		}
		if source.Last != nil {
			told += ", last heard " + source.Last.Format(time.RFC3339)
		}
		_, _ = fmt.Fprintf(t, "source\t%s: %s\n", source.Name, told)
	}
	if err := t.Flush(); err != nil || len(s.Calendar) == 0 {
		return err
	}
	return writeCalendar(w, s.Calendar)
}

// writeDays tells of days, of which many are told by the first and the last.
func writeDays(w io.Writer, what, more string, days []seal.Date) {
	switch n := len(days); {
	case n == 0:
	case n <= 3:
		var names []string
		for _, d := range days {
			names = append(names, d.String())
		}
		_, _ = fmt.Fprintf(w, "%s\t%s%s\n", what, strings.Join(names, ", "), more)
	default:
		_, _ = fmt.Fprintf(w, "%s\t%d days, %v to %v%s\n", what, n, days[0], days[n-1], more)
	}
}

func writeCalendar(w io.Writer, days []batch.CalendarDay) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "DAY\tSTATE\tEVENTS\tADDENDA\tWAITING\tGAPS")
	for _, d := range slices.Backward(days) {
		_, _ = fmt.Fprintf(t, "%v\t%s\t%d\t%d\t%d\t%d\n", d.Day, d.State, d.Events, d.Addenda, d.Pending, d.Gaps)
	}
	return t.Flush()
}

// emptyRun returns how many of the days are told as one: days on end that are due and have no events, or the first alone.
func emptyRun(days []batch.PendingDay) int {
	n := 1
	for n < len(days) && days[0].Events == 0 && days[n].Events == 0 && days[n].Day.Day == days[n-1].Day.Day+1 {
		n++
	}
	return n
}

func writePending(w io.Writer, days []batch.PendingDay) {
	first, last := days[0], days[len(days)-1]
	state := "not closed yet"
	if first.Due {
		state = "due: run `daybook roll`"
	}
	if len(days) > 1 {
		_, _ = fmt.Fprintf(w, "waiting\t%v to %v: no events, %s\n", first.Day, last.Day, state)
		return
	}
	_, _ = fmt.Fprintf(w, "waiting\t%v: %d events, %s\n", first.Day, first.Events, state)
}
