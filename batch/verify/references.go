package verify

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
)

// checkReferences checks that what leaves say of seals and files is of seals and files that there are, as they are.
func (v *verifier) checkReferences() {
	l := v.log
	for _, r := range l.reviews {
		v.checkReference(r)
	}
	for _, e := range l.extensions {
		v.checkReference(reference{index: e.Leaf, kind: logs.TypeExtension, trail: e.Trail, first: e.FirstSeal, last: e.LastSeal})
	}
	for _, e := range l.erasures {
		f := leafFinding(e.index, e.Trail, e.Seal)
		f.Key = e.Key
		switch {
		case e.met:
			continue
		case v.sealLogged(e.Trail, e.Seal, e.index) == nil:
			f.Found = "an erasure from a seal that was not made"
		case v.report.has(codeManifestInvalid, codeManifestMissing, codeSealMissing, codeAbsent, codeReadFailed):
			continue // the seal could not be read
		default:
			f.Found = "an erasure of a file that the seal does not have"
		}
		v.add(f)
	}
}

func leafFinding(index int64, trail string, n uint64) Finding {
	return Finding{Code: codeLeafReference, Trail: trail, Seal: n, Key: fmt.Sprintf("%s#%d", logs.Prefix, index), Expected: "seals of the log before it, as they are"}
}

func (v *verifier) checkReference(r reference) {
	f := leafFinding(r.index, r.trail, r.last)
	s := v.sealLogged(r.trail, r.last, r.index)
	switch {
	case v.log.broken && s == nil:
		return // it may be among what could not be read
	case s == nil:
		f.Found = fmt.Sprintf("a leaf of type %s about seals %d to %d", r.kind, r.first, r.last)
	case !r.manifest.IsZero() && r.manifest != s.manifest:
		f.Expected, f.Found = "manifest "+s.manifest.String(), "manifest "+r.manifest.String()
	default:
		return
	}
	v.add(f)
}

// sealLogged returns a seal that the log has before a leaf.
func (v *verifier) sealLogged(trail string, n uint64, before int64) *loggedSeal {
	t := v.log.trails[trail]
	if t == nil || n < 1 || n > uint64(len(t.seals)) {
		return nil
	}
	if s := &t.seals[n-1]; s.index >= 0 && s.index < before {
		return s
	}
	return nil
}

// lookAlikes notes trails whose names a person can take for each other.
func (v *verifier) lookAlikes() {
	first := map[string]string{}
	for i := range v.report.Trails {
		name := v.report.Trails[i].Trail
		s := skeleton(name)
		if other, taken := first[s]; taken && other != name {
			v.add(Finding{Code: codeLookAlike, Trail: name, Key: "seals/" + seal.EncodeName(name) + "/", Expected: "a name that cannot be taken for " + fmt.Sprintf("%+q", other), Found: fmt.Sprintf("%+q", name)})
			continue
		}
		first[s] = name
	}
}

// skeleton folds a name to what it looks like: compatibility forms, case, marks, what has no width, and the letters of other scripts that look like Latin ones
// (the commonest of Unicode's confusables).
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) {
			continue
		}
		if latin, ok := confusables[r]; ok {
			r = latin
		}
		r = unicode.ToLower(r)
		if latin, ok := confusables[r]; ok {
			r = latin
		}
		switch r {
		case '0':
			r = 'o'
		case '1', 'i', '|':
			r = 'l'
		case '‐', '‑', '–', '—', '−', '_':
			r = '-'
		}
		b.WriteRune(r)
	}
	return strings.ReplaceAll(strings.ReplaceAll(b.String(), "rn", "m"), "vv", "w")
}

var confusables = map[rune]rune{
	'а': 'a', 'е': 'e', 'о': 'o', 'р': 'p', 'с': 'c', 'у': 'y', 'х': 'x', 'і': 'i', 'ј': 'j', 'ѕ': 's', 'ԁ': 'd', 'һ': 'h', 'ӏ': 'l', 'ո': 'n', 'ԛ': 'q', 'ԝ': 'w',
	'к': 'k', 'м': 'm', 'т': 't', 'в': 'b', 'н': 'h', 'г': 'r', 'п': 'n', 'ь': 'b',
	'α': 'a', 'β': 'b', 'γ': 'y', 'ε': 'e', 'ι': 'i', 'κ': 'k', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'τ': 't', 'υ': 'u', 'χ': 'x', 'ω': 'w', 'η': 'n',
	'ı': 'i', 'ɑ': 'a', 'ɡ': 'g', 'ß': 'b',
}
