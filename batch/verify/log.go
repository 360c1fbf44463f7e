package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
)

// logState is what is known of the store's log.
type logState struct {
	// present: there is a log, and its entries lie under its newest checkpoint, as far as they could be read.
	present bool
	// proven: its leaves, every one, are under a checkpoint that the key in force has signed. Only then do they vouch for anything.
	proven bool
	// broken: some of it could not be read or is wrong, so that what it does not have may be among that.
	broken bool
	// skipped is how many seals are believed to be missing in it.
	skipped uint64
	head    logs.Checkpoint
	signed  []byte    // the newest checkpoint's file
	size    int64     // leaves read
	began   time.Time // of the first leaf
	keyring *logs.Keyring
	later   *logs.Keyring // as keysSince tells; nil where there is no log
	trails  map[string]*loggedTrail
	// hashes are those of the tree, in the order of tlog.StoredHashIndex. Empty where nothing proves the leaves.
	hashes []tlog.Hash
	// newest[i] is the latest time among the leaves 0 to i and the seals that they name, in seconds.
	newest []int64
	// sizes are those of the checkpoints that there are, or that are being published.
	sizes []int64
	// anchored are the files, by size, of checkpoints that are in the store and fit.
	anchored map[int64][]byte

	holds      map[hold][]int64 // when each was put that was not released, in seconds
	heldDays   map[holdScope][]span
	extensions logs.Extensions     // without who and why
	erasures   map[string]*erasure // by the file's key
	reviews    []reference
}

type erasure struct {
	logs.ErasureLeaf
	index int64
	met   bool // the file is one of the seal's
}

// reference is what a leaf says of a seal.
type reference struct {
	index       int64
	kind        logs.Type
	trail       string
	first, last uint64
	manifest    seal.Hash
}

// loggedTrail is what the log has of a trail: the seal of number n is at n-1.
type loggedTrail struct{ seals []loggedSeal }

type loggedSeal struct {
	index    int64 // of the leaf; -1 if there is none
	manifest seal.Hash
	key      string
	at       int64 // the leaf's time, in seconds
	sealedAt int64 // the manifest's
	retain   int64 // the latest end of a lock of its files
	mode     sink.Mode
	day      event.Day
	addendum int
	extended int64 // until when a later leaf has its files locked
}

func (s *loggedSeal) time() time.Time { return time.Unix(s.at, 0) }

// key returns a key that the log knows.
func (l *logState) key(id string) (seal.PublicKey, bool) {
	r, ok := l.keyring.Find(id)
	return r.Key, ok
}

func newLogState() *logState {
	return &logState{keyring: &logs.Keyring{}, trails: map[string]*loggedTrail{}, holds: map[hold][]int64{}, erasures: map[string]*erasure{}, anchored: map[int64][]byte{}}
}

// maxHeads is how many checkpoints are tried until one is found that the entries lie under.
const maxHeads = 8

// readLog reads the log under its newest checkpoint that fits, and checks all of its objects.
func (v *verifier) readLog(ctx context.Context) {
	v.log = newLogState()
	tried, unfit := 0, map[int64]bool{}
	for _, size := range slices.Backward(v.inv.checkpoints) {
		if tried == maxHeads || ctx.Err() != nil {
			break
		}
		key := logs.CheckpointKey(size)
		about := Finding{Key: key}
		data, c, ok := v.readCheckpoint(ctx, size)
		if !ok {
			unfit[size] = true
			continue
		}
		tried++
		l := newLogState()
		l.head, l.signed = c, data
		if v.replay(ctx, l, about) {
			v.log = l
			break
		}
		if v.log.signed == nil { // the newest, where none fits, is better than nothing
			l.broken = true
			v.log = l
		}
	}
	l := v.log
	if l.signed == nil {
		if v.inv.hasLog() {
			l.broken = true
			v.add(Finding{Code: codeLogMissing, Key: logs.Prefix, Expected: "a checkpoint", Found: "other objects of a log"})
		}
		v.checkPins()
		return
	}
	if v.o.Partial && len(l.hashes) == 0 {
		v.withoutLog()
		return
	}
	l.present = l.size > 0 && len(l.keyring.Keys()) > 0
	for _, size := range v.inv.checkpoints {
		if size <= l.head.Size {
			l.sizes = append(l.sizes, size)
		}
	}
	v.finishLog(ctx)
	l.later = v.keysSince(ctx, l)
	l.spread()
	v.reportLog()
	v.checkCheckpoints(ctx, unfit)
	l.proven = l.anchored[l.head.Size] != nil || l.size > l.head.Size // a step is taken in only with a good checkpoint
	if v.report.unproven = !l.proven; l.proven {
		head := &v.report.Levels.Head
		head.Origin, head.Size, head.Root = l.head.Origin, l.head.Size, l.head.Root
	}
	v.checkNexts(ctx) // it finds sizes that tiles are of
	v.checkTiles(ctx)
	v.checkPins()
}

// withoutLog goes on as if a partial copy had no log: so much of it is absent that no checkpoint can be checked, as is told. Nothing that the rest says may count,
// for what is absent may be what would contradict it.
func (v *verifier) withoutLog() {
	v.log = newLogState()
	v.log.broken = true
	v.report.unproven = true
	v.report.Counts.Leaves = 0
	for _, size := range v.inv.checkpoints {
		v.inv.explain(logs.CheckpointKey(size))
	}
	for _, from := range v.inv.nexts {
		v.inv.explain(logs.NextKey(from))
	}
	for _, t := range v.inv.tiles {
		v.inv.explain(logs.TileKey(t))
	}
	v.checkPins()
}

// readCheckpoint reads the checkpoint of a size, its signature aside.
func (v *verifier) readCheckpoint(ctx context.Context, size int64) ([]byte, logs.Checkpoint, bool) {
	key := logs.CheckpointKey(size)
	about := Finding{Key: key, Expected: fmt.Sprintf("the checkpoint of %d leaves", size)}
	at := v.locate(key, Finding{})
	if !at.there {
		return nil, logs.Checkpoint{}, false // a marker, which is told
	}
	data, err := v.read(ctx, at, logs.MaxCheckpoint)
	if err != nil {
		v.fault(err, about, codeCheckpoint, codeCheckpoint)
		return nil, logs.Checkpoint{}, false
	}
	c, err := logs.ParseCheckpoint(data)
	if err == nil && c.Size != size {
		err = fmt.Errorf("that of %d", c.Size)
	}
	if err != nil {
		about.Code, about.Found = codeCheckpoint, err.Error()
		v.add(about)
		return nil, logs.Checkpoint{}, false
	}
	return data, c, true
}

// replay reads all leaves under a checkpoint. It reports whether they give its root.
//
// Hashes and entries are in the store twice, as leaf hashes of level 0 and as entries. Whichever gives the root is right, and shows where the other is not.
func (v *verifier) replay(ctx context.Context, l *logState, about Finding) bool {
	proven := v.leafHashes(ctx, l.head)
	var tree seal.Tree
	whole := true
	for n := int64(0); n*torchwood.TileWidth < l.head.Size; n++ {
		t := tlog.Tile{H: torchwood.TileHeight, L: -1, N: n, W: int(min(torchwood.TileWidth, l.head.Size-n*torchwood.TileWidth))}
		entries, ok := v.bundle(ctx, t)
		if !ok {
			whole = false
			break // what follows cannot be counted
		}
		for i, entry := range entries {
			index := n*torchwood.TileWidth + int64(i)
			hash := tlog.RecordHash(entry)
			if proven != nil && proven[index] != hash {
				l.broken = true
				v.add(Finding{Code: codeLogAltered, Key: logs.TileKey(t), Expected: fmt.Sprintf("leaf %d with hash %x", index, proven[index][:8]), Found: fmt.Sprintf("%x", hash[:8])})
				hash, entry = proven[index], nil
			}
			tree.AppendLeaf(seal.Hash(hash))
			l.appendHash(index, hash)
			v.leaf(l, index, entry)
		}
	}
	v.report.Counts.Leaves = l.size
	if whole && tree.Root() == l.head.Root {
		return true
	}
	if whole {
		v.add(Finding{Code: codeLogRoot, Key: about.Key, Expected: "root " + l.head.Root.String(), Found: "root " + tree.Root().String()})
	}
	l.hashes, l.broken = nil, true
	return false
}

// leafHashes returns the leaf hashes of level 0, if they give the checkpoint's root.
func (v *verifier) leafHashes(ctx context.Context, c logs.Checkpoint) []tlog.Hash {
	var hashes []tlog.Hash
	var tree seal.Tree
	for n := int64(0); n*torchwood.TileWidth < c.Size; n++ {
		t := tlog.Tile{H: torchwood.TileHeight, L: 0, N: n, W: int(min(torchwood.TileWidth, c.Size-n*torchwood.TileWidth))}
		at := v.locate(logs.TileKey(t), Finding{})
		if !at.there {
			return nil // told when the tiles are checked
		}
		data, err := v.read(ctx, at, int64(t.W)*tlog.HashSize)
		if err != nil || len(data) != t.W*tlog.HashSize {
			return nil
		}
		for h := range slices.Chunk(data, tlog.HashSize) {
			hashes = append(hashes, tlog.Hash(h))
			tree.AppendLeaf(seal.Hash(h))
		}
	}
	if tree.Root() != c.Root {
		return nil
	}
	return hashes
}

// bundle reads the entries of a tile, unproven.
func (v *verifier) bundle(ctx context.Context, t tlog.Tile) ([][]byte, bool) {
	key := logs.TileKey(t)
	about := Finding{Key: key, Expected: fmt.Sprintf("%d entries", t.W)}
	at := v.locate(key, Finding{})
	if !at.there {
		if v.inv.find(key) == nil {
			v.fault(sink.ErrNotExist, about, codeLogObjectMissing, codeLogAltered)
		}
		return nil, false
	}
	data, err := v.read(ctx, at, int64(t.W)*(2+logs.MaxEntry))
	if err != nil {
		v.fault(err, about, codeLogObjectMissing, codeLogAltered)
		return nil, false
	}
	entries := make([][]byte, t.W)
	for i := range entries {
		if entries[i], data, err = torchwood.ReadTileEntry(data); err != nil {
			about.Code, about.Found = codeLogAltered, err.Error()
			v.add(about)
			return nil, false
		}
	}
	if len(data) > 0 {
		about.Code, about.Found = codeLogAltered, fmt.Sprintf("%d bytes behind them", len(data))
		v.add(about)
	}
	return entries, true
}

func (l *logState) appendHash(index int64, hash tlog.Hash) {
	all, err := tlog.StoredHashesForRecordHash(index, hash, l)
	if err != nil {
		return // the hashes before are there
	}
	l.hashes = append(l.hashes, all...)
}

// ReadHashes implements tlog.HashReader.
func (l *logState) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	list := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		if n >= int64(len(l.hashes)) {
			return nil, fmt.Errorf("hash %d of %d", n, len(l.hashes))
		}
		list[i] = l.hashes[n]
	}
	return list, nil
}

// rootAt returns the root that the log had at a size.
func (l *logState) rootAt(size int64) (seal.Hash, bool) {
	if size > l.size || len(l.hashes) == 0 {
		return seal.Hash{}, false
	}
	h, err := tlog.TreeHash(size, l)
	return seal.Hash(h), err == nil
}

// leaf takes a leaf. entry is nil if it was altered.
func (v *verifier) leaf(l *logState, index int64, entry []byte) {
	l.size = index + 1
	latest := int64(0)
	if n := len(l.newest); n > 0 {
		latest = l.newest[n-1]
	}
	defer func() { l.newest = append(l.newest, latest) }()
	if entry == nil {
		return
	}
	about := Finding{Key: fmt.Sprintf("%s#%d", logs.Prefix, index), Expected: fmt.Sprintf("leaf %d", index)}
	parsed, err := l.keyring.Apply(index, entry)
	if err != nil && l.keyring.Size() < index { // an earlier leaf was at fault, so that the keyring has stopped
		parsed, _, err = logs.ParseLeaf(entry)
	}
	if err != nil {
		l.broken = true
		about.Code, about.Found = codeLeafInvalid, err.Error()
		line, _, _ := strings.Cut(string(entry), "\n")
		if schema, ok := schemaOf([]byte(line)); ok && schema != logs.Schema {
			about.Code = codeSchemaUnknown
		}
		v.add(about)
		return
	}
	if index == 0 {
		l.began = parsed.Time
	}
	at := parsed.Time.Unix()
	switch {
	case v.ahead(parsed.Time):
		about.Code, about.Expected, about.Found = codeFuture, "a time before "+stamp(v.now), stamp(parsed.Time)
		v.add(about)
	case at < latest-int64(clockSkew/time.Second):
		about.Code, about.Expected, about.Found = codeTimeOrder, "a time after "+stamp(time.Unix(latest, 0)), stamp(parsed.Time)
		v.add(about)
	}
	latest = max(latest, at)
	v.take(l, index, parsed, about)
}

// settle adds the times of seals, which are known when these were read, to those of the leaves.
func (l *logState) settle() {
	for _, t := range l.trails {
		for i := range t.seals {
			if s := &t.seals[i]; s.index >= 0 {
				l.newest[s.index] = max(l.newest[s.index], s.sealedAt)
			}
		}
	}
	for i := 1; i < len(l.newest); i++ {
		l.newest[i] = max(l.newest[i], l.newest[i-1])
	}
}

// take remembers what a leaf says.
func (v *verifier) take(l *logState, index int64, leaf *logs.Leaf, about Finding) {
	switch leaf.Type {
	case logs.TypeSeal:
		s := leaf.Seal
		t := l.trails[s.Trail]
		if t == nil {
			t = &loggedTrail{}
			l.trails[s.Trail] = t
		}
		due := uint64(len(t.seals)) + 1
		if s.Seal != due && !(l.broken && s.Seal > due) { // past a leaf that could not be read one may be missing
			about.Trail, about.Seal, about.Code = s.Trail, s.Seal, codeLogTwice
			about.Expected, about.Found = fmt.Sprintf("seal %d", due), fmt.Sprintf("seal %d", s.Seal)
			v.add(about)
		}
		// In all no more are believed to be missing than there are leaves: what leaves say of numbers must not become memory.
		if s.Seal < due || s.Seal-due > uint64(l.size)-l.skipped {
			return
		}
		for ; due < s.Seal; due++ {
			l.skipped++
			t.seals = append(t.seals, loggedSeal{index: -1})
		}
		t.seals = append(t.seals, loggedSeal{index: index, manifest: s.Manifest, key: s.Key, at: leaf.Time.Unix(), day: s.Day.Day, addendum: s.Addendum})
	case logs.TypeHold:
		l.hold(leaf.Hold, leaf.Time.Unix())
	case logs.TypeExtension:
		e := *leaf.Extension
		e.By, e.Reason = "", ""
		l.extensions = append(l.extensions, logs.Extension{ExtensionLeaf: e, At: leaf.Time, Leaf: index})
	case logs.TypeErasure:
		e := *leaf.Erasure
		e.By, e.Reason = cut(e.By), cut(e.Reason)
		l.erasures[e.Key] = &erasure{ErasureLeaf: e, index: index}
	case logs.TypeReview:
		l.reviews = append(l.reviews, reference{index, leaf.Type, leaf.Review.Trail, leaf.Review.FirstSeal, leaf.Review.LastSeal, leaf.Review.Manifest})
	case logs.TypeKey: // the keyring's
	}
}

// reportLog reports the keys.
func (v *verifier) reportLog() {
	l := v.log
	for _, k := range l.keyring.Keys() {
		v.report.Keys = append(v.report.Keys, KeyReport{
			Name: k.Key.Name(), ID: k.Key.ID(), Fingerprint: k.Key.Fingerprint(), First: k.First, Last: k.Last, RevokedFrom: k.RevokedFrom,
		})
		v.keyNeeded(k.Key.ID(), Finding{})
	}
	if l.present {
		v.report.Levels.Chain.SignedBy = l.keyring.Current().Fingerprint()
	}
}

// checkCheckpoints checks every checkpoint, but for those that were found unfit, against the leaves and keys of the newest.
func (v *verifier) checkCheckpoints(ctx context.Context, unfit map[int64]bool) {
	for _, size := range v.inv.checkpoints {
		if ctx.Err() != nil {
			return
		}
		data, c := v.log.signed, v.log.head
		if size != v.log.head.Size {
			if unfit[size] {
				continue // told
			}
			var ok bool
			if data, c, ok = v.readCheckpoint(ctx, size); !ok {
				continue
			}
			if size > v.log.size {
				v.checkBeyond(data, c)
				continue
			}
		}
		if v.checkCheckpoint(data, c, Finding{Key: logs.CheckpointKey(size)}) {
			v.log.anchored[c.Size] = data
		}
		v.otherVersions(ctx, size)
	}
}

// checkBeyond checks who signed a checkpoint whose leaves are not all there, which is told.
func (v *verifier) checkBeyond(data []byte, c logs.Checkpoint) {
	if !v.log.present {
		return
	}
	key := v.log.keyring.Current()
	if _, err := logs.OpenCheckpoint(data, key); err != nil {
		v.add(Finding{Code: codeCheckpoint, Key: logs.CheckpointKey(c.Size), Expected: "a checkpoint signed by " + key.String(), Found: err.Error()})
	}
}

// checkCheckpoint checks one that was parsed, and reports whether it is one of this history.
func (v *verifier) checkCheckpoint(data []byte, c logs.Checkpoint, about Finding) bool {
	l := v.log
	if !l.present {
		return false
	}
	key, err := l.keyring.Signer(c.Size)
	genuine := false
	if err == nil || errors.Is(err, logs.ErrRevoked) {
		_, openErr := logs.OpenCheckpoint(data, key)
		genuine = openErr == nil
		if openErr != nil {
			err = openErr
		}
	}
	if c.Origin != l.keyring.Origin() {
		genuine, err = false, fmt.Errorf("origin %s", c.Origin)
	}
	root, known := l.rootAt(c.Size)
	switch {
	case genuine && known && root != c.Root:
		about.Code, about.Expected, about.Found = codeForked, "root "+root.String(), "root "+c.Root.String()+", with a good signature"
	case genuine && known:
		return true
	case genuine || l.broken && errors.Is(err, logs.ErrUnknownKey):
		return false // nothing to compare it with, which is told
	default:
		about.Code, about.Expected, about.Found = codeCheckpoint, fmt.Sprintf("%s, %d leaves, root %v, signed by %v", l.keyring.Origin(), c.Size, root, key), err.Error()
	}
	v.add(about)
	return false
}

// otherVersions looks for a second history in versions that lie over a checkpoint: each is reported as a version, and one with a good signature as a fork.
func (v *verifier) otherVersions(ctx context.Context, size int64) {
	key := logs.CheckpointKey(size)
	for _, e := range v.inv.odd[key] {
		if e.Marker {
			continue
		}
		data, err := v.read(ctx, located{key: key, version: e.Version, size: e.Size, there: true}, logs.MaxCheckpoint)
		if err != nil {
			continue // the version is told
		}
		c, err := logs.ParseCheckpoint(data)
		root, known := v.log.rootAt(c.Size)
		if err != nil || !known || root == c.Root {
			continue
		}
		v.checkCheckpoint(data, c, Finding{Key: key})
	}
}

// checkTiles checks every tile and bundle that the store has against the leaves, also those of older checkpoints.
func (v *verifier) checkTiles(ctx context.Context) {
	l := v.log
	for _, t := range v.neededTiles() {
		if v.inv.find(logs.TileKey(t)) == nil {
			about := Finding{Key: logs.TileKey(t), Expected: fmt.Sprintf("%d hashes", t.W)}
			v.fault(sink.ErrNotExist, about, codeLogObjectMissing, codeLogAltered)
		}
	}
	for _, t := range v.inv.tiles {
		if ctx.Err() != nil {
			return
		}
		key := logs.TileKey(t)
		if len(l.hashes) == 0 {
			v.inv.explain(key)
			continue // nothing to compare with, which is told
		}
		if !v.tileExpected(t) {
			continue // it stays unexplained
		}
		at := v.locate(key, Finding{})
		if !at.there {
			continue
		}
		if t.L == -1 {
			v.checkBundle(ctx, t)
			continue
		}
		want, err := tlog.ReadTileData(t, l)
		if err != nil {
			continue // not under this head
		}
		data, err := v.read(ctx, at, int64(len(want)))
		if err != nil {
			v.fault(err, Finding{Key: key, Expected: fmt.Sprintf("%d hashes", t.W)}, codeLogObjectMissing, codeLogAltered)
			continue
		}
		if string(data) != string(want) {
			v.add(Finding{Code: codeLogAltered, Key: key, Expected: "SHA-256 " + seal.Sum(want).String(), Found: seal.Sum(data).String()})
		}
	}
}

// neededTiles are the tiles of hashes that the newest checkpoint needs; bundles were read.
func (v *verifier) neededTiles() []tlog.Tile {
	var need []tlog.Tile
	if len(v.log.hashes) == 0 {
		return nil
	}
	for _, t := range tlog.NewTiles(torchwood.TileHeight, 0, v.log.head.Size) {
		if t.L >= 0 {
			need = append(need, t)
		}
	}
	return need
}

// maxLevel is the highest level of tiles that a log of logs.MaxSize leaves has.
const maxLevel = 4

// tileExpected reports whether a tile is one that the log made: a full one under its head, or a partial one of some checkpoint.
func (v *verifier) tileExpected(t tlog.Tile) bool {
	level := max(t.L, 0)
	if t.H != torchwood.TileHeight || level > maxLevel {
		return false
	}
	// Counted in hashes of the level: what a hostile key says must not overflow.
	shift := torchwood.TileHeight * level
	end := t.N*torchwood.TileWidth + int64(t.W)
	if t.N > v.log.size || end > v.log.size>>shift {
		return false
	}
	if t.W == torchwood.TileWidth {
		return true
	}
	// A partial tile ends where a checkpoint did, or the part of one that its level can tell.
	i, _ := slices.BinarySearch(v.log.sizes, end<<shift)
	return i < len(v.log.sizes) && v.log.sizes[i]>>shift == end
}

// checkBundle checks the entries of a bundle that is not the newest checkpoint's.
func (v *verifier) checkBundle(ctx context.Context, t tlog.Tile) {
	l := v.log
	if end := t.N*torchwood.TileWidth + int64(t.W); end == l.head.Size || t.W == torchwood.TileWidth && end < l.head.Size {
		return // replay has
	}
	entries, ok := v.bundle(ctx, t)
	if !ok {
		return
	}
	for i, entry := range entries {
		index := t.N*torchwood.TileWidth + int64(i)
		want := l.hashes[tlog.StoredHashIndex(0, index)]
		if got := tlog.RecordHash(entry); got != want {
			v.add(Finding{Code: codeLogAltered, Key: logs.TileKey(t), Expected: fmt.Sprintf("leaf %d with hash %x", index, want[:8]), Found: fmt.Sprintf("%x", got[:8])})
		}
	}
}

// pin is a checkpoint that the auditor noted down.
type pin struct {
	c    logs.Checkpoint
	data []byte
}

// parsePin reads a checkpoint with or without signatures: it is the auditor's own, and so need not prove itself.
func parsePin(data []byte) (pin, error) {
	text := string(data)
	if len(text) > logs.MaxCheckpoint {
		return pin{}, errTooLarge
	}
	if head, _, signed := strings.Cut(text, "\n\n"); signed {
		text = head + "\n"
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	c, err := torchwood.ParseCheckpoint(text)
	if err != nil || c.Extension != "" || c.N < 1 || c.N > logs.MaxSize {
		return pin{}, fmt.Errorf("not a checkpoint: must be three lines, the log's name, its size and its root, with or without signatures below")
	}
	return pin{logs.Checkpoint{Origin: c.Origin, Size: c.N, Root: seal.Hash(c.Hash)}, data}, nil
}

// checkPins checks that the log begins with each checkpoint that the auditor holds.
func (v *verifier) checkPins() {
	head := &v.report.Levels.Head
	for _, p := range v.pins {
		about := Finding{Key: logs.CheckpointKey(p.c.Size), Expected: fmt.Sprintf("%d leaves of %s with root %v", p.c.Size, p.c.Origin, p.c.Root)}
		root, known := v.log.rootAt(p.c.Size)
		switch {
		case v.log.signed == nil:
			about.Code, about.Found = codeLogCut, "no log"
			if v.o.Partial {
				about.Code = codePinUnchecked
				if v.report.unproven {
					about.Found = "a log of which too much is missing here"
				}
			}
		case p.c.Origin != v.log.head.Origin:
			about.Code, about.Found = codePinOther, v.log.head.Origin
		case p.c.Size > v.log.head.Size:
			about.Code, about.Found = codeLogCut, fmt.Sprintf("%d leaves", v.log.head.Size)
		case !known:
			about.Code, about.Found = codePinUnchecked, "a log of which too much is missing here, or could not be read"
		case root != p.c.Root:
			about.Code, about.Found = codePinContradicted, "root "+root.String()
		default:
			head.Anchors = append(head.Anchors, Anchor{Kind: "checkpoint", By: "a checkpoint that you hold", Size: p.c.Size, Checked: true})
			if p.c.Size == v.log.head.Size {
				continue
			}
			about.Code, about.Found = codePinBehind, fmt.Sprintf("%d leaves", v.log.head.Size)
		}
		v.add(about)
	}
}

// signatures returns the signatures of a cosignature file, one a line.
func signatures(cosig []byte) ([]string, error) {
	var lines []string
	for line := range strings.Lines(string(cosig)) {
		if !strings.HasPrefix(line, "— ") || !strings.HasSuffix(line, "\n") || len(lines) == maxCosignatures {
			return nil, fmt.Errorf("not at most %d signature lines", maxCosignatures)
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return nil, errors.New("no signature line")
	}
	return lines, nil
}

const maxCosignatures = 16
