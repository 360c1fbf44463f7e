package soak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// proxy is a toxiproxy in front of a server.
type proxy struct {
	endpoint string // host:port
	upstream string // the server's
	api      string
	client   *http.Client
	made     bool // it is in toxiproxy
}

// proxyName is what toxiproxy calls the one proxy there is.
const proxyName = "store"

func startProxy(t *testing.T, upstream string, seed uint64) *proxy {
	t.Helper()
	var err error
	for range 8 { // another process may take a port before toxiproxy does
		p := &proxy{endpoint: freePort(t), upstream: upstream, client: &http.Client{Timeout: 20 * time.Second}}
		api := freePort(t)
		p.api = "http://" + api
		if err = p.run(t, api, seed); err != nil {
			continue
		}
		if err = p.set(); err == nil {
			return p
		}
	}
	t.Fatalf("toxiproxy: %v", err)
	return nil
}

// freePort returns an address on a port below the range from which systems take the ports of outgoing connections.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		if l, err := net.Listen("tcp", address); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

func (p *proxy) run(t *testing.T, api string, seed uint64) error {
	host, port, err := net.SplitHostPort(api)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "toxiproxy.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(os.Getenv(envToxiproxy), "-host", host, "-port", port, "-seed", strconv.FormatUint(seed>>1, 10))
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("end of the log of toxiproxy:\n%s", text[max(0, len(text)-4000):])
		}
	})
	ask := time.NewTicker(20 * time.Millisecond) // it does not tell when it is ready
	defer ask.Stop()
	for range 1000 {
		if err = p.call(http.MethodGet, "/version", nil); err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended before it was ready")
		case <-ask.C:
		}
	}
	return err
}

func (p *proxy) call(method, path string, in any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, p.api+path, body)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, data)
	}
	return err
}

// toxic is a fault of the network.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Toxicity   float64        `json:"toxicity"`
	Attributes map[string]int `json:"attributes"`
}

// cut closes the way to the server: every connection is cut, and none can be made.
func (p *proxy) cut() error {
	return p.call(http.MethodPost, "/proxies/"+proxyName, map[string]any{"enabled": false})
}

// set cuts every connection, and disturbs those that are made from now on, or lets them be where no toxic is given. The proxy is made anew, with the toxics, before it listens: to
// change the toxics of connections that are in use hangs toxiproxy for half a minute (2.5.0 and 2.12.0, whose link.go is the same; 12 connections are enough), and was answered with the end of the connection once.
func (p *proxy) set(toxics ...toxic) error {
	if p.made {
		if err := p.call(http.MethodDelete, "/proxies/"+proxyName, nil); err != nil {
			return err
		}
	}
	if err := p.call(http.MethodPost, "/proxies", map[string]any{"name": proxyName, "listen": p.endpoint, "upstream": p.upstream, "enabled": false}); err != nil {
		return err
	}
	p.made = true
	for n, x := range toxics {
		x.Name = fmt.Sprintf("toxic-%d", n)
		if err := p.call(http.MethodPost, "/proxies/"+proxyName+"/toxics", x); err != nil {
			return err
		}
	}
	return p.call(http.MethodPost, "/proxies/"+proxyName, map[string]any{"enabled": true})
}
