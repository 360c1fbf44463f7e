//go:build unix

package batch

import (
	"os"
	"syscall"
)

// tryLock takes the lock that the kernel lets go of when the process ends, however it ends.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
