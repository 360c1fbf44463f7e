package frame_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"daybook/formats"
	"daybook/formats/frame"
)

type result struct {
	Records []string // line:text, with an ellipsis where a long record is cut
	Err     string
}

const limit = 64

func collect(t *testing.T, records iter.Seq2[formats.Record, error]) result {
	t.Helper()
	var got result
	for rec, err := range records {
		if err != nil {
			got.Err = err.Error()
			continue
		}
		if got.Err != "" {
			t.Errorf("record %q after error %s", rec.Data, got.Err)
		}
		text := string(rec.Data)
		if rec.Rest != nil {
			rest, err := io.ReadAll(rec.Rest)
			if err != nil {
				text += "<" + err.Error() + ">"
			}
			if string(rec.Data) != text {
				t.Errorf("Data became %q while Rest was read", rec.Data)
			}
			text += "…" + string(rest)
		}
		got.Records = append(got.Records, fmt.Sprintf("%d:%s", rec.Line, text))
	}
	return got
}

// each runs split over input in the ways that a reader may cut it.
func each(t *testing.T, input string, split func(io.Reader) iter.Seq2[formats.Record, error]) result {
	t.Helper()
	want := collect(t, split(strings.NewReader(input)))
	for name, r := range map[string]io.Reader{
		"one byte":        iotest.OneByteReader(strings.NewReader(input)),
		"halves":          iotest.HalfReader(strings.NewReader(input)),
		"data with error": iotest.DataErrReader(strings.NewReader(input)),
	} {
		if diff := cmp.Diff(want, collect(t, split(r))); diff != "" {
			t.Errorf("%s: differs from one read (-one read +got):\n%s", name, diff)
		}
	}
	return want
}

func TestLines(t *testing.T) {
	x := strings.Repeat("x", limit)
	tests := []struct {
		name, input string
		want        []string
	}{
		{"empty", "", nil},
		{"blank", "\n \r\n\n", nil},
		{"plain", "a\nb\n", []string{"1:a", "2:b"}},
		{"last without line feed", "a\nb", []string{"1:a", "2:b"}},
		{"CRLF and blank lines", "a\r\n\r\n \n b \r\nc\r\n", []string{"1:a", "4:b", "5:c"}},
		{"mark", "\ufeffa\nb\n", []string{"1:a", "2:b"}},
		{"mark only", "\ufeff", nil},
		{"two bytes", "ab", []string{"1:ab"}},
		{"NUL", "a\x00b\nc", []string{"1:a\x00b", "2:c"}},
		{"at the limit", x + "\n" + x + "\r\n" + x, []string{"1:" + x, "2:" + x, "3:" + x}},
		{"over the limit", "a\n" + x + "y\nb\n", []string{"1:a", "2:" + x + "…y", "3:b"}},
		{"over the limit, CRLF", x + "yz\r\nb\r\n", []string{"1:" + x + "…yz", "2:b"}},
		{"over the limit at the end", "a\n" + x + x + "z", []string{"1:a", "2:" + x + "…" + x + "z"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := each(t, test.input, func(r io.Reader) iter.Seq2[formats.Record, error] { return frame.Lines(r, limit) })
			if diff := cmp.Diff(result{Records: test.want}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

const noEnd = "the array of records has no end: unexpected EOF"

func TestJSON(t *testing.T) {
	x := strings.Repeat("x", limit)
	tests := []struct {
		name, input string
		want        []string
		err         string
	}{
		{"empty", "", nil, ""},
		{"wrapped", `{"Records":[{"a":1},{"b":[2,{"c":"]}"}]}]}`, []string{`1:{"a":1}`, `1:{"b":[2,{"c":"]}"}]}`}, ""},
		{"wrapped, pretty", "{\n  \"Records\" : [\n    {\n      \"a\": 1\n    },\n    {\"b\": 2}\n  ]\n}\n", []string{"3:{\n      \"a\": 1\n    }", `6:{"b": 2}`}, ""},
		{"wrapped, elements at the start of lines", "{\"Records\":[\n{\"a\":1},\n{\"b\":2}\n]}\n", []string{`2:{"a":1}`, `3:{"b":2}`}, ""},
		{"wrapped, other members", `{"Version":"1","x":{"Records":[3]},"Records":[{"a":1}],"NextToken":"]\"}","y":[{}]}`, []string{`1:{"a":1}`}, ""},
		{"wrapped, both arrays", `{"Records":[1],"x":"` + x + x + `","Events":[2],"z":0}{"c":3}`, []string{"1:1", "1:2", `1:{"c":3}`}, ""},
		{"wrapped, none", `{"Records":[]}`, nil, ""},
		{"wrapped, one after the other", `{"Records":[{"a":1}]}{"Records":[{"b":2}]}` + "\n" + `{"Events":[{"c":3}]}`, []string{`1:{"a":1}`, `1:{"b":2}`, `2:{"c":3}`}, ""},
		{"name as a value", `{"x":"Records","y":[1]}`, []string{`1:{"x":"Records","y":[1]}`}, ""},
		{"named, but no array", `{"Records":{"a":[1]}}`, []string{`1:{"Records":{"a":[1]}}`}, ""},
		{"named, but null", `{"Records":null}`, []string{`1:{"Records":null}`}, ""},
		{"too much before the array", `{"x":"` + x + `","Records":[1]}`, []string{`1:{"x":"` + x[:limit-6] + "…" + x[limit-6:] + `","Records":[1]}`}, ""},
		{"array", `[{"a":1} , {"b":2}]`, []string{`1:{"a":1}`, `1:{"b":2}`}, ""},
		{"array of all kinds", `[1,-2.5e3 , "a\"]\\",null,[[1],"[" ],{}]`, []string{"1:1", "1:-2.5e3", `1:"a\"]\\"`, "1:null", `1:[[1],"[" ]`, "1:{}"}, ""},
		{"array, bad elements", `[{"a":1},{"a" 2},nul,{"b":2}}:,{"c":3},]`, []string{`1:{"a":1}`, `1:{"a" 2}`, `1:nul`, `1:{"b":2}`, "1:}:", `1:{"c":3}`}, ""},
		{"array without an end", `[{"a":1},{"b":`, []string{`1:{"a":1}`, `1:{"b":`}, noEnd},
		{"array without an end, after a whole one", `[{"a":1}`, []string{`1:{"a":1}`}, noEnd},
		{"wrapped, without an end", "{\"Records\":[{\"a\":1},\n{\"b\":\"x", []string{`1:{"a":1}`, `2:{"b":"x`}, noEnd},
		{"wrapped, without its end", `{"Records":[{"a":1}], "x`, []string{`1:{"a":1}`}, "the object around the records has no end: unexpected EOF"},
		{"lines", "{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}", []string{`1:{"a":1}`, `2:{"b":2}`, `4:{"c":3}`}, ""},
		{"lines, mark", "\ufeff{\"a\":1}\n", []string{`1:{"a":1}`}, ""},
		{"lines, broken ones", "{\"a\":1}\n{\"b\":\n{\"c\":\"3\nhello\n{\"d\":4}}\n{\"e\":5}\n", []string{`1:{"a":1}`, `2:{"b":`, `3:{"c":"3`, "4:hello", `5:{"d":4}}`, `6:{"e":5}`}, ""},
		{"lines, the first broken in a string", "{\"a\":\"1\n{\"b\":2}\n{\"c\":3}\n", []string{`1:{"a":"1`, `2:{"b":2}`, `3:{"c":3}`}, ""},
		{"lines, the first broken behind a colon", "{\"a\":\n{\"b\":2}\n{\"c\":\n{\"d\":4}\n", []string{`1:{"a":`, `2:{"b":2}`, `3:{"c":`, `4:{"d":4}`}, ""},
		{"lines, the first two broken", "{\"a\":\n{\"b\":[1,\n{\"c\":2}\n", []string{`1:{"a":`, `2:{"b":[1,`, `3:{"c":2}`}, ""},
		{"lines, the first broken behind a value", "{\"a\":{\"x\":1}\r\n{\"b\":2}\n", []string{`1:{"a":{"x":1}`, `2:{"b":2}`}, ""},
		{"lines, the first no JSON", "hello {\n{\"b\":2}\n", []string{`1:hello {`, `2:{"b":2}`}, ""},
		{"lines that name an array within", "{\"a\":1}\n{\"x\":{\"Records\":[1]}} y\n{\"x\":\"Records\n{\"b\":2}\n", []string{`1:{"a":1}`, `2:{"x":{"Records":[1]}} y`, `3:{"x":"Records`, `4:{"b":2}`}, ""},
		{"lines of wrapped ones", "{\"Events\":[{\"a\":1}]}\n{\"Events\":[{\"b\":2},{\"c\":3}]}\n", []string{`1:{"a":1}`, `2:{"b":2}`, `2:{"c":3}`}, ""},
		{"lines, then a wrapped one", "{\"a\":1}\n{\"Events\":[{\"b\":2}]}\n{\"c\":3}\n", []string{`1:{"a":1}`, `2:{"b":2}`, `3:{"c":3}`}, ""},
		{"lines, a long one", "{\"a\":1}\n{\"" + x + "\":1}\n{\"b\":2}\n", []string{`1:{"a":1}`, `2:{"` + x[2:] + "…" + x[:2] + `":1}`, `3:{"b":2}`}, ""},
		{"a wrapped one longer than the limit", "{\"a\":1}\n{\"Records\":[{\"b\":2},{\"c\":\"" + x[:50] + "\"}]}\n", []string{`1:{"a":1}`, `2:{"b":2}`, `2:{"c":"` + x[:50] + `"}`}, ""},
		{"one after the other", `{"a":1}{"b":2} {"c":3}`, []string{`1:{"a":1}`, `1:{"b":2}`, `1:{"c":3}`}, ""},
		{"pretty, one after the other", "{\n \"a\": [\n{\n}\n]\n}\n{\n \"b\": 2}\n", []string{"1:{\n \"a\": [\n{\n}\n]\n}", "7:{\n \"b\": 2}"}, ""},
		{"one without an end", `{"a":1}{"b":`, []string{`1:{"a":1}`, `1:{"b":`}, ""},
		{"long element", `[{"a":1},{"b":"` + x + `"},{"c":3}]`, []string{`1:{"a":1}`, `1:{"b":"` + x[:limit-6] + "…" + x[:6] + `"}`, `1:{"c":3}`}, ""},
		{"long element without an end", `[{"a":1},{"b":"` + x, []string{`1:{"a":1}`, `1:{"b":"` + x[:limit-6] + "…" + x[:6]}, noEnd},
		{"element at the limit", `["` + x[2:] + `","` + x[1:] + `"]`, []string{`1:"` + x[2:] + `"`, `1:"` + x[1:] + `…"`}, ""},
		{"digest", `{"awsAccountId":"1","logFiles":[]}`, []string{`1:{"awsAccountId":"1","logFiles":[]}`}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := each(t, test.input, splitJSON(limit))
			if diff := cmp.Diff(result{test.want, test.err}, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func splitJSON(limit int) func(io.Reader) iter.Seq2[formats.Record, error] {
	return func(r io.Reader) iter.Seq2[formats.Record, error] { return frame.JSON(r, limit, "Records", "Events") }
}

func TestTruncationIsUnexpectedEOF(t *testing.T) {
	for _, input := range []string{`[1`, `{"Records":[`, `{"Records":[]`} {
		var last error
		for _, err := range frame.JSON(strings.NewReader(input), limit, "Records") {
			last = err
		}
		if !errors.Is(last, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", input, last)
		}
	}
}

func TestReadErrorComesLast(t *testing.T) {
	broken := errors.New("broken disk")
	inputs := []string{`{"Records":[{"a":1},{"b":`, "[1,", "{\"a\":1}\n{\"b\":", `{"a":1}`, `{"Records":[{"a":1}],"x"`, "[\"" + strings.Repeat("y", 2*limit), ""}
	for _, input := range inputs {
		for _, split := range []func(io.Reader) iter.Seq2[formats.Record, error]{
			splitJSON(limit), func(r io.Reader) iter.Seq2[formats.Record, error] { return frame.Lines(r, limit) },
		} {
			var n int
			var last error
			for rec, err := range split(io.MultiReader(strings.NewReader(input), iotest.ErrReader(broken))) {
				if last != nil {
					t.Errorf("%q: goes on after %v", input, last)
				}
				n += len(rec.Data)
				last = err
			}
			if !errors.Is(last, broken) || (n == 0) != (input == "") {
				t.Errorf("%q: %d bytes of records, then %v", input, n, last)
			}
		}
	}
}

func TestReaderThatGivesNothing(t *testing.T) {
	for _, err := range frame.Lines(iotest.ErrReader(nil), limit) {
		if !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("got %v", err)
		}
		return
	}
	t.Error("no error")
}

func TestStopsWhenAsked(t *testing.T) {
	x := strings.Repeat("x", 2*limit)
	for _, input := range []string{"[1,2]", `{"Records":[1,2],"Events":[3]}`, "{}\n{}\n", "{}{}", x + "\n1\n", `["` + x + `",1]`, `{"Records":[1]}{}`} {
		n := 0
		for range frame.JSON(strings.NewReader(input), limit, "Records") {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%q: %d records", input, n)
		}
	}
}

func TestRestIsOverWithItsRecord(t *testing.T) {
	var rest io.Reader
	for rec, err := range frame.Lines(strings.NewReader(strings.Repeat("x", 2*limit)+"\nb\n"), limit) {
		if err != nil {
			t.Fatal(err)
		}
		if rest == nil {
			rest = rec.Rest
			continue
		}
		if n, err := rest.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Errorf("Read after its time: %d, %v", n, err)
		}
		if string(rec.Data) != "b" {
			t.Errorf("got %q", rec.Data)
		}
	}
}

// giant is an array of records of n bytes or more, made as it is read.
func giant(n int) io.Reader {
	element := []byte(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/x","tags":[1,2,{"a":null}]},"x":"y\"z"},` + "\n")
	block := bytes.Repeat(element, 1000)
	readers := []io.Reader{strings.NewReader(`{"Records":[`)}
	for range n/len(block) + 1 {
		readers = append(readers, bytes.NewReader(block))
	}
	return io.MultiReader(append(readers, strings.NewReader(`{}]}`))...)
}

func TestMemoryIsConstant(t *testing.T) {
	const size = 48 << 20
	tests := []struct {
		name    string
		input   io.Reader
		limit   int
		records int
		most    uint64
	}{
		{"a giant array", giant(size), 16 << 20, size / 140, 2 << 20},
		{"a giant record", io.MultiReader(strings.NewReader(`["`), io.LimitReader(endless('x'), size), strings.NewReader(`",1]`)), 1 << 20, 2, 8 << 20},
		{"a giant line", io.MultiReader(strings.NewReader("{}\n"), io.LimitReader(endless('x'), size), strings.NewReader("\n{}\n")), 1 << 20, 3, 8 << 20},
		{"a giant tail", io.MultiReader(strings.NewReader(`{"Records":[1],"`), io.LimitReader(endless('x'), size), strings.NewReader(`":[2],"Records":[3]}`)), 1 << 20, 2, 2 << 20},
		{"giant white space", io.MultiReader(strings.NewReader(`[1`), io.LimitReader(endless(' '), size), strings.NewReader(`,2]`)), 1 << 20, 2, 2 << 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n := 0
			for _, err := range frame.JSON(test.input, test.limit, "Records") {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > test.most || n < test.records || n > test.records*2 {
				t.Errorf("%d records with %d bytes of memory; want %d at least, with %d at most", n, used, test.records, test.most)
			}
		})
	}
}

// endless reads as one byte over and over.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\r\n\n c"), 3)
	f.Add([]byte("\ufeffaaaaaaaaaaaaa\rb\r\r\n"), 5)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = min(max(limit, 1), 1000)
		var want []string
		for i, line := range strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
			if line = strings.Trim(line, " \t\r"); line != "" {
				want = append(want, fmt.Sprintf("%d:%s", i+1, line))
			}
		}
		got := each(t, string(data), func(r io.Reader) iter.Seq2[formats.Record, error] { return frame.Lines(r, limit) })
		for i := range got.Records {
			got.Records[i] = strings.TrimRight(strings.Replace(got.Records[i], "…", "", 1), " \t\r")
		}
		if strings.Contains(string(data), "…") {
			return
		}
		if diff := cmp.Diff(want, got.Records); diff != "" || got.Err != "" {
			t.Errorf("%s (-want +got):\n%s", got.Err, diff)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"Records":[{"a":1},"x",[]],"b":2}`, "{\"a\":1}\n{\"b\":\n{}\n", `[1,"\"]",{"a":[{}]}]`, `{"a":1}{"Events":[1]}`, "{\"a\":\"\n{}", `{"Records":[1],"Events":[2`, "{\n{", "[}}",
	} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 1000)
	}
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = min(max(limit, 1), 1000)
		each(t, string(data), splitJSON(limit))

		// Records stand in the input one behind the other, and without arrays to look for nothing but white space and separators is between them.
		at := 0
		for rec, err := range frame.JSON(bytes.NewReader(data), limit) {
			if err != nil {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				continue
			}
			text := bytes.Clone(rec.Data)
			if rec.Rest != nil {
				more, err := io.ReadAll(rec.Rest)
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, more...)
			} else if len(text) > limit {
				t.Errorf("record of %d bytes", len(text))
			}
			i := bytes.Index(data[at:], text)
			if i < 0 || strings.Trim(strings.TrimPrefix(string(data[at:at+i]), "\ufeff"), " \t\r\n,[]") != "" {
				t.Fatalf("%q does not go on with %q", data[at:], text)
			}
			if want := 1 + bytes.Count(data[:at+i], []byte("\n")); rec.Line != want {
				t.Errorf("%q on line %d, want %d", text, rec.Line, want)
			}
			at += i + len(text)
		}
		if left := strings.Trim(string(data[at:]), " \t\r\n,[]\ufeff"); left != "" {
			t.Errorf("%q is left over", left)
		}
		if !json.Valid(data) {
			return
		}
		var want []json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil {
			var wrapped struct{ Records []json.RawMessage }
			if !bytes.HasPrefix(data, []byte(`{"Records":[`)) || bytes.Contains(data, []byte("Events")) || bytes.Count(bytes.ToLower(data), []byte("records")) > 1 || bytes.ContainsRune(data, '\\') {
				return
			}
			if err := json.Unmarshal(data, &wrapped); err != nil {
				t.Fatal(err)
			}
			want = wrapped.Records
		}
		if limit < 12 {
			return
		}
		i := 0
		for rec, err := range frame.JSON(bytes.NewReader(data), limit, "Records") {
			if err != nil {
				t.Fatal(err)
			}
			text := bytes.Clone(rec.Data)
			if rec.Rest != nil {
				more, _ := io.ReadAll(rec.Rest)
				text = append(text, more...)
			}
			if i >= len(want) || !bytes.Equal(text, want[i]) {
				t.Fatalf("record %d is %q, want one of %q", i, text, want)
			}
			i++
		}
		if i != len(want) {
			t.Errorf("%d records of %q", i, want)
		}
	})
}

func benchmark(b *testing.B, data []byte, split func(io.Reader) iter.Seq2[formats.Record, error]) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range split(bytes.NewReader(data)) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func record(space string) []byte {
	return []byte(strings.ReplaceAll(`{"eventVersion":"1.08",~"userIdentity":{"type":"AssumedRole",~"principalId":"AROAEXAMPLE0000000001:session-7",~"arn":"arn:aws:sts::123456789012:assumed-role/deploy/session-7",~"accountId":"123456789012",~"accessKeyId":"ASIAEXAMPLE00000007","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::123456789012:role/deploy"},~"attributes":{"creationDate":"2026-03-10T08:00:00Z",~"mfaAuthenticated":"false"}}},~"eventTime":"2026-03-10T10:11:12Z",~"eventSource":"s3.amazonaws.com",~"eventName":"GetObject",~"awsRegion":"eu-central-1",~"sourceIPAddress":"192.0.2.7",~"userAgent":"aws-cli/2.13.5 Python/3.11.4",~"requestParameters":{"bucketName":"b",~"key":"a/b/c.csv",~"Host":"b.s3.amazonaws.com"},~"responseElements":null,~"eventID":"0d5a6b9c-0000-4000-8000-000000000007",~"readOnly":true,~"recipientAccountId":"123456789012"}`, "~", space))
}

func BenchmarkLines(b *testing.B) {
	data := bytes.Repeat(append(record(""), '\n'), 40_000)
	benchmark(b, data, func(r io.Reader) iter.Seq2[formats.Record, error] { return frame.Lines(r, 16<<20) })
}

func BenchmarkJSONLines(b *testing.B) {
	benchmark(b, bytes.Repeat(append(record(""), '\n'), 40_000), splitJSON(16<<20))
}

func BenchmarkJSONArray(b *testing.B) {
	data := append([]byte(`{"Records":[`), bytes.Repeat(append(record(""), ','), 40_000)...)
	benchmark(b, append(data, "{}]}"...), splitJSON(16<<20))
}

func BenchmarkJSONPrettyArray(b *testing.B) {
	data := append([]byte(`{"Records":[`), bytes.Repeat(append(record("\n        "), ",\n"...), 30_000)...)
	benchmark(b, append(data, "{}]}"...), splitJSON(16<<20))
}
