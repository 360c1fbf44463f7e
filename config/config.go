// Package config is Daybook's configuration file: the structs below are its reference.
//
// It guarantees that a configuration it hands out is whole and consistent: every key that the file does not write has the default that stands
// in the struct's tag (or, for the ages of a retention policy, in its preset), no key that the file writes was ignored, and every value is in its range. It reports all faults of a file at once, each with
// its line, its column and a way out. From the same structs come the JSON Schema (Schema) and docs/CONFIG.md (Reference), so that neither can
// say anything else.
//
// It reads the file and nothing more: whether a folder can be written, a bucket is locked or a key can be read shows at its first use. Secrets are never in the
// file; the file names the environment variable or the file that holds one, and Store.Credentials reads it. Config holds none, and may be printed.
//
// The file is YAML without anchors, aliases, merge keys and tags: what stands in it is what is meant.
//
// A field's tags are: yaml, its key; default, its default as it would stand in the file; doc, what it is for; flag, the command's flag that sets it too;
// enum, the values it takes; min and max, its range; required, that it must be written; form, a text's form (name, path, glob, ascii or regexp).
package config

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"reflect"
)

// Config is the whole file.
type Config struct {
	Trails []Trail `yaml:"trails" default:"[{name: audit}]" doc:"The audit trails that this installation keeps. An event goes to every trail that covers its org and project; one that no trail covers is counted as not tracked."`

	Source         string   `yaml:"source" flag:"source" form:"name" doc:"The name of the feed that events are imported from; it is part of an event's identity. Empty: the decoder's name."`
	From           string   `yaml:"from" flag:"from" default:"auto" enum:"auto,jsonl,cloudtrail" doc:"The format of the input. auto tells by its content."`
	Data           string   `yaml:"data" flag:"data" form:"path" doc:"The data folder: ledger, journal, spool, quarantine. Empty: a folder per destination under the user's state directory."`
	Key            string   `yaml:"key" flag:"key" form:"path" doc:"The file that holds the signing key; it is made on first use. Empty: one key per installation, in the user's configuration directory."`
	Signing        string   `yaml:"signing" default:"ed25519" enum:"ed25519,none" doc:"How seals are signed. none leaves them unsigned and without a log: then nobody can tell who made them, and verify says so in its first line."`
	Origin         string   `yaml:"origin" doc:"The name of the store's log in its checkpoints, e.g. audit.example.org/prod: what witnesses know it by. It is fixed when the log begins. Empty: a name is made up then."`
	CloseAfter     Duration `yaml:"close_after" default:"1h" doc:"How long after its midnight (UTC) a day is closed. What arrives later goes into an addendum."`
	MaxWait        Duration `yaml:"max_wait" default:"6h" min:"0s" max:"30d" doc:"serve: how long a closed day waits for a source that is silent or behind. Then it is sealed with the gap declared, and what comes later goes into an addendum."`
	PlausibleAfter Date     `yaml:"plausible_after" default:"2000-01-01" doc:"An event dated before this day is filed under the day on which it was received, and flagged time_suspect."`
	AsOf           Time     `yaml:"as_of" flag:"as-of" doc:"The time that stands in for now where the command asks which days are closed, and for the receipt time of imported files: a day, or an RFC 3339 time. Empty: now."`
	IncludeOpen    bool     `yaml:"include_open" flag:"include-open" default:"false" doc:"Seal days that are not closed yet, too."`

	Spool      Spool      `yaml:"spool" doc:"Events that are not sealed yet, on local disk."`
	Part       Part       `yaml:"part" doc:"Where a day's files are cut into parts, all formats at the same event: at whichever comes first."`
	Limits     Limits     `yaml:"limits" doc:"What input may cost."`
	Quarantine Quarantine `yaml:"quarantine" doc:"Records that could not be read, as they came."`
	Redact     Redact     `yaml:"redact" doc:"What is redacted beside the built-in rules, before anything is written."`
	Store      Store      `yaml:"store" doc:"Where sealed files go."`
	Formats    Formats    `yaml:"formats" doc:"How each format is written."`
	Reading    Reading    `yaml:"reading" doc:"For those who read what was sealed: daybook ls, get, link and thaw."`
	Service    Service    `yaml:"service" doc:"The standing service: daybook serve."`
	Anchors    []Anchor   `yaml:"anchors" default:"[]" doc:"Places beside the store to which each checkpoint of its log goes, so that nobody can cut off the log's end, or rewrite it, unnoticed. Each names one of store, syslog, timestamp and witness."`
}

// Anchor is a place beside the store to which each checkpoint goes.
type Anchor struct {
	Name string `yaml:"name" required:"true" form:"name" doc:"The anchor's name: any text, unique. verify and status call it so."`

	Store  string   `yaml:"store" form:"url" doc:"Another store: a folder, file:///folder, or s3://bucket/prefix. It is for others to keep: best in another account. The credential must be able to list, read and put there."`
	Mode   string   `yaml:"mode" enum:"compliance,governance,none" doc:"store: the Object Lock mode of the copies. S3: must be written."`
	Retain Duration `yaml:"retain" min:"1s" max:"100y" doc:"store: how long the copies stay locked. S3: must be written (unless mode is none)."`

	Endpoint  string `yaml:"endpoint" doc:"store: the S3 server. Empty: AWS, or what the AWS environment says."`
	Region    string `yaml:"region" form:"ascii" doc:"store: the bucket's region."`
	PathStyle bool   `yaml:"path_style" default:"false" doc:"store: put the bucket in the path instead of the host name."`
	Profile   string `yaml:"profile" form:"name" doc:"store: the profile of the shared AWS configuration and credentials, so that this anchor has credentials of its own."`

	Syslog string `yaml:"syslog" doc:"A syslog collector, which gets a line with the checkpoint: udp://, tcp:// or tls://host:port, or unix:///dev/log."`

	Timestamp string `yaml:"timestamp" doc:"An RFC 3161 time-stamping authority: http:// or https://. Its token is kept in the store."`

	Witness string `yaml:"witness" doc:"A C2SP tlog-witness, such as another team's daybook witness serve: http:// or https://. Its cosignature is kept in the store."`
	Key     string `yaml:"key" doc:"witness: its verifier key, name+hash+key, as daybook witness serve prints it."`

	CAFile string `yaml:"ca_file" form:"path" doc:"A PEM file of certificate authorities: for timestamp those that vouch for its tokens, else those that vouch for the server, beside the system's."`
}

// AllOrgs is the org of a trail that takes the events of every org.
const AllOrgs = "*"

// defaultOrg is the org of events that name none where no trail says another.
const defaultOrg = "default"

// OwnOrg is the org of events whose source names none: that of the first trail.
func (c *Config) OwnOrg() string {
	if len(c.Trails) == 0 || c.Trails[0].Org == AllOrgs {
		return defaultOrg
	}
	return c.Trails[0].Org
}

// Trail is a named audit log of one org, or of all of them.
type Trail struct {
	Name     string   `yaml:"name" flag:"trail" required:"true" form:"name" doc:"The trail's name: any text, unique. It stands in file names, where other characters than letters, digits, '.', '_' and '-' are percent-encoded."`
	Org      string   `yaml:"org" flag:"org" default:"'*'" form:"name" doc:"The org whose events it holds; * is all of them. daybook serve keeps a trail for one org alone, which is to be written here, or named when the trail is enabled. The first trail's is the org of events whose source names none; with * that is default."`
	Projects []string `yaml:"projects" default:"[]" form:"name" doc:"The ids of the projects it covers. Empty: every project of the org."`
	Formats  []string `yaml:"formats" default:"[jsonl, csv, parquet, cef, syslog]" enum:"jsonl,csv,parquet,cef,syslog" doc:"The formats it is written in. jsonl is the evidence, and is written whether it is listed or not."`
	Split    string   `yaml:"split" default:"org" enum:"org,project" doc:"project writes CSV, CEF and syslog per project. Parquet and jsonl stay one set per class and day."`
	MaxSplit int      `yaml:"max_split" default:"10000" min:"1" max:"10000" doc:"How many projects of a day get files of their own under split: project; the rest share one set."`
}

// Spool is about events that are not sealed yet.
type Spool struct {
	Keep         Duration `yaml:"keep" default:"7d" doc:"How long events stay in the spool once they are sealed."`
	DedupeWindow Duration `yaml:"dedupe_window" default:"30d" doc:"How long the ids of sealed events are kept, so that one delivered again is recognised."`
	Memory       Size     `yaml:"memory" default:"64MiB" min:"8MiB" max:"16GiB" doc:"Memory for sorting and for the spool's tables."`
	MinFree      Size     `yaml:"min_free" default:"256MiB" min:"1MiB" max:"1024GiB" doc:"How much of the disk must be free for events to be taken in."`
}

// Part is where files are cut.
type Part struct {
	Rows  int64 `yaml:"rows" default:"1000000" min:"1" max:"1000000000" doc:"Rows of a part. A spreadsheet opens 1048576, the header among them."`
	Bytes Size  `yaml:"bytes" default:"1GiB" min:"1MiB" max:"4GiB" doc:"Evidence of a part, uncompressed. A file is put in one request, which S3 takes up to 5 GiB."`
}

// Limits is what input may cost.
type Limits struct {
	Record Size `yaml:"record" default:"16MiB" min:"1KiB" max:"256MiB" doc:"A longer record is quarantined."`
	Ratio  int  `yaml:"ratio" default:"250" min:"2" max:"100000" doc:"Compressed input that grows by more than this is refused."`
}

// Quarantine is about records that could not be read.
type Quarantine struct {
	Keep Duration `yaml:"keep" default:"30d" min:"1m" doc:"How long they are kept, at least: they are removed within two hours of that. It is the one place where a record lies as it came, secrets and all."`
}

// Redact is added to the built-in rules.
type Redact struct {
	Keys      []string `yaml:"keys" default:"[]" form:"name" doc:"Names of keys whose values are redacted, wherever they stand in info, changes and raw."`
	AllowKeys []string `yaml:"allow_keys" default:"[]" form:"name" doc:"Names of keys that the built-in rules redact and that are to be kept."`
	Patterns  []string `yaml:"patterns" default:"[]" form:"regexp" doc:"Regular expressions (RE2): a value that one matches is redacted."`
}

// Store is where sealed files go. There is one, and only this file and the command line name it: no API does.
type Store struct {
	URL       string `yaml:"url" flag:"to" default:"./audit" form:"url" doc:"A folder, file:///folder, or s3://bucket/prefix."`
	Endpoint  string `yaml:"endpoint" doc:"S3: the server, e.g. https://minio.example.org:9000. Empty: AWS, or what the AWS environment says."`
	Region    string `yaml:"region" form:"ascii" doc:"S3: the bucket's region. Empty: what the AWS environment or the server says."`
	PathStyle bool   `yaml:"path_style" default:"false" doc:"S3: put the bucket in the path instead of the host name. Most servers but AWS need it."`
	CAFile    string `yaml:"ca_file" form:"path" doc:"S3: a PEM file of the certificate authorities that vouch for the server, beside the system's."`
	Profile   string `yaml:"profile" form:"name" doc:"S3: the profile of the shared AWS configuration and credentials. Empty: AWS_PROFILE, or default."`

	AccessKeyEnv     string `yaml:"access_key_env" form:"env" doc:"S3: the environment variable that holds the access key id. Without any of these six, credentials come from the AWS chain: environment, shared files, instance."`
	AccessKeyFile    string `yaml:"access_key_file" form:"path" doc:"S3: the file that holds the access key id."`
	SecretKeyEnv     string `yaml:"secret_key_env" form:"env" doc:"S3: the environment variable that holds the secret access key."`
	SecretKeyFile    string `yaml:"secret_key_file" form:"path" doc:"S3: the file that holds the secret access key."`
	SessionTokenEnv  string `yaml:"session_token_env" form:"env" doc:"S3: the environment variable that holds the session token, where there is one."`
	SessionTokenFile string `yaml:"session_token_file" form:"path" doc:"S3: the file that holds the session token, where there is one."`

	Encryption string `yaml:"encryption" enum:"none,sse-s3,sse-kms" doc:"S3: what the server is asked to encrypt files with: keys of its own (sse-s3) or a key management service's (sse-kms). Each file is read back, and one that the server left in the clear ends the run. none, or empty: nothing is asked, and the bucket's default applies."`
	KMSKeyID   string `yaml:"kms_key_id" form:"ascii" doc:"S3: the key of sse-kms, as the server names it. Empty: the server's default key."`

	Mode              string            `yaml:"mode" enum:"compliance,governance,none" doc:"The Object Lock mode of files, where their policy has none of its own. S3: must be written, there is no default. Nobody can lift or shorten a compliance lock before it ends, not even the account's root. A folder has no locks: none, or left out."`
	RetentionPolicies []RetentionPolicy `yaml:"retention_policies" default:"[{class: standard, default: true}]" doc:"How long what is kept, and where: a policy for each retention class. An event belongs to the first whose patterns match its type or action. A class has files of its own. Ages are counted from the time of the seal."`
	Tiers             []Tier            `yaml:"tiers" default:"[]" doc:"The buckets behind tiers of MinIO that policies move files to: daybook bucket plan tries on each whether it holds them for as long as they are locked."`
}

// Tier is the bucket behind a tier of MinIO.
type Tier struct {
	Name      string `yaml:"name" required:"true" form:"ascii" doc:"The tier's name, as warm_storage or cold_storage has it."`
	URL       string `yaml:"url" required:"true" form:"url" doc:"Its bucket: s3://bucket or s3://bucket/prefix."`
	Endpoint  string `yaml:"endpoint" doc:"The S3 server that has it. Empty: AWS, or what the AWS environment says."`
	Region    string `yaml:"region" form:"ascii" doc:"The bucket's region."`
	PathStyle bool   `yaml:"path_style" default:"false" doc:"Put the bucket in the path instead of the host name."`
	CAFile    string `yaml:"ca_file" form:"path" doc:"A PEM file of the certificate authorities that vouch for the server, beside the system's."`
	Profile   string `yaml:"profile" form:"name" doc:"The profile of the shared AWS configuration and credentials, which may read how the bucket is set up, and put and read objects below doctor/."`
}

// Reading is whether what is read is recorded, and by which service.
type Reading struct {
	Record    bool   `yaml:"record" flag:"record" default:"false" doc:"Have the service record in the trail, as an event, what is read and by whom, before it is. Where it can't be recorded nothing is read."`
	Server    string `yaml:"server" flag:"server" doc:"The service that records, e.g. https://audit.example.org:8470. Empty: the one at work with the data folder on this machine."`
	CAFile    string `yaml:"ca_file" flag:"server-ca" form:"path" doc:"A PEM file of the certificate authorities that vouch for the service, beside the system's."`
	TokenFile string `yaml:"token_file" flag:"token-file" form:"path" doc:"The file that holds the token of who reads; a viewer's will do. Empty: the variable DAYBOOK_TOKEN, which goes before it."`
}

// Formats is how each format is written.
type Formats struct {
	CSV     CSV     `yaml:"csv" doc:"For the analyst."`
	CEF     CEF     `yaml:"cef" doc:"For the SIEM."`
	Syslog  Syslog  `yaml:"syslog" doc:"For the SIEM, RFC 5424."`
	JSONL   JSONL   `yaml:"jsonl" doc:"The evidence; always zstd."`
	Parquet Parquet `yaml:"parquet" doc:"For the data team; always zstd, inside."`
}

// CSV is how CSV is written.
type CSV struct {
	Compression     string `yaml:"compression" default:"gzip" enum:"gzip,zstd,none" doc:"The file's compression."`
	Level           int    `yaml:"level" default:"2" min:"1" max:"22" doc:"gzip: 1 to 9. zstd: 1 to 22. none: not used."`
	SpreadsheetSafe bool   `yaml:"spreadsheet_safe" default:"true" doc:"Put a ' before a cell that a spreadsheet would take for a formula. The manifest counts such cells."`
}

// CEF is how CEF is written.
type CEF struct {
	Compression string `yaml:"compression" default:"gzip" enum:"gzip,zstd,none" doc:"The file's compression."`
	Level       int    `yaml:"level" default:"2" min:"1" max:"22" doc:"gzip: 1 to 9. zstd: 1 to 22. none: not used."`
	Vendor      string `yaml:"vendor" default:"Daybook" form:"name" max:"63" doc:"Device Vendor of the header, at most 63 bytes."`
	Product     string `yaml:"product" default:"Daybook" form:"name" max:"63" doc:"Device Product of the header, at most 63 bytes."`
	InfoLimit   int    `yaml:"info_limit" default:"4000" min:"1" max:"4000" doc:"Bytes after which info is cut. CEF allows a custom string 4000."`
}

// Syslog is how syslog is written.
type Syslog struct {
	Compression string `yaml:"compression" default:"gzip" enum:"gzip,zstd,none" doc:"The file's compression."`
	Level       int    `yaml:"level" default:"2" min:"1" max:"22" doc:"gzip: 1 to 9. zstd: 1 to 22. none: not used."`
	Facility    int    `yaml:"facility" default:"13" min:"1" max:"23" doc:"The facility. 13 is audit; 16 to 23 are local0 to local7, which every collector knows."`
	Enterprise  uint32 `yaml:"enterprise" default:"32473" min:"1" doc:"Your IANA private enterprise number, which names our structured data. 32473 is for documentation only."`
	AppName     string `yaml:"app_name" default:"daybook" form:"ascii" max:"48" doc:"APP-NAME: 1 to 48 printable ASCII characters without spaces."`
	Hostname    string `yaml:"hostname" default:"'-'" form:"ascii" max:"255" doc:"HOSTNAME: 1 to 255 printable ASCII characters without spaces; - says none. It is fixed, so that equal events give equal files on every machine."`
	InfoLimit   int    `yaml:"info_limit" default:"4096" min:"0" max:"61440" doc:"Bytes after which info is cut; 0 does not cut. The default keeps a line below 8 KiB."`
}

// JSONL is how the evidence is written.
type JSONL struct {
	Level int `yaml:"level" default:"1" min:"1" max:"22" doc:"The zstd level."`
}

// Parquet is how Parquet is written.
type Parquet struct {
	Level        int `yaml:"level" default:"1" min:"1" max:"22" doc:"The zstd level."`
	RowGroupRows int `yaml:"row_group_rows" default:"131072" min:"131072" max:"1048576" doc:"Rows of a row group. Smaller groups slow readers down, larger ones cost memory."`
}

//go:embed sample.yaml
var sample []byte

// Sample returns the commented sample that `daybook init` writes. It loads as it stands, and means what Default means.
func Sample() []byte { return append([]byte(nil), sample...) }

// Default returns what runs without a file.
func Default() *Config {
	c := new(Config)
	fillDefaults(reflect.ValueOf(c).Elem())
	return c
}

// fileLimit is the longest file that is read: ten thousand projects take a fifth of it.
const fileLimit = 1 << 20

// Load reads the file at path. Where its content is at fault the error is a *Faults.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close() // only read: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads data, which came from the file called name. Where it is at fault the error is a *Faults.
//
// A file may leave store.url to the command line (--to). What depends on it is then checked by Validate alone, which is to be called once flags were laid over.
func Parse(name string, data []byte) (*Config, error) {
	c := Default()
	d := decoder{at: map[string]position{}}
	d.document(data, reflect.ValueOf(c).Elem())
	fillPresets(c.Store.RetentionPolicies, d.wrote)
	v := validator{faults: d.faults, spoilt: d.spoilt, urlPending: !d.wrote("store.url")}
	v.config(c)
	if len(v.faults) == 0 {
		return c, nil
	}
	for i := range v.faults {
		d.locate(name, &v.faults[i])
	}
	return nil, newFaults(v.faults)
}
