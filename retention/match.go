package retention

import (
	"slices"
	"strings"
)

// Everything is the pattern that matches every event.
const Everything = "*"

// Match reports whether s matches pattern, in which * stands for any text and ? for any one byte.
func Match(pattern, s string) bool {
	return matches(pattern, s, func(p, c byte) bool { return p == '?' || p == c })
}

// matches is Match where one says which byte of the pattern, that is no *, takes which byte of s.
func matches(pattern, s string, takes func(p, c byte) bool) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && takes(pattern[p], s[i]):
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

// Matches reports whether an event of that type and action is of the policy, were it asked first.
func (p *Policy) Matches(typ, action string) bool {
	return slices.ContainsFunc(p.EventTypes, func(pattern string) bool { return Match(pattern, typ) || Match(pattern, action) })
}

// Of returns the index of the first policy that matches, or else of the default.
func (l Policies) Of(typ, action string) int {
	for i := range l {
		if l[i].Matches(typ, action) {
			return i
		}
	}
	return l.Default()
}

// Default is the index of the policy of what nothing matches, and of days without events: the one that says so, else the first that matches everything,
// else the last. It is -1 if there are no policies.
func (l Policies) Default() int {
	if i := slices.IndexFunc(l, func(p Policy) bool { return p.Default }); i >= 0 {
		return i
	}
	if i := slices.IndexFunc(l, func(p Policy) bool { return slices.Contains(p.EventTypes, Everything) }); i >= 0 {
		return i
	}
	return len(l) - 1
}
