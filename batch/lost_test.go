package batch_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/sink"
)

// refuses does all that opens the spool of a data folder, each of which must fail alike.
func (i *installation) refuses(t *testing.T, s batch.Settings, what string) {
	t.Helper()
	refused := func(how string, err error) {
		t.Helper()
		hint, ok := errors.AsType[*sink.HintError](err)
		if !errors.Is(err, batch.ErrSpoolLost) || !ok || !strings.Contains(err.Error(), filepath.Join(s.Data, "spool")) || !strings.Contains(hint.Hint, "daybook restore") {
			t.Errorf("%s: %s: %v", what, how, err)
		}
	}
	_, err := batch.Import(t.Context(), s, []string{writeLines(t, records("more", 10, 1)...)}, nil, i.reading(t), newQuarantine(s))
	refused("import", err)
	_, err = i.roll(t, s, nil)
	refused("roll", err)
	_, err = batch.ReadStatus(s)
	refused("status", err)
	standing, err := batch.OpenStanding(s, 1<<20, batch.Admission{})
	refused("serve", err)
	if err == nil {
		_ = standing.Close()
	}
}

// A spool that is not there, is empty or another one is not begun anew, be the data folder one of before there were IDs.
func TestALostSpoolIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	i, store := newInstallation(t), memory(t)
	s := at(i.settings(store), day(10).Add(12*time.Hour))
	s.Now = func() time.Time { return s.AsOf }
	i.take(t, s, records("x", 10, 7)...)
	spool, away, id := filepath.Join(s.Data, "spool"), filepath.Join(i.dir, "away"), filepath.Join(s.Data, "spool.id")
	known, err := os.ReadFile(id)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Rename(spool, away))
	for _, name := range []string{"with an ID", "of before"} {
		if name == "of before" {
			must(os.Remove(id))
		}
		i.refuses(t, s, name+", missing")
		if _, err := os.Stat(spool); err == nil {
			t.Fatalf("%s: a spool was made", name)
		}
		must(os.Mkdir(spool, 0o700))
		i.refuses(t, s, name+", empty")
		must(os.Remove(spool))
	}
	// There it is again, and gets its ID.
	must(os.Rename(away, spool))
	if st, err := batch.ReadStatus(s); err != nil || st.Trails[0].Waiting != 7 && st.Trails[0].Pending[0].Events != 7 {
		t.Fatalf("%+v, %v", st, err)
	}
	if again, err := os.ReadFile(id); err != nil || string(again) != string(known) {
		t.Errorf("the ID is %q, %v; it was %q", again, err, known)
	}
	if _, err := batch.GiveUpSpool(s.Data, s.AsOf); err == nil {
		t.Error("a spool that is there was given up")
	}
	// Another's.
	twin := i.twin(t)
	other := at(twin.settings(store), s.AsOf)
	twin.take(t, other, records("y", 10, 3)...)
	must(os.Rename(spool, away))
	must(os.Rename(filepath.Join(other.Data, "spool"), spool))
	i.refuses(t, s, "another one")
	if _, err := batch.GiveUpSpool(s.Data, s.AsOf); err == nil {
		t.Error("another spool was given up")
	}
}

// Once a spool was given up an empty one is begun, and the seals of the days that were not sealed declare what may be missing.
func TestGiveUpASpool(t *testing.T) {
	t.Parallel()
	i, store := newInstallation(t), memory(t)
	s := at(i.settings(store), day(10).Add(12*time.Hour))
	i.take(t, s, append(records("x", 9, 4), records("x", 10, 7)...)...)
	mustRoll(t, i, s)
	if err := os.Rename(filepath.Join(s.Data, "spool"), filepath.Join(i.dir, "away")); err != nil {
		t.Fatal(err)
	}
	loss, err := batch.GiveUpSpool(s.Data, day(11).Add(6*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.GiveUpSpool(s.Data, day(11).Add(7*time.Hour)); err == nil {
		t.Error("it was given up twice")
	}
	s = at(s, day(12).Add(12*time.Hour))
	s.Gaps = []seal.Gap{{From: day(11).Add(2 * time.Hour), To: day(11).Add(3 * time.Hour), Reason: "moved"}}
	i.take(t, s, records("z", 11, 2)...)
	mustRoll(t, i, s)
	for n, want := range map[uint64][]string{
		1: nil,
		2: {"00:00-00:00 lost"},
		3: {"00:00-02:00 lost", "02:00-03:00 moved", "03:00-06:00 lost"},
	} {
		m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", n)))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range m.Gaps {
			reason := g.Reason
			if strings.Contains(reason, "the spool was given up as lost at 2026-03-11T06:00:00Z") {
				reason = "lost"
			}
			got = append(got, g.From.Format("15:04-")+g.To.Format("15:04 ")+reason)
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("seal %d of %v declares %q, want %q", n, m.Day, got, want)
		}
	}
	st, err := batch.ReadStatus(s)
	if err != nil || len(st.Lost) != 1 || !st.Lost[0].At.Equal(loss.At) || loss.Spool == "" {
		t.Errorf("status tells %+v, %v", st, err)
	}
	if err := os.Rename(filepath.Join(s.Data, "spool"), filepath.Join(i.dir, "away too")); err != nil {
		t.Fatal(err)
	}
	i.refuses(t, s, "the next one")
}

// A data folder that only export works with has no spool, and needs none.
func TestExportNeedsNoSpool(t *testing.T) {
	t.Parallel()
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	mustExport(t, i, s, writeLines(t, records("x", 9, 3)...))
	if _, err := batch.ReadStatus(s); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"spool", "spool.id"} {
		if _, err := os.Stat(filepath.Join(s.Data, name)); err == nil {
			t.Errorf("there is %s", name)
		}
	}
	i.take(t, s, records("y", 10, 3)...)
	mustExport(t, i, s, writeLines(t, records("z", 9, 3)...))
}
