package intake_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake"
)

// checkQuarantine reads what is in quarantine, and checks that it is whole and nobody else's to read.
func (got *imported) checkQuarantine(t testing.TB, q *intake.Quarantine) {
	t.Helper()
	if got.Quarantined == 0 {
		if _, err := os.Stat(got.dir); !os.IsNotExist(err) {
			t.Errorf("a quarantine of nothing: %v", err)
		}
		return
	}
	for path, mode := range map[string]os.FileMode{got.dir: os.ModeDir | 0o700, q.Path(): 0o600, q.RecordsPath(): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	var err error
	if got.kept, err = os.ReadFile(q.RecordsPath()); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(q.Path())
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[string]bool{}
	offset := int64(0)
	for row := range bytes.Lines(index) {
		var e intake.QuarantineEntry
		if err := json.Unmarshal(row, &e); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(got.kept[e.Offset : e.Offset+e.Size])
		if e.Offset != offset || e.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("the index is wrong: %+v", e)
		}
		offset += e.Size
		got.index = append(got.index, e)
		hashes[e.SHA256] = true
	}
	if offset != int64(len(got.kept)) {
		t.Errorf("%d bytes, but %d in the index", len(got.kept), offset)
	}
	if int64(len(got.index)) != q.Count() || len(q.First()) != min(20, len(got.index)) || len(q.Hashes()) != min(1000, len(got.index)) {
		t.Errorf("%d in the index, %d counted, %d told, %d hashes", len(got.index), q.Count(), len(q.First()), len(q.Hashes()))
	}
	for _, h := range q.Hashes() {
		if !hashes[h] {
			t.Errorf("hash %s is of no record", h)
		}
	}
}

func TestRecordsLieInQuarantineAsTheyCame(t *testing.T) {
	bad := []string{"no JSON", `{"kind": 0}`, "{\"time\":\"2026-03-10T09:30:00Z\",\x00\xff", `{"time":"soon","action":"x","info":{"password":"geheim"}}`}
	text := line("a") + "\r\n\n" + bad[0] + "\r\n" + bad[1] + "\n  " + bad[2] + "  \n" + line("b") + "\n" + bad[3]
	got := importText(t, text)
	type entry struct {
		Line           int
		Record, Reason string
	}
	var entries []entry
	for _, e := range got.index {
		if e.File != "standard input" {
			t.Errorf("%+v", e)
		}
		entries = append(entries, entry{e.Line, string(got.kept[e.Offset : e.Offset+e.Size]), e.Reason})
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.Line - b.Line })
	for i, want := range []entry{
		{3, bad[0], "not JSON: not an object at byte 1"},
		{4, bad[1], "record has no time"},
		{5, bad[2], "at byte"},
		{7, bad[3], `time is "soon": must be RFC 3339, like "2026-03-10T09:30:00Z"`},
	} {
		if e := entries[i]; e.Line != want.Line || e.Record != want.Record || !strings.Contains(e.Reason, want.Reason) {
			t.Errorf("got %+v, want %+v", e, want)
		}
	}
	if got.Read != 6 || got.Taken != 2 || got.Quarantined != 4 {
		t.Errorf("%+v", got.Report)
	}
}

func TestQuarantineNeverWritesIntoAnotherRunsFiles(t *testing.T) {
	dir := t.TempDir()
	first := intake.NewQuarantine(dir, now)
	if err := first.Add("a", 1, "bad", []byte("first"), nil); err != nil {
		t.Fatal(err)
	}
	if err := intake.NewQuarantine(dir, now).Add("a", 1, "bad", []byte("second"), nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second of the same time: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(first.RecordsPath()); err != nil || string(data) != "first" {
		t.Errorf("%q, %v", data, err)
	}
	// An index in the way leaves no records without one.
	other := intake.NewQuarantine(dir, now.Add(1))
	write(t, other.Path(), "in the way")
	if err := other.Add("a", 1, "bad", []byte("third"), nil); err == nil {
		t.Error("the index was overwritten")
	}
	if _, err := os.Stat(other.RecordsPath()); !os.IsNotExist(err) {
		t.Errorf("records were left: %v", err)
	}
}

func TestQuarantineExpires(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "quarantine")
	if err := intake.Expire(dir, now, time.Hour); err != nil {
		t.Errorf("without a folder: %v", err)
	}
	for _, age := range []time.Duration{0, intake.FileSpan + 59*time.Minute, intake.FileSpan + time.Hour, 48 * time.Hour, -time.Hour} {
		q := intake.NewQuarantine(dir, now.Add(-age))
		if err := q.Add("a", 1, "bad", []byte(age.String()), nil); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "notes.txt"), "not ours")
	write(t, filepath.Join(dir, "20200101Z.old"), "not ours either")
	if err := intake.Expire(dir, now, time.Hour); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if data, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && !strings.HasSuffix(e.Name(), ".jsonl") {
			left = append(left, string(data))
		}
	}
	slices.Sort(left)
	if diff := cmp.Diff([]string{"-1h0m0s", "0s", "1h59m0s", "not ours", "not ours either"}, left); diff != "" || len(entries) != 8 {
		t.Errorf("%d files: %s", len(entries), diff)
	}
}
