package verify

import (
	"io"

	"daybook/batch/seal"
	"daybook/event"
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

// FlatDays flattens spans of days, and returns since when each of the days 0 to 31 is held; -1 where it is not.
func FlatDays(spans [][3]int64) (since [32]int64) {
	var list []span
	for _, s := range spans {
		list = append(list, span{event.Day(s[0]), event.Day(s[1]), s[2]})
	}
	for i := range since {
		since[i] = -1
	}
	last := event.Day(-1)
	for _, s := range flatten(list) {
		if s.from <= last || s.to < s.from {
			panic("spans overlap, or are out of order")
		}
		for last = s.from; last < s.to; last++ {
			since[last] = s.since
		}
		since[s.to] = s.since
	}
	return since
}
