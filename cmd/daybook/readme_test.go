package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/verify"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink/s3test"
	"daybook/sink/sinktest"
)

// block is a fenced block of the README.
type block struct {
	line  int      // of its fence, counted from 1
	lang  string   // what the fence says
	needs []string // what the comment above the fence asks for
	lines []string
}

func blocks(t *testing.T, markdown string) []block {
	t.Helper()
	var (
		list  []block
		open  *block
		needs []string
	)
	for i, line := range strings.Split(markdown, "\n") {
		lang, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open != nil:
			list = append(list, *open)
			open = nil
		case fence:
			open = &block{line: i + 1, lang: lang, needs: needs}
			needs = nil
		case open != nil:
			open.lines = append(open.lines, line)
		default:
			if what, ok := strings.CutPrefix(line, "<!-- needs: "); ok {
				needs = strings.Fields(strings.TrimSuffix(what, " -->"))
			}
		}
	}
	if open != nil {
		t.Fatalf("README.md:%d: a block without an end", open.line)
	}
	return list
}

// step is a command and what it is to print.
type step struct {
	command string
	output  []string
}

func (b block) steps(t *testing.T) []step {
	t.Helper()
	var list []step
	for i, line := range b.lines {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, step{command: command})
		} else if len(list) == 0 {
			t.Fatalf("README.md:%d: output without a command", b.line+1+i)
		} else {
			last := &list[len(list)-1]
			last.output = append(last.output, line)
		}
	}
	return list
}

// varying is what differs from run to run, and what stands for it.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\b([0-9a-f]{4}-){5}[0-9a-f]{4}\b`), "FINGERPRINT"},
	{regexp.MustCompile(`\b([0-9a-f]{64}|[0-9a-f]{24})\b`), "HASH"},
	{regexp.MustCompile(`(?m)^[A-Za-z0-9+/]{43}=$`), "ROOT"},
	{regexp.MustCompile(`redacted:[0-9a-f]{8}`), "redacted:TAG"},
	{regexp.MustCompile(`[0-9.]+ ([KM]i)?B\b`), "SIZE"},
	{regexp.MustCompile(`[0-9.]+s \([0-9,]+ events/s\)`), "TIME RATE"},
	{regexp.MustCompile(`/audit-[0-9a-f]{12}/`), "/FOLDER/"},
	{regexp.MustCompile(`[0-9]{8}T[0-9]{6}\.[0-9]{9}Z`), "STAMP"},
	{regexp.MustCompile(`(made |RetainUntilDate": "|COMPLIANCE )[0-9]{4}-[0-9:.T-]+(Z|\+00:00)`), "${1}TIME"},
}

var (
	spaces = regexp.MustCompile(`[ \t]+`)
	// chatter is what stands in the place of the progress bar where there is no terminal.
	chatter = regexp.MustCompile(`(?m)^daybook: \S+ [0-9-]{10}: .*, [0-9]+ events, [0-9]+ files\n`)
)

func shape(text string) string {
	text = spaces.ReplaceAllString(text, " ")
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}

// matches reports whether got has the shape of want, in which … stands for any text, and … alone on a line for any lines.
func matches(want []string, got string) bool {
	var re strings.Builder
	re.WriteString(`^`)
	for _, line := range want {
		if line == "…" {
			re.WriteString(`(.*\n)*`)
			continue
		}
		quoted := regexp.QuoteMeta(strings.TrimRight(shape(line), " "))
		re.WriteString(strings.ReplaceAll(quoted, "…", ".*") + " ?\n")
	}
	return regexp.MustCompile(re.String() + `$`).MatchString(shape(chatter.ReplaceAllString(got, "")))
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		want string
		got  string
		ok   bool
	}{
		{"a  b", "a b\n", true},
		{"a", "b\n", false},
		{"a", "a\nb\n", false},
		{"a\n…", "a\nb\nc\n", true},
		{"a…c", "a b c\n", true},
		{"total: 3 read; 0.1s (30 events/s)", "total: 3 read; 12.0s (1,000 events/s)\n", true},
		{"total: 3 read; 0.1s (30 events/s)", "total: 4 read; 0.1s (30 events/s)\n", false},
		{"a", "daybook: audit 2026-03-09: sealed, 23 events, 5 files\na\n", true},
	} {
		if ok := matches(strings.Split(test.want, "\n"), test.got); ok != test.ok {
			t.Errorf("%q against %q: %v", test.got, test.want, ok)
		}
	}
}

// readme runs the README's commands, one block after the other, in a folder that looks like a fresh clone.
type readme struct {
	dir, home string
	name      string // of the page
	one       bool   // whether its blocks are one script, with functions that later ones call
	prelude   string // what goes before every script
	env       []string
	replace   *strings.Replacer
	restore   *strings.Replacer // of what is printed; nil: nothing
	server    *s3test.Server
	received  func() string // what was sent to the SIEM
}

// TestReadme runs every command of the README, and compares what it prints with what the README says that it prints.
func TestReadme(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	for _, tool := range []string{"bash", "zcat", "gzip", "sed", "sha256sum", "openssl", "make", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s to run the README's commands with", tool)
		}
	}
	r := newReadme(t)
	r.page(t, "README.md")
	if got := strings.Count(r.received(), "\n"); got != 29 {
		t.Errorf("the SIEM received %d messages, want the 29 of the day", got)
	}
}

// TestVerifyPage runs the checks with tools that are not ours.
func TestVerifyPage(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	for _, tool := range []string{"bash", "sha256sum", "openssl", "jq", "zstd", "base64", "od"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s to run the page's commands with: make test installs it", tool)
		}
	}
	r := newReadme(t)
	r.one = true
	r.page(t, filepath.Join("docs", "VERIFY.md"))
}

// TestVerifyPageOnForgedStores runs the functions that the page defines on a store of ten seals and more, and on copies of it that somebody altered who has no key.
func TestVerifyPageOnForgedStores(t *testing.T) {
	t.Parallel()
	effort.NeedsThorough(t)
	for _, tool := range []string{"bash", "sha256sum", "openssl", "jq", "gzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s to run the page's commands with: make test installs it", tool)
		}
	}
	markdown, err := os.ReadFile(filepath.Join(root(t), "docs", "VERIFY.md"))
	if err != nil {
		t.Fatal(err)
	}
	r := newReadme(t)
	r.name = "the page"
	var events strings.Builder
	for d := range 11 {
		fmt.Fprintf(&events, `{"id":"%d","time":"2026-03-%02dT12:00:00Z","action":"file-read","outcome":"success"}`+"\n", d, d+1)
	}
	writeFile(t, filepath.Join(r.dir, "events.jsonl"), events.String())
	b := block{lines: []string{"$ daybook export events.jsonl >/dev/null 2>&1; cd audit; cp keys/*.pem /tmp/trusted.pem"}}
	for _, page := range blocks(t, string(markdown)) {
		for _, line := range page.lines {
			if strings.HasPrefix(line, "$ ") && (strings.Contains(line, "() { ") || strings.HasPrefix(line, "$ head=")) {
				b.lines = append(b.lines, strings.TrimSuffix(line, "; sed -n 2p $head"))
			}
		}
	}
	each := func(format string, args ...any) {
		for n := 1; n <= 11; n++ {
			b.lines = append(b.lines, fmt.Sprintf(format, append([]any{n}, args...)...))
		}
	}
	b.lines = append(b.lines, "$ intact")
	each("seals/audit/%08d/manifest.json and its files are intact")
	b.lines = append(b.lines, "$ entries show | sha256sum --check")
	each("seals/audit/%08d/manifest.json: OK")
	b.lines = append(b.lines, "$ for note in seals/*/*/SHA256SUMS.note; do verify $note; done | sort -u", "Signature Verified Successfully")
	const seal = "seals/audit/00000010"
	b.lines = append(b.lines,
		`$ forge() { rm -rf /tmp/forged; cp -r . /tmp/forged; cd /tmp/forged; chmod -R u+w .; file=$(echo csv/*/*/dt=2026-03-10/*); was=$(sha256sum <$file | cut -c1-64); `+
			`zcat $file | sed s/Yes/No/ | gzip >/tmp/csv; cp /tmp/csv $file; is=$(sha256sum <$file | cut -c1-64); sed -i s/$was/$is/ `+seal+`/manifest.json; }`)
	at := strings.NewReplacer("NOTE", seal+"/SHA256SUMS.note", "MANIFEST", seal+"/manifest.json", "OTHER", "seals/audit/00000009/SHA256SUMS.note")
	for _, with := range []string{
		":",             // its note is as it was
		"rm NOTE",       // is gone
		"cp OTHER NOTE", // is another's
		"{ cat OTHER; sha256sum $file MANIFEST; } >/tmp/note; cp /tmp/note NOTE", // and what is not signed of it says what it should
	} {
		b.lines = append(b.lines, at.Replace("$ (forge; "+with+"; intact 2>/dev/null | grep -v intact)"), at.Replace("MANIFEST: ALTERED, or its note is not there"))
	}
	// A note that says what it should has no signature.
	b.lines = append(b.lines, at.Replace(`$ (forge; sed s/$was/$is/ NOTE | sed "s|.*MANIFEST|$(sha256sum MANIFEST)|" >/tmp/note; cp /tmp/note NOTE; intact | grep -c intact; verify NOTE 2>&1 | grep -c Successfully)`))
	b.lines = append(b.lines, "11", "0")
	b.lines = append(b.lines, "$ (forge; echo >csv/more.csv; find * ! -type d ! -path 'log/*' ! -path 'keys/*' | grep -vxF \"$(listed)\")", "csv/more.csv")
	r.run(t, b)
}

// TestConsumePage runs the commands of the page for those who load the files.
func TestConsumePage(t *testing.T) {
	effort.NeedsLong(t)
	for _, tool := range []string{"bash", "jq", "zcat", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s to run the page's commands with: make test installs it", tool)
		}
	}
	r := newReadme(t)
	r.page(t, filepath.Join("docs", "CONSUME.md"))
	if got := strings.Count(r.received(), " daybook CEF:0|"); got != 29 {
		t.Errorf("the SIEM received %d messages, want the 29 of the day", got)
	}
}

// page runs the commands of a page, and compares what they print with what the page says that they print.
func (r *readme) page(t *testing.T, name string) {
	markdown, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	r.name = name
	var all block // of a page whose commands build on each other
	for _, b := range blocks(t, string(markdown)) {
		switch {
		case b.lang == "yaml":
			file, ok := strings.CutPrefix(b.lines[0], "# ")
			if !ok {
				t.Fatalf("%s:%d: a file without a name", name, b.line)
			}
			path := filepath.Join(r.dir, file)
			if there := r.replace.Replace(file); filepath.IsAbs(file) && there != file {
				path = there
			}
			writeFile(t, path, r.replace.Replace(strings.Join(b.lines, "\n")))
		case b.lang == "console" && r.one:
			all.lines = append(all.lines, b.lines...)
		case b.lang == "console":
			t.Run("line "+strconv.Itoa(b.line), func(t *testing.T) { r.run(t, b) })
		}
	}
	if r.one {
		r.run(t, all)
	}
}

func newReadme(t *testing.T) *readme {
	t.Helper()
	r := &readme{dir: sinktest.Folder(t), home: sinktest.Folder(t)}
	temp := t.TempDir()
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "audit" && name != "daybook" && name != ".git" {
			if err := os.Symlink(filepath.Join(root(t), name), filepath.Join(r.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var siem string
	siem, r.received = listen(t)
	// What go run does, but built where the tests are built, and so mostly from the cache.
	binary := filepath.Join(temp, "bin", "daybook")
	run := "go build -C " + root(t) + " -o " + binary + " ./cmd/daybook && " + binary
	port := freePort(t)
	replace := []string{
		"127.0.0.1:8470", "127.0.0.1:" + port, "# service.yaml\n", "service: {listen: '127.0.0.1:" + port + "'}\n",
		"/tmp/", temp + "/", "siem.example.org/514", siem, "go run ./cmd/daybook", run,
	}
	r.env = append(os.Environ(), "HOME="+r.home, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "LC_ALL=C.UTF-8")
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		r.env = append(r.env, name+"="+strings.TrimSpace(string(out)))
	}
	if os.Getenv(s3test.EnvMinIO) != "" {
		r.server = s3test.MinIO(t)
		replace = append(replace, "https://minio.example.org:9000", r.server.URL)
		r.env = append(r.env, "AWS_ACCESS_KEY_ID="+r.server.AccessKey, "AWS_SECRET_ACCESS_KEY="+r.server.SecretKey)
	}
	r.replace = strings.NewReplacer(replace...)
	return r
}

// freePort is a port that nobody listened at a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// listen takes what one client sends, and returns host/port and what it sent, once that is all.
func listen(t *testing.T) (where string, received func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan string, 1)
	go func() {
		defer close(result)
		conn, err := l.Accept()
		if err != nil {
			return // nobody came
		}
		defer func() { _ = conn.Close() }() // it is only read
		data, _ := io.ReadAll(conn)         // what is missing is seen
		result <- string(data)
	}()
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host + "/" + port, func() string {
		_ = l.Close() // a connection that was made stays
		return <-result
	}
}

const mark = "--- step ends ---"

func (r *readme) run(t *testing.T, b block) {
	for _, need := range b.needs {
		if need == "s3" && r.server == nil {
			t.Skipf("%s is not set: no MinIO to test against (make test builds one)", s3test.EnvMinIO)
		}
		if _, err := exec.LookPath(need); need != "s3" && err != nil {
			t.Skipf("no %s: `make test` installs it", need)
		}
	}
	steps := b.steps(t)
	var script strings.Builder
	script.WriteString("shopt -s expand_aliases\nexec 2>&1 </dev/null\n" + r.prelude)
	for _, s := range steps {
		command := s.command
		if strings.HasPrefix(command, "make ") {
			command = strings.Replace(command, "make ", "make -n >/dev/null ", 1) // this very test is part of make test
		}
		script.WriteString(r.replace.Replace(command) + "\necho '" + mark + "'\n")
	}
	path := filepath.Join(t.TempDir(), "script")
	writeFile(t, path, script.String())
	cmd := exec.CommandContext(t.Context(), "bash", path)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(out), r.home, "~")
	if r.restore != nil {
		text = r.restore.Replace(text)
	}
	for _, s := range steps {
		got, rest, ok := strings.Cut(text, mark+"\n")
		if !ok {
			t.Fatalf("%s\nbroke off:\n%s", s.command, text)
		}
		if text = rest; !matches(s.output, got) {
			t.Errorf("$ %s\nprints:\n%s\nbut %s has:\n%s", s.command, got, r.name, strings.Join(s.output, "\n"))
		}
	}
}

// documentedFields are the names in the tables of a section of the README: what a table calls a field, and the fields of it that it names.
func documentedFields(t *testing.T, heading string) map[string]bool {
	t.Helper()
	markdown, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(markdown), heading)
	if !ok {
		t.Fatalf("README.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n##")
	documented := map[string]bool{}
	name := regexp.MustCompile("`([a-z_0-9]+)`")
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			meaning := cells[2]
			if values := regexp.MustCompile(`\([^()]*sealed[^()]*\)`).FindString(meaning); values != "" {
				meaning = strings.Replace(meaning, values, "", 1) // of outcome, no fields
			}
			for _, m := range name.FindAllStringSubmatch(cells[1]+meaning, -1) {
				documented[m[1]] = true
			}
		}
	}
	return documented
}

// TestVerificationIsDocumented compares the fields of `verify --json` with those that the README describes.
func TestVerificationIsDocumented(t *testing.T) {
	fields := map[string]bool{}
	jsonFields(reflect.TypeFor[verify.Report](), fields)
	if diff := cmp.Diff(fields, documentedFields(t, "\n### The report of `daybook verify --json`\n")); diff != "" {
		t.Errorf("fields (-printed +documented):\n%s", diff)
	}
}

// jsonFields adds the names that a type has in JSON, and those of what lies in it.
func jsonFields(typ reflect.Type, fields map[string]bool) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice:
		jsonFields(typ.Elem(), fields)
	case reflect.Struct:
		for f := range typ.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				fields[name] = true
				jsonFields(f.Type, fields)
			}
		}
	}
}

// TestReportIsDocumented compares the fields of `export --json` with those that the README describes.
func TestReportIsDocumented(t *testing.T) {
	effort.NeedsLong(t)
	documented := documentedFields(t, "\n## For machines\n")
	quickstart := filepath.Join(root(t), "testdata", "quickstart")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "cut.jsonl.gz"), "\x1f\x8b\x08")
	writeFile(t, filepath.Join(dir, "two.yaml"), "trails: [{name: one, org: acme}, {name: two, org: acme}]\nstore: {url: ./two}\nanchors: [{name: there, store: ./anchors}, {name: gone, syslog: 'tcp://127.0.0.1:1'}]\n")
	writeFile(t, filepath.Join(dir, "odd.jsonl"), `{"time":"2026-03-10T08:00:00Z","action":"a","org":"acme","outcome":"perhaps"}
{"time":"2026-03-10T08:00:00Z","action":"a","org":"globex","project_id":"p"}
`)
	if err := os.Mkdir(filepath.Join(dir, "hides"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "hides", ".hidden"), "")
	printed := map[string]bool{}
	for _, args := range [][]string{
		{"odd.jsonl", "hides", "--config", "two.yaml"},
		{filepath.Join(quickstart, "day"), "--as-of", "2026-03-11"},
		{filepath.Join(quickstart, "day")},
		{filepath.Join(quickstart, "late"), filepath.Join(quickstart, "broken")},
		{"cut.jsonl.gz"},
		{filepath.Join(quickstart, "day"), "--config", "two.yaml", "--gap", "2020-01-01T00:00:00Z/2020-01-01T01:00:00Z=down"},
	} {
		cmd := exec.Command("daybook", append([]string{"export", "--json"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME=", "XDG_STATE_HOME=")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
			t.Fatalf("%v: %v\n%s", args, err, stderr.String())
		}
		var report any
		if err := json.Unmarshal(out, &report); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		fields(report, printed)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(printed))); diff != "" {
		t.Errorf("fields documented (-) and printed (+):\n%s", diff)
	}
}

// fields adds the names of all fields of a JSON value.
func fields(value any, into map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			into[name] = true
			fields(member, into)
		}
	case []any:
		for _, element := range v {
			fields(element, into)
		}
	}
}

// TestRetentionPage runs what docs/RETENTION.md shows.
func TestRetentionPage(t *testing.T) {
	effort.NeedsLong(t)
	r := newReadme(t)
	r.prelude = "daybook() { command daybook \"$@\"; }\n"
	r.page(t, filepath.Join("docs", "RETENTION.md"))
}

// Every code of lint is on the page, and every preset.
func TestRetentionIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "RETENTION.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range retention.Codes() {
		if !strings.Contains(string(page), "\n| `"+code+"` |") {
			t.Errorf("%s is not on the page", code)
		}
	}
	for _, f := range retention.Frameworks() {
		row := fmt.Sprintf("\n| `%s` | %d days |", f.Name, f.Ages.HotDays)
		if f.Ages.WarmDays > 0 {
			row += fmt.Sprintf(" %d days |", f.Ages.WarmDays)
		} else {
			row += " |"
		}
		if !strings.Contains(string(page), row) {
			t.Errorf("the page does not say %q", row)
		}
	}
}

// TestBucketsPage runs what docs/BUCKETS.md shows.
func TestBucketsPage(t *testing.T) {
	r := newReadme(t)
	r.prelude = "daybook() { command daybook \"$@\"; }\n"
	r.page(t, filepath.Join("docs", "BUCKETS.md"))
}
