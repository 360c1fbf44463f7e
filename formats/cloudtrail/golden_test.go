package cloudtrail_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/formats/cloudtrail"
)

// TestGolden reads testdata/cloudtrail, which holds every rule of the mapping, and compares the evidence rows.
func TestGolden(t *testing.T) {
	dir := filepath.Join(root(t), "testdata", "cloudtrail")
	n := 0
	for name, data := range files(t, dir) {
		if strings.HasSuffix(name, ".golden") {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			all, err := decode(data)
			for _, d := range all {
				if d.err != nil {
					fmt.Fprintf(&got, "error: %v\n", d.err)
					continue
				}
				got.Write(append(d.event.AppendJSON(nil), '\n'))
			}
			if err != nil {
				fmt.Fprintf(&got, "ends: %v\n", err)
			}
			golden := filepath.Join(dir, name+".golden")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
				t.Errorf("-want +got (go test -update rewrites it):\n%s", diff)
			}
			if digest := name == "digest.json"; cloudtrail.Detect(data) == digest || cloudtrail.IsDigest(data) != digest {
				t.Errorf("Detect %v, IsDigest %v", cloudtrail.Detect(data), cloudtrail.IsDigest(data))
			}
		})
	}
	if n < 9 {
		t.Errorf("%d files", n)
	}
}
