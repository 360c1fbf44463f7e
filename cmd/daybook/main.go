// Command daybook closes each day's audit events into files that people trust.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"daybook/config"
	"daybook/sink"
)

// version is set by the linker.
var version = "devel"

// The exit codes, as `daybook help exit-codes` tells them.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitQuarantine = 3
	exitConflict   = 4
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// usageError is an error in how the command was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// errQuarantined says that all was done, but not all of the input could be read.
var errQuarantined = errors.New("some of the input could not be read")

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exit(root.ExecuteContext(ctx))
}

// exit tells an error and returns the exit code.
func (a *app) exit(err error) int {
	var (
		hint   *sink.HintError
		faults *config.Faults
		usage  usageError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errQuarantined):
		return exitQuarantine
	case errors.As(err, &faults):
		_, _ = fmt.Fprintf(a.stderr, "daybook: error: the configuration has %d faults\n%v\n", len(faults.Faults), faults)
		return exitUsage
	}
	_, _ = fmt.Fprintf(a.stderr, "daybook: error: %v\n", err)
	if errors.As(err, &hint) {
		_, _ = fmt.Fprintf(a.stderr, "daybook: hint: %s\n", hint.Hint)
	}
	switch {
	case errors.As(err, &usage):
		_, _ = fmt.Fprintln(a.stderr, "daybook: hint: `daybook help` lists the commands, `daybook COMMAND --help` what one takes")
		return exitUsage
	case errors.Is(err, sink.ErrConflict):
		return exitConflict
	}
	return exitFailed
}

// app is what the commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	flags          flags
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "daybook",
		Short:         "Close each day's audit events into files that people trust",
		Long:          "Daybook closes each day's audit events into files that people trust: CSV, Parquet, CEF and syslog, rendered from JSON Lines as the evidence,\nunder a signed seal, in a folder or an object-locked bucket.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		a.exportCommand(), a.initCommand(), a.importCommand(), a.rollCommand(), a.statusCommand(), a.bucketCommand(), a.configCommand(), a.versionCommand(),
		&cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes},
	)
	for _, c := range root.Commands() {
		usageArgs(c)
	}
	return root
}

const exitCodes = `The exit codes of daybook:

  0  done
  1  failed; what was begun is finished by the next run
  2  the command line or the configuration is at fault; nothing was done
  3  done, but some of the input could not be read: records are in quarantine, or files were unreadable
  4  the store holds other bytes where ours belong`

// usageArgs makes errors about a command's arguments usage errors.
func usageArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.stdout, "daybook %s\n", version)
			return err
		},
	}
}
