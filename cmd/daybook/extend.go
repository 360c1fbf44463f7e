package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/config"
	"daybook/service"
	"daybook/sink"
)

func (a *app) retentionExtendCommand() *cobra.Command {
	var f orderFlags
	var seals string
	var until config.Time
	var days int
	var yes bool
	cmd := &cobra.Command{
		Use: "extend TRAIL [flags]", Short: "Lock what is sealed for longer",
		Long: `Extend locks all files of a trail's days, or of seals by their numbers, at least until a time, with
their manifests, notes and keys. Nothing is shortened: what is locked for longer stays so, in the
mode that it has. Who wants it and why stands in the store's log for good, where daybook verify
reads it. What is sealed of these days later has a lock of its own, as its class says.

The log is locked as long, at every later roll, too: where the writer's policy limits days, make it
anew first, with daybook bucket policy --role writer --max-days.

It cannot be undone: nobody can shorten a compliance lock, and so it asks, but for --yes.
Where daybook serve works with the data folder, or --server names it, the service does it, which
takes an admin, and it is an event of the trail. Given again, it finishes what was stopped.

Exit codes: 0 done, 1 failed, 2 usage, not allowed or nothing to lengthen, 4 conflict with what the
store holds.`,
		Example: `  daybook retention extend audit --day 2026-03-10 --until 2040-01-01 --by Ann --reason "case 17"
  daybook retention extend audit --seals 1-31 --days 3650 --by Ann --reason "new policy" --yes`,
		Args: takes(1, 1, "the TRAIL to extend"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := service.ExtendRequest{Until: until.Time, Reason: f.reason, By: f.by}
			order := batch.ExtendOrder{Trail: args[0], Reason: f.reason, By: f.by}
			if err := readSeals(seals, &f, &in, &order); err != nil {
				return err
			}
			switch {
			case f.reason == "":
				return usage(errors.New("--reason is missing"), "it stands in the log for those who ask one day")
			case cmd.Flags().Changed("days") && (days < 1 || days > batch.MaxExtension):
				return usage(fmt.Errorf("--days %d: must be 1 to %d", days, batch.MaxExtension), "they count from now")
			case days > 0:
				in.Until = time.Now().UTC().AddDate(0, 0, days)
			case in.Until.IsZero():
				return usage(errors.New("--until or --days is missing"), "say until when it is to be locked")
			case in.Until.After(time.Now().AddDate(0, 0, batch.MaxExtension)):
				return usage(fmt.Errorf("--until %s is more than a century from now", in.Until.Format(time.DateOnly)), "nobody could undo it")
			}
			order.Until = in.Until
			if err := a.canExtend(cmd, f.by); err != nil {
				return err
			}
			if !yes {
				if err := a.confirmForGood(fmt.Sprintf("what is sealed there will be locked until %s, which nobody can undo", in.Until.Format(time.RFC3339))); err != nil {
					return err
				}
			}
			return a.extend(cmd, in, order)
		},
	}
	f.addTo(a, cmd)
	set := cmd.Flags()
	set.StringVar(&seals, "seals", "", "the numbers of seals instead of days: `N` or N-M")
	set.TextVar(&until, "until", config.Time{}, "the `TIME` until which it is to be locked")
	set.IntVar(&days, "days", 0, "lock it for `N` days from now")
	set.BoolVar(&yes, "yes", false, "do not ask")
	cmd.MarkFlagsMutuallyExclusive("until", "days")
	cmd.MarkFlagsMutuallyExclusive("seals", "day")
	cmd.MarkFlagsMutuallyExclusive("seals", "from")
	return cmd
}

// canExtend refuses what the configuration shows to be in vain, before anybody is asked.
func (a *app) canExtend(cmd *cobra.Command, by string) error {
	c, _, err := a.orderConfig(cmd, by)
	if err != nil || c == nil {
		return err
	}
	list, err := policies(c)
	if err == nil && (!isS3(c.Store.URL) || list.ControlLock(time.Now()).Mode == sink.None) {
		err = batch.ErrNoLocks
	}
	return err
}

// readSeals reads which seals an order is about.
func readSeals(seals string, f *orderFlags, in *service.ExtendRequest, order *batch.ExtendOrder) (err error) {
	if seals == "" {
		if order.From, order.To, err = f.days(); err != nil {
			return err
		}
		in.From, in.To = &seal.Date{Day: order.From}, &seal.Date{Day: order.To}
		return nil
	}
	first, last, several := strings.Cut(seals, "-")
	if !several {
		last = first
	}
	order.First, err = strconv.ParseUint(first, 10, 64)
	if err == nil {
		order.Last, err = strconv.ParseUint(last, 10, 64)
	}
	if err != nil || order.First == 0 || order.Last < order.First {
		return usage(fmt.Errorf("--seals %q: must be a number, or two with a dash", seals), "such as --seals 1-31")
	}
	in.FirstSeal, in.LastSeal = order.First, order.Last
	return nil
}

// confirmForGood asks whoever sits there, and takes nothing but yes for it.
func (a *app) confirmForGood(what string) error {
	_, _ = fmt.Fprintf(a.stderr, "daybook: %s; type yes to go on: ", what)
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return usage(errors.New("nothing was done"), "type yes, or give --yes where nobody can")
	}
	return nil
}

func (a *app) extend(cmd *cobra.Command, in service.ExtendRequest, order batch.ExtendOrder) error {
	var report batch.ExtendReport
	err := a.order(cmd, "/v1/trails/"+url.PathEscape(order.Trail)+"/extend", in, &report, order.By, func(r *batch.Roller) error {
		done, err := r.Extend(cmd.Context(), order)
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
	for _, x := range report.Seals {
		run := fmt.Sprintf("seal %d", x.First)
		if x.Last > x.First {
			run = fmt.Sprintf("seals %d to %d", x.First, x.Last)
		}
		said := "says so"
		if x.Already {
			said = "said so before"
		}
		_, _ = fmt.Fprintf(a.stdout, "%s of %s: locked until %s or longer, leaf %d of the log %s\n", run, report.Trail, report.Until.Format(time.RFC3339), x.Leaf, said)
	}
	_, _ = fmt.Fprintf(a.stdout, "%d objects, %d locked for longer now", report.Objects, report.Changed)
	if report.Unlocked > 0 {
		_, _ = fmt.Fprintf(a.stdout, ", %d files of classes without a lock left as they are", report.Unlocked)
	}
	if report.Gone > 0 {
		_, _ = fmt.Fprintf(a.stdout, ", %d files are gone whose locks had ended before", report.Gone)
	}
	_, _ = fmt.Fprintln(a.stdout)
	if report.MaxDays > 0 {
		_, _ = fmt.Fprintf(a.stdout, "the log is locked as long, at every later roll: where the writer's policy limits days, make it anew with `daybook bucket policy --role writer --max-days %d`\n", report.MaxDays)
	}
	writeHead(a.stdout, report.Head, report.Anchors)
	return nil
}
