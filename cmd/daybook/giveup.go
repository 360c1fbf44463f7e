package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/service"
	"daybook/sink"
)

func (a *app) giveUpSpoolCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "give-up-spool [flags]", Short: "Go on without a spool that is lost for good",
		Long: `Give-up-spool is for a data folder whose spool is gone, and can be had neither from its volume nor
from a backup: the events that were acknowledged and not sealed are lost. Until it is called the
folder is not opened, so that a volume which is not mounted is not taken for an empty one.

An empty spool is begun. The seals of the days that were not sealed declare the gap, with the
reason, and the status tells of it until spool.lost is removed from the data folder.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: "  daybook give-up-spool --config /etc/daybook/daybook.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.giveUpSpool(cmd) },
	}
	a.flags.addTo(cmd, "config", "data", "to")
	return cmd
}

func (a *app) giveUpSpool(cmd *cobra.Command) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	data, err := dataFolder(c)
	if err != nil {
		return err
	}
	settings, err := a.adminConfig(cmd, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	loss, err := batch.GiveUpSpool(data, time.Now())
	if errors.Is(err, batch.ErrBusy) {
		return &sink.HintError{Err: err, Hint: "stop it first"}
	}
	if err != nil {
		return err
	}
	if service.Used(data) {
		s, err := service.New(*settings) // which declares it
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			return fmt.Errorf("the spool was given up, and that is declared at the next start: %w", err)
		}
	}
	_, err = fmt.Fprintf(a.stdout, "the spool was given up at %s: events that were acknowledged and not sealed are gone\n"+
		"the seals of the days that were not sealed will declare it; have what they held sent again\n", loss.At.Format(time.RFC3339))
	return err
}
