package interop_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReadme puts the queries of the README to DuckDB, over the two days that the README exports.
func TestReadme(t *testing.T) {
	db := openDuck(t)
	markdown, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```sql\n(.*?)```").FindStringSubmatch(string(markdown))
	if block == nil {
		t.Fatal("README.md has no queries")
	}
	input, err := filepath.Abs("../testdata/quickstart/day")
	if err != nil {
		t.Fatal(err)
	}
	_, store, _ := export(t, input)
	text := strings.ReplaceAll(regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(block[1], ""), "'audit/", "'"+store+"/")
	// How many rows each finds; the last column of the last row.
	type answer struct {
		rows int
		last string
	}
	var got []answer
	for query := range strings.SplitSeq(text, ";\n") {
		if query = strings.TrimSpace(query); query == "" {
			continue
		}
		_, rows, err := db.Query(query)
		if err != nil {
			t.Fatalf("%s\n%v", query, err)
		}
		a := answer{rows: len(rows)}
		if len(rows) > 0 {
			if last := rows[len(rows)-1]; last[len(last)-1] != nil {
				a.last = *last[len(last)-1]
			}
		}
		got = append(got, a)
	}
	want := []answer{{5, "AccessDenied"}, {17, "1"}, {2, "sample_01.bam"}, {7, "sso"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}
