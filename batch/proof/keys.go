package proof

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/batch/tlog"
)

// keyChain follows a log's keys from key leaf to key leaf, as tlog.Keyring follows them from leaf to leaf: the leaves in between are not in a proof. Its rules are
// those of the Keyring; TestForgedKeys holds the two together.
type keyChain struct {
	origin string
	next   int64 // the smallest index that the next key leaf can have
	keys   []tlog.KeyRange
	byID   map[string]int // which of keys
}

// maxKeyLeaves is how many key leaves a proof may have: each costs two signatures to check.
const maxKeyLeaves = 10_000

func (c *keyChain) apply(index int64, entry []byte) error {
	if index < c.next || c.next == 0 && index != 0 {
		return fmt.Errorf("leaf %d: %w: it is not the first, or out of order", index, tlog.ErrLeaf)
	}
	leaf, _, err := tlog.ParseLeaf(entry)
	if err == nil && leaf.Type != tlog.TypeKey {
		err = fmt.Errorf("%w: it is about a %s", tlog.ErrLeaf, leaf.Type)
	}
	if err == nil {
		err = c.applyKey(index, leaf.Key, entry)
	}
	if err != nil {
		return fmt.Errorf("leaf %d: %w", index, err)
	}
	c.next = index + 1
	return nil
}

func (c *keyChain) applyKey(index int64, l *tlog.KeyLeaf, entry []byte) error {
	key, err := seal.ParseVerifierKey(l.Key)
	if err != nil {
		return err
	}
	known := c.find(key.ID())
	current := len(c.keys) - 1
	if (l.Action == tlog.Genesis) != (current < 0) {
		return fmt.Errorf("%w: the first leaf, and no other, is the genesis", tlog.ErrLeaf)
	}
	switch l.Action {
	case tlog.Genesis:
		c.origin = l.Origin
		c.add(tlog.KeyRange{Key: key, Last: -1, RevokedFrom: -1})
		return signedBy(entry, key)
	case tlog.Rotate:
		before := c.keys[current].Key
		if l.Previous != before.VerifierKey() || known >= 0 {
			return fmt.Errorf("%w: %s does not follow the key in force, or was in force before", tlog.ErrLeaf, key.Fingerprint())
		}
		c.keys[current].Last = index
		c.add(tlog.KeyRange{Key: key, First: index + 1, Last: -1, RevokedFrom: -1})
		return signedBy(entry, before, key)
	}
	switch { // a revocation: ParseLeaf knows no other
	case known < 0 || known == current || c.keys[known].Key != key:
		return fmt.Errorf("%w: %s is in force or never was, and cannot be revoked", tlog.ErrLeaf, key.Fingerprint())
	case l.From > index || c.keys[known].RevokedFrom >= 0 && c.keys[known].RevokedFrom <= l.From:
		return fmt.Errorf("%w: %s cannot be revoked from leaf %d on", tlog.ErrLeaf, key.Fingerprint(), l.From)
	}
	c.keys[known].RevokedFrom = l.From
	return signedBy(entry, c.keys[current].Key)
}

// signedBy checks that a leaf bears the signatures of just these keys.
func signedBy(entry []byte, keys ...seal.PublicKey) error {
	n, err := note.Open(entry, seal.Verifiers(keys...))
	if err != nil {
		return fmt.Errorf("%w: %w", tlog.ErrLeaf, err)
	}
	if len(n.Sigs) != len(keys) || len(n.UnverifiedSigs) != 0 {
		return fmt.Errorf("%w: it does not bear just the %d signatures that it must", tlog.ErrLeaf, len(keys))
	}
	return nil
}

// find returns which key has that ID; -1 if none has.
func (c *keyChain) find(id string) int {
	if i, ok := c.byID[id]; ok {
		return i
	}
	return -1
}

// add appends a key that comes into force.
func (c *keyChain) add(r tlog.KeyRange) {
	if c.byID == nil {
		c.byID = map[string]int{}
	}
	c.byID[r.Key.ID()] = len(c.keys)
	c.keys = append(c.keys, r)
}

// at returns the key with that ID, if its signature counts for the leaf of that index.
func (c *keyChain) at(id string, index int64) (seal.PublicKey, error) {
	i := c.find(id)
	if i < 0 {
		return seal.PublicKey{}, fmt.Errorf("key %.80q: %w", id, tlog.ErrUnknownKey)
	}
	r := c.keys[i]
	switch {
	case index < r.First || r.Last >= 0 && index > r.Last:
		return r.Key, fmt.Errorf("key %s: %w at leaf %d", id, tlog.ErrKeyRange, index)
	case r.RevokedFrom >= 0 && index >= r.RevokedFrom:
		return r.Key, fmt.Errorf("key %s: %w from leaf %d on", id, tlog.ErrRevoked, r.RevokedFrom)
	}
	return r.Key, nil
}

// signer returns which key must have signed the checkpoint of that size, all of whose key leaves were applied: the last, which is in force for the leaf that
// follows.
func (c *keyChain) signer(size int64) (int, error) {
	if len(c.keys) == 0 || size < c.next {
		return 0, errors.New("the checkpoint is smaller than the leaves that tell of its keys")
	}
	return len(c.keys) - 1, nil
}
