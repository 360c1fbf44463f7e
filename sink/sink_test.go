package sink_test

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/sink"
)

func TestCheckKey(t *testing.T) {
	for _, key := range []string{
		"a",
		"csv/class=standard/trail=acme/dt=2026-03-10/acme-2026-03-10.0001.csv.gz",
		"seals/acme/00000042/SHA256SUMS.note",
		"csv/project=__HIVE_DEFAULT_PARTITION__/x",
		"a%2Fb/..c/.d/e..",
		"größe/日",
		strings.Repeat("a/", 511) + "aa",
	} {
		if err := sink.CheckKey(key); err != nil {
			t.Errorf("CheckKey(%q) = %v, want nil", key, err)
		}
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "a\\b", "a\x00b", "a\nb", "a\x7fb", "a\xffb",
		strings.Repeat("a/", 512) + "a", strings.Repeat("a", 256),
	} {
		if err := sink.CheckKey(key); err == nil {
			t.Errorf("CheckKey(%q) = nil, want an error", key)
		}
	}
}

// FuzzCheckKey holds that no key that is allowed leads anywhere but below where it starts.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"a/b", "../a", "a/..", "/a", "a//b", "a\\..\\b", "C:/a", "a%2F..", "\xff"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if sink.CheckKey(key) != nil {
			return
		}
		if !filepath.IsLocal(key) || path.Clean(key) != key || len(key) > sink.MaxKey {
			t.Errorf("CheckKey(%q) = nil", key)
		}
		if err := sink.CheckKey("prefix/" + key); err != nil && len("prefix/"+key) <= sink.MaxKey {
			t.Errorf("below a prefix: %v", err)
		}
	})
}

func TestParseMode(t *testing.T) {
	for in, want := range map[string]sink.Mode{
		"": sink.None, "none": sink.None, "None": sink.None,
		"governance": sink.Governance, "GOVERNANCE": sink.Governance,
		"compliance": sink.Compliance, "Compliance": sink.Compliance, "COMPLIANCE": sink.Compliance,
	} {
		if got, err := sink.ParseMode(in); got != want || err != nil {
			t.Errorf("ParseMode(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	if _, err := sink.ParseMode("legal"); err == nil {
		t.Error("ParseMode(legal) succeeded")
	}
}

func TestLockCovers(t *testing.T) {
	day := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	none := sink.Lock{}
	gov := sink.Lock{Mode: sink.Governance, RetainUntil: day}
	com := sink.Lock{Mode: sink.Compliance, RetainUntil: day}
	later := sink.Lock{Mode: sink.Compliance, RetainUntil: day.Add(time.Second)}
	for _, c := range []struct {
		name      string
		has, want sink.Lock
		covers    bool
	}{
		{"nothing asked", none, none, true},
		{"more than asked", com, none, true},
		{"no lock", none, gov, false},
		{"equal", com, com, true},
		{"compliance for governance", com, gov, true},
		{"governance for compliance", gov, com, false},
		{"a second short", com, later, false},
		{"a second over", later, com, true},
	} {
		if got := c.has.Covers(c.want); got != c.covers {
			t.Errorf("%s: Covers = %v, want %v", c.name, got, c.covers)
		}
	}
}

func TestHintErrorUnwraps(t *testing.T) {
	err := error(&sink.HintError{Err: sink.ErrUnfit, Hint: "make one"})
	if !errors.Is(err, sink.ErrUnfit) || err.Error() != sink.ErrUnfit.Error() {
		t.Errorf("HintError does not stand for what it wraps: %v", err)
	}
}
