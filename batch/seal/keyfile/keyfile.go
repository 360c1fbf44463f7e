// Package keyfile keeps secrets in files that are made once and never written again.
//
// Create is atomic: whoever opens the path sees no file or the whole of it, be it after a crash, be it while another process creates the same
// one; of two that race, one wins and the other gets fs.ErrExist. A crash may leave a file named like the key with ".tmp" and digits behind, readable by
// its owner only.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// MaxSize is how large a key file may be, in bytes.
const MaxSize = 64 << 10

// Permissions of what Create makes.
const (
	// Secret is for the owner's eyes.
	Secret fs.FileMode = 0o400
	// Public is for everybody's.
	Public fs.FileMode = 0o444

	dirMode fs.FileMode = 0o700
)

// ErrExposed says that a file that holds a secret can be read by every user of the machine.
var ErrExposed = errors.New("every user of this machine can read this secret")

// Create writes data to a new file with just these permissions, and has it on stable storage when it returns. Folders that are missing are
// made, for their owner only. If there is something at path, whatever it is, the error is fs.ErrExist.
func Create(path string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	// The link below would say so, too; but a key that is there needs no folder that can be written to.
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	// CreateTemp makes the file 0600, so that nobody else can open it before it has its permissions.
	tmp, err := os.CreateTemp(dir, filepath.Base(path)+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := os.Remove(tmp.Name()); err == nil {
			err = removeErr
		}
	}()
	if err := fill(tmp, data, mode); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	// A link, unlike a rename, never replaces what is there.
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func fill(f *os.File, data []byte, mode fs.FileMode) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be synced there
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// ReadSecret returns the content of a file that must not be readable by everybody (ErrExposed), and of at most MaxSize bytes.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s: %w (mode %04o): chmod 0400 it", path, ErrExposed, info.Mode().Perm())
	}
	return read(f, path, info)
}

// Read returns the content of a file of at most MaxSize bytes.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return read(f, path, info)
}

func read(r io.Reader, path string, info fs.FileInfo) ([]byte, error) {
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%s: larger than any key (%d bytes)", path, MaxSize)
	}
	return data, nil
}
