package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/cef"
	"daybook/formats/csv"
	"daybook/formats/jsonl"
	"daybook/formats/parquet"
	"daybook/formats/syslog"
)

// maxRow is how long a row of the evidence may be to be compared, in bytes.
const maxRow = 64 << 20

// deepFile is a file that is to be compared, and where it lies.
type deepFile struct {
	seal.File
	at located
}

// deepDay is the comparison of a seal: what its parts found is put together by the last of them.
type deepDay struct {
	v     *verifier
	m     *seal.Manifest // without its files
	about Finding

	mu      sync.Mutex // guards what follows
	left    int
	classes map[string][]*deepPart
	whole   bool // all of the evidence was read
	suspect int64
}

// deepPart is a part of a class's evidence, with the renderings of the same events.
type deepPart struct {
	evidence   deepFile
	renderings []deepFile
	// first and last are the keys of its first and last row, by which the order from part to part is checked.
	first, last []byte
	rows        int64
}

// compare hands the comparison of a seal's renderings with its evidence to the workers. here are the files that can be read.
func (v *verifier) compare(m *seal.Manifest, here map[string]located) {
	head := *m
	head.Files = nil
	d := &deepDay{v: v, m: &head, about: Finding{Trail: m.Trail, Seal: m.Seal, Day: &head.Day}, classes: map[string][]*deepPart{}, whole: true}
	split := map[string][]deepFile{} // by class, of projects
	byPart := map[string]map[int]*deepPart{}
	part := func(f *seal.File) *deepPart {
		if byPart[f.Class] == nil {
			byPart[f.Class] = map[int]*deepPart{}
		}
		if byPart[f.Class][f.Part] == nil {
			byPart[f.Class][f.Part] = &deepPart{}
		}
		return byPart[f.Class][f.Part]
	}
	for i := range m.Files {
		f := &m.Files[i]
		at, ok := here[f.Key]
		switch {
		case f.Format == formats.JSONL.Name:
			p := part(f)
			p.evidence = deepFile{*f, at}
			d.whole = d.whole && ok
		case !ok:
		case f.Split == seal.Whole:
			p := part(f)
			p.renderings = append(p.renderings, deepFile{*f, at})
		default:
			split[f.Class] = append(split[f.Class], deepFile{*f, at})
		}
	}
	var tasks []func(context.Context)
	for class, parts := range byPart {
		for n := 1; n <= len(parts); n++ {
			p := parts[n]
			if p == nil { // Manifest.Check has seen to that
				continue
			}
			if !p.evidence.at.there {
				for _, f := range p.renderings {
					d.notCompared(f.Key)
				}
				continue
			}
			d.classes[class] = append(d.classes[class], p)
			tasks = append(tasks, func(ctx context.Context) { d.comparePart(ctx, p) })
		}
		if files := split[class]; len(files) > 0 {
			evidence := d.classes[class]
			if len(evidence) < len(parts) {
				d.notCompared(files[0].Key)
				continue
			}
			tasks = append(tasks, func(ctx context.Context) { d.compareProjects(ctx, evidence, files) })
		}
	}
	d.left = len(tasks)
	for _, task := range tasks {
		v.tasks <- func(ctx context.Context) {
			task(ctx)
			d.done()
		}
	}
}

func (d *deepDay) add(code, key, expected, found string) {
	f := d.about
	f.Code, f.Key, f.Expected, f.Found = code, key, expected, found
	d.v.add(f)
}

func (d *deepDay) notCompared(key string) {
	d.add(codeNotCompared, key, "", "no evidence")
}

// done is called after each task; the last of a seal checks what holds across parts.
func (d *deepDay) done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left > 0 {
		return
	}
	for _, parts := range d.classes {
		var last []byte
		for _, p := range parts {
			if last != nil && p.first != nil && bytes.Compare(last, p.first) >= 0 {
				d.add(codeRowOrder, p.evidence.Key, "a first row after the last of the part before", "an earlier one, or the same")
			}
			last = p.last
		}
	}
	if d.whole && d.suspect != d.m.Counts.TimeSuspect {
		d.add(codeSuspectCount, seal.ManifestKey(d.m.Trail, d.m.Seal), fmt.Sprintf("%d events of suspect time", d.m.Counts.TimeSuspect), fmt.Sprint(d.suspect))
	}
}

// failed says that the evidence, or part of it, was not read to its end.
func (d *deepDay) failed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.whole = false
}

// comparePart goes through a part of the evidence with all its renderings in step.
func (d *deepDay) comparePart(ctx context.Context, p *deepPart) {
	rows, err := d.openEvidence(ctx, p.evidence)
	if err != nil {
		d.failed()
		return // told where it was read for its hash
	}
	defer rows.close()
	var checks []*check
	defer func() {
		for _, c := range checks {
			c.close()
		}
	}()
	for _, f := range p.renderings {
		if c := d.open(ctx, f); c != nil {
			checks = append(checks, c)
		}
	}
	lane := startLanes(checks)
	found := d.readRows(ctx, p, rows, lane)
	lane.wait()
	if !rows.whole() {
		d.failed()
		return
	}
	d.times(p.evidence.File, found.first, found.last)
	for _, c := range checks {
		c.end()
	}
	d.mu.Lock()
	d.suspect += found.suspect
	d.mu.Unlock()
}

// rowTimes is what the rows of a part say of time.
type rowTimes struct {
	first, last time.Time
	suspect     int64
}

// readRows goes through the rows of a part, checks their order and times, and hands them to those who compare renderings.
func (d *deepDay) readRows(ctx context.Context, p *deepPart, rows *evidence, to *lanes) (found rowTimes) {
	defer to.flush()
	var tail []byte
	for rows.next(ctx) {
		k := to.room(len(rows.row))
		e, err := k.add(rows.row)
		if err != nil {
			d.add(codeRowInvalid, p.evidence.Key, fmt.Sprintf("row %d as Daybook writes it", rows.n), err.Error())
			rows.stop()
			return found
		}
		tail = spool.AppendTail(tail[:0], e.Time, e.Get(event.ID), e.ContentHash(rows.row))
		if p.rows > 0 && bytes.Compare(p.last, tail) >= 0 {
			d.add(codeRowOrder, p.evidence.Key, fmt.Sprintf("row %d after the one before", rows.n), "an earlier one, or the same")
			k.drop()
			rows.stop()
			return found
		}
		if p.first == nil {
			p.first = slices.Clone(tail)
		}
		p.last = append(p.last[:0], tail...)
		p.rows++
		if e.HasFlag(event.FlagTimeSuspect) {
			found.suspect++
		} else if e.Time.Before(d.m.Start) || !e.Time.Before(d.m.End) {
			d.add(codeRowTime, p.evidence.Key, fmt.Sprintf("row %d within %s to %s", rows.n, stamp(d.m.Start), stamp(d.m.End)), stamp(e.Time))
			k.drop()
			rows.stop()
			return found
		}
		if p.rows == 1 || e.Time.Before(found.first) {
			found.first = e.Time
		}
		if e.Time.After(found.last) {
			found.last = e.Time
		}
	}
	return found
}

// times checks that the first and last event time of a manifest are those of the rows.
func (d *deepDay) times(f seal.File, first, last time.Time) {
	if !f.First.Equal(first) || !f.Last.Equal(last) {
		d.add(codeTimesUntrue, f.Key, stamp(f.First)+" to "+stamp(f.Last), stamp(first)+" to "+stamp(last))
	}
}

// evidence reads the rows of an evidence file.
type evidence struct {
	d        *deepDay
	f        deepFile
	src      *source
	body     io.Closer
	unpacked scratch
	in       *jsonl.Reader
	row      []byte
	n        int64
	err      error // io.EOF at the end
}

var errStopped = errors.New("stopped")

func (d *deepDay) openEvidence(ctx context.Context, f deepFile) (*evidence, error) {
	body, err := d.v.store.Get(ctx, f.at.key, f.at.version)
	if err != nil {
		return nil, err
	}
	r := &evidence{d: d, f: f, body: body, src: d.v.newSource(body, f.Size)}
	text, err := r.unpacked.unpack(f.Compression, &chunked{src: r.src, buf: make([]byte, 64<<10)})
	if err != nil {
		r.close()
		return nil, err
	}
	r.in = jsonl.NewReader(io.LimitReader(text, mostRows(f.Size)), maxRow)
	return r, nil
}

// next reads a row into r.row.
func (r *evidence) next(ctx context.Context) bool {
	if r.err != nil {
		return false
	}
	if r.n%1024 == 0 && ctx.Err() != nil {
		r.err = ctx.Err()
		return false
	}
	if r.row, r.err = r.in.Next(); r.err != nil {
		return false
	}
	if r.n == r.f.Rows { // told where it was read for its hash
		r.err = errStopped
		return false
	}
	r.n++
	return true
}

func (r *evidence) stop() { r.err = errStopped }

// whole reports whether all rows that the manifest tells of were read, and no others are there.
func (r *evidence) whole() bool {
	return r.err == io.EOF && r.n == r.f.Rows
}

func (r *evidence) close() {
	if r.unpacked.zstd != nil {
		r.unpacked.zstd.Close()
	}
	_ = r.body.Close() // what was only read
}

// check is a rendering that is being compared.
type check struct {
	d       *deepDay
	f       deepFile
	body    *remembering
	checker formats.Checker
	closers []func() error
	over    bool // it was found wrong, or is done
	rows    int64
}

// remembering tells an error of the store from one of what it holds.
type remembering struct {
	io.ReadCloser
	v   *verifier
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.v.tell(int64(n))
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// open opens a rendering. It is nil if it can't be, which is then told.
func (d *deepDay) open(ctx context.Context, f deepFile) *check {
	body, err := d.v.store.Get(ctx, f.at.key, f.at.version)
	if err != nil {
		return nil // told where it was read for its hash
	}
	c := &check{d: d, f: f, body: &remembering{ReadCloser: body, v: d.v}, closers: []func() error{body.Close}}
	if err := c.begin(); err != nil {
		c.fault(err)
		c.close()
		return nil
	}
	return c
}

func (c *check) begin() error {
	if c.f.Format == formats.Parquet.Name {
		return c.beginParquet()
	}
	var unpacked scratch
	text, err := unpacked.unpack(c.f.Compression, c.body)
	if err != nil {
		return err
	}
	if unpacked.zstd != nil {
		c.closers = append(c.closers, func() error { unpacked.zstd.Close(); return nil })
	}
	text = cutText{text}
	switch c.f.Format {
	case formats.CSV.Name:
		c.checker = csv.NewChecker(text)
	case formats.CEF.Name:
		c.checker = cef.NewChecker(text)
	case formats.Syslog.Name:
		c.checker = syslog.NewChecker(text)
	default: // Manifest.Check knows no other
		return fmt.Errorf("format %q has no checker", c.f.Format)
	}
	return nil
}

// beginParquet opens a file of a format that is read here and there. What a store hands out in order only is put aside first.
func (c *check) beginParquet() error {
	m := c.d.m
	file := formats.File{Trail: m.Trail, Class: c.f.Class, Day: m.Day.Day, Addendum: m.Addendum}
	// A checker that was not closed keeps its decoders; closing it twice is allowed.
	c.closers = append(c.closers, func() error { return c.checker.Close() })
	if at, ok := c.body.ReadCloser.(io.ReaderAt); ok {
		c.checker = parquet.NewChecker(at, c.f.Size, file)
		return nil
	}
	c.checker = noChecker{}
	temp, err := c.d.v.temp("parquet-")
	if err != nil {
		c.body.err = err // ours, not the file's
		return err
	}
	c.closers = slices.Insert(c.closers, 1, temp.remove)
	n, err := io.Copy(temp, io.LimitReader(c.body, c.f.Size+1))
	if err == nil && n != c.f.Size {
		err = &formats.Malformed{Reason: fmt.Sprintf("it has not %d bytes", c.f.Size)}
	}
	c.checker = parquet.NewChecker(temp.File, c.f.Size, file)
	return err
}

// cutText is the text of a rendering. That what it was packed in ends too early is not the end of its rows.
type cutText struct{ io.Reader }

func (t cutText) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = &formats.Malformed{Reason: "it is cut off"}
	}
	return n, err
}

// noChecker stands for one that was not made.
type noChecker struct{}

func (noChecker) Check(*event.Event) error { return nil }
func (noChecker) Close() error             { return nil }

// tempFile is a file that is gone when it is closed.
type tempFile struct{ *os.File }

func (v *verifier) temp(name string) (*tempFile, error) {
	f, err := os.CreateTemp(v.o.TempDir, "daybook-verify-"+name)
	if err != nil {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	return &tempFile{f}, nil
}

func (t *tempFile) remove() error { return errors.Join(t.Close(), os.Remove(t.Name())) }

// row compares the next row with an event.
func (c *check) row(e *event.Event) {
	if c.over {
		return
	}
	c.rows++
	if err := c.checker.Check(e); err != nil {
		c.fault(err)
		return
	}
	c.d.v.cells.Add(1)
}

// end checks that no more rows follow.
func (c *check) end() {
	if c.over {
		return
	}
	c.over = true
	if err := c.checker.Close(); err != nil {
		c.fault(err)
	}
}

// fault reports what is wrong with a rendering; nothing more is read of it.
func (c *check) fault(err error) {
	c.over = true
	var mismatch *formats.Mismatch
	var malformed *formats.Malformed
	key := c.f.Key
	switch {
	case c.body.err != nil:
		c.d.add(codeReadFailed, key, "", c.body.err.Error())
	case errors.As(err, &mismatch) && mismatch.Row > c.f.Rows || errors.Is(err, io.ErrUnexpectedEOF):
		c.d.add(codeFormatRows, key, fmt.Sprintf("%d rows", c.f.Rows), cmp.Or(rowsText(err, c.rows), err.Error()))
	case errors.As(err, &mismatch):
		c.d.add(codeFormatMismatch, key, fmt.Sprintf("row %d, %s %q", mismatch.Row, mismatch.Field, mismatch.Want), fmt.Sprintf("%q", mismatch.Got))
	case errors.As(err, &malformed):
		c.d.add(codeFormatMalformed, key, "a file that can be read", err.Error())
	default:
		c.d.add(codeFormatMalformed, key, "a file that can be read", err.Error())
	}
}

func rowsText(err error, row int64) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("its end at row %d", row)
	}
	return ""
}

func (c *check) close() {
	for _, f := range slices.Backward(c.closers) {
		_ = f() // what was only read
	}
	c.closers = nil
}

// projectOf names the set that the files of a project are in: what is split by project, or the rest.
func projectOf(f *seal.File) string {
	if f.Split == seal.Rest {
		return restSet
	}
	return "p" + strings.Clone(f.Project)
}

const restSet = "r"
