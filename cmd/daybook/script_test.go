package main_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	daybook "daybook/cmd/daybook"

	"daybook/internal/effort"
	"daybook/sink/sinktest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"daybook": daybook.Main})
}

// root is the repository's root.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestScript runs each command as a user would. The scripts have these commands beside testscript's own:
//
//	serve, stop, request  start the service, stop it, and send it a request
//	ago, expand           name days before today, and write them into files
//	exits CODE COMMAND…   runs a command that is to end with that exit code
//	content PATH…         prints files, and all files below folders, uncompressed
//	broken FILE GZIP      makes a gzip of the file that breaks off in the middle
//	private PATTERN…      demands that there are such files, and that they are for their owner only
//	untouched             demands that nothing was done: no store, no key, no state
//	clean                 demands that no half-done work is left in a data folder
func TestScript(t *testing.T) {
	quickstart := filepath.Join(root(t), "testdata", "quickstart")
	testscript.Run(t, testscript.Params{
		Dir:         filepath.Join("testdata", "script"),
		WorkdirRoot: sinktest.Folder(t),
		Setup: func(e *testscript.Env) error {
			e.Setenv("QUICKSTART", quickstart)
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME"} {
				e.Setenv(name, "")
			}
			e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": startServe, "stop": stopServe, "request": request, "ago": ago, "expand": expand, "exits": exits, "content": content, "broken": broken, "private": private, "untouched": untouched, "clean": clean,
		},
		// A long script begins with: [!long] skip.
		Condition: func(name string) (bool, error) {
			if name != "long" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return effort.Long(), nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// TestInterrupt stops an export that waits for its input, as a person does at the keyboard.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command("daybook", "export", "-")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	lines.Scan() // it made a key, and so is at work
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v, want exit code 1", err)
	}
	want := []string{"daybook: error: interrupted", "daybook: hint: run it again: what was begun is finished then"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
}

// TestHelpIsNarrow looks at the help of every command: its lines fit a terminal.
func TestHelpIsNarrow(t *testing.T) {
	t.Parallel()
	effort.NeedsThorough(t)
	var look func(path ...string)
	look = func(path ...string) {
		out, err := exec.Command("daybook", append(path, "--help")...).Output()
		if err != nil {
			t.Fatalf("%v --help: %v", path, err)
		}
		below := false
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > 100 {
				t.Errorf("%v --help: %d columns: %s", path, n, line)
			}
			if below = strings.HasPrefix(line, "Available Commands:") || below && line != ""; below && line[0] == ' ' {
				look(append(slices.Clip(path), strings.Fields(line)[0])...)
			}
		}
	}
	look()
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d\n%s%s", code, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// filesBelow lists all files at and below a path.
func filesBelow(path string) (list []string, err error) {
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, p)
		}
		return err
	})
	return list, err
}

func content(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: content PATH…")
	}
	for _, arg := range args {
		list, err := filesBelow(ts.MkAbs(arg))
		ts.Check(err)
		for _, path := range list {
			ts.Check(uncompressed(ts.Stdout(), path))
		}
	}
}

func uncompressed(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	switch filepath.Ext(path) {
	case ".gz":
		r, err = gzip.NewReader(f)
	case ".zst":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(f); err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}

func broken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: broken FILE GZIP")
	}
	var b strings.Builder
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Check(z.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()[:b.Len()/2]), 0o600))
}

func private(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: private PATTERN…")
	}
	for _, pattern := range args {
		list, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(list) == 0 {
			ts.Fatalf("no file is named like %s", pattern)
		}
		for _, path := range list {
			info, err := os.Stat(path)
			ts.Check(err)
			if info.Mode().Perm()&0o077 != 0 {
				ts.Fatalf("%s has mode %v", path, info.Mode())
			}
		}
	}
}

func untouched(ts *testscript.TestScript, _ bool, _ []string) {
	for _, path := range []string{"audit", "home/.config", "home/.local", "home/.cache"} {
		if _, err := os.Lstat(ts.MkAbs(path)); !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("%s was left behind", path)
		}
	}
}

func clean(ts *testscript.TestScript, _ bool, _ []string) {
	folders, err := filepath.Glob(ts.MkAbs("home/.local/state/daybook/*"))
	ts.Check(err)
	stores, err := filepath.Glob(ts.MkAbs("*/.daybook-tmp"))
	ts.Check(err)
	for _, data := range folders {
		stores = append(stores, filepath.Join(data, "journal"), filepath.Join(data, "staging"), filepath.Join(data, "runs"))
	}
	for _, path := range stores {
		list, err := filesBelow(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Fatalf("%v", err)
		}
		if len(list) > 0 {
			ts.Fatalf("left behind: %v", list)
		}
	}
}
