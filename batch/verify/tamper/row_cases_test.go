package tamper_test

import (
	"bytes"
	"slices"

	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
)

// inEvidence changes the rows of the evidence of the second day of acme. With claim the manifest, signed with the right keys, has the file's hash; with rows
// its rows and root as well.
func inEvidence(claim, rows bool, change func(rows [][]byte) [][]byte) func(f *forger) {
	return func(f *forger) {
		f.at = f.w.file(formats.JSONL, acme, standard, 2, 1)
		f.edit(f.at, func(c []byte) []byte { return join(change(lines(c))...) })
		if claim {
			f.forge(forgery{manifest: f.claims(2, rows)})
		}
	}
}

// everywhere changes the events of the second day of acme in all formats, and makes everything above agree.
func everywhere(only []formats.Format, change func(f *forger, events []event.Event) []event.Event) func(f *forger) {
	return func(f *forger) {
		f.at = f.w.file(formats.JSONL, acme, standard, 2, 1)
		f.forge(forgery{manifest: func(m *seal.Manifest) {
			if m.Trail == acme && m.Seal == 2 {
				f.render(m, change(f, f.events(f.at)), only...)
			}
		}})
	}
}

func deleteRow(rows [][]byte) [][]byte    { return slices.Delete(rows, 1, 2) }
func insertRow(rows [][]byte) [][]byte    { return slices.Insert(rows, 1, forgedRow(rows[0])) }
func duplicateRow(rows [][]byte) [][]byte { return slices.Insert(rows, 1, rows[0]) }
func swapRows(rows [][]byte) [][]byte {
	rows[0], rows[1] = rows[1], rows[0]
	return rows
}

func forgedRow(row []byte) []byte {
	return bytes.Replace(row, []byte("user-of-acme"), []byte("user-that-never-was"), 1)
}

func rowCases() []testCase {
	deep := []string{"deep"}
	evidence := []formats.Format{formats.JSONL}
	texts := []formats.Format{formats.JSONL, formats.CSV, formats.CEF, formats.Syslog} // our Parquet encoder refuses rows out of order
	return []testCase{
		{3, "Delete a row", []variant{
			{does: "From the evidence.", says: []string{"file-size"}, exit: 1, folder: true, do: inEvidence(false, false, deleteRow)},
			{does: "From the evidence; the manifest has the new hash, signed with the right keys.", says: []string{"evidence-rows"}, exit: 1, do: inEvidence(true, false, deleteRow)},
			{does: "From the evidence; the manifest has the new hash, root and number of rows as well.", says: []string{"manifest-invalid"}, exit: 1, do: func(f *forger) {
				inEvidence(true, true, deleteRow)(f)
				f.at = seal.ManifestKey(acme, 2)
			}},
			{does: "From the evidence alone, all counts adjusted, signed with the right keys.", with: deep, says: []string{"format-mismatch"}, exit: 1, do: func(f *forger) {
				everywhere(evidence, func(_ *forger, e []event.Event) []event.Event { return slices.Delete(e, 1, 2) })(f)
				f.at = f.w.file(formats.CSV, acme, standard, 2, 1)
			}},
		}},
		{4, "Insert a row", []variant{
			{does: "Into the evidence.", says: []string{"file-size"}, exit: 1, folder: true, do: inEvidence(false, false, insertRow)},
			{does: "Into the evidence; the manifest has the new hash, signed with the right keys.", says: []string{"evidence-rows"}, exit: 1, do: inEvidence(true, false, insertRow)},
			{does: "Into the evidence alone, all counts adjusted, signed with the right keys.", with: deep, says: []string{"format-rows"}, exit: 1, do: func(f *forger) {
				everywhere(evidence, func(_ *forger, e []event.Event) []event.Event {
					more := e[3].Clone()
					more.Set(event.ID, more.Get(event.ID)+"-forged")
					return append(e, more)
				})(f)
				f.at = f.w.file(formats.CSV, acme, standard, 2, 1)
			}},
		}},
		{5, "Swap two rows", []variant{
			{does: "In the evidence; the manifest has the new hash, signed with the right keys.", says: []string{"evidence-root"}, exit: 1, do: inEvidence(true, false, swapRows)},
			{does: "In the evidence; the manifest has the new hash and root.", with: deep, says: []string{"row-order", "format-mismatch"}, exit: 1, do: inEvidence(true, true, swapRows)},
			{does: "In all formats but Parquet, signed with the right keys.", with: deep, says: []string{"format-mismatch", "row-order"}, exit: 1, do: everywhere(texts, func(_ *forger, e []event.Event) []event.Event {
				e[0], e[1] = e[1], e[0]
				return e
			})},
		}},
		{6, "Duplicate a row", []variant{
			{does: "In the evidence.", says: []string{"file-size"}, exit: 1, folder: true, do: inEvidence(false, false, duplicateRow)},
			{does: "In the evidence; the manifest has the new hash, signed with the right keys.", says: []string{"evidence-rows"}, exit: 1, do: inEvidence(true, false, duplicateRow)},
			{does: "In all formats but Parquet, all counts adjusted, signed with the right keys.", with: deep, says: []string{"row-order"}, exit: 1, do: everywhere(texts, func(_ *forger, e []event.Event) []event.Event {
				return slices.Insert(e, 1, e[0].Clone())
			})},
		}},
		{7, "Move a row to another day", []variant{
			{does: "From the evidence of one day to that of the next.", says: []string{"file-size"}, exit: 1, folder: true, do: func(f *forger) {
				var moved []byte
				f.edit(f.w.file(formats.JSONL, acme, standard, 1, 1), func(c []byte) []byte {
					rows := lines(c)
					moved = bytes.Clone(rows[0])
					return join(rows[1:]...)
				})
				inEvidence(false, false, func(rows [][]byte) [][]byte { return append(rows, moved) })(f)
			}},
			{does: "To the next day in all formats, with its true time, signed with the right keys.", says: []string{"manifest-invalid"}, exit: 1, do: func(f *forger) {
				everywhere(nil, func(f *forger, e []event.Event) []event.Event {
					return slices.Insert(e, 0, f.events(f.w.file(formats.JSONL, acme, standard, 1, 1))[0])
				})(f)
				f.at = seal.ManifestKey(acme, 2)
			}},
			{does: "The same, but the manifest hides that its time is of another day.", with: deep, says: []string{"row-time"}, exit: 1, do: func(f *forger) {
				f.at = f.w.file(formats.JSONL, acme, standard, 2, 1)
				f.forge(forgery{manifest: func(m *seal.Manifest) {
					if m.Trail != acme || m.Seal != 2 {
						return
					}
					events := f.events(f.at)
					first, last := span(events)
					f.render(m, slices.Insert(events, 0, f.events(f.w.file(formats.JSONL, acme, standard, 1, 1))[0]))
					for i := range m.Files {
						if m.Files[i].Class == standard && m.Files[i].Part == 1 {
							m.Files[i].First, m.Files[i].Last = first, last
						}
					}
				}})
			}},
			{does: "A whole file of one day under another day's key.", says: []string{"file-missing", "file-size"}, exit: 1, folder: true, do: func(f *forger) {
				f.at = f.w.file(formats.JSONL, acme, standard, 2, 2)
				from := f.w.file(formats.JSONL, acme, standard, 1, 1)
				f.Replace(f.at, f.Bytes(from))
				f.Erase(from)
			}},
		}},
	}
}
