package proof_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/proof"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/internal/effort"
	"daybook/sink"
)

// Every row of a file of every size can be proven, and the path leads to just that row.
func TestEveryRow(t *testing.T) {
	sizes := []int{1, 2, 3, 7, 8, 9, 17, 33}
	if !effort.Thorough() {
		t.Log("files of up to 17 rows are tried: make test tries 33")
		sizes = sizes[:7]
	}
	for _, n := range sizes {
		w := newWorld(t, "daybook/test")
		list := rows("e", firstDay, n)
		w.seal("audit", firstDay, 0, list...)
		w.publish()
		prover, err := proof.Open(context.Background(), w.store)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range list {
			p, err := prover.Event(context.Background(), fmt.Sprintf("e-%d", i), nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := reparsed(t, p).Check(publicKeys(w.signer), nil, nil)
			if err != nil || r.Event.Row != want || r.Event.Index != int64(i) || r.Event.Rows != int64(n) {
				t.Errorf("%d rows, row %d: %v %+v", n, i, err, r)
			}
			// The same path leads to no other row.
			for j := range list {
				other := reparsed(t, p)
				other.Event.Index = int64(j)
				if j != i {
					mustRefuse(t, "moved row", other, proof.ErrProof)
				}
			}
		}
	}
}

// Whoever holds any of the log's keys can follow the proof, unless that key was revoked before it handed over.
func TestKeys(t *testing.T) {
	w, keys := rotated(t)
	stranger := newKey(t, "one")
	old := mustMake(t, w, "a-3", nil)
	for i, k := range keys {
		for _, p := range []*proof.Proof{old, mustMake(t, w, "b-999", nil)} {
			r, err := reparsed(t, p).Check(publicKeys(stranger, k), nil, nil)
			if err != nil {
				t.Fatalf("key %d: %v", i, err)
			}
			var want []string
			for _, next := range keys[i+1:] {
				want = append(want, next.Fingerprint())
			}
			if diff := cmp.Diff(want, fingerprints(r.Rotations)); diff != "" || r.Key.ID != k.ID() || !r.Vouched() || r.ExitCode() != 0 {
				t.Errorf("key %d: %+v, rotations %s", i, r, diff)
			}
		}
	}
	mustRefuse(t, "a stranger's key", old, proof.ErrKeyNotYours, stranger.Public())
	mustRefuse(t, "a stranger's key", old, proof.ErrProof, stranger.Public())
	r, err := old.Check(nil, nil, nil)
	if err != nil || r.Vouched() || r.ExitCode() != 2 || r.NoteKey.ID != keys[0].ID() || r.CheckpointKey.ID != keys[2].ID() {
		t.Errorf("no key: %v %+v", err, r)
	}

	// Revoked from before its rotation: it may have been the thief who handed over.
	w.revoke(keys[1], 3)
	w.publish()
	p := mustMake(t, w, "a-3", nil)
	for _, k := range keys[:2] {
		mustRefuse(t, "revoked", p, proof.ErrKeyRevoked, k.Public())
	}
	if _, err := p.Check(publicKeys(keys[2]), nil, nil); err != nil {
		t.Errorf("the key in force: %v", err)
	}
	// And what it signed is not proven to anybody.
	if _, err := proof.Make(context.Background(), w.store, "c-0", nil); !errors.Is(err, tlog.ErrRevoked) {
		t.Errorf("an event of a revoked key: %v", err)
	}
}

func TestText(t *testing.T) {
	w, keys := rotated(t)
	p := mustMake(t, w, "a-3", nil)
	text := func(keys ...seal.PublicKey) string {
		r, err := p.Check(keys, nil, [][]byte{w.store.Bytes(tlog.CheckpointKey(10))})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := r.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	root, err := tlog.ParseCheckpoint(w.store.Bytes(tlog.CheckpointKey(10)))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`event        a-3 from import at 2026-02-16T00:00:00.003Z: project-describe by user-1
stands       as row 4 of 7 in jsonl/class=standard/trail=audit/dt=2026-02-16/audit-2026-02-16.0001.jsonl.zst
sealed       as seal 1 of trail audit (org default), day 2026-02-16, at 2026-02-17T01:00:00Z
signed by    key %s (one)
logged       as leaf 2 of 10 in daybook/test, at 2026-05-27T01:00:00Z
head         root %v, signed by key %s (three)
on the word  of key %s (two), which you gave, and the keys that it led to:
             %s (three)
on the word  of the checkpoint that you gave, which is the proof's
not shown    that no other event has this id, that none is missing, and that no key was revoked later: verify the store for that
`, keys[0].Fingerprint(), root.Root, keys[2].Fingerprint(), keys[1].Fingerprint(), keys[2].Fingerprint())
	if diff := cmp.Diff(want, text(keys[1].Public())); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	r, err := p.Check(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.WriteText(&b); err != nil || !strings.Contains(b.String(), "on no word   that you gave") {
		t.Errorf("without a key: %v\n%s", err, b.String())
	}
	b.Reset()
	if err := r.WriteJSON(&b); err != nil || !json.Valid([]byte(b.String())) {
		t.Errorf("JSON: %v\n%s", err, b.String())
	}
}

func TestSealProof(t *testing.T) {
	w, keys := rotated(t)
	prover, err := proof.Open(context.Background(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	p, err := prover.Seal(context.Background(), "audit", 4)
	if err != nil {
		t.Fatal(err)
	}
	r, err := reparsed(t, p).Check(publicKeys(keys[0]), nil, nil)
	if err != nil || r.Event != nil || r.Seal != 4 || r.Day.Day != firstDay+2 {
		t.Errorf("%v %+v", err, r)
	}
	if _, err := prover.Seal(context.Background(), "audit", 5); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("a seal that is not there: %v", err)
	}
}

func TestFind(t *testing.T) {
	ctx := context.Background()
	w, _ := rotated(t)
	var ambiguous *proof.AmbiguousError
	_, err := proof.Make(ctx, w.store, "b-2", nil)
	if !errors.As(err, &ambiguous) || ambiguous.Total != 2 || len(ambiguous.Events) != 2 {
		t.Fatalf("an id that is there twice: %v", err)
	}
	for _, part := range []string{`2 events have the id "b-2"`, `1: trail "audit", day 2026-02-17, source "import", time 2026-02-17T00:00:00.002Z`, `2: trail "other"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: lacks %q", err, part)
		}
	}
	for name, c := range map[string]struct {
		o    proof.Options
		want string // the trail; blank: not found
	}{
		"first":          {proof.Options{Index: 1}, "audit"},
		"second":         {proof.Options{Index: 2}, "other"},
		"trail":          {proof.Options{Trail: "other"}, "other"},
		"other trail":    {proof.Options{Trail: "othe"}, ""},
		"source":         {proof.Options{Source: "import", Index: 2}, "other"},
		"another source": {proof.Options{Source: "feed"}, ""},
		"days":           {proof.Options{Trail: "audit", From: firstDay + 1, To: firstDay + 1}, "audit"},
		"too early":      {proof.Options{To: firstDay}, ""},
		"too late":       {proof.Options{From: firstDay + 2}, ""},
	} {
		var progress proof.Progress
		c.o.Progress = func(p proof.Progress) {
			if progress.Total != 0 && p.Total != progress.Total {
				t.Errorf("%s: the total went from %d to %d", name, progress.Total, p.Total)
			}
			progress = p
		}
		p, err := proof.Make(ctx, w.store, "b-2", &c.o)
		if c.want == "" {
			var not *proof.NotFoundError
			if !errors.As(err, &not) || !errors.Is(err, sink.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r, err := p.Check(nil, nil, nil)
		if err != nil || r.Trail != c.want {
			t.Errorf("%s: %v %+v", name, err, r)
		}
		if progress.Bytes == 0 || progress.Bytes != progress.Total {
			t.Errorf("%s: progress %+v", name, progress)
		}
	}
	if _, err := proof.Make(ctx, w.store, "b-2", &proof.Options{Index: 3}); !errors.As(err, &ambiguous) {
		t.Errorf("number 3 of 2: %v", err)
	}
	// An id is not found in what merely begins like it, nor in another member.
	for _, id := range []string{"b", "user-1", "b-2\"", ""} {
		if _, err := proof.Make(ctx, w.store, id, nil); !errors.Is(err, sink.ErrNotExist) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

// Any id that an event can have is found.
func TestFindOddIDs(t *testing.T) {
	w := newWorld(t, "log.example/odd")
	ids := []string{"", "\"", "\\", "a\nb", "\u2028", "é", "<&>", "\x00", strings.Repeat("x", 10_000)}
	var list []string
	for i, id := range ids {
		list = append(list, row(id, "s", at(firstDay, i)))
	}
	w.seal("audit", firstDay, 0, list...)
	w.publish()
	for i, id := range ids {
		r, err := reparsed(t, mustMake(t, w, id, nil)).Check(publicKeys(w.signer), nil, nil)
		if err != nil || r.Event.ID != id || r.Event.Index != int64(i) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func TestDamagedStore(t *testing.T) {
	ctx := context.Background()
	const file = "jsonl/class=standard/trail=audit/dt=2026-02-16/audit-2026-02-16.0001.jsonl.zst"
	w, _ := rotated(t)
	t.Run("erased", func(t *testing.T) {
		w, _ := rotated(t)
		w.leaf(&tlog.Leaf{Type: tlog.TypeErasure, Erasure: &tlog.ErasureLeaf{Trail: "audit", Seal: 1, Key: file, SHA256: seal.Sum(w.store.Bytes(file)), Reason: "law", By: "a"}})
		w.publish()
		gone := w.store.Clone(t)
		gone.Erase(file)
		gone.Hide(strings.ReplaceAll(file, "audit", "other"))
		_, err := proof.Make(ctx, gone, "nobody", nil)
		var not *proof.NotFoundError
		if !errors.As(err, &not) || len(not.Erased) != 1 || not.Erased[0] != file || len(not.Absent) != 1 || not.Files != 3 {
			t.Errorf("%v: %+v", err, not)
		}
		if _, err := proof.Make(ctx, gone, "c-0", nil); err != nil {
			t.Errorf("an event of another file: %v", err)
		}
	})
	for name, key := range map[string]string{
		"evidence": file, "manifest": seal.ManifestKey("audit", 1), "note": seal.NoteKey("audit", 1), "checkpoint": tlog.CheckpointKey(10),
		"hashes": "log/tile/0/000.p/10", "entries": "log/tile/entries/000.p/10",
	} {
		damaged := w.store.Clone(t)
		damaged.FlipBit(key, 8*len(damaged.Bytes(key))/2)
		_, err := proof.Make(ctx, damaged, "a-3", nil)
		if err == nil || errors.Is(err, sink.ErrNotExist) || !strings.Contains(err.Error(), key) && name != "note" && name != "hashes" ||
			name == "manifest" && !strings.Contains(err.Error(), "SHA-256") {
			t.Errorf("%s altered: %v", name, err)
		}
	}
	size := len(w.store.Bytes(file))
	for bit := 0; bit < 8*size; bit += 53 {
		damaged := w.store.Clone(t)
		damaged.FlipBit(file, bit)
		if _, err := proof.Make(ctx, damaged, "b-999", nil); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("a file that is looked through, bit %d: %v", bit, err)
		}
	}
	longer := w.store.Clone(t)
	longer.Replace(file, append(longer.Bytes(file), 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0)) // a frame that readers skip
	if _, err := proof.Make(ctx, longer, "b-999", nil); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("a longer file: %v", err)
	}
	headless := w.store.Clone(t)
	headless.Erase(tlog.CheckpointKey(10))
	if _, err := proof.Make(ctx, headless, "a-3", nil); !errors.Is(err, sink.ErrNotExist) {
		t.Errorf("no checkpoint: %v", err)
	}
	empty := newWorld(t, "daybook/test")
	if _, err := proof.Make(ctx, empty.store, "a-3", nil); !errors.Is(err, proof.ErrUnsigned) {
		t.Errorf("no log: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := proof.Make(cancelled, w.store, "a-3", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What the store has a version id for, a copy in a folder has not.
func TestEncodeIsStable(t *testing.T) {
	w, _ := rotated(t)
	a, b := mustMake(t, w, "a-3", nil).Encode(), mustMake(t, w, "a-3", nil).Encode()
	if !bytes.Equal(a, b) {
		t.Error("two proofs of one event differ")
	}
	if !json.Valid(a) || !bytes.HasSuffix(a, []byte("}\n")) {
		t.Errorf("not JSON: %s", a)
	}
}

func TestOtherPins(t *testing.T) {
	w, keys := rotated(t)
	first := w.store.Bytes(tlog.CheckpointKey(10))
	w.seal("audit", firstDay+3, 0, row("late", "s", at(firstDay+3, 1)))
	w.publish()
	r, err := mustMake(t, w, "a-3", nil).Check(publicKeys(keys[0]), nil, [][]byte{first})
	if err != nil || r.Pinned || !cmp.Equal(r.OtherPins, []int64{10}) || r.Key == nil || r.ExitCode() != 2 {
		t.Errorf("an older checkpoint, which nothing was compared with: %v %+v", err, r)
	}
	newest := w.store.Bytes(tlog.CheckpointKey(11))
	r, err = mustMake(t, w, "a-3", nil).Check(publicKeys(keys[0]), nil, [][]byte{first, newest})
	if err != nil || !r.Pinned || !cmp.Equal(r.OtherPins, []int64{10}) || r.ExitCode() != 0 {
		t.Errorf("an older checkpoint and the proof's own: %v %+v", err, r)
	}
	other, _ := rotated(t)
	if _, err := mustMake(t, w, "a-3", nil).Check(nil, nil, [][]byte{[]byte("no checkpoint")}); err == nil || errors.Is(err, proof.ErrProof) {
		t.Errorf("a fault of the auditor's: %v", err)
	}
	p := mustMake(t, other, "a-3", nil)
	pin, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: "daybook/test", Size: 10, Root: seal.Sum([]byte("x"))}, keys[2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(nil, nil, [][]byte{pin}); !errors.Is(err, proof.ErrProof) || !strings.Contains(err.Error(), "two histories") {
		t.Errorf("another root: %v", err)
	}
	pin, err = tlog.SignCheckpoint(tlog.Checkpoint{Origin: "daybook/else", Size: 10, Root: seal.Sum([]byte("x"))}, keys[2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Check(nil, nil, [][]byte{pin}); !errors.Is(err, proof.ErrProof) || !strings.Contains(err.Error(), "daybook/else") {
		t.Errorf("another log: %v", err)
	}
}
