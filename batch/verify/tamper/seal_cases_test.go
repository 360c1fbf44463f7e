package tamper_test

import (
	"bytes"
	"time"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/formats"
)

// inManifest forges one manifest of acme with the right keys, and all that follows from it.
func inManifest(n uint64, change func(m *seal.Manifest)) func(f *forger) {
	return func(f *forger) {
		f.at = seal.ManifestKey(acme, n)
		f.forge(forgery{manifest: func(m *seal.Manifest) {
			if m.Trail == acme && m.Seal == n {
				change(m)
			}
		}})
	}
}

// swapFile puts other bytes under a file's key, and says so in the manifest, which is written but neither signed nor logged. It returns the manifest.
func (f *forger) swapFile(n uint64) (*seal.Manifest, []byte) {
	f.t.Helper()
	m := f.manifest(acme, n)
	f.Replace(m.Files[0].Key, f.pack(m.Files[0].Key, []byte("forged\n")))
	f.claim(&m.Files[0], false)
	data, err := m.Encode()
	f.must(err)
	f.put(seal.ManifestKey(acme, n), data)
	return m, data
}

// unvouched does as swapFile, and takes away what says otherwise: the seal's note, and the seal that follows with its files. The auditor has both keys.
func (f *forger) unvouched() {
	const n = 4
	f.t.Helper()
	f.at = seal.ManifestKey(acme, n)
	f.swapFile(n)
	f.Erase(seal.NoteKey(acme, n))
	f.eraseSeal(acme, n+1)
	f.o.Keys = []seal.PublicKey{f.w.first.Public(), f.w.second.Public()}
}

// exchange swaps the bytes of two objects.
func (f *forger) exchange(a, b string) {
	was := f.Bytes(a)
	f.Replace(a, f.Bytes(b))
	f.Replace(b, was)
}

func sealCases() []testCase {
	return []testCase{
		{10, "Replace a file, and its hash in the manifest", []variant{
			{does: "The note, the chain and the log say otherwise.", says: []string{"chain-broken", "note-text", "seal-log-mismatch"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, 4)
				f.swapFile(4)
			}},
			{does: "In the trail's newest seal, which no other is chained to.", says: []string{"note-text", "seal-log-mismatch"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, lastSeal)
				f.swapFile(lastSeal)
			}},
			{does: "The text of the note as well, under the old signature.", says: []string{"chain-broken", "note-signature", "seal-log-mismatch"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.NoteKey(acme, 4)
				m, data := f.swapFile(4)
				_, signature, _ := bytes.Cut(f.Bytes(f.at), []byte("\n\n"))
				f.Replace(f.at, join([]byte(seal.NoteText(m, data)), []byte("\n"), signature))
			}},
			{does: "Its note, the next seal and the whole log are gone, in a copy that is said to be partial.", with: []string{"partial", "key"}, says: []string{"seal-unvouched"}, notes: []string{"absent"}, exit: 2, folder: true, do: func(f *forger) {
				f.unvouched()
				f.eraseAll(tlog.Prefix)
			}},
			{does: "Its note, the next seal and the entries of the log are gone, in a copy that is said to be partial.", with: []string{"partial", "key"}, says: []string{"seal-unvouched"}, notes: []string{"absent"}, exit: 2, folder: true, do: func(f *forger) {
				f.unvouched()
				f.eraseAll("log/tile/entries/")
			}},
			{does: "Its note and the next seal are gone, in a copy that is said to be partial; the log is there.", with: []string{"partial", "key"}, says: []string{"seal-log-mismatch", "seal-unvouched"}, notes: []string{"absent"}, exit: 1, folder: true, do: func(f *forger) { f.unvouched() }},
			{does: "The manifest and note name a key of the forger's, which is not there; the next seal and the log are gone, in a copy that is said to be partial.", with: []string{"partial", "key"}, says: []string{"seal-unvouched"}, notes: []string{"absent"}, exit: 2, folder: true, do: func(f *forger) {
				f.unvouched()
				thief, m := f.newKey("thief"), f.manifest(acme, 4)
				m.Key = thief.ID()
				data, err := m.Encode()
				f.must(err)
				f.put(f.at, data)
				f.put(seal.NoteKey(acme, 4), f.sign(m, data, thief))
				f.eraseAll(tlog.Prefix)
			}},
		}},
		{15, "Delete a manifest in the middle of the chain", []variant{
			{does: "The manifest alone.", says: []string{"manifest-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, 4)
				f.Erase(f.at)
			}},
			{does: "The note alone.", says: []string{"note-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.NoteKey(acme, 4)
				f.Erase(f.at)
			}},
			{does: "Both, and the files stay.", says: []string{"seal-missing", "unlisted-object"}, exit: 1, folder: true, do: func(f *forger) {
				f.Erase(seal.ManifestKey(acme, 4))
				f.Erase(seal.NoteKey(acme, 4))
			}},
			{does: "Two manifests; their notes change places, in a copy that is said to be partial.", with: []string{"partial", "key"}, says: []string{"note-text", "unlisted-object"}, notes: []string{"absent"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.NoteKey(acme, 3)
				f.exchange(seal.NoteKey(acme, 3), seal.NoteKey(acme, 4))
				f.Erase(seal.ManifestKey(acme, 3))
				f.Erase(seal.ManifestKey(acme, 4))
			}},
			{does: "The manifest, and a bit of a file that only the note now lists.", says: []string{"file-altered", "manifest-missing"}, exit: 1, do: func(f *forger) {
				f.at = f.w.file(formats.CSV, acme, standard, 4, 1)
				f.Erase(seal.ManifestKey(acme, 4))
				f.FlipBit(f.at, 300)
			}},
		}},
		{16, "Delete a whole day in the middle", []variant{
			{does: "Files, manifest and note.", says: []string{"seal-missing"}, exit: 1, folder: true, do: func(f *forger) { f.eraseSeal(acme, 4) }},
			{does: "Of the first day.", says: []string{"seal-missing"}, exit: 1, folder: true, do: func(f *forger) { f.eraseSeal(acme, 1) }},
			{does: "The seals after it are renumbered, and everything is signed with the right keys; a checkpoint is given.", with: []string{"checkpoint"}, says: []string{"log-cut"}, notes: []string{"day-unsealed"}, exit: 1, do: dropDay},
			{does: "The same, and nothing is given.", notes: []string{"day-unsealed", "head-unanchored"}, unseen: "a checkpoint, witness or time stamp; but the day that is not sealed is told", do: dropDay},
		}},
		{17, "Delete the last days", []variant{
			{does: "Files, manifests and notes of the last three days; the log stays.", says: []string{"seal-missing"}, exit: 1, folder: true, do: func(f *forger) { f.eraseDaysFrom(8) }},
			{does: "And the log of these days; the receipts of witness and authority stay.", says: []string{"log-cut"}, exit: 1, folder: true, do: func(f *forger) {
				f.eraseDaysFrom(8)
				f.cutLog(7)
			}},
			{does: "And the receipts; a checkpoint is given.", with: []string{"checkpoint"}, says: []string{"log-cut"}, exit: 1, folder: true, do: cutTailOfStore},
			{does: "And the receipts and the entries of the log, in a copy that is said to be partial; a checkpoint is given.", with: []string{"partial", "checkpoint"}, says: []string{"checkpoint-unchecked"}, notes: []string{"absent"}, exit: 2, folder: true, do: func(f *forger) {
				cutTailOfStore(f)
				f.eraseAll("log/tile/entries/")
			}},
			{does: "And the receipts; the roots of the time-stamping authority are given.", with: []string{"tsa-ca"}, says: []string{"timestamp-missing"}, exit: 2, do: cutTailOfStore},
			{does: "And all receipts, those of the days that are left too; a witness is named.", with: []string{"policy"}, says: []string{"quorum-missing"}, exit: 2, do: func(f *forger) {
				cutTailOfStore(f)
				f.noAnchors()
			}},
			{does: "And the receipts of these days only; a witness is named.", with: []string{"policy"}, anchored: 7,
				unseen: "the witness's own record of the log's size, or a later checkpoint; the report says up to which leaf and when the head was cosigned", do: cutTailOfStore},
			{does: "And the receipts, and nothing is given.", notes: []string{"head-unanchored"}, unseen: "a checkpoint", do: cutTailOfStore},
		}},
		{18, "Delete everything", []variant{
			{does: "Every object.", says: []string{"nothing-sealed"}, exit: 2, folder: true, do: func(f *forger) { f.eraseAll("") }},
			{does: "Every object; a key and a checkpoint are given.", with: []string{"key", "checkpoint"}, says: []string{"key-not-yours", "log-cut", "nothing-sealed"}, exit: 1, do: func(f *forger) { f.eraseAll("") }},
			{does: "Every seal with its files; keys and log stay.", says: []string{"nothing-sealed", "seal-missing"}, exit: 1, folder: true, do: func(f *forger) {
				for _, format := range formats.All() {
					f.eraseAll(format.Name + "/")
				}
				f.eraseAll("seals/")
			}},
			{does: "The whole log.", says: []string{"log-missing"}, exit: 1, folder: true, do: func(f *forger) { f.eraseAll(tlog.Prefix) }},
		}},
		{22, "Reorder manifests, or break the chain", []variant{
			{does: "Two manifests change places.", says: []string{"chain-broken", "control-lock-weak", "note-text", "seal-log-mismatch", "seal-number", "time-order"}, exit: 1, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, 8)
				f.exchange(seal.ManifestKey(acme, 8), seal.ManifestKey(acme, 9))
			}},
			{does: "Two manifests and their notes change places.", says: []string{"chain-broken", "seal-log-mismatch", "seal-number", "time-order"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.ManifestKey(beta, 8)
				f.exchange(seal.ManifestKey(beta, 8), seal.ManifestKey(beta, 9))
				f.exchange(seal.NoteKey(beta, 8), seal.NoteKey(beta, 9))
			}},
			{does: "A manifest names another one before it, signed with the right keys.", says: []string{"chain-broken"}, exit: 1, folder: true, do: inManifest(4, func(m *seal.Manifest) { m.Previous = seal.Sum([]byte("another")) })},
			{does: "An addendum without its day's own seal, signed with the right keys.", says: []string{"addendum-order"}, exit: 1, folder: true, do: func(f *forger) {
				inManifest(4, func(m *seal.Manifest) {
					m.Addendum = 1
					f.rekey(m)
				})(f)
			}},
		}},
		{23, "Leave out a number, or use one twice", []variant{
			{does: "The numbers of seals go on behind a hole, signed with the right keys.", says: []string{"log-seal-order", "seal-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.forge(forgery{manifest: func(m *seal.Manifest) {
					if m.Trail == acme && m.Seal == 10 {
						m.Seal = 12 // what lay under that number moves along
					}
				}})
			}},
			{does: "A day has two seals of its own, signed with the right keys.", says: []string{"addendum-order", "file-listed-twice"}, exit: 1, folder: true, do: func(f *forger) {
				inManifest(lastSeal, func(m *seal.Manifest) {
					for _, file := range m.Files {
						f.Erase(file.Key)
					}
					own := f.manifest(acme, addendumOf)
					m.Addendum, m.Files, m.Counts = 0, own.Files, own.Counts
				})(f)
			}},
			{does: "The log tells of one seal twice, signed with the right keys.", says: []string{"log-seal-order"}, exit: 1, do: func(f *forger) {
				f.forge(forgery{entries: func(e [][]byte) [][]byte { return append(e, e[len(e)-1]) }})
			}},
			{does: "An addendum gets another number, signed with the right keys.", says: []string{"addendum-order"}, exit: 1, do: func(f *forger) {
				inManifest(lastSeal, func(m *seal.Manifest) {
					m.Addendum = 2
					f.rekey(m)
				})(f)
			}},
		}},
		{24, "Lose or make events between two seals", []variant{
			{does: "A seal carries over events that the one before did not leave, signed with the right keys.", says: []string{"counts-carried"}, exit: 1, folder: true, do: inManifest(4, func(m *seal.Manifest) {
				m.Counts.Carried, m.Counts.Read = 2, m.Counts.Read-2
			})},
			{does: "A seal leaves more events than the next one carries over, signed with the right keys.", says: []string{"counts-carried"}, exit: 1, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, 4)
				f.forge(forgery{manifest: func(m *seal.Manifest) {
					switch {
					case m.Trail != acme:
					case m.Seal == 3:
						m.Counts.Read, m.Counts.Pending = m.Counts.Read+5, 5
					case m.Seal == 4:
						m.Counts.Carried, m.Counts.Read = 4, m.Counts.Read-4
					}
				}})
			}},
		}},
		{25, "Leave a hole between days, or let them overlap", []variant{
			{does: "A day's range reaches into the next, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, folder: true, do: inManifest(4, func(m *seal.Manifest) { m.End = m.End.Add(time.Hour) })},
			{does: "A day's range begins after midnight, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, do: inManifest(4, func(m *seal.Manifest) { m.Start = m.Start.Add(time.Minute) })},
			{does: "A day's range ends an hour before midnight, and no addendum covers the rest, signed with the right keys.", notes: []string{"day-unsealed"}, folder: true, do: func(f *forger) {
				inManifest(4, func(m *seal.Manifest) { m.End = m.End.Add(-time.Hour) })(f)
				f.at = ""
			}},
			{does: "A day's range says that it ends before its last event, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, do: inManifest(4, func(m *seal.Manifest) { m.End = m.End.Add(-23 * time.Hour) })},
		}},
		{26, "Let the counts of a seal not add up", []variant{
			{does: "An event more was read than was written, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, folder: true, do: inManifest(4, func(m *seal.Manifest) { m.Counts.Read++ })},
			{does: "More were written than the evidence has rows, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, do: inManifest(4, func(m *seal.Manifest) { m.Counts.Read, m.Counts.Written = m.Counts.Read+1, m.Counts.Written+1 })},
			{does: "A format has fewer rows than the evidence, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, do: inManifest(4, func(m *seal.Manifest) { m.Files[0].Rows-- })},
			{does: "Times of suspect events that there are none of, signed with the right keys.", with: []string{"deep"}, says: []string{"suspect-count"}, exit: 1, do: inManifest(4, func(m *seal.Manifest) { m.Counts.TimeSuspect = 1 })},
			{does: "Records in quarantine without their hashes, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, do: inManifest(4, func(m *seal.Manifest) {
				m.Counts.Read, m.Counts.Quarantined = m.Counts.Read+1, 1
			})},
		}},
		{31, "Lie about the time of a seal", []variant{
			{does: "Sealed before its newest event, signed with the right keys.", says: []string{"sealed-too-early", "time-order"}, exit: 1, folder: true, do: inManifest(4, func(m *seal.Manifest) { m.SealedAt = m.Start })},
			{does: "Sealed in the future, signed with the right keys.", says: []string{"time-in-future", "time-order"}, exit: 1, do: inManifest(4, func(m *seal.Manifest) { m.SealedAt = m.SealedAt.AddDate(0, 1, 0) })},
			{does: "A leaf of the log is of the future, signed with the right keys.", says: []string{"time-in-future"}, exit: 1, do: func(f *forger) {
				f.forge(forgery{entries: func(e [][]byte) [][]byte {
					l, _, err := tlog.ParseLeaf(e[len(e)-1])
					f.must(err)
					l.Time = l.Time.AddDate(0, 1, 0)
					e[len(e)-1], err = l.Encode()
					f.must(err)
					return e
				}})
			}},
			{does: "The leaves of the log go back in time, signed with the right keys.", says: []string{"time-order"}, exit: 1, do: func(f *forger) {
				f.forge(forgery{entries: func(e [][]byte) [][]byte {
					i := f.index(4)
					l, _, err := tlog.ParseLeaf(e[i])
					f.must(err)
					l.Time = l.Time.AddDate(0, 0, -2)
					e[i], err = l.Encode()
					f.must(err)
					return e
				}})
			}},
			{does: "The first and last event time of a file are not those of its rows, signed with the right keys.", with: []string{"deep"}, says: []string{"times-untrue"}, exit: 1, do: func(f *forger) {
				inManifest(4, func(m *seal.Manifest) {
					for i := range m.Files {
						m.Files[i].Last = m.Files[i].Last.Add(time.Microsecond)
					}
				})(f)
				f.at = f.w.file(formats.JSONL, acme, standard, 4, 1)
			}},
		}},
		{32, "Put an object that nobody sealed", []variant{
			{does: "Beside the data files.", says: []string{"unlisted-object"}, exit: 1, folder: true, do: unlisted("csv/class=standard/trail=acme/dt=2001-01-01/acme-2001-01-01.0001.csv.gz")},
			{does: "The same within the last hour, when it may be a file of a seal that is being made; an hour later it is told as above.", says: []string{"unsealed-object"}, exit: 2, do: func(f *forger) {
				unlisted("csv/class=standard/trail=acme/dt=2001-01-01/acme-2001-01-01.0001.csv.gz")(f)
				f.SetModified(f.at, f.w.now.Add(-time.Minute))
			}},
			{does: "At the root.", says: []string{"unlisted-object"}, exit: 1, folder: true, do: unlisted("README.txt")},
			{does: "In a seal's folder.", says: []string{"unlisted-object"}, exit: 1, folder: true, do: unlisted("seals/acme/00000004/manifest.json.bak")},
			{does: "Among what `daybook doctor` leaves, under a name that it does not give.", says: []string{"unlisted-object"}, exit: 1, folder: true, do: unlisted("doctor/20260310T080000Z-01234567/acme-2026-03-10.csv")},
			{does: "In the folder of temporary files, under a name that they do not have.", says: []string{"unlisted-object"}, exit: 1, folder: true, do: unlisted(".daybook-tmp/acme-2026-03-10.csv")},
			{does: "Among the keys: a public key that no log knows.", says: []string{"unlisted-object"}, exit: 1, folder: true, do: func(f *forger) {
				k := f.newKey("stranger")
				f.at = seal.KeyKey(k.ID())
				f.put(f.at, k.PublicPEM())
			}},
			{does: "Among the keys: a stranger's public key, in a copy without log that is said to be partial. It vouches for nothing.", with: []string{"partial"}, notes: []string{"key-unused"}, folder: true, do: func(f *forger) {
				k := f.newKey("stranger")
				f.at = seal.KeyKey(k.ID())
				f.put(f.at, k.PublicPEM())
				f.eraseAll(tlog.Prefix)
			}},
			{does: "In the log.", says: []string{"unlisted-object"}, exit: 1, folder: true, do: unlisted("log/tile/0/000.p/4")},
			{does: "A further seal that nobody signed: its manifest alone.", says: []string{"seal-incomplete", "seal-not-logged"}, exit: 2, folder: true, do: func(f *forger) {
				m := f.manifest(beta, 10)
				m.Seal, m.Previous, m.Files = 11, seal.Sum(f.Bytes(seal.ManifestKey(beta, 10))), nil
				f.furtherSeal(m)
			}},
		}},
	}
}

func unlisted(key string) func(f *forger) {
	return func(f *forger) {
		f.at = key
		f.put(key, []byte("nobody sealed this"))
	}
}

// furtherSeal puts the manifest of an empty day behind the last seal, without a note.
func (f *forger) furtherSeal(m *seal.Manifest) {
	f.t.Helper()
	from := f.manifest(beta, 5)
	m.Day = seal.Date{Day: f.w.day(11)}
	m.Start, m.End, m.SealedAt = m.Day.Start(), m.Day.End(), m.Day.End().Add(time.Hour)
	m.Counts = from.Counts
	for _, file := range from.Files {
		name, err := file.Name(from)
		f.must(err)
		name.Day = m.Day.Day
		data, lock := f.Bytes(file.Key), f.History(file.Key)[0].Lock
		file.Key = seal.FileKey(name)
		f.Overwrite(file.Key, data, lock)
		file.Version = f.History(file.Key)[0].ID
		m.Files = append(m.Files, file)
	}
	data, err := m.Encode()
	f.must(err)
	f.put(seal.ManifestKey(m.Trail, m.Seal), data)
}

// dropDay removes the fourth day of acme, as if it had never been sealed.
func dropDay(f *forger) {
	f.forge(forgery{drop: func(m *seal.Manifest) bool { return m.Trail == acme && m.Day.Day == f.w.day(4) }})
}

// eraseDaysFrom removes the seals of the days from one on, and the addendum, which came last.
func (f *forger) eraseDaysFrom(day int) {
	for n := uint64(day); n <= lastSeal; n++ {
		f.eraseSeal(acme, n)
		if n < lastSeal {
			f.eraseSeal(beta, n)
		}
	}
}

// cutLog sets the log back to what it was after a day, and leaves no trace but the anchors.
func (f *forger) cutLog(day int) {
	size := f.w.sizes[day-1]
	kept := map[string]bool{}
	for _, key := range f.Keys() {
		if n, ok := tlog.ParseCheckpointKey(key); ok && n <= size {
			kept[key] = true
		} else if n, ok := tlog.ParseNextKey(key); ok && n < size {
			kept[key] = true
		} else if t, ok := tlog.ParseTileKey(key); ok && int64(t.W) <= size { // the whole log is in one tile
			kept[key] = true
		} else if _, _, _, ok := tlog.ParseAnchorKey(key); ok {
			kept[key] = true
		}
	}
	for _, key := range f.Keys() {
		if bytes.HasPrefix([]byte(key), []byte(tlog.Prefix)) && !kept[key] {
			f.Erase(key)
		}
	}
}

// cutTailOfStore removes the last three days without a trace.
func cutTailOfStore(f *forger) {
	f.eraseDaysFrom(8)
	f.cutLog(7)
	for _, size := range f.w.sizes[7:] {
		f.eraseAll(tlog.AnchorKey(size, "", "")[:len("log/anchors/")+12])
	}
}

func (f *forger) newKey(name string) seal.Key { return f.builder().NewKey(name) }
