package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/batch"
	"daybook/batch/intake"
)

// roundEvery is how often it is looked at folders and places whose turn may have come. Tests look oftener.
var roundEvery = time.Second

// watch takes in files: those that are moved into drop folders, and those of places that are followed. What changes in the configuration is taken up at the next
// round.
func (s *Service) watch(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		t := time.NewTicker(roundEvery)
		defer t.Stop()
		stuck := map[string]stuckFile{}
		for {
			for _, d := range s.config.Load().Drop {
				if s.kept(d.Org) {
					s.takeDropped(ctx, d, stuck)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
			}
		}
	})
	group.Go(func() error {
		t := time.NewTicker(roundEvery)
		defer t.Stop()
		places := map[string]*place{}
		defer func() {
			for _, p := range places {
				p.close()
			}
		}()
		for {
			for _, f := range s.config.Load().Follow {
				if !s.kept(f.Org) {
					continue
				}
				p := places[f.place()]
				if p == nil {
					p = &place{}
					places[f.place()] = p
				}
				if now := time.Now(); !now.Before(p.next) {
					s.follow(ctx, f, p)
					p.next = now.Add(f.Every)
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-t.C:
			}
		}
	})
	return group.Wait()
}

// kept reports whether a trail of the org was ever enabled. Before that its files lie where they are: no trail would take their events, and a file that was taken in is not read again
// when one is enabled with a backfill. What counts is by which trails events are filed, which a trail that was just enabled is among a moment later.
func (s *Service) kept(org string) bool { return s.standing.Files(org) }

const (
	// doneDir is where files go that were taken in, and failedDir those that could not be read, or not to their end.
	doneDir   = "done"
	failedDir = "failed"
)

// stuckFile is a file of a drop folder that was taken in and could not be moved on. Until it can be, or is replaced, it is left alone.
type stuckFile struct {
	info fs.FileInfo // before it was read
	to   string      // the folder that it belongs into
}

func (f stuckFile) is(now fs.FileInfo) bool {
	return os.SameFile(f.info, now) && f.info.Size() == now.Size() && f.info.ModTime().Equal(now.ModTime())
}

// takeDropped takes in what lies in a drop folder, in name order. A file is moved on once its events are on stable storage: if we are stopped in between it is taken again,
// and its events are known. So it is if it is no more what it was before it was read. What was taken in and could not be moved is kept in stuck, by its path, and only the move is tried again.
// The source has come up to the newest of its events once all that lay there was taken in.
func (s *Service) takeDropped(ctx context.Context, d Drop, stuck map[string]stuckFile) {
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		s.trouble("drop", d.Path, d.Path, err)
		return
	}
	defer root.Close() // only a handle
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		s.trouble("drop", d.Path, d.Path, err)
		return
	}
	s.heard(d.Path)
	all := true
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !e.Type().IsRegular() || ctx.Err() != nil {
			continue
		}
		name := filepath.Join(d.Path, e.Name())
		info, err := root.Lstat(e.Name())
		if err != nil {
			s.trouble("drop", d.Path, name, err)
			all = false
			continue
		}
		file, taken := stuck[name]
		if !taken || !file.is(info) {
			unchanged := func() bool {
				now, err := root.Lstat(e.Name())
				return err == nil && stuckFile{info: info}.is(now)
			}
			took, err := s.takeFile(ctx, name, fileFeed{d.Org, d.Source, d.From, true, false, unchanged}, func() (io.ReadCloser, error) { return root.Open(e.Name()) })
			switch {
			case errors.Is(err, errChanged):
				all = false
				continue
			case errors.Is(err, errUnread): // those after it are not kept waiting
				s.trouble("drop", d.Path, name, err)
				all = false
				continue
			case err != nil: // ours to write: it is tried again
				s.trouble("drop", d.Path, name, err)
				return
			}
			s.sources.saw(d.Org, d.Source, d.Path, took.newest)
			file = stuckFile{info, doneDir}
			if took.Fault != nil {
				file.to = failedDir
			}
		}
		if now, err := root.Lstat(e.Name()); err != nil || !file.is(now) { // another file is in its place, or it grew: that is taken in the next time
			all = false
			continue
		}
		if err := moveInto(root, e.Name(), file.to); err != nil {
			stuck[name] = file
			s.trouble("drop", d.Path, name, err)
			continue
		}
		delete(stuck, name)
		s.heard(name)
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[filepath.Join(d.Path, e.Name())] = true
	}
	maps.DeleteFunc(stuck, func(name string, _ stuckFile) bool {
		return filepath.Dir(name) == filepath.Clean(d.Path) && !there[name]
	})
	s.wentThrough(d.Path)
	if all && ctx.Err() == nil {
		s.sources.cameThrough(d.Org, d.Source, d.Path, s.now())
	}
}

// moveInto moves a file into a folder beside it, under a name that is free there.
func moveInto(root *os.Root, name, dir string) error {
	if err := root.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	to := path.Join(dir, name)
	for n := 1; ; n++ {
		_, err := root.Lstat(to)
		if errors.Is(err, fs.ErrNotExist) {
			return root.Rename(name, to)
		}
		if err != nil {
			return err
		}
		to = fmt.Sprintf("%s/%s.%d", dir, name, n)
	}
}

// maxFailed is how many files of failedDir are counted.
const maxFailed = 1000

// failed counts the files of a drop folder that could not be read to their end and nobody has seen to, up to one more than maxFailed. A folder that is not there has none.
func (d *Drop) failed() (n int, err error) {
	root, err := os.OpenRoot(d.Path)
	if errors.Is(err, fs.ErrNotExist) { // told where files are taken in
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer root.Close() // only a handle
	info, err := root.Stat(failedDir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	if err != nil {
		return 0, err
	}
	dir, err := root.Open(failedDir)
	if err != nil {
		return 0, err
	}
	defer dir.Close() // it is only read
	entries, err := dir.ReadDir(maxFailed + 1)
	if err != nil && err != io.EOF {
		return 0, err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && e.Type().IsRegular() {
			n++
		}
	}
	if n > 0 && len(entries) > maxFailed { // there are more, and not all are looked at
		n = maxFailed + 1
	}
	return n, nil
}

// trouble is why a file, or the place that it lies in, can't be taken in.
type trouble struct {
	place, text string
	again       bool // it was met since the place was last gone through
}

// trouble tells of a file or place that can't be read, once for as long as it is the same trouble.
func (s *Service) trouble(kind, place, where string, err error) {
	s.metrics.files.WithLabelValues(kind, "failed").Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = map[string]trouble{}
	}
	before := s.told[where].text
	s.told[where] = trouble{place, err.Error(), true}
	if before != err.Error() {
		s.log.Error("a file can't be taken in; it is tried again", "kind", kind, "file", where, "error", err)
	}
}

// wentThrough forgets the trouble with files of a place that was gone through without meeting them again: they are no longer there.
func (s *Service) wentThrough(place string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for where, t := range s.told {
		switch {
		case t.place != place:
		case t.again:
			t.again = false
			s.told[where] = t
		default:
			delete(s.told, where)
		}
	}
}

// fileFeed is whose events a file holds. Bound says that all of them are the source's, whatever they say; else the org and the source are of those that name none. Again says that
// a file whose bytes can't all be had is read once more later: errUnread.
type fileFeed struct {
	org, source, from string
	bound, again      bool
	// unchanged reports whether what was read is still what there is; nil if it is.
	unchanged func() bool
}

// errChanged says that a file is no more what it was before it was read: it is taken in anew the next time, when what it has of events is known, and the rest of it is told.
var errChanged = errors.New("the file was changed while it was read")

// fileChunk is how many events of a file, or bytes of them, are committed at a time.
const (
	fileChunk      = 5000
	fileChunkBytes = 4 << 20
)

// takeFile takes in the events of a file. An error is one of ours, or errUnread, after which the file may be taken again: its events are known then, and of what it holds that
// is none nothing was kept. A fault of the file is in the report.
func (s *Service) takeFile(ctx context.Context, name string, feed fileFeed, open func() (io.ReadCloser, error)) (took *tookFile, err error) {
	if err := s.unavailable(); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnread, err)
	}
	defer file.Close() // it is only read
	in := &readErrors{r: file}
	how := s.config.Load().Reading
	now := s.now()
	how.From, how.Org, how.Source, how.AsOf = feed.from, feed.org, feed.source, now
	if feed.bound {
		how.BindOrg, how.BindSource = feed.org, feed.source
	}
	t := &fileTaker{s: s, ctx: ctx, name: name, feed: feed, at: now, rejects: s.rejects.ofFile()}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.rejects.Discard())
		}
	}()
	t.begin()
	report, err := intake.ReadStream(ctx, in, how, t)
	if err == nil {
		err = t.commit()
	}
	if err != nil {
		return nil, err
	}
	if in.err != nil && feed.again {
		s.metrics.took(feed.org, feed.source, t.accepted, t.duplicate, t.notTracked, 0)
		return nil, fmt.Errorf("%w: %w", errUnread, in.err)
	}
	if feed.unchanged != nil && !feed.unchanged() {
		s.metrics.took(feed.org, feed.source, t.accepted, t.duplicate, t.notTracked, 0)
		return nil, errChanged
	}
	if err := t.rejects.Close(); err != nil {
		return nil, err
	}
	if err := s.tell(t.rejects); err != nil {
		return nil, err
	}
	if feed.bound { // how far it has come is known when the files beside this one are taken in
		s.sources.advance(feed.org, feed.source, time.Time{}, now)
	}
	s.metrics.took(feed.org, feed.source, t.accepted, t.duplicate, t.notTracked, report.Rejected)
	counts := []any{"accepted", t.accepted, "duplicate", t.duplicate, "not_tracked", t.notTracked, "rejected", report.Rejected}
	if report.Fault != nil {
		s.metrics.files.WithLabelValues("file", "failed").Inc()
		s.log.Error("a file could not be read to its end; what came before that stands", append([]any{"file", name, "line", report.Fault.Line, "error", report.Fault}, counts...)...)
	} else {
		s.metrics.files.WithLabelValues("file", "taken").Inc()
		s.log.Info("took a file in", append([]any{"file", name}, counts...)...)
	}
	return &tookFile{report, t.accepted, t.duplicate, t.notTracked, t.untracked.Commonest(), t.newest}, nil
}

// tookFile says what became of a file.
type tookFile struct {
	intake.StreamReport
	accepted, duplicate, notTracked int64
	untracked                       batch.Untracked
	// newest is the time of its newest event, of those whose time is believed.
	newest time.Time
}

// errUnread says that the bytes of a file can't be had, or not all of them: that is no fault of what it holds.
var errUnread = errors.New("can't be read")

// readErrors keeps the error of reading, to tell it from a fault of what was read.
type readErrors struct {
	r   io.Reader
	err error
}

func (r *readErrors) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// fileTaker takes the events of a file.
type fileTaker struct {
	s      *Service
	ctx    context.Context
	name   string
	feed   fileFeed
	at     time.Time
	g      *batch.Gathering
	newest time.Time
	// rejects are put away with the file: one that is taken again would else have them there twice.
	rejects *intake.Quarantine

	accepted, duplicate, notTracked int64
	untracked                       batch.UntrackedCount
}

func (t *fileTaker) begin() { t.g = t.s.standing.BeginFile(t.at) }

func (t *fileTaker) Take(taken intake.Taken) error {
	if !taken.Suspect && taken.Event.Time.After(t.newest) {
		t.newest = taken.Event.Time
	}
	places := t.g.Places()
	if err := t.g.Add(taken); err != nil {
		return err
	}
	switch {
	case t.g.Places() == places:
		t.untracked.Add(taken.Event)
	case taken.Outcome != "":
		t.s.outcomeNotKnown(t.feed.org, t.feed.source)
	}
	if t.g.Len() < fileChunk && t.g.Size() < fileChunkBytes {
		return nil
	}
	err := t.commit()
	t.begin()
	return err
}

func (t *fileTaker) commit() error {
	if err := t.g.Commit(t.ctx); err != nil {
		return err
	}
	for i := range t.g.Len() {
		switch fate, _ := t.g.Fate(i, nil); fate {
		case batch.Accepted:
			t.accepted++
		case batch.Duplicate:
			t.duplicate++
		case batch.NotTracked:
			t.notTracked++
		}
	}
	return nil
}

func (t *fileTaker) Reject(u intake.Unread) error {
	return t.rejects.Add(t.name, u.Line, u.Reason, u.Data, u.Rest)
}
