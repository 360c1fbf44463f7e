package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestOutputIsFull has commands write to where there is no room: verify must not say by its exit code that something was altered, nor ddl that it was called wrongly.
func TestOutputIsFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	runIn(t, dir, 0, "export", filepath.Join(root(t), "testdata", "quickstart", "late"))
	for _, c := range []struct {
		code int
		args []string
	}{
		{3, []string{"verify"}},
		{3, []string{"verify", "--json"}},
		{1, []string{"ddl", "--engine", "duckdb"}},
		{2, []string{"ddl", "--engine", "abacus"}},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("daybook", c.args...)
		cmd.Dir, cmd.Env, cmd.Stdout = dir, environment(dir), full
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("daybook %v > /dev/full ended with %v, want exit code %d", c.args, err, c.code)
		}
		if err := full.Close(); err != nil {
			t.Error(err)
		}
	}
}
