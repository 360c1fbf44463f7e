package verify_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/batch/verify/verifytest"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// roll exports records with the real exporter.
type roll struct {
	dir  string
	key  seal.Signer
	hmac []byte
	now  time.Time
}

func newRoll(t *testing.T) *roll {
	t.Helper()
	dir := t.TempDir()
	key, err := seal.GenerateKey(filepath.Join(dir, "signing.key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	hmac, err := intake.LoadOrCreateHMACKey(filepath.Join(dir, "redaction.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &roll{dir, key, hmac, verifytest.Now.Add(-time.Hour)}
}

func (r *roll) settings(store sink.Store, mode sink.Mode) batch.Settings {
	gz := batch.Compression{Kind: seal.Gzip, Level: 2}
	return batch.Settings{
		Store: store, Data: filepath.Join(r.dir, "data"), Key: r.key, Origin: "log.example/test",
		Trails: []batch.Trail{{Name: "all", Formats: formats.All()}, {Name: "split", Formats: formats.All(), SplitProjects: true, MaxSplit: 3}},
		Policies: retention.Policies{
			{Class: "security", EventTypes: []string{"login*"}, Mode: mode, Retain: 400 * 24 * time.Hour}, {Class: "standard", EventTypes: []string{"*"}, Mode: mode, Retain: 30 * 24 * time.Hour},
		},
		Rendering: batch.Rendering{
			PartRows: 40, PartBytes: 1 << 20, JSONL: batch.Compression{Kind: seal.Zstd, Level: 1}, CSV: gz, CEF: gz, Syslog: gz, SortMemory: 8 << 20,
		},
		CloseAfter: time.Hour, DedupeWindow: 24 * time.Hour, Now: func() time.Time { return r.now }, Build: "daybook test", Config: sha256.Sum256([]byte("test")), Workers: 2,
		Log: slog.New(slog.DiscardHandler),
	}
}

// export seals lines, and rotates the key afterwards if next is not nil.
func (r *roll) export(t *testing.T, s batch.Settings, next seal.Signer, lines []string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	redactor, err := intake.NewRedactor(r.hmac, intake.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	how := intake.Settings{
		From: intake.Auto, Org: "default", AsOf: r.now, PlausibleAfter: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), RecordLimit: 1 << 20, Ratio: 250, Workers: 2, Redactor: redactor,
	}
	b, err := batch.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Export(context.WithoutCancel(t.Context()), []string{path}, nil, how, intake.NewQuarantine(filepath.Join(s.Data, "quarantine"), r.now))
	if err == nil && next != nil {
		_, _, err = b.RotateKey(t.Context(), next)
		r.key = next
	}
	if closeErr := b.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatal(err)
	}
}

func records(prefix string, day, n int) []string {
	var list []string
	for i := range n {
		at := verifytest.Day(day).Start().Add(time.Duration((i*7919)%86400) * time.Second)
		list = append(list, fmt.Sprintf(`{"id":"%s-%d-%d","time":%q,"action":"%s","actor_id":"user-%d","project_id":"project-%d","outcome":"success","info":{"a":"=1+1","b":"é|\\n"},"password":"s3cret-%d"}`,
			prefix, day, i, at.Format(time.RFC3339), []string{"login", "file-read", "file-write"}[i%3], i, i%7, i))
	}
	return list
}

func TestWhatTheExporterMakes(t *testing.T) {
	effort.NeedsThorough(t)
	for _, mode := range []sink.Mode{sink.Compliance, sink.None} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRoll(t)
			store := sinktest.NewMemory(t, &sinktest.Options{Mode: mode, Now: func() time.Time { return r.now }})
			first := r.key.Public()
			next, err := seal.GenerateKey(filepath.Join(r.dir, "next.key"), "daybook")
			if err != nil {
				t.Fatal(err)
			}
			r.export(t, r.settings(store, mode), next, append(records("a", 1, 100), append(records("a", 4, 30), "not a record")...))
			r.now = r.now.Add(time.Minute)
			r.export(t, r.settings(store, mode), nil, append(records("b", 1, 20), records("a", 6, 10)...))
			r.export(t, r.settings(store, mode), nil, append(records("a", 1, 50), `{"id":"old","time":"1999-01-01T00:00:00Z","action":"x"}`))
			report := run(t, store, &verify.Options{Deep: true, Keys: []seal.PublicKey{first}})
			if report.ExitCode() != 0 || !report.Levels.Chain.Logged || report.Levels.Files.Locks != (mode != sink.None) || report.Counts.Compared != 4*report.Counts.Rows || report.Counts.Rows == 0 {
				t.Errorf("exit code %d, levels %+v, counts %+v", report.ExitCode(), report.Levels, report.Counts)
			}
		})
	}
}
