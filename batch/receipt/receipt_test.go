package receipt_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/receipt"
	"daybook/batch/seal"
	"daybook/event"
)

var sample = receipt.Receipt{
	Trail: "acme", Day: event.DayOf(time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)), ID: "inv-1", Content: sha256.Sum256([]byte("\x00row")),
	Received: time.Date(2026, 3, 10, 9, 30, 0, 123456789, time.UTC), SealedBy: time.Date(2026, 3, 11, 2, 0, 0, 0, time.UTC),
}

const sampleText = `daybook receipt v1
trail "acme"
day 2026-03-10
event "inv-1"
content c081b28e49ab660e5218d81270a311c80d6726785db878ed4a7b5a1a689836de
received 2026-03-10T09:30:00.123456789Z
sealed by 2026-03-11T02:00:00Z
`

func newKey(t testing.TB, name string) seal.Key {
	t.Helper()
	k, err := seal.GenerateKey(filepath.Join(t.TempDir(), name), name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func encode(t testing.TB, r receipt.Receipt, signers ...note.Signer) []byte {
	t.Helper()
	data, err := receipt.Encode(r, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAReceiptIsWhatItIs(t *testing.T) {
	k := newKey(t, "daybook")
	data := encode(t, sample, k)
	text, signature, _ := strings.Cut(string(data), "\n\n")
	if diff := cmp.Diff(sampleText, text+"\n"); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(signature, "— daybook ") || strings.Count(signature, "\n") != 1 {
		t.Errorf("signature %q", signature)
	}
	got, names, err := receipt.Verify(data, seal.Verifiers(k.Public()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"daybook"}, names); diff != "" {
		t.Error(diff)
	}
	other := newKey(t, "other")
	both := encode(t, sample, k, other)
	for _, key := range []seal.Key{k, other} {
		if _, names, err := receipt.Verify(both, seal.Verifiers(key.Public())); err != nil || names[0] != key.Name() {
			t.Errorf("signed by two: %v, %v", names, err)
		}
	}
}

func TestNamesCannotEndALine(t *testing.T) {
	k := newKey(t, "daybook")
	for name, quoted := range map[string]string{
		"a\nsealed by 2099-01-01T00:00:00Z\n\n— x": `"a\u000asealed by 2099-01-01T00:00:00Z\u000a\u000a\u2014 x"`,
		`"\`:                           `"\"\\"`,
		"\x00\r\x7f\u0085\u2028\u202e": `"\u0000\u000d\u007f\u0085\u2028\u202e"`,
		"J\u00f6rg \U0001f600":         `"J\u00f6rg \ud83d\ude00"`,
	} {
		r := sample
		r.ID, r.Trail = name, name
		data := encode(t, r, k)
		if !bytes.Contains(data, []byte("\nevent "+quoted+"\n")) || !bytes.Contains(data, []byte("\ntrail "+quoted+"\n")) {
			t.Errorf("%q is written as %s", name, data)
		}
		if got, _, err := receipt.Verify(data, seal.Verifiers(k.Public())); err != nil || got != r {
			t.Errorf("%q came back as %+v, %v", name, got, err)
		}
	}
}

// jq -r writes a line feed after a receipt, and so do editors.
func TestEmptyLinesBehindAReceipt(t *testing.T) {
	k := newKey(t, "daybook")
	for _, more := range []string{"\n", "\n\n\n"} {
		data := append(encode(t, sample, k), more...)
		if got, _, err := receipt.Verify(data, seal.Verifiers(k.Public())); err != nil || got != sample {
			t.Errorf("with %q: %+v %v", more, got, err)
		}
		if got, err := receipt.Parse(data); err != nil || got != sample {
			t.Errorf("with %q, parsed: %+v %v", more, got, err)
		}
	}
}

func TestATamperedReceiptIsNone(t *testing.T) {
	k, other := newKey(t, "daybook"), newKey(t, "daybook")
	trusted := seal.Verifiers(k.Public())
	data := encode(t, sample, k)
	for i := range data {
		if i == len(data)-len("x=\n") {
			continue // two bits of the last digit of base64 mean nothing
		}
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(data)
			bad[i] ^= flip
			if _, _, err := receipt.Verify(bad, trusted); !errors.Is(err, receipt.ErrReceipt) {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
	for i := range data {
		if _, _, err := receipt.Verify(data[:i], trusted); !errors.Is(err, receipt.ErrReceipt) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
	if _, _, err := receipt.Verify(encode(t, sample, other), trusted); !errors.Is(err, receipt.ErrReceipt) {
		t.Errorf("another key of that name: %v", err)
	}
	if _, _, err := receipt.Verify(data, seal.Verifiers()); !errors.Is(err, receipt.ErrReceipt) {
		t.Errorf("no key: %v", err)
	}
	many := encode(t, sample, k)
	for range 16 {
		many = append(many, encode(t, sample, newKey(t, "more"))[bytes.Index(data, []byte("\n\n"))+2:]...)
	}
	if _, _, err := receipt.Verify(many, trusted); !errors.Is(err, receipt.ErrReceipt) {
		t.Errorf("17 signatures: %v", err)
	}
	if _, _, err := receipt.Verify(append(data, make([]byte, receipt.MaxSize)...), trusted); !errors.Is(err, receipt.ErrReceipt) {
		t.Errorf("a long one: %v", err)
	}
}

// What a key of ours signed need not be a receipt, nor one as we write it.
func TestWhatIsSignedButNoReceipt(t *testing.T) {
	k := newKey(t, "daybook")
	good := string(encode(t, sample, k))
	good, _, _ = strings.Cut(good, "\n\n")
	good += "\n"
	replace := func(old, with string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("there is no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, text := range map[string]string{
		"nothing":              "\n",
		"another version":      replace("v1", "v2"),
		"a seal":               "# daybook seal, schema 1\n",
		"a line more":          good + "more\n",
		"a blank line more":    good + "\n",
		"a line less":          replace("day 2026-03-10\n", ""),
		"lines turned round":   replace("trail \"acme\"\nday 2026-03-10", "day 2026-03-10\ntrail \"acme\""),
		"a trail without":      replace(`"acme"`, `acme`),
		"no trail":             replace(`"acme"`, `""`),
		"another quoting":      replace(`"acme"`, `"\u0061cme"`),
		"space behind":         replace(`"acme"`, `"acme" `),
		"half a character":     replace(`"acme"`, `"\ud83d"`),
		"raw letters":          replace(`"acme"`, `"acmé"`),
		"a day that is none":   replace("day 2026-03-10", "day 2026-02-30"),
		"upper-case hex":       replace("content c0", "content C0"),
		"a short hash":         replace("content c0", "content "),
		"no hex":               replace("content c0", "content x0"),
		"a time of a zone":     replace("09:30:00.123456789Z", "09:30:00.123456789+00:00"),
		"a time with zeros":    replace("02:00:00Z", "02:00:00.0Z"),
		"a time that is none":  replace("02:00:00Z", "tomorrow"),
		"null for the trail":   replace(`"acme"`, `null`),
		"a number for the id":  replace(`"inv-1"`, `1`),
		"a year that is none":  replace("received 2026", "received 0000"),
		"no prefix":            replace("sealed by ", ""),
		"carriage returns":     strings.ReplaceAll(good, "\n", "\r\n"),
		"a deadline in day 10": replace("sealed by 2026-03-11", "sealed by 2026-3-11"),
	} {
		data, err := note.Sign(&note.Note{Text: text}, k)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := receipt.Verify(data, seal.Verifiers(k.Public())); !errors.Is(err, receipt.ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := receipt.Parse(data); !errors.Is(err, receipt.ErrReceipt) {
			t.Errorf("%s, parsed: %v", name, err)
		}
	}
}

func TestWhatNoReceiptIsFor(t *testing.T) {
	k := newKey(t, "daybook")
	for name, change := range map[string]func(*receipt.Receipt){
		"no trail":        func(r *receipt.Receipt) { r.Trail = "" },
		"no id":           func(r *receipt.Receipt) { r.ID = "" },
		"a long id":       func(r *receipt.Receipt) { r.ID = strings.Repeat("x", receipt.MaxName+1) },
		"invalid UTF-8":   func(r *receipt.Receipt) { r.ID = "\xff" },
		"no receipt time": func(r *receipt.Receipt) { r.Received = time.Time{} },
		"no deadline":     func(r *receipt.Receipt) { r.SealedBy = time.Time{} },
		"a far deadline":  func(r *receipt.Receipt) { r.SealedBy = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a far day":       func(r *receipt.Receipt) { r.Day = 1 << 30 },
	} {
		r := sample
		change(&r)
		if _, err := receipt.Encode(r, k); !errors.Is(err, receipt.ErrReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := receipt.Encode(sample); !errors.Is(err, receipt.ErrReceipt) {
		t.Errorf("nobody signs: %v", err)
	}
	r := sample
	r.ID, r.Trail = strings.Repeat("\x00", receipt.MaxName), strings.Repeat("\x00", receipt.MaxName)
	if got, err := receipt.Parse(encode(t, r, k)); err != nil || got != r {
		t.Errorf("the longest: %v", err)
	}
}

// FuzzParse holds that there is one text for one receipt.
func FuzzParse(f *testing.F) {
	k := newKey(f, "daybook")
	f.Add(encode(f, sample, k))
	f.Add([]byte(sampleText + "\n— x\n"))
	f.Add([]byte(strings.Replace(sampleText, "inv-1", `\ud83d\ude00\"`, 1) + "\n— x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := receipt.Parse(data)
		if err != nil {
			if !errors.Is(err, receipt.ErrReceipt) {
				t.Fatal(err)
			}
			return
		}
		text := data[:bytes.LastIndex(data, []byte("\n\n"))]
		again := encode(t, r, k)
		if !bytes.HasPrefix(again, append(bytes.Clone(text), "\n\n"...)) {
			t.Errorf("%q came back as %q", data, again)
		}
		if got, _, err := receipt.Verify(again, seal.Verifiers(k.Public())); err != nil || got != r {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
	})
}
