package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"filippo.io/torchwood"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/event"
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

// spread says of each seal until when extensions have its files locked. The longest come first, so that a seal is looked at once, however many there are.
func (l *logState) spread() {
	list := slices.Clone(l.extensions)
	slices.SortStableFunc(list, func(a, b extension) int { return b.until.Compare(a.until) })
	next := map[string][]uint64{} // of a trail, for each seal, the first from there on that is not done
	for _, e := range list {
		t := l.trails[e.trail]
		if t == nil {
			continue
		}
		to := next[e.trail]
		if to == nil {
			to = make([]uint64, len(t.seals)+1)
			for i := range to {
				to[i] = uint64(i)
			}
			next[e.trail] = to
		}
		free := func(i uint64) uint64 {
			for to[i] != i {
				to[i] = to[to[i]]
				i = to[i]
			}
			return i
		}
		end := min(e.last, uint64(len(t.seals)))
		for i := free(min(e.first-1, end)); i < end; i = free(i) {
			t.seals[i].extended = e.until.Unix()
			to[i] = i + 1
		}
	}
}

// hold is what a release must name to let go of.
type hold struct {
	trail    string
	from, to event.Day
	project  string
}

// span is days, both included.
type span struct{ from, to event.Day }

// hold takes a leaf about a hold: a release lets go of what was put with just its range.
func (l *logState) hold(h *logs.HoldLeaf) {
	key := hold{h.Trail, h.From.Day, h.To.Day, h.Project}
	switch {
	case h.Action == logs.HoldPut:
		l.holds[key]++
	case l.holds[key] == 1:
		delete(l.holds, key)
	case l.holds[key] > 1:
		l.holds[key]--
	}
}

// held reports whether a hold is on files of the seal's day.
func (l *logState) held(m *seal.Manifest) bool {
	if l.heldDays == nil {
		l.heldDays = map[string][]span{}
		for h := range l.holds {
			l.heldDays[h.trail] = append(l.heldDays[h.trail], span{h.from, h.to})
		}
		for trail, spans := range l.heldDays {
			slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
			merged := spans[:1]
			for _, s := range spans[1:] {
				if last := &merged[len(merged)-1]; s.from <= last.to {
					last.to = max(last.to, s.to)
				} else {
					merged = append(merged, s)
				}
			}
			l.heldDays[trail] = merged
		}
	}
	spans := l.heldDays[m.Trail]
	i, found := slices.BinarySearchFunc(spans, m.Day.Day, func(s span, day event.Day) int { return cmp.Compare(s.from, day) })
	return found || i > 0 && m.Day.Day <= spans[i-1].to
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

// checkControlLocks checks the locks of keys and log. A key is needed as long as any seal that it signed; an object of the log as long as those that
// it was first put for.
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
	// since is what an object of the log needs that was first put with the first checkpoint of at least that size: what the files need of the seals that this
	// checkpoint was the first to cover. Earlier seals are covered by earlier checkpoints, whose objects stay.
	since := func(size int64) (lock sink.Lock) {
		i, _ := slices.BinarySearch(v.log.sizes, size)
		if i == len(v.log.sizes) {
			return lock
		}
		from := int64(0)
		if i > 0 {
			from = v.log.sizes[i-1]
		}
		for _, l := range needed[min(from, v.log.size):min(v.log.sizes[i], v.log.size)] {
			lock = stronger(lock, l)
		}
		return lock
	}
	for _, size := range v.inv.checkpoints {
		if size <= v.log.size {
			v.control = append(v.control, controlLock{located{key: logs.CheckpointKey(size), there: true}, since(size)})
		}
	}
	for _, from := range v.inv.nexts {
		v.control = append(v.control, controlLock{located{key: logs.NextKey(from), there: true}, since(from + 1)})
	}
	for _, t := range v.inv.tiles {
		if level := max(t.L, 0); level <= maxLevel && t.N <= v.log.size {
			end := (t.N*torchwood.TileWidth + int64(t.W)) << (torchwood.TileHeight * level)
			v.control = append(v.control, controlLock{located{key: logs.TileKey(t), there: true}, since(end)})
		}
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
			if o := v.inv.find(c.at.key); o != nil && o.state&explained != 0 {
				c.at.version = v.sealedVersion(c.at.key)
				queue <- c
			}
		}
	}
	close(queue)
	workers.Wait()
}

// sealedVersion is the version of a control object that was sealed, where others or a marker lie over it; blank where there is only one. See locate.
func (v *verifier) sealedVersion(key string) string {
	for _, e := range slices.Backward(v.inv.odd[key]) {
		if !e.Marker {
			return e.Version
		}
	}
	return ""
}

// locks returns, for each leaf, the lock that the files of its seal need.
func (l *logState) locks() []sink.Lock {
	list := make([]sink.Lock, l.size)
	for _, t := range l.trails {
		for i := range t.seals {
			if s := &t.seals[i]; s.index >= 0 && s.mode != sink.None {
				list[s.index] = sink.Lock{Mode: s.mode, RetainUntil: time.Unix(s.retain, 0)}
			}
		}
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
