package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/event"
	"daybook/sink"
)

// Verified is what came of the last verification of the store.
type Verified struct {
	At time.Time `json:"at"`
	// From is the first day whose files were read; the chain and the log were checked from their beginning.
	From seal.Date `json:"from"`
	// ExitCode is as daybook verify would end: 0 verified, 1 altered, 2 not all is there yet, 3 something could not be read. Error says why nothing could be.
	ExitCode int    `json:"exit_code"`
	Error    string `json:"error,omitempty"`
	// Findings are the first of those that the exit code comes from.
	Findings []verify.Finding `json:"findings,omitempty"`
}

const (
	// maxVerifyRuns is how often the store is verified again because days were sealed meanwhile: files that no seal has yet look like somebody else's.
	maxVerifyRuns = 3
	maxFindings   = 20
)

// writes is what of this process writes to the store: operations that were asked for, and rolls and orders at work, which go on with more.
type writes struct{ operations, atWork atomic.Int64 }

func (w *writes) begin() { w.atWork.Add(1) }
func (w *writes) end()   { w.atWork.Add(-1) }

// watch returns a function that reports whether nothing has been written since, nor is being.
func (w *writes) watch() (quiet func() bool) {
	before := w.operations.Load()
	busy := w.atWork.Load() > 0
	return func() bool { return !busy && w.atWork.Load() == 0 && w.operations.Load() == before }
}

func (s *Service) verifiedPath() string {
	return filepath.Join(s.config.Load().Batch.Data, "verified.json")
}

// Verify reads back what was sealed lately, for as long as the spool still has the events, and checks the chain and the log from their beginning: that a store has taken an
// object is no proof that it keeps it.
func (s *Service) Verify(ctx context.Context) (*Verified, error) {
	c := s.config.Load()
	v := &Verified{At: s.now().UTC(), From: seal.Date{Day: event.DayOf(s.now().Add(-c.Keep))}}
	for range maxVerifyRuns {
		quiet := s.writes.watch()
		report, err := verify.Run(ctx, c.Batch.Store, &verify.Options{
			Keys: s.publicKeys(), From: v.From.Day, To: event.DayOf(s.now()), Workers: 1, Now: s.now, TempDir: filepath.Join(c.Batch.Data, "runs"),
			Alone: func() bool { return quiet() && !s.sealingFails() }, // a roll that failed has left files without a seal
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v.ExitCode, v.Error, v.Findings = 3, "", nil
		if err != nil {
			v.Error = err.Error()
		} else {
			v.ExitCode = report.ExitCode()
			for _, f := range report.Findings {
				if f.Status != verify.Note && f.Status != verify.Absent && len(v.Findings) < maxFindings {
					v.Findings = append(v.Findings, f)
				}
			}
		}
		if quiet() || v.ExitCode == 0 {
			break
		}
	}
	level := s.log.Info
	if v.ExitCode != 0 {
		level = s.log.Error
	}
	level("verified what was sealed lately", "from", v.From.String(), "exit_code", v.ExitCode, "error", v.Error, "findings", len(v.Findings))
	data, err := json.Marshal(v)
	if err == nil {
		err = batch.WriteFile(s.verifiedPath(), data)
	}
	if err != nil {
		return v, fmt.Errorf("verified: %w", err)
	}
	return v, nil
}

func (s *Service) sealingFails() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealing.Error != ""
}

func (s *Service) publicKeys() []seal.PublicKey {
	if key := s.config.Load().Batch.Key; key != nil {
		return []seal.PublicKey{key.Public()}
	}
	return nil
}

// verified returns what came of the last verification; nil if there was none.
func (s *Service) verified() (*Verified, error) {
	data, err := os.ReadFile(s.verifiedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	v := &Verified{}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return nil, &sink.HintError{Err: fmt.Errorf("%s: %w", s.verifiedPath(), err), Hint: "if the disk is well and the file may be read, remove it: it holds what the last verification found, and the next writes it anew"}
	}
	return v, nil
}

// tellVerified tells what the last verification found.
func (st *Status) tellVerified() {
	v := st.Verified
	switch {
	case v == nil || v.ExitCode == 0:
	case v.ExitCode == 1:
		what := ""
		if len(v.Findings) > 0 {
			what = ": " + v.Findings[0].String()
		}
		st.problem(LevelAlert, "store-altered", "", "run `daybook verify` for all that it finds", "the store is not as it was sealed, as was found at %s%s", v.At.Format(time.RFC3339), what)
	default:
		what := v.Error
		if what == "" && len(v.Findings) > 0 {
			what = v.Findings[0].String()
		}
		st.problem(LevelWarning, "store-unread", "", "verifying takes the right to list the store and to read its objects' versions; what is being sealed is verified the next time", "what was sealed could not all be verified at %s: %s", v.At.Format(time.RFC3339), what)
	}
}
