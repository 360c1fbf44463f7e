package proof

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"daybook/batch/anchor"
	"daybook/batch/tlog"
)

// maxReceipts is how many receipts a proof may have.
const maxReceipts = 64

// receipts checks what anchors gave for the checkpoint, and whether the policy is met.
func (c *checker) receipts() error {
	list, known := c.proof.Log.Receipts, c.given.policy
	if len(list) > maxReceipts {
		return fmt.Errorf("%d receipts, at most %d are allowed", len(list), maxReceipts)
	}
	// The log's own signature is the first that the policy may ask for.
	sigs, _, err := open([]byte(c.proof.Log.Checkpoint), known)
	if err != nil {
		return err
	}
	for i, r := range list {
		if i > 0 && compareReceipts(list[i-1], r) >= 0 {
			return fmt.Errorf("number %d is out of order or there twice", i+1)
		}
		more, err := c.receipt(r)
		if err != nil {
			return fmt.Errorf("number %d (%.20q): %w", i+1, r.Ext, err)
		}
		sigs = append(sigs, more...)
	}
	if known == nil {
		return nil
	}
	c.result.PolicyGiven = true
	// A policy that asks for nothing is met by anything, and vouches for nothing.
	if err := known.Check(c.head.Origin, sigs); err != nil {
		c.result.PolicyFault = err.Error()
	} else if len(sigs) == 0 {
		c.result.PolicyFault = "it asks for no signature"
	}
	return nil
}

func compareReceipts(a, b Receipt) int {
	return cmp.Or(strings.Compare(a.Ext, b.Ext), bytes.Compare(a.Data, b.Data))
}

// receipt checks one of them, and returns the signatures that are good by the policy.
func (c *checker) receipt(r Receipt) ([]note.Signature, error) {
	switch r.Ext {
	case tlog.CosignatureExt:
		return c.cosignature(r)
	case tlog.TimestampExt:
		return nil, c.timestamp(r)
	}
	return nil, errors.New("it is of an unknown kind")
}

// exact checks that a signed note has nothing that note.Open would pass over, such as a signature that stands there twice.
func exact(signed []byte) error {
	_, err := note.Open(signed, nil)
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return fmt.Errorf("no signed note: %w", err)
	}
	again, err := note.Sign(unverified.Note)
	if err != nil || !bytes.Equal(again, signed) {
		return errors.New("it has signature lines that are not as they are written")
	}
	return nil
}

// open returns which signatures of a note are good by the policy, and which are of others. A bad one of a key that the policy names is an error.
func open(signed []byte, policy torchwood.Policy) (good, others []note.Signature, err error) {
	var verifiers note.Verifiers
	if policy != nil {
		verifiers = policy
	}
	n, err := note.Open(signed, verifiers)
	var unverified *note.UnverifiedNoteError
	if errors.As(err, &unverified) {
		return nil, unverified.Note.UnverifiedSigs, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return n.Sigs, n.UnverifiedSigs, nil
}

// cosignature takes the lines that a witness signed.
func (c *checker) cosignature(r Receipt) ([]note.Signature, error) {
	if len(r.Data) > anchor.MaxCosignature {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(r.Data), anchor.MaxCosignature)
	}
	text, _, _ := strings.Cut(c.proof.Log.Checkpoint, "\n\n")
	cosigned := []byte(text + "\n\n" + string(r.Data))
	if err := exact(cosigned); err != nil {
		return nil, err
	}
	good, others, err := open(cosigned, c.given.policy)
	if err != nil {
		return nil, err
	}
	for _, sig := range good {
		seconds, err := torchwood.CosignatureTimestamp(sig)
		if err != nil {
			return nil, err
		}
		c.result.Receipts = append(c.result.Receipts, ReceiptResult{Kind: anchor.KindWitness, By: sig.Name, At: unix(seconds), Checked: true, Vouched: true})
	}
	for _, sig := range others {
		c.result.Receipts = append(c.result.Receipts, ReceiptResult{Kind: anchor.KindWitness, By: sig.Name})
	}
	return good, nil
}

// timestamp checks a time stamp. Nobody here vouches for its authority: whoever trusts that checks the chain of its certificate.
func (c *checker) timestamp(r Receipt) error {
	info, err := anchor.CheckTimestamp(r.Data, []byte(c.proof.Log.Checkpoint), nil)
	if err != nil {
		return err
	}
	c.result.Receipts = append(c.result.Receipts, ReceiptResult{Kind: anchor.KindTimestamp, By: info.Authority, At: info.Time, Checked: true})
	return nil
}

// pins compares the checkpoint with those that were given.
func (c *checker) pins() error {
	for _, pin := range c.given.pins {
		switch {
		case pin.Origin != c.head.Origin:
			return fmt.Errorf("that of size %d is of the log %q, the proof of %q", pin.Size, pin.Origin, c.head.Origin)
		case pin.Size == c.head.Size && pin.Root != c.head.Root:
			return fmt.Errorf("that of size %d has another root: the log was rewritten, or shows two histories", pin.Size)
		case pin.Size == c.head.Size:
			c.result.Pinned = true
		default:
			c.result.OtherPins = append(c.result.OtherPins, pin.Size)
		}
	}
	return nil
}
