package tlog

import (
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// Extension is what a leaf says of locks that were lengthened, when, and its index.
type Extension struct {
	ExtensionLeaf
	At   time.Time
	Leaf int64
}

// Extensions are those of a log, in the order of their leaves.
type Extensions []Extension

// LockedTo returns until when a file of a seal is locked, since its own lock ends then and extensions lengthened it. One that came after the end counts for nothing: the
// file may have been gone.
func (l Extensions) LockedTo(trail string, seal uint64, own time.Time) time.Time {
	for _, e := range l {
		if e.Trail == trail && e.FirstSeal <= seal && seal <= e.LastSeal && !e.At.After(own) && e.RetainUntil.After(own) {
			own = e.RetainUntil
		}
	}
	return own
}

// Until returns until when the longest of them has files locked; zero if there is none.
func (l Extensions) Until() (until time.Time) {
	for _, e := range l {
		if e.RetainUntil.After(until) {
			until = e.RetainUntil
		}
	}
	return until
}

// Extends returns the leaf, what was added included, by which all of a trail's seals from first to last are locked at least until a time; false if there is none.
func (l *Log) Extends(trail string, first, last uint64, until time.Time) (leaf int64, ok bool) {
	for _, e := range l.tip.extensions {
		if e.Trail == trail && e.FirstSeal <= first && e.LastSeal >= last && !e.RetainUntil.Before(until) {
			return e.Leaf, true
		}
	}
	return 0, false
}

// LockedTo is Extensions.LockedTo, with what was added included.
func (l *Log) LockedTo(trail string, seal uint64, own time.Time) time.Time {
	return l.tip.extensions.LockedTo(trail, seal, own)
}

// ExtendedTo is Extensions.Until, with what was added included.
func (l *Log) ExtendedTo() time.Time { return l.tip.extensions.Until() }

// Lasting returns the keys of those tiles and bundles under the newest checkpoint which the next checkpoint does not bring anew, so that all later ones need
// them: the full ones, and the partial ones of higher levels. With edge the others are among them, and the checkpoint.
func (l *Log) Lasting(edge bool) []string {
	var keys []string
	if edge {
		keys = append(keys, CheckpointKey(l.published.Size))
	}
	for _, t := range tlog.NewTiles(torchwood.TileHeight, 0, l.published.Size) {
		if t.L == 0 && t.W < torchwood.TileWidth && !edge {
			continue
		}
		keys = append(keys, TileKey(t))
		if t.L == 0 {
			keys = append(keys, TileKey(entryTile(t)))
		}
	}
	return keys
}
