package file

import (
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// renameExclusive moves from to to, unless something has that name already (fs.ErrExist).
func renameExclusive(root *os.Root, from, to string) (err error) {
	fromDir, err := root.Open(path.Dir(from))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fromDir.Close()) }()
	toDir, err := root.Open(path.Dir(to))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, toDir.Close()) }()
	err = unix.Renameat2(int(fromDir.Fd()), path.Base(from), int(toDir.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "renameat2", Old: from, New: to, Err: err}
	}
	return nil
}
