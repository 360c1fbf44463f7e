package tamper_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"daybook/batch/proof"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/sink/sinktest"
)

// proofVector is a forged proof. others are good ones to forge it from: of another event of the same file, of another seal, and of the log a day before.
type proofVector struct {
	does  string
	forge func(f *forger, p, event, sealed, before *proof.Proof)
}

func proofVectors() []proofVector {
	return []proofVector{
		{"A hash of the row's path is another.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Event.Path[0][0] ^= 1 }},
		{"The row's path lacks its last hash.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Event.Path = p.Event.Path[:len(p.Event.Path)-1] }},
		{"The row's path has a hash more.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Event.Path = append(p.Event.Path, p.Event.Path[0]) }},
		{"The row is said to stand elsewhere in the file.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Event.Index++ }},
		{"The row is said to stand before the file's beginning.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Event.Index = -1 }},
		{"The row is said to stand behind the file's end.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Event.Index = 1 << 40 }},
		{"The row is another one of the file.", func(_ *forger, p, event, _, _ *proof.Proof) { p.Event.Row = event.Event.Row }},
		{"The row says something else.", func(_ *forger, p, _, _, _ *proof.Proof) {
			p.Event.Row = strings.Replace(p.Event.Row, "user-of-acme", "somebody-else", 1)
		}},
		{"The row and its path are of another seal.", func(_ *forger, p, _, sealed, _ *proof.Proof) { p.Event = sealed.Event }},
		{"The file is a rendering, or another file of the seal.", func(f *forger, p, _, _, _ *proof.Proof) { p.Event.File = csvOf(f.w) }},
		{"The manifest is another seal's.", func(_ *forger, p, _, sealed, _ *proof.Proof) { p.Seal.Manifest = sealed.Seal.Manifest }},
		{"The note is another seal's.", func(_ *forger, p, _, sealed, _ *proof.Proof) { p.Seal.Note = sealed.Seal.Note }},
		{"The manifest and its note are another seal's.", func(_ *forger, p, _, sealed, _ *proof.Proof) { p.Seal = sealed.Seal }},
		{"The note has another note's signature.", func(_ *forger, p, _, sealed, _ *proof.Proof) { p.Seal.Note = moved(p.Seal.Note, sealed.Seal.Note) }},
		{"The note has the checkpoint's signature.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Seal.Note = moved(p.Seal.Note, p.Log.Checkpoint) }},
		{"The note has a line more.", func(_ *forger, p, _, _, _ *proof.Proof) {
			p.Seal.Note = strings.Replace(p.Seal.Note, "\n\n", "\n# approved: yes\n\n", 1)
		}},
		{"The note has a thousand signatures.", func(_ *forger, p, _, _, _ *proof.Proof) {
			p.Seal.Note += strings.Repeat("— somebody AAAAAAAA\n", 1000)
		}},
		{"The leaf of the log is another seal's.", func(_ *forger, p, _, sealed, _ *proof.Proof) { p.Log.Seal = sealed.Log.Seal }},
		{"A hash of the leaf's path is another.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Log.Seal.Path[0][0] ^= 1 }},
		{"The leaf's path is that of a smaller log.", func(_ *forger, p, _, _, before *proof.Proof) { p.Log.Seal.Path = before.Log.Seal.Path }},
		{"The checkpoint is that of a smaller log.", func(_ *forger, p, _, _, before *proof.Proof) { p.Log.Checkpoint = before.Log.Checkpoint }},
		{"The leaf is said to stand elsewhere in the log.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Log.Seal.Index++ }},
		{"The leaf's path lacks its last hash.", func(_ *forger, p, _, _, _ *proof.Proof) {
			p.Log.Seal.Path = p.Log.Seal.Path[:len(p.Log.Seal.Path)-1]
		}},
		{"The checkpoint has another root, and is signed by the retired key.", func(f *forger, p, _, _, _ *proof.Proof) {
			p.Log.Checkpoint = string(f.rootless(f.w.size(), f.w.first))
		}},
		{"The checkpoint has another root, and is signed by the right key.", func(f *forger, p, _, _, _ *proof.Proof) {
			p.Log.Checkpoint = string(f.rootless(f.w.size(), f.w.second))
		}},
		{"The checkpoint has a line more, and is signed by the right key.", func(f *forger, p, _, _, _ *proof.Proof) {
			text, _, _ := strings.Cut(p.Log.Checkpoint, "\n\n")
			p.Log.Checkpoint = string(f.signedAs(f.w.second, "daybook.test/store", text+"\nan extension\n"))
		}},
		{"The checkpoint has bytes behind its signature.", func(_ *forger, p, _, _, _ *proof.Proof) { p.Log.Checkpoint += "garbage\n" }},
		{"The leaf that rotated the key is left out.", func(_ *forger, p, _, _, _ *proof.Proof) {
			p.Log.Keys, p.Log.PublicKeys = p.Log.Keys[:1], p.Log.PublicKeys[:1]
		}},
		{"The first leaf, which names the first key, is left out.", func(_ *forger, p, _, _, _ *proof.Proof) {
			p.Log.Keys, p.Log.PublicKeys = p.Log.Keys[1:], p.Log.PublicKeys[1:]
		}},
		{"A public key is another one's.", func(_ *forger, p, _, _, _ *proof.Proof) { slices.Reverse(p.Log.PublicKeys) }},
		{"A time stamp is of the checkpoint before.", func(f *forger, p, _, _, _ *proof.Proof) {
			i := slices.IndexFunc(p.Log.Receipts, func(r proof.Receipt) bool { return r.Ext == tlog.TimestampExt })
			p.Log.Receipts[i].Data[len(p.Log.Receipts[i].Data)-8] ^= 1
		}},
	}
}

// moved puts the signature of one note under the text of another.
func moved(text, signature string) string {
	text, _, _ = strings.Cut(text, "\n\n")
	_, signature, _ = strings.Cut(signature, "\n\n")
	return text + "\n\n" + signature
}

// testProofs makes sure that a good proof is one, and that no forged one is taken.
func testProofs(t *testing.T, w *world) {
	earlier := &forger{Memory: w.memory.Clone(t), t: t, w: w}
	earlier.cutLog(10)
	id := func(day int) string { return "acme-" + standard + "-" + w.day(day).String() + "-0000" }
	other := "acme-" + standard + "-" + w.day(2).String() + "-0001"
	prove := func(store *sinktest.Memory, id string) []byte {
		t.Helper()
		p, err := proof.Make(t.Context(), store, id, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.Encode()
	}
	parse := func(t *testing.T, data []byte) *proof.Proof {
		t.Helper()
		p, err := proof.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	good, event, sealed, before := prove(w.memory, id(2)), prove(w.memory, other), prove(w.memory, id(3)), prove(earlier.Memory, id(2))
	keys := []seal.PublicKey{w.second.Public()}
	if r, err := parse(t, good).Check(keys, w.policy, [][]byte{w.head()}); err != nil || r.ExitCode() != 0 || !r.Pinned {
		t.Fatalf("the good proof: %v, %+v", err, r)
	}
	for _, v := range proofVectors() {
		t.Run(v.does, func(t *testing.T) {
			p := parse(t, good)
			v.forge(&forger{Memory: w.memory, t: t, w: w}, p, parse(t, event), parse(t, sealed), parse(t, before))
			if r, err := p.Check(nil, nil, nil); !errors.Is(err, proof.ErrProof) {
				t.Errorf("the forged proof was taken: %v, %+v", err, r)
			}
		})
	}
	t.Run("not yours", func(t *testing.T) {
		p := parse(t, good)
		stranger := (&forger{Memory: w.memory, t: t, w: w}).newKey("stranger").Public()
		if _, err := p.Check([]seal.PublicKey{stranger}, nil, nil); !errors.Is(err, proof.ErrKeyNotYours) {
			t.Errorf("with another key: %v", err)
		}
		forged := (&forger{Memory: w.memory, t: t, w: w}).rootless(w.size(), w.second)
		if _, err := p.Check(nil, nil, [][]byte{forged}); !errors.Is(err, proof.ErrProof) {
			t.Errorf("with a checkpoint that contradicts it: %v", err)
		}
	})
}
