// Package proof makes and checks one-file proofs: that an event was sealed, for somebody who has neither the store nor us.
//
// What it guarantees: a proof that Check accepts shows, by hashes and signatures alone and offline, that the event's evidence row stands at its place in a
// sealed file, that the file's Merkle root is in the manifest whose note is signed, that the manifest is in the store's log, and that the log's head is in a
// signed checkpoint. Parse accepts only what Encode writes, to the byte. Result says on whose word all that stands.
//
// What it does not: a proof says nothing about other events. That there are no more of one id, that none is missing, and that no key was revoked since
// the checkpoint, only the store can tell (package verify).
//
// BUG(proof): a revocation that whoever made the proof has left out cannot be seen in it, since that a leaf is not about keys is shown by nothing but the leaf. A
// proof is refused to whoever holds only a key that was revoked, and verify sees all leaves.
package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"daybook/batch/seal"
)

// Schema is the version of the proof that this package writes, and the only one that it reads.
const Schema = 1

// MaxProof is how large a proof may be, in bytes: it holds a manifest and a note.
const MaxProof = 256 << 20

// MaxRow is how long an evidence row may be that is looked for, in bytes. A longer one would not fit into a proof.
const MaxRow = MaxProof

// ErrProof says that a proof is not one that Daybook wrote, or does not prove what it says.
var ErrProof = errors.New("not a valid proof")

// ErrSchema says that a proof is of a schema that this program does not know: a newer one may be able to check it.
var ErrSchema = errors.New("unknown schema version")

// Proof shows that an event, or only a seal, is under a signed checkpoint. The file is JSON, members in the order of the structs, indented by two spaces, one
// line feed at the end. Texts stand in it as they are in the store, so that `jq -j .seal.note` gives the note's bytes. Frozen for Schema 1:
//
//	{
//	  "schema": 1,
//	  "event": {                    absent in the proof of a seal
//	    "file": "jsonl/class=…",    the evidence file's key
//	    "index": 0,                 the row's place in the file, from 0
//	    "row": "{\"id\":…}",
//	    "path": ["<hex>", …]        RFC 6962 inclusion path, from the leaf to the root
//	  },
//	  "seal": {
//	    "manifest": "…",
//	    "note": "…"
//	  },
//	  "log": {
//	    "seal": {"index": 41, "entry": "…", "path": […]},
//	    "keys": [{"index": 0, "entry": "…", "path": […]}, …],
//	    "public_keys": ["# …\n-----BEGIN PUBLIC KEY-----\n…", …],
//	    "checkpoint": "…",
//	    "receipts": [{"ext": ".tsr", "data": "<base64>"}, …]
//	  }
//	}
type Proof struct {
	Schema int    `json:"schema"`
	Event  *Event `json:"event,omitempty"`
	Seal   Seal   `json:"seal"`
	Log    Log    `json:"log"`
}

// Event is an evidence row and its place.
type Event struct {
	File  string      `json:"file"`
	Index int64       `json:"index"`
	Row   string      `json:"row"`
	Path  []seal.Hash `json:"path"`
}

// Seal is what the store has under seals/.
type Seal struct {
	Manifest string `json:"manifest"`
	Note     string `json:"note"`
}

// Log is what is needed of the store's log.
type Log struct {
	// Seal is the leaf that names the manifest.
	Seal Leaf `json:"seal"`
	// Keys are the leaves that tell of keys, in order, from the log's first leaf to the checkpoint: by these who holds one of the keys can follow to the others.
	Keys []Leaf `json:"keys"`
	// PublicKeys are the files of these keys, in the same order.
	PublicKeys []string `json:"public_keys"`
	Checkpoint string   `json:"checkpoint"`
	// Receipts are those that the store has for the checkpoint.
	Receipts []Receipt `json:"receipts"`
}

// Leaf is a leaf of the log.
type Leaf struct {
	Index int64       `json:"index"`
	Entry string      `json:"entry"`
	Path  []seal.Hash `json:"path"`
}

// Receipt is what an anchor gave for the checkpoint.
type Receipt struct {
	// Ext is that of its key: .cosig is signature lines of a witness, .tsr a time stamp.
	Ext  string `json:"ext"`
	Data []byte `json:"data"`
}

// Encode returns the file.
func (p *Proof) Encode() []byte {
	c := *p
	// null and [] would be two ways to say the same.
	if p.Event != nil {
		e := *p.Event
		e.Path = orEmpty(e.Path)
		c.Event = &e
	}
	c.Log.Seal.Path = orEmpty(c.Log.Seal.Path)
	c.Log.Keys = make([]Leaf, len(p.Log.Keys))
	for i, k := range p.Log.Keys {
		k.Path = orEmpty(k.Path)
		c.Log.Keys[i] = k
	}
	c.Log.PublicKeys = orEmpty(c.Log.PublicKeys)
	c.Log.Receipts = make([]Receipt, len(p.Log.Receipts))
	for i, r := range p.Log.Receipts {
		r.Data = orEmpty(r.Data)
		c.Log.Receipts[i] = r
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(&c); err != nil {
		panic(err) // no member can fail to be marshalled
	}
	return b.Bytes()
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Parse reads a proof, and fails closed: it must be what Encode writes, to the byte. It checks nothing that it says: Check does.
func Parse(data []byte) (*Proof, error) {
	if len(data) > MaxProof {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrProof, len(data), MaxProof)
	}
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if version.Schema != Schema {
		return nil, fmt.Errorf("%w: %w: %d, only %d is known", ErrProof, ErrSchema, version.Schema, Schema)
	}
	p := new(Proof)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	// encoding/json passes over unknown members, takes the last of two of a name and any case of it: a comparison shows all that.
	if again := p.Encode(); !bytes.Equal(data, again) {
		return nil, fmt.Errorf("%w: line %d is not as Daybook writes it", ErrProof, firstDifference(data, again))
	}
	return p, nil
}

func firstDifference(a, b []byte) (line int) {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return 1 + bytes.Count(a[:n], []byte("\n"))
}
