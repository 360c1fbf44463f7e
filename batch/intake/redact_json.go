package intake

import (
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"daybook/event"
	"daybook/formats/jsontext"
)

// walker goes through JSON text and collects what to replace. It checks no more of the text than it needs to find its way, and takes any bytes for
// characters, so that it also reads records that are not valid UTF-8.
type walker struct {
	r        *Redactor
	src      []byte
	embedded int // how many strings src was wrapped in
	depth    int
	edits    []edit
	found    int
}

// edit replaces src[from:to], whole values, by text.
type edit struct {
	from, to int
	text     string
	found    int
}

// described is the mode in an object under a nameStructure's name: strings and numbers are secrets.
const described = 1

// apply returns the text with its edits.
func (w *walker) apply() string {
	if len(w.edits) == 0 {
		return string(w.src)
	}
	slices.SortFunc(w.edits, func(a, b edit) int { return a.from - b.from })
	out := make([]byte, 0, len(w.src))
	last := 0
	for _, e := range w.edits {
		out = append(append(out, w.src[last:e.from]...), e.text...)
		last = e.to
	}
	return viewString(append(out, w.src[last:]...))
}

func (w *walker) edit(from, to int, text string, found int) {
	w.edits = append(w.edits, edit{from, to, text, found})
	w.found += found
}

// value goes through the value at pos and returns where it ends.
func (w *walker) value(pos, mode int) (end int, ok bool) {
	pos = w.space(pos)
	switch w.at(pos) {
	case '{':
		return w.nested(pos, mode, w.object)
	case '[':
		return w.nested(pos, mode, w.array)
	case '"':
		end, ok = w.skipString(pos)
		if !ok {
			return pos, false
		}
		if mode == described {
			w.secret(pos, end, 0, 0)
			return end, true
		}
		s := w.str(pos, end)
		if out, n := w.r.text(s, w.embedded); n > 0 {
			w.edit(pos, end, quote(out), n)
		}
		return end, true
	}
	end, ok = w.skip(pos)
	if ok && mode == described {
		w.secret(pos, end, 0, 0)
	}
	return end, ok
}

func (w *walker) nested(pos, mode int, walk func(pos, mode int) (int, bool)) (int, bool) {
	if w.depth == jsontext.MaxDepth {
		return pos, false
	}
	w.depth++
	end, ok := walk(pos, mode)
	w.depth--
	return end, ok
}

func (w *walker) array(pos, mode int) (end int, ok bool) {
	pos = w.space(pos + 1)
	if w.at(pos) == ']' {
		return pos + 1, true
	}
	for {
		if pos, ok = w.value(pos, mode); !ok {
			return pos, false
		}
		pos = w.space(pos)
		switch w.at(pos) {
		case ']':
			return pos + 1, true
		case ',':
			pos++
		default:
			return pos, false
		}
	}
}

// neighbour is a member's value, src[from:to], in which edits[a:b] were found.
type neighbour struct{ from, to, a, b int }

func (w *walker) object(pos, mode int) (end int, ok bool) {
	var (
		labelled bool // a member says that its neighbour is a secret
		values   [4]neighbour
		n        int
	)
	pos = w.space(pos + 1)
	if w.at(pos) == '}' {
		return pos + 1, true
	}
	for {
		pos = w.space(pos)
		end, ok = w.skipString(pos)
		if !ok {
			return pos, false
		}
		name := w.str(pos, end)
		pos = w.space(end)
		if w.at(pos) != ':' {
			return pos, false
		}
		from := w.space(pos + 1)
		kind, before := w.r.kind(name), len(w.edits)
		switch end, ok = w.member(name, kind, from, mode); {
		case !ok:
			return from, false
		case kind == nameLabel && w.at(from) == '"':
			value := w.r.kind(w.str(from, end))
			labelled = labelled || value == nameSecret || value == nameStructure
		case kind == nameValue && n < len(values):
			values[n] = neighbour{from, end, before, len(w.edits)}
			n++
		}
		pos = w.space(end)
		switch w.at(pos) {
		case '}':
			if labelled {
				for _, v := range slices.Backward(values[:n]) {
					w.secret(v.from, v.to, v.a, v.b)
				}
			}
			return pos + 1, true
		case ',':
			pos++
		default:
			return pos, false
		}
	}
}

// member goes through the value at from, which has this name.
func (w *walker) member(name string, kind nameKind, from, mode int) (end int, ok bool) {
	switch {
	case kind == nameAllowed:
		return w.skip(from)
	case kind == nameStructure && w.at(from) == '{':
		return w.value(from, described)
	case kind == nameSecret || kind == nameStructure:
		if end, ok = w.skip(from); ok && !(w.at(from) == '"' && isFolder(name, w.str(from, end))) {
			w.secret(from, end, 0, 0)
		}
		return end, ok
	case mode == described && w.at(from) != '{' && w.at(from) != '[' && describes(name):
		return w.value(from, 0)
	}
	return w.value(from, mode)
}

// secret replaces the value src[from:to], unless there is nothing in it to hide: null, true, false, what is empty, what has been replaced. What was
// found inside, edits[a:b], goes with the whole.
func (w *walker) secret(from, to, a, b int) {
	text := viewString(w.src[from:to])
	switch w.src[from] {
	case '"':
		text = w.str(from, to)
		if text == "" || isTag(text) {
			return
		}
	case 'n', 't', 'f':
		return
	case '{', '[':
		if !w.holds(from, to) {
			return
		}
		text = viewString(jsontext.AppendCompact(nil, w.src[from:to]))
	}
	for _, e := range w.edits[a:b] {
		w.found -= e.found
	}
	w.edits = slices.Delete(w.edits, a, b)
	w.edit(from, to, quote(w.r.tag(text)), 1)
}

// holds reports whether the object or array src[from:to] has a string, other than a name or a tag, or a number in it.
func (w *walker) holds(from, to int) bool {
	for i := from; i < to; {
		switch c := w.src[i]; {
		case c == '"':
			end, ok := w.skipString(i)
			if !ok {
				return true
			}
			if next := w.space(end); w.at(next) == ':' {
				i = next + 1
				continue
			}
			if s := w.str(i, end); s != "" && !isTag(s) {
				return true
			}
			i = end
		case c >= '0' && c <= '9':
			return true
		default:
			i++
		}
	}
	return false
}

func (w *walker) at(i int) byte {
	if i < len(w.src) {
		return w.src[i]
	}
	return 0
}

func (w *walker) space(i int) int {
	for i < len(w.src) && (w.src[i] == ' ' || w.src[i] == '\t' || w.src[i] == '\n' || w.src[i] == '\r') {
		i++
	}
	return i
}

// skip returns where the value at pos ends.
func (w *walker) skip(pos int) (end int, ok bool) {
	switch c := w.at(pos); {
	case c == '"':
		return w.skipString(pos)
	case c == '{' || c == '[':
		return w.skipNested(pos)
	case c == '-' || c >= '0' && c <= '9' || c == 't' || c == 'f' || c == 'n':
		end = pos + 1
		for c := w.at(end); c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == 'E' || c == '.' || c == '+' || c == '-'; c = w.at(end) {
			end++
		}
		return end, true
	}
	return pos, false
}

func (w *walker) skipNested(pos int) (end int, ok bool) {
	depth := 0
	for i := pos; i < len(w.src); {
		switch w.src[i] {
		case '"':
			if i, ok = w.skipString(i); !ok {
				return pos, false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1, true
			}
		}
		i++
	}
	return pos, false
}

func (w *walker) skipString(pos int) (end int, ok bool) {
	if w.at(pos) != '"' {
		return pos, false
	}
	for i := pos + 1; i < len(w.src); i++ {
		switch w.src[i] {
		case '\\':
			i++
		case '"':
			return i + 1, true
		}
	}
	return pos, false
}

// str returns the content of the string src[from:to]. Without escapes it shares memory with src.
func (w *walker) str(from, to int) string { return unescape(viewString(w.src[from+1 : to-1])) }

func unescape(s string) string {
	i := strings.IndexByte(s, '\\')
	if i < 0 {
		return s
	}
	return viewString(jsontext.AppendUnescaped(append(make([]byte, 0, len(s)), s[:i]...), s[i:]))
}

// quote writes s as a JSON string. Unlike event.AppendQuoted it keeps bytes that are not UTF-8.
func quote(s string) string {
	if utf8.ValidString(s) {
		return viewString(event.AppendQuoted(make([]byte, 0, len(s)+2), s))
	}
	out := make([]byte, 0, len(s)+2)
	out = append(out, '"')
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf {
			out = append(out, c)
		} else {
			escaped := event.AppendQuoted(nil, s[i:i+1])
			out = append(out, escaped[1:len(escaped)-1]...)
		}
	}
	return viewString(append(out, '"'))
}

// viewBytes and viewString share the memory of their argument; the bytes must not be written to.
func viewBytes(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
