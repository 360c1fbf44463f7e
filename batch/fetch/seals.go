package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"daybook/batch/seal"
	"daybook/sink"
)

const (
	sealsPrefix = "seals/"
	// aheadSeals is how many seals are read ahead of the one that is looked at.
	aheadSeals = 4
)

// Files yields the files that a query asks for, by trail, seal and key. An error ends the sequence: what came before it is not all. store must be a sink.Lister.
func Files(ctx context.Context, store sink.Store, q *Query) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		if err := q.files(ctx, store, yield); err != nil && !errors.Is(err, errStopped) {
			yield(File{}, err)
		}
	}
}

// errStopped says that who reads has had enough.
var errStopped = errors.New("stopped")

func (q *Query) files(ctx context.Context, store sink.Store, yield func(File, error) bool) error {
	prefixes, err := q.prefixes()
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, key := range q.Keys {
		wanted[key] = true
	}
	for _, prefix := range prefixes {
		err := q.seals(ctx, store, prefix, func(m *seal.Manifest) error {
			for _, f := range m.Files {
				if len(q.Keys) > 0 && !wanted[f.Key] || !q.takes(m, f) {
					continue
				}
				delete(wanted, f.Key)
				if !yield(fileOf(m, f), nil) {
					return errStopped
				}
			}
			if len(q.Keys) > 0 && len(wanted) == 0 {
				return errStopped
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, key := range q.Keys {
		if wanted[key] {
			return &sink.HintError{Err: fmt.Errorf("%s: %w", key, ErrUnlisted), Hint: "daybook ls tells the keys"}
		}
	}
	return nil
}

// prefixes are those below which the seals lie that the query needs.
func (q *Query) prefixes() ([]string, error) {
	if len(q.Keys) == 0 {
		if q.Trail == "" {
			return []string{sealsPrefix}, nil
		}
		return []string{sealsPrefix + seal.EncodeName(q.Trail) + "/"}, nil
	}
	var list []string
	for _, key := range q.Keys {
		elements := strings.Split(key, "/")
		at := slices.IndexFunc(elements, func(e string) bool { return strings.HasPrefix(e, "trail=") })
		if at < 0 || sink.CheckKey(key) != nil {
			return nil, &sink.HintError{
				Err:  fmt.Errorf("%q: %w: it is no key of a data file", key, ErrUnlisted),
				Hint: "a key begins with the format, e.g. csv/class=standard/trail=audit/…; daybook ls tells them",
			}
		}
		list = append(list, sealsPrefix+strings.TrimPrefix(elements[at], "trail=")+"/")
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// takes reports whether the query asks for a file of a seal.
func (q *Query) takes(m *seal.Manifest, f seal.File) bool {
	switch {
	case len(q.Formats) > 0 && !slices.Contains(q.Formats, f.Format), len(q.Classes) > 0 && !slices.Contains(q.Classes, f.Class):
		return false
	case q.Project == nil:
		return true
	case f.Split == seal.ByProject:
		return f.Project == *q.Project
	}
	own := func(o seal.File) bool {
		return o.Split == seal.ByProject && o.Project == *q.Project && o.Format == f.Format && o.Class == f.Class
	}
	if q.Shared != nil && f.Rows > 0 && !slices.ContainsFunc(m.Files, own) {
		q.Shared(fileOf(m, f))
	}
	return false
}

func fileOf(m *seal.Manifest, f seal.File) File {
	return File{Trail: m.Trail, Org: m.Org, Day: m.Day, Seal: m.Seal, Addendum: m.Addendum, SealedAt: m.SealedAt, File: f}
}

// place is a seal in the listing.
type place struct {
	trail          string // as it is in keys
	number         uint64
	manifest, note bool
}

// placeOf takes a key below seals/ apart; false for one that is none of a seal's.
func placeOf(key string) (p place, ok bool) {
	elements := strings.Split(strings.TrimPrefix(key, sealsPrefix), "/")
	if len(elements) != 3 {
		return p, false
	}
	n, err := strconv.ParseUint(elements[1], 10, 64)
	if err != nil || n == 0 || fmt.Sprintf("%08d", n) != elements[1] {
		return p, false
	}
	p = place{trail: elements[0], number: n}
	p.manifest, p.note = elements[2] == "manifest.json", elements[2] == "SHA256SUMS.note"
	return p, p.manifest || p.note
}

// reading is a seal that is being read. Its fields are set when done is closed.
type reading struct {
	place
	done     chan struct{}
	manifest *seal.Manifest
	sum      seal.Hash
	err      error
}

// seals calls take with the manifest of every seal below a prefix of the days that the query asks for, in order.
func (q *Query) seals(ctx context.Context, store sink.Store, prefix string, take func(*seal.Manifest) error) error {
	lister, ok := store.(sink.Lister)
	if !ok {
		return errors.New("the store cannot list what it holds")
	}
	ctx, cancel := context.WithCancel(ctx)
	ahead := make(chan *reading, aheadSeals)
	ended := make(chan error, 1)
	go func() {
		ended <- q.readAhead(ctx, store, lister, prefix, ahead)
		close(ahead)
	}()
	stop := func() error {
		cancel()
		for r := range ahead {
			<-r.done
		}
		return <-ended
	}
	var last *reading
	for r := range ahead {
		<-r.done
		if r.err == nil {
			r.err = r.follows(last)
		}
		if r.err == nil && q.Trail != "" && r.manifest.Trail != q.Trail {
			r.err = fmt.Errorf("%s: %w: it is of trail %q", seal.ManifestKey(q.Trail, r.number), ErrAltered, r.manifest.Trail)
		}
		if r.err == nil && q.covers(r.manifest) {
			r.err = take(r.manifest)
		}
		if r.err != nil {
			_ = stop() // it was ended by us
			return r.err
		}
		last = r
	}
	return stop()
}

// covers reports whether the query asks for the day of a seal, and for seals as new as it.
func (q *Query) covers(m *seal.Manifest) bool {
	if q.Through != nil && m.Seal > q.Through[m.Trail] {
		return false
	}
	return (q.From == 0 || m.Day.Day >= q.From) && (q.To == 0 || m.Day.Day <= q.To)
}

// readAhead lists seals, and begins to read each. Whoever takes them from ahead waits for done.
func (q *Query) readAhead(ctx context.Context, store sink.Store, lister sink.Lister, prefix string, ahead chan<- *reading) error {
	var (
		at   place  // the seal whose objects are being listed
		last uint64 // the trail's seal before it
		lame bool   // that one is not complete
	)
	pass := func() error {
		if at.number == 0 {
			return nil
		}
		name := sealsPrefix + at.trail
		switch {
		case lame:
			return altered("%s/%08d: %w: its manifest or its note is missing or hidden", name, last, ErrAltered)
		case at.number != last+1:
			return altered("%s: %w: seal %d is missing or hidden, and seal %d is there", name, ErrAltered, last+1, at.number)
		}
		last, lame = at.number, !at.manifest || !at.note
		if lame || at.number <= q.Since {
			return nil // without a note it is no seal yet, if it is the last
		}
		r := &reading{place: at, done: make(chan struct{})}
		select {
		case ahead <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
		go func() {
			defer close(r.done)
			r.manifest, r.sum, r.err = q.read(ctx, store, r.place)
		}()
		return nil
	}
	for e, err := range lister.List(ctx, prefix) {
		if err != nil {
			return err
		}
		p, ok := placeOf(e.Key)
		if !ok {
			continue // package verify tells what belongs nowhere
		}
		if p.trail == at.trail && p.number == at.number {
			at.manifest, at.note = at.manifest || p.manifest, at.note || p.note
			continue
		}
		if err := pass(); err != nil {
			return err
		}
		if p.trail != at.trail {
			last, lame = 0, false
		}
		at = p
	}
	return pass()
}

// follows checks that a seal is the one after last, where that is of its trail.
func (r *reading) follows(last *reading) error {
	if last == nil || last.trail != r.trail || r.manifest.Previous == last.sum {
		return nil
	}
	return altered("%s: %w: it does not follow seal %d", seal.ManifestKey(r.manifest.Trail, r.number), ErrAltered, last.number)
}

// read reads a seal's manifest, and its note where that is to be trusted.
func (q *Query) read(ctx context.Context, store sink.Store, p place) (*seal.Manifest, seal.Hash, error) {
	dir := fmt.Sprintf("%s%s/%08d/", sealsPrefix, p.trail, p.number)
	data, err := readAll(ctx, store, dir+"manifest.json", seal.MaxManifest)
	if err != nil {
		return nil, seal.Hash{}, err
	}
	m, err := seal.ParseManifest(data)
	if err != nil {
		return nil, seal.Hash{}, altered("%smanifest.json: %w", dir, err)
	}
	if seal.EncodeName(m.Trail) != p.trail || m.Seal != p.number {
		return nil, seal.Hash{}, altered("%smanifest.json: %w: it is of seal %d of %s", dir, ErrAltered, m.Seal, m.Trail)
	}
	if len(q.Trusted) > 0 {
		err = q.checkNote(ctx, store, dir+"SHA256SUMS.note", m, data)
	}
	return m, seal.Sum(data), err
}

func (q *Query) checkNote(ctx context.Context, store sink.Store, key string, m *seal.Manifest, manifest []byte) error {
	signer := slices.IndexFunc(q.Trusted, func(k seal.PublicKey) bool { return k.ID() == m.Key })
	switch {
	case m.Key == seal.NoKey:
		return fmt.Errorf("%s: %w: nobody did", key, ErrUntrusted)
	case signer < 0:
		return &sink.HintError{
			Err:  fmt.Errorf("%s: %w: it is of key %s", key, ErrUntrusted, m.Key),
			Hint: "give that key with --key too, if you trust it; daybook verify tells which keys vouch for which",
		}
	}
	data, err := readAll(ctx, store, key, seal.MaxNote)
	if err != nil {
		return err
	}
	opened, err := seal.OpenNote(data, seal.Verifiers(q.Trusted[signer]))
	if err != nil {
		return altered("%s: %w: %w", key, ErrAltered, err)
	}
	if _, err := opened.Match(manifest); err != nil {
		return altered("%s: %w: %w", key, ErrAltered, err)
	}
	return nil
}

// altered is an error with the way out that all have that find the store altered.
func altered(format string, args ...any) error {
	return &sink.HintError{Err: fmt.Errorf(format, args...), Hint: "daybook verify tells what happened to the store"}
}

// readAll reads a small object whole.
func readAll(ctx context.Context, store sink.Store, key string, limit int64) ([]byte, error) {
	body, err := store.Get(ctx, key, "")
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if int64(len(data)) > limit {
		return nil, altered("%s: %w: more than the %d bytes that it may have", key, ErrAltered, limit)
	}
	return data, nil
}
