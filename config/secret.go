package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
)

const redacted = "[redacted]"

// Secret is a text that must not be seen. Whatever prints it prints [redacted]; Reveal alone gives it.
type Secret struct {
	// A pointer: fmt does not call the methods of what lies in an unexported field, and would print a string there.
	text *string
}

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{text: &text} }

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

// MarshalText is [redacted], in JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Credentials opens an S3 store.
type Credentials struct {
	AccessKey, SecretKey, SessionToken Secret
}

// ErrNoCredentials says that the configuration names none: they are to come from the AWS chain.
var ErrNoCredentials = errors.New("the configuration names no credentials")

// Credentials reads what the *_env and *_file keys name. getenv is os.LookupEnv. ErrNoCredentials where there are none; any other error means
// that one is named and cannot be read, and must not read as absent.
func (s *Store) Credentials(getenv func(string) (string, bool)) (Credentials, error) {
	var c Credentials
	var faults []error
	named := false
	for _, k := range []struct {
		what, env, file string
		to              *Secret
	}{
		{"access_key", s.AccessKeyEnv, s.AccessKeyFile, &c.AccessKey},
		{"secret_key", s.SecretKeyEnv, s.SecretKeyFile, &c.SecretKey},
		{"session_token", s.SessionTokenEnv, s.SessionTokenFile, &c.SessionToken},
	} {
		if k.env == "" && k.file == "" {
			continue
		}
		named = true
		secret, err := readSecret(k.env, k.file, getenv)
		if err != nil {
			faults = append(faults, fmt.Errorf("store.%s: %w", k.what, err))
		}
		*k.to = secret
	}
	if err := errors.Join(faults...); err != nil {
		return Credentials{}, err
	}
	if !named {
		return Credentials{}, ErrNoCredentials
	}
	return c, nil
}

// secretLimit is longer than any session token.
const secretLimit = 64 << 10

func readSecret(env, file string, getenv func(string) (string, bool)) (Secret, error) {
	if env != "" {
		text, ok := getenv(env)
		if !ok || text == "" {
			return Secret{}, fmt.Errorf("the environment variable %s is not set", env)
		}
		return NewSecret(text), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return Secret{}, err
	}
	defer f.Close() // only read: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, secretLimit+1))
	if err != nil {
		return Secret{}, err
	}
	// An editor ends a file with a line feed; a credential holds none.
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0:
		return Secret{}, fmt.Errorf("%s is empty", file)
	case len(data) > secretLimit:
		return Secret{}, fmt.Errorf("%s is too long for a secret", file)
	case bytes.ContainsAny(data, "\r\n"):
		return Secret{}, fmt.Errorf("%s has more than one line", file)
	}
	return NewSecret(string(data)), nil
}
