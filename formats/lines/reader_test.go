package lines_test

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/lines"
	"daybook/internal/effort"
)

// readers are ways in which the same text may come.
var readers = map[string]func(io.Reader) io.Reader{
	"whole":    func(r io.Reader) io.Reader { return r },
	"by byte":  iotest.OneByteReader,
	"by half":  iotest.HalfReader,
	"with EOF": iotest.DataErrReader,
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 300_000)
	for _, tt := range []struct {
		text  string
		limit int
		want  string // lines in brackets, errors in words
	}{
		{"", 10, "EOF"},
		{"\n", 10, "[] EOF"},
		{"a\nbc\n\n", 10, "[a] [bc] [] EOF"},
		{"a\nbc", 10, "[a] no end EOF"},
		{"abc\nabcd\nab\n", 3, "[abc] too long [ab] EOF"},
		{"abcd", 3, "too long EOF"},
		{"\n\n", 0, "[] [] EOF"},
		{"a\r\n", 10, "[a\r] EOF"},
		{long + "\n" + long + "y\nz\n", 300_000, "[" + long + "] too long [z] EOF"},
		{strings.Repeat(long+"\n", 3), 10, "too long too long too long EOF"},
		{"z\n" + long, 300_000, "[z] no end EOF"},
	} {
		for name, as := range readers {
			r := lines.NewReader(as(strings.NewReader(tt.text)))
			var got []string
			for len(got) < 10 {
				line, err := r.Next(tt.limit)
				if err == io.EOF {
					got = append(got, "EOF")
					break
				}
				switch {
				case errors.Is(err, lines.ErrTooLong):
					got = append(got, "too long")
				case errors.Is(err, lines.ErrNoEnd):
					got = append(got, "no end")
				case err != nil:
					t.Fatal(err)
				default:
					got = append(got, "["+string(line)+"]")
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("%.30q at most %d, %s: %.60q, want %.60q", tt.text, tt.limit, name, got, tt.want)
			}
		}
	}
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	r := lines.NewReader(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)))
	if line, err := r.Next(10); string(line) != "a" || err != nil {
		t.Errorf("%q %v", line, err)
	}
	for range 2 {
		if _, err := r.Next(10); !errors.Is(err, broken) {
			t.Errorf("a broken reader: %v", err)
		}
	}
	if _, err := lines.NewReader(idle{}).Next(10); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// endless gives a file without any LF.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left -= len(p); e.left < 0 {
		return 0, io.EOF
	}
	return len(p), nil // zeroes
}

func TestReaderMemory(t *testing.T) {
	effort.NeedsLong(t)
	const limit = 1 << 20
	n := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := lines.NewReader(&endless{64 << 20}).Next(limit); !errors.Is(err, lines.ErrTooLong) {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if n > 5*limit { // 128 KiB, 256 KiB, …, 2 MiB
		t.Errorf("%d bytes for a line that is too long", n)
	}
}

func FuzzUnclean(f *testing.F) {
	for _, s := range []string{"", "plain text, long enough", "1234567\x7f", "1234567é", "\u0085", "\u2028", "é\xff", "\xe2\x80", "\ufffd", "🧬🧬🧬\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want := -1
		for i, r := range string(b) {
			broken := r == utf8.RuneError && !strings.HasPrefix(string(b[i:]), "\ufffd")
			if broken || lines.IsControl(r) {
				want = i
				break
			}
		}
		if got := lines.Unclean(b); got != want {
			t.Errorf("%q: %d, want %d", b, got, want)
		}
	})
}

func TestSame(t *testing.T) {
	for _, tt := range []struct {
		got, want string
		same      bool
	}{
		{"", "", true}, {"a", "a", true}, {"a", "b", false}, {"\ufffd", "\xff", true}, {"\ufffd", "\ufffd", true}, {"\ufffd\ufffda", "\xe2\x80a", true},
		{"\ufffd", "\xff\xff", false}, {"\ufffd\ufffd", "\xff", false}, {"b\ufffd", "a\xff", false}, {"", "\xff", false}, {"\ufffd", "", false},
	} {
		if lines.Same([]byte(tt.got), tt.want) != tt.same {
			t.Errorf("Same(%q, %q) is %t", tt.got, tt.want, !tt.same)
		}
	}
}

func TestParseInt(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "7": 7, "-7": -7, "1773153045123": 1773153045123, "-1": -1} {
		if n, ok := lines.ParseInt([]byte(s)); !ok || n != want {
			t.Errorf("%s: %d %t", s, n, ok)
		}
	}
	for _, s := range []string{"", "-", "-0", "00", "01", "-01", "+1", " 1", "1 ", "1a", "0x1", "1234567890123456789", "--1"} {
		if n, ok := lines.ParseInt([]byte(s)); ok {
			t.Errorf("%q is taken for %d", s, n)
		}
	}
}

func TestHasForm(t *testing.T) {
	const form = "0000-00T"
	for s, want := range map[string]bool{"1999-09T": true, "0000-00T": true, "1999-09t": false, "199a-09T": false, "1999/09T": false, "1999-09": false, "1999-0:T": false} {
		if lines.HasForm([]byte(s), form) != want {
			t.Errorf("%s: %t", s, !want)
		}
	}
}

func TestSpan(t *testing.T) {
	s := lines.AnyLimit()
	if s.Low != 1 || s.High != math.MaxInt {
		t.Errorf("%+v", s)
	}
	for _, tt := range []struct {
		low, high int
		left      bool
		want      lines.Span
	}{{-5, 100, true, lines.Span{Low: 1, High: 100}}, {10, math.MaxInt, true, lines.Span{Low: 10, High: 100}}, {100, 100, true, lines.Span{Low: 100, High: 100}}, {0, 99, false, lines.Span{Low: 100, High: 99}}} {
		if left := s.Narrow(tt.low, tt.high); left != tt.left || s != tt.want {
			t.Errorf("%+v: %t %+v", tt, left, s)
		}
	}
}

func TestRows(t *testing.T) {
	var e event.Event
	e.Time = time.Unix(0, 0)
	rows := lines.NewRows(strings.NewReader("head\na\nb\x01\n" + strings.Repeat("x", 5000) + "\nc\nd"))
	if head, err := rows.Header(4); head != "head" || err != nil {
		t.Errorf("%q %v", head, err)
	}
	for _, want := range []string{"a", "row 2: a control character or broken UTF-8 at byte 1: \"\\x01\"", "row 3: longer than the evidence's event can be", "c"} {
		line, err := rows.Next(&e)
		if got := string(line); err != nil && err.Error() != want || err == nil && got != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	long := strings.Repeat("é", 100)
	var mismatch *formats.Mismatch
	if err := rows.Mismatch("f", "x"+long, []byte(long)); !errors.As(err, &mismatch) || mismatch.Row != 4 || mismatch.Want != "x"+long[:78] || mismatch.Got != long[:80] {
		t.Errorf("%+v", mismatch)
	}
	if err := rows.End(); err == nil || err.Error() != "row 5: the file ends within the row" {
		t.Errorf("End says %v", err)
	}
	if _, err := rows.Next(&e); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Next after the last says %v", err)
	}
	if err := lines.NewRows(strings.NewReader(strings.Repeat("x", 1<<20))).End(); !errors.As(err, &mismatch) || mismatch.Row != 1 {
		t.Errorf("End before a long row says %v", err)
	}
}
