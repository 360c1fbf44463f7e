// Package cefparse reads CEF lines by the letter of the "CEF Implementation Standard" (OpenText, document version 27): it is the reader that our
// writer is held to, and shares nothing with it.
//
// What it guarantees: a line that the standard calls well-formed is read without a Fault, and gives back exactly the values that were escaped. A
// line that real devices send but the standard forbids is read as far as it can be, with a Fault for each breach. Only a line without a whole
// header is an error.
//
// Where parsers in the field disagree with the standard or with each other, this one follows the standard:
//
//   - `\r` is a carriage return and `\n` a line feed (VRL makes a line feed of both).
//   - Double quotes around a value are part of it (VRL and Logstash strip them): the standard has no quoting.
//   - Of several spaces before a key the last one separates, the others end the value before (VRL and Logstash drop them). Spaces at the end of the
//     line are lost, and spaces between the header and the first key mean nothing.
//   - A backslash escapes a backslash, a pipe (header), an equals sign, n and r (extension). Before anything else it stays, with a Fault (VRL keeps
//     it in silence, Beats drops the field).
package cefparse

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrNotCEF is returned for a text without `CEF:<version>|` and the seven header fields, each ended by a pipe.
var ErrNotCEF = errors.New("not a CEF line")

// Pair is a key of the extension and its unescaped value.
type Pair struct{ Key, Value string }

// Message is one CEF line, unescaped.
type Message struct {
	Version                                       string
	Vendor, Product, DeviceVersion, ClassID, Name string
	// Severity is as it stands: 0 to 10, or Unknown, Low, Medium, High, Very-High.
	Severity string
	// Extension holds the pairs in the order of the line.
	Extension []Pair
	// Faults says where the line breaks the grammar of the standard.
	Faults []string
}

// Parse reads one line. A syslog prefix before `CEF:` is skipped, one line end after it removed.
func Parse(line string) (Message, error) {
	var m Message
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	start, bar := findVersion(line)
	if start < 0 {
		return m, fmt.Errorf("%w: no CEF:<version>|", ErrNotCEF)
	}
	m.Version = line[start+len("CEF:") : bar]
	if !utf8.ValidString(line[start:]) {
		m.fault("not UTF-8")
	}
	if strings.ContainsAny(line[start:], "\r\n") {
		m.fault("a line break within the line")
	}
	rest := line[bar+1:]
	for _, field := range []*string{&m.Vendor, &m.Product, &m.DeviceVersion, &m.ClassID, &m.Name, &m.Severity} {
		n := headerField(rest)
		if n < 0 {
			return m, fmt.Errorf("%w: the header ends before its seventh pipe", ErrNotCEF)
		}
		*field = m.unescape(rest[:n], '|', "header")
		rest = rest[n+1:]
	}
	m.extension(rest)
	return m, nil
}

// Get returns the value of key, and whether the line has it. Of several, the last counts (which is a Fault besides).
func (m *Message) Get(key string) (string, bool) {
	for i := len(m.Extension) - 1; i >= 0; i-- {
		if m.Extension[i].Key == key {
			return m.Extension[i].Value, true
		}
	}
	return "", false
}

// Custom returns the values of labelled fields (cs1 with cs1Label and the like) by their labels. A value without its label, a label without its
// value, and a label used twice are errors.
func (m *Message) Custom() (map[string]string, error) {
	named := map[string]string{}
	var errs []error
	for _, p := range m.Extension {
		if key, ok := strings.CutSuffix(p.Key, "Label"); ok && customKey(key) {
			if _, ok := m.Get(key); !ok {
				errs = append(errs, fmt.Errorf("%s without %s", p.Key, key))
			}
			continue
		}
		if !customKey(p.Key) {
			continue
		}
		label, ok := m.Get(p.Key + "Label")
		if !ok {
			errs = append(errs, fmt.Errorf("%s without its label", p.Key))
			continue
		}
		if _, twice := named[label]; twice {
			errs = append(errs, fmt.Errorf("label %q used twice", label))
		}
		named[label] = p.Value
	}
	return named, errors.Join(errs...)
}

func (m *Message) fault(format string, args ...any) {
	m.Faults = append(m.Faults, fmt.Sprintf(format, args...))
}

// findVersion returns where `CEF:` begins and where the pipe after its version stands.
func findVersion(line string) (start, bar int) {
	for from := 0; ; {
		i := strings.Index(line[from:], "CEF:")
		if i < 0 {
			return -1, -1
		}
		start = from + i
		bar = start + len("CEF:")
		for bar < len(line) && line[bar] >= '0' && line[bar] <= '9' {
			bar++
		}
		if bar > start+len("CEF:") && bar < len(line) && line[bar] == '|' {
			return start, bar
		}
		from = start + len("CEF:")
	}
}

// headerField returns the length of the header field that s begins with: up to a pipe that is not escaped.
func headerField(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '|':
			return i
		}
	}
	return -1
}

// unescape resolves `\\` and, by special, `\|` in the header or `\=`, `\n` and `\r` in the extension.
func (m *Message) unescape(s string, special byte, where string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case i == len(s):
			m.fault("%s: a backslash at the end", where)
			b.WriteByte('\\')
		case s[i] == '\\' || s[i] == special:
			b.WriteByte(s[i])
		case s[i] == 'n' && special == '=':
			b.WriteByte('\n')
		case s[i] == 'r' && special == '=':
			b.WriteByte('\r')
		default:
			m.fault("%s: a backslash before %q", where, s[i])
			b.WriteByte('\\')
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func (m *Message) extension(s string) {
	s = strings.Trim(s, " ")
	if s == "" {
		return
	}
	at := keyAt(s, 0)
	if at < 0 {
		if at = nextKey(s, 0); at < 0 {
			m.fault("no key in the extension")
			return
		}
		m.fault("text before the first key")
	} else {
		at = 0
	}
	seen := map[string]bool{}
	for at < len(s) {
		eq := keyAt(s, at)
		key := s[at:eq]
		if seen[key] {
			m.fault("%s: twice", key)
		}
		seen[key] = true
		from, to := eq+1, len(s)
		next := nextKey(s, from)
		if next >= 0 {
			to = next - 1 // the one space that separates
		} else {
			next = len(s)
		}
		value := s[from:to]
		if bareEquals(value) {
			m.fault("%s: an equals sign without a backslash", key)
		}
		m.Extension = append(m.Extension, Pair{key, m.unescape(value, '=', key)})
		at = next
	}
}

// nextKey returns where the next key after a space begins, from on; -1 if there is none. A space right before from counts not, the one at from does.
func nextKey(s string, from int) int {
	for i := from; i < len(s); i++ {
		if s[i] == ' ' && keyAt(s, i+1) >= 0 {
			return i + 1
		}
	}
	return -1
}

// keyAt returns where the equals sign of the key that begins at i stands, or -1 if none begins there.
//
// The standard's keys are letters and digits. Connectors also send underscores, `ad.name`, `ad.Error_,Code` and `ad.field[0]`, which are read (and
// left to Check): a word, then parts that begin with a dot, then an index.
func keyAt(s string, i int) int {
	start := i
	for i < len(s) && wordByte(s[i]) {
		i++
	}
	if i == start {
		return -1
	}
	for i < len(s) && s[i] == '.' {
		part := i + 1
		for i++; i < len(s) && !strings.ContainsRune(".= |\\[]\t\r\n", rune(s[i])); i++ {
		}
		if i == part {
			return -1
		}
	}
	if i < len(s) && s[i] == '[' {
		digits := i + 1
		for i++; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		}
		if i == digits || i == len(s) || s[i] != ']' {
			return -1
		}
		i++
	}
	if i < len(s) && s[i] == '=' {
		return i
	}
	return -1
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

func bareEquals(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '=':
			return true
		}
	}
	return false
}
