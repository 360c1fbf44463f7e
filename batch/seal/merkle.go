package seal

import (
	"crypto/sha256"
	"hash"
	"math/bits"
)

// Tree computes the RFC 6962 Merkle tree hash of rows as they come, in memory of the order of the logarithm of their number.
//
//	leaf  SHA-256(0x00 || row)           the row is the evidence line without its line feed
//	node  SHA-256(0x01 || left || right)
//	empty SHA-256("")
//
// Frozen. The zero Tree is empty and ready. A Tree belongs to one goroutine.
type Tree struct {
	n      uint64   // rows appended
	stack  [64]Hash // stack[k] is the root of a full subtree of 2^k rows, if bit k of n is set
	digest hash.Hash
	sum    [sha256.Size]byte
}

var leafPrefix = []byte{0}

// Append adds a row as the next leaf.
func (t *Tree) Append(row []byte) {
	if t.digest == nil {
		t.digest = sha256.New()
	}
	t.digest.Reset()
	t.digest.Write(leafPrefix) // a Hash never returns an error
	t.digest.Write(row)
	t.digest.Sum(t.sum[:0])
	t.AppendLeaf(Hash(t.sum))
}

// AppendLeaf adds a row by its leaf hash: SHA-256 of a zero byte and the row.
func (t *Tree) AppendLeaf(h Hash) {
	k := 0
	for ; t.n>>k&1 == 1; k++ {
		h = nodeHash(t.stack[k], h)
	}
	t.stack[k] = h
	t.n++
}

// Rows is how many rows were appended.
func (t *Tree) Rows() uint64 { return t.n }

// Root returns the tree hash of the rows so far. More rows may follow.
func (t *Tree) Root() Hash {
	if t.n == 0 {
		return Sum(nil)
	}
	k := bits.TrailingZeros64(t.n)
	h := t.stack[k]
	for k++; k < bits.Len64(t.n); k++ {
		if t.n>>k&1 == 1 {
			h = nodeHash(t.stack[k], h)
		}
	}
	return h
}

func nodeHash(left, right Hash) Hash {
	var buf [1 + 2*sha256.Size]byte
	buf[0] = 1
	copy(buf[1:], left[:])
	copy(buf[1+sha256.Size:], right[:])
	return sha256.Sum256(buf[:])
}
