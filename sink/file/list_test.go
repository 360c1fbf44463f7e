package file_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/file"
	"daybook/sink/sinktest"
)

// TestListTellsWhatPutDidNotMake finds everything that somebody may have left in a folder, follows no link, and reads none of it.
func TestListTellsWhatPutDidNotMake(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := ready(t, dir)
	if _, err := s.Put(t.Context(), object("a/b.csv", "sealed")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.MkdirAll(filepath.Join(outside, "deep"), 0o755),
		os.WriteFile(filepath.Join(outside, "deep", "secret"), []byte("x"), 0o600),
		os.MkdirAll(filepath.Join(dir, "empty", "folders"), 0o755),
		os.MkdirAll(filepath.Join(dir, file.TempDir), 0o755),
		os.WriteFile(filepath.Join(dir, file.TempDir, "left.part"), []byte("x"), 0o600),
		os.MkdirAll(filepath.Join(dir, "a", file.TempDir), 0o755),
		os.WriteFile(filepath.Join(dir, "a", file.TempDir, "hidden"), []byte("x"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "out")),
		os.Symlink("a", filepath.Join(dir, "inner")),
		os.Symlink("..", filepath.Join(dir, "a", "loop")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling")),
		os.Symlink(filepath.Join(outside, "deep", "secret"), filepath.Join(dir, "a", "link.csv")),
		syscall.Mkfifo(filepath.Join(dir, "pipe.csv"), 0o600),
		os.WriteFile(filepath.Join(dir, "back\\slash"), []byte("xx"), 0o600),
		os.WriteFile(filepath.Join(dir, "new\nline"), []byte("xxx"), 0o600),
		os.WriteFile(filepath.Join(dir, "not-utf8-\xff"), []byte("xxxx"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	temporary := []sink.Entry{{Key: file.TempDir + "/left.part", Size: 1, Latest: true}}
	want := []sink.Entry{
		{Key: "a/" + file.TempDir + "/hidden", Size: 1, Latest: true},
		{Key: "a/b.csv", Size: 6, Latest: true},
		{Key: "a/link.csv", Size: -1, Latest: true},
		{Key: "a/loop", Size: -1, Latest: true},
		{Key: "back\\slash", Size: 2, Latest: true},
		{Key: "dangling", Size: -1, Latest: true},
		{Key: "inner", Size: -1, Latest: true},
		{Key: "new\nline", Size: 3, Latest: true},
		{Key: "not-utf8-\xff", Size: 4, Latest: true},
		{Key: "out", Size: -1, Latest: true},
		{Key: "pipe.csv", Size: -1, Latest: true},
	}
	got := sinktest.Collect(t, s.List(t.Context(), ""))
	for i, e := range got {
		seen, err := os.Lstat(filepath.Join(dir, e.Key))
		if err != nil || !e.Modified.Equal(seen.ModTime()) {
			t.Errorf("%q: modified at %s, %v", e.Key, e.Modified, err)
		}
		got[i].Modified = want[0].Modified
		if e.Key == "a/b.csv" || e.Size >= 0 && sink.CheckKey(e.Key) == nil {
			continue
		}
		if _, err := s.Head(t.Context(), e.Key, ""); err == nil || errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Head(%q) = %v, want an error other than ErrNotExist", e.Key, err)
		}
		if _, err := s.Get(t.Context(), e.Key, ""); err == nil || errors.Is(err, sink.ErrNotExist) {
			t.Errorf("Get(%q) = %v, want an error other than ErrNotExist", e.Key, err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	for _, prefix := range []string{"out/", "inner/", "a/loop/", "out/deep/secret", file.TempDir + "/", "../", outside} {
		if all := sinktest.Collect(t, s.List(t.Context(), prefix)); len(all) != 0 {
			t.Errorf("List(%q) = %+v", prefix, all)
		}
	}
	// What List leaves out is told apart, and what is in other folders of that name is not.
	apart := sinktest.Collect(t, s.Temporary(t.Context()))
	for i := range apart {
		apart[i].Modified = temporary[0].Modified
	}
	if diff := cmp.Diff(temporary, apart); diff != "" {
		t.Errorf("Temporary (-want +got):\n%s", diff)
	}
	if all := sinktest.Collect(t, ready(t, t.TempDir()).Temporary(t.Context())); len(all) != 0 {
		t.Errorf("Temporary of an empty folder = %+v", all)
	}
	if all := sinktest.Collect(t, s.List(t.Context(), "ou")); len(all) != 1 || all[0].Key != "out" {
		t.Errorf("List of a part of a name = %+v", all)
	}
}

func TestListOfManyNames(t *testing.T) {
	effort.NeedsThorough(t)
	dir := t.TempDir()
	s := ready(t, dir)
	var want []string
	for _, a := range strings.Fields("b a c a.b a-b") {
		if err := os.Mkdir(filepath.Join(dir, a), 0o755); err != nil {
			t.Fatal(err)
		}
		for n := range 1500 {
			name := strings.Repeat("x", n%7) + string(rune('a'+n%26)) + strings.Repeat("0", n%3) + string(rune(0x4e00+n))
			if err := os.WriteFile(filepath.Join(dir, a, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			want = append(want, a+"/"+name)
		}
	}
	slices.Sort(want)
	var got []string
	for _, e := range sinktest.Collect(t, s.List(t.Context(), "")) {
		got = append(got, e.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
}

func TestListFails(t *testing.T) {
	missing := open(t, filepath.Join(t.TempDir(), "not-mounted"), nil)
	for e, err := range missing.List(t.Context(), "") {
		if !errors.Is(err, sink.ErrUnfit) || errors.Is(err, sink.ErrNotExist) || hint(err) == "" {
			t.Errorf("List of a folder that is not there: %+v, %v", e, err)
		}
	}

	dir := t.TempDir()
	s := ready(t, dir)
	for _, key := range []string{"a/1", "b/2", "c/3"} {
		if _, err := s.Put(t.Context(), object(key, "x")); err != nil {
			t.Fatal(err)
		}
	}
	// A folder that cannot be read is no empty folder.
	s.SetBefore(func(op, name string) error {
		if op == "readdir" && name == "b/" {
			return &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
		}
		return nil
	})
	var keys []string
	var last error
	for e, err := range s.List(t.Context(), "") {
		if last = err; err == nil {
			keys = append(keys, e.Key)
		}
	}
	if !slices.Equal(keys, []string{"a/1"}) || !errors.Is(last, fs.ErrPermission) || !strings.HasPrefix(hint(last), "let the user that runs daybook read ") {
		t.Errorf("List = %q, %v", keys, last)
	}
	// What is gone when its turn comes is left out; a link put in a folder's place is not followed.
	outside := t.TempDir()
	for name, swap := range map[string]func() error{
		"gone": func() error { return os.RemoveAll(filepath.Join(dir, "b")) },
		"link": func() error {
			return errors.Join(os.WriteFile(filepath.Join(outside, "2"), nil, 0o600), os.Symlink(outside, filepath.Join(dir, "b")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(filepath.Join(dir, "b")); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, "b"), 0o755); err != nil {
				t.Fatal(err)
			}
			s.SetBefore(func(op, dirName string) error {
				if op == "readdir" && dirName == "b/" {
					return errors.Join(os.RemoveAll(filepath.Join(dir, "b")), swap())
				}
				return nil
			})
			keys, last = nil, nil
			for e, err := range s.List(t.Context(), "") {
				if last = err; err == nil {
					keys = append(keys, e.Key)
				}
			}
			if name == "gone" && (last != nil || !slices.Equal(keys, []string{"a/1", "c/3"})) || name == "link" && (last == nil || !slices.Equal(keys, []string{"a/1"})) {
				t.Errorf("List = %q, %v", keys, last)
			}
		})
	}
}
