package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/seal"
	daybook "daybook/event"
	"daybook/service"
	"daybook/sink"
)

// eventually waits until a condition holds. The service looks at folders every second.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited half a minute: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // there is nothing to wait on: it is another goroutine's timer
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Files that are moved into a drop folder are taken in and moved on; one that breaks in the middle is kept apart, and what came before stands.
func TestDropFolder(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "auto"}}
	})
	w.people()
	write(t, filepath.Join(in, ".hidden"), event("h", begun))
	write(t, filepath.Join(in, "a.jsonl"), event("e1", begun)+"\n"+event("e2", begun)+"\nnot json\n")
	write(t, filepath.Join(in, "b.gz"), "\x1f\x8b\x08")
	write(t, filepath.Join(in, "early.jsonl"), event("before", begun.Add(-48*time.Hour)))
	if err := os.Symlink("/etc/passwd", filepath.Join(in, "link")); err != nil {
		t.Fatal(err)
	}
	_, stop := w.serve()
	eventually(t, "the files are moved on", func() bool {
		return exists(filepath.Join(in, "done", "a.jsonl")) && exists(filepath.Join(in, "failed", "b.gz")) && exists(filepath.Join(in, "done", "early.jsonl"))
	})
	if !exists(filepath.Join(in, ".hidden")) || !exists(filepath.Join(in, "link")) {
		t.Error("what is no file of events was moved")
	}
	// The same file once more: nothing is taken twice.
	write(t, filepath.Join(t.TempDir(), "x"), "")
	again := filepath.Join(in, ".a")
	write(t, again, event("e1", begun))
	if err := os.Rename(again, filepath.Join(in, "a.jsonl")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is moved on under another name", func() bool { return exists(filepath.Join(in, "done", "a.jsonl.1")) })
	eventually(t, "the source has come up to its newest event", func() bool {
		for _, source := range w.trail().Sources {
			if source.Name == "batch" {
				return source.Watermark != nil && source.Watermark.Equal(begun)
			}
		}
		return false
	})
	st := w.trail()
	// Five of its own: two admins, the trail, the token, the start.
	if st.Accepted != 8 || st.Duplicates != 1 {
		t.Errorf("accepted %d, duplicates %d: %+v", st.Accepted, st.Duplicates, st)
	}
	// An event of before the trail's first day is not tracked: a file tells of no receipt.
	if whole := w.status(); *whole.Quarantined != 1 || *whole.NotTracked != 1 {
		t.Errorf("quarantined %d, not tracked %d", *whole.Quarantined, *whole.NotTracked)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.check()
}

// A drop folder that files can't be moved on in: each is taken in once, those behind it as well, and moved once that can be.
func TestDropFolderThatKeepsFiles(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "auto"}}
	})
	w.people()
	done := filepath.Join(in, "done")
	if err := os.Symlink("/dev/null", done); err != nil { // no folder, and no file either that would be taken in
		t.Fatal(err)
	}
	write(t, filepath.Join(in, "a.jsonl"), event("e1", begun)+"\nnot json\n")
	write(t, filepath.Join(in, "b.jsonl"), event("e2", begun))
	_, stop := w.serve()
	// Two files, each of which can't be moved in four rounds.
	eventually(t, "the files could not be moved in four rounds", func() bool { return w.metric(`daybook_files_total{kind="drop",result="failed"}`) >= 8 })
	// Five of its own: two admins, the trail, the token, the start.
	if st := w.trail(); st.Accepted != 7 || st.Duplicates != 0 {
		t.Errorf("accepted %d, duplicates %d", st.Accepted, st.Duplicates)
	}
	if whole := w.status(); *whole.Quarantined != 1 {
		t.Errorf("quarantined %d", *whole.Quarantined)
	}
	// One that was replaced is another file.
	again := filepath.Join(in, ".b")
	write(t, again, event("e2", begun)+"\n"+event("e3", begun))
	if err := os.Rename(again, filepath.Join(in, "b.jsonl")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other file is taken in", func() bool { return w.trail().Accepted == 9 })
	if err := os.Remove(done); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the files are moved on", func() bool { return exists(filepath.Join(done, "a.jsonl")) && exists(filepath.Join(done, "b.jsonl")) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if st := w.trail(); st.Duplicates != 1 {
		t.Errorf("duplicates %d, want the one of the file that was replaced", st.Duplicates)
	}
	w.check()
}

// regions is a bucket whose listing has a file of the 11th before one of the 10th, which can't be read until it is released.
type regions struct{ released atomic.Bool }

func (r *regions) List(context.Context, string) iter.Seq2[sink.Entry, error] {
	return func(yield func(sink.Entry, error) bool) {
		_ = yield(sink.Entry{Key: "region-a/11", Size: 100, ETag: "1", Latest: true}, nil) && yield(sink.Entry{Key: "region-b/10", Size: 100, ETag: "2", Latest: true}, nil)
	}
}

func (r *regions) Get(_ context.Context, key, _ string) (io.ReadCloser, error) {
	text := event("a", begun.Add(13*time.Hour))
	if key == "region-b/10" {
		if !r.released.Load() {
			return nil, errors.New("503 slow down")
		}
		text = event("b", begun.Add(2*time.Hour))
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// A followed place has come no further than to what lies there and is not taken in: its files are not listed in order of time.
func TestFollowedPlaceIsBehindItsListing(t *testing.T) {
	t.Parallel()
	bucket := &regions{}
	w := newWorld(t, func(c *service.Config) {
		c.Follow = []service.Follow{{Org: "acme", Source: "ct", From: "jsonl", Where: "s3://x", Store: bucket, Every: 20 * time.Millisecond}}
	})
	w.people()
	w.clock.move(14 * time.Hour) // 02:00 of the 11th
	w.heartbeat()
	_, stop := w.serve()
	eventually(t, "region b could not be read twice", func() bool { return w.metric(`daybook_files_total{kind="follow",result="failed"}`) >= 2 })
	w.roll()
	if list := w.manifests("audit"); len(list) != 0 {
		t.Errorf("seals are %v while a file of the 10th could not be read", briefs(list))
	}
	// What was taken before a restart is known afterwards, and not read again: how far it has come is known, too.
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.restart()
	_, stop = w.serve()
	eventually(t, "region b could not be read after the restart", func() bool { return w.metric(`daybook_files_total{kind="follow",result="failed"}`) >= 2 })
	if at := w.watermark("ct"); at != nil {
		t.Errorf("the source has come to %s while a file could not be read", at)
	}
	bucket.released.Store(true)
	eventually(t, "the 10th waits no longer", func() bool { return len(w.trail().Due) == 1 })
	w.roll()
	if list := w.manifests("audit"); len(list) != 1 || !strings.Contains(w.evidence(list[0]), `"id":"b"`) {
		t.Errorf("seals are %v, want one with the event of region b", briefs(list))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// watermark is a source's of the trail; nil if it has none.
func (w *world) watermark(source string) *time.Time {
	w.t.Helper()
	for _, s := range w.trail().Sources {
		if s.Name == source {
			return s.Watermark
		}
	}
	return nil
}

// A drop folder has come no further than to what lies there and is not taken in; what was taken in before a restart counts once the rest is.
func TestDropFolderIsBehindItsFiles(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may read all files")
	}
	in := t.TempDir()
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "auto"}}
	})
	w.people()
	write(t, filepath.Join(in, "a.jsonl"), event("a", begun))
	b := filepath.Join(in, "b.jsonl")
	write(t, b, event("b", begun.Add(-2*time.Hour)))
	if err := os.Chmod(b, 0); err != nil {
		t.Fatal(err)
	}
	_, stop := w.serve()
	eventually(t, "one file is moved on, and the other can't be read", func() bool {
		return exists(filepath.Join(in, "done", "a.jsonl")) && w.metric(`daybook_files_total{kind="drop",result="failed"}`) >= 1
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if at := w.watermark("batch"); at != nil {
		t.Errorf("the source has come to %s while a file could not be read", at)
	}
	if err := os.Chmod(b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop = w.serve()
	eventually(t, "the source has come up to the newest event", func() bool { at := w.watermark("batch"); return at != nil && at.Equal(begun) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.check()
}

// A place, or a file in it, that can't be taken in is told for as long as it is so, or there.
func TestPlacesThatFailAreTold(t *testing.T) {
	t.Parallel()
	in := filepath.Join(t.TempDir(), "in")
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "auto"}}
	})
	w.people()
	_, stop := w.serve()
	told := func(what string) func() bool {
		return func() bool {
			found := w.problemsOf("files-fail")
			return len(found) == 1 && found[0].Level == service.LevelWarning && strings.Contains(found[0].Text, what)
		}
	}
	eventually(t, "a folder that is not there is told", told(in+": not all can be taken in (failures: 1); "+in+": open "+in))
	if err := os.Mkdir(in, 0o700); err != nil {
		t.Fatal(err)
	}
	nothing := func() bool { return len(w.problemsOf("files-fail")) == 0 }
	eventually(t, "the folder is there", nothing)
	if err := os.Symlink("/dev/null", filepath.Join(in, "done")); err != nil { // no folder, so that nothing can be moved on
		t.Fatal(err)
	}
	file := filepath.Join(in, "a.jsonl")
	write(t, file, event("e1", begun))
	eventually(t, "a file that can't be moved on is told", told(file))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is gone", nothing)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Files that could not be read to their end are told for as long as they lie in failed/, by each process, and none of them is told as taken in.
func TestFilesThatFailedAreTold(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	var log bytes.Buffer // the handler's until the service has stopped
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "auto"}}
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	w.people()
	_, stop := w.serve()
	failed := filepath.Join(in, "failed")
	for _, name := range []string{"a.jsonl.gz", "b.jsonl.gz"} {
		write(t, filepath.Join(in, "."+name), "\x1f\x8b\x08 is no gzip")
		if err := os.Rename(filepath.Join(in, "."+name), filepath.Join(in, name)); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" has failed", func() bool { return exists(filepath.Join(failed, name)) })
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Contains(text, "took a file in") || strings.Count(text, "could not be read to its end") != 2 {
		t.Errorf("the log says:\n%s", text)
	}
	w.restart()
	found := w.problemsOf("files-fail")
	if len(found) != 1 || found[0].Level != service.LevelWarning || !strings.Contains(found[0].Text, failed) || !strings.Contains(found[0].Text, "(files: 2)") || !strings.Contains(found[0].Hint, "drop them again") {
		t.Errorf("the status tells %+v", found)
	}
	write(t, filepath.Join(failed, ".hidden"), "") // it is not ours
	for _, name := range []string{"a.jsonl.gz", "b.jsonl.gz"} {
		if err := os.Remove(filepath.Join(failed, name)); err != nil {
			t.Fatal(err)
		}
	}
	if found := w.problemsOf("files-fail"); len(found) != 0 {
		t.Errorf("once they are removed the status tells %+v", found)
	}
	// Of very many it is told that they are many.
	for n := range 1001 {
		write(t, filepath.Join(failed, strconv.Itoa(n)), "")
	}
	if found := w.problemsOf("files-fail"); len(found) != 1 || !strings.Contains(found[0].Text, "(files: over 1000)") {
		t.Errorf("of very many the status tells %+v", found)
	}
	if err := os.RemoveAll(failed); err != nil {
		t.Fatal(err)
	}
	write(t, failed, "no folder")
	if found := w.problemsOf("files-fail"); len(found) != 1 || !strings.Contains(found[0].Text, failed) {
		t.Errorf("where it can't be looked into the status tells %+v", found)
	}
}

// metric is the value of a metric; 0 if there is none.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	data, _ := w.try("", http.MethodGet, "/metrics", nil)
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// A folder of files that are only read: each is taken in once, also after a restart; one that has changed is read again, and only what is new of it is taken.
func TestFollowFolder(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	w := newWorld(t, func(c *service.Config) {
		c.Follow = []service.Follow{{Where: from, Org: "acme", Source: "trail", From: "cloudtrail", Every: time.Millisecond, Store: service.Folder{Dir: from}}}
	})
	w.people()
	file := filepath.Join(from, "AWSLogs", "1.json")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	record := func(id string) string {
		return `{"eventVersion":"1.08","eventID":"` + id + `","eventTime":"2026-03-10T12:00:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"eu-central-1",` +
			`"sourceIPAddress":"192.0.2.1","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::1:user/a","accountId":"1"},"recipientAccountId":"1","readOnly":true}`
	}
	write(t, file, `{"Records":[`+record("11111111-1111-4111-8111-111111111111")+`]}`)
	_, stop := w.serve()
	accepted := func() int64 { return w.trail().Accepted - w.trail().Duplicates }
	eventually(t, "the file is taken in", func() bool { return accepted() == 6 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.clock.move(time.Minute)
	write(t, file, `{"Records":[`+record("11111111-1111-4111-8111-111111111111")+","+record("22222222-2222-4222-8222-222222222222")+`]}`)
	_, stop = w.serve()
	eventually(t, "what is new of the file is taken in", func() bool { return w.trail().Duplicates == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	seen, err := filepath.Glob(filepath.Join(w.config.Batch.Data, "follow", "*.seen"))
	if err != nil || len(seen) != 1 {
		t.Fatalf("%v %v", seen, err)
	}
	data, err := os.ReadFile(seen[0])
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(data), "\n"); n != 2 {
		t.Errorf("%d files are known, want the two versions of the one: %q", n, data)
	}
	w.check()
}

// Files that are there before a trail is enabled wait for it: they are read once only, and its backfill is to have them.
func TestFilesWaitForTrail(t *testing.T) {
	t.Parallel()
	from, in := t.TempDir(), t.TempDir()
	looked := make(chan struct{}, 1)
	w := newWorld(t, func(c *service.Config) {
		c.Follow = []service.Follow{
			{Where: "beacon", Org: "globex", Source: "beacon", From: "jsonl", Every: time.Millisecond, Store: beacon{service.Folder{Dir: t.TempDir()}, looked}},
			{Where: from, Org: "acme", Source: "trail", From: "jsonl", Every: time.Millisecond, Store: service.Folder{Dir: from}},
		}
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "jsonl"}}
	})
	write(t, filepath.Join(from, "1.jsonl"), event("followed", begun.Add(-48*time.Hour)))
	write(t, filepath.Join(in, "1.jsonl"), event("dropped", begun.Add(-48*time.Hour)))
	w.call("", http.MethodPost, "/v1/trails/other/enable", service.EnableRequest{Org: "globex"}, http.StatusOK, nil)
	_, stop := w.serve()
	for range 3 { // the first place is looked at before the second: two whole rounds have passed
		<-looked
	}
	if !exists(filepath.Join(in, "1.jsonl")) {
		t.Error("the dropped file was moved on before a trail was enabled that takes its events")
	}
	var waits []string
	for _, p := range w.problemsOf("files-wait") {
		waits = append(waits, p.Level+" "+p.Text)
	}
	const text = `: its files are left where they are: no trail of the org "acme" was ever switched on`
	if diff := cmp.Diff([]string{"warning " + in + text, "warning " + from + text}, waits); diff != "" {
		t.Errorf("the status tells (-want +got):\n%s", diff)
	}
	since := seal.Date{Day: daybook.DayOf(begun) - 5}
	w.call("", http.MethodPost, "/v1/trails/audit/enable", service.EnableRequest{Since: &since}, http.StatusOK, nil)
	if p := w.problemsOf("files-wait"); len(p) != 0 {
		t.Errorf("once it is enabled the status tells %+v", p)
	}
	eventually(t, "both files are taken in", func() bool { // on a day of which the trail has no other events
		select { // or the first place would keep the second from being looked at again
		case <-looked:
		default:
		}
		return slices.ContainsFunc(w.trail().Pending, func(d batch.PendingDay) bool { return d.Day.Day == daybook.DayOf(begun)-2 && d.Events == 2 })
	})
	if n := *w.status().NotTracked; n != 0 {
		t.Errorf("%d events are not tracked", n)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// beacon is a folder that tells when it is looked at.
type beacon struct {
	service.Folder
	looked chan<- struct{}
}

func (b beacon) List(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	select {
	case b.looked <- struct{}{}:
	case <-ctx.Done():
	}
	return b.Folder.List(ctx, prefix)
}

// faultyPlace is a place of two files, the first of which breaks off when it is read for the first time, and can't be opened the second time.
type faultyPlace struct {
	service.Folder
	opened int // of the first file; the follower's goroutine alone reads
}

func (f *faultyPlace) List(ctx context.Context, prefix string) iter.Seq2[sink.Entry, error] {
	return f.Folder.List(ctx, prefix)
}

func (f *faultyPlace) Get(ctx context.Context, key, version string) (io.ReadCloser, error) {
	body, err := f.Folder.Get(ctx, key, version)
	if err != nil || key != "a.jsonl" {
		return body, err
	}
	f.opened++
	switch f.opened {
	case 1:
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(body, 150), brokenReader{}), body}, nil
	case 2:
		return nil, errors.Join(errors.New("access denied"), body.Close())
	}
	return body, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// A connection that breaks while a file is read, or a file that can't be had, is no fault of the file: it is read again, and others are not kept waiting.
func TestFollowBrokenConnection(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	place := &faultyPlace{Folder: service.Folder{Dir: from}}
	w := newWorld(t, func(c *service.Config) {
		c.Follow = []service.Follow{{Where: from, Org: "acme", Source: "feed", From: "jsonl", Every: time.Millisecond, Store: place}}
	})
	w.people()
	write(t, filepath.Join(from, "a.jsonl"), "no JSON\n"+event("a1", begun)+"\n"+event("a2", begun)+"\n"+event("a3", begun)+"\n")
	write(t, filepath.Join(from, "b.jsonl"), event("b1", begun)+"\n")
	_, stop := w.serve()
	// Five of its own: two admins, the trail, the token, the start.
	eventually(t, "the first file is read to its end", func() bool { st := w.trail(); return st.Accepted-st.Duplicates == 9 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if place.opened != 3 {
		t.Errorf("the file was opened %d times, want 3", place.opened)
	}
	if files, err := filepath.Glob(filepath.Join(w.config.Batch.Data, "quarantine", "*.jsonl")); err != nil || len(files) != 1 || *w.status().Quarantined != 1 {
		t.Errorf("the record that can't be read was put away %d times: %v %v", *w.status().Quarantined, files, err)
	}
	w.check()
}

// An outcome that is not known is told in the log, of each source once an hour, however its events come; not of events that no trail takes.
func TestOutcomesNotKnownAreLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // read when nothing writes to it any more
	in := t.TempDir()
	w := newWorld(t, func(c *service.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "jsonl"}}
	})
	w.people()
	with := func(id, outcome string) string {
		return fmt.Sprintf(`{"id":%q,"time":%q,"action":"file-read","outcome":%s}`, id, w.clock.now().Format(time.RFC3339), outcome)
	}
	w.send(with("e1", `"Success"`), with("e2", `"ok"`), with("e3", `7`))
	w.send(with("e4", `"fine"`))
	w.clock.move(time.Hour)
	w.send(with("e5", `"fine"`))
	var made service.Made
	w.call(w.alice, http.MethodPost, "/v1/tokens", service.TokenRequest{Org: "globex", Source: "api"}, http.StatusOK, &made)
	w.call(made.Secret, http.MethodPost, "/v1/events", with("e6", `"ok"`), http.StatusOK, nil)
	write(t, filepath.Join(in, "1.jsonl"), with("e7", `"ok"`)+"\n"+with("e8", `"ok"`))
	_, stop := w.serve()
	eventually(t, "the file is taken in", func() bool { return exists(filepath.Join(in, "done", "1.jsonl")) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.shut()
	var got []string
	for _, m := range regexp.MustCompile(`level=WARN msg="an event has an outcome that is not known: .* (org=.*)\n`).FindAllStringSubmatch(log.String(), -1) {
		got = append(got, m[1])
	}
	want := []string{"org=acme source=api", "org=acme source=api", "org=acme source=batch"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the log tells (-want +got):\n%s", diff)
	}
}

// A folder below a followed one that can't be looked into keeps nothing beside it from being taken in, and is told; and as long as that is so the source has come no further.
func TestFollowUnreadableFolder(t *testing.T) {
	t.Parallel()
	from := t.TempDir()
	w := newWorld(t, func(c *service.Config) {
		c.Follow = []service.Follow{{Where: from, Org: "acme", Source: "feed", From: "jsonl", Every: time.Millisecond, Store: service.Folder{Dir: from}}}
	})
	w.people()
	// Root may look into every folder, but not by a path that is too long.
	root, err := os.OpenRoot(from)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.MkdirAll("b/"+strings.Repeat(strings.Repeat("x", 200)+"/", 25), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b/b", "c"} {
		write(t, filepath.Join(from, name+".jsonl"), event(name, begun)+"\n")
	}
	_, stop := w.serve()
	// Five of its own: two admins, the trail, the token, the start.
	eventually(t, "what can be read is taken in", func() bool { return w.trail().Accepted == 8 })
	eventually(t, "the folder is told", func() bool {
		p := w.problemsOf("files-fail")
		return len(p) == 1 && strings.Contains(p[0].Text, "(failures: 1); "+from+"/b/xxx") && strings.HasSuffix(p[0].Text, "file name too long")
	})
	if at := w.watermark("feed"); at != nil {
		t.Errorf("the source has come to %s while a folder could not be looked into", at)
	}
	if w.metric(`daybook_files_total{kind="follow",result="failed"}`) < 1 {
		t.Error("no metric counts it")
	}
	if err := root.RemoveAll("b"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the source has come up to the newest event, and nothing is told any more", func() bool {
		at := w.watermark("feed")
		return at != nil && at.Equal(begun) && len(w.problemsOf("files-fail")) == 0
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.check()
}

// Two places of one name at two servers are two places.
func TestFollowTwoServers(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	w := newWorld(t, func(c *service.Config) {
		for endpoint, dir := range map[string]string{"https://one": one, "https://two": two} {
			c.Follow = append(c.Follow, service.Follow{
				Where: "s3://logs", Endpoint: endpoint, Org: "acme", Source: "feed", From: "jsonl", Every: time.Hour, Store: service.Folder{Dir: dir},
			})
		}
	})
	w.people()
	write(t, filepath.Join(one, "a.jsonl"), event("a", begun)+"\n")
	write(t, filepath.Join(two, "b.jsonl"), event("b", begun)+"\n")
	_, stop := w.serve()
	// Five of its own: two admins, the trail, the token, the start.
	eventually(t, "both are read", func() bool { return w.trail().Accepted == 7 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// A file of another content that takes the place of one that is being read is read as well, before it is moved on.
func TestDropFolderWhoseFileIsReplaced(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	path, once := filepath.Join(in, "a.jsonl"), sync.Once{}
	w := newWorld(t, func(c *service.Config) {
		c.Drop = []service.Drop{{Path: in, Org: "acme", Source: "batch", From: "auto"}}
		c.Reading.Reading = func(int64) error { // the file is open
			once.Do(func() {
				write(t, filepath.Join(in, ".a"), event("e1", begun)+"\nno JSON")
				if err := os.Rename(filepath.Join(in, ".a"), path); err != nil {
					t.Error(err)
				}
			})
			return nil
		}
	})
	w.people()
	write(t, path, event("e0", begun)+"\nno JSON either")
	_, stop := w.serve()
	eventually(t, "the file is moved on", func() bool { return exists(filepath.Join(in, "done", "a.jsonl")) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// What was read of the first is told of neither: who put the other in its place has it, and it would be told again of a file that grows.
	if n := *w.status().Quarantined; n != 1 {
		t.Errorf("%d records are quarantined, want 1", n)
	}
	w.clock.move(14 * time.Hour)
	if err := w.Roll(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	w.check()
	w.once("audit", 2)
}
