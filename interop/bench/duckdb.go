package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"daybook/interop/duck"
)

// duckVariant is one way in which a user who knows DuckDB would do the job.
type duckVariant struct {
	name, compression string
	atOnce            bool
}

// duckVariants: the targets speak of the first, a plain script. The others are what a user would come to who finds that too slow.
var duckVariants = []duckVariant{
	{"DuckDB CSV.gz + Parquet", "gzip", false},
	{"DuckDB CSV.gz + Parquet at once", "gzip", true},
	{"DuckDB CSV.zst + Parquet", "zstd", false},
}

func (o *options) duckDB(ctx context.Context, v duckVariant, dir string) (usage, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage{}, err
	}
	return o.child(ctx, o.self, append([]string{"child-duckdb", v.name, dir}, o.inputs...)...)
}

// counts says how many events each wrote, and how many different ids they have: the same, or one of them has not done the job.
func (o *options) counts(ctx context.Context) (map[string][2]int64, error) {
	out := filepath.Join(o.work, "counts.json")
	if _, err := o.child(ctx, o.self, "child-duckdb", "count", out, o.work); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	var counts map[string][2]int64
	if err := json.Unmarshal(b, &counts); err != nil {
		return nil, err
	}
	first := counts[daybookName]
	for name, n := range counts {
		if n != first || n[0] != n[1] {
			return nil, fmt.Errorf("%s wrote %d events with %d ids, Daybook %d with %d", name, n[0], n[1], first[0], first[1])
		}
	}
	return counts, nil
}

func duckChild(args []string) error {
	db, err := duck.Open()
	if err != nil {
		return err
	}
	defer db.Close()
	if args[0] == "count" {
		return duckCount(db, args[1], args[2])
	}
	for _, v := range duckVariants {
		if v.name == args[0] {
			return duckExport(db, v, args[1], args[2:])
		}
	}
	return fmt.Errorf("no variant %q", args[0])
}

func duckExport(db *duck.DB, v duckVariant, dir string, inputs []string) error {
	for _, statement := range duckSort(dir, inputs) {
		if err := db.Exec(statement); err != nil {
			return err
		}
	}
	copies := duckCopies(dir, v.compression)
	if v.atOnce {
		return db.AtOnce(copies...)
	}
	for _, statement := range copies {
		if err := db.Exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// duckSort is the job as DuckDB does it best, of what was tried: the types are told, so that no sample is read; times are read as TIMESTAMP and written
// by COPY's own format, since the functions of TIMESTAMPTZ are slow; DISTINCT ON before the sort, which was quicker than a window function or than
// picking the least row of each id; one sorted table that both COPYs read.
func duckSort(dir string, inputs []string) []string {
	var list []string
	for _, path := range inputs {
		list = append(list, sqlText(path))
	}
	return []string{
		fmt.Sprintf("SET threads = %d", runtime.NumCPU()),
		"SET GLOBAL TimeZone = 'UTC'",
		"SET temp_directory = " + sqlText(filepath.Join(dir, "tmp")),
		`CREATE TABLE day AS SELECT * FROM (SELECT DISTINCT ON (id) * FROM read_json([` + strings.Join(list, ", ") + `], format = 'newline_delimited', columns = {
			id: 'VARCHAR', time: 'TIMESTAMP', type: 'VARCHAR', action: 'VARCHAR', outcome: 'VARCHAR', severity: 'VARCHAR', error_code: 'VARCHAR',
			error_message: 'VARCHAR', actor_id: 'VARCHAR', ip: 'VARCHAR', user_agent: 'VARCHAR', session_id: 'VARCHAR', request_id: 'VARCHAR',
			credential_id: 'VARCHAR', token_label: 'VARCHAR', token_last4: 'VARCHAR', object_type: 'VARCHAR', object_id: 'VARCHAR', object_name: 'VARCHAR',
			project_id: 'VARCHAR', project_name: 'VARCHAR', region: 'VARCHAR', info: 'VARCHAR'})) ORDER BY time, id`,
	}
}

// duckCopies are the statements that write the two files.
func duckCopies(dir, compression string) []string {
	csv := filepath.Join(dir, "day.csv."+map[string]string{"gzip": "gz", "zstd": "zst"}[compression])
	return []string{
		`COPY (SELECT time::TIMESTAMPTZ AS event_time, time::DATE AS event_date, id AS event_id, 'acme' AS org, 'jsonl' AS source, ip AS ip_address, user_agent,
			actor_id, action, object_id, object_name, project_id, project_name, outcome = 'success' AS success, info, token_label, token_last4, type AS event_type,
			severity, error_code, error_message, session_id, request_id, credential_id, object_type, region FROM day)
			TO ` + sqlText(filepath.Join(dir, "day.parquet")) + ` (FORMAT parquet, COMPRESSION zstd)`,
		`COPY (SELECT time AS "Timestamp", ip AS "IP Address", user_agent AS "User Agent", actor_id AS "Acting User ID", action AS "Action", object_id AS "Object ID",
			object_name AS "Object Name", project_id AS "Project ID", project_name AS "Project Name",
			CASE WHEN outcome = 'success' THEN 'Yes' ELSE 'No' END AS "Success Status", info AS "Info", token_label AS "Label", token_last4 AS "Auth Token" FROM day)
			TO ` + sqlText(csv) + ` (FORMAT csv, COMPRESSION ` + compression + `, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%gZ')`,
	}
}

func sqlText(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// duckCount writes how many rows and ids the Parquet files of each folder in work have.
func duckCount(db *duck.DB, out, work string) error {
	counts := map[string][2]int64{}
	names := []string{daybookName}
	for _, v := range duckVariants {
		names = append(names, v.name)
	}
	for _, name := range names {
		glob := filepath.Join(work, name, "**", "*.parquet")
		_, rows, err := db.Query("SELECT count(*)::VARCHAR, count(DISTINCT event_id)::VARCHAR FROM read_parquet(" + sqlText(glob) + ", hive_partitioning = false)")
		if err != nil {
			return err
		}
		var n [2]int64
		for i := range n {
			if _, err := fmt.Sscan(*rows[0][i], &n[i]); err != nil {
				return err
			}
		}
		counts[name] = n
	}
	b, err := json.Marshal(counts)
	if err != nil {
		return err
	}
	return os.WriteFile(out, b, 0o644)
}
