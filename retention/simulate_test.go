package retention_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"daybook/retention"
	"daybook/sink"
)

// laid is a history of so many days before now, each sealed on the next day, of one object of a GiB a day.
func laid(t *testing.T, class string, days int) (now time.Time, history []retention.Laid) {
	t.Helper()
	now = at(t, "2026-01-01T00:00:00Z")
	for n := days; n > 0; n-- {
		day := now.AddDate(0, 0, -n)
		history = append(history, retention.Laid{Class: class, Day: day, Sealed: day.AddDate(0, 0, 1), Objects: 1, Bytes: 1 << 30})
	}
	return now, history
}

func TestSimulate(t *testing.T) {
	policy := retention.Policy{Class: "a", Default: true, Mode: sink.Governance, HotDays: 30, WarmDays: 90, ColdYears: 1, WarmStorage: "W", ColdStorage: "C"}
	now, history := laid(t, "a", 10)
	p := retention.Policies{policy}.Simulate(history, retention.SimulateOptions{Years: 3, Window: 10, Now: now})
	if p.Days != 10 || !cmp.Equal(p.Rates, []retention.Rate{{Class: "a", Objects: 1, Bytes: 1 << 30}}) {
		t.Errorf("the rates: %+v", p)
	}
	// One a day: 30 are younger than 30 days, 60 between 30 and 90, and the rest of a year is cold; then as many go as come.
	gib := func(n int64) retention.Amount { return retention.Amount{Objects: n, Bytes: n << 30} }
	for i, y := range p.Years {
		if y.Hot != gib(30) || y.Warm != gib(60) || y.Cold.Objects < 274 || y.Cold.Objects > 276 {
			t.Errorf("year %d: hot %v, warm %v, cold %v", i+1, y.Hot, y.Warm, y.Cold)
		}
		want := int64(365)
		if i == 0 {
			want = 10 // those that were sealed before
		}
		if d := y.Removed.Objects - want; d < -1 || d > 1 {
			t.Errorf("year %d: %d removed, want %d", i+1, y.Removed.Objects, want)
		}
	}
	// Ten laid before and 365 put, all here or gone.
	y := p.Years[0]
	if sum := y.Hot.Objects + y.Warm.Objects + y.Cold.Objects + y.Removed.Objects; sum != 375 {
		t.Errorf("%d objects in all, want 375", sum)
	}
}

func TestSimulateCost(t *testing.T) {
	now, history := laid(t, "a", 1)
	rest := retention.Policies{{Class: "a", Default: true, HotDays: 15, ColdYears: 5, ColdStorage: "C"}}
	cost := func(prices retention.Prices) float64 {
		return rest.Simulate(history, retention.SimulateOptions{Years: 1, Window: 1, Now: now, Prices: prices}).Years[0].Cost
	}
	near := func(name string, got, want float64) {
		if math.Abs(got-want) > 0.02*want {
			t.Errorf("%s: %v, want about %v", name, got, want)
		}
	}
	near("hot: 15 GiB at the end of each month", cost(retention.Prices{Hot: 2}), 12*15*2)
	near("cold: all but the last 15 of each month's end", cost(retention.Prices{Cold: 1}), 31+59+90+120+151+181+212+243+273+304+334+365-12*14)
	near("put: one a day", cost(retention.Prices{Put: 1000}), 365)
	near("moved: all but the last 15", cost(retention.Prices{Move: 1000}), 351)
	if got := cost(retention.Prices{Warm: 1}); got != 0 {
		t.Errorf("warm: %v, and there is none", got)
	}
}

func TestSimulateKeepsWhatIsLocked(t *testing.T) {
	now, history := laid(t, "a", 1)
	count := func(policies retention.Policies, history []retention.Laid, o retention.SimulateOptions) (list []int64) {
		o.Years, o.Window, o.Now = 2, 1, now
		for _, y := range policies.Simulate(history, o).Years {
			list = append(list, y.Hot.Objects)
		}
		return list
	}
	short := retention.Policies{{Class: "a", Default: true, HotDays: 10}}
	for name, c := range map[string]struct {
		got, want []int64
	}{
		"removed at the end of the lock": {count(short, history, retention.SimulateOptions{}), []int64{10, 10}},
		"nothing is removed":             {count(short, history, retention.SimulateOptions{Keep: true}), []int64{366, 731}},
		"a class that has no policy":     {count(retention.Policies{{Class: "b", Default: true, HotDays: 10}}, history, retention.SimulateOptions{}), []int64{366, 731}},
		"a class without ages":           {count(retention.Policies{{Class: "a", Default: true}}, history, retention.SimulateOptions{}), []int64{366, 731}},
		"a recorded lock that is longer": {
			count(short, []retention.Laid{{Class: "a", Day: now, Sealed: now, Until: now.AddDate(0, 18, 0), Objects: 1}}, retention.SimulateOptions{}), []int64{11, 10},
		},
		"it doubles in a year": {count(short, history, retention.SimulateOptions{Growth: 1}), []int64{20, 30}},
		"manifests and notes": {
			count(short, []retention.Laid{{Day: now, Sealed: now, Objects: 2}}, retention.SimulateOptions{}), []int64{732, 1462},
		},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if p := short.Simulate(nil, retention.SimulateOptions{Years: 1, Window: 1, Now: now}); p != nil {
		t.Errorf("without history: %+v", p)
	}
}
