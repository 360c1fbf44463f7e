package sinktest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"daybook/sink"
)

var (
	_ sink.Lister    = (*Memory)(nil)
	_ sink.Versioner = (*Memory)(nil)
	_ sink.Expirer   = (*Memory)(nil)
	_ sink.Clock     = (*Memory)(nil)
	_ sink.Ranger    = (*Memory)(nil)
	_ sink.Locker    = (*Memory)(nil)
)

// List implements sink.Lister, as one operation: what it yields is what the store held when the iteration began. A Fault that persisted
// strikes after the last entry.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return m.walk(ctx, "list", prefix, func(e sink.Entry) bool { return e.Latest && !e.Marker })
}

// Versions implements sink.Versioner, as one operation like List. History tells of one key alone, and more.
func (m *Memory) Versions(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return m.walk(ctx, "versions", prefix, func(sink.Entry) bool { return true })
}

func (m *Memory) walk(ctx context.Context, name, prefix string, take func(sink.Entry) bool) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		entries, err := m.snapshot(ctx, name, prefix, take)
		for _, e := range entries {
			if ctx.Err() != nil {
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(sink.Entry{}, err)
		}
	}
}

func (m *Memory) snapshot(ctx context.Context, name, prefix string, take func(sink.Entry) bool) (entries []sink.Entry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err = m.run(ctx, name, prefix, func() error {
		for _, key := range slices.Sorted(maps.Keys(m.objects)) {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			latest := true
			for _, v := range slices.Backward(m.objects[key]) {
				e := sink.Entry{Key: key, Version: v.id, Size: int64(len(v.body)), Modified: v.modified, Latest: latest, Marker: v.marker}
				if take(e) {
					entries = append(entries, e)
				}
				latest = false
			}
		}
		return nil
	})
	return entries, err
}

// Expiry implements sink.Expirer: it tells the rules of SetExpiry, and removes nothing by them. FailKey with sink.ErrUnknown makes a store of it that
// cannot tell.
func (m *Memory) Expiry(ctx context.Context) (rules []sink.ExpiryRule, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err = m.run(ctx, "expiry", "", func() error {
		rules = slices.Clone(m.expiry)
		return nil
	})
	return rules, err
}

// SetExpiry sets lifecycle rules in place of those that were there.
func (m *Memory) SetExpiry(rules ...sink.ExpiryRule) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expiry = slices.Clone(rules)
}

// Offset implements sink.Clock. It is not known until SetOffset.
func (m *Memory) Offset() (time.Duration, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.offset == nil {
		return 0, false
	}
	return *m.offset, true
}

// SetOffset says by how much the store's clock is ahead of ours. It changes nothing else: locks hold against Options.Now.
func (m *Memory) SetOffset(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offset = &d
}

// Lengthen implements sink.Locker. A lock that is to end in the past fails the test: nobody means that.
func (m *Memory) Lengthen(ctx context.Context, key, id string, want sink.Lock) (info sink.Info, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policeKey(key)
	if !m.lenient && (want.Mode != sink.None && !want.RetainUntil.After(m.opts.Now()) || want.RetainUntil.Nanosecond() != 0) {
		m.t.Errorf("lengthen %q: retain-until %s is past, or has a fraction of a second", key, want.RetainUntil.Format(time.RFC3339Nano))
	}
	err = m.run(ctx, "lengthen", key, func() error {
		v, err := m.lockable(key, id)
		if err == nil {
			covered := v.lock.Covers(want)
			if err := lengthen(v, key, want); err != nil {
				return err
			}
			info = describe(key, v)
			info.Existed = covered
		}
		return err
	})
	return info, err
}

// Hold implements sink.Locker.
func (m *Memory) Hold(ctx context.Context, key, id string, on bool) (info sink.Info, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policeKey(key)
	name := "release"
	if on {
		name = "hold"
	}
	err = m.run(ctx, name, key, func() error {
		v, err := m.lockable(key, id)
		if err == nil {
			was := v.held
			v.held = on
			info = describe(key, v)
			info.Existed = was == on
		}
		return err
	})
	return info, err
}

// lockable finds a version in a store that locks.
func (m *Memory) lockable(key, id string) (*version, error) {
	if m.opts.Mode == sink.None {
		return nil, fmt.Errorf("%s: the store has no locks: %w", key, sink.ErrUnfit)
	}
	return m.find(key, id)
}

// Clone returns a copy of the store, versions, locks and rules included, that has nothing to do with it any more. The copy is for damage: it fails no
// test, but refuses what no store takes; it has no faults and no log.
func (m *Memory) Clone(t testing.TB) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory(t, &m.opts)
	c.opts.AllowConflict, c.opts.AllowAnyKey, c.lenient = true, true, true
	for key, versions := range m.objects {
		c.objects[key] = slices.Clone(versions) // the bytes of a version are never changed, only replaced
	}
	c.serial, c.expiry = m.serial, slices.Clone(m.expiry)
	if m.offset != nil {
		offset := *m.offset
		c.offset = &offset
	}
	return c
}
