package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"daybook/sink"
)

// Run serves until ctx ends, then stops: no new request is taken, those under way and a seal have Drain to end. ready is called once it serves, with the address.
func (s *Service) Run(ctx context.Context, ready func(addr net.Addr)) (err error) {
	c := s.config.Load()
	if err := s.preflight(ctx); err != nil {
		return err
	}
	if err := s.started(); err != nil {
		return err
	}
	s.mu.Lock()
	s.begun = s.now()
	s.mu.Unlock()
	reason := "failed"
	defer func() {
		if err == nil {
			reason = "asked to stop"
		}
		err = errors.Join(err, s.stopped(reason))
	}()
	if err := s.refresh(); err != nil {
		return err
	}
	listener, err := s.listen(c)
	if err != nil {
		return err
	}
	local, err := s.listenLocal()
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	// What serves and seals goes on when ctx ends, for as long as draining takes.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, working := errgroup.WithContext(working)
	servers := []*http.Server{s.server(working, s.handler), s.server(working, localHandler(s.handler))}
	for i, l := range []net.Listener{listener, local} {
		group.Go(func() error {
			if err := servers[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	looking, stopLooking := context.WithCancel(working)
	defer stopLooking()
	group.Go(func() error { return s.schedule(looking) })
	group.Go(func() error { return s.tick(looking) })
	group.Go(func() error { return s.watch(looking) })
	s.log.Info("serving", "address", listener.Addr().String(), "store", c.Where, "data", c.Batch.Data)
	if ready != nil {
		ready(listener.Addr())
	}
	select {
	case <-ctx.Done():
	case <-working.Done(): // something failed
	case <-s.standing.Spool().Done():
		s.log.Error("the spool has stopped: nothing more is taken in; starting again finds out what is there", "error", s.standing.Spool().Stopped())
	}
	s.drain(s.config.Load().Drain, servers, stopLooking, stop)
	err = group.Wait()
	if stopped := s.standing.Spool().Stopped(); stopped != nil {
		err = errors.Join(err, stopped)
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return err
}

// preflight refuses a store that can't give what the configuration demands. One that is away is another thing: events are taken in, and days sealed once it is back.
func (s *Service) preflight(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, preflightTime)
	defer cancel()
	err := s.config.Load().Batch.Store.Preflight(ctx)
	if err == nil {
		return nil
	}
	if errors.Is(err, sink.ErrUnfit) {
		return err
	}
	s.log.Warn("the store is away: events are taken in, and days are sealed once it is back", "store", s.config.Load().Where, "error", err)
	_ = s.failed(err) // told by the status
	return nil
}

// preflightTime is how long the start waits for a store that is away.
const preflightTime = 10 * time.Second

// stopped records the stop, and the stop as an event.
func (s *Service) stopped(reason string) error {
	if s.standing.Spool().Stopped() != nil {
		return s.control.Stopped("the spool failed")
	}
	return errors.Join(s.control.Stopped(reason), s.refresh(), s.settleRejects())
}

func (s *Service) drain(limit time.Duration, servers []*http.Server, stopLooking, stop func()) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.log.Info("stopping", "drain", limit.String())
	deadline, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, server := range servers {
		if err := server.Shutdown(deadline); err != nil {
			_ = server.Close() // what did not end in time is cut off; what it had sent is known
		}
	}
	// A seal that is under way goes on for as long as there is time: what it has not done the next start does.
	s.mu.Lock()
	running := !s.sealing.Running.IsZero()
	s.mu.Unlock()
	if running {
		done := make(chan struct{})
		go func() {
			s.standing.Wait()
			close(done)
		}()
		select {
		case <-done:
		case <-deadline.Done():
		}
	}
	stopLooking()
	stop()
}

// leftoverTime is how long what is left of a body may take to come once the request is answered.
const leftoverTime = 5 * time.Second

// unstalled keeps a client that was turned away from holding its connection by sending its body for ever: the server reads on for a while after the answer.
func unstalled(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(leftoverTime)) }() // HTTP/2 has none, and needs none
		h.ServeHTTP(w, r)
	})
}

func (s *Service) server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: unstalled(h), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

func (s *Service) listen(c *Config) (net.Listener, error) {
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, &sink.HintError{Err: fmt.Errorf("listen: %w", err), Hint: "write another address in service.listen, or stop what has it"}
	}
	if c.Certificate == "" {
		return l, nil
	}
	settings, err := s.tlsSettings(c)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return tls.NewListener(l, settings), nil
}
