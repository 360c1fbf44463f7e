package tamper_test

import (
	"time"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/formats"
	"daybook/sink"
)

// secondDay is how many leaves the log has after two days: a key, and two seals of each.
const secondDay = 5

// hands are what somebody with the rights of an administrator can do to a bucket, be it one in memory or on a real server.
type hands interface {
	Overwrite(key string, body []byte, lock sink.Lock)
	Hide(key string)
	SetExpiry(rules ...sink.ExpiryRule)
}

// weak is a lock that an object got, or was left with, in place of the one that its manifest tells of.
type weak struct {
	key  func(w *world) string
	lock func(due sink.Lock) sink.Lock
}

func csvOf(w *world) string { return w.file(formats.CSV, acme, standard, 2, 1) }

func weakened(lock func(due sink.Lock) sink.Lock) *weak { return &weak{csvOf, lock} }

func shorter(due sink.Lock) sink.Lock {
	return sink.Lock{Mode: due.Mode, RetainUntil: due.RetainUntil.AddDate(0, 0, -3)}
}
func governance(due sink.Lock) sink.Lock {
	return sink.Lock{Mode: sink.Governance, RetainUntil: due.RetainUntil}
}
func unlocked(sink.Lock) sink.Lock { return sink.Lock{} }

func overwrites(key func(w *world) string, body string) func(h hands, w *world) {
	return func(h hands, w *world) { h.Overwrite(key(w), []byte(body), sink.Lock{}) }
}

func hides(key func(w *world) string) func(h hands, w *world) {
	return func(h hands, w *world) { h.Hide(key(w)) }
}

func rules(rules ...sink.ExpiryRule) func(h hands, w *world) {
	return func(h hands, _ *world) { h.SetExpiry(rules...) }
}

func manifestOf(*world) string   { return seal.ManifestKey(acme, 2) }
func noteOf(*world) string       { return seal.NoteKey(acme, 2) }
func checkpointOf(*world) string { return tlog.CheckpointKey(secondDay) }
func entriesOf(*world) string    { return tile(-1, secondDay) }
func keyOf(w *world) string      { return seal.KeyKey(w.first.ID()) }
func evidenceOf(w *world) string { return w.file(formats.JSONL, acme, standard, 2, 1) }

// after has the auditor verify so many days later.
func after(days int, do func(f *forger)) func(f *forger) {
	return func(f *forger) {
		do(f)
		f.o.Now = func() time.Time { return f.w.now.AddDate(0, 0, days) }
	}
}

// further adds a leaf to the log, signed with the present key. The anchors are removed: they are of the log without it.
func (f *forger) further(l *tlog.Leaf) {
	f.t.Helper()
	b := f.relog(f.w.Leaves, f.w.sizes)
	b.Clock = f.w.Clock
	b.Leaf(l)
	b.Publish()
	f.noAnchors()
}

func storeCases() []testCase {
	newer, marker := []string{"newer-version"}, []string{"delete-marker"}
	lock, control := []string{"lock-weak"}, []string{"control-lock-weak"}
	eraseEvidence := func(f *forger) { f.Erase(evidenceOf(f.w)) }
	return []testCase{
		{33, "Put a newer version over a sealed object", []variant{
			{does: "Over a data file.", says: newer, exit: 1, names: csvOf, both: overwrites(csvOf, "forged")},
			{does: "Over a data file, with the same bytes.", says: newer, exit: 1, names: csvOf, do: func(f *forger) {
				key := csvOf(f.w)
				f.Overwrite(key, f.Bytes(key), f.History(key)[0].Lock)
			}},
			{does: "Over a manifest.", says: newer, exit: 1, names: manifestOf, both: overwrites(manifestOf, "{}")},
			{does: "Over a note.", says: newer, exit: 1, names: noteOf, both: overwrites(noteOf, "forged")},
			{does: "Over a checkpoint, without a good signature.", says: newer, exit: 1, names: checkpointOf, both: overwrites(checkpointOf, "forged")},
			{does: "Over a public key.", says: newer, exit: 1, names: keyOf, both: overwrites(keyOf, "forged")},
			{does: "Over the entries of the log.", says: newer, exit: 1, names: entriesOf, both: overwrites(entriesOf, "forged")},
			{does: "Over a data file, whose sealed version is gone.", says: []string{"version-missing"}, exit: 1, names: csvOf, do: func(f *forger) {
				key := csvOf(f.w)
				data, lock := f.Bytes(key), f.History(key)[0].Lock
				f.Erase(key)
				f.Overwrite(key, data, lock)
			}},
		}},
		{34, "Hide an object behind a delete marker", []variant{
			{does: "A data file.", says: marker, exit: 1, names: csvOf, both: hides(csvOf)},
			{does: "A manifest.", says: marker, exit: 1, names: manifestOf, both: hides(manifestOf)},
			{does: "A note.", says: marker, exit: 1, names: noteOf, both: hides(noteOf)},
			{does: "A checkpoint.", says: marker, exit: 1, names: checkpointOf, both: hides(checkpointOf)},
			{does: "A public key.", says: marker, exit: 1, names: keyOf, both: hides(keyOf)},
			{does: "Every object.", says: marker, exit: 1, do: func(f *forger) {
				for _, key := range f.Keys() {
					f.Hide(key)
				}
			}},
		}},
		{35, "Lock an object shorter or weaker than its manifest says", []variant{
			{does: "A data file, for three days less.", says: lock, exit: 1, names: csvOf, weak: weakened(shorter)},
			{does: "A data file, in governance mode instead of compliance mode.", says: lock, exit: 1, names: csvOf, weak: weakened(governance)},
			{does: "A data file, not at all.", says: lock, exit: 1, names: csvOf, weak: weakened(unlocked)},
			{does: "A manifest, not at all.", says: control, exit: 1, names: manifestOf, weak: &weak{manifestOf, unlocked}},
			{does: "A checkpoint, in governance mode instead of compliance mode.", says: control, exit: 1, names: checkpointOf, weak: &weak{checkpointOf, governance}},
			{does: "A public key, for three days less than a seal that it signed.", says: control, exit: 1, names: keyOf, weak: &weak{keyOf, func(due sink.Lock) sink.Lock { return shorter(shorter(due)) }}},
			{does: "A file whose retention was lengthened by a leaf of the log, but whose lock was not.", says: lock, exit: 1, names: csvOf, do: func(f *forger) {
				f.further(&tlog.Leaf{Type: tlog.TypeExtension, Extension: &tlog.ExtensionLeaf{
					Trail: acme, FirstSeal: 2, LastSeal: 2, RetainUntil: f.w.now.AddDate(0, 3, 0).UTC().Truncate(time.Second), Reason: "case 7", By: "counsel",
				}})
			}},
			{does: "A file that a leaf of the log holds, by lifting its legal hold.", says: []string{"hold-missing"}, exit: 1, names: csvOf, do: func(f *forger) {
				day := seal.Date{Day: f.w.day(2)}
				f.further(&tlog.Leaf{Type: tlog.TypeHold, Hold: &tlog.HoldLeaf{Action: tlog.HoldPut, Trail: acme, From: day, To: day, Reason: "case 7", By: "counsel"}})
				for _, key := range f.Keys() {
					f.SetHeld(key, key != csvOf(f.w))
				}
			}},
		}},
		{36, "Set a rule by which the store removes objects", []variant{
			{does: "Data files of a class a day before their retention ends.", says: []string{"expiry-rule"}, exit: 1, both: rules(sink.ExpiryRule{ID: "early", Prefix: "csv/class=standard/", Days: 29})},
			{does: "Everything after a day.", says: []string{"expiry-control", "expiry-rule"}, exit: 1, both: rules(sink.ExpiryRule{ID: "all", Days: 1})},
			{does: "Manifests and notes.", says: []string{"expiry-control"}, exit: 1, both: rules(sink.ExpiryRule{ID: "seals", Prefix: "seals/", Days: 4000})},
			{does: "The log.", says: []string{"expiry-control"}, exit: 1, both: rules(sink.ExpiryRule{ID: "log", Prefix: "log/", Days: 4000})},
		}},
		{37, "Delete a file after, or before, its retention has ended", []variant{
			{does: "An evidence file before.", says: []string{"file-missing"}, exit: 1, names: evidenceOf, folder: true, do: eraseEvidence},
			{does: "An evidence file after: this is how retention ends.", notes: []string{"file-expired"}, names: evidenceOf, folder: true, do: after(60, eraseEvidence)},
			{does: "After, but of the class that is kept longer.", says: []string{"file-missing"}, exit: 1, do: after(60, func(f *forger) { f.Erase(f.w.file(formats.JSONL, acme, security, 2, 1)) })},
			{does: "After, but under a legal hold.", says: []string{"file-missing"}, exit: 1, names: evidenceOf, do: after(60, func(f *forger) {
				day := seal.Date{Day: f.w.day(2)}
				f.further(&tlog.Leaf{Type: tlog.TypeHold, Hold: &tlog.HoldLeaf{Action: tlog.HoldPut, Trail: acme, From: day, To: day, Reason: "case 7", By: "counsel"}})
				for _, key := range f.Keys() {
					f.SetHeld(key, true)
				}
				eraseEvidence(f)
			})},
			{does: "Before, with an erasure in the log that names the file and the reason.", notes: []string{"file-erased"}, names: evidenceOf, do: func(f *forger) { f.erased(2) }},
			{does: "Before, with an erasure in the log that names the file under another seal.", says: []string{"file-missing", "leaf-reference"}, exit: 1, names: evidenceOf, do: func(f *forger) { f.erased(3) }},
			{does: "After, while the manifest's retention was shortened in the text, not signed.", says: []string{"chain-broken", "note-text", "seal-log-mismatch"}, notes: []string{"file-expired"}, exit: 1, do: func(f *forger) {
				m := f.manifest(acme, 2)
				for i := range m.Files {
					m.Files[i].RetainUntil = f.w.now.AddDate(0, 0, -1).UTC().Truncate(time.Second)
				}
				data, err := m.Encode()
				f.must(err)
				f.put(seal.ManifestKey(acme, 2), data)
				eraseEvidence(f)
			}},
		}},
	}
}

// erased removes an evidence file of the second day, and logs an erasure of it from the seal of that number.
func (f *forger) erased(n uint64) {
	f.t.Helper()
	key := evidenceOf(f.w)
	f.further(&tlog.Leaf{Type: tlog.TypeErasure, Erasure: &tlog.ErasureLeaf{Trail: acme, Seal: n, Key: key, SHA256: seal.Sum(f.Bytes(key)), Reason: "article 17", By: "dpo"}})
	f.Erase(key)
}
