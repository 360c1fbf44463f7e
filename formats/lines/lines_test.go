package lines_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"daybook/formats/lines"
)

var styles = map[string]lines.Style{
	"csv":    {Escapes: map[byte]string{'"': `""`, '\\': `\\`}, Backslash: `\`},
	"cef":    {Escapes: map[byte]string{'=': `\=`, '\\': `\\`}},
	"header": {Escapes: map[byte]string{'|': "_", '\\': "/", '\n': " ", '\r': " "}},
	"syslog": {Escapes: map[byte]string{'"': `\"`, '\\': `\\`, ']': `\]`}, Backslash: `\\`},
}

// plainly escapes s the slow way.
func plainly(style lines.Style, s string) (string, bool) {
	var b strings.Builder
	controls := false
	spaces := style.Backslash == ""
	runes := []rune(s) // U+FFFD for what is not UTF-8
	for i, r := range runes {
		control := r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029
		controls = controls || control
		text, special := "", false
		if r < utf8.RuneSelf {
			text, special = style.Escapes[byte(r)]
		}
		backslash := style.Backslash
		if spaces {
			backslash = `\`
		}
		switch {
		case spaces && r == '\r' && i+1 < len(runes) && runes[i+1] == '\n':
		case special:
			b.WriteString(text)
		case r == '\n':
			b.WriteString(backslash + "n")
		case r == '\r':
			b.WriteString(backslash + "r")
		case control && spaces:
			b.WriteByte(' ')
		case r == '\t':
			b.WriteString(backslash + "t")
		case control:
			fmt.Fprintf(&b, "%su%04x", backslash, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), controls
}

func check(t *testing.T, s string) {
	t.Helper()
	for name, style := range styles {
		e := lines.NewEscaper(style)
		want, wantControls := plainly(style, s)
		got, controls := e.Append([]byte("before"), s)
		if string(got) != "before"+want || controls != wantControls {
			t.Errorf("%s: %q becomes %q %t, want %q %t", name, s, got, controls, want, wantControls)
		}

		whole, taken, controls := e.AppendWithin([]byte("before"), s, len(want))
		if string(whole) != "before"+want || taken != len(s) || controls != wantControls {
			t.Errorf("%s: with room %q becomes %q %t, want %q %t", name, s, whole, controls, want, wantControls)
		}
		room := len(want) / 2
		part, taken, _ := e.AppendWithin(nil, s, room)
		if rest, _ := e.Append(nil, s[taken:]); len(part) > room || string(part)+string(rest) != want {
			t.Errorf("%s: in %d bytes %q becomes %q and leaves %q", name, room, s, part, s[taken:])
		}
	}
}

func TestEscaper(t *testing.T) {
	for c := range rune(0x100) {
		for at := range 9 {
			check(t, strings.Repeat("a", at)+string(c)+strings.Repeat("b", 9))
		}
	}
	for _, s := range []string{
		"", "\u2028", "\u2029", "\u202a", "\u00a0", "\xff", "\xe2\x80", "\xe2\x80\xa8", "é\xffé", "\r\n", "\n\r", "\r\r\n", "\ufffd", "\ufeff", "🧬",
		strings.Repeat("x", 1023) + "\r\n", strings.Repeat("x", 1022) + "\r\n", strings.Repeat("x", 1024) + "\r\n", strings.Repeat("é\n", 2000),
		strings.Repeat("x", 1022) + "🧬" + "\r\n", strings.Repeat("\x80", 3000), strings.Repeat("🧬", 1000), strings.Repeat("\x01", 5000),
	} {
		check(t, s)
	}
}

func FuzzEscaper(f *testing.F) {
	f.Add("a\"b\\c=d]e|f\x00\x7f\u0085\u2028\xff")
	f.Fuzz(func(t *testing.T, s string) {
		check(t, s)
		check(t, strings.Repeat("x", 1020)+s)
	})
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		text  string
		limit int
		want  string
		cut   bool
	}{
		{"abc", 3, "abc", false},
		{"abcd", 3, "abc", true},
		{"aé", 2, "a", true},
		{"aé", 3, "aé", false},
		{"🧬🧬", 7, "🧬", true},
		{"🧬", 3, "", true},
		{"", 0, "", false},
	} {
		if got, cut := lines.Cut(tt.text, tt.limit); got != tt.want || cut != tt.cut {
			t.Errorf("Cut(%q, %d) is %q %t, want %q %t", tt.text, tt.limit, got, cut, tt.want, tt.cut)
		}
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]bool{"": false, "host-1.example": true, "a b": false, "é": false, "a\x7f": false, "!~": true,
		"abcdefghijklmnop": true, "abcdefg\x7fijk": false, "abcdefg ijk": false, "abcdefgéijk": false, "abcdefghij k": false,
	} {
		if got := lines.Printable(s); got != want {
			t.Errorf("Printable(%q) is %t", s, got)
		}
	}
}

type sizes struct {
	bytes.Buffer
	writes []int
	err    error
}

func (s *sizes) Write(p []byte) (int, error) {
	s.writes = append(s.writes, len(p))
	if s.err != nil {
		return 0, s.err
	}
	return s.Buffer.Write(p)
}

func TestWriterCollects(t *testing.T) {
	var out sizes
	w := lines.NewWriter(&out, nil)
	line := strings.Repeat("x", 999) + "\n"
	for range 200 {
		if err := w.Commit(append(w.Buffer(), line...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(append(w.Buffer(), make([]byte, 3<<20)...)); err != nil {
		t.Fatal(err)
	}
	if cap(w.Buffer()) > 1<<20 {
		t.Errorf("a buffer of %d bytes is kept", cap(w.Buffer()))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.Len(), 200*1000+3<<20; got != want {
		t.Errorf("%d bytes written, want %d", got, want)
	}
	if len(out.writes) != 4 || out.writes[0] < 64<<10 || out.writes[0] > 66<<10 {
		t.Errorf("writes of %v bytes", out.writes)
	}
}

func TestWriterKeepsItsError(t *testing.T) {
	full := errors.New("no space left")
	out := &sizes{err: full}
	w := lines.NewWriter(out, nil)
	if err := w.Commit(append(w.Buffer(), make([]byte, 70<<10)...)); !errors.Is(err, full) {
		t.Errorf("Commit says %v", err)
	}
	if err := w.Commit(append(w.Buffer(), 'x')); !errors.Is(err, full) {
		t.Errorf("the next Commit says %v", err)
	}
	if err := w.Flush(); !errors.Is(err, full) || len(out.writes) != 1 {
		t.Errorf("Flush says %v after %d writes", err, len(out.writes))
	}

	wrong := errors.New("wrong option")
	w = lines.NewWriter(out, wrong)
	if err := w.Commit(append(w.Buffer(), 'x')); !errors.Is(err, wrong) {
		t.Errorf("Commit says %v", err)
	}
	if err := w.Flush(); !errors.Is(err, wrong) || len(out.writes) != 1 {
		t.Errorf("Flush says %v", err)
	}
}
