package service

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"daybook/batch"
	"daybook/batch/control"
)

// effectivePath is where the configuration lies that the last process worked with, to tell what changed since.
func (s *Service) effectivePath() string {
	return filepath.Join(s.config.Load().Batch.Data, "control", "configuration")
}

func (s *Service) keepEffective(c *Config) error {
	return batch.WriteFile(s.effectivePath(), []byte(strings.Join(c.Effective, "\n")+"\n"))
}

// difference tells what has changed in the configuration, by org, and in how many lines.
func (s *Service) difference(c *Config) (diff control.Diff, lines int, err error) {
	data, err := os.ReadFile(s.effectivePath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, 0, err
	}
	var last []string
	if len(data) > 0 {
		last = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	}
	before, after := s.byOrg(last), s.byOrg(c.Effective)
	diff = control.Diff{}
	for _, side := range []map[string][]string{before, after} {
		for org := range side {
			if d := difference(before[org], after[org]); len(d) > 0 && diff[org] == nil {
				diff[org] = d
				lines += len(d)
			}
		}
	}
	return diff, lines, nil
}

// difference tells what is in one list of lines and not in the other.
func difference(before, after []string) []string {
	var diff []string
	for _, line := range before {
		if !slices.Contains(after, line) {
			diff = append(diff, "- "+line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			diff = append(diff, "+ "+line)
		}
	}
	return diff
}

// A line of an element of a list, such as service.drop[0].path: "in": the list, the element, its key and the value.
var elementLine = regexp.MustCompile(`^(([a-z0-9_.]+)\[\d+\])\.(\w+)(?:\[\d+\])?: (.*)$`)

// byOrg parts the lines of a configuration by the org whose they are. An element of a list that has an org is that org's, and all else is of control.AllOrgs. A trail whose
// declaration leaves the org open is that of the org for which it was enabled.
func (s *Service) byOrg(lines []string) map[string][]string {
	orgs := map[string]string{} // by element
	for _, line := range lines {
		m := elementLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		element, list, key, value := m[1], m[2], m[3], ""
		_ = json.Unmarshal([]byte(m[4]), &value) // what is no text is neither org nor name
		switch {
		case key == "org" && value != control.AllOrgs && value != "":
			orgs[element] = value
		case key == "name" && list == "trails" && orgs[element] == "":
			if t, ok := s.control.Trail(value); ok {
				orgs[element] = t.Spec.Org
			}
		}
	}
	parts := map[string][]string{}
	for _, line := range lines {
		org := control.AllOrgs
		if m := elementLine.FindStringSubmatch(line); m != nil && orgs[m[1]] != "" {
			org = orgs[m[1]]
		}
		parts[org] = append(parts[org], line)
	}
	return parts
}
