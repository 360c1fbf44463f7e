package daybook_test

import (
	"os"
	"regexp"
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
	promise(has(image, `^EXPOSE 8470$`), "does not tell the service's port")
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
		{"EXPOSE 8470", "EXPOSE 80", "does not tell the service's port"},
		{"USER ", "RUN true\nUSER ", "runs something in the image, which has no shell"},
	} {
		changed := strings.Replace(string(dockerfile), test.old, test.changed, 1)
		if faults := imageFaults(changed); !slices.Equal(faults, []string{test.fault}) {
			t.Errorf("with %q for %q: faults %q, want %q", test.changed, test.old, faults, test.fault)
		}
	}
}
