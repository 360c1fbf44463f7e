package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
)

// Options narrow down which event is meant. The zero value takes any.
type Options struct {
	// Trail and Source are looked for by name; blank is any.
	Trail, Source string
	// From and To are the days, both included, under which the event may be filed; zero is open.
	From, To event.Day
	// Index chooses among several events of the id, from 1, in the order of AmbiguousError; 0 is that there must be one.
	Index int
	// Progress is told of what was read.
	Progress func(Progress)
}

// Progress is how far the search is.
type Progress struct {
	// Bytes of Total, of evidence files as they are stored, were read.
	Bytes, Total int64
}

// Found is an event of the id that was looked for.
type Found struct {
	Trail    string
	Day      seal.Date // under which it is filed
	Seal     uint64
	Addendum int
	Source   string
	Time     time.Time
	File     string
	Row      int64 // from 0
}

// maxFound is how many events of one id are remembered.
const maxFound = 1000

// AmbiguousError says that several events have the id.
type AmbiguousError struct {
	ID string
	// Total is how many there are; Events are the first of them.
	Total  int
	Events []Found
}

func (e *AmbiguousError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events have the id %q", e.Total, e.ID)
	for i, f := range e.Events {
		if i == 10 {
			fmt.Fprintf(&b, "; and %d more", e.Total-i)
			break
		}
		fmt.Fprintf(&b, "; %d: trail %q, day %v, source %q, time %s", i+1, f.Trail, f.Day, f.Source, f.Time.Format(time.RFC3339Nano))
	}
	return b.String()
}

// NotFoundError says that no event of the id is in the evidence that could be read. It is sink.ErrNotExist.
type NotFoundError struct {
	ID string
	// Files is how many evidence files were looked through. Erased and Absent are those that are not there: the event may have been in one.
	Files          int
	Erased, Absent []string
}

func (e *NotFoundError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no event %q in %d evidence files", e.ID, e.Files)
	missing := func(what string, files []string) {
		if len(files) > 0 {
			fmt.Fprintf(&b, "; %d more %s, and may have held it: %s", len(files), what, strings.Join(files[:min(len(files), 5)], ", "))
		}
	}
	missing("were erased, as the log says", e.Erased)
	missing("are not in the store", e.Absent)
	return b.String()
}

func (e *NotFoundError) Unwrap() error { return sink.ErrNotExist }

// Make finds the event of that id and makes its proof. The errors are *AmbiguousError, *NotFoundError, tlog.ErrLog and tlog.ErrCheckpoint if the store's log
// is not as it was signed, and those of the store.
func Make(ctx context.Context, store sink.Store, id string, o *Options) (*Proof, error) {
	p, err := Open(ctx, store)
	if err != nil {
		return nil, err
	}
	return p.Event(ctx, id, o)
}

// Prover makes proofs of what a store holds. It remembers what the log says and, while it searches, the files; nothing that grows with the number of events. Its methods are not safe for
// concurrent use.
type Prover struct {
	store sink.Store
	log   *tlog.Reader
	// signed is the checkpoint as it lies in the store.
	signed   []byte
	keys     []Leaf
	files    []string // of public keys
	receipts []Receipt
	seals    []sealLeaf // in the order of the log
	numbers  map[sealNumber]int
	// erasures, by the keys of files, holds and extensions are what the log says of how long files stay.
	erasures   map[string]tlog.ErasureLeaf
	holds      tlog.Holds
	extensions tlog.Extensions
	public     []seal.PublicKey
}

type sealLeaf struct {
	tlog.SealLeaf
	index int64
}

type sealNumber struct {
	trail string
	seal  uint64
}

// ErrUnsigned says that the store has no log: its seals are not signed, and nothing can be proven of them.
var ErrUnsigned = errors.New("the store has no signed log")

// Open reads the log of a store, and checks it against its newest checkpoint and that by its own keys.
func Open(ctx context.Context, store sink.Store) (*Prover, error) {
	key, signed, err := tlog.Newest(ctx, store)
	if errors.Is(err, sink.ErrNotExist) {
		return nil, &sink.HintError{Err: fmt.Errorf("%w: %w", ErrUnsigned, err), Hint: "a proof needs signed seals, and a run that ended: run the export again; if there was a log, `daybook verify` tells what is wrong with the store"}
	}
	if err != nil {
		return nil, err
	}
	head, err := tlog.ParseCheckpoint(signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	p := &Prover{store: store, log: tlog.NewReader(store, head), signed: signed, numbers: map[sealNumber]int{}, erasures: map[string]tlog.ErasureLeaf{}}
	ring := &tlog.Keyring{}
	var keyLeaves []int64
	for entry, err := range p.log.Entries(ctx, 0) {
		if err != nil {
			return nil, err
		}
		leaf, err := ring.Apply(entry.Index, entry.Data)
		if err != nil {
			return nil, err
		}
		switch leaf.Type {
		case tlog.TypeSeal:
			p.numbers[sealNumber{leaf.Seal.Trail, leaf.Seal.Seal}] = len(p.seals)
			p.seals = append(p.seals, sealLeaf{*leaf.Seal, entry.Index})
		case tlog.TypeKey:
			keyLeaves = append(keyLeaves, entry.Index)
		case tlog.TypeErasure:
			p.erasures[leaf.Erasure.Key] = *leaf.Erasure
		case tlog.TypeHold:
			p.holds.Apply(entry.Index, leaf.Time, leaf.Hold)
		case tlog.TypeExtension:
			p.extensions = append(p.extensions, tlog.Extension{ExtensionLeaf: *leaf.Extension, At: leaf.Time, Leaf: entry.Index})
		}
	}
	signer, err := ring.Signer(head.Size)
	if err == nil {
		_, err = tlog.OpenCheckpoint(signed, signer)
	}
	if err == nil && head.Origin != ring.Origin() {
		err = fmt.Errorf("%w: it is of the log %q, the first leaf of %q", tlog.ErrCheckpoint, head.Origin, ring.Origin())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	for _, index := range keyLeaves {
		leaf, err := p.leaf(ctx, index)
		if err != nil {
			return nil, err
		}
		p.keys = append(p.keys, leaf)
	}
	for _, r := range ring.Keys() {
		p.public, p.files = append(p.public, r.Key), append(p.files, string(r.Key.PEM()))
	}
	return p, p.readReceipts(ctx)
}

// Head is the checkpoint that all proofs lead to.
func (p *Prover) Head() tlog.Checkpoint { return p.log.Checkpoint() }

// Keys are those that the log has had until then, in order.
func (p *Prover) Keys() []seal.PublicKey { return slices.Clone(p.public) }

// Erased reports whether the log says that this file of a seal was erased.
func (p *Prover) Erased(trail string, number uint64, f *seal.File) bool {
	e, ok := p.erasures[f.Key]
	return ok && e.Trail == trail && e.Seal == number && e.SHA256 == f.SHA256
}

// Ended reports whether the retention of a file of a seal has ended, by its lock and by the extensions and holds in the log. One that came later than the end before it changes
// nothing: the file may have been gone by then.
func (p *Prover) Ended(m *seal.Manifest, f *seal.File, now time.Time) bool {
	if f.RetainUntil.IsZero() {
		return false
	}
	until := p.extensions.LockedTo(m.Trail, m.Seal, f.RetainUntil)
	for _, h := range p.holds.On(m.Trail, m.Day.Day) {
		if h.Covers(f) && !h.At.After(until) {
			return false
		}
	}
	return now.After(until)
}

// Seals yields what the log says of seals, in its order.
func (p *Prover) Seals() iter.Seq[tlog.SealLeaf] {
	return func(yield func(tlog.SealLeaf) bool) {
		for _, s := range p.seals {
			if !yield(s.SealLeaf) {
				return
			}
		}
	}
}

func (p *Prover) leaf(ctx context.Context, index int64) (Leaf, error) {
	entry, path, err := p.log.Inclusion(ctx, index)
	return Leaf{Index: index, Entry: string(entry), Path: hashes(path)}, err
}

// maxReceipt is how large a receipt may be, in bytes.
const maxReceipt = 1 << 20

// readReceipts reads what the store has of receipts for the checkpoint. One that does not fit it is left out: it would spoil every proof, and verify finds it.
func (p *Prover) readReceipts(ctx context.Context) error {
	lister, ok := p.store.(sink.Lister)
	if !ok {
		return nil
	}
	// All keys of that size lie in one folder, whatever their names.
	dir := strings.TrimSuffix(tlog.AnchorKey(p.Head().Size, "x", ""), "x")
	c := checker{proof: &Proof{Log: Log{Checkpoint: string(p.signed)}}, result: &Result{}}
	for e, err := range lister.List(ctx, dir) {
		if err != nil {
			return err
		}
		_, _, ext, ok := tlog.ParseAnchorKey(e.Key)
		if !ok || e.Size > maxReceipt || len(p.receipts) == maxReceipts {
			continue
		}
		data, err := fetch(ctx, p.store, e.Key, maxReceipt)
		if err != nil {
			return err
		}
		r := Receipt{Ext: ext, Data: data}
		if _, err := c.receipt(r); err == nil {
			p.receipts = append(p.receipts, r)
		}
	}
	slices.SortFunc(p.receipts, compareReceipts)
	p.receipts = slices.CompactFunc(p.receipts, func(a, b Receipt) bool { return compareReceipts(a, b) == 0 })
	return nil
}

// fetch reads an object of at most limit bytes.
func fetch(ctx context.Context, store sink.Store, key string, limit int64) (data []byte, err error) {
	body, err := store.Get(ctx, key, "")
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := body.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("%s: %w", key, closeErr)
		}
	}()
	data, err = io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: more than the %d bytes that it may have", key, limit)
	}
	return data, nil
}

// Seal makes the proof of a seal, without an event. If the log does not have it, the error is sink.ErrNotExist.
func (p *Prover) Seal(ctx context.Context, trail string, n uint64) (*Proof, error) {
	i, ok := p.numbers[sealNumber{trail, n}]
	if !ok {
		return nil, fmt.Errorf("seal %d of %s: not in the log: %w", n, trail, sink.ErrNotExist)
	}
	_, proof, err := p.sealed(ctx, p.seals[i])
	return proof, err
}

// manifest reads the manifest that a leaf names.
func (p *Prover) manifest(ctx context.Context, s sealLeaf) (*seal.Manifest, []byte, error) {
	key := seal.ManifestKey(s.Trail, s.SealLeaf.Seal)
	data, err := fetch(ctx, p.store, key, seal.MaxManifest)
	if err != nil {
		return nil, nil, err
	}
	if sum := seal.Sum(data); sum != s.Manifest {
		return nil, nil, fmt.Errorf("%s: its SHA-256 is %v, but the log has %v", key, sum, s.Manifest)
	}
	m, err := seal.ParseManifest(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", key, err)
	}
	return m, data, nil
}

func (p *Prover) sealed(ctx context.Context, s sealLeaf) (*seal.Manifest, *Proof, error) {
	m, manifest, err := p.manifest(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	note, err := fetch(ctx, p.store, seal.NoteKey(s.Trail, s.SealLeaf.Seal), seal.MaxNote)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := p.leaf(ctx, s.index)
	if err != nil {
		return nil, nil, err
	}
	proof := &Proof{
		Schema: Schema,
		Seal:   Seal{Manifest: string(manifest), Note: string(note)},
		Log:    Log{Seal: leaf, Keys: p.keys, PublicKeys: p.files, Checkpoint: string(p.signed), Receipts: p.receipts},
	}
	return m, proof, p.check(proof)
}

// check keeps a proof that would be refused from being handed out: a note or receipt in the store may be damaged.
func (p *Prover) check(proof *Proof) error {
	if data := proof.Encode(); len(data) > MaxProof {
		return fmt.Errorf("%w: it would have %d bytes, at most %d are allowed", ErrProof, len(data), MaxProof)
	}
	if _, err := proof.Check(nil, nil, nil); err != nil {
		return fmt.Errorf("what the store holds cannot be proven, verify it: %w", err)
	}
	return nil
}
