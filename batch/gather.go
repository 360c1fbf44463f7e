package batch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
)

// Fate is what became of an event that was taken in.
type Fate uint8

const (
	// NotTracked is an event that no trail takes which is on.
	NotTracked Fate = iota
	// Duplicate is one that every trail that takes it has already.
	Duplicate
	// Accepted is one that is new to a trail.
	Accepted
)

// Placed is where an event was filed.
type Placed struct {
	Trail string
	Day   event.Day
	// Content is the hash of what it holds (event.Event.ContentHash).
	Content seal.Hash
}

// Gathering is events that are taken in together. It belongs to one goroutine until Commit.
type Gathering struct {
	s        *Standing
	routes   *routes
	router   *router
	received time.Time
	file     bool              // the events are a file's, which tells of no receipt
	on       map[int]bool      // by trail: whether it is on
	since    map[int]event.Day // by trail: the first day that a file's events are taken of

	arena  []byte // rows and tails: the piece of now
	size   int    // of all pieces
	items  []spool.Item
	trails []int // of each item
	ends   []int // of each event: where its items end
	fresh  []bool
	done   chan error
}

// Begin begins to gather events that were received at that time. Only trails that are on then take them.
func (s *Standing) Begin(received time.Time) *Gathering {
	routes := s.routes.Load()
	return &Gathering{
		s: s, routes: routes, router: routes.router(received), received: received, on: map[int]bool{}, since: map[int]event.Day{}, done: make(chan error, 1),
	}
}

// BeginFile begins to gather the events of a file, which is read at that time. A trail takes those from its first day on.
func (s *Standing) BeginFile(at time.Time) *Gathering {
	g := s.Begin(at)
	g.file = true
	return g
}

// Add adds an event, of which it keeps a copy.
func (g *Gathering) Add(t intake.Taken) error {
	g.routes.of(t.Event, func(trail int) {
		on, known := g.on[trail]
		if !known {
			name := g.routes.trails[trail].Name
			on = g.s.admission.On(name, g.received)
			g.on[trail], g.since[trail] = on, g.s.admission.Since(name)
		}
		if on && (!g.file || g.router.day(t.Event, t.Suspect) >= g.since[trail]) {
			g.place(trail, t.Event, t.Row, t.Suspect)
		}
	})
	g.ends = append(g.ends, len(g.items))
	return nil
}

// AddTo adds an event to trails by name, whether they are on or not: it is Daybook's own, of what was done to them. Trails that are not known are left out.
func (g *Gathering) AddTo(trails []string, e *event.Event) {
	row := e.AppendJSON(nil)
	for _, name := range trails {
		if trail, ok := g.routes.byName[name]; ok {
			g.place(trail, e, row, false)
		}
	}
	g.ends = append(g.ends, len(g.items))
}

// placed returns how many trails took an event.
func (g *Gathering) placed(i int) int {
	if i == 0 {
		return g.ends[0]
	}
	return g.ends[i] - g.ends[i-1]
}

// The first piece of an arena, for a request of a few events, and those that follow.
const (
	firstPiece = 2 << 10
	maxPiece   = 256 << 10
)

// room makes room for n bytes in the arena: what is in it stays where it is.
func (g *Gathering) room(n int) {
	g.size += n
	if len(g.arena)+n > cap(g.arena) {
		g.arena = make([]byte, 0, max(n, min(max(4*cap(g.arena), firstPiece), maxPiece)))
	}
}

// place files an event in a trail. Its row and tail are kept in the arena.
func (g *Gathering) place(trail int, e *event.Event, row []byte, suspect bool) {
	before := 0
	if len(g.ends) > 0 {
		before = g.ends[len(g.ends)-1]
	}
	if len(g.items) > before { // another trail took it as well: they share the copy
		last := g.items[len(g.items)-1]
		g.append(trail, e, last.Row, last.Tail, suspect)
		return
	}
	id := e.Get(event.ID)
	g.room(len(row) + spool.TailLen(id))
	n := len(g.arena)
	g.arena = append(g.arena, row...)
	mid := len(g.arena)
	g.arena = spool.AppendTail(g.arena, e.Time, id, e.ContentHash(row))
	g.append(trail, e, g.arena[n:mid:mid], g.arena[mid:len(g.arena):len(g.arena)], suspect)
}

func (g *Gathering) append(trail int, e *event.Event, row, tail []byte, suspect bool) {
	g.items = append(g.items, spool.Item{
		Group: spool.Group{Trail: g.routes.ids[trail], Day: g.router.day(e, suspect), Class: g.routes.classIDs[g.router.class(e)]},
		Row:   row, Tail: tail, Suspect: suspect,
	})
	g.trails = append(g.trails, trail)
}

// Len is how many events were added.
func (g *Gathering) Len() int { return len(g.ends) }

// Places is how often one of them was filed in a trail.
func (g *Gathering) Places() int { return len(g.items) }

// Size is how many bytes they take.
func (g *Gathering) Size() int { return g.size }

// Commit returns once all events are on stable storage. After an error any of them may be there, and all may be added again.
func (g *Gathering) Commit(ctx context.Context) error {
	if len(g.items) == 0 {
		g.s.count(g)
		return nil
	}
	g.fresh = make([]bool, len(g.items))
	if err := g.s.committer.hand(ctx, g); err != nil {
		return err
	}
	// From here on it is written, whoever waits.
	if err := <-g.done; err != nil {
		return err
	}
	g.s.count(g)
	return nil
}

// Fate tells what became of the event that was added as number i, and appends where it was filed. Commit has returned without an error.
func (g *Gathering) Fate(i int, placed []Placed) (Fate, []Placed) {
	from := g.ends[i] - g.placed(i)
	fate := NotTracked
	for k := from; k < g.ends[i]; k++ {
		tail := g.items[k].Tail
		placed = append(placed, Placed{Trail: g.routes.trails[g.trails[k]].Name, Day: g.items[k].Group.Day, Content: seal.Hash(tail[len(tail)-len(seal.Hash{}):])})
		if g.fresh[k] {
			fate = Accepted
		} else if fate == NotTracked {
			fate = Duplicate
		}
	}
	return fate, placed
}

// committer writes what several requests have gathered in one go: while one sync is under way, others gather for the next.
type committer struct {
	spool  *spool.Store
	queue  chan *Gathering
	mu     sync.RWMutex // guards closed; held for reading by who sends
	closed bool
	group  sync.WaitGroup
	taken  atomic.Int64 // how many events were handed over
}

const (
	// committers is how many batches are under way at a time: one is written while the other waits for the disk.
	committers = 2
	// commitItems and commitBytes are when a batch takes no more requests.
	commitItems = 20_000
	commitBytes = 8 << 20
	commitQueue = 1024
	// Where many requests come at a time, a batch waits that long for more of them: after a sync all who waited for it send their next, one after the other, and
	// without it the first would have a sync to itself.
	manyRequests = 8
	linger       = 2 * time.Millisecond
)

func startCommitter(s *spool.Store) *committer {
	c := &committer{spool: s, queue: make(chan *Gathering, commitQueue)}
	for range committers {
		c.group.Go(c.run)
	}
	return c
}

func (c *committer) hand(ctx context.Context, g *Gathering) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return fmt.Errorf("take in: %w", spool.ErrStopped)
	}
	select {
	case c.queue <- g:
		c.taken.Add(int64(len(g.items)))
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *committer) run() {
	var group []*Gathering
	var items []spool.Item
	var fresh []bool
	for first := range c.queue {
		many := len(group) >= manyRequests // the last time
		group = c.gather(append(group[:0], first), many)
		items, fresh = c.commit(group, items[:0], fresh[:0])
		clear(items) // they hold on to what was gathered
		clear(group)
	}
}

// gather adds those that wait to a group; where many come at a time, those that come soon as well.
func (c *committer) gather(group []*Gathering, many bool) []*Gathering {
	var over <-chan time.Time
	if many {
		t := time.NewTimer(linger)
		defer t.Stop()
		over = t.C
	}
	size, count := group[0].Size(), len(group[0].items)
	for size < commitBytes && count < commitItems {
		var g *Gathering
		select {
		case g = <-c.queue: // nil once it is closed
		default:
			if over == nil {
				return group
			}
			select {
			case g = <-c.queue:
			case <-over:
				return group
			}
		}
		if g == nil {
			return group
		}
		group = append(group, g)
		size += g.Size()
		count += len(g.items)
	}
	return group
}

func (c *committer) commit(group []*Gathering, items []spool.Item, fresh []bool) ([]spool.Item, []bool) {
	if len(group) == 1 {
		g := group[0]
		g.done <- c.spool.AppendEach(g.items, g.fresh)
		return items, fresh
	}
	for _, g := range group {
		items = append(items, g.items...)
	}
	fresh = append(fresh, make([]bool, len(items))...)
	err := c.spool.AppendEach(items, fresh)
	at := 0
	for _, g := range group {
		at += copy(g.fresh, fresh[at:at+len(g.items)])
		g.done <- err
	}
	return items, fresh
}

// stop ends the committer once all that was handed to it is written.
func (c *committer) stop() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	c.mu.Unlock()
	c.group.Wait()
}

// tallied is what was counted of events that were taken in since the last seal was told.
type tallied struct {
	mu                              sync.Mutex
	duplicates, notTracked, refused int64
	hashes                          []seal.Hash // of what was refused
}

func (s *Standing) count(g *Gathering) {
	var duplicates, notTracked int64
	for i := range g.ends {
		if g.placed(i) == 0 {
			notTracked++
		}
	}
	for _, fresh := range g.fresh {
		if !fresh {
			duplicates++
		}
	}
	if duplicates+notTracked == 0 {
		return
	}
	s.tallied.mu.Lock()
	defer s.tallied.mu.Unlock()
	s.tallied.duplicates += duplicates
	s.tallied.notTracked += notTracked
}

// Flush writes down what was counted since, for the next seal to tell: duplicates and events that no trail took, and records that were refused. After an error all of it is
// counted, and written the next time.
func (s *Standing) Flush(refused int64, hashes []seal.Hash) error {
	t := &s.tallied
	t.mu.Lock()
	left := carry{Quarantined: t.refused, Hashes: t.hashes, NotTracked: t.notTracked, Duplicates: t.duplicates}.plus(carry{Quarantined: refused, Hashes: hashes})
	t.duplicates, t.notTracked, t.refused, t.hashes = 0, 0, 0, nil
	t.mu.Unlock()
	err := s.state.keep(left)
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		sum := left.plus(carry{Quarantined: t.refused, Hashes: t.hashes, NotTracked: t.notTracked, Duplicates: t.duplicates})
		t.duplicates, t.notTracked, t.refused, t.hashes = sum.Duplicates, sum.NotTracked, sum.Quarantined, sum.Hashes
	}
	return err
}
