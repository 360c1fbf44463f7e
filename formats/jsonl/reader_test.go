package jsonl_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"daybook/formats"
	"daybook/formats/jsonl"
)

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, text string
		rows       []string
		want       error
	}{
		{"no row", "", nil, io.EOF},
		{"two rows", "{}\n[1]\n", []string{"{}", "[1]"}, io.EOF},
		{"an empty row is a row", "{}\n\n", []string{"{}", ""}, io.EOF},
		{"a CR is the row's", "{}\r\n", []string{"{}\r"}, io.EOF},
		{"as long as may be", long + "\n", []string{long}, io.EOF},
		{"too long", "{}\n" + long + "x\n{}\n", []string{"{}"}, &formats.Malformed{Row: 2, Reason: "longer than 1048576 bytes"}},
		{"cut", "{}\n[1]", []string{"{}"}, &formats.Malformed{Row: 2, Reason: "the file ends within the row"}},
	} {
		for _, as := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader} {
			r := jsonl.NewReader(as(strings.NewReader(tt.text)), 1<<20)
			var rows []string
			row, err := r.Next()
			for ; err == nil; row, err = r.Next() {
				rows = append(rows, string(row))
			}
			if diff := cmp.Diff(tt.rows, rows); diff != "" {
				t.Errorf("%s: rows (-want +got):\n%.300s", tt.name, diff)
			}
			if err.Error() != tt.want.Error() || (err == io.EOF) != (tt.want == io.EOF) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
			if _, again := r.Next(); !errors.Is(again, err) {
				t.Errorf("%s: after the end %v, before %v", tt.name, again, err)
			}
		}
	}
	broken := errors.New("broken")
	if _, err := jsonl.NewReader(iotest.ErrReader(broken), 10).Next(); !errors.Is(err, broken) {
		t.Errorf("a broken reader: %v", err)
	}
}

// FuzzReader: rows and line feeds are the file.
func FuzzReader(f *testing.F) {
	f.Add([]byte("{}\n[]\n"), 5)
	f.Add([]byte("\n\nlonger than that\nx"), 3)
	f.Fuzz(func(t *testing.T, file []byte, maxRow int) {
		r := jsonl.NewReader(bytes.NewReader(file), maxRow)
		maxRow = max(maxRow, 0)
		rest := file
		for {
			row, err := r.Next()
			if err != nil {
				next, _, ended := bytes.Cut(rest, []byte("\n"))
				if (err == io.EOF) != (len(rest) == 0) || err != io.EOF && ended && len(next) <= maxRow {
					t.Errorf("%v before %q", err, rest)
				}
				return
			}
			if len(row) > maxRow || !bytes.HasPrefix(rest, row) || len(rest) <= len(row) || rest[len(row)] != '\n' {
				t.Fatalf("row %q of %q", row, rest)
			}
			rest = rest[len(row)+1:]
		}
	})
}

var benchFile = bytes.Repeat(append(bytes.Repeat([]byte("x"), 760), '\n'), 20_000)

func BenchmarkReader(b *testing.B) {
	b.SetBytes(int64(len(benchFile)))
	b.ReportAllocs()
	for b.Loop() {
		r := jsonl.NewReader(bytes.NewReader(benchFile), 1<<20)
		for {
			if _, err := r.Next(); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkIndexByte is what BenchmarkReader would cost without any copy.
func BenchmarkIndexByte(b *testing.B) {
	b.SetBytes(int64(len(benchFile)))
	for b.Loop() {
		for rest := benchFile; len(rest) > 0; {
			rest = rest[bytes.IndexByte(rest, '\n')+1:]
		}
	}
}
