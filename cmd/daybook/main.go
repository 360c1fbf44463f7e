// Command daybook closes each day's audit events into files that people trust.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"daybook/batch"
	"daybook/batch/anchor"
	"daybook/batch/tlog"
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

// usageError is an error in how the command was called; nothing was done.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usage(err error, hint string) error { return usageError{&sink.HintError{Err: err, Hint: hint}} }

// errQuarantined says that all was done, but not all of the input could be read.
var errQuarantined = errors.New("some of the input could not be read")

var errInterrupted = errors.New("interrupted")

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
		misuse usageError
		ended  verdict
		broken unreadError
		way    string
	)
	if errors.As(err, &ended) { // told already
		return ended.code
	}
	if errors.As(err, &hint) {
		way = hint.Hint
	}
	if way == "" && errors.Is(err, syscall.ENOSPC) {
		way = "make room there and run it again: what was begun is finished then"
	}
	if way == "" && errors.Is(err, fs.ErrPermission) {
		way = "this user may not: run it as the user whose it is, as `sudo -u daybook daybook …` does, or see to the permissions"
	}
	code, told := exitFailed, err
	if errors.Is(err, context.Canceled) {
		told, way = errInterrupted, "run it again: what was begun is finished then"
	}
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errQuarantined): // told already
		return exitQuarantine
	case errors.As(err, &faults):
		a.tellSettings(faults)
		return exitUsage
	case errors.As(err, &misuse):
		code = exitUsage
	case errors.As(err, &broken):
		code = exitUnread
	case isConflict(err):
		code = exitConflict
	}
	_, _ = fmt.Fprintf(a.stderr, "daybook: error: %v\n", told)
	if way != "" {
		_, _ = fmt.Fprintf(a.stderr, "daybook: hint: %s\n", way)
	}
	return code
}

// isConflict reports whether the store holds what contradicts this machine.
func isConflict(err error) bool {
	for _, conflict := range []error{sink.ErrConflict, batch.ErrBehind, tlog.ErrAhead, tlog.ErrForked, tlog.ErrUnknownKey, tlog.ErrKeyRange, anchor.ErrForked, anchor.ErrAhead} {
		if errors.Is(err, conflict) {
			return true
		}
	}
	return false
}

// tellSettings tells all that is wrong with the settings, where each stands, and the way out.
func (a *app) tellSettings(f *config.Faults) {
	for _, fault := range f.Faults {
		_, _ = fmt.Fprintf(a.stderr, "daybook: error: %v\n", fault)
		if fault.Hint != "" {
			_, _ = fmt.Fprintf(a.stderr, "daybook: hint: %s\n", fault.Hint)
		}
	}
	if n := len(f.Faults); n > 1 {
		_, _ = fmt.Fprintf(a.stderr, "daybook: %d faults in all; nothing was done\n", n)
	}
}

// app is what the commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	flags          flags
	server         serverFlags
}

func (a *app) rootCommand() *cobra.Command {
	root := group("daybook", "Close each day's audit events into files that people trust",
		a.exportCommand(), a.verifyCommand(), a.proveCommand(), a.bundleCommand(), a.lsCommand(), a.getCommand(), a.linkCommand(), a.thawCommand(), a.ddlCommand(), a.initCommand(), a.serveCommand(), a.trailCommand(), a.tokenCommand(), a.adminCommand(),
		a.statusCommand(), a.importCommand(), a.rollCommand(), a.backupCommand(), a.restoreCommand(), a.giveUpSpoolCommand(),
		a.keygenCommand(), a.keyCommand(), a.holdCommand(), a.witnessCommand(), a.bucketCommand(), a.doctorCommand(), a.retentionCommand(), a.configCommand(), a.versionCommand(),
		&cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodes},
	)
	root.Long = `Daybook closes each day's audit events into files that people trust: CSV, Parquet, CEF and
syslog, rendered from JSON Lines as the evidence, under a signed seal, in a folder or an
object-locked bucket.`
	root.Example = `  daybook export testdata/quickstart/day`
	root.SilenceErrors, root.SilenceUsage, root.Version = true, true, version
	root.SetVersionTemplate("daybook {{.Version}}\n")
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth)))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if first := cmd.Flags().Arg(0); first != "" && cmd.HasSubCommands() { // of a command that is not known no flag is
			return unknownCommand(cmd, first)
		}
		return usage(err, flagHint(cmd, err))
	})
	root.InitDefaultCompletionCmd("completion")
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.RunE = help
		}
	}
	usageArgs(root)
	return root
}

// flagHint is the way out of an error in the flags: the one that was meant perhaps.
func flagHint(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || unknown.GetSpecifiedShortnames() != "" {
		return helpOf(cmd)
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	if near, ok := config.Nearest(unknown.GetSpecifiedName(), known); ok {
		return fmt.Sprintf("did you mean --%s?", near)
	}
	return helpOf(cmd)
}

// helpWidth is how wide the lines of a help text may be.
const helpWidth = 100

// group is a command that has others below it and does nothing by itself.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: help, SuggestionsMinimumDistance: 2}
	cmd.AddCommand(commands...)
	return cmd
}

func help(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func helpOf(cmd *cobra.Command) string {
	return fmt.Sprintf("`%s --help` tells what it takes", cmd.CommandPath())
}

const exitCodes = `The exit codes of daybook:

  0  done
  1  failed; what was begun is finished by the next run
  2  the command line or the configuration is at fault; nothing was done
  3  done, but some of the input could not be read: records are in quarantine, or files broke off
  4  the store holds other bytes where ours belong, or knows more than this machine does

verify has codes of its own:

  0  verified to the level asked
  1  altered: something is not as it was sealed
  2  incomplete: the level asked was not reached; or the command line is at fault
  3  something could not be read, or the report could not be written

status and doctor, for monitoring, and retention lint:

  0  all is well
  1  an alert, or a fault; or it failed
  2  the command line or the configuration is at fault
  3  a warning, or what could not be found out`

// usageArgs makes errors about a command's arguments, and about which of its flags go together, usage errors.
func usageArgs(c *cobra.Command) {
	c.DisableFlagsInUseLine = true // each says itself what it takes
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil {
				err = cmd.ValidateFlagGroups()
			}
			if err == nil {
				return nil
			}
			if strings.HasPrefix(err.Error(), "unknown command") { // what cobra.NoArgs says, of commands that have none below them, too
				if cmd.HasSubCommands() {
					return unknownCommand(cmd, args[0])
				}
				err = fmt.Errorf("%s takes no arguments, not %q", cmd.CommandPath(), args[0])
			}
			return usage(err, helpOf(cmd))
		}
	}
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
}

// unknownCommand says that there is no such command below this one, and which was meant perhaps.
func unknownCommand(cmd *cobra.Command, name string) error {
	hint := helpOf(cmd)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near[0])
	}
	return usage(fmt.Errorf("unknown command %q for %q", name, cmd.CommandPath()), hint)
}

// takes is an argument check that says in words what is missing.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("%s takes %s, not %d arguments", cmd.CommandPath(), what, len(args))
		}
		return nil
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
