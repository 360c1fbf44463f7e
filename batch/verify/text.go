package verify

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"
)

// maxShown is how many findings of one code WriteText shows.
const maxShown = 20

// WriteText writes the report for people. Its first line says UNSIGNED if the seals are not signed.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)                                                        // keeps the first error
	p := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) } //nolint:errcheck // Flush returns it
	if r.unsigned() {
		p("UNSIGNED: the seals are not signed. Whoever can write to the store can make others.")
	}
	p("%s", r.verdict())
	p("  files  %s", r.filesLine())
	p("  chain  %s", r.chainLine())
	p("  head   %s", r.headLine())
	for _, a := range r.Levels.Head.Anchors[:min(len(r.Levels.Head.Anchors), maxShown)] {
		p("         %s", a)
	}
	p("")
	for _, t := range r.Trails {
		days := "no days"
		if t.First != nil {
			days = fmt.Sprintf("%v to %v", t.First, t.Last)
		}
		p("trail %s: %s of %s, %s, %s, %s, %d bytes", printable(t.Trail), plural(int64(t.Seals), "seal"), plural(int64(t.Days), "day"), days, plural(t.Events, "event"), plural(t.Files, "file"), t.Bytes)
	}
	for _, k := range r.Keys {
		p("key   %s", k)
	}
	c := r.Counts
	p("read  %d files, %d bytes; %d rows of evidence, %d rows of renderings compared; %d leaves of the log; %d objects in the store", c.Files, c.Bytes, c.Rows, c.Compared, c.Leaves, c.Objects)
	if c.Skipped > 0 {
		p("      %d files lie outside of what was asked for, and were not read", c.Skipped)
	}
	for _, s := range []Status{Altered, Unreadable, Incomplete, Absent, Note} {
		r.writeFindings(p, s)
	}
	r.writeAdvice(p)
	return b.Flush()
}

// writeAdvice says once of each code that is at fault what to do about it.
func (r *Report) writeAdvice(p func(string, ...any)) {
	begun := false
	for _, c := range Codes() {
		if c.Status != Altered && c.Status != Unreadable && c.Status != Incomplete || !r.has(c.Name) {
			continue
		}
		if !begun {
			p("\nwhat to do")
			begun = true
		}
		p("  %s: %s", c.Name, c.Do)
	}
}

func (r *Report) writeFindings(p func(string, ...any), s Status) {
	if r.Tally[s] == 0 {
		return
	}
	p("")
	p("%s: %d", s, r.Tally[s])
	shown := map[string]int64{}
	for _, f := range r.Findings {
		if f.Status != s {
			continue
		}
		if shown[f.Code]++; shown[f.Code] <= maxShown {
			p("  %v", f)
		}
	}
	for _, c := range Codes() {
		if n := shown[c.Name] + r.More[c.Name]; c.Status == s && n > maxShown {
			p("  %s: %d more", c.Name, n-maxShown)
		}
	}
}

func (r *Report) unsigned() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == codeUnsigned })
}

func (r *Report) verdict() string {
	switch r.Exit {
	case 0:
		return "verified to the level below"
	case 1:
		verdict := "ALTERED: " + plural(r.Tally[Altered], "finding")
		if r.Counts.Seals == 0 {
			verdict += ". No seal is here: make sure that this is the store"
			if r.elsewhere != "" {
				verdict += "; there is one " + r.elsewhere
			}
		}
		return verdict
	case 3:
		return fmt.Sprintf("NOT READ: %s could not be read or understood", plural(r.Tally[Unreadable], "object"))
	}
	return "INCOMPLETE: the level that was asked for is not reached"
}

func (r *Report) filesLine() string {
	f := r.Levels.Files
	var parts []string
	switch {
	case !f.Intact:
		parts = append(parts, r.notIntact())
	case r.Tally[Absent] > 0 || r.Counts.Skipped > 0:
		parts = append(parts, "intact, as far as they are here and were asked for")
	default:
		parts = append(parts, "intact")
	}
	if f.Deep {
		parts = append(parts, "renderings compared with the evidence")
	}
	if f.Locks {
		parts = append(parts, "locks in force")
	} else {
		parts = append(parts, "locks not verified")
	}
	return strings.Join(parts, " · ")
}

func plural(n int64, what string) string { return english.Plural(int(n), what, "") }

// notIntact is said of a level that was not reached: of files and seals that nobody vouches for it is not known what they should be.
func (r *Report) notIntact() string {
	if r.Tally[Altered] == 0 && r.Counts.Files == 0 && r.has(codeNothing) {
		return "nothing was read"
	}
	if r.Tally[Altered] == 0 && r.has(codeSealUnvouched, codeSealIncomplete) {
		return "not all vouched for"
	}
	return "not intact"
}

func (r *Report) chainLine() string {
	c := r.Levels.Chain
	var parts []string
	if c.Intact {
		parts = append(parts, "intact")
	} else {
		parts = append(parts, r.notIntact())
	}
	switch {
	case c.SignedBy != "":
		parts = append(parts, "signed by "+c.SignedBy)
	default:
		parts = append(parts, "not signed")
	}
	if !c.Logged {
		parts = append(parts, "not all in the log")
	}
	if len(c.VouchedBy) > 0 {
		parts = append(parts, "vouched for by your key "+strings.Join(c.VouchedBy, ", "))
	} else {
		parts = append(parts, "no key of yours vouches for it")
	}
	return strings.Join(parts, " · ")
}

func (r *Report) headLine() string {
	h := r.Levels.Head
	if r.unproven {
		return "unanchored · no checkpoint of the log could be checked"
	}
	if h.Size == 0 {
		return "unanchored · no log"
	}
	where := fmt.Sprintf("%s %d %v", printable(h.Origin), h.Size, h.Root)
	if !h.Anchored {
		return "unanchored · " + where
	}
	return "anchored · " + where
}

func (a Anchor) String() string {
	s := fmt.Sprintf("%s %s, up to %d leaves", a.Kind, printable(a.By), a.Size)
	if !a.At.IsZero() {
		s += ", at " + stamp(a.At)
	}
	if !a.Checked {
		s += " (nobody you named vouches for it)"
	}
	return s
}

func (k KeyReport) String() string {
	s := fmt.Sprintf("%s %s, from leaf %d", k.Fingerprint, printable(k.Name), k.First)
	if k.Last >= 0 {
		s += fmt.Sprintf(" to %d", k.Last)
	}
	if k.RevokedFrom >= 0 {
		s += fmt.Sprintf(", revoked from leaf %d on", k.RevokedFrom)
	}
	if k.Yours {
		s += ", yours"
	}
	return s
}
