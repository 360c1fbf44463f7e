package main_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/parquet-go/parquet-go"

	"daybook/batch/intake"
	"daybook/internal/effort"
	"daybook/sink/sinktest"
)

// machine is where a test exports: it has a command, a folder for input, one for state and one that is the store.
type machine struct {
	binary, dir string
	config      string // more of the configuration
	as          *syscall.Credential
}

func newMachine(t *testing.T, binary string) *machine {
	t.Helper()
	m := &machine{binary: binary, dir: sinktest.Folder(t)}
	if err := os.Mkdir(m.path("in"), 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

func (m *machine) input(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path("in", name)), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, m.path("in", name), content)
}

// exported is what a run of export did.
type exported struct {
	code                                                      int
	Read, Written, Duplicates, Quarantined, Pending, Redacted int
	NotTracked                                                int `json:"not_tracked"`
	InputFiles                                                int `json:"input_files"`
	SkippedFiles                                              int `json:"skipped_files"`
	Faults                                                    []intake.FileFault
	Examples                                                  []intake.QuarantineEntry
	stderr                                                    string
}

// export runs the command with these arguments; without any it reads the folder in.
func (m *machine) export(t *testing.T, stdin io.Reader, args ...string) *exported {
	t.Helper()
	store := ""
	if !strings.Contains(m.config, "store:") {
		store = fmt.Sprintf("store: {url: %q}\n", m.path("out"))
	}
	config := m.path("daybook.yaml")
	writeFile(t, config, fmt.Sprintf("%sdata: %q\nkey: %q\nas_of: 2026-03-20T12:00:00Z\n%s", store, m.path("data"), m.path("keys", "signing.key"), m.config))
	if err := os.Chmod(config, 0o644); err != nil {
		t.Fatal(err)
	}
	if len(args) == 0 {
		args = []string{"in"}
	}
	cmd := exec.CommandContext(t.Context(), m.binary, append([]string{"export", "--json", "--config", config}, args...)...)
	cmd.Dir, cmd.Stdin = m.dir, stdin
	cmd.Env = append(os.Environ(), "HOME="+m.dir, "TEST_ACCESS_KEY=AKIAIOSFODNN7EXAMPLE", "TEST_SECRET_KEY=not-a-secret")
	if m.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: m.as}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if w, ok := stdin.(*watched); ok {
		w.pid <- cmd.Process.Pid
	}
	_ = cmd.Wait() // its exit code is looked at
	got := &exported{code: cmd.ProcessState.ExitCode(), stderr: stderr.String()}
	if got.code != 0 && got.code != 3 {
		if stdout.Len() > 0 {
			t.Errorf("exit code %d, and a report: %s", got.code, &stdout)
		}
		return got
	}
	if err := json.Unmarshal(stdout.Bytes(), got); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &stdout, got.stderr)
	}
	if out := got.Written + got.Duplicates + got.Quarantined + got.NotTracked + got.Pending; got.Read != out {
		t.Errorf("%d read, but %d accounted for", got.Read, out)
	}
	if bad := got.Quarantined > 0 || len(got.Faults) > 0; bad != (got.code == 3) {
		t.Errorf("exit code %d with %d in quarantine and %d faults", got.code, got.Quarantined, len(got.Faults))
	}
	return got
}

// counts are those of got, in the order of the sum.
func (e *exported) counts() [6]int {
	return [6]int{e.Read, e.Written, e.Duplicates, e.Quarantined, e.NotTracked, e.Pending}
}

// evidence returns the rows in the store.
func (m *machine) evidence(t *testing.T) []map[string]any {
	t.Helper()
	var rows []map[string]any
	for _, path := range m.files(t, m.path("out", "jsonl")) {
		var b bytes.Buffer
		if err := uncompressed(&b, path); err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b.Bytes()) {
			var row map[string]any
			if err := json.Unmarshal(line, &row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (m *machine) files(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filesBelow(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return list
}

// quarantine returns the records in quarantine, and checks that they are for their owner only.
func (m *machine) quarantine(t *testing.T) []string {
	t.Helper()
	var records []string
	for _, path := range m.files(t, m.path("data", "quarantine")) {
		for path, mode := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode() != mode {
				t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
			}
		}
		if filepath.Ext(path) != ".jsonl" {
			continue
		}
		index, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(strings.TrimSuffix(path, ".jsonl") + ".records")
		if err != nil {
			t.Fatal(err)
		}
		for row := range bytes.Lines(index) {
			var e intake.QuarantineEntry
			if err := json.Unmarshal(row, &e); err != nil {
				t.Fatal(err)
			}
			records = append(records, string(data[e.Offset:e.Offset+e.Size]))
		}
	}
	return records
}

func eventLine(id, more string) string {
	return fmt.Sprintf(`{"id":%q,"time":"2026-03-10T09:30:00Z","action":"file-read","actor_id":"user-1"%s}`, id, more)
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const someSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

// badRecords has the records of the list. Each is put between two good ones.
var badRecords = []struct {
	name, record string
	counts       [6]int // read, written, duplicates, quarantined, not tracked, pending
	reason       string // of the quarantine
	config       string
	check        func(t *testing.T, m *machine, row map[string]any)
}{
	{name: "not JSON", record: "Mar 10 09:30:00 host sshd[1]: hello", counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "not JSON: not an object at byte 1"},
	{name: "half a line", record: eventLine("bad", "")[:40], counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "not JSON"},
	{name: "no time", record: `{"id":"bad","action":"file-read"}`, counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "record has no time"},
	{name: "a time that is none", record: `{"id":"bad","time":"yesterday","action":"file-read"}`, counts: [6]int{3, 2, 0, 1, 0, 0}, reason: `time is "yesterday": must be RFC 3339, like "2026-03-10T09:30:00Z"`},
	{name: "kind 0", record: `{"kind": 0}`, counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "record has no time"},
	{name: "NUL byte", record: eventLine("bad", `,"actor_name":"a`+"\x00"+`b"`), counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "not JSON: control character 0x00 in a string"},
	{name: "only NUL bytes", record: strings.Repeat("\x00", 100), counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "not JSON"},
	{name: "duplicate key", record: eventLine("bad", `,"action":"file-delete"`), counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "action is given twice: which one is meant can't be told"},
	{name: "case-variant key", record: eventLine("bad", `,"ACTOR_ID":"mallory"`), counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "actor_id is given twice"},
	{name: "long", record: eventLine("bad", `,"info":"`+strings.Repeat("x", 2000)+`"`), counts: [6]int{3, 2, 0, 1, 0, 0}, config: "limits: {record: 1KiB}",
		reason: "record is longer than 1024 bytes: raise limits.record"},
	{name: "nested", record: eventLine("bad", `,"info":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)), counts: [6]int{3, 2, 0, 1, 0, 0}, reason: "nested deeper than"},

	{name: "escaped NUL", record: eventLine("odd", `,"actor_name":"a\u0000b"`), counts: [6]int{3, 3, 0, 0, 0, 0}, check: func(t *testing.T, _ *machine, row map[string]any) {
		if row["actor_name"] != "a\x00b" {
			t.Errorf("actor_name is %q", row["actor_name"])
		}
	}},
	{name: "invalid UTF-8", record: eventLine("odd", `,"actor_name":"J`+"\xf6"+`rg","info":{"password":"`+someSecret+`"}`), counts: [6]int{3, 3, 0, 0, 0, 0}, check: checkInvalidUTF8},
	{name: "an address that is none", record: eventLine("odd", `,"ip":"702.21.198.166"`), counts: [6]int{3, 3, 0, 0, 0, 0}, check: func(t *testing.T, _ *machine, row map[string]any) {
		if row["ip"] != "702.21.198.166" || fmt.Sprint(row["flags"]) != "[ip_invalid]" {
			t.Errorf("ip is %v, flags %v", row["ip"], row["flags"])
		}
	}},
	{name: "an id of 10,000 characters", record: eventLine(strings.Repeat("odd", 10_000/3)+"!", ""), counts: [6]int{3, 3, 0, 0, 0, 0}, check: func(t *testing.T, _ *machine, row map[string]any) {
		if id, _ := row["id"].(string); len(id) != 10_000 {
			t.Errorf("id is %.30s…, %d bytes", id, len(id))
		}
	}},
	{name: "1970", record: `{"id":"odd","time":"1970-01-01T00:00:00Z","action":"x"}`, counts: [6]int{3, 3, 0, 0, 0, 0}, check: checkSuspect("1970-01-01T00:00:00Z")},
	{name: "2099", record: `{"id":"odd","time":"2099-12-31T23:59:59Z","action":"x"}`, counts: [6]int{3, 3, 0, 0, 0, 0}, check: checkSuspect("2099-12-31T23:59:59Z")},
	{name: "paths as names", record: eventLine("../../etc/passwd", `,"project_id":"../../etc/passwd","project_name":"/etc/shadow","source":"../../x","type":"../z"`),
		counts: [6]int{3, 3, 0, 0, 0, 0}, config: "trails: [{name: audit, split: project}]", check: checkPathNames},
}

func checkInvalidUTF8(t *testing.T, m *machine, row map[string]any) {
	t.Helper()
	if row["actor_name"] != "J\ufffdrg" || fmt.Sprint(row["flags"]) != "[invalid_utf8]" {
		t.Errorf("actor_name is %v, flags %v", row["actor_name"], row["flags"])
	}
	raw, _ := row["raw"].(map[string]any)
	text, _ := raw["base64"].(string)
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !bytes.Contains(data, []byte("J\xf6rg")) || !bytes.Contains(data, []byte(`"password":"[redacted:`)) {
		t.Errorf("raw is %q, %v", data, err)
	}
	m.mustNotHold(t, []string{someSecret, base64.StdEncoding.EncodeToString([]byte(someSecret))})
}

func checkSuspect(at string) func(*testing.T, *machine, map[string]any) {
	return func(t *testing.T, m *machine, row map[string]any) {
		if row["time"] != at || fmt.Sprint(row["flags"]) != "[time_suspect]" {
			t.Errorf("time is %v, flags %v", row["time"], row["flags"])
		}
		if len(m.files(t, m.path("out", "jsonl", "class=standard", "trail=audit", "dt=2026-03-20"))) != 1 {
			t.Errorf("it is not filed under the day of receipt: %v", m.files(t, m.path("out", "jsonl")))
		}
	}
}

func checkPathNames(t *testing.T, m *machine, row map[string]any) {
	t.Helper()
	if row["project_id"] != "../../etc/passwd" {
		t.Errorf("project_id is %v", row["project_id"])
	}
	const dir = "project=%2E.%2F..%2Fetc%2Fpasswd"
	for _, format := range []string{"csv", "cef", "syslog"} {
		if n := len(m.files(t, m.path("out", format, "class=standard", "trail=audit", "dt=2026-03-10", dir))); n != 1 {
			t.Errorf("%d files of the project in %v", n, m.files(t, m.path("out", format)))
		}
	}
}

// mustStayIn checks that the run wrote nothing but below the folders that it was given.
func (m *machine) mustStayIn(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{"in", "out", "data", "keys", "daybook.yaml"}, e.Name()) {
			t.Errorf("%s was written", e.Name())
		}
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	binary := command(t)
	if !effort.Long() {
		t.Log("one record in eight is tried: make unit tries all")
	}
	t.Run("record", func(t *testing.T) {
		for i, test := range badRecords {
			if i%8 > 0 && !effort.Long() {
				continue
			}
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				m := newMachine(t, binary)
				m.config = test.config
				m.input(t, "events.jsonl", eventLine("good-1", "")+"\n"+test.record+"\n"+eventLine("good-2", "")+"\n")
				got := m.export(t, nil)
				if got.counts() != test.counts {
					t.Errorf("counts are %v, want %v; %s", got.counts(), test.counts, got.stderr)
				}
				good := 0
				var odd map[string]any
				for _, row := range m.evidence(t) {
					if id := row["id"].(string); strings.HasPrefix(id, "good-") {
						good++
					} else {
						odd = row
					}
				}
				if good != 2 {
					t.Errorf("%d of 2 good events are in the evidence", good)
				}
				m.mustStayIn(t)
				kept := m.quarantine(t)
				if test.reason == "" {
					if len(kept) > 0 || len(got.Examples) > 0 {
						t.Errorf("in quarantine: %q", kept)
					}
					if test.check != nil {
						test.check(t, m, odd)
					}
					return
				}
				if len(kept) != 1 || kept[0] != test.record {
					t.Errorf("in quarantine: %.200q", kept)
				}
				if e := got.Examples; len(e) != 1 || e[0].File != "in/events.jsonl" || e[0].Line != 2 || !strings.Contains(e[0].Reason, test.reason) {
					t.Errorf("told: %+v", e)
				}
			})
		}
	})
	for name, test := range map[string]func(*testing.T, *machine){
		"file": testBadFiles, "folder": testBadFolder, "permission": testNoPermission, "100 MB record": testLongRecord, "bomb": testBomb,
		"names on the command line": testBadNames, "bucket": testBadBuckets,
	} {
		t.Run(name, func(t *testing.T) { test(t, newMachine(t, binary)) })
	}
}

func testBadFiles(t *testing.T, m *machine) {
	m.input(t, "cut.jsonl.gz", zipped(t, eventLine("cut", "")+"\n")[:80])
	m.input(t, "digest.json", `{"awsAccountId":"1","digestStartTime":"2026-03-10T00:00:00Z","digestEndTime":"2026-03-10T01:00:00Z","digestS3Bucket":"b","logFiles":[]}`)
	m.input(t, "empty", "")
	m.input(t, "events.jsonl", eventLine("good", "")+"\n")
	m.input(t, "none.json", `{"Records":[]}`)
	m.input(t, "report.pdf", "%PDF-1.4\n")
	m.input(t, "whole.jsonl.gz", zipped(t, eventLine("zipped", "")))
	m.input(t, "x.zip", "PK\x03\x04\x14\x00\x00\x00")
	got := m.export(t, nil)
	if want := [6]int{3, 2, 0, 1, 0, 0}; got.counts() != want || got.InputFiles != 4 || got.SkippedFiles != 2 {
		t.Errorf("counts are %v, %d files and %d skipped", got.counts(), got.InputFiles, got.SkippedFiles)
	}
	for i, want := range [][2]string{{"in/cut.jsonl.gz", "the file is cut short: unexpected EOF; what came before that stands; mend the file and export it again"},
		{"in/report.pdf", "not recognised as any of cloudtrail, jsonl; if it is one of them, say which with --from"}, {"in/x.zip", "a zip archive: unpack it first"}} {
		if i >= len(got.Faults) || got.Faults[i].File != want[0] || !strings.Contains(got.Faults[i].Reason, want[1]) {
			t.Errorf("faults are %q", got.Faults)
			break
		}
	}
	if kept := m.quarantine(t); len(kept) != 1 || !strings.HasPrefix(eventLine("cut", ""), kept[0]) {
		t.Errorf("in quarantine: %q", kept)
	}
	for _, name := range []string{"cut.jsonl.gz", "report.pdf", "x.zip"} {
		if err := os.Remove(m.path("in", name)); err != nil {
			t.Fatal(err)
		}
	}
	m.input(t, "cut.jsonl.gz", zipped(t, eventLine("cut", ""))) // mended
	if got = m.export(t, nil); got.counts() != [6]int{3, 1, 2, 0, 0, 0} {
		t.Errorf("after it was mended the counts are %v", got.counts())
	}
}

func testBadFolder(t *testing.T, m *machine) {
	m.input(t, "a.jsonl", eventLine("good", ""))
	writeFile(t, m.path("secret.jsonl"), eventLine("secret", ""))
	if err := os.Symlink("../secret.jsonl", m.path("in", "link.jsonl")); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", m.path("in", "s"))
	if err != nil {
		t.Skipf("no sockets here: %v", err)
	}
	defer socket.Close()
	got := m.export(t, nil)
	if got.counts() != [6]int{1, 1, 0, 0, 0, 0} || len(got.Faults) != 2 || !strings.Contains(got.Faults[0].Reason, "a symbolic link that is not followed (path escapes from parent)") ||
		got.Faults[1].File != "in/s" || got.Faults[1].Reason != "neither a file nor a folder: name it itself to have it read" {
		t.Errorf("counts are %v, faults %q", got.counts(), got.Faults)
	}
}

func testNoPermission(t *testing.T, m *machine) {
	effort.NeedsLong(t)
	if os.Geteuid() == 0 { // who may read everything
		dir, err := os.MkdirTemp("", "daybook-nobody-") //nolint:usetesting // t.TempDir is closed to other users
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		const nobody = 65534
		binary, err := os.ReadFile(m.binary)
		if err != nil {
			t.Fatal(err)
		}
		m = &machine{binary: filepath.Join(dir, "daybook"), dir: dir, as: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := os.WriteFile(m.binary, binary, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	m.input(t, "a.jsonl", eventLine("good", ""))
	m.input(t, "b.jsonl", eventLine("shut", ""))
	m.input(t, "c/d.jsonl", eventLine("shut", ""))
	for path, mode := range map[string]fs.FileMode{"in": 0o755, "in/a.jsonl": 0o644, "in/b.jsonl": 0, "in/c": 0} {
		if err := os.Chmod(m.path(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(m.path("in/c"), 0o700) }) // to be removed
	got := m.export(t, nil)
	want := []intake.FileFault{{File: "in/b.jsonl", Reason: "permission denied: let the user that runs daybook read it"}, {File: "in/c", Reason: "permission denied: let the user that runs daybook read it"}}
	if got.counts() != [6]int{1, 1, 0, 0, 0, 0} || !slices.Equal(got.Faults, want) {
		t.Errorf("counts are %v, faults %q, %s", got.counts(), got.Faults, got.stderr)
	}
	got = m.export(t, nil, "in/c", "in/b.jsonl")
	if got.counts() != [6]int{} || len(got.Faults) != 2 {
		t.Errorf("counts are %v, faults %q, %s", got.counts(), got.Faults, got.stderr)
	}
	if err := os.Chmod(m.path("data", "lock"), 0); err != nil {
		t.Fatal(err)
	}
	if got = m.export(t, nil); got.code != 1 || !strings.Contains(got.stderr, "permission denied\ndaybook: hint: this user may not: run it as the user whose it is") {
		t.Errorf("a data folder of another user: exit code %d, %s", got.code, got.stderr)
	}
}

// repeated is a text over and over.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		c := copy(p[n:], r.text[r.at:])
		n += c
		r.at = (r.at + c) % len(r.text)
	}
	return len(p), nil
}

// watched is standard input that sees how much memory its reader takes.
type watched struct {
	io.Reader
	pid    chan int
	status string // the file that tells
	most   int    // KiB
}

func watch(parts ...io.Reader) *watched {
	return &watched{Reader: io.MultiReader(parts...), pid: make(chan int, 1)}
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if w.status == "" {
		w.status = fmt.Sprintf("/proc/%d/status", <-w.pid)
	}
	status, _ := os.ReadFile(w.status) // absent where it is not Linux, or gone
	if _, peak, ok := strings.Cut(string(status), "VmHWM:"); ok {
		kib := 0
		if _, err := fmt.Sscan(peak, &kib); err == nil {
			w.most = max(w.most, kib)
		}
	}
	return n, err
}

// maxMemory is what a run with a limit of 16 MiB for a record may take, in KiB: the record is held a few times on its way.
const maxMemory = 128 << 10

func (w *watched) check(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Logf("how much memory it took can't be seen here: %v", err)
		return
	}
	t.Logf("it took %d KiB of memory", w.most)
	if w.most == 0 || w.most > maxMemory {
		t.Errorf("it took %d KiB of memory, more than %d", w.most, maxMemory)
	}
}

func testLongRecord(t *testing.T, m *machine) {
	effort.NeedsLong(t)
	const size = 100 << 20
	start, end := eventLine("bad", `,"info":"`)[:len(eventLine("bad", `,"info":"`))-1], `"}`
	stdin := watch(strings.NewReader(eventLine("good-1", "")+"\n"+start), io.LimitReader(&repeated{text: "long "}, size), strings.NewReader(end+"\n"+eventLine("good-2", "")))
	got := m.export(t, stdin, "-")
	if got.counts() != [6]int{3, 2, 0, 1, 0, 0} {
		t.Errorf("counts are %v", got.counts())
	}
	if e := got.Examples; len(e) != 1 || e[0].File != "standard input" || e[0].Line != 2 || e[0].Size != int64(len(start)+size+len(end)) || !strings.Contains(e[0].Reason, "raise limits.record") {
		t.Errorf("told: %+v", e)
	}
	if kept := m.quarantine(t); len(kept) != 1 || !strings.HasPrefix(kept[0], start+"long ") || !strings.HasSuffix(kept[0], end) || strings.Count(kept[0], "long ") != size/5 {
		t.Error("the quarantine does not hold the record as it came")
	}
	stdin.check(t)
}

// testBomb feeds a line that would be of 10 GB.
func testBomb(t *testing.T, m *machine) {
	effort.NeedsLong(t)
	member := zipped(t, strings.Repeat("bang", 4<<20))
	stdin := io.MultiReader(strings.NewReader(zipped(t, eventLine("good", "")+"\n{")), io.LimitReader(&repeated{text: member}, int64(len(member))*640))
	m.input(t, "z.jsonl", eventLine("other", ""))
	got := m.export(t, stdin, "-", "in")
	if got.counts() != [6]int{3, 2, 0, 1, 0, 0} {
		t.Errorf("counts are %v", got.counts())
	}
	if len(got.Faults) != 1 || got.Faults[0].File != "standard input" || !strings.Contains(got.Faults[0].Reason, "decompression bomb (limits.ratio is 250)") {
		t.Errorf("faults are %q", got.Faults)
	}
	if kept := m.quarantine(t); len(kept) != 1 || len(kept[0]) > 65<<20 {
		t.Error("the quarantine holds too much")
	}
}

func testBadNames(t *testing.T, m *machine) {
	effort.NeedsLong(t)
	m.input(t, "a.jsonl", eventLine("good", ""))
	for _, args := range [][]string{{"--trail", "../../x"}, {"--org", "../../x"}, {"--source", "../../x"}} {
		if got := m.export(t, nil, append(args, "in")...); got.code != 0 && (got.code != 2 || !strings.Contains(got.stderr, "daybook: error: ")) {
			t.Errorf("%v: exit code %d, %s", args, got.code, got.stderr)
		}
		m.mustStayIn(t)
	}
	m.config = fmt.Sprintf("store: {url: %q", m.path("out")) + ", retention_policies: [{class: ../../x, default: true, hot_days: 1}]}\n"
	if got := m.export(t, nil); got.code != 0 && got.code != 2 {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
	m.mustStayIn(t)
}

// bucket answers as an S3 bucket does that is right, but for what it is told.
type bucket struct {
	answer   func(r *http.Request) (status int, code string) // of a fault; 0: none
	requests atomic.Int64
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.requests.Add(1)
	_, _ = io.Copy(io.Discard, r.Body)
	status, body := http.StatusNotFound, "<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>"
	query := r.URL.Query()
	switch {
	case query.Has("versioning"):
		status, body = http.StatusOK, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
	case query.Has("list-type"):
		status, body = http.StatusOK, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
	case query.Has("object-lock"):
		status, body = http.StatusOK, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
	}
	if s, code := b.answer(r); s != 0 {
		status, body = s, fmt.Sprintf("<Error><Code>%s</Code><Message>told to</Message></Error>", code)
		if code == "" {
			body = "<VersioningConfiguration></VersioningConfiguration>"
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, `<?xml version="1.0"?>`+body)
	}
}

func testBadBuckets(t *testing.T, m *machine) {
	effort.NeedsLong(t)
	always := func(status int, code string) func(*http.Request) (int, string) {
		return func(*http.Request) (int, string) { return status, code }
	}
	on := func(key string, status int, code string) func(*http.Request) (int, string) {
		return func(r *http.Request) (int, string) {
			if r.URL.Query().Has(key) || r.Method == key {
				return status, code
			}
			return 0, ""
		}
	}
	var calls atomic.Int64
	for name, test := range map[string]struct {
		answer      func(*http.Request) (int, string)
		error, hint string
		slow        bool
	}{
		"missing":        {always(404, "NoSuchBucket"), "there is no such bucket", "make a bucket that is right with: daybook bucket create s3://audit/x", false},
		"no Object Lock": {on("object-lock", 404, "ObjectLockConfigurationNotFoundError"), "Object Lock", "daybook bucket create", false},
		"no versioning":  {on("versioning", 200, ""), "versioning", "", false},
		"403":            {always(403, "AccessDenied"), "403 AccessDenied", "let the credential do s3:", false},
		"403 of a list":  {on("list-type", 403, "AccessDenied"), "403 AccessDenied", "let the credential do s3:ListBucket", false},
		"403 of a PUT":   {on("PUT", 403, "AccessDenied"), "403 AccessDenied", "let the credential do s3:PutObject", false},
		"503, then 403": {func(*http.Request) (int, string) {
			if calls.Add(1) <= 2 {
				return 503, "SlowDown"
			}
			return 403, "AccessDenied"
		}, "403 AccessDenied", "let the credential do s3:", false},
		"503": {always(503, "SlowDown"), "503 SlowDown: told to (tried 8 times)", "the store is overloaded or down: run again later, what was stored is kept", true},
	} {
		t.Run(name, func(t *testing.T) {
			if test.slow && os.Getenv("DAYBOOK_TEST_MINIO") == "" {
				t.Skip("waits out all retries, half a minute: make test does so")
			}
			t.Parallel()
			m := newMachine(t, m.binary)
			m.input(t, "events.jsonl", eventLine("good", ""))
			b := &bucket{answer: test.answer}
			server := httptest.NewServer(b)
			t.Cleanup(server.Close)
			m.config = "store:\n  url: s3://audit/x\n  endpoint: " + server.URL + "\n  region: us-east-1\n  mode: compliance\n  access_key_env: TEST_ACCESS_KEY\n  secret_key_env: TEST_SECRET_KEY\n" +
				"  retention_policies: [{class: standard, default: true, hot_days: 1}]\n"
			got := m.export(t, nil)
			first, rest, _ := strings.Cut(got.stderr[max(0, strings.Index(got.stderr, "daybook: error: ")):], "\n")
			if got.code != 1 || !strings.Contains(first, test.error) || !strings.Contains(rest, "daybook: hint: ") || !strings.Contains(rest, test.hint) {
				t.Errorf("exit code %d, %s", got.code, got.stderr)
			}
			if strings.Contains(got.stderr, "not-a-secret") {
				t.Error("the secret key is told")
			}
			if n := b.requests.Load(); name == "503, then 403" && n < 3 || name == "503" && n != 8 {
				t.Errorf("%d requests", n)
			}
			if ledger := m.files(t, m.path("data", "ledger")); len(ledger) > 0 {
				t.Errorf("sealed, it says: %v", ledger)
			}
		})
	}
}

// TestNoSecretReachesAFile looks for every secret of real input in every byte that an export of it writes.
func TestNoSecretReachesAFile(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	data := filepath.Join(root(t), "..", "shared", "data", "cloudtrail", "invictus-20230710")
	if _, err := os.Stat(data); err != nil {
		t.Skipf("no real input here: %v", err)
	}
	var secrets []string
	for _, path := range must(filesBelow(data))(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			continue // a file that is no JSON has no events
		}
		secrets = append(secrets, secretsIn(v)...)
	}
	slices.Sort(secrets)
	secrets = slices.Compact(secrets)
	if len(secrets) < 10 {
		t.Fatalf("%d secrets found in the input", len(secrets))
	}
	m := newMachine(t, command(t))
	if got := m.export(t, nil, data); got.counts() != [6]int{2122, 2122, 0, 0, 0, 0} || got.Redacted < len(secrets) {
		t.Errorf("counts are %v, %d redacted", got.counts(), got.Redacted)
	}
	m.mustNotHold(t, secrets)
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// secretsIn walks JSON for values under the names of secrets.
func secretsIn(v any) []string {
	var list []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			list = append(list, secretsIn(e)...)
		}
	case map[string]any:
		for name, e := range v {
			low := strings.ToLower(name)
			text, ok := e.(string)
			if ok && (strings.HasSuffix(low, "sessiontoken") || strings.HasSuffix(low, "secretaccesskey") || strings.HasSuffix(low, "password")) {
				if len(text) >= 8 && !strings.HasPrefix(text, "HIDDEN") {
					list = append(list, text)
				}
				continue
			}
			list = append(list, secretsIn(e)...)
		}
	}
	return list
}

// mustNotHold checks that no piece of 20 bytes of a secret (all of a shorter one) is in any byte of the store and of the data folder but for the
// quarantine, as it is stored and uncompressed.
func (m *machine) mustNotHold(t *testing.T, secrets []string) {
	t.Helper()
	const piece = 20
	pieces := map[[piece]byte]bool{}
	begins := make([]bool, 1<<16) // with which two bytes: most are not even looked up
	var short []string
	for _, s := range secrets {
		if len(s) < piece {
			short = append(short, s)
		}
		for i := 0; i+piece <= len(s); i++ {
			pieces[[piece]byte([]byte(s[i:i+piece]))] = true
			begins[int(s[i])<<8|int(s[i+1])] = true
		}
	}
	searched := 0
	search := func(what string, content []byte) {
		searched += len(content)
		for i := 0; i+piece <= len(content); i++ {
			if begins[int(content[i])<<8|int(content[i+1])] && pieces[[piece]byte(content[i:i+piece])] {
				t.Errorf("%s holds a piece of a secret at byte %d", what, i)
				return
			}
		}
		for _, s := range short {
			if bytes.Contains(content, []byte(s)) {
				t.Errorf("%s holds a secret", what)
			}
		}
	}
	kinds := map[string]int{}
	for _, path := range slices.Concat(m.files(t, m.path("out")), m.files(t, m.path("data"))) {
		if strings.HasPrefix(path, m.path("data", "quarantine")) {
			continue
		}
		kinds[cmp.Or(filepath.Ext(path), "none")]++
		stored, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		search(path, stored)
		switch filepath.Ext(path) {
		case ".gz", ".zst":
			var b bytes.Buffer
			if err := uncompressed(&b, path); err != nil {
				t.Fatal(err)
			}
			search(path+", uncompressed", b.Bytes())
		case ".parquet":
			search(path+", its values", parquetValues(t, stored))
		}
	}
	if kinds[".gz"] < 3 || kinds[".zst"] < 1 || kinds[".parquet"] < 1 || kinds[".json"] < 1 || searched == 0 {
		t.Errorf("looked into %v only", kinds)
	}
}

// parquetValues returns all values of all columns, one after the other.
func parquetValues(t *testing.T, file []byte) []byte {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	values := make([]parquet.Value, 1000)
	for _, group := range f.RowGroups() {
		for _, column := range group.ColumnChunks() {
			pages := column.Pages()
			for {
				page, err := pages.ReadPage()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for r := page.Values(); ; {
					n, err := r.ReadValues(values)
					for _, v := range values[:n] {
						all = append(v.AppendBytes(all), '\n')
					}
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := pages.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}
