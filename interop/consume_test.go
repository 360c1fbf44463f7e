package interop_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/ddl"
	"daybook/formats/parquet"
)

// TestConsume puts DuckDB's definition and the first queries of docs/CONSUME.md to DuckDB, over the days that the page exports.
func TestConsume(t *testing.T) {
	db := openDuck(t)
	markdown, err := os.ReadFile("../docs/CONSUME.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sql\n(.*?)```").FindStringSubmatch(string(markdown))
	if block == nil {
		t.Fatal("docs/CONSUME.md has no queries")
	}
	var inputs []string
	for _, name := range []string{"day", "late"} {
		input, err := filepath.Abs("../testdata/quickstart/" + name)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, input)
	}
	_, store, _ := export(t, inputs[0], inputs[1:]...)
	var definition strings.Builder
	if err := ddl.Write(&definition, "duckdb", &ddl.Options{Table: "audit", Store: store}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{definition.String(), "SET TimeZone = 'UTC'"} {
		if err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}

	// The view has the columns that the files have, and the partitions.
	_, rows, err := db.Query("SELECT column_name, column_type FROM (DESCRIBE audit)")
	if err != nil {
		t.Fatal(err)
	}
	types := map[parquet.Type]string{
		parquet.String: "VARCHAR", parquet.Boolean: "BOOLEAN", parquet.Int64: "BIGINT", parquet.Date: "DATE", parquet.Timestamp: "TIMESTAMP WITH TIME ZONE", parquet.Strings: "VARCHAR[]",
	}
	var want, got [][2]string
	for _, c := range parquet.Columns() {
		want = append(want, [2]string{c.Name, types[c.Type]})
	}
	want = append(want, [2]string{"class", "VARCHAR"}, [2]string{"trail", "VARCHAR"}, [2]string{"dt", "DATE"})
	for _, row := range rows {
		got = append(got, [2]string{*row[0], *row[1]})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}

	var answers []string
	text := strings.ReplaceAll(regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(block[1], ""), "'audit/", "'"+store+"/")
	for query := range strings.SplitSeq(text, ";\n") {
		if query = strings.TrimSpace(query); query == "" {
			continue
		}
		_, rows, err := db.Query("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (" + query + ")")
		if err != nil {
			t.Fatalf("%s\n%v", query, err)
		}
		answer := ""
		if len(rows) > 0 {
			for _, cell := range rows[len(rows)-1] {
				if cell == nil {
					answer += " NULL"
				} else {
					answer += " " + *cell
				}
			}
		}
		answers = append(answers, answer)
	}
	wanted := []string{" audit 2026-03-10 29", " 2026-03-10 22:47:05.56+00 user-bob file-download PermissionDenied", "", " 2026-03-10 2", " NULL 3", ""}
	if diff := cmp.Diff(wanted, answers); diff != "" {
		t.Errorf("last rows (-want +got):\n%s", diff)
	}
}
