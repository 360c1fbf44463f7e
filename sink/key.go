package sink

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxKey is how many bytes a key may have, a store's prefix included. It is S3's limit.
const MaxKey = 1024

// maxElement is how many bytes one element of a key may have: the limit of the file systems in use, so that every key that a bucket
// takes can be copied into a folder.
const maxElement = 255

// CheckKey reports why key cannot name an object in any store: it must be valid UTF-8 of at most MaxKey bytes, in slash-separated
// elements of which none is empty, "." or "..", longer than 255 bytes, or holds a control character or a backslash. Servers differ in
// what they make of such keys: some store a/../b as b.
func CheckKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("key is empty")
	case len(key) > MaxKey:
		return fmt.Errorf("key %.60q…: %d bytes, at most %d are allowed", key, len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("key %q: not valid UTF-8", key)
	}
	for _, r := range key {
		if r < 0x20 || r == 0x7f || r == '\\' {
			return fmt.Errorf("key %q: character %q is not allowed", key, r)
		}
	}
	for element := range strings.SplitSeq(key, "/") {
		switch {
		case element == "":
			return fmt.Errorf("key %q: an element is empty", key)
		case element == "." || element == "..":
			return fmt.Errorf("key %q: element %q is not allowed", key, element)
		case len(element) > maxElement:
			return fmt.Errorf("key %.60q…: an element has %d bytes, at most %d are allowed", key, len(element), maxElement)
		}
	}
	return nil
}
