package config

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// Kinds of an anchor: the key that names its place.
const (
	AnchorStore     = "store"
	AnchorSyslog    = "syslog"
	AnchorTimestamp = "timestamp"
	AnchorWitness   = "witness"
)

// Place returns the kind of the anchor and where it is.
func (a *Anchor) Place() (kind, where string) {
	for _, p := range a.targets() {
		if p.where != "" {
			return p.kind, p.where
		}
	}
	return "", ""
}

type target struct{ kind, where string }

func (a *Anchor) targets() []target {
	return []target{{AnchorStore, a.Store}, {AnchorSyslog, a.Syslog}, {AnchorTimestamp, a.Timestamp}, {AnchorWitness, a.Witness}}
}

// anchorSchemes are the URLs that each kind takes, and an example of one.
var anchorSchemes = map[string]struct {
	schemes []string
	example string
}{
	AnchorSyslog:    {[]string{"udp", "tcp", "tls", "unix"}, "tcp://siem.example.org:601"},
	AnchorTimestamp: {[]string{"https", "http"}, "https://tsa.example.org/tsr"},
	AnchorWitness:   {[]string{"https", "http"}, "https://witness.example.org"},
}

func (v *validator) anchors(c *Config) {
	seen := map[string]int{}
	for i := range c.Anchors {
		a, at := &c.Anchors[i], element("anchors", i)
		if first, ok := seen[a.Name]; ok && a.Name != "" {
			v.fault(at+".name", "an anchor's name is its own", "%q is the name of anchors[%d], too", a.Name, first)
		} else {
			seen[a.Name] = i
		}
		v.anchor(at, a, &c.Store)
	}
	if len(c.Anchors) > 0 && c.Signing == "none" {
		v.fault("anchors", "sign, or remove the anchors", "an unsigned store has no log, and so no checkpoint to anchor")
	}
}

func (v *validator) anchor(at string, a *Anchor, store *Store) {
	var named []target
	for _, p := range a.targets() {
		if p.where != "" {
			named = append(named, p)
		}
	}
	if len(named) != 1 {
		v.fault(at, "write one of store, syslog, timestamp and witness; another place is another anchor", "names %d places", len(named))
		return
	}
	kind, where := named[0].kind, named[0].where
	v.anchorOptions(at, kind, a)
	if kind == AnchorStore {
		v.anchorStore(at, a, store)
		return
	}
	allowed := anchorSchemes[kind]
	u, err := url.Parse(where)
	switch {
	case looksSecret(where):
		v.fault(at+"."+kind, "take it out: who read this file knows it", "holds what looks like a secret")
	case err != nil || !slices.Contains(allowed.schemes, u.Scheme) || u.Scheme != "unix" && u.Hostname() == "" || u.Scheme == "unix" && u.Path == "":
		v.fault(at+"."+kind, "e.g. "+allowed.example, "%q: must begin with %s://", where, strings.Join(allowed.schemes, "://, "))
	case kind == AnchorSyslog && u.Scheme != "unix" && u.Port() == "":
		v.fault(at+"."+kind, "e.g. "+allowed.example, "%q names no port", where)
	case kind == AnchorWitness && a.Key == "":
		v.fault(at+".key", witnessKeyHint, "must be written for a witness: without it anybody could answer")
	case kind == AnchorWitness && !isCosignatureKey(a.Key):
		v.fault(at+".key", witnessKeyHint, "%.60q is not a witness's verifier key: NAME+8 hex digits+base64 that begins with B, copied whole", a.Key)
	case a.CAFile != "" && (kind == AnchorSyslog && u.Scheme != "tls" || kind == AnchorWitness && u.Scheme == "http"):
		v.fault(at+".ca_file", "remove it, or write tls:// or https://", "has no effect: %s:// asks for no certificate", u.Scheme)
	}
}

const witnessKeyHint = "ask whoever runs the witness: it is printed at its start"

// algorithmCosignature is how the key of a C2SP tlog-cosignature begins (Ed25519, with a time).
const algorithmCosignature = 4

// isCosignatureKey reports whether text is a C2SP verifier key of a witness. Its sum finds what was copied in part, or wrongly.
func isCosignatureKey(text string) bool {
	name, rest, _ := strings.Cut(text, "+")
	sum, encoded, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || name == "" || len(key) != 1+ed25519.PublicKeySize || key[0] != algorithmCosignature {
		return false
	}
	want := sha256.Sum256(append([]byte(name+"\n"), key...))
	return strings.EqualFold(sum, hex.EncodeToString(want[:4]))
}

func (v *validator) anchorStore(at string, a *Anchor, store *Store) {
	before := len(v.faults)
	where := v.urlAt(at+".store", a.Store)
	if len(v.faults) > before {
		return
	}
	switch {
	case a.Store == store.URL && a.Endpoint == store.Endpoint:
		v.fault(at+".store", "name another bucket or folder, best in another account", "is the store itself, which then vouches for itself")
	case where == folder && a.Mode != "" && a.Mode != "none":
		v.fault(at+".mode", "write none, or leave it out", "a folder cannot lock files: %s is not to be had", a.Mode)
	case where == bucket && a.Mode == "":
		v.fault(at+".mode", "compliance, governance or none", "must be written for an S3 store: there is no default")
	case where == bucket && a.Mode != "none" && a.Retain == 0:
		v.fault(at+".retain", "e.g. 3650d", "must be written for an S3 store: there is no default")
	}
}

// anchorOptions refuses what has no effect on an anchor of this kind.
func (v *validator) anchorOptions(at, kind string, a *Anchor) {
	val := reflect.ValueOf(a).Elem()
	for _, f := range fieldsOf(val.Type()) {
		of, _, belongs := strings.Cut(f.tag.Get("doc"), ": ")
		if belongs && anchorKind(of) && of != kind && !val.Field(f.index).IsZero() {
			v.fault(at+"."+f.key, "remove it", "has no effect: the anchor is a %s", kind)
		}
	}
}

func anchorKind(s string) bool {
	return slices.Contains([]string{AnchorStore, AnchorSyslog, AnchorTimestamp, AnchorWitness}, s)
}

// origin checks the name of a log. C2SP's checkpoints and notes allow neither white space nor a plus sign in it.
func (v *validator) origin(c *Config) {
	text := c.Origin
	if text != "" && c.Signing == "none" {
		v.fault("origin", "sign, or remove it", "has no effect: an unsigned store has no log")
	}
	if len(text) > 200 || strings.ContainsAny(text, "+ ") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		v.fault("origin", "e.g. audit.example.org/prod: at most 200 printable ASCII characters, no space and no +", "%q is not the name of a log", text)
	}
	if strings.Contains(text, "://") {
		v.fault("origin", "write it without https://", "%q: the name of a log has no scheme", text)
	}
}
