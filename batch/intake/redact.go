package intake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"daybook/event"
)

// Rules add to what a Redactor knows by itself.
type Rules struct {
	// Keys are names of members whose values are secrets. Like the built-in ones they are whole names, in any case, with or without _ and -.
	Keys []string
	// AllowKeys are names of members that are left alone, with all that is in them, even where a built-in rule says otherwise.
	AllowKeys []string
	// Patterns are regular expressions (RE2). Of each string that matches, the match is a secret, or the first group if there is one. They cost
	// far more than the built-in rules: with any of them every string of every event is looked at.
	Patterns []string
}

// Redactor replaces secrets by tags, [redacted:XXXXXXXX], of which equal secrets have equal ones: the first eight hex digits of the HMAC-SHA256 of the
// secret's text.
//
// A secret is the value of a member of a secret's name (see redact_names.go), and a piece of text that looks like a credential (see
// redact_value.go), at any depth, in JSON inside a string as well. Everything else keeps its text, byte for byte; of a string that holds JSON
// or text beside the secret, only the escaping may change. Redacting what was redacted changes nothing (but for patterns of the configuration that
// match more than they leave behind).
//
// What it cannot know: a password in a sentence, a secret under a name nobody thought of. Names over 64 bytes are no secrets' names.
//
// A Redactor does not change; its methods are safe for concurrent use.
type Redactor struct {
	key      []byte
	names    map[string]nameKind
	tails    [tailBits / 64]uint64 // a Bloom filter of the last three bytes of names
	hashes   nameHashes
	patterns []*regexp.Regexp
}

// NewRedactor returns a Redactor that makes its tags with key (see LoadOrCreateHMACKey). Its error names every fault in the rules.
func NewRedactor(key []byte, rules Rules) (*Redactor, error) {
	var faults []error
	if len(key) < hmacKeySize {
		faults = append(faults, fmt.Errorf("redaction key has %d bytes, at least %d are needed", len(key), hmacKeySize))
	}
	r := &Redactor{key: slices.Clone(key), names: builtinNames()}
	asked := map[string]bool{}
	fold := func(list, name string) string {
		folded, ok := foldName(nil, name)
		if !ok || len(folded) == 0 {
			faults = append(faults, fmt.Errorf("redaction %s: %q cannot be the name of a secret: 1 to %d bytes are allowed", list, name, maxNameLen))
		}
		return string(folded)
	}
	for _, name := range rules.Keys {
		folded := fold("keys", name)
		r.names[folded], asked[folded] = nameSecret, true
	}
	for _, name := range rules.AllowKeys {
		folded := fold("allow_keys", name)
		if asked[folded] {
			faults = append(faults, fmt.Errorf("redaction allow_keys: %q is among the keys, too", name))
		}
		r.names[folded] = nameAllowed
	}
	for _, p := range rules.Patterns {
		re, err := regexp.Compile(p)
		if err == nil && re.MatchString("") {
			err = errors.New("matches the empty text")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("redaction pattern %q: %w", p, err))
			continue
		}
		r.patterns = append(r.patterns, re)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	for name := range r.names {
		r.hashes.add(name)
		if n := len(name); n >= 3 {
			bit := tailBit(name[n-3], name[n-2], name[n-1])
			r.tails[bit/64] |= 1 << (bit % 64)
		}
	}
	return r, nil
}

// The fields that Redact looks at: JSON, and texts that a source or a user may write freely.
var redactedFields = [...]event.Field{event.Info, event.Changes, event.Raw,
	event.ErrorMessage, event.Reason, event.UserAgent, event.ObjectID, event.ObjectName}

// Redact replaces the secrets in e's info, changes and raw, and what looks like a credential in error_message, reason, user_agent, object_id and
// object_name, and returns how many it replaced. The JSON fields MUST hold valid JSON, as Event says; they do afterwards.
func (r *Redactor) Redact(e *event.Event) (n int) {
	for _, f := range redactedFields {
		text := e.Get(f)
		if text == "" || !r.suspect(text) {
			continue
		}
		var (
			out   string
			found int
		)
		if f.JSON() {
			out, found = r.json(text)
		} else {
			out, found = r.text(text, 0)
		}
		if found > 0 {
			e.Set(f, out)
			n += found
		}
	}
	return n
}

// RedactBytes is Redact for a record that is not valid UTF-8, or not valid JSON at all. Bytes that are not UTF-8 are kept. In a record that is JSON
// but for its encoding the same secrets are found as in any other. In one that is broken, what follows a secret's name and a colon is
// replaced up to where it seems to end, or else to the end of the record: too much rather than too little. rec itself is left alone; it is
// returned if nothing was found.
func (r *Redactor) RedactBytes(rec []byte) ([]byte, int) {
	if !r.suspect(viewString(rec)) {
		return rec, 0
	}
	out, n := r.json(viewString(rec))
	if n == 0 {
		return rec, 0
	}
	return []byte(out), n
}

// json redacts JSON text, or what should be.
func (r *Redactor) json(text string) (string, int) {
	w := walker{r: r, src: viewBytes(text)}
	if end, ok := w.value(0, 0); !ok || w.space(end) != len(text) {
		return r.broken(text)
	}
	return w.apply(), w.found
}

// text redacts plain text, which may be JSON.
func (r *Redactor) text(s string, embedded int) (string, int) {
	if trimmed := strings.TrimLeft(s, " \t\r\n"); trimmed != "" && strings.IndexByte(`{["`, trimmed[0]) >= 0 && r.suspect(s) {
		w := walker{r: r, src: viewBytes(s), embedded: embedded + 1}
		if embedded < maxEmbedded {
			if end, ok := w.value(0, 0); ok && w.space(end) == len(s) {
				return w.apply(), w.found
			}
		}
		return r.broken(s)
	}
	s, n := r.custom(s)
	out, m := r.credentials(s)
	return out, n + m
}

// maxEmbedded is how many times JSON may be wrapped in strings of JSON and still be read as such; each time doubles its backslashes.
const maxEmbedded = 8

// custom redacts what the patterns of the configuration match.
func (r *Redactor) custom(s string) (string, int) {
	n := 0
	for _, re := range r.patterns {
		var out []byte
		last := 0
		for _, at := range re.FindAllStringSubmatchIndex(s, -1) {
			from, to := at[0], at[1]
			if len(at) > 2 && at[2] >= 0 {
				from, to = at[2], at[3]
			}
			if from == to || inTag(s, from, to) {
				continue
			}
			out = append(append(out, s[last:from]...), r.tag(s[from:to])...)
			last = to
			n++
		}
		if out != nil {
			s = string(append(out, s[last:]...))
		}
	}
	return s, n
}

// inTag reports whether s[from:to] lies within a tag.
func inTag(s string, from, to int) bool {
	start := strings.LastIndex(s[:min(len(s), from+tagLen)], tagPrefix)
	return start >= 0 && start <= from && to <= start+tagLen && isTag(s[start:min(len(s), start+tagLen)])
}

var (
	tagPrefix = strings.TrimSuffix(event.Redacted(""), "]")
	tagLen    = len(event.Redacted("12345678"))
)

func isTag(s string) bool {
	if len(s) != tagLen || s[:len(tagPrefix)] != tagPrefix || s[tagLen-1] != ']' {
		return false
	}
	return strings.Trim(s[len(tagPrefix):tagLen-1], "0123456789abcdef") == ""
}

// tag returns what stands in place of a secret.
func (r *Redactor) tag(secret string) string {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(secret))
	return event.Redacted(hex.EncodeToString(mac.Sum(nil)[:4]))
}
