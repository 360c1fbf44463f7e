package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"daybook/batch/seal/keyfile"
)

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	path := filepath.Join(dir, "key")
	if err := keyfile.Create(path, []byte("one"), keyfile.Secret); err != nil {
		t.Fatal(err)
	}
	if err := keyfile.Create(path, []byte("two"), keyfile.Secret); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: %v, want fs.ErrExist", err)
	}
	if got, err := keyfile.ReadSecret(path); string(got) != "one" || err != nil {
		t.Errorf("ReadSecret = %q, %v", got, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want the key alone", entries, err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("no permissions to look at on Windows")
	}
	for p, want := range map[string]fs.FileMode{path: 0o400, dir: 0o700} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", filepath.Base(p), got, want)
		}
	}
}

func TestCreateDoesNotFollowLinks(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "key"), filepath.Join(dir, "elsewhere")
	if err := os.Symlink(target, path); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if err := keyfile.Create(path, []byte("x"), keyfile.Secret); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create through a dangling link: %v, want fs.ErrExist", err)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create wrote through a link: %v", err)
	}
}

func TestCreateRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	const racers = 16
	var (
		wg   sync.WaitGroup
		won  = make([]bool, racers)
		seen = make([]string, racers)
	)
	for i := range racers {
		wg.Go(func() {
			err := keyfile.Create(path, []byte(strconv.Itoa(i)), keyfile.Secret)
			won[i] = err == nil
			if err != nil && !errors.Is(err, fs.ErrExist) {
				t.Errorf("racer %d: %v", i, err)
			}
			data, err := keyfile.ReadSecret(path)
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
			seen[i] = string(data)
		})
	}
	wg.Wait()
	winner := -1
	for i, ok := range won {
		if ok && winner >= 0 {
			t.Fatalf("%d and %d both made the file", winner, i)
		}
		if ok {
			winner = i
		}
	}
	for i, s := range seen {
		if s != strconv.Itoa(winner) {
			t.Errorf("racer %d read %q, want the winner's, %d", i, s, winner)
		}
	}
}

func TestReadSecretRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := keyfile.ReadSecret(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v, want fs.ErrNotExist", err)
	}
	if _, err := keyfile.Read(dir); err == nil {
		t.Error("read a folder")
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, keyfile.MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.ReadSecret(big); err == nil {
		t.Error("read a file that is too large")
	}
	if runtime.GOOS == "windows" {
		t.Skip("no permissions on Windows")
	}
	if err := os.Chmod(big, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := keyfile.ReadSecret(big); !errors.Is(err, keyfile.ErrExposed) {
		t.Errorf("a secret for everybody: %v, want ErrExposed", err)
	}
}
