package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"daybook/batch/anchor"
	"daybook/config"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/s3"
)

// openAnchors makes the anchors that the configuration names. None of them is asked anything yet.
func openAnchors(c *config.Config, log *slog.Logger) ([]anchor.Anchor, error) {
	var list []anchor.Anchor
	enterprise := c.Formats.Syslog.Enterprise
	for i := range c.Anchors {
		a, err := openAnchor(&c.Anchors[i], enterprise, log)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func openAnchor(a *config.Anchor, enterprise uint32, log *slog.Logger) (anchor.Anchor, error) {
	kind, where := a.Place()
	var roots *x509.CertPool
	if a.CAFile != "" && kind != config.AnchorStore {
		var err error
		if roots, err = loadRoots(a.CAFile); err != nil {
			return nil, fmt.Errorf("anchor %s (%s): %w", a.Name, kind, err)
		}
	}
	switch kind {
	case config.AnchorStore:
		store, err := openAnchorStore(a, log)
		if err != nil {
			return nil, fmt.Errorf("anchor %s (%s): %w", a.Name, kind, err)
		}
		return store, nil
	case config.AnchorSyslog:
		return anchor.NewSyslog(a.Name, where, &anchor.Options{RootCAs: roots, Enterprise: enterprise})
	case config.AnchorTimestamp:
		return anchor.NewTimestamp(a.Name, where, roots, nil)
	default:
		return anchor.NewWitness(a.Name, where, a.Key, &anchor.Options{RootCAs: roots})
	}
}

func openAnchorStore(a *config.Anchor, log *slog.Logger) (anchor.Anchor, error) {
	mode, err := sink.ParseMode(a.Mode)
	if err != nil {
		return nil, err
	}
	lock := func() sink.Lock {
		if mode == sink.None {
			return sink.Lock{}
		}
		return sink.Lock{Mode: mode, RetainUntil: time.Now().Add(a.Retain.Std()).UTC().Truncate(time.Second).Add(time.Second)}
	}
	if !isS3(a.Store) {
		store, err := file.New(folderOf(a.Store), &file.Options{Log: log})
		if err != nil {
			return nil, err
		}
		return anchor.NewStore(a.Name, store, lock, nil), nil
	}
	store, err := s3.New(a.Store, &s3.Options{
		Mode: mode, Unlocked: mode == sink.None, Endpoint: a.Endpoint, Region: a.Region, PathStyle: a.PathStyle, CAFile: a.CAFile, Profile: a.Profile, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return anchor.NewStore(a.Name, store, lock, nil), nil
}

var errNoCertificates = errors.New("holds no certificate (PEM)")

// loadRoots reads certificate authorities from a PEM file.
func loadRoots(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: %w", path, errNoCertificates)
	}
	return pool, nil
}
