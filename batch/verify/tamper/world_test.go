package tamper_test

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	xtlog "golang.org/x/mod/sumdb/tlog"

	"daybook/batch/anchor"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify/verifytest"
	"daybook/batch/witness"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
	"daybook/sink/sinktest"
)

const (
	acme, beta         = "acme", "beta"
	standard, security = "standard", "security"
	lastSeal           = 11 // of acme: ten days and the addendum; beta has ten
	addendumOf         = 3  // the day
	rotatedAfter       = 6  // the day
)

// world is the good store, and all that is needed to forge another.
type world struct {
	*verifytest.Builder
	memory *sinktest.Memory
	// base is the first of the ten days. They are those before today, since a witness and openssl know no other clock than the system's.
	base          event.Day
	now           time.Time
	first, second seal.Key
	sizes         []int64          // of the checkpoints, in order
	checkpoints   map[int64][]byte // by size
	policy        []byte           // asks for the witness's cosignature
	witnesses     []anchor.Anchor
	roots         *x509.CertPool // vouch for the time stamp at the head
}

func (w *world) day(n int) event.Day { return w.base + event.Day(n-1) }
func (w *world) size() int64         { return w.sizes[len(w.sizes)-1] }
func (w *world) head() []byte        { return w.checkpoints[w.size()] }

// shape says how much a store holds.
type shape struct {
	days    int
	formats []formats.Format
}

var full = shape{10, formats.All()}

// newWorld makes the good store: two trails of ten days, of which the fifth is empty, an addendum to the third day of acme, two classes, parts, a rotation of
// the key after the sixth day, and a checkpoint a day, each cosigned by a witness and the last one stamped by a time-stamping authority.
func newWorld(t testing.TB) *world {
	base := today() - 12
	w := &world{base: base, checkpoints: map[int64][]byte{}}
	w.memory = sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return base.Start() }})
	w.Builder = verifytest.NewUnsigned(t, w.memory, sink.Compliance)
	w.begin(t)
	w.startWitness(t)
	stamp := w.startAuthority(t)
	w.fill(full, func(size int64) {
		w.anchor(t, size, w.witnesses...)
	})
	w.anchor(t, w.size(), stamp)
	w.now = time.Now().Add(time.Minute)
	return w
}

func today() event.Day { return event.DayOf(time.Now()) }

// begin makes keys, and the log's first leaf.
func (w *world) begin(t testing.TB) {
	t.Helper()
	w.Clock = w.base.Start()
	w.first, w.second = w.NewKey("first"), w.NewKey("second")
	w.Key = w.first
	w.PutKey(w.first)
	w.Leaf(&tlog.Leaf{Type: tlog.TypeKey, Key: &tlog.KeyLeaf{Action: tlog.Genesis, Origin: verifytest.Origin, Key: w.first.Public().VerifierKey()}}, w.first)
}

// fill seals the days, and tells of each checkpoint.
func (w *world) fill(s shape, published func(size int64)) {
	w.Formats = s.formats
	publish := func() {
		signed := w.Publish()
		size := int64(len(w.Leaves))
		w.sizes, w.checkpoints[size] = append(w.sizes, size), signed
		published(size)
	}
	for n := 1; n <= s.days; n++ {
		for _, trail := range []string{acme, beta} {
			w.Seal(w.content(trail, n))
		}
		if n == rotatedAfter {
			w.Rotate(w.second)
		}
		publish()
	}
	w.Clock = w.Clock.Add(time.Hour)
	w.Seal(verifytest.Seal{Trail: acme, Day: w.day(addendumOf), Rows: map[string][]event.Event{standard: w.rows(acme, "late", addendumOf, 2)}})
	publish()
}

// content is what a day of a trail holds: of acme two classes, one of them in two parts; of beta one.
func (w *world) content(trail string, n int) verifytest.Seal {
	s := verifytest.Seal{Trail: trail, Day: w.day(n)}
	switch {
	case n == 5:
	case trail == acme:
		s.Rows = map[string][]event.Event{standard: w.rows(trail, standard, n, 6), security: w.rows(trail, security, n, 3)}
	default:
		s.Rows = map[string][]event.Event{standard: w.rows(trail, standard, n, 4)}
	}
	return s
}

// rows are events that no other trail has.
func (w *world) rows(trail, class string, n, count int) []event.Event {
	rows := verifytest.Rows(class, w.day(n), count)
	for i := range rows {
		rows[i].Set(event.ID, trail+"-"+rows[i].Get(event.ID))
		rows[i].Set(event.ActorID, "user-of-"+trail)
	}
	return rows
}

// file is the key of a data file of a day's own seal.
func (w *world) file(format formats.Format, trail, class string, day, part int) string {
	compression := map[formats.Format]string{formats.JSONL: seal.Zstd, formats.Parquet: seal.Uncompressed}
	return seal.FileKey(seal.FileName{Format: format, Class: class, Trail: trail, Day: w.day(day), Part: part, Compression: cmp.Or(compression[format], seal.Gzip)})
}

// startWitness runs a witness for the duration of the test.
func (w *world) startWitness(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	key, vkey, err := witness.GenerateKey(filepath.Join(dir, "key"), "witness.example/audit")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, k := range []seal.Key{w.first, w.second} {
		named, err := k.Public().Named(verifytest.Origin)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, named.VerifierKey())
	}
	w.policy = fmt.Appendf(nil, "log %s\nwitness auditor %s\nquorum auditor\n", keys[1], vkey)
	handler, err := witness.New(witness.Options{Dir: filepath.Join(dir, "state"), Signer: key, Logs: []witness.Log{{Origin: verifytest.Origin, Keys: keys}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		if err := handler.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := anchor.NewWitness("auditor", server.URL, vkey, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.witnesses = append(w.witnesses, a)
}

// anchor has a checkpoint confirmed, and keeps the receipt beside it.
func (w *world) anchor(t testing.TB, size int64, anchors ...anchor.Anchor) {
	t.Helper()
	for _, a := range anchors {
		receipt, err := a.Submit(t.Context(), anchor.Submission{
			Origin: verifytest.Origin, Size: size, Checkpoint: w.checkpoints[size],
			Prove: func(_ context.Context, old int64) (xtlog.TreeProof, error) {
				return xtlog.ProveTree(size, old, w.Builder)
			},
		})
		if err != nil {
			t.Fatalf("%s: %v", a.Name(), err)
		}
		keep := w.Clock.Add(slices.Max(slices.Collect(maps.Values(verifytest.Retain)))).Truncate(time.Second)
		w.Put(tlog.AnchorKey(size, a.Name(), receipt.Ext), receipt.Data, sink.Lock{Mode: w.Mode, RetainUntil: keep})
	}
}

// startAuthority runs a time-stamping authority: openssl, where it is installed.
func (w *world) startAuthority(t testing.TB) anchor.Anchor {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Log("openssl is not installed: a time-stamping authority of our own takes its place")
		return own{w, verifytest.NewAuthority(t)}
	}
	dir := t.TempDir()
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("serial", "01\n")
	write("tsa.cnf", `[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[stamps]
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = one
[one]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_chain = no
signer_digest = sha256
`)
	ec := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "tsa.cnf"}
	openssl(append([]string{"req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA", "-days", "30", "-extensions", "ca"}, ec...)...)
	openssl(append([]string{"req", "-new", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test TSA"}, ec...)...)
	openssl("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem", "-days", "30", "-extfile", "tsa.cnf", "-extensions", "stamps")
	pool := x509.NewCertPool()
	root, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(root); block == nil || !pool.AppendCertsFromPEM(root) {
		t.Fatal("openssl wrote no certificate")
	}
	w.roots = pool
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		write("q.tsq", string(query))
		openssl("ts", "-reply", "-config", "tsa.cnf", "-section", "one", "-queryfile", "q.tsq", "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "r.tsr")
		answer, err := os.ReadFile(filepath.Join(dir, "r.tsr"))
		if err != nil {
			t.Error(err)
		}
		rw.Header().Set("Content-Type", "application/timestamp-reply")
		if _, err := rw.Write(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	a, err := anchor.NewTimestamp("tsa", server.URL, pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// own is a time-stamping authority in place of openssl.
type own struct {
	w *world
	*verifytest.Authority
}

func (own) Name() string { return "tsa" }
func (own) Kind() string { return anchor.KindTimestamp }
func (a own) Submit(_ context.Context, s anchor.Submission) (anchor.Receipt, error) {
	a.w.roots = a.Roots()
	return anchor.Receipt{Ext: anchor.ExtTimestamp, Data: a.Stamp(s.Checkpoint, time.Now())}, nil
}
