package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
	"daybook/formats"
	"daybook/sink"
)

// fileTask is a data file that is to be checked. It holds nothing of the manifest that grows with it.
type fileTask struct {
	file  seal.File
	about Finding
	at    located
	// want is the lock that it must have: the manifest's, or a later extension's.
	want sink.Lock
	held bool
	gone func(Finding) // says that it is not there
	// ended is when its retention ended, if that is over; else zero: it must be there.
	ended time.Time
}

// files checks that the files of a seal are there, and hands them to the workers.
func (w *walk) files(m *seal.Manifest, leaf *loggedSeal) {
	v := w.v
	wanted := v.wanted(m.Trail, m.Day.Day)
	v.asked = v.asked || wanted
	var extended time.Time
	if own := w.leaf(m.Seal); own != nil && own.extended != 0 && m.Trail == w.name {
		extended = time.Unix(own.extended, 0).UTC()
	}
	here := map[string]located{}
	for i := range m.Files {
		f := &m.Files[i]
		t := fileTask{file: *f, about: Finding{Key: f.Key, Trail: m.Trail, Seal: m.Seal, Day: &m.Day}, want: sink.Lock{Mode: f.LockMode, RetainUntil: f.RetainUntil}}
		if leaf != nil { // an extension is for the log's newest objects to outlast, which hold what those of then held
			leaf.lockedTo(t.want)
		}
		if t.want.Mode != sink.None {
			v.locked = true
			if extended.After(t.want.RetainUntil) {
				t.want.RetainUntil = extended
			}
		}
		v.wouldExpire(f.Key, m.SealedAt, t.want, t.about)
		e := v.log.erasures[f.Key]
		if e != nil && e.Trail == m.Trail && e.Seal == m.Seal && e.SHA256 == f.SHA256 {
			e.met = true
		} else {
			e = nil
		}
		since, held := v.log.heldSince(m, f)
		t.held = held
		until := t.want.RetainUntil
		if until.After(f.RetainUntil) {
			until = v.log.extensions.LockedTo(m.Trail, m.Seal, f.RetainUntil)
		}
		// What had gone by right before somebody put a hold on its day, or had it locked for longer, was not there for that. A hold outlives retention.
		if t.want.Mode != sink.None && v.now.After(until) && !(held && since <= until.Unix()) {
			t.ended = until
		}
		t.gone = func(about Finding) { v.gone(about, t.file, t.ended, e) }
		if !v.locateFile(&t) {
			continue
		}
		if !wanted {
			v.skips++
			continue
		}
		if v.o.Deep {
			here[f.Key] = t.at
		}
		v.tasks <- func(ctx context.Context) { v.checkFile(ctx, &t) }
	}
	if v.o.Deep && wanted {
		v.compare(m, here)
	}
}

// bareFile checks a file of which only a note's line is known.
func (w *walk) bareFile(sum seal.SumLine, about Finding) {
	v := w.v
	about.Key = sum.Key
	t := fileTask{file: seal.File{Key: sum.Key, SHA256: sum.SHA256, Size: -1}, about: about}
	t.gone = func(about Finding) { v.gone(about, t.file, t.ended, v.log.erasures[sum.Key]) }
	if v.locateFile(&t) {
		v.tasks <- func(ctx context.Context) { v.checkFile(ctx, &t) }
	}
}

// locateFile finds the sealed version of a file in the listing, and reports what lies beside it. It reports whether there is something to read.
func (v *verifier) locateFile(t *fileTask) bool {
	f := &t.file
	t.at = located{key: f.Key, version: f.Version, size: f.Size, there: true}
	o, before := v.inv.explain(f.Key)
	about := t.about
	if before {
		about.Code, about.Expected, about.Found = codeListedTwice, "one seal that has it", "another that has it too"
		v.add(about)
	}
	if o == nil {
		if v.inv.complete {
			t.gone(about)
			return false
		}
		return true // the listing broke off: it may be there
	}
	size := o.size
	if !v.inv.versions {
		t.at.version = ""
	} else if o.state&odd != 0 {
		versions := v.inv.odd[f.Key]
		expired := t.hiddenByRight(versions)
		if !expired {
			v.reportVersions(versions, f.Version, about)
		}
		found := false
		for _, e := range versions {
			if !e.Marker && (e.Version == f.Version || f.Version == "") { // the last is the oldest
				found, size = true, e.Size
				t.at.version = e.Version
			}
		}
		if found && expired {
			hidden := about
			hidden.Code, hidden.Found = codeFileExpired, "retained until "+stamp(t.ended)+", behind a delete marker"
			v.add(hidden)
		}
		if !found {
			t.at.version = ""
			left := slices.IndexFunc(versions, func(e sink.Entry) bool { return !e.Marker })
			if left >= 0 || versions == nil { // else a marker is all that there is
				v.versionMissing(versions, f, about)
			}
			if versions == nil || versions[0].Marker {
				t.gone(about)
				return false
			}
		}
	} else if f.Version != "" && versionID(f.Version) != o.version {
		about.Code, about.Expected, about.Found = codeVersionMissing, "version "+f.Version, "another one"
		v.add(about)
		t.at.version = ""
	}
	switch {
	case size < 0:
		about.Code, about.Expected, about.Found = codeNotAFile, "a file", "something else"
	case f.Size >= 0 && size != f.Size:
		about.Code, about.Expected, about.Found = codeFileSize, fmt.Sprintf("%d bytes", f.Size), fmt.Sprintf("%d bytes", size)
	default:
		return true
	}
	v.add(about)
	return false
}

// hiddenByRight reports whether markers that were set after the file's retention had ended are all that there is beside the sealed version: this is how a lifecycle rule begins to remove a
// file, and the version goes later.
func (t *fileTask) hiddenByRight(versions []sink.Entry) bool {
	return !t.ended.IsZero() && len(versions) > 0 && versions[0].Marker && !slices.ContainsFunc(versions, func(e sink.Entry) bool {
		if e.Marker {
			return !e.Modified.After(t.ended)
		}
		return e.Version != t.file.Version
	})
}

func (v *verifier) versionMissing(versions []sink.Entry, f *seal.File, about Finding) {
	about.Code, about.Expected, about.Found = codeVersionMissing, "version "+f.Version, "none"
	for _, e := range versions {
		if !e.Marker {
			about.Found = "version " + e.Version
			break
		}
	}
	v.add(about)
}

// gone says what it means that a file is not there.
func (v *verifier) gone(about Finding, f seal.File, ended time.Time, e *erasure) {
	about.Expected, about.Found = "SHA-256 "+f.SHA256.String(), "nothing"
	switch {
	case e != nil && e.SHA256 == f.SHA256:
		about.Code, about.Expected, about.Found = codeFileErased, "", fmt.Sprintf("erased by %s: %s", e.By, e.Reason)
	case !ended.IsZero():
		about.Code, about.Expected, about.Found = codeFileExpired, "", "retained until "+stamp(ended)
	case v.o.Partial:
		about.Code, about.Expected = codeAbsent, ""
	default:
		about.Code = codeFileMissing
	}
	v.add(about)
}

// worker is what checking a file needs, used again for the next.
type scratch struct {
	buf  []byte
	rows []byte
	sum  hash.Hash
	zstd *zstd.Decoder
}

const readSize = 512 << 10

func (v *verifier) scratch() *scratch {
	if s, ok := v.pool.Get().(*scratch); ok {
		return s
	}
	return &scratch{buf: make([]byte, readSize), sum: sha256.New()}
}

// checkFile reads a file and compares it with its manifest.
func (v *verifier) checkFile(ctx context.Context, t *fileTask) {
	if v.inv.versions && (t.want.Mode != sink.None || t.held) {
		v.checkLock(ctx, t.at, t.want, t.held, codeLockWeak, t.about)
	}
	body, err := v.store.Get(ctx, t.at.key, t.at.version)
	if errors.Is(err, sink.ErrNotExist) {
		t.gone(t.about)
		return
	}
	if err != nil {
		v.fault(err, t.about, codeFileMissing, codeFileAltered)
		return
	}
	defer body.Close()
	s := v.scratch()
	defer v.pool.Put(s)
	s.sum.Reset()
	src := v.newSource(body, t.file.Size)
	src.sum = s.sum
	var found *rowsFound
	if t.file.Format == formats.JSONL.Name {
		found = rowsOf(src, s, &t.file)
	}
	if err := src.drain(s.buf); err != nil {
		if ctx.Err() == nil {
			v.fault(err, t.about, codeFileMissing, codeFileAltered)
		}
		return
	}
	v.files.Add(1)
	v.tell(0)
	var sum seal.Hash
	s.sum.Sum(sum[:0])
	if sum != t.file.SHA256 {
		t.about.Code, t.about.Expected, t.about.Found = codeFileAltered, "SHA-256 "+t.file.SHA256.String(), sum.String()
		if src.over {
			t.about.Found = fmt.Sprintf("more than %d bytes", t.file.Size)
		}
		v.add(t.about)
		return // what it holds is then no wonder
	}
	if found != nil {
		v.checkRows(t, found)
	}
}

func (v *verifier) checkRows(t *fileTask, found *rowsFound) {
	about, f := t.about, &t.file
	switch {
	case found.err != nil:
		about.Code, about.Expected, about.Found = codeEvidenceBroken, fmt.Sprintf("%d rows", f.Rows), found.err.Error()
	case int64(found.tree.Rows()) != f.Rows:
		about.Code, about.Expected, about.Found = codeEvidenceRows, fmt.Sprintf("%d rows", f.Rows), fmt.Sprintf("%d rows", found.tree.Rows())
	case found.tree.Root() != f.MerkleRoot:
		about.Code, about.Expected, about.Found = codeEvidenceRoot, "root "+f.MerkleRoot.String(), "root "+found.tree.Root().String()
	default:
		v.rows.Add(f.Rows)
		return
	}
	v.add(about)
}

// source reads a stored file and hashes what it reads. Of a file that is longer than sealed no more than a byte too many is read.
type source struct {
	v    *verifier
	r    io.Reader
	sum  hash.Hash // nil where the file was hashed before
	left int64     // as the manifest has it; negative if that is not known
	over bool
	told int64
}

func (v *verifier) newSource(r io.Reader, size int64) *source { return &source{v: v, r: r, left: size} }

// Read reads and hashes. An error of the store is not the decoder's: drain returns it again.
func (s *source) Read(p []byte) (int, error) {
	if s.over {
		return 0, io.EOF
	}
	n, err := s.r.Read(p)
	if s.sum != nil {
		s.sum.Write(p[:n]) // a hash never fails
	}
	s.told += int64(n)
	if s.told >= 4<<20 {
		s.v.tell(s.told)
		s.told = 0
	}
	if s.left >= 0 {
		if s.left -= int64(n); s.left < 0 {
			s.over = true
		}
	}
	return n, err
}

// drain reads to the end.
func (s *source) drain(buf []byte) error {
	for {
		_, err := s.Read(buf)
		if err == io.EOF {
			s.v.tell(s.told)
			s.told = 0
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// rowsFound is what an evidence file holds.
type rowsFound struct {
	tree seal.Tree
	err  error
}

const (
	// maxRatio is how many times its size an evidence file may unpack to: more than the format can give for rows that differ by a few bytes.
	maxRatio = 16 << 10
	minBomb  = 64 << 20
	// maxWindow is how far back a zstd frame may look, which bounds the decoder's memory: the widest that Daybook's levels give.
	maxWindow = 32 << 20
	// rowBuffer is how long a row may be to be hashed in one piece.
	rowBuffer = 1 << 20
)

var (
	errBomb   = fmt.Errorf("unpacks to more than %d times its size", maxRatio)
	errNoLine = errors.New("ends within a row")
)

// rowsOf unpacks evidence and hashes its rows, in constant memory however long they are.
func rowsOf(src *source, s *scratch, f *seal.File) *rowsFound {
	found := &rowsFound{}
	if s.rows == nil {
		s.rows = make([]byte, 1+rowBuffer)
	}
	in := &chunked{src: src, buf: s.buf}
	text, err := s.unpack(f.Compression, in)
	if err == nil {
		err = hashRows(text, s.rows, &found.tree, mostRows(f.Size))
	}
	if in.err != nil { // the store's, not the file's: drain meets it again, or the hash differs
		err = in.err
	}
	found.err = err
	return found
}

// mostRows is how many bytes evidence of a size may unpack to.
func mostRows(size int64) int64 { return min(max(size, 1), 1<<40)*maxRatio + minBomb }

// unpack returns what a compressed file holds. The decoder of zstd, which is costly to make, is used again.
func (s *scratch) unpack(kind string, r io.Reader) (io.Reader, error) {
	switch kind {
	case seal.Gzip:
		return gzip.NewReader(r)
	case seal.Uncompressed:
		return r, nil
	}
	if s.zstd != nil {
		return s.zstd, s.zstd.Reset(r)
	}
	var err error
	s.zstd, err = newZstd(r)
	return s.zstd, err
}

func newZstd(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

// chunked feeds a decoder from large reads.
type chunked struct {
	src  *source
	buf  []byte
	have []byte
	err  error
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.have) == 0 {
		n, err := c.src.Read(c.buf)
		c.have = c.buf[:n]
		if err != nil && n == 0 {
			if err != io.EOF {
				c.err = err
			}
			return 0, err
		}
	}
	n := copy(p, c.have)
	c.have = c.have[n:]
	return n, nil
}

// hashRows appends each line of r to the tree. buf has room for a row and a byte before it, in which the prefix of a leaf is put: what stands there is the line
// feed of the row before, so that no row is copied to be hashed.
func hashRows(r io.Reader, buf []byte, tree *seal.Tree, limit int64) error {
	const first = 1
	start, end := first, first // of what is read and not hashed
	var long hash.Hash         // of a row that has no room
	for total := int64(0); ; {
		n, err := r.Read(buf[end:])
		total += int64(n)
		scanned := end
		end += n
		for {
			i := bytes.IndexByte(buf[scanned:end], '\n')
			if i < 0 {
				break
			}
			at := scanned + i
			if long != nil {
				long.Write(buf[start:at])
				var leaf seal.Hash
				long.Sum(leaf[:0])
				tree.AppendLeaf(leaf)
				long = nil
			} else {
				buf[start-1] = 0
				tree.AppendLeaf(sha256.Sum256(buf[start-1 : at]))
			}
			start = at + 1
			scanned = start
		}
		switch {
		case total > limit:
			return errBomb
		case err == io.EOF && (start < end || long != nil):
			return errNoLine
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if start == end {
			start, end = first, first
		} else if end == len(buf) {
			if start > first {
				copy(buf[first:], buf[start:end])
				start, end = first, first+end-start
				continue
			}
			if long == nil {
				long = sha256.New()
				long.Write([]byte{0})
			}
			long.Write(buf[start:end])
			start, end = first, first
		}
	}
}

// expiryRule is a lifecycle rule, and whether it was reported.
type expiryRule struct {
	sink.ExpiryRule
	told bool
}

// readRules reads by which rules the store removes objects.
func (v *verifier) readRules(ctx context.Context) {
	s, ok := v.store.(sink.Expirer)
	if !ok {
		return
	}
	rules, err := s.Expiry(ctx)
	if err != nil {
		v.add(Finding{Code: codeExpiryUnknown, Found: err.Error()})
		return
	}
	for _, r := range rules {
		if r.Days == 0 && r.Date.IsZero() {
			continue // of versions that are hidden, or of markers: neither is how a sealed file should be
		}
		v.expiry = append(v.expiry, &expiryRule{ExpiryRule: r})
		for _, prefix := range []string{"seals/", "log/", "keys/"} {
			if strings.HasPrefix(prefix, r.Prefix) || strings.HasPrefix(r.Prefix, prefix) {
				v.add(Finding{Code: codeExpiryControl, Key: prefix, Expected: "no rule", Found: describe(r)})
			}
		}
	}
}

func describe(r sink.ExpiryRule) string {
	when := fmt.Sprintf("after %d days", r.Days)
	if !r.Date.IsZero() {
		when = "at " + stamp(r.Date)
	}
	if r.Filtered {
		when += ", of some objects"
	}
	return fmt.Sprintf("rule %q removes %q %s", r.ID, r.Prefix, when)
}

// wouldExpire reports, once for each rule, that it removes a file too early.
func (v *verifier) wouldExpire(key string, sealedAt time.Time, want sink.Lock, about Finding) {
	for _, r := range v.expiry {
		if r.told || want.Mode == sink.None || !strings.HasPrefix(key, r.Prefix) {
			continue
		}
		at := r.Date
		if r.Days > 0 {
			at = sealedAt.AddDate(0, 0, r.Days)
		}
		if !at.Before(want.RetainUntil) {
			continue
		}
		r.told = true
		about.Code, about.Expected, about.Found = codeExpiryRule, "retained until "+stamp(want.RetainUntil), describe(r.ExpiryRule)
		v.add(about)
	}
}
