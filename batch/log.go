package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"daybook/batch/anchor"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/sink"
)

// The store's log has a leaf for every seal. Which leaves are missing follows from the ledger, so that nothing is remembered between a note and its leaf: a
// run that is stopped in between leaves a seal that is complete but not in the log ("head unanchored"), and the next one adds it.

func (s *state) logDir() string { return s.path("log") }

// openLog opens the store's log, and checks that it is ours to extend. It writes nothing unless an earlier run was stopped while it published.
func (r *Roller) openLog(ctx context.Context) error {
	if r.Key == nil {
		return r.refuseUnsigned(ctx)
	}
	o := tlog.Options{
		Store: r.logStore(), Dir: r.state.logDir(), Signer: r.Key, Origin: r.Origin, Lock: r.logLock, Now: r.Now, Log: r.Log, TakeOver: r.TakeOver,
	}
	asked := false
	o.Found = func(ctx context.Context, found tlog.Head, prove tlog.Prove) error {
		asked = true
		return r.askAnchors(ctx, found, prove)
	}
	l, err := tlog.Open(ctx, o)
	if err != nil {
		return err
	}
	r.log = l
	// What Open published was remembered to the byte. What is remembered here may have been rolled back together with the store.
	if head := l.Head(); !asked && head.Size > 0 {
		return r.askAnchors(ctx, head, l.Prove)
	}
	return nil
}

// refuseUnsigned keeps a run without a key from adding to a store that is signed: who reads it expects signatures.
func (r *Roller) refuseUnsigned(ctx context.Context) error {
	lister, ok := r.Store.(sink.Lister)
	if !ok {
		return nil
	}
	for e, err := range lister.List(ctx, tlog.Prefix) {
		if err != nil {
			return err
		}
		return &sink.HintError{
			Err:  fmt.Errorf("the store has a signed log (%s), and what is to be added is unsigned: %w", e.Key, sink.ErrConflict),
			Hint: "remove signing: none from the configuration, or use another prefix for unsigned seals",
		}
	}
	return nil
}

// logSeals adds to the log what is sealed and not in it, and publishes a checkpoint if there was anything: one for the whole run.
func (r *Roller) logSeals(ctx context.Context) error {
	if r.log == nil {
		return nil
	}
	added := false
	for _, l := range r.ledgers {
		logged := r.log.Logged(l.trail)
		if logged >= l.next {
			return &sink.HintError{
				Err:  fmt.Errorf("the log has seal %d of %s, but the store has no seal after %d: %w", logged, l.trail, l.next-1, sink.ErrConflict),
				Hint: "somebody removed sealed days: `daybook verify` says what is missing",
			}
		}
		more, err := r.addSeals(l)
		if err != nil {
			return err
		}
		added = added || more
	}
	if !added {
		return nil
	}
	_, err := r.log.Publish(ctx)
	return err
}

// addSeals adds to the log what of a ledger is not in it, and says whether there was anything.
func (r *Roller) addSeals(l *ledger) (added bool, err error) {
	for n := r.log.Logged(l.trail) + 1; n < l.next; n++ {
		leaf, err := l.leaf(n, r.Now())
		if err != nil {
			return added, err
		}
		if leaf.Seal.Key == seal.NoKey {
			return added, &sink.HintError{
				Err:  fmt.Errorf("seal %d of %s is unsigned, and a signed log cannot vouch for it: %w", n, l.trail, sink.ErrConflict),
				Hint: "use another prefix for signed seals, or keep signing: none for this one",
			}
		}
		if err := r.log.Add(leaf); err != nil {
			return added, err
		}
		added = true
	}
	return added, nil
}

// leaf is the log's leaf of a seal.
func (l *ledger) leaf(n uint64, now time.Time) (*tlog.Leaf, error) {
	data, err := l.manifestBytes(n)
	if err != nil {
		return nil, err
	}
	m, err := seal.ParseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("ledger: seal %d of %s: %w", n, l.trail, err)
	}
	return &tlog.Leaf{
		Schema: tlog.Schema, Type: tlog.TypeSeal, Time: now.UTC().Truncate(time.Second),
		Seal: &tlog.SealLeaf{Trail: m.Trail, Seal: m.Seal, Day: m.Day, Addendum: m.Addendum, Manifest: seal.Sum(data), Key: m.Key},
	}, nil
}

// errUnlogged says that what is sealed is not, or not all, in the log.
var errUnlogged = errors.New("the days are sealed, but not in the store's log")

// publish ends a run: what it sealed goes into the log, and the log's head to the anchors.
func (r *Roller) publish(ctx context.Context, report *Report) error {
	if r.log == nil {
		return nil
	}
	if err := r.logSeals(ctx); err != nil {
		return fmt.Errorf("%w: %w", errUnlogged, err)
	}
	head := r.log.Head()
	if head.Size == 0 {
		return nil // nothing was ever sealed here
	}
	report.Head = &Head{Origin: head.Origin, Size: head.Size, Root: head.Root, Checkpoint: tlog.CheckpointKey(head.Size)}
	var err error
	report.Anchors, err = r.anchorHead(ctx)
	var shortErr error
	report.LogLock, shortErr = r.lengthenLog(ctx)
	return errors.Join(err, shortErr)
}

// Head is the newest checkpoint of the store's log.
type Head struct {
	Origin string    `json:"origin"`
	Size   int64     `json:"size"`
	Root   seal.Hash `json:"root"`
	// Checkpoint is its key in the store.
	Checkpoint string `json:"checkpoint"`
}

// AnchorState is how far the log is anchored at one place.
type AnchorState struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Size is that of the newest checkpoint that the place has, 0 if it has none; By says who took it, and At when.
	Size int64     `json:"size"`
	By   string    `json:"by,omitempty"`
	At   time.Time `json:"at,omitzero"`
	// Error is why it does not have the newest, and Since when it does not.
	Error string    `json:"error,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

func (s *state) anchorsPath() string { return s.path("anchors.json") }

func (s *state) readAnchors() (map[string]AnchorState, error) {
	states := map[string]AnchorState{}
	data, err := os.ReadFile(s.anchorsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return states, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &states)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder: %s: %w", s.anchorsPath(), err)
	}
	return states, nil
}

func (s *state) writeAnchors(states map[string]AnchorState) error {
	data, err := json.Marshal(states)
	if err == nil {
		err = WriteFile(s.anchorsPath(), data)
	}
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// anchorHead gives the log's head to each anchor that does not have it. An anchor that cannot be reached fails nothing: the seal stands at a lower level, and
// the next run tries again with the head of then, which covers all before it. But one that knows another history of the log, or a later one, is why
// there are anchors: that is an error, after all of them were asked.
func (r *Roller) anchorHead(ctx context.Context) ([]AnchorState, error) {
	if len(r.Anchors) == 0 {
		return nil, nil
	}
	states, err := r.state.readAnchors()
	if err != nil {
		return nil, err
	}
	head := r.log.Head()
	var list []AnchorState
	var contradictions []error
	for _, a := range r.Anchors {
		s := states[a.Name()]
		s.Name, s.Kind = a.Name(), a.Kind()
		if s.Size != head.Size || s.Error != "" {
			if err := r.submit(ctx, a, head, &s); errors.Is(err, anchor.ErrForked) || errors.Is(err, anchor.ErrAhead) {
				contradictions = append(contradictions, err)
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		states[s.Name] = s
		list = append(list, s)
	}
	return list, errors.Join(append(contradictions, r.state.writeAnchors(states))...)
}

// askAnchors asks the anchors that remember whether the log, as it is before anything is sealed, is the one that they know. The store may have been rolled back, and what is
// remembered here with it; to go on from there would part the log for good. An anchor that can't be reached, or does not know the log, holds nothing up: a log is
// rebuilt without one, too. With TakeOver none is asked, then or later.
func (r *Roller) askAnchors(ctx context.Context, head tlog.Head, prove tlog.Prove) error {
	if r.asked == nil {
		r.asked = map[string]bool{}
	}
	contradictions := map[string]error{}
	for _, a := range r.Anchors {
		if k := a.Kind(); k != anchor.KindWitness && k != anchor.KindStore || r.asked[a.Name()] {
			continue
		}
		if r.TakeOver {
			r.asked[a.Name()] = true
			continue
		}
		_, err := a.Submit(ctx, anchor.Submission{Origin: head.Origin, Size: head.Size, Checkpoint: head.Signed, Prove: prove})
		switch {
		case err == nil:
			r.asked[a.Name()] = true
		case errors.Is(err, anchor.ErrForked), errors.Is(err, anchor.ErrAhead):
			contradictions[a.Name()] = err
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			r.Log.Warn("an anchor could not be asked whether it knows the log that is in the store", "anchor", a.Name(), "kind", a.Kind(), "error", err)
		}
	}
	if len(contradictions) == 0 {
		return nil
	}
	return r.refuseLog(contradictions)
}

// refuseLog notes, for status, which anchors know another log than the one that is in the store, and says so.
func (r *Roller) refuseLog(contradictions map[string]error) error {
	states, err := r.state.readAnchors()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range r.Anchors {
		if err := contradictions[a.Name()]; err != nil {
			s := states[a.Name()]
			s.Name, s.Kind = a.Name(), a.Kind()
			s.lacks(err, r.Now())
			states[s.Name] = s
			errs = append(errs, err)
		}
	}
	return errors.Join(&sink.HintError{
		Err: fmt.Errorf("the log that is in the store is not the one that an anchor knows, and nothing is sealed: %w", errors.Join(errs...)),
		Hint: "the store was rolled back or cut off, and what is remembered here with it, or the log goes on somewhere else: look with `daybook verify --checkpoint`, and bring back what is " +
			"missing; to go on from what is there, and part the log from what the anchor knows, run this again with --take-over (of a service: `daybook roll --take-over`)",
	}, r.state.writeAnchors(states))
}

// lacks notes why the anchor does not have the newest checkpoint.
func (s *AnchorState) lacks(err error, now time.Time) {
	s.Error = strings.TrimPrefix(err.Error(), fmt.Sprintf("anchor %s (%s): ", s.Name, s.Kind)) // it stands beside these names
	if s.Since.IsZero() {
		s.Since = now.UTC()
	}
}

// logStatus tells where the log stands, and which anchors know of it.
func (r *Roller) logStatus(status *Status) error {
	head, err := tlog.Remembered(r.state.logDir())
	if err != nil {
		return err
	}
	if head.Size > 0 {
		status.Head = &Head{Origin: head.Origin, Size: head.Size, Root: head.Root, Checkpoint: tlog.CheckpointKey(head.Size)}
	}
	if status.LogLock, err = r.state.shortLock(); err != nil {
		return err
	}
	states, err := r.state.readAnchors()
	if err != nil {
		return err
	}
	status.Anchors = []AnchorState{}
	for _, a := range r.Anchors {
		s := states[a.Name()]
		s.Name, s.Kind = a.Name(), a.Kind()
		status.Anchors = append(status.Anchors, s)
	}
	return nil
}

func (r *Roller) submit(ctx context.Context, a anchor.Anchor, head tlog.Head, s *AnchorState) error {
	receipt, err := a.Submit(ctx, anchor.Submission{Origin: head.Origin, Size: head.Size, Checkpoint: head.Signed, Prove: r.log.Prove})
	if err == nil && receipt.Ext != "" {
		key := tlog.AnchorKey(head.Size, a.Name(), receipt.Ext)
		err = putSmall(ctx, r.Store, key, "application/octet-stream", receipt.Data, r.controlLock(), false)
		if errors.Is(err, sink.ErrConflict) {
			err = nil // an earlier run had its receipt put and was stopped then; two differ by their time
		}
	}
	if err != nil {
		s.lacks(err, r.Now())
		r.Log.Info("the checkpoint is not anchored there; the next run tries again", "anchor", a.Name(), "kind", a.Kind(), "error", err)
		return err
	}
	s.Size, s.By, s.At, s.Error, s.Since = head.Size, receipt.By, receipt.At.UTC(), "", time.Time{}
	if s.At.IsZero() {
		s.At = r.Now().UTC()
	}
	return nil
}

// RotateKey has next sign from now on: the change is a leaf of the log, signed by both keys. What is sealed and not in the log goes there first.
func (r *Roller) RotateKey(ctx context.Context, next seal.Signer) (*Head, []AnchorState, error) {
	return r.changeKeys(ctx, func() error {
		if err := r.settleOthers(); err != nil {
			return err
		}
		return r.log.Rotate(ctx, next)
	})
}

// settleOthers adds to the log what is sealed of trails that are not exported any more, and refuses if a seal of one was begun: after a rotation neither could
// come to its end, since the key that it was begun with signs nothing any more.
func (r *Roller) settleOthers() error {
	ours := map[string]bool{}
	for _, t := range r.Trails {
		ours[seal.EncodeName(t.Name)] = true
	}
	begun, err := fs.Glob(os.DirFS(r.state.dir), "journal/*.json")
	if err != nil {
		return err
	}
	for _, path := range begun {
		if name := strings.TrimSuffix(strings.TrimPrefix(path, "journal/"), ".json"); !ours[name] {
			return &sink.HintError{
				Err:  fmt.Errorf("a seal of the trail %s was begun with the key that is to be replaced: %w", name, sink.ErrConflict),
				Hint: "export that trail once more, which completes the seal; then replace the key",
			}
		}
	}
	sealed, err := fs.Glob(os.DirFS(r.state.dir), "ledger/*/00000001/"+manifestName)
	if err != nil {
		return err
	}
	for _, path := range sealed {
		data, err := os.ReadFile(r.state.path(path))
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		m, err := seal.ParseManifest(data)
		if err != nil {
			return fmt.Errorf("ledger: %s: %w", path, err)
		}
		if ours[seal.EncodeName(m.Trail)] {
			continue
		}
		l, err := openLedger(r.state, m.Trail)
		if err != nil {
			return err
		}
		if _, err := r.addSeals(l); err != nil {
			return err
		}
	}
	return nil
}

// RevokeKey says that a key that was replaced vouches for nothing from that leaf on.
func (r *Roller) RevokeKey(ctx context.Context, id string, from int64, reason string) (*Head, []AnchorState, error) {
	return r.changeKeys(ctx, func() error { return r.log.Revoke(ctx, id, from, reason) })
}

func (r *Roller) changeKeys(ctx context.Context, change func() error) (*Head, []AnchorState, error) {
	if r.log == nil {
		return nil, nil, &sink.HintError{Err: errors.New("seals are not signed here"), Hint: "remove signing: none from the configuration"}
	}
	if err := r.logSeals(ctx); err != nil {
		return nil, nil, err
	}
	if err := change(); err != nil {
		return nil, nil, err
	}
	var report Report
	if err := r.publish(ctx, &report); err != nil {
		return nil, nil, err
	}
	return report.Head, report.Anchors, nil
}
