package proof

import (
	"errors"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/jsonl"
)

var (
	// ErrKeyNotYours says that none of the keys that were given is one of those that the proof's log has had.
	ErrKeyNotYours = errors.New("none of the keys that were given is of the proof's log")
	// ErrKeyRevoked says that the keys that were given are of the proof's log, but were revoked from before they handed over to the next.
	ErrKeyRevoked = errors.New("the keys that were given were revoked before they could hand over to the next")
)

// Check checks all that the proof says, and returns what it proves and on whose word. What does not hold is ErrProof.
//
// trusted are the keys that the auditor has from elsewhere: one of those that the log has had until the checkpoint must be among them (ErrKeyNotYours,
// ErrKeyRevoked); from an older one the rotations are followed, each signed by the key before. Without trusted keys the word is the proof's own, and Result
// says so. policy is a C2SP policy, of the log's key, its witnesses and their quorum; nil if there is none. pinned are checkpoints that the auditor has
// from elsewhere: one of the proof's size must be the proof's, and all must be of its log.
func (p *Proof) Check(trusted []seal.PublicKey, policy []byte, pinned [][]byte) (*Result, error) {
	given, err := parseGiven(trusted, policy, pinned)
	if err != nil {
		return nil, err
	}
	c := checker{proof: p, given: given, result: &Result{Schema: Schema, Receipts: []ReceiptResult{}}}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"keys of the log", c.keys},
		{"checkpoint", c.checkpoint},
		{"seal", c.seal},
		{"event", c.event},
		{"your keys", c.trust},
		{"receipts", c.receipts},
		{"your checkpoints", c.pins},
	} {
		if err := step.do(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrProof, step.what, err)
		}
	}
	return c.result, nil
}

// given is what the auditor has from elsewhere. A fault in it is the auditor's, and not the proof's.
type given struct {
	keys   []seal.PublicKey
	policy torchwood.Policy // nil if there is none
	pins   []tlog.Checkpoint
}

func parseGiven(trusted []seal.PublicKey, policy []byte, pinned [][]byte) (given, error) {
	g := given{keys: trusted}
	if policy != nil {
		var err error
		if g.policy, err = torchwood.ParsePolicy(policy); err != nil {
			return g, fmt.Errorf("the policy that was given: %w", err)
		}
	}
	for i, data := range pinned {
		pin, err := tlog.ParseCheckpoint(data)
		if err != nil {
			return g, fmt.Errorf("checkpoint %d of those that were given: %w", i+1, err)
		}
		g.pins = append(g.pins, pin)
	}
	return g, nil
}

type checker struct {
	proof  *Proof
	given  given
	chain  keyChain
	signer int // which of the chain's keys signed the checkpoint
	head   tlog.Checkpoint
	m      *seal.Manifest
	result *Result
}

// leaf checks that a leaf is under the checkpoint.
func (c *checker) leaf(l *Leaf) error {
	if l.Index < 0 || l.Index >= c.head.Size {
		return fmt.Errorf("leaf %d is not one of %d", l.Index, c.head.Size)
	}
	if err := checkPath(l.Path, c.head.Size, c.head.Root, l.Index, []byte(l.Entry)); err != nil {
		return fmt.Errorf("leaf %d does not lie under the checkpoint", l.Index)
	}
	return nil
}

// keys follows the log's keys from its first leaf, which must be there.
func (c *checker) keys() error {
	list, files := c.proof.Log.Keys, c.proof.Log.PublicKeys
	if len(list) == 0 {
		return errors.New("the first leaf of the log is missing")
	}
	if len(list) > maxKeyLeaves {
		return fmt.Errorf("%d leaves about keys, at most %d are allowed", len(list), maxKeyLeaves)
	}
	for _, l := range list {
		if err := c.chain.apply(l.Index, []byte(l.Entry)); err != nil {
			return err
		}
	}
	if len(c.chain.keys) != len(files) {
		return fmt.Errorf("the log has had %d keys, but %d are here", len(c.chain.keys), len(files))
	}
	for i, r := range c.chain.keys {
		if files[i] != string(r.Key.PEM()) {
			return fmt.Errorf("key %d is not %v", i+1, r.Key)
		}
	}
	return nil
}

// checkpoint checks the log's head: that the key in force signed it, and that the leaves that told so are under it.
func (c *checker) checkpoint() error {
	signed := []byte(c.proof.Log.Checkpoint)
	claimed, err := tlog.ParseCheckpoint(signed)
	if err != nil {
		return err
	}
	if c.signer, err = c.chain.signer(claimed.Size); err != nil {
		return err
	}
	key := c.chain.keys[c.signer].Key
	if c.head, err = tlog.OpenCheckpoint(signed, key); err != nil {
		return err
	}
	if c.head.Origin != c.chain.origin {
		return fmt.Errorf("it is of the log %q, the first leaf of %q", c.head.Origin, c.chain.origin)
	}
	for i := range c.proof.Log.Keys {
		if err := c.leaf(&c.proof.Log.Keys[i]); err != nil {
			return err
		}
	}
	r := c.result
	r.Origin, r.Size, r.Root, r.CheckpointKey = c.head.Origin, c.head.Size, c.head.Root, keyOf(key)
	return nil
}

// seal checks manifest and note, and the leaf that names them.
func (c *checker) seal() error {
	manifest, l := []byte(c.proof.Seal.Manifest), &c.proof.Log.Seal
	if err := c.leaf(l); err != nil {
		return err
	}
	leaf, _, err := tlog.ParseLeaf([]byte(l.Entry))
	if err != nil {
		return fmt.Errorf("leaf %d: %w", l.Index, err)
	}
	if leaf.Type != tlog.TypeSeal {
		return fmt.Errorf("leaf %d is about a %s", l.Index, leaf.Type)
	}
	m, err := seal.ParseManifest(manifest)
	if err != nil {
		return err
	}
	want := tlog.SealLeaf{Trail: m.Trail, Seal: m.Seal, Day: m.Day, Addendum: m.Addendum, Manifest: seal.Sum(manifest), Key: m.Key}
	if *leaf.Seal != want {
		return fmt.Errorf("leaf %d is of another manifest", l.Index)
	}
	key, err := c.chain.at(m.Key, l.Index)
	if err != nil {
		return err
	}
	signed := []byte(c.proof.Seal.Note)
	opened, err := seal.OpenNote(signed, seal.Verifiers(key))
	if err != nil {
		return err
	}
	if err := c.noOthers(signed); err != nil {
		return err
	}
	if c.m, err = opened.Match(manifest); err != nil {
		return err
	}
	r := c.result
	r.Trail, r.Org, r.Day, r.Seal, r.Addendum, r.SealedAt, r.Manifest = m.Trail, m.Org, m.Day, m.Seal, m.Addendum, m.SealedAt, want.Manifest
	r.Leaf, r.LoggedAt, r.NoteKey = l.Index, leaf.Time, keyOf(key)
	return nil
}

// noOthers checks that a note, which is signed, bears signatures of the log's keys only.
func (c *checker) noOthers(signed []byte) error {
	if err := exact(signed); err != nil {
		return err
	}
	n, err := note.Open(signed, seal.Verifiers(publicKeys(c.chain.keys)...))
	if err == nil && len(n.UnverifiedSigs) > 0 {
		err = fmt.Errorf("it bears a signature of %.80q, which is no key of the log", n.UnverifiedSigs[0].Name)
	}
	return err
}

func publicKeys(ranges []tlog.KeyRange) []seal.PublicKey {
	list := make([]seal.PublicKey, len(ranges))
	for i, r := range ranges {
		list[i] = r.Key
	}
	return list
}

// event checks the row and its place in the sealed file.
func (c *checker) event() error {
	e := c.proof.Event
	if e == nil {
		return nil
	}
	var file *seal.File
	for i := range c.m.Files {
		if c.m.Files[i].Key == e.File {
			file = &c.m.Files[i]
		}
	}
	if file == nil || file.Format != formats.JSONL.Name {
		return fmt.Errorf("%q is no evidence file of the seal", e.File)
	}
	if e.Index < 0 || e.Index >= file.Rows {
		return fmt.Errorf("row %d is not one of %d", e.Index, file.Rows)
	}
	row := []byte(e.Row)
	if err := checkPath(e.Path, file.Rows, file.MerkleRoot, e.Index, row); err != nil {
		return fmt.Errorf("row %d does not lie under the Merkle root of %s", e.Index, file.Key)
	}
	var parsed event.Event
	if err := jsonl.ParseRow(row, &parsed); err != nil {
		return err
	}
	if parsed.Time.Before(file.First) || parsed.Time.After(file.Last) {
		return fmt.Errorf("row %d is of %v, but the file has %v to %v", e.Index, parsed.Time, file.First, file.Last)
	}
	c.result.Event = &EventResult{
		ID: parsed.Get(event.ID), Source: parsed.Get(event.Source), Time: parsed.Time, Action: parsed.Get(event.Action), Actor: parsed.Get(event.ActorID),
		File: file.Key, SHA256: file.SHA256, Index: e.Index, Rows: file.Rows, Row: e.Row,
	}
	return nil
}

// trust finds the key that was given from which the checkpoint's signer follows.
func (c *checker) trust() error {
	c.result.KeysGiven = len(c.given.keys) > 0
	given := map[string]bool{}
	for _, k := range c.given.keys {
		given[k.ID()] = true
	}
	revoked := false
	// From the signer back: who holds a later key needs to believe less.
	for i := c.signer; i >= 0; i-- {
		r := c.chain.keys[i]
		if i < c.signer && r.RevokedFrom >= 0 && r.RevokedFrom <= r.Last {
			revoked = true // its signature under the rotation to the next key counts no more, so that neither it nor an older key leads further
		}
		if !given[r.Key.ID()] {
			continue
		}
		if revoked {
			return fmt.Errorf("%w: key %s", ErrKeyRevoked, r.Key.Fingerprint())
		}
		key := keyOf(r.Key)
		c.result.Key = &key
		for _, next := range c.chain.keys[i+1 : c.signer+1] {
			c.result.Rotations = append(c.result.Rotations, keyOf(next.Key))
		}
		return nil
	}
	if c.result.KeysGiven {
		return ErrKeyNotYours
	}
	return nil
}
