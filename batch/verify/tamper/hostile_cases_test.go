package tamper_test

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/klauspost/compress/gzip"

	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify/verifytest"
	"daybook/event"
	"daybook/formats"
)

// inBytes changes the bytes of a manifest, and makes everything above agree.
func inBytes(old, new string) func(f *forger) {
	return func(f *forger) {
		f.at = seal.ManifestKey(acme, 4)
		f.forge(forgery{bytes: func(m *seal.Manifest, data []byte) []byte {
			if m.Trail != acme || m.Seal != 4 {
				return data
			}
			changed := bytes.Replace(data, []byte(old), []byte(new), 1)
			if bytes.Equal(data, changed) {
				f.t.Fatalf("the manifest has no %q", old)
			}
			return changed
		}})
	}
}

// inLeaf changes the text of the last leaf of the log, which is that of the addendum, and signs the log anew.
func inLeaf(old, new string) func(f *forger) {
	return func(f *forger) {
		f.forge(forgery{entries: func(e [][]byte) [][]byte {
			last := len(e) - 1
			changed := bytes.Replace(e[last], []byte(old), []byte(new), 1)
			if bytes.Equal(e[last], changed) {
				f.t.Fatalf("the leaf has no %q", old)
			}
			e[last] = changed
			return e
		}})
	}
}

// named gives a file of the fourth seal another name, in manifest and note, and makes everything above agree.
func named(name string) func(f *forger) {
	return func(f *forger) {
		f.at = seal.ManifestKey(acme, 4)
		f.forge(forgery{manifest: func(m *seal.Manifest) {
			if m.Trail == acme && m.Seal == 4 {
				f.Erase(m.Files[0].Key)
				m.Files[0].Key = name
			}
		}})
		f.TakeLog()
	}
}

// lookAlike seals a day under a trail's name with the right key.
func lookAlike(trail string) func(f *forger) {
	return func(f *forger) {
		b := f.relog(f.w.Leaves, f.w.sizes)
		f.noAnchors()
		b.Formats, b.PartRows, b.Clock = formats.All(), 4, f.w.Clock
		b.Seal(verifytest.Seal{Trail: trail, Day: f.w.day(1), Rows: map[string][]event.Event{standard: f.w.rows(acme, standard, 1, 3)}})
		b.Publish()
	}
}

// zeros is a zstd frame of that many blocks of 128 KiB of one byte, of four bytes each.
func zeros(blocks int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x58} // the magic number, no size, a window of 2 MiB
	for i := range blocks {
		header := uint32(128<<10)<<3 | 1<<1
		if i == blocks-1 {
			header |= 1
		}
		b = append(binary.LittleEndian.AppendUint32(b, header)[:len(b)+3], 0)
	}
	return b
}

// bomb puts a file that unpacks to far more than it should into a seal, and makes everything above agree.
func bomb(format formats.Format, data []byte) func(f *forger) {
	return func(f *forger) {
		f.at = f.w.file(format, acme, standard, 4, 1)
		f.Replace(f.at, data)
		f.forge(forgery{manifest: f.claims(4, false)})
	}
}

// gzipZeros is a file of so many MiB of zeros, packed.
func gzipZeros(mib int) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is one
	_, _ = z.Write(make([]byte, 1<<20))             // a buffer takes all
	_ = z.Close()
	return bytes.Repeat(b.Bytes(), mib) // members that follow each other are one file
}

func hostileCases() []testCase {
	invalid := []string{"manifest-invalid"}
	traversal := []string{"manifest-invalid", "note-signature", "unlisted-object"}
	return []testCase{
		{39, "Use a member of JSON twice, or in another case", []variant{
			{does: "In a manifest, not signed.", says: []string{"manifest-invalid", "seal-log-mismatch"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, 4)
				f.Replace(f.at, bytes.Replace(f.Bytes(f.at), []byte(`"trail": "acme"`), []byte(`"trail": "acme", "trail": "acme"`), 1))
			}},
			{does: "A member of a manifest twice, signed with the right keys.", says: invalid, exit: 1, folder: true, do: inBytes("  \"trail\": \"acme\",\n", "  \"trail\": \"beta\",\n  \"trail\": \"acme\",\n")},
			{does: "A member of a manifest in another case as well, signed with the right keys.", says: invalid, exit: 1, do: inBytes("  \"trail\": \"acme\",\n", "  \"Trail\": \"beta\",\n  \"trail\": \"acme\",\n")},
			{does: "A member in another case only, signed with the right keys.", says: invalid, exit: 1, do: inBytes(`"written"`, `"Written"`)},
			{does: "A member that nobody knows, signed with the right keys.", says: invalid, exit: 1, do: inBytes("  \"trail\": \"acme\",\n", "  \"approved\": true,\n  \"trail\": \"acme\",\n")},
			{does: "Text behind the manifest's end, signed with the right keys.", says: invalid, exit: 1, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, 4)
				f.forge(forgery{bytes: func(m *seal.Manifest, data []byte) []byte {
					if m.Trail == acme && m.Seal == 4 {
						data = append(data, " \n"...)
					}
					return data
				}})
			}},
			{does: "A member of a leaf of the log twice, signed with the right keys.", says: []string{"leaf-invalid"}, exit: 1, folder: true, do: inLeaf(`"type":"seal"`, `"type":"seal","type":"seal"`)},
			{does: "A member of a leaf in another case, signed with the right keys.", says: []string{"leaf-invalid"}, exit: 1, do: inLeaf(`"type":"seal"`, `"Type":"seal"`)},
		}},
		{40, "Take a name that looks like a trail's", []variant{
			{does: "A trail аcme with a Cyrillic а, sealed with the right key: a trail of its own, and told to look like another.", notes: []string{"trail-look-alike"}, folder: true, do: lookAlike("аcme")},
			{does: "A trail Acme.", notes: []string{"trail-look-alike"}, do: lookAlike("Acme")},
			{does: "A trail `ac<U+200B>me`, with a character that has no width.", notes: []string{"trail-look-alike"}, do: lookAlike("ac\u200bme")},
			{does: "The folder of acme's first seal, copied under аcme.", says: []string{"file-listed-twice", "key-out-of-range", "seal-not-logged", "wrong-trail"}, exit: 1, folder: true, do: func(f *forger) {
				for _, name := range []string{"manifest.json", "SHA256SUMS.note"} {
					f.put("seals/"+seal.EncodeName("аcme")+"/00000001/"+name, f.Bytes("seals/acme/00000001/"+name))
				}
			}},
			{does: "A trail аcme, sealed with a key of the forger's own.", says: []string{"key-unknown", "seal-not-logged", "unlisted-object"}, exit: 1, do: func(f *forger) {
				b := f.builder()
				b.Key, b.Formats, b.PartRows, b.Clock = f.newKey("second"), formats.All(), 4, f.w.Clock
				b.Seal(verifytest.Seal{Trail: "аcme", Day: f.w.day(1), Rows: map[string][]event.Event{standard: f.w.rows(acme, standard, 1, 3)}})
			}},
		}},
		{41, "Lead a reader out of the store by a file's name", []variant{
			{does: "`../../etc/passwd` in manifest and note, signed with the right keys: no name with `..` is ever asked for.", says: traversal, exit: 1, folder: true, do: named("../../etc/passwd")},
			{does: "`/etc/passwd`.", says: traversal, exit: 1, folder: true, do: named("/etc/passwd")},
			{does: "`csv/class=standard/../../../etc/passwd`.", says: traversal, exit: 1, folder: true, do: named("csv/class=standard/../../../etc/passwd")},
			{does: "`csv\\..\\..\\etc\\passwd`.", says: traversal, exit: 1, do: named(`csv\..\..\etc\passwd`)},
			{does: "`csv/%2e%2e/%2e%2e/etc/passwd`.", says: []string{"file-missing", "manifest-invalid"}, exit: 1, do: named("csv/%2e%2e/%2e%2e/etc/passwd")},
			{does: "The log itself, as a data file.", says: []string{"file-altered", "file-listed-twice", "manifest-invalid"}, exit: 1, do: named(tlog.NextKey(0))},
		}},
		{42, "Fill the memory of the verifier", []variant{
			{does: "Evidence of 6 KB that unpacks to one line of 200 MB, signed with the right keys: it is read up to 16,384 times its size, in constant memory.", says: []string{"evidence-broken"}, exit: 1, do: bomb(formats.JSONL, zeros(3<<9))},
			{does: "A CSV file of 300 KB that unpacks to 256 MB, signed with the right keys.", with: []string{"deep"}, says: []string{"format-malformed"}, exit: 1, do: bomb(formats.CSV, gzipZeros(1<<8))},
			{does: "A syslog file of 300 KB that unpacks to 256 MB, signed with the right keys.", with: []string{"deep"}, says: []string{"format-malformed"}, exit: 1, do: bomb(formats.Syslog, gzipZeros(1<<8))},
			{does: "A manifest of 64 MB.", says: invalid, exit: 1, do: func(f *forger) {
				f.at = seal.ManifestKey(acme, 4)
				f.Replace(f.at, bytes.Repeat([]byte(" "), seal.MaxManifest+1))
			}},
			{does: "A checkpoint of 100 MB.", says: []string{"checkpoint-invalid"}, exit: 1, do: func(f *forger) {
				f.at = tlog.CheckpointKey(f.w.sizes[2])
				f.Replace(f.at, make([]byte, 100<<20))
			}},
			{does: "A checkpoint of 999,999,999,999 leaves, signed with the right key.", says: []string{"log-object-missing"}, exit: 1, do: func(f *forger) {
				f.put(tlog.CheckpointKey(tlog.MaxSize), f.rootless(tlog.MaxSize, f.w.second))
			}},
			{does: "A Parquet footer that says that it has 2^31-1 bytes, signed with the right keys.", with: []string{"deep"}, says: []string{"format-malformed"}, exit: 1, do: func(f *forger) {
				data := bytes.Clone(f.Bytes(f.w.file(formats.Parquet, acme, standard, 4, 1)))
				binary.LittleEndian.PutUint32(data[len(data)-8:], 1<<31-1)
				bomb(formats.Parquet, data)(f)
			}},
			{does: "A seal of number 18,446,744,073,709,551,615.", says: []string{"unlisted-object"}, exit: 1, do: func(f *forger) {
				f.put("seals/acme/18446744073709551615/manifest.json", []byte("{}"))
			}},
		}},
		{43, "Claim a schema, hash or signature that nobody knows", []variant{
			{does: "A manifest of schema 2, signed with the right keys.", says: []string{"schema-unknown"}, exit: 3, folder: true, do: inBytes(`"schema": 1`, `"schema": 2`)},
			{does: "A manifest without a schema, signed with the right keys.", says: invalid, exit: 1, do: inBytes("  \"schema\": 1,\n", "")},
			{does: "A file's hash by another method, signed with the right keys.", says: invalid, exit: 1, do: inBytes(`"sha256": "`, `"sha256": "blake3:`)},
			{does: "A hash by another method beside the known one, signed with the right keys.", says: invalid, exit: 1, do: inBytes(`      "sha256": "`, "      \"blake3\": \"00\",\n      \"sha256\": \"")},
			{does: "A leaf of the log of schema 2, signed with the right keys.", says: []string{"schema-unknown"}, exit: 3, folder: true, do: inLeaf(`"schema":1`, `"schema":2`)},
			{does: "A leaf of a type that nobody knows, signed with the right keys.", says: []string{"leaf-invalid"}, exit: 1, do: inLeaf(`"type":"seal"`, `"type":"pardon"`)},
			{does: "A file that is packed in a way that nobody knows, signed with the right keys.", says: invalid, exit: 1, do: inBytes(`"compression": "zstd"`, `"compression": "brotli"`)},
		}},
	}
}

// checkReads makes sure that the verifier asked the store for no name that leads out of it.
func checkReads(f *forger) {
	f.t.Helper()
	ops := f.TakeLog()
	if len(ops) == 0 {
		f.t.Error("the store does not tell what it was asked for")
	}
	for _, op := range ops {
		if strings.Contains(op.Key, "..") || strings.HasPrefix(op.Key, "/") || strings.Contains(op.Key, `\`) {
			f.t.Errorf("the verifier did %v", op)
		}
	}
}
