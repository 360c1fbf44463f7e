package tlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

func TestLog(t *testing.T) {
	ctx := context.Background()
	lock := sink.Lock{Mode: sink.Compliance, RetainUntil: day0.AddDate(100, 0, 0)}
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance})
	m := newMachine(t, store, newKey(t))
	m.opts.Lock = func() sink.Lock { return lock }
	l := m.mustOpen()
	if h := l.Head(); h.Size != 0 || h.Signed != nil || len(store.Keys()) != 0 {
		t.Errorf("before the first checkpoint: head %+v, store %v", h, store.Keys())
	}
	first := m.publish(l, "acme", 3)
	if first.Size != 4 || !strings.HasPrefix(first.Origin, "daybook/") || len(first.Origin) != len("daybook/")+16 {
		t.Errorf("first head %+v", first)
	}
	second := m.publish(l, "beta", 300)
	if second.Size != 304 || l.Logged("acme") != 3 || l.Logged("beta") != 300 || l.Logged("gamma") != 0 {
		t.Errorf("second head %+v", second.Checkpoint)
	}
	if h, err := l.Publish(ctx); err != nil || h.Size != second.Size {
		t.Errorf("nothing to publish: %+v, %v", h, err)
	}
	proof, err := l.Prove(ctx, 4)
	if err == nil {
		err = modtlog.CheckTree(proof, 304, modtlog.Hash(second.Root), 4, modtlog.Hash(first.Root))
	}
	if err != nil {
		t.Error(err)
	}
	if leaves := checkStore(t, store); len(leaves) != 304 || leaves[1].Seal.Trail != "acme" || leaves[303].Seal.Seal != 300 {
		t.Errorf("%d leaves", len(leaves))
	}
	for _, key := range store.Keys() {
		if got := store.History(key)[0].Lock; !got.Covers(lock) {
			t.Errorf("%s: lock %v", key, got)
		}
	}
	// Another process of the same machine goes on, and signs nothing anew.
	store.TakeLog()
	l = m.mustOpen()
	for _, op := range store.TakeLog() {
		if op.Name == "put" {
			t.Errorf("opening put %s", op.Key)
		}
	}
	if h := l.Head(); !bytes.Equal(h.Signed, second.Signed) || l.Logged("beta") != 300 {
		t.Errorf("opened again: %+v", h.Checkpoint)
	}
	m.publish(l, "acme", 4)
	checkStore(t, store)
	if m.said.Len() != 0 {
		t.Errorf("it said: %s", &m.said)
	}
}

// At no time is anything in the store that is not here as well.
func TestLogRemembersFirst(t *testing.T) {
	store := &watched{Memory: sinktest.NewMemory(t, nil)}
	m := newMachine(t, store, newKey(t))
	store.before = func(o sink.Object) {
		name, isTile := strings.CutPrefix(o.Key, tlog.Prefix)
		if !isTile || strings.HasPrefix(name, "next/") {
			name = "checkpoint"
		} else if strings.HasPrefix(name, "checkpoints/") {
			name = "checkpoint"
		}
		data, err := os.ReadFile(filepath.Join(m.dir, filepath.FromSlash(name)))
		if err != nil {
			t.Errorf("put %s: %v", o.Key, err)
		} else if strings.HasPrefix(o.Key, tlog.Prefix) && !bytes.Contains(body(t, o), data) {
			t.Errorf("put %s: other bytes than are remembered", o.Key)
		}
	}
	l := m.mustOpen()
	m.publish(l, "acme", 3)
	m.publish(l, "acme", 600)
}

// A crash at any operation of the store, whether it took effect or not, whoever goes on: in the end each seal is in the log once, and no two checkpoints
// contradict each other.
func TestLogFailures(t *testing.T) {
	effort.NeedsThorough(t)
	ctx := context.Background()
	key, next := newKey(t), newKey(t)
	type run struct {
		*machine
		l *tlog.Log
	}
	// Each is done, and done again until it succeeds.
	scenarios := []struct {
		name string
		do   func(r *run) error
	}{
		{"first", func(r *run) error {
			if err := addSeals(r.l, "acme", 2, key); err != nil {
				return err
			}
			_, err := r.l.Publish(ctx)
			return err
		}},
		{"second", func(r *run) error {
			if err := addSeals(r.l, "acme", 3, key); err != nil {
				return err
			}
			if err := addSeals(r.l, "beta", 2, key); err != nil {
				return err
			}
			_, err := r.l.Publish(ctx)
			return err
		}},
		{"over a tile", func(r *run) error {
			if err := addSeals(r.l, "beta", 300, key); err != nil {
				return err
			}
			_, err := r.l.Publish(ctx)
			return err
		}},
		{"rotate", func(r *run) error {
			if r.l.Keyring().Current() == next.Public() {
				r.key = next
			}
			err := r.l.Rotate(ctx, next)
			if err == nil {
				r.key = next
			}
			return err
		}},
		{"revoke", func(r *run) error { return r.l.Revoke(ctx, key.ID(), 5, "stolen") }},
	}
	for _, persisted := range []bool{false, true} {
		for _, who := range []string{"same process", "restart", "folder lost"} {
			t.Run(fmt.Sprintf("%s, persisted %v", who, persisted), func(t *testing.T) {
				t.Parallel()
				for fault := 1; ; fault++ {
					store := sinktest.NewMemory(t, &sinktest.Options{AllowConflict: who == "folder lost"})
					r := &run{machine: newMachine(t, store, key)}
					clock := day0
					r.opts.Now = func() time.Time { clock = clock.Add(time.Minute); return clock }
					store.FailStep(fault, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: persisted})
					failures := 0
					restart := func() error {
						var err error
						r.l, err = r.open()
						if errors.Is(err, tlog.ErrKeyRange) { // what was thought to have failed had not
							r.key = next
							r.l, err = r.open()
						}
						return err
					}
					again := func(what string, do func() error) {
						for {
							err := do()
							if err == nil {
								return
							}
							if failures++; failures > 1 || !errors.Is(err, sinktest.ErrUnavailable) {
								t.Fatalf("fault %d, %s: %v", fault, what, err)
							}
							if who == "folder lost" {
								r.dir = sinktest.Folder(t)
							}
							if who != "same process" && what != "open" {
								if err := restart(); err != nil {
									t.Fatalf("fault %d, %s: %v", fault, what, err)
								}
							}
						}
					}
					again("open", restart)
					for _, s := range scenarios {
						again(s.name, func() error { return s.do(r) })
						if s.name == "second" { // a restart in good order
							again("open", restart)
						}
					}
					steps := len(store.TakeLog())
					leaves := checkStore(t, store)
					if n := len(leaves); n != 306 || leaves[304].Key.Action != tlog.Rotate || leaves[305].Key.Action != tlog.Revoke {
						t.Fatalf("fault %d: %d leaves", fault, n)
					}
					if steps < fault {
						if fault < 30 {
							t.Errorf("only %d steps", fault)
						}
						return
					}
				}
			})
		}
	}
}

// Whatever happens to one file of the memory, the log is not extended wrongly.
func TestLogDamagedMemory(t *testing.T) {
	effort.NeedsLong(t)
	ctx := context.Background()
	key := newKey(t)
	for _, unpublished := range []bool{false, true} {
		store := sinktest.NewMemory(t, nil)
		m := newMachine(t, store, key)
		l := m.mustOpen()
		m.publish(l, "acme", 2)
		m.publish(l, "acme", 260)
		if unpublished {
			store.FailKey("put", tlog.NextKey(261), sinktest.Fault{Err: sinktest.ErrUnavailable})
			if err := addSeals(l, "acme", 270, key); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Publish(ctx); !errors.Is(err, sinktest.ErrUnavailable) {
				t.Fatal(err)
			}
			store.Heal()
		}
		for _, name := range files(t, m.dir) {
			for damage, do := range map[string]func(path string, data []byte) error{
				"lost": func(path string, _ []byte) error { return os.Remove(path) },
				"cut":  func(path string, data []byte) error { return os.WriteFile(path, data[:len(data)/2], 0o600) },
				"blank": func(path string, data []byte) error {
					return os.WriteFile(path, make([]byte, len(data)), 0o600)
				},
				"bit": func(path string, data []byte) error {
					data[len(data)/3] ^= 1
					return os.WriteFile(path, data, 0o600)
				},
				"last bit": func(path string, data []byte) error {
					data[len(data)-20] ^= 1
					return os.WriteFile(path, data, 0o600)
				},
			} {
				what := fmt.Sprintf("unpublished %v, %s, %s", unpublished, name, damage)
				one := newMachine(t, store.Clone(t), key)
				one.dir = copyDir(t, m.dir)
				path := filepath.Join(one.dir, name)
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := do(path, data); err != nil {
					t.Fatal(err)
				}
				l, err := one.open()
				if errors.Is(err, tlog.ErrForked) && unpublished && name == "published" {
					continue // refused: the store is behind what may have been published
				}
				if errors.Is(err, tlog.ErrAhead) && name == "published" && damage == "lost" {
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				one.publish(l, "acme", 280)
				if n := len(checkStore(t, one.store.(*sinktest.Memory))); n != 281 {
					t.Errorf("%s: %d leaves", what, n)
				}
			}
		}
	}
	// What is left of a damaged memory still tells another history from its own.
	mine, theirs := newMachine(t, sinktest.NewMemory(t, nil), key), newMachine(t, sinktest.NewMemory(t, nil), key)
	mine.opts.Origin, theirs.opts.Origin = "daybook/x", "daybook/x"
	mine.publish(mine.mustOpen(), "acme", 2)
	theirs.publish(theirs.mustOpen(), "evil", 5)
	if err := os.Remove(filepath.Join(mine.dir, "tile", "0", "000.p", "3")); err != nil {
		t.Fatal(err)
	}
	mine.store = theirs.store
	_, forkedErr := mine.open()
	wantHint(t, "damaged, and another history", forkedErr, tlog.ErrForked)

	// Both checkpoints damaged: nothing vouches for what the store says.
	store := sinktest.NewMemory(t, nil)
	m := newMachine(t, store, key)
	m.publish(m.mustOpen(), "acme", 2)
	for _, name := range []string{"checkpoint", "published"} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.open()
	wantHint(t, "both checkpoints damaged", err, tlog.ErrCheckpoint)
}

// Rot that comes while a log is open is not built upon.
func TestLogMemoryRotsWhileOpen(t *testing.T) {
	store := sinktest.NewMemory(t, nil)
	m := newMachine(t, store, newKey(t))
	l := m.mustOpen()
	m.publish(l, "acme", 4)
	for _, name := range []string{"tile/0/000.p/5", "tile/entries/000.p/5"} {
		path := filepath.Join(m.dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[40] ^= 4
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := addSeals(l, "acme", 5, m.key); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Publish(context.Background()); !errors.Is(err, tlog.ErrLog) {
			t.Errorf("%s: %v, want ErrLog", name, err)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.publish(l, "acme", 5)
	checkStore(t, store)
}

func TestLogAheadAndForked(t *testing.T) {
	key := newKey(t)
	base := sinktest.NewMemory(t, nil)
	a := newMachine(t, base, key)
	l := a.mustOpen()
	a.publish(l, "acme", 2)
	old := copyDir(t, a.dir)
	oldStore := base.Clone(t)
	a.publish(l, "acme", 5)
	at := func(store *sinktest.Memory, dir string, takeOver bool) *machine {
		m := newMachine(t, store, key)
		m.dir, m.opts.TakeOver = copyDir(t, dir), takeOver
		return m
	}

	// The store was extended by somebody else: the folder is that of before.
	_, err := at(base.Clone(t), old, false).open()
	wantHint(t, "ahead", err, tlog.ErrAhead)
	store := base.Clone(t)
	m := at(store, old, true)
	if l, err = m.open(); err != nil {
		t.Fatal(err)
	}
	if l.Logged("acme") != 5 || !strings.Contains(m.said.String(), "another machine") {
		t.Errorf("taken over up to seal %d; it said: %s", l.Logged("acme"), &m.said)
	}
	m.publish(l, "acme", 6)
	checkStore(t, store)

	// Only the next step is there.
	half := oldStore.Clone(t)
	if _, err := half.Put(context.Background(), object(tlog.NextKey(3), base.Bytes(tlog.NextKey(3)))); err != nil {
		t.Fatal(err)
	}
	_, err = at(half.Clone(t), old, false).open()
	wantHint(t, "ahead by half a step", err, tlog.ErrAhead)
	store = half.Clone(t)
	m = at(store, old, true)
	if l, err = m.open(); err != nil {
		t.Fatal(err)
	}
	m.publish(l, "acme", 6)
	checkStore(t, store)

	// The store was set back.
	_, err = at(oldStore.Clone(t), a.dir, true).open()
	wantHint(t, "set back", err, tlog.ErrForked)
	_, err = at(sinktest.NewMemory(t, nil), a.dir, true).open()
	wantHint(t, "emptied", err, tlog.ErrForked)

	// Another history with the same key: same size, larger, smaller.
	for _, seals := range []uint64{5, 9, 1} {
		other := oldStore.Clone(t)
		for _, k := range other.Keys() {
			if strings.HasPrefix(k, tlog.Prefix) {
				other.Erase(k)
			}
		}
		o := newMachine(t, other, key)
		o.opts.Origin = l.Head().Origin
		o.publish(o.mustOpen(), "evil", seals)
		for _, takeOver := range []bool{false, true} {
			_, err = at(other, a.dir, takeOver).open()
			wantHint(t, fmt.Sprintf("forked at %d, take over %v", seals, takeOver), err, tlog.ErrForked)
		}
	}

	// A checkpoint that is none, a step that is none or nobody's.
	for what, damage := range map[string]func(*sinktest.Memory){
		"checkpoint overwritten": func(s *sinktest.Memory) { s.Overwrite(tlog.CheckpointKey(6), []byte("x"), sink.Lock{}) },
		"checkpoint of no size": func(s *sinktest.Memory) {
			s.Overwrite(tlog.CheckpointKey(99), s.Bytes(tlog.CheckpointKey(6)), sink.Lock{})
		},
		"garbage follows":     func(s *sinktest.Memory) { s.Overwrite(tlog.NextKey(6), []byte("x"), sink.Lock{}) },
		"an old step follows": func(s *sinktest.Memory) { s.Overwrite(tlog.NextKey(6), s.Bytes(tlog.NextKey(3)), sink.Lock{}) },
	} {
		store := base.Clone(t)
		damage(store)
		_, err := at(store, a.dir, true).open()
		wantHint(t, what, err, tlog.ErrForked)
		empty := newMachine(t, store, key)
		if _, err = empty.open(); err == nil || errors.Is(err, tlog.ErrAhead) {
			t.Errorf("%s, without memory: %v", what, err)
		}
	}
}

// A step is taken for one of the log only if its entries make its root, and the key in force signed that.
func TestLogForgedStep(t *testing.T) {
	ctx := context.Background()
	key, thief := newKey(t), newKey(t)
	store := sinktest.NewMemory(t, nil)
	m := newMachine(t, store, key)
	m.publish(m.mustOpen(), "acme", 2)
	good := m.publish(m.mustOpen(), "acme", 3)
	entry, _, err := tlog.NewReader(store, good.Checkpoint).Inclusion(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	other := sealLeaf("acme", 3, key)
	other.Seal.Manifest = seal.Sum(nil)
	forgedEntry, err := other.Encode()
	if err != nil {
		t.Fatal(err)
	}
	step := func(c tlog.Checkpoint, k seal.Signer, entries ...[]byte) []byte {
		signed, err := tlog.SignCheckpoint(c, k)
		if err != nil {
			t.Fatal(err)
		}
		var data []byte
		for _, e := range append([][]byte{signed}, entries...) {
			if data, err = torchwood.AppendTileEntry(data, e); err != nil {
				t.Fatal(err)
			}
		}
		return data
	}
	renamed, wrong := good.Checkpoint, good.Checkpoint
	renamed.Origin = "daybook/other"
	wrong.Root = seal.Sum(nil)
	for what, data := range map[string][]byte{
		"as it was":         step(good.Checkpoint, key, entry),
		"by another key":    step(good.Checkpoint, thief, entry),
		"another log's":     step(renamed, key, entry),
		"another root":      step(wrong, key, entry),
		"another entry":     step(good.Checkpoint, key, forgedEntry),
		"an entry too many": step(good.Checkpoint, key, entry, entry),
		"no entry":          step(good.Checkpoint, key),
		"a byte behind":     append(step(good.Checkpoint, key, entry), 0),
	} {
		s := store.Clone(t)
		s.Erase(tlog.CheckpointKey(4))
		s.Replace(tlog.NextKey(3), data)
		l, err := newMachine(t, s, key).open()
		if what == "as it was" {
			if err != nil || l.Head().Size != 4 {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		wantHint(t, what, err, tlog.ErrForked)
	}
}

func object(key string, data []byte) sink.Object {
	return sink.Object{Key: key, Size: int64(len(data)), SHA256: seal.Sum(data), Body: bytes.NewReader(data)}
}

// Two machines with the same key write to the same log at the same time, each with its own trail. Whoever is second comes after the other, and the log never
// parts, whatever the sizes of their steps.
func TestLogRace(t *testing.T) {
	quick := !effort.Thorough()
	if quick {
		t.Log("each of the long ones runs on a log that is fresh or one that is not: make test tries both")
	}
	key := newKey(t)
	for i, sizes := range [][2]uint64{{1, 1}, {1, 2}, {2, 1}, {255, 1}, {1, 300}, {300, 300}} {
		for _, fresh := range []bool{true, false} {
			if quick && i > 2 && fresh == (i%2 == 0) {
				continue
			}
			store := sinktest.NewMemory(t, &sinktest.Options{AllowConflict: true})
			a, b := newMachine(t, store, key), newMachine(t, store, key)
			la := a.mustOpen()
			if !fresh {
				a.publish(la, "base", 3)
			}
			lb := b.mustOpen()
			for round := range uint64(3) {
				if err := addSeals(lb, "beta", (round+1)*sizes[1], key); err != nil {
					t.Fatal(err)
				}
				a.publish(la, "acme", (round+1)*sizes[0])
				b.publish(lb, "beta", (round+1)*sizes[1])
			}
			a.publish(la, "acme", 3*sizes[0]+1)
			leaves := checkStore(t, store)
			want := 2 + 3*int(sizes[0]+sizes[1])
			if !fresh {
				want += 3
			}
			if len(leaves) != want {
				t.Errorf("%v, fresh %v: %d leaves, want %d", sizes, fresh, len(leaves), want)
			}
		}
	}
}

// Both log the same seal: it is in the log once. If they are two seals of one number, one of them is a lie.
func TestLogRaceForASeal(t *testing.T) {
	ctx := context.Background()
	key := newKey(t)
	for _, same := range []bool{true, false} {
		store := sinktest.NewMemory(t, &sinktest.Options{AllowConflict: true})
		a, b := newMachine(t, store, key), newMachine(t, store, key)
		la, lb := a.mustOpen(), b.mustOpen()
		leaf := sealLeaf("acme", 1, key)
		leaf.Time = leaf.Time.Add(time.Second)
		if !same {
			leaf.Seal.Manifest = seal.Sum(nil)
		}
		if err := lb.Add(leaf); err != nil {
			t.Fatal(err)
		}
		a.publish(la, "acme", 1)
		_, err := lb.Publish(ctx)
		if !same {
			wantHint(t, "another seal of that number", err, tlog.ErrForked)
		} else if err != nil || len(checkStore(t, store)) != 2 {
			t.Errorf("the same seal: %v", err)
		}
	}
}

func TestLogRaceWithARotation(t *testing.T) {
	ctx := context.Background()
	key, next := newKey(t), newKey(t)
	store := sinktest.NewMemory(t, &sinktest.Options{AllowConflict: true})
	a, b := newMachine(t, store, key), newMachine(t, store, key)
	la := a.mustOpen()
	a.publish(la, "acme", 1)
	lb := b.mustOpen()
	a.publish(la, "acme", 2)
	if err := lb.Rotate(ctx, next); err != nil {
		t.Fatal(err)
	}
	if got := len(checkStore(t, store)); got != 4 {
		t.Errorf("%d leaves", got)
	}
	if err := addSeals(la, "acme", 3, key); err != nil {
		t.Fatal(err)
	}
	_, err := la.Publish(ctx)
	wantHint(t, "with the key of before", err, tlog.ErrKeyRange)
	checkStore(t, store)
}

func TestLogKeys(t *testing.T) {
	ctx := context.Background()
	first, second, third := newKey(t), newKey(t), newKey(t)
	store := sinktest.NewMemory(t, nil)
	m := newMachine(t, store, first)
	l := m.mustOpen()
	m.publish(l, "acme", 2)
	if err := l.Revoke(ctx, first.ID(), 1, "lost"); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("revoke the key in force: %v", err)
	}
	if err := l.Rotate(ctx, second); err != nil {
		t.Fatal(err)
	}
	if err := l.Rotate(ctx, second); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := l.Add(sealLeaf("acme", 3, first)); !errors.Is(err, tlog.ErrKeyRange) {
		t.Errorf("a seal of the key before: %v", err)
	}
	if err := l.Rotate(ctx, first); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("back to the key before: %v", err)
	}
	_, err := m.open()
	wantHint(t, "the key before", err, tlog.ErrKeyRange)
	m.key = third
	_, err = m.open()
	wantHint(t, "a key that never was", err, tlog.ErrUnknownKey)
	stranger := newMachine(t, store, third)
	_, err = stranger.open()
	wantHint(t, "a key that never was, and no memory", err, tlog.ErrUnknownKey)
	if left := files(t, stranger.dir); len(left) != 0 {
		t.Errorf("of a stranger's log it remembers %v", left)
	}
	m.key = second
	l = m.mustOpen()
	m.publish(l, "acme", 3)
	if err := l.Revoke(ctx, first.ID(), 2, "stolen"); err != nil {
		t.Fatal(err)
	}
	if err := l.Revoke(ctx, third.ID(), 2, "never was"); !errors.Is(err, tlog.ErrUnknownKey) {
		t.Errorf("revoke a key that never was: %v", err)
	}
	checkStore(t, store)
	keys := l.Keyring()
	for _, c := range []struct {
		key   seal.Key
		index int64
		want  error
	}{
		{first, 0, nil}, {first, 1, nil}, {first, 2, tlog.ErrRevoked}, {first, 3, tlog.ErrRevoked}, {first, 4, tlog.ErrKeyRange},
		{second, 3, tlog.ErrKeyRange}, {second, 4, nil}, {second, 400, nil}, {third, 4, tlog.ErrUnknownKey},
	} {
		if err := keys.Check(c.key.ID(), c.index); !errors.Is(err, c.want) {
			t.Errorf("key %v at leaf %d: %v, want %v", c.key, c.index, err, c.want)
		}
	}
	for size, c := range map[int64]struct {
		key seal.PublicKey
		err error
	}{
		0: {err: tlog.ErrUnknownKey}, 1: {first.Public(), nil}, 2: {first.Public(), nil}, 3: {first.Public(), tlog.ErrRevoked},
		4: {second.Public(), nil}, 6: {second.Public(), nil}, 7: {err: tlog.ErrUnknownKey},
	} {
		if key, err := keys.Signer(size); key != c.key || !errors.Is(err, c.err) {
			t.Errorf("checkpoint of size %d: %v, %v, want %v, %v", size, key, err, c.key, c.err)
		}
	}
}

func TestLogRefuses(t *testing.T) {
	key := newKey(t)
	store := sinktest.NewMemory(t, nil)
	m := newMachine(t, onlyStore{store}, key)
	_, err := m.open()
	wantHint(t, "a store that cannot list", err, sink.ErrUnfit)
	m.store = store
	m.opts.Origin = "log.example.com/audit"
	l := m.mustOpen()
	m.publish(l, "acme", 1)
	if l.Head().Origin != m.opts.Origin {
		t.Errorf("origin %q", l.Head().Origin)
	}
	m.opts.Origin = "log.example.com/other"
	_, err = m.open()
	wantHint(t, "another origin", err, sink.ErrConflict)
	m.opts.Origin = ""
	if l, err = m.open(); err != nil || l.Keyring().Origin() != "log.example.com/audit" {
		t.Errorf("no origin given: %v", err)
	}
	m = newMachine(t, sinktest.NewMemory(t, nil), key)
	m.opts.Origin = "a b"
	if _, err := m.open(); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("an origin with a blank: %v", err)
	}
	for name, leaf := range map[string]*tlog.Leaf{
		"a seal ahead":  sealLeaf("acme", 3, key),
		"a seal again":  sealLeaf("acme", 1, key),
		"a key":         {Schema: 1, Type: tlog.TypeKey, Time: day0, Key: &tlog.KeyLeaf{Action: tlog.Genesis, Origin: "x", Key: key.Public().VerifierKey()}},
		"no type":       {Schema: 1, Time: day0},
		"other's place": {Schema: 1, Type: tlog.TypeHold, Time: day0, Seal: sealLeaf("acme", 2, key).Seal},
	} {
		if err := l.Add(leaf, leafSigner(leaf, key)...); !errors.Is(err, tlog.ErrLeaf) {
			t.Errorf("%s: %v, want ErrLeaf", name, err)
		}
	}
}

func leafSigner(l *tlog.Leaf, k seal.Signer) []seal.Signer {
	if l.Type == tlog.TypeKey || l.Type == tlog.TypeReview {
		return []seal.Signer{k}
	}
	return nil
}

// onlyStore hides what else a store can do.
type onlyStore struct{ sink.Store }
