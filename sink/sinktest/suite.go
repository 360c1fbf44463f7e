package sinktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"daybook/sink"
)

// Caps says what a store can do, and gives the suite hands to reach behind it.
type Caps struct {
	// Mode is the strongest lock the store gives. None: a Put that asks for one must be ErrUnfit.
	Mode sink.Mode
	// Versions says that the store names versions.
	Versions bool
	// ContentType says that the store keeps content types.
	ContentType bool
	// Hide sets a delete marker in front of key, and Overwrite puts a version over it without a lock, behind the store's back. Nil
	// where the store has no such thing.
	Hide      func(t *testing.T, s sink.Store, key string)
	Overwrite func(t *testing.T, s sink.Store, key string, body []byte)
	// Now is the store's clock. Default: time.Now.
	Now func() time.Time
	// Delete deletes a version behind the store's back, as the administrator does who gets past a Governance lock. Nil where nothing
	// does.
	Delete func(t *testing.T, s sink.Store, key, version string) error
	// Lists says that the store is a sink.Lister and a sink.Versioner.
	Lists bool
	// SetExpiry sets lifecycle rules behind the store's back: their prefix is relative to its root. CannotTell says that the store is a sink.Expirer
	// whose server does not say.
	SetExpiry  func(t *testing.T, s sink.Store, rules []sink.ExpiryRule)
	CannotTell bool
	// Client follows the links that the store gives; nil: nobody does.
	Client *http.Client
}

// NewObject returns an object with the body and, where mode is not None, a lock until the whole second after now + retain.
func NewObject(key string, body []byte, mode sink.Mode, now time.Time, retain time.Duration) sink.Object {
	o := sink.Object{
		Key:         key,
		ContentType: "text/plain",
		Size:        int64(len(body)),
		SHA256:      sha256.Sum256(body),
		Body:        bytes.NewReader(body),
	}
	if mode != sink.None {
		o.Lock = sink.Lock{Mode: mode, RetainUntil: now.Add(retain).UTC().Truncate(time.Second).Add(time.Second)}
	}
	return o
}

type suite struct {
	caps Caps
	open func(t *testing.T) sink.Store
}

// Run tests a store. open returns an empty store of its own for each subtest.
func Run(t *testing.T, open func(t *testing.T) sink.Store, caps Caps) {
	if caps.Now == nil {
		caps.Now = time.Now
	}
	s := &suite{caps: caps, open: func(t *testing.T) sink.Store {
		t.Helper()
		store := open(t)
		if err := store.Preflight(t.Context()); err != nil {
			t.Fatalf("Preflight of an empty store: %v", err)
		}
		return store
	}}
	t.Run("PutHeadGet", s.putHeadGet)
	t.Run("Keys", s.keys)
	t.Run("InvalidKeys", s.invalidKeys)
	t.Run("Absent", s.absent)
	t.Run("SameBytesAgain", s.sameBytesAgain)
	t.Run("OtherBytes", s.otherBytes)
	t.Run("WrongChecksum", s.wrongChecksum)
	t.Run("ShortBody", s.shortBody)
	t.Run("Cancelled", s.cancelled)
	t.Run("Race", s.race)
	t.Run("Lock", s.lock)
	t.Run("Lengthen", s.lengthen)
	t.Run("Hold", s.hold)
	t.Run("Hidden", s.hidden)
	t.Run("Overwritten", s.overwritten)
	t.Run("List", s.list)
	t.Run("ListVersions", s.listVersions)
	t.Run("ListCancelled", s.listCancelled)
	t.Run("Expiry", s.expiry)
	t.Run("Range", s.ranges)
	t.Run("Link", s.links)
	t.Run("Frost", s.frost)
}

func (s *suite) object(key, body string) sink.Object {
	return NewObject(key, []byte(body), s.caps.Mode, s.caps.Now(), 24*time.Hour)
}

// check holds info, and what the store says and holds of the object, against o.
func (s *suite) check(t *testing.T, store sink.Store, o sink.Object, info sink.Info) {
	t.Helper()
	s.checkInfo(t, "Put", o, info)
	for _, version := range []string{"", info.Version} {
		head, err := store.Head(t.Context(), o.Key, version)
		if err != nil {
			t.Errorf("Head(%q, %q): %v", o.Key, version, err)
			continue
		}
		s.checkInfo(t, "Head", o, head)
		if head.Version != info.Version || head.Existed {
			t.Errorf("Head(%q, %q) = version %q, existed %v; want version %q, false", o.Key, version, head.Version, head.Existed, info.Version)
		}
		if got, want := read(t, store, o.Key, version), body(t, o); !bytes.Equal(got, want) {
			t.Errorf("Get(%q, %q): %d bytes, not the %d that were put", o.Key, version, len(got), len(want))
		}
	}
}

func (s *suite) checkInfo(t *testing.T, from string, o sink.Object, info sink.Info) {
	t.Helper()
	if info.Key != o.Key || info.Size != o.Size || info.SHA256 != o.SHA256 {
		t.Errorf("%s of %q: key %q, %d bytes, SHA-256 %x; want %d bytes, %x", from, o.Key, info.Key, info.Size, info.SHA256, o.Size, o.SHA256)
	}
	if (info.Version != "") != s.caps.Versions {
		t.Errorf("%s of %q: version %q", from, o.Key, info.Version)
	}
	if !info.Lock.Covers(o.Lock) {
		t.Errorf("%s of %q: lock %v, want %v", from, o.Key, info.Lock, o.Lock)
	}
	if want := o.ContentType; s.caps.ContentType && info.ContentType != want {
		t.Errorf("%s of %q: content type %q, want %q", from, o.Key, info.ContentType, want)
	}
}

func read(t *testing.T, store sink.Store, key, version string) []byte {
	t.Helper()
	r, err := store.Get(t.Context(), key, version)
	if err != nil {
		t.Errorf("Get(%q, %q): %v", key, version, err)
		return nil
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Errorf("read %q: %v", key, err)
	}
	return got
}

func body(t *testing.T, o sink.Object) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(o.Body, 0, o.Size))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (s *suite) put(t *testing.T, store sink.Store, o sink.Object, existed bool) sink.Info {
	t.Helper()
	info, err := store.Put(t.Context(), o)
	if err != nil {
		t.Fatalf("Put(%q): %v", o.Key, err)
	}
	if info.Existed != existed {
		t.Errorf("Put(%q): existed %v, want %v", o.Key, info.Existed, existed)
	}
	s.check(t, store, o, info)
	return info
}

func (s *suite) putHeadGet(t *testing.T) {
	store := s.open(t)
	s.put(t, store, s.object("csv/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.0001.csv.gz", "Timestamp\n"), false)
	s.put(t, store, s.object("empty", ""), false)
	s.put(t, store, s.object("large", strings.Repeat("0123456789abcde\n", 5<<16)), false)
	if err := store.Preflight(t.Context()); err != nil {
		t.Errorf("Preflight of a store in use: %v", err)
	}
}

func (s *suite) keys(t *testing.T) {
	store := s.open(t)
	for _, key := range []string{
		"a", "a.b/c", "..a/b..", "x/.dot", "_under/score", "UPPER/lower", "a%2Fb", "a%20b%", "a+b", "a=b&c=d", "a b", "größe/日本", "a'b\"c",
		"a~b!c$d(e)f*g,h;i@j", "q?x#y", "a:b", strings.Repeat("k", 200) + "/" + strings.Repeat("k", 200),
	} {
		s.put(t, store, s.object(key, "the bytes of "+key), false)
	}
}

func (s *suite) invalidKeys(t *testing.T) {
	store := s.open(t)
	for _, key := range []string{
		"", "/", "/etc/passwd", "a/", "a//b", ".", "..", "../a", "../../etc/passwd", "a/../b", "a/./b", "a\\b", "a\x00b", "a\nb", "a\xff",
		strings.Repeat("a/", 512) + "a",
	} {
		if _, err := store.Put(t.Context(), s.object(key, "x")); err == nil || errors.Is(err, sink.ErrNotExist) || errors.Is(err, sink.ErrConflict) {
			t.Errorf("Put(%.40q) = %v, want an error", key, err)
		}
		if _, err := store.Head(t.Context(), key, ""); err == nil || errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Head(%.40q) = %v, want an error other than ErrNotExist", key, err)
		}
		if r, err := store.Get(t.Context(), key, ""); err == nil || errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Get(%.40q) = %v, %v, want an error other than ErrNotExist", key, r, err)
		}
	}
}

func (s *suite) absent(t *testing.T) {
	store := s.open(t)
	s.put(t, store, s.object("a/b", "x"), false)
	for _, key := range []string{"nothing", "a", "a/c", "x/y/z"} {
		if key == "a" && !s.caps.Versions {
			continue // in a folder, a folder stands there
		}
		if _, err := store.Head(t.Context(), key, ""); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Head(%q) = %v, want ErrNotExist", key, err)
		}
		if _, err := store.Get(t.Context(), key, ""); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Get(%q) = %v, want ErrNotExist", key, err)
		}
	}
}

func (s *suite) sameBytesAgain(t *testing.T) {
	store := s.open(t)
	o := s.object("a/b", "the same bytes")
	first := s.put(t, store, o, false)
	second := s.put(t, store, o, true)
	if second.Version != first.Version {
		t.Errorf("version %q became %q", first.Version, second.Version)
	}
}

func (s *suite) otherBytes(t *testing.T) {
	store := s.open(t)
	first := s.object("a/b", "first")
	info := s.put(t, store, first, false)
	for _, other := range []string{"other", "longer than the first", "", "First"} {
		if _, err := store.Put(t.Context(), s.object("a/b", other)); !errors.Is(err, sink.ErrConflict) {
			t.Errorf("Put of other bytes = %v, want ErrConflict", err)
		}
	}
	s.check(t, store, first, info)
}

func (s *suite) wrongChecksum(t *testing.T) {
	store := s.open(t)
	o := s.object("a", "the bytes")
	o.SHA256 = sha256.Sum256([]byte("other bytes"))
	if _, err := store.Put(t.Context(), o); err == nil || errors.Is(err, sink.ErrConflict) {
		t.Errorf("Put with a wrong SHA-256 = %v, want an error that is no conflict", err)
	}
	if _, err := store.Head(t.Context(), "a", ""); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Head after a refused Put = %v, want ErrNotExist", err)
	}
	s.put(t, store, s.object("a", "the bytes"), false)
}

func (s *suite) shortBody(t *testing.T) {
	store := s.open(t)
	o := s.object("a", "the bytes")
	o.Size += 3
	if _, err := store.Put(t.Context(), o); err == nil || errors.Is(err, sink.ErrConflict) {
		t.Errorf("Put of a short body = %v, want an error that is no conflict", err)
	}
	if _, err := store.Head(t.Context(), "a", ""); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Head after a refused Put = %v, want ErrNotExist", err)
	}
}

func (s *suite) cancelled(t *testing.T) {
	store := s.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := s.object("a", "x")
	if _, err := store.Put(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if _, err := store.Head(t.Context(), "a", ""); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Head after a cancelled Put = %v, want ErrNotExist", err)
	}
	s.put(t, store, o, false)
	if _, err := store.Head(ctx, "a", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Head = %v, want context.Canceled", err)
	}
	if _, err := store.Get(ctx, "a", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Get = %v, want context.Canceled", err)
	}
	if err := store.Preflight(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Preflight = %v, want context.Canceled", err)
	}
}

// race puts the same bytes, and then other bytes, from several goroutines at once.
func (s *suite) race(t *testing.T) {
	store := s.open(t)
	const racers = 8
	for _, c := range []struct {
		name string
		body func(i int) string
	}{
		{"same", func(int) string { return "the same" }},
		{"other", func(i int) string { return fmt.Sprint("bytes of racer ", i) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, now := "race/"+c.name, s.caps.Now()
			object := func(i int) sink.Object { return NewObject(key, []byte(c.body(i)), s.caps.Mode, now, 24*time.Hour) }
			infos, errs := make([]sink.Info, racers), make([]error, racers)
			var wg sync.WaitGroup
			for i := range racers {
				wg.Go(func() { infos[i], errs[i] = store.Put(t.Context(), object(i)) })
			}
			wg.Wait()
			winner := -1
			for i, err := range errs {
				switch {
				case err == nil && c.name == "other" && winner >= 0:
					t.Errorf("racers %d and %d both put their bytes", winner, i)
				case err == nil:
					winner = i
				case c.name == "same" || !errors.Is(err, sink.ErrConflict):
					t.Errorf("racer %d: %v", i, err)
				}
			}
			if winner < 0 {
				t.Fatal("no racer succeeded")
			}
			for i := range racers {
				if errs[i] == nil && infos[i].Version != infos[winner].Version {
					t.Errorf("two versions: %q and %q", infos[winner].Version, infos[i].Version)
				}
			}
			s.check(t, store, object(winner), infos[winner])
		})
	}
}

func (s *suite) lock(t *testing.T) {
	store := s.open(t)
	now := s.caps.Now()
	if s.caps.Mode == sink.None {
		for _, mode := range []sink.Mode{sink.Governance, sink.Compliance} {
			_, err := store.Put(t.Context(), NewObject("a", []byte("x"), mode, now, time.Hour))
			if !errors.Is(err, sink.ErrUnfit) {
				t.Errorf("Put with mode %s = %v, want ErrUnfit", mode, err)
			}
		}
		if _, err := store.Head(t.Context(), "a", ""); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Head after a refused Put = %v, want ErrNotExist", err)
		}
		return
	}
	short := NewObject("a", []byte("x"), s.caps.Mode, now, time.Hour)
	long := NewObject("a", []byte("x"), s.caps.Mode, now, 48*time.Hour)
	first := s.put(t, store, short, false)
	second := s.put(t, store, long, true)
	if second.Version != first.Version {
		t.Errorf("to lengthen the lock made version %q of %q", second.Version, first.Version)
	}
	// A shorter lock leaves the longer one as it is.
	third := s.put(t, store, short, true)
	if !third.Lock.Covers(long.Lock) {
		t.Errorf("lock shortened to %v", third.Lock)
	}
	unlocked := NewObject("b", []byte("x"), sink.None, now, 0)
	if _, err := store.Put(t.Context(), unlocked); err == nil {
		t.Error("Put without a lock succeeded in a store that locks")
	}
	if _, err := store.Head(t.Context(), "b", ""); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("Head after a refused Put = %v, want ErrNotExist", err)
	}
}

func (s *suite) hidden(t *testing.T) {
	if s.caps.Hide == nil {
		t.Skip("the store has no delete markers")
	}
	store := s.open(t)
	o := s.object("a/b", "x")
	info := s.put(t, store, o, false)
	s.caps.Hide(t, store, "a/b")
	if _, err := store.Head(t.Context(), "a/b", ""); !errors.Is(err, sink.ErrHidden) {
		t.Errorf("Head = %v, want ErrHidden", err)
	}
	if _, err := store.Get(t.Context(), "a/b", ""); !errors.Is(err, sink.ErrHidden) {
		t.Errorf("Get = %v, want ErrHidden", err)
	}
	for _, bytes := range []string{"x", "y"} {
		if _, err := store.Put(t.Context(), s.object("a/b", bytes)); !errors.Is(err, sink.ErrHidden) {
			t.Errorf("Put = %v, want ErrHidden", err)
		}
	}
	// The version behind the marker is still there for who knows its name.
	head, err := store.Head(t.Context(), "a/b", info.Version)
	if err != nil {
		t.Fatalf("Head by version: %v", err)
	}
	s.checkInfo(t, "Head", o, head)
	if got := read(t, store, "a/b", info.Version); string(got) != "x" {
		t.Errorf("Get by version = %q", got)
	}
}

func (s *suite) overwritten(t *testing.T) {
	if s.caps.Overwrite == nil {
		t.Skip("the store has no versions")
	}
	store := s.open(t)
	o := s.object("a/b", "sealed")
	info := s.put(t, store, o, false)
	s.caps.Overwrite(t, store, "a/b", []byte("forged"))
	if _, err := store.Put(t.Context(), o); !errors.Is(err, sink.ErrConflict) {
		t.Errorf("Put = %v, want ErrConflict", err)
	}
	head, err := store.Head(t.Context(), "a/b", info.Version)
	if err != nil {
		t.Fatalf("Head by version: %v", err)
	}
	s.checkInfo(t, "Head", o, head)
	newest, err := store.Head(t.Context(), "a/b", "")
	if err != nil || newest.SHA256 != sha256.Sum256([]byte("forged")) || newest.Version == info.Version {
		t.Errorf("Head of the newest = %+v, %v", newest, err)
	}
	if got := read(t, store, "a/b", info.Version); string(got) != "sealed" {
		t.Errorf("Get by version = %q", got)
	}
}
