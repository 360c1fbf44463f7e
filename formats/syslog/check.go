package syslog

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"daybook/event"
	"daybook/formats/lines"
)

// Checker compares a syslog file with the evidence: the header, every parameter and the sentence of every message, undone. It implements formats.Checker.
//
// Parameters must stand in the order in which Encoder writes them, each once, none besides. Of the options, those that stand in the line are those of the first one and
// must be so on all; InfoLimit, and with it the room on a line, is whatever all lines agree on: a value may be cut or left out only where that room ends.
type Checker struct {
	rows  *lines.Rows
	fixed *fixed // once the first line told
	limit lines.Span
	text  []byte

	// Of the line at hand:
	row      []byte
	at       int // how much of row was read
	err      error
	controls bool // a value had control characters
}

// fixed is what every line of a file has alike.
type fixed struct {
	facility int64
	host     string // from the space before HOSTNAME to the one before MSGID
	audit    string // from the space after MSGID to the first parameter
	origin   string // from the end of the audit element to MSG
}

// NewChecker returns a Checker of the uncompressed file r.
func NewChecker(r io.Reader) *Checker {
	return &Checker{rows: lines.NewRows(r), limit: lines.AnyLimit()}
}

// Close checks that the file ends here.
func (c *Checker) Close() error { return c.rows.End() }

// Check compares the next message with e.
func (c *Checker) Check(e *event.Event) error {
	row, err := c.rows.Next(e)
	if err != nil {
		return err
	}
	c.row, c.at, c.err, c.controls = row, 0, nil, false
	if c.fixed == nil {
		if c.fixed, err = c.firstFixed(); err != nil {
			return err
		}
	}
	c.header(e)

	c.param("eventId", e.Get(event.ID))
	c.param("org", e.Get(event.Org))
	c.param("source", e.Get(event.Source))
	c.param("type", e.Get(event.Type))
	c.param("actor", e.Get(event.ActorID))
	c.param("action", e.Get(event.Action))
	c.param("outcome", e.Get(event.Outcome))
	if e.Get(event.Outcome) == event.Success {
		c.param("successStatus", "Yes")
	} else {
		c.param("successStatus", "No")
	}
	c.param("ip", e.Get(event.IP))
	c.param("objectId", e.Get(event.ObjectID))
	c.param("projectId", e.Get(event.ProjectID))
	c.param("tokenLast4", e.Get(event.TokenLast4))
	c.param("tokenLabel", e.Get(event.TokenLabel))
	c.param("errorCode", e.Get(event.ErrorCode))
	c.param("objectName", e.Get(event.ObjectName))
	c.param("projectName", e.Get(event.ProjectName))
	c.param("userAgent", e.Get(event.UserAgent))
	c.param("errorMessage", e.Get(event.ErrorMessage))
	c.info(e.Get(event.Info))
	if c.controls {
		c.constant("ctl", "1")
	}
	c.literal("structured data", c.fixed.origin)
	c.sentence(e)
	return c.err
}

func (c *Checker) rest() []byte { return c.row[c.at:] }

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

// literal reads just that text.
func (c *Checker) literal(field, want string) {
	if c.err != nil {
		return
	}
	if rest := c.rest(); len(rest) < len(want) || string(rest[:len(want)]) != want {
		c.mismatch(field, want, rest)
		return
	}
	c.at += len(want)
}

// word reads up to the next space, and that.
func (c *Checker) word() []byte {
	word, _, found := bytes.Cut(c.rest(), []byte{' '})
	c.at += len(word)
	if found {
		c.at++
	} else {
		c.malformed("the header is cut short")
	}
	return word
}

// firstFixed takes from the first line what all have alike.
func (c *Checker) firstFixed() (*fixed, error) {
	f := &fixed{}
	priority, rest, _ := strings.Cut(strings.TrimPrefix(string(c.row), "<"), ">")
	n, _ := lines.ParseInt([]byte(priority))
	f.facility = n >> 3
	words := strings.SplitN(rest, " ", 7) // version, time, host, app, process, message id, all else
	if len(words) < 7 || f.facility < 1 || f.facility > 23 {
		return nil, c.rows.Malformed("no header of RFC 5424")
	}
	host, app := words[2], words[3]
	if len(host) > maxHostname || !lines.Printable(host) || len(app) > maxAppName || !lines.Printable(app) {
		return nil, c.rows.Malformed("host or app name that RFC 5424 does not allow")
	}
	f.host = " " + host + " " + app + " - "

	number, ok := strings.CutPrefix(words[6], "[audit@")
	number = number[:len(number)-len(strings.TrimLeft(number, "0123456789"))]
	if n, is := lines.ParseInt([]byte(number)); !ok || !is || n < 1 || n > math.MaxUint32 {
		return nil, c.rows.Malformed("no element audit@ and an enterprise number")
	}
	f.audit = " [audit@" + number

	// Within a value every quote and bracket has a backslash: this is the end of the first element.
	i := strings.Index(words[6], `"][origin enterpriseId="`)
	if i < 0 {
		return nil, c.rows.Malformed("no element origin behind the element audit")
	}
	origin := words[6][i+1:]
	head := `][origin enterpriseId="` + number + `" software="Daybook" swVersion="`
	version, ok := strings.CutPrefix(origin, head)
	if !ok {
		return nil, c.rows.Mismatch("origin", head, []byte(origin))
	}
	raw, ok := value([]byte(version))
	text, undone := undo(nil, raw)
	if !ok || !undone || len(text) > maxVersion || !lines.Printable(string(text)) || !strings.HasPrefix(version[len(raw):], `"] `) {
		return nil, c.rows.Malformed("no swVersion of visible ASCII in the element origin")
	}
	f.origin = head + string(raw) + `"] `
	return f, nil
}

func (c *Checker) header(e *event.Event) {
	c.literal("PRI", "<")
	number, _, _ := bytes.Cut(c.rest(), []byte{'>'})
	want := c.fixed.facility<<3 | int64(severityOf(e))
	if n, ok := lines.ParseInt(number); !ok || n != want {
		c.mismatch("PRI", strconv.FormatInt(want, 10), number)
		return
	}
	c.at += len(number)
	c.literal("header", ">1 ")
	if c.err != nil {
		return
	}

	const form = "0000-00-00T00:00:00.000000Z"
	at := c.rest()
	at = at[:min(len(at), len(form))]
	if !lines.HasForm(at, form) {
		c.malformed("time %q: must be %s", at, form)
		return
	}
	if t, ok := lines.ParseTime(at); !ok || t.UnixMicro() != e.Time.UnixMicro() {
		c.mismatch("TIMESTAMP", string(event.AppendTime(nil, e.Time)), at)
		return
	}
	c.at += len(form)
	c.literal("header", c.fixed.host)
	if c.err != nil {
		return
	}
	if id, text := c.word(), orElse(e.Get(event.Action), e.Get(event.Type)); !isMsgID(id, text) {
		c.mismatch("MSGID", text, id)
		return
	}
	c.at-- // audit begins with the space
	c.literal("structured data", c.fixed.audit)
}

// isMsgID reports whether got is the first characters of text, those that are not visible ASCII as _.
func isMsgID(got []byte, text string) bool {
	if text == "" {
		return string(got) == "-"
	}
	n := 0
	for _, r := range text {
		if n == maxMsgID {
			break
		}
		if r <= ' ' || r > '~' {
			r = '_'
		}
		if n == len(got) || rune(got[n]) != r {
			return false
		}
		n++
	}
	return n == len(got)
}

// value returns the beginning of s up to the quote that ends the value. RFC 5424 wants a backslash before every quote, backslash and closing bracket.
func value(s []byte) (raw []byte, ok bool) {
	for i := 0; i < len(s); i++ {
		j := bytes.IndexByte(s[i:], '"')
		if j < 0 {
			return nil, false
		}
		i += j
		escaped := false
		for k := i; k > 0 && s[k-1] == '\\'; k-- {
			escaped = !escaped
		}
		if !escaped {
			return s[:i], true
		}
	}
	return nil, false
}

// undo appends a value without the backslashes of RFC 5424, which must stand just where it wants them.
func undo(dst, raw []byte) (_ []byte, ok bool) {
	for len(raw) > 0 {
		ch := raw[0]
		if ch == '\\' {
			if raw = raw[1:]; len(raw) == 0 {
				return dst, false
			}
			if ch = raw[0]; ch != '"' && ch != '\\' && ch != ']' {
				return dst, false
			}
		} else if ch == ']' {
			return dst, false
		}
		dst = append(dst, ch)
		raw = raw[1:]
	}
	return dst, true
}

// next reads the parameter of that name, if that comes next, and returns its value, which holds until the next call, and where it began and ended.
func (c *Checker) next(name string) (got []byte, begin, end int, found bool) {
	rest := c.rest()
	n := 1 + len(name) + 2
	begin = c.at + n
	if c.err != nil || len(rest) < n || rest[0] != ' ' || string(rest[1:1+len(name)]) != name || rest[n-2] != '=' || rest[n-1] != '"' {
		return nil, begin, begin, false
	}
	raw, ok := value(rest[n:])
	if !ok {
		c.malformed("%s does not end", name)
		return nil, begin, begin, false
	}
	end = begin + len(raw)
	c.at = end + 1
	if bytes.IndexByte(raw, '\\') < 0 && bytes.IndexByte(raw, ']') < 0 {
		return raw, begin, end, true
	}
	if c.text, ok = undo(c.text[:0], raw); !ok {
		c.malformed(`%s has a ] without a backslash, or a backslash before what needs none`, name)
		return nil, begin, end, false
	}
	return c.text, begin, end, true
}

// narrow takes it from the line that the room for parameters ends at offset low to high of the line.
func (c *Checker) narrow(low, high int) bool {
	beyond := len(c.fixed.origin) + tail - besideInfo // from the end of the room to InfoLimit
	if high < math.MaxInt {
		high += beyond
	}
	return c.limit.Narrow(low+beyond, high)
}

// param checks a parameter that is cut only at its limit or where the room ends, and left out only where it is empty or no room is left.
func (c *Checker) param(name, want string) {
	if want == "" || c.err != nil {
		return
	}
	whole := want[:cutAt(want, maxText)]
	got, begin, end, found := c.next(name)
	n, controls, same := match(got, whole)
	ok := same
	switch {
	case c.err != nil:
		return
	case !found:
		ok = c.narrow(math.MinInt/2, begin+width(whole)-1)
	case n < len(whole):
		ok = ok && n > 0 && c.narrow(end, end+width(whole[n:])-1)
	default:
		ok = ok && c.narrow(end, math.MaxInt)
	}
	if !ok {
		c.missing(name, want, got, found)
	}
	c.controls = c.controls || controls
}

// missing tells a wrong value from another parameter in its place.
func (c *Checker) missing(name, want string, got []byte, found bool) {
	if found {
		c.mismatch(name, want, got)
		return
	}
	c.mismatch("parameter", name, bytes.TrimPrefix(c.rest(), []byte{' '}))
}

// info checks info and, where that is not whole, infoBytes. It is cut at InfoLimit or where the room ends, whichever comes first.
func (c *Checker) info(want string) {
	if want == "" || c.err != nil {
		return
	}
	got, begin, end, found := c.next("info")
	n, controls, same := match(got, want)
	if c.err != nil {
		return
	}
	ok := same
	beyond := len(c.fixed.origin) + tail - besideInfo
	switch {
	case !found:
		ok = c.narrow(math.MinInt/2, begin+width(want)-1)
	case n == len(want):
		ok = ok && c.limit.Narrow(max(n, end+beyond), math.MaxInt)
	default:
		// By InfoLimit: that lies in [n, n+size) and there was room. By the room: it ended within the next character.
		_, size := utf8.DecodeRuneInString(want[n:])
		low, high := max(n, end+beyond), end+beyond+width(want[n:])-1
		if low < n+size {
			high = max(high, n+size-1)
		}
		ok = ok && n > 0 && c.limit.Narrow(low, high)
	}
	if !ok {
		c.missing("info", want, got, found)
	}
	c.controls = c.controls || controls
	if !found || n < len(want) {
		got, _, _, found := c.next("infoBytes")
		if n, is := lines.ParseInt(got); !is || n != int64(len(want)) {
			c.missing("infoBytes", strconv.Itoa(len(want)), got, found)
		}
	}
}

// constant checks a parameter that is never cut.
func (c *Checker) constant(name, want string) {
	got, _, _, found := c.next(name)
	if !found || string(got) != want {
		c.missing(name, want, got, found)
	}
}

// match follows got, a value without the backslashes of RFC 5424, along want, and returns how much of that it is and whether it has control
// characters there.
func match(got []byte, want string) (n int, controls, ok bool) {
	if len(got) <= len(want) && string(got) == want[:len(got)] {
		return len(got), false, true // got is clean
	}
	var escape [6]byte
	for len(got) > 0 {
		if n == len(want) {
			return n, controls, false
		}
		r, size := utf8.DecodeRuneInString(want[n:])
		n += size
		if lines.IsControl(r) {
			written := written(&escape, r)
			if !bytes.HasPrefix(got, written) {
				return n, controls, false
			}
			got = got[len(written):]
			controls = true
			continue
		}
		is, length := utf8.DecodeRune(got)
		if is != r {
			return n, controls, false
		}
		got = got[length:]
	}
	return n, controls, true
}

// written is what stands for a control character.
func written(escape *[6]byte, r rune) []byte {
	switch r {
	case '\n':
		return append(escape[:0], '\\', 'n')
	case '\r':
		return append(escape[:0], '\\', 'r')
	case '\t':
		return append(escape[:0], '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(escape[:0], '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// width is how many bytes the first character of s takes in a value.
func width(s string) int {
	r, _ := utf8.DecodeRuneInString(s)
	switch {
	case r == '"' || r == '\\' || r == ']':
		return 2
	case r == '\n' || r == '\r' || r == '\t':
		return 3 // the backslash is doubled
	case lines.IsControl(r):
		return 7
	}
	return utf8.RuneLen(r)
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

// sentence checks MSG: all that is left of the line.
func (c *Checker) sentence(e *event.Event) {
	c.words(orElse(e.Get(event.ActorID), "unknown actor"))
	c.literal("MSG", " called ")
	c.words(orElse(e.Get(event.Action), "unknown action"))
	if object := orElse(e.Get(event.ObjectID), e.Get(event.ObjectName)); object != "" {
		c.literal("MSG", " on ")
		c.words(object)
	}
	c.literal("MSG", ": ")
	c.words(orElse(e.Get(event.Outcome), event.Unknown))
	if code := e.Get(event.ErrorCode); code != "" {
		c.literal("MSG", " (")
		c.words(code)
		c.literal("MSG", ")")
	}
	if c.err == nil && c.at != len(c.row) {
		c.mismatch("MSG", "", c.rest())
	}
}

// words reads the first characters of text, those that are not ASCII as ?, and three dots if these are not all.
func (c *Checker) words(text string) {
	if c.err != nil {
		return
	}
	rest, n := c.rest(), 0
	for _, r := range text {
		if n == maxWord {
			c.at += n
			c.literal("MSG", "...")
			return
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		if n == len(rest) || rune(rest[n]) != r {
			c.mismatch("MSG", text, rest)
			return
		}
		n++
	}
	c.at += n
}
