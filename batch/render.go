package batch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/cef"
	"daybook/formats/csv"
	"daybook/formats/jsonl"
	"daybook/formats/parquet"
	"daybook/formats/syslog"
	"daybook/retention"
)

// Rendering says how files are made.
type Rendering struct {
	// PartRows and PartBytes cut a set into parts: rows, and bytes of evidence. All formats are cut at the same event.
	PartRows  int64
	PartBytes int64

	JSONL            Compression
	CSV, CEF, Syslog Compression
	CSVOptions       csv.Options
	CEFOptions       cef.Options
	SyslogOptions    syslog.Options
	ParquetOptions   parquet.Options
	SortMemory       int
}

// encoder makes the encoder of a format that writes to w.
func (r *Rendering) encoder(format formats.Format, w io.Writer, f formats.File) (formats.Encoder, error) {
	switch format {
	case formats.JSONL:
		return jsonl.NewEncoder(w), nil
	case formats.CSV:
		return csv.NewEncoder(w, &r.CSVOptions), nil
	case formats.CEF:
		return cef.NewEncoder(w, &r.CEFOptions), nil
	case formats.Syslog:
		return syslog.NewEncoder(w, &r.SyslogOptions), nil
	case formats.Parquet:
		return parquet.NewEncoder(w, f, &r.ParquetOptions)
	}
	return nil, fmt.Errorf("format %q has no encoder", format.Name)
}

func (r *Rendering) compression(format formats.Format) Compression {
	switch format {
	case formats.JSONL:
		return r.JSONL
	case formats.CSV:
		return r.CSV
	case formats.CEF:
		return r.CEF
	case formats.Syslog:
		return r.Syslog
	}
	return Compression{Kind: "none"}
}

// partID says which part of which set a chunk belongs to.
type partID struct {
	class   uint8
	project string // blank unless split is seal.ByProject
	split   seal.Split
	number  int
}

// chunk is a batch of events of one part, shared by all encoders: the last one to be done with it puts it back.
type chunk struct {
	part    partID
	events  []event.Event
	arena   []byte // the rows, one after the other, that events share memory with
	tails   []byte
	tailEnd []int
	suspect []bool
	isLeaf  []bool // the tail's hash is the row's leaf in the Merkle tree
	users   atomic.Int32
}

const (
	chunkEvents = 512
	chunkBytes  = 512 << 10
	chunkQueue  = 3 // chunks that wait for an encoder
)

// rendered is what rendering a day made.
type rendered struct {
	files   []seal.File // without what only the store knows
	counts  scanCounts
	changed int64 // cells
	cut     int64 // values
}

// scanCounts is what was met on the way through a day.
type scanCounts struct {
	rows       int64
	duplicates int64 // equal events in the scan, and events that are sealed already
	redacted   int64
	suspect    int64    // rows whose time is suspect
	conflicted int64    // rows that share their id with one of other content
	conflicts  []string // those ids, sorted; at most maxConflictIDs
	last       time.Time
	sources    map[string]struct{}
}

const (
	maxConflictIDs = 100_000
	maxSources     = 1000
	// maxName is how much of a project's or source's name, or of an event's id, a manifest has room for.
	maxName = 256
)

// short returns a name as it stands, or one that is over maxName bytes cut, with its SHA-256 at its end.
func short(name string) string {
	if len(name) <= maxName {
		return name
	}
	return fmt.Sprintf("%s…%x", strings.ToValidUTF8(name[:maxName], ""), sha256.Sum256([]byte(name)))
}

// renderer renders one day of a trail into staged files.
type renderer struct {
	*Rendering
	trail     *Trail
	index     uint16
	day       event.Day
	addendum  int
	policies  retention.Policies
	dir       string // staging
	pool      sync.Pool
	conflicts *spool.Conflicts
	prior     *prior
	keys      *keySet
	progress  func(Progress)

	syncs errgroup.Group // files that are on their way to stable storage

	mu  sync.Mutex
	out rendered
}

// render makes the files of the day. There are none if there is nothing new and evenEmpty is not set.
func (r *renderer) render(ctx context.Context, from rows, workDir string, evenEmpty bool) (*rendered, error) {
	r.syncs.SetLimit(uploads)
	err := r.renderFiles(ctx, from, workDir, evenEmpty)
	if syncErr := r.syncs.Wait(); err == nil {
		err = syncErr
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(r.out.files, func(a, b seal.File) int { return strings.Compare(a.Key, b.Key) })
	return &r.out, nil
}

func (r *renderer) renderFiles(ctx context.Context, from rows, workDir string, evenEmpty bool) error {
	whole, split := r.formats()
	var projects *projectSplit
	if len(split) > 0 {
		var err error
		if projects, err = r.splitProjects(ctx, from, split, workDir); err != nil {
			return err
		}
		defer projects.close()
	}
	pipe := r.start(ctx, whole, true)
	err := r.scan(pipe, from, projects, evenEmpty)
	if err = pipe.wait(err); err != nil || projects == nil || r.out.counts.rows == 0 && !evenEmpty {
		return err
	}
	pipe = r.start(ctx, split, false)
	return pipe.wait(projects.scan(pipe, r, evenEmpty))
}

// formats returns which formats are made of the whole day, and which for each project.
func (r *renderer) formats() (whole, split []formats.Format) {
	for _, f := range formats.All() {
		if f != formats.JSONL && !slices.Contains(r.trail.Formats, f) {
			continue
		}
		if r.trail.SplitProjects && f != formats.JSONL && f != formats.Parquet {
			split = append(split, f)
		} else {
			whole = append(whole, f)
		}
	}
	return whole, split
}

// scan goes through the day's events once and hands them to the pipe in chunks.
func (r *renderer) scan(pipe *pipe, from rows, projects *projectSplit, evenEmpty bool) error {
	cutter := r.newCutter(pipe)
	counts := &r.out.counts
	counts.sources = map[string]struct{}{}
	var stats spool.ScanStats
	conflicts := map[string]struct{}{}
	for item, err := range from.Scan(r.index, r.day, &stats) {
		if err != nil {
			return err
		}
		if err := pipe.ctx.Err(); err != nil { // where all is sealed already nothing is sent
			return err
		}
		sealed, conflict, err := r.prior.match(&item)
		if err != nil {
			return err
		}
		if sealed {
			counts.duplicates++
			continue
		}
		e, err := cutter.add(item, partID{class: item.Group.Class})
		if err != nil {
			return err
		}
		counts.rows++
		if !cutter.chunk.isLeaf[len(cutter.chunk.isLeaf)-1] {
			counts.redacted += int64(bytes.Count(item.Row, redactedMark))
		}
		counts.source(e)
		if item.Suspect {
			counts.suspect++
		} else if e.Time.After(counts.last) {
			counts.last = e.Time
		}
		if conflict || r.conflicts.Has(e) {
			counts.conflicted++
			if len(conflicts) < maxConflictIDs {
				conflicts[strings.Clone(short(e.Get(event.ID)))] = struct{}{}
			}
		}
		if projects != nil {
			if err := projects.add(item, e); err != nil {
				return err
			}
		}
	}
	counts.duplicates += stats.Duplicates
	for id := range conflicts {
		counts.conflicts = append(counts.conflicts, id)
	}
	slices.Sort(counts.conflicts)
	if counts.rows == 0 && evenEmpty {
		return cutter.empty(partID{class: uint8(r.policies.Default())})
	}
	return cutter.flush()
}

var redactedMark = []byte("[redacted:")

func (c *scanCounts) source(e *event.Event) {
	name := short(e.Get(event.Source))
	if _, known := c.sources[name]; !known && len(c.sources) < maxSources {
		c.sources[strings.Clone(name)] = struct{}{}
	}
}

// cutter gathers events into chunks and cuts them into parts.
type cutter struct {
	r     *renderer
	pipe  *pipe
	chunk *chunk
	part  partID
	begun bool
	rows  int64
	bytes int64
}

func (r *renderer) newCutter(p *pipe) *cutter { return &cutter{r: r, pipe: p} }

// add adds an event to the part of that class and project, or to the next part where that is full.
func (c *cutter) add(item spool.Item, to partID) (*event.Event, error) {
	size := int64(len(item.Row)) + 1
	sameSet := c.begun && to.class == c.part.class && to.project == c.part.project && to.split == c.part.split
	full := c.rows == c.r.PartRows || c.bytes+size > c.r.PartBytes && c.rows > 0
	if !sameSet || full || c.chunk != nil && (len(c.chunk.events) == chunkEvents || len(c.chunk.arena)+len(item.Row) > cap(c.chunk.arena)) {
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	switch {
	case !sameSet:
		c.part, c.begun = to, true
		c.part.number, c.rows, c.bytes = 1, 0, 0
	case full:
		c.part.number++
		c.rows, c.bytes = 0, 0
	}
	if c.chunk == nil {
		c.chunk = c.r.newChunk(c.part, len(item.Row))
	}
	k := c.chunk
	off := len(k.arena)
	k.arena = append(k.arena, item.Row...)
	k.events = k.events[:len(k.events)+1]
	e := &k.events[len(k.events)-1]
	if err := jsonl.ParseRow(k.arena[off:len(k.arena):len(k.arena)], e); err != nil {
		return nil, err
	}
	k.tails = append(k.tails, item.Tail...)
	k.tailEnd = append(k.tailEnd, len(k.tails))
	k.suspect = append(k.suspect, item.Suspect)
	k.isLeaf = append(k.isLeaf, e.HasOnlyContent(item.Row))
	c.rows++
	c.bytes += size
	return e, nil
}

// flush sends what was gathered.
func (c *cutter) flush() error {
	k := c.chunk
	c.chunk = nil
	if k == nil {
		return nil
	}
	c.r.progress(Progress{Rendered: int64(len(k.events))})
	return c.pipe.send(k)
}

// empty sends a part without events.
func (c *cutter) empty(part partID) error {
	part.number = 1
	return c.pipe.send(c.r.newChunk(part, 0))
}

func (r *renderer) newChunk(part partID, atLeast int) *chunk {
	k, ok := r.pool.Get().(*chunk)
	if !ok {
		k = &chunk{events: make([]event.Event, 0, chunkEvents), arena: make([]byte, 0, chunkBytes)}
	}
	if cap(k.arena) < atLeast {
		k.arena = make([]byte, 0, atLeast)
	}
	k.part = part
	k.events, k.arena, k.tails, k.tailEnd, k.suspect, k.isLeaf = k.events[:0], k.arena[:0], k.tails[:0], k.tailEnd[:0], k.suspect[:0], k.isLeaf[:0]
	return k
}

// done is called by each user of a chunk when it needs it no more.
func (r *renderer) done(k *chunk) {
	if k.users.Add(-1) == 0 && cap(k.arena) <= 2*chunkBytes {
		r.pool.Put(k)
	}
}

// pipe is the encoders at work, a goroutine each.
type pipe struct {
	group  *errgroup.Group
	ctx    context.Context
	queues []chan *chunk
}

// start starts an encoder for each format. With keys set the keys of the events are written as well.
func (r *renderer) start(ctx context.Context, list []formats.Format, keys bool) *pipe {
	group, ctx := errgroup.WithContext(ctx)
	p := &pipe{group: group, ctx: ctx}
	add := func(use func(<-chan *chunk) error) {
		queue := make(chan *chunk, chunkQueue)
		p.queues = append(p.queues, queue)
		group.Go(func() error { return use(queue) })
	}
	for _, f := range list {
		add(func(queue <-chan *chunk) error { return r.encode(f, queue) })
	}
	if keys {
		add(r.writeKeys)
	}
	return p
}

func (p *pipe) send(k *chunk) error {
	k.users.Store(int32(len(p.queues)))
	for _, q := range p.queues {
		select {
		case q <- k:
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
	return nil
}

// wait ends the pipe and returns the first error: that of an encoder, else err, which is the sender's.
func (p *pipe) wait(err error) error {
	for _, q := range p.queues {
		close(q)
	}
	if groupErr := p.group.Wait(); groupErr != nil {
		return groupErr
	}
	return err
}

func (r *renderer) writeKeys(queue <-chan *chunk) error {
	for k := range queue {
		from := 0
		for i, end := range k.tailEnd {
			if err := r.keys.add(k.part.class, k.tails[from:end], k.suspect[i]); err != nil {
				r.keys.abandon()
				return err
			}
			from = end
		}
		r.done(k)
	}
	return r.keys.close()
}

// encode writes the files of one format, part after part.
func (r *renderer) encode(format formats.Format, queue <-chan *chunk) (err error) {
	var part *partWriter
	defer func() {
		if part != nil {
			part.staged.abandon()
		}
	}()
	for k := range queue {
		if part == nil || part.id != k.part {
			if part != nil {
				if err := part.finish(); err != nil {
					return err
				}
			}
			if part, err = r.newPart(format, k.part); err != nil {
				return err
			}
		}
		if err := part.encode(k); err != nil {
			return err
		}
		r.done(k)
	}
	if part == nil {
		return nil
	}
	if err := part.finish(); err != nil {
		return err
	}
	part = nil // its file is closed when it is synced
	return nil
}

// partWriter writes one file.
type partWriter struct {
	r      *renderer
	id     partID
	staged *stagedFile
	enc    formats.Encoder
	tree   *seal.Tree // for the evidence
	row    []byte
	file   seal.File
}

func (r *renderer) newPart(format formats.Format, id partID) (*partWriter, error) {
	c := r.compression(format)
	class := r.policies[id.class].Class
	p := &partWriter{r: r, id: id, file: seal.File{
		Key: seal.FileKey(seal.FileName{
			Format: format, Class: class, Trail: r.trail.Name, Day: r.day, Split: id.split, Project: id.project,
			Addendum: r.addendum, Part: id.number, Compression: c.Kind,
		}),
		Format: format.Name, Class: class, Split: id.split, Project: id.project, Part: id.number,
		ContentType: c.ContentType(format.ContentType), Compression: c.Kind,
	}}
	var err error
	if p.staged, err = newStagedFile(r.dir, p.file.Key, c); err != nil {
		return nil, err
	}
	f := formats.File{Trail: r.trail.Name, Class: class, Day: r.day, Addendum: r.addendum}
	if p.enc, err = r.encoder(format, p.staged, f); err != nil {
		p.staged.abandon()
		return nil, err
	}
	if format == formats.JSONL {
		p.tree = &seal.Tree{}
	}
	return p, nil
}

func (p *partWriter) encode(k *chunk) error {
	events := k.events
	if len(events) == 0 {
		return nil
	}
	if p.tree != nil {
		p.appendLeaves(k)
	}
	if p.file.Rows == 0 {
		p.file.First = events[0].Time
	}
	for i := range events { // they are in order of microseconds only
		if t := events[i].Time; t.Before(p.file.First) {
			p.file.First = t
		} else if t.After(p.file.Last) {
			p.file.Last = t
		}
	}
	p.file.Rows += int64(len(events))
	return p.enc.Encode(events)
}

func (p *partWriter) appendLeaves(k *chunk) {
	for i := range k.events {
		if k.isLeaf[i] {
			end := k.tailEnd[i]
			p.tree.AppendLeaf(seal.Hash(k.tails[end-len(seal.Hash{}) : end]))
			continue
		}
		p.row = k.events[i].AppendJSON(p.row[:0])
		p.tree.Append(p.row)
	}
}

func (p *partWriter) finish() error {
	if err := p.enc.Close(); err != nil {
		return err
	}
	if err := p.staged.finish(); err != nil {
		return err
	}
	p.r.syncs.Go(p.staged.sync) // the next part need not wait for the disk
	stats := p.enc.Stats()
	if stats.Rows != p.file.Rows {
		return fmt.Errorf("%s: %d events went in, %d rows came out", p.file.Key, p.file.Rows, stats.Rows)
	}
	p.file.Size = p.staged.size
	p.file.SHA256 = seal.Hash(p.staged.hash.Sum(nil))
	if p.tree != nil {
		p.file.MerkleRoot = p.tree.Root()
	}
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	p.r.out.files = append(p.r.out.files, p.file)
	p.r.out.changed += stats.CellsChanged
	p.r.out.cut += stats.ValuesCut
	return nil
}
