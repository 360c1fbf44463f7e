package spool

// LimitIDs makes the index of ids hold no more than memory entries in memory and look through no more than pass at once.
func (s *Sorter) LimitIDs(memory, pass int) { s.ids.memory, s.ids.pass = memory, pass }

// Runs is how many files hold sorted events.
func (s *Sorter) Runs() int { return len(s.runs) }

// What the tests go beyond.
const (
	MaxFanIn  = maxFanIn
	MaxCopies = maxCopies
)
