package cef

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"daybook/event"
	"daybook/formats/lines"
)

// Checker compares a CEF file with the evidence: the header and every key of every line, undone. It implements formats.Checker.
//
// Keys must stand in the order in which Encoder writes them, each once, none besides. Of the options, vendor, product and version are those of the first line and
// must be so on all; InfoLimit is whatever all lines agree on. What the format loses (a control character is a space, what is cut) is the only thing that may differ.
type Checker struct {
	rows  *lines.Rows
	head  []byte // the line up to the class id, once the first told
	limit lines.Span
	text  []byte

	// Of the line at hand:
	rest []byte // what was not read yet
	err  error
}

// NewChecker returns a Checker of the uncompressed file r.
func NewChecker(r io.Reader) *Checker {
	return &Checker{rows: lines.NewRows(r), limit: lines.AnyLimit()}
}

// Close checks that the file ends here.
func (c *Checker) Close() error { return c.rows.End() }

// Check compares the next line with e.
func (c *Checker) Check(e *event.Event) error {
	row, err := c.rows.Next(e)
	if err != nil {
		return err
	}
	c.rest, c.err = row, nil
	c.header(e)

	c.time("rt", e)
	c.time("end", e)
	c.id(e.Get(event.ID))
	c.value("cat", e.Get(event.Type), maxText)
	c.value("act", e.Get(event.Action), maxAct)
	c.value("outcome", e.Get(event.Outcome), maxOutcome)
	c.value("reason", orElse(e.Get(event.ErrorCode), e.Get(event.Reason)), maxText)
	c.value("msg", e.Get(event.ErrorMessage), maxText)
	switch ip := e.Get(event.IP); {
	case isIPv4(ip):
		c.value("src", ip, maxText)
	case isIPv6(ip):
		c.labelled("c6a2Label", "Source IPv6 Address", "c6a2", ip, maxText)
	default:
		c.value("shost", ip, maxText)
	}
	c.value("requestClientApplication", e.Get(event.UserAgent), maxText)
	c.value("suid", e.Get(event.ActorID), maxText)
	c.value("suser", orElse(e.Get(event.ActorName), e.Get(event.ActorID)), maxText)
	c.value("spriv", e.Get(event.ActorRole), maxText)
	c.value("deviceExternalId", e.Get(event.Source), maxDevice)
	if isFile(e) {
		c.value("fileId", e.Get(event.ObjectID), maxText)
		c.value("fname", e.Get(event.ObjectName), maxText)
	}
	c.labelled("flexString1Label", "objectId", "flexString1", e.Get(event.ObjectID), maxText)
	c.labelled("flexString2Label", "objectName", "flexString2", e.Get(event.ObjectName), maxText)
	c.labelled("cs1Label", "projectId", "cs1", e.Get(event.ProjectID), maxCustom)
	c.labelled("cs2Label", "projectName", "cs2", e.Get(event.ProjectName), maxCustom)
	c.labelled("cs4Label", "tokenLabel", "cs4", e.Get(event.TokenLabel), maxCustom)
	c.labelled("cs5Label", "tokenLast4", "cs5", e.Get(event.TokenLast4), maxCustom)
	c.labelled("cs6Label", "org", "cs6", e.Get(event.Org), maxCustom)
	c.info(e.Get(event.Info))
	if c.err == nil && len(c.rest) > 0 {
		c.mismatch("key", "", c.rest)
	}
	return c.err
}

func (c *Checker) mismatch(field, want string, got []byte) {
	if c.err == nil {
		c.err = c.rows.Mismatch(field, want, got)
	}
}

func (c *Checker) malformed(format string, args ...any) {
	if c.err == nil {
		c.err = c.rows.Malformed(fmt.Sprintf(format, args...))
	}
}

// header reads up to the last pipe. No text of the header has a pipe, whatever the event.
func (c *Checker) header(e *event.Event) {
	if c.head == nil {
		c.firstHead()
	}
	if c.err != nil {
		return
	}
	if !bytes.HasPrefix(c.rest, c.head) {
		c.mismatch("header", string(c.head), c.rest)
		return
	}
	c.rest = c.rest[len(c.head):]
	c.headerText("class id", orElse(e.Get(event.Action), orElse(e.Get(event.Type), "unknown")), maxClassID)
	c.headerText("name", nameOf(e), maxName)
	severity, rest, found := bytes.Cut(c.rest, []byte{'|'})
	if n, ok := lines.ParseInt(severity); !found || !ok || n != int64(severityOf(e)) {
		c.mismatch("severity", strconv.Itoa(severityOf(e)), severity)
	}
	c.rest = rest
}

// firstHead takes from the first line what is the same on all.
func (c *Checker) firstHead() {
	version, rest, _ := bytes.Cut(c.rest, []byte{'|'})
	if string(version) != "CEF:0" {
		c.mismatch("header", "CEF:0", version)
		return
	}
	for _, text := range [...]struct {
		name  string
		limit int
	}{{"vendor", maxVendor}, {"product", maxProduct}, {"version", maxVersion}} {
		value, after, found := bytes.Cut(rest, []byte{'|'})
		if !found || len(value) == 0 {
			c.malformed("no %s in the header", text.name)
			return
		}
		if err := validText(text.name, string(value[:min(len(value), text.limit+1)]), text.limit); err != nil {
			c.malformed("%v", err)
			return
		}
		rest = after
	}
	c.head = bytes.Clone(c.rest[:len(c.rest)-len(rest)])
}

func (c *Checker) headerText(name, want string, limit int) {
	got, rest, found := bytes.Cut(c.rest, []byte{'|'})
	want = want[:cutAt(want, limit)]
	if n, ok := matchHeader(got, want); !found || !ok || n != len(want) {
		c.mismatch(name, want, got)
	}
	c.rest = rest
}

// pair takes the next key and its value, still escaped, off the line. A value ends before the space before the next key, which is what stands before an
// equals sign without a backslash.
func (c *Checker) pair() (key, raw []byte) {
	key, rest, found := bytes.Cut(c.rest, []byte{'='})
	if !found {
		return c.rest, nil
	}
	var end int
	for at := 0; ; at++ {
		i := bytes.IndexByte(rest[at:], '=')
		if i < 0 {
			c.rest = nil
			return key, rest
		}
		at += i
		escaped := false
		for j := at; j > 0 && rest[j-1] == '\\'; j-- {
			escaped = !escaped
		}
		if escaped {
			continue
		}
		if end = bytes.LastIndexByte(rest[:at], ' '); end < 0 {
			c.malformed("an equals sign without a backslash in %s", key)
			end = at
		}
		break
	}
	c.rest = rest[end+1:]
	return key, rest[:end]
}

// next takes the pair off the line whose key must be key, and returns its value, which holds until the next call.
func (c *Checker) next(key string) (value []byte, ok bool) {
	if c.err != nil {
		return nil, false
	}
	got, raw := c.pair()
	if string(got) != key {
		c.mismatch("key", key, got)
	}
	if c.err != nil {
		return nil, false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw, true
	}
	c.text = c.text[:0]
	for s := raw; len(s) > 0; s = s[1:] {
		ch := s[0]
		if ch == '\\' {
			if s = s[1:]; len(s) == 0 {
				c.malformed("%s ends in a backslash", key)
				return nil, false
			}
			switch ch = s[0]; ch {
			case '\\', '=':
			case 'n':
				ch = '\n'
			case 'r':
				ch = '\r'
			default:
				c.malformed(`unknown escape \%c in %s`, ch, key)
				return nil, false
			}
		}
		c.text = append(c.text, ch)
	}
	return c.text, true
}

func (c *Checker) constant(key, want string) {
	if got, ok := c.next(key); ok && string(got) != want {
		c.mismatch(key, want, got)
	}
}

func (c *Checker) number(key string, want int64) {
	got, ok := c.next(key)
	if n, is := lines.ParseInt(got); ok && (!is || n != want) {
		c.mismatch(key, strconv.FormatInt(want, 10), got)
	}
}

func (c *Checker) time(key string, e *event.Event) { c.number(key, e.Time.UnixMilli()) }

func (c *Checker) value(key, want string, limit int) {
	if want == "" {
		return
	}
	want = want[:cutAt(want, limit)]
	got, ok := c.next(key)
	if !ok {
		return
	}
	if n, same := matchValue(got, want); !same || n != len(want) {
		c.mismatch(key, want, got)
	}
}

func (c *Checker) labelled(labelKey, label, key, want string, limit int) {
	if want == "" {
		return
	}
	c.constant(labelKey, label)
	c.value(key, want, limit)
}

func (c *Checker) id(id string) {
	if len(id) <= maxExternalID {
		c.value("externalId", id, maxExternalID)
		return
	}
	c.text = append(c.text[:0], id...)
	sum := sha256.Sum256(c.text)
	got, ok := c.next("externalId")
	if !ok {
		return
	}
	const prefix = "sha256:"
	var is [sha256.Size / 2]byte
	digits := bytes.TrimPrefix(got, []byte(prefix))
	if len(got) != len(prefix)+2*len(is) || len(digits) != 2*len(is) || bytes.ContainsAny(digits, "ABCDEF") {
		c.mismatch("externalId", id, got)
		return
	}
	if _, err := hex.Decode(is[:], digits); err != nil || !bytes.Equal(is[:], sum[:len(is)]) {
		c.mismatch("externalId", id, got)
	}
}

// info checks cs3, and cn1 that stands before it where it was cut. How long it is says what InfoLimit can be.
func (c *Checker) info(want string) {
	if want == "" {
		return
	}
	cut := bytes.HasPrefix(c.rest, []byte("cn1Label="))
	if cut {
		c.constant("cn1Label", "infoBytes")
		c.number("cn1", int64(len(want)))
	}
	c.constant("cs3Label", "info")
	got, ok := c.next("cs3")
	if !ok {
		return
	}
	n, same := matchValue(got, want)
	if !same || cut != (n < len(want)) {
		c.mismatch("cs3", want, got)
		return
	}
	high := math.MaxInt
	if cut {
		_, size := utf8.DecodeRuneInString(want[n:])
		high = n + size - 1
	}
	if !c.limit.Narrow(n, high) {
		c.mismatch("cs3", want, got)
	}
}

// cutAt is where a text is cut to limit bytes: at the end of a character.
func cutAt(s string, limit int) int {
	if len(s) <= limit {
		return len(s)
	}
	for back := range utf8.UTFMax {
		if n := limit - back; n >= 0 && utf8.RuneStart(s[n]) {
			return n
		}
	}
	return max(limit-utf8.UTFMax, 0)
}

// matchValue follows got, a value without its escapes, along want, and returns how much of that it is.
func matchValue(got []byte, want string) (n int, ok bool) {
	if len(got) <= len(want) && string(got) == want[:len(got)] {
		// Nothing in got is a control character but what an escape gave.
		if bytes.IndexByte(got, '\r') < 0 {
			return len(got), true
		}
	}
	for len(got) > 0 {
		if n == len(want) {
			return n, false
		}
		r, size := utf8.DecodeRuneInString(want[n:])
		switch {
		case r == '\r' && n+1 < len(want) && want[n+1] == '\n' && (len(got) > 1 || got[0] == '\n'): // else it was cut between the two
			r, size = '\n', 2
		case r != '\n' && r != '\r' && lines.IsControl(r):
			r = ' '
		}
		is, length := utf8.DecodeRune(got)
		if is != r {
			return n, false
		}
		got = got[length:]
		n += size
	}
	return n, true
}

// matchHeader is matchValue of a text of the header.
func matchHeader(got []byte, want string) (n int, ok bool) {
	if string(got) == want && bytes.IndexByte(got, '\\') < 0 {
		return len(want), true
	}
	for len(got) > 0 {
		if n == len(want) {
			return n, false
		}
		r, size := utf8.DecodeRuneInString(want[n:])
		switch {
		case r == '\r' && n+1 < len(want) && want[n+1] == '\n':
			r, size = ' ', 2
		case lines.IsControl(r):
			r = ' '
		case r == '|':
			r = '_'
		case r == '\\':
			r = '/'
		}
		is, length := utf8.DecodeRune(got)
		if is != r {
			return n, false
		}
		got = got[length:]
		n += size
	}
	return n, true
}
