package batch

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
)

// Compression of a rendered file.
type Compression struct {
	// Kind is gzip, zstd or none.
	Kind string
	// Level is 1 (fast) to 9 for gzip, 1 to 22 for zstd, of which its encoder knows four steps.
	Level int
}

// ContentType is that of the compressed file; plain is that of its content.
func (c Compression) ContentType(plain string) string {
	switch c.Kind {
	case seal.Gzip:
		return "application/gzip"
	case seal.Zstd:
		return "application/zstd"
	}
	return plain
}

// writer returns a writer that compresses into w. Equal input gives equal output: no time and no name is in the headers, and one goroutine does it.
func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c.Kind {
	case seal.Gzip:
		return gzip.NewWriterLevel(w, c.Level)
	case seal.Zstd:
		level := zstd.EncoderLevelFromZstd(c.Level)
		options := []zstd.EOption{zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)}
		if level == zstd.SpeedFastest {
			options = append(options, zstd.WithWindowSize(fastWindow))
		}
		return zstd.NewWriter(w, options...)
	case seal.Uncompressed:
		return nopCloser{w}, nil
	}
	return nil, fmt.Errorf("compression %q: must be gzip, zstd or none", c.Kind)
}

// fastWindow is how far back zstd's fastest level looks. Eight times as far gave files that were 1.4 % smaller and took markedly longer,
// since that no longer fits into a core's cache.
const fastWindow = 512 << 10

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// stagedFile is a file being written below the staging folder. Its SHA-256 is taken of the bytes as they are written.
type stagedFile struct {
	file *os.File
	buf  *bufio.Writer
	hash hash.Hash
	size int64
	// sent is how much of it the kernel was told to write to the disk.
	sent int64
	z    io.WriteCloser
}

// writebackEvery is after how many bytes of a file the kernel is told to begin with them. What it keeps to itself is waited for at the sync, when nothing is rendered any more: 3 of the 23 s of a day of
// 2,000,000 events.
const writebackEvery = 4 << 20

func newStagedFile(root, key string, c Compression) (*stagedFile, error) {
	path := filepath.Join(root, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	s := &stagedFile{file: file, hash: sha256.New()}
	s.buf = bufio.NewWriterSize((*hashedWriter)(s), 256<<10)
	if s.z, err = c.writer(s.buf); err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	return s, nil
}

type hashedWriter stagedFile

func (w *hashedWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	w.hash.Write(p[:n]) // never fails
	w.size += int64(n)
	if w.size-w.sent >= writebackEvery {
		startWriteback(w.file, w.sent, w.size-w.sent)
		w.sent = w.size
	}
	return n, err
}

// Write takes content, uncompressed.
func (s *stagedFile) Write(p []byte) (int, error) { return s.z.Write(p) }

// finish has the whole file written. It is on stable storage when sync has returned as well, which takes as long as the disk does.
func (s *stagedFile) finish() error {
	for _, step := range []func() error{s.z.Close, s.buf.Flush} {
		if err := step(); err != nil {
			_ = s.file.Close() // the first error is what matters
			return err
		}
	}
	return nil
}

func (s *stagedFile) sync() error {
	err := s.file.Sync()
	if closeErr := s.file.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (s *stagedFile) abandon() { _ = s.file.Close() } // the staging folder is removed as a whole
