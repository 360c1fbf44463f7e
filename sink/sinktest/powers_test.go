package sinktest_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/sink"
	"daybook/sink/sinktest"
)

func put(t *testing.T, m *sinktest.Memory, key, body string) sink.Info {
	t.Helper()
	info, err := m.Put(t.Context(), object(key, body))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestMemoryListsAsOneOperation(t *testing.T) {
	m := newMemory(t)
	put(t, m, "a", "x")
	put(t, m, "b", "y")
	m.TakeLog()
	m.FailKey("list", "", sinktest.Fault{Err: sinktest.ErrUnavailable})
	m.FailKey("versions", "", sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: true})
	m.FailKey("expiry", "", sinktest.Fault{Err: sink.ErrUnknown})
	for _, c := range []struct {
		want    int
		listing func(yield func(sink.Entry, error) bool)
	}{{0, m.List(t.Context(), "a")}, {2, m.Versions(t.Context(), "")}} {
		entries, failed := 0, 0
		for _, err := range c.listing {
			switch {
			case err == nil:
				entries++
			case errors.Is(err, sinktest.ErrUnavailable):
				failed++
			default:
				t.Error(err)
			}
		}
		if entries != c.want || failed != 1 {
			t.Errorf("%d entries, %d errors; want %d, 1", entries, failed, c.want)
		}
	}
	if _, err := m.Expiry(t.Context()); !errors.Is(err, sink.ErrUnknown) {
		t.Errorf("Expiry = %v", err)
	}
	if got := fmt.Sprint(m.TakeLog()); got != "[list a versions expiry]" {
		t.Errorf("log %s", got)
	}
}

func TestMemoryOffset(t *testing.T) {
	m := newMemory(t)
	if d, ok := m.Offset(); ok {
		t.Errorf("offset %s of a clock that nobody asked", d)
	}
	m.SetOffset(-3 * time.Second)
	if d, ok := m.Offset(); !ok || d != -3*time.Second {
		t.Errorf("offset %s, %v", d, ok)
	}
}

func TestMemoryClone(t *testing.T) {
	m := newMemory(t)
	for _, key := range []string{"a", "b", "c"} {
		put(t, m, key, "sealed")
	}
	m.Hide("b")
	m.SetExpiry(sink.ExpiryRule{ID: "all", Days: 1})
	m.SetOffset(time.Second)
	before := sinktest.Collect(t, m.Versions(t.Context(), ""))

	r := &recorder{TB: t}
	c := m.Clone(r)
	if diff := cmp.Diff(before, sinktest.Collect(t, c.Versions(t.Context(), ""))); diff != "" {
		t.Errorf("the copy differs (-want +got):\n%s", diff)
	}
	rules, err := c.Expiry(t.Context())
	if offset, ok := c.Offset(); err != nil || len(rules) != 1 || !ok || offset != time.Second {
		t.Errorf("rules %+v, %v; offset %s, %v", rules, err, offset, ok)
	}
	c.FlipBit("a", 0)
	c.Replace("c", []byte("forged in place"))
	c.SetLock("a", sink.Lock{})
	c.Overwrite("a", []byte("forged"), sink.Lock{})
	c.Overwrite("d", []byte("unlisted"), sink.Lock{})
	c.Erase("b")
	c.SetExpiry()
	c.SetOffset(0)
	for key, want := range map[string]string{"a": "forged", "b": "", "c": "forged in place", "d": "unlisted"} {
		if got := c.Bytes(key); string(got) != want {
			t.Errorf("copy: %s holds %q, want %q", key, got, want)
		}
	}
	if h, was := c.History("c"), m.History("c"); len(h) != 1 || h[0].ID != was[0].ID || h[0].Lock != was[0].Lock {
		t.Errorf("what was replaced has a history %+v, was %+v", h, was)
	}
	c.Erase("a", c.History("a")[1].ID)
	if h := c.History("a"); len(h) != 1 || !bytes.Equal(c.Bytes("a"), []byte("realed")) || h[0].Lock != (sink.Lock{}) {
		t.Errorf("after the newer version was erased: %q, %+v", c.Bytes("a"), h)
	}
	// What a copy refuses is no fault of the test.
	if _, err := c.Head(t.Context(), "../a:b", ""); err == nil || errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Head of no key = %v", err)
	}
	if _, err := c.Put(t.Context(), object("d", "other")); !errors.Is(err, sink.ErrConflict) {
		t.Errorf("Put of other bytes = %v", err)
	}
	short := object("e", "x")
	short.Size++
	if _, err := c.Put(t.Context(), short); err == nil {
		t.Error("Put of a short body succeeded")
	}
	if len(r.complaints) > 0 {
		t.Errorf("complaints %q", r.complaints)
	}

	if diff := cmp.Diff(before, sinktest.Collect(t, m.Versions(t.Context(), ""))); diff != "" {
		t.Errorf("the original changed (-want +got):\n%s", diff)
	}
	for _, key := range []string{"a", "c"} {
		if got := m.Bytes(key); string(got) != "sealed" {
			t.Errorf("original: %s holds %q", key, got)
		}
	}
	if rules, err := m.Expiry(t.Context()); err != nil || len(rules) != 1 {
		t.Errorf("original: rules %+v, %v", rules, err)
	}
	if offset, _ := m.Offset(); offset != time.Second {
		t.Errorf("original: offset %s", offset)
	}
}
