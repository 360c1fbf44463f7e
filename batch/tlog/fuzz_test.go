package tlog_test

import (
	"bytes"
	"testing"

	"daybook/batch/seal"
	"daybook/batch/tlog"
)

func FuzzParseLeaf(f *testing.F) {
	k := newKey(f)
	for _, l := range leaves(k) {
		entry, err := l.Encode(leafSigner(l, k)...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, n, err := tlog.ParseLeaf(data)
		if err != nil || n != nil {
			return
		}
		again, err := l.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%q was taken, but is written as %q (%v)", data, again, err)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	k := newKey(f)
	data, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: "daybook/x", Size: 42, Root: seal.Sum(nil)}, k)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := tlog.ParseCheckpoint(data)
		if err != nil {
			return
		}
		again, err := tlog.SignCheckpoint(c, k)
		if err != nil {
			t.Fatalf("%q was taken, but cannot be signed: %v", data, err)
		}
		text, _, _ := bytes.Cut(data, []byte("\n\n"))
		want, _, _ := bytes.Cut(again, []byte("\n\n"))
		if !bytes.Equal(text, want) {
			t.Errorf("%q was taken for %q", text, want)
		}
	})
}

// Two entries, whatever they are, leave a keyring that answers for every leaf and every size.
func FuzzKeyring(f *testing.F) {
	k, next := newKey(f), newKey(f)
	encode := func(l *tlog.Leaf, signers ...seal.Signer) []byte {
		entry, err := l.Encode(signers...)
		if err != nil {
			f.Fatal(err)
		}
		return entry
	}
	genesis := encode(leaves(k)["genesis"], k)
	rotate := leaves(next)["rotate"]
	rotate.Key.Previous = k.Public().VerifierKey()
	f.Add(genesis, encode(rotate, k, next))
	f.Add(genesis, encode(sealLeaf("acme", 1, k)))
	f.Add(encode(sealLeaf("acme", 1, k)), genesis)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var keys tlog.Keyring
		for _, e := range [][]byte{first, second} {
			before := keys.Size()
			if _, err := keys.Apply(before, e); err != nil && keys.Size() != before {
				t.Error("an entry that was refused counts")
			}
		}
		for i := int64(-1); i <= keys.Size()+1; i++ {
			key, err := keys.Signer(i)
			if (err == nil) != (i >= 1 && i <= keys.Size()) {
				t.Errorf("checkpoint of size %d of %d: %v", i, keys.Size(), err)
			}
			if err == nil && i < keys.Size() {
				if err := keys.Check(key.ID(), i); err != nil {
					t.Error(err)
				}
			}
		}
		if keys.Size() > 0 && keys.Check(keys.Current().ID(), keys.Size()) != nil {
			t.Error("the key in force is not")
		}
	})
}
