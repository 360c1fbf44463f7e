package batch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
	"daybook/retention"
	"daybook/sink"
)

// Recorded is a seal as it is told by its manifest.
type Recorded struct {
	Manifest *seal.Manifest
	// ControlBytes is how many bytes manifest and note have.
	ControlBytes int64
}

// LedgerHistory yields the seals of a trail that the data folder knows, in order. It takes no lock, and so may be called while a service is at work. A folder that is not there knows none.
func LedgerHistory(data, trail string) iter.Seq2[Recorded, error] {
	l := &ledger{trail: trail, dir: (&state{dir: data}).ledgerDir(trail)}
	return records(func(n uint64) (manifest, note []byte, err error) {
		root, err := os.OpenRoot(l.sealDir(n))
		if errors.Is(err, fs.ErrNotExist) {
			err = sink.ErrNotExist
		}
		if err != nil {
			return nil, nil, err
		}
		defer root.Close() // only read
		if note, err = root.ReadFile(noteName); err == nil {
			manifest, err = root.ReadFile(manifestName)
		}
		return manifest, note, err
	}, trail)
}

// StoreHistory yields the seals of a trail that the store has, in order.
func StoreHistory(ctx context.Context, store sink.Store, trail string) iter.Seq2[Recorded, error] {
	return records(func(n uint64) (manifest, note []byte, err error) {
		if note, err = fetch(ctx, store, seal.NoteKey(trail, n)); err == nil {
			manifest, err = fetch(ctx, store, seal.ManifestKey(trail, n))
		}
		return manifest, note, err
	}, trail)
}

// records yields seals by their numbers, until there is none of the next. It checks no signature: that is what verify is for.
func records(read func(n uint64) (manifest, note []byte, err error), trail string) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		for n := uint64(1); ; n++ {
			manifest, note, err := read(n)
			if errors.Is(err, sink.ErrNotExist) { // a file of credentials that is not there is another thing
				return
			}
			var m *seal.Manifest
			if err == nil {
				m, err = seal.ParseManifest(manifest)
			}
			if err != nil {
				yield(Recorded{}, fmt.Errorf("seal %d of %s: %w", n, trail, err))
				return
			}
			if !yield(Recorded{m, int64(len(manifest) + len(note))}, nil) {
				return
			}
		}
	}
}

// Laid is what the seal laid down of each class, and as manifest and note. The objects of the log, a few for each run, are not among it: no seal tells of them.
func (r Recorded) Laid() []retention.Laid {
	m := r.Manifest
	list := []retention.Laid{{Day: m.Day.Start(), Sealed: m.SealedAt, Objects: 2, Bytes: r.ControlBytes}}
	at := map[string]int{}
	for _, f := range m.Files {
		i, ok := at[f.Class]
		if !ok {
			i = len(list)
			at[f.Class] = i
			list = append(list, retention.Laid{Class: f.Class, Day: m.Day.Start(), Sealed: m.SealedAt})
		}
		l := &list[i]
		l.Objects++
		l.Bytes += f.Size
		if f.RetainUntil.After(l.Until) {
			l.Until = f.RetainUntil
		}
	}
	return list
}

// maxSeen bounds how many types and actions are told apart, since actions come from outside.
const maxSeen = 100_000

// ErrManyTypes says that there were more types and actions than are told apart.
var ErrManyTypes = errors.New("too many types and actions")

// Types counts the types and actions of the events that a history seals in the newest so many of its days, from the evidence in the store. Evidence that is gone, since its retention is over,
// is left out.
func Types(ctx context.Context, store sink.Store, history iter.Seq2[Recorded, error], days int) ([]retention.Seen, error) {
	files := map[event.Day][]seal.File{}
	newest := event.Day(0)
	for r, err := range history {
		if err != nil {
			return nil, err
		}
		day := r.Manifest.Day.Day
		if len(files) == 0 || day > newest {
			newest = day
		}
		for _, f := range r.Manifest.Files {
			if f.Format == formats.JSONL.Name && int(newest-day) < days {
				files[day] = append(files[day], f)
			}
		}
		for d := range files {
			if int(newest-d) >= days {
				delete(files, d)
			}
		}
	}
	counts := map[[2]string]int64{}
	for _, list := range files {
		for _, f := range list {
			err := readEvidence(ctx, store, f, func(_ []byte, e *event.Event, _ []byte) error {
				key := [2]string{e.Get(event.Type), e.Get(event.Action)}
				n, known := counts[key]
				if !known {
					if len(counts) == maxSeen {
						return fmt.Errorf("%w: more than %d", ErrManyTypes, maxSeen)
					}
					key = [2]string{strings.Clone(key[0]), strings.Clone(key[1])}
				}
				counts[key] = n + 1
				return nil
			})
			if err != nil && !errors.Is(err, sink.ErrNotExist) {
				return nil, fmt.Errorf("%s: %w", f.Key, err)
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	seen := make([]retention.Seen, 0, len(counts))
	for key, n := range counts {
		seen = append(seen, retention.Seen{Type: key[0], Action: key[1], Events: n})
	}
	slices.SortFunc(seen, func(a, b retention.Seen) int {
		return strings.Compare(a.Type+"\x00"+a.Action, b.Type+"\x00"+b.Action)
	})
	return seen, nil
}

// Project projects what a store will hold, from the history of its trails.
func Project(policies retention.Policies, history iter.Seq2[Recorded, error], o retention.SimulateOptions) (*retention.Projection, error) {
	var laid []retention.Laid
	for r, err := range history {
		if err != nil {
			return nil, err
		}
		laid = append(laid, r.Laid()...)
	}
	return policies.Simulate(laid, o), nil
}
