package batch

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"daybook/batch/spool"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
)

// Trail is a named audit log of one org.
type Trail struct {
	Name string
	// Org is the tenant whose events the trail takes; blank takes those of every org.
	Org string
	// Projects limits the trail to these projects; none: every project of the org.
	Projects []string
	// Formats are the renderings to make. JSONL is made whether it is among them or not.
	Formats []formats.Format
	// SplitProjects asks for CSV, CEF and syslog files of their own for each project, for at most MaxSplit projects.
	SplitProjects bool
	MaxSplit      int
}

// covers reports whether the trail takes events of that org and project.
func (t *Trail) covers(e *event.Event) bool {
	return (t.Org == "" || t.Org == e.Get(event.Org)) && (len(t.Projects) == 0 || slices.Contains(t.Projects, e.Get(event.ProjectID)))
}

// orgName is the org as a manifest names it.
func (t *Trail) orgName() string {
	if t.Org == "" {
		return "*"
	}
	return t.Org
}

// Class is a retention class: events whose type or action matches a pattern, kept for so long.
type Class struct {
	Name string
	// Match holds globs: `*` stands for any text, `?` for any one character.
	Match []string
	Mode  sink.Mode
	// Retain counts from the time of the seal.
	Retain time.Duration
}

// DefaultClass is the class where none is configured.
const DefaultClass = "standard"

// router tells which files an event goes into. Each worker has one of its own.
type router struct {
	trails  []Trail
	classes []Class
	asOf    event.Day
	cache   map[[2]string]uint8
}

func newRouter(trails []Trail, classes []Class, asOf time.Time) *router {
	return &router{trails: trails, classes: classes, asOf: event.DayOf(asOf), cache: map[[2]string]uint8{}}
}

// day is the day that an event is filed under.
func (r *router) day(e *event.Event, suspect bool) event.Day {
	if suspect {
		return r.asOf
	}
	return event.DayOf(e.Time)
}

// routeCache bounds the cache of classes, since actions come from outside.
const routeCache = 4096

// class returns the index of the first class that matches; events that none matches are in the last.
func (r *router) class(e *event.Event) uint8 {
	if len(r.classes) == 1 {
		return 0
	}
	typ, action := e.Get(event.Type), e.Get(event.Action)
	if c, ok := r.cache[[2]string{typ, action}]; ok {
		return c
	}
	c := uint8(len(r.classes) - 1)
	for i, class := range r.classes {
		if slices.ContainsFunc(class.Match, func(p string) bool { return glob(p, typ) || glob(p, action) }) {
			c = uint8(i)
			break
		}
	}
	if len(r.cache) < routeCache {
		r.cache[[2]string{strings.Clone(typ), strings.Clone(action)}] = c
	}
	return c
}

// glob reports whether s matches pattern, in which * stands for any text and ? for any one byte.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// What there may be of trails and classes.
const (
	maxTrails  = 1<<16 - 1
	maxClasses = 255
)

func checkTrails(trails []Trail, classes []Class) error {
	if len(trails) == 0 || len(trails) > maxTrails {
		return fmt.Errorf("%d trails: must be 1 to %d", len(trails), maxTrails)
	}
	if len(classes) == 0 || len(classes) > maxClasses {
		return fmt.Errorf("%d retention classes: must be 1 to %d", len(classes), maxClasses)
	}
	return nil
}

// rows is where the events of a trail's day come from, in order. Scan may be called again.
type rows interface {
	Scan(trail uint16, day event.Day, stats *spool.ScanStats) iter.Seq2[spool.Item, error]
}
