package service

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"daybook/sink"
)

// place is a place that is followed.
type place struct {
	next time.Time // when to look
	seen *seen     // nil before the first look
}

func (p *place) close() {
	if p.seen != nil {
		p.seen.close()
	}
}

// follow takes in the files of a place that were not taken before. A file is known by its key and ETag: one that was replaced is read again, and only what is new of it is
// taken. Files are listed by their keys, and not in order of time: the source has come up to the newest event once all of the listing was taken in.
func (s *Service) follow(ctx context.Context, f Follow, p *place) {
	if p.seen == nil {
		var err error
		if p.seen, err = openSeen(filepath.Join(s.config.Load().Batch.Data, "follow"), f.place()); err != nil {
			s.trouble("follow", f.Where, f.Where, err)
			return
		}
	}
	known, all := p.seen, true
	for e, err := range f.Store.List(ctx, "") {
		name := strings.TrimSuffix(f.Where, "/") + "/" + e.Key
		switch {
		case err != nil && e.Key != "":
			s.trouble("follow", f.Where, name, err)
			all = false
			continue
		case err != nil:
			s.trouble("follow", f.Where, f.Where, err)
			return
		}
		id := fileID(e)
		if e.Marker || e.Size < 0 || strings.HasSuffix(e.Key, "/") || known.has(id) {
			continue
		}
		took, err := s.takeFile(ctx, name, fileFeed{f.Org, f.Source, f.From, true, true, nil}, func() (io.ReadCloser, error) { return f.Store.Get(ctx, e.Key, "") })
		switch {
		case errors.Is(err, errUnread): // the place's to give: it is tried again, and those after it are not kept waiting
			s.trouble("follow", f.Where, name, err)
			all = false
			continue
		case err != nil:
			s.trouble("follow", f.Where, name, err)
			return
		}
		s.sources.saw(f.Org, f.Source, f.place(), took.newest)
		// A file whose content breaks off will not be whole the next time either: it is told, and known.
		if err := known.add(id); err != nil {
			s.trouble("follow", f.Where, f.Where, err)
			return
		}
		s.heard(name)
	}
	s.heard(f.Where)
	if all {
		s.sources.cameThrough(f.Org, f.Source, f.place(), s.now())
	}
	s.wentThrough(f.Where)
}

// heard forgets the trouble that there was with a place.
func (s *Service) heard(where string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.told, where)
}

type fileHash [16]byte

func fileID(e sink.Entry) fileHash {
	tag := e.ETag
	if tag == "" {
		tag = fmt.Sprintf("%d %d", e.Size, e.Modified.UnixNano())
	}
	sum := sha256.Sum256([]byte(e.Key + "\n" + tag))
	return fileHash(sum[:16])
}

// seen remembers which files were taken in: a file of a line for each, 32 hex digits, appended and synced. A line that was half written at a crash is passed over, and its
// file taken again.
type seen struct {
	file  *os.File
	end   int64 // of its whole lines
	known map[fileHash]struct{}
}

func openSeen(dir, of string) (*seen, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(of))
	file, err := os.OpenFile(filepath.Join(dir, hex.EncodeToString(sum[:8])+".seen"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &seen{file: file, known: map[fileHash]struct{}{}}
	in := bufio.NewReader(file)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				return nil, errors.Join(err, file.Close())
			}
			break
		}
		id, err := hex.DecodeString(strings.TrimSuffix(line, "\n"))
		if err != nil || len(id) != len(fileHash{}) {
			return nil, errors.Join(fmt.Errorf("%s: line %q is damaged: remove the file to have all files read again, of which no event is taken twice", file.Name(), line), file.Close())
		}
		s.known[fileHash(id)] = struct{}{}
		s.end += int64(len(line))
	}
	if err := file.Truncate(s.end); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

func (s *seen) has(id fileHash) bool { _, ok := s.known[id]; return ok }

func (s *seen) add(id fileHash) error {
	// Over what a write that failed has left of a line.
	n, err := s.file.WriteAt([]byte(hex.EncodeToString(id[:])+"\n"), s.end)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return err
	}
	s.end += int64(n)
	s.known[id] = struct{}{}
	return nil
}

func (s *seen) close() { _ = s.file.Close() } // every line was synced

// Folder is a folder that is followed: all regular files below it, but for those whose name or folder begins with a dot. A symbolic link is not followed. What below it can't be
// looked at is told as an error of its own.
type Folder struct{ Dir string }

// List is a sink.Lister's.
func (f Folder) List(_ context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		type found struct {
			sink.Entry
			err error
		}
		var list []found
		err := filepath.WalkDir(f.Dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil && p == f.Dir {
				return err
			}
			if p != f.Dir && strings.HasPrefix(d.Name(), ".") {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if err == nil && !d.Type().IsRegular() {
				return nil
			}
			key, keyErr := filepath.Rel(f.Dir, p)
			if keyErr != nil {
				return keyErr
			}
			entry := sink.Entry{Key: filepath.ToSlash(key), Latest: true}
			if err == nil {
				var info fs.FileInfo
				if info, err = d.Info(); err == nil {
					entry.Size, entry.Modified = info.Size(), info.ModTime()
				}
			}
			if !errors.Is(err, fs.ErrNotExist) { // it was moved on
				list = append(list, found{entry, err})
			}
			return nil
		})
		if err != nil {
			yield(sink.Entry{}, err)
			return
		}
		slices.SortFunc(list, func(a, b found) int { return strings.Compare(a.Key, b.Key) })
		for _, e := range list {
			if strings.HasPrefix(e.Key, prefix) && !yield(e.Entry, e.err) {
				return
			}
		}
	}
}

// Get is a Getter's.
func (f Folder) Get(_ context.Context, key, _ string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // only a handle
	return root.Open(path.Clean(key))
}
