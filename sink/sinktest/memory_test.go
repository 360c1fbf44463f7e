package sinktest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"daybook/sink"
	"daybook/sink/sinktest"
)

// recorder is a testing.TB that keeps complaints instead of failing.
type recorder struct {
	testing.TB
	complaints []string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.complaints = append(r.complaints, fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, args ...any) {
	r.complaints = append(r.complaints, fmt.Sprintf(f, args...))
}

func TestMemory(t *testing.T) {
	for _, mode := range []sink.Mode{sink.None, sink.Governance, sink.Compliance} {
		t.Run("mode="+string(mode), func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sink.Store {
				return sinktest.NewMemory(&recorder{TB: t}, &sinktest.Options{Mode: mode, AllowConflict: true, AllowAnyKey: true})
			}, sinktest.Caps{
				Mode:        mode,
				Versions:    true,
				ContentType: true,
				Hide:        func(_ *testing.T, s sink.Store, key string) { s.(*sinktest.Memory).Hide(key) },
				Overwrite: func(_ *testing.T, s sink.Store, key string, body []byte) {
					s.(*sinktest.Memory).Overwrite(key, body, sink.Lock{})
				},
				Delete: func(_ *testing.T, s sink.Store, key, version string) error {
					m := s.(*sinktest.Memory)
					if mode == sink.Governance {
						m.SetLock(key, sink.Lock{}) // by the right to bypass it
					}
					return m.DeleteVersion(key, version)
				},
				Lists:     true,
				SetExpiry: func(_ *testing.T, s sink.Store, rules []sink.ExpiryRule) { s.(*sinktest.Memory).SetExpiry(rules...) },
			})
		})
	}
}

var now = time.Date(2026, 3, 11, 1, 0, 0, 0, time.UTC)

func object(key, body string) sink.Object {
	return sinktest.NewObject(key, []byte(body), sink.Compliance, now, time.Hour)
}

func newMemory(t testing.TB) *sinktest.Memory {
	return sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return now }})
}

func TestMemoryPolices(t *testing.T) {
	for _, c := range []struct {
		name string
		put  func(o *sink.Object)
		want string
	}{
		{"checksum", func(o *sink.Object) { o.SHA256 = sha256.Sum256(nil) }, "SHA-256"},
		{"short body", func(o *sink.Object) { o.Size++ }, "bytes"},
		{"long body", func(o *sink.Object) { o.Size-- }, "bytes"},
		{"no body", func(o *sink.Object) { o.Body = nil }, "no body"},
		{"empty element", func(o *sink.Object) { o.Key = "a//b" }, "empty"},
		{"traversal", func(o *sink.Object) { o.Key = "../a" }, ".."},
		{"colon", func(o *sink.Object) { o.Key = "a:b" }, "percent-encoded"},
		{"space", func(o *sink.Object) { o.Key = "a b" }, "percent-encoded"},
		{"past", func(o *sink.Object) { o.Lock.RetainUntil = now }, "past"},
		{"fraction", func(o *sink.Object) { o.Lock.RetainUntil = now.Add(time.Hour + 1) }, "fraction"},
		{"mode", func(o *sink.Object) { o.Lock.Mode = "compliance" }, "mode"},
		{"date without mode", func(o *sink.Object) { o.Lock.Mode = sink.None }, "without a mode"},
		{"other bytes", func(o *sink.Object) { *o = object("first", "other") }, "retry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{TB: t}
			m := newMemory(r)
			if _, err := m.Put(t.Context(), object("first", "x")); err != nil || len(r.complaints) > 0 {
				t.Fatalf("a proper Put: %v, %q", err, r.complaints)
			}
			o := object("a", "the bytes")
			c.put(&o)
			if _, err := m.Put(t.Context(), o); err == nil {
				t.Error("Put succeeded")
			}
			if len(r.complaints) != 1 || !strings.Contains(r.complaints[0], c.want) {
				t.Errorf("complaints %q, want one about %q", r.complaints, c.want)
			}
		})
	}
}

func TestMemoryFaults(t *testing.T) {
	for _, persisted := range []bool{false, true} {
		m := newMemory(t)
		m.FailStep(2, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: persisted})
		if _, err := m.Put(t.Context(), object("a", "x")); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Put(t.Context(), object("b", "y")); !errors.Is(err, sinktest.ErrUnavailable) {
			t.Errorf("step 2: %v", err)
		}
		info, err := m.Put(t.Context(), object("b", "y"))
		if err != nil || info.Existed != persisted {
			t.Errorf("retry with persisted %v: existed %v, %v", persisted, info.Existed, err)
		}
		log := m.TakeLog()
		if got := fmt.Sprint(log); got != "[put a put b put b]" || log[1].Err == nil {
			t.Errorf("log %s", got)
		}
	}
	m := newMemory(t)
	m.FailKey("put", "note", sinktest.Fault{Err: sinktest.ErrTimeout})
	if _, err := m.Put(t.Context(), object("seals/manifest.json", "{}")); err != nil {
		t.Error(err)
	}
	for range 2 {
		if _, err := m.Put(t.Context(), object("seals/SHA256SUMS.note", "n")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put = %v", err)
		}
	}
	m.Heal()
	if _, err := m.Put(t.Context(), object("seals/SHA256SUMS.note", "n")); err != nil {
		t.Error(err)
	}
}

func TestMemoryTampering(t *testing.T) {
	m := newMemory(t)
	info, err := m.Put(t.Context(), object("a", "sealed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DeleteVersion("a", info.Version); !errors.Is(err, sinktest.ErrLocked) {
		t.Errorf("delete of a locked version: %v", err)
	}
	m.FlipBit("a", 8)
	if got := m.Bytes("a"); string(got) != "sdaled" {
		t.Errorf("after a flip: %q", got)
	}
	m.Hide("a")
	m.Overwrite("a", []byte("forged"), sink.Lock{})
	versions := m.History("a")
	if len(versions) != 3 || !versions[1].Marker || versions[2].SHA256 != sha256.Sum256([]byte("forged")) {
		t.Errorf("versions %+v", versions)
	}
	if err := m.DeleteVersion("a", versions[2].ID); err != nil {
		t.Errorf("delete of an unlocked version: %v", err)
	}
	if m.Bytes("a") != nil {
		t.Error("the delete marker hides nothing")
	}
	if got := m.Keys(); len(got) != 1 || got[0] != "a" {
		t.Errorf("keys %q", got)
	}
	defer func(then time.Time) { now = then }(now)
	now = now.Add(2 * time.Hour)
	if err := m.DeleteVersion("a", info.Version); err != nil {
		t.Errorf("delete after the lock ended: %v", err)
	}
	m.Overwrite("b", bytes.Repeat([]byte("x"), 3), sink.Lock{})
	m.SetLock("b", sink.Lock{Mode: sink.Governance, RetainUntil: now.Add(time.Hour)})
	if err := m.DeleteVersion("b", m.History("b")[0].ID); !errors.Is(err, sinktest.ErrLocked) {
		t.Errorf("delete of a version that was locked later: %v", err)
	}
}
