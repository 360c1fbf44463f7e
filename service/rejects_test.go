package service

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch/intake"
)

// A sender that goes wrong all day fills a pair of files each hour, not each second; all that is settled is there; and what Expire removes is old as a whole.
func TestRejectsOfAnHourLieTogether(t *testing.T) {
	dir, now := filepath.Join(t.TempDir(), "quarantine"), time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)
	begun := now
	r := newRejects(dir, func() time.Time { return now })
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	add := func() {
		t.Helper()
		if err := r.use(func(q *intake.Quarantine) error { return q.Add("body", 1, "bad", []byte("no JSON"), nil) }); err != nil {
			t.Fatal(err)
		}
	}
	settle := func(want int64) {
		t.Helper()
		n, hashes, err := r.settle()
		if n != want || int64(len(hashes)) != want || err != nil {
			t.Fatalf("settled %d with %d hashes: %v, want %d", n, len(hashes), err, want)
		}
	}
	files := func(want int) (records int) {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		if err != nil || len(list) != want {
			t.Fatalf("%d files: %v, want %d", len(list), err, want)
		}
		for _, f := range list {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			records += strings.Count(string(data), "\n")
		}
		return records
	}
	for second := range 100 {
		add()
		settle(1)
		settle(0)
		if n := files(1); n != second+1 {
			t.Fatalf("%d records are on the disk, want %d", n, second+1)
		}
		now = now.Add(30 * time.Second)
	}
	now = begun.Add(intake.FileSpan)
	settle(0)
	add()
	add()
	settle(2)
	if n := files(2); n != 102 {
		t.Errorf("%d records, want 102", n)
	}
	// The first file may have a record of an hour after its name's time.
	if err := intake.Expire(dir, begun.Add(24*time.Hour+intake.FileSpan-1), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	files(2)
	if err := intake.Expire(dir, begun.Add(24*time.Hour+intake.FileSpan), 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	files(1)
	// Somebody emptied the folder; the clock is set back.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	settle(0)
	add()
	settle(1)
	files(1)
	now = begun.Add(-time.Hour)
	settle(0)
	add()
	settle(1)
	files(2)
}

// Who sees one org alone is told that the spool has stopped, and not what the disk said.
func TestNarrowStatusOfAStoppedSpool(t *testing.T) {
	st := Status{Spool: SpoolStatus{Stopped: "spool /srv/spool: stopped"}}
	st.narrow()
	if st.Spool.Stopped == "" || strings.Contains(st.Spool.Stopped, "/srv") {
		t.Errorf("told %q", st.Spool.Stopped)
	}
}

// A reload that was recorded and did not come to its end is told as in force.
func TestStatusOfAReloadThatDidNotEnd(t *testing.T) {
	s, st := &Service{refused: &refusedReload{err: fmt.Errorf("%w: the disk is full", errInForce)}}, Status{}
	s.tellReload(&st)
	if len(st.Problems) != 1 || !strings.HasSuffix(st.Problems[0].Text, " was taken up: it is in force, but not all of it is written down: the disk is full") || st.Problems[0].Hint == "" {
		t.Errorf("told %+v", st.Problems)
	}
}
