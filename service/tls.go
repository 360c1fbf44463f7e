package service

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// keypair is the server's certificate, read again when its file has changed. One that can't be read leaves the one that was.
type keypair struct {
	cert, key string

	mu       sync.Mutex
	loaded   *tls.Certificate
	modified time.Time
	looked   time.Time
}

// lookEvery is how often the file is looked at.
const lookEvery = time.Second

func (k *keypair) get() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); k.loaded != nil && now.Sub(k.looked) < lookEvery {
		return k.loaded, nil
	}
	k.looked = time.Now()
	modified, err := newest(k.cert, k.key)
	if err == nil && k.loaded != nil && modified.Equal(k.modified) {
		return k.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(k.cert, k.key)
	}
	if err != nil {
		if k.loaded != nil {
			return k.loaded, nil // it is being replaced
		}
		return nil, fmt.Errorf("certificate: %w", err)
	}
	k.loaded, k.modified = &pair, modified
	return k.loaded, nil
}

func newest(paths ...string) (time.Time, error) {
	var at time.Time
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return at, err
		}
		if info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at, nil
}

// tlsSettings are those of the server. Clients may show a certificate; if they do, it must be one that ClientCA vouches for.
func (s *Service) tlsSettings(c *Config) (*tls.Config, error) {
	pair := &keypair{cert: c.Certificate, key: c.Key}
	if _, err := pair.get(); err != nil {
		return nil, err
	}
	s.certificate.Store(pair)
	settings := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() },
	}
	if c.ClientCA == "" {
		return settings, nil
	}
	data, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("client certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("client certificates: %s holds no certificate", c.ClientCA)
	}
	settings.ClientCAs, settings.ClientAuth = pool, tls.VerifyClientCertIfGiven
	return settings, nil
}

// fromHere reports whether a request came from this machine, and not through a proxy on it.
func fromHere(r *http.Request) bool {
	if isLocal(r) {
		return true
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
