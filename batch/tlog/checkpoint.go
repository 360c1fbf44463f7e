package tlog

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
)

// MaxCheckpoint is how large a checkpoint may be, in bytes.
const MaxCheckpoint = 64 << 10

// Checkpoint is the head of a log: all its leaves are under Root.
//
// The file is a C2SP checkpoint without extension lines, and with the log's signature only, which bears the origin as its name. Frozen:
//
//	<origin>
//	<size>
//	<base64 of the root>
//
//	— <origin> <base64 of key hash and signature>
type Checkpoint struct {
	Origin string
	Size   int64
	Root   seal.Hash
}

// Tree is the checkpoint as x/mod's tlog takes it.
func (c Checkpoint) Tree() tlog.Tree { return tlog.Tree{N: c.Size, Hash: tlog.Hash(c.Root)} }

func (c Checkpoint) text() string {
	return torchwood.Checkpoint{Origin: c.Origin, Tree: c.Tree()}.String()
}

// SignCheckpoint returns the file of a checkpoint.
func SignCheckpoint(c Checkpoint, s seal.Signer) ([]byte, error) {
	if c.Size < 1 || c.Size > MaxSize {
		return nil, fmt.Errorf("%w: size %d", ErrCheckpoint, c.Size)
	}
	signer, err := seal.CheckpointSigner(s, c.Origin)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	data, err := note.Sign(&note.Note{Text: c.text()}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint of size %d: %w", c.Size, err)
	}
	return data, nil
}

// OpenCheckpoint reads a checkpoint that key must have signed.
func OpenCheckpoint(data []byte, key seal.PublicKey) (Checkpoint, error) {
	c, err := ParseCheckpoint(data)
	if err != nil {
		return Checkpoint{}, err
	}
	named, err := key.Named(c.Origin)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if _, err := note.Open(data, seal.Verifiers(named)); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: of size %d, by key %s: %w", ErrCheckpoint, c.Size, key.Fingerprint(), err)
	}
	return c, nil
}

// ParseCheckpoint reads a checkpoint without checking its signature.
func ParseCheckpoint(data []byte) (Checkpoint, error) {
	if len(data) > MaxCheckpoint {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrCheckpoint, len(data), MaxCheckpoint)
	}
	n, err := parseNote(data)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	parsed, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	c := Checkpoint{parsed.Origin, parsed.N, seal.Hash(parsed.Hash)}
	switch {
	case c.Size < 1 || c.Size > MaxSize:
		return Checkpoint{}, fmt.Errorf("%w: size %d", ErrCheckpoint, c.Size)
	case c.text() != n.Text:
		return Checkpoint{}, fmt.Errorf("%w: it has more lines than three, or others", ErrCheckpoint)
	case len(n.UnverifiedSigs) != 1 || n.UnverifiedSigs[0].Name != c.Origin:
		return Checkpoint{}, fmt.Errorf("%w: it must bear one signature, of %.80q", ErrCheckpoint, c.Origin)
	}
	return c, nil
}

// maxSignatures is how many signatures a note of the log may bear.
const maxSignatures = 4

var errNote = errors.New("not a signed note, or not as Daybook writes it")

// parseNote takes a signed note apart without checking its signatures: they all are in UnverifiedSigs.
func parseNote(data []byte) (*note.Note, error) {
	if strings.Count(string(data), "\n— ") > maxSignatures {
		return nil, fmt.Errorf("%w: more than %d signatures", errNote, maxSignatures)
	}
	_, err := note.Open(data, nil)
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil, errNote
	}
	// What Open passes over, such as a signature that stands there twice, shows when the note is written again.
	again, err := note.Sign(unverified.Note)
	if err != nil || string(again) != string(data) {
		return nil, errNote
	}
	return unverified.Note, nil
}
