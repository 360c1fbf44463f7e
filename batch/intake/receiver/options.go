package receiver

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"daybook/batch/intake"
)

// Options are what a Handler may be told. The zero value of each has a meaning.
type Options struct {
	// Signer signs receipts. Nil: there are none.
	Signer Signer
	// MaxBody is how many bytes a body may have as it is sent; 0: 64 MiB.
	MaxBody int64
	// MaxContent is how many bytes it may hold, uncompressed; 0: MaxBody.
	MaxContent int64
	// ChunkEvents and ChunkBytes are how many events, and how many bytes of their evidence rows, are committed at a time; 0: 1,000 and 4 MiB.
	ChunkEvents int
	ChunkBytes  int
	// MaxReceipts is how many receipts an answer may hold; 0: 10,000.
	MaxReceipts int
	// BodyTimeout is how long a body may make no progress; 0: 30 s.
	BodyTimeout time.Duration
	// CommitTimeout is how long a commit may take; 0: 1 min.
	CommitTimeout time.Duration
	// MaxInFlight is how many requests may be at work; 0: 1,000. MaxInFlightBytes is how much memory they may hold, by what
	// they have sent so far, unpacked; 0: 512 MiB. One alone may hold more.
	MaxInFlight      int
	MaxInFlightBytes int64
	// Rate is how many records a second each sender may send, in the long run; 0: any number. A request is let in as long as the sender has some left, and
	// then done as a whole. Burst is how many a sender can save up; 0: ten seconds' worth.
	Rate  float64
	Burst int
	// ReplayFor is how long an Idempotency-Key is remembered; 0: 24 h. ReplayKeys and ReplayBytes are how many, and how many bytes of answers; 0: 10,000 and
	// 64 MiB.
	ReplayFor   time.Duration
	ReplayKeys  int
	ReplayBytes int64
	// After is the handler in whose place this one comes, as with another configuration: what that has answered, or is about to, is remembered here, within its bounds. Nil: nothing is.
	After *Handler
	// Clock is what time it is; nil: time.Now.
	Clock func() time.Time
	// Log gets a line for each request: at debug level for 200, info for what the sender did wrong, error for what we did. Of what is refused it tells from which address it came
	// and why, and nothing of what was sent. Nil: none.
	Log *slog.Logger
	// Observe is told of each request once it was answered. It is called by many requests at the same time.
	Observe func(Observation)
}

// Observation is what became of a request.
type Observation struct {
	// Sender is blank where it is not known.
	Sender Sender
	Code   int
	// Replayed says that the answer was that of an earlier request: its events are not counted again.
	Replayed                                  bool
	Accepted, Duplicate, NotTracked, Rejected int64
	// Bytes is the size of the body as far as it was read, as it was sent.
	Bytes   int64
	Elapsed time.Duration
}

// maxWindow is what RFC 9659 lets a zstd body ask for.
const maxWindow = 8 << 20

// Handler answers POST /v1/events. It is made by New.
type Handler struct {
	backend  Backend
	auth     Authenticator
	settings intake.Settings
	o        Options
	work     work
	rates    rates
	replays  *replays
}

var _ http.Handler = (*Handler)(nil)

// New returns a Handler. Of the settings, From is the format where a request names none (blank: jsonl), RecordLimit, Ratio, PlausibleAfter and Redactor hold for
// every request; the rest is the sender's, or the handler's own. The error names every fault.
func New(backend Backend, auth Authenticator, settings intake.Settings, o *Options) (*Handler, error) {
	h := &Handler{backend: backend, auth: auth, settings: settings}
	if o != nil {
		h.o = *o
	}
	if h.settings.From == "" {
		h.settings.From = "jsonl"
	}
	if err := errors.Join(h.faults()...); err != nil {
		return nil, err
	}
	h.o.setDefaults()
	h.settings.Window = maxWindow
	h.settings.ContentLimit = h.o.MaxContent
	h.work = work{maxRequests: h.o.MaxInFlight, maxBytes: h.o.MaxInFlightBytes}
	h.rates = newRates(h.o.Rate, h.o.Burst)
	if h.o.After != nil {
		h.replays, h.o.After = h.o.After.replays, nil // which would keep all before it as well
	} else {
		h.replays = newReplays(h.o.ReplayFor, h.o.ReplayKeys, h.o.ReplayBytes)
	}
	return h, nil
}

func (h *Handler) faults() (faults []error) {
	if !readable(h.settings.From) {
		faults = append(faults, fmt.Errorf("unknown input format %q", h.settings.From))
	}
	if h.settings.Redactor == nil {
		faults = append(faults, errors.New("there is no redactor"))
	}
	if h.settings.RecordLimit <= 0 {
		faults = append(faults, fmt.Errorf("record limit %d: must be more than 0", h.settings.RecordLimit))
	}
	if h.settings.Ratio <= 0 {
		faults = append(faults, fmt.Errorf("ratio %d: must be more than 0", h.settings.Ratio))
	}
	o := &h.o
	for _, n := range []int64{o.MaxBody, o.MaxContent, int64(o.ChunkEvents), int64(o.ChunkBytes), int64(o.MaxReceipts), int64(o.BodyTimeout), int64(o.CommitTimeout),
		int64(o.MaxInFlight), o.MaxInFlightBytes, int64(o.Burst), int64(o.ReplayFor), int64(o.ReplayKeys), o.ReplayBytes} {
		if n < 0 {
			faults = append(faults, fmt.Errorf("an option is %d: must not be negative", n))
		}
	}
	if o.Rate < 0 || math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0) {
		faults = append(faults, fmt.Errorf("rate %v: must be a number that is not negative", o.Rate))
	}
	return faults
}

func (o *Options) setDefaults() {
	setDefault(&o.MaxBody, 64<<20)
	setDefault(&o.MaxContent, o.MaxBody)
	setDefault(&o.ChunkEvents, 1000)
	setDefault(&o.ChunkBytes, 4<<20)
	setDefault(&o.MaxReceipts, 10_000)
	setDefault(&o.BodyTimeout, 30*time.Second)
	setDefault(&o.CommitTimeout, time.Minute)
	setDefault(&o.MaxInFlight, 1000)
	setDefault(&o.MaxInFlightBytes, 512<<20)
	setDefault(&o.Burst, int(min(max(10*o.Rate, 1), math.MaxInt32)))
	setDefault(&o.ReplayFor, 24*time.Hour)
	setDefault(&o.ReplayKeys, 10_000)
	setDefault(&o.ReplayBytes, 64<<20)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
}

func setDefault[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// readable reports whether a body may be of that format.
func readable(format string) bool {
	return format == intake.Auto || slices.Contains(intake.Names(), format)
}
