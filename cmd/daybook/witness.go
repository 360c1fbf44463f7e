package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/seal"
	"daybook/batch/witness"
)

type witnessFlags struct {
	listen, name, key, data, tlsCert, tlsKey string
	logs                                     []string
}

func (a *app) witnessCommand() *cobra.Command {
	var f witnessFlags
	serve := &cobra.Command{
		Use: "serve [flags]", Short: "Vouch for the logs of others",
		Long: `Serve runs a C2SP tlog-witness: it remembers the newest checkpoint of each log that it was told of,
and signs a newer one only if that one extends it. So a log whose end was cut off, or which was
rewritten, finds no second signature. Run it on another machine than Daybook's, best by another
team.

A log is named by its verifier key, which daybook key list prints. The witness prints its own: give
it to whoever runs the log (anchors: witness and key) and to the auditors (verify --policy).

What it has signed is in its data folder, on stable storage before it answers; never restore it from
a copy. Without --tls-cert it speaks HTTP: let it listen to the local machine, or put it behind a
proxy.

Exit codes: 0 stopped by SIGINT or SIGTERM, 1 failed, 2 usage.`,
		Example: `  daybook witness serve --name witness.example.org --data /var/lib/witness --listen 127.0.0.1:7380 \
      --log audit.example.org/prod+2f1c3b7a+AX…`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveWitness(cmd.Context(), &f) },
	}
	set := serve.Flags()
	set.StringVar(&f.listen, "listen", "127.0.0.1:7380", "the `ADDRESS` to listen at")
	set.StringVar(&f.name, "name", "", "the witness's `NAME`, like a URL without its scheme; it is fixed with the key")
	set.StringVar(&f.key, "key", "", "the witness's key `FILE`, made on first use (default: witness.key in the data folder)")
	set.StringVar(&f.data, "data", "", "the `FOLDER` that remembers what was signed")
	set.StringArrayVar(&f.logs, "log", nil, "the verifier `KEY` of a log to vouch for; may be given again, also for the keys of one log before and after a rotation")
	set.StringVar(&f.tlsCert, "tls-cert", "", "the server's certificate `FILE` (PEM)")
	set.StringVar(&f.tlsKey, "tls-key", "", "the server's private key `FILE` (PEM)")
	_ = serve.MarkFlagDirname("data") // fails only for a flag that is not there
	serve.MarkFlagsRequiredTogether("tls-cert", "tls-key")
	return group("witness", "Vouch for the logs of others", serve)
}

// How long a request of a few kilobytes may take, and a stop may wait for those under way.
const (
	requestTime  = 30 * time.Second
	shutdownTime = 10 * time.Second
)

func (a *app) serveWitness(ctx context.Context, f *witnessFlags) error {
	for _, flag := range []struct{ name, value string }{{"name", f.name}, {"data", f.data}} {
		if flag.value == "" {
			return usage(fmt.Errorf("--%s is missing", flag.name), "`daybook witness serve --help` shows an example")
		}
	}
	if len(f.logs) == 0 {
		return usage(errors.New("--log is missing: there is nothing to vouch for"), "`daybook key list` prints the verifier key of a store's log")
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		return err
	}
	if f.key == "" {
		f.key = filepath.Join(f.data, "witness.key")
	}
	log := slog.New(slog.NewTextHandler(a.stderr, nil))
	key, _, err := seal.LoadOrCreateKey(f.key, f.name)
	if err != nil {
		return err
	}
	if key.Name() != f.name {
		return usage(fmt.Errorf("%s is the key of the witness %s, not of %s", f.key, key.Name(), f.name), "a witness keeps its name as long as its key: give that one with --name")
	}
	w, err := witness.New(witness.Options{Dir: filepath.Join(f.data, "logs"), Signer: key, Logs: watched(f.logs), Log: log})
	if errors.Is(err, witness.ErrOptions) { // the rest of them is not the user's
		return usage(err, "--log takes the verifier key that `daybook key list` prints behind the word log")
	}
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	if _, err := fmt.Fprintf(a.stdout, "witness %s\nlistening at %s\n", w.VerifierKey(), listener.Addr()); err != nil {
		return errors.Join(err, listener.Close(), w.Close())
	}
	return errors.Join(serveUntil(ctx, listener, w, f), w.Close())
}

// watched sorts the keys by the log that they are of: a verifier key begins with the log's name.
func watched(keys []string) []witness.Log {
	var logs []witness.Log
	for _, key := range keys {
		origin, _, _ := strings.Cut(key, "+")
		i := slices.IndexFunc(logs, func(l witness.Log) bool { return l.Origin == origin })
		if i < 0 {
			i, logs = len(logs), append(logs, witness.Log{Origin: origin})
		}
		logs[i].Keys = append(logs[i].Keys, key)
	}
	return logs
}

// serveUntil serves until the context ends, and lets the requests under way finish.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler, f *witnessFlags) error {
	server := &http.Server{Handler: handler, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: 2 * requestTime, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() {
		if f.tlsCert != "" {
			done <- server.ServeTLS(listener, f.tlsCert, f.tlsKey)
		} else {
			done <- server.Serve(listener)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	err := server.Shutdown(stop)
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
