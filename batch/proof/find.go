package proof

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/jsonl"
	"daybook/sink"
)

// Event finds the event of that id and makes its proof. See Make.
func (p *Prover) Event(ctx context.Context, id string, o *Options) (*Proof, error) {
	if o == nil {
		o = &Options{}
	}
	s := search{Prover: p, id: id, needle: event.AppendQuoted([]byte(`{"id":`), id), options: o}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	hit, err := s.choose()
	if err != nil {
		return nil, err
	}
	m, proof, err := p.sealed(ctx, hit.seal)
	if err != nil {
		return nil, err
	}
	if proof.Event, err = p.row(ctx, m, hit); err != nil {
		return nil, err
	}
	return proof, p.check(proof)
}

// hit is an event that was found, and the leaf of its seal.
type hit struct {
	Found
	seal sealLeaf
}

// search goes through the evidence for an id.
type search struct {
	*Prover
	id      string
	needle  []byte // what its row begins with: rows have their members in one order, and an id in one spelling
	options *Options
	content *[32]byte // what the event is to hold; nil: anything
	// suspects has only seals looked through that hold events of suspect time.
	suspects bool

	hits           []hit
	total          int
	files          int
	erased, absent []string
	progress       Progress
}

// evidence is a file that may hold the event.
type evidence struct {
	leaf     sealLeaf
	addendum int
	file     seal.File
}

// run looks through the evidence of each seal that may hold the event.
func (s *search) run(ctx context.Context) error {
	var files []evidence
	for _, l := range s.seals {
		o := s.options
		if o.Trail != "" && l.Trail != o.Trail || o.From != 0 && l.Day.Day < o.From || o.To != 0 && l.Day.Day > o.To {
			continue
		}
		m, _, err := s.manifest(ctx, l)
		if err != nil {
			return err
		}
		if s.suspects && m.Counts.TimeSuspect == 0 {
			continue
		}
		for _, f := range m.Files {
			if f.Format == formats.JSONL.Name && f.Rows > 0 {
				files = append(files, evidence{l, m.Addendum, f})
				s.progress.Total += f.Size
			}
		}
	}
	for i := range files {
		if err := s.file(ctx, &files[i]); err != nil {
			return err
		}
	}
	return nil
}

// file looks through one evidence file.
func (s *search) file(ctx context.Context, in *evidence) error {
	l, f := in.leaf, &in.file
	var e event.Event
	err := s.readRows(ctx, f, func(n int64, row []byte) error {
		if !bytes.HasPrefix(row, s.needle) {
			return nil
		}
		if err := jsonl.ParseRow(row, &e); err != nil {
			return fmt.Errorf("row %d: %w", n+1, err)
		}
		if s.content != nil && e.ContentHash(row) != *s.content {
			return nil
		}
		if source := e.Get(event.Source); s.options.Source == "" || source == s.options.Source {
			s.hit(hit{Found{l.Trail, l.Day, l.SealLeaf.Seal, in.addendum, string(append([]byte{}, source...)), e.Time, f.Key, n}, l})
		}
		return nil
	}, func(n int64) {
		s.progress.Bytes += n
		if s.options.Progress != nil {
			s.options.Progress(s.progress)
		}
	})
	if errors.Is(err, sink.ErrNotExist) || errors.Is(err, sink.ErrHidden) {
		if s.Erased(l.SealLeaf.Trail, l.SealLeaf.Seal, f) {
			s.erased = append(s.erased, f.Key)
		} else {
			s.absent = append(s.absent, f.Key)
		}
		return nil
	}
	s.files++
	return err
}

func (s *search) hit(h hit) {
	s.total++
	if len(s.hits) < max(maxFound, s.options.Index) {
		s.hits = append(s.hits, h)
	}
}

// choose returns the one that is meant.
func (s *search) choose() (hit, error) {
	index := s.options.Index
	switch {
	case s.total == 0:
		return hit{}, &NotFoundError{ID: s.id, Files: s.files, Erased: s.erased, Absent: s.absent}
	case index == 0 && s.total == 1:
		return s.hits[0], nil
	case index >= 1 && index <= len(s.hits):
		return s.hits[index-1], nil
	}
	e := &AmbiguousError{ID: s.id, Total: s.total}
	for _, h := range s.hits {
		e.Events = append(e.Events, h.Found)
	}
	if index == 0 {
		return hit{}, e
	}
	return hit{}, fmt.Errorf("number %d is none of them: %w", index, e)
}

// row reads the file once more, for the inclusion path of the row.
func (p *Prover) row(ctx context.Context, m *seal.Manifest, h hit) (*Event, error) {
	for i := range m.Files {
		f := &m.Files[i]
		if f.Key != h.File {
			continue
		}
		b, err := newPathBuilder(h.Row, f.Rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Key, err)
		}
		err = p.readRows(ctx, f, func(_ int64, row []byte) error { b.add(row); return nil }, func(int64) {})
		if err != nil {
			return nil, err
		}
		row, path, err := b.finish(f.MerkleRoot)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Key, err)
		}
		return &Event{File: f.Key, Index: h.Row, Row: string(row), Path: path}, nil
	}
	return nil, fmt.Errorf("%s: %w", h.File, sink.ErrNotExist)
}

// maxWindow bounds what a zstd file may ask us to remember.
const maxWindow = 64 << 20

// readRows hands out the rows of an evidence file, which hold until the next, and checks that it is the file that was sealed. Its memory does not depend on the
// file's size.
func (p *Prover) readRows(ctx context.Context, f *seal.File, row func(n int64, row []byte) error, read func(n int64)) (err error) {
	body, err := p.store.Get(ctx, f.Key, f.Version)
	if errors.Is(err, sink.ErrNotExist) && f.Version != "" {
		body, err = p.store.Get(ctx, f.Key, "") // a copy that kept no version ids; the hash decides
	}
	if err != nil {
		return err // it names the key
	}
	defer func() { err = cmp.Or(err, body.Close()) }()
	hash := sha256.New()
	stored := &meter{ctx: ctx, r: io.TeeReader(body, hash), left: f.Size, read: read}
	content, closeContent, err := decompress(stored, f.Compression)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Key, err)
	}
	defer closeContent()
	rows := jsonl.NewReader(content, MaxRow)
	for n := int64(0); ; n++ {
		line, err := rows.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = row(n, line)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Key, err)
		}
	}
	// What the decompressor did not ask for is part of the file too.
	if _, err := io.Copy(io.Discard, stored); err != nil {
		return fmt.Errorf("%s: %w", f.Key, err)
	}
	if sum := seal.Hash(hash.Sum(nil)); stored.left != 0 || sum != f.SHA256 {
		return fmt.Errorf("%s: its SHA-256 is %v, but the manifest says %v", f.Key, sum, f.SHA256)
	}
	return nil
}

// decompress undoes a file's compression; the function frees its memory.
func decompress(r io.Reader, compression string) (io.Reader, func(), error) {
	switch compression {
	case seal.Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case seal.Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, err
		}
		return z, func() {}, nil
	}
	return r, func() {}, nil
}

// meter counts what is read. It ends with its context, and with a file that is longer than it may be.
type meter struct {
	ctx  context.Context
	r    io.Reader
	left int64
	read func(n int64)
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.left -= int64(n)
	m.read(int64(n))
	if m.left < 0 {
		return 0, errors.New("longer than the manifest says")
	}
	return n, err
}
