package verify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"daybook/batch/seal"
)

// Finding is one thing that an auditor should know.
type Finding struct {
	Code   string `json:"code"`
	Status Status `json:"status"`
	// Key is the object's, as the store names it; blank if it is about no single object.
	Key   string     `json:"object,omitempty"`
	Trail string     `json:"trail,omitempty"`
	Seal  uint64     `json:"seal,omitempty"`
	Day   *seal.Date `json:"day,omitempty"`
	// Expected and Found are for people.
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
}

func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Code)
	if f.Trail != "" {
		fmt.Fprintf(&b, " trail %s", printable(f.Trail))
		if f.Seal > 0 {
			fmt.Fprintf(&b, " seal %d", f.Seal)
		}
		if f.Day != nil {
			fmt.Fprintf(&b, " of %v", f.Day)
		}
	}
	if f.Key != "" {
		fmt.Fprintf(&b, " %s", printable(f.Key))
	}
	if f.Expected != "" {
		fmt.Fprintf(&b, ": expected %s", printable(f.Expected))
	}
	if f.Found != "" {
		fmt.Fprintf(&b, "; found %s", printable(f.Found))
	}
	return b.String()
}

// printable keeps what a hostile store says from moving the cursor of a terminal.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// Levels say how far the store was verified. There is no single word for it.
type Levels struct {
	Files FilesLevel `json:"files"`
	Chain ChainLevel `json:"chain"`
	Head  HeadLevel  `json:"head"`
}

// FilesLevel is about data files.
type FilesLevel struct {
	// Intact: every file that was to be checked is as it was sealed.
	Intact bool `json:"intact"`
	// Deep: every rendering was compared with the evidence as well.
	Deep bool `json:"deep"`
	// Locks: versions and locks were read back and checked too.
	Locks bool `json:"locks"`
}

// ChainLevel is about seals, keys and the log.
type ChainLevel struct {
	Intact bool `json:"intact"`
	// Signed is false where the seals are not signed.
	Signed bool `json:"signed"`
	// Logged: all of it is in the log.
	Logged bool `json:"logged"`
	// SignedBy is the key in force. VouchedBy are the keys of yours that vouch for it.
	SignedBy  string   `json:"signed_by,omitempty"`
	VouchedBy []string `json:"vouched_by,omitempty"`
}

// HeadLevel is about the log's end.
type HeadLevel struct {
	// Anchored: an anchor that was checked covers the newest checkpoint.
	Anchored bool     `json:"anchored"`
	Anchors  []Anchor `json:"anchors,omitempty"`
	// Origin, Size and Root are those of the newest checkpoint whose signature and leaves were checked; blank if there is none.
	Origin string    `json:"origin,omitempty"`
	Size   int64     `json:"size,omitempty"`
	Root   seal.Hash `json:"root,omitzero"`
}

// Anchor is a checkpoint that somebody else confirmed.
type Anchor struct {
	// Kind is witness, timestamp or checkpoint (one that you hold).
	Kind string `json:"kind"`
	By   string `json:"by"`
	// At is what the anchor says; zero if it says none.
	At   time.Time `json:"at,omitzero"`
	Size int64     `json:"size"`
	// Checked: its signature is good by what you gave (policy, CA certificates).
	Checked bool `json:"checked"`
}

// TrailReport is about a trail.
type TrailReport struct {
	Trail string     `json:"trail"`
	Seals int        `json:"seals"`
	First *seal.Date `json:"first,omitempty"`
	Last  *seal.Date `json:"last,omitempty"`
	// Days were sealed; Events are in them.
	Days   int   `json:"days"`
	Events int64 `json:"events"`
	Files  int64 `json:"files"`
	Bytes  int64 `json:"bytes"`
}

// KeyReport is about a signing key.
type KeyReport struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	Fingerprint string `json:"fingerprint"`
	// First and Last are the leaves between which it signs; Last is -1 for the key in force. Without a log both are 0.
	First int64 `json:"first_leaf"`
	Last  int64 `json:"last_leaf"`
	// RevokedFrom is the first leaf for which it vouches no more; -1 if it was not revoked.
	RevokedFrom int64 `json:"revoked_from"`
	Yours       bool  `json:"yours"`
}

// Counts are of what was looked at.
type Counts struct {
	Objects int64 `json:"objects"`
	Seals   int64 `json:"seals"`
	Leaves  int64 `json:"leaves"`
	// Files were read in full, of Bytes; Rows of evidence were hashed.
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
	Rows  int64 `json:"rows"`
	// Compared rows of renderings were compared with the evidence.
	Compared int64 `json:"compared"`
	// Skipped files lie outside of what was asked for.
	Skipped int64 `json:"skipped"`
}

// Report is what came of a verification.
type Report struct {
	Schema   int           `json:"schema"`
	Asked    []string      `json:"asked"`
	At       time.Time     `json:"at"`
	Levels   Levels        `json:"levels"`
	Exit     int           `json:"exit_code"`
	Partial  bool          `json:"partial"`
	Counts   Counts        `json:"counts"`
	Trails   []TrailReport `json:"trails"`
	Keys     []KeyReport   `json:"keys"`
	Findings []Finding     `json:"findings"`
	// More is how many findings of a code there are beyond the maxFindings that are listed.
	More map[string]int64 `json:"more,omitempty"`
	// Tally is how many findings there are of each status.
	Tally map[Status]int64 `json:"tally"`

	// unproven: there is a log here, of which no checkpoint could be checked.
	unproven bool
	// elsewhere says where a store is, where this is none.
	elsewhere string

	mu sync.Mutex // guards findings while workers are at work
	// seen is how many there are of each code.
	seen     map[string]int64
	statuses map[string]Status
}

// maxFindings is how many findings of one code a report lists: memory must not grow with how broken a store is.
const maxFindings = 1000

func newReport(at time.Time) *Report {
	r := &Report{Schema: 1, At: at, Asked: []string{}, Tally: map[Status]int64{}, More: map[string]int64{}, seen: map[string]int64{}, statuses: map[string]Status{}}
	for _, c := range Codes() {
		r.statuses[c.Name] = c.Status
	}
	return r
}

// add files a finding under the status of its code.
func (r *Report) add(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Status = r.statuses[f.Code]
	f.Expected, f.Found, f.Trail = cut(f.Expected), cut(f.Found), cut(f.Trail)
	if f.Day != nil { // it is a manifest's, which must not stay in memory for as long as the finding
		day := *f.Day
		f.Day = &day
	}
	r.Tally[f.Status]++
	if r.seen[f.Code]++; r.seen[f.Code] > maxFindings {
		r.More[f.Code]++
		return
	}
	r.Findings = append(r.Findings, f)
}

// cut keeps a finding from growing with what a hostile store says.
func cut(s string) string {
	const most = 400
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…" // a copy: s may be part of something large
}

// has reports whether there is a finding of one of these codes.
func (r *Report) has(codes ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(codes, func(c string) bool { return r.seen[c] > 0 })
}

var statusOrder = map[Status]int{Altered: 0, Unreadable: 1, Incomplete: 2, Absent: 3, Note: 4}

// finish puts the findings in order and settles the exit code.
func (r *Report) finish() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(statusOrder[a.Status], statusOrder[b.Status]), cmp.Compare(a.Trail, b.Trail), cmp.Compare(a.Seal, b.Seal),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Expected, b.Expected), cmp.Compare(a.Found, b.Found))
	})
	r.Exit = r.ExitCode()
}

// ExitCode is 0 if the store was verified to the level that was asked for, 1 if something was altered, 3 if something could not be read, 2 if the level
// was not reached. What is worse hides what is better, in this order.
func (r *Report) ExitCode() int {
	switch {
	case r.Tally[Altered] > 0:
		return 1
	case r.Tally[Unreadable] > 0:
		return 3
	case r.Tally[Incomplete] > 0:
		return 2
	}
	return 0
}

// WriteJSON writes the report as JSON.
func (r *Report) WriteJSON(w io.Writer) error {
	out := struct {
		*Report
		// Lists are never null.
		Trails   []TrailReport `json:"trails"`
		Keys     []KeyReport   `json:"keys"`
		Findings []Finding     `json:"findings"`
	}{r, append([]TrailReport{}, r.Trails...), append([]KeyReport{}, r.Keys...), append([]Finding{}, r.Findings...)}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	_, err := w.Write(escape(b.Bytes()))
	return err
}

// escape writes what encoding/json leaves as it is and a terminal may obey, such as C1 controls and marks that turn the direction of text, as JSON escapes.
// They can only stand within strings.
func escape(data []byte) []byte {
	if !bytes.ContainsFunc(data, commands) {
		return data
	}
	out := make([]byte, 0, len(data)+len(data)/8)
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		switch {
		case !commands(r):
			out = append(out, data[:n]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		data = data[n:]
	}
	return out
}

func commands(r rune) bool { return r >= 0x7f && !unicode.IsPrint(r) }
