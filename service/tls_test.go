package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/service"
)

// authority vouches for the certificates of clients.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign(template, nil)
	return a
}

// sign makes a certificate with a new key; without a parent it is the authority's own.
func (a *authority) sign(template, parent *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// client is a certificate of that name.
func (a *authority) client(name string) tls.Certificate {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, a.cert)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// write puts the authority's certificate in the place of what is at path.
func (a *authority) write(path string) {
	a.t.Helper()
	write(a.t, path+".new", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
}

// Authorities that vouch for clients are read again when their file changes: one that was taken out vouches for nobody any more, in a session that is resumed neither.
func TestClientAuthoritiesAreReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, clients := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "clients.pem")
	certify(t, cert, key, time.Now().Add(time.Hour))
	served, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(served)
	w := newWorld(t, func(c *service.Config) {
		c.Certificate, c.Key, c.ClientCA = cert, key, clients
		c.Senders = []service.CertificateSender{{Certificate: "gateway", Org: "acme", Source: "gateway"}}
	})
	w.people()
	first, second := newAuthority(t), newAuthority(t)
	first.write(clients)
	address, stop := w.serve()
	send := func(client *tls.Config) int {
		transport := &http.Transport{TLSClientConfig: client, DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Post("https://"+address+"/v1/events", "application/x-ndjson", strings.NewReader(event("e1", w.clock.now())))
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	of := func(a *authority) *tls.Config {
		return &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{a.client("gateway")}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	}
	ours, theirs := of(first), of(second)
	if code := send(ours); code != http.StatusOK {
		t.Fatalf("a sender with a good certificate: %d", code)
	}
	if code := send(theirs); code != 0 {
		t.Fatalf("a sender whose certificate nobody vouches for: %d", code)
	}
	second.write(clients)
	eventually(t, "the new authority vouches", func() bool { return send(theirs) == http.StatusOK })
	if code := send(ours); code != 0 {
		t.Errorf("a sender of an authority that was taken out: %d", code)
	}
	write(t, clients, "nonsense")
	for began := time.Now(); time.Since(began) < 1200*time.Millisecond; { // the file is looked at once a second
		if code := send(theirs); code != http.StatusOK {
			t.Fatalf("while the file is being replaced: %d", code)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
