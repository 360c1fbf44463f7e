package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
)

// journal says which seal of a trail is being made. It is written when all data files are staged, and again with the manifest's bytes before that is
// put: what is in it is carried out as it stands, however often the process is stopped, so that the same bytes go to the same keys.
type journal struct {
	Draft seal.Manifest `json:"draft"`
	// Manifest is the finished manifest; absent until all files are deposited.
	Manifest []byte `json:"manifest,omitempty"`
	// Told is the newest of the runs before this one whose counts the seal tells.
	Told int64 `json:"told"`
	// Spooled is what of the spool the seal is of; absent for an export.
	Spooled *spooled `json:"spooled,omitempty"`
}

// spooled is the generation of the spool that a seal is of. Of its events Duplicates were sealed before, and Damaged can't be read any more; the rest are written.
type spooled struct {
	Generation uint32 `json:"generation"`
	Duplicates int64  `json:"duplicates"`
	Damaged    int64  `json:"damaged,omitempty"`
	// salvaged is what the last scan of a damaged generation left out; nil if it is not damaged.
	salvaged *spool.Damage
}

func (s *state) writeJournal(trail string, j *journal) error {
	data, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if err := WriteFile(s.journalPath(trail), data); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (s *state) readJournal(trail string) (*journal, error) {
	data, err := os.ReadFile(s.journalPath(trail))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &journal{}
	if err := json.Unmarshal(data, j); err != nil {
		return nil, fmt.Errorf("journal: %s: %w", s.journalPath(trail), err)
	}
	return j, nil
}

// manifest returns the finished manifest; nil if there is none yet.
func (j *journal) manifest() (*seal.Manifest, error) {
	if j.Manifest == nil {
		return nil, nil
	}
	m, err := seal.ParseManifest(j.Manifest)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return m, nil
}

func (s *state) dropJournal(trail string) error {
	err := os.Remove(s.journalPath(trail))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	if err := os.RemoveAll(s.stagingDir(trail)); err != nil {
		return fmt.Errorf("staging: %w", err)
	}
	return nil
}

// uploads is how many files are put at a time.
const uploads = 4

// deposit carries out the journal: data files, then the manifest, then the note. The note is the commit point: before it the seal does not exist,
// after it the seal is complete.
func (r *Roller) deposit(ctx context.Context, l *ledger, j *journal) (*seal.Manifest, error) {
	trail := j.Draft.Trail
	holds := r.holdsOn(trail, j.Draft.Day.Day)
	resumed := j.Manifest != nil
	if !resumed {
		if err := r.putFiles(ctx, j, holds); err != nil {
			return nil, err
		}
		// The manifest's number and link are those of now: another machine may have sealed since the files were staged, which do not depend on it.
		j.Draft.Seal, j.Draft.Previous = l.next, l.last
		data, err := j.Draft.Encode()
		if err != nil {
			return nil, err
		}
		j.Manifest = data
		if err := r.state.writeJournal(trail, j); err != nil {
			return nil, err
		}
	}
	m, err := j.manifest()
	if err != nil {
		return nil, err
	}
	if resumed { // when its files were put there may have been no hold
		if err := r.holdSealed(ctx, m, nil, nil); err != nil {
			return nil, err
		}
	}
	note, err := signNote(j.Manifest, r.Key)
	if err != nil {
		return nil, err
	}
	lock := r.controlLock()
	for i := range m.Files { // one that was there before may be locked for longer than its class is
		if f := &m.Files[i]; f.LockMode != sink.None && f.RetainUntil.After(lock.RetainUntil) && lock.Mode != sink.None {
			lock.RetainUntil = f.RetainUntil
		}
	}
	if r.Key != nil {
		if err := r.putKey(ctx, r.Key.Public(), lock); err != nil {
			return nil, err
		}
	}
	for _, o := range []struct {
		key, contentType string
		data             []byte
	}{
		{seal.ManifestKey(trail, m.Seal), "application/json", j.Manifest},
		{seal.NoteKey(trail, m.Seal), "text/plain; charset=utf-8", note},
	} {
		if err := putSmall(ctx, r.Store, o.key, o.contentType, o.data, lock, len(holds) > 0); err != nil {
			return nil, err
		}
	}
	if err := l.add(m, j.Manifest, note); err != nil {
		return nil, err
	}
	return m, r.concluded(j, m)
}

// putKey puts a public key. One that is there since the classes were locked in governance mode keeps that mode, for as long as the lock asks: servers take no
// stricter one from who may not get past the lock, and seals must not wait for that.
func (r *Roller) putKey(ctx context.Context, key seal.PublicKey, lock sink.Lock) error {
	name := seal.KeyKey(key.ID())
	err := putSmall(ctx, r.Store, name, "application/x-pem-file", key.PEM(), lock, false)
	locker, ok := r.Store.(sink.Locker)
	if !ok || lock.Mode != sink.Compliance || !errors.Is(err, sink.ErrLock) {
		return err
	}
	if _, second := locker.Lengthen(ctx, name, "", sink.Lock{Mode: sink.Governance, RetainUntil: lock.RetainUntil}); second != nil {
		return errors.Join(err, second)
	}
	r.keyWarning.Do(func() {
		r.Log.Warn("the public key's file stays locked in governance mode, as it was put; `daybook key rotate` gives the next seals a key that is locked in compliance mode", "key", name)
	})
	return nil
}

// concluded forgets what was needed to make a seal that is complete: counts that it tells, the spool's generation that it is of, and at last the journal.
func (r *Roller) concluded(j *journal, m *seal.Manifest) error {
	if err := r.state.told(m.Trail, j.Told); err != nil {
		return err
	}
	if j.Spooled != nil {
		if err := r.markSealed(m.Trail, m.Day.Day, j.Spooled, m); err != nil {
			return err
		}
	}
	return r.state.dropJournal(m.Trail)
}

// markSealed tells the spool what became of a generation; m is nil if nothing of it was new.
func (r *Roller) markSealed(trail string, day event.Day, of *spooled, m *seal.Manifest) (err error) {
	sp := r.spool
	if sp == nil { // a command that needs no spool finishes what another began
		if sp, err = r.state.openSpool(spool.Options{MemTable: r.SortMemory / 3}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sp.Close()) }()
	}
	id, err := sp.TrailID(trail)
	if err != nil {
		return err
	}
	x := spool.Sealing{At: r.Now(), Duplicates: of.Duplicates, Damaged: of.Damaged}
	if m != nil {
		x.Seal, x.Written = m.Seal, m.Counts.Written
	}
	if err := sp.MarkSealed(id, day, of.Generation, x); err != nil || of.Damaged == 0 {
		return err
	}
	// What is sent again of it must not be taken for known: some of it is in no seal. The seal's keys tell the rest.
	return sp.Drop(id, day, of.Generation)
}

// signNote returns the note of a manifest; unsigned where there is no key.
func signNote(manifest []byte, signer seal.Signer) ([]byte, error) {
	if signer == nil {
		return seal.UnsignedNote(manifest)
	}
	return seal.Note(manifest, signer)
}

// controlLock is the lock of manifests, notes, keys and the log. It runs from now, since a seal may be finished long after its time.
func (r *Roller) controlLock() sink.Lock { return r.Policies.ControlLock(r.Now()) }

// stamp sets the time of a seal, from which its locks run.
func (r *Roller) stamp(m *seal.Manifest) {
	m.SealedAt = r.Now().UTC().Truncate(time.Second)
	locks := map[string]sink.Lock{}
	for i := range r.Policies {
		locks[r.Policies[i].Class] = r.Policies[i].Lock(m.SealedAt)
	}
	for i := range m.Files {
		if lock, known := locks[m.Files[i].Class]; known {
			m.Files[i].LockMode, m.Files[i].RetainUntil = lock.Mode, lock.RetainUntil
		}
	}
}

// putFiles puts the staged files and notes in the draft what the store says of them.
func (r *Roller) putFiles(ctx context.Context, j *journal, holds []tlog.Hold) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(uploads)
	for i := range j.Draft.Files {
		f := &j.Draft.Files[i]
		group.Go(func() error { return r.putFile(ctx, j.Draft.Trail, f, covered(holds, f)) })
	}
	return group.Wait()
}

func (r *Roller) putFile(ctx context.Context, trail string, f *seal.File, hold bool) error {
	body, err := os.Open(filepath.Join(r.state.stagingDir(trail), filepath.FromSlash(f.Key)))
	if err != nil {
		return fmt.Errorf("staging: %w", err)
	}
	defer body.Close()
	want := sink.Lock{Mode: f.LockMode, RetainUntil: f.RetainUntil}
	info, err := r.Store.Put(ctx, sink.Object{
		Key: f.Key, ContentType: f.ContentType, Size: f.Size, SHA256: f.SHA256, Lock: want, Hold: hold, Body: body, Final: true,
	})
	if err != nil {
		return err // it names the key
	}
	if info.Size != f.Size || info.SHA256 != f.SHA256 || !info.Lock.Covers(want) || hold && !info.Held {
		return fmt.Errorf("%s: the store has %d bytes with SHA-256 %x, lock %v and hold %v, but %d bytes with %x, %v and %v were put",
			f.Key, info.Size, info.SHA256, info.Lock, info.Held, f.Size, f.SHA256, want, hold)
	}
	f.Version, f.LockMode, f.RetainUntil = info.Version, info.Lock.Mode, info.Lock.RetainUntil.UTC()
	r.progress(Progress{Deposited: f.Size})
	return nil
}

func putSmall(ctx context.Context, store sink.Store, key, contentType string, data []byte, lock sink.Lock, hold bool) error {
	_, err := store.Put(ctx, sink.Object{
		Key: key, ContentType: contentType, Size: int64(len(data)), SHA256: seal.Sum(data), Lock: lock, Hold: hold, Body: bytes.NewReader(data),
	})
	return err // it names the key
}
