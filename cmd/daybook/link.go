package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/control"
	"daybook/batch/fetch"
	"daybook/batch/seal"
	"daybook/config"
	"daybook/sink"
	"daybook/sink/s3"
)

func (a *app) linkCommand() *cobra.Command {
	var f queryFlags
	var rec recordFlags
	var asJSON bool
	expires := config.Duration(24 * time.Hour)
	cmd := &cobra.Command{
		Use:   "link [flags] [URL [KEY…]]",
		Short: "Give links to sealed files, for who has no credentials",
		Long: `Link prints a link to each of the files, by which whoever has it can read the version that was
sealed, under its own name, until the link expires: after seven days at most, and with the
credential that made it if that ends earlier. It is given for a file only that the store has as it
was sealed. A link can't be taken back but by revoking that credential. A folder gives none.

` + fetchCodes,
		Example: `  daybook link --trail audit --day 2026-03-10 --format csv --expires 12h s3://audit-logs/prod
  daybook link --record s3://audit-logs/prod csv/class=standard/trail=audit/dt=2026-03-10/….csv.gz`,
		Args: takes(0, math.MaxInt, "a store, and keys of files in it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if d := expires.Std(); d < s3.MinLink || d > s3.MaxLink {
				return usage(fmt.Errorf("--expires %v is no time that a link can hold", expires), "give 1s to 7d")
			}
			w, err := a.find(cmd, &f, args)
			if err != nil {
				return err
			}
			if _, ok := w.store.(sink.Linker); !ok {
				return usage(fetch.ErrNoLinks, "links are to files in a bucket (s3://…); hand out files of a folder with daybook get")
			}
			if err := a.record(cmd, w, &rec, control.ReadLink, f.configFile, args, time.Now().Add(expires.Std())); err != nil {
				return err
			}
			return a.links(cmd.Context(), w, expires.Std(), asJSON)
		},
	}
	f.addTo(cmd)
	rec.addTo(cmd)
	cmd.Flags().TextVar(&expires, "expires", expires, "for how long the links hold (`TIME`): 1s to 7d")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each as JSON, one object a line")
	return cmd
}

// linked is a link as JSON.
type linked struct {
	Key     string    `json:"key"`
	Version string    `json:"version,omitempty"`
	Size    int64     `json:"size"`
	SHA256  seal.Hash `json:"sha256"`
	Name    string    `json:"name"`
	URL     string    `json:"url"`
	Until   time.Time `json:"until"`
}

func (a *app) links(ctx context.Context, w *wanted, expires time.Duration, asJSON bool) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	n := 0
	var until time.Time
	for l, err := range fetch.Links(ctx, w.store, w.files(ctx), expires) {
		if err != nil {
			return err
		}
		if asJSON {
			err = enc.Encode(linked{l.Key, l.Version, l.Size, l.SHA256, l.Name, l.URL, l.Until})
		} else {
			_, err = fmt.Fprintln(a.stdout, l.URL)
		}
		if err != nil {
			return err
		}
		if n++; until.IsZero() || l.Until.Before(until) {
			until = l.Until
		}
	}
	a.tellNone(w, n)
	if n > 0 && !asJSON {
		_, _ = fmt.Fprintf(a.stderr, "daybook: whoever has such a link can read the file until %s\n", until.Format(time.RFC3339))
	}
	return nil
}

func (a *app) thawCommand() *cobra.Command {
	var f queryFlags
	var rec recordFlags
	var o fetch.ThawOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "thaw [flags] [URL|DIR [KEY…]]",
		Short: "Have files brought back from an archive, so that they can be fetched",
		Long: `Thaw asks the store to bring back what lies in an archive (S3 Glacier Flexible Retrieval, Deep
Archive, Intelligent-Tiering's archives): a copy that can be read for some days, after minutes or
hours. The files stay what and where they are. Files that lie in no archive are told as readable,
and nothing is asked for them; the tiers of MinIO and folders need none of it.

Call it again to see how far it is; with --wait it looks every minute until all can be read.
It takes s3:RestoreObject beside what a reader may do.

` + fetchCodes,
		Example: `  daybook thaw --trail audit --from 2019-03-01 --to 2019-03-31 --days 14 s3://audit-logs/prod
  daybook thaw --day 2019-03-10 --format csv --tier bulk --wait s3://audit-logs/prod`,
		Args: takes(0, math.MaxInt, "a store, and keys of files in it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Days < 1 {
				return usage(fmt.Errorf("--days %d is no number of days", o.Days), "give 1 or more")
			}
			if o.Tier != sink.TierExpedited && o.Tier != sink.TierStandard && o.Tier != sink.TierBulk {
				return usage(fmt.Errorf("--tier %q is not known", o.Tier), "give expedited (minutes), standard (hours) or bulk (up to two days)")
			}
			w, err := a.find(cmd, &f, args)
			if err != nil {
				return err
			}
			if err := a.record(cmd, w, &rec, control.ReadThaw, f.configFile, args, time.Time{}); err != nil {
				return err
			}
			return a.thaw(cmd.Context(), w, &o, asJSON)
		},
	}
	f.addTo(cmd)
	rec.addTo(cmd)
	set := cmd.Flags()
	set.IntVar(&o.Days, "days", 7, "for how many days (`N`) the copies are kept")
	set.StringVar(&o.Tier, "tier", sink.TierStandard, "how fast, and at what price (`TIER`): expedited, standard, bulk")
	set.BoolVar(&o.Wait, "wait", false, "wait until all of them can be read")
	set.BoolVar(&asJSON, "json", false, "report as JSON")
	// It fails only for a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc("tier", cobra.FixedCompletions([]string{sink.TierExpedited, sink.TierStandard, sink.TierBulk}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) thaw(ctx context.Context, w *wanted, o *fetch.ThawOptions, asJSON bool) error {
	o.Told = func(_ fetch.File, err error) { a.exit(err) }
	if o.Wait {
		o.Progress = func(t fetch.Thaws) {
			_, _ = fmt.Fprintf(a.stderr, "daybook: %d of %d files can be read, %d are being brought back\n", t.Readable, t.Files, t.Thawing)
		}
	}
	t, err := fetch.Thaw(ctx, w.store, w.query, o)
	if err != nil {
		return err
	}
	a.tellNone(w, int(t.Files))
	if asJSON {
		err = a.printJSON(t)
	} else if t.Files > 0 {
		_, err = fmt.Fprintln(a.stdout, thawed(t))
	}
	return cmp.Or(err, failedIf(t.Failed > 0))
}

func failedIf(failed bool) error {
	if failed {
		return verdict{exitFailed}
	}
	return nil
}

// thawed says in words how it stands with files.
func thawed(t fetch.Thaws) string {
	s := fmt.Sprintf("%d files: %d can be read", t.Files, t.Readable)
	switch {
	case t.Thawed > 0:
		s += fmt.Sprintf(" (%d of them from an archive, until %s)", t.Thawed, t.Until.Format(time.RFC3339))
	case t.Readable > 0 && t.Thawing == 0 && t.Failed == 0:
		return s + " now; none lies in an archive"
	}
	s += fmt.Sprintf(", %d are being brought back", t.Thawing)
	if t.Failed > 0 {
		s += fmt.Sprintf(", %d failed", t.Failed)
	}
	return s
}
