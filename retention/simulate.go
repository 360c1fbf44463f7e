package retention

import (
	"slices"
	"strings"
	"time"
)

// Laid is what a seal laid down of a class: so many objects, of so many bytes, of a day. The class is blank for the manifest and the note.
type Laid struct {
	Class string
	// Day is the day that it is of, its first instant; Sealed is when it was sealed, and Until when its recorded lock ends, zero where there is none.
	Day, Sealed, Until time.Time
	Objects, Bytes     int64
}

// Prices are what storage costs: a GiB for a month in each tier, and a thousand objects put, or moved to another tier. In any currency; 0 is not known.
type Prices struct {
	Hot  float64 `json:"hot"`
	Warm float64 `json:"warm"`
	Cold float64 `json:"cold"`
	Put  float64 `json:"put"`
	Move float64 `json:"move"`
}

// SimulateOptions say what is projected.
type SimulateOptions struct {
	// Years is how many years are looked ahead, 1 to 100.
	Years int
	// Window is how many of the newest days the rate is taken from.
	Window int
	// Growth is by how much what comes a day grows in a year: 0.1 is a tenth.
	Growth float64
	// Keep has nothing removed when its lock ends, as in a bucket without rules that expire.
	Keep   bool
	Prices Prices
	Now    time.Time
}

// Rate is what a day lays down of a class.
type Rate struct {
	Class   string  `json:"class"` // blank: manifests and notes
	Objects float64 `json:"objects"`
	Bytes   float64 `json:"bytes"`
}

// Amount is objects, and their bytes.
type Amount struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// Year is how things stand at the end of a year, and what it cost.
type Year struct {
	Year int       `json:"year"` // 1 is the year that begins now
	End  time.Time `json:"end"`
	Hot  Amount    `json:"hot"`
	Warm Amount    `json:"warm"`
	Cold Amount    `json:"cold"`
	// Removed is what was removed in this year.
	Removed Amount  `json:"removed"`
	Cost    float64 `json:"cost"`
}

// Projection is what the trail's history comes to if things go on as they are.
type Projection struct {
	// From and To are the days that the rates are of, Days how many these are.
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Days  int       `json:"days"`
	Rates []Rate    `json:"rates"`
	Years []Year    `json:"years"`
}

const (
	hot = iota
	warm
	cold
	removed
	tiers
)

// Simulate projects what the store will hold. Past files keep the longer of their recorded lock and what the policy of now says; a class without a policy is kept. What is
// sealed from now on is as much a day as on the days of the window. It returns nil if there is no history.
func (l Policies) Simulate(history []Laid, o SimulateOptions) *Projection {
	if len(history) == 0 {
		return nil
	}
	s := &simulation{policies: l, o: o}
	for m := range 12*o.Years + 1 {
		s.months = append(s.months, o.Now.UTC().AddDate(0, m, 0))
	}
	for t := range tiers {
		s.objects[t], s.bytes[t] = make([]float64, len(s.months)+1), make([]float64, len(s.months)+1)
	}
	s.puts, s.moves = make([]float64, o.Years), make([]float64, o.Years)
	p := s.rates(history)
	for _, h := range history {
		s.lay(h.Class, h.Sealed, h.Until, float64(h.Objects), float64(h.Bytes))
	}
	end := s.months[len(s.months)-1]
	for day := o.Now.UTC().AddDate(0, 0, 1); !day.After(end); day = day.AddDate(0, 0, 1) {
		growth := 1 + o.Growth*day.Sub(o.Now).Hours()/(24*365.25)
		for _, r := range p.Rates {
			s.puts[s.year(day)] += r.Objects * growth
			s.lay(r.Class, day, time.Time{}, r.Objects*growth, r.Bytes*growth)
		}
	}
	p.Years = s.years()
	return p
}

type simulation struct {
	policies Policies
	o        SimulateOptions
	months   []time.Time // the ends that are looked at: now, and each month after
	// objects and bytes of each tier, as differences from one month to the next.
	objects, bytes [tiers][]float64
	puts, moves    []float64 // by year
}

// rates takes what a day lays down from the newest days of the history.
func (s *simulation) rates(history []Laid) *Projection {
	first, last := history[0].Day, history[0].Day
	for _, h := range history {
		if h.Day.Before(first) {
			first = h.Day
		}
		if h.Day.After(last) {
			last = h.Day
		}
	}
	if from := last.AddDate(0, 0, 1-s.o.Window); from.After(first) {
		first = from
	}
	p := &Projection{From: first, To: last, Days: int(last.Sub(first).Hours()/24) + 1}
	sums := map[string]*Rate{}
	for _, h := range history {
		if h.Day.Before(first) {
			continue
		}
		r := sums[h.Class]
		if r == nil {
			r = &Rate{Class: h.Class}
			sums[h.Class] = r
		}
		r.Objects += float64(h.Objects)
		r.Bytes += float64(h.Bytes)
	}
	for _, r := range sums {
		r.Objects, r.Bytes = r.Objects/float64(p.Days), r.Bytes/float64(p.Days)
	}
	for i := range s.policies {
		if r := sums[s.policies[i].Class]; r != nil {
			p.Rates = append(p.Rates, *r)
			delete(sums, r.Class)
		}
	}
	var rest []Rate // classes that have no policy any more, and at last the seals
	for _, r := range sums {
		rest = append(rest, *r)
	}
	slices.SortFunc(rest, func(a, b Rate) int { return strings.Compare(a.Class, b.Class) })
	if len(rest) > 0 && rest[0].Class == "" {
		rest = append(rest[1:], rest[0])
	}
	p.Rates = append(p.Rates, rest...)
	return p
}

// year is the index of the year that a time is in.
func (s *simulation) year(at time.Time) int { return max(0, (s.month(at)-1)/12) }

// month is the index of the first month's end that is not before that time.
func (s *simulation) month(at time.Time) int {
	i, _ := slices.BinarySearchFunc(s.months, at, time.Time.Compare)
	return i
}

// lay puts files through their tiers.
func (s *simulation) lay(class string, sealed, until time.Time, objects, bytes float64) {
	var d Dates
	if i := slices.IndexFunc(s.policies, func(p Policy) bool { return p.Class == class }); class != "" && i >= 0 {
		d = s.policies[i].Dates(sealed)
	}
	at, tier := sealed, hot
	enter := func(next int, when time.Time) {
		s.stay(tier, at, when, objects, bytes)
		if moved := s.month(when); next != removed && when.After(s.o.Now) && moved < len(s.months) {
			s.moves[s.year(when)] += objects
		}
		at, tier = when, next
	}
	if d.Warm != nil {
		enter(warm, d.Warm.At)
	}
	if d.Cold != nil {
		enter(cold, d.Cold.At)
	}
	if d.Deletable != nil && !s.o.Keep {
		gone := d.Deletable.At
		if until.After(gone) {
			gone = until
		}
		enter(removed, gone)
	}
	s.stay(tier, at, s.months[len(s.months)-1].AddDate(0, 0, 1), objects, bytes)
}

// stay has files be in a tier for the months' ends from one time to before another.
func (s *simulation) stay(tier int, from, to time.Time, objects, bytes float64) {
	a, b := s.month(from), s.month(to)
	if a >= b {
		return
	}
	s.objects[tier][a] += objects
	s.objects[tier][b] -= objects
	s.bytes[tier][a] += bytes
	s.bytes[tier][b] -= bytes
}

const gib = 1 << 30

func (s *simulation) years() []Year {
	var objects, bytes [tiers][]float64
	for t := range tiers {
		objects[t], bytes[t] = sums(s.objects[t]), sums(s.bytes[t])
	}
	var list []Year
	for y := range s.o.Years {
		end := 12 * (y + 1)
		amount := func(t int) Amount { return Amount{round(objects[t][end]), round(bytes[t][end])} }
		year := Year{Year: y + 1, End: s.months[end], Hot: amount(hot), Warm: amount(warm), Cold: amount(cold)}
		year.Removed = Amount{round(objects[removed][end] - objects[removed][end-12]), round(bytes[removed][end] - bytes[removed][end-12])}
		for m := end - 11; m <= end; m++ {
			year.Cost += bytes[hot][m]/gib*s.o.Prices.Hot + bytes[warm][m]/gib*s.o.Prices.Warm + bytes[cold][m]/gib*s.o.Prices.Cold
		}
		year.Cost += s.puts[y]/1000*s.o.Prices.Put + s.moves[y]/1000*s.o.Prices.Move
		list = append(list, year)
	}
	return list
}

// sums makes amounts of differences.
func sums(differences []float64) []float64 {
	list := make([]float64, len(differences))
	sum := 0.0
	for i, d := range differences {
		sum += d
		list[i] = sum
	}
	return list
}

func round(f float64) int64 { return int64(f + 0.5) }
