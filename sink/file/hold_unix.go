//go:build unix && !solaris && !illumos && !aix

package file

import (
	"os"
	"syscall"
)

// hold marks f as used by this process until f is closed or the process ends, however it ends.
func hold(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}

// isHeld reports whether another open file holds f. One that cannot be told counts as held.
func isHeld(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}
