package jsonl_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"daybook/formats/jsonl"
)

const whole = `{"time":"2026-03-10T09:30:00Z","action":"a"}`

func TestRecords(t *testing.T) {
	long := `{"x":"` + strings.Repeat("x", 100_000) + `"}`
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"white space", "\ufeff \n\t", nil},
		{"a line", `{"a":1}`, []string{`1:{"a":1}`}},
		{"lines", "{\"a\":1}\n[2]\n}\n\n3", []string{`1:{"a":1}`, "2:[2]", "3:}", "5:3"}},
		{"no object at first", "x {\n{\"a\":1}", []string{"1:x {", `2:{"a":1}`}},
		{"a first line that is cut off", "{\"a\":[1,\n" + whole + "\n{\"b\":1}", []string{`1:{"a":[1,`, "2:" + whole, `3:{"b":1}`}},
		{"a list", "[{\"a\":1},\n 2 ]", []string{`1:{"a":1}`, "2:2"}},
		{"a list behind white space", "\ufeff\n [1]", []string{"2:1"}},
		{"a list that is cut off", `[1,{"a"`, []string{"1:1", `1:{"a"`, "error: the array of records has no end: unexpected EOF"}},
		{"an object on lines", "{\n\"a\":1\n}\n", []string{"1:{\n\"a\":1\n}"}},
		{"objects on lines", "{\n\"a\":1\n}\n{\n\"b\":2\n}", []string{"1:{\n\"a\":1\n}", "4:{\n\"b\":2\n}"}},
		{"an object on lines that is cut off", "{\n\"a\":1", []string{"1:{\n\"a\":1"}},
		{"an object that looks like a list of records", "{\"Records\":[1]}\n2", []string{`1:{"Records":[1]}`, "2:2"}},
		{"a long first line", long + "\n}\n", []string{fmt.Sprintf("1:%.8s… and %d", long, len(long)-8), "2:}"}},
		{"a long first line that is cut off", long[:len(long)-1] + ",\"t\":[1,\n{\"b\":1}", []string{fmt.Sprintf("1:%.8s… and %d", long, len(long)-1), `2:{"b":1}`}},
		{"a long element", "[" + long + ",1]", []string{fmt.Sprintf("1:%.8s… and %d", long, len(long)-8), "1:1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				var got []string
				for rec, err := range (jsonl.Decoder{}).Records(r, 70_000) {
					text := fmt.Sprintf("%d:%s", rec.Line, rec.Data)
					if err != nil {
						text = "error: " + err.Error()
					}
					if rec.Rest != nil {
						n, _ := io.Copy(io.Discard, rec.Rest)
						text = fmt.Sprintf("%.10s… and %d", text, n+int64(len(rec.Data))-8)
					}
					got = append(got, text)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
	for range (jsonl.Decoder{}).Records(strings.NewReader("[1,2]"), 10) {
		break // and nothing panics
	}
}

func TestDetect(t *testing.T) {
	for head, want := range map[string]bool{
		whole:                     true,
		"\ufeff\n" + whole:        true,
		"[" + whole + ",":         true,
		"[ ]":                     true,
		whole[:len(whole)-1]:      true,
		whole + "rest":            true,
		"{\n" + whole[1:]:         true,
		"":                        false,
		"[":                       false,
		"[1]":                     false,
		"[[" + whole + "]]":       false,
		`{"time":"x"}`:            false,
		`{"x":` + whole + `}`:     false,
		`{"time":"x","action":"y`: false,
	} {
		if got := jsonl.Detect([]byte(head)); got != want {
			t.Errorf("%q: %t", head, got)
		}
	}
}
