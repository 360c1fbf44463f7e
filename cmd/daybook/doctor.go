package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"daybook/config"
	"daybook/sink"
	"daybook/sink/doctor"
	"daybook/sink/s3"
)

func (a *app) doctorCommand() *cobra.Command {
	var (
		mode            string
		opts            doctor.Options
		json, sweepOnly bool
	)
	cmd := &cobra.Command{
		Use:   "doctor [flags] [s3://BUCKET/PREFIX]",
		Short: "Try whether a bucket keeps its promises, and what its writer could do",
		Long: `Doctor tries on the bucket of the URL (default: the configuration's store), with the credentials
that seal, whether locks hold against overwriting, deleting, shortening and bypassing; conditional
PUTs, checksums, versions, encryption, listings, lifecycle and clock; and what the writer could do
that it should not be able to. Where classes of the configuration differ in their lock mode, locks
are tried in each. It works on throw-away objects of its own below doctor/, which are locked for
seconds, and changes no setting of the bucket.

A writer should not be able to delete, and so the objects remain; --sweep deletes them with an
administrator's credentials, once their locks have ended. daybook verify passes over them.

Exit codes: 0 nothing failed, 1 something failed, or it could not be tried, 2 usage, 3 something
could not be found out.`,
		Example: `  daybook doctor --config daybook.yaml
  daybook doctor --mode compliance s3://audit-logs/prod
  daybook doctor --short --config daybook.yaml
  daybook doctor --sweep --config daybook.yaml`,
		Args: takes(0, 1, "at most one URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, name, err := a.doctorStore(args, mode, &opts)
			if err != nil {
				return err
			}
			if sweepOnly {
				return a.sweep(cmd.Context(), store)
			}
			return a.examine(cmd.Context(), store, name, opts, json)
		},
	}
	a.flags.addTo(cmd, "config")
	set := cmd.Flags()
	set.StringVar(&mode, "mode", "", "the lock `MODE` of the store's files: compliance, governance or none (default: those of the classes)")
	set.DurationVar(&opts.Lock, "lock", 10*time.Second, "for how `LONG` throw-away objects are locked: longer than a slow server takes to answer")
	set.BoolVar(&opts.Short, "short", false, "make only the checks that put nothing, as each start of export, roll and serve does")
	set.BoolVar(&opts.Thorough, "thorough", false, "try the default retention, too, which leaves an object locked for so long")
	set.BoolVar(&sweepOnly, "sweep", false, "try nothing, and delete what earlier runs have left")
	set.BoolVar(&json, "json", false, "report as JSON")
	cmd.MarkFlagsMutuallyExclusive("short", "thorough", "sweep")
	_ = cmd.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{"compliance", "governance", "none"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	return cmd
}

func (a *app) doctorStore(args []string, mode string, opts *doctor.Options) (*s3.Store, string, error) {
	if opts.Lock < time.Second || opts.Lock > time.Hour {
		return nil, "", usage(fmt.Errorf("--lock %s", opts.Lock), "between 1s and 1h")
	}
	c, err := a.bucketConfig(args)
	if err != nil {
		return nil, "", err
	}
	if mode != "" {
		c.Store.Mode = mode
		for i := range c.Store.RetentionPolicies {
			c.Store.RetentionPolicies[i].Mode = ""
		}
	}
	if c.Store.Mode == "" {
		return nil, "", usage(fmt.Errorf("%s: no lock mode is known", c.Store.URL), "give --mode, or --config with the store's store.mode")
	}
	o, err := s3Options(c)
	if err != nil {
		return nil, "", usageError{err}
	}
	o.Log = a.warnings()
	of, err := doctorOptions(c, o.Log)
	if err != nil {
		return nil, "", usageError{err}
	}
	opts.Modes, opts.Encryption, opts.KMSKey, opts.Ages, opts.Tiers = of.Modes, of.Encryption, of.KMSKey, of.Ages, of.Tiers
	store, err := s3.New(c.Store.URL, o)
	return store, storeName(c), err
}

// doctorOptions say what a store is meant to be.
func doctorOptions(c *config.Config, log *slog.Logger) (o doctor.Options, err error) {
	list, err := policies(c)
	if err != nil {
		return o, err
	}
	o.Modes, o.KMSKey = list.Modes(), c.Store.KMSKeyID
	if e := c.Store.Encryption; e != "none" {
		o.Encryption = s3.Encryption(e)
	}
	if o.Ages, err = agesOf(c); err != nil {
		return o, err
	}
	o.Tiers, err = tierStores(c, log)
	return o, err
}

func (a *app) examine(ctx context.Context, store *s3.Store, name string, opts doctor.Options, json bool) error {
	ui := a.newCheckDisplay(json)
	defer ui.close()
	opts.Progress = ui.trying
	r, err := doctor.Run(ctx, store, name, opts)
	ui.close()
	if err != nil {
		if r != nil && len(r.Remains) > 0 {
			err = &sink.HintError{
				Err:  fmt.Errorf("%w; %d throw-away objects remain below %s, locked until %s", err, len(r.Remains), s3.LabPrefix, r.Remains[len(r.Remains)-1].Until.Format(time.RFC3339)),
				Hint: "`daybook doctor --sweep` deletes them, with an administrator's credentials",
			}
		}
		return err
	}
	if json {
		err = r.WriteJSON(a.stdout)
	} else {
		err = r.WriteText(a.stdout)
	}
	if err == nil && r.ExitCode != exitDone {
		err = verdict{r.ExitCode}
	}
	return err
}

func (a *app) sweep(ctx context.Context, store *s3.Store) error {
	removed, left, err := doctor.Sweep(ctx, store)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%d throw-away objects were deleted, %d are still locked\n", removed, len(left))
	return err
}
