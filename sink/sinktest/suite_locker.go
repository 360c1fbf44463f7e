package sinktest

import (
	"context"
	"errors"
	"testing"
	"time"

	"daybook/sink"
)

// locker is what a store is that locks.
type locker interface {
	sink.Store
	sink.Locker
}

// openLocker opens a store that locks. One that does not is no sink.Locker, or refuses.
func (s *suite) openLocker(t *testing.T) locker {
	t.Helper()
	store, ok := s.open(t).(locker)
	if s.caps.Mode != sink.None {
		if !ok {
			t.Fatal("the store locks and is no sink.Locker")
		}
		return store
	}
	o := NewObject("a", []byte("x"), sink.None, s.caps.Now(), 0)
	o.Hold = true
	if _, err := s.open(t).Put(t.Context(), o); !errors.Is(err, sink.ErrUnfit) {
		t.Errorf("Put with a hold = %v, want ErrUnfit", err)
	}
	if ok {
		s.put(t, store, s.object("a", "x"), false)
		if _, err := store.Lengthen(t.Context(), "a", "", s.lockFor(sink.Governance, time.Hour)); !errors.Is(err, sink.ErrUnfit) {
			t.Errorf("Lengthen = %v, want ErrUnfit", err)
		}
		if _, err := store.Hold(t.Context(), "a", "", true); !errors.Is(err, sink.ErrUnfit) {
			t.Errorf("Hold = %v, want ErrUnfit", err)
		}
	}
	t.Skip("the store does not lock")
	return nil
}

func (s *suite) lockFor(mode sink.Mode, d time.Duration) sink.Lock {
	return NewObject("", nil, mode, s.caps.Now(), d).Lock
}

func (s *suite) lengthen(t *testing.T) {
	store := s.openLocker(t)
	info := s.put(t, store, NewObject("a", []byte("x"), s.caps.Mode, s.caps.Now(), time.Hour), false)
	long := s.lockFor(s.caps.Mode, 48*time.Hour)
	for _, c := range []struct {
		name, version string
		want          sink.Lock
	}{
		{"longer", info.Version, long},
		{"again", info.Version, long},
		{"shorter", info.Version, s.lockFor(s.caps.Mode, 2*time.Hour)},
		{"weaker", "", s.lockFor(sink.Governance, 24*time.Hour)},
		{"none", "", sink.Lock{}},
	} {
		got, err := store.Lengthen(t.Context(), "a", c.version, c.want)
		if err != nil || got.Version != info.Version || got.Key != "a" || got.Size != 1 || got.SHA256 != info.SHA256 || got.Lock != long || got.Held || got.Existed != (c.name != "longer") {
			t.Errorf("%s: Lengthen = %+v, %v; want a lock %v of version %s", c.name, got, err, long, info.Version)
		}
		s.headLock(t, store, info.Version, long, false)
	}
	// A fraction of a second must not end the lock before its time.
	if between := (sink.Lock{Mode: s.caps.Mode, RetainUntil: long.RetainUntil.Add(time.Hour + 1)}); !isMemory(store) {
		if got, err := store.Lengthen(t.Context(), "a", "", between); err != nil || got.Lock.RetainUntil.Before(between.RetainUntil) {
			t.Errorf("Lengthen to a fraction of a second: %+v, %v", got, err)
		}
	}
	stricter := s.lockFor(sink.Compliance, 72*time.Hour)
	got, err := store.Lengthen(t.Context(), "a", "", stricter)
	if err != nil && (s.caps.Mode == sink.Compliance || !errors.Is(err, sink.ErrLock)) || err == nil && got.Lock != stricter {
		t.Errorf("Lengthen, stricter = %+v, %v", got, err)
	}
	s.refuses(t, store, func(ctx context.Context, key, version string) error {
		_, err := store.Lengthen(ctx, key, version, long)
		return err
	})
}

// isMemory reports whether it is the store in memory, where misuse fails the test.
func isMemory(store sink.Store) bool {
	_, ok := store.(*Memory)
	return ok
}

func (s *suite) hold(t *testing.T) {
	store := s.openLocker(t)
	info := s.put(t, store, NewObject("a", []byte("x"), s.caps.Mode, s.caps.Now(), time.Hour), false)
	before := false
	for _, on := range []bool{false, true, true, false, false, true} {
		got, err := store.Hold(t.Context(), "a", info.Version, on)
		if err != nil || got.Held != on || got.Existed != (on == before) || got.Key != "a" || got.Version != info.Version || got.Lock != info.Lock || got.SHA256 != info.SHA256 {
			t.Errorf("Hold(%v) = %+v, %v", on, got, err)
		}
		s.headLock(t, store, info.Version, info.Lock, on)
		before = on
	}
	if got, err := store.Lengthen(t.Context(), "a", "", s.lockFor(s.caps.Mode, 48*time.Hour)); err != nil || !got.Held {
		t.Errorf("Lengthen of what is held = %+v, %v", got, err)
	}
	// A hold comes with the object, or over one that is there without it.
	held := s.object("b", "y")
	held.Hold = true
	first := s.put(t, store, held, false)
	if !first.Held {
		t.Errorf("Put with a hold = %+v", first)
	}
	s.put(t, store, s.object("c", "z"), false)
	later := s.object("c", "z")
	later.Hold = true
	if got := s.put(t, store, later, true); !got.Held {
		t.Errorf("Put with a hold over one without = %+v", got)
	}
	later.Hold = false
	if got := s.put(t, store, later, true); !got.Held {
		t.Errorf("Put without a hold lifted one: %+v", got)
	}
	if s.caps.Delete != nil {
		s.holdKeeps(t, store)
	}
	s.refuses(t, store, func(ctx context.Context, key, version string) error {
		_, err := store.Hold(ctx, key, version, true)
		return err
	})
	if s.caps.Overwrite == nil {
		return
	}
	// A version that is not the newest is held and told of as well.
	s.caps.Overwrite(t, store, "b", []byte("forged"))
	for _, on := range []bool{false, true} {
		if got, err := store.Hold(t.Context(), "b", first.Version, on); err != nil || got.Held != on || got.Version != first.Version {
			t.Errorf("Hold(%v) of a version that is not the newest = %+v, %v", on, got, err)
		}
	}
	if newest, err := store.Head(t.Context(), "b", ""); err != nil || newest.Held {
		t.Errorf("the version over it = %+v, %v", newest, err)
	}
}

// holdKeeps holds an object that a person with the bypass right could delete, who cannot until the hold is lifted.
func (s *suite) holdKeeps(t *testing.T, store locker) {
	t.Helper()
	info := s.put(t, store, s.object("d", "kept"), false)
	if _, err := store.Hold(t.Context(), "d", "", true); err != nil {
		t.Fatal(err)
	}
	if err := s.caps.Delete(t, store, "d", info.Version); err == nil {
		t.Error("what is held was deleted")
	}
	if got := read(t, store, "d", info.Version); string(got) != "kept" {
		t.Errorf("what is held reads as %q", got)
	}
	if _, err := store.Hold(t.Context(), "d", info.Version, false); err != nil {
		t.Error(err)
	}
	if err := s.caps.Delete(t, store, "d", info.Version); (err == nil) != (s.caps.Mode == sink.Governance) {
		t.Errorf("delete what is held no more, with a lock of mode %s: %v", s.caps.Mode, err)
	}
}

func (s *suite) headLock(t *testing.T, store sink.Store, version string, want sink.Lock, held bool) {
	t.Helper()
	head, err := store.Head(t.Context(), "a", version)
	if err != nil || head.Lock != want || head.Held != held {
		t.Errorf("Head = %+v, %v; want lock %v, held %v", head, err, want, held)
	}
}

// refuses tries what is not there, what is hidden, and a context that is over.
func (s *suite) refuses(t *testing.T, store locker, do func(ctx context.Context, key, version string) error) {
	t.Helper()
	if err := do(t.Context(), "nothing", ""); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("of what is not there: %v, want ErrNotExist", err)
	}
	if err := do(t.Context(), "../a", ""); err == nil || errors.Is(err, sink.ErrNotExist) {
		t.Errorf("of an invalid key: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := do(ctx, "a", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if s.caps.Hide == nil {
		return
	}
	info := s.put(t, store, s.object("hidden", "x"), false)
	s.caps.Hide(t, store, "hidden")
	if err := do(t.Context(), "hidden", ""); !errors.Is(err, sink.ErrHidden) {
		t.Errorf("of what is hidden: %v, want ErrHidden", err)
	}
	if err := do(t.Context(), "hidden", info.Version); err != nil {
		t.Errorf("of the version that is hidden: %v", err)
	}
}
