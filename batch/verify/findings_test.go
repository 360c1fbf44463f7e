package verify_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/event"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

var update = flag.Bool("update", false, "rewrite docs/FINDINGS.md")

func TestFindingsDocument(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "FINDINGS.md")
	if *update {
		if err := os.WriteFile(path, []byte(verify.Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), verify.Markdown()); diff != "" {
		t.Errorf("docs/FINDINGS.md is not what the table says; run this test with -update (-file +table):\n%s", diff)
	}
}

// A damage is what was done to a store, and all that may be found besides notes.
type damage struct {
	name string
	want []string
	// good, if it is set, is done to a copy of the good store; else made makes a store.
	good func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, o *verify.Options)
	made func(t *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options)
}

const (
	firstCSV      = "csv/class=standard/trail=acme/dt=2026-03-01/acme-2026-03-01.0001.csv.gz"
	firstEvidence = "jsonl/class=standard/trail=acme/dt=2026-03-01/acme-2026-03-01.0001.jsonl.zst"
)

func manifestKey(n uint64) string { return seal.ManifestKey(verifytest.Acme, n) }
func noteKey(n uint64) string     { return seal.NoteKey(verifytest.Acme, n) }

// oneDay is a seal of a day of Acme.
func oneDay(n int) verifytest.Seal {
	return verifytest.Seal{Trail: verifytest.Acme, Day: verifytest.Day(n), Rows: map[string][]event.Event{"standard": verifytest.Rows("standard", verifytest.Day(n), 6)}}
}

// sealed makes a store of two days, of which the second is as change says.
func sealed(change func(*verifytest.Seal)) func(*testing.T, *verifytest.Builder, *sinktest.Memory, *verify.Options) {
	return func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
		b.Seal(oneDay(1))
		s := oneDay(2)
		change(&s)
		b.Seal(s)
		b.Publish()
	}
}

func inManifest(change func(*seal.Manifest)) func(*testing.T, *verifytest.Builder, *sinktest.Memory, *verify.Options) {
	return sealed(func(s *verifytest.Seal) { s.Manifest = change })
}

// inFile changes the first file of a format.
func inFile(format string, change func(f *seal.File, content []byte) []byte) func(*testing.T, *verifytest.Builder, *sinktest.Memory, *verify.Options) {
	return sealed(func(s *verifytest.Seal) {
		s.File = func(f *seal.File, content []byte) []byte {
			if f.Format == format && f.Part == 1 {
				return change(f, content)
			}
			return nil
		}
	})
}

func deeply(made func(*testing.T, *verifytest.Builder, *sinktest.Memory, *verify.Options)) func(*testing.T, *verifytest.Builder, *sinktest.Memory, *verify.Options) {
	return func(t *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
		o.Deep = true
		made(t, b, s, o)
	}
}

// rooted gives a file the Merkle root of what it holds now.
func rooted(f *seal.File, content []byte) []byte {
	var tree seal.Tree
	for line := range bytes.Lines(content) {
		tree.Append(bytes.TrimSuffix(line, []byte("\n")))
	}
	f.MerkleRoot = tree.Root()
	return content
}

func lines(content []byte) [][]byte { return slices.Collect(bytes.Lines(content)) }

func damages() []damage {
	return []damage{
		{name: "the listing fails", want: []string{"list-failed"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.TakeLog()
			s.FailStep(6, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: true}) // the files, after what vouches for them
		}},
		{name: "nothing is there", want: []string{"nothing-sealed"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			for _, key := range s.Keys() {
				s.Erase(key)
			}
		}},
		{name: "a file cannot be read", want: []string{"read-failed"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.FailKey("get", firstCSV, sinktest.Fault{Err: sinktest.ErrUnavailable})
		}},
		{name: "a manifest of another schema", want: []string{"chain-broken", "schema-unknown", "seal-log-mismatch"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			key := manifestKey(1)
			s.Replace(key, bytes.Replace(s.Bytes(key), []byte(`"schema": 1`), []byte(`"schema": 2`), 1))
			b.Seal(verifytest.Seal{Trail: verifytest.Acme, Day: verifytest.Day(2), Manifest: func(m *seal.Manifest) { m.Previous = seal.Sum([]byte("x")) }})
			b.Publish()
		}},
		{name: "an object that nothing explains", want: []string{"unlisted-object"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Overwrite("csv/class=standard/trail=acme/dt=2026-03-01/acme-2026-03-01.0099.csv.gz", []byte("x"), sink.Lock{})
		}},
		{name: "what daybook doctor has left", want: []string{"throw-away"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Overwrite("doctor/20260310T080000Z-01234567/hide", []byte("x"), sink.Lock{})
			s.Hide("doctor/20260310T080000Z-01234567/hide")
			s.Overwrite("doctor/hold-20260310T080000Z", []byte("x"), sink.Lock{})
			s.Overwrite("doctor/tier", []byte("x"), sink.Lock{})
		}},
		{name: "what daybook doctor can't have left", want: []string{"unlisted-object"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Overwrite("doctor/20260310T080000Z-01234567/hidden.csv", []byte("x"), sink.Lock{})
		}},
		{name: "more than daybook doctor can have left", want: []string{"unlisted-object"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Overwrite("doctor/20260310T080000Z-01234567/hide", make([]byte, 1000), sink.Lock{})
		}},
		{name: "more than daybook doctor can have left, below a small version", want: []string{"unlisted-object"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Overwrite("doctor/20260310T080000Z-01234567/hide", make([]byte, 1000), sink.Lock{})
			s.Overwrite("doctor/20260310T080000Z-01234567/hide", []byte("x"), sink.Lock{})
		}},
		{name: "a newer version over a file", want: []string{"newer-version"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Overwrite(firstCSV, []byte("x"), sink.Lock{})
		}},
		{name: "a newer version over a manifest", want: []string{"newer-version"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Overwrite(manifestKey(3), []byte("x"), sink.Lock{})
		}},
		{name: "a version below a file", want: []string{"unlisted-version"}, made: func(t *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			inManifest(func(m *seal.Manifest) {
				f := &m.Files[0]
				was := s.History(f.Key)[0]
				s.Overwrite(f.Key, s.Bytes(f.Key), was.Lock)
				f.Version = s.History(f.Key)[1].ID
			})(t, b, s, o)
		}},
		{name: "another version in a file's place", want: []string{"version-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			data, lock := s.Bytes(firstCSV), s.History(firstCSV)[0].Lock
			s.Erase(firstCSV)
			s.Overwrite(firstCSV, data, lock)
		}},
		{name: "other versions in a file's place", want: []string{"version-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			data, lock := s.Bytes(firstCSV), s.History(firstCSV)[0].Lock
			s.Erase(firstCSV)
			s.Overwrite(firstCSV, data, lock)
			s.Overwrite(firstCSV, data, lock)
		}},
		{name: "a delete marker over a file", want: []string{"delete-marker"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Hide(firstCSV)
		}},
		{name: "a delete marker over a note", want: []string{"delete-marker"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Hide(noteKey(11))
		}},
		{name: "a file is gone", want: []string{"file-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Erase(firstCSV)
		}},
		{name: "a file is gone after its time", want: []string{"file-expired"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			s.Erase(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 2, 0) }
		}},
		{name: "a file is hidden after its time", want: []string{"file-expired"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.Seal(oneDay(1))
			b.Publish()
			b.Clock = b.Clock.AddDate(0, 2, 0)
			s.Hide(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 3, 0) }
		}},
		{name: "a file was hidden before its time", want: []string{"delete-marker"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.Seal(oneDay(1))
			b.Publish()
			s.Hide(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 3, 0) }
		}},
		{name: "a file is hidden after its time under a hold", want: []string{"delete-marker"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.Seal(oneDay(1))
			day := seal.Date{Day: verifytest.Day(1)}
			b.Leaf(&logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{Action: logs.HoldPut, Trail: verifytest.Acme, From: day, To: day, Reason: "case 7", By: "counsel"}})
			b.Publish()
			holdAll(s)
			b.Clock = b.Clock.AddDate(0, 2, 0)
			s.Hide(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 3, 0) }
		}},
		{name: "of a file that is over nothing but the marker is left", want: []string{"file-expired"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.Seal(oneDay(1))
			b.Publish()
			b.Clock = b.Clock.AddDate(0, 2, 0)
			version := s.History(firstCSV)[0].ID
			s.Hide(firstCSV)
			s.Erase(firstCSV, version)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 3, 0) }
		}},
		{name: "an overwritten file is hidden after its time", want: []string{"delete-marker", "newer-version"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.Seal(oneDay(1))
			b.Publish()
			s.Overwrite(firstCSV, []byte("x"), sink.Lock{})
			b.Clock = b.Clock.AddDate(0, 2, 0)
			s.Hide(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 3, 0) }
		}},
		{name: "a file is gone after its time under a hold", want: []string{"file-missing"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.Seal(oneDay(1))
			day := seal.Date{Day: verifytest.Day(1)}
			b.Leaf(&logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{Action: logs.HoldPut, Trail: verifytest.Acme, From: day, To: day, Reason: "case 7", By: "counsel"}})
			b.Publish()
			holdAll(s)
			s.Erase(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 2, 0) }
		}},
		{name: "a hold was lifted", want: []string{"hold-missing"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			day := seal.Date{Day: verifytest.Day(1)}
			b.Leaf(&logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{Action: logs.HoldPut, Trail: verifytest.Acme, From: day, To: day, Reason: "case 7", By: "counsel"}})
			b.Publish()
			holdAll(s)
			s.SetHeld(firstCSV, false)
		}},
		{name: "a file is gone after its time when a hold was released", want: []string{"file-expired"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.Seal(oneDay(1))
			day := seal.Date{Day: verifytest.Day(1)}
			for _, action := range []string{logs.HoldPut, logs.HoldRelease} {
				b.Leaf(&logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{Action: action, Trail: verifytest.Acme, From: day, To: day, Reason: "case 7", By: "counsel"}})
			}
			b.Publish()
			s.Erase(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 2, 0) }
		}},
		{name: "a file is gone in its extended time", want: []string{"file-missing", "lock-weak"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.PartRows, b.Formats = 6, b.Formats[:2] // two files, one of which is erased
			b.Seal(oneDay(1))
			b.Leaf(&logs.Leaf{Type: logs.TypeExtension, Extension: &logs.ExtensionLeaf{
				Trail: verifytest.Acme, FirstSeal: 1, LastSeal: 1, RetainUntil: verifytest.Now.AddDate(1, 0, 0), Reason: "case 7", By: "counsel",
			}})
			b.Publish()
			s.Erase(firstCSV)
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 2, 0) }
		}},
		{name: "a file was gone after its time when that was extended", want: []string{"file-expired"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			b.PartRows, b.Formats = 6, b.Formats[:2]
			b.Seal(oneDay(1))
			b.Clock = b.Clock.AddDate(0, 2, 0)
			b.Leaf(&logs.Leaf{Type: logs.TypeExtension, Extension: &logs.ExtensionLeaf{
				Trail: verifytest.Acme, FirstSeal: 1, LastSeal: 1, RetainUntil: b.Clock.AddDate(1, 0, 0), Reason: "case 7", By: "counsel",
			}})
			b.Publish()
			s.Erase(firstCSV)
			for _, key := range s.Keys() {
				if strings.HasPrefix(key, "jsonl/") {
					s.SetLock(key, sink.Lock{Mode: sink.Compliance, RetainUntil: b.Clock.AddDate(1, 0, 0)})
				}
			}
			o.Now = func() time.Time { return verifytest.Now.AddDate(0, 3, 0) }
		}},
		{name: "the log is locked for less long than an extended file", want: []string{"log-lock-short"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, _ *verify.Options) {
			until := verifytest.Now.AddDate(20, 0, 0)
			b.Seal(oneDay(1))
			b.Leaf(&logs.Leaf{Type: logs.TypeExtension, Extension: &logs.ExtensionLeaf{
				Trail: verifytest.Acme, FirstSeal: 1, LastSeal: 1, RetainUntil: until, Reason: "case 7", By: "counsel",
			}})
			b.Publish()
			for _, key := range s.Keys() {
				if !strings.HasPrefix(key, "log/tile/0/") { // the others, and the checkpoint, are locked for as long
					s.SetLock(key, sink.Lock{Mode: sink.Compliance, RetainUntil: until})
				}
			}
		}},
		{name: "a file is erased", want: []string{"file-erased"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, _ *verify.Options) {
			m := b.Seal(oneDay(1))
			f := m.Files[slices.IndexFunc(m.Files, func(f seal.File) bool { return f.Key == firstCSV })]
			b.Leaf(&logs.Leaf{Type: logs.TypeErasure, Erasure: &logs.ErasureLeaf{Trail: verifytest.Acme, Seal: 1, Key: firstCSV, SHA256: f.SHA256, Reason: "article 17", By: "dpo"}})
			b.Publish()
			s.Erase(firstCSV)
		}},
		{name: "a partial copy", want: []string{"absent"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			for _, key := range s.Keys() {
				if strings.HasPrefix(key, "csv/") || strings.HasPrefix(key, "log/") || strings.HasPrefix(key, "seals/acme/00000001/") {
					s.Erase(key)
				}
				// Nothing explains the files of a seal that is not there.
				if strings.Contains(key, "trail=acme/dt=2026-03-01/") && !strings.HasPrefix(key, "csv/") {
					s.Erase(key)
				}
			}
			o.Partial = true
		}},
		{name: "a file is cut", want: []string{"file-size"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Replace(firstCSV, s.Bytes(firstCSV)[:20])
		}},
		{name: "a bit of a rendering", want: []string{"file-altered"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.FlipBit(firstCSV, 200)
		}},
		{name: "a bit of the evidence", want: []string{"file-altered"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			s.FlipBit(firstEvidence, 300)
			o.Deep = true
		}},
		{name: "one file in two seals", want: []string{"addendum-order", "file-listed-twice"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Mode = sink.Compliance
			b.Seal(oneDay(1))
			s, none := oneDay(1), 0
			s.Addendum = &none
			b.Seal(s)
			b.Publish()
		}},
		{name: "a lock is shortened", want: []string{"lock-weak"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			lock := s.History(firstCSV)[0].Lock
			s.SetLock(firstCSV, sink.Lock{Mode: lock.Mode, RetainUntil: lock.RetainUntil.Add(-time.Second)})
		}},
		{name: "a lock is weaker", want: []string{"lock-weak"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.SetLock(firstCSV, sink.Lock{Mode: sink.Governance, RetainUntil: s.History(firstCSV)[0].Lock.RetainUntil})
		}},
		{name: "locks of control objects are gone", want: []string{"control-lock-weak"}, good: func(_ *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			for _, key := range []string{manifestKey(1), noteKey(2), seal.KeyKey(g.First.ID()), logs.CheckpointKey(23), "log/tile/0/000.p/23", "log/tile/entries/000.p/23", logs.NextKey(20)} {
				s.SetLock(key, sink.Lock{})
			}
		}},
		{name: "a key is in governance mode", want: []string{"key-governance-lock"}, good: func(_ *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			key := seal.KeyKey(g.First.ID())
			s.SetLock(key, sink.Lock{Mode: sink.Governance, RetainUntil: s.History(key)[0].Lock.RetainUntil})
		}},
		{name: "a rule that expires early", want: []string{"expiry-rule"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.SetExpiry(sink.ExpiryRule{ID: "evil", Prefix: "csv/class=standard/", Days: 29}, sink.ExpiryRule{ID: "fine", Prefix: "csv/class=security/", Days: 400}, sink.ExpiryRule{ID: "old", NoncurrentDays: 1})
		}},
		{name: "a rule for everything", want: []string{"expiry-control", "expiry-rule"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.SetExpiry(sink.ExpiryRule{ID: "evil", Days: 1})
		}},
		{name: "rules that nobody tells", want: []string{"expiry-unknown"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.FailKey("expiry", "", sinktest.Fault{Err: sink.ErrUnknown})
		}},

		{name: "evidence ends within a row", want: []string{"evidence-broken"}, made: inFile("jsonl", func(_ *seal.File, content []byte) []byte { return content[:len(content)-1] })},
		{name: "a row is added to the evidence", want: []string{"evidence-rows"}, made: inFile("jsonl", func(_ *seal.File, content []byte) []byte { return append(content, lines(content)[0]...) })},
		{name: "a row of the evidence is changed", want: []string{"evidence-root"}, made: inFile("jsonl", func(_ *seal.File, content []byte) []byte {
			return bytes.Replace(content, []byte("user-1"), []byte("user-2"), 1)
		})},

		{name: "a manifest is gone", want: []string{"manifest-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) { s.Erase(manifestKey(4)) }},
		{name: "a manifest with a member twice", want: []string{"manifest-invalid", "seal-log-mismatch"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Replace(manifestKey(4), bytes.Replace(s.Bytes(manifestKey(4)), []byte(`"schema": 1,`), []byte(`"schema": 1,"trail": "acme",`), 1))
		}},
		{name: "a note is gone", want: []string{"note-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) { s.Erase(noteKey(4)) }},
		{name: "a signature of another note", want: []string{"note-signature"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			text, _, _ := strings.Cut(string(s.Bytes(noteKey(1))), "\n\n")
			_, sig, _ := strings.Cut(string(s.Bytes(noteKey(2))), "\n\n")
			s.Replace(noteKey(1), []byte(text+"\n\n"+sig))
		}},
		{name: "a note of another manifest", want: []string{"note-text"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Replace(noteKey(1), s.Bytes(noteKey(2)))
		}},
		{name: "notes without their manifests change places in a partial copy", want: []string{"absent", "note-text", "unlisted-object"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			first := s.Bytes(noteKey(1))
			s.Replace(noteKey(1), s.Bytes(noteKey(2)))
			s.Replace(noteKey(2), first)
			s.Erase(manifestKey(1))
			s.Erase(manifestKey(2))
			o.Partial = true
		}},
		{name: "a note without its manifest is of another trail", want: []string{"absent", "note-text"}, good: func(t *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			eraseUnder(s, "log/")
			eraseSeals(t, s, verifytest.Beta, 1, 10)
			s.Overwrite(seal.NoteKey(verifytest.Beta, 1), s.Bytes(noteKey(1)), sink.Lock{})
			o.Partial = true
		}},
		{name: "a note without its manifest is of another manifest than the log's", want: []string{"absent", "note-text", "unlisted-object"}, made: func(t *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			inManifest(func(m *seal.Manifest) {
				was := m.Config
				m.Config = seal.Sum([]byte("another"))
				data, err := m.Encode()
				if err != nil {
					t.Fatal(err)
				}
				signed, err := verifytest.SignNote(m, data, b.Key)
				if err != nil {
					t.Fatal(err)
				}
				s.Overwrite("kept", signed, sink.Lock{})
				m.Config = was
			})(t, b, s, o)
			s.Replace(noteKey(2), s.Bytes("kept"))
			s.Erase("kept")
			s.Erase(manifestKey(2))
			o.Partial = true
		}},
		{name: "a note without its manifest is signed with a retired key", want: []string{"absent", "key-out-of-range"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			old, next := b.Key, b.NewKey("next")
			b.Rotate(next)
			b.Key = old
			b.Seal(verifytest.Seal{Trail: verifytest.Acme, Day: verifytest.Day(1)})
			b.Key = next
			b.Seal(oneDay(2))
			b.Publish()
			s.Erase(manifestKey(1))
			o.Partial = true
		}},
		{name: "a note without its manifest is not in the log", want: []string{"absent", "seal-not-logged"}, made: func(t *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			sealed(func(s *verifytest.Seal) { s.Unlogged = true })(t, b, s, o)
			s.Erase(manifestKey(2))
			o.Partial = true
		}},
		{name: "a signature too many", want: []string{"note-extra-signature"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Replace(noteKey(1), append(s.Bytes(noteKey(1)), "— somebody AAAAAAAA\n"...))
		}},
		{name: "a thousand signatures", want: []string{"note-signature"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Replace(noteKey(1), append(s.Bytes(noteKey(1)), strings.Repeat("— somebody AAAAAAAA\n", 1000)...))
		}},
		{name: "a seal is being made", want: []string{"seal-incomplete", "seal-not-logged"}, made: sealed(func(s *verifytest.Seal) { s.NoNote, s.Unlogged = true, true })},
		{name: "nothing vouches for a seal of a partial copy", want: []string{"absent", "seal-unvouched"}, good: func(t *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			eraseUnder(s, "log/")
			s.Erase(noteKey(4))
			o.Partial = true
		}},
		{name: "a seal is gone", want: []string{"seal-missing", "unlisted-object"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Erase(manifestKey(4))
			s.Erase(noteKey(4))
		}},
		{name: "a seal under another number", want: []string{"addendum-order", "chain-broken", "file-listed-twice", "note-text", "seal-log-mismatch", "seal-number", "unlisted-object"},
			good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
				s.Replace(manifestKey(4), s.Bytes(manifestKey(3)))
			}},
		{name: "a seal of another trail", want: []string{"chain-broken", "file-listed-twice", "note-text", "seal-log-mismatch", "unlisted-object", "wrong-trail"},
			good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
				s.Replace(manifestKey(4), s.Bytes(seal.ManifestKey(verifytest.Beta, 4)))
			}},
		{name: "another manifest before", want: []string{"chain-broken"}, made: inManifest(func(m *seal.Manifest) { m.Previous = seal.Sum([]byte("x")) })},
		{name: "an addendum before its day", want: []string{"addendum-order"}, made: sealed(func(s *verifytest.Seal) { one := 1; s.Addendum = &one })},
		{name: "more is carried than was left", want: []string{"counts-carried"}, made: inManifest(func(m *seal.Manifest) { m.Counts.Carried, m.Counts.Read = 2, m.Counts.Read-2 })},
		{name: "a seal before its events", want: []string{"sealed-too-early", "time-order"}, made: inManifest(func(m *seal.Manifest) { m.SealedAt = m.Start })},
		{name: "a seal of the future", want: []string{"time-in-future", "time-order"}, made: inManifest(func(m *seal.Manifest) { m.SealedAt = verifytest.Now.Add(time.Hour) })},
		{name: "a gap is declared", want: []string{"gap-declared"}, made: inManifest(func(m *seal.Manifest) {
			m.Gaps = []seal.Gap{{From: m.Start, To: m.Start.Add(time.Hour), Reason: "down"}}
		})},
		{name: "a day without a seal", want: []string{"day-unsealed"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			b.Seal(oneDay(4))
			b.Publish()
		}},
		{name: "trails that look alike", want: []string{"trail-look-alike"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			s := oneDay(1)
			s.Trail = "асme" // Cyrillic
			b.Seal(s)
			b.Publish()
		}},
		{name: "an unsigned seal among signed ones", want: []string{"unsigned-seal"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			b.Publish()
			b.Key = seal.Key{}
			b.Seal(oneDay(2))
		}},

		{name: "a key file is changed", want: []string{"key-file-invalid"}, good: func(_ *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			s.Replace(seal.KeyKey(g.First.ID()), g.Second.PublicPEM())
		}},
		{name: "a key file is gone", want: []string{"key-file-missing"}, good: func(_ *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			s.Erase(seal.KeyKey(g.First.ID()))
		}},
		{name: "a key that the log does not know", want: []string{"key-unknown"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, _ *verify.Options) {
			ours := b.Key
			b.Key = b.NewKey("thief")
			b.Seal(oneDay(1))
			s.Erase(seal.KeyKey(b.Key.ID()))
			b.Key = ours
			b.Publish()
		}},
		{name: "a retired key", want: []string{"key-out-of-range"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			old, next := b.Key, b.NewKey("next")
			b.Rotate(next)
			b.Key = old
			b.Seal(oneDay(2))
			b.Key = next
			b.Publish()
		}},
		{name: "a revoked key", want: []string{"key-revoked"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			old := b.Key
			b.Seal(oneDay(1))
			b.Seal(oneDay(2))
			b.Rotate(b.NewKey("next"))
			b.Leaf(&logs.Leaf{Type: logs.TypeKey, Key: &logs.KeyLeaf{Action: logs.Revoke, Key: old.Public().VerifierKey(), From: 2, Reason: "stolen"}}, b.Key)
			b.Publish()
		}},
		{name: "a revoked key, whose note is left out of a partial copy", want: []string{"absent", "key-revoked", "seal-unvouched"}, made: func(_ *testing.T, b *verifytest.Builder, s *sinktest.Memory, o *verify.Options) {
			old := b.Key
			b.Seal(oneDay(1))
			b.Seal(oneDay(2))
			b.Rotate(b.NewKey("next"))
			b.Leaf(&logs.Leaf{Type: logs.TypeKey, Key: &logs.KeyLeaf{Action: logs.Revoke, Key: old.Public().VerifierKey(), From: 2, Reason: "stolen"}}, b.Key)
			b.Publish()
			s.Erase(noteKey(2))
			o.Partial = true
		}},
		{name: "another key than yours", want: []string{"key-not-yours"}, good: func(_ *testing.T, _ *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			o.Keys = []seal.PublicKey{g.NewKey("other").Public()}
		}},
		{name: "your key is revoked", want: []string{"key-yours-revoked"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, o *verify.Options) {
			old := b.Key
			b.Seal(oneDay(1))
			b.Rotate(b.NewKey("next"))
			b.Leaf(&logs.Leaf{Type: logs.TypeKey, Key: &logs.KeyLeaf{Action: logs.Revoke, Key: old.Public().VerifierKey(), From: 2, Reason: "stolen"}}, b.Key)
			b.Publish()
			o.Keys = []seal.PublicKey{old.Public()}
		}},

		{name: "the log is gone", want: []string{"log-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			for _, key := range s.Keys() {
				if strings.HasPrefix(key, "log/") {
					s.Erase(key)
				}
			}
		}},
		{name: "a checkpoint's signature", want: []string{"checkpoint-invalid"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			key := logs.CheckpointKey(5)
			s.Replace(key, bytes.Replace(s.Bytes(key), s.Bytes(key)[len(s.Bytes(key))-12:], []byte("AAAAAAAAAAA\n"), 1))
		}},
		{name: "a checkpoint that is none", want: []string{"checkpoint-invalid"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Replace(logs.CheckpointKey(5), append(s.Bytes(logs.CheckpointKey(5)), "more\n"...))
		}},
		{name: "a checkpoint of a stranger", want: []string{"checkpoint-invalid", "log-object-missing"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			forged, err := logs.SignCheckpoint(logs.Checkpoint{Origin: verifytest.Origin, Size: 30, Root: seal.Sum([]byte("x"))}, g.NewKey("stranger"))
			if err != nil {
				t.Fatal(err)
			}
			s.Overwrite(logs.CheckpointKey(30), forged, sink.Lock{})
		}},
		{name: "what follows a checkpoint", want: []string{"log-altered"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.FlipBit(logs.NextKey(5), 8*400)
		}},
		{name: "the tail is cut off", want: []string{"log-cut"}, good: func(_ *testing.T, s *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			cutTail(s)
			o.Checkpoints = [][]byte{g.Head}
		}},
		{name: "the tail is cut off and nobody holds it", want: []string{"head-unanchored"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			cutTail(s)
		}},
		{name: "a second history", want: []string{"log-forked", "newer-version"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			forged, err := logs.SignCheckpoint(logs.Checkpoint{Origin: verifytest.Origin, Size: 5, Root: seal.Sum([]byte("x"))}, g.First)
			if err != nil {
				t.Fatal(err)
			}
			s.Overwrite(logs.CheckpointKey(5), forged, s.History(logs.CheckpointKey(5))[0].Lock)
		}},
		{name: "a head of another tree", want: []string{"log-forked", "log-root", "log-unfinished"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			forged, err := logs.SignCheckpoint(logs.Checkpoint{Origin: verifytest.Origin, Size: 23, Root: seal.Sum([]byte("x"))}, g.Second)
			if err != nil {
				t.Fatal(err)
			}
			s.Replace(logs.CheckpointKey(23), forged)
		}},
		{name: "bits of tiles and entries", want: []string{"log-altered"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.FlipBit("log/tile/0/000.p/5", 7)
			s.FlipBit("log/tile/entries/000.p/5", 8*500)
		}},
		{name: "a bit of the newest hashes", want: []string{"log-altered"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.FlipBit("log/tile/0/000.p/23", 7)
		}},
		{name: "a bit of the newest entries", want: []string{"log-altered"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.FlipBit("log/tile/entries/000.p/23", 8*2000)
		}},
		{name: "tiles are gone", want: []string{"log-object-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Erase("log/tile/0/000.p/23")
			s.Erase(logs.NextKey(5))
		}},
		{name: "a checkpoint in the middle is gone", want: []string{"log-object-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Erase(logs.CheckpointKey(5))
		}},
		{name: "checkpoints in the middle are gone, with all that was published with them", want: []string{"log-object-missing"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			erasePublished(s, 5, 7)
		}},
		{name: "the same in a partial copy", want: []string{"absent"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			erasePublished(s, 5, 7)
			o.Partial = true
		}},
		{name: "publishing was interrupted", want: []string{"log-unfinished"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, _ *verify.Options) {
			s.Erase(logs.CheckpointKey(23))
			s.Erase("log/tile/0/000.p/23")
		}},
		{name: "a leaf that is none", want: []string{"leaf-invalid"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			b.Entry([]byte("not a leaf\n"))
			b.Seal(oneDay(2))
			b.Publish()
		}},
		{name: "a leaf of another schema", want: []string{"schema-unknown"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			b.Entry([]byte(`{"schema":2,"type":"seal"}` + "\n"))
			b.Publish()
		}},
		{name: "a review of something else", want: []string{"leaf-reference"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			b.Leaf(&logs.Leaf{Type: logs.TypeReview, Review: &logs.ReviewLeaf{
				Trail: verifytest.Acme, FirstSeal: 1, LastSeal: 1, Manifest: seal.Sum([]byte("x")), Reviewer: b.Key.Public().VerifierKey(), Meaning: "review", Result: "accepted",
			}}, b.Key)
			b.Leaf(&logs.Leaf{Type: logs.TypeErasure, Erasure: &logs.ErasureLeaf{Trail: verifytest.Acme, Seal: 1, Key: "csv/x", SHA256: seal.Sum(nil), Reason: "r", By: "b"}})
			b.Publish()
		}},
		{name: "a seal is not in the log, but later ones are", want: []string{"log-seal-order", "seal-not-in-log"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			s := oneDay(1)
			s.Unlogged = true
			b.Seal(s)
			b.Seal(oneDay(2))
			b.Publish()
		}},
		{name: "the newest seal is not in the log", want: []string{"seal-not-logged"}, made: sealed(func(s *verifytest.Seal) { s.Unlogged = true })},
		{name: "the log has another manifest", want: []string{"seal-log-mismatch"}, made: sealed(func(s *verifytest.Seal) { s.Leaf = func(l *logs.SealLeaf) { l.Manifest = seal.Sum([]byte("x")) } })},
		{name: "a seal is twice in the log", want: []string{"log-seal-order"}, made: func(_ *testing.T, b *verifytest.Builder, _ *sinktest.Memory, _ *verify.Options) {
			b.Seal(oneDay(1))
			b.Entry(b.Leaves[1])
			b.Publish()
		}},
		{name: "your checkpoint has another root", want: []string{"checkpoint-contradicted"}, good: func(_ *testing.T, _ *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			o.Checkpoints = [][]byte{fmt.Appendf(nil, "%s\n5\n%s\n", verifytest.Origin, strings.Repeat("A", 43)+"=")}
		}},
		{name: "your checkpoint is of another log", want: []string{"checkpoint-other-log"}, good: func(_ *testing.T, _ *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			o.Checkpoints = [][]byte{bytes.Replace(g.Head, []byte("daybook.test"), []byte("example.com"), 1)}
		}},
		{name: "your checkpoint is older", want: []string{"checkpoint-behind"}, good: func(_ *testing.T, _ *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			o.Checkpoints = [][]byte{g.Earlier}
		}},

		{name: "a cosignature of another checkpoint", want: []string{"cosignature-invalid", "quorum-missing"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			w := verifytest.NewWitness(t, "witness.example")
			o.Policy = verifytest.Policy(g.Second.Public(), w)
			g.Store = s
			s.Overwrite(logs.AnchorKey(23, "w", ".cosig"), w.Cosign(g.Earlier, verifytest.Now), sink.Lock{})
		}},
		{name: "a cosignature of an unknown witness", want: []string{"cosignature-unknown"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			s.Overwrite(logs.AnchorKey(23, "w", ".cosig"), verifytest.NewWitness(t, "witness.example").Cosign(g.Head, verifytest.Now), sink.Lock{})
		}},
		{name: "a time stamp of another checkpoint", want: []string{"timestamp-invalid", "timestamp-missing"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			a := verifytest.NewAuthority(t)
			o.TimestampRoots = a.Roots()
			s.Overwrite(logs.AnchorKey(23, "tsa", ".tsr"), a.Stamp(g.Earlier, verifytest.Now), sink.Lock{})
		}},
		{name: "a time stamp of an untrusted authority", want: []string{"timestamp-missing", "timestamp-untrusted"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			o.TimestampRoots = verifytest.NewAuthority(t).Roots()
			s.Overwrite(logs.AnchorKey(23, "tsa", ".tsr"), verifytest.NewAuthority(t).Stamp(g.Head, verifytest.Now), sink.Lock{})
		}},
		{name: "an anchor that is too old", want: []string{"anchor-time"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, o *verify.Options) {
			a := verifytest.NewAuthority(t)
			o.TimestampRoots = a.Roots()
			s.Overwrite(logs.AnchorKey(23, "tsa", ".tsr"), a.Stamp(g.Head, verifytest.Day(10).Start()), sink.Lock{})
		}},
		{name: "an anchor whose checkpoint is gone", want: []string{"anchor-stray", "log-object-missing"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			s.Overwrite(logs.AnchorKey(9, "w", ".cosig"), verifytest.NewWitness(t, "witness.example").Cosign(g.Earlier, verifytest.Now), sink.Lock{})
			s.Erase(logs.CheckpointKey(9))
		}},
		{name: "an anchor beyond the head", want: []string{"log-cut"}, good: func(t *testing.T, s *sinktest.Memory, g *verifytest.Good, _ *verify.Options) {
			s.Overwrite(logs.AnchorKey(99, "w", ".cosig"), verifytest.NewWitness(t, "witness.example").Cosign(g.Earlier, verifytest.Now), sink.Lock{})
		}},
		{name: "no anchor", want: []string{"head-unanchored"}, good: func(*testing.T, *sinktest.Memory, *verifytest.Good, *verify.Options) {}},

		{name: "a row that is none", want: []string{"row-invalid"}, made: deeply(inFile("jsonl", func(f *seal.File, content []byte) []byte {
			return rooted(f, bytes.Replace(content, []byte(`"org"`), []byte(`"orc"`), 1))
		}))},
		{name: "rows out of order", want: []string{"format-mismatch", "row-order"}, made: deeply(inFile("jsonl", func(f *seal.File, content []byte) []byte {
			l := lines(content)
			l[0], l[1] = l[1], l[0]
			return rooted(f, bytes.Join(l, nil))
		}))},
		{name: "a row of another day", want: []string{"row-time"}, made: deeply(inFile("jsonl", func(f *seal.File, content []byte) []byte {
			return rooted(f, bytes.Replace(content, []byte(`"time":"2026-03-02T`), []byte(`"time":"2026-03-01T`), 1))
		}))},
		{name: "untrue times", want: []string{"times-untrue"}, made: deeply(inManifest(func(m *seal.Manifest) {
			for i := range m.Files {
				m.Files[i].First = m.Files[i].First.Add(-time.Nanosecond).Add(time.Nanosecond - time.Microsecond)
				if m.Files[i].First.Before(m.Start) {
					m.Files[i].First, m.Files[i].Last = m.Start, m.Files[i].Last.Add(time.Microsecond)
				}
			}
		}))},
		{name: "an untrue count of suspect times", want: []string{"suspect-count"}, made: deeply(inManifest(func(m *seal.Manifest) { m.Counts.TimeSuspect = 1 }))},
		{name: "a row of a rendering is another", want: []string{"format-mismatch"}, made: deeply(inFile("csv", func(_ *seal.File, content []byte) []byte {
			return bytes.Replace(content, []byte("user-1"), []byte("user-2"), 1)
		}))},
		{name: "a rendering is garbage", want: []string{"format-malformed"}, made: deeply(inFile("cef", func(*seal.File, []byte) []byte { return []byte("CEF:0|x\n") }))},
		{name: "a rendering lacks a row", want: []string{"format-rows"}, made: deeply(inFile("syslog", func(_ *seal.File, content []byte) []byte {
			return bytes.Join(lines(content)[:3], nil)
		}))},
		{name: "a rendering has a row too many", want: []string{"format-rows"}, made: deeply(inFile("csv", func(_ *seal.File, content []byte) []byte {
			return append(content, lines(content)[1]...)
		}))},
		{name: "a rendering without its evidence", want: []string{"absent", "format-not-compared"}, good: func(_ *testing.T, s *sinktest.Memory, _ *verifytest.Good, o *verify.Options) {
			s.Erase(firstEvidence)
			o.Deep, o.Partial = true, true
		}},
	}
}

// erasePublished removes the checkpoints of some sizes, and all that was put with each of them but for the step that leads to the first.
func erasePublished(s *sinktest.Memory, sizes ...int64) {
	for _, size := range sizes {
		for _, key := range []string{logs.CheckpointKey(size), logs.NextKey(size), fmt.Sprintf("log/tile/0/000.p/%d", size), fmt.Sprintf("log/tile/entries/000.p/%d", size)} {
			s.Erase(key)
		}
	}
}

// cutTail removes the newest seal and all that tells of it.
func cutTail(s *sinktest.Memory) {
	for _, key := range s.Keys() {
		if strings.Contains(key, "addendum-0001") || strings.HasPrefix(key, "seals/acme/00000011/") || strings.HasSuffix(key, ".p/23") || key == logs.CheckpointKey(23) || key == logs.NextKey(22) {
			s.Erase(key)
		}
	}
}

// codes returns what a report found, notes aside, unless there is nothing else.
func codes(r *verify.Report) []string {
	found, notes := map[string]bool{}, map[string]bool{}
	for _, f := range r.Findings {
		if f.Status == verify.Note {
			notes[f.Code] = true
		} else {
			found[f.Code] = true
		}
	}
	if len(found) == 0 {
		found = notes
	}
	return slices.Sorted(maps.Keys(found))
}

func TestDamage(t *testing.T) {
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	if !effort.Long() {
		t.Log("one damage in four is done: make unit does all")
	}
	for i, d := range damages() {
		if i%4 > 0 && !effort.Long() {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			o := &verify.Options{Now: now}
			var s *sinktest.Memory
			if d.good != nil {
				s = store.Clone(t)
				d.good(t, s, good, o)
			} else {
				clock := func() time.Time { return verifytest.Day(1).Start() }
				s = sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return clock() }, AllowConflict: true}).Clone(t)
				b := verifytest.New(t, s, sink.Compliance)
				clock = func() time.Time { return b.Clock }
				d.made(t, b, s, o)
			}
			r := run(t, s, o)
			got := codes(r)
			if !slices.Contains(d.want, "head-unanchored") {
				got = slices.DeleteFunc(got, func(c string) bool { return c == "head-unanchored" })
			}
			want := d.want
			if r.ExitCode() != 0 { // notes are told, but not compared
				want = slices.DeleteFunc(slices.Clone(want), func(c string) bool { return statusOf(c) == verify.Note })
				for _, c := range d.want {
					if statusOf(c) == verify.Note && !has(r, c) {
						t.Errorf("no finding %s", c)
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func statusOf(code string) verify.Status {
	for _, c := range verify.Codes() {
		if c.Name == code {
			return c.Status
		}
	}
	return ""
}

func has(r *verify.Report, code string) bool {
	return slices.ContainsFunc(r.Findings, func(f verify.Finding) bool { return f.Code == code })
}

// elsewhere are the codes that have tests of their own.
var elsewhere = []string{"not-a-file", "locks-not-checked", "unsigned", "unsigned-key-given", "key-not-given", "key-unused", "checkpoint-unchecked", "temporary-file", "unsealed-object", "sealed-since"}

// holdAll puts a legal hold on all that a store has.
func holdAll(s *sinktest.Memory) {
	for _, key := range s.Keys() {
		s.SetHeld(key, true)
	}
}

func TestEveryCodeHasATest(t *testing.T) {
	tested := map[string]bool{}
	for _, d := range damages() {
		for _, c := range d.want {
			tested[c] = true
		}
	}
	for _, c := range elsewhere {
		tested[c] = true
	}
	seen := map[string]bool{}
	for _, c := range verify.Codes() {
		if !tested[c.Name] {
			t.Errorf("no test finds %s", c.Name)
		}
		if seen[c.Name] || c.Meaning == "" || c.Do == "" || c.Status == "" {
			t.Errorf("%s: doubled, or not described", c.Name)
		}
		seen[c.Name] = true
		delete(tested, c.Name)
	}
	for c := range tested {
		t.Errorf("%s is in no table", c)
	}
}

func TestReportAsJSONAndText(t *testing.T) {
	store := memory(t)
	verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	s.FlipBit(firstCSV, 100)
	r := run(t, s, nil)
	var text, data bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Exit     int `json:"exit_code"`
		Findings []struct{ Code, Status, Object, Expected, Found string }
	}
	if err := json.Unmarshal(data.Bytes(), &parsed); err != nil {
		t.Fatal(err)
	}
	if parsed.Exit != 1 || len(parsed.Findings) != 2 || parsed.Findings[0].Code != "file-altered" || parsed.Findings[0].Object != firstCSV || parsed.Findings[0].Status != "altered" {
		t.Errorf("got %+v", parsed)
	}
	for _, want := range []string{"ALTERED: 1 finding\n", "files  not intact", "chain  intact", "head   unanchored", firstCSV, "\nwhat to do\n  file-altered: The file was changed."} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
}

// Who gives another folder than the store learns where that is.
func TestNotTheStore(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	verifytest.GoodStore(t, store, sink.Compliance)
	dir := filepath.Join(sinktest.Folder(t), "audit")
	copyInto(t, store, dir)
	for name, c := range map[string]struct{ dir, want string }{
		"above":        {filepath.Dir(dir), "No seal is here: make sure that this is the store; there is one below, in " + filepath.Base(dir) + "/\n"},
		"its seals":    {filepath.Join(dir, "seals"), "No seal is here: make sure that this is the store; there is one above, if this is its folder seals\n"},
		"its evidence": {filepath.Join(dir, "jsonl"), "No seal is here: make sure that this is the store\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var text strings.Builder
			if err := run(t, openFolder(t, c.dir), nil).WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(text.String(), "\n"); !strings.HasSuffix(first+"\n", c.want) || !strings.HasPrefix(first, "ALTERED: ") {
				t.Errorf("the first line is %q", first)
			}
		})
	}
}

func TestZipBomb(t *testing.T) {
	effort.NeedsThorough(t)
	s := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return verifytest.Day(1).Start() }})
	b := verifytest.New(t, s, sink.Compliance)
	day := oneDay(1)
	var bomb bytes.Buffer
	z, err := zstd.NewWriter(&bomb, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for range 1536 {
		if _, err := z.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	day.Manifest = func(m *seal.Manifest) {
		for i := range m.Files {
			if f := &m.Files[i]; f.Format == "jsonl" && f.Part == 1 {
				f.Size, f.SHA256 = int64(bomb.Len()), seal.Sum(bomb.Bytes())
				s.Replace(f.Key, bomb.Bytes())
			}
		}
	}
	b.Seal(day)
	b.Publish()
	r := run(t, s, &verify.Options{Deep: true})
	if diff := cmp.Diff([]string{"evidence-broken"}, codes(r)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}
