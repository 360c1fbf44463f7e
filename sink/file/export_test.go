package file

import "os"

// SetBefore makes s call f ahead of each operation on the file system.
func (s *Store) SetBefore(f func(op, name string) error) { s.before = f }

// Hold is what keeps a temporary file from being taken for stale.
func Hold(f *os.File) error { return hold(f) }

// RenameExclusive is what stands in for hard links.
func RenameExclusive(root *os.Root, from, to string) error { return renameExclusive(root, from, to) }

// TempDir is the folder of temporary files.
const TempDir = tempDir
