package cloudtrail_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"daybook/event"
	"daybook/formats/cloudtrail"
)

// TestRealFiles reads everything that there is. What can't be read is known one by one: records that the authors of rules wrote without a time, or
// with one that has no zone, and a file that was broken on purpose.
func TestRealFiles(t *testing.T) {
	type counts struct{ events, bad int }
	got := map[string]counts{}
	for name, data := range files(t, shared(t, "cloudtrail")) {
		group, _, _ := strings.Cut(name, "/")
		all, err := decode(data)
		if broken := strings.HasSuffix(name, "cloudgrep-bad_cloudtrail.json"); broken != errors.Is(err, io.ErrUnexpectedEOF) || !broken && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if head := data[:min(len(data), 64<<10)]; !cloudtrail.Detect(head) || cloudtrail.IsDigest(head) {
			t.Errorf("%s is not detected", name)
		}
		c := got[group]
		for _, d := range all {
			if d.err != nil {
				c.bad++
				if !strings.HasPrefix(name, "panther") && !strings.Contains(name, "cloudgrep-bad") {
					t.Errorf("%s: %v", name, d.err)
				}
				if !strings.Contains(d.err.Error(), "eventTime") && !strings.Contains(d.err.Error(), "no eventSource") && group != "misc" {
					t.Errorf("%s: %v", name, d.err)
				}
				continue
			}
			c.events++
		}
		got[group] = c
	}
	want := map[string]counts{
		"invictus-20230710":            {events: 2122},
		"flaws-2020-umccr":             {events: 185},
		"stratus-red-team":             {events: 202},
		"misc":                         {events: 155, bad: 1},
		"panther-AWS.CloudTrail.jsonl": {events: 206, bad: 91},
	}
	for group, w := range want {
		if got[group] != w {
			t.Errorf("%s: %+v, want %+v", group, got[group], w)
		}
	}
}

// TestReusedEventID holds what data/README says: one eventID stands for two different records.
func TestReusedEventID(t *testing.T) {
	rows := map[string]map[string]bool{}
	for _, data := range files(t, shared(t, "cloudtrail/flaws-2020-umccr")) {
		all, err := decode(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			id := d.event.Get(event.ID)
			if rows[id] == nil {
				rows[id] = map[string]bool{}
			}
			rows[id][string(d.event.AppendJSON(nil))] = true
		}
	}
	several := 0
	for _, r := range rows {
		if len(r) > 1 {
			several++
		}
	}
	if several != 1 {
		t.Errorf("%d event ids stand for several records, want 1", several)
	}
}
