package daybook_test

import (
	"bufio"
	"bytes"
	"debug/elf"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"
)

// imageUser is the user of the image.
const imageUser = 65532

// compose is the service of the example in docs/OPERATIONS.md.
type compose struct {
	Command     []string
	User        string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Volumes     []string
}

func readCompose(t *testing.T) compose {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("docs", "OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(page), "# compose.yaml\n")
	text, _, ok2 := strings.Cut(text, "```")
	if !ok || !ok2 {
		t.Fatal("docs/OPERATIONS.md has no compose.yaml")
	}
	var file struct{ Services map[string]compose }
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	return file.Services["daybook"]
}

// TestComposeIsConfined holds what the operator's page tells of how the image is run.
func TestComposeIsConfined(t *testing.T) {
	c := readCompose(t)
	if c.User != "65532:65532" || !c.ReadOnly || !slices.Equal(c.CapDrop, []string{"ALL"}) || !slices.Equal(c.SecurityOpt, []string{"no-new-privileges:true"}) {
		t.Errorf("the service is %+v", c)
	}
	if !slices.Contains(c.Volumes, "data:/data") {
		t.Errorf("the volumes are %q: what is kept would be lost with the container", c.Volumes)
	}
}

// TestBinaryIsStatic builds as the Dockerfile does: an image from scratch has no loader and no libc.
func TestBinaryIsStatic(t *testing.T) {
	builds(t)
	binary := filepath.Join(t.TempDir(), "daybook")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", binary, "./cmd/daybook")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the binary asks for a loader: it is not static")
		}
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the binary needs %q, %v; want nothing", libraries, err)
	}
	t.Run("serves", func(t *testing.T) { serveInAnImage(t, binary) })
}

// serveInAnImage runs the service as the page says, in a root that holds nothing but what the image does, and that its user can't write to: no shell, no time zones, no /proc.
func serveInAnImage(t *testing.T, binary string) {
	if os.Getuid() != 0 {
		t.Skip("a root of its own takes root")
	}
	dir := t.TempDir()
	// Folders above it are the tests' own, and closed to others.
	for at := dir; at != os.TempDir() && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"data", "audit"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, name), imageUser, imageUser); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "etc", "daybook"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := "trails: [{name: audit, org: acme, formats: [csv]}]\nstore: {url: /audit}\nservice: {listen: '127.0.0.1:0', time_zone: Europe/Vienna}\n"
	for name, data := range map[string][]byte{"etc/daybook/daybook.yaml": []byte(config), "daybook": mustRead(t, binary)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/daybook", args...)
		cmd.Dir, cmd.Env = "/", []string{"XDG_STATE_HOME=/data"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
		return cmd
	}
	cmd := run(readCompose(t).Command...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	line, err := out.ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "serving at ")
	if !ok {
		_ = cmd.Wait()
		t.Fatalf("it says %q (%v), and ends with %v:\n%s", line, err, cmd.ProcessState, stderr.String())
	}
	for _, path := range []string{"/readyz", "/metrics"} {
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s, %v: %s", path, resp.Status, err, body)
		}
	}
	// A command in the same container.
	if out, err := run("trail", "enable", "audit", "--config", "/etc/daybook/daybook.yaml", "--data", "/data/state").CombinedOutput(); err != nil {
		t.Errorf("trail enable: %v\n%s", err, out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v:\n%s", err, stderr.String())
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 {
		t.Errorf("in the root there are %v now", entries)
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
