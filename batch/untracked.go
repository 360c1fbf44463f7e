package batch

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"daybook/event"
)

// Untracked tells whose events were not tracked: the commonest first, at most commonest of them.
type Untracked []UntrackedOf

// UntrackedOf is how many events of a project of an org were not tracked. Project is blank for those that name none.
type UntrackedOf struct {
	Org     string `json:"org"`
	Project string `json:"project,omitempty"`
	Events  int64  `json:"events"`
}

// With returns the sum of two.
func (u Untracked) With(more Untracked) Untracked {
	var c UntrackedCount
	for _, of := range slices.Concat(u, more) {
		c.add(of.Org, of.Project, of.Events)
	}
	return c.Commonest()
}

// What is kept of names, which come from outside: so many that are counted, so long, and so many that are told.
const (
	untrackedNames = 1024
	untrackedName  = 128
	commonest      = 10
)

// UntrackedCount counts events that were not tracked by org and project. Its memory is bounded: beyond the first 1024 names no new ones are counted. The zero value is
// empty; it belongs to one goroutine.
type UntrackedCount struct {
	of map[[2]string]int64
}

// Add counts an event, of which it keeps nothing.
func (c *UntrackedCount) Add(e *event.Event) { c.add(e.Get(event.Org), e.Get(event.ProjectID), 1) }

func (c *UntrackedCount) add(org, project string, n int64) {
	key := [2]string{cutName(org), cutName(project)}
	if _, ok := c.of[key]; ok {
		c.of[key] += n
		return
	}
	if len(c.of) >= untrackedNames {
		return
	}
	if c.of == nil {
		c.of = map[[2]string]int64{}
	}
	c.of[[2]string{strings.Clone(key[0]), strings.Clone(key[1])}] = n
}

func (c *UntrackedCount) merge(more *UntrackedCount) {
	for key, n := range more.of {
		c.add(key[0], key[1], n)
	}
}

// Commonest returns those with the most events.
func (c *UntrackedCount) Commonest() Untracked {
	var list Untracked
	for key, n := range maps.All(c.of) {
		list = append(list, UntrackedOf{Org: key[0], Project: key[1], Events: n})
	}
	slices.SortFunc(list, func(a, b UntrackedOf) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Org, b.Org), cmp.Compare(a.Project, b.Project))
	})
	return list[:min(len(list), commonest):min(len(list), commonest)]
}

// cutName cuts a name that is too long to be told.
func cutName(name string) string {
	if len(name) <= untrackedName {
		return name
	}
	n := untrackedName
	for n > 0 && !utf8.RuneStart(name[n]) {
		n--
	}
	return name[:n]
}
