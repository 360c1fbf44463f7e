//go:build !linux

package file

import (
	"errors"
	"os"
)

// renameExclusive fails: without hard links this system has no way to name a file that cannot replace another.
func renameExclusive(*os.Root, string, string) error {
	return errors.New("the file system has no hard links")
}
