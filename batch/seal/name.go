package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"daybook/event"
	"daybook/formats"
)

// Compressions of a file, as manifests name them. Parquet, which compresses inside, is Uncompressed.
const (
	Uncompressed = "none"
	Gzip         = "gzip"
	Zstd         = "zstd"
)

var compressionExt = map[string]string{Uncompressed: "", Gzip: ".gz", Zstd: ".zst"}

// Split says which of a class's events a file has.
type Split string

const (
	// Whole is all of them.
	Whole Split = ""
	// ByProject is those of one project, be its id blank.
	ByProject Split = "project"
	// Rest is those of all projects past the number that get files of their own.
	Rest Split = "rest"
)

// Names in the place of a project's. No encoded name begins with an underscore, so no project can have them.
const (
	blankName = "__HIVE_DEFAULT_PARTITION__" // what Hive, Spark and DuckDB read as null
	restName  = "__OTHER_PROJECTS__"
)

// FileName is what a data file's key is made of.
type FileName struct {
	Format       formats.Format
	Class, Trail string
	Day          event.Day
	// Addendum is 0 for the day's own files.
	Addendum int
	Split    Split
	// Project is the project's id if Split is ByProject.
	Project string
	// Part counts from 1.
	Part        int
	Compression string
}

// FileKey returns the key of a data file, relative to the store's root. Frozen:
//
//	<format>/class=<class>/trail=<trail>/dt=<day>/[project=<project>/]<trail>[-<project>]-<day>[.addendum-<nnnn>].<nnnn><extension>
//
// Two FileNames that differ give two keys. Keys tell upper from lower case, as S3 does: two names that differ in case alone cannot both lie in a folder of a
// file system that does not; there the second Put fails and nothing is overwritten.
func FileKey(f FileName) string {
	var b strings.Builder
	trail, day := EncodeName(f.Trail), f.Day.String()
	fmt.Fprintf(&b, "%s/class=%s/trail=%s/dt=%s/", f.Format.Name, EncodeName(f.Class), trail, day)
	base := trail
	if f.Split != Whole {
		project := restName
		if f.Split == ByProject {
			project = EncodeName(f.Project)
		}
		fmt.Fprintf(&b, "project=%s/", project)
		base += "-" + project
	}
	fmt.Fprintf(&b, "%s-%s", base, day)
	if f.Addendum > 0 {
		fmt.Fprintf(&b, ".addendum-%04d", f.Addendum)
	}
	fmt.Fprintf(&b, ".%04d%s%s", f.Part, f.Format.Ext, compressionExt[f.Compression])
	return b.String()
}

// ManifestKey returns the key of a seal's manifest.
func ManifestKey(trail string, seal uint64) string { return sealDir(trail, seal) + "manifest.json" }

// NoteKey returns the key of a seal's note.
func NoteKey(trail string, seal uint64) string { return sealDir(trail, seal) + "SHA256SUMS.note" }

func sealDir(trail string, seal uint64) string {
	return fmt.Sprintf("seals/%s/%08d/", EncodeName(trail), seal)
}

// KeyKey returns the key of the file of a public key.
func KeyKey(id string) string { return "keys/" + EncodeName(id) + ".pem" }

const (
	maxName     = 100
	hashDigits  = 32
	hashMark    = '!' // not among the characters of an encoded name, harmless in S3, URLs and shells
	upperDigits = "0123456789ABCDEF"
)

// EncodeName makes a name safe as, or in, one element of a key. Each byte that is not one of A-Z a-z 0-9 . _ - becomes % and two hex digits, and
// so does a leading dot or underscore. What is then over 100 bytes is cut, and ends in ! and 32 hex digits of the name's SHA-256. A
// blank name becomes __HIVE_DEFAULT_PARTITION__. Frozen.
func EncodeName(name string) string {
	if name == "" {
		return blankName
	}
	out := make([]byte, 0, min(3*len(name), maxName+2))
	fits := 0 // how much of out can stay in front of a hash
	for i := 0; i < len(name); i++ {
		if c := name[i]; plain(c) && (i > 0 || c != '.' && c != '_') {
			out = append(out, c)
		} else {
			out = append(out, '%', upperDigits[c>>4], upperDigits[c&15])
		}
		if len(out) <= maxName-hashDigits-1 {
			fits = len(out)
		}
		if len(out) > maxName {
			sum := sha256.Sum256([]byte(name))
			out = append(out[:fits], hashMark)
			return string(hex.AppendEncode(out, sum[:hashDigits/2]))
		}
	}
	return string(out)
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}
