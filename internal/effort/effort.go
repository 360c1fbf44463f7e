// Package effort says how much tests try. Plain go test tries enough to tell, in less than a minute, whether something is broken; make unit runs what takes longer, too, and
// make thorough tries every way there is, and leaves out what make unit runs and would be no other.
package effort

import (
	"os"
	"testing"
)

// EnvLong and EnvThorough are what make unit and make thorough set, to anything. Who sets both gets all there is.
const (
	EnvLong     = "DAYBOOK_TEST_LONG"
	EnvThorough = "DAYBOOK_TEST_THOROUGH"
)

// Thorough reports whether every way there is has to be tried, where some do otherwise.
func Thorough() bool { return os.Getenv(EnvThorough) != "" }

// Long reports whether what takes seconds is to be tried.
func Long() bool { return os.Getenv(EnvLong) != "" }

// NeedsLong skips a test that takes seconds, and tries the same each time.
func NeedsLong(t testing.TB) {
	t.Helper()
	if !Long() {
		t.Skipf("SKIPPED: takes long; make unit runs it, and so does %s=1", EnvLong)
	}
}

// NeedsLongOrThorough skips a test that takes seconds, and tries more where every way has to be tried.
func NeedsLongOrThorough(t testing.TB) {
	t.Helper()
	if !Long() && !Thorough() {
		t.Skipf("SKIPPED: takes long; make unit and make thorough run it, and so do %s=1 and %s=1", EnvLong, EnvThorough)
	}
}

// NeedsThorough skips a test for which most of what it tries is tried by others, too.
func NeedsThorough(t testing.TB) {
	t.Helper()
	if !Thorough() {
		t.Skipf("SKIPPED: tries every way there is; make thorough runs it, and so does %s=1", EnvThorough)
	}
}
