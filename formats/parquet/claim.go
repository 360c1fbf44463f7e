package parquet

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/format"
)

// claim is what a file says of the least and the greatest value of a page or a chunk. True is a claim that no value lies outside of, and whose
// bounds are values, or as close to them as their length allows: a bound that is merely wide would let a reader pass over less than it could.
type claim struct {
	spec     *spec
	least    []byte // nil: not claimed
	most     []byte
	leastN   int64
	mostN    int64
	short    bool   // texts may be shortened
	stem     []byte // with which a text begins that has most for its shortened bound; nil if there is none
	metLeast bool
	metMost  bool
}

// valueSize is how many bytes a bound of the column has; 0 for texts.
func (s *spec) valueSize() int {
	switch s.physical() {
	case format.Int64:
		return 8
	case format.Int32:
		return 4
	case format.Boolean:
		return 1
	}
	return 0
}

// number reads a bound of a column that is not of texts.
func number(b []byte) int64 {
	switch len(b) {
	case 8:
		return int64(binary.LittleEndian.Uint64(b))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	}
	return int64(b[0])
}

// newClaim returns the claim of those bounds; ok is false if they cannot be bounds of the column. Those of a page index may be shortened.
func newClaim(s *spec, least, most []byte, shortened bool) (c claim, ok bool) {
	c = claim{spec: s, least: least, most: most, metLeast: least == nil, metMost: most == nil}
	if n := s.valueSize(); n > 0 {
		if least != nil && len(least) != n || most != nil && len(most) != n {
			return c, false
		}
		if least != nil {
			c.leastN = number(least)
		}
		if most != nil {
			c.mostN = number(most)
		}
		return c, n > 1 || uint64(c.leastN) <= 1 && uint64(c.mostN) <= 1
	}
	if !utf8.Valid(least) || !utf8.Valid(most) {
		return c, false
	}
	if shortened {
		c.short, c.stem = true, stemOf(most)
	}
	return c, true
}

// stemOf undoes what makes a greater text of the beginning of one: its last character is the next one.
func stemOf(most []byte) []byte {
	r, n := utf8.DecodeLastRune(most)
	if n == 0 || r == 0 || len(most) > indexBound+utf8.UTFMax {
		return nil
	}
	if r--; r == 0xdfff {
		r = 0xd7ff
	}
	return utf8.AppendRune(bytes.Clone(most[:len(most)-n]), r)
}

// text takes a value into account. It reports whether it is within the bounds.
func (c *claim) text(v []byte) bool {
	if c.least != nil {
		switch order := bytes.Compare(v, c.least); {
		case order < 0:
			return false
		case !c.metLeast:
			c.metLeast = order == 0 || c.short && len(v) > indexBound && len(c.least) > indexBound-utf8.UTFMax && bytes.HasPrefix(v, c.least)
		}
	}
	if c.most != nil {
		switch order := bytes.Compare(v, c.most); {
		case order > 0:
			return false
		case !c.metMost:
			c.metMost = order == 0 || c.stem != nil && len(v) > indexBound && bytes.HasPrefix(v, c.stem)
		}
	}
	return true
}

// number takes a value into account. It reports whether it is within the bounds.
func (c *claim) number(v int64) bool {
	if c.least != nil {
		if v < c.leastN {
			return false
		}
		c.metLeast = c.metLeast || v == c.leastN
	}
	if c.most != nil {
		if v > c.mostN {
			return false
		}
		c.metMost = c.metMost || v == c.mostN
	}
	return true
}

// met reports whether both bounds are those of the values.
func (c *claim) met() bool { return c.metLeast && c.metMost }

// rises reports whether two bounds that follow each other rise.
func (s *spec) rises(a, b []byte) bool {
	if s.valueSize() > 0 {
		return number(a) <= number(b)
	}
	return bytes.Compare(a, b) <= 0
}
