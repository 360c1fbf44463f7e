package proof_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/digitorus/timestamp"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/proof"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/internal/effort"
)

// stamp is a time stamp over data.
func stamp(t testing.TB, data []byte) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TSA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sum := seal.Sum(data)
	stamp := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: time.Now(), Policy: asn1.ObjectIdentifier{1, 2, 3}, AddTSACertificate: true}
	tsr, err := stamp.CreateResponseWithOpts(cert, key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return tsr
}

// cosign returns a witness's lines for a checkpoint, and the policy that asks for them.
func cosign(t testing.TB, checkpoint []byte) (lines, policy []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := torchwood.NewCosignatureSigner("witness.example", key)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	_, sigs, _ := bytes.Cut(signed, []byte("\n\n"))
	return sigs, fmt.Appendf(nil, "witness w %s\nquorum w\n", signer.Verifier())
}

// anchored is a store whose newest checkpoint has a cosignature, a time stamp and some junk.
func anchored(t testing.TB) (w *world, keys []seal.Key, policy []byte) {
	w, keys = rotated(t)
	checkpoint := w.store.Bytes(tlog.CheckpointKey(10))
	lines, policy := cosign(t, checkpoint)
	w.put(tlog.AnchorKey(10, "w", tlog.CosignatureExt), lines)
	w.put(tlog.AnchorKey(10, "copy of w", tlog.CosignatureExt), lines)
	w.put(tlog.AnchorKey(10, "tsa", tlog.TimestampExt), stamp(t, checkpoint))
	w.put(tlog.AnchorKey(10, "junk", tlog.TimestampExt), []byte("junk"))
	w.put(tlog.AnchorKey(9, "tsa", tlog.TimestampExt), stamp(t, nil))
	return w, keys, policy
}

func textOf(t testing.TB, r *proof.Result) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReceipts(t *testing.T) {
	w, keys, policy := anchored(t)
	p := reparsed(t, mustMake(t, w, "a-3", nil))
	if len(p.Log.Receipts) != 2 {
		t.Fatalf("receipts: %+v", p.Log.Receipts)
	}
	r, err := p.Check(nil, policy, nil)
	if err != nil || !r.Vouched() || r.ExitCode() != 0 || len(r.Receipts) != 2 || !r.Receipts[0].Vouched || r.Receipts[1].Vouched || !r.Receipts[1].Checked {
		t.Errorf("with a policy: %v %+v", err, r)
	}
	if text := textOf(t, r); !strings.Contains(text, "of your policy, whose quorum signed the checkpoint") {
		t.Errorf("with a policy:\n%s", text)
	}
	if r, err = p.Check(nil, nil, nil); err != nil || r.Vouched() || r.Receipts[0].Checked {
		t.Errorf("without: %v %+v", err, r)
	}
	logPolicy := fmt.Sprintf("log %s\nquorum none\n", named(t, keys[2].Public(), "daybook/test").VerifierKey())
	if r, err = p.Check(nil, []byte(logPolicy), nil); err != nil || !r.Vouched() {
		t.Errorf("a policy that names the log's key: %v %+v", err, r)
	} else if text := textOf(t, r); !strings.Contains(text, "of the log's key, which your policy names; it asks for no witness") || strings.Contains(text, "quorum") {
		t.Errorf("a policy that names the log's key, and no witness:\n%s", text)
	}
	_, otherPolicy := cosign(t, []byte(p.Log.Checkpoint))
	for name, bad := range map[string]string{
		"another witness": string(otherPolicy),
		"another key":     fmt.Sprintf("log %s\nquorum none\n", named(t, keys[0].Public(), "daybook/test").VerifierKey()),
		"nobody":          "quorum none\n",
	} {
		r, err := p.Check(publicKeys(keys[0]), []byte(bad), nil)
		if err != nil || r.PolicyFault == "" || r.ExitCode() != 2 {
			t.Errorf("%s: %v %+v", name, err, r)
		}
		if r, err = p.Check(nil, []byte(bad), nil); err != nil || r.Vouched() {
			t.Errorf("%s: %v %+v", name, err, r)
		}
	}
	if _, err := p.Check(nil, []byte("quorum"), nil); err == nil || errors.Is(err, proof.ErrProof) {
		t.Errorf("a policy that is none: %v", err)
	}
	// Receipts of another checkpoint.
	other := reparsed(t, p)
	other.Log.Receipts[1].Data = stamp(t, []byte("else"))
	mustRefuse(t, "another's time stamp", other, proof.ErrProof)
	root, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: "daybook/test", Size: 10, Root: seal.Sum(nil)}, keys[2])
	if err != nil {
		t.Fatal(err)
	}
	lines, itsPolicy := cosign(t, root)
	other = reparsed(t, p)
	other.Log.Receipts[0].Data = lines
	if _, err := other.Check(nil, itsPolicy, nil); !errors.Is(err, proof.ErrProof) {
		t.Errorf("another's cosignature: %v", err)
	}
}

func named(t testing.TB, k seal.PublicKey, name string) seal.PublicKey {
	t.Helper()
	k, err := k.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Every member that is altered, left out, doubled or added makes a proof that is refused.
func TestEveryMember(t *testing.T) {
	w, keys, policy := anchored(t)
	good := mustMake(t, w, "b-5", &proof.Options{Trail: "audit"}).Encode()
	check := func(data []byte) error {
		p, err := proof.Parse(data)
		if err == nil {
			_, err = p.Check(publicKeys(keys[0]), policy, nil)
		}
		return err
	}
	if err := check(good); err != nil {
		t.Fatal(err)
	}
	// Members of JSON stand in the order of the structs: so that what is altered stays as Daybook writes it, it is altered in the struct.
	var tree any
	if err := json.Unmarshal(good, &tree); err != nil {
		t.Fatal(err)
	}
	tried := 0
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		try := func(what string, changed any) {
			set(changed)
			defer set(v)
			data, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			var p proof.Proof
			if json.Unmarshal(data, &p) != nil {
				return // not even of the right type
			}
			if bytes.Equal(p.Encode(), good) {
				return // another spelling of the same
			}
			tried++
			if err := check(p.Encode()); !errors.Is(err, proof.ErrProof) {
				t.Errorf("%s: %s: %v", path, what, err)
			}
		}
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				walk(path+"."+name, member, func(n any) { v[name] = n })
			}
		case []any:
			for i, element := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), element, func(n any) { v[i] = n })
				// A receipt less proves less, and a revocation less cannot be seen: see the package's comment.
				if !strings.HasSuffix(path, ".receipts") && !(strings.HasSuffix(path, ".keys") && i == len(v)-1) {
					try("element left out", append(slices.Clone(v[:i]), v[i+1:]...))
				}
				try("element doubled", slices.Insert(slices.Clone(v), i, element))
				if i > 0 {
					swapped := slices.Clone(v)
					swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
					try("elements exchanged", swapped)
				}
			}
		case float64:
			try("more", v+1)
			try("less", v-1)
			try("much", v+1e15)
		case string:
			for _, i := range []int{0, len(v) / 3, len(v) / 2, len(v) - 2, len(v) - 1} {
				if i < 0 || i >= len(v) || v[i] >= 0x80 {
					continue
				}
				b := []byte(v)
				b[i] ^= 1
				try(fmt.Sprintf("byte %d altered", i), string(b))
			}
			try("emptied", "")
			try("longer", v+"\n")
			try("cut", v[:len(v)/2])
		}
	}
	walk("", tree, func(any) {})
	if tried < 300 {
		t.Errorf("%d alterations tried", tried)
	}
}

func TestParseRefuses(t *testing.T) {
	effort.NeedsLong(t)
	w, _ := rotated(t)
	good := string(mustMake(t, w, "a-3", nil).Encode())
	for name, bad := range map[string]string{
		"empty":          "",
		"none":           "{}",
		"another schema": strings.Replace(good, `"schema": 1`, `"schema": 2`, 1),
		"unknown member": strings.Replace(good, `"schema": 1,`, "\"schema\": 1,\n  \"more\": 1,", 1),
		"doubled":        strings.Replace(good, `"schema": 1,`, "\"schema\": 1,\n  \"schema\": 1,", 1),
		"other case":     strings.Replace(good, `"row"`, `"Row"`, 1),
		"null":           strings.Replace(good, `"receipts": []`, `"receipts": null`, 1),
		"trailing":       good + "\n",
		"cut":            good[:len(good)-1],
		"compact":        strings.Replace(good, "\n  ", " ", 1),
		"order":          strings.Replace(good, `"index": 3,`, "", 1),
		"escape":         strings.Replace(good, "project-describe", "project\\u002ddescribe", 1),
	} {
		if bad == good {
			t.Fatalf("%s: nothing was altered", name)
		}
		if _, err := proof.Parse([]byte(bad)); !errors.Is(err, proof.ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := proof.Parse(make([]byte, proof.MaxProof+1)); !errors.Is(err, proof.ErrProof) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too large: %v", err)
	}
}

// Parts of one good proof do not fit into another.
func TestForgeries(t *testing.T) {
	w, keys := rotated(t)
	good := mustMake(t, w, "a-3", nil)
	sibling := mustMake(t, w, "a-4", nil)
	sealed := mustMake(t, w, "c-0", nil)
	stranger, _ := rotated(t)
	foreign := mustMake(t, stranger, "a-3", nil)
	neighbour := mustMake(t, w, "o-1", nil) // sealed with the same key
	one := newWorld(t, "daybook/test")
	one.seal("audit", firstDay, 0, rows("a", firstDay, 4)...)
	one.publish()
	small := mustMake(t, one, "a-3", nil)

	w.seal("other", firstDay+2, 0, row("more", "s", at(firstDay+2, 1)))
	w.publish()
	later := mustMake(t, w, "a-3", nil)
	if _, err := later.Check(publicKeys(keys[0]), nil, nil); err != nil {
		t.Fatal(err)
	}
	note := func(p *proof.Proof, more ...seal.Signer) string {
		signed, err := seal.Note([]byte(p.Seal.Manifest), keys[0], more...)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	for name, change := range map[string]func(p *proof.Proof){
		"another row":                    func(p *proof.Proof) { p.Event.Row = sibling.Event.Row },
		"another row and its place":      func(p *proof.Proof) { p.Event.Row, p.Event.Index = sibling.Event.Row, sibling.Event.Index },
		"another row's path":             func(p *proof.Proof) { p.Event.Path = sibling.Event.Path },
		"path of a smaller file":         func(p *proof.Proof) { p.Event.Path = small.Event.Path },
		"an event of another file":       func(p *proof.Proof) { p.Event = sealed.Event },
		"row that was made up":           func(p *proof.Proof) { p.Event.Row = row("a-3", "import", at(firstDay, 1)) },
		"node for a row":                 func(p *proof.Proof) { p.Event.Row = string(p.Event.Path[0][:]) },
		"note of another seal":           func(p *proof.Proof) { p.Seal.Note = sealed.Seal.Note },
		"another seal":                   func(p *proof.Proof) { p.Seal = sealed.Seal },
		"another seal and its leaf":      func(p *proof.Proof) { p.Seal, p.Log.Seal = sealed.Seal, sealed.Log.Seal },
		"leaf of another seal":           func(p *proof.Proof) { p.Log.Seal = sealed.Log.Seal },
		"leaf of another seal, same key": func(p *proof.Proof) { p.Log.Seal = neighbour.Log.Seal },
		"another seal, same key":         func(p *proof.Proof) { p.Seal, p.Event = neighbour.Seal, neighbour.Event },
		"leaf of a key":                  func(p *proof.Proof) { p.Log.Seal = p.Log.Keys[0] },
		"note of a stranger":             func(p *proof.Proof) { p.Seal.Note = foreign.Seal.Note },
		"note with one more signature":   func(p *proof.Proof) { p.Seal.Note = note(p, newKey(t, "four")) },
		"note with a signature doubled":  func(p *proof.Proof) { p.Seal.Note += strings.SplitAfter(p.Seal.Note, "\n\n")[1] },
		"unsigned note":                  func(p *proof.Proof) { p.Seal.Note = strings.SplitAfter(p.Seal.Note, "\n\n")[0] },
		"checkpoint of another log":      func(p *proof.Proof) { p.Log.Checkpoint = foreign.Log.Checkpoint },
		"older checkpoint, newer paths":  func(p *proof.Proof) { p.Log = later.Log; p.Log.Checkpoint = good.Log.Checkpoint },
		"newer checkpoint, older paths":  func(p *proof.Proof) { p.Log.Checkpoint = later.Log.Checkpoint },
		"path of another size":           func(p *proof.Proof) { p.Log.Seal.Path = later.Log.Seal.Path },
		"another log":                    func(p *proof.Proof) { p.Log = foreign.Log },
		"keys of another log":            func(p *proof.Proof) { p.Log.Keys, p.Log.PublicKeys = foreign.Log.Keys, foreign.Log.PublicKeys },
		"a key file of another log":      func(p *proof.Proof) { p.Log.PublicKeys[1] = foreign.Log.PublicKeys[1] },
		"no keys":                        func(p *proof.Proof) { p.Log.Keys, p.Log.PublicKeys = nil, nil },
		"too many keys":                  func(p *proof.Proof) { p.Log.Keys = make([]proof.Leaf, 10_001) },
		"without the genesis":            func(p *proof.Proof) { p.Log.Keys = p.Log.Keys[1:] },
		"a receipt of an unknown kind":   func(p *proof.Proof) { p.Log.Receipts = []proof.Receipt{{Ext: ".sig"}} },
		"a thousand receipts":            func(p *proof.Proof) { p.Log.Receipts = make([]proof.Receipt, 1000) },
		"cosignature that is none":       func(p *proof.Proof) { p.Log.Receipts = []proof.Receipt{{Ext: ".cosig", Data: []byte("x\n")}} },
		"cosignature without signatures": func(p *proof.Proof) { p.Log.Receipts = []proof.Receipt{{Ext: ".cosig"}} },
	} {
		p := reparsed(t, good)
		change(p)
		mustRefuse(t, name, p, proof.ErrProof, publicKeys(keys...)...)
	}
	// What is whole, but of a log of somebody else's, is refused to whoever holds a key.
	mustRefuse(t, "a stranger's proof", foreign, proof.ErrKeyNotYours, publicKeys(keys...)...)
}

// A log that its thief, or nobody, signed for.
func TestForgedKeys(t *testing.T) {
	thief := newKey(t, "thief")
	rotation := func(from, to seal.Key) *tlog.Leaf {
		return &tlog.Leaf{Type: tlog.TypeKey, Key: &tlog.KeyLeaf{Action: tlog.Rotate, Key: to.Public().VerifierKey(), Previous: from.Public().VerifierKey()}}
	}
	genesis := func(k seal.Key) *tlog.Leaf {
		return &tlog.Leaf{Type: tlog.TypeKey, Key: &tlog.KeyLeaf{Action: tlog.Genesis, Origin: "daybook/test", Key: k.Public().VerifierKey()}}
	}
	for name, forge := range map[string]func(w *world, first seal.Key){
		"handed over by nobody":    func(w *world, first seal.Key) { w.leaf(rotation(first, thief), thief) },
		"handed over to nobody":    func(w *world, first seal.Key) { w.leaf(rotation(first, thief), first) },
		"handed over by the thief": func(w *world, first seal.Key) { w.leaf(rotation(newKey(t, "x"), thief), first, thief) },
		"a second genesis":         func(w *world, first seal.Key) { w.leaf(genesis(thief), thief) },
		"revoked by the thief":     func(w *world, first seal.Key) { w.signer = thief; w.revoke(first, 0) },
		"revokes itself":           func(w *world, first seal.Key) { w.revoke(first, 0); w.leaf(rotation(first, thief), first, thief) },
		"a key comes back": func(w *world, first seal.Key) {
			w.leaf(rotation(first, thief), first, thief)
			w.leaf(rotation(thief, first), first, thief)
		},
		"signed by one more": func(w *world, first seal.Key) { w.leaf(rotation(first, thief), first, thief, newKey(t, "x")) },
		"revoked for what is yet to come": func(w *world, first seal.Key) {
			w.leaf(rotation(first, thief), first, thief)
			w.signer = thief
			w.revoke(first, 99)
		},
		"the checkpoint by the old key": func(w *world, first seal.Key) { w.rotate("two"); w.signer = first },
		"the checkpoint by a stranger":  func(w *world, first seal.Key) { w.seal("audit", firstDay+1, 0); w.signer = thief },
	} {
		w := newWorld(t, "daybook/test")
		first := w.signer
		w.seal("audit", firstDay, 0, rows("a", firstDay, 5)...)
		// An honest proof gives the parts that are not forged.
		w.publish()
		p := mustMake(t, w, "a-3", nil)
		forge(w, first)
		if w.signer == first && !strings.HasPrefix(name, "the checkpoint") {
			w.signer = thief
		}
		p.Log = w.forged(1)
		mustRefuse(t, name, p, proof.ErrProof)
		mustRefuse(t, name, p, proof.ErrProof, first.Public())
		if _, err := proof.Make(context.Background(), w.store, "a-3", nil); err == nil {
			t.Errorf("%s: a proof was made", name)
		}
	}
}

func FuzzCheck(f *testing.F) {
	w, keys := rotated(f)
	f.Add(mustMake(f, w, "a-3", nil).Encode())
	f.Add([]byte(`{"schema": 1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := proof.Parse(data)
		if err != nil {
			if !errors.Is(err, proof.ErrProof) {
				t.Errorf("error %v", err)
			}
			return
		}
		if !bytes.Equal(p.Encode(), data) {
			t.Error("what was parsed is not what Encode writes")
		}
		if r, err := p.Check(nil, nil, nil); err != nil && !errors.Is(err, proof.ErrProof) || err == nil && r.Vouched() {
			t.Errorf("error %v", err)
		}
		// None of these keys ever signed what a fuzzer makes up, but for the seed.
		_, err = p.Check(publicKeys(keys...), nil, nil)
		if err != nil && !errors.Is(err, proof.ErrProof) {
			t.Errorf("error %v", err)
		}
	})
}
