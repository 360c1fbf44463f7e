package interop_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"daybook/batch/ddl"
)

// parseSQL has a grammar read statements, and returns what it finds wrong with them.
func parseSQL(t *testing.T, grammar, statements string) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %s is not installed (Debian package of that name, or tools/deps)", program)
		}
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "../tools/sqlgrammar/run", grammar)
	cmd.Stdin, cmd.Stderr = strings.NewReader(statements), &stderr
	found, err := cmd.Output()
	if err != nil && len(found) == 0 {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	return string(found)
}

// TestGrammars has the grammars of the engines that we cannot run here read what `daybook ddl` prints for them, and the statements of docs/CONSUME.md.
// Athena's definitions are in Hive's language, its queries in Trino's.
func TestGrammars(t *testing.T) {
	markdown, err := os.ReadFile("../docs/CONSUME.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile("(?s)### (Athena|Spark|Trino)\n(.*?)\n##").FindAllStringSubmatch(strings.ReplaceAll(string(markdown), "\n##", "\n##\n##"), -1)
	if len(sections) != 3 {
		t.Fatalf("docs/CONSUME.md has sections for %d engines, not 3", len(sections))
	}
	// As long as that engine's names are. This grammar of Spark knows no catalogs; Spark does.
	tables := map[string]string{"athena": "logs.audit", "spark": "logs.audit", "trino": "lake.logs.audit"}
	for _, section := range sections {
		engine := strings.ToLower(section[1])
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			definitions, queries := engine, engine
			if engine == "athena" {
				definitions, queries = "hive", "trino"
			}
			statements := map[string]string{}
			o := ddl.Options{Table: tables[engine], Store: "s3://audit-logs/it's"}
			var b strings.Builder
			if err := ddl.Write(&b, engine, &o); err != nil {
				t.Fatal(err)
			}
			statements[definitions] = b.String() + "\n"
			blocks := regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(section[2], -1)
			for _, block := range blocks {
				language := queries
				if strings.HasPrefix(block[1], "ALTER TABLE") {
					language = definitions
				}
				statements[language] += block[1]
			}
			if len(blocks) == 0 || !strings.Contains(statements[definitions], "CREATE ") || !strings.Contains(statements[queries], "SELECT ") {
				t.Fatalf("not all statements were found: %q", statements)
			}
			for grammar, text := range statements {
				if found := parseSQL(t, grammar, text); found != "" {
					t.Errorf("%s finds, in\n%s\n%s", grammar, text, found)
				}
			}
			if parseSQL(t, queries, "SELECT a FORM b;") == "" {
				t.Error("the grammar takes anything")
			}
		})
	}
}
