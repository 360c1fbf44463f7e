// Package receipt is the signed promise that an event will be in a seal: what a sender gets at once, and holds against Daybook later.
//
// A receipt says that an event of that content was on stable storage when it was received, and by when a seal of its trail will hold it. Whoever has the store can look
// for it under the trail and day; a receipt whose deadline is over and whose event is in no seal is proof that Daybook broke its word. The content is told by its hash
// and not by that of the row: an event that is sent again has one row, that of its first delivery, whichever delivery the receipt is for.
package receipt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"daybook/event"
)

// ErrReceipt says that something is no receipt that Daybook wrote, or is not signed by a key that is trusted.
var ErrReceipt = errors.New("not a valid receipt")

// Limits. Frozen.
const (
	// MaxSize is how large a receipt may be, in bytes, with its signatures.
	MaxSize = 64 << 10
	// MaxName is how long the name of a trail and the id of an event may be, in bytes. There are no receipts for longer ones.
	MaxName = 4 << 10

	maxSignatures = 16
)

// Receipt is what a receipt says.
type Receipt struct {
	// Trail holds the event, filed under Day.
	Trail string
	Day   event.Day
	// ID is the event's.
	ID string
	// Content is the hash of what the event holds (event.Event.ContentHash): SHA-256 of a zero byte and the evidence row without the time of its receipt and the tags of
	// its redactions. Of a row that has neither it is the RFC 6962 leaf hash.
	Content [32]byte
	// Received is when the delivery came that this receipt answers; of an event that was there before, that is later than what its row says.
	Received time.Time
	// SealedBy is when a seal will hold it at the latest.
	SealedBy time.Time
}

// The lines of a receipt's text, in order. A receipt is a C2SP signed note of this text. Frozen:
//
//	daybook receipt v1
//	trail "acme"
//	day 2026-03-10
//	event "inv-1"
//	content 6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
//	received 2026-03-10T09:30:00.123456789Z
//	sealed by 2026-03-11T02:00:00Z
//
//	— <key name> <base64 of key hash and signature>
//
// Trail and event are JSON strings of printable ASCII: whatever else, and quote and backslash, is escaped, so that nothing in a name can end a line or
// hide one. Content is in lower-case hex, times are RFC 3339 in UTC with as many digits as are not zero. There is one text for one receipt.
//
// No other text that Daybook signs begins with this first line, which as the origin of a log would hold spaces that no origin may hold.
const (
	firstLine      = "daybook receipt v1"
	trailPrefix    = "trail "
	dayPrefix      = "day "
	eventPrefix    = "event "
	contentPrefix  = "content "
	receivedPrefix = "received "
	sealedByPrefix = "sealed by "

	lines = 7
)

// Encode returns the receipt, signed.
func Encode(r Receipt, signers ...note.Signer) ([]byte, error) {
	text, err := r.text()
	if err != nil {
		return nil, err
	}
	if len(signers) == 0 || len(signers) > maxSignatures {
		return nil, fmt.Errorf("%w: %d keys are to sign it, 1 to %d can", ErrReceipt, len(signers), maxSignatures)
	}
	data, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign a receipt: %w", err)
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrReceipt, len(data), MaxSize)
	}
	return data, nil
}

func (r *Receipt) text() (string, error) {
	for _, name := range []struct{ what, text string }{{"trail", r.Trail}, {"event", r.ID}} {
		if name.text == "" || len(name.text) > MaxName || !utf8.ValidString(name.text) {
			return "", fmt.Errorf("%w: %s %.80q: must be 1 to %d bytes of UTF-8", ErrReceipt, name.what, name.text, MaxName)
		}
	}
	for _, t := range []time.Time{r.Day.Start(), r.Received, r.SealedBy} {
		if year := t.UTC().Year(); year < 1 || year > 9999 || t.IsZero() {
			return "", fmt.Errorf("%w: a time is in the year %d: must be 1 to 9999, behind its first instant", ErrReceipt, year)
		}
	}
	b := append(make([]byte, 0, 512), firstLine+"\n"+trailPrefix...)
	b = appendQuoted(b, r.Trail)
	b = append(b, "\n"+dayPrefix+r.Day.String()+"\n"+eventPrefix...)
	b = appendQuoted(b, r.ID)
	b = append(b, "\n"+contentPrefix...)
	b = hex.AppendEncode(b, r.Content[:])
	b = append(b, "\n"+receivedPrefix...)
	b = event.AppendTime(b, r.Received)
	b = append(b, "\n"+sealedByPrefix...)
	b = event.AppendTime(b, r.SealedBy)
	return string(append(b, '\n')), nil
}

// appendQuoted appends s as a JSON string of printable ASCII.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ' && r <= '~':
			dst = append(dst, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}

// Parse reads a receipt without checking who signed it.
func Parse(data []byte) (Receipt, error) {
	text, _, err := split(trimmed(data))
	if err != nil {
		return Receipt{}, err
	}
	return parseText(text)
}

// Verify reads a receipt and checks it against the keys that are trusted (see batch/seal.Verifiers), and returns the names of those that signed it. Without
// a good signature by one of these the error is ErrReceipt; note.UnverifiedNoteError and note.InvalidSignatureError say more.
func Verify(data []byte, trusted note.Verifiers) (Receipt, []string, error) {
	data = trimmed(data)
	_, signatures, err := split(data)
	if err != nil {
		return Receipt{}, nil, err
	}
	if n := bytes.Count(signatures, []byte("\n")); n > maxSignatures {
		return Receipt{}, nil, fmt.Errorf("%w: %d signatures, at most %d are allowed", ErrReceipt, n, maxSignatures)
	}
	n, err := note.Open(data, trusted)
	if err != nil {
		return Receipt{}, nil, fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	r, err := parseText(n.Text)
	if err != nil {
		return Receipt{}, nil, err
	}
	var names []string
	for _, s := range n.Sigs {
		names = append(names, s.Name)
	}
	return r, names, nil
}

// trimmed returns a receipt without the empty lines that tools leave behind it: `jq -r` writes a line feed after a text that ends in one.
func trimmed(data []byte) []byte {
	for bytes.HasSuffix(data, []byte("\n\n")) {
		data = data[:len(data)-1]
	}
	return data
}

// split returns a receipt's text, with its last line feed, and the lines of its signatures.
func split(data []byte) (text string, signatures []byte, err error) {
	if len(data) > MaxSize {
		return "", nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrReceipt, len(data), MaxSize)
	}
	at := bytes.LastIndex(data, []byte("\n\n"))
	if at < 0 {
		return "", nil, fmt.Errorf("%w: it bears no signature", ErrReceipt)
	}
	return string(data[:at+1]), data[at+2:], nil
}

func parseText(text string) (Receipt, error) {
	list := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if list[0] != firstLine {
		return Receipt{}, fmt.Errorf("%w: it does not begin with %q", ErrReceipt, firstLine)
	}
	if len(list) != lines {
		return Receipt{}, fmt.Errorf("%w: %d lines of text, must be %d", ErrReceipt, len(list), lines)
	}
	var (
		r   Receipt
		err error
	)
	for i, line := range []struct {
		prefix string
		read   func(string) bool
	}{
		{trailPrefix, func(s string) bool { return json.Unmarshal([]byte(s), &r.Trail) == nil }},
		{dayPrefix, func(s string) bool { r.Day, err = event.ParseDay(s); return err == nil }},
		{eventPrefix, func(s string) bool { return json.Unmarshal([]byte(s), &r.ID) == nil }},
		{contentPrefix, func(s string) bool { return readHash(&r.Content, s) }},
		{receivedPrefix, func(s string) bool { return readTime(&r.Received, s) }},
		{sealedByPrefix, func(s string) bool { return readTime(&r.SealedBy, s) }},
	} {
		value, found := strings.CutPrefix(list[1+i], line.prefix)
		if !found || !line.read(value) {
			return Receipt{}, fmt.Errorf("%w: line %d is %.80q: must be %q and its value", ErrReceipt, 2+i, list[1+i], strings.TrimSpace(line.prefix))
		}
	}
	again, err := r.text()
	if err != nil {
		return Receipt{}, err
	}
	if again != text {
		return Receipt{}, fmt.Errorf("%w: it is not written as Daybook writes it", ErrReceipt)
	}
	return r, nil
}

func readHash(to *[32]byte, s string) bool {
	if len(s) != hex.EncodedLen(len(to)) {
		return false
	}
	_, err := hex.Decode(to[:], []byte(s))
	return err == nil
}

func readTime(to *time.Time, s string) (ok bool) {
	*to, ok = event.ParseTime(s)
	return ok
}
