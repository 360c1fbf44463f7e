package tlog_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
)

// leaves are one of each type; who signs them is k.
func leaves(k seal.Signer) map[string]*tlog.Leaf {
	vkey := k.Public().VerifierKey()
	of := func(typ tlog.Type, set func(*tlog.Leaf)) *tlog.Leaf {
		l := &tlog.Leaf{Schema: tlog.Schema, Type: typ, Time: day0}
		set(l)
		return l
	}
	from, to := seal.Date{Day: event.Day(20522)}, seal.Date{Day: event.Day(20530)}
	sum := seal.Sum([]byte("manifest"))
	return map[string]*tlog.Leaf{
		"seal":    sealLeaf("Größe\n<&>\u2028", 1, k),
		"genesis": of(tlog.TypeKey, func(l *tlog.Leaf) { l.Key = &tlog.KeyLeaf{Action: tlog.Genesis, Origin: "daybook/x", Key: vkey} }),
		"rotate": of(tlog.TypeKey, func(l *tlog.Leaf) {
			l.Key = &tlog.KeyLeaf{Action: tlog.Rotate, Key: vkey, Previous: vkey, Reason: "yearly"}
		}),
		"revoke": of(tlog.TypeKey, func(l *tlog.Leaf) { l.Key = &tlog.KeyLeaf{Action: tlog.Revoke, Key: vkey, From: 3, Reason: "stolen"} }),
		"hold": of(tlog.TypeHold, func(l *tlog.Leaf) {
			l.Hold = &tlog.HoldLeaf{Action: tlog.HoldPut, Trail: "acme", From: from, To: to, Project: "p", Reason: "case 7", By: "ann"}
		}),
		"extension": of(tlog.TypeExtension, func(l *tlog.Leaf) {
			l.Extension = &tlog.ExtensionLeaf{Trail: "acme", FirstSeal: 1, LastSeal: 9, RetainUntil: day0.AddDate(9, 0, 0), Reason: "policy", By: "ann"}
		}),
		"erasure": of(tlog.TypeErasure, func(l *tlog.Leaf) {
			l.Erasure = &tlog.ErasureLeaf{Trail: "acme", Seal: 4, Key: "csv/a.csv", SHA256: sum, Reason: "Art. 17", By: "ann"}
		}),
		"review": of(tlog.TypeReview, func(l *tlog.Leaf) {
			l.Review = &tlog.ReviewLeaf{Trail: "acme", FirstSeal: 1, LastSeal: 9, Manifest: sum, Reviewer: vkey, Meaning: "review", Result: "nothing found"}
		}),
	}
}

func TestLeafRoundTrip(t *testing.T) {
	k := newKey(t)
	for name, leaf := range leaves(k) {
		entry, err := leaf.Encode(leafSigner(leaf, k)...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, n, err := tlog.ParseLeaf(entry)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(leaf, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) && a.Location() == b.Location() })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if signed := leaf.Type == tlog.TypeKey || leaf.Type == tlog.TypeReview; signed != (n != nil) {
			t.Errorf("%s: note %v", name, n)
		}
	}
	want := `{"schema":1,"type":"seal","time":"2026-03-11T01:00:00Z","seal":{"trail":"acme","seal":7,"day":"2026-03-17","addendum":0,` +
		`"manifest":"` + seal.Sum([]byte("acme 7")).String() + `","key":"` + k.ID() + "\"}}\n"
	if entry, err := sealLeaf("acme", 7, k).Encode(); err != nil || string(entry) != want {
		t.Errorf("a seal is\n%s%v, want\n%s", entry, err, want)
	}
}

func TestLeafRefuses(t *testing.T) {
	k := newKey(t)
	for what, c := range map[string]struct {
		leaf   string
		change func(*tlog.Leaf)
	}{
		"schema":            {"seal", func(l *tlog.Leaf) { l.Schema = 2 }},
		"type":              {"seal", func(l *tlog.Leaf) { l.Type = "secret" }},
		"another type":      {"seal", func(l *tlog.Leaf) { l.Type = tlog.TypeHold }},
		"two members":       {"seal", func(l *tlog.Leaf) { l.Hold = &tlog.HoldLeaf{} }},
		"no member":         {"seal", func(l *tlog.Leaf) { l.Seal = nil }},
		"no time":           {"seal", func(l *tlog.Leaf) { l.Time = time.Time{} }},
		"local time":        {"seal", func(l *tlog.Leaf) { l.Time = l.Time.In(time.FixedZone("CET", 3600)) }},
		"no trail":          {"seal", func(l *tlog.Leaf) { l.Seal.Trail = "" }},
		"not UTF-8":         {"seal", func(l *tlog.Leaf) { l.Seal.Trail = "a\xff" }},
		"seal 0":            {"seal", func(l *tlog.Leaf) { l.Seal.Seal = 0 }},
		"addendum first":    {"seal", func(l *tlog.Leaf) { l.Seal.Addendum = 1 }},
		"no manifest":       {"seal", func(l *tlog.Leaf) { l.Seal.Manifest = seal.Hash{} }},
		"no key":            {"seal", func(l *tlog.Leaf) { l.Seal.Key = seal.NoKey }},
		"too long":          {"seal", func(l *tlog.Leaf) { l.Seal.Trail = strings.Repeat("x", tlog.MaxEntry) }},
		"action":            {"genesis", func(l *tlog.Leaf) { l.Key.Action = "begin" }},
		"genesis without":   {"genesis", func(l *tlog.Leaf) { l.Key.Origin = "" }},
		"origin with blank": {"genesis", func(l *tlog.Leaf) { l.Key.Origin = "a b" }},
		"origin with plus":  {"genesis", func(l *tlog.Leaf) { l.Key.Origin = "a+b" }},
		"verifier key":      {"genesis", func(l *tlog.Leaf) { l.Key.Key = "daybook+00000000+AAAA" }},
		"genesis after":     {"genesis", func(l *tlog.Leaf) { l.Key.Previous = l.Key.Key }},
		"rotation of none":  {"rotate", func(l *tlog.Leaf) { l.Key.Previous = "" }},
		"from, rotation":    {"rotate", func(l *tlog.Leaf) { l.Key.From = 1 }},
		"from -1":           {"revoke", func(l *tlog.Leaf) { l.Key.From = -1 }},
		"no reason":         {"revoke", func(l *tlog.Leaf) { l.Key.Reason = "" }},
		"hold":              {"hold", func(l *tlog.Leaf) { l.Hold.Action = "keep" }},
		"hold backwards":    {"hold", func(l *tlog.Leaf) { l.Hold.To.Day = 1 }},
		"nobody's hold":     {"hold", func(l *tlog.Leaf) { l.Hold.By = " " }},
		"seals backwards":   {"extension", func(l *tlog.Leaf) { l.Extension.FirstSeal = 10 }},
		"half a second":     {"extension", func(l *tlog.Leaf) { l.Extension.RetainUntil = day0.Add(1) }},
		"traversal":         {"erasure", func(l *tlog.Leaf) { l.Erasure.Key = "../x" }},
		"erasure of none":   {"erasure", func(l *tlog.Leaf) { l.Erasure.SHA256 = seal.Hash{} }},
		"reviewer":          {"review", func(l *tlog.Leaf) { l.Review.Reviewer = "ann" }},
		"no meaning":        {"review", func(l *tlog.Leaf) { l.Review.Meaning = "" }},
	} {
		leaf := leaves(k)[c.leaf]
		signers := leafSigner(leaf, k)
		c.change(leaf)
		if _, err := leaf.Encode(signers...); !errors.Is(err, tlog.ErrLeaf) {
			t.Errorf("%s: %v, want ErrLeaf", what, err)
		}
	}
	if _, err := leaves(k)["seal"].Encode(k); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("a signed seal: %v", err)
	}
	if _, err := leaves(k)["review"].Encode(); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("an unsigned review: %v", err)
	}
}

func TestParseLeafFailsClosed(t *testing.T) {
	k, other := newKey(t), newKey(t)
	good, err := sealLeaf("acme", 1, k).Encode()
	if err != nil {
		t.Fatal(err)
	}
	review, err := leaves(k)["review"].Encode(k)
	if err != nil {
		t.Fatal(err)
	}
	line, sigs, _ := strings.Cut(string(review), "\n\n")
	replace := func(old, with string) string { return strings.Replace(string(good), old, with, 1) }
	resigned := func(text string) string {
		out, err := note.Sign(&note.Note{Text: text}, k)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for what, text := range map[string]string{
		"empty":                "",
		"line feed":            "\n",
		"null":                 "null\n",
		"no line feed":         strings.TrimSuffix(string(good), "\n"),
		"two line feeds":       string(good) + "\n",
		"two":                  string(good) + string(good),
		"text behind":          string(good) + "x",
		"schema 2":             replace(`"schema":1`, `"schema":2`),
		"schema twice":         replace(`"schema":1`, `"schema":2,"schema":1`),
		"type unknown":         replace(`"type":"seal"`, `"type":"sale"`),
		"unknown member":       replace(`"trail":"acme"`, `"trail":"acme","eve":1`),
		"member twice":         replace(`"trail":"acme"`, `"trail":"eve","trail":"acme"`),
		"member in capitals":   replace(`"trail":"acme"`, `"trail":"acme","TRAIL":"acme"`),
		"only in capitals":     replace(`"trail"`, `"Trail"`),
		"order":                replace(`"schema":1,"type":"seal"`, `"type":"seal","schema":1`),
		"blank":                replace(`,"type"`, `, "type"`),
		"escape":               replace(`"acme"`, `"\u0061cme"`),
		"number":               replace(`"addendum":0`, `"addendum":0.0`),
		"negative zero":        replace(`"addendum":0`, `"addendum":-0`),
		"hash in capitals":     strings.ToUpper(string(good)),
		"offset, not Z":        replace("01:00:00Z", "01:00:00+00:00"),
		"deep":                 strings.Repeat("[", 60000) + "\n",
		"too long":             string(good) + strings.Repeat(" ", tlog.MaxEntry),
		"signed seal":          resigned(string(good)),
		"unsigned review":      line + "\n",
		"signatures cut":       line + "\n\n",
		"signature twice":      string(review) + sigs,
		"signature, no blank":  line + "\n" + sigs,
		"more signed lines":    resigned(line + "\n" + line + "\n"),
		"many signatures":      line + "\n\n" + strings.Repeat(sigs, 100),
		"garbage in signature": line + "\n\n— daybook x\n",
	} {
		if l, _, err := tlog.ParseLeaf([]byte(text)); !errors.Is(err, tlog.ErrLeaf) {
			t.Errorf("%s: %+v, %v, want ErrLeaf", what, l, err)
		}
	}
	// A signature that parses is for the keyring to check.
	forged := line + "\n\n" + strings.TrimPrefix(strings.Replace(sigs, "daybook", "mallory", 1), "")
	var keys tlog.Keyring
	genesis, err := leaves(other)["genesis"].Encode(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Apply(0, genesis); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Apply(1, []byte(forged)); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("a review signed by another than its reviewer: %v", err)
	}
	if _, err := keys.Apply(1, bytes.Replace(review, []byte("nothing found"), []byte("nothing FOUND"), 1)); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("an altered review: %v", err)
	}
	if _, err := keys.Apply(1, review); err != nil {
		t.Errorf("the review: %v", err)
	}
}

func TestKeyringRefuses(t *testing.T) {
	a, b, c := newKey(t), newKey(t), newKey(t)
	encode := func(k *tlog.KeyLeaf, signers ...seal.Signer) []byte {
		t.Helper()
		e, err := (&tlog.Leaf{Schema: tlog.Schema, Type: tlog.TypeKey, Time: day0, Key: k}).Encode(signers...)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	vkey := func(k seal.Key) string { return k.Public().VerifierKey() }
	rotate := func(from, to seal.Key, signers ...seal.Signer) []byte {
		return encode(&tlog.KeyLeaf{Action: tlog.Rotate, Key: vkey(to), Previous: vkey(from)}, signers...)
	}
	revoke := func(k seal.Key, from int64, signers ...seal.Signer) []byte {
		return encode(&tlog.KeyLeaf{Action: tlog.Revoke, Key: vkey(k), From: from, Reason: "stolen"}, signers...)
	}
	genesis := encode(&tlog.KeyLeaf{Action: tlog.Genesis, Origin: "daybook/x", Key: vkey(a)}, a)
	plain, err := sealLeaf("acme", 1, a).Encode()
	if err != nil {
		t.Fatal(err)
	}
	moved := func(to, from []byte) []byte { // the text of one, the signatures of the other
		text, _, _ := bytes.Cut(to, []byte("\n\n"))
		_, sigs, _ := bytes.Cut(from, []byte("\n\n"))
		return append(append(bytes.Clone(text), "\n\n"...), sigs...)
	}
	renamed, err := b.Public().Named("other")
	if err != nil {
		t.Fatal(err)
	}
	var empty, one, two tlog.Keyring
	apply := func(k *tlog.Keyring, entries ...[]byte) {
		t.Helper()
		for i, e := range entries {
			if _, err := k.Apply(int64(i), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	apply(&one, genesis, plain)
	apply(&two, genesis, plain, rotate(a, b, a, b), revoke(a, 1, b))
	for what, c := range map[string]struct {
		keys  *tlog.Keyring
		entry []byte
	}{
		"no genesis":               {&empty, plain},
		"genesis by another":       {&empty, encode(&tlog.KeyLeaf{Action: tlog.Genesis, Origin: "daybook/x", Key: vkey(a)}, b)},
		"genesis by two":           {&empty, encode(&tlog.KeyLeaf{Action: tlog.Genesis, Origin: "daybook/x", Key: vkey(a)}, a, b)},
		"rotation first":           {&empty, rotate(a, b, a, b)},
		"another genesis":          {&one, genesis},
		"rotation by the old only": {&one, rotate(a, b, a)},
		"rotation by the new only": {&one, rotate(a, b, b)},
		"rotation by a third":      {&one, rotate(a, b, a, c)},
		"rotation by three":        {&one, rotate(a, b, a, b, c)},
		"rotation from another":    {&one, rotate(c, b, c, b)},
		"rotation to itself":       {&one, rotate(a, a, a)},
		"moved signatures":         {&one, moved(rotate(a, c, a, c), rotate(a, b, a, b))},
		"revoke the one in force":  {&one, revoke(a, 1, a)},
		"revoke a stranger":        {&one, revoke(c, 1, a)},
		"rotation by a retired":    {&two, rotate(a, c, a, c)},
		"revoke by a retired":      {&two, revoke(b, 1, a)},
		"revoke by itself":         {&two, revoke(a, 0, a)},
		"back to a retired":        {&two, rotate(b, a, b, a)},
		"revoke in the future":     {&two, revoke(a, 5, b)},
		"revoke later":             {&two, revoke(a, 2, b)},
		"revoke under a new name":  {&two, encode(&tlog.KeyLeaf{Action: tlog.Revoke, Key: renamed.VerifierKey(), Reason: "x"}, b)},
	} {
		before := c.keys.Keys()
		if _, err := c.keys.Apply(c.keys.Size(), c.entry); !errors.Is(err, tlog.ErrLeaf) {
			t.Errorf("%s: %v, want ErrLeaf", what, err)
		}
		if diff := cmp.Diff(before, c.keys.Keys(), cmp.Comparer(func(a, b seal.PublicKey) bool { return a == b })); diff != "" {
			t.Errorf("%s changed the keyring: %s", what, diff)
		}
	}
	if _, err := one.Apply(5, plain); !errors.Is(err, tlog.ErrLeaf) {
		t.Errorf("another index: %v", err)
	}
	apply2 := func(e []byte) error { _, err := two.Apply(two.Size(), e); return err }
	if err := apply2(revoke(a, 0, b)); err != nil {
		t.Errorf("revoke from an earlier leaf: %v", err)
	}
	if err := apply2(rotate(b, c, c, b)); err != nil {
		t.Errorf("signatures in the other order: %v", err)
	}
}
