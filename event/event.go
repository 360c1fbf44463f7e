// Package event is the vocabulary of Daybook: an audited action, and the UTC day it belongs to. It imports nothing of ours.
//
// What it guarantees: an Event can't carry a token. Set and SetToken keep its last four characters and nothing more, whatever they are
// given. AppendJSON always gives the same bytes for the same event, on one line, valid JSON in valid UTF-8: the evidence row.
package event

import (
	"slices"
	"time"
	"unicode/utf8"
)

// Event is one audited action: who did what to which object, when, from where, and how it ended.
//
// Text fields are reached by their Field constant. Absent and empty differ: Has tells them apart, Get gives "" for both. The texts of a
// decoded event may share memory with the record it was decoded from, and hold only as long as that is left alone; Clone lifts that.
type Event struct {
	// Time is when it happened, UTC, nanoseconds. Every event has one.
	Time time.Time
	// Received is when Daybook took it; zero for file imports.
	Received time.Time
	// Tags are the source's, Flags are ours (the Flag constants).
	Tags, Flags []string

	seq  uint64 // the producer's own sequence number, if has(seqBit)
	set  uint64 // bit f: text[f] is present
	text [numFields]string
	row  []byte // the stored evidence row, when the event was read from one
}

// Flags that Daybook sets.
const (
	// FlagTimeSuspect marks a time of the future or of long ago: the event is filed under the day it was received.
	FlagTimeSuspect = "time_suspect"
	// FlagIPInvalid marks an ip that is neither an address nor a DNS name nor a service's name.
	FlagIPInvalid = "ip_invalid"
	// FlagInvalidUTF8 marks a record that was not valid UTF-8, or had an escape of a lone surrogate (`\ud800`): its fields have U+FFFD for what was broken, raw
	// has the bytes in base64.
	FlagInvalidUTF8 = "invalid_utf8"
	// FlagOrgReplaced and FlagSourceReplaced mark a record that named another org or source than the credential it came with is bound to: the event has the
	// credential's, raw the record.
	FlagOrgReplaced    = "org_replaced"
	FlagSourceReplaced = "source_replaced"
)

// Outcomes.
const (
	Success = "success"
	Failure = "failure"
	Unknown = "unknown"
)

const seqBit = uint64(1) << 63

// Get returns the text of f, "" if it is absent.
func (e *Event) Get(f Field) string { return e.text[f] }

// Has reports whether f is present, be it empty.
func (e *Event) Has(f Field) bool { return e.set&(1<<f) != 0 }

// Set gives f a text. For TokenLast4 the rule of SetToken holds, but a text of just four characters is taken to have been cut already.
//
// Info, Changes and Raw take JSON text. Set does not check it: a decoder hands on only what it has parsed, on one line.
func (e *Event) Set(f Field, text string) {
	if f == TokenLast4 {
		if n := utf8.RuneCountInString(text); n < 4 {
			return
		}
		text = lastFour(text)
	}
	e.text[f] = text
	e.set |= 1 << f
	e.row = nil
}

// SetNonEmpty is Set, unless text is empty.
func (e *Event) SetNonEmpty(f Field, text string) {
	if text != "" {
		e.Set(f, text)
	}
}

// Unset makes f absent.
func (e *Event) Unset(f Field) {
	e.text[f] = ""
	e.set &^= 1 << f
	e.row = nil
}

// SetToken keeps the last four characters of a credential's secret token. A token of four characters or fewer is kept out altogether:
// its last four would be all of it.
func (e *Event) SetToken(token string) {
	if utf8.RuneCountInString(token) > 4 {
		e.Set(TokenLast4, token)
	}
}

func lastFour(s string) string {
	i := len(s)
	for range 4 {
		_, n := utf8.DecodeLastRuneInString(s[:i])
		i -= n
	}
	return s[i:]
}

// SourceSeq returns the producer's own sequence number, if it gave one.
func (e *Event) SourceSeq() (uint64, bool) { return e.seq, e.set&seqBit != 0 }

// SetSourceSeq sets the producer's own sequence number.
func (e *Event) SetSourceSeq(n uint64) {
	e.seq = n
	e.set |= seqBit
	e.row = nil
}

// Flag adds one of our flags, once; the flags stay sorted.
func (e *Event) Flag(flag string) {
	i, found := slices.BinarySearch(e.Flags, flag)
	if !found {
		e.Flags = slices.Insert(e.Flags, i, flag)
		e.row = nil
	}
}

// HasFlag reports whether flag is among the flags.
func (e *Event) HasFlag(flag string) bool { return slices.Contains(e.Flags, flag) }

// Reset makes e an event without any field, keeping its memory for use again.
func (e *Event) Reset() {
	*e = Event{Tags: e.Tags[:0], Flags: e.Flags[:0]}
}

// SetRow remembers the stored evidence row that e was read from: AppendJSON then gives just these bytes. A later Set forgets it.
func (e *Event) SetRow(row []byte) { e.row = row }

// Clone returns a copy that shares no memory with e.
func (e *Event) Clone() Event {
	c := *e
	for f := range c.text {
		c.text[f] = string([]byte(e.text[f]))
	}
	c.Tags, c.Flags = cloneTexts(e.Tags), cloneTexts(e.Flags)
	c.row = slices.Clone(e.row)
	return c
}

func cloneTexts(list []string) []string {
	var c []string
	for _, s := range list {
		c = append(c, string([]byte(s)))
	}
	return c
}
