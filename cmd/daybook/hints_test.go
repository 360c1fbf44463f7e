package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	daybook "daybook/cmd/daybook"

	"daybook/internal/effort"
)

// desk is a folder in which commands are run without a process of their own.
type desk struct {
	t   *testing.T
	dir string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t, t.TempDir()}
	t.Setenv("HOME", filepath.Join(d.dir, "home"))
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "DAYBOOK_TOKEN"} {
		t.Setenv(name, "")
	}
	t.Chdir(d.dir)
	return d
}

// write makes files: a name and what is in it, in turns.
func (d *desk) write(files ...string) {
	d.t.Helper()
	for i := 0; i < len(files); i += 2 {
		if err := os.MkdirAll(filepath.Dir(files[i]), 0o700); err != nil {
			d.t.Fatal(err)
		}
		if err := os.WriteFile(files[i], []byte(files[i+1]), 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *desk) export() {
	d.t.Helper()
	d.write("in/a.jsonl", eventLine("a", "")+"\n")
	d.says(0, []string{"export", "in"}, "made a signing key")
}

// ended runs a command.
func ended(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, told bytes.Buffer
	code = daybook.Run(ctx, args, strings.NewReader(""), &out, &told)
	return code, out.String(), told.String()
}

// says runs a command that is to end with that code, and to tell each of the texts; those that begin with "! " it must not tell. It returns standard output.
func (d *desk) says(want int, args []string, texts ...string) string {
	d.t.Helper()
	code, stdout, stderr := ended(d.t.Context(), args...)
	if code != want {
		d.t.Errorf("%q: exit code %d, want %d\n%s%s", args, code, want, stdout, stderr)
	}
	for _, text := range texts {
		if unwanted, not := strings.CutPrefix(text, "! "); strings.Contains(stdout+stderr, strings.TrimPrefix(text, "! ")) == not {
			d.t.Errorf("%q: tells %q, or not (%t)\n%s%s", args, unwanted, not, stdout, stderr)
		}
	}
	return stdout
}

const nothing = "daybook: hint: name files of events, or a folder that has some below it"

func TestNothingToRead(t *testing.T) {
	effort.NeedsLong(t)
	d := newDesk(t)
	d.write("hidden/.a.jsonl", eventLine("a", "")+"\n", "hidden/.git/b.jsonl", eventLine("b", "")+"\n", "blank/none.jsonl", "")
	if err := os.Mkdir("empty", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"export", "import"} {
		d.says(0, []string{command, "empty"}, "daybook: warning: there is no file to read\n"+nothing)
		d.says(0, []string{command, "blank"}, "daybook: warning: there is no event in 1 file\n"+nothing)
		d.says(0, []string{command, "-"}, "daybook: warning: there is no event in 1 file\n"+nothing)
		d.says(0, []string{command, "hidden"}, "daybook: passed over in folders, since the name begins with a dot: hidden/.a.jsonl and 1 more\ndaybook: hint: ", "warning: there is no file to read")
		d.says(0, []string{command, "hidden", "hidden/.a.jsonl"}, "begins with a dot: hidden/.git\n", "total: 1 read", "! warning: there is no")
	}
	d.says(0, []string{"export", "hidden", "hidden/.a.jsonl", "hidden/.git"}, "total: 2 read", "! begins with a dot")
	var report struct {
		Skipped int    `json:"skipped_files"`
		Hidden  int    `json:"hidden_files"`
		First   string `json:"hidden_file"`
	}
	if err := json.Unmarshal([]byte(d.says(0, []string{"export", "--json", "hidden", "blank"})), &report); err != nil || report.Skipped != 3 || report.Hidden != 2 || report.First != "hidden/.a.jsonl" {
		t.Errorf("%+v, %v", report, err)
	}
	d.says(0, []string{"roll"}, "! there is no")
	d.says(0, []string{"ls", "empty"}, "daybook: no sealed file is like that\ndaybook: hint: `daybook ls` with the store alone lists all")
	d.says(0, []string{"ls", "--trail", "audit", "--since-seal", "9", "audit"}, "no sealed file is like that", "! hint") // as a loader hears most often
}

// A doubt about a configuration is for who makes files by it.
func TestWhoIsWarned(t *testing.T) {
	effort.NeedsLong(t)
	d := newDesk(t)
	d.write("daybook.yaml", "data: data\nkey: keys/signing.key\ntrails: [{name: audit, org: acme}]\n", "in/a.jsonl", eventLine("a", "")+"\n")
	const doubt = "32473 is for documentation only"
	with := func(args ...string) []string { return append(args, "--config", "daybook.yaml") }
	d.says(0, []string{"config", "check", "daybook.yaml"}, doubt)
	for _, c := range [][]string{{"export", "in"}, {"roll"}} {
		if _, _, stderr := ended(t.Context(), with(c...)...); strings.Count(stderr, doubt) != 1 {
			t.Errorf("%q: %s", c, stderr)
		}
	}
	d.says(0, with("import", "in"), "! "+doubt)
	d.says(0, with("status"), "! "+doubt)
	d.says(0, with("trail", "enable", "audit"), "! "+doubt)
	d.says(0, with("trail", "list"), "! "+doubt)
	d.says(0, with("retention", "explain"), "! "+doubt)
	d.says(0, with("key", "list"), "! "+doubt)
}

func TestMisspeltFlags(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct{ command, flag, hint string }{
		{"export", "--form", "did you mean --from?"},
		{"export", "--traill=x", "did you mean --trail?"},
		{"export", "--as_of", "did you mean --as-of?"},
		{"verify", "--chekpoint", "did you mean --checkpoint?"},
		{"verify", "--helpp", "did you mean --help?"},
		{"verify", "--sideways", "`daybook verify --help` tells what it takes"},
		{"verify", "-x", "`daybook verify --help` tells what it takes"},
		{"verify", "--workers=x", "`daybook verify --help` tells what it takes"},
	} {
		d.says(2, []string{c.command, c.flag, "x"}, "daybook: hint: "+c.hint+"\n")
	}
}

// Of an interrupted command no code says that it found something.
func TestInterrupted(t *testing.T) {
	d := newDesk(t)
	d.export()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, c := range []struct {
		code int
		args []string
	}{{3, []string{"verify", "audit"}}, {3, []string{"verify", "--json", "audit"}}, {1, []string{"export", "in"}}, {1, []string{"bundle", "-o", "x.zip", "audit"}}} {
		code, stdout, stderr := ended(ctx, c.args...)
		if code != c.code || stdout != "" || !strings.HasPrefix(stderr[max(0, strings.Index(stderr, "daybook: error")):], "daybook: error: interrupted\ndaybook: hint: run it again") {
			t.Errorf("%q: exit code %d, want %d\n%s%s", c.args, code, c.code, stdout, stderr)
		}
	}
}

// What is wrong with a store is for verify to tell.
func TestDamagedStore(t *testing.T) {
	effort.NeedsLong(t)
	d := newDesk(t)
	d.export()
	hint := "`daybook verify` tells "
	glob := func(pattern string) string {
		t.Helper()
		list, err := filepath.Glob(pattern)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %q, %v", pattern, list, err)
		}
		return list[0]
	}
	for name, c := range map[string]struct {
		damage func() error
		codes  [2]int
	}{
		"evidence":      {func() error { return os.WriteFile(glob("store/jsonl/*/*/*/*"), []byte("x"), 0o600) }, [2]int{1, 1}},
		"no manifest":   {func() error { return os.Remove("store/seals/audit/00000001/manifest.json") }, [2]int{1, 1}},
		"half a note":   {func() error { return os.Truncate("store/seals/audit/00000001/SHA256SUMS.note", 9) }, [2]int{1, 1}},
		"half a head":   {func() error { return os.Truncate(glob("store/log/checkpoints/*"), 9) }, [2]int{1, 1}},
		"no log":        {func() error { return os.RemoveAll("store/log") }, [2]int{1, 0}},
		"half manifest": {func() error { return os.Truncate("store/seals/audit/00000001/manifest.json", 9) }, [2]int{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &desk{t, d.dir}
			for _, path := range []string{"store", "a.zip"} {
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.CopyFS("store", os.DirFS("audit")); err != nil {
				t.Fatal(err)
			}
			if err := filepath.WalkDir("store", func(path string, _ os.DirEntry, err error) error {
				if err == nil {
					err = os.Chmod(path, 0o700)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(); err != nil {
				t.Fatal(err)
			}
			d.says(c.codes[0], []string{"prove", "a", "store"}, hint)
			d.says(c.codes[1], []string{"bundle", "-o", "a.zip", "store"}, hint)
		})
	}
	d.says(1, []string{"prove", "other", "audit"}, `no event "other"`, "! hint")
	d.says(1, []string{"bundle", "-o", "b.zip", "--from", "2020-01-01", "--to", "2020-01-02", "audit"}, "`daybook ls` tells what is sealed")
}

// A store that locks nothing is refused before anybody is asked.
func TestExtendAsksLast(t *testing.T) {
	d := newDesk(t)
	d.write("folder.yaml", "store: {url: ./audit}\n", "unlocked.yaml", "store: {url: s3://bucket/prefix, mode: none}\n")
	args := []string{"retention", "extend", "audit", "--day", "2026-03-10", "--days", "9", "--reason", "x"}
	for _, file := range []string{"folder.yaml", "unlocked.yaml"} {
		d.says(1, append(slices.Clip(args), "--by", "Ann", "--config", file), "the store locks nothing", "! type yes")
	}
	d.says(2, append(slices.Clip(args), "--config", "folder.yaml"), "--by is missing", "! type yes")
}

func TestEnableTwice(t *testing.T) {
	d := newDesk(t)
	d.write("daybook.yaml", "data: data\ntrails: [{name: audit, org: acme, projects: [p-1, p-2]}]\n")
	enable := []string{"trail", "enable", "audit", "--config", "daybook.yaml"}
	d.says(0, enable, "! already")
	journal, err := os.ReadFile("data/control/journal.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	d.says(0, enable, "audit of acme: on already, nothing was changed\n")
	d.says(0, append(slices.Clip(enable), "--json"), `"already": true`)
	d.says(2, append(slices.Clip(enable), "--since", "2999-01-01"), "is after today")
	if after, err := os.ReadFile("data/control/journal.jsonl"); err != nil || !bytes.Equal(journal, after) {
		t.Errorf("%v; what was recorded:\n%s", err, after)
	}
	d.says(1, []string{"status", "--config", "daybook.yaml"}, "\nprojects            p-1, p-2\n")
}

// Where something is sealed a key that is not there was lost: a new one would be none that the log knows.
func TestKeysAreMadeOnce(t *testing.T) {
	effort.NeedsLong(t)
	d := newDesk(t)
	d.export()
	keys := filepath.Join("home", ".config", "daybook")
	d.lacksKey(keys, []string{"export", "in"}, []string{"import", "in"}, []string{"roll"})
	d.says(0, []string{"export", "in"}, "nothing new", "! made a")
	if err := os.Remove(filepath.Join(keys, "redaction.key")); err != nil {
		t.Fatal(err)
	}
	d.says(0, []string{"export", "in"}, "made a redaction key: ", "equal secrets have other tags from now on")

	// The same goes for a service's.
	day := time.Now().AddDate(0, 0, -2).UTC().Format(time.DateOnly)
	d.write("service.yaml", "data: data\nkey: data/signing.key\nstore: {url: ./served}\ntrails: [{name: audit, org: acme}]\n",
		"days/a.jsonl", strings.Replace(eventLine("a", ""), "2026-03-10", day, 1)+"\n")
	with := func(args ...string) []string { return append(args, "--config", "service.yaml") }
	d.says(0, with("trail", "enable", "audit", "--since", day))
	d.says(0, with("import", "days"), "made a signing key: data/signing.key")
	if _, _, stderr := ended(t.Context(), with("roll")...); stderr != "" {
		t.Errorf("roll: %s", stderr)
	}
	d.lacksKey("data", with("import", "days"), with("roll"), with("serve"))
}

// lacksKey takes the signing key away, and runs the commands without it.
func (d *desk) lacksKey(keys string, commands ...[]string) {
	d.t.Helper()
	path, lost := filepath.Join(keys, "signing.key"), filepath.Join(d.dir, "lost.key")
	if err := os.Rename(path, lost); err != nil {
		d.t.Fatal(err)
	}
	for _, args := range commands {
		d.says(1, args, "signing.key: no such file or directory\ndaybook: hint: a key is made before the first seal only: put back the one", "! made a")
		if _, err := os.Stat(path); err == nil {
			d.t.Errorf("%q made a key", args)
		}
	}
	if err := os.Rename(lost, path); err != nil {
		d.t.Fatal(err)
	}
}

func TestForgettableFile(t *testing.T) {
	effort.NeedsLong(t)
	d := newDesk(t)
	d.write("daybook.yaml", "data: data\n", "in/a.jsonl", eventLine("a", "")+"\n", "data/log-lock.json", "{")
	d.says(0, []string{"import", "in", "--config", "daybook.yaml"})
	d.says(1, []string{"status", "--config", "daybook.yaml"}, "data/log-lock.json: ", "hint: if the disk is well and the file may be read, remove it, with the service stopped: the next roll asks the store")
}

// What can't be a token, and who is no service, are told with a way out.
func TestNoService(t *testing.T) {
	d := newDesk(t)
	d.write("blank", " \n", "lines", "a\nb\n", "long", strings.Repeat("a", 5000), "good", "dba_x\n")
	answer := "<html>hello</html>"
	code := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	list := func(token string) []string {
		return []string{"trail", "list", "--server", server.URL, "--token-file", token}
	}
	d.says(2, list("nowhere"), "hint: --token-file names the file that holds the token\n")
	d.says(2, list("."), "hint: --token-file names the file that holds the token\n")
	for _, name := range []string{"blank", "lines", "long"} {
		d.says(2, list(name), fmt.Sprintf("--token-file %s holds no token\ndaybook: hint: it is one line, as `daybook admin create` prints it\n", name))
	}
	d.says(1, list("good"), "hint: is it `daybook serve` that answers there?")
	code = http.StatusNotFound
	d.says(2, list("good"), "/v1/trails: not an answer of daybook: 404 Not Found: \"<html>hello</html>\"\ndaybook: hint: is it `daybook serve` that answers there?")
	code, answer = http.StatusUnauthorized, `{"error":"unknown secret"}`
	d.says(2, list("good"), "error: unknown secret\ndaybook: hint: the token is another service's, or not whole; `daybook admin create` makes one\n")
	t.Setenv("DAYBOOK_TOKEN", "a b")
	d.says(2, []string{"trail", "list", "--server", server.URL}, "the variable DAYBOOK_TOKEN holds no token")
	server.Close()
	t.Setenv("DAYBOOK_TOKEN", "")
	d.says(1, list("good"), "hint: is the service at work there, and does it speak http or https")
}
