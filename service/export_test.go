package service

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// MetricHelp returns what each metric's help says, by name, whether it has a value or not.
func (s *Service) MetricHelp() map[string]string {
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		s.metrics.registry.Describe(descs)
	}()
	help := map[string]string{}
	for d := range descs {
		var name, text string
		// Desc{fqName: "daybook_build_info", help: "1, with the version.", constLabels: …
		if _, err := fmt.Sscanf(strings.TrimPrefix(d.String(), "Desc{"), "fqName: %q, help: %q,", &name, &text); err != nil {
			panic(err)
		}
		help[name] = text
	}
	return help
}

// Schedule looks for days that are due when cron says so, until ctx ends.
func (s *Service) Schedule(ctx context.Context) error { return s.schedule(ctx) }
