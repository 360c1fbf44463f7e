// Command tessera is a transparency log and a log checker, both made of Tessera.
//
//	tessera log DIRECTORY KEY-FILE POLICY-FILE    logs each line that it reads, and writes each checkpoint, once the policy's witnesses have cosigned it
//	tessera check DIRECTORY VERIFIER-KEY          checks the tiles, entries and checkpoint of a log
//
// A checkpoint is written as one line: the JSON string of its text.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	err := errors.New("usage: tessera log DIRECTORY KEY-FILE POLICY-FILE | tessera check DIRECTORY VERIFIER-KEY")
	switch {
	case len(os.Args) == 5 && os.Args[1] == "log":
		err = runLog(context.Background(), os.Args[2], os.Args[3], os.Args[4])
	case len(os.Args) == 4 && os.Args[1] == "check":
		err = check(context.Background(), os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runLog(ctx context.Context, dir, keyFile, policyFile string) (err error) {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	policy, err := os.ReadFile(policyFile)
	if err != nil {
		return err
	}
	witnesses, err := tessera.NewWitnessGroupFromPolicy(policy)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return err
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithCheckpointInterval(100*time.Millisecond).WithBatching(1, 10*time.Millisecond).
		WithWitnesses(witnesses, nil))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutdown(ctx)) }()
	published := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 20*time.Millisecond)
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		_, checkpoint, err := published.Await(ctx, appender.Add(ctx, tessera.NewEntry([]byte(lines.Text()))))
		if err != nil {
			return err
		}
		if err := out.Encode(string(checkpoint)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func check(ctx context.Context, dir, vkey string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	leaves := func(bundle []byte) ([][]byte, error) {
		var b api.EntryBundle
		if err := b.UnmarshalText(bundle); err != nil {
			return nil, err
		}
		hashes := make([][]byte, len(b.Entries))
		for i, e := range b.Entries {
			hashes[i] = rfc6962.DefaultHasher.HashLeaf(e)
		}
		return hashes, nil
	}
	return fsck.New(verifier.Name(), verifier, client.FileFetcher{Root: dir}, leaves, fsck.Opts{N: 1}).Check(ctx)
}
