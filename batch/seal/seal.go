// Package seal makes what closes a day: its manifest, the Merkle root of its evidence, its keys in the store, and the signed note.
//
// What it guarantees: equal arguments give equal bytes (a signature is Ed25519, which has no randomness); ParseManifest accepts only what
// Encode writes, to the byte, and only if it is consistent in itself; the text of a note is a function of its manifest; every name that
// reaches a key of the store is encoded, so that no name can leave its place; a signing key never prints.
//
// What it does not: it reads and writes no store, and keeps no state. Only key files touch the disk; a crash while one is made leaves
// either no key or a whole one.
package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Hash is a SHA-256. In JSON and in text it is 64 lower-case hex digits; the zero Hash, which stands for there being none, is "none".
type Hash [sha256.Size]byte

// Sum returns the SHA-256 of data.
func Sum(data []byte) Hash { return sha256.Sum256(data) }

// IsZero reports whether h is the zero Hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns h in hex, or "none".
func (h Hash) String() string {
	if h.IsZero() {
		return "none"
	}
	return hex.EncodeToString(h[:])
}

// MarshalText is String.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	if string(text) == "none" {
		*h = Hash{}
		return nil
	}
	parsed, err := parseHash(string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}

var errHash = errors.New("not a SHA-256: must be 64 lower-case hex digits")

func parseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*len(h) {
		return h, fmt.Errorf("%.80q: %w", s, errHash)
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return h, fmt.Errorf("%q: %w", s, errHash)
		}
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return h, err
	}
	return h, nil
}
