package daybook_test

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/internal/effort"
)

// An sbom is what the tests look at of a CycloneDX document.
type sbom struct {
	BOMFormat    string
	SerialNumber string
	Metadata     struct {
		Timestamp string
		Tools     []map[string]any
		Component struct{ Name, Version string }
	}
	Components []struct{ Name, Version string }
}

func needShell(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("a release is made on Linux")
	}
	for _, command := range []string{"bash", "git", "jq", "sha256sum"} {
		if _, err := exec.LookPath(command); err != nil {
			t.Skip(err)
		}
	}
}

// builds skips a test that builds or links for seconds, but where all is to be run.
func builds(t *testing.T) {
	t.Helper()
	effort.NeedsThorough(t)
}

// TestRelease makes a release of one platform. The script compares two builds; what came out is looked at here.
func TestRelease(t *testing.T) {
	builds(t)
	if os.Getenv("DAYBOOK_TEST_CYCLONEDX") == "" {
		t.Skip("DAYBOOK_TEST_CYCLONEDX is not set: make test builds what lists the modules of a binary")
	}
	needShell(t)
	// The result of a test is kept until a file changes that the test itself has read.
	for _, input := range []string{"tools/release", "tools/build", "tools/cyclonedx-gomod/go.mod", "go.mod", "go.sum"} {
		if _, err := os.ReadFile(input); err != nil {
			t.Fatal(err)
		}
	}
	// Kept, so that only the first run compiles everything a second time.
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "release")
	release := exec.Command("tools/release", "-o", out, "-p", "linux/amd64", "-s", filepath.Join(cache, "daybook-tools", "second-go-build"), "v0.0.0-test")
	if said, err := release.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}

	names := fileNames(t, out)
	name := regexp.MustCompile(`^daybook-v0\.0\.0-test(-dirty)?-linux-amd64$`)
	if len(names) != 3 || names[0] != "SHA256SUMS" || !name.MatchString(names[1]) || names[2] != names[1]+".cdx.json" {
		t.Fatalf("the release has %q", names)
	}
	binary := filepath.Join(out, names[1])
	var sums strings.Builder
	for _, name := range names[1:] {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(readFile(t, filepath.Join(out, name))), name)
	}
	if diff := cmp.Diff(sums.String(), string(readFile(t, filepath.Join(out, "SHA256SUMS")))); diff != "" {
		t.Errorf("SHA256SUMS (-want +got):\n%s", diff)
	}

	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if want := "toolchain " + info.GoVersion + "\n"; !strings.Contains(string(readFile(t, "go.mod")), want) {
		t.Errorf("built with %s, which go.mod does not name", info.GoVersion)
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	want := map[string]string{
		"-buildmode": "exe", "-compiler": "gc", "-trimpath": "true", "CGO_ENABLED": "0", "GOARCH": "amd64", "GOOS": "linux", "GOAMD64": "v1",
	}
	if diff := cmp.Diff(want, settings); diff != "" {
		t.Errorf("what it was built with (-want +got):\n%s", diff)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the binary asks for a loader: it is not static")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(readFile(t, binary), []byte(here+"/")) {
		t.Errorf("the binary names %s, where it was built", here)
	}
	if runtime.GOARCH == "amd64" {
		said, err := exec.Command(binary, "version").Output()
		if want := strings.TrimSuffix(strings.Replace(names[1], "-", " ", 1), "-linux-amd64") + "\n"; err != nil || string(said) != want {
			t.Errorf("version says %q, %v; want %q", said, err, want)
		}
	}

	var listed sbom
	if err := json.Unmarshal(readFile(t, filepath.Join(out, names[2])), &listed); err != nil {
		t.Fatal(err)
	}
	if listed.BOMFormat != "CycloneDX" || listed.Metadata.Component.Name != "daybook" || !strings.HasPrefix(listed.Metadata.Component.Version, "v0.0.0-test") {
		t.Errorf("the SBOM is of %+v", listed.Metadata.Component)
	}
	if listed.SerialNumber != "" || listed.Metadata.Timestamp != "" || len(listed.Metadata.Tools) != 1 || listed.Metadata.Tools[0]["hashes"] != nil {
		t.Errorf("the SBOM tells when, by which machine or as which copy it was made: %q, %+v", listed.SerialNumber, listed.Metadata)
	}
	var linked, modules []string
	for _, dep := range info.Deps {
		linked = append(linked, dep.Path+"@"+dep.Version)
	}
	linked = append(linked, "std@"+info.GoVersion)
	for _, component := range listed.Components {
		modules = append(modules, component.Name+"@"+component.Version)
	}
	slices.Sort(linked)
	slices.Sort(modules)
	if diff := cmp.Diff(linked, modules); diff != "" {
		t.Errorf("modules of the binary and of its SBOM (-binary +SBOM):\n%s", diff)
	}
}

// A Go whose binaries tell how they were built, and a lister of modules; both can be made to err.
const (
	fakeGo = `#!/bin/sh
case "$1 $2" in
"env GOROOT") echo "@ROOT@" ;;
"env GOVERSION") echo go1.26.8 ;;
"env GOCACHE") echo "@ROOT@/cache" ;;
"env GOMODCACHE") echo "@ROOT@/modules" ;;
"mod download" | "mod verify") ;;
"list -f") echo example.org/lister v1.0.0 ;;
"version -m") printf '%s: go1.26.8\n\tdep\texample.org/a\tv1.0.0\th1:x=\n\tdep\texample.org/b\tv1.2.0\th1:y=\n' "$3" ;;
build*)
	for last; do case $before in -o) out=$last ;; esac; before=$last; done
	printf '%s|' "$GOOS/$GOARCH" "$CGO_ENABLED" "$GOAMD64" "$GOARM64" "$GOFLAGS" "$GOEXPERIMENT" "$GOENV" "$SECRET" "$2" "$3" "$5" >"$out"
	cat *.txt >>"$out"
	: @BUILD@
	;;
*) exit 9 ;;
esac
`
	fakeLister = `#!/bin/sh
: @LIST@
cat <<END
{"metadata": {"tools": [{"name": "lister", "hashes": ["$$"]}]}, "components": [{"name": "example.org/a", "version": "v1.0.0"}, {"name": "example.org/b", "version": "v1.2.0"}]}
END
`
)

// TestReleaseIsHeldBack runs the script in a repository of its own, with a Go and a lister of modules that err.
func TestReleaseIsHeldBack(t *testing.T) {
	builds(t)
	needShell(t)
	for _, test := range []struct {
		name        string
		build, list string // what Go and the lister do besides
		version     string
		toolchain   string
		want        string // what the script says
		made        bool
	}{
		{name: "good", made: true, want: "release v1.0.0-rc.1+x is in"},
		{name: "a binary that knows its folder", build: `pwd >>"$out"`, want: "daybook-v1.0.0-rc.1+x-linux-amd64 is not reproducible"},
		{name: "a binary that knows its cache", build: `echo "$GOCACHE" >>"$out"`, want: "daybook-v1.0.0-rc.1+x-linux-amd64 is not reproducible"},
		{name: "a build that fails", build: "exit 1"},
		{name: "an SBOM that knows when", list: `set -- $$; echo "{\"metadata\": {\"tools\": [{}], \"timestamp\": $1}}"; exit`, want: "cdx.json is not reproducible"},
		{name: "an SBOM that lacks a module", list: `echo '{"metadata": {"tools": [{}]}, "components": [{"name": "example.org/a", "version": "v1.0.0"}]}'; exit`,
			want: "lacks example.org/b@v1.2.0"},
		{name: "an SBOM of another version", want: "lacks example.org/b@v1.2.0",
			list: `echo '{"metadata": {"tools": [{}]}, "components": [{"name": "example.org/a", "version": "v1.0.0"}, {"name": "example.org/b", "version": "v1.1.0"}]}'; exit`},
		{name: "a lister that fails", list: "exit 1"},
		{name: "another Go", toolchain: "go1.26.9", want: "go is not go1.26.9, which go.mod names"},
		{name: "a version that is a path", version: "../../v1", want: "want one VERSION"},
		{name: "a version that is a flag", version: "v1 -X main.other=1", want: "want one VERSION"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := releaseRepository(t, test.build, test.list, test.toolchain)
			if test.version == "" {
				test.version = "v1.0.0-rc.1+x"
			}
			said, err := runRelease(dir, test.version)
			if made := err == nil; made != test.made || !strings.Contains(said, test.want) {
				t.Fatalf("%v\n%s\nwant it made: %t, and %q", err, said, test.made, test.want)
			}
			if !test.made {
				// What was there before stays.
				if names := fileNames(t, filepath.Join(dir, "dist/release")); !slices.Equal(names, []string{"before"}) {
					t.Errorf("the folder has %q; want what was there before", names)
				}
			}
		})
	}
}

func TestReleaseFiles(t *testing.T) {
	builds(t)
	needShell(t)
	dir := releaseRepository(t, "", "", "")
	if said, err := runRelease(dir, "v1.0.0"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var want []string
	for _, platform := range []string{"darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64", "windows-amd64", "windows-arm64"} {
		name, suffix := "daybook-v1.0.0-"+platform, ""
		if strings.HasPrefix(platform, "windows") {
			suffix = ".exe"
		}
		want = append(want, name+suffix, name+".cdx.json")
		// Nothing of the caller's environment gets in.
		built := strings.Replace(platform, "-", "/", 1) + "|0|v1|v8.0|-mod=readonly||off||-trimpath|-buildvcs=false|-s -w -X main.version=v1.0.0|source\n"
		if diff := cmp.Diff(built, string(readFile(t, filepath.Join(dir, "dist/release", name+suffix)))); diff != "" {
			t.Errorf("how %s was built (-want +got):\n%s", name, diff)
		}
	}
	want = append(want, "SHA256SUMS")
	slices.Sort(want)
	if diff := cmp.Diff(want, fileNames(t, filepath.Join(dir, "dist/release"))); diff != "" {
		t.Errorf("files of the release (-want +got):\n%s", diff)
	}
	check := exec.Command("sha256sum", "--strict", "-c", "SHA256SUMS")
	check.Dir = filepath.Join(dir, "dist/release")
	if said, err := check.CombinedOutput(); err != nil || strings.Count(string(said), ": OK\n") != len(want)-1 {
		t.Errorf("sha256sum -c: %v\n%s", err, said)
	}

	// A changed file is in the release, and told; so is a new one, of which `git describe` knows nothing, and one that was removed is not.
	change := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		change func()
		want   string
	}{
		{func() { change("source.txt", "changed\n") }, "changed\n"},
		{func() { git(t, dir, "checkout", "-q", "source.txt"); change("new.txt", "new\n") }, "new\nsource\n"},
		{func() {
			if err := os.Remove(filepath.Join(dir, "source.txt")); err != nil {
				t.Fatal(err)
			}
		}, "new\n"},
	} {
		test.change()
		if said, err := runRelease(dir, "v1.0.0", "-p", "linux/amd64"); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		built := string(readFile(t, filepath.Join(dir, "dist/release/daybook-v1.0.0-dirty-linux-amd64")))
		if _, content, _ := strings.Cut(built, "main.version=v1.0.0-dirty|"); content != test.want {
			t.Errorf("built from %q, want %q", built, test.want)
		}
	}
}

// releaseRepository makes a repository with our scripts and a release of before, and the fakes beside it.
func releaseRepository(t *testing.T, build, list, toolchain string) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "go")
	repository := filepath.Join(dir, "repository")
	if toolchain == "" {
		toolchain = "go1.26.8"
	}
	for name, content := range map[string]string{
		root + "/bin/go": strings.NewReplacer("@ROOT@", root, ": @BUILD@", build).Replace(fakeGo),
		dir + "/cache/daybook-tools/cyclonedx-gomod-v1.0.0-go1.26.8": strings.ReplaceAll(fakeLister, ": @LIST@", list),
		repository + "/tools/release":                                string(readFile(t, "tools/release")),
		repository + "/tools/build":                                  string(readFile(t, "tools/build")),
		repository + "/tools/cyclonedx-gomod/go.mod":                 "module lister\n",
		repository + "/go.mod":                                       "module daybook\n\ntoolchain " + toolchain + "\n",
		repository + "/go.sum":                                       "",
		repository + "/source.txt":                                   "source\n",
		repository + "/.gitignore":                                   "/dist/\n",
		repository + "/dist/release/before":                          "before\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	git(t, repository, "init", "-q")
	git(t, repository, "add", "--all")
	git(t, repository, "-c", "user.name=test", "-c", "user.email=test@example.org", "commit", "-q", "-m", "all")
	return repository
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	command := exec.Command("git", args...)
	command.Dir = dir
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, said)
	}
}

func runRelease(dir, version string, flags ...string) (string, error) {
	command := exec.Command(filepath.Join(dir, "tools/release"), append(flags, version)...)
	command.Env = append(os.Environ(),
		"PATH="+filepath.Join(dir, "../go/bin")+":"+os.Getenv("PATH"), "XDG_CACHE_HOME="+filepath.Join(dir, "../cache"),
		"GOFLAGS=-tags=callers", "GOEXPERIMENT=callers", "CGO_ENABLED=1", "GOAMD64=v4", "SECRET=callers")
	said, err := command.CombinedOutput()
	return string(said), err
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func fileNames(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
