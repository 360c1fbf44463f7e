package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"daybook/batch/spool"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
)

// Standing is a data folder that one process holds for long: events come in while days are sealed. Its methods are safe for concurrent use.
//
// Taking events in needs the spool alone. The store is asked when there is something to seal: while it is away, events are taken in all the same.
type Standing struct {
	settings  atomic.Pointer[Settings] // but for Trails
	admission Admission
	state     *state
	spool     *spool.Store
	routes    atomic.Pointer[routes]

	committer *committer
	tallied   tallied

	rolling sync.Mutex // held by who seals, or copies the data folder
	settled bool       // under rolling: what an earlier process had begun is finished, and every seal is in the log
	broken  error      // under rolling: why nothing more is sealed
	// asked is, under rolling, which anchors this process need not ask any more: see Roller.asked.
	asked map[string]bool

	mu      sync.RWMutex // guards ledgers, and lets no two opens of one race
	ledgers map[string]*ledger
}

// Admission says which events a trail takes.
type Admission struct {
	// On says whether the trail is on at a time: it takes what is received then.
	On func(trail string, at time.Time) bool
	// Since is the first day of the trail: of files, which tell of no receipt, it takes the events from then on.
	Since func(trail string) event.Day
}

// OpenStanding takes the data folder and opens its spool. The store is not asked. settings.Trails are those to begin with.
func OpenStanding(settings Settings, minFree uint64, admission Admission) (*Standing, error) {
	if err := checkPolicies(settings.Policies); err != nil {
		return nil, err
	}
	st, err := openState(settings.Data)
	if err != nil {
		return nil, err
	}
	store, err := st.openSpool(spool.Options{MemTable: settings.SortMemory / 3, MinFree: minFree, Logger: settings.Log})
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	s := &Standing{admission: admission, state: st, spool: store, ledgers: map[string]*ledger{}, committer: startCommitter(store), asked: map[string]bool{}}
	s.settings.Store(&settings)
	if err := s.SetTrails(settings.Trails); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close lets go of the data folder. What was handed over to be taken in is written before.
func (s *Standing) Close() error {
	s.committer.stop()
	s.rolling.Lock()
	defer s.rolling.Unlock()
	return errors.Join(s.Flush(0, nil), s.spool.Close(), s.state.close())
}

// Configure has later rolls made by other settings; one that is under way goes on by those that it began with, and is not waited for. The data folder, the key and the clock stay; so
// do trails and retention policies, until SetTrails is called.
func (s *Standing) Configure(settings Settings) {
	old := s.settings.Load()
	settings.Data, settings.Key, settings.Now = old.Data, old.Key, old.Now
	s.settings.Store(&settings)
}

// SetTrails has events filed by these trails, and by the policies of the settings, from now on. Trails that are left out keep what they have, and it is sealed when they
// are back.
func (s *Standing) SetTrails(trails []Trail) error {
	if len(trails) > maxTrails {
		return fmt.Errorf("%d trails: at most %d", len(trails), maxTrails)
	}
	policies := s.settings.Load().Policies
	ids, classIDs := make([]uint16, len(trails)), make([]uint8, len(policies))
	var err error
	for i := range trails {
		if ids[i], err = s.spool.TrailID(trails[i].Name); err != nil {
			return err
		}
	}
	for i := range policies {
		if classIDs[i], err = s.spool.ClassID(policies[i].Class); err != nil {
			return err
		}
	}
	s.routes.Store(newRoutes(trails, ids, policies, classIDs))
	return nil
}

// Files reports whether events are filed by any trail of an org, be it on or off.
func (s *Standing) Files(org string) bool {
	return slices.ContainsFunc(s.routes.Load().trails, func(t Trail) bool { return t.Org == org })
}

// Wait returns when no roll is under way.
func (s *Standing) Wait() {
	s.rolling.Lock()
	defer s.rolling.Unlock()
}

// Unsealed reports whether a day of a trail has no seal.
func (s *Standing) Unsealed(trail string, day event.Day) bool {
	l, err := s.ledger(trail)
	return err == nil && !l.isSealed(day)
}

// Spool is where events wait.
func (s *Standing) Spool() *spool.Store { return s.spool }

// ledger returns what is known of a trail's seals.
func (s *Standing) ledger(trail string) (*ledger, error) {
	s.mu.RLock()
	l := s.ledgers[trail]
	s.mu.RUnlock()
	if l != nil {
		return l, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.ledgers[trail]; l != nil {
		return l, nil
	}
	l, err := openLedger(s.state, trail)
	if err == nil {
		s.ledgers[trail] = l
	}
	return l, err
}

// Plan says what a roll is to seal.
type Plan struct {
	// Since is the first day that a trail is sealed of, even if it is empty; false: days without events are not sealed.
	Since func(trail string) (event.Day, bool)
	// Ready reports whether a day that is closed need wait no longer for its sources; nil: none waits.
	Ready func(trail string, day event.Day) bool
	// Aside reports whether a day that is not ready keeps those after it from being sealed no more than a day that is; nil: each does keep them.
	Aside func(trail string, day event.Day) bool
	// Late has events that came after their day was sealed put into addenda, even if no other day of their trail is due.
	Late bool
	// TakeOver accepts, this once, what another machine has added to the store's log, as Settings.TakeOver does; and, until the process ends, that an anchor knows
	// another.
	TakeOver bool
	// Keep is how long sealed events stay in the spool.
	Keep time.Duration
}

// Due is the days of a trail that are to be sealed now, in order; and those that are closed and wait for their sources.
type Due struct {
	Trail   string
	Days    []event.Day
	Waiting []event.Day
}

// Due tells what is to be sealed. It asks no store.
func (s *Standing) Due(plan Plan) ([]Due, error) {
	routes := s.routes.Load()
	pending := s.pending()
	var list []Due
	for i := range routes.trails {
		l, err := s.ledger(routes.trails[i].Name)
		if err != nil {
			return nil, err
		}
		due, err := s.dueOf(l, pending[routes.ids[i]], plan)
		if err != nil {
			return nil, err
		}
		if len(due.Days)+len(due.Waiting) > 0 {
			list = append(list, due)
		}
	}
	return list, nil
}

// dueOf lists the days of a trail. They are sealed in order: a day that waits for its sources keeps those after it waiting, unless it waits aside. Addenda come with the next day that is sealed
// for the first time, so that there is one a day of them at most.
func (s *Standing) dueOf(l *ledger, pending map[event.Day]int64, plan Plan) (Due, error) {
	due := Due{Trail: l.trail}
	var days, late []event.Day
	for d := range pending {
		switch {
		case !s.closed(d):
		case l.isSealed(d):
			late = append(late, d)
		default:
			days = append(days, d)
		}
	}
	if since, ok := plan.Since(l.trail); ok {
		days = append(days, l.unsealed(since, s.closed)...)
	}
	slices.Sort(days)
	days = slices.Compact(days)
	for i, d := range days {
		if plan.Ready == nil || plan.Ready(l.trail, d) {
			due.Days = append(due.Days, d)
			continue
		}
		if plan.Aside == nil || !plan.Aside(l.trail, d) {
			due.Waiting = append(due.Waiting, days[i:]...)
			break
		}
		due.Waiting = append(due.Waiting, d)
	}
	if unfinished, err := s.state.readJournal(l.trail); err != nil {
		return due, err
	} else if unfinished != nil && !slices.Contains(due.Days, unfinished.Draft.Day.Day) {
		due.Days = append(due.Days, unfinished.Draft.Day.Day)
	}
	if plan.Late || len(due.Days) > 0 {
		due.Days = append(due.Days, late...)
	}
	slices.Sort(due.Days)
	due.Days = slices.Compact(due.Days)
	return due, nil
}

// maxFailures is how many trails in a row may fail before a roll gives up: then it is the store that fails, not they.
const maxFailures = 3

// Roll seals what is due. A trail that fails keeps no other from being sealed; its days stay due. The error joins what failed.
func (s *Standing) Roll(ctx context.Context, plan Plan) (report *Report, err error) {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	started := time.Now()
	if err := s.Flush(0, nil); err != nil {
		return nil, err
	}
	due, err := s.Due(plan)
	if err != nil {
		return nil, err
	}
	report = &Report{}
	due = slices.DeleteFunc(due, func(d Due) bool { return len(d.Days) == 0 })
	if len(due) == 0 && s.settled && !s.anchorsBehind() {
		return report, nil
	}
	routes := s.routes.Load() // others may be set meanwhile: one roll goes by one
	r, err := s.roller(routes, due)
	if err != nil {
		return nil, err
	}
	r.TakeOver = r.TakeOver || plan.TakeOver
	if err := r.openStore(ctx); err != nil {
		return nil, err
	}
	err = s.rollTrails(ctx, r, routes, due, report)
	if publishErr := r.publish(ctx, report); publishErr != nil {
		err = errors.Join(err, publishErr)
		s.settled = s.settled && !errors.Is(publishErr, errUnlogged) // the next roll adds it, whatever is due then
	} else if err == nil {
		s.settled = true
	}
	if _, expireErr := s.spool.Expire(s.settings.Load().Now().Add(-plan.Keep)); expireErr != nil {
		err = errors.Join(err, expireErr)
	}
	if checkErr := s.checkSealed(r); checkErr != nil {
		err = errors.Join(err, checkErr)
	}
	report.Read = report.Written + report.Duplicates
	report.Elapsed = time.Since(started)
	return report, err
}

// roller returns a roller of the trails that are due; of all, before anything was settled.
func (s *Standing) roller(routes *routes, due []Due) (*Roller, error) {
	r := &Roller{Settings: *s.settings.Load(), state: s.state, spool: s.spool, asked: s.asked}
	r.Trails, r.Policies = nil, routes.policies
	days := daysDue(due)
	for i := range routes.trails {
		name := routes.trails[i].Name
		if _, ok := days[name]; s.settled && !ok {
			continue
		}
		l, err := s.ledger(name)
		if err != nil {
			return nil, err
		}
		r.Trails, r.ledgers = append(r.Trails, routes.trails[i]), append(r.ledgers, l)
	}
	return r, nil
}

// daysDue is what is due, by trail.
func daysDue(due []Due) map[string][]event.Day {
	days := make(map[string][]event.Day, len(due))
	for _, d := range due {
		days[d.Trail] = d.Days
	}
	return days
}

func (s *Standing) rollTrails(ctx context.Context, r *Roller, routes *routes, due []Due, report *Report) error {
	var errs []error
	failures := 0
	pace := &pace{ctx: ctx, taken: s.committer.taken.Load}
	sp := &standingSpool{Store: s.spool, settings: &r.Settings, classes: routes.classIDs, rest: pace.rest}
	for i := range r.Trails {
		sp.trails = append(sp.trails, routes.ids[routes.byName[r.Trails[i].Name]])
	}
	days := daysDue(due)
	for i, l := range r.ledgers {
		err := r.catchUp(ctx, l)
		if err == nil { // what did not agree before this process began does not agree now
			err = s.checkTrail(l)
		}
		if s.broken != nil {
			errs = append(errs, err)
			break
		}
		if err == nil {
			err = s.rollDays(ctx, r, sp, uint16(i), days[l.trail], report)
		}
		if err == nil {
			failures = 0
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", l.trail, err))
		if failures++; failures == maxFailures || ctx.Err() != nil || s.spool.Stopped() != nil {
			break
		}
	}
	report.Days = append(r.resumed, report.Days...)
	r.lost = false
	return errors.Join(errs...)
}

func (s *Standing) rollDays(ctx context.Context, r *Roller, sp *standingSpool, trail uint16, days []event.Day, report *Report) error {
	for _, day := range days {
		if err := r.rollDay(ctx, sp, trail, day, report); err != nil {
			return err
		}
	}
	return nil
}

// anchorsBehind reports whether an anchor lacks the newest head, as far as that is known here.
func (s *Standing) anchorsBehind() bool {
	if len(s.settings.Load().Anchors) == 0 {
		return false
	}
	head, err := tlog.Remembered(s.state.logDir())
	if err != nil || head.Size == 0 {
		return false
	}
	states, err := s.state.readAnchors()
	if err != nil {
		return true // the roll will tell
	}
	for _, a := range s.settings.Load().Anchors {
		if states[a.Name()].Size != head.Size {
			return true
		}
	}
	return false
}

// ErrConservation says that events were lost or made: what was accepted is not what is sealed, pending or a duplicate. Nothing more is sealed then.
var ErrConservation = errors.New("events are lost or made")

// Reconciled is where the events of a trail are that were ever accepted, counted anew:
//
//	Accepted = Sealed + Pending + Duplicates + Damaged
type Reconciled struct {
	Trail    string `json:"trail"`
	Accepted int64  `json:"accepted"`
	// Sealed are written in the seals whose manifests are here.
	Sealed     int64 `json:"sealed"`
	Pending    int64 `json:"pending"`
	Duplicates int64 `json:"duplicates"`
	// Damaged could not be read from the spool any more; a seal declares them.
	Damaged int64 `json:"damaged"`
	// Fault says what does not agree; blank if all does.
	Fault string `json:"fault,omitempty"`
}

// Reconcile counts the events of each trail in the spool, one by one, and compares them with what was accepted and with the manifests of the seals. The error is one that
// kept it from counting.
func (s *Standing) Reconcile(ctx context.Context) ([]Reconciled, error) {
	s.rolling.Lock() // a day that is being sealed would be counted twice, or not at all
	defer s.rolling.Unlock()
	routes := s.routes.Load()
	list := []Reconciled{}
	for i := range routes.trails {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := s.ledger(routes.trails[i].Name)
		if err != nil {
			return nil, err
		}
		r, err := s.reconcile(ctx, l, routes.ids[i])
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// checkSealed compares what the spool says of the seals of the trails of a roll with what their manifests say.
func (s *Standing) checkSealed(r *Roller) error {
	for _, l := range r.ledgers {
		if err := s.checkTrail(l); err != nil {
			return err
		}
	}
	return nil
}

func (s *Standing) checkTrail(l *ledger) error {
	id, err := s.spool.TrailID(l.trail)
	if err != nil {
		return err
	}
	_, fault, err := s.sealed(l, id)
	if err != nil {
		return err
	}
	if t := s.spool.Totals(id); fault == "" && t.Accepted != t.Duplicates+t.Sealed+t.Pending {
		fault = fmt.Sprintf("%d accepted, but %d duplicates, %d sealed and %d pending", t.Accepted, t.Duplicates, t.Sealed, t.Pending)
	}
	if fault != "" {
		return s.stopSealing(l.trail, fault)
	}
	return nil
}

func (s *Standing) stopSealing(trail, fault string) error {
	s.broken = Unbalanced(trail, fault)
	return s.broken
}

// Unbalanced is the ErrConservation that says what does not agree of a trail.
func Unbalanced(trail, fault string) error {
	return &sink.HintError{
		Err:  fmt.Errorf("%w: %s: %s", ErrConservation, trail, fault),
		Hint: "nothing more is sealed, and events are taken in as before; keep a backup of the data folder, and find out what happened before the service is started again",
	}
}

// sealed returns how many events the manifests of the seals that were made of the spool hold, and what does not agree with what the spool says.
func (s *Standing) sealed(l *ledger, id uint16) (n int64, fault string, err error) {
	seals := l.briefs()
	for x, err := range s.spool.Sealings(id) {
		if err != nil {
			return 0, "", err
		}
		written := x.Written // of before there were counts, where no seal is known
		switch {
		case x.Seal == 0:
		case x.Seal > uint64(len(seals)):
			fault = fmt.Sprintf("%d events were written to seal %d, which is not known here", x.Written, x.Seal)
		default:
			if written = seals[x.Seal-1].events; written != x.Written {
				fault = fmt.Sprintf("seal %d holds %d events by its manifest, but %d were written to it", x.Seal, written, x.Written)
			}
		}
		n += written
	}
	return n, fault, nil
}

func (s *Standing) reconcile(ctx context.Context, l *ledger, id uint16) (Reconciled, error) {
	c, err := s.spool.Count(ctx, id)
	if err != nil {
		return Reconciled{}, err
	}
	r := Reconciled{Trail: l.trail, Accepted: c.Totals.Accepted, Pending: c.Pending, Duplicates: c.Totals.Duplicates + c.Duplicates, Damaged: c.Damaged}
	if r.Sealed, r.Fault, err = s.sealed(l, id); err != nil {
		return r, err
	}
	if err := c.Check(); err != nil && r.Fault == "" {
		r.Fault = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if sum := r.Sealed + r.Pending + r.Duplicates + r.Damaged; sum != r.Accepted && r.Fault == "" {
		r.Fault = fmt.Sprintf("%d were accepted, but %d are sealed, pending, duplicates or damaged", r.Accepted, sum)
	}
	if r.Fault != "" {
		_ = s.stopSealing(l.trail, r.Fault) // told in the answer
	}
	return r, nil
}

// Status tells what the data folder knows, but for what is taken in meanwhile. It asks no store, and waits for no seal.
func (s *Standing) Status() (*Status, error) {
	routes := s.routes.Load()
	told, err := s.state.carried()
	if err != nil {
		return nil, err
	}
	s.tallied.mu.Lock()
	told.NotTracked += s.tallied.notTracked
	told.Quarantined += s.tallied.refused
	s.tallied.mu.Unlock()
	status := &Status{Data: s.settings.Load().Data, Quarantined: told.Quarantined, NotTracked: told.NotTracked, Trails: []TrailStatus{}}
	r := &Roller{Settings: *s.settings.Load(), state: s.state}
	pending := s.pending()
	for i := range routes.trails {
		l, err := s.ledger(routes.trails[i].Name)
		if err != nil {
			return nil, err
		}
		t, err := s.trailStatus(l, routes.ids[i], pending[routes.ids[i]])
		if err != nil {
			return nil, err
		}
		status.Trails = append(status.Trails, *t)
	}
	return status, r.logStatus(status)
}
