package intake

import (
	"bytes"
	"fmt"
	"strings"

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
}

// decoders is the table of input formats, in the order in which they are tried.
func decoders() []decoderEntry {
	return []decoderEntry{
		{"cloudtrail", cloudtrail.Decoder{}, cloudtrail.Detect},
		{"jsonl", jsonl.Decoder{}, detectJSONL},
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

// detectJSONL takes a file for lines of our own events if any of its first lines is one, or at least an object: a file whose first line is broken,
// or that lacks what an event needs, is then told line by line what is wrong with it.
func detectJSONL(head []byte) bool {
	for line := range headLines(head) {
		if jsonl.Detect(line) {
			return true
		}
	}
	for line := range headLines(head) {
		if v, err := jsontext.Parse(bytes.TrimSpace(line)); err == nil && v.Kind() == jsontext.Object {
			return true
		}
	}
	return false
}
