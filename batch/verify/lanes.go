package verify

import (
	"sync"
	"sync/atomic"

	"daybook/event"
	"daybook/formats/jsonl"
)

// lanes are the renderings of a part being compared, each by a goroutine of its own: one day with one part then keeps several cores at work.
type lanes struct {
	queues []chan *chunk
	atWork sync.WaitGroup
	pool   sync.Pool
	open   *chunk // being filled
}

// chunk is rows that all lanes compare; the last one to be done puts it back.
type chunk struct {
	arena  []byte // the rows, which the events share memory with
	events []event.Event
	users  atomic.Int32
}

const (
	chunkRows  = 256
	chunkBytes = 256 << 10
	laneQueue  = 2
)

func startLanes(checks []*check) *lanes {
	l := &lanes{}
	for _, c := range checks {
		queue := make(chan *chunk, laneQueue)
		l.queues = append(l.queues, queue)
		l.atWork.Go(func() {
			for k := range queue {
				for i := range k.events {
					c.row(&k.events[i])
				}
				l.done(k)
			}
		})
	}
	return l
}

// room returns a chunk that has room for a row of so many bytes.
func (l *lanes) room(n int) *chunk {
	if k := l.open; k != nil && (len(k.events) == chunkRows || len(k.arena)+n > cap(k.arena)) {
		l.flush()
	}
	if l.open == nil {
		k, ok := l.pool.Get().(*chunk)
		if !ok {
			k = &chunk{events: make([]event.Event, 0, chunkRows), arena: make([]byte, 0, chunkBytes)}
		}
		if cap(k.arena) < n {
			k.arena = make([]byte, 0, n)
		}
		k.arena, k.events = k.arena[:0], k.events[:0]
		l.open = k
	}
	return l.open
}

// add reads a row, for which there is room.
func (k *chunk) add(row []byte) (*event.Event, error) {
	off := len(k.arena)
	k.arena = append(k.arena, row...)
	k.events = k.events[:len(k.events)+1]
	e := &k.events[len(k.events)-1]
	if err := jsonl.ParseRow(k.arena[off:len(k.arena):len(k.arena)], e); err != nil {
		k.arena, k.events = k.arena[:off], k.events[:len(k.events)-1]
		return nil, err
	}
	return e, nil
}

// drop takes the last row out again: it is at fault, and no rendering is to be compared with it.
func (k *chunk) drop() { k.events = k.events[:len(k.events)-1] }

// flush hands on what was gathered.
func (l *lanes) flush() {
	k := l.open
	l.open = nil
	if k == nil || len(l.queues) == 0 {
		return
	}
	k.users.Store(int32(len(l.queues)))
	for _, q := range l.queues {
		q <- k
	}
}

func (l *lanes) done(k *chunk) {
	if k.users.Add(-1) == 0 && cap(k.arena) <= 2*chunkBytes {
		l.pool.Put(k)
	}
}

// wait returns when all that was handed on was compared.
func (l *lanes) wait() {
	for _, q := range l.queues {
		close(q)
	}
	l.atWork.Wait()
}
