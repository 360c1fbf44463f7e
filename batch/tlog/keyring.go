package tlog

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
)

// Keyring follows a log's keys from leaf to leaf.
//
// Leaf 0 is the genesis: it names the log and its first key, which signs it. A rotation is signed by the key in force and by the one that follows; that
// one is in force from the next leaf on, and signs the checkpoint whose last leaf is the rotation. A key never comes back. A revocation is signed by
// the key in force, is about another, and says from which leaf on, which may be long past, that one's signatures count no more. Who lost the key in
// force begins a new log, under another prefix.
//
// The zero Keyring is that of an empty log.
type Keyring struct {
	origin string
	size   int64
	keys   []KeyRange
}

// KeyRange is a key, and the leaves for which it is in force.
type KeyRange struct {
	Key seal.PublicKey
	// First and Last are the first and the last of these leaves; Last is -1 as long as the key is in force.
	First, Last int64
	// RevokedFrom is the first leaf for which it counts no more; -1 if it was not revoked.
	RevokedFrom int64
}

// Apply takes the next leaf of the log, whose index must be how many came before. What it says of keys is checked, its signatures, and all that can be seen
// from the leaf alone. After an error the keyring is as before.
func (k *Keyring) Apply(index int64, entry []byte) (*Leaf, error) {
	if index != k.size {
		return nil, fmt.Errorf("leaf %d: %w: leaf %d is due", index, ErrLeaf, k.size)
	}
	l, _, err := ParseLeaf(entry)
	if err != nil {
		return nil, fmt.Errorf("leaf %d: %w", index, err)
	}
	genesis := l.Type == TypeKey && l.Key.Action == Genesis
	if genesis != (index == 0) {
		return nil, fmt.Errorf("leaf %d: %w: the first leaf, and no other, is the genesis", index, ErrLeaf)
	}
	switch l.Type {
	case TypeKey:
		err = k.applyKey(index, l.Key, entry)
	case TypeReview:
		var reviewer seal.PublicKey
		if reviewer, err = seal.ParseVerifierKey(l.Review.Reviewer); err == nil {
			err = signedBy(entry, reviewer)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("leaf %d: %w", index, err)
	}
	k.size++
	return l, nil
}

func (k *Keyring) applyKey(index int64, l *KeyLeaf, entry []byte) error {
	key, err := seal.ParseVerifierKey(l.Key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	at := slices.IndexFunc(k.keys, func(r KeyRange) bool { return r.Key.ID() == key.ID() })
	switch l.Action {
	case Genesis:
		if err := signedBy(entry, key); err != nil {
			return err
		}
		k.origin = l.Origin
		k.keys = append(k.keys, KeyRange{key, 0, -1, -1})
	case Rotate:
		switch {
		case l.Previous != k.Current().VerifierKey():
			return fmt.Errorf("%w: %s follows a key that is not in force", ErrLeaf, key.Fingerprint())
		case at >= 0:
			return fmt.Errorf("%w: key %s was in force before", ErrLeaf, key.Fingerprint())
		}
		if err := signedBy(entry, k.Current(), key); err != nil {
			return err
		}
		k.keys[len(k.keys)-1].Last = index
		k.keys = append(k.keys, KeyRange{key, index + 1, -1, -1})
	case Revoke:
		switch {
		case at < 0 || k.keys[at].Key != key:
			return fmt.Errorf("%w: %w: %s cannot be revoked", ErrLeaf, ErrUnknownKey, key.Fingerprint())
		case at == len(k.keys)-1:
			return fmt.Errorf("%w: key %s is in force: another must follow it before it can be revoked", ErrLeaf, key.Fingerprint())
		case l.From > index:
			return fmt.Errorf("%w: revoked from leaf %d on, which is yet to come", ErrLeaf, l.From)
		case k.keys[at].RevokedFrom >= 0 && k.keys[at].RevokedFrom <= l.From:
			return fmt.Errorf("%w: key %s is revoked from leaf %d on as it is", ErrLeaf, key.Fingerprint(), k.keys[at].RevokedFrom)
		}
		if err := signedBy(entry, k.Current()); err != nil {
			return err
		}
		k.keys[at].RevokedFrom = l.From
	}
	return nil
}

// signedBy checks that a leaf bears the signatures of just these keys.
func signedBy(entry []byte, keys ...seal.PublicKey) error {
	n, err := note.Open(entry, seal.Verifiers(keys...))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	if len(n.Sigs) != len(keys) || len(n.UnverifiedSigs) != 0 {
		return fmt.Errorf("%w: %d signatures are missing, %d too many", ErrLeaf, len(keys)-len(n.Sigs), len(n.UnverifiedSigs))
	}
	return nil
}

// Size is how many leaves were applied.
func (k *Keyring) Size() int64 { return k.size }

// Origin is the log's name; blank for an empty log.
func (k *Keyring) Origin() string { return k.origin }

// Current returns the key in force; the zero key for an empty log.
func (k *Keyring) Current() seal.PublicKey {
	if len(k.keys) == 0 {
		return seal.PublicKey{}
	}
	return k.keys[len(k.keys)-1].Key
}

// Keys returns all keys, in the order in which they came into force.
func (k *Keyring) Keys() []KeyRange { return slices.Clone(k.keys) }

// Find returns the key with that ID.
func (k *Keyring) Find(id string) (KeyRange, bool) {
	i := slices.IndexFunc(k.keys, func(r KeyRange) bool { return r.Key.ID() == id })
	if i < 0 {
		return KeyRange{}, false
	}
	return k.keys[i], true
}

// Check reports why a signature of the key with that ID does not count for the leaf of that index: ErrUnknownKey, ErrKeyRange, ErrRevoked.
func (k *Keyring) Check(id string, index int64) error {
	r, ok := k.Find(id)
	switch {
	case !ok:
		return fmt.Errorf("key %s: %w", id, ErrUnknownKey)
	case index < r.First || r.Last >= 0 && index > r.Last:
		return fmt.Errorf("key %s: %w at leaf %d, only %s", id, ErrKeyRange, index, r.leaves())
	case r.RevokedFrom >= 0 && index >= r.RevokedFrom:
		return fmt.Errorf("key %s: %w from leaf %d on", id, ErrRevoked, r.RevokedFrom)
	}
	return nil
}

func (r KeyRange) leaves() string {
	if r.Last < 0 {
		return fmt.Sprintf("from leaf %d on", r.First)
	}
	return fmt.Sprintf("from leaf %d to %d", r.First, r.Last)
}

// Signer returns the key that must have signed the checkpoint of that size: the one in force for the leaf that follows it. With it comes ErrRevoked, if its
// signature counts no more for the checkpoint's last leaf.
func (k *Keyring) Signer(size int64) (seal.PublicKey, error) {
	if size < 1 || size > k.size {
		return seal.PublicKey{}, fmt.Errorf("%w: there are %d leaves, which say nothing of a checkpoint of size %d", ErrUnknownKey, k.size, size)
	}
	for _, r := range k.keys {
		if size < r.First || r.Last >= 0 && size > r.Last {
			continue
		}
		if r.RevokedFrom >= 0 && size-1 >= r.RevokedFrom {
			return r.Key, fmt.Errorf("key %s: %w from leaf %d on", r.Key.ID(), ErrRevoked, r.RevokedFrom)
		}
		return r.Key, nil
	}
	return seal.PublicKey{}, fmt.Errorf("%w: none is in force at leaf %d", ErrUnknownKey, size)
}

// Clone returns a keyring that goes on from here by itself.
func (k *Keyring) Clone() *Keyring {
	c := *k
	c.keys = slices.Clone(k.keys)
	return &c
}

// state is what a log's leaves say, as far as it matters to who extends it.
type state struct {
	keys   *Keyring
	logged map[string]uint64
	holds  *Holds
	// extensions are in the order of their leaves.
	extensions Extensions
}

func newState() *state { return &state{keys: &Keyring{}, logged: map[string]uint64{}, holds: &Holds{}} }

func (s *state) clone() *state {
	return &state{s.keys.Clone(), maps.Clone(s.logged), s.holds.clone(), slices.Clone(s.extensions)}
}

// apply takes the next leaf. A trail's seals come in order, without a hole.
func (s *state) apply(entry []byte) error {
	index := s.keys.size
	next := s.keys.Clone()
	l, err := next.Apply(index, entry)
	if err != nil {
		return err
	}
	if l.Type == TypeSeal {
		if due := s.logged[l.Seal.Trail] + 1; l.Seal.Seal != due {
			return fmt.Errorf("leaf %d: %w: seal %d of %s, but %d is due", index, ErrLeaf, l.Seal.Seal, l.Seal.Trail, due)
		}
		s.logged[l.Seal.Trail] = l.Seal.Seal
	}
	if l.Type == TypeHold {
		s.holds.Apply(index, l.Time, l.Hold)
	}
	if l.Type == TypeExtension {
		s.extensions = append(s.extensions, Extension{*l.Extension, l.Time, index})
	}
	s.keys = next
	return nil
}
