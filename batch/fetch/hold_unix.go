//go:build unix && !solaris && !illumos && !aix

package fetch

import (
	"os"
	"syscall"
)

// hold marks f as used by this process until f is closed or the process ends, and reports false where another one uses it.
func hold(f *os.File) bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }
