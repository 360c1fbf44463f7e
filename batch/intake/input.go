package intake

import (
	"bufio"
	"bytes"
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
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// input is one file to read.
type input struct {
	name string
	size int64 // bytes on disk, 0 if not known
	open func() (io.ReadCloser, error)
}

// inputs walks the paths: a file is itself, a folder all files below it in name order, Stdin is stdin. Names that begin with a dot are passed over
// inside of folders. A path that is not there is an error at once; what can't be read inside of a folder is handed to fault, and the walk goes on.
//
// Folders are read through os.Root: a symbolic link that leads out of its folder is a fault, never followed.
func inputs(paths []string, stdin io.Reader, fault func(file, reason string)) ([]input, error) {
	var list []input
	for _, path := range paths {
		if path == Stdin {
			list = append(list, input{name: "standard input", open: func() (io.ReadCloser, error) { return io.NopCloser(stdin), nil }})
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			list = append(list, input{path, info.Size(), func() (io.ReadCloser, error) { return os.Open(path) }})
			continue
		}
		folder, err := walk(path, fault)
		if err != nil {
			return nil, err
		}
		list = append(list, folder...)
	}
	return list, nil
}

func walk(dir string, fault func(file, reason string)) ([]input, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	var list []input
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		name := filepath.Join(dir, path)
		if err != nil {
			fault(name, plain(err))
			return nil
		}
		if path != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := root.Stat(path)
		switch {
		case err != nil:
			fault(name, plain(err))
		case info.IsDir():
			fault(name, "a symbolic link to a folder: name the folder itself to have it read")
		case !info.Mode().IsRegular():
			fault(name, "not a regular file")
		default:
			list = append(list, input{name, info.Size(), func() (io.ReadCloser, error) { return openIn(dir, path) }})
		}
		return nil
	})
	return list, err
}

func openIn(dir, path string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // the file stays open
	return root.Open(path)
}

// plain is the reason of an error without the path, which is told beside it.
func plain(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
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

// decompress looks at the first bytes of r and undoes gzip or zstd. A file that grows more than ratio times is refused once it has grown large.
func decompress(r io.Reader, ratio int64) (io.Reader, func(), error) {
	in := &countReader{r: r}
	head := bufio.NewReaderSize(in, 256<<10)
	magic, err := head.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		z, err := gzip.NewReader(head)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return &bombReader{r: z, in: in, ratio: ratio, kind: "gzip"}, func() {}, nil
	case bytes.HasPrefix(magic, zstdMagic):
		z, err := zstd.NewReader(head, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return &bombReader{r: z, in: in, ratio: ratio, kind: "zstd"}, z.Close, nil
	}
	return head, func() {}, nil
}

type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

type bombReader struct {
	r     io.Reader
	in    *countReader
	out   int64
	ratio int64
	kind  string
}

func (b *bombReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.out += int64(n)
	if b.out > bombFloor && b.out > b.ratio*b.in.n {
		return n, fmt.Errorf("%s: %d bytes became more than %d: this looks like a decompression bomb (limits.ratio is %d)", b.kind, b.in.n, b.out, b.ratio)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s, after %d bytes of content: %w", b.kind, b.out, err)
	}
	return n, err
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
