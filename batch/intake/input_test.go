package intake_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch/intake"
	"daybook/event"
	"daybook/internal/effort"
)

func gz(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zst(t testing.TB, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return string(z.EncodeAll([]byte(text), nil))
}

func rawBytes(t *testing.T, e *event.Event) string {
	t.Helper()
	var raw struct{ Base64 string }
	if err := json.Unmarshal([]byte(e.Get(event.Raw)), &raw); err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(raw.Base64)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCompressedFiles(t *testing.T) {
	a, b := line("a")+"\n", line("b")+"\n"
	// Lines that do not compress away, so that a cut falls into content.
	many, random := "", rand.New(rand.NewPCG(1, 2))
	for range 200 {
		many += line(fmt.Sprintf("%x%x", random.Uint64(), random.Uint64())) + "\n"
	}
	badSum := []byte(gz(t, a))
	badSum[len(badSum)-8] ^= 1
	for name, test := range map[string]struct {
		content            string
		taken, quarantined int64
		fault              string // a part of it, blank for none
	}{
		"gzip":                       {gz(t, a), 1, 0, ""},
		"gzip of several members":    {gz(t, a) + gz(t, "") + gz(t, b), 2, 0, ""},
		"gzip with rubbish behind":   {gz(t, a) + "rubbish, and more", 1, 0, "broken: gzip, after 62 bytes of content: gzip: invalid header; what came before that stands"},
		"gzip with a wrong checksum": {string(badSum), 1, 0, "gzip: invalid checksum"},
		"gzip cut in its content":    {gz(t, a+many)[:3000], -1, 1, "the file is cut short: unexpected EOF"},
		"gzip cut in its trailer":    {gz(t, a)[:len(gz(t, a))-3], 1, 0, "the file is cut short: unexpected EOF"},
		"gzip cut in its header":     {gz(t, a)[:7], 0, 0, "gzip: unexpected EOF"},
		"gzip that is damaged":       {gz(t, a)[:10] + "\xff\xff\xff\xff" + gz(t, a)[14:], 0, 0, "gzip, after 0 bytes of content"},
		"gzip of nothing":            {gz(t, ""), 0, 0, ""},
		"gzip of space, cut":         {gz(t, " \n")[:len(gz(t, " \n"))-3], 0, 0, "cut short"},
		"gzip in gzip":               {gz(t, gz(t, a)), 0, 0, "compressed twice"},
		"zstd":                       {zst(t, a), 1, 0, ""},
		"zstd of several frames":     {zst(t, a) + zst(t, b), 2, 0, ""},
		"zstd cut":                   {zst(t, a+many)[:3000], -1, -1, "the file is cut short: unexpected EOF"},
		"zstd with rubbish behind":   {zst(t, a) + "rubbish", 1, 0, "zstd, after 62 bytes of content"},
		"zstd with too large window": {"\x28\xb5\x2f\xfd\x00\xa8\x00\x00\x00", 0, 0, "zstd --long"},
		"zip":                        {"PK\x03\x04\x14\x00\x00\x00", 0, 0, "a zip archive: unpack it first"},
		"bzip2":                      {"BZh91AY&SY", 0, 0, "bzip2: unpack it first"},
		"xz":                         {"\xfd7zXZ\x00\x00\x04", 0, 0, "xz: unpack it first"},
		"lz4":                        {"\x04\x22\x4d\x18d@", 0, 0, "lz4: unpack it first"},
		"7z":                         {"7z\xbc\xaf\x27\x1c\x00\x04", 0, 0, "7z archive: unpack it first"},
		"tar":                        {strings.Repeat("\x00", 257) + "ustar\x0000", 0, 0, "tar archive: unpack it first"},
		"UTF-16":                     {"\xff\xfe{\x00}\x00", 0, 0, "UTF-16"},
		"UTF-16, big end first":      {"\xfe\xff\x00{\x00}", 0, 0, "UTF-16"},
		"no events at all":           {"Dear diary,\n", 0, 0, "not recognised as any of cloudtrail, jsonl"},
		"NUL bytes":                  {strings.Repeat("\x00", 4096), 0, 0, "not recognised"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "file"), test.content)
			write(t, filepath.Join(dir, "good.jsonl"), line("good"))
			for _, from := range []string{intake.Auto, "jsonl"} {
				if from != intake.Auto && (name == "no events at all" || name == "NUL bytes") {
					continue
				}
				how := settings(t)
				how.From = from
				got, err := importAll(t, how, nil, hooks{}, dir)
				if err != nil {
					t.Fatal(err)
				}
				if got.Taken != test.taken+1 && test.taken >= 0 || got.Quarantined != test.quarantined && test.quarantined >= 0 || got.Taken == 0 {
					t.Errorf("%d taken and %d quarantined, want %d and %d", got.Taken, got.Quarantined, test.taken+1, test.quarantined)
				}
				if f := got.faults(); len(f) > 1 || (len(f) == 1) != (test.fault != "") || len(f) == 1 && (!strings.HasPrefix(f[0], "file: ") || !strings.Contains(f[0], test.fault)) {
					t.Errorf("faults %q", f)
				}
			}
		})
	}
}

func TestABombIsDefused(t *testing.T) {
	effort.NeedsLong(t)
	member := gz(t, strings.Repeat("a", 8<<20))
	for name, test := range map[string]struct {
		start string
		most  int // of the quarantine
	}{
		"a line of 10 GB": {line("a") + "\n" + `{"time":"2026-03-10T09:30:00Z","action":"`, 65 << 20},
		"no format":       {"", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := watchHeap()
			bomb := io.LimitReader(&endless{text: member, step: h.look}, int64(len(member))*1280)
			got := mustImport(t, io.MultiReader(strings.NewReader(gz(t, test.start)), bomb), intake.Stdin)
			h.mustGrowLess(t, 24<<20)
			if f := got.faults(); len(f) != 1 || test.most > 0 && !strings.Contains(f[0], "decompression bomb (limits.ratio is 250)") {
				t.Errorf("faults %q", f)
			}
			if len(got.kept) > test.most {
				t.Errorf("%d bytes in quarantine", len(got.kept))
			}
			if test.most > 0 && (got.Taken != 1 || got.Quarantined != 1) {
				t.Errorf("%+v", got.Report)
			}
		})
	}
}

func TestFoldersToSkipArePassedOverInsideOfOthers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"in/a.jsonl", "in/audit/jsonl/b.jsonl"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in, own := filepath.Join(dir, "in"), filepath.Join(dir, "in", "audit")
	if got := intake.Sizes([]string{in}, []string{own, filepath.Join(dir, "missing")}); got != 3 {
		t.Errorf("%d bytes to read, want those of one file", got)
	}
	if got := intake.Sizes([]string{own}, []string{own}); got != 3 {
		t.Errorf("named itself: %d bytes to read", got)
	}
}
