package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/config"
	"daybook/sink"
)

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check FILE", Short: "Report every fault of a configuration file at once", Args: takes(1, 1, "the FILE to check"),
		Long: `Check reports every fault of a configuration file at once, with line and column, and a way out of
each. It asks no store and changes nothing.

Exit codes: 0 no faults, 2 faults.`,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := config.Load(args[0])
			if err != nil {
				return usageError{err}
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
	return group("config", "Check a configuration, or print its schema", check, schema)
}

func (a *app) initCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "init [flags]", Short: "Write a commented configuration and make a signing key",
		Long: `Init writes a commented configuration, which as it stands means what runs without one, and makes
the signing key if there is none. It overwrites nothing.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: `  daybook init
  daybook init --config /etc/daybook/daybook.yaml --key /etc/daybook/signing.key`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.initialize(path) },
	}
	cmd.Flags().StringVar(&path, "config", "daybook.yaml", "the configuration `FILE` to write")
	a.flags.addTo(cmd, "key")
	return cmd
}

func (a *app) initialize(file string) error {
	c := config.Default()
	c.Key = a.flags.key
	path, err := keyPath(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return &sink.HintError{Err: err, Hint: "it is left as it is; `daybook config check` tells its faults"}
	}
	if err != nil {
		return err
	}
	key, created, err := fill(f, path)
	if err != nil {
		return errors.Join(err, os.Remove(file)) // what was made here, and is not whole
	}
	what := "the signing key is"
	if created {
		what = "made a signing key:"
	}
	_, err = fmt.Fprintf(a.stdout, "wrote %s\n%s %s\npublic key %s.pub, fingerprint %s\n", file, what, path, path, key.Fingerprint())
	return err
}

// fill writes the sample into a new configuration file and makes the keys.
func fill(f *os.File, path string) (key seal.Key, created bool, err error) {
	_, err = f.Write(config.Sample())
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return key, false, err
	}
	if key, created, err = seal.LoadOrCreateKey(path, keyName); err != nil {
		return key, false, err
	}
	_, err = intake.LoadOrCreateHMACKey(redactionKeyPath(path))
	return key, created, err
}
