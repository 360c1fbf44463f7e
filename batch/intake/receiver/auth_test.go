package receiver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"daybook/batch/intake/receiver"
)

func TestTokens(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	for _, test := range []struct {
		header string
		code   int
		part   string
		mark   string // of WWW-Authenticate
	}{
		{"Bearer good", 200, "", ""},
		{"Bearer bad", 401, "not known", `error="invalid_token"`},
		{"Bearer ", 401, "and a token", `error="invalid_request"`},
		{"Basic Z29vZDpnb29k", 401, "must be: Bearer", `error="invalid_request"`},
		{"good", 401, "must be: Bearer", `error="invalid_request"`},
		{"Bearer " + strings.Repeat("x", 5000), 401, "must be: Bearer", `error="invalid_request"`},
		{"Bearer expired", 403, "expired", ""},
		{"Bearer revoked", 403, "revoked", ""},
		{"Bearer admin", 403, "may not send events", ""},
		{"Bearer ledger", 503, "can't be checked", ""},
	} {
		got := w.sendText(line("a"), "Authorization: "+test.header)
		accepted := int64(0)
		if test.code == 200 {
			accepted = 1
		}
		got.is(t, test.code, [4]int64{accepted}, test.part)
		if mark := got.header.Get("WWW-Authenticate"); (mark != "") != (test.code == 401) || !strings.Contains(mark, test.mark) {
			t.Errorf("%q: WWW-Authenticate %q", test.header, mark)
		}
		if strings.Contains(got.text, errLedger.Error()) {
			t.Errorf("the answer tells what is inside: %s", got.text)
		}
	}
	for header, part := range map[string][]string{"there is no credential": nil, "given twice": {"Bearer good", "Bearer good"}} {
		r, err := http.NewRequest(http.MethodPost, w.server.URL, strings.NewReader(line("a")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = part
		got, err := do(w.server.Client(), r)
		if err != nil {
			t.Fatal(err)
		}
		got.is(t, 401, [4]int64{}, header)
		if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), `Bearer realm="daybook"`) {
			t.Errorf("header %v", got.header)
		}
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) client(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestClientCertificates(t *testing.T) {
	w := newWorld(t, receiver.Options{})
	ours, theirs := newAuthority(t), newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	for name, test := range map[string]struct {
		verify tls.ClientAuthType
		certs  []tls.Certificate
		token  string
		code   int // 0: no connection
		sender string
		http2  bool
	}{
		"ours":                  {tls.VerifyClientCertIfGiven, []tls.Certificate{ours.client(t, "billing.example")}, "", 200, "billing.example", false},
		"ours, HTTP/2":          {tls.VerifyClientCertIfGiven, []tls.Certificate{ours.client(t, "billing.example")}, "", 200, "billing.example", true},
		"ours, and a token":     {tls.VerifyClientCertIfGiven, []tls.Certificate{ours.client(t, "billing.example")}, "other", 200, "other", false},
		"ours, and a bad token": {tls.VerifyClientCertIfGiven, []tls.Certificate{ours.client(t, "billing.example")}, "bad", 401, "", false},
		"ours, not known":       {tls.VerifyClientCertIfGiven, []tls.Certificate{ours.client(t, "crm.example")}, "", 401, "", false},
		"none":                  {tls.VerifyClientCertIfGiven, nil, "", 401, "", false},
		"theirs":                {tls.VerifyClientCertIfGiven, []tls.Certificate{theirs.client(t, "billing.example")}, "", 0, "", false},
		"theirs, not verified":  {tls.RequestClientCert, []tls.Certificate{theirs.client(t, "billing.example")}, "", 401, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(w.handler)
			server.EnableHTTP2 = test.http2
			server.TLS = &tls.Config{ClientAuth: test.verify, ClientCAs: pool}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.StartTLS()
			defer server.Close()
			client := server.Client()
			client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if test.certs == nil {
					return &tls.Certificate{}, nil
				}
				return &test.certs[0], nil
			}
			r, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(line("a")))
			if err != nil {
				t.Fatal(err)
			}
			if test.token != "" {
				r.Header.Set("Authorization", "Bearer "+test.token)
			}
			got, err := do(client, r)
			if test.code == 0 {
				if err == nil {
					t.Errorf("let in: %s", got.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.code != test.code {
				t.Errorf("%d %s", got.code, got.text)
			}
			if seen := w.seen(); seen.Sender.ID != test.sender {
				t.Errorf("sent by %q", seen.Sender.ID)
			}
		})
	}
}
