package batch_test

import (
	"bytes"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/batch"
	"daybook/batch/seal"
	"daybook/batch/verify"
	"daybook/retention"
	"daybook/sink"
	"daybook/sink/sinktest"
)

// tiered are two policies, of which the longer has the weaker mode.
var tiered = retention.Policies{
	{Class: "standard", Default: true, Mode: sink.Governance, HotDays: 30, ColdYears: 3},
	{Class: "access", EventTypes: []string{"authentication.*"}, Mode: sink.Compliance, HotDays: 2},
}

// Each data file is locked as its policy says, and whatever else is in the store as long as the longest and as strongly as the strongest.
func TestLocksFollowThePolicies(t *testing.T) {
	clock := time.Date(2028, 2, 29, 12, 0, 0, 5, time.UTC)
	i, store := newInstallation(t), sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Governance, Now: func() time.Time { return clock }})
	s := i.settings(store)
	s.Policies, s.Now = tiered, func() time.Time { return clock }
	login := `{"id":"login","time":"2026-03-10T23:00:00Z","type":"authentication.login","action":"login"}`
	how := i.reading(t)
	how.AsOf = clock
	if _, err := i.exportAs(t, s, how, writeLines(t, append(records("x", 10, 3), login)...)); err != nil {
		t.Fatal(err)
	}
	control := sink.Lock{Mode: sink.Compliance, RetainUntil: time.Date(2031, 3, 1, 12, 0, 1, 0, time.UTC)}
	want := map[string]sink.Lock{
		"class=standard": {Mode: sink.Governance, RetainUntil: time.Date(2031, 3, 1, 12, 0, 0, 0, time.UTC)},
		"class=access":   {Mode: sink.Compliance, RetainUntil: time.Date(2028, 3, 2, 12, 0, 0, 0, time.UTC)},
	}
	kinds := map[string]int{}
	for _, key := range store.Keys() {
		kind, class, _ := strings.Cut(key, "/")
		class, _, _ = strings.Cut(class, "/")
		lock, isFile := want[class]
		if !isFile {
			lock = control
			kinds[kind]++
		} else {
			kinds[class]++
		}
		if got := store.History(key)[0].Lock; got != lock {
			t.Errorf("%s is locked %v, want %v", key, got, lock)
		}
	}
	for _, kind := range []string{"class=standard", "class=access", "seals", "log", "keys"} {
		if kinds[kind] == 0 {
			t.Errorf("there is nothing of %s: %v", kind, kinds)
		}
	}
}

// A day without events is of the default class, wherever that stands.
func TestADayWithoutEventsIsOfTheDefaultClass(t *testing.T) {
	i, store := newInstallation(t), memory(t)
	s := i.settings(store)
	s.Policies = retention.Policies{{Class: "rest", Default: true, Mode: sink.Compliance, HotDays: 1}, {Class: "access", EventTypes: []string{"authentication.*"}, Mode: sink.Compliance, HotDays: 1}}
	i.take(t, at(s, day(10).Add(12*time.Hour)), `{"id":"a","time":"2026-03-10T09:00:00Z","action":"login","type":"authentication.login"}`)
	mustRoll(t, i, at(s, day(12).Add(2*time.Hour)))
	for n, want := range []string{"access", "rest"} {
		m, err := seal.ParseManifest(store.Bytes(seal.ManifestKey("audit", uint64(n)+1)))
		if err != nil || m.Files[0].Class != want {
			t.Errorf("seal %d: %v, %+v", n+1, err, m)
		}
	}
}

func TestHistory(t *testing.T) {
	i, store := newInstallation(t), sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Governance, Now: func() time.Time { return now }})
	s := i.settings(store)
	s.Policies = tiered
	lines := append(records("x", 10, 3),
		`{"id":"login","time":"2026-03-11T23:00:00Z","type":"authentication.login","action":"login"}`,
		`{"id":"other","time":"2026-03-11T23:00:01Z","type":"api.read","action":"s3:GetObject"}`,
		`{"id":"again","time":"2026-03-11T23:00:02Z","type":"api.read","action":"s3:GetObject"}`)
	mustExport(t, i, s, writeLines(t, lines...))

	laid := func(history iter.Seq2[batch.Recorded, error]) (all []retention.Laid) {
		for r, err := range history {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r.Laid()...)
		}
		return all
	}
	ofStore := batch.StoreHistory(t.Context(), store, "audit")
	got := laid(ofStore)
	if diff := cmp.Diff(got, laid(batch.LedgerHistory(s.Data, "audit"))); diff != "" {
		t.Errorf("the store (-) and the data folder (+) differ:\n%s", diff)
	}
	want := map[string]retention.Laid{}
	for _, key := range store.Keys() {
		class, day := "", ""
		switch parts := strings.Split(key, "/"); {
		case strings.HasPrefix(parts[1], "class="):
			class, day = strings.TrimPrefix(parts[1], "class="), strings.TrimPrefix(parts[3], "dt=")
		case parts[0] == "seals":
			day = "2026-03-1" + strings.Trim(parts[2], "0")
			day = strings.NewReplacer("-11", "-10", "-12", "-11").Replace(day) // seal 1 is of the 10th
		default:
			continue
		}
		l := want[class+day]
		l.Objects, l.Bytes = l.Objects+1, l.Bytes+int64(len(store.Bytes(key)))
		want[class+day] = l
	}
	for _, l := range got {
		key := l.Class + l.Day.Format(time.DateOnly)
		if w := want[key]; w.Objects != l.Objects || w.Bytes != l.Bytes || !l.Sealed.Equal(now) {
			t.Errorf("%s: %+v, the store has %+v", key, l, w)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}

	// Only the newest day is looked at, and evidence that is gone is left out.
	seen, err := batch.Types(t.Context(), store, ofStore, 1)
	types := []retention.Seen{{Type: "api.read", Action: "s3:GetObject", Events: 2}, {Type: "authentication.login", Action: "login", Events: 1}}
	if diff := cmp.Diff(types, seen); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, key := range store.Keys() {
		if strings.HasPrefix(key, "jsonl/class=access/") {
			store.Erase(key)
		}
	}
	if seen, err = batch.Types(t.Context(), store, ofStore, 1); err != nil || !cmp.Equal(seen, types[:1]) {
		t.Errorf("with evidence gone: %v, %v", seen, err)
	}
	for _, days := range []int{2, 100} {
		if seen, err = batch.Types(t.Context(), store, ofStore, days); err != nil || len(seen) != 2 || seen[1].Events+seen[0].Events != 5 {
			t.Errorf("%d days: %v, %v", days, seen, err)
		}
	}

	// Evidence that was altered is an error, as is a manifest that is none.
	store.FailKey("get", seal.ManifestKey("audit", 2), sinktest.Fault{Err: sinktest.ErrTimeout})
	if _, err := batch.Types(t.Context(), store, ofStore, 1); !errors.Is(err, sinktest.ErrTimeout) {
		t.Errorf("a store that fails: %v", err)
	}
	store.Heal()
	store.Replace(seal.ManifestKey("audit", 1), []byte("{}"))
	if _, err := batch.Project(tiered, ofStore, retention.SimulateOptions{Years: 1, Window: 1, Now: now}); !errors.Is(err, seal.ErrManifest) {
		t.Errorf("a manifest that is none: %v", err)
	}
	if got := laid(batch.LedgerHistory(t.TempDir(), "audit")); got != nil {
		t.Errorf("a data folder that knows nothing: %v", got)
	}
}

// A store whose classes are raised to compliance goes on sealing. Its key was put in governance mode, which servers keep, until there is a new one.
func TestModeIsRaised(t *testing.T) {
	i, store := newInstallation(t), sinktest.NewMemory(t, &sinktest.Options{Mode: sink.Governance, Now: func() time.Time { return now }})
	s := i.settings(store)
	var log bytes.Buffer
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	key := seal.KeyKey(i.key.ID())
	for n, mode := range []sink.Mode{sink.Governance, sink.Compliance, sink.Compliance} {
		s.Policies = retention.Policies{{Class: "standard", Default: true, Mode: mode, HotDays: 2 + n}}
		mustExport(t, i, s, writeLines(t, records(strings.Repeat("x", n+1), 10+n, 3)...))
		lock := sink.Lock{Mode: sink.Governance, RetainUntil: now.AddDate(0, 0, 2+n)}
		if got := store.History(key)[0].Lock; got.Mode != lock.Mode || got.RetainUntil.Before(lock.RetainUntil) {
			t.Errorf("seal %d: the key is locked %v, want %v", n+1, got, lock)
		}
		if got := store.History(seal.ManifestKey("audit", uint64(n)+1))[0].Lock.Mode; got != mode {
			t.Errorf("seal %d: the manifest is locked in mode %s, want %s", n+1, got, mode)
		}
		if told := strings.Contains(log.String(), "daybook key rotate"); told != (n > 0) {
			t.Errorf("seal %d: told: %v, %s", n+1, told, &log)
		}
	}
	report, err := verify.Run(t.Context(), store, &verify.Options{Keys: []seal.PublicKey{i.key.Public()}, Now: func() time.Time { return now }})
	if err != nil || report.Exit != 0 || !slices.ContainsFunc(report.Findings, func(f verify.Finding) bool { return f.Code == "key-governance-lock" && f.Key == key }) {
		t.Errorf("%v: %+v", err, report)
	}
}
