package batch_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/event"
	"daybook/formats"
	"daybook/formats/jsonl"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/sinktest"
)

var now = time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)

// installation is a machine: its keys and data folder.
type installation struct {
	dir  string
	key  seal.Key
	hmac []byte
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	dir := sinktest.Folder(t)
	key, _, err := seal.LoadOrCreateKey(filepath.Join(dir, "keys", "signing.key"), "daybook")
	if err != nil {
		t.Fatal(err)
	}
	hmac, err := intake.LoadOrCreateHMACKey(filepath.Join(dir, "keys", "redaction.key"))
	if err != nil {
		t.Fatal(err)
	}
	return &installation{dir, key, hmac}
}

// twin is another machine with the same keys: a store's log is signed by one key.
func (i *installation) twin(t *testing.T) *installation {
	t.Helper()
	return &installation{sinktest.Folder(t), i.key, i.hmac}
}

// loseData removes what the installation remembers, but for its keys.
func (i *installation) loseData(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(i.dir, "data")); err != nil {
		t.Fatal(err)
	}
}

func memory(t *testing.T) *sinktest.Memory {
	return sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return now }})
}

func (i *installation) settings(store sink.Store) batch.Settings {
	gz := batch.Compression{Kind: seal.Gzip, Level: 2}
	return batch.Settings{
		Store: store, Data: filepath.Join(i.dir, "data"), Key: i.key, Origin: "log.example/test",
		Trails:   []batch.Trail{{Name: "audit", Formats: formats.All(), MaxSplit: 10_000}},
		Policies: retention.Policies{{Class: "standard", EventTypes: []string{"*"}, Mode: sink.Compliance, Retain: 24 * time.Hour}},
		Rendering: batch.Rendering{
			PartRows: 1_000_000, PartBytes: 1 << 30, JSONL: batch.Compression{Kind: seal.Zstd, Level: 1}, CSV: gz, CEF: gz, Syslog: gz, SortMemory: 8 << 20,
		},
		CloseAfter: time.Hour, DedupeWindow: 24 * time.Hour, Now: func() time.Time { return now }, Build: "daybook test", Config: sha256.Sum256([]byte("test")), Workers: 2,
		Log: slog.New(slog.DiscardHandler),
	}
}

func (i *installation) reading(t *testing.T) intake.Settings {
	t.Helper()
	redactor, err := intake.NewRedactor(i.hmac, intake.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return intake.Settings{
		From: intake.Auto, Org: "default", AsOf: now, PlausibleAfter: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), RecordLimit: 1 << 20, Ratio: 250, Workers: 2, Redactor: redactor,
	}
}

// export runs an export as a process of its own would.
func (i *installation) export(t *testing.T, s batch.Settings, paths ...string) (*batch.Report, error) {
	t.Helper()
	return i.exportAs(t, s, i.reading(t), paths...)
}

func (i *installation) exportAs(t *testing.T, s batch.Settings, how intake.Settings, paths ...string) (*batch.Report, error) {
	t.Helper()
	r, err := batch.Open(context.Background(), s)
	if err != nil {
		return nil, err
	}
	report, err := r.Export(context.Background(), paths, nil, how, newQuarantine(s))
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	return report, err
}

func newQuarantine(s batch.Settings) *intake.Quarantine {
	return intake.NewQuarantine(filepath.Join(s.Data, "quarantine"), time.Now())
}

func mustExport(t *testing.T, i *installation, s batch.Settings, paths ...string) *batch.Report {
	t.Helper()
	report, err := i.export(t, s, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// record is a line of input.
func record(id string, at time.Time, more string) string {
	return fmt.Sprintf(`{"id":%q,"time":%q,"action":"file-read","actor_id":"user-1","project_id":"project-%s","outcome":"success"%s}`,
		id, at.Format(time.RFC3339Nano), id[:1], more)
}

func day(n int) time.Time { return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC) }

// records makes n records within a day, out of order.
func records(prefix string, d, n int) []string {
	var list []string
	for i := range n {
		list = append(list, record(fmt.Sprintf("%c%s%d-%d", 'a'+i%3, prefix, d, i), day(d).Add(time.Duration((i*7919)%86400)*time.Second), ""))
	}
	return list
}

func writeLines(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "events.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// ids returns the ids of records.
func ids(lines ...string) []string {
	var list []string
	for _, l := range lines {
		var e event.Event
		if err := (jsonl.Decoder{}).Decode([]byte(l), &e); err == nil {
			list = append(list, strings.Clone(e.Get(event.ID)))
		}
	}
	return list
}

// audit is the oracle: it takes a store apart with nothing but a public key, and returns how often each event id is in a trail's evidence.
func audit(t *testing.T, store *sinktest.Memory, trail string, keys ...seal.PublicKey) map[string]int {
	t.Helper()
	found := map[string]int{}
	listed := map[string]bool{}
	var previous seal.Hash
	for n := uint64(1); ; n++ {
		data := store.Bytes(seal.ManifestKey(trail, n))
		if data == nil {
			break
		}
		m, err := seal.ParseManifest(data)
		if err != nil {
			t.Fatalf("seal %d: %v", n, err)
		}
		signed := store.Bytes(seal.NoteKey(trail, n))
		if signed == nil {
			t.Fatalf("seal %d has no note", n)
		}
		opened, err := seal.OpenNote(signed, seal.Verifiers(keys...))
		if err != nil {
			t.Fatalf("seal %d: %v", n, err)
		}
		if m.Seal != n || m.Previous != previous {
			t.Errorf("seal %d: is number %d and follows %v, not %v", n, m.Seal, m.Previous, previous)
		}
		previous = seal.Sum(data)
		if len(opened.Sums) != len(m.Files)+1 {
			t.Errorf("seal %d: the note has %d sums for %d files", n, len(opened.Sums), len(m.Files))
		}
		for _, sum := range opened.Sums {
			listed[sum.Key] = true
			if got := seal.Sum(store.Bytes(sum.Key)); got != sum.SHA256 {
				t.Errorf("seal %d: %s has SHA-256 %v, not %v", n, sum.Key, got, sum.SHA256)
			}
		}
		auditFiles(t, store, m, found)
	}
	for _, key := range store.Keys() {
		if versions := store.History(key); len(versions) != 1 {
			t.Errorf("%s has %d versions", key, len(versions))
		}
	}
	return found
}

func auditFiles(t *testing.T, store *sinktest.Memory, m *seal.Manifest, found map[string]int) {
	t.Helper()
	rows := map[string]int64{}
	for _, f := range m.Files {
		versions := store.History(f.Key)
		if v := versions[len(versions)-1]; v.ID != f.Version || v.Lock.Mode != f.LockMode || !v.Lock.RetainUntil.Equal(f.RetainUntil) {
			t.Errorf("%s: the manifest has version %s %s until %v, the store %s %v", f.Key, f.Version, f.LockMode, f.RetainUntil, v.ID, v.Lock)
		}
		content := unpack(t, f.Key, store.Bytes(f.Key))
		got := f.Rows // Parquet is read by the interop module
		switch f.Format {
		case "jsonl":
			var tree seal.Tree
			for line := range bytes.Lines(content) {
				line = bytes.TrimSuffix(line, []byte("\n"))
				tree.Append(line)
				var e event.Event
				if err := jsonl.ParseRow(line, &e); err != nil {
					t.Fatalf("%s: %v", f.Key, err)
				}
				found[strings.Clone(e.Get(event.ID))]++
				if !e.HasFlag(event.FlagTimeSuspect) && event.DayOf(e.Time) != m.Day.Day {
					t.Errorf("%s holds an event of %v", f.Key, e.Time)
				}
			}
			got = int64(tree.Rows())
			if tree.Root() != f.MerkleRoot {
				t.Errorf("%s: Merkle root differs", f.Key)
			}
		case "csv":
			got = int64(bytes.Count(content, []byte("\n"))) - 1
		case "cef", "syslog":
			got = int64(bytes.Count(content, []byte("\n")))
		}
		if got != f.Rows {
			t.Errorf("%s has %d rows, the manifest says %d", f.Key, got, f.Rows)
		}
		rows[f.Format] += f.Rows
	}
	for format, n := range rows {
		if n != m.Counts.Written {
			t.Errorf("seal %d: %s has %d rows, but %d events were written", m.Seal, format, n, m.Counts.Written)
		}
	}
}

func unpack(t *testing.T, key string, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	switch {
	case strings.HasSuffix(key, ".gz"):
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		r = z
	case strings.HasSuffix(key, ".zst"):
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		defer z.Close()
		r = z
	}
	content, err := io.ReadAll(bufio.NewReader(r))
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return content
}

// mustHold checks that the store's evidence has each of these ids just once, and no others.
func mustHold(t *testing.T, store *sinktest.Memory, i *installation, want []string) {
	t.Helper()
	found := audit(t, store, "audit", i.key.Public())
	for id, n := range found {
		if n != 1 {
			t.Errorf("event %s is in the evidence %d times", id, n)
		}
	}
	got := slices.Sorted(maps.Keys(found))
	slices.Sort(want)
	if !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("the evidence has %d events, want %d:\n got %.300q\nwant %.300q", len(got), len(want), got, want)
	}
}

// dataFiles returns the hash of every data file, by key.
func dataFiles(store *sinktest.Memory) map[string]seal.Hash {
	files := map[string]seal.Hash{}
	for _, key := range store.Keys() {
		if !strings.HasPrefix(key, "seals/") && !strings.HasPrefix(key, "keys/") && !strings.HasPrefix(key, "log/") {
			files[key] = seal.Sum(store.Bytes(key))
		}
	}
	return files
}
