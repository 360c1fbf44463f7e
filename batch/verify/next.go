package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	logs "daybook/batch/tlog"
	"daybook/sink"
)

// maxNext is how large the object of a step of the log may be, in bytes.
const maxNext = 17 << 20

// minEntry is fewer bytes than any leaf has.
const minEntry = 8

// step is what follows a checkpoint: the next one and the entries between. The log puts it first.
type step struct {
	signed  []byte
	c       logs.Checkpoint
	entries [][]byte
}

var errStep = errors.New("not what follows a checkpoint")

func parseStep(from int64, data []byte) (*step, error) {
	signed, data, err := torchwood.ReadTileEntry(data)
	if err != nil {
		return nil, err
	}
	c, err := logs.ParseCheckpoint(signed)
	if err != nil {
		return nil, err
	}
	s := &step{signed: signed, c: c}
	for len(data) > 0 && int64(len(s.entries)) <= c.Size-from {
		var entry []byte
		if entry, data, err = torchwood.ReadTileEntry(data); err != nil {
			return nil, err
		}
		if len(entry) < minEntry { // millions of blank entries must not become millions of slices
			return nil, fmt.Errorf("%w: an entry of %d bytes", errStep, len(entry))
		}
		s.entries = append(s.entries, entry)
	}
	if len(s.entries) == 0 || from+int64(len(s.entries)) != c.Size {
		return nil, fmt.Errorf("%w: other than %d leaves, and a checkpoint of %d", errStep, len(s.entries), c.Size)
	}
	return s, nil
}

// readStep reads what follows a size; nil if there is nothing, or it is at fault, which is told.
func (v *verifier) readStep(ctx context.Context, from int64) (*step, Finding) {
	key := logs.NextKey(from)
	about := Finding{Code: codeLogAltered, Key: key, Expected: fmt.Sprintf("the leaves from %d on, and their checkpoint", from)}
	at := v.locate(key, Finding{})
	if !at.there {
		return nil, about
	}
	data, err := v.read(ctx, at, maxNext)
	if err != nil {
		v.fault(err, about, codeLogObjectMissing, codeLogAltered)
		return nil, about
	}
	s, err := parseStep(from, data)
	if err != nil {
		about.Found = err.Error()
		v.add(about)
		return nil, about
	}
	return s, about
}

// finishLog takes in what follows the newest checkpoint: the log's publication was interrupted, or somebody removed the checkpoint but not this.
func (v *verifier) finishLog(ctx context.Context) {
	l := v.log
	for len(l.hashes) > 0 && ctx.Err() == nil {
		if v.inv.find(logs.NextKey(l.size)) == nil {
			return
		}
		from := l.size
		s, about := v.readStep(ctx, from)
		if s == nil {
			return
		}
		if !v.follows(l, s, about) {
			l.broken = true
			return
		}
		for i, entry := range s.entries {
			v.leaf(l, from+int64(i), entry)
		}
		l.sizes = append(l.sizes, s.c.Size)
		about.Code, about.Expected, about.Found = codeLogUnfinished, fmt.Sprintf("the checkpoint of %d leaves", s.c.Size), fmt.Sprintf("that of %d", l.head.Size)
		v.add(about)
	}
}

// follows reports whether a step goes on from the log, and adds its hashes. None of its leaves is believed before its checkpoint is: anybody who may write to the
// store can put one that tells of an erasure.
func (v *verifier) follows(l *logState, s *step, about Finding) bool {
	keys, before := l.keyring.Clone(), len(l.hashes)
	for i, entry := range s.entries {
		index := l.size + int64(i)
		if _, err := keys.Apply(index, entry); err != nil {
			about.Code, about.Found = codeLeafInvalid, err.Error()
			v.add(about)
			l.hashes = l.hashes[:before]
			return false
		}
		l.appendHash(index, tlog.RecordHash(entry))
	}
	key, err := keys.Signer(s.c.Size)
	if err == nil {
		_, err = logs.OpenCheckpoint(s.signed, key)
	}
	if err == nil && s.c.Origin != keys.Origin() {
		err = fmt.Errorf("origin %s", s.c.Origin)
	}
	root, rootErr := tlog.TreeHash(s.c.Size, l)
	switch {
	case err != nil:
		about.Code, about.Found = codeCheckpoint, err.Error()
		about.Expected = fmt.Sprintf("%s, %d leaves, signed by %v", keys.Origin(), s.c.Size, key)
	case rootErr != nil || seal.Hash(root) != s.c.Root:
		about.Code, about.Expected, about.Found = codeForked, "root "+seal.Hash(root).String(), "root "+s.c.Root.String()+", with a good signature"
	default:
		return true
	}
	v.add(about)
	l.hashes = l.hashes[:before]
	return false
}

// checkNexts goes from step to step and checks what follows each checkpoint. A step names the checkpoint that it leads to, so that none can be taken away
// from between two others.
func (v *verifier) checkNexts(ctx context.Context) {
	l := v.log
	if len(l.hashes) == 0 { // nothing to compare with, which is told
		for _, from := range v.inv.nexts {
			v.inv.explain(logs.NextKey(from))
		}
		return
	}
	for from := int64(0); from < l.size && ctx.Err() == nil; {
		key := logs.NextKey(from)
		if v.inv.find(key) == nil {
			v.fault(sink.ErrNotExist, Finding{Key: key, Expected: fmt.Sprintf("what follows %d leaves", from)}, codeLogObjectMissing, codeLogAltered)
		} else if from < l.head.Size { // those beyond were looked at when they were taken in
			if s, about := v.readStep(ctx, from); s != nil && v.checkStep(from, s, about) {
				v.stepTo(s.c.Size, key)
			}
		}
		i, _ := slices.BinarySearch(l.sizes, from+1)
		if i == len(l.sizes) {
			return
		}
		from = l.sizes[i]
	}
}

// stepTo takes in the size that a step leads to, and reports its checkpoint if it is gone. What else was published with it is known then.
func (v *verifier) stepTo(size int64, step string) {
	l := v.log
	i, there := slices.BinarySearch(l.sizes, size)
	if there {
		return
	}
	l.sizes = slices.Insert(l.sizes, i, size)
	about := Finding{Key: logs.CheckpointKey(size), Expected: fmt.Sprintf("the checkpoint of %d leaves, which %s leads to", size, step)}
	v.fault(sink.ErrNotExist, about, codeLogObjectMissing, codeLogAltered)
}

// checkStep checks what follows a checkpoint, and reports whether its leaves and the signature of its checkpoint are good.
func (v *verifier) checkStep(from int64, s *step, about Finding) bool {
	l := v.log
	for i, entry := range s.entries {
		index := from + int64(i)
		if index >= l.size {
			break
		}
		if hash, want := tlog.RecordHash(entry), l.hashes[tlog.StoredHashIndex(0, index)]; hash != want {
			about.Expected, about.Found = fmt.Sprintf("leaf %d with hash %x", index, want[:8]), fmt.Sprintf("%x", hash[:8])
			v.add(about)
			return false
		}
	}
	there := l.anchored[s.c.Size]
	if bytes.Equal(s.signed, there) {
		return true
	}
	if !v.checkCheckpoint(s.signed, s.c, about) {
		return false
	}
	if there != nil { // one that is at fault is told
		about.Expected, about.Found = "the checkpoint as it is", "another"
		v.add(about)
	}
	return true
}
