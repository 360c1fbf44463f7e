package verify_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"filippo.io/torchwood"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// Of a partial copy anything may be absent. These make sure that this is never a reason to believe what is there.

// eraseSeals takes the seals of a trail from one number to another out of a copy, with their files.
func eraseSeals(t *testing.T, s *sinktest.Memory, trail string, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		m, err := seal.ParseManifest(s.Bytes(seal.ManifestKey(trail, n)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			s.Erase(f.Key)
		}
		s.Erase(seal.ManifestKey(trail, n))
		s.Erase(seal.NoteKey(trail, n))
	}
}

func eraseNotes(s *sinktest.Memory) {
	for _, key := range s.Keys() {
		if strings.HasSuffix(key, "/SHA256SUMS.note") {
			s.Erase(key)
		}
	}
}

// forgeSeal puts other bytes in the place of a file of a seal, and makes its manifest say so. Nobody needs a key for that.
func forgeSeal(t *testing.T, s *sinktest.Memory, trail string, n uint64, change func(*seal.Manifest)) (m *seal.Manifest, data []byte) {
	t.Helper()
	m, err := seal.ParseManifest(s.Bytes(seal.ManifestKey(trail, n)))
	if err != nil {
		t.Fatal(err)
	}
	forged := verifytest.Compress(t, m.Files[0].Compression, []byte("forged\n"))
	s.Replace(m.Files[0].Key, forged)
	m.Files[0].Size, m.Files[0].SHA256 = int64(len(forged)), seal.Sum(forged)
	if change != nil {
		change(m)
	}
	if data, err = m.Encode(); err != nil {
		t.Fatal(err)
	}
	s.Replace(seal.ManifestKey(trail, n), data)
	return m, data
}

func TestHonestPartialCopies(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	both := []seal.PublicKey{good.First.Public(), good.Second.Public()}
	some := func(s *sinktest.Memory) {
		eraseSeals(t, s, verifytest.Acme, 1, 3)
		eraseSeals(t, s, verifytest.Acme, 6, 6)
		eraseSeals(t, s, verifytest.Beta, 9, 10)
	}
	for name, copied := range map[string]func(s *sinktest.Memory){
		"all":                          func(*sinktest.Memory) {},
		"some formats":                 func(s *sinktest.Memory) { eraseUnder(s, "csv/"); eraseUnder(s, "parquet/") },
		"some formats without the log": func(s *sinktest.Memory) { eraseUnder(s, "csv/"); eraseUnder(s, "log/") },
		"some seals":                   some,
		"some seals without the log":   func(s *sinktest.Memory) { some(s); eraseUnder(s, "log/") },
		"some of the log":              func(s *sinktest.Memory) { eraseUnder(s, "log/tile/") },
		"the log without entries":      func(s *sinktest.Memory) { some(s); eraseUnder(s, "log/tile/entries/") },
		"the log without hashes":       func(s *sinktest.Memory) { eraseUnder(s, "log/tile/0/"); eraseUnder(s, "log/next/") },
		"the log instead of notes":     eraseNotes,
	} {
		t.Run(name, func(t *testing.T) {
			s := store.Clone(t)
			copied(s)
			for _, keys := range [][]seal.PublicKey{both, nil} {
				r := run(t, s, &verify.Options{Keys: keys, Partial: true, Deep: true})
				mustFind(t, r, 0)
				if c := r.Levels.Chain; !r.Levels.Files.Intact || !c.Intact || len(c.VouchedBy) != len(keys) {
					t.Errorf("with %d keys: levels %+v", len(keys), r.Levels)
				}
			}
		})
	}
}

func TestForgedPartialCopies(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	both := []seal.PublicKey{good.First.Public(), good.Second.Public()}
	// noNote forges the first seal of Acme, and takes away what says so: its note, and the seal that names it.
	noNote := func(t *testing.T, s *sinktest.Memory) {
		forgeSeal(t, s, verifytest.Acme, 1, nil)
		s.Erase(noteKey(1))
		eraseSeals(t, s, verifytest.Acme, 2, 2)
	}
	for name, forge := range map[string]func(t *testing.T, s *sinktest.Memory){
		"without note and log":     func(t *testing.T, s *sinktest.Memory) { noNote(t, s); eraseUnder(s, "log/") },
		"without note and entries": func(t *testing.T, s *sinktest.Memory) { noNote(t, s); eraseUnder(s, "log/tile/entries/") },
		"without note and checkpoints of their leaves": func(t *testing.T, s *sinktest.Memory) {
			noNote(t, s)
			eraseUnder(s, "log/tile/")
			eraseUnder(s, "log/next/")
		},
		"all notes of a trail but one that is another's": func(t *testing.T, s *sinktest.Memory) {
			eraseUnder(s, "log/")
			eraseSeals(t, s, verifytest.Beta, 2, 10)
			forgeSeal(t, s, verifytest.Beta, 1, nil)
			s.Erase(seal.NoteKey(verifytest.Beta, 1))
			s.Overwrite(seal.NoteKey(verifytest.Beta, 9), s.Bytes(noteKey(4)), sink.Lock{})
		},
		"a note by a key that is nowhere": func(t *testing.T, s *sinktest.Memory) {
			eraseUnder(s, "log/")
			thief := good.NewKey("thief")
			m, data := forgeSeal(t, s, verifytest.Acme, 1, func(m *seal.Manifest) { m.Key = thief.ID() })
			signed, err := verifytest.SignNote(m, data, thief)
			if err != nil {
				t.Fatal(err)
			}
			s.Replace(noteKey(1), signed)
			eraseSeals(t, s, verifytest.Acme, 2, 2)
		},
		"unsigned": func(t *testing.T, s *sinktest.Memory) {
			eraseUnder(s, "log/")
			forgeSeal(t, s, verifytest.Acme, 1, func(m *seal.Manifest) { m.Key = seal.NoKey })
			s.Erase(noteKey(1))
			eraseSeals(t, s, verifytest.Acme, 2, 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := store.Clone(t)
			forge(t, s)
			for _, keys := range [][]seal.PublicKey{both, nil} {
				r := run(t, s, &verify.Options{Keys: keys, Partial: true})
				mustNotVouch(t, r)
				if !has(r, "seal-unvouched") {
					t.Errorf("with %d keys: no finding seal-unvouched", len(keys))
				}
			}
		})
	}
}

// mustNotVouch makes sure that a report neither ends well nor says that anything is as it was sealed.
func mustNotVouch(t *testing.T, r *verify.Report) {
	t.Helper()
	if c := r.Levels.Chain; r.ExitCode() == 0 || r.Levels.Files.Intact || c.Intact || len(c.VouchedBy) > 0 {
		t.Errorf("exit code %d, levels %+v", r.ExitCode(), r.Levels)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{"files  intact", "chain  intact", "vouched for by your key"} {
		if strings.Contains(text.String(), claim) {
			t.Errorf("the text says %q", claim)
		}
	}
}

// Of a log of several bundles a part can be taken away, so that what is left can't be checked any more, and seems to say what it likes.
func TestForgedPartialCopiesOfALongLog(t *testing.T) {
	store := memory(t)
	b := verifytest.New(t, store, sink.Compliance)
	ours := b.Key
	for n := 1; n <= 3; n++ {
		b.Seal(oneDay(n))
	}
	day := seal.Date{Day: verifytest.Day(1)}
	for range 300 {
		b.Leaf(&logs.Leaf{Type: logs.TypeHold, Hold: &logs.HoldLeaf{Action: logs.HoldPut, Trail: "x", From: day, To: day, Reason: "r", By: "b"}})
	}
	b.Publish()
	const first, second = "log/tile/entries/000", "log/tile/entries/001.p/48"
	o := verify.Options{Keys: []seal.PublicKey{ours.Public()}, Partial: true}
	run := func(t *testing.T, s *sinktest.Memory) *verify.Report {
		own := o
		return run(t, s, &own)
	}
	t.Run("honest", func(t *testing.T) {
		s := store.Clone(t)
		mustFind(t, run(t, s), 0)
		if len(s.History(second)) == 0 {
			t.Fatal("there is no second bundle")
		}
		s.Erase(second)
		mustFind(t, run(t, s), 0)
	})
	t.Run("a leaf that nothing proves", func(t *testing.T) {
		s := store.Clone(t)
		m, data := forgeSeal(t, s, verifytest.Acme, 1, nil)
		s.Erase(noteKey(1))
		eraseSeals(t, s, verifytest.Acme, 2, 2)
		s.Erase(second)
		leaf := verifytest.SealLeaf(m, data)
		was, _, err := logs.ParseLeaf(b.Leaves[1])
		if err != nil {
			t.Fatal(err)
		}
		leaf.Schema, leaf.Time = logs.Schema, was.Time
		forged, err := leaf.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var entries []byte
		for i, entry := range b.Leaves[:torchwood.TileWidth] {
			if i == 1 {
				entry = forged
			}
			if entries, err = torchwood.AppendTileEntry(entries, entry); err != nil {
				t.Fatal(err)
			}
		}
		s.Replace(first, entries)
		eraseUnder(s, "log/tile/0/")
		r := run(t, s)
		mustNotVouch(t, r)
		mustFind(t, r, 2, "seal-unvouched")
	})
	t.Run("a key that the log may not know yet", func(t *testing.T) {
		s := store.Clone(t)
		thief := b.NewKey("thief")
		m, data := forgeSeal(t, s, verifytest.Acme, 1, func(m *seal.Manifest) { m.Key = thief.ID() })
		signed, err := verifytest.SignNote(m, data, thief)
		if err != nil {
			t.Fatal(err)
		}
		s.Replace(noteKey(1), signed)
		s.Overwrite(seal.KeyKey(thief.ID()), thief.PublicPEM(), s.History(noteKey(3))[0].Lock)
		eraseSeals(t, s, verifytest.Acme, 2, 2)
		s.Erase(second)
		r := run(t, s)
		if mustFind(t, r, 2, "key-not-given"); len(r.Levels.Chain.VouchedBy) > 0 {
			t.Error("it is vouched for")
		}
	})
	t.Run("a head that nobody signed", func(t *testing.T) {
		s := store.Clone(t)
		_, data := forgeSeal(t, s, verifytest.Acme, 3, nil)
		s.Erase(noteKey(3))
		forged := verifytest.NewUnsigned(t, s, sink.Compliance)
		forged.Key = b.NewKey("thief")
		for i, entry := range b.Leaves {
			if i == 3 {
				entry = bytes.Replace(entry, []byte(seal.Sum(store.Bytes(manifestKey(3))).String()), []byte(seal.Sum(data).String()), 1)
			}
			forged.Entry(entry)
		}
		eraseUnder(s, "log/")
		forged.Publish()
		r := run(t, s)
		mustNotVouch(t, r)
		mustFind(t, r, 1, "checkpoint-invalid", "seal-unvouched")
		if slices.Equal(data, store.Bytes(manifestKey(3))) {
			t.Fatal("nothing was forged")
		}
	})
}

// A note whose manifest is absent is one of a key that somebody must vouch for, as every other.
func TestANoteByAStrangerWithoutManifestAndLog(t *testing.T) {
	s := memory(t)
	b := verifytest.New(t, s, sink.Compliance)
	ours := b.Key.Public()
	b.Seal(oneDay(1))
	b.Key = b.NewKey("stranger")
	b.Seal(oneDay(2))
	s = s.Clone(t)
	s.Erase(manifestKey(2))
	r := run(t, s, &verify.Options{Keys: []seal.PublicKey{ours}, Partial: true})
	if mustFind(t, r, 2, "key-not-given"); len(r.Levels.Chain.VouchedBy) > 0 {
		t.Error("it is vouched for")
	}
}

// A copy of manifests' notes and files is one as well.
func TestACopyWithoutManifests(t *testing.T) {
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	for _, key := range s.Keys() {
		if strings.HasSuffix(key, "/manifest.json") {
			s.Erase(key)
		}
	}
	eraseUnder(s, "log/")
	r := run(t, s, &verify.Options{Keys: []seal.PublicKey{good.First.Public(), good.Second.Public()}, Partial: true})
	if mustFind(t, r, 0); len(r.Levels.Chain.VouchedBy) != 2 || r.Counts.Files == 0 {
		t.Errorf("levels %+v, %d files", r.Levels, r.Counts.Files)
	}
}

// A copy of some days has all of keys/, also the keys of the days that were left out. Without the log nothing tells whether they are the store's.
func TestAPartialCopyOfDaysOfOneKey(t *testing.T) {
	effort.NeedsLong(t)
	store := memory(t)
	good := verifytest.GoodStore(t, store, sink.Compliance)
	s := store.Clone(t)
	eraseSeals(t, s, verifytest.Acme, 7, 11)
	eraseSeals(t, s, verifytest.Beta, 7, 10)
	second := seal.KeyKey(good.Second.ID())
	ours := verify.Options{Keys: []seal.PublicKey{good.First.Public()}, Partial: true}
	verified := func(s *sinktest.Memory, o verify.Options) *verify.Report { return run(t, s, &o) }

	mustFind(t, verified(s, ours), 0) // the log tells
	eraseUnder(s, "log/")
	r := verified(s, ours)
	if mustFind(t, r, 0, "key-unused"); !r.Levels.Files.Intact || !r.Levels.Chain.Intact || len(r.Levels.Chain.VouchedBy) != 1 {
		t.Errorf("levels %+v", r.Levels)
	}
	for _, f := range r.Findings {
		if f.Code == "key-unused" && f.Key != second {
			t.Errorf("it is about %s", f.Key)
		}
	}
	whole := ours
	whole.Partial = false
	mustFind(t, verified(s, whole), 1, "unlisted-object")

	// What is no key, or not the one that its name says, is nothing that a copy of some days has.
	for _, forged := range [][]byte{[]byte("hello"), good.First.PublicPEM()} {
		s := s.Clone(t)
		s.Replace(second, forged)
		mustFind(t, verified(s, ours), 1, "key-file-invalid")
	}
	s.Overwrite("keys/"+good.Second.ID()+".pem.bak", good.Second.PublicPEM(), sink.Lock{})
	mustFind(t, verified(s, ours), 1, "key-file-invalid")

	// With the log there, a key that it does not know is as unlisted as ever.
	s = store.Clone(t)
	stranger := good.NewKey("stranger")
	s.Overwrite(seal.KeyKey(stranger.ID()), stranger.PublicPEM(), sink.Lock{})
	mustFind(t, verified(s, ours), 1, "unlisted-object")
}
