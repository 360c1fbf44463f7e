package verify

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/formats"
	"daybook/sink"
)

// A store is verified while seals are made in it: a service makes them at any time. What came after the listing is not looked at, and none of it is to look like tampering.

// unsealedFor is how long before its seal's manifest a file may be put: a seal's files are put one after another, the manifest when all are there. A seal that takes longer, or is finished after
// a run was killed, looks like somebody else's files until it is.
const unsealedFor = time.Hour

// lately reports whether an object came so lately that what explains it may be still to come. The times of a copy say nothing of that: a folder may be one, and a bucket is if all in it came long after
// the log began.
func (v *verifier) lately(at time.Time) bool {
	if !v.inv.versions || !v.log.present || v.inv.oldest.After(v.log.began.Add(unsealedFor)) {
		return false
	}
	return at.After(v.now.Add(-unsealedFor)) && !v.ahead(at)
}

// ahead reports whether a time is of the future.
func (v *verifier) ahead(at time.Time) bool { return at.After(v.o.Now().Add(clockSkew)) }

// unsealedYet reports whether an object may be a file of a seal that is being made, or the file of a key that is taken into use. It is e now, and was o when the store was listed.
func (v *verifier) unsealedYet(e sink.Entry, o *object) bool {
	same := o.state&odd == 0 && !e.Marker && e.Size == o.size && versionID(e.Version) == o.version
	return same && v.lately(e.Modified) && !v.o.Alone() && (dataFile.MatchString(e.Key) || v.isKey(e.Key))
}

// dataFile matches what lies where data files do; see seal.FileKey.
var dataFile = func() *regexp.Regexp {
	var names []string
	for _, f := range formats.All() {
		names = append(names, f.Name)
	}
	return regexp.MustCompile(`^(` + strings.Join(names, "|") + `)/class=[^/]+/trail=[^/]+/dt=[0-9]{4}-[0-9]{2}-[0-9]{2}/(project=[^/]+/)?[^/]+$`)
}()

// explainedSince takes in an object that came after the listing. If it is a manifest, files of the listing may be its own, as they were put before it. It reports whether there are such. Of the seal no
// more is checked than that a key of the log signed it: without that, who may write and has no key could explain what he has put. The rest is for the next verification.
func (v *verifier) explainedSince(ctx context.Context, e sink.Entry) (some bool) {
	rest, ok := strings.CutPrefix(e.Key, sealsPrefix)
	encoded, n, kind, isSeal := parseSealKey(rest)
	if !ok || !isSeal || kind != hasManifest || e.Marker {
		return false
	}
	signed, ok := v.readSince(ctx, located{key: sealDir(encoded, n) + noteName}, seal.MaxNote) // it is small, and says whether to read the manifest
	if !ok {
		return false
	}
	opened := v.openSince(signed)
	if opened == nil {
		return false
	}
	data, ok := v.readSince(ctx, located{key: e.Key, version: e.Version, size: e.Size}, seal.MaxManifest)
	if !ok || opened.Sums[len(opened.Sums)-1] != (seal.SumLine{SHA256: seal.Sum(data), Key: e.Key}) {
		return false
	}
	m, err := seal.ParseManifest(data)
	if err != nil || seal.EncodeName(m.Trail) != encoded || m.Seal != n {
		return false
	}
	for i := range m.Files {
		f := &m.Files[i]
		o := v.inv.find(f.Key)
		if o == nil || o.state&(explained|odd) != 0 || o.size != f.Size || o.version != versionID(f.Version) {
			continue // another object than the one that was sealed
		}
		o.state |= explained
		some = true
	}
	return some
}

// readSince reads an object that came after the listing, if it is there.
func (v *verifier) readSince(ctx context.Context, at located, limit int64) ([]byte, bool) {
	data, err := v.read(ctx, at, limit)
	switch {
	case err == nil:
		return data, true
	case errors.Is(err, sink.ErrNotExist), errors.Is(err, sink.ErrHidden), errors.Is(err, sink.ErrConflict), errors.Is(err, errTooLarge):
	default:
		v.add(Finding{Code: codeReadFailed, Key: at.key, Found: err.Error()})
	}
	return nil, false
}

// openSince opens a note of a key that is in force where the listed log ends, or the log by now; nil if it is none.
func (v *verifier) openSince(signed []byte) *seal.Opened {
	if !v.log.present {
		return nil
	}
	keys := v.log.later
	for _, k := range keys.Keys() {
		if id := k.Key.ID(); keys.Check(id, v.log.size) != nil && keys.Check(id, keys.Size()) != nil {
			continue
		}
		if opened, err := seal.OpenNote(signed, seal.Verifiers(k.Key)); err == nil {
			return opened
		}
	}
	return nil
}

// keysSince follows the log beyond the listing, and returns the keys that it has then: a seal of the listing may be by one that was taken into use after the log was listed. Nothing else
// of these leaves is taken in. What does not go on from the log is told.
func (v *verifier) keysSince(ctx context.Context, l *logState) *logs.Keyring {
	after := *l
	after.keyring = l.keyring.Clone()
	after.hashes = slices.Clip(l.hashes) // what is added is not the log's
	for len(after.hashes) > 0 && !l.broken && ctx.Err() == nil {
		key := logs.NextKey(after.size)
		if v.inv.find(key) != nil {
			break // it is at fault, which is told
		}
		data, ok := v.readSince(ctx, located{key: key}, maxNext)
		if !ok {
			break
		}
		about := Finding{Key: key, Code: codeLogAltered, Expected: "the leaves that follow, and their checkpoint"}
		s, err := parseStep(after.size, data)
		if err != nil {
			about.Found = err.Error()
			v.add(about)
			break
		}
		if !v.follows(&after, s, about) {
			break
		}
		for _, entry := range s.entries {
			if _, err := after.keyring.Apply(after.size, entry); err != nil { // follows has applied it
				return l.keyring
			}
			after.size++
		}
	}
	for _, k := range after.keyring.Keys() {
		v.inv.explain(seal.KeyKey(k.Key.ID()))
	}
	return after.keyring
}
