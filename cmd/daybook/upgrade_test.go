package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/internal/effort"
)

// TestUpgrade has this build take over the data folder of an earlier one: of the commit before, and of the last one that had no service.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	effort.NeedsThorough(t)
	binary := build(t)
	for name, find := range map[string]func(*testing.T) string{"the commit before": commitBefore, "before the service": commitWithoutService} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			earlier, serves := buildCommit(t, find(t))
			u := newUpgrade(t, earlier, serves)
			if serves {
				u.serviceWorks()
			} else {
				u.importsAndRolls()
			}
			u.binary = binary
			u.takesOver()
		})
	}
}

// git runs git where the sources are; where there is none, or no such history, the test is skipped.
func git(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("skipped: there is no history here to upgrade from: git %s: %v: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// commitBefore is the commit before what is tested: the newest, where something was changed since.
func commitBefore(t *testing.T) string {
	t.Helper()
	if changed := git(t, "status", "--porcelain", "--", "."); len(changed) > 0 {
		return string(bytes.TrimSpace(git(t, "rev-parse", "--verify", "HEAD")))
	}
	return string(bytes.TrimSpace(git(t, "rev-parse", "--verify", "HEAD^")))
}

// commitWithoutService is the commit before the one that began the service.
func commitWithoutService(t *testing.T) string {
	t.Helper()
	first := strings.Fields(string(git(t, "log", "--diff-filter=A", "--format=%H", "--", "service/service.go")))
	if len(first) == 0 {
		t.Skip("skipped: the history here does not go back so far")
	}
	return string(bytes.TrimSpace(git(t, "rev-parse", "--verify", first[len(first)-1]+"^")))
}

// buildCommit builds the command as it was, without the network, and tells whether it has the service.
func buildCommit(t *testing.T, commit string) (binary string, serves bool) {
	t.Helper()
	dir := t.TempDir()
	unpack := exec.Command("tar", "-x", "-C", dir)
	unpack.Stdin = bytes.NewReader(git(t, "archive", commit))
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Skipf("skipped: tar: %v: %s", err, out)
	}
	cmd := exec.Command("go", "build", "-o", "daybook", "./cmd/daybook")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if bytes.Contains(out, []byte("GOPROXY=off")) {
		t.Skipf("skipped: a module that %s needs is not on this machine: %s", commit, out)
	}
	if err != nil {
		t.Fatalf("go build of %s: %v\n%s", commit, err, out)
	}
	t.Logf("upgrading from %s", commit)
	_, err = os.Stat(filepath.Join(dir, "service"))
	return filepath.Join(dir, "daybook"), err == nil
}

// upgrade is an installation with a folder for a store, that an earlier build begins and this one goes on with.
type upgrade struct {
	*installation
	today time.Time
	files []string        // what was imported
	ids   map[string]bool // of the events; true: of a day that is over
}

func newUpgrade(t *testing.T, binary string, serves bool) *upgrade {
	t.Helper()
	u := &upgrade{installation: &installation{t: t, binary: binary, dir: t.TempDir()}, today: time.Now().UTC().Truncate(24 * time.Hour), ids: map[string]bool{}}
	u.env = append(os.Environ(), "DAYBOOK_TOKEN=", "HOME="+u.dir)
	u.configure(serves)
	return u
}

func (u *upgrade) configure(serves bool) {
	u.t.Helper()
	service := ""
	if serves {
		service = "max_wait: 0s\nservice: {listen: \"127.0.0.1:0\", schedule: \"@yearly\", cool_off: 0s}\n"
	}
	writeFile(u.t, u.path("daybook.yaml"), fmt.Sprintf("trails: [{name: audit, org: acme}]\nstore: {url: %s}\ndata: %s\nkey: %s\nclose_after: 1h\n%s",
		u.path("store"), u.path("data"), u.path("keys/signing.key"), service))
}

// lines makes up events of a day, so many days ago.
func (u *upgrade) lines(name string, ago, n int) string {
	var b strings.Builder
	for i := range n {
		id := fmt.Sprintf("%s-%d", name, i)
		u.ids[id] = ago > 0
		fmt.Fprintf(&b, `{"id":%q,"time":%q,"action":"login","outcome":"success"}`+"\n", id, u.today.AddDate(0, 0, -ago).Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	return b.String()
}

// file writes a file of events.
func (u *upgrade) file(name, text string) string {
	u.t.Helper()
	path := u.path(name + ".jsonl")
	writeFile(u.t, path, text)
	u.files = append(u.files, path)
	return path
}

// obstruct puts something in the way of the files of a day, so that its seal is begun and not finished, and returns what takes it away.
func (u *upgrade) obstruct(ago int) (clear func()) {
	u.t.Helper()
	path := u.path("store/csv/class=standard/trail=audit/dt=" + u.today.AddDate(0, 0, -ago).Format(time.DateOnly))
	writeFile(u.t, path, "in the way")
	return func() {
		if err := os.Remove(path); err != nil {
			u.t.Fatal(err)
		}
	}
}

// importsAndRolls makes a data folder with sealed days, late events, a half-made seal, a quarantined record and pending events.
func (u *upgrade) importsAndRolls() {
	u.t.Helper()
	if _, stderr, code := u.run("import", u.file("sealed", u.lines("sealed-a", 5, 20)+"no event\n"+u.lines("sealed-b", 4, 20))); code != 3 {
		u.t.Fatalf("import: exit code %d\n%s", code, stderr)
	}
	u.must("roll")
	u.must("import", u.file("pending", u.lines("late", 4, 5)+u.lines("half", 2, 7)+u.lines("today", 0, 9)))
	clear := u.obstruct(2)
	if _, stderr, code := u.run("roll"); code == 0 {
		u.t.Fatalf("a roll with something in its way succeeds: %s", stderr)
	}
	clear()
	u.must("import", u.file("more", u.lines("behind", 2, 3)+u.lines("sealed-c", 4, 2)))
}

// serviceWorks does the same by the service, with two admins and a trail whose disabling is requested, and kills it.
func (u *upgrade) serviceWorks() {
	u.t.Helper()
	s := u.serve()
	for _, name := range []string{"alice", "bob"} {
		writeFile(u.t, u.path(name+".token"), u.must("admin", "create", name))
	}
	u.must("trail", "enable", "audit", "--since", u.today.AddDate(0, 0, -6).Format(time.DateOnly))
	writeFile(u.t, u.path("api.token"), u.must("token", "create", "--org", "acme", "--source", "api"))
	u.send(s, u.lines("sealed-a", 5, 20)+"no event\n"+u.lines("sealed-b", 4, 20))
	u.must("roll")
	u.send(s, u.lines("late", 4, 5)+u.lines("half", 5, 7)+u.lines("today", 0, 9))
	clear := u.obstructAddendum(4)
	if stdout, _, code := u.run("roll"); code == 0 {
		u.t.Fatalf("a roll with something in its way succeeds: %s", stdout)
	}
	clear()
	u.must("trail", "disable", "audit", "--reason", "upgrade", "--token-file", u.path("alice.token"))
	u.send(s, u.lines("behind", 4, 3))
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// obstructAddendum puts something in the way of the first addendum of a day.
func (u *upgrade) obstructAddendum(ago int) (clear func()) {
	u.t.Helper()
	day := u.today.AddDate(0, 0, -ago).Format(time.DateOnly)
	path := u.path("store/csv/class=standard/trail=audit/dt=" + day + "/audit-" + day + ".addendum-0001.0001.csv.gz")
	if err := os.Mkdir(path, 0o700); err != nil {
		u.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			u.t.Fatal(err)
		}
	}
}

// send sends lines as the source, and wants each to be taken.
func (u *upgrade) send(s *served, lines string) {
	u.t.Helper()
	token, err := os.ReadFile(u.path("api.token"))
	if err != nil {
		u.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(u.t.Context(), http.MethodPost, "http://"+s.address+"/v1/events", strings.NewReader(lines))
	if err != nil {
		u.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		u.t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct {
		Accepted, Duplicate int
		NotTracked          int `json:"not_tracked"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil || resp.StatusCode != http.StatusOK || a.NotTracked != 0 || a.Accepted+a.Duplicate != strings.Count(lines, `"id"`) {
		u.t.Fatalf("send: %s %+v, %v", resp.Status, a, err)
	}
}

// takesOver goes on with the folder: what was begun is finished, what waits is sealed, what comes again is known, and nothing is lost.
func (u *upgrade) takesOver() {
	u.t.Helper()
	stdout, stderr, _ := u.run("status")
	if !strings.Contains(stdout, "unfinished") {
		u.t.Errorf("status knows of no unfinished seal:\n%s%s", stdout, stderr)
	}
	u.configure(true)
	if len(u.files) > 0 {
		u.must("roll")
		for _, path := range u.files {
			out, stderr, code := u.run("import", "--json", path)
			var r struct{ Pending, Duplicates int64 }
			if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 && code != 3 || r.Pending != 0 || r.Duplicates == 0 {
				u.t.Fatalf("import again: exit code %d, %v\n%s%s", code, err, out, stderr)
			}
		}
	}
	s := u.serve()
	if len(u.files) > 0 {
		u.must("trail", "enable", "audit", "--since", u.today.AddDate(0, 0, -6).Format(time.DateOnly))
	} else {
		u.must("trail", "approve", "audit", "--token-file", u.path("bob.token")) // the request, and who may, are known
		u.must("trail", "enable", "audit", "--token-file", u.path("alice.token"))
		u.send(s, u.lines("sealed-a", 5, 20)+u.lines("today", 0, 9))
	}
	u.must("roll")
	u.must("status", "--reconcile")
	u.stop(s)
	u.must("verify", "--deep", "--key", u.path("keys/signing.key.pub"))
	u.countEvents()
}

// countEvents wants every event of a day that is over in the evidence once, and those of today in none, but pending.
func (u *upgrade) countEvents() {
	u.t.Helper()
	found := map[string]int{}
	err := filepath.WalkDir(u.path("store/jsonl"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil {
			countIDs(u.t, content, found)
		}
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	waiting := int64(0)
	for id, over := range u.ids {
		want := 0
		if over {
			want = 1
		} else {
			waiting++
		}
		if found[id] != want {
			u.t.Errorf("%s is sealed %d times, want %d", id, found[id], want)
		}
	}
	stdout, stderr, _ := u.run("status", "--json")
	var st struct {
		Trails []struct{ Waiting int64 }
	}
	if err := json.Unmarshal([]byte(stdout), &st); err != nil || len(st.Trails) != 1 || st.Trails[0].Waiting < waiting {
		u.t.Errorf("%d events of today are to wait: %v\n%s%s", waiting, err, stdout, stderr)
	}
}
