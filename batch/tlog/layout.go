package tlog

import (
	"fmt"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"daybook/batch/seal"
)

// Prefix is where the log lies in the store.
const Prefix = "log/"

// Where its parts lie.
const (
	CheckpointsPrefix = Prefix + "checkpoints/"
	AnchorsPrefix     = Prefix + "anchors/"
	TilesPrefix       = Prefix + "tile/"
	nextPrefix        = Prefix + "next/"
)

// MaxSize is how many leaves a log may have: as many as twelve digits can count.
const MaxSize = 999_999_999_999

const sizeDigits = 12

// CheckpointKey returns the key of the checkpoint of a size. Frozen.
func CheckpointKey(size int64) string { return CheckpointsPrefix + digits(size) }

// ParseCheckpointKey undoes CheckpointKey.
func ParseCheckpointKey(key string) (size int64, ok bool) { return parseSized(key, CheckpointsPrefix) }

// NextKey returns the key of what follows the checkpoint of a size. Frozen.
func NextKey(size int64) string { return nextPrefix + digits(size) }

// ParseNextKey undoes NextKey.
func ParseNextKey(key string) (size int64, ok bool) { return parseSized(key, nextPrefix) }

// TileKey returns the key of a tile of hashes or, of level -1, of entries. Frozen.
func TileKey(t tlog.Tile) string { return Prefix + torchwood.TilePath(t) }

// ParseTileKey undoes TileKey.
func ParseTileKey(key string) (t tlog.Tile, ok bool) {
	path, ok := strings.CutPrefix(key, Prefix)
	if !ok {
		return tlog.Tile{}, false
	}
	t, err := torchwood.ParseTilePath(path)
	return t, err == nil && TileKey(t) == key
}

// Extensions of receipts.
const (
	CosignatureExt = ".cosig" // signature lines of a witness
	TimestampExt   = ".tsr"   // an RFC 3161 response, in DER
)

// AnchorKey returns the key of the receipt that the anchor of that name gave for the checkpoint of a size. Frozen.
func AnchorKey(size int64, name, ext string) string {
	return AnchorsPrefix + digits(size) + "/" + seal.EncodeName(name) + ext
}

// ParseAnchorKey tells of which size a receipt is, and its name as it is encoded in the key.
func ParseAnchorKey(key string) (size int64, name, ext string, ok bool) {
	rest, ok := strings.CutPrefix(key, AnchorsPrefix)
	number, file, ok2 := strings.Cut(rest, "/")
	size, ok3 := parseDigits(number)
	if !ok || !ok2 || !ok3 || strings.Contains(file, "/") {
		return 0, "", "", false
	}
	for _, ext := range []string{CosignatureExt, TimestampExt} {
		if name, ok := strings.CutSuffix(file, ext); ok && name != "" {
			return size, name, ext, true
		}
	}
	return 0, "", "", false
}

func digits(size int64) string { return fmt.Sprintf("%0*d", sizeDigits, size) }

func parseSized(key, dir string) (int64, bool) {
	number, ok := strings.CutPrefix(key, dir)
	if !ok {
		return 0, false
	}
	return parseDigits(number)
}

func parseDigits(s string) (int64, bool) {
	if len(s) != sizeDigits || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// entryTile is the tile of entries beside a tile of level 0.
func entryTile(t tlog.Tile) tlog.Tile {
	t.L = -1
	return t
}
