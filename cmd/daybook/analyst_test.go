package main_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/s3test"
)

// TestAnalyst lists and fetches with nothing but the right to list and read: as the reader whose policy is printed, and on MinIO as one who has exactly the three actions that the
// documentation names.
func TestAnalyst(t *testing.T) {
	t.Parallel()
	effort.NeedsLong(t)
	quickstart := filepath.Join(root(t), "testdata", "quickstart")
	both(t, func(t *testing.T, server *s3test.Server) {
		s := newRoleStation(t, server, "writer", "reader")
		s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(quickstart, "day"))
		s.run("writer", 0, "export", "--config", "daybook.yaml", filepath.Join(quickstart, "late"))
		analysts := []string{"reader"}
		if server.Name() == "minio" {
			s.users["analyst"] = server.AddUser(t, "analyst")
			server.Grant(t, s.users["analyst"], "audit", []byte(`{"Version":"2012-10-17","Statement":[
				{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::audit"]},
				{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectVersion"],"Resource":["arn:aws:s3:::audit/prod/*"]}]}`))
			analysts = append(analysts, "analyst")
		}
		// What stands in front of a sealed file is not what is fetched.
		const hidden, over = "csv/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.0001.csv.gz", "csv/class=standard/trail=acme/dt=2026-03-09/acme-2026-03-09.0001.csv.gz"
		server.Overwrite(t, "audit", "prod/"+over, []byte("forged"), sink.Lock{})
		server.Hide(t, "audit", "prod/"+hidden)
		key := filepath.Join("keys", "signing.key.pub")
		for _, as := range analysts {
			out := s.run(as, 0, "ls", "--config", "daybook.yaml", "--key", key, "--trail", "acme", "--json", "s3://audit/prod")
			n := 0
			for line := range strings.Lines(out) {
				var f struct {
					Key, SHA256, Version string
					Seal                 uint64
				}
				if err := json.Unmarshal([]byte(line), &f); err != nil || f.Version == "" || f.SHA256 == "" || f.Seal == 0 {
					t.Fatalf("%q: %v", line, err)
				}
				n++
			}
			if n != 15 {
				t.Errorf("%s sees %d files, want 15:\n%s", as, n, out)
			}
			out = s.run(as, 0, "get", "--config", "daybook.yaml", "--key", key, "--format", "csv", "--excel", "--flat", "-o", as)
			if !strings.Contains(out, "3 files: 3 fetched") {
				t.Errorf("get as %s:\n%s", as, out)
			}
			// A link is followed by who has nothing else; nothing lies in an archive here.
			var link struct{ URL, SHA256 string }
			out = s.run(as, 0, "link", "--config", "daybook.yaml", "--key", key, "--json", "s3://audit/prod", hidden)
			if err := json.Unmarshal([]byte(out), &link); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			resp, err := server.HTTPClient(t).Get(link.URL)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || fmt.Sprintf("%x", sha256.Sum256(body)) != link.SHA256 ||
				!strings.Contains(resp.Header.Get("Content-Disposition"), "acme-2026-03-10.0001.csv.gz") {
				t.Errorf("the link as %s: %s, %v, %v", as, resp.Status, resp.Header, err)
			}
			if out := s.run(as, 0, "thaw", "--config", "daybook.yaml", "--key", key); !strings.Contains(out, "15 files: 15 can be read now; none lies in an archive") {
				t.Errorf("thaw as %s:\n%s", as, out)
			}
			for _, day := range []string{"09", "10"} {
				data, err := os.ReadFile(filepath.Join(s.dir, as, fmt.Sprintf("standard-acme-2026-03-%s.0001.csv", day)))
				if err != nil || !strings.HasPrefix(string(data), "\ufeffTimestamp,") {
					t.Errorf("the CSV of %s as %s: %q, %v", day, as, data, err)
				}
			}
		}
	})
}
