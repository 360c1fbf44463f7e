// Package retention says how long what is kept: a policy for each retention class, and from it the dates of a seal and the ages of a lifecycle rule.
//
// Ages are thresholds that are counted from the time of the seal, never sums: hot until day 90, warm until day 365, cold until year 7, and locked until the
// last of them. A day has 24 hours, days and years are those of UTC, and a year is the calendar's: what is sealed on 29 February is kept until 1 March, so that no
// year is ever shorter than it was meant. Event times are not asked: a forged time stamp must not shorten a lock.
//
// It is arithmetic: it reads no file, no store and no clock. The roller takes locks from it, lifecycle rules their days, and the commands what they print.
package retention

import (
	"fmt"
	"slices"
	"time"

	"daybook/sink"
)

// Policy is what holds for a retention class.
type Policy struct {
	// Class is the class's name, unique.
	Class string
	// EventTypes are globs of an event's type or action, as Match reads them.
	EventTypes []string
	// Default takes what nothing matches, and days without events. See Policies.Default.
	Default bool
	// Mode locks the files; None leaves them unlocked, and the ages are then of lifecycle rules alone.
	Mode sink.Mode
	// HotDays, WarmDays and ColdYears are how old files are when they leave the tier; 0: there is no such tier. Those that are not 0 ascend.
	HotDays, WarmDays, ColdYears int
	// WarmStorage and ColdStorage are what S3 calls a storage class, and MinIO a tier. Blank: files stay where they are.
	WarmStorage, ColdStorage string
	// Retain, where it is not 0, stands for the ages: a lock of less than a day, for trying a store.
	Retain time.Duration
	// Preset is the framework whose ages stand for those that were not written; blank: none.
	Preset string
}

// Policies are the policies of a store, in the order in which they are asked.
type Policies []Policy

// Date is a date of a seal's files, and the rule that it follows from, as the configuration writes it: "cold_years: 7".
type Date struct {
	At time.Time `json:"at"`
	By string    `json:"by"`
}

// Dates are those of the files of one seal of one class. A date is nil where there is none.
type Dates struct {
	// Warm and Cold are when files move.
	Warm *Date `json:"warm,omitempty"`
	Cold *Date `json:"cold,omitempty"`
	// Until is how long files are kept, and locked where the class has a mode. UTC, whole seconds, rounded up: S3 keeps no more.
	Until *Date `json:"until,omitempty"`
	// Deletable is the first midnight, UTC, at which a lifecycle rule may remove them: they do their work at midnight.
	Deletable *Date `json:"deletable,omitempty"`
}

// Dates returns the dates of what is sealed at that time.
func (p *Policy) Dates(sealed time.Time) Dates {
	var d Dates
	sealed = sealed.UTC()
	until, by := p.until(sealed)
	if by == "" {
		return d
	}
	d.Until = &Date{until, by}
	midnight := until.Truncate(24 * time.Hour)
	if midnight.Before(until) {
		midnight = midnight.AddDate(0, 0, 1)
	}
	d.Deletable = &Date{midnight, by}
	m := p.moves()
	if m.Warm != "" {
		d.Warm = &Date{sealed.AddDate(0, 0, m.WarmAfter), fmt.Sprintf("hot_days: %d", p.HotDays)}
	}
	if m.Cold != "" {
		by := fmt.Sprintf("warm_days: %d", p.WarmDays)
		if p.WarmDays == 0 {
			by = fmt.Sprintf("hot_days: %d", p.HotDays)
		}
		d.Cold = &Date{sealed.AddDate(0, 0, m.ColdAfter), by}
	}
	return d
}

// until is how long what is sealed at that time is kept, and by which rule; blank where no age is given.
func (p *Policy) until(sealed time.Time) (until time.Time, by string) {
	later := func(at time.Time, rule string) {
		if by == "" || at.After(until) {
			until, by = at, rule
		}
	}
	if p.Retain > 0 {
		later(sealed.Add(p.Retain), "retain: "+p.Retain.String())
	}
	if p.HotDays > 0 {
		later(sealed.AddDate(0, 0, p.HotDays), fmt.Sprintf("hot_days: %d", p.HotDays))
	}
	if p.WarmDays > 0 {
		later(sealed.AddDate(0, 0, p.WarmDays), fmt.Sprintf("warm_days: %d", p.WarmDays))
	}
	if p.ColdYears > 0 {
		// 29 February of a year that has none is read as 1 March: later, never earlier.
		later(sealed.AddDate(p.ColdYears, 0, 0), fmt.Sprintf("cold_years: %d", p.ColdYears))
	}
	if whole := until.Truncate(time.Second); whole.Before(until) {
		until = whole.Add(time.Second)
	}
	return until, by
}

// Lock is that of a file that is sealed at that time: none where the class has no mode, or no age.
func (p *Policy) Lock(sealed time.Time) sink.Lock {
	until, by := p.until(sealed.UTC())
	if p.Mode == sink.None || by == "" {
		return sink.Lock{}
	}
	return sink.Lock{Mode: p.Mode, RetainUntil: until}
}

// ControlLock is the lock of what files are checked by: manifests, notes, keys and the log. It lasts as long as the longest of the classes' and has the strongest of
// their modes.
func (l Policies) ControlLock(now time.Time) sink.Lock {
	var all sink.Lock
	for i := range l {
		lock := l[i].Lock(now)
		if all.Mode == sink.None || lock.Mode == sink.Compliance {
			all.Mode = lock.Mode
		}
		if lock.RetainUntil.After(all.RetainUntil) {
			all.RetainUntil = lock.RetainUntil
		}
	}
	return all
}

// Modes are the modes that the classes have, each once.
func (l Policies) Modes() []sink.Mode {
	var modes []sink.Mode
	for i := range l {
		if !slices.Contains(modes, l[i].Mode) {
			modes = append(modes, l[i].Mode)
		}
	}
	return modes
}

// LongestDays is the longest that a class is kept, whatever the day of the seal, in days that have begun; 0 if no class has an age.
func (l Policies) LongestDays() int {
	longest := 0
	for i := range l {
		longest = max(longest, l[i].longestDays())
	}
	return longest
}

// Weakest is the weakest mode that a class has: what a store must not take less than.
func (l Policies) Weakest() sink.Mode {
	weakest := sink.Compliance
	for _, p := range l {
		switch {
		case p.Mode == sink.None:
			return sink.None
		case p.Mode == sink.Governance:
			weakest = sink.Governance
		}
	}
	return weakest
}

// Lifecycle is a class's policy in whole days of an object's age, as lifecycle rules count it: from the creation of the object, which is not before its seal's time unless
// the seal was begun, stopped, and finished later.
type Lifecycle struct {
	// Warm and Cold are the storages to move to, WarmAfter and ColdAfter the ages. Where a storage is blank there is no move; its age is then 0.
	Warm, Cold           string
	WarmAfter, ColdAfter int
	// ExpireAfter is the age from which an object may be removed; 0: never, since no age is given. It is never earlier than the end of the lock, whatever the day of the
	// seal: the longest run of so many calendar years, and a day more, for the clocks of two machines.
	ExpireAfter int
}

// Lifecycle returns the days of lifecycle rules for the class's files, which lie under <format>/class=<class>/. What is locked by ControlLock has no such rules.
func (p *Policy) Lifecycle() Lifecycle {
	m := p.moves()
	if longest := p.longestDays(); longest > 0 {
		m.ExpireAfter = longest + 1
	}
	return m
}

func (p *Policy) longestDays() int {
	return max(p.HotDays, p.WarmDays, longestYears(p.ColdYears), int((p.Retain+24*time.Hour-1)/(24*time.Hour)))
}

func (p *Policy) moves() Lifecycle {
	var m Lifecycle
	if p.WarmDays > 0 && p.WarmStorage != "" {
		m.Warm, m.WarmAfter = p.WarmStorage, p.HotDays
	}
	if p.ColdYears > 0 && p.ColdStorage != "" {
		m.Cold, m.ColdAfter = p.ColdStorage, max(p.HotDays, p.WarmDays)
	}
	return m
}

// longestYears is how many days the longest run of so many calendar years has: each four have a leap day, and so may what is left over.
func longestYears(years int) int { return 365*years + (years+3)/4 }
