package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch/control"
	"daybook/config"
	"daybook/service"
	"daybook/sink"
)

// recordFlags say whether what is read is recorded in the trail that it is of, and by which service.
type recordFlags struct {
	serverFlags
	record bool
}

func (f *recordFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.record, "record", false, "have the service record in the trail, as an event, what is read and by whom, before it is")
	f.serverFlags.addTo(cmd, "the one at work with the data folder", "an admin or viewer")
}

// configure takes from the configuration what no flag says.
func (f *recordFlags) configure(cmd *cobra.Command, c *config.Config) {
	given := cmd.Flags().Changed
	if !given("record") {
		f.record = c.Reading.Record
	}
	if !f.record {
		return
	}
	if !given("server") {
		f.server = c.Reading.Server
	}
	if !given("server-ca") {
		f.ca = c.Reading.CAFile
	}
	if !given("token-file") && os.Getenv("DAYBOOK_TOKEN") == "" {
		f.tokenFile = c.Reading.TokenFile
	}
}

// record has the service record what is about to be read, and bounds the query to that. Where it does not, nothing is read.
func (a *app) record(cmd *cobra.Command, w *wanted, f *recordFlags, how, configFile string, args []string, expires time.Time) (err error) {
	c := config.Default()
	if configFile != "" {
		if c, err = config.Load(configFile); err != nil {
			return usageError{err}
		}
	}
	f.configure(cmd, c)
	if !f.record {
		for _, name := range []string{"server", "token-file", "server-ca", "cert", "cert-key"} {
			if cmd.Flags().Changed(name) {
				return usage(fmt.Errorf("--%s is for --record", name), "give --record too, or leave it out")
			}
		}
		return nil
	}
	extents, err := w.query.Extents(cmd.Context(), w.store, control.MaxReadKeys)
	if err != nil || len(extents) == 0 {
		return err
	}
	if len(args) > 0 {
		c.Store.URL = args[0]
	}
	r, err := recorder(&f.serverFlags, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	for _, e := range extents {
		resp, err := r.request(cmd, http.MethodPost, "/v1/trails/"+url.PathEscape(e.Trail)+"/reads", control.Reading{
			How: how, Files: e.Files, Bytes: e.Bytes, FirstSeal: e.FirstSeal, LastSeal: e.LastSeal, FirstDay: &e.FirstDay, LastDay: &e.LastDay, Keys: e.Keys, Expires: expires,
		})
		if err != nil {
			return fmt.Errorf("record that trail %s is read: %w", e.Trail, err)
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}

// recorder finds the service that records: that of --server, or the one that is at work with the data folder of the store.
func recorder(f *serverFlags, c *config.Config) (*remote, error) {
	r, err := f.remote()
	if err != nil {
		return nil, err
	}
	if f.server != "" {
		return r, f.reach(r)
	}
	data, err := dataFolder(c)
	if err != nil {
		return nil, err
	}
	r.client, err = service.DialLocal(data)
	if errors.Is(err, service.ErrNotRunning) {
		err = &sink.HintError{Err: fmt.Errorf("nothing was read, since no service is there to record it: %w", err), Hint: "name the service with --server or reading.server, or read without --record"}
	}
	return r, err
}
