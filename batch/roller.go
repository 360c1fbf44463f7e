// Package batch closes days: it renders a day's events into files, deposits them in a store, and seals them.
//
// What it guarantees: a seal exists when its note is in the store, and then all of it is there; before that none of it counts. A run that is
// stopped at any point, and started again, ends with the same data bytes under the same keys: staged files and the journal are on stable storage before
// the first file is put, and are carried out as they stand. A sealed day never changes; events that come later are an addendum. Every event that was
// read is counted in one of: written, duplicate, quarantined, not tracked, pending; the sum is checked before a seal is signed.
//
// What it does not: guard against two machines that seal the same trail at the same moment, beyond this: the store takes one of two seals of the same
// number, and the loser takes over the winner's and makes its own anew.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"daybook/batch/anchor"
	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/retention"
	"daybook/sink"
)

// Settings say what is sealed, how, and where to.
type Settings struct {
	Store sink.Store
	// Data is the data folder.
	Data string
	// Key signs the seals; nil leaves them unsigned, and the store without a log.
	Key seal.Signer
	// Origin names the store's log where it begins; blank: a name is made up.
	Origin string
	// TakeOver accepts what another machine has added to the log since ours was last here, if it extends what is known here; and a log that is not the one that an anchor
	// knows.
	TakeOver bool
	// Anchors get each new head of the log. Those that remember are asked, before anything is sealed, whether the log is the one that they know.
	Anchors []anchor.Anchor
	// Gaps are times for which events may be missing, of which the seals of this run tell.
	Gaps []seal.Gap
	// GapsOf tells what else is known to be missing of a trail within a range, and SourcesOf how far the sources of a trail's day had been read. Either may be
	// nil.
	GapsOf    func(trail string, from, to time.Time) []seal.Gap
	SourcesOf func(trail string, day event.Day) []seal.Source
	// OnDamage is told what of a day can't be read from the spool any more, before the day is sealed without it: what it declares is in GapsOf then. It may be told again.
	// Nil: a day that is damaged is not sealed.
	OnDamage func(d Damage) error
	Trails   []Trail
	// Policies say how long what is kept, and so which files a day has.
	Policies retention.Policies
	Rendering
	// CloseAfter is how long after its end a day is closed. IncludeOpen seals days that are not.
	CloseAfter  time.Duration
	IncludeOpen bool
	// Now is the time: a seal's, and so where its retention begins.
	Now func() time.Time
	// AsOf stands for the time where it is asked which days are closed, and on which day events without a credible time were received. Zero: Now.
	AsOf time.Time
	// DedupeWindow is how long the keys of sealed events are kept in the data folder. Beyond it they are read from the evidence where they are needed.
	DedupeWindow time.Duration
	// Build is the version of Daybook, Config the digest of its configuration.
	Build  string
	Config seal.Hash
	// Workers is how many goroutines decode.
	Workers int
	// Progress is told what is going on; it may be called from several goroutines.
	Progress func(Progress)
	Log      *slog.Logger
}

// Progress is one step: only what took place is set.
type Progress struct {
	// Read is bytes of input read.
	Read int64
	// Begun is the day whose sealing began, with the events that came for it.
	Begun *DayResult
	// Rendered is events of that day rendered.
	Rendered int64
	// Deposited is bytes put into the store.
	Deposited int64
	// Done is a day that is done.
	Done *DayResult
}

// Outcomes of a day.
const (
	// Sealed is a day that was sealed for the first time.
	Sealed = "sealed"
	// Addendum is a day that was sealed before, and to which events were added.
	Addendum = "addendum"
	// Unchanged is a day that was sealed before, and for which nothing new came.
	Unchanged = "unchanged"
	// Resumed is a seal that an earlier run had begun.
	Resumed = "resumed"
	// Imported is a day that Import took events of.
	Imported = "imported"
	// StillOpen is a day that is not closed yet, and was left alone.
	StillOpen = "open"
)

// DayResult is what became of a day.
type DayResult struct {
	Trail    string    `json:"trail"`
	Day      seal.Date `json:"day"`
	Outcome  string    `json:"outcome"`
	Seal     uint64    `json:"seal,omitempty"`
	Addendum int       `json:"addendum,omitempty"`
	// Events were written; Duplicates left out; Conflicts are, of those written, the ones whose id another event has.
	Events     int64 `json:"events"`
	Duplicates int64 `json:"duplicates"`
	Conflicts  int64 `json:"conflicts"`
	Redacted   int64 `json:"redacted"`
	// Pending are the events of an open day.
	Pending int64 `json:"pending,omitempty"`
	Files   int   `json:"files"`
	Bytes   int64 `json:"bytes"`
	// Note is the key of the seal's note.
	Note string `json:"note,omitempty"`
}

// Roller seals days. Its methods are not safe for concurrent use.
type Roller struct {
	Settings
	state   *state
	ledgers []*ledger // one for each trail
	log     *tlog.Log // nil if seals are not signed
	resumed []DayResult
	told    []bool // which of the Gaps a seal has told
	losses  []Loss // of Roll: the spools that were given up; a service declares its own
	// asked are the anchors, by name, that know the log as it was when it was opened, or need not: see askAnchors.
	asked   map[string]bool
	refused bool         // the log can't be put with the lock that extensions ask for
	lost    bool         // nothing was remembered here of what is sealed
	spool   *spool.Store // nil for an export

	keyWarning sync.Once // that a key's file has a weaker lock was told
}

// Open takes the data folder, checks the store, learns what is sealed, and finishes what an earlier run had begun.
func Open(ctx context.Context, settings Settings) (*Roller, error) {
	if err := errors.Join(checkTrails(settings.Trails), checkPolicies(settings.Policies)); err != nil {
		return nil, err
	}
	st, err := openState(settings.Data)
	if err != nil {
		return nil, err
	}
	r := &Roller{Settings: settings, state: st}
	for _, t := range r.Trails {
		l, err := openLedger(st, t.Name)
		if err != nil {
			return nil, errors.Join(err, st.close())
		}
		r.ledgers = append(r.ledgers, l)
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, st.close())
	}
	return r, nil
}

func (r *Roller) start(ctx context.Context) error {
	if err := r.openStore(ctx); err != nil {
		return err
	}
	for _, l := range r.ledgers {
		if err := r.catchUp(ctx, l); err != nil {
			return err
		}
	}
	r.lost = false // from here on this process remembers
	return r.logSeals(ctx)
}

// openStore checks that the store is fit, and that it and its log are ours to extend.
func (r *Roller) openStore(ctx context.Context) error {
	if err := r.Store.Preflight(ctx); err != nil {
		return err
	}
	if err := r.state.dropKeys(r.Now().Add(-r.DedupeWindow)); err != nil {
		return err
	}
	r.told = make([]bool, len(r.Gaps))
	for _, l := range r.ledgers {
		if err := l.checkStore(ctx, r.Store); err != nil {
			return err
		}
	}
	remembered, err := tlog.Remembered(r.state.logDir())
	r.lost = err == nil && remembered.Size == 0
	for _, l := range r.ledgers {
		r.lost = r.lost && l.next == 1
	}
	// Up to here, and there, nothing is written: a store that is not ours to extend is left as it is.
	return r.openLog(ctx)
}

// catchUp learns what the store has of a trail beyond our ledger, and finishes what an earlier run had begun.
func (r *Roller) catchUp(ctx context.Context, l *ledger) error {
	if err := l.refresh(ctx, r.Store, r.adopter()); err != nil {
		return err
	}
	if err := l.checkClock(r.Now()); err != nil {
		return err
	}
	return r.resume(ctx, l)
}

// adopter says which manifests without a note are signed: any, where nothing is remembered here (design, D12) or --take-over was given.
func (r *Roller) adopter() adopter {
	return adopter{signer: r.Key, lock: r.controlLock(), any: r.lost || r.TakeOver, fits: r.fits, hold: r.holdSealed, log: r.Log}
}

// fits reports why the log cannot take a seal that was found in the store: it is signed by a key that is not in force, or not at all.
func (r *Roller) fits(m *seal.Manifest) error {
	if r.log == nil || m.Seal <= r.log.Logged(m.Trail) {
		return nil
	}
	keys := r.log.Keyring()
	if err := keys.Check(m.Key, keys.Size()); err != nil {
		return &sink.HintError{
			Err:  fmt.Errorf("it is not in the log, and cannot be: %w: %w", err, sink.ErrConflict),
			Hint: "somebody else sealed it: run `daybook verify`, which tells its objects, and find out who writes to the store",
		}
	}
	return nil
}

// keyID is the ID of the signing key, as manifests name it.
func (r *Roller) keyID() string {
	if r.Key == nil {
		return seal.NoKey
	}
	return r.Key.Public().ID()
}

// Close lets go of the data folder.
func (r *Roller) Close() error { return r.state.close() }

func (r *Roller) progress(p Progress) {
	if r.Progress != nil {
		r.Progress(p)
	}
}

// sorterMemory is what each sorting worker may use.
func (r *Roller) sorterMemory() int { return max(r.SortMemory/max(r.Workers, 1), 4<<20) }

// closed reports whether a day is over for as long as it takes.
func (r *Roller) closed(day event.Day) bool {
	return !r.asOf().Before(day.End().Add(r.CloseAfter))
}

func (r *Roller) asOf() time.Time {
	if r.AsOf.IsZero() {
		return r.Now()
	}
	return r.AsOf
}

// resume carries out a journal that was left behind.
func (r *Roller) resume(ctx context.Context, l *ledger) error {
	j, err := r.state.readJournal(l.trail)
	if err != nil {
		return err
	}
	if j == nil {
		// A stop before the journal left files that nobody knows of.
		return r.state.dropJournal(l.trail)
	}
	made, err := j.manifest()
	if err != nil {
		return err
	}
	if j.Draft.Addendum < len(l.days[j.Draft.Day.Day]) {
		// It was complete but for the ledger, or another machine's seal came first; then the events are read again.
		if made != nil && l.holds(made.Seal, j.Manifest) {
			return r.concluded(j, made)
		}
		return r.state.dropJournal(l.trail)
	}
	if j.Draft.Key != r.keyID() {
		return &sink.HintError{
			Err:  fmt.Errorf("seal of %v of %s was begun with key %s, not with %s", j.Draft.Day, l.trail, j.Draft.Key, r.keyID()),
			Hint: "run this again with the --key of that time; its files are staged and wait",
		}
	}
	if made == nil || made.Seal < l.next { // it is still to be made, or another machine's seal has its number
		j.Manifest = nil
		// Locks run from the time of the seal, which is now: a store refuses one that is over.
		r.stamp(&j.Draft)
		if err := r.state.writeJournal(l.trail, j); err != nil {
			return err
		}
	}
	r.Log.Info("resuming a seal", "trail", l.trail, "day", j.Draft.Day.String())
	m, err := r.commit(ctx, l, j)
	if errors.Is(err, errOvertaken) {
		return nil
	}
	if err != nil {
		return err
	}
	r.resumed = append(r.resumed, resultOf(m, Resumed))
	return nil
}

func resultOf(m *seal.Manifest, outcome string) DayResult {
	d := DayResult{
		Trail: m.Trail, Day: m.Day, Outcome: outcome, Seal: m.Seal, Addendum: m.Addendum, Events: m.Counts.Written, Duplicates: m.Counts.Duplicates,
		Conflicts: m.Counts.Conflicts, Redacted: m.Counts.Redacted, Files: len(m.Files), Note: seal.NoteKey(m.Trail, m.Seal),
	}
	for _, f := range m.Files {
		d.Bytes += f.Size
	}
	return d
}

// errOvertaken says that another machine sealed the same day first.
var errOvertaken = errors.New("another machine sealed the day first")

// maxRaces is how often in a row another machine may take our seal's number before we give up.
const maxRaces = 100

// commit carries out a journal. If the store has another machine's seal under our number, that is taken over, and ours gets the next number.
// errOvertaken: theirs is of the same day, and the journal is dropped.
func (r *Roller) commit(ctx context.Context, l *ledger, j *journal) (*seal.Manifest, error) {
	for range maxRaces {
		before := l.next
		m, err := r.deposit(ctx, l, j)
		if err == nil || !errors.Is(err, sink.ErrConflict) {
			return m, err
		}
		if refreshErr := l.refresh(ctx, r.Store, r.adopter()); refreshErr != nil {
			return nil, errors.Join(err, refreshErr)
		}
		if l.next == before {
			return nil, &sink.HintError{
				Err:  err,
				Hint: "no seal explains these files: an earlier run was stopped and its data folder lost, or something else writes here; use another prefix, or give back the data folder",
			}
		}
		if len(l.days[j.Draft.Day.Day]) > j.Draft.Addendum {
			if err := r.state.dropJournal(l.trail); err != nil {
				return nil, err
			}
			return nil, errOvertaken
		}
		j.Manifest = nil
	}
	return nil, fmt.Errorf("%s: other machines took the seal's number %d times in a row", l.trail, maxRaces)
}

// sealDay renders, deposits and seals a day of a trail, for which expected events came. With evenEmpty a day without events is sealed too. of is the generation of the
// spool that the events are of, nil if they are of none.
func (r *Roller) sealDay(ctx context.Context, trail uint16, day event.Day, from rows, conflicts *spool.Conflicts, tell carry, expected int64, evenEmpty bool, of *spooled) (DayResult, error) {
	l, t := r.ledgers[trail], &r.Trails[trail]
	for range maxRaces {
		addendum := len(l.days[day])
		begun := DayResult{Trail: t.Name, Day: seal.Date{Day: day}, Events: expected}
		r.progress(Progress{Begun: &begun})
		out, err := r.renderDay(ctx, l, t, trail, day, addendum, from, conflicts, evenEmpty && addendum == 0)
		if err != nil {
			return DayResult{}, fmt.Errorf("%s %v: %w", t.Name, day, err)
		}
		if of != nil {
			of.Duplicates = out.counts.duplicates
			if err := r.declareDamage(t.Name, day, of); err != nil {
				return DayResult{}, fmt.Errorf("%s %v: %w", t.Name, day, err)
			}
		}
		if out.files == nil {
			begun.Outcome, begun.Events, begun.Duplicates = Unchanged, 0, out.counts.duplicates
			if of != nil {
				if err := r.markSealed(t.Name, day, of, nil); err != nil {
					return begun, err
				}
			}
			return begun, r.state.dropJournal(t.Name)
		}
		j := &journal{Draft: r.draft(t, day, addendum, out, tell), Told: tell.Run, Spooled: of}
		if err := l.rehearse(j.Draft); err != nil {
			return DayResult{}, fmt.Errorf("%s %v: %w", t.Name, day, err)
		}
		if err := r.state.writeJournal(t.Name, j); err != nil {
			return DayResult{}, err
		}
		m, err := r.commit(ctx, l, j)
		if errors.Is(err, errOvertaken) {
			continue
		}
		if err != nil {
			return DayResult{}, fmt.Errorf("%s %v: %w", t.Name, day, err)
		}
		outcome := Sealed
		if addendum > 0 {
			outcome = Addendum
		}
		done := resultOf(m, outcome)
		done.Duplicates -= tell.Duplicates // the manifest tells them, an import's report did
		return done, nil
	}
	return DayResult{}, fmt.Errorf("%s %v: %w, %d times in a row", t.Name, day, errOvertaken, maxRaces)
}

// renderDay stages the files of a day. There are none if there is nothing new.
func (r *Roller) renderDay(ctx context.Context, l *ledger, t *Trail, trail uint16, day event.Day, addendum int, from rows, conflicts *spool.Conflicts, evenEmpty bool) (*rendered, error) {
	known, err := r.priorOf(ctx, l, day)
	if err != nil {
		return nil, err
	}
	defer known.close()
	keys, err := createKeySet(r.state.sealKeysDir(t.Name, day, addendum))
	if err != nil {
		return nil, err
	}
	if err := r.state.dropJournal(t.Name); err != nil {
		return nil, err
	}
	if conflicts == nil {
		conflicts = &spool.Conflicts{}
	}
	re := &renderer{
		Rendering: &r.Rendering, trail: t, index: trail, day: day, addendum: addendum, policies: r.Policies, dir: r.state.stagingDir(t.Name),
		conflicts: conflicts, prior: known, keys: keys, progress: r.progress,
	}
	out, err := re.render(ctx, from, r.state.path("runs"), evenEmpty)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(re.dir), removeKeySet(keys.name))
	}
	if out.files == nil {
		return out, removeKeySet(keys.name)
	}
	return out, syncTree(re.dir)
}

// draft is the manifest of a day as far as it is known before the files are deposited.
func (r *Roller) draft(t *Trail, day event.Day, addendum int, out *rendered, tell carry) seal.Manifest {
	end := day.End()
	if !r.closed(day) && end.After(r.Now()) {
		if end = r.asOf().UTC(); !end.After(out.counts.last) {
			end = out.counts.last.Add(1)
		}
		if !end.After(day.Start()) || end.After(day.End()) {
			end = day.End()
		}
	}
	c := &out.counts
	m := seal.Manifest{
		Schema: seal.Schema, Trail: t.Name, Org: t.orgName(), Day: seal.Date{Day: day}, Start: day.Start(), End: end, Addendum: addendum,
		Build: r.Build, Config: r.Config, Key: r.keyID(), Files: out.files,
		Counts: seal.Counts{
			Read:    c.rows + c.duplicates + tell.Duplicates + tell.Quarantined + tell.NotTracked + tell.Pending,
			Written: c.rows, Duplicates: c.duplicates + tell.Duplicates, Quarantined: tell.Quarantined, NotTracked: tell.NotTracked, Pending: tell.Pending,
			Conflicts: c.conflicted, TimeSuspect: c.suspect, Redacted: c.redacted, CellsChanged: out.changed, ValuesCut: out.cut,
		},
		Conflicts:         seal.Conflicts{Total: int64(len(c.conflicts)), IDs: c.conflicts[:min(len(c.conflicts), seal.MaxListed)]},
		QuarantinedSHA256: tell.Hashes,
	}
	if addendum > 0 {
		m.Counts.Late = c.rows
	}
	m.Sources = r.sourcesOf(t.Name, day, c.sources)
	m.Gaps = withLosses(r.gapsOf(m.Start, m.End), r.losses, m.Start, m.End)
	if r.GapsOf != nil {
		m.Gaps = append(m.Gaps, r.GapsOf(t.Name, m.Start, m.End)...)
	}
	if clock, ok := r.Store.(sink.Clock); ok {
		if offset, known := clock.Offset(); known {
			ms := offset.Milliseconds()
			m.ClockOffset = &ms
		}
	}
	r.stamp(&m)
	return m
}

// sourcesOf returns the sources of a day: those whose events it holds, and those that were waited for. Imported files tell of no watermark.
func (r *Roller) sourcesOf(trail string, day event.Day, met map[string]struct{}) []seal.Source {
	var list []seal.Source
	if r.SourcesOf != nil {
		list = r.SourcesOf(trail, day)
	}
	for i := range list {
		list[i].Name = short(list[i].Name)
	}
	for name := range met {
		if !slices.ContainsFunc(list, func(s seal.Source) bool { return s.Name == name }) {
			list = append(list, seal.Source{Name: name})
		}
	}
	return list
}

// gapsOf returns what of the declared gaps lies within a range, without overlap as a manifest has it: those that do are one, with the reasons of both.
func (r *Roller) gapsOf(from, to time.Time) []seal.Gap {
	var list []seal.Gap
	for i, g := range r.Gaps {
		if g.From.Before(from) {
			g.From = from
		}
		if g.To.After(to) {
			g.To = to
		}
		if g.From.Before(g.To) {
			list, r.told[i] = append(list, g), true
		}
	}
	slices.SortFunc(list, func(a, b seal.Gap) int {
		return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To), strings.Compare(a.Reason, b.Reason))
	})
	var apart []seal.Gap
	var reasons []string // of the last of apart
	for _, g := range slices.Compact(list) {
		last := len(apart) - 1
		if last < 0 || !g.From.Before(apart[last].To) {
			apart, reasons = append(apart, g), []string{g.Reason}
			continue
		}
		if g.To.After(apart[last].To) {
			apart[last].To = g.To
		}
		if !slices.Contains(reasons, g.Reason) {
			reasons = append(reasons, g.Reason)
			apart[last].Reason += "; " + g.Reason
		}
	}
	return apart
}

// untold are the declared gaps that no seal of this run tells of.
func (r *Roller) untold() []seal.Gap {
	var list []seal.Gap
	for i, g := range r.Gaps {
		if !r.told[i] {
			list = append(list, g)
		}
	}
	return list
}
