package batch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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

const (
	// maxKeyFiles is how many key files are read at once: a day may have any number of addenda, a trail any number of seals with suspect events.
	maxKeyFiles = 64
	// keyWindow bounds what reading one of them takes.
	keyWindow = 128 << 10
)

// keyFile is a key file being written.
type keyFile struct {
	file *os.File
	z    *zstd.Encoder
	buf  []byte
}

func createKeyFile(path string) (*keyFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(keyWindow))
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	return &keyFile{file: file, z: z}, nil
}

func (k *keyFile) add(tail []byte) error {
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
	class   uint8  // of the files that are open
	current *keyFile
	suspect *keyFile
}

// unfinished is what the name of a folder ends in that is no whole set of keys.
const unfinished = ".new"

func createKeySet(name string) (*keySet, error) {
	s := &keySet{name: name, dir: name + unfinished}
	if err := removeKeySet(s.name); err != nil {
		return nil, err
	}
	return s, os.MkdirAll(s.dir, 0o700)
}

// removeKeySet removes a set, whole or unfinished, if it is there. What a stop in between leaves of it is not under its name.
func removeKeySet(name string) error {
	dir := strings.TrimSuffix(name, unfinished) + unfinished
	if err := os.RemoveAll(dir); err != nil || dir == name {
		return err
	}
	if err := os.Rename(name, dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := syncDir(filepath.Dir(name)); err != nil { // else a machine that stops could find part of it under its name
		return err
	}
	return os.RemoveAll(dir)
}

// add adds the key of an event of the class of that index. Classes come one after the other.
func (s *keySet) add(class uint8, tail []byte, suspect bool) error {
	if s.current == nil || s.class != class {
		if err := s.closeCurrent(); err != nil {
			return err
		}
		var err error
		s.class = class
		if s.current, err = createKeyFile(filepath.Join(s.dir, fmt.Sprintf("%03d.keys", class))); err != nil {
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

// abandon leaves a set unfinished, after an error.
func (s *keySet) abandon() {
	_ = s.closeCurrent() // the first error is what matters
	_ = os.RemoveAll(s.dir)
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

// prior knows the events that are sealed already, for a scan of a day.
type prior struct {
	dir      string
	day      *known                   // of the day's seals
	suspects func() ([]string, error) // lists the key files of suspect events of other days
	others   *known                   // these, from the first suspect event of the scan on
}

// match says whether an event of the scan is sealed, and else whether an event of its time and id is, with other content.
func (p *prior) match(item *spool.Item) (sealed, conflict bool, err error) {
	sealed, conflict, err = p.day.match(item.Group.Class, item.Tail)
	if err != nil || sealed || !item.Suspect {
		return sealed, conflict, err
	}
	if p.others == nil {
		paths, err := p.suspects()
		if err != nil {
			return false, false, err
		}
		if p.others, err = openKnown(p.dir, paths); err != nil {
			return false, false, err
		}
	}
	sealed, elsewhere, err := p.others.match(item.Group.Class, item.Tail)
	return sealed, conflict || elsewhere, err
}

func (p *prior) close() {
	p.day.close()
	if p.others != nil {
		p.others.close()
	}
}

// known goes through key files side by side. It is asked in the order of a scan; each class of the scan goes through them anew.
type known struct {
	paths   []string
	merged  []string // those of paths that are to be removed
	class   int
	readers []*keyReader
}

// openKnown opens key files. Where they are many, they are first merged into fewer, in dir.
func openKnown(dir string, paths []string) (*known, error) {
	k := &known{paths: paths, class: -1}
	for len(k.paths) > maxKeyFiles {
		merged, err := mergeKeys(dir, k.paths[:maxKeyFiles])
		if err != nil {
			k.close()
			return nil, err
		}
		k.merged = append(k.merged, merged)
		k.paths = append(k.paths[maxKeyFiles:len(k.paths):len(k.paths)], merged)
	}
	return k, nil
}

// mergeKeys makes one key file of several, in dir, and returns its path.
func mergeKeys(dir string, paths []string) (string, error) {
	k := &known{paths: paths}
	defer k.close()
	if err := k.reopen(0); err != nil {
		return "", err
	}
	name, err := os.CreateTemp(dir, "keys-*")
	if err != nil {
		return "", err
	}
	if err := name.Close(); err != nil {
		return "", err
	}
	out, err := createKeyFile(name.Name())
	if err != nil {
		return "", err
	}
	for len(k.readers) > 0 && err == nil {
		least := 0
		for i, r := range k.readers {
			if bytes.Compare(r.tail, k.readers[least].tail) < 0 {
				least = i
			}
		}
		if err = out.add(k.readers[least].tail); err == nil {
			_, err = k.advance(least)
		}
	}
	if closeErr := out.close(); err == nil {
		err = closeErr
	}
	return name.Name(), err
}

// advance moves reader i on. At its end, more is false and the reader is gone.
func (k *known) advance(i int) (more bool, err error) {
	r := k.readers[i]
	if more, err = r.next(); err == nil && !more {
		r.close()
		k.readers = append(k.readers[:i], k.readers[i+1:]...)
	}
	return more, err
}

func (k *known) match(class uint8, tail []byte) (sealed, conflict bool, err error) {
	if int(class) != k.class {
		if err := k.reopen(class); err != nil {
			return false, false, err
		}
	}
	for i := 0; i < len(k.readers); {
		r, more := k.readers[i], true
		for more && bytes.Compare(r.tail, tail) < 0 {
			conflict = conflict || spool.SameEvent(r.tail, tail)
			if more, err = k.advance(i); err != nil {
				return false, false, err
			}
		}
		if !more {
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

func (k *known) reopen(class uint8) error {
	k.closeReaders()
	k.class = int(class)
	for _, path := range k.paths {
		r, err := openKeyFile(path)
		if err != nil {
			return err
		}
		k.readers = append(k.readers, r)
		if _, err := k.advance(len(k.readers) - 1); err != nil {
			return err
		}
	}
	return nil
}

func (k *known) closeReaders() {
	for _, r := range k.readers {
		r.close()
	}
	k.readers = nil
}

func (k *known) close() {
	k.closeReaders()
	for _, path := range k.merged {
		_ = os.Remove(path) // and again at the next start
	}
}
