package spool_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"daybook/batch/spool"
	"daybook/internal/effort"
)

// scattered are events from number from to number to, spread over the day.
func scattered(from, to, pad int) []spool.Item {
	var items []spool.Item
	for n := from; n < to; n++ {
		items = append(items, numbered(n, pad))
	}
	return items
}

// That an event is new is told by the filters of the tables, of the lowest level as well, and not by looking into them.
func TestFiltersTellWhatIsNew(t *testing.T) {
	s := prepared(t, vfs.NewMem(), "spool")
	defer s.Close()
	appendAll(t, s, scattered(0, 2000, 500)...)
	must(t, s.Compact())
	before := s.FilterHits()
	if n := appendAll(t, s, scattered(2000, 2500, 500)...); n != 500 {
		t.Fatalf("%d of 500 events were new", n)
	}
	// One in a hundred looks like one that is there.
	if hits := s.FilterHits() - before; hits < 450 {
		t.Errorf("filters told of %d in 500 that they are new", hits)
	}
	if n := appendAll(t, s, scattered(1900, 2600, 500)...); n != 100 {
		t.Errorf("%d of 100 events were new", n)
	}
}

// What is read to look for keys is kept in memory, however much of it the memtables may take.
func TestLookingUpReadsLittle(t *testing.T) {
	effort.NeedsLong(t)
	var reads atomic.Int64
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			reads.Add(1)
		}
		return nil
	}))
	s, err := spool.Open("spool", &spool.Options{FS: fs, MemTable: 64 << 20})
	must(t, err)
	defer s.Close()
	_, err = s.TrailID("audit")
	must(t, err)
	_, err = s.ClassID("standard")
	must(t, err)
	// Memtables begin small, and each is twice as large as the one before: the one of now is of 16 MiB or more.
	for n := range 20 {
		appendAll(t, s, scattered(200*n, 200*(n+1), 5000)...)
	}
	must(t, s.Compact())
	appendAll(t, s, scattered(4000, 4100, 10)...) // which reads filters for the first time
	before := reads.Load()
	appendAll(t, s, scattered(4100, 4600, 10)...)
	if n := reads.Load() - before; n > 50 {
		t.Errorf("%d reads to look for 500 keys", n)
	}
}

// Who only looks does not wait for who appends.
func TestLookingOnWaitsForNobody(t *testing.T) {
	var blocked atomic.Bool
	reading, goOn := make(chan struct{}, 1), make(chan struct{})
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if blocked.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			select {
			case reading <- struct{}{}:
			default:
			}
			<-goOn
		}
		return nil
	}))
	s := prepared(t, mem, "spool")
	appendAll(t, s, scattered(0, 100, 100)...)
	must(t, s.Compact())
	must(t, s.Close())
	s = prepared(t, fs, "spool") // it has read nothing yet of what it needs to look for a key
	defer s.Close()
	oldest, _ := s.Oldest(0)
	blocked.Store(true)
	appended := make(chan error, 1)
	go func() {
		_, err := s.Append(scattered(50, 101, 100))
		appended <- err
	}()
	<-reading
	if got, want := s.Totals(0), (spool.Totals{Accepted: 100, Pending: 100}); got != want {
		t.Errorf("Totals = %+v, want %+v", got, want)
	}
	if days := s.Days(); len(days) != 1 || days[0].Events != 100 || s.Pending(0, tenth) != 100 {
		t.Errorf("Days = %v", days)
	}
	if at, ok := s.Oldest(0); !ok || !at.Equal(oldest) {
		t.Errorf("Oldest = %v, want %v", at, oldest)
	}
	if name, ok := s.TrailName(0); name != "audit" || !ok {
		t.Errorf("TrailName = %q", name)
	}
	if _, err := s.Usage(); err != nil {
		t.Error(err)
	}
	close(goOn)
	must(t, <-appended)
	if got, want := s.Totals(0), (spool.Totals{Accepted: 151, Duplicates: 50, Pending: 101}); got != want {
		t.Errorf("Totals = %+v, want %+v", got, want)
	}
}
