package spool

import (
	"cmp"
	"io"
	"slices"

	"daybook/event"
)

// maxFanIn is how many runs are merged at once. Each costs a buffer of readBuffer bytes.
const maxFanIn = 256

// open returns a merge of all that the runs hold of a trail's day, with no more than maxFanIn runs at once.
func (s *Sorter) open(trail uint16, day event.Day) (*mergeHeap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// All runs, not those with this day only: a run must not be merged away while another scan reads it.
	if err := s.reduceRuns(maxFanIn); err != nil {
		return nil, err
	}
	h := &mergeHeap{pool: s.readers}
	for _, r := range s.runs {
		if seg, ok := r.find(trail, day); ok {
			if err := h.add(r.file, seg.off, seg.end); err != nil {
				h.close()
				return nil, err
			}
		}
	}
	return h, h.init()
}

// reduceRuns merges the smallest runs until there are no more than limit.
func (s *Sorter) reduceRuns(limit int) error {
	for len(s.runs) > limit {
		slices.SortStableFunc(s.runs, func(a, b *run) int { return cmp.Compare(a.size, b.size) })
		n := min(maxFanIn, len(s.runs)-limit+1)
		merged, err := s.mergeRuns(s.runs[:n])
		if err != nil {
			return err
		}
		old := s.runs[:n]
		s.runs = append([]*run{merged}, s.runs[n:]...)
		for i, r := range old {
			if err := r.remove(); err != nil {
				s.runs = append(s.runs, old[i+1:]...) // for Close to remove
				return err
			}
		}
	}
	return nil
}

func (s *Sorter) mergeRuns(runs []*run) (*run, error) {
	h := &mergeHeap{pool: s.readers}
	defer h.close()
	for _, r := range runs {
		if err := h.add(r.file, 0, r.size); err != nil {
			return nil, err
		}
	}
	if err := h.init(); err != nil {
		return nil, err
	}
	out, err := newRunWriter(s.dir, nil)
	if err != nil {
		return nil, err
	}
	if err := h.writeTo(out); err != nil {
		out.abandon()
		return nil, err
	}
	merged, err := out.finish()
	if err != nil {
		out.abandon()
		return nil, err
	}
	return merged, nil
}

// mergeHeap is a binary heap of readers, the one with the least record on top.
type mergeHeap struct {
	readers []*reader
	err     error
	large   []byte // the row of the top, where the reader does not have it
	pool    *readerPool
}

// readerPool keeps readers and their buffers for the next scan: there may be ten thousand short ones.
type readerPool struct{ free chan *reader }

func newReaderPool() *readerPool { return &readerPool{make(chan *reader, maxFanIn)} }

func (p *readerPool) get() *reader {
	select {
	case r := <-p.free:
		return r
	default:
		return &reader{}
	}
}

func (p *readerPool) put(r *reader) {
	if cap(r.buf) > 2*readBuffer {
		return
	}
	select {
	case p.free <- r:
	default:
	}
}

// add adds a part of a run; init is called after the last.
func (h *mergeHeap) add(file io.ReaderAt, off, end int64) error {
	r := h.pool.get()
	r.reset(file, off, end)
	more, err := r.next()
	if err != nil || !more {
		h.pool.put(r)
		return err
	}
	h.readers = append(h.readers, r)
	return nil
}

func (h *mergeHeap) init() error {
	for i := len(h.readers)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h.err
}

// min returns the reader with the least record, nil at the end.
func (h *mergeHeap) min() (*reader, error) {
	if h.err != nil || len(h.readers) == 0 {
		return nil, h.err
	}
	return h.readers[0], nil
}

// advance moves past the least record.
func (h *mergeHeap) advance() {
	more, err := h.readers[0].next()
	if err != nil {
		h.err = err
		return
	}
	if !more {
		last := len(h.readers) - 1
		h.pool.put(h.readers[0])
		h.readers[0] = h.readers[last]
		h.readers = h.readers[:last]
	}
	h.down(0)
}

func (h *mergeHeap) less(i, j int) bool {
	c, err := compareReaders(h.readers[i], h.readers[j])
	if err != nil && h.err == nil {
		h.err = err
	}
	return c < 0
}

func (h *mergeHeap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.readers) {
			return
		}
		if child+1 < len(h.readers) && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return
		}
		h.readers[i], h.readers[child] = h.readers[child], h.readers[i]
		i = child
	}
}

func (h *mergeHeap) writeTo(out *runWriter) error {
	var head []byte
	for {
		r, err := h.min()
		if err != nil || r == nil {
			return err
		}
		row, err := r.loadRow(&h.large)
		if err != nil {
			return err
		}
		g := groupOf(r.key)
		head = appendHead(head[:0], len(r.key), len(row), r.flags)
		if err := out.add(g.Trail, g.Day, head, r.key, row); err != nil {
			return err
		}
		h.advance()
	}
}

// close gives the readers back.
func (h *mergeHeap) close() {
	for _, r := range h.readers {
		h.pool.put(r)
	}
	h.readers = nil
}
