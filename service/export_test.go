package service

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

func init() { roundEvery /= 20 }

// MetricDoc is what a metric says of itself.
type MetricDoc struct {
	Help   string
	Labels []string
}

// desc is how a prometheus.Desc prints itself.
var desc = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// Metrics returns what each metric says of itself, by name, whether it has a value or not.
func (s *Service) Metrics() map[string]MetricDoc {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		s.metrics.registry.Describe(descs)
	}()
	docs := map[string]MetricDoc{}
	for d := range descs {
		m := desc.FindStringSubmatch(d.String())
		if m == nil {
			panic("a metric describes itself in another way now: " + d.String())
		}
		name, err := strconv.Unquote(m[1])
		if err != nil {
			panic(err)
		}
		doc := MetricDoc{}
		if doc.Help, err = strconv.Unquote(m[2]); err != nil {
			panic(err)
		}
		if m[3] != "" {
			doc.Labels = strings.Split(m[3], ",")
		}
		docs[name] = doc
	}
	return docs
}

// Schedule looks for days that are due when cron says so, until ctx ends.
func (s *Service) Schedule(ctx context.Context) error { return s.schedule(ctx) }

// Begin has the service tell that it is at work, as Run does.
func (s *Service) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = s.now()
}

// Expect notes which sources are awaited, as is done every few seconds.
func (s *Service) Expect() { s.expect() }

// Seen is what is known of the files of a place.
type Seen struct{ *seen }

// OpenSeen opens what is known of the files of a place.
func OpenSeen(dir, of string) (Seen, error) {
	s, err := openSeen(dir, of)
	return Seen{s}, err
}

// Add has a file known by its number.
func (s Seen) Add(n byte) error { return s.add(fileHash{n}) }

// Close closes it.
func (s Seen) Close() { s.close() }

// Known is how many files are known.
func (s Seen) Known() int { return len(s.known) }
