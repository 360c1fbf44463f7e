package anchor_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"

	"daybook/batch/anchor"
	"daybook/batch/witness"
)

var update = flag.Bool("update", false, "make the recorded time stamp anew")

// authority is a certificate for time-stamping and who vouches for it.
type authority struct {
	root, cert *x509.Certificate
	rootKey    *ecdsa.PrivateKey
	key        *ecdsa.PrivateKey
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

var (
	oidEKU          = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTSTInfo      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidTimeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
)

func newAuthority(t testing.TB, change func(*x509.Certificate)) *authority {
	t.Helper()
	a := &authority{rootKey: newECKey(t), key: newECKey(t)}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: time.Now().AddDate(-10, 0, 0), NotAfter: time.Now().AddDate(30, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.root = issue(t, root, root, a.rootKey, a.rootKey)
	a.reissue(t, change)
	return a
}

// reissue makes another certificate for the same key.
func (a *authority) reissue(t testing.TB, change func(*x509.Certificate)) {
	t.Helper()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{oidTimeStamping})
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test TSA", Organization: []string{"Example"}},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: oidEKU, Critical: true, Value: usage}},
	}
	if change != nil {
		change(cert)
	}
	a.cert = issue(t, cert, a.root, a.key, a.rootKey)
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t testing.TB, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// stamp answers a query in this process; change may spoil the answer.
func (a *authority) stamp(t testing.TB, query []byte, change func(*timestamp.Timestamp)) []byte {
	t.Helper()
	q, err := timestamp.ParseRequest(query)
	if err != nil {
		t.Fatal(err)
	}
	return a.answer(t, q, change)
}

func (a *authority) answer(t testing.TB, q *timestamp.Request, change func(*timestamp.Timestamp)) []byte {
	t.Helper()
	s := timestamp.Timestamp{
		HashAlgorithm: q.HashAlgorithm, HashedMessage: q.HashedMessage, Nonce: q.Nonce, Time: time.Now().UTC().Truncate(time.Second), Policy: asn1.ObjectIdentifier{1, 2, 3, 4, 1},
		AddTSACertificate: q.Certificates,
	}
	if change != nil {
		change(&s)
	}
	answer, err := s.CreateResponseWithOpts(a.cert, a.key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func tsa(t *testing.T, answer func(query []byte) []byte) string {
	t.Helper()
	return server(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
			t.Errorf("asked by %s, %s: %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		rw.Header().Set("Content-Type", "application/timestamp-reply")
		if _, err := rw.Write(answer(query)); err != nil {
			t.Log(err) // the client has gone
		}
	})).URL
}

func stampAt(t *testing.T, where string, roots *x509.CertPool) anchor.Anchor {
	t.Helper()
	a, err := anchor.NewTimestamp("tsa", where, roots, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTimestamp(t *testing.T) {
	l, ca := newLog(t, 9), newAuthority(t, nil)
	s := l.at(5)
	for name, roots := range map[string]*x509.CertPool{"with roots": ca.pool(), "without": nil} {
		where := tsa(t, func(query []byte) []byte { return ca.stamp(t, query, nil) })
		r, err := stampAt(t, where, roots).Submit(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Ext != ".tsr" || r.By != "CN=Test TSA,O=Example" || time.Since(r.At).Abs() > time.Minute {
			t.Errorf("%s: receipt by %s at %v, %s", name, r.By, r.At, r.Ext)
		}
		info, err := anchor.CheckTimestamp(r.Data, s.Checkpoint, roots)
		if err != nil || info != (anchor.TimestampInfo{Time: r.At, Authority: r.By, Trusted: roots != nil}) {
			t.Errorf("%s: CheckTimestamp = %+v, %v", name, info, err)
		}
	}
}

func TestMisbehavingAuthority(t *testing.T) {
	l, ca, stranger := newLog(t, 9), newAuthority(t, nil), newAuthority(t, nil)
	refusal, err := timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.SystemFailure)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		answer func(query []byte) []byte
		is     error
	}{
		"other nonce": {func(q []byte) []byte { return ca.stamp(t, q, func(s *timestamp.Timestamp) { s.Nonce = big.NewInt(7) }) }, anchor.ErrAnswer},
		"no nonce":    {func(q []byte) []byte { return ca.stamp(t, q, func(s *timestamp.Timestamp) { s.Nonce = nil }) }, anchor.ErrAnswer},
		"other digest": {func(q []byte) []byte {
			return ca.stamp(t, q, func(s *timestamp.Timestamp) { s.HashedMessage = make([]byte, 32) })
		}, anchor.ErrDigest},
		"refused": {func([]byte) []byte { return refusal }, anchor.ErrRefused},
		"no certificate": {func(q []byte) []byte {
			return ca.stamp(t, q, func(s *timestamp.Timestamp) { s.AddTSACertificate = false })
		}, anchor.ErrTimestamp},
		"untrusted": {func(q []byte) []byte { return stranger.stamp(t, q, nil) }, anchor.ErrUntrusted},
		"its past": {func(q []byte) []byte {
			return ca.stamp(t, q, func(s *timestamp.Timestamp) { s.Time = time.Now().AddDate(-2, 0, 0).UTC() })
		}, anchor.ErrExpired},
		"HTML":            {func([]byte) []byte { return []byte("<html>") }, anchor.ErrTimestamp},
		"empty":           {func([]byte) []byte { return nil }, anchor.ErrTimestamp},
		"more than there": {func([]byte) []byte { return make([]byte, anchor.MaxTimestamp+1) }, anchor.ErrAnswer},
	} {
		where := tsa(t, c.answer)
		r, err := stampAt(t, where, ca.pool()).Submit(t.Context(), l.at(5))
		if err == nil {
			t.Errorf("%s: receipt %+v", name, r)
			continue
		}
		says(t, err, c.is, "anchor tsa (timestamp): ", where)
		if name == "untrusted" {
			hinted(t, err)
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"redirect": func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/x", http.StatusFound) },
		"endless":  endless,
	} {
		if _, err := stampAt(t, server(t, h).URL, nil).Submit(t.Context(), l.at(5)); !errors.Is(err, anchor.ErrAnswer) {
			t.Errorf("%s: error %v, want ErrAnswer", name, err)
		}
	}
	_, err = stampAt(t, server(t, http.NotFoundHandler()).URL, nil).Submit(t.Context(), l.at(5))
	says(t, err, anchor.ErrRefused, "status 404")
	if _, err := anchor.NewTimestamp("tsa", "ftp://x", nil, nil); err == nil {
		t.Error("ftp was taken")
	}
}

func TestCheckTimestamp(t *testing.T) {
	checkpoint := newLog(t, 9).checkpoint(5)
	ca, stranger := newAuthority(t, nil), newAuthority(t, nil)
	query := func(h crypto.Hash) *timestamp.Request {
		d := h.New()
		d.Write(checkpoint)
		return &timestamp.Request{HashAlgorithm: h, HashedMessage: d.Sum(nil), Certificates: true}
	}
	good := ca.answer(t, query(crypto.SHA256), nil)
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if info, err := anchor.CheckTimestamp(ca.answer(t, query(h), nil), checkpoint, ca.pool()); err != nil || !info.Trusted {
			t.Errorf("%v: %+v, %v", h, info, err)
		}
	}
	with := func(change func(*x509.Certificate)) []byte {
		return newAuthority(t, change).answer(t, query(crypto.SHA256), nil)
	}
	expired := newAuthority(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	twin := newAuthority(t, nil)
	before := *twin
	for twin.cert == before.cert || len(twin.cert.Raw) != len(before.cert.Raw) { // a signature's length varies
		twin.reissue(t, func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }) // same issuer, serial number and key
	}
	swapped := bytes.Replace(before.answer(t, query(crypto.SHA256), nil), before.cert.Raw, twin.cert.Raw, 1)

	content := parsed(t, good).Content
	rewrapped := func(kind, digest asn1.ObjectIdentifier) []byte { return ca.wrap(t, content, kind, digest) }
	if _, err := anchor.CheckTimestamp(rewrapped(oidTSTInfo, pkcs7.OIDDigestAlgorithmSHA256), checkpoint, ca.pool()); err != nil {
		t.Fatal(err) // what follows differs from this in one thing
	}
	for name, c := range map[string]struct {
		tsr   []byte
		roots *x509.CertPool
		want  error
	}{
		"signed as something else":       {rewrapped(pkcs7.OIDData, pkcs7.OIDDigestAlgorithmSHA256), nil, anchor.ErrTimestamp},
		"signed with SHA-1":              {rewrapped(oidTSTInfo, pkcs7.OIDDigestAlgorithmSHA1), nil, anchor.ErrTimestamp},
		"its past":                       {ca.answer(t, query(crypto.SHA256), func(s *timestamp.Timestamp) { s.Time = time.Now().AddDate(-2, 0, 0).UTC() }), nil, anchor.ErrExpired},
		"a token that runs past its end": {[]byte{0x30, 0x0a, 0x30, 0x03, 0x02, 0x01, 0x00, 0x30, 0x03, 0x1f, 0xff, 0xff}, nil, anchor.ErrTimestamp},
		"another CA":                     {good, stranger.pool(), anchor.ErrUntrusted},
		"no CA at all":                   {good, x509.NewCertPool(), anchor.ErrUntrusted},
		"expired":                        {expired.answer(t, query(crypto.SHA256), nil), expired.pool(), anchor.ErrExpired},
		"expired, nobody asked for":      {expired.answer(t, query(crypto.SHA256), nil), nil, anchor.ErrExpired},
		"hash of another kind":           {ca.answer(t, query(crypto.SHA256), func(s *timestamp.Timestamp) { s.HashAlgorithm = crypto.SHA384 }), ca.pool(), anchor.ErrDigest},
		"not for time-stamping":          {with(func(c *x509.Certificate) { c.ExtraExtensions = nil }), nil, anchor.ErrTimestamp},
		"for time-stamping, not only":    {with(func(c *x509.Certificate) { addUsage(t, c) }), nil, anchor.ErrTimestamp},
		"for time-stamping, if you will": {with(func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }), nil, anchor.ErrTimestamp},
		"another certificate's":          {swapped, twin.pool(), anchor.ErrTimestamp},
		"empty":                          {nil, nil, anchor.ErrTimestamp},
		"cut":                            {good[:len(good)-1], nil, anchor.ErrTimestamp},
		"text behind":                    {append(bytes.Clone(good), 0), nil, anchor.ErrTimestamp},
		"the token alone":                {good[len(good)-len(token(t, good)):], nil, anchor.ErrTimestamp},
		"endless nesting":                {bytes.Repeat([]byte{0x30, 0x80}, 30000), nil, anchor.ErrTimestamp},
		"deep nesting":                   {nest(100), nil, anchor.ErrTimestamp},
	} {
		info, err := anchor.CheckTimestamp(c.tsr, checkpoint, c.roots)
		for _, other := range []error{anchor.ErrTimestamp, anchor.ErrDigest, anchor.ErrExpired, anchor.ErrUntrusted} {
			if errors.Is(err, other) != errors.Is(c.want, other) {
				t.Errorf("%s: error %v, want %v and nothing else", name, err, c.want)
			}
		}
		if info.Trusted {
			t.Errorf("%s: trusted", name)
		}
		if errors.Is(c.want, anchor.ErrUntrusted) && (info.Authority != "CN=Test TSA,O=Example" || info.Time.IsZero()) {
			t.Errorf("%s: it does not say whose: %+v", name, info)
		}
	}
	// Every bit counts.
	for i := range good {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(good)
			bad[i] ^= bit
			if info, err := anchor.CheckTimestamp(bad, checkpoint, ca.pool()); err == nil && !harmless(good, bad) {
				t.Errorf("byte %d of %d flipped by %#x: %+v", i, len(good), bit, info)
			}
		}
	}
}

// harmless reports whether a change leaves the certificate and what is signed as they are: the outer wrapping is not signed.
func harmless(good, bad []byte) bool {
	a, errA := timestamp.ParseResponse(good)
	b, errB := timestamp.ParseResponse(bad)
	if errA != nil {
		return false
	}
	if errB != nil { // granted with modifications
		return bad[bytes.IndexByte(good, 0x02)+2] == 1
	}
	return a.Time.Equal(b.Time) && bytes.Equal(a.HashedMessage, b.HashedMessage) && bytes.Equal(a.Certificates[0].Raw, b.Certificates[0].Raw)
}

func addUsage(t *testing.T, c *x509.Certificate) {
	t.Helper()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{oidTimeStamping, {1, 3, 6, 1, 5, 5, 7, 3, 1}})
	if err != nil {
		t.Fatal(err)
	}
	c.ExtraExtensions[0].Value = usage
}

func token(t *testing.T, tsr []byte) []byte {
	t.Helper()
	s, err := timestamp.ParseResponse(tsr)
	if err != nil {
		t.Fatal(err)
	}
	return s.RawToken
}

func parsed(t *testing.T, tsr []byte) *pkcs7.PKCS7 {
	t.Helper()
	cms, err := pkcs7.Parse(token(t, tsr))
	if err != nil {
		t.Fatal(err)
	}
	return cms
}

// wrap signs the content of a time stamp as being of some kind.
func (a *authority) wrap(t *testing.T, content []byte, kind, digest asn1.ObjectIdentifier) []byte {
	t.Helper()
	type certID struct{ Hash []byte }
	sum := sha256.Sum256(a.cert.Raw)
	data, err := pkcs7.NewSignedData(content)
	if err != nil {
		t.Fatal(err)
	}
	data.SetDigestAlgorithm(digest)
	data.SetContentType(kind)
	err = data.AddSigner(a.cert, a.key, pkcs7.SignerInfoConfig{ExtraSignedAttributes: []pkcs7.Attribute{
		{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}, Value: struct{ Certs []certID }{[]certID{{sum[:]}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := data.Finish()
	if err != nil {
		t.Fatal(err)
	}
	type status struct{ Status int }
	tsr, err := asn1.Marshal(struct {
		Status status
		Token  asn1.RawValue
	}{status{0}, asn1.RawValue{FullBytes: signed}})
	if err != nil {
		t.Fatal(err)
	}
	return tsr
}

// nest is n sequences, each within the one before.
func nest(n int) []byte {
	var inner []byte
	for range n {
		outer, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: inner})
		if err != nil {
			panic(err)
		}
		inner = outer
	}
	return inner
}

// The parser that we build on isn't made for several callers.
func TestCheckTimestampConcurrently(t *testing.T) {
	checkpoint := newLog(t, 9).checkpoint(5)
	ca := newAuthority(t, nil)
	digest := sha256.Sum256(checkpoint)
	tsr := ca.answer(t, &timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Certificates: true}, nil)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := anchor.CheckTimestamp(tsr, checkpoint, ca.pool()); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

// opensslAuthority makes a CA and a time-stamping authority of it, and returns the folder: ca.pem, and what openssl ts -reply needs.
func opensslAuthority(t *testing.T, ca *authority) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed: it is the foreign time-stamping authority of this test")
	}
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: ca.root.Raw}, "tsa.pem": {Type: "CERTIFICATE", Bytes: ca.cert.Raw}, "tsa.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		write(t, filepath.Join(dir, name), pem.EncodeToMemory(block))
	}
	write(t, filepath.Join(dir, "serial"), []byte("01\n"))
	write(t, filepath.Join(dir, "ts.cnf"), []byte(`[tsa]
default_tsa = one
[one]
serial = serial
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
tsa_name = yes
ess_cert_id_chain = no
signer_digest = sha256
`))
	return dir
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// A foreign authority stamps, and a foreign tool accepts what was kept.
func TestTimestampByOpenSSL(t *testing.T) {
	ca := newAuthority(t, func(c *x509.Certificate) {
		if *update { // what is recorded is to outlive its certificate
			c.NotAfter = time.Now().Add(time.Minute)
		}
	})
	dir := opensslAuthority(t, ca)
	for i, extra := range [][]string{nil, {"-chain", "ca.pem"}} {
		where := tsa(t, func(query []byte) []byte {
			write(t, filepath.Join(dir, "q.tsq"), query)
			openssl(t, dir, append([]string{"ts", "-reply", "-config", "ts.cnf", "-section", "one", "-queryfile", "q.tsq", "-signer", "tsa.pem", "-inkey", "tsa.key", "-out", "r.tsr"}, extra...)...)
			answer, err := os.ReadFile(filepath.Join(dir, "r.tsr"))
			if err != nil {
				t.Error(err)
			}
			return answer
		})
		s := newLog(t, 9).at(5)
		r, err := stampAt(t, where, ca.pool()).Submit(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "checkpoint"), s.Checkpoint)
		write(t, filepath.Join(dir, "kept.tsr"), r.Data)
		if out := openssl(t, dir, "ts", "-verify", "-data", "checkpoint", "-in", "kept.tsr", "-CAfile", "ca.pem"); !strings.Contains(out, "Verification: OK") {
			t.Errorf("openssl says %s", out)
		}
		if *update && i == 0 {
			for name, data := range map[string][]byte{"checkpoint": s.Checkpoint, "checkpoint.tsr": r.Data, "ca.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw})} {
				write(t, filepath.Join("testdata", name), data)
			}
		}
	}
}

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What OpenSSL once stamped stays valid, with no authority and no tool at hand, though its certificate has ended since.
func TestRecordedTimestamp(t *testing.T) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(recorded(t, "ca.pem")) {
		t.Fatal("no certificate")
	}
	info, err := anchor.CheckTimestamp(recorded(t, "checkpoint.tsr"), recorded(t, "checkpoint"), pool)
	if err != nil || !info.Trusted {
		t.Errorf("%+v, %v", info, err)
	}
	_, err = anchor.CheckTimestamp(recorded(t, "checkpoint.tsr"), append(recorded(t, "checkpoint"), '\n'), pool)
	if !errors.Is(err, anchor.ErrDigest) {
		t.Errorf("error %v, want ErrDigest", err)
	}
}

func FuzzCheckTimestamp(f *testing.F) {
	good, checkpoint := recorded(f, "checkpoint.tsr"), recorded(f, "checkpoint")
	f.Add(good)
	for i := 0; i < len(good); i += 97 {
		f.Add(good[:i])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := anchor.CheckTimestamp(data, checkpoint, nil)
		if err == nil && (info.Time.IsZero() || info.Trusted) {
			t.Errorf("%+v", info)
		}
		if strings.Contains(fmt.Sprint(info, err), "\x00") {
			t.Errorf("it prints control characters: %+v, %v", info, err)
		}
	})
}

func FuzzCheckCosignature(f *testing.F) {
	l := newLog(f, 3)
	key, vkey, err := witness.GenerateKey(filepath.Join(f.TempDir(), "key"), "witness.example.org/w1")
	if err != nil {
		f.Fatal(err)
	}
	w, err := witness.New(witness.Options{Dir: f.TempDir(), Signer: key, Logs: []witness.Log{{Origin: origin, Keys: []string{l.vkey}}}})
	if err != nil {
		f.Fatal(err)
	}
	defer w.Close() // nothing is written any more
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader("old 0\n\n"+string(l.checkpoint(3)))))
	f.Add(rec.Body.Bytes(), l.checkpoint(3))
	text, _, _ := strings.Cut(string(l.checkpoint(3)), "\n\n")
	f.Fuzz(func(t *testing.T, cosig, checkpoint []byte) {
		_, _, err := anchor.CheckCosignature(cosig, checkpoint, vkey)
		if err == nil && !strings.HasPrefix(string(checkpoint), text+"\n\n") {
			t.Errorf("taken for a cosignature of %q", checkpoint)
		}
	})
}
