package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetStreamChild serves JetStream from a folder, with cert.pem and key.pem of it, until it is told to stop. Every message is on stable storage before it is
// acknowledged.
func jetStreamChild(ctx context.Context, dir string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "jetstream"), SyncAlways: true, MaxPayload: 8 << 20, NoSigs: true,
		TLS: true, TLSTimeout: 5, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, TLSHandshakeFirst: true,
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return errors.New("JetStream did not start")
	}
	if _, err := fmt.Fprintln(os.Stdout, "serving at", s.Addr()); err != nil {
		return err
	}
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// jetStream is a server with one stream, and connections to it.
type jetStream struct {
	*process
	connections []*nats.Conn
	streams     []jetstream.JetStream
}

// newJetStream starts JetStream in a folder that is new.
func (o *options) newJetStream(ctx context.Context, dir string, connections int) (j *jetStream, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	settings, err := makeCertificate(dir)
	if err != nil {
		return nil, err
	}
	p, err := o.startServer(ctx, dir, o.self, "child-jetstream", dir)
	if err != nil {
		return nil, err
	}
	j = &jetStream{process: p}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.close())
		}
	}()
	for range connections {
		c, err := nats.Connect("tls://"+j.address, nats.Secure(settings), nats.TLSHandshakeFirst())
		if err != nil {
			return nil, err
		}
		j.connections = append(j.connections, c)
		s, err := jetstream.New(c)
		if err != nil {
			return nil, err
		}
		j.streams = append(j.streams, s)
	}
	_, err = j.streams[0].CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events"}, Storage: jetstream.FileStorage})
	return j, err
}

// publish sends a message over a connection, and waits until it is kept.
func (j *jetStream) publish(ctx context.Context, connection int, body []byte) error {
	_, err := j.streams[connection].Publish(ctx, "events", body)
	return err
}

func (j *jetStream) close() error {
	for _, c := range j.connections {
		c.Close()
	}
	return j.stop(syscall.SIGTERM)
}
