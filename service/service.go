package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robfig/cron/v3"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/intake/receiver"
	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
	"daybook/formats"
	"daybook/sink"
)

// Service is the standing service. New takes the data folder; Run serves until its context ends; Close lets go of the folder.
type Service struct {
	config   atomic.Pointer[Config]
	now      func() time.Time
	log      *slog.Logger
	standing *batch.Standing
	control  *control.Control
	sources  *sources
	outcomes outcomes
	rejects  *rejects
	metrics  *metrics
	jumps    jumps
	handler  http.Handler
	receiver atomic.Pointer[receiver.Handler]
	// certificate is what is served; nil: plain HTTP.
	certificate atomic.Pointer[followed[*tls.Certificate]]

	look       chan struct{} // wakes the scheduler
	setBack    atomic.Bool   // the clock was set back since the scheduler began
	looks      atomic.Pointer[cron.Schedule]
	writes     writes
	recording  sync.Mutex // guards cursor
	inspecting sync.Mutex // one look at the bucket at a time
	cursor     int64      // the newest record of the journal that is an event
	seen       uint64     // version of the journal that trails were made from; under recording

	mu       sync.Mutex
	sealing  sealingState       // guarded by mu
	draining bool               // guarded by mu
	begun    time.Time          // guarded by mu: when it began to serve
	told     map[string]trouble // guarded by mu: the trouble that was told of each file and place
	refused  *refusedReload     // guarded by mu: the last reload, if it was refused
}

// startedAt is when it began to serve; nil if it does not.
func (s *Service) startedAt() *time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun.IsZero() {
		return nil
	}
	t := s.begun.UTC()
	return &t
}

// sealingState is how sealing stands.
type sealingState struct {
	// Running since; zero if no day is being sealed. Of rolls one is at work, and the others wait for it.
	Running time.Time
	rolls   int
	// Last is when a roll ended without an error, and Failed when one last failed, with why; blank since one succeeded.
	Last, Failed time.Time
	Error, Hint  string
	// Held is why nothing is sealed though the store might be there: a clock that jumped.
	Held string
	// Unbalanced says that events do not add up: nothing is sealed as long as the process lives.
	Unbalanced bool
}

// New takes the data folder and opens what is in it. The store is not asked.
func New(c Config) (_ *Service, err error) {
	s := &Service{now: c.Batch.Now, log: c.Log, look: make(chan struct{}, 1)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.config.Store(&c)
	s.metrics = newMetrics(s)
	settings := s.settings(&c)
	admission := batch.Admission{
		On: func(trail string, at time.Time) bool {
			// By a clock that was set back a trail would not be on yet, and what comes would be dropped.
			if newest := s.control.Newest(); at.Before(newest) {
				at = newest
			}
			return s.control.On(trail, at)
		},
		Since: func(trail string) event.Day {
			t, _ := s.control.Trail(trail)
			return t.Since
		},
	}
	if s.standing, err = batch.OpenStanding(settings, c.MinFree, admission); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	data := c.Batch.Data
	if s.control, err = control.Open(data, &control.Options{Now: s.now, CoolOff: c.CoolOff, Log: s.log}); err != nil {
		return nil, err
	}
	if err = s.declareLost(); err != nil {
		return nil, err
	}
	if s.sources, err = openSources(filepath.Join(data, "sources.json")); err != nil {
		return nil, err
	}
	if s.cursor, err = readCursor(s.cursorPath()); err != nil {
		return nil, err
	}
	// In a backup it may be ahead of the journal, which was copied before it.
	s.cursor = min(s.cursor, int64(s.control.Version()))
	s.rejects = newRejects(filepath.Join(data, "quarantine"), s.now)
	steady := c.Steady
	if steady == nil {
		begun := time.Now()
		steady = func() time.Duration { return time.Since(begun) }
	}
	s.jumps = newJumps(s.now, steady)
	looks, receive, err := s.makeReceiver(&c)
	if err != nil {
		return nil, err
	}
	s.setReceiver(looks, receive)
	s.handler = s.routes()
	if err = s.refresh(); err != nil {
		return nil, err
	}
	return s, nil
}

// settings are those of the folder: trails are what was switched on, and gaps and watermarks what is known here.
func (s *Service) settings(c *Config) batch.Settings {
	settings := c.Batch
	settings.Trails, settings.Log = nil, s.log
	settings.GapsOf, settings.SourcesOf, settings.OnDamage = s.gapsOf, s.sourcesOf, s.damaged
	if c.Batch.Store != nil { // there is none for a command that only administers
		settings.Store = counted(c.Batch.Store, &s.writes, func(operation string) { s.metrics.storeErrors.WithLabelValues(operation).Inc() })
	}
	return settings
}

// Close lets go of the data folder, after Run has returned or where it was never called. What was counted is written down.
func (s *Service) Close() error {
	var errs []error
	if s.rejects != nil {
		errs = append(errs, s.settleRejects(), s.rejects.close())
	}
	if s.sources != nil {
		errs = append(errs, s.sources.flush())
	}
	if s.control != nil {
		errs = append(errs, s.control.Close())
	}
	return errors.Join(append(errs, s.standing.Close())...)
}

// gapsOf tells what is known to be missing of a trail.
func (s *Service) gapsOf(trail string, from, to time.Time) []seal.Gap {
	return s.control.Gaps(trail, from, to)
}

// damaged declares what could not be read from the spool any more, once.
func (s *Service) damaged(d batch.Damage) error {
	for _, g := range s.control.Gaps(d.Trail, d.Gap.From, d.Gap.To) {
		if strings.Contains(g.Reason, d.Gap.Reason) {
			return nil
		}
	}
	return s.control.Gap(d.Gap, d.Trail, "")
}

// trails makes of what was enabled, and of what the configuration declares, the trails that are filed into.
func (s *Service) trails(c *Config) ([]batch.Trail, error) {
	written := map[string]batch.Trail{}
	for _, t := range c.Batch.Trails {
		written[t.Name] = t
	}
	var list []batch.Trail
	for _, t := range s.control.Trails() {
		trail, ok := written[t.Spec.Name]
		if ok && trail.Org == "" {
			trail.Org = t.Spec.Org // it was named when the trail was enabled
		}
		if !ok {
			var err error
			if trail, err = trailOf(t.Spec); err != nil {
				return nil, err
			}
		}
		if trail.Org != t.Spec.Org {
			return nil, &sink.HintError{
				Err:  fmt.Errorf("the trail %q was enabled for the org %q, and the configuration says %q", trail.Name, t.Spec.Org, trail.Org),
				Hint: "a trail stays its org's: give the other org a trail of another name",
			}
		}
		list = append(list, trail)
	}
	return list, nil
}

// declared is the spec of a trail that the configuration declares.
func declared(t *batch.Trail) control.TrailSpec {
	spec := control.TrailSpec{Name: t.Name, Org: t.Org, Projects: t.Projects, Split: "org", MaxSplit: t.MaxSplit}
	if t.SplitProjects {
		spec.Split = "project"
	}
	for _, f := range t.Formats {
		spec.Formats = append(spec.Formats, f.Name)
	}
	return spec
}

// declare records what the configuration declares of trails that were enabled: a trail must not become another when its declaration is taken out.
func (s *Service) declare(c *Config) error {
	for i := range c.Batch.Trails {
		spec := declared(&c.Batch.Trails[i])
		if t, ok := s.control.Trail(spec.Name); ok && spec.Org == "" {
			spec.Org = t.Spec.Org
		}
		if err := s.control.Declare(spec); err != nil {
			return err
		}
	}
	return nil
}

func trailOf(spec control.TrailSpec) (batch.Trail, error) {
	t := batch.Trail{Name: spec.Name, Org: spec.Org, Projects: spec.Projects, SplitProjects: spec.Split == "project", MaxSplit: spec.MaxSplit}
	if t.MaxSplit == 0 {
		t.MaxSplit = defaultMaxSplit
	}
	names := spec.Formats
	if len(names) == 0 {
		for _, f := range formats.All() {
			names = append(names, f.Name)
		}
	}
	for _, name := range names {
		f, err := formats.Named(name)
		if err != nil {
			return t, err
		}
		t.Formats = append(t.Formats, f)
	}
	return t, nil
}

const defaultMaxSplit = 10_000

// refresh brings the trails up to what the control journal says, and records what it says as events of theirs.
func (s *Service) refresh() error {
	if err := s.control.Tick(); err != nil {
		return err
	}
	s.recording.Lock()
	defer s.recording.Unlock()
	version := s.control.Version()
	if version == s.seen && version != 0 {
		return nil
	}
	trails, err := s.trails(s.config.Load())
	if err != nil {
		return err
	}
	if err := s.standing.SetTrails(trails); err != nil {
		return err
	}
	if err := s.record(context.Background(), version); errors.Is(err, spool.ErrFull) {
		return nil // it is in the journal, and is an event once there is room: sealing, which makes room, need not wait for it
	} else if err != nil {
		return err
	}
	s.seen = version
	return nil
}

// record puts what was done to trails into them, up to a version of the journal whose trails are filed into: a later one may have enabled another. A crash before the
// cursor is written has it done again, and the spool knows the events.
func (s *Service) record(ctx context.Context, version uint64) error {
	g := s.standing.Begin(s.now())
	last := s.cursor
	for own, err := range s.control.Events(s.cursor) {
		if err != nil {
			return err
		}
		if uint64(own.Seq) > version {
			break
		}
		g.AddTo(own.Trails, own.Event)
		last = own.Seq
	}
	if last == s.cursor {
		return nil
	}
	if err := g.Commit(ctx); err != nil {
		return fmt.Errorf("record what was done: %w", err)
	}
	if err := writeCursor(s.cursorPath(), last); err != nil {
		return err
	}
	s.cursor = last
	return nil
}

func (s *Service) cursorPath() string {
	return filepath.Join(s.config.Load().Batch.Data, "control", "recorded")
}

func readCursor(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	var n int64
	if err == nil {
		n, err = parseCursor(string(data))
	}
	if err != nil {
		return 0, unreadable(path, err, "remove it, with the service stopped: what was done to trails is recorded once more then, and what is known of that is counted as duplicate")
	}
	return n, nil
}

func parseCursor(text string) (int64, error) {
	digits, whole := strings.CutSuffix(text, "\n")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !whole || err != nil || n < 0 {
		return 0, fmt.Errorf("%.40q is not the number of a record and a line feed", text)
	}
	return n, nil
}

// unreadable is why a file of the data folder can't be read. The hint is for one that holds something else than what was written there.
func unreadable(path string, err error, hint string) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok { // which names it
		return &sink.HintError{Err: err, Hint: "see to the disk, and to the owner and the rights of the file: what it holds is not known"}
	}
	return &sink.HintError{Err: fmt.Errorf("%s: %w", path, err), Hint: hint}
}

func writeCursor(path string, n int64) error {
	return batch.WriteFile(path, fmt.Appendf(nil, "%d\n", n))
}

// started records the start, and what has changed in the configuration since the last one.
func (s *Service) started() error {
	c := s.config.Load()
	diff, _, err := s.difference(c)
	if err != nil {
		return err
	}
	if err := s.control.Started(c.Batch.Build, c.digest(), diff); err != nil {
		return err
	}
	if err := s.declare(c); err != nil {
		return err
	}
	return s.keepEffective(c)
}

// keyID is the ID of the key that signs.
func keyID(c *Config) string {
	if c.Batch.Key == nil {
		return seal.NoKey
	}
	return c.Batch.Key.Public().ID()
}

// ErrRestart says that what has changed takes effect at the next start only.
var ErrRestart = errors.New("takes effect when the service is started again")

// Reload has the service work by another configuration, without dropping a request. The data folder, the key, the store and the address stay those of the start.
func (s *Service) Reload(c Config, by control.Actor) error {
	old := s.config.Load()
	if c.Batch.Data != old.Batch.Data || c.Where != old.Where || c.Listen != old.Listen || c.Certificate != old.Certificate || c.Key != old.Key || c.ClientCA != old.ClientCA || keyID(&c) != keyID(old) {
		return &sink.HintError{
			Err:  fmt.Errorf("a change of the data folder, the store, the signing key, the address or the names of TLS files %w", ErrRestart),
			Hint: "start the service again; until then it goes on as it was",
		}
	}
	if _, err := s.trails(&c); err != nil {
		return err
	}
	settings := s.settings(&c)
	diff, changes, err := s.difference(&c)
	if err != nil {
		return err
	}
	looks, receive, err := s.makeReceiver(&c)
	if err != nil {
		return err
	}
	if changes > 0 {
		if err := s.control.ConfigChanged(by, c.digest(), diff); err != nil {
			return err
		}
	}
	// What is recorded is in force from here on. Nothing before this has changed anything.
	s.standing.Configure(settings)
	s.config.Store(&c)
	s.control.SetCoolOff(c.CoolOff)
	s.setReceiver(looks, receive)
	if err := s.follows(&c, changes > 0); err != nil {
		return fmt.Errorf("%w: %w", errInForce, err)
	}
	s.mu.Lock()
	s.refused = nil
	s.mu.Unlock()
	s.wake()
	s.log.Info("the configuration was read again", "changes", changes)
	return nil
}

// errInForce says that a configuration was taken up, and something went wrong that has to be done again: by the same reload.
var errInForce = errors.New("it is in force, but not all of it is written down")

// follows writes down what follows from a configuration that was taken up.
func (s *Service) follows(c *Config, changed bool) error {
	if changed {
		if err := s.keepEffective(c); err != nil {
			return err
		}
	}
	if err := s.declare(c); err != nil {
		return err
	}
	s.recording.Lock()
	s.seen = 0
	s.recording.Unlock()
	return s.refresh()
}

// refusedReload is a reload that did not come to its end, and most often changed nothing.
type refusedReload struct {
	at  time.Time
	err error
}

// ReloadRefused has the status tell that the configuration, as it is now, can't be read or was refused by Reload, until one is taken up.
func (s *Service) ReloadRefused(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = &refusedReload{s.now(), err}
}

// tellReload tells of a reload that was refused.
func (s *Service) tellReload(st *Status) {
	s.mu.Lock()
	r := s.refused
	s.mu.Unlock()
	if r == nil {
		return
	}
	why, rest, _ := strings.Cut(r.err.Error(), "\n")
	if strings.HasSuffix(why, ":") { // a list of faults
		first, _, _ := strings.Cut(rest, "\n")
		why += " " + first
	}
	hint := "mend it (`daybook config check` tells all that is wrong with it), and have it read again"
	var h *sink.HintError
	if errors.As(r.err, &h) {
		hint = h.Hint
	}
	what := "is not taken up, and the service goes on as it was"
	if errors.Is(r.err, errInForce) {
		what, hint = "was taken up", "see to the cause, and reload again"
	}
	st.problem(LevelWarning, "reload-refused", "", hint, "the configuration that was read at %s %s: %s", r.at.UTC().Format(time.RFC3339), what, why)
}

// wake has the scheduler look now.
func (s *Service) wake() {
	select {
	case s.look <- struct{}{}:
	default: // it will look anyway
	}
}

// unavailable says why nothing new is taken in; nil if it is. Requests that are under way go by the spool alone.
func (s *Service) unavailable() error {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if draining {
		return errors.New("the service is stopping")
	}
	return s.standing.Spool().Ready()
}
