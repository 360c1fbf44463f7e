package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/sink"
)

func (a *app) backupCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "backup --out FILE [flags]", Short: "Copy the data folder, while the service is at work or not",
		Long: `Backup writes a copy of the data folder as it is at one moment: events that wait to be sealed, the
ledger, the control journal, the quarantine. Events are taken in meanwhile. The signing key and the
redaction key are not in it: keep a copy of them apart.

The file holds events, secrets in quarantine among them: it is for its owner only.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: "  daybook backup --config /etc/daybook/daybook.yaml --out /backup/daybook-2026-03-10.tar.zst",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usage(errors.New("--out is missing"), "say where the backup is to go, e.g. --out /backup/daybook.tar.zst")
			}
			return a.backup(cmd, out)
		},
	}
	a.flags.addTo(cmd, "config", "data", "to")
	cmd.Flags().StringVar(&out, "out", "", "the `FILE` to write; it must not be there")
	return cmd
}

func (a *app) backup(cmd *cobra.Command, out string) (err error) {
	if _, err := os.Lstat(out); err == nil {
		return usage(fmt.Errorf("%s is there already", out), "name another file: a backup is never overwritten")
	}
	r, err := a.dial(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	r.token = "" // it is had by having the data folder
	resp, err := r.request(cmd, http.MethodGet, "/v1/backup", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	part, err := os.CreateTemp(filepath.Dir(out), ".daybook-backup-*") // 0600
	if err != nil {
		return err
	}
	n, err := io.Copy(part, resp.Body)
	if err == nil {
		err = part.Sync()
	}
	if closeErr := part.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Link(part.Name(), out) // never over what came there meanwhile
	}
	if removeErr := os.Remove(part.Name()); err == nil {
		err = removeErr
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	_, err = fmt.Fprintf(a.stdout, "backup of %d bytes: %s\nkeep the signing key and redaction.key beside it apart from this file\n", n, out)
	return err
}

func (a *app) restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE --data FOLDER", Short: "Make a data folder from a backup",
		Long: `Restore makes a data folder from a backup, into a folder that is not there or is empty. What was
sealed after the backup is learnt from the store. Because the store's log is then ahead of what the
folder remembers, nothing is sealed until somebody has looked at it (daybook verify) and says so:
daybook roll --take-over. Events that came after the backup and were not sealed are not in it: have
their senders send them again, of which none is taken twice.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: "  daybook restore /backup/daybook-2026-03-10.tar.zst --data /var/lib/daybook",
		Args:    takes(1, 1, "the FILE of the backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.flags.data == "" {
				return usage(errors.New("--data is missing"), "say which folder is to be made")
			}
			file, err := os.Open(args[0])
			if err != nil {
				return usageError{err}
			}
			defer file.Close() // it is only read
			info, err := batch.Restore(cmd.Context(), file, a.flags.data)
			if errors.Is(err, batch.ErrBackup) {
				return &sink.HintError{Err: err, Hint: "nothing was made; take another backup"}
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "restored %s: as it was at %s, log %s of %d leaves, key %s\n", a.flags.data, info.Taken.Format(time.RFC3339), info.Origin, info.Size, info.Key)
			return err
		},
	}
	a.flags.addTo(cmd, "data")
	return cmd
}
