package formats_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	parquetgo "github.com/parquet-go/parquet-go"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/parquet"
)

// documented returns the names in a column of the tables of a section of docs/COLUMNS.md.
func documented(t *testing.T, section string, column int) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", "COLUMNS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(data), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/COLUMNS.md has no section %s", section)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var names []string
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) <= column {
			continue
		}
		if name, is := strings.CutPrefix(strings.TrimSpace(cells[column]), "`"); is {
			name, _, _ = strings.Cut(name, "`")
			names = append(names, name)
		}
	}
	return names
}

func TestEvidenceIsDocumented(t *testing.T) {
	e := event.Event{Time: time.Unix(0, 0), Received: time.Unix(0, 0), Tags: []string{"tag"}, Flags: []string{"flag"}}
	for _, f := range event.Fields() {
		e.Set(f, "0000")
		if f.JSON() {
			e.Set(f, "{}")
		}
	}
	e.SetSourceSeq(1)
	d := json.NewDecoder(bytes.NewReader(e.AppendJSON(nil)))
	var members []string
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			continue
		}
		if depth == 1 {
			members = append(members, token.(string))
			if !d.More() {
				t.Fatalf("member %s has no value", token)
			}
			var value json.RawMessage
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(members, documented(t, "JSON Lines", 1)); diff != "" {
		t.Errorf("docs/COLUMNS.md, section JSON Lines (-written +documented):\n%s", diff)
	}
}

func TestParquetIsDocumented(t *testing.T) {
	var b bytes.Buffer
	enc, err := parquet.NewEncoder(&b, formats.File{Trail: "audit", Class: "standard"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := parquetgo.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, column := range file.Root().Columns() {
		columns = append(columns, column.Name())
	}
	if diff := cmp.Diff(columns, documented(t, "Parquet", 2)); diff != "" {
		t.Errorf("docs/COLUMNS.md, section Parquet (-written +documented):\n%s", diff)
	}
}
