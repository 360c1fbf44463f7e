// Package doctor tries on a bucket whether it keeps what it promises to sealed files, and whether the credential that seals could do what it must not.
//
// It believes nothing that it can try: objects of its own, below s3.LabPrefix and locked for seconds, are overwritten, deleted, shortened and bypassed, and what the
// server then holds is looked at. What it can't try without harm it asks for by requests that are not well formed, or reads. It changes no setting of the bucket, and
// touches no object but its own.
//
// It removes its objects once their locks have ended, if the credential may; a writer should not be able to. What remains is told, with the time from which on it may be
// deleted; Sweep deletes it with an administrator's credential. A crash leaves objects that are locked for some seconds.
//
// In short it only reads: it makes those checks that put nothing, by a few requests whatever the store holds. Checked is a store that does so at its Preflight.
package doctor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"daybook/sink"
	"daybook/sink/s3"
)

// Status is what came of a check.
type Status string

const (
	// Pass says that it was tried, or read, and is as it should be.
	Pass Status = "pass"
	// Warn says that it is not as it should be, and Daybook does not rely on it.
	Warn Status = "warn"
	// Fail says that it is not as it must be.
	Fail Status = "fail"
	// Unknown says that it could not be found out.
	Unknown Status = "unknown"
)

// Finding is what one check found.
type Finding struct {
	// Check is the check's name; it is stable.
	Check  string `json:"check"`
	Status Status `json:"status"`
	// Mode is that of the locks that were tried, where they were tried in several.
	Mode sink.Mode `json:"mode,omitempty"`
	// Text says what was found, and Remedy what to do about it.
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

// Remain is a throw-away object, or a delete marker, that is still there.
type Remain struct {
	Key     string `json:"key"`
	Version string `json:"version"`
	// Until is when its lock ends: from then on it may be deleted.
	Until time.Time `json:"until"`
}

// Report is what all checks found.
type Report struct {
	Schema   int       `json:"schema"`
	At       time.Time `json:"at"`
	Store    string    `json:"store"`
	ExitCode int       `json:"exit_code"`
	Findings []Finding `json:"findings"`
	Remains  []Remain  `json:"remains"`
}

// Options say how a store is tried.
type Options struct {
	// Modes are the lock modes that the store's objects have, in any order; none: they are not locked. Locks are tried in each, all else in the strictest.
	Modes []sink.Mode
	// Encryption and KMSKey are what the store asks for.
	Encryption s3.Encryption
	KMSKey     string
	// Ages say when the store's files move and go, and Tiers are the buckets that they move to, as far as they are known.
	Ages  []s3.Ages
	Tiers map[string]*s3.Store
	// Short makes only those checks that leave and change nothing.
	Short bool
	// Lock is for how long throw-away objects are locked: longer than the server takes to answer some requests. Default: 10 s.
	Lock time.Duration
	// Thorough tries what leaves an object locked for as long as the bucket's default retention, too.
	Thorough bool
	// Now is the clock; default: time.Now. Progress is told the name of each check before it.
	Now      func() time.Time
	Progress func(check string)
}

// check is one thing that is tried. It returns what it found, without its name.
type check struct {
	name string
	run  func(ctx context.Context, e *exam) Finding
	// short says that it puts nothing, or nothing in short.
	short bool
}

// exam is what checks share.
type exam struct {
	Options
	Mode   sink.Mode // of the check that is made
	store  *s3.Store
	lab    *s3.Lab
	glance *s3.Glance
	dir    string // below which all keys of this run lie
	ours   *ours  // nil: not looked for yet
	left   []Remain
}

// Run tries a store. The error says that nothing could be tried: the store is away, or does not know the credential; or that ctx ended: the report then has what was
// found until then, and what was put.
func Run(ctx context.Context, store *s3.Store, name string, opts Options) (*Report, error) {
	e := newExam(store, opts)
	r := &Report{Schema: 1, At: e.Now().UTC(), Store: name, Remains: []Remain{}}
	if err := store.Preflight(ctx); err != nil {
		if !errors.Is(err, sink.ErrUnfit) {
			return nil, err
		}
		r.add("fit", failed(err.Error(), hintOf(err)))
		return r, nil
	}
	r.add("fit", passed("the bucket is there, keeps versions and has Object Lock; an absent object is told from a refused one"))
	e.tryAll(ctx, r)
	r.Remains = append(r.Remains, e.left...)
	return r, context.Cause(ctx)
}

// newExam fills in what the options leave out.
func newExam(store *s3.Store, opts Options) *exam {
	if opts.Lock <= 0 {
		opts.Lock = 10 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	if opts.Modes = slices.Sorted(slices.Values(opts.Modes)); len(opts.Modes) == 0 { // COMPLIANCE comes before GOVERNANCE
		opts.Modes = []sink.Mode{sink.None}
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // it returns no error
	return &exam{
		Options: opts, store: store, lab: store.Lab(), glance: store.Glance(),
		dir: s3.LabPrefix + opts.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random[:]) + "/",
	}
}

// tryAll makes the checks until ctx ends.
func (e *exam) tryAll(ctx context.Context, r *Report) {
	for _, c := range checks {
		if e.Short && !c.short {
			continue
		}
		modes := e.Modes[:1]
		if slices.Contains(inEachMode, c.name) {
			modes = e.Modes
		}
		for _, e.Mode = range modes {
			e.Progress(c.name)
			if ctx.Err() != nil {
				return
			}
			f := c.run(ctx, e)
			if len(modes) > 1 {
				f.Mode = e.Mode
			}
			r.add(c.name, f)
		}
	}
}

func (r *Report) add(name string, f Finding) {
	f.Check = name
	r.Findings = append(r.Findings, f)
	switch {
	case f.Status == Fail:
		r.ExitCode = 1
	case f.Status == Unknown && r.ExitCode == 0:
		r.ExitCode = 3
	}
}

func passed(format string, args ...any) Finding {
	return Finding{Status: Pass, Text: fmt.Sprintf(format, args...)}
}
func failed(text, remedy string) Finding { return Finding{Status: Fail, Text: text, Remedy: remedy} }
func warned(text, remedy string) Finding { return Finding{Status: Warn, Text: text, Remedy: remedy} }

// unknown is the finding where an attempt was neither done nor refused as was looked for.
func unknown(what string, err error) Finding {
	remedy := hintOf(err)
	if remedy == "" {
		remedy = "run it again; a longer --lock helps where the server answers slowly"
	}
	return Finding{Status: Unknown, Text: fmt.Sprintf("%s: %v", what, err), Remedy: remedy}
}

func hintOf(err error) string {
	var h *sink.HintError
	if errors.As(err, &h) {
		return h.Hint
	}
	return ""
}

// locked is a lock of a throw-away object from now on, whole seconds; none in a store without.
func (e *exam) locked() sink.Lock {
	if e.Mode == sink.None {
		return sink.Lock{}
	}
	now := e.Now()
	if ahead, ok := e.store.Offset(); ok && ahead > 0 {
		now = now.Add(ahead)
	}
	return sink.Lock{Mode: e.Mode, RetainUntil: now.Add(e.Lock + time.Second).UTC().Truncate(time.Second)}
}

// specimen is a throw-away object.
type specimen struct {
	key, version string
	lock         sink.Lock
	body         []byte
}

// put puts a throw-away object, and remembers it for cleaning up.
func (e *exam) put(ctx context.Context, name string, a s3.Attempt) (specimen, error) {
	key := e.dir + name
	if e.Mode != e.Modes[0] {
		key += "-" + strings.ToLower(string(e.Mode))
	}
	s := specimen{key: key, lock: a.Lock, body: []byte("a throw-away object of daybook doctor: " + name + "\n")}
	var err error
	s.version, err = e.lab.Put(ctx, s.key, s.body, a)
	if err == nil {
		e.remember(s.key, s.version, s.lock.RetainUntil)
	}
	return s, err
}

// fresh puts a locked throw-away object as Daybook would.
func (e *exam) fresh(ctx context.Context, name string) (specimen, error) {
	return e.put(ctx, name, s3.Attempt{Lock: e.locked(), OnlyIfNew: true, Encrypt: e.Encryption, KMSKey: e.KMSKey})
}

func (e *exam) remember(key, version string, until time.Time) {
	e.left = append(e.left, Remain{Key: key, Version: version, Until: until})
}

// forget takes what was put last out of what is to be cleaned up: it is gone.
func (e *exam) forget() { e.left = e.left[:len(e.left)-1] }

// stands reports whether a specimen is as it was put; the error says why not. That its lock has ended meanwhile is errSlow.
func (e *exam) stands(ctx context.Context, s specimen) error {
	info, _, err := e.lab.Head(ctx, s.key, s.version)
	switch {
	case e.Mode != sink.None && e.passed(s.lock.RetainUntil):
		return errSlow
	case errors.Is(err, sink.ErrNotExist), errors.Is(err, sink.ErrHidden):
		return errGone
	case err != nil:
		return err
	case !info.Lock.Covers(s.lock):
		return errWeaker
	}
	return nil
}

var (
	errSlow   = errors.New("the lock ended before the server had answered all requests")
	errGone   = errors.New("the locked version is gone")
	errWeaker = errors.New("the lock was weakened")
)

// passed reports whether a time may have come on the server's clock.
func (e *exam) passed(t time.Time) bool {
	now := e.Now().Add(time.Second)
	if ahead, ok := e.store.Offset(); ok && ahead > 0 {
		now = now.Add(ahead)
	}
	return now.After(t)
}
