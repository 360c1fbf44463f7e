package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/config"
	"daybook/service"
	"daybook/sink"
)

// serverFlags say which service a command speaks to.
type serverFlags struct {
	server, tokenFile, ca, cert, certKey string
}

// addTo gives a command the flags. fallback says what it speaks to without --server, and who is whose token it takes.
func (f *serverFlags) addTo(cmd *cobra.Command, fallback, who string) {
	set := cmd.Flags()
	set.StringVar(&f.server, "server", "", "the service's `URL`, e.g. https://audit.example.org:8470 (default: "+fallback+")")
	set.StringVar(&f.tokenFile, "token-file", "", "the `FILE` of "+who+"'s token (default: the variable DAYBOOK_TOKEN)")
	set.StringVar(&f.ca, "server-ca", "", "the `FILE` of the authorities that vouch for the server, beside the system's (PEM)")
	set.StringVar(&f.cert, "cert", "", who+"'s certificate `FILE` (PEM)")
	set.StringVar(&f.certKey, "cert-key", "", "the key `FILE` of --cert (PEM)")
	cmd.MarkFlagsRequiredTogether("cert", "cert-key")
}

// dataFolderService is what most commands speak to where no service is named.
const dataFolderService = "the one at work with the data folder, or the folder itself"

// remote is a service that is spoken to.
type remote struct {
	client *http.Client
	base   string
	token  string
	close  func() error
}

// localBase is the address of a service that is reached without one.
const localBase = "http://daybook"

// dial finds the service: that of --server, or the one that is at work with the data folder on this machine; where none is, the data folder itself is opened for the
// time of the command.
func (a *app) dial(cmd *cobra.Command) (*remote, error) {
	return a.dialAs(cmd, a.adminConfig)
}

// dialAs is dial, where configure says what the data folder is opened with.
func (a *app) dialAs(cmd *cobra.Command, configure func(*cobra.Command, *config.Config, *slog.Logger) (*service.Config, error)) (*remote, error) {
	f := &a.server
	r, err := f.remote()
	if err != nil {
		return nil, err
	}
	if f.server != "" {
		return r, f.reach(r)
	}
	c, err := a.load(cmd)
	if err != nil {
		return nil, err
	}
	data, err := dataFolder(c)
	if err != nil {
		return nil, err
	}
	r.client, err = service.DialLocal(data)
	if !errors.Is(err, service.ErrNotRunning) {
		return r, err
	}
	settings, err := configure(cmd, c, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	s, err := service.New(*settings)
	if errors.Is(err, batch.ErrBusy) {
		return nil, &sink.HintError{Err: err, Hint: "another command is at work with it: try again when it is done"}
	}
	if err != nil {
		return nil, err
	}
	r.client, r.close = s.InProcess(), s.Close
	return r, nil
}

// remote is a service that is not found yet.
func (f *serverFlags) remote() (*remote, error) {
	r := &remote{base: localBase, token: strings.TrimSpace(os.Getenv("DAYBOOK_TOKEN")), close: func() error { return nil }}
	from := "the variable DAYBOOK_TOKEN"
	if f.tokenFile != "" {
		from = "--token-file " + f.tokenFile
		data, err := readAtMost(f.tokenFile, maxToken+1)
		if err != nil {
			return nil, usage(err, "--token-file names the file that holds the token")
		}
		r.token = strings.TrimSpace(string(data))
	}
	if f.tokenFile != "" && r.token == "" || len(r.token) > maxToken || strings.ContainsFunc(r.token, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return nil, usage(fmt.Errorf("%s holds no token", from), "it is one line, as `daybook admin create` prints it")
	}
	return r, nil
}

// maxToken is how long a token may be: ours are much shorter, and a line that is no header ends nowhere.
const maxToken = 4096

func (f *serverFlags) reach(r *remote) error {
	u, err := url.Parse(f.server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usage(fmt.Errorf("--server %q is no URL of a service", f.server), "e.g. https://audit.example.org:8470")
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		if settings.RootCAs, err = loadRoots(f.ca); err != nil {
			return usageError{err}
		}
		if system, err := x509.SystemCertPool(); err == nil && system != nil {
			if data, err := os.ReadFile(f.ca); err == nil {
				system.AppendCertsFromPEM(data)
				settings.RootCAs = system
			}
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.certKey)
		if err != nil {
			return usageError{err}
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	r.base = strings.TrimSuffix(f.server, "/")
	r.client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: settings, ForceAttemptHTTP2: true}}
	return nil
}

// apiError is an answer of the service that is none.
type apiError struct {
	Code int    `json:"-"`
	Text string `json:"error"`
	Hint string `json:"hint"`
}

func (e *apiError) Error() string { return e.Text }

// conflictError is an answer that says that the store holds what contradicts the service.
type conflictError struct{ error }

func (e conflictError) Unwrap() error        { return e.error }
func (e conflictError) Is(target error) bool { return target == sink.ErrConflict }

// request sends a request with in as JSON; the caller closes the body of the answer, which is one of success.
func (r *remote) request(cmd *cobra.Command, method, path string, in any) (*http.Response, error) {
	if in == nil {
		return r.send(cmd, method, path, http.NoBody)
	}
	data, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return r.send(cmd, method, path, bytes.NewReader(data))
}

func (r *remote) send(cmd *cobra.Command, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(cmd.Context(), method, r.base+path, body)
	if err != nil {
		return nil, err
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, &sink.HintError{Err: err, Hint: "is the service at work there, and does it speak http or https, as the URL says? `daybook serve` starts it"}
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	e := &apiError{Code: resp.StatusCode}
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what came of it is told
	if err := json.Unmarshal(data, e); err != nil || e.Text == "" {
		e.Text, e.Hint = fmt.Sprintf("%s%s: not an answer of daybook: %s: %.200q", r.base, path, resp.Status, data), notDaybook
	}
	if e.Code == http.StatusUnauthorized && e.Hint == "" {
		e.Hint = "the token is another service's, or not whole; `daybook admin create` makes one"
	}
	failed := error(e)
	if e.Code == http.StatusBadRequest || e.Code == http.StatusNotFound || e.Code == http.StatusUnauthorized || e.Code == http.StatusForbidden {
		failed = usageError{e}
	}
	if e.Hint != "" {
		failed = &sink.HintError{Err: failed, Hint: e.Hint}
	}
	return nil, failed
}

// call sends a request and reads its answer into out.
func (a *app) call(cmd *cobra.Command, method, path string, in, out any) (err error) {
	r, err := a.dial(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	resp, err := r.request(cmd, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return readAnswer(resp, out)
}

// notDaybook is the way out where something else answers.
const notDaybook = "is it `daybook serve` that answers there? name it by the URL that it tells at its start, without a path"

// readAnswer reads the answer of a service.
func readAnswer(resp *http.Response, out any) error {
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return &sink.HintError{Err: fmt.Errorf("the service's answer: %w", err), Hint: notDaybook}
	}
	return nil
}

// printJSON prints what --json asks for.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
