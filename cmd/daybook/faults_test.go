package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// faults is how many docs/FAULTS.md has.
const faults = 35

// TestFaultsAreTested holds docs/FAULTS.md against the tests that it names.
func TestFaultsAreTested(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root(t), "docs", "FAULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| [^|]+ \| ([^|]+) \|$`)
	named := regexp.MustCompile("^`([a-z0-9/]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)`$")
	rows := row.FindAllStringSubmatch(string(data), -1)
	if len(rows) != faults {
		t.Fatalf("%d rows, want %d", len(rows), faults)
	}
	known := map[string]string{} // what the test files of a package hold
	for i, r := range rows {
		if r[1] != fmt.Sprint(i+1) {
			t.Errorf("row %d has the number %s", i+1, r[1])
		}
		for _, text := range strings.Fields(r[2]) {
			m := named.FindStringSubmatch(text)
			if m == nil {
				t.Errorf("fault %s: %s is no name of a test", r[1], text)
				continue
			}
			if known[m[1]] == "" {
				known[m[1]] = testsOf(t, m[1])
			}
			if !strings.Contains(known[m[1]], "\nfunc "+m[2]+"(") {
				t.Errorf("fault %s: %s has no %s", r[1], m[1], m[2])
			}
		}
	}
}

// testsOf returns all test files of a package, whatever the platform.
func testsOf(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root(t), dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}
