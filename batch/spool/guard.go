package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errClosed is what a fuse is blown with by Close.
var errClosed = errors.New("it is closed")

// fuse says whether the store may go on. Once an operation has failed whose outcome matters, it is blown for good: from then on nothing is written, what is
// on the disk is what a crash at that moment would have left, and nothing more is acknowledged.
type fuse struct {
	log     *slog.Logger
	stirred chan struct{} // gets a token when the engine has done something, or never will
	// opening is set while the engine opens. It waits then until what the log has is in a table, however often that fails; so once the fuse is blown, it is
	// told that it did not.
	opening atomic.Bool

	blown chan struct{} // closed when there is an error

	mu    sync.Mutex
	err   error
	cause error // of err
}

func newFuse(log *slog.Logger) *fuse {
	return &fuse{log: log, stirred: make(chan struct{}, 1), blown: make(chan struct{})}
}

// stir wakes who waits for the engine.
func (f *fuse) stir() {
	select {
	case f.stirred <- struct{}{}:
	default:
	}
}

// blow makes err the reason why the store has stopped, unless there is one.
func (f *fuse) blow(err error) {
	defer f.stir()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err, f.cause = fmt.Errorf("%w: %w", ErrStopped, err), err
		close(f.blown)
		if !errors.Is(err, errClosed) {
			f.log.Error("spool: stopped", "error", err)
		}
	}
}

// failure returns why the store has stopped, nil if it has not.
func (f *fuse) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// why returns the cause of failure alone.
func (f *fuse) why() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cause
}

// pretends reports whether writers are to be told that all is well though nothing is written.
func (f *fuse) pretends() bool { return f.opening.Load() && f.failure() != nil }

// refusal is failure for a writer in the background, which tries again at once.
func (f *fuse) refusal() error {
	err := f.failure()
	if err != nil {
		time.Sleep(time.Millisecond)
	}
	return err
}

// guardedFS is the file system as the engine sees it.
//
// The engine ends the process where it can't write to its log, its manifest or the markers that name the current one, or sync its folder; it does not count
// on being told to go on. Here such a failure blows the fuse, and the engine is told that all is well, so that its memory stays sound and it can be closed.
// Whoever waits for it to acknowledge something asks the fuse afterwards. Of the failures of tables the engine is told.
type guardedFS struct {
	vfs.FS
	dir   string // the store's
	store *fuse
	// copy is the fuse of what is written elsewhere, which is a copy of the store. It may fail, and the store goes on.
	copy atomic.Pointer[fuse]
	// logs has, for each of the engine's logs that it writes or may write over, how many bytes of it were written, an *atomic.Int64.
	logs sync.Map
	// syncs is how often one of them was synced.
	syncs atomic.Uint64

	damaged damagedFiles
}

func newGuardedFS(fs vfs.FS, dir string, f *fuse) *guardedFS {
	g := &guardedFS{FS: fs, dir: fs.PathDir(fs.PathJoin(dir, "file")), store: f}
	g.copy.Store(f)
	return g
}

// fuse is that of a file or folder.
func (g *guardedFS) fuse(name string) *fuse {
	if g.isOurs(name) {
		return g.store
	}
	return g.copy.Load()
}

// isOurs reports whether a file or folder is the store's.
func (g *guardedFS) isOurs(name string) bool {
	name = g.PathDir(g.PathJoin(name, "file"))
	return name == g.dir || g.PathDir(name) == g.dir
}

// isVital reports whether the engine can't stand that the file of that name fails.
func (g *guardedFS) isVital(name string) bool {
	name = g.PathBase(name)
	return strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "MANIFEST-") || isMarker(name)
}

func isMarker(base string) bool { return strings.HasPrefix(base, "marker.") }

// openVital opens a vital file for writing, or what stands in for one.
func openVital(f *fuse, open func() (vfs.File, error)) (vfs.File, error) {
	if f.failure() == nil {
		file, err := open()
		if err == nil {
			return &guardedFile{file, f, true}, nil
		}
		f.blow(err)
	}
	return &guardedFile{vfs.NewMemFile(nil), f, true}, nil
}

// openOther opens any other file for writing.
func openOther(f *fuse, open func() (vfs.File, error)) (vfs.File, error) {
	if f.pretends() {
		return &guardedFile{vfs.NewMemFile(nil), f, true}, nil
	}
	if err := f.refusal(); err != nil {
		return nil, err
	}
	file, err := open()
	if err != nil {
		return nil, err
	}
	return &guardedFile{file, f, false}, nil
}

// Create implements vfs.FS.
func (g *guardedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	create := func() (vfs.File, error) { return g.asLog(name)(g.FS.Create(name, category)) }
	if isMarker(g.PathBase(name)) {
		// Its folder is synced when it is there; a crash before that must not leave the marker and lose what it marks.
		create = func() (vfs.File, error) {
			if err := syncDir(g.FS, g.PathDir(name)); err != nil {
				return nil, err
			}
			return g.FS.Create(name, category)
		}
	}
	if g.isVital(name) {
		return openVital(g.fuse(name), create)
	}
	return openOther(g.fuse(name), create)
}

// ReuseForWrite implements vfs.FS.
func (g *guardedFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	reuse := func() (vfs.File, error) {
		g.logs.Delete(from)
		return g.asLog(to)(g.FS.ReuseForWrite(from, to, category))
	}
	if g.isVital(to) {
		return openVital(g.fuse(to), reuse)
	}
	return openOther(g.fuse(to), reuse)
}

// asLog counts what is written to a file, if it is a log of the store.
func (g *guardedFS) asLog(name string) func(vfs.File, error) (vfs.File, error) {
	return func(file vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.HasSuffix(name, ".log") || !g.isOurs(name) {
			return file, err
		}
		l := &logFile{File: file, syncs: &g.syncs}
		g.logs.Store(name, &l.written)
		return l, nil
	}
}

// logFile is a log that is written from its beginning to its end.
type logFile struct {
	vfs.File
	written atomic.Int64
	syncs   *atomic.Uint64 // of all logs
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.written.Add(int64(n))
	return n, err
}

// Sync implements vfs.File.
func (f *logFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *logFile) SyncData() error {
	f.syncs.Add(1)
	return f.File.SyncData()
}

// SyncTo implements vfs.File.
func (f *logFile) SyncTo(length int64) (full bool, err error) {
	f.syncs.Add(1)
	return f.File.SyncTo(length)
}

// logPrefix is what was written to a log when it was opened.
type logPrefix struct {
	vfs.File
	io.Reader
}

// Read implements vfs.File.
func (f logPrefix) Read(p []byte) (int, error) { return f.Reader.Read(p) }

// Open implements vfs.FS.
//
// The engine copies a log to its end while it writes it. Where that is over an old log, the copy could have old blocks before new ones, and would not open
// (cockroachdb/pebble#5142). It is given the part that was written by now.
func (g *guardedFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	written, isLog := g.logs.Load(name)
	file, err := g.FS.Open(name, opts...)
	if err != nil || !isLog {
		return file, err
	}
	return logPrefix{file, io.LimitReader(file, written.(*atomic.Int64).Load())}, nil
}

// OpenReadWrite implements vfs.FS.
func (g *guardedFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return openOther(g.fuse(name), func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// OpenDir implements vfs.FS.
func (g *guardedFS) OpenDir(name string) (vfs.File, error) {
	file, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedFile{file, g.fuse(name), true}, nil
}

func change(f *fuse, change func() error) error {
	if err := f.refusal(); err != nil {
		return err
	}
	return change()
}

// Link implements vfs.FS.
func (g *guardedFS) Link(from, to string) error {
	return change(g.fuse(to), func() error { return g.FS.Link(from, to) })
}

// Remove implements vfs.FS.
func (g *guardedFS) Remove(name string) error {
	return change(g.fuse(name), func() error {
		g.logs.Delete(name)
		return g.FS.Remove(name)
	})
}

// RemoveAll implements vfs.FS.
func (g *guardedFS) RemoveAll(name string) error {
	return change(g.fuse(name), func() error { return g.FS.RemoveAll(name) })
}

// Rename implements vfs.FS.
func (g *guardedFS) Rename(from, to string) error {
	return change(g.fuse(to), func() error { return g.FS.Rename(from, to) })
}

// MkdirAll implements vfs.FS.
func (g *guardedFS) MkdirAll(dir string, perm os.FileMode) error {
	return change(g.fuse(dir), func() error { return g.FS.MkdirAll(dir, perm&0o700) })
}

// Unwrap implements vfs.FS.
func (g *guardedFS) Unwrap() vfs.FS { return g.FS }

// guardedFile is a file that was opened for writing, or a folder.
type guardedFile struct {
	vfs.File
	fuse *fuse
	// silent files are vital ones and folders: their failures blow the fuse and are not told.
	silent bool
}

// do calls operate, unless the fuse is blown.
func (f *guardedFile) do(operate func() error) error {
	if !f.silent && !f.fuse.pretends() {
		if err := f.fuse.refusal(); err != nil {
			return err
		}
		return operate()
	}
	if f.fuse.failure() == nil {
		if err := operate(); err != nil {
			f.fuse.blow(err)
		}
	}
	return nil
}

// Write implements vfs.File.
func (f *guardedFile) Write(p []byte) (n int, err error) {
	err = f.do(func() (err error) { n, err = f.File.Write(p); return err })
	if err == nil {
		n = len(p)
	}
	return n, err
}

// WriteAt implements vfs.File.
func (f *guardedFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.do(func() (err error) { n, err = f.File.WriteAt(p, off); return err })
	if err == nil {
		n = len(p)
	}
	return n, err
}

// Preallocate implements vfs.File. It is an attempt only.
func (f *guardedFile) Preallocate(offset, length int64) error {
	if err := f.fuse.failure(); err != nil {
		return err
	}
	return f.File.Preallocate(offset, length)
}

// Sync implements vfs.File.
func (f *guardedFile) Sync() error { return f.do(f.File.Sync) }

// SyncData implements vfs.File.
func (f *guardedFile) SyncData() error { return f.do(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.do(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Stat implements vfs.File.
func (f *guardedFile) Stat() (info vfs.FileInfo, err error) {
	if err = f.do(func() (err error) { info, err = f.File.Stat(); return err }); info == nil && err == nil {
		return vfs.NewMemFile(nil).Stat()
	}
	return info, err
}

// Close implements vfs.File.
func (f *guardedFile) Close() error {
	err := f.File.Close()
	if err != nil && f.silent {
		f.fuse.blow(err)
		return nil
	}
	return err
}
