package generate_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"daybook/event"
	"daybook/interop/generate"
)

func day(t *testing.T, o generate.Options) [][]byte {
	t.Helper()
	paths, err := generate.Day(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	var files [][]byte
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, b)
	}
	return files
}

func TestDayIsAsItSays(t *testing.T) {
	const events = 20_000
	files := day(t, generate.Options{Events: events})
	if len(files) != 4 {
		t.Fatalf("%d files", len(files))
	}
	var (
		whole    = bytes.Join(files, nil)
		lines    = bufio.NewScanner(bytes.NewReader(whole))
		byID     = map[string]string{}
		values   = map[string]map[string]bool{}
		n        int
		repeated int
		latest   time.Time
		disorder time.Duration
	)
	for lines.Scan() {
		n++
		var members map[string]json.RawMessage
		if err := json.Unmarshal(lines.Bytes(), &members); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		var id string
		var at time.Time
		for name, value := range members {
			switch name {
			case "id":
				_ = json.Unmarshal(value, &id)
			case "time":
				_ = json.Unmarshal(value, &at)
			default:
				if _, ok := event.FieldNamed(name); !ok {
					t.Fatalf("line %d: %s is no field of an event", n, name)
				}
			}
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][string(value)] = true
		}
		if at.Format(time.DateOnly) != "2026-03-10" {
			t.Errorf("line %d: %s", n, at)
		}
		if before, ok := byID[id]; ok {
			repeated++
			if before != lines.Text() {
				t.Errorf("line %d: a redelivery of %s with other bytes", n, id)
			}
		}
		byID[id] = lines.Text()
		disorder = max(disorder, latest.Sub(at))
		if at.After(latest) {
			latest = at
		}
	}
	if n != events {
		t.Errorf("%d lines, want %d", n, events)
	}
	if average := len(whole) / n; average < 650 || average > 750 {
		t.Errorf("%d bytes a line, want about 700", average)
	}
	if share := float64(repeated) / events; share < 0.008 || share > 0.012 {
		t.Errorf("%d of %d redelivered, want 1 %%", repeated, events)
	}
	if disorder < 5*time.Minute || disorder >= generate.Disorder {
		t.Errorf("out of order by %v at most, want more than 5 and less than 10 minutes", disorder)
	}
	for name, want := range map[string][2]int{
		"id": {events * 98 / 100, events}, "request_id": {events * 98 / 100, events}, "info": {events * 98 / 100, events},
		"actor_id": {1000, 2000}, "ip": {3000, 5000}, "user_agent": {200, 300}, "session_id": {7000, 20_000}, "object_id": {8000, events},
		"project_id": {100, 200}, "action": {20, 40}, "type": {5, 15}, "outcome": {2, 2}, "region": {4, 4},
	} {
		if got := len(values[name]); got < want[0] || got > want[1] {
			t.Errorf("%s: %d different values, want %d to %d", name, got, want[0], want[1])
		}
	}
}

func TestEqualOptionsGiveEqualBytes(t *testing.T) {
	o := generate.Options{Events: 3000, Files: 3, Seed: 7}
	a, b := day(t, o), day(t, o)
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			t.Errorf("file %d differs", i)
		}
	}
	o.Files = 1
	if one := day(t, o); !bytes.Equal(one[0], bytes.Join(a, nil)) {
		t.Error("one file has other events than three")
	}
	o.Seed = 8
	if other := day(t, o); bytes.Equal(other[0], bytes.Join(a, nil)) {
		t.Error("another seed gives the same day")
	}
}

func TestNameStandsForTheOptions(t *testing.T) {
	seen := map[string]generate.Options{}
	for _, o := range []generate.Options{{}, {Events: 1}, {Files: 1}, {Seed: 1}, {Day: 1}, {RepeatEvery: -1}} {
		name := o.Name()
		if other, ok := seen[name]; ok || filepath.Base(name) != name {
			t.Errorf("%+v and %+v are both %s", o, other, name)
		}
		seen[name] = o
	}
	if a, b := (generate.Options{}).Name(), (generate.Options{Events: 2_000_000, Files: 4, RepeatEvery: 100}).Name(); a != b {
		t.Errorf("%s and %s stand for the same day", a, b)
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	if _, err := generate.Day(filepath.Join(t.TempDir(), "absent"), generate.Options{Events: 10}); err == nil {
		t.Error("no error")
	}
}
