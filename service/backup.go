package service

import (
	"fmt"
	"net/http"

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
	if err := s.standing.Backup(r.Context(), w); err != nil {
		s.log.Error("a backup broke off", "error", err)
		panic(http.ErrAbortHandler) // the client notices
	}
	s.log.Info("made a backup")
}
