package tamper_test

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify/verifytest"
	"daybook/event"
	"daybook/formats"
)

// history is what a forger with the right keys changes who wants an event gone: it is in no file, no count and no hash any more, and everything is signed.
func history(f *forger) {
	f.forge(forgery{manifest: func(m *seal.Manifest) {
		if m.Trail == acme && m.Seal == 4 {
			events := f.events(f.w.file(formats.JSONL, acme, standard, 4, 1))
			f.render(m, slices.Delete(events, 1, 2))
		}
	}})
}

// anew makes the whole store again, with a key of the forger's own and everything else as it was.
func anew(f *forger) {
	thief := f.newKey("daybook")
	fresh := &world{base: f.w.base, checkpoints: map[int64][]byte{}, Builder: f.builder()}
	f.eraseAll("")
	fresh.Clock, fresh.Key, fresh.first, fresh.second = fresh.base.Start(), thief, thief, f.newKey("daybook-2")
	fresh.PutKey(thief)
	fresh.Leaf(&tlog.Leaf{Type: tlog.TypeKey, Key: &tlog.KeyLeaf{Action: tlog.Genesis, Origin: verifytest.Origin, Key: thief.Public().VerifierKey()}}, thief)
	fresh.fill(shape{10, formats.All()[:2]}, func(int64) {})
}

// signedBy signs the fourth seal of acme with another key, and names that key in the manifest.
func (f *forger) signedBy(n uint64, key seal.Key) {
	f.t.Helper()
	m := f.manifest(acme, n)
	m.Key = key.ID()
	data, err := m.Encode()
	f.must(err)
	f.put(seal.ManifestKey(acme, n), data)
	f.put(seal.NoteKey(acme, n), f.sign(m, data, key))
	f.SetLock(seal.KeyKey(key.ID()), f.controlLock()) // a lock can always be lengthened
	f.at = seal.NoteKey(acme, n)
}

// signedAs signs a checkpoint's text under any name.
func (f *forger) signedAs(key seal.Key, name, text string) []byte {
	f.t.Helper()
	signer, err := seal.CheckpointSigner(key, name)
	f.must(err)
	data, err := note.Sign(&note.Note{Text: text}, signer)
	f.must(err)
	return data
}

// fromSecond signs the seals from a day on with the retired key.
func (f *forger) fromSecond(m *seal.Manifest) (seal.Key, bool) {
	return f.w.first, m.Trail == acme && m.Seal == 8
}

func keyCases() []testCase {
	return []testCase{
		{11, "Replace a file and its hash, and sign with a wrong key", []variant{
			{does: "The note is signed with a key of the same name; the manifest still names the right one.", says: []string{"chain-broken", "note-signature", "seal-log-mismatch"}, exit: 1, folder: true, do: func(f *forger) {
				m, data := f.swapFile(4)
				f.put(seal.NoteKey(acme, 4), f.sign(m, data, f.newKey("first")))
				f.at = seal.NoteKey(acme, 4)
			}},
			{does: "The manifest names the wrong key, whose public key lies beside the right ones.", says: []string{"chain-broken", "key-unknown", "seal-log-mismatch", "unlisted-object"}, exit: 1, folder: true, do: func(f *forger) {
				thief := f.newKey("first")
				f.put(seal.KeyKey(thief.ID()), thief.PublicPEM())
				f.swapFile(4)
				f.signedBy(4, thief)
			}},
			{does: "The wrong public key lies under the right one's name.", says: []string{"key-file-invalid"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.KeyKey(f.w.first.ID())
				f.Replace(f.at, f.newKey("first").PublicPEM())
			}},
			{does: "The whole store is made anew with another key; the right one is given.", with: []string{"key"}, says: []string{"key-not-yours"}, exit: 1, folder: true, do: anew},
			{does: "The whole store is made anew with another key; a checkpoint is given.", with: []string{"checkpoint"}, says: []string{"checkpoint-contradicted"}, exit: 1, do: anew},
			{does: "The whole store is made anew with another key; a witness is named.", with: []string{"policy"}, says: []string{"quorum-missing"}, exit: 2, do: anew},
			{does: "The whole store is made anew with another key, and nothing is given.", notes: []string{"head-unanchored"}, unseen: "a key, checkpoint, witness or time stamp", do: anew},
		}},
		{12, "Sign with a retired key", []variant{
			{does: "A seal of after the rotation.", says: []string{"chain-broken", "key-out-of-range", "seal-log-mismatch"}, exit: 1, folder: true, do: func(f *forger) { f.signedBy(8, f.w.first) }},
			{does: "A seal of after the rotation; the log tells of it, signed with the present key.", says: []string{"key-out-of-range"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.NoteKey(acme, 8)
				f.SetLock(seal.KeyKey(f.w.first.ID()), f.controlLock())
				f.forge(forgery{signer: f.fromSecond, manifest: func(m *seal.Manifest) {
					if m.Trail == acme && m.Seal == 8 {
						m.Key = f.w.first.ID()
					}
				}})
			}},
			{does: "The newest checkpoint.", says: []string{"checkpoint-invalid"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.size())
				data, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: verifytest.Origin, Size: f.w.size(), Root: f.w.Root(f.w.size())}, f.w.first)
				f.must(err)
				f.Replace(f.at, data)
			}},
			{does: "A seal that comes before the retired key was revoked from: the present key revokes it from there on.", says: []string{"key-revoked"}, exit: 1, do: func(f *forger) {
				f.forge(forgery{entries: func(e [][]byte) [][]byte { return append(e, f.revokes(f.w.first, int64(f.index(4)))) }})
				f.at = seal.NoteKey(acme, 5)
			}},
			{does: "Only the retired key was stolen: the log is cut before the rotation, and goes on with the stolen key; the present key is given.", with: []string{"key"}, says: []string{"key-not-yours"}, exit: 1, do: goOnWithRetired},
			{does: "The same; a checkpoint is given.", with: []string{"checkpoint"}, says: []string{"log-cut"}, exit: 1, do: goOnWithRetired},
			{does: "The same, and nothing is given.", notes: []string{"head-unanchored"}, unseen: "the present key, a checkpoint, witness or time stamp", do: goOnWithRetired},
			{does: "The key that is given is of the store, but was revoked.", with: []string{"key"}, says: []string{"key-revoked", "key-yours-revoked"}, exit: 1, do: func(f *forger) {
				f.forge(forgery{entries: func(e [][]byte) [][]byte { return append(e, f.revokes(f.w.first, int64(f.index(4)))) }})
				f.o.Keys = []seal.PublicKey{f.w.first.Public()}
			}},
		}},
		{13, "Rewrite history with the stolen, valid keys", []variant{
			{does: "An event is taken out of every file, count, hash and signature; a checkpoint of before is given.", with: []string{"checkpoint"}, says: []string{"checkpoint-contradicted"}, exit: 1, folder: true, do: history},
			{does: "The same; a witness is named, and what it said of the true log was removed.", with: []string{"policy"}, says: []string{"quorum-missing"}, exit: 2, folder: true, do: history},
			{does: "The same; a witness is named, and what it said of the true log is still there.", with: []string{"policy"}, says: []string{"cosignature-invalid", "quorum-missing", "timestamp-invalid"}, exit: 1, do: historyWithAnchors},
			{does: "The same; the roots of the time-stamping authority are given, and the time stamp was removed.", with: []string{"tsa-ca"}, says: []string{"timestamp-missing"}, exit: 2, do: history},
			{does: "The same; nothing is given, and the time stamp is still there.", says: []string{"timestamp-invalid"}, exit: 1, do: historyWithAnchors},
			{does: "The same; only the key is given, which is the stolen one.", with: []string{"key", "deep"}, notes: []string{"head-unanchored"}, unseen: "a checkpoint, witness or time stamp", do: history},
			{does: "The same, and nothing is given.", with: []string{"deep"}, notes: []string{"head-unanchored"}, unseen: "a checkpoint, witness or time stamp", do: history},
		}},
		{28, "Use a good signature under another name", []variant{
			{does: "A checkpoint of another log, by the same key.", says: []string{"checkpoint-invalid"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.size())
				data, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: "example.com/another", Size: f.w.size(), Root: f.w.Root(f.w.size())}, f.w.second)
				f.must(err)
				f.Replace(f.at, data)
			}},
			{does: "A checkpoint of this log whose signature bears another name.", says: []string{"checkpoint-invalid", "log-unfinished"}, exit: 1, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.size())
				text, _, _ := strings.Cut(string(f.Bytes(f.at)), "\n\n")
				f.Replace(f.at, f.signedAs(f.w.second, "example.com/another", text+"\n"))
			}},
			{does: "The signature of one seal's note under another's.", says: []string{"note-signature"}, exit: 1, folder: true, do: func(f *forger) { f.exchangeSignatures(seal.NoteKey(acme, 1), seal.NoteKey(acme, 2)) }},
			{does: "The signature of a checkpoint under a seal's note.", says: []string{"note-signature"}, exit: 1, do: func(f *forger) {
				f.at = seal.NoteKey(acme, 8)
				text, _, _ := strings.Cut(string(f.Bytes(f.at)), "\n\n")
				_, signature, _ := strings.Cut(string(f.w.head()), "\n\n")
				f.Replace(f.at, []byte(text+"\n\n"+signature))
			}},
			{does: "The checkpoint that is given is of another log by the same key: the store is not the one that the auditor means.", with: []string{"checkpoint"}, says: []string{"checkpoint-other-log"}, exit: 1, do: func(f *forger) {
				f.o.Checkpoints = [][]byte{bytes.Replace(f.w.head(), []byte(verifytest.Origin), []byte("example.com/another"), 2)}
			}},
		}},
	}
}

func historyWithAnchors(f *forger) {
	f.forge(forgery{keepAnchors: true, manifest: func(m *seal.Manifest) {
		if m.Trail == acme && m.Seal == 4 {
			events := f.events(f.w.file(formats.JSONL, acme, standard, 4, 1))
			events[0].Set(event.ActorID, "somebody-else")
			f.render(m, events)
		}
	}})
}

// revokes is the leaf by which the present key revokes another one from a leaf on.
func (f *forger) revokes(key seal.Key, from int64) []byte {
	f.t.Helper()
	leaves := f.leaves()
	l := &tlog.Leaf{Schema: tlog.Schema, Type: tlog.TypeKey, Time: leaves[len(leaves)-1].Time, Key: &tlog.KeyLeaf{
		Action: tlog.Revoke, Key: key.Public().VerifierKey(), From: from, Reason: "stolen",
	}}
	entry, err := l.Encode(f.w.second)
	f.must(err)
	return entry
}

// goOnWithRetired cuts off the rotation and all after it. The retired key is still in force in what is left, and one more day is sealed with it.
func goOnWithRetired(f *forger) {
	for n := uint64(rotatedAfter + 1); n <= lastSeal; n++ {
		f.eraseSeal(acme, n)
		if n < lastSeal {
			f.eraseSeal(beta, n)
		}
	}
	f.Erase(seal.KeyKey(f.w.second.ID()))
	rotation := f.rotation()
	f.relog(f.w.Leaves[:rotation], slices.Concat(f.w.sizes[:rotatedAfter-1], []int64{rotation}))
	f.noAnchors()
}

// exchangeSignatures puts the signatures of two notes under each other's text.
func (f *forger) exchangeSignatures(a, b string) {
	f.at = a
	textA, sigA, _ := strings.Cut(string(f.Bytes(a)), "\n\n")
	textB, sigB, _ := strings.Cut(string(f.Bytes(b)), "\n\n")
	f.Replace(a, []byte(textA+"\n\n"+sigB))
	f.Replace(b, []byte(textB+"\n\n"+sigA))
}
