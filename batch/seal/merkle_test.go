package seal_test

import (
	"encoding/hex"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
)

// The tree of RFC 6962's reference implementation (certificate-transparency, merkletree/merkle_tree_test.cc): its inputs and the roots after each.
var rfcRows = []string{
	"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
}

var rfcRoots = []string{
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

func TestTreeRFCVectors(t *testing.T) {
	var tree seal.Tree
	for i, want := range rfcRoots {
		if i > 0 {
			row, err := hex.DecodeString(rfcRows[i-1])
			if err != nil {
				t.Fatal(err)
			}
			tree.Append(row)
		}
		if got := tree.Root().String(); got != want {
			t.Errorf("root of %d rows = %s, want %s", i, got, want)
		}
		if tree.Rows() != uint64(i) {
			t.Errorf("Rows = %d, want %d", tree.Rows(), i)
		}
	}
}

func TestTreeEqualsTlog(t *testing.T) {
	var (
		tree   seal.Tree
		stored []tlog.Hash
	)
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			out[i] = stored[at]
		}
		return out, nil
	})
	for n := range int64(1100) {
		row := []byte(fmt.Sprintf(`{"id":"e%d","action":"a"}`, n))
		tree.Append(row)
		hashes, err := tlog.StoredHashes(n, row, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		want, err := tlog.TreeHash(n+1, reader)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree.Root(); got != seal.Hash(want) {
			t.Fatalf("root of %d rows = %v, want %v", n+1, got, want)
		}
	}
}

func TestTreeAppendDoesNotAllocate(t *testing.T) {
	var tree seal.Tree
	row := make([]byte, 700)
	tree.Append(row)
	if n := testing.AllocsPerRun(1000, func() { tree.Append(row) }); n != 0 {
		t.Errorf("Append allocates %v times", n)
	}
}

func BenchmarkTree(b *testing.B) {
	var tree seal.Tree
	row := make([]byte, 700)
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		tree.Append(row)
	}
}
