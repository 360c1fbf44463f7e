package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/sink"
)

// ledger is what is known of a trail's seals: a copy of each manifest and note, as they are in the store. A seal whose note is here is complete.
type ledger struct {
	trail string
	dir   string
	days  map[event.Day][]uint64 // the numbers of a day's seals, in order
	next  uint64
	// last is the SHA-256 of the newest manifest.
	last seal.Hash
	// sealedAt is the newest seal's time.
	sealedAt time.Time
	// suspects are the seals that hold events of suspect time.
	suspects []uint64
	state    *state

	mu    sync.Mutex // guards what follows, which others read while days are sealed; the rest is who seals' alone
	seals []sealBrief
	has   map[event.Day]struct{} // the days that are sealed
	// From first on, all days before whole are sealed.
	first, whole event.Day
}

// sealBrief is what is told of a seal; that of number n is at n-1.
type sealBrief struct {
	day      event.Day
	addendum int
	events   int64
	gaps     int // that it declares, of the trail and of its sources
	at       time.Time
	locked   time.Time // until when its files are, at least
}

const (
	manifestName = "manifest.json"
	noteName     = "SHA256SUMS.note"
)

func openLedger(s *state, trail string) (*ledger, error) {
	l := &ledger{trail: trail, dir: s.ledgerDir(trail), state: s, days: map[event.Day][]uint64{}, next: 1}
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(l.dir, e.Name(), noteName)); err != nil {
			continue // not complete; it is taken from the store or made again
		}
		data, err := os.ReadFile(filepath.Join(l.dir, e.Name(), manifestName))
		if err != nil {
			return nil, fmt.Errorf("ledger: %w", err)
		}
		m, err := seal.ParseManifest(data)
		if err != nil {
			return nil, fmt.Errorf("ledger: %s: %w", e.Name(), err)
		}
		if m.Seal != l.next {
			break // what comes after a hole is fetched again
		}
		l.took(m, data)
	}
	return l, nil
}

// took notes that seal m, whose stored bytes are data, is complete.
func (l *ledger) took(m *seal.Manifest, data []byte) {
	l.days[m.Day.Day] = append(l.days[m.Day.Day], m.Seal)
	l.next = m.Seal + 1
	l.last = seal.Sum(data)
	l.sealedAt = m.SealedAt
	if m.Counts.TimeSuspect > 0 {
		l.suspects = append(l.suspects, m.Seal)
	}
	brief := sealBrief{day: m.Day.Day, addendum: m.Addendum, events: m.Counts.Written, gaps: len(m.Gaps), at: m.SealedAt}
	for _, s := range m.Sources {
		brief.gaps += len(s.Gaps)
	}
	for _, f := range m.Files {
		if f.LockMode != sink.None && (brief.locked.IsZero() || f.RetainUntil.Before(brief.locked)) {
			brief.locked = f.RetainUntil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seals = append(l.seals, brief)
	if l.has == nil {
		l.has = map[event.Day]struct{}{}
	}
	l.has[brief.day] = struct{}{}
}

// briefs returns what is told of all seals. It may be called while days are sealed.
func (l *ledger) briefs() []sealBrief {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seals[:len(l.seals):len(l.seals)] // what is in it stays
}

// isSealed reports whether a day is sealed. It may be called while days are sealed.
func (l *ledger) isSealed(d event.Day) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.has[d]
	return ok
}

// unsealed lists the days from first on that have no seal, as long as they are over. It may be called while days are sealed. Days are sealed in order, and so it looks
// at few.
func (l *ledger) unsealed(first event.Day, over func(event.Day) bool) []event.Day {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := first
	if l.first <= first && first < l.whole {
		d = l.whole
	}
	var days []event.Day
	for ; over(d); d++ {
		if _, ok := l.has[d]; !ok {
			days = append(days, d)
		} else if len(days) == 0 {
			l.first, l.whole = first, d+1
		}
	}
	return days
}

func (l *ledger) sealDir(n uint64) string { return filepath.Join(l.dir, fmt.Sprintf("%08d", n)) }

// add writes a complete seal into the ledger. Its note comes last: without it the seal does not count.
func (l *ledger) add(m *seal.Manifest, manifest, note []byte) error {
	dir := l.sealDir(m.Seal)
	if err := WriteFile(filepath.Join(dir, manifestName), manifest); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, noteName), note); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	l.took(m, manifest)
	return nil
}

// versionLength is more than the id of a version has bytes, in the stores that there are.
const versionLength = 128

// rehearse checks that the seal will have a manifest that is valid and not too large, before anything is put: what was put under a lock stays.
func (l *ledger) rehearse(draft seal.Manifest) error {
	draft.Seal, draft.Previous = l.next, l.last
	data, err := draft.Encode()
	if size := len(data) + len(draft.Files)*versionLength; err == nil && size > seal.MaxManifest {
		err = fmt.Errorf("%w: %d files need a manifest of up to %d bytes, at most %d are allowed", seal.ErrManifest, len(draft.Files), size, seal.MaxManifest)
	}
	return err
}

// manifest reads the manifest of a seal that the ledger has.
func (l *ledger) manifest(n uint64) (*seal.Manifest, error) {
	data, err := l.manifestBytes(n)
	if err != nil {
		return nil, err
	}
	return seal.ParseManifest(data)
}

func (l *ledger) manifestBytes(n uint64) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(l.sealDir(n), manifestName))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return data, nil
}

func (l *ledger) noteBytes(n uint64) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(l.sealDir(n), noteName))
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return data, nil
}

// ErrBehind says that the store does not have what this machine remembers to have put there: it is another one, or was cut off or rolled back.
var ErrBehind = errors.New("the store does not have a seal that is remembered here")

// checkStore checks that the store is the one that the ledger is of, by its newest seal. In another one nothing of what is known here would be sealed.
func (l *ledger) checkStore(ctx context.Context, store sink.Store) error {
	if l.next == 1 {
		return nil
	}
	key := seal.ManifestKey(l.trail, l.next-1)
	info, err := store.Head(ctx, key, "")
	if err == nil && info.SHA256 != l.last {
		err = fmt.Errorf("%s: %w", key, sink.ErrConflict)
	}
	if errors.Is(err, sink.ErrNotExist) || errors.Is(err, sink.ErrHidden) || errors.Is(err, sink.ErrConflict) {
		return &sink.HintError{
			Err: fmt.Errorf("data folder %s: %w: %w", l.state.dir, ErrBehind, err),
			Hint: "if this store was written to before, somebody cut it off or rolled it back: keep the data folder, and run `daybook verify --checkpoint` with the newest that an anchor has; " +
				"if it is another store, give it a data folder of its own with --data",
		}
	}
	return err
}

// clockSkew is by how much the times of two seals may go back: as much as verify takes for two clocks that differ.
const clockSkew = 15 * time.Minute

// ErrClock says that our clock is behind the newest seal's.
var ErrClock = errors.New("the clock is behind the newest seal")

// checkClock keeps a seal from being made that is older than the one before it, which no auditor could tell from one that was back-dated.
func (l *ledger) checkClock(now time.Time) error {
	if !now.Before(l.sealedAt.Add(-clockSkew)) {
		return nil
	}
	return &sink.HintError{
		Err:  fmt.Errorf("%w: seal %d of %s was made at %s, and it is %s", ErrClock, l.next-1, l.trail, l.sealedAt.Format(time.RFC3339), now.UTC().Format(time.RFC3339)),
		Hint: "set the clock; if that seal was made by one that was ahead, wait until its time has come: events are kept until then",
	}
}

// holds reports whether a seal of the ledger has that manifest, to the byte.
func (l *ledger) holds(n uint64, manifest []byte) bool {
	data, err := os.ReadFile(filepath.Join(l.sealDir(n), manifestName))
	return err == nil && n < l.next && bytes.Equal(data, manifest)
}

// maxSmall bounds what is read of a manifest or note in the store.
const maxSmall = seal.MaxManifest

// adopter says by whom, and whether, a manifest without a note is signed.
type adopter struct {
	signer seal.Signer
	lock   sink.Lock // of the note
	// any says that one is adopted though nothing here tells that it is ours: the data folder was lost, or a person has looked at it.
	any bool
	// fits reports why the log, in which every seal must be, cannot take that one.
	fits func(*seal.Manifest) error
	// hold puts on a seal whatever holds stand on its day.
	hold func(ctx context.Context, m *seal.Manifest, data, note []byte) error
	log  *slog.Logger
}

// refresh takes over the seals that the store has beyond the ledger's: another machine made them, or the data folder was lost. A manifest without
// a note was left by a machine that stopped at its commit: if it is ours (see adopt) and its files are as it says, it is signed.
func (l *ledger) refresh(ctx context.Context, store sink.Store, a adopter) error {
	for {
		data, err := fetch(ctx, store, seal.ManifestKey(l.trail, l.next))
		if errors.Is(err, sink.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read seal %d of %s: %w", l.next, l.trail, err)
		}
		m, err := seal.ParseManifest(data)
		if err != nil {
			return fmt.Errorf("seal %d of %s: %w", l.next, l.trail, err)
		}
		if m.Trail != l.trail || m.Seal != l.next || m.Previous != l.last {
			return fmt.Errorf("seal %d of %s: %w: it does not follow the seal before", l.next, l.trail, seal.ErrManifest)
		}
		note, err := fetch(ctx, store, seal.NoteKey(l.trail, l.next))
		if errors.Is(err, sink.ErrNotExist) {
			note, err = l.adopt(ctx, store, m, data, a)
		}
		if err == nil {
			err = checkNote(ctx, store, m, data, note)
		}
		if err == nil { // what is once in the ledger stays there
			err = a.fits(m)
		}
		if err == nil { // who made it may not have known of them
			err = a.hold(ctx, m, data, note)
		}
		if err != nil {
			return fmt.Errorf("seal %d of %s: %w", l.next, l.trail, err)
		}
		// Keys that were made here for a seal of that name are of another one, which did not come about.
		if err := removeKeySet(l.state.sealKeysDir(l.trail, m.Day.Day, m.Addendum)); err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		if err := l.add(m, data, note); err != nil {
			return err
		}
	}
}

// checkNote checks that a note is of that manifest, and signed by the key that it names. The key is the store's own copy: this finds damage, not fraud.
func checkNote(ctx context.Context, store sink.Store, m *seal.Manifest, data, note []byte) error {
	if m.Key == seal.NoKey {
		text, err := seal.UnsignedNote(data)
		if err == nil && !bytes.Equal(text, note) {
			err = fmt.Errorf("%w: it is of another manifest", seal.ErrNote)
		}
		return err
	}
	pem, err := fetch(ctx, store, seal.KeyKey(m.Key))
	if err != nil {
		return err
	}
	key, err := seal.ParsePublicKey(pem)
	if err != nil {
		return err
	}
	opened, err := seal.OpenNote(note, seal.Verifiers(key))
	if err != nil {
		return err
	}
	if key.ID() != m.Key || opened.Text != seal.NoteText(m, data) {
		return fmt.Errorf("%w: it is of another manifest or key", seal.ErrNote)
	}
	return nil
}

// adopt completes a seal that lacks its note. Nothing in the store shows who made a manifest: whoever may put objects there could have us sign what never happened.
// So it is signed if it is the one of our journal, or if a.any says so.
func (l *ledger) adopt(ctx context.Context, store sink.Store, m *seal.Manifest, data []byte, a adopter) ([]byte, error) {
	id := seal.NoKey
	if a.signer != nil {
		id = a.signer.Public().ID()
	}
	if id != m.Key {
		return nil, &sink.HintError{
			Err:  fmt.Errorf("the manifest is there but its note is not, and it is to be signed by key %s", m.Key),
			Hint: "run this again on the machine that was making this seal, or with its --key",
		}
	}
	if a.signer != nil {
		j, err := l.state.readJournal(l.trail)
		if err != nil {
			return nil, err
		}
		ours := j != nil && bytes.Equal(j.Manifest, data)
		if !ours && !a.any {
			return nil, &sink.HintError{
				Err: fmt.Errorf("the manifest is there but its note is not, and this machine did not make it: %w", sink.ErrConflict),
				Hint: "if another machine of yours is making this seal, or was stopped, let that one finish; if you know the manifest to be yours, run this again with --take-over, " +
					"which signs it; if not, somebody else writes to the store",
			}
		}
		if !ours {
			a.log.Warn("a manifest without a note was found in the store, and is signed though nothing here tells that it is ours: compare it with what was sealed",
				"trail", m.Trail, "seal", m.Seal, "day", m.Day.String(), "events", m.Counts.Written)
		}
	}
	for _, f := range m.Files {
		info, err := store.Head(ctx, f.Key, f.Version)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Key, err)
		}
		if info.SHA256 != f.SHA256 {
			return nil, fmt.Errorf("%s: %w", f.Key, sink.ErrConflict)
		}
	}
	note, err := signNote(data, a.signer)
	if err != nil {
		return nil, err
	}
	return note, putSmall(ctx, store, seal.NoteKey(l.trail, m.Seal), "text/plain; charset=utf-8", note, a.lock, false)
}

func fetch(ctx context.Context, store sink.Store, key string) ([]byte, error) {
	r, err := store.Get(ctx, key, "")
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxSmall+1))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err == nil && len(data) > maxSmall {
		err = fmt.Errorf("%s is larger than %d bytes", key, maxSmall)
	}
	return data, err
}
