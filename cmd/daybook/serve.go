package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"daybook/batch/control"
	"daybook/config"
	"daybook/service"
	"daybook/sink"
	"daybook/sink/s3"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Take events in, and seal every day as it is over",
		Long: `Serve is the standing service: it takes events in over HTTP, from drop folders and from followed
buckets, keeps them on stable storage, and seals every day of every trail that is on once the day is
over. A trail is switched on with daybook trail enable.

It stops on SIGTERM and SIGINT: requests and a seal that are under way may end (service.drain). On
SIGHUP it reads its configuration again, without dropping a request.

Exit codes: 0 stopped as asked, 1 failed, 2 usage.`,
		Example: `  daybook serve --config /etc/daybook/daybook.yaml
  daybook admin create alice --config /etc/daybook/daybook.yaml
  daybook trail enable audit --config /etc/daybook/daybook.yaml
  daybook token create --org acme --source api --config /etc/daybook/daybook.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd) },
	}
	a.flags.addTo(cmd, "config", "key", "data", "to")
	return cmd
}

func (a *app) serve(cmd *cobra.Command) error {
	c, err := a.load(cmd)
	if err != nil {
		return err
	}
	a.warn(c)
	level := new(slog.LevelVar)
	log := a.serviceLog(&c.Service, level)
	settings, err := a.serviceConfig(cmd, c, log)
	if err != nil {
		return err
	}
	s, err := service.New(*settings)
	if err != nil {
		return err
	}
	overcommit()
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	hangups := make(chan os.Signal, 1)
	signalReload(hangups)
	defer signal.Stop(hangups)
	reloads := make(chan struct{})
	go func() {
		defer close(reloads)
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangups:
				a.reload(cmd, s, log, level)
			}
		}
	}()
	// It is told once, when stopping begins, and before the process ends.
	stopping := sync.OnceFunc(func() { notify(daemon.SdNotifyStopping) })
	context.AfterFunc(ctx, stopping)
	err = s.Run(ctx, func(addr net.Addr) {
		_, _ = fmt.Fprintf(a.stdout, "serving at %s\n", addr)
		notify(daemon.SdNotifyReady)
		go watchdog(ctx, s.InProcess())
	})
	stop()
	stopping()
	<-reloads
	return errors.Join(err, s.Close())
}

// overcommit has twice as many threads run Go code as there are processors, unless GOMAXPROCS says how many. While a day is sealed every processor has work for long, and
// the runtime has whoever comes back from a system call or the network wait until it looks into its global queue: the system's scheduler lets them go first.
func overcommit() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * processors)
	}
}

// processors is how many threads run Go code unless told otherwise.
var processors = runtime.GOMAXPROCS(0)

// notify tells systemd, where that has started us.
func notify(state string) { _, _ = daemon.SdNotify(false, state) } // nobody to tell it to is no fault

// watchdog tells systemd that we live, as often as it asks for: as long as requests are answered.
func watchdog(ctx context.Context, client *http.Client) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	t := time.NewTicker(every / 2)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if answers(ctx, client) {
				notify(daemon.SdNotifyWatchdog)
			}
		}
	}
}

// answers reports whether the service answers at all, be it that it can't take anything in.
func answers(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, localBase+"/healthz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil
}

// reload reads the configuration again, and makes no key. What is wrong with it is told, and the service goes on as it was.
func (a *app) reload(cmd *cobra.Command, s *service.Service, log *slog.Logger, level *slog.LevelVar) {
	// The time is for Type=notify-reload, which tells by it that this is the reload it asked for.
	notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	defer notify(daemon.SdNotifyReady)
	c, err := a.load(cmd)
	if err == nil {
		var settings *service.Config
		if settings, err = a.serviceConfigBy(cmd, c, log, findKeys); err == nil {
			err = s.Reload(*settings, control.System)
		}
	}
	if err != nil {
		s.ReloadRefused(err)
		var hint *sink.HintError
		attrs := []any{"error", err}
		if errors.As(err, &hint) {
			attrs = append(attrs, "hint", hint.Hint)
		}
		log.Error("the configuration is not taken up: the service goes on as it was", attrs...)
		return
	}
	level.Set(levelOf(c.Service.LogLevel))
}

func levelOf(name string) slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(name)) // the configuration allows only names of levels
	return l
}

func (a *app) serviceLog(c *config.Service, level *slog.LevelVar) *slog.Logger {
	level.Set(levelOf(c.LogLevel))
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, options))
	}
	return slog.New(slog.NewTextHandler(a.stderr, options))
}

// serviceConfig makes of a configuration what package service works with. Keys that are not there are made, but for a signing key where something is sealed.
func (a *app) serviceConfig(cmd *cobra.Command, c *config.Config, log *slog.Logger) (*service.Config, error) {
	return a.serviceConfigBy(cmd, c, log, makeKeys)
}

// serviceConfigBy is serviceConfig, where keysOf has the keys.
func (a *app) serviceConfigBy(cmd *cobra.Command, c *config.Config, log *slog.Logger, keysOf keySource) (*service.Config, error) {
	ui := &display{out: a.stderr} // whoever started the service does not look on
	settings, reading, err := a.settingsBy(c, ui, keysOf)
	if err != nil {
		return nil, err
	}
	settings.Log, settings.AsOf, settings.IncludeOpen = log, time.Time{}, false
	out, err := a.adminConfig(cmd, c, log)
	if err != nil {
		return nil, err
	}
	settings.Progress, settings.Trails = nil, out.Batch.Trails
	out.Batch, out.Reading = settings, reading
	for i := range c.Service.Follow {
		f, err := follow(&c.Service.Follow[i], log)
		if err != nil {
			return nil, err
		}
		out.Follow = append(out.Follow, *f)
	}
	return out, nil
}

// adminConfig is a configuration for what needs neither the store nor the key.
func (a *app) adminConfig(cmd *cobra.Command, c *config.Config, log *slog.Logger) (*service.Config, error) {
	sc := &c.Service
	zone, err := time.LoadLocation(sc.TimeZone)
	if err != nil {
		return nil, err
	}
	out := &service.Config{
		Where: storeName(c), MinFree: uint64(c.Spool.MinFree), Keep: c.Spool.Keep.Std(), KeepQuarantine: c.Quarantine.Keep.Std(), MaxWait: c.MaxWait.Std(), CoolOff: sc.CoolOff.Std(),
		Schedule: sc.Schedule, Zone: zone, Listen: sc.Listen, Certificate: sc.CertFile, Key: sc.KeyFile, ClientCA: sc.ClientCAFile,
		MaxBody: int64(sc.MaxBody), MaxRequests: sc.MaxRequests, Rate: sc.Rate, BodyTimeout: sc.BodyTimeout.Std(), Drain: sc.Drain.Std(), Log: log,
	}
	out.Reading.PlausibleAfter = c.PlausibleAfter.Time()
	if sc.Verify != config.Never {
		out.VerifySchedule = sc.Verify
	}
	for _, s := range sc.Senders {
		out.Senders = append(out.Senders, service.CertificateSender(s))
	}
	for _, s := range sc.Admins {
		out.Admins = append(out.Admins, service.CertificateAdmin(s))
	}
	for _, d := range sc.Drop {
		out.Drop = append(out.Drop, service.Drop(d))
	}
	if out.Effective, err = effective(c); err != nil {
		return nil, err
	}
	b := &out.Batch
	b.Now, b.CloseAfter, b.Build, b.Rendering, b.Log = time.Now, c.CloseAfter.Std(), "daybook "+version, rendering(c), log
	if b.Data, err = dataFolder(c); err != nil {
		return nil, err
	}
	if b.Trails, err = trails(c); err != nil {
		return nil, err
	}
	if b.Policies, err = policies(c); err != nil {
		return nil, err
	}
	if b.Anchors, err = openAnchors(c, log); err != nil {
		return nil, err
	}
	b.Config, err = digest(c)
	return out, err
}

// storeName names the store.
func storeName(c *config.Config) string { return strings.TrimSuffix(c.Store.URL, "/") }

func follow(f *config.Follow, log *slog.Logger) (*service.Follow, error) {
	out := &service.Follow{Org: f.Org, Source: f.Source, From: f.From, Where: f.URL, Endpoint: f.Endpoint, Every: f.Every.Std()}
	if !isS3(f.URL) {
		out.Store = service.Folder{Dir: folderOf(f.URL)}
		return out, nil
	}
	store, err := s3.New(f.URL, &s3.Options{
		Unlocked: true, Endpoint: f.Endpoint, Region: f.Region, PathStyle: f.PathStyle, CAFile: f.CAFile, Profile: f.Profile, Log: log,
	})
	out.Store = store
	return out, err
}

// effective writes the configuration as it took effect, a line for each key. It holds no secret: the file never does.
func effective(c *config.Config) ([]string, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	var lines []string
	flatten("", tree, &lines)
	slices.Sort(lines)
	return lines, nil
}

func flatten(at string, node any, lines *[]string) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			name := snake(key)
			if at != "" {
				name = at + "." + name
			}
			flatten(name, value, lines)
		}
	case []any:
		for i, value := range node {
			flatten(fmt.Sprintf("%s[%d]", at, i), value, lines)
		}
	default:
		text, err := json.Marshal(node)
		if err != nil {
			text = []byte("?")
		}
		*lines = append(*lines, fmt.Sprintf("%s: %s", at, text))
	}
}

// snake turns the name of a field into that of its key: MaxWait into max_wait, CAFile into ca_file, URL into url.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 {
			before, after := name[i-1], byte(0)
			if i+1 < len(name) {
				after = name[i+1]
			}
			if before < 'A' || before > 'Z' || after >= 'a' && after <= 'z' {
				b.WriteByte('_')
			}
		}
		b.WriteString(strings.ToLower(string(r)))
	}
	return b.String()
}
