package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"daybook/sink"
)

// WriteJSON writes the report as one document.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// WriteText writes the report as a table, each remedy below what it is for.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	count := map[Status]int{}
	for _, f := range r.Findings {
		count[f.Status]++
		name := f.Check
		if f.Mode != sink.None {
			name += " (" + strings.ToLower(string(f.Mode)) + ")"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", f.Status, name, f.Text) // Flush tells the first error
		if f.Remedy != "" {
			_, _ = fmt.Fprintf(t, "\t\t→ %s\n", f.Remedy)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if n := len(r.Remains); n > 0 {
		last := time.Time{}
		for _, m := range r.Remains {
			if m.Until.After(last) {
				last = m.Until
			}
		}
		dir := r.Remains[0].Key
		dir = dir[:strings.LastIndexByte(dir, '/')+1]
		if _, err := fmt.Fprintf(w, "%d throw-away objects remain below %s, and may be deleted from %s on: `daybook doctor --sweep` does, with an administrator's credentials\n", n, dir, stamp(last)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d passed, %d failed, %d warnings, %d unknown\n", count[Pass], count[Fail], count[Warn], count[Unknown])
	return err
}
