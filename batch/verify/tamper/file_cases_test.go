package tamper_test

import (
	"bytes"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
)

var altered = []string{"file-altered"}

// flip flips a bit in the middle of a file of a format.
func flip(format formats.Format) func(f *forger) {
	return func(f *forger) {
		f.at = f.w.file(format, acme, standard, 2, 1)
		f.FlipBit(f.at, 8*len(f.Bytes(f.at))/2)
	}
}

// rerender changes what a rendering says of an event, and makes everything above it agree: the manifest, the note, the chain and the log.
func rerender(format formats.Format) func(f *forger) {
	return func(f *forger) {
		f.at = f.w.file(format, acme, standard, 2, 1)
		f.forge(forgery{manifest: func(m *seal.Manifest) {
			if m.Trail == acme && m.Seal == 2 {
				events := f.events(f.w.file(formats.JSONL, acme, standard, 2, 1))
				events[1].Set(event.ActorID, "somebody-else")
				f.render(m, events, format)
			}
		}})
	}
}

// grow changes a file of the second day, behind the store's back or, if sealed is set, with a manifest that says so, signed with the right key.
func grow(format formats.Format, sealed bool, change func(data []byte) []byte) func(f *forger) {
	return func(f *forger) {
		f.at = f.w.file(format, acme, standard, 2, 1)
		f.Replace(f.at, change(bytes.Clone(f.Bytes(f.at))))
		if sealed {
			f.forge(forgery{manifest: f.claims(2, false)})
		}
	}
}

func fileCases() []testCase {
	evidence, parquet := formats.JSONL, formats.Parquet
	return []testCase{
		{1, "Flip one bit in a row", []variant{
			{does: "A bit of the evidence file (JSONL).", says: altered, exit: 1, folder: true, do: flip(evidence)},
			{does: "A bit of the evidence file, every rendering compared.", with: []string{"deep"}, says: altered, exit: 1, do: flip(evidence)},
			{does: "A bit of the CSV file.", says: altered, exit: 1, folder: true, do: flip(formats.CSV)},
			{does: "A bit of the Parquet file.", says: altered, exit: 1, folder: true, do: flip(parquet)},
			{does: "A bit of the CEF file.", says: altered, exit: 1, do: flip(formats.CEF)},
			{does: "A bit of the syslog file.", says: altered, exit: 1, do: flip(formats.Syslog)},
			{does: "One bit of a row of the evidence, before it was packed and hashed: everything else is signed with the right key.", says: []string{"evidence-root"}, exit: 1, do: func(f *forger) {
				f.at = f.w.file(evidence, acme, standard, 2, 1)
				f.edit(f.at, func(c []byte) []byte { return bytes.Replace(c, []byte("user-of-acme"), []byte("user-of-acmd"), 1) })
				f.forge(forgery{manifest: f.claims(2, false)})
			}},
		}},
		{2, "Change a rendering, leave the evidence as it is", []variant{
			{does: "A cell of the CSV file; the file's hash is not that of the manifest.", says: []string{"file-size"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.w.file(formats.CSV, acme, standard, 2, 1)
				f.edit(f.at, func(c []byte) []byte { return bytes.ReplaceAll(c, []byte("user-of-acme"), []byte("somebody-else")) })
			}},
			{does: "A cell of the CSV file; manifest, note and log are made anew with the right keys.", with: []string{"deep"}, says: []string{"format-mismatch"}, exit: 1, folder: true, do: rerender(formats.CSV)},
			{does: "The same in the Parquet file.", with: []string{"deep"}, says: []string{"format-mismatch"}, exit: 1, do: rerender(parquet)},
			{does: "The same in the CEF file.", with: []string{"deep"}, says: []string{"format-mismatch"}, exit: 1, do: rerender(formats.CEF)},
			{does: "The same in the syslog file.", with: []string{"deep"}, says: []string{"format-mismatch"}, exit: 1, do: rerender(formats.Syslog)},
			{does: "The same in the CSV file, `--deep` not given.", unseen: "`--deep`, or a checkpoint, witness or time stamp", do: func(f *forger) {
				rerender(formats.CSV)(f)
				f.at = ""
			}},
		}},
		{8, "Cut off the tail of a file", []variant{
			{does: "The last bytes of the evidence file are gone.", says: []string{"file-size"}, exit: 1, folder: true, do: grow(evidence, false, cutTail)},
			{does: "The last bytes of the Parquet file are gone.", says: []string{"file-size"}, exit: 1, folder: true, do: grow(parquet, false, cutTail)},
			{does: "The tail of the evidence file, signed with the right keys.", says: []string{"evidence-broken"}, exit: 1, do: grow(evidence, true, cutTail)},
			{does: "The tail of the CSV file, signed with the right keys.", with: []string{"deep"}, says: []string{"format-malformed"}, exit: 1, do: grow(formats.CSV, true, cutTail)},
			{does: "The footer of the Parquet file, signed with the right keys.", with: []string{"deep"}, says: []string{"format-malformed"}, exit: 1, do: grow(parquet, true, cutTail)},
		}},
		{9, "Append bytes after the end of a file", []variant{
			{does: "Behind the zstd frame of the evidence.", says: []string{"file-size"}, exit: 1, folder: true, do: grow(evidence, false, appendBytes)},
			{does: "Behind the gzip member of the CSV file.", says: []string{"file-size"}, exit: 1, folder: true, do: grow(formats.CSV, false, appendBytes)},
			{does: "Behind the Parquet footer.", says: []string{"file-size"}, exit: 1, folder: true, do: grow(parquet, false, appendBytes)},
			{does: "Behind the zstd frame, signed with the right keys.", says: []string{"evidence-broken"}, exit: 1, do: grow(evidence, true, appendBytes)},
			{does: "Behind the gzip member, signed with the right keys.", with: []string{"deep"}, says: []string{"format-malformed"}, exit: 1, do: grow(formats.CSV, true, appendBytes)},
			{does: "A second gzip member with a row more, signed with the right keys.", with: []string{"deep"}, says: []string{"format-rows"}, exit: 1, do: func(f *forger) {
				key := f.w.file(formats.CSV, acme, standard, 2, 1)
				row := lines(f.unpack(key))[1]
				grow(formats.CSV, true, func(data []byte) []byte { return append(data, f.pack(key, row)...) })(f)
			}},
			{does: "Behind the Parquet footer, signed with the right keys.", with: []string{"deep"}, says: []string{"format-malformed"}, exit: 1, do: grow(parquet, true, appendBytes)},
		}},
		{14, "Delete a data file", []variant{
			{does: "An evidence file.", says: []string{"file-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.w.file(evidence, acme, standard, 2, 1)
				f.Erase(f.at)
			}},
			{does: "An evidence file, every rendering compared: those of it cannot be.", with: []string{"deep"}, says: []string{"file-missing"}, notes: []string{"format-not-compared"}, exit: 1, do: func(f *forger) {
				f.at = f.w.file(evidence, acme, standard, 2, 1)
				f.Erase(f.at)
			}},
			{does: "A second part of a CSV file.", says: []string{"file-missing"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.w.file(formats.CSV, acme, standard, 2, 2)
				f.Erase(f.at)
			}},
			{does: "The file of an empty day.", says: []string{"file-missing"}, exit: 1, do: func(f *forger) {
				f.at = f.w.file(evidence, beta, standard, 5, 1)
				f.Erase(f.at)
			}},
			{does: "A whole format, in a copy that is said to be partial: listed, and no fault.", with: []string{"partial"}, notes: []string{"absent"}, folder: true, do: func(f *forger) { f.eraseAll("csv/") }},
		}},
		{27, "Put a trail's file under another trail", []variant{
			{does: "The bytes of acme's file under beta's key.", says: []string{"file-size"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.w.file(formats.CSV, beta, standard, 2, 1)
				f.Replace(f.at, f.Bytes(f.w.file(formats.CSV, acme, security, 2, 1)))
			}},
			{does: "Acme's file is moved to a key of beta's.", says: []string{"file-missing", "unlisted-object"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.w.file(formats.CSV, acme, security, 2, 1)
				f.move(f.at, f.w.file(formats.CSV, beta, security, 2, 1))
			}},
			{does: "Beta's manifest lists acme's file in place of its own, signed with the right keys.", says: []string{"file-listed-twice", "manifest-invalid", "unlisted-object"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.ManifestKey(beta, 2)
				f.forge(forgery{manifest: func(m *seal.Manifest) {
					for i := range m.Files {
						if file := &m.Files[i]; m.Trail == beta && m.Seal == 2 && file.Format == formats.CSV.Name {
							file.Key = f.w.file(formats.CSV, acme, standard, 2, 1)
							file.Version = f.History(file.Key)[0].ID
							f.claim(file, false)
						}
					}
				}})
			}},
			{does: "Acme's manifest and note under beta's number.", says: []string{"chain-broken", "file-listed-twice", "seal-log-mismatch", "unlisted-object", "wrong-trail"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = seal.ManifestKey(beta, 2)
				f.put(f.at, f.Bytes(seal.ManifestKey(acme, 2)))
				f.put(seal.NoteKey(beta, 2), f.Bytes(seal.NoteKey(acme, 2)))
			}},
		}},
	}
}

func cutTail(data []byte) []byte { return data[:len(data)*2/3] }

func appendBytes(data []byte) []byte { return append(data, "what nobody sealed"...) }
