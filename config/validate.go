package config

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Validate reports all that is wrong with c as a *Faults. Load has done so for what the file says; it is to be called again once flags were laid over, and its
// faults then have a path and no line.
func (c *Config) Validate() error {
	var v validator
	v.config(c)
	if len(v.faults) == 0 {
		return nil
	}
	return newFaults(v.faults)
}

// validator collects faults. It holds all rules, so that a file and a flag are held to the same.
type validator struct {
	faults []Fault
	// spoilt are keys that were reported already.
	spoilt []string
	// urlPending says that store.url may still come from the command line.
	urlPending bool
}

func (v *validator) fault(path, hint, format string, args ...any) {
	if v.isSpoilt(path) {
		return
	}
	v.faults = append(v.faults, Fault{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (v *validator) isSpoilt(path string) bool {
	return slices.ContainsFunc(v.spoilt, func(s string) bool {
		return s == "" || path == s || strings.HasPrefix(path, s+".") || strings.HasPrefix(path, s+"[")
	})
}

func (v *validator) config(c *Config) {
	v.section("", reflect.ValueOf(c).Elem())
	v.trails(c.Trails)
	v.store(&c.Store)
	v.credentials(&c.Store)
	for i, key := range c.Redact.AllowKeys {
		if slices.Contains(c.Redact.Keys, key) {
			v.fault(element("redact.allow_keys", i), "remove it from one of the two", "%q is in redact.keys, too", key)
		}
	}
	v.origin(c)
	v.anchors(c)
	v.reading(&c.Reading)
	v.service(&c.Service)
	v.folders(c)
	v.level("formats.csv.level", c.Formats.CSV.Compression, c.Formats.CSV.Level)
	v.level("formats.cef.level", c.Formats.CEF.Compression, c.Formats.CEF.Level)
	v.level("formats.syslog.level", c.Formats.Syslog.Compression, c.Formats.Syslog.Level)
}

// section holds every value to its field's tags.
func (v *validator) section(path string, s reflect.Value) {
	for _, f := range fieldsOf(s.Type()) {
		at, val := join(path, f.key), s.Field(f.index)
		switch {
		case isSection(f.typ):
			v.section(at, val)
		case f.typ.Kind() == reflect.Slice:
			v.list(at, val, f)
		case f.typ.Kind() == reflect.String:
			v.text(at, val.String(), f)
		case f.typ.Kind() == reflect.Int || f.typ.Kind() == reflect.Int64 || f.typ.Kind() == reflect.Uint32:
			v.number(at, val, f)
		}
	}
}

func (v *validator) list(at string, val reflect.Value, f field) {
	if val.Len() == 0 && f.tag.Get("required") != "" {
		v.fault(at, f.tag.Get("doc"), "must be written")
	}
	seen := map[string]int{}
	for i := range val.Len() {
		item := element(at, i)
		if isSection(f.typ.Elem()) {
			v.section(item, val.Index(i))
			continue
		}
		text := val.Index(i).String()
		if text == "" {
			v.fault(item, "remove it", "is empty")
			continue
		}
		v.text(item, text, f)
		if first, ok := seen[text]; ok {
			v.fault(item, "remove one of the two", "the same as %s", element(at, first))
			continue
		}
		seen[text] = i
	}
}

// number checks the range, whose ends are written as the file writes the value.
func (v *validator) number(at string, val reflect.Value, f field) {
	for _, end := range []struct {
		tag, word string
		beyond    func(n, limit int64) bool
	}{
		{"min", "less than", func(n, limit int64) bool { return n < limit }},
		{"max", "more than", func(n, limit int64) bool { return n > limit }},
	} {
		text := f.tag.Get(end.tag)
		if text == "" || (val.IsZero() && f.tag.Get("default") == "") {
			continue // no limit, or a value that may be left out and is
		}
		if end.beyond(asInt(val), limitOf(f, text)) {
			v.fault(at, rangeOf(f)+defaultHint(f, "; the default is "), "%v is %s %s", val.Interface(), end.word, text)
		}
	}
}

func rangeOf(f field) string {
	from, to := f.tag.Get("min"), f.tag.Get("max")
	if to == "" {
		return "at least " + from
	}
	return "between " + from + " and " + to
}

func asInt(val reflect.Value) int64 {
	if val.CanUint() {
		return int64(val.Uint())
	}
	return val.Int()
}

// limitOf reads an end of a range in the field's own way of writing.
func limitOf(f field, text string) int64 {
	switch f.typ {
	case reflect.TypeFor[Duration]():
		var d Duration
		_ = d.UnmarshalText([]byte(text)) // a test reads every tag
		return int64(d)
	case reflect.TypeFor[Size]():
		var s Size
		_ = s.UnmarshalText([]byte(text)) // a test reads every tag
		return int64(s)
	}
	n, _ := strconv.ParseInt(text, 10, 64) // a test reads every tag
	return n
}

func (v *validator) text(at, text string, f field) {
	if text == "" {
		switch {
		case f.tag.Get("required") != "":
			v.fault(at, f.tag.Get("doc"), "must be written")
		case f.tag.Get("default") != "":
			v.fault(at, "remove the key"+defaultHint(f, ": then it is "), "is empty")
		}
		return
	}
	if looksSecret(text) && f.tag.Get("form") != "regexp" {
		v.fault(at, "take it out, and replace it: who read this file knows it. *_env and *_file keys name where a secret lies; key names a file", "holds what looks like a secret, and a secret is not written in this file")
		return
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		v.fault(at, "write it on one line, without control characters", "holds a control character, or bytes that are not UTF-8")
		return
	}
	if values := f.enum(); values != nil {
		if !slices.Contains(values, text) {
			v.fault(at, "one of "+strings.Join(values, ", ")+defaultHint(f, "; the default is "), "%q is not known", text)
		}
		return
	}
	if limit, err := strconv.Atoi(f.tag.Get("max")); err == nil && len(text) > limit {
		v.fault(at, "make it shorter", "has %d bytes: at most %d", len(text), limit)
	}
	v.form(at, text, f.tag.Get("form"))
}

func (v *validator) form(at, text, form string) {
	switch form {
	case "name":
		if strings.TrimSpace(text) != text {
			v.fault(at, "remove the spaces around it", "%q begins or ends with a space", text)
		}
	case "path":
		v.path(at, text)
	case "glob":
		// No action or type holds these: who writes one expects a set of characters, or an escape.
		if strings.ContainsAny(text, `[]{}\`) {
			v.fault(at, "* stands for any text and ? for one character; write two patterns instead of a set", "%q has a bracket or a backslash, which are no wildcards", text)
		}
	case "regexp":
		re, err := regexp.Compile(text)
		switch {
		case err != nil:
			v.fault(at, "it is RE2, as in https://github.com/google/re2/wiki/Syntax: no look-around, no back references; single quotes keep YAML from reading a backslash", "not a regular expression: %v", err)
		case re.MatchString(""):
			v.fault(at, "a + instead of a * is often meant", "matches an empty text, and so every value")
		}
	case "ascii":
		if strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' }) {
			v.fault(at, "use printable ASCII characters without spaces", "%q has other characters than printable ASCII, or a space", text)
		}
	case "env":
		if strings.ContainsFunc(text, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) || text[0] <= '9' {
			// The value is not repeated: it may be the secret itself.
			v.fault(at, "write the variable's name, e.g. AUDIT_SECRET_KEY, not what it holds", "is not the name of an environment variable")
		}
	}
}

func (v *validator) path(at, text string) {
	if text == "~" || strings.HasPrefix(text, "~/") {
		v.fault(at, "write the folder out", "%q: ~ is not read here", text)
	}
}

func (v *validator) trails(trails []Trail) {
	if len(trails) == 0 {
		v.fault("trails", "write one, or remove the key: then there is one, audit", "is empty")
	}
	seen := map[string]int{}
	for i, t := range trails {
		at := element("trails", i) + ".name"
		if first, ok := seen[t.Name]; ok && t.Name != "" {
			v.fault(at, "a trail's name is its own", "%q is the name of trails[%d], too", t.Name, first)
			continue
		}
		seen[t.Name] = i
	}
}

func (v *validator) level(at, compression string, level int) {
	if compression == "gzip" && level > 9 && level <= 22 {
		v.fault(at, "between 1 and 9; the default is 2", "%d is more than gzip's 9", level)
	}
}

// secretShape is an access key id of AWS, a private key (PEM, or a signer's of x/mod/sumdb/note), or a password in a URL.
var secretShape = regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN |PRIVATE\+KEY\+|://[^/?#]*@`)

// looksSecret says that text has the shape of a credential.
func looksSecret(text string) bool { return secretShape.MatchString(text) }

// storeKind is what a store's URL names.
type storeKind int

const (
	unclear storeKind = iota
	folder
	bucket
)

// store checks the URL, and what of the rest depends on it.
func (v *validator) store(s *Store) {
	kind := v.urlAt("store.url", s.URL)
	if s.Endpoint != "" {
		v.endpoint(s.Endpoint)
	}
	v.retention(s.RetentionPolicies)
	if s.KMSKeyID != "" && s.Encryption != "sse-kms" {
		v.fault("store.kms_key_id", "write encryption: sse-kms, or remove the key", "has no effect: store.encryption is not sse-kms")
	}
	named := map[string]int{}
	for i, t := range s.Tiers {
		at := element("store.tiers", i)
		if first, ok := named[t.Name]; ok && t.Name != "" {
			v.fault(at+".name", "a tier has one bucket", "%q is the name of store.tiers[%d], too", t.Name, first)
		}
		named[t.Name] = i
		if v.urlAt(at+".url", t.URL) == folder {
			v.fault(at+".url", "write s3://bucket", "%q is a folder, and no tier", t.URL)
		}
	}
	if v.urlPending {
		return
	}
	switch {
	case kind == folder && s.Mode != "" && s.Mode != "none":
		v.fault("store.mode", "write none, or leave it out; or name an s3:// bucket in store.url (--to)", "a folder cannot lock files: %s is not to be had", s.Mode)
	case kind == bucket && s.Mode == "":
		v.fault("store.mode", "write compliance, which nobody can lift or shorten before its time, not even the account's root, so try with a retain of an hour first; "+
			"or governance, which a user with the bypass right can; or none", "must be written for an S3 store: there is no default")
	}
	v.locks(kind, s)
}

// almostURL is what was meant to be a URL, and would be a folder of that name.
var almostURL = regexp.MustCompile(`^(?i:s3|file|https?):`)

// CheckStoreURL tells as a *Faults what is wrong with the URL or folder of a store that is given beside the configuration.
func CheckStoreURL(text string) error {
	var v validator
	switch {
	case text == "":
		v.fault("", "name a folder, or s3://bucket/prefix", "the store has no name")
	case looksSecret(text):
		v.fault("", "take it out: credentials come from the configuration (store) or the AWS chain", "the store's URL holds what looks like a secret")
	default:
		v.urlAt("", text)
	}
	if len(v.faults) == 0 {
		return nil
	}
	return newFaults(v.faults)
}

// urlAt checks the URL of a store, which stands at that place.
func (v *validator) urlAt(at, text string) storeKind {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case text == "" || looksSecret(text):
		return unclear // said already
	case text == "-":
		v.fault(at, "write ./- for a folder that is called so", "- is no store: nothing is written to standard output")
	case !ok && almostURL.MatchString(text):
		v.fault(at, "write s3://bucket/prefix or file:///folder, with two slashes after the colon; a folder that is called so is ./"+text, "%q is no folder and no URL", text)
	case !ok:
		v.path(at, text)
		return folder
	case scheme == "file":
		if !strings.HasPrefix(rest, "/") {
			v.fault(at, "write file:///folder, with three slashes, or the folder alone", "names no absolute folder")
		}
		return folder
	case scheme == "s3":
		v.bucket(at, rest)
		return bucket
	case scheme == "http" || scheme == "https":
		v.fault(at, "write s3://bucket/prefix here, and the server in store.endpoint", "%s:// is not a store", scheme)
	default:
		v.fault(at, "write a folder, file:///folder, or s3://bucket/prefix", "%s:// is not a store", scheme)
	}
	return unclear
}

func (v *validator) bucket(at, rest string) {
	name, prefix, _ := strings.Cut(rest, "/")
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
	if len(name) < 3 || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || strings.Trim(name, ".-") != name || strings.Contains(name, "..") {
		v.fault(at, "3 to 63 of a-z, 0-9, - and ., a letter or digit at both ends", "%q is not the name of a bucket", name)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return
	}
	if path.Clean("/"+prefix) != "/"+prefix || strings.ContainsAny(prefix, `?#\`) {
		v.fault(at, `write it as a/b: no empty part, no . or .., no ?, # or \`, "%q is not a prefix", prefix)
	}
	// Beneath it stand keys of up to 500 bytes, and S3 allows 1024.
	if len(prefix) > 500 {
		v.fault(at, "at most 500", "the prefix has %d bytes", len(prefix))
	}
}

func (v *validator) endpoint(text string) {
	if looksSecret(text) {
		return // said already
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		v.fault("store.endpoint", "write the scheme, the host and where need be the port, e.g. https://minio.example.org:9000; the bucket stands in store.url", "%q is not a server", text)
	}
}

func (v *validator) reading(r *Reading) {
	if u, err := url.Parse(r.Server); r.Server != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "") {
		v.fault("reading.server", "e.g. https://audit.example.org:8470", "%q is no URL of a service", r.Server)
	}
}

// credentials checks that at most one place is named for each, and that what belongs together is.
func (v *validator) credentials(s *Store) {
	// named returns the key that is written, empty where neither is.
	named := func(key, env, file string) string {
		switch {
		case env != "" && file != "":
			v.fault("store."+key+"_file", "remove one of the two", "store.%s_env is written, too", key)
			return "store." + key + "_env"
		case env != "":
			return "store." + key + "_env"
		case file != "":
			return "store." + key + "_file"
		}
		return ""
	}
	access := named("access_key", s.AccessKeyEnv, s.AccessKeyFile)
	secret := named("secret_key", s.SecretKeyEnv, s.SecretKeyFile)
	token := named("session_token", s.SessionTokenEnv, s.SessionTokenFile)
	const pair = "name both keys, or neither: then the AWS chain is asked"
	switch {
	case access != "" && secret == "":
		v.fault(access, pair, "an access key is named without its secret key")
	case access == "" && secret != "":
		v.fault(secret, pair, "a secret key is named without its access key")
	case access == "" && token != "":
		v.fault(token, pair, "a session token is named without its keys")
	}
	if s.Profile != "" && access+secret+token != "" {
		v.fault("store.profile", "remove the profile, or the keys", "keys are named, too: which of the two is meant?")
	}
}

// Warnings returns what is allowed and deserves a look. It expects a configuration that Validate accepts.
func (c *Config) Warnings() []Fault {
	var warnings []Fault
	warn := func(path, hint, format string, args ...any) {
		warnings = append(warnings, Fault{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	writes := func(format string) bool {
		return slices.ContainsFunc(c.Trails, func(t Trail) bool { return slices.Contains(t.Formats, format) })
	}
	if writes("csv") && c.Part.Rows > 1<<20-1 {
		warn("part.rows", "at most 1048575", "a spreadsheet does not open a file of so many rows")
	}
	s := &c.Store
	if strings.HasPrefix(s.URL, "s3://") {
		if s.Mode == "none" {
			warn("store.mode", "write governance or compliance", "no file is locked: whoever can write can also delete")
		}
		if u, err := url.Parse(s.Endpoint); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
			warn("store.endpoint", "use https, with store.ca_file where the authority is your own", "http: events cross the network in the clear")
		}
	} else {
		for _, f := range fieldsOf(reflect.TypeFor[Store]()) {
			if strings.HasPrefix(f.tag.Get("doc"), "S3:") && !reflect.ValueOf(s).Elem().Field(f.index).IsZero() {
				warn("store."+f.key, "remove it, or name an s3:// bucket in store.url", "has no effect: the store is a folder")
			}
		}
		retentionWarnings(s, warn)
	}
	if writes("syslog") && c.Formats.Syslog.Enterprise == documentationNumber {
		warn("formats.syslog.enterprise", "write your own; https://www.iana.org/assignments/enterprise-numbers gives one free of charge", "%d is for documentation only (RFC 5612)", documentationNumber)
	}
	return warnings
}

// documentationNumber is the enterprise number that RFC 5612 keeps for examples.
const documentationNumber = 32473

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}
