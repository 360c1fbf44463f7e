package retention

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"daybook/sink"
)

// How much a finding matters. A Note needs nobody.
const (
	Fault   = "fault"
	Warning = "warning"
	Note    = "note"
)

// Codes of findings.
const (
	TooShort    = "too-short"          // kept shorter than a framework asks
	TooLong     = "too-long"           // kept longer than a framework allows
	NotAtHand   = "not-at-hand"        // cold before a framework allows
	NotLocked   = "not-locked"         // a framework asks for a period, and nothing holds files so long
	NoPeriod    = "no-period"          // a framework leaves the period to other rules
	Conflict    = "conflict"           // no class can meet two frameworks
	Ceiling     = "compliance-ceiling" // a compliance lock is longer than the ceiling
	Shadowed    = "shadowed"           // a pattern of an earlier policy takes all that this one matches
	Redundant   = "redundant"          // a pattern of the same policy matches all that this one matches
	NoMatch     = "no-match"           // a pattern has matched nothing
	ShorterWins = "shorter-wins"       // events are of a class that is kept shorter than another that they match
	NoMove      = "no-move"            // a tier names no storage
)

// Codes returns all codes of findings.
func Codes() []string {
	return []string{TooShort, TooLong, NotAtHand, NotLocked, NoPeriod, Conflict, Ceiling, Shadowed, Redundant, NoMatch, ShorterWins, NoMove}
}

// Finding is one thing that lint found.
type Finding struct {
	Code      string `json:"code"`
	Level     string `json:"level"`
	Class     string `json:"class,omitempty"`
	Framework string `json:"framework,omitempty"`
	Pattern   string `json:"pattern,omitempty"`
	Message   string `json:"message"`
	// Hint is a way out; blank where there is none to be had.
	Hint string `json:"hint,omitempty"`
}

// Seen is how often events of a type and action were sealed.
type Seen struct {
	Type, Action string
	Events       int64
}

// LintOptions say what policies are held to.
type LintOptions struct {
	// Frameworks are those that every class is held to, beside its preset.
	Frameworks []Framework
	// Ceiling is how many years a compliance lock may last; 0: any.
	Ceiling int
	// History is what was sealed; nil: nobody looked, and nothing is said of it.
	History []Seen
	// Now is a day to count periods from, and the three years after it.
	Now time.Time
}

// Lint says what is doubtful in the policies, class by class.
func (l Policies) Lint(o LintOptions) []Finding {
	t := linter{policies: l, o: o}
	for i := range l {
		t.class(&l[i])
		t.patterns(i)
	}
	t.conflicts()
	t.history()
	return t.findings
}

type linter struct {
	policies Policies
	o        LintOptions
	findings []Finding
}

func (t *linter) add(f Finding, hint, format string, args ...any) {
	f.Message, f.Hint = fmt.Sprintf(format, args...), hint
	t.findings = append(t.findings, f)
}

// frameworksOf are those that the class is held to: its preset, and those of all.
func (t *linter) frameworksOf(p *Policy) []Framework {
	list := slices.Clone(t.o.Frameworks)
	named := func(f Framework) bool { return f.Name == p.Preset }
	if f, ok := FrameworkNamed(p.Preset); ok && !slices.ContainsFunc(list, named) {
		list = append(list, f)
	}
	return list
}

// days calls use with every day of four years, so that a period is held to its longest and its shortest.
func (t *linter) days(use func(sealed time.Time) bool) bool {
	for n := range 4*365 + 1 {
		if use(t.o.Now.UTC().AddDate(0, 0, n)) {
			return true
		}
	}
	return false
}

func (t *linter) class(p *Policy) {
	for _, f := range t.frameworksOf(p) {
		t.framework(p, f)
	}
	about := Finding{Class: p.Class}
	if t.o.Ceiling > 0 && p.Mode == sink.Compliance {
		beyond := func(sealed time.Time) bool {
			return p.Lock(sealed).RetainUntil.After(sealed.AddDate(t.o.Ceiling, 0, 0).Add(time.Second))
		}
		if t.days(beyond) {
			about.Code, about.Level = Ceiling, Fault
			_, by := p.until(t.o.Now.UTC())
			t.add(about, "shorten the age before anything more is sealed: what is sealed keeps its lock, and nobody can lift it", "%s is a compliance lock of more than %d years", by, t.o.Ceiling)
		}
	}
	about.Code, about.Level = NoMove, Note
	if p.WarmDays > 0 && p.WarmStorage == "" {
		t.add(about, "", "warm_storage is not named: files stay where they are at hot_days")
	}
	if p.ColdYears > 0 && p.ColdStorage == "" {
		t.add(about, "", "cold_storage is not named: files stay where they are until cold_years")
	}
}

// framework holds a class to a framework.
func (t *linter) framework(p *Policy, f Framework) {
	about := Finding{Class: p.Class, Framework: f.Name}
	_, by := p.until(t.o.Now.UTC())
	if f.NoPeriod {
		about.Code, about.Level = NoPeriod, Note
		t.add(about, "", "%s names no period: compare %s with how long the records are kept that the events are about", f.Title, cmp.Or(by, "that nothing is kept"))
	}
	switch {
	case by == "" || p.Mode == sink.None:
		about.Code, about.Level = NotLocked, Fault
		t.add(about, "write ages, and a mode, for an s3:// store", "nothing holds the files of the class: they are not locked")
	case !f.Min.IsZero() && t.days(func(sealed time.Time) bool { until, _ := p.until(sealed); return until.Before(f.Min.After(sealed)) }):
		about.Code, about.Level = TooShort, Fault
		t.add(about, "keep it for "+f.Min.String(), "%s is less than the %s of %s", by, f.Min, f.Title)
	}
	if !f.Max.IsZero() && t.days(func(sealed time.Time) bool {
		until, _ := p.until(sealed)
		return until.After(f.Max.After(sealed).Add(time.Second))
	}) {
		about.Code, about.Level = TooLong, Fault
		t.add(about, "give events that other rules keep longer a class of their own", "%s is more than the %s of %s", by, f.Max, f.Title)
	}
	atHand := func(sealed time.Time) bool {
		d := p.Dates(sealed)
		return d.Cold != nil && d.Cold.At.Before(f.Available.After(sealed))
	}
	if !f.Available.IsZero() && t.days(atHand) {
		about.Code, about.Level = NotAtHand, Fault
		t.add(about, "move to cold storage later", "cold after %d days: %s asks for %s at hand", p.Lifecycle().ColdAfter, f.Title, f.Available)
	}
}

// patterns looks for what can match nothing, since an earlier pattern matches it all.
func (t *linter) patterns(i int) {
	p := &t.policies[i]
	for k, pattern := range p.EventTypes {
		about := Finding{Class: p.Class, Pattern: pattern}
		for j := range t.policies[:i] {
			earlier := &t.policies[j]
			if at := slices.IndexFunc(earlier.EventTypes, func(e string) bool { return covers(e, pattern) }); at >= 0 {
				about.Code, about.Level = Shadowed, Warning
				t.add(about, "put this policy first, or remove the pattern", "%q of class %s, which is asked first, matches all of it", earlier.EventTypes[at], earlier.Class)
				break
			}
		}
		for n, other := range p.EventTypes {
			if n != k && covers(other, pattern) && (n < k || !covers(pattern, other)) {
				about.Code, about.Level = Redundant, Note
				t.add(about, "", "%q of the same class matches all of it", other)
				break
			}
		}
	}
}

// covers reports whether pattern wide matches whatever narrow matches. Where it says so it is so; where two patterns say the same in very different ways it may not see it.
func covers(wide, narrow string) bool {
	return matches(plain(wide), plain(narrow), func(w, n byte) bool { return n != '*' && (w == '?' || w == n) })
}

// plain puts the ? of a run of wildcards first, and makes one * of several: *?* matches what ?* does.
func plain(pattern string) string {
	var b strings.Builder
	star := false
	end := func() {
		if star {
			b.WriteByte('*')
		}
		star = false
	}
	for _, c := range []byte(pattern) {
		switch c {
		case '*':
			star = true
		case '?':
			b.WriteByte('?')
		default:
			end()
			b.WriteByte(c)
		}
	}
	end()
	return b.String()
}

// conflicts tells of frameworks of which no class can meet both.
func (t *linter) conflicts() {
	for i, a := range t.o.Frameworks {
		for _, b := range t.o.Frameworks[i+1:] {
			long, short := a, b
			if a.Min.Months < b.Min.Months {
				long, short = b, a
			}
			if !short.Max.IsZero() && long.Min.Months > short.Max.Months {
				t.add(Finding{Code: Conflict, Level: Warning, Framework: long.Name}, "give the events that each is about a class of their own, with its preset, and leave --framework out",
					"%s asks for %s, and %s allows %s: no class meets both", long.Title, long.Min, short.Title, short.Max)
			}
		}
	}
}

// history compares the policies with what was sealed.
func (t *linter) history() {
	if t.o.History == nil {
		return
	}
	total := int64(0)
	for _, s := range t.o.History {
		total += s.Events
	}
	for i := range t.policies {
		p := &t.policies[i]
		for _, pattern := range p.EventTypes {
			if !slices.ContainsFunc(t.o.History, func(s Seen) bool { return Match(pattern, s.Type) || Match(pattern, s.Action) }) {
				t.add(Finding{Code: NoMatch, Level: Warning, Class: p.Class, Pattern: pattern}, "look for a slip of the pen; letter case counts", "it matches none of %d events", total)
			}
		}
	}
	lost := map[[2]int]Seen{} // by the class that wins and the one that would keep longer: one example, and all events
	for _, s := range t.o.History {
		wins := t.policies.Of(s.Type, s.Action)
		for j := wins + 1; j < len(t.policies); j++ {
			p := &t.policies[j]
			if j == t.policies.Default() || !p.Matches(s.Type, s.Action) || !t.longer(p, &t.policies[wins]) {
				continue
			}
			sum := lost[[2]int{wins, j}]
			if sum.Events == 0 {
				sum = Seen{s.Type, s.Action, 0}
			}
			sum.Events += s.Events
			lost[[2]int{wins, j}] = sum
		}
	}
	for wins := range t.policies {
		for j := range t.policies {
			if s, ok := lost[[2]int{wins, j}]; ok {
				t.add(Finding{Code: ShorterWins, Level: Warning, Class: t.policies[wins].Class}, "put the class that is kept longer first, if that is what is meant",
					"%d events such as %s %s match class %s as well, which is kept longer", s.Events, s.Type, s.Action, t.policies[j].Class)
			}
		}
	}
}

// longer reports whether p keeps longer than other.
func (t *linter) longer(p, other *Policy) bool {
	mine, _ := p.until(t.o.Now.UTC())
	theirs, _ := other.until(t.o.Now.UTC())
	return mine.After(theirs)
}
