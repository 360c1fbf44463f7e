package verifytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/digitorus/timestamp"

	"daybook/batch/seal"
)

// Witness cosigns checkpoints at any time.
type Witness struct {
	Name string
	key  ed25519.PrivateKey
	hash uint32
	// VerifierKey is how a policy names it.
	VerifierKey string
}

// NewWitness makes a witness.
func NewWitness(t testing.TB, name string) *Witness {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := torchwood.NewCosignatureSigner(name, key)
	if err != nil {
		t.Fatal(err)
	}
	return &Witness{name, key, s.KeyHash(), s.Verifier().String()}
}

// Cosign returns the signature line under a checkpoint.
func (w *Witness) Cosign(checkpoint []byte, at time.Time) []byte {
	text, _, _ := strings.Cut(string(checkpoint), "\n\n")
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s\n", at.Unix(), text)
	raw := binary.BigEndian.AppendUint32(nil, w.hash)
	raw = binary.BigEndian.AppendUint64(raw, uint64(at.Unix()))
	raw = append(raw, ed25519.Sign(w.key, []byte(message))...)
	return fmt.Appendf(nil, "— %s %s\n", w.Name, base64.StdEncoding.EncodeToString(raw))
}

// Policy asks for a checkpoint of the log by that key, with the cosignatures of all these witnesses.
func Policy(log seal.PublicKey, witnesses ...*Witness) []byte {
	named, err := log.Named(Origin)
	if err != nil {
		panic(err) // the name is ours
	}
	var b strings.Builder
	fmt.Fprintf(&b, "log %s\n", named.VerifierKey())
	names := "group all-of-them all"
	for _, w := range witnesses {
		fmt.Fprintf(&b, "witness %s %s\n", w.Name, w.VerifierKey)
		names += " " + w.Name
	}
	fmt.Fprintf(&b, "%s\nquorum all-of-them\n", names)
	return []byte(b.String())
}

// Authority stamps checkpoints at any time.
type Authority struct {
	t    testing.TB
	root *x509.Certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes a time-stamping authority with a certificate authority of its own.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t}
	rootKey := a.newKey()
	a.key = a.newKey()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, NotBefore: Now.AddDate(-10, 0, 0), NotAfter: Now.AddDate(30, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.root = a.issue(root, root, rootKey, rootKey)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}) // id-kp-timeStamping
	a.must(err)
	a.cert = a.issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Test TSA"}, NotBefore: Now.AddDate(-9, 0, 0), NotAfter: Now.AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, a.root, a.key, rootKey)
	return a
}

func (a *Authority) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *Authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	return key
}

func (a *Authority) issue(template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	a.must(err)
	cert, err := x509.ParseCertificate(der)
	a.must(err)
	return cert
}

// Roots are the certificates that vouch for it.
func (a *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// Stamp returns a time stamp over a checkpoint.
func (a *Authority) Stamp(checkpoint []byte, at time.Time) []byte {
	a.t.Helper()
	digest := sha256.Sum256(checkpoint)
	s := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Time: at.UTC().Truncate(time.Second), Policy: asn1.ObjectIdentifier{1, 2, 3, 4, 1}, AddTSACertificate: true,
	}
	answer, err := s.CreateResponseWithOpts(a.cert, a.key, crypto.SHA256)
	a.must(err)
	return answer
}
