package bundle_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/bundle"
	"daybook/batch/intake"
	"daybook/batch/proof"
	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/file"
)

// export seals records as the command does, in a folder.
func export(t *testing.T, key seal.Signer, lines ...string) sink.Store {
	t.Helper()
	dir := t.TempDir()
	input := filepath.Join(dir, "events.jsonl")
	if err := os.WriteFile(input, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hmac, err := intake.LoadOrCreateHMACKey(filepath.Join(dir, "redaction.key"))
	if err != nil {
		t.Fatal(err)
	}
	redactor, err := intake.NewRedactor(hmac, intake.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := file.New(filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "store"), 0o755); err != nil {
		t.Fatal(err)
	}
	gz := batch.Compression{Kind: seal.Gzip, Level: 2}
	r, err := batch.Open(context.Background(), batch.Settings{
		Store: store, Data: filepath.Join(dir, "data"), Key: key,
		Trails:   []batch.Trail{{Name: "audit", Formats: formats.All(), MaxSplit: 100}},
		Policies: retention.Policies{{Class: "standard", EventTypes: []string{"*"}}},
		Rendering: batch.Rendering{
			PartRows: 1_000_000, PartBytes: 1 << 30, JSONL: batch.Compression{Kind: seal.Zstd, Level: 1}, CSV: gz, CEF: gz, Syslog: gz, SortMemory: 8 << 20,
		},
		CloseAfter: time.Hour, DedupeWindow: 24 * time.Hour, Now: now, Build: "daybook test", Config: sha256.Sum256([]byte("test")), Workers: 2,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	how := intake.Settings{
		From: intake.Auto, Org: "default", AsOf: now(), PlausibleAfter: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), RecordLimit: 1 << 20, Ratio: 250, Workers: 2,
		Redactor: redactor,
	}
	_, err = r.Export(context.Background(), []string{input}, nil, how, intake.NewQuarantine(filepath.Join(dir, "quarantine"), now()))
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return store
}

func newKey(t *testing.T) seal.Key {
	t.Helper()
	key, err := seal.GenerateKey(filepath.Join(t.TempDir(), "key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func records() []string {
	var list []string
	for i := range 500 {
		at := time.Date(2026, 3, 1+i%4, 10, 0, i, 0, time.UTC)
		list = append(list, fmt.Sprintf(`{"id":"e%d","time":%q,"action":"file-read","actor_id":"user-1","project_id":"project-%d"}`, i, at.Format(time.RFC3339), i%3))
	}
	// One id, two events: real data has such.
	return append(list, `{"id":"twice","time":"2026-03-02T10:00:00Z","action":"a"}`, `{"id":"twice","time":"2026-03-03T10:00:00Z","action":"b"}`)
}

// What the exporter wrote can be bundled, taken home and verified; so can a single event of it.
func TestExported(t *testing.T) {
	effort.NeedsLong(t)
	key := newKey(t)
	store := export(t, key, records()...)
	keys := []seal.PublicKey{key.Public()}
	data, summary := write(t, store, &bundle.Options{Verify: verify.Options{Now: now, Keys: keys, Deep: true}})
	if code := summary.Report.ExitCode(); code != 0 || summary.Seals != 4 {
		t.Errorf("the report in it: exit code %d, %d seals\n%s", code, summary.Seals, text(t, summary.Report))
	}
	dir := unpack(t, data, "")
	if r := verified(t, dir, verify.Options{Keys: keys, Deep: true}); r.ExitCode() != 0 {
		t.Errorf("exit code %d\n%s", r.ExitCode(), text(t, r))
	}
	// A proof made from the bundle is the one made from the store.
	copied, err := file.New(filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var encoded []string
	for _, s := range []sink.Store{store, copied} {
		p, err := proof.Make(context.Background(), s, "e77", nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Check(keys, nil, nil)
		if err != nil || r.ExitCode() != 0 || r.Event.ID != "e77" {
			t.Errorf("%v %+v", err, r)
		}
		encoded = append(encoded, string(p.Encode()))
	}
	if encoded[0] != encoded[1] {
		t.Error("the proof made from the bundle is another one")
	}
	var ambiguous *proof.AmbiguousError
	if _, err := proof.Make(context.Background(), store, "twice", nil); !errors.As(err, &ambiguous) || ambiguous.Total != 2 {
		t.Errorf("an id that is there twice: %v", err)
	}
}

// Unsigned seals are bundled too, and README.txt says what that means.
func TestUnsigned(t *testing.T) {
	store := export(t, nil, records()...)
	data, summary := write(t, store, &bundle.Options{Verify: verify.Options{Now: now}})
	if code := summary.Report.ExitCode(); code != 0 || summary.Seals != 4 {
		t.Errorf("the report in it: exit code %d, %d seals\n%s", code, summary.Seals, text(t, summary.Report))
	}
	for _, name := range names(t, data) {
		if strings.HasPrefix(name, "proofs/") || strings.HasPrefix(name, "store/log/") {
			t.Errorf("%s is in the bundle", name)
		}
	}
	dir := unpack(t, data, "")
	if r := verified(t, dir, verify.Options{}); r.ExitCode() != 0 {
		t.Errorf("exit code %d\n%s", r.ExitCode(), text(t, r))
	}
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if err != nil || !strings.Contains(string(readme), "NOT SIGNED") || strings.Contains(string(readme), "openssl") {
		t.Errorf("README.txt (%v):\n%s", err, readme)
	}
	if _, err := proof.Make(context.Background(), store, "e77", nil); !errors.Is(err, proof.ErrUnsigned) {
		t.Errorf("a proof: %v", err)
	}
}
