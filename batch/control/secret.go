package control

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"daybook/batch/seal"
)

// A secret is 60 characters. Frozen:
//
//	dbt_<id>_<43 characters>    a sender's
//	dba_<id>_<43 characters>    an admin's
//
// The id, 12 characters of a-z and 2-7, is public: it finds the record. The rest is 32 random bytes in base64url without padding. The journal has the SHA-256 of
// all 60 characters.
const (
	senderPrefix = "dbt_"
	adminPrefix  = "dba_"
	prefixLen    = 4
	idLen        = 12
	secretLen    = prefixLen + idLen + 1 + 43
)

const redacted = "[redacted]"

// Secret is a token as its holder shows it. Whatever prints it prints [redacted]; Reveal alone gives it.
type Secret struct {
	// A pointer: fmt does not call the methods of what lies in an unexported field, and would print a string there.
	text *string
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Format prints [redacted], whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // fmt.State keeps the error itself
}

// String returns [redacted].
func (s Secret) String() string { return redacted }

// LogValue is [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is [redacted], in JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

func (s Secret) sum() seal.Hash { return seal.Sum([]byte(s.Reveal())) }

// newSecret makes a secret; taken tells which ids are.
func newSecret(prefix string, taken func(id string) bool) (id string, s Secret) {
	for {
		var b [32 + 8]byte
		_, _ = rand.Read(b[:]) // it never fails
		id = strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[32:]))[:idLen]
		if taken(id) {
			continue
		}
		text := prefix + id + "_" + base64.RawURLEncoding.EncodeToString(b[:32])
		return id, Secret{&text}
	}
}

// credential is what the journal knows of a secret.
type credential struct {
	hash    seal.Hash
	created time.Time
	expires time.Time // zero: never
	revoked time.Time // zero: not
}

func (c *credential) matches(secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], c.hash[:]) == 1
}

// valid reports whether it opened anything then.
func (c *credential) valid(at time.Time) bool {
	return !at.Before(c.created) && (c.expires.IsZero() || at.Before(c.expires)) && (c.revoked.IsZero() || at.Before(c.revoked))
}

// usable returns nil, ErrRevoked or ErrExpired.
func (c *credential) usable(now time.Time) error {
	switch {
	case !c.revoked.IsZero():
		return ErrRevoked
	case !c.expires.IsZero() && !now.Before(c.expires):
		return ErrExpired
	}
	return nil
}

// splitSecret returns the kind and the id of what has the form of a secret, and blanks of what has not.
func splitSecret(secret string) (prefix, id string) {
	if len(secret) != secretLen || secret[prefixLen+idLen] != '_' {
		return "", ""
	}
	return secret[:prefixLen], secret[prefixLen : prefixLen+idLen]
}

func checkExpires(expires, now time.Time) error {
	if !expires.IsZero() && !expires.After(now) {
		return hint(fmt.Errorf("%w: it would have expired at %s", ErrInvalid, expires.UTC().Format(time.RFC3339)), "give a time in the future, or none: then it does not expire")
	}
	return nil
}
