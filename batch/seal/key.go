package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal/keyfile"
	"daybook/sink"
)

// ErrKey says that a file holds no key of the kind asked for.
var ErrKey = errors.New("not a usable key")

// Signer signs notes. Key is the one that lives in a file; a key management service can be another.
type Signer interface {
	note.Signer
	// Public returns the key that checks what Sign signed.
	Public() PublicKey
}

// Key is an Ed25519 signing key. However it is printed, logged or marshalled, only its public name and fingerprint appear.
//
// The file, one line, is x/mod/sumdb/note's signer key. Frozen:
//
//	PRIVATE+KEY+<name>+<key hash>+<base64 of 0x01 and the 32 bytes of the seed>
type Key struct {
	signer note.Signer
	public PublicKey
}

// GenerateKey makes a signing key and writes it to path (0400) and its public half to path + ".pub" (0444). It overwrites neither: if there is
// something at path, the error is fs.ErrExist. The name goes into every signature; it may hold neither white space nor a plus sign.
func GenerateKey(path, name string) (Key, error) {
	if !ValidKeyName(name) {
		return Key{}, fmt.Errorf("key name %q: must not be blank, nor hold white space, control characters or a plus sign", name)
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		// A public key without its private one is what is left of a lost key: auditors trust it, so a new key must not take its place in silence.
		if _, err := os.Lstat(path + ".pub"); err == nil {
			return Key{}, fmt.Errorf("%s.pub belongs to a key that is not here: %w", path, fs.ErrExist)
		}
	}
	skey, _, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return Key{}, fmt.Errorf("make a signing key: %w", err)
	}
	k, err := parseKey(skey)
	if err != nil {
		return Key{}, err
	}
	if err := keyfile.Create(path, []byte(skey+"\n"), keyfile.Secret); err != nil {
		return Key{}, err
	}
	return k, k.writePublic(path + ".pub")
}

// LoadKey reads the signing key that lies at path. If there is none, the error is fs.ErrNotExist.
func LoadKey(path string) (Key, error) {
	data, err := keyfile.ReadSecret(path)
	if err != nil {
		if _, publicErr := LoadPublicKey(path); publicErr == nil {
			return Key{}, &sink.HintError{Err: fmt.Errorf("%s: %w: it is a public key", path, ErrKey), Hint: "give the private half, " + strings.TrimSuffix(path, ".pub")}
		}
		return Key{}, err
	}
	k, err := parseKey(strings.TrimSpace(string(data)))
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// LoadOrCreateKey reads the signing key at path, or makes one there where there is none, and says which. Of several processes that do so at
// the same time one makes it and all get the same. A public file that a crash kept from being written is written now.
func LoadOrCreateKey(path, name string) (k Key, created bool, err error) {
	k, err = LoadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = GenerateKey(path, name)
		if err == nil {
			return k, true, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return Key{}, false, err
		}
		generateErr := err
		k, err = LoadKey(path) // another process was quicker
		if errors.Is(err, fs.ErrNotExist) {
			return Key{}, false, generateErr
		}
	}
	if err != nil {
		return Key{}, false, err
	}
	return k, false, k.writePublic(path + ".pub")
}

func (k Key) writePublic(path string) error {
	err := keyfile.Create(path, k.PublicPEM(), keyfile.Public)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := LoadPublicKey(path)
	if err != nil {
		return err
	}
	if there != k.public {
		return fmt.Errorf("%s: %w: it is %s (%s), but the key beside it is %s (%s)", path, ErrKey, there.Name(), there.Fingerprint(),
			k.Name(), k.Fingerprint())
	}
	return nil
}

func parseKey(skey string) (Key, error) {
	signer, err := note.NewSigner(skey)
	if err != nil {
		return Key{}, fmt.Errorf("%w: not an Ed25519 signing key of a signed note", ErrKey)
	}
	// NewSigner has checked the shape, PRIVATE+KEY+name+hash+base64, and that the hash is that of name and key. The last may hold plus signs.
	encoded := strings.SplitN(skey, "+", 5)[4]
	seed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return Key{}, fmt.Errorf("%w: not an Ed25519 signing key of a signed note", ErrKey)
	}
	public, err := newPublicKey(signer.Name(), ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey))
	return Key{signer, public}, err
}

// Name is the key's name in signatures.
func (k Key) Name() string { return k.public.name }

// KeyHash is the key's four-byte id in signatures.
func (k Key) KeyHash() uint32 { return k.signer.KeyHash() }

// Sign signs a text.
func (k Key) Sign(text []byte) ([]byte, error) { return k.signer.Sign(text) }

// CheckpointSigner returns s under the name of a log's origin: C2SP wants a log to sign its checkpoints under that name.
func CheckpointSigner(s Signer, origin string) (note.Signer, error) {
	p, err := s.Public().Named(origin)
	if err != nil {
		return nil, fmt.Errorf("origin %q: %w", origin, err)
	}
	return renamed{s, p}, nil
}

// renamed is a signer under another name. A signature of a note is over its text alone, so that the name changes only the line.
type renamed struct {
	signer Signer
	public PublicKey
}

func (r renamed) Name() string                     { return r.public.name }
func (r renamed) KeyHash() uint32                  { return r.public.verifier().KeyHash() }
func (r renamed) Sign(text []byte) ([]byte, error) { return r.signer.Sign(text) }

// Public returns the public half.
func (k Key) Public() PublicKey { return k.public }

// ID is the public key's.
func (k Key) ID() string { return k.public.ID() }

// Fingerprint is the public key's.
func (k Key) Fingerprint() string { return k.public.Fingerprint() }

// PublicPEM is the public key's.
func (k Key) PublicPEM() []byte { return k.public.PEM() }

// String returns name and fingerprint.
func (k Key) String() string { return k.public.String() }

// Format prints String, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.public.String()) }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText is String.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// PublicKey is the key that an auditor holds. Two are equal (==) if name and key are.
//
// The file. Frozen:
//
//	# <C2SP verifier key: name+hash+base64>
//	-----BEGIN PUBLIC KEY-----
//	<base64 of the SubjectPublicKeyInfo>
//	-----END PUBLIC KEY-----
type PublicKey struct {
	name string
	key  [ed25519.PublicKeySize]byte
}

func newPublicKey(name string, key ed25519.PublicKey) (PublicKey, error) {
	if !ValidKeyName(name) || len(key) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("%w: name or length", ErrKey)
	}
	return PublicKey{name, [ed25519.PublicKeySize]byte(key)}, nil
}

// LoadPublicKey reads the public key that lies at path. A private key is refused, with a hint at its public half: who checks needs no secret, and
// should not get used to handing one about.
func LoadPublicKey(path string) (PublicKey, error) {
	data, err := keyfile.Read(path)
	if err != nil {
		return PublicKey{}, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("PRIVATE+KEY+")) {
		return PublicKey{}, &sink.HintError{
			Err:  fmt.Errorf("%s: %w: it is a private key", path, ErrKey),
			Hint: "give its public half, " + path + ".pub",
		}
	}
	p, err := ParsePublicKey(data)
	if err != nil {
		return PublicKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// ParsePublicKey reads a public key file. Its comment and its PEM block must hold the same key.
func ParsePublicKey(data []byte) (PublicKey, error) {
	first, _, _ := strings.Cut(string(data), "\n")
	vkey, ok := strings.CutPrefix(first, "# ")
	name, rest, ok2 := strings.Cut(vkey, "+")
	_, encoded, ok3 := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || !ok2 || !ok3 || err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("%w: the first line must be a comment with a verifier key", ErrKey)
	}
	p, err := newPublicKey(name, raw[1:])
	if err != nil {
		return PublicKey{}, err
	}
	// What the file says must be what we would write: comment, key hash and PEM then agree.
	if !bytes.Equal(bytes.TrimSpace(data), bytes.TrimSpace(p.PEM())) {
		return PublicKey{}, fmt.Errorf("%w: the verifier key in the comment and the PEM block differ, or there is more than these", ErrKey)
	}
	return p, nil
}

// ParseVerifierKey reads what VerifierKey wrote, and nothing else that means the same.
func ParseVerifierKey(vkey string) (PublicKey, error) {
	name, rest, ok := strings.Cut(vkey, "+")
	_, encoded, ok2 := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || !ok2 || err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("%w: %.80q is no verifier key", ErrKey, vkey)
	}
	p, err := newPublicKey(name, raw[1:])
	if err != nil {
		return PublicKey{}, err
	}
	if p.VerifierKey() != vkey {
		return PublicKey{}, fmt.Errorf("%w: the parts of the verifier key %.80q contradict each other", ErrKey, vkey)
	}
	return p, nil
}

// Named returns the same key under another name: its signatures and its key hash differ, its ID does not.
func (p PublicKey) Named(name string) (PublicKey, error) { return newPublicKey(name, p.key[:]) }

// Verifier checks signatures of this key.
func (p PublicKey) Verifier() note.Verifier { return p.verifier() }

// IsZero reports whether p is no key at all.
func (p PublicKey) IsZero() bool { return p == PublicKey{} }

// Name is the key's name in signatures.
func (p PublicKey) Name() string { return p.name }

// ID names the key in manifests and in the store: the first 24 hex digits of the SHA-256 of its SubjectPublicKeyInfo (DER). Without us:
//
//	openssl pkey -pubin -in KEY.pub -outform DER | sha256sum | cut -c1-24
func (p PublicKey) ID() string {
	sum := sha256.Sum256(p.der())
	return hex.EncodeToString(sum[:idSize])
}

const idSize = 12

// IsKeyID reports whether id has the shape of a key's ID.
func IsKeyID(id string) bool {
	return len(id) == 2*idSize && strings.Trim(id, "0123456789abcdef") == ""
}

// Fingerprint is the ID in groups of four digits, to be read out over a telephone: 96 bits, which nobody can search for a second key.
func (p PublicKey) Fingerprint() string { return fingerprint(p.ID()) }

func fingerprint(id string) string {
	var groups []string
	for ; len(id) > 4; id = id[4:] {
		groups = append(groups, id[:4])
	}
	return strings.Join(append(groups, id), "-")
}

// VerifierKey returns the key as C2SP signed notes write it: name+hash+base64.
func (p PublicKey) VerifierKey() string {
	vkey, err := note.NewEd25519VerifierKey(p.name, p.key[:])
	if err != nil {
		panic(err) // the length is right, which is all it checks
	}
	return vkey
}

// PEM returns the content of the key's file.
func (p PublicKey) PEM() []byte {
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.der()})
	return append([]byte("# "+p.VerifierKey()+"\n"), block...)
}

func (p PublicKey) der() []byte {
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(p.key[:]))
	if err != nil {
		panic(err) // it knows Ed25519
	}
	return der
}

// String returns name and fingerprint.
func (p PublicKey) String() string { return p.name + " " + p.Fingerprint() }

func (p PublicKey) verifier() note.Verifier {
	v, err := note.NewVerifier(p.VerifierKey())
	if err != nil {
		panic(err) // newPublicKey has checked the name
	}
	return v
}

// Verifiers returns what OpenNote asks for: the keys that are trusted.
func Verifiers(keys ...PublicKey) note.Verifiers {
	list := make([]note.Verifier, len(keys))
	for i, p := range keys {
		list[i] = p.verifier()
	}
	return note.VerifierList(list...)
}

// ValidKeyName reports whether a key, or a log, may have that name in signatures.
func ValidKeyName(name string) bool {
	if name == "" || strings.Contains(name, "+") || strings.ToValidUTF8(name, "") != name {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) < 0
}
