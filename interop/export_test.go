package interop_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"daybook/interop/rows"
)

// summary is what `daybook export --json` reports, as far as it is looked at.
type summary struct {
	Days []struct {
		Day    string `json:"day"`
		Events int    `json:"events"`
	} `json:"days"`
	Read, Written, Duplicates, Quarantined, Redacted int
}

// export builds the command and exports input with it, as a newcomer does, but into a folder of the test. It returns that folder, in which everything
// is that the command wrote, and the store below it.
func export(t *testing.T, input string, later ...string) (work, store string, s summary) {
	t.Helper()
	work = t.TempDir()
	bin := filepath.Join(t.TempDir(), "daybook")
	build := exec.Command("go", "build", "-o", bin, "./cmd/daybook")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/daybook: %v\n%s", err, out)
	}
	store = filepath.Join(work, "audit")
	for _, input := range append([]string{input}, later...) {
		cmd := exec.Command(bin, "export", "--json", input)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "HOME="+work, "XDG_STATE_HOME="+filepath.Join(work, "state"), "XDG_CONFIG_HOME="+filepath.Join(work, "config"))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("daybook export: %v\n%s", err, stderr.String())
		}
		s = summary{}
		if err := json.Unmarshal(out, &s); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
	}
	return work, store, s
}

// exported returns the files of a day that was not cut into parts, and wants them where design.md §7 has them.
func exported(store, date string) day {
	path := func(format, extension string) string {
		return filepath.Join(store, format, "class=standard", "trail=audit", "dt="+date, "audit-"+date+".0001."+extension)
	}
	return day{
		date: date, jsonl: path("jsonl", "jsonl.zst"), csv: path("csv", "csv.gz"), parquet: path("parquet", "parquet"),
		cef: path("cef", "cef.gz"), syslog: path("syslog", "log.gz"),
	}
}

func (d day) paths() []string { return []string{d.jsonl, d.csv, d.parquet, d.cef, d.syslog} }

// dataFiles lists all files of a store but seals and keys.
func dataFiles(t *testing.T, store string) []string {
	t.Helper()
	var files []string
	for _, path := range allFiles(t, store) {
		if rel, err := filepath.Rel(store, path); err != nil {
			t.Fatal(err)
		} else if !strings.HasPrefix(rel, "seals") && !strings.HasPrefix(rel, "keys") && !strings.HasPrefix(rel, "log") {
			files = append(files, path)
		}
	}
	return files
}

func allFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestExportOfOneDay(t *testing.T) {
	input := shared(t, "cloudtrail/invictus-20230710")
	work, store, s := export(t, input)
	if len(s.Days) != 1 || s.Days[0].Day != "2023-07-10" || s.Days[0].Events != 2122 || s.Read != 2122 || s.Written != 2122 || s.Quarantined+s.Duplicates > 0 {
		t.Errorf("summary %+v", s)
	}
	d := exported(store, "2023-07-10")
	want := d.paths()
	slices.Sort(want)
	if diff := cmp.Diff(want, dataFiles(t, store)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	evidence := d.compare(t)
	if len(evidence) != 2122 {
		t.Errorf("%d events in the evidence", len(evidence))
	}
	records := sourceRecords(t, input)
	t.Run("source JSON by encoding/json", func(t *testing.T) { compareSource(t, records, evidence) })
	t.Run("Parquet metadata by arrow-go", func(t *testing.T) {
		got, err := rows.CheckParquet(d.parquet, rows.MinRows)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"schema": "1", "trail": "audit", "class": "standard", "day": d.date} {
			if got["daybook."+name] != want {
				t.Errorf("daybook.%s is %q, want %q", name, got["daybook."+name], want)
			}
		}
	})
	t.Run("syslog by rsyslog", func(t *testing.T) { startRsyslog(t).compare(t, d.syslog) })
	t.Run("partitions by DuckDB", func(t *testing.T) { comparePartitions(t, store, map[string]int{"2023-07-10": 2122}) })
	t.Run("no session token", func(t *testing.T) { searchTokens(t, work, records, evidence) })
}

func TestExportOfTwoDays(t *testing.T) {
	input := shared(t, "cloudtrail/flaws-2020-umccr")
	_, store, s := export(t, input)
	if len(s.Days) != 2 || s.Days[0].Events != 182 || s.Days[1].Events != 3 || s.Read != 185 || s.Written != 185 || s.Quarantined+s.Duplicates > 0 {
		t.Errorf("summary %+v", s)
	}
	var want []string
	var evidence []rows.Row
	for _, date := range []string{"2020-09-30", "2020-10-01"} {
		d := exported(store, date)
		want = append(want, d.paths()...)
		t.Run(date, func(t *testing.T) { evidence = append(evidence, d.compare(t)...) })
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, dataFiles(t, store)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	// CloudTrail used one id for two different records: both are kept.
	kept := map[string]int{}
	for _, row := range evidence {
		kept[row["id"]]++
	}
	for id, n := range kept {
		if reused := id == "4a48a30a-6530-4901-aeda-f8005ae1c003"; n > 1 != reused || n > 2 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
	t.Run("source JSON by encoding/json", func(t *testing.T) { compareSource(t, sourceRecords(t, input), evidence) })
	t.Run("partitions by DuckDB", func(t *testing.T) { comparePartitions(t, store, map[string]int{"2020-09-30": 182, "2020-10-01": 3}) })
}

// comparePartitions reads the Parquet and CSV prefixes as one table each, by their partition keys.
func comparePartitions(t *testing.T, store string, want map[string]int) {
	db := openDuck(t)
	for _, source := range []string{
		"read_parquet(" + quote(filepath.Join(store, "parquet", "**", "*.parquet")) + ", hive_partitioning = true)",
		"read_csv(" + quote(filepath.Join(store, "csv", "**", "*.csv.gz")) + ", hive_partitioning = true, header = true, all_varchar = true, hive_types_autocast = true)",
	} {
		total := 0
		for date, n := range want {
			total += n
			got := one(t, db, "SELECT count(*)::VARCHAR FROM %s WHERE class = 'standard' AND trail = 'audit' AND dt = DATE %s", source, quote(date))
			if got != strconv.Itoa(n) {
				t.Errorf("%s: %s rows on %s, want %d", source, got, date, n)
			}
		}
		if got := one(t, db, "SELECT count(*)::VARCHAR FROM %s", source); got != strconv.Itoa(total) {
			t.Errorf("%s: %s rows, want %d", source, got, total)
		}
		if got := one(t, db, "SELECT typeof(class) || ' ' || typeof(trail) || ' ' || typeof(dt) FROM %s LIMIT 1", source); got != "VARCHAR VARCHAR DATE" {
			t.Errorf("%s: the keys are %s", source, got)
		}
	}
	parquet := "read_parquet(" + quote(filepath.Join(store, "parquet", "**", "*.parquet")) + ", hive_partitioning = true)"
	if n := one(t, db, "SELECT count(*)::VARCHAR FROM %s WHERE dt <> event_date OR dt <> timezone('UTC', event_time)::DATE", parquet); n != "0" {
		t.Errorf("%s rows are of another day than their partition", n)
	}
}

// sessionTokens returns the session tokens in v. No record here has more than one.
func sessionTokens(v any) []string {
	var tokens []string
	collect(v, func(name, text string) {
		if strings.EqualFold(name, "sessionToken") {
			tokens = append(tokens, text)
		}
	})
	return tokens
}

// searchTokens takes the session tokens from the source, and looks for every piece of them in every byte that the export left anywhere, as it
// lies and decompressed.
func searchTokens(t *testing.T, work string, records []record, evidence []rows.Row) {
	records = sorted(records)
	tokens := map[string]bool{}
	count := 0
	for _, r := range records {
		for _, token := range sessionTokens(map[string]any(r)) {
			tokens[token] = true
			count++
		}
	}
	if count != 23 {
		t.Fatalf("%d session tokens in the source, want 23", count)
	}
	const piece = 16
	pieces := map[string]bool{}
	for token := range tokens {
		for len(token) >= piece {
			pieces[token[:piece]] = true
			token = token[piece:]
		}
	}
	search := func(name string, data []byte) {
		// Every window of the data is looked up, rather than every piece searched for: there are many.
		for i := 0; i+piece <= len(data); i++ {
			if pieces[string(data[i:i+piece])] {
				t.Errorf("%s holds a piece of a session token at byte %d", name, i)
				return
			}
		}
	}
	searched := 0
	for _, path := range allFiles(t, work) {
		searched++
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		search(path, raw)
		switch filepath.Ext(path) {
		case ".gz", ".zst":
			search(path+", decompressed", contents(t, path))
		case ".parquet":
			all, err := rows.ArrowParquet(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range all {
				for column, value := range row {
					search(path+", "+column, []byte(value))
				}
			}
		default:
			// State may hold frames of its own: whatever decompresses is looked into.
			if z, err := zstd.NewReader(nil); err == nil {
				for at := 0; ; at++ {
					next := bytes.Index(raw[at:], []byte("\x28\xb5\x2f\xfd"))
					if next < 0 {
						break
					}
					at += next
					if plain, _ := z.DecodeAll(raw[at:], nil); len(plain) > 0 {
						search(path+", a frame in it", plain)
					}
				}
				z.Close()
			}
		}
	}
	if searched < 8 {
		t.Errorf("only %d files were searched", searched)
	}
	tags := map[string]string{}
	for i, r := range records {
		source, marks := sessionTokens(map[string]any(r)), sessionTokens(parse(t, evidence[i]["raw"]))
		if len(source) != len(marks) {
			t.Fatalf("event %d: %d tokens became %q", i+1, len(source), marks)
		}
		for k, token := range source {
			if !redacted.MatchString(marks[k]) || tags[token] != "" && tags[token] != marks[k] {
				t.Errorf("event %d: a token became %q, the same one before %q", i+1, marks[k], tags[token])
			}
			tags[token] = marks[k]
		}
	}
	different := map[string]bool{}
	for _, tag := range tags {
		different[tag] = true
	}
	if len(tags) != len(tokens) || len(different) != len(tags) {
		t.Errorf("%d tokens have %d tags", len(tokens), len(different))
	}
}
