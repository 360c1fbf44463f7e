package file_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"daybook/sink"
	"daybook/sink/file"
)

func finalObject(t *testing.T, dir string, body []byte) (sink.Object, *os.File) {
	t.Helper()
	path := filepath.Join(dir, "staged")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return sink.Object{Key: "a/b.csv", Size: int64(len(body)), SHA256: sha256.Sum256(body), Body: f, Final: true}, f
}

func TestAFinalFileIsTakenInsteadOfCopied(t *testing.T) {
	for name, allowed := range map[string]bool{"taken": true, "copied": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			store, err := file.New(filepath.Join(dir, "store"), nil)
			if err != nil {
				t.Fatal(err)
			}
			store.SetBefore(func(op, _ string) error {
				if op == "take" && !allowed {
					return errors.New("another file system")
				}
				return nil
			})
			if err := store.Preflight(t.Context()); err != nil {
				t.Fatal(err)
			}
			body := bytes.Repeat([]byte("row\n"), 1000)
			o, f := finalObject(t, dir, body)
			for _, existed := range []bool{false, true} {
				info, err := store.Put(t.Context(), o)
				if err != nil || info.Existed != existed {
					t.Fatalf("%+v, %v", info, err)
				}
			}
			got, err := os.Stat(filepath.Join(dir, "store", "a", "b.csv"))
			if err != nil {
				t.Fatal(err)
			}
			staged, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if os.SameFile(got, staged) != allowed || got.Mode().Perm() != 0o444 {
				t.Errorf("same file %v, mode %v", os.SameFile(got, staged), got.Mode())
			}
			if err := os.Remove(f.Name()); err != nil {
				t.Fatal(err)
			}
			r, err := store.Get(t.Context(), o.Key, "")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if content, err := io.ReadAll(r); err != nil || !bytes.Equal(content, body) {
				t.Errorf("%d bytes, %v", len(content), err)
			}
			if left, err := os.ReadDir(filepath.Join(dir, "store", file.TempDir)); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func TestAFinalFileWithOtherBytesIsRefused(t *testing.T) {
	dir := t.TempDir()
	store, err := file.New(filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, _ := finalObject(t, dir, []byte("these"))
	o.SHA256 = sha256.Sum256([]byte("those"))
	if _, err := store.Put(t.Context(), o); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(filepath.Join(dir, "store", "a", "b.csv")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
}
