package tamper_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"filippo.io/torchwood"
	xtlog "golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify/verifytest"
)

// rootless is a checkpoint of a tree that nobody has seen, signed with the right key.
func (f *forger) rootless(size int64, key seal.Key) []byte {
	f.t.Helper()
	data, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: verifytest.Origin, Size: size, Root: seal.Sum([]byte("another history"))}, key)
	f.must(err)
	return data
}

// tile is the key of the partial tile of a size; level -1 are entries.
func tile(level int, size int64) string {
	return tlog.TileKey(xtlog.Tile{H: torchwood.TileHeight, L: level, W: int(size)})
}

// longer is a log that goes on behind the good one with a forged leaf, though an old leaf is another.
func (f *forger) longer() *verifytest.Builder {
	f.t.Helper()
	entries := slices.Clone(f.w.Leaves)
	i := f.index(4)
	l, _, err := tlog.ParseLeaf(entries[i])
	f.must(err)
	l.Seal.Manifest = seal.Sum([]byte("another manifest"))
	entries[i], err = l.Encode()
	f.must(err)
	last, _, err := tlog.ParseLeaf(entries[len(entries)-1])
	f.must(err)
	// Of a trail that the store does not have: what a leaf holds must be held.
	last.Seal, last.Type, last.Hold = nil, tlog.TypeHold, &tlog.HoldLeaf{Action: tlog.HoldPut, Trail: "another", From: l.Seal.Day, To: l.Seal.Day, Reason: "forged", By: "forger"}
	more, err := last.Encode()
	f.must(err)
	b := f.builder()
	b.Key, b.Clock = f.w.second, f.w.Clock
	for _, entry := range append(entries, more) {
		b.Entry(entry)
	}
	b.Published = f.w.size() // what was there before stays
	return b
}

func logCases() []testCase {
	return []testCase{
		{19, "Fork the log: two checkpoints of one size", []variant{
			{does: "A second checkpoint, of another tree, as a newer version over an old one, signed with the right key.", says: []string{"log-forked", "newer-version"}, exit: 1, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.sizes[1])
				f.Overwrite(f.at, f.rootless(f.w.sizes[1], f.w.first), f.controlLock())
			}},
			{does: "A second checkpoint in the place of an old one, signed with the right key.", says: []string{"log-forked"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.sizes[1])
				f.Replace(f.at, f.rootless(f.w.sizes[1], f.w.first))
			}},
			{does: "A second checkpoint in the place of the newest, signed with the right key.", says: []string{"log-forked", "log-root", "log-unfinished"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.size())
				f.Replace(f.at, f.rootless(f.w.size(), f.w.second))
			}},
			{does: "The auditor was shown another history than the store has: the checkpoint that he noted down is of the same size.", with: []string{"checkpoint"}, says: []string{"checkpoint-contradicted"}, exit: 1, folder: true, do: func(f *forger) {
				f.o.Checkpoints = [][]byte{f.rootless(f.w.size(), f.w.second)}
			}},
		}},
		{20, "Roll the log back to an older checkpoint", []variant{
			{does: "The newest checkpoint is removed.", says: []string{"log-unfinished"}, exit: 2, folder: true, do: func(f *forger) {
				f.noAnchors()
				f.Erase(tlog.CheckpointKey(f.w.size()))
			}},
			{does: "The newest checkpoint is removed; its receipts are still there.", says: []string{"log-cut", "log-unfinished"}, exit: 1, folder: true, do: func(f *forger) { f.Erase(tlog.CheckpointKey(f.w.size())) }},
			{does: "An older checkpoint lies under the newest one's name.", says: []string{"checkpoint-invalid", "log-unfinished"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.size())
				f.Replace(f.at, f.w.checkpoints[f.w.sizes[8]])
			}},
			{does: "A checkpoint in the middle is removed, with its receipt.", says: []string{"log-object-missing"}, exit: 1, folder: true, do: func(f *forger) { f.unpublish(f.w.sizes[2], false) }},
			{does: "A checkpoint in the middle is removed, with its receipt, its tiles, its entries and the step that leads on from it.", says: []string{"log-object-missing"}, exit: 1, folder: true, do: func(f *forger) { f.unpublish(f.w.sizes[2], true) }},
			{does: "The log is set back by three days, the seals stay.", says: []string{"seal-not-logged"}, exit: 2, folder: true, do: func(f *forger) {
				f.cutLog(7)
				f.noAnchors()
			}},
			{does: "The log is set back by three days, the receipts and the seals stay.", says: []string{"log-cut", "seal-not-logged"}, exit: 1, folder: true, do: func(f *forger) { f.cutLog(7) }},
			{does: "The log is set back by three days; a checkpoint is given.", with: []string{"checkpoint"}, says: []string{"log-cut", "seal-not-logged"}, exit: 1, do: func(f *forger) {
				f.cutLog(7)
				f.noAnchors()
			}},
		}},
		{21, "Let a larger tree not continue the smaller one", []variant{
			{does: "A larger log in which an old leaf is another, with all its tiles, signed with the right key.", says: []string{"log-altered", "log-forked", "seal-log-mismatch"}, exit: 1, folder: true, do: func(f *forger) {
				f.longer().Publish()
				f.noAnchors()
			}},
			{does: "A larger checkpoint without tiles and entries, signed with the right key.", says: []string{"log-object-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.put(tlog.CheckpointKey(f.w.size()+5), f.rootless(f.w.size()+5, f.w.second))
			}},
			{does: "An old leaf is changed in the newest entries.", says: []string{"log-altered"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tile(-1, f.w.size())
				f.Replace(f.at, bytes.Replace(f.Bytes(f.at), []byte(`"trail":"acme","seal":4`), []byte(`"trail":"acme","seal":5`), 1))
			}},
			{does: "A bit of the newest hashes.", says: []string{"log-altered"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tile(0, f.w.size())
				f.FlipBit(f.at, 7)
			}},
			{does: "A bit of an older checkpoint's hashes, and of its entries.", says: []string{"log-altered"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tile(0, f.w.sizes[2])
				f.FlipBit(f.at, 7)
				f.FlipBit(tile(-1, f.w.sizes[2]), 8*100)
			}},
			{does: "The newest hashes are gone.", says: []string{"log-object-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tile(0, f.w.size())
				f.Erase(f.at)
			}},
			{does: "The newest entries are gone.", says: []string{"log-object-missing", "log-unfinished"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tile(-1, f.w.size())
				f.Erase(f.at)
			}},
			{does: "A seal is taken out of the log, signed with the right keys.", says: []string{"log-seal-order", "seal-not-in-log"}, exit: 1, do: func(f *forger) {
				f.forge(forgery{entries: func(e [][]byte) [][]byte {
					i := f.index(9)
					return slices.Delete(e, i, i+1)
				}})
			}},
		}},
		{44, "Add lines or bytes to a checkpoint", []variant{
			{does: "A fourth line, signed with the right key.", says: []string{"checkpoint-invalid", "log-unfinished"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.size())
				text, _, _ := strings.Cut(string(f.Bytes(f.at)), "\n\n")
				f.Replace(f.at, f.signedAs(f.w.second, verifytest.Origin, text+"\nan extension\n"))
			}},
			{does: "Bytes behind the signature.", says: []string{"checkpoint-invalid", "log-unfinished"}, exit: 1, folder: true, do: appendTo("garbage\n")},
			{does: "A second signature, of an unknown key.", says: []string{"checkpoint-invalid", "log-unfinished"}, exit: 1, do: appendTo("— somebody AAAAAAAAAAAA\n")},
			{does: "A further line of the same signature.", says: []string{"checkpoint-invalid", "log-unfinished"}, exit: 1, do: func(f *forger) {
				_, signature, _ := strings.Cut(string(f.w.head()), "\n\n")
				appendTo(signature)(f)
			}},
			{does: "A carriage return at the end of a line, signed with the right key.", says: []string{"checkpoint-invalid", "log-unfinished"}, exit: 1, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.size())
				text, signature, _ := strings.Cut(string(f.Bytes(f.at)), "\n\n")
				f.Replace(f.at, []byte(strings.Replace(text, "\n", "\r\n", 1)+"\n\n"+signature))
			}},
		}},
	}
}

// unpublish removes an old checkpoint and its receipt, and all that was put with it. A finding must name it.
func (f *forger) unpublish(size int64, all bool) {
	f.at = tlog.CheckpointKey(size)
	f.Erase(f.at)
	f.eraseAll(fmt.Sprintf("%sanchors/%012d/", tlog.Prefix, size))
	if all {
		f.Erase(tile(0, size))
		f.Erase(tile(-1, size))
		f.Erase(tlog.NextKey(size))
	}
}

func appendTo(more string) func(f *forger) {
	return func(f *forger) {
		f.at = tlog.CheckpointKey(f.w.size())
		f.Replace(f.at, append(bytes.Clone(f.Bytes(f.at)), more...))
	}
}
