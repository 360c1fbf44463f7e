package proof

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
)

// pathBuilder makes the RFC 6962 inclusion path of one row while the rows of a file go by, in memory of the order of the logarithm of their number.
//
// The elements of a path are the tree hashes of stretches of rows that do not overlap and together are all rows but the one: so only one of them is being
// hashed at a time.
type pathBuilder struct {
	index, rows int64
	stretches   []stretch // in the order of the path: from the leaf to the root
	order       []int     // indices of stretches in the order of the rows
	at          int64     // rows that went by
	tree        seal.Tree
	row         []byte
}

type stretch struct {
	from, to int64 // [from, to)
	root     seal.Hash
}

func newPathBuilder(index, rows int64) (*pathBuilder, error) {
	if index < 0 || index >= rows {
		return nil, fmt.Errorf("row %d of %d", index, rows)
	}
	b := &pathBuilder{index: index, rows: rows}
	var after []int
	for from, to := int64(0), rows; to-from > 1; {
		middle := from + split(to-from)
		if index < middle {
			after = append(after, len(b.stretches))
			b.stretches = append(b.stretches, stretch{from: middle, to: to})
			to = middle
		} else {
			b.order = append(b.order, len(b.stretches))
			b.stretches = append(b.stretches, stretch{from: from, to: middle})
			from = middle
		}
	}
	// The stretches before the row were found from the first to the last, those after it from the last to the first.
	for i := len(after) - 1; i >= 0; i-- {
		b.order = append(b.order, after[i])
	}
	return b, nil
}

// split returns the largest power of two below n > 1.
func split(n int64) int64 {
	k := int64(1)
	for k*2 < n {
		k *= 2
	}
	return k
}

// add takes the next row, without its line feed.
func (b *pathBuilder) add(row []byte) {
	at := b.at
	b.at++
	if at == b.index {
		b.row = append([]byte{}, row...)
		return
	}
	if len(b.order) == 0 {
		return // more rows than there should be; finish says so
	}
	b.tree.Append(row)
	s := &b.stretches[b.order[0]]
	if b.at == s.to {
		s.root, b.tree, b.order = b.tree.Root(), seal.Tree{}, b.order[1:]
	}
}

// finish returns the path, checked against the root that the rows must have, and the row.
func (b *pathBuilder) finish(root seal.Hash) (row []byte, path []seal.Hash, err error) {
	if b.at != b.rows {
		return nil, nil, fmt.Errorf("it has %d rows, the manifest says %d", b.at, b.rows)
	}
	// The first that was found is the one below the root.
	for i := len(b.stretches) - 1; i >= 0; i-- {
		path = append(path, b.stretches[i].root)
	}
	if err := checkPath(path, b.rows, root, b.index, b.row); err != nil {
		return nil, nil, fmt.Errorf("its rows do not have the Merkle root %v that the manifest says", root)
	}
	return b.row, path, nil
}

// checkPath checks that leaf stands at index among size leaves whose tree hash is root.
func checkPath(path []seal.Hash, size int64, root seal.Hash, index int64, leaf []byte) error {
	p := make(tlog.RecordProof, len(path))
	for i, h := range path {
		p[i] = tlog.Hash(h)
	}
	return tlog.CheckRecord(p, size, tlog.Hash(root), index, tlog.RecordHash(leaf))
}

func hashes(p tlog.RecordProof) []seal.Hash {
	path := make([]seal.Hash, len(p))
	for i, h := range p {
		path[i] = seal.Hash(h)
	}
	return path
}
