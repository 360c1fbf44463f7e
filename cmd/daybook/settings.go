package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/config"
	"daybook/formats"
	"daybook/formats/cef"
	"daybook/formats/csv"
	"daybook/formats/parquet"
	"daybook/formats/syslog"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/doctor"
	"daybook/sink/file"
	"daybook/sink/s3"
)

// flags are those that lie over the configuration.
type flags struct {
	config, from, source, trail, org, key, data, to string
	asOf                                            config.Time
	includeOpen, json, takeOver                     bool
	gaps                                            []string
}

// settingFlag marks a flag that lies over the configuration: commands have others of the same names, such as the --from and --to of days.
const settingFlag = "setting"

// addTo gives a command the flags, of which names says which.
func (f *flags) addTo(cmd *cobra.Command, names ...string) {
	set := cmd.Flags()
	for _, name := range names {
		switch name {
		case "config":
			set.StringVar(&f.config, name, "", "the configuration `FILE`; see `daybook init`")
			_ = cmd.MarkFlagFilename(name, "yaml", "yml") // fails only for a flag that is not there
		case "from":
			set.StringVar(&f.from, name, intake.Auto, "the input `FORMAT`: "+intake.Auto+", "+strings.Join(intake.Names(), ", "))
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(append(intake.Names(), intake.Auto), cobra.ShellCompDirectiveNoFileComp))
		case "source":
			set.StringVar(&f.source, name, "", "the `NAME` of the feed that the events come from (default: the input format's)")
		case "trail":
			set.StringVar(&f.trail, name, "audit", "the `NAME` of the trail")
		case "org":
			set.StringVar(&f.org, name, config.AllOrgs, "the `ORG` whose events are taken, and that of events that name none; * takes those of every org")
		case "key":
			set.StringVar(&f.key, name, "", "the signing key's `FILE`, made on first use (default: this installation's)")
		case "data":
			set.StringVar(&f.data, name, "", "the data `FOLDER`: what is sealed, staged and in quarantine (default: one for each destination)")
			_ = cmd.MarkFlagDirname(name)
		case "to":
			set.StringVar(&f.to, name, "./audit", "where the files go: a folder, or s3://bucket/prefix (`URL`)")
		case "as-of":
			set.TextVar(&f.asOf, name, config.Time{}, "the `TIME` that stands for now, and for the receipt of imported events")
		case "include-open":
			set.BoolVar(&f.includeOpen, name, false, "seal days that are not closed yet, too")
		case "json":
			set.BoolVar(&f.json, name, false, "report as JSON")
		case "gap":
			set.StringArrayVar(&f.gaps, name, nil, "declare that events may be missing: `FROM/TO=REASON`, times as RFC 3339; may be given again")
		case "take-over":
			set.BoolVar(&f.takeOver, name, false, "accept what another machine has added to the store's log, or that an anchor knows another, after a look at it")
		}
		_ = set.SetAnnotation(name, settingFlag, nil) // fails only for a flag that is not there
	}
}

// load reads the configuration and lays the flags over it.
func (a *app) load(cmd *cobra.Command) (*config.Config, error) {
	f := &a.flags
	c := config.Default()
	if f.config != "" {
		var err error
		if c, err = config.Load(f.config); err != nil {
			return nil, usageError{err}
		}
	}
	given := func(name string) bool {
		flag := cmd.Flags().Lookup(name)
		if flag == nil {
			return false
		}
		_, ours := flag.Annotations[settingFlag]
		return ours && flag.Changed
	}
	for name, set := range map[string]func(){
		"from": func() { c.From = f.from }, "source": func() { c.Source = f.source }, "trail": func() { c.Trails[0].Name = f.trail },
		"org": func() { c.Trails[0].Org = f.org }, "key": func() { c.Key = f.key }, "data": func() { c.Data = f.data },
		"to": func() { c.Store.URL = f.to }, "as-of": func() { c.AsOf = f.asOf }, "include-open": func() { c.IncludeOpen = f.includeOpen },
	} {
		if given(name) {
			set()
		}
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// warn tells what is no fault of a configuration file, and hardly meant: for commands that begin something by it, and no others, since who reads a status can't help it.
func (a *app) warn(c *config.Config) {
	if a.flags.config == "" {
		return
	}
	for _, w := range c.Warnings() {
		_, _ = fmt.Fprintf(a.stderr, "daybook: warning: %v\n", w)
	}
}

// settings makes of a configuration what package batch works with. Keys that are not there are made, but for a signing key where something is sealed.
func (a *app) settings(c *config.Config, ui *display) (batch.Settings, intake.Settings, error) {
	return a.settingsBy(c, ui, makeKeys)
}

// settingsBy is settings, where keysOf has the keys.
func (a *app) settingsBy(c *config.Config, ui *display, keysOf keySource) (batch.Settings, intake.Settings, error) {
	s := batch.Settings{
		CloseAfter: c.CloseAfter.Std(), IncludeOpen: c.IncludeOpen, Now: time.Now, AsOf: c.AsOf.Time, DedupeWindow: c.Spool.DedupeWindow.Std(), Build: "daybook " + version, Workers: processors,
		Progress: ui.progress, Log: a.warnings(),
	}
	if s.AsOf.IsZero() {
		s.AsOf = time.Now()
	}
	var err error
	if s.Store, err = openStore(c, ui, s.Log); err != nil {
		return s, intake.Settings{}, err
	}
	if s.Data, err = dataFolder(c); err != nil {
		return s, intake.Settings{}, err
	}
	keyPath, err := keyPath(c)
	if err != nil {
		return s, intake.Settings{}, err
	}
	var hmacKey intake.HMACKey
	if s.Key, hmacKey, err = keysOf(keyPath, c.Signing != "none", batch.HasSealed(s.Data), ui); err != nil {
		return s, intake.Settings{}, err
	}
	s.Origin, s.TakeOver = c.Origin, a.flags.takeOver
	if s.Anchors, err = openAnchors(c, s.Log); err != nil {
		return s, intake.Settings{}, err
	}
	if s.Gaps, err = parseGaps(a.flags.gaps); err != nil {
		return s, intake.Settings{}, err
	}
	redactor, err := intake.NewRedactor(hmacKey, intake.Rules{Keys: c.Redact.Keys, AllowKeys: c.Redact.AllowKeys, Patterns: c.Redact.Patterns})
	if err != nil {
		return s, intake.Settings{}, err
	}
	if s.Trails, err = trails(c); err != nil {
		return s, intake.Settings{}, err
	}
	if s.Policies, err = policies(c); err != nil {
		return s, intake.Settings{}, err
	}
	s.Rendering = rendering(c)
	if s.Config, err = digest(c); err != nil {
		return s, intake.Settings{}, err
	}
	reading := intake.Settings{
		From: c.From, Source: c.Source, Org: c.OwnOrg(), AsOf: s.AsOf, PlausibleAfter: c.PlausibleAfter.Time(),
		RecordLimit: int(c.Limits.Record), Ratio: int64(c.Limits.Ratio), Workers: s.Workers, Redactor: redactor, Skip: ownFolders(c),
	}
	return s, reading, nil
}

// keySource has the signing key that is to lie at path, nil where nothing is signed, and the redaction key beside it. sealed says that the data folder has seals.
type keySource func(path string, signed, sealed bool, ui *display) (seal.Signer, intake.HMACKey, error)

// redactionKeyPath is where the redaction key lies that belongs to a signing key.
func redactionKeyPath(path string) string { return filepath.Join(filepath.Dir(path), "redaction.key") }

// makeKeys makes those that are not there, but for a signing key where something is sealed: no log would know it.
func makeKeys(path string, signed, sealed bool, ui *display) (signer seal.Signer, hmacKey intake.HMACKey, err error) {
	switch {
	case signed && sealed:
		if signer, err = findKey(path); err != nil {
			return nil, nil, err
		}
	case signed:
		key, created, err := seal.LoadOrCreateKey(path, keyName)
		if err != nil {
			return nil, nil, err
		}
		if created {
			ui.say("made a signing key: %s, fingerprint %s (give that to your auditors)", path, key.Fingerprint())
		}
		signer = key
	}
	_, absent := os.Stat(redactionKeyPath(path))
	hmacKey, err = intake.LoadOrCreateHMACKey(redactionKeyPath(path))
	if err == nil && sealed && errors.Is(absent, fs.ErrNotExist) {
		ui.say("made a redaction key: %s; equal secrets have other tags from now on, unless you put the one back that was beside the key that signed before", redactionKeyPath(path))
	}
	return signer, hmacKey, err
}

// findKey reads the signing key, which was made before.
func findKey(path string) (seal.Signer, error) {
	key, err := seal.LoadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &sink.HintError{Err: err, Hint: "a key is made before the first seal only: put back the one that signed here, or say with --key or `key` where it lies; if it is lost, begin anew under another prefix, with another data folder; if nothing was signed here, keep `signing: none`"}
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// findKeys makes none: a service that is at work has its keys, and a configuration that names others may be refused yet.
func findKeys(path string, signed, _ bool, _ *display) (signer seal.Signer, hmacKey intake.HMACKey, err error) {
	missing := func(err error, hint string) error {
		if errors.Is(err, fs.ErrNotExist) {
			return &sink.HintError{Err: err, Hint: hint}
		}
		return err
	}
	if signed {
		key, err := seal.LoadKey(path)
		if err != nil {
			return nil, nil, missing(err, "keys are made at a start only: write the `key` into the configuration that the service was started with, or put that key there")
		}
		signer = key
	}
	if hmacKey, err = intake.LoadHMACKey(redactionKeyPath(path)); err != nil {
		return nil, nil, missing(err, "keys are made at a start only: put back the redaction key that lay there, for with another equal secrets have other tags")
	}
	return signer, hmacKey, nil
}

// parseGaps reads what --gap declares.
func parseGaps(texts []string) ([]seal.Gap, error) {
	var list []seal.Gap
	for _, text := range texts {
		span, reason, ok := strings.Cut(text, "=")
		from, to, ok2 := strings.Cut(span, "/")
		start, err1 := time.Parse(time.RFC3339, from)
		end, err2 := time.Parse(time.RFC3339, to)
		if !ok || !ok2 || err1 != nil || err2 != nil || strings.TrimSpace(reason) == "" || !start.Before(end) {
			return nil, usage(fmt.Errorf("--gap %q is no gap", text), "write it as 2026-03-10T04:00:00Z/2026-03-10T06:30:00Z=the reason")
		}
		list = append(list, seal.Gap{From: start.UTC(), To: end.UTC(), Reason: strings.TrimSpace(reason)})
	}
	return list, nil
}

// keyName is the name that our signatures bear; the key's hash beside it tells installations apart.
const keyName = "daybook"

func trails(c *config.Config) ([]batch.Trail, error) {
	var list []batch.Trail
	for _, t := range c.Trails {
		trail := batch.Trail{Name: t.Name, Org: t.Org, Projects: t.Projects, SplitProjects: t.Split == "project", MaxSplit: t.MaxSplit}
		for _, name := range t.Formats {
			format, err := formats.Named(name)
			if err != nil {
				return nil, err
			}
			trail.Formats = append(trail.Formats, format)
		}
		if t.Org == config.AllOrgs {
			trail.Org = ""
		}
		list = append(list, trail)
	}
	return list, nil
}

// policies are the store's retention policies.
func policies(c *config.Config) (retention.Policies, error) {
	var list retention.Policies
	for _, p := range c.Store.RetentionPolicies {
		mode, err := sink.ParseMode(cmp.Or(p.Mode, c.Store.Mode))
		if err != nil {
			return nil, err
		}
		list = append(list, retention.Policy{
			Class: p.Class, EventTypes: p.EventTypes, Default: p.Default, Mode: mode, HotDays: p.HotDays, WarmDays: p.WarmDays, ColdYears: p.ColdYears,
			WarmStorage: p.WarmStorage, ColdStorage: p.ColdStorage, Retain: p.Retain.Std(), Preset: p.Preset,
		})
	}
	return list, nil
}

func rendering(c *config.Config) batch.Rendering {
	f := &c.Formats
	r := batch.Rendering{
		PartRows: c.Part.Rows, PartBytes: int64(c.Part.Bytes),
		JSONL:      batch.Compression{Kind: seal.Zstd, Level: f.JSONL.Level},
		CSV:        batch.Compression{Kind: f.CSV.Compression, Level: f.CSV.Level},
		CEF:        batch.Compression{Kind: f.CEF.Compression, Level: f.CEF.Level},
		Syslog:     batch.Compression{Kind: f.Syslog.Compression, Level: f.Syslog.Level},
		CSVOptions: csv.Options{SpreadsheetUnsafe: !f.CSV.SpreadsheetSafe},
		CEFOptions: cef.Options{Vendor: f.CEF.Vendor, Product: f.CEF.Product, InfoLimit: f.CEF.InfoLimit},
		SyslogOptions: syslog.Options{
			Facility: f.Syslog.Facility, Enterprise: f.Syslog.Enterprise, AppName: f.Syslog.AppName, Hostname: f.Syslog.Hostname, InfoLimit: f.Syslog.InfoLimit,
		},
		ParquetOptions: parquet.Options{Level: f.Parquet.Level, RowGroupRows: f.Parquet.RowGroupRows},
		SortMemory:     int(c.Spool.Memory),
	}
	if f.Syslog.InfoLimit == 0 {
		r.SyslogOptions.InfoLimit = -1 // 0 is the option's default, and says "no limit" in the file
	}
	return r
}

// digest is that of the configuration as it took effect. It holds no secret.
func digest(c *config.Config) (seal.Hash, error) {
	data, err := json.Marshal(c)
	return sha256.Sum256(data), err
}

func isS3(url string) bool { return strings.HasPrefix(url, "s3://") }

func folderOf(url string) string { return strings.TrimPrefix(url, "file://") }

func openStore(c *config.Config, ui *display, log *slog.Logger) (sink.Store, error) {
	if !isS3(c.Store.URL) {
		return file.New(folderOf(c.Store.URL), &file.Options{Progress: ui.sent, Log: log})
	}
	opts, err := s3Options(c)
	if err != nil {
		return nil, err
	}
	opts.Progress, opts.Log = ui.sent, log
	store, err := s3.New(c.Store.URL, opts)
	if err != nil {
		return nil, err
	}
	checks, err := doctorOptions(c, log)
	if err != nil {
		return nil, err
	}
	return doctor.Check(store, checks, log), nil
}

func s3Options(c *config.Config) (*s3.Options, error) {
	list, err := policies(c)
	if err != nil {
		return nil, err
	}
	mode := list.Weakest()
	o := &s3.Options{
		Mode: mode, Unlocked: mode == sink.None, Endpoint: c.Store.Endpoint, Region: c.Store.Region, PathStyle: c.Store.PathStyle,
		CAFile: c.Store.CAFile, Profile: c.Store.Profile, KMSKey: c.Store.KMSKeyID,
	}
	if e := c.Store.Encryption; e != "none" {
		o.Encryption = s3.Encryption(e)
	}
	if st := &c.Store; st.AccessKeyEnv == "" && st.SecretKeyEnv == "" && st.SessionTokenEnv == "" && st.AccessKeyFile != "" {
		// Files are handed on as such, since their content may change while we run.
		o.AccessKeyFile, o.SecretKeyFile, o.SessionTokenFile = st.AccessKeyFile, st.SecretKeyFile, st.SessionTokenFile
		return o, nil
	}
	credentials, err := c.Store.Credentials(os.LookupEnv)
	switch {
	case errors.Is(err, config.ErrNoCredentials):
	case err != nil:
		return nil, err
	default:
		o.AccessKey, o.SecretKey, o.SessionToken = credentials.AccessKey.Reveal(), credentials.SecretKey.Reveal(), credentials.SessionToken.Reveal()
	}
	return o, nil
}

// keyPath is where the signing key lies: one for each installation, unless the configuration says another.
func keyPath(c *config.Config) (string, error) {
	if c.Key != "" {
		return c.Key, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", &sink.HintError{Err: err, Hint: "say with --key where the signing key lies, or is to lie"}
	}
	return filepath.Join(dir, "daybook", "signing.key"), nil
}

// dataFolder is where state is kept: one for each destination, below the user's state folder, unless the configuration says another.
func dataFolder(c *config.Config) (string, error) {
	if c.Data != "" {
		return c.Data, nil
	}
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &sink.HintError{Err: err, Hint: "say with --data where state is to be kept"}
		}
		base = filepath.Join(home, ".local", "state")
	}
	where := c.Store.URL
	if isS3(where) {
		where = c.Store.Endpoint + " " + strings.TrimSuffix(where, "/")
	} else {
		abs, err := filepath.Abs(folderOf(where))
		if err != nil {
			return "", err
		}
		if where, err = resolve(abs); err != nil {
			return "", err
		}
	}
	return batch.FolderFor(filepath.Join(base, "daybook"), where), nil
}

// resolve returns the path without symbolic links, as it will be called when what is missing of it is there.
func resolve(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
		real, err = resolve(parent)
		return filepath.Join(real, filepath.Base(path)), err
	}
	return real, err
}

// ownFolders are Daybook's own: to export the folder that they lie in is not to export them.
func ownFolders(c *config.Config) []string {
	var own []string
	if !isS3(c.Store.URL) {
		own = append(own, folderOf(c.Store.URL))
	}
	if data, err := dataFolder(c); err == nil { // its error is told where it is needed
		own = append(own, data)
	}
	return own
}
