package intake

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"daybook/batch/seal/keyfile"
)

const hmacKeySize = 32

// ErrHMACKey says that a file holds no redaction key.
var ErrHMACKey = errors.New("not a redaction key: must be 64 hex digits")

// HMACKey is the key of an installation's redaction tags. It never prints.
//
// The file, one line: 64 hex digits. Frozen.
type HMACKey []byte

// LoadOrCreateHMACKey reads the redaction key at path, or makes one there (0400) where there is none. Of several processes that do so at the same time
// all get the same key. There MUST be one per installation: with another key the same input gives other bytes.
func LoadOrCreateHMACKey(path string) (HMACKey, error) {
	k, err := LoadHMACKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	k = make(HMACKey, hmacKeySize)
	if _, err := rand.Read(k); err != nil {
		return nil, fmt.Errorf("make a redaction key: %w", err)
	}
	err = keyfile.Create(path, append(hex.AppendEncode(nil, k), '\n'), keyfile.Secret)
	if errors.Is(err, fs.ErrExist) {
		return LoadHMACKey(path) // another process was quicker
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// LoadHMACKey reads the redaction key at path. The error of one that is not there is fs.ErrNotExist.
func LoadHMACKey(path string) (HMACKey, error) {
	data, err := keyfile.ReadSecret(path)
	if err != nil {
		return nil, err
	}
	k, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(k) != hmacKeySize {
		return nil, fmt.Errorf("%s: %w", path, ErrHMACKey) // not err: it quotes the text
	}
	return k, nil
}

const redactedKey = "[redacted]"

// String returns [redacted].
func (k HMACKey) String() string { return redactedKey }

// Format prints [redacted], whatever the verb.
func (k HMACKey) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, redactedKey) }

// LogValue is String.
func (k HMACKey) LogValue() slog.Value { return slog.StringValue(redactedKey) }

// MarshalText is String.
func (k HMACKey) MarshalText() ([]byte, error) { return []byte(redactedKey), nil }
