package jsonl

import (
	"bytes"
	"io"
	"iter"

	"daybook/formats"
	"daybook/formats/frame"
	"daybook/formats/jsontext"
)

// Decoder reads Daybook's own events.
type Decoder struct{}

var _ formats.Decoder = Decoder{}

// headSize is how much of a stream is looked at to tell how it is laid out.
const headSize = 64 << 10

// Records splits r into its records, in constant memory. The beginning of the stream says how:
//
//   - an array: its elements are the records;
//   - an object that goes past its line: the records are objects, however many lines each takes, one after the other;
//   - all else: every line is a record, and one that is broken does not hurt its neighbours.
//
// A first line that is cut off looks like an object that goes past its line, unless one of the lines behind it is an event as a whole, as it is where
// every line is one.
func (Decoder) Records(r io.Reader, limit int) iter.Seq2[formats.Record, error] {
	return func(yield func(formats.Record, error) bool) {
		head, in, err := frame.Head(r, headSize)
		if oneALine(head, err != nil) {
			frame.Lines(in, limit)(yield)
		} else {
			frame.JSON(in, limit)(yield)
		}
	}
}

// oneALine reports whether the stream that begins with head, and with whole set ends there, has one record a line.
func oneALine(head []byte, whole bool) bool {
	head = trimStart(head)
	switch {
	case len(head) == 0 || head[0] != '{' && head[0] != '[':
		return true
	case head[0] == '[':
		return false
	}
	first, rest, ended := bytes.Cut(head, []byte("\n"))
	if !ended && !whole {
		return true // no one writes so much on a line, and then goes on with the next
	}
	if v, err := jsontext.Parse(first); err == nil && v.Kind() == jsontext.Object {
		return true
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, ended = bytes.Cut(rest, []byte("\n"))
		if (ended || whole) && isEvent(line) {
			return true
		}
	}
	return false
}

// isEvent reports whether text is an object with a time and an action, as a whole.
func isEvent(text []byte) bool {
	found, err := timeAndAction(text)
	return found && err == nil
}

// Detect reports whether head, the beginning of a file, looks like events of ours: an object with a time and an action, be it the first of an array, and
// be it cut off behind them; or an array of nothing.
func Detect(head []byte) bool {
	head = trimStart(head)
	if len(head) > 0 && head[0] == '[' {
		if head = trimStart(head[1:]); len(head) > 0 && head[0] == ']' {
			return true
		}
	}
	found, _ := timeAndAction(head)
	return found
}

// timeAndAction reports whether the object that text holds has both, and what is wrong with it behind that.
func timeAndAction(text []byte) (bool, error) {
	m := jsontext.MembersOf(text)
	var hasTime, hasAction bool
	for m.Next() {
		hasTime = hasTime || m.Name == "time"
		hasAction = hasAction || m.Name == "action"
	}
	return hasTime && hasAction, m.Err()
}

func trimStart(text []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), " \t\r\n")
}
