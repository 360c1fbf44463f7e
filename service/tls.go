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

// followed is what files hold, read again when one of them has changed. What can't be read then leaves what was.
type followed[T any] struct {
	load  func() (T, error)
	paths []string

	mu       sync.Mutex
	loaded   T
	there    bool // something is loaded
	modified time.Time
	looked   time.Time
}

// lookEvery is how often the files are looked at.
const lookEvery = time.Second

func (f *followed[T]) get() (T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.there && now.Sub(f.looked) < lookEvery {
		return f.loaded, nil
	}
	f.looked = now
	modified, err := newest(f.paths...)
	if err == nil && f.there && modified.Equal(f.modified) {
		return f.loaded, nil
	}
	var found T
	if err == nil {
		found, err = f.load()
	}
	if err == nil {
		f.loaded, f.there, f.modified = found, true, modified
	} else if f.there {
		err = nil // it is being replaced
	}
	return f.loaded, err
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
	pair := &followed[*tls.Certificate]{paths: []string{c.Certificate, c.Key}, load: func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
		return &pair, err
	}}
	if _, err := pair.get(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	s.certificate.Store(pair)
	settings := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get() },
	}
	if c.ClientCA == "" {
		return settings, nil
	}
	authorities := &followed[*x509.CertPool]{paths: []string{c.ClientCA}, load: func() (*x509.CertPool, error) { return readAuthorities(c.ClientCA) }}
	if _, err := authorities.get(); err != nil {
		return nil, fmt.Errorf("client certificates: %w", err)
	}
	settings.ClientAuth = tls.VerifyClientCertIfGiven
	whole := settings.Clone()
	whole.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := settings.Clone()
		var err error
		now.ClientCAs, err = authorities.get()
		return now, err
	}
	return whole, nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
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
