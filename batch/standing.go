package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"time"

	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
	"daybook/sink"
)

// A standing data folder holds events between `import` and `roll` in a spool of its own, where every event is on stable storage once it is taken in.

// appendBatch is how many events are appended to the spool at a time, and appendBytes after how many bytes of them it is enough.
const (
	appendBatch = 1000
	appendBytes = 4 << 20
)

// Import reads the files that paths name into the data folder's spool. What it took in is pending until Roll seals its day. The store is not
// needed.
func Import(ctx context.Context, s Settings, paths []string, stdin io.Reader, how intake.Settings, q *intake.Quarantine) (report *Report, err error) {
	started := time.Now()
	if err := errors.Join(checkTrails(s.Trails), checkPolicies(s.Policies)); err != nil {
		return nil, err
	}
	st, err := openState(s.Data)
	if err != nil {
		return nil, err
	}
	r := &Roller{Settings: s, state: st}
	defer func() { err = errors.Join(err, r.Close()) }()
	sp, err := r.openSpool()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	if _, err := r.enabled(); err != nil {
		return nil, err
	}
	sorter := spool.NewSorter(st.path("runs"), r.sorterMemory())
	defer sorter.Close()
	report = &Report{}
	counted, err := r.take(ctx, paths, stdin, how, q, report, sorter)
	if err != nil {
		return report, err
	}
	for _, d := range sorter.Days() {
		added, err := sp.append(ctx, sorter, d.Trail, d.Day)
		if err != nil {
			return report, err
		}
		report.Pending += added
		report.Duplicates += d.Events - added
		taken := DayResult{Trail: s.Trails[d.Trail].Name, Day: seal.Date{Day: d.Day}, Outcome: Imported, Pending: added, Duplicates: d.Events - added}
		report.Days = append(report.Days, taken)
		r.progress(Progress{Done: &taken})
	}
	left := carry{Quarantined: counted.quarantined, Hashes: counted.hashes, NotTracked: counted.notTracked, Duplicates: report.Duplicates}
	if err := st.keep(left); err != nil {
		return report, err
	}
	report.Elapsed = time.Since(started)
	return report, report.check()
}

// standingSpool is the data folder's spool, with trails and classes by their index in the configuration.
type standingSpool struct {
	*spool.Store
	trails   []uint16 // the spool's number of each trail
	classes  []uint8  // and of each class
	settings *Settings
	rest     func() // called every so many events of a scan; nil: it goes on at full speed
	// salvage is nil where all must be handed out. Else a scan passes over what is damaged, and says here what that was.
	salvage *spool.Damage
}

func (r *Roller) openSpool() (*standingSpool, error) {
	store, err := r.state.openSpool(spool.Options{MemTable: r.SortMemory / 3})
	if err != nil {
		return nil, err
	}
	sp := &standingSpool{Store: store, settings: &r.Settings}
	for _, t := range r.Trails {
		id, err := store.TrailID(t.Name)
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		sp.trails = append(sp.trails, id)
	}
	for _, p := range r.Policies {
		id, err := store.ClassID(p.Class)
		if err != nil {
			return nil, errors.Join(err, store.Close())
		}
		sp.classes = append(sp.classes, id)
	}
	return sp, nil
}

// append adds the events of a trail's day, and returns how many of them were new.
func (sp *standingSpool) append(ctx context.Context, from rows, trail uint16, day event.Day) (int64, error) {
	var (
		added int64
		items []spool.Item
		arena []byte // their rows and tails
		stats spool.ScanStats
	)
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := sp.Append(items)
		added += n
		items, arena = items[:0], arena[:0]
		if errors.Is(err, spool.ErrFull) {
			return &sink.HintError{Err: err, Hint: "free some space and run this again: what was taken in is known"}
		}
		return err
	}
	for item, err := range from.Scan(trail, day, &stats) {
		if err != nil {
			return added, err
		}
		item.Group.Trail, item.Group.Class = sp.trails[trail], sp.classes[item.Group.Class]
		// Where the arena grows, what is in it stays alive where it was.
		n := len(arena)
		arena = append(append(arena, item.Row...), item.Tail...)
		item.Row, item.Tail = arena[n:n+len(item.Row)], arena[n+len(item.Row):]
		if items = append(items, item); len(items) == appendBatch || len(arena) >= appendBytes {
			if err := flush(); err != nil {
				return added, err
			}
		}
	}
	return added, flush()
}

// Scan hands out what is frozen of a trail's day.
func (sp *standingSpool) Scan(trail uint16, day event.Day, stats *spool.ScanStats) iter.Seq2[spool.Item, error] {
	return func(yield func(spool.Item, error) bool) {
		events := sp.Store.Scan(sp.trails[trail], day, stats)
		if sp.salvage != nil {
			*sp.salvage = spool.Damage{}
			events = sp.Salvage(sp.trails[trail], day, func(d spool.Damage) { *sp.salvage = d })
		}
		n := 0
		for item, err := range events {
			if n++; sp.rest != nil && n%paceEvery == 0 {
				sp.rest()
			}
			if err == nil {
				item.Group.Trail = trail
				item.Group.Class, err = sp.classIndex(item.Group.Class)
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
	}
}

func (sp *standingSpool) classIndex(id uint8) (uint8, error) {
	if i := slices.Index(sp.classes, id); i >= 0 {
		return uint8(i), nil
	}
	name, _ := sp.ClassName(id)
	return 0, &sink.HintError{
		Err:  fmt.Errorf("events wait in the retention class %q, which the configuration does not have", name),
		Hint: "put the class back until they are sealed: how long they are kept was decided when they were taken in",
	}
}

// pending returns how many events wait, by day, for a trail.
func (sp *standingSpool) pending(trail uint16) map[event.Day]int64 {
	days := map[event.Day]int64{}
	for _, d := range sp.Days() {
		if d.Trail == sp.trails[trail] {
			days[d.Day] = d.Events
		}
	}
	return days
}

// enabled returns since which day each trail is kept here: the day of its first import or roll. From then on days without events are sealed too.
func (r *Roller) enabled() (map[string]seal.Date, error) {
	path, days := r.state.path("enabled.json"), map[string]seal.Date{}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &days)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data folder: %s: %w", path, err)
	}
	before := len(days)
	for _, t := range r.Trails {
		if _, known := days[t.Name]; !known {
			days[t.Name] = seal.Date{Day: event.DayOf(r.asOf())}
		}
	}
	if len(days) == before {
		return days, nil
	}
	if data, err = json.Marshal(days); err == nil {
		err = WriteFile(path, data)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return days, nil
}

// due lists the days of a trail that are to be sealed: those with events that wait, and those since it is kept here that have no seal; of these
// the closed ones, or all with events where open days are included.
func (r *Roller) due(l *ledger, since event.Day, pending map[event.Day]int64) []event.Day {
	days := map[event.Day]struct{}{}
	for d := range pending {
		if r.closed(d) || r.IncludeOpen {
			days[d] = struct{}{}
		}
	}
	for d := since; r.closed(d); d++ {
		if len(l.days[d]) == 0 {
			days[d] = struct{}{}
		}
	}
	list := make([]event.Day, 0, len(days))
	for d := range days {
		list = append(list, d)
	}
	slices.Sort(list)
	return list
}

// ErrNotClosed says that a day that was asked for is not over yet.
var ErrNotClosed = errors.New("the day is not closed yet")

// Roll seals every day that is due, in order, empty ones too; with only set, that day alone. Sealed events stay in the spool for keep.
func (r *Roller) Roll(ctx context.Context, only *event.Day, keep time.Duration) (report *Report, err error) {
	started := time.Now()
	if only != nil && !r.closed(*only) && !r.IncludeOpen {
		return nil, &sink.HintError{
			Err:  fmt.Errorf("%v: %w", only, ErrNotClosed),
			Hint: fmt.Sprintf("it is closed at %s; --include-open seals it now", only.End().Add(r.CloseAfter).Format(time.RFC3339)),
		}
	}
	sp, err := r.openSpool()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	r.spool = sp.Store
	if r.losses, err = r.state.losses(); err != nil {
		return nil, err
	}
	since, err := r.enabled()
	if err != nil {
		return nil, err
	}
	report = &Report{Days: r.resumed}
	for i, l := range r.ledgers {
		trail := uint16(i)
		for _, day := range r.due(l, since[l.trail].Day, sp.pending(trail)) {
			if only != nil && day != *only {
				continue
			}
			if err := r.rollDay(ctx, sp, trail, day, report); err != nil {
				return report, err
			}
		}
		pending := sp.pending(trail)
		for _, day := range slices.Sorted(maps.Keys(pending)) {
			n := pending[day]
			report.Pending += n
			open := DayResult{Trail: l.trail, Day: seal.Date{Day: day}, Outcome: StillOpen, Pending: n}
			report.Days = append(report.Days, open)
		}
	}
	if _, err := sp.Expire(r.Now().Add(-keep)); err != nil {
		return report, err
	}
	if err := r.publish(ctx, report); err != nil {
		return report, err
	}
	report.UntoldGaps = r.untold()
	report.Read = report.Written + report.Duplicates + report.Pending
	report.Elapsed = time.Since(started)
	return report, nil
}

// rollDay seals what waits of a day. A generation that a killed run had sealed already shows as nothing new; what came after it is sealed then.
func (r *Roller) rollDay(ctx context.Context, sp *standingSpool, trail uint16, day event.Day, report *Report) error {
	for {
		expected := sp.Pending(sp.trails[trail], day)
		generation, err := sp.Freeze(sp.trails[trail], day)
		if err != nil {
			return err
		}
		if generation == 0 && len(r.ledgers[trail].days[day]) > 0 {
			return nil
		}
		var stats spool.ScanStats
		sp.salvage = nil
		conflicts, err := spool.FindConflicts(sp.Scan(trail, day, &stats), r.state.path("runs"))
		if errors.Is(err, spool.ErrCorrupt) && r.OnDamage != nil { // what can be read is sealed
			sp.salvage = &spool.Damage{}
			conflicts, err = spool.FindConflicts(sp.Scan(trail, day, &stats), r.state.path("runs"))
		}
		if err != nil {
			return err
		}
		tell, err := r.state.tell(r.ledgers[trail].trail)
		if err != nil {
			return err
		}
		var of *spooled
		if generation != 0 {
			of = &spooled{Generation: generation, salvaged: sp.salvage}
		}
		done, err := r.sealDay(ctx, trail, day, sp, conflicts, tell, expected, true, of)
		if err != nil {
			return err
		}
		if done.Outcome != Unchanged || generation == 0 {
			report.add(done)
			r.progress(Progress{Done: &done})
			return nil
		}
	}
}

// Status is what a data folder knows of its trails. It asks no store.
type Status struct {
	Data   string        `json:"data"`
	Trails []TrailStatus `json:"trails"`
	// Quarantined and NotTracked were counted since the last seal.
	Quarantined int64 `json:"quarantined"`
	NotTracked  int64 `json:"not_tracked"`
	// Head is the newest checkpoint of the store's log that is remembered here; absent if there is none.
	Head *Head `json:"head,omitempty"`
	// Anchors are the configured places that are to have it.
	Anchors []AnchorState `json:"anchors"`
	// LogLock tells that the log could not be locked as long as what it vouches for, at the last roll; absent if it was.
	LogLock *ShortLock `json:"log_lock,omitempty"`
	// Lost are the spools that were given up, until somebody removes the file that says so.
	Lost []Loss `json:"lost,omitempty"`
}

// TrailStatus is what is known of a trail.
type TrailStatus struct {
	Trail string `json:"trail"`
	// Since is the first day that is sealed here even if it is empty; absent before the first import or roll.
	Since *seal.Date `json:"since,omitempty"`
	Seals uint64     `json:"seals"`
	// Last is the newest seal.
	Last *LastSeal `json:"last,omitempty"`
	// Pending are the events that wait, by day; Due says that the day is closed. A closed day without events or seal is due too.
	Pending []PendingDay `json:"pending"`
	// Unfinished is the day whose seal was begun and is finished by the next run.
	Unfinished *seal.Date `json:"unfinished,omitempty"`
	// Waiting are the events that wait, of whatever day; Late, of these, those whose day is sealed; Oldest is the time of the first of them.
	Waiting int64      `json:"waiting"`
	Late    int64      `json:"late,omitempty"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	// Accepted is how many events were ever taken into the spool, those that came again among them; Duplicates are those.
	Accepted   int64 `json:"accepted"`
	Duplicates int64 `json:"duplicates"`
}

// LastSeal is the newest seal of a trail.
type LastSeal struct {
	Seal     uint64    `json:"seal"`
	Day      seal.Date `json:"day"`
	Addendum int       `json:"addendum"`
	SealedAt time.Time `json:"sealed_at"`
	Events   int64     `json:"events"`
	// Note is its key in the store, and LockedUntil until when its files are locked there, where they are.
	Note        string     `json:"note,omitempty"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
}

// PendingDay is a day that is not sealed, or not all of it.
type PendingDay struct {
	Day    seal.Date `json:"day"`
	Events int64     `json:"events"`
	Due    bool      `json:"due"`
}

// ReadStatus tells what the data folder knows. Its Settings need no Store and no Key.
func ReadStatus(s Settings) (status *Status, err error) {
	if _, err := os.Stat(s.Data); err != nil {
		return nil, &sink.HintError{Err: fmt.Errorf("data folder: %w", err), Hint: "nothing was exported or imported with it yet"}
	}
	st, err := openState(s.Data)
	if err != nil {
		return nil, err
	}
	r := &Roller{Settings: s, state: st}
	defer func() { err = errors.Join(err, r.Close()) }()
	var sp *standingSpool
	since := map[string]seal.Date{}
	_, had, err := st.spoolID()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(st.path("spool")); err == nil || had {
		if sp, err = r.openSpool(); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, sp.Close()) }()
		if since, err = r.enabled(); err != nil {
			return nil, err
		}
	}
	told, err := st.carried()
	if err != nil {
		return nil, err
	}
	status = &Status{Data: s.Data, Quarantined: told.Quarantined, NotTracked: told.NotTracked}
	if status.Lost, err = st.losses(); err != nil {
		return nil, err
	}
	for i := range r.Trails {
		t, err := r.trailStatus(sp, since, i)
		if err != nil {
			return nil, err
		}
		status.Trails = append(status.Trails, *t)
	}
	if err := r.logStatus(status); err != nil {
		return nil, err
	}
	return status, nil
}

func (r *Roller) trailStatus(sp *standingSpool, since map[string]seal.Date, i int) (*TrailStatus, error) {
	l, err := openLedger(r.state, r.Trails[i].Name)
	if err != nil {
		return nil, err
	}
	t := &TrailStatus{Trail: l.trail, Seals: l.next - 1, Pending: []PendingDay{}}
	if l.next > 1 {
		m, err := l.manifest(l.next - 1)
		if err != nil {
			return nil, err
		}
		t.Last = &LastSeal{Seal: m.Seal, Day: m.Day, Addendum: m.Addendum, SealedAt: m.SealedAt, Events: m.Counts.Written}
	}
	j, err := r.state.readJournal(l.trail)
	if err != nil {
		return nil, err
	}
	if j != nil {
		t.Unfinished = &j.Draft.Day
	}
	if sp == nil {
		return t, nil
	}
	first := since[l.trail]
	t.Since = &first
	pending := sp.pending(uint16(i))
	due := r.due(l, first.Day, pending)
	for _, d := range due {
		t.Pending = append(t.Pending, PendingDay{Day: seal.Date{Day: d}, Events: pending[d], Due: r.closed(d)})
		delete(pending, d)
	}
	for d, n := range pending {
		t.Pending = append(t.Pending, PendingDay{Day: seal.Date{Day: d}, Events: n})
	}
	slices.SortFunc(t.Pending, func(a, b PendingDay) int { return int(a.Day.Day - b.Day.Day) })
	return t, nil
}
