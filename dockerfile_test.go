package daybook_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A stage is one FROM of a Dockerfile and the instructions below it.
type stage struct {
	from         string
	instructions []string
}

// stages reads a Dockerfile: comments dropped, continued lines joined.
func stages(dockerfile string) []stage {
	var read []stage
	joined := strings.ReplaceAll(dockerfile, "\\\n", " ")
	for line := range strings.Lines(joined) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if from, found := strings.CutPrefix(line, "FROM "); found {
			read = append(read, stage{from: from})
		} else if len(read) > 0 {
			last := &read[len(read)-1]
			last.instructions = append(last.instructions, line)
		}
	}
	return read
}

// imageFaults says what an image made by a Dockerfile would lack of what we promise of it.
func imageFaults(dockerfile string) []string {
	read := stages(dockerfile)
	if len(read) < 2 {
		return []string{"not a build stage and an image"}
	}
	build, image := read[0], read[len(read)-1]
	var faults []string
	promise := func(kept bool, fault string) {
		if !kept {
			faults = append(faults, fault)
		}
	}
	has := func(s stage, pattern string) bool {
		return slices.ContainsFunc(s.instructions, regexp.MustCompile(pattern).MatchString)
	}
	promise(strings.HasPrefix(build.from, "golang:1.26 "), "not built with Go 1.26")
	promise(has(build, `^RUN CGO_ENABLED=0 go build .*-trimpath .*-X main\.version=\S* .*\./cmd/daybook$`), "not a static build")
	promise(image.from == "scratch", "not from scratch")
	promise(has(image, `^COPY --from=build /etc/ssl/certs/ca-certificates\.crt /etc/ssl/certs/`), "no certificates to trust")
	// A number, because an image from scratch has no list of users, and Kubernetes checks runAsNonRoot by number.
	promise(has(image, `^USER [1-9][0-9]*:[1-9][0-9]*$`), "not a user by number, or root")
	promise(has(image, `^ENTRYPOINT \["/daybook"\]$`), "another entry point")
	promise(has(image, `^VOLUME .*"/data"`), "no volume for the data folder")
	promise(!has(image, `^RUN `), "runs something in the image, which has no shell")
	return faults
}

func TestDockerfile(t *testing.T) {
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range imageFaults(string(dockerfile)) {
		t.Errorf("Dockerfile: %s", fault)
	}

	for _, test := range []struct{ old, changed, fault string }{
		{"FROM golang:1.26 ", "FROM golang:1.20 ", "not built with Go 1.26"},
		{"CGO_ENABLED=0 ", "", "not a static build"},
		{"FROM scratch", "FROM debian", "not from scratch"},
		{"COPY --from=build /etc/ssl/certs/ca-certificates.crt", "#", "no certificates to trust"},
		{"USER 65532:65532", "USER 0:0", "not a user by number, or root"},
		{"USER 65532:65532", "USER daybook", "not a user by number, or root"},
		{`ENTRYPOINT ["/daybook"]`, "ENTRYPOINT /daybook", "another entry point"},
		{`VOLUME ["/data"`, `VOLUME ["/var"`, "no volume for the data folder"},
		{"USER ", "RUN true\nUSER ", "runs something in the image, which has no shell"},
	} {
		changed := strings.Replace(string(dockerfile), test.old, test.changed, 1)
		if faults := imageFaults(changed); !slices.Equal(faults, []string{test.fault}) {
			t.Errorf("with %q for %q: faults %q, want %q", test.changed, test.old, faults, test.fault)
		}
	}
}

// TestBinaryIsStatic builds as the Dockerfile does: an image from scratch has no loader and no libc.
func TestBinaryIsStatic(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole command")
	}
	if runtime.GOOS != "linux" {
		t.Skip("looks at an ELF file, which Linux has")
	}
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
}
