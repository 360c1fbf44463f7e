package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
)

// Damage is what of a day could not be read from the spool any more when the day was sealed. The rest of the day is in the seal.
type Damage struct {
	Trail      string    `json:"trail"`
	Day        seal.Date `json:"day"`
	Generation uint32    `json:"generation"`
	// Events is how many there were.
	Events int64 `json:"events"`
	// Gap is the time that they are of, as far as that is known; at most the whole day.
	Gap seal.Gap `json:"gap"`
	// Files are copies of the damaged files, beside this.
	Files []string  `json:"files"`
	Found time.Time `json:"found"`
}

// damageDir is where damaged files of the spool are copied to, with a Damage for each generation. It is for people to look at, and stays until they remove it.
func (s *state) damageDir() string { return s.path("quarantine", "spool") }

// declareDamage puts away what is damaged of a generation, and says what is missing of it, before the day is sealed without it. It may be called again.
func (r *Roller) declareDamage(trail string, day event.Day, of *spooled) error {
	if of.salvaged == nil || of.salvaged.Events == 0 {
		return nil
	}
	of.Damaged = of.salvaged.Events
	files, err := r.spool.QuarantineDamage(r.state.damageDir())
	if err != nil {
		return err
	}
	d := Damage{Trail: trail, Day: seal.Date{Day: day}, Generation: of.Generation, Events: of.Damaged, Files: files, Found: r.Now().UTC()}
	d.Gap = gapOf(day, of.salvaged)
	d.Gap.Reason = fmt.Sprintf("%d events (generation %d) could not be read from the spool any more", d.Events, d.Generation)
	data, err := json.Marshal(d)
	if err == nil {
		err = WriteFile(filepath.Join(r.state.damageDir(), fmt.Sprintf("%08d.json", of.Generation)), data)
	}
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	r.Log.Error("events could not be read from the spool any more: the day is sealed without them, and declares it", "trail", trail, "day", day.String(), "events", d.Events,
		"from", d.Gap.From, "to", d.Gap.To, "copies", r.state.damageDir())
	return r.OnDamage(d)
}

// gapOf returns the time that what is missing is of: from the event before it to that after it, or the day where these are not of one class, or not of the day.
func gapOf(day event.Day, d *spool.Damage) seal.Gap {
	whole := seal.Gap{From: day.Start(), To: day.End()}
	if len(d.Ranges) == 0 {
		return whole
	}
	var gap seal.Gap
	for _, r := range d.Ranges {
		from, to := r.After, r.Before.Add(time.Microsecond)
		if r.After.IsZero() || r.Before.IsZero() || r.AfterClass != r.BeforeClass || from.Before(whole.From) || to.After(whole.To) {
			return whole
		}
		if gap.From.IsZero() || from.Before(gap.From) {
			gap.From = from
		}
		if to.After(gap.To) {
			gap.To = to
		}
	}
	return gap
}

// Damages lists the damage that was met, for as long as its files are in quarantine.
func (s *Standing) Damages() ([]Damage, error) {
	names, err := fs.Glob(os.DirFS(s.state.damageDir()), "*.json")
	if err != nil {
		return nil, err
	}
	var list []Damage
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(s.state.damageDir(), name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody has seen to it
		}
		var d Damage
		if err == nil {
			err = json.Unmarshal(data, &d)
		}
		if err != nil {
			return nil, fmt.Errorf("quarantine: %s: %w", name, err)
		}
		list = append(list, d)
	}
	return list, nil
}
