package spool

import (
	"errors"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Usage says how much room there is, and how the disk was used.
type Usage struct {
	// Bytes is the size of the spool's files.
	Bytes uint64
	// Free is how many bytes this user may still write to the disk that they are on; the largest number there is where the file system can't tell.
	Free uint64
	// MinFree is below how many of them nothing more is taken.
	MinFree uint64
	// Syncs is how often the log was synced since the store was opened: once for all that was appended at a time.
	Syncs uint64
}

// Usage looks how much room there is. It works as long as the store is not closed, be it stopped or not.
func (s *Store) Usage() (Usage, error) {
	u := Usage{MinFree: s.minFree, Syncs: s.guard.syncs.Load()}
	m, err := s.metrics()
	if err != nil {
		return u, s.wrap("look at the disk", err)
	}
	u.Bytes = m.DiskSpaceUsage()
	disk, err := s.fs.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		disk.AvailBytes, err = math.MaxUint64, nil
	}
	u.Free = disk.AvailBytes
	return u, s.wrap("look at the disk", err)
}

// metrics are the engine's, which has none once it is closed.
func (s *Store) metrics() (*pebble.Metrics, error) {
	s.view.RLock()
	defer s.view.RUnlock()
	if err := s.fuse.failure(); errors.Is(err, errClosed) {
		return nil, err
	}
	return s.db.Metrics(), nil
}

// Stopped returns why the store has stopped, which is ErrStopped and its cause; nil if it has not. It stays so until it is opened anew.
func (s *Store) Stopped() error { return s.wrap("stopped", s.fuse.failure()) }

// Done is closed when the store stops, be it by a failure or by Close.
func (s *Store) Done() <-chan struct{} { return s.fuse.blown }
