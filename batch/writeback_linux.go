package batch

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback has the kernel begin to write n bytes of a file from an offset to its disk, without waiting for it, so that a sync finds little left to do. It promises nothing, and a
// file system that does not know it does as before.
func startWriteback(f *os.File, offset, n int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), offset, n, unix.SYNC_FILE_RANGE_WRITE)
	})
}
