// Package bundle writes what an auditor takes home: a zip with the files of some days, all that is needed to check them offline, and how.
//
// What it guarantees: every data file, manifest, note and key is hashed while it is copied, and is what was sealed, or there is no bundle; no name in the zip
// leads out of the folder that it is unpacked in; the same store gives the same bytes, as long as the same Now is given; memory grows with the number of
// files, not with their size.
//
// What it does not: it vouches for nothing. The report in it was made by whoever made the bundle; an auditor takes the verifier from the release and the key's
// fingerprint from its owner, and verifies what was unpacked.
//
// A bundle:
//
//	README.txt                       what it is, and the steps with stock tools
//	proofs/<trail>/<seal>.json       for each seal of the days: that it is in the log (package proof)
//	report.json  report.txt          the verification of store/, as it was when the bundle was written
//	store/…                          the store's objects, under their keys: the chosen files, all manifests and notes of the trails, log and keys
package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/event"
	"daybook/sink"
)

// Options say what goes into a bundle. The zero value is all there is.
type Options struct {
	// Trail is one by name; blank is all.
	Trail string
	// From and To are the days, both included; zero is open.
	From, To event.Day
	// Formats are names of formats; none is all.
	Formats []string
	// Verify is what the report is made with: keys, policy, checkpoints, Deep, Now. Trail, days and Partial are set to those of the bundle.
	Verify verify.Options
	// Progress is told of what was copied.
	Progress func(Progress)
}

// Progress is how far the copying is.
type Progress struct {
	// Bytes of Total were copied.
	Bytes, Total int64
}

// Summary says what a bundle has.
type Summary struct {
	// Seals are those of the days; Files and Bytes are of their data.
	Seals, Files int
	Bytes        int64
	// Gone are files that are not in the store any more, as their retention or the log allows.
	Gone []string
	// Unproven are the seals that have no proof, as "trail number": the log does not have them yet, or is not there, or their key was revoked.
	Unproven []string
	Report   *verify.Report
}

var (
	// ErrNothing says that there is nothing to bundle.
	ErrNothing = errors.New("no seal of these days")
	// ErrAltered says that the store does not hold what was sealed.
	ErrAltered = errors.New("not what was sealed")
)

// Write writes a bundle of what store, which must be a sink.Lister, has of the trails and days. After an error what was written MUST be discarded.
func Write(ctx context.Context, store sink.Store, w io.Writer, o *Options) (*Summary, error) {
	if o == nil {
		o = &Options{}
	}
	p := &plan{store: store, options: o, now: time.Now, items: map[string]*item{}}
	if o.Verify.Now != nil {
		p.now = o.Verify.Now
	}
	if err := p.make(ctx); err != nil {
		return nil, err
	}
	check := o.Verify
	check.Trail, check.From, check.To, check.Partial = o.Trail, o.From, o.To, true
	report, err := verify.Run(ctx, view{p}, &check)
	if err != nil {
		return nil, err
	}
	p.summary.Report = report
	b := &writer{ctx: ctx, plan: p, zip: zip.NewWriter(w), at: clamp(p.newest), buf: make([]byte, 256<<10)}
	if err := b.write(report); err != nil {
		return nil, err
	}
	if err := b.zip.Close(); err != nil {
		return nil, fmt.Errorf("write the bundle: %w", err)
	}
	return &p.summary, nil
}

// clamp moves a time into what a zip can hold.
func clamp(t time.Time) time.Time {
	first, last := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2107, 12, 31, 0, 0, 0, 0, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t.UTC()
}

// storeDir is where the store's objects are: a folder of their own, so that verify finds nothing in it that the store does not explain.
const storeDir = "store/"

// writer writes the zip: names sorted, all of one time.
type writer struct {
	ctx      context.Context
	plan     *plan
	zip      *zip.Writer
	at       time.Time
	buf      []byte
	last     string
	progress Progress
}

func (b *writer) write(report *verify.Report) error {
	if err := b.bytes("README.txt", []byte(b.plan.readme())); err != nil {
		return err
	}
	if err := b.proofs(); err != nil {
		return err
	}
	var data bytes.Buffer
	if err := report.WriteJSON(&data); err != nil {
		return err
	}
	if err := b.bytes("report.json", data.Bytes()); err != nil {
		return err
	}
	data.Reset()
	if err := report.WriteText(&data); err != nil {
		return err
	}
	if err := b.bytes("report.txt", data.Bytes()); err != nil {
		return err
	}
	for _, key := range b.plan.keys {
		b.progress.Total += b.plan.items[key].size
	}
	for _, key := range b.plan.keys {
		if err := b.object(b.plan.items[key]); err != nil {
			return err
		}
	}
	return nil
}

// proofs writes the proof of each seal of the days that the log has.
func (b *writer) proofs() error {
	if b.plan.prover == nil {
		return nil // the seals are not signed, and nothing can be proven of them
	}
	for _, s := range b.plan.chosen {
		if s.unproven {
			continue
		}
		p, err := b.plan.prover.Seal(b.ctx, s.trail, s.number)
		if err != nil {
			return err
		}
		if err := b.bytes(s.proof, p.Encode()); err != nil {
			return err
		}
	}
	return nil
}

// create begins a file of the zip. Files come in the order of their names, so that no name is there twice.
func (b *writer) create(name string) (io.Writer, error) {
	if err := sink.CheckKey(name); err != nil {
		return nil, err
	}
	if name <= b.last {
		return nil, fmt.Errorf("%s: comes after %s in the bundle", name, b.last)
	}
	b.last = name
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.at}
	switch path.Ext(name) {
	case ".gz", ".zst", ".parquet":
		h.Method = zip.Store
	}
	h.SetMode(0o644)
	w, err := b.zip.CreateHeader(h)
	if err != nil {
		return nil, fmt.Errorf("write the bundle: %w", err)
	}
	return w, nil
}

func (b *writer) bytes(name string, data []byte) error {
	w, err := b.create(name)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// object copies an object of the store, and checks that it is the one that was planned.
func (b *writer) object(it *item) (err error) {
	w, err := b.create(storeDir + it.key)
	if err != nil {
		return err
	}
	body, err := b.plan.get(b.ctx, it)
	if err != nil {
		return err // it names the key
	}
	defer func() {
		if closeErr := body.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("%s: %w", it.key, closeErr)
		}
	}()
	hash := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(hash, counter{b, w}), io.LimitReader(body, it.size+1), b.buf)
	if err != nil {
		return fmt.Errorf("copy %s: %w", it.key, err)
	}
	if n != it.size {
		return fmt.Errorf("%s: %w: its size is not the %d bytes that it must be", it.key, ErrAltered, it.size)
	}
	if sum := seal.Hash(hash.Sum(nil)); !it.sha256.IsZero() && sum != it.sha256 {
		return fmt.Errorf("%s: %w: its SHA-256 is %v, must be %v", it.key, ErrAltered, sum, it.sha256)
	}
	return nil
}

// counter tells of what was copied, and ends with the context.
type counter struct {
	*writer
	w io.Writer
}

func (c counter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.progress.Bytes += int64(n)
	if c.plan.options.Progress != nil {
		c.plan.options.Progress(c.progress)
	}
	return n, err
}

// proofName is where the proof of a seal lies.
func proofName(trail string, number uint64) string {
	return fmt.Sprintf("proofs/%s/%08d.json", seal.EncodeName(trail), number)
}
