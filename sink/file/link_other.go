//go:build !linux

package file

import (
	"errors"
	"os"
)

// linkFile is known for Linux alone: elsewhere a file that is open can't be given a name below an os.Root.
func linkFile(*os.Root, *os.File, string) error { return errors.ErrUnsupported }
