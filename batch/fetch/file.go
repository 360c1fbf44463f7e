package fetch

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
	"daybook/sink"
)

// fetch fetches one file.
//
// What is stored goes into <key>.part first, whatever is written in the end: it is hashed there, before anything is made of it. To rename it, or what was made
// of it, is the commit point.
func (g *getter) fetch(ctx context.Context, got *Got) error {
	name, err := filepath.Rel(g.Dir, got.Path) // as it is in root
	if err != nil {
		return err
	}
	stored := filepath.FromSlash(got.Key)
	if g.Flat {
		stored = flatName(got.File, got.Key)
	}
	there, err := g.there(name)
	if err != nil {
		return fmt.Errorf("%s: %w", got.Path, err)
	}
	if there && !g.transformed(&got.File) {
		return g.keep(ctx, got, name)
	}
	if err := g.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("%s: %w", got.Path, err)
	}
	return g.throughPart(ctx, got, name, stored+".part", there)
}

// throughPart fetches what is stored into part, and makes of it what is to stand at name. If something does, that must be the same.
func (g *getter) throughPart(ctx context.Context, got *Got, name, part string, there bool) (err error) {
	f, err := g.root.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", got.Path, err)
	}
	if !hold(f) {
		err := &sink.HintError{Err: fmt.Errorf("%s: %w: another process writes to it", part, ErrThere), Hint: "wait until it is done"}
		return errors.Join(err, f.Close())
	}
	err = g.download(ctx, got, f)
	rename := false
	switch {
	case err != nil:
	case there:
		var same bool
		if same, err = g.same(ctx, &got.File, f, name); err == nil && !same {
			err = occupied(got.Path)
		}
		got.Kept = err == nil
	case g.transformed(&got.File):
		if err = g.unpack(ctx, &got.File, f, name); err != nil {
			err = fmt.Errorf("%s: %w", got.Path, err)
		}
	default:
		rename = true
		err = f.Sync()
	}
	info, statErr := f.Stat()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err == nil && rename:
		return g.root.Rename(part, name)
	case err == nil, ofOneFile(err), statErr == nil && info.Size() == 0:
		// It has done its work, or nothing of it will be of use.
		return errors.Join(err, g.root.Remove(part))
	}
	return err
}

func occupied(path string) error {
	return &sink.HintError{Err: fmt.Errorf("%s: %w", path, ErrThere), Hint: "nothing is written over: move it away, or fetch into another folder"}
}

// there reports whether a file stands at name. What else does is ErrThere.
func (g *getter) there(name string) (bool, error) {
	info, err := g.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return true, fmt.Errorf("%w: it is no file", ErrThere)
	}
	return true, nil
}

// keep leaves a file as it is that was fetched before.
func (g *getter) keep(ctx context.Context, got *Got, name string) error {
	f, err := g.root.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", got.Path, err)
	}
	defer func() { _ = f.Close() }() // it is only read
	h := sha256.New()
	n, err := io.Copy(h, reader{ctx, f})
	if err != nil {
		return fmt.Errorf("%s: %w", got.Path, err)
	}
	if n != got.Size || seal.Hash(h.Sum(nil)) != got.SHA256 {
		return occupied(got.Path)
	}
	got.Kept = true
	g.tell(got.Size, 0)
	return nil
}

// maxBreaks is how often a download may break off that goes on each time.
const maxBreaks = 16

// download completes part, and leaves its offset at its beginning. What is in it already is hashed; if that turns out to be something else, all is fetched anew.
func (g *getter) download(ctx context.Context, got *Got, part *os.File) error {
	h := sha256.New()
	have, err := io.Copy(h, reader{ctx, part})
	if err != nil {
		return fmt.Errorf("%s: %w", part.Name(), err)
	}
	_, ranges := g.store.(sink.Ranger)
	if have > got.Size || have > 0 && have < got.Size && !ranges {
		if err := restart(part, h); err != nil {
			return err
		}
		have = 0
	}
	got.Resumed = have
	g.tell(have, 0)
	for {
		have, err = g.read(ctx, got, part, h, have)
		if err == nil || got.Resumed == 0 || !errors.Is(err, ErrAltered) {
			break
		}
		// What lay there was not the beginning of this file.
		if err := restart(part, h); err != nil {
			return err
		}
		g.tell(-have, 0)
		have, got.Resumed = 0, 0
	}
	if err == nil {
		_, err = part.Seek(0, io.SeekStart)
	}
	return err
}

func restart(part *os.File, h hash.Hash) error {
	h.Reset()
	_, err := part.Seek(0, io.SeekStart)
	return errors.Join(err, part.Truncate(0))
}

// read appends what is missing to part, of which have bytes are there and in h, and compares what it came to. It returns how many bytes there are then. Where
// the store breaks off in the middle, it goes on from there.
func (g *getter) read(ctx context.Context, got *Got, part io.Writer, h hash.Hash, have int64) (int64, error) {
	_, ranges := g.store.(sink.Ranger)
	for breaks := 0; have < got.Size || got.Size == 0; breaks++ {
		body, err := g.open(ctx, &got.File, have)
		if err != nil {
			return have, err
		}
		// One byte more than there may be shows that there are more.
		n, err := io.Copy(io.MultiWriter(h, part, teller{g}), io.LimitReader(reader{ctx, body}, got.Size-have+1))
		have += n
		var broke *readError
		if errors.As(err, &broke) && ranges && n > 0 && breaks < maxBreaks && ctx.Err() == nil {
			_ = body.Close() // it failed
			continue
		}
		if err := errors.Join(err, body.Close()); err != nil {
			return have, fmt.Errorf("%s: %w", got.Key, err)
		}
		break
	}
	if have != got.Size {
		return have, altered("%s: %w: it has not the %d bytes that it had", got.Key, ErrAltered, got.Size)
	}
	if sum := seal.Hash(h.Sum(nil)); sum != got.SHA256 {
		return have, altered("%s: %w: its SHA-256 is %v, and was %v", got.Key, ErrAltered, sum, got.SHA256)
	}
	return have, nil
}

// open opens the version of a file that was sealed, from an offset on. A copy of a store keeps no versions, or has others: there the newest is read, and its
// hash tells whether it is the one.
func (g *getter) open(ctx context.Context, f *File, offset int64) (io.ReadCloser, error) {
	open := func(version string) (io.ReadCloser, error) {
		if offset == 0 {
			return g.store.Get(ctx, f.Key, version)
		}
		return g.store.(sink.Ranger).GetFrom(ctx, f.Key, version, offset)
	}
	body, err := open(f.Version)
	if errors.Is(err, sink.ErrNotExist) && f.Version != "" {
		body, err = open("")
	}
	if errors.Is(err, sink.ErrNotExist) && !f.RetainUntil.IsZero() {
		err = fmt.Errorf("%w (it was to be kept until %s)", err, f.RetainUntil.Format(time.DateOnly))
	}
	return body, err
}

// unpack writes what is in a stored file.
func (g *getter) unpack(ctx context.Context, f *File, part io.Reader, name string) (err error) {
	out, err := g.root.OpenFile(name+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.root.Remove(name+".part"))
		}
	}()
	content, err := g.content(ctx, f, part)
	if err == nil {
		_, err = io.Copy(out, content)
		content.close()
	}
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return g.root.Rename(name+".part", name)
}

// same compares what is in a stored file with the file at name.
func (g *getter) same(ctx context.Context, f *File, part io.Reader, name string) (bool, error) {
	there, err := g.root.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = there.Close() }() // it is only read
	content, err := g.content(ctx, f, part)
	if err != nil {
		return false, err
	}
	defer content.close()
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for r := bufio.NewReader(there); ; {
		n, err := io.ReadFull(content, a)
		m, err2 := io.ReadFull(r, b)
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if err == nil && err2 == nil {
			continue
		}
		for _, err := range []error{err, err2} {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return false, err
			}
		}
		return true, nil
	}
}

// content is what is in a stored file.
type content struct {
	io.Reader
	close func()
}

func (g *getter) content(ctx context.Context, f *File, part io.Reader) (content, error) {
	c := content{reader{ctx, part}, func() {}}
	switch f.Compression {
	case seal.Gzip:
		z, err := gzip.NewReader(c.Reader)
		if err != nil {
			return c, err
		}
		c.Reader = z
	case seal.Zstd:
		z, err := zstd.NewReader(c.Reader, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return c, err
		}
		c.Reader, c.close = z, z.Close
	}
	if g.withMark(f) {
		c.Reader = io.MultiReader(strings.NewReader("\ufeff"), c.Reader)
	}
	return c, nil
}

// unpackedName is a name without the extension of a compression.
func unpackedName(name, compression string) string {
	switch compression {
	case seal.Gzip:
		return strings.TrimSuffix(name, ".gz")
	case seal.Zstd:
		return strings.TrimSuffix(name, ".zst")
	}
	return name
}

// reader ends with its context, and marks its errors as those of reading.
type reader struct {
	ctx context.Context
	r   io.Reader
}

type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

// teller counts what passes.
type teller struct{ g *getter }

func (t teller) Write(p []byte) (int, error) {
	t.g.tell(int64(len(p)), 0)
	return len(p), nil
}
