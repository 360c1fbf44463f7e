package batch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
)

// A legal hold is a leaf of the store's log, and a flag on each object that it is about: that is what keeps the server from deleting it. The leaf says what must
// be held, and the objects follow it:
//
//   - To put a hold, the objects come first and the leaf after them: what the log says is true. A stop in between leaves objects that are held for no reason
//     that is written down; the same order given again finishes it.
//   - To release one, the leaf comes first, and objects that no other hold covers are let go of after it. A stop in between leaves some of them held; the same
//     order given again lets go of the rest.
//   - A hold that changes no object, since nothing of its days is sealed yet, is tried on a throw-away object first.
//   - What is sealed later for a day that is held is held when it is put, and so before its seal counts. Which holds stand is read from the log, at each roll.

// ErrNoLocks says that a store locks nothing: a folder, or a bucket whose files are not locked.
var ErrNoLocks error = &sink.HintError{
	Err:  fmt.Errorf("the store locks nothing, and so can hold nothing: %w", sink.ErrUnfit),
	Hint: "legal holds and longer locks need an s3:// destination, a bucket with Object Lock, and mode: compliance or governance",
}

// ErrNoHold says that there is no such hold.
var ErrNoHold = errors.New("there is no such hold")

// HoldOrder asks for a hold on the files of a trail's days, or for its release.
type HoldOrder struct {
	Trail string
	// From and To are days, both included. They need not be sealed, or be over.
	From, To event.Day
	// Project limits the hold to files that may have events of it; blank: all.
	Project string
	// Reason and By say why, and who wants it. They stand in the log for good.
	Reason, By string
}

// HoldReport tells what came of an order.
type HoldReport struct {
	Action  string    `json:"action"` // put or release
	Trail   string    `json:"trail"`
	From    seal.Date `json:"from"`
	To      seal.Date `json:"to"`
	Project string    `json:"project,omitempty"`
	// Leaf is the index of the leaf of the log. Already says that it was there before: nothing was added, and the objects were gone through once more.
	Leaf    int64 `json:"leaf"`
	Already bool  `json:"already"`
	// Seals are those of the days; Objects the files, manifests and notes of them that the order is about.
	Seals   int `json:"seals"`
	Objects int `json:"objects"`
	// Changed are those of the objects on which the hold was put, or lifted, now; Kept those that another hold keeps; Gone those that are there no more, since their
	// retention had ended before.
	Changed int `json:"changed"`
	Kept    int `json:"kept"`
	Gone    int `json:"gone"`
	// Head is the log's, and Anchors tell who has it.
	Head    *Head         `json:"head,omitempty"`
	Anchors []AnchorState `json:"anchors"`
}

// PutHold puts a hold on all that is sealed of the days, and has the log say so, and what is sealed of them later is held, too. A hold that stands already is put
// on the objects once more.
func (r *Roller) PutHold(ctx context.Context, o HoldOrder) (*HoldReport, error) {
	report := o.report(tlog.HoldPut)
	locker, l, err := r.holdable(ctx, o.Trail)
	if err != nil {
		return nil, err
	}
	leaf, err := r.holdLeaf(o, tlog.HoldPut)
	if err != nil {
		return nil, err
	}
	found, known := r.log.Holds().Find(o.Trail, o.From, o.To, o.Project)
	report.Already = known && found.Released == nil
	hold := tlog.Hold{Project: o.Project}
	err = r.eachHeld(ctx, l, &o, hold.Covers, report, func(ctx context.Context, x *sealedObject) error {
		return x.set(ctx, r, locker, true)
	})
	if err != nil {
		return nil, err
	}
	if !report.Already && report.Changed == 0 {
		if err := r.tryHold(ctx, locker); err != nil {
			return nil, err
		}
	}
	return report, r.conclude(ctx, report, leaf)
}

// throwAway is where objects lie that verify passes over, and that the bucket's lifecycle removes after a day.
const throwAway = "doctor/"

// tryHold puts a throw-away object with a hold, as later seals of days that are held are put, and lets go of it. Without the right to do it no such day could be sealed, so
// that a hold that no object has shown to be allowed yet must not stand in the log.
func (r *Roller) tryHold(ctx context.Context, locker sink.Locker) error {
	at := r.Now().UTC().Truncate(time.Second)
	key := throwAway + "hold-" + at.Format("20060102T150405Z")
	info, err := r.Store.Put(ctx, sink.Object{
		Key: key, ContentType: "text/plain", Size: int64(len(key)), SHA256: seal.Sum([]byte(key)), Body: strings.NewReader(key), Hold: true,
		Lock: sink.Lock{Mode: r.controlLock().Mode, RetainUntil: at.Add(time.Minute)},
	})
	if err == nil {
		_, err = locker.Hold(ctx, key, info.Version, false)
	}
	if err != nil {
		return fmt.Errorf("a throw-away object could not be held and let go of, and so the days are not held: %w", err)
	}
	return nil
}

// ReleaseHold has the log say that a hold stands no more, and lets go of those objects that no other one covers. If it was released before, the objects are
// gone through once more.
func (r *Roller) ReleaseHold(ctx context.Context, o HoldOrder) (*HoldReport, error) {
	report := o.report(tlog.HoldRelease)
	locker, l, err := r.holdable(ctx, o.Trail)
	if err != nil {
		return nil, err
	}
	leaf, err := r.holdLeaf(o, tlog.HoldRelease)
	if err != nil {
		return nil, err
	}
	found, known := r.log.Holds().Find(o.Trail, o.From, o.To, o.Project)
	if !known {
		return nil, &sink.HintError{
			Err:  fmt.Errorf("%s, %v to %v%s: %w", o.Trail, o.From, o.To, o.projectText(), ErrNoHold),
			Hint: "a hold is released by the days and the project that it was put with: `daybook hold list` tells them",
		}
	}
	report.Already = found.Released != nil
	if err := r.conclude(ctx, report, leaf); err != nil {
		return nil, err
	}
	hold, holds := tlog.Hold{Project: o.Project}, r.log.Holds()
	err = r.eachHeld(ctx, l, &o, hold.Covers, report, func(ctx context.Context, x *sealedObject) error {
		for _, other := range holds.On(o.Trail, x.day) {
			if x.file == nil || other.Covers(x.file) {
				x.kept = true
				return nil
			}
		}
		return x.set(ctx, r, locker, false)
	})
	if err != nil {
		return nil, fmt.Errorf("the log says that the hold is released, but it still lies on files; run this again: %w", err)
	}
	return report, nil
}

func (o *HoldOrder) report(action string) *HoldReport {
	return &HoldReport{Action: action, Trail: o.Trail, From: seal.Date{Day: o.From}, To: seal.Date{Day: o.To}, Project: o.Project, Anchors: []AnchorState{}}
}

func (o *HoldOrder) projectText() string {
	if o.Project == "" {
		return ""
	}
	return ", project " + o.Project
}

// holdLeaf makes the leaf of an order, and so checks it before anything is done.
func (r *Roller) holdLeaf(o HoldOrder, action string) (*tlog.Leaf, error) {
	leaf := &tlog.Leaf{
		Schema: tlog.Schema, Type: tlog.TypeHold, Time: r.Now().UTC().Truncate(time.Second),
		Hold: &tlog.HoldLeaf{
			Action: action, Trail: o.Trail, From: seal.Date{Day: o.From}, To: seal.Date{Day: o.To}, Project: o.Project, Reason: o.Reason, By: o.By,
		},
	}
	_, err := leaf.Encode()
	return leaf, err
}

// conclude adds the leaf to the log, unless it is there, and publishes it.
func (r *Roller) conclude(ctx context.Context, report *HoldReport, leaf *tlog.Leaf) error {
	if !report.Already {
		if err := r.log.Add(leaf); err != nil {
			return err
		}
		if _, err := r.log.Publish(ctx); err != nil {
			return err
		}
	}
	h := leaf.Hold
	found, _ := r.log.Holds().Find(h.Trail, h.From.Day, h.To.Day, h.Project)
	if report.Leaf = found.Leaf; h.Action == tlog.HoldRelease && found.Released != nil {
		report.Leaf = found.Released.Leaf
	}
	var whole Report
	err := r.publish(ctx, &whole)
	report.Head, report.Anchors = whole.Head, append(report.Anchors, whole.Anchors...)
	return err
}

// holdable checks that the store can hold, and that the log can say so, and returns what is known of the trail.
func (r *Roller) holdable(ctx context.Context, trail string) (sink.Locker, *ledger, error) {
	locker, ok := r.Store.(sink.Locker)
	if !ok || r.controlLock().Mode == sink.None {
		return nil, nil, ErrNoLocks
	}
	if r.log == nil {
		return nil, nil, &sink.HintError{
			Err:  fmt.Errorf("seals are not signed here, and a store without a log can't tell of holds: %w", sink.ErrUnfit),
			Hint: "remove signing: none from the configuration, and use another prefix for signed seals",
		}
	}
	l, err := r.ledgerOf(ctx, trail)
	return locker, l, err
}

// ledgerOf returns what is known of a trail: one that is rolled here, or one of which the store has seals.
func (r *Roller) ledgerOf(ctx context.Context, trail string) (*ledger, error) {
	for _, l := range r.ledgers {
		if l.trail == trail {
			return l, nil
		}
	}
	l, err := openLedger(r.state, trail)
	if err == nil {
		err = r.catchUp(ctx, l)
	}
	if err == nil && l.next == 1 {
		err = &sink.HintError{Err: fmt.Errorf("%w: %q", ErrNoTrail, trail), Hint: "name one that the configuration has, or of which the store has seals"}
	}
	if err == nil {
		_, err = r.addSeals(l)
	}
	return l, err
}

// ErrNoTrail says that no trail has that name.
var ErrNoTrail = errors.New("there is no such trail")

// sealedObject is one of the objects of a seal.
type sealedObject struct {
	key, version string
	sum          seal.Hash
	day          event.Day
	file         *seal.File // nil for a manifest or note
	// until is when its retention ends, by its manifest.
	until time.Time

	changed, kept, gone bool // what came of it
}

// holders is how many objects are held, or let go of, at a time.
const holders = 8

// eachHeld does something to each object of the seals of an order's days that it covers, and counts what came of it.
func (r *Roller) eachHeld(ctx context.Context, l *ledger, o *HoldOrder, covers func(*seal.File) bool, report *HoldReport, do func(context.Context, *sealedObject) error) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(holders)
	var mu sync.Mutex
	var err error
	for i, s := range l.briefs() {
		if s.day < o.From || s.day > o.To || inner.Err() != nil {
			continue
		}
		report.Seals++
		var objects []sealedObject
		if objects, err = l.objects(uint64(i+1), covers); err != nil {
			break
		}
		for x := range objects {
			group.Go(func() error {
				x := &objects[x]
				if err := do(inner, x); err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				report.Objects++
				for _, c := range []struct {
					is bool
					n  *int
				}{{x.changed, &report.Changed}, {x.kept, &report.Kept}, {x.gone, &report.Gone}} {
					if c.is {
						*c.n++
					}
				}
				return nil
			})
		}
	}
	if err = errors.Join(err, group.Wait()); err != nil {
		return err
	}
	return ctx.Err()
}

// objects lists the files of a seal that are covered, its manifest and its note.
func (l *ledger) objects(n uint64, covers func(*seal.File) bool) ([]sealedObject, error) {
	data, err := l.manifestBytes(n)
	if err != nil {
		return nil, err
	}
	m, err := seal.ParseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("ledger: seal %d of %s: %w", n, l.trail, err)
	}
	note, err := l.noteBytes(n)
	if err != nil {
		return nil, err
	}
	return objectsOf(m, data, note, covers), nil
}

// objectsOf is ledger.objects, of a seal that need not be in the ledger. What of its manifest and note is nil is left out.
func objectsOf(m *seal.Manifest, data, note []byte, covers func(*seal.File) bool) []sealedObject {
	var list []sealedObject
	for i := range m.Files {
		if f := &m.Files[i]; covers(f) {
			list = append(list, sealedObject{key: f.Key, version: f.Version, sum: f.SHA256, day: m.Day.Day, file: f, until: f.RetainUntil})
		}
	}
	if data != nil {
		list = append(list, sealedObject{key: seal.ManifestKey(m.Trail, m.Seal), sum: seal.Sum(data), day: m.Day.Day})
	}
	if note != nil {
		list = append(list, sealedObject{key: seal.NoteKey(m.Trail, m.Seal), sum: seal.Sum(note), day: m.Day.Day})
	}
	return list
}

// set puts the hold on an object, or lifts it. A file may be gone where its retention has ended.
func (x *sealedObject) set(ctx context.Context, r *Roller, locker sink.Locker, on bool) error {
	version, err := x.find(ctx, r.Store)
	var info sink.Info
	if err == nil {
		info, err = locker.Hold(ctx, x.key, version, on)
	}
	if errors.Is(err, sink.ErrNotExist) && x.file != nil && r.Now().After(x.until) {
		x.gone = true
		return nil
	}
	x.changed = err == nil && !info.Existed
	return x.explain(err)
}

// find returns the version of an object that was sealed. Of manifests and notes nobody wrote it down: it is the one that has these bytes, and there should be no other.
func (x *sealedObject) find(ctx context.Context, store sink.Store) (string, error) {
	if x.version != "" {
		return x.version, nil
	}
	info, err := store.Head(ctx, x.key, "")
	if err == nil && info.SHA256 != x.sum {
		err = fmt.Errorf("%s: %w", x.key, sink.ErrConflict)
	}
	return info.Version, err
}

func (x *sealedObject) explain(err error) error {
	if errors.Is(err, sink.ErrNotExist) || errors.Is(err, sink.ErrHidden) || errors.Is(err, sink.ErrConflict) {
		return &sink.HintError{Err: fmt.Errorf("what was sealed is not as it was: %w", err), Hint: "`daybook verify` says what happened to the store; what is left was held"}
	}
	return err
}

// holdsOn returns the holds on a day of a trail. A store that cannot hold gets none asked of it: it may be a copy of one that could.
func (r *Roller) holdsOn(trail string, day event.Day) []tlog.Hold {
	if r.log == nil {
		return nil
	}
	holds := r.log.Holds().On(trail, day)
	if _, ok := r.Store.(sink.Locker); len(holds) > 0 && (!ok || r.controlLock().Mode == sink.None) {
		r.Log.Warn("a legal hold stands on this day, and the store can hold nothing", "trail", trail, "day", day.String())
		return nil
	}
	return holds
}

// covered reports whether one of the holds is on a file.
func covered(holds []tlog.Hold, f *seal.File) bool {
	for i := range holds {
		if holds[i].Covers(f) {
			return true
		}
	}
	return false
}

// holdSealed puts on the files of a seal, and on its manifest and note where they are given, whatever holds stand on its day.
func (r *Roller) holdSealed(ctx context.Context, m *seal.Manifest, data, note []byte) error {
	holds := r.holdsOn(m.Trail, m.Day.Day)
	if len(holds) == 0 {
		return nil
	}
	locker := r.Store.(sink.Locker) // holdsOn has seen to it
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(holders)
	for _, x := range objectsOf(m, data, note, func(f *seal.File) bool { return covered(holds, f) }) {
		group.Go(func() error { return x.set(ctx, r, locker, true) })
	}
	return group.Wait()
}

// PutHold is Roller.PutHold, while the folder is at work: no day is sealed meanwhile, and events are taken in.
func (s *Standing) PutHold(ctx context.Context, o HoldOrder) (report *HoldReport, err error) {
	err = s.order(ctx, o.Trail, func(r *Roller) error {
		report, err = r.PutHold(ctx, o)
		return err
	})
	return report, err
}

// ReleaseHold is Roller.ReleaseHold, while the folder is at work.
func (s *Standing) ReleaseHold(ctx context.Context, o HoldOrder) (report *HoldReport, err error) {
	err = s.order(ctx, o.Trail, func(r *Roller) error {
		report, err = r.ReleaseHold(ctx, o)
		return err
	})
	return report, err
}

// order does something about what is sealed of a trail, with the store open and its log up to date.
func (s *Standing) order(ctx context.Context, trail string, do func(*Roller) error) error {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	if s.broken != nil {
		return s.broken
	}
	r, err := s.roller(s.routes.Load(), []Due{{Trail: trail}})
	if err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	return do(r)
}
