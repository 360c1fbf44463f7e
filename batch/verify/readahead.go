package verify

import (
	"context"
	"errors"
	"sync"

	"daybook/batch/seal"
	"daybook/sink"
)

// sealRead is a manifest and note as they were read.
type sealRead struct {
	n                    uint64
	has                  uint8
	manifestAt, noteAt   located
	manifest, note       []byte
	manifestErr, noteErr error
	size                 int64
	done                 chan struct{}
}

// maxAhead bounds the bytes of manifests and notes that are read before they are due.
const maxAhead = 8 << 20

// readAhead reads the seals that come next while one is checked: a bucket takes long to answer.
type readAhead struct {
	w      *walk
	begun  int // of the trail's list
	size   int64
	queue  []*sealRead
	atWork sync.WaitGroup
}

// next returns the next seal of the list.
func (a *readAhead) next(ctx context.Context) *sealRead {
	for a.begun < len(a.w.list.numbers) && (len(a.queue) == 0 || len(a.queue) < 2*a.w.v.o.Workers && a.size < maxAhead) {
		a.begin(ctx)
	}
	r := a.queue[0]
	a.queue = a.queue[1:]
	<-r.done
	a.size -= r.size
	return r
}

func (a *readAhead) begin(ctx context.Context) {
	w := a.w
	n, has := w.list.numbers[a.begun], w.list.has[a.begun]
	a.begun++
	dir := sealDir(w.encoded, n)
	r := &sealRead{n: n, has: has, manifestAt: located{key: dir + manifestName}, noteAt: located{key: dir + noteName}, done: make(chan struct{})}
	if has&hasManifest != 0 {
		r.manifestAt = w.v.locate(r.manifestAt.key, w.about(n, ""))
	}
	if has&hasNote != 0 {
		r.noteAt = w.v.locate(r.noteAt.key, w.about(n, ""))
	}
	late := has == hasManifest && w.leaf(n) == nil // a note is put after its manifest, and may have come since
	r.size = min(max(r.manifestAt.size, 0), seal.MaxManifest) + min(max(r.noteAt.size, 0), seal.MaxNote)
	a.size += r.size
	a.queue = append(a.queue, r)
	a.atWork.Go(func() {
		defer close(r.done)
		if r.manifestAt.there {
			r.manifest, r.manifestErr = w.v.read(ctx, r.manifestAt, seal.MaxManifest)
		}
		if r.noteAt.there {
			r.note, r.noteErr = w.v.read(ctx, r.noteAt, seal.MaxNote)
		} else if late {
			if note, err := w.v.read(ctx, r.noteAt, seal.MaxNote); !errors.Is(err, sink.ErrNotExist) {
				r.note, r.noteErr, r.noteAt.there = note, err, true
				r.has |= hasNote
			}
		}
	})
}

// wait returns when nothing is being read any more.
func (a *readAhead) wait() { a.atWork.Wait() }
