package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	passing = "package p\nimport \"testing\"\nfunc TestFine(t *testing.T) { t.Log(\"noise\") }\n"
	skipped = "package p\nimport \"testing\"\nfunc TestAbsent(t *testing.T) { t.Log(\"before\"); t.Skip(\"no: data\") }\n"
	mixed   = `package p
import "testing"
func TestFine(t *testing.T) { t.Log("noise") }
func TestBad(t *testing.T) { t.Run("inner", func(t *testing.T) { t.Error("one is not two") }) }
`
	panics = "package p\nimport \"testing\"\nfunc TestPanic(t *testing.T) { println(\"last words\"); panic(\"gone\") }\n"
	broken = "package p\nimport \"testing\"\nfunc TestBroken(t *testing.T) { undefinedName() }\n"
)

func TestReport(t *testing.T) {
	command := filepath.Join(t.TempDir(), "testreport")
	if out, err := exec.Command("go", "build", "-o", command, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, test := range []struct {
		name   string
		files  map[string]string // by package
		exit   int
		want   []string
		absent []string
	}{
		{
			name:   "all pass",
			files:  map[string]string{"a": passing, "b": skipped},
			want:   []string{"ok  \tm/a", "SKIPPED: m/b TestAbsent: no: data\n1 passed, 0 failed, 1 skipped\n"},
			absent: []string{"noise", "PASS"},
		},
		{
			name:   "a test fails",
			files:  map[string]string{"a": passing, "b": mixed},
			exit:   1,
			want:   []string{"one is not two", "--- FAIL: TestBad", "FAIL\tm/b", "ok  \tm/a", "2 passed, 2 failed, 0 skipped\n"},
			absent: []string{"noise", "=== RUN"},
		},
		{
			name:  "a test panics",
			files: map[string]string{"a": panics, "b": passing},
			exit:  1,
			want:  []string{"last words", "panic: gone", "FAIL\tm/a"},
		},
		{
			name:  "a package does not build",
			files: map[string]string{"a": broken, "b": passing},
			exit:  1,
			want:  []string{"undefined: undefinedName", "FAIL\tm/a [build failed]", "1 passed"},
		},
		{
			name:  "no test runs",
			files: map[string]string{"a": skipped},
			exit:  1,
			want:  []string{"0 passed, 0 failed, 1 skipped\n"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			write(t, filepath.Join(folder, "go.mod"), "module m\n\ngo 1.26\n")
			for pkg, source := range test.files {
				write(t, filepath.Join(folder, pkg, "p_test.go"), source)
			}
			goTest := exec.Command("go", "test", "-json", "./...")
			goTest.Dir = folder
			goTest.Env = append(os.Environ(), "GOFLAGS=")
			events, err := goTest.CombinedOutput()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}

			report := exec.Command(command)
			report.Stdin = bytes.NewReader(events)
			out, err := report.Output()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := report.ProcessState.ExitCode(); got != test.exit {
				t.Errorf("exit code %d, want %d", got, test.exit)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("lacks %q", want)
				}
			}
			for _, absent := range test.absent {
				if strings.Contains(string(out), absent) {
					t.Errorf("has %q", absent)
				}
			}
			if t.Failed() {
				t.Logf("report:\n%s", out)
			}
		})
	}
}

func TestSlow(t *testing.T) {
	report := exec.Command("go", "run", ".", "-slow", "1s")
	report.Stdin = strings.NewReader(`{"Action":"pass","Package":"p","Test":"TestQuick","Elapsed":0.99}
{"Action":"pass","Package":"p","Test":"TestSlow/inner","Elapsed":1.5}
{"Action":"pass","Package":"p","Test":"TestSlow","Elapsed":1.5}
{"Action":"pass","Package":"q","Test":"TestSlower","Elapsed":61.04}
{"Action":"pass","Package":"q","Elapsed":63}
`)
	out, err := report.CombinedOutput()
	if want := "SLOW: q TestSlower: 1m1s\nSLOW: p TestSlow: 1.5s\n4 passed, 0 failed, 0 skipped\n"; err != nil || string(out) != want {
		t.Errorf("%v, it says %q, want %q", err, out, want)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
