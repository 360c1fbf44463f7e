package service

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/seal"
	"daybook/sink"
)

// Drift is how the store's bucket is set up, beside how it was when that was accepted: at the first look, and whenever an admin says so.
type Drift struct {
	// Store is whose it is; another store begins anew.
	Store string    `json:"store"`
	At    time.Time `json:"at"`
	// Error says why nothing could be asked at the last look.
	Error string `json:"error,omitempty"`
	// Away are the settings that could not be asked at the last look, and why: the servers of tiers. What was known of them stands.
	Away     []string       `json:"away,omitempty"`
	Settings []sink.Setting `json:"settings"`
	// Digest is that of the settings: what is accepted is named by it.
	Digest string `json:"digest"`
	// Accepted are the settings that others are compared with. One that can't be read has the value that it had before, if it had one.
	Accepted []sink.Setting `json:"accepted"`
	// Changes are those that were not accepted yet.
	Changes []Change `json:"changes,omitempty"`
}

// Change is a setting that is not what was accepted.
type Change struct {
	Setting string `json:"setting"`
	Before  string `json:"before"`
	After   string `json:"after"`
	// Unknown says why the setting, which could be read before, can't be read any more; After is blank then.
	Unknown string `json:"unknown,omitempty"`
}

const (
	// shownText is how many bytes of a value, or of a lifecycle rule, are told of a difference; shownLead is what of that may be the same before it.
	shownText = 600
	shownLead = 60
	// shownLines is how many rules a problem tells.
	shownLines = 10
)

// String tells the difference in a line, and does not tell more than shownLines rules.
func (c Change) String() string {
	lines := c.lines()
	if n := len(lines) - shownLines; n > 0 {
		lines = append(lines[:shownLines], fmt.Sprintf("and %d more", n))
	}
	return c.Setting + ": " + strings.Join(lines, "; ")
}

// lines tell the difference: of a lifecycle, which has a rule a line, each rule that came or went; of another setting what it was and is, from where that differs.
func (c Change) lines() []string {
	if c.Unknown != "" {
		return []string{fmt.Sprintf("was %s, can't be read any more: %s", shown(c.Before, 0), c.Unknown)}
	}
	if c.Setting == "lifecycle" {
		was, is := strings.Split(c.Before, "\n"), strings.Split(c.After, "\n")
		if lines := append(missing("added", is, was), missing("removed", was, is)...); len(lines) > 0 {
			return lines
		}
	}
	same := 0
	for same < len(c.Before) && same < len(c.After) && c.Before[same] == c.After[same] {
		same++
	}
	return []string{fmt.Sprintf("was %s, is %s", shown(c.Before, same), shown(c.After, same))}
}

// missing returns the rules that others lack.
func missing(what string, rules, others []string) (lines []string) {
	for _, r := range rules {
		if r != "none" && !slices.Contains(others, r) {
			lines = append(lines, what+" "+shown(r, 0))
		}
	}
	return lines
}

// shown returns of a text what stands around a place.
func shown(text string, at int) string {
	from := max(at-shownLead, 0)
	to := min(len(text), from+shownText)
	part := strings.ToValidUTF8(text[from:to], "")
	if from > 0 {
		part = "…" + part
	}
	if to < len(text) {
		part += "…"
	}
	return part
}

// told returns the lines of all changes.
func told(changes []Change) (lines []string) {
	for _, c := range changes {
		for _, line := range c.lines() {
			lines = append(lines, c.Setting+": "+line)
		}
	}
	return lines
}

func (s *Service) driftPath() string {
	return filepath.Join(s.config.Load().Batch.Data, "bucket.json")
}

// drift returns what came of the last look; nil if there was none.
func (s *Service) drift() (*Drift, error) {
	data, err := os.ReadFile(s.driftPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	d := &Drift{}
	if err == nil {
		err = json.Unmarshal(data, d)
	}
	if err != nil {
		return nil, &sink.HintError{
			Err: fmt.Errorf("%s: %w", s.driftPath(), err),
			Hint: "put that of the last backup there (`daybook restore` into another folder has it), or look yourself how the bucket is set up, and remove it: it holds what was accepted. " +
				"Without it what the next look finds is taken for that",
		}
	}
	return d, nil
}

// Inspect looks how the store's bucket is set up, and compares that with what was accepted. A change that was not there at the last look is recorded, and is an event of every trail.
// It does nothing for a store that can't tell.
func (s *Service) Inspect(ctx context.Context) (*Drift, error) {
	s.inspecting.Lock()
	defer s.inspecting.Unlock()
	return s.inspect(ctx)
}

func (s *Service) inspect(ctx context.Context) (*Drift, error) {
	c := s.config.Load()
	inspector, ok := c.Batch.Store.(sink.Inspector)
	if !ok {
		return nil, nil
	}
	before, err := s.drift()
	if err != nil {
		return nil, err
	}
	if before == nil || before.Store != c.Where {
		before = &Drift{Store: c.Where}
	}
	d := &Drift{Store: c.Where, At: s.now().UTC()}
	d.Settings, err = inspector.Inspect(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		// What it was is not forgotten because the store is away.
		d.Error, d.Settings, d.Digest, d.Accepted, d.Changes = err.Error(), before.Settings, before.Digest, before.Accepted, before.Changes
		s.log.Warn("how the bucket is set up can't be asked", "error", err)
		return d, s.keepDrift(d)
	}
	data, err := json.Marshal(d.Settings)
	if err != nil {
		return nil, err
	}
	d.Digest = seal.Sum(data).String()
	d.Accepted, d.Changes = compare(before.Accepted, d.Settings)
	for _, n := range d.Settings {
		if !n.Away {
			continue
		}
		d.Away = append(d.Away, n.Name+": "+n.Unknown)
		for _, c := range before.Changes {
			if c.Setting == n.Name {
				d.Changes = append(d.Changes, c)
			}
		}
	}
	if len(d.Away) > 0 {
		s.log.Warn("how tiers are set up can't be asked", "tiers", d.Away)
	}
	fresh := slices.DeleteFunc(slices.Clone(d.Changes), func(c Change) bool { return slices.Contains(before.Changes, c) })
	if lines := told(fresh); len(lines) > 0 {
		s.log.Error("the bucket is set up otherwise than it was", "changes", lines)
		if err := s.control.StoreChanged(c.Where, lines); err != nil {
			return nil, err
		}
	}
	return d, s.keepDrift(d)
}

// compare returns what is accepted from now on, and what differs from it. What could never be read before is accepted once it can be; of what could not be asked now nothing changes.
func compare(accepted, now []sink.Setting) (all []sink.Setting, changes []Change) {
	known := map[string]sink.Setting{}
	for _, a := range accepted {
		known[a.Name] = a
	}
	for _, n := range now {
		a, ok := known[n.Name]
		switch {
		case n.Away && !ok:
			continue
		case n.Away:
		case !ok:
			a = n
		case n.Unknown != "":
			if a.Unknown == "" {
				changes = append(changes, Change{Setting: n.Name, Before: a.Value, Unknown: n.Unknown})
			}
		case a.Unknown != "" && a.Value == "":
			a = n
		default:
			a.Unknown = "" // that it can't be read was accepted until it can be
			if n.Value != a.Value {
				changes = append(changes, Change{Setting: n.Name, Before: a.Value, After: n.Value})
			}
		}
		all = append(all, a)
	}
	return all, changes
}

// accepting returns the settings as they are accepted. The value of one that can't be read any more is kept: once it can be, it is compared with that. One that could not be
// asked is accepted as it was seen last.
func accepting(accepted, now []sink.Setting, changes []Change) (all []sink.Setting) {
	for _, n := range now {
		at := slices.IndexFunc(accepted, func(a sink.Setting) bool { return a.Name == n.Name })
		switch {
		case n.Away && at < 0:
			continue
		case n.Away:
			n = accepted[at]
			for _, c := range changes {
				if c.Setting == n.Name {
					n.Value, n.Unknown = cmp.Or(c.After, n.Value), c.Unknown
				}
			}
		case n.Unknown != "" && at >= 0:
			n.Value = accepted[at].Value
		}
		all = append(all, n)
	}
	return all
}

// missed reports whether not all could be asked at the last look.
func (d *Drift) missed() bool { return d.Error != "" || len(d.Away) > 0 }

func (s *Service) keepDrift(d *Drift) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return batch.WriteFile(s.driftPath(), data)
}

// AcceptRequest accepts how the bucket is set up.
type AcceptRequest struct {
	// Digest is that of the look which is accepted, as the status tells it.
	Digest string `json:"digest"`
}

// errLooked says that the bucket is set up otherwise than whoever accepts it has seen.
var errLooked = errors.New("the bucket is set up otherwise than at the look that is to be accepted")

// AcceptBucket looks at the bucket, and accepts how it is set up if that is what a look with the digest has told.
func (s *Service) AcceptBucket(ctx context.Context, by control.Actor, digest string) (*Drift, error) {
	s.inspecting.Lock()
	defer s.inspecting.Unlock()
	if s.config.Load().Batch.Store == nil {
		return nil, &sink.HintError{Err: fmt.Errorf("%w: nothing is at work here that knows the store", errRequest), Hint: "start daybook serve, and accept then"}
	}
	d, err := s.inspect(ctx)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, &sink.HintError{Err: fmt.Errorf("%w: the store is no bucket", errRequest), Hint: "there is nothing to accept: a folder has no settings"}
	}
	if d.Error != "" {
		return nil, fmt.Errorf("the bucket can't be asked: %s", d.Error)
	}
	lines := told(d.Changes)
	if d.Digest != digest {
		return nil, &sink.HintError{Err: fmt.Errorf("%w; not accepted yet: %s", errLooked, cmp.Or(strings.Join(lines, "; "), "nothing")), Hint: "if that is right, accept it now: `daybook status` tells of this look, too"}
	}
	if len(lines) > 0 {
		if err := s.control.StoreAccepted(by, d.Store, lines); err != nil {
			return nil, err
		}
	}
	d.Accepted, d.Changes = accepting(d.Accepted, d.Settings, d.Changes), nil
	if err := s.keepDrift(d); err != nil {
		return nil, err
	}
	return d, s.refresh()
}

func (s *Service) postAcceptBucket(r *http.Request, by control.Actor) (any, error) {
	if err := whole(by); err != nil {
		return nil, err
	}
	var in AcceptRequest
	if err := readRequest(r, &in); err != nil {
		return nil, err
	}
	return s.AcceptBucket(r.Context(), by, in.Digest)
}

// staleAfter is how old the last look at the bucket may be: they are less than a day apart.
const staleAfter = 25 * time.Hour

// unseen reports whether what is changed in the bucket goes unnoticed: the last look failed, or is long past.
func (st *Status) unseen() bool {
	return st.Bucket.missed() || st.Now.Sub(st.Bucket.At).Abs() > staleAfter
}

// tellDrift tells what was changed in the bucket, and whether that is known.
func (st *Status) tellDrift() {
	d := st.Bucket
	if d == nil {
		return
	}
	switch {
	case d.Error != "":
		st.problem(LevelWarning, "bucket-unseen", "", "the service looks again every hour; until then what is changed in the bucket is not noticed", "how the bucket is set up could not be asked at %s: %s", d.At.Format(time.RFC3339), d.Error)
	case len(d.Away) > 0:
		st.problem(LevelWarning, "bucket-unseen", "", "the service looks again every hour; until then what is changed there is not noticed: mend the way to the tier's server, or its profile", "how the bucket of a tier is set up could not be asked at %s: %s", d.At.Format(time.RFC3339), strings.Join(d.Away, "; "))
	case st.unseen():
		st.problem(LevelWarning, "bucket-unseen", "", "daybook serve looks daily: see whether it runs, and what its log says", "how the bucket is set up was last looked at %s", d.At.Format(time.RFC3339))
	}
	const hint = "find out who changed it, and why; `daybook bucket accept` takes it for right, `daybook doctor` tries what the bucket keeps now"
	for _, c := range d.Changes {
		if c.Unknown != "" {
			st.problem(LevelWarning, "bucket-unread", "", "give the writer the policy that `daybook bucket policy` prints; "+hint, "the bucket's %s", c)
			continue
		}
		st.problem(LevelAlert, "bucket-changed", "", hint, "the bucket's %s", c)
	}
}
