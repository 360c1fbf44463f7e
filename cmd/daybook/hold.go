package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/config"
	"daybook/event"
	"daybook/service"
)

// orderFlags are those of commands about what is sealed of days.
type orderFlags struct {
	day, from, to       string
	project, reason, by string
}

func (f *orderFlags) addTo(a *app, cmd *cobra.Command) {
	a.flags.addTo(cmd, "config", "key", "data", "take-over", "json")
	a.server.addTo(cmd, dataFolderService, "an admin")
	set := cmd.Flags()
	set.StringVar(&f.day, "day", "", "the `DAY`, as YYYY-MM-DD")
	set.StringVar(&f.from, "from", "", "the first `DAY` of several")
	set.StringVar(&f.to, "to", "", "the last `DAY` of several")
	set.StringVar(&f.reason, "reason", "", "why (`TEXT`); it stands in the log for good")
	set.StringVar(&f.by, "by", "", "`WHO` wants it (default: whose token it is)")
	cmd.MarkFlagsMutuallyExclusive("day", "from")
	cmd.MarkFlagsMutuallyExclusive("day", "to")
	cmd.MarkFlagsRequiredTogether("from", "to")
}

// days reads the days.
func (f *orderFlags) days() (from, to event.Day, err error) {
	if f.day != "" {
		f.from, f.to = f.day, f.day
	}
	if f.from == "" {
		return 0, 0, usage(errors.New("--day, or --from and --to, are missing"), "say which days it is about: they need not be sealed yet, nor be over")
	}
	return parseDays(f.from, f.to)
}

func (a *app) holdCommand() *cobra.Command {
	return group("hold", "Put, release and list legal holds", a.holdPutCommand(), a.holdReleaseCommand(), a.holdListCommand())
}

func (a *app) holdPutCommand() *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use: "put TRAIL [flags]", Short: "Keep what is sealed of days from being deleted, until it is released",
		Long: `Put has the store keep all files of a trail's days, with their manifests and notes, whatever their
retention: nobody can delete them until the hold is released. With --project it is on the files that
may have events of that project. What is sealed of these days later is held, too; they need not be
over. Who wants it and why stands in the store's log for good, where daybook verify reads it.

Where daybook serve works with the data folder, or --server names it, the service does it, which
takes an admin, and it is an event of the trail. Given again, it finishes what was stopped.

Exit codes: 0 done, 1 failed, 2 usage or not allowed, 4 conflict with what the store holds.`,
		Example: `  daybook hold put audit --from 2026-03-01 --to 2026-03-31 --by "Ann Lee" --reason "case 2026-17"
  DAYBOOK_TOKEN=… daybook hold put audit --day 2026-03-10 --project p-7 --reason "case 2026-17"`,
		Args: takes(1, 1, "the TRAIL to hold"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.hold(cmd, args[0], "hold", &f) },
	}
	f.addTo(a, cmd)
	cmd.Flags().StringVar(&f.project, "project", "", "the id of the `PROJECT` whose events it is about (default: all)")
	return cmd
}

func (a *app) holdReleaseCommand() *cobra.Command {
	var f orderFlags
	cmd := &cobra.Command{
		Use: "release TRAIL [flags]", Short: "Release a legal hold",
		Long: `Release ends a hold, which is named by the days and the project that it was put with. Files that
another hold covers stay held; the others are kept until their retention ends, if it has not. That
it ended, and why, stands in the store's log for good. Given again, it finishes what was stopped.

Exit codes: 0 done, 1 failed, 2 usage, not allowed or no such hold, 4 conflict with what the store
holds.`,
		Example: `  daybook hold release audit --from 2026-03-01 --to 2026-03-31 --by "Ann Lee" --reason "case closed"`,
		Args:    takes(1, 1, "the TRAIL that is held"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.hold(cmd, args[0], "release", &f) },
	}
	f.addTo(a, cmd)
	cmd.Flags().StringVar(&f.project, "project", "", "the id of the `PROJECT` that it was put on (default: all)")
	return cmd
}

func (a *app) hold(cmd *cobra.Command, trail, what string, f *orderFlags) error {
	from, to, err := f.days()
	if err != nil {
		return err
	}
	if f.reason == "" {
		return usage(errors.New("--reason is missing"), "it stands in the log for those who ask one day")
	}
	var report batch.HoldReport
	in := service.HoldRequest{From: seal.Date{Day: from}, To: seal.Date{Day: to}, Project: f.project, Reason: f.reason, By: f.by}
	err = a.order(cmd, "/v1/trails/"+url.PathEscape(trail)+"/"+what, in, &report, f.by, func(r *batch.Roller) error {
		do := r.PutHold
		if what == "release" {
			do = r.ReleaseHold
		}
		done, err := do(cmd.Context(), batch.HoldOrder{Trail: trail, From: from, To: to, Project: f.project, Reason: f.reason, By: f.by})
		if err == nil {
			report = *done
		}
		return err
	})
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.printJSON(report)
	}
	writeHold(a.stdout, &report)
	return nil
}

// orderConfig returns the configuration of an order, nil if --server names the service that carries it out, and whether it is carried out here, and by no service.
func (a *app) orderConfig(cmd *cobra.Command, by string) (c *config.Config, here bool, err error) {
	if a.server.server != "" {
		return nil, false, nil
	}
	if c, err = a.load(cmd); err != nil {
		return nil, false, err
	}
	data, err := dataFolder(c)
	if err != nil {
		return nil, false, err
	}
	if here = !service.Used(data); here && by == "" {
		return nil, false, usage(errors.New("--by is missing"), "say who wants it: it stands in the log for good")
	}
	return c, here, nil
}

// order has a service do something about what is sealed, and reads its answer into out; or does it here, where the data folder is no service's.
func (a *app) order(cmd *cobra.Command, path string, in, out any, by string, do func(*batch.Roller) error) (err error) {
	c, here, err := a.orderConfig(cmd, by)
	if err != nil {
		return err
	}
	if here {
		err := a.withRollerOf(cmd, c, do)
		if errors.Is(err, batch.ErrNoHold) || errors.Is(err, batch.ErrNoTrail) || errors.Is(err, tlog.ErrLeaf) || errors.Is(err, batch.ErrNotLonger) || errors.Is(err, batch.ErrTooLong) {
			return usageOf(err)
		}
		return err
	}
	if cmd.Flags().Changed("take-over") {
		return usage(errors.New("--take-over: a service is at work there"), "look with `daybook verify`, and have it go on with `daybook roll --take-over`")
	}
	r, err := a.dialAs(cmd, a.serviceConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	resp, err := r.request(cmd, http.MethodPost, path, in)
	if e, ok := errors.AsType[*apiError](err); ok && e.Code == http.StatusConflict {
		return conflictError{err}
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := readAnswer(resp, out); err != nil {
		return err
	}
	return nil
}

func writeHold(w io.Writer, r *batch.HoldReport) {
	days := r.From.String()
	if r.To != r.From {
		days += " to " + r.To.String()
	}
	if r.Project != "" {
		days += ", project " + r.Project
	}
	done, changed := "held", "newly held"
	if r.Action == tlog.HoldRelease {
		done, changed = "released", "let go of"
	}
	state := fmt.Sprintf("leaf %d of the log says so", r.Leaf)
	if r.Already {
		state = fmt.Sprintf("as leaf %d of the log said before", r.Leaf)
	}
	_, _ = fmt.Fprintf(w, "%s of %s is %s: %s\n", days, r.Trail, done, state)
	_, _ = fmt.Fprintf(w, "%d seals, %d objects: %d %s", r.Seals, r.Objects, r.Changed, changed)
	if r.Kept > 0 {
		_, _ = fmt.Fprintf(w, ", %d kept by other holds", r.Kept)
	}
	if r.Gone > 0 {
		_, _ = fmt.Fprintf(w, ", %d gone before, their retention had ended", r.Gone)
	}
	_, _ = fmt.Fprintln(w)
	writeHead(w, r.Head, r.Anchors)
}

// heldLog is what hold list tells.
type heldLog struct {
	// Log is the log's name, Size how many leaves it has, Key the fingerprint of the key that signs it; blank if there is none.
	Log   string      `json:"log"`
	Size  int64       `json:"size"`
	Key   string      `json:"key"`
	Holds []tlog.Hold `json:"holds"`
}

func (a *app) holdListCommand() *cobra.Command {
	var configFile, trail string
	var standing bool
	cmd := &cobra.Command{
		Use: "list [flags] [URL|DIR]", Short: "List the holds that stand, and those that were released",
		Long: `List reads the store's log, and tells which holds stand and which were released, by whom and why. It
needs credentials to read with and no data folder. The log's own key vouches for what it tells:
daybook verify --key checks that it is the right one, and that the store holds what the log says.

Exit codes: 0 done, 2 usage, 3 the store could not be read.`,
		Example: `  daybook hold list s3://audit-logs/prod
  daybook hold list --config daybook.yaml --standing --json`,
		Args: takes(0, 1, "at most one store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.readStore(configFile, args)
			if err != nil {
				return err
			}
			holds, head, keys, err := tlog.ReadHolds(cmd.Context(), store)
			if err != nil {
				return unread(withHint(err, "`daybook verify` says what is wrong with the store's log"))
			}
			out := heldLog{Log: head.Origin, Size: head.Size, Holds: []tlog.Hold{}}
			if head.Size > 0 {
				out.Key = keys.Current().Fingerprint()
			}
			for _, h := range holds.All() {
				if (trail == "" || h.Trail == trail) && (h.Released == nil || !standing) {
					out.Holds = append(out.Holds, h)
				}
			}
			if a.flags.json {
				return a.printJSON(out)
			}
			return writeHolds(a.stdout, &out)
		},
	}
	set := cmd.Flags()
	set.StringVar(&configFile, "config", "", "the configuration `FILE`, for the store and its credentials")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for a flag that is not there
	set.StringVar(&trail, "trail", "", "those on this `TRAIL` alone")
	set.BoolVar(&standing, "standing", false, "only those that were not released")
	a.flags.addTo(cmd, "json")
	return cmd
}

func writeHolds(w io.Writer, l *heldLog) error {
	if len(l.Holds) == 0 {
		_, err := fmt.Fprintln(w, "no holds")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "TRAIL\tFROM\tTO\tPROJECT\tSINCE\tBY\tREASON\tSTATE")
	for _, h := range l.Holds {
		project, state := h.Project, "stands"
		if project == "" {
			project = "all"
		}
		if r := h.Released; r != nil {
			state = fmt.Sprintf("released %s by %s: %s", r.At.Format(time.RFC3339), r.By, r.Reason)
		}
		_, _ = fmt.Fprintf(t, "%s\t%v\t%v\t%s\t%s\t%s\t%s\t%s\n", h.Trail, h.From, h.To, project, h.At.Format(time.RFC3339), h.By, h.Reason, state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "log %s, %d leaves, signed by %s\n", l.Log, l.Size, l.Key)
	return err
}
