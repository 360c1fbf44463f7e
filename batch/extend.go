package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
)

// ErrNotLonger says that all is locked for as long as was asked for, or longer.
var ErrNotLonger = errors.New("it would lengthen nothing")

// MaxExtension is for how many days from now locks may be lengthened: a century is a slip of the keyboard that nobody can undo, and the whole log is locked as long.
const MaxExtension = 36500

// ErrTooLong says that locks are not lengthened for so long.
var ErrTooLong = errors.New("it would be locked for too long")

// ExtendOrder asks for longer locks on the seals of a trail's days, or on seals by their numbers.
type ExtendOrder struct {
	Trail string
	// From and To are days, both included. First and Last are numbers of seals; where they are not 0, days are not looked at.
	From, To    event.Day
	First, Last uint64
	// Until is when the locks are to end, MaxExtension days from now at most; a fraction of a second is rounded up.
	Until time.Time
	// Reason and By say why, and who wants it. They stand in the log for good.
	Reason, By string
}

// Extended is a run of seals, and the leaf that says until when they are locked.
type Extended struct {
	First uint64 `json:"first_seal"`
	Last  uint64 `json:"last_seal"`
	Leaf  int64  `json:"leaf"`
	// Already says that the leaf was there before.
	Already bool `json:"already"`
}

// ExtendReport tells what came of an order.
type ExtendReport struct {
	Trail string    `json:"trail"`
	Until time.Time `json:"retain_until"`
	// Seals are runs of seals without a hole: those of days need not follow each other.
	Seals []Extended `json:"seals"`
	// Objects are files, manifests, notes and keys, and Changed those whose lock was lengthened now; the others were locked for as long or longer. Unlocked files are of a
	// class without a lock, and stay so.
	Objects  int `json:"objects"`
	Changed  int `json:"changed"`
	Unlocked int `json:"unlocked"`
	// Gone are files that are there no more, since their locks had ended before.
	Gone int `json:"gone"`
	// MaxDays is for how many days a writer must be able to lock objects from now on, where that is more than MaxDays of the policies: the log is locked as long as the
	// longest extension, at every later roll too. 0: no more than that.
	MaxDays int `json:"max_days,omitempty"`
	// Head is the log's, and Anchors tell who has it.
	Head    *Head         `json:"head,omitempty"`
	Anchors []AnchorState `json:"anchors"`
}

// Extend has all files of seals, their manifests, notes and keys locked at least until a time, and then has the log say so. Nothing is shortened, and no mode is
// weakened. What was stopped in between is finished by giving the order again.
func (r *Roller) Extend(ctx context.Context, o ExtendOrder) (*ExtendReport, error) {
	if whole := o.Until.Truncate(time.Second); whole.Before(o.Until) {
		o.Until = whole.Add(time.Second)
	}
	o.Until = o.Until.UTC()
	locker, l, err := r.holdable(ctx, o.Trail)
	if err != nil {
		return nil, err
	}
	report := &ExtendReport{Trail: o.Trail, Until: o.Until, Seals: l.runs(&o), Anchors: []AnchorState{}}
	leaves, err := r.extensionLeaves(&o, report)
	if err != nil {
		return nil, err
	}
	objects, err := r.extendable(l, &o, report)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(holders)
	for i := range objects {
		group.Go(func() error {
			x := &objects[i]
			err := x.lengthen(inner, r, locker, o.Until, leaves[0].Time)
			mu.Lock()
			defer mu.Unlock()
			report.Objects++
			if x.changed {
				report.Changed++
			}
			if x.gone {
				report.Gone++
			}
			return err
		})
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	for i := range report.Seals {
		if x := &report.Seals[i]; !x.Already {
			if err := r.log.Add(leaves[i]); err != nil {
				return nil, err
			}
		}
	}
	if _, err := r.log.Publish(ctx); err != nil {
		return nil, err
	}
	for i := range report.Seals {
		x := &report.Seals[i]
		x.Leaf, _ = r.log.Extends(o.Trail, x.First, x.Last, o.Until)
	}
	if days := r.lockDays(); days > MaxDays(r.Policies) {
		report.MaxDays = days
	}
	var whole Report
	err = r.publish(ctx, &whole)
	report.Head, report.Anchors = whole.Head, append(report.Anchors, whole.Anchors...)
	return report, err
}

// runs lists the seals that an order is about.
func (l *ledger) runs(o *ExtendOrder) []Extended {
	var list []Extended
	for i, s := range l.briefs() {
		n := uint64(i + 1)
		if o.First > 0 && (n < o.First || n > o.Last) || o.First == 0 && (s.day < o.From || s.day > o.To) {
			continue
		}
		if k := len(list) - 1; k >= 0 && list[k].Last == n-1 {
			list[k].Last = n
		} else {
			list = append(list, Extended{First: n, Last: n})
		}
	}
	return list
}

// extensionLeaves makes the leaves of an order, and so checks it before anything is done.
func (r *Roller) extensionLeaves(o *ExtendOrder, report *ExtendReport) ([]*tlog.Leaf, error) {
	if !o.Until.After(r.Now()) {
		return nil, fmt.Errorf("%w: %s is past", ErrNotLonger, o.Until.Format(time.RFC3339))
	}
	if o.Until.After(r.Now().AddDate(0, 0, MaxExtension+1)) { // a day more, for clocks that differ
		return nil, &sink.HintError{Err: fmt.Errorf("%w: %s is more than %d days from now", ErrTooLong, o.Until.Format(time.RFC3339), MaxExtension), Hint: "nobody could undo it: give an earlier date"}
	}
	if len(report.Seals) == 0 {
		return nil, &sink.HintError{Err: fmt.Errorf("%w: nothing of %s is sealed there", ErrNotLonger, o.Trail), Hint: "`daybook ls` tells what is sealed"}
	}
	var leaves []*tlog.Leaf
	for i := range report.Seals {
		x := &report.Seals[i]
		leaf := &tlog.Leaf{
			Schema: tlog.Schema, Type: tlog.TypeExtension, Time: r.Now().UTC().Truncate(time.Second),
			Extension: &tlog.ExtensionLeaf{Trail: o.Trail, FirstSeal: x.First, LastSeal: x.Last, RetainUntil: o.Until, Reason: o.Reason, By: o.By},
		}
		if _, err := leaf.Encode(); err != nil {
			return nil, err
		}
		leaves = append(leaves, leaf)
		_, x.Already = r.log.Extends(o.Trail, x.First, x.Last, o.Until)
	}
	return leaves, nil
}

// extendable lists the objects of an order's seals. It is an error if no file of them would be locked for longer, and the log does not say that one was.
func (r *Roller) extendable(l *ledger, o *ExtendOrder, report *ExtendReport) ([]sealedObject, error) {
	var list []sealedObject
	keys := map[string]bool{}
	longer := false
	for _, x := range report.Seals {
		longer = longer || x.Already
		for n := x.First; n <= x.Last; n++ {
			m, err := l.manifest(n)
			if err != nil {
				return nil, err
			}
			objects, err := l.objects(n, func(f *seal.File) bool { return f.LockMode != sink.None })
			if err != nil {
				return nil, err
			}
			for i := range objects {
				objects[i].until = r.log.LockedTo(o.Trail, n, objects[i].until)
			}
			for i := range m.Files {
				if f := &m.Files[i]; f.LockMode == sink.None {
					report.Unlocked++
				} else {
					longer = longer || f.RetainUntil.Before(o.Until)
				}
			}
			list = append(list, objects...)
			keys[m.Key] = true
		}
	}
	if !longer {
		return nil, &sink.HintError{
			Err:  fmt.Errorf("%w: what is sealed there is locked until %s or longer", ErrNotLonger, o.Until.Format(time.RFC3339)),
			Hint: "locks are only ever lengthened: give a later date",
		}
	}
	for _, k := range r.log.Keyring().Keys() {
		if id := k.Key.ID(); keys[id] {
			list = append(list, sealedObject{key: seal.KeyKey(id), sum: seal.Sum(k.Key.PEM())})
		}
	}
	return list, nil
}

// lengthen lengthens the lock of an object, in the mode that it has. A file may be gone where its lock had ended when the order was given, at a time that its leaf bears.
func (x *sealedObject) lengthen(ctx context.Context, r *Roller, locker sink.Locker, until, at time.Time) error {
	version, err := x.find(ctx, r.Store)
	var info sink.Info
	if err == nil {
		info, err = locker.Lengthen(ctx, x.key, version, sink.Lock{Mode: sink.Governance, RetainUntil: until}) // a stricter one stays
	}
	if errors.Is(err, sink.ErrNotExist) && x.file != nil && at.After(x.until) {
		x.gone = true
		return nil
	}
	x.changed = err == nil && !info.Existed
	return x.explain(err)
}

// LongestLock is how the longest class would be locked now, and the log with it.
func (s *Standing) LongestLock() sink.Lock {
	settings := s.settings.Load()
	return settings.Policies.ControlLock(settings.Now())
}

// Extend is Roller.Extend, while the folder is at work.
func (s *Standing) Extend(ctx context.Context, o ExtendOrder) (report *ExtendReport, err error) {
	err = s.order(ctx, o.Trail, func(r *Roller) error {
		report, err = r.Extend(ctx, o)
		return err
	})
	return report, err
}
