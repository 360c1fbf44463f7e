package intake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch/intake"
	"daybook/event"
	"daybook/formats/jsonl"
	"daybook/internal/effort"
)

var now = time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)

func settings(t testing.TB) intake.Settings {
	return intake.Settings{
		From: intake.Auto, Org: "default", AsOf: now, PlausibleAfter: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		RecordLimit: 1 << 20, Ratio: 250, Workers: 2, Redactor: newRedactor(t, intake.Rules{}),
	}
}

// imported is what came of an import.
type imported struct {
	intake.Report
	rows  []string // sorted
	index []intake.QuarantineEntry
	kept  []byte // the records in quarantine
	dir   string
}

// taker gathers rows.
type taker struct {
	mu   *sync.Mutex
	rows *[]string
	each func() error
}

func (k taker) Take(in intake.Taken) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	*k.rows = append(*k.rows, string(in.Row))
	if k.each != nil {
		return k.each()
	}
	return nil
}

func (taker) Close() error { return nil }

type hooks struct {
	ctx  context.Context
	take func() error
	read func(int64)
}

func importAll(t testing.TB, how intake.Settings, stdin io.Reader, h hooks, paths ...string) (*imported, error) {
	t.Helper()
	if h.ctx == nil {
		h.ctx = context.Background()
	}
	if h.read == nil {
		h.read = func(int64) {}
	}
	got := &imported{dir: filepath.Join(t.TempDir(), "data", "quarantine")}
	q := intake.NewQuarantine(got.dir, now)
	var mu sync.Mutex
	var err error
	got.Report, err = intake.Import(h.ctx, paths, stdin, how, q, func() intake.Taker { return taker{&mu, &got.rows, h.take} }, h.read)
	if closeErr := q.Close(); err == nil {
		err = closeErr
	}
	slices.Sort(got.rows)
	if err == nil {
		got.checkQuarantine(t, q)
	}
	return got, err
}

func mustImport(t testing.TB, stdin io.Reader, paths ...string) *imported {
	t.Helper()
	got, err := importAll(t, settings(t), stdin, hooks{}, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func importText(t testing.TB, text string) *imported {
	t.Helper()
	return mustImport(t, strings.NewReader(text), intake.Stdin)
}

func (got *imported) faults() []string {
	var list []string
	for _, f := range got.Faults {
		list = append(list, filepath.Base(f.File)+": "+f.Reason)
	}
	return list
}

func (got *imported) ids(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, row := range got.rows {
		e := parse(t, row)
		list = append(list, e.Get(event.ID))
	}
	return list
}

func parse(t *testing.T, row string) *event.Event {
	t.Helper()
	var e event.Event
	if err := jsonl.ParseRow([]byte(row), &e); err != nil {
		t.Fatalf("%v in %s", err, row)
	}
	return &e
}

func line(id string) string {
	return fmt.Sprintf(`{"id":%q,"time":"2026-03-10T09:30:00Z","action":"file-read"}`, id)
}

func write(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// endless goes on for ever, and calls step before each read.
type endless struct {
	text string
	step func()
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	e.step()
	for n := 0; n < len(p); {
		c := copy(p[n:], e.text[e.at:])
		n += c
		e.at = (e.at + c) % len(e.text)
	}
	return len(p), nil
}

func TestACancelledImportEnds(t *testing.T) {
	for name, stdin := range map[string]func(cancel func()) io.Reader{
		"at once": func(cancel func()) io.Reader { cancel(); return strings.NewReader(line("a")) },
		"while nothing comes": func(cancel func()) io.Reader {
			never, _ := io.Pipe()
			return readerFunc(func(p []byte) (int, error) { cancel(); return never.Read(p) })
		},
		"within events":    func(cancel func()) io.Reader { return &endless{text: line("a") + "\n", step: later(cancel)} },
		"within bad lines": func(cancel func()) io.Reader { return &endless{text: "{} \n", step: later(cancel)} },
		"where no record is": func(cancel func()) io.Reader {
			return io.MultiReader(strings.NewReader(`{"eventTime":"x","eventName":"x","eventID":[`), &endless{text: ", ", step: later(cancel)})
		},
		"within an endless line": func(cancel func()) io.Reader {
			return io.MultiReader(strings.NewReader(line("a")+"\n"), &endless{text: "xxxx", step: later(cancel)})
		},
		"within long bad records": func(cancel func()) io.Reader {
			return &endless{text: "{}" + strings.Repeat(" ", 3000) + "x\n", step: later(cancel)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			how := settings(t)
			how.RecordLimit = 2000
			_, err := importAll(t, how, stdin(cancel), hooks{ctx: ctx}, intake.Stdin)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestACancelledImportLeavesAFileUnread(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "in.jsonl"), strings.Repeat(line("a")+"\n", 1000))
	const size = 1 << 30
	if err := os.Truncate(path, size); err != nil { // which makes it end in a line of NUL bytes that take no room on the disk
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got, err := importAll(t, settings(t), nil, hooks{ctx: ctx, take: func() error { cancel(); return nil }}, path)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if got.Bytes > size/2 {
		t.Errorf("%d bytes were read", got.Bytes)
	}
}

// later calls do on the third call.
func later(do func()) func() {
	n := 0
	return func() {
		if n++; n == 3 {
			do()
		}
	}
}

func namedPipe(t *testing.T) string {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	return fifo
}

func TestAPipeThatNobodyWritesToCanBeCancelled(t *testing.T) {
	fifo := namedPipe(t)
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	if _, err := importAll(t, settings(t), nil, hooks{ctx: ctx}, fifo); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	// What was cancelled may still wait for a writer, and would take what is meant for this one: another pipe.
	fifo = namedPipe(t)
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(fifo, []byte(line("a")), 0o600) }()
	if got := mustImport(t, nil, fifo); got.Taken != 1 || got.Faults != nil {
		t.Errorf("read %+v", got.Report)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestATakerThatFailsEndsTheImport(t *testing.T) {
	full := errors.New("no room")
	n := 0
	_, err := importAll(t, settings(t), &endless{text: line("a") + "\n", step: func() {}}, hooks{take: func() error {
		if n++; n == 3000 {
			return full
		}
		return nil
	}}, intake.Stdin)
	if !errors.Is(err, full) {
		t.Errorf("ended with %v", err)
	}
}

func TestAQuarantineThatFailsEndsTheImport(t *testing.T) {
	dir := t.TempDir()
	q := intake.NewQuarantine(filepath.Join(write(t, filepath.Join(dir, "file"), ""), "quarantine"), now)
	var mu sync.Mutex
	var rows []string
	takers := func() intake.Taker { return taker{&mu, &rows, nil} }
	for _, bad := range []string{"{}\n", "{}" + strings.Repeat(" ", 1<<20) + "x\n"} {
		_, err := intake.Import(context.Background(), []string{intake.Stdin}, &endless{text: bad, step: func() {}}, settings(t), q, takers, func(int64) {})
		if !errors.Is(err, syscall.ENOTDIR) || !strings.HasPrefix(err.Error(), "quarantine: ") {
			t.Errorf("ended with %v", err)
		}
	}
	if err := q.Close(); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Close: %v", err)
	}
}

// broken gives its text and then an error of reading, again and again.
type broken struct {
	r   io.Reader
	err error
}

func (b broken) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func TestAFileThatBreaksOffIsToldAndWhatCameBeforeStands(t *testing.T) {
	eio := &fs.PathError{Op: "read", Path: "x", Err: syscall.EIO}
	for name, test := range map[string]struct {
		text               string
		taken, quarantined int64
		reason             string
	}{
		"at once":               {"", 0, 0, ""},
		"in white space":        {" \n ", 0, 0, ""},
		"between lines":         {line("a") + "\n", 1, 0, ""},
		"within a line":         {line("a") + "\n{", 1, 1, "not JSON: "},
		"within a long record":  {line("a") + "\n{" + strings.Repeat(" ", 3<<20), 1, 1, "the rest of it can't be read: read x: input/output error"},
		"within a list":         {`{"Records":[` + cloudtrailRecord + "," + cloudtrailRecord, 2, 0, ""},
		"within a list's entry": {`{"Records":[` + cloudtrailRecord + "," + cloudtrailRecord[:40], 1, 1, "not JSON: "},
	} {
		t.Run(name, func(t *testing.T) {
			good := write(t, filepath.Join(t.TempDir(), "good.jsonl"), line("z"))
			got := mustImport(t, broken{strings.NewReader(test.text), eio}, intake.Stdin, good)
			if got.Taken != test.taken+1 || got.Quarantined != test.quarantined {
				t.Errorf("%d taken and %d quarantined, want %d and %d", got.Taken, got.Quarantined, test.taken+1, test.quarantined)
			}
			if f := got.faults(); len(f) != 1 || !strings.HasPrefix(f[0], "standard input: ") || !strings.Contains(f[0], "input/output error") {
				t.Errorf("faults %q", f)
			}
			for _, q := range got.index {
				if !strings.Contains(q.Reason, test.reason) {
					t.Errorf("reason %q", q.Reason)
				}
			}
		})
	}
}

const cloudtrailRecord = `{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::1:user/x"},"eventTime":"2026-03-10T09:30:00Z",` +
	`"eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","sourceIPAddress":"10.0.0.1","recipientAccountId":"1"}`

func TestAFileIsReadOnceHoweverOftenItIsNamed(t *testing.T) {
	dir := t.TempDir()
	anonymous := `{"time":"2026-03-10T09:30:00Z","action":"file-read"}`
	a := write(t, filepath.Join(dir, "in", "a.jsonl"), anonymous)
	for link, target := range map[string]string{"in/latest": "a.jsonl", "outside": "in", "in/sub/up": "../a.jsonl"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	got := mustImport(t, strings.NewReader(line("b")), a, "in", "./in/../in/a.jsonl", "outside", "in/latest", intake.Stdin, intake.Stdin)
	if got.Taken != 2 || got.Files != 2 || got.Faults != nil {
		t.Errorf("%+v", got.Report)
	}
	if size := intake.Sizes([]string{a, "in", a}, nil); size != int64(len(anonymous)) {
		t.Errorf("%d bytes to read", size)
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	secret := write(t, filepath.Join(dir, "outside.jsonl"), line("outside"))
	for _, name := range []string{"b.jsonl", "a/c.jsonl", "d.jsonl", ".hidden.jsonl", ".git/x.jsonl", "z.jsonl"} {
		write(t, filepath.Join(in, name), line(name))
	}
	for link, target := range map[string]string{"abs": secret, "rel": "../outside.jsonl", "dangling": "nowhere", "loop": "loop", "folder": "a"} {
		if err := os.Symlink(target, filepath.Join(in, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(in, "fifo"), 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	vanish := func(int64) { _ = os.Remove(filepath.Join(in, "z.jsonl")) } // it was found, and is gone when it is opened
	got, err := importAll(t, settings(t), nil, hooks{read: vanish}, in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a/c.jsonl", "b.jsonl", "d.jsonl"}, got.ids(t)); diff != "" {
		t.Error(diff)
	}
	link := func(why string) string {
		return "a symbolic link that is not followed (" + why + "): name what it leads to, to have that read"
	}
	if diff := cmp.Diff([]string{
		"abs: " + link("path escapes from parent"),
		"dangling: " + link("no such file or directory"),
		"fifo: neither a file nor a folder: name it itself to have it read",
		"folder: a symbolic link to a folder: name the folder itself to have it read",
		"loop: " + link("too many levels of symbolic links"),
		"rel: " + link("path escapes from parent"),
		"z.jsonl: no such file or directory",
	}, got.faults()); diff != "" {
		t.Error(diff)
	}
	if _, err := importAll(t, settings(t), nil, hooks{}, in, filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

func TestInvalidUTF8IsKeptWithoutItsSecrets(t *testing.T) {
	secret := "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	record := `{"id":"a","time":"2026-03-10T09:30:00Z","action":"file-read","actor_name":"J` + "\xf6" + `rg","object_name":"Jörg","token_last4": "tok\"en-$1-7890",` +
		`"info":{"secretAccessKey":"` + secret + `","note":"` + "\xff\x00" + `"}}`
	record = strings.ReplaceAll(record, "\x00", `\u0000`)
	got := importText(t, record)
	if got.Taken != 1 || got.Quarantined != 0 {
		t.Fatalf("%+v", got.Report)
	}
	e := parse(t, got.rows[0])
	if !e.HasFlag(event.FlagInvalidUTF8) || e.Get(event.ActorName) != "J\ufffdrg" || e.Get(event.ObjectName) != "Jörg" || e.Get(event.TokenLast4) != "7890" {
		t.Errorf("event %s", got.rows[0])
	}
	if strings.Contains(got.rows[0], secret) || strings.Contains(got.rows[0], "tok") && strings.Contains(got.rows[0], "en-$1") {
		t.Errorf("a secret in %s", got.rows[0])
	}
	raw := rawBytes(t, e)
	want := strings.Replace(record, `"tok\"en-$1-7890"`, `"7890"`, 1)
	before, after, _ := strings.Cut(want, secret)
	if !strings.HasPrefix(raw, before) || !strings.HasSuffix(raw, after) || strings.Contains(raw, secret) {
		t.Errorf("raw is %q", raw)
	}
	if n := len(raw) - len(before) - len(after); n != len(event.Redacted("12345678")) {
		t.Errorf("raw is %q", raw)
	}
}

func TestLoneSurrogatesAreKeptWithoutTheirSecrets(t *testing.T) {
	secret := "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	const record = `{"id":"s\ud800","time":"2026-03-10T09:30:00Z","action":"\uDC00 lone","actor_name":"\ud83d\ude00","tags":["\ud800"],"token_last4":"token-7890",` +
		`"x\ud800":1,"info":{"password":"secret","note":"\\ud800 \ud800"}}`
	got := importText(t, strings.Replace(record, "secret", secret, 1))
	if got.Taken != 1 || got.Quarantined != 0 {
		t.Fatalf("%+v", got.Report)
	}
	e := parse(t, got.rows[0])
	if !e.HasFlag(event.FlagInvalidUTF8) || e.Get(event.ID) != "s\ufffd" || e.Get(event.Action) != "\ufffd lone" || e.Get(event.ActorName) != "😀" || e.Get(event.TokenLast4) != "7890" {
		t.Errorf("event %s", got.rows[0])
	}
	if strings.Contains(got.rows[0], `"note":"\\ud800 \ud800"`) {
		t.Errorf("a strict reader does not take %s", got.rows[0])
	}
	raw := rawBytes(t, e)
	before, after, _ := strings.Cut(strings.Replace(record, "token-7890", "7890", 1), "secret")
	if !strings.HasPrefix(raw, before+"[redacted:") || !strings.HasSuffix(raw, "]"+after) {
		t.Errorf("raw is %q", raw)
	}
}

func TestTokenOfBrokenRecordIsCutUnderAnEscapedName(t *testing.T) {
	got := importText(t, `{"id":"\ud800","time":"2026-03-10T09:30:00Z","action":"a","t\u006fken\u005Flast4":"token-7890"}`)
	if e := parse(t, got.rows[0]); e.Get(event.TokenLast4) != "7890" || strings.Contains(rawBytes(t, e), "token-") {
		t.Errorf("%s in %s", rawBytes(t, e), got.rows[0])
	}
}

func TestEventsThatDifferByLoneSurrogatesAreNotTheSame(t *testing.T) {
	const cloudTrail = `{"eventTime":"2026-03-10T09:30:00Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","eventID":"s%"}`
	lookup := `{"CloudTrailEvent":` + string(event.AppendQuoted(nil, cloudTrail)) + `}`
	for name, record := range map[string]string{
		"id":            `{"id":"s%","time":"2026-03-10T09:30:00Z","action":"a"}`,
		"no id":         `{"time":"2026-03-10T09:30:00Z","action":"a","actor_id":"s%"}`,
		"unknown name":  `{"id":"a","time":"2026-03-10T09:30:00Z","action":"a","x%":1}`,
		"cloudtrail":    cloudTrail,
		"lookup":        strings.Replace(lookup, "%", `\%`, 1),
		"lookup, outer": lookup,
	} {
		got := importText(t, strings.Replace(record, "%", `\ud800`, 1)+"\n"+strings.Replace(record, "%", `\udc00`, 1))
		if got.Taken != 2 {
			t.Errorf("%s: %+v", name, got.Report)
			continue
		}
		var hashes [2][sha256.Size]byte
		for i, row := range got.rows {
			e := parse(t, row)
			if !e.HasFlag(event.FlagInvalidUTF8) {
				t.Errorf("%s: no flag in %s", name, row)
			}
			hashes[i] = e.ContentHash([]byte(row))
		}
		if hashes[0] == hashes[1] {
			t.Errorf("%s: taken for one event: %s", name, got.rows[0])
		}
	}
}

// heap is the most that was seen on the heap since the test began.
type heap struct {
	mu          sync.Mutex
	start, most uint64
}

func watchHeap() *heap {
	h := &heap{}
	runtime.GC()
	h.look()
	h.start, h.most = h.most, 0
	return h
}

func (h *heap) look() {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.most = max(h.most, sample[0].Value.Uint64())
}

func (h *heap) mustGrowLess(t *testing.T, than uint64) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.most > h.start+than {
		t.Errorf("the heap grew by %d bytes", h.most-h.start)
	}
}

func TestARecordOf100MBTakesNoMemory(t *testing.T) {
	effort.NeedsLong(t)
	for name, around := range map[string][2]string{
		"line": {line("a") + "\n" + `{"time":"2026-03-10T09:30:00Z","action":"x","info":"`, `"}` + "\n" + line("z")},
		"list": {`{"Records":[` + cloudtrailRecord + `,{"eventTime":"`, `"},` + cloudtrailRecord + "]}"},
	} {
		t.Run(name, func(t *testing.T) {
			h := watchHeap()
			const size = 100 << 20
			fill := io.LimitReader(&endless{text: strings.Repeat("long ", 100), step: h.look}, size)
			got := mustImport(t, io.MultiReader(strings.NewReader(around[0]), fill, strings.NewReader(around[1])), intake.Stdin)
			h.mustGrowLess(t, 24<<20) // a limit of 1 MiB, buffers and garbage
			if got.Taken != 2 || got.Quarantined != 1 || got.Faults != nil {
				t.Errorf("%+v", got.Report)
			}
			q := got.index[0]
			if q.Size < size || !strings.Contains(q.Reason, "longer than 1048576 bytes: raise limits.record") {
				t.Errorf("in quarantine: %+v", q)
			}
			if !bytes.HasSuffix(got.kept, []byte(`long long "}`)) {
				t.Errorf("it ends in %q", got.kept[len(got.kept)-20:])
			}
		})
	}
}

func TestManyBadLinesTakeNoMemory(t *testing.T) {
	effort.NeedsLong(t)
	const n = 50_000
	h := watchHeap()
	i := 0
	bad := readerFunc(func(p []byte) (int, error) {
		h.look()
		if i == n {
			return 0, io.EOF
		}
		i += 500
		return copy(p, strings.Repeat("{\"kind\": 0}\n", 500)), nil
	})
	got := mustImport(t, io.MultiReader(strings.NewReader(line("a")+"\n"), bad), intake.Stdin)
	h.mustGrowLess(t, 24<<20)
	if got.Taken != 1 || got.Quarantined != n || len(got.index) != n {
		t.Errorf("%d lines in the index, %+v", len(got.index), got.Report)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestNestingIsBounded(t *testing.T) {
	for _, c := range []string{"[", `{"a":`} {
		got := importText(t, line("a")+"\n"+`{"time":"2026-03-10T09:30:00Z","action":"x","info":`+strings.Repeat(c, 200_000)+"\n"+line("b"))
		if got.Taken != 2 || got.Quarantined != 1 || !strings.Contains(got.index[0].Reason, "nested deeper than") {
			t.Errorf("%q: %+v %.200v", c, got.Report, got.index)
		}
	}
}

// FuzzImport holds that no input stops an import, and that each record ends in one place.
func FuzzImport(f *testing.F) {
	for _, s := range []string{
		"", "\n", line("a"), line("a") + "\n{\"kind\": 0}\n" + line("b"), "{", "[]", `{"Records":[]}`, `{"Records":[` + cloudtrailRecord + "]}", cloudtrailRecord + "\n" + cloudtrailRecord,
		"\xff\xfe", "\x00\x00", line("\xff"), `{"time":"2026-03-10T09:30:00Z","action":"x","id":"` + strings.Repeat("y", 3000) + `"}`, gz(f, line("a")), gz(f, line("a"))[:30], zst(f, line("a")),
		gz(f, line("a")) + "junk", gz(f, line("a")) + gz(f, "{"), "PK\x03\x04", `{"awsAccountId":"1","digestStartTime":"x","digestEndTime":"y","digestS3Bucket":"z"}`,
		`{"Events":[{"CloudTrailEvent":"{}"}]}`, "{\"time\":\"0000-01-01T00:00:00Z\",\"action\":\"x\",\"ip\":\"\xff\"}",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, auto bool) {
		for _, from := range append(intake.Names(), intake.Auto) {
			if auto != (from == intake.Auto) {
				continue
			}
			how := settings(t)
			how.From, how.RecordLimit = from, 2000
			got, err := importAll(t, how, bytes.NewReader(data), hooks{}, intake.Stdin)
			if err != nil {
				t.Fatalf("--from %s: %v", from, err)
			}
			if got.Read != got.Taken+got.Quarantined || int(got.Taken) != len(got.rows) || int(got.Quarantined) != len(got.index) {
				t.Errorf("--from %s: %+v, %d rows, %d in quarantine", from, got.Report, len(got.rows), len(got.index))
			}
			for _, row := range got.rows {
				parse(t, row)
			}
			if n := len(bytes.TrimSpace(data)); n > 0 && got.Files+got.Skipped+int64(len(got.Faults)) == 0 {
				t.Errorf("--from %s: nothing is said of %d bytes", from, n)
			}
		}
	})
}
