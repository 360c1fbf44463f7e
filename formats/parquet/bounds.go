package parquet

import (
	"unicode/utf8"
)

const (
	// indexBound is how many bytes of a text the column index keeps: there a bound may be shorter than the value that it bounds.
	indexBound = 64
	// statsBound is the longest text that stands in the footer as a bound of its chunk. There it must be the value itself, since engines answer
	// min() and max() from it; a chunk with a longer one has no bounds.
	statsBound = 1024
)

// lowerBound returns a text of at most indexBound bytes that is not greater than b.
func lowerBound(b []byte) []byte {
	if len(b) <= indexBound {
		return b
	}
	return b[:runeStart(b, indexBound)]
}

// upperBound returns a short text that is not less than b. Like b it is valid UTF-8, so that readers which take bounds for strings can have them.
func upperBound(b []byte) []byte {
	if len(b) <= indexBound {
		return b
	}
	for end := runeStart(b, indexBound); end > 0; {
		r, n := utf8.DecodeLastRune(b[:end])
		end -= n
		if next := r + 1; r != utf8.MaxRune {
			if next == 0xd800 {
				next = 0xe000
			}
			return utf8.AppendRune(append([]byte(nil), b[:end]...), next)
		}
	}
	return b
}

// runeStart returns where the rune begins that holds byte i.
func runeStart(b []byte, i int) int {
	for i > 0 && !utf8.RuneStart(b[i]) {
		i--
	}
	return i
}
