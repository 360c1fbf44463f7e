package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// socketName is the name of the socket in the data folder, by which commands on this machine reach the service. Who can open it has the data folder in hand.
const socketName = "daybook.sock"

// maxSocketPath is how long the path of a socket may be: the shortest limit there is (macOS) less the final zero.
const maxSocketPath = 103

// shortPath calls use with a path of the folder that is short enough for a socket in it.
func shortPath(dir string, use func(dir string) error) error {
	dir, err := filepath.Abs(dir)
	if err != nil || len(dir)+1+len(socketName) <= maxSocketPath {
		return errors.Join(err, use(dir))
	}
	temp, err := os.MkdirTemp("", "daybook-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }() // a link, of no use any more
	link := filepath.Join(temp, "d")
	if err := os.Symlink(dir, link); err != nil {
		return err
	}
	return use(link)
}

func (s *Service) listenLocal() (l net.Listener, err error) {
	dir := s.config.Load().Batch.Data
	// What lies there was left by a process that died: the data folder's lock is ours.
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("local socket: %w", err)
	}
	err = shortPath(dir, func(dir string) error {
		path := filepath.Join(dir, socketName)
		u, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		u.SetUnlinkOnClose(false) // the path may be gone by then; it is removed by its own name
		l = &localListener{u, filepath.Join(s.config.Load().Batch.Data, socketName)}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("local socket: %w", err)
	}
	return l, nil
}

type localListener struct {
	net.Listener
	path string
}

func (l *localListener) Close() error {
	err := l.Listener.Close()
	if removeErr := os.Remove(l.path); err == nil && !errors.Is(removeErr, os.ErrNotExist) {
		err = removeErr
	}
	return err
}

// ErrNotRunning says that no service is at work with a data folder.
var ErrNotRunning = errors.New("no daybook serve is at work with this data folder")

// DialLocal returns a client of the service that is at work with a data folder on this machine; ErrNotRunning if none is.
func DialLocal(dir string) (*http.Client, error) {
	dial := func(ctx context.Context) (conn net.Conn, err error) {
		err = shortPath(dir, func(dir string) error {
			var d net.Dialer
			conn, err = d.DialContext(ctx, "unix", filepath.Join(dir, socketName))
			return err
		})
		return conn, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	_ = conn.Close() // it was to see whether somebody answers
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}}, nil
}

// InProcess returns a client of a service that does not run, for commands about a data folder that nobody holds. Close the service after use.
func (s *Service) InProcess() *http.Client {
	return &http.Client{Transport: inProcess{localHandler(s.handler)}}
}

type localKey struct{}

// localHandler marks requests that came from this machine, from somebody who has the data folder in hand.
func localHandler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, true)))
	})
}

func isLocal(r *http.Request) bool { return r.Context().Value(localKey{}) != nil }

// Used reports whether a data folder is, or was, a service's: in one that only import and roll have worked with, nobody has switched a trail on.
func Used(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "control"))
	return err == nil
}
