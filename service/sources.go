package service

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/event"
)

// sourceKey names a feed of an org.
type sourceKey struct{ org, name string }

// sourceState is how far a source has come.
type sourceState struct {
	Org  string `json:"org"`
	Name string `json:"name"`
	// Watermark is the time up to which its events are known to have come: what it declared, or else the newest event that it sent.
	Watermark time.Time `json:"watermark,omitzero"`
	// First and Last are when it was heard of for the first time and last.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Awaited is since when days wait for it, without a break; zero if none do.
	Awaited time.Time `json:"awaited,omitzero"`
	// Seen is the time of the newest event of the files that were taken in of a folder or place, since all that lay there were.
	Seen map[string]time.Time `json:"seen,omitempty"`
}

// sources knows every source's watermark, and how far files were seen that it does not count yet. It is written down now and then, and at the end: after a crash a watermark is a
// little older than it was, and a day waits a little longer.
type sources struct {
	path string

	mu    sync.Mutex
	known map[sourceKey]*sourceState
	dirty bool
}

func openSources(path string) (*sources, error) {
	s := &sources{path: path, known: map[sourceKey]*sourceState{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var list []*sourceState
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err == nil && slices.Contains(list, nil) {
		err = errors.New("a source is null")
	}
	if err != nil {
		return nil, unreadable(path, err, "remove it, or put that of the last backup there (`daybook restore` into another folder has it), with the service stopped: it holds how far each source had come, "+
			"and no event. Without it no source was ever heard of, and days wait for each to send again, as long as max_wait at most")
	}
	for _, st := range list {
		s.known[sourceKey{st.Org, st.Name}] = st
	}
	return s, nil
}

// state is a source's. The caller holds the mutex.
func (s *sources) state(key sourceKey) *sourceState {
	st := s.known[key]
	if st == nil {
		st = &sourceState{Org: key.org, Name: key.name}
		s.known[key] = st
	}
	return st
}

// saw says that a file of a folder or place was taken in, the newest of whose events is of that time; zero: it had none. It does not advance the source: files are not taken in
// by their time.
func (s *sources) saw(org, name, place string, newest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state(sourceKey{org, name})
	if !newest.After(st.Seen[place]) {
		return
	}
	if st.Seen == nil {
		st.Seen = map[string]time.Time{}
	}
	st.Seen[place], s.dirty = newest.UTC(), true
}

// cameThrough says that all files that lay in a folder or place are taken in: the source has come up to the newest of their events.
func (s *sources) cameThrough(org, name, place string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.known[sourceKey{org, name}]
	if st == nil {
		return
	}
	if newest, ok := st.Seen[place]; ok {
		delete(st.Seen, place)
		s.move(st, newest, now)
	}
}

// advance says that a source was heard of, and that its events up to a time have come; a time of the future counts as now.
func (s *sources) advance(org, name string, to, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.move(s.state(sourceKey{org, name}), to, now)
}

// move is advance, of a source whose state is at hand. The caller holds the mutex.
func (s *sources) move(st *sourceState, to, now time.Time) {
	if to.After(now) {
		to = now
	}
	if st.First.IsZero() {
		st.First = now.UTC()
	}
	st.Last = now.UTC()
	if to.After(st.Watermark) {
		st.Watermark = to.UTC()
	}
	s.dirty = true
}

// expect says which sources days wait for now.
func (s *sources) expect(awaited map[sourceKey]bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range awaited {
		st := s.state(key)
		if st.Awaited.IsZero() {
			st.Awaited, s.dirty = now.UTC(), true
		}
	}
	for key, st := range s.known {
		if !awaited[key] && !st.Awaited.IsZero() {
			st.Awaited, s.dirty = time.Time{}, true
		}
	}
}

func (s *sources) of(org, name string) sourceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.known[sourceKey{org, name}]
	if st == nil {
		return sourceState{Org: org, Name: name}
	}
	return *st
}

func (s *sources) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return nil
	}
	list := slices.SortedFunc(maps.Values(s.known), func(a, b *sourceState) int { return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Name, b.Name)) })
	data, err := json.Marshal(list)
	if err == nil {
		err = batch.WriteFile(s.path, data)
	}
	if err != nil {
		return fmt.Errorf("sources: %w", err)
	}
	s.dirty = false
	return nil
}

// awaited lists the sources of an org that a day waits for: who may send now.
func (s *Service) awaited(org string, now time.Time) []string {
	names := map[string]bool{}
	for _, name := range s.control.Sources(org, now) {
		names[name] = true
	}
	c := s.config.Load()
	for _, f := range c.Senders {
		if f.Org == org {
			names[f.Source] = true
		}
	}
	for _, d := range c.Drop {
		if d.Org == org {
			names[d.Source] = true
		}
	}
	for _, f := range c.Follow {
		if f.Org == org {
			names[f.Source] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// expect notes which sources days of trails that are on wait for now.
func (s *Service) expect() {
	now := s.now()
	orgs, awaited := map[string]bool{}, map[sourceKey]bool{}
	for _, t := range s.control.Trails() {
		if org := t.Spec.Org; t.State != control.Off && !orgs[org] {
			orgs[org] = true
			for _, name := range s.awaited(org, now) {
				awaited[sourceKey{org, name}] = true
			}
		}
	}
	s.sources.expect(awaited, now)
	for key := range awaited {
		s.metrics.took(key.org, key.name, 0, 0, 0, 0)
	}
}

// silent reports whether a source has not come on for as long as a day waits for it at most; one whose events come by files, which may be a file a day, whether it has not come
// past the last day that has waited for so long. What it could not do does not count: before it was awaited, or while we were down.
func (s *Service) silent(org string, st SourceStatus) bool {
	if st.Awaited == nil {
		return false
	}
	since := *st.Awaited
	for _, at := range []*time.Time{st.Watermark, s.startedAt()} {
		if at != nil && at.After(since) {
			since = *at
		}
	}
	c := s.config.Load()
	at := s.now().Add(-c.Batch.CloseAfter - c.MaxWait)
	if c.byFiles(org, st.Name) {
		at = event.DayOf(at).Start()
	}
	return since.Before(at)
}

// byFiles reports whether events of a source come by files.
func (c *Config) byFiles(org, source string) bool {
	return slices.ContainsFunc(c.Drop, func(d Drop) bool { return d.Org == org && d.Source == source }) ||
		slices.ContainsFunc(c.Follow, func(f Follow) bool { return f.Org == org && f.Source == source })
}

// ready reports whether a closed day of a trail need wait no longer: all its sources have come past its end, or have had their time. A day that was over when it was
// admitted waits for its backfill, of which nobody says that it is whole.
func (s *Service) ready(trail string, day event.Day) bool {
	t, ok := s.control.Trail(trail)
	now := s.now()
	if !ok || !now.Before(s.latest(t, day)) || t.State == control.Off && !s.control.On(trail, day.End().Add(-1)) {
		return true
	}
	if backfilled(t, day) {
		return false
	}
	for _, name := range s.awaited(t.Spec.Org, now) {
		if st := s.sources.of(t.Spec.Org, name); st.Watermark.Before(day.End()) {
			return false
		}
	}
	return true
}

// backfilled reports whether a day was over when it was admitted.
func backfilled(t control.TrailState, day event.Day) bool { return !t.Admitted(day).Before(day.End()) }

// aside reports whether a day waits for a backfill alone: the days of live events are not to wait with it, or whoever may extend a trail could keep it from being sealed.
func (s *Service) aside(trail string, day event.Day) bool {
	t, ok := s.control.Trail(trail)
	return ok && backfilled(t, day)
}

// latest is when a day is sealed at the latest: its sources have had their time then, or those who backfill it.
func (s *Service) latest(t control.TrailState, day event.Day) time.Time {
	c := s.config.Load()
	at := day.End()
	if admitted := t.Admitted(day); at.Before(admitted) {
		at = admitted
	}
	return at.Add(c.Batch.CloseAfter + c.MaxWait)
}

// sourcesOf tells how far the sources of a trail's day have come, and what may be missing of them. Of a day that was over when the trail was enabled they tell nothing:
// that a source has come past it does not say that it has filled it.
func (s *Service) sourcesOf(trail string, day event.Day) []seal.Source {
	t, ok := s.control.Trail(trail)
	if !ok || !t.Enabled.Before(day.End()) {
		return nil
	}
	now := s.now()
	end := day.End()
	if end.After(now) {
		end = now.UTC()
	}
	var list []seal.Source
	for _, name := range s.awaited(t.Spec.Org, now) {
		st := s.sources.of(t.Spec.Org, name)
		source := seal.Source{Name: name, Watermark: st.Watermark}
		if st.Watermark.Before(end) {
			from, reason := day.Start(), "nothing was heard of the source"
			if st.Watermark.After(from) {
				from = st.Watermark
				reason = "the source was silent or behind"
			}
			if t.Enabled.After(from) {
				from = t.Enabled.UTC()
			}
			source.Gaps = []seal.Gap{{From: from, To: end, Reason: reason}}
		}
		list = append(list, source)
	}
	return list
}
