package service

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"daybook/batch"
	"daybook/batch/control"
	"daybook/batch/intake/receiver"
	"daybook/sink"
)

// metrics is what Prometheus is told. docs/OPERATIONS.md lists it; a test holds the two together. Labels are what the configuration and admins name: trails and
// sources, never what events hold.
type metrics struct {
	registry *prometheus.Registry

	events       *prometheus.CounterVec // org, source, result
	requests     *prometheus.CounterVec // code
	requestBytes prometheus.Counter
	requestTime  prometheus.Histogram
	sealTime     prometheus.Histogram
	seals        *prometheus.CounterVec // trail, outcome
	sealedEvents *prometheus.CounterVec // trail
	failures     prometheus.Counter
	storeErrors  *prometheus.CounterVec // operation
	files        *prometheus.CounterVec // kind, result
	conservation *prometheus.GaugeVec   // trail
	reconciledAt prometheus.Gauge
}

func newMetrics(s *Service) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "daybook_events_total", Help: "Events that senders and files brought, by what became of them: accepted, duplicate, not_tracked or rejected.",
		}, []string{"org", "source", "result"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "daybook_intake_requests_total", Help: "Requests to POST /v1/events, by the code of the answer.",
		}, []string{"code"}),
		requestBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "daybook_intake_bytes_total", Help: "Bytes of bodies read from POST /v1/events."}),
		requestTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "daybook_intake_request_seconds", Help: "How long requests to POST /v1/events took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}),
		sealTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "daybook_seal_seconds", Help: "How long looks took that sealed something.", Buckets: prometheus.ExponentialBuckets(0.1, 2, 16),
		}),
		seals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "daybook_seals_total", Help: "Seals made, by outcome: sealed, addendum or resumed.",
		}, []string{"trail", "outcome"}),
		sealedEvents: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "daybook_sealed_events_total", Help: "Events written into seals."}, []string{"trail"}),
		failures:     prometheus.NewCounter(prometheus.CounterOpts{Name: "daybook_seal_failures_total", Help: "Looks that did not seal all that was due."}),
		storeErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "daybook_store_errors_total", Help: "Operations on the store that failed for good, by operation: preflight, put, head, get, list, lengthen or hold.",
		}, []string{"operation"}),
		files: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "daybook_files_total", Help: "Files taken in from drop folders and followed places, by result: taken or failed.",
		}, []string{"kind", "result"}),
		conservation: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "daybook_conservation_difference", Help: "Events accepted less those sealed, pending, duplicate or damaged, at the last count: must be 0.",
		}, []string{"trail"}),
		reconciledAt: prometheus.NewGauge(prometheus.GaugeOpts{Name: "daybook_last_reconcile_timestamp_seconds", Help: "When events were last counted anew."}),
	}
	m.registry.MustRegister(m.events, m.requests, m.requestBytes, m.requestTime, m.sealTime, m.seals, m.sealedEvents, m.failures, m.storeErrors, m.files,
		m.conservation, m.reconciledAt, &standingMetrics{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.begin()
	return m
}

// begin has what is counted begin with 0: of a series that begins with 1 Prometheus sees no increase, and no alert comes of the first failure. Those of sources begin when
// they are awaited.
func (m *metrics) begin() {
	for _, code := range []int{
		http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusRequestTimeout, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusServiceUnavailable, http.StatusInsufficientStorage,
	} {
		m.requests.WithLabelValues(strconv.Itoa(code))
	}
	for _, operation := range []string{"preflight", "put", "head", "get", "list", "lengthen", "hold"} {
		m.storeErrors.WithLabelValues(operation)
	}
	for _, kind := range []string{"drop", "follow", "file"} {
		m.files.WithLabelValues(kind, "failed")
	}
}

// observed counts a request.
func (m *metrics) observed(o receiver.Observation) {
	m.requests.WithLabelValues(strconv.Itoa(o.Code)).Inc()
	m.requestBytes.Add(float64(o.Bytes))
	m.requestTime.Observe(o.Elapsed.Seconds())
	if o.Sender.Source != "" {
		m.took(o.Sender.Org, o.Sender.Source, o.Accepted, o.Duplicate, o.NotTracked, o.Rejected)
	}
}

func (m *metrics) took(org, source string, accepted, duplicate, notTracked, rejected int64) {
	for _, of := range [...]struct {
		result string
		n      int64
	}{{"accepted", accepted}, {"duplicate", duplicate}, {"not_tracked", notTracked}, {"rejected", rejected}} {
		m.events.WithLabelValues(org, source, of.result).Add(float64(of.n))
	}
}

// rolled counts what a look did.
func (m *metrics) rolled(r *batch.Report, took time.Duration) {
	if len(r.Days) > 0 {
		m.sealTime.Observe(took.Seconds())
	}
	for _, d := range r.Days {
		m.seals.WithLabelValues(d.Trail, d.Outcome).Inc()
		m.sealedEvents.WithLabelValues(d.Trail).Add(float64(d.Events))
	}
}

func (m *metrics) reconciled(list []batch.Reconciled) {
	for _, r := range list {
		m.conservation.WithLabelValues(r.Trail).Set(float64(r.Accepted - r.Sealed - r.Pending - r.Duplicates - r.Damaged))
	}
	m.reconciledAt.SetToCurrentTime()
}

// standingMetrics are read when they are asked for.
type standingMetrics struct{ s *Service }

var (
	descPending    = prometheus.NewDesc("daybook_pending_events", "Events that wait to be sealed.", []string{"trail"}, nil)
	descLate       = prometheus.NewDesc("daybook_late_events", "Events that wait for an addendum, since their day is sealed.", []string{"trail"}, nil)
	descOldest     = prometheus.NewDesc("daybook_oldest_pending_timestamp_seconds", "Time of the oldest event that waits.", []string{"trail"}, nil)
	descOverdue    = prometheus.NewDesc("daybook_overdue_seals", "Days without a seal that could have been sealed over two hours ago.", []string{"trail"}, nil)
	descLastSeal   = prometheus.NewDesc("daybook_last_seal_timestamp_seconds", "When the newest seal was made.", []string{"trail"}, nil)
	descSealNumber = prometheus.NewDesc("daybook_seal_number", "Number of the newest seal.", []string{"trail"}, nil)
	descOn         = prometheus.NewDesc("daybook_trail_on", "1 while the trail is on, 0 while it is off.", []string{"trail", "org"}, nil)
	descWatermark  = prometheus.NewDesc("daybook_source_watermark_timestamp_seconds", "Time up to which a source's events have come; of one that was never heard of since when it is awaited.", []string{"org", "source"}, nil)
	descSilent     = prometheus.NewDesc("daybook_source_silent", "1 while a source is silent: it has not come on for as long as a day waits for it, or, by files, not past a day that has waited for so long.", []string{"org", "source"}, nil)
	descSpoolBytes = prometheus.NewDesc("daybook_spool_bytes", "Bytes of the spool on disk.", nil, nil)
	descSpoolFree  = prometheus.NewDesc("daybook_spool_free_bytes", "Bytes that are free on the spool's disk.", nil, nil)
	descSpoolMin   = prometheus.NewDesc("daybook_spool_min_free_bytes", "Bytes that must be free for events to be taken in.", nil, nil)
	descSpoolSyncs = prometheus.NewDesc("daybook_spool_syncs_total", "How often the spool's log was synced: once for all requests that waited for it.", nil, nil)
	descStopped    = prometheus.NewDesc("daybook_spool_stopped", "1 if the spool has stopped and takes nothing in.", nil, nil)
	descSealing    = prometheus.NewDesc("daybook_sealing_error", "1 while sealing fails or is held.", nil, nil)
	descBalance    = prometheus.NewDesc("daybook_conservation_fault", "1 once events do not add up, at a seal or a count: nothing is sealed from then on.", nil, nil)
	descAnchor     = prometheus.NewDesc("daybook_anchor_behind_leaves", "Leaves of the log that an anchor does not cover.", []string{"anchor", "kind"}, nil)
	descLogSize    = prometheus.NewDesc("daybook_log_leaves", "Leaves of the store's log.", nil, nil)
	descLogLock    = prometheus.NewDesc("daybook_log_lock_short", "1 while the log is locked for less long than what it vouches for, since the writer may not lock for so long.", nil, nil)
	descClock      = prometheus.NewDesc("daybook_store_clock_offset_seconds", "By how much the store's clock is ahead of ours, if it told.", nil, nil)
	descVerifiedAt = prometheus.NewDesc("daybook_last_verify_timestamp_seconds", "When what was sealed lately was last read back.", nil, nil)
	descVerified   = prometheus.NewDesc("daybook_last_verify_exit_code", "How that ended: 0 verified, 1 altered, 2 incomplete, 3 something could not be read.", nil, nil)
	descBucket     = prometheus.NewDesc("daybook_bucket_changes", "Settings of the store's bucket that are not what was accepted, or can't be read any more.", nil, nil)
	descUnseen     = prometheus.NewDesc("daybook_bucket_unseen", "1 while how the store's bucket, or a tier's, is set up could not be asked at the last look, or none was made for 25 hours.", nil, nil)
	descRefused    = prometheus.NewDesc("daybook_reload_refused", "1 if the last reload of the configuration was refused: the service goes on as it was.", nil, nil)
	descLost       = prometheus.NewDesc("daybook_spools_lost", "Spools that were given up as lost, with events that were acknowledged, until somebody has removed spool.lost.", nil, nil)
	descExpiry     = prometheus.NewDesc("daybook_certificate_expiry_timestamp_seconds", "When the certificate that is served expires.", nil, nil)
	descBuild      = prometheus.NewDesc("daybook_build_info", "1, with the version.", []string{"version"}, nil)
)

// Describe is a prometheus.Collector's.
func (m *standingMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descPending, descLate, descOldest, descOverdue, descLastSeal, descSealNumber, descOn, descWatermark, descSilent, descSpoolBytes, descSpoolFree, descSpoolMin, descSpoolSyncs,
		descStopped, descSealing, descBalance, descAnchor, descLogSize, descLogLock, descClock, descVerifiedAt, descVerified, descBucket, descUnseen, descRefused, descLost,
		descExpiry, descBuild,
	} {
		to <- d
	}
}

// Collect is a prometheus.Collector's.
func (m *standingMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	s := m.s
	st, err := s.Status(control.Local, "", 0)
	if err != nil {
		to <- prometheus.NewInvalidMetric(descSealing, err)
		return
	}
	gauge(descBuild, 1, st.Build)
	gauge(descSpoolBytes, float64(st.Spool.Bytes))
	gauge(descSpoolFree, float64(st.Spool.Free))
	gauge(descSpoolMin, float64(st.Spool.MinFree))
	to <- prometheus.MustNewConstMetric(descSpoolSyncs, prometheus.CounterValue, float64(st.Spool.Syncs))
	gauge(descStopped, one(st.Spool.Stopped != ""))
	gauge(descSealing, one(st.Sealing.Error != ""))
	s.mu.Lock()
	unbalanced := s.sealing.Unbalanced
	s.mu.Unlock()
	gauge(descBalance, one(unbalanced))
	gauge(descRefused, float64(st.told("reload-refused")))
	gauge(descLost, float64(st.told("spool-lost")))
	if v := st.Verified; v != nil {
		gauge(descVerifiedAt, float64(v.At.Unix()))
		gauge(descVerified, float64(v.ExitCode))
	}
	if st.Bucket != nil {
		gauge(descBucket, float64(len(st.Bucket.Changes)))
		gauge(descUnseen, one(st.unseen()))
	}
	if st.Head != nil {
		gauge(descLogSize, float64(st.Head.Size))
		gauge(descLogLock, one(st.LogLock != nil))
		for _, a := range st.Anchors {
			gauge(descAnchor, float64(st.Head.Size-a.Size), a.Name, a.Kind)
		}
	}
	if clock, ok := s.config.Load().Batch.Store.(sink.Clock); ok {
		if offset, known := clock.Offset(); known {
			gauge(descClock, offset.Seconds())
		}
	}
	if pair := s.certificate.Load(); pair != nil {
		if served, err := pair.get(); err == nil {
			gauge(descExpiry, float64(served.Leaf.NotAfter.Unix()))
		}
	}
	m.watermarks(st, gauge)
	for _, t := range st.Trails {
		gauge(descPending, float64(t.Waiting), t.Trail)
		gauge(descLate, float64(t.Late), t.Trail)
		gauge(descOn, one(t.Switch.State != string(control.Off)), t.Trail, t.Switch.Org)
		gauge(descOverdue, float64(len(t.Overdue)), t.Trail)
		if t.Oldest != nil {
			gauge(descOldest, float64(t.Oldest.Unix()), t.Trail)
		}
		if t.Last != nil {
			gauge(descLastSeal, float64(t.Last.SealedAt.Unix()), t.Trail)
			gauge(descSealNumber, float64(t.Last.Seal), t.Trail)
		}
	}
}

// one is 1 for what is so.
func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// watermarks tells how far those have come who may send now. One whose token was revoked is waited for no more, and told no more.
func (m *standingMetrics) watermarks(st *Status, gauge func(*prometheus.Desc, float64, ...string)) {
	told := map[sourceKey]bool{}
	for _, t := range st.Trails {
		for _, source := range t.Sources {
			key := sourceKey{t.Switch.Org, source.Name}
			at := source.Watermark
			if at == nil {
				at = source.Awaited
			}
			if at != nil && !told[key] {
				told[key] = true
				gauge(descWatermark, float64(at.Unix()), key.org, key.name)
				gauge(descSilent, one(source.Silent), key.org, key.name)
			}
		}
	}
}

// serveMetrics tells the metrics to viewers of every org, since they name all of them, and to this machine.
func (s *Service) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if !fromHere(r) {
		by, err := s.actor(r)
		if err == nil && by.Org != control.AllOrgs {
			err = &sink.HintError{Err: fmt.Errorf("it concerns every org: %w", control.ErrDenied), Hint: "a viewer of org * may"}
		}
		if err != nil {
			s.administer(func(*http.Request, control.Actor) (any, error) { return nil, err }, maxRequest)(w, r)
			return
		}
	}
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}).ServeHTTP(w, r)
}
