package spool_test

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"daybook/batch/spool"
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
