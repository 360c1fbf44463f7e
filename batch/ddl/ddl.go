// Package ddl writes the definitions by which engines read the Parquet files of a store as one table.
//
// It has no list of columns: they are those of package parquet. The folders class=…/trail=…/dt=… are three columns more, by which an engine passes over files
// that a query does not need.
package ddl

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"daybook/formats"
	"daybook/formats/parquet"
)

// Options say which table is defined.
type Options struct {
	// Table is its name, with those of the database and the catalog before it, where the engine has such: of letters, digits and underscores, parted by dots.
	Table string
	// Store is where the store is: s3://bucket/prefix, or a folder.
	Store string
	// Endpoint is the server's URL, where that is not AWS; Region is the bucket's, where it is known. DuckDB alone is told of them in a definition.
	Endpoint, Region string
}

// ErrEngine says that an engine is not known, or does not read such a store.
var ErrEngine = errors.New("not an engine for it")

// an engine writes a definition.
type engine struct {
	name  string
	types map[parquet.Type]string
	write func(w *writer)
}

var engines = []engine{
	{"duckdb", map[parquet.Type]string{
		parquet.String: "VARCHAR", parquet.Boolean: "BOOLEAN", parquet.Int64: "BIGINT", parquet.Date: "DATE",
		parquet.Timestamp: "TIMESTAMP WITH TIME ZONE", parquet.Strings: "VARCHAR[]",
	}, duckdb},
	{"athena", map[parquet.Type]string{
		parquet.String: "string", parquet.Boolean: "boolean", parquet.Int64: "bigint", parquet.Date: "date", parquet.Timestamp: "timestamp", parquet.Strings: "array<string>",
	}, athena},
	{"spark", map[parquet.Type]string{
		parquet.String: "STRING", parquet.Boolean: "BOOLEAN", parquet.Int64: "BIGINT", parquet.Date: "DATE", parquet.Timestamp: "TIMESTAMP", parquet.Strings: "ARRAY<STRING>",
	}, spark},
	// Trino's Hive connector keeps milliseconds, unless it is set up for more, and refuses a table that asks for more than it is set up for.
	{"trino", map[parquet.Type]string{
		parquet.String: "varchar", parquet.Boolean: "boolean", parquet.Int64: "bigint", parquet.Date: "date", parquet.Timestamp: "timestamp(3)", parquet.Strings: "array(varchar)",
	}, trino},
}

// partitions are the folders that a file lies in below its format, as columns.
var partitions = []parquet.Column{{Name: "class", Type: parquet.String}, {Name: "trail", Type: parquet.String}, {Name: "dt", Type: parquet.Date}}

// Engines are the names of the engines that are known.
func Engines() []string {
	var names []string
	for _, e := range engines {
		names = append(names, e.name)
	}
	return names
}

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}$`)

// Write writes the definition for an engine.
func Write(w io.Writer, name string, o *Options) error {
	at := slices.IndexFunc(engines, func(e engine) bool { return e.name == name })
	if at < 0 {
		return fmt.Errorf("%q: %w: must be %s", name, ErrEngine, strings.Join(Engines(), ", "))
	}
	if !tableName.MatchString(o.Table) {
		return fmt.Errorf("table %q: must be a name of letters, digits and underscores, with at most two more before it, parted by dots", o.Table)
	}
	files := strings.TrimSuffix(o.Store, "/") + "/" + formats.Parquet.Name
	s3 := strings.HasPrefix(o.Store, "s3://")
	if !s3 {
		abs, err := filepath.Abs(o.Store)
		if err != nil {
			return err
		}
		files = path.Join(filepath.ToSlash(abs), formats.Parquet.Name)
	}
	if strings.ContainsFunc(files, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("%q has characters that no statement can have", files)
	}
	if name == "athena" && !s3 {
		return fmt.Errorf("%s: %w: Athena reads from S3 alone", o.Store, ErrEngine)
	}
	d := &writer{engine: &engines[at], Options: o, table: strings.Split(o.Table, "."), files: files, s3: s3}
	d.engine.write(d)
	_, err := io.WriteString(w, d.text.String())
	return err
}

// writer writes one definition.
type writer struct {
	*Options
	engine *engine
	table  []string
	files  string // where the Parquet files are
	s3     bool
	text   strings.Builder
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(&w.text, format+"\n", args...) }

// columns writes columns with their types, in quotes, each on a line.
func (w *writer) columns(list []parquet.Column, quote string) {
	for i, c := range list {
		comma := ","
		if i == len(list)-1 {
			comma = ""
		}
		w.line("  %s%s%s %s%s", quote, c.Name, quote, w.engine.types[c.Type], comma)
	}
}

func (w *writer) names(quote string) string {
	var list []string
	for _, c := range partitions {
		list = append(list, quote+c.Name+quote)
	}
	return strings.Join(list, ", ")
}

// quoted is a table's name.
func quoted(table []string, quote string) string {
	return quote + strings.Join(table, quote+"."+quote) + quote
}

// text is a text in single quotes.
func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func duckdb(w *writer) {
	w.line("-- DuckDB: a view of all sealed Parquet files. Every query looks for new ones.")
	if w.s3 {
		w.line("-- Credentials come from the environment, the shared files or the machine's role.")
		secret := []string{"TYPE s3", "PROVIDER credential_chain", "SCOPE " + text(w.Store)}
		if w.Region != "" {
			secret = append(secret, "REGION "+text(w.Region))
		}
		if scheme, host, ok := strings.Cut(w.Endpoint, "://"); ok {
			secret = append(secret, "ENDPOINT "+text(host), "URL_STYLE 'path'", fmt.Sprintf("USE_SSL %t", scheme == "https"))
		} else if w.Endpoint != "" {
			secret = append(secret, "ENDPOINT "+text(w.Endpoint), "URL_STYLE 'path'")
		}
		w.line("CREATE OR REPLACE SECRET %s (%s);", quoted(w.table[len(w.table)-1:], `"`), strings.Join(secret, ", "))
	}
	w.line("CREATE OR REPLACE VIEW %s AS SELECT", quoted(w.table, `"`))
	all := slices.Concat(parquet.Columns(), partitions)
	for i, c := range all {
		comma := ","
		if i == len(all)-1 {
			comma = ""
		}
		w.line("  %-20s -- %s", fmt.Sprintf(`"%s"%s`, c.Name, comma), w.engine.types[c.Type])
	}
	var types []string
	for _, c := range partitions {
		types = append(types, fmt.Sprintf("'%s': %s", c.Name, w.engine.types[c.Type]))
	}
	w.line("FROM read_parquet(%s, hive_partitioning = true, hive_types = {%s});", text(w.files+"/class=*/trail=*/dt=*/*.parquet"), strings.Join(types, ", "))
}

func athena(w *writer) {
	w.line("-- Athena: run the statements one by one; the last again after each roll, so that new days are found.")
	w.line("CREATE EXTERNAL TABLE IF NOT EXISTS %s (", quoted(w.table, "`"))
	w.columns(parquet.Columns(), "`")
	w.line(")\nPARTITIONED BY (")
	w.columns(partitions, "`")
	w.line(")\nSTORED AS PARQUET\nLOCATION %s;\n", text(w.files+"/"))
	w.line("MSCK REPAIR TABLE %s;", quoted(w.table, "`"))
}

func spark(w *writer) {
	where := "file://" + w.files
	if bucket, ok := strings.CutPrefix(w.files, "s3://"); ok {
		where = "s3a://" + bucket
	}
	w.line("-- Spark SQL: the last statement again after each roll, so that new days are found. (On EMR write s3:// for s3a://.)")
	w.line("CREATE TABLE IF NOT EXISTS %s (", quoted(w.table, "`"))
	w.columns(slices.Concat(parquet.Columns(), partitions), "`")
	w.line(")\nUSING PARQUET\nPARTITIONED BY (%s)\nLOCATION %s;\n", w.names("`"), "'"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(where)+"'")
	w.line("MSCK REPAIR TABLE %s;", quoted(w.table, "`"))
}

func trino(w *writer) {
	where := "file://" + w.files
	if w.s3 {
		where = w.files
	}
	table := w.table
	for _, more := range []string{"default", "hive"}[len(table)-1:] {
		table = slices.Insert(slices.Clone(table), 0, more)
	}
	w.line("-- Trino, by its Hive connector: the last statement again after each roll, so that new days are found.")
	w.line("CREATE TABLE IF NOT EXISTS %s (", quoted(table, `"`))
	w.columns(slices.Concat(parquet.Columns(), partitions), `"`)
	w.line(")\nWITH (\n  format = 'PARQUET',\n  partitioned_by = ARRAY[%s],\n  external_location = %s\n);\n", w.names("'"), text(where+"/"))
	w.line("CALL %s.system.sync_partition_metadata(schema_name => %s, table_name => %s, mode => 'FULL');", quoted(table[:1], `"`), text(table[1]), text(table[2]))
}
