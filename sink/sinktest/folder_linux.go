package sinktest

import "syscall"

// roomy reports whether a file system has a GiB to spare.
func roomy(dir string) bool {
	var s syscall.Statfs_t
	return syscall.Statfs(dir, &s) == nil && s.Bavail*uint64(s.Bsize) >= 1<<30
}
