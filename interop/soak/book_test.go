package soak_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// fact is an event that was made up: what must come out again.
type fact struct {
	nonce                string // in info, of no other event
	id                   string // blank: it has none
	org, source, project string
	kind, action         string
	at                   time.Time
	must                 bool // book.mu's: it was acknowledged
	may                  bool // book.mu's: it was sent, and what became of it is not known
	elsewhere            bool // it is filed under the day on which it came
	line                 []byte
}

// trails are those that take the event while they are on.
func (f *fact) trails() []string {
	switch {
	case f.org == "acme" && f.project == payProject:
		return []string{"main", "pay"}
	case f.org == "acme":
		return []string{"main"}
	case f.org == "initech":
		return []string{flaky}
	}
	return []string{f.org}
}

// The trails: main holds the org acme, pay one project of it; the others hold an org each. flaky is switched off and on.
const (
	flaky      = "flaky"
	payProject = "project-1"
)

var trails = []string{"main", "pay", flaky, "globex"}

// batch is the body of a request.
type batch struct {
	body      []byte
	encoding  string
	key       string
	query     string
	watermark bool
	facts     []*fact // one for each good line
	bad       int     // bad lines
	acked     int     // how often it was acknowledged; book.mu's
}

// book knows what was sent and what was answered.
type book struct {
	mu        sync.Mutex
	facts     map[string]*fact
	recording bool // batches that are acknowledged are kept, since they are to be sent again
	recorded  []*batch
	receipts  []string // a sample
	offered   int
	random    *rand.Rand
	counts    counts
	failure   error
}

// counts are told in the summary.
type counts struct {
	requests, unanswered, refused, acknowledged, events, duplicates, notTracked, rejected, receipts, replayed int64
}

func newBook(random *rand.Rand) *book { return &book{facts: map[string]*fact{}, random: random} }

func (b *book) add(f *fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.facts[f.nonce] = f
}

// fail notes what went wrong; the first such thing ends the run.
func (b *book) fail(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure == nil {
		b.failure = fmt.Errorf(format, args...)
	}
}

func (b *book) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}

// unknown notes that nobody knows what became of a batch.
func (b *book) unknown(x *batch, answered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.requests++
	if answered {
		b.counts.refused++
	} else {
		b.counts.unanswered++
	}
	for _, f := range x.facts {
		f.may = true
	}
}

// sampled is how many receipts are kept.
const sampled = 200

// acknowledged notes the answer to a batch.
func (b *book) acknowledged(x *batch, a *answer, replayed bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.requests++
	if n := a.Accepted + a.Duplicate + a.NotTracked; n != int64(len(x.facts)) || a.Rejected != int64(x.bad) {
		return fmt.Errorf("%d good lines and %d bad ones were sent, but the answer is %+v", len(x.facts), x.bad, *a)
	}
	tracked := a.NotTracked == 0
	if !tracked && (a.NotTracked != int64(len(x.facts)) || x.facts[0].org != "initech") {
		return fmt.Errorf("of %d events of %s, %d are not tracked", len(x.facts), x.facts[0].org, a.NotTracked)
	}
	for _, f := range x.facts {
		f.must = f.must || tracked
	}
	x.acked++
	b.counts.acknowledged++
	if replayed {
		b.counts.replayed++
	} else {
		b.counts.events += a.Accepted
		b.counts.duplicates += a.Duplicate
		b.counts.notTracked += a.NotTracked
		b.counts.rejected += a.Rejected
	}
	if b.recording {
		b.recorded = append(b.recorded, x)
	}
	return b.keepReceipts(x, a)
}

func (b *book) keepReceipts(x *batch, a *answer) error {
	if !strings.Contains(x.query, "receipt=true") {
		if len(a.Receipts) > 0 {
			return errors.New("receipts that nobody asked for")
		}
		return nil
	}
	want := 0
	if a.NotTracked == 0 {
		for _, f := range x.facts {
			want += len(f.trails())
		}
	}
	if len(a.Receipts) != want || a.Omitted != 0 {
		return fmt.Errorf("%d receipts and %d omitted, want %d", len(a.Receipts), a.Omitted, want)
	}
	b.counts.receipts += int64(want)
	if x.acked > 1 {
		return nil
	}
	today := "\nday " + time.Now().UTC().Format(time.DateOnly) + "\n"
	for _, r := range a.Receipts {
		if strings.Contains(r, "trail \""+flaky+"\"") || strings.Contains(r, today) {
			continue // it may be lost with a data folder, or is not due
		}
		b.offered++
		if len(b.receipts) < sampled {
			b.receipts = append(b.receipts, r)
		} else if i := b.random.IntN(b.offered); i < sampled {
			b.receipts[i] = r
		}
	}
	return nil
}

// record begins to keep what is acknowledged.
func (b *book) record() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recording, b.recorded = true, nil
}

// forget ends it. With lost set, what was acknowledged meanwhile is not known to be anywhere any more, until it is acknowledged again; it is returned.
func (b *book) forget(lost bool) []*batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.recorded
	b.recording, b.recorded = false, nil
	if !lost {
		return nil
	}
	for _, x := range list {
		for _, f := range x.facts {
			f.must, f.may = false, true
		}
	}
	return list
}

// text is what an event says beside its nonce, by its nonce: texts that formats could trip over.
func text(nonce string) string {
	n := 0
	for _, c := range nonce {
		n += int(c)
	}
	return texts[n%len(texts)] + nonce[:4]
}

var texts = []string{
	"", "plain", "=1+1", "a|b\\c=d", "two\nlines\r\n", "\"quoted\" 'and' ]more", "Größe, 東京, 🙂", "tab\tnul\x00bell\x07", "\u202eright to left\u2028", "a,b;c", "@SUM(A1)", strings.Repeat("long ", 300),
}
