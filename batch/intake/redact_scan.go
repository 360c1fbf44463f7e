package intake

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// suspect reports whether there may be a secret in text, which is JSON text or plain text. It is what most events cost: about half a nanosecond a
// byte. It is right when it says no; when it says yes, the slow way looks again.
//
// The names of members are found by their closing quote and colon, at every depth of JSON in strings, and looked up. Credentials are found by three
// bytes at an even place: each shape has a window of four, of which an even place is the first or the second.
func (r *Redactor) suspect(text string) bool {
	if len(r.patterns) > 0 {
		return true
	}
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	b := viewBytes(text)
	i := 0
	for ; i+8 <= len(b); i += 6 {
		w := binary.LittleEndian.Uint64(b[i:])
		next := w >> 8
		// In each of these a zero byte marks a find.
		name := (w ^ ones*'"') | (next ^ ones*':')
		spaced := (w ^ ones*' ') | (next ^ ones*':')
		escape := (w ^ ones*'\\') | (next ^ ones*'u')
		equals := w ^ ones*'='
		at := w ^ ones*'@'
		// x-ones&^x&highs is not zero where x has a zero byte; its lowest mark is right, marks above may be false. The last term marks control characters.
		marks := ((name-ones)&^name | (spaced-ones)&^spaced | (escape-ones)&^escape |
			(equals-ones)&^equals | (at-ones)&^at | (w-ones*0x20)&^w) & highs
		for ; marks != 0; marks &= marks - 1 {
			if r.suspectAt(text, i+bits.TrailingZeros64(marks)/8) {
				return true
			}
		}
		if windowBit(uint32(w))|windowBit(uint32(w>>16))|windowBit(uint32(w>>32)) != 0 {
			if suspectShape(text, i) || suspectShape(text, i+2) || suspectShape(text, i+4) {
				return true
			}
		}
	}
	for ; i < len(b); i++ {
		if r.suspectAt(text, i) || i+3 <= len(b) && windowBit(uint32(b[i])|uint32(b[i+1])<<8|uint32(b[i+2])<<16) != 0 && suspectShape(text, i) {
			return true
		}
	}
	return false
}

// suspectAt looks at a character that may betray a secret.
func (r *Redactor) suspectAt(text string, i int) bool {
	following := byte(0)
	if i+1 < len(text) {
		following = text[i+1]
	}
	switch c := text[i]; {
	case c == '"':
		return following == ':' && r.suspectMember(text, i)
	case c == ' ':
		return following == ':' // JSON with white space before a colon: nobody's, but it is allowed
	case c == '\\':
		// An escaped letter of ASCII may hide anything.
		return following == 'u' && strings.HasPrefix(text[i+2:], "00") && i+4 < len(text) && text[i+4] >= '2' && text[i+4] <= '7'
	case c == '=':
		return r.assigns(text, i)
	case c == '@':
		return suspectURL(text, i)
	}
	return text[i] < 0x20
}

// suspectMember looks at the member whose name's closing quote is text[i]. A name with escapes of ASCII was noticed by these.
func (r *Redactor) suspectMember(text string, i int) bool {
	end := i
	for end > 0 && text[end-1] == '\\' {
		end--
	}
	if !r.mayEnd(text[:end]) {
		return false
	}
	start, hash := end, uint32(0)
	for start > 0 && text[start-1] != '"' {
		if start--; end-start > maxNameLen {
			return false
		}
		hash = hashStep(hash, text[start])
	}
	if !r.hashes.has(hash) {
		return false
	}
	switch kind := r.kind(text[start:end]); kind {
	case nameSecret, nameStructure:
		value := strings.TrimLeft(text[i+2:], " ")
		return !strings.HasPrefix(value, "null") && !strings.HasPrefix(value, "true") && !strings.HasPrefix(value, "false") &&
			!strings.HasPrefix(value, `""`) && !startsWithTag(value)
	case nameLabel:
		return r.suspectLabel(text[i+2:])
	}
	return false
}

// suspectLabel reports whether text begins with a string, in as many strings as may be, that is a secret's name.
func (r *Redactor) suspectLabel(text string) bool {
	from := 0
	for from < len(text) && (text[from] == ' ' || text[from] == '\\' || text[from] == '"') {
		from++
	}
	to := from
	for to < len(text) && text[to] != '"' && text[to] != '\\' {
		if to++; to-from > maxNameLen {
			return false
		}
	}
	if from == to || !r.mayEnd(text[:to]) {
		return false
	}
	kind := r.kind(text[from:to])
	return kind == nameSecret || kind == nameStructure
}

// startsWithTag reports whether text begins with a string that is a tag.
func startsWithTag(text string) bool {
	return len(text) > tagLen+1 && text[0] == '"' && text[tagLen+1] == '"' && isTag(text[1:tagLen+1])
}

// mayEnd reports whether a name that is looked for may end as text does.
func (r *Redactor) mayEnd(text string) bool {
	n := len(text)
	if n < 3 {
		return true
	}
	a, b, c := text[n-3], text[n-2], text[n-1]
	if tailBreak[a]|tailBreak[b]|tailBreak[c] != 0 {
		return true // too short to know, or with a separator in it
	}
	bit := tailBit(a, b, c)
	return r.tails[bit/64]>>(bit%64)&1 != 0
}

// nameHashes is a Bloom filter of whole names.
type nameHashes [tailBits / 64]uint64

func (set *nameHashes) has(h uint32) bool {
	h >>= 32 - tailBitsLog
	return set[h/64]>>(h%64)&1 != 0
}

func (set *nameHashes) add(name string) {
	h := uint32(0)
	for i := len(name) - 1; i >= 0; i-- {
		h = hashStep(h, name[i])
	}
	h >>= 32 - tailBitsLog
	set[h/64] |= 1 << (h % 64)
}

// hashStep hashes a name from its end, in any case and without separators.
func hashStep(h uint32, c byte) uint32 {
	if c == '_' || c == '-' || c == ' ' {
		return h
	}
	return (h + uint32(c|0x20)) * 0x9e3779b1
}

// tailBreak tells the bytes that do not count for the last three of a name: separators, and what stands before a name.
var tailBreak = func() (set [256]uint8) {
	for c := range set {
		if c != '.' && !isWord(byte(c)) || c == '_' {
			set[c] = 1
		}
	}
	return set
}()

// tailBit hashes the last three bytes of a name, in any case, for Redactor.tails.
func tailBit(a, b, c byte) uint {
	return (uint(a|0x20)*961 + uint(b|0x20)*31 + uint(c|0x20)) & (tailBits - 1)
}

const (
	tailBitsLog = 12
	tailBits    = 1 << tailBitsLog
)

// suspectURL reports whether the @ at text[i] may end a user and a password. Where it cannot say from so many bytes it says yes.
func suspectURL(text string, i int) bool {
	const far = 256
	colon := false
	for k := i - 1; k >= 0; k-- {
		switch c := text[k]; {
		case c == ':':
			colon = true
		case c == '/':
			return colon
		case c == '\\':
			return true // an escape, of whatever it may be
		case c <= ' ' || strings.IndexByte("?#\"'<>`|", c) >= 0:
			return false
		}
		if i-k > far {
			return true
		}
	}
	return false
}

// suspectShape looks for a shape of whose window text[i:] is the first or the second place.
func suspectShape(text string, i int) bool {
	if i+3 > len(text) {
		return false
	}
	for _, c := range windows[string3(text[i:])] {
		start := i - c.offset
		if start < 0 || !strings.HasPrefix(text[start:], c.shape.prefix) {
			continue
		}
		switch c.shape.kind {
		case shapeRun:
			body := start + len(c.shape.prefix)
			if c.shape.rest.run(text[:min(len(text), body+c.shape.min)], body) < body+c.shape.min {
				continue
			}
		case shapePEM:
			if !strings.Contains(text[start:min(len(text), start+64)], "PRIVATE") {
				continue
			}
		}
		return true
	}
	return false
}

type window struct {
	shape  *shape
	offset int // from the beginning of the shape
}

func string3(s string) [3]byte { return [3]byte{s[0], s[1], s[2]} }

// windows are the places of shapes that suspect knows them by, windowBits a Bloom filter of these.
var windows, windowBits = func() (map[[3]byte][]window, [1 << 10]uint64) {
	m := map[[3]byte][]window{}
	var set [1 << 10]uint64
	add := func(p *shape, w [3]byte, offset int) {
		m[w] = append(m[w], window{p, offset})
		h := windowHash(uint32(w[0]) | uint32(w[1])<<8 | uint32(w[2])<<16)
		set[h/64] |= 1 << (h % 64)
	}
	for k := range shapes {
		p := &shapes[k]
		add(p, string3(p.prefix[p.window:]), p.window)
		if p.window+4 <= len(p.prefix) {
			add(p, string3(p.prefix[p.window+1:]), p.window+1)
			continue
		}
		// eyJ is {" in base64; what follows is the beginning of a name, or, in an empty object or one with white space, something else.
		for c := range 256 {
			if base64URL.has(byte(c)) {
				add(p, [3]byte{p.prefix[1], p.prefix[2], byte(c)}, 1)
			}
		}
	}
	return m, set
}()

func windowHash(w uint32) uint32 { return w & 0xffffff * 0x9e3779b1 >> 16 }

func windowBit(w uint32) uint64 {
	h := windowHash(w)
	return windowBits[h/64] >> (h % 64) & 1
}

// broken redacts text that is not JSON, or not whole, though it may have been meant to be.
func (r *Redactor) broken(s string) (string, int) {
	s, n := r.custom(s)
	var out []byte
	last := 0
	for i := 0; i < len(s); {
		from, to, next := r.brokenAt(s, i)
		if from < to {
			out = append(append(out, s[last:from]...), r.tag(s[from:to])...)
			last = to
			n++
		}
		i = next
	}
	if last == 0 {
		return s, n
	}
	return viewString(append(out, s[last:]...)), n
}

// brokenAt is credentialAt for text with quotes and colons.
func (r *Redactor) brokenAt(s string, i int) (from, to, next int) {
	if s[i] != ':' {
		return r.credentialAt(s, i)
	}
	end := len(strings.TrimRight(s[:i], " \t\r\n"))
	if end == 0 || s[end-1] != '"' {
		return r.credentialAt(s, i)
	}
	end = len(strings.TrimRight(s[:end-1], `\`))
	start := strings.LastIndexByte(s[max(0, end-maxNameLen-1):end], '"')
	if start < 0 {
		return 0, 0, i + 1
	}
	start += max(0, end-maxNameLen-1) + 1
	if kind := r.kind(unescape(s[start:end])); kind != nameSecret && kind != nameStructure {
		return 0, 0, i + 1
	}
	from, to = brokenValue(s, i+1)
	if text := s[from:to]; text == "" || isTag(text) || text == "null" || text == "true" || text == "false" {
		return 0, 0, i + 1
	}
	return from, to, to
}

// brokenValue returns where the value after i begins and ends, without its quotes.
func brokenValue(s string, i int) (from, to int) {
	from = len(s) - len(strings.TrimLeft(s[i:], " \t\r\n"))
	quote := from + len(s[from:]) - len(strings.TrimLeft(s[from:], `\`))
	switch {
	case quote < len(s) && s[quote] == '"':
		return quote + 1, closingQuote(s, quote+1, quote-from)
	case from < len(s) && (s[from] == '{' || s[from] == '['):
		w := walker{src: viewBytes(s)}
		if end, ok := w.skipNested(from); ok {
			return from, end
		}
		return from, len(s)
	}
	to = from
	for to < len(s) && s[to] > ' ' && strings.IndexByte(",}]\"\\", s[to]) < 0 {
		to++
	}
	return from, to
}

// closingQuote returns where the quote stands that has as many backslashes before it as the opening one; for none, an even number.
func closingQuote(s string, i, backslashes int) int {
	for run := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			run++
			continue
		case s[i] == '"' && (run == backslashes || backslashes == 0 && run%2 == 0):
			return i - backslashes
		}
		run = 0
	}
	return len(s)
}
