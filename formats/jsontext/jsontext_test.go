package jsontext_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"daybook/formats/jsontext"
)

func TestParseAcceptsWhatTheStandardAccepts(t *testing.T) {
	texts := []string{
		`{}`, `[]`, `""`, `0`, `-0`, `1.5e+10`, `01`, `1.`, `.5`, `-`, `1e`, `true`, `tru`, `null`, `nul`, `nullx`, `{"a":1,}`, `[1,]`, `[1 2]`,
		`{"a" 1}`, `{"a":}`, `{a:1}`, `{"a":1 "b":2}`, `"\u12"`, `"\u12g4"`, `"\x"`, "\"a\nb\"", "\"\x00\"", `"\ud83d\ude00"`, `"unterminated`,
		` [ 1 , { "x" : [ ] } ] `, `[]]`, ``, ` `, `"12345678"`, `"1234567\""`, `"abcdefgh\\"`, `{"a":{"b":{"c":[1,2,{"d":null}]}}}`, `[true,false]`, `"é"`,
		`{"":""}`, `[[[[[[]]]]]]`, `[[`, `{"a":"b"`, "\ufeff{}", `"` + strings.Repeat("x", 100) + "\x1f" + `"`, `"` + strings.Repeat("x", 7) + "\x7f" + `"`,
	}
	for _, text := range texts {
		_, err := jsontext.Parse([]byte(text))
		if (err == nil) != json.Valid([]byte(text)) {
			t.Errorf("Parse(%q) = %v, but json.Valid says %v", text, err, json.Valid([]byte(text)))
		}
	}
}

func TestDepthIsBounded(t *testing.T) {
	for depth, ok := range map[int]bool{jsontext.MaxDepth: true, jsontext.MaxDepth + 1: false, 1_000_000: false} {
		text := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		if _, err := jsontext.Parse([]byte(text)); (err == nil) != ok {
			t.Errorf("depth %d: %v, want ok %v", depth, err, ok)
		}
	}
}

func TestInvalidUTF8IsItsOwnError(t *testing.T) {
	_, err := jsontext.Parse([]byte("{\"a\":\"b\xffc\"}"))
	if !errors.Is(err, jsontext.ErrUTF8) {
		t.Errorf("got %v, want ErrUTF8", err)
	}
}

func TestMembersKeepOrderTextAndDuplicates(t *testing.T) {
	m := jsontext.MembersOf([]byte(` {"n":12345678901234567890, "s":"a\"b", "s":1.50, "o":{"k" : [1]}} `))
	var got []string
	for m.Next() {
		got = append(got, m.Name+"="+m.Value.TextString())
	}
	want := []string{`n=12345678901234567890`, `s="a\"b"`, `s=1.50`, `o={"k" : [1]}`}
	if m.Err() != nil || strings.Join(got, ";") != strings.Join(want, ";") {
		t.Errorf("got %q, %v; want %q", got, m.Err(), want)
	}
}

func TestMembersReportsTextAfterTheObject(t *testing.T) {
	for _, text := range []string{`{"a":1} x`, `{} {}`, `[]`, `{"a":1`, `{"a":1,}`} {
		m := jsontext.MembersOf([]byte(text))
		for m.Next() {
		}
		if m.Err() == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestElements(t *testing.T) {
	v, err := jsontext.Parse([]byte(`[1, "two", {"three":3}, []]`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	e := v.Elements()
	for e.Next() {
		got = append(got, e.Value.TextString())
	}
	if e.Err() != nil || strings.Join(got, "|") != `1|"two"|{"three":3}|[]` {
		t.Errorf("got %q, %v", got, e.Err())
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u00e9\n"],"b":null}`, `"abcdefgh\"ijklmnop"`, "[\"\xff\"]", `[1,[2,[3]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := jsontext.Parse(data)
		valid := json.Valid(data) && utf8.Valid(data)
		if (err == nil) != valid {
			// The standard has no limit on depth but its own of 10,000.
			if valid && bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > jsontext.MaxDepth {
				return
			}
			t.Fatalf("Parse(%q) = %v, json.Valid %v, utf8.Valid %v", data, err, json.Valid(data), utf8.Valid(data))
		}
		if err != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, data); err != nil {
			t.Fatal(err)
		}
		if got := jsontext.AppendCompact(nil, data); !bytes.Equal(got, compact.Bytes()) {
			t.Fatalf("AppendCompact(%q) = %q, want %q", data, got, compact.Bytes())
		}
		if v.Kind() == jsontext.String {
			var want string
			if err := json.Unmarshal(data, &want); err != nil || v.Str() != want {
				t.Fatalf("Str of %q = %q, want %q (%v)", data, v.Str(), want, err)
			}
		}
	})
}

func TestUnescapeTakesWhatWasNotChecked(t *testing.T) {
	for in, want := range map[string]string{
		`a\n\"\u00e9\ud83d\ude00\/`: "a\n\"é😀/", `\ud83d`: "\ufffd", `\ud83dx`: "\ufffdx", `\u12`: `\u12`, `\uzzzz`: `\uzzzz`, `\x`: "x", `a\`: `a\`, `\u`: `\u`, ``: ``,
	} {
		if got := string(jsontext.AppendUnescaped(nil, in)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestLoneSurrogates(t *testing.T) {
	for in, want := range map[string]string{
		`"\ud83d\ude00"`:              "",
		`"\uD83D\uDE00 \ud7ff\ue000"`: "",
		`"\\ud800"`:                   "",
		`"\\\\uDC00","\n"`:            "",
		`{"a":1}`:                     "",
		``:                            "",
		`"\ud800"`:                    `"\ufffd"`,
		`"s\uDC00"`:                   `"s\ufffd"`,
		`"\\\ud800"`:                  `"\\\ufffd"`,
		`"\ud800\ud83d\ude00"`:        `"\ufffd\ud83d\ude00"`,
		`"\ude00\ud83d"`:              `"\ufffd\ufffd"`,
		`"\ud800\u0041"`:              `"\ufffd\u0041"`,
		`"\ud800\\udc00"`:             `"\ufffd\\udc00"`,
		`{"\udfff":["\uDBFF"]}`:       `{"\ufffd":["\ufffd"]}`,
	} {
		if got := jsontext.HasLoneSurrogate([]byte(in)); got != (want != "") {
			t.Errorf("%s: HasLoneSurrogate is %v", in, got)
		}
		if want == "" {
			want = in
		}
		text := []byte(in)
		if got := jsontext.ReplaceLoneSurrogates(text); string(got) != want || string(text) != in {
			t.Errorf("%s: replaced %s, want %s; it became %s itself", in, got, want, text)
		}
	}
}
