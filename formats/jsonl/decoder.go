// Package jsonl is Daybook's own event as JSON Lines: the evidence that seals are made over, and the documented way for any system to feed
// Daybook.
//
// Input is one object a line, its members named as in design.md §8; or an array of such objects; or objects that are written over several lines, one
// after the other. A record needs time (RFC 3339) and action; all else may be absent. The rules for what is odd:
//
//   - A member that the event has no field for stays in raw, which then holds the whole record.
//   - received and flags are ours to set: from a source they are such members.
//   - Digits of time beyond nanoseconds are cut; raw has them.
//   - A number or boolean in a text field gives its text; raw keeps the original.
//   - An outcome and a severity are taken in any letter case, true and false for success and failure; an outcome that is none of ours is unknown, a severity
//     absent. Where it is not what came, raw keeps the original.
//   - token_last4 longer than four characters is a token that somebody forgot to cut: it is cut, in raw too.
//   - A field given twice, or once more in other letter case, is ambiguous: the record can't be read.
//   - null is absent.
//
// Evidence rows are fixed once written; ParseRow reads them back.
package jsonl

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"daybook/event"
	"daybook/formats/jsontext"
)

// The reasons for which a record of ours can't be read, but for those of the JSON itself.
var (
	errNoTime   = errors.New("record has no time")
	errNoAction = errors.New("record has no action")
)

// Decode maps one line to e.
func (Decoder) Decode(record []byte, e *event.Event) error {
	var (
		m       = jsontext.MembersOf(record)
		seen    uint64 // bit f: the text field f was given
		hasTime bool
		hasTags bool
		hasSeq  bool
		odd     bool // the fields do not hold all of the record
		next    int
	)
	for m.Next() {
		switch m.Name {
		case "time":
			if hasTime {
				return ambiguous(m.Name)
			}
			hasTime = true
			text := m.Value.Str()
			t, ok := event.ParseTime(text)
			if !ok {
				return fmt.Errorf("time is %s: must be RFC 3339, like \"2026-03-10T09:30:00Z\"", short(m.Value.Text()))
			}
			e.Time = t
			odd = odd || finerThanNano(text)
			continue
		case "tags":
			if hasTags {
				return ambiguous(m.Name)
			}
			hasTags = true
			if err := setTags(e, m.Value); err != nil {
				return err
			}
			continue
		case "source_seq":
			if hasSeq {
				return ambiguous(m.Name)
			}
			hasSeq = true
			if n, ok := m.Value.Uint64(); ok {
				e.SetSourceSeq(n)
			} else {
				odd = odd || m.Value.Kind() != jsontext.Null
			}
			continue
		}
		f, ok := fieldAt(m.Name, &next)
		if !ok {
			odd = true
			continue
		}
		if seen&(1<<f) != 0 {
			return ambiguous(m.Name)
		}
		seen |= 1 << f
		fieldOdd, err := setField(e, f, m.Value)
		if err != nil {
			return err
		}
		odd = odd || fieldOdd
	}
	if err := m.Err(); err != nil {
		return err
	}
	if odd {
		if err := keepRaw(e, record, seen); err != nil {
			return err
		}
	}
	switch {
	case !hasTime:
		return errNoTime
	case e.Get(event.Action) == "":
		return errNoAction
	}
	return nil
}

// finerThanNano reports whether an RFC 3339 time has digits behind the ninth of its fraction that are not zero: ParseTime cuts them.
func finerThanNano(s string) bool {
	point := strings.IndexAny(s, ".,")
	nano := point + len(".123456789")
	if point < 0 || nano >= len(s) {
		return false // as good as always
	}
	end := nano
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	return strings.Trim(s[nano:end], "0") != ""
}

// fieldAt finds the field of that name, first where the last one found suggests it.
func fieldAt(name string, next *int) (event.Field, bool) {
	if *next < len(fields) && fields[*next].String() == name {
		*next++
		return fields[*next-1], true
	}
	f, ok := event.FieldNamed(name)
	if ok {
		*next = int(f) + 1
	}
	return f, ok
}

func setField(e *event.Event, f event.Field, v jsontext.Value) (odd bool, err error) {
	switch {
	case v.Kind() == jsontext.Null:
		return false, nil
	case f.JSON():
		e.Set(f, compact(v))
		return false, nil
	case v.Kind() == jsontext.Object || v.Kind() == jsontext.Array:
		return false, fmt.Errorf("%s is %s: must be a string", f, short(v.Text()))
	}
	came, isText := textOf(v)
	text := came
	switch f {
	case event.ID:
		if isText && text == "" {
			return false, nil // as good as none
		}
	case event.Outcome:
		if text = outcomeOf(v); text == "" {
			text = event.Unknown
		}
	case event.Severity:
		if text = listed(came, "info", "low", "medium", "high", "critical"); text == "" {
			return true, nil
		}
	}
	e.Set(f, text)
	return !isText || text != came, nil
}

// textOf returns the content of a string, the text of any other value.
func textOf(v jsontext.Value) (text string, isText bool) {
	if v.Kind() == jsontext.String {
		return v.Str(), true
	}
	return v.TextString(), false
}

// outcomeOf returns the outcome that v stands for, "" if it is none of ours.
func outcomeOf(v jsontext.Value) string {
	switch v.Kind() {
	case jsontext.True:
		return event.Success
	case jsontext.False:
		return event.Failure
	}
	return listed(v.Str(), event.Success, event.Failure, event.Unknown)
}

// listed returns the one of list, in small letters of ASCII, that text is in any letter case; "" if it is none.
func listed(text string, list ...string) string {
	if slices.Contains(list, text) {
		return text
	}
	for _, one := range list {
		if len(one) == len(text) && strings.EqualFold(one, text) {
			return one
		}
	}
	return ""
}

// OutcomeNotKnown returns the outcome of a record, cut and quoted to be shown, if Decode takes it for unknown without knowing it; "" otherwise.
func OutcomeNotKnown(record []byte) string {
	m := jsontext.MembersOf(record)
	for m.Next() {
		switch {
		case m.Name != event.Outcome.String():
			continue
		case m.Value.Kind() == jsontext.Null || outcomeOf(m.Value) != "":
			return ""
		}
		text, isText := textOf(m.Value)
		text = short([]byte(text))
		if isText {
			text = strconv.Quote(text)
		}
		return text
	}
	return ""
}

func setTags(e *event.Event, v jsontext.Value) error {
	if v.Kind() == jsontext.Null {
		return nil
	}
	if v.Kind() != jsontext.Array {
		return fmt.Errorf("tags is %s: must be a list of strings", short(v.Text()))
	}
	elements := v.Elements()
	for elements.Next() {
		if elements.Value.Kind() != jsontext.String {
			return fmt.Errorf("tags has %s: must be a list of strings", short(elements.Value.Text()))
		}
		e.Tags = append(e.Tags, elements.Value.Str())
	}
	return elements.Err()
}

// KeepRaw puts the record that e was decoded from into raw, on one line and with a token cut there too, for an event whose fields hold all of it.
func KeepRaw(record []byte, e *event.Event) {
	_ = keepRaw(e, record, 0) // which has nothing to refuse: every name was known
}

// keepRaw puts the whole record into raw, with a token cut there too, and refuses names that differ from a given field's in letter case only.
func keepRaw(e *event.Event, record []byte, seen uint64) error {
	raw := append(make([]byte, 0, len(record)), '{')
	m := jsontext.MembersOf(record)
	for m.Next() {
		f, known := event.FieldNamed(m.Name)
		if !known {
			if lower, ok := event.FieldNamed(strings.ToLower(m.Name)); ok && seen&(1<<lower) != 0 {
				return ambiguous(lower.String())
			}
		}
		if len(raw) > 1 {
			raw = append(raw, ',')
		}
		raw = event.AppendQuoted(raw, m.Name)
		raw = append(raw, ':')
		if known && f == event.TokenLast4 {
			raw = event.AppendQuoted(raw, e.Get(event.TokenLast4))
			continue
		}
		raw = jsontext.AppendCompact(raw, m.Value.Text())
	}
	e.Set(event.Raw, string(append(raw, '}')))
	return nil
}

func ambiguous(name string) error {
	return fmt.Errorf("%s is given twice: which one is meant can't be told", name)
}

// compact returns the JSON text of v on one line, without copying it if it is so already.
func compact(v jsontext.Value) string {
	if k := v.Kind(); k != jsontext.Object && k != jsontext.Array || !spaced(v.Text()) {
		return v.TextString()
	}
	return string(jsontext.AppendCompact(nil, v.Text()))
}

// spaced reports whether text may hold white space between its tokens. Compact text as most producers write it has none after a comma or colon.
func spaced(text []byte) bool {
	inString := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && inString:
			i++
		case c == '"':
			inString = !inString
		case c <= ' ' && !inString:
			return true
		}
	}
	return false
}

// short cuts text that is quoted in a reason.
func short(text []byte) string {
	if len(text) > 40 {
		return string(bytes.ToValidUTF8(text[:40], nil)) + "…"
	}
	return string(text)
}
