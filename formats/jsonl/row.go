package jsonl

import (
	"fmt"

	"daybook/event"
	"daybook/formats/jsontext"
)

var fields = event.Fields()

// ParseRow reads an evidence row, as event.AppendJSON writes it, into e, which is emptied first. The texts of e share memory with row. Members
// that AppendJSON would not have written are an error: evidence that we did not write is not read half.
func ParseRow(row []byte, e *event.Event) error {
	e.Reset()
	m := jsontext.MembersOf(row)
	next := 0 // rows have their members in order, so that the next one is nearly always found at once
	for m.Next() {
		switch m.Name {
		case "time":
			t, ok := event.ParseTime(m.Value.Str())
			if !ok {
				return fmt.Errorf("evidence row: time %s", m.Value.Text())
			}
			e.Time = t
			continue
		case "received":
			t, ok := event.ParseTime(m.Value.Str())
			if !ok {
				return fmt.Errorf("evidence row: received %s", m.Value.Text())
			}
			e.Received = t
			continue
		case "tags":
			e.Tags = appendTexts(e.Tags, m.Value)
			continue
		case "flags":
			e.Flags = appendTexts(e.Flags, m.Value)
			continue
		case "source_seq":
			n, ok := m.Value.Uint64()
			if !ok {
				return fmt.Errorf("evidence row: source_seq %s", m.Value.Text())
			}
			e.SetSourceSeq(n)
			continue
		}
		for next < len(fields) && fields[next].String() != m.Name {
			next++
		}
		if next == len(fields) {
			return fmt.Errorf("evidence row: member %q is unknown, doubled or out of order", m.Name)
		}
		f := fields[next]
		switch {
		case f.JSON():
			e.Set(f, m.Value.TextString())
		case m.Value.Kind() == jsontext.String:
			e.Set(f, m.Value.Str())
		default:
			return fmt.Errorf("evidence row: %s is not a string", m.Name)
		}
		next++
	}
	if err := m.Err(); err != nil {
		return fmt.Errorf("evidence row: %w", err)
	}
	if e.Time.IsZero() {
		return fmt.Errorf("evidence row: no time")
	}
	e.SetRow(row)
	return nil
}

func appendTexts(list []string, v jsontext.Value) []string {
	elements := v.Elements()
	for elements.Next() {
		list = append(list, elements.Value.Str())
	}
	return list
}
