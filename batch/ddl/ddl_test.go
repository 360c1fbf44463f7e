package ddl_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	parquetgo "github.com/parquet-go/parquet-go"

	"daybook/batch/ddl"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/parquet"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func write(t *testing.T, engine string, o *ddl.Options) string {
	t.Helper()
	var b strings.Builder
	if err := ddl.Write(&b, engine, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for _, engine := range ddl.Engines() {
		got := write(t, engine, &ddl.Options{Table: "audit", Store: "s3://audit-logs/prod"})
		golden := filepath.Join("testdata", engine+".sql")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", engine, diff)
		}
	}
}

// schema is the schema that is in a file, as an independent reader has it: names, and what stands for the type.
func schema(t *testing.T) (names, types []string) {
	t.Helper()
	var b bytes.Buffer
	e, err := parquet.NewEncoder(&b, formats.File{Trail: "audit", Class: "standard", Day: 1}, nil)
	if err == nil {
		err = e.Encode([]event.Event{})
	}
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquetgo.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range f.Root().Columns() {
		kind := column.Type().String()
		if !column.Leaf() {
			element := column.Column("list").Column("element")
			kind = "list of " + element.Type().String()
		}
		names, types = append(names, column.Name()), append(types, kind)
	}
	return names, types
}

// TestColumns compares every column of every definition with the schema that is in a file, by tables of its own.
func TestColumns(t *testing.T) {
	expected := map[string]map[string]string{
		"duckdb": {"STRING": "VARCHAR", "BOOLEAN": "BOOLEAN", "INT64": "BIGINT", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP WITH TIME ZONE", "list of STRING": "VARCHAR[]"},
		"athena": {"STRING": "string", "BOOLEAN": "boolean", "INT64": "bigint", "DATE": "date", "TIMESTAMP": "timestamp", "list of STRING": "array<string>"},
		"spark":  {"STRING": "STRING", "BOOLEAN": "BOOLEAN", "INT64": "BIGINT", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP", "list of STRING": "ARRAY<STRING>"},
		"trino":  {"STRING": "varchar", "BOOLEAN": "boolean", "INT64": "bigint", "DATE": "date", "TIMESTAMP": "timestamp(3)", "list of STRING": "array(varchar)"},
	}
	line := regexp.MustCompile("(?m)^  [\"`]([a-z_0-9]+)[\"`],? +(?:-- )?(.*?),?$")
	names, types := schema(t)
	if len(names) < 39 {
		t.Fatalf("%d columns in a file", len(names))
	}
	for _, engine := range ddl.Engines() {
		var want, got [][2]string
		for i, name := range names {
			kind := types[i]
			if strings.HasPrefix(kind, "TIMESTAMP") {
				kind = "TIMESTAMP"
			} else if strings.HasPrefix(kind, "INT") {
				kind = "INT64"
			}
			want = append(want, [2]string{name, expected[engine][kind]})
			if expected[engine][kind] == "" {
				t.Errorf("%s: a file has the type %q, which this test does not know", name, types[i])
			}
		}
		for _, partition := range []string{"class", "trail"} {
			want = append(want, [2]string{partition, expected[engine]["STRING"]})
		}
		want = append(want, [2]string{"dt", expected[engine]["DATE"]})
		for _, m := range line.FindAllStringSubmatch(write(t, engine, &ddl.Options{Table: "audit", Store: "s3://audit-logs"}), -1) {
			got = append(got, [2]string{m[1], m[2]})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-file +definition):\n%s", engine, diff)
		}
	}
}

func TestPlaces(t *testing.T) {
	dir, err := filepath.Abs("it's here")
	if err != nil {
		t.Fatal(err)
	}
	dir = strings.ReplaceAll(filepath.ToSlash(dir), "'", "''")
	for _, test := range []struct {
		engine string
		o      ddl.Options
		want   string
	}{
		{"duckdb", ddl.Options{Table: "audit", Store: "s3://b/p/", Endpoint: "http://127.0.0.1:9000", Region: "us-east-1"}, `CREATE OR REPLACE SECRET "audit" (TYPE s3, PROVIDER credential_chain, SCOPE 's3://b/p/', REGION 'us-east-1', ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false);`},
		{"duckdb", ddl.Options{Table: "lake.audit", Store: "s3://b", Endpoint: "store.example"}, `CREATE OR REPLACE SECRET "audit" (TYPE s3, PROVIDER credential_chain, SCOPE 's3://b', ENDPOINT 'store.example', URL_STYLE 'path');`},
		{"duckdb", ddl.Options{Table: "lake.audit", Store: "it's here"}, `FROM read_parquet('` + dir + `/parquet/class=*/trail=*/dt=*/*.parquet', `},
		{"athena", ddl.Options{Table: "logs.audit", Store: "s3://b/p/"}, "CREATE EXTERNAL TABLE IF NOT EXISTS `logs`.`audit` ("},
		{"athena", ddl.Options{Table: "audit", Store: "s3://b/p/"}, "LOCATION 's3://b/p/parquet/';"},
		{"spark", ddl.Options{Table: "audit", Store: "s3://b/p"}, "LOCATION 's3a://b/p/parquet';"},
		{"spark", ddl.Options{Table: "audit", Store: "it's here"}, "LOCATION 'file://" + strings.ReplaceAll(dir, "''", `\'`) + "/parquet';"},
		{"trino", ddl.Options{Table: "audit", Store: "s3://b"}, `CREATE TABLE IF NOT EXISTS "hive"."default"."audit" (`},
		{"trino", ddl.Options{Table: "logs.audit", Store: "s3://b"}, `CREATE TABLE IF NOT EXISTS "hive"."logs"."audit" (`},
		{"trino", ddl.Options{Table: "lake.logs.audit", Store: "s3://b"}, `CALL "lake".system.sync_partition_metadata(schema_name => 'logs', table_name => 'audit', mode => 'FULL');`},
		{"trino", ddl.Options{Table: "audit", Store: "it's here"}, "external_location = 'file://" + dir + "/parquet/'"},
	} {
		if got := write(t, test.engine, &test.o); !strings.Contains(got, test.want) {
			t.Errorf("%s of %+v has no %s:\n%s", test.engine, test.o, test.want, got)
		}
	}
}

func TestRefused(t *testing.T) {
	good := ddl.Options{Table: "audit", Store: "s3://b"}
	for _, test := range []struct {
		engine string
		change func(o *ddl.Options)
		want   error
	}{
		{"bigquery", func(*ddl.Options) {}, ddl.ErrEngine},
		{"", func(*ddl.Options) {}, ddl.ErrEngine},
		{"athena", func(o *ddl.Options) { o.Store = "./audit" }, ddl.ErrEngine},
		{"duckdb", func(o *ddl.Options) { o.Table = "" }, nil},
		{"duckdb", func(o *ddl.Options) { o.Table = `a"; DROP TABLE b` }, nil},
		{"trino", func(o *ddl.Options) { o.Table = "a.b.c.d" }, nil},
		{"duckdb", func(o *ddl.Options) { o.Store = "a\nb" }, nil},
	} {
		o := good
		test.change(&o)
		var b strings.Builder
		if err := ddl.Write(&b, test.engine, &o); err == nil || test.want != nil && !errors.Is(err, test.want) || b.Len() > 0 {
			t.Errorf("%q, %+v: %v, and %q", test.engine, o, err, b.String())
		}
	}
}
