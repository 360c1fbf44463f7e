package tlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/sink"
)

// Schema is the version of the leaves that this package writes, and the only one that it reads.
const Schema = 1

// MaxEntry is how large an entry may be, in bytes: as much as c2sp.org/tlog-tiles can hold.
const MaxEntry = 1<<16 - 1

// Type says what a leaf is about.
type Type string

// The types of leaves.
const (
	TypeSeal      Type = "seal"      // a seal was made
	TypeKey       Type = "key"       // a key began, took another's place, or counts no more
	TypeHold      Type = "hold"      // files must stay beyond their time, or need not any more
	TypeExtension Type = "extension" // locks were made longer
	TypeErasure   Type = "erasure"   // a file was erased
	TypeReview    Type = "review"    // a person signed that they looked at seals
)

// Leaf is one leaf of the log. Of the pointers just that of its type is set.
//
// An entry is its JSON, members in the order of the structs, on one line that ends in a line feed. That of a key or a review is a C2SP signed note whose text
// that line is; the others bear no signature but the checkpoint's. Frozen for Schema 1:
//
//	{"schema":1,"type":"seal","time":"2026-03-11T01:00:00Z","seal":{"trail":"acme","seal":42,"day":"2026-03-10","addendum":0,"manifest":"…","key":"…"}}
type Leaf struct {
	Schema int  `json:"schema"`
	Type   Type `json:"type"`
	// Time is when the leaf was made, UTC.
	Time      time.Time      `json:"time"`
	Seal      *SealLeaf      `json:"seal,omitempty"`
	Key       *KeyLeaf       `json:"key,omitempty"`
	Hold      *HoldLeaf      `json:"hold,omitempty"`
	Extension *ExtensionLeaf `json:"extension,omitempty"`
	Erasure   *ErasureLeaf   `json:"erasure,omitempty"`
	Review    *ReviewLeaf    `json:"review,omitempty"`
}

// SealLeaf names a seal. A trail's seals stand in the log in the order of their numbers, without a hole.
type SealLeaf struct {
	Trail    string    `json:"trail"`
	Seal     uint64    `json:"seal"`
	Day      seal.Date `json:"day"`
	Addendum int       `json:"addendum"`
	// Manifest is the SHA-256 of the seal's manifest.
	Manifest seal.Hash `json:"manifest"`
	// Key is the ID of the key that signed the seal's note.
	Key string `json:"key"`
}

// Actions of key leaves.
const (
	Genesis = "genesis" // the first leaf: the log's name and its first key, which signs it
	Rotate  = "rotate"  // another key follows; both sign
	Revoke  = "revoke"  // the signatures of a key that was followed count no more; the key in force signs
)

// KeyLeaf tells of a key. See Keyring for what its rules are.
type KeyLeaf struct {
	Action string `json:"action"`
	// Origin is the log's name; of a genesis only.
	Origin string `json:"origin,omitempty"`
	// Key is the verifier key that begins, or is revoked.
	Key string `json:"key"`
	// Previous is the verifier key whose place it takes; of a rotation only.
	Previous string `json:"previous,omitempty"`
	// From is the first leaf for which a revoked key counts no more; absent for leaf 0.
	From int64 `json:"from,omitempty"`
	// Reason is why; it may be blank but for a revocation.
	Reason string `json:"reason,omitempty"`
}

// Actions of hold leaves.
const (
	HoldPut     = "put"
	HoldRelease = "release"
)

// HoldLeaf tells that the files of a trail's days, From and To included, are held or let go.
type HoldLeaf struct {
	Action string    `json:"action"`
	Trail  string    `json:"trail"`
	From   seal.Date `json:"from"`
	To     seal.Date `json:"to"`
	// Project is blank for all of them.
	Project string `json:"project,omitempty"`
	Reason  string `json:"reason"`
	By      string `json:"by"`
}

// ExtensionLeaf tells that the files of seals are locked until another time.
type ExtensionLeaf struct {
	Trail       string    `json:"trail"`
	FirstSeal   uint64    `json:"first_seal"`
	LastSeal    uint64    `json:"last_seal"`
	RetainUntil time.Time `json:"retain_until"`
	Reason      string    `json:"reason"`
	By          string    `json:"by"`
}

// ErasureLeaf tells that a file is gone for a reason.
type ErasureLeaf struct {
	Trail string `json:"trail"`
	Seal  uint64 `json:"seal"`
	// Key is the file's.
	Key    string    `json:"key"`
	SHA256 seal.Hash `json:"sha256"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
}

// ReviewLeaf is a person's signature under seals.
type ReviewLeaf struct {
	Trail     string `json:"trail"`
	FirstSeal uint64 `json:"first_seal"`
	LastSeal  uint64 `json:"last_seal"`
	// Manifest is the SHA-256 of the manifest of LastSeal.
	Manifest seal.Hash `json:"manifest"`
	// Reviewer is the verifier key that signs the leaf.
	Reviewer string `json:"reviewer"`
	// Meaning is what the signature stands for: review, approval, authorship.
	Meaning string `json:"meaning"`
	Result  string `json:"result"`
	Comment string `json:"comment,omitempty"`
}

// signed reports whether leaves of the type bear signatures of their own.
func (t Type) signed() bool { return t == TypeKey || t == TypeReview }

// Encode checks the leaf and returns its entry. Key and review leaves need signers, the others have none.
func (l *Leaf) Encode(signers ...seal.Signer) ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	line, err := l.marshal()
	if err != nil {
		return nil, err
	}
	if l.Type.signed() != (len(signers) > 0) {
		return nil, fmt.Errorf("%w: a leaf of type %s with %d signers", ErrLeaf, l.Type, len(signers))
	}
	if len(signers) > 0 {
		list := make([]note.Signer, len(signers))
		for i, s := range signers {
			list[i] = s
		}
		if line, err = note.Sign(&note.Note{Text: string(line)}, list...); err != nil {
			return nil, fmt.Errorf("sign a leaf: %w", err)
		}
	}
	if len(line) > MaxEntry {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrLeaf, len(line), MaxEntry)
	}
	return line, nil
}

func (l *Leaf) marshal() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	return b.Bytes(), nil
}

// ParseLeaf reads an entry, and fails closed: it must be what Encode writes, to the byte. The note, nil for a leaf that bears no signature, is not checked:
// Keyring.Apply does.
func ParseLeaf(entry []byte) (*Leaf, *note.Note, error) {
	if len(entry) > MaxEntry {
		return nil, nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrLeaf, len(entry), MaxEntry)
	}
	line, rest, _ := bytes.Cut(entry, []byte("\n"))
	line = entry[:min(len(line)+1, len(entry))]
	var n *note.Note
	if len(rest) > 0 {
		var err error
		if n, err = parseNote(entry); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrLeaf, err)
		}
		if n.Text != string(line) {
			return nil, nil, fmt.Errorf("%w: more than one line is signed", ErrLeaf)
		}
	}
	l, err := parseLine(line)
	if err != nil {
		return nil, nil, err
	}
	if l.Type.signed() != (n != nil) {
		return nil, nil, fmt.Errorf("%w: leaves of type %s, and no others, are signed", ErrLeaf, l.Type)
	}
	return l, n, nil
}

func parseLine(line []byte) (*Leaf, error) {
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(line, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	if version.Schema != Schema {
		return nil, fmt.Errorf("%w: schema version %d is unknown, only %d is known", ErrLeaf, version.Schema, Schema)
	}
	l := new(Leaf)
	if err := json.Unmarshal(line, l); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	// encoding/json passes over unknown members, takes the last of two of a name and any case of it: a comparison shows all that.
	again, err := l.marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(line, again) {
		return nil, fmt.Errorf("%w: it is not as Daybook writes it", ErrLeaf)
	}
	return l, l.check()
}

// check reports every way in which the leaf contradicts itself.
func (l *Leaf) check() error {
	c := leafChecker{}
	c.must(l.Schema == Schema, "schema is %d, must be %d", l.Schema, Schema)
	c.time("time", l.Time)
	about := 0
	for _, p := range []struct {
		is  Type
		set bool
		do  func(*leafChecker)
	}{
		{TypeSeal, l.Seal != nil, func(c *leafChecker) { l.Seal.check(c) }},
		{TypeKey, l.Key != nil, func(c *leafChecker) { l.Key.check(c) }},
		{TypeHold, l.Hold != nil, func(c *leafChecker) { l.Hold.check(c) }},
		{TypeExtension, l.Extension != nil, func(c *leafChecker) { l.Extension.check(c) }},
		{TypeErasure, l.Erasure != nil, func(c *leafChecker) { l.Erasure.check(c) }},
		{TypeReview, l.Review != nil, func(c *leafChecker) { l.Review.check(c) }},
	} {
		if !p.set {
			c.must(l.Type != p.is, "type is %s, but there is no such member", p.is)
			continue
		}
		about++
		c.must(l.Type == p.is, "type is %.80q, but there is a member %s", l.Type, p.is)
		p.do(&c)
	}
	c.must(about == 1, "type %.80q is unknown, or it has not just one member", l.Type)
	if len(c.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrLeaf, errors.Join(c.faults...))
}

type leafChecker struct{ faults []error }

func (c *leafChecker) must(ok bool, format string, args ...any) {
	if !ok {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
	}
}

func (c *leafChecker) time(what string, t time.Time) {
	c.must(!t.IsZero() && t.Location() == time.UTC && t.Year() >= 1 && t.Year() <= 9999, "%s is missing, not in UTC or in no year of four digits", what)
}

func (c *leafChecker) text(what, s string) {
	c.must(strings.TrimSpace(s) != "", "%s is blank", what)
	c.optional(what, s)
}

func (c *leafChecker) optional(what, s string) {
	c.must(utf8.ValidString(s), "%s is not valid UTF-8", what)
}

func (c *leafChecker) seals(first, last uint64) {
	c.must(first >= 1 && first <= last, "seals %d to %d", first, last)
}

func (c *leafChecker) vkey(what, vkey string) {
	if _, err := seal.ParseVerifierKey(vkey); err != nil {
		c.must(false, "%s: %w", what, err)
	}
}

func (s *SealLeaf) check(c *leafChecker) {
	c.text("trail", s.Trail)
	c.seals(s.Seal, s.Seal)
	c.must(s.Addendum >= 0, "addendum is %d", s.Addendum)
	c.must(s.Addendum == 0 || s.Seal > 1, "an addendum cannot be the first seal")
	c.must(!s.Manifest.IsZero(), "there is no manifest")
	c.must(seal.IsKeyID(s.Key), "key %.80q is no key id", s.Key)
}

func (k *KeyLeaf) check(c *leafChecker) {
	c.vkey("key", k.Key)
	c.optional("reason", k.Reason)
	c.must(k.Action == Genesis || k.Action == Rotate || k.Action == Revoke, "action %.80q is unknown", k.Action)
	c.must((k.Action == Genesis) == (k.Origin != ""), "a genesis, and nothing else, has an origin")
	if k.Origin != "" {
		c.must(seal.ValidKeyName(k.Origin), "origin %.80q holds white space, control characters or a plus sign", k.Origin)
	}
	c.must((k.Action == Rotate) == (k.Previous != ""), "a rotation, and nothing else, has a key before")
	if k.Previous != "" {
		c.vkey("previous", k.Previous)
	}
	c.must(k.From >= 0 && (k.From == 0 || k.Action == Revoke), "from is %d", k.From)
	if k.Action == Revoke {
		c.text("reason", k.Reason)
	}
}

func (h *HoldLeaf) check(c *leafChecker) {
	c.must(h.Action == HoldPut || h.Action == HoldRelease, "action %.80q is unknown", h.Action)
	c.text("trail", h.Trail)
	c.must(h.From.Day <= h.To.Day, "from %v to %v", h.From, h.To)
	c.optional("project", h.Project)
	c.text("reason", h.Reason)
	c.text("by", h.By)
}

func (e *ExtensionLeaf) check(c *leafChecker) {
	c.text("trail", e.Trail)
	c.seals(e.FirstSeal, e.LastSeal)
	c.time("retain_until", e.RetainUntil)
	c.must(e.RetainUntil.Nanosecond() == 0, "retain_until has a fraction of a second")
	c.text("reason", e.Reason)
	c.text("by", e.By)
}

func (e *ErasureLeaf) check(c *leafChecker) {
	c.text("trail", e.Trail)
	c.seals(e.Seal, e.Seal)
	if err := sink.CheckKey(e.Key); err != nil {
		c.must(false, "key: %w", err)
	}
	c.must(!e.SHA256.IsZero(), "there is no SHA-256")
	c.text("reason", e.Reason)
	c.text("by", e.By)
}

func (r *ReviewLeaf) check(c *leafChecker) {
	c.text("trail", r.Trail)
	c.seals(r.FirstSeal, r.LastSeal)
	c.must(!r.Manifest.IsZero(), "there is no manifest")
	c.vkey("reviewer", r.Reviewer)
	c.text("meaning", r.Meaning)
	c.text("result", r.Result)
	c.optional("comment", r.Comment)
}
