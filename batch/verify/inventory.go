package verify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/sink"
)

// object is what is remembered of a key: 40 bytes, however long its name is.
type object struct {
	id      [16]byte // of the key's SHA-256
	version uint64   // of the newest version's SHA-256
	size    int64
	state   uint8
}

const (
	explained uint8 = 1 << iota // a manifest, the log or a key accounts for it
	odd                         // it has several versions or a marker; see inventory.odd
)

// inventory is the listing of a store.
type inventory struct {
	objects []object
	// odd holds all versions of keys that have not just one, newest first.
	odd map[string][]sink.Entry
	// err is why the listing did not come to its end.
	err error
	// complete: it did. listed are the passes that did.
	complete bool
	listed   int
	// versions: the store keeps versions, and so may keep locks.
	versions bool
	bytes    int64
	// oldest is when the first object was put that is in the listing.
	oldest time.Time

	trails      map[string]*sealList // by the name in the key
	keyFiles    []string
	checkpoints []int64
	nexts       []int64
	tiles       []tlog.Tile
	anchors     []string
	// elsewhere says where a store seems to be, where this is none.
	elsewhere string
}

// sealList is which seals of a trail the listing has.
type sealList struct {
	numbers []uint64
	has     []uint8 // beside numbers
}

const (
	hasManifest uint8 = 1 << iota
	hasNote
)

// maxOdd bounds how many keys of several versions are remembered: more of them than this is one finding all the same.
const (
	maxOdd      = 20_000
	maxVersions = 100 // of one key
)

func keyID(key string) (id [16]byte) {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:16])
}

func versionID(version string) uint64 {
	if version == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(version))
	return binary.BigEndian.Uint64(sum[:])
}

// takeInventory lists the store. An error leaves what was listed until then, and is reported.
func (v *verifier) takeInventory(ctx context.Context) {
	inv := &inventory{odd: map[string][]sink.Entry{}, trails: map[string]*sealList{}}
	v.inv = inv
	var last sink.Entry
	var group []sink.Entry // the versions of one key, while there are several
	begun := false
	flush := func() {
		if !begun {
			return
		}
		o := object{id: keyID(last.Key), version: versionID(last.Version), size: last.Size}
		if len(group) > 1 || last.Marker {
			o.state |= odd
			if len(inv.odd) < maxOdd {
				inv.odd[last.Key] = slices.Clone(group)
			}
		}
		inv.objects = append(inv.objects, o)
		inv.bytes += max(last.Size, 0)
		inv.classify(last.Key)
	}
	for e, err := range v.entries(ctx, func(n int) { inv.listed = n }) {
		if err != nil {
			v.add(Finding{Code: codeListFailed, Found: err.Error()})
			inv.err = err
			flush()
			inv.sort()
			return
		}
		if e.Version != "" {
			inv.versions = true
		}
		if !begun || e.Modified.Before(inv.oldest) {
			inv.oldest = e.Modified
		}
		if begun && e.Key == last.Key {
			if len(group) == maxVersions { // the oldest is what was sealed
				group = group[:maxVersions-1]
			}
			group = append(group, e)
			continue
		}
		flush()
		last, group, begun = e, append(group[:0], e), true
	}
	flush()
	inv.sort()
	inv.complete = true
}

func (inv *inventory) sort() {
	slices.SortFunc(inv.objects, func(a, b object) int { return bytes.Compare(a.id[:], b.id[:]) })
	for _, l := range inv.trails {
		sort.Sort(l)
	}
	slices.Sort(inv.checkpoints)
	slices.Sort(inv.nexts)
}

// passes are the prefixes in whose order a store is listed: the reverse of that in which a seal is made. What is listed while an exporter is at work then has all that it refers to: an
// anchor its checkpoint, that its tiles, these the step that leads to them, a leaf its seal, a seal its key and files. When the store is listed again, manifests that came since come before the
// files that they explain.
var passes = []string{logs.AnchorsPrefix, logs.CheckpointsPrefix, logs.TilesPrefix, logs.Prefix, sealsPrefix, keysPrefix, ""}

const (
	sealsPrefix = "seals/"
	keysPrefix  = "keys/"
)

// entries yields every version that the store has, or where it can't tell, every object, in the order of passes, and says how many of these are over.
func (v *verifier) entries(ctx context.Context, listed func(passes int)) iter.Seq2[sink.Entry, error] {
	list := v.store.(sink.Lister).List // Run has asked
	if s, ok := v.store.(sink.Versioner); ok {
		list = s.Versions
	}
	return func(yield func(sink.Entry, error) bool) {
		for i, prefix := range passes {
			for e, err := range list(ctx, prefix) {
				if err == nil && slices.ContainsFunc(passes[:i], func(p string) bool { return strings.HasPrefix(e.Key, p) }) {
					continue
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
			listed(i + 1)
		}
	}
}

// needs says of findings how many passes must be over for them: what was not listed may be there.
var needs = func() map[string]int {
	list := map[string]int{}
	for prefix, codes := range map[string][]string{
		logs.Prefix: {codeLogMissing, codeLogObjectMissing, codeLogCut, codeCheckpoint, codeAnchorStray, codeKeyUnknown, codeKeyNotYours},
		sealsPrefix: {codeSealMissing, codeManifestMissing, codeNoteMissing},
		keysPrefix:  {codeKeyMissing},
	} {
		for _, code := range codes {
			list[code] = slices.Index(passes, prefix) + 1
		}
	}
	return list
}()

// Keys of manifests where not the store was given, but a folder above it, or its folder seals.
var (
	manifestBelow = regexp.MustCompile(`^(.+)/seals/[^/]+/[0-9]{8,}/manifest\.json$`)
	manifestOfOne = regexp.MustCompile(`^[^/]+/[0-9]{8,}/manifest\.json$`)
)

// classify remembers keys that are not data files.
func (inv *inventory) classify(key string) {
	if inv.elsewhere == "" && strings.HasSuffix(key, "/"+manifestName) {
		if m := manifestBelow.FindStringSubmatch(key); m != nil {
			inv.elsewhere = fmt.Sprintf("below, in %s/", printable(m[1]))
		} else if manifestOfOne.MatchString(key) {
			inv.elsewhere = "above, if this is its folder seals"
		}
	}
	switch top, rest, _ := strings.Cut(key, "/"); top {
	case "seals":
		trail, n, kind, ok := parseSealKey(rest)
		if !ok {
			return
		}
		l := inv.trails[trail]
		if l == nil {
			l = &sealList{}
			inv.trails[trail] = l
		}
		if k := len(l.numbers) - 1; k >= 0 && l.numbers[k] == n {
			l.has[k] |= kind
			return
		}
		l.numbers, l.has = append(l.numbers, n), append(l.has, kind)
	case "keys":
		inv.keyFiles = append(inv.keyFiles, key)
	case "log":
		if size, ok := logs.ParseCheckpointKey(key); ok {
			inv.checkpoints = append(inv.checkpoints, size)
		} else if size, ok := logs.ParseNextKey(key); ok {
			inv.nexts = append(inv.nexts, size)
		} else if t, ok := logs.ParseTileKey(key); ok {
			inv.tiles = append(inv.tiles, t)
		} else if _, _, _, ok := logs.ParseAnchorKey(key); ok {
			inv.anchors = append(inv.anchors, key)
		}
	}
}

const (
	manifestName = "manifest.json"
	noteName     = "SHA256SUMS.note"
)

// maxSeal is more seals than a trail can have.
const maxSeal = 1 << 48

// parseSealKey takes apart what follows seals/ in the key of a manifest or note.
func parseSealKey(rest string) (trail string, n uint64, kind uint8, ok bool) {
	parts := strings.Split(rest, "/")
	if len(parts) != 3 {
		return "", 0, 0, false
	}
	n, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil || n == 0 || n > maxSeal || parts[1] != fmt.Sprintf("%08d", n) {
		return "", 0, 0, false
	}
	switch parts[2] {
	case manifestName:
		return parts[0], n, hasManifest, true
	case noteName:
		return parts[0], n, hasNote, true
	}
	return "", 0, 0, false
}

func sealDir(trail string, n uint64) string { return fmt.Sprintf("seals/%s/%08d/", trail, n) }

func (l *sealList) Len() int           { return len(l.numbers) }
func (l *sealList) Less(i, j int) bool { return l.numbers[i] < l.numbers[j] }
func (l *sealList) Swap(i, j int) {
	l.numbers[i], l.numbers[j] = l.numbers[j], l.numbers[i]
	l.has[i], l.has[j] = l.has[j], l.has[i]
}

// find returns what the listing has of a key; nil if it is not in it.
func (inv *inventory) find(key string) *object {
	id := keyID(key)
	i, found := slices.BinarySearchFunc(inv.objects, id, func(o object, id [16]byte) int { return bytes.Compare(o.id[:], id[:]) })
	if !found {
		return nil
	}
	return &inv.objects[i]
}

// explain marks a key as accounted for, and says whether it was before.
func (inv *inventory) explain(key string) (o *object, before bool) {
	if o = inv.find(key); o == nil {
		return nil, false
	}
	before = o.state&explained != 0
	o.state |= explained
	return o, before
}

// unexplained reports what nothing accounts for. Names are not remembered, so that the store is listed again if there is any.
func (v *verifier) unexplained(ctx context.Context) {
	left := 0
	for i := range v.inv.objects {
		if v.inv.objects[i].state&explained == 0 {
			left++
		}
	}
	if left == 0 || !v.inv.complete {
		return
	}
	last := ""
	since := Finding{Code: codeSealedSince}
	for e, err := range v.entries(ctx, func(int) {}) {
		if err != nil {
			v.add(Finding{Code: codeListFailed, Found: err.Error()})
			return
		}
		if e.Key == last {
			continue
		}
		last = e.Key
		switch o := v.inv.find(e.Key); {
		case o == nil: // it came since
			if v.explainedSince(ctx, e) {
				since.Key = cmp.Or(since.Key, e.Key)
			}
		case o.state&explained != 0:
		case v.inv.isThrowAway(e):
			v.add(Finding{Code: codeThrowAway, Key: e.Key})
		case v.keyOfAbsent(e.Key):
			v.add(Finding{Code: codeKeyUnused, Key: e.Key})
		case v.unsealedYet(e, o):
			v.add(Finding{Code: codeUnsealed, Key: e.Key, Expected: "a seal that has it", Found: fmt.Sprintf("%d bytes of %s", e.Size, stamp(e.Modified))})
		default:
			v.unlisted(e)
		}
	}
	if since.Key != "" {
		v.add(since)
	}
}

func (v *verifier) unlisted(e sink.Entry) {
	found := fmt.Sprintf("%d bytes of %s", e.Size, stamp(e.Modified))
	switch {
	case e.Marker:
		found = "a delete marker"
	case e.Size < 0:
		found = "a link, or something else that is no file"
	}
	v.add(Finding{Code: codeUnlisted, Key: e.Key, Expected: "nothing", Found: found})
}

// keyOfAbsent reports whether a key file may be the store's, though nothing in this partial copy was signed with it: the log that tells is absent. No seal is believed for
// its being here.
func (v *verifier) keyOfAbsent(key string) bool {
	return v.isKey(key) && v.o.Partial && !v.log.present
}

// isKey reports whether a public key lies under that name, which is its own.
func (v *verifier) isKey(key string) bool {
	id, ok := strings.CutPrefix(strings.TrimSuffix(key, ".pem"), keysPrefix)
	_, good := v.keys[id]
	return ok && good && key == seal.KeyKey(id)
}

// throwAways are the names of what Daybook tries a bucket with: daybook doctor's, a hold's, and a tier's. maxThrowAway is more bytes than any of them has. A copy of
// a bucket has them too.
var throwAways = regexp.MustCompile(`^doctor/([0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}/[a-z-]{1,40}|hold-[0-9]{8}T[0-9]{6}Z|tier)$`)

const maxThrowAway = 256

// isThrowAway reports whether an object is one of those, in all of its versions: what is larger could hold something.
func (inv *inventory) isThrowAway(e sink.Entry) bool {
	small := func(e sink.Entry) bool { return e.Marker || 0 <= e.Size && e.Size <= maxThrowAway }
	versions, remembered := inv.odd[e.Key]
	if !remembered {
		versions = []sink.Entry{e}
		if o := inv.find(e.Key); o != nil && o.state&odd != 0 { // there are others, too many to be remembered
			return false
		}
	}
	return throwAways.MatchString(e.Key) && !slices.ContainsFunc(versions, func(e sink.Entry) bool { return !small(e) })
}

// temporaries is a store whose listing leaves out files that are not whole yet.
type temporaries interface {
	Temporary(ctx context.Context) iter.Seq2[sink.Entry, error]
}

// temporaryName is that of a file that is being written, or was when a run was killed. The next run removes it.
var temporaryName = regexp.MustCompile(`^\.daybook-tmp/[A-Z2-7]{26}\.part$`)

// checkTemporary tells of what the listing leaves out, so that nothing can be hidden there.
func (v *verifier) checkTemporary(ctx context.Context) {
	s, ok := v.store.(temporaries)
	if !ok {
		return
	}
	for e, err := range s.Temporary(ctx) {
		switch {
		case err != nil:
			v.add(Finding{Code: codeListFailed, Found: err.Error()})
			return
		case e.Size >= 0 && temporaryName.MatchString(e.Key):
			v.add(Finding{Code: codeTemporary, Key: e.Key, Found: fmt.Sprintf("%d bytes of %s", e.Size, stamp(e.Modified))})
		default:
			v.unlisted(e)
		}
	}
}

// located is where the bytes of a key are to be read.
type located struct {
	key, version string
	size         int64
	there        bool
}

// locate finds the version of a control object that was sealed: the oldest, since a store without an attacker has one only. What lies over it is reported.
func (v *verifier) locate(key string, about Finding) located {
	o, _ := v.inv.explain(key)
	if o == nil {
		return located{key: key}
	}
	at := located{key: key, size: o.size, there: true}
	if o.state&odd == 0 {
		return at
	}
	about.Key = key
	versions, remembered := v.inv.odd[key]
	if !remembered {
		about.Code, about.Expected, about.Found = codeNewerVersion, "one version", "several"
		v.add(about)
		return at
	}
	v.reportVersions(versions, "", about)
	for _, e := range slices.Backward(versions) {
		if !e.Marker {
			at.version, at.size = e.Version, e.Size
			return at
		}
	}
	return located{key: key}
}

// reportVersions reports what there is beside the sealed version, which is the oldest where it is not named.
func (v *verifier) reportVersions(versions []sink.Entry, sealed string, about Finding) {
	at := -1
	for i, e := range versions {
		if !e.Marker && (e.Version == sealed || sealed == "") {
			at = i
		}
	}
	about.Expected = cmp.Or(sealed, "one version")
	for i, e := range versions {
		f := about
		f.Found = fmt.Sprintf("version %s of %s, %d bytes", e.Version, e.Modified.UTC().Format("2006-01-02T15:04:05Z"), e.Size)
		switch {
		case i == at:
			continue
		case e.Marker && (i < at || at < 0):
			f.Code, f.Expected, f.Found = codeDeleteMarker, "no marker", fmt.Sprintf("marker %s of %s", e.Version, e.Modified.UTC().Format("2006-01-02T15:04:05Z"))
		case i < at:
			f.Code = codeNewerVersion
		case at >= 0:
			f.Code = codeUnlistedVersion
		default:
			continue // the sealed version is not there at all, which is told apart
		}
		v.add(f)
	}
}
