package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/sink"
)

// Options are the settings of a Memory. The zero value is a store without locks.
type Options struct {
	// Mode is the weakest lock that a Put may ask for. None: no object may ask for a lock, as in a folder.
	Mode sink.Mode
	// Now is the clock against which locks hold. Default: time.Now.
	Now func() time.Time
	// AllowConflict lets a test put other bytes under a key without complaint. The answer is ErrConflict either way.
	AllowConflict bool
	// AllowAnyKey lets a test use keys beyond those that Daybook makes: [A-Za-z0-9._=%!-] in each element.
	AllowAnyKey bool
}

// Memory is a write-once store in memory: an S3 bucket with Object Lock and versioning, as the servers were found to behave. It
// polices its users: what no correct program does fails the test, whatever the program makes of the answer. Its methods are safe
// for concurrent use.
type Memory struct {
	t    testing.TB
	opts Options

	mu      sync.Mutex // guards what follows
	objects map[string][]version
	tried   map[string][sha256.Size]byte // what a Put was first asked to store under each key
	log     []Op
	faults  []fault
	serial  int
	expiry  []sink.ExpiryRule
	offset  *time.Duration // nil: not known

	lenient bool // a Clone: misuse fails the call alone. Set before the store is used.
}

// version is one version of an object, or a delete marker. The last of a key's versions is its newest.
type version struct {
	id          string
	marker      bool
	body        []byte
	contentType string
	lock        sink.Lock
	held        bool
	modified    time.Time
}

// Version describes one version of an object, as an auditor's listing would.
type Version struct {
	ID     string
	Marker bool // a delete marker
	Size   int64
	SHA256 [sha256.Size]byte
	Lock   sink.Lock
	Held   bool
}

// Op is one call of the store.
type Op struct {
	Name string // preflight, put, head, get (from an offset too), list, versions, expiry, lengthen, hold or release
	Key  string // of list and versions: the prefix
	Err  error  // what the call returned
}

func (o Op) String() string { return strings.TrimSpace(o.Name + " " + o.Key) }

// NewMemory returns an empty store that fails t when it is misused.
func NewMemory(t testing.TB, opts *Options) *Memory {
	if opts == nil {
		opts = &Options{}
	}
	m := &Memory{
		t:       t,
		opts:    *opts,
		objects: make(map[string][]version),
		tried:   make(map[string][sha256.Size]byte),
	}
	if m.opts.Now == nil {
		m.opts.Now = time.Now
	}
	return m
}

var _ sink.Store = (*Memory)(nil)

// Preflight implements sink.Store.
func (m *Memory) Preflight(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run(ctx, "preflight", "", func() error { return nil })
}

// Put implements sink.Store.
func (m *Memory) Put(ctx context.Context, o sink.Object) (info sink.Info, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, ok := m.police(o)
	err = m.run(ctx, "put", o.Key, func() error {
		if !ok {
			return fmt.Errorf("%s: refused", o.Key)
		}
		if weaker(o.Lock.Mode, m.opts.Mode) || m.opts.Mode == sink.None && o.Lock.Mode != sink.None {
			return fmt.Errorf("%s: lock mode %q: %w", o.Key, o.Lock.Mode, sink.ErrUnfit)
		}
		if o.Hold && m.opts.Mode == sink.None {
			return fmt.Errorf("%s: a legal hold: %w", o.Key, sink.ErrUnfit)
		}
		newest, err := m.find(o.Key, "")
		switch {
		case err == nil && sha256.Sum256(newest.body) != o.SHA256:
			return fmt.Errorf("%s: %w", o.Key, sink.ErrConflict)
		case err == nil:
			if err := lengthen(newest, o.Key, o.Lock); err != nil {
				return err
			}
			newest.held = newest.held || o.Hold
			info = describe(o.Key, newest)
			info.Existed = true
			return nil
		case len(m.objects[o.Key]) > 0: // a delete marker is the newest
			return err
		}
		info = describe(o.Key, m.add(o.Key, version{body: body, contentType: o.ContentType, lock: o.Lock, held: o.Hold}))
		return nil
	})
	if err != nil {
		return sink.Info{}, err
	}
	return info, nil
}

// Head implements sink.Store.
func (m *Memory) Head(ctx context.Context, key, id string) (info sink.Info, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policeKey(key)
	err = m.run(ctx, "head", key, func() error {
		v, err := m.find(key, id)
		if err == nil {
			info = describe(key, v)
		}
		return err
	})
	return info, err
}

// Get implements sink.Store.
func (m *Memory) Get(ctx context.Context, key, id string) (body io.ReadCloser, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policeKey(key)
	err = m.run(ctx, "get", key, func() error {
		v, err := m.find(key, id)
		if err == nil {
			body = io.NopCloser(bytes.NewReader(slices.Clone(v.body)))
		}
		return err
	})
	return body, err
}

// GetFrom implements sink.Ranger.
func (m *Memory) GetFrom(ctx context.Context, key, id string, offset int64) (body io.ReadCloser, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policeKey(key)
	err = m.run(ctx, "get", key, func() error {
		v, err := m.find(key, id)
		switch {
		case err != nil:
			return err
		case offset < 0 || offset > 0 && offset >= int64(len(v.body)):
			return fmt.Errorf("%s: offset %d is not within its %d bytes", key, offset, len(v.body))
		}
		body = io.NopCloser(bytes.NewReader(slices.Clone(v.body[offset:])))
		return nil
	})
	return body, err
}

// police fails the test on a Put that no correct program makes, and reads the body.
func (m *Memory) police(o sink.Object) (body []byte, ok bool) {
	m.t.Helper()
	ok = m.policeKey(o.Key)
	complain := func(format string, args ...any) {
		m.t.Helper()
		if !m.lenient {
			m.t.Errorf("put %q: "+format, append([]any{o.Key}, args...)...)
		}
		ok = false
	}
	if o.Body == nil {
		complain("no body")
		return nil, false
	}
	body, err := io.ReadAll(io.NewSectionReader(o.Body, 0, o.Size+1))
	switch {
	case err != nil:
		complain("read the body: %v", err)
	case int64(len(body)) != o.Size:
		complain("the body does not have the %d bytes that it is said to have", o.Size)
	case sha256.Sum256(body) != o.SHA256:
		complain("SHA-256 is not that of the body")
	}
	switch l := o.Lock; {
	case l.Mode == sink.None && !l.RetainUntil.IsZero():
		complain("a retain-until date without a mode")
	case l.Mode == sink.None:
	case l.Mode != sink.Governance && l.Mode != sink.Compliance:
		complain("lock mode %q", l.Mode)
	case !l.RetainUntil.After(m.opts.Now()):
		complain("retain-until %s is past", l.RetainUntil.Format(time.RFC3339))
	case l.RetainUntil.Nanosecond() != 0:
		complain("retain-until %s has a fraction of a second, which S3 cuts off", l.RetainUntil.Format(time.RFC3339Nano))
	}
	if !ok {
		return nil, false
	}
	if first, seen := m.tried[o.Key]; !seen {
		m.tried[o.Key] = o.SHA256
	} else if first != o.SHA256 && !m.opts.AllowConflict {
		complain("other bytes than the first time (%x, then %x): a retry must put the same", first[:4], o.SHA256[:4])
	}
	return body, ok
}

func (m *Memory) policeKey(key string) bool {
	m.t.Helper()
	if err := sink.CheckKey(key); err != nil {
		if !m.lenient {
			m.t.Error(err)
		}
		return false
	}
	if m.opts.AllowAnyKey {
		return true
	}
	if i := strings.IndexFunc(key, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._=%-!/", r))
	}); i >= 0 {
		m.t.Errorf("key %q: %q should have been percent-encoded", key, key[i:][:1])
		return false
	}
	return true
}

// run does f as one operation: after the faults that are scripted for it, and into the log.
func (m *Memory) run(ctx context.Context, name, key string, f func() error) (err error) {
	defer func() { m.log = append(m.log, Op{Name: name, Key: key, Err: err}) }()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range m.faults {
		if ft := &m.faults[i]; ft.strikes(len(m.log)+1, name, key) {
			if ft.Persisted {
				if err := f(); err != nil {
					return err
				}
			}
			return fmt.Errorf("%s %s: %w", name, key, ft.Err)
		}
	}
	return f()
}

// find returns a version of key, the newest where id is blank.
func (m *Memory) find(key, id string) (*version, error) {
	if err := sink.CheckKey(key); err != nil {
		return nil, err
	}
	versions := m.objects[key]
	if id == "" && len(versions) > 0 {
		id = versions[len(versions)-1].id
	}
	for i := range versions {
		switch v := &versions[i]; {
		case v.id == id && v.marker:
			return nil, fmt.Errorf("%s: %w", key, sink.ErrHidden)
		case v.id == id:
			return v, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", key, sink.ErrNotExist)
}

func (m *Memory) add(key string, v version) *version {
	m.serial++
	v.id, v.modified = "v"+strconv.Itoa(m.serial), m.opts.Now().UTC()
	m.objects[key] = append(m.objects[key], v)
	return &m.objects[key][len(m.objects[key])-1]
}

func describe(key string, v *version) sink.Info {
	return sink.Info{
		Key:         key,
		Version:     v.id,
		Size:        int64(len(v.body)),
		SHA256:      sha256.Sum256(v.body),
		ContentType: v.contentType,
		Lock:        v.lock,
		Held:        v.held,
	}
}

var strength = map[sink.Mode]int{sink.None: 0, sink.Governance: 1, sink.Compliance: 2}

func weaker(a, b sink.Mode) bool { return strength[a] < strength[b] }

// lengthen locks a version for as long and in the mode as is wanted, or better. Governance stays governance, as on servers, where the right to get past a lock is
// needed to make it a stricter one.
func lengthen(v *version, key string, want sink.Lock) error {
	if v.lock.Mode == sink.Governance && want.Mode == sink.Compliance {
		return fmt.Errorf("%s: %w", key, sink.ErrLock)
	}
	v.lock = stronger(v.lock, want)
	return nil
}

// stronger is the lock that covers both a and b.
func stronger(a, b sink.Lock) sink.Lock {
	if weaker(a.Mode, b.Mode) {
		a.Mode = b.Mode
	}
	if a.RetainUntil.Before(b.RetainUntil) {
		a.RetainUntil = b.RetainUntil
	}
	return a
}
