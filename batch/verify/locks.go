package verify

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"strings"
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
	head bool // it is of the newest checkpoint's tree, by which all files are checked
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
	slices.SortStableFunc(list, func(a, b logs.Extension) int { return b.RetainUntil.Compare(a.RetainUntil) })
	next := map[string][]uint64{} // of a trail, for each seal, the first from there on that is not done
	for _, e := range list {
		t := l.trails[e.Trail]
		if t == nil {
			continue
		}
		to := next[e.Trail]
		if to == nil {
			to = make([]uint64, len(t.seals)+1)
			for i := range to {
				to[i] = uint64(i)
			}
			next[e.Trail] = to
		}
		free := func(i uint64) uint64 {
			for to[i] != i {
				to[i] = to[to[i]]
				i = to[i]
			}
			return i
		}
		end := min(e.LastSeal, uint64(len(t.seals)))
		for i := free(min(e.FirstSeal-1, end)); i < end; i = free(i) {
			t.seals[i].extended = e.RetainUntil.Unix()
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

// hold takes a leaf about a hold: a release lets go of what was put first with just its range.
func (l *logState) hold(h *logs.HoldLeaf, at int64) {
	key := hold{h.Trail, h.From.Day, h.To.Day, h.Project}
	switch list := l.holds[key]; {
	case h.Action == logs.HoldPut:
		l.holds[key] = append(list, at)
	case len(list) <= 1:
		delete(l.holds, key)
	default:
		l.holds[key] = list[1:]
	}
}

// holdScope is what some holds of a trail are on: all files, those that may have events of a project, or, with any set, those that may have events of every project.
type holdScope struct {
	trail, project string
	any            bool
}

// span is days, both included, that are held since a time, in seconds.
type span struct {
	from, to event.Day
	since    int64
}

// heldSince tells since when a hold is on a file of a seal, or on its manifest and note where file is nil; false if none is.
func (l *logState) heldSince(m *seal.Manifest, file *seal.File) (since int64, held bool) {
	if l.heldDays == nil {
		l.heldDays = map[holdScope][]span{}
		for h, at := range l.holds {
			s := span{h.from, h.to, at[0]}
			for _, scope := range []holdScope{{h.trail, h.project, false}, {h.trail, "", true}} {
				l.heldDays[scope] = append(l.heldDays[scope], s)
			}
		}
		for scope, spans := range l.heldDays {
			l.heldDays[scope] = flatten(spans)
		}
	}
	scopes := []holdScope{{m.Trail, "", true}}
	if file != nil && file.Split == seal.ByProject {
		scopes = []holdScope{{m.Trail, "", false}, {m.Trail, file.Project, false}}
	}
	for _, scope := range scopes {
		spans := l.heldDays[scope]
		i, found := slices.BinarySearchFunc(spans, m.Day.Day, func(s span, day event.Day) int { return cmp.Compare(s.from, day) })
		if !found {
			i--
		}
		if i >= 0 && m.Day.Day <= spans[i].to && (!held || spans[i].since < since) {
			since, held = spans[i].since, true
		}
	}
	return since, held
}

// flatten makes of spans that overlap some that do not, in order; each day is held since the earliest of its spans.
func flatten(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var flat []span
	var open sinceHeap // the spans that have begun; those that have ended are left in it until they come up
	next := 0
	for day := event.Day(0); next < len(spans) || len(open) > 0; {
		if len(open) == 0 {
			day = spans[next].from
		}
		for ; next < len(spans) && spans[next].from <= day; next++ {
			heap.Push(&open, spans[next])
		}
		if open[0].to < day {
			heap.Pop(&open)
			continue
		}
		end := open[0].to
		if next < len(spans) && spans[next].from <= end {
			end = spans[next].from - 1
		}
		if n := len(flat) - 1; n >= 0 && flat[n].to == day-1 && flat[n].since == open[0].since {
			flat[n].to = end
		} else {
			flat = append(flat, span{day, end, open[0].since})
		}
		day = end + 1
	}
	return flat
}

// sinceHeap has the span on top that is held for longest.
type sinceHeap []span

func (h sinceHeap) Len() int           { return len(h) }
func (h sinceHeap) Less(i, j int) bool { return h[i].since < h[j].since }
func (h sinceHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *sinceHeap) Push(x any)        { *h = append(*h, x.(span)) }
func (h *sinceHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// lockedAsLongAs says that the manifest, note and key of a seal must be locked as long as its files.
func (v *verifier) lockedAsLongAs(m *seal.Manifest, control []located) {
	if !v.inv.versions {
		return
	}
	_, held := v.log.heldSince(m, nil)
	var want sink.Lock
	for _, f := range m.Files {
		if f.LockMode != sink.None {
			want = stronger(want, sink.Lock{Mode: f.LockMode, RetainUntil: f.RetainUntil})
		}
	}
	if want.Mode == sink.None && !held {
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
			v.checkLock(ctx, at, want, held, codeControlLock, about)
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
			v.control = append(v.control, controlLock{at: located{key: key, there: true}, want: want})
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
			v.control = append(v.control, controlLock{located{key: logs.CheckpointKey(size), there: true}, since(size), size == v.log.size})
		}
	}
	for _, from := range v.inv.nexts {
		v.control = append(v.control, controlLock{at: located{key: logs.NextKey(from), there: true}, want: since(from + 1)})
	}
	for _, t := range v.inv.tiles {
		if level := max(t.L, 0); level <= maxLevel && t.N <= v.log.size {
			n := t.N*torchwood.TileWidth + int64(t.W)
			end := n << (torchwood.TileHeight * level)
			head := end <= v.log.size && (t.W == torchwood.TileWidth || n == v.log.size>>(torchwood.TileHeight*level))
			v.control = append(v.control, controlLock{located{key: logs.TileKey(t), there: true}, since(end), head})
		}
	}
	extended := v.log.extensions.Until()
	var (
		workers  sync.WaitGroup
		mu       sync.Mutex // guards shortest
		shortest Finding
		least    = extended
	)
	queue := make(chan controlLock)
	for range v.o.Workers {
		workers.Go(func() {
			for c := range queue {
				lock, ok := v.checkLock(ctx, c.at, c.want, false, codeControlLock, Finding{Key: c.at.key})
				mu.Lock()
				if ok && c.head && lock.RetainUntil.Before(least) {
					least, shortest = lock.RetainUntil, Finding{Code: codeLogLockShort, Key: c.at.key, Expected: "locked until " + stamp(extended) + ", as files are", Found: lockText(lock)}
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range v.control {
		if (c.want.Mode != sink.None || c.head && extended.After(v.now)) && ctx.Err() == nil {
			if o := v.inv.find(c.at.key); o != nil && o.state&explained != 0 {
				c.at.version = v.sealedVersion(c.at.key)
				queue <- c
			}
		}
	}
	close(queue)
	workers.Wait()
	if shortest.Code != "" && extended.After(v.now) {
		v.add(shortest)
	}
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

// checkLock reads back an object's lock, and its legal hold, and returns the lock if it could be read.
func (v *verifier) checkLock(ctx context.Context, at located, want sink.Lock, held bool, code string, about Finding) (lock sink.Lock, ok bool) {
	info, err := v.store.Head(ctx, at.key, at.version)
	if err != nil {
		if ctx.Err() == nil {
			v.fault(err, about, codeFileMissing, code)
		}
		return lock, false
	}
	if held && !info.Held {
		missing := about
		missing.Code, missing.Expected, missing.Found = codeHoldMissing, "a legal hold", "none"
		v.add(missing)
	}
	if info.Lock.Covers(want) {
		return info.Lock, true
	}
	about.Code, about.Expected, about.Found = code, lockText(want), lockText(info.Lock)
	// The one object that seals of before and after a change of mode have in common.
	if strings.HasPrefix(at.key, "keys/") && info.Lock.Covers(sink.Lock{Mode: sink.Governance, RetainUntil: want.RetainUntil}) {
		about.Code = codeKeyGovernance
	}
	v.add(about)
	return info.Lock, true
}

func lockText(l sink.Lock) string {
	if l.Mode == sink.None {
		return "no lock"
	}
	return fmt.Sprintf("%s until %s", l.Mode, stamp(l.RetainUntil))
}
