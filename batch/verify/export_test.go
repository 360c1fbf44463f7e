package verify

import (
	"io"

	"daybook/batch/seal"
)

// HashRows hashes rows with a buffer of that size.
func HashRows(r io.Reader, buffer int, limit int64) (*seal.Tree, error) {
	var tree seal.Tree
	return &tree, hashRows(r, make([]byte, 1+buffer), &tree, limit)
}

// ParseStep returns how many entries follow a size.
func ParseStep(from int64, data []byte) (entries int, size int64, err error) {
	s, err := parseStep(from, data)
	if err != nil {
		return 0, 0, err
	}
	return len(s.entries), s.c.Size, nil
}

// ParseSealKey takes a key of a manifest or note apart.
func ParseSealKey(rest string) (trail string, n uint64, ok bool) {
	trail, n, _, ok = parseSealKey(rest)
	return trail, n, ok
}

var (
	ParsePin   = func(data []byte) (int64, error) { p, err := parsePin(data); return p.c.Size, err }
	Signatures = signatures
	Skeleton   = skeleton
	Printable  = printable
)
