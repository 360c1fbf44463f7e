package fetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"time"

	"daybook/sink"
)

// ErrNoLinks says that a store gives no links.
var ErrNoLinks = errors.New("the store gives no links")

// Linked is a file and a link to it.
type Linked struct {
	File
	sink.Link
	// Name is what a browser saves it as.
	Name string
}

// Links gives a link to each of the files, to the version that was sealed, once it has looked whether the store has that as it was sealed: a link to anything else is given to nobody. An
// error ends the sequence.
func Links(ctx context.Context, store sink.Store, files iter.Seq2[File, error], expires time.Duration) iter.Seq2[Linked, error] {
	return func(yield func(Linked, error) bool) {
		linker, ok := store.(sink.Linker)
		if !ok {
			yield(Linked{}, ErrNoLinks)
			return
		}
		begin := func(f File) func(context.Context) (Linked, error) {
			return func(ctx context.Context) (Linked, error) { return link(ctx, store, linker, f, expires) }
		}
		if err := each(ctx, files, thawWorkers, begin, func(l Linked) bool { return yield(l, nil) }); err != nil {
			yield(Linked{}, err)
		}
	}
}

func link(ctx context.Context, store sink.Store, linker sink.Linker, f File, expires time.Duration) (l Linked, err error) {
	l = Linked{File: f, Name: path.Base(f.Key)}
	info, err := store.Head(ctx, f.Key, f.Version)
	switch {
	case err != nil:
		return l, err
	case info.Size != f.Size || info.SHA256 != f.SHA256:
		return l, altered("%s: %w: its SHA-256 is %x, and was %v", f.Key, ErrAltered, info.SHA256, f.SHA256)
	}
	if l.Link, err = linker.Link(ctx, f.Key, f.Version, l.Name, expires); err != nil {
		return l, fmt.Errorf("%s: %w", f.Key, err)
	}
	return l, nil
}
