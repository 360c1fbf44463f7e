// Package rows reads each of Daybook's formats by foreign means into one shape, and says what of an event each format can hold, so that the files of a
// day can be compared value by value.
//
// It shares no code with the encoders: what is expected of a format is written here once more, after the documentation of the columns. The
// conversions are these, and no others:
//
//   - Times lose what lies below a microsecond (Parquet, syslog) or a millisecond (CSV, CEF).
//   - CSV holds 13 fields, tells absent and empty not apart, has Yes for success and No for all else.
//   - Parquet has null for unknown outcomes and empty texts for absent ones in its required columns.
//   - CEF and syslog have no empty values; they cut long ones, and CEF has a hash for an id of more than 40 bytes.
//   - CEF has \n and \r for line ends and a space for each other control character.
package rows

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Row is an event as a reader found it, by the names of the evidence row. A field that is absent is not there. Times are RFC 3339, tags and flags
// JSON arrays, info, changes and raw JSON as it stood.
type Row map[string]string

// Evidence reads JSON Lines with encoding/json.
func Evidence(r io.Reader) ([]Row, error) {
	var all []Row
	lines := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		row, err := evidenceRow(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, row)
	}
}

func evidenceRow(line []byte) (Row, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return nil, err
	}
	row := Row{}
	for name, value := range members {
		switch name {
		case "info", "changes", "raw", "source_seq":
			row[name] = string(value)
		case "tags", "flags":
			var list []string
			if err := json.Unmarshal(value, &list); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			row[name] = listText(list)
		default:
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			row[name] = text
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, row["time"]); err != nil {
		return nil, err
	}
	return row, nil
}

func listText(list []string) string {
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // strings always can be
	}
	return string(b)
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// cutTime gives the time of an evidence row with what lies below unit cut off.
func (r Row) cutTime(unit time.Duration) string {
	t, err := time.Parse(time.RFC3339Nano, r["time"])
	if err != nil {
		panic(err) // Evidence has looked
	}
	return timeText(floor(t, unit))
}

func floor(t time.Time, unit time.Duration) time.Time {
	return t.Add(-time.Duration(t.Nanosecond()) % unit)
}

// Diff compares two readings of one day in order, and tells of the first few events that differ; "" if none does.
func Diff(want, got []Row) string {
	const most = 3
	var b strings.Builder
	if len(want) != len(got) {
		fmt.Fprintf(&b, "%d events, want %d\n", len(got), len(want))
	}
	differ := 0
	for i := range min(len(want), len(got)) {
		if maps.Equal(want[i], got[i]) {
			continue
		}
		if differ++; differ <= most {
			fmt.Fprintf(&b, "event %d (-want +got):\n%s", i+1, cmp.Diff(want[i], got[i]))
		}
	}
	if differ > most {
		fmt.Fprintf(&b, "and %d more events differ\n", differ-most)
	}
	return b.String()
}

// Map applies f to each row.
func Map(all []Row, f func(Row) Row) []Row {
	mapped := make([]Row, len(all))
	for i, row := range all {
		mapped[i] = f(row)
	}
	return mapped
}

// pick copies the named fields of r that are there and not empty.
func (r Row) pick(names ...string) Row {
	c := Row{}
	for _, name := range names {
		if v := r[name]; v != "" {
			c[name] = v
		}
	}
	return c
}

// cut returns the longest beginning of s that has at most limit bytes and ends with a whole character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := 0
	for i := range s {
		if i > limit {
			break
		}
		end = i
	}
	return s[:end]
}
