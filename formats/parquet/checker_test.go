package parquet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	gotime "time"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/formatstest"
	"daybook/formats/parquet"
	"daybook/internal/effort"
)

// verify checks data against events, and returns what is found, nil if it is all there.
func verify(data []byte, f formats.File, events []event.Event) error {
	c := parquet.NewChecker(bytes.NewReader(data), int64(len(data)), f)
	for i := range events {
		if err := c.Check(&events[i]); err != nil {
			_ = c.Close() // the first error is what matters
			return err
		}
	}
	return c.Close()
}

// corpus is the events of testdata in the order of a file.
func corpus(t testing.TB) []event.Event {
	events := formatstest.Corpus(t)
	slices.SortStableFunc(events, func(a, b event.Event) int {
		if c := a.Time.Truncate(gotime.Microsecond).Compare(b.Time.Truncate(gotime.Microsecond)); c != 0 {
			return c
		}
		return strings.Compare(mended(a.Get(event.ID)), mended(b.Get(event.ID)))
	})
	return events
}

// manyPages has several pages and row groups, nulls that come and go, lists, and columns that outgrow their dictionaries.
func manyPages(n int) []event.Event {
	events := newGenerator().events(n)
	for i := range events {
		e := &events[i]
		e.Set(event.Corrects, fmt.Sprintf("%06d", 500_000-i))
		switch {
		case i < n*5/6:
			e.Unset(event.ProjectID)
			e.Set(event.Reason, "same")
			e.Tags = []string{fmt.Sprint(i % 11)}
		case i%3 == 0:
			e.Unset(event.ProjectID)
			e.Set(event.Reason, fmt.Sprintf("%0800d", i))
			e.Tags = []string{"t" + fmt.Sprint(i%7), "u", fmt.Sprintf("%01000d", i), fmt.Sprintf("%01001d", i)}
		}
		if i%5 == 0 {
			e.SetSourceSeq(uint64(i))
			e.Received = e.Time.Add(gotime.Second)
		}
	}
	return events
}

func TestCheckerTakesWhatTheEncoderWrites(t *testing.T) {
	dated := []event.Event{{Time: gotime.Date(1, 1, 1, 0, 0, 0, 1, gotime.UTC)}, {Time: gotime.Unix(-1, 999_999_999)}, {Time: gotime.Unix(0, 1999)}}
	options := []*parquet.Options{nil, {Level: 3}, {Level: 22}, {RowGroupRows: 1}, {RowGroupRows: 7}, {RowGroupBytes: 1}, {RowGroupBytes: 100_000}}
	files := []formats.File{acme, {Trail: "ä/b", Day: -1, Addendum: 3}}
	if !effort.Thorough() {
		t.Log("each set of options is tried with one of two files: make test tries both")
	}
	for name, events := range map[string][]event.Event{
		"none": nil, "corpus": corpus(t), "nasty": nasty(), "typical": formatstest.Typical(3000), "before 1970": dated, "conflicts": {dated[2], dated[2]},
	} {
		for i, o := range options {
			if len(events) == 3000 && o != nil && (o.RowGroupRows == 1 || o.RowGroupBytes == 1) {
				continue
			}
			if len(events) == 3000 && i > 1 && !effort.Long() && !effort.Thorough() {
				continue
			}
			for _, f := range files {
				if !effort.Thorough() && f != files[(i+len(events))%2] {
					continue
				}
				if err := verify(encode(t, f, o, events, 100), f, events); err != nil {
					t.Errorf("%s, options %d: %v", name, i, err)
				}
			}
		}
	}
	if !effort.Long() && !effort.Thorough() {
		t.Log("files of many pages, and 3,000 events with most options, are left to make unit")
		return
	}
	many := manyPages(42_000)
	for i, o := range []*parquet.Options{{RowGroupRows: 33_333}, nil} { // several pages in a row group, and row groups; then one row group
		if i > 0 && !effort.Thorough() {
			break
		}
		if err := verify(encode(t, acme, o, many, 1000), acme, many); err != nil {
			t.Errorf("many pages, options %d: %v", i, err)
		}
	}
}

func TestCheckerIsDoneOnce(t *testing.T) {
	events := nasty()
	data := encode(t, acme, nil, events, 100)
	c := parquet.NewChecker(bytes.NewReader(data), int64(len(data)), acme)
	for i := range events {
		if err := c.Check(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := c.Check(&events[0]); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a closed checker is asked for a row: %v", err)
	}
}

// columnOf names the column that shows a field.
var columnOf = map[event.Field]string{
	event.ID: "event_id", event.Source: "source", event.Org: "org", event.Type: "event_type", event.Action: "action", event.Outcome: "success",
	event.ErrorCode: "error_code", event.ErrorMessage: "error_message", event.Reason: "reason", event.Severity: "severity", event.ActorType: "actor_type",
	event.ActorID: "actor_id", event.ActorName: "actor_name", event.ActorEmail: "actor_email", event.ActorRole: "actor_role", event.IP: "ip_address",
	event.UserAgent: "user_agent", event.SessionID: "session_id", event.RequestID: "request_id", event.CredentialID: "credential_id",
	event.TokenLabel: "token_label", event.TokenLast4: "token_last4", event.ObjectType: "object_type", event.ObjectID: "object_id",
	event.ObjectName: "object_name", event.ProjectID: "project_id", event.ProjectName: "project_name", event.Provider: "provider",
	event.Region: "region", event.Info: "info", event.Changes: "changes", event.Corrects: "corrects", event.Raw: "raw",
}

// TestCheckerNamesTheColumnThatDiffers changes one column of one row after the other, and holds the file against the events as they were.
func TestCheckerNamesTheColumnThatDiffers(t *testing.T) {
	effort.NeedsLong(t)
	type change struct {
		column string
		set    func(e *event.Event)
	}
	changes := []change{
		{"event_time", func(e *event.Event) { e.Time = e.Time.Add(gotime.Microsecond) }},
		{"source_seq", func(e *event.Event) { e.SetSourceSeq(77) }},
		{"received_time", func(e *event.Event) { e.Received = at(1) }},
		{"received_time", func(e *event.Event) { e.Received = e.Time.Add(gotime.Microsecond) }},
		{"success", func(e *event.Event) { e.Set(event.Outcome, event.Failure) }},
		{"success", func(e *event.Event) { e.Set(event.Outcome, event.Unknown) }},
		{"org", func(e *event.Event) { e.Set(event.Org, e.Get(event.Org)+"\x00") }},
	}
	for _, l := range []struct {
		column string
		list   func(e *event.Event) *[]string
	}{{"tags", func(e *event.Event) *[]string { return &e.Tags }}, {"flags", func(e *event.Event) *[]string { return &e.Flags }}} {
		for _, set := range []func([]string) []string{
			func([]string) []string { return nil },
			func(list []string) []string { return list[:1] },
			func(list []string) []string { return append(slices.Clone(list), "more") },
			func(list []string) []string { return []string{list[1], list[0]} },
			func(list []string) []string { return []string{list[0], strings.ToUpper(list[1])} },
		} {
			changes = append(changes, change{l.column, func(e *event.Event) { *l.list(e) = set(*l.list(e)) }})
		}
	}
	for _, f := range event.Fields() {
		if columnOf[f] == "" {
			t.Fatalf("no column for %s", f)
		}
		if f != event.Outcome {
			changes = append(changes, change{columnOf[f], func(e *event.Event) { e.Set(f, e.Get(f)+"+") }})
		}
		if f != event.ID && f != event.Source && f != event.Org && f != event.Action {
			changes = append(changes, change{columnOf[f], func(e *event.Event) { e.Unset(f) }})
			if f != event.Outcome && f != event.TokenLast4 { // which Set leaves alone
				changes = append(changes, change{columnOf[f], func(e *event.Event) { e.Set(f, "") }})
			}
		}
	}
	base := func(unique bool) []event.Event {
		events := make([]event.Event, 60)
		for i := range events {
			e := &events[i]
			for _, f := range event.Fields() {
				if unique { // so that columns are plain
					e.Set(f, fmt.Sprintf("%s %06d", f, i))
				} else {
					e.Set(f, f.String())
				}
			}
			e.Set(event.TokenLast4, fmt.Sprintf("%04d", i))
			e.Time, e.Received = at(int64(10*i)), at(int64(10*i))
			e.Set(event.Outcome, event.Success)
			e.SetSourceSeq(uint64(i))
			e.Tags, e.Flags = []string{"a", "b"}, []string{"c", "d"}
		}
		return events
	}
	for _, unique := range []bool{false, true} {
		events := base(unique)
		data := encode(t, acme, nil, events, 25)
		if err := verify(data, acme, events); err != nil {
			t.Fatal(err)
		}
		for i, ch := range changes {
			row := (i * 37) % len(events)
			was := events[row]
			changed := was.Clone()
			ch.set(&changed)
			events[row] = changed
			// The file of the changed event against the event, and the file of the event against the changed one.
			backward := verify(data, acme, events)
			file := encode(t, acme, nil, events, 25)
			events[row] = was
			forward := verify(file, acme, events)
			for _, err := range []error{forward, backward} {
				var m *formats.Mismatch
				if !errors.As(err, &m) || m.Field != ch.column || m.Row != int64(row+1) || m.Want == m.Got {
					t.Errorf("change %d of %s in row %d: %v", i, ch.column, row+1, err)
				}
			}
		}
	}
	// The day is in every row.
	events := base(true)
	data := encode(t, formats.File{Trail: "acme", Class: "standard", Day: 1}, nil, events, 25)
	if err := verify(data, acme, events); !isMalformed(err) || !strings.Contains(err.Error(), "daybook.day") {
		t.Errorf("another day: %v", err)
	}
}

func isMalformed(err error) bool {
	var m *formats.Malformed
	return errors.As(err, &m)
}

func TestMismatchesAreCut(t *testing.T) {
	effort.NeedsLong(t)
	for _, size := range []int{1000, 5 << 20} {
		e := event.Event{Time: at(1)}
		e.Set(event.Raw, strings.Repeat("é", size/2))
		data := encode(t, acme, nil, []event.Event{e}, 1)
		if err := verify(data, acme, []event.Event{e}); err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"", strings.Repeat("é", size/2-2) + "ab", strings.Repeat("é", size/2-2) + "abcd"} {
			changed := e.Clone()
			changed.Set(event.Raw, other)
			err := verify(data, acme, []event.Event{changed})
			var m *formats.Mismatch
			if !errors.As(err, &m) || m.Field != "raw" || len(m.Want) > 80 || len(m.Got) > 80 || m.Want == m.Got {
				t.Errorf("%d bytes against %d: %v", size, len(other), err)
			}
		}
	}
}

func TestCheckerFindsRowsElsewhere(t *testing.T) {
	events := newGenerator().events(50)
	data := encode(t, acme, &parquet.Options{RowGroupRows: 20}, events, 100)
	swapped, doubled := slices.Clone(events), slices.Insert(slices.Clone(events), 7, events[7])
	swapped[3], swapped[4] = swapped[4], swapped[3]
	other := slices.Clone(events)
	for name, wanted := range map[string][]event.Event{
		"swapped": swapped, "doubled": doubled, "one missing": slices.Delete(slices.Clone(events), 30, 31), "last missing": events[:49],
		"row group missing": events[:40], "none": nil, "one more": append(other, events[49]),
	} {
		err := verify(data, acme, wanted)
		var m *formats.Mismatch
		switch {
		case name == "one more":
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &m) || m.Row < 1 || m.Row > 50:
			t.Errorf("%s: %v", name, err)
		}
	}
	// Where only a late row is checked, the mismatch says which.
	if err := verify(data, acme, slices.Delete(slices.Clone(events), 30, 31)); err == nil || !strings.Contains(err.Error(), "row 31:") {
		t.Errorf("the 31st row is missing: %v", err)
	}
}

func TestCheckerOfAnotherFile(t *testing.T) {
	events := nasty()
	file := formats.File{Trail: "acme", Class: "standard", Day: 20522, Addendum: 2}
	data := encode(t, file, nil, events, 100)
	for name, f := range map[string]formats.File{
		"trail": {Trail: "acm", Class: "standard", Day: 20522, Addendum: 2}, "class": {Trail: "acme", Class: "security", Day: 20522, Addendum: 2},
		"day": {Trail: "acme", Class: "standard", Day: 20523, Addendum: 2}, "seal": {Trail: "acme", Class: "standard", Day: 20522},
	} {
		if err := verify(data, f, events); !isMalformed(err) || !strings.Contains(err.Error(), "daybook."+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failingReader fails when a certain byte is read.
type failingReader struct {
	*bytes.Reader
	at int64
}

var errDisk = errors.New("the disk is gone")

func (r failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off <= r.at && r.at < off+int64(len(p)) {
		return 0, errDisk
	}
	return r.Reader.ReadAt(p, off)
}

func TestReadErrorsAreNotTheFilesFault(t *testing.T) {
	effort.NeedsLongOrThorough(t)
	events := newGenerator().events(20)
	events[3].Set(event.Raw, incompressible(5<<20))
	data := encode(t, acme, nil, events, 100)
	step := int64(stride(t) * (1 + len(data)/300))
	for at := int64(0); at < int64(len(data)); at += step {
		c := parquet.NewChecker(failingReader{bytes.NewReader(data), at}, int64(len(data)), acme)
		var err error
		for i := range events {
			if err = c.Check(&events[i]); err != nil {
				break
			}
		}
		if err == nil {
			err = c.Close()
		}
		if !errors.Is(err, errDisk) || isMalformed(err) {
			t.Errorf("byte %d cannot be read: %v", at, err)
		}
	}
}
