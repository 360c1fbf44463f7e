package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// pebbleFormat is what the engine writes. A newer one is written only by a release that says so, since no older one can read it.
const pebbleFormat = pebble.FormatTableFormatV6

const (
	// cacheSize is what the engine keeps of its files in memory. It counts its memtables against what it is given: without room for them there would be no cache
	// at all, and each look for a key would read its filter and index from the disk.
	cacheSize = 16 << 20
	bloomBits = 10
	// maxMemTables and maxL0 are where Append waits for the engine to catch up. The engine's own limits are out of reach: what waits for those waits for ever
	// if the disk fails.
	maxMemTables = 2
	maxL0        = 12
	outOfReach   = 1 << 20
)

func engineOptions(fs *guardedFS, memTable uint64) *pebble.Options {
	f := fs.store
	o := &pebble.Options{
		FS:                          fs,
		FormatMajorVersion:          pebbleFormat,
		Logger:                      engineLog{f},
		CacheSize:                   cacheSize + (maxMemTables+1)*int64(memTable),
		MemTableSize:                memTable,
		MemTableStopWritesThreshold: outOfReach,
		L0StopWritesThreshold:       outOfReach,
		MaxOpenFiles:                256,
		EventListener: &pebble.EventListener{
			FlushEnd:      func(pebble.FlushInfo) { f.stir() },
			CompactionEnd: func(pebble.CompactionInfo) { f.stir() },
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				fs.damaged.add(i.Path)
				f.log.Error("spool: a file is damaged", "path", i.Path, "error", i.Details)
			},
			BackgroundError: func(err error) {
				// The engine leaves a damaged file alone by itself, and a scan that needs it fails.
				if pebble.IsCorruptionError(err) || errors.Is(err, pebble.ErrCancelledCompaction) {
					f.log.Error("spool: work in the background failed", "error", err)
					return
				}
				// Anything else it would try again and again without a pause: the disk is full or broken. What was acknowledged is in the log.
				f.blow(err)
			},
		},
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits) // nearly all that is asked for is not there
	}
	return o
}

// catchUp waits until the engine has written enough of what it holds in memory. It is called with the size of what is to be written, and without mu, so that
// whoever only asks need not wait.
func (s *Store) catchUp(size int) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	s.unchecked += size
	if s.unchecked < s.memTable/8 {
		return s.fuse.failure()
	}
	s.unchecked = 0
	for {
		m, err := s.metrics()
		if failed := s.fuse.failure(); failed != nil {
			return failed
		}
		if err != nil {
			return err
		}
		if m.MemTable.Size <= maxMemTables*uint64(s.memTable) && m.Levels[0].Sublevels <= maxL0 {
			return nil
		}
		<-s.fuse.stirred
	}
}

// engineLog passes on what the engine says.
type engineLog struct{ *fuse }

// Infof implements pebble.Logger.
func (l engineLog) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("spool: " + fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l engineLog) Errorf(format string, args ...any) {
	l.log.Error("spool: " + fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger, which expects the process to end. It does not: but nothing is written from here on.
func (l engineLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			err = cause
		}
	}
	l.blow(err)
}
