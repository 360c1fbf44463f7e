package service

import (
	"fmt"
	"net/http"
	"time"

	"daybook/batch/control"
	"daybook/sink"
)

// backup answers with a backup, as it is made. One that breaks off lacks its end, which restore notices.
func (s *Service) backup(w http.ResponseWriter, r *http.Request) {
	if !isLocal(r) {
		s.administer(func(*http.Request, control.Actor) (any, error) {
			return nil, &sink.HintError{Err: fmt.Errorf("a backup holds events of every org: %w", control.ErrDenied), Hint: "run `daybook backup` on the machine of the service"}
		}, maxRequest)(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/zstd")
	w.Header().Set("Cache-Control", "no-store")
	if err := s.standing.Backup(r.Context(), &patient{w, http.NewResponseController(w)}); err != nil {
		s.log.Error("a backup broke off", "error", err)
		panic(http.ErrAbortHandler) // the client notices
	}
	s.log.Info("made a backup")
}

// patience is how long whoever reads a backup may make no progress: a seal waits for it.
const patience = time.Minute

// patient writes as long as somebody reads.
type patient struct {
	w    http.ResponseWriter
	conn *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience)) // in this process there is no connection, and none is needed
	return p.w.Write(b)
}
