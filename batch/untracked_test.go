package batch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/event"
)

// TestUntrackedIsBounded counts more names, and longer ones, than are kept.
func TestUntrackedIsBounded(t *testing.T) {
	var c batch.UntrackedCount
	add := func(org string, n int) {
		var e event.Event
		e.Set(event.Org, org)
		for range n {
			c.Add(&e)
		}
	}
	if got := c.Commonest(); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	add("often", 3)
	add(strings.Repeat("ä", 100), 2)
	for i := range 5000 {
		add(fmt.Sprintf("org-%04d", i), 1)
	}
	add("too late", 9)
	got := c.Commonest()
	want := batch.Untracked{{Org: "often", Events: 3}, {Org: strings.Repeat("ä", 64), Events: 2}, {Org: "org-0000", Events: 1}}
	if diff := cmp.Diff(want, got[:3]); diff != "" || len(got) != 10 {
		t.Errorf("%d names, (-want +got):\n%s", len(got), diff)
	}
	sum := got.With(batch.Untracked{{Org: "org-0001", Project: "p", Events: 7}, {Org: "often", Events: 1}})
	if diff := cmp.Diff(batch.Untracked{{Org: "org-0001", Project: "p", Events: 7}, {Org: "often", Events: 4}}, sum[:2]); diff != "" {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
}
