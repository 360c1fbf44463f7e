package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	logs "daybook/batch/tlog"
	"daybook/sink"
)

// maxNext is how large the object of a step of the log may be, in bytes.
const maxNext = 17 << 20

// checkNexts checks what follows each checkpoint: the next checkpoint and its new entries, which the log puts first.
func (v *verifier) checkNexts(ctx context.Context) {
	l := v.log
	sizes := append([]int64{0}, v.inv.checkpoints...)
	for i, size := range sizes {
		if size >= l.head.Size || len(l.hashes) == 0 {
			break
		}
		if key := logs.NextKey(size); v.inv.find(key) == nil {
			v.fault(sink.ErrNotExist, Finding{Key: key, Expected: fmt.Sprintf("what follows %d leaves", sizes[i])}, codeLogObjectMissing, codeLogAltered)
		}
	}
	for _, from := range v.inv.nexts {
		if ctx.Err() != nil {
			return
		}
		if _, follows := slices.BinarySearch(sizes, from); !follows {
			continue // it stays unexplained
		}
		key := logs.NextKey(from)
		at := v.locate(key, Finding{})
		if !at.there || len(l.hashes) == 0 {
			continue // told
		}
		about := Finding{Key: key, Expected: fmt.Sprintf("the leaves from %d on, and their checkpoint", from)}
		data, err := v.read(ctx, at, maxNext)
		if err != nil {
			v.fault(err, about, codeLogObjectMissing, codeLogAltered)
			continue
		}
		v.checkNext(from, data, about)
	}
}

func (v *verifier) checkNext(from int64, data []byte, about Finding) {
	l := v.log
	about.Code = codeLogAltered
	signed, data, err := torchwood.ReadTileEntry(data)
	var c logs.Checkpoint
	if err == nil {
		c, err = logs.ParseCheckpoint(signed)
	}
	if err != nil {
		about.Found = err.Error()
		v.add(about)
		return
	}
	index := from
	for ; len(data) > 0; index++ {
		var entry []byte
		if entry, data, err = torchwood.ReadTileEntry(data); err != nil {
			about.Found = err.Error()
			v.add(about)
			return
		}
		if index >= l.size {
			continue
		}
		if hash, want := tlog.RecordHash(entry), l.hashes[tlog.StoredHashIndex(0, index)]; hash != want {
			about.Expected, about.Found = fmt.Sprintf("leaf %d with hash %x", index, want[:8]), fmt.Sprintf("%x", hash[:8])
			v.add(about)
			return
		}
	}
	switch {
	case index != c.Size || index == from:
		about.Found = fmt.Sprintf("%d leaves and a checkpoint of %d", index-from, c.Size)
	case c.Size > l.head.Size:
		if from < l.head.Size {
			about.Found = fmt.Sprintf("a checkpoint of %d", c.Size)
			break
		}
		about.Code, about.Expected, about.Found = codeLogUnfinished, fmt.Sprintf("the checkpoint of %d leaves", c.Size), fmt.Sprintf("that of %d", l.head.Size)
	case !bytes.Equal(signed, l.anchored[c.Size]):
		// One that is signed and has another root is a second history.
		if root, _ := l.rootAt(c.Size); root != c.Root {
			v.checkCheckpoint(signed, c, about)
			return
		}
		if l.anchored[c.Size] == nil {
			return // the checkpoint is not there, or at fault, which is told
		}
		about.Expected, about.Found = "the checkpoint as it is", "another signature"
	default:
		return
	}
	v.add(about)
}
