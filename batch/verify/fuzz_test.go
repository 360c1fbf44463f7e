package verify_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/sink"
)

// However small the buffer is, and however the rows come, the root is that of the rows.
func FuzzHashRows(f *testing.F) {
	for _, s := range []string{"", "\n", "a\n", "a", "abc\n\ndefghijklmnop\nq\n", strings.Repeat("x", 100) + "\n" + strings.Repeat("y", 7) + "\n"} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		for _, r := range []func([]byte) *seal.Tree{
			func(data []byte) *seal.Tree {
				tree, err := verify.HashRows(bytes.NewReader(data), 1+int(size), 1<<40)
				if (err == nil) != (len(data) == 0 || data[len(data)-1] == '\n') {
					t.Errorf("%q: %v", data, err)
				}
				return tree
			},
			func(data []byte) *seal.Tree {
				tree, _ := verify.HashRows(iotest.OneByteReader(bytes.NewReader(data)), 1+int(size), 1<<40) // the other has told the error
				return tree
			},
		} {
			var want seal.Tree
			for line := range bytes.Lines(data) {
				if row, ok := bytes.CutSuffix(line, []byte("\n")); ok {
					want.Append(row)
				}
			}
			if got := r(data); got.Rows() != want.Rows() || got.Root() != want.Root() {
				t.Errorf("%q with a buffer of %d: %d rows, want %d", data, size, got.Rows(), want.Rows())
			}
		}
	})
}

func TestHashRowsHasALimit(t *testing.T) {
	if _, err := verify.HashRows(strings.NewReader(strings.Repeat("x", 1000)), 10, 100); err == nil {
		t.Error("a row without an end was read to it")
	}
}

func FuzzParseStep(f *testing.F) {
	b := verifytest.New(f, nowhere{}, sink.None)
	b.Leaf(holdLeaf())
	checkpoint := b.Checkpoint(2)
	f.Add(int64(0), append(record16(checkpoint), append(record16(b.Leaves[0]), record16(b.Leaves[1])...)...))
	f.Add(int64(1), append(record16(checkpoint), record16(b.Leaves[1])...))
	f.Add(int64(2), record16(checkpoint))
	f.Add(int64(0), []byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, from int64, data []byte) {
		if n, size, err := verify.ParseStep(from, data); err == nil && (n < 1 || size != from+int64(n) || 2*n > len(data)) {
			t.Errorf("%d entries from %d to %d", n, from, size)
		}
	})
}

func FuzzParsePin(f *testing.F) {
	b := verifytest.New(f, nowhere{}, sink.None)
	f.Add(b.Checkpoint(1))
	f.Add([]byte("a\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte("a\n999999999999999\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if size, err := verify.ParsePin(data); err == nil && size < 1 {
			t.Errorf("size %d", size)
		}
	})
}

func FuzzSignatures(f *testing.F) {
	f.Add([]byte("— a b\n"))
	f.Add([]byte("— a b\n— c d"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := verify.Signatures(data); err == nil && strings.Join(got, "") != string(data) {
			t.Errorf("%q from %q", got, data)
		}
	})
}

func FuzzParseSealKey(f *testing.F) {
	f.Add("acme/00000001/manifest.json")
	f.Add("a%20b/100000000/SHA256SUMS.note")
	f.Add("acme/1/manifest.json")
	f.Add("acme/00000000/manifest.json")
	f.Fuzz(func(t *testing.T, rest string) {
		trail, n, ok := verify.ParseSealKey(rest)
		if again := fmt.Sprintf("%s/%08d/", trail, n); ok && again+"manifest.json" != rest && again+"SHA256SUMS.note" != rest {
			t.Errorf("%q gives %q, %d", rest, trail, n)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("a \"b\" \x1b[2J \u202e é \xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range verify.Printable(s) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is printed with %U", s, r)
			}
		}
	})
}

func TestSkeleton(t *testing.T) {
	for _, alike := range [][]string{
		{"acme", "ACME", "асme", "ａｃｍｅ", "ac\u200bme", "acrne", "äcme"}, {"prod-1", "prod_l", "prod–I"}, {"log0", "lοgo", "1ogO"},
	} {
		for _, s := range alike[1:] {
			if verify.Skeleton(s) != verify.Skeleton(alike[0]) {
				t.Errorf("%q does not look like %q", s, alike[0])
			}
		}
	}
	if verify.Skeleton("acme-prod") == verify.Skeleton("acme-test") {
		t.Error("all names look alike")
	}
}
