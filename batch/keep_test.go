package batch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/tlog"
	"daybook/batch/verify"
	"daybook/formats"
	"daybook/internal/effort"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// limited is a store whose writer may not lock for longer than a time from now.
type limited struct {
	*sinktest.Memory
	now func() time.Time
	max time.Duration // 0: no limit
}

func (l *limited) Put(ctx context.Context, o sink.Object) (sink.Info, error) {
	if l.max > 0 && o.Lock.RetainUntil.After(l.now().Add(l.max)) {
		return sink.Info{}, fmt.Errorf("%s: %w", o.Key, sinktest.ErrForbidden) // as AWS does
	}
	return l.Memory.Put(ctx, o)
}

func (l *limited) Lengthen(ctx context.Context, key, version string, want sink.Lock) (sink.Info, error) {
	if l.max > 0 && want.RetainUntil.After(l.now().Add(l.max)) {
		return sink.Info{}, fmt.Errorf("%s: %w: %w", key, sink.ErrLock, sinktest.ErrForbidden)
	}
	return l.Memory.Lengthen(ctx, key, version, want)
}

// The log's full tiles are needed by all that comes after them: rolls lengthen their locks, and ask for few of them each time.
func TestLocksOfTheLogAreLengthened(t *testing.T) {
	effort.NeedsLong(t)
	i := newInstallation(t)
	clock := now
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return clock }})
	writer := &limited{Memory: store, now: func() time.Time { return clock }}
	s := i.settings(writer)
	s.Now = func() time.Time { return clock }
	s.Trails[0].Formats = []formats.Format{formats.JSONL}
	var lines []string
	for d := range 260 {
		lines = append(lines, record("a"+time.Duration(d).String(), day(1).AddDate(0, 0, -d), ""))
	}
	mustExport(t, i, s, writeLines(t, lines...))
	longest := 24 * time.Hour
	check := func() (lengthened int) {
		t.Helper()
		lasting := 0
		for _, key := range store.Keys() {
			all := store.History(key)
			full := strings.HasPrefix(key, "log/tile/") && (!strings.Contains(key, ".p/") || strings.HasPrefix(key, "log/tile/1/"))
			if full {
				lasting++
				if all[0].Lock.RetainUntil.Before(clock.Add(longest)) || all[0].Lock.RetainUntil.After(clock.Add(longest+longest/8)) {
					t.Errorf("%s is locked until %v, at %v", key, all[0].Lock.RetainUntil, clock)
				}
			}
		}
		if lasting != 3 {
			t.Fatalf("%d full tiles and bundles: %q", lasting, store.Keys())
		}
		for _, op := range store.TakeLog() {
			if op.Name == "lengthen" {
				lengthened++
			}
		}
		return lengthened
	}
	if n := check(); n != 3 {
		t.Errorf("%d locks were lengthened by the first run", n)
	}
	roll := func(after time.Duration) int {
		t.Helper()
		clock = clock.Add(after)
		mustExport(t, i, s, writeLines(t, record("b"+clock.String(), day(2), "")))
		return check()
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{time.Minute, 0}, {time.Hour, 0}, {time.Hour, 3}, {time.Minute, 0}, {6 * time.Hour, 3}} {
		if n := roll(c.after); n != c.want {
			t.Errorf("after %v: %d locks were lengthened, want %d", c.after, n, c.want)
		}
	}
	i.loseData(t) // then each is looked at
	if n := roll(time.Minute); n != 3 {
		t.Errorf("without memory: %d locks were lengthened", n)
	}
	// What fails is told, and the next run goes on.
	store.FailKey("lengthen", "log/tile/0", sinktest.Fault{Err: sinktest.ErrUnavailable})
	clock = clock.Add(6 * time.Hour)
	if _, err := i.export(t, s, writeLines(t, record("c", day(2), ""))); err == nil || !strings.Contains(err.Error(), "could not be lengthened") {
		t.Errorf("a lock could not be lengthened: %v", err)
	}
	store.Heal()
	roll(time.Minute)
	// A writer that may lock for as long as the longest class, and no longer, does that.
	writer.max = longest
	if n := roll(6 * time.Hour); n != 3 {
		t.Errorf("with a limit: %d locks were lengthened", n)
	}
	if _, head, _, err := tlog.ReadHolds(t.Context(), store); err != nil || head.Size < 260 {
		t.Errorf("%d leaves, %v", head.Size, err)
	}
}

// A writer whose policy was not made anew after an extension can't lock the log for as long: it seals all the same, and that is told until the policy is.
func TestLogThatCanNotBeLockedForAsLong(t *testing.T) {
	i := newInstallation(t)
	clock := now
	store := sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Compliance, Now: func() time.Time { return clock }})
	s := i.settings(store)
	s.Now = func() time.Time { return clock }
	mustExport(t, i, s, writeLines(t, records("x", 8, 5)...))
	until := now.Add(72 * time.Hour)
	if _, err := i.extend(s, extension(8, 8, until)); err != nil {
		t.Fatal(err)
	}
	writer := &limited{Memory: store, now: func() time.Time { return clock }, max: 24*time.Hour + time.Minute}
	s.Store = writer
	verified := func(want ...string) {
		t.Helper()
		report, err := verify.Run(t.Context(), store, &verify.Options{Keys: []seal.PublicKey{i.key.Public()}, Now: s.Now})
		if err != nil || report.ExitCode() != 0 {
			t.Fatalf("verify: %+v, %v", report, err)
		}
		var got []string
		for _, f := range report.Findings {
			if f.Code == "log-lock-short" {
				got = append(got, f.Expected+"; "+f.Found)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("verify (-want +got):\n%s", diff)
		}
	}
	status := func() *batch.ShortLock {
		t.Helper()
		st, err := batch.ReadStatus(s)
		if err != nil {
			t.Fatal(err)
		}
		return st.LogLock
	}
	verified()
	for day := 9; day < 11; day++ {
		clock = clock.Add(time.Hour)
		r := mustExport(t, i, s, writeLines(t, records("x", day, 5)...))
		short := r.LogLock
		if len(r.Days) != 1 || short == nil || !short.Wanted.Equal(until) || short.Until.Before(clock.Add(24*time.Hour)) || short.Days != 4 || !strings.Contains(short.Hint(), "--max-days 4") {
			t.Fatalf("sealed %+v, the log's lock %+v", r.Days, short)
		}
		if diff := cmp.Diff(short, status()); diff != "" {
			t.Errorf("the status (-want +got):\n%s", diff)
		}
		verified(fmt.Sprintf("locked until %s, as files are; COMPLIANCE until %s", until.Format(time.RFC3339), short.Until.Format(time.RFC3339)))
	}
	writer.max = 0 // its policy was made anew
	if r := mustExport(t, i, s, writeLines(t, records("x", 11, 5)...)); r.LogLock != nil || status() != nil {
		t.Errorf("once it may: %+v, %+v", r.LogLock, status())
	}
	verified()
}
