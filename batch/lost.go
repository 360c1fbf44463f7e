package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/sink"
)

// The data folder remembers which spool is its own, and begins no other in its place: an empty spool would know nothing of the events that were acknowledged and not
// sealed, and all would look well. The spool is the one file system that may be mounted on its own, and may be lost on its own. Files beside it, frozen:
//
//	spool.id      the ID of the spool, or noSpool; one line
//	spool.lost    the spools that were given up, as a list of Loss in JSON; for people to remove
//
// A folder of before there were IDs has no spool.id. It has had a spool if anything is there that was written only once there was one.
const (
	spoolIDFile   = "spool.id"
	spoolLostFile = "spool.lost"
	// noSpool stands for the ID where the spool was given up, and no other was begun yet.
	noSpool = "none"
)

// ErrSpoolLost says that the data folder's spool is not there, or is another.
var ErrSpoolLost = errors.New("the spool that this data folder had is not there")

// Loss is a spool that was given up: what was acknowledged, and not sealed by then, is gone.
type Loss struct {
	// Spool is its ID; blank if it had none.
	Spool string    `json:"spool,omitempty"`
	At    time.Time `json:"at"`
}

// spoolID returns the ID of the folder's spool, as far as it is known, and whether there was a spool.
func (s *state) spoolID() (id string, had bool, err error) {
	data, err := os.ReadFile(s.path(spoolIDFile))
	if err == nil {
		id = strings.TrimSuffix(string(data), "\n")
		if id == "" {
			return "", false, fmt.Errorf("data folder: %s is empty", s.path(spoolIDFile))
		}
		return strings.TrimPrefix(id, noSpool), id != noSpool, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("data folder: %w", err)
	}
	for _, later := range []string{"enabled.json", "control"} {
		_, err := os.Stat(s.path(later))
		if err == nil {
			return "", true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", false, fmt.Errorf("data folder: %w", err)
		}
	}
	return "", false, nil
}

// openSpool opens the folder's spool, and makes it if there never was one, or it was given up. A crash after it was made and before its ID is written here leaves one
// that the next call takes for the folder's.
func (s *state) openSpool(o spool.Options) (*spool.Store, error) {
	id, had, err := s.spoolID()
	if err != nil {
		return nil, err
	}
	dir := s.path("spool")
	o.ID, o.MustExist = id, had
	store, err := spool.Open(dir, &o)
	if errors.Is(err, spool.ErrAbsent) || errors.Is(err, spool.ErrOther) {
		return nil, spoolLost(s.dir, err)
	}
	if err != nil {
		return nil, err
	}
	if store.ID() != id {
		if err := WriteFile(s.path(spoolIDFile), []byte(store.ID()+"\n")); err != nil {
			return nil, errors.Join(fmt.Errorf("data folder: %w", err), store.Close())
		}
	}
	return store, nil
}

func spoolLost(data string, err error) error {
	what, first := "its volume is not mounted, or the folder was moved, emptied or lost, and with it the events that were acknowledged and are not sealed", ""
	if errors.Is(err, spool.ErrOther) {
		what, first = "another volume is mounted, or the folder was put in its place; events that were acknowledged and are not sealed may be in the right one", "move away what is there, and then "
	}
	return &sink.HintError{
		Err: fmt.Errorf("%w: %w: %s", ErrSpoolLost, err, what),
		Hint: fmt.Sprintf("mount or put back the spool, and start again; or move %s away and restore the last backup in its place (`daybook restore`); if it is lost for good, "+
			"%s`daybook give-up-spool` goes on with an empty one, and has the seals declare what may be missing", data, first),
	}
}

// losses lists the spools that were given up, for as long as nobody has removed the file.
func (s *state) losses() ([]Loss, error) {
	data, err := os.ReadFile(s.path(spoolLostFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []Loss
	if err == nil {
		err = json.Unmarshal(data, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("data folder: %s: %w", s.path(spoolLostFile), err)
	}
	return list, nil
}

// reason is that of the gap.
func (l Loss) reason() string {
	return fmt.Sprintf("the spool was given up as lost at %s: events that were acknowledged and not sealed are gone", l.At.Format(time.RFC3339))
}

// Gap says that events from then on, and until the spool was given up, may be missing.
func (l Loss) Gap(from time.Time) seal.Gap { return seal.Gap{From: from, To: l.At, Reason: l.reason()} }

// withLosses adds to gaps the parts of [from, to) in which events may be missing because a spool was given up, and of which none of them tells.
func withLosses(told []seal.Gap, losses []Loss, from, to time.Time) []seal.Gap {
	told = slices.Clone(told)
	for _, l := range losses {
		slices.SortFunc(told, func(a, b seal.Gap) int { return a.From.Compare(b.From) })
		gap, parts := l.Gap(from), []seal.Gap(nil)
		if gap.To.After(to) {
			gap.To = to
		}
		for _, g := range told {
			if part := gap; g.From.Before(gap.To) {
				part.To = g.From
				parts = append(parts, part)
				if g.To.After(gap.From) {
					gap.From = g.To
				}
			}
		}
		parts = append(parts, gap)
		told = append(told, slices.DeleteFunc(parts, func(g seal.Gap) bool { return !g.From.Before(g.To) })...)
	}
	return told
}

// Losses lists the spools that were given up, for as long as the file that says so is in the data folder.
func (s *Standing) Losses() ([]Loss, error) { return s.state.losses() }

// GiveUpSpool has the data folder go on without its spool, which must not be there: the next that opens it begins an empty one. That the spool is lost is written down
// first, so that a crash leaves either a spool that is still asked for, or a loss that is told.
func GiveUpSpool(data string, now time.Time) (loss Loss, err error) {
	if _, err := os.Stat(data); err != nil {
		return loss, fmt.Errorf("data folder: %w", err)
	}
	s, err := openState(data)
	if err != nil {
		return loss, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	id, had, err := s.spoolID()
	if err != nil {
		return loss, err
	}
	if !had {
		return loss, fmt.Errorf("data folder %s: there is no spool to give up: it never had one, or it was given up", data)
	}
	switch err := spool.Look(s.path("spool")); {
	case err == nil:
		return loss, &sink.HintError{
			Err:  fmt.Errorf("there is a spool in %s: only one that is gone can be given up", s.path("spool")),
			Hint: "if it can't be used, move it away, and keep it: it may hold events that were acknowledged and are in no seal",
		}
	case !errors.Is(err, spool.ErrAbsent):
		return loss, err
	}
	loss = Loss{Spool: id, At: now.UTC().Truncate(time.Second)}
	list, err := s.losses()
	if err != nil {
		return loss, err
	}
	text, err := json.MarshalIndent(append(list, loss), "", "  ")
	if err == nil {
		err = WriteFile(s.path(spoolLostFile), append(text, '\n'))
	}
	if err == nil {
		err = WriteFile(s.path(spoolIDFile), []byte(noSpool+"\n"))
	}
	if err != nil {
		return loss, fmt.Errorf("data folder: %w", err)
	}
	return loss, nil
}
