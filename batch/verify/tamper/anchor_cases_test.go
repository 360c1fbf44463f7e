package tamper_test

import (
	"strings"
	"time"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify/verifytest"
)

func (f *forger) cosignature() string {
	return tlog.AnchorKey(f.w.size(), "auditor", tlog.CosignatureExt)
}
func (f *forger) timestamp() string { return tlog.AnchorKey(f.w.size(), "tsa", tlog.TimestampExt) }

// cosignedAt has the head cosigned by a witness whose clock is wrong, and whom the auditor trusts.
func cosignedAt(after time.Duration) func(f *forger) {
	return func(f *forger) {
		w := verifytest.NewWitness(f.t, "witness.example/audit")
		f.at = f.cosignature()
		f.Replace(f.at, w.Cosign(f.w.head(), f.w.Clock.Add(after)))
		f.o.Policy = verifytest.Policy(f.w.second.Public(), w)
	}
}

// stampedAt has the head stamped by an authority whose clock is wrong, and whom the auditor trusts.
func stampedAt(after time.Duration) func(f *forger) {
	return func(f *forger) {
		a := verifytest.NewAuthority(f.t)
		f.at = f.timestamp()
		f.Replace(f.at, a.Stamp(f.w.head(), f.w.Clock.Add(after)))
		f.o.TimestampRoots = a.Roots()
	}
}

func anchorCases() []testCase {
	policy, roots := []string{"policy"}, []string{"tsa-ca"}
	const day = 24 * time.Hour
	return []testCase{
		{29, "Remove, forge or move a witness's cosignature", []variant{
			{does: "The newest checkpoint's is removed.", with: policy, says: []string{"quorum-missing"}, exit: 2, folder: true, do: func(f *forger) { f.Erase(f.cosignature()) }},
			{does: "A letter of it is another.", with: policy, says: []string{"cosignature-invalid", "quorum-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.cosignature()
				line := f.Bytes(f.at)
				last := len(line) - 20
				f.Replace(f.at, join(line[:last], []byte{line[last] ^ 1}, line[last+1:]))
			}},
			{does: "That of an older checkpoint takes its place.", with: policy, says: []string{"cosignature-invalid", "quorum-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.cosignature()
				f.Replace(f.at, f.Bytes(tlog.AnchorKey(f.w.sizes[9], "auditor", tlog.CosignatureExt)))
			}},
			{does: "It is of another witness than the one that is named.", with: policy, says: []string{"quorum-missing"}, notes: []string{"cosignature-unknown"}, exit: 2, do: func(f *forger) {
				f.o.Policy = verifytest.Policy(f.w.second.Public(), verifytest.NewWitness(f.t, "another.example"))
			}},
			{does: "It is of a witness of the same name, but another key.", with: policy, says: []string{"quorum-missing"}, notes: []string{"cosignature-unknown"}, exit: 2, do: func(f *forger) {
				f.Replace(f.cosignature(), verifytest.NewWitness(f.t, "witness.example/audit").Cosign(f.w.head(), f.w.now))
			}},
			{does: "It is older than the newest seal that it covers.", with: policy, says: []string{"anchor-time"}, exit: 1, folder: true, do: cosignedAt(-2 * day)},
			{does: "It is of the future.", with: policy, says: []string{"anchor-time"}, exit: 1, do: cosignedAt(30 * day)},
			{does: "Something else lies in its place.", says: []string{"cosignature-invalid"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.cosignature()
				f.Replace(f.at, []byte("cosigned, trust me\n"))
			}},
			{does: "One of a checkpoint that the log does not have, smaller than the newest.", says: []string{"anchor-stray"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tlog.AnchorKey(f.w.sizes[9]-1, "auditor", tlog.CosignatureExt)
				f.put(f.at, f.Bytes(f.cosignature()))
			}},
		}},
		{30, "Remove, forge or move a time stamp", []variant{
			{does: "It is removed.", with: roots, says: []string{"timestamp-missing"}, exit: 2, folder: true, do: func(f *forger) { f.Erase(f.timestamp()) }},
			{does: "It is over other bytes than the checkpoint's.", with: roots, says: []string{"timestamp-invalid", "timestamp-missing"}, exit: 1, folder: true, do: func(f *forger) {
				a := verifytest.NewAuthority(f.t)
				f.at, f.o.TimestampRoots = f.timestamp(), a.Roots()
				f.Replace(f.at, a.Stamp(f.w.checkpoints[f.w.sizes[9]], f.w.now))
			}},
			{does: "The same, and no roots are given.", says: []string{"timestamp-invalid"}, exit: 1, do: func(f *forger) {
				f.Replace(f.timestamp(), verifytest.NewAuthority(f.t).Stamp(f.w.checkpoints[f.w.sizes[9]], f.w.now))
			}},
			{does: "A bit of its signature.", with: roots, says: []string{"timestamp-invalid", "timestamp-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.timestamp()
				f.FlipBit(f.at, 8*(len(f.Bytes(f.at))-6))
			}},
			{does: "It is of an authority that the roots do not vouch for.", with: roots, says: []string{"timestamp-missing"}, notes: []string{"timestamp-untrusted"}, exit: 2, folder: true, do: func(f *forger) {
				f.Replace(f.timestamp(), verifytest.NewAuthority(f.t).Stamp(f.w.head(), f.w.now))
			}},
			{does: "It is older than the newest seal that it covers.", with: roots, says: []string{"anchor-time"}, exit: 1, folder: true, do: stampedAt(-2 * day)},
			{does: "It is of the future.", with: roots, says: []string{"anchor-time"}, exit: 1, do: stampedAt(30 * day)},
			{does: "Something else lies in its place.", says: []string{"timestamp-invalid"}, exit: 1, do: func(f *forger) {
				f.at = f.timestamp()
				f.Replace(f.at, []byte("stamped, trust me\n"))
			}},
		}},
	}
}

// noteVectors are what else a note must not be able to do.
func noteVectors() []testCase {
	return []testCase{
		{0, "Notes that are not as Daybook writes them", []variant{
			{does: "A line more before the signature.", says: []string{"note-signature"}, exit: 1, folder: true, do: inNote(func(text, signature string) string {
				return text + "\n# approved: yes\n\n" + signature
			})},
			{does: "A blank line before the signature, which makes another text of it.", says: []string{"note-signature"}, exit: 1, do: inNote(func(text, signature string) string { return text + "\n\n\n" + signature })},
			{does: "A line behind the signature.", says: []string{"note-signature"}, exit: 1, folder: true, do: inNote(func(text, signature string) string { return text + "\n\n" + signature + "# approved: yes\n" })},
			{does: "The signature twice.", says: []string{"note-extra-signature"}, exit: 1, do: inNote(func(text, signature string) string { return text + "\n\n" + signature + signature })},
			{does: "A second signature, of a key that nobody knows.", says: []string{"note-extra-signature"}, exit: 1, folder: true, do: inNote(func(text, signature string) string {
				return text + "\n\n" + signature + "— somebody AAAAAAAA\n"
			})},
			{does: "A thousand signatures.", says: []string{"note-signature"}, exit: 1, folder: true, do: inNote(func(text, signature string) string {
				return text + "\n\n" + signature + strings.Repeat("— somebody AAAAAAAA\n", 1000)
			})},
			{does: "No signature.", says: []string{"note-signature"}, exit: 1, folder: true, do: inNote(func(text, _ string) string { return text + "\n" })},
			{does: "A file's line is gone.", says: []string{"note-signature"}, exit: 1, do: inNote(func(text, signature string) string {
				return text[:strings.LastIndex(text, "\n")] + "\n\n" + signature
			})},
			{does: "Another seal's note, whole.", says: []string{"note-text"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.NoteKey(acme, 2)
				f.Replace(f.at, f.Bytes(seal.NoteKey(acme, 3)))
			}},
		}},
	}
}

// inNote changes the note of a seal.
func inNote(change func(text, signature string) string) func(f *forger) {
	return func(f *forger) {
		f.at = seal.NoteKey(acme, 2)
		text, signature, _ := strings.Cut(string(f.Bytes(f.at)), "\n\n")
		f.Replace(f.at, []byte(change(text, signature)))
	}
}
