package verify

import (
	"context"
	"fmt"
	"sync"
	"time"

	"filippo.io/torchwood"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/sink"
)

// controlLock is the lock that an object must have that files need to be checked by.
type controlLock struct {
	at   located
	want sink.Lock
}

var strength = map[sink.Mode]int{sink.None: 0, sink.Governance: 1, sink.Compliance: 2}

// stronger is the lock that covers both.
func stronger(a, b sink.Lock) sink.Lock {
	if strength[b.Mode] > strength[a.Mode] {
		a.Mode = b.Mode
	}
	if b.RetainUntil.After(a.RetainUntil) {
		a.RetainUntil = b.RetainUntil
	}
	return a
}

// lockedTo remembers for how long the files of a seal are locked.
func (s *loggedSeal) lockedTo(lock sink.Lock) {
	all := stronger(sink.Lock{Mode: s.mode, RetainUntil: time.Unix(s.retain, 0)}, lock)
	s.mode, s.retain = all.Mode, all.RetainUntil.Unix()
}

// extendedTo is until when a leaf of the log says that the files of a seal are locked; zero if none does.
func (l *logState) extendedTo(trail string, n uint64) (until time.Time) {
	for _, e := range l.extensions {
		if e.Trail == trail && e.FirstSeal <= n && n <= e.LastSeal && e.RetainUntil.After(until) {
			until = e.RetainUntil
		}
	}
	return until
}

// held reports whether a hold is on files of the seal's day.
func (l *logState) held(m *seal.Manifest) bool {
	var on []logs.HoldLeaf
	for _, h := range l.holds {
		if h.Trail != m.Trail || m.Day.Day < h.From.Day || m.Day.Day > h.To.Day {
			continue
		}
		if h.Action == logs.HoldPut {
			on = append(on, h)
			continue
		}
		for i := range on { // a release lets go of what was put with just its range
			if on[i].From == h.From && on[i].To == h.To && on[i].Project == h.Project {
				on = append(on[:i], on[i+1:]...)
				break
			}
		}
	}
	return len(on) > 0
}

// lockedAsLongAs says that the manifest, note and key of a seal must be locked as long as its files.
func (v *verifier) lockedAsLongAs(m *seal.Manifest, control []located) {
	if !v.inv.versions {
		return
	}
	var want sink.Lock
	for _, f := range m.Files {
		if f.LockMode != sink.None {
			want = stronger(want, sink.Lock{Mode: f.LockMode, RetainUntil: f.RetainUntil})
		}
	}
	if want.Mode == sink.None {
		return
	}
	about := Finding{Trail: m.Trail, Seal: m.Seal, Day: &m.Day}
	for _, at := range control {
		if !at.there {
			continue
		}
		v.tasks <- func(ctx context.Context) {
			about := about
			about.Key = at.key
			v.checkLock(ctx, at, want, codeControlLock, about)
		}
	}
	v.keyLocks[m.Key] = stronger(v.keyLocks[m.Key], want)
}

// checkControlLocks checks the locks of keys and log. A key is needed as long as any seal that it signed; an object of the log as long as those that were in
// it when it was written.
func (v *verifier) checkControlLocks(ctx context.Context) {
	if !v.inv.versions {
		if v.locked {
			v.add(Finding{Code: codeLocksUnchecked, Found: "a store without versions"})
		}
		return
	}
	for id, want := range v.keyLocks {
		key := seal.KeyKey(id)
		if o := v.inv.find(key); o != nil && o.size >= 0 {
			v.control = append(v.control, controlLock{located{key: key, there: true}, want})
		}
	}
	needed := v.log.locks()
	upTo := func(size int64) sink.Lock {
		if size = min(size, int64(len(needed))); size < 1 {
			return sink.Lock{}
		}
		return needed[size-1]
	}
	for _, size := range v.inv.checkpoints {
		v.control = append(v.control, controlLock{located{key: logs.CheckpointKey(size), there: true}, upTo(size)})
	}
	for _, from := range v.inv.nexts {
		v.control = append(v.control, controlLock{located{key: logs.NextKey(from), there: true}, upTo(from + 1)})
	}
	for _, t := range v.inv.tiles {
		end := (t.N*torchwood.TileWidth + int64(t.W)) << (torchwood.TileHeight * max(t.L, 0))
		v.control = append(v.control, controlLock{located{key: logs.TileKey(t), there: true}, upTo(end)})
	}
	var workers sync.WaitGroup
	queue := make(chan controlLock)
	for range v.o.Workers {
		workers.Go(func() {
			for c := range queue {
				v.checkLock(ctx, c.at, c.want, codeControlLock, Finding{Key: c.at.key})
			}
		})
	}
	for _, c := range v.control {
		if c.want.Mode != sink.None && ctx.Err() == nil {
			if o := v.inv.find(c.at.key); o.state&explained != 0 {
				queue <- c
			}
		}
	}
	close(queue)
	workers.Wait()
}

// locks returns, for each leaf, the lock that the files of it and all before need.
func (l *logState) locks() []sink.Lock {
	list := make([]sink.Lock, l.size)
	for _, t := range l.trails {
		for i := range t.seals {
			if s := &t.seals[i]; s.index >= 0 && s.mode != sink.None {
				list[s.index] = sink.Lock{Mode: s.mode, RetainUntil: time.Unix(s.retain, 0)}
			}
		}
	}
	for i := 1; i < len(list); i++ {
		list[i] = stronger(list[i], list[i-1])
	}
	return list
}

// checkLock reads back an object's lock.
func (v *verifier) checkLock(ctx context.Context, at located, want sink.Lock, code string, about Finding) {
	info, err := v.store.Head(ctx, at.key, at.version)
	if err != nil {
		if ctx.Err() == nil {
			v.fault(err, about, codeFileMissing, code)
		}
		return
	}
	if info.Lock.Covers(want) {
		return
	}
	about.Code, about.Expected, about.Found = code, lockText(want), lockText(info.Lock)
	v.add(about)
}

func lockText(l sink.Lock) string {
	if l.Mode == sink.None {
		return "no lock"
	}
	return fmt.Sprintf("%s until %s", l.Mode, stamp(l.RetainUntil))
}
