package batch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"daybook/batch/spool"
)

// Key files remember which events a seal holds, so that what is sent again is known. A seal has one for each class, and one more for the events of the
// class whose time is suspect: those are filed under the day they came, and so are looked for in every seal of the trail. Each is a zstd stream of key tails in
// order:
//
//	length uvarint | tail
//
// They are a cache: where one is missing it is made again from the evidence.
const suspectKeys = "suspect"

// keyFile is a key file being written.
type keyFile struct {
	path string
	file *os.File
	z    *zstd.Encoder
	buf  []byte
	rows int64
}

func createKeyFile(path string) (*keyFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &keyFile{path: path, file: file, z: z}, nil
}

func (k *keyFile) add(tail []byte) error {
	k.rows++
	k.buf = append(binary.AppendUvarint(k.buf, uint64(len(tail))), tail...)
	if len(k.buf) < 32<<10 {
		return nil
	}
	return k.flush()
}

func (k *keyFile) flush() error {
	_, err := k.z.Write(k.buf)
	k.buf = k.buf[:0]
	return err
}

func (k *keyFile) close() error {
	err := k.flush()
	for _, step := range []func() error{k.z.Close, k.file.Sync, k.file.Close} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	return err
}

// keySet is the keys of a seal: a folder of key files, which exists under its name only when it is whole.
type keySet struct {
	name    string
	dir     string // until close
	current *keyFile
	suspect *keyFile
}

func createKeySet(name string) (*keySet, error) {
	s := &keySet{name: name, dir: name + ".new"}
	for _, dir := range []string{s.name, s.dir} {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return s, os.MkdirAll(s.dir, 0o700)
}

// add adds the key of an event of the class of that index. Classes come one after the other.
func (s *keySet) add(class uint8, tail []byte, suspect bool) error {
	name := filepath.Join(s.dir, fmt.Sprintf("%03d.keys", class))
	if s.current == nil || s.current.path != name {
		if err := s.closeCurrent(); err != nil {
			return err
		}
		var err error
		if s.current, err = createKeyFile(name); err != nil {
			return err
		}
	}
	if suspect {
		if s.suspect == nil {
			var err error
			if s.suspect, err = createKeyFile(filepath.Join(s.dir, fmt.Sprintf("%s-%03d.keys", suspectKeys, class))); err != nil {
				return err
			}
		}
		if err := s.suspect.add(tail); err != nil {
			return err
		}
	}
	return s.current.add(tail)
}

func (s *keySet) closeCurrent() error {
	var err error
	for _, k := range []*keyFile{s.current, s.suspect} {
		if k == nil {
			continue
		}
		if closeErr := k.close(); err == nil {
			err = closeErr
		}
	}
	s.current, s.suspect = nil, nil
	return err
}

func (s *keySet) close() error {
	if err := s.closeCurrent(); err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	if err := os.Rename(s.dir, s.name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.name))
}

// keyReader goes through a key file.
type keyReader struct {
	file *os.File
	z    *zstd.Decoder
	r    *bufio.Reader
	tail []byte
}

func openKeyFile(path string) (*keyReader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		_ = file.Close() // it was only read
		return nil, err
	}
	return &keyReader{file: file, z: z, r: bufio.NewReaderSize(z, 32<<10)}, nil
}

func (k *keyReader) next() (bool, error) {
	n, err := binary.ReadUvarint(k.r)
	if err == io.EOF {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", k.file.Name(), err)
	}
	if uint64(cap(k.tail)) < n {
		k.tail = make([]byte, n)
	}
	k.tail = k.tail[:n]
	if _, err := io.ReadFull(k.r, k.tail); err != nil {
		return false, fmt.Errorf("%s: %w", k.file.Name(), err)
	}
	return true, nil
}

func (k *keyReader) close() {
	k.z.Close()
	_ = k.file.Close() // it was only read
}

// prior knows the events of a day that are sealed already. It is asked in the order of a scan; each class of the scan goes through it anew.
type prior struct {
	paths   []string
	class   int
	readers []*keyReader
}

func openPrior(paths []string) *prior { return &prior{paths: paths, class: -1} }

// match says whether the event with that tail is sealed, and else whether an event of its time and id is, with other content.
func (p *prior) match(class uint8, tail []byte) (sealed, conflict bool, err error) {
	if len(p.paths) == 0 {
		return false, false, nil
	}
	if int(class) != p.class {
		if err := p.reopen(class); err != nil {
			return false, false, err
		}
	}
	for i := 0; i < len(p.readers); {
		r := p.readers[i]
		more := true
		for more && bytes.Compare(r.tail, tail) < 0 {
			conflict = conflict || spool.SameEvent(r.tail, tail)
			if more, err = r.next(); err != nil {
				return false, false, err
			}
		}
		if !more {
			r.close()
			p.readers = append(p.readers[:i], p.readers[i+1:]...)
			continue
		}
		if bytes.Equal(r.tail, tail) {
			return true, false, nil
		}
		conflict = conflict || spool.SameEvent(r.tail, tail)
		i++
	}
	return false, conflict, nil
}

func (p *prior) reopen(class uint8) error {
	p.close()
	p.class = int(class)
	for _, path := range p.paths {
		r, err := openKeyFile(path)
		if err != nil {
			return err
		}
		more, err := r.next()
		if err != nil || !more {
			r.close()
			if err != nil {
				return err
			}
			continue
		}
		p.readers = append(p.readers, r)
	}
	return nil
}

func (p *prior) close() {
	for _, r := range p.readers {
		r.close()
	}
	p.readers = nil
}
