package main_test

import (
	"regexp"
	"slices"
	"testing"

	daybook "daybook/cmd/daybook"
	"daybook/config"
)

// Whatever the configuration has for an org says whose it is on a line of its own, by which the service tells each trail its part of a change.
func TestEffectiveTellsWhoseItIs(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("daybook.yaml", []byte(`trails: [{name: acme, org: acme, projects: [acme]}]
service:
  cert_file: server.crt
  key_file: server.key
  client_ca_file: ca.crt
  drop: [{path: acme, org: acme, source: acme}]
  follow: [{url: acme, org: acme, source: acme2}]
  senders: [{certificate: acme3, org: acme, source: acme3}]
  admins: [{certificate: acme4, name: acme, org: acme}]
`))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := daybook.Effective(c)
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`^([a-z_.]+\[0\])\.[a-z_]+(\[0\])?: "acme\d?"$`)
	found := 0
	for _, line := range lines {
		m := entry.FindStringSubmatch(line)
		if m == nil {
			if regexp.MustCompile("acme").MatchString(line) {
				t.Errorf("%s is told to everybody", line)
			}
			continue
		}
		found++
		if !slices.Contains(lines, m[1]+`.org: "acme"`) {
			t.Errorf("%s does not say whose it is", line)
		}
	}
	if found < 15 {
		t.Errorf("%d lines are acme's: %q", found, lines)
	}
}
