package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/event"
	"daybook/sink"
)

// unsignedKey stands in a manifest in the place of a key's ID where seals are not signed.
const unsignedKey = "none"

// readSeals goes through every trail from its first seal, and hands its files to the workers.
func (v *verifier) readSeals(ctx context.Context) {
	v.tasks = make(chan func(context.Context), 4*v.o.Workers)
	var workers sync.WaitGroup
	for range v.o.Workers {
		workers.Go(func() {
			for task := range v.tasks {
				if ctx.Err() == nil {
					task(ctx)
				}
			}
		})
	}
	names := map[string]string{} // as they are in keys: the trail's, where the log knows it
	for encoded := range v.inv.trails {
		names[encoded] = ""
	}
	for name := range v.log.trails {
		names[seal.EncodeName(name)] = name
	}
	for _, encoded := range slices.Sorted(maps.Keys(names)) {
		name := names[encoded]
		w := &walk{
			v: v, encoded: encoded, list: v.inv.trails[encoded], name: name, logged: v.log.trails[name], days: map[event.Day]int{}, ends: map[event.Day]time.Time{},
		}
		w.trail(ctx)
	}
	close(v.tasks)
	workers.Wait()
	v.lookAlikes()
}

// walk goes through the seals of a trail.
type walk struct {
	v       *verifier
	encoded string
	list    *sealList
	name    string // the trail's, as far as it is known
	logged  *loggedTrail
	report  TrailReport

	previous      seal.Hash // of the manifest before
	previousKnown bool
	pending       int64 // that the seal before left
	pendingKnown  bool
	sealedAt      time.Time
	days          map[event.Day]int // how many seals a day has
	// ends is how far the seals of a day reach.
	ends        map[event.Day]time.Time
	unknownDays bool // a seal is missing of which not even the day is known

	missing, missingTo uint64 // a run of seals that are not there
}

func (w *walk) trail(ctx context.Context) {
	v := w.v
	if w.list == nil {
		w.list = &sealList{}
	}
	w.previousKnown = true // the first seal follows none
	w.pendingKnown = true
	ahead := &readAhead{w: w}
	defer ahead.wait()
	next := uint64(1)
	for i, n := range w.list.numbers {
		for ; next < n && next <= w.loggedTo(); next++ {
			w.absent(next, next)
		}
		if next < n { // nothing tells of these but the number of the next
			w.absent(next, n-1)
			w.unknownDays = true
		}
		w.flushAbsent()
		w.seal(ahead.next(ctx), i == len(w.list.numbers)-1)
		next = n + 1
		if ctx.Err() != nil {
			return
		}
	}
	for ; next <= w.loggedTo(); next++ {
		w.absent(next, next)
	}
	w.flushAbsent()
	if w.name == "" {
		w.name = w.encoded
	}
	w.holes()
	w.report.Trail = w.name
	v.report.Trails = append(v.report.Trails, w.report)
	v.report.Counts.Seals += int64(w.report.Seals)
}

func (w *walk) loggedTo() uint64 {
	if w.logged == nil {
		return 0
	}
	return uint64(len(w.logged.seals))
}

func (w *walk) leaf(n uint64) *loggedSeal {
	if n == 0 || n > w.loggedTo() {
		return nil
	}
	if l := &w.logged.seals[n-1]; l.index >= 0 {
		return l
	}
	return nil
}

// absent notes that seals are not in the store.
func (w *walk) absent(from, to uint64) {
	if w.missing == 0 {
		w.missing = from
	}
	w.missingTo = to
	w.previousKnown, w.pendingKnown = false, false
	if leaf := w.leaf(to); leaf != nil {
		w.previous, w.previousKnown = leaf.manifest, true
		w.days[leaf.day]++
	}
}

func (w *walk) flushAbsent() {
	if w.missing == 0 {
		return
	}
	f := Finding{Code: codeSealMissing, Trail: w.label(), Seal: w.missing, Key: sealDir(w.encoded, w.missing), Expected: fmt.Sprintf("seal %d", w.missing), Found: "nothing"}
	if w.missingTo > w.missing {
		f.Expected = fmt.Sprintf("seals %d to %d", w.missing, w.missingTo)
	}
	if leaf := w.leaf(w.missing); leaf != nil {
		f.Day = &seal.Date{Day: leaf.day}
	}
	if w.v.o.Partial {
		f.Code, f.Found, f.Expected = codeAbsent, f.Expected, ""
	}
	w.v.add(f)
	w.missing = 0
}

func (w *walk) label() string {
	if w.name != "" {
		return w.name
	}
	return w.encoded
}

func (w *walk) about(n uint64, key string) Finding {
	f := Finding{Key: key, Trail: w.label(), Seal: n}
	if leaf := w.leaf(n); leaf != nil {
		f.Day = &seal.Date{Day: leaf.day}
	}
	return f
}

// seal checks one seal.
func (w *walk) seal(r *sealRead, newest bool) {
	v, n := w.v, r.n
	w.report.Seals++
	leaf := w.leaf(n)
	var signed []byte
	if r.noteAt.there {
		if r.noteErr != nil {
			v.fault(r.noteErr, w.about(n, r.noteAt.key), codeNoteMissing, codeNoteSignature)
		} else {
			signed = r.note
		}
	}
	m := w.manifest(r)
	data := r.manifest
	if m == nil {
		w.withoutManifest(n, leaf, signed)
		return
	}
	hash := seal.Sum(data)
	about := Finding{Trail: m.Trail, Seal: n, Day: &m.Day}
	if w.name == "" && seal.EncodeName(m.Trail) == w.encoded {
		w.name = m.Trail
	}
	w.place(m, n, about)
	w.link(m, hash, about)
	vouched := w.inLog(m, n, hash, about)
	about.Key = r.noteAt.key // not the one that the manifest makes: it may lie where it does not belong
	switch {
	case signed != nil:
		if v.checkNote(m, data, signed, leaf, about) {
			vouched = true
		}
	case r.has&hasNote != 0: // unreadable or hidden, which is told
	case newest && leaf == nil:
		about.Code, about.Expected, about.Found = codeSealIncomplete, "a signed note", "nothing"
		v.add(about)
	default:
		about.Expected = "a signed note"
		v.fault(sink.ErrNotExist, about, codeNoteMissing, codeNoteMissing)
	}
	if signed == nil && leaf != nil && v.log.present { // a leaf is worth no more than the key that it names, which no note has asked for
		if _, _, inForce := v.keyOf(m.Key, leaf, about); !inForce {
			vouched = false
		}
	}
	if !vouched {
		w.unvouched(about)
	}
	w.times(m, leaf, about)
	w.order(m, about)
	w.tell(m, about)
	w.files(m, leaf)
	v.lockedAsLongAs(m, []located{r.manifestAt, r.noteAt})
}

// unvouched says of a manifest that is here that neither its note nor the log says that it is what was sealed. What its files are then compared with proves nothing.
//
// A store of which all must be here has been told of what is missing; of a partial copy anything may be, and without this somebody who has no key could take away
// just what would give his own manifest away.
func (w *walk) unvouched(about Finding) {
	w.v.vouchless = true
	if w.v.o.Partial {
		about.Key = sealDir(w.encoded, about.Seal) + manifestName
		about.Code, about.Expected, about.Found = codeSealUnvouched, "its note, signed by a key of the store, or its leaf in the log", "neither"
		w.v.add(about)
	}
}

// manifest takes a manifest apart; nil if it is not one.
func (w *walk) manifest(r *sealRead) *seal.Manifest {
	v, n, at, data := w.v, r.n, r.manifestAt, r.manifest
	about := w.about(n, at.key)
	about.Expected = "the seal's manifest"
	if leaf := w.leaf(n); leaf != nil {
		about.Expected = "SHA-256 " + leaf.manifest.String()
	}
	if !at.there {
		if r.has&hasManifest == 0 { // a marker is told
			v.fault(sink.ErrNotExist, about, codeManifestMissing, codeManifestInvalid)
		}
		return nil
	}
	if r.manifestErr != nil {
		v.fault(r.manifestErr, about, codeManifestMissing, codeManifestInvalid)
		return nil
	}
	m, err := seal.ParseManifest(data)
	if err != nil {
		about.Code, about.Found = codeManifestInvalid, err.Error()
		if schema, ok := schemaOf(data); ok && schema != seal.Schema {
			about.Code, about.Expected = codeSchemaUnknown, fmt.Sprintf("schema %d", seal.Schema)
		}
		v.add(about)
		if leaf := w.leaf(n); leaf != nil && leaf.manifest != seal.Sum(data) {
			about.Code, about.Expected, about.Found = codeLogMismatch, "SHA-256 "+leaf.manifest.String(), seal.Sum(data).String()
			v.add(about)
		}
		return nil
	}
	return m
}

// schemaOf reads which schema version an object claims to be of.
func schemaOf(data []byte) (int64, bool) {
	var version struct {
		Schema *int64 `json:"schema"`
	}
	if json.Unmarshal(data, &version) != nil || version.Schema == nil {
		return 0, false
	}
	return *version.Schema, true
}

// place checks that a manifest lies where it belongs.
func (w *walk) place(m *seal.Manifest, n uint64, about Finding) {
	about.Key = sealDir(w.encoded, n) + manifestName
	if w.name != m.Trail {
		about.Code, about.Expected, about.Found = codeWrongTrail, "trail "+w.label(), "trail "+m.Trail
		w.v.add(about)
	}
	if m.Seal != n {
		about.Code, about.Expected, about.Found = codeSealNumber, fmt.Sprintf("seal %d", n), fmt.Sprintf("seal %d", m.Seal)
		w.v.add(about)
	}
}

// link checks that the manifest follows the one before, and takes its place.
func (w *walk) link(m *seal.Manifest, hash seal.Hash, about Finding) {
	v := w.v
	about.Key = sealDir(w.encoded, about.Seal) + manifestName
	if w.previousKnown && m.Previous != w.previous {
		about.Code, about.Expected, about.Found = codeChainBroken, "previous "+w.previous.String(), "previous "+m.Previous.String()
		v.add(about)
	}
	// What was left pending and is read again is counted as read: a seal carries all of it or nothing.
	if n := m.Counts.Carried; n > 0 && w.pendingKnown && n != w.pending {
		about.Code, about.Expected, about.Found = codeCountsCarried, fmt.Sprintf("carried %d", w.pending), fmt.Sprintf("carried %d", n)
		v.add(about)
	}
	w.previous, w.previousKnown = hash, true
	w.pending, w.pendingKnown = m.Counts.Pending, true
}

// inLog checks that the log knows the seal as it is, and reports whether the log vouches for it: whether a leaf under a checkpoint that is signed says so.
func (w *walk) inLog(m *seal.Manifest, n uint64, hash seal.Hash, about Finding) bool {
	v, leaf := w.v, w.leaf(n)
	about.Key = sealDir(w.encoded, n) + manifestName
	if m.Key == unsignedKey {
		v.unsigned = true
		if v.log.present || v.inv.hasLog() {
			about.Code, about.Expected, about.Found = codeUnsignedSeal, "a signed seal", "an unsigned one"
			v.add(about)
		}
		return false
	}
	v.signed = true
	if leaf == nil {
		if !v.log.present || v.log.broken {
			return false // told once
		}
		about.Code, about.Expected, about.Found = codeNotLogged, "a leaf of the log", "none yet"
		if n <= w.loggedTo() {
			about.Code, about.Found = codeNotInLog, "none"
		}
		v.add(about)
		return false
	}
	leaf.sealedAt = m.SealedAt.Unix()
	is := fmt.Sprintf("manifest %v of %v, addendum %d, key %s", hash, m.Day, m.Addendum, m.Key)
	if must := fmt.Sprintf("manifest %v of %v, addendum %d, key %s", leaf.manifest, leaf.day, leaf.addendum, leaf.key); is != must {
		about.Code, about.Expected, about.Found = codeLogMismatch, must, is
		v.add(about)
		return false
	}
	return v.log.proven
}

// hasLog reports whether there is anything of a log in the store.
func (inv *inventory) hasLog() bool { return len(inv.checkpoints)+len(inv.nexts)+len(inv.tiles) > 0 }

// checkNote checks a note's signature and that it says what the manifest says. It reports whether the note vouches for the manifest.
func (v *verifier) checkNote(m *seal.Manifest, data, signed []byte, leaf *loggedSeal, about Finding) bool {
	text := seal.NoteText(m, data)
	if m.Key == unsignedKey {
		if string(signed) != text {
			about.Code, about.Expected, about.Found = codeNoteText, "what the manifest says, unsigned", "something else"
			v.add(about)
			return false
		}
		return true
	}
	key, known, inForce := v.keyOf(m.Key, leaf, about)
	if known || !v.log.present {
		v.keyNeeded(m.Key, about)
	}
	if !known {
		return false // told
	}
	n := v.openNote(signed, key, about)
	if n == nil {
		return false
	}
	if n.Text != text {
		about.Code, about.Expected, about.Found = codeNoteText, "what the manifest says", fmt.Sprintf("another text from line %d on", differs(text, n.Text))
		v.add(about)
		return false
	}
	return inForce
}

// openNote checks a note's signature; nil if there is no good one.
func (v *verifier) openNote(signed []byte, key seal.PublicKey, about Finding) *note.Note {
	n, err := note.Open(signed, seal.Verifiers(key))
	if err != nil {
		about.Code, about.Expected, about.Found = codeNoteSignature, "a signature of "+key.String(), err.Error()
		v.add(about)
		return nil
	}
	// What Open passes over, such as a signature that stands there twice, shows when the note is written again.
	again, err := note.Sign(&note.Note{Text: n.Text, Sigs: n.Sigs, UnverifiedSigs: n.UnverifiedSigs})
	if err != nil || string(again) != string(signed) || len(n.UnverifiedSigs) > 0 {
		found := "other lines after the text"
		if len(n.UnverifiedSigs) > 0 {
			found = fmt.Sprintf("%d more, the first by %.80s", len(n.UnverifiedSigs), n.UnverifiedSigs[0].Name)
		}
		about.Code, about.Expected, about.Found = codeNoteExtra, "one signature, of "+key.String(), found
		v.add(about)
	}
	return n
}

// differs returns the number of the first line in which two texts differ.
func differs(a, b string) int {
	line := 1
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '\n' {
			line++
		}
	}
	return line
}

// keyOf returns the key that must have signed a seal, if it is known, and whether it was in force there; if the log says that it was not, that is reported.
func (v *verifier) keyOf(id string, leaf *loggedSeal, about Finding) (key seal.PublicKey, known, inForce bool) {
	inForce = true
	about.Expected = "a key of the log's that is in force there"
	about.Found = "key " + id
	if v.log.present {
		index := v.log.size
		if leaf != nil {
			index = leaf.index
		}
		about.Found = fmt.Sprintf("key %s at leaf %d", id, index)
		err := v.log.keyring.Check(id, index)
		if errors.Is(err, logs.ErrUnknownKey) && leaf == nil {
			if r, ok := v.log.later.Find(id); ok && v.log.later.Check(id, v.log.later.Size()) == nil {
				return r.Key, true, true
			}
		}
		switch {
		case err == nil:
		case v.log.broken: // keys may be among what could not be read
		case errors.Is(err, logs.ErrRevoked):
			about.Code, inForce = codeKeyRevoked, false
			v.add(about)
		case errors.Is(err, logs.ErrKeyRange):
			about.Code, inForce = codeKeyRange, false
			v.add(about)
		default:
			about.Code = codeKeyUnknown
			v.add(about)
			return seal.PublicKey{}, false, false
		}
		if key, ok := v.log.key(id); ok {
			return key, true, inForce
		}
	}
	for _, key := range v.o.Keys {
		if key.ID() == id {
			v.metKey(key)
			return key, true, inForce
		}
	}
	if key, known = v.keys[id]; known {
		v.metKey(key)
	}
	return key, known, inForce // a key that is missing is told by keyNeeded
}

// metKey remembers a key that signed something in a store without a log.
func (v *verifier) metKey(key seal.PublicKey) {
	if v.log.present || v.met[key.ID()] {
		return
	}
	v.met[key.ID()] = true
	v.report.Keys = append(v.report.Keys, KeyReport{Name: key.Name(), ID: key.ID(), Fingerprint: key.Fingerprint(), RevokedFrom: -1, Last: -1})
	v.report.Levels.Chain.SignedBy = key.Fingerprint()
}

// times checks when the seal was made against its events, the seals before, the log and now.
func (w *walk) times(m *seal.Manifest, leaf *loggedSeal, about Finding) {
	v := w.v
	about.Key = sealDir(w.encoded, about.Seal) + manifestName
	if v.ahead(m.SealedAt) {
		about.Code, about.Expected, about.Found = codeFuture, "sealed before "+stamp(v.now), "sealed "+stamp(m.SealedAt)
		v.add(about)
	}
	if m.Counts.TimeSuspect == 0 {
		for _, f := range m.Files {
			if f.Last.After(m.SealedAt.Add(clockSkew)) {
				about.Code, about.Expected, about.Found = codeSealedTooEarly, "sealed after "+stamp(f.Last), "sealed "+stamp(m.SealedAt)
				v.add(about)
				break
			}
		}
	}
	if m.SealedAt.Before(w.sealedAt.Add(-clockSkew)) {
		about.Code, about.Expected, about.Found = codeTimeOrder, "sealed after "+stamp(w.sealedAt), "sealed "+stamp(m.SealedAt)
		v.add(about)
	}
	if leaf != nil && m.SealedAt.After(leaf.time().Add(clockSkew)) {
		about.Code, about.Expected, about.Found = codeTimeOrder, "sealed before its leaf of "+stamp(leaf.time()), "sealed "+stamp(m.SealedAt)
		v.add(about)
	}
	if m.SealedAt.After(w.sealedAt) {
		w.sealedAt = m.SealedAt
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// order checks that the day's own seal comes first, then its addenda.
func (w *walk) order(m *seal.Manifest, about Finding) {
	due := w.days[m.Day.Day]
	w.days[m.Day.Day]++
	if m.End.After(w.ends[m.Day.Day]) {
		w.ends[m.Day.Day] = m.End
	}
	// Where seals are missing of which nothing is known, some may be of this day.
	if m.Addendum == due || w.unknownDays && m.Addendum > due {
		w.days[m.Day.Day] = m.Addendum + 1
		return
	}
	about.Key = sealDir(w.encoded, about.Seal) + manifestName
	about.Code, about.Expected, about.Found = codeAddendumOrder, fmt.Sprintf("addendum %d", due), fmt.Sprintf("addendum %d", m.Addendum)
	w.v.add(about)
}

// tell adds up what the trail has, and lists the gaps that the seal declares.
func (w *walk) tell(m *seal.Manifest, about Finding) {
	r := &w.report
	day := m.Day
	if r.First == nil || day.Day < r.First.Day {
		r.First = &day
	}
	if r.Last == nil || day.Day > r.Last.Day {
		r.Last = &day
	}
	if m.Addendum == 0 {
		r.Days++
	}
	r.Events += m.Counts.Written
	r.Files += int64(len(m.Files))
	for _, f := range m.Files {
		r.Bytes += f.Size
	}
	about.Key = sealDir(w.encoded, about.Seal) + manifestName
	about.Code, about.Expected = codeGap, ""
	for _, g := range gapsOf(m) {
		about.Found = fmt.Sprintf("%s to %s: %s", stamp(g.From), stamp(g.To), g.Reason)
		w.v.add(about)
	}
}

func gapsOf(m *seal.Manifest) []seal.Gap {
	gaps := slices.Clone(m.Gaps)
	for _, s := range m.Sources {
		for _, g := range s.Gaps {
			g.Reason = s.Name + ": " + g.Reason
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// holes lists days, and ends of days, without a seal between the first and the last. The last day may not be over.
func (w *walk) holes() {
	if w.v.o.Partial || w.unknownDays || len(w.days) == 0 {
		return
	}
	days := slices.Sorted(maps.Keys(w.days))
	for i := 1; i < len(days); i++ {
		if day := days[i-1]; !w.ends[day].IsZero() && w.ends[day].Before(day.End()) {
			w.v.add(Finding{Code: codeDayUnsealed, Trail: w.label(), Day: &seal.Date{Day: day}, Found: fmt.Sprintf("%s to %s", stamp(w.ends[day]), stamp(day.End()))})
		}
		from, to := days[i-1]+1, days[i]-1
		if from > to {
			continue
		}
		f := Finding{Code: codeDayUnsealed, Trail: w.label(), Day: &seal.Date{Day: from}, Found: from.String()}
		if to > from {
			f.Found = fmt.Sprintf("%v to %v", from, to)
		}
		w.v.add(f)
	}
}

// withoutManifest goes on where there is no manifest that could be read: its note, if it is good, lists the files.
func (w *walk) withoutManifest(n uint64, leaf *loggedSeal, signed []byte) {
	v := w.v
	w.previousKnown, w.pendingKnown = false, false
	if leaf != nil {
		w.previous, w.previousKnown = leaf.manifest, true
		w.days[leaf.day]++
		v.signed = true
	} else {
		w.unknownDays = true
	}
	if signed == nil {
		return
	}
	about := w.about(n, sealDir(w.encoded, n)+noteName)
	opened, key := v.openAny(signed, leaf)
	if opened == nil {
		about.Code, about.Expected, about.Found = codeNoteSignature, "a signature of a key of the store", "none that is good"
		v.add(about)
		return
	}
	v.signed = true
	v.keyOf(key, leaf, about) // it may not have been in force
	v.keyNeeded(key, about)
	files, manifest := opened.Sums[:len(opened.Sums)-1], opened.Sums[len(opened.Sums)-1]
	must := seal.SumLine{SHA256: manifest.SHA256, Key: sealDir(w.encoded, n) + manifestName}
	if leaf != nil {
		must.SHA256 = leaf.manifest
	}
	if manifest != must { // a good note, but of another seal: its files are not this one's
		about.Code, about.Expected, about.Found = codeNoteText, fmt.Sprintf("manifest %v %s", must.SHA256, must.Key), fmt.Sprintf("manifest %v %s", manifest.SHA256, manifest.Key)
		v.add(about)
		return
	}
	if leaf == nil && v.log.present && !v.log.broken {
		about.Code, about.Expected, about.Found = codeNotLogged, "a leaf of the log", "none yet"
		v.add(about)
	}
	for _, sum := range files {
		w.bareFile(sum, about)
	}
}

// openAny opens a note of which the manifest, and so the key, is not known. It returns the ID of the key as well.
func (v *verifier) openAny(signed []byte, leaf *loggedSeal) (*seal.Opened, string) {
	keys := slices.Collect(maps.Values(v.keys))
	keys = append(keys, v.o.Keys...)
	if v.log.present {
		keys = nil
		for _, k := range v.log.keyring.Keys() {
			if leaf == nil || k.Key.ID() == leaf.key {
				keys = append(keys, k.Key)
			}
		}
	}
	for _, key := range keys {
		if opened, err := seal.OpenNote(signed, seal.Verifiers(key)); err == nil {
			return opened, key.ID()
		}
	}
	return nil, ""
}
