package interop_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/anchor"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/witness"
	"daybook/event"
	"daybook/sink/file"
)

// growing is a log in a folder, which grows as a test wants.
type growing struct {
	log   *tlog.Log
	dir   string
	keys  []ed25519.PublicKey
	vkeys []string // of the log, one for each of keys
	seals uint64
	sizes []int64
}

func newGrowing(t *testing.T) *growing {
	t.Helper()
	g := &growing{dir: t.TempDir()}
	store, err := file.New(g.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.log, err = tlog.Open(t.Context(), tlog.Options{Store: store, Dir: t.TempDir(), Signer: g.newKey(t), Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *growing) newKey(t *testing.T) seal.Key {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	k, err := seal.GenerateKey(path, "daybook.example.org")
	if err != nil {
		t.Fatal(err)
	}
	g.keys = append(g.keys, publicKey(t, path+".pub"))
	vkey, err := note.NewEd25519VerifierKey(origin, g.keys[len(g.keys)-1])
	if err != nil {
		t.Fatal(err)
	}
	g.vkeys = append(g.vkeys, vkey)
	return k
}

// grow adds leaves, publishes a checkpoint of that size, and returns what is submitted to anchors.
func (g *growing) grow(t *testing.T, size int64) anchor.Submission {
	t.Helper()
	leaves := g.log.Head().Size
	if leaves == 0 {
		leaves = 1 // the key's, which is there from the start
	}
	for ; leaves < size; leaves++ {
		g.seals++
		err := g.log.Add(&tlog.Leaf{
			Schema: tlog.Schema, Type: tlog.TypeSeal, Time: time.Now().UTC().Truncate(time.Second),
			Seal: &tlog.SealLeaf{
				Trail: "acme", Seal: g.seals, Day: seal.Date{Day: event.Day(20_000 + int64(g.seals))}, Manifest: seal.Sum(fmt.Append(nil, g.seals, g.dir)), Key: g.log.Keyring().Current().ID(),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.log.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g.head(t, size)
}

func (g *growing) rotate(t *testing.T) anchor.Submission {
	t.Helper()
	size := g.log.Head().Size + 1
	if err := g.log.Rotate(t.Context(), g.newKey(t)); err != nil {
		t.Fatal(err)
	}
	return g.head(t, size)
}

func (g *growing) head(t *testing.T, size int64) anchor.Submission {
	t.Helper()
	h := g.log.Head()
	if h.Size != size {
		t.Fatalf("the log has size %d, want %d", h.Size, size)
	}
	g.sizes = append(g.sizes, size)
	return anchor.Submission{Origin: h.Origin, Size: h.Size, Checkpoint: h.Signed, Prove: g.log.Prove}
}

// TestLargeLog looks by foreign means at a log whose tiles are full, and at its sizes about there.
func TestLargeLog(t *testing.T) {
	g := newGrowing(t)
	for _, size := range []int64{1, 2, 3, 200, 255, 256, 257, 520} {
		g.grow(t, size)
	}
	key := func(int64) ed25519.PublicKey { return g.keys[0] }
	compareLog(t, g.dir, g.sizes, key)
	bin := buildTessera(t)
	for _, size := range g.sizes {
		checkByTessera(t, bin, g.dir, size, g.keys[0])
	}
}

// buildTessera builds the program in foreign/tessera.
func buildTessera(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "tessera")
	goBuild(t, "foreign/tessera", bin, ".")
	return bin
}

// checkByTessera has Tessera check the tiles and entries of the log in a folder under the checkpoint of that size; with one bit of them changed it must find that.
func checkByTessera(t *testing.T, bin, store string, size int64, key ed25519.PublicKey) {
	t.Helper()
	vkey, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(store, "log"))); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "checkpoint"), read(t, filepath.Join(store, tlog.CheckpointKey(size))))
	check := func() error {
		out, err := exec.CommandContext(t.Context(), bin, "check", dir, vkey).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := check(); err != nil {
		t.Errorf("size %d: %v", size, err)
	}
	for _, kind := range []string{"tile/0", "tile/entries"} {
		tile := filepath.Join(dir, kind, "000")
		if size < 256 {
			tile = filepath.Join(dir, kind, fmt.Sprintf("000.p/%d", size))
		}
		good := read(t, tile)
		bad := bytes.Clone(good)
		bad[len(bad)-1] ^= 1
		if err := os.Chmod(tile, 0o600); err != nil {
			t.Fatal(err)
		}
		put(t, tile, bad)
		if err := check(); err == nil {
			t.Errorf("size %d: %s with another bit is taken", size, kind)
		}
		put(t, tile, good)
	}
}

// witnessKey makes a witness's key by x/mod, and its verifier key by transparency-dev/formats.
func witnessKey(t *testing.T, name string) (key ed25519.PrivateKey, vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(skey, "+", 5)[4])
	if err != nil {
		t.Fatal(err)
	}
	if vkey, err = f_note.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed[1:]), vkey
}

// startLitewitness starts Torchwood's litewitness, with a key that it gets from an SSH agent, and returns its address and verifier key.
func startLitewitness(t *testing.T, keys []string) (where, vkey string) {
	t.Helper()
	dir := t.TempDir()
	bin, db, socket := filepath.Join(dir, "litewitness"), filepath.Join(dir, "db"), filepath.Join(dir, "agent")
	goBuild(t, "foreign/litewitness", bin, "filippo.io/torchwood/cmd/litewitness")
	goBuild(t, "foreign/litewitness", bin+"-db", ".")
	if out, err := exec.CommandContext(t.Context(), bin+"-db", append([]string{db, origin}, keys...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, vkey := witnessKey(t, "litewitness.example.org")
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	serveAgent(t, socket, key)
	ctx, stop := context.WithCancel(context.Background())
	address := freeAddress(t)
	cmd := exec.CommandContext(ctx, bin, "-name", "litewitness.example.org", "-db", db, "-ssh-agent", socket, "-key", ssh.FingerprintSHA256(public), "-listen", address)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // ended by us
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		if t.Failed() {
			t.Logf("litewitness: %s", output.String())
		}
	})
	where = "http://" + address
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			return where, vkey
		}
		select {
		case <-ended:
			t.Fatalf("litewitness ended: %s", output.String())
		case <-time.After(20 * time.Millisecond): // it does not say when it listens
		}
		if time.Now().After(deadline) {
			t.Fatal("litewitness does not listen")
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it is the address that is wanted
	return l.Addr().String()
}

// serveAgent is an SSH agent that holds one key.
func serveAgent(t *testing.T, socket string, key ed25519.PrivateKey) {
	t.Helper()
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: &key}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed below
			}
			serving.Go(func() { _ = agent.ServeAgent(keyring, conn) }) // ends with the witness
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
}

// checkCosigned has transparency-dev/formats verify a cosignature, which must be recent.
func checkCosigned(t *testing.T, checkpoint, cosignature []byte, vkey string) {
	t.Helper()
	v, err := f_note.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(slices.Concat(checkpoint, cosignature), note.VerifierList(v))
	if err != nil {
		t.Fatalf("%v\n%s%s", err, checkpoint, cosignature)
	}
	if len(n.Sigs) != 1 || n.Sigs[0].Name != v.Name() {
		t.Fatalf("signatures %v", n.Sigs)
	}
	at, err := f_note.CoSigV1Timestamp(n.Sigs[0])
	if err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("cosigned at %v: %v", at, err)
	}
	if _, err := note.Open(slices.Concat(bytes.Replace(checkpoint, []byte("\n\n"), []byte("\nmore\n\n"), 1), cosignature), note.VerifierList(v)); err == nil {
		t.Error("it is a cosignature of another checkpoint, too")
	}
}

// TestForeignWitness submits the checkpoints of a log to a foreign witness.
func TestForeignWitness(t *testing.T) {
	g, fork := newGrowing(t), newGrowing(t)
	first := g.grow(t, 3)
	second := g.grow(t, 4)
	third := g.grow(t, 300)
	rotated := g.rotate(t)
	last := g.grow(t, 310)
	where, vkey := startLitewitness(t, append(g.vkeys, fork.vkeys...))
	a, err := anchor.NewWitness("team", where, vkey, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Prove proves from the checkpoint that is submitted, which is not the newest: a Reader does that.
	for _, s := range []*anchor.Submission{&first, &second, &third, &rotated, &last} {
		key := g.keys[0]
		if s.Size >= rotated.Size {
			key = g.keys[1]
		}
		store, err := file.New(g.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := openForeign(t, g.dir, s.Size, key)
		s.Prove = tlog.NewReader(store, tlog.Checkpoint{Origin: origin, Size: s.Size, Root: seal.Hash(c.Hash)}).Consistency
		for range 2 { // the second time it is known
			r, err := a.Submit(t.Context(), *s)
			if err != nil {
				t.Fatalf("size %d: %v", s.Size, err)
			}
			if r.By != "litewitness.example.org" || r.Ext != ".cosig" || time.Since(r.At).Abs() > time.Hour {
				t.Errorf("size %d: receipt of %s, %s, %v", s.Size, r.By, r.Ext, r.At)
			}
			checkCosigned(t, s.Checkpoint, r.Data, vkey)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Submit(t.Context(), second); !errors.Is(err, anchor.ErrAhead) {
		t.Errorf("an old checkpoint: %v, want %v", err, anchor.ErrAhead)
	}
	for _, size := range []int64{310, 311} {
		if _, err := a.Submit(t.Context(), fork.grow(t, size)); !errors.Is(err, anchor.ErrForked) {
			t.Errorf("another log of size %d under this name: %v, want %v", size, err, anchor.ErrForked)
		}
	}
	stranger := newGrowing(t)
	if _, err := a.Submit(t.Context(), stranger.grow(t, 320)); !errors.Is(err, anchor.ErrRefused) {
		t.Errorf("a log by a key that it does not know: %v, want %v", err, anchor.ErrRefused)
	}
}

// recorder notes how a witness answers.
type recorder struct {
	witness http.Handler
	seen    chan int // status codes; has room for all of a test
}

func (r *recorder) ServeHTTP(rw http.ResponseWriter, request *http.Request) {
	answer := httptest.NewRecorder()
	r.witness.ServeHTTP(answer, request)
	for name, values := range answer.Header() {
		rw.Header()[name] = values
	}
	rw.WriteHeader(answer.Code)
	_, _ = io.Copy(rw, answer.Body) // to whom it is, is the client's affair
	r.seen <- answer.Code
}

// taken returns the status codes so far.
func (r *recorder) taken() []int {
	var codes []int
	for {
		select {
		case code := <-r.seen:
			codes = append(codes, code)
		default:
			return codes
		}
	}
}

// startWitness serves our witness.
func startWitness(t *testing.T, l witness.Log) (r *recorder, where, vkey string) {
	t.Helper()
	key, vkey, err := witness.GenerateKey(filepath.Join(t.TempDir(), "key"), "witness.example.org")
	if err != nil {
		t.Fatal(err)
	}
	w, err := witness.New(witness.Options{Dir: filepath.Join(t.TempDir(), "state"), Signer: key, Logs: []witness.Log{l}})
	if err != nil {
		t.Fatal(err)
	}
	r = &recorder{w, make(chan int, 1000)}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.Close()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, server.URL, vkey
}

// TestForeignLog has a log of Tessera's ask our witnesses for cosignatures, without which it publishes nothing.
func TestForeignLog(t *testing.T) {
	const name = "tessera.example.org/log"
	skey, logKey, err := note.GenerateKey(nil, name)
	if err != nil {
		t.Fatal(err)
	}
	logVerifier, err := note.NewVerifier(logKey)
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := buildTessera(t), t.TempDir()
	keyFile := filepath.Join(dir, "key")
	put(t, keyFile, []byte(skey))
	type ours struct {
		*recorder
		vkey, policy string
	}
	witnesses := map[string]ours{}
	for _, w := range []string{"first", "second"} {
		r, where, vkey := startWitness(t, witness.Log{Origin: name, Keys: []string{logKey}})
		policy := filepath.Join(dir, w)
		put(t, policy, fmt.Appendf(nil, "witness ours %s %s\nquorum ours\n", vkey, where))
		witnesses[w] = ours{r, vkey, policy}
	}
	// Tessera asks again and again, and waits for ever, if it is not given what it wants.
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	start := func(folder string, w ours, lines ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, bin, "log", filepath.Join(dir, folder), keyFile, w.policy)
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
		return cmd
	}
	size := uint64(0)
	// Tessera takes a witness to know what it published last. One that came or came back since knows less, and says so.
	for _, run := range []struct {
		witness  string
		lines    []string
		conflict bool
	}{
		{"first", []string{"one", "two", "three"}, false},
		{"second", []string{"four", "five"}, true}, // knows nothing
		{"first", []string{"six"}, true},           // knows three
	} {
		w := witnesses[run.witness]
		cosigner, err := f_note.NewVerifierForCosignatureV1(w.vkey)
		if err != nil {
			t.Fatal(err)
		}
		cmd := start("log", w, run.lines...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: the witness answered %d: %s", err, w.taken(), stderr.String())
		}
		checkpoints := json.NewDecoder(bytes.NewReader(out))
		for range run.lines {
			var text string
			if err := checkpoints.Decode(&text); err != nil {
				t.Fatal(err)
			}
			c, _, n, err := f_log.ParseCheckpoint([]byte(text), name, logVerifier, cosigner)
			if err != nil {
				t.Fatal(err)
			}
			if size++; c.Size != size || len(n.Sigs) != 2 {
				t.Errorf("size %d with signatures %v, want size %d and two", c.Size, n.Sigs, size)
			}
		}
		codes := w.taken()
		rest := codes
		if run.conflict && len(codes) > 0 && codes[0] == http.StatusConflict {
			rest = codes[1:]
		} else if run.conflict {
			t.Errorf("size %d: the witness answered %d, want a conflict first", size, codes)
		}
		if len(rest) < len(run.lines) || slices.ContainsFunc(rest, func(code int) bool { return code != http.StatusOK }) {
			t.Errorf("size %d: the witness answered %d", size, codes)
		}
	}
	// The same key, another log: nothing of it is cosigned.
	w := witnesses["first"]
	cmd := start("fork", w, "uno")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	code := <-w.seen
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if codes := append(w.taken(), code); slices.Contains(codes, http.StatusOK) {
		t.Errorf("the witness answered %d to a log that begins anew", codes)
	}
}

// TestAnchoredStore has the command anchor what it seals at OpenSSL's time-stamping authority and at our witness, and looks at what it keeps by foreign means.
func TestAnchoredStore(t *testing.T) {
	openssl := openSSL(t)
	ca := t.TempDir()
	stamping := startAuthority(t, openssl, ca)
	var where, vkey string
	s := sealStore(t, func(s *sealed) string {
		l := witness.Log{Origin: origin}
		for _, key := range s.keys {
			k, err := note.NewEd25519VerifierKey(origin, key)
			if err != nil {
				t.Fatal(err)
			}
			l.Keys = append(l.Keys, k)
		}
		_, where, vkey = startWitness(t, l)
		return fmt.Sprintf("anchors:\n  - {name: stamp, timestamp: %q, ca_file: %q}\n  - {name: team, witness: %q, key: %q}\n", stamping, filepath.Join(ca, "ca.pem"), where, vkey)
	})
	for i, size := range s.sizes {
		checkpoint := filepath.Join(s.store, tlog.CheckpointKey(size))
		stamp := filepath.Join(s.store, tlog.AnchorKey(size, "stamp", ".tsr"))
		if out, err := openssl(ca, "ts", "-verify", "-data", checkpoint, "-in", stamp, "-CAfile", "ca.pem"); err != nil || !strings.Contains(out, "Verification: OK") {
			t.Errorf("size %d: %v: %s", size, err, out)
		}
		other := filepath.Join(s.store, tlog.CheckpointKey(s.sizes[(i+1)%len(s.sizes)]))
		if _, err := openssl(ca, "ts", "-verify", "-data", other, "-in", stamp, "-CAfile", "ca.pem"); err == nil {
			t.Errorf("size %d: the stamp is taken for that of another checkpoint", size)
		}
		checkCosigned(t, read(t, checkpoint), read(t, filepath.Join(s.store, tlog.AnchorKey(size, "team", ".cosig"))), vkey)
	}
	compareSignatures(t, s)
}

// startAuthority makes a certificate authority in a folder, and serves a time-stamping authority of it; all of this is openssl's work.
func startAuthority(t *testing.T, openssl func(dir string, args ...string) (string, error), dir string) (where string) {
	t.Helper()
	put(t, filepath.Join(dir, "ext.cnf"), []byte("keyUsage = critical, digitalSignature\nextendedKeyUsage = critical, timeStamping\n"))
	put(t, filepath.Join(dir, "serial"), []byte("01\n"))
	put(t, filepath.Join(dir, "ts.cnf"), []byte(`[tsa]
default_tsa = one
[one]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
signer_digest = sha256
`))
	for _, args := range []string{
		"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=Interop-CA",
		"req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.csr -subj /CN=Interop-TSA",
		"x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext.cnf -out tsa.pem",
	} {
		if _, err := openssl(dir, strings.Fields(args)...); err != nil {
			t.Fatal(err)
		}
	}
	var one sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		query, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "query"), query, 0o600)
		}
		if err == nil {
			_, err = openssl(dir, "ts", "-reply", "-config", "ts.cnf", "-section", "one", "-queryfile", "query", "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "reply")
		}
		var reply []byte
		if err == nil {
			reply, err = os.ReadFile(filepath.Join(dir, "reply"))
		}
		if err != nil {
			t.Error(err)
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		rw.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = rw.Write(reply) // whether it is taken shows in the store
	}))
	t.Cleanup(server.Close)
	return server.URL
}
