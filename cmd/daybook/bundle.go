package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/bundle"
	"daybook/batch/verify"
	"daybook/formats"
	"daybook/sink"
)

func (a *app) bundleCommand() *cobra.Command {
	var configFile, trail, from, to, out string
	var names []string
	var f checks
	var deep bool
	cmd := &cobra.Command{
		Use:   "bundle [flags] [URL|DIR]",
		Short: "Pack days for an auditor who has neither the store nor a network",
		Long: `Bundle writes a zip with the files of the days; all manifests, notes, keys and the log that are
needed to check them; a proof for each seal; a report; and a README with the steps for stock tools.
Unpacked in an empty folder, its folder store is one that daybook verify --partial checks.

The auditor takes the verifier from a release of Daybook, and the key's fingerprint from you: what
comes in the same parcel proves nothing.

Exit codes: 0 done, 1 failed, 2 usage, 3 the store could not be read.`,
		Example: `  daybook bundle --from 2026-03-01 --to 2026-03-31 -o march.zip ./audit
  daybook bundle --trail acme --formats csv,jsonl -o acme.zip s3://audit-logs/prod`,
		Args: takes(0, 1, "at most one store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usage(errors.New("-o is missing"), "say where the zip is to go, e.g. -o march.zip")
			}
			given, err := f.load()
			if err != nil {
				return err
			}
			o := &bundle.Options{Trail: trail, Verify: verify.Options{
				Keys: given.keys, Policy: given.policy, Checkpoints: given.checkpoints, TimestampRoots: given.roots, Deep: deep, Now: time.Now,
			}}
			if o.From, o.To, err = parseDays(from, to); err != nil {
				return err
			}
			for _, name := range names {
				format, err := formats.Named(name)
				if err != nil {
					return usageError{err}
				}
				o.Formats = append(o.Formats, format.Name)
			}
			store, err := a.readStore(configFile, args)
			if err != nil {
				return err
			}
			ui := a.newCheckDisplay(false)
			defer ui.close()
			o.Progress = ui.packed
			err = a.writeBundle(cmd.Context(), store, out, o)
			switch {
			case errors.Is(err, verify.ErrAsked):
				return usage(err, givenHint)
			case errors.Is(err, bundle.ErrNothing):
				return withHint(err, "`daybook ls` tells what is sealed")
			}
			return err
		},
	}
	f.addTo(cmd)
	set := cmd.Flags()
	set.BoolVar(&deep, "deep", false, "have the report compare every format with the evidence, row for row")
	set.StringVarP(&out, "out", "o", "", "the zip `FILE` to write")
	set.StringVar(&trail, "trail", "", "pack this `TRAIL` alone")
	set.StringVar(&from, "from", "", "the first `DAY`")
	set.StringVar(&to, "to", "", "the last `DAY`")
	set.StringSliceVar(&names, "formats", nil, "pack these `FORMATS` alone (default: all)")
	set.StringVar(&configFile, "config", "", "the configuration `FILE`, for the store and its credentials")
	var known []string
	for _, format := range formats.All() {
		known = append(known, format.Name)
	}
	_ = cmd.MarkFlagFilename("out", "zip") // this and the next two fail only for a flag that is not there
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
	_ = cmd.RegisterFlagCompletionFunc("formats", cobra.FixedCompletions(known, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// writeBundle writes the zip under another name until it is whole.
func (a *app) writeBundle(ctx context.Context, store sink.Store, out string, o *bundle.Options) (err error) {
	if _, err := os.Lstat(out); err == nil {
		return &sink.HintError{Err: &fs.PathError{Op: "create", Path: out, Err: fs.ErrExist}, Hint: "nothing is overwritten: give another name"}
	}
	part := temporary(out)
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	w := bufio.NewWriterSize(f, 256<<10)
	summary, err := bundle.Write(ctx, store, w, o)
	if err != nil && !errors.Is(err, bundle.ErrNothing) && !errors.Is(err, verify.ErrAsked) {
		err = damaged(err)
	}
	for _, step := range []func() error{w.Flush, f.Sync, f.Close} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	if err != nil {
		return err
	}
	if err := os.Rename(part, out); err != nil {
		return err
	}
	if list := summary.Gone; len(list) > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: not in the store any more, as their retention or the log allows: %s\n", strings.Join(list, ", "))
	}
	if list := summary.Unproven; len(list) > 0 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: of these seals there is no proof, since they are not in the log or their key was revoked: %s\n", strings.Join(list, ", "))
		_, _ = fmt.Fprintln(a.stderr, "daybook: hint: `daybook verify` tells whether something is wrong with the store; a run that was stopped is finished by the next")
	}
	_, err = fmt.Fprintf(a.stdout, "wrote %s: %d seals, %d files\n", out, summary.Seals, summary.Files)
	return err
}
