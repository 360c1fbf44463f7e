package interop_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"daybook/interop/duck"
	"daybook/interop/rows"
)

// day is the files of one day, one of each format.
type day struct {
	date                             string
	jsonl, csv, parquet, cef, syslog string
}

// compare reads all formats of a day by foreign means, and holds each to the evidence, value by value and in its order. It returns the evidence as
// encoding/json reads it.
func (d day) compare(t *testing.T) []rows.Row {
	t.Helper()
	evidence, err := rows.Evidence(bytes.NewReader(contents(t, d.jsonl)))
	if err != nil {
		t.Fatalf("%s: %v", d.jsonl, err)
	}
	t.Run("CEF by the standard", func(t *testing.T) { d.compareCEF(t, evidence) })
	t.Run("syslog by go-syslog", func(t *testing.T) { d.compareSyslog(t, evidence) })
	t.Run("Parquet by arrow-go", func(t *testing.T) { d.compareArrow(t, evidence) })
	t.Run("JSONL, CSV and Parquet by DuckDB", func(t *testing.T) { d.compareDuck(t, evidence) })
	return evidence
}

func (d day) compareCEF(t *testing.T, evidence []rows.Row) {
	lines := linesOf(t, d.cef)
	want, got := rows.Map(evidence, rows.InCEF), make([]rows.Row, len(lines))
	for i, line := range lines {
		row, last, err := rows.CEFRow(line)
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		got[i] = row
		if i < len(want) && want[i][last] != "" {
			want[i][last] = strings.TrimRight(want[i][last], " ")
		}
	}
	if diff := rows.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func (d day) compareSyslog(t *testing.T, evidence []rows.Row) {
	lines := linesOf(t, d.syslog)
	if len(lines) != len(evidence) {
		t.Fatalf("%d lines, want %d", len(lines), len(evidence))
	}
	got := make([]rows.Row, len(lines))
	for i, line := range lines {
		row, err := rows.SyslogRow(line, evidence[i])
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		got[i] = row
	}
	if diff := rows.Diff(rows.Map(evidence, rows.InSyslog), got); diff != "" {
		t.Error(diff)
	}
}

func (d day) compareArrow(t *testing.T, evidence []rows.Row) {
	got, err := rows.ArrowParquet(d.parquet)
	if err != nil {
		t.Fatal(err)
	}
	if diff := rows.Diff(d.inParquet(evidence), got); diff != "" {
		t.Error(diff)
	}
	if _, err := rows.CheckParquet(d.parquet, rows.MinRows); err != nil {
		t.Error(err)
	}
}

func (d day) inParquet(evidence []rows.Row) []rows.Row {
	return rows.Map(evidence, func(r rows.Row) rows.Row { return rows.InParquet(r, d.date) })
}

func (d day) compareDuck(t *testing.T, evidence []rows.Row) {
	db := openDuck(t)
	if diff := rows.Diff(sameJSON(t, evidence), sameJSON(t, duckJSONL(t, db, d.jsonl))); diff != "" {
		t.Errorf("JSONL: %s", diff)
	}
	if diff := rows.Diff(rows.Map(evidence, rows.InCSV), duckCSV(t, db, d.csv)); diff != "" {
		t.Errorf("CSV: %s", diff)
	}
	if diff := rows.Diff(d.inParquet(evidence), duckParquet(t, db, d.parquet)); diff != "" {
		t.Errorf("Parquet: %s", diff)
	}
}

// openDuck starts DuckDB, in a session time zone that is not UTC: who forgets the zone must not get other times.
func openDuck(t *testing.T) *duck.DB {
	t.Helper()
	db, err := duck.Open()
	if errors.Is(err, duck.ErrUnavailable) {
		t.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Exec("SET TimeZone = 'America/New_York'"); err != nil {
		t.Fatal(err)
	}
	return db
}

func query(t *testing.T, db *duck.DB, format string, args ...any) (names []string, result [][]*string) {
	t.Helper()
	names, result, err := db.Query(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return names, result
}

// one returns the single value that a query gives.
func one(t *testing.T, db *duck.DB, format string, args ...any) string {
	t.Helper()
	_, result := query(t, db, format, args...)
	if len(result) != 1 || len(result[0]) != 1 || result[0][0] == nil {
		t.Fatalf("not one value: %v", result)
	}
	return *result[0][0]
}

// quote makes a text a literal of SQL.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

const micros = "%Y-%m-%dT%H:%M:%S.%f"

var evidenceColumns = func() string {
	var b strings.Builder
	b.WriteString("{time: 'VARCHAR', received: 'VARCHAR', id: 'VARCHAR', type: 'VARCHAR', outcome: 'VARCHAR', ip: 'VARCHAR'")
	for _, c := range rows.ParquetColumns {
		switch {
		case c.Name != c.Field:
		case c.Type == "list":
			b.WriteString(", " + c.Field + ": 'VARCHAR[]'")
		case c.Type == "int":
			b.WriteString(", " + c.Field + ": 'UBIGINT'")
		case c.Field == "info" || c.Field == "changes" || c.Field == "raw":
			b.WriteString(", " + c.Field + ": 'JSON'")
		default:
			b.WriteString(", " + c.Field + ": 'VARCHAR'")
		}
	}
	return b.String() + "}"
}()

func duckJSONL(t *testing.T, db *duck.DB, path string) []rows.Row {
	t.Helper()
	source := fmt.Sprintf("read_json(%s, format = 'newline_delimited', hive_partitioning = false, columns = %s)", quote(path), evidenceColumns)
	return rowsOf(query(t, db, `SELECT COLUMNS(c -> c NOT IN ('tags', 'flags', 'source_seq'))::VARCHAR, to_json(tags)::VARCHAR AS tags, to_json(flags)::VARCHAR AS flags,
		source_seq::VARCHAR AS source_seq FROM %s`, source))
}

func duckCSV(t *testing.T, db *duck.DB, path string) []rows.Row {
	t.Helper()
	names, cells := query(t, db, `SELECT * FROM read_csv(%s, header = true, all_varchar = true, delim = ',', quote = '"', escape = '"', strict_mode = true, hive_partitioning = false)`, quote(path))
	if got, want := strings.Join(names, ","), strings.Join(rows.CSVHeader, ","); got != want {
		t.Fatalf("columns %s, want %s", got, want)
	}
	all := make([]rows.Row, len(cells))
	for i := range cells {
		texts := make([]string, len(names))
		for j, cell := range cells[i] {
			if cell != nil {
				texts[j] = *cell
			}
		}
		row, err := rows.CSVRow(texts)
		if err != nil {
			t.Fatalf("row %d: %v", i+1, err)
		}
		all[i] = row
	}
	return all
}

func duckParquet(t *testing.T, db *duck.DB, path string) []rows.Row {
	t.Helper()
	return rowsOf(query(t, db, `SELECT COLUMNS(c -> c NOT IN ('event_time', 'received_time', 'tags', 'flags'))::VARCHAR,
		strftime(timezone('UTC', event_time), '%[2]s') AS event_time, strftime(timezone('UTC', received_time), '%[2]s') AS received_time,
		to_json(tags)::VARCHAR AS tags, to_json(flags)::VARCHAR AS flags FROM read_parquet(%[1]s, hive_partitioning = false)`, quote(path), micros))
}

// rowsOf makes rows of texts by the names of their columns. Times get the form of the evidence.
func rowsOf(names []string, cells [][]*string) []rows.Row {
	all := make([]rows.Row, len(cells))
	for i := range cells {
		all[i] = rows.Row{}
		for j, cell := range cells[i] {
			if cell == nil {
				continue
			}
			text := *cell
			if names[j] == "event_time" || names[j] == "received_time" {
				text = strings.TrimRight(strings.TrimRight(text, "0"), ".") + "Z"
			}
			all[i][names[j]] = text
		}
	}
	return all
}

// sameJSON gives JSON values one form: DuckDB keeps neither spaces nor the form of fractions.
func sameJSON(t *testing.T, all []rows.Row) []rows.Row {
	t.Helper()
	return rows.Map(all, func(r rows.Row) rows.Row {
		c := rows.Row{}
		for name, value := range r {
			switch name {
			case "info", "changes", "raw", "tags", "flags":
				var v any
				d := json.NewDecoder(strings.NewReader(value))
				d.UseNumber()
				if err := d.Decode(&v); err != nil {
					t.Fatalf("%s: %v in %s", name, err, value)
				}
				b, err := json.Marshal(sameNumbers(v))
				if err != nil {
					t.Fatal(err)
				}
				value = string(b)
			}
			c[name] = value
		}
		return c
	})
}

// sameNumbers writes every number with a fraction or an exponent as the double that it is, where it is one.
func sameNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = sameNumbers(v[name])
		}
	case []any:
		for i := range v {
			v[i] = sameNumbers(v[i])
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") {
			return json.Number(strconv.FormatFloat(f, 'e', -1, 64))
		}
	}
	return v
}

// contents returns a file's bytes, decompressed by its name.
func contents(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		if r, err = gzip.NewReader(bufio.NewReader(f)); err != nil {
			t.Fatal(err)
		}
	case ".zst":
		z, err := zstd.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return b
}

// linesOf returns the lines of a text file, each of which ends in a line feed.
func linesOf(t *testing.T, path string) []string {
	t.Helper()
	text := string(contents(t, path))
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		t.Fatalf("%s: the last line does not end", path)
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}
