//go:build !windows && (!unix || solaris || illumos || aix)

package witness

import (
	"errors"
	"fmt"
	"os"
)

// takeLock refuses: without a lock that ends with its process two witnesses could contradict each other.
func takeLock(path string) (*os.File, error) {
	return nil, fmt.Errorf("%s: file locks: %w on this system", path, errors.ErrUnsupported)
}
