package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/seal"
	"daybook/config"
	"daybook/event"
	"daybook/service"
)

// administers gives a command the flags by which it finds the service.
func (a *app) administers(cmd *cobra.Command) *cobra.Command {
	a.flags.addTo(cmd, "config", "data", "to", "json")
	a.server.addTo(cmd, dataFolderService, "an admin")
	return cmd
}

func (a *app) trailCommand() *cobra.Command {
	var in service.EnableRequest
	var since string
	enable := a.administers(&cobra.Command{
		Use: "enable TRAIL [flags]", Short: "Switch a trail on, from now on",
		Long: `Enable switches a trail on: from now on its events are kept and every day of it is sealed, days
without events as well. Which events, the configuration says (trails), or, for a trail that it does
not declare, --org and --project. Events that were received before are not kept; --since admits a
backfill of earlier days from files.

Enabling a trail whose disabling was requested or approved keeps it on. One that is on already stays
as it is, and nothing is recorded.

Exit codes: 0 done, 1 failed, 2 usage or not allowed.`,
		Example: `  daybook trail enable audit
  daybook trail enable acme-payments --org acme --project project-7 --split project
  daybook trail enable audit --since 2026-01-01`,
		Args: takes(1, 1, "the TRAIL to enable"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if since != "" {
				d, err := event.ParseDay(since)
				if err != nil {
					return usageError{err}
				}
				in.Since = &seal.Date{Day: d}
			}
			return a.changeTrail(cmd, args[0], "enable", in)
		},
	})
	set := enable.Flags()
	set.StringVar(&in.Org, "org", "", "the `ORG` whose events it holds, for a trail that the configuration does not declare")
	set.StringArrayVar(&in.Projects, "project", nil, "the id of a `PROJECT` that it covers (default: every one of the org); may be given again")
	set.StringSliceVar(&in.Formats, "format", nil, "the `FORMATS` that it is written in (default: all five)")
	set.StringVar(&in.Split, "split", "", "`org` or project: whether CSV, CEF and syslog are written per project")
	set.IntVar(&in.MaxSplit, "max-split", 0, "how many projects of a day get files of their own (`N`, default 10000)")
	set.StringVar(&since, "since", "", "the first `DAY` that is kept, as YYYY-MM-DD (default: today)")

	var off service.DisableRequest
	var until config.Time
	disable := a.administers(&cobra.Command{
		Use: "disable TRAIL --reason TEXT [flags]", Short: "Request that a trail be switched off",
		Long: `Disable requests that a trail be switched off. Another admin has to approve it (daybook trail
approve) within seven days; it takes effect after a time to cool off (service.cool_off). Until then
daybook trail enable takes it back. While the trail is off its days are sealed all the same, and
tell the gap. Who requested and approved it, and why, is recorded in the trail.

Exit codes: 0 requested, 1 failed, 2 usage or not allowed.`,
		Example: `  DAYBOOK_TOKEN=… daybook trail disable audit --reason "load test" --until 2026-03-11T06:00:00Z`,
		Args:    takes(1, 1, "the TRAIL to disable"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if off.Reason == "" {
				return usage(errors.New("--reason is missing"), "it is recorded in the trail, for those who ask one day")
			}
			if !until.Time.IsZero() {
				off.Until = &until.Time
			}
			return a.changeTrail(cmd, args[0], "disable", off)
		},
	})
	disable.Flags().StringVar(&off.Reason, "reason", "", "why (`TEXT`)")
	disable.Flags().TextVar(&until, "until", config.Time{}, "the `TIME` at which the trail comes back by itself (default: it stays off)")

	approve := a.administers(&cobra.Command{
		Use: "approve TRAIL [flags]", Short: "Approve that a trail be switched off, as a second admin",
		Long: `Approve approves the disabling that another admin has requested. It takes effect after a time to
cool off (service.cool_off), until which daybook trail enable takes it back.

Exit codes: 0 approved, 1 failed, 2 usage or not allowed.`,
		Args: takes(1, 1, "the TRAIL whose disabling to approve"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeTrail(cmd, args[0], "approve", nil)
		},
	})
	list := a.administers(&cobra.Command{
		Use: "list [flags]", Short: "List the trails, and whether they are on", Args: cobra.NoArgs,
		Long: "List lists the trails that were ever enabled.\n\nExit codes: 0 done, 1 failed, 2 usage or not allowed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var trails []service.Switch
			if err := a.call(cmd, http.MethodGet, "/v1/trails", nil, &trails); err != nil {
				return err
			}
			if a.flags.json {
				return a.printJSON(trails)
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(t, "TRAIL\tORG\tSTATE\tSINCE\tPROJECTS\tFORMATS")
			for _, s := range trails {
				_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%v\t%s\t%s\n", s.Trail, s.Org, s.State, s.Since, covered(s.Spec.Projects), covered(s.Spec.Formats))
			}
			return t.Flush()
		},
	})
	show := a.administers(&cobra.Command{
		Use: "show TRAIL [flags]", Short: "Tell all that is known of a trail", Args: takes(1, 1, "the TRAIL to show"),
		Long: "Show tells how a trail stands, with the calendar of the last 30 days.\n\nExit codes: 0 done, 1 failed, 2 usage or not allowed.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var st service.Status
			if err := a.call(cmd, http.MethodGet, "/v1/status?days=30&trail="+url.QueryEscape(args[0]), nil, &st); err != nil {
				return err
			}
			if a.flags.json {
				return a.printJSON(st)
			}
			if len(st.Trails) == 0 {
				return usage(errors.New("the trail has no name"), "`daybook trail list` tells which there are")
			}
			if err := writeSwitch(a.stdout, st.Trails[0].Switch); err != nil {
				return err
			}
			return writeTrail(a.stdout, &st.Trails[0])
		},
	})
	return group("trail", "Switch trails on and off", enable, disable, approve, list, show)
}

func (a *app) changeTrail(cmd *cobra.Command, trail, what string, in any) error {
	var s service.Switch
	if err := a.call(cmd, http.MethodPost, "/v1/trails/"+url.PathEscape(trail)+"/"+what, in, &s); err != nil {
		return err
	}
	if a.flags.json {
		return a.printJSON(s)
	}
	return writeSwitch(a.stdout, s)
}

// covered lists the projects or the formats of a trail.
func covered(list []string) string {
	if len(list) == 0 {
		return "all"
	}
	return strings.Join(list, ", ")
}

func writeSwitch(w io.Writer, s service.Switch) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	already := ""
	if s.Already {
		already = " already, nothing was changed"
	}
	_, _ = fmt.Fprintf(t, "trail\t%s of %s: %s%s\n", s.Trail, s.Org, s.State, already)
	_, _ = fmt.Fprintf(t, "first day kept\t%v (enabled %s)\n", s.Since, s.Enabled.UTC().Format(time.RFC3339))
	_, _ = fmt.Fprintf(t, "projects\t%s\nformats\t%s\n", covered(s.Spec.Projects), covered(s.Spec.Formats))
	if r := s.Request; r != nil {
		_, _ = fmt.Fprintf(t, "disabling requested\tby %s at %s: %s\n", r.By.Name, r.At.UTC().Format(time.RFC3339), r.Reason)
		if s.Approval == nil {
			_, _ = fmt.Fprintf(t, "waits for\tthe approval of another admin until %s: daybook trail approve %s\n", r.Lapses.UTC().Format(time.RFC3339), s.Trail)
		}
	}
	if p := s.Approval; p != nil {
		_, _ = fmt.Fprintf(t, "approved\tby %s at %s: goes off at %s\n", p.By.Name, p.At.UTC().Format(time.RFC3339), p.Effective.UTC().Format(time.RFC3339))
	}
	if o := s.Off; o != nil {
		_, _ = fmt.Fprintf(t, "off\tsince %s: %s (%s, approved by %s)\n", o.Since.UTC().Format(time.RFC3339), o.Reason, o.By.Name, o.ApprovedBy.Name)
		if !o.Until.IsZero() {
			_, _ = fmt.Fprintf(t, "comes back\tat %s\n", o.Until.UTC().Format(time.RFC3339))
		}
	}
	return t.Flush()
}
