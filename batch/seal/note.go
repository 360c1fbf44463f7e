package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"daybook/sink"
)

// MaxNote is how large a note may be, in bytes.
const MaxNote = MaxManifest

// ErrNote says that a note is not one that Daybook wrote, or is not signed by a key that is trusted.
var ErrNote = errors.New("not a valid note")

// NoteText returns what a seal's signature is over: SHA256SUMS.note without its signatures. Frozen for Schema 1:
//
//	# daybook seal, schema 1
//	# trail: acme
//	# org: default
//	# day: 2026-03-10
//	# range: 2026-03-10T00:00:00Z to 2026-03-11T00:00:00Z
//	# seal: 42, addendum: 0
//	# previous: <SHA-256 of the manifest before, or none>
//	# events: 2122
//	# counts: carried 0, read 2124, written 2122, duplicates 1, quarantined 1, not tracked 0, pending 0
//	# sealed: 2026-03-11T01:00:00Z by <build>
//	# gap: 2026-03-10T02:00:00Z to 2026-03-10T03:30:00Z: down      (a line for each gap of the trail, and none if there is none)
//	# key: 3f2a-9c01-77be-0d4c-52aa-e1f0                              (none (unsigned), if nobody signs)
//	<SHA-256>  <key of a data file>
//	<SHA-256>  seals/acme/00000042/manifest.json
//
// It has no blank line and no control character but the line feed, so that sha256sum and awk can read it; in a comment, whatever cannot be printed is
// percent-encoded. It is a function of the manifest, whose stored bytes are manifest.
func NoteText(m *Manifest, manifest []byte) string {
	var b strings.Builder
	n := m.Counts
	fmt.Fprintf(&b, "# daybook seal, schema %d\n", m.Schema)
	fmt.Fprintf(&b, "# trail: %s\n# org: %s\n# day: %s\n", printable(m.Trail), printable(m.Org), m.Day)
	fmt.Fprintf(&b, "# range: %s to %s\n", m.Start.Format(time.RFC3339Nano), m.End.Format(time.RFC3339Nano))
	fmt.Fprintf(&b, "# seal: %d, addendum: %d\n# previous: %s\n# events: %d\n", m.Seal, m.Addendum, m.Previous, n.Written)
	fmt.Fprintf(&b, "# counts: carried %d, read %d, written %d, duplicates %d, quarantined %d, not tracked %d, pending %d\n",
		n.Carried, n.Read, n.Written, n.Duplicates, n.Quarantined, n.NotTracked, n.Pending)
	fmt.Fprintf(&b, "# sealed: %s by %s\n", m.SealedAt.Format(time.RFC3339Nano), printable(m.Build))
	for _, g := range m.Gaps {
		fmt.Fprintf(&b, "# gap: %s to %s: %s\n", g.From.Format(time.RFC3339Nano), g.To.Format(time.RFC3339Nano), printable(g.Reason))
	}
	key := "none (unsigned)"
	if m.Key != NoKey {
		key = fingerprint(m.Key)
	}
	fmt.Fprintf(&b, "# key: %s\n", key)
	for _, f := range m.Files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA256, f.Key)
	}
	fmt.Fprintf(&b, "%s  %s\n", Sum(manifest), ManifestKey(m.Trail, m.Seal))
	return b.String()
}

// printable percent-encodes what does not print, among it white space other than a space, and the percent sign.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == '%' || !unicode.IsPrint(r) || r == utf8.RuneError {
			for _, c := range []byte(s[:n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// Note returns the signed note of a seal. Putting it into the store is the commit point: before that the seal does not exist, after
// that it is complete. manifest is what Manifest.Encode gave, and names the key of signer.
func Note(manifest []byte, signer Signer, more ...Signer) ([]byte, error) {
	m, err := ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	if id := signer.Public().ID(); id != m.Key {
		return nil, fmt.Errorf("%w: it names key %s, but %s is to sign it", ErrManifest, m.Key, id)
	}
	signers := []note.Signer{signer}
	for _, s := range more {
		signers = append(signers, s)
	}
	signed, err := note.Sign(&note.Note{Text: NoteText(m, manifest)}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign the note of seal %d of %s: %w", m.Seal, m.Trail, err)
	}
	if len(signed) > MaxNote {
		return nil, fmt.Errorf("the note of seal %d of %s has %d bytes, at most %d are allowed", m.Seal, m.Trail, len(signed), MaxNote)
	}
	return signed, nil
}

// UnsignedNote returns the note of a seal that nobody signs: the bare text. manifest is what Manifest.Encode gave, and names NoKey.
func UnsignedNote(manifest []byte) ([]byte, error) {
	m, err := ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	if m.Key != NoKey {
		return nil, fmt.Errorf("%w: it names key %s, which is to sign it", ErrManifest, m.Key)
	}
	text := NoteText(m, manifest)
	if len(text) > MaxNote {
		return nil, fmt.Errorf("the note of seal %d of %s has %d bytes, at most %d are allowed", m.Seal, m.Trail, len(text), MaxNote)
	}
	return []byte(text), nil
}

// SumLine is one line of a note: a file's SHA-256 and its key.
type SumLine struct {
	SHA256 Hash
	Key    string
}

// Opened is a note whose signature is good.
type Opened struct {
	// Text is what is signed.
	Text string
	// Comments are its lines that begin with "# ", without that.
	Comments []string
	// Sums are its other lines; the last is the manifest's.
	Sums []SumLine
	// SignedBy are the names of the trusted keys that signed it.
	SignedBy []string
}

// OpenNote checks a note against the keys that are trusted (see Verifiers), and takes it apart. Without a good signature by one of these, or with a
// line that Daybook does not write, the error is ErrNote; note.UnverifiedNoteError and note.InvalidSignatureError say more.
func OpenNote(data []byte, trusted note.Verifiers) (*Opened, error) {
	if len(data) > MaxNote {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrNote, len(data), MaxNote)
	}
	if err := checkSignatures(data); err != nil {
		return nil, err
	}
	n, err := note.Open(data, trusted)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNote, err)
	}
	o, err := parseText(n.Text)
	if err != nil {
		return nil, err
	}
	for _, sig := range n.Sigs {
		o.SignedBy = append(o.SignedBy, sig.Name)
	}
	return o, nil
}

// OpenUnsigned takes apart a note that nobody signed. A note that bears signatures is ErrNote: taken for unsigned it would be believed unchecked.
func OpenUnsigned(data []byte) (*Opened, error) {
	if len(data) > MaxNote {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrNote, len(data), MaxNote)
	}
	return parseText(string(data))
}

// checkSignatures looks, before any signature is checked, at how many there are and how long they are: note.Open checks up to a hundred, and copies each.
func checkSignatures(data []byte) error {
	at := bytes.LastIndex(data, []byte("\n\n"))
	if at < 0 {
		return fmt.Errorf("%w: it bears no signature", ErrNote)
	}
	sigs := data[at+2:]
	if len(sigs) > maxSignatures*maxSignature || bytes.Count(sigs, []byte("\n")) > maxSignatures {
		return fmt.Errorf("%w: more than %d signatures, or longer than any", ErrNote, maxSignatures)
	}
	return nil
}

const (
	maxSignatures = 16
	maxSignature  = 4 << 10 // bytes of a signature's line
)

// parseText takes the text of a note apart.
func parseText(text string) (*Opened, error) {
	if !strings.HasSuffix(text, "\n") || !utf8.ValidString(text) {
		return nil, fmt.Errorf("%w: it is cut off, or not text", ErrNote)
	}
	o := &Opened{Text: text}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.IndexFunc(line, unicode.IsControl) >= 0 {
			return nil, fmt.Errorf("%w: line %.80q holds a control character", ErrNote, line)
		}
		if comment, ok := strings.CutPrefix(line, "# "); ok && len(o.Sums) == 0 {
			o.Comments = append(o.Comments, comment)
			continue
		}
		digits, key, ok := strings.Cut(line, "  ")
		sum, err := parseHash(digits)
		if !ok || err != nil {
			return nil, fmt.Errorf("%w: line %.80q is neither a comment nor a file's", ErrNote, line)
		}
		if err := sink.CheckKey(key); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNote, err)
		}
		if seen[key] {
			return nil, fmt.Errorf("%w: %s is listed twice", ErrNote, key)
		}
		seen[key] = true
		o.Sums = append(o.Sums, SumLine{sum, key})
	}
	if len(o.Sums) == 0 {
		return nil, fmt.Errorf("%w: it lists no file", ErrNote)
	}
	return o, nil
}

// Match checks that the note is that of this manifest, which it returns: every line of it is what the manifest makes.
func (o *Opened) Match(manifest []byte) (*Manifest, error) {
	m, err := ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	if text := NoteText(m, manifest); text != o.Text {
		return nil, fmt.Errorf("%w: line %d is not what the manifest says", ErrNote, firstDifference([]byte(o.Text), []byte(text)))
	}
	return m, nil
}

var _ Signer = Key{}
