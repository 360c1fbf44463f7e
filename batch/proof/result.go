package proof

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"daybook/batch/anchor"
	"daybook/batch/seal"
)

// Result is what a proof proves, and on whose word.
type Result struct {
	Schema int `json:"schema"`
	// Event is absent in the proof of a seal.
	Event *EventResult `json:"event,omitempty"`

	Trail    string    `json:"trail"`
	Org      string    `json:"org"`
	Day      seal.Date `json:"day"`
	Seal     uint64    `json:"seal"`
	Addendum int       `json:"addendum"`
	SealedAt time.Time `json:"sealed_at"`
	Manifest seal.Hash `json:"manifest_sha256"`
	// NoteKey signed the seal's note.
	NoteKey KeyResult `json:"note_key"`

	// The seal is leaf number Leaf, from 0, of the log Origin, whose head of that Size and Root CheckpointKey signed.
	Origin        string    `json:"origin"`
	Leaf          int64     `json:"leaf"`
	LoggedAt      time.Time `json:"logged_at"`
	Size          int64     `json:"size"`
	Root          seal.Hash `json:"root"`
	CheckpointKey KeyResult `json:"checkpoint_key"`

	// Key is the one of the keys given that vouches for the checkpoint; Rotations are the keys that were followed from it to the checkpoint's.
	KeysGiven bool        `json:"keys_given"`
	Key       *KeyResult  `json:"key,omitempty"`
	Rotations []KeyResult `json:"rotations,omitempty"`

	Receipts []ReceiptResult `json:"receipts"`
	// PolicyFault is why the policy that was given is not met.
	PolicyGiven bool   `json:"policy_given"`
	PolicyFault string `json:"policy_fault,omitempty"`
	// Pinned says that a checkpoint that was given is the proof's. OtherPins are the sizes of those that one file cannot be compared with.
	Pinned    bool    `json:"pinned"`
	OtherPins []int64 `json:"other_pins,omitempty"`
}

// EventResult is the event that was proven.
type EventResult struct {
	ID     string    `json:"id"`
	Source string    `json:"source"`
	Time   time.Time `json:"time"`
	Action string    `json:"action"`
	Actor  string    `json:"actor_id,omitempty"`
	// Its evidence row is number Index, from 0, of Rows in the file.
	File   string    `json:"file"`
	SHA256 seal.Hash `json:"file_sha256"`
	Index  int64     `json:"index"`
	Rows   int64     `json:"rows"`
	Row    string    `json:"row"`
}

// KeyResult names a key.
type KeyResult struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"`
}

func keyOf(k seal.PublicKey) KeyResult { return KeyResult{k.Name(), k.ID(), k.Fingerprint()} }

func (k KeyResult) String() string { return k.Fingerprint + " (" + printable(k.Name) + ")" }

// ReceiptResult is what an anchor says of the checkpoint.
type ReceiptResult struct {
	// Kind is witness or timestamp.
	Kind string    `json:"kind"`
	By   string    `json:"by"`
	At   time.Time `json:"at,omitzero"`
	// Checked: its signature is good. Vouched: by a key of the policy that was given.
	Checked bool `json:"checked"`
	Vouched bool `json:"vouched"`
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

// Vouched reports whether somebody vouches for the checkpoint whom the auditor knows from elsewhere: a key, a policy, or a checkpoint that was given.
func (r *Result) Vouched() bool {
	return r.Key != nil || r.PolicyGiven && r.PolicyFault == "" || r.Pinned
}

// witnessed reports whether a witness that the policy names cosigned the checkpoint: a policy may name the log's key, and ask for no more.
func (r *Result) witnessed() bool {
	return slices.ContainsFunc(r.Receipts, func(a ReceiptResult) bool { return a.Kind == anchor.KindWitness && a.Vouched })
}

// ExitCode is 0 if somebody vouches, a policy that was given is met, and a checkpoint that was given is the proof's, and 2 if not: what Check refused is 1, and no Result.
func (r *Result) ExitCode() int {
	uncompared := len(r.OtherPins) > 0 && !r.Pinned
	if !r.Vouched() || r.PolicyFault != "" || uncompared {
		return 2
	}
	return 0
}

// WriteText writes the result for people.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{what}, args...)...)
	}
	if e := r.Event; e != nil {
		line("event", "%s from %s at %s: %s by %s", printable(e.ID), orNone(e.Source), e.Time.Format(time.RFC3339Nano), printable(e.Action), orNone(e.Actor))
		line("stands", "as row %d of %d in %s", e.Index+1, e.Rows, printable(e.File))
	}
	line("sealed", "as seal %d of trail %s (org %s), day %v, at %s", r.Seal, printable(r.Trail), printable(r.Org), r.Day, r.SealedAt.Format(time.RFC3339))
	line("signed by", "key %v", r.NoteKey)
	line("logged", "as leaf %d of %d in %s, at %s", r.Leaf+1, r.Size, printable(r.Origin), r.LoggedAt.Format(time.RFC3339))
	line("head", "root %v, signed by key %v", r.Root, r.CheckpointKey)
	for _, a := range r.Receipts {
		r.receipt(line, a)
	}
	r.word(line)
	line("not shown", "that no other event has this id, that none is missing, and that no key was revoked later: verify the store for that")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) receipt(line func(what, format string, args ...any), a ReceiptResult) {
	switch {
	case a.Kind == anchor.KindTimestamp:
		line("time stamp", "%s by %s: fits the checkpoint; its authority was not checked", a.At.Format(time.RFC3339), printable(a.By))
	case a.Vouched:
		line("witnessed", "%s by %s, whom your policy names", a.At.Format(time.RFC3339), printable(a.By))
	default:
		line("cosigned", "by %s: not checked, since no policy that you gave names its key", printable(a.By))
	}
}

// word says on whose word all that stands.
func (r *Result) word(line func(what, format string, args ...any)) {
	switch {
	case r.Key != nil && len(r.Rotations) == 0:
		line("on the word", "of key %v, which you gave", *r.Key)
	case r.Key != nil:
		line("on the word", "of key %v, which you gave, and the keys that it led to:", *r.Key)
		for _, k := range r.Rotations {
			line("", "%v", k)
		}
	}
	if r.Pinned {
		line("on the word", "of the checkpoint that you gave, which is the proof's")
	}
	for _, size := range r.OtherPins {
		line("not compared", "the checkpoint of size %d that you gave: one file cannot tell whether the two agree. Verify the store with it", size)
	}
	switch {
	case r.PolicyGiven && r.PolicyFault == "" && r.witnessed():
		line("on the word", "of your policy, whose quorum signed the checkpoint")
	case r.PolicyGiven && r.PolicyFault == "":
		line("on the word", "of the log's key, which your policy names; it asks for no witness")
	case r.PolicyGiven:
		line("policy", "not met: %s", printable(r.PolicyFault))
	}
	if !r.Vouched() {
		line("on no word", "that you gave: the key is the proof's own. Compare %s with its owner, over the telephone, and give it with --key", r.CheckpointKey.Fingerprint)
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return printable(s)
}

// printable keeps what a hostile proof says from moving the cursor of a terminal.
func printable(s string) string {
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprintf("%q", s), `\"`, `"`), `"`)
}

// WriteJSON writes the result as JSON.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
