package file_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/sinktest"
)

func open(t *testing.T, dir string, opts *file.Options) *file.Store {
	t.Helper()
	s, err := file.New(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ready is open and Preflight.
func ready(t *testing.T, dir string) *file.Store {
	t.Helper()
	s := open(t, dir, nil)
	if err := s.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func object(key, body string) sink.Object {
	return sinktest.NewObject(key, []byte(body), sink.None, time.Time{}, 0)
}

// tree lists the files and folders below dir, folders with a slash.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))
		if d.IsDir() {
			name += "/"
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantTree(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := tree(t, dir); !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func hint(err error) string {
	var h *sink.HintError
	if errors.As(err, &h) {
		return h.Hint
	}
	return ""
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sink.Store {
		return open(t, filepath.Join(t.TempDir(), "audit"), nil)
	}, sinktest.Caps{Lists: true})
}

func TestPutLeavesOnlyReadOnlyFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "audit")
	var steps []int64
	s := open(t, dir, &file.Options{Progress: func(key string, written, size int64) {
		if key != "a/b/c.csv" || size != 3<<20 {
			t.Errorf("progress of %q: size %d", key, size)
		}
		steps = append(steps, written)
	}})
	if err := s.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), object("a/b/c.csv", strings.Repeat("abc", 1<<20))); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(steps, []int64{1 << 20, 2 << 20, 3 << 20}) {
		t.Errorf("progress %d", steps)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantTree(t, dir, "a/", "a/b/", "a/b/c.csv")
	umask := syscall.Umask(0)
	syscall.Umask(umask)
	for name, want := range map[string]fs.FileMode{"a": 0o755, "a/b": 0o755, "a/b/c.csv": 0o444} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if want &^= fs.FileMode(umask); info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
	// The store opens the folder again.
	if _, err := s.Head(t.Context(), "a/b/c.csv", ""); err != nil {
		t.Errorf("Head after Close: %v", err)
	}
}

func TestFolderIsNotMadeByPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not-mounted")
	s := open(t, dir, nil)
	_, putErr := s.Put(t.Context(), object("a", "x"))
	_, headErr := s.Head(t.Context(), "a", "")
	_, getErr := s.Get(t.Context(), "a", "")
	for _, err := range []error{putErr, headErr, getErr} {
		if !errors.Is(err, sink.ErrUnfit) || errors.Is(err, sink.ErrNotExist) || hint(err) == "" {
			t.Errorf("in a folder that is not there: %v", err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

func TestFolderIsAFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "below")} {
		if err := open(t, d, nil).Preflight(t.Context()); !errors.Is(err, sink.ErrUnfit) || hint(err) == "" {
			t.Errorf("Preflight of %s: %v, hint %q", d, err, hint(err))
		}
	}
}

func TestObstacles(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	s := ready(t, dir)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "folder.csv"), 0o755),
		os.WriteFile(filepath.Join(dir, "plain"), []byte("x"), 0o600),
		os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink(filepath.Join("..", filepath.Base(outside)), filepath.Join(dir, "relative-out")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link.csv")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling.csv")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling")),
		os.Symlink("plain", filepath.Join(dir, "inner.csv")),
		syscall.Mkfifo(filepath.Join(dir, "pipe.csv"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := tree(t, dir)
	for _, key := range []string{
		"folder.csv", "plain/a.csv", "plain/a/b.csv", "out/secret", "out/new.csv", "out/a/new.csv", "relative-out/secret", "link.csv",
		"dangling.csv", "inner.csv", "pipe.csv",
	} {
		if _, err := s.Put(t.Context(), object(key, "x")); err == nil {
			t.Errorf("Put(%q) succeeded", key)
		}
		if _, err := s.Head(t.Context(), key, ""); err == nil || errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Head(%q) = %v, want an error other than ErrNotExist", key, err)
		}
		if _, err := s.Get(t.Context(), key, ""); err == nil || errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Get(%q) = %v, want an error other than ErrNotExist", key, err)
		}
	}
	for _, key := range []string{"dangling/new.csv", file.TempDir + "/x", file.TempDir} {
		if _, err := s.Put(t.Context(), object(key, "x")); err == nil {
			t.Errorf("Put(%q) succeeded", key)
		}
	}
	for _, key := range []string{"folder.csv", "plain/a.csv", "link.csv", "inner.csv", "pipe.csv"} {
		if _, err := s.Put(t.Context(), object(key, "x")); !errors.Is(err, sink.ErrConflict) {
			t.Errorf("Put(%q) = %v, want ErrConflict", key, err)
		}
	}
	if got := tree(t, dir); !slices.Equal(got, before) {
		t.Errorf("the folder holds %q, held %q", got, before)
	}
	wantTree(t, outside, "secret")
}

func TestReadOnlyFolder(t *testing.T) {
	dir := readOnlyDir(t)
	s := open(t, dir, nil)
	if err := s.Preflight(t.Context()); !errors.Is(err, sink.ErrUnfit) || hint(err) == "" {
		t.Errorf("Preflight = %v, hint %q", err, hint(err))
	}
	if _, err := s.Put(t.Context(), object("a", "x")); err == nil || hint(err) == "" {
		t.Errorf("Put = %v, hint %q", err, hint(err))
	}
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, 1<<20)
	s := ready(t, dir)
	if _, err := s.Put(t.Context(), object("small", "x")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	_, err := s.Put(t.Context(), object("dt=2026-03-10/large", strings.Repeat("x", 2<<20)))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(hint(err), "room") || !strings.Contains(hint(err), "2097152 bytes") {
		t.Errorf("Put on a full disk = %v, hint %q", err, hint(err))
	}
	if got := tree(t, dir); !slices.Equal(got, before) {
		t.Errorf("left behind: %q, before %q", got, before)
	}
	if _, err := s.Put(t.Context(), object("dt=2026-03-10/fits", strings.Repeat("x", 500<<10))); err != nil {
		t.Errorf("Put of a file that fits: %v", err)
	}
}

func TestBodyThatChangesIsNotStored(t *testing.T) {
	dir := t.TempDir()
	s := ready(t, dir)
	o := object("a", "xxxxxxxxxx")
	o.Body = bytes.NewReader([]byte("xxxxxxxxxy"))
	if _, err := s.Put(t.Context(), o); err == nil {
		t.Error("Put succeeded")
	}
	wantTree(t, dir, file.TempDir+"/")
}

func TestPreflightRemovesStaleFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, file.TempDir), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stale.part", "held.part"} {
		if err := os.WriteFile(filepath.Join(dir, file.TempDir, name), []byte("half"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(filepath.Join(dir, file.TempDir, "held.part"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := file.Hold(held); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := open(t, dir, &file.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := s.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTree(t, dir, file.TempDir+"/", file.TempDir+"/held.part")
	if !strings.Contains(log.String(), "stale.part") {
		t.Errorf("log %q", log.String())
	}
}

// TestEveryFailure fails the n-th operation on the file system, for n = 1, 2, … until a Put succeeds, and then puts again.
func TestEveryFailure(t *testing.T) {
	failure := &fs.PathError{Op: "test", Path: "x", Err: syscall.EIO}
	const key, body = "a/b/c.csv", "the bytes"
	for n := 1; ; n++ {
		dir := t.TempDir()
		s := ready(t, dir)
		count, failed := 0, ""
		s.SetBefore(func(op, name string) error {
			if count++; count == n {
				failed = op
				return failure
			}
			return nil
		})
		info, err := s.Put(t.Context(), object(key, body))
		s.SetBefore(func(string, string) error { return nil })
		if failed == "" {
			if err != nil {
				t.Fatalf("no operation failed: %v", err)
			}
			if n < 10 {
				t.Errorf("only %d operations could fail", n-1)
			}
			return
		}
		content, readErr := os.ReadFile(filepath.Join(dir, key))
		switch {
		case readErr != nil && !errors.Is(readErr, fs.ErrNotExist):
			t.Fatal(readErr)
		case readErr == nil && string(content) != body:
			t.Errorf("step %d, %s: the key holds %q", n, failed, content)
		case err == nil && (readErr != nil || info.SHA256 != object(key, body).SHA256):
			t.Errorf("step %d, %s: success, but the file is not there", n, failed)
		case err == nil && failed != "remove":
			t.Errorf("step %d, %s: a failure passed as success", n, failed)
		case err != nil && (!errors.Is(err, syscall.EIO) || errors.Is(err, sink.ErrNotExist) || errors.Is(err, sink.ErrConflict)):
			t.Errorf("step %d, %s: %v", n, failed, err)
		}
		if left := tree(t, filepath.Join(dir, file.TempDir)); len(left) > 0 && failed != "remove" {
			t.Errorf("step %d, %s: left behind %q", n, failed, left)
		}
		again, err := s.Put(t.Context(), object(key, body))
		if err != nil || again.Existed != (readErr == nil) {
			t.Errorf("step %d, %s: again: existed %v, %v", n, failed, again.Existed, err)
		}
		if err := s.Preflight(t.Context()); err != nil {
			t.Error(err)
		}
		wantTree(t, dir, file.TempDir+"/", "a/", "a/b/", key)
	}
}

// TestOrder holds the order on which a crash relies: the file is synced before it has its name, and so are the folders; the name
// is synced before Put returns, also where another process gave it and may have crashed since.
func TestOrder(t *testing.T) {
	s := ready(t, t.TempDir())
	var ops []string
	s.SetBefore(func(op, name string) error {
		if strings.HasPrefix(name, file.TempDir) {
			name = "temp"
		}
		ops = append(ops, op+" "+name)
		return nil
	})
	if _, err := s.Put(t.Context(), object("a/b/c", "x")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"open a/b/c", "create temp", "write temp", "sync temp", "read temp", "mkdir a", "syncdir .", "mkdir a/b", "syncdir a", "link a/b/c",
		"syncdir a/b", "remove temp",
	}
	if !slices.Equal(ops, want) {
		t.Errorf("a new file: %q, want %q", ops, want)
	}
	ops = nil
	if _, err := s.Put(t.Context(), object("a/b/c", "x")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"open a/b/c", "sync a/b/c", "syncdir a/b"}; !slices.Equal(ops, want) {
		t.Errorf("a file that is there: %q, want %q", ops, want)
	}
}

func TestRemovedFolderIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := ready(t, dir)
	if _, err := s.Put(t.Context(), object("a/b/c", "x")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), object("a/b/d", "x")); err == nil {
		t.Error("Put into a folder that was removed meanwhile passed without an error")
	}
	if _, err := s.Put(t.Context(), object("a/b/d", "x")); err != nil {
		t.Errorf("the next Put: %v", err)
	}
}

func TestNoHardLinks(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, content := range map[string]string{"temp": "new", "taken": "old"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := file.RenameExclusive(root, "temp", "taken"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("rename onto a file = %v, want ErrExist", err)
	}
	if err := file.RenameExclusive(root, "temp", "d/free"); err != nil {
		t.Error(err)
	}
	wantTree(t, dir, "d/", "d/free", "taken")
	if got, _ := os.ReadFile(filepath.Join(dir, "taken")); string(got) != "old" {
		t.Errorf("taken holds %q", got)
	}
}
