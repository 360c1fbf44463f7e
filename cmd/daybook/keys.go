package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/config"
	"daybook/sink"
)

func (a *app) keygenCommand() *cobra.Command {
	var out, name string
	cmd := &cobra.Command{
		Use: "keygen [flags]", Short: "Make a signing key",
		Long: `Keygen makes an Ed25519 signing key: PATH, which only its owner can read, and PATH.pub, which is for
everybody: a PEM file with the C2SP verifier key as a comment above it. It overwrites nothing.

Give the fingerprint to your auditors by a way of its own, such as the telephone: what they read in
the store proves nothing about the key that it was signed with.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: "  daybook keygen --out /etc/daybook/signing.key",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return usage(errors.New("--out is missing"), "say where the key is to lie, e.g. --out signing.key")
			}
			if !seal.ValidKeyName(name) {
				return usage(fmt.Errorf("--name %q is no name of a key", name), "it must not be blank, nor hold white space, control characters or a plus sign")
			}
			key, err := seal.GenerateKey(out, name)
			if errors.Is(err, fs.ErrExist) {
				return &sink.HintError{Err: err, Hint: "a key is never overwritten: give another path"}
			}
			if err != nil {
				return err
			}
			if a.flags.json {
				return a.writeJSON(struct {
					Private     string `json:"private"`
					Public      string `json:"public"`
					ID          string `json:"id"`
					Fingerprint string `json:"fingerprint"`
					VerifierKey string `json:"verifier_key"`
				}{out, out + ".pub", key.ID(), key.Fingerprint(), key.Public().VerifierKey()})
			}
			_, err = fmt.Fprintf(a.stdout, "signing key %s\npublic key  %s.pub\nverifier key %s\nfingerprint %s (read it out to your auditors)\n",
				out, out, key.Public().VerifierKey(), key.Fingerprint())
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `PATH` of the private key; the public one is PATH.pub")
	cmd.Flags().StringVar(&name, "name", keyName, "the `NAME` that its signatures bear")
	a.flags.addTo(cmd, "json")
	return cmd
}

func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// keyFlags are those of the commands about a store's keys.
var keyFlags = []string{"config", "key", "data", "to", "take-over", "json"}

func (a *app) keyCommand() *cobra.Command {
	var next string
	rotate := &cobra.Command{
		Use: "rotate [flags]", Short: "Have another key sign from now on",
		Long: `Rotate writes into the store's log that another key signs from now on; both keys sign that. What was
sealed before stays valid. Afterwards name the new key in the configuration, or with --key: the old
one signs nothing any more. Auditors who hold the old key can follow to the new one.

Exit codes: 0 done, 1 failed, 2 usage, 4 conflict with what the store holds.`,
		Example: `  daybook keygen --out signing-2027.key
  daybook key rotate --config daybook.yaml --new signing-2027.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if next == "" {
				return usage(errors.New("--new is missing"), "make a key with `daybook keygen`, and name it with --new")
			}
			key, err := seal.LoadKey(next)
			if errors.Is(err, fs.ErrNotExist) {
				return &sink.HintError{Err: err, Hint: "make it with `daybook keygen --out " + next + "`"}
			}
			if err != nil {
				return err
			}
			return a.changeKeys(cmd, func(r *batch.Roller) (*batch.Head, []batch.AnchorState, error) {
				head, anchors, err := r.RotateKey(cmd.Context(), key)
				if errors.Is(err, tlog.ErrLeaf) {
					err = withHint(err, "a key that was replaced never comes back: make a new one with `daybook keygen`")
				}
				return head, anchors, err
			}, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "from now on %s signs (%s): put `key: %s` into the configuration, or give it with --key\n", key.Fingerprint(), next, next)
			})
		},
	}
	a.flags.addTo(rotate, keyFlags...)
	rotate.Flags().StringVar(&next, "new", "", "the `PATH` of the key that is to sign from now on")

	var (
		from   int64
		reason string
	)
	revoke := &cobra.Command{
		Use: "revoke [flags] ID", Short: "Say that a key was compromised",
		Long: `Revoke writes into the store's log that a key vouches for nothing from that leaf of the log on. The
key must have been replaced before (daybook key rotate). verify then reports every seal at or after
that leaf that only this key signed. The ID is the name of the key's file below keys/ in the store,
with or without the dashes of its fingerprint; daybook key list shows the leaves.

Exit codes: 0 done, 1 failed, 2 usage, 4 conflict with what the store holds.`,
		Example: `  daybook key revoke --config daybook.yaml --from 412 --reason "stolen on 3 May" \
      3f2a-9c01-77be-0d4c-52aa-e1f0`,
		Args: takes(1, 1, "the ID of the key"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if from < 0 || reason == "" {
				return usage(errors.New("--from or --reason is missing"), "say from which leaf of the log on, and why; `daybook key list` shows the leaves")
			}
			id := strings.ReplaceAll(args[0], "-", "") // a fingerprint is an ID in groups
			return a.changeKeys(cmd, func(r *batch.Roller) (*batch.Head, []batch.AnchorState, error) {
				head, anchors, err := r.RevokeKey(cmd.Context(), id, from, reason)
				if errors.Is(err, tlog.ErrUnknownKey) || errors.Is(err, tlog.ErrLeaf) {
					err = withHint(err, "`daybook key list` shows the keys, the leaves that each vouches for, and which one is in force")
				}
				return head, anchors, err
			}, func(w io.Writer) { _, _ = fmt.Fprintf(w, "key %s vouches for nothing from leaf %d on\n", id, from) })
		},
	}
	a.flags.addTo(revoke, keyFlags...)
	revoke.Flags().Int64Var(&from, "from", -1, "the first `LEAF` of the log that the key vouches for no more")
	revoke.Flags().StringVar(&reason, "reason", "", "the `REASON`, which stands in the log for good")

	list := &cobra.Command{
		Use: "list [flags]", Short: "List the keys of the store's log",
		Long: `List shows each key of the store's log, and the leaves that it vouches for; and the log's verifier
key, by which a witness (daybook witness serve --log) and a policy (verify --policy) name it. It
needs no key: the log's own vouches for what it tells. Compare fingerprints with what you were told.

Exit codes: 0 done, 2 usage, 3 the store could not be read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.load(cmd)
			if err != nil {
				return err
			}
			store, err := a.openToRead(c)
			if err != nil {
				return err
			}
			_, _, keys, err := tlog.ReadHolds(cmd.Context(), store)
			if err != nil {
				return unread(withHint(err, "`daybook verify` says what is wrong with the store's log"))
			}
			return a.writeKeys(keys)
		},
	}
	a.flags.addTo(list, "config", "to", "json")
	return group("key", "Replace, revoke and list the keys that sign", rotate, revoke, list)
}

// withRoller opens the store and its log for a command that seals nothing, with a key that is there: no log could know a new one.
func (a *app) withRoller(cmd *cobra.Command, do func(*batch.Roller) error) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	return a.withRollerOf(cmd, c, do)
}

// withRollerOf is withRoller, of a configuration that was loaded.
func (a *app) withRollerOf(cmd *cobra.Command, c *config.Config, do func(*batch.Roller) error) error {
	if err := requireKey(c); err != nil {
		return err
	}
	ui := a.newDisplay(0)
	defer ui.close()
	settings, _, err := a.settings(c, ui)
	if err != nil {
		return err
	}
	roller, err := batch.Open(cmd.Context(), settings)
	if err != nil {
		return err
	}
	return errors.Join(do(roller), roller.Close())
}

func requireKey(c *config.Config) error {
	if c.Signing == "none" {
		return nil
	}
	path, err := keyPath(c)
	if err != nil {
		return err
	}
	_, err = os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &sink.HintError{Err: err, Hint: "say with --key where the key lies that signs in this store"}
	}
	return err
}

func (a *app) changeKeys(cmd *cobra.Command, change func(*batch.Roller) (*batch.Head, []batch.AnchorState, error), tell func(io.Writer)) error {
	return a.withRoller(cmd, func(r *batch.Roller) error {
		head, anchors, err := change(r)
		if err != nil {
			return err
		}
		if a.flags.json {
			return a.writeJSON(struct {
				Head    *batch.Head         `json:"head"`
				Anchors []batch.AnchorState `json:"anchors"`
			}{head, append([]batch.AnchorState{}, anchors...)})
		}
		tell(a.stdout)
		writeHead(a.stdout, head, anchors)
		return nil
	})
}

// keyRange is a key as --json shows it.
type keyRange struct {
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"`
	VerifierKey string `json:"verifier_key"`
	// LogVerifierKey is the key under the log's name, as it signs checkpoints.
	LogVerifierKey string `json:"log_verifier_key"`
	// First and Last are leaves of the log; Last is absent for the key in force, RevokedFrom for one that was not revoked.
	First       int64  `json:"first"`
	Last        *int64 `json:"last,omitempty"`
	RevokedFrom *int64 `json:"revoked_from,omitempty"`
}

func keyRanges(keys []tlog.KeyRange, origin string) ([]keyRange, error) {
	list := []keyRange{}
	for _, k := range keys {
		named, err := k.Key.Named(origin)
		if err != nil {
			return nil, err
		}
		r := keyRange{LogVerifierKey: named.VerifierKey(), ID: k.Key.ID(), Fingerprint: k.Key.Fingerprint(), VerifierKey: k.Key.VerifierKey(), First: k.First}
		if k.Last >= 0 {
			r.Last = &k.Last
		}
		if k.RevokedFrom >= 0 {
			r.RevokedFrom = &k.RevokedFrom
		}
		list = append(list, r)
	}
	return list, nil
}

func (a *app) writeKeys(ring *tlog.Keyring) error {
	keys := ring.Keys()
	list, err := keyRanges(keys, ring.Origin())
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.writeJSON(list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(a.stdout, "the store has no log yet: it begins with the first seal")
		return err
	}
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "fingerprint\tvouches for leaves\tstate")
	for _, k := range keys {
		span, state := fmt.Sprintf("%d on", k.First), "in force"
		if k.Last >= 0 {
			span, state = fmt.Sprintf("%d to %d", k.First, k.Last), "replaced"
		}
		if k.RevokedFrom >= 0 {
			state = fmt.Sprintf("revoked from leaf %d on", k.RevokedFrom)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", k.Key.Fingerprint(), span, state)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "log %s\n", list[len(list)-1].LogVerifierKey)
	return err
}

// withHint gives an error a way out, unless it has one.
func withHint(err error, hint string) error {
	var has *sink.HintError
	if errors.As(err, &has) {
		return err
	}
	return &sink.HintError{Err: err, Hint: hint}
}

// writeHead tells where the log stands and who else knows it.
func writeHead(w io.Writer, head *batch.Head, anchors []batch.AnchorState) {
	if head == nil {
		return
	}
	_, _ = fmt.Fprintf(w, "log: %s, %d leaves, checkpoint %s\n", head.Origin, head.Size, head.Checkpoint)
	for _, s := range anchors {
		_, _ = fmt.Fprintf(w, "anchor %s (%s): %s\n", s.Name, s.Kind, anchorText(s, head.Size))
	}
}

func anchorText(s batch.AnchorState, size int64) string {
	switch {
	case s.Error != "" && s.Size == 0:
		return fmt.Sprintf("has nothing yet: %s; the next run tries again", s.Error)
	case s.Error != "":
		return fmt.Sprintf("has %d of %d leaves, since %s not the newest: %s; the next run tries again", s.Size, size, s.Since.Format(time.RFC3339), s.Error)
	case s.Size == 0:
		return "has nothing yet; the next run tries"
	case s.By != "":
		return fmt.Sprintf("has %d leaves, taken by %s at %s", s.Size, s.By, s.At.Format(time.RFC3339))
	}
	return fmt.Sprintf("has %d leaves, since %s", s.Size, s.At.Format(time.RFC3339))
}
