package batch

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
)

// sealKeysDir is where the keys of a seal lie. A seal is named by its day and addendum here, since its number is known only at its commit.
func (s *state) sealKeysDir(trail string, day event.Day, addendum int) string {
	return filepath.Join(s.keysDir(trail), day.String(), fmt.Sprintf("%04d", addendum))
}

// dropKeys removes the keys of seals that were made before that time.
func (s *state) dropKeys(before time.Time) error {
	dirs, err := fs.Glob(os.DirFS(s.dir), "keys/*/*/*")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		info, err := os.Stat(s.path(dir))
		if errors.Is(err, fs.ErrNotExist) { // an unfinished set goes with the one of its name
			continue
		}
		if err == nil && info.ModTime().Before(before) {
			err = removeKeySet(s.path(dir))
		}
		if err != nil {
			return fmt.Errorf("data folder: %w", err)
		}
	}
	return nil
}

// priorOf returns what knows the events of a day that are sealed already, and the suspect events of the trail's other days: these are filed under the
// day they come, and may have come before. Keys that are missing are made again from the evidence in the store.
func (r *Roller) priorOf(ctx context.Context, l *ledger, day event.Day) (*prior, error) {
	own, err := r.keyFilesOf(ctx, l, l.days[day], false)
	if err != nil {
		return nil, err
	}
	p := &prior{dir: r.state.path("runs")}
	p.suspects = func() ([]string, error) {
		elsewhere := slices.DeleteFunc(slices.Clone(l.suspects), func(n uint64) bool { return slices.Contains(l.days[day], n) })
		return r.keyFilesOf(ctx, l, elsewhere, true)
	}
	p.day, err = openKnown(p.dir, own)
	return p, err
}

// keyFilesOf returns the key files of seals: those of all events, or those of suspect ones.
func (r *Roller) keyFilesOf(ctx context.Context, l *ledger, seals []uint64, suspect bool) ([]string, error) {
	var paths []string
	for _, n := range seals {
		m, err := l.manifest(n)
		if err != nil {
			return nil, err
		}
		dir := r.state.sealKeysDir(l.trail, m.Day.Day, m.Addendum)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			if err := r.rebuildKeys(ctx, m, dir); err != nil {
				return nil, fmt.Errorf("keys of seal %d of %s: %w", m.Seal, m.Trail, err)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), suspectKeys) == suspect {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
		}
	}
	return paths, nil
}

// rebuildKeys makes the keys of a seal from its evidence, and checks that on the way.
func (r *Roller) rebuildKeys(ctx context.Context, m *seal.Manifest, dir string) error {
	keys, err := createKeySet(dir)
	if err != nil {
		return err
	}
	var evidence []seal.File
	for _, f := range m.Files {
		if f.Format == formats.JSONL.Name {
			evidence = append(evidence, f)
		}
	}
	slices.SortFunc(evidence, func(a, b seal.File) int {
		if c := strings.Compare(a.Class, b.Class); c != 0 {
			return c
		}
		return a.Part - b.Part
	})
	class := uint8(0) // by order: which one it is does not matter, only that each is in order by itself
	for i, f := range evidence {
		if i > 0 && f.Class != evidence[i-1].Class {
			class++
		}
		err := readEvidence(ctx, r.Store, f, func(row []byte, e *event.Event, tail []byte) error {
			return keys.add(class, tail, e.HasFlag(event.FlagTimeSuspect))
		})
		if errors.Is(err, sink.ErrNotExist) && r.ended(m, &evidence[i]) { // else a late event of a day that is long over would keep all others of its trail from being sealed
			r.Log.Warn("evidence is gone, since its retention is over: an event of it that comes again is not known any more", "trail", m.Trail, "seal", m.Seal, "day", m.Day.String(), "file", f.Key)
			continue
		}
		if err != nil {
			keys.abandon()
			return fmt.Errorf("%s: %w", f.Key, err)
		}
	}
	return keys.close()
}

// ended reports whether a file of a seal may be gone: the retention that it had, extensions and holds included, is over. One that was never locked has none, and may not.
func (r *Roller) ended(m *seal.Manifest, f *seal.File) bool {
	if f.RetainUntil.IsZero() {
		return false
	}
	until := f.RetainUntil
	if r.log != nil {
		until = r.log.LockedTo(m.Trail, m.Seal, until)
		for _, h := range r.log.Holds().On(m.Trail, m.Day.Day) {
			if h.Covers(f) && !h.At.After(until) {
				return false
			}
		}
	}
	return r.Now().After(until)
}

// readEvidence hands on each row of an evidence file. A file that is not the one of the manifest is an error.
func readEvidence(ctx context.Context, store sink.Store, f seal.File, row func(row []byte, e *event.Event, tail []byte) error) error {
	body, err := store.Get(ctx, f.Key, f.Version)
	if err != nil {
		return err
	}
	defer body.Close()
	hash := sha256.New()
	stored := io.TeeReader(body, hash)
	z, err := zstd.NewReader(stored, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	var (
		lines = bufio.NewReaderSize(z, 64<<10)
		line  []byte
		tail  []byte
		e     event.Event
	)
	for {
		if line, err = readLine(lines, line[:0]); err != nil {
			break
		}
		if tail, err = spool.TailOf(tail[:0], &e, line); err != nil {
			return err
		}
		if err := row(line, &e, tail); err != nil {
			return err
		}
	}
	if err != io.EOF {
		return err
	}
	if _, err := io.Copy(io.Discard, stored); err != nil {
		return err
	}
	if sum := hash.Sum(nil); !bytes.Equal(sum, f.SHA256[:]) {
		return fmt.Errorf("its SHA-256 is %x, but the manifest says %v", sum, f.SHA256)
	}
	return nil
}

// readLine reads a line of any length, without its line feed. A last line without one is cut off, since every row has one.
func readLine(r *bufio.Reader, line []byte) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case err == io.EOF && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
