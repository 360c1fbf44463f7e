package service

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/event"
	"daybook/sink"
)

// Status is how all stands.
type Status struct {
	// Level is ok, warning or alert: the worst of what Problems tell.
	Level string `json:"level"`
	// Problems say what is wrong, each with what to do.
	Problems []Problem `json:"problems"`
	Build    string    `json:"build"`
	Now      time.Time `json:"now"`
	Data     string    `json:"data"`
	Store    string    `json:"store"`
	// Started is when the process began to serve; absent where none does.
	Started *time.Time    `json:"started,omitempty"`
	Trails  []TrailStatus `json:"trails"`
	Sealing Sealing       `json:"sealing"`
	Spool   SpoolStatus   `json:"spool"`
	// Quarantined and NotTracked were counted since the last seal, over all orgs: absent for who sees one org alone.
	Quarantined *int64 `json:"quarantined,omitempty"`
	NotTracked  *int64 `json:"not_tracked,omitempty"`
	// Verified is what came of the last time that the store was read back.
	Verified *Verified `json:"verified,omitempty"`
	// Bucket is how the store's bucket is set up, and what of that was changed; absent where the store is none, or was not looked at yet.
	Bucket  *Drift              `json:"bucket,omitempty"`
	Head    *batch.Head         `json:"head,omitempty"`
	Anchors []batch.AnchorState `json:"anchors"`
	// LogLock tells that the log could not be locked as long as what it vouches for, at the last roll; absent if it was.
	LogLock *batch.ShortLock `json:"log_lock,omitempty"`
}

// Problem is one thing that is wrong.
type Problem struct {
	Level string `json:"level"`
	// Code is stable, for monitoring.
	Code  string `json:"code"`
	Trail string `json:"trail,omitempty"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}

// Levels of a problem.
const (
	LevelOK      = "ok"
	LevelWarning = "warning"
	LevelAlert   = "alert"
)

// Sealing is how sealing stands.
type Sealing struct {
	// Running is since when days are being sealed; Last when all that was due was sealed; Failed when it last was not, and Error and Hint why, until it succeeds.
	Running *time.Time `json:"running,omitempty"`
	Last    *time.Time `json:"last,omitempty"`
	Failed  *time.Time `json:"failed,omitempty"`
	Error   string     `json:"error,omitempty"`
	Hint    string     `json:"hint,omitempty"`
}

// SpoolStatus is how the spool stands.
type SpoolStatus struct {
	Bytes uint64 `json:"bytes"`
	Free  uint64 `json:"free"`
	// MinFree is how much must be free for events to be taken in.
	MinFree uint64 `json:"min_free"`
	// Syncs is how often the log was synced since the start: once for all requests that waited for it.
	Syncs   uint64 `json:"syncs"`
	Stopped string `json:"stopped,omitempty"`
}

// TrailStatus is how a trail stands.
type TrailStatus struct {
	batch.TrailStatus
	Switch Switch `json:"switch"`
	// Due are days that are to be sealed, and Overdue those of them that have no seal and could have had one a while ago; Awaiting still wait for their sources.
	Due      []seal.Date         `json:"due"`
	Overdue  []seal.Date         `json:"overdue,omitempty"`
	Awaiting []seal.Date         `json:"awaiting,omitempty"`
	Sources  []SourceStatus      `json:"sources"`
	Calendar []batch.CalendarDay `json:"calendar,omitempty"`
}

// Switch is whether a trail is on.
type Switch struct {
	Trail   string            `json:"trail"`
	Org     string            `json:"org"`
	State   string            `json:"state"`
	Enabled time.Time         `json:"enabled"`
	Since   seal.Date         `json:"since"`
	Spec    control.TrailSpec `json:"spec"`
	// Already says that a trail that was to be enabled was on before, and that nothing was changed.
	Already bool `json:"already,omitempty"`
	// Request, Approval and Off tell who switches it off, why, and until when.
	Request  *control.Request  `json:"request,omitempty"`
	Approval *control.Approval `json:"approval,omitempty"`
	Off      *control.OffState `json:"off,omitempty"`
}

// SourceStatus is how far a source has come.
type SourceStatus struct {
	Name      string     `json:"name"`
	Watermark *time.Time `json:"watermark,omitempty"`
	Last      *time.Time `json:"last_heard,omitempty"`
	// Awaited is since when days wait for it.
	Awaited *time.Time `json:"awaited_since,omitempty"`
	// Silent says that it has not come on for as long as a day waits for it, or, by files, not past a day that has waited for so long.
	Silent bool `json:"silent"`
}

func (s *Service) switchOf(t control.TrailState) Switch {
	return Switch{
		Trail: t.Spec.Name, Org: t.Spec.Org, State: string(t.State), Enabled: t.Enabled, Since: seal.Date{Day: t.Since}, Spec: t.Spec,
		Request: t.Request, Approval: t.Approval, Off: t.Off,
	}
}

func (s *Service) getTrails(_ *http.Request, by control.Actor) (any, error) {
	list := []Switch{}
	for _, t := range s.control.Trails() {
		if sees(by, t.Spec.Org) {
			list = append(list, s.switchOf(t))
		}
	}
	return list, nil
}

// maxCalendar is how many days of a calendar are told at most.
const maxCalendar = 3660

func (s *Service) getStatus(r *http.Request, by control.Actor) (any, error) {
	days := 0
	if text := r.URL.Query().Get("days"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxCalendar {
			return nil, fmt.Errorf("%w: days is a number up to %d", errRequest, maxCalendar)
		}
		days = n
	}
	return s.Status(by, r.URL.Query().Get("trail"), days)
}

// Status tells how all stands that the actor may see; of one trail, if it is named, and with a calendar of that many days.
func (s *Service) Status(by control.Actor, only string, days int) (*Status, error) {
	known, err := s.standing.Status()
	if err != nil {
		return nil, err
	}
	due, err := s.standing.Due(s.plan(false))
	if err != nil {
		return nil, err
	}
	c := s.config.Load()
	st := &Status{
		Build: c.Batch.Build, Now: s.now().UTC(), Data: known.Data, Store: c.Where, Trails: []TrailStatus{},
		Head: known.Head, Anchors: known.Anchors, LogLock: known.LogLock, Problems: []Problem{}, Started: s.startedAt(),
	}
	st.Quarantined, st.NotTracked = new(known.Quarantined+s.rejects.waiting()), &known.NotTracked
	if st.Verified, err = s.verified(); err != nil {
		return nil, err
	}
	st.tellVerified()
	if st.Bucket, err = s.drift(); err != nil {
		return nil, err
	}
	if st.Bucket != nil && st.Bucket.Store != c.Where { // of the store before
		st.Bucket = nil
	}
	st.tellDrift()
	if err := s.statusOfWhole(st); err != nil {
		return nil, err
	}
	stranded := s.standing.Stranded()
	for _, name := range slices.Sorted(maps.Keys(stranded)) {
		if only == "" && by.Org == control.AllOrgs {
			st.problem(LevelWarning, "events-stranded", name, "`daybook trail enable` switches it on, and then they are sealed", "%d events wait, and the trail was never switched on here", stranded[name])
		}
	}
	if err := s.tellLost(st); err != nil {
		return nil, err
	}
	damages, err := s.standing.Damages()
	if err != nil {
		return nil, err
	}
	for _, d := range damages {
		if t, ok := s.control.Trail(d.Trail); ok && sees(by, t.Spec.Org) && (only == "" || only == d.Trail) {
			st.problem(LevelAlert, "spool-damaged", d.Trail, "look after the disk; the damaged files are copied to quarantine/spool in the data folder: remove that folder once they are of no more use",
				"%d events of %v could not be read from the spool any more: its seal declares that, and holds the rest", d.Events, d.Day)
		}
	}
	found := only == ""
	byTrail := make(map[string]batch.Due, len(due))
	for _, d := range due {
		byTrail[d.Trail] = d
	}
	for _, t := range known.Trails {
		state, ok := s.control.Trail(t.Trail)
		if !ok || !sees(by, state.Spec.Org) || only != "" && only != t.Trail {
			continue
		}
		found = true
		one, err := s.statusOf(t, state, byTrail[t.Trail], days, st)
		if err != nil {
			return nil, err
		}
		st.Trails = append(st.Trails, *one)
	}
	if !found {
		return nil, &sink.HintError{Err: fmt.Errorf("trail %q: %w", only, control.ErrNotFound), Hint: "`daybook trail list` tells which there are"}
	}
	s.tellReload(st)
	s.tellSources(st)
	s.tellFiles(st, by)
	on := func(t TrailStatus) bool { return t.Switch.State != string(control.Off) }
	if st.Started == nil && slices.ContainsFunc(st.Trails, on) {
		st.problem(LevelAlert, "not-running", "", "start it: `systemctl start daybook`, or `daybook serve`; its log says why it ended",
			"a trail is on, and no service is at work with the data folder: nothing is taken in, and no day is sealed by itself")
	}
	if len(st.Trails) == 0 {
		st.problem(LevelWarning, "no-trail", "", "`daybook trail enable` switches one on; if one was on before, this is another data folder, or that was lost", "nothing is recorded: no trail was ever switched on here")
	}
	st.Level = LevelOK
	for _, p := range st.Problems {
		if p.Level == LevelAlert || st.Level == LevelOK {
			st.Level = p.Level
		}
	}
	if by.Org != control.AllOrgs {
		st.narrow()
	}
	return st, nil
}

// narrow takes out what only those may see who see every org: what is told of the whole may name any of them.
func (st *Status) narrow() {
	const text, hint = "who runs the service is told what it is", "ask them: `daybook status` on its machine tells it"
	st.Data, st.Bucket, st.Quarantined, st.NotTracked = "", nil, nil, nil
	for i := range st.Problems {
		if p := &st.Problems[i]; p.Trail == "" && p.Code != "no-trail" {
			p.Text, p.Hint = text, hint
		}
	}
	if st.Sealing.Error != "" {
		st.Sealing.Error, st.Sealing.Hint = text, hint
	}
	st.Anchors = slices.Clone(st.Anchors)
	for i := range st.Anchors {
		if a := &st.Anchors[i]; a.Error != "" {
			a.Error = text
		}
	}
	if st.LogLock != nil {
		l := *st.LogLock
		l.Error = text
		st.LogLock = &l
	}
	if st.Spool.Stopped != "" {
		st.Spool.Stopped = text
	}
	if st.Verified != nil {
		v := *st.Verified
		v.Findings = nil
		if v.Error != "" {
			v.Error = text
		}
		st.Verified = &v
	}
}

func (st *Status) problem(level, code, trail, hint, format string, args ...any) {
	st.Problems = append(st.Problems, Problem{Level: level, Code: code, Trail: trail, Text: fmt.Sprintf(format, args...), Hint: hint})
}

// told counts the problems of a code.
func (st *Status) told(code string) (n int) {
	for _, p := range st.Problems {
		if p.Code == code {
			n++
		}
	}
	return n
}

// statusOfWhole tells what belongs to no trail.
func (s *Service) statusOfWhole(st *Status) error {
	sp := s.standing.Spool()
	usage, err := sp.Usage()
	if err != nil {
		return err
	}
	st.Spool = SpoolStatus{Bytes: usage.Bytes, Free: usage.Free, MinFree: usage.MinFree, Syncs: usage.Syncs}
	switch err := sp.Stopped(); {
	case err != nil:
		st.Spool.Stopped = err.Error()
		st.problem(LevelAlert, "spool-stopped", "", "start the service again: it finds out what is there", "nothing is taken in: %v", err)
	case usage.Free < usage.MinFree:
		st.problem(LevelAlert, "disk-full", "", "make room where the data folder lies", "nothing is taken in: %d bytes are free, %d must be", usage.Free, usage.MinFree)
	case usage.Free < 4*usage.MinFree:
		st.problem(LevelWarning, "disk-low", "", "make room where the data folder lies", "%d bytes are free; below %d nothing is taken in", usage.Free, usage.MinFree)
	}
	s.mu.Lock()
	now := s.sealing
	s.mu.Unlock()
	set := func(to **time.Time, t time.Time) {
		if !t.IsZero() {
			t = t.UTC()
			*to = &t
		}
	}
	set(&st.Sealing.Running, now.Running)
	set(&st.Sealing.Last, now.Last)
	if now.Error != "" {
		set(&st.Sealing.Failed, now.Failed)
		st.Sealing.Error, st.Sealing.Hint = now.Error, now.Hint
		code := "sealing-fails"
		if now.Held != "" || now.Unbalanced {
			code = "sealing-held"
		}
		st.problem(LevelAlert, code, "", now.Hint, "days wait to be sealed: %s", now.Error)
	}
	if l := st.LogLock; l != nil {
		st.problem(LevelWarning, "log-lock-short", "", l.Hint(), "the log is locked until %s, and must be until %s: %s", l.Until.Format(time.RFC3339), l.Wanted.Format(time.RFC3339), l.Error)
	}
	if st.Head != nil {
		for _, a := range st.Anchors {
			if a.Size < st.Head.Size && !a.Since.IsZero() {
				level := LevelWarning
				if s.now().Sub(a.Since) > anchorPatience {
					level = LevelAlert
				}
				st.problem(level, "anchor-behind", "", "see to it that it can be reached", "the anchor %s does not have the newest checkpoint since %s: %s", a.Name, a.Since.Format(time.RFC3339), a.Error)
			}
		}
	}
	return nil
}

// tellSources tells of sources that are silent, each of them once.
func (s *Service) tellSources(st *Status) {
	told := map[sourceKey]bool{}
	for _, t := range st.Trails {
		if t.Switch.State == string(control.Off) {
			continue
		}
		for _, source := range t.Sources {
			key := sourceKey{t.Switch.Org, source.Name}
			if told[key] || !source.Silent {
				continue
			}
			told[key] = true
			text := fmt.Sprintf("nothing was ever heard of the source %s, which is awaited since %s", source.Name, source.Awaited.Format(time.RFC3339))
			if source.Watermark != nil {
				text = fmt.Sprintf("the source %s has come no further than %s", source.Name, source.Watermark.Format(time.RFC3339))
			}
			hint := "ask its owner; if it is quiet by nature let it send heartbeats (Daybook-Watermark), if it is gone revoke its token: days are sealed with the gap declared"
			if s.config.Load().byFiles(key.org, key.name) {
				hint = "see whether its files come; whoever leaves them can declare with a token of the same source that a day is whole (Daybook-Watermark): days are sealed with the gap declared"
			}
			st.problem(LevelWarning, "source-silent", t.Trail, hint, "%s", text)
		}
	}
}

// tellFiles tells of drop folders and followed places of which not all can be taken in.
func (s *Service) tellFiles(st *Status, by control.Actor) {
	c := s.config.Load()
	for _, d := range c.Drop {
		if sees(by, d.Org) {
			s.tellUnkept(st, d.Path, d.Org)
			s.tellPlace(st, d.Path)
			st.tellFailed(&d)
		}
	}
	for _, f := range c.Follow {
		if sees(by, f.Org) {
			s.tellUnkept(st, f.Where, f.Org)
			s.tellPlace(st, f.Where)
		}
	}
}

// tellFailed tells of files of a drop folder that could not be read to their end.
func (st *Status) tellFailed(d *Drop) {
	const code, hint = "files-fail", "mend them and drop them again, or remove them: what was read of them stands, and is known when it comes again; the log says what is wrong with each"
	where := filepath.Join(d.Path, failedDir)
	switch n, err := d.failed(); {
	case err != nil:
		st.problem(LevelWarning, code, "", "see to it that it is a folder that the user of the service may read", "whether files failed can't be seen in %s: %v", where, err)
	case n > maxFailed:
		st.problem(LevelWarning, code, "", hint, "files could not be read to their end, and lie in %s (files: over %d)", where, maxFailed)
	case n > 0:
		st.problem(LevelWarning, code, "", hint, "files could not be read to their end, and lie in %s (files: %d)", where, n)
	}
}

// tellUnkept tells of a folder or place whose files lie where they are, since there is no trail that would take their events.
func (s *Service) tellUnkept(st *Status, place, org string) {
	if !s.kept(org) {
		st.problem(LevelWarning, "files-wait", "", "see whether the org is written right; `daybook trail enable --since DAY` switches a trail of it on, with the first day that they hold: what is older is not kept, and a file is read once",
			"%s: its files are left where they are: no trail of the org %q was ever switched on", place, org)
	}
}

func (s *Service) tellPlace(st *Status, place string) {
	s.mu.Lock()
	var where []string
	for w, t := range s.told {
		if t.place == place {
			where = append(where, w)
		}
	}
	var first string
	if len(where) > 0 {
		slices.Sort(where)
		first = s.told[where[0]].text
	}
	s.mu.Unlock()
	if len(where) > 0 {
		st.problem(LevelWarning, "files-fail", "", "mend what keeps them from being read or moved; they are tried again by themselves", "%s: not all can be taken in (failures: %d); %s: %s", place, len(where), where[0], first)
	}
}

// anchorPatience is how long an anchor may be away before that is an alert.
const anchorPatience = 48 * time.Hour

// overdueAfter is how long after it could have been sealed a day is overdue.
const overdueAfter = 2 * time.Hour

// overdue reports whether a day could have been sealed a while ago.
func (s *Service) overdue(t control.TrailState, day event.Day) bool {
	return s.now().Sub(s.latest(t, day)) > overdueAfter
}

// statusOf tells how a trail stands.
func (s *Service) statusOf(known batch.TrailStatus, t control.TrailState, due batch.Due, days int, st *Status) (*TrailStatus, error) {
	one := &TrailStatus{TrailStatus: known, Switch: s.switchOf(t), Due: []seal.Date{}, Sources: []SourceStatus{}}
	since := seal.Date{Day: t.Since}
	one.Since = &since
	for _, d := range due.Days {
		one.Due = append(one.Due, seal.Date{Day: d})
		if s.overdue(t, d) && s.standing.Unsealed(known.Trail, d) { // a sealed day is there for its addendum
			one.Overdue = append(one.Overdue, seal.Date{Day: d})
		}
	}
	for _, d := range due.Waiting {
		one.Awaiting = append(one.Awaiting, seal.Date{Day: d})
	}
	if n := len(one.Overdue); n > 0 {
		first := one.Overdue[0].Day
		st.problem(LevelAlert, "overdue", known.Trail, "", "%v is not sealed yet, and could have been since %s (overdue days: %d)", first, s.latest(t, first).Format(time.RFC3339), n)
	}
	if t.State == control.Off {
		st.problem(LevelWarning, "trail-off", known.Trail, "", "the trail is off since %s: %s", t.Off.Since.Format(time.RFC3339), t.Off.Reason)
	}
	for _, name := range s.awaited(t.Spec.Org, s.now()) {
		state := s.sources.of(t.Spec.Org, name)
		source := SourceStatus{Name: name}
		if !state.Watermark.IsZero() {
			source.Watermark = &state.Watermark
		}
		if !state.Last.IsZero() {
			source.Last = &state.Last
		}
		if !state.Awaited.IsZero() {
			source.Awaited = &state.Awaited
		}
		source.Silent = s.silent(t.Spec.Org, source)
		one.Sources = append(one.Sources, source)
	}
	if days == 0 {
		return one, nil
	}
	today := event.DayOf(s.now())
	calendar, err := s.standing.Calendar(known.Trail, today-event.Day(days)+1, today)
	if err != nil {
		return nil, err
	}
	waits := map[seal.Date]string{}
	for _, of := range []struct {
		days  []seal.Date
		state string
	}{{one.Awaiting, batch.DayAwaiting}, {one.Due, batch.DayDue}, {one.Overdue, batch.DayMissing}} {
		for _, d := range of.days {
			waits[d] = of.state
		}
	}
	for i := range calendar {
		if d := &calendar[i]; d.State == batch.DayMissing && waits[d.Day] != "" {
			d.State = waits[d.Day]
		}
		s.overlay(&calendar[i], t)
	}
	one.Calendar = calendar
	return one, nil
}

// overlay tells the days on which the trail was not on.
func (s *Service) overlay(d *batch.CalendarDay, t control.TrailState) {
	if d.Events > 0 || d.Pending > 0 {
		return
	}
	switch {
	case d.Day.Day < t.Since && d.State != batch.DayEmpty:
		d.State = batch.DayNotEnabled
	case s.offAllDay(t, d.Day.Day):
		d.State = batch.DayOff
	}
}

// offAllDay reports whether a trail was off on a day from its beginning to its end, or until now.
func (s *Service) offAllDay(t control.TrailState, day event.Day) bool {
	if day < event.DayOf(t.Enabled) {
		return false
	}
	end := day.End()
	if now := s.now(); end.After(now) {
		end = now
	}
	at := day.Start()
	if at.Before(t.Enabled) {
		at = t.Enabled
	}
	for ; at.Before(end); at = at.Add(time.Hour) {
		if s.control.On(t.Spec.Name, at) {
			return false
		}
	}
	return true
}

func (s *Service) health(w http.ResponseWriter, _ *http.Request) {
	if err := s.standing.Spool().Stopped(); err != nil {
		// Anybody may ask: what the disk said, of which path, is in the log and the status.
		answer(w, http.StatusServiceUnavailable, problem{Error: "the spool has stopped", Hint: "the log and `daybook status` tell why"})
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (s *Service) readiness(w http.ResponseWriter, _ *http.Request) {
	if err := s.unavailable(); err != nil {
		answer(w, http.StatusServiceUnavailable, problem{Error: err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "ready"})
}
