package intake

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/formats/frame"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// input is one file to read.
type input struct {
	name string
	size int64 // bytes on disk, 0 if not known
	open func() (io.ReadCloser, error)
	// waits says that another process may keep us waiting: for standard input, pipes and devices.
	waits bool
}

// Hidden is what was passed over inside of folders since its name begins with a dot: files that are not whole yet, most often. A folder counts as one.
type Hidden struct {
	Count int64
	First string // the first that was met
}

// inputs walks the paths: a file is itself, a folder all files below it in name order, Stdin is stdin. Names that begin with a dot are passed over
// inside of folders, and counted. A file that is named more than once, be it by a symbolic link, is read once: records without an id would else count as many. A path
// that is not there is an error at once; what can't be read is handed to fault, and the walk goes on.
//
// Folders are read through os.Root: a symbolic link that leads out of its folder is a fault, never followed.
func inputs(paths, skip []string, stdin io.Reader, fault func(file, reason string)) ([]input, Hidden, error) {
	f := finder{fault: fault, seen: map[string]bool{}, skip: map[string]bool{}}
	for _, dir := range skip {
		if real, err := realPath(dir); err == nil { // else it is not there, and can't be met
			f.skip[real] = true
		}
	}
	for _, path := range paths {
		if path == Stdin {
			f.add(path, input{"standard input", 0, func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil }, true})
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, Hidden{}, err
		}
		real, err := realPath(path)
		switch {
		case err != nil:
			return nil, Hidden{}, err
		case info.IsDir():
			f.seen[real] = true
			f.walk(path, real)
		case info.Mode().IsRegular():
			f.add(real, input{path, info.Size(), func() (io.ReadCloser, error) { return os.Open(path) }, false})
		default:
			f.add(real, input{path, 0, func() (io.ReadCloser, error) { return os.Open(path) }, true})
		}
	}
	return f.list, f.hiddenOnes(), nil
}

// File is one file of those that paths name.
type File struct {
	Name string
	Size int64 // bytes on disk, 0 if not known
	Open func() (io.ReadCloser, error)
}

// Files lists the files that paths name, as Import reads them: a folder is all files below it in name order, but for those in folders of skip. What can't be read is handed
// to fault.
func Files(paths, skip []string, stdin io.Reader, fault func(file, reason string)) ([]File, Hidden, error) {
	list, hidden, err := inputs(paths, skip, stdin, fault)
	if err != nil {
		return nil, hidden, err
	}
	files := make([]File, len(list))
	for i, f := range list {
		files[i] = File{f.name, f.size, f.open}
	}
	return files, hidden, nil
}

// realPath is where path leads.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// finder gathers what is to be read.
type finder struct {
	list  []input
	seen  map[string]bool // by where they lead
	skip  map[string]bool // likewise
	fault func(file, reason string)

	hidden []place
}

// place is what lies somewhere, and how it is called.
type place struct{ real, name string }

func (f *finder) add(real string, in input) {
	if !f.seen[real] {
		f.seen[real] = true
		f.list = append(f.list, in)
	}
}

// hiddenOnes counts what was passed over, and not named itself.
func (f *finder) hiddenOnes() Hidden {
	var h Hidden
	for _, at := range f.hidden {
		if f.seen[at.real] {
			continue
		}
		f.seen[at.real] = true
		if h.Count++; h.First == "" {
			h.First = at.name
		}
	}
	return h
}

// walk adds the files below dir, which leads to real.
func (f *finder) walk(dir, real string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		f.fault(dir, plain(err))
		return
	}
	defer root.Close()
	// The walk has no error of its own: it hands on what this returns, which is none.
	_ = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.Join(dir, path)
		if err != nil {
			f.fault(name, plain(err))
			return nil
		}
		if d.IsDir() && path != "." && f.skip[filepath.Join(real, path)] {
			return fs.SkipDir
		}
		if path != "." && strings.HasPrefix(d.Name(), ".") {
			f.hidden = append(f.hidden, place{filepath.Join(real, path), name})
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		target, link := filepath.Join(real, path), d.Type()&fs.ModeSymlink != 0
		info, err := root.Stat(path)
		if err == nil && link {
			target, err = filepath.EvalSymlinks(target)
		}
		switch {
		case err != nil && link:
			f.fault(name, fmt.Sprintf("a symbolic link that is not followed (%s): name what it leads to, to have that read", plain(err)))
		case err != nil:
			f.fault(name, plain(err))
		case info.IsDir():
			f.fault(name, "a symbolic link to a folder: name the folder itself to have it read")
		case !info.Mode().IsRegular():
			f.fault(name, "neither a file nor a folder: name it itself to have it read")
		default:
			f.add(target, input{name, info.Size(), func() (io.ReadCloser, error) { return openIn(dir, path) }, false})
		}
		return nil
	})
}

func openIn(dir, path string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // the file stays open
	return root.Open(path)
}

// openAside opens and reads in in a goroutine of its own: what waits for another process can't be called back, so that a cancelled import leaves it
// behind, and the goroutine ends with the read it waits for.
func openAside(ctx context.Context, in input) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		file, err := in.open()
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{file}, make([]byte, 256<<10))
			_ = file.Close() // it was only read
		}
		_ = w.CloseWithError(err) // never fails
	}()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	return r
}

// plain is the reason of an error without the path, which is told beside it.
func plain(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		return err.Error() + ": let the user that runs daybook read it"
	}
	return err.Error()
}

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// maxZstdWindow bounds what a zstd file may ask us to remember: what `zstd --ultra --long=26` asks for.
const maxZstdWindow = 64 << 20

// bombFloor is how much may come out of a compressed file before its ratio is looked at.
const bombFloor = 64 << 20

// decompress looks at the first bytes of in and undoes gzip or zstd. A file that grows more than ratio times is refused once it has grown large.
func decompress(in *countReader, ratio int64, window uint64) (io.Reader, func(), error) {
	magic, whole, err := frame.Head(in, 4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		z, err := gzip.NewReader(bufio.NewReaderSize(whole, unpackBuffer))
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return &bombReader{r: z, in: in, ratio: ratio, kind: "gzip"}, func() {}, nil
	case bytes.HasPrefix(magic, zstdMagic):
		z, err := zstd.NewReader(bufio.NewReaderSize(whole, unpackBuffer), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return &bombReader{r: z, in: in, ratio: ratio, window: window, kind: "zstd"}, z.Close, nil
	}
	return whole, func() {}, nil
}

// unpackBuffer is how much of a compressed file is read at a time.
const unpackBuffer = 64 << 10

// countReader counts what is read, up to a limit if it has one. It ends with its context. An error of reading stays: a bufio.Reader forgets what it told once.
type countReader struct {
	ctx   context.Context
	r     io.Reader
	limit int64 // 0: none
	tell  func(n int64) error
	n     int64
	err   error // not io.EOF
}

func (c *countReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.limit > 0 && c.n > c.limit {
		n -= int(c.n - c.limit)
		c.n = c.limit
		err = &told{fmt.Sprintf("it holds more than %d bytes", c.limit), ErrTooLarge}
	}
	if c.tell != nil && n > 0 && (err == nil || err == io.EOF) {
		if refused := c.tell(c.n); refused != nil {
			n, err = 0, refused
		}
	}
	if err != io.EOF {
		c.err = err
	}
	return n, err
}

type bombReader struct {
	r     io.Reader
	in    *countReader
	out   int64
	ratio int64
	// window is how much the frames of a zstd file may ask us to remember.
	window uint64
	kind   string
}

func (b *bombReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.out += int64(n)
	if b.out > bombFloor && b.out > b.ratio*b.in.n {
		return n, &told{fmt.Sprintf("%s: %d bytes became more than %d: this looks like a decompression bomb (limits.ratio is %d)", b.kind, b.in.n, b.out, b.ratio), ErrTooLarge}
	}
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the file is cut short: %w", err)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = fmt.Errorf("it was compressed with a window of more than %d bytes (zstd --long or --ultra), compress it anew: %w", b.window, err)
	}
	return n, fmt.Errorf("%s, after %d bytes of content: %w", b.kind, b.out, err)
}

// foreign names what content is that can't be read as it is, and says what to do about it; blank for all else.
func foreign(head []byte) string {
	for _, f := range []struct{ magic, what string }{
		{"PK\x03\x04", "a zip archive: unpack it first"},
		{"BZh", "bzip2: unpack it first, gzip and zstd are read as they are"},
		{"\xfd7zXZ\x00", "xz: unpack it first, gzip and zstd are read as they are"},
		{"\x04\x22\x4d\x18", "lz4: unpack it first, gzip and zstd are read as they are"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"},
		{string(gzipMagic), "compressed twice: unpack it once"},
		{string(zstdMagic), "compressed twice: unpack it once"},
		{"\xff\xfe", "text in UTF-16: turn it into UTF-8 first"},
		{"\xfe\xff", "text in UTF-16: turn it into UTF-8 first"},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.what
		}
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return "a tar archive: unpack it first"
	}
	return ""
}

// headSize is how much of a file's content is looked at to tell its format.
const headSize = 64 << 10

// lines goes through the first lines of a file's head.
func headLines(head []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; len(head) > 0 && i < 100; i++ {
			line, rest, _ := bytes.Cut(head, []byte("\n"))
			if !yield(line) {
				return
			}
			head = rest
		}
	}
}
