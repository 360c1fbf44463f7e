package interop_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	f_log "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/sink/file"
)

// origin is the name of the logs of these tests.
const origin = "audit.example.org/interop"

// sealed is a store that the command made: two trails, two exports, and a rotation of the key after them.
type sealed struct {
	bin, work, store string
	// keys are the public keys, the one in force last.
	keys []ed25519.PublicKey
	// sizes are those of the log's checkpoints. The one that ends in the rotation is signed by the new key.
	sizes []int64
}

// run runs the command in the folder of the test, which is its home, too.
func (s *sealed) run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.bin, args...)
	cmd.Dir = s.work
	cmd.Env = append(os.Environ(), "HOME="+s.work, "XDG_STATE_HOME="+filepath.Join(s.work, "state"), "XDG_CONFIG_HOME="+filepath.Join(s.work, "config"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("daybook %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// sealStore builds the command and exports with it. anchors, which may be nil, gives those of the configuration, once there are keys.
func sealStore(t *testing.T, anchors func(*sealed) string) *sealed {
	t.Helper()
	s := &sealed{bin: filepath.Join(t.TempDir(), "daybook"), work: t.TempDir()}
	s.store = filepath.Join(s.work, "audit")
	goBuild(t, "..", s.bin, "./cmd/daybook")
	for _, key := range []string{"first.key", "second.key"} {
		s.run(t, "keygen", "--out", key, "--name", "daybook.example.org")
		s.keys = append(s.keys, publicKey(t, filepath.Join(s.work, key+".pub")))
	}
	config := "origin: " + origin + "\ntrails: [{name: audit, org: default}, {name: acme, org: acme}]\n"
	if anchors != nil {
		config += anchors(s)
	}
	put(t, filepath.Join(s.work, "daybook.yaml"), []byte(config))
	for _, input := range []string{"day", "late"} {
		path, err := filepath.Abs(filepath.Join("../testdata/quickstart", input))
		if err != nil {
			t.Fatal(err)
		}
		s.run(t, "export", "--config", "daybook.yaml", "--key", "first.key", path)
	}
	s.run(t, "key", "rotate", "--config", "daybook.yaml", "--key", "first.key", "--new", "second.key")
	s.sizes = checkpoints(t, s.store)
	if len(s.sizes) != 3 {
		t.Fatalf("checkpoints of sizes %d, want three", s.sizes)
	}
	return s
}

// key is the one that signed the checkpoint of a size.
func (s *sealed) key(size int64) ed25519.PublicKey {
	if size == s.sizes[len(s.sizes)-1] {
		return s.keys[1]
	}
	return s.keys[0]
}

// goBuild builds a program of the module in dir.
func goBuild(t *testing.T, dir, out, pkg string) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", out, pkg)
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, said)
	}
}

// publicKey reads a public key as any program does: it is the PEM block of the file.
func publicKey(t *testing.T, path string) ed25519.PublicKey {
	t.Helper()
	block, _ := pem.Decode(read(t, path))
	if block == nil {
		t.Fatalf("%s: no PEM", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return key.(ed25519.PublicKey)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkpoints lists the sizes of the log's checkpoints in a folder.
func checkpoints(t *testing.T, store string) []int64 {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(store, "log/checkpoints/*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no checkpoints: %v", err)
	}
	var sizes []int64
	for _, path := range paths {
		size, err := strconv.ParseInt(filepath.Base(path), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, size)
	}
	slices.Sort(sizes)
	return sizes
}

// logVerifier is the verifier of a log's key, under the name of its origin.
func logVerifier(t *testing.T, name string, key ed25519.PublicKey) note.Verifier {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey(name, key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// openForeign opens a checkpoint of a store by transparency-dev/formats.
func openForeign(t *testing.T, store string, size int64, key ed25519.PublicKey) *f_log.Checkpoint {
	t.Helper()
	data := read(t, filepath.Join(store, tlog.CheckpointKey(size)))
	c, extra, n, err := f_log.ParseCheckpoint(data, origin, logVerifier(t, origin, key))
	if err != nil {
		t.Fatalf("checkpoint of size %d: %v", size, err)
	}
	if c.Origin != origin || c.Size != uint64(size) || len(extra) > 0 || len(n.Sigs) != 1 || len(n.UnverifiedSigs) > 0 {
		t.Errorf("checkpoint of size %d: %+v, extra %q, signatures %v and %v", size, c, extra, n.Sigs, n.UnverifiedSigs)
	}
	if text, _, _ := strings.Cut(string(data), "\n\n"); string(c.Marshal()) != text+"\n" {
		t.Errorf("checkpoint of size %d: transparency-dev/formats writes it as\n%s", size, c.Marshal())
	}
	return c
}

// foreignRoot computes a Merkle root by transparency-dev/merkle.
func foreignRoot(t *testing.T, leaves [][]byte) []byte {
	t.Helper()
	if len(leaves) == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, leaf := range leaves {
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			t.Fatal(err)
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestSealedStore looks at what the command wrote by foreign means.
func TestSealedStore(t *testing.T) {
	s := sealStore(t, nil)
	t.Run("evidence by transparency-dev/merkle", func(t *testing.T) { compareRoots(t, s) })
	t.Run("proof of an event by transparency-dev/merkle", func(t *testing.T) { compareProof(t, s) })
	t.Run("checkpoints by transparency-dev/formats", func(t *testing.T) { compareCheckpoints(t, s) })
	t.Run("log by transparency-dev/merkle", func(t *testing.T) { compareLog(t, s.store, s.sizes, s.key) })
	t.Run("log by Tessera", func(t *testing.T) { checkByTessera(t, buildTessera(t), s.store, s.sizes[len(s.sizes)-1], s.keys[1]) })
	t.Run("manifests and leaves by jq", func(t *testing.T) { compareJSON(t, s) })
	t.Run("notes, checkpoints and leaves by openssl", func(t *testing.T) { compareSignatures(t, s) })
}

// manifest is one as encoding/json reads it, as far as it is looked at.
type manifest struct {
	Trail string `json:"trail"`
	Seal  int    `json:"seal"`
	Files []struct {
		Key    string `json:"key"`
		Format string `json:"format"`
		Rows   int    `json:"rows"`
		Root   string `json:"merkle_root"`
	} `json:"files"`
}

func manifests(t *testing.T, store string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(store, "seals/*/*/manifest.json"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d manifests: %v", len(paths), err)
	}
	return paths
}

// compareRoots computes the Merkle root of each evidence file.
func compareRoots(t *testing.T, s *sealed) {
	files := 0
	for _, path := range manifests(t, s.store) {
		var m manifest
		if err := json.Unmarshal(read(t, path), &m); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			if (f.Format == "jsonl") != (f.Root != "") {
				t.Errorf("%s has Merkle root %q", f.Key, f.Root)
			}
			if f.Format != "jsonl" {
				continue
			}
			files++
			var rows [][]byte
			for _, line := range linesOf(t, filepath.Join(s.store, f.Key)) {
				rows = append(rows, []byte(line))
			}
			if got := hex.EncodeToString(foreignRoot(t, rows)); got != f.Root || len(rows) != f.Rows {
				t.Errorf("%s: %d rows, root %s; the manifest says %d, %s", f.Key, len(rows), got, f.Rows, f.Root)
			}
			if len(rows) == 0 {
				continue
			}
			rows[0][0] ^= 1
			if got := hex.EncodeToString(foreignRoot(t, rows)); got == f.Root {
				t.Errorf("%s: another row has the same root", f.Key)
			}
		}
	}
	if files < 3 {
		t.Errorf("only %d evidence files", files)
	}
	if got, want := new(seal.Tree).Root(), rfc6962.DefaultHasher.EmptyRoot(); !bytes.Equal(got[:], want) {
		t.Errorf("the root of no rows is %v, want %x", got, want)
	}
}

// compareProof follows the paths in a proof, as encoding/json reads it.
func compareProof(t *testing.T, s *sealed) {
	var event struct{ ID string }
	evidence, err := filepath.Glob(filepath.Join(s.store, "jsonl/class=standard/trail=acme/*/*.jsonl.zst"))
	if err != nil || len(evidence) == 0 {
		t.Fatalf("no evidence: %v", err)
	}
	lines := linesOf(t, evidence[0])
	if err := json.Unmarshal([]byte(lines[len(lines)/2]), &event); err != nil {
		t.Fatal(err)
	}
	s.run(t, "prove", "--out", "event.proof", event.ID, s.store)
	type leaf struct {
		Index uint64
		Entry string
		Path  []string
	}
	var p struct {
		Event struct {
			File  string
			Index uint64
			Row   string
			Path  []string
		}
		Seal struct{ Manifest, Note string }
		Log  struct {
			Seal       leaf
			Keys       []leaf
			Checkpoint string
		}
	}
	if err := json.Unmarshal(read(t, filepath.Join(s.work, "event.proof")), &p); err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal([]byte(p.Seal.Manifest), &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		if f.Key != p.Event.File {
			continue
		}
		checkInclusion(t, "the event", p.Event.Index, uint64(f.Rows), []byte(p.Event.Row), unhex(t, p.Event.Path...), unhex(t, f.Root)[0])
		if p.Event.Row != lines[p.Event.Index] {
			t.Errorf("the row is %s, in the file it is %s", p.Event.Row, lines[p.Event.Index])
		}
	}
	c, _, _, err := f_log.ParseCheckpoint([]byte(p.Log.Checkpoint), origin, logVerifier(t, origin, s.keys[1]))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Log.Keys) != 2 {
		t.Errorf("%d leaves about keys, want that of the first and that of the second", len(p.Log.Keys))
	}
	for _, l := range append(p.Log.Keys, p.Log.Seal) {
		checkInclusion(t, fmt.Sprintf("leaf %d", l.Index), l.Index, c.Size, []byte(l.Entry), unhex(t, l.Path...), c.Hash)
	}
}

func unhex(t *testing.T, texts ...string) [][]byte {
	t.Helper()
	var all [][]byte
	for _, text := range texts {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != 32 {
			t.Fatalf("%q is no hash: %v", text, err)
		}
		all = append(all, b)
	}
	return all
}

// compareCheckpoints opens every checkpoint by the key that must have signed it, and no other way.
func compareCheckpoints(t *testing.T, s *sealed) {
	for _, size := range s.sizes {
		openForeign(t, s.store, size, s.key(size))
		data := read(t, filepath.Join(s.store, tlog.CheckpointKey(size)))
		right := logVerifier(t, origin, s.key(size))
		other := s.keys[0]
		if other.Equal(s.key(size)) {
			other = s.keys[1]
		}
		for name, forged := range map[string]struct {
			data     []byte
			origin   string
			verifier note.Verifier
		}{
			"another key":    {data, origin, logVerifier(t, origin, other)},
			"another name":   {data, origin, logVerifier(t, "daybook.example.org", s.key(size))},
			"another origin": {data, origin + "2", right},
			"another size":   {bytes.Replace(data, fmt.Appendf(nil, "\n%d\n", size), fmt.Appendf(nil, "\n%d\n", size+1), 1), origin, right},
			"one line more":  {bytes.Replace(data, []byte("\n\n"), []byte("\nmore\n\n"), 1), origin, right},
		} {
			if _, _, _, err := f_log.ParseCheckpoint(forged.data, forged.origin, forged.verifier); err == nil {
				t.Errorf("size %d, %s: it is taken", size, name)
			}
		}
	}
}

// compareLog holds the checkpoints of a log to its entries, and checks the proofs that our Reader makes.
func compareLog(t *testing.T, dir string, sizes []int64, key func(size int64) ed25519.PublicKey) {
	ctx := context.Background()
	store, err := file.New(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	roots := map[int64][]byte{}
	for _, size := range sizes {
		c := openForeign(t, dir, size, key(size))
		roots[size] = c.Hash
		r := tlog.NewReader(store, tlog.Checkpoint{Origin: c.Origin, Size: size, Root: seal.Hash(c.Hash)})
		var entries [][]byte
		for e, err := range r.Entries(ctx, 0) {
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, bytes.Clone(e.Data))
		}
		if got := foreignRoot(t, entries); !bytes.Equal(got, c.Hash) || len(entries) != int(size) {
			t.Errorf("%d entries with root %x are under the checkpoint of size %d with root %x", len(entries), got, size, c.Hash)
		}
		for i, entry := range entries {
			got, path, err := r.Inclusion(ctx, int64(i))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, entry) {
				t.Errorf("leaf %d of %d: entry %q, proven is %q", i, size, entry, got)
			}
			checkInclusion(t, fmt.Sprintf("leaf %d of %d", i, size), uint64(i), uint64(size), entry, hashes(path), c.Hash)
		}
		for _, old := range sizes {
			if old > size {
				break
			}
			path, err := r.Consistency(ctx, old)
			if err != nil {
				t.Fatal(err)
			}
			checkConsistency(t, uint64(old), uint64(size), hashes(path), roots[old], c.Hash)
		}
	}
}

func hashes[H ~[32]byte](path []H) [][]byte {
	list := make([][]byte, len(path))
	for i := range path {
		list[i] = path[i][:]
	}
	return list
}

// flipped returns a copy of a path in which one bit of one hash is another.
func flipped(path [][]byte, i int) [][]byte {
	c := make([][]byte, len(path))
	for k := range path {
		c[k] = bytes.Clone(path[k])
	}
	c[i][i%32] ^= 1 << (i % 8)
	return c
}

// checkInclusion checks that a leaf is proven, and nothing else is by the same path.
func checkInclusion(t *testing.T, name string, index, size uint64, leaf []byte, path [][]byte, root []byte) {
	t.Helper()
	verify := func(index, size uint64, leaf []byte, path [][]byte, root []byte) error {
		return proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, rfc6962.DefaultHasher.HashLeaf(leaf), path, root)
	}
	if err := verify(index, size, leaf, path, root); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	forged := map[string]error{
		"another leaf":  verify(index, size, append(bytes.Clone(leaf), '\n'), path, root),
		"another root":  verify(index, size, leaf, path, flipped([][]byte{root}, 0)[0]),
		"a longer path": verify(index, size, leaf, append(slices.Clone(path), root), root),
	}
	if size > 1 {
		forged["another index"] = verify((index+1)%size, size, leaf, path, root)
		forged["a shorter path"] = verify(index, size, leaf, path[:len(path)-1], root)
	}
	for i := range path {
		forged[fmt.Sprintf("another hash %d", i)] = verify(index, size, leaf, flipped(path, i), root)
	}
	for what, err := range forged {
		if err == nil {
			t.Errorf("%s: %s is taken", name, what)
		}
	}
}

// checkConsistency checks that a log is proven to begin with another, and no other is by the same path.
func checkConsistency(t *testing.T, old, size uint64, path [][]byte, oldRoot, root []byte) {
	t.Helper()
	verify := func(old, size uint64, path [][]byte, oldRoot, root []byte) error {
		return proof.VerifyConsistency(rfc6962.DefaultHasher, old, size, path, oldRoot, root)
	}
	name := fmt.Sprintf("from %d to %d", old, size)
	if err := verify(old, size, path, oldRoot, root); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	forged := map[string]error{
		"another old root": verify(old, size, path, flipped([][]byte{oldRoot}, 0)[0], root),
		"another root":     verify(old, size, path, oldRoot, flipped([][]byte{root}, 0)[0]),
		"a longer path":    verify(old, size, append(slices.Clone(path), root), oldRoot, root),
	}
	if old < size {
		forged["the roots exchanged"] = verify(old, size, path, root, oldRoot)
		forged["a shorter path"] = verify(old, size, path[:len(path)-1], oldRoot, root)
	}
	for i := range path {
		forged[fmt.Sprintf("another hash %d", i)] = verify(old, size, flipped(path, i), oldRoot, root)
	}
	for what, err := range forged {
		if err == nil {
			t.Errorf("%s: %s is taken", name, what)
		}
	}
}

// compareJSON reads every manifest and every leaf with jq, and wants what encoding/json reads.
func compareJSON(t *testing.T, s *sealed) {
	jq, err := exec.LookPath("jq")
	if err != nil {
		t.Skip("SKIPPED: jq is not installed")
	}
	same := func(name string, data []byte) {
		cmd := exec.CommandContext(t.Context(), jq, "--sort-keys", "--compact-output", ".")
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: jq: %v", name, err)
			return
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		e := json.NewEncoder(&want) // which sorts members
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, want.Bytes()) {
			t.Errorf("%s: jq reads\n%s\nencoding/json reads\n%s", name, out, want.Bytes())
		}
	}
	for _, path := range manifests(t, s.store) {
		same(path, read(t, path))
	}
	for i, entry := range entriesOf(t, s) {
		line, _, _ := bytes.Cut(entry, []byte("\n"))
		same(fmt.Sprintf("leaf %d", i), append(line, '\n'))
	}
}

// entriesOf takes the entries of a small log from its bundle: two bytes of length each, then the entry (c2sp.org/tlog-tiles).
func entriesOf(t *testing.T, s *sealed) [][]byte {
	t.Helper()
	size := s.sizes[len(s.sizes)-1]
	bundle := read(t, filepath.Join(s.store, fmt.Sprintf("log/tile/entries/000.p/%d", size)))
	var entries [][]byte
	for len(bundle) > 0 {
		n := 2 + int(bundle[0])<<8 + int(bundle[1])
		entries = append(entries, bundle[2:n])
		bundle = bundle[n:]
	}
	if len(entries) != int(size) {
		t.Fatalf("%d entries, want %d", len(entries), size)
	}
	return entries
}

// compareSignatures checks each signature that the store holds with openssl and the public keys in it.
func compareSignatures(t *testing.T, s *sealed) {
	openssl := openSSL(t)
	keys := map[string]string{}
	pems, err := filepath.Glob(filepath.Join(s.store, "keys/*.pem"))
	if err != nil || len(pems) != 2 {
		t.Fatalf("keys %v: %v", pems, err)
	}
	for _, path := range pems {
		keys[string(publicKey(t, path))] = path
	}
	dir := t.TempDir()
	verify := func(path string, text, signature []byte) error {
		for name, data := range map[string][]byte{"text": text, "signature": signature} {
			put(t, filepath.Join(dir, name), data)
		}
		_, err := openssl(dir, "pkeyutl", "-verify", "-pubin", "-inkey", path, "-rawin", "-in", "text", "-sigfile", "signature")
		return err
	}
	// check wants a note signed by just these keys.
	check := func(name string, data []byte, by ...ed25519.PublicKey) {
		text, signatures := signaturesOf(t, data)
		if len(signatures) != len(by) {
			t.Fatalf("%s: %d signatures, want %d", name, len(signatures), len(by))
		}
		for i, key := range by {
			path := keys[string(key)]
			if err := verify(path, text, signatures[i]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := verify(path, append([]byte("#"), text...), signatures[i]); err == nil {
				t.Errorf("%s: another text is taken", name)
			}
		}
	}
	for _, path := range manifests(t, s.store) {
		check(path, read(t, filepath.Join(filepath.Dir(path), "SHA256SUMS.note")), s.keys[0])
	}
	for _, size := range s.sizes {
		check(tlog.CheckpointKey(size), read(t, filepath.Join(s.store, tlog.CheckpointKey(size))), s.key(size))
	}
	entries := entriesOf(t, s)
	check("the first leaf", entries[0], s.keys[0])
	check("the last leaf", entries[len(entries)-1], s.keys[0], s.keys[1])
}

// signaturesOf takes a signed note apart as c2sp.org/signed-note says: its text, and the signatures without the hashes of their keys.
func signaturesOf(t *testing.T, data []byte) (text []byte, signatures [][]byte) {
	t.Helper()
	at := bytes.LastIndex(data, []byte("\n\n"))
	if at < 0 {
		t.Fatalf("not a signed note: %q", data)
	}
	for line := range strings.Lines(string(data[at+2:])) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "\u2014" {
			t.Fatalf("not a signature: %q", line)
		}
		raw, err := base64.StdEncoding.DecodeString(fields[2])
		if err != nil || len(raw) < 4 {
			t.Fatalf("not a signature: %q", line)
		}
		signatures = append(signatures, raw[4:])
	}
	return data[:at+1], signatures
}

// openSSL returns a function that runs openssl in a folder.
func openSSL(t *testing.T) func(dir string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: openssl is not installed")
	}
	return func(dir string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("openssl %s: %w: %s", args[0], err, out)
		}
		return string(out), err
	}
}
