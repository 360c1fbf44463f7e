// Package formatstest holds what tests of the encoders share: the corpus of events, golden files, and events of an ordinary look.
package formatstest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/jsonl"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Testdata is the repository's folder of that name.
const Testdata = "../../testdata"

// Corpus returns the events of testdata/events.jsonl.
func Corpus(t testing.TB) []event.Event {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Testdata, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var events []event.Event
	for row := range bytes.Lines(data) {
		var e event.Event
		if err := jsonl.ParseRow(bytes.TrimSuffix(row, []byte("\n")), &e); err != nil {
			t.Fatalf("row %d: %v", len(events)+1, err)
		}
		events = append(events, e)
	}
	return events
}

// Golden compares got with a file below testdata/golden, or rewrites that.
func Golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join(Testdata, "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update rewrites it):\n%s", name, cmp.Diff(bytes.SplitAfter(want, []byte("\n")), bytes.SplitAfter(got, []byte("\n"))))
	}
}

// Encode runs events through enc and returns what it wrote to b.
func Encode(t testing.TB, enc formats.Encoder, b *bytes.Buffer, events []event.Event) []byte {
	t.Helper()
	if err := enc.Encode(events); err != nil {
		t.Fatal(err)
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	if got := enc.Stats().Rows; got != int64(len(events)) {
		t.Errorf("Stats().Rows is %d, want %d", got, len(events))
	}
	return b.Bytes()
}

// Typical returns n events of the size and look of ordinary ones, about 700 bytes each as evidence.
func Typical(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		e := &events[i]
		e.Time = time.Date(2026, 3, 10, 0, 0, i, 123_456_789, time.UTC)
		for f, text := range map[event.Field]string{
			event.ID: fmt.Sprintf("0195aaaa-bbbb-7ccc-8ddd-%012d", i), event.Source: "platform", event.Org: "org-acme", event.Type: "api.write",
			event.Action: "project-describe", event.Outcome: event.Success, event.ActorType: "user", event.ActorID: fmt.Sprintf("user-%06d", i%500),
			event.ActorName: "Alice Archer", event.IP: fmt.Sprintf("203.0.113.%d", i%256),
			event.UserAgent:  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
			event.TokenLabel: "pipeline-ci", event.TokenLast4: "9f3a", event.ObjectType: "file", event.ObjectID: fmt.Sprintf("file-Gx%020d", i),
			event.ObjectName: "sample_0042_R1.fastq.gz", event.ProjectID: "project-GxQ0Zk8045bF", event.ProjectName: "Trial 17",
			event.Info: `{"project":"project-GxQ0Zk8045bF","fields":{"name":true,"region":true,"size":true},"folder":"/results/2026/03","describe":{"properties":true},"limit":1000}`,
		} {
			e.Set(f, text)
		}
	}
	return events
}
