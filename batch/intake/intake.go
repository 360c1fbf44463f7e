// Package intake takes events in: it opens files, tells their format, decodes their records, redacts secrets, and hands each event on with its
// evidence row.
//
// Every record that is read ends in exactly one of two places: handed on, or in quarantine with the reason. A file that can't be read to its end is
// a fault of its own, told by name; what came before its broken part stands, and the other files are read all the same. Memory does not depend on
// the size of the input.
package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/event"
	"daybook/formats"
)

// FutureTolerance is how far beyond its receipt an event's time may lie before it is suspect.
const FutureTolerance = 15 * time.Minute

// Settings say how records become events.
type Settings struct {
	// From is the name of the input format, or Auto.
	From string
	// Source names the feed, for events that do not name theirs; blank: the name of the input format.
	Source string
	// Org is the tenant, for events that do not name theirs.
	Org string
	// BindOrg and BindSource, where they are not blank, are what a credential is bound to: every event gets them. A record that names others is kept in raw,
	// as it came but redacted, and the event is flagged.
	BindOrg, BindSource string
	// Received is when the events came, for those that are taken live: they bear it. Zero for files.
	Received time.Time
	// AsOf stands for the receipt time, which imported files do not have.
	AsOf time.Time
	// PlausibleAfter is the earliest time that is believed.
	PlausibleAfter time.Time
	// RecordLimit is how many bytes a record may have.
	RecordLimit int
	// ContentLimit is how many bytes a file or body may hold, uncompressed; 0: any number.
	ContentLimit int64
	// Window is how many bytes a zstd frame may ask us to remember; 0: 64 MiB.
	Window int
	// Ratio is how much a compressed file may grow.
	Ratio int64
	// Reading is told how many bytes of a stream's content were read so far, uncompressed; an error ends the stream as one of reading does. Nil: nobody asks.
	Reading func(bytes int64) error
	// Workers is how many goroutines decode.
	Workers int
	// Skip are folders that are passed over inside of others: Daybook's own.
	Skip []string
	// Redactor takes secrets out.
	Redactor *Redactor
}

// Taken is an event that was taken in.
type Taken struct {
	Event *event.Event
	// Row is its evidence row.
	Row []byte
	// Ordinal says that the id was made from the content, and ends in digits that are to be its ordinal among equals.
	Ordinal bool
	// Suspect says that the event's time is not believed.
	Suspect bool
	// Outcome is what stands in the record as an outcome that is not known, without secrets, cut and quoted to be shown; "" if the outcome is known.
	Outcome string
}

// Taker is where a worker hands its events on. What a Taken points to holds until Take returns. Each worker has a Taker of its own.
type Taker interface {
	Take(Taken) error
	// Close is called once, after the last Take.
	Close() error
}

// FileFault is a file that could not be read, or not to its end.
type FileFault struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Report says what an import met.
type Report struct {
	// Files is how many files were read; Skipped how many hold no events by their nature (CloudTrail digests, empty files).
	Files, Skipped int64
	// Hidden is what was passed over besides.
	Hidden Hidden
	// Faults are the files that could not be read, or not to their end.
	Faults []FileFault
	// Read is how many records were read: Taken were handed on, Quarantined put away.
	Read, Taken, Quarantined int64
	// Bytes is the size of the content read, uncompressed.
	Bytes int64
}

// Import reads the files that paths name and hands their events to the takers, one for each of settings.Workers. done is told how many bytes of the
// files, as they lie there, have been read since it was last told. The error is one that stopped the import; faults of single files and records
// are not.
func Import(ctx context.Context, paths []string, stdin io.Reader, settings Settings, q *Quarantine, takers func() Taker, done func(n int64)) (Report, error) {
	c, err := newContents(&settings)
	if err != nil {
		return Report{}, err
	}
	im := importer{contents: c, q: q, done: done}
	files, hidden, err := inputs(paths, settings.Skip, stdin, im.fault)
	if err != nil {
		return Report{}, err
	}
	im.report.Hidden = hidden
	workers := max(settings.Workers, 1)
	batches := make(chan *recordBatch, workers)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		return im.readAll(ctx, files, batches)
	})
	for range workers {
		taker := takers()
		group.Go(func() error {
			w := worker{im: &im, taker: taker, decoder: eventDecoder{settings: &settings}}
			err := w.run(ctx, batches)
			return errors.Join(err, taker.Close())
		})
	}
	err = group.Wait()
	im.report.Read, im.report.Taken, im.report.Quarantined = im.records.Load(), im.taken.Load(), q.Count()
	slices.SortFunc(im.report.Faults, func(a, b FileFault) int { return strings.Compare(a.File, b.File) })
	if err == nil && im.report.Read != im.report.Taken+im.report.Quarantined {
		err = fmt.Errorf("counts disagree: %d records read, %d taken, %d quarantined", im.report.Read, im.report.Taken, im.report.Quarantined)
	}
	return im.report, err
}

// Sizes returns the bytes that the files named by paths have, as far as that is known, but for those in folders that are passed over.
func Sizes(paths, skip []string) int64 {
	files, _, err := inputs(paths, skip, nil, func(string, string) {})
	if err != nil {
		return 0
	}
	var sum int64
	for _, f := range files {
		sum += f.size
	}
	return sum
}

type importer struct {
	contents
	q      *Quarantine
	done   func(n int64)
	report Report // the reader's, until all are done
	pool   sync.Pool

	records, taken atomic.Int64
}

func (im *importer) fault(file, reason string) {
	im.report.Faults = append(im.report.Faults, FileFault{file, reason})
}

// recordBatch is some records of one file, copied out of the reader's buffer.
type recordBatch struct {
	file    string
	decoder decoderEntry
	data    []byte
	records []recordAt
}

type recordAt struct{ off, end, line int }

const (
	batchBytes   = 256 << 10
	batchRecords = 512
	// maxPooled is the size up to which a batch is used again: those that long records blew up are let go.
	maxPooled = 4 * batchBytes
)

func (im *importer) batch(file string, d decoderEntry) *recordBatch {
	b, ok := im.pool.Get().(*recordBatch)
	if !ok {
		b = &recordBatch{}
	}
	b.file, b.decoder, b.data, b.records = file, d, b.data[:0], b.records[:0]
	return b
}

func (im *importer) readAll(ctx context.Context, files []input, out chan<- *recordBatch) error {
	for _, f := range files {
		if err := im.readFile(ctx, f, out); err != nil {
			return err
		}
	}
	return nil
}

// readFile returns an error only for what must stop the import.
func (im *importer) readFile(ctx context.Context, f input, out chan<- *recordBatch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var file io.ReadCloser
	if f.waits {
		file = openAside(ctx, f)
	} else {
		var err error
		if file, err = f.open(); err != nil {
			im.fault(f.name, plain(err))
			return nil
		}
	}
	defer file.Close() // it was only read
	raw := &countReader{ctx: ctx, r: file}
	told := int64(0)
	tell := func() {
		im.done(raw.n - told)
		told = raw.n
	}
	defer tell()
	if err := im.readContent(ctx, f.name, raw, func(b *recordBatch) error {
		tell()
		select {
		case out <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}); err != nil {
		return err
	}
	return ctx.Err() // which reads as a fault of the file, and is none
}

func (im *importer) readContent(ctx context.Context, name string, raw *countReader, send func(*recordBatch) error) error {
	var b *recordBatch
	got, err := im.read(ctx, raw, func(entry decoderEntry, record formats.Record, _ bool) error {
		im.records.Add(1)
		if record.Rest != nil {
			return im.q.Add(name, record.Line, im.settings.tooLong(), record.Data, record.Rest)
		}
		if b == nil {
			b = im.batch(name, entry)
		}
		off := len(b.data)
		b.data = append(b.data, record.Data...)
		b.records = append(b.records, recordAt{off, len(b.data), record.Line})
		if len(b.data) < batchBytes && len(b.records) < batchRecords {
			return nil
		}
		full := b
		b = nil
		return send(full)
	})
	im.report.Bytes += got.bytes
	if got.opened {
		im.report.Files++
	}
	if got.skipped {
		im.report.Skipped++
	}
	if got.fault != nil {
		im.fault(name, faultOf(got))
	}
	if err == nil && b != nil {
		err = send(b)
	}
	return err
}

// faultOf says what is wrong with a file, and what to do about it.
func faultOf(got content) string {
	switch reason := got.fault.Error(); {
	case got.opened:
		return fmt.Sprintf("broken: %s; what came before that stands; mend the file and export it again", reason)
	case errors.Is(got.fault, ErrUnrecognised):
		return reason + "; if it is one of them, say which with --from"
	default:
		return reason
	}
}

// worker decodes batches.
type worker struct {
	im      *importer
	taker   Taker
	decoder eventDecoder
}

func (w *worker) run(ctx context.Context, in <-chan *recordBatch) error {
	for b := range in {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, at := range b.records {
			record := b.data[at.off:at.end:at.end]
			taken, err := w.decoder.decode(b.decoder, record)
			if err != nil {
				if err := w.im.q.Add(b.file, at.line, err.Error(), record, nil); err != nil {
					return err
				}
				continue
			}
			if err := w.taker.Take(taken); err != nil {
				return err
			}
			w.im.taken.Add(1)
		}
		if cap(b.data) <= maxPooled {
			w.im.pool.Put(b)
		}
	}
	return nil
}
