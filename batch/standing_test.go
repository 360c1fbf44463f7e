package batch_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/event"
	"daybook/internal/effort"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/sinktest"
)

func (i *installation) take(t *testing.T, s batch.Settings, lines ...string) {
	t.Helper()
	i.takeAs(t, s, i.reading(t), lines...)
}

func (i *installation) takeAs(t *testing.T, s batch.Settings, how intake.Settings, lines ...string) *batch.Report {
	t.Helper()
	r, err := batch.Import(t.Context(), s, []string{writeLines(t, lines...)}, nil, how, newQuarantine(s))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (i *installation) roll(t *testing.T, s batch.Settings, only *event.Day) (*batch.Report, error) {
	t.Helper()
	r, err := batch.Open(t.Context(), s)
	if err != nil {
		return nil, err
	}
	report, err := r.Roll(t.Context(), only, time.Hour)
	return report, errors.Join(err, r.Close())
}

func mustRoll(t *testing.T, i *installation, s batch.Settings) *batch.Report {
	t.Helper()
	report, err := i.roll(t, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func at(s batch.Settings, moment time.Time) batch.Settings {
	s.AsOf = moment
	return s
}

func TestRollSealsWhatIsDue(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	ninth, tenth := records("x", 9, 10), records("x", 10, 10)
	i.take(t, at(s, day(10).Add(12*time.Hour)), slices.Concat(ninth, tenth[:4])...)
	i.take(t, at(s, day(10).Add(13*time.Hour)), slices.Concat(ninth[:3], tenth[2:])...) // five of them again

	r := mustRoll(t, i, at(s, day(10).Add(14*time.Hour)))
	if diff := cmp.Diff([]string{"2026-03-09 sealed 10", "2026-03-10 open 0"}, outcomes(r)); diff != "" || r.Pending != 10 {
		t.Errorf("pending %d: %s", r.Pending, diff)
	}
	m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Counts.Duplicates != 5 || m.Counts.Read != 15 {
		t.Errorf("the manifest has %d duplicates, %d read", m.Counts.Duplicates, m.Counts.Read)
	}
	// Two days later: the tenth, the empty eleventh, and what came late for the ninth.
	late := records("late", 9, 3)
	i.take(t, at(s, day(12).Add(2*time.Hour)), append(late, ninth[0])...)
	r = mustRoll(t, i, at(s, day(12).Add(3*time.Hour)))
	if diff := cmp.Diff([]string{"2026-03-09 addendum 3", "2026-03-10 sealed 10", "2026-03-11 sealed 0"}, outcomes(r)); diff != "" {
		t.Error(diff)
	}
	if r = mustRoll(t, i, at(s, day(12).Add(4*time.Hour))); len(r.Days) != 0 {
		t.Errorf("a second roll did %v", outcomes(r))
	}
	mustHold(t, store, i, ids(slices.Concat(ninth, tenth, late)...))
	if empty := store.Bytes("csv/class=standard/trail=audit/dt=2026-03-11/audit-2026-03-11.0001.csv.gz"); !strings.HasPrefix(string(unpack(t, "x.gz", empty)), "Timestamp,IP Address,") {
		t.Error("the empty day has no file with a header")
	}
}

func TestRollOfOneDay(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := at(i.settings(store), day(10).Add(12*time.Hour))
	i.take(t, s, slices.Concat(records("x", 8, 5), records("x", 9, 5), records("x", 10, 5))...)
	ninth, tenth := event.DayOf(day(9)), event.DayOf(day(10))
	r, err := i.roll(t, s, &ninth)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(r); got[0] != "2026-03-09 sealed 5" || r.Pending != 10 {
		t.Errorf("got %v, %d pending", got, r.Pending)
	}
	_, err = i.roll(t, s, &tenth)
	var hint *sink.HintError
	if !errors.Is(err, batch.ErrNotClosed) || !errors.As(err, &hint) || !strings.Contains(hint.Hint, "2026-03-11T01:00:00Z") {
		t.Errorf("got %v", err)
	}
}

// TestEveryStepOfARollMayFail fails each operation of the store in turn; what was taken in is sealed once all the same.
func TestEveryStepOfARollMayFail(t *testing.T) {
	lines := slices.Concat(records("x", 9, 6), records("x", 10, 6))
	for turn, persisted := range []bool{false, true} {
		for n := 1; ; n++ {
			if !effort.Thorough() && n < 40 && n%2 != turn {
				continue
			}
			i, store := newInstallation(t), memory(t)
			s := at(i.settings(store), day(11).Add(2*time.Hour))
			s.Trails[0].Formats = nil
			i.take(t, s, lines...)
			store.FailStep(n, sinktest.Fault{Err: sinktest.ErrUnavailable, Persisted: persisted})
			_, err := i.roll(t, s, nil)
			steps := len(store.TakeLog())
			store.Heal()
			if err != nil && !errors.Is(err, sinktest.ErrUnavailable) {
				t.Fatalf("step %d: %v", n, err)
			}
			mustRoll(t, i, s)
			mustHold(t, store, i, ids(lines...))
			if t.Failed() {
				t.Fatalf("step %d, persisted %v", n, persisted)
			}
			if steps < n { // a step that fails to find what is not there fails nothing
				break
			}
		}
	}
}

func TestAClassThatIsGoneIsAskedFor(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := at(i.settings(store), day(11).Add(2*time.Hour))
	class := s.Policies[0]
	access := class
	access.Class, access.EventTypes = "access", []string{"authentication.*"}
	s.Policies = retention.Policies{access, class}
	i.take(t, s, `{"id":"a","time":"2026-03-10T09:00:00Z","action":"login","type":"authentication.login"}`)
	s.Policies = retention.Policies{class}
	_, err := i.roll(t, s, nil)
	var hint *sink.HintError
	if !errors.As(err, &hint) || !strings.Contains(err.Error(), `"access"`) {
		t.Errorf("got %v", err)
	}
	s.Policies = retention.Policies{class, access} // in another order
	mustRoll(t, i, s)
	if m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", 1))); err != nil || m.Files[0].Class != "access" {
		t.Errorf("%v, %+v", err, m)
	}
}

func TestStatus(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := at(i.settings(store), day(10).Add(12*time.Hour))
	if _, err := batch.ReadStatus(s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a data folder: %v", err)
	}
	i.take(t, s, append(slices.Concat(records("x", 8, 5), records("x", 10, 3)), "no JSON")...)
	eighth := event.DayOf(day(8))
	if _, err := i.roll(t, s, &eighth); err != nil {
		t.Fatal(err)
	}
	i.take(t, s, append(records("late", 8, 2), "no JSON either")...)
	got, err := batch.ReadStatus(s)
	if err != nil {
		t.Fatal(err)
	}
	trail := got.Trails[0]
	if trail.Seals != 1 || trail.Last == nil || trail.Last.Events != 5 || trail.Since.String() != "2026-03-10" || got.Quarantined != 1 || trail.Unfinished != nil {
		t.Errorf("got %+v, %d quarantined", trail, got.Quarantined)
	}
	want := []batch.PendingDay{{Day: seal.Date{Day: eighth}, Events: 2, Due: true}, {Day: seal.Date{Day: event.DayOf(day(10))}, Events: 3}}
	if diff := cmp.Diff(want, trail.Pending); diff != "" {
		t.Error(diff)
	}
}

func TestOpenDaysAreToldInOrder(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := at(i.settings(store), day(10).Add(12*time.Hour))
	var lines, want []string
	for n := 10; n < 20; n++ {
		lines = append(lines, record(fmt.Sprint("a", n), day(n), ""))
		want = append(want, fmt.Sprintf("2026-03-%d open 0", n))
	}
	i.take(t, s, lines...)
	if diff := cmp.Diff(want, outcomes(mustRoll(t, i, s))); diff != "" {
		t.Error(diff)
	}
}
