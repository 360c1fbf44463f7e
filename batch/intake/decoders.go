package intake

import (
	"bytes"
	"fmt"
	"strings"

	"daybook/event"
	"daybook/formats"
	"daybook/formats/cloudtrail"
	"daybook/formats/jsonl"
	"daybook/formats/jsontext"
)

// decoderEntry is an input format: how it is called, told, and read.
type decoderEntry struct {
	name    string
	decoder formats.Decoder
	detect  func(head []byte) bool
	// keepRaw puts a record into raw; nil where Decode always does.
	keepRaw func(record []byte, e *event.Event)
	// outcomeNotKnown tells of a record whose outcome Decode made unknown what stands there, "" where that is no outcome or says just so; nil where there is
	// nothing to tell.
	outcomeNotKnown func(record []byte) string
}

// decoders is the table of input formats, in the order in which they are tried.
func decoders() []decoderEntry {
	return []decoderEntry{
		{"cloudtrail", cloudtrail.Decoder{}, cloudtrail.Detect, nil, nil},
		{"jsonl", jsonl.Decoder{}, detectJSONL, jsonl.KeepRaw, jsonl.OutcomeNotKnown},
	}
}

// Names lists the input formats.
func Names() []string {
	var names []string
	for _, d := range decoders() {
		names = append(names, d.name)
	}
	return names
}

// Auto is the input format that stands for whichever the content shows.
const Auto = "auto"

func decoderNamed(name string) (decoderEntry, error) {
	for _, d := range decoders() {
		if d.name == name {
			return d, nil
		}
	}
	return decoderEntry{}, fmt.Errorf("unknown input format %q: must be %s or %s", name, Auto, strings.Join(Names(), ", "))
}

// detect tells the format of a file from the beginning of its content.
func detect(head []byte) (decoderEntry, bool) {
	for _, d := range decoders() {
		if d.detect(head) {
			return d, true
		}
	}
	return decoderEntry{}, false
}

// detectJSONL takes a file for our own events if it begins like one, or any of its first lines is one, or at least an object: a file whose first line is
// broken, or that lacks what an event needs, is then told record by record what is wrong with it.
func detectJSONL(head []byte) bool {
	if jsonl.Detect(head) {
		return true
	}
	for line := range headLines(head) {
		if jsonl.Detect(line) {
			return true
		}
	}
	for line := range headLines(head) {
		if isObject(line) {
			return true
		}
	}
	return isObject(head)
}

func isObject(text []byte) bool {
	v, err := jsontext.Parse(bytes.TrimSpace(text))
	return err == nil && v.Kind() == jsontext.Object
}
