package verify

import (
	"context"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/formats"
	"daybook/sink"
)

// A store is verified while seals are made in it: a service makes them at any time. What came after the listing is not looked at, and none of it is to look like tampering.

// unsealedFor is how long before its seal's manifest a file may be put: a seal's files are put one after another, the manifest when all are there.
const unsealedFor = time.Hour

// unsealedYet reports whether an object may be a file of a seal that is being made, or the file of a key that is taken into use. A folder's times say nothing: a copy has new ones.
func (v *verifier) unsealedYet(e sink.Entry, o *object) bool {
	young := v.inv.versions && e.Modified.After(v.now.Add(-unsealedFor)) && e.Modified.Before(v.o.Now().Add(clockSkew))
	return young && e.Size >= 0 && o.state&odd == 0 && (dataFile.MatchString(e.Key) || v.isKey(e.Key))
}

// dataFile is the form of keys that seal.FileKey makes.
var dataFile = func() *regexp.Regexp {
	var names []string
	for _, f := range formats.All() {
		names = append(names, f.Name)
	}
	return regexp.MustCompile(`^(` + strings.Join(names, "|") + `)/class=[^/]+/trail=[^/]+/dt=[0-9]{4}-[0-9]{2}-[0-9]{2}/(project=[^/]+/)?[^/]+$`)
}()

// explainedSince takes in an object that came after the listing. If it is a manifest, files of the listing may be its own, as they were put before it. It reports whether there are such. Of the seal no
// more is checked than that a key of the log signed it: the rest is for the next verification.
func (v *verifier) explainedSince(ctx context.Context, e sink.Entry) (some bool) {
	rest, ok := strings.CutPrefix(e.Key, sealsPrefix)
	encoded, n, kind, isSeal := parseSealKey(rest)
	if !ok || !isSeal || kind != hasManifest || e.Marker {
		return false
	}
	data, err := v.read(ctx, located{key: e.Key, version: e.Version, size: e.Size}, seal.MaxManifest)
	if err != nil {
		return false
	}
	m, err := seal.ParseManifest(data)
	if err != nil || seal.EncodeName(m.Trail) != encoded || m.Seal != n || !v.signedSince(ctx, m, data) {
		return false
	}
	for i := range m.Files {
		if o, before := v.inv.explain(m.Files[i].Key); o != nil && !before {
			some = true
		}
	}
	v.inv.explain(seal.KeyKey(m.Key))
	return some
}

// signedSince reports whether a manifest that came after the listing has a good note: else who may write, and has no key, could explain with it what he has put.
func (v *verifier) signedSince(ctx context.Context, m *seal.Manifest, data []byte) bool {
	signed, err := v.read(ctx, located{key: seal.NoteKey(m.Trail, m.Seal)}, seal.MaxNote)
	if err != nil {
		return false
	}
	text := seal.NoteText(m, data)
	if m.Key == unsignedKey {
		return v.unsigned && !v.signed && string(signed) == text
	}
	key, known := v.log.key(m.Key)
	if !known || v.log.keyring.Check(m.Key, v.log.size) != nil {
		return false
	}
	opened, err := note.Open(signed, seal.Verifiers(key))
	return err == nil && opened.Text == text
}
