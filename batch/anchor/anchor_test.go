package anchor_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/anchor"
	"daybook/sink"
	"daybook/sink/sinktest"
)

const origin = "audit.example.org/prod"

// testLog is a log of n leaves; two with other seeds have other histories.
type testLog struct {
	t      testing.TB
	signer note.Signer
	vkey   string
	hashes []tlog.Hash
	n      int64
}

func newLog(t testing.TB, n int64) *testLog {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{t: t, signer: signer, vkey: vkey}
	l.grow("a", n)
	return l
}

func (l *testLog) grow(seed string, n int64) {
	l.t.Helper()
	for ; l.n < n; l.n++ {
		hashes, err := tlog.StoredHashes(l.n, fmt.Appendf(nil, "%s %d", seed, l.n), l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, hashes...)
	}
}

// fork has the first n leaves of l and the same key, and goes on by itself.
func (l *testLog) fork(n int64) *testLog {
	f := &testLog{t: l.t, signer: l.signer, vkey: l.vkey, n: n, hashes: slices.Clone(l.hashes[:tlog.StoredHashCount(n)])}
	f.grow("b", l.n)
	return f
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = l.hashes[at]
	}
	return out, nil
}

func (l *testLog) root(n int64) tlog.Hash {
	l.t.Helper()
	root, err := tlog.TreeHash(n, l)
	if err != nil {
		l.t.Fatal(err)
	}
	return root
}

func (l *testLog) checkpoint(n int64) []byte {
	l.t.Helper()
	text := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: n, Hash: l.root(n)}}.String()
	data, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return data
}

func (l *testLog) at(n int64) anchor.Submission {
	return anchor.Submission{
		Origin: origin, Size: n, Checkpoint: l.checkpoint(n),
		Prove: func(_ context.Context, old int64) (tlog.TreeProof, error) { return tlog.ProveTree(n, old, l) },
	}
}

var noon = time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// says checks an error: what it is, that it names the anchor, and what it says besides.
func says(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if err == nil || want != nil && !errors.Is(err, want) {
		t.Errorf("error %v, want one that is %v", err, want)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want it to say %q", err, text)
		}
	}
}

func hinted(t *testing.T, err error) {
	t.Helper()
	var hint *sink.HintError
	if !errors.As(err, &hint) || hint.Hint == "" {
		t.Errorf("no hint: %v", err)
	}
}

func TestSubmissionMustBeWhatItSays(t *testing.T) {
	l := newLog(t, 9)
	a := anchor.NewStore("copy", sinktest.NewMemory(t, nil), nil, nil)
	for name, change := range map[string]func(*anchor.Submission){
		"another size":   func(s *anchor.Submission) { s.Size = 6 },
		"another origin": func(s *anchor.Submission) { s.Origin = "other" },
		"empty":          func(s *anchor.Submission) { s.Checkpoint = nil },
		"unsigned":       func(s *anchor.Submission) { s.Checkpoint, _, _ = bytes.Cut(s.Checkpoint, []byte("\n\n")) },
		"no signatures": func(s *anchor.Submission) {
			s.Checkpoint = append(bytes.SplitAfter(s.Checkpoint, []byte("\n\n"))[0], 'x', '\n')
		},
		"cut":           func(s *anchor.Submission) { s.Checkpoint = s.Checkpoint[:len(s.Checkpoint)-1] },
		"no checkpoint": func(s *anchor.Submission) { s.Checkpoint = []byte("a\n\n\u2014 a AAAA\n") },
		"size of 05": func(s *anchor.Submission) {
			s.Checkpoint = bytes.Replace(s.Checkpoint, []byte("\n5\n"), []byte("\n05\n"), 1)
		},
		"larger than any": func(s *anchor.Submission) {
			s.Checkpoint = append(s.Checkpoint, bytes.Repeat([]byte("\u2014 a AAAA\n"), 2000)...)
		},
	} {
		s := l.at(5)
		change(&s)
		_, err := a.Submit(t.Context(), s)
		if !errors.Is(err, anchor.ErrCheckpoint) {
			t.Errorf("%s: error %v, want ErrCheckpoint", name, err)
		}
	}
}

func TestStore(t *testing.T) {
	l := newLog(t, 9)
	lock := sink.Lock{Mode: sink.Compliance, RetainUntil: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, AllowConflict: true})
	a := anchor.NewStore("other account", store, func() sink.Lock { return lock }, &anchor.Options{Now: atNoon})
	if a.Name() != "other account" || a.Kind() != anchor.KindStore {
		t.Errorf("it is called %s, a %s", a.Name(), a.Kind())
	}
	for range 2 { // again is harmless
		r, err := a.Submit(t.Context(), l.at(5))
		if err != nil {
			t.Fatal(err)
		}
		if r.Ext != "" || r.Data != nil || r.By != "other account" || !r.At.Equal(noon) {
			t.Errorf("receipt %+v", r)
		}
	}
	key := "checkpoints/audit.example.org%2Fprod/000000000005"
	if key != anchor.StoreKey(origin, 5) {
		t.Errorf("StoreKey = %s", anchor.StoreKey(origin, 5))
	}
	info, err := store.Head(t.Context(), key, "")
	if err != nil || info.Lock != lock || info.Size != int64(len(l.checkpoint(5))) {
		t.Errorf("put as %+v, %v", info, err)
	}
	_, err = a.Submit(t.Context(), l.fork(3).at(5))
	says(t, err, anchor.ErrForked, "anchor other account (store): ", key, l.root(5).String())
	hinted(t, err)
	if _, err := a.Submit(t.Context(), l.at(8)); err != nil {
		t.Error(err)
	}
	store.FailKey("put", "", sinktest.Fault{Err: sinktest.ErrUnavailable})
	_, err = a.Submit(t.Context(), l.at(9))
	says(t, err, sinktest.ErrUnavailable, "other account")
}

// A log that was rolled back is behind what the other store holds or, once it went on, another one.
func TestStoreKnowsThatALogWasRolledBack(t *testing.T) {
	l := newLog(t, 30)
	store := sinktest.NewMemory(t, &sinktest.Options{AllowConflict: true})
	a := anchor.NewStore("copy", store, nil, nil)
	submit := func(s anchor.Submission) error {
		t.Helper()
		before := len(store.Keys())
		_, err := a.Submit(t.Context(), s)
		if got := len(store.Keys()); err != nil && got != before {
			t.Errorf("refused with %v, and %d objects were put", err, got-before)
		}
		return err
	}
	for _, size := range []int64{3, 9, 12} {
		if err := submit(l.at(size)); err != nil {
			t.Fatal(err)
		}
	}
	// Nothing of these is a copy of this log's.
	for _, key := range []string{anchor.StoreKey(origin+"2", 29), anchor.StoreKey(origin, 29) + ".tmp", "checkpoints/audit.example.org%2Fprod/29"} {
		if _, err := store.Put(t.Context(), object(key, []byte("hello\n"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range []int64{2, 5, 9, 11} {
		err := submit(l.at(size))
		says(t, err, anchor.ErrAhead, anchor.StoreKey(origin, 12), fmt.Sprintf("size %d", size))
		hinted(t, err)
	}
	for _, common := range []int64{0, 9, 11} {
		err := submit(l.fork(common).at(20))
		says(t, err, anchor.ErrForked, anchor.StoreKey(origin, 12), l.root(12).String())
		hinted(t, err)
	}
	if err := submit(l.fork(12).at(20)); err != nil {
		t.Errorf("a log that goes on from what is there: %v", err)
	}

	unproven := l.fork(12).at(30)
	unproven.Prove = func(context.Context, int64) (tlog.TreeProof, error) { return nil, io.ErrUnexpectedEOF }
	says(t, submit(unproven), io.ErrUnexpectedEOF, "of 20", "copy")
	store.FailKey("get", "", sinktest.Fault{Err: sinktest.ErrForbidden})
	says(t, submit(l.fork(12).at(30)), sinktest.ErrForbidden, "copy")
	store.Heal()
	// What can't be listed is no contradiction, and no receipt.
	store.FailKey("list", "", sinktest.Fault{Err: sinktest.ErrUnavailable})
	err := submit(l.at(5))
	says(t, err, sinktest.ErrUnavailable, "copy")
	if errors.Is(err, anchor.ErrAhead) || errors.Is(err, anchor.ErrForked) {
		t.Errorf("it reads as a contradiction: %v", err)
	}
}

// What lies in the other store may be anything.
func TestStoreHoldsSomethingElse(t *testing.T) {
	l := newLog(t, 9)
	store := sinktest.NewMemory(t, &sinktest.Options{AllowConflict: true})
	junk := []byte("hello\n")
	if _, err := store.Put(t.Context(), object(anchor.StoreKey(origin, 5), junk)); err != nil {
		t.Fatal(err)
	}
	a := anchor.NewStore("copy", store, nil, nil)
	_, err := a.Submit(t.Context(), l.at(5))
	says(t, err, anchor.ErrForked, "not a checkpoint")
	_, err = a.Submit(t.Context(), l.at(9)) // nothing tells that the log goes on from there
	says(t, err, anchor.ErrForked, "not a checkpoint")
	store.FailKey("get", "", sinktest.Fault{Err: sinktest.ErrForbidden})
	_, err = a.Submit(t.Context(), l.at(5))
	says(t, err, anchor.ErrForked, "403")
}
