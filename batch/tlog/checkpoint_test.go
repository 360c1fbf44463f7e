package tlog_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	modtlog "golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
	"daybook/batch/tlog"
)

func TestCheckpoint(t *testing.T) {
	k, other := newKey(t), newKey(t)
	c := tlog.Checkpoint{Origin: "log.example.com/audit", Size: 42, Root: seal.Sum([]byte("root"))}
	data, err := tlog.SignCheckpoint(c, k)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tlog.OpenCheckpoint(data, k.Public()); got != c || err != nil {
		t.Errorf("opened: %+v, %v", got, err)
	}
	// What the rest of the world makes of it.
	named, err := k.Public().Named(c.Origin)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := torchwood.ParsePolicy([]byte("log " + named.VerifierKey() + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, err := torchwood.VerifyCheckpoint(data, policy)
	if err != nil || theirs.Origin != c.Origin || theirs.N != 42 || seal.Hash(theirs.Hash) != c.Root {
		t.Errorf("torchwood: %+v, %v", theirs, err)
	}

	if _, err := tlog.OpenCheckpoint(data, other.Public()); !errors.Is(err, tlog.ErrCheckpoint) {
		t.Errorf("another key: %v", err)
	}
	text, sigs, _ := strings.Cut(string(data), "\n\n")
	text += "\n"
	sign := func(text, name string, more ...string) string {
		s, err := seal.CheckpointSigner(k, name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := note.Sign(&note.Note{Text: text}, s)
		if err != nil {
			t.Fatal(err)
		}
		return string(out) + strings.Join(more, "")
	}
	bigger, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: c.Origin, Size: 43, Root: c.Root}, k)
	if err != nil {
		t.Fatal(err)
	}
	_, moved, _ := strings.Cut(string(bigger), "\n\n")
	cosigner, err := note.Sign(&note.Note{Text: text}, other)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, _ := strings.Cut(string(cosigner), "\n\n")
	root := strings.Split(text, "\n")[2]
	for what, file := range map[string]string{
		"empty":               "",
		"unsigned":            text,
		"extra line":          sign(text+"extra\n", c.Origin),
		"extra blank line":    sign(text+"\n", c.Origin),
		"garbage behind":      string(data) + "x",
		"line behind":         string(data) + "x\n",
		"blank line behind":   string(data) + "\n",
		"garbage before":      "x" + string(data),
		"CR LF":               strings.ReplaceAll(string(data), "\n", "\r\n"),
		"other origin":        sign(text, "log.example.com/other"),
		"origin in text only": sign(strings.Replace(text, "audit", "other", 1), c.Origin),
		"moved signature":     text + "\n" + moved,
		"another size":        strings.Replace(string(data), "\n42\n", "\n43\n", 1),
		"signature twice":     string(data) + sigs,
		"another's signature": text + "\n" + foreign,
		"one more signature":  string(data) + foreign,
		"many signatures":     text + "\n" + strings.Repeat(foreign, 1000),
		"size 0":              sign(strings.Replace(text, "\n42\n", "\n0\n", 1), c.Origin),
		"size 042":            sign(strings.Replace(text, "\n42\n", "\n042\n", 1), c.Origin),
		"size -1":             sign(strings.Replace(text, "\n42\n", "\n-1\n", 1), c.Origin),
		"size beyond":         sign(strings.Replace(text, "\n42\n", "\n1000000000000\n", 1), c.Origin),
		"size of 64 bits":     sign(strings.Replace(text, "\n42\n", "\n9223372036854775807\n", 1), c.Origin),
		"short root":          sign(strings.Replace(text, root, "AAAA", 1), c.Origin),
		"sloppy root":         sign(strings.Replace(text, root, strings.TrimSuffix(root, root[len(root)-2:])+"9=", 1), c.Origin),
		"too long":            string(data) + strings.Repeat("\n", tlog.MaxCheckpoint),
	} {
		if _, err := tlog.OpenCheckpoint([]byte(file), k.Public()); !errors.Is(err, tlog.ErrCheckpoint) {
			t.Errorf("%s: %v, want ErrCheckpoint", what, err)
		}
	}
	for _, c := range []tlog.Checkpoint{{"a b", 1, c.Root}, {"", 1, c.Root}, {"a+b", 1, c.Root}, {"x", 0, c.Root}, {"x", tlog.MaxSize + 1, c.Root}} {
		if _, err := tlog.SignCheckpoint(c, k); !errors.Is(err, tlog.ErrCheckpoint) {
			t.Errorf("signed %+v: %v", c, err)
		}
	}
}

// A checkpoint can be checked with openssl alone, as a note can.
func TestCheckpointWithStockTools(t *testing.T) {
	for _, tool := range []string{"sh", "awk", "base64", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	k := newKey(t)
	data, err := tlog.SignCheckpoint(tlog.Checkpoint{Origin: "daybook/x", Size: 1, Root: seal.Sum(nil)}, k)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `cat > c && awk '/^$/{exit}{print}' c > t && tail -1 c | awk '{print $NF}' | base64 -d | tail -c +5 > s &&
		echo "$PEM" | openssl pkeyutl -verify -pubin -inkey /dev/stdin -rawin -in t -sigfile s`)
	cmd.Dir, cmd.Stdin = t.TempDir(), strings.NewReader(string(data))
	cmd.Env = append(cmd.Environ(), "PEM="+string(k.PublicPEM()))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Signature Verified Successfully") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestKeys(t *testing.T) {
	tile := modtlog.Tile{H: 8, L: -1, N: 1234, W: 5}
	for got, want := range map[string]string{
		tlog.CheckpointKey(42): "log/checkpoints/000000000042",
		tlog.NextKey(0):        "log/next/000000000000",
		tlog.TileKey(tile):     "log/tile/entries/x001/234.p/5",
		tlog.TileKey(modtlog.Tile{H: 8, L: 1, N: 0, W: 256}): "log/tile/1/000",
		tlog.AnchorKey(7, "witness/Ä", tlog.CosignatureExt):  "log/anchors/000000000007/witness%2F%C3%84.cosig",
		tlog.AnchorKey(tlog.MaxSize, "x", tlog.TimestampExt): "log/anchors/999999999999/x.tsr",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if size, ok := tlog.ParseCheckpointKey(tlog.CheckpointKey(42)); size != 42 || !ok {
		t.Errorf("checkpoint: %d, %v", size, ok)
	}
	if size, ok := tlog.ParseNextKey(tlog.NextKey(3)); size != 3 || !ok {
		t.Errorf("next: %d, %v", size, ok)
	}
	if got, ok := tlog.ParseTileKey(tlog.TileKey(tile)); got != tile || !ok {
		t.Errorf("tile: %v, %v", got, ok)
	}
	if size, name, ext, ok := tlog.ParseAnchorKey(tlog.AnchorKey(7, "a b", ".tsr")); size != 7 || name != "a%20b" || ext != ".tsr" || !ok {
		t.Errorf("anchor: %d, %s, %s, %v", size, name, ext, ok)
	}
	for _, key := range []string{
		"", "log/", "log/checkpoints/42", "log/checkpoints/0000000000042", "log/checkpoints/00000000004x", "log/checkpoints/000000000042/x", "log/checkpoints/-00000000042",
		"log/tile/data/000", "log/tile/8/0/000", "log/tile/0/000.p/0", "log/tile/0/000.p/256", "log/tile/0/0000", "log/tile/0/../0/000", "log/tile/0/x000/000",
		"log/tile/0/" + strings.Repeat("x999/", 100) + "999", "log/anchors/000000000042/.tsr", "log/anchors/000000000042/a/b.tsr", "log/anchors/42/b.tsr", "log/anchors/000000000042/b.txt",
	} {
		_, checkpoint := tlog.ParseCheckpointKey(key)
		_, next := tlog.ParseNextKey(key)
		_, tile := tlog.ParseTileKey(key)
		_, _, _, anchor := tlog.ParseAnchorKey(key)
		if checkpoint || next || tile || anchor {
			t.Errorf("%q was taken for a key: %v", key, fmt.Sprint(checkpoint, next, tile, anchor))
		}
	}
}
