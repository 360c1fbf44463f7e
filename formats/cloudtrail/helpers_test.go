package cloudtrail_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daybook/event"
	"daybook/formats/cloudtrail"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// root is the root of the repository.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// shared returns a folder of the real data, which is kept beside the repository and not in it.
func shared(t testing.TB, path string) string {
	t.Helper()
	dir := filepath.Join(root(t), "..", "shared", "data", path)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data at ../shared/data/%s", path)
	}
	return dir
}

// files returns the files below dir by their path from there, uncompressed.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".gz") {
			r, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				return err
			}
			if data, err = io.ReadAll(r); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// decoded is one record with what came of it.
type decoded struct {
	text  []byte
	event event.Event
	err   error
}

// decode reads a file; err is what ended it.
func decode(data []byte) (all []decoded, err error) {
	d := cloudtrail.Decoder{}
	for rec, end := range d.Records(bytes.NewReader(data), 16<<20) {
		if end != nil {
			return all, end
		}
		one := decoded{text: bytes.Clone(rec.Data)}
		one.err = d.Decode(one.text, &one.event)
		all = append(all, one)
	}
	return all, nil
}
