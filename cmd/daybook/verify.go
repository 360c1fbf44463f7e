package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/proof"
	"daybook/batch/receipt"
	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/config"
	"daybook/event"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/s3"
)

// The exit codes of verify, which are its own.
const (
	exitAltered    = 1
	exitIncomplete = 2
	exitUnread     = 3
)

// verdict ends a command whose report was printed, with a code of its own.
type verdict struct{ code int }

func (v verdict) Error() string { return fmt.Sprintf("verification ends with code %d", v.code) }

// checks are the flags that say what verify holds a store against.
type checks struct {
	keys, checkpoints []string
	policy, tsaCA     string
}

func (c *checks) addTo(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringArrayVar(&c.keys, "key", nil, "a public key `FILE` that you trust, and did not take from the store; may be given again")
	set.StringVar(&c.policy, "policy", "", "a C2SP tlog policy `FILE`: whose cosignatures the log's head must bear")
	set.StringArrayVar(&c.checkpoints, "checkpoint", nil, "a checkpoint `FILE` that was kept elsewhere: the log must go on from it; may be given again")
	set.StringVar(&c.tsaCA, "tsa-ca", "", "a PEM `FILE` of certificate authorities that vouch for time stamps (RFC 3161)")
	for _, name := range []string{"key", "policy", "checkpoint", "tsa-ca"} {
		_ = cmd.MarkFlagFilename(name) // fails only for a flag that is not there
	}
}

// outside is what checks read from the files that they name.
type outside struct {
	keys        []seal.PublicKey
	policy      []byte
	checkpoints [][]byte
	roots       *x509.CertPool
}

func (c *checks) load() (*outside, error) {
	o := &outside{}
	for _, path := range c.keys {
		key, err := seal.LoadPublicKey(path)
		if err != nil {
			return nil, usageOf(err)
		}
		o.keys = append(o.keys, key)
	}
	for _, path := range c.checkpoints {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError{err}
		}
		o.checkpoints = append(o.checkpoints, data)
	}
	var err error
	if c.policy != "" {
		if o.policy, err = os.ReadFile(c.policy); err != nil {
			return nil, usageError{err}
		}
	}
	if c.tsaCA != "" {
		if o.roots, err = loadRoots(c.tsaCA); err != nil {
			return nil, usageError{err}
		}
	}
	return o, nil
}

// usageOf makes an error one of usage, and keeps its hint.
func usageOf(err error) error {
	var hint *sink.HintError
	if errors.As(err, &hint) {
		return usage(err, hint.Hint)
	}
	return usageError{err}
}

type verifyFlags struct {
	checks
	proof, receipt    string
	from, to          string
	deep, partial     bool
	workers           int
	json              bool
	trail, configFile string
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [flags] [URL|DIR]",
		Short: "Check a store, or a copied folder, with nothing but a public key",
		Long: `Verify checks every signature, hash, chain link, Merkle root, count, window and sequence of a store
or of a folder that was copied from one; in a bucket also locks, versions, delete markers and
lifecycle rules. With --deep it reads every format back and compares it with the evidence, row for
row. It needs no data folder, no network but the store's, and writes nothing into the store.

It says which level was reached, and never just OK:
  files intact       every file is the one that was sealed
  chain intact       the seals of every trail are whole, in order, signed, and in the store's log
  head anchored      somebody outside the store has the log's head: by whom, and when
A key is worth what you know of it: give the one that you were told of with --key.

With --partial a copy of some days or formats will do: what is absent is listed, and is no fault. A
manifest that is there needs its note, or the whole log, to vouch for it.
With --proof a file that daybook prove made is checked, and no store is needed. A --checkpoint of
another size than the proof's can't be compared with it: exit code 2.
With --receipt the event that daybook serve gave this receipt for is looked for in the store: exit
code 0 if it is sealed, 1 if it is not and should be, 2 if there is time left, 3 if the receipt is
none, or signed by another key.

Exit codes: 0 verified to the level asked, 1 altered, 2 incomplete (the level asked was not reached,
or the command line is at fault), 3 something could not be read, or the report not be written.`,
		Example: `  daybook verify --key signing.key.pub ./audit
  daybook verify --key signing.key.pub --deep s3://audit-logs/prod
  daybook verify --key signing.key.pub --policy witnesses.txt --checkpoint last-month ./copy
  daybook verify --key signing.key.pub --partial --from 2026-03-01 --to 2026-03-31 ./march
  daybook verify --key signing.key.pub --proof event.proof`,
		Args: takes(0, 1, "at most one store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("proof") {
				return a.verifyProof(cmd, args, &f)
			}
			if cmd.Flags().Changed("receipt") {
				return a.verifyReceipt(cmd, args, &f)
			}
			return a.verify(cmd, args, &f)
		},
	}
	f.addTo(cmd)
	set := cmd.Flags()
	set.StringVar(&f.proof, "proof", "", "check this proof `FILE`")
	set.StringVar(&f.receipt, "receipt", "", "look for the event of this receipt `FILE`")
	cmd.MarkFlagsMutuallyExclusive("proof", "receipt")
	set.StringVar(&f.trail, "trail", "", "check this `TRAIL` alone")
	set.StringVar(&f.from, "from", "", "check the files of this `DAY` on; the chain is checked from its beginning")
	set.StringVar(&f.to, "to", "", "check the files up to this `DAY`")
	set.BoolVar(&f.deep, "deep", false, "read every format back and compare it with the evidence, row for row")
	set.BoolVar(&f.partial, "partial", false, "the store is a copy of some days or formats: what is absent is listed, not failed")
	set.IntVar(&f.workers, "workers", 0, "how many files are read at a time: `N` (default: one for each processor)")
	set.BoolVar(&f.json, "json", false, "report as JSON")
	set.StringVar(&f.configFile, "config", "", "the configuration `FILE`, for the store's endpoint and credentials")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for a flag that is not there
	return cmd
}

// parseDays reads --from and --to.
func parseDays(from, to string) (first, last event.Day, err error) {
	for _, d := range []struct {
		text string
		day  *event.Day
	}{{from, &first}, {to, &last}} {
		if d.text == "" {
			continue
		}
		if *d.day, err = event.ParseDay(d.text); err != nil {
			return 0, 0, usageError{err}
		}
	}
	if to != "" && last < first {
		return 0, 0, usage(fmt.Errorf("--to %s is before --from %s", to, from), "give the earlier day first")
	}
	return first, last, nil
}

func (a *app) verify(cmd *cobra.Command, args []string, f *verifyFlags) error {
	if f.workers < 0 {
		return usage(fmt.Errorf("--workers %d is no number of files", f.workers), "leave it out: then it is one for each processor")
	}
	given, err := f.load()
	if err != nil {
		return err
	}
	from, to, err := parseDays(f.from, f.to)
	if err != nil {
		return err
	}
	store, err := a.readStore(f.configFile, args)
	if err != nil {
		return unread(err) // what is at fault with the command line stays so
	}
	ui := a.newCheckDisplay(f.json)
	defer ui.close()
	report, err := verify.Run(cmd.Context(), store, &verify.Options{
		Keys: given.keys, Policy: given.policy, Checkpoints: given.checkpoints, TimestampRoots: given.roots, Trail: f.trail, From: from, To: to,
		Deep: f.deep, Partial: f.partial, Workers: f.workers, Now: time.Now, Progress: ui.verified,
	})
	ui.close()
	switch {
	case errors.Is(err, verify.ErrAsked):
		return usage(err, givenHint)
	case err != nil: // interrupted, too: 1 would say that something was altered
		return unread(err)
	}
	if f.json {
		err = report.WriteJSON(a.stdout)
	} else {
		err = report.WriteText(a.stdout)
	}
	if err != nil {
		return unread(err) // 1 would say that something was altered
	}
	if code := report.ExitCode(); code != exitDone {
		return verdict{code}
	}
	return nil
}

// givenHint is the way out where what the auditor gave cannot be used.
const givenHint = "--policy takes a C2SP tlog policy (https://c2sp.org/tlog-policy), --checkpoint a file as it lies below log/checkpoints/"

// unreadError is a store or proof of which nothing could be read.
type unreadError struct{ err error }

func (e unreadError) Error() string { return e.err.Error() }
func (e unreadError) Unwrap() error { return e.err }

func unread(err error) error { return unreadError{err} }

// readStore opens a store to read from. It writes nothing, and needs no lock mode or retention.
func (a *app) readStore(configFile string, args []string) (sink.Store, error) {
	c := config.Default()
	if configFile != "" {
		var err error
		if c, err = config.Load(configFile); err != nil {
			return nil, usageError{err}
		}
	}
	if len(args) > 0 {
		if err := config.CheckStoreURL(args[0]); err != nil {
			return nil, usageError{err}
		}
		c.Store.URL = args[0]
	}
	return a.openToRead(c)
}

// openToRead opens the configuration's store to read from.
func (a *app) openToRead(c *config.Config) (sink.Store, error) {
	log := a.warnings()
	if !isS3(c.Store.URL) {
		dir := folderOf(c.Store.URL)
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = &fs.PathError{Op: "verify", Path: dir, Err: errors.New("is not a folder")}
		}
		if err != nil {
			return nil, unread(&sink.HintError{Err: err, Hint: "name the store: the folder, or s3://bucket/prefix, below which seals/ lies"})
		}
		return file.New(dir, &file.Options{Log: log})
	}
	opts, err := s3Options(c)
	if err != nil {
		return nil, err
	}
	opts.Mode, opts.Unlocked, opts.Log = sink.None, true, log
	return s3.New(c.Store.URL, opts)
}

// storeFlags are those of verify that a proof has no use for: none of them may be taken for checked.
var storeFlags = []string{"trail", "from", "to", "deep", "partial", "workers", "config", "tsa-ca"}

func (a *app) verifyProof(cmd *cobra.Command, args []string, f *verifyFlags) error {
	if len(args) > 0 {
		return usage(errors.New("--proof needs no store"), "leave it out: a proof holds all that is needed")
	}
	for _, name := range storeFlags {
		if cmd.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s says nothing of a proof", name), "leave it out: --proof goes with --key, --policy, --checkpoint and --json")
		}
	}
	if f.proof == "" {
		return usage(errors.New("--proof names no file"), "name what daybook prove made")
	}
	given, err := f.load()
	if err != nil {
		return err
	}
	data, err := readAtMost(f.proof, proof.MaxProof+1) // one byte more is refused
	if err != nil {
		return unread(err)
	}
	p, err := proof.Parse(data)
	if err != nil {
		return a.refuseProof(f.proof, err)
	}
	result, err := p.Check(given.keys, given.policy, given.checkpoints)
	if errors.Is(err, proof.ErrProof) {
		return a.refuseProof(f.proof, err)
	}
	if err != nil {
		return usage(err, givenHint)
	}
	if f.json {
		err = result.WriteJSON(a.stdout)
	} else {
		err = result.WriteText(a.stdout)
	}
	if err != nil {
		return unread(err) // 1 would say that something was altered
	}
	if code := result.ExitCode(); code != exitDone {
		return verdict{code}
	}
	return nil
}

// receiptFlags are those of verify that a receipt has no use for.
var receiptFlags = []string{"trail", "from", "to", "deep", "partial", "workers", "policy", "checkpoint", "tsa-ca"}

func (a *app) verifyReceipt(cmd *cobra.Command, args []string, f *verifyFlags) error {
	for _, name := range receiptFlags {
		if cmd.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s says nothing of a receipt", name), "leave it out: --receipt goes with --key, --config and --json")
		}
	}
	given, err := f.load()
	if err != nil {
		return err
	}
	data, err := readAtMost(f.receipt, receipt.MaxSize+1) // one byte more is refused
	if err != nil {
		return unread(err)
	}
	store, err := a.readStore(f.configFile, args)
	if err != nil {
		return unread(err) // what is at fault with the command line stays so
	}
	ui := a.newCheckDisplay(f.json)
	defer ui.close()
	promise, err := proof.CheckPromise(cmd.Context(), store, data, given.keys, time.Now(), ui.searched)
	ui.close()
	switch {
	case errors.Is(err, receipt.ErrReceipt): // which breaks no word: exit code 1 is for one that was given
		return unread(&sink.HintError{Err: fmt.Errorf("%s: %w", f.receipt, err), Hint: "give the receipt as the sender had it, and the key of the store that it is for (--key)"})
	case err != nil:
		return unread(err)
	}
	if f.json {
		err = promise.WriteJSON(a.stdout)
	} else {
		err = promise.WriteText(a.stdout)
	}
	if err != nil {
		return unread(err) // 1 would say that something was altered
	}
	if code := promise.ExitCode(); code != exitDone {
		return verdict{code}
	}
	return nil
}

// refuseProof tells what is wrong with a proof.
func (a *app) refuseProof(path string, err error) error {
	if errors.Is(err, proof.ErrSchema) {
		return unread(&sink.HintError{Err: fmt.Errorf("%s: %w", path, err), Hint: "a newer release of daybook may know it"})
	}
	_, _ = fmt.Fprintf(a.stderr, "daybook: error: %s: %v\n", path, err)
	return verdict{exitAltered}
}

// readAtMost reads a file up to a bound.
func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return data, errors.Join(err, f.Close())
}

func (a *app) proveCommand() *cobra.Command {
	var configFile, trail, source, from, to, out string
	var index int
	cmd := &cobra.Command{
		Use:   "prove [flags] EVENT-ID [URL|DIR]",
		Short: "Make a file that proves that an event was sealed",
		Long: `Prove finds an event in the evidence and makes one file that shows, without the store: the event as
it was sealed, its place in the file's Merkle tree, the signed manifest, the store's log and its
signed checkpoint. daybook verify --proof checks it.

Where several events have that id, it lists them: choose with --trail, --source, --from, --to or
--index.

Exit codes: 0 done, 1 failed or no such event, 2 usage, 3 the store could not be read.`,
		Example: `  daybook prove --out event.proof 84343609-a5b7-44c8-aee1-2f67406a4856 ./audit
  daybook verify --key signing.key.pub --proof event.proof`,
		Args: takes(1, 2, "an EVENT-ID and at most one store"),
		RunE: func(cmd *cobra.Command, args []string) error {
			first, last, err := parseDays(from, to)
			if err != nil {
				return err
			}
			store, err := a.readStore(configFile, args[1:])
			if err != nil {
				return err
			}
			ui := a.newCheckDisplay(out == "")
			defer ui.close()
			p, err := proof.Make(cmd.Context(), store, args[0], &proof.Options{Trail: trail, Source: source, From: first, To: last, Index: index, Progress: ui.searched})
			ui.close()
			if err != nil {
				return damaged(err)
			}
			return a.writeNew(out, p.Encode())
		},
	}
	set := cmd.Flags()
	set.StringVarP(&out, "out", "o", "", "the `FILE` to write (default: standard output)")
	set.StringVar(&trail, "trail", "", "look in this `TRAIL` alone")
	set.StringVar(&source, "source", "", "the event's `SOURCE`")
	set.StringVar(&from, "from", "", "look from this `DAY` on")
	set.StringVar(&to, "to", "", "look up to this `DAY`")
	set.IntVar(&index, "index", 0, "the `N`-th of several events that have the id, from 1")
	set.StringVar(&configFile, "config", "", "the configuration `FILE`, for the store and its credentials")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // fails only for a flag that is not there
	return cmd
}

// damaged gives the way out to what a store's content made fail: what is wrong with it is for verify to tell.
func damaged(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok || errors.Is(err, context.Canceled) {
		return err
	}
	if none, ok := errors.AsType[*proof.NotFoundError](err); ok && len(none.Absent) == 0 {
		return err
	}
	if _, ok := errors.AsType[*proof.AmbiguousError](err); ok {
		return err
	}
	return withHint(err, "`daybook verify` tells what is wrong with the store")
}

// writeNew writes a file that must not be there, or to standard output.
func (a *app) writeNew(path string, data []byte) error {
	if path == "" {
		_, err := a.stdout.Write(data)
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &sink.HintError{Err: err, Hint: "nothing is overwritten: give another name"}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// temporary names a file beside path that is not whole yet.
func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+strings.TrimPrefix(filepath.Base(path), ".")+".part")
}
