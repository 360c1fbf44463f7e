package service

import (
	"sync"
	"time"
)

// outcomesEvery is how often the log is told of one source that its events have outcomes that are not known.
const outcomesEvery = time.Hour

// outcomes remembers when the log was told of outcomes that are not known, by source. A feed that writes them shows No in every row of a CSV file, and nobody looks into those
// before an auditor does.
type outcomes struct {
	mu   sync.Mutex
	told map[sourceKey]time.Time // guarded by mu
}

// outcomeNotKnown tells the log of an outcome that is not known, and not which, as logs hold nothing of what was sent; unless it was told of that source within the hour.
func (s *Service) outcomeNotKnown(org, source string) {
	key, now := sourceKey{org, source}, s.now()
	s.outcomes.mu.Lock()
	defer s.outcomes.mu.Unlock()
	if last, ok := s.outcomes.told[key]; ok && now.Sub(last).Abs() < outcomesEvery {
		return
	}
	if s.outcomes.told == nil {
		s.outcomes.told = map[sourceKey]time.Time{}
	}
	s.outcomes.told[key] = now
	s.log.Warn("an event has an outcome that is not known: it is taken for unknown, which CSV writes as No", "org", org, "source", source)
}
