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
	"daybook/retention"
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

// router tells which files an event goes into. Each worker has one of its own.
type router struct {
	trails   []Trail
	policies retention.Policies
	asOf     event.Day
	cache    map[[2]string]uint8
}

func newRouter(trails []Trail, policies retention.Policies, asOf time.Time) *router {
	return &router{trails: trails, policies: policies, asOf: event.DayOf(asOf), cache: map[[2]string]uint8{}}
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

// class returns the index of the event's retention class.
func (r *router) class(e *event.Event) uint8 {
	if len(r.policies) == 1 {
		return 0
	}
	typ, action := e.Get(event.Type), e.Get(event.Action)
	if c, ok := r.cache[[2]string{typ, action}]; ok {
		return c
	}
	c := uint8(r.policies.Of(typ, action))
	if len(r.cache) < routeCache {
		r.cache[[2]string{strings.Clone(typ), strings.Clone(action)}] = c
	}
	return c
}

// What there may be of trails and classes.
const (
	maxTrails  = 1<<16 - 1
	maxClasses = 255
)

func checkTrails(trails []Trail) error {
	if len(trails) == 0 || len(trails) > maxTrails {
		return fmt.Errorf("%d trails: must be 1 to %d", len(trails), maxTrails)
	}
	return nil
}

func checkPolicies(policies retention.Policies) error {
	if len(policies) == 0 || len(policies) > maxClasses {
		return fmt.Errorf("%d retention classes: must be 1 to %d", len(policies), maxClasses)
	}
	return nil
}

// rows is where the events of a trail's day come from, in order. Scan may be called again.
type rows interface {
	Scan(trail uint16, day event.Day, stats *spool.ScanStats) iter.Seq2[spool.Item, error]
}
