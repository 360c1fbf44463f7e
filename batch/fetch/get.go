package fetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path"
	"path/filepath"
	"sync"

	"daybook/batch/seal"
	"daybook/formats"
	"daybook/sink"
)

// Options say how files are fetched.
type Options struct {
	// Dir is the folder that they go to, which is made. They lie below it under the keys that they have in the store.
	Dir string
	// Flat puts them side by side, under the class and the last element of their keys. The second of two files of one name is ErrThere.
	Flat bool
	// Unpack writes what is in a file instead of the file, without the extension of its compression.
	Unpack bool
	// BOM puts a byte order mark in front of CSV, from which spreadsheets see that it is UTF-8. It unpacks.
	BOM bool
	// Workers is how many files are fetched at a time. Default: 4.
	Workers int
	// Progress is told of what was fetched. Its calls do not overlap.
	Progress func(Progress)
}

// Progress is how far the fetching is.
type Progress struct {
	// Bytes of Total are there. Total grows as files are found.
	Bytes, Total int64
}

// Got is a file that was fetched, or why it was not.
type Got struct {
	File
	// Path is where it is.
	Path string
	// Kept says that it was there before. Resumed bytes of it were.
	Kept    bool
	Resumed int64
	// Err is of this file alone: ErrAltered, ErrThere, sink.ErrNotExist, sink.ErrHidden or sink.ErrCold. The others are fetched all the same.
	Err error
}

// Get fetches files, and yields them in their order. An error ends the sequence: the rest was not fetched, and what was begun is gone on with by the next Get.
func Get(ctx context.Context, store sink.Store, files iter.Seq2[File, error], o *Options) iter.Seq2[Got, error] {
	return func(yield func(Got, error) bool) {
		g, err := newGetter(store, o)
		if err != nil {
			yield(Got{}, err)
			return
		}
		if err := errors.Join(each(ctx, files, g.Workers, g.begin, func(got Got) bool { return yield(got, nil) }), g.root.Close()); err != nil {
			yield(Got{}, err)
		}
	}
}

// getter fetches files into a folder.
type getter struct {
	Options
	store sink.Store
	root  *os.Root
	names map[string]string // of Flat: which key has a name. It belongs to the goroutine that calls begin

	mu       sync.Mutex // guards progress, and orders what is told of it
	progress Progress
}

func newGetter(store sink.Store, o *Options) (*getter, error) {
	g := &getter{Options: *o, store: store, names: map[string]string{}}
	if g.Workers <= 0 {
		g.Workers = 4
	}
	if g.Progress == nil {
		g.Progress = func(Progress) {}
	}
	g.Unpack = g.Unpack || g.BOM
	if err := os.MkdirAll(g.Dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	g.root, err = os.OpenRoot(g.Dir)
	return g, err
}

// begin says where a file goes, and returns what fetches it.
func (g *getter) begin(f File) func(context.Context) (Got, error) {
	got := Got{File: f}
	if got.Path, got.Err = g.place(f); got.Err != nil {
		return func(context.Context) (Got, error) { return got, nil }
	}
	g.tell(0, f.Size)
	return func(ctx context.Context) (Got, error) {
		err := g.fetch(ctx, &got)
		if ofOneFile(err) {
			got.Err, err = err, nil
		}
		return got, err
	}
}

// ofOneFile reports whether an error says nothing of other files.
func ofOneFile(err error) bool {
	for _, of := range []error{ErrAltered, ErrThere, sink.ErrNotExist, sink.ErrHidden, sink.ErrCold, sink.ErrConflict} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
}

// place says where a file goes, relative to the folder.
func (g *getter) place(f File) (string, error) {
	where := f.Key
	if g.Unpack {
		where = unpackedName(where, f.Compression)
	}
	if g.Flat {
		where = flatName(f, where)
		if other := g.names[where]; other != "" {
			return "", &sink.HintError{
				Err:  fmt.Errorf("%s: %w: %s has the same name", f.Key, ErrThere, other),
				Hint: "fetch them with the store's folders, or one class or format at a time",
			}
		}
		g.names[where] = f.Key
	}
	return filepath.Join(g.Dir, filepath.FromSlash(where)), nil
}

func flatName(f File, key string) string { return seal.EncodeName(f.Class) + "-" + path.Base(key) }

func (g *getter) tell(read, found int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.progress.Bytes += read
	g.progress.Total += found
	g.Progress(g.progress)
}

// withMark reports whether a byte order mark goes in front of a file.
func (g *getter) withMark(f *File) bool { return g.BOM && f.Format == formats.CSV.Name }

// transformed reports whether what is written is not what is stored.
func (g *getter) transformed(f *File) bool {
	return g.withMark(f) || g.Unpack && f.Compression != seal.Uncompressed
}
