package config_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/config"
)

// badFiles are files and all that is wrong with them.
var badFiles = []struct {
	name, text string
	want       []string
}{
	{"not YAML", "a: [1\n", []string{"f.yaml:1:4: not YAML: sequence end token ']' not found"}},
	{"not YAML, further down", "source: x\nspool:\n  keep: 1d\n   memory: 1GiB\n", []string{"f.yaml:3:9: not YAML: mapping value is not allowed in this context"}},
	{"not text", "source: \"\xff\"\n", []string{"f.yaml:1:10: not UTF-8 text"}},
	{"NUL", "source: x\n# \x00\n", []string{"f.yaml:2:3: not UTF-8 text"}},
	{"not a mapping", "- a\n- b\n", []string{"f.yaml:1:1: is a list: must be keys with values"}},
	{"a text", "hello\n", []string{"f.yaml:1:1: is a text: must be keys with values"}},
	{"two documents", "source: a\n---\nsource: b\n", []string{"f.yaml:3:1: a second document: a configuration is one"}},
	{"too long", "#" + strings.Repeat("x", 1<<20), []string{"f.yaml:1:1: longer than 1MiB, the most that a configuration may have"}},

	{"unknown keys", "sauce: a\nspool:\n  keeep: 1d\n  dedupe-window: 1d\n  retain: 1d\n  rows: 1\n  frobnicate: 1\nCloseAfter: 1h\n", []string{
		"f.yaml:1:1: sauce: unknown key",
		"f.yaml:3:3: spool.keeep: unknown key",
		"f.yaml:4:3: spool.dedupe-window: unknown key",
		"f.yaml:5:3: spool.retain: unknown key in this place",
		"f.yaml:6:3: spool.rows: unknown key in this place",
		"f.yaml:7:3: spool.frobnicate: unknown key",
		"f.yaml:8:1: CloseAfter: unknown key",
	}},
	{"written twice", "source: a\npart: {rows: 1, rows: 2}\nsource: b\n", []string{
		"f.yaml:2:17: part.rows: written twice, first in line 2",
		"f.yaml:3:1: source: written twice, first in line 1",
	}},
	{"keys that are no texts", "1: a\n? b\n: c\ntrue: d\n", []string{
		"f.yaml:1:1: 1: unknown key", "f.yaml:2:1: b: unknown key", "f.yaml:4:1: true: unknown key",
	}},
	{"anchors, aliases, merges, tags", "source: &a x\nfrom: *a\ndata: !!str 12\nspool: &s {keep: 1d}\npart:\n  <<: *s\n", []string{
		"f.yaml:1:9: source: anchors, aliases and tags are not read",
		"f.yaml:2:7: from: anchors, aliases and tags are not read",
		"f.yaml:3:7: data: anchors, aliases and tags are not read",
		"f.yaml:4:1: spool: anchors, aliases and tags are not read",
		"f.yaml:6:3: part.<<: merge keys are not read",
	}},
	{"anchors", `
signing: none
origin: https://log example
store: {url: /srv/audit}
anchors:
  - {name: a, store: /srv/audit}
  - {name: a, syslog: "siem:514"}
  - {name: b, syslog: "tcp://siem"}
  - {name: c, witness: https://w.example.org}
  - {name: d, timestamp: https://tsa.example.org, key: x, profile: y}
  - {name: e}
  - {name: f, syslog: "udp://s:1", witness: https://w}
  - {name: g, store: s3://anchors/x}
  - {name: h, store: /mnt/x, mode: compliance}
  - {name: i, store: ftp://x}
  - {name: j, witness: https://w.example.org, key: w.example.org+b80c4e72+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g}
  - {name: k, witness: https://w.example.org, key: w.example.org+d29105cc+AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g}
  - {name: l, witness: https://w.example.com, key: w.example.com+b80c4e72+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g}
  - {name: m, witness: https://w.example.org, key: w.example.org+b80c4e72+BAECAwQF}
  - {name: n, witness: "http://w", ca_file: x, key: w.example.org+b80c4e72+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g}
  - {name: o, syslog: "tcp://siem:601", ca_file: x}
  - {name: p, syslog: "tls://siem:6514", ca_file: x}
`, []string{
		"f.yaml:3:9: origin: has no effect: an unsigned store has no log",
		`f.yaml:3:9: origin: "https://log example" is not the name of a log`,
		`f.yaml:3:9: origin: "https://log example": the name of a log has no scheme`,
		"f.yaml:6:3: anchors: an unsigned store has no log, and so no checkpoint to anchor",
		"f.yaml:6:22: anchors[0].store: is the store itself, which then vouches for itself",
		`f.yaml:7:12: anchors[1].name: "a" is the name of anchors[0], too`,
		`f.yaml:7:23: anchors[1].syslog: "siem:514": must begin with udp://, tcp://, tls://, unix://`,
		`f.yaml:8:23: anchors[2].syslog: "tcp://siem" names no port`,
		"f.yaml:9:5: anchors[3].key: must be written for a witness: without it anybody could answer",
		"f.yaml:10:56: anchors[4].key: has no effect: the anchor is a timestamp",
		"f.yaml:10:68: anchors[4].profile: has no effect: the anchor is a timestamp",
		"f.yaml:11:5: anchors[5]: names 0 places",
		"f.yaml:12:5: anchors[6]: names 2 places",
		"f.yaml:13:5: anchors[7].mode: must be written for an S3 store: there is no default",
		"f.yaml:14:36: anchors[8].mode: a folder cannot lock files: compliance is not to be had",
		"f.yaml:15:22: anchors[9].store: ftp:// is not a store",
		`f.yaml:17:52: anchors[11].key: "w.example.org+d29105cc+AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaG" is not a witness's verifier key: NAME+8 hex digits+base64 that begins with B, copied whole`,
		`f.yaml:18:52: anchors[12].key: "w.example.com+b80c4e72+BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaG" is not a witness's verifier key: NAME+8 hex digits+base64 that begins with B, copied whole`,
		`f.yaml:19:52: anchors[13].key: "w.example.org+b80c4e72+BAECAwQF" is not a witness's verifier key: NAME+8 hex digits+base64 that begins with B, copied whole`,
		"f.yaml:20:45: anchors[14].ca_file: has no effect: http:// asks for no certificate",
		"f.yaml:21:50: anchors[15].ca_file: has no effect: tcp:// asks for no certificate",
	}},
	{"service", `
store: {url: /srv/audit}
service:
  listen: 0.0.0.0:8470
  cert_file: /etc/tls.crt
  time_zone: Mars/Olympus
  senders:
    - {certificate: a.example.org, org: acme, source: api}
    - {certificate: a.example.org, org: other, source: api}
    - {certificate: b.example.org, org: acme, source: trail}
    - {certificate: c.example.org, org: acme, source: api}
  admins:
    - {certificate: a.example.org, name: alice}
  drop:
    - {path: /in, org: acme, source: daybook}
    - {path: /in/, org: other, source: batch}
    - {path: "", org: other, source: files}
    - {path: /in2, org: other, source: batch}
  follow:
    - {url: "s3://B", org: acme, source: trail}
    - {url: /trail, org: acme, source: route, region: x, path_style: true}
    - {url: /trail, org: acme, source: paths, from: csv}
`, []string{
		"f.yaml:5:14: service.cert_file: a certificate needs its key, and a key its certificate",
		`f.yaml:6:14: service.time_zone: "Mars/Olympus" is no time zone`,
		"f.yaml:8:5: service.senders: nobody vouches for these certificates",
		`f.yaml:9:21: service.senders[1].certificate: "a.example.org" is named by service.senders[0], too`,
		"f.yaml:13:5: service.admins: nobody vouches for these certificates",
		`f.yaml:13:21: service.admins[0].certificate: "a.example.org" is named by service.senders[0], too`,
		`f.yaml:15:38: service.drop[0].source: "daybook" is the source of Daybook's own events`,
		"f.yaml:16:14: service.drop[1].path: the same folder as service.drop[0]",
		"f.yaml:17:14: service.drop[2].path: must be written",
		`f.yaml:18:40: service.drop[3].source: "batch" is the source of service.drop[1], too`,
		`f.yaml:20:13: service.follow[0].url: "B" is not the name of a bucket`,
		"f.yaml:21:55: service.follow[1].region: has no effect: /trail is a folder",
		"f.yaml:21:70: service.follow[1].path_style: has no effect: /trail is a folder",
		"f.yaml:22:13: service.follow[2].url: the same place as service.follow[1]",
		`f.yaml:22:53: service.follow[2].from: "csv" is not known`,
	}},
	{"service in plain text", "service: {listen: \"0.0.0.0:80\", client_ca_file: /ca}\n", []string{
		`f.yaml:1:19: service.listen: "0.0.0.0:80" serves other machines, and there is no certificate: tokens could be read on the way`,
		"f.yaml:1:49: service.client_ca_file: certificates of clients need TLS",
	}},
	{"service, more", "service: {listen: \"8470\", plain_http: true, schedule: \"* *\", verify: \"0 0 30 2 *\"}\n", []string{
		`f.yaml:1:19: service.listen: "8470" is no address with a port`,
		`f.yaml:1:55: service.schedule: "* *" is no schedule`,
		`f.yaml:1:70: service.verify: "0 0 30 2 *" is no schedule`,
	}},
	{"wrong types", `
trails: {name: a}
source: [x]
include_open: "true"
close_after: 3600
plausible_after: yesterday
as_of: noon
spool: 1d
part: {rows: "10", bytes: 1GB}
limits: {record: [], ratio: 2.5}
redact: {keys: password, patterns: 'a+'}
formats: {csv: {level: 0x2}, cef: {level: 010}, syslog: {enterprise: 4294967296, facility: 1_0}}
`, []string{
		"f.yaml:2:9: trails: is a section: must be a list",
		"f.yaml:3:9: source: is a list: must be a text",
		"f.yaml:4:15: include_open: is a text: must be true or false",
		`f.yaml:5:14: close_after: "3600" has no unit: write e.g. 3600s, 3600h or 3600d`,
		`f.yaml:6:18: plausible_after: "yesterday" is not a day: write it as 2026-03-10`,
		`f.yaml:7:8: as_of: "noon" is not a time: write a day as 2026-03-10, or a time with its zone as 2026-03-10T08:00:00Z`,
		"f.yaml:8:8: spool: is a text: must be keys with values",
		"f.yaml:9:14: part.rows: is a text: must be a whole number",
		`f.yaml:9:27: part.bytes: "1GB" is not a size: write bytes, or KiB, MiB or GiB, e.g. 64MiB`,
		"f.yaml:10:18: limits.record: is a list: must be a size",
		"f.yaml:10:29: limits.ratio: is a number: must be a whole number",
		"f.yaml:11:16: redact.keys: is a text: must be a list",
		"f.yaml:11:36: redact.patterns: is a text: must be a list",
		"f.yaml:12:24: formats.csv.level: 0x2 is not a decimal whole number",
		"f.yaml:12:43: formats.cef.level: 010 is not a decimal whole number",
		"f.yaml:12:70: formats.syslog.enterprise: 4294967296 is out of range",
		"f.yaml:12:92: formats.syslog.facility: 1_0 is not a decimal whole number",
	}},
	{"no values", "source:\ntrails:\nspool: {keep: ~}\nredact: {keys: [null, \"\"]}\nstore:\n  retention_policies:\n    -\n", []string{
		"f.yaml:1:1: source: has no value",
		"f.yaml:2:1: trails: has no value",
		"f.yaml:3:9: spool.keep: has no value",
		"f.yaml:4:17: redact.keys[0]: has no value",
		"f.yaml:4:23: redact.keys[1]: is empty",
		"f.yaml:7:7: store.retention_policies[0]: has no value",
	}},
	{"out of range", `
part: {rows: 0, bytes: 5GiB}
limits: {record: 1, ratio: 1}
spool: {memory: 1MiB, keep: -1h}
quarantine: {keep: 0s}
trails: [{name: a, max_split: 10001}]
formats:
  csv: {level: 10}
  cef: {compression: zstd, level: 23, info_limit: 0, vendor: "", product: ` + strings.Repeat("p", 64) + `}
  syslog: {facility: 24, enterprise: 0, app_name: a b, hostname: ` + "hösť" + `, info_limit: -1, compression: lz4}
  jsonl: {level: 0}
  parquet: {row_group_rows: 1000}
`, []string{
		"f.yaml:2:14: part.rows: 0 is less than 1",
		"f.yaml:2:24: part.bytes: 5GiB is more than 4GiB",
		"f.yaml:3:18: limits.record: 1 is less than 1KiB",
		"f.yaml:3:28: limits.ratio: 1 is less than 2",
		"f.yaml:4:17: spool.memory: 1MiB is less than 8MiB",
		`f.yaml:4:29: spool.keep: "-1h" is negative: a length of time is not`,
		"f.yaml:5:20: quarantine.keep: 0s is less than 1m",
		"f.yaml:6:31: trails[0].max_split: 10001 is more than 10000",
		"f.yaml:8:16: formats.csv.level: 10 is more than gzip's 9",
		"f.yaml:9:35: formats.cef.level: 23 is more than 22",
		"f.yaml:9:51: formats.cef.info_limit: 0 is less than 1",
		"f.yaml:9:62: formats.cef.vendor: is empty",
		"f.yaml:9:75: formats.cef.product: has 64 bytes: at most 63",
		"f.yaml:10:22: formats.syslog.facility: 24 is more than 23",
		"f.yaml:10:38: formats.syslog.enterprise: 0 is less than 1",
		`f.yaml:10:51: formats.syslog.app_name: "a b" has other characters than printable ASCII, or a space`,
		`f.yaml:10:66: formats.syslog.hostname: "hösť" has other characters than printable ASCII, or a space`,
		"f.yaml:10:84: formats.syslog.info_limit: -1 is less than 0",
		`f.yaml:10:101: formats.syslog.compression: "lz4" is not known`,
		"f.yaml:11:18: formats.jsonl.level: 0 is less than 1",
		"f.yaml:12:29: formats.parquet.row_group_rows: 1000 is less than 131072",
	}},
	{"trails", `
trails:
  - nmae: a
  - org: b
  - {name: c, formats: [csv, xls, csv], projects: [p, q, p], split: both}
  - {name: c, projects: [" x"]}
  - {name: "a\tb", org: ""}
  - just text
`, []string{
		"f.yaml:3:5: trails[0].nmae: unknown key",
		"f.yaml:4:5: trails[1].name: must be written",
		`f.yaml:5:30: trails[2].formats[1]: "xls" is not known`,
		"f.yaml:5:35: trails[2].formats[2]: the same as trails[2].formats[0]",
		"f.yaml:5:58: trails[2].projects[2]: the same as trails[2].projects[0]",
		`f.yaml:5:69: trails[2].split: "both" is not known`,
		`f.yaml:6:12: trails[3].name: "c" is the name of trails[2], too`,
		`f.yaml:6:26: trails[3].projects[0]: " x" begins or ends with a space`,
		"f.yaml:7:12: trails[4].name: holds a control character, or bytes that are not UTF-8",
		"f.yaml:7:25: trails[4].org: is empty",
		"f.yaml:8:5: trails[5]: is a text: must be keys with values",
	}},
	{"no trails, no policies", "trails: []\nstore: {retention_policies: []}\n", []string{"f.yaml:1:9: trails: is empty", "f.yaml:2:29: store.retention_policies: is empty"}},
	{"redaction", "redact:\n  keys: [pin, tan]\n  allow_keys: [pin]\n  patterns: ['(', 'x*', 'a(?=b)']\n", []string{
		`f.yaml:3:16: redact.allow_keys[0]: "pin" is in redact.keys, too`,
		"f.yaml:4:14: redact.patterns[0]: not a regular expression: error parsing regexp: missing closing ): `(`",
		"f.yaml:4:19: redact.patterns[1]: matches an empty text, and so every value",
		"f.yaml:4:25: redact.patterns[2]: not a regular expression: error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
	}},

	{"S3 without mode and period", "store:\n  url: s3://bucket/p\n", []string{
		"f.yaml:1:1: store.mode: must be written for an S3 store: there is no default",
		"f.yaml:1:1: store.retention_policies[0].hot_days: an age must be written for an S3 store: there is no default",
	}},
	{"S3 with one period of two", "store:\n  url: s3://bucket/p\n  mode: compliance\n  retention_policies:\n    - {class: a, event_types: [x], hot_days: 1}\n    - {class: b, default: true}\n", []string{
		"f.yaml:6:7: store.retention_policies[1].hot_days: an age must be written for an S3 store: there is no default",
	}},
	{"a folder that locks", "store: {url: ./x, mode: governance}\n", []string{"f.yaml:1:25: store.mode: a folder cannot lock files: governance is not to be had"}},
	{"mode", "store: {url: s3://bucket, mode: COMPLIANCE, retention_policies: [{class: a, default: true, cold_years: 101}]}\n", []string{
		`f.yaml:1:33: store.mode: "COMPLIANCE" is not known`,
		"f.yaml:1:104: store.retention_policies[0].cold_years: 101 is more than 100",
	}},
	{"modes of policies", "store:\n  url: s3://bucket\n  mode: none\n  retention_policies:\n    - {class: a, default: true, mode: governance}\n    - {class: b, event_types: [x], mode: none}\n", []string{
		"f.yaml:5:39: store.retention_policies[0].mode: store.mode is none: no file is locked",
		`f.yaml:6:42: store.retention_policies[1].mode: "none" is not known`,
		"f.yaml:6:42: store.retention_policies[1].mode: store.mode is none: no file is locked",
	}},
	{"a policy that locks a folder", "store: {url: ./x, retention_policies: [{class: a, default: true, mode: compliance, hot_days: 1}]}\n", []string{
		"f.yaml:1:72: store.retention_policies[0].mode: a folder cannot lock files: compliance is not to be had",
	}},
	{"policies", "store:\n  retention_policies:\n    - {class: a, event_types: ['[ab]*', 'x\\y', '']}\n    - {class: a, event_types: []}\n    - {class: b}\n", []string{
		"f.yaml:3:5: store.retention_policies: an event that no policy matches would have no place",
		`f.yaml:3:32: store.retention_policies[0].event_types[0]: "[ab]*" has a bracket or a backslash, which are no wildcards`,
		`f.yaml:3:41: store.retention_policies[0].event_types[1]: "x\\y" has a bracket or a backslash, which are no wildcards`,
		"f.yaml:3:48: store.retention_policies[0].event_types[2]: is empty",
		`f.yaml:4:15: store.retention_policies[1].class: "a" is the class of store.retention_policies[0], too`,
		"f.yaml:4:31: store.retention_policies[1].event_types: must be written: nothing else belongs to this class",
		"f.yaml:5:7: store.retention_policies[2].event_types: must be written: nothing else belongs to this class",
	}},
	{"two defaults", "store: {retention_policies: [{class: a, default: true}, {default: true}]}\n", []string{
		"f.yaml:1:57: store.retention_policies[1].class: must be written",
		"f.yaml:1:67: store.retention_policies[1].default: store.retention_policies[0] is the default already",
	}},
	{"ages", `
store:
  retention_policies:
    - {class: sums, default: true, hot_days: 90, warm_days: 90, cold_years: 1}
    - {class: short, event_types: [a], warm_days: 365, cold_years: 1}
    - {class: tiers, event_types: [b], hot_days: 1, warm_storage: W, cold_storage: C}
    - {class: one, event_types: [c], hot_days: 1, warm_days: 2, cold_years: 1, warm_storage: W, cold_storage: W}
    - {class: try, event_types: [d], hot_days: 1, retain: 1h}
    - {class: day, event_types: [e], retain: 1d}
    - {class: record, event_types: [f], preset: gxp}
    - {class: both, event_types: [g], preset: pci, retain: 1h}
    - {class: laid, event_types: [h], preset: pci, hot_days: 400}
    - {class: less, event_types: [i], hot_days: -1}
`, []string{
		"f.yaml:4:61: store.retention_policies[0].warm_days: 90 is not after hot_days, 90",
		"f.yaml:5:68: store.retention_policies[1].cold_years: 1 is not after day 365, where it would begin",
		"f.yaml:6:67: store.retention_policies[2].warm_storage: there is no warm tier",
		"f.yaml:6:84: store.retention_policies[2].cold_storage: there is no cold tier",
		"f.yaml:7:111: store.retention_policies[3].cold_storage: the same as warm_storage",
		"f.yaml:8:59: store.retention_policies[4].retain: hot_days is written, too: retain is a policy without ages",
		"f.yaml:9:46: store.retention_policies[5].retain: 1d is more than 23h",
		"f.yaml:10:7: store.retention_policies[6].cold_years: must be written: gxp names no period of its own",
		"f.yaml:11:60: store.retention_policies[7].retain: preset is written, too: retain is a policy without ages",
		"f.yaml:12:7: store.retention_policies[8].cold_years: 1 is not after day 400, where it would begin",
		"f.yaml:13:49: store.retention_policies[9].hot_days: -1 is less than 0",
	}},
	{"classes, as they were", "store:\n  url: s3://bucket\n  mode: governance\n  classes: [{name: a, match: ['*'], retain: 1d}]\n", []string{
		"f.yaml:4:3: store.classes: retention classes are policies now: store.retention_policies",
	}},
	{"bucket", "store: {url: s3://B_/x, mode: none}\n", []string{`f.yaml:1:14: store.url: "B_" is not the name of a bucket`}},
	{"bucket that begins with a hyphen", "store: {url: s3://-ab, mode: none}\n", []string{`f.yaml:1:14: store.url: "-ab" is not the name of a bucket`}},
	{"bucket with two dots", "store: {url: s3://a..b, mode: none}\n", []string{`f.yaml:1:14: store.url: "a..b" is not the name of a bucket`}},
	{"no bucket", "store: {url: 's3:///x', mode: none}\n", []string{`f.yaml:1:14: store.url: "" is not the name of a bucket`}},
	{"prefix", "store: {url: s3://bucket/a/../b, mode: none}\n", []string{`f.yaml:1:14: store.url: "a/../b" is not a prefix`}},
	{"empty part of a prefix", "store: {url: s3://bucket/a//b, mode: none}\n", []string{`f.yaml:1:14: store.url: "a//b" is not a prefix`}},
	{"query", "store: {url: 's3://bucket/a?b', mode: none}\n", []string{`f.yaml:1:14: store.url: "a?b" is not a prefix`}},
	{"long prefix", "store: {url: 's3://bucket/" + strings.Repeat("x", 501) + "', mode: none}\n", []string{"f.yaml:1:14: store.url: the prefix has 501 bytes"}},
	{"relative file URL", "store: {url: file://audit}\n", []string{"f.yaml:1:14: store.url: names no absolute folder"}},
	{"server for store", "store: {url: https://minio/audit}\n", []string{"f.yaml:1:14: store.url: https:// is not a store"}},
	{"other scheme", "store: {url: gs://audit}\n", []string{"f.yaml:1:14: store.url: gs:// is not a store"}},
	{"one slash", "store: {url: 's3:/foo'}\n", []string{`f.yaml:1:14: store.url: "s3:/foo" is no folder and no URL`}},
	{"one slash and a file", "data: /d\nstore: {url: 'File:/audit'}\n", []string{`f.yaml:2:14: store.url: "File:/audit" is no folder and no URL`}},
	{"standard output", "store: {url: '-'}\n", []string{"f.yaml:1:14: store.url: - is no store: nothing is written to standard output"}},
	{"empty URL", "store: {url: ''}\n", []string{"f.yaml:1:14: store.url: is empty"}},
	{"tilde", "data: ~/x\nstore: {url: ~/audit}\n", []string{`f.yaml:1:7: data: "~/x": ~ is not read here`, `f.yaml:2:14: store.url: "~/audit": ~ is not read here`}},
	{"data in the store", "data: files/data\nstore: {url: ./files}\n", []string{`f.yaml:1:7: data: "files/data" lies inside store.url, "./files"`}},
	{"the store in data", "data: /x\nstore: {url: 'file:///x/./y/'}\n", []string{`f.yaml:1:7: data: "/x" holds store.url, "/x/./y/"`}},
	{"all is below the root", "data: /x\nstore: {url: /}\n", []string{`f.yaml:1:7: data: "/x" lies inside store.url, "/"`}},
	{"drop folders", "data: /data\nstore: {url: /audit}\nservice:\n  drop: [{path: /data/., org: o, source: a}, {path: /data/in, org: o, source: b}, {path: /audit, org: o, source: c}, {path: /, org: o, source: d}]\n", []string{
		`f.yaml:1:7: data: "/data" is the same as service.drop[0].path, "/data/."`,
		`f.yaml:1:7: data: "/data" holds service.drop[1].path, "/data/in"`,
		`f.yaml:1:7: data: "/data" lies inside service.drop[3].path, "/"`,
		`f.yaml:2:14: store.url: "/audit" is the same as service.drop[2].path, "/audit"`,
		`f.yaml:2:14: store.url: "/audit" lies inside service.drop[3].path, "/"`,
	}},
	{"followed folders", "data: /data\nstore: {url: 's3://bucket/data', mode: none}\nservice:\n  follow: [{url: 'file:///data', org: o, source: a}, {url: 's3://data/data', org: o, source: b}]\n", []string{
		`f.yaml:1:7: data: "/data" is the same as service.follow[0].url, "/data"`,
	}},
	{"keys that are handed on", "key: /audit/k/signing.key\ndata: /data\nstore: {url: /audit}\nservice:\n  cert_file: /etc/tls.crt\n  key_file: /in/tls.key\n  drop: [{path: /in, org: o, source: a}]\n", []string{
		`f.yaml:1:6: key: "/audit/k/signing.key" lies inside store.url, "/audit"`,
		`f.yaml:6:13: service.key_file: "/in/tls.key" lies inside service.drop[0].path, "/in"`,
	}},
	{"endpoint", "store: {endpoint: minio:9000}\n", []string{`f.yaml:1:19: store.endpoint: "minio:9000" is not a server`}},
	{"endpoint with a bucket", "store: {endpoint: 'https://minio/bucket'}\n", []string{`f.yaml:1:19: store.endpoint: "https://minio/bucket" is not a server`}},
	{"endpoint with a query", "store: {endpoint: 'https://minio?x=y'}\n", []string{`f.yaml:1:19: store.endpoint: "https://minio?x=y" is not a server`}},
	{"variable that begins with a digit", "store: {access_key_env: 9A, secret_key_env: B}\n", []string{"f.yaml:1:25: store.access_key_env: is not the name of an environment variable"}},
	{"half of a pair", "store: {secret_key_env: A}\n", []string{"f.yaml:1:25: store.secret_key_env: a secret key is named without its access key"}},
	{"the other half", "store: {access_key_file: a}\n", []string{"f.yaml:1:26: store.access_key_file: an access key is named without its secret key"}},
	{"token alone", "store: {session_token_env: A}\n", []string{"f.yaml:1:28: store.session_token_env: a session token is named without its keys"}},
	{"another encryption", "store: {encryption: rot13}\n", []string{`f.yaml:1:21: store.encryption: "rot13" is not known`}},
	{"tiers", "store: {tiers: [{name: W, url: s3://warm}, {name: W, url: ./folder}, {url: s3://cold}]}\n", []string{
		`f.yaml:1:51: store.tiers[1].name: "W" is the name of store.tiers[0], too`,
		`f.yaml:1:59: store.tiers[1].url: "./folder" is a folder, and no tier`,
		"f.yaml:1:70: store.tiers[2].name: must be written",
	}},
	{"a key of nothing", "store: {encryption: sse-s3, kms_key_id: k}\n", []string{"f.yaml:1:41: store.kms_key_id: has no effect: store.encryption is not sse-kms"}},
	{"two places", "store: {access_key_env: A, access_key_file: a, secret_key_env: B, profile: p}\n", []string{
		"f.yaml:1:45: store.access_key_file: store.access_key_env is written, too",
		"f.yaml:1:76: store.profile: keys are named, too: which of the two is meant?",
	}},

	{"secrets in the file", "secret_access_key: HUSH\nstore:\n  access_key: HUSH\n  secret_key: HUSH\n  aws_session_token: HUSH\n  endpoint: https://u:HUSH@minio/x\n  secret_key_env: HUSH/HUSH+HUSH\n  access_key_env: AKIAIOSFODNN7EXAMPLE\n  url: s3://key:HUSH@bucket\nkey: PRIVATE+KEY+daybook+HUSH\nprivate_key: HUSH\nredact: {keys: AKIAIOSFODNN7EXAMPLE}\n", []string{
		"f.yaml:1:1: secret_access_key: a secret is not written in this file",
		"f.yaml:3:3: store.access_key: a secret is not written in this file",
		"f.yaml:4:3: store.secret_key: a secret is not written in this file",
		"f.yaml:5:3: store.aws_session_token: a secret is not written in this file",
		"f.yaml:6:13: store.endpoint: holds what looks like a secret, and a secret is not written in this file",
		"f.yaml:7:19: store.secret_key_env: is not the name of an environment variable",
		"f.yaml:8:19: store.access_key_env: holds what looks like a secret, and a secret is not written in this file",
		"f.yaml:9:8: store.url: holds what looks like a secret, and a secret is not written in this file",
		"f.yaml:10:6: key: holds what looks like a secret, and a secret is not written in this file",
		"f.yaml:11:1: private_key: a secret is not written in this file",
		"f.yaml:12:16: redact.keys: is a text: must be a list",
	}},
	{"a private key of several lines", "key: |\n  -----BEGIN PRIVATE KEY-----\n  HUSH\n  -----END PRIVATE KEY-----\n", []string{
		"f.yaml:1:6: key: holds what looks like a secret, and a secret is not written in this file",
	}},
}

func TestBadFiles(t *testing.T) {
	for _, bad := range badFiles {
		t.Run(bad.name, func(t *testing.T) {
			c, err := config.Parse("f.yaml", []byte(bad.text))
			if c != nil || err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if diff := cmp.Diff(bad.want, faultsOf(t, err)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%v", diff, err)
			}
			if strings.Contains(err.Error(), "HUSH") || strings.Contains(err.Error(), "AKIA") {
				t.Errorf("a secret is repeated: %v", err)
			}
		})
	}
}

func TestHints(t *testing.T) {
	for text, want := range map[string]string{
		"spool: {keeep: 1d}":               "did you mean keep?",
		"spool: {dedupe-window: 1d}":       "did you mean dedupe_window?",
		"spool: {DedupeWindow: 1d}":        "did you mean dedupe_window?",
		"spool: {meomry: 1d}":              "did you mean memory?",
		"spool: {DEDUPE_WINDOW: 1d}":       "did you mean dedupe_window?",
		"formats: {csv: {level: 23}}":      "between 1 and 22; the default is 2",
		"spool: {retain: 1d}":              "it belongs to anchors[] or store.retention_policies[]",
		"spool: {from: auto}":              "it belongs to the top",
		"spool: {frobnicate: 1}":           "known here: keep, dedupe_window, memory",
		"spool: {level: 1}":                "it belongs to formats.cef or formats.csv or formats.jsonl or formats.parquet or formats.syslog",
		"redact: {keys: password}":         "write [password]",
		"redact: {keys: [~]}":              "write a value, or remove it",
		"trails: [{name: a, split: both}]": "one of org, project; the default is org",
		"part: {rows: 0}":                  "between 1 and 1000000000; the default is 1000000",
		"quarantine: {keep: 0s}":           "at least 1m; the default is 30d",
		"store: {secret_key: x}":           "store.secret_key_file: PATH",
		"store: {url: https://minio/x}":    "store.endpoint",
		"store: {url: s3://bucket, retention_policies: [{class: a, default: true, hot_days: 1}]}":                   "nobody can lift or shorten",
		"store: {url: s3://bucket, mode: compliance}":                                                               "cold_years: 7",
		"store: {classes: [{name: a}]}":                                                                             "- {class: standard, default: true, hot_days: 90}",
		"store: {url: ./x, mode: compliance}":                                                                       "s3://",
		"store: {url: s3://bucket, mode: Compliance, retention_policies: [{class: a, default: true, hot_days: 1}]}": "one of compliance, governance, none",
	} {
		_, err := config.Parse("", []byte(text))
		var faults *config.Faults
		if !errors.As(err, &faults) || len(faults.Faults) != 1 || !strings.Contains(faults.Faults[0].Hint, want) {
			t.Errorf("%s: want one fault with the hint %q, got %v", text, want, err)
		}
	}
}

// FuzzParse: whatever the file, there are faults with places and ways out, or a configuration that Validate accepts.
func FuzzParse(f *testing.F) {
	for _, bad := range badFiles {
		if len(bad.text) < 4096 {
			f.Add([]byte(bad.text))
		}
	}
	f.Add(config.Sample())
	f.Add(regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAll(config.Sample(), []byte("$1$2")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return // the parser takes time that grows with the square of the nesting
		}
		c, err := config.Parse("f.yaml", data)
		if err == nil {
			if err := c.Validate(); err != nil && !strings.Contains(err.Error(), "store.mode") {
				t.Fatalf("accepted and then not: %v", err)
			}
			c.Warnings()
			return
		}
		var faults *config.Faults
		if !errors.As(err, &faults) || len(faults.Faults) == 0 || c != nil {
			t.Fatalf("%v, %v", c, err)
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for _, fault := range faults.Faults {
			if fault.File != "f.yaml" || fault.Line < 1 || fault.Line > lines || fault.Column < 1 || fault.Message == "" || fault.Hint == "" {
				t.Fatalf("%d lines: %+v", lines, fault)
			}
		}
	})
}
