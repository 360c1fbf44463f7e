package seal_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
)

// signed returns sample signed by a new key.
func signed(t testing.TB, k seal.Key, change func(*seal.Manifest)) (m *seal.Manifest, manifest, signedNote []byte) {
	t.Helper()
	m = sample()
	m.Key = k.ID()
	if change != nil {
		change(m)
	}
	manifest, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signedNote, err = seal.Note(manifest, k)
	if err != nil {
		t.Fatal(err)
	}
	return m, manifest, signedNote
}

func TestNote(t *testing.T) {
	k, _ := newKey(t)
	m, manifest, data := signed(t, k, nil)
	text, _, _ := strings.Cut(string(data), "\n\n")
	want := `# daybook seal, schema 1
# trail: acme
# org: Größe & Söhne
# day: 2026-03-10
# range: 2026-03-10T00:00:00Z to 2026-03-11T00:00:00Z
# seal: 42, addendum: 0
# previous: ` + seal.Sum([]byte("before")).String() + `
# events: 1015
# counts: carried 10, read 1030, written 1015, duplicates 7, quarantined 2, not tracked 5, pending 11
# sealed: 2026-03-11T01:00:00Z by v1.2.3 (go1.26)
# gap: 2026-03-09T23:00:00Z to 2026-03-10T01:00:00Z: down
# gap: 2026-03-10T02:00:00Z to 2026-03-10T03:00:00.000000001Z: off: %E2%80%AEasked%0Aby Ann, 100 %25
# key: ` + k.Fingerprint() + `
` + seal.Sum([]byte("ceflong")).String() + `  cef/class=long/trail=acme/dt=2026-03-10/acme-2026-03-10.0001.cef.gz
`
	if !strings.HasPrefix(text, want) {
		t.Errorf("note:\n%s\nwant it to begin:\n%s", text, want)
	}
	last := seal.Sum(manifest).String() + "  seals/acme/00000042/manifest.json"
	if !strings.HasSuffix(text, "\n"+last) {
		t.Errorf("note ends in %q, want %q", text[max(0, len(text)-len(last)):], last)
	}
	again, err := seal.Note(manifest, k)
	if err != nil || !bytes.Equal(data, again) {
		t.Errorf("the second note differs (%v)", err)
	}

	opened, err := seal.OpenNote(data, seal.Verifiers(k.Public()))
	if err != nil {
		t.Fatal(err)
	}
	if len(opened.Sums) != len(m.Files)+1 || len(opened.Comments) != 13 || opened.SignedBy[0] != "daybook" {
		t.Errorf("opened: %d files, %d comments, by %v", len(opened.Sums), len(opened.Comments), opened.SignedBy)
	}
	if _, err := opened.Match(manifest); err != nil {
		t.Error(err)
	}
	_, other, _ := signed(t, k, func(m *seal.Manifest) { m.Build = "another" })
	if _, err := opened.Match(other); !errors.Is(err, seal.ErrNote) {
		t.Errorf("another manifest: %v, want ErrNote", err)
	}
}

// No name can end a line, hide one, or turn text round.
func TestNoteOfHostileNames(t *testing.T) {
	k, _ := newKey(t)
	_, manifest, data := signed(t, k, func(m *seal.Manifest) {
		m.Org = "a\n\nb\r\n# key: x\t\x00\u202e\u2028\u00a0100%"
		m.Build = "\x7f\u200b"
	})
	text, _, _ := strings.Cut(string(data), "\n\n")
	if !strings.Contains(text, "\n# org: a%0A%0Ab%0D%0A# key: x%09%00%E2%80%AE%E2%80%A8%C2%A0100%25\n") || !strings.Contains(text, " by %7F%E2%80%8B\n") {
		t.Errorf("note:\n%s", text)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("the note holds %q", text[i:])
	}
	opened, err := seal.OpenNote(data, seal.Verifiers(k.Public()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Match(manifest); err != nil {
		t.Error(err)
	}
}

func TestNoteRefuses(t *testing.T) {
	k, _ := newKey(t)
	other, _ := newKey(t)
	_, manifest, _ := signed(t, k, nil)
	if _, err := seal.Note(manifest, other); !errors.Is(err, seal.ErrManifest) {
		t.Errorf("signed by a key that the manifest does not name: %v", err)
	}
	if _, err := seal.Note([]byte("{}"), k); !errors.Is(err, seal.ErrManifest) {
		t.Errorf("no manifest: %v", err)
	}
	if _, err := seal.Note(manifest, k, other); err != nil {
		t.Errorf("two signers, as in a rotation: %v", err)
	}
}

func TestOpenNoteRefuses(t *testing.T) {
	k, _ := newKey(t)
	other, _ := newKey(t)
	_, _, data := signed(t, k, nil)
	trusted := seal.Verifiers(k.Public())
	sign := func(text string, signers ...note.Signer) []byte {
		out, err := note.Sign(&note.Note{Text: text}, signers...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	text, sigs, _ := strings.Cut(string(data), "\n\n")
	text += "\n"
	line := seal.Sum(nil).String() + "  a/b\n"
	for name, c := range map[string]struct {
		data    []byte
		trusted note.Verifiers
	}{
		"nobody is trusted":     {data, seal.Verifiers()},
		"another is trusted":    {data, seal.Verifiers(other.Public())},
		"no verifiers":          {data, nil},
		"unsigned":              {[]byte(text), trusted},
		"signed by another":     {sign(text, other), trusted},
		"moved signature":       {[]byte(strings.Replace(text, "seal: 42", "seal: 43", 1) + "\n" + sigs), trusted},
		"extra line":            {[]byte(line + text + "\n" + sigs), trusted},
		"empty":                 {nil, trusted},
		"blank line":            {sign("# a\n\n"+line, k), trusted},
		"no file":               {sign("# a\n", k), trusted},
		"comment behind files":  {sign("# a\n"+line+"# b\n", k), trusted},
		"file twice":            {sign("# a\n"+line+line, k), trusted},
		"traversal":             {sign("# a\n"+seal.Sum(nil).String()+"  ../b\n", k), trusted},
		"one space":             {sign("# a\n"+strings.Replace(line, "  ", " ", 1), k), trusted},
		"binary mark":           {sign("# a\n"+strings.Replace(line, "  ", " *", 1), k), trusted},
		"hash in capitals":      {sign("# a\n"+strings.ToUpper(line), k), trusted},
		"hash none":             {sign("# a\nnone  a/b\n", k), trusted},
		"a thousand signatures": {append(bytes.Clone(data), []byte(strings.Repeat(sigs, 1000))...), trusted},
		"C1 control":            {sign("# a\n"+line+strings.Replace(line, "a/b", "a\u0085b", 1), k), trusted},
		"too long":              {make([]byte, seal.MaxNote+1), trusted},
	} {
		_, err := seal.OpenNote(c.data, c.trusted)
		if !errors.Is(err, seal.ErrNote) || name == "too long" && !strings.Contains(err.Error(), "at most 67108864 are allowed") {
			t.Errorf("%s: error %v, want ErrNote", name, err)
		}
	}
}

// A note with many signatures is refused before any of them is checked.
func TestOpenNoteCountsSignaturesFirst(t *testing.T) {
	k, _ := newKey(t)
	_, _, data := signed(t, k, nil)
	_, sigs, _ := strings.Cut(string(data), "\n\n")
	asked := counter{seal.Verifiers(k.Public()), new(int)}
	for what, data := range map[string]string{
		"17":         string(data) + strings.Repeat(sigs, 16),
		"a million":  string(data) + strings.Repeat(sigs, 1_000_000/len(sigs)),
		"a long one": string(data) + "— x " + strings.Repeat("A", 1<<20) + "\n",
	} {
		if _, err := seal.OpenNote([]byte(data), asked); !errors.Is(err, seal.ErrNote) || *asked.n != 0 {
			t.Errorf("%s: %v, after %d keys were looked for", what, err, *asked.n)
		}
	}
	if _, err := seal.OpenNote([]byte(string(data)+strings.Repeat(sigs, 15)), asked); err != nil {
		t.Errorf("16, all the same: %v", err)
	}
}

type counter struct {
	note.Verifiers
	n *int
}

func (c counter) Verifier(name string, hash uint32) (note.Verifier, error) {
	*c.n++
	return c.Verifiers.Verifier(name, hash)
}

func TestUnsignedNote(t *testing.T) {
	k, _ := newKey(t)
	manifest, err := emptyDay().Encode()
	if err != nil {
		t.Fatal(err)
	}
	data, err := seal.UnsignedNote(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte("\n# key: none (unsigned)\n")) || bytes.Contains(data, []byte("\n\n")) || bytes.Contains(data, []byte("# gap")) {
		t.Errorf("note:\n%s", data)
	}
	o, err := seal.OpenUnsigned(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Match(manifest); err != nil || len(o.SignedBy) != 0 {
		t.Errorf("match: %v, signed by %v", err, o.SignedBy)
	}
	if _, err := seal.OpenNote(data, seal.Verifiers(k.Public())); !errors.Is(err, seal.ErrNote) {
		t.Errorf("taken for signed: %v", err)
	}
	if _, err := seal.Note(manifest, k); !errors.Is(err, seal.ErrManifest) {
		t.Errorf("a manifest without a key was signed: %v", err)
	}
	_, signedManifest, signedNote := signed(t, k, nil)
	if _, err := seal.UnsignedNote(signedManifest); !errors.Is(err, seal.ErrManifest) {
		t.Errorf("a manifest with a key was not signed: %v", err)
	}
	for what, bad := range map[string][]byte{
		"signed": signedNote, "empty": nil, "cut": data[:len(data)-1], "not text": append([]byte("# \xff\n"), data...), "blank line": append([]byte("\n"), data...),
	} {
		if _, err := seal.OpenUnsigned(bad); !errors.Is(err, seal.ErrNote) {
			t.Errorf("%s: %v, want ErrNote", what, err)
		}
	}
}

func FuzzOpenUnsigned(f *testing.F) {
	manifest, err := emptyDay().Encode()
	if err != nil {
		f.Fatal(err)
	}
	data, err := seal.UnsignedNote(manifest)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := seal.OpenUnsigned(data)
		if err == nil && len(o.Comments)+len(o.Sums) != bytes.Count(data, []byte("\n")) {
			t.Errorf("took %q for a note", data)
		}
	})
}

func FuzzOpenNote(f *testing.F) {
	k, err := seal.GenerateKey(filepath.Join(f.TempDir(), "k"), "daybook")
	if err != nil {
		f.Fatal(err)
	}
	_, _, data := signed(f, k, nil)
	text, _, _ := strings.Cut(string(data), "\n\n")
	f.Add(text + "\n")
	f.Add("# a\n" + seal.Sum(nil).String() + "  a\n")
	f.Fuzz(func(t *testing.T, text string) {
		signed, err := note.Sign(&note.Note{Text: text}, k)
		if err != nil {
			return
		}
		o, err := seal.OpenNote(signed, seal.Verifiers(k.Public()))
		if err != nil {
			return
		}
		if len(o.Comments)+len(o.Sums) != strings.Count(o.Text, "\n") || strings.Contains(o.Text, "\n\n") {
			t.Errorf("took %q for a note", o.Text)
		}
	})
}

// An auditor checks a folder with sha256sum and openssl alone, by the steps that formats.md gives.
func TestNoteWithStockTools(t *testing.T) {
	k, keyPath := newKey(t)
	root := t.TempDir()
	put := func(key string, data []byte) {
		path := filepath.Join(root, filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	m, manifest, data := signed(t, k, func(m *seal.Manifest) {
		m.Trail = "../größe !"
		for i := range m.Files {
			f := &m.Files[i]
			name, err := f.Name(m)
			if err != nil {
				t.Fatal(err)
			}
			f.Key = seal.FileKey(name)
			content := []byte("content of " + f.Key)
			f.SHA256, f.Size = seal.Sum(content), int64(len(content))
			put(f.Key, content)
		}
	})
	noteKey := seal.NoteKey(m.Trail, m.Seal)
	put(seal.ManifestKey(m.Trail, m.Seal), manifest)
	put(noteKey, data)

	t.Run("sha256sum", func(t *testing.T) {
		needTools(t, "sha256sum")
		check := func() (string, error) {
			cmd := exec.Command("sha256sum", "-c", noteKey)
			cmd.Dir, cmd.Env = root, append(os.Environ(), "LC_ALL=C")
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		out, err := check()
		if got := strings.Count(out, ": OK\n"); err != nil || got != len(m.Files)+1 {
			t.Errorf("%d of %d files are OK (%v):\n%s", got, len(m.Files)+1, err, out)
		}
		put(m.Files[3].Key, []byte("altered"))
		if out, err := check(); err == nil || strings.Count(out, ": FAILED\n") != 1 {
			t.Errorf("an altered file: %v\n%s", err, out)
		}
	})
	t.Run("openssl", func(t *testing.T) {
		needTools(t, "sh", "awk", "tail", "base64", "openssl")
		const steps = `awk '/^$/{exit}{print}' "$1" > t && tail -1 "$1" | awk '{print $NF}' | base64 -d | tail -c +5 > s &&
			openssl pkeyutl -verify -pubin -inkey "$2" -rawin -in t -sigfile s`
		check := func() (string, error) {
			cmd := exec.Command("sh", "-c", steps, "sh", filepath.Join(root, filepath.FromSlash(noteKey)), keyPath+".pub")
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		if out, err := check(); err != nil || !strings.Contains(out, "Signature Verified Successfully") {
			t.Errorf("%v: %s", err, out)
		}
		put(noteKey, bytes.Replace(data, []byte("seal: 42"), []byte("seal: 43"), 1))
		if out, err := check(); err == nil {
			t.Errorf("an altered note passes: %s", out)
		}
	})
}
