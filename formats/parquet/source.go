package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// A page of more bytes than that, which one with a giant value has, is decompressed piece by piece.
	wholePage = 2 * pageBytes
	// windowSize is how much of such a page is in memory, beside what the decompressor keeps.
	windowSize = 64 << 10
	// takeMost is how much can be taken of it at once.
	takeMost = windowSize / 2
)

var errPageEnds = errors.New("the page ends too early")

// source is the bytes of a page that are not read yet.
type source struct {
	buf  []byte
	more *pageStream // nil if all is in buf
}

// take returns the next n bytes, at most takeMost of a page that is not in memory. They hold until the next call.
func (s *source) take(n int) ([]byte, error) {
	if n <= len(s.buf) {
		b := s.buf[:n:n]
		s.buf = s.buf[n:]
		return b, nil
	}
	if s.more == nil || int64(n) > s.left() {
		return nil, errPageEnds
	}
	if err := s.refill(n); err != nil {
		return nil, err
	}
	return s.take(n)
}

// left returns how many bytes there are.
func (s *source) left() int64 {
	n := int64(len(s.buf))
	if s.more != nil {
		n += s.more.left
	}
	return n
}

// refill makes room for at least n bytes, and reads them.
func (s *source) refill(n int) error {
	m := s.more
	kept := copy(m.window, s.buf)
	got, err := io.ReadAtLeast(m.zip, m.window[kept:min(int64(len(m.window)), int64(kept)+m.left)], n-kept)
	m.left -= int64(got)
	s.buf = m.window[:kept+got]
	if err != nil {
		return m.failed(err)
	}
	return nil
}

// section returns the next n bytes. They hold until the page ends; what is not in memory is put into room.
func (s *source) section(n int, room *[]byte) ([]byte, error) {
	if s.more == nil || int64(n) > s.left() {
		return s.take(n)
	}
	*room = (*room)[:0]
	for n > 0 {
		b, err := s.take(min(n, takeMost))
		if err != nil {
			return nil, err
		}
		*room = append(*room, b...)
		n -= len(b)
	}
	return *room, nil
}

// end checks that all was read.
func (s *source) end() error {
	if s.left() > 0 {
		return fmt.Errorf("%d bytes behind the page's last value", s.left())
	}
	if s.more != nil {
		return s.more.end()
	}
	return nil
}

// pageStream decompresses a page that is too long to be held in memory.
type pageStream struct {
	zip    *zstd.Decoder
	packed *io.SectionReader
	hash   hash.Hash32
	crc    uint32
	window []byte
	left   int64 // bytes to come
	read   error // of the file
}

func newPageStream() (*pageStream, error) {
	zip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(pageBytes))
	if err != nil {
		return nil, err
	}
	return &pageStream{zip: zip, window: make([]byte, windowSize)}, nil
}

// start begins a page, whose frame was checked by frameSize.
func (m *pageStream) start(packed *io.SectionReader, size int64, crc uint32) error {
	m.packed, m.left, m.crc, m.hash, m.read = packed, size, crc, crc32.NewIEEE(), nil
	return m.zip.Reset(m)
}

// Read reads the compressed page.
func (m *pageStream) Read(p []byte) (int, error) {
	n, err := m.packed.Read(p)
	m.hash.Write(p[:n])
	if err != nil && err != io.EOF {
		m.read = err
	}
	return n, err
}

func (m *pageStream) failed(err error) error {
	if m.read != nil {
		return &readError{m.read}
	}
	return fmt.Errorf("the page cannot be decompressed: %w", err)
}

func (m *pageStream) end() error {
	var none [1]byte
	switch n, err := io.ReadFull(m.zip, none[:]); {
	case n > 0:
		return errors.New("the page is longer than its header says")
	case err != io.EOF:
		return m.failed(err)
	}
	if m.hash.Sum32() != m.crc {
		return errChecksum
	}
	return nil
}

var errChecksum = errors.New("the page's checksum is wrong")

// readError is an error of the file's reader, which says nothing about the file.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

var errFrame = errors.New("the page is not one zstd frame")

// checkFrame checks that the n bytes of r are one zstd frame and nothing else: a decompressor passes over what stands in frames of other kinds.
func checkFrame(r io.ReaderAt, n, plainSize int64) error {
	var head [zstd.HeaderMaxSize]byte
	got, err := r.ReadAt(head[:min(n, int64(len(head)))], 0)
	if err != nil && err != io.EOF {
		return &readError{err}
	}
	var h zstd.Header
	if err := h.Decode(head[:got]); err != nil || h.Skippable || h.HasCheckSum || h.DictionaryID != 0 || h.HasFCS && h.FrameContentSize != uint64(plainSize) {
		return errFrame
	}
	for pos := int64(h.HeaderSize); ; {
		var b [4]byte
		if pos+3 > n {
			return errFrame
		}
		if _, err := r.ReadAt(b[:3], pos); err != nil && err != io.EOF {
			return &readError{err}
		}
		block := binary.LittleEndian.Uint32(b[:])
		size := int64(block >> 3)
		switch block >> 1 & 3 {
		case 1: // one byte, repeated
			size = 1
		case 3:
			return errFrame
		}
		pos += 3 + size
		if block&1 == 1 {
			if pos != n {
				return errFrame
			}
			return nil
		}
	}
}
