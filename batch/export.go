package batch

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"daybook/batch/intake"
	"daybook/batch/seal"
	"daybook/batch/spool"
	"daybook/event"
)

// Report says what a run did.
type Report struct {
	Days []DayResult `json:"days"`
	// Of the records read, each was written, a duplicate, quarantined, not tracked or pending (of a day that is still open). Copies are records
	// that more than one trail takes, counted once for each trail beyond the first:
	//
	//	Read + Copies = Written + Duplicates + Quarantined + NotTracked + Pending
	Read        int64 `json:"read"`
	Copies      int64 `json:"copies,omitempty"`
	Written     int64 `json:"written"`
	Duplicates  int64 `json:"duplicates"`
	Quarantined int64 `json:"quarantined"`
	NotTracked  int64 `json:"not_tracked"`
	Pending     int64 `json:"pending"`
	Redacted    int64 `json:"redacted"`
	// Untracked tells whose the events are that were not tracked; absent if there were none.
	Untracked Untracked `json:"untracked,omitempty"`
	// OutcomesNotKnown is how many of the records that a trail takes have an outcome that is not known, and so are written as unknown, and OutcomeNotKnown one
	// of these, quoted.
	OutcomesNotKnown int64  `json:"outcomes_not_known,omitempty"`
	OutcomeNotKnown  string `json:"outcome_not_known,omitempty"`
	// InputFiles were read; SkippedFiles hold no events by their nature, or were passed over as HiddenFiles were; Faults could not be read, or not to their end.
	InputFiles   int64              `json:"input_files"`
	SkippedFiles int64              `json:"skipped_files"`
	Faults       []intake.FileFault `json:"faults"`
	// HiddenFiles is how many names below folders, of files and folders, begin with a dot and were passed over, and HiddenFile the first of them.
	HiddenFiles int64  `json:"hidden_files,omitempty"`
	HiddenFile  string `json:"hidden_file,omitempty"`
	// Examples are the first of the records in quarantine, and QuarantineIndex is the file that lists all of this run's.
	Examples        []intake.QuarantineEntry `json:"examples"`
	QuarantineIndex string                   `json:"quarantine_index,omitempty"`
	InputBytes      int64                    `json:"input_bytes"`
	OutputBytes     int64                    `json:"output_bytes"`
	// Head is the newest checkpoint of the store's log; absent if seals are not signed. Anchors are the places that are to have it.
	Head    *Head         `json:"head,omitempty"`
	Anchors []AnchorState `json:"anchors,omitempty"`
	// LogLock tells that the log could not be locked as long as what it vouches for; absent if it was.
	LogLock *ShortLock `json:"log_lock,omitempty"`
	// UntoldGaps were declared, and are of no day that this run sealed.
	UntoldGaps []seal.Gap    `json:"untold_gaps,omitempty"`
	Elapsed    time.Duration `json:"elapsed_ns"`
}

// Hide counts what was passed over.
func (r *Report) Hide(h intake.Hidden) {
	r.SkippedFiles += h.Count
	r.HiddenFiles, r.HiddenFile = h.Count, h.First
}

// Whole reports whether all of the input could be read.
func (r *Report) Whole() bool { return r.Quarantined == 0 && len(r.Faults) == 0 }

func (r *Report) check() error {
	in, out := r.Read+r.Copies, r.Written+r.Duplicates+r.Quarantined+r.NotTracked+r.Pending
	if in != out {
		return fmt.Errorf("counts disagree: %d read + %d copies, but %d written + %d duplicates + %d quarantined + %d not tracked + %d pending",
			r.Read, r.Copies, r.Written, r.Duplicates, r.Quarantined, r.NotTracked, r.Pending)
	}
	return nil
}

// Export reads the files that paths name and seals the days that they hold. Its input can be read again: what it holds of days that are still open is
// counted and left to a later run.
func (r *Roller) Export(ctx context.Context, paths []string, stdin io.Reader, how intake.Settings, q *intake.Quarantine) (*Report, error) {
	started := time.Now()
	sorter := spool.NewSorter(r.state.path("runs"), r.sorterMemory())
	defer sorter.Close()
	report := &Report{Days: r.resumed}
	tally, err := r.take(ctx, paths, stdin, how, q, report, sorter)
	if err != nil {
		return report, err
	}
	conflicts, err := sorter.Conflicts()
	if err != nil {
		return report, err
	}
	days := sorter.Days()
	var closed, suspects []spool.TrailDay
	for _, d := range days {
		if r.closed(d.Day) || r.IncludeOpen {
			closed = append(closed, d)
			continue
		}
		pending := d.Events
		if n := tally.suspects[d.Trail]; n > 0 && d.Day == event.DayOf(r.asOf()) {
			suspects = append(suspects, spool.TrailDay{Trail: d.Trail, Day: d.Day, Events: n})
			pending -= n
		}
		if pending == 0 {
			continue
		}
		report.Pending += pending
		open := DayResult{Trail: r.Trails[d.Trail].Name, Day: seal.Date{Day: d.Day}, Outcome: StillOpen, Pending: pending}
		report.Days = append(report.Days, open)
		r.progress(Progress{Done: &open})
	}
	tell, err := r.state.tell("")
	if err != nil {
		return report, err
	}
	left := carry{Quarantined: tally.quarantined, Hashes: tally.hashes, NotTracked: tally.notTracked, Pending: report.Pending}
	tell = tell.plus(left)
	for i, d := range append(closed, suspects...) {
		var from rows = sorter
		if i >= len(closed) {
			from = suspectsOf{sorter, d.Events}
		}
		done, err := r.sealDay(ctx, d.Trail, d.Day, from, conflicts, tell, d.Events, false, nil)
		if err != nil {
			return report, err
		}
		if done.Outcome != Unchanged {
			tell, left = carry{}, carry{}
		}
		report.add(done)
		if got := done.Events + done.Duplicates; got != d.Events {
			return report, fmt.Errorf("%s %v: counts disagree: %d events were sorted, %d written and %d duplicates", done.Trail, done.Day, d.Events, done.Events, done.Duplicates)
		}
		r.progress(Progress{Done: &done})
	}
	if err := r.state.keep(left); err != nil {
		return report, err
	}
	if err := r.publish(ctx, report); err != nil {
		return report, err
	}
	report.UntoldGaps = r.untold()
	report.Elapsed = time.Since(started)
	return report, report.check()
}

// suspectsOf hands out the events of a day whose time is suspect, of which that many were added. An export seals them even though their day, that of
// the run, is not over: a later run would file them under its own day, and never seal them.
type suspectsOf struct {
	rows
	added int64
}

func (s suspectsOf) Scan(trail uint16, day event.Day, stats *spool.ScanStats) iter.Seq2[spool.Item, error] {
	return func(yield func(spool.Item, error) bool) {
		var all spool.ScanStats
		stats.Duplicates = s.added
		for item, err := range s.rows.Scan(trail, day, &all) {
			if err == nil && !item.Suspect {
				continue
			}
			stats.Duplicates--
			if !yield(item, err) {
				return
			}
		}
	}
}

func (r *Report) add(d DayResult) {
	r.Days = append(r.Days, d)
	r.Written += d.Events
	r.Duplicates += d.Duplicates
	r.Redacted += d.Redacted
	r.OutputBytes += d.Bytes
}

// tally is what was counted of records that belong to no day.
type tally struct {
	mu                 sync.Mutex
	quarantined        int64
	hashes             []seal.Hash
	notTracked, copies int64
	untracked          UntrackedCount
	suspects           map[uint16]int64 // by trail
	outcomes           outcomes
}

// outcomes counts those that are not known.
type outcomes struct {
	n     int64
	first string // in the order of texts, so that it does not hang on which worker met it
}

func (o *outcomes) add(n int64, text string) {
	if n > 0 && (o.n == 0 || text < o.first) {
		o.first = strings.Clone(text)
	}
	o.n += n
}

// take reads the input into the sorter.
func (r *Roller) take(ctx context.Context, paths []string, stdin io.Reader, how intake.Settings, q *intake.Quarantine, report *Report, sorter *spool.Sorter) (*tally, error) {
	t := &tally{suspects: map[uint16]int64{}}
	takers := func() intake.Taker {
		return &taker{suspects: map[uint16]int64{}, router: newRouter(r.Trails, r.Policies, how.AsOf), writer: sorter.Writer(), tally: t}
	}
	in, err := intake.Import(ctx, paths, stdin, how, q, takers, func(n int64) { r.progress(Progress{Read: n}) })
	if closeErr := q.Close(); err == nil {
		err = closeErr
	}
	report.Read, report.Quarantined, report.InputFiles, report.SkippedFiles = in.Read, in.Quarantined, in.Files, in.Skipped
	report.Hide(in.Hidden)
	report.Faults, report.InputBytes, report.Examples = in.Faults, in.Bytes, q.First()
	report.NotTracked, report.Copies, report.Untracked = t.notTracked, t.copies, t.untracked.Commonest()
	report.OutcomesNotKnown, report.OutcomeNotKnown = t.outcomes.n, t.outcomes.first
	if in.Quarantined > 0 {
		report.QuarantineIndex = q.Path()
	}
	t.quarantined = in.Quarantined
	for _, h := range q.Hashes() {
		var hash seal.Hash
		if err := hash.UnmarshalText([]byte(h)); err != nil {
			return nil, err
		}
		t.hashes = append(t.hashes, hash)
	}
	return t, err
}

// taker routes the events of a worker into the sorter.
type taker struct {
	router             *router
	writer             *spool.Writer
	tally              *tally
	notTracked, copies int64
	untracked          UntrackedCount
	suspects           map[uint16]int64
	outcomes           outcomes
}

func (t *taker) Take(in intake.Taken) error {
	group := spool.Group{Day: t.router.day(in.Event, in.Suspect), Class: t.router.class(in.Event)}
	took := int64(0)
	for i := range t.router.trails {
		if !t.router.trails[i].covers(in.Event) {
			continue
		}
		took++
		group.Trail = uint16(i)
		if in.Suspect {
			t.suspects[group.Trail]++
		}
		if err := t.writer.Add(group, in.Event, in.Row, in.Ordinal, in.Suspect); err != nil {
			return err
		}
	}
	if took == 0 {
		t.notTracked++
		t.untracked.Add(in.Event)
	} else {
		t.copies += took - 1
		if in.Outcome != "" {
			t.outcomes.add(1, in.Outcome)
		}
	}
	return nil
}

func (t *taker) Close() error {
	t.tally.mu.Lock()
	t.tally.notTracked += t.notTracked
	t.tally.copies += t.copies
	t.tally.untracked.merge(&t.untracked)
	for trail, n := range t.suspects {
		t.tally.suspects[trail] += n
	}
	t.tally.outcomes.add(t.outcomes.n, t.outcomes.first)
	t.tally.mu.Unlock()
	return t.writer.Close()
}
