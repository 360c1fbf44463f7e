package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"daybook/batch/proof"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/formats"
	"daybook/sink"
)

// item is an object of the store that goes into the bundle.
type item struct {
	key, version string
	size         int64
	// sha256 is what it must have; none for parts of the log, which the report checks.
	sha256 seal.Hash
}

// chosen is a seal of the days that were asked for.
type chosen struct {
	trail  string
	number uint64
	proof  string // the name of its proof
	// unproven says that there is no proof of it: it is not in the log yet, or its key was revoked. The report tells why.
	unproven bool
}

// plan is what a bundle will have.
type plan struct {
	store   sink.Store
	options *Options
	now     func() time.Time
	prover  *proof.Prover // nil for a store without a log

	items   map[string]*item
	keys    []string // of items, sorted
	chosen  []chosen // sorted by the names of their proofs
	trails  []string // sorted
	logged  map[string][]seal.Hash
	newest  time.Time // of the seals
	summary Summary
}

func (p *plan) make(ctx context.Context) error {
	lister, ok := p.store.(sink.Lister)
	if !ok {
		return errors.New("the store cannot list what it holds")
	}
	for _, name := range p.options.Formats {
		if _, err := formats.Named(name); err != nil {
			return err
		}
	}
	if err := p.log(ctx, lister); err != nil {
		return err
	}
	if err := p.findTrails(ctx, lister); err != nil {
		return err
	}
	for _, trail := range p.trails {
		if err := p.trail(ctx, trail); err != nil {
			return err
		}
	}
	if len(p.chosen) == 0 {
		return ErrNothing
	}
	p.keys = slices.Sorted(maps.Keys(p.items))
	slices.SortFunc(p.chosen, func(a, b chosen) int { return strings.Compare(a.proof, b.proof) })
	return p.findUnproven(ctx)
}

// findUnproven looks for seals that have no proof.
func (p *plan) findUnproven(ctx context.Context) error {
	if p.prover == nil {
		return nil
	}
	for i := range p.chosen {
		c := &p.chosen[i]
		_, err := p.prover.Seal(ctx, c.trail, c.number)
		switch {
		case errors.Is(err, sink.ErrNotExist), errors.Is(err, tlog.ErrRevoked):
			p.unproven(c)
		case err != nil:
			return err
		}
	}
	return nil
}

func (p *plan) unproven(c *chosen) {
	c.unproven = true
	p.summary.Unproven = append(p.summary.Unproven, fmt.Sprintf("%s %d", printable(c.trail), c.number))
}

func (p *plan) add(it item) error {
	if err := sink.CheckKey(it.key); err != nil {
		return err
	}
	if p.items[it.key] != nil {
		return fmt.Errorf("%s: two seals claim it", it.key)
	}
	p.items[it.key] = &it
	return nil
}

// log plans the log as it is now, and the keys that it names. What a run adds meanwhile is left out.
func (p *plan) log(ctx context.Context, lister sink.Lister) error {
	p.logged = map[string][]seal.Hash{}
	var err error
	p.prover, err = proof.Open(ctx, p.store)
	if errors.Is(err, proof.ErrUnsigned) {
		return nil
	}
	if err != nil {
		return err
	}
	for s := range p.prover.Seals() {
		if want := uint64(len(p.logged[s.Trail])) + 1; s.Seal != want {
			return fmt.Errorf("%w: the log has seal %d of %s where %d is due", ErrAltered, s.Seal, s.Trail, want)
		}
		p.logged[s.Trail] = append(p.logged[s.Trail], s.Manifest)
	}
	for _, key := range p.prover.Keys() {
		pem := key.PEM()
		if err := p.add(item{key: seal.KeyKey(key.ID()), size: int64(len(pem)), sha256: seal.Sum(pem)}); err != nil {
			return err
		}
	}
	size := p.prover.Head().Size
	for e, err := range lister.List(ctx, tlog.Prefix) {
		if err != nil {
			return err
		}
		if ofLog(e.Key, size) {
			if err := p.add(item{key: e.Key, version: e.Version, size: e.Size}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ofLog reports whether a key is that of a part of a log of that size.
func ofLog(key string, size int64) bool {
	if n, ok := tlog.ParseCheckpointKey(key); ok {
		return n <= size
	}
	if n, ok := tlog.ParseNextKey(key); ok {
		return n < size
	}
	if n, _, _, ok := tlog.ParseAnchorKey(key); ok {
		return n <= size
	}
	t, ok := tlog.ParseTileKey(key)
	if !ok {
		return false
	}
	end := t.N<<8 + int64(t.W)
	for level := 0; level < t.L && end <= size; level++ {
		end <<= 8
	}
	return t.N <= tlog.MaxSize && end <= size
}

// findTrails lists the trails that the log or the listing has.
func (p *plan) findTrails(ctx context.Context, lister sink.Lister) error {
	if p.options.Trail != "" {
		p.trails = []string{p.options.Trail}
		return nil
	}
	byName := map[string]string{} // as it is in keys: the trail
	for trail := range p.logged {
		byName[seal.EncodeName(trail)] = trail
	}
	for e, err := range lister.List(ctx, "seals/") {
		if err != nil {
			return err
		}
		name, rest, ok := strings.Cut(strings.TrimPrefix(e.Key, "seals/"), "/")
		if _, known := byName[name]; !ok || known || rest != "00000001/manifest.json" {
			continue
		}
		data, err := p.fetch(ctx, e.Key, seal.MaxManifest)
		if err != nil {
			return err
		}
		m, err := seal.ParseManifest(data)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Key, err)
		}
		if e.Key != seal.ManifestKey(m.Trail, 1) {
			return fmt.Errorf("%s: %w: it is of trail %q", e.Key, ErrAltered, m.Trail)
		}
		byName[name] = m.Trail
	}
	p.trails = slices.Sorted(maps.Values(byName))
	return nil
}

// trail plans all seals of a trail, and the files of the days that were asked for.
func (p *plan) trail(ctx context.Context, trail string) error {
	var last seal.Hash
	logged := p.logged[trail]
	for n := uint64(1); ; n++ {
		key := seal.ManifestKey(trail, n)
		manifest, err := p.fetch(ctx, key, seal.MaxManifest)
		var note []byte
		if err == nil {
			note, err = p.fetch(ctx, seal.NoteKey(trail, n), seal.MaxNote)
		}
		if errors.Is(err, sink.ErrNotExist) && n > uint64(len(logged)) {
			return nil // the end; a manifest without its note is no seal yet
		}
		if err != nil {
			return fmt.Errorf("seal %d of %s: %w", n, trail, err)
		}
		sum := seal.Sum(manifest)
		if n <= uint64(len(logged)) && sum != logged[n-1] {
			return fmt.Errorf("%s: %w: its SHA-256 is %v, the log has %v", key, ErrAltered, sum, logged[n-1])
		}
		m, err := seal.ParseManifest(manifest)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if m.Trail != trail || m.Seal != n || m.Previous != last {
			return fmt.Errorf("%s: %w: it does not follow seal %d of %s", key, ErrAltered, n-1, trail)
		}
		last = sum
		if err := p.add(item{key: key, size: int64(len(manifest)), sha256: sum}); err != nil {
			return err
		}
		if err := p.add(item{key: seal.NoteKey(trail, n), size: int64(len(note)), sha256: seal.Sum(note)}); err != nil {
			return err
		}
		if err := p.seal(ctx, m); err != nil {
			return err
		}
	}
}

// seal plans the files of a seal.
func (p *plan) seal(ctx context.Context, m *seal.Manifest) error {
	o := p.options
	if o.From != 0 && m.Day.Day < o.From || o.To != 0 && m.Day.Day > o.To {
		return nil
	}
	c := chosen{m.Trail, m.Seal, proofName(m.Trail, m.Seal), false}
	if p.prover == nil && m.Key != seal.NoKey { // the log that it was to be in is gone, or has not begun
		p.unproven(&c)
	}
	p.chosen = append(p.chosen, c)
	p.summary.Seals++
	if m.SealedAt.After(p.newest) {
		p.newest = m.SealedAt
	}
	for _, f := range m.Files {
		if len(o.Formats) > 0 && !slices.Contains(o.Formats, f.Format) {
			continue
		}
		it := item{key: f.Key, version: f.Version, size: f.Size, sha256: f.SHA256}
		there, err := p.there(ctx, &it)
		if err != nil {
			return err
		}
		if !there {
			if !p.mayBeGone(m, &f) {
				return fmt.Errorf("%s: %w, and neither its retention nor the log allows that", f.Key, sink.ErrNotExist)
			}
			p.summary.Gone = append(p.summary.Gone, f.Key)
			continue
		}
		if err := p.add(it); err != nil {
			return err
		}
		p.summary.Files++
		p.summary.Bytes += f.Size
	}
	return nil
}

// there looks whether the store has the version of a file that was sealed; a copy that kept no version ids has it under none.
func (p *plan) there(ctx context.Context, it *item) (bool, error) {
	_, err := p.store.Head(ctx, it.key, it.version)
	if errors.Is(err, sink.ErrNotExist) && it.version != "" {
		it.version = ""
		_, err = p.store.Head(ctx, it.key, "")
	}
	if errors.Is(err, sink.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// mayBeGone reports whether a file is gone by right. Without a log the manifest alone says until when it stays.
func (p *plan) mayBeGone(m *seal.Manifest, f *seal.File) bool {
	if p.prover == nil {
		return !f.RetainUntil.IsZero() && p.now().After(f.RetainUntil)
	}
	return p.prover.Erased(m.Trail, m.Seal, f) || p.prover.Ended(m, f, p.now())
}

func (p *plan) get(ctx context.Context, it *item) (io.ReadCloser, error) {
	return p.store.Get(ctx, it.key, it.version)
}

// fetch reads a small object whole.
func (p *plan) fetch(ctx context.Context, key string, limit int64) (data []byte, err error) {
	body, err := p.store.Get(ctx, key, "")
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := body.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("%s: %w", key, closeErr)
		}
	}()
	data, err = io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: more than the %d bytes that it may have", ErrAltered, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return data, nil
}

// view is the store as the bundle has it: with what was planned, and without versions, as it will be when it is unpacked.
type view struct{ *plan }

var errReadOnly = errors.New("a bundle is not written to")

func (v view) Preflight(context.Context) error { return nil }

func (v view) Put(context.Context, sink.Object) (sink.Info, error) { return sink.Info{}, errReadOnly }

func (v view) Head(ctx context.Context, key, version string) (sink.Info, error) {
	it := v.items[key]
	if it == nil || version != "" {
		return sink.Info{}, fmt.Errorf("%s: %w", key, sink.ErrNotExist)
	}
	info, err := v.store.Head(ctx, key, it.version)
	info.Version, info.Lock = "", sink.Lock{}
	return info, err
}

func (v view) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	it := v.items[key]
	if it == nil || version != "" {
		return nil, fmt.Errorf("%s: %w", key, sink.ErrNotExist)
	}
	return v.get(ctx, it)
}

func (v view) List(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		for _, key := range v.keys {
			if err := ctx.Err(); err != nil {
				yield(sink.Entry{}, err)
				return
			}
			if strings.HasPrefix(key, prefix) && !yield(sink.Entry{Key: key, Size: v.items[key].size, Modified: v.newest, Latest: true}, nil) {
				return
			}
		}
	}
}
