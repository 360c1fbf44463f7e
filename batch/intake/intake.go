// Package intake takes events in: it opens files, tells their format, decodes their records, redacts secrets, and hands each event on with its
// evidence row.
//
// Every record that is read ends in exactly one of two places: handed on, or in quarantine with the reason. A file that can't be read to its end is
// a fault of its own, told by name; what came before its broken part stands, and the other files are read all the same. Memory does not depend on
// the size of the input.
package intake

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/event"
	"daybook/formats/cloudtrail"
	"daybook/formats/jsontext"
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
	// AsOf stands for the receipt time, which imported files do not have.
	AsOf time.Time
	// PlausibleAfter is the earliest time that is believed.
	PlausibleAfter time.Time
	// RecordLimit is how many bytes a record may have.
	RecordLimit int
	// Ratio is how much a compressed file may grow.
	Ratio int64
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
	var im importer
	im.settings, im.q, im.done = settings, q, done
	if settings.From != Auto {
		d, err := decoderNamed(settings.From)
		if err != nil {
			return Report{}, err
		}
		im.forced = &d
	}
	files, err := inputs(paths, settings.Skip, stdin, im.fault)
	if err != nil {
		return Report{}, err
	}
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
			w := worker{im: &im, taker: taker}
			err := w.run(ctx, batches)
			return errors.Join(err, taker.Close())
		})
	}
	err = group.Wait()
	im.report.Read, im.report.Taken, im.report.Quarantined = im.read.Load(), im.taken.Load(), q.Count()
	slices.SortFunc(im.report.Faults, func(a, b FileFault) int { return strings.Compare(a.File, b.File) })
	if err == nil && im.report.Read != im.report.Taken+im.report.Quarantined {
		err = fmt.Errorf("counts disagree: %d records read, %d taken, %d quarantined", im.report.Read, im.report.Taken, im.report.Quarantined)
	}
	return im.report, err
}

// Sizes returns the bytes that the files named by paths have, as far as that is known, but for those in folders that are passed over.
func Sizes(paths, skip []string) int64 {
	files, err := inputs(paths, skip, nil, func(string, string) {})
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
	settings Settings
	forced   *decoderEntry
	q        *Quarantine
	done     func(n int64)
	report   Report // the reader's, until all are done
	pool     sync.Pool

	read, taken atomic.Int64
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
	content, closeContent, err := decompress(raw, im.settings.Ratio)
	if err != nil {
		im.fault(name, plain(err))
		return nil
	}
	defer closeContent()
	counted := &countReader{ctx: ctx, r: content}
	defer func() { im.report.Bytes += counted.n }()
	buffered := bufio.NewReaderSize(counted, headSize)
	head, err := buffered.Peek(headSize)
	if err != nil && err != io.EOF && len(bytes.TrimSpace(head)) == 0 {
		im.fault(name, plain(err))
		return nil
	}
	entry, skip, reason := im.choose(head)
	switch {
	case skip:
		im.report.Skipped++
		return nil
	case reason != "":
		im.fault(name, reason)
		return nil
	}
	im.report.Files++

	var b *recordBatch
	for record, err := range entry.decoder.Records(buffered, im.settings.RecordLimit) {
		if err != nil {
			im.fault(name, fmt.Sprintf("broken: %s; what came before that stands; mend the file and export it again", plain(err)))
			break
		}
		im.read.Add(1)
		if record.Rest != nil {
			reason := fmt.Sprintf("record is longer than %d bytes: raise limits.record to have it read", im.settings.RecordLimit)
			if err := im.q.Add(name, record.Line, reason, record.Data, record.Rest); err != nil {
				return err
			}
			continue
		}
		if b == nil {
			b = im.batch(name, entry)
		}
		off := len(b.data)
		b.data = append(b.data, record.Data...)
		b.records = append(b.records, recordAt{off, len(b.data), record.Line})
		if len(b.data) >= batchBytes || len(b.records) == batchRecords {
			if err := send(b); err != nil {
				return err
			}
			b = nil
		}
	}
	if b != nil {
		return send(b)
	}
	return nil
}

// choose tells how to read a file from the beginning of its content; or that it holds no events by its nature; or why it can't be read.
func (im *importer) choose(head []byte) (d decoderEntry, skip bool, reason string) {
	switch {
	case len(bytes.TrimSpace(head)) == 0 && len(head) < headSize:
		return decoderEntry{}, true, ""
	case foreign(head) != "":
		return decoderEntry{}, false, foreign(head)
	case im.forced != nil:
		return *im.forced, false, ""
	case cloudtrail.IsDigest(head):
		return decoderEntry{}, true, ""
	}
	d, ok := detect(head)
	if !ok {
		return decoderEntry{}, false, fmt.Sprintf("not recognised as any of %s; if it is one of them, say which with --from", strings.Join(Names(), ", "))
	}
	return d, false, ""
}

// worker decodes batches.
type worker struct {
	im    *importer
	taker Taker
	event event.Event
	row   []byte
}

func (w *worker) run(ctx context.Context, in <-chan *recordBatch) error {
	for b := range in {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, at := range b.records {
			record := b.data[at.off:at.end:at.end]
			taken, err := w.decode(b, record)
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

// decode makes an event of a record. An error is the reason why it can't be read.
func (w *worker) decode(b *recordBatch, record []byte) (Taken, error) {
	e, settings := &w.event, &w.im.settings
	e.Reset()
	err := b.decoder.decoder.Decode(record, e)
	switch {
	case errors.Is(err, jsontext.ErrUTF8):
		if err := w.decodeInvalid(b, record); err != nil {
			return Taken{}, err
		}
	case err != nil:
		return Taken{}, err
	default:
		settings.Redactor.Redact(e)
	}
	if e.Get(event.Source) == "" {
		e.Set(event.Source, settings.sourceOf(b.decoder.name))
	}
	if e.Get(event.Org) == "" {
		e.Set(event.Org, settings.Org)
	}
	if !event.PlausibleIP(e.Get(event.IP)) {
		e.Flag(event.FlagIPInvalid)
	}
	if year := e.Time.Year(); year < 1 || year > 9999 || e.Time.IsZero() {
		return Taken{}, fmt.Errorf("time is in the year %d: UTC times are written with the years 1 to 9999, and its first instant stands for none", year)
	}
	suspect := e.Time.After(settings.AsOf.Add(FutureTolerance)) || e.Time.Before(settings.PlausibleAfter)
	if suspect {
		e.Flag(event.FlagTimeSuspect)
	}
	ordinal := e.Get(event.ID) == ""
	if ordinal {
		w.nameByContent(e)
	}
	w.row = e.AppendJSON(w.row[:0])
	return Taken{e, w.row, ordinal, suspect}, nil
}

func (s *Settings) sourceOf(format string) string {
	if s.Source != "" {
		return s.Source
	}
	return format
}

// nameByContent gives an event without an id one that is made from its content: 24 hex digits of its content hash, then the digits for its ordinal
// among equals. The hash is over the redacted row, so that no secret can be guessed from it.
func (w *worker) nameByContent(e *event.Event) {
	e.Unset(event.ID)
	w.row = e.AppendJSON(w.row[:0])
	hash := e.ContentHash(w.row)
	e.Set(event.ID, hex.EncodeToString(hash[:12])+"00000000")
}

// tokenMember finds the value of a member token_last4, in a record of any encoding.
var tokenMember = regexp.MustCompile(`"token_last4"\s*:\s*("(?:[^"\\]|\\.)*"|[^\s,}"]+)`)

// cutToken cuts a token that the source forgot to cut, as the event has it.
func cutToken(record []byte, e *event.Event) []byte {
	var out []byte
	last := 0
	for _, at := range tokenMember.FindAllSubmatchIndex(record, -1) {
		if string(record[at[2]:at[3]]) != "null" {
			out = event.AppendQuoted(append(out, record[last:at[2]]...), e.Get(event.TokenLast4))
			last = at[3]
		}
	}
	return append(out, record[last:]...)
}

// decodeInvalid decodes a record that is not valid UTF-8: its fields get U+FFFD for what is broken, raw gets the bytes, redacted, in base64.
func (w *worker) decodeInvalid(b *recordBatch, record []byte) error {
	e := &w.event
	e.Reset()
	if err := b.decoder.decoder.Decode(bytes.ToValidUTF8(record, []byte("\ufffd")), e); err != nil {
		return err
	}
	e.Unset(event.Raw)
	w.im.settings.Redactor.Redact(e)
	redacted, _ := w.im.settings.Redactor.RedactBytes(cutToken(record, e))
	e.Set(event.Raw, `{"base64":"`+base64.StdEncoding.EncodeToString(redacted)+`"}`)
	e.Flag(event.FlagInvalidUTF8)
	return nil
}
