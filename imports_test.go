package daybook_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "daybook"

// A layer says what a group of our packages may import of ours. Patterns are those of path.Match, below the module's root. The first
// layer that names a package is its layer, and every package has one: a new package says where it stands.
type layer struct {
	packages []string
	may      []string
	reason   string
}

var layers = []layer{
	{
		packages: []string{"event"},
		reason:   "the vocabulary is what everything else is written in, and so depends on nothing",
	},
	{
		packages: []string{"internal/effort"},
		reason:   "every test may ask how much it is to try",
	},
	{
		packages: []string{"formats/jsontext", "formats/lines", "formats/frame"},
		may:      []string{"event", "formats", "formats/jsontext"},
		reason:   "what formats share knows of none of them",
	},
	{
		packages: []string{"formats/formatstest"},
		may:      []string{"event", "formats", "formats/jsonl", "internal/effort"},
		reason:   "what the tests of encoders share reads the evidence that they are fed",
	},
	{
		packages: []string{"formats"},
		may:      []string{"event"},
		reason:   "the interfaces do not know who implements them",
	},
	{
		packages: []string{"formats/*"},
		may:      []string{"event", "formats", "formats/jsontext", "formats/lines", "formats/frame"},
		reason:   "a format stands alone: it can be read, changed and taken out without the others, and knows nothing of days or stores",
	},
	{
		packages: []string{"sink"},
		reason:   "a store keeps bytes under keys; it must not come to depend on what they mean",
	},
	{
		packages: []string{"sink/doctor"},
		may:      []string{"sink", "sink/s3"},
		reason:   "what tries a bucket knows buckets alone, and not what they are for",
	},
	{
		packages: []string{"sink/*"},
		may:      []string{"sink"},
		reason:   "a store keeps bytes under keys, and one store knows nothing of another",
	},
	{
		packages: []string{"retention"},
		may:      []string{"sink"},
		reason:   "how long what is kept is arithmetic: the configuration, the roll and lifecycle rules all ask it, and so it knows none of them",
	},
	{
		packages: []string{"batch/*", "batch/*/*"},
		may:      []string{"event", "formats", "formats/*", "sink", "retention", "batch/*", "batch/*/*"},
		reason:   "the parts of the roll know neither the roll, nor which store they write to, nor how they were configured",
	},
	{
		packages: []string{"batch"},
		may:      []string{"event", "formats", "formats/*", "sink", "retention", "batch/*"},
		reason:   "the roll works on any store, and takes options, not the configuration file",
	},
	{
		packages: []string{"service"},
		may:      []string{"event", "formats", "sink", "retention", "batch", "batch/*", "batch/*/*"},
		reason:   "the standing service puts the parts together, on any store, and takes options, not the configuration file",
	},
	{
		packages: []string{"config"},
		may:      []string{"event", "formats", "sink", "retention"},
		reason:   "the configuration is data: what it means is wired in cmd",
	},
	{
		packages: []string{"cmd/*"},
		may:      []string{"event", "formats", "formats/*", "sink", "sink/file", "sink/s3", "sink/doctor", "retention", "batch", "batch/*", "service", "config"},
		reason:   "the command wires everything, but for what tests alone use",
	},
}

// An owned library is imported by the packages that wrap it, and by no other.
type owned struct {
	library string // an import path, and all below it
	owners  []string
	inTests bool // whether the rule binds tests as well
	reason  string
}

var libraries = []owned{
	{"daybook/config", []string{"cmd/*", "config"}, true, "packages take options, and cmd fills them from the configuration"},
	{"C", nil, true, "one static binary: cgo would tie it to a libc, and end building it for another machine with one command"},
	{"unsafe", []string{"event", "formats/*", "batch/intake", "batch/spool"}, true,
		"only where a measured copy is saved may memory safety hang on a comment"},
	{"testing", []string{"sink/s3test", "sink/sinktest", "formats/formatstest", "batch/verify/verifytest", "internal/effort"}, false, "what only tests need is not linked into the binary"},
	{"github.com/google/go-cmp", []string{"sink/s3test", "sink/sinktest", "formats/formatstest"}, false, "it may panic, and is for tests"},
	{"github.com/rogpeppe/go-internal", nil, false, "it runs scripts in tests"},
	{"github.com/minio/minio-go", []string{"sink/s3", "sink/s3test"}, true,
		"one package knows an S3 library, so that another can take its place; its test harness looks behind its back"},
	{"github.com/gocarina/gocsv", []string{"formats/csv"}, true, "it owns the CSV columns"},
	{"github.com/parquet-go/parquet-go", []string{"formats/parquet"}, false, "one package answers for the bytes of a Parquet file"},
	{"github.com/cockroachdb/pebble", []string{"batch/spool"}, true,
		"the spool must be able to stand on something else past one machine"},
	{"github.com/spf13/cobra", []string{"cmd/*"}, true, "the command line is wiring, and wiring is in cmd"},
	{"github.com/schollz/progressbar", []string{"cmd/*"}, true, "only the command knows whether a person looks on"},
	{"github.com/robfig/cron", []string{"config", "service"}, true, "one package keeps the schedule, and one checks how it is written"},
	{"github.com/prometheus/client_golang", []string{"service"}, true, "one package tells how the service does"},
	{"github.com/coreos/go-systemd", []string{"cmd/*"}, true, "only the command knows who has started it"},
	{"github.com/goccy/go-yaml", []string{"config"}, false, "one package reads the configuration file"},
	{"golang.org/x/mod/sumdb", []string{"batch/seal", "batch/tlog", "batch/verify", "batch/verify/*", "batch/anchor", "batch/witness", "batch/proof", "batch/receipt"}, false,
		"signatures and logs are the business of those who make and check them"},
	{"filippo.io/torchwood", []string{"batch/tlog", "batch/verify", "batch/verify/*", "batch/anchor", "batch/witness", "batch/proof"}, false,
		"signatures and logs are the business of those who make and check them"},
	{"github.com/digitorus", []string{"batch/anchor", "batch/verify/verifytest"}, false, "one package knows RFC 3161"},
}

// A pkg is a folder of Go files and what they import.
type pkg struct {
	path        string
	imports     []string
	testImports []string // of its tests, inside the package and beside it
}

// violations says how a package of ours breaks the rules, each with the rule's reason.
func violations(p pkg) []string {
	var broken []string
	// The root package holds tests of the whole tree.
	name := strings.TrimPrefix(strings.TrimPrefix(p.path, module), "/")

	l := slices.IndexFunc(layers, func(l layer) bool { return matches(l.packages, name) })
	switch {
	case name == "":
	case l < 0:
		broken = append(broken, fmt.Sprintf("%s is in no layer: add it to the import rules", p.path))
	default:
		for _, imported := range p.imports {
			ours, found := strings.CutPrefix(imported, module+"/")
			if found && !matches(layers[l].may, ours) {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.path, imported, layers[l].reason))
			}
		}
	}

	for _, library := range libraries {
		if matches(library.owners, name) {
			continue
		}
		imports := p.imports
		if library.inTests {
			imports = slices.Concat(p.imports, p.testImports)
		}
		for _, imported := range imports {
			if imported == library.library || strings.HasPrefix(imported, library.library+"/") {
				broken = append(broken, fmt.Sprintf("%s imports %s: %s", p.path, imported, library.reason))
			}
		}
	}
	return broken
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return matched && err == nil
	})
}

func TestImports(t *testing.T) {
	for _, p := range readPackages(t) {
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
}

func TestViolations(t *testing.T) {
	for _, test := range []struct {
		name string
		pkg  pkg
		want []string // of each violation, the package and the import
	}{
		{
			name: "what design.md asks for",
			pkg:  pkg{path: "daybook/batch", imports: []string{"context", "daybook/event", "daybook/batch/seal", "daybook/sink"}},
		},
		{
			name: "the vocabulary depends on something",
			pkg:  pkg{path: "daybook/event", imports: []string{"daybook/formats"}},
			want: []string{"daybook/event imports daybook/formats"},
		},
		{
			name: "upwards",
			pkg:  pkg{path: "daybook/formats/csv", imports: []string{"daybook/batch/spool"}},
			want: []string{"daybook/formats/csv imports daybook/batch/spool"},
		},
		{
			name: "sideways between formats",
			pkg:  pkg{path: "daybook/formats/cef", imports: []string{"daybook/formats/syslog", "daybook/formats/jsontext"}},
			want: []string{"daybook/formats/cef imports daybook/formats/syslog"},
		},
		{
			name: "a part of the roll knows the roll",
			pkg:  pkg{path: "daybook/batch/seal", imports: []string{"daybook/batch"}},
			want: []string{"daybook/batch/seal imports daybook/batch"},
		},
		{
			name: "the roll knows its configuration and its store",
			pkg:  pkg{path: "daybook/batch", imports: []string{"daybook/config", "daybook/sink/s3"}},
			want: []string{
				"daybook/batch imports daybook/config",
				"daybook/batch imports daybook/sink/s3",
				"daybook/batch imports daybook/config",
			},
		},
		{
			name: "the configuration in a test",
			pkg:  pkg{path: "daybook/batch", testImports: []string{"daybook/config"}},
			want: []string{"daybook/batch imports daybook/config"},
		},
		{
			name: "a test double in the binary",
			pkg:  pkg{path: "daybook/cmd/daybook", imports: []string{"daybook/sink/sinktest"}},
			want: []string{"daybook/cmd/daybook imports daybook/sink/sinktest"},
		},
		{
			name: "a package without a place",
			pkg:  pkg{path: "daybook/util"},
			want: []string{"daybook/util is in no layer"},
		},
		{
			name: "cgo",
			pkg:  pkg{path: "daybook/batch/spool", imports: []string{"C"}},
			want: []string{"daybook/batch/spool imports C"},
		},
		{
			name: "a second S3 client, in a test",
			pkg:  pkg{path: "daybook/batch", testImports: []string{"github.com/minio/minio-go/v7/pkg/credentials"}},
			want: []string{"daybook/batch imports github.com/minio/minio-go/v7/pkg/credentials"},
		},
		{
			name: "an owner",
			pkg:  pkg{path: "daybook/sink/s3", imports: []string{"daybook/sink", "github.com/minio/minio-go/v7"}},
		},
		{
			name: "a library that is free in tests",
			pkg: pkg{
				path:        "daybook/batch",
				imports:     []string{"github.com/parquet-go/parquet-go"},
				testImports: []string{"github.com/google/go-cmp/cmp", "testing", "daybook/sink/sinktest"},
			},
			want: []string{"daybook/batch imports github.com/parquet-go/parquet-go"},
		},
		{
			name: "a name that only begins like an owned one",
			pkg:  pkg{path: "daybook/batch", imports: []string{"github.com/spf13/cobra-like", "testing/synctest"}},
			want: []string{"daybook/batch imports testing/synctest"},
		},
		{
			name: "the root package, which holds tests alone",
			pkg:  pkg{path: "daybook", testImports: []string{"testing", "daybook/event"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, v := range violations(test.pkg) {
				short, reason, found := strings.Cut(v, ": ")
				if !found || reason == "" {
					t.Errorf("no reason: %q", v)
				}
				got = append(got, short)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// readPackages reads the imports of every Go file of the module, whatever system it is for. It reads the files itself, and so a
// cached result of this test does not outlive a change to any of them.
func readPackages(t *testing.T) []pkg {
	t.Helper()
	packages := make(map[string]*pkg)
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if name != "." && (err == nil || entry.Name() == "testdata" || strings.ContainsAny(entry.Name()[:1], "._")) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		importPath := path.Join(module, filepath.ToSlash(filepath.Dir(name)))
		p := packages[importPath]
		if p == nil {
			p = &pkg{path: importPath}
			packages[importPath] = p
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if strings.HasSuffix(name, "_test.go") {
				p.testImports = append(p.testImports, imported)
			} else {
				p.imports = append(p.imports, imported)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 2 {
		t.Fatalf("found %d packages", len(packages))
	}
	read := make([]pkg, 0, len(packages))
	for _, importPath := range slices.Sorted(maps.Keys(packages)) {
		read = append(read, *packages[importPath])
	}
	return read
}
