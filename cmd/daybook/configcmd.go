package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/config"
	"daybook/sink"
	"daybook/sink/s3"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check a configuration, or print its schema", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	check := &cobra.Command{
		Use: "check FILE", Short: "Report every fault of a configuration file at once", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return err
			}
			for _, w := range c.Warnings() {
				_, _ = fmt.Fprintf(a.stderr, "daybook: warning: %v\ndaybook: hint: %s\n", w, w.Hint)
			}
			_, err = fmt.Fprintf(a.stdout, "%s: no faults\n", args[0])
			return err
		},
	}
	schema := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the configuration file, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			data, err := config.Schema()
			if err == nil {
				_, err = a.stdout.Write(data)
			}
			return err
		},
	}
	cmd.AddCommand(check, schema)
	return cmd
}

func (a *app) initCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init", Short: "Write a commented configuration and make a signing key",
		Long: `Init writes a commented configuration that means what runs without one, and makes the signing key if there is none. It overwrites nothing.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.initialize() },
	}
	cmd.Flags().StringVar(&a.flags.config, "config", "daybook.yaml", "the configuration `FILE` to write")
	a.flags.addTo(cmd, "key")
	return cmd
}

func (a *app) initialize() error {
	c := config.Default()
	c.Key = a.flags.key
	path, err := keyPath(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(a.flags.config, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return &sink.HintError{Err: err, Hint: "it is left as it is; `daybook config check` tells its faults"}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(config.Sample())
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	key, created, err := seal.LoadOrCreateKey(path, keyName)
	if err != nil {
		return err
	}
	if _, err := intake.LoadOrCreateHMACKey(filepath.Join(filepath.Dir(path), "redaction.key")); err != nil {
		return err
	}
	what := "the signing key is"
	if created {
		what = "made a signing key:"
	}
	_, err = fmt.Fprintf(a.stdout, "wrote %s\n%s %s\npublic key %s.pub, fingerprint %s\n", a.flags.config, what, path, path, key.Fingerprint())
	return err
}

func (a *app) bucketCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "bucket", Short: "Make a bucket that can hold sealed files", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var (
		days int
		mode string
	)
	create := &cobra.Command{
		Use: "create [flags] [s3://BUCKET]", Short: "Make a bucket with Object Lock and versioning",
		Long: `Create makes the bucket of the URL (default: the configuration's store) with Object Lock and versioning, and a default retention as a floor where
--mode and --days are given. A bucket that is there and right is left as it is; one that can't lock is refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.flags.to = args[0]
			}
			return a.createBucket(cmd, args, mode, days)
		},
	}
	a.flags.addTo(create, "config")
	create.Flags().StringVar(&mode, "mode", "", "the default retention's `MODE`: governance or compliance")
	create.Flags().IntVar(&days, "days", 0, "the default retention's `DAYS`")
	create.MarkFlagsRequiredTogether("mode", "days")
	cmd.AddCommand(create)
	return cmd
}

func (a *app) createBucket(cmd *cobra.Command, args []string, mode string, days int) error {
	c := config.Default()
	if a.flags.config != "" {
		var err error
		if c, err = config.Load(a.flags.config); err != nil {
			return err
		}
	}
	if len(args) == 1 {
		c.Store.URL = args[0]
	}
	if !isS3(c.Store.URL) {
		return usageError{fmt.Errorf("%s is no bucket: name one as s3://bucket", c.Store.URL)}
	}
	opts, err := s3Options(c)
	if err != nil {
		return err
	}
	opts.Unlocked = opts.Mode == sink.None
	want := s3.Bucket{Days: days}
	if want.Mode, err = sink.ParseMode(mode); err != nil {
		return usageError{err}
	}
	created, err := s3.CreateBucket(cmd.Context(), c.Store.URL, want, opts)
	if err != nil {
		return err
	}
	state := "is there and can lock"
	if created {
		state = "was made, with Object Lock and versioning"
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s\n", c.Store.URL, state)
	return err
}
