package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A probe asks a service for something twenty times a second, as monitoring would: it is a process of its own, so that it does not wait for who sends events.
type probe struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   chan probed
}

// probed is how long each answer took, in seconds.
type probed struct {
	times []float64
	err   error
}

const probeToken = "BENCH_TOKEN"

// probe begins to ask for a path.
func (d *daybookServer) probe(ctx context.Context, path string) (*probe, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &probe{cmd: exec.CommandContext(ctx, self, "child-probe", "https://"+d.address+path, filepath.Join(d.dir, "cert.pem")), out: make(chan probed, 1)}
	p.cmd.Env = append(os.Environ(), probeToken+"="+d.admin)
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		var told probed
		told.err = json.NewDecoder(stdout).Decode(&told.times)
		if err := p.cmd.Wait(); err != nil {
			told.err = err // it told why
		}
		p.out <- told
	}()
	return p, nil
}

// stop ends it, and returns the time that nearly all answers took.
func (p *probe) stop() (p99 float64, err error) {
	if err := p.stdin.Close(); err != nil {
		return 0, err
	}
	told := <-p.out
	if told.err == nil && len(told.times) == 0 {
		told.err = errors.New("nothing was answered")
	}
	if told.err != nil {
		return 0, fmt.Errorf("probe: %w", told.err)
	}
	return percentile(told.times, 99), nil
}

func probeChild(ctx context.Context, url, cert string) error {
	trusted, err := os.ReadFile(cert)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is closed
		stop()
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	times := []float64{}
	for ctx.Err() == nil {
		began := time.Now()
		if err := probeOnce(ctx, client, url); ctx.Err() != nil {
			break // it was broken off
		} else if err != nil {
			return err
		}
		times = append(times, time.Since(began).Seconds())
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return json.NewEncoder(os.Stdout).Encode(times)
}

func probeOnce(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv(probeToken))
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
