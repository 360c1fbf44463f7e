package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// These are stores that claim more than they can show, or cost more than they hold.

func putRaw(t *testing.T, s sink.Store, key string, data []byte) {
	t.Helper()
	_, err := s.Put(context.Background(), sink.Object{
		Key: key, ContentType: "application/octet-stream", Size: int64(len(data)), SHA256: seal.Sum(data), Body: bytes.NewReader(data),
		Lock: sink.Lock{Mode: sink.Compliance, RetainUntil: verifytest.Now.AddDate(10, 0, 0)},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func eraseUnder(s *sinktest.Memory, prefix string) {
	for _, key := range s.Keys() {
		if strings.HasPrefix(key, prefix) {
			s.Erase(key)
		}
	}
}

func mustFind(t *testing.T, r *verify.Report, exit int, want ...string) {
	t.Helper()
	if r.ExitCode() != exit {
		t.Errorf("exit code %d, not %d", r.ExitCode(), exit)
	}
	for _, code := range want {
		if !has(r, code) {
			t.Errorf("no finding %s", code)
		}
	}
}

// Without the log nothing leads from a key to another: one seal of the auditor's key must not vouch for those of a stranger's.
func TestAKeyDoesNotVouchForAnotherWithoutTheLog(t *testing.T) {
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	ours := b.Key.Public()
	b.Seal(oneDay(1))
	b.Key = b.NewKey("stranger")
	b.Seal(oneDay(2))
	o := &verify.Options{Keys: []seal.PublicKey{ours}, Partial: true}
	r := run(t, s, o)
	mustFind(t, r, 2, "key-not-given")
	if len(r.Levels.Chain.VouchedBy) > 0 {
		t.Error("it is vouched for")
	}
	o.Keys = append(o.Keys, b.Key.Public())
	mustFind(t, run(t, s, o), 0)
}

func TestUnsignedSealsAmongSignedOnesWithoutTheLog(t *testing.T) {
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	ours := b.Key.Public()
	b.Seal(oneDay(1))
	b.Key = seal.Key{}
	b.Seal(oneDay(2))
	mustFind(t, run(t, s, &verify.Options{Keys: []seal.PublicKey{ours}, Partial: true}), 1, "unsigned-seal")
}

// The way from an old key to the one in force is worth no more than each key on it.
func TestAKeyDoesNotVouchOverARevokedOne(t *testing.T) {
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	first := b.Key.Public()
	b.Rotate(b.NewKey("stolen"))
	stolen := b.Key.Public()
	b.Rotate(b.NewKey("third"))
	b.Leaf(&logs.Leaf{Type: logs.TypeKey, Key: &logs.KeyLeaf{Action: logs.Revoke, Key: stolen.VerifierKey(), From: 2, Reason: "stolen"}}, b.Key)
	b.Seal(oneDay(1))
	b.Publish()
	for name, k := range map[string]seal.PublicKey{"before": first, "revoked": stolen} {
		t.Run(name, func(t *testing.T) {
			r := run(t, s, &verify.Options{Keys: []seal.PublicKey{k}})
			mustFind(t, r, 2, "key-yours-revoked")
			if len(r.Levels.Chain.VouchedBy) > 0 {
				t.Error("it is vouched for")
			}
		})
	}
	r := run(t, s, &verify.Options{Keys: []seal.PublicKey{b.Key.Public()}})
	if mustFind(t, r, 0); len(r.Levels.Chain.VouchedBy) != 1 {
		t.Error("the key in force does not vouch")
	}
}

func TestNothingOfWhatWasAskedFor(t *testing.T) {
	s := memory(t)
	verifytest.GoodStore(t, s, sink.Compliance)
	for name, o := range map[string]*verify.Options{
		"trail": {Trail: "acmee"},
		"days":  {From: verifytest.Day(20), To: verifytest.Day(25)},
		"both":  {Trail: verifytest.Acme, From: verifytest.Day(20), Partial: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, s, o)
			if mustFind(t, r, 2, "nothing-sealed"); r.Levels.Files.Intact {
				t.Error("files are said to be intact")
			}
		})
	}
	mustFind(t, run(t, s, &verify.Options{Trail: verifytest.Acme, From: verifytest.Day(5), To: verifytest.Day(5)}), 0)
}

func TestACheckpointThatACopyWithoutLogCannotShow(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	eraseUnder(s, "log/")
	o := &verify.Options{Keys: []seal.PublicKey{good.First.Public(), good.Second.Public()}, Partial: true}
	mustFind(t, run(t, s, o), 0)
	o.Checkpoints = [][]byte{good.Head}
	mustFind(t, run(t, s, o), 2, "checkpoint-unchecked")

	// A part of the log can show it no better, and its newest checkpoint, which is then unchecked, is no head.
	wrong := fmt.Appendf(nil, "%s\n5\n%s=\n", verifytest.Origin, strings.Repeat("A", 43))
	for _, erased := range []string{"log/tile/entries/", "log/tile/"} {
		for name, pin := range map[string][]byte{"head": good.Head, "earlier": good.Earlier, "contradicted": wrong} {
			t.Run(name+" without "+erased, func(t *testing.T) {
				s := store.Clone(t)
				eraseUnder(s, erased)
				o := *o
				o.Checkpoints = [][]byte{pin}
				r := run(t, s, &o)
				if mustFind(t, r, 2, "checkpoint-unchecked"); r.Levels.Head.Size != 0 || r.Levels.Head.Anchored {
					t.Errorf("head %+v", r.Levels.Head)
				}
				var text strings.Builder
				if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "no checkpoint of the log could be checked") {
					t.Errorf("error %v, text:\n%s", err, &text)
				}
			})
		}
	}
}

// A head that the key in force did not sign is not told as the log's.
func TestAHeadThatNobodySigned(t *testing.T) {
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	b.Seal(oneDay(1))
	root := b.Root(2)
	forged, err := logs.SignCheckpoint(logs.Checkpoint{Origin: verifytest.Origin, Size: 2, Root: root}, b.NewKey("thief"))
	if err != nil {
		t.Fatal(err)
	}
	b.Publish()
	copied := s.Clone(t)
	copied.Replace(logs.CheckpointKey(2), forged)
	for _, partial := range []bool{false, true} {
		r := run(t, copied, &verify.Options{Partial: partial, Checkpoints: [][]byte{forged}})
		if mustFind(t, r, 1, "checkpoint-invalid"); r.Levels.Head.Anchored || r.Levels.Head.Size != 0 || r.Levels.Chain.Logged {
			t.Errorf("levels %+v", r.Levels)
		}
	}
}

func TestAPolicyThatAsksForNothingAnchorsNothing(t *testing.T) {
	s := memory(t)
	good := verifytest.GoodStore(t, s, sink.Compliance)
	named, err := good.Second.Public().Named(verifytest.Origin)
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, s, &verify.Options{Policy: []byte("log " + named.VerifierKey() + "\nquorum none\n")})
	if mustFind(t, r, 0, "head-unanchored"); r.Levels.Head.Anchored {
		t.Error("the head is said to be anchored")
	}
}

// Who may write to the store must not undo a quorum by copying what witnesses signed.
func TestCopiesOfACosignature(t *testing.T) {
	s := memory(t)
	good := verifytest.GoodStore(t, s, sink.Compliance)
	w := verifytest.NewWitness(t, "witness.example")
	line := w.Cosign(good.Head, good.Clock.Add(time.Hour))
	for i := range 120 {
		putRaw(t, s, logs.AnchorKey(23, fmt.Sprintf("copy-%d", i), logs.CosignatureExt), line)
	}
	r := run(t, s, &verify.Options{Policy: verifytest.Policy(good.Second.Public(), w)})
	if mustFind(t, r, 0); !r.Levels.Head.Anchored {
		t.Error("the head is not anchored")
	}
}

// What follows the newest checkpoint can be put by anybody. Nothing that it says counts before its signature does.
func TestAForgedStep(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	thief := good.NewKey("thief")
	step := func(size int64, entries ...[]byte) []byte {
		signed, err := logs.SignCheckpoint(logs.Checkpoint{Origin: verifytest.Origin, Size: size, Root: seal.Sum(nil)}, thief)
		if err != nil {
			t.Fatal(err)
		}
		data := record16(signed)
		for _, e := range entries {
			data = append(data, record16(e)...)
		}
		return data
	}
	m, err := seal.ParseManifest(store.Bytes(manifestKey(2)))
	if err != nil {
		t.Fatal(err)
	}
	f := m.Files[0]
	entry, err := (&logs.Leaf{
		Schema: logs.Schema, Type: logs.TypeErasure, Time: good.Clock,
		Erasure: &logs.ErasureLeaf{Trail: m.Trail, Seal: m.Seal, Key: f.Key, SHA256: f.SHA256, Reason: "court order", By: "nobody"},
	}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("erasure", func(t *testing.T) {
		s := store.Clone(t)
		putRaw(t, s, logs.NextKey(23), step(24, entry))
		s.Erase(f.Key)
		r := run(t, s, nil)
		if mustFind(t, r, 1, "checkpoint-invalid", "file-missing"); has(r, "file-erased") || r.Levels.Files.Intact || r.Counts.Leaves != 23 {
			t.Errorf("it is believed: %+v", r.Levels)
		}
	})
	t.Run("blank entries", func(t *testing.T) {
		s := store.Clone(t)
		putRaw(t, s, logs.NextKey(23), append(step(23+4_000_000), make([]byte, 8_000_000)...))
		mustFind(t, costs(t, 300<<20, s), 1, "log-altered")
	})
}

// costs verifies a store, and checks how much memory that asks for in all.
func costs(t *testing.T, most uint64, s sink.Store) *verify.Report {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := verify.Run(t.Context(), s, &verify.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > most {
		t.Errorf("it took %d MiB, at most %d are allowed", (after.TotalAlloc-before.TotalAlloc)>>20, most>>20)
	}
	return r
}

func TestNumbersInABrokenLogDoNotBecomeMemory(t *testing.T) {
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	b.Entry([]byte("this is no leaf\n"))
	const trails = 1500
	for i := range trails {
		b.Leaf(&logs.Leaf{Type: logs.TypeSeal, Seal: &logs.SealLeaf{
			Trail: fmt.Sprintf("trail-%d", i), Seal: trails, Day: seal.Date{Day: verifytest.Day(1)}, Manifest: seal.Sum([]byte("x")), Key: b.Key.ID(),
		}})
	}
	b.Publish()
	mustFind(t, costs(t, 100<<20, s), 1, "leaf-invalid") // every number believed would be 500 MiB
}

// A finding is about a manifest, and must not keep it.
func TestFindingsDoNotKeepManifests(t *testing.T) {
	effort.NeedsLong(t)
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	b.Formats = b.Formats[:1] // each file's key names the trail again
	day := oneDay(1)
	day.Rows = nil
	m := b.Seal(day)
	m.Trail = strings.Repeat("x", 1<<20)
	for i := range m.Files {
		name, err := m.Files[i].Name(m)
		if err != nil {
			t.Fatal(err)
		}
		m.Files[i].Key = seal.FileKey(name)
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 20; n++ { // kept, they would take at least twice what is allowed
		putRaw(t, s, fmt.Sprintf("seals/other/%08d/manifest.json", n), data)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := run(t, s, nil)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(s) // what the store holds must not make room for what the report holds
	if mustFind(t, r, 1, "wrong-trail"); after.HeapAlloc > before.HeapAlloc+10<<20 {
		t.Errorf("the report holds %d MiB", (after.HeapAlloc-before.HeapAlloc)>>20)
	}
	var report bytes.Buffer
	if err := r.WriteJSON(&report); err != nil || report.Len() > 2<<20 {
		t.Errorf("the report has %d bytes, error %v", report.Len(), err)
	}
}

func TestReportsDoNotCommandTerminals(t *testing.T) {
	const name = "a\u009b2J\u202eb\x7f\x1b[1m\U000e0041"
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	day := oneDay(1)
	day.Trail = name
	b.Seal(day)
	b.Publish()
	r := run(t, s, nil)
	var text, data bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	for what, out := range map[string]string{"text": text.String(), "JSON": data.String()} {
		if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%s holds %q", what, out[i:min(i+10, len(out))])
		}
	}
	var parsed struct{ Trails []struct{ Trail string } }
	if err := json.Unmarshal(data.Bytes(), &parsed); err != nil || len(parsed.Trails) != 1 || parsed.Trails[0].Trail != name {
		t.Errorf("JSON says %q, error %v", parsed.Trails, err)
	}
}

// Holds and extensions are looked up for each seal, and so must not be gone through for each.
func TestHoldsAndExtensionsOfManySeals(t *testing.T) {
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	until := verifytest.Now.AddDate(0, 0, -1)
	var first, second *seal.Manifest
	for n := 1; n <= 2; n++ {
		d := oneDay(n)
		d.Manifest = func(m *seal.Manifest) {
			for i := range m.Files {
				m.Files[i].RetainUntil = until
			}
		}
		first, second = second, b.Seal(d)
	}
	put := func(action, trail string, from, to int) {
		b.Leaf(&logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{
			Action: action, Trail: trail, From: seal.Date{Day: verifytest.Day(from)}, To: seal.Date{Day: verifytest.Day(to)}, Reason: "r", By: "b",
		}})
	}
	put(logs.HoldPut, verifytest.Acme, 2, 9)
	put(logs.HoldPut, verifytest.Acme, 1, 3)
	put(logs.HoldPut, verifytest.Acme, 5, 6)
	put(logs.HoldRelease, verifytest.Acme, 1, 3)
	put(logs.HoldRelease, verifytest.Acme, 1, 9) // nothing was put with that range
	put(logs.HoldPut, "another", 1, 9)
	b.Publish()
	s.Erase(first.Files[0].Key)
	s.Erase(second.Files[0].Key)
	got := map[string]string{}
	for _, f := range run(t, s, nil).Findings {
		if f.Code == "file-expired" || f.Code == "file-missing" {
			got[f.Key] = f.Code
		}
	}
	want := map[string]string{first.Files[0].Key: "file-expired", second.Files[0].Key: "file-missing"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	extend := func(from, to uint64, days int) {
		b.Leaf(&logs.Leaf{Type: logs.TypeExtension, Extension: &logs.ExtensionLeaf{
			Trail: verifytest.Acme, FirstSeal: from, LastSeal: to, RetainUntil: verifytest.Now.AddDate(0, 0, days), Reason: "r", By: "b",
		}})
	}
	extend(1, 2, 30)
	extend(1, 1, 50)
	extend(1, 2, 40)
	b.Publish()
	weak := map[uint64]string{}
	for _, f := range run(t, s, nil).Findings {
		if f.Code == "lock-weak" {
			weak[f.Seal] = f.Expected
		}
	}
	wantWeak := map[uint64]string{1: "COMPLIANCE until 2026-05-09T12:00:00Z", 2: "COMPLIANCE until 2026-04-29T12:00:00Z"}
	if diff := cmp.Diff(wantWeak, weak); diff != "" {
		t.Errorf("extensions (-want +got):\n%s", diff)
	}
}

func TestManyTrailsInTheLog(t *testing.T) {
	effort.NeedsLong(t)
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	const trails = 4000
	for i := range trails {
		b.Leaf(&logs.Leaf{Type: logs.TypeSeal, Seal: &logs.SealLeaf{
			Trail: fmt.Sprintf("trail %d", i), Seal: 1, Day: seal.Date{Day: verifytest.Day(1)}, Manifest: seal.Sum([]byte("x")), Key: b.Key.ID(),
		}})
	}
	b.Publish()
	mustFind(t, costs(t, 100<<20, s), 1, "seal-missing") // each name made again for each trail would be 500 MiB
}

// Holds that overlap are laid side by side; each day is held since the first of them.
func TestHoldsSideBySide(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var spans [][3]int64
		var want [32]int64
		for i := range want {
			want[i] = -1
		}
		for range random.IntN(7) {
			from := random.Int64N(32)
			to, since := from+random.Int64N(32-from), random.Int64N(5)
			spans = append(spans, [3]int64{from, to, since})
			for d := from; d <= to; d++ {
				if want[d] < 0 || since < want[d] {
					want[d] = since
				}
			}
		}
		if got := verify.FlatDays(spans); got != want {
			t.Fatalf("%v:\n got %v\nwant %v", spans, got, want)
		}
	}
}
